//! Outcomes that rest on what nobody signed, and two of one probe.

use assay_bridge::outcomes::{self, Compared};
use assay_log::tar::Files;
use assay_protocol::answers::{ChainLink, ChaseAnswer, ProbeAnswer};
use assay_protocol::cose::{Payload, seal};
use assay_protocol::hash::sha256;
use assay_protocol::ids::{Digest, Epoch, NetworkId, NodeId, Nonce, Slot, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::layout;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media, metric};
use assay_transport::Identity;

use super::{Bed, E, bundle, convicts, record_of, refuses};
use crate::network::{HyperNode, NODE, Network};

const AT: UnixMs = UnixMs(1_800_000_000_777);
const LINK: ChainLink = ChainLink {
    sequence: 4,
    previous: Digest([5; 32]),
};

/// An object of a node's session; what is forged has another signature.
fn answer<T: Payload>(payload: T, forged: bool) -> Vec<u8> {
    let sealed = seal(payload, &Identity::generate().unwrap());
    let mut bytes = sealed.bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last - 40] ^= u8::from(forged);
    bytes
}

fn probe(forged: bool) -> Vec<u8> {
    let probe = ProbeAnswer {
        node: NODE,
        nonce: Nonce([6; 32]),
        link: LINK,
        counters: Vec::new(),
        at: AT,
    };
    answer(probe, forged)
}

fn chase(forged: bool) -> Vec<u8> {
    let chase = ChaseAnswer {
        node: NODE,
        nonce: Nonce([6; 32]),
        region: 0,
        generation: 1,
        blocks: 4,
        steps: 4,
        checkpoint_every: 4,
        lanes: vec![Blob(vec![9; 32])],
        link: LINK,
        counters: Vec::new(),
        at: AT,
        counters_before: Vec::new(),
    };
    answer(chase, forged)
}

/// An outcome of epoch `E` that rests on this, if on anything.
fn outcome(net: &Network, by: &HyperNode, kind: OutcomeKind, raw: Option<&[u8]>) -> Outcome {
    let media = match kind {
        OutcomeKind::Chase => media::CHASE_ANSWER,
        _ => media::PROBE_ANSWER,
    };
    let r = [7; 32];
    let evidence = raw.map(|raw| Outcome::reference(&r, raw, media));
    Outcome {
        schema: 1,
        kind,
        network: net.network,
        node: NODE,
        hypernode: by.id(),
        place: (E, Slot(2)),
        window: (AT, UnixMs(AT.0 + 30)),
        class: OutcomeClass::Pass,
        metrics: vec![(metric::RTT_US, 900)],
        evidence: evidence.into_iter().collect(),
        policy: Digest([3; 32]),
        r,
        detail: String::new(),
    }
}

fn probed(net: &Network, by: &HyperNode, raw: &[u8]) -> Outcome {
    outcome(net, by, OutcomeKind::Probe, Some(raw))
}

fn silent(net: &Network, by: &HyperNode) -> Outcome {
    Outcome {
        class: OutcomeClass::Unreachable,
        detail: "nobody there".into(),
        ..outcome(net, by, OutcomeKind::Probe, None)
    }
}

/// What a bundle holds of a HyperNode's outcomes and of raw evidence.
fn files(by: &HyperNode, outcomes: Vec<Outcome>, raw: &[&[u8]]) -> Files {
    let place = |number| layout::outcome(E, &by.id(), number);
    let outcomes = (0..).zip(outcomes);
    let outcomes = outcomes.map(|(number, outcome)| (place(number), by.seal(outcome)));
    let raw = raw.iter().map(|raw| {
        let path = layout::evidence(&Digest(sha256(&[raw])));
        (path, raw.to_vec())
    });
    outcomes.chain(raw).collect()
}

fn compared(net: &Network, all: Vec<Files>) -> Compared {
    let bundles = all.into_iter();
    let bundles = bundles.map(|files| bundle(net, "outcomes.tar", files));
    let known = net.hypernodes.iter().map(HyperNode::id).collect();
    outcomes::compare(&bundles.collect::<Vec<_>>(), net.network, &known)
}

/// A size that nothing has hides nothing, nor does another bundle.
#[test]
fn what_nobody_signed_is_found_whatever_size_it_is_said_to_have() {
    let net = Network::open();
    let by = &net.hypernodes[1];
    let forged = probe(true);
    let mut outcome = probed(&net, by, &forged);
    outcome.evidence[0].size += 1;
    let elsewhere = files(by, Vec::new(), &[&forged]);
    let compared = compared(&net, vec![files(by, vec![outcome], &[]), elsewhere]);
    let [(_, proof)] = &compared.proofs[..] else {
        panic!("{compared:?}");
    };
    convicts(&net, by, proof);
}

#[test]
fn a_pass_that_rests_on_what_nobody_signed_convicts() {
    let net = Network::open();
    let by = &net.hypernodes[1];
    let (signed, forged) = (probe(false), probe(true));
    let raw: [&[u8]; 3] = [&signed, &forged, b"nothing of the kind"];
    let outcomes = vec![
        probed(&net, by, &forged),
        Outcome {
            place: (E, Slot(3)),
            ..probed(&net, by, &signed)
        },
    ];
    let compared = compared(&net, vec![files(by, outcomes, &raw)]);
    assert_eq!((compared.outcomes, compared.evidence), (2, 3));
    let [(guilty, proof)] = &compared.proofs[..] else {
        panic!("{compared:?}");
    };
    assert_eq!((*guilty, proof.name), (by.id(), "unsignedAnswer"));
    convicts(&net, by, proof);
}

/// A node that is said to have failed by what it did not say is robbed: the same fault. The answer is found among others.
#[test]
fn a_failure_that_rests_on_what_nobody_signed_convicts() {
    let net = Network::open();
    let by = &net.hypernodes[2];
    let (signed, forged) = (chase(false), chase(true));
    let mut failed = outcome(&net, by, OutcomeKind::Chase, Some(&signed));
    failed.class = OutcomeClass::Fail;
    let reference = Outcome::reference(&failed.r, &forged, media::CHASE_ANSWER);
    failed.evidence.push(reference);
    let compared = compared(&net, vec![files(by, vec![failed], &[&signed, &forged])]);
    let [(_, proof)] = &compared.proofs[..] else {
        panic!("{compared:?}");
    };
    convicts(&net, by, proof);
}

#[test]
fn an_outcome_that_concludes_nothing_or_rests_on_the_node_s_word_convicts_nobody() {
    let net = Network::open();
    let by = &net.hypernodes[1];
    let (signed, forged) = (probe(false), chase(true));
    let mut undecided = outcome(&net, by, OutcomeKind::Chase, Some(&forged));
    undecided.class = OutcomeClass::Inconclusive;
    // What a node sends unsigned may look like anything.
    let mut other = outcome(&net, by, OutcomeKind::Attest, None);
    other.evidence = vec![Outcome::reference(&other.r, &forged, media::IMA_PART)];
    let outcomes = vec![probed(&net, by, &signed), undecided, other];
    let compared = compared(&net, vec![files(by, outcomes, &[&signed, &forged])]);
    assert_eq!(compared.outcomes, 3);
    assert_eq!(compared.proofs, []);
}

#[test]
fn two_outcomes_of_one_probe_convict() {
    let net = Network::open();
    let by = &net.hypernodes[3];
    let signed = probe(false);
    let passed = files(by, vec![probed(&net, by, &signed)], &[&signed]);
    let failed = files(by, vec![silent(&net, by)], &[]);
    let compared = compared(&net, vec![passed, failed]);
    let [(guilty, proof)] = &compared.proofs[..] else {
        panic!("{compared:?}");
    };
    assert_eq!((*guilty, proof.name), (by.id(), "twoOutcomes"));
    convicts(&net, by, proof);
    // A third one proves nothing more. Both in one bundle are the same fault.
    let third = Outcome {
        detail: "nobody at all".into(),
        ..silent(&net, by)
    };
    let all = vec![silent(&net, by), probed(&net, by, &signed), third];
    let compared = self::compared(&net, vec![files(by, all, &[])]);
    assert_eq!(compared.proofs.len(), 1);
    refuses(&net, &compared.proofs[0].1, "AlreadyProven");
}

/// Another node, slot or epoch, another HyperNode, a chase that was asked again, and the same outcome twice.
#[test]
fn outcomes_of_different_attempts_convict_nobody() {
    let net = Network::open();
    let [by, other] = [&net.hypernodes[0], &net.hypernodes[1]];
    let chased = |detail: &str| Outcome {
        detail: detail.into(),
        ..outcome(&net, by, OutcomeKind::Chase, None)
    };
    let own = || silent(&net, by);
    let outcomes = vec![
        outcome(&net, by, OutcomeKind::Probe, None),
        Outcome {
            node: NodeId([1; 32]),
            ..own()
        },
        Outcome {
            place: (E, Slot(3)),
            ..own()
        },
        Outcome {
            place: (Epoch(1), Slot(2)),
            ..own()
        },
        chased("broken off"),
        chased("asked again"),
    ];
    let mut all = files(by, outcomes.clone(), &[]);
    all.extend(files(other, vec![silent(&net, other)], &[]));
    let compared = compared(&net, vec![all, files(by, outcomes, &[])]);
    assert_eq!(compared.outcomes, 13);
    assert_eq!(compared.proofs, []);
}

#[test]
fn what_somebody_else_signed_or_is_of_another_network_is_left_out() {
    let net = Network::open();
    let [by, other] = [&net.hypernodes[0], &net.hypernodes[1]];
    let forged = probe(true);
    let network = NetworkId([9; 32]);
    let foreign = Outcome {
        network,
        ..probed(&net, by, &forged)
    };
    let mut all = files(by, vec![foreign], &[&forged]);
    let place = |number| layout::outcome(E, &by.id(), number);
    all.insert(place(1), other.seal(probed(&net, by, &forged)));
    all.insert(place(2), by.seal(probed(&net, other, &forged)));
    let mut flipped = by.seal(probed(&net, by, &forged));
    *flipped.last_mut().unwrap() ^= 1;
    all.insert(place(3), flipped);
    let schema = Outcome {
        schema: 2,
        ..probed(&net, by, &forged)
    };
    all.insert(place(4), by.seal(schema));
    let stranger = HyperNode::new(9);
    let theirs = probed(&net, &stranger, &forged);
    let path = layout::outcome(E, &stranger.id(), 0);
    all.insert(path, stranger.seal(theirs));
    let compared = compared(&net, vec![all]);
    assert_eq!((compared.outcomes, compared.proofs.len()), (0, 0));
}

#[test]
fn audit_bundles_bring_it_to_the_ledger() {
    let bed = Bed::new();
    let net = &bed.net;
    let [by, other] = [&net.hypernodes[1], &net.hypernodes[2]];
    let (signed, forged) = (probe(false), probe(true));
    bed.bundle(
        "good.tar",
        files(other, vec![probed(net, other, &signed)], &[&signed]),
    );
    bed.bundle("silent.tar", files(other, vec![silent(net, other)], &[]));
    bed.bundle(
        "forged.tar",
        files(by, vec![probed(net, by, &forged)], &[&forged]),
    );
    let line = |bundles: &str| format!("convict-outcomes {bundles}");
    bed.fails(
        &line("--first good.tar"),
        "got neither in 1 outcomes and 1 pieces of evidence",
    );
    bed.is_misnamed(&line("--first nowhere.tar"), "nowhere.tar");
    bed.does(&line("--first forged.tar"), "\"of\":\"unsignedAnswer\"");
    bed.does(&line("--first forged.tar"), "\"before\":true");
    bed.does(
        &line("--first good.tar --second silent.tar"),
        "\"of\":\"twoOutcomes\"",
    );
    for hypernode in [by, other] {
        assert!(record_of(net, hypernode).jailed);
    }
}
