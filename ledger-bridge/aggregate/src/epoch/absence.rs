//! Who is absent: a HyperNode with a say of which the agreed lists of many epochs in a row have no report.
//!
//! Its stake would go on counting for what is wanted of two thirds, and its seats for panels that nobody answers in. The
//! contract lets it leave the committee by a leaf of the tree, and lets it come back when it asks to.

use super::{Included, Seat};
use crate::root::AbsenceLeaf;
use assay_protocol::ids::{Epoch, HyperNodeId};
use assay_protocol::params::NetworkParams;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Agreed epochs in a row without a report, of everybody with a say in the epoch of whom there is none in this one. Who has
/// no say, or was heard, begins anew.
pub(super) fn missed(
    prior: &BTreeMap<HyperNodeId, u32>,
    seats: &[Seat],
    reports: &BTreeMap<HyperNodeId, Included>,
) -> BTreeMap<HyperNodeId, u32> {
    let unheard = seats
        .iter()
        .filter(|seat| seat.weight > 0 && !reports.contains_key(&seat.hypernode));
    let count = |seat: &Seat| {
        let before = prior.get(&seat.hypernode).copied().unwrap_or(0);
        (seat.hypernode, before.saturating_add(1))
    };
    unheard.map(count).collect()
}

/// A leaf for everybody who missed as many epochs as the network allows, ascending by HyperNode; but for those without whom
/// the rest could not judge, with fewer operators than a panel has, or too few for the network's rules. Who missed most goes
/// first.
pub(super) fn leaves(
    (params, epoch): (&NetworkParams, Epoch),
    seats: &[Seat],
    missed: &BTreeMap<HyperNodeId, u32>,
) -> Vec<AbsenceLeaf> {
    let limit = params.absent_epochs;
    let over = missed
        .iter()
        .filter(|(_, missed)| limit > 0 && **missed >= limit);
    let mut absent: Vec<_> = over.map(|(id, missed)| (Reverse(*missed), *id)).collect();
    absent.sort_unstable();
    let mut gone = BTreeSet::new();
    for (_, hypernode) in absent {
        gone.insert(hypernode);
        if !can_judge(params, seats, &gone) {
            gone.remove(&hypernode);
        }
    }
    let leaf = |hypernode| AbsenceLeaf {
        epoch,
        hypernode,
        missed: limit,
    };
    gone.into_iter().map(leaf).collect()
}

fn can_judge(params: &NetworkParams, seats: &[Seat], gone: &BTreeSet<HyperNodeId>) -> bool {
    let left = seats
        .iter()
        .filter(|seat| seat.weight > 0 && !gone.contains(&seat.hypernode));
    let operators: BTreeSet<_> = left.map(|seat| seat.operator).collect();
    let panel = params.panel_min.max(2) as usize;
    operators.len() >= panel
}
