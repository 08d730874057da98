//! Certificates on disk, a file each. What is here is not trusted for being here: the appraisal verifies a
//! certificate each time it uses it. The cache only neither loses nor mixes them.
//!
//! A file's name is made of its key alone. Content is written beside it, synced, and renamed over it, so a file is
//! whole or not there, whenever the process ends.

use super::error::{ContentError, VcekError};
use super::key::{Item, Product, VcekKey};
use assay_protocol::ids::ChipId;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest certificate, chain or revocation list, in bytes. AMD's are under 6 KiB.
pub const BYTES_MAX: usize = 16 * 1024;
/// Most VCEKs on disk; the one written first goes first. At most 64 MiB together.
pub const FILES_MAX: usize = 4_096;
/// Most VCEKs of one chip: a provider who changes firmware back and forth only displaces its own.
pub const FILES_PER_CHIP_MAX: usize = 8;

/// Files of this name are not finished.
const TEMPORARY: &str = "tmp-";

/// The cache's folder.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    files_max: usize,
    index: Mutex<Index>,
}

/// Which VCEKs there are, and which was written when.
#[derive(Debug, Default)]
struct Index {
    order: BTreeMap<VcekKey, u64>,
    next: u64,
}

impl Cache {
    /// Opens or creates the cache in `dir` and removes what an interrupted write left. Files it does not know stay.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, VcekError> {
        Self::with_cap(dir.into(), FILES_MAX)
    }

    pub(super) fn with_cap(dir: PathBuf, files_max: usize) -> Result<Self, VcekError> {
        make_dir(&dir)?;
        let mut index = Index::default();
        for (_, key) in found(&dir)? {
            index.add(key);
        }
        let cache = Self {
            dir,
            files_max,
            index: Mutex::new(index),
        };
        cache.evict(&mut cache.index())?;
        Ok(cache)
    }

    /// Reads what was kept. What cannot be a certificate is removed and was never there.
    pub fn get(&self, item: &Item) -> Result<Option<Vec<u8>>, VcekError> {
        let mut index = self.index();
        let path = self.path(item);
        match read(&path).map_err(|error| VcekError::disk("read", &path, error))? {
            Some(bytes) if check(item, &bytes).is_ok() => Ok(Some(bytes)),
            Some(_) => self.drop_file(&mut index, item).map(|()| None),
            None => {
                index.forget(item);
                Ok(None)
            }
        }
    }

    /// Keeps something; durable when it returns. Replaces what was kept for the same item.
    pub fn put(&self, item: &Item, bytes: &[u8]) -> Result<(), VcekError> {
        let path = self.path(item);
        check(item, bytes)
            .map_err(|wrong| VcekError::content(path.display().to_string(), wrong))?;
        let mut index = self.index();
        if let Item::Vcek(key) = item {
            let same = read(&path).is_ok_and(|kept| kept.as_deref() == Some(bytes));
            if same && index.order.contains_key(key) {
                return Ok(());
            }
        }
        write_durably(&self.dir, &item.file_name(), bytes)?;
        if let Item::Vcek(key) = item {
            index.add(*key);
            self.evict_chip(&mut index, key)?;
            self.evict(&mut index)?;
        }
        Ok(())
    }

    /// Drops something that turned out wrong. Fine when it is not there.
    pub fn forget(&self, item: &Item) -> Result<(), VcekError> {
        self.drop_file(&mut self.index(), item)
    }

    /// When an item was written, in Unix milliseconds; nothing when it is not there.
    pub fn written_ms(&self, item: &Item) -> Option<u64> {
        let written = fs::metadata(self.path(item)).ok()?.modified().ok()?;
        let since = written.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok()
    }

    /// How many VCEKs there are.
    pub fn count(&self) -> usize {
        self.index().order.len()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, item: &Item) -> PathBuf {
        self.dir.join(item.file_name())
    }

    /// One file operation at a time, so that none undoes another's.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evict(&self, index: &mut Index) -> Result<(), VcekError> {
        while index.order.len() > self.files_max {
            self.drop_oldest(index, |_| true)?;
        }
        Ok(())
    }

    fn evict_chip(&self, index: &mut Index, of: &VcekKey) -> Result<(), VcekError> {
        let chip = |key: &VcekKey| -> (Product, ChipId) { (key.product(), key.chip_id()) };
        let same = |key: &VcekKey| chip(key) == chip(of);
        while index.order.keys().filter(|key| same(key)).count() > FILES_PER_CHIP_MAX {
            self.drop_oldest(index, same)?;
        }
        Ok(())
    }

    fn drop_oldest(
        &self,
        index: &mut Index,
        among: impl Fn(&VcekKey) -> bool,
    ) -> Result<(), VcekError> {
        let of_these = index.order.iter().filter(|(key, _)| among(key));
        let oldest = of_these
            .min_by_key(|(_, order)| **order)
            .map(|(key, _)| *key);
        oldest.map_or(Ok(()), |key| self.drop_file(index, &Item::Vcek(key)))
    }

    fn drop_file(&self, index: &mut Index, item: &Item) -> Result<(), VcekError> {
        let path = self.path(item);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(VcekError::disk("remove", &path, error))
            }
            _ => {
                index.forget(item);
                sync_dir(&self.dir)
            }
        }
    }
}

impl Index {
    fn add(&mut self, key: VcekKey) {
        self.order.insert(key, self.next);
        self.next = self.next.saturating_add(1);
    }

    fn forget(&mut self, item: &Item) {
        if let Item::Vcek(key) = item {
            self.order.remove(key);
        }
    }
}

/// Whether bytes can be what an item is: the size, and the outermost form. Everything else is the appraisal's.
pub(super) fn check(item: &Item, bytes: &[u8]) -> Result<(), ContentError> {
    let actual = bytes.len();
    if actual > BYTES_MAX {
        return Err(ContentError::TooLarge { limit: BYTES_MAX });
    }
    match item {
        Item::Chain(_) if is_pem(bytes) => Ok(()),
        Item::Chain(_) => Err(ContentError::NotPem { actual }),
        Item::Vcek(_) | Item::Crl(_) if is_der_sequence(bytes) => Ok(()),
        Item::Vcek(_) | Item::Crl(_) => Err(ContentError::NotDer { actual }),
    }
}

/// A SEQUENCE whose two-byte length is that of the whole.
fn is_der_sequence(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, 0x82, high, low, content @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            length == content.len() && length > 0xff
        }
        _ => false,
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_end();
    bytes.is_ascii()
        && bytes.starts_with(b"-----BEGIN CERTIFICATE-----")
        && bytes.ends_with(b"-----END CERTIFICATE-----")
}

/// Everything of a file that is a plain file; of one that is too long or something else, what no check accepts.
/// Nothing when there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return Ok(Some(Vec::new()));
        }
        other => other?,
    };
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    }
    Ok(Some(bytes))
}

/// The keys in a folder, the one written first comes first. Removes unfinished files.
fn found(dir: &Path) -> Result<Vec<(SystemTime, VcekKey)>, VcekError> {
    let failed = |error| VcekError::disk("read the folder", dir, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.starts_with(TEMPORARY) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|error| VcekError::disk("remove", &path, error))?;
        } else if let Some(key) = VcekKey::of_file(name) {
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            found.push((written.unwrap_or(UNIX_EPOCH), key));
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a file whole or not at all.
pub(super) fn write_durably(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), VcekError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = dir.join(format!("{TEMPORARY}{}-{count}", std::process::id()));
    let path = dir.join(name);
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, &path));
    if let Err(error) = written {
        // Best effort: the next start removes it, too.
        let _ = fs::remove_file(&temporary);
        return Err(VcekError::disk("write", &path, error));
    }
    sync_dir(dir)
}

fn make_dir(dir: &Path) -> Result<(), VcekError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(|error| VcekError::disk("create the folder", dir, error))?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), sync_dir)
}

fn sync_dir(dir: &Path) -> Result<(), VcekError> {
    File::open(dir)
        .and_then(|file| file.sync_all())
        .map_err(|error| VcekError::disk("sync the folder", dir, error))
}
