//! Counters of the machine from `/proc`: agent-claimed, integers, unit in the name.
//!
//! They explain and warn; they never pay or slash. They must not contradict the challenges: a
//! chase of R reads moves the region device's read counter by at least R.

use assay_protocol::answers::{Counter, counter};
use std::path::Path;

const SECTOR_BYTES: u64 = 512;
/// `/proc/stat` counts in ticks of USER_HZ, which is 100 on every Linux ABI.
const TICK_MS: u64 = 10;

/// All counters that this machine has; what is absent is left out, never zero.
pub fn read(region_dir: &Path, region_reads: u64) -> Vec<Counter> {
    let mut counters = block_device(region_dir);
    counters.extend(uptime(&text("/proc/uptime")));
    counters.extend(steal(&text("/proc/stat")));
    counters.push(machine(counter::REGION_READ_IOS, region_reads));
    counters
}

/// Seconds since the host booted; 0 when `/proc` does not say.
pub fn uptime_s() -> u64 {
    uptime(&text("/proc/uptime")).map_or(0, |counter| counter.value / 1000)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn machine(id: u16, value: u64) -> Counter {
    Counter {
        id,
        scope: String::new(),
        value,
    }
}

/// `/proc/diskstats` of the device that holds the regions.
fn block_device(region_dir: &Path) -> Vec<Counter> {
    let Ok(stat) = nix::sys::stat::stat(region_dir) else {
        return Vec::new();
    };
    let device = (
        nix::sys::stat::major(stat.st_dev),
        nix::sys::stat::minor(stat.st_dev),
    );
    disk(&text("/proc/diskstats"), device)
}

/// Columns as in the kernel's Documentation/admin-guide/iostats.rst.
fn disk(diskstats: &str, (major, minor): (u64, u64)) -> Vec<Counter> {
    let lines = diskstats
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let (major, minor) = (major.to_string(), minor.to_string());
    let ours = |f: &Vec<&str>| f.len() > 9 && f[0] == major && f[1] == minor;
    let Some(fields) = lines.into_iter().find(ours) else {
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
        Some(Counter {
            id,
            scope: fields[2].to_owned(),
            value,
        })
    };
    columns.into_iter().filter_map(reading).collect()
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

    const DISKSTATS: &str = "\
 254       0 vda 68635 12845 8890802 105674 19586 63333 7408648 50730 0 25212 159657 11199 25 1 2 3 4
 254       1 vda1 5 0 40 7 1 0 8 2 0 9 9
";

    #[test]
    fn the_line_of_the_right_device_is_read() {
        let values = |device| {
            disk(DISKSTATS, device)
                .iter()
                .map(|c| c.value)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            values((254, 0)),
            [68_635, 8_890_802 * 512, 19_586, 7_408_648 * 512]
        );
        assert_eq!(values((254, 1)), [5, 40 * 512, 1, 8 * 512]);
        assert_eq!(disk(DISKSTATS, (254, 0))[0].scope, "vda");
        assert!(values((8, 0)).is_empty());
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
        assert!(disk("254 0 vda 1", (254, 0)).is_empty());
    }
}
