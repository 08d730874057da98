//! Agreement on the input set over several rounds, with Tendermint's lock rules (arXiv 1807.04938), clock-driven.
//!
//! ```text
//! round r   the proposer of r sends L: what it saw a quorum of votes for in the latest round, else what it can open
//! vote      one per round, ever. Unlocked: for L when it is acceptable as in round 0, or had a quorum of votes in an
//!           earlier round. Locked on K in round k: for K, or for an L with a quorum of votes in a round ≥ k
//! quorum    votes for L by more than 2/3 of the weight *in the round that is running*: lock on (L, r), compute the
//!           root, sign it for round r. Late quorums move no lock and get no signature
//! ```
//!
//! With signatures by more than 2/3 in a round r, more than 1/3 of the weight is honest and locked on L. Until one of
//! them sees a later quorum for something else it votes for nothing else, so there is never such a quorum: two lists
//! are never both signed by more than 2/3, in whatever rounds, while at most 1/3 of the weight lies.
//!
//! Rounds end by the clock, so nobody needs to vote for "nothing". A round ends well when its proposer is honest and
//! what was posted before it has arrived. What differs for good is the view of when a commit came: whoever can delay
//! one by more than a third of their window can keep two thirds apart until the epoch is void, which loses nothing.
//!
//! As in one round, [`Memory`] is persisted before the action that depends on it. HyperNodes of this version run round
//! 0 only ([`super::Agreement`]); board, windows and daemon know no later one yet.

use super::view::View;
use super::{Arrival, Entry, input_set_hash, is_list, total_of};
use crate::more_than_two_thirds;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak, NetworkId};
use std::collections::{BTreeMap, BTreeSet};

/// Most rounds of an epoch.
pub const ROUNDS_MAX: u32 = 64;
/// Most lists of one proposer in one round, and most votes of one voter in one round, that are remembered.
const SAID_MAX: usize = 8;

/// What is fixed for one HyperNode and epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Network.
    pub network: NetworkId,
    /// Epoch agreed upon.
    pub epoch: Epoch,
    /// This HyperNode.
    pub own: HyperNodeId,
    /// Who proposes in round r: the one at r mod length; see [`crate::draw::Urn::proposers`].
    pub turns: Vec<HyperNodeId>,
    /// Capped weights of the committee.
    pub weights: BTreeMap<HyperNodeId, u128>,
}

/// What must survive a crash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    proposed: BTreeMap<u32, Proposed>,
    voted: BTreeMap<u32, Digest>,
    lock: Option<Lock>,
    signed: BTreeMap<u32, Keccak>,
}

/// A list put to the vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// The list.
    pub list: Vec<Entry>,
    /// The earlier round in which it had a quorum of votes.
    pub quorum_in: Option<u32>,
}

/// What a HyperNode is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// The round of the quorum.
    pub round: u32,
    /// H(L).
    pub input_set: Digest,
}

/// What happens. The caller has checked signatures, and that a revealed report opens its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// See [`super::Event::Commit`].
    Commit(Entry),
    /// See [`super::Event::CommitsDue`].
    CommitsDue,
    /// See [`super::Event::CommitsListed`].
    CommitsListed,
    /// See [`super::Event::CommitsClosed`].
    CommitsClosed,
    /// See [`super::Event::Reveal`].
    Reveal(Entry),
    /// See [`super::Event::RevealsDue`].
    RevealsDue,
    /// A round begins by the clock; all before are over.
    Round(u32),
    /// A list signed by `from`.
    Proposal {
        /// Who proposes.
        from: HyperNodeId,
        /// For which round.
        round: u32,
        /// What.
        proposed: Proposed,
    },
    /// A vote signed by `from`.
    Vote {
        /// Who votes.
        from: HyperNodeId,
        /// In which round.
        round: u32,
        /// H(L).
        input_set: Digest,
    },
    /// The caller aggregated the list of [`Action::ComputeRoot`].
    RootComputed {
        /// The round of the lock.
        round: u32,
        /// H(L) it was computed from.
        input_set: Digest,
        /// EIP-712 digest of the root, which names the round.
        digest: Keccak,
    },
}

/// What a HyperNode must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write this durably before the next action.
    Persist(Memory),
    /// Sign and send the proposal of a round.
    SendProposal(u32, Proposed),
    /// Sign and send a vote.
    SendVote(u32, Digest),
    /// Locked: aggregate these inputs and come back with [`Event::RootComputed`].
    ComputeRoot(u32, Vec<Entry>),
    /// Sign and send the root of a round.
    SignRoot(u32, Keccak),
}

/// One HyperNode over all rounds of an epoch.
#[derive(Debug, Clone)]
pub struct Rounds {
    setting: Setting,
    memory: Memory,
    view: View,
    round: Option<u32>,
    /// The latest round whose root was asked for.
    asked: Option<u32>,
    lists: BTreeMap<Digest, Vec<Entry>>,
    proposals: BTreeMap<u32, Vec<(Digest, Option<u32>)>>,
    votes: BTreeMap<u32, BTreeMap<HyperNodeId, BTreeSet<Digest>>>,
}

impl Rounds {
    /// Starts, or goes on after a restart with what was last persisted; the actions repeat, unchanged, what may not
    /// have been sent.
    pub fn with(setting: Setting, memory: Memory) -> (Self, Vec<Action>) {
        let members = setting.weights.keys().copied().collect();
        let mut machine = Self {
            setting,
            memory,
            view: View::of(members),
            round: None,
            asked: None,
            lists: BTreeMap::new(),
            proposals: BTreeMap::new(),
            votes: BTreeMap::new(),
        };
        let own = machine.setting.own;
        let mut again = Vec::new();
        for (round, proposed) in machine.memory.proposed.clone() {
            again.push(Action::SendProposal(round, proposed.clone()));
            machine.note_proposal(own, round, proposed);
        }
        for (round, input_set) in machine.memory.voted.clone() {
            again.push(Action::SendVote(round, input_set));
            machine.note_vote(own, round, input_set);
        }
        let signed = machine.memory.signed.iter();
        again.extend(signed.map(|(round, digest)| Action::SignRoot(*round, *digest)));
        (machine, again)
    }

    /// Takes one event and returns what to do, in order.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Commit(entry) => self.view.commit(entry),
            Event::CommitsDue => self.view.commits_are(Arrival::Midway),
            Event::CommitsListed => self.view.commits_are(Arrival::Edge),
            Event::CommitsClosed => self.view.commits_are(Arrival::Late),
            Event::Reveal(entry) => self.view.reveal(entry),
            Event::RevealsDue => self.view.reveals_due(),
            Event::Round(round) => self.enter(round),
            Event::Proposal {
                from,
                round,
                proposed,
            } => self.note_proposal(from, round, proposed),
            Event::Vote {
                from,
                round,
                input_set,
            } => self.note_vote(from, round, input_set),
            Event::RootComputed {
                round,
                input_set,
                digest,
            } => self.sign(Lock { round, input_set }, digest, &mut actions),
        }
        if let Some(round) = self.round.filter(|_| self.view.is_complete()) {
            self.propose(round, &mut actions);
            self.vote(round, &mut actions);
            self.lock(round, &mut actions);
        }
        actions
    }

    /// What this HyperNode is bound to.
    pub fn locked(&self) -> Option<Lock> {
        self.memory.lock
    }

    /// HyperNodes that were seen to commit, propose or vote twice.
    pub fn equivocators(&self) -> &BTreeSet<HyperNodeId> {
        self.view.equivocators()
    }

    fn enter(&mut self, round: u32) {
        if round < ROUNDS_MAX && self.round.is_none_or(|running| running < round) {
            self.round = Some(round);
        }
    }

    fn turn(&self, round: u32) -> Option<HyperNodeId> {
        let at = (round as usize).checked_rem(self.setting.turns.len())?;
        self.setting.turns.get(at).copied()
    }

    fn note_proposal(&mut self, from: HyperNodeId, round: u32, proposed: Proposed) {
        let Proposed { list, quorum_in } = proposed;
        let earlier = quorum_in.is_none_or(|before| before < round);
        let turn = self.turn(round) == Some(from) && round < ROUNDS_MAX;
        if !is_list(&list) || !turn || !earlier {
            return;
        }
        let input_set = input_set_hash(&self.setting.network, self.setting.epoch, &list);
        let said = self.proposals.entry(round).or_default();
        if said.len() >= SAID_MAX || said.contains(&(input_set, quorum_in)) {
            return;
        }
        if !said.is_empty() {
            self.view.equivocated(from);
        }
        said.push((input_set, quorum_in));
        self.lists.insert(input_set, list);
    }

    /// A voter that votes for two lists counts for both, or two HyperNodes could disagree for ever on what they saw.
    fn note_vote(&mut self, from: HyperNodeId, round: u32, input_set: Digest) {
        if !self.setting.weights.contains_key(&from) || round >= ROUNDS_MAX {
            return;
        }
        let said = self
            .votes
            .entry(round)
            .or_default()
            .entry(from)
            .or_default();
        if said.len() < SAID_MAX {
            said.insert(input_set);
        }
        if said.len() > 1 {
            self.view.equivocated(from);
        }
    }

    fn propose(&mut self, round: u32, actions: &mut Vec<Action>) {
        let mine = self.turn(round) == Some(self.setting.own);
        if !mine || self.memory.proposed.contains_key(&round) {
            return;
        }
        let proposed = self.latest_quorum(round).unwrap_or_else(|| Proposed {
            list: self.view.to_propose(),
            quorum_in: None,
        });
        if proposed.list.is_empty() {
            return;
        }
        self.memory.proposed.insert(round, proposed.clone());
        actions.push(Action::Persist(self.memory.clone()));
        actions.push(Action::SendProposal(round, proposed.clone()));
        self.note_proposal(self.setting.own, round, proposed);
    }

    fn vote(&mut self, round: u32, actions: &mut Vec<Action>) {
        let member = self.setting.weights.contains_key(&self.setting.own);
        if !member || self.memory.voted.contains_key(&round) {
            return;
        }
        let said = self.proposals.get(&round).into_iter().flatten();
        let mut may = said.filter(|(input_set, quorum_in)| self.may_vote(input_set, *quorum_in));
        let Some((input_set, _)) = may.next().copied() else {
            return;
        };
        self.memory.voted.insert(round, input_set);
        actions.push(Action::Persist(self.memory.clone()));
        actions.push(Action::SendVote(round, input_set));
        self.note_vote(self.setting.own, round, input_set);
    }

    fn may_vote(&self, input_set: &Digest, quorum_in: Option<u32>) -> bool {
        let Some(list) = self.lists.get(input_set) else {
            return false;
        };
        if !self.view.opens(list) {
            return false;
        }
        let proven = quorum_in.filter(|before| self.has_quorum(*before, input_set));
        match self.memory.lock {
            Some(lock) => {
                lock.input_set == *input_set || proven.is_some_and(|before| before >= lock.round)
            }
            None => proven.is_some() || self.view.acceptable(list),
        }
    }

    fn lock(&mut self, round: u32, actions: &mut Vec<Action>) {
        if self.memory.lock.is_none_or(|lock| lock.round < round) {
            let said = self.proposals.get(&round).into_iter().flatten();
            let opened = |set: &Digest| self.lists.get(set).is_some_and(|l| self.view.opens(l));
            let mut agreed = said.filter(|(set, _)| self.has_quorum(round, set) && opened(set));
            let Some((input_set, _)) = agreed.next().copied() else {
                return;
            };
            self.memory.lock = Some(Lock { round, input_set });
            actions.push(Action::Persist(self.memory.clone()));
        }
        self.ask_for_root(round, actions);
    }

    /// Once in each life of this process, so that a restart between lock and signature asks again.
    fn ask_for_root(&mut self, round: u32, actions: &mut Vec<Action>) {
        let here = self.memory.lock.filter(|lock| lock.round == round);
        let pending = self.asked < Some(round) && !self.memory.signed.contains_key(&round);
        let list = here.and_then(|lock| self.lists.get(&lock.input_set));
        let list = list.filter(|list| pending && self.view.opens(list));
        if let Some(list) = list.cloned() {
            self.asked = Some(round);
            actions.push(Action::ComputeRoot(round, list));
        }
    }

    /// Only for the lock of the round that is running: in a later one something else may have been voted for.
    fn sign(&mut self, lock: Lock, digest: Keccak, actions: &mut Vec<Action>) {
        let running = self.round == Some(lock.round) && self.memory.lock == Some(lock);
        if !running || self.memory.signed.contains_key(&lock.round) {
            return;
        }
        self.memory.signed.insert(lock.round, digest);
        actions.push(Action::Persist(self.memory.clone()));
        actions.push(Action::SignRoot(lock.round, digest));
    }

    /// The list with a quorum of votes in the latest round before `round`, if it is known.
    fn latest_quorum(&self, round: u32) -> Option<Proposed> {
        let before = self.votes.range(..round).rev();
        before.into_iter().find_map(|(before, votes)| {
            let named: BTreeSet<&Digest> = votes.values().flatten().collect();
            let mut agreed = named
                .into_iter()
                .filter(|set| self.has_quorum(*before, set));
            let list = self.lists.get(agreed.next()?)?.clone();
            let quorum_in = Some(*before);
            Some(Proposed { list, quorum_in })
        })
    }

    fn has_quorum(&self, round: u32, input_set: &Digest) -> bool {
        let voters = self.votes.get(&round).into_iter().flatten();
        let sum = voters
            .filter(|(_, said)| said.contains(input_set))
            .filter_map(|(from, _)| self.setting.weights.get(from))
            .fold(0u128, |sum, weight| sum.saturating_add(*weight));
        more_than_two_thirds(sum, total_of(&self.setting.weights))
    }
}

#[cfg(test)]
mod tests;
