//! Whole epochs: reports, registrations and earlier states to leaves and root.

use crate::Case;
use crate::random::Random;
use crate::rules::{history, history_json, members, members_json};
use assay_aggregate::draw::Candidate;
use assay_aggregate::epoch::{
    Aggregator, EpochInput, EpochOutcome, Included, NodeState, Registration, RootHead, Seat,
    Standing, States,
};
use assay_aggregate::persistence::{Record, Rule};
use assay_aggregate::root::{AbsenceLeaf, NodeLeaf, RewardLeaf};
use assay_aggregate::verdict::reason;
use assay_protocol::class::{
    AttestationPolicy, Budget, Hardware, HardwareClass, Money, Sla, ValidClass,
};
use assay_protocol::ids::*;
use assay_protocol::item::Blob;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_protocol::report::{AttestSummary, ChaseKind, ChaseSummary, NodeReport, Report};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What the cases of one test have in common.
struct Shape {
    members: u64,
    slots: u64,
    panel: u32,
    reaudit: u32,
}

/// Everything an epoch is made of.
struct World {
    params: NetworkParams,
    class: ValidClass,
    members: Vec<Candidate>,
    epoch: u64,
    beacon: Beacon,
    registrations: Vec<Registration>,
    sites: BTreeMap<NodeId, Digest>,
    prior: States,
    budget: u128,
    histories: BTreeMap<NodeId, Value>,
    reports: BTreeMap<HyperNodeId, Included>,
}

impl Shape {
    fn small(random: &mut Random) -> Self {
        Self {
            members: random.within(1, 8),
            slots: random.within(4, 8),
            panel: random.within(2, 4) as u32,
            reaudit: random.pick(&[0, 0, 101]),
        }
    }
}

pub fn small(random: &mut Random) -> Case {
    let shape = Shape::small(random);
    case(random, &shape)
}

/// More members than seats of a re-audit.
const CROWD: Shape = Shape {
    members: 110,
    slots: 26,
    panel: 4,
    reaudit: 101,
};

pub fn with_drawn_seats(random: &mut Random) -> Case {
    case(random, &CROWD)
}

/// Whether the same case has a node that drawn seats judge.
pub fn puts_on_trial(random: &mut Random) -> bool {
    let world = World::new(random, &CROWD);
    let serves = |node, owner| {
        let mut all = world.registrations.iter().filter(|r| r.node == node);
        all.any(|r| Some(r.provider) == owner && r.standing != Standing::Leaving)
    };
    let mut states = world.prior.nodes.iter();
    states.any(|(node, state)| {
        state.record.on_trial(Epoch(world.epoch)) && serves(*node, state.confirmed_owner)
    })
}

/// How many nodes of the same case stay with their owner, change hands by an offer, go back to the owner on the ledger, are
/// nobody's after they were somebody's, and are confirmed.
pub fn owners(random: &mut Random, seen: &mut [usize; 5]) {
    let shape = Shape::small(random);
    let world = World::new(random, &shape);
    let Some(outcome) = world.outcome() else {
        return;
    };
    for (node, state) in outcome.states.nodes {
        let before = world.prior.nodes.get(&node);
        let before = before.and_then(|state| state.confirmed_owner);
        let of = |owner| {
            let mut all = world.registrations.iter();
            all.any(|r| r.node == node && Some(r.provider) == owner)
        };
        let at = match (before, state.confirmed_owner) {
            (Some(before), Some(now)) if before == now => 0,
            (Some(before), Some(_)) if of(Some(before)) => 1,
            (Some(_), Some(_)) => 2,
            (Some(_), None) => 3,
            (None, Some(_)) => 4,
            (None, None) => continue,
        };
        seen[at] += 1;
    }
}

/// How many nodes of the same case are bound to their first processors, to others than before, to the same, to none any more,
/// and are nobody's for the processors of another node.
pub fn processors(random: &mut Random, seen: &mut [usize; 5]) {
    let shape = Shape::small(random);
    let world = World::new(random, &shape);
    let Some(outcome) = world.outcome() else {
        return;
    };
    for (leaf, (node, state)) in outcome.leaves.iter().zip(&outcome.states.nodes) {
        let before = world.prior.nodes.get(node);
        let before = before.and_then(|state| state.chips);
        let warned = !leaf.confirmed && leaf.reasons & reason::IDENTITY != 0;
        let at = match (before, state.chips) {
            (None, Some(_)) => 0,
            (Some(before), Some(now)) if before != now => 1,
            (Some(_), Some(_)) => 2,
            (Some(_), None) => 3,
            (None, None) if warned => 4,
            (None, None) => continue,
        };
        seen[at] += 1;
    }
}

fn case(random: &mut Random, shape: &Shape) -> Case {
    let world = World::new(random, shape);
    Case {
        rule: "epoch",
        input: world.json(),
        expected: world.aggregated(),
    }
}

fn address(n: u64) -> Address {
    Address([n as u8 + 1; 20])
}

fn chips(n: u64) -> Digest {
    Digest([n as u8 + 1; 32])
}

fn node_id(n: u64) -> NodeId {
    NodeId([n as u8 + 1; 32])
}

impl World {
    fn new(random: &mut Random, shape: &Shape) -> Self {
        let class = class(random);
        let mut members = members(random, shape.members);
        // Somebody has weight, and most have alike: else one HyperNode decides everything.
        for member in &mut members {
            if !random.chance(8) {
                member.weight = u128::from(random.within(900, 1_000));
            }
        }
        members[0].weight = members[0].weight.max(1);
        let params = params(random, shape, &class, &members);
        let epoch = random.pick(&[0, 3, 40]);
        let nodes = random.pick(&[1, 2, 4, 9]);
        let mut world = Self {
            class,
            members,
            epoch,
            beacon: Beacon(random.bytes()),
            registrations: Vec::new(),
            sites: BTreeMap::new(),
            prior: States::default(),
            budget: 0,
            histories: BTreeMap::new(),
            reports: BTreeMap::new(),
            params,
        };
        (0..nodes).for_each(|n| world.add_node(random, n));
        world.add_reports(random, shape, nodes);
        world.add_money(random);
        world.add_absences(random);
        world
    }

    fn add_node(&mut self, random: &mut Random, n: u64) {
        let (node, class) = (node_id(n), self.class.digest());
        let mut standings = BTreeMap::new();
        if random.chance(3) {
            standings.insert(address(9), Standing::Offered);
            standings.insert(address(n), Standing::Owner);
        } else {
            for _ in 0..random.below(4) {
                let provider = address(random.pick(&[n, n, n % 3, 9]));
                standings.insert(
                    provider,
                    random.pick(&[Standing::Waiting, Standing::Offered]),
                );
            }
            // At most one owner.
            if let Some(mut first) = standings.first_entry() {
                use Standing::{Leaving, Owner};
                let standing = *first.get();
                first.insert(random.pick(&[standing, standing, Owner, Owner, Leaving]));
            }
        }
        let registration = |(provider, standing)| Registration {
            node,
            provider,
            class,
            standing,
        };
        self.registrations
            .extend(standings.into_iter().map(registration));
        if random.chance(3) {
            let site = Digest([random.below(4) as u8; 32]);
            self.sites.insert(node, site);
        }
        if random.chance(4) {
            return;
        }
        let from = self.epoch.saturating_sub(8);
        let count = random.below(10);
        let mut past = history(random, from, count);
        past.retain(|(epoch, _)| *epoch < self.epoch);
        let rule = Rule::of(&self.params);
        let observe =
            |record: Record, step: &(u64, _)| record.observe(&rule, Epoch(step.0), step.1).0;
        let large = random.chance(9);
        let state = NodeState {
            confirmed_owner: (!random.chance(6)).then(|| address(n)),
            cumulative_up_slots: if large { u64::MAX - 3 } else { random.value() },
            cumulative_down_slots: random.value(),
            cumulative_slash: if large { u128::MAX } else { random.stake() },
            record: past.iter().fold(Record::default(), observe),
            chips: random.pick(&[None, Some(chips(n)), Some(chips(n)), Some(chips(n + 16))]),
        };
        self.histories.insert(node, history_json(&past));
        self.prior.nodes.insert(node, state);
    }

    /// Enough for all passes, or for a part of them only; sums so far that leave room, or hardly any, or are impossible.
    fn add_money(&mut self, random: &mut Random) {
        let reward = self
            .params
            .gwei()
            .units(self.class.money.reward_gwei_per_epoch);
        let part = reward / 7 * u128::from(random.within(1, 40));
        self.budget = random.pick(&[u128::MAX, u128::MAX, part, part, part, 0, 1, reward]);
        for n in 0..random.below(5) {
            let sum = random.stake().max(1);
            self.prior.rewards.insert(address(n), sum);
        }
        if random.chance(9) {
            let most = u128::MAX - (1 << 100);
            let sum = random.pick(&[most, most, most, u128::MAX - 1, u128::MAX]);
            self.prior.rewards.insert(address(9), sum);
        }
    }

    /// Who missed epochs before this one; among them such as are heard now, and have no say.
    fn add_absences(&mut self, random: &mut Random) {
        for member in &self.members {
            let missed = random.pick(&[0, 0, 1, 4, u32::MAX]);
            if missed > 0 {
                self.prior.missed.insert(member.hypernode, missed);
            }
        }
    }

    fn add_reports(&mut self, random: &mut Random, shape: &Shape, nodes: u64) {
        // What is true of each node, so that reports mostly agree.
        let outage = random.chance(2);
        let mut down: Vec<u64> = (0..nodes).map(|_| random.pick(&[0, 0, 1, 3, 9])).collect();
        if outage {
            down.iter_mut().skip(1).for_each(|down| *down = 3);
        }
        let named: Vec<u64> = (0..nodes).map(|n| random.pick(&[n, n, 9])).collect();
        // Mostly their own ones; or others, those of the next node, or those of many.
        let mixed = random.chance(2);
        let shown = |n, random: &mut Random| match mixed {
            true => random.pick(&[n, n + 16, (n + 1) % nodes, 9, 9, 9, 9]),
            false => n,
        };
        let shown: Vec<u64> = (0..nodes).map(|n| shown(n, random)).collect();
        let failing: Vec<bool> = (0..nodes).map(|_| random.chance(5)).collect();
        let slow: Vec<bool> = (0..nodes).map(|_| random.chance(5)).collect();
        let network = self.params.network_id();
        for member in self.members.clone() {
            if random.chance(10) {
                continue;
            }
            let lies = random.chance(5);
            let mut reports = Vec::new();
            for n in 0..nodes {
                if random.chance(12) {
                    continue;
                }
                let at = n as usize;
                let lied = |random: &mut Random, truth: bool| truth ^ (lies && random.chance(2));
                let truth = [failing[at], slow[at]].map(|truth| lied(random, truth));
                let told = (down[at], named[at], shown[at]);
                reports.push(self.node_report(random, shape, n, told, truth));
            }
            let report = Report {
                network,
                epoch: Epoch(self.epoch),
                hypernode: member.hypernode,
                seed: Seed([0; 32]),
                log_size: 0,
                log_root: Digest([0; 32]),
                nodes: reports,
                at: UnixMs(0),
            };
            let commit = Digest([0; 32]);
            self.reports
                .insert(member.hypernode, Included { commit, report });
        }
    }

    fn node_report(
        &self,
        random: &mut Random,
        shape: &Shape,
        n: u64,
        (down, named, shown): (u64, u64, u64),
        [fails, slow]: [bool; 2],
    ) -> NodeReport {
        let slots = if random.chance(40) {
            shape.slots + 1
        } else {
            shape.slots
        };
        let cell = |slot: u64, random: &mut Random| match random.below(12) {
            0 => random.below(7) as u8,
            _ => {
                if slot < down {
                    2
                } else {
                    1
                }
            }
        };
        let cells = (0..slots).map(|slot| cell(slot, random)).collect();
        let floor = self.class.sla.chase_liveness_reads_per_s_min;
        let rates = if slow {
            [0, 1, floor.saturating_sub(1), floor]
        } else {
            [floor, floor + 1, u64::MAX, floor * 9]
        };
        let outcome = |random: &mut Random, fails: bool| match random.below(8) {
            0 => random.pick(&OutcomeClass::ALL),
            _ if fails => OutcomeClass::Fail,
            _ => OutcomeClass::Pass,
        };
        NodeReport {
            node: node_id(n),
            class: if random.chance(40) {
                Digest([1; 32])
            } else {
                self.class.digest()
            },
            cells: Blob(cells),
            attest: AttestSummary {
                class: outcome(random, fails),
                tier: random.pick(&[0, 1, 1, 1, 2, 3, 255]),
                owner: match random.below(24) {
                    0 => None,
                    1 => Some(address(n)),
                    2 => Some(address(9)),
                    _ => Some(address(named)),
                },
                chips: match random.below(24) {
                    0 => None,
                    1 => Some(chips(9)),
                    _ => Some(chips(shown)),
                },
            },
            chase: ChaseSummary {
                class: outcome(random, fails && slow),
                reads_per_s: random.pick(&rates),
                kind: random.pick(&[ChaseKind::Liveness, ChaseKind::Liveness, ChaseKind::Iops]),
            },
            outcome_root: Digest([0; 32]),
            outcomes: 0,
            reveals: vec![],
        }
    }

    fn outcome(&self) -> Option<EpochOutcome> {
        let seat = |(n, member): (usize, &Candidate)| Seat {
            hypernode: member.hypernode,
            operator: member.operator,
            ledger: Address([n as u8; 20]),
            weight: member.weight,
        };
        let committee: Vec<Seat> = self.members.iter().enumerate().map(seat).collect();
        let classes = BTreeMap::from([(self.class.digest(), self.class.clone())]);
        let input = EpochInput {
            params: &self.params,
            epoch: Epoch(self.epoch),
            beacon: self.beacon,
            round: 0,
            committee: &committee,
            head: RootHead {
                committee: Keccak([0; 32]),
                next_committee: Keccak([0; 32]),
                policy_digest: Digest([0; 32]),
            },
            classes: &classes,
            registrations: &self.registrations,
            sites: &self.sites,
            prior: &self.prior,
            reports: &self.reports,
            budget: self.budget,
        };
        Aggregator::new(input).unwrap().epoch().ok()
    }

    fn aggregated(&self) -> Value {
        let Some(outcome) = self.outcome() else {
            return Value::Null;
        };
        let leaves = outcome.leaves.iter().map(NodeLeaf::abi).map(words);
        let rewards = outcome.rewards.iter().map(RewardLeaf::abi).map(words);
        let absences = outcome.absences.iter().map(AbsenceLeaf::abi).map(words);
        json!({
            "leaves": leaves.collect::<Vec<_>>(), "rewards": rewards.collect::<Vec<_>>(),
            "absences": absences.collect::<Vec<_>>(),
            "root": outcome.root.root.to_string(), "leaf_count": outcome.root.leaf_count,
            "cumulative_reward": outcome.root.cumulative_reward.to_string(),
        })
    }

    fn json(&self) -> Value {
        let (params, class) = (&self.params, &self.class);
        let named = |id: &NodeId| id.to_string();
        let prior: Map<_, _> = self
            .prior
            .nodes
            .iter()
            .map(|(id, state)| (named(id), self.state_json(id, state)))
            .collect();
        let earned: BTreeMap<String, String> = self
            .prior
            .rewards
            .iter()
            .map(|(provider, sum)| (provider.to_string(), sum.to_string()))
            .collect();
        let missed: BTreeMap<String, u32> = self
            .prior
            .missed
            .iter()
            .map(|(id, missed)| (id.to_string(), *missed))
            .collect();
        let mut claims: BTreeMap<String, Vec<[String; 2]>> = BTreeMap::new();
        for claim in &self.registrations {
            claims
                .entry(named(&claim.node))
                .or_default()
                .push([claim.provider.to_string(), standing_json(claim.standing)]);
        }
        let sites: Map<_, _> = self
            .sites
            .iter()
            .map(|(id, site)| (named(id), site.to_string().into()))
            .collect();
        let reports: Map<_, _> = self
            .reports
            .iter()
            .map(|(id, included)| (id.to_string(), self.report_json(&included.report)))
            .collect();
        json!({
            "network": params.network_id().to_string(), "beacon": self.beacon.to_string(), "epoch": self.epoch,
            "members": members_json(&self.members), "panel": params.panel_min, "slots": params.slots(),
            "systemic": params.systemic_min_providers, "persistence": params.persistence,
            "absent": params.absent_epochs, "gwei": params.gwei, "missed": missed,
            "reaudit": params.reaudit_seats, "earned": earned, "budget": self.budget.to_string(), "prior": prior, "claims": claims, "sites": sites, "reports": reports,
            "class": {
                "tier": class.attestation.tier_min, "target": class.sla.availability_ppm,
                "coverage": class.sla.coverage_ppm_min,
                "floors": [class.sla.chase_liveness_reads_per_s_min, class.sla.chase_reads_per_s_min],
                "money": {
                    "reward_gwei": class.money.reward_gwei_per_epoch,
                    "collateral_gwei": class.money.collateral_gwei_min, "slash_bps": class.money.slash_bps,
                },
            },
        })
    }

    fn state_json(&self, id: &NodeId, state: &NodeState) -> Value {
        json!({
            "owner": state.confirmed_owner.map(|owner| owner.to_string()),
            "chips": state.chips.map(|chips| chips.to_string()),
            "up": state.cumulative_up_slots, "down": state.cumulative_down_slots,
            "slash": state.cumulative_slash.to_string(), "history": self.histories[id],
        })
    }

    fn report_json(&self, report: &Report) -> Value {
        let entry = |node: &NodeReport| {
            let value = json!({
                "class_ok": node.class == self.class.digest(), "cells": node.cells.0,
                "attest": node.attest.class.name(), "tier": node.attest.tier,
                "owner": node.attest.owner.map(|owner| owner.to_string()),
                "chips": node.attest.chips.map(|chips| chips.to_string()),
                "chase": node.chase.class.name(), "rate": node.chase.reads_per_s, "kind": node.chase.kind as u8,
            });
            (node.node.to_string(), value)
        };
        report.nodes.iter().map(entry).collect::<Map<_, _>>().into()
    }
}

fn standing_json(standing: Standing) -> String {
    let name = match standing {
        Standing::Waiting => "waiting",
        Standing::Offered => "offered",
        Standing::Owner => "owner",
        Standing::Leaving => "leaving",
    };
    name.into()
}

/// A leaf's words after its type, as decimal numbers.
fn words(abi: Vec<u8>) -> Value {
    let words = abi.as_chunks::<32>().0.iter().skip(1);
    words
        .map(|word| alloy_primitives::U256::from_be_bytes(*word).to_string())
        .collect()
}

fn class(random: &mut Random) -> ValidClass {
    let class = HardwareClass {
        schema: 2,
        name: "test".into(),
        summary: "for tests".into(),
        hardware: Hardware {
            cpu: "any".into(),
            cores: 1,
            memory_mib: 1,
            disk_gib: 1,
            nic_mbps: 1,
        },
        sla: Sla {
            availability_ppm: Ppm(random.pick(&[1, 500_000, 600_000, 900_000, 1_000_000])),
            coverage_ppm_min: Ppm(random.pick(&[1, 500_000, 800_000, 1_000_000])),
            chase_reads_per_s_min: 10_000,
            chase_liveness_reads_per_s_min: random.pick(&[1, 100]),
        },
        budget: Budget {
            region_blocks: 4_096,
            chase_lanes: 4,
            chase_steps: 64,
            chase_checkpoint_every: 16,
            probe_attempts: 2,
        },
        money: Money {
            collateral_gwei_min: random.value(),
            reward_gwei_per_epoch: random.value(),
            slash_bps: Bps(random.pick(&[0, 1, 3_333, 10_000])),
        },
        attestation: AttestationPolicy::of_pcrs(1, vec![]),
    };
    ValidClass::new(class).unwrap()
}

fn params(
    random: &mut Random,
    shape: &Shape,
    class: &ValidClass,
    members: &[Candidate],
) -> NetworkParams {
    let entry = |member: &Candidate| RosterEntry {
        id: member.hypernode,
        operator: member.operator,
        ledger: Address([0; 20]),
        stake: Stake(member.weight),
        seed_end: Seed([0; 32]),
    };
    NetworkParams {
        chain_id: 31_337,
        contract: Address([1; 20]),
        genesis_unix_ms: UnixMs(0),
        epoch_ms: shape.slots * 1_000,
        slot_ms: 1_000,
        clock_skew_ms_max: 500,
        panel_min: shape.panel,
        operator_cap_bps: Bps(10_000),
        systemic_min_providers: random.pick(&[0, 5, 5, 6]),
        control_probes: 2,
        persistence: random.pick(&[(1, 1), (1, 1), (2, 3), (3, 6)]),
        reaudit_seats: shape.reaudit,
        region_epochs: 2,
        seed_chain_links: 64,
        commit_ms: 1,
        reveal_ms: 2,
        vote_ms: 3,
        void_after_ms: 4,
        absent_epochs: [0, 1, 1, 2, 5][shape.slots as usize % 5],
        gwei: [1_000_000_000, 1, 100][shape.slots as usize % 3],
        classes: vec![class.digest()],
        roster: members.iter().map(entry).collect(),
    }
}
