//! File systems: the kernel's own, the verified root, and the one place that is written.

use crate::disks::Parts;
use crate::error::{Failure, at};
use crate::supervise::run;
use assay_protocol::limits::AGENT_CONFIG_BYTES_MAX;
use nix::mount::{MsFlags, mount, umount};
use nix::unistd::Group;
use std::fs::{File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

const VERITYSETUP: &str = "/usr/sbin/veritysetup";
const MKFS: &str = "/usr/sbin/mke2fs";
const SYSROOT: &str = "/sysroot";
const ESP: &str = "/run/esp";
/// Name of the verified device.
const ROOT: &str = "root";
/// The group of the user that the agent becomes.
const AGENT_GROUP: &str = "assay";
/// Mounted in the initial file system and taken along.
const KERNEL: [&str; 4] = ["dev", "proc", "sys", "run"];
/// ext4's magic number (linux/fs/ext4/ext4.h, s_magic) and where it lies.
const EXT4_MAGIC: ([u8; 2], u64) = ([0x53, 0xef], 1024 + 0x38);

/// The kernel's file systems, and one in memory.
pub fn early() -> Result<(), Failure> {
    let nothing = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    attach("devtmpfs", "/dev", nothing, None)?;
    attach("proc", "/proc", nothing | MsFlags::MS_NODEV, None)?;
    attach("sysfs", "/sys", nothing | MsFlags::MS_NODEV, None)?;
    attach(
        "securityfs",
        "/sys/kernel/security",
        nothing | MsFlags::MS_NODEV,
        None,
    )?;
    attach(
        "tmpfs",
        "/run",
        nothing | MsFlags::MS_NODEV,
        Some("mode=0755,size=64m"),
    )
}

fn attach(kind: &str, path: &str, flags: MsFlags, options: Option<&str>) -> Result<(), Failure> {
    // The folders of memory's file system are made here, the others are the kernel's.
    let _ = std::fs::create_dir_all(path);
    mount(Some(kind), path, Some(kind), flags, options).map_err(|errno| at(path)(errno.into()))
}

/// Opens the root file system through its hash tree: a block that differs cannot be read.
pub fn verified_root(parts: &Parts, hash: &str) -> Result<(), Failure> {
    let [data, tree] = [&parts.root, &parts.verity].map(|path| path.display().to_string());
    let words = ["open", &data, ROOT, &tree, hash];
    run(VERITYSETUP, words.into_iter().map(str::to_owned))?;
    let device = format!("/dev/mapper/{ROOT}");
    std::fs::create_dir_all(SYSROOT).map_err(at(SYSROOT))?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    mount(
        Some(device.as_str()),
        SYSROOT,
        Some("squashfs"),
        flags,
        None::<&str>,
    )
    .map_err(|errno| at(&device)(errno.into()))
}

/// One file of the EFI system partition, which stays mounted no longer than that.
pub fn read_from_esp(esp: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    std::fs::create_dir_all(ESP).map_err(at(ESP))?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some(esp), ESP, Some("vfat"), flags, None::<&str>)
        .map_err(|errno| at(esp)(errno.into()))?;
    let path = Path::new(ESP).join(name);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| {
        let most = u64::try_from(AGENT_CONFIG_BYTES_MAX).unwrap_or(u64::MAX);
        // One more than allowed, so that the parser sees what is too long.
        file.take(most.saturating_add(1)).read_to_end(&mut text)
    });
    let unmounted = umount(ESP).map_err(|errno| at(ESP)(errno.into()));
    read.map_err(at(&path))?;
    unmounted.map(|()| text)
}

/// Makes the verified root `/` and forgets the initial file system.
pub fn switch_root() -> Result<(), Failure> {
    for name in KERNEL {
        let (from, to) = (format!("/{name}"), format!("{SYSROOT}/{name}"));
        shift(&from, &to)?;
    }
    forget_initial_files();
    std::env::set_current_dir(SYSROOT).map_err(at(SYSROOT))?;
    shift(".", "/")?;
    nix::unistd::chroot(".").map_err(|errno| at("/")(errno.into()))?;
    std::env::set_current_dir("/").map_err(at("/"))
}

fn shift(from: &str, to: &str) -> Result<(), Failure> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .map_err(|errno| at(to)(errno.into()))
}

/// Gives back the memory they take. What stays, because it is in use or a mount, does no harm.
fn forget_initial_files() {
    for entry in std::fs::read_dir("/").into_iter().flatten().flatten() {
        let kept = KERNEL.iter().any(|name| entry.file_name() == *name);
        if !kept && entry.path() != Path::new(SYSROOT) {
            let _ = std::fs::remove_dir_all(entry.path());
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The state partition, made into a file system the first time. Nothing on it is run or is a device.
pub fn state(device: &Path, mount_point: &Path) -> Result<(), Failure> {
    if is_blank(device)? {
        let words = ["-q", "-t", "ext4", "-L", "assay-state"].map(str::to_owned);
        run(
            MKFS,
            words.into_iter().chain([device.display().to_string()]),
        )?;
    }
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    mount(Some(device), mount_point, Some("ext4"), flags, None::<&str>)
        .map_err(|errno| at(device)(errno.into()))
}

/// Whether no file system was ever made there. Only zeros are overwritten: what is damaged is somebody's to look at.
fn is_blank(device: &Path) -> Result<bool, Failure> {
    let (magic, offset) = EXT4_MAGIC;
    let mut start = vec![0; 4096];
    File::open(device)
        .and_then(|mut file| file.read_exact(&mut start))
        .map_err(at(device))?;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let found = start.get(offset..).and_then(|rest| rest.get(..magic.len()));
    match found == Some(&magic) {
        true => Ok(false),
        false if start.iter().all(|byte| *byte == 0) => Ok(true),
        false => Err(at(device)(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "expected an ext4 file system or zeros",
        ))),
    }
}

/// Lets the agent's group read and write a device: there is no udev, and once the agent serves it is not root.
pub fn give_to_agent(device: &Path) -> Result<(), Failure> {
    let group = Group::from_name(AGENT_GROUP).map_err(|errno| at(device)(errno.into()))?;
    let group = group.ok_or_else(|| {
        at(device)(std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("no group {AGENT_GROUP} in /etc/group"),
        ))
    })?;
    chown(device, None, Some(group.gid.as_raw())).map_err(at(device))?;
    std::fs::set_permissions(device, Permissions::from_mode(0o660)).map_err(at(device))
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(at(parent))?;
    }
    std::fs::write(path, bytes).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zeros_are_blank_and_what_is_neither_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("device");
        let mut bytes = vec![0; 8192];
        std::fs::write(&device, &bytes).unwrap();
        assert!(is_blank(&device).unwrap());
        bytes[5] = 1;
        std::fs::write(&device, &bytes).unwrap();
        let error = is_blank(&device).unwrap_err().to_string();
        assert!(
            error.ends_with("expected an ext4 file system or zeros"),
            "{error}"
        );
        bytes[1080..1082].copy_from_slice(&[0x53, 0xef]);
        std::fs::write(&device, &bytes).unwrap();
        assert!(!is_blank(&device).unwrap());
        std::fs::write(&device, [0; 100]).unwrap();
        assert!(is_blank(&device).is_err());
    }
}
