//! Faults that this bridge saw, and their way to the ledger.

use assay_protocol::ids::UnixMs;

use super::{Poster, PosterError, why};
use crate::faults::{Fault, FaultsError};
use crate::outbox::Progress;

/// What the contract says of a fault that somebody else proved first.
const PROVEN: &str = "AlreadyProven";

impl Poster {
    /// From now on what is seen of faults is proven to the ledger, for the reporter's share; otherwise it is told.
    pub fn convicting(mut self) -> Self {
        self.faults.convict();
        self
    }

    /// Looks at the epochs that were resolved, and proves what waits.
    pub(super) fn prosecute(&mut self, now: UnixMs) -> Result<u32, PosterError> {
        let network = self.history.network();
        let lines = self.faults.look(&self.store, &self.settled, network)?;
        self.notes.extend(lines);
        let mut proven = 0u32;
        for _ in 0..self.faults.waiting() {
            let Some(fault) = self.faults.take() else {
                break;
            };
            match self.prove(&fault, now) {
                Ok(Some(is_done)) => proven = proven.saturating_add(u32::from(is_done)),
                Ok(None) => self.faults.put_back(fault),
                Err(error) => {
                    self.faults.put_back(fault);
                    return Err(error);
                }
            }
        }
        Ok(proven)
    }

    /// Whether it was proven by this bridge, or needs not be; `None` while it waits.
    fn prove(&mut self, fault: &Fault, now: UnixMs) -> Result<Option<bool>, PosterError> {
        if !self.outbox.has_room()? {
            self.hold_up("what is under way is to be final first".to_owned());
            return Ok(None);
        }
        match self.outbox.perform(&fault.name, &fault.action, now) {
            Ok(Progress::Done { .. }) => Ok(Some(true)),
            Ok(other) => {
                self.hold_up(why(&other));
                Ok(None)
            }
            Err(error) if error.revert_name() == Some(PROVEN) => Ok(Some(false)),
            Err(error) => {
                let is_refused = error.revert_name().is_some();
                self.left_alone(&fault.name, error)?;
                Ok(is_refused.then_some(false))
            }
        }
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
