//! Epochs that nobody can agree on any more, declared void while those before them are not finally void yet: after an outage
//! one void for each finality would leave the network behind for as many more epochs.

use assay_ledger::Resolution;
use assay_protocol::ids::{Epoch, UnixMs};

use super::{Poster, PosterError, Step};
use crate::replay::{self, Gathering};

impl Poster {
    /// Declares the ledger's next epoch void, when all that are not followed are void already, without finality, and nothing
    /// can come of this one either.
    ///
    /// A void is safe on a base that is not final: it names nothing before it, pays nothing and takes nothing, and the contract
    /// takes it for its own next epoch alone, after the deadline. A root names what came before it, and is never posted here.
    pub(super) fn void_ahead(
        &mut self,
        next: Epoch,
        now: UnixMs,
    ) -> Result<Option<Step>, PosterError> {
        let end = self.history.params().epoch_end(next);
        if !self.is_void_time(end, now)
            || self.outbox.is_under_way(&self.name_of("postVoid", next))?
            || !self.is_all_void(next)?
            || !self.is_hopeless(next)?
        {
            return Ok(None);
        }
        self.post_void(next, now).map(Some)
    }

    /// Whether the ledger's newest state has only void epochs from the history's next one up to this one.
    fn is_all_void(&self, end: Epoch) -> Result<bool, PosterError> {
        for epoch in (self.history.next().0..end.0).rev().map(Epoch) {
            if self.ledger.epoch_record(epoch)?.resolution != Resolution::Void {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether no input set of an epoch can be agreed on: its board has taken no vote for long when it may be void, so this is
    /// found out once.
    fn is_hopeless(&mut self, epoch: Epoch) -> Result<bool, PosterError> {
        if let Some((_, known)) = self.hopeless.filter(|(of, _)| *of == epoch) {
            return Ok(known);
        }
        let mut ahead = self.history.clone();
        while ahead.next() < epoch {
            ahead.void();
        }
        replay::learn(&self.settled, &mut ahead)?;
        // Whose votes count is not known finally: they may be more than seems.
        let Some(roster) = ahead.roster(epoch) else {
            return Ok(false);
        };
        let mut board = Gathering::of(epoch);
        board.update(&self.store, &ahead, None)?;
        let is_hopeless = board.gathered().agreed(&roster.weights()).is_none();
        self.hopeless = Some((epoch, is_hopeless));
        Ok(is_hopeless)
    }
}
