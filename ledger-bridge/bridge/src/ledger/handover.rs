//! A node from one provider to another: offered by its owner, accepted with a pledge, and settled by a root.

use crate::args::{Signed, endpoint};
use anyhow::{Context as _, Result};
use assay_aggregate::root::NodeLeaf;
use assay_bridge::bundle::Bundle;
use assay_ledger::Action;
use assay_protocol::ids::{Address, Keccak, NodeId};
use assay_protocol::layout::{self, Claim, ProvenLeaf};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What the one and the other do.
#[derive(Subcommand)]
pub enum Command {
    /// Offer a node to another provider; without --to, take the offer back.
    HandOver(HandOver),
    /// Pledge for an offered node. A root makes you its owner once the delay of changes is over and the machine names you.
    TakeOver(TakeOver),
    /// Bring the ledger the oldest final leaf that names a node's new owner, from an audit bundle; anybody may, and a bridge
    /// does it by itself.
    Confirm(Confirm),
}

#[derive(Args)]
pub struct HandOver {
    #[command(flatten)]
    signed: Signed,
    /// The node.
    #[arg(long)]
    node: NodeId,
    /// The account of the provider that may have it.
    #[arg(long)]
    to: Option<Address>,
}

#[derive(Args)]
pub struct TakeOver {
    #[command(flatten)]
    signed: Signed,
    /// The node.
    #[arg(long)]
    node: NodeId,
    /// host:port of the agent, from when you are the owner.
    #[arg(long, value_parser = endpoint)]
    endpoint: String,
    /// Collateral in gwei, at least what its class asks for.
    #[arg(long)]
    collateral_gwei: u64,
}

#[derive(Args)]
pub struct Confirm {
    #[command(flatten)]
    signed: Signed,
    /// An audit bundle of the node, its tar file.
    #[arg(long)]
    bundle: PathBuf,
}

impl Command {
    /// Whether a program reads the output.
    pub fn is_for_programs(&self) -> bool {
        match self {
            Self::HandOver(arg) => arg.signed.output.json,
            Self::TakeOver(arg) => arg.signed.output.json,
            Self::Confirm(arg) => arg.signed.output.json,
        }
    }

    /// Does it.
    pub fn execute(self) -> Result<()> {
        match self {
            Self::HandOver(arg) => {
                let action = Action::offer_node(arg.node, arg.to);
                arg.signed.submit(&action)
            }
            Self::TakeOver(arg) => {
                let take = |amount| Action::accept_node(arg.node, &arg.endpoint, amount);
                arg.signed.submit_of(arg.collateral_gwei, take)
            }
            Self::Confirm(arg) => confirm(&arg),
        }
    }
}

/// A leaf, and its siblings from the leaf up.
type Proven = (NodeLeaf, Vec<Keccak>);

fn confirm(arg: &Confirm) -> Result<()> {
    let (ledger, _) = arg.signed.open()?;
    let network = ledger.network_id()?.context("genesis is not open")?;
    let bundle = Bundle::read(&arg.bundle, network)?;
    let node = bundle.record::<Claim>(layout::CLAIM)?.node;
    let nodes = ledger.nodes()?;
    let mut of_node = nodes.iter().filter(|record| record.node == node);
    let owner = of_node.find_map(|record| record.confirmed_owner);
    let next = next(leaves(&bundle, &node)?, owner);
    let (leaf, proof) = next.with_context(|| {
        let owner = owner.map_or("nobody".to_owned(), |owner| owner.to_string());
        format!(
            "{}: expected a leaf of node {node} that confirms another owner than {owner}, got none",
            bundle.name()
        )
    })?;
    arg.signed.submit(&Action::confirm(&leaf, &proof))
}

/// The oldest leaf that confirms who comes after the owner; what named others before it is over.
fn next(leaves: Vec<Proven>, owner: Option<Address>) -> Option<Proven> {
    let is_owner = |(leaf, _): &Proven| leaf.confirmed && Some(leaf.owner) == owner;
    let from = leaves.iter().rposition(is_owner).map_or(0, |at| at + 1);
    let mut later = leaves.into_iter().skip(from);
    later.find(|(leaf, _)| leaf.confirmed)
}

/// The node's leaves in a bundle with their proofs, oldest first.
fn leaves(bundle: &Bundle, node: &NodeId) -> Result<Vec<Proven>> {
    let leaf = |epoch| {
        let path = layout::leaf(epoch);
        let proven: ProvenLeaf = bundle.record(&path)?;
        let leaf = NodeLeaf::from_abi(&proven.abi.0);
        let leaf = leaf.filter(|leaf| leaf.node == *node && leaf.epoch == epoch);
        let leaf = leaf.with_context(|| {
            let name = bundle.name();
            format!("{name}, {path}: expected a leaf of node {node} in epoch {epoch}, got something else")
        })?;
        Ok((leaf, proven.proof))
    };
    bundle.epochs(layout::leaf).into_iter().map(leaf).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::Epoch;

    /// Leaves of epochs 0, 1, …: who owns the node, and whether a root confirmed it.
    fn named(owners: &[(u8, bool)]) -> Vec<Proven> {
        let leaf = |(epoch, (owner, confirmed)): (u64, &(u8, bool))| {
            let mut leaf =
                NodeLeaf::from_abi(&[&[0; 31][..], &[1], &[0; 17 * 32]].concat()).unwrap();
            leaf.epoch = Epoch(epoch);
            (leaf.owner, leaf.confirmed) = (Address([*owner; 20]), *confirmed);
            (leaf, Vec::new())
        };
        (0..).zip(owners).map(leaf).collect()
    }

    #[test]
    fn the_oldest_leaf_after_the_owner_s_last_one_names_the_next() {
        let leaves = named(&[(1, false), (1, true), (2, true), (2, true), (3, true)]);
        let after = |owner: Option<u8>| {
            let owner = owner.map(|owner| Address([owner; 20]));
            next(leaves.clone(), owner).map(|(leaf, _)| leaf.epoch.0)
        };
        assert_eq!(after(None), Some(1), "not the one that confirms nobody");
        assert_eq!(after(Some(1)), Some(2));
        assert_eq!(after(Some(2)), Some(4));
        assert_eq!(after(Some(3)), None);
        // It had come to nothing: the node is the first one's still.
        let back = named(&[(1, true), (2, true), (1, true)]);
        assert!(next(back, Some(Address([1; 20]))).is_none());
    }
}
