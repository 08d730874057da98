//! What of a root is due, and what is not.

use super::*;
use assay_aggregate::epoch::States;
use assay_aggregate::root::{EpochRoot, OutcomeTree};
use assay_protocol::ids::{Address, Digest, HyperNodeId, Keccak, NetworkId, Ppm, Seed, Stake};

const OWNER: Address = Address([1; 20]);
const BEGUN: UnixMs = UnixMs(10_000);
const NOW: Now<'_> = Now {
    nodes: &[],
    hypernodes: &[],
    reservations: &[],
    last_final: None,
    corrections: 0,
    exit_delay_epochs: 3,
    fallen: &[],
    calendar: Calendar {
        period_epochs: 3,
        next: Epoch(0),
        posted: &BTreeMap::new(),
    },
};

fn record() -> NodeRecord {
    NodeRecord {
        node: NodeId([7; 32]),
        provider: OWNER,
        class_digest: Digest([2; 32]),
        region: [0; 32],
        endpoint: String::new(),
        registered_at: UnixMs(9_000),
        confirming_at: None,
        ended_at: None,
        serves_through: None,
        pledged: Stake(100),
        collateral: Stake(100),
        escrow: Stake(0),
        slashed: Stake(0),
        status: NodeStatus::Active,
        confirmed_owner: Some(OWNER),
        settled_epoch: Some(Epoch(4)),
        settled_corrections: 0,
        cumulative_slash: Stake(0),
        counted_slash: Stake(0),
        exit_leaf: None,
        offered_by: None,
        confirmed_at: Some(UnixMs(9_500)),
        chips: None,
        chips_epoch: None,
    }
}

fn leaf() -> NodeLeaf {
    NodeLeaf {
        epoch: Epoch(5),
        node: NodeId([7; 32]),
        owner: OWNER,
        confirmed: true,
        chips: Digest([0; 32]),
        verdict: Verdict::Pass as u8,
        reasons: 0,
        tier: 1,
        availability: Ppm(1_000_000),
        lower: Ppm(0),
        upper: Ppm(1_000_000),
        coverage: Ppm(1_000_000),
        chase_rate: 0,
        chase_kind: 0,
        cumulative_up_slots: 0,
        cumulative_down_slots: 0,
        cumulative_slash: 0,
    }
}

fn is_settled(leaf: &NodeLeaf, records: &[NodeRecord]) -> bool {
    let records: Vec<_> = records.iter().collect();
    settles(leaf, &records, BEGUN, &NOW)
}

fn changed(change: fn(&mut NodeRecord)) -> [NodeRecord; 1] {
    let mut record = record();
    change(&mut record);
    [record]
}

#[test]
fn a_node_in_good_standing_that_passes_needs_nothing() {
    assert!(!is_settled(&leaf(), &[record()]));
    assert!(!is_settled(&leaf(), &[]));
}

#[test]
fn a_leaf_without_a_verdict_changes_nothing() {
    let unknown = NodeLeaf {
        verdict: Verdict::Inconclusive as u8,
        ..leaf()
    };
    for status in [
        NodeStatus::Active,
        NodeStatus::Warned,
        NodeStatus::Suspended,
    ] {
        let mut record = record();
        record.status = status;
        assert!(!is_settled(&unknown, &[record]), "{status:?}");
    }
    let asked = changed(|r| (r.status, r.counted_slash) = (NodeStatus::Warned, Stake(5)));
    assert!(is_settled(&unknown, &asked), "but for its sum");
}

#[test]
fn what_changes_something_is_settled_once() {
    let breach = NodeLeaf {
        verdict: Verdict::Breach as u8,
        cumulative_slash: 5,
        ..leaf()
    };
    assert!(is_settled(&breach, &[record()]));
    assert!(!is_settled(
        &breach,
        &changed(|r| r.settled_epoch = Some(Epoch(5)))
    ));
    // What is left of a removed node's pledge can still be taken; its verdicts change nothing.
    let removed = changed(|r| r.status = NodeStatus::Removed);
    assert!(is_settled(&breach, &removed));
    let asked = changed(|r| (r.status, r.counted_slash) = (NodeStatus::Removed, Stake(5)));
    assert!(!is_settled(&breach, &asked));
    // A pass brings a warned node back.
    assert!(is_settled(
        &leaf(),
        &changed(|r| r.status = NodeStatus::Warned)
    ));
}

#[test]
fn a_leaf_of_a_corrected_epoch_is_settled_again_once_whatever_it_says() {
    let records = |corrections| {
        changed(|r| r.settled_epoch = Some(Epoch(5))).map(|record| NodeRecord {
            settled_corrections: corrections,
            ..record
        })
    };
    let is_due = |records: &[NodeRecord]| {
        let records: Vec<_> = records.iter().collect();
        let now = Now {
            corrections: 1,
            ..NOW
        };
        settles(&leaf(), &records, BEGUN, &now)
    };
    assert!(is_due(&records(0)));
    assert!(!is_due(&records(1)));
    assert!(!is_settled(&leaf(), &records(0)), "it was not corrected");
}

/// A correction gave back what an earlier epoch took; the sum of the node says it still.
#[test]
fn what_was_given_back_is_asked_for_again() {
    let breached = NodeLeaf {
        cumulative_slash: 5,
        ..leaf()
    };
    let counted = |sum| {
        changed(|r| r.cumulative_slash = Stake(5)).map(|record| NodeRecord {
            counted_slash: Stake(sum),
            ..record
        })
    };
    assert!(is_settled(&breached, &counted(0)));
    assert!(!is_settled(&breached, &counted(5)));
    // And what a wrong root asked for is given back.
    assert!(is_settled(&leaf(), &counted(5)));
}

#[test]
fn a_node_that_leaves_needs_another_leaf_when_the_root_of_its_last_one_is_no_more() {
    let gone = changed(|r| {
        (r.serves_through, r.exit_leaf) = (Some(Epoch(0)), Some((Epoch(4), 0)));
    });
    let is_due = |fallen: &[(Epoch, u8)]| {
        let now = Now { fallen, ..NOW };
        settles(&leaf(), &[&gone[0]], BEGUN, &now)
    };
    assert!(!is_due(&[]));
    assert!(!is_due(&[(Epoch(4), 1)]));
    assert!(is_due(&[(Epoch(4), 0)]));
}

#[test]
fn a_node_that_leaves_is_settled_until_its_exit_delay_is_over() {
    let leaving = |settled| {
        let mut record = record();
        (record.serves_through, record.settled_epoch) = (Some(Epoch(2)), Some(Epoch(settled)));
        [record]
    };
    assert!(is_settled(&leaf(), &leaving(4)));
    let later = NodeLeaf {
        epoch: Epoch(9),
        ..leaf()
    };
    assert!(!is_settled(&later, &leaving(5)), "2 and 3 are 5");
}

#[test]
fn a_registration_that_waits_is_held_once_and_confirmed_when_it_was_in_time() {
    let waiting = changed(|r| (r.status, r.confirmed_owner) = (NodeStatus::Provisional, None));
    let [ref one] = waiting;
    assert!(confirms(&leaf(), &[one], BEGUN));
    assert!(is_settled(&leaf(), &waiting));
    let mut held = one.clone();
    held.confirming_at = Some(UnixMs(11_000));
    assert!(!is_settled(&leaf(), std::slice::from_ref(&held)));
    assert!(confirms(&leaf(), &[&held], BEGUN));
    for change in [
        (|r| r.registered_at = UnixMs(10_001)) as fn(&mut NodeRecord),
        |r| r.ended_at = Some(UnixMs(12_000)),
        |r| r.provider = Address([9; 20]),
        |r| r.confirmed_owner = Some(Address([9; 20])),
    ] {
        let mut other = one.clone();
        change(&mut other);
        assert!(!confirms(&leaf(), &[&other], BEGUN));
    }
    let unsure = NodeLeaf {
        confirmed: false,
        ..leaf()
    };
    assert!(!confirms(&unsure, &[one], BEGUN));
}

#[test]
fn who_took_the_owner_s_offer_is_held_and_confirmed_and_the_owner_settled_no_more() {
    let taker = Address([3; 20]);
    let took = NodeRecord {
        provider: taker,
        status: NodeStatus::Provisional,
        offered_by: Some(OWNER),
        ..record()
    };
    let theirs = NodeLeaf {
        owner: taker,
        verdict: Verdict::Breach as u8,
        ..leaf()
    };
    let (old, held) = (record(), |at| NodeRecord {
        confirming_at: at,
        ..took.clone()
    });
    assert!(confirms(&theirs, &[&old, &took], BEGUN));
    assert!(is_settled(&theirs, &[old.clone(), held(None)]));
    let since = held(Some(UnixMs(11_000)));
    assert!(!is_settled(&theirs, &[old.clone(), since]));
    // Of somebody else's offer, or of one that was taken back, it waits in vain: the leaf is the owner's.
    for change in [
        (|r| r.offered_by = Some(Address([4; 20]))) as fn(&mut NodeRecord),
        |r| r.serves_through = Some(Epoch(4)),
    ] {
        let mut other = took.clone();
        change(&mut other);
        assert!(!confirms(&theirs, &[&old, &other], BEGUN));
        assert!(is_settled(&theirs, &[old.clone(), other]));
    }
}

/// Up to the leaf that confirms another one the owner before answers for the node.
#[test]
fn the_oldest_final_leaf_confirms() {
    let waiting = NodeRecord {
        status: NodeStatus::Provisional,
        confirmed_owner: None,
        ..record()
    };
    let mut queue = Queue::default();
    for epoch in 4..8 {
        let mut outcome = outcome(epoch, &[]);
        let leaf = NodeLeaf {
            epoch: Epoch(epoch),
            confirmed: epoch > 4,
            ..leaf()
        };
        outcome.tree = OutcomeTree::new(vec![leaf.hash()]);
        outcome.leaves = vec![leaf];
        queue.push(outcome);
    }
    let now = Now {
        nodes: &[waiting],
        last_final: Some(Epoch(6)),
        ..NOW
    };
    let due = queue.due(&now, |_| BEGUN).unwrap();
    let confirms = due.iter().filter(|due| due.kind == Kind::Confirm);
    let names: Vec<&str> = confirms.map(|due| due.name.as_str()).collect();
    assert_eq!(names, [format!("confirm/5/{}", NodeId([7; 32]))]);
}

#[test]
fn a_final_leaf_that_binds_other_processors_is_confirmed_once() {
    let of = |chips| NodeLeaf {
        chips: Digest([chips; 32]),
        ..leaf()
    };
    let bound = |chips, epoch| NodeRecord {
        chips: Some(Digest([chips; 32])),
        chips_epoch: Some(Epoch(epoch)),
        ..record()
    };
    let is_due = |leaf: &NodeLeaf, record: NodeRecord| rebinds(leaf, &[&record]);
    assert!(is_due(&of(1), record()), "the first ones");
    assert!(is_due(&of(2), bound(1, 4)));
    assert!(!is_due(&of(1), bound(1, 4)));
    assert!(!is_due(&leaf(), bound(1, 4)), "a leaf that binds none");
    assert!(!is_due(&of(2), bound(1, 6)), "an older leaf");
    let others = NodeLeaf {
        owner: Address([9; 20]),
        ..of(2)
    };
    assert!(!is_due(&others, bound(1, 4)));
    let unconfirmed = NodeLeaf {
        confirmed: false,
        ..of(2)
    };
    assert!(!is_due(&unconfirmed, bound(1, 4)));
    let gone = NodeRecord {
        ended_at: Some(BEGUN),
        ..bound(1, 4)
    };
    assert!(!is_due(&of(2), gone));
}

#[test]
fn the_newest_final_leaf_binds_processors_and_another_owner_comes_first() {
    let mut queue = Queue::default();
    for epoch in 4..8 {
        let mut outcome = outcome(epoch, &[]);
        let leaf = NodeLeaf {
            epoch: Epoch(epoch),
            chips: Digest([epoch as u8; 32]),
            ..leaf()
        };
        outcome.tree = OutcomeTree::new(vec![leaf.hash()]);
        outcome.leaves = vec![leaf];
        queue.push(outcome);
    }
    let confirmed = |nodes: &[NodeRecord]| -> Vec<String> {
        let now = Now {
            nodes,
            last_final: Some(Epoch(6)),
            ..NOW
        };
        let due = queue.due(&now, |_| BEGUN).unwrap();
        let confirms = due.into_iter().filter(|due| due.kind == Kind::Confirm);
        confirms.map(|due| due.name).collect()
    };
    let of = |epoch| [format!("confirm/{epoch}/{}", NodeId([7; 32]))];
    assert_eq!(confirmed(&[record()]), of(6));
    let sold = NodeRecord {
        provider: Address([8; 20]),
        confirmed_owner: Some(Address([8; 20])),
        ..record()
    };
    let bought = NodeRecord {
        status: NodeStatus::Provisional,
        confirmed_owner: sold.confirmed_owner,
        offered_by: sold.confirmed_owner,
        ..record()
    };
    assert_eq!(confirmed(&[sold, bought]), of(4));
}

fn hypernode(n: u8, absent: bool) -> HyperNodeRecord {
    HyperNodeRecord {
        address: Address([n; 20]),
        ed25519: HyperNodeId([n; 32]),
        operator: Digest([n; 32]),
        seed_end: Seed([n; 32]),
        endpoint: String::new(),
        registered_epoch: Epoch(0),
        stake: Stake(5),
        unbonding: Stake(0),
        jailed: false,
        absent,
    }
}

/// The outcome of an epoch that lets these go.
fn outcome(epoch: u64, gone: &[u8]) -> EpochOutcome {
    let leaf = |n: &u8| AbsenceLeaf {
        epoch: Epoch(epoch),
        hypernode: HyperNodeId([*n; 32]),
        missed: 3,
    };
    let absences: Vec<AbsenceLeaf> = gone.iter().map(leaf).collect();
    let tree = OutcomeTree::new(absences.iter().map(AbsenceLeaf::hash).collect());
    EpochOutcome {
        leaves: Vec::new(),
        rewards: Vec::new(),
        states: States::default(),
        root: EpochRoot {
            network: NetworkId([0; 32]),
            epoch: Epoch(epoch),
            round: 0,
            input_set: Digest([0; 32]),
            committee: Keccak([0; 32]),
            root: tree.root(),
            leaf_count: absences.len() as u32,
            evidence_root: Digest([0; 32]),
            policy_digest: Digest([0; 32]),
            cumulative_reward: 0,
            next_committee: Keccak([0; 32]),
        },
        absences,
        tree,
    }
}

#[test]
fn whom_the_newest_root_lets_go_is_taken_out_once() {
    let names = |queue: &Queue, hypernodes: &[HyperNodeRecord]| -> Vec<String> {
        let now = Now { hypernodes, ..NOW };
        let due = queue.due(&now, |_| BEGUN).unwrap();
        assert!(due.iter().all(|due| due.kind == Kind::Absent));
        due.into_iter().map(|due| due.name).collect()
    };
    let name = |epoch: u64, n: u8| format!("absent/{epoch}/{}", HyperNodeId([n; 32]));
    let mut queue = Queue::default();
    assert!(!queue.names_absent());
    queue.push(outcome(4, &[1, 2]));
    assert!(queue.names_absent());
    let all = [
        hypernode(1, false),
        hypernode(2, false),
        hypernode(3, false),
    ];
    assert_eq!(names(&queue, &all), [name(4, 1), name(4, 2)]);
    let marked = [hypernode(1, true), hypernode(2, false)];
    assert_eq!(names(&queue, &marked), [name(4, 2)], "was taken out before");
    assert_eq!(names(&queue, &[]), [""; 0], "nobody the ledger knows");
    // Who was heard since is in no newer leaf, and the older one is passed over.
    queue.push(outcome(5, &[2]));
    assert_eq!(names(&queue, &all), [name(5, 2)]);
    queue.push(outcome(6, &[]));
    assert!(!queue.names_absent());
    assert_eq!(names(&queue, &all), [""; 0]);
}

#[test]
fn an_earlier_registration_of_the_same_owner_that_has_ended_counts_for_nothing() {
    let mut ended = record();
    (ended.ended_at, ended.status) = (Some(UnixMs(1)), NodeStatus::None);
    assert!(!is_settled(&leaf(), &[ended, record()]));
}

fn due(name: &str, escrow: u128) -> Due {
    Due {
        kind: Kind::Release,
        name: name.to_owned(),
        action: Action::release(NodeId([7; 32]), OWNER),
        record: Record::Node(vec![NodeRecord {
            escrow: Stake(escrow),
            ..record()
        }]),
    }
}

#[test]
fn what_was_refused_is_tried_again_when_its_record_or_the_final_epoch_is_another() {
    let mut refusals = Refusals::default();
    refusals.at(Some(Epoch(4)));
    let (finally, for_now) = (Some(Refused::Finally), Some(Refused::ForNow));
    assert_eq!(refusals.of(&due("one", 1)), None);
    refusals.add(due("one", 1), Refused::Finally);
    refusals.add(due("more", 1), Refused::ForNow);
    assert_eq!(refusals.of(&due("one", 1)), finally);
    assert_eq!(refusals.of(&due("more", 1)), for_now);
    assert_eq!(refusals.of(&due("another", 1)), None);
    assert_eq!(refusals.of(&due("one", 2)), None, "another record");
    refusals.at(Some(Epoch(4)));
    assert_eq!(refusals.of(&due("one", 1)), finally);
    refusals.at(Some(Epoch(5)));
    assert_eq!(refusals.of(&due("one", 1)), None, "another final epoch");
}

#[test]
fn however_many_of_one_kind_are_due_the_others_have_their_turn() {
    let list = |name: &str, count: usize| -> Vec<Due> {
        (0..count).map(|n| due(&format!("{name}{n}"), 1)).collect()
    };
    let all = in_turn([list("settle", 3), list("rent", 1), list("release", 2)]);
    let names: Vec<_> = all.iter().map(|due| due.name.as_str()).collect();
    let expected = [
        "settle0", "rent0", "release0", "settle1", "release1", "settle2",
    ];
    assert_eq!(names, expected);
}

/// A slash comes before rent, and an outcome's rent is of the leaf that the contract takes.
#[test]
fn a_leaf_is_settled_before_rent_is_and_only_the_last_one_of_a_period_settles_rent() {
    let mut queue = Queue::default();
    for epoch in 4..=5 {
        let mut outcome = outcome(epoch, &[]);
        let leaf = NodeLeaf {
            epoch: Epoch(epoch),
            verdict: Verdict::Breach as u8,
            cumulative_slash: 5,
            ..leaf()
        };
        outcome.tree = OutcomeTree::new(vec![leaf.hash()]);
        outcome.leaves = vec![leaf];
        queue.push(outcome);
    }
    let reservation = ReservationRecord {
        id: 1,
        node: NodeId([7; 32]),
        builder: OWNER,
        provider: OWNER,
        first: Epoch(3),
        end: Epoch(9),
        settled_through: Epoch(3),
        started: true,
        price: Stake(1),
        held: Stake(6),
        credited: Stake(0),
    };
    let posted = [4, 5].map(|epoch| (Epoch(epoch), (Keccak([0; 32]), 0)));
    let posted = BTreeMap::from(posted);
    let now = Now {
        nodes: &[record()],
        reservations: &[reservation],
        last_final: Some(Epoch(5)),
        calendar: Calendar {
            next: Epoch(6),
            posted: &posted,
            ..NOW.calendar
        },
        ..NOW
    };
    let due = queue.due(&now, |_| BEGUN).unwrap();
    let names: Vec<_> = due.iter().map(|due| due.name.as_str()).collect();
    let settle = format!("settle/5/{}", NodeId([7; 32]));
    assert_eq!(names, [settle.as_str(), "rent/1/5"]);
}

/// Rent and owners hang on the leaves of epochs that become final a dispute window later.
#[test]
fn of_what_is_not_final_nothing_is_forgotten() {
    let mut queue = Queue::default();
    for epoch in 0..20 {
        queue.push(outcome(epoch, &[1]));
    }
    let mut kept = |last_final, count| {
        queue.keep_of_final(Epoch(last_final), count);
        queue.epochs().map(|epoch| epoch.0).collect::<Vec<_>>()
    };
    assert_eq!(kept(9, 10), (0..20).collect::<Vec<_>>());
    assert_eq!(kept(9, 4), (6..20).collect::<Vec<_>>());
    assert_eq!(kept(30, 4), (16..20).collect::<Vec<_>>());
}
