//! One HyperNode's epoch, and the objects that travel over the board until a root is signed (ARCHITECTURE section 9).

use crate::cbor::{CborError, Field, Value};
use crate::hash;
use crate::ids::{
    Address, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, RegionKey, Seed, UnixMs,
};
use crate::item::{Blob, Item};
use crate::limits::{
    NODE_REPORT_BYTES_MAX, REPORT_BYTES_MAX, REVEAL_ROOM_BYTES, SMALL_OBJECT_BYTES_MAX,
};
use crate::outcome::OutcomeClass;
use crate::{cbor_map, signed_payload};
use serde::{Deserialize, Serialize};

/// What one HyperNode says of one node in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cell {
    /// Not on the panel of this slot.
    None = 0,
    /// A signed answer to a nonce of this slot is held.
    Answered = 1,
    /// No answer after all attempts, with a good control probe in this slot.
    Unanswered = 2,
    /// No answer, and no good control probe either; or this HyperNode was down.
    Inconclusive = 3,
    /// Excluded by rule.
    Excluded = 4,
}

impl Cell {
    /// The cell with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [
            Self::None,
            Self::Answered,
            Self::Unanswered,
            Self::Inconclusive,
            Self::Excluded,
        ]
        .into_iter()
        .find(|cell| *cell as u8 == code)
    }
}

/// How far a chase counts (ARCHITECTURE section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum ChaseKind {
    /// The page cache can hold too much of the live regions: only that the node reads its disk at all.
    Liveness = 0,
    /// Reads of the device, inflated by at most 1/(1 − c) with c ≤ 1/4.
    Iops = 1,
}

impl Item for ChaseKind {
    fn to_value(&self) -> Value<'_> {
        Value::Uint(*self as u64)
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        match field.uint::<u8>()? {
            0 => Ok(Self::Liveness),
            1 => Ok(Self::Iops),
            other => Err(CborError::Schema {
                what: "chase kind".into(),
                expected: "0 or 1".into(),
                actual: other.to_string(),
            }),
        }
    }
}

cbor_map! {
    /// What a HyperNode found about a node's attestation over the epoch (its last conclusive one).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AttestSummary {
        /// How it ended.
        1 => class: OutcomeClass,
        /// Tier reached; 0 unless `pass`.
        2 => tier: u8,
        /// Provider account proven by the measured configuration, when the evidence was authentic.
        3 => owner: Option<Address>,
        /// Digest over the processors' ids, see [`crate::evidence::chips_digest`], when one of them was proven.
        4 => chips: Option<Digest>,
    }
}

cbor_map! {
    /// What a HyperNode found in its chases of the epoch.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ChaseSummary {
        /// `fail` as soon as one chase failed, `pass` when at least one passed and none failed.
        1 => class: OutcomeClass,
        /// Lower median of the reads a second over passed chases; 0 without one.
        2 => reads_per_s: u64,
        /// How far it counts.
        3 => kind: ChaseKind,
    }
}

cbor_map! {
    /// The key of a region, revealed when its period ends.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct RegionReveal {
        /// Region number.
        1 => region: u32,
        /// Generation.
        2 => generation: u64,
        /// The AES-256 key.
        3 => key: RegionKey,
    }
}

cbor_map! {
    /// One node in a report.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct NodeReport {
        /// The node.
        1 => node: NodeId,
        /// Digest of its hardware class.
        2 => class: Digest,
        /// One [`Cell`] code per slot of the epoch.
        3 => cells: Blob,
        /// Attestation.
        4 => attest: AttestSummary,
        /// Chases.
        5 => chase: ChaseSummary,
        /// Merkle root (RFC 9162) over the signed outcomes about this node, in the order logged.
        6 => outcome_root: Digest,
        /// How many outcomes.
        7 => outcomes: u32,
        /// Keys of regions whose period ends with this epoch.
        8 => reveals: Vec<RegionReveal>,
    }
}

cbor_map! {
    /// One HyperNode's epoch.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Report {
        /// The network.
        1 => network: NetworkId,
        /// The epoch.
        2 => epoch: Epoch,
        /// Who reports.
        3 => hypernode: HyperNodeId,
        /// This epoch's link of its seed chain.
        4 => seed: Seed,
        /// Size of its transparency log when the epoch was closed.
        5 => log_size: u64,
        /// Root of its log at that size.
        6 => log_root: Digest,
        /// Per node, ascending by id.
        7 => nodes: Vec<NodeReport>,
        /// When the epoch was closed, its clock.
        8 => at: UnixMs,
    }
}
signed_payload!(
    Report,
    "application/vnd.assay.report+cbor",
    REPORT_BYTES_MAX,
    |p| p.hypernode,
    p.at
);

/// The commitment to a signed report: SHA-256(`"assay/commit/1"` ‖ network ‖ epoch ‖ salt ‖ signed report).
pub fn commitment(
    network: &NetworkId,
    epoch: Epoch,
    salt: &[u8; 32],
    signed_report: &[u8],
) -> Digest {
    hash::digest(&[
        b"assay/commit/1",
        &network.0,
        &epoch.0.to_be_bytes(),
        salt,
        signed_report,
    ])
}

cbor_map! {
    /// A HyperNode binds itself to a report nobody else can read yet.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Commit {
        /// The network.
        1 => network: NetworkId,
        /// The epoch.
        2 => epoch: Epoch,
        /// Who commits.
        3 => hypernode: HyperNodeId,
        /// See [`commitment`].
        4 => commitment: Digest,
        /// Its clock.
        5 => at: UnixMs,
    }
}
signed_payload!(
    Commit,
    "application/vnd.assay.commit+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.hypernode,
    p.at
);

cbor_map! {
    /// The report behind a commit.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Reveal {
        /// The network.
        1 => network: NetworkId,
        /// The epoch.
        2 => epoch: Epoch,
        /// Who reveals.
        3 => hypernode: HyperNodeId,
        /// The salt of the commit.
        4 => salt: [u8; 32],
        /// The signed report, byte for byte.
        5 => report: Blob,
        /// Its clock.
        6 => at: UnixMs,
    }
}
signed_payload!(
    Reveal,
    "application/vnd.assay.reveal+cbor",
    REPORT_BYTES_MAX + REVEAL_ROOM_BYTES,
    |p| p.hypernode,
    p.at
);

/// Most bytes of a node's entry in a report about an epoch of so many slots: one cell for each, and
/// [`REGION_REVEALS_MAX`](crate::limits::REGION_REVEALS_MAX) keys.
pub fn node_report_bytes_max(slots: u32) -> usize {
    NODE_REPORT_BYTES_MAX.saturating_add(slots as usize)
}

/// Most bytes of a signed [`Reveal`] whose report has so many nodes.
pub fn reveal_bytes_max(nodes: usize, slots: u32) -> usize {
    let entries = nodes.saturating_mul(node_report_bytes_max(slots));
    entries.saturating_add(REVEAL_ROOM_BYTES)
}

cbor_map! {
    /// The input set a proposer puts to the vote.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Proposal {
        /// The network.
        1 => network: NetworkId,
        /// The epoch.
        2 => epoch: Epoch,
        /// The round, 0 here.
        3 => round: u32,
        /// Who proposes.
        4 => hypernode: HyperNodeId,
        /// (HyperNode, commitment), ascending.
        5 => entries: Vec<(HyperNodeId, Digest)>,
        /// Its clock.
        6 => at: UnixMs,
    }
}
signed_payload!(
    Proposal,
    "application/vnd.assay.proposal+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.hypernode,
    p.at
);

/// H(L): SHA-256(`"assay/inputs/1"` ‖ network ‖ epoch ‖ entries ascending by HyperNode).
pub fn input_set(network: &NetworkId, epoch: Epoch, entries: &[(HyperNodeId, Digest)]) -> Digest {
    let mut sorted = entries.to_vec();
    sorted.sort();
    let epoch = epoch.0.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![b"assay/inputs/1", &network.0, &epoch];
    for (id, commitment) in &sorted {
        parts.push(&id.0);
        parts.push(&commitment.0);
    }
    hash::digest(&parts)
}

cbor_map! {
    /// A vote for an input set; one per HyperNode, epoch and round, ever.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Vote {
        /// The network.
        1 => network: NetworkId,
        /// The epoch.
        2 => epoch: Epoch,
        /// The round.
        3 => round: u32,
        /// Who votes.
        4 => hypernode: HyperNodeId,
        /// H(L), see [`input_set`].
        5 => input_set: Digest,
        /// Its clock.
        6 => at: UnixMs,
    }
}
signed_payload!(
    Vote,
    "application/vnd.assay.vote+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.hypernode,
    p.at
);

cbor_map! {
    /// A signature for the ledger under the root of an epoch.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct RootSignature {
        /// The network.
        1 => network: NetworkId,
        /// The epoch.
        2 => epoch: Epoch,
        /// The round.
        3 => round: u32,
        /// Who signs.
        4 => hypernode: HyperNodeId,
        /// EIP-712 digest of the epoch's root.
        5 => digest: Keccak,
        /// secp256k1 signature over the digest: r ‖ s ‖ v.
        6 => signature: [u8; 65],
        /// Its clock.
        7 => at: UnixMs,
    }
}
signed_payload!(
    RootSignature,
    "application/vnd.assay.root-signature+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.hypernode,
    p.at
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cose::seal;
    use crate::cose::tests::TestKey;
    use crate::limits::{EPOCH_SLOTS_MAX, REGION_REVEALS_MAX};

    /// Every number at its widest, nothing left out.
    fn largest_entry(slots: u32) -> NodeReport {
        let class = || {
            OutcomeClass::ALL
                .into_iter()
                .max_by_key(|c| c.encode().len())
        };
        let kind = [ChaseKind::Liveness, ChaseKind::Iops];
        let reveal = RegionReveal {
            region: u32::MAX,
            generation: u64::MAX,
            key: RegionKey([0xff; 32]),
        };
        NodeReport {
            node: NodeId([0xff; 32]),
            class: Digest([0xff; 32]),
            cells: Blob(vec![Cell::Excluded as u8; slots as usize]),
            attest: AttestSummary {
                class: class().unwrap(),
                tier: u8::MAX,
                owner: Some(Address([0xff; 20])),
                chips: Some(Digest([0xff; 32])),
            },
            chase: ChaseSummary {
                class: class().unwrap(),
                reads_per_s: u64::MAX,
                kind: kind.into_iter().max_by_key(|k| k.encode().len()).unwrap(),
            },
            outcome_root: Digest([0xff; 32]),
            outcomes: u32::MAX,
            reveals: vec![reveal; REGION_REVEALS_MAX],
        }
    }

    fn largest_reveal(nodes: usize, slots: u32) -> usize {
        let key = TestKey::new(1);
        let (network, epoch) = (NetworkId([0xff; 32]), Epoch(u64::MAX));
        let (hypernode, at) = (HyperNodeId([0xff; 32]), UnixMs(u64::MAX));
        let report = Report {
            network,
            epoch,
            hypernode,
            seed: Seed([0xff; 32]),
            log_size: u64::MAX,
            log_root: Digest([0xff; 32]),
            nodes: vec![largest_entry(slots); nodes],
            at,
        };
        let reveal = Reveal {
            network,
            epoch,
            hypernode,
            salt: [0xff; 32],
            report: Blob(seal(report, &key).bytes().to_vec()),
            at,
        };
        seal(reveal, &key).bytes().len()
    }

    /// With room left for what a later version adds, and not for another one.
    #[test]
    fn the_largest_entry_of_a_node_fits_what_is_reckoned_for_one() {
        for slots in [1, 24, 60, 256, EPOCH_SLOTS_MAX] {
            let taken = largest_entry(slots).encode().len();
            let max = node_report_bytes_max(slots);
            let range = max - NODE_REPORT_BYTES_MAX / 2..=max;
            assert!(
                range.contains(&taken),
                "{taken} bytes with {slots} slots: expected {range:?}"
            );
        }
    }

    #[test]
    fn the_largest_reveal_of_so_many_nodes_fits_what_is_reckoned_for_it() {
        for slots in [1, 60, EPOCH_SLOTS_MAX] {
            for nodes in [0, 1, 23, 24, 256] {
                let (taken, max) = (largest_reveal(nodes, slots), reveal_bytes_max(nodes, slots));
                assert!(
                    taken <= max,
                    "{taken} bytes of {nodes} nodes and {slots} slots: expected at most {max}"
                );
            }
        }
    }
}
