//! By which leaf a reservation begins, and by which its next period is settled: the rule of the contract, so that a leaf it
//! refuses is not tried out.

use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::root::RootError;
use assay_ledger::{Action, ReservationRecord};
use assay_protocol::ids::{Epoch, Keccak};
use std::collections::BTreeMap;

use super::{Due, Kind, Record};

/// What rent hangs on beside its reservation. What is not known may be void: then the contract decides.
#[derive(Debug, Clone, Copy)]
pub struct Calendar<'a> {
    /// Epochs in a billing period.
    pub period_epochs: u32,
    /// The first epoch that was not followed.
    pub next: Epoch,
    /// Those followed that have a root, as far back as they are kept.
    pub posted: &'a BTreeMap<Epoch, (Keccak, u8)>,
}

impl Calendar<'_> {
    /// A reservation begins by the last leaf before it.
    fn begins(&self, r: &ReservationRecord, leaf: Epoch) -> bool {
        !r.started && leaf < r.first && self.may_be_void(leaf.next(), r.first)
    }

    /// A period is settled by the leaf of its last epoch; when that is void by the first one after it, and when all are up to
    /// the reservation's end by the last one before it.
    fn ends(&self, r: &ReservationRecord, leaf: Epoch) -> bool {
        if !r.started || leaf < r.settled_through || leaf >= r.end {
            return false;
        }
        let last = self.last_of_period(r);
        match leaf >= last {
            true => self.may_be_void(last, leaf),
            false => self.may_be_void(leaf.next(), r.end),
        }
    }

    /// Last epoch of the billing period that is to be settled next.
    fn last_of_period(&self, r: &ReservationRecord) -> Epoch {
        let length = u64::from(self.period_epochs.max(1));
        let settled = r.settled_through.0.saturating_sub(r.first.0);
        let periods = (settled / length).saturating_add(1);
        let end = r.first.0.saturating_add(periods.saturating_mul(length));
        Epoch(end.min(r.end.0).saturating_sub(1))
    }

    /// Whether all epochs from one up to another may be void.
    fn may_be_void(&self, from: Epoch, end: Epoch) -> bool {
        from >= end || (end <= self.next && self.posted.range(from..end).next().is_none())
    }
}

/// What the leaves of an outcome make of a reservation.
pub(super) fn rent(
    outcome: &EpochOutcome,
    r: &ReservationRecord,
    calendar: &Calendar<'_>,
) -> Result<Option<Due>, RootError> {
    let epoch = outcome.root.epoch;
    let is_over = r.settled_through >= r.end;
    let begins = calendar.begins(r, epoch);
    if is_over || !(begins || calendar.ends(r, epoch)) {
        return Ok(None);
    }
    let Some(leaf) = outcome.leaves.iter().find(|leaf| leaf.node == r.node) else {
        return Ok(None);
    };
    let proof = outcome.tree.proof(&leaf.hash())?;
    let (name, action) = match begins {
        true => ("start", Action::start_reservation(r.id, leaf, &proof)),
        false => ("rent", Action::settle_reservation(r.id, leaf, &proof)),
    };
    Ok(Some(Due {
        kind: Kind::Rent,
        name: format!("{name}/{}/{epoch}", r.id),
        action,
        record: Record::Reservation(*r),
    }))
}

#[cfg(test)]
mod tests;
