//! The launch measurement of a SEV-SNP guest under QEMU: what AMD's firmware makes of its first memory and processors, and
//! puts into each of its reports (SEV-SNP ABI specification 56860, sections 4.14.2 and 8.17.2).

use crate::firmware::{Firmware, Kind, PAGE_BYTES, Section};
use crate::save_area;
use assay_protocol::hash::{sha256, sha384};

/// MEASUREMENT.
pub type Measurement = [u8; 48];

/// PAGE_INFO.PAGE_TYPE.
const NORMAL: u8 = 1;
const VMSA: u8 = 2;
const ZERO: u8 = 3;
const SECRETS: u8 = 5;
const CPUID: u8 = 6;
/// Where the state of a processor counts as being.
const VMSA_ADDRESS: u64 = 0xffff_ffff_f000;
/// PAGE_INFO's own length.
const PAGE_INFO_BYTES: u16 = 0x70;

/// The hash table of QEMU (target/i386/sev.c, sev_add_kernel_loader_hashes), its entries in their order: command line,
/// initial file system, kernel. GUIDs in the order of their bytes.
const TABLE: [u8; 16] = [
    0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21,
];
const ENTRIES: [[u8; 16]; 3] = [
    [
        0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab,
        0x2a,
    ],
    [
        0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78,
        0x1d,
    ],
    [
        0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04,
        0x5b,
    ],
];
const ENTRY_BYTES: u16 = 16 + 2 + 32;
const TABLE_BYTES: u16 = 16 + 2 + 3 * ENTRY_BYTES;

/// A guest's processors.
#[derive(Debug, Clone, Copy)]
pub struct Processors {
    /// How many.
    pub count: u32,
    /// CPUID signature of their model.
    pub signature: u32,
}

/// Everything that is measured at the launch of a guest.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// Its firmware.
    pub firmware: &'a Firmware<'a>,
    /// Its kernel.
    pub kernel: &'a [u8],
    /// Its initial file system.
    pub initial: &'a [u8],
    /// Its command line.
    pub line: &'a str,
    /// Its processors.
    pub processors: Processors,
}

impl Launch<'_> {
    /// The firmware, the sections it asks for, and the state of each processor.
    pub fn measurement(&self) -> Measurement {
        let firmware = self.firmware;
        let mut digest = Digest([0; 48]);
        digest.content(NORMAL, firmware.address(), firmware.bytes);
        for section in &firmware.sections {
            self.section(&mut digest, section);
        }
        for index in 0..self.processors.count {
            let address = match index {
                0 => save_area::RESET_VECTOR,
                _ => firmware.reset_address,
            };
            let page = save_area::page(address, self.processors.signature);
            digest.page(VMSA, VMSA_ADDRESS, &sha384(&[&page]));
        }
        digest.0
    }

    fn section(&self, digest: &mut Digest, section: &Section) {
        let address = section.address;
        match section.kind {
            Kind::Zero => {
                let pages = (0..section.bytes).step_by(PAGE_BYTES);
                pages.for_each(|at| digest.place(ZERO, address + at as u64));
            }
            Kind::Secrets => digest.place(SECRETS, address),
            Kind::Cpuid => digest.place(CPUID, address),
            Kind::KernelHashes => digest.content(NORMAL, address, &self.hashes()),
        }
    }

    /// The page with the hashes that the firmware compares before it starts the kernel. The command line has its NUL.
    fn hashes(&self) -> Vec<u8> {
        let line = sha256(&[self.line.as_bytes(), &[0]]);
        let hashes = [line, sha256(&[self.initial]), sha256(&[self.kernel])];
        let mut page = vec![0; self.firmware.hashes_offset];
        page.extend(TABLE);
        page.extend(TABLE_BYTES.to_le_bytes());
        for (name, hash) in ENTRIES.iter().zip(hashes) {
            page.extend(name);
            page.extend(ENTRY_BYTES.to_le_bytes());
            page.extend(hash);
        }
        page.resize(PAGE_BYTES, 0);
        page
    }
}

/// The measurement so far.
struct Digest(Measurement);

impl Digest {
    /// Whole pages with what is in them.
    fn content(&mut self, kind: u8, address: u64, bytes: &[u8]) {
        for (index, page) in bytes.chunks(PAGE_BYTES).enumerate() {
            let address = address + (index * PAGE_BYTES) as u64;
            self.page(kind, address, &sha384(&[page]));
        }
    }

    /// A page of which only kind and place count.
    fn place(&mut self, kind: u8, address: u64) {
        self.page(kind, address, &[0; 48]);
    }

    /// PAGE_INFO: digest so far, digest of the page, length of this, kind, not of an initial migration image, no
    /// permissions for other privilege levels, address.
    fn page(&mut self, kind: u8, address: u64, content: &Measurement) {
        let length = PAGE_INFO_BYTES.to_le_bytes();
        let flags = [kind, 0, 0, 0, 0, 0];
        self.0 = sha384(&[&self.0, content, &length, &flags, &address.to_le_bytes()]);
    }
}

/// The line of a class that only reports of this guest satisfy. Floors of the firmware's versions are the network
/// operator's to choose.
pub fn class_lines(measurement: &Measurement) -> String {
    let value = hex::encode(measurement);
    format!("[attestation.chassis]\nmeasurements = [{value:?}]\n")
}

#[cfg(test)]
mod tests;
