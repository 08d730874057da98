//! Outcomes that convict whoever signed them, found in audit bundles: a pass or a failure that rests on an answer which
//! nobody signed, and two outcomes of one probe.

use assay_ledger::{Action, SignedOutcome, UnsignedAnswer};
use assay_protocol::answers::{ChaseAnswer, ProbeAnswer};
use assay_protocol::cbor::{Field, Value};
use assay_protocol::cose::{CoseError, Payload, claimed_signer, open, signature_of, split};
use assay_protocol::ids::{Epoch, HyperNodeId, NetworkId, NodeId, SessionKey, Slot, UnixMs};
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media};
use std::collections::BTreeMap;

use crate::bundle::Bundle;

/// A probe of a HyperNode.
type Attempt = (HyperNodeId, NodeId, Epoch, Slot);

/// An answer that its signer did not sign.
struct Forged {
    bytes: Vec<u8>,
    media: &'static str,
    answer: UnsignedAnswer,
}

/// What was looked at, and what it proves.
#[derive(Debug, Default)]
pub struct Compared {
    /// Outcomes that somebody signed.
    pub outcomes: usize,
    /// Raw evidence.
    pub evidence: usize,
    /// Whom each proof convicts.
    pub proofs: Vec<(HyperNodeId, Action)>,
}

/// Every proof in these bundles of a network; what nobody signed is nobody's and is left out.
pub fn compare(bundles: &[Bundle], network: NetworkId) -> Compared {
    let evidence = || bundles.iter().flat_map(Bundle::evidence);
    let forged: Vec<Forged> = evidence().filter_map(forged).collect();
    let mut compared = Compared {
        evidence: evidence().count(),
        ..Compared::default()
    };
    let mut probes = BTreeMap::new();
    for (hypernode, bytes) in bundles.iter().flat_map(Bundle::outcomes) {
        let Some(signed) = signed(&hypernode, bytes, network) else {
            continue;
        };
        compared.outcomes = compared.outcomes.saturating_add(1);
        let unsigned = unsigned(&signed, &forged);
        let twice = twice(&mut probes, signed);
        let both = unsigned.into_iter().chain(twice);
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

fn unsigned(of: &SignedOutcome, forged: &[Forged]) -> Option<Action> {
    let outcome = &of.outcome;
    if !matches!(outcome.class, OutcomeClass::Pass | OutcomeClass::Fail) {
        return None;
    }
    let mut evidence = outcome.evidence.iter().enumerate();
    evidence.find_map(|(index, reference)| {
        let is_it = |f: &&Forged| *reference == Outcome::reference(&outcome.r, &f.bytes, f.media);
        let forged = forged.iter().find(is_it)?;
        Some(Action::convict_of_answer(of, index, &forged.answer))
    })
}

/// An answer in every part but its signature.
fn forged(bytes: &[u8]) -> Option<Forged> {
    let forged = |media, answer| Forged {
        bytes: bytes.to_vec(),
        media,
        answer,
    };
    let probe = not_signed::<ProbeAnswer>(bytes);
    let probe = probe.map(|answer| forged(media::PROBE_ANSWER, answer));
    let chase = || not_signed::<ChaseAnswer>(bytes);
    probe.or_else(|| Some(forged(media::CHASE_ANSWER, chase()?)))
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

/// Proves a second outcome of a probe; the first is kept.
fn twice(probes: &mut BTreeMap<Attempt, SignedOutcome>, signed: SignedOutcome) -> Option<Action> {
    let outcome = &signed.outcome;
    if outcome.kind != OutcomeKind::Probe {
        return None;
    }
    let (epoch, slot) = outcome.place;
    let attempt = (outcome.hypernode, outcome.node, epoch, slot);
    let first = probes.entry(attempt).or_insert_with(|| signed.clone());
    let differ = first.outcome != signed.outcome;
    differ.then(|| Action::convict_of_outcomes([first, &signed]))
}
