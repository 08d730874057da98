//! When the ledger holds another root than the agreed reports give: the correction that HyperNodes sign for it, in a round
//! of its own, and what to go on from when a root was undone.

use assay_aggregate::inputs::signatures_for;
use assay_aggregate::more_than_two_thirds;
use assay_ledger::{Action, Correction, EpochRecord, LedgerError};
use assay_protocol::ids::{Epoch, UnixMs};

use super::{Poster, PosterError, Step, unfinished, waiting, weights_of};
use crate::outbox::Progress;
use crate::replay::{self, Gathering, ReplayError, Wrong};
use crate::tend::Refusals;

/// Where what was followed stands on the ledger.
pub(super) enum Standing {
    /// As it was.
    InForce,
    /// The ledger's node has not seen it yet, or not any more.
    Behind,
    /// A correction replaced it, or opened it again.
    Undone,
}

/// So long a root stays wrong without being judged again: one wrong answer of the ledger's node must not last.
const CONTEST_MS: u64 = 30_000;

/// A wrong root, and what must take its place.
pub(super) struct Contest {
    wrong: Wrong,
    judged_at: UnixMs,
    /// Who signs, and in which round, changes with the newest root.
    correction: Correction,
    board: Gathering,
}

impl Poster {
    /// `settled` is the ledger's next epoch.
    pub(super) fn standing(&self, settled: Epoch) -> Result<Standing, PosterError> {
        let Some((last, (digest, corrections))) = self.followed.last_key_value() else {
            return Ok(Standing::InForce);
        };
        let record = self.settled.epoch_record(*last)?;
        if record.contradicts(*digest, *corrections) {
            return Ok(Standing::Undone);
        }
        if settled >= self.history.next() {
            return Ok(Standing::InForce);
        }
        // Undone it is when the newest root took the place of one that was followed; else the node is behind.
        let is_later = |(epoch, record): (Epoch, EpochRecord)| {
            let known = self.followed.get(&epoch);
            known.is_some_and(|(digest, corrections)| record.contradicts(*digest, *corrections))
        };
        Ok(match self.settled.newest_root()?.is_some_and(is_later) {
            true => Standing::Undone,
            false => Standing::Behind,
        })
    }

    /// Goes on from before every root that can have been undone, as after a restart.
    pub(super) fn go_back(&mut self) -> Step {
        self.history = self.anchor.back(&self.history);
        let epoch = self.history.next();
        self.board = Gathering::of(epoch);
        self.queue.forget_from(epoch);
        self.followed.clear();
        (self.contest, self.undone, self.hopeless) = (None, None, None);
        (self.is_due, self.held_up) = (true, None);
        // Another leaf of an epoch has the same name.
        self.refusals = Refusals::default();
        Step::Undone { epoch }
    }

    /// Whether the wrong root that was contested last is the ledger's still, and nothing was posted on top of it since.
    pub(super) fn is_contested(&mut self, epoch: Epoch, now: UnixMs) -> Result<bool, PosterError> {
        let Some(contest) = self.contest.take() else {
            return Ok(false);
        };
        let posted = &contest.wrong.posted;
        let digest = posted.digest(self.chain_id, &self.ledger.contract());
        let newest = self.settled.newest_root()?;
        let newest = newest.map(|(epoch, record)| (epoch, record.digest));
        let is_same = posted.epoch == epoch
            && self.settled.epoch_record(epoch)?.digest == digest
            && newest == Some(contest.correction.newest)
            && now.0.saturating_sub(contest.judged_at.0) < CONTEST_MS;
        self.contest = is_same.then_some(contest);
        Ok(is_same)
    }

    /// A root was found wrong.
    pub(super) fn contest(&mut self, wrong: Wrong, now: UnixMs) -> Result<Step, PosterError> {
        let epoch = wrong.posted.epoch;
        // One wrong answer of the ledger's node must not last.
        if replay::relearn(&self.settled, &mut self.history)? {
            let why = "the ledger says now that others had a say: computed again";
            return Ok(waiting(epoch, why));
        }
        let found = match self.settled.is_final(epoch)? {
            true => None,
            false => self.who_corrects(epoch)?,
        };
        let Some(correction) = found else {
            return Err(wrong.error(self.chain_id, &self.ledger.contract()).into());
        };
        self.contest = Some(Contest {
            wrong,
            judged_at: now,
            correction,
            board: Gathering::of(epoch),
        });
        self.contend(now)
    }

    /// Nothing when the newest root named a committee that nobody is.
    fn who_corrects(&mut self, epoch: Epoch) -> Result<Option<Correction>, PosterError> {
        let (last, params) = (self.history.round(), self.history.params());
        match self.settled.correction_of(epoch, last, params) {
            Err(error @ LedgerError::CommitteeMismatch { .. }) => {
                let note = format!("epoch {epoch}: cannot be corrected: {error}");
                if self.refused.insert(note.clone()) {
                    self.notes.push(note);
                }
                Ok(None)
            }
            found => Ok(found?),
        }
    }

    /// Has the correction replace the wrong root, once those who sign now have signed it.
    pub(super) fn contend(&mut self, now: UnixMs) -> Result<Step, PosterError> {
        let contract = self.ledger.contract();
        let Some(contest) = self.contest.as_mut() else {
            return Ok(waiting(self.history.next(), "nothing is contested"));
        };
        let epoch = contest.wrong.posted.epoch;
        if self.settled.is_final(epoch)? {
            return Err(contest.wrong.error(self.chain_id, &contract).into());
        }
        let Correction { round, signing, .. } = &contest.correction;
        let committee = signing.committee();
        let root = contest.wrong.correction(*round, committee.hash());
        let computed = root.digest(self.chain_id, &contract);
        let signers = Some(signing);
        contest.board.update(&self.store, &self.history, signers)?;
        let signatures = contest.board.gathered().under(&computed);
        let weights = weights_of(signing).filter(|(id, _)| signatures.contains_key(id));
        let signed = weights.fold(0u128, |sum, (_, weight)| sum.saturating_add(weight));
        if !more_than_two_thirds(signed, committee.total()) {
            return Ok(Step::Contested {
                epoch,
                computed,
                posted: contest.wrong.posted.digest(self.chain_id, &contract),
                signed,
                total: committee.total(),
                final_at: self.settled.epoch_record(epoch)?.final_at,
            });
        }
        if !self.leads {
            return Ok(self.standing_by());
        }
        let signatures = signatures_for(signing, &signatures);
        let action = Action::correct(&root, committee, &signatures);
        let name = format!("correct/{epoch}/{computed}");
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

    /// What is right and final is tended while a later root is contested.
    pub(super) fn tend_meanwhile(
        &mut self,
        step: Result<Step, PosterError>,
        now: UnixMs,
    ) -> Result<Step, PosterError> {
        match step {
            Ok(step @ Step::Contested { .. }) => Ok(self.tend(now)?.unwrap_or(step)),
            Err(
                error @ PosterError::Replay(
                    ReplayError::OtherRoot { .. } | ReplayError::NotAgreed { .. },
                ),
            ) => match self.tend(now) {
                Ok(Some(tended)) => Ok(tended),
                _ => Err(error),
            },
            other => other,
        }
    }

    /// An epoch that was undone is not void before HyperNodes have had their time to sign it again, counted from when it was
    /// seen open; and its round is later than before.
    pub(super) fn notice_undone(&mut self, epoch: Epoch, now: UnixMs) -> Result<(), PosterError> {
        let is_known = self.undone.is_some_and(|(of, _)| of == epoch);
        if is_known || self.history.round() == 0 {
            return Ok(());
        }
        if let Some(least) = self.settled.undone(epoch)? {
            self.history.raise_round(least);
            self.undone = Some((epoch, now));
        }
        Ok(())
    }
}
