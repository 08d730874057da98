//! Content-addressed objects: `dir/aa/bb/<sha256>`, written once, checked at every read.

use crate::StoreError;
use assay_protocol::hash;
use assay_protocol::ids::Digest;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Raw evidence by SHA-256. Writers may share one directory.
#[derive(Debug)]
pub struct ObjectStore {
    dir: PathBuf,
    next: AtomicU64,
}

impl ObjectStore {
    /// Opens or creates the store in `dir` and removes what an interrupted write left.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self {
            dir: dir.into(),
            next: AtomicU64::new(0),
        };
        make_dir(&store.dir)?;
        make_dir(&store.temporary())?;
        store.clean()?;
        Ok(store)
    }

    /// Stores bytes under their SHA-256 and returns it; durable when it returns, and cheap when they are there already.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = hash::digest(&[bytes]);
        let path = self.path(&digest);
        let folder = path.parent().unwrap_or(&self.dir);
        make_dir(folder.parent().unwrap_or(&self.dir))?;
        make_dir(folder)?;
        if self.get(&digest, bytes.len() as u64).is_err() {
            self.write_and_rename(&path, bytes)?;
        }
        sync_dir(folder)?;
        Ok(digest)
    }

    /// Reads an object of at most `limit` bytes and checks its digest.
    pub fn get(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NoObject(*digest));
            }
            other => other.map_err(|error| StoreError::io("open the object", &path, error))?,
        };
        let bytes = read_at_most(file, &path, limit)?;
        let actual = hash::digest(&[&bytes]);
        if actual != *digest {
            return Err(StoreError::CorruptObject {
                path,
                expected: *digest,
                actual,
            });
        }
        Ok(bytes)
    }

    /// Where an object is or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let (first, second) = (name.get(..2).unwrap_or(""), name.get(2..4).unwrap_or(""));
        self.dir.join(first).join(second).join(&name)
    }

    fn temporary(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    fn write_and_rename(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{count}", std::process::id());
        let temporary = self.temporary().join(name);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .and_then(|file| write_synced(file, bytes))
            .map_err(|error| StoreError::io("write the object", path, error))
            .and_then(|()| {
                fs::rename(&temporary, path)
                    .map_err(|error| StoreError::io("rename the object", path, error))
            });
        if written.is_err() {
            // Best effort: the next start removes it, too.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn clean(&self) -> Result<(), StoreError> {
        let temporary = self.temporary();
        let failed = |error| StoreError::io("clean the folder", &temporary, error);
        for entry in fs::read_dir(&temporary).map_err(failed)? {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(())
    }
}

fn read_at_most(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, StoreError> {
    let failed = |error| StoreError::io("read the object", path, error);
    let actual = file.metadata().map_err(failed)?.len();
    if actual > limit {
        return Err(StoreError::ObjectTooLarge {
            path: path.to_owned(),
            limit,
            actual,
        });
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn write_synced(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// Creates one directory and makes its name durable.
fn make_dir(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(|error| StoreError::io("create the folder", dir, error))?;
    dir.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), sync_dir)
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::io("sync the folder", dir, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, ObjectStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = ObjectStore::open(dir.path().join("objects")).unwrap();
        (dir, store)
    }

    #[test]
    fn put_get_and_put_again() {
        let (_dir, store) = store();
        let digest = store.put(b"evidence").unwrap();
        assert_eq!(store.put(b"evidence").unwrap(), digest);
        assert_eq!(store.get(&digest, 8).unwrap(), b"evidence");
        let name = digest.to_string();
        let relative = format!("{}/{}/{name}", &name[..2], &name[2..4]);
        assert!(store.path(&digest).ends_with(relative));
        assert!(fs::read_dir(store.temporary()).unwrap().next().is_none());
    }

    #[test]
    fn absent_oversized_and_changed_objects_are_named() {
        let (_dir, store) = store();
        let absent = store.get(&Digest([1; 32]), 8);
        assert!(matches!(absent, Err(StoreError::NoObject(_))));
        let digest = store.put(b"evidence").unwrap();
        let large = store.get(&digest, 7);
        assert!(matches!(
            large,
            Err(StoreError::ObjectTooLarge {
                limit: 7,
                actual: 8,
                ..
            })
        ));
        fs::write(store.path(&digest), b"forgery!").unwrap();
        let error = store.get(&digest, 8).unwrap_err();
        assert!(matches!(error, StoreError::CorruptObject { .. }));
        assert!(error.to_string().contains("hint:"));
        // Writing it again heals it.
        store.put(b"evidence").unwrap();
        assert_eq!(store.get(&digest, 8).unwrap(), b"evidence");
    }

    #[test]
    fn leftovers_are_removed_at_start() {
        let (_dir, store) = store();
        fs::write(store.temporary().join("1-0"), b"half").unwrap();
        let again = ObjectStore::open(&store.dir).unwrap();
        assert!(fs::read_dir(again.temporary()).unwrap().next().is_none());
    }

    #[test]
    fn a_full_disk_is_named_with_a_hint() {
        let full = Path::new("/dev/full");
        let file = OpenOptions::new().write(true).open(full).unwrap();
        let error = write_synced(file, b"x").unwrap_err();
        let message = StoreError::io("write the object", full, error).to_string();
        assert!(
            message.contains("no space left") && message.contains("hint:"),
            "{message}"
        );
    }

    #[test]
    fn other_errors_keep_their_cause() {
        let (dir, _store) = store();
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = ObjectStore::open(&file).unwrap_err();
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }
}
