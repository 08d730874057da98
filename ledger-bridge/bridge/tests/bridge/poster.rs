//! From votes to a settled root, in one process on a real embedded chain.

use assay_aggregate::agreement::input_set_hash;
use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::inputs::History;
use assay_bridge::config::ConfigError;
use assay_bridge::export::{self, Range};
use assay_bridge::poster::{Poster, Step, Tended};
use assay_bridge::store::TxEnd;
use assay_bridge::{replay, rewards, status, verdicts};
use assay_ledger::{Action, NewOffer, NodeStatus, Resolution};
use assay_protocol::amount::Gwei;
use assay_protocol::ids::{Epoch, Keccak, NodeId, Stake};
use assay_protocol::item::Item;
use assay_protocol::layout::{self, Claim, SignedRoot};
use assay_protocol::params::NetworkParams;

use crate::network::{NODE, Network, PLAN, key, poster_key, provider};

const ALL: [usize; 4] = [0, 1, 2, 3];

fn is_waiting(step: &Step, text: &str) -> bool {
    matches!(step, Step::Waiting { why, .. } if why.contains(text))
}

/// Runs the network through an epoch; the poster posts it, follows it and does what it makes possible.
fn complete(net: &Network, poster: &mut Poster, epoch: Epoch) -> Tended {
    net.agree(epoch);
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign(epoch, digest, &ALL);
    let posted = poster.step(net.now()).unwrap();
    assert!(
        matches!(posted, Step::Posted { signed, total, .. } if signed == total),
        "{posted}"
    );
    assert_eq!(poster.step(net.now()).unwrap(), followed(epoch));
    let (done, step) = tend(net, poster);
    assert!(is_waiting(&step, "running"), "{step}");
    done
}

fn followed(epoch: Epoch) -> Step {
    Step::Followed { epoch, nodes: 1 }
}

/// Steps until nothing is tended any more: what was, and the step after it.
fn tend(net: &Network, poster: &mut Poster) -> (Tended, Step) {
    let mut all = Tended::default();
    loop {
        match poster.step(net.now()).unwrap() {
            Step::Tended(done) => {
                all.settled += done.settled;
                all.confirmed += done.confirmed;
                all.released += done.released;
                all.rents += done.rents;
            }
            step => return (all, step),
        }
    }
}

/// What a provider has earned, as the poster's history has it.
fn earned(poster: &Poster) -> u128 {
    let rewards = &poster.history().states().rewards;
    rewards.get(&provider().address()).copied().unwrap_or(0)
}

/// Everybody signs this outcome's root and a stranger posts it.
fn post_by_hand(net: &Network, history: &History, outcome: &EpochOutcome) {
    net.post_by_hand(history.signers(), &outcome.root);
}

#[test]
fn epochs_are_posted_and_tended_once_and_a_restart_repeats_nothing() {
    let net = Network::open();
    let mut poster = net.poster();
    assert!(is_waiting(&poster.step(net.now()).unwrap(), "running"));
    // Who owns it is settled with the leaf that says so.
    let confirms = Tended {
        confirmed: 1,
        ..Tended::default()
    };
    assert_eq!(complete(&net, &mut poster, Epoch(0)), confirms);
    // A node in good standing that passes has nothing to be settled.
    assert_eq!(complete(&net, &mut poster, Epoch(1)), Tended::default());

    let ledger = net.ledger();
    let node = &ledger.nodes().unwrap()[0];
    assert_eq!(node.status, NodeStatus::Active);
    assert_eq!(node.settled_epoch, Some(Epoch(0)));
    assert_eq!(node.confirmed_owner, Some(provider().address()));
    let reward = u128::from(net.class.money.reward_gwei_per_epoch) * 1_000_000_000;
    assert_eq!(
        earned(&poster),
        reward,
        "the first epoch confirms, the second pays"
    );

    let height = ledger.chain().height().unwrap();
    let mut again = net.poster();
    for epoch in [Epoch(0), Epoch(1)] {
        assert_eq!(again.step(net.now()).unwrap(), followed(epoch));
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
    assert_eq!(net.store.ended("confirm", TxEnd::Included).unwrap(), 1);
    assert_eq!(net.store.ended("settle", TxEnd::Included).unwrap(), 0);
}

#[test]
fn a_final_epoch_s_rewards_are_claimed_by_their_leaf_and_once() {
    let net = Network::open();
    let mut poster = net.poster();
    for epoch in [Epoch(0), Epoch(1), Epoch(2)] {
        complete(&net, &mut poster, epoch);
    }
    let reward = u128::from(net.class.money.reward_gwei_per_epoch) * 1_000_000_000;
    let (ledger, provider) = (net.ledger(), provider().address());
    let found = rewards::claimable(&net.store, &ledger, net.history(), &provider).unwrap();
    let found = found.unwrap();
    assert_eq!(found.leaf.cumulative_reward, 2 * reward);
    let before = ledger.tokens(provider).unwrap();
    let claim = Action::claim(&found.leaf, &found.proof);
    ledger.submit(&key(3), &claim).unwrap();
    assert_eq!(ledger.tokens(provider).unwrap().0, before.0 + 2 * reward);
    let again = ledger.submit(&key(3), &claim).unwrap_err();
    assert_eq!(again.revert_name(), Some("NothingToClaim"));
    let rows = rewards::read(&net.store, &ledger, net.history()).unwrap();
    assert_eq!(rows.len(), 1);
    let gwei = Gwei::USUAL.whole(2 * reward);
    assert_eq!(
        (rows[0].earned_gwei, rows[0].final_gwei, rows[0].paid_gwei),
        (gwei, gwei, gwei)
    );
    let stranger = key(3).address();
    let none = rewards::claimable(&net.store, &ledger, net.history(), &stranger).unwrap();
    assert_eq!(none, None);
}

#[test]
fn an_epoch_pays_no_more_than_its_budget() {
    let net = Network::open();
    let mut poster = net.poster();
    for epoch in 0..50 {
        complete(&net, &mut poster, Epoch(epoch));
    }
    let before = earned(&poster);
    // Nobody has put anything aside for it.
    complete(&net, &mut poster, Epoch(50));
    assert_eq!(earned(&poster), before);
}

#[test]
fn a_reservation_is_begun_and_settled_by_the_bridge() {
    let net = Network::open_at(
        1_800_000_000_000,
        &format!("{PLAN}[ledger]\nperiod_epochs = 1\n"),
    );
    let mut poster = net.poster();
    complete(&net, &mut poster, Epoch(0));
    let (ledger, builder) = (net.ledger(), key(51));
    let offer = NewOffer {
        node: NODE,
        price: Stake(1_000),
        min_epochs: 1,
        max_epochs: 10,
        open: true,
    };
    ledger.submit(&provider(), &Action::offer(&offer)).unwrap();
    assert_eq!(ledger.offered_price(NODE).unwrap(), Some(Stake(1_000)));
    let reserve = Action::reserve(NODE, Epoch(3), 2, Stake(1_000));
    ledger.submit(&builder, &reserve).unwrap();
    assert_eq!(complete(&net, &mut poster, Epoch(1)).rents, 0);
    let begun = complete(&net, &mut poster, Epoch(2));
    assert_eq!(begun.rents, 1, "the slots before it are known");
    assert_eq!(complete(&net, &mut poster, Epoch(3)).rents, 1);
    assert_eq!(complete(&net, &mut poster, Epoch(4)).rents, 1);
    let reservation = &ledger.reservations().unwrap()[0];
    assert_eq!(reservation.held, Stake(0));
    let provider = provider().address();
    assert_eq!(ledger.rent_balance(provider).unwrap(), Stake(2_000));
    assert_eq!(complete(&net, &mut poster, Epoch(5)).rents, 0);
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
    let confirm = Action::confirm(leaf, &proof);
    ledger.submit(&provider(), &confirm).unwrap();
    assert_eq!(poster.step(net.now()).unwrap(), followed(epoch));
    let (done, step) = tend(&net, &mut poster);
    assert_eq!(done, Tended::default());
    assert!(is_waiting(&step, "running"), "{step}");
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
            &Action::mint(poster_key().address(), Stake(1)),
        )
        .unwrap();
    net.store
        .enqueue("mint/1", &poster_key().address(), &lost)
        .unwrap();
    let taken = ledger
        .prepare(
            &poster_key(),
            &Action::mint(poster_key().address(), Stake(2)),
        )
        .unwrap();
    ledger.send(&taken).unwrap();
    let posted = net.poster().step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "{posted}");
    assert_eq!(net.store.ended("mint", TxEnd::Superseded).unwrap(), 1);
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
    for (first, last, why) in [
        (3, None, "epoch 3 is not resolved yet"),
        (0, Some(3), "epoch 3 is not resolved yet"),
        (2, Some(1), "epochs 2 to 1: the first is after the last"),
    ] {
        let last = last.map(Epoch);
        let read = verdicts::read(&net.store, &net.ledger(), net.history(), Epoch(first), last);
        let said = read.unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
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
    let taken = export::export(&net.store, &net.ledger(), net.history(), &range, &out);
    assert!(taken.unwrap_err().is::<ConfigError>(), "exit code 2");
    let stranger = Range {
        node: NodeId([5; 32]),
        ..range
    };
    for _ in 0..2 {
        let said = refused(stranger, "b2");
        assert!(
            said.contains("no leaf in epoch 0"),
            "not what is left: {said}"
        );
    }
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
    let poster = Poster::new(
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
    let poster = Poster::new(
        std::sync::Arc::new(empty.unwrap()),
        net.ledger(),
        poster_key(),
        net.history(),
    );
    let error = poster.unwrap().step(net.now()).unwrap_err().to_string();
    assert!(
        error.contains("shows no input set") && error.contains("hint:"),
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
        error.contains("digest of the root: recomputed") && error.contains("hint:"),
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
    assert_eq!(net.digest(&net.outcome(poster.history())), before);
    // The confirmed claim itself goes away once all have signed: the root is still what they signed.
    net.sign(epoch, before, &ALL);
    net.expire(&provider());
    let posted = poster.step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "{posted}");
    assert_eq!(poster.step(net.now()).unwrap(), followed(epoch));
    assert_eq!(tend(&net, &mut poster).0, Tended::default());
    assert_eq!(net.ledger().nodes().unwrap()[0].confirmed_owner, None);
    // Who starts later, from the same board, comes to the same.
    assert_eq!(net.poster().step(net.now()).unwrap(), followed(epoch));
}

#[test]
fn a_registration_before_the_epoch_counts_in_it_and_not_before() {
    let net = Network::open();
    let mut poster = net.poster();
    let outsider = key(49);
    net.register(&outsider);
    let claims = |poster: &Poster| {
        let read = replay::Read::of(&net.ledger(), poster.history()).unwrap();
        read.claims
            .iter()
            .map(|claim| claim.provider)
            .collect::<Vec<_>>()
    };
    assert_eq!(claims(&poster), [provider().address()]);
    complete(&net, &mut poster, Epoch(0));
    assert_eq!(claims(&poster), [provider().address(), outsider.address()]);
}
