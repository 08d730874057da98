//! Reads bundles and parts of bundles from disk, bounded, regular files only.

use assay_log::bundle::{self, BundleError};
use assay_log::tar::{self, FILES_MAX, TarError};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Files by path, as [`assay_log`] has them.
pub type Payload = tar::Files;

/// Longest bundle read, in bytes.
pub const BUNDLE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Deepest folder read.
const DEPTH_MAX: usize = 16;

/// Why a bundle could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Longer than is read.
    #[error("{path}: expected at most {max} bytes in all, got more")]
    TooLong {
        /// Where.
        path: PathBuf,
        /// The cap.
        max: u64,
    },
    /// More files, or deeper folders, than are read.
    #[error("{path}: expected at most {FILES_MAX} files in at most {DEPTH_MAX} levels of folders")]
    TooMany {
        /// Where.
        path: PathBuf,
    },
    /// A link, a device, or a name that is not UTF-8.
    #[error("{path}: expected a regular file or a folder with a plain name")]
    Special {
        /// Where.
        path: PathBuf,
    },
    /// A tar file in another form than the deterministic one.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// Not an intact BagIt bag.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// The payload of a bundle: a BagIt directory or its deterministic tar file.
pub fn bundle(path: &Path) -> Result<Payload, SourceError> {
    let meta = fs::metadata(path).map_err(|source| io_error(path, source))?;
    let bag = if meta.is_dir() {
        tree(path)?
    } else {
        tar::decode_tar(&file(path, BUNDLE_BYTES_MAX)?)?
    };
    Ok(bundle::open(&bag)?)
}

/// All files below a folder, by their path in it.
pub fn tree(root: &Path) -> Result<Payload, SourceError> {
    let mut walk = Walk {
        root,
        found: Payload::new(),
        left: BUNDLE_BYTES_MAX,
    };
    walk.folder(root, "", 0)?;
    Ok(walk.found)
}

/// One file, if it is not longer than `max`.
pub fn file(path: &Path, max: u64) -> Result<Vec<u8>, SourceError> {
    let failed = |source| io_error(path, source);
    let opened = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    opened
        .take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(SourceError::TooLong {
            path: path.to_owned(),
            max,
        });
    }
    Ok(bytes)
}

fn io_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Io {
        path: path.to_owned(),
        source,
    }
}

struct Walk<'a> {
    root: &'a Path,
    found: Payload,
    left: u64,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), SourceError> {
        let failed = |source| io_error(folder, source);
        if depth >= DEPTH_MAX {
            return Err(SourceError::TooMany {
                path: self.root.to_owned(),
            });
        }
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let special = || SourceError::Special { path: path.clone() };
            let name = entry.file_name().into_string().map_err(|_| special())?;
            let kind = entry
                .file_type()
                .map_err(|source| io_error(&path, source))?;
            if kind.is_dir() {
                self.folder(&path, &format!("{prefix}{name}/"), depth.saturating_add(1))?;
            } else if kind.is_file() {
                self.file(&path, format!("{prefix}{name}"))?;
            } else {
                return Err(special());
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String) -> Result<(), SourceError> {
        if self.found.len() >= FILES_MAX {
            return Err(SourceError::TooMany {
                path: self.root.to_owned(),
            });
        }
        let bytes = file(path, self.left).map_err(|error| match error {
            SourceError::TooLong { .. } => SourceError::TooLong {
                path: self.root.to_owned(),
                max: BUNDLE_BYTES_MAX,
            },
            other => other,
        })?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.found.insert(name, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_by_path_and_links_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), b"x").unwrap();
        assert_eq!(
            tree(dir.path()).unwrap(),
            Payload::from([("a/b".into(), b"x".to_vec())])
        );
        std::os::unix::fs::symlink("b", dir.path().join("a/c")).unwrap();
        assert!(matches!(tree(dir.path()), Err(SourceError::Special { .. })));
    }

    #[test]
    fn caps_hold_and_missing_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        fs::write(&path, [0; 9]).unwrap();
        assert!(matches!(file(&path, 8), Err(SourceError::TooLong { .. })));
        assert_eq!(file(&path, 9).unwrap().len(), 9);
        let missing = bundle(&dir.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none"), "{missing}");
        let mut deep = dir.path().to_owned();
        (0..=DEPTH_MAX).for_each(|_| deep.push("d"));
        fs::create_dir_all(&deep).unwrap();
        assert!(matches!(tree(dir.path()), Err(SourceError::TooMany { .. })));
    }
}
