//! Makes a bundle of its parts: the ledger's half and each HyperNode's.

use crate::source::{self, Payload, SourceError};
use assay_log::bundle::{self, BundleError};
use assay_log::tar::{self, TarError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why no bundle could be made.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A part could not be read.
    #[error("part {part}: {source}")]
    Part {
        /// Which.
        part: PathBuf,
        /// Why.
        source: SourceError,
    },
    /// Two parts hold the same path with different content.
    #[error("{path}: part {part} holds another content than a part before it")]
    Differs {
        /// The path in the bundle.
        path: String,
        /// The later part.
        part: PathBuf,
    },
    /// The bundle cannot be sealed.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle cannot be put in one file.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// It could not be written.
    #[error("{path}: {source}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// Where a bundle is written: the BagIt directory and its tar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The directory.
    pub bag: PathBuf,
    /// The file.
    pub tar: PathBuf,
}

impl Target {
    /// Both names from the one given: `x.bag` and `x.tar`, whichever was named.
    pub fn of(out: &Path) -> Self {
        let tar_named = out.extension().is_some_and(|extension| extension == "tar");
        let bag = if tar_named {
            out.with_extension("bag")
        } else {
            out.to_owned()
        };
        Self {
            tar: bag.with_extension("tar"),
            bag,
        }
    }
}

/// Merges parts; a path may occur twice only with the same content.
pub fn merge(parts: &[PathBuf]) -> Result<Payload, SealError> {
    let mut merged = Payload::new();
    for part in parts {
        let files = source::tree(part).map_err(|source| SealError::Part {
            part: part.clone(),
            source,
        })?;
        for (path, bytes) in files {
            match merged.get(&path) {
                Some(earlier) if *earlier != bytes => {
                    return Err(SealError::Differs {
                        path,
                        part: part.clone(),
                    });
                }
                _ => drop(merged.insert(path, bytes)),
            }
        }
    }
    Ok(merged)
}

/// Seals a payload and writes it as a directory and as a tar file. Neither may exist yet.
pub fn write(payload: &Payload, target: &Target) -> Result<(), SealError> {
    let bag = bundle::seal(payload)?;
    let archive = tar::encode_tar(&bag)?;
    let new = |path: &Path| match path.symlink_metadata() {
        Ok(_) => Err(failed(path)(io::ErrorKind::AlreadyExists.into())),
        Err(_) => Ok(()),
    };
    new(&target.bag)?;
    new(&target.tar)?;
    for (path, bytes) in &bag {
        let path = target.bag.join(path);
        let folder = path.parent().unwrap_or(&target.bag);
        fs::create_dir_all(folder).map_err(failed(folder))?;
        fs::write(&path, bytes).map_err(failed(&path))?;
    }
    fs::write(&target.tar, archive).map_err(failed(&target.tar))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SealError {
    let path = path.to_owned();
    move |source| SealError::Write { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(dir: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = dir.join(name);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn parts_merge_and_both_forms_hold_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let one = part(dir.path(), "one", &[("a/x", "1"), ("b", "2")]);
        let two = part(dir.path(), "two", &[("a/x", "1"), ("a/y", "3")]);
        let payload = merge(&[one, two]).unwrap();
        assert_eq!(payload.len(), 3);
        let target = Target::of(&dir.path().join("out.tar"));
        write(&payload, &target).unwrap();
        assert_eq!(source::bundle(&target.bag).unwrap(), payload);
        assert_eq!(source::bundle(&target.tar).unwrap(), payload);
        assert!(matches!(
            write(&payload, &target),
            Err(SealError::Write { .. })
        ));
    }

    #[test]
    fn two_contents_of_one_path_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let one = part(dir.path(), "one", &[("a/x", "1")]);
        let two = part(dir.path(), "two", &[("a/x", "2")]);
        let error = merge(&[one, two]).unwrap_err().to_string();
        assert!(error.contains("a/x") && error.contains("two"), "{error}");
    }

    #[test]
    fn both_names_follow_from_either() {
        let expected = Target {
            bag: "n.bag".into(),
            tar: "n.tar".into(),
        };
        assert_eq!(Target::of(Path::new("n.bag")), expected);
        assert_eq!(Target::of(Path::new("n.tar")), expected);
    }
}
