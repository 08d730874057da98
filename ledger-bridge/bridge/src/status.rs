//! What the ledger says, for people and programs.

use anyhow::Result;
use assay_ledger::{AssayLedger, HyperNodeRecord, NodeRecord, NodeStatus, Resolution};
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, UnixMs};
use serde::Serialize;
use std::fmt;

use crate::WEI_PER_GWEI;

/// The ledger at one moment. Amounts in gwei, rounded down.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Chain id.
    pub chain_id: u64,
    /// The contract.
    pub contract: Address,
    /// Newest block.
    pub height: u64,
    /// Network id; none before genesis is open.
    pub network: Option<NetworkId>,
    /// First epoch not resolved.
    pub next_epoch: Epoch,
    /// What the reward pool holds.
    pub reward_pool_gwei: u64,
    /// Resolved epochs.
    pub epochs: Vec<EpochStatus>,
    /// The roster.
    pub hypernodes: Vec<HyperNodeStatus>,
    /// Registrations.
    pub nodes: Vec<RegistrationStatus>,
}

/// A resolved epoch.
#[derive(Debug, Clone, Serialize)]
pub struct EpochStatus {
    /// The epoch.
    pub epoch: Epoch,
    /// `posted` or `void`.
    pub resolution: &'static str,
    /// Round of the agreement.
    pub round: u32,
    /// Leaves under the root.
    pub leaf_count: u32,
    /// Outcome root.
    pub root: Keccak,
    /// H(L).
    pub input_set: Digest,
    /// Evidence root.
    pub evidence_root: Digest,
    /// Block time of the resolution.
    pub resolved_at_ms: UnixMs,
}

/// A HyperNode.
#[derive(Debug, Clone, Serialize)]
pub struct HyperNodeStatus {
    /// Ledger account.
    pub address: Address,
    /// Ed25519 key.
    pub ed25519: HyperNodeId,
    /// Operator.
    pub operator: Digest,
    /// Where it is reached.
    pub endpoint: String,
    /// Stake.
    pub stake_gwei: u64,
    /// Capped stake, wei as text.
    pub weight: String,
}

/// A registration of a node.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "as in assay_ledger::NodeRecord")]
pub struct RegistrationStatus {
    pub node: NodeId,
    pub provider: Address,
    pub class: Digest,
    pub endpoint: String,
    pub status: &'static str,
    pub confirmed_owner: Option<Address>,
    pub settled_epoch: Option<Epoch>,
    pub registered_at: UnixMs,
    pub cancelled_at: Option<UnixMs>,
    pub pledged_gwei: u64,
    pub collateral_gwei: u64,
    pub escrow_gwei: u64,
    pub reward_gwei: u64,
    pub slash_gwei: u64,
    pub arrears_gwei: u64,
}

/// Wei as whole gwei.
pub fn to_gwei(wei: u128) -> u64 {
    u64::try_from(wei / WEI_PER_GWEI).unwrap_or(u64::MAX)
}

/// Reads everything.
pub fn read(ledger: &AssayLedger) -> Result<Status> {
    let next_epoch = ledger.next_epoch()?;
    let epochs = (0..next_epoch.0)
        .map(|e| epoch(ledger, Epoch(e)))
        .collect::<Result<_>>()?;
    Ok(Status {
        chain_id: ledger.chain_id()?,
        contract: ledger.contract(),
        height: ledger.chain().height()?,
        network: ledger.network_id()?,
        next_epoch,
        reward_pool_gwei: to_gwei(ledger.reward_pool()?.0),
        epochs,
        hypernodes: ledger.hypernodes()?.into_iter().map(hypernode).collect(),
        nodes: ledger.nodes()?.into_iter().map(registration).collect(),
    })
}

fn epoch(ledger: &AssayLedger, epoch: Epoch) -> Result<EpochStatus> {
    let record = ledger.epoch_record(epoch)?;
    Ok(EpochStatus {
        epoch,
        resolution: match record.resolution {
            Resolution::Posted => "posted",
            Resolution::Void => "void",
            Resolution::Open => "open",
        },
        round: record.round,
        leaf_count: record.leaf_count,
        root: record.root,
        input_set: record.input_set,
        evidence_root: record.evidence_root,
        resolved_at_ms: record.resolved_at,
    })
}

fn hypernode(h: HyperNodeRecord) -> HyperNodeStatus {
    HyperNodeStatus {
        address: h.address,
        ed25519: h.ed25519,
        operator: h.operator,
        endpoint: h.endpoint,
        stake_gwei: to_gwei(h.stake.0),
        weight: h.weight.to_string(),
    }
}

fn registration(n: NodeRecord) -> RegistrationStatus {
    RegistrationStatus {
        node: n.node,
        provider: n.provider,
        class: n.class_digest,
        endpoint: n.endpoint,
        status: match n.status {
            NodeStatus::None => "cancelled",
            NodeStatus::Provisional => "provisional",
            NodeStatus::Active => "active",
            NodeStatus::Warned => "warned",
            NodeStatus::Suspended => "suspended",
            NodeStatus::Removed => "removed",
        },
        confirmed_owner: n.confirmed_owner,
        settled_epoch: n.settled_epoch,
        registered_at: n.registered_at,
        cancelled_at: n.cancelled_at,
        pledged_gwei: to_gwei(n.pledged.0),
        collateral_gwei: to_gwei(n.collateral.0),
        escrow_gwei: to_gwei(n.escrow.0),
        reward_gwei: to_gwei(n.cumulative_reward.0),
        slash_gwei: to_gwei(n.cumulative_slash.0),
        arrears_gwei: to_gwei(n.arrears.0),
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self
            .network
            .map_or("genesis not open".into(), |id| id.to_string());
        writeln!(f, "network     {network}")?;
        writeln!(
            f,
            "contract    {} on chain {}, block {}",
            self.contract, self.chain_id, self.height
        )?;
        writeln!(f, "next epoch  {}", self.next_epoch)?;
        writeln!(f, "reward pool {} gwei", self.reward_pool_gwei)?;
        for e in &self.epochs {
            writeln!(
                f,
                "epoch {:>6}  {}  {} nodes  root {}",
                e.epoch, e.resolution, e.leaf_count, e.root
            )?;
        }
        for h in &self.hypernodes {
            writeln!(
                f,
                "hypernode {}  stake {} gwei  {}",
                h.ed25519, h.stake_gwei, h.endpoint
            )?;
        }
        for n in &self.nodes {
            writeln!(
                f,
                "node {}  {}  collateral {}  escrow {}  reward {} gwei",
                n.node, n.status, n.collateral_gwei, n.escrow_gwei, n.reward_gwei
            )?;
        }
        Ok(())
    }
}
