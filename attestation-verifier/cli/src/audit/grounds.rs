//! What a leaf can rest on that is not in a node's bundle: its registrations, which are on the ledger, and the processors of
//! other nodes. The leaf, the one before it and what reports say of the node leave little that can have led to it.

use super::case::Case;
use super::inputs::Agreed;
use super::leaf::Leaf;
use super::roots::CheckedRoot;
use assay_aggregate::epoch::{NodeState, Registration, Rivals, Standing};
use assay_aggregate::persistence::{Record, Rule};
use assay_aggregate::verdict::Verdict;
use assay_protocol::ids::{Address, Digest, Epoch};
use assay_protocol::report::NodeReport;
use std::collections::BTreeMap;

/// What a leaf can rest on.
pub struct Ground {
    /// Registrations.
    pub registrations: Vec<Registration>,
    /// The node's state when the epoch began.
    pub before: NodeState,
    /// Which processors others got.
    pub rivals: Rivals,
    /// What of them neither reports nor earlier leaves tell: it takes the ledger to know, other nodes' leaves or earlier
    /// epochs. That there was an offer is taken from the leaf, as that there is a registration.
    pub untold: Vec<&'static str>,
}

/// What earlier epochs tell of a node.
#[derive(Clone, Copy)]
pub struct Told {
    /// Its state, as far as it is told.
    pub state: NodeState,
    /// Whether the leaf before tells it; else it is what this leaf makes likely.
    pub by_leaf: bool,
    /// Whether all breaches that wait are told, too.
    pub with_record: bool,
}

/// All that a leaf can rest on, the likeliest first.
pub fn grounds(
    case: &Case,
    (root, agreed): (&CheckedRoot, &Agreed),
    told: &Told,
    claimed: &Leaf,
) -> Vec<Ground> {
    let mut all = Vec::new();
    let owner = told.state.confirmed_owner;
    for (record, waits) in records(case, root, told) {
        for processors in processors(told.state.chips, told.by_leaf) {
            for registered in registered(case, root, agreed, owner, claimed) {
                let untold = [waits, processors.untold, registered.untold];
                all.push(Ground {
                    registrations: registered.all,
                    before: NodeState {
                        record,
                        chips: processors.own,
                        ..told.state
                    },
                    rivals: processors.rivals,
                    untold: untold.into_iter().flatten().collect(),
                });
            }
        }
    }
    all
}

/// The breaches that may wait when the epoch begins: none, one, or a trial.
fn records(case: &Case, root: &CheckedRoot, told: &Told) -> Vec<(Record, Option<&'static str>)> {
    let mut all = vec![(told.state.record, None)];
    if !told.with_record {
        let (rule, epoch) = (Rule::of(&case.params), root.root.epoch);
        let (breaches, _) = case.params.persistence;
        let one = breached(&rule, epoch, 1, 1);
        let tried = breached(&rule, epoch, breaches.into(), 2);
        let untold = Some("the breaches before the bundle that wait");
        all.extend(
            [one, tried]
                .into_iter()
                .flatten()
                .map(|record| (record, untold)),
        );
    }
    all
}

/// A record of so many breaches in a row, the last one `ago`; none where there are not so many epochs before.
fn breached(rule: &Rule, epoch: Epoch, count: u64, ago: u64) -> Option<Record> {
    let last = epoch.0.checked_sub(ago)?;
    let first = last.checked_sub(count.checked_sub(1)?)?;
    let breach = |record: Record, at| record.observe(rule, Epoch(at), Verdict::Breach).0;
    Some((first..=last).fold(Record::default(), breach))
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

/// `own` are those that the leaf before says, if it is there; else those that this one does.
fn processors(own: Option<Digest>, by_leaf: bool) -> Vec<Processors> {
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
    let unlike = (!by_leaf).then(|| by_itself(Some(UNLIKE), before));
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
