//! The transparency log of one HyperNode, without IO: an append-only RFC 9162 SHA-256 tree,
//! its proofs, its leaves, C2SP signed checkpoints, and the audit bundle's container.
//!
//! No file system, network, clock, randomness or logging: keys and bytes are arguments.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod base64;
pub mod bundle;
pub mod checkpoint;
pub mod leaf;
pub mod tar;
pub mod tree;

pub use assay_protocol::layout;
pub use assay_protocol::merkle::{self, MerkleError, leaf_hash, node_hash, verify_inclusion};
pub use checkpoint::{
    Checkpoint, CheckpointError, VerifiedCheckpoint, sign_checkpoint, verify_checkpoint,
};
pub use leaf::{Leaf, LeafError, NodeLeaf, SlotLeaf, entries_root, salted_digest};
pub use tree::{Tree, verify_consistency};
