//! Network parameters, fixed at genesis, and the time arithmetic that follows from them (ARCHITECTURE section 5).

use crate::amount::Gwei;
use crate::cbor_map;
use crate::hash;
use crate::ids::{Address, Bps, Digest, Epoch, HyperNodeId, NetworkId, Seed, Slot, Stake, UnixMs};
use crate::item::Item;
use crate::limits::{EPOCH_SLOTS_MAX, OUTCOME_EVIDENCE_MAX, ROSTER_MAX, SEED_CHAIN_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Stakes count so many epochs after they changed; in the first ones those of genesis do.
pub const STAKES_FIXED_AHEAD: u64 = 2;

cbor_map! {
    /// One HyperNode as the ledger has it, at genesis or in an epoch.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct RosterEntry {
        /// Ed25519 key: TLS, reports, log checkpoints.
        1 => id: HyperNodeId,
        /// Who runs it; several HyperNodes may share an operator.
        2 => operator: Digest,
        /// Its secp256k1 account.
        3 => ledger: Address,
        /// Bonded stake, in the token's smallest unit.
        4 => stake: Stake,
        /// End of its seed hash chain.
        5 => seed_end: Seed,
    }
}

cbor_map! {
    /// The parameters of a network; their hash is in every label, nonce and key derivation.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct NetworkParams {
        /// EVM chain id.
        1 => chain_id: u64,
        /// The ledger contract.
        2 => contract: Address,
        /// Start of epoch 0.
        3 => genesis_unix_ms: UnixMs,
        /// Length of an epoch in milliseconds.
        4 => epoch_ms: u64,
        /// Length of a slot in milliseconds; divides `epoch_ms`.
        5 => slot_ms: u64,
        /// Largest accepted difference between two honest clocks, in milliseconds.
        6 => clock_skew_ms_max: u64,
        /// Seats of a slot's panel, all of different operators.
        7 => panel_min: u32,
        /// Largest share of stake an operator's vote counts for, in basis points.
        8 => operator_cap_bps: Bps,
        /// Providers needed before a systemic failure is subtracted; 0 turns it off.
        9 => systemic_min_providers: u32,
        /// Other HyperNodes whose answer makes a control probe good.
        10 => control_probes: u32,
        /// Breaches needed before a slash: m of the last n epochs.
        11 => persistence: (u32, u32),
        /// Seats of a re-audit; 0 means none.
        12 => reaudit_seats: u32,
        /// Epochs a region's key stays secret and in use.
        13 => region_epochs: u64,
        /// Links in each HyperNode's seed chain.
        14 => seed_chain_links: u64,
        /// After the end of an epoch: commits are taken until then, in milliseconds.
        15 => commit_ms: u64,
        /// After the end of an epoch: reveals are taken until then, in milliseconds.
        16 => reveal_ms: u64,
        /// After the end of an epoch: votes are taken until then, in milliseconds.
        17 => vote_ms: u64,
        /// After the end of an epoch: from then on anybody may post a void epoch, in milliseconds.
        18 => void_after_ms: u64,
        /// Digests of the hardware classes in force, ascending.
        19 => classes: Vec<Digest>,
        /// HyperNodes registered at genesis, ascending by id.
        20 => roster: Vec<RosterEntry>,
        /// Agreed epochs in a row without a report of a HyperNode, after which it leaves the committee; 0 means never.
        21 => absent_epochs: u32,
        /// The token's smallest units in what amounts call a gwei, see [`crate::amount`].
        22 => gwei: u64,
    }
}

/// A parameter set that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("network parameter {name}: expected {expected}, got {actual}")]
pub struct ParamsError {
    name: &'static str,
    expected: String,
    actual: String,
}

impl NetworkParams {
    /// SHA-256 of the deterministic CBOR of the parameters.
    pub fn network_id(&self) -> NetworkId {
        NetworkId(hash::sha256(&[&self.encode()]))
    }

    /// Refuses parameters that contradict themselves.
    pub fn validate(&self) -> Result<(), ParamsError> {
        self.validate_time()?;
        self.validate_lists()?;
        self.validate_operators()?;
        // A report may come late once.
        rule(
            self.absent_epochs != 1,
            "absent_epochs",
            "0 (never) or at least 2",
            self.absent_epochs,
        )?;
        rule(
            Gwei::of_units(self.gwei).is_some(),
            "gwei",
            "a power of ten, at most 10^9",
            self.gwei,
        )?;
        rule(
            self.control_probes as usize <= OUTCOME_EVIDENCE_MAX,
            "control_probes",
            "at most 64: an outcome refers to each",
            self.control_probes,
        )?;
        let (m, n) = self.persistence;
        rule(
            1 <= m && m <= n,
            "persistence",
            "1 <= m <= n",
            format!("{m} of {n}"),
        )
    }

    /// What amounts call a gwei.
    pub fn gwei(&self) -> Gwei {
        Gwei::of_units(self.gwei).unwrap_or(Gwei::USUAL)
    }

    /// Whether one void epoch takes all that follow along: it may be declared void only after the reports about the next one
    /// were due, which are made when it is resolved.
    pub fn never_catches_up(&self) -> bool {
        self.void_after_ms >= self.epoch_ms
    }

    fn validate_time(&self) -> Result<(), ParamsError> {
        let slots = self.epoch_ms.checked_div(self.slot_ms).unwrap_or(0);
        let whole = self.epoch_ms.checked_rem(self.slot_ms) == Some(0);
        let range = format!("1..={EPOCH_SLOTS_MAX} whole slots");
        let in_range = (1..=u64::from(EPOCH_SLOTS_MAX)).contains(&slots) && whole;
        rule(in_range, "epoch_ms/slot_ms", &range, slots)?;
        let phases = [
            0,
            self.commit_ms,
            self.reveal_ms,
            self.vote_ms,
            self.void_after_ms,
        ];
        let ordered = phases.is_sorted_by(|a, b| a < b);
        rule(
            ordered,
            "phases",
            "commit < reveal < vote < void",
            format!("{phases:?}"),
        )?;
        let links = self.seed_chain_links;
        rule(
            (2..=SEED_CHAIN_MAX).contains(&links),
            "seed_chain_links",
            "2..=2^24",
            links,
        )?;
        rule(
            self.region_epochs >= 1,
            "region_epochs",
            ">= 1",
            self.region_epochs,
        )
    }

    fn validate_lists(&self) -> Result<(), ParamsError> {
        let count = self.roster.len();
        rule(
            (1..=ROSTER_MAX).contains(&count),
            "roster",
            "1..=1024 entries",
            count,
        )?;
        let sorted = self.roster.is_sorted_by(|a, b| a.id < b.id);
        rule(sorted, "roster", "ascending unique ids", "another order")?;
        let sorted = self.classes.is_sorted_by(|a, b| a < b) && !self.classes.is_empty();
        rule(
            sorted,
            "classes",
            "ascending unique digests",
            self.classes.len(),
        )
    }

    fn validate_operators(&self) -> Result<(), ParamsError> {
        let operators: BTreeSet<_> = self.roster.iter().map(|entry| entry.operator).collect();
        let count = operators.len() as u64;
        let cap = u64::from(self.operator_cap_bps.0);
        let reachable = cap <= 10_000 && cap.saturating_mul(count) >= 10_000;
        let actual = format!("{cap} bps for {count} operators");
        rule(
            reachable,
            "operator_cap_bps",
            "at least 1/operators, at most 10000",
            actual,
        )?;
        let panel = u64::from(self.panel_min);
        rule(
            (2..=count).contains(&panel),
            "panel_min",
            "2..=operators",
            panel,
        )
    }

    /// Slots in an epoch.
    pub fn slots(&self) -> u32 {
        let slots = self.epoch_ms.checked_div(self.slot_ms).unwrap_or(0);
        u32::try_from(slots)
            .unwrap_or(EPOCH_SLOTS_MAX)
            .min(EPOCH_SLOTS_MAX)
    }

    /// Start of an epoch.
    pub fn epoch_start(&self, epoch: Epoch) -> UnixMs {
        UnixMs(
            self.genesis_unix_ms
                .0
                .saturating_add(self.epoch_ms.saturating_mul(epoch.0)),
        )
    }

    /// End of an epoch, the start of the next.
    pub fn epoch_end(&self, epoch: Epoch) -> UnixMs {
        self.epoch_start(epoch.next())
    }

    /// Start of a slot.
    pub fn slot_start(&self, epoch: Epoch, slot: Slot) -> UnixMs {
        let into = self.slot_ms.saturating_mul(u64::from(slot.0));
        UnixMs(self.epoch_start(epoch).0.saturating_add(into))
    }

    /// Epoch and slot at a time; `None` before genesis.
    pub fn at(&self, now: UnixMs) -> Option<(Epoch, Slot)> {
        let since = now.0.checked_sub(self.genesis_unix_ms.0)?;
        let epoch = since.checked_div(self.epoch_ms)?;
        let slot = since
            .checked_rem(self.epoch_ms)?
            .checked_div(self.slot_ms)?;
        Some((Epoch(epoch), Slot(u32::try_from(slot).ok()?)))
    }

    /// The generation of the regions in use during an epoch.
    pub fn region_generation(&self, epoch: Epoch) -> u64 {
        epoch.0.checked_div(self.region_epochs).unwrap_or(0)
    }

    /// Whether the report of this epoch is the one that reveals the region keys.
    pub fn reveals_regions(&self, epoch: Epoch) -> bool {
        self.region_generation(epoch) != self.region_generation(epoch.next())
    }

    /// The roster entry of a HyperNode.
    pub fn member(&self, id: &HyperNodeId) -> Option<&RosterEntry> {
        self.roster.iter().find(|entry| entry.id == *id)
    }
}

fn rule(
    ok: bool,
    name: &'static str,
    expected: &str,
    actual: impl ToString,
) -> Result<(), ParamsError> {
    let (expected, actual) = (expected.to_owned(), actual.to_string());
    match ok {
        true => Ok(()),
        false => Err(ParamsError {
            name,
            expected,
            actual,
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> NetworkParams {
        let entry = |n: u8| RosterEntry {
            id: HyperNodeId([n; 32]),
            operator: Digest([n; 32]),
            ledger: Address([n; 20]),
            stake: Stake(u128::from(n) * 1_000),
            seed_end: Seed([n; 32]),
        };
        NetworkParams {
            chain_id: 31_337,
            contract: Address([1; 20]),
            genesis_unix_ms: UnixMs(1_000_000),
            epoch_ms: 30_000,
            slot_ms: 1_000,
            clock_skew_ms_max: 500,
            panel_min: 3,
            operator_cap_bps: Bps(4_000),
            systemic_min_providers: 0,
            control_probes: 2,
            persistence: (1, 1),
            reaudit_seats: 0,
            region_epochs: 2,
            seed_chain_links: 64,
            commit_ms: 4_000,
            reveal_ms: 8_000,
            vote_ms: 12_000,
            void_after_ms: 20_000,
            absent_epochs: 0,
            gwei: 1_000_000_000,
            classes: vec![Digest([3; 32])],
            roster: vec![entry(1), entry(2), entry(3), entry(4)],
        }
    }

    #[test]
    fn round_trip_and_id_depends_on_every_part() {
        let params = sample();
        params.validate().unwrap();
        let again = NetworkParams::decode("params", 4096, &params.encode()).unwrap();
        assert_eq!(again, params);
        let mut other = params.clone();
        other.roster[3].stake = Stake(1);
        assert_ne!(other.network_id(), params.network_id());
    }

    #[test]
    fn contradictions_are_named() {
        type Change = fn(&mut NetworkParams);
        let broken: [(&str, Change); 9] = [
            ("slot_ms", |p| p.slot_ms = 700),
            ("roster", |p| p.roster.swap(0, 1)),
            ("operator_cap_bps", |p| p.operator_cap_bps = Bps(2_400)),
            ("panel_min", |p| p.panel_min = 5),
            ("phases", |p| p.reveal_ms = p.commit_ms),
            ("persistence", |p| p.persistence = (2, 1)),
            ("absent_epochs", |p| p.absent_epochs = 1),
            ("control_probes", |p| p.control_probes = 65),
            ("gwei", |p| p.gwei = 2),
        ];
        for (name, change) in broken {
            let mut params = sample();
            change(&mut params);
            let error = params.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn time_maps_to_epoch_and_slot_and_back() {
        let params = sample();
        assert_eq!(params.at(UnixMs(999_999)), None);
        let (epoch, slot) = params.at(UnixMs(1_000_000 + 30_000 + 2_500)).unwrap();
        assert_eq!((epoch, slot), (Epoch(1), Slot(2)));
        assert_eq!(params.slot_start(epoch, slot), UnixMs(1_032_000));
        assert!(!params.reveals_regions(Epoch(0)) && params.reveals_regions(Epoch(1)));
    }
}
