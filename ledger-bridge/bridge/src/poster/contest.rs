//! When the ledger holds another root than the agreed reports give: the correction that HyperNodes sign for it, in a round
//! of its own, and what to go on from when a root was undone.

use assay_aggregate::inputs::{Gathered, signatures_for};
use assay_aggregate::more_than_two_thirds;
use assay_aggregate::roster::Roster;
use assay_ledger::Action;
use assay_protocol::ids::{Epoch, Keccak, UnixMs};

use super::{Poster, PosterError, Step, unfinished, waiting, weights_of};
use crate::outbox::Progress;
use crate::replay::{Gathering, Wrong};
use crate::tend::Queue;

impl Poster {
    /// Whether what was followed is still in force: a correction replaces a root, or opens it again. `settled` is the
    /// ledger's next epoch.
    pub(super) fn is_in_force(&self, settled: Epoch) -> Result<bool, PosterError> {
        if settled < self.history.next() {
            return Ok(false);
        }
        let Some((epoch, digest)) = self.followed else {
            return Ok(true);
        };
        let record = self.settled.epoch_record(epoch)?;
        Ok(!record.contradicts(digest))
    }

    /// Goes on from before every root that can have been undone, as after a restart.
    pub(super) fn go_back(&mut self) -> Step {
        self.history = self.anchor.back();
        let epoch = self.history.next();
        self.board = Gathering::of(epoch);
        (self.queue, self.followed, self.tended) = (Queue::default(), None, None);
        (self.is_due, self.held_up) = (true, None);
        Step::Undone { epoch }
    }

    /// Has the correction replace a wrong root, once those who sign now have signed it.
    pub(super) fn contest(&mut self, wrong: &Wrong, now: UnixMs) -> Result<Step, PosterError> {
        let epoch = wrong.posted.epoch;
        let contract = self.ledger.contract();
        let signing = match self.settled.is_final(epoch)? {
            true => None,
            false => self.settled.signing(self.history.params())?,
        };
        let Some((newest, roster)) = signing else {
            return Err(wrong.error(self.chain_id, &contract).into());
        };
        let round = newest.saturating_add(1);
        let root = wrong.correction(round, roster.committee().hash());
        let computed = root.digest(self.chain_id, &contract);
        let mut board = Gathering::of(epoch);
        board.update(&self.store, &self.history, Some(&roster))?;
        let signatures = board.gathered().signatures(round);
        let (signed, total) = (
            weight_under(&computed, board.gathered(), &roster, round),
            roster.committee().total(),
        );
        if !more_than_two_thirds(signed, total) {
            return Ok(Step::Contested {
                epoch,
                computed,
                posted: wrong.posted.digest(self.chain_id, &contract),
                signed,
                total,
                final_at: self.settled.epoch_record(epoch)?.final_at,
            });
        }
        let signatures = signatures_for(&roster, &computed, &signatures);
        let action = Action::correct(&root, roster.committee(), &signatures);
        let name = format!("correct/{epoch}/{round}");
        let progress = match self.outbox.perform(&name, &action, now) {
            Err(error) if error.revert_name().is_some() => {
                return Ok(waiting(epoch, &format!("correction not sent: {error}")));
            }
            other => other?,
        };
        Ok(match progress {
            Progress::Done { gas } => Step::Corrected { epoch, gas },
            other => unfinished(epoch, "correction", &other),
        })
    }
}

fn weight_under(digest: &Keccak, gathered: &Gathered, signing: &Roster, round: u32) -> u128 {
    let signatures = gathered.signatures(round);
    let has_signed = |(id, _): &(_, u128)| signatures.get(id).is_some_and(|(of, _)| of == digest);
    let weights = weights_of(signing).filter(has_signed);
    weights.fold(0u128, |sum, (_, weight)| sum.saturating_add(weight))
}
