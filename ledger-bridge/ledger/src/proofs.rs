//! What proves a fault, as the contract takes it (`IAssayFaults`).

use alloy_primitives::{B256, Bytes};
use assay_protocol::answers::FillReceipt;
use assay_protocol::ids::{Digest, NodeId, RegionKey, SessionKey, UnixMs};
use assay_protocol::outcome::Outcome;

use crate::abi::faults;

/// A leaf of a Merkle tree: of a log under one of its heads, or of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedLeaf {
    /// Hash of the leaf.
    pub hash: Digest,
    /// Its siblings from the leaf up.
    pub path: Vec<Digest>,
}

/// A leaf of a log with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedRecord {
    /// Its encoding.
    pub data: Vec<u8>,
    /// Its index.
    pub index: u64,
    /// Its siblings from the leaf up.
    pub path: Vec<Digest>,
}

/// A receipt for a region that node and HyperNode signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    /// What the node received.
    pub receipt: FillReceipt,
    /// The node's key.
    pub session_key: SessionKey,
    /// Its signature, a part of what the HyperNode signed.
    pub node_signature: [u8; 64],
    /// The HyperNode's clock.
    pub at: UnixMs,
    /// Its signature.
    pub signature: [u8; 64],
}

/// A block of a region that its key does not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongBlock {
    /// The revealed key.
    pub key: RegionKey,
    /// Which block.
    pub index: u32,
    /// The block that the node received.
    pub leaf: IncludedLeaf,
}

/// What a HyperNode signed about one challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOutcome {
    /// What it says.
    pub outcome: Outcome,
    /// The HyperNode's signature.
    pub signature: [u8; 64],
}

/// A node's answer of any kind whose signature is not that of the key it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedAnswer {
    /// The key.
    pub session_key: SessionKey,
    /// The node it names.
    pub node: NodeId,
    /// The time it names; its header has no more than the second.
    pub at: UnixMs,
    /// What would be signed.
    pub payload: Vec<u8>,
    /// What stands for the signature.
    pub signature: Vec<u8>,
}

impl IncludedLeaf {
    pub(crate) fn path_words(&self) -> Vec<B256> {
        words(&self.path)
    }
}

fn words(path: &[Digest]) -> Vec<B256> {
    path.iter().map(|hash| hash.0.into()).collect()
}

/// Two leaves about one subject.
pub(crate) fn records([a, b]: [&IncludedRecord; 2]) -> faults::IAssayFaults::RecordConflict {
    faults::IAssayFaults::RecordConflict {
        leafA: Bytes::copy_from_slice(&a.data),
        indexA: a.index,
        pathA: words(&a.path),
        leafB: Bytes::copy_from_slice(&b.data),
        indexB: b.index,
        pathB: words(&b.path),
    }
}

/// Two leaves at one index.
pub(crate) fn conflict(
    index: u64,
    [a, b]: [&IncludedLeaf; 2],
) -> faults::IAssayFaults::LeafConflict {
    faults::IAssayFaults::LeafConflict {
        index,
        leafA: a.hash.0.into(),
        pathA: a.path_words(),
        leafB: b.hash.0.into(),
        pathB: b.path_words(),
    }
}

impl From<&Outcome> for faults::AssayFaults::Outcome {
    fn from(o: &Outcome) -> Self {
        let metrics = o.metrics.iter().map(|(id, value)| {
            let (id, value) = (*id, *value);
            faults::AssayFaults::Metric { id, value }
        });
        let evidence = o.evidence.iter().map(|e| faults::AssayFaults::EvidenceRef {
            saltedDigest: e.salted_digest.0.into(),
            size: e.size,
            mediaType: e.media_type.clone(),
        });
        Self {
            networkId: o.network.0.into(),
            kind: o.kind as u8,
            node: o.node.0.into(),
            hyperNode: o.hypernode.0.into(),
            epoch: o.place.0.0,
            slot: o.place.1.0,
            startedUnixMs: o.window.0.0,
            endedUnixMs: o.window.1.0,
            result: o.class as u8,
            metrics: metrics.collect(),
            evidence: evidence.collect(),
            policy: o.policy.0.into(),
            r: o.r.into(),
            detail: o.detail.clone(),
        }
    }
}

impl From<&UnsignedAnswer> for faults::AssayFaults::Answer {
    fn from(a: &UnsignedAnswer) -> Self {
        Self {
            sessionKey: a.session_key.0.into(),
            node: a.node.0.into(),
            atUnixMs: a.at.0,
            payload: Bytes::copy_from_slice(&a.payload),
            signature: Bytes::copy_from_slice(&a.signature),
        }
    }
}

impl From<&SignedReceipt> for faults::AssayFaults::Countersigned {
    fn from(s: &SignedReceipt) -> Self {
        let r = &s.receipt;
        Self {
            receipt: faults::AssayFaults::FillReceipt {
                networkId: r.network.0.into(),
                node: r.node.0.into(),
                hyperNode: r.hypernode.0.into(),
                region: r.region,
                generation: r.generation,
                keyHash: r.key_hash.0.into(),
                blocks: r.blocks,
                root: r.root.0.into(),
                sequence: r.link.sequence,
                previous: r.link.previous.0.into(),
                atUnixMs: r.at.0,
            },
            sessionKey: s.session_key.0.into(),
            nodeSignature: Bytes::copy_from_slice(&s.node_signature),
            atUnixMs: s.at.0,
        }
    }
}
