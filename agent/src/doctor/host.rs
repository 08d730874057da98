//! What the operating system says of the machine.

use super::{Finding, fail, pass, skip};
use std::fs;
use std::io;
use std::path::Path;

/// The firmware's variable: four bytes of attributes, then one of value (UEFI 2.10, section 3.3).
pub const SECURE_BOOT: &str =
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// systemd-timesyncd makes this file when it has set the clock.
pub const CLOCK_SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// Whether firmware enforced Secure Boot.
pub fn secure_boot(variable: &Path) -> Finding {
    const NAME: &str = "secure-boot";
    const HINT: &str = "by itself it earns nothing; a class with boot.secure_boot needs it";
    match fs::read(variable).as_deref() {
        Ok([_, _, _, _, 1]) => pass(NAME, "on"),
        Ok([_, _, _, _, 0]) => skip(NAME, "off", HINT),
        Ok(other) => fail(NAME, format!("{} bytes, expected 5", other.len()), HINT),
        Err(_) => skip(NAME, "no such EFI variable", HINT),
    }
}

/// Whether the clock is kept by the network, as far as systemd says.
pub fn clock(synchronised: &Path) -> Finding {
    const NAME: &str = "clock";
    match synchronised.exists() {
        true => pass(NAME, "set by systemd-timesyncd"),
        false => skip(
            NAME,
            "systemd-timesyncd did not set it",
            "see that another time service keeps it: HyperNodes answer by their own clocks",
        ),
    }
}

/// Bytes that may still be written where `path` is.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let status = nix::sys::statvfs::statvfs(path)?;
    Ok(status
        .blocks_available()
        .saturating_mul(status.fragment_size()))
}

/// Memory of the machine, MiB.
pub fn memory_mib() -> Option<u64> {
    total_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// `MemTotal` of `/proc/meminfo`, MiB.
fn total_of(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn secure_boot_is_the_last_of_five_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SecureBoot");
        assert_eq!(secure_boot(&path).verdict, Verdict::Skip);
        for (bytes, verdict) in [
            (&[6, 0, 0, 0, 1][..], Verdict::Pass),
            (&[6, 0, 0, 0, 0], Verdict::Skip),
            (&[6, 0, 0, 0, 2], Verdict::Fail),
            (&[1], Verdict::Fail),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(secure_boot(&path).verdict, verdict, "{bytes:?}");
        }
    }

    #[test]
    fn memory_is_in_mib() {
        assert_eq!(
            total_of("MemFree: 1 kB\nMemTotal:       24117248 kB\n"),
            Some(23_552)
        );
        assert_eq!(total_of("MemTotal: many"), None);
        assert!(memory_mib().is_some());
    }

    #[test]
    fn a_clock_that_nobody_vouches_for_is_not_called_wrong() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(clock(dir.path()).verdict, Verdict::Pass);
        assert_eq!(clock(&dir.path().join("no")).verdict, Verdict::Skip);
    }
}
