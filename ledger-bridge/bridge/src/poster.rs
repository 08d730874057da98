//! The poster: one epoch after the other, from votes to a root on the ledger, and what the root makes possible.
//!
//! ```text
//! resume the outbox ─▶ tend (settle, confirm, release, rent) ─▶ follow the ledger (recompute) ─▶ next epoch over? ─▶ agreed ─▶ aggregate ─▶ quorum ─▶ post
//!                                      another root ─▶ correct ─┘              └─ deadline passed ─▶ void
//! ```
//! Time is an argument; the loop around [`Poster::step`] is in [`crate::run`]. What is found and sent by `tend` is in `due`.

mod ahead;
mod contest;
mod due;
mod prosecute;
mod standby;
mod step;

use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::inputs::{Anchor, Gathered, History, signatures_for};
use assay_aggregate::more_than_two_thirds;
use assay_aggregate::roster::Roster;
use assay_ledger::{Action, AssayLedger, Finality, LedgerError, TxSigner};
use assay_protocol::ids::{Epoch, HyperNodeId, Keccak, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::faults::Faults;
use crate::metrics::Sample;
use crate::outbox::{Outbox, OutboxError, Progress, Settings};
use crate::replay::{self, Gathering, Judged, Posted, ReplayError};
use crate::store::{Store, StoreError};
use crate::tend::{QUEUE_MAX, Queue, Refusals};
use contest::{Contest, Standing};
pub use step::{Step, Tended};

/// Gas of a root with the signatures of 67 of 100 HyperNodes, until one was posted.
const ROOT_GAS: u64 = 430_000;

/// Roots that can be undone, at most: as many as the contract keeps.
const FOLLOWED_MAX: usize = 1_024;

/// A step failed; the next one starts from what is durable.
#[derive(Debug, thiserror::Error)]
pub enum PosterError {
    /// The past cannot be recomputed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Sending failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger is another network's.
    #[error(
        "ledger {contract}: {part}: expected {expected}, got {actual}\nhint: do the network file and the ledger belong together?"
    )]
    OtherNetwork {
        /// The contract.
        contract: String,
        /// What differs.
        part: &'static str,
        /// From the network file.
        expected: String,
        /// From the ledger.
        actual: String,
    },
}

/// The poster of one network.
pub struct Poster {
    store: Arc<Store>,
    /// The newest state: what not to start again.
    ledger: AssayLedger,
    /// The final state: what to act on.
    settled: AssayLedger,
    outbox: Outbox,
    history: History,
    /// What to go back to when a root that was followed is undone.
    anchor: Anchor,
    board: Gathering,
    chain_id: u64,
    leads: bool,
    /// The wrong root that the ledger holds for the next epoch.
    contest: Option<Contest>,
    /// The next epoch, and when it was first seen open after a correction had undone it.
    undone: Option<(Epoch, UnixMs)>,
    /// An epoch that is looked at ahead of its turn, and whether nobody can agree on it any more.
    hopeless: Option<(Epoch, bool)>,
    queue: Queue,
    /// The roots that were followed, as far as they can be undone: their digests, and how often they had been corrected.
    followed: BTreeMap<Epoch, (Keccak, u8)>,
    /// The newest final epoch that was looked at with all its leaves; `None` before the first.
    tended: Option<Epoch>,
    /// Whether something may be due before another epoch becomes final.
    is_due: bool,
    /// What is due and waits, and why the first of it does.
    held_up: Option<(u32, String)>,
    faults: Faults,
    /// Lines for the operator.
    notes: Vec<String>,
    /// What was refused and told since the last time that nothing was due.
    refused: BTreeSet<String>,
    /// What is not tried out again yet.
    refusals: Refusals,
    /// Gas of the latest root.
    root_gas: u64,
}

impl Poster {
    /// Checks that ledger and parameters belong together.
    pub fn new(
        store: Arc<Store>,
        ledger: AssayLedger,
        signer: impl TxSigner + 'static,
        history: History,
    ) -> Result<Self, PosterError> {
        Self::with(
            store,
            ledger,
            Arc::new(signer),
            history,
            Settings::default(),
        )
    }

    /// Like [`Poster::new`], with its own outbox settings.
    pub fn with(
        store: Arc<Store>,
        ledger: AssayLedger,
        signer: Arc<dyn TxSigner>,
        history: History,
        settings: Settings,
    ) -> Result<Self, PosterError> {
        let chain_id = ledger.chain_id()?;
        let board = Gathering::of(history.next());
        let newest = || ledger.reading(Finality::Latest);
        let poster = Self {
            outbox: Outbox::new(Arc::clone(&store), newest(), signer, settings),
            settled: ledger.reading(Finality::Finalized),
            store,
            ledger,
            anchor: Anchor::at(history.clone()),
            history,
            board,
            chain_id,
            leads: false,
            contest: None,
            undone: None,
            hopeless: None,
            queue: Queue::default(),
            followed: BTreeMap::new(),
            tended: None,
            is_due: false,
            held_up: None,
            faults: Faults::default(),
            notes: Vec::new(),
            refused: BTreeSet::new(),
            refusals: Refusals::default(),
            root_gas: ROOT_GAS,
        };
        poster.check_ledger()?;
        Ok(poster)
    }

    /// What there is to watch. What cannot be read now is left out.
    pub fn sample(&self, now: UnixMs) -> Result<Sample, PosterError> {
        let epoch = self.history.next();
        let epoch_end = self.history.params().epoch_end(epoch);
        let chain = self.ledger.chain();
        let time = |at| chain.block(at).ok().map(|block| block.timestamp_s);
        let head_s = time(Finality::Latest);
        // A ledger that does not answer is not asked four times.
        let is_up = head_s.is_some();
        let balance = || self.ledger.balance(self.outbox.account()).ok();
        let price = || chain.market().ok();
        let cost = |market: assay_ledger::Market| {
            let price = market.base.saturating_add(market.tip);
            price.saturating_mul(u128::from(self.root_gas))
        };
        let (live, unincluded) = self.outbox.counts()?;
        Ok(Sample {
            epoch,
            epoch_end,
            leads: self.leads,
            is_contested: self.contest.is_some(),
            head_s,
            final_s: is_up.then(|| time(Finality::Finalized)).flatten(),
            balance: is_up.then(balance).flatten().map(|stake| stake.0),
            epoch_cost: is_up.then(price).flatten().map(cost),
            // Whoever stands by gathers no signatures.
            missing: self.missing(self.leads && now > epoch_end),
            missed: self.missed(),
            live,
            unincluded,
            ended: self.store.ends()?,
            faults: self.faults.count(),
        })
    }

    fn missing(&self, is_over: bool) -> Vec<(HyperNodeId, bool)> {
        let is_same = self.board.epoch() == self.history.next();
        let signed = self.board.gathered().signed_in(self.history.round());
        let signed: BTreeSet<_> = signed.map(|(id, _)| id).collect();
        let has_signed = |id: &HyperNodeId| is_same && signed.contains(id);
        let awaited = |id: HyperNodeId| (id, is_over && !has_signed(&id));
        let signers = signer_weights(&self.history);
        signers.map(|(id, _)| awaited(id)).collect()
    }

    fn missed(&self) -> Vec<(HyperNodeId, u32)> {
        let missed = &self.history.states().missed;
        let roster = self.history.roster(self.history.next());
        let seats = roster.map_or(&[][..], |roster| roster.seats());
        let of = |id| missed.get(&id).copied().unwrap_or(0);
        let seats = seats.iter();
        seats
            .map(|seat| (seat.hypernode, of(seat.hypernode)))
            .collect()
    }

    /// Lines for the operator since the last time.
    pub fn take_notes(&mut self) -> Vec<String> {
        let mut notes = self.outbox.take_notes();
        notes.append(&mut self.notes);
        notes
    }

    /// Where the poster stands.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Does the next thing there is to do.
    pub fn step(&mut self, now: UnixMs) -> Result<Step, PosterError> {
        let epoch = self.history.next();
        self.leads = self.store.lead()?;
        if self.leads {
            self.outbox.advance(now)?;
        }
        let (settled, newest) = (self.settled.next_epoch()?, self.ledger.next_epoch()?);
        match self.standing(settled)? {
            Standing::InForce => {}
            Standing::Behind => return Ok(waiting(epoch, "the ledger's node is behind")),
            Standing::Undone => return Ok(self.go_back()),
        }
        replay::learn(&self.settled, &mut self.history)?;
        if !self.leads {
            return match epoch < settled {
                true => self.follow_only(now),
                false => Ok(self.standing_by()),
            };
        }
        if epoch < settled {
            let is_full = self.queue.len() >= QUEUE_MAX;
            let tended = if is_full { self.tend(now) } else { Ok(None) };
            // What cannot be tended now does not keep the bridge from catching up.
            let step = tended.ok().flatten();
            let step = step.map_or_else(|| self.follow(epoch, now), Ok);
            return self.tend_meanwhile(step, now);
        }
        if epoch < newest {
            let ahead = self.void_ahead(newest, now)?;
            let step =
                ahead.unwrap_or_else(|| waiting(epoch, "resolved on the ledger, not finally yet"));
            return self.tend_if_waiting(step, now);
        }
        let end = self.history.params().epoch_end(epoch);
        if now < end {
            let tended = self.tend(now)?;
            return Ok(tended.unwrap_or_else(|| waiting(epoch, &self.running())));
        }
        if self.board.epoch() != epoch {
            self.board = Gathering::of(epoch);
        }
        self.notice_undone(epoch, now)?;
        // What is opened before its roster is known would be lost.
        if self.history.roster(epoch).is_some() {
            self.board.update(&self.store, &self.history, None)?;
        }
        let attempt = self.try_post(epoch, now);
        let is_over = match &attempt {
            Ok(Step::Posted { .. }) => false,
            Ok(_) => true,
            // Agreed upon, but no root can come of it: only the void helps.
            Err(PosterError::Replay(error)) => error.is_hopeless(),
            Err(_) => false,
        };
        let is_sent = self.outbox.is_under_way(&self.name("postRoot"))?;
        if is_over && !is_sent && self.is_void_time(end, now) {
            let step = self.post_void(epoch, now)?;
            return self.tend_if_waiting(step, now);
        }
        match attempt {
            // The root comes first: what else is due waits until it cannot be posted now.
            Ok(step @ (Step::Waiting { .. } | Step::Disagrees { .. })) if !is_sent => {
                Ok(self.tend(now)?.unwrap_or(step))
            }
            other => other,
        }
    }

    /// The contract counts pauses and corrections in: the deadline may be later than it seems.
    fn post_void(&mut self, epoch: Epoch, now: UnixMs) -> Result<Step, PosterError> {
        let action = Action::post_void(epoch);
        let name = self.name_of("postVoid", epoch);
        let progress = match self.outbox.perform(&name, &action, now) {
            // Too early, or somebody else's is on its way.
            Err(error) if error.revert_name().is_some() => {
                return Ok(waiting(epoch, &format!("void not sent: {error}")));
            }
            other => other?,
        };
        Ok(match progress {
            Progress::Done { .. } => Step::Voided { epoch },
            other => unfinished(epoch, "void", &other),
        })
    }

    /// The next epoch's in the outbox: in another round it is another one.
    fn name(&self, what: &str) -> String {
        self.name_of(what, self.history.next())
    }

    fn name_of(&self, what: &str, epoch: Epoch) -> String {
        match self.history.round() {
            0 => format!("{what}/{epoch}"),
            round => format!("{what}/{epoch}/{round}"),
        }
    }

    fn tend_if_waiting(&mut self, step: Step, now: UnixMs) -> Result<Step, PosterError> {
        match step.waits() {
            true => Ok(self.tend(now)?.unwrap_or(step)),
            false => Ok(step),
        }
    }

    fn running(&self) -> String {
        match &self.held_up {
            None => "running".to_owned(),
            Some((count, why)) => format!("running; {count} due on the ledger: {why}"),
        }
    }

    /// The contract counts in whole seconds of block time.
    fn is_void_time(&self, end: UnixMs, now: UnixMs) -> bool {
        let whole = now.0 - now.0 % 1_000;
        let since = self.undone.map_or(end, |(_, since)| since.max(end));
        whole >= since.0.saturating_add(self.history.params().void_after_ms)
    }

    fn try_post(&mut self, epoch: Epoch, now: UnixMs) -> Result<Step, PosterError> {
        let gathered = self.board.gathered();
        let Some(roster) = self
            .history
            .roster(epoch)
            .filter(|_| self.history.unknown().is_empty())
        else {
            return Ok(waiting(
                epoch,
                "over, whose stake counts is not final on the ledger, or nobody has any",
            ));
        };
        let Some(input_set) = gathered.agreed(&roster.weights()) else {
            return Ok(waiting(
                epoch,
                "over, no input set has votes of more than 2/3 yet",
            ));
        };
        if gathered.list(&input_set).is_none() {
            return Ok(waiting(epoch, "agreed on a list that is not on the board"));
        }
        let signed = signed_weights(gathered, &self.history);
        let total = self.history.signers().total();
        if !more_than_two_thirds(signed.values().sum(), total) {
            return Ok(waiting(epoch, "agreed, waiting for root signatures"));
        }
        let ledger = replay::Read::of(&self.settled, &self.history)?;
        let (_, outcome) = replay::aggregate(&self.history, gathered, &input_set, &ledger)?;
        let computed = outcome.root.digest(self.chain_id, &self.ledger.contract());
        let weight = signed.get(&computed).copied().unwrap_or(0);
        if more_than_two_thirds(weight, total) {
            return self.post(&outcome, &computed, weight, now);
        }
        match signed.keys().any(|digest| *digest != computed) {
            true => Ok(Step::Disagrees {
                epoch,
                computed,
                signed: signed.into_iter().collect(),
            }),
            false => Ok(waiting(epoch, "agreed, waiting for root signatures")),
        }
    }

    fn post(
        &mut self,
        outcome: &EpochOutcome,
        digest: &Keccak,
        signed: u128,
        now: UnixMs,
    ) -> Result<Step, PosterError> {
        let (epoch, committee) = (outcome.root.epoch, self.history.signers());
        let signing = self.history.signing();
        let signatures = signatures_for(signing, &self.board.gathered().under(digest));
        let (action, total) = (
            Action::post_root(&outcome.root, committee, &signatures),
            committee.total(),
        );
        let progress = match self.outbox.perform(&self.name("postRoot"), &action, now) {
            // Somebody else's is on its way, or the contract sees what this bridge does not: nothing was sent.
            Err(error) if error.revert_name().is_some() => {
                return Ok(waiting(epoch, &format!("root not sent: {error}")));
            }
            other => other?,
        };
        Ok(match progress {
            Progress::Done { gas } => {
                self.root_gas = gas.max(1);
                Step::Posted {
                    epoch,
                    signed,
                    total,
                    gas,
                }
            }
            other => unfinished(epoch, "root", &other),
        })
    }

    /// The ledger is ahead: recompute, move on.
    fn follow(&mut self, epoch: Epoch, now: UnixMs) -> Result<Step, PosterError> {
        self.is_due = true;
        if self.is_contested(epoch, now)? {
            return self.contend(now);
        }
        let judged = replay::recompute(&self.store, &self.settled, &self.history);
        if let Err(ReplayError::NotAgreed { .. }) = judged {
            // Whose votes count may have been read wrongly.
            replay::relearn(&self.settled, &mut self.history)?;
        }
        let step = match judged? {
            Judged::Wrong(wrong) => return self.contest(*wrong, now),
            Judged::Void => {
                self.history.void();
                Step::WasVoid { epoch }
            }
            Judged::Right(posted) => self.take_over(*posted)?,
        };
        self.faults.resolved(epoch);
        let awaited = self.anchor.awaits();
        let is_final = awaited.map_or(Ok(false), |epoch| self.settled.is_final(epoch))?;
        self.anchor.advance(&self.history, is_final);
        Ok(step)
    }

    fn take_over(&mut self, posted: Posted) -> Result<Step, PosterError> {
        replay::take_over(&mut self.history, &posted)?;
        let (outcome, contract) = (posted.outcome, self.ledger.contract());
        let (epoch, nodes) = (outcome.root.epoch, outcome.leaves.len());
        let digest = outcome.root.digest(self.chain_id, &contract);
        let corrections = self.settled.epoch_record(epoch)?.corrections;
        self.followed.insert(epoch, (digest, corrections));
        while self.followed.len() > FOLLOWED_MAX {
            self.followed.pop_first();
        }
        self.queue.push(outcome);
        Ok(Step::Followed { epoch, nodes })
    }

    /// Does what the ledger makes possible; `None` when there was nothing.
    fn tend(&mut self, now: UnixMs) -> Result<Option<Step>, PosterError> {
        self.held_up = None;
        let mut done = self.tend_leaves(now)?;
        done.convicted = self.prosecute(now);
        Ok((done != Tended::default()).then_some(Step::Tended(done)))
    }

    fn check_ledger(&self) -> Result<(), PosterError> {
        let params = self.history.params();
        let genesis = self.ledger.genesis_parameters()?;
        let network = self
            .ledger
            .network_id()?
            .map_or("none".into(), |id| id.to_string());
        let parts = [
            (
                "chain id",
                params.chain_id.to_string(),
                self.chain_id.to_string(),
            ),
            ("network id", self.history.network().to_string(), network),
            (
                "genesis_unix_ms",
                params.genesis_unix_ms.to_string(),
                genesis.genesis_unix_ms.to_string(),
            ),
            (
                "epoch_ms",
                params.epoch_ms.to_string(),
                genesis.epoch_ms.to_string(),
            ),
            (
                "void_after_ms",
                params.void_after_ms.to_string(),
                genesis.void_after_ms.to_string(),
            ),
        ];
        let contract = self.ledger.contract().to_string();
        match parts
            .into_iter()
            .find(|(_, expected, actual)| expected != actual)
        {
            Some((part, expected, actual)) => Err(PosterError::OtherNetwork {
                contract,
                part,
                expected,
                actual,
            }),
            None => Ok(()),
        }
    }
}

fn why(progress: &Progress) -> String {
    match progress {
        Progress::Pending(why) => why.clone(),
        Progress::Failed(_) | Progress::Done { .. } => "the ledger is read again".into(),
    }
}

fn unfinished(epoch: Epoch, what: &str, progress: &Progress) -> Step {
    waiting(epoch, &format!("{what} sent: {}", why(progress)))
}

/// The weight behind each digest, as the contract will count it.
fn signed_weights(gathered: &Gathered, history: &History) -> BTreeMap<Keccak, u128> {
    let mut signed = BTreeMap::new();
    let weights: BTreeMap<_, _> = signer_weights(history).collect();
    for (id, digest) in gathered.signed_in(history.round()) {
        if let Some(weight) = weights.get(&id) {
            let sum: &mut u128 = signed.entry(digest).or_default();
            *sum = sum.saturating_add(*weight);
        }
    }
    signed
}

/// Who signs the next root, with the weight that the contract counts.
fn signer_weights(history: &History) -> impl Iterator<Item = (HyperNodeId, u128)> + '_ {
    weights_of(history.signing())
}

/// The weights of signatures: the ledger's are scaled.
fn weights_of(signing: &Roster) -> impl Iterator<Item = (HyperNodeId, u128)> + '_ {
    let (seats, committee) = (signing.seats().iter(), signing.committee());
    seats.filter_map(|seat| Some((seat.hypernode, committee.weight(&seat.ledger)?)))
}

fn waiting(epoch: Epoch, why: &str) -> Step {
    Step::Waiting {
        epoch,
        why: why.to_owned(),
    }
}
