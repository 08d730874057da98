//! What the machine is made of, from `/proc` and `/sys`: claimed, beside the claims.

use crate::host_files::HostFiles;
use assay_protocol::hash::digest;
use assay_protocol::ids::Digest;
use assay_protocol::inventory::{Cpu, Disk, Inventory, Nic, SCHEMA};
use assay_protocol::limits::{INVENTORY_DEVICES_MAX, INVENTORY_TEXT_BYTES_MAX};
use std::collections::BTreeSet;

/// Sectors of `/sys/block/*/size`, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;
/// Vital product data page 0x80 begins with four bytes that are not of the serial number (SPC-4, section 7.8.15).
const VPD_HEADER_BYTES: usize = 4;

/// Reads the inventory. What the kernel does not say is empty, zero or absent, as the schema has it.
pub fn read(files: &HostFiles) -> Inventory {
    let mut disks = files.disks();
    disks.truncate(INVENTORY_DEVICES_MAX);
    let mut nics = files.nics();
    nics.truncate(INVENTORY_DEVICES_MAX);
    Inventory {
        schema: SCHEMA,
        cpu: cpu(&files.text("proc/cpuinfo").unwrap_or_default()),
        memory_bytes: memory(&files.text("proc/meminfo").unwrap_or_default()),
        disks: disks.iter().map(|name| disk(files, name)).collect(),
        nics: nics.iter().map(|name| nic(files, name)).collect(),
    }
}

fn cpu(cpuinfo: &str) -> Cpu {
    let lines = || cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let values = |key: &'static str| {
        let named = lines().filter(move |(name, _)| name.trim() == key);
        named.map(|(_, value)| value.trim())
    };
    let threads = values("processor").count();
    let packages: Vec<&str> = values("physical id").collect();
    let within: Vec<&str> = values("core id").collect();
    let sockets = packages.iter().collect::<BTreeSet<_>>().len();
    let cores = packages.iter().zip(&within).collect::<BTreeSet<_>>().len();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Cpu {
        model: clean(values("model name").next()),
        sockets: count(sockets),
        cores: count(cores),
        threads: count(threads),
        microcode: clean(values("microcode").next()),
    }
}

fn memory(meminfo: &str) -> u64 {
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn disk(files: &HostFiles, name: &str) -> Disk {
    let of = |file: &str| format!("sys/block/{name}/{file}");
    let sectors = files.number(&of("size")).unwrap_or(0);
    Disk {
        name: clean(Some(name)),
        model: clean(files.text(&of("device/model")).as_deref()),
        size_bytes: sectors.saturating_mul(SECTOR_BYTES),
        serial: serial(files, name),
        rotates: files.number(&of("queue/rotational")) == Some(1),
    }
}

/// NVMe has it with its device, virtio with its disk, SCSI in a page of vital product data.
fn serial(files: &HostFiles, name: &str) -> Option<Digest> {
    let of = |file: &str| format!("sys/block/{name}/{file}");
    let page = || {
        let page = files.bytes(&of("device/vpd_pg80"))?;
        let serial = page.get(VPD_HEADER_BYTES..)?;
        Some(String::from_utf8_lossy(serial).trim().to_owned())
    };
    let named = ["device/serial", "serial"]
        .iter()
        .find_map(|file| files.text(&of(file)));
    let serial = named.or_else(page).filter(|serial| !serial.is_empty())?;
    Some(digest(&[serial.as_bytes()]))
}

fn nic(files: &HostFiles, name: &str) -> Nic {
    let of = |file: &str| format!("sys/class/net/{name}/{file}");
    Nic {
        name: clean(Some(name)),
        driver: clean(files.link_name(&of("device/driver")).as_deref()),
        speed_mbps: files.number(&of("speed")),
    }
}

/// As the schema wants it: short and without control characters.
fn clean(text: Option<&str>) -> String {
    let kept = text.unwrap_or_default().chars().filter(|c| !c.is_control());
    let mut clean: String = kept.take(INVENTORY_TEXT_BYTES_MAX).collect();
    while clean.len() > INVENTORY_TEXT_BYTES_MAX {
        clean.pop();
    }
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_files::machine;
    use assay_protocol::item::Item as _;

    const CPUINFO: &str = "\
processor\t: 0
model name\t: AMD EPYC 9354P 32-Core Processor
microcode\t: 0xa101148
physical id\t: 0
core id\t\t: 0

processor\t: 1
model name\t: AMD EPYC 9354P 32-Core Processor
microcode\t: 0xa101148
physical id\t: 0
core id\t\t: 0

processor\t: 2
physical id\t: 1
core id\t\t: 0
";

    #[test]
    fn threads_cores_and_sockets_are_counted_apart() {
        let cpu = cpu(CPUINFO);
        assert_eq!((cpu.sockets, cpu.cores, cpu.threads), (2, 2, 3));
        assert_eq!(cpu.model, "AMD EPYC 9354P 32-Core Processor");
        assert_eq!(cpu.microcode, "0xa101148");
        let unnamed = self::cpu("processor\t: 0\n");
        assert_eq!((unnamed.cores, unnamed.model.as_str()), (0, ""));
    }

    #[test]
    fn disks_and_interfaces_are_those_with_a_device() {
        let (_dir, files) = machine(&[
            ("proc/cpuinfo", CPUINFO),
            (
                "proc/meminfo",
                "MemTotal:       24684084 kB\nMemFree: 1 kB\n",
            ),
            ("sys/block/loop0/size", "8\n"),
            ("sys/block/nvme0n1/size", "2000409264\n"),
            (
                "sys/block/nvme0n1/device/model",
                "SAMSUNG MZVL21T0HCLR-00B00              \n",
            ),
            ("sys/block/nvme0n1/device/serial", "S676NX0R123456      \n"),
            ("sys/block/nvme0n1/queue/rotational", "0\n"),
            ("sys/block/sda/size", "16\n"),
            ("sys/block/sda/device/vpd_pg80", "\0\u{7f}\0\u{8}  WD-1234"),
            ("sys/block/sda/queue/rotational", "1\n"),
            ("sys/block/vda/serial", "disk-1\n"),
            ("sys/block/vda/device/vendor", "0x1af4\n"),
            ("sys/class/net/lo/speed", "1\n"),
            (
                "sys/class/net/eth0/device/driver->",
                "../../../bus/pci/drivers/ixgbe",
            ),
            ("sys/class/net/eth0/speed", "25000\n"),
            ("sys/class/net/eth1/device/vendor", "0x1af4\n"),
            ("sys/class/net/eth1/speed", "-1\n"),
        ]);
        let found = read(&files);
        assert_eq!(found.memory_bytes, 24_684_084 * 1024);
        let disks: Vec<_> = found
            .disks
            .iter()
            .map(|d| (d.name.as_str(), d.size_bytes, d.rotates))
            .collect();
        assert_eq!(
            disks,
            [
                ("nvme0n1", 1_024_209_543_168, false),
                ("sda", 8192, true),
                ("vda", 0, false)
            ]
        );
        assert_eq!(found.disks[0].model, "SAMSUNG MZVL21T0HCLR-00B00");
        let serials =
            ["S676NX0R123456", "WD-1234", "disk-1"].map(|s| Some(digest(&[s.as_bytes()])));
        assert_eq!(
            found.disks.iter().map(|d| d.serial).collect::<Vec<_>>(),
            serials
        );
        let nics: Vec<_> = found
            .nics
            .iter()
            .map(|n| (n.name.as_str(), n.driver.as_str(), n.speed_mbps))
            .collect();
        assert_eq!(nics, [("eth0", "ixgbe", Some(25_000)), ("eth1", "", None)]);
        assert_eq!(Inventory::read(&found.encode()), Ok(found));
    }

    #[test]
    fn an_empty_machine_and_one_with_too_much_still_make_a_valid_inventory() {
        let (_dir, files) = machine(&[("proc/cpuinfo", "")]);
        let empty = read(&files);
        assert_eq!(Inventory::read(&empty.encode()), Ok(empty));
        let paths: Vec<String> = (0..40)
            .flat_map(|n| {
                [
                    format!("sys/block/sd{n:02}/device/model"),
                    format!("sys/class/net/e{n:02}/device/x"),
                ]
            })
            .collect();
        let many: Vec<(&str, &str)> = paths
            .iter()
            .map(|path| (path.as_str(), "\u{1b}[2Jé"))
            .collect();
        let (_dir, files) = machine(&many);
        let found = read(&files);
        assert_eq!((found.disks.len(), found.nics.len()), (32, 32));
        assert_eq!(found.disks[0].model, "[2Jé");
        assert_eq!(Inventory::read(&found.encode()), Ok(found));
    }

    #[test]
    fn long_names_end_at_a_character() {
        let long = clean(Some(&"é".repeat(100)));
        assert_eq!(long, "é".repeat(64));
    }

    #[test]
    fn this_machine_has_an_inventory() {
        let found = read(&HostFiles::of_this_machine());
        assert!(found.cpu.threads > 0 && found.memory_bytes > 0);
        assert_eq!(Inventory::read(&found.encode()), Ok(found));
    }
}
