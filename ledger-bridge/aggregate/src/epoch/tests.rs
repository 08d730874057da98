use super::*;
use assay_protocol::class::{AttestationPolicy, Budget, Hardware, Money, Sla};
use assay_protocol::ids::{Bps, Seed, Stake, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::params::RosterEntry;
use assay_protocol::report::{AttestSummary, Cell, ChaseSummary, NodeReport};
use proptest::prelude::*;

mod absence;
mod chips;
mod owner;
mod rewards;
mod rules;

const WEIGHTS: [u128; 4] = [40, 25, 20, 15];
const SLOTS: usize = 30;
const WEI_PER_GWEI: u128 = 1_000_000_000;
const REWARD: u128 = 5 * WEI_PER_GWEI;
const SLASH: u128 = 100 * WEI_PER_GWEI;
const OWNER: Address = Address([0xaa; 20]);

fn hyper(n: usize) -> HyperNodeId {
    HyperNodeId([n as u8 + 1; 32])
}

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn class() -> ValidClass {
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
            availability_ppm: Ppm(900_000),
            coverage_ppm_min: Ppm(800_000),
            chase_reads_per_s_min: 10_000,
            chase_liveness_reads_per_s_min: 100,
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
            reward_gwei_per_epoch: 5,
            slash_bps: Bps(1_000),
        },
        attestation: AttestationPolicy::of_pcrs(1, vec![]),
    };
    ValidClass::new(class).unwrap()
}

fn params() -> NetworkParams {
    let entry = |n: usize| RosterEntry {
        id: hyper(n),
        operator: Digest([n as u8; 32]),
        ledger: Address([n as u8; 20]),
        stake: Stake(WEIGHTS[n]),
        seed_end: Seed([n as u8; 32]),
    };
    NetworkParams {
        chain_id: 31_337,
        contract: Address([1; 20]),
        genesis_unix_ms: UnixMs(0),
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
        classes: vec![class().digest()],
        roster: (0..4).map(entry).collect(),
    }
}

/// Owned parts of an input: an honest node 1 that all four HyperNodes saw up.
#[derive(Clone)]
struct Case {
    params: NetworkParams,
    committee: Vec<Seat>,
    classes: BTreeMap<Digest, ValidClass>,
    registrations: Vec<Registration>,
    sites: BTreeMap<NodeId, Site>,
    prior: States,
    reports: BTreeMap<HyperNodeId, Included>,
    budget: u128,
}

fn node_report(n: u8) -> NodeReport {
    NodeReport {
        node: node(n),
        class: class().digest(),
        cells: Blob(vec![Cell::Answered as u8; SLOTS]),
        attest: AttestSummary {
            class: OutcomeClass::Pass,
            tier: 1,
            owner: Some(OWNER),
            chips: None,
        },
        chase: ChaseSummary {
            class: OutcomeClass::Pass,
            reads_per_s: 500,
            kind: ChaseKind::Liveness,
        },
        outcome_root: Digest([0; 32]),
        outcomes: 0,
        reveals: vec![],
    }
}

const HEAD: RootHead = RootHead {
    committee: Keccak([5; 32]),
    next_committee: Keccak([6; 32]),
    policy_digest: Digest([8; 32]),
};

/// Nodes whose owners an earlier root confirmed; nothing else is known of them.
fn confirmed(nodes: impl IntoIterator<Item = (NodeId, Address)>) -> States {
    let state = |owner| NodeState {
        confirmed_owner: Some(owner),
        ..NodeState::default()
    };
    States {
        nodes: nodes
            .into_iter()
            .map(|(id, owner)| (id, state(owner)))
            .collect(),
        ..States::default()
    }
}

impl Case {
    fn new() -> Self {
        let params = params();
        let network = params.network_id();
        let seat = |n: usize| Seat {
            hypernode: hyper(n),
            operator: Digest([n as u8; 32]),
            ledger: Address([n as u8; 20]),
            weight: WEIGHTS[n],
        };
        let report = |n: usize| Report {
            network,
            epoch: Epoch(1),
            hypernode: hyper(n),
            seed: Seed([0; 32]),
            log_size: n as u64 + 10,
            log_root: Digest([n as u8; 32]),
            nodes: vec![node_report(1)],
            at: UnixMs(0),
        };
        let included = |n: usize| {
            (
                hyper(n),
                Included {
                    commit: Digest([n as u8; 32]),
                    report: report(n),
                },
            )
        };
        Self {
            params,
            committee: (0..4).map(seat).collect(),
            classes: BTreeMap::from([(class().digest(), class())]),
            registrations: vec![Registration {
                node: node(1),
                provider: OWNER,
                class: class().digest(),
                standing: Standing::Waiting,
            }],
            sites: BTreeMap::new(),
            prior: confirmed([(node(1), OWNER)]),
            reports: (0..4).map(included).collect(),
            budget: u128::MAX,
        }
    }

    fn input(&self) -> EpochInput<'_> {
        EpochInput {
            params: &self.params,
            epoch: Epoch(1),
            beacon: Beacon([7; 32]),
            round: 0,
            committee: &self.committee,
            head: HEAD,
            classes: &self.classes,
            registrations: &self.registrations,
            sites: &self.sites,
            prior: &self.prior,
            reports: &self.reports,
            budget: self.budget,
        }
    }

    fn run(&self) -> EpochOutcome {
        Aggregator::new(self.input()).unwrap().epoch().unwrap()
    }

    fn leaf(&self) -> NodeLeaf {
        self.run().leaves[0]
    }

    /// What all providers have earned after the epoch, by the root.
    fn earned(&self) -> u128 {
        self.run().root.cumulative_reward
    }

    fn refused(&self) -> EpochError {
        Aggregator::new(self.input()).unwrap_err()
    }

    /// Changes node 1 in the reports of some HyperNodes.
    fn change(&mut self, who: &[usize], change: impl Fn(&mut NodeReport)) {
        for n in who {
            change(&mut self.reports.get_mut(&hyper(*n)).unwrap().report.nodes[0]);
        }
    }

    fn report(&mut self, n: usize) -> &mut Report {
        &mut self.reports.get_mut(&hyper(n)).unwrap().report
    }
}

fn verdict_of(case: &Case) -> (u8, u8) {
    let leaf = case.leaf();
    (leaf.verdict, leaf.reasons)
}

fn finding(verdict: Verdict, reasons: u8) -> (u8, u8) {
    (verdict as u8, reasons)
}

#[test]
fn an_honest_confirmed_node_passes_and_is_paid() {
    let case = Case::new();
    let outcome = case.run();
    let leaf = outcome.leaves[0];
    assert_eq!((leaf.verdict, leaf.reasons, leaf.tier), (1, 0, 1));
    assert_eq!((leaf.owner, leaf.confirmed), (OWNER, true));
    assert_eq!(
        (leaf.availability, leaf.upper),
        (Ppm(1_000_000), Ppm(1_000_000))
    );
    assert_eq!((leaf.coverage, leaf.lower), (Ppm(1_000_000), Ppm(917_275)));
    assert_eq!((leaf.chase_rate, leaf.chase_kind), (500, 0));
    assert_eq!(leaf.cumulative_slash, 0);
    assert_eq!(
        (leaf.cumulative_up_slots, leaf.cumulative_down_slots),
        (30, 0)
    );
    assert_eq!(leaf.chips, Digest([0; 32]), "reports carry none");
    let paid = RewardLeaf {
        epoch: Epoch(1),
        provider: OWNER,
        cumulative_reward: REWARD,
    };
    assert_eq!(outcome.rewards, [paid]);
    assert_eq!(outcome.states.rewards, [(OWNER, REWARD)].into());
    let root = outcome.root;
    assert_eq!((root.root, root.leaf_count), (outcome.tree.root(), 2));
    assert_eq!(root.cumulative_reward, REWARD);
    assert_eq!(root.policy_digest, HEAD.policy_digest);
    assert_eq!(
        (root.committee, root.next_committee),
        (HEAD.committee, HEAD.next_committee)
    );
}

#[test]
fn the_first_root_confirms_and_moves_no_money() {
    let mut case = Case::new();
    case.prior = States::default();
    let outcome = case.run();
    let leaf = outcome.leaves[0];
    assert_eq!((leaf.verdict, leaf.confirmed), (1, true));
    assert_eq!(
        (outcome.rewards, outcome.root.cumulative_reward),
        (vec![], 0)
    );
    // The second one pays.
    case.prior = outcome.states;
    assert_eq!(case.earned(), REWARD);

    case.prior = States::default();
    case.change(&[0, 1, 2, 3], |report| {
        report.attest.class = OutcomeClass::Fail
    });
    let outcome = case.run();
    assert_eq!(
        (
            outcome.leaves[0].verdict,
            outcome.leaves[0].cumulative_slash
        ),
        (3, 0)
    );
    case.prior = outcome.states;
    assert_eq!(case.leaf().cumulative_slash, SLASH);
}

#[test]
fn two_thirds_of_the_weight_are_not_enough_data() {
    let mut case = Case::new();
    // 60 of 100 remain.
    case.reports.remove(&hyper(0));
    let leaf = case.leaf();
    let unknown = finding(Verdict::Inconclusive, reason::DATA);
    assert_eq!((leaf.verdict, leaf.reasons), unknown);
    assert_eq!(
        (leaf.lower, leaf.upper, leaf.coverage),
        (Ppm(0), Ppm(1_000_000), Ppm(0))
    );
    assert_eq!((leaf.confirmed, case.earned()), (true, 0));

    let mut case = Case::new();
    case.reports.remove(&hyper(1));
    assert_eq!(case.leaf().verdict, Verdict::Pass as u8);
}

#[test]
fn data_that_does_not_fit_does_not_count() {
    let unusable: [fn(&mut NodeReport); 3] = [
        |report| report.class = Digest([0; 32]),
        |report| report.cells.0.push(1),
        |report| report.node = node(9),
    ];
    for change in unusable {
        let mut case = Case::new();
        case.change(&[0], change);
        let outcome = case.run();
        assert_eq!(outcome.leaves[0].reasons, reason::DATA);
    }
    let malformed: [fn(&mut Report); 4] = [
        |report| report.network = NetworkId([0; 32]),
        |report| report.epoch = Epoch(2),
        |report| report.hypernode = hyper(1),
        |report| report.nodes.push(report.nodes[0].clone()),
    ];
    for change in malformed {
        let mut case = Case::new();
        change(case.report(0));
        assert_eq!(
            verdict_of(&case),
            finding(Verdict::Inconclusive, reason::DATA)
        );
    }
}

#[test]
fn a_class_not_in_force_judges_nothing() {
    let mut case = Case::new();
    case.params.classes = vec![Digest([3; 32])];
    let network = case.params.network_id();
    for n in 0..4 {
        case.report(n).network = network;
    }
    assert_eq!(
        verdict_of(&case),
        finding(Verdict::Inconclusive, reason::DATA)
    );
    let mut case = Case::new();
    case.classes.clear();
    assert_eq!(
        verdict_of(&case),
        finding(Verdict::Inconclusive, reason::DATA)
    );
}

#[test]
fn failed_attestation_is_slashed() {
    let mut case = Case::new();
    case.change(&[0, 1], |report| {
        report.attest.class = OutcomeClass::Fail;
        report.attest.tier = 0;
    });
    let leaf = case.leaf();
    let breach = finding(Verdict::Breach, reason::ATTESTATION);
    assert_eq!((leaf.verdict, leaf.reasons), breach);
    assert_eq!((leaf.tier, leaf.cumulative_slash), (0, SLASH));
    assert_eq!(case.earned(), 0);
}

#[test]
fn a_node_that_was_stopped_is_slashed() {
    let mut case = Case::new();
    case.change(&[0, 1, 2, 3], |report| {
        report.cells.0[..15].fill(Cell::Unanswered as u8);
    });
    let leaf = case.leaf();
    let breach = finding(Verdict::Breach, reason::AVAILABILITY);
    assert_eq!((leaf.verdict, leaf.reasons), breach);
    assert_eq!(
        (leaf.availability, leaf.cumulative_slash),
        (Ppm(500_000), SLASH)
    );
}

#[test]
fn a_verifiers_fault_is_never_the_nodes_failure() {
    let mut case = Case::new();
    case.change(&[0, 1, 2, 3], |report| {
        report.cells.0[..15].fill(Cell::Inconclusive as u8);
    });
    let leaf = case.leaf();
    assert_eq!(
        (leaf.verdict, leaf.reasons),
        finding(Verdict::Warned, reason::COVERAGE)
    );
    assert_eq!(
        (leaf.availability, leaf.coverage),
        (Ppm(1_000_000), Ppm(500_000))
    );
    assert_eq!((case.earned(), leaf.cumulative_slash), (0, 0));
}

#[test]
fn cells_outside_the_panel_are_ignored() {
    let mut case = Case::new();
    case.params.panel_min = 2;
    let network = case.params.network_id();
    for n in 0..4 {
        case.report(n).network = network;
    }
    let aggregator = Aggregator::new(case.input()).unwrap();
    let panel = |slot| {
        let of = PanelOf {
            network,
            beacon: Beacon([7; 32]),
            epoch: Epoch(1),
            node: node(1),
            slot: Slot(slot),
        };
        aggregator.urn.panel(&of, 2)
    };
    let panels: Vec<Vec<HyperNodeId>> = (0..SLOTS as u32)
        .map(|slot| {
            panel(slot)
                .into_iter()
                .map(|member| member.hypernode)
                .collect()
        })
        .collect();
    // Members say up, everybody else says down.
    for n in 0..4 {
        for (slot, panel) in panels.iter().enumerate() {
            let member = panel.contains(&hyper(n));
            let cell = if member {
                Cell::Answered
            } else {
                Cell::Unanswered
            };
            case.report(n).nodes[0].cells.0[slot] = cell as u8;
        }
    }
    assert_eq!(case.leaf().availability, Ppm(1_000_000));
    assert_eq!(case.leaf().coverage, Ppm(1_000_000));
}

#[test]
fn chase_and_tier_reach_the_verdict() {
    let mut case = Case::new();
    case.change(&[0, 1, 2, 3], |report| report.chase.reads_per_s = 50);
    assert_eq!(verdict_of(&case), finding(Verdict::Breach, reason::CHASE));
    let mut case = Case::new();
    case.change(&[0, 1, 2, 3], |report| report.attest.tier = 0);
    assert_eq!(verdict_of(&case), finding(Verdict::Warned, reason::TIER));
}

#[test]
fn nodes_nobody_reports_keep_their_sums_in_every_root() {
    let mut case = Case::new();
    let kept = NodeState {
        confirmed_owner: Some(Address([0xcc; 20])),
        cumulative_up_slots: 70,
        cumulative_down_slots: 8,
        cumulative_slash: 7,
        record: Record::default(),
        chips: Some(Digest([3; 32])),
    };
    case.prior.nodes.insert(node(5), kept);
    case.registrations.push(Registration {
        node: node(5),
        provider: Address([0xcc; 20]),
        ..case.registrations[0]
    });
    case.prior.rewards.insert(Address([0xcc; 20]), 77);
    let outcome = case.run();
    assert_eq!(outcome.leaves.len(), 2);
    let state = outcome.states.nodes[&node(5)];
    assert_eq!(
        NodeState {
            record: kept.record,
            ..state
        },
        kept
    );
    let leaf = outcome.leaves[1];
    let slots = (leaf.cumulative_up_slots, leaf.cumulative_down_slots);
    assert_eq!((slots, leaf.cumulative_slash), ((70, 8), 7));
    let sums: Vec<_> = outcome
        .rewards
        .iter()
        .map(|r| (r.provider, r.cumulative_reward))
        .collect();
    assert_eq!(sums, [(OWNER, REWARD), (Address([0xcc; 20]), 77)]);
    assert_eq!(outcome.root.cumulative_reward, REWARD + 77);
    assert_eq!(void_epoch(&case.prior), case.prior);
}

#[test]
fn rules_that_would_judge_by_too_little_are_refused_by_name() {
    type Change = fn(&mut NetworkParams);
    let broken: [(&str, Change); 4] = [
        ("persistence", |params| params.persistence = (0, 6)),
        ("persistence", |params| params.persistence = (7, 6)),
        ("persistence", |params| params.persistence = (3, 65)),
        ("systemic_min_providers", |params| {
            params.systemic_min_providers = 4
        }),
    ];
    for (name, change) in broken {
        let mut case = Case::new();
        change(&mut case.params);
        let error = case.refused().to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn a_network_begins_with_enough_for_its_reaudits() {
    let refused = |seats, panel_min| {
        let mut params = Case::new().params;
        (params.slot_ms, params.panel_min, params.reaudit_seats) = (30_000, panel_min, seats);
        let error = crate::rules::check_genesis(&params, 7).err();
        error.map(|error| error.name)
    };
    assert_eq!(refused(6, 7), Some("reaudit_seats"));
    assert_eq!(refused(7, 6), Some("slots times panel_min"));
    for enough in [(0, 1), (7, 7), (101, 7)] {
        assert_eq!(refused(enough.0, enough.1), None, "{enough:?}");
    }
}

#[test]
fn strangers_and_broken_committees_are_refused() {
    let mut case = Case::new();
    let report = case.reports[&hyper(0)].clone();
    case.reports.insert(hyper(9), report);
    assert_eq!(case.refused(), EpochError::Stranger(hyper(9)));
    let mut case = Case::new();
    case.committee[1].ledger = case.committee[0].ledger;
    assert!(matches!(case.refused(), EpochError::Committee(_)));
}

#[test]
fn the_root_covers_inputs_evidence_and_policy() {
    let base = Case::new().run().root;
    let mut other = Case::new();
    other.reports.get_mut(&hyper(0)).unwrap().commit = Digest([0xee; 32]);
    assert_ne!(other.run().root.input_set, base.input_set);
    let mut other = Case::new();
    other.report(0).log_size += 1;
    assert_ne!(other.run().root.evidence_root, base.evidence_root);
}

fn report_strategy() -> impl Strategy<Value = NodeReport> {
    let cells = proptest::collection::vec(0u8..6, SLOTS);
    let class = (0usize..6).prop_map(|at| OutcomeClass::ALL[at]);
    (
        0u8..4,
        cells,
        class.clone(),
        0u8..3,
        class,
        0u64..1_000,
        any::<bool>(),
    )
        .prop_map(
            |(n, cells, attested, tier, chased, reads_per_s, iops)| NodeReport {
                cells: Blob(cells),
                attest: AttestSummary {
                    class: attested,
                    tier,
                    owner: (tier > 0).then_some(OWNER),
                    chips: None,
                },
                chase: ChaseSummary {
                    class: chased,
                    reads_per_s,
                    kind: if iops {
                        ChaseKind::Iops
                    } else {
                        ChaseKind::Liveness
                    },
                },
                ..node_report(n)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_order_matters_and_sums_never_shrink(
        lists in proptest::collection::vec(proptest::collection::vec(report_strategy(), 0..5), 4),
        turn in 0usize..4,
    ) {
        let mut case = Case::new();
        for (n, list) in lists.into_iter().enumerate() {
            let unique: BTreeMap<_, _> = list.into_iter().map(|report| (report.node, report)).collect();
            case.report(n).nodes = unique.into_values().collect();
        }
        case.registrations = (0..4)
            .map(|n| Registration { node: node(n), ..case.registrations[0] })
            .collect();
        let base = case.run();

        let mut shuffled = case.clone();
        shuffled.committee.rotate_left(turn);
        shuffled.registrations.rotate_right(turn);
        shuffled.registrations.push(shuffled.registrations[0]);
        let pairs: Vec<_> = case.reports.iter().rev().map(|(id, r)| (*id, r.clone())).collect();
        shuffled.reports = pairs.into_iter().collect();
        prop_assert_eq!(&shuffled.run(), &base);

        for leaf in &base.leaves {
            let proof = base.tree.proof(&leaf.hash()).unwrap();
            prop_assert!(crate::root::verify_proof(&leaf.hash(), &proof, &base.root.root));
            let before = case.prior.nodes.get(&leaf.node).copied().unwrap_or_default();
            prop_assert!(leaf.cumulative_slash >= before.cumulative_slash);
            prop_assert!(leaf.cumulative_slash == 0 || before.confirmed_owner.is_some());
        }
    }
}
