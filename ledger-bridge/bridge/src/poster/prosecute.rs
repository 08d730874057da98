//! Faults that this bridge saw, and their way to the ledger: one at a time, and never in the way of roots.

use assay_protocol::ids::UnixMs;

use super::{Poster, PosterError, why};
use crate::faults::{Fault, FaultsError, Places};
use crate::outbox::Progress;

/// What the contract says of a fault that somebody else proved first.
const PROVEN: &str = "AlreadyProven";
/// More than any proof costs.
const PROOF_GAS: u128 = 2_000_000;
/// So many roots must be paid for whatever a proof costs.
const ROOTS_KEPT: u128 = 20;

/// What became of a proof.
enum Proof {
    Done,
    /// It changes nothing, or the contract does not take it.
    Dropped,
    Waits,
}

impl Poster {
    /// From now on what is seen of faults is proven to the ledger, for the reporter's share; otherwise it is told.
    pub fn convicting(mut self) -> Self {
        self.faults.convict();
        self
    }

    /// Looks for faults, and proves the first that waits; how many were proven. What fails is tried again after a pause.
    pub(super) fn prosecute(&mut self, now: UnixMs) -> u32 {
        if self.faults.rests(now) {
            return 0;
        }
        let at = Places {
            store: &self.store,
            ledger: &self.settled,
            network: self.history.network(),
        };
        let looked = self.faults.look(at, &mut self.notes);
        let proven = match looked {
            Ok(()) => self.prove_first(now),
            Err(error) => Err(error.into()),
        };
        proven.unwrap_or_else(|error| {
            self.faults.rest(now);
            self.hold_up(format!("faults: {}", crate::chain_of(&error)));
            0
        })
    }

    fn prove_first(&mut self, now: UnixMs) -> Result<u32, PosterError> {
        let Some(fault) = self.faults.take() else {
            return Ok(0);
        };
        let proof = self.prove(&fault, now);
        match proof {
            Ok(Proof::Done) => self.faults.proven(),
            Ok(Proof::Dropped) => {}
            Ok(Proof::Waits) | Err(_) => self.faults.put_back(fault),
        }
        proof.map(|proof| u32::from(matches!(proof, Proof::Done)))
    }

    fn prove(&mut self, fault: &Fault, now: UnixMs) -> Result<Proof, PosterError> {
        if !self.outbox.has_room()? || !self.can_pay()? {
            self.hold_up("a proof of a fault waits: room and balance are kept for roots".into());
            self.faults.rest(now);
            return Ok(Proof::Waits);
        }
        let hypernodes = self.settled.hypernodes()?;
        let guilty = hypernodes.iter().find(|one| one.ed25519 == fault.who);
        if guilty.is_none_or(|one| one.stake.0 == 0 && one.unbonding.0 == 0) {
            let note = format!("{}: not sent: nothing is at stake any more", fault.name);
            self.notes.push(note);
            return Ok(Proof::Dropped);
        }
        match self.outbox.perform(&fault.name, &fault.action, now) {
            Ok(Progress::Done { .. }) => Ok(Proof::Done),
            Ok(other) => {
                self.hold_up(why(&other));
                Ok(Proof::Waits)
            }
            Err(error) if error.revert_name() == Some(PROVEN) => {
                self.faults.proven();
                Ok(Proof::Dropped)
            }
            Err(error) if error.revert_name().is_some() => {
                self.notes.push(format!("{}: refused: {error}", fault.name));
                Ok(Proof::Dropped)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a proof leaves enough for roots.
    fn can_pay(&self) -> Result<bool, PosterError> {
        let Ok(market) = self.ledger.chain().market() else {
            return Ok(false);
        };
        let price = market.base.saturating_add(market.tip);
        let roots = u128::from(self.root_gas).saturating_mul(ROOTS_KEPT);
        let needed = price.saturating_mul(roots.saturating_add(PROOF_GAS));
        Ok(self.ledger.balance(self.outbox.account())?.0 >= needed)
    }
}

impl From<FaultsError> for PosterError {
    fn from(error: FaultsError) -> Self {
        match error {
            FaultsError::Store(error) => Self::Store(error),
            FaultsError::Ledger(error) => Self::Ledger(error),
        }
    }
}
