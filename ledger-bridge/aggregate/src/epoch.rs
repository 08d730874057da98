//! From an agreed input set to the root of an epoch.
//!
//! Every HyperNode sits on every node's committee, so there is no draw of committees and medians are weighted by capped
//! stake (ARCHITECTURE section 8). A node is judged when included reports by more than 2/3 of the committee's weight hold data
//! about it; data of a report with a malformed list, another class or a wrong number of slots does not count.
//!
//! - Confirmed: an earlier root confirmed the node's owner. Only then does `pass` pay and `breach` slash.
//! - Confirmation: more than 2/3 of the weight name the same owner and that provider registered the node. The first wins.
//! - Sums only grow; a node without verdict, and every node in a void epoch, keeps its state.

use crate::availability::{Census, Seat as SlotSeat, slot_state};
use crate::draw::{Candidate, PanelOf, Urn};
use crate::more_than_two_thirds;
use crate::root::{
    Committee, EpochRoot, LogHead, Member, NodeLeaf, OutcomeTree, RootError, evidence_root,
};
use crate::verdict::{self, AttestVote, ChaseRate, ChaseVote, Finding, Verdict, Vote, reason};
use crate::weights::{BPS_ONE, Operator, mul_div};
use crate::wilson::{Bounds, PPM_ONE};
use assay_protocol::class::{HardwareClass, Money, ValidClass, policy_digest};
use assay_protocol::ids::{
    Address, Beacon, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Ppm, Slot,
};
use assay_protocol::params::NetworkParams;
use assay_protocol::report::{Cell, ChaseKind, NodeReport, Report, input_set};
use std::collections::{BTreeMap, BTreeSet};

const WEI_PER_GWEI: u128 = 1_000_000_000;

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

/// A provider's claim that a node is its own; several may claim the same node until one is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registration {
    /// Node.
    pub node: NodeId,
    /// Who registered it.
    pub provider: Address,
    /// Digest of the class it promises to fulfil.
    pub class: Digest,
}

/// What earlier roots settled about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeState {
    /// The owner a root confirmed.
    pub confirmed_owner: Option<Address>,
    /// Rewards so far, in wei.
    pub cumulative_reward: u128,
    /// Slashes so far, in wei.
    pub cumulative_slash: u128,
}

/// States of all nodes ever seen.
pub type States = BTreeMap<NodeId, NodeState>;

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
    /// Who judges and signs.
    pub committee: &'a [Seat],
    /// Hash of the committee that signs the next epoch.
    pub next_committee: Keccak,
    /// The classes in force, by digest.
    pub classes: &'a BTreeMap<Digest, ValidClass>,
    /// Registrations before the epoch began, in any order.
    pub registrations: &'a [Registration],
    /// States after the last root.
    pub prior: &'a States,
    /// The agreed input set.
    pub reports: &'a BTreeMap<HyperNodeId, Included>,
}

/// What an epoch comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochOutcome {
    /// One leaf per node, ascending by node id.
    pub leaves: Vec<NodeLeaf>,
    /// The tree over them.
    pub tree: OutcomeTree,
    /// States after this root.
    pub states: States,
    /// What is to be signed.
    pub root: EpochRoot,
}

/// Why an epoch cannot be aggregated. Nothing in a report leads here: a bad report only does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The parameters ask for a rule this version does not have.
    #[error("network parameter {name}: this version supports only {supported}, got {actual}")]
    Unsupported {
        /// Parameter.
        name: &'static str,
        /// What is there.
        supported: &'static str,
        /// What is asked for.
        actual: String,
    },
    /// A report of somebody outside the committee was agreed upon.
    #[error("input set: HyperNode {0} is not in the committee")]
    Stranger(HyperNodeId),
    /// The committee contradicts itself.
    #[error(transparent)]
    Committee(#[from] RootError),
    /// More nodes than the leaf count can hold.
    #[error("outcome tree: {0} nodes are too many")]
    TooManyNodes(usize),
}

/// An epoch prepared for judging nodes, one or all.
#[derive(Debug)]
pub struct Aggregator<'a> {
    input: EpochInput<'a>,
    network: NetworkId,
    committee: Committee,
    total: u128,
    urn: Urn,
    reporters: Vec<Reporter<'a>>,
    registrations: BTreeMap<NodeId, BTreeSet<Registration>>,
}

/// An included report that is well-formed, and its author's weight.
#[derive(Debug)]
struct Reporter<'a> {
    hypernode: HyperNodeId,
    weight: u128,
    nodes: &'a [NodeReport],
}

/// One node's data of one HyperNode.
struct NodeData<'a> {
    hypernode: HyperNodeId,
    weight: u128,
    data: &'a NodeReport,
}

/// How a node was judged.
#[derive(Default)]
struct Judgement {
    finding: Option<Finding>,
    tier: u8,
    census: Census,
    chase: Option<ChaseRate>,
    /// Whom more than 2/3 of the weight name as owner.
    owner: Option<Address>,
    /// Whose registration it was judged by.
    provider: Option<Address>,
    /// What a pass pays or a breach costs, in wei, once the owner is confirmed.
    reward: u128,
    slash: u128,
}

/// The state of all nodes after a void epoch: what it was.
pub fn void_epoch(prior: &States) -> States {
    prior.clone()
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
        check_supported(input.params)?;
        let committee = committee_of(input.committee)?;
        let total = committee.total();
        let candidate = |seat: &Seat| Candidate {
            hypernode: seat.hypernode,
            operator: seat.operator,
            weight: seat.weight,
        };
        let urn = Urn::new(input.committee.iter().map(candidate));
        let network = input.params.network_id();
        let mut registrations: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for registration in input.registrations {
            registrations
                .entry(registration.node)
                .or_default()
                .insert(*registration);
        }
        let reporters = reporters(&input, network)?;
        Ok(Self {
            input,
            network,
            committee,
            total,
            urn,
            reporters,
            registrations,
        })
    }

    /// Judges one node: its leaf and its state after this root.
    pub fn node(&self, node: NodeId) -> (NodeLeaf, NodeState) {
        let prior = self.input.prior.get(&node).copied().unwrap_or_default();
        let claims = self.registrations.get(&node);
        let data = self.data(node);
        let judgement = match self.registration(&prior, claims, &data) {
            Some((registration, class)) => self
                .judge(&registration, class, &prior, &data)
                .unwrap_or_default(),
            None => Judgement::default(),
        };
        let state = settle(&prior, claims, &judgement);
        (self.leaf(node, claims, &judgement, &state), state)
    }

    /// Judges all nodes, known or registered.
    pub fn epoch(&self) -> Result<EpochOutcome, EpochError> {
        let known = self.input.prior.keys().chain(self.registrations.keys());
        let nodes: BTreeSet<NodeId> = known.copied().collect();
        let mut leaves = Vec::with_capacity(nodes.len());
        let mut states = States::new();
        for node in nodes {
            let (leaf, state) = self.node(node);
            leaves.push(leaf);
            states.insert(node, state);
        }
        let tree = OutcomeTree::new(leaves.iter().map(NodeLeaf::hash).collect());
        let root = self.root(&tree, leaves.len())?;
        Ok(EpochOutcome {
            leaves,
            tree,
            states,
            root,
        })
    }

    fn root(&self, tree: &OutcomeTree, leaves: usize) -> Result<EpochRoot, EpochError> {
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
            committee: self.committee.hash(),
            root: tree.root(),
            leaf_count: u32::try_from(leaves).map_err(|_| EpochError::TooManyNodes(leaves))?,
            evidence_root: evidence_root(&heads),
            policy_digest: policy_digest(&input.params.classes),
            next_committee: input.next_committee,
        })
    }

    fn data(&self, node: NodeId) -> Vec<NodeData<'a>> {
        let find = |reporter: &Reporter<'a>| {
            let at = reporter
                .nodes
                .binary_search_by_key(&node, |entry| entry.node)
                .ok()?;
            let data = reporter.nodes.get(at)?;
            Some(NodeData {
                hypernode: reporter.hypernode,
                weight: reporter.weight,
                data,
            })
        };
        self.reporters.iter().filter_map(find).collect()
    }

    /// The registration a node is judged by: the confirmed owner's, else that of the owner most agree on,
    /// else the one of the lowest provider address. `None` without a registration in a class in force.
    fn registration(
        &self,
        prior: &NodeState,
        claims: Option<&BTreeSet<Registration>>,
        data: &[NodeData<'_>],
    ) -> Option<(Registration, &'a HardwareClass)> {
        let claims = claims?;
        let owner = prior
            .confirmed_owner
            .or_else(|| agreed_owner(data.iter(), self.total));
        let owned = claims.iter().find(|claim| Some(claim.provider) == owner);
        let chosen = match prior.confirmed_owner {
            Some(_) => owned?,
            None => owned.or_else(|| claims.first())?,
        };
        let class = self.input.classes.get(&chosen.class)?;
        self.input
            .params
            .classes
            .contains(&chosen.class)
            .then_some((*chosen, class))
    }

    /// `None` when too little of the committee has data about the node.
    fn judge(
        &self,
        registration: &Registration,
        class: &HardwareClass,
        prior: &NodeState,
        data: &[NodeData<'_>],
    ) -> Option<Judgement> {
        let slots = self.input.params.slots();
        let usable = |item: &&NodeData<'_>| {
            item.data.class == registration.class && item.data.cells.0.len() == slots as usize
        };
        let data: Vec<_> = data.iter().filter(usable).collect();
        let weight = data
            .iter()
            .fold(0u128, |sum, item| sum.saturating_add(item.weight));
        if !more_than_two_thirds(weight, self.total) {
            return None;
        }
        let census = self.census(registration.node, slots, &data);
        let (attested, tier) =
            verdict::attestation(&attest_votes(&data), self.total, class.attestation.tier_min);
        let (chased, chase) = verdict::chase(&chase_votes(&data), self.total, &class.sla);
        let owner = agreed_owner(data.iter().copied(), self.total);
        let finding = attested
            .worst(verdict::availability(&census, &class.sla))
            .worst(chased)
            .worst(owner_finding(prior, owner));
        let (reward, slash) = money(finding.verdict, &class.money);
        let (finding, provider) = (Some(finding), Some(registration.provider));
        Some(Judgement {
            finding,
            tier,
            census,
            chase,
            owner,
            provider,
            reward,
            slash,
        })
    }

    fn census(&self, node: NodeId, slots: u32, data: &[&NodeData<'_>]) -> Census {
        let cells: BTreeMap<HyperNodeId, &[u8]> = data
            .iter()
            .map(|item| (item.hypernode, item.data.cells.0.as_slice()))
            .collect();
        let mut census = Census::default();
        for slot in 0..slots {
            let of = PanelOf {
                network: self.network,
                beacon: self.input.beacon,
                epoch: self.input.epoch,
                node,
                slot: Slot(slot),
            };
            let seats: Vec<_> = self
                .urn
                .panel(&of, self.input.params.panel_min as usize)
                .into_iter()
                .map(|member| SlotSeat {
                    operator: member.operator,
                    cell: cell(cells.get(&member.hypernode), slot),
                })
                .collect();
            census.add(slot_state(&seats));
        }
        census
    }

    fn leaf(
        &self,
        node: NodeId,
        claims: Option<&BTreeSet<Registration>>,
        judgement: &Judgement,
        state: &NodeState,
    ) -> NodeLeaf {
        let finding = judgement
            .finding
            .unwrap_or(Finding::of(Verdict::Inconclusive, reason::DATA));
        let bounds = judgement.census.bounds().unwrap_or(UNKNOWN);
        let registered = || {
            claims
                .and_then(|claims| claims.first())
                .map(|claim| claim.provider)
        };
        let owner = state
            .confirmed_owner
            .or(judgement.provider)
            .or_else(registered);
        NodeLeaf {
            epoch: self.input.epoch,
            node,
            owner: owner.unwrap_or(Address([0; 20])),
            confirmed: state.confirmed_owner.is_some(),
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
            cumulative_reward: state.cumulative_reward,
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

/// Reward and slash a verdict leads to, in wei.
pub fn money(verdict: Verdict, money: &Money) -> (u128, u128) {
    let reward = u128::from(money.reward_gwei_per_epoch).saturating_mul(WEI_PER_GWEI);
    let collateral = u128::from(money.collateral_gwei_min).saturating_mul(WEI_PER_GWEI);
    let slash = mul_div(collateral, money.slash_bps.0.into(), BPS_ONE.into());
    match verdict {
        Verdict::Pass => (reward, 0),
        Verdict::Breach => (0, slash),
        Verdict::Warned | Verdict::Inconclusive => (0, 0),
    }
}

/// A node's state after a root. Money moves only for an owner that an **earlier** root confirmed.
fn settle(
    prior: &NodeState,
    claims: Option<&BTreeSet<Registration>>,
    judgement: &Judgement,
) -> NodeState {
    let registered = |owner: &Address| {
        claims
            .into_iter()
            .flatten()
            .any(|claim| claim.provider == *owner)
    };
    let Some(_) = prior.confirmed_owner else {
        let confirmed_owner = judgement.owner.filter(registered);
        return NodeState {
            confirmed_owner,
            ..*prior
        };
    };
    NodeState {
        confirmed_owner: prior.confirmed_owner,
        cumulative_reward: prior.cumulative_reward.saturating_add(judgement.reward),
        cumulative_slash: prior.cumulative_slash.saturating_add(judgement.slash),
    }
}

fn check_supported(params: &NetworkParams) -> Result<(), EpochError> {
    let unsupported = |name, supported, actual| {
        Err(EpochError::Unsupported {
            name,
            supported,
            actual,
        })
    };
    if params.persistence != (1, 1) {
        let (m, n) = params.persistence;
        return unsupported("persistence", "1 of 1", format!("{m} of {n}"));
    }
    if params.systemic_min_providers != 0 {
        let actual = params.systemic_min_providers.to_string();
        return unsupported("systemic_min_providers", "0", actual);
    }
    if params.reaudit_seats != 0 {
        return unsupported("reaudit_seats", "0", params.reaudit_seats.to_string());
    }
    Ok(())
}

fn reporters<'a>(
    input: &EpochInput<'a>,
    network: NetworkId,
) -> Result<Vec<Reporter<'a>>, EpochError> {
    let weights: BTreeMap<_, _> = input
        .committee
        .iter()
        .map(|seat| (seat.hypernode, seat.weight))
        .collect();
    let mut reporters = Vec::new();
    for (id, included) in input.reports {
        let weight = *weights.get(id).ok_or(EpochError::Stranger(*id))?;
        let report = &included.report;
        let here = report.network == network && report.epoch == input.epoch;
        let ordered = report.nodes.is_sorted_by(|a, b| a.node < b.node);
        if here && ordered && report.hypernode == *id {
            reporters.push(Reporter {
                hypernode: *id,
                weight,
                nodes: &report.nodes,
            });
        }
    }
    Ok(reporters)
}

/// The owner named by more than two thirds of the committee's weight.
fn agreed_owner<'a, 'b: 'a>(
    data: impl IntoIterator<Item = &'a NodeData<'b>>,
    total: u128,
) -> Option<Address> {
    let mut weights: BTreeMap<Address, u128> = BTreeMap::new();
    for item in data {
        if let Some(owner) = item.data.attest.owner {
            let sum = weights.entry(owner).or_default();
            *sum = sum.saturating_add(item.weight);
        }
    }
    weights
        .into_iter()
        .find(|(_, sum)| more_than_two_thirds(*sum, total))
        .map(|(owner, _)| owner)
}

fn owner_finding(prior: &NodeState, owner: Option<Address>) -> Finding {
    match (prior.confirmed_owner, owner) {
        (Some(confirmed), Some(named)) if confirmed != named => {
            Finding::of(Verdict::Warned, reason::OWNER)
        }
        _ => Finding::PASS,
    }
}

fn attest_votes(data: &[&NodeData<'_>]) -> Vec<AttestVote> {
    data.iter()
        .map(|item| Vote {
            weight: item.weight,
            value: (item.data.attest.class, item.data.attest.tier),
        })
        .collect()
}

fn chase_votes(data: &[&NodeData<'_>]) -> Vec<ChaseVote> {
    data.iter()
        .map(|item| {
            let chase = &item.data.chase;
            Vote {
                weight: item.weight,
                value: (chase.class, chase.reads_per_s, chase.kind),
            }
        })
        .collect()
}

/// What a panel member says of a slot; an absent report or unknown code says nothing.
fn cell(cells: Option<&&[u8]>, slot: u32) -> Cell {
    let at = usize::try_from(slot).ok();
    let code = cells.zip(at).and_then(|(cells, at)| cells.get(at).copied());
    code.and_then(Cell::from_code).unwrap_or(Cell::None)
}

#[cfg(test)]
mod tests;
