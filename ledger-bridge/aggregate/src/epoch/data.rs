//! What the agreed reports say of one node.

use super::{EpochError, EpochInput};
use crate::draw::Urn;
use crate::more_than_two_thirds;
use crate::verdict::{AttestVote, ChaseVote, Vote};
use assay_protocol::ids::{Address, HyperNodeId, NetworkId, NodeId};
use assay_protocol::report::NodeReport;
use std::collections::BTreeMap;

/// An included report that is well-formed, and its author's place among the candidates and weight.
#[derive(Debug)]
pub(super) struct Reporter<'a> {
    hypernode: HyperNodeId,
    ball: Option<usize>,
    weight: u128,
    pub(super) nodes: &'a [NodeReport],
}

/// One node's data of one HyperNode.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeData<'a> {
    pub(super) hypernode: HyperNodeId,
    /// Index among the urn's candidates.
    pub(super) ball: Option<usize>,
    pub(super) weight: u128,
    pub(super) data: &'a NodeReport,
}

impl<'a> Reporter<'a> {
    /// The node's entry. `at` is where the last one was looked for, and nodes are asked for in ascending order.
    pub(super) fn find(&self, node: NodeId, at: &mut usize) -> Option<NodeData<'a>> {
        let before = |entry: &NodeReport| entry.node < node;
        let rest = self.nodes.get(*at..)?;
        let skip = match rest {
            [first, second, ..] if before(first) && !before(second) => 1,
            [first, ..] if !before(first) => 0,
            _ => rest.partition_point(before),
        };
        *at = at.saturating_add(skip);
        let data = self.nodes.get(*at).filter(|entry| entry.node == node)?;
        Some(NodeData {
            hypernode: self.hypernode,
            ball: self.ball,
            weight: self.weight,
            data,
        })
    }
}

/// The reports that are well-formed. A stranger's is an error: nobody may agree on one.
pub(super) fn reporters<'a>(
    input: &EpochInput<'a>,
    network: NetworkId,
    urn: &Urn,
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
            let candidates = urn.candidates();
            reporters.push(Reporter {
                hypernode: *id,
                ball: candidates.binary_search_by_key(id, |c| c.hypernode).ok(),
                weight,
                nodes: &report.nodes,
            });
        }
    }
    Ok(reporters)
}

/// The owner named by more than two thirds of the committee's votes.
pub(super) fn agreed_owner(data: &[NodeData<'_>], total: u128) -> Option<Address> {
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

pub(super) fn attest_votes(data: &[NodeData<'_>]) -> Vec<AttestVote> {
    data.iter()
        .map(|item| Vote {
            weight: item.weight,
            value: {
                let attest = &item.data.attest;
                (attest.class, attest.tier, attest.chips)
            },
        })
        .collect()
}

pub(super) fn chase_votes(data: &[NodeData<'_>]) -> Vec<ChaseVote> {
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
