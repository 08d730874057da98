//! Who has a say in an epoch, and how much.
//!
//! HyperNodes, their operators, accounts, seed chains and stakes are what the ledger's stake contract has fixed for the
//! epoch: who has left or was slashed below the least stake has no weight from the epoch on in which that counts, and who
//! has registered since genesis has some from the first epoch on in which its stake counts.

use crate::epoch::{Seat, committee_of};
use crate::root::{Committee, RootError};
use crate::weights::{Staked, WeightError, capped_weights};
use assay_protocol::ids::HyperNodeId;
use assay_protocol::params::{NetworkParams, RosterEntry};
use std::collections::{BTreeMap, BTreeSet};

/// The HyperNodes of an epoch with their capped weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    entries: Vec<RosterEntry>,
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

impl Roster {
    /// The roster of genesis, which is that of the first two epochs: no change counts earlier than two epochs after it.
    pub fn at_genesis(params: &NetworkParams) -> Result<Self, RosterError> {
        Self::of(params, params.roster.iter().cloned())
    }

    /// The roster of an epoch with these HyperNodes and their uncapped stakes; of one named twice the last entry.
    pub fn of(
        params: &NetworkParams,
        entries: impl IntoIterator<Item = RosterEntry>,
    ) -> Result<Self, RosterError> {
        let entries: BTreeMap<_, _> = entries.into_iter().map(|e| (e.id, e)).collect();
        let entries: Vec<RosterEntry> = entries.into_values().collect();
        let staked = |entry: &RosterEntry| Staked {
            hypernode: entry.id,
            operator: entry.operator,
            stake: entry.stake,
        };
        let staked: Vec<Staked> = entries.iter().map(staked).collect();
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
        let seats: Vec<Seat> = entries.iter().filter_map(seat).collect();
        let operators: BTreeSet<_> = seats.iter().map(|seat| seat.operator).collect();
        if operators.len() < 2 {
            return Err(RosterError::Operators(operators.len()));
        }
        Ok(Self {
            committee: committee_of(&seats)?,
            entries,
            seats,
        })
    }

    /// Everybody with stake, as the ledger has it; ascending by HyperNode.
    pub fn entries(&self) -> &[RosterEntry] {
        &self.entries
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

/// HyperNodes by id, as they are registered: whom an epoch's board hears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known(BTreeMap<HyperNodeId, RosterEntry>);

impl Known {
    /// Those of genesis.
    pub fn at_genesis(params: &NetworkParams) -> Self {
        Self::default().with(&params.roster)
    }

    /// Who is heard on the board of an epoch: who signs roots, who has a say in the epoch after it, who was there at genesis,
    /// who has a say in it. Of whom is among several, the entry of the last counts.
    pub fn on_board(
        signing: &[RosterEntry],
        next: &[RosterEntry],
        genesis: &[RosterEntry],
        own: &[RosterEntry],
    ) -> Self {
        let lists = [signing, next, genesis, own].into_iter();
        lists.fold(Self::default(), Self::with)
    }

    /// These too, as far as they are not known already.
    pub fn and(mut self, entries: &[RosterEntry]) -> Self {
        for entry in entries {
            self.0.entry(entry.id).or_insert_with(|| entry.clone());
        }
        self
    }

    /// These too; of whom is known already only the later entry.
    fn with(mut self, entries: &[RosterEntry]) -> Self {
        let later = entries.iter().map(|entry| (entry.id, entry.clone()));
        self.0.extend(later);
        self
    }

    /// One of them.
    pub fn get(&self, hypernode: &HyperNodeId) -> Option<&RosterEntry> {
        self.0.get(hypernode)
    }
}
