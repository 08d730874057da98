//! What providers have earned, by the leaves of the newest final root, with the proofs that claim it.

use anyhow::Result;
use assay_aggregate::inputs::History;
use assay_aggregate::root::RewardLeaf;
use assay_ledger::AssayLedger;
use assay_protocol::ids::{Address, Epoch, Keccak};
use serde::Serialize;
use std::fmt;

use crate::replay::{self, ReplayError};
use crate::store::Store;

/// A provider's rewards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RewardRow {
    /// The provider.
    pub provider: Address,
    /// Newest posted epoch.
    pub epoch: Epoch,
    /// Earned up to it.
    pub earned_gwei: u64,
    /// Earned up to the newest final epoch.
    pub final_gwei: u64,
    /// Paid so far.
    pub paid_gwei: u64,
}

impl fmt::Display for RewardRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "provider {}  earned {} gwei to epoch {}, {} of it final, {} paid",
            self.provider, self.earned_gwei, self.epoch, self.final_gwei, self.paid_gwei
        )
    }
}

/// A leaf that the contract pays by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The leaf.
    pub leaf: RewardLeaf,
    /// Its siblings, from the leaf up.
    pub proof: Vec<Keccak>,
}

/// The reward leaves of the newest posted epoch, and those of the newest final one with their proofs.
#[derive(Debug, Default)]
struct Leaves {
    newest: Vec<RewardLeaf>,
    is_final: Vec<Proven>,
}

fn leaves(store: &Store, ledger: &AssayLedger, mut history: History) -> Result<Leaves> {
    let end = ledger.next_epoch()?;
    let mut leaves = Leaves::default();
    while history.next() < end {
        let epoch = history.next();
        let posted = match replay::follow(store, ledger, &mut history) {
            // What was right before it is still to be had.
            Err(ReplayError::OtherRoot { .. }) if !leaves.newest.is_empty() => break,
            followed => followed?,
        };
        let Some(posted) = posted else {
            continue;
        };
        let (tree, rewards) = (&posted.outcome.tree, posted.outcome.rewards.clone());
        if ledger.is_final(epoch)? {
            let proven = |leaf: &RewardLeaf| {
                let proof = tree.proof(&leaf.hash())?;
                Ok(Proven { leaf: *leaf, proof })
            };
            leaves.is_final = rewards.iter().map(proven).collect::<Result<_>>()?;
        }
        leaves.newest = rewards;
    }
    Ok(leaves)
}

/// Every provider that has earned something.
pub fn read(store: &Store, ledger: &AssayLedger, history: History) -> Result<Vec<RewardRow>> {
    let gwei = history.params().gwei();
    let leaves = leaves(store, ledger, history)?;
    let row = |leaf: &RewardLeaf| {
        let same = leaves
            .is_final
            .iter()
            .find(|one| one.leaf.provider == leaf.provider);
        Ok(RewardRow {
            provider: leaf.provider,
            epoch: leaf.epoch,
            earned_gwei: gwei.whole(leaf.cumulative_reward),
            final_gwei: gwei.whole(same.map_or(0, |one| one.leaf.cumulative_reward)),
            paid_gwei: gwei.whole(ledger.paid(leaf.provider)?.0),
        })
    };
    leaves.newest.iter().map(row).collect()
}

/// A provider's leaf of the newest final epoch; `None` when it has earned nothing by then.
pub fn claimable(
    store: &Store,
    ledger: &AssayLedger,
    history: History,
    provider: &Address,
) -> Result<Option<Proven>> {
    let leaves = leaves(store, ledger, history)?.is_final.into_iter();
    Ok(leaves
        .into_iter()
        .find(|one| one.leaf.provider == *provider))
}
