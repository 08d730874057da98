//! The file by which pages go from who may ask controllers to who may not.

use assay_devices::{PAGE_BYTES, Page};
use assay_protocol::cbor::CborError;
use assay_protocol::cbor_map;
use assay_protocol::item::{Blob, Item};

/// Controllers that are read.
pub const CONTROLLERS_MAX: usize = 8;
/// Longest file: so many pages and what frames them.
pub const READINGS_BYTES_MAX: usize = 8 * 1024;
/// Longest name of a controller.
const NAME_BYTES_MAX: usize = 16;

cbor_map! {
    /// One controller's page.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Reading {
        /// The kernel's name, as `nvme0`.
        1 => name: String,
        /// The page, [`PAGE_BYTES`] long.
        2 => page: Blob,
    }
}

cbor_map! {
    /// The pages of one moment.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Readings {
        /// When: time since the host booted, milliseconds.
        1 => uptime_ms: u64,
        /// The controllers that answered, ascending by name, at most [`CONTROLLERS_MAX`].
        2 => controllers: Vec<Reading>,
    }
}

impl Readings {
    /// Reads a file strictly: its deterministic encoding, within the bounds, in order.
    pub fn read(bytes: &[u8]) -> Result<Self, CborError> {
        let readings: Self = Item::decode("NVMe readings", READINGS_BYTES_MAX, bytes)?;
        let count = readings.controllers.len();
        if count > CONTROLLERS_MAX {
            return Err(refused(
                "controllers",
                format!("at most {CONTROLLERS_MAX}"),
                count,
            ));
        }
        let names = readings.controllers.iter().map(|one| one.name.as_str());
        let names: Vec<&str> = names.collect();
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            return Err(refused(
                "controller",
                "nvme and a number",
                name.escape_debug(),
            ));
        }
        if !names.is_sorted_by(|one, next| one < next) {
            return Err(refused("controllers", "ascending names", names.join(", ")));
        }
        let mut pages = readings.controllers.iter().map(|one| one.page.0.len());
        match pages.find(|length| *length != PAGE_BYTES) {
            Some(length) => Err(refused("page", format!("{PAGE_BYTES} bytes"), length)),
            None => Ok(readings),
        }
    }
}

impl Reading {
    /// The page; nothing in a reading that was not checked.
    pub fn page(&self) -> Option<&Page> {
        self.page.0.as_slice().try_into().ok()
    }
}

/// Whether this is how the kernel names a controller: it becomes part of a path, and of what is shown.
pub fn is_name(name: &str) -> bool {
    let number = name.strip_prefix("nvme").unwrap_or_default();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits && name.len() <= NAME_BYTES_MAX
}

fn refused(what: &str, expected: impl ToString, actual: impl ToString) -> CborError {
    CborError::Schema {
        what: format!("NVMe readings: {what}"),
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(count: usize) -> Readings {
        let one = |number| Reading {
            name: format!("nvme{number}"),
            page: Blob(vec![number as u8; PAGE_BYTES]),
        };
        Readings {
            uptime_ms: u64::MAX,
            controllers: (0..count).map(one).collect(),
        }
    }

    #[test]
    fn none_to_the_most_come_back_as_they_were() {
        for count in 0..=CONTROLLERS_MAX {
            let readings = readings(count);
            assert_eq!(Readings::read(&readings.encode()), Ok(readings));
        }
        assert_eq!(readings(2).controllers[1].page(), Some(&[1; PAGE_BYTES]));
        let mut longest = readings(CONTROLLERS_MAX);
        for (number, one) in longest.controllers.iter_mut().enumerate() {
            one.name = format!("nvme{number:012}");
        }
        assert_eq!(Readings::read(&longest.encode()), Ok(longest));
    }

    #[test]
    fn what_is_out_of_bounds_or_order_is_named() {
        let refused = |change: fn(&mut Readings)| {
            let mut bad = readings(2);
            change(&mut bad);
            Readings::read(&bad.encode()).unwrap_err().to_string()
        };
        let many = Readings::read(&readings(CONTROLLERS_MAX + 1).encode()).unwrap_err();
        assert!(many.to_string().contains("at most 8"), "{many}");
        for (change, said) in [
            (
                (|bad| bad.controllers.reverse()) as fn(&mut Readings),
                "ascending names",
            ),
            (
                |bad| bad.controllers[0].name = "nvme1".into(),
                "ascending names",
            ),
            (|bad| bad.controllers[1].page.0.truncate(511), "512 bytes"),
            (|bad| bad.controllers[0].page.0.push(0), "512 bytes"),
            (
                |bad| bad.controllers[0].name = "nvme".into(),
                "nvme and a number",
            ),
            (
                |bad| bad.controllers[0].name = "nvme\u{1b}".into(),
                "nvme and a number",
            ),
        ] {
            let error = refused(change);
            assert!(error.contains(said) && !error.contains('\u{1b}'), "{error}");
        }
        let page = Reading {
            name: "nvme0".into(),
            page: Blob(vec![0; 511]),
        };
        assert_eq!(page.page(), None);
    }

    #[test]
    fn cut_and_oversize_files_are_refused() {
        let bytes = readings(2).encode();
        for length in 0..bytes.len() {
            assert!(Readings::read(&bytes[..length]).is_err());
        }
        let long = Readings::read(&vec![0; READINGS_BYTES_MAX + 1]).unwrap_err();
        assert!(long.to_string().contains("8192"), "{long}");
    }

    #[test]
    fn only_the_kernel_s_names_are_names() {
        for name in ["nvme0", "nvme12", "nvme000000000000"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "nvme",
            "nvme0n1",
            "nvme/1",
            "sda",
            "xnvme0",
            "nvme0000000000000",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
