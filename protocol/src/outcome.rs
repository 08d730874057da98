//! One challenge's result, signed by the HyperNode that made it (ARCHITECTURE sections 8 and 10).

use crate::cbor::{CborError, Field, Value};
use crate::hash;
use crate::ids::{Digest, Epoch, HyperNodeId, NetworkId, NodeId, Slot, UnixMs};
use crate::item::{Item, TEXT_BYTES_MAX};
use crate::limits::{
    MEDIA_TYPE_BYTES_MAX, OUTCOME_BYTES_MAX, OUTCOME_DETAIL_CHARS_MAX, OUTCOME_EVIDENCE_MAX,
    OUTCOME_METRICS_MAX,
};
use crate::{cbor_map, signed_payload};

/// How a challenge ended. A failure of the verifier is never the node's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OutcomeClass {
    /// The answer is right.
    Pass = 0,
    /// The answer is there and wrong.
    Fail = 1,
    /// No answer after all attempts, and the control probes were good.
    Unreachable = 2,
    /// No answer, but this HyperNode's own control probes failed too.
    VerifierFault = 3,
    /// Not counted, by rule.
    Excluded = 4,
    /// Neither for nor against.
    Inconclusive = 5,
}

impl OutcomeClass {
    /// All classes, by code.
    pub const ALL: [Self; 6] = [
        Self::Pass,
        Self::Fail,
        Self::Unreachable,
        Self::VerifierFault,
        Self::Excluded,
        Self::Inconclusive,
    ];

    /// Its name in the field's words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unreachable => "unreachable",
            Self::VerifierFault => "verifier-fault",
            Self::Excluded => "excluded",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl Item for OutcomeClass {
    fn to_value(&self) -> Value<'_> {
        Value::Uint(*self as u64)
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        let code: u8 = field.uint()?;
        Self::ALL
            .get(usize::from(code))
            .copied()
            .ok_or_else(|| CborError::Schema {
                what: "outcome class".into(),
                expected: "0..=5".into(),
                actual: code.to_string(),
            })
    }
}

/// What an outcome speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OutcomeKind {
    /// Evidence appraised.
    Attest = 1,
    /// A probe of the census.
    Probe = 2,
    /// A region written, with a receipt signed by both sides.
    Fill = 3,
    /// A chase through the region.
    Chase = 4,
    /// An enrolment by credential activation.
    Enrol = 5,
    /// The hash of a region key, logged before the fill.
    RegionKey = 6,
}

impl OutcomeKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Attest,
        Self::Probe,
        Self::Fill,
        Self::Chase,
        Self::Enrol,
        Self::RegionKey,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attest => "attest",
            Self::Probe => "probe",
            Self::Fill => "fill",
            Self::Chase => "chase",
            Self::Enrol => "enrol",
            Self::RegionKey => "region-key",
        }
    }
}

impl Item for OutcomeKind {
    fn to_value(&self) -> Value<'_> {
        Value::Uint(*self as u64)
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        let code: u8 = field.uint()?;
        Self::ALL
            .into_iter()
            .find(|kind| *kind as u8 == code)
            .ok_or_else(|| CborError::Schema {
                what: "outcome kind".into(),
                expected: "1..=6".into(),
                actual: code.to_string(),
            })
    }
}

/// Registry of verifier-measured metrics: id, with the unit in the name.
pub mod metric {
    /// Round trip of the answered attempt, microseconds.
    pub const RTT_US: u16 = 1;
    /// Attempts made, count.
    pub const ATTEMPTS: u16 = 2;
    /// Reads of a chase, count.
    pub const CHASE_READS: u16 = 3;
    /// Wall time of a chase at the HyperNode, microseconds.
    pub const CHASE_US: u16 = 4;
    /// Reads a second of a chase, rounded down.
    pub const CHASE_READS_PER_S: u16 = 5;
    /// 1 when the chase counts as `iops`, 0 when as `liveness`.
    pub const CHASE_IS_IOPS: u16 = 6;
    /// Attestation tier reached.
    pub const TIER: u16 = 7;
    /// Bytes written by a fill.
    pub const FILL_BYTES: u16 = 8;
    /// Wall time of a fill at the HyperNode, microseconds.
    pub const FILL_US: u16 = 9;
    /// Good control probes, count.
    pub const CONTROLS_GOOD: u16 = 10;
}

/// Media types of raw evidence that outcomes refer to.
pub mod media {
    /// Signed evidence.
    pub const EVIDENCE: &str = "application/eat+cwt";
    /// Signed probe answer.
    pub const PROBE_ANSWER: &str = "application/vnd.assay.probe-answer+cbor";
    /// Countersigned fill receipt.
    pub const RECEIPT: &str = "application/vnd.assay.countersigned-receipt+cbor";
    /// Signed chase answer.
    pub const CHASE_ANSWER: &str = "application/vnd.assay.chase-answer-3+cbor";
    /// Signed control answer.
    pub const CONTROL_ANSWER: &str = "application/vnd.assay.control-answer+cbor";
    /// Enrolment record.
    pub const ENROL_RECORD: &str = "application/vnd.assay.enrol-record+cbor";
    /// Signed result of an attestation (EAR).
    pub const RESULT: &str = "application/eat+cwt; eat_profile=\"tag:assay.example,2026:ear/1\"";
    /// AMD's certificates that the HyperNode added to the evidence.
    pub const AMD_CHAIN: &str = "application/vnd.assay.amd-chain+cbor";
    /// AMD's revocation list that the HyperNode judged the evidence by (RFC 2585).
    pub const CRL: &str = "application/pkix-crl";
    /// Entries of the node's IMA list before those that the evidence carries, binary; several parts in their order.
    pub const IMA_PART: &str = "application/vnd.assay.ima-list-part";
    /// Hash of a region key.
    pub const REGION_KEY_HASH: &str = "application/vnd.assay.region-key-hash";
}

cbor_map! {
    /// A reference to raw evidence.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct EvidenceRef {
        /// SHA-256(r ‖ raw bytes), r being the outcome's own randomness.
        1 => salted_digest: Digest,
        /// Length of the raw bytes.
        2 => size: u64,
        /// Its media type.
        3 => media_type: String,
    }
}

cbor_map! {
    /// One challenge's result.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Outcome {
        /// Schema version, 1.
        1 => schema: u8,
        /// What it speaks of.
        2 => kind: OutcomeKind,
        /// The network.
        3 => network: NetworkId,
        /// The node.
        4 => node: NodeId,
        /// Who measured.
        5 => hypernode: HyperNodeId,
        /// Epoch and slot it belongs to.
        6 => place: (Epoch, Slot),
        /// Start and end, HyperNode clock.
        7 => window: (UnixMs, UnixMs),
        /// How it ended.
        8 => class: OutcomeClass,
        /// Verifier-measured metrics by registry id, ascending, integers only.
        9 => metrics: Vec<(u16, u64)>,
        /// Raw evidence.
        10 => evidence: Vec<EvidenceRef>,
        /// Digest of the hardware class it was judged by.
        11 => policy: Digest,
        /// The randomness of the nonce; also the salt of the evidence digests.
        12 => r: [u8; 32],
        /// Why, for people; of a pass only what is odd about it, such as counters that contradict a chase.
        13 => detail: String,
    }
}
signed_payload!(
    Outcome,
    "application/vnd.assay.outcome+cbor",
    OUTCOME_BYTES_MAX,
    |p| p.node,
    p.window.1,
    Outcome::check
);

/// As much of a text as an outcome's `detail` holds. Others' words are in it: any number of bytes in a character.
pub fn detail(text: &str) -> String {
    let mut detail: String = text.chars().take(OUTCOME_DETAIL_CHARS_MAX).collect();
    detail.truncate(detail.floor_char_boundary(TEXT_BYTES_MAX));
    detail
}

impl Outcome {
    /// What an outcome has to be besides its form, so that the ledger's contract can read it (`AssayFaults`).
    ///
    /// # Errors
    /// Names the field, what is expected of it and what it is.
    pub fn check(&self) -> Result<(), CborError> {
        let longest = self.evidence.iter().map(|e| e.media_type.len()).max();
        let within = |what: &str, max: usize, actual: usize| match actual <= max {
            true => Ok(()),
            false => Err(CborError::Schema {
                what: format!("outcome: {what}"),
                expected: format!("at most {max}"),
                actual: actual.to_string(),
            }),
        };
        within("metrics", OUTCOME_METRICS_MAX, self.metrics.len())?;
        within(
            "pieces of evidence",
            OUTCOME_EVIDENCE_MAX,
            self.evidence.len(),
        )?;
        within(
            "bytes of a media type",
            MEDIA_TYPE_BYTES_MAX,
            longest.unwrap_or(0),
        )?;
        match self.schema {
            1 => Ok(()),
            other => Err(CborError::Schema {
                what: "outcome: schema".into(),
                expected: "1".into(),
                actual: other.to_string(),
            }),
        }
    }

    /// The value of a metric.
    pub fn metric(&self, id: u16) -> Option<u64> {
        self.metrics
            .iter()
            .find(|(key, _)| *key == id)
            .map(|(_, value)| *value)
    }

    /// A reference to `raw` salted with this `r`.
    pub fn reference(r: &[u8; 32], raw: &[u8], media_type: &str) -> EvidenceRef {
        EvidenceRef {
            salted_digest: hash::digest(&[r, raw]),
            size: raw.len() as u64,
            media_type: media_type.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cose::tests::TestKey;
    use crate::cose::{Signer as _, open, seal};

    fn outcome() -> Outcome {
        Outcome {
            schema: 1,
            kind: OutcomeKind::Probe,
            network: NetworkId([1; 32]),
            node: NodeId([2; 32]),
            hypernode: HyperNodeId(TestKey::new(1).public_key()),
            place: (Epoch(1), Slot(2)),
            window: (UnixMs(3), UnixMs(4)),
            class: OutcomeClass::Pass,
            metrics: vec![(metric::RTT_US, 7); OUTCOME_METRICS_MAX],
            evidence: Vec::new(),
            policy: Digest([5; 32]),
            r: [6; 32],
            detail: String::new(),
        }
    }

    /// Why an outcome with this change is not read; nothing when it is.
    fn refused(change: impl FnOnce(&mut Outcome)) -> Option<String> {
        let (mut outcome, key) = (outcome(), TestKey::new(1));
        change(&mut outcome);
        let sealed = seal(outcome, &key);
        let opened = open::<Outcome>(sealed.bytes(), &key.public_key());
        opened.err().map(|error| error.to_string())
    }

    #[test]
    fn any_text_becomes_a_detail_that_is_read_again() {
        for (character, kept) in [("a", 400), ("ä", 400), ("漢", 341), ("😀", 256)] {
            let detail = detail(&character.repeat(5_000));
            assert_eq!(detail, character.repeat(kept));
            assert_eq!(refused(|outcome| outcome.detail = detail), None);
        }
        assert_eq!(detail("short"), "short");
        assert!(refused(|outcome| outcome.detail = "😀".repeat(257)).is_some());
    }

    #[test]
    fn an_outcome_that_the_ledger_could_not_read_is_refused() {
        let evidence = |count, bytes| {
            let media = "m".repeat(bytes);
            vec![Outcome::reference(&[6; 32], b"raw", &media); count]
        };
        let most = || evidence(OUTCOME_EVIDENCE_MAX, MEDIA_TYPE_BYTES_MAX);
        assert_eq!(refused(|outcome| outcome.evidence = most()), None);
        type Change = (&'static str, fn(&mut Outcome));
        let more: [Change; 2] = [
            ("metrics: expected at most 16, got 17", |outcome| {
                outcome.metrics.push((9, 9))
            }),
            ("schema: expected 1, got 2", |outcome| outcome.schema = 2),
        ];
        for (why, change) in more {
            let said = refused(change).unwrap();
            assert!(said.contains(why), "{why}: {said}");
        }
        let said = refused(|outcome| outcome.evidence = evidence(65, 1)).unwrap();
        assert!(
            said.contains("evidence: expected at most 64, got 65"),
            "{said}"
        );
        let said = refused(|outcome| outcome.evidence = evidence(1, 129)).unwrap();
        assert!(
            said.contains("media type: expected at most 128, got 129"),
            "{said}"
        );
    }
}
