//! One epoch of a large network on one core: `cargo bench -p assay-aggregate --bench scale [-- NODES [HYPERNODES [SLOTS]]]`.
//!
//! Prints, for a quarter, a half and all of the nodes: processor seconds of `Aggregator::epoch` with tree and root (so that
//! other work on the machine does not count), the same by the clock on the wall, the memory of the process, and what
//! doubling the nodes costs (2.00 is linear). Every HyperNode reports every node.

use assay_aggregate::epoch::{
    Aggregator, EpochInput, Included, NodeState, Registration, RootHead, Seat, Standing, States,
};
use assay_protocol::class::{
    AttestationPolicy, Budget, Hardware, HardwareClass, Money, Sla, ValidClass,
};
use assay_protocol::ids::*;
use assay_protocol::item::Blob;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_protocol::report::{AttestSummary, ChaseKind, ChaseSummary, NodeReport, Report};
use std::collections::BTreeMap;
use std::time::Instant;

struct Size {
    nodes: u32,
    hypernodes: u32,
    slots: u32,
}

fn main() {
    // cargo passes --bench.
    let numbers: Vec<u32> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (nodes, hypernodes, slots) = (number(0, 100_000), number(1, 100), number(2, 60));
    for systemic in [0, 5] {
        println!("{hypernodes} HyperNodes, {slots} slots, systemic_min_providers {systemic}");
        let mut before = None;
        for nodes in [nodes / 4, nodes / 2, nodes] {
            let size = Size {
                nodes,
                hypernodes,
                slots,
            };
            let (seconds, wall) = measure(&size, systemic);
            let ratio = before.map_or(String::new(), |b: f64| {
                format!(", doubling {:.2}", seconds / b)
            });
            println!(
                "{nodes:>7} nodes: {seconds:6.2} s ({wall:.2} s on the wall), {:6.0} nodes/s, resident {} MiB{ratio}",
                f64::from(nodes) / seconds,
                resident_mib(),
            );
            before = Some(seconds);
        }
    }
}

fn measure(size: &Size, systemic: u32) -> (f64, f64) {
    let class = class();
    let params = params(size, systemic, &class);
    let committee: Vec<Seat> = (0..size.hypernodes).map(seat).collect();
    let classes = BTreeMap::from([(class.digest(), class.clone())]);
    let registrations: Vec<_> = (0..size.nodes)
        .map(|n| Registration {
            node: node(n),
            provider: provider(n),
            class: class.digest(),
            standing: Standing::Owner,
        })
        .collect();
    let confirmed = |n| NodeState {
        confirmed_owner: Some(provider(n)),
        ..NodeState::default()
    };
    let prior = States {
        nodes: (0..size.nodes).map(|n| (node(n), confirmed(n))).collect(),
        rewards: (0..size.nodes).map(|n| (provider(n), 1)).collect(),
        ..States::default()
    };
    let reports: BTreeMap<_, _> = (0..size.hypernodes)
        .map(|h| (hypernode(h), included(size, &params, &class, h)))
        .collect();
    let (start, wall) = (processor_s(), Instant::now());
    let input = EpochInput {
        params: &params,
        epoch: Epoch(1),
        beacon: Beacon([7; 32]),
        round: 0,
        committee: &committee,
        head: RootHead {
            committee: Keccak([0; 32]),
            next_committee: Keccak([0; 32]),
            policy_digest: Digest([0; 32]),
        },
        classes: &classes,
        registrations: &registrations,
        sites: &BTreeMap::new(),
        prior: &prior,
        reports: &reports,
        // Too little for all, so that every node's reward is cut.
        budget: u128::from(size.nodes),
    };
    let outcome = Aggregator::new(input).and_then(|a| a.epoch()).unwrap();
    let seconds = (processor_s() - start, wall.elapsed().as_secs_f64());
    let leaves = size.nodes as usize + prior.rewards.len();
    assert_eq!(outcome.root.leaf_count as usize, leaves);
    assert!(outcome.root.cumulative_reward > prior.rewards.len() as u128);
    assert!(outcome.leaves.iter().all(|leaf| leaf.verdict == 1));
    seconds
}

/// Spread over the whole space, as hashes are.
fn node(n: u32) -> NodeId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&n.reverse_bits().to_be_bytes());
    NodeId(id)
}

fn hypernode(h: u32) -> HyperNodeId {
    let mut id = [0; 32];
    id[28..].copy_from_slice(&h.to_be_bytes());
    HyperNodeId(id)
}

/// Ten nodes each.
fn provider(n: u32) -> Address {
    let mut address = [0; 20];
    address[16..].copy_from_slice(&(n / 10 + 1).to_be_bytes());
    Address(address)
}

fn seat(h: u32) -> Seat {
    Seat {
        hypernode: hypernode(h),
        operator: Digest(hypernode(h).0),
        ledger: provider(h * 10),
        weight: 1_000 + u128::from(h),
    }
}

fn included(size: &Size, params: &NetworkParams, class: &ValidClass, h: u32) -> Included {
    let mut nodes: Vec<_> = (0..size.nodes)
        .map(|n| node_report(size, class, n))
        .collect();
    nodes.sort_unstable_by_key(|entry| entry.node);
    let report = Report {
        network: params.network_id(),
        epoch: Epoch(1),
        hypernode: hypernode(h),
        seed: Seed([0; 32]),
        log_size: 0,
        log_root: Digest([0; 32]),
        nodes,
        at: UnixMs(0),
    };
    Included {
        commit: Digest([0; 32]),
        report,
    }
}

fn node_report(size: &Size, class: &ValidClass, n: u32) -> NodeReport {
    NodeReport {
        node: node(n),
        class: class.digest(),
        cells: Blob(vec![1; size.slots as usize]),
        attest: AttestSummary {
            class: OutcomeClass::Pass,
            tier: 1,
            owner: Some(provider(n)),
            chips: None,
        },
        chase: ChaseSummary {
            class: OutcomeClass::Pass,
            reads_per_s: 500 + u64::from(n % 100),
            kind: ChaseKind::Liveness,
        },
        outcome_root: Digest([0; 32]),
        outcomes: 0,
        reveals: vec![],
    }
}

/// Seconds this thread ran, from the kernel.
fn processor_s() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns: u64 = times
        .split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0);
    ns as f64 / 1e9
}

/// Most memory the process ever held, from the kernel.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib / 1024)
}

fn class() -> ValidClass {
    let hardware = Hardware {
        cpu: "any".into(),
        cores: 1,
        memory_mib: 1,
        disk_gib: 1,
        nic_mbps: 1,
    };
    let sla = Sla {
        availability_ppm: Ppm(950_000),
        coverage_ppm_min: Ppm(800_000),
        chase_reads_per_s_min: 10_000,
        chase_liveness_reads_per_s_min: 100,
    };
    let budget = Budget {
        region_blocks: 4_096,
        chase_lanes: 4,
        chase_steps: 64,
        chase_checkpoint_every: 16,
        probe_attempts: 2,
    };
    let money = Money {
        collateral_gwei_min: 1_000,
        reward_gwei_per_epoch: 5,
        slash_bps: Bps(1_000),
    };
    let class = HardwareClass {
        schema: 2,
        name: "scale".into(),
        summary: "for a benchmark".into(),
        hardware,
        sla,
        budget,
        money,
        attestation: AttestationPolicy::of_pcrs(1, vec![]),
    };
    ValidClass::new(class).unwrap()
}

fn params(size: &Size, systemic: u32, class: &ValidClass) -> NetworkParams {
    let entry = |h| RosterEntry {
        id: hypernode(h),
        operator: Digest(hypernode(h).0),
        ledger: provider(h * 10),
        stake: Stake(seat(h).weight),
        seed_end: Seed([0; 32]),
    };
    NetworkParams {
        chain_id: 31_337,
        contract: Address([1; 20]),
        genesis_unix_ms: UnixMs(0),
        epoch_ms: u64::from(size.slots) * 60_000,
        slot_ms: 60_000,
        clock_skew_ms_max: 500,
        panel_min: 3,
        operator_cap_bps: Bps(500),
        systemic_min_providers: systemic,
        control_probes: 2,
        persistence: (3, 6),
        reaudit_seats: 101,
        region_epochs: 168,
        seed_chain_links: 64,
        commit_ms: 1,
        reveal_ms: 2,
        vote_ms: 3,
        void_after_ms: 4,
        absent_epochs: 0,
        gwei: 1_000_000_000,
        classes: vec![class.digest()],
        roster: (0..size.hypernodes).map(entry).collect(),
    }
}
