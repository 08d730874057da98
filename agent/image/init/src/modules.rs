//! Drivers: those of the devices that are there, and what the image itself needs. Then none any more.

use crate::error::{Failure, at};
use crate::say;
use crate::supervise::run;
use std::collections::BTreeSet;
use std::path::Path;

const MODPROBE: &str = "/usr/sbin/modprobe";
/// File systems and the verified device; the configuration's partition is FAT. Some kernels have some of them built in.
const NEEDED: [&str; 6] = [
    "dm_verity",
    "squashfs",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "ext4",
];
/// The firmware's messages in a confidential guest, and the way to its host: no device asks for the first.
const SEV_GUEST: &str = "sev_guest";
const VSOCK: &str = "vmw_vsock_virtio_transport";
/// A driver shows further devices: controllers, then disks behind them.
const ROUNDS: usize = 3;
const DEPTH_MAX: usize = 16;

/// Loads them.
pub fn load() -> Result<(), Failure> {
    for_devices();
    by_name(&NEEDED)
}

/// Those of a probe guest. Without SEV-SNP its driver finds nothing; the agent then says so to whoever asks.
pub fn load_for_probe_guest() -> Result<(), Failure> {
    for_devices();
    if let Err(failure) = by_name(&[SEV_GUEST]) {
        say(&failure.to_string());
    }
    by_name(&[VSOCK])
}

fn for_devices() {
    for _ in 0..ROUNDS {
        let mut wanted = BTreeSet::new();
        aliases(Path::new("/sys/devices"), DEPTH_MAX, &mut wanted);
        // Quietly: most devices have no driver in the image.
        let arguments = ["-a", "-b", "-q"].map(str::to_owned);
        let _ = run(MODPROBE, arguments.into_iter().chain(wanted));
    }
}

fn by_name(names: &[&str]) -> Result<(), Failure> {
    let names = names.iter().map(|name| (*name).to_owned());
    run(MODPROBE, std::iter::once("-a".to_owned()).chain(names))
}

/// From here on the kernel refuses every module, signed or not.
pub fn close() -> Result<(), Failure> {
    let path = "/proc/sys/kernel/modules_disabled";
    std::fs::write(path, "1").map_err(at(path))
}

/// What the devices below `dir` say they are. Links are not followed; a device may go while we look.
fn aliases(dir: &Path, depth: usize, found: &mut BTreeSet<String>) {
    if let Ok(alias) = std::fs::read_to_string(dir.join("modalias")) {
        found.insert(alias.trim().to_owned());
    }
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            aliases(&entry.path(), depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_says_once_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for (path, alias) in [
            ("pci0/dev1", "pci:a"),
            ("pci0/dev1/virtio0", "virtio:b"),
            ("pci0/dev2", "pci:a"),
        ] {
            let device = dir.path().join(path);
            std::fs::create_dir_all(&device).unwrap();
            std::fs::write(device.join("modalias"), format!("{alias}\n")).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("pci0/loop")).unwrap();
        let mut found = BTreeSet::new();
        aliases(dir.path(), DEPTH_MAX, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["pci:a", "virtio:b"]);
    }
}
