//! The contract's records in the project's own types.

use assay_protocol::ids::{
    Address, Bps, Digest, Epoch, HyperNodeId, Keccak, NodeId, Seed, Stake, UnixMs,
};

/// Network parameters fixed by the contract's constructor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenesisParameters {
    /// Start of epoch 0.
    pub genesis_unix_ms: UnixMs,
    /// Length of an epoch in milliseconds.
    pub epoch_ms: u64,
    /// Milliseconds after an epoch's end from which anyone may void it.
    pub void_after_ms: u64,
    /// Epochs (as time) between the posting of a root and the release of its rewards.
    pub dispute_window_epochs: u64,
    /// Largest share of the total stake that one operator's weight may have.
    pub operator_cap_bps: Bps,
}

/// What a HyperNode registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHyperNode {
    /// Its Ed25519 key.
    pub ed25519: HyperNodeId,
    /// Its operator; HyperNodes of one operator share its cap.
    pub operator: Digest,
    /// End of its seed hash chain.
    pub seed_end: Seed,
    /// Where it is reached; at most 256 bytes.
    pub endpoint: String,
    /// Stake sent along.
    pub stake: Stake,
}

/// A HyperNode of the genesis roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HyperNodeRecord {
    /// Its ledger key's account.
    pub address: Address,
    /// Its Ed25519 key.
    pub ed25519: HyperNodeId,
    /// Its operator.
    pub operator: Digest,
    /// End of its seed hash chain.
    pub seed_end: Seed,
    /// Where it is reached.
    pub endpoint: String,
    /// What it staked.
    pub stake: Stake,
    /// Its capped stake in the genesis committee; 0 before genesis is open.
    pub weight: Stake,
}

/// What a provider registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    /// The node.
    pub node: NodeId,
    /// Digest of its hardware class.
    pub class_digest: Digest,
    /// Region, 32 free bytes.
    pub region: [u8; 32],
    /// Where its agent is reached; at most 256 bytes.
    pub endpoint: String,
    /// Collateral sent along.
    pub collateral: Stake,
}

/// State of a (node, provider) registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeStatus {
    /// Cancelled, or never registered.
    None,
    /// Registered, not confirmed: earns nothing, reserves nothing.
    Provisional,
    /// Confirmed and in good standing.
    Active,
    /// Confirmed, with a warning.
    Warned,
    /// Confirmed, after repeated breaches.
    Suspended,
    /// Collateral used up; final.
    Removed,
}

/// A registration with its node's settlement state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// The node.
    pub node: NodeId,
    /// Who registered it.
    pub provider: Address,
    /// Digest of its hardware class.
    pub class_digest: Digest,
    /// Region, 32 free bytes.
    pub region: [u8; 32],
    /// Where its agent is reached.
    pub endpoint: String,
    /// Block time of the registration, in whole seconds.
    pub registered_at: UnixMs,
    /// Block time of the cancellation, in whole seconds, if there was one.
    pub cancelled_at: Option<UnixMs>,
    /// The collateral at registration; never changes.
    pub pledged: Stake,
    /// What a slash can still take.
    pub collateral: Stake,
    /// What was slashed.
    pub escrow: Stake,
    /// State of this registration.
    pub status: NodeStatus,
    /// The node's confirmed provider, if there is one (it may be another than `provider`).
    pub confirmed_owner: Option<Address>,
    /// Last epoch settled for the node.
    pub settled_epoch: Option<Epoch>,
    /// Reward settled since genesis.
    pub cumulative_reward: Stake,
    /// Slash settled since genesis (asked for; `escrow` is what was taken).
    pub cumulative_slash: Stake,
    /// Reward settled while the pool was empty.
    pub arrears: Stake,
}

/// How an epoch was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Not yet.
    Open,
    /// By a root.
    Posted,
    /// Without one.
    Void,
}

/// What the contract keeps of an epoch; all zero while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRecord {
    /// How it was resolved.
    pub resolution: Resolution,
    /// Agreement round that produced the root.
    pub round: u32,
    /// Leaves under the root.
    pub leaf_count: u32,
    /// Block time of the resolution.
    pub resolved_at: UnixMs,
    /// Root of the outcome tree.
    pub root: Keccak,
    /// Digest of the agreed input set.
    pub input_set: Digest,
    /// Root of the evidence tree.
    pub evidence_root: Digest,
    /// Digest of the policy.
    pub policy: Digest,
    /// Hash of the committee that signed.
    pub committee: Keccak,
}

/// A provider's rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewards {
    /// What a claim pays now.
    pub claimable: Stake,
    /// What waits for its dispute window.
    pub waiting: Stake,
}
