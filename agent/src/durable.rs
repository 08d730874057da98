//! Files that are either the old or the new version after a crash, never something between.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Replaces `path` by `bytes` with `mode`: temporary file beside it, fsync, rename, fsync of the
/// directory. When this returns `Ok` the new content survives a power loss.
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    let _ = std::fs::remove_file(&temporary);
    let written =
        write_new(&temporary, mode, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    sync_directory_of(path)
}

/// Makes a creation, rename or removal in `path`'s directory durable.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}
