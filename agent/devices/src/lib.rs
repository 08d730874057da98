//! Character devices, as bytes: SEV-SNP's, `/dev/sev-guest` in a confidential guest and `/dev/sev` on its host, and those
//! of NVMe controllers.
//!
//! Their requests are structures with addresses in them, which no library passes on untouched: virtee's `sev` cuts
//! reports to the length it knows, sorts and rewrites certificate tables, and asks for one chip's id only; those for NVMe
//! bring discovery, tables of vendors and a library in C along. So this crate holds the agent's `unsafe` code for
//! devices: four `ioctl` calls over buffers that it owns.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod guest;
mod host;
mod nvme;

pub use guest::{CERTIFICATES_BYTES_MAX, GUEST_REQUESTS, GuestDevice, Report};
pub use host::{CHIP_IDS_BYTES_MAX, HostDevice};
pub use nvme::{Controller, ControllerError, PAGE_BYTES, Page};

use nix::errno::Errno;

/// Why a device of SEV-SNP gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The request failed. Both codes are 0 where neither the firmware nor the hypervisor has a say.
    #[error("{request}: {errno}, firmware error {firmware:#x}, hypervisor error {hypervisor:#x}")]
    Request {
        /// Its name in the kernel's headers.
        request: &'static str,
        /// The system's reason.
        errno: Errno,
        /// The firmware's (SEV-SNP ABI specification 56860, status codes); 0xff or 0xffffffff: it was not reached.
        firmware: u32,
        /// The hypervisor's.
        hypervisor: u32,
    },
    /// The firmware answered that it made no report.
    #[error("{request}: expected status 0, got {status:#x}")]
    Status {
        /// Its name in the kernel's headers.
        request: &'static str,
        /// MSG_REPORT_RSP's status.
        status: u32,
    },
    /// The firmware announced a length that cannot be.
    #[error("{request}: expected 1 to {max} bytes, got {actual}")]
    Length {
        /// Its name in the kernel's headers.
        request: &'static str,
        /// Most that fit.
        max: usize,
        /// Announced.
        actual: usize,
    },
}
