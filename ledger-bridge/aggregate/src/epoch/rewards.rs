//! What an epoch's passes earn their providers, out of a budget that was fixed before the epoch began.
//!
//! ```text
//! A = Σ asked over all nodes      B = min(A, budget, 2¹²⁸ − 1 − Σ earned so far)
//! reward(node) = ⌊asked · B / A⌋   all of it, or the same share for everybody: nobody is served first
//! earned(provider) += Σ reward of its nodes
//! ```
//!
//! So all rewards together never grow by more than the budget, which the ledger would refuse, and never wrap. What the
//! budget does not cover is owed to nobody later.

use super::EpochError;
use crate::weights::mul_div;
use assay_protocol::ids::Address;
use std::collections::BTreeMap;

/// What the nodes of an epoch ask for, in wei.
#[derive(Default)]
pub(super) struct Asked {
    nodes: Vec<(Address, u128)>,
    /// It cannot wrap: a tree has less than 2³² nodes, and each asks for less than 2⁹⁴.
    sum: u128,
}

/// Sum of what all providers have earned.
pub(super) fn total(earned: &BTreeMap<Address, u128>) -> Result<u128, EpochError> {
    let add = |sum: u128, own: &u128| sum.checked_add(*own);
    let sum = earned.values().try_fold(0, add);
    sum.ok_or(EpochError::RewardsTooLarge)
}

impl Asked {
    /// A node of this owner asks.
    pub(super) fn add(&mut self, owner: Address, wei: u128) {
        self.nodes.push((owner, wei));
        self.sum = self.sum.saturating_add(wei);
    }

    /// What every provider has earned after this epoch; who never got anything is not in it.
    pub(super) fn paid(
        &self,
        mut earned: BTreeMap<Address, u128>,
        budget: u128,
    ) -> Result<BTreeMap<Address, u128>, EpochError> {
        let room = u128::MAX.saturating_sub(total(&earned)?);
        let given = self.sum.min(budget).min(room);
        for (owner, wei) in &self.nodes {
            let reward = mul_div(*wei, given, self.sum);
            if reward > 0 {
                let sum = earned.entry(*owner).or_default();
                *sum = sum.saturating_add(reward);
            }
        }
        Ok(earned)
    }
}
