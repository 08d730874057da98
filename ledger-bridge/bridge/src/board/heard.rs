//! Who is heard on the board: the HyperNodes of genesis, and those that the ledger has registered since; and how many nodes
//! they can speak of.
//!
//! The ledger is read by [`Heard::refresh`] alone: a slow one holds up no post.

use assay_aggregate::roster::Known;
use assay_ledger::{AssayLedger, Finality, LedgerError};
use assay_protocol::ids::{Epoch, HyperNodeId, UnixMs};
use assay_protocol::params::{NetworkParams, RosterEntry, STAKES_FIXED_AHEAD};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Whom the ledger knows, as last read.
pub struct Heard {
    ledger: AssayLedger,
    /// The same with its newest block: what others take for final is in there.
    newest: AssayLedger,
    read: RwLock<Read>,
}

#[derive(Default)]
struct Read {
    /// Whoever may connect.
    registered: BTreeSet<HyperNodeId>,
    /// Rosters of the epochs whose boards take something, and of those after them.
    rosters: BTreeMap<Epoch, Vec<RosterEntry>>,
    /// Whom the last root named, with the epoch that it named them for.
    signing: Option<(Epoch, Vec<RosterEntry>)>,
    /// The first epoch that can still be corrected, or signed again because one before it was.
    open: Epoch,
    registrations: Registrations,
}

/// Registrations of nodes that the ledger has, as last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registrations {
    /// All that were ever made.
    pub count: u64,
    /// When that was read, by the bridge's clock; 0 before the first time.
    pub at: UnixMs,
}

impl Registrations {
    /// Of several ledger nodes behind one address, one can be behind another: the most that was read counts.
    fn add(&mut self, count: u64, at: UnixMs) {
        let count = self.count.max(count);
        *self = Self { count, at };
    }
}

impl Heard {
    /// What `ledger` says at the finality that it reads at. Registrations of nodes are counted in its newest block.
    pub fn on(ledger: AssayLedger) -> Self {
        Self {
            newest: ledger.reading(Finality::Latest),
            ledger,
            read: RwLock::default(),
        }
    }

    /// Reads what the ledger has at a time.
    pub fn refresh(&self, params: &NetworkParams, now: UnixMs) -> Result<(), LedgerError> {
        let (running, _) = params.at(now).unwrap_or_default();
        let open = params.void_after_ms.checked_div(params.epoch_ms);
        let back = open.unwrap_or(0).saturating_add(2);
        self.refresh_registrations(now)?;
        self.refresh_newest()?;
        let first = Epoch(running.0.saturating_sub(back)).min(self.read().open);
        let first = first.max(Epoch(STAKES_FIXED_AHEAD));
        for epoch in (first.0..=running.next().0).map(Epoch) {
            let is_held = self.read().rosters.contains_key(&epoch);
            let roster = (!is_held).then(|| self.ledger.fixed_roster(epoch));
            if let Some(roster) = roster.transpose()?.flatten() {
                self.write().rosters.insert(epoch, roster);
            }
        }
        self.write().rosters.retain(|epoch, _| *epoch >= first);
        let records = self.ledger.hypernodes()?;
        let at_stake = records
            .into_iter()
            .filter(|record| record.stake.0 > 0 || record.unbonding.0 > 0);
        self.write().registered = at_stake.map(|record| record.ed25519).collect();
        Ok(())
    }

    /// One call.
    fn refresh_registrations(&self, now: UnixMs) -> Result<(), LedgerError> {
        let count = self.newest.registration_count()?;
        self.write().registrations.add(count, now);
        Ok(())
    }

    /// After void epochs those sign whom the last root named.
    fn refresh_newest(&self) -> Result<(), LedgerError> {
        let known = self.read().open;
        self.write().open = self.ledger.first_open(known)?;
        let Some((epoch, _)) = self.ledger.newest_root()? else {
            return Ok(());
        };
        let named = epoch.next();
        let known = self.read().signing.as_ref().map(|(epoch, _)| *epoch);
        if known != Some(named) {
            let roster = self.ledger.fixed_roster(named)?;
            self.write().signing = roster.map(|roster| (named, roster));
        }
        Ok(())
    }

    /// Whether a HyperNode may connect: it reads what was before it has a say, and signs what names it after its stake left.
    pub fn admits(&self, hypernode: &HyperNodeId) -> bool {
        let read = self.read();
        let signing = read.signing.iter().map(|(_, roster)| roster);
        let mut seated = read.rosters.values().chain(signing).flatten();
        read.registered.contains(hypernode) || seated.any(|entry| entry.id == *hypernode)
    }

    /// Who is heard on the board of an epoch, and whether that is all: false while the epoch's roster was not read.
    pub fn known(&self, params: &NetworkParams, epoch: Epoch) -> (Known, bool) {
        let read = self.read();
        let of = |epoch| read.rosters.get(&epoch).map_or(&[][..], Vec::as_slice);
        let signing = read.signing.as_ref();
        let signing = signing.map_or(&[][..], |(_, roster)| roster.as_slice());
        let known = Known::on_board(signing, of(epoch.next()), &params.roster, of(epoch));
        let is_all = epoch.0 < STAKES_FIXED_AHEAD || read.rosters.contains_key(&epoch);
        (known, is_all)
    }

    /// The first epoch whose root can still change, as last read.
    pub fn open(&self) -> Epoch {
        self.read().open
    }

    /// How many registrations of nodes there are, and when that was read.
    pub fn registrations(&self) -> Registrations {
        self.read().registrations
    }

    fn read(&self) -> RwLockReadGuard<'_, Read> {
        self.read.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Read> {
        self.read.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_node_that_is_behind_takes_no_registration_back() {
        let mut read = Registrations::default();
        for (count, at, most) in [(3, 1, 3), (2, 2, 3), (4, 3, 4)] {
            read.add(count, UnixMs(at));
            let (count, at) = (most, UnixMs(at));
            assert_eq!(read, Registrations { count, at });
        }
    }
}
