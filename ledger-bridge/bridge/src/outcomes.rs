//! Outcomes that convict whoever signed them, found in audit bundles: a pass or a failure that rests on an answer which
//! nobody signed, and two outcomes of one probe.

use assay_ledger::{Action, SignedOutcome, UnsignedAnswer};
use assay_protocol::answers::{ChaseAnswer, ProbeAnswer};
use assay_protocol::cbor::{Field, Value};
use assay_protocol::cose::{CoseError, Payload, claimed_signer, open, signature_of, split};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Epoch, HyperNodeId, NetworkId, NodeId, SessionKey, Slot, UnixMs};
use assay_protocol::outcome::{EvidenceRef, Outcome, OutcomeClass, OutcomeKind, media};
use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::Bundle;

/// A probe of a HyperNode.
type Attempt = (HyperNodeId, NodeId, Epoch, Slot);

/// An answer that its signer did not sign.
struct Forged<'a> {
    bytes: &'a [u8],
    media: &'static str,
}

/// Raw evidence as far as it can convict.
struct Exhibits<'a> {
    forged: Vec<Forged<'a>>,
    /// Of all that there is.
    sizes: BTreeSet<u64>,
}

/// Probes by their first outcome, and of which a second one was seen.
#[derive(Default)]
struct Probes {
    first: BTreeMap<Attempt, SignedOutcome>,
    twice: BTreeSet<Attempt>,
}

/// What was looked at, and what it proves.
#[derive(Debug, Default)]
pub struct Compared {
    /// Outcomes that these HyperNodes signed.
    pub outcomes: usize,
    /// Raw evidence.
    pub evidence: usize,
    /// Whom each proof convicts.
    pub proofs: Vec<(HyperNodeId, Action)>,
}

/// Every proof in these bundles of a network against one of these HyperNodes; what none of them signed is left out.
pub fn compare(bundles: &[Bundle], network: NetworkId, known: &BTreeSet<HyperNodeId>) -> Compared {
    let evidence = || bundles.iter().flat_map(Bundle::evidence);
    let exhibits = Exhibits {
        forged: evidence().filter_map(forged).collect(),
        sizes: evidence().map(|raw| raw.len() as u64).collect(),
    };
    let mut compared = Compared {
        evidence: evidence().count(),
        ..Compared::default()
    };
    let mut probes = Probes::default();
    let outcomes = bundles.iter().flat_map(Bundle::outcomes);
    for (hypernode, bytes) in outcomes.filter(|(hypernode, _)| known.contains(hypernode)) {
        let Some(signed) = signed(&hypernode, bytes, network) else {
            continue;
        };
        compared.outcomes = compared.outcomes.saturating_add(1);
        let unsigned = exhibits.against(&signed);
        let both = unsigned.into_iter().chain(probes.against(signed));
        compared.proofs.extend(both.map(|proof| (hypernode, proof)));
    }
    compared
}

fn signed(hypernode: &HyperNodeId, bytes: &[u8], network: NetworkId) -> Option<SignedOutcome> {
    let opened = open::<Outcome>(bytes, &hypernode.0).ok()?;
    let signature = signature_of(&opened).ok()?;
    let outcome = opened.into_payload();
    let is_theirs = outcome.hypernode == *hypernode && outcome.network == network;
    is_theirs.then_some(SignedOutcome { outcome, signature })
}

impl Exhibits<'_> {
    /// A proof for each forged answer that an outcome rests on: the ledger may refuse one, whose key is none to it.
    fn against(&self, of: &SignedOutcome) -> Vec<Action> {
        let outcome = &of.outcome;
        if !matches!(outcome.class, OutcomeClass::Pass | OutcomeClass::Fail) {
            return Vec::new();
        }
        let evidence = outcome.evidence.iter().enumerate();
        let proofs = evidence.filter_map(|(index, reference)| {
            let forged = self.find(reference, &outcome.r)?;
            Some(Action::convict_of_answer(of, index, &forged.answer()?))
        });
        proofs.collect()
    }

    /// The size that an outcome names saves looking at everything else; one that nothing has is not believed.
    fn find(&self, reference: &EvidenceRef, r: &[u8; 32]) -> Option<&Forged<'_>> {
        let is_size_true = self.sizes.contains(&reference.size);
        self.forged.iter().find(|forged| {
            forged.media == reference.media_type
                && (!is_size_true || forged.bytes.len() as u64 == reference.size)
                && digest(&[r, forged.bytes]) == reference.salted_digest
        })
    }
}

/// An answer in every part but its signature.
fn forged(bytes: &[u8]) -> Option<Forged<'_>> {
    let media = if not_signed::<ProbeAnswer>(bytes).is_some() {
        media::PROBE_ANSWER
    } else {
        not_signed::<ChaseAnswer>(bytes)?;
        media::CHASE_ANSWER
    };
    Some(Forged { bytes, media })
}

impl Forged<'_> {
    fn answer(&self) -> Option<UnsignedAnswer> {
        not_signed::<ProbeAnswer>(self.bytes).or_else(|| not_signed::<ChaseAnswer>(self.bytes))
    }
}

fn not_signed<T: Payload>(bytes: &[u8]) -> Option<UnsignedAnswer> {
    let key = claimed_signer(bytes, T::MAX_BYTES).ok()?;
    let Err(CoseError::Signature { .. }) = open::<T>(bytes, &key) else {
        return None;
    };
    let parts = split(T::TYP, T::MAX_BYTES, bytes).ok()?;
    let value = Value::decode(&parts.payload).ok()?;
    let says = T::from_field(Field::new(T::TYP, value)).ok()?;
    Some(UnsignedAnswer {
        session_key: SessionKey(key),
        node: says.subject().parse().ok()?,
        at: UnixMs(says.issued_at_s().saturating_mul(1000)),
        payload: parts.payload.to_vec(),
        signature: parts.signature.to_vec(),
    })
}

impl Probes {
    /// Proves a second outcome of a probe, once; the first is kept.
    fn against(&mut self, signed: SignedOutcome) -> Option<Action> {
        let outcome = &signed.outcome;
        if outcome.kind != OutcomeKind::Probe {
            return None;
        }
        let (epoch, slot) = outcome.place;
        let attempt = (outcome.hypernode, outcome.node, epoch, slot);
        let first = self.first.entry(attempt);
        let first = first.or_insert_with(|| signed.clone());
        let is_proof = first.outcome != signed.outcome && self.twice.insert(attempt);
        is_proof.then(|| Action::convict_of_outcomes([first, &signed]))
    }
}
