//! Files and buffers that may be measured.

use super::template::{DigestKind, Event, FileDigest, algorithm_name};
use crate::tpm::algorithm::HashAlg;
use std::collections::{BTreeMap, BTreeSet};

/// Most entries of an allowlist.
pub const ALLOWLIST_ENTRIES_MAX: usize = 4_000_000;
/// Most digests of one path.
const DIGESTS_OF_PATH_MAX: usize = 4_096;

/// An allowlist cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowlistError {
    /// A line is none of the accepted forms.
    #[error("allowlist: line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Too many entries.
    #[error("allowlist: expected at most {max} entries, got more")]
    TooMany {
        /// The cap.
        max: usize,
    },
    /// Nothing is allowed: that is no expectation.
    #[error("allowlist: expected an entry, got none")]
    Empty,
    /// A prefix that is no whole folder.
    #[error(
        "allowlist: excluded prefix: expected a folder that begins and ends with '/', got {0:?}"
    )]
    Prefix(String),
}

/// What an allowlist says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// This name with this digest.
    Path,
    /// This digest under any name.
    Digest,
    /// The name begins with an excluded folder.
    Excluded,
    /// The name is there, with other digests.
    OtherDigest,
    /// Nothing.
    No,
}

type Key = (DigestKind, HashAlg, Box<[u8]>);

/// Digests by path, digests under any name, and excluded folders. There are no patterns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowlist {
    by_path: BTreeMap<Box<[u8]>, Vec<Key>>,
    any_path: BTreeSet<Key>,
    excluded: Vec<Box<[u8]>>,
    count: usize,
}

impl Allowlist {
    /// Reads lines of `sha256sum`'s form: a digest in hexadecimal, a blank, a blank or `*`, a path. A digest
    /// alone allows it under any name. `sha512:`, `verity:sha256:` and so on may stand before the digest;
    /// without, its length tells the algorithm. Lines that begin with `#` and empty lines are skipped.
    ///
    /// Blanks in paths are compared as the kernel writes them: as `_`.
    pub fn parse(text: &[u8]) -> Result<Self, AllowlistError> {
        let mut list = Self::default();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let at = |problem| AllowlistError::Line {
                line: number.saturating_add(1),
                problem,
            };
            list.line(line).map_err(at)?;
            list.cap()?;
        }
        match list.count {
            0 => Err(AllowlistError::Empty),
            _ => Ok(list),
        }
    }

    /// Allows `digest` under `path`.
    pub fn allow(&mut self, path: &[u8], digest: &FileDigest<'_>) -> Result<(), AllowlistError> {
        let name: Box<[u8]> = path
            .iter()
            .map(|b| if *b == b' ' { b'_' } else { *b })
            .collect();
        let digests = self.by_path.entry(name).or_default();
        let key = key(digest);
        if let Err(at) = digests.binary_search(&key) {
            if digests.len() >= DIGESTS_OF_PATH_MAX {
                let max = DIGESTS_OF_PATH_MAX;
                return Err(AllowlistError::TooMany { max });
            }
            digests.insert(at, key);
            self.count = self.count.saturating_add(1);
        }
        self.cap()
    }

    /// Allows `digest` under any name.
    pub fn allow_anywhere(&mut self, digest: &FileDigest<'_>) -> Result<(), AllowlistError> {
        if self.any_path.insert(key(digest)) {
            self.count = self.count.saturating_add(1);
        }
        self.cap()
    }

    /// Leaves everything below a folder unjudged: `/var/log/` covers `/var/log/x`, not `/var/logs`.
    ///
    /// Whoever can write there can run anything from there. Only entries whose name is proven are excluded:
    /// a violation never is.
    pub fn exclude(&mut self, folder: &[u8]) -> Result<(), AllowlistError> {
        if !folder.starts_with(b"/") || !folder.ends_with(b"/") {
            return Err(AllowlistError::Prefix(folder.escape_ascii().to_string()));
        }
        self.excluded.push(folder.into());
        self.cap()
    }

    /// How many digests are allowed.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no digest is allowed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn look_up(&self, event: &Event<'_>) -> Listed {
        let key = key(&event.digest);
        let of_path = self.by_path.get(event.name);
        if of_path.is_some_and(|digests| digests.binary_search(&key).is_ok()) {
            return Listed::Path;
        }
        if self.any_path.contains(&key) {
            return Listed::Digest;
        }
        if self
            .excluded
            .iter()
            .any(|prefix| event.name.starts_with(prefix))
        {
            return Listed::Excluded;
        }
        match of_path {
            Some(_) => Listed::OtherDigest,
            None => Listed::No,
        }
    }

    fn cap(&self) -> Result<(), AllowlistError> {
        let count = self.count.saturating_add(self.excluded.len());
        match count <= ALLOWLIST_ENTRIES_MAX {
            true => Ok(()),
            false => Err(AllowlistError::TooMany {
                max: ALLOWLIST_ENTRIES_MAX,
            }),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let blank = line.iter().position(|byte| *byte == b' ');
        let (word, rest) = line
            .split_at_checked(blank.unwrap_or(line.len()))
            .unwrap_or_default();
        let digest = Parsed::read(word)?;
        let digest = digest.borrowed();
        let path = match rest {
            [] => None,
            [b' ', b' ' | b'*', path @ ..] if !path.is_empty() => Some(path),
            _ => return Err("expected two blanks, or a blank and '*', and a path".into()),
        };
        match path {
            Some(path) => self.allow(path, &digest),
            None => self.allow_anywhere(&digest),
        }
        .map_err(|error| error.to_string())
    }
}

struct Parsed {
    kind: DigestKind,
    alg: HashAlg,
    bytes: Vec<u8>,
}

impl Parsed {
    /// `[verity:][algorithm:]hex`.
    fn read(word: &[u8]) -> Result<Self, String> {
        let (kind, word) = match word.strip_prefix(b"verity:") {
            Some(rest) => (DigestKind::Verity, rest),
            None => (DigestKind::Content, word),
        };
        let colon = word.iter().position(|byte| *byte == b':');
        let label = colon.and_then(|at| word.get(..at));
        let digits = colon.map_or(Some(word), |at| word.get(at.saturating_add(1)..));
        let bytes = hex::decode(digits.unwrap_or_default()).map_err(|_| {
            format!(
                "expected a digest, got {:?}",
                word.escape_ascii().to_string()
            )
        })?;
        let by_size = super::list::ALGORITHMS
            .into_iter()
            .find(|alg| alg.size() == bytes.len())
            .ok_or_else(|| format!("expected 20, 32, 48 or 64 bytes, got {}", bytes.len()))?;
        match label {
            Some(label) if label != algorithm_name(by_size).as_bytes() => Err(format!(
                "expected {} for {} bytes, got {:?}",
                algorithm_name(by_size),
                bytes.len(),
                label.escape_ascii().to_string()
            )),
            _ => Ok(Self {
                kind,
                alg: by_size,
                bytes,
            }),
        }
    }

    fn borrowed(&self) -> FileDigest<'_> {
        FileDigest {
            kind: self.kind,
            alg: self.alg,
            bytes: &self.bytes,
        }
    }
}

fn key(digest: &FileDigest<'_>) -> Key {
    (digest.kind, digest.alg, digest.bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_entries_together_are_capped() {
        let too_many = Err(AllowlistError::TooMany {
            max: ALLOWLIST_ENTRIES_MAX,
        });
        let list = |count: usize| Allowlist {
            count,
            ..Allowlist::default()
        };
        assert_eq!(list(ALLOWLIST_ENTRIES_MAX - 1).exclude(b"/a/"), Ok(()));
        assert_eq!(list(ALLOWLIST_ENTRIES_MAX).exclude(b"/a/"), too_many);
    }
}
