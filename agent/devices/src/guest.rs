//! `/dev/sev-guest` (Linux `include/uapi/linux/sev-guest.h`, `Documentation/virt/coco/sev-guest.rst`).

use crate::DeviceError;
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Longest certificate table the driver carries: SEV_FW_BLOB_MAX_SIZE.
pub const CERTIFICATES_BYTES_MAX: usize = 0x4000;

/// Only version there is of a report request (SEV-SNP ABI specification 56860, table 100).
const MESSAGE_VERSION: u8 = 1;
/// SNP_GUEST_VMM_ERR_INVALID_LEN.
const HYPERVISOR_INVALID_LENGTH: u32 = 1;
const RESPONSE_BYTES: usize = 4_000;
/// Status, size and reserved bytes before the report (MSG_REPORT_RSP, table 23).
const RESPONSE_HEAD_BYTES: usize = 32;
const PAGE_BYTES: usize = 4_096;
/// Zeros that may end a certificate and are kept where a table is cut to its pages.
const MARGIN_BYTES: usize = 64;

/// `struct snp_report_req`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ReportRequest {
    user_data: [u8; 64],
    vmpl: u32,
    reserved: [u8; 28],
}

/// `struct snp_ext_report_req`.
#[repr(C)]
struct ExtendedReportRequest {
    data: ReportRequest,
    certs_address: u64,
    certs_len: u32,
}

/// `struct snp_guest_request_ioctl`.
#[repr(C)]
struct GuestRequest {
    message_version: u8,
    request: u64,
    response: u64,
    firmware: u32,
    hypervisor: u32,
}

const _: () = assert!(size_of::<ReportRequest>() == 96);
const _: () = assert!(size_of::<ExtendedReportRequest>() == 112);
const _: () = assert!(size_of::<GuestRequest>() == 32);

nix::ioctl_readwrite!(snp_get_report, b'S', 0x0, GuestRequest);
nix::ioctl_readwrite!(snp_get_ext_report, b'S', 0x2, GuestRequest);

/// The requests [`GuestDevice::report`] makes: second argument of `ioctl`, for whoever filters system calls.
pub const GUEST_REQUESTS: [u64; 2] = [
    nix::request_code_readwrite!(b'S', 0x0, size_of::<GuestRequest>()),
    nix::request_code_readwrite!(b'S', 0x2, size_of::<GuestRequest>()),
];

const GET_REPORT: &str = "SNP_GET_REPORT";
const GET_EXT_REPORT: &str = "SNP_GET_EXT_REPORT";

/// What firmware and host gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// ATTESTATION_REPORT, of whatever version and length, as the firmware made it.
    pub report: Vec<u8>,
    /// The certificate table (GHCB specification 56421, section 4.1.8.1), cut to the pages it fills; empty when the
    /// host gave none, or one too long for the driver.
    pub certificates: Vec<u8>,
}

/// The guest's way to the firmware.
#[derive(Debug)]
pub struct GuestDevice(File);

impl GuestDevice {
    /// Opens the device; what follows needs no further file.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// A report that carries `user_data` and this privilege level, with the host's certificates if it has some.
    ///
    /// May take a minute: the driver itself repeats what a busy hypervisor turns away.
    pub fn report(&self, user_data: &[u8; 64], vmpl: u32) -> Result<Report, DeviceError> {
        let request = ReportRequest {
            user_data: *user_data,
            vmpl,
            reserved: [0; 28],
        };
        match self.extended(request)? {
            Some(report) => Ok(report),
            None => Ok(Report {
                report: self.plain(request)?,
                certificates: Vec::new(),
            }),
        }
    }

    /// Nothing when the host's table is longer than the driver can carry.
    fn extended(&self, request: ReportRequest) -> Result<Option<Report>, DeviceError> {
        let mut certificates = vec![0u8; CERTIFICATES_BYTES_MAX];
        let mut request = ExtendedReportRequest {
            data: request,
            certs_address: certificates.as_mut_ptr() as u64,
            certs_len: CERTIFICATES_BYTES_MAX as u32,
        };
        let mut response = [0u8; RESPONSE_BYTES];
        let mut call = GuestRequest {
            message_version: MESSAGE_VERSION,
            request: (&raw mut request) as u64,
            response: response.as_mut_ptr() as u64,
            firmware: 0,
            hypervisor: 0,
        };
        // SAFETY: the descriptor is open. The kernel reads and writes `call` and, through the addresses in it, the
        // three buffers above, each of the length the interface prescribes or was told; all four are owned by this
        // function, live until it ends, and are not looked at during the call.
        let outcome = unsafe { snp_get_ext_report(self.0.as_raw_fd(), &raw mut call) };
        // Older drivers report this with success, newer ones with EIO.
        if call.hypervisor == HYPERVISOR_INVALID_LENGTH {
            return Ok(None);
        }
        done(GET_EXT_REPORT, outcome, &call)?;
        Ok(Some(Report {
            report: framed(GET_EXT_REPORT, &response)?,
            certificates: filled_pages(certificates),
        }))
    }

    fn plain(&self, mut request: ReportRequest) -> Result<Vec<u8>, DeviceError> {
        let mut response = [0u8; RESPONSE_BYTES];
        let mut call = GuestRequest {
            message_version: MESSAGE_VERSION,
            request: (&raw mut request) as u64,
            response: response.as_mut_ptr() as u64,
            firmware: 0,
            hypervisor: 0,
        };
        // SAFETY: as in `extended`, with two buffers.
        let outcome = unsafe { snp_get_report(self.0.as_raw_fd(), &raw mut call) };
        done(GET_REPORT, outcome, &call)?;
        framed(GET_REPORT, &response)
    }
}

fn done(
    request: &'static str,
    outcome: Result<i32, Errno>,
    call: &GuestRequest,
) -> Result<(), DeviceError> {
    outcome.map(|_| ()).map_err(|errno| DeviceError::Request {
        request,
        errno,
        firmware: call.firmware,
        hypervisor: call.hypervisor,
    })
}

/// The report out of MSG_REPORT_RSP; its own bytes are not looked at.
fn framed(request: &'static str, response: &[u8; RESPONSE_BYTES]) -> Result<Vec<u8>, DeviceError> {
    let [s0, s1, s2, s3, l0, l1, l2, l3, ..] = *response;
    let status = u32::from_le_bytes([s0, s1, s2, s3]);
    if status != 0 {
        return Err(DeviceError::Status { request, status });
    }
    let actual = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let rest = response.get(RESPONSE_HEAD_BYTES..).unwrap_or_default();
    let report = rest.get(..actual).filter(|report| !report.is_empty());
    let report = report.ok_or(DeviceError::Length {
        request,
        max: rest.len(),
        actual,
    })?;
    Ok(report.to_vec())
}

/// Cuts the pages that nothing was written to. No table is parsed: what a certificate may end in stays.
fn filled_pages(mut certificates: Vec<u8>) -> Vec<u8> {
    let filled = certificates.iter().rposition(|byte| *byte != 0);
    let length = filled.map_or(0, |last| {
        last.saturating_add(1)
            .saturating_add(MARGIN_BYTES)
            .next_multiple_of(PAGE_BYTES)
    });
    certificates.truncate(length);
    certificates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u32, length: u32) -> [u8; RESPONSE_BYTES] {
        let mut bytes = [7; RESPONSE_BYTES];
        bytes[..4].copy_from_slice(&status.to_le_bytes());
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn a_report_has_the_length_the_firmware_says() {
        for length in [1, 1_184, 2_000, 3_968] {
            let report = framed(GET_REPORT, &response(0, length)).unwrap();
            assert_eq!(report, vec![7; length as usize]);
        }
    }

    #[test]
    fn a_status_no_length_and_too_long_a_one_are_named() {
        let request = GET_REPORT;
        let status = 0x16;
        let error = framed(request, &response(status, 1_184));
        assert_eq!(error, Err(DeviceError::Status { request, status }));
        for length in [0, 3_969, u32::MAX] {
            let error = DeviceError::Length {
                request,
                max: 3_968,
                actual: length as usize,
            };
            assert_eq!(framed(request, &response(0, length)), Err(error));
        }
    }

    #[test]
    fn a_table_is_cut_to_its_pages_and_never_into_its_bytes() {
        let table = |last: usize| {
            let mut bytes = vec![0; CERTIFICATES_BYTES_MAX];
            bytes[last] = 1;
            bytes
        };
        assert_eq!(filled_pages(vec![0; CERTIFICATES_BYTES_MAX]), [0u8; 0]);
        for (last, pages) in [(0, 1), (4_031, 1), (4_032, 2), (5_000, 2), (16_383, 4)] {
            let cut = filled_pages(table(last));
            assert_eq!(cut.len(), pages * PAGE_BYTES, "{last}");
            assert_eq!(cut.iter().rposition(|byte| *byte == 1), Some(last));
        }
    }

    /// The numbers of the kernel's header; another size of a structure would change them.
    #[test]
    fn a_device_of_another_kind_refuses_the_requests() {
        assert_eq!(GUEST_REQUESTS, [0xc020_5300, 0xc020_5302]);
        let device = GuestDevice::open(Path::new("/dev/null")).unwrap();
        let error = device.report(&[1; 64], 0).unwrap_err();
        let DeviceError::Request { request, errno, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((request, errno), (GET_EXT_REPORT, Errno::ENOTTY));
        assert!(GuestDevice::open(Path::new("/nowhere/sev-guest")).is_err());
    }
}
