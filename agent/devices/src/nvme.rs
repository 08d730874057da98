//! `/dev/nvme0` and the like: the log page "SMART / Health Information" (NVM Express Base Specification 2.0, section
//! 5.16.1.3) by `NVME_IOCTL_ADMIN_CMD` (Linux `include/uapi/linux/nvme_ioctl.h`).

use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Length of the log page.
pub const PAGE_BYTES: usize = 512;
/// The log page as the controller gave it.
pub type Page = [u8; PAGE_BYTES];

/// Admin command "Get Log Page" (section 5.16).
const GET_LOG_PAGE: u8 = 0x02;
/// Log page identifier of "SMART / Health Information".
const HEALTH: u32 = 0x02;
/// The controller itself and no single namespace.
const CONTROLLER: u32 = u32::MAX;
/// Longest wait for the controller.
const TIMEOUT_MS: u32 = 10_000;

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Default)]
struct AdminCommand {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    address: u64,
    metadata_length: u32,
    data_length: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

const _: () = assert!(size_of::<AdminCommand>() == 72);

nix::ioctl_readwrite!(nvme_admin_command, b'N', 0x41, AdminCommand);

/// Why a controller gave no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    /// The kernel did not pass the command on, or got no answer.
    #[error("NVME_IOCTL_ADMIN_CMD, get log page 02h: {0}")]
    Request(Errno),
    /// The controller refused it.
    #[error("get log page 02h: expected NVMe status 0, got {0:#x}")]
    Status(i32),
}

/// An open controller.
#[derive(Debug)]
pub struct Controller(File);

impl Controller {
    /// Opens its device, as `/dev/nvme0`.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Reads the page. The kernel wants `CAP_SYS_ADMIN` for this, each time. It waits ten seconds at most.
    pub fn health(&self) -> Result<Page, ControllerError> {
        let mut page = [0; PAGE_BYTES];
        let mut command = AdminCommand {
            opcode: GET_LOG_PAGE,
            namespace: CONTROLLER,
            address: page.as_mut_ptr() as u64,
            data_length: PAGE_BYTES as u32,
            // Number of dwords, counted from 0, in the upper half.
            cdw10: (PAGE_BYTES as u32 / 4 - 1) << 16 | HEALTH,
            timeout_ms: TIMEOUT_MS,
            ..AdminCommand::default()
        };
        // SAFETY: the descriptor is open. The kernel reads and writes `command`, and writes at most `data_length` bytes
        // to `page`, which is exactly as long; both are owned by this function, live until it ends, and are not looked
        // at during the call.
        let status = unsafe { nvme_admin_command(self.0.as_raw_fd(), &raw mut command) };
        match status.map_err(ControllerError::Request)? {
            0 => Ok(page),
            status => Err(ControllerError::Status(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the kernel's header; another size of the structure would change it.
    #[test]
    fn a_device_of_another_kind_refuses_the_request() {
        let number = nix::request_code_readwrite!(b'N', 0x41, size_of::<AdminCommand>());
        assert_eq!(number, 0xc048_4e41);
        let device = Controller::open(Path::new("/dev/null")).unwrap();
        let error = device.health().unwrap_err();
        assert_eq!(error, ControllerError::Request(Errno::ENOTTY));
        assert!(Controller::open(Path::new("/nowhere/nvme0")).is_err());
    }
}
