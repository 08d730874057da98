//! The devices of SEV-SNP, emulated: what firmware and hypervisor would answer, and two ways to put it in the place of
//! the kernel's: [`preload`] below a program's libc, [`cuse`] below a kernel that has CUSE.
//!
//! Reports are signed by a chip of [`crate::snp`], which only a test root trusts.

pub mod cuse;
pub mod preload;

use crate::snp::{Certificates, Chip, cert_table};

/// `struct snp_report_req`: data, privilege level, zeros.
pub const REQUEST_BYTES: usize = 96;
/// `struct snp_report_resp`.
pub const RESPONSE_BYTES: usize = 4_000;
/// Status, length and zeros before the report (SEV-SNP ABI specification 56860, MSG_REPORT_RSP).
const HEAD_BYTES: usize = 32;
/// The status of a request that makes no sense.
pub const INVALID_PARAMETER: u32 = 0x16;

/// Makes the report for some report data and privilege level.
type Make = Box<dyn Fn(&Chip, [u8; 64], u32) -> Vec<u8> + Send + Sync>;

/// A chip, the guest on it, and what their host gives along.
pub struct Firmware {
    chip: Chip,
    make: Make,
    /// The certificate table; empty: the host has none.
    pub table: Vec<u8>,
    /// What GET_ID answers: the ids of all sockets.
    pub chip_ids: Vec<u8>,
}

impl Firmware {
    /// A one-socket machine of this chip, whose guest has this measurement.
    pub fn new(chip: Chip, measurement: [u8; 48]) -> Self {
        let table = cert_table(&Certificates::of(chip.product), &chip.vcek());
        let make = move |chip: &Chip, data: [u8; 64], vmpl: u32| {
            let report = chip
                .report(3)
                .with(0x30, &vmpl.to_le_bytes())
                .with(0x50, &data)
                .with(0x90, &measurement);
            chip.sign(report)
        };
        Self {
            chip_ids: chip.chip_id.to_vec(),
            chip,
            make: Box::new(make),
            table,
        }
    }

    /// Exchanges who makes reports.
    pub fn making(
        mut self,
        make: impl Fn(&Chip, [u8; 64], u32) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.make = Box::new(make);
        self
    }

    /// A report over this data, for VMPL 0.
    pub fn report(&self, data: [u8; 64]) -> Vec<u8> {
        (self.make)(&self.chip, data, 0)
    }

    /// MSG_REPORT_RSP for a MSG_REPORT_REQ.
    pub fn respond(&self, request: &[u8; REQUEST_BYTES]) -> [u8; RESPONSE_BYTES] {
        let mut response = [0; RESPONSE_BYTES];
        let (data, rest) = request.split_at(64);
        let (vmpl, reserved) = rest.split_at(4);
        let vmpl = u32::from_le_bytes(vmpl.try_into().expect("four bytes"));
        if vmpl > 3 || reserved.iter().any(|byte| *byte != 0) {
            response[..4].copy_from_slice(&INVALID_PARAMETER.to_le_bytes());
            return response;
        }
        let report = (self.make)(&self.chip, data.try_into().expect("64 bytes"), vmpl);
        response[4..8].copy_from_slice(&(report.len() as u32).to_le_bytes());
        response[HEAD_BYTES..HEAD_BYTES + report.len()].copy_from_slice(&report);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snp::{Product, REPORT_BYTES};

    pub(super) fn request(vmpl: u32) -> [u8; REQUEST_BYTES] {
        let mut request = [0; REQUEST_BYTES];
        request[..64].fill(9);
        request[64..68].copy_from_slice(&vmpl.to_le_bytes());
        request
    }

    #[test]
    fn the_firmware_refuses_what_the_specification_does_not_allow() {
        let firmware = Firmware::new(Chip::new(Product::Genoa), [7; 48]);
        let response = firmware.respond(&request(1));
        assert_eq!(response[..4], [0; 4]);
        assert_eq!(response[4..8], (REPORT_BYTES as u32).to_le_bytes());
        let report = &response[HEAD_BYTES..];
        assert_eq!(report[0x30], 1);
        assert_eq!(report[0x50..0x90], [9; 64]);
        assert_eq!(report[0x90..0xc0], [7; 48]);
        let mut reserved = request(0);
        reserved[95] = 1;
        for bad in [request(4), reserved] {
            let response = firmware.respond(&bad);
            assert_eq!(response[..4], INVALID_PARAMETER.to_le_bytes());
            assert_eq!(response[4..], [0; RESPONSE_BYTES - 4]);
        }
    }
}
