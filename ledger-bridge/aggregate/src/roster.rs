//! Who has a say in an epoch, and how much.
//!
//! HyperNodes, their operators, accounts and seed chains are those of genesis. Their stake is the one that the ledger's
//! stake contract has fixed for the epoch: who has left or was slashed below the least stake has no weight from the epoch
//! on in which that counts. Who registered after genesis is left out, because no agent answers it yet.

use crate::epoch::{Seat, committee_of};
use crate::root::{Committee, RootError};
use crate::weights::{Staked, WeightError, capped_weights};
use assay_protocol::ids::{HyperNodeId, Stake};
use assay_protocol::params::{NetworkParams, RosterEntry};
use std::collections::{BTreeMap, BTreeSet};

/// The HyperNodes of an epoch with their capped weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    stakes: Vec<(HyperNodeId, Stake)>,
    seats: Vec<Seat>,
    committee: Committee,
}

/// Why nobody has a say in an epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// The stakes have no weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The seats are no committee.
    #[error(transparent)]
    Committee(#[from] RootError),
    /// A slot is up only when two operators say so: fewer can only accuse.
    #[error("roster: expected two operators with weight at least, got {0}")]
    Operators(usize),
}

/// What was at stake at genesis.
pub fn genesis_stakes(params: &NetworkParams) -> impl Iterator<Item = (HyperNodeId, Stake)> {
    params.roster.iter().map(|entry| (entry.id, entry.stake))
}

impl Roster {
    /// The roster of genesis, which is that of the first two epochs: no change counts earlier than two epochs after it.
    pub fn at_genesis(params: &NetworkParams) -> Result<Self, RosterError> {
        Self::of(params, genesis_stakes(params))
    }

    /// The roster of an epoch with these uncapped stakes; of a HyperNode named twice the last one.
    pub fn of(
        params: &NetworkParams,
        stakes: impl IntoIterator<Item = (HyperNodeId, Stake)>,
    ) -> Result<Self, RosterError> {
        let stakes: BTreeMap<HyperNodeId, Stake> = stakes.into_iter().collect();
        let with_stake = |entry: &RosterEntry| {
            Some(Staked {
                hypernode: entry.id,
                operator: entry.operator,
                stake: *stakes.get(&entry.id)?,
            })
        };
        let staked: Vec<Staked> = params.roster.iter().filter_map(with_stake).collect();
        let weights = capped_weights(&staked, params.operator_cap_bps)?;
        let seat = |entry: &RosterEntry| {
            let weight = weights.get(&entry.id).copied().unwrap_or(0);
            (weight > 0).then_some(Seat {
                hypernode: entry.id,
                operator: entry.operator,
                ledger: entry.ledger,
                weight,
            })
        };
        let seats: Vec<Seat> = params.roster.iter().filter_map(seat).collect();
        let operators: BTreeSet<_> = seats.iter().map(|seat| seat.operator).collect();
        if operators.len() < 2 {
            return Err(RosterError::Operators(operators.len()));
        }
        Ok(Self {
            stakes: staked.iter().map(|s| (s.hypernode, s.stake)).collect(),
            committee: committee_of(&seats)?,
            seats,
        })
    }

    /// The uncapped stakes, ascending by HyperNode.
    pub fn stakes(&self) -> &[(HyperNodeId, Stake)] {
        &self.stakes
    }

    /// Everybody with weight, ascending by HyperNode.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Capped weights by HyperNode.
    pub fn weights(&self) -> BTreeMap<HyperNodeId, u128> {
        let weight = |seat: &Seat| (seat.hypernode, seat.weight);
        self.seats.iter().map(weight).collect()
    }

    /// The seats as the ledger knows them.
    pub fn committee(&self) -> &Committee {
        &self.committee
    }
}
