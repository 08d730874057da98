//! A node from one provider to another: offered by its owner, accepted with a pledge, and settled by a root.

use super::gwei;
use crate::args::Signed;
use anyhow::Result;
use assay_ledger::Action;
use assay_protocol::ids::{Address, NodeId};
use clap::{Args, Subcommand};

/// What the one and the other do.
#[derive(Subcommand)]
pub enum Command {
    /// Offer a node to another provider; without --to, take the offer back.
    HandOver(HandOver),
    /// Pledge for an offered node. A root makes you its owner once the delay of changes is over and the machine names you.
    TakeOver(TakeOver),
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
    #[arg(long)]
    endpoint: String,
    /// Collateral in gwei, at least what its class asks for.
    #[arg(long)]
    collateral_gwei: u64,
}

impl Command {
    /// Whether a program reads the output.
    pub fn is_for_programs(&self) -> bool {
        match self {
            Self::HandOver(arg) => arg.signed.output.json,
            Self::TakeOver(arg) => arg.signed.output.json,
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
                let amount = gwei(arg.collateral_gwei);
                let action = Action::accept_node(arg.node, &arg.endpoint, amount);
                arg.signed.submit(&action)
            }
        }
    }
}
