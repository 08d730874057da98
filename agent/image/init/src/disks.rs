//! The image's partitions, found by their GPT names. A name proves nothing: the root file system counts by its hash,
//! and the configuration by being measured.

use crate::error::{Failure, at};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BLOCK_DEVICES: &str = "/sys/class/block";
const WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Names longer than a GPT entry holds are not ours.
const UEVENT_BYTES_MAX: usize = 4096;

/// Devices of the four partitions.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts {
    /// EFI system partition, with the configuration.
    pub esp: PathBuf,
    /// Root file system.
    pub root: PathBuf,
    /// Its hash tree.
    pub verity: PathBuf,
    /// The only place that is written.
    pub state: PathBuf,
}

/// Waits until the disk has shown up.
pub fn wait_for_parts() -> Result<Parts, Failure> {
    let deadline = Instant::now() + WAIT;
    loop {
        match Parts::of(&named(Path::new(BLOCK_DEVICES))?) {
            Err(Failure::Partition { found: 0, .. }) if Instant::now() < deadline => {
                std::thread::sleep(POLL);
            }
            found => return found,
        }
    }
}

impl Parts {
    fn of(named: &BTreeMap<String, Vec<PathBuf>>) -> Result<Self, Failure> {
        let one = |name| match named.get(name).map_or(&[][..], Vec::as_slice) {
            [device] => Ok(device.clone()),
            others => Err(Failure::Partition {
                name,
                found: others.len(),
            }),
        };
        Ok(Self {
            esp: one("assay-esp")?,
            root: one("assay-root")?,
            verity: one("assay-verity")?,
            state: one("assay-state")?,
        })
    }
}

/// Devices by the name of their partition.
fn named(devices: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, Failure> {
    let mut named: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(devices).map_err(at(devices))? {
        let entry = entry.map_err(at(devices))?;
        // A device may go while we look.
        let uevent = std::fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
        if let Some((name, device)) = partition(&uevent) {
            named.entry(name).or_default().push(device);
        }
    }
    Ok(named)
}

/// PARTNAME and device node of one block device's `uevent`.
fn partition(uevent: &str) -> Option<(String, PathBuf)> {
    let field = |name: &str| {
        let mut values = uevent.lines().filter_map(|line| line.strip_prefix(name));
        values.next().map(str::to_owned)
    };
    if uevent.len() > UEVENT_BYTES_MAX {
        return None;
    }
    Some((
        field("PARTNAME=")?,
        Path::new("/dev").join(field("DEVNAME=")?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (number, name) in names.iter().enumerate() {
            let device = dir.path().join(format!("vda{number}"));
            std::fs::create_dir(&device).unwrap();
            let text = format!("MAJOR=254\nDEVNAME=vda{number}\nPARTN={number}\nPARTNAME={name}\n");
            std::fs::write(device.join("uevent"), text).unwrap();
        }
        dir
    }

    const ALL: [&str; 4] = ["assay-esp", "assay-root", "assay-verity", "assay-state"];

    #[test]
    fn four_names_are_four_devices() {
        let dir = disk(&ALL);
        let parts = Parts::of(&named(dir.path()).unwrap()).unwrap();
        assert_eq!(parts.esp, Path::new("/dev/vda0"));
        assert_eq!(parts.state, Path::new("/dev/vda3"));
    }

    #[test]
    fn a_missing_or_doubled_partition_is_named() {
        let dir = disk(&ALL[..3]);
        let error = Parts::of(&named(dir.path()).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "partition assay-state: expected one, found 0"
        );
        let dir = disk(&[&ALL[..], &["assay-root"]].concat());
        let error = Parts::of(&named(dir.path()).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "partition assay-root: expected one, found 2"
        );
    }

    #[test]
    fn whole_disks_have_no_name() {
        assert_eq!(partition("MAJOR=254\nDEVNAME=vda\nDEVTYPE=disk\n"), None);
    }
}
