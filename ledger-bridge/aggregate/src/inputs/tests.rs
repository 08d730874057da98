use super::*;
use crate::epoch::{EpochError, NodeState, Registration, Standing, States};
use crate::root::EpochRoot;
use crate::roster::{Roster, RosterError};
use assay_protocol::class::{
    AttestationPolicy, Budget, Hardware, HardwareClass, Money, Sla, ValidClass, policy_digest,
};
use assay_protocol::cose::{Signer, seal};
use assay_protocol::ids::{Address, Bps, NodeId, Ppm, Seed, Stake, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::limits::ROOT_SIGNATURES_MAX;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::report::{AttestSummary, ChaseKind, ChaseSummary, NodeReport};
use assay_protocol::schedule::genesis_beacon;

const NETWORK: NetworkId = NetworkId([1; 32]);
const E: Epoch = Epoch(3);

/// Signs nothing real: here objects are taken as opened.
struct Anybody(u8);

impl Signer for Anybody {
    fn public_key(&self) -> PublicKey {
        [self.0; 32]
    }
    fn sign(&self, _: &[u8]) -> [u8; 64] {
        [0; 64]
    }
}

fn id(n: u8) -> HyperNodeId {
    HyperNodeId([n; 32])
}

fn revealed(n: u8, commitment: Digest) -> Opened {
    let report = Report {
        network: NETWORK,
        epoch: E,
        hypernode: id(n),
        seed: Seed([n; 32]),
        log_size: 1,
        log_root: Digest([n; 32]),
        nodes: Vec::new(),
        at: UnixMs(0),
    };
    let report = seal(report, &Anybody(n));
    Opened::Reveal(Box::new(Revealed {
        from: id(n),
        commitment,
        salt: [n; 32],
        report,
    }))
}

fn votes(votes: &[(u8, u8)]) -> Gathered {
    let mut gathered = Gathered::default();
    for (from, list) in votes {
        let input_set = Digest([*list; 32]);
        gathered.add(
            &NETWORK,
            E,
            Opened::Vote {
                from: id(*from),
                input_set,
            },
        );
    }
    gathered
}

#[test]
fn more_than_two_thirds_of_the_weight_must_vote_for_one_list() {
    let weights = [(id(1), 40), (id(2), 26), (id(3), 19), (id(4), 14)].into();
    assert_eq!(votes(&[(1, 7), (2, 7)]).agreed(&weights), None, "66 of 99");
    assert_eq!(votes(&[(1, 7), (2, 8), (3, 7)]).agreed(&weights), None);
    assert_eq!(
        votes(&[(1, 7), (2, 7), (4, 7)]).agreed(&weights),
        Some(Digest([7; 32]))
    );
    assert_eq!(
        votes(&[(1, 7), (2, 7), (9, 7)]).agreed(&weights),
        None,
        "a stranger"
    );
    let mut twice = votes(&[(1, 7), (1, 8), (2, 8), (3, 8)]);
    assert_eq!(twice.agreed(&weights), None, "the first vote counts");
    twice.add(
        &NETWORK,
        E,
        Opened::Vote {
            from: id(4),
            input_set: Digest([8; 32]),
        },
    );
    assert_eq!(twice.agreed(&weights), None);
}

#[test]
fn a_list_opens_only_with_a_report_for_each_very_commit() {
    let (mut gathered, commit) = (Gathered::default(), Digest([5; 32]));
    gathered.add(&NETWORK, E, revealed(1, commit));
    let entry = |n, commit| Entry {
        hypernode: id(n),
        commit,
    };
    assert!(
        gathered
            .included(&[entry(1, commit)])
            .unwrap()
            .contains_key(&id(1))
    );
    for missing in [entry(1, Digest([6; 32])), entry(2, commit)] {
        let error = gathered.included(&[entry(1, commit), missing]).unwrap_err();
        assert!(matches!(error, InputError::NotRevealed { .. }), "{error}");
    }
    let list = vec![entry(1, commit)];
    gathered.add(
        &NETWORK,
        E,
        Opened::Proposal {
            from: id(4),
            list: list.clone(),
        },
    );
    let input_set = input_set_hash(&NETWORK, E, &list);
    assert_eq!(gathered.list(&input_set), Some(&list[..]));
    assert_eq!(gathered.list(&Digest([0; 32])), None);
}

fn node_report(node: NodeId) -> NodeReport {
    NodeReport {
        node,
        class: Digest([1; 32]),
        cells: Blob::default(),
        attest: AttestSummary {
            class: OutcomeClass::Inconclusive,
            tier: 0,
            owner: None,
            chips: None,
        },
        chase: ChaseSummary {
            class: OutcomeClass::Inconclusive,
            reads_per_s: 0,
            kind: ChaseKind::Liveness,
        },
        outcome_root: Digest([0; 32]),
        outcomes: 0,
        reveals: Vec::new(),
    }
}

#[test]
fn only_registrations_of_nodes_that_roots_know_or_reports_speak_of_take_part() {
    let registration = |n: u8| Registration {
        node: NodeId([n; 32]),
        provider: Address([n; 20]),
        class: Digest([1; 32]),
        standing: Standing::Waiting,
    };
    let known = [registration(2), registration(1), registration(2)];
    let none = States::default();
    assert!(registrations(known, &none, &BTreeMap::new()).is_empty());
    let settled = States {
        nodes: [(NodeId([1; 32]), NodeState::default())].into(),
        ..States::default()
    };
    let chosen = registrations(known, &settled, &BTreeMap::new());
    assert_eq!(chosen, [registration(1)]);
    let Opened::Reveal(revealed) = revealed(1, Digest([5; 32])) else {
        unreachable!()
    };
    let mut report = revealed.report.into_payload();
    report.nodes = vec![node_report(NodeId([2; 32]))];
    let included = Included {
        commit: Digest([5; 32]),
        report,
    };
    let chosen = registrations(known, &none, &[(id(1), included)].into());
    assert_eq!(chosen, [registration(2)]);
}

fn class() -> ValidClass {
    let class = HardwareClass {
        schema: 2,
        name: "test".into(),
        summary: String::new(),
        hardware: Hardware {
            cpu: String::new(),
            cores: 1,
            memory_mib: 1,
            disk_gib: 1,
            nic_mbps: 1,
        },
        sla: Sla {
            availability_ppm: Ppm(1),
            coverage_ppm_min: Ppm(1),
            chase_reads_per_s_min: 1,
            chase_liveness_reads_per_s_min: 1,
        },
        budget: Budget {
            region_blocks: 64,
            chase_lanes: 1,
            chase_steps: 4,
            chase_checkpoint_every: 4,
            probe_attempts: 1,
        },
        money: Money {
            collateral_gwei_min: 1,
            reward_gwei_per_epoch: 1,
            slash_bps: Bps(0),
        },
        attestation: AttestationPolicy::of_pcrs(0, Vec::new()),
    };
    ValidClass::new(class).unwrap()
}

fn entry(n: u8) -> RosterEntry {
    RosterEntry {
        id: id(n),
        operator: Digest([n; 32]),
        ledger: Address([n; 20]),
        stake: Stake(u128::from(n)),
        seed_end: Seed([n; 32]),
    }
}

fn params() -> NetworkParams {
    NetworkParams {
        chain_id: 1,
        contract: Address([1; 20]),
        genesis_unix_ms: UnixMs(0),
        epoch_ms: 4_000,
        slot_ms: 1_000,
        clock_skew_ms_max: 1,
        panel_min: 2,
        operator_cap_bps: Bps(5_000),
        systemic_min_providers: 0,
        control_probes: 1,
        persistence: (1, 1),
        reaudit_seats: 0,
        region_epochs: 1,
        seed_chain_links: 8,
        commit_ms: 1,
        reveal_ms: 2,
        vote_ms: 3,
        void_after_ms: 4,
        absent_epochs: 0,
        gwei: 1_000_000_000,
        classes: vec![class().digest()],
        roster: (1..=3).map(entry).collect(),
    }
}

#[test]
fn history_moves_beacons_on_and_a_void_epoch_keeps_states() {
    let mut history = History::new(&params(), [class()]).unwrap();
    let genesis = |e| Some(genesis_beacon(&params(), &params().network_id(), Epoch(e)));
    assert_eq!(history.beacon(Epoch(0)), genesis(0));
    assert_eq!(history.beacon(Epoch(1)), genesis(1));
    assert_eq!(history.beacon(Epoch(2)), None, "nothing is revealed yet");
    let mut void = history.clone();
    void.void();
    let outcome = history.aggregate([], &BTreeMap::new(), 0).unwrap();
    let Opened::Reveal(revealed) = revealed(1, Digest([5; 32])) else {
        unreachable!()
    };
    let included = Included {
        commit: Digest([5; 32]),
        report: revealed.report.into_payload(),
    };
    history
        .posted(&outcome, &[(id(1), included)].into())
        .unwrap();
    assert_eq!((history.next(), void.next()), (Epoch(1), Epoch(1)));
    assert_eq!(history.beacon(Epoch(1)), genesis(1));
    assert_eq!(history.beacon(Epoch(0)), None);
    assert_ne!(
        history.beacon(Epoch(2)),
        void.beacon(Epoch(2)),
        "revealed seeds count"
    );
    assert_eq!(void.states(), &crate::epoch::States::default());
    assert_eq!(history.states().missed.len(), 3, "agreed upon nothing");
}

/// Reports by all three that the node is up and passes; its owner is provider 9.
fn passing_reports(history: &History, node: NodeId) -> BTreeMap<HyperNodeId, Included> {
    let mut own = node_report(node);
    (own.class, own.cells) = (class().digest(), Blob(vec![1; 4]));
    own.attest.class = OutcomeClass::Pass;
    own.attest.owner = Some(Address([9; 20]));
    (own.chase.class, own.chase.reads_per_s) = (OutcomeClass::Pass, 1);
    let included = |n: u8| {
        let report = Report {
            network: history.network(),
            epoch: history.next(),
            hypernode: id(n),
            seed: Seed([n; 32]),
            log_size: 1,
            log_root: Digest([n; 32]),
            nodes: vec![own.clone()],
            at: UnixMs(0),
        };
        let commit = Digest([n; 32]);
        (id(n), Included { commit, report })
    };
    (1..=3).map(included).collect()
}

#[test]
fn history_carries_rewards_and_slots_over_posted_and_void_epochs() {
    let mut history = History::new(&params(), [class()]).unwrap();
    let (node, owner) = (NodeId([7; 32]), Address([9; 20]));
    let known = [Registration {
        node,
        provider: owner,
        class: class().digest(),
        standing: Standing::Waiting,
    }];
    let post = |history: &mut History, budget| {
        learn_missing(history, &params());
        let reports = passing_reports(history, node);
        let outcome = history.aggregate(known, &reports, budget).unwrap();
        history.posted(&outcome, &reports).unwrap();
        let state = history.states().nodes[&node];
        assert_eq!(&outcome.states, history.states());
        (outcome.root.cumulative_reward, state.cumulative_up_slots)
    };
    assert_eq!(post(&mut history, u128::MAX), (0, 4), "confirms");
    assert_eq!(post(&mut history, u128::MAX), (1_000_000_000, 8));
    history.void();
    assert_eq!(post(&mut history, 5), (1_000_000_005, 12));
    assert_eq!(post(&mut history, 0), (1_000_000_005, 16));
    assert_eq!(history.states().rewards, [(owner, 1_000_000_005)].into());
}

/// Takes over the stakes of genesis for every epoch that the next root needs.
fn learn_missing(history: &mut History, params: &NetworkParams) {
    for epoch in history.unknown() {
        history.learn(epoch, params.roster.iter().cloned()).unwrap();
    }
}

/// The hash of the committee of these HyperNodes with their genesis stakes.
fn committee_hash(members: &[u8]) -> Keccak {
    let entries = members.iter().map(|n| entry(*n));
    Roster::of(&params(), entries).unwrap().committee().hash()
}

#[test]
fn who_left_has_no_seat_from_its_epoch_on_and_roots_name_who_signs_next() {
    let mut history = History::new(&params(), [class()]).unwrap();
    let without_2 = || [1, 3].map(entry);
    let weight_of_2 = |history: &History| {
        history
            .roster(history.next())
            .unwrap()
            .weights()
            .get(&id(2))
            .copied()
    };
    let post = |history: &mut History| {
        let outcome = history.aggregate([], &BTreeMap::new(), 0).unwrap();
        history.posted(&outcome, &BTreeMap::new()).unwrap();
        outcome.root
    };
    let (all, rest) = (committee_hash(&[1, 2, 3]), committee_hash(&[1, 3]));
    let first = post(&mut history);
    assert_eq!((first.committee, first.next_committee), (all, all));
    assert_eq!(history.unknown(), [Epoch(2)]);
    let unknown = history.aggregate([], &BTreeMap::new(), 0).unwrap_err();
    assert_eq!(unknown, EpochError::RosterUnknown(Epoch(2)));
    history.learn(Epoch(2), without_2()).unwrap();
    assert!(weight_of_2(&history).is_some(), "not before the epoch");
    let second = post(&mut history);
    assert_eq!((second.committee, second.next_committee), (all, rest));
    assert_eq!(
        (weight_of_2(&history), history.signers().hash()),
        (None, rest)
    );
    assert_ne!(second.policy_digest, {
        history.learn(Epoch(3), without_2()).unwrap();
        post(&mut history).policy_digest
    });
}

#[test]
fn after_a_void_epoch_whom_the_last_root_named_signs_for_whom_judges() {
    let mut history = History::new(&params(), [class()]).unwrap();
    let some = |members: &'static [u8]| members.iter().map(|n| entry(*n));
    history.void();
    history.learn(Epoch(2), some(&[2, 3])).unwrap();
    history.void();
    history.learn(Epoch(3), some(&[1, 3])).unwrap();
    let root = history.aggregate([], &BTreeMap::new(), 0).unwrap().root;
    assert_eq!(
        root.committee,
        committee_hash(&[1, 2, 3]),
        "genesis named it"
    );
    assert_eq!(root.next_committee, committee_hash(&[1, 3]));
    let judged_by = some(&[2, 3]).collect::<Vec<_>>();
    assert_eq!(
        root.policy_digest,
        policy_digest(&params().classes, &judged_by)
    );
}

#[test]
fn what_was_learnt_stays_until_it_is_read_again() {
    let mut history = History::new(&params(), [class()]).unwrap();
    history.learn(Epoch(2), (1..=3).map(entry)).unwrap();
    let first = history.roster(Epoch(2)).unwrap().clone();
    assert_eq!(first, Roster::at_genesis(&params()).unwrap());
    let two = [1, 2].map(entry);
    history.learn(Epoch(2), two.clone()).unwrap();
    assert_eq!(history.roster(Epoch(2)), Some(&first));
    assert_eq!(history.learnt(), [Epoch(2)], "genesis is fixed");
    history.relearn(Epoch(3), two.clone()).unwrap();
    assert_eq!(history.roster(Epoch(3)), None, "it was not learnt");
    assert!(history.relearn(Epoch(2), []).is_err());
    assert_eq!(history.roster(Epoch(2)), Some(&first));
    history.relearn(Epoch(2), two).unwrap();
    assert_ne!(history.roster(Epoch(2)), Some(&first));
}

#[test]
fn who_came_has_a_seat_from_its_epoch_on_and_a_changed_entry_counts_in_its_own() {
    let mut history = History::new(&params(), [class()]).unwrap();
    let post = |history: &mut History| {
        let outcome = history.aggregate([], &BTreeMap::new(), 0).unwrap();
        history.posted(&outcome, &BTreeMap::new()).unwrap();
        outcome.root
    };
    assert_eq!(history.known(Epoch(0)).get(&id(9)), None);
    post(&mut history);
    let mut chain = entry(2);
    chain.seed_end = Seed([0x22; 32]);
    let with_9 = [entry(1), chain.clone(), entry(3), entry(9)];
    history.learn(Epoch(2), with_9.clone()).unwrap();
    // It is heard on the board before, where words for rosters are.
    assert_eq!(history.known(Epoch(1)).get(&id(9)), Some(&entry(9)));
    assert_eq!(history.known(Epoch(1)).get(&id(2)), Some(&entry(2)));
    assert_eq!(history.known(Epoch(2)).get(&id(2)), Some(&chain));
    let root = post(&mut history);
    assert_eq!(root.next_committee, committee_hash(&[1, 2, 3, 9]));
    assert!(history.roster(Epoch(2)).unwrap().weights()[&id(9)] > 0);
    let mut named = history.clone();
    history.learn(Epoch(3), (1..=3).map(entry)).unwrap();
    let (digest, classes) = (post(&mut history).policy_digest, params().classes);
    assert_eq!(digest, policy_digest(&classes, &with_9));
    // Every part of an entry is under it.
    let changes: [fn(&mut RosterEntry); 5] = [
        |entry| entry.id = id(8),
        |entry| entry.operator.0[0] ^= 1,
        |entry| entry.ledger.0[0] ^= 1,
        |entry| entry.stake.0 += 1,
        |entry| entry.seed_end.0[0] ^= 1,
    ];
    for change in changes {
        let mut other = with_9.clone();
        change(&mut other[3]);
        assert_ne!(digest, policy_digest(&classes, &other));
    }
    // Whom the last root named is heard, also when it is on no roster any more.
    named.void();
    named.void();
    assert_eq!(named.known(Epoch(4)).get(&id(9)), Some(&entry(9)));
    assert_eq!(history.known(Epoch(4)).get(&id(9)), None);
}

/// A history of so many epochs, all with a root.
fn posted_through(count: u64) -> History {
    let mut history = History::new(&params(), [class()]).unwrap();
    (0..count).for_each(|_| post_empty(&mut history));
    history
}

fn post_empty(history: &mut History) {
    learn_missing(history, &params());
    let outcome = history.aggregate([], &BTreeMap::new(), 0).unwrap();
    history.posted(&outcome, &BTreeMap::new()).unwrap();
}

#[test]
fn a_root_of_a_later_round_says_who_signed_it_and_rounds_never_go_back() {
    let mut history = posted_through(2);
    learn_missing(&mut history, &params());
    let outcome = history.aggregate([], &BTreeMap::new(), 0).unwrap();
    assert_eq!((outcome.root.round, history.round()), (0, 0));
    let signed = |round, committee| EpochRoot {
        round,
        committee: Keccak([committee; 32]),
        ..outcome.root
    };
    // A committee of its own needs a round of its own.
    let same = history.as_signed(outcome.clone(), &signed(0, 9));
    assert_eq!(same.root, outcome.root);
    let corrected = history.as_signed(outcome.clone(), &signed(3, 9));
    assert_eq!(corrected.root, signed(3, 9));
    history.posted(&corrected, &BTreeMap::new()).unwrap();
    learn_missing(&mut history, &params());
    let next = history.aggregate([], &BTreeMap::new(), 0).unwrap();
    assert_eq!((next.root.round, history.round()), (3, 3));
    assert_eq!(next.root.committee, outcome.root.next_committee);
    history.void();
    assert_eq!(history.round(), 3);
    history.raise_round(2);
    assert_eq!(history.round(), 3);
    // What an undone epoch needs is judged by nothing, and over with it.
    history.raise_round(9);
    assert_eq!(history.round(), 9);
    let raised = history.aggregate([], &BTreeMap::new(), 0);
    if let Ok(raised) = raised {
        assert_eq!(history.as_signed(raised, &next.root).root.round, 3);
    }
    history.raise_round(0);
    let earlier = EpochRoot {
        round: 2,
        ..next.root
    };
    assert_eq!(history.as_signed(next.clone(), &earlier).root, next.root);
    history.raise_round(7);
    assert_eq!(history.round(), 7);
    history.void();
    assert_eq!(history.round(), 3);
}

#[test]
fn an_anchor_goes_back_to_final_epochs_only_and_comes_to_the_same() {
    let mut history = posted_through(0);
    let mut anchor = Anchor::at(history.clone());
    assert_eq!(anchor.awaits(), None);
    // Final is what lies this many epochs back.
    let window = 3;
    for _ in 0..20u64 {
        post_empty(&mut history);
        let first_open = history.next().0.saturating_sub(window);
        let awaited = anchor.awaits();
        let is_final = awaited.is_some_and(|epoch| epoch.0 < first_open);
        anchor.advance(&history, is_final);
        let mut back = anchor.clone().back(&history);
        assert!(back.next().0 <= first_open, "{} {first_open}", back.next());
        let least = history.next().0.saturating_sub(2 * (window + 1));
        assert!(back.next().0 >= least, "{} {least}", back.next());
        while back.next() < history.next() {
            post_empty(&mut back);
        }
        assert_eq!(back.states(), history.states());
        assert_eq!(back.beacon(back.next()), history.beacon(back.next()));
    }
    assert!(anchor.back(&history).next() > Epoch(10));
    assert_eq!(anchor.awaits(), None, "what came after may be undone");
}

#[test]
fn signatures_are_found_by_round_and_by_root_and_there_is_an_end_to_them() {
    let mut gathered = Gathered::default();
    let mut sign = |n, round, digest: u8| {
        let opened = Opened::RootSignature {
            from: id(n),
            round,
            digest: Keccak([digest; 32]),
            signature: [n; 65],
        };
        gathered.add(&NETWORK, E, opened);
    };
    sign(1, 0, 1);
    sign(1, 1, 2);
    sign(1, 1, 3);
    sign(2, 1, 2);
    for digest in 0..2 * ROOT_SIGNATURES_MAX as u8 {
        sign(3, 1, 100 + digest);
    }
    let in_round = |round| -> Vec<(HyperNodeId, u8)> {
        let signed = gathered.signed_in(round);
        signed.map(|(id, digest)| (id, digest.0[0])).collect()
    };
    assert_eq!(in_round(0), [(id(1), 1)]);
    assert_eq!(in_round(1)[..3], [(id(1), 2), (id(1), 3), (id(2), 2)]);
    assert_eq!(in_round(1).len(), 3 + ROOT_SIGNATURES_MAX);
    let under = |digest: u8| gathered.under(&Keccak([digest; 32]));
    assert_eq!(under(2), [(id(1), [1; 65]), (id(2), [2; 65])].into());
    assert_eq!(under(100 + ROOT_SIGNATURES_MAX as u8), BTreeMap::new());
}

#[test]
fn nobody_and_one_operator_have_no_say() {
    let mut history = History::new(&params(), [class()]).unwrap();
    let nobody = history.learn(Epoch(3), []).unwrap_err();
    assert!(matches!(nobody, RosterError::Weights(_)), "{nobody}");
    let mut alone = entry(1);
    alone.stake = Stake(1_000);
    let one = history.learn(Epoch(3), [alone]).unwrap_err();
    assert_eq!(one, RosterError::Operators(1));
    assert_eq!(history.roster(Epoch(3)), None);
}

#[test]
fn other_classes_than_the_network_s_are_refused() {
    let mut other = class().into_class();
    other.name.push('2');
    let other = ValidClass::new(other).unwrap();
    for classes in [vec![], vec![other.clone()], vec![class(), other]] {
        let error = History::new(&params(), classes).unwrap_err();
        assert!(matches!(error, HistoryError::Classes { .. }), "{error}");
    }
}

#[test]
fn signatures_stand_where_their_members_do() {
    let history = History::new(&params(), [class()]).unwrap();
    let signed = [(id(3), [3; 65]), (id(9), [9; 65])].into();
    let all = signatures_for(history.signing(), &signed);
    assert_eq!(all, [None, None, Some([3; 65])]);
}
