//! Raw evidence, found by the salted digests of the outcomes that refer to it.

use super::files::Files;
use super::log::{Histories, Recorded};
use crate::findings::Findings;
use assay_protocol::hash::digest;
use assay_protocol::outcome::EvidenceRef;
use std::collections::BTreeMap;

/// The raw evidence of one outcome, in the order of its references.
#[derive(Debug, Clone)]
pub struct Exhibit<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// Its bytes; `None` when the bundle does not hold them.
    pub bytes: Option<&'a [u8]>,
}

/// Evidence by the path of the outcome.
pub struct Exhibits<'a>(BTreeMap<&'a str, Vec<Exhibit<'a>>>);

/// What an outcome has of one media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// No reference of this type.
    None,
    /// Exactly one, and it is there.
    One(&'a [u8]),
    /// Referred to, but the bytes are gone.
    Missing,
    /// More than one.
    Several,
}

impl<'a> Exhibits<'a> {
    /// All evidence of an outcome.
    pub fn of(&self, recorded: &Recorded) -> &[Exhibit<'a>] {
        self.0
            .get(recorded.path.as_str())
            .map_or(&[], Vec::as_slice)
    }

    /// Every piece of a media type, in order; nothing when one of them is not in the bundle.
    pub fn all(&self, recorded: &Recorded, media_type: &str) -> Option<Vec<&'a [u8]>> {
        self.of(recorded)
            .iter()
            .filter(|exhibit| exhibit.media_type == media_type)
            .map(|exhibit| exhibit.bytes)
            .collect()
    }

    /// The one piece of a media type.
    pub fn one(&self, recorded: &Recorded, media_type: &str) -> Found<'a> {
        let mut all = self
            .of(recorded)
            .iter()
            .filter(|exhibit| exhibit.media_type == media_type);
        match (all.next(), all.next()) {
            (None, _) => Found::None,
            (Some(exhibit), None) => exhibit.bytes.map_or(Found::Missing, Found::One),
            (Some(_), Some(_)) => Found::Several,
        }
    }
}

/// Finds the evidence of all outcomes. Salts differ for each outcome, so candidates are told apart by size first.
pub fn resolve<'a>(
    findings: &mut Findings,
    files: &'a Files,
    histories: &'a Histories,
) -> Exhibits<'a> {
    let mut by_size: BTreeMap<u64, Vec<(&str, &[u8])>> = BTreeMap::new();
    for (path, bytes) in files.evidence() {
        by_size
            .entry(bytes.len() as u64)
            .or_default()
            .push((path, bytes));
    }
    let mut exhibits = BTreeMap::new();
    for recorded in histories.values().flat_map(|history| history.outcomes()) {
        let mut own = Vec::new();
        for reference in &recorded.outcome.evidence {
            let bytes =
                find(&by_size, reference, &recorded.outcome.r).and_then(|path| files.get(path));
            let at = ("evidence/present", recorded.path.as_str());
            let expected = format!("{} bytes of {}", reference.size, reference.media_type);
            match bytes {
                Some(_) => {
                    findings.holds(at, true, &expected, &expected);
                }
                None => findings.undecided(
                    at,
                    expected,
                    "no file with this salted digest: evidence missing",
                ),
            }
            own.push(Exhibit {
                media_type: &reference.media_type,
                bytes,
            });
        }
        exhibits.insert(recorded.path.as_str(), own);
    }
    Exhibits(exhibits)
}

fn find<'a>(
    by_size: &BTreeMap<u64, Vec<(&'a str, &[u8])>>,
    reference: &EvidenceRef,
    r: &[u8; 32],
) -> Option<&'a str> {
    let candidates = by_size.get(&reference.size)?;
    let found = candidates
        .iter()
        .find(|(_, bytes)| digest(&[r, bytes]) == reference.salted_digest);
    found.map(|(path, _)| *path)
}
