//! What is due on the ledger once roots are there: found in the final state, sent one after the other through the outbox. What
//! the contract refuses is left until something changed.

use assay_aggregate::root::RootError;
use assay_ledger::NodeRecord;
use assay_protocol::ids::{Epoch, UnixMs};
use std::collections::BTreeSet;

use super::{Poster, PosterError, Tended, why};
use crate::outbox::{OutboxError, Progress};
use crate::replay::ReplayError;
use crate::tend::{Calendar, Due, NOTHING_TO_DO, Now, Refused};

/// Why what the newest state refuses is not forgotten.
const FOR_NOW: &str = "somebody else's transaction is to be final first";

/// Refusals in one go, at most: the next root does not wait for thousands of trials.
const REFUSED_MAX: usize = 64;

impl Poster {
    /// What the roots on the ledger make possible.
    pub(super) fn tend_leaves(&mut self, now: UnixMs) -> Result<Tended, PosterError> {
        let last_final = self.last_final()?;
        if self.queue.is_empty() || !(self.is_due || last_final > self.tended) {
            return Ok(Tended::default());
        }
        self.refusals.at(last_final);
        let due = self.due(last_final)?;
        let done = self.send_due(due, now)?;
        let is_idle = self.held_up.is_none() && done == Tended::default();
        // What was done may make more possible: a confirmed node can be settled.
        self.is_due = !is_idle;
        if is_idle {
            self.refused.clear();
            self.tended = last_final;
            last_final
                .into_iter()
                .for_each(|epoch| self.queue.forget_through(epoch));
        }
        Ok(done)
    }

    /// What is due, as the final state of the ledger has it.
    pub(super) fn due(&self, last_final: Option<Epoch>) -> Result<Vec<Due>, PosterError> {
        let (nodes, reservations) = (self.settled.nodes()?, self.settled.reservations()?);
        // Read only when it matters: all that ever registered.
        let hypernodes = match self.queue.names_absent() {
            true => self.settled.hypernodes()?,
            false => Vec::new(),
        };
        let newest = self.queue.epochs().last().unwrap_or_default();
        let fallen = self.fallen_leaves(&nodes)?;
        let now = Now {
            nodes: &nodes,
            hypernodes: &hypernodes,
            reservations: &reservations,
            last_final,
            corrections: self.settled.epoch_record(newest)?.corrections,
            exit_delay_epochs: self.settled.exit_delay_epochs()?,
            fallen: &fallen,
            calendar: Calendar {
                period_epochs: self.settled.rent_terms()?.period_epochs,
                next: self.history.next(),
                posted: &self.followed,
            },
        };
        let params = self.history.params();
        let due = self.queue.due(&now, |epoch| params.epoch_start(epoch));
        due.map_err(LeafMissing::of(self.history.next()))
    }

    /// One transaction at a time is in no block yet, so the rest waits as soon as one does; the next pass comes to it at once,
    /// past what is under way and what was refused.
    fn send_due(&mut self, due: Vec<Due>, now: UnixMs) -> Result<Tended, PosterError> {
        let (mut done, mut refused) = (Tended::default(), 0);
        let mut is_open = self.outbox.has_room()?;
        for one in due {
            match self.refusals.of(&one) {
                Some(Refused::Finally) => continue,
                Some(Refused::ForNow) => {
                    self.hold_up(FOR_NOW.to_owned());
                    continue;
                }
                None => {}
            }
            if !is_open || refused >= REFUSED_MAX {
                let why = match is_open {
                    true => "more is tried out in the next pass",
                    false => "what is under way is to be final first",
                };
                self.hold_up(why.to_owned());
                continue;
            }
            match self.outbox.perform(&one.name, &one.action, now) {
                Ok(Progress::Done { .. }) => done.count(one.kind),
                Ok(other) => {
                    self.hold_up(why(&other));
                    let (_, unincluded) = self.outbox.counts()?;
                    is_open = unincluded == 0 && self.outbox.has_room()?;
                }
                Err(error) => {
                    refused += usize::from(error.revert_name().is_some());
                    self.left_alone(one, error)?;
                }
            }
        }
        Ok(done)
    }

    /// Leaves that let nodes go, and whose roots are no more.
    fn fallen_leaves(&self, nodes: &[NodeRecord]) -> Result<Vec<(Epoch, u8)>, PosterError> {
        let leaving = nodes.iter().filter(|record| record.ended_at.is_none());
        let exits: BTreeSet<_> = leaving.filter_map(|record| record.exit_leaf).collect();
        let mut fallen = Vec::new();
        for (epoch, corrections) in exits {
            if !self.settled.stands(epoch, corrections)? {
                fallen.push((epoch, corrections));
            }
        }
        Ok(fallen)
    }

    pub(super) fn hold_up(&mut self, why: String) {
        let (count, first) = self.held_up.take().unwrap_or((0, why));
        self.held_up = Some((count.saturating_add(1), first));
    }

    /// What the contract refuses is left until its record or the final epoch is another: one node's trouble is not the
    /// network's. Nothing to do, or somebody else's in a block that is not final yet, is not worth a word.
    fn left_alone(&mut self, one: Due, error: OutboxError) -> Result<(), PosterError> {
        let Some(why) = error.revert_name() else {
            return match error {
                OutboxError::Ledger(_) => {
                    self.hold_up(crate::chain_of(&error));
                    Ok(())
                }
                _ => Err(error.into()),
            };
        };
        // The trial was on the newest state, and what is due follows from the final one.
        let how = match self.settled.trial(&one.action) {
            Err(finally) if finally.revert_name().is_some() => Refused::Finally,
            _ => Refused::ForNow,
        };
        if how == Refused::ForNow {
            self.hold_up(FOR_NOW.to_owned());
        }
        let name = &one.name;
        if !NOTHING_TO_DO.contains(&why) && self.refused.insert(name.clone()) {
            self.notes.push(format!("{name}: left for now: {error}"));
        }
        self.refusals.add(one, how);
        Ok(())
    }

    /// The newest of the kept epochs that is final on the ledger.
    pub(super) fn last_final(&self) -> Result<Option<Epoch>, PosterError> {
        let mut last = self.tended;
        for epoch in self
            .queue
            .epochs()
            .filter(|epoch| Some(*epoch) > self.tended)
        {
            if !self.settled.is_final(epoch)? {
                break;
            }
            last = Some(epoch);
        }
        Ok(last)
    }
}

/// A leaf of an outcome is always in its own tree.
struct LeafMissing;

impl LeafMissing {
    fn of(epoch: Epoch) -> impl Fn(RootError) -> PosterError {
        move |source| {
            PosterError::Replay(ReplayError::Aggregate {
                epoch,
                source: source.into(),
            })
        }
    }
}
