//! An epoch from its end to its resolution on the ledger: commit, reveal, vote, sign. The rules are in
//! `assay_aggregate::agreement`; here they meet the board, the clock and the disk.

use crate::board::{Board, Posted};
use crate::clock;
use crate::context::Context;
use crate::explain;
use crate::store::KeptReport;
use anyhow::{Context as _, Result, bail, ensure};
use assay_aggregate::agreement::{Action, Agreement, Entry, Event, Setting, input_set_hash};
use assay_aggregate::draw::proposer;
use assay_aggregate::epoch::{EpochOutcome, Included};
use assay_aggregate::inputs::{self, Gathered, Hearing, Opened, ROUND};
use assay_ledger::{EpochRecord, Resolved};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak, UnixMs};
use assay_protocol::report::{Commit, Proposal, Reveal, RootSignature, Vote, commitment};
use assay_protocol::wire::BoardObject;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Pause between two looks at the board.
const POLL: Duration = Duration::from_millis(200);

/// One epoch's agreement in progress.
pub struct Round<'a> {
    context: &'a Context,
    board: &'a mut Board,
    epoch: Epoch,
    report: KeptReport,
    machine: Agreement,
    gathered: Gathered,
    seen: u64,
    outbox: VecDeque<BoardObject>,
    phase: Phase,
    /// The list locked on, until its root is computed.
    to_compute: Option<Vec<Entry>>,
}

/// How far the clock has driven the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Commits,
    CommitsDue,
    Reveals,
    RevealsDue,
    Votes,
    Over,
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
        let weights = context
            .weights(epoch)
            .with_context(|| format!("nobody is known to have a say in epoch {epoch}"))?;
        let members: Vec<_> = weights.keys().copied().collect();
        let proposer = proposer(&beacon, &members, ROUND).context("the committee is empty")?;
        let (network, own) = (context.network, context.own);
        let setting = Setting {
            network,
            epoch,
            round: ROUND,
            own,
            proposer,
            weights,
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
            seen: 0,
            outbox: VecDeque::new(),
            phase: Phase::Commits,
            to_compute: None,
        };
        for (hypernode, commit) in context.commits_in_time(epoch)? {
            round
                .machine
                .handle(Event::Commit(Entry { hypernode, commit }));
        }
        round.send_commit();
        for action in again {
            round.carry_out_sending(action)?;
        }
        Ok(round)
    }

    /// Drives the round until the root is signed and posted to the board, or its time is over.
    pub async fn run(mut self) -> Result<()> {
        while self.phase < Phase::Over {
            self.advance().await?;
            if let Err(error) = self.exchange().await {
                let why = explain(&error);
                self.context.note(format!("epoch {}: {why}", self.epoch));
            }
            self.try_root().await?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn advance(&mut self) -> Result<()> {
        let due =
            |from: u64, to: u64| from.saturating_add(to.saturating_sub(from).saturating_mul(3) / 4);
        let params = &self.context.params;
        let end = params.epoch_end(self.epoch).0;
        let steps = [
            (Phase::CommitsDue, due(0, params.commit_ms)),
            (Phase::Reveals, params.commit_ms),
            (Phase::RevealsDue, due(params.commit_ms, params.reveal_ms)),
            (Phase::Votes, params.reveal_ms),
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
            Phase::Reveals => {
                self.handle(Event::CommitsClosed).await?;
                self.send_reveal();
                return Ok(());
            }
            Phase::RevealsDue => Event::RevealsDue,
            Phase::Votes => Event::ProposalDue,
            Phase::Over => Event::Timeout,
        };
        self.handle(event).await
    }

    async fn exchange(&mut self) -> Result<()> {
        while let Some(object) = self.outbox.front() {
            let kind = object.kind();
            match self.board.post(self.epoch, object.clone()).await? {
                Posted::Stored => {}
                Posted::TooEarly => break,
                Posted::Refused(why) => eprintln!("note: epoch {}: {kind}: {why}", self.epoch),
            }
            self.outbox.pop_front();
        }
        let hearing = self.context.hearing(self.epoch);
        for (number, object) in self.board.read(self.epoch, self.seen).await? {
            self.seen = self.seen.max(number);
            self.take(&hearing, &object).await?;
        }
        Ok(())
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
                if self.phase < Phase::Reveals {
                    context.keep_commit_in_time(self.epoch, from, commitment)?;
                }
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
        self.to_compute = None;
        let params = &self.context.params;
        let digest = outcome.root.digest(params.chain_id, &params.contract);
        let input_set = input_set_hash(&self.context.network, self.epoch, &list);
        self.handle(Event::RootComputed { input_set, digest }).await
    }

    async fn compute(&self, list: &[Entry]) -> Result<EpochOutcome> {
        let reports = self.gathered.included(list)?;
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
                let signature = self.context.ledger_key.sign_digest(&digest)?;
                let signed = RootSignature {
                    network,
                    epoch,
                    round,
                    hypernode,
                    digest,
                    signature,
                    at,
                };
                BoardObject::RootSignature(cose::seal(signed, identity).bytes().to_vec())
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

/// The root of the next unresolved epoch from these reports and the ledger's registrations and budget.
async fn aggregate(
    context: &Context,
    epoch: Epoch,
    reports: &BTreeMap<HyperNodeId, Included>,
) -> Result<EpochOutcome> {
    let start = context.params.epoch_start(epoch);
    let known = context.ledger.claims(epoch, start).await?;
    let budget = context.ledger.budget(epoch).await?.0;
    context.history(|history| {
        if history.next() != epoch {
            bail!(
                "epoch {epoch} cannot be aggregated: the next unresolved one is {}",
                history.next()
            );
        }
        Ok(history.aggregate(known, reports, budget)?)
    })
}

/// Follows the ledger: takes over each epoch it resolved, recomputing its root from the board.
pub async fn follow(context: &Context, board: &mut Board) -> Result<()> {
    check_followed(context).await?;
    loop {
        context.learn().await?;
        let next = context.history(|history| history.next());
        match context.ledger.resolved(next).await? {
            Resolved::Open => return Ok(()),
            Resolved::Void => context.history(|history| history.void()),
            Resolved::Posted(root) => {
                let mut gathered = Gathered::default();
                let hearing = context.hearing(next);
                for object in board.read_all(next).await? {
                    if let Ok(opened) = inputs::open(&hearing, &object) {
                        gathered.add(&context.network, next, opened);
                    }
                }
                let list = gathered.list(&root.input_set).with_context(|| {
                    format!("epoch {next}: the board does not show the agreed list")
                })?;
                let reports = gathered.included(list)?;
                let outcome = aggregate(context, next, &reports).await?;
                if outcome.root != *root {
                    context.history(assay_aggregate::inputs::History::forget);
                    bail!(
                        "epoch {next}: the ledger holds {root:?}, recomputed {:?}",
                        outcome.root
                    );
                }
                context.history(|history| history.posted(&outcome, &reports))?;
                let params = &context.params;
                let digest = outcome.root.digest(params.chain_id, &params.contract);
                context.note_followed(next, digest);
            }
        }
    }
}

/// A root that was followed must still be in force: a correction replaces it, and what was computed since is on the wrong
/// sums.
async fn check_followed(context: &Context) -> Result<()> {
    let Some((epoch, digest)) = context.followed() else {
        return Ok(());
    };
    let record = context.ledger.epoch_record(epoch).await?;
    let next = context.ledger.next_epoch().await?;
    check_in_force(epoch, digest, &record, next)
}

/// `next` is the epoch to be resolved next: a root that was followed is before it, unless it was undone.
fn check_in_force(epoch: Epoch, followed: Keccak, record: &EpochRecord, next: Epoch) -> Result<()> {
    ensure!(
        next > epoch && !record.contradicts(followed),
        "epoch {epoch}: the root was replaced by a correction: expected {followed}, the ledger holds {} ({:?})\n\
         hint: this version cannot go on from a corrected root; see the events of the contract",
        record.digest,
        record.resolution
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_ledger::Resolution;
    use assay_protocol::ids::Stake;

    const FOLLOWED: Keccak = Keccak([7; 32]);

    fn check(resolution: Resolution, digest: Keccak, next: u64) -> Result<(), String> {
        let record = EpochRecord {
            resolution,
            corrections: 0,
            posted_at: UnixMs(1),
            final_at: UnixMs(2),
            leaf_count: 1,
            root: Keccak([1; 32]),
            digest,
            cumulative_reward: Stake(0),
            round: 0,
        };
        let checked = check_in_force(Epoch(5), FOLLOWED, &record, Epoch(next));
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_goes_on_from_a_root_that_was_replaced_undone_or_voided() {
        let other = Keccak([8; 32]);
        check(Resolution::Posted, FOLLOWED, 6).unwrap();
        // Long ago: the ring has another epoch in its place.
        check(Resolution::Open, Keccak([0; 32]), 6).unwrap();
        for (resolution, digest, next) in [
            (Resolution::Posted, other, 6),
            (Resolution::Void, FOLLOWED, 6),
            (Resolution::Open, FOLLOWED, 5),
            (Resolution::Open, FOLLOWED, 4),
        ] {
            let said = check(resolution, digest, next).unwrap_err();
            assert!(
                said.contains("epoch 5") && said.contains(&digest.to_string()),
                "{said}"
            );
        }
    }
}
