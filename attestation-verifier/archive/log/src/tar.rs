//! One file of many: a deterministic POSIX ustar archive (IEEE 1003.1-1988, section 10.1.1).
//!
//! Regular files only, ascending by path, mode 0644, owner 0, time 0, ended by two zero blocks. A set of files has exactly one
//! archive: [`decode_tar`] refuses every other spelling, whatever `tar` would make of it.

use std::collections::BTreeMap;

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Most files of an archive.
pub const FILES_MAX: usize = 65_536;
/// Longest archive, in bytes.
pub const ARCHIVE_BYTES_MAX: usize = 1 << 30;
/// Longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 200;

const BLOCK: usize = 512;
const NAME_LEN: usize = 100;
const PREFIX_LEN: usize = 155;

/// Why bytes are not such an archive, or files cannot be put in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    /// A path that could lead anywhere else, or that some system could not hold.
    #[error(
        "path {0:?}: expected 1 to {PATH_BYTES_MAX} letters, digits, '.', '-', '_' in segments separated by '/', none starting with '.'"
    )]
    Path(String),
    /// Too many files.
    #[error("archive: expected at most {FILES_MAX} files, got {0}")]
    TooManyFiles(usize),
    /// Too long.
    #[error("archive: expected at most {ARCHIVE_BYTES_MAX} bytes, got {0}")]
    TooLong(usize),
    /// Ends inside a file or header.
    #[error("archive: truncated at byte {0}")]
    Truncated(usize),
    /// Anything [`encode_tar`] would not have written.
    #[error("archive: {what} at byte {at}")]
    NotCanonical {
        /// What differs.
        what: &'static str,
        /// Where.
        at: usize,
    },
}

/// Accepts a relative path without any way out of its folder.
pub fn check_path(path: &str) -> Result<(), TarError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let segment = |s: &str| {
        !s.is_empty() && !s.starts_with('.') && s.bytes().all(allowed) && s.len() <= NAME_LEN
    };
    if (1..=PATH_BYTES_MAX).contains(&path.len()) && path.split('/').all(segment) {
        return Ok(());
    }
    Err(TarError::Path(path.chars().take(PATH_BYTES_MAX).collect()))
}

/// The one archive of these files.
pub fn encode_tar(files: &Files) -> Result<Vec<u8>, TarError> {
    let size = encoded_len(files)?;
    let mut out = Vec::with_capacity(size);
    for (path, bytes) in files {
        out.extend(header(path, bytes.len()).ok_or_else(|| TarError::Path(path.clone()))?);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(size, 0);
    Ok(out)
}

/// The files of an archive; anything [`encode_tar`] would not have written is an error.
pub fn decode_tar(archive: &[u8]) -> Result<Files, TarError> {
    if archive.len() > ARCHIVE_BYTES_MAX {
        return Err(TarError::TooLong(archive.len()));
    }
    let mut files = Files::new();
    let mut reader = Reader { archive, at: 0 };
    while let Some((path, bytes)) = reader.file()? {
        let ascending = files.last_key_value().is_none_or(|(last, _)| *last < path);
        if !ascending {
            return Err(reader.refuse("paths are not ascending"));
        }
        if files.len() >= FILES_MAX {
            return Err(TarError::TooManyFiles(files.len().saturating_add(1)));
        }
        files.insert(path, bytes);
    }
    if reader.rest() == [0; BLOCK] {
        Ok(files)
    } else {
        Err(reader.refuse("expected the end"))
    }
}

fn encoded_len(files: &Files) -> Result<usize, TarError> {
    if files.len() > FILES_MAX {
        return Err(TarError::TooManyFiles(files.len()));
    }
    let mut size = 2usize.saturating_mul(BLOCK);
    for (path, bytes) in files {
        check_path(path)?;
        let padded = bytes
            .len()
            .checked_next_multiple_of(BLOCK)
            .unwrap_or(usize::MAX);
        size = size.saturating_add(BLOCK).saturating_add(padded);
    }
    if size > ARCHIVE_BYTES_MAX {
        Err(TarError::TooLong(size))
    } else {
        Ok(size)
    }
}

/// The header block of a file; `None` when the path does not fit its two fields.
fn header(path: &str, size: usize) -> Option<[u8; BLOCK]> {
    let (prefix, name) = split_path(path)?;
    let size = format!("{size:011o}\0");
    let before = [
        field(name.as_bytes(), NAME_LEN),
        b"0000644\x000000000\x000000000\0".to_vec(),
        size.into_bytes(),
        b"00000000000\0".to_vec(),
    ]
    .concat();
    let after = [
        b"0".to_vec(),
        field(b"", 100),
        b"ustar\x0000".to_vec(),
        field(b"", 64),
        b"0000000\x000000000\0".to_vec(),
        field(prefix.as_bytes(), PREFIX_LEN),
        field(b"", 12),
    ]
    .concat();
    // The checksum is taken with its own field blank.
    let blank = [&before[..], &[b' '; 8], &after[..]].concat();
    let sum = blank
        .iter()
        .fold(0u32, |sum, byte| sum.saturating_add(u32::from(*byte)));
    let checksum = format!("{sum:06o}\0 ");
    [&before[..], checksum.as_bytes(), &after[..]]
        .concat()
        .try_into()
        .ok()
}

/// Prefix and name: the whole path as the name when it fits, else split at the first '/' that makes the name fit.
fn split_path(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME_LEN {
        return Some(("", path));
    }
    path.match_indices('/')
        .filter_map(|(at, _)| Some((path.get(..at)?, path.get(at.checked_add(1)?..)?)))
        .find(|(prefix, name)| prefix.len() <= PREFIX_LEN && name.len() <= NAME_LEN)
}

fn field(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(len, 0);
    out
}

struct Reader<'a> {
    archive: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next file, or `None` at a zero block.
    fn file(&mut self) -> Result<Option<(String, Vec<u8>)>, TarError> {
        let start = self.at;
        let block: &[u8; BLOCK] = self
            .take(BLOCK)?
            .try_into()
            .map_err(|_| TarError::Truncated(start))?;
        if *block == [0; BLOCK] {
            return Ok(None);
        }
        let refused = |what| TarError::NotCanonical { what, at: start };
        let (path, size) = path_and_size(block).ok_or(refused("malformed header"))?;
        check_path(&path)?;
        if header(&path, size).as_ref() != Some(block) {
            return Err(refused("header not in its one form"));
        }
        let bytes = self.take(size)?.to_vec();
        let padding = size
            .checked_next_multiple_of(BLOCK)
            .unwrap_or(size)
            .saturating_sub(size);
        if self.take(padding)?.iter().any(|byte| *byte != 0) {
            return Err(self.refuse("padding is not zero"));
        }
        Ok(Some((path, bytes)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], TarError> {
        let end = self
            .at
            .checked_add(len)
            .ok_or(TarError::Truncated(self.at))?;
        let taken = self
            .archive
            .get(self.at..end)
            .ok_or(TarError::Truncated(self.archive.len()))?;
        self.at = end;
        Ok(taken)
    }

    fn rest(&self) -> &'a [u8] {
        self.archive.get(self.at..).unwrap_or_default()
    }

    fn refuse(&self, what: &'static str) -> TarError {
        TarError::NotCanonical { what, at: self.at }
    }
}

fn path_and_size(block: &[u8; BLOCK]) -> Option<(String, usize)> {
    let name = text(block.get(..NAME_LEN)?)?;
    let prefix = text(block.get(345..500)?)?;
    let path = if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    };
    let size = str::from_utf8(block.get(124..135)?).ok()?;
    Some((path, usize::from_str_radix(size, 8).ok()?))
}

fn text(field: &[u8]) -> Option<&str> {
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    str::from_utf8(field.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(list: &[(&str, &[u8])]) -> Files {
        list.iter()
            .map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()))
            .collect()
    }

    fn sample() -> Files {
        let long = format!("data/{}/{}.cbor", "d".repeat(90), "f".repeat(90));
        let mut all = files(&[
            ("a.txt", b"hello"),
            ("data/b.bin", &[0; 512]),
            ("data/c", b""),
        ]);
        all.insert(long, vec![7; 700]);
        all
    }

    fn refused(archive: &[u8]) -> bool {
        decode_tar(archive).is_err()
    }

    #[test]
    fn round_trip_and_the_empty_archive() {
        let archive = encode_tar(&sample()).unwrap();
        assert_eq!(decode_tar(&archive), Ok(sample()));
        assert_eq!(encode_tar(&Files::new()).unwrap(), [0; 1024]);
        assert_eq!(decode_tar(&[0; 1024]), Ok(Files::new()));
    }

    #[test]
    fn paths_that_lead_out_or_hide_are_refused() {
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            ".",
            "a/.hidden",
            "a\\b",
            "a b",
            "ä",
            "a\0",
        ] {
            assert_eq!(check_path(bad), Err(TarError::Path(bad.into())), "{bad:?}");
            assert!(encode_tar(&files(&[(bad, b"")])).is_err());
        }
        assert!(check_path(&"x/".repeat(101)).is_err());
        assert!(check_path(&"x".repeat(101)).is_err());
        assert!(check_path("data/evidence/0a_1-2.cbor").is_ok());
    }

    #[test]
    fn a_hostile_path_in_an_archive_is_refused() {
        for path in ["../../etc/passwd", "/etc/passwd"] {
            let mut archive = header(path, 0).unwrap().to_vec();
            archive.extend([0; 1024]);
            assert_eq!(decode_tar(&archive), Err(TarError::Path(path.into())));
        }
    }

    #[test]
    fn every_truncation_and_any_tail_is_refused() {
        let archive = encode_tar(&sample()).unwrap();
        for cut in 0..archive.len() {
            assert!(refused(&archive[..cut]), "{cut}");
        }
        assert!(refused(&[&archive[..], &[0]].concat()));
        assert!(refused(&[&archive[..], &[0; 512]].concat()));
    }

    #[test]
    fn disorder_and_repetition_are_refused() {
        let file = |path| header(path, 0).unwrap().to_vec();
        let end = vec![0; 1024];
        for order in [["b", "a"], ["a", "a"]] {
            let archive = [file(order[0]), file(order[1]), end.clone()].concat();
            assert!(matches!(
                decode_tar(&archive),
                Err(TarError::NotCanonical { .. })
            ));
        }
    }

    #[test]
    fn an_announced_size_is_never_allocated() {
        let mut archive = header("a", 0o77_777_777_777).unwrap().to_vec();
        archive.extend([0; 1024]);
        assert!(matches!(decode_tar(&archive), Err(TarError::Truncated(_))));
    }

    #[test]
    fn counts_are_capped() {
        let many: Files = (0..=FILES_MAX).map(|n| (format!("f{n}"), vec![])).collect();
        assert_eq!(
            encode_tar(&many),
            Err(TarError::TooManyFiles(FILES_MAX + 1))
        );
    }

    proptest! {
        #[test]
        fn any_changed_byte_changes_the_files_or_is_refused(at: usize, xor in 1u8..) {
            let mut archive = encode_tar(&sample()).unwrap();
            let at = at % archive.len();
            archive[at] ^= xor;
            prop_assert_ne!(decode_tar(&archive), Ok(sample()));
        }

        #[test]
        fn whatever_decodes_is_the_one_encoding(at: usize, byte: u8) {
            let mut archive = encode_tar(&sample()).unwrap();
            let at = at % archive.len();
            archive[at] = byte;
            if let Ok(files) = decode_tar(&archive) {
                prop_assert_eq!(encode_tar(&files).unwrap(), archive);
            }
        }
    }
}
