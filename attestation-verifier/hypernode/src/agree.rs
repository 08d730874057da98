//! An epoch from its end to its resolution on the ledger: commit, reveal, vote, sign. The rules are in
//! `assay_aggregate::agreement`; here they meet the board, the clock and the disk.

use crate::clock;
use crate::context::Context;
use crate::explain;
use crate::follow::{self, FOLLOWING, aggregate, follow_for, is_undone, raise_round};
use crate::store::{AlreadySigned, KeptReport};
use anyhow::{Context as _, Result};
use assay_aggregate::agreement::{
    Action, Agreement, Arrival, COMMITS_MAX, CommitEdges, Entry, Event, Setting, input_set_hash,
    proposers,
};
use assay_aggregate::draw::{Candidate, ProposersOf};
use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::inputs::{self, Gathered, Hearing, Opened, ROUND};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, UnixMs};
use assay_protocol::report::{Commit, Proposal, Reveal, Vote, commitment};
use assay_protocol::wire::BoardObject;
use assay_transport::board::{Board, BoardError, Posted, Reading};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Pages of the board that are read before anything else is done.
const PAGES_AT_ONCE: usize = 16;
/// Pause between two looks at the board: with the time of a look, less than [`assay_aggregate::agreement::LOOK_MS`].
const POLL: Duration = Duration::from_millis(200);
/// How long the round rests while the ledger is followed.
const FOLLOW_AT_ONCE: Duration = Duration::from_secs(1);
/// Pause between two looks at the ledger.
const LEDGER_POLL: Duration = Duration::from_millis(500);

/// One epoch's agreement in progress.
pub struct Round<'a> {
    context: &'a Context,
    board: &'a mut Board,
    epoch: Epoch,
    report: KeptReport,
    machine: Agreement,
    gathered: Gathered,
    reading: Reading,
    /// The commits that were seen in time and are kept, of everybody who has a say.
    in_time: BTreeMap<HyperNodeId, BTreeSet<Digest>>,
    outbox: VecDeque<BoardObject>,
    phase: Phase,
    /// The list locked on, until its root is computed.
    to_compute: Option<Vec<Entry>>,
    /// The round of the root that was signed.
    signed_round: Option<u32>,
    looked: Option<Instant>,
}

/// How far the clock has driven the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Commits,
    CommitsDue,
    CommitsListed,
    Reveals,
    RevealsDue,
    Votes,
    SecondTurn,
    ThirdTurn,
    Over,
}

impl Phase {
    /// What a commit is that is seen now.
    fn arrival(self) -> Arrival {
        match self {
            Self::Commits => Arrival::Early,
            Self::CommitsDue => Arrival::Midway,
            Self::CommitsListed => Arrival::Edge,
            _ => Arrival::Late,
        }
    }
}

impl<'a> Round<'a> {
    /// Starts the round of an epoch, or goes on with it after a restart.
    pub fn start(
        context: &'a Context,
        board: &'a mut Board,
        epoch: Epoch,
        report: KeptReport,
    ) -> Result<Self> {
        let beacon = context
            .beacon(epoch)
            .with_context(|| format!("no beacon for epoch {epoch}"))?;
        let roster = context
            .history(|history| history.roster(epoch).cloned())
            .with_context(|| format!("nobody is known to have a say in epoch {epoch}"))?;
        let members: Vec<_> = roster.seats().iter().map(Candidate::from).collect();
        let in_time = members
            .iter()
            .map(|member| (member.hypernode, BTreeSet::new()))
            .collect();
        let (network, own) = (context.network, context.own);
        let turns = ProposersOf {
            network,
            beacon,
            epoch,
            round: ROUND,
        };
        let setting = Setting {
            network,
            epoch,
            round: ROUND,
            own,
            proposers: proposers(&turns, &members),
            weights: roster.weights(),
        };
        let (machine, again) = match context.agreement_memory(epoch)? {
            Some(memory) => Agreement::restore(setting, memory)?,
            None => (Agreement::start(setting), Vec::new()),
        };
        let mut round = Self {
            context,
            board,
            epoch,
            report,
            machine,
            gathered: Gathered::default(),
            reading: Reading::of(epoch),
            in_time,
            outbox: VecDeque::new(),
            phase: Phase::Commits,
            to_compute: None,
            signed_round: None,
            looked: None,
        };
        for (hypernode, commit, arrival) in context.commits_in_time(epoch)? {
            round.in_time.entry(hypernode).or_default().insert(commit);
            let entry = Entry { hypernode, commit };
            round.machine.handle(Event::CommitSeen(entry, arrival));
        }
        round.send_commit();
        for action in again {
            round.carry_out_sending(action)?;
        }
        Ok(round)
    }

    /// Drives the round until the ledger has resolved the epoch as it is computed here, or its time is over.
    pub async fn run(mut self) -> Result<()> {
        while self.phase < Phase::Over && !self.is_resolved() {
            self.advance().await?;
            self.exchange().await?;
            self.try_root().await?;
            self.look_at_ledger().await?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn is_resolved(&self) -> bool {
        self.context.history(|history| history.next()) > self.epoch
    }

    /// Follows the ledger when it has something new. What it says may be wrong and be corrected by what is agreed here, so
    /// the round goes on meanwhile.
    async fn look_at_ledger(&mut self) -> Result<()> {
        if self.looked.is_some_and(|at| at.elapsed() < LEDGER_POLL) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let looked = match self.has_news().await {
            Ok(true) => follow_for(self.context, self.board, FOLLOW_AT_ONCE).await,
            other => other.map(|_| ()),
        };
        self.context.survives(FOLLOWING, looked)
    }

    async fn has_news(&self) -> Result<bool> {
        let (next, round) = self
            .context
            .history(|history| (history.next(), history.round()));
        // What was signed in an earlier round is signed anew by whoever follows.
        let is_old = self.signed_round.is_some_and(|signed| signed < round)
            && !self.context.has_signed(self.epoch, round);
        let is_behind = next < self.epoch || is_old;
        Ok(is_behind
            || self.context.ledger.next_epoch().await? > self.epoch
            || is_undone(self.context).await?)
    }

    async fn advance(&mut self) -> Result<()> {
        let params = &self.context.params;
        let edges = CommitEdges::of(params);
        let revealing = params.reveal_ms.saturating_sub(params.commit_ms);
        let reveals_due = revealing.saturating_mul(3) / 4;
        // The later ones propose when no list has come by then; votes need the rest of the time.
        let voting = params.vote_ms.saturating_sub(params.reveal_ms);
        let turn = |tenths| {
            let after = voting.saturating_mul(tenths) / 10;
            params.reveal_ms.saturating_add(after)
        };
        let end = params.epoch_end(self.epoch).0;
        let steps = [
            (Phase::CommitsDue, edges.due_ms),
            (Phase::CommitsListed, edges.listed_ms),
            (Phase::Reveals, edges.closed_ms),
            (
                Phase::RevealsDue,
                params.commit_ms.saturating_add(reveals_due),
            ),
            (Phase::Votes, params.reveal_ms),
            (Phase::SecondTurn, turn(4)),
            (Phase::ThirdTurn, turn(7)),
            (Phase::Over, params.void_after_ms),
        ];
        let now = clock::now();
        for (phase, after_ms) in steps {
            if self.phase < phase && now >= UnixMs(end.saturating_add(after_ms)) {
                self.phase = phase;
                self.enter(phase).await?;
            }
        }
        Ok(())
    }

    async fn enter(&mut self, phase: Phase) -> Result<()> {
        let event = match phase {
            Phase::Commits => return Ok(()),
            Phase::CommitsDue => Event::CommitsDue,
            Phase::CommitsListed => Event::CommitsListed,
            Phase::Reveals => {
                self.handle(Event::CommitsClosed).await?;
                self.send_reveal();
                return Ok(());
            }
            Phase::RevealsDue => Event::RevealsDue,
            Phase::Votes | Phase::SecondTurn | Phase::ThirdTurn => Event::ProposalDue,
            Phase::Over => Event::Timeout,
        };
        self.handle(event).await
    }

    /// Posts and reads. The board may fail, and is asked again; what cannot be kept ends the round.
    async fn exchange(&mut self) -> Result<()> {
        if let Err(error) = self.post_waiting().await {
            self.note(&error.into());
            return Ok(());
        }
        let hearing = self.context.hearing(self.epoch);
        for _ in 0..PAGES_AT_ONCE {
            let page = match self.reading.page(self.board).await {
                Ok(page) => page,
                Err(error) => {
                    self.note(&error.into());
                    return Ok(());
                }
            };
            if page.is_empty() {
                return self.handle(Event::ReadToEnd).await;
            }
            for object in page {
                self.take(&hearing, &object).await?;
            }
        }
        Ok(())
    }

    async fn post_waiting(&mut self) -> Result<(), BoardError> {
        while let Some(object) = self.outbox.front() {
            let kind = object.kind();
            match self.board.post(self.epoch, object.clone()).await? {
                Posted::Stored => {}
                Posted::NotNow => break,
                Posted::Refused(why) => eprintln!("note: epoch {}: {kind}: {why}", self.epoch),
            }
            self.outbox.pop_front();
        }
        Ok(())
    }

    fn note(&self, error: &anyhow::Error) {
        let why = explain(error);
        self.context.note(format!("epoch {}: {why}", self.epoch));
    }

    async fn take(&mut self, hearing: &Hearing<'_>, object: &BoardObject) -> Result<()> {
        let context = self.context;
        let opened = match inputs::open(hearing, object) {
            Ok(opened) => opened,
            Err(error) => {
                eprintln!(
                    "note: epoch {}: the board shows a bad object: {error}",
                    self.epoch
                );
                return Ok(());
            }
        };
        let event = match &opened {
            Opened::Commit { from, commitment } => {
                self.keep_in_time(from, commitment)?;
                Some(Event::Commit(Entry {
                    hypernode: *from,
                    commit: *commitment,
                }))
            }
            Opened::Reveal(revealed) => Some(Event::Reveal(Entry {
                hypernode: revealed.from,
                commit: revealed.commitment,
            })),
            Opened::Proposal { from, list } => Some(Event::Proposal {
                from: *from,
                list: list.clone(),
            }),
            Opened::Vote { from, input_set } => Some(Event::Vote {
                from: *from,
                input_set: *input_set,
            }),
            Opened::RootSignature { .. } | Opened::Succession { .. } => None,
        };
        self.gathered.add(&context.network, self.epoch, opened);
        match event {
            Some(event) => self.handle(event).await,
            None => Ok(()),
        }
    }

    fn keep_in_time(&mut self, from: &HyperNodeId, commit: &Digest) -> Result<()> {
        let Some(kept) = self.in_time.get_mut(from) else {
            return Ok(());
        };
        let arrival = self.phase.arrival();
        let is_taken = arrival < Arrival::Late && kept.len() < COMMITS_MAX;
        if is_taken && kept.insert(*commit) {
            self.context
                .keep_commit_in_time(self.epoch, from, commit, arrival)?;
        }
        Ok(())
    }

    async fn handle(&mut self, event: Event) -> Result<()> {
        for action in self.machine.handle(event) {
            match action {
                Action::ComputeRoot(list) => self.to_compute = Some(list),
                Action::Persist(memory) => {
                    self.context.keep_agreement_memory(self.epoch, &memory)?;
                }
                sending => self.carry_out_sending(sending)?,
            }
        }
        Ok(())
    }

    /// Computes the root of the list locked on; tried again until the round is over, as it asks the ledger.
    async fn try_root(&mut self) -> Result<()> {
        let Some(list) = self.to_compute.clone() else {
            return Ok(());
        };
        let outcome = match self.compute(&list).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let why = explain(&error);
                self.context
                    .note(format!("epoch {}: no root yet: {why}", self.epoch));
                return Ok(());
            }
        };
        let digest = follow::digest(self.context, &outcome.root);
        match self.context.keep_signed(&outcome.root, &digest) {
            // Another one was signed: nothing more is signed in this round.
            Err(error) if error.is::<AlreadySigned>() => {
                self.to_compute = None;
                self.note(&error);
                return Ok(());
            }
            kept => kept?,
        }
        self.to_compute = None;
        let input_set = input_set_hash(&self.context.network, self.epoch, &list);
        self.handle(Event::RootComputed { input_set, digest }).await
    }

    async fn compute(&self, list: &[Entry]) -> Result<EpochOutcome> {
        let reports = self.gathered.included(list)?;
        raise_round(self.context, self.epoch).await?;
        aggregate(self.context, self.epoch, &reports).await
    }

    fn carry_out_sending(&mut self, action: Action) -> Result<()> {
        let (network, epoch, hypernode) = (self.context.network, self.epoch, self.context.own);
        // Times are fixed by the epoch, so that a restart sends the same bytes again.
        let (round, at) = (ROUND, self.context.params.epoch_end(epoch));
        let identity = &self.context.identity;
        let object = match action {
            Action::SendProposal(list) => {
                let entries = list
                    .iter()
                    .map(|entry| (entry.hypernode, entry.commit))
                    .collect();
                let proposal = Proposal {
                    network,
                    epoch,
                    round,
                    hypernode,
                    entries,
                    at,
                };
                BoardObject::Proposal(cose::seal(proposal, identity).bytes().to_vec())
            }
            Action::SendVote(input_set) => {
                let vote = Vote {
                    network,
                    epoch,
                    round,
                    hypernode,
                    input_set,
                    at,
                };
                BoardObject::Vote(cose::seal(vote, identity).bytes().to_vec())
            }
            Action::SignRoot(digest) => {
                let round = self.context.signed_round(epoch, &digest)?.unwrap_or(ROUND);
                self.signed_round = Some(round);
                follow::root_signature(self.context, (epoch, round), &digest)?
            }
            Action::Fail(failure) => {
                eprintln!("note: epoch {epoch}: {failure}");
                return Ok(());
            }
            Action::Persist(_) | Action::ComputeRoot(_) => return Ok(()),
        };
        self.post_once(object);
        Ok(())
    }

    fn send_commit(&mut self) {
        let (network, epoch, hypernode) = (self.context.network, self.epoch, self.context.own);
        let commitment = self.own_commitment();
        let at = self.context.params.epoch_end(epoch);
        let commit = Commit {
            network,
            epoch,
            hypernode,
            commitment,
            at,
        };
        let bytes = cose::seal(commit, &self.context.identity).bytes().to_vec();
        self.post_once(BoardObject::Commit(bytes));
    }

    fn send_reveal(&mut self) {
        let (network, epoch, hypernode) = (self.context.network, self.epoch, self.context.own);
        let at = self.context.params.epoch_end(epoch);
        let KeptReport {
            salt,
            signed: report,
        } = self.report.clone();
        let reveal = Reveal {
            network,
            epoch,
            hypernode,
            salt,
            report,
            at,
        };
        let bytes = cose::seal(reveal, &self.context.identity).bytes().to_vec();
        self.post_once(BoardObject::Reveal(bytes));
    }

    fn own_commitment(&self) -> Digest {
        let report = &self.report;
        commitment(
            &self.context.network,
            self.epoch,
            &report.salt,
            &report.signed.0,
        )
    }

    fn post_once(&mut self, object: BoardObject) {
        let kind = object.kind();
        if !self.outbox.iter().any(|waiting| waiting.kind() == kind) {
            self.outbox.push_back(object);
        }
    }
}
