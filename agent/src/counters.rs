//! Counters of the machine from `/proc` and `/sys`: agent-claimed, integers, unit in the name, one schema.
//!
//! They explain and warn; they never pay or slash. They must not contradict the challenges: a
//! chase of R reads moves the region device's read counter by at least R blocks.

use crate::host_files::HostFiles;
use crate::smart;
use assay_protocol::answers::{Counter, counter};
use std::path::{Path, PathBuf};

const SECTOR_BYTES: u64 = 512;
/// `/proc/stat` counts in ticks of USER_HZ, which is 100 on every Linux ABI.
const TICK_MS: u64 = 10;
/// Disks and network interfaces whose counters are told: with them an answer stays below the bound of the protocol.
const DISKS_MAX: usize = 8;
const NICS_MAX: usize = 4;

/// Files that are read each time anew: a confined agent must be allowed to.
pub const FILES: [&str; 3] = ["/proc/uptime", "/proc/stat", "/proc/diskstats"];

/// Folders of which the same holds, with all that is in them: of this machine's pressure, disks, memory controllers,
/// processors, NVMe controllers, and of the network interfaces that it has now.
pub fn folders(files: &HostFiles) -> Vec<PathBuf> {
    let fixed = [
        "/proc/pressure",
        "/sys/block",
        "/sys/class/net",
        "/sys/devices/system/cpu",
        "/sys/devices/system/edac",
        smart::FOLDER,
    ];
    let nics = files.nics().into_iter().take(NICS_MAX);
    // By where they really are: rights are of files, not of links to them.
    let statistics = nics
        .filter_map(|name| std::fs::canonicalize(format!("/sys/class/net/{name}/statistics")).ok());
    fixed
        .into_iter()
        .map(PathBuf::from)
        .chain(statistics)
        .collect()
}

/// Major and minor number of a block device.
type Device = (u64, u64);

/// What a challenge's answer says: of the device that holds the regions, and little else, because the answer is waited
/// for. What is absent is left out, never zero.
pub fn of_challenge(files: &HostFiles, region_dir: &Path, region_reads: u64) -> Vec<Counter> {
    let diskstats = files.text("proc/diskstats").unwrap_or_default();
    let mut counters =
        device_of(region_dir).map_or(Vec::new(), |device| disk(&diskstats, |of, _| of == device));
    counters.extend(uptime(&files.text("proc/uptime").unwrap_or_default()));
    counters.extend(steal(&files.text("proc/stat").unwrap_or_default()));
    counters.push(machine(counter::REGION_READ_IOS, region_reads));
    counters
}

/// What goes into claims: everything that this machine counts.
pub fn of_evidence(files: &HostFiles, region_dir: &Path, region_reads: u64) -> Vec<Counter> {
    let mut counters = of_challenge(files, region_dir, region_reads);
    let diskstats = files.text("proc/diskstats").unwrap_or_default();
    let told = counters.first().map(|counter| counter.scope.clone());
    let others = files
        .disks()
        .into_iter()
        .filter(|name| told.as_ref() != Some(name));
    for name in others.take(DISKS_MAX) {
        counters.extend(disk(&diskstats, |_, named| named == name));
    }
    for name in files.nics().iter().take(NICS_MAX) {
        counters.extend(nic(files, name));
    }
    counters.extend(pressure(files));
    counters.extend(memory_errors(files));
    counters.extend(throttles(files));
    counters.extend(smart::counters(files));
    counters
}

/// Seconds since the host booted; 0 when `/proc` does not say.
pub fn uptime_s(files: &HostFiles) -> u64 {
    uptime_ms(files).map_or(0, |milliseconds| milliseconds / 1000)
}

/// Milliseconds since the host booted.
pub fn uptime_ms(files: &HostFiles) -> Option<u64> {
    let uptime = files.text("proc/uptime").and_then(|text| uptime(&text));
    uptime.map(|counter| counter.value)
}

fn machine(id: u16, value: u64) -> Counter {
    scoped(id, "", value)
}

fn scoped(id: u16, scope: &str, value: u64) -> Counter {
    Counter {
        id,
        scope: scope.to_owned(),
        value,
    }
}

/// The device that holds a folder; file systems without one of their own (tmpfs, overlay, btrfs) name a number that
/// no block device has.
fn device_of(folder: &Path) -> Option<Device> {
    let device = nix::sys::stat::stat(folder).ok()?.st_dev;
    Some((nix::sys::stat::major(device), nix::sys::stat::minor(device)))
}

/// The first line of `/proc/diskstats` that is wanted, by numbers and name. Columns as in the kernel's
/// Documentation/admin-guide/iostats.rst.
fn disk(diskstats: &str, is_wanted: impl Fn(Device, &str) -> bool) -> Vec<Counter> {
    let lines = diskstats
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let wanted = |fields: &Vec<&str>| {
        let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
        let device = number(0).zip(number(1));
        fields.len() > 9 && device.is_some_and(|device| is_wanted(device, fields[2]))
    };
    let Some(fields) = lines.into_iter().find(wanted) else {
        return Vec::new();
    };
    let columns = [
        (counter::DISK_READ_IOS, 3, 1),
        (counter::DISK_READ_BYTES, 5, SECTOR_BYTES),
        (counter::DISK_WRITE_IOS, 7, 1),
        (counter::DISK_WRITE_BYTES, 9, SECTOR_BYTES),
    ];
    let reading = |(id, column, unit): (u16, usize, u64)| {
        let value = fields[column].parse::<u64>().ok()?.saturating_mul(unit);
        Some(scoped(id, fields[2], value))
    };
    columns.into_iter().filter_map(reading).collect()
}

fn nic(files: &HostFiles, name: &str) -> Vec<Counter> {
    let of = |id, file: &str| {
        let value = files.number(&format!("sys/class/net/{name}/statistics/{file}"))?;
        Some(scoped(id, name, value))
    };
    let both = [
        of(counter::NIC_RX_BYTES, "rx_bytes"),
        of(counter::NIC_TX_BYTES, "tx_bytes"),
    ];
    both.into_iter().flatten().collect()
}

/// Pressure stall information (the kernel's Documentation/accounting/psi.rst).
fn pressure(files: &HostFiles) -> Vec<Counter> {
    let kinds = [
        (counter::PRESSURE_CPU_SOME_US, "cpu", "some"),
        (counter::PRESSURE_MEMORY_SOME_US, "memory", "some"),
        (counter::PRESSURE_MEMORY_FULL_US, "memory", "full"),
        (counter::PRESSURE_IO_SOME_US, "io", "some"),
        (counter::PRESSURE_IO_FULL_US, "io", "full"),
    ];
    let read = |(id, file, line)| {
        let text = files.text(&format!("proc/pressure/{file}"))?;
        Some(machine(id, stalled_us(&text, line)?))
    };
    kinds.into_iter().filter_map(read).collect()
}

fn stalled_us(text: &str, line: &str) -> Option<u64> {
    let line = text.lines().find_map(|all| all.strip_prefix(line))?;
    let total = line
        .split_whitespace()
        .find_map(|field| field.strip_prefix("total="))?;
    total.parse().ok()
}

/// Of all memory controllers that the kernel's EDAC knows.
fn memory_errors(files: &HostFiles) -> Vec<Counter> {
    let kinds = [
        (counter::MEMORY_ERRORS_CORRECTED, "ce_count"),
        (counter::MEMORY_ERRORS_UNCORRECTED, "ue_count"),
    ];
    let sum =
        |(id, file)| sum(files, "sys/devices/system/edac/mc", file).map(|value| machine(id, value));
    kinds.into_iter().filter_map(sum).collect()
}

fn throttles(files: &HostFiles) -> Option<Counter> {
    let file = "thermal_throttle/core_throttle_count";
    sum(files, "sys/devices/system/cpu", file).map(|value| machine(counter::CPU_THROTTLES, value))
}

/// The sum over a file of each part in a folder; nothing when no part has it.
fn sum(files: &HostFiles, folder: &str, file: &str) -> Option<u64> {
    let parts = files.names(folder).into_iter();
    let numbers = parts.filter_map(|part| files.number(&format!("{folder}/{part}/{file}")));
    numbers.reduce(u64::saturating_add)
}

/// Time a hypervisor took from us.
fn steal(stat: &str) -> Option<Counter> {
    let first = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: u64 = first.split_whitespace().nth(7)?.parse().ok()?;
    Some(machine(counter::STEAL_MS, ticks.saturating_mul(TICK_MS)))
}

/// `/proc/uptime` has two decimals; read as integers.
fn uptime(text: &str) -> Option<Counter> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let (seconds, hundredths): (u64, u64) = (seconds.parse().ok()?, hundredths.parse().ok()?);
    let value = seconds
        .checked_mul(1000)?
        .checked_add(hundredths.checked_mul(10)?)?;
    Some(machine(counter::UPTIME_MS, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_files;
    use assay_protocol::item::Item as _;
    use assay_protocol::limits::COUNTERS_MAX;
    use std::os::unix::fs::MetadataExt as _;

    const DISKSTATS: &str = "\
 254       0 vda 68635 12845 8890802 105674 19586 63333 7408648 50730 0 25212 159657 11199 25 1 2 3 4
 254       1 vda1 5 0 40 7 1 0 8 2 0 9 9
 253       0 dm-0 9 0 72 7 1 0 8 2 0 9 9
";

    #[test]
    fn the_line_of_the_right_device_is_read() {
        let values = |device| {
            disk(DISKSTATS, |of, _| of == device)
                .iter()
                .map(|c| c.value)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            values((254, 0)),
            [68_635, 8_890_802 * 512, 19_586, 7_408_648 * 512]
        );
        assert_eq!(values((254, 1)), [5, 40 * 512, 1, 8 * 512]);
        assert_eq!(values((253, 0))[..2], [9, 72 * 512]);
        assert_eq!(disk(DISKSTATS, |_, name| name == "vda")[0].scope, "vda");
        assert!(values((8, 0)).is_empty());
        assert!(values((0, 254)).is_empty());
    }

    #[test]
    fn decimals_and_ticks_become_milliseconds() {
        assert_eq!(uptime("1755.42 2578.28\n").unwrap().value, 1_755_420);
        assert_eq!(steal("cpu  1 2 3 4 5 6 7 88 0 0\n").unwrap().value, 880);
    }

    #[test]
    fn garbage_is_absence() {
        assert_eq!(uptime(""), None);
        assert_eq!(uptime("x.y"), None);
        assert_eq!(steal("cpu 1 2"), None);
        assert!(disk("254 0 vda 1", |_, _| true).is_empty());
        assert!(disk("a b vda 1 2 3 4 5 6 7 8", |_, _| true).is_empty());
        // One column short of the last that is read.
        assert!(disk("254 0 vda 1 2 3 4 5 6", |_, _| true).is_empty());
        assert_eq!(stalled_us("some avg10=0.00", "some"), None);
        assert_eq!(stalled_us("", "full"), None);
    }

    #[test]
    fn uptime_is_told_in_whole_seconds_too() {
        let (_dir, files) = host_files::machine(&[("proc/uptime", "1755.42 2578.28\n")]);
        assert_eq!(uptime_ms(&files), Some(1_755_420));
        assert_eq!(uptime_s(&files), 1_755);
        let (_dir, files) = host_files::machine(&[]);
        assert_eq!((uptime_ms(&files), uptime_s(&files)), (None, 0));
    }

    #[test]
    fn a_confined_agent_may_read_the_folders_of_everything_it_tells() {
        let folders = folders(&HostFiles::of_this_machine());
        for folder in [
            "/proc/pressure",
            "/sys/block",
            "/sys/class/net",
            smart::FOLDER,
        ] {
            assert!(folders.contains(&PathBuf::from(folder)), "{folder}");
        }
    }

    #[test]
    fn the_disk_of_the_regions_is_told_first_and_no_disk_twice() {
        let dir = tempfile::tempdir().unwrap();
        // Not by what is tested.
        let number = std::fs::metadata(dir.path()).unwrap().dev();
        let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
        let (other, line) = (minor + 1, "1 2 3 4 5 6 7 8");
        let diskstats = format!("{major} {other} sda {line}\n{major} {minor} vda {line}\n");
        let (_dir, files) = host_files::machine(&[
            ("proc/diskstats", &diskstats),
            ("sys/block/sda/device/vendor", ""),
            ("sys/block/vda/device/vendor", ""),
        ]);
        let counters = of_evidence(&files, dir.path(), 0);
        let reads = counters
            .iter()
            .filter(|one| one.id == counter::DISK_READ_IOS);
        let scopes: Vec<&str> = reads.map(|one| one.scope.as_str()).collect();
        assert_eq!(scopes, ["vda", "sda"]);
    }

    const PRESSURE: &str = "some avg10=0.18 avg60=1.89 avg300=9.68 total=418286172\n\
                            full avg10=0.00 avg60=0.00 avg300=0.23 total=101834464\n";

    fn values(counters: &[Counter]) -> Vec<(u16, &str, u64)> {
        counters
            .iter()
            .map(|c| (c.id, c.scope.as_str(), c.value))
            .collect()
    }

    #[test]
    fn everything_counted_is_told_in_evidence_and_the_device_of_the_regions_once() {
        let (dir, files) = host_files::machine(&[
            ("proc/diskstats", DISKSTATS),
            ("proc/pressure/io", PRESSURE),
            ("proc/pressure/cpu", PRESSURE),
            ("sys/block/vda/device/vendor", ""),
            ("sys/class/net/eth0/device/vendor", ""),
            ("sys/class/net/eth0/statistics/rx_bytes", "7\n"),
            ("sys/class/net/eth0/statistics/tx_bytes", "8\n"),
            ("sys/class/net/lo/statistics/rx_bytes", "9\n"),
            ("sys/devices/system/edac/mc/mc0/ce_count", "3\n"),
            ("sys/devices/system/edac/mc/mc1/ce_count", "4\n"),
            ("sys/devices/system/edac/mc/mc0/ue_count", "0\n"),
            (
                "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
                "5\n",
            ),
            (
                "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count",
                "6\n",
            ),
        ]);
        let counters = of_evidence(&files, dir.path(), 11);
        let expected = [
            (counter::REGION_READ_IOS, "", 11),
            (counter::DISK_READ_IOS, "vda", 68_635),
            (counter::NIC_RX_BYTES, "eth0", 7),
            (counter::NIC_TX_BYTES, "eth0", 8),
            (counter::PRESSURE_CPU_SOME_US, "", 418_286_172),
            (counter::PRESSURE_IO_SOME_US, "", 418_286_172),
            (counter::PRESSURE_IO_FULL_US, "", 101_834_464),
            (counter::MEMORY_ERRORS_CORRECTED, "", 7),
            (counter::MEMORY_ERRORS_UNCORRECTED, "", 0),
            (counter::CPU_THROTTLES, "", 11),
        ];
        let values = values(&counters);
        for wanted in expected {
            assert_eq!(
                values.iter().filter(|value| **value == wanted).count(),
                1,
                "{wanted:?}"
            );
        }
        let of_lo = values.iter().any(|value| value.1 == "lo");
        let absent = values
            .iter()
            .any(|value| value.0 == counter::PRESSURE_MEMORY_SOME_US);
        assert_eq!((of_lo, absent), (false, false));
    }

    #[test]
    fn the_largest_machine_stays_within_the_bound() {
        let mut paths: Vec<(String, String)> = Vec::new();
        let mut diskstats = String::new();
        for n in 0..20 {
            paths.push((format!("sys/block/sd{n:02}/device/x"), String::new()));
            diskstats += &format!("8 {n} sd{n:02} 1 2 3 4 5 6 7 8 9\n");
            let nic = format!("sys/class/net/eth{n:02}");
            paths.push((format!("{nic}/device/x"), String::new()));
            paths.push((format!("{nic}/statistics/rx_bytes"), "1".into()));
            paths.push((format!("{nic}/statistics/tx_bytes"), "1".into()));
        }
        for file in ["cpu", "memory", "io"] {
            paths.push((format!("proc/pressure/{file}"), PRESSURE.into()));
        }
        paths.push(("proc/diskstats".into(), diskstats));
        paths.push(("proc/uptime".into(), "1.00 1.00".into()));
        paths.push(("proc/stat".into(), "cpu  1 2 3 4 5 6 7 8".into()));
        paths.push(("sys/devices/system/edac/mc/mc0/ce_count".into(), "1".into()));
        paths.push(("sys/devices/system/edac/mc/mc0/ue_count".into(), "1".into()));
        paths.push((
            "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count".into(),
            "1".into(),
        ));
        let paths: Vec<(&str, &str)> = paths
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let (dir, files) = host_files::machine(&paths);
        std::fs::create_dir_all(dir.path().join("run/assay")).unwrap();
        let file = dir.path().join(&smart::READINGS[1..]);
        std::fs::write(file, smart::readings(&[1; 8]).encode()).unwrap();
        // The device of the regions may be one more than the disks that are told, and energy is counted elsewhere.
        let counters = of_evidence(&files, dir.path(), 1).len() + 4 + 1;
        assert_eq!(counters, 153);
        assert!(counters <= COUNTERS_MAX, "{counters}");
    }

    #[test]
    fn every_counter_of_this_machine_has_a_name() {
        let files = HostFiles::of_this_machine();
        let counters = of_evidence(&files, Path::new("/"), 0);
        assert!(counters.iter().all(|c| counter::name(c.id).is_some()));
        assert!(uptime_s(&files) > 0);
    }
}
