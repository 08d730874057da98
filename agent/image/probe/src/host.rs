//! What the host must have to run the guest, each looked for before QEMU is, so that what is missing has a name.

use crate::Guest;
use std::arch::x86_64::__cpuid;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The devices that QEMU opens: the hypervisor, the firmware of SEV, and the way between host and guest.
pub const DEVICES: [&str; 3] = ["/dev/kvm", "/dev/sev", "/dev/vhost-vsock"];

/// CPUID's highest extended function is the answer to this one.
const EXTENDED: u32 = 0x8000_0000;
/// AMD 24594, Fn8000_001F: EAX bit 4 is SEV-SNP, EBX bits 5:0 are the place of the C-bit, bits 11:6 the address bits that
/// encryption takes.
const ENCRYPTION: u32 = 0x8000_001f;
const SNP: u32 = 1 << 4;

/// Why the guest cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Another processor.
    #[error("this CPU: expected SEV-SNP (CPUID 8000001F, EAX bit 4), found {0}")]
    Cpu(&'static str),
    /// A device or a part of the guest.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl HostError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Cpu(_) => {
                "the guest needs an AMD EPYC of the third generation or later; turn SEV-SNP on in the firmware's setup"
            }
            Self::File { path, .. } if path.starts_with("/dev") => {
                "needs Linux 6.11 or later with kvm_amd and vhost_vsock loaded, and a user who may open the device; \
                 `assay-agent doctor` says more"
            }
            Self::File { .. } => {
                "name the folder that agent/image/probe/build.sh made with --guest"
            }
        }
    }
}

/// How memory encryption takes the addresses of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encryption {
    /// The bit of an address that says encrypted.
    pub c_bit: u32,
    /// Address bits that are lost to it.
    pub reduced_bits: u32,
}

impl Encryption {
    /// Of this machine's processor.
    pub fn of_this_cpu() -> Result<Self, HostError> {
        match __cpuid(EXTENDED).eax >= ENCRYPTION {
            true => Self::of(__cpuid(ENCRYPTION).eax, __cpuid(ENCRYPTION).ebx),
            false => Err(HostError::Cpu("no memory encryption")),
        }
    }

    fn of(eax: u32, ebx: u32) -> Result<Self, HostError> {
        match eax & SNP {
            0 => Err(HostError::Cpu("none")),
            _ => Ok(Self {
                c_bit: ebx & 0x3f,
                reduced_bits: ebx >> 6 & 0x3f,
            }),
        }
    }
}

/// Whether QEMU could open the devices.
pub fn devices() -> Result<(), HostError> {
    let open = |path: &&str| open(Path::new(path), true);
    DEVICES.iter().try_for_each(open)
}

/// Whether all parts of the guest are there.
pub fn parts(guest: &Guest) -> Result<(), HostError> {
    guest.files().iter().try_for_each(|path| open(path, false))
}

fn open(path: &Path, write: bool) -> Result<(), HostError> {
    let opened: io::Result<File> = OpenOptions::new().read(true).write(write).open(path);
    let path = path.to_owned();
    opened
        .map(drop)
        .map_err(|source| HostError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EPYC 7003: EAX 0x3f, C-bit 51, five bits lost (EBX 0x4173).
    #[test]
    fn the_c_bit_is_what_cpuid_says_and_a_cpu_without_snp_is_refused() {
        let milan = Encryption {
            c_bit: 51,
            reduced_bits: 5,
        };
        assert_eq!(Encryption::of(0x0101_fd3f, 0x4173).unwrap(), milan);
        // SEV and SEV-ES only: an EPYC 7002.
        let error = Encryption::of(0x0f, 0x4173).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this CPU: expected SEV-SNP (CPUID 8000001F, EAX bit 4), found none"
        );
    }

    #[test]
    fn a_part_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let guest = Guest::of(dir.path());
        for path in guest.files() {
            let error = parts(&guest).unwrap_err();
            assert!(
                error.to_string().starts_with(&path.display().to_string()),
                "{error}"
            );
            assert!(error.hint().contains("--guest"));
            std::fs::write(path, b"").unwrap();
        }
        parts(&guest).unwrap();
    }
}
