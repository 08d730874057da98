//! What lies where in an audit bundle, and the records that are not signed objects of their own.
//!
//! ```text
//! claim.cbor                                      Claim
//! network/params.cbor                             NetworkParams
//! policy/<class digest>.cbor                      HardwareClass (canonical encoding)
//! epochs/<e>/root.cbor                            SignedRoot
//! epochs/<e>/leaf.cbor                            ProvenLeaf of the node
//! epochs/<e>/inputs.cbor                          Inputs: the agreed set L with the salts of the commits
//! epochs/<e>/reports/<hypernode>.cose             signed Report, one per entry of L
//! hypernodes/<hypernode>/<e>/proofs.cbor          Proofs
//! hypernodes/<hypernode>/<e>/checkpoint.txt       signed checkpoint of the log at the report's size
//! hypernodes/<hypernode>/<e>/outcomes/<n>.cose    signed Outcome number n about the node, n from 0, five digits
//! evidence/<sha256>                               raw evidence, by the SHA-256 of its bytes
//! ```
//! Epoch numbers are decimal, identifiers lower-case hexadecimal.

use crate::cbor_map;
use crate::ids::{Address, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Slot};
use crate::item::Blob;
use crate::params::RosterEntry;

cbor_map! {
    /// What the bundle is about.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Claim {
        /// Schema version, 1.
        1 => schema: u8,
        /// The network.
        2 => network: NetworkId,
        /// The node.
        3 => node: NodeId,
        /// First epoch.
        4 => first: Epoch,
        /// Last epoch, included.
        5 => last: Epoch,
        /// Epochs between them that ended void: no verdict, nothing paid, nothing taken.
        6 => void: Vec<Epoch>,
    }
}

cbor_map! {
    /// The root of an epoch with the signatures of its committee.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SignedRoot {
        /// The epoch.
        1 => epoch: Epoch,
        /// The round it was agreed in.
        2 => round: u32,
        /// H(L).
        3 => input_set: Digest,
        /// The committee: account and weight, ascending by account.
        4 => committee: Vec<(Address, u128)>,
        /// Root of the outcome tree.
        5 => root: Keccak,
        /// Leaves of the outcome tree.
        6 => leaf_count: u32,
        /// Root over the log heads of the reports.
        7 => evidence_root: Digest,
        /// Digest of what was judged by: the classes in force and `roster`.
        8 => policy_digest: Digest,
        /// Rewards of all providers since genesis, in the token's smallest unit.
        9 => cumulative_reward: u128,
        /// Hash of the next committee.
        10 => next_committee: Keccak,
        /// For each member its signature r ‖ s ‖ v, empty when absent.
        11 => signatures: Vec<Blob>,
        /// Whose stake counts in the epoch, uncapped; ascending by HyperNode.
        12 => roster: Vec<RosterEntry>,
    }
}

cbor_map! {
    /// The node's leaf in the outcome tree.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ProvenLeaf {
        /// ABI encoding of the leaf.
        1 => abi: Blob,
        /// Sibling hashes from the leaf to the root.
        2 => proof: Vec<Keccak>,
    }
}

cbor_map! {
    /// The agreed input set: (HyperNode, commitment, salt), ascending.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Inputs {
        /// The entries.
        1 => entries: Vec<(HyperNodeId, Digest, [u8; 32])>,
    }
}

cbor_map! {
    /// Where a HyperNode's outcomes about the node lie in its log.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Proofs {
        /// The encoded node leaf.
        1 => node_leaf: Blob,
        /// Its index in the log.
        2 => index: u64,
        /// Inclusion proof to the report's log root.
        3 => path: Vec<Digest>,
        /// The slot leaves that the outcomes lie in, ascending by slot.
        4 => slots: Vec<SlotProof>,
        /// For each outcome, in order, its place in its slot leaf.
        5 => places: Vec<OutcomePlace>,
    }
}

cbor_map! {
    /// A slot leaf in the log.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SlotProof {
        /// The encoded slot leaf.
        1 => leaf: Blob,
        /// Its index in the log.
        2 => index: u64,
        /// Inclusion proof to the report's log root.
        3 => path: Vec<Digest>,
    }
}

cbor_map! {
    /// An outcome in its slot leaf.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct OutcomePlace {
        /// The slot leaf it lies in (the slot in which it was recorded).
        1 => slot: Slot,
        /// Salt of its digest.
        2 => salt: [u8; 32],
        /// Position among the slot's entries.
        3 => position: u64,
        /// Inclusion proof to the slot leaf's root.
        4 => path: Vec<Digest>,
    }
}

/// Path of the claim.
pub const CLAIM: &str = "claim.cbor";
/// Path of the network parameters.
pub const PARAMS: &str = "network/params.cbor";

/// Path of a class.
pub fn class(digest: &Digest) -> String {
    format!("policy/{digest}.cbor")
}

/// Path of an epoch's signed root.
pub fn root(epoch: Epoch) -> String {
    format!("epochs/{epoch}/root.cbor")
}

/// Path of the node's leaf.
pub fn leaf(epoch: Epoch) -> String {
    format!("epochs/{epoch}/leaf.cbor")
}

/// Path of the agreed input set.
pub fn inputs(epoch: Epoch) -> String {
    format!("epochs/{epoch}/inputs.cbor")
}

/// Path of a HyperNode's report.
pub fn report(epoch: Epoch, hypernode: &HyperNodeId) -> String {
    format!("epochs/{epoch}/reports/{hypernode}.cose")
}

/// Path of a HyperNode's proofs.
pub fn proofs(epoch: Epoch, hypernode: &HyperNodeId) -> String {
    format!("hypernodes/{hypernode}/{epoch}/proofs.cbor")
}

/// Path of a HyperNode's checkpoint.
pub fn checkpoint(epoch: Epoch, hypernode: &HyperNodeId) -> String {
    format!("hypernodes/{hypernode}/{epoch}/checkpoint.txt")
}

/// Path of an outcome.
pub fn outcome(epoch: Epoch, hypernode: &HyperNodeId, number: u32) -> String {
    format!("hypernodes/{hypernode}/{epoch}/outcomes/{number:05}.cose")
}

/// Path of raw evidence.
pub fn evidence(sha256: &Digest) -> String {
    format!("evidence/{sha256}")
}
