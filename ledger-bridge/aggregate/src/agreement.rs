//! Agreement on the input set of an epoch before anything is aggregated: one HyperNode's part, as a state machine.
//!
//! ```text
//! commits ──CommitsDue──CommitsListed──CommitsClosed── reveals ──RevealsDue──ProposalDue── votes ── lock ── sign
//! H(L) = SHA-256("assay/inputs/1" ‖ network ‖ epoch u64 ‖ (HyperNode id ‖ commit)*)   ascending by id
//! ```
//!
//! - The round's first proposer sends the list L of what it can open. When it is silent, the next one does at its turn, and
//!   after that one more, so that a HyperNode that is down costs nobody the epoch.
//! - A HyperNode votes for L only if it saw every commit of L before commits closed, can open every entry, and L omits
//!   nobody whose commit and reveal it had before each was *due*; of several lists for that of the earliest turn, and for none
//!   before its turn. One vote per (epoch, round), ever.
//! - With votes for one H(L) by strictly more than two thirds of the weight it locks on L, computes the root and signs.
//!   As honest HyperNodes vote once, two input sets cannot both get there while less than a third of the weight lies.
//! - What a commit is depends on when it was *seen*, which differs from one HyperNode to the next. Three edges keep that
//!   from dividing them ([`CommitEdges`]): voters require what they saw before the first, proposers list what they saw before
//!   the second, voters allow what they saw before the third. So what one voter requires is listed by every honest proposer,
//!   and what an honest proposer lists is allowed by every voter, as long as each sees a commit within a third of the window
//!   of when any other does. Who posts at an edge divides nobody; who posts after the second is on no honest list.
//! - Reveals have two edges: the first proposer's list is of what it read after their window's end, and who has not read a
//!   reveal yet waits for it.
//! - Whoever can delay messages for longer can still make the round fail: then the epoch is void and loses nothing.
//!
//! This is one round, and all that HyperNodes run in this version. [`rounds`] has the rules across rounds.
//!
//! Everything that must survive a crash is in [`Memory`]. It is handed out as [`Action::Persist`] *before* the action
//! that depends on it: carry out actions in order, and a crash never makes this HyperNode sign two different things.

use crate::draw::{Candidate, ProposersOf, Urn};
use crate::more_than_two_thirds;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak, NetworkId};
use assay_protocol::limits::ROSTER_MAX;
use assay_protocol::report;
use std::collections::{BTreeMap, BTreeSet};

mod edges;
pub mod rounds;
mod view;

pub use edges::{Arrival, CommitEdges, LOOK_MS, commit_ms_min};
pub use view::COMMITS_MAX;
use view::View;

/// Most different proposals of one proposer remembered.
const PROPOSALS_MAX: usize = 8;
/// Turns of a round, each of another HyperNode.
pub const TURNS: usize = 3;
const MEMORY_LABEL: &[u8] = b"assay/agreement/1";

/// One agreed input: whose report, and the commit it was promised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The HyperNode that reports.
    pub hypernode: HyperNodeId,
    /// Its commit.
    pub commit: Digest,
}

/// What is fixed for one HyperNode and round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Network.
    pub network: NetworkId,
    /// Epoch agreed upon.
    pub epoch: Epoch,
    /// Round, from 0.
    pub round: u32,
    /// This HyperNode.
    pub own: HyperNodeId,
    /// Who proposes, in order of their turns: see [`proposers`].
    pub proposers: Vec<HyperNodeId>,
    /// Capped weights of the committee.
    pub weights: BTreeMap<HyperNodeId, u128>,
}

/// What must survive a crash. Serialise with [`Memory::encode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    network: NetworkId,
    epoch: Epoch,
    round: u32,
    proposal: Option<Vec<Entry>>,
    vote: Option<Digest>,
    lock: Option<Digest>,
    signed: Option<Keccak>,
}

/// What happens to a HyperNode. The caller has checked signatures, and that a revealed report opens its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A commit was seen.
    Commit(Entry),
    /// A commit was seen before the last restart.
    CommitSeen(Entry, Arrival),
    /// From now on commits are not required.
    CommitsDue,
    /// From now on commits are not listed by whoever proposes.
    CommitsListed,
    /// From now on commits are not even allowed. Must precede the own reveal.
    CommitsClosed,
    /// A report was seen that opens this commit.
    Reveal(Entry),
    /// From now on reveals are not required.
    RevealsDue,
    /// The next proposer's turn has come; the first time it is the first one's.
    ProposalDue,
    /// All that the board shows by now was handed over: who proposes knows what others have proposed, and all it can open.
    ReadToEnd,
    /// A list signed by `from`.
    Proposal {
        /// Who proposes.
        from: HyperNodeId,
        /// The list.
        list: Vec<Entry>,
    },
    /// A vote signed by `from`.
    Vote {
        /// Who votes.
        from: HyperNodeId,
        /// H(L).
        input_set: Digest,
    },
    /// The caller aggregated the list of [`Action::ComputeRoot`].
    RootComputed {
        /// H(L) it was computed from.
        input_set: Digest,
        /// EIP-712 digest of the root.
        digest: Keccak,
    },
    /// The round's time is over.
    Timeout,
}

/// What a HyperNode must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write this durably before the next action.
    Persist(Memory),
    /// Sign and send the proposal.
    SendProposal(Vec<Entry>),
    /// Sign and send a vote for H(L).
    SendVote(Digest),
    /// Locked: aggregate these inputs and come back with [`Event::RootComputed`].
    ComputeRoot(Vec<Entry>),
    /// Sign and send the root with this digest.
    SignRoot(Keccak),
    /// This round ends without a signature of this HyperNode.
    Fail(Failure),
}

/// Why a round failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing was agreed in time: the epoch will be void.
    #[error("agreement: no list got votes of more than 2/3 of the weight in time")]
    Timeout,
    /// The root differs from the one signed before.
    #[error("agreement: already signed root digest {signed}, refusing {refused}")]
    OtherRoot {
        /// Signed before.
        signed: Keccak,
        /// Refused now.
        refused: Keccak,
    },
}

/// Why a memory cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The bytes are not what [`Memory::encode`] writes.
    #[error("agreement memory: malformed")]
    Malformed,
    /// It belongs to another network, epoch or round.
    #[error("agreement memory: expected epoch {expected} of this network, got epoch {actual}")]
    Elsewhere {
        /// Epoch being agreed upon.
        expected: Epoch,
        /// Epoch of the memory.
        actual: Epoch,
    },
}

impl From<(HyperNodeId, Digest)> for Entry {
    fn from((hypernode, commit): (HyperNodeId, Digest)) -> Self {
        Self { hypernode, commit }
    }
}

impl From<Entry> for (HyperNodeId, Digest) {
    fn from(entry: Entry) -> Self {
        (entry.hypernode, entry.commit)
    }
}

/// H(L) of a list, see [`report::input_set`].
pub fn input_set_hash(network: &NetworkId, epoch: Epoch, list: &[Entry]) -> Digest {
    let pairs: Vec<_> = list.iter().copied().map(Into::into).collect();
    report::input_set(network, epoch, &pairs)
}

/// Whether a list can be one: not empty, within the cap, ascending, nobody twice.
fn is_list(list: &[Entry]) -> bool {
    let ascending = list.is_sorted_by(|a, b| a.hypernode < b.hypernode);
    ascending && (1..=ROSTER_MAX).contains(&list.len())
}

fn total_of(weights: &BTreeMap<HyperNodeId, u128>) -> u128 {
    weights
        .values()
        .fold(0u128, |sum, weight| sum.saturating_add(*weight))
}

/// Who proposes in a round, in order of their turns, drawn by capped weight: at most [`TURNS`].
pub fn proposers(of: &ProposersOf, members: &[Candidate]) -> Vec<HyperNodeId> {
    let drawn = Urn::new(members.iter().copied()).proposers(of, TURNS);
    let drawn = drawn.into_iter();
    drawn.map(|candidate| candidate.hypernode).collect()
}

/// One HyperNode in one round.
#[derive(Debug, Clone)]
pub struct Agreement {
    setting: Setting,
    memory: Memory,
    view: View,
    failed: bool,
    root_asked: bool,
    /// How many proposers' turns have come.
    turns: usize,
    /// Of all proposers, in order of their turns.
    proposals: Vec<Proposal>,
    votes: BTreeMap<HyperNodeId, Digest>,
}

#[derive(Debug, Clone)]
struct Proposal {
    /// Whose turn it takes, from 0.
    turn: usize,
    input_set: Digest,
    list: Vec<Entry>,
}

impl Agreement {
    /// Starts a round that this HyperNode has no memory of.
    pub fn start(setting: Setting) -> Self {
        let memory = Memory {
            network: setting.network,
            epoch: setting.epoch,
            round: setting.round,
            proposal: None,
            vote: None,
            lock: None,
            signed: None,
        };
        Self::with(setting, memory)
    }

    /// Continues after a restart; the actions repeat, unchanged, what may not have been sent.
    pub fn restore(setting: Setting, memory: Memory) -> Result<(Self, Vec<Action>), MemoryError> {
        let same = memory.network == setting.network && memory.round == setting.round;
        if !same || memory.epoch != setting.epoch {
            let (expected, actual) = (setting.epoch, memory.epoch);
            return Err(MemoryError::Elsewhere { expected, actual });
        }
        let again = memory
            .proposal
            .clone()
            .map(Action::SendProposal)
            .into_iter()
            .chain(memory.vote.map(Action::SendVote))
            .chain(memory.signed.map(Action::SignRoot))
            .collect();
        let mut restored = Self::with(setting, memory);
        if let Some(vote) = restored.memory.vote {
            restored.votes.insert(restored.setting.own, vote);
        }
        if let Some(list) = restored.memory.proposal.clone() {
            restored.note_proposal(restored.setting.own, list);
        }
        Ok((restored, again))
    }

    /// Takes one event and returns what to do, in order.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Commit(entry) => self.view.commit(entry),
            Event::CommitSeen(entry, arrival) => self.view.commit_seen(entry, arrival),
            Event::CommitsDue => self.view.commits_are(Arrival::Midway),
            Event::CommitsListed => self.view.commits_are(Arrival::Edge),
            Event::CommitsClosed => self.view.commits_are(Arrival::Late),
            Event::Reveal(entry) => self.view.reveal(entry),
            Event::RevealsDue => self.view.reveals_due(),
            Event::ProposalDue => {
                self.turns = self.turns.saturating_add(1);
            }
            Event::Proposal { from, list } => self.note_proposal(from, list),
            Event::Vote { from, input_set } => self.note_vote(from, input_set),
            Event::RootComputed { input_set, digest } => {
                self.sign(input_set, digest, &mut actions);
            }
            Event::ReadToEnd => {
                self.try_vote(&mut actions);
                self.try_propose(&mut actions);
            }
            Event::Timeout => self.time_out(&mut actions),
        }
        self.try_vote(&mut actions);
        self.try_lock(&mut actions);
        actions
    }

    /// H(L) this HyperNode is locked on.
    pub fn locked(&self) -> Option<Digest> {
        self.memory.lock
    }

    /// What must survive a crash, as of now.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// HyperNodes that were seen to commit or vote twice.
    pub fn equivocators(&self) -> &BTreeSet<HyperNodeId> {
        self.view.equivocators()
    }

    fn with(setting: Setting, memory: Memory) -> Self {
        let members = setting.weights.keys().copied().collect();
        Self {
            setting,
            memory,
            view: View::of(members),
            failed: false,
            root_asked: false,
            turns: 0,
            proposals: Vec::new(),
            votes: BTreeMap::new(),
        }
    }

    fn note_proposal(&mut self, from: HyperNodeId, list: Vec<Entry>) {
        let mut proposers = self.setting.proposers.iter();
        let Some(turn) = proposers.position(|one| *one == from) else {
            return;
        };
        if !is_list(&list) {
            return;
        }
        let input_set = input_set_hash(&self.setting.network, self.setting.epoch, &list);
        let of_turn = || self.proposals.iter().filter(|p| p.turn == turn);
        if of_turn().count() >= PROPOSALS_MAX || of_turn().any(|p| p.input_set == input_set) {
            return;
        }
        let at = self.proposals.partition_point(|p| p.turn <= turn);
        let proposal = Proposal {
            turn,
            input_set,
            list,
        };
        self.proposals.insert(at, proposal);
    }

    fn note_vote(&mut self, from: HyperNodeId, input_set: Digest) {
        if !self.setting.weights.contains_key(&from) {
            return;
        }
        // Only the first vote counts; the own one comes from memory.
        let counted = *self.votes.entry(from).or_insert(input_set);
        if counted != input_set {
            self.view.equivocated(from);
        }
    }

    /// Proposes when its turn has come, unless it voted for somebody's list already.
    fn try_propose(&mut self, actions: &mut Vec<Action>) {
        let mut begun = self.setting.proposers.iter().take(self.turns);
        let mine = begun.any(|one| *one == self.setting.own);
        let spoke = self.memory.proposal.is_some() || self.memory.vote.is_some();
        if !mine || self.failed || spoke {
            return;
        }
        let list = self.view.to_propose();
        if list.is_empty() {
            return;
        }
        self.memory.proposal = Some(list.clone());
        actions.push(Action::Persist(self.memory.clone()));
        actions.push(Action::SendProposal(list.clone()));
        self.note_proposal(self.setting.own, list);
        self.try_vote(actions);
    }

    fn try_vote(&mut self, actions: &mut Vec<Action>) {
        let member = self.setting.weights.contains_key(&self.setting.own);
        if self.memory.vote.is_some() || self.failed || !self.view.is_complete() || !member {
            return;
        }
        // The first one's clock may be ahead of this one's.
        let begun = self.turns.max(1);
        let votable = |p: &&Proposal| p.turn < begun && self.view.acceptable(&p.list);
        let Some(input_set) = self.proposals.iter().find(votable).map(|p| p.input_set) else {
            return;
        };
        self.memory.vote = Some(input_set);
        self.votes.insert(self.setting.own, input_set);
        actions.push(Action::Persist(self.memory.clone()));
        actions.push(Action::SendVote(input_set));
    }

    fn try_lock(&mut self, actions: &mut Vec<Action>) {
        if self.failed || self.root_asked || self.memory.signed.is_some() {
            return;
        }
        let Some(input_set) = self.memory.lock.or_else(|| self.agreed()) else {
            return;
        };
        let Some(list) = self.opened_list(&input_set) else {
            return;
        };
        self.root_asked = true;
        if self.memory.lock.is_none() {
            self.memory.lock = Some(input_set);
            actions.push(Action::Persist(self.memory.clone()));
        }
        actions.push(Action::ComputeRoot(list));
    }

    fn sign(&mut self, input_set: Digest, digest: Keccak, actions: &mut Vec<Action>) {
        if self.failed || self.memory.lock != Some(input_set) {
            return;
        }
        match self.memory.signed {
            Some(signed) if signed != digest => {
                let refused = digest;
                actions.push(Action::Fail(Failure::OtherRoot { signed, refused }));
            }
            Some(_) => actions.push(Action::SignRoot(digest)),
            None => {
                self.memory.signed = Some(digest);
                actions.push(Action::Persist(self.memory.clone()));
                actions.push(Action::SignRoot(digest));
            }
        }
    }

    fn time_out(&mut self, actions: &mut Vec<Action>) {
        if !self.failed && self.memory.signed.is_none() {
            self.failed = true;
            actions.push(Action::Fail(Failure::Timeout));
        }
    }

    /// The input set with votes of more than two thirds of the weight.
    fn agreed(&self) -> Option<Digest> {
        let mut sums: BTreeMap<Digest, u128> = BTreeMap::new();
        for (from, input_set) in &self.votes {
            let weight = self.setting.weights.get(from).copied().unwrap_or(0);
            let sum = sums.entry(*input_set).or_default();
            *sum = sum.saturating_add(weight);
        }
        let total = total_of(&self.setting.weights);
        sums.into_iter()
            .find(|(_, sum)| more_than_two_thirds(*sum, total))
            .map(|(set, _)| set)
    }

    /// The list behind H(L), once it is known and every entry can be opened.
    fn opened_list(&self, input_set: &Digest) -> Option<Vec<Entry>> {
        let proposal = self.proposals.iter().find(|p| p.input_set == *input_set)?;
        self.view
            .opens(&proposal.list)
            .then(|| proposal.list.clone())
    }
}

impl Memory {
    /// `"assay/agreement/1" ‖ network ‖ epoch u64 ‖ round u32 ‖ vote ‖ lock ‖ signed ‖ proposal`; each of the last four is
    /// a byte 0 (absent), or 1 and the value; a proposal is a count u32 and its entries.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MEMORY_LABEL.to_vec();
        out.extend(self.network.0);
        out.extend(self.epoch.0.to_be_bytes());
        out.extend(self.round.to_be_bytes());
        let fields = [
            self.vote.map(|d| d.0),
            self.lock.map(|d| d.0),
            self.signed.map(|d| d.0),
        ];
        for field in fields {
            out.push(u8::from(field.is_some()));
            out.extend(field.into_iter().flatten());
        }
        out.push(u8::from(self.proposal.is_some()));
        if let Some(list) = &self.proposal {
            out.extend(u32::try_from(list.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend(
                list.iter()
                    .flat_map(|e| [e.hypernode.0, e.commit.0])
                    .flatten(),
            );
        }
        out
    }

    /// Reads what [`Memory::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, MemoryError> {
        let mut rest = bytes
            .strip_prefix(MEMORY_LABEL)
            .ok_or(MemoryError::Malformed)?;
        let decoded = Self::fields(&mut rest).ok_or(MemoryError::Malformed)?;
        if rest.is_empty() {
            Ok(decoded)
        } else {
            Err(MemoryError::Malformed)
        }
    }

    fn fields(rest: &mut &[u8]) -> Option<Self> {
        Some(Self {
            network: NetworkId(take(rest)?),
            epoch: Epoch(u64::from_be_bytes(take(rest)?)),
            round: u32::from_be_bytes(take(rest)?),
            vote: optional(rest, |rest| take(rest).map(Digest))?,
            lock: optional(rest, |rest| take(rest).map(Digest))?,
            signed: optional(rest, |rest| take(rest).map(Keccak))?,
            proposal: optional(rest, entries)?,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

/// `None` for malformed, `Some(None)` for absent.
fn optional<T>(rest: &mut &[u8], read: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Option<T>> {
    match take(rest)? {
        [0] => Some(None),
        [1] => read(rest).map(Some),
        _ => None,
    }
}

fn entries(rest: &mut &[u8]) -> Option<Vec<Entry>> {
    let count = usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?;
    if count > ROSTER_MAX {
        return None;
    }
    let entry = |rest: &mut &[u8]| {
        Some(Entry {
            hypernode: HyperNodeId(take(rest)?),
            commit: Digest(take(rest)?),
        })
    };
    (0..count).map(|_| entry(rest)).collect()
}

#[cfg(test)]
mod tests;
