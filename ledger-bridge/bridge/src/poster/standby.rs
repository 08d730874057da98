//! While another bridge on the same state sends: follow the ledger all the same, so that taking over needs no replay.

use assay_protocol::ids::UnixMs;

use super::{Poster, PosterError, Step, waiting};
use crate::tend::{Kind, QUEUE_MAX};

/// Final epochs that a standby keeps at most, whatever is due by them. What the other one has not done by then is done by
/// who starts anew and follows from genesis.
const KEPT_MAX: usize = 8 * QUEUE_MAX;

impl Poster {
    pub(super) fn standing_by(&self) -> Step {
        let why = "another bridge on this state posts; standing by";
        waiting(self.history.next(), why)
    }

    /// Follows the ledger's next epoch and sends nothing.
    pub(super) fn follow_only(&mut self, now: UnixMs) -> Result<Step, PosterError> {
        if self.queue.len() >= QUEUE_MAX {
            self.forget_done()?;
        }
        self.follow(self.history.next(), now)
    }

    /// Forgets the epochs by whose leaves nothing is due any more, as it would had it done all of it.
    fn forget_done(&mut self) -> Result<(), PosterError> {
        let last_final = self.last_final()?;
        let hangs_on_it = |kind| matches!(kind, Kind::Confirm | Kind::Rent);
        let is_due = self
            .due(last_final)?
            .iter()
            .any(|due| hangs_on_it(due.kind));
        let done = match is_due {
            true => None,
            false => last_final,
        };
        self.tended = done.or(self.tended);
        done.into_iter()
            .for_each(|epoch| self.queue.forget_through(epoch));
        last_final
            .into_iter()
            .for_each(|epoch| self.queue.keep_of_final(epoch, KEPT_MAX));
        Ok(())
    }
}
