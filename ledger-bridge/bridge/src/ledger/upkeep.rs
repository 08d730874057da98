//! What keeps a network in order: other addresses, what is over, and the calls of governor and guardian.

use super::fund::Fund;
use super::{OfNode, OfProvider, OfReservation};
use crate::args::{Signed, endpoint};
use anyhow::{Context as _, Result};
use assay_ledger::Action;
use assay_protocol::ids::{HyperNodeId, NodeId};
use clap::{Args, Subcommand};

/// What is done rarely.
#[derive(Subcommand)]
pub enum Command {
    /// Move a provider's node, or without --node a HyperNode, to another address.
    SetEndpoint(Endpoint),
    /// Look for a seat again for a HyperNode whose stake would do, after one became free; anybody may.
    Refresh(OfHyperNode),
    /// End a registration that nobody confirmed in time; anybody may, its provider gets the collateral.
    Expire(OfProvider),
    /// Remove a node that was suspended for too long; anybody may.
    Remove(OfNode),
    /// Pay a Builder back what nobody has settled long after a reservation's end; anybody may.
    Refund(OfReservation),
    /// Make what the next epochs left of their budgets unallocated; anybody may.
    Reclaim(Reclaim),
    /// Fund epochs of what is unallocated, by the governor.
    Allocate(Fund),
    /// End a network that nobody signs for any more, for ever; by the governor.
    Retire(Signed),
    /// Refuse new risks for a time, by the guardian.
    Pause(Duration),
    /// End a pause, by the guardian.
    Unpause(Signed),
    /// Stop the clock of all windows for a time, by the guardian.
    ExtendWindows(Duration),
    /// Pay the treasury what it could not receive when it was due; anybody may.
    PayTreasury(Signed),
}

#[derive(Args)]
pub struct Endpoint {
    #[command(flatten)]
    signed: Signed,
    /// The sender's node; without, its HyperNode.
    #[arg(long)]
    node: Option<NodeId>,
    /// host:port
    #[arg(long, value_parser = endpoint)]
    endpoint: String,
}

#[derive(Args)]
pub struct OfHyperNode {
    #[command(flatten)]
    signed: Signed,
    /// The HyperNode.
    #[arg(long)]
    hypernode: HyperNodeId,
}

#[derive(Args)]
pub struct Reclaim {
    #[command(flatten)]
    signed: Signed,
    /// How many epochs, after those that were reclaimed before.
    #[arg(long)]
    epochs: u64,
}

#[derive(Args)]
pub struct Duration {
    #[command(flatten)]
    signed: Signed,
    /// For how long, in milliseconds from now.
    #[arg(long)]
    ms: u64,
}

impl Command {
    /// Whether a program reads the output.
    pub fn is_for_programs(&self) -> bool {
        let signed = match self {
            Self::SetEndpoint(arg) => &arg.signed,
            Self::Refresh(arg) => &arg.signed,
            Self::Expire(arg) => &arg.of.signed,
            Self::Remove(arg) => &arg.signed,
            Self::Refund(arg) => &arg.signed,
            Self::Reclaim(arg) => &arg.signed,
            Self::Allocate(arg) => &arg.signed,
            Self::Pause(arg) | Self::ExtendWindows(arg) => &arg.signed,
            Self::Retire(signed) | Self::Unpause(signed) | Self::PayTreasury(signed) => signed,
        };
        signed.output.json
    }

    /// Does it.
    pub fn execute(self) -> Result<()> {
        match self {
            Self::SetEndpoint(arg) => set_endpoint(&arg),
            Self::Refresh(arg) => arg.signed.submit(&Action::refresh_hypernode(arg.hypernode)),
            Self::Expire(OfProvider { of, provider }) => {
                of.signed.submit(&Action::expire(of.node, provider))
            }
            Self::Remove(arg) => arg.signed.submit(&Action::remove(arg.node)),
            Self::Refund(arg) => arg.signed.submit(&Action::refund(arg.reservation)),
            Self::Reclaim(arg) => arg.signed.submit(&Action::reclaim(arg.epochs)),
            Self::Allocate(arg) => arg.submit(Action::allocate),
            Self::Retire(signed) => signed.submit(&Action::retire()),
            Self::Pause(arg) => arg.signed.submit(&Action::pause(arg.ms)),
            Self::Unpause(signed) => signed.submit(&Action::unpause()),
            Self::ExtendWindows(arg) => arg.signed.submit(&Action::extend_windows(arg.ms)),
            Self::PayTreasury(signed) => signed.submit(&Action::pay_treasury()),
        }
    }
}

/// A HyperNode keeps its seed chain: the contract takes both at once.
fn set_endpoint(arg: &Endpoint) -> Result<()> {
    if let Some(node) = arg.node {
        return arg
            .signed
            .submit(&Action::set_endpoint(node, &arg.endpoint));
    }
    let (ledger, signer) = arg.signed.open()?;
    let account = signer.address();
    let all = ledger.hypernodes()?;
    let own = all.iter().find(|hypernode| hypernode.address == account);
    let own = own.with_context(|| {
        format!("account {account}: no HyperNode\nhint: --node moves a provider's node")
    })?;
    let action = Action::update_hypernode(own.seed_end, &arg.endpoint);
    arg.signed.submit_to(&ledger, signer.as_ref(), &action)
}
