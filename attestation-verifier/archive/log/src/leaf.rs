//! What a leaf of the log says. Two kinds: everything one slot recorded, and everything said about one node.
//!
//! Encoding (big-endian, no padding): `"assay/log/1"` ‖ type u8 ‖ fields in the order of the struct.
//! The log hashes it as `leaf_hash(encoding)`; entries inside a leaf are salted, so that a public
//! checkpoint gives nothing to copy and a cleaned entry cannot be guessed from its digest.

use assay_protocol::hash;
use assay_protocol::ids::{Digest, Epoch, NodeId, Slot};
use assay_protocol::merkle;

const LABEL: &[u8; 11] = b"assay/log/1";
const TYPE_SLOT: u8 = 1;
const TYPE_NODE: u8 = 2;

/// Length of a slot leaf's encoding, in bytes.
pub const SLOT_LEAF_LEN: usize = 60;
/// Length of a node leaf's encoding, in bytes.
pub const NODE_LEAF_LEN: usize = 88;

/// Length of count and root, with which every encoding ends.
const RECORDED_LEN: usize = 36;

/// Why bytes are not a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// The bytes do not start with the label.
    #[error("log leaf: expected it to start with \"assay/log/1\"")]
    Label,
    /// The type tag is not known.
    #[error("log leaf type: expected 1 (slot) or 2 (node), got {0}")]
    Type(u8),
    /// The bytes are too short or too long for their type.
    #[error("log leaf of type {kind}: expected {expected} bytes, got {actual}")]
    Length {
        /// Type tag.
        kind: u8,
        /// Length this type has.
        expected: usize,
        /// Length given.
        actual: usize,
    },
}

/// One leaf of a HyperNode's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Everything recorded in one slot.
    Slot(SlotLeaf),
    /// Everything recorded about one node in one epoch.
    Node(NodeLeaf),
}

/// Everything recorded in one slot: outcomes, excuses, region-key hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLeaf {
    /// Epoch of the slot.
    pub epoch: Epoch,
    /// Slot within the epoch.
    pub slot: Slot,
    /// Number of entries; 0 with the empty root when nothing was recorded.
    pub count: u32,
    /// [`entries_root`] over the salted digests of the entries, in the order they were recorded.
    pub root: Digest,
}

/// Everything recorded about one node in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLeaf {
    /// Epoch of the outcomes.
    pub epoch: Epoch,
    /// The node.
    pub node: NodeId,
    /// Number of outcomes.
    pub count: u32,
    /// [`entries_root`] over the salted digests of the node's outcomes, in the order they were recorded.
    pub root: Digest,
}

/// SHA-256(salt ‖ bytes): how an entry appears in a leaf. The salt has a fixed length, so no two pairs coincide.
pub fn salted_digest(salt: &[u8; 32], bytes: &[u8]) -> Digest {
    hash::digest(&[salt, bytes])
}

/// RFC 9162 root over salted digests: leaf i is `leaf_hash(digest i)`.
pub fn entries_root(digests: &[Digest]) -> Digest {
    merkle::root(&entry_hashes(digests))
}

/// The leaf hashes under [`entries_root`], to prove one entry with [`merkle::inclusion_proof`].
pub fn entry_hashes(digests: &[Digest]) -> Vec<Digest> {
    digests
        .iter()
        .map(|digest| merkle::leaf_hash(&digest.0))
        .collect()
}

impl Leaf {
    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = LABEL.to_vec();
        match self {
            Self::Slot(leaf) => {
                out.push(TYPE_SLOT);
                out.extend(leaf.epoch.0.to_be_bytes());
                out.extend(leaf.slot.0.to_be_bytes());
                out.extend(leaf.count.to_be_bytes());
                out.extend(leaf.root.0);
            }
            Self::Node(leaf) => {
                out.push(TYPE_NODE);
                out.extend(leaf.epoch.0.to_be_bytes());
                out.extend(leaf.node.0);
                out.extend(leaf.count.to_be_bytes());
                out.extend(leaf.root.0);
            }
        }
        out
    }

    /// Reads an encoding; anything [`Leaf::encode`] would not have written is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let rest = bytes.strip_prefix(LABEL).ok_or(LeafError::Label)?;
        let (kind, fields) = rest.split_first().ok_or(LeafError::Label)?;
        let wrong_length = |expected| LeafError::Length {
            kind: *kind,
            expected,
            actual: bytes.len(),
        };
        match *kind {
            TYPE_SLOT => slot_fields(fields).ok_or(wrong_length(SLOT_LEAF_LEN)),
            TYPE_NODE => node_fields(fields).ok_or(wrong_length(NODE_LEAF_LEN)),
            other => Err(LeafError::Type(other)),
        }
    }

    /// What the leaf is about: its encoding up to what was recorded. A log has one leaf of each.
    pub fn subject(&self) -> Vec<u8> {
        let mut subject = self.encode();
        subject.truncate(subject.len().saturating_sub(RECORDED_LEN));
        subject
    }

    /// The leaf hash in the log.
    pub fn hash(&self) -> Digest {
        merkle::leaf_hash(&self.encode())
    }

    /// Epoch the leaf belongs to.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Slot(leaf) => leaf.epoch,
            Self::Node(leaf) => leaf.epoch,
        }
    }
}

fn slot_fields(fields: &[u8]) -> Option<Leaf> {
    let (epoch, fields) = fields.split_first_chunk()?;
    let (slot, fields) = fields.split_first_chunk()?;
    let (count, fields) = fields.split_first_chunk()?;
    Some(Leaf::Slot(SlotLeaf {
        epoch: Epoch(u64::from_be_bytes(*epoch)),
        slot: Slot(u32::from_be_bytes(*slot)),
        count: u32::from_be_bytes(*count),
        root: Digest(fields.try_into().ok()?),
    }))
}

fn node_fields(fields: &[u8]) -> Option<Leaf> {
    let (epoch, fields) = fields.split_first_chunk()?;
    let (node, fields) = fields.split_first_chunk()?;
    let (count, fields) = fields.split_first_chunk()?;
    Some(Leaf::Node(NodeLeaf {
        epoch: Epoch(u64::from_be_bytes(*epoch)),
        node: NodeId(*node),
        count: u32::from_be_bytes(*count),
        root: Digest(fields.try_into().ok()?),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot() -> Leaf {
        Leaf::Slot(SlotLeaf {
            epoch: Epoch(3),
            slot: Slot(7),
            count: 2,
            root: Digest([9; 32]),
        })
    }

    fn node() -> Leaf {
        let node = NodeId([4; 32]);
        Leaf::Node(NodeLeaf {
            epoch: Epoch(3),
            node,
            count: 2,
            root: Digest([9; 32]),
        })
    }

    #[test]
    fn encodings_are_fixed_and_round_trip() {
        let expected = format!(
            "{}01{}{}{}{}",
            hex::encode(b"assay/log/1"),
            "0000000000000003",
            "00000007",
            "00000002",
            "09".repeat(32)
        );
        assert_eq!(hex::encode(slot().encode()), expected);
        assert_eq!(slot().encode().len(), SLOT_LEAF_LEN);
        assert_eq!(node().encode().len(), NODE_LEAF_LEN);
        for leaf in [slot(), node()] {
            assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf));
        }
    }

    #[test]
    fn every_malformed_encoding_is_named() {
        assert_eq!(Leaf::decode(b"assay/log/2"), Err(LeafError::Label));
        assert_eq!(Leaf::decode(b"assay/log/1"), Err(LeafError::Label));
        let mut unknown = slot().encode();
        unknown[11] = 3;
        assert_eq!(Leaf::decode(&unknown), Err(LeafError::Type(3)));
        for leaf in [slot(), node()] {
            let bytes = leaf.encode();
            for cut in 12..bytes.len() {
                assert!(matches!(
                    Leaf::decode(&bytes[..cut]),
                    Err(LeafError::Length { .. })
                ));
            }
            let mut long = bytes.clone();
            long.push(0);
            assert!(matches!(Leaf::decode(&long), Err(LeafError::Length { .. })));
        }
    }

    #[test]
    fn salt_hides_equal_entries_and_root_binds_order() {
        let (a, b) = (
            salted_digest(&[1; 32], b"same"),
            salted_digest(&[2; 32], b"same"),
        );
        assert_ne!(a, b);
        assert_ne!(entries_root(&[a, b]), entries_root(&[b, a]));
        // One entry is hashed once more: the root of a leaf is never the bare salted digest.
        assert_ne!(entries_root(&[a]), a);
    }

    proptest! {
        #[test]
        fn decoding_never_accepts_two_spellings(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut input = b"assay/log/1".to_vec();
            input.extend(bytes);
            if let Ok(leaf) = Leaf::decode(&input) {
                prop_assert_eq!(leaf.encode(), input);
            }
        }
    }
}
