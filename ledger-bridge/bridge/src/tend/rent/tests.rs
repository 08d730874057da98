//! Against the contract's rule, for every course that epochs can take.

use super::*;
use assay_protocol::ids::{Address, NodeId, Stake};

const FIRST: u64 = 3;
const END: u64 = 9;
const LAST: u64 = 10;

fn reservation(started: bool, settled_through: u64) -> ReservationRecord {
    ReservationRecord {
        id: 1,
        node: NodeId([7; 32]),
        builder: Address([1; 20]),
        provider: Address([2; 20]),
        first: Epoch(FIRST),
        end: Epoch(END),
        settled_through: Epoch(settled_through),
        started,
        price: Stake(1),
        held: Stake(6),
        credited: Stake(0),
    }
}

/// What `start` and `settle` of AssayReservations.sol ask of the leaf's epoch.
fn takes(is_void: impl Fn(u64) -> bool, r: &ReservationRecord, period: u64, leaf: u64) -> bool {
    let all_void = |from: u64, end: u64| (from..end).all(&is_void);
    let (first, end, from) = (r.first.0, r.end.0, r.settled_through.0);
    if !r.started {
        return leaf < first && all_void(leaf + 1, first);
    }
    let last = (first + ((from - first) / period + 1) * period).min(end) - 1;
    (from..end).contains(&leaf)
        && match leaf >= last {
            true => all_void(last, leaf),
            false => all_void(leaf + 1, end),
        }
}

/// Epochs 0 to `next` with roots where this has a bit.
fn posted(roots: u64, next: u64) -> BTreeMap<Epoch, (Keccak, u8)> {
    let posted = (0..next).filter(|epoch| roots & (1 << epoch) != 0);
    posted
        .map(|epoch| (Epoch(epoch), (Keccak([0; 32]), 0)))
        .collect()
}

fn is_due(calendar: &Calendar<'_>, r: &ReservationRecord, leaf: u64) -> bool {
    calendar.begins(r, Epoch(leaf)) || calendar.ends(r, Epoch(leaf))
}

/// Each reservation at each course of epochs, with the leaf of every epoch that has one.
fn each(mut of: impl FnMut(u64, u64, &ReservationRecord, u64, u64)) {
    let states = [(false, FIRST), (true, FIRST), (true, 5), (true, 6)];
    for (next, period, (started, through)) in (1..=LAST)
        .flat_map(|next| [2, 3, 4].map(|period| (next, period)))
        .flat_map(|(next, period)| states.map(|state| (next, period, state)))
    {
        let r = reservation(started, through);
        for roots in 0..1_u64 << next {
            let leaves = (0..next).filter(|leaf| roots & (1 << leaf) != 0);
            leaves.for_each(|leaf| of(roots, next, &r, period, leaf));
        }
    }
}

#[test]
fn what_the_contract_takes_is_due_and_nothing_else() {
    let mut due = 0;
    each(|roots, next, r, period, leaf| {
        let posted = posted(roots, next);
        let calendar = Calendar {
            period_epochs: period as u32,
            next: Epoch(next),
            posted: &posted,
        };
        let is_void = |epoch: u64| epoch < next && roots & (1_u64 << epoch) == 0;
        let expected = takes(is_void, r, period, leaf);
        let what = format!("{r:?} by {leaf} of {roots:b} before {next}, period {period}");
        assert_eq!(is_due(&calendar, r, leaf), expected, "{what}");
        due += u32::from(expected);
    });
    assert!(due > 1_000, "{due}");
}

#[test]
fn what_the_contract_takes_is_due_when_older_epochs_are_not_known_any_more() {
    each(|roots, next, r, period, leaf| {
        let is_void = |epoch: u64| epoch < next && roots & (1_u64 << epoch) == 0;
        if !takes(is_void, r, period, leaf) {
            return;
        }
        for kept in 0..next {
            let posted = posted(roots & !((1 << kept) - 1), next);
            let calendar = Calendar {
                period_epochs: period as u32,
                next: Epoch(next),
                posted: &posted,
            };
            assert!(is_due(&calendar, r, leaf), "{r:?} by {leaf} of {roots:b}");
        }
    });
}
