//! Outcomes and the answers that they rest on, among them answers that nobody signed.

use super::{
    AT, Key, NETWORK, NODE, OTHER_NETWORK, WIDTHS, hex, hypernode, merged, number, other_hypernode,
    seal, session,
};
use assay_protocol::answers::{ChainLink, ChaseAnswer, ControlAnswer, Counter, ProbeAnswer};
use assay_protocol::cose::{self, Payload, PublicKey, Signer};
use assay_protocol::ids::{Digest, Epoch, NodeId, Nonce, Slot, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::outcome::{EvidenceRef, Outcome, OutcomeClass, OutcomeKind, media, metric};
use serde_json::{Map, Value, json};

const R: [u8; 32] = [0x52; 32];
const LINK: ChainLink = ChainLink {
    sequence: 41,
    previous: Digest([0x77; 32]),
};
/// The order of the group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
/// The neutral point, which is of small order.
const SMALL: PublicKey = {
    let mut key = [0; 32];
    key[0] = 1;
    key
};

/// An answer as it was received.
struct Received {
    bytes: Vec<u8>,
    media: &'static str,
    row: Value,
}

/// Names a key that it may not have.
struct Named(PublicKey);

impl Signer for Named {
    fn public_key(&self) -> PublicKey {
        self.0
    }
    fn sign(&self, _: &[u8]) -> [u8; 64] {
        [0; 64]
    }
}

/// The object that names this key as its signer, with these bytes for its signature.
fn received<T: Payload>(payload: T, at: UnixMs, signer: PublicKey, signature: &[u8]) -> Received {
    let content = payload.to_value().encode();
    let sealed = cose::seal(payload, &Named(signer));
    let sealed = sealed.bytes();
    let mut bytes = sealed[..sealed.len() - 66].to_vec();
    bytes.extend([0x58, u8::try_from(signature.len()).unwrap()]);
    bytes.extend(signature);
    let row = json!({
        "sessionKey": hex(&signer),
        "node": hex(&NODE.0),
        "atUnixMs": number(at.0),
        "payload": hex(&content),
        "signature": hex(signature),
    });
    Received {
        bytes,
        media: T::TYP,
        row,
    }
}

/// What the node's session key signs of a payload.
fn signature<T: Payload + Clone>(payload: &T) -> Vec<u8> {
    let sealed = seal(payload.clone(), &session());
    sealed[sealed.len() - 64..].to_vec()
}

fn flipped(mut signature: Vec<u8>) -> Vec<u8> {
    signature[9] ^= 4;
    signature
}

/// The same signature but for its scalar, to which the order of the group is added: right, had it not to be the least.
fn not_least(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let mut carry = 0;
    let sum = s.iter().zip(ORDER).map(|(a, b)| {
        let sum = u16::from(*a) + u16::from(b) + carry;
        carry = sum >> 8;
        sum.to_le_bytes()[0]
    });
    let sum: Vec<u8> = sum.collect();
    [r, &sum].concat()
}

fn probe(at: UnixMs) -> ProbeAnswer {
    ProbeAnswer {
        node: NODE,
        nonce: Nonce([0x6e; 32]),
        link: LINK,
        counters: vec![Counter {
            id: 6,
            scope: "cpu".into(),
            value: 70_000,
        }],
        at,
    }
}

fn chase() -> ChaseAnswer {
    ChaseAnswer {
        node: NODE,
        nonce: Nonce([0x6f; 32]),
        region: 1,
        generation: 2,
        blocks: 16,
        steps: 8,
        checkpoint_every: 4,
        lanes: vec![Blob(vec![7; 64]); 2],
        link: LINK,
        counters: Vec::new(),
        at: AT,
        counters_before: Vec::new(),
    }
}

fn control() -> ControlAnswer {
    ControlAnswer {
        hypernode: hypernode().id(),
        nonce: Nonce([0x70; 32]),
        at: AT,
    }
}

fn probe_by(key: PublicKey, signature: &[u8]) -> Received {
    received(probe(AT), AT, key, signature)
}

/// Answers by name.
fn all() -> Vec<(&'static str, Received)> {
    let key = session().public_key();
    let good = signature(&probe(AT));
    let long = [&good[..], &[0]].concat();
    let mut control = received(control(), AT, key, &[9; 64]);
    control.row["node"] = json!(hex(&hypernode().id().0));
    let late = UnixMs(u64::MAX);
    vec![
        ("signed", probe_by(key, &good)),
        (
            "late",
            received(probe(late), late, key, &flipped(good.clone())),
        ),
        ("forged", probe_by(key, &flipped(good.clone()))),
        ("others", probe_by(hypernode().public_key(), &good)),
        ("short", probe_by(key, &good[..63])),
        ("aboveOrder", probe_by(key, &not_least(&good))),
        ("long", probe_by(key, &long)),
        ("smallKey", probe_by(SMALL, &good)),
        (
            "signedChase",
            received(chase(), AT, key, &signature(&chase())),
        ),
        (
            "forgedChase",
            received(chase(), AT, key, &flipped(signature(&chase()))),
        ),
        ("control", control),
    ]
}

fn answer(name: &str) -> Received {
    let found = all().into_iter().find(|(known, _)| *known == name);
    found.unwrap().1
}

pub fn answers() -> Value {
    let rows = all().into_iter();
    let rows = rows.map(|(name, received)| (name.to_owned(), received.row));
    rows.collect::<Map<_, _>>().into()
}

/// A probe that passed by this answer.
fn resting_on(name: &str) -> Outcome {
    let received = answer(name);
    Outcome {
        schema: 1,
        kind: OutcomeKind::Probe,
        network: NETWORK,
        node: NODE,
        hypernode: hypernode().id(),
        place: (Epoch(7), Slot(300)),
        window: (AT, UnixMs(AT.0 + 900)),
        class: OutcomeClass::Pass,
        metrics: vec![(metric::RTT_US, 1_234), (metric::ATTEMPTS, 1)],
        evidence: vec![Outcome::reference(&R, &received.bytes, received.media)],
        policy: Digest([0x44; 32]),
        r: R,
        detail: String::new(),
    }
}

fn silent() -> Outcome {
    Outcome {
        class: OutcomeClass::Unreachable,
        evidence: Vec::new(),
        metrics: vec![(metric::CONTROLS_GOOD, 3)],
        detail: "no answer within 3 s — nobody there".into(),
        ..resting_on("signed")
    }
}

fn chased(answer: &str, class: OutcomeClass) -> Outcome {
    Outcome {
        kind: OutcomeKind::Chase,
        class,
        ..resting_on(answer)
    }
}

fn row(outcome: Outcome, key: &Key) -> Value {
    let metrics = |each: fn(&(u16, u64)) -> u64| {
        let of = outcome.metrics.iter().map(|one| number(each(one)));
        of.collect::<Vec<_>>()
    };
    let evidence = |each: fn(&EvidenceRef) -> String| {
        let of = outcome.evidence.iter().map(each);
        of.collect::<Vec<_>>()
    };
    let row = json!({
        "networkId": hex(&outcome.network.0),
        "kind": number(outcome.kind as u64),
        "node": hex(&outcome.node.0),
        "hyperNode": hex(&outcome.hypernode.0),
        "epoch": number(outcome.place.0.0),
        "slot": number(outcome.place.1.0.into()),
        "startedUnixMs": number(outcome.window.0.0),
        "endedUnixMs": number(outcome.window.1.0),
        "result": number(outcome.class as u64),
        "metricIds": metrics(|(id, _)| (*id).into()),
        "metricValues": metrics(|(_, value)| *value),
        "saltedDigests": evidence(|e| hex(&e.salted_digest.0)),
        "sizes": evidence(|e| number(e.size)),
        "mediaTypes": evidence(|e| e.media_type.clone()),
        "policy": hex(&outcome.policy.0),
        "r": hex(&outcome.r),
        "detail": outcome.detail,
    });
    seal(outcome, key);
    merged(row, key.last())
}

/// Every number at this width, and lists as long as some of them.
fn wide(width: u64) -> Outcome {
    let short = u16::try_from(width).unwrap_or(u16::MAX);
    let count = usize::try_from(width % 29).unwrap();
    Outcome {
        place: (Epoch(width), Slot(u32::try_from(width).unwrap_or(u32::MAX))),
        window: (UnixMs(width), UnixMs(width)),
        metrics: vec![(short, width); count.min(16)],
        evidence: vec![
            EvidenceRef {
                salted_digest: Digest([0x99; 32]),
                size: width,
                media_type: "m".repeat(count * 4),
            };
            count
        ],
        detail: "é".repeat(count * 7),
        ..resting_on("signed")
    }
}

pub fn outcomes() -> Value {
    let key = hypernode();
    let mut rows = Map::new();
    let mut add = |name: &str, outcome| rows.insert(name.into(), row(outcome, &key));
    for name in [
        "signed",
        "late",
        "forged",
        "others",
        "short",
        "aboveOrder",
        "smallKey",
        "control",
        "long",
    ] {
        add(name, resting_on(name));
    }
    let mut second = resting_on("signed");
    second.evidence.extend(resting_on("forged").evidence);
    add("second", second);
    add("silent", silent());
    let later = UnixMs(AT.0 + 901);
    add(
        "again",
        Outcome {
            window: (AT, later),
            ..resting_on("signed")
        },
    );
    let elsewhere = |place| Outcome { place, ..silent() };
    add("nextSlot", elsewhere((Epoch(7), Slot(301))));
    add("nextEpoch", elsewhere((Epoch(8), Slot(300))));
    let node = NodeId([0x34; 32]);
    add("otherNode", Outcome { node, ..silent() });
    add("chase", chased("signedChase", OutcomeClass::Pass));
    add("forgedChase", chased("forgedChase", OutcomeClass::Fail));
    add(
        "undecided",
        chased("forgedChase", OutcomeClass::Inconclusive),
    );
    add(
        "silentChase",
        Outcome {
            kind: OutcomeKind::Chase,
            ..silent()
        },
    );
    let network = OTHER_NETWORK;
    add(
        "otherNetwork",
        Outcome {
            network,
            ..resting_on("forged")
        },
    );
    for (i, width) in WIDTHS.into_iter().enumerate() {
        add(&format!("width{i}"), wide(width));
    }
    let stranger = other_hypernode();
    let hypernode = stranger.id();
    let theirs = Outcome {
        hypernode,
        ..silent()
    };
    rows.insert("otherHyperNode".into(), row(theirs, &stranger));
    rows.into()
}

/// The media types by which the contract knows an answer are those of the objects.
#[test]
fn an_answer_s_media_type_is_that_of_its_object() {
    assert_eq!(media::PROBE_ANSWER, ProbeAnswer::TYP);
    assert_eq!(media::CHASE_ANSWER, ChaseAnswer::TYP);
}

/// What convicts is what a HyperNode refuses: of every answer here that is signed by its key, and of no other, it says so.
#[test]
fn hypernodes_take_the_signed_answers_only() {
    for (name, received) in all() {
        let Ok(key) = cose::claimed_signer(&received.bytes, received.bytes.len()) else {
            assert_eq!(name, "long", "no signature is longer");
            continue;
        };
        let taken = match received.media {
            media::PROBE_ANSWER => cose::open::<ProbeAnswer>(&received.bytes, &key).map(drop),
            media::CHASE_ANSWER => cose::open::<ChaseAnswer>(&received.bytes, &key).map(drop),
            _ => continue,
        };
        assert_eq!(
            taken.is_ok(),
            name.starts_with("signed"),
            "{name}: {taken:?}"
        );
    }
}
