//! The append-only tree: roots, inclusion and consistency proofs at any size (RFC 9162 section 2.1).

use assay_protocol::ids::Digest;
use assay_protocol::merkle::{MerkleError, empty_root, expect_root, node_hash};

/// An append-only tree of leaf hashes that keeps every complete subtree,
/// so that a root or proof at any earlier size costs O(log n).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// `levels[k][i]` covers the leaves from `i·2ᵏ` to `(i+1)·2ᵏ − 1`.
    levels: Vec<Vec<Digest>>,
}

/// A run of leaves `start..end`.
#[derive(Clone, Copy)]
struct Range {
    start: u64,
    end: u64,
}

impl Tree {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree over these leaf hashes, in order.
    pub fn from_leaves(leaves: impl IntoIterator<Item = Digest>) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.append(leaf);
        }
        tree
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The leaf hash at `index`.
    pub fn leaf(&self, index: u64) -> Option<Digest> {
        self.levels
            .first()?
            .get(usize::try_from(index).ok()?)
            .copied()
    }

    /// Appends a leaf hash and returns its index.
    pub fn append(&mut self, leaf: Digest) -> u64 {
        let index = self.size();
        let mut carried = Some(leaf);
        let mut level = 0usize;
        while let Some(hash) = carried {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            carried = self.levels.get_mut(level).and_then(|row| {
                row.push(hash);
                complete_pair(row)
            });
            level = level.saturating_add(1);
        }
        index
    }

    /// The root over all leaves.
    pub fn root(&self) -> Digest {
        self.hash(Range {
            start: 0,
            end: self.size(),
        })
        .unwrap_or_else(empty_root)
    }

    /// The root over the first `size` leaves.
    pub fn root_at(&self, size: u64) -> Result<Digest, MerkleError> {
        let whole = self.prefix(size)?;
        Ok(self.hash(whole).unwrap_or_else(empty_root))
    }

    /// Proof that leaf `index` is in the tree of the first `size` leaves (section 2.1.3.1).
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Digest>, MerkleError> {
        let beyond = MerkleError::IndexOutOfRange { index, size };
        let mut range = self.prefix(size)?;
        if index >= size {
            return Err(beyond);
        }
        let mut proof = Vec::new();
        while let Some((left, right)) = range.halves() {
            let (inner, sibling) = if index < left.end {
                (left, right)
            } else {
                (right, left)
            };
            proof.push(self.hash(sibling).ok_or(beyond.clone())?);
            range = inner;
        }
        proof.reverse();
        Ok(proof)
    }

    /// Proof that the first `old` leaves are a prefix of the first `new` leaves (section 2.1.4.1).
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Digest>, MerkleError> {
        let beyond = MerkleError::Sizes { old, new };
        let mut range = self.prefix(new)?;
        if old == 0 || old > new {
            return Err(beyond);
        }
        let mut proof = Vec::new();
        while range.end != old {
            let (left, right) = range.halves().ok_or(beyond.clone())?;
            let (inner, sibling) = if old <= left.end {
                (left, right)
            } else {
                (right, left)
            };
            proof.push(self.hash(sibling).ok_or(beyond.clone())?);
            range = inner;
        }
        if range.start != 0 {
            proof.push(self.hash(range).ok_or(beyond)?);
        }
        proof.reverse();
        Ok(proof)
    }

    fn prefix(&self, size: u64) -> Result<Range, MerkleError> {
        if size > self.size() {
            return Err(MerkleError::IndexOutOfRange {
                index: size,
                size: self.size(),
            });
        }
        Ok(Range {
            start: 0,
            end: size,
        })
    }

    /// `None` only for the empty range.
    fn hash(&self, range: Range) -> Option<Digest> {
        let count = range.end.checked_sub(range.start)?;
        if count.is_power_of_two() {
            let at = range.start.checked_div(count)?;
            let row = self.levels.get(count.trailing_zeros() as usize)?;
            return row.get(usize::try_from(at).ok()?).copied();
        }
        let (left, right) = range.halves()?;
        Some(node_hash(&self.hash(left)?, &self.hash(right)?))
    }
}

impl Range {
    /// Splits at the largest power of two smaller than the length; `None` below two leaves.
    /// Left halves are therefore always complete and aligned.
    fn halves(self) -> Option<(Self, Self)> {
        let count = self
            .end
            .checked_sub(self.start)
            .filter(|count| *count >= 2)?;
        let middle = self
            .start
            .checked_add(count.div_ceil(2).next_power_of_two())?;
        Some((
            Self {
                start: self.start,
                end: middle,
            },
            Self {
                start: middle,
                end: self.end,
            },
        ))
    }
}

fn complete_pair(row: &[Digest]) -> Option<Digest> {
    match row {
        [.., left, right] if row.len().is_multiple_of(2) => Some(node_hash(left, right)),
        _ => None,
    }
}

/// Checks that the tree (`old`, `old_root`) is a prefix of (`new`, `new_root`) (RFC 9162 section 2.1.4.2).
///
/// An empty older tree is refused: it is a prefix of everything, so a proof from it says nothing.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Digest],
    old_root: &Digest,
    new_root: &Digest,
) -> Result<(), MerkleError> {
    let wrong_length = MerkleError::ProofLength {
        actual: proof.len(),
        index: old,
        size: new,
    };
    if old == 0 || old > new {
        return Err(MerkleError::Sizes { old, new });
    }
    if old == new {
        expect_root(old_root, *new_root)?;
        return if proof.is_empty() {
            Ok(())
        } else {
            Err(wrong_length)
        };
    }
    let (from_old, from_new) =
        roots_from_consistency(old, new, proof, old_root).ok_or(wrong_length)?;
    expect_root(old_root, from_old)?;
    expect_root(new_root, from_new)
}

/// The two roots that a proof between 0 < old < new leads to; `None` when its length does not fit.
fn roots_from_consistency(
    old: u64,
    new: u64,
    proof: &[Digest],
    old_root: &Digest,
) -> Option<(Digest, Digest)> {
    let (first, rest) = match proof.split_first() {
        // A complete old tree is itself the first node and is not sent.
        Some(_) if old.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (first, rest),
        None => return None,
    };
    let shift = old.trailing_zeros();
    let mut position = old.checked_sub(1)?.checked_shr(shift)?;
    let mut last = new.checked_sub(1)?.checked_shr(shift)?;
    let (mut from_old, mut from_new) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return None;
        }
        if position % 2 == 1 || position == last {
            from_old = node_hash(hash, &from_old);
            from_new = node_hash(hash, &from_new);
            while position.is_multiple_of(2) && position != 0 {
                position /= 2;
                last /= 2;
            }
        } else {
            from_new = node_hash(&from_new, hash);
        }
        position /= 2;
        last /= 2;
    }
    (last == 0).then_some((from_old, from_new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::merkle::{self, leaf_hash, verify_inclusion};
    use proptest::prelude::*;

    fn leaves(n: u64) -> Vec<Digest> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_size_up_to_70_agrees_with_the_plain_definition() {
        let all = leaves(70);
        let tree = Tree::from_leaves(all.clone());
        for size in 0..=70u64 {
            let prefix = &all[..size as usize];
            let root = tree.root_at(size).unwrap();
            assert_eq!(root, merkle::root(prefix));
            for index in 0..size {
                let proof = tree.inclusion_proof(index, size).unwrap();
                assert_eq!(proof, merkle::inclusion_proof(prefix, index).unwrap());
                verify_inclusion(&all[index as usize], index, size, &proof, &root).unwrap();
            }
            for old in 1..=size {
                let proof = tree.consistency_proof(old, size).unwrap();
                let old_root = tree.root_at(old).unwrap();
                verify_consistency(old, size, &proof, &old_root, &root).unwrap();
            }
        }
    }

    #[test]
    fn sizes_beyond_the_tree_are_refused() {
        let tree = Tree::from_leaves(leaves(5));
        assert!(tree.root_at(6).is_err());
        assert!(tree.inclusion_proof(0, 6).is_err());
        assert!(tree.inclusion_proof(5, 5).is_err());
        assert!(tree.consistency_proof(3, 6).is_err());
        assert!(tree.consistency_proof(4, 3).is_err());
        assert!(tree.consistency_proof(0, 3).is_err());
        assert_eq!(tree.leaf(5), None);
    }

    #[test]
    fn empty_or_larger_older_trees_prove_nothing() {
        let root = Tree::from_leaves(leaves(5)).root();
        let refused = Err(MerkleError::Sizes { old: 0, new: 5 });
        assert_eq!(verify_consistency(0, 5, &[], &empty_root(), &root), refused);
        assert!(verify_consistency(6, 5, &[], &root, &root).is_err());
        assert!(verify_consistency(5, 5, &[root], &root, &root).is_err());
        assert!(verify_consistency(5, 5, &[], &empty_root(), &root).is_err());
    }

    proptest! {
        #[test]
        fn a_rewritten_past_is_never_consistent(new in 2u64..80, pick: u64, changed: u64) {
            let old = 1 + pick % (new - 1);
            let honest = Tree::from_leaves(leaves(new));
            let mut forged = leaves(new);
            forged[(changed % old) as usize] = leaf_hash(b"forged");
            let forged = Tree::from_leaves(forged);
            let proof = forged.consistency_proof(old, new).unwrap();
            let old_root = honest.root_at(old).unwrap();
            prop_assert!(verify_consistency(old, new, &proof, &old_root, &forged.root()).is_err());
        }

        #[test]
        fn a_changed_proof_is_refused(new in 2u64..80, pick: u64, at: usize, bit in 0usize..256) {
            let old = 1 + pick % (new - 1);
            let tree = Tree::from_leaves(leaves(new));
            let (old_root, new_root) = (tree.root_at(old).unwrap(), tree.root());
            let good = tree.consistency_proof(old, new).unwrap();
            let mut bad = good.clone();
            let at = at % bad.len();
            bad[at].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_consistency(old, new, &bad, &old_root, &new_root).is_err());
            let mut long = good.clone();
            long.push(old_root);
            prop_assert!(verify_consistency(old, new, &long, &old_root, &new_root).is_err());
            prop_assert!(verify_consistency(old, new, &good[1..], &old_root, &new_root).is_err());
        }
    }
}
