//! The files of a bundle; each must be read by some check, or nobody knows what it is for.

use crate::findings::Findings;
use crate::source::Payload;
use assay_protocol::hash;
use assay_protocol::ids::Digest;
use assay_protocol::item::Item;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Longest CBOR record that is not a signed object, in bytes.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
const EVIDENCE_FOLDER: &str = "evidence/";

/// The payload of a bundle and which of it was looked at.
pub struct Files {
    payload: Payload,
    used: RefCell<BTreeSet<String>>,
}

impl Files {
    /// Nothing looked at yet.
    pub fn new(payload: Payload) -> Self {
        Self {
            payload,
            used: RefCell::default(),
        }
    }

    /// A file, now explained.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        let (path, bytes) = self.payload.get_key_value(path)?;
        self.used.borrow_mut().insert(path.clone());
        Some(bytes)
    }

    /// A file that must be there; its absence leaves the audit undecided.
    pub fn need(&self, findings: &mut Findings, stage: &str, path: &str) -> Option<&[u8]> {
        let found = self.get(path);
        if found.is_none() {
            findings.undecided(
                (&format!("{stage}/file"), path),
                "this file",
                "no such file in the bundle",
            );
        }
        found
    }

    /// A CBOR record that must be there and be written in its one form.
    pub fn record<T: Item>(&self, findings: &mut Findings, stage: &str, path: &str) -> Option<T> {
        let bytes = self.need(findings, stage, path)?;
        match T::decode("record", RECORD_BYTES_MAX, bytes) {
            Ok(record) => Some(record),
            Err(error) => {
                let name = format!("{stage}/record");
                findings.undecided((&name, path), "a well-formed record", error);
                None
            }
        }
    }

    /// Raw evidence: (name, bytes).
    pub fn evidence(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let folder = self
            .payload
            .iter()
            .filter(|(path, _)| path.starts_with(EVIDENCE_FOLDER));
        folder.map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// Every file must have been read by some check; evidence must have the name of its digest.
    pub fn unexplained(&self, findings: &mut Findings) {
        let used = self.used.borrow();
        let strays: Vec<&str> = self
            .payload
            .keys()
            .filter(|path| !used.contains(*path))
            .map(String::as_str)
            .collect();
        let shown = strays
            .iter()
            .take(8)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let actual = format!("{} that no check reads {shown}", strays.len());
        findings.holds(
            ("container/unexplained-files", "bundle"),
            strays.is_empty(),
            "0",
            actual.trim_end(),
        );
        for (path, bytes) in self.evidence() {
            let digest: Digest = hash::digest(&[bytes]);
            let named = format!("{EVIDENCE_FOLDER}{digest}");
            if named != path {
                findings.holds(("container/evidence-name", path), false, named, path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Files {
        Files::new(
            paths
                .iter()
                .map(|path| ((*path).to_owned(), vec![1]))
                .collect(),
        )
    }

    #[test]
    fn what_no_check_read_is_named() {
        let files = files(&["a", "b"]);
        files.get("a").unwrap();
        let mut findings = Findings::default();
        files.unexplained(&mut findings);
        assert!(
            findings.list()[0]
                .to_string()
                .contains("1 that no check reads b")
        );
        files.get("b").unwrap();
        let mut findings = Findings::default();
        files.unexplained(&mut findings);
        assert_eq!(
            findings.conclusion(),
            crate::findings::Conclusion::Reproduced
        );
    }

    #[test]
    fn evidence_under_another_name_is_refused() {
        let files = files(&["evidence/00"]);
        files.get("evidence/00").unwrap();
        let mut findings = Findings::default();
        files.unexplained(&mut findings);
        assert_eq!(
            findings.conclusion(),
            crate::findings::Conclusion::Contradicted
        );
    }
}
