//! RFC 9162 SHA-256 Merkle trees (section 2.1): hashing, roots and inclusion proofs.
//!
//! `leaf = SHA-256(0x00 ‖ data)`, `node = SHA-256(0x01 ‖ left ‖ right)`, the empty tree is SHA-256 of nothing.
//! A list of n > 1 leaves splits at the largest power of two smaller than n.

use crate::hash;
use crate::ids::Digest;

/// Longest possible inclusion proof: one hash per bit of a 64-bit tree size.
pub const PROOF_LEN_MAX: usize = 64;

/// Why a Merkle proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The leaf index is not inside the tree.
    #[error("leaf index: expected below the tree size {size}, got {index}")]
    IndexOutOfRange {
        /// Index asked for.
        index: u64,
        /// Number of leaves.
        size: u64,
    },
    /// Consistency is only defined between a non-empty tree and one at least as large.
    #[error("consistency: expected 1 <= older size <= newer size, got {old} and {new}")]
    Sizes {
        /// Older size.
        old: u64,
        /// Newer size.
        new: u64,
    },
    /// The proof has too many or too few hashes for this index and size.
    #[error("proof length: {actual} hashes do not fit leaf {index} of {size}")]
    ProofLength {
        /// Hashes given.
        actual: usize,
        /// Leaf index (or the older size of a consistency proof).
        index: u64,
        /// Number of leaves.
        size: u64,
    },
    /// The proof leads to another root.
    #[error("Merkle root: expected {expected}, the proof leads to {actual}")]
    RootMismatch {
        /// Root the caller trusts.
        expected: Digest,
        /// Root the proof leads to.
        actual: Digest,
    },
}

/// Hash of a leaf: SHA-256(0x00 ‖ data).
pub fn leaf_hash(data: &[u8]) -> Digest {
    hash::digest(&[&[0], data])
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    hash::digest(&[&[1], &left.0, &right.0])
}

/// Root of the empty tree: SHA-256 of the empty string.
pub fn empty_root() -> Digest {
    hash::digest(&[])
}

/// Root over leaf **hashes** (see [`leaf_hash`]), in order.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [only] => *only,
        _ => {
            let (left, right) = halves(leaves);
            node_hash(&root(left), &root(right))
        }
    }
}

/// Inclusion proof of leaf `index` among leaf hashes, from the leaf's sibling up (RFC 9162 section 2.1.3.1).
pub fn inclusion_proof(leaves: &[Digest], index: u64) -> Result<Vec<Digest>, MerkleError> {
    let size = leaves.len() as u64;
    if index >= size {
        return Err(MerkleError::IndexOutOfRange { index, size });
    }
    let mut proof = Vec::new();
    path(leaves, index as usize, &mut proof);
    Ok(proof)
}

/// Checks that `leaf` (a leaf hash) is leaf `index` of the tree of `size` leaves with `root` (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), MerkleError> {
    let actual = root_from_inclusion(leaf, index, size, proof)?;
    expect_root(root, actual)
}

/// Compares a recomputed root with the trusted one.
pub fn expect_root(expected: &Digest, actual: Digest) -> Result<(), MerkleError> {
    if *expected == actual {
        return Ok(());
    }
    Err(MerkleError::RootMismatch {
        expected: *expected,
        actual,
    })
}

fn root_from_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
) -> Result<Digest, MerkleError> {
    let wrong_length = MerkleError::ProofLength {
        actual: proof.len(),
        index,
        size,
    };
    let Some(mut last) = size.checked_sub(1).filter(|last| index <= *last) else {
        return Err(MerkleError::IndexOutOfRange { index, size });
    };
    let mut position = index;
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length);
        }
        if position % 2 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            while position.is_multiple_of(2) && position != 0 {
                position /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position /= 2;
        last /= 2;
    }
    if last == 0 {
        Ok(hash)
    } else {
        Err(wrong_length)
    }
}

/// Splits n ≥ 2 items at the largest power of two smaller than n.
fn halves<T>(items: &[T]) -> (&[T], &[T]) {
    items
        .split_at_checked(split(items.len()))
        .unwrap_or((items, &[]))
}

/// The largest power of two smaller than `n` (n ≥ 2).
fn split(n: usize) -> usize {
    n.div_ceil(2).next_power_of_two()
}

fn path(leaves: &[Digest], index: usize, proof: &mut Vec<Digest>) {
    if leaves.len() < 2 {
        return;
    }
    let (left, right) = halves(leaves);
    match index.checked_sub(left.len()) {
        None => {
            path(left, index, proof);
            proof.push(root(right));
        }
        Some(index) => {
            path(right, index, proof);
            proof.push(root(left));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(n: u64) -> Vec<Digest> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn empty_and_single_roots() {
        assert_eq!(
            root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let only = leaf_hash(b"");
        assert_eq!(
            only.to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(root(&[only]), only);
    }

    #[test]
    fn known_root_of_three_splits_after_two() {
        let l = leaves(3);
        assert_eq!(root(&l), node_hash(&node_hash(&l[0], &l[1]), &l[2]));
    }

    #[test]
    fn index_outside_the_tree_is_refused() {
        let l = leaves(3);
        let refused = MerkleError::IndexOutOfRange { index: 3, size: 3 };
        assert_eq!(inclusion_proof(&l, 3), Err(refused.clone()));
        assert_eq!(verify_inclusion(&l[0], 3, 3, &[], &root(&l)), Err(refused));
        assert!(verify_inclusion(&l[0], 0, 0, &[], &root(&[])).is_err());
    }

    #[test]
    fn leaf_and_node_hashes_are_apart() {
        let l = leaves(2);
        let joined = [l[0].0, l[1].0].concat();
        assert_ne!(leaf_hash(&joined), node_hash(&l[0], &l[1]));
    }

    proptest! {
        #[test]
        fn every_proof_verifies_and_every_change_is_refused(n in 1u64..70, pick: u64, bit in 0usize..256) {
            let l = leaves(n);
            let index = pick % n;
            let top = root(&l);
            let leaf = l[index as usize];
            let proof = inclusion_proof(&l, index).unwrap();
            prop_assert_eq!(verify_inclusion(&leaf, index, n, &proof, &top), Ok(()));

            let mut other = leaf;
            other.0[bit / 8] ^= 1 << (bit % 8);
            let mismatch = matches!(
                verify_inclusion(&other, index, n, &proof, &top),
                Err(MerkleError::RootMismatch { .. })
            );
            prop_assert!(mismatch);
            for at in 0..proof.len() {
                let mut bad = proof.clone();
                bad[at].0[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(verify_inclusion(&leaf, index, n, &bad, &top).is_err());
            }
            let mut long = proof.clone();
            long.push(leaf);
            prop_assert!(verify_inclusion(&leaf, index, n, &long, &top).is_err());
            if !proof.is_empty() {
                prop_assert!(verify_inclusion(&leaf, index, n, &proof[1..], &top).is_err());
            }
            if n > 1 {
                prop_assert!(verify_inclusion(&leaf, (index + 1) % n, n, &proof, &top).is_err());
            }
        }
    }
}
