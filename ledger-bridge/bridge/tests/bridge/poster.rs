//! From votes to a settled root, in one process on a real embedded chain.

use assay_aggregate::agreement::input_set_hash;
use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::inputs::History;
use assay_bridge::export::{self, Range};
use assay_bridge::poster::Step;
use assay_bridge::store::TxEnd;
use assay_bridge::{replay, status, verdicts};
use assay_ledger::{Action, NodeStatus, Resolution};
use assay_protocol::ids::{Epoch, Keccak, NodeId, Stake};
use assay_protocol::item::Item;
use assay_protocol::layout::{self, Claim, SignedRoot};
use assay_protocol::params::NetworkParams;

use crate::network::{NODE, Network, key, poster_key, provider};

const ALL: [usize; 4] = [0, 1, 2, 3];

fn is_waiting(step: &Step, text: &str) -> bool {
    matches!(step, Step::Waiting { why, .. } if why.contains(text))
}

/// Runs the network through an epoch; the poster posts and settles it.
fn complete(net: &Network, poster: &mut assay_bridge::poster::Poster, epoch: Epoch) {
    net.agree(epoch);
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign(epoch, digest, &ALL);
    let posted = poster.step(net.now()).unwrap();
    assert!(
        matches!(posted, Step::Posted { signed, total, .. } if signed == total),
        "{posted}"
    );
    let settled = poster.step(net.now()).unwrap();
    assert_eq!(
        settled,
        Step::Settled {
            epoch,
            settled: 1,
            skipped: 0
        }
    );
}

/// Everybody signs this outcome's root and a stranger posts it.
fn post_by_hand(net: &Network, history: &History, outcome: &EpochOutcome) {
    let digest = net.digest(outcome);
    let signature = |m: &assay_aggregate::root::Member| {
        let h = net
            .hypernodes
            .iter()
            .find(|h| h.ledger.address() == m.address)
            .unwrap();
        Some(h.ledger.sign_digest(&digest).unwrap())
    };
    let committee = history.committee();
    let signatures: Vec<_> = committee.members().iter().map(signature).collect();
    net.ledger()
        .post_root(&provider(), &outcome.root, committee, &signatures)
        .unwrap();
}

#[test]
fn epochs_are_posted_and_settled_once_and_a_restart_repeats_nothing() {
    let net = Network::open();
    let mut poster = net.poster();
    assert!(is_waiting(&poster.step(net.now()).unwrap(), "running"));
    complete(&net, &mut poster, Epoch(0));
    complete(&net, &mut poster, Epoch(1));

    let ledger = net.ledger();
    let node = &ledger.nodes().unwrap()[0];
    assert_eq!(node.status, NodeStatus::Active);
    assert_eq!(node.settled_epoch, Some(Epoch(1)));
    assert_eq!(node.confirmed_owner, Some(provider().address()));
    let reward = u128::from(net.class.money.reward_gwei_per_epoch) * 1_000_000_000;
    assert_eq!(
        node.cumulative_reward.0, reward,
        "the first epoch confirms, the second pays"
    );

    let height = ledger.chain().height().unwrap();
    let mut again = net.poster();
    for epoch in [Epoch(0), Epoch(1)] {
        let step = again.step(net.now()).unwrap();
        assert_eq!(
            step,
            Step::Settled {
                epoch,
                settled: 0,
                skipped: 1
            }
        );
    }
    assert!(is_waiting(&again.step(net.now()).unwrap(), "running"));
    assert_eq!(again.history().states(), poster.history().states());
    assert_eq!(
        again.history().beacon(Epoch(3)),
        poster.history().beacon(Epoch(3))
    );
    assert_eq!(
        ledger.chain().height().unwrap(),
        height,
        "no transaction more"
    );
    assert_eq!(net.store.ended("postRoot", TxEnd::Included).unwrap(), 2);
    assert_eq!(net.store.ended("settle", TxEnd::Included).unwrap(), 2);
}

#[test]
fn nothing_is_posted_before_votes_and_signatures_of_more_than_two_thirds() {
    let net = Network::open();
    let mut poster = net.poster();
    let epoch = Epoch(0);
    net.at(epoch, 500);
    assert!(is_waiting(&poster.step(net.now()).unwrap(), "no input set"));
    net.agree(epoch);
    assert!(is_waiting(
        &poster.step(net.now()).unwrap(),
        "root signatures"
    ));
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign(epoch, digest, &[0, 1]);
    assert!(
        is_waiting(&poster.step(net.now()).unwrap(), "root signatures"),
        "65 of 100"
    );
    net.sign(epoch, digest, &[2]);
    let posted = poster.step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "85 of 100: {posted}");
}

#[test]
fn another_digest_than_the_own_is_never_posted_and_ends_void() {
    let net = Network::open();
    let mut poster = net.poster();
    let epoch = Epoch(0);
    net.agree(epoch);
    let foreign = Keccak([0xbb; 32]);
    net.sign(epoch, foreign, &ALL);
    let step = poster.step(net.now()).unwrap();
    let Step::Disagrees {
        signed, computed, ..
    } = &step
    else {
        panic!("{step}")
    };
    assert_eq!(*computed, net.digest(&net.outcome(poster.history())));
    assert!(signed.len() == 1 && signed[0].0 == foreign);
    assert!(step.to_string().contains("hint:"));
    assert_eq!(net.ledger().next_epoch().unwrap(), epoch);
    net.at(epoch, 5_000);
    assert_eq!(poster.step(net.now()).unwrap(), Step::Voided { epoch });
}

#[test]
fn without_a_quorum_the_epoch_is_void_after_its_deadline_and_the_next_goes_on() {
    let net = Network::open();
    let mut poster = net.poster();
    let epoch = Epoch(0);
    net.at(epoch, 4_999);
    assert!(is_waiting(&poster.step(net.now()).unwrap(), "no input set"));
    net.at(epoch, 5_000);
    assert_eq!(poster.step(net.now()).unwrap(), Step::Voided { epoch });
    assert_eq!(poster.step(net.now()).unwrap(), Step::WasVoid { epoch });
    let record = net.ledger().epoch_record(epoch).unwrap();
    assert_eq!(record.resolution, Resolution::Void);
    complete(&net, &mut poster, Epoch(1));
}

#[test]
fn an_agreed_list_that_cannot_be_opened_ends_void() {
    let net = Network::open();
    let mut poster = net.poster();
    let epoch = Epoch(0);
    net.at(epoch, 1_100);
    let (first, list) = (&net.hypernodes[0], net.list(epoch));
    net.post(first, epoch, &first.proposal(&net, epoch, &list))
        .unwrap();
    let input_set = input_set_hash(&net.network, epoch, &list);
    for hypernode in &net.hypernodes {
        net.post(hypernode, epoch, &hypernode.vote(&net, epoch, input_set))
            .unwrap();
    }
    net.sign(epoch, Keccak([1; 32]), &ALL);
    let error = assay_bridge::chain_of(&poster.step(net.now()).unwrap_err());
    assert!(
        error.contains("no revealed report opens the commit"),
        "{error}"
    );
    net.at(epoch, 5_000);
    assert_eq!(poster.step(net.now()).unwrap(), Step::Voided { epoch });
}

#[test]
fn somebody_else_s_posting_and_settlement_are_followed() {
    let net = Network::open();
    let mut poster = net.poster();
    let epoch = Epoch(0);
    net.agree(epoch);
    let history = net.history();
    let outcome = net.outcome(&history);
    net.sign(epoch, net.digest(&outcome), &ALL);
    let ledger = net.ledger();
    post_by_hand(&net, &history, &outcome);
    let leaf = &outcome.leaves[0];
    let proof = outcome.tree.proof(&leaf.hash()).unwrap();
    ledger.settle(&provider(), epoch, leaf, &proof).unwrap();
    let step = poster.step(net.now()).unwrap();
    assert_eq!(
        step,
        Step::Settled {
            epoch,
            settled: 0,
            skipped: 1
        }
    );
    assert_eq!(
        ledger
            .chain()
            .nonce(poster_key().address().0.into())
            .unwrap(),
        0
    );
}

#[test]
fn a_pending_transaction_whose_nonce_was_taken_is_replaced() {
    let net = Network::open();
    let epoch = Epoch(0);
    net.agree(epoch);
    let digest = net.digest(&net.outcome(&net.history()));
    net.sign(epoch, digest, &ALL);
    let ledger = net.ledger();
    // Stored before a crash, never sent; then the key was used elsewhere.
    let lost = ledger
        .prepare(
            &poster_key(),
            &Action::fund_rewards(assay_protocol::ids::Stake(1)),
        )
        .unwrap();
    net.store
        .enqueue("fundRewards/1", &poster_key().address(), &lost)
        .unwrap();
    let taken = ledger
        .prepare(
            &poster_key(),
            &Action::fund_rewards(assay_protocol::ids::Stake(2)),
        )
        .unwrap();
    ledger.send(&taken).unwrap();
    let posted = net.poster().step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "{posted}");
    assert_eq!(
        net.store.ended("fundRewards", TxEnd::Superseded).unwrap(),
        1
    );
    assert!(net.store.live().unwrap().is_empty());
}

#[test]
fn bundles_and_tables_come_from_the_replayed_board() {
    let net = Network::open();
    let mut poster = net.poster();
    complete(&net, &mut poster, Epoch(0));
    net.at(Epoch(1), 5_000);
    assert_eq!(
        poster.step(net.now()).unwrap(),
        Step::Voided { epoch: Epoch(1) }
    );
    poster.step(net.now()).unwrap();
    complete(&net, &mut poster, Epoch(2));

    let rows = verdicts::read(&net.store, &net.ledger(), net.history(), Epoch(0), None).unwrap();
    assert_eq!(rows.len(), 2);
    let last = &rows[1];
    assert_eq!(
        (last.epoch, last.verdict, last.tier, last.confirmed),
        (Epoch(2), "pass", 1, true)
    );
    assert!(
        serde_json::to_string(&rows)
            .unwrap()
            .contains("\"availability_ppm\":1000000")
    );

    let out = net.dir.path().join("bundle");
    let range = Range {
        node: NODE,
        first: Epoch(0),
        last: Epoch(2),
    };
    let void = export::export(&net.store, &net.ledger(), net.history(), &range, &out).unwrap();
    assert_eq!(void, [Epoch(1)]);
    let read = |name: &str| std::fs::read(out.join(name)).unwrap();
    let claim = Claim::decode("claim", 4096, &read(layout::CLAIM)).unwrap();
    assert_eq!((claim.node, claim.void), (NODE, vec![Epoch(1)]));
    let params = NetworkParams::decode("params", 65_536, &read(layout::PARAMS)).unwrap();
    assert_eq!(params.network_id(), net.network);
    let root = SignedRoot::decode("root", 65_536, &read(&layout::root(Epoch(2)))).unwrap();
    assert!(root.signatures.iter().all(|s| s.0.len() == 65));
    assert_eq!(root.root, net.ledger().epoch_record(Epoch(2)).unwrap().root);
    for h in &net.hypernodes {
        assert!(out.join(layout::report(Epoch(0), &h.id())).exists());
    }
    let refused = |range: Range, out: &str| {
        let out = net.dir.path().join(out);
        let error = export::export(&net.store, &net.ledger(), net.history(), &range, &out);
        assay_bridge::explain(error.unwrap_err().chain().map(ToString::to_string))
    };
    assert!(refused(range, "bundle").contains("not empty"));
    let stranger = Range {
        node: NodeId([5; 32]),
        ..range
    };
    assert!(refused(stranger, "b2").contains("no leaf in epoch 0"));
    let future = refused(
        Range {
            last: Epoch(3),
            ..range
        },
        "b3",
    );
    assert!(
        future.contains("epoch 3 is not resolved yet") && future.contains("hint:"),
        "{future}"
    );

    let status = status::read(&net.ledger()).unwrap();
    let kinds: Vec<_> = status.epochs.iter().map(|e| e.resolution).collect();
    assert_eq!(kinds, ["posted", "void", "posted"]);
    assert_eq!(status.nodes[0].status, "active");
}

#[test]
fn a_ledger_of_another_network_is_refused_by_name() {
    let (one, other) = (Network::open(), Network::open());
    let poster = assay_bridge::poster::Poster::new(
        one.store.clone(),
        other.ledger(),
        poster_key(),
        one.history(),
    );
    let error = poster.err().unwrap().to_string();
    assert!(
        error.contains("network id: expected") && error.contains("hint:"),
        "{error}"
    );
}

#[test]
fn a_board_without_the_posted_inputs_stops_before_settling() {
    let net = Network::open();
    complete(&net, &mut net.poster(), Epoch(0));
    let empty = assay_bridge::store::Store::open(&net.dir.path().join("other"), net.network);
    let poster = assay_bridge::poster::Poster::new(
        std::sync::Arc::new(empty.unwrap()),
        net.ledger(),
        poster_key(),
        net.history(),
    );
    let error = poster.unwrap().step(net.now()).unwrap_err().to_string();
    assert!(
        error.contains("does not hold") && error.contains("hint:"),
        "{error}"
    );
}

#[test]
fn a_root_that_cannot_be_reproduced_is_never_settled() {
    let net = Network::open();
    let epoch = Epoch(0);
    net.agree(epoch);
    let history = net.history();
    let mut outcome = net.outcome(&history);
    outcome.root.root = Keccak([0xbb; 32]);
    post_by_hand(&net, &history, &outcome);
    let error = net.poster().step(net.now()).unwrap_err().to_string();
    assert!(
        error.contains("outcome root: recomputed") && error.contains("hint:"),
        "{error}"
    );
    assert_eq!(net.ledger().nodes().unwrap()[0].settled_epoch, None);
}

#[test]
fn registrations_that_come_and_go_during_an_epoch_do_not_move_its_root() {
    let net = Network::open();
    let mut poster = net.poster();
    let (epoch, outsider) = (Epoch(0), key(51));
    net.agree(epoch);
    let before = net.digest(&net.outcome(poster.history()));
    net.register(&outsider);
    let between = net.digest(&net.outcome(poster.history()));
    net.cancel(&outsider);
    let after = net.digest(&net.outcome(poster.history()));
    assert_eq!((before, before), (between, after));
    // The confirmed claim itself goes away once all have signed: the root is still what they signed.
    net.sign(epoch, before, &ALL);
    net.cancel(&provider());
    let posted = poster.step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "{posted}");
    let settled = Step::Settled {
        epoch,
        settled: 0,
        skipped: 1,
    };
    assert_eq!(poster.step(net.now()).unwrap(), settled);
    assert_eq!(net.ledger().nodes().unwrap()[0].confirmed_owner, None);
    // Who starts later, from the same board, comes to the same.
    assert_eq!(net.poster().step(net.now()).unwrap(), settled);
    // The claim lived when epoch 1 began; no later epoch adds to it, and the ledger pays none of it.
    let mut earned = Vec::new();
    for epoch in [Epoch(1), Epoch(2), Epoch(3)] {
        net.agree(epoch);
        let digest = net.digest(&net.outcome(poster.history()));
        net.sign(epoch, digest, &ALL);
        for _ in ["posted", "settled"] {
            poster.step(net.now()).unwrap();
        }
        earned.push(poster.history().states()[&NODE].cumulative_reward);
    }
    assert_eq!(poster.history().next(), Epoch(4));
    assert_eq!(earned, [earned[0]; 3]);
    let node = &net.ledger().nodes().unwrap()[0];
    assert_eq!((node.cumulative_reward, node.arrears), (Stake(0), Stake(0)));
}

#[test]
fn a_registration_before_the_epoch_counts_in_it_and_not_before() {
    let net = Network::open();
    let mut poster = net.poster();
    let outsider = key(49);
    net.register(&outsider);
    let claims = |poster: &assay_bridge::poster::Poster| {
        let claims = replay::claims(&net.ledger(), poster.history()).unwrap();
        claims
            .iter()
            .map(|claim| claim.provider)
            .collect::<Vec<_>>()
    };
    assert_eq!(claims(&poster), [provider().address()]);
    complete(&net, &mut poster, Epoch(0));
    assert_eq!(claims(&poster), [provider().address(), outsider.address()]);
}

#[test]
fn less_collateral_than_the_class_asks_for_earns_nothing() {
    let class = Network::open().class;
    let least = u128::from(class.money.collateral_gwei_min) * 1_000_000_000;
    let reward = u128::from(class.money.reward_gwei_per_epoch) * 1_000_000_000;
    for (collateral, expected) in [(1, None), (least - 1, None), (least, Some(reward))] {
        let net = Network::with_collateral(Stake(collateral));
        let mut poster = net.poster();
        for epoch in [Epoch(0), Epoch(1)] {
            net.agree(epoch);
            let digest = net.digest(&net.outcome(poster.history()));
            net.sign(epoch, digest, &ALL);
            for _ in ["posted", "settled"] {
                poster.step(net.now()).unwrap();
            }
        }
        assert_eq!(poster.history().next(), Epoch(2));
        let state = poster.history().states().get(&NODE);
        assert_eq!(
            state.map(|s| s.cumulative_reward),
            expected,
            "{collateral} wei"
        );
        let node = &net.ledger().nodes().unwrap()[0];
        assert_eq!(node.cumulative_reward.0, expected.unwrap_or(0));
    }
}

#[test]
fn a_hypernode_that_never_reveals_is_left_out_and_the_epoch_is_posted() {
    let net = Network::open();
    let mut poster = net.poster();
    let epoch = Epoch(0);
    net.at(epoch, 100);
    for hypernode in &net.hypernodes {
        net.post(hypernode, epoch, &hypernode.commit(&net, epoch))
            .unwrap();
    }
    let (silent, others) = net.hypernodes.split_last().unwrap();
    net.at(epoch, 1_100);
    for hypernode in others {
        net.post(hypernode, epoch, &hypernode.reveal(&net, epoch))
            .unwrap();
    }
    let mut list = net.list(epoch);
    list.retain(|entry| entry.hypernode != silent.id());
    net.at(epoch, 2_100);
    let first = &others[0];
    net.post(first, epoch, &first.proposal(&net, epoch, &list))
        .unwrap();
    let input_set = input_set_hash(&net.network, epoch, &list);
    for hypernode in others {
        net.post(hypernode, epoch, &hypernode.vote(&net, epoch, input_set))
            .unwrap();
    }
    let mut reports = net.reports(epoch);
    reports.remove(&silent.id());
    let known = replay::claims(&net.ledger(), poster.history()).unwrap();
    let outcome = poster.history().aggregate(known, &reports).unwrap();
    net.sign(epoch, net.digest(&outcome), &[0, 1, 2]);
    let posted = poster.step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "{posted}");
    let record = net.ledger().epoch_record(epoch).unwrap();
    assert_eq!(record.input_set, input_set);
}
