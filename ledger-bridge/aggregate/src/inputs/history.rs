//! What goes from epoch to epoch: beacons, rosters, who signs, and what is settled.

use crate::epoch::{
    Aggregator, EpochError, EpochInput, EpochOutcome, Included, Registration, RootHead, States,
};
use crate::root::{Committee, EpochRoot};
use crate::roster::{Known, Roster, RosterError};
use crate::rules::{self, RuleError};
use assay_protocol::class::{ValidClass, policy_digest};
use assay_protocol::ids::{Address, Beacon, Digest, Epoch, HyperNodeId, NetworkId, Seed};
use assay_protocol::params::{NetworkParams, RosterEntry, STAKES_FIXED_AHEAD};
use assay_protocol::schedule::{genesis_beacon, later_beacon};
use std::collections::{BTreeMap, BTreeSet};

/// The registrations that take part in an epoch: those of nodes that an agreed report speaks of, and of nodes that an
/// earlier root knows.
pub fn registrations(
    all: impl IntoIterator<Item = Registration>,
    prior: &States,
    reports: &BTreeMap<HyperNodeId, Included>,
) -> Vec<Registration> {
    let spoken: BTreeSet<_> = reports
        .values()
        .flat_map(|included| included.report.nodes.iter().map(|node| node.node))
        .collect();
    let mut chosen: Vec<_> = all
        .into_iter()
        .filter(|r| spoken.contains(&r.node) || prior.nodes.contains_key(&r.node))
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// Why a network's history cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// Nobody has a say.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// No epoch can be judged by these parameters.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Other classes than the network's.
    #[error("hardware classes: expected {expected}, got {actual}")]
    Classes {
        /// Digests in the parameters.
        expected: String,
        /// Digests of the classes given.
        actual: String,
    },
}

/// A network from genesis to its next unresolved epoch. Whose stake counts in an epoch is [learnt](History::learn).
#[derive(Debug, Clone)]
pub struct History {
    params: NetworkParams,
    network: NetworkId,
    classes: BTreeMap<Digest, ValidClass>,
    /// Of `next` and later epochs, as far as they were learnt.
    rosters: BTreeMap<Epoch, Roster>,
    /// Who signs the next root: whom the last one named.
    signing: Roster,
    /// Round of the last root; rounds never go back.
    round: u32,
    /// Round that the next root needs at least.
    least: u32,
    next: Epoch,
    /// Beacons of the next epoch and the one after.
    beacons: (Beacon, Beacon),
    states: States,
}

impl History {
    /// The network at genesis. `classes` must be exactly the ones in the parameters.
    pub fn new(
        params: &NetworkParams,
        classes: impl IntoIterator<Item = ValidClass>,
    ) -> Result<Self, HistoryError> {
        let classes: BTreeMap<_, _> = classes.into_iter().map(|c| (c.digest(), c)).collect();
        if !classes.keys().eq(params.classes.iter()) {
            let names = |digests: Vec<&Digest>| {
                digests
                    .iter()
                    .map(|d| d.to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            return Err(HistoryError::Classes {
                expected: names(params.classes.iter().collect()),
                actual: names(classes.keys().collect()),
            });
        }
        let roster = Roster::at_genesis(params)?;
        rules::check_genesis(params, roster.seats().len())?;
        let network = params.network_id();
        let beacon = |epoch| genesis_beacon(params, &network, Epoch(epoch));
        Ok(Self {
            params: params.clone(),
            network,
            classes,
            signing: roster.clone(),
            rosters: [(Epoch(0), roster.clone()), (Epoch(1), roster)].into(),
            round: 0,
            least: 0,
            next: Epoch(0),
            beacons: (beacon(0), beacon(1)),
            states: States::default(),
        })
    }

    /// The parameters.
    pub fn params(&self) -> &NetworkParams {
        &self.params
    }

    /// The network id.
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// The classes in force.
    pub fn classes(&self) -> &BTreeMap<Digest, ValidClass> {
        &self.classes
    }

    /// Takes over whose stake the ledger has fixed for an epoch; of an epoch that is known or resolved, nothing.
    pub fn learn(
        &mut self,
        epoch: Epoch,
        entries: impl IntoIterator<Item = RosterEntry>,
    ) -> Result<(), RosterError> {
        if epoch >= self.next && !self.rosters.contains_key(&epoch) {
            let roster = Roster::of(&self.params, entries)?;
            self.rosters.insert(epoch, roster);
        }
        Ok(())
    }

    /// The epochs whose rosters were learnt: to be [read again](History::relearn) when a root on the ledger is another than
    /// the one computed.
    pub fn learnt(&self) -> Vec<Epoch> {
        let epochs = self.rosters.keys().copied();
        epochs
            .filter(|epoch| epoch.0 >= STAKES_FIXED_AHEAD)
            .collect()
    }

    /// Takes over what the ledger says now of an epoch whose roster was learnt before.
    pub fn relearn(
        &mut self,
        epoch: Epoch,
        entries: impl IntoIterator<Item = RosterEntry>,
    ) -> Result<(), RosterError> {
        if let Some(known) = self.rosters.get_mut(&epoch) {
            *known = Roster::of(&self.params, entries)?;
        }
        Ok(())
    }

    /// Epochs whose rosters the next root needs and that were not learnt: its own and the one after.
    pub fn unknown(&self) -> Vec<Epoch> {
        let needed = [self.next, self.next.next()];
        let unknown = needed.into_iter();
        unknown
            .filter(|epoch| !self.rosters.contains_key(epoch))
            .collect()
    }

    /// Who has a say in an epoch; `None` when it was not learnt, or is not the last resolved one or later.
    pub fn roster(&self, epoch: Epoch) -> Option<&Roster> {
        self.rosters.get(&epoch)
    }

    /// Who signs the next root: the committee that the last root named, after void epochs an earlier one than the
    /// epoch's own.
    pub fn signers(&self) -> &Committee {
        self.signing.committee()
    }

    /// The same as HyperNodes, with the weights that they sign with.
    pub fn signing(&self) -> &Roster {
        &self.signing
    }

    /// The round of the next root: that of the last one, which is 0 until the first correction. A correction has one more
    /// than all roots that it replaces or undoes, so that nobody signs two roots of an epoch, round and committee.
    pub fn round(&self) -> u32 {
        self.round.max(self.least)
    }

    /// The next root needs this round at least: one of its epoch was undone.
    pub fn raise_round(&mut self, least: u32) {
        self.least = least;
    }

    /// Who is heard on the board of an epoch: who has a say in it, or in the next one, who signs roots, and who was there at
    /// genesis; each as the ledger has it for the epoch, where it does.
    pub fn known(&self, epoch: Epoch) -> Known {
        let of = |epoch| self.roster(epoch).map_or(&[][..], Roster::entries);
        let (signing, genesis) = (self.signing.entries(), &self.params.roster);
        Known::on_board(signing, of(epoch.next()), genesis, of(epoch))
    }

    /// The first epoch that is not resolved here.
    pub fn next(&self) -> Epoch {
        self.next
    }

    /// What is settled after the last resolved epoch.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// Public randomness of the next epoch or the one after; of others `None`.
    pub fn beacon(&self, epoch: Epoch) -> Option<Beacon> {
        match epoch.0.checked_sub(self.next.0) {
            Some(0) => Some(self.beacons.0),
            Some(1) => Some(self.beacons.1),
            _ => None,
        }
    }

    /// The root of the next epoch from these inputs. `known` are all registrations, see [`registrations`]; `budget` is what
    /// the ledger has put aside for the epoch's rewards, in wei.
    pub fn aggregate(
        &self,
        known: impl IntoIterator<Item = Registration>,
        reports: &BTreeMap<HyperNodeId, Included>,
        budget: u128,
    ) -> Result<EpochOutcome, EpochError> {
        let registrations = registrations(known, &self.states, reports);
        let nowhere = BTreeMap::new();
        let roster = self.known_roster(self.next)?;
        let following = self.known_roster(self.next.next())?;
        let input = EpochInput {
            params: &self.params,
            epoch: self.next,
            beacon: self.beacons.0,
            round: self.round(),
            committee: roster.seats(),
            head: RootHead {
                committee: self.signers().hash(),
                next_committee: following.committee().hash(),
                policy_digest: policy_digest(&self.params.classes, roster.entries()),
            },
            classes: &self.classes,
            registrations: &registrations,
            sites: &nowhere,
            prior: &self.states,
            reports,
            budget,
        };
        Aggregator::new(input)?.epoch()
    }

    fn known_roster(&self, epoch: Epoch) -> Result<&Roster, EpochError> {
        self.roster(epoch).ok_or(EpochError::RosterUnknown(epoch))
    }

    /// The outcome with the round and the committee of a root on the ledger, when that was signed in a round of its own: then
    /// not those sign whom the root before names, but who signed when the root was corrected, as the contract saw to.
    pub fn as_signed(&self, mut outcome: EpochOutcome, posted: &EpochRoot) -> EpochOutcome {
        outcome.root.round = self.round.max(posted.round);
        if posted.round > self.round {
            outcome.root.committee = posted.committee;
        }
        outcome
    }

    /// The next epoch was resolved by the root of this outcome, computed from these reports.
    pub fn posted(
        &mut self,
        outcome: &EpochOutcome,
        reports: &BTreeMap<HyperNodeId, Included>,
    ) -> Result<(), EpochError> {
        self.signing = self.known_roster(self.next.next())?.clone();
        let seeds: Vec<_> = reports.iter().map(|(id, i)| (*id, i.report.seed)).collect();
        self.round = outcome.root.round;
        self.states.clone_from(&outcome.states);
        self.advance(&seeds);
        Ok(())
    }

    /// The next epoch was voided: states stay, the beacon moves on without seeds.
    pub fn void(&mut self) {
        self.advance(&[]);
    }

    fn advance(&mut self, seeds: &[(HyperNodeId, Seed)]) {
        let (resolved, following) = self.beacons;
        let later = self.next.next().next();
        let beacon = later_beacon(&self.network, later, &resolved, seeds);
        self.beacons = (following, beacon);
        self.least = 0;
        // The board of the epoch resolved takes words for rosters for a while yet.
        self.rosters.retain(|epoch, _| *epoch >= self.next);
        self.next = self.next.next();
    }
}

/// What a network's history goes back to when a correction undoes roots that were followed: a state of it from before every
/// root that can still be undone. It keeps two, so that one of them is; the older grows no older than twice the windows.
#[derive(Debug, Clone)]
pub struct Anchor {
    safe: History,
    newer: Option<Box<History>>,
}

impl Anchor {
    /// At a history that rests on final epochs alone, as genesis does.
    pub fn at(history: History) -> Self {
        Self {
            safe: history,
            newer: None,
        }
    }

    /// The last epoch that the newer of both rests on: is that final, and with it every one before, it is safe.
    pub fn awaits(&self) -> Option<Epoch> {
        let last = self.newer.as_ref()?.next.0.checked_sub(1);
        last.map(Epoch)
    }

    /// Looks at a history that has moved on; `is_final` says whether the epoch that is [awaited](Anchor::awaits) is.
    pub fn advance(&mut self, history: &History, is_final: bool) {
        if self.awaits().is_none() {
            self.newer = Some(Box::new(history.clone()));
        } else if is_final {
            let newer = self.newer.replace(Box::new(history.clone()));
            newer.into_iter().for_each(|newer| self.safe = *newer);
        }
    }

    /// A history to go on from, instead of `undone`: whose rosters are the ledger's, whatever roots say.
    pub fn back(&mut self, undone: &History) -> History {
        self.newer = None;
        let mut history = self.safe.clone();
        for (epoch, roster) in &undone.rosters {
            if *epoch >= history.next {
                history.rosters.insert(*epoch, roster.clone());
            }
        }
        history
    }
}

/// Signatures under one root, parallel to the members of the committee that signs.
pub fn signatures_for(
    signing: &Roster,
    signatures: &BTreeMap<HyperNodeId, [u8; 65]>,
) -> Vec<Option<[u8; 65]>> {
    let of = |address: &Address| {
        let mut seats = signing.seats().iter();
        let seat = seats.find(|seat| seat.ledger == *address)?;
        signatures.get(&seat.hypernode).copied()
    };
    signing
        .committee()
        .members()
        .iter()
        .map(|member| of(&member.address))
        .collect()
}
