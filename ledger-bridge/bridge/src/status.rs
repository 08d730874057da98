//! What the ledger says, for people and programs.

mod offers;

use anyhow::Result;
use assay_ledger::{
    AssayLedger, EpochRecord, HyperNodeRecord, NodeRecord, NodeStatus, ReservationRecord,
    Resolution,
};
use assay_protocol::amount::Gwei;
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, UnixMs};
use serde::Serialize;
use std::fmt;

pub use offers::{Free, OfferStatus};

/// The ledger at one moment. Amounts in gwei, rounded down.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Chain id.
    pub chain_id: u64,
    /// The contract.
    pub contract: Address,
    /// Newest block.
    pub height: u64,
    /// Network id; none before genesis is open.
    pub network: Option<NetworkId>,
    /// First epoch not resolved.
    pub next_epoch: Epoch,
    /// What is put aside for the rewards of that epoch.
    pub budget_gwei: u64,
    /// Resolved epochs that the contract still keeps.
    pub epochs: Vec<EpochStatus>,
    /// The roster.
    pub hypernodes: Vec<HyperNodeStatus>,
    /// Registrations.
    pub nodes: Vec<RegistrationStatus>,
    /// Reservations.
    pub reservations: Vec<ReservationStatus>,
}

/// A resolved epoch.
#[derive(Debug, Clone, Serialize)]
pub struct EpochStatus {
    /// The epoch.
    pub epoch: Epoch,
    /// `posted` or `void`.
    pub resolution: &'static str,
    /// Round of the agreement.
    pub round: u32,
    /// Leaves under the root.
    pub leaf_count: u32,
    /// Outcome root.
    pub root: Keccak,
    /// EIP-712 digest of what was signed.
    pub digest: Keccak,
    /// Rewards of all providers since genesis.
    pub cumulative_reward_gwei: u64,
    /// How many roots were replaced, here or before.
    pub corrections: u8,
    /// Block time of the posting.
    pub posted_at_ms: UnixMs,
    /// From when it is final.
    pub final_at_ms: UnixMs,
}

/// A HyperNode.
#[derive(Debug, Clone, Serialize)]
pub struct HyperNodeStatus {
    /// Ledger account.
    pub address: Address,
    /// Ed25519 key.
    pub ed25519: HyperNodeId,
    /// Operator.
    pub operator: Digest,
    /// Where it is reached.
    pub endpoint: String,
    /// Stake.
    pub stake_gwei: u64,
    /// What of it counts in the next epoch to be resolved, before the cap on operators.
    pub counts_gwei: u64,
    /// Stake on its way out.
    pub unbonding_gwei: u64,
    /// Slashed for a fault.
    pub jailed: bool,
    /// Taken out of the committee for its absence.
    pub absent: bool,
}

/// A registration of a node.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "as in assay_ledger::NodeRecord")]
pub struct RegistrationStatus {
    pub node: NodeId,
    pub provider: Address,
    pub class: Digest,
    pub endpoint: String,
    pub status: &'static str,
    pub confirmed_owner: Option<Address>,
    pub offered_by: Option<Address>,
    pub settled_epoch: Option<Epoch>,
    pub registered_at: UnixMs,
    pub ended_at: Option<UnixMs>,
    pub serves_through: Option<Epoch>,
    pub pledged_gwei: u64,
    pub collateral_gwei: u64,
    pub escrow_gwei: u64,
    pub slashed_gwei: u64,
    /// What roots have asked for since genesis.
    pub slash_gwei: u64,
    /// What Builders can reserve it for; none where nobody can.
    pub offer: Option<OfferStatus>,
}

/// A Builder's reservation.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "as in assay_ledger::ReservationRecord")]
pub struct ReservationStatus {
    pub id: u64,
    pub node: NodeId,
    pub builder: Address,
    pub provider: Address,
    pub first: Epoch,
    pub end: Epoch,
    pub settled_through: Epoch,
    pub price_gwei: u64,
    pub held_gwei: u64,
    pub credited_gwei: u64,
}

/// Places of the contract's ring of epochs.
const RING: u64 = 1_024;

/// Reads everything.
pub fn read(ledger: &AssayLedger) -> Result<Status> {
    let (next_epoch, gwei) = (ledger.next_epoch()?, ledger.gwei()?);
    let first = next_epoch.0.saturating_sub(RING);
    let mut epochs = Vec::new();
    for epoch in (first..next_epoch.0).map(Epoch) {
        epochs.extend(epoch_status(epoch, &ledger.epoch_record(epoch)?, gwei));
    }
    let counting = ledger.fixed_roster(next_epoch)?.unwrap_or_default();
    let status = |record: HyperNodeRecord| {
        let seat = counting.iter().find(|entry| entry.id == record.ed25519);
        hypernode(record, seat.map_or(0, |entry| entry.stake.0), gwei)
    };
    let (nodes, reservations) = (ledger.nodes()?, ledger.reservations()?);
    let mut offers = offers::read(ledger, &nodes, &reservations, gwei)?;
    let node = |n: NodeRecord| {
        let is_owner = n.confirmed_owner == Some(n.provider);
        let offer = is_owner.then(|| offers.remove(&n.node)).flatten();
        registration(n, offer, gwei)
    };
    Ok(Status {
        chain_id: ledger.chain_id()?,
        contract: ledger.contract(),
        height: ledger.chain().height()?,
        network: ledger.network_id()?,
        next_epoch,
        budget_gwei: gwei.whole(ledger.budget(next_epoch)?.0),
        epochs,
        hypernodes: ledger.hypernodes()?.into_iter().map(status).collect(),
        nodes: nodes.into_iter().map(node).collect(),
        reservations: reservations.iter().map(|r| reservation(r, gwei)).collect(),
    })
}

fn epoch_status(epoch: Epoch, record: &EpochRecord, gwei: Gwei) -> Option<EpochStatus> {
    let resolution = match record.resolution {
        Resolution::Posted => "posted",
        Resolution::Void => "void",
        Resolution::Open => return None,
    };
    Some(EpochStatus {
        epoch,
        resolution,
        round: record.round,
        leaf_count: record.leaf_count,
        root: record.root,
        digest: record.digest,
        cumulative_reward_gwei: gwei.whole(record.cumulative_reward.0),
        corrections: record.corrections,
        posted_at_ms: record.posted_at,
        final_at_ms: record.final_at,
    })
}

fn reservation(r: &ReservationRecord, gwei: Gwei) -> ReservationStatus {
    ReservationStatus {
        id: r.id,
        node: r.node,
        builder: r.builder,
        provider: r.provider,
        first: r.first,
        end: r.end,
        settled_through: r.settled_through,
        price_gwei: gwei.whole(r.price.0),
        held_gwei: gwei.whole(r.held.0),
        credited_gwei: gwei.whole(r.credited.0),
    }
}

fn hypernode(h: HyperNodeRecord, counts: u128, gwei: Gwei) -> HyperNodeStatus {
    HyperNodeStatus {
        address: h.address,
        ed25519: h.ed25519,
        operator: h.operator,
        endpoint: h.endpoint,
        stake_gwei: gwei.whole(h.stake.0),
        counts_gwei: gwei.whole(counts),
        unbonding_gwei: gwei.whole(h.unbonding.0),
        jailed: h.jailed,
        absent: h.absent,
    }
}

fn registration(n: NodeRecord, offer: Option<OfferStatus>, gwei: Gwei) -> RegistrationStatus {
    RegistrationStatus {
        node: n.node,
        provider: n.provider,
        class: n.class_digest,
        endpoint: n.endpoint,
        status: match n.status {
            NodeStatus::None => "none",
            NodeStatus::Provisional => "provisional",
            NodeStatus::Active => "active",
            NodeStatus::Warned => "warned",
            NodeStatus::Suspended => "suspended",
            NodeStatus::Removed => "removed",
        },
        confirmed_owner: n.confirmed_owner,
        offered_by: n.offered_by,
        settled_epoch: n.settled_epoch,
        registered_at: n.registered_at,
        ended_at: n.ended_at,
        serves_through: n.serves_through,
        pledged_gwei: gwei.whole(n.pledged.0),
        collateral_gwei: gwei.whole(n.collateral.0),
        escrow_gwei: gwei.whole(n.escrow.0),
        slashed_gwei: gwei.whole(n.slashed.0),
        slash_gwei: gwei.whole(n.cumulative_slash.0),
        offer,
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self
            .network
            .map_or("genesis not open".into(), |id| id.to_string());
        writeln!(f, "network     {network}")?;
        writeln!(
            f,
            "contract    {} on chain {}, block {}",
            self.contract, self.chain_id, self.height
        )?;
        writeln!(f, "next epoch  {}", self.next_epoch)?;
        writeln!(f, "budget      {} gwei for it", self.budget_gwei)?;
        for e in &self.epochs {
            writeln!(
                f,
                "epoch {:>6}  {}  {} leaves  root {}",
                e.epoch, e.resolution, e.leaf_count, e.root
            )?;
        }
        for h in &self.hypernodes {
            let state = match (h.jailed, h.absent) {
                (true, _) => "  slashed for a fault",
                (false, true) => "  absent: taken out of the committee",
                (false, false) => "",
            };
            writeln!(
                f,
                "hypernode {}  stake {} gwei, {} count  {}{state}",
                h.ed25519,
                h.stake_gwei,
                h.counts_gwei,
                // Anybody may register any text.
                h.endpoint.escape_debug()
            )?;
        }
        for n in &self.nodes {
            writeln!(
                f,
                "node {}  {}  collateral {}  escrow {}  slashed {} gwei",
                n.node, n.status, n.collateral_gwei, n.escrow_gwei, n.slashed_gwei
            )?;
            if let Some(offer) = &n.offer {
                writeln!(f, "offer {}  {offer}", n.node)?;
            }
        }
        for r in &self.reservations {
            writeln!(
                f,
                "reservation {}  node {}  epochs {} to before {}  held {}  credited {} gwei",
                r.id, r.node, r.first, r.end, r.held_gwei, r.credited_gwei
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_registered_cannot_write_lines_or_move_the_cursor() {
        let other = HyperNodeStatus {
            address: Address([1; 20]),
            ed25519: HyperNodeId([2; 32]),
            operator: Digest([3; 32]),
            endpoint: "h:1\nnode forged\u{1b}[2J\u{9b}2J\u{202e}".to_owned(),
            stake_gwei: 1,
            counts_gwei: 1,
            unbonding_gwei: 0,
            jailed: false,
            absent: false,
        };
        let status = Status {
            chain_id: 1,
            contract: Address([4; 20]),
            height: 1,
            network: None,
            next_epoch: Epoch(0),
            budget_gwei: 0,
            epochs: Vec::new(),
            hypernodes: vec![other],
            nodes: Vec::new(),
            reservations: Vec::new(),
        };
        let shown = status.to_string();
        assert!(!shown.contains("\nnode"), "{shown:?}");
        let is_inert = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
        assert!(shown.chars().all(is_inert), "{shown:?}");
    }
}
