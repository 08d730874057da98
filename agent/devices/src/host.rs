//! `/dev/sev` (Linux `include/uapi/linux/psp-sev.h`, `Documentation/virt/kvm/x86/amd-memory-encryption.rst`).

use crate::DeviceError;
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Longest list of ids that is asked for: eight sockets of 64 bytes.
pub const CHIP_IDS_BYTES_MAX: usize = 8 * 64;

/// SEV_GET_ID2.
const CMD_GET_ID2: u32 = 8;
/// SEV_RET_INVALID_LEN.
const FIRMWARE_INVALID_LENGTH: u32 = 4;

/// `struct sev_issue_cmd`.
#[repr(C, packed)]
struct IssueCommand {
    command: u32,
    data: u64,
    error: u32,
}

/// `struct sev_user_data_get_id2`.
#[repr(C, packed)]
struct GetId2 {
    address: u64,
    length: u32,
}

const _: () = assert!(size_of::<IssueCommand>() == 16);
const _: () = assert!(size_of::<GetId2>() == 12);

nix::ioctl_readwrite!(sev_issue_cmd, b'S', 0x0, IssueCommand);

const GET_ID2: &str = "SEV_GET_ID2";

/// The host's way to the firmware.
#[derive(Debug)]
pub struct HostDevice(File);

impl HostDevice {
    /// Opens the device; reading ids needs no permission to write.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// The ids of all sockets, one after the other, as the firmware gives them.
    pub fn chip_ids(&self) -> Result<Vec<u8>, DeviceError> {
        // The length is the firmware's to say: asked for without a buffer it names it, with an error.
        let length = match self.get_id2(&mut []) {
            (Ok(_), _, length) | (Err(_), FIRMWARE_INVALID_LENGTH, length) => length,
            (Err(errno), firmware, _) => return Err(failed(errno, firmware)),
        };
        let mut ids = vec![0u8; bounded(length)?];
        let (outcome, firmware, length) = self.get_id2(&mut ids);
        outcome.map_err(|errno| failed(errno, firmware))?;
        let length = bounded(length)?;
        if length > ids.len() {
            return Err(too_long(length));
        }
        ids.truncate(length);
        Ok(ids)
    }

    /// How the call ended, the firmware's code, and the length it wrote or wants.
    fn get_id2(&self, ids: &mut [u8]) -> (Result<i32, Errno>, u32, usize) {
        // The kernel takes a null address for the question how long the list is.
        let address = match ids.is_empty() {
            true => 0,
            false => ids.as_mut_ptr() as u64,
        };
        let mut data = GetId2 {
            address,
            length: u32::try_from(ids.len()).unwrap_or(0),
        };
        let mut call = IssueCommand {
            command: CMD_GET_ID2,
            data: (&raw mut data) as u64,
            error: 0,
        };
        // SAFETY: the descriptor is open. The kernel reads and writes `call` and `data`, and writes at most
        // `data.length` bytes, which it was told, to `ids`; all are alive and borrowed by this function alone until
        // the call is over.
        let outcome = unsafe { sev_issue_cmd(self.0.as_raw_fd(), &raw mut call) };
        (outcome, call.error, data.length as usize)
    }
}

fn failed(errno: Errno, firmware: u32) -> DeviceError {
    DeviceError::Request {
        request: GET_ID2,
        errno,
        firmware,
        hypervisor: 0,
    }
}

fn bounded(length: usize) -> Result<usize, DeviceError> {
    match length {
        1..=CHIP_IDS_BYTES_MAX => Ok(length),
        _ => Err(too_long(length)),
    }
}

fn too_long(actual: usize) -> DeviceError {
    DeviceError::Length {
        request: GET_ID2,
        max: CHIP_IDS_BYTES_MAX,
        actual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_bounded_before_anything_is_allocated() {
        assert_eq!(bounded(64), Ok(64));
        assert_eq!(bounded(CHIP_IDS_BYTES_MAX), Ok(CHIP_IDS_BYTES_MAX));
        for length in [0, CHIP_IDS_BYTES_MAX + 1, u32::MAX as usize] {
            assert_eq!(bounded(length), Err(too_long(length)));
        }
    }

    #[test]
    fn a_device_of_another_kind_refuses_the_request() {
        assert_eq!(nix::request_code_readwrite!(b'S', 0x0, 16), 0xc010_5300);
        let device = HostDevice::open(Path::new("/dev/null")).unwrap();
        assert_eq!(device.chip_ids(), Err(failed(Errno::ENOTTY, 0)));
        assert!(HostDevice::open(Path::new("/nowhere/sev")).is_err());
    }
}
