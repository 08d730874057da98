//! `summary.json`: what the demo found, for programs.

use super::Bundle;
use crate::net::LocalNetwork;
use anyhow::{Context as _, Result};
use assay_protocol::ids::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// The last epoch, which paid and slashed.
const PAYING: u64 = 1;

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// Epochs as the ledger resolved them.
    pub epochs: Vec<Value>,
    /// The nodes in the paying epoch.
    pub nodes: Vec<NodeSummary>,
    /// The ledger.
    pub ledger: LedgerSummary,
    /// Audit bundles, relative to the repository's root.
    pub bundles: Vec<String>,
}

/// One node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeSummary {
    /// Its id.
    pub id: NodeId,
    /// Its label in the demo.
    pub label: String,
    /// Attestation tier.
    pub tier: u64,
    /// `pass`, `warned`, `breach` or `inconclusive`.
    pub verdict: String,
    /// Why, when not `pass`.
    pub reasons: Vec<String>,
    /// Availability in parts per million.
    pub availability_ppm: u64,
    /// Lower 95 % bound.
    pub lower_ppm: u64,
    /// Share of slots with a decision.
    pub coverage_ppm: u64,
    /// Random reads a second, median over HyperNodes.
    pub chase_rate: u64,
    /// `iops` or `liveness`.
    pub chase_kind: String,
    /// What its provider has earned, in gwei.
    pub reward: u64,
    /// Slashed, in escrow or for good, in gwei.
    pub slashed: u64,
}

/// The ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LedgerSummary {
    /// EVM chain id.
    pub chain_id: u64,
    /// Contract address.
    pub contract: String,
    /// Block height.
    pub height: u64,
}

/// Reads ledger and verdicts.
pub fn collect(network: &LocalNetwork, bundles: &[Bundle], root: &Path) -> Result<Summary> {
    let status = network.status()?;
    let (verdicts, rewards) = (network.verdicts()?, network.rewards()?);
    let nodes = bundles
        .iter()
        .map(|bundle| node(bundle, &verdicts, &rewards, &status))
        .collect::<Result<_>>()?;
    let relative = |bundle: &Bundle| {
        let tar = bundle
            .tar
            .canonicalize()
            .unwrap_or_else(|_| bundle.tar.clone());
        tar.strip_prefix(root).unwrap_or(&tar).display().to_string()
    };
    Ok(Summary {
        epochs: status["epochs"].as_array().cloned().unwrap_or_default(),
        nodes,
        ledger: LedgerSummary {
            chain_id: number(&status, "chain_id")?,
            contract: status["contract"].as_str().unwrap_or_default().to_owned(),
            height: number(&status, "height")?,
        },
        bundles: bundles.iter().map(relative).collect(),
    })
}

fn node(
    bundle: &Bundle,
    verdicts: &[Value],
    rewards: &[Value],
    status: &Value,
) -> Result<NodeSummary> {
    let id = bundle.node.to_string();
    let verdict = verdicts
        .iter()
        .find(|verdict| verdict["node"] == id.as_str() && verdict["epoch"] == PAYING)
        .with_context(|| format!("no verdict about {id} in epoch {PAYING}"))?;
    let settled = status["nodes"].as_array().into_iter().flatten();
    let settled = settled
        .into_iter()
        .find(|node| node["node"] == id.as_str())
        .with_context(|| format!("the ledger does not know {id}"))?;
    // Each provider of the demo has one node.
    let owner = &verdict["owner"];
    let earned = rewards.iter().find(|row| row["provider"] == *owner);
    let reward = earned.map_or(Ok(0), |row| number(row, "earned_gwei"))?;
    let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    let reasons = verdict["reasons"].as_array().into_iter().flatten();
    Ok(NodeSummary {
        id: bundle.node,
        label: bundle.label.clone(),
        tier: number(verdict, "tier")?,
        verdict: text("verdict"),
        reasons: reasons
            .filter_map(|reason| reason.as_str().map(str::to_owned))
            .collect(),
        availability_ppm: number(verdict, "availability_ppm")?,
        lower_ppm: number(verdict, "lower_ppm")?,
        coverage_ppm: number(verdict, "coverage_ppm")?,
        chase_rate: number(verdict, "chase_rate")?,
        chase_kind: text("chase_kind"),
        reward,
        slashed: number(settled, "escrow_gwei")? + number(settled, "slashed_gwei")?,
    })
}

fn number(value: &Value, key: &str) -> Result<u64> {
    let found = &value[key];
    let text = found.as_str().and_then(|text| text.parse().ok());
    found
        .as_u64()
        .or(text)
        .with_context(|| format!("{key}: expected a number, got {found}"))
}
