//! The probe guest as its host sees it: what it consists of, how it is started, and what its launch measurement covers.
//!
//! A host cannot get a signed SEV-SNP report, a guest can (ARCHITECTURE section 6). The guest is a kernel, an initial
//! file system and a command line, started by firmware that checks them against hashes in measured memory. Whoever
//! starts it, and with which program, does not matter: what differs has another measurement.
#![forbid(unsafe_code)]

pub mod host;
pub mod qemu;

use std::path::{Path, PathBuf};

/// The guest's command line. It is measured; `assay.role` makes the image's first process the probe guest's.
pub const COMMAND_LINE: &str = "assay.role=probe-guest lockdown=confidentiality module.sig_enforce=1 \
                                console=ttyS0 panic=1 loglevel=4";
/// The guest's processors.
pub const VCPUS: u32 = 1;
/// Their model in QEMU. Its signature is in the measured state of each processor; what it has, every EPYC with SEV-SNP
/// has too, so that one measurement serves all generations.
pub const CPU: Cpu = Cpu {
    model: "EPYC-v4",
    family: 23,
    number: 1,
    stepping: 2,
};

/// A processor model of QEMU (target/i386/cpu.c), by what CPUID says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// Its name.
    pub model: &'static str,
    /// CPUID family.
    pub family: u32,
    /// CPUID model.
    pub number: u32,
    /// CPUID stepping.
    pub stepping: u32,
}

impl Cpu {
    /// CPUID Fn0000_0001 EAX (AMD 25481, family, model, stepping identifiers): the families from 15 on have the rest in
    /// a field of its own.
    pub fn signature(self) -> u32 {
        let (base, extended) = (self.family.min(15), self.family.saturating_sub(15));
        let (low, high) = (self.number & 0xf, self.number >> 4 & 0xf);
        (extended & 0xff) << 20 | high << 16 | base << 8 | low << 4 | self.stepping & 0xf
    }
}

/// Where the parts of a guest lie, as its build leaves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Firmware for SEV-SNP, with a place for the hashes of the other two and of the command line.
    pub firmware: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The initial file system.
    pub initial: PathBuf,
}

impl Guest {
    /// The guest in a folder.
    pub fn of(folder: &Path) -> Self {
        Self {
            firmware: folder.join("firmware.fd"),
            kernel: folder.join("kernel"),
            initial: folder.join("initrd"),
        }
    }

    /// All parts.
    pub fn files(&self) -> [&Path; 3] {
        [&self.firmware, &self.kernel, &self.initial]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against signatures of real parts: Naples B2, Rome B0, Milan B1, Genoa B1.
    #[test]
    fn a_signature_is_made_as_cpuid_does() {
        let cpu = |family, number, stepping| Cpu {
            model: "",
            family,
            number,
            stepping,
        };
        assert_eq!(CPU.signature(), 0x0080_0f12);
        assert_eq!(cpu(23, 49, 0).signature(), 0x0083_0f10);
        assert_eq!(cpu(25, 1, 1).signature(), 0x00a0_0f11);
        assert_eq!(cpu(25, 17, 1).signature(), 0x00a1_0f11);
        assert_eq!(cpu(6, 15, 3).signature(), 0x0000_06f3);
    }
}
