//! The audit bundle's container: a BagIt bag (RFC 8493) with SHA-256 manifests, as a map of files.
//!
//! ```text
//! bagit.txt  bag-info.txt  manifest-sha256.txt  tagmanifest-sha256.txt  data/<payload>
//! ```
//!
//! A payload has exactly one bag: [`open`] accepts what [`seal`] wrote and nothing else, so every file is listed, no file
//! is extra and every digest holds. The manifests guard against accidents; what proves a bundle are the signatures inside.

use crate::tar::{Files, TarError, check_path};
use assay_protocol::hash;
use assay_protocol::ids::Digest;
use std::collections::BTreeMap;

const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
const DECLARATION_FILE: &str = "bagit.txt";
const INFO_FILE: &str = "bag-info.txt";
const MANIFEST_FILE: &str = "manifest-sha256.txt";
const TAG_MANIFEST_FILE: &str = "tagmanifest-sha256.txt";
const PAYLOAD: &str = "data/";

/// Why files are not a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A path that is not allowed.
    #[error(transparent)]
    Path(#[from] TarError),
    /// A file that must be there is not.
    #[error("bundle: {0} is missing")]
    Missing(String),
    /// A file that no manifest lists.
    #[error("bundle: {0} is not listed in a manifest")]
    Unlisted(String),
    /// A file whose content is not what its manifest lists.
    #[error("bundle: {path}: expected SHA-256 {expected}, got {actual}")]
    Content {
        /// The file.
        path: String,
        /// Digest in the manifest.
        expected: String,
        /// Digest of the file.
        actual: Digest,
    },
    /// A tag file in another form than the one written.
    #[error("bundle: {0} is not in its one form")]
    NotCanonical(String),
}

/// Puts payload files, by path below `data/`, into a bag.
pub fn seal(payload: &Files) -> Result<Files, BundleError> {
    let mut bag = Files::new();
    for (path, bytes) in payload {
        let path = format!("{PAYLOAD}{path}");
        check_path(&path)?;
        bag.insert(path, bytes.clone());
    }
    let manifest = manifest(&bag);
    bag.insert(DECLARATION_FILE.into(), DECLARATION.into());
    bag.insert(INFO_FILE.into(), info(payload).into_bytes());
    bag.insert(MANIFEST_FILE.into(), manifest.into_bytes());
    let tags: Files = bag
        .iter()
        .filter(|(path, _)| !path.starts_with(PAYLOAD))
        .map(clone_pair)
        .collect();
    bag.insert(TAG_MANIFEST_FILE.into(), self::manifest(&tags).into_bytes());
    Ok(bag)
}

/// The payload of a bag, by path below `data/`; any deviation from [`seal`] is an error that names the file.
pub fn open(bag: &Files) -> Result<Files, BundleError> {
    for path in [
        DECLARATION_FILE,
        INFO_FILE,
        MANIFEST_FILE,
        TAG_MANIFEST_FILE,
    ] {
        if !bag.contains_key(path) {
            return Err(BundleError::Missing(path.into()));
        }
    }
    let (payload, tags): (Vec<_>, Vec<_>) =
        bag.iter().partition(|(path, _)| path.starts_with(PAYLOAD));
    check_listed(bag, MANIFEST_FILE, &payload)?;
    let listed_tags: Vec<_> = tags
        .into_iter()
        .filter(|(path, _)| *path != TAG_MANIFEST_FILE)
        .collect();
    check_listed(bag, TAG_MANIFEST_FILE, &listed_tags)?;
    let payload: Files = payload
        .into_iter()
        .filter_map(|(path, bytes)| Some((path.strip_prefix(PAYLOAD)?.to_owned(), bytes.clone())))
        .collect();
    let sealed = seal(&payload)?;
    match sealed
        .iter()
        .find(|(path, bytes)| bag.get(*path) != Some(bytes))
    {
        Some((path, _)) => Err(BundleError::NotCanonical(path.clone())),
        None if sealed.len() != bag.len() => Err(BundleError::NotCanonical("the bag".into())),
        None => Ok(payload),
    }
}

/// Each file is listed with its digest, and each line has its file.
fn check_listed(
    bag: &Files,
    manifest: &str,
    files: &[(&String, &Vec<u8>)],
) -> Result<(), BundleError> {
    let text = bag
        .get(manifest)
        .and_then(|bytes| str::from_utf8(bytes).ok())
        .unwrap_or_default();
    let mut listed = BTreeMap::new();
    for line in text.lines() {
        let (digest, path) = line
            .split_once("  ")
            .ok_or_else(|| BundleError::NotCanonical(manifest.into()))?;
        listed.insert(path, digest);
    }
    for (path, bytes) in files {
        let expected = listed
            .remove(path.as_str())
            .ok_or_else(|| BundleError::Unlisted((*path).clone()))?;
        let actual = hash::digest(&[bytes]);
        if actual.to_string() != expected {
            let (path, expected) = ((*path).clone(), expected.chars().take(64).collect());
            return Err(BundleError::Content {
                path,
                expected,
                actual,
            });
        }
    }
    let missing = listed.keys().next();
    missing.map_or(Ok(()), |path| Err(BundleError::Missing((*path).into())))
}

fn manifest(files: &Files) -> String {
    files
        .iter()
        .map(|(path, bytes)| format!("{}  {path}\n", hash::digest(&[bytes])))
        .collect()
}

/// RFC 8493 section 2.2.2; no date, since equal payloads have equal bags.
fn info(payload: &Files) -> String {
    let octets = payload
        .values()
        .fold(0usize, |sum, bytes| sum.saturating_add(bytes.len()));
    format!(
        "External-Description: Assay audit bundle, version 1\nPayload-Oxum: {octets}.{}\n",
        payload.len()
    )
}

fn clone_pair((path, bytes): (&String, &Vec<u8>)) -> (String, Vec<u8>) {
    (path.clone(), bytes.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::{decode_tar, encode_tar};
    use proptest::prelude::*;

    fn payload() -> Files {
        [
            ("claim.cbor", &b"claim"[..]),
            ("outcomes/1.cose", b"one"),
            ("outcomes/2.cose", b""),
        ]
        .map(|(path, bytes)| (path.to_owned(), bytes.to_vec()))
        .into()
    }

    fn bag() -> Files {
        seal(&payload()).unwrap()
    }

    #[test]
    fn sealed_and_opened_also_through_its_tar() {
        assert_eq!(open(&bag()), Ok(payload()));
        let archive = encode_tar(&bag()).unwrap();
        assert_eq!(open(&decode_tar(&archive).unwrap()), Ok(payload()));
        assert_eq!(open(&seal(&Files::new()).unwrap()), Ok(Files::new()));
    }

    #[test]
    fn the_tag_files_are_as_rfc_8493_writes_them() {
        let bag = bag();
        let text = |path: &str| String::from_utf8(bag[path].clone()).unwrap();
        assert_eq!(text("bagit.txt"), DECLARATION);
        assert!(text("bag-info.txt").contains("Payload-Oxum: 8.3\n"));
        let first = format!("{}  data/claim.cbor", hash::digest(&[b"claim"]));
        assert_eq!(text(MANIFEST_FILE).lines().next(), Some(first.as_str()));
        assert_eq!(text(TAG_MANIFEST_FILE).lines().count(), 3);
    }

    #[test]
    fn a_missing_extra_or_changed_file_is_named() {
        let mut missing = bag();
        missing.remove("data/outcomes/1.cose");
        assert_eq!(
            open(&missing),
            Err(BundleError::Missing("data/outcomes/1.cose".into()))
        );
        for tag in [
            DECLARATION_FILE,
            INFO_FILE,
            MANIFEST_FILE,
            TAG_MANIFEST_FILE,
        ] {
            let mut missing = bag();
            missing.remove(tag);
            assert_eq!(open(&missing), Err(BundleError::Missing(tag.into())));
        }
        for extra in ["data/extra", "extra.txt"] {
            let mut bag = bag();
            bag.insert(extra.into(), vec![]);
            assert_eq!(open(&bag), Err(BundleError::Unlisted(extra.into())));
        }
        let mut changed = bag();
        changed.insert("data/claim.cbor".into(), b"other".to_vec());
        assert!(matches!(
            open(&changed),
            Err(BundleError::Content { path, .. }) if path == "data/claim.cbor"
        ));
    }

    #[test]
    fn another_spelling_with_right_digests_is_refused() {
        let mut other = bag();
        let mut info = other[INFO_FILE].clone();
        info.extend(b"Contact-Name: nobody\n");
        other.insert(INFO_FILE.into(), info);
        let tags: Files = other
            .iter()
            .filter(|(path, _)| !path.starts_with(PAYLOAD) && *path != TAG_MANIFEST_FILE)
            .map(clone_pair)
            .collect();
        other.insert(TAG_MANIFEST_FILE.into(), manifest(&tags).into_bytes());
        assert_eq!(
            open(&other),
            Err(BundleError::NotCanonical(INFO_FILE.into()))
        );
    }

    #[test]
    fn bad_payload_paths_are_refused() {
        for bad in ["../x", "/x", "", ".x"] {
            let payload = Files::from([(bad.to_owned(), vec![])]);
            assert!(
                matches!(seal(&payload), Err(BundleError::Path(_))),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_changed_byte_of_the_bag_is_refused(file: usize, at: usize, xor in 1u8..) {
            let mut bag = bag();
            let paths: Vec<String> =
                bag.iter().filter(|(_, b)| !b.is_empty()).map(|(path, _)| path.clone()).collect();
            let bytes = bag.get_mut(&paths[file % paths.len()]).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= xor;
            prop_assert!(open(&bag).is_err());
        }
    }
}
