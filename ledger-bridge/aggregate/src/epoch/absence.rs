//! Who is absent: a HyperNode with a say of which the agreed lists of many epochs in a row have no report.
//!
//! Its stake would go on counting for what is wanted of two thirds, and its seats for panels that nobody answers in. The
//! contract lets it leave the committee by a leaf of the tree, and lets it come back when it asks to.

use super::{Included, Seat};
use crate::root::AbsenceLeaf;
use crate::rules;
use assay_protocol::ids::{Epoch, HyperNodeId};
use assay_protocol::params::NetworkParams;
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

/// A leaf for everybody who missed as many epochs as the network allows, ascending by HyperNode. For nobody when those who
/// are left could not judge: with fewer operators than a panel has, or too few for the network's rules.
pub(super) fn leaves(
    (params, epoch): (&NetworkParams, Epoch),
    seats: &[Seat],
    missed: &BTreeMap<HyperNodeId, u32>,
) -> Vec<AbsenceLeaf> {
    let limit = params.absent_epochs;
    let is_absent = |missed: u32| limit > 0 && missed >= limit;
    let stays = |seat: &&Seat| {
        let missed = missed.get(&seat.hypernode).copied().unwrap_or(0);
        seat.weight > 0 && !is_absent(missed)
    };
    let left: Vec<&Seat> = seats.iter().filter(stays).collect();
    let operators: BTreeSet<_> = left.iter().map(|seat| seat.operator).collect();
    let panel = params.panel_min.max(2) as usize;
    if operators.len() < panel || rules::check(params, left.len()).is_err() {
        return Vec::new();
    }
    let absent = missed.iter().filter(|(_, missed)| is_absent(**missed));
    let leaf = |(hypernode, missed): (&HyperNodeId, &u32)| AbsenceLeaf {
        epoch,
        hypernode: *hypernode,
        missed: *missed,
    };
    absent.map(leaf).collect()
}
