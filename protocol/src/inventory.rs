//! What a machine says it is made of: agent-claimed, beside the claims that name its digest (ARCHITECTURE section 6).
//!
//! It explains a node to people. No tier, check of a class or verdict looks at it.

use crate::cbor::CborError;
use crate::cbor_map;
use crate::ids::Digest;
use crate::item::Item;
use crate::limits::{INVENTORY_BYTES_MAX, INVENTORY_DEVICES_MAX, INVENTORY_TEXT_BYTES_MAX};

/// The schema of this version.
pub const SCHEMA: u8 = 1;

cbor_map! {
    /// The processors, which are taken to be alike.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Cpu {
        /// As they name themselves; empty when they do not.
        1 => model: String,
        /// Packages, count.
        2 => sockets: u32,
        /// Cores of all packages, count.
        3 => cores: u32,
        /// Hardware threads, count.
        4 => threads: u32,
        /// Revision of the microcode as the kernel names it; empty when it does not.
        5 => microcode: String,
    }
}

cbor_map! {
    /// A whole disk.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Disk {
        /// The kernel's name, the scope of its counters.
        1 => name: String,
        /// As it names itself; empty when it does not.
        2 => model: String,
        /// Its size in bytes.
        3 => size_bytes: u64,
        /// SHA-256 of its serial number: tells whether it is the same disk, and not which one.
        4 => serial: Option<Digest>,
        /// Whether the kernel says that it turns.
        5 => rotates: bool,
    }
}

cbor_map! {
    /// A network interface with a device behind it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Nic {
        /// The kernel's name, the scope of its counters.
        1 => name: String,
        /// The kernel's driver; empty when it has no name.
        2 => driver: String,
        /// Speed of the link in megabits a second, while there is one that is known.
        3 => speed_mbps: Option<u64>,
    }
}

cbor_map! {
    /// A machine.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Inventory {
        /// Schema version, [`SCHEMA`].
        1 => schema: u8,
        /// The processors.
        2 => cpu: Cpu,
        /// Memory the kernel has, in bytes.
        3 => memory_bytes: u64,
        /// Disks, ascending by name.
        4 => disks: Vec<Disk>,
        /// Network interfaces, ascending by name.
        5 => nics: Vec<Nic>,
    }
}

impl Inventory {
    /// Reads an inventory strictly: its deterministic encoding, this schema, within the bounds, in order.
    pub fn read(bytes: &[u8]) -> Result<Self, CborError> {
        let inventory: Self = Item::decode("inventory", INVENTORY_BYTES_MAX, bytes)?;
        inventory.check()?;
        Ok(inventory)
    }

    fn check(&self) -> Result<(), CborError> {
        if self.schema != SCHEMA {
            return Err(refused("schema", SCHEMA, self.schema));
        }
        let disks: Vec<&str> = self.disks.iter().map(|disk| disk.name.as_str()).collect();
        let nics: Vec<&str> = self.nics.iter().map(|nic| nic.name.as_str()).collect();
        for (what, names) in [("disks", &disks), ("network interfaces", &nics)] {
            if names.len() > INVENTORY_DEVICES_MAX {
                let most = format!("at most {INVENTORY_DEVICES_MAX}");
                return Err(refused(what, most, names.len()));
            }
            if !names.is_sorted_by(|one, next| one < next) {
                return Err(refused(what, "ascending names", names.join(", ")));
            }
        }
        let models = self.disks.iter().map(|disk| disk.model.as_str());
        let drivers = self.nics.iter().map(|nic| nic.driver.as_str());
        let cpu = [self.cpu.model.as_str(), self.cpu.microcode.as_str()];
        let mut texts = cpu
            .into_iter()
            .chain(disks)
            .chain(nics)
            .chain(models)
            .chain(drivers);
        texts.try_for_each(check_text)
    }
}

/// Short, and nothing that could steer the terminal it is shown on.
fn check_text(text: &str) -> Result<(), CborError> {
    let most = format!("at most {INVENTORY_TEXT_BYTES_MAX} bytes");
    if text.len() > INVENTORY_TEXT_BYTES_MAX {
        return Err(refused("text", most, text.len()));
    }
    match text.chars().any(char::is_control) {
        true => Err(refused(
            "text",
            "no control characters",
            text.escape_debug(),
        )),
        false => Ok(()),
    }
}

fn refused(what: &str, expected: impl ToString, actual: impl ToString) -> CborError {
    CborError::Schema {
        what: format!("inventory: {what}"),
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let disk = |name: &str| Disk {
            name: name.into(),
            model: "QEMU HARDDISK".into(),
            size_bytes: 1 << 40,
            serial: Some(Digest([1; 32])),
            rotates: false,
        };
        let nic = |name: &str, speed_mbps| Nic {
            name: name.into(),
            driver: "virtio_net".into(),
            speed_mbps,
        };
        Inventory {
            schema: SCHEMA,
            cpu: Cpu {
                model: "AMD EPYC 9354P".into(),
                sockets: 1,
                cores: 32,
                threads: 64,
                microcode: "0xa101148".into(),
            },
            memory_bytes: 1 << 38,
            disks: vec![disk("nvme0n1"), disk("sda")],
            nics: vec![nic("eth0", Some(25_000)), nic("eth1", None)],
        }
    }

    #[test]
    fn round_trip() {
        assert_eq!(Inventory::read(&inventory().encode()), Ok(inventory()));
    }

    #[test]
    fn another_schema_disorder_and_what_is_too_long_are_named() {
        let refused = |change: fn(&mut Inventory)| {
            let mut bad = inventory();
            change(&mut bad);
            Inventory::read(&bad.encode()).unwrap_err().to_string()
        };
        assert!(refused(|i| i.schema = 2).contains("schema"));
        assert!(refused(|i| i.disks.reverse()).contains("ascending"));
        assert!(refused(|i| i.nics[1].name = "eth0".into()).contains("ascending"));
        let many = refused(|i| {
            let disk = i.disks[0].clone();
            let named = |n| Disk {
                name: format!("sd{n:03}"),
                ..disk.clone()
            };
            i.disks = (0..=INVENTORY_DEVICES_MAX).map(named).collect();
        });
        assert!(many.contains("disks") && many.contains("got 33"), "{many}");
        for change in [
            (|i| i.cpu.model = "x".repeat(129)) as fn(&mut Inventory),
            |i| i.cpu.microcode = "x".repeat(129),
            |i| i.disks[0].model = "x".repeat(129),
            |i| i.disks[0].name = "a".repeat(129),
            |i| i.nics[0].driver = "x".repeat(129),
            |i| i.nics[0].name = "a".repeat(129),
        ] {
            assert!(refused(change).contains("got 129"));
        }
    }

    #[test]
    fn text_that_steers_a_terminal_is_refused_and_not_repeated() {
        let mut bad = inventory();
        bad.disks[0].model = "\x1b[2J".into();
        let error = Inventory::read(&bad.encode()).unwrap_err().to_string();
        assert!(
            error.contains("control") && !error.contains('\x1b'),
            "{error}"
        );
    }

    #[test]
    fn cut_and_oversize_bytes_are_refused() {
        let bytes = inventory().encode();
        for length in 0..bytes.len() {
            assert!(Inventory::read(&bytes[..length]).is_err());
        }
        assert!(Inventory::read(&vec![0; INVENTORY_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn the_largest_inventory_fits_its_cap() {
        let long = |n: usize| format!("{n:0>width$}", width = INVENTORY_TEXT_BYTES_MAX);
        let mut largest = inventory();
        let disk = largest.disks[0].clone();
        largest.disks = (0..INVENTORY_DEVICES_MAX)
            .map(|n| Disk {
                name: long(n),
                model: long(n),
                size_bytes: u64::MAX,
                ..disk.clone()
            })
            .collect();
        largest.nics = (0..INVENTORY_DEVICES_MAX)
            .map(|n| Nic {
                name: long(n),
                driver: long(n),
                speed_mbps: Some(u64::MAX),
            })
            .collect();
        assert_eq!(Inventory::read(&largest.encode()), Ok(largest));
    }
}
