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

/// What every provider has earned after an epoch, in the token's smallest unit; who never got anything is not in it. `earned` is the same
/// before it, `asked` has owner and amount of every node that is to be paid, in any order.
pub fn share_out(
    mut earned: BTreeMap<Address, u128>,
    asked: &[(Address, u128)],
    budget: u128,
) -> Result<BTreeMap<Address, u128>, EpochError> {
    let whole = sum(asked.iter().map(|(_, wei)| wei))?;
    let room = u128::MAX.saturating_sub(sum(earned.values())?);
    let given = whole.min(budget).min(room);
    for (owner, wei) in asked {
        let reward = mul_div(*wei, given, whole);
        if reward > 0 {
            let so_far = earned.entry(*owner).or_default();
            *so_far = so_far.saturating_add(reward);
        }
    }
    Ok(earned)
}

/// Refused where it does not fit: no outcome of an epoch has such sums, and a tree's nodes, fewer than 2³² of less than
/// 2⁹⁴ each, cannot ask for as much.
pub(super) fn sum<'a>(wei: impl Iterator<Item = &'a u128>) -> Result<u128, EpochError> {
    let add = |sum: u128, own: &u128| sum.checked_add(*own);
    { wei }.try_fold(0, add).ok_or(EpochError::RewardsTooLarge)
}
