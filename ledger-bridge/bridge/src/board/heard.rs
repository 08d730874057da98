//! Who is heard on the board: the HyperNodes of genesis, and those that the ledger has registered since.

use assay_aggregate::roster::Known;
use assay_ledger::{AssayLedger, LedgerError};
use assay_protocol::ids::{Epoch, HyperNodeId, UnixMs};
use assay_protocol::params::{NetworkParams, RosterEntry};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Rosters kept: those of the epochs whose boards still take something, and of their neighbours.
const ROSTERS_KEPT: usize = 8;
/// Stakes count so many epochs after they were fixed, and the first ones are those of genesis.
const FIXED_AHEAD: u64 = 2;

/// Whom the ledger knows, as last read.
pub struct Heard {
    ledger: AssayLedger,
    rosters: Mutex<BTreeMap<Epoch, Arc<Vec<RosterEntry>>>>,
    registered: RwLock<BTreeSet<HyperNodeId>>,
}

impl Heard {
    /// What `ledger` says at the finality that it reads at.
    pub fn on(ledger: AssayLedger) -> Self {
        Self {
            ledger,
            rosters: Mutex::default(),
            registered: RwLock::default(),
        }
    }

    /// Reads who is registered with stake, for [`Heard::admits`].
    pub fn refresh(&self) -> Result<(), LedgerError> {
        let records = self.ledger.hypernodes()?.into_iter();
        let staked = records.filter(|record| record.stake.0 > 0);
        let registered = staked.map(|record| record.ed25519).collect();
        *self
            .registered
            .write()
            .unwrap_or_else(PoisonError::into_inner) = registered;
        Ok(())
    }

    /// Whether a HyperNode may connect: it reads what was before it has a say.
    pub fn admits(&self, hypernode: &HyperNodeId) -> bool {
        let registered = self.registered.read();
        registered
            .unwrap_or_else(PoisonError::into_inner)
            .contains(hypernode)
    }

    /// Who is heard in an epoch, as [`assay_aggregate::inputs::History::known`] says it, and whether that is all: false
    /// while the ledger has not fixed the epoch's roster, or does not answer.
    pub fn known(&self, params: &NetworkParams, epoch: Epoch, now: UnixMs) -> (Known, bool) {
        let (running, _) = params.at(now).unwrap_or_default();
        let roster = |epoch: Epoch| {
            let is_fixed = epoch.0 >= FIXED_AHEAD && epoch <= running.next();
            let recent = epoch.0.saturating_add(ROSTERS_KEPT as u64) > running.0;
            (is_fixed && recent).then(|| self.roster(epoch)).flatten()
        };
        let before = Epoch(epoch.0.saturating_sub(1));
        let (own, others) = (roster(epoch), [roster(before), roster(epoch.next())]);
        let mut known = Known::default();
        for entries in others.iter().flatten() {
            known = known.with(entries);
        }
        known = known.with(&params.roster);
        if let Some(entries) = &own {
            known = known.with(entries);
        }
        (known, own.is_some() || epoch.0 < FIXED_AHEAD)
    }

    fn roster(&self, epoch: Epoch) -> Option<Arc<Vec<RosterEntry>>> {
        if let Some(kept) = self.kept().get(&epoch) {
            return Some(Arc::clone(kept));
        }
        let read = Arc::new(self.ledger.fixed_roster(epoch).ok().flatten()?);
        let mut kept = self.kept();
        kept.insert(epoch, Arc::clone(&read));
        while kept.len() > ROSTERS_KEPT {
            kept.pop_first();
        }
        Some(read)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Epoch, Arc<Vec<RosterEntry>>>> {
        self.rosters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
