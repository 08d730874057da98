//! What a leaf can rest on that is not in a node's bundle: its registrations, which are on the ledger, and the processors of
//! other nodes. The leaf, the one before it and what reports say of the node leave little that can have led to it.

use super::case::Case;
use super::inputs::Agreed;
use super::leaf::Leaf;
use super::roots::CheckedRoot;
use assay_aggregate::epoch::{NodeState, Registration, Rivals, Standing};
use assay_protocol::ids::{Address, Digest};
use assay_protocol::report::NodeReport;
use std::collections::BTreeMap;

/// What a leaf can rest on.
pub struct Ground {
    /// Registrations.
    pub registrations: Vec<Registration>,
    /// The processors that the node was bound to.
    pub chips: Option<Digest>,
    /// Which processors others got.
    pub rivals: Rivals,
    /// What of them neither reports nor earlier leaves tell, if anything: it takes the ledger to know, or other nodes' leaves.
    /// That there was an offer is taken from the leaf, as that there is a registration.
    pub untold: Option<&'static str>,
}

/// All that a leaf can rest on, the likeliest first; `before` is the state that the leaf before left, if that is `known`.
pub fn grounds(
    case: &Case,
    (root, agreed): (&CheckedRoot, &Agreed),
    (before, known): (&NodeState, bool),
    claimed: &Leaf,
) -> Vec<Ground> {
    let mut all = Vec::new();
    for processors in processors(before.chips, known) {
        for registered in registered(case, root, agreed, before.confirmed_owner, claimed) {
            all.push(Ground {
                registrations: registered.all,
                chips: processors.own,
                rivals: processors.rivals,
                untold: registered.untold.or(processors.untold),
            });
        }
    }
    all
}

/// Registrations of the node as they may have been.
struct Registered {
    all: Vec<Registration>,
    untold: Option<&'static str>,
}

/// `before` is the owner that earlier roots confirmed.
fn registered(
    case: &Case,
    root: &CheckedRoot,
    agreed: &Agreed,
    before: Option<Address>,
    claimed: &Leaf,
) -> Vec<Registered> {
    let owner = claimed.owner();
    let class = most(case, root, agreed, |node| Some(node.class));
    let spoken = class.is_some();
    if owner == Address([0; 20]) {
        let untold = before.map(|_| "that the owner's registration had ended");
        return vec![Registered {
            all: Vec::new(),
            untold,
        }];
    }
    // Without a report the class is nobody's concern: nothing is judged by it.
    let class = class.unwrap_or(Digest([0; 32]));
    let of = |provider, standing| Registration {
        node: case.node(),
        provider,
        class,
        standing,
    };
    let one = |standing, untold| Registered {
        all: vec![of(owner, standing)],
        untold,
    };
    let offered = |by, to| Registered {
        all: vec![of(by, Standing::Owner), of(to, Standing::Offered)],
        untold: None,
    };
    let other = before.filter(|before| *before != owner);
    let lost = other.map(|_| "that the owner before has lost the node");
    let leaving = spoken.then_some("that its owner owes no service any more");
    let handed_over = other.map(|before| offered(before, owner));
    // Who is nobody's owner before is confirmed by this root, and not by the ledger.
    let owning = before.map(|_| one(Standing::Owner, lost));
    let waiting = one(Standing::Waiting, lost);
    // The machine names who took its owner's offer, and what its owner did waits to be slashed.
    let named = most(case, root, agreed, |node| node.attest.owner);
    let named = named.filter(|named| *named != owner);
    let not_yet = named.map(|named| offered(owner, named));
    let all = handed_over.into_iter().chain(owning).chain([waiting]);
    all.chain(not_yet)
        .chain([one(Standing::Leaving, leaving)])
        .collect()
}

/// Processors as they may have been.
struct Processors {
    /// What the node was bound to.
    own: Option<Digest>,
    rivals: Rivals,
    untold: Option<&'static str>,
}

/// Processors that stand for any others than those of the leaf.
const UNLIKE: Digest = Digest([0xff; 32]);

/// `own` are those that the leaf before says, if that is `known`; else those that this one does.
fn processors(own: Option<Digest>, known: bool) -> Vec<Processors> {
    let by_itself = |own, untold| Processors {
        own,
        rivals: Rivals::default(),
        untold,
    };
    let among = |shown, bound| Processors {
        own,
        rivals: Rivals { shown, bound },
        untold: Some("that another node shows the same processors"),
    };
    let before = Some("that it was bound to other processors before");
    let unlike = (!known).then(|| by_itself(Some(UNLIKE), before));
    let mut all = vec![by_itself(own, None)];
    all.extend(unlike);
    all.extend([among(true, false), among(false, true), among(true, true)]);
    all
}

/// What most of the weight says of the node; none when no agreed report says it.
fn most<T: Ord>(
    case: &Case,
    root: &CheckedRoot,
    agreed: &Agreed,
    said: impl Fn(&NodeReport) -> Option<T>,
) -> Option<T> {
    let weight = |id| {
        let mut seats = root.roster.seats().iter();
        let seat = seats.find(|seat| seat.hypernode == id);
        seat.map_or(0, |seat| seat.weight)
    };
    let mut sums: BTreeMap<T, u128> = BTreeMap::new();
    for (id, included) in agreed {
        let mut nodes = included.report.nodes.iter();
        let node = nodes.find(|entry| entry.node == case.node());
        if let Some(value) = node.and_then(&said) {
            let sum = sums.entry(value).or_default();
            *sum = sum.saturating_add(weight(*id));
        }
    }
    let heaviest = sums.into_iter().max_by_key(|(_, weight)| *weight);
    heaviest.map(|(value, _)| value)
}
