//! From a challenge's result to a durable, signed outcome.

use crate::clock;
use crate::context::Context;
use anyhow::{Context as _, Result};
use assay_protocol::cose::{self, Authenticated};
use assay_protocol::ids::{Digest, Epoch, NodeId, Slot, UnixMs};
use assay_protocol::item::Item as _;
use assay_protocol::limits::OUTCOME_BYTES_MAX;
use assay_protocol::outcome::{self, Outcome, OutcomeClass, OutcomeKind};
use assay_store::{Acknowledged, Record, StoreError};
use aws_lc_rs::rand;

/// A result that is not signed yet.
pub struct Draft {
    /// What it speaks of.
    pub kind: OutcomeKind,
    /// The node.
    pub node: NodeId,
    /// Digest of the node's class.
    pub policy: Digest,
    /// Epoch and slot of the challenge.
    pub place: (Epoch, Slot),
    /// When it began.
    pub started: UnixMs,
    /// Randomness of the nonce.
    pub r: [u8; 32],
    /// How it ended.
    pub class: OutcomeClass,
    /// Metrics by registry id.
    pub metrics: Vec<(u16, u64)>,
    /// Raw evidence with its media type.
    pub raw: Vec<(Vec<u8>, &'static str)>,
    /// Why, for people.
    pub detail: String,
}

impl Context {
    /// 32 fresh random bytes.
    pub fn random(&self) -> Result<[u8; 32]> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gave no randomness"))?;
        Ok(bytes)
    }

    /// Stores the evidence, signs the outcome and acknowledges it: durable when this returns.
    /// Returns the outcome when it counts; `None` when the slot already had one of its kind (a restart within the
    /// slot) or when the epoch is closed: then nothing may be concluded from it.
    pub fn record(&self, draft: Draft) -> Result<Option<Outcome>> {
        let evidence = draft
            .raw
            .iter()
            .map(|(raw, media)| self.store_raw(&draft.r, raw, media))
            .collect::<Result<Vec<_>>>()?;
        let mut metrics = draft.metrics;
        metrics.sort_unstable();
        let outcome = Outcome {
            schema: 1,
            kind: draft.kind,
            network: self.network,
            node: draft.node,
            hypernode: self.own,
            place: draft.place,
            window: (draft.started, clock::now()),
            class: draft.class,
            metrics,
            evidence,
            policy: draft.policy,
            r: draft.r,
            detail: outcome::detail(&draft.detail),
        };
        let sealed = cose::seal(readable(outcome), &self.identity);
        let record = Record {
            epoch: draft.place.0,
            slot: self.recording_slot(draft.kind, draft.place),
            node: draft.node,
            kind: draft.kind as u8,
            salt: self.random()?,
            signed: sealed.bytes().to_vec(),
        };
        match self.journal(|journal| journal.acknowledge(&record)) {
            Ok(Acknowledged::Recorded) => Ok(Some(sealed.into_payload())),
            Ok(Acknowledged::Already(_)) => Ok(None),
            Err(StoreError::SlotClosed { .. } | StoreError::NodeClosed { .. }) => {
                eprintln!(
                    "note: {} of {} came after its slot was closed",
                    draft.kind.name(),
                    draft.node
                );
                Ok(None)
            }
            Err(error) => Err(error).context("the outcome could not be recorded"),
        }
    }

    /// Opens an outcome this HyperNode signed.
    pub fn own_outcome(&self, signed: &[u8]) -> Result<Authenticated<Outcome>> {
        debug_assert!(signed.len() <= OUTCOME_BYTES_MAX);
        Ok(cose::open(signed, &self.own.0)?)
    }

    fn store_raw(
        &self,
        r: &[u8; 32],
        raw: &[u8],
        media: &str,
    ) -> Result<assay_protocol::outcome::EvidenceRef> {
        let sha256 = tokio::task::block_in_place(|| self.objects.put(raw))?;
        let reference = Outcome::reference(r, raw, media);
        self.keep_raw(&reference.salted_digest, &sha256)?;
        Ok(reference)
    }

    /// The slot an outcome is recorded in. A probe belongs to its own slot, which stays open for one more; anything
    /// longer to the slot in which it ended, or the last one of its epoch.
    fn recording_slot(&self, kind: OutcomeKind, place: (Epoch, Slot)) -> Slot {
        if kind == OutcomeKind::Probe {
            return place.1;
        }
        match self.params.at(clock::now()) {
            Some((epoch, slot)) if epoch == place.0 => slot,
            _ => Slot(self.params.slots().saturating_sub(1)),
        }
    }
}

/// An outcome that can be read again: one that cannot would be in the way of every report about its epoch. Nobody fails by
/// what cannot be told, and nobody passes.
fn readable(outcome: Outcome) -> Outcome {
    let encoded = outcome.encode();
    let read = Outcome::decode("outcome", OUTCOME_BYTES_MAX, &encoded);
    let why = match read.and_then(|read| read.check().map(|()| read)) {
        Ok(read) if read == outcome => return outcome,
        Ok(_) => "it reads as another one".to_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!(
        "note: {} of {}: its outcome cannot be told: {why}",
        outcome.kind.name(),
        outcome.node
    );
    Outcome {
        class: OutcomeClass::Inconclusive,
        metrics: Vec::new(),
        evidence: Vec::new(),
        detail: outcome::detail(&format!("it cannot be told: {why}")),
        ..outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::{HyperNodeId, NetworkId};
    use assay_protocol::outcome::media;

    #[test]
    fn what_cannot_be_told_concludes_nothing() {
        let told = Outcome {
            schema: 1,
            kind: OutcomeKind::Attest,
            network: NetworkId([1; 32]),
            node: NodeId([2; 32]),
            hypernode: HyperNodeId([3; 32]),
            place: (Epoch(4), Slot(5)),
            window: (UnixMs(6), UnixMs(7)),
            class: OutcomeClass::Pass,
            metrics: vec![(1, 8)],
            evidence: vec![Outcome::reference(&[9; 32], b"part", media::IMA_PART); 64],
            policy: Digest([10; 32]),
            r: [9; 32],
            detail: "fine".into(),
        };
        assert_eq!(readable(told.clone()), told);
        let one = told.evidence[0].clone();
        let more = Outcome {
            evidence: vec![one; 65],
            ..told.clone()
        };
        let wide = Outcome {
            detail: "😀".repeat(257),
            ..told.clone()
        };
        for (untold, why) in [(more, "at most 64, got 65"), (wide, "at most 1024 bytes")] {
            let recorded = readable(untold);
            assert_eq!(recorded.class, OutcomeClass::Inconclusive);
            assert!(recorded.detail.contains(why), "{}", recorded.detail);
            assert_eq!((recorded.metrics.len(), recorded.evidence.len()), (0, 0));
            assert_eq!((recorded.place, recorded.r), (told.place, told.r));
            assert_eq!(recorded.check(), Ok(()));
        }
    }
}
