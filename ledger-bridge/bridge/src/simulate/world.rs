//! The network that is simulated: who has which stake, which nodes are good, and what an honest HyperNode would see.

use super::{Plan, Scenario};
use crate::random::Random;
use assay_aggregate::epoch::{NodeState, Registration, Seat, Standing, States};
use assay_aggregate::roster::{Roster, RosterError};
use assay_protocol::class::{
    AttestationPolicy, Budget, ClassError, Hardware, HardwareClass, Money, Sla, ValidClass,
};
use assay_protocol::ids::{
    Address, Beacon, Bps, Digest, HyperNodeId, NodeId, Ppm, Seed, Stake, UnixMs,
};
use assay_protocol::params::{NetworkParams, ParamsError, RosterEntry};
use assay_protocol::report::Cell;

/// Slots of a simulated epoch.
pub(super) const SLOTS: u32 = 60;
/// Chase floor, reads a second.
pub(super) const FLOOR: u64 = 1_000;
/// An honest member of a panel that could not decide, in a million.
const FAULT_PPM: u32 = 3_000;
/// Stake of the whole network; every share below is a whole number of it.
const STAKE: u128 = 100 * 27_720;

/// What a node truly is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keeps its promise with room to spare.
    Good,
    /// Is up in 80 % of the slots.
    Flaky,
    /// Reads at half of the floor.
    Slow,
}

/// Everything that does not change during a run.
pub(super) struct World {
    pub params: NetworkParams,
    pub class: ValidClass,
    pub seats: Vec<Seat>,
    /// By seat: whether it belongs to the attacker.
    pub attackers: Vec<bool>,
    pub kinds: Vec<Kind>,
    pub seed: u64,
}

/// Why a network cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// No network has such parameters.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// Nobody has a say.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The simulated class contradicts itself.
    #[error(transparent)]
    Class(#[from] ClassError),
}

impl World {
    pub(super) fn new(plan: &Plan, scenario: &Scenario) -> Result<Self, WorldError> {
        let class = class(plan)?;
        let stakes = stakes(plan, scenario);
        let params = params(plan, &class, &stakes);
        params.validate()?;
        let kind = |n| match n % 6 {
            4 => Kind::Flaky,
            5 => Kind::Slow,
            _ => Kind::Good,
        };
        Ok(Self {
            seats: Roster::at_genesis(&params)?.seats().to_vec(),
            attackers: stakes.iter().map(|(attacks, _)| *attacks).collect(),
            kinds: (0..plan.nodes).map(kind).collect(),
            class,
            params,
            seed: plan.seed,
        })
    }

    pub(super) fn beacon(&self, epoch: u64) -> Beacon {
        let mut random = Random::fork(self.seed, &[1, epoch]);
        let mut bytes = [0; 32];
        bytes
            .iter_mut()
            .for_each(|byte| *byte = random.below(256) as u8);
        Beacon(bytes)
    }

    /// Whether the node truly answered in a slot.
    pub(super) fn is_up(&self, epoch: u64, node: usize, slot: u32) -> bool {
        let up_ppm = if self.kinds[node] == Kind::Flaky {
            800_000
        } else {
            1_000_000
        };
        Random::fork(self.seed, &[2, epoch, node as u64, slot.into()]).chance(up_ppm)
    }

    /// What a HyperNode takes a slot for when trouble of its own hides it: nothing, or, when only its path to the node is
    /// broken and control probes go through, silence.
    pub(super) fn trouble(&self, epoch: u64, seat: usize, node: usize, slot: u32) -> Option<Cell> {
        let place = [3, epoch, seat as u64, node as u64, slot.into()];
        let mut random = Random::fork(self.seed, &place);
        let is_blind = random.chance(FAULT_PPM);
        is_blind.then(|| match random.chance(500_000) {
            true => Cell::Unanswered,
            false => Cell::Inconclusive,
        })
    }

    /// The rate a HyperNode measures: within a tenth of the truth.
    pub(super) fn rate(&self, epoch: u64, seat: usize, node: usize) -> u64 {
        let truth = if self.kinds[node] == Kind::Slow {
            FLOOR / 2
        } else {
            2 * FLOOR
        };
        let mut random = Random::fork(self.seed, &[4, epoch, seat as u64, node as u64]);
        truth * (900 + random.below(201)) / 1_000
    }

    pub(super) fn registrations(&self) -> Vec<Registration> {
        let registration = |n| Registration {
            node: node_id(n),
            provider: provider(n),
            class: self.class.digest(),
            standing: Standing::Owner,
        };
        (0..self.kinds.len()).map(registration).collect()
    }

    /// All owners confirmed, nothing paid yet.
    pub(super) fn states(&self) -> States {
        let state = |n| NodeState {
            confirmed_owner: Some(provider(n)),
            ..NodeState::default()
        };
        let nodes = (0..self.kinds.len()).map(|n| (node_id(n), state(n)));
        States {
            nodes: nodes.collect(),
            ..States::default()
        }
    }
}

pub(super) fn node_id(n: usize) -> NodeId {
    let mut id = [0x40; 32];
    id[..8].copy_from_slice(&(n as u64).to_be_bytes());
    NodeId(id)
}

/// Three nodes each.
pub(super) fn provider(n: usize) -> Address {
    let mut address = [0x50; 20];
    address[..8].copy_from_slice(&(n as u64 / 3).to_be_bytes());
    Address(address)
}

/// (attacks, stake) of every HyperNode. The attacker's share is exact; it is split over as many accounts as it would
/// have at equal stakes, or two where it is concentrated.
fn stakes(plan: &Plan, scenario: &Scenario) -> Vec<(bool, u128)> {
    let (all, share) = (
        u128::from(plan.hypernodes),
        u128::from(scenario.share_percent),
    );
    let attackers = match (scenario.behaviour.is_concentrated(), share) {
        (_, 0) => 0,
        (true, _) => 2,
        (false, _) => (all * share / 100).max(1),
    };
    let stake = |attacks: bool| match attacks {
        true => STAKE * share / 100 / attackers.max(1),
        false => STAKE * (100 - share) / 100 / (all - attackers).max(1),
    };
    (0..all)
        .map(|n| (n < attackers, stake(n < attackers)))
        .collect()
}

fn class(plan: &Plan) -> Result<ValidClass, ClassError> {
    ValidClass::new(HardwareClass {
        schema: 2,
        name: "simulated".into(),
        summary: "exists in a simulation only".into(),
        hardware: Hardware {
            cpu: "any".into(),
            cores: 1,
            memory_mib: 1,
            disk_gib: 1,
            nic_mbps: 1,
        },
        sla: Sla {
            availability_ppm: Ppm(plan.availability_ppm),
            coverage_ppm_min: Ppm(800_000),
            chase_reads_per_s_min: FLOOR,
            chase_liveness_reads_per_s_min: FLOOR,
        },
        budget: Budget {
            region_blocks: 4_096,
            chase_lanes: 4,
            chase_steps: 64,
            chase_checkpoint_every: 16,
            probe_attempts: 2,
        },
        money: Money {
            collateral_gwei_min: 1_000,
            reward_gwei_per_epoch: 1,
            slash_bps: Bps(1_000),
        },
        attestation: AttestationPolicy::of_pcrs(1, vec![]),
    })
}

fn params(plan: &Plan, class: &ValidClass, stakes: &[(bool, u128)]) -> NetworkParams {
    let entry = |(n, (_, stake)): (usize, &(bool, u128))| {
        let mut id = [0x60; 32];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let mut ledger = [0x70; 20];
        ledger[..8].copy_from_slice(&(n as u64).to_be_bytes());
        RosterEntry {
            id: HyperNodeId(id),
            operator: Digest(id),
            ledger: Address(ledger),
            stake: Stake(*stake),
            seed_end: Seed([0; 32]),
        }
    };
    NetworkParams {
        chain_id: 1,
        contract: Address([0; 20]),
        genesis_unix_ms: UnixMs(0),
        epoch_ms: u64::from(SLOTS) * 60_000,
        slot_ms: 60_000,
        clock_skew_ms_max: 500,
        panel_min: plan.panel,
        operator_cap_bps: Bps(plan.cap_bps),
        systemic_min_providers: 5,
        control_probes: 2,
        persistence: plan.persistence,
        reaudit_seats: if plan.persistence == (1, 1) { 0 } else { 101 },
        region_epochs: 168,
        seed_chain_links: 64,
        commit_ms: 1,
        reveal_ms: 2,
        vote_ms: 3,
        void_after_ms: 4,
        absent_epochs: 0,
        gwei: 1_000_000_000,
        classes: vec![class.digest()],
        roster: stakes.iter().enumerate().map(entry).collect(),
    }
}
