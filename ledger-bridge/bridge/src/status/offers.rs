//! What Builders can reserve: the offers, and which epochs nobody has.

use anyhow::Result;
use assay_ledger::{AssayLedger, NodeRecord, OpenOffer, ReservationRecord};
use assay_protocol::amount::Gwei;
use assay_protocol::ids::{Epoch, NodeId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

use crate::ledger_now;

/// Reservations of a node that have not begun, at most: the contract's rule.
const UPCOMING_MAX: usize = 32;

/// An offer that a Builder can take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfferStatus {
    /// Rent of an epoch.
    pub price_gwei: u64,
    /// Shortest reservation in epochs.
    pub min_epochs: u32,
    /// Longest reservation in epochs.
    pub max_epochs: u32,
    /// Epochs that a reservation can have now, ascending; too few between two reservations are left out.
    pub free: Vec<Free>,
}

/// Epochs that nobody has reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Free {
    /// The first one.
    pub first: Epoch,
    /// The first one after them that is reserved; none after the last reservation.
    pub end: Option<Epoch>,
}

/// When a reservation can begin.
#[derive(Debug, Clone, Copy)]
struct Begins {
    /// The epoch after the current one.
    first: Epoch,
    /// As far ahead as the contract takes.
    last: Epoch,
}

/// The offers among these nodes. When nothing is offered no terms are asked for.
pub(super) fn read(
    ledger: &AssayLedger,
    nodes: &[NodeRecord],
    reservations: &[ReservationRecord],
    gwei: Gwei,
) -> Result<BTreeMap<NodeId, OfferStatus>> {
    let offers = ledger.open_offers(nodes)?;
    if offers.is_empty() {
        return Ok(BTreeMap::new());
    }
    let begins = Begins::of(ledger)?;
    let mut taken: BTreeMap<NodeId, Vec<(Epoch, Epoch)>> = BTreeMap::new();
    for r in reservations {
        taken.entry(r.node).or_default().push((r.first, r.end));
    }
    let status = |(node, offer): (NodeId, OpenOffer)| {
        let taken = taken.remove(&node).unwrap_or_default();
        let free = free(taken, begins, offer.min_epochs);
        (node, OfferStatus::of(offer, free, gwei))
    };
    Ok(offers.into_iter().map(status).collect())
}

impl OfferStatus {
    fn of(offer: OpenOffer, free: Vec<Free>, gwei: Gwei) -> Self {
        Self {
            price_gwei: gwei.whole(offer.price.0),
            min_epochs: offer.min_epochs,
            max_epochs: offer.max_epochs,
            free,
        }
    }
}

impl Begins {
    fn of(ledger: &AssayLedger) -> Result<Self> {
        let network = ledger.genesis_parameters()?;
        let since = ledger_now(ledger)?
            .0
            .saturating_sub(network.genesis_unix_ms.0);
        let current = since.checked_div(network.epoch_ms).unwrap_or(0);
        let ahead = ledger.rent_terms()?.max_ahead_epochs;
        Ok(Self {
            first: Epoch(current.saturating_add(1)),
            last: Epoch(current.saturating_add(ahead.into())),
        })
    }
}

/// What is left between what is taken, long enough for the shortest reservation.
fn free(mut taken: Vec<(Epoch, Epoch)>, begins: Begins, min_epochs: u32) -> Vec<Free> {
    let upcoming = |(first, end): &&(Epoch, Epoch)| first < end && *first >= begins.first;
    if taken.iter().filter(upcoming).count() >= UPCOMING_MAX {
        return Vec::new();
    }
    taken.sort_unstable();
    let (mut free, mut from) = (Vec::new(), begins.first);
    // What was cancelled before it began is empty.
    for (first, end) in taken.into_iter().filter(|(first, end)| first < end) {
        if first.0.saturating_sub(from.0) >= u64::from(min_epochs).max(1) {
            let end = Some(first);
            free.push(Free { first: from, end });
        }
        from = from.max(end);
    }
    let (first, end) = (from, None);
    free.push(Free { first, end });
    free.retain(|free| free.first <= begins.last);
    free
}

impl fmt::Display for OfferStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (price, min, max) = (self.price_gwei, self.min_epochs, self.max_epochs);
        write!(f, "{price} gwei an epoch, {min} to {max} epochs  free: ")?;
        if self.free.is_empty() {
            return write!(f, "none");
        }
        for (n, Free { first, end }) in self.free.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            match end {
                Some(end) => write!(f, "{comma}{first} to before {end}")?,
                None => write!(f, "{comma}from {first} on")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGINS: Begins = Begins {
        first: Epoch(11),
        last: Epoch(30),
    };

    fn shown(taken: &[(u64, u64)], min_epochs: u32) -> String {
        let taken = taken
            .iter()
            .map(|(first, end)| (Epoch(*first), Epoch(*end)));
        let free = free(taken.collect(), BEGINS, min_epochs);
        let (price_gwei, max_epochs) = (7, 9);
        let offer = OfferStatus {
            price_gwei,
            min_epochs,
            max_epochs,
            free,
        };
        let shown = offer.to_string();
        shown.split_once("free: ").unwrap().1.to_owned()
    }

    #[test]
    fn what_nobody_has_from_the_next_epoch_on_is_free() {
        assert_eq!(shown(&[], 1), "from 11 on");
        assert_eq!(shown(&[(3, 11)], 1), "from 11 on", "over by then");
        assert_eq!(shown(&[(3, 12)], 1), "from 12 on", "begun");
        assert_eq!(
            shown(&[(20, 25), (11, 13)], 1),
            "13 to before 20, from 25 on"
        );
        assert_eq!(
            shown(&[(12, 14), (14, 16)], 1),
            "11 to before 12, from 16 on"
        );
        assert_eq!(
            shown(&[(20, 20)], 1),
            "from 11 on",
            "cancelled before it began"
        );
    }

    #[test]
    fn what_no_reservation_can_have_is_not_free() {
        assert_eq!(shown(&[(14, 16)], 3), "11 to before 14, from 16 on");
        assert_eq!(shown(&[(14, 16)], 4), "from 16 on", "too few");
        assert_eq!(shown(&[(13, 30)], 1), "11 to before 13, from 30 on");
        assert_eq!(shown(&[(13, 31)], 1), "11 to before 13", "too far ahead");
        assert_eq!(shown(&[(11, 31)], 1), "none");
        let many = |count: u64| (0..count).map(|n| (11 + n, 12 + n)).collect::<Vec<_>>();
        let far = Begins {
            last: Epoch(99),
            ..BEGINS
        };
        let count = |taken: &[(u64, u64)]| {
            let taken = taken
                .iter()
                .map(|(first, end)| (Epoch(*first), Epoch(*end)));
            free(taken.collect(), far, 1).len()
        };
        assert_eq!(count(&many(31)), 1);
        assert_eq!(count(&many(32)), 0, "no more reservations are taken");
        assert_eq!(count(&[many(31), vec![(1, 11), (60, 60)]].concat()), 1);
    }
}
