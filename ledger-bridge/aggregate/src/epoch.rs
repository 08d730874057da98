//! From an agreed input set to the root of an epoch.
//!
//! Every HyperNode sits on every node's committee, so there is no draw of committees and medians are weighted by capped
//! stake (ARCHITECTURE section 8). A node is judged when included reports by more than 2/3 of the committee's weight hold data
//! about it; data of a report with a malformed list, another class or a wrong number of slots does not count.
//!
//! A node on trial (see [`crate::persistence`]) is judged by the votes of its re-audit committee instead.
//!
//! - Confirmed: an earlier root confirmed the node's owner. Only then does `pass` pay and `breach` slash.
//! - Confirmation and hand-over: the module `owner`; processors: the module `chips`.
//! - Rewards are the provider's, not the node's, and come out of the epoch's budget: the module `rewards` shares it out.
//! - Absence: a HyperNode whose reports many agreed lists in a row lack gets a leaf of its own, see the module `absence`.
//! - Sums only grow; a node without verdict, and every node in a void epoch, keeps its state.

use crate::availability::{Census, SlotState};
use crate::draw::{Candidate, DrawOf, PanelOf, Purpose, Urn};
use crate::more_than_two_thirds;
use crate::persistence::{Record, Rule};
use crate::root::{
    AbsenceLeaf, Committee, EpochRoot, LogHead, Member, NodeLeaf, OutcomeTree, RewardLeaf,
    RootError, evidence_root,
};
use crate::rules::{self, RuleError};
use crate::systemic::{Excuses, Site, Systemic, site_of_provider};
use crate::verdict::{self, ChaseRate, Finding, Verdict, reason};
use crate::weights::Operator;
use crate::wilson::{Bounds, PPM_ONE};
use assay_protocol::class::{HardwareClass, Sla, ValidClass};
use assay_protocol::ids::{
    Address, Beacon, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Ppm, Slot,
};
use assay_protocol::params::NetworkParams;
use assay_protocol::report::{ChaseKind, Report, input_set};
use std::collections::{BTreeMap, BTreeSet};

mod absence;
mod chips;
mod data;
mod owner;
mod rewards;
mod settle;
mod slots;

pub use chips::Rivals;
use chips::{Binding, Contest, Showing};
use data::{NodeData, Reporter, agreed_owner, attest_votes, chase_votes, reporters};
use owner::Ownership;
pub use owner::{Registration, Standing};
pub use rewards::share_out;
pub use settle::money;
use settle::settle;
use slots::Slots;

/// A HyperNode in the committee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The HyperNode.
    pub hypernode: HyperNodeId,
    /// Its operator.
    pub operator: Operator,
    /// Its account on the ledger.
    pub ledger: Address,
    /// Its capped weight, see [`crate::weights::capped_weights`].
    pub weight: u128,
}

/// What earlier roots settled about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeState {
    /// The owner a root confirmed.
    pub confirmed_owner: Option<Address>,
    /// Slots decided as up so far, whoever owned the node; excused and undecided ones are in neither sum.
    pub cumulative_up_slots: u64,
    /// Slots decided as down so far.
    pub cumulative_down_slots: u64,
    /// Slashes so far, in the token's smallest unit.
    pub cumulative_slash: u128,
    /// Breaches not yet slashed.
    pub record: Record,
    /// The processors it is bound to, see [`assay_protocol::evidence::chips_digest`].
    pub chips: Option<Digest>,
}

/// What all roots up to one settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct States {
    /// All nodes ever seen.
    pub nodes: BTreeMap<NodeId, NodeState>,
    /// What every provider has earned since genesis, in the token's smallest unit; who never earned anything is not in it.
    pub rewards: BTreeMap<Address, u128>,
    /// Agreed epochs in a row without a report of a HyperNode with a say; who was heard in the last one is not in it.
    pub missed: BTreeMap<HyperNodeId, u32>,
}

/// An agreed report with the commit it was promised by. Its signature and commit have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Its commit.
    pub commit: Digest,
    /// The report.
    pub report: Report,
}

/// Everything a root depends on.
#[derive(Debug, Clone, Copy)]
pub struct EpochInput<'a> {
    /// Network parameters.
    pub params: &'a NetworkParams,
    /// The epoch to judge.
    pub epoch: Epoch,
    /// Its public randomness.
    pub beacon: Beacon,
    /// Round of the agreement.
    pub round: u32,
    /// Who judges: everybody with weight.
    pub committee: &'a [Seat],
    /// What the root says of its signers and its policy.
    pub head: RootHead,
    /// The classes in force, by digest.
    pub classes: &'a BTreeMap<Digest, ValidClass>,
    /// Registrations before the epoch began, in any order.
    pub registrations: &'a [Registration],
    /// Where nodes stand; a node that is not here stands where everything of its provider's does.
    pub sites: &'a BTreeMap<NodeId, Site>,
    /// States after the last root.
    pub prior: &'a States,
    /// The agreed input set.
    pub reports: &'a BTreeMap<HyperNodeId, Included>,
    /// What the ledger has put aside for this epoch's rewards, in the token's smallest unit; fixed before the epoch began.
    pub budget: u128,
}

/// The parts of a root that no report has a say in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootHead {
    /// Hash of the committee that signs: the one the last root named.
    pub committee: Keccak,
    /// Hash of the committee that signs the next epoch.
    pub next_committee: Keccak,
    /// See [`assay_protocol::class::policy_digest`].
    pub policy_digest: Digest,
}

/// What an epoch comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochOutcome {
    /// One leaf per node, ascending by node id.
    pub leaves: Vec<NodeLeaf>,
    /// One leaf per provider that ever earned anything, ascending by address.
    pub rewards: Vec<RewardLeaf>,
    /// One leaf per absent HyperNode, ascending by id.
    pub absences: Vec<AbsenceLeaf>,
    /// The tree over all leaves.
    pub tree: OutcomeTree,
    /// States after this root.
    pub states: States,
    /// What is to be signed.
    pub root: EpochRoot,
}

/// Why an epoch cannot be aggregated. Nothing in a report leads here: a bad report only does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// No epoch can be judged by these parameters.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A report of somebody outside the committee was agreed upon.
    #[error("input set: HyperNode {0} is not in the committee")]
    Stranger(HyperNodeId),
    /// The committee contradicts itself.
    #[error(transparent)]
    Committee(#[from] RootError),
    /// Whose stake counts was not learnt from the ledger, see [`crate::inputs::History::learn`].
    #[error("roster of epoch {0}: not read from the ledger yet")]
    RosterUnknown(Epoch),
    /// More leaves than can be counted.
    #[error("outcome tree: expected at most 2^32 - 1 leaves, got {0}")]
    TooManyLeaves(usize),
    /// No outcome of an epoch has such sums.
    #[error("sum of rewards: expected at most 2^128 - 1 of the token's smallest unit, got more")]
    RewardsTooLarge,
}

/// An epoch prepared for judging nodes, one or all.
#[derive(Debug)]
pub struct Aggregator<'a> {
    input: EpochInput<'a>,
    network: NetworkId,
    total: u128,
    urn: Urn,
    reporters: Vec<Reporter<'a>>,
    registrations: BTreeMap<NodeId, BTreeSet<Registration>>,
    /// Slots excused by what others suffered; none where the network subtracts nothing.
    excuses: Option<Excuses>,
}

/// Whose votes judge a node, and what they come to together.
struct Jury {
    /// The drawn seats of a re-audit; else everybody votes with its capped stake.
    drawn: Option<BTreeMap<HyperNodeId, u128>>,
    total: u128,
}

/// How a node was judged.
#[derive(Clone, Copy, Default)]
struct Judgement {
    finding: Option<Finding>,
    tier: u8,
    census: Census,
    chase: Option<ChaseRate>,
    /// Whom more than 2/3 of the weight name as owner.
    owner: Option<Address>,
    /// Which processors it shows.
    chips: Option<Digest>,
    /// Whose registration it was judged by.
    provider: Option<Address>,
    /// What a pass pays or a breach costs, in the token's smallest unit, once the owner is confirmed.
    reward: u128,
    slash: u128,
}

/// A node as its own reports have it.
struct Looked<'a> {
    node: NodeId,
    ownership: Ownership<'a>,
    /// When the epoch begins.
    prior: NodeState,
    judgement: Judgement,
}

/// A node's part of an outcome.
struct Judged {
    leaf: NodeLeaf,
    state: NodeState,
    /// Who is to be paid how much, in the token's smallest unit, if the budget allows.
    asks: Option<(Address, u128)>,
}

impl Looked<'_> {
    fn showing(&self) -> Showing {
        Showing {
            node: self.node,
            before: self.prior.chips,
            shown: self.judgement.chips,
            owned: self.prior.confirmed_owner.is_some(),
        }
    }
}

impl Judgement {
    /// With a finding more, at most `warned`.
    fn with(&self, finding: Finding) -> Self {
        let before = self.finding;
        let finding = before.map(|before| before.worst(finding));
        let paid = finding.is_some_and(|finding| finding.verdict == Verdict::Pass);
        Self {
            finding,
            reward: if paid { self.reward } else { 0 },
            ..*self
        }
    }
}

/// What is settled after a void epoch: what it was.
pub fn void_epoch(prior: &States) -> States {
    prior.clone()
}

/// Sum of all weights that vote.
fn total_weight(seats: &[Seat]) -> u128 {
    seats
        .iter()
        .fold(0, |sum, seat| sum.saturating_add(seat.weight))
}

/// The hash-relevant members of a committee: seats with weight.
pub fn committee_of(seats: &[Seat]) -> Result<Committee, RootError> {
    let member = |seat: &Seat| Member {
        address: seat.ledger,
        weight: seat.weight,
    };
    Committee::new(
        seats
            .iter()
            .filter(|seat| seat.weight > 0)
            .map(member)
            .collect(),
    )
}

impl<'a> Aggregator<'a> {
    /// Checks the input and prepares it.
    pub fn new(input: EpochInput<'a>) -> Result<Self, EpochError> {
        rules::check(input.params)?;
        // refuses one that could not sign
        committee_of(input.committee)?;
        let urn = Urn::new(input.committee.iter().map(Candidate::from));
        let network = input.params.network_id();
        let mut registrations: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for registration in input.registrations {
            registrations
                .entry(registration.node)
                .or_default()
                .insert(*registration);
        }
        let reporters = reporters(&input, network, &urn)?;
        let mut aggregator = Self {
            input,
            network,
            total: total_weight(input.committee),
            urn,
            reporters,
            registrations,
            excuses: None,
        };
        aggregator.excuses = aggregator.find_excuses();
        Ok(aggregator)
    }

    /// Judges one node: its leaf and its state after this root. Neither depends on the budget or on other nodes' money, and
    /// on other nodes' processors only by its `rivals`.
    pub fn node(&self, node: NodeId, rivals: Rivals) -> (NodeLeaf, NodeState) {
        let looked = self.looked_at(node, &self.data(node, &mut self.cursors()));
        let Judged { leaf, state, .. } = self.judged(&looked, rivals);
        (leaf, state)
    }

    /// Judges all nodes, known or registered.
    pub fn epoch(&self) -> Result<EpochOutcome, EpochError> {
        let prior = self.input.prior;
        let known = prior.nodes.keys().chain(self.registrations.keys());
        let nodes: BTreeSet<NodeId> = known.copied().collect();
        let mut leaves = Vec::with_capacity(nodes.len());
        let (mut states, mut asked) = (BTreeMap::new(), Vec::new());
        let (mut cursors, mut contest) = (self.cursors(), Contest::default());
        let look = |node| self.looked_at(node, &self.data(node, &mut cursors));
        let all: Vec<Looked<'_>> = nodes.into_iter().map(look).collect();
        all.iter().for_each(|one| contest.enter(&one.showing()));
        for one in &all {
            let judged = self.judged(one, contest.rivals(&one.showing()));
            asked.extend(judged.asks);
            leaves.push(judged.leaf);
            states.insert(one.node, judged.state);
        }
        let states = States {
            nodes: states,
            rewards: share_out(prior.rewards.clone(), &asked, self.input.budget)?,
            missed: absence::missed(&prior.missed, self.input.committee, self.input.reports),
        };
        let rewards = self.reward_leaves(&states);
        let at = (self.input.params, self.input.epoch);
        let absences = absence::leaves(at, self.input.committee, &states.missed);
        let hashes = leaves.iter().map(NodeLeaf::hash);
        let hashes = hashes.chain(rewards.iter().map(RewardLeaf::hash));
        let hashes: Vec<_> = hashes
            .chain(absences.iter().map(AbsenceLeaf::hash))
            .collect();
        let count = hashes.len();
        let tree = OutcomeTree::new(hashes);
        let root = self.root(&tree, count, &states)?;
        Ok(EpochOutcome {
            leaves,
            rewards,
            absences,
            tree,
            states,
            root,
        })
    }

    fn reward_leaves(&self, states: &States) -> Vec<RewardLeaf> {
        let leaf = |(provider, sum): (&Address, &u128)| RewardLeaf {
            epoch: self.input.epoch,
            provider: *provider,
            cumulative_reward: *sum,
        };
        states.rewards.iter().map(leaf).collect()
    }

    /// A node by itself.
    fn looked_at(&self, node: NodeId, data: &[NodeData<'a>]) -> Looked<'_> {
        let prior = self.input.prior.nodes.get(&node);
        let prior = prior.copied().unwrap_or_default();
        let ownership = Ownership::at(&prior, self.registrations.get(&node));
        let prior = ownership.begins(&prior);
        let judgement = match self.registration(&ownership, data) {
            Some((registration, class)) => self
                .judge((&ownership, registration, class), &prior, data)
                .unwrap_or_default(),
            None => Judgement::default(),
        };
        Looked {
            node,
            ownership,
            prior,
            judgement,
        }
    }

    /// What it comes to among others.
    fn judged(&self, looked: &Looked<'_>, rivals: Rivals) -> Judged {
        let Looked {
            ownership, prior, ..
        } = looked;
        let binding = Binding::of(&looked.showing(), rivals);
        let judgement = looked.judgement.with(binding.finding);
        let rule = Rule::of(self.input.params);
        let judged = (&judgement, &binding);
        let state = settle(&rule, self.input.epoch, prior, ownership, judged);
        let reward = Some(judgement.reward).filter(|wei| *wei > 0);
        Judged {
            leaf: self.leaf(looked.node, ownership, &judgement, &state),
            state,
            // Not the owner of `state`: what a root confirms is paid from the next one on.
            asks: prior.confirmed_owner.zip(reward),
        }
    }

    fn root(
        &self,
        tree: &OutcomeTree,
        leaves: usize,
        states: &States,
    ) -> Result<EpochRoot, EpochError> {
        let input = &self.input;
        let entries: Vec<_> = input
            .reports
            .iter()
            .map(|(id, r)| (*id, r.commit))
            .collect();
        let head = |report: &Report| LogHead {
            size: report.log_size,
            root: report.log_root,
        };
        let heads = input
            .reports
            .iter()
            .map(|(id, r)| (*id, head(&r.report)))
            .collect();
        Ok(EpochRoot {
            network: self.network,
            epoch: input.epoch,
            round: input.round,
            input_set: input_set(&self.network, input.epoch, &entries),
            committee: input.head.committee,
            root: tree.root(),
            leaf_count: u32::try_from(leaves).map_err(|_| EpochError::TooManyLeaves(leaves))?,
            evidence_root: evidence_root(&heads),
            policy_digest: input.head.policy_digest,
            cumulative_reward: rewards::sum(states.rewards.values())?,
            next_committee: input.head.next_committee,
        })
    }

    /// A place in each report, for looking nodes up in ascending order.
    fn cursors(&self) -> Vec<usize> {
        vec![0; self.reporters.len()]
    }

    fn data(&self, node: NodeId, cursors: &mut [usize]) -> Vec<NodeData<'a>> {
        let each = self.reporters.iter().zip(cursors);
        each.filter_map(|(reporter, at)| reporter.find(node, at))
            .collect()
    }

    /// What most providers and sites suffered together, from every node that reports speak of; who owns a node is what
    /// more than 2/3 of the weight name, so that an auditor needs nothing but the reports.
    fn find_excuses(&self) -> Option<Excuses> {
        let params = self.input.params;
        if params.systemic_min_providers == 0 {
            return None;
        }
        let slots = params.slots();
        let spoken = self.reporters.iter().flat_map(|reporter| reporter.nodes);
        let nodes: BTreeSet<NodeId> = spoken.map(|entry| entry.node).collect();
        let mut systemic = Systemic::new(params.systemic_min_providers, slots);
        let mut cursors = self.cursors();
        for node in nodes {
            let mut data = self.data(node, &mut cursors);
            data.retain(|item| item.data.cells.0.len() == slots as usize);
            if let Some(provider) = agreed_owner(&data, self.total) {
                let site = self.input.sites.get(&node).copied();
                let site = site.unwrap_or_else(|| site_of_provider(&provider));
                let states = self.slots(node, slots, &data).states();
                systemic.add(provider, site, &states);
            }
        }
        Some(systemic.excuses())
    }

    /// Who judges the node in this epoch.
    fn jury(&self, node: NodeId, prior: &NodeState) -> Jury {
        let (epoch, seats) = (self.input.epoch, self.input.params.reaudit_seats);
        let draws = rules::draws_reaudits(self.input.params, self.urn.candidates().len());
        if !draws || !prior.record.on_trial(epoch) {
            let total = self.total;
            return Jury { drawn: None, total };
        }
        let of = DrawOf {
            network: self.network,
            beacon: self.input.beacon,
            period: epoch.0,
            node,
        };
        let drawn = self.urn.committee(Purpose::Reaudit, &of, seats);
        let total = drawn.values().fold(0u128, |sum, v| sum.saturating_add(*v));
        let drawn = Some(drawn);
        Jury { drawn, total }
    }

    /// The registration a node is judged by, in a class in force.
    fn registration<'b>(
        &self,
        ownership: &Ownership<'b>,
        data: &[NodeData<'_>],
    ) -> Option<(&'b Registration, &'a HardwareClass)> {
        let registration = ownership.judged_by(agreed_owner(data, self.total))?;
        let class = self.input.classes.get(&registration.class)?;
        self.input
            .params
            .classes
            .contains(&registration.class)
            .then_some((registration, class))
    }

    /// `None` when too little of the node's committee has data about it.
    fn judge(
        &self,
        (ownership, registration, class): (&Ownership<'_>, &Registration, &HardwareClass),
        prior: &NodeState,
        data: &[NodeData<'_>],
    ) -> Option<Judgement> {
        let slots = self.input.params.slots();
        let usable = |item: &&NodeData<'_>| {
            item.data.class == registration.class && item.data.cells.0.len() == slots as usize
        };
        let data: Vec<_> = data.iter().filter(usable).copied().collect();
        let jury = self.jury(registration.node, prior);
        let votes = jury.votes(&data);
        let weight = votes
            .iter()
            .fold(0u128, |sum, item| sum.saturating_add(item.weight));
        if !more_than_two_thirds(weight, jury.total) {
            return None;
        }
        let seen = self.slots(registration.node, slots, &data);
        let on_trial = prior.record.on_trial(self.input.epoch);
        let (census, available) =
            self.availability(&registration.provider, &seen, &class.sla, on_trial);
        let attested = verdict::attestation(
            &attest_votes(&votes),
            jury.total,
            class.attestation.tier_min,
        );
        let (chased, chase) = verdict::chase(&chase_votes(&votes), jury.total, &class.sla);
        let owner = agreed_owner(&votes, jury.total);
        let finding = (attested.finding)
            .worst(available)
            .worst(chased)
            .worst(ownership.finding(owner));
        let (reward, slash) = money(finding.verdict, &class.money, self.input.params.gwei());
        let (finding, provider) = (Some(finding), Some(registration.provider));
        Some(Judgement {
            finding,
            tier: attested.tier,
            census,
            chase,
            owner,
            chips: attested.chips,
            provider,
            reward,
            slash,
        })
    }

    /// The panels of all slots of a node, and what is reported of them.
    fn slots<'b>(&'b self, node: NodeId, slots: u32, data: &[NodeData<'b>]) -> Slots<'b> {
        let mut of = PanelOf {
            network: self.network,
            beacon: self.input.beacon,
            epoch: self.input.epoch,
            node,
            slot: Slot(0),
        };
        let mut panels = Vec::with_capacity(slots as usize);
        for slot in 0..slots {
            of.slot = Slot(slot);
            panels.push(self.urn.panel_at(&of, self.input.params.panel_min as usize));
        }
        Slots::new(self.urn.candidates(), panels, data)
    }

    /// Availability against the SLA. On trial it convicts only when it would without the third of the stake that accuses
    /// most, too: panels are small, and who lies in every slot shall not be believed for having been drawn often.
    fn availability(
        &self,
        provider: &Address,
        slots: &Slots<'_>,
        sla: &Sla,
        on_trial: bool,
    ) -> (Census, Finding) {
        let (census, excused) = self.census(provider, &slots.states());
        let mut finding = verdict::availability(&census, sla);
        if on_trial && finding.verdict == Verdict::Breach {
            let others = slots.states_without(&slots.accusers(self.total));
            let (others, _) = self.census(provider, &others);
            finding.verdict = match verdict::availability(&others, sla).verdict {
                // Nothing is known without them: that neither convicts nor acquits.
                known @ (Verdict::Breach | Verdict::Inconclusive) => known,
                Verdict::Pass | Verdict::Warned => Verdict::Warned,
            };
        }
        (census, finding.worst(excused))
    }

    /// Slots counted, without those that most others were down in; whether there were such.
    fn census(&self, provider: &Address, states: &[SlotState]) -> (Census, Finding) {
        let none = [];
        let excused = self.excuses.as_ref().map_or(&none[..], |e| e.of(provider));
        let excused = excused.iter().copied().chain(std::iter::repeat(false));
        let (mut census, mut finding) = (Census::default(), Finding::PASS);
        for (state, excused) in states.iter().zip(excused) {
            if excused && *state == SlotState::Down {
                census.add(SlotState::Inconclusive);
                finding = Finding::of(Verdict::Pass, reason::SYSTEMIC);
            } else {
                census.add(*state);
            }
        }
        (census, finding)
    }

    fn leaf(
        &self,
        node: NodeId,
        ownership: &Ownership<'_>,
        judgement: &Judgement,
        state: &NodeState,
    ) -> NodeLeaf {
        let finding = judgement
            .finding
            .unwrap_or(Finding::of(Verdict::Inconclusive, reason::DATA));
        let bounds = judgement.census.bounds().unwrap_or(UNKNOWN);
        let owner = state
            .confirmed_owner
            .or(judgement.provider)
            .or_else(|| ownership.first());
        NodeLeaf {
            epoch: self.input.epoch,
            node,
            owner: owner.unwrap_or(Address([0; 20])),
            confirmed: state.confirmed_owner.is_some(),
            chips: state.chips.unwrap_or(Digest([0; 32])),
            verdict: finding.verdict as u8,
            reasons: finding.reasons,
            tier: judgement.tier,
            availability: bounds.point,
            lower: bounds.lower,
            upper: bounds.upper,
            coverage: judgement.census.coverage(),
            chase_rate: judgement.chase.map_or(0, |chase| chase.reads_per_s),
            chase_kind: judgement
                .chase
                .map_or(ChaseKind::Liveness, |chase| chase.kind) as u8,
            cumulative_up_slots: state.cumulative_up_slots,
            cumulative_down_slots: state.cumulative_down_slots,
            cumulative_slash: state.cumulative_slash,
        }
    }
}

/// What is known of the availability of a node without a decided slot.
const UNKNOWN: Bounds = Bounds {
    point: Ppm(0),
    lower: Ppm(0),
    upper: Ppm(PPM_ONE),
};

impl Jury {
    /// The data of those who vote, with their votes.
    fn votes<'a>(&self, data: &[NodeData<'a>]) -> Vec<NodeData<'a>> {
        let Some(drawn) = &self.drawn else {
            return data.to_vec();
        };
        let vote = |item: &NodeData<'a>| {
            let weight = *drawn.get(&item.hypernode)?;
            Some(NodeData { weight, ..*item })
        };
        data.iter().filter_map(vote).collect()
    }
}

#[cfg(test)]
mod tests;
