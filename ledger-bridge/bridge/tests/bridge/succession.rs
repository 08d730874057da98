//! Stake that leaves: who had it votes and signs no more, and the network goes on without it.

use assay_aggregate::root::Committee;
use assay_bridge::config::params_file;
use assay_bridge::poster::{Poster, Step};
use assay_bridge::setup;
use assay_ledger::{Action, Resolved};
use assay_protocol::ids::{Epoch, Stake};
use assay_protocol::wire::RefusalCode;

use crate::network::{
    COIN, HyperNode, Network, PLAN, complete, computed_again, deployer, plan_file, poster_key,
};

/// The epoch from which stake that leaves in epoch 0 counts no more.
fn counts_from(net: &Network) -> Epoch {
    Epoch(
        net.ledger()
            .genesis_parameters()
            .unwrap()
            .active_after_epochs,
    )
}

/// The HyperNode with the largest stake takes it back; alone it could hold up every quorum.
fn largest_leaves(net: &Network) -> &HyperNode {
    let leaver = &net.hypernodes[0];
    let stake = net.ledger().hypernodes().unwrap()[0].stake;
    assert!(stake > Stake(30 * COIN), "of 100");
    net.ledger()
        .submit(&leaver.ledger, &Action::unbond(stake))
        .unwrap();
    leaver
}

fn void(net: &Network, poster: &mut Poster) {
    let epoch = poster.history().next();
    let late = net.at(epoch, net.params.void_after_ms);
    while poster.history().next() == epoch {
        poster.step(late).unwrap();
    }
    while !matches!(poster.step(net.now()).unwrap(), Step::Waiting { .. }) {}
}

/// The committee that a posted root names.
fn named_by(net: &Network, epoch: Epoch) -> assay_protocol::ids::Keccak {
    match net.ledger().resolved(epoch).unwrap() {
        Resolved::Posted(root) => root.next_committee,
        other => panic!("{other:?}"),
    }
}

fn contract_s(net: &Network, epoch: Epoch) -> Committee {
    net.ledger().committee_of(epoch).unwrap()
}

#[test]
fn the_network_goes_on_without_the_largest_stake_when_it_has_left() {
    let mut net = Network::open();
    let mut poster = net.poster();
    largest_leaves(&net);
    let from = counts_from(&net);
    while poster.history().next() < from {
        let (signed, total) = complete(&net, &mut poster);
        assert_eq!(signed, total, "the leaver still signs");
    }
    let last = Epoch(from.0 - 1);
    assert_eq!(named_by(&net, last), contract_s(&net, from).hash());
    assert_ne!(named_by(&net, last), contract_s(&net, last).hash());
    // It is gone for good: neither reports nor signs.
    let leaver = net.hypernodes.remove(0);
    let members = poster.history().signers().members().to_vec();
    assert!(
        members
            .iter()
            .all(|member| member.address != leaver.ledger.address())
    );
    for _ in 0..2 {
        let (signed, total) = complete(&net, &mut poster);
        assert_eq!(signed, total);
    }
    // Whoever computes it again comes to the same roots.
    let again = computed_again(&net, &poster);
    assert_eq!(again.history().signers(), poster.history().signers());
}

#[test]
fn genesis_opened_again_writes_the_same_network_whoever_has_come_and_gone() {
    let mut net = Network::open();
    let mut poster = net.poster();
    largest_leaves(&net);
    while poster.history().next() < counts_from(&net) {
        complete(&net, &mut poster);
    }
    net.hypernodes.remove(0);
    complete(&net, &mut poster);
    let plan = plan_file(net.dir.path(), PLAN);
    let out = net.dir.path().join("again.json");
    setup::open_genesis(&net.ledger(), &deployer(), &plan, &out).unwrap();
    assert_eq!(params_file(&out).unwrap(), net.params);
}

#[test]
fn what_a_leaver_reports_and_votes_counts_no_more() {
    let net = Network::open();
    let mut poster = net.poster();
    let leaver = largest_leaves(&net).id();
    while poster.history().next() < counts_from(&net) {
        complete(&net, &mut poster);
    }
    let epoch = poster.history().next();
    assert!(
        !poster
            .history()
            .roster(epoch)
            .unwrap()
            .weights()
            .contains_key(&leaver)
    );
    // All four agree on a list with its report, as if it had a say.
    net.agree(epoch);
    let mut last = poster.step(net.now()).unwrap();
    for _ in 0..20 {
        last = poster
            .step(net.at(epoch, net.params.void_after_ms))
            .unwrap();
    }
    assert!(matches!(last, Step::Waiting { .. }), "{last}");
    assert_eq!(net.ledger().resolved(epoch).unwrap(), Resolved::Void);
}

#[test]
fn who_registers_later_is_heard_signs_and_is_admitted_as_long_as_it_may_be_asked() {
    let mut net = Network::open();
    let mut poster = net.poster();
    assert!(net.board.admits(&net.hypernodes[0].id()));
    let newcomer = net.join(60).id();
    assert!(!net.board.admits(&newcomer), "not read yet");
    let from = counts_from(&net);
    while poster.history().next() < from {
        let epoch = poster.history().next();
        let now = net.at(epoch, 100);
        net.board.refresh(now).unwrap();
        assert!(net.board.admits(&newcomer));
        let early = &net.hypernodes[4];
        let refused = net.post(early, epoch, &early.commit(&net, epoch));
        // Heard it is on the board before its epoch, where words for rosters are, and counts for nothing.
        assert_eq!(refused.is_err(), epoch.next() < from, "epoch {epoch}");
        let joined = net.hypernodes.remove(4);
        complete(&net, &mut poster);
        net.hypernodes.push(joined);
    }
    let weights = poster.history().roster(from).unwrap().weights();
    assert!(weights[&newcomer] > 0);
    let (signed, total) = complete(&net, &mut poster);
    assert_eq!(signed, total, "all five");
    // It takes all of it back: roots name it for a while yet, so it may come and sign.
    let leaver = &net.hypernodes[4];
    let all = net.ledger().hypernodes().unwrap()[4].stake;
    net.ledger()
        .submit(&leaver.ledger, &Action::unbond(all))
        .unwrap();
    net.board.refresh(net.now()).unwrap();
    assert!(net.board.admits(&newcomer));
    let (signed, total) = complete(&net, &mut poster);
    assert_eq!(signed, total, "it is among them still");
}

#[test]
fn a_board_that_has_not_read_who_counts_takes_nothing() {
    let net = Network::open();
    let mut poster = net.poster();
    while poster.history().next() < counts_from(&net) {
        complete(&net, &mut poster);
    }
    let epoch = poster.history().next();
    let now = net.at(epoch, 100);
    let (board, h) = (net.board_over(net.store.clone()), &net.hypernodes[0]);
    let commit = h.commit(&net, epoch);
    let refused = board.post(h.id(), epoch, &commit, now).unwrap_err();
    assert_eq!(refused.code, RefusalCode::Busy, "{refused}");
    board.refresh(now).unwrap();
    board.post(h.id(), epoch, &commit, now).unwrap();
}

#[test]
fn a_roster_that_was_read_wrongly_is_read_again_when_a_root_differs() {
    let net = Network::open();
    let mut poster = net.poster();
    for _ in 0..3 {
        complete(&net, &mut poster);
    }
    let mut history = net.history();
    let wrong = net.params.roster[..2].to_vec();
    history.learn(Epoch(2), wrong).unwrap();
    let mut misled = Poster::new(net.store.clone(), net.ledger(), poster_key(), history).unwrap();
    let mut said = Vec::new();
    while misled.history().next() < poster.history().next() {
        said.push(misled.step(net.now()).unwrap().to_string());
    }
    let again = |step: &String| step.contains("others had a say: computed again");
    assert!(said.iter().any(again), "{said:?}");
}

#[test]
fn after_a_void_epoch_the_committee_that_was_named_signs() {
    let mut net = Network::open();
    let mut poster = net.poster();
    let leaver = largest_leaves(&net).ledger.address();
    let from = counts_from(&net);
    while poster.history().next() < Epoch(from.0 - 1) {
        complete(&net, &mut poster);
    }
    void(&net, &mut poster);
    assert!(poster.history().signers().weight(&leaver).is_some());
    // The leaver reports nothing, and its signature is asked for once more.
    let gone = net.hypernodes.remove(0);
    let epoch = poster.history().next();
    net.agree(epoch);
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign(epoch, digest, &[0, 1, 2]);
    let waiting = poster.step(net.now()).unwrap();
    assert!(
        waiting.to_string().contains("waiting for root signatures"),
        "{waiting}"
    );
    net.post(&gone, epoch, &gone.root_signature(&net, epoch, digest))
        .unwrap();
    let posted = poster.step(net.now()).unwrap();
    assert!(
        matches!(posted, Step::Posted { signed, total, .. } if signed == total),
        "{posted}"
    );
    while !matches!(poster.step(net.now()).unwrap(), Step::Waiting { .. }) {}
    assert!(poster.history().signers().weight(&leaver).is_none());
    let (signed, total) = complete(&net, &mut poster);
    assert_eq!(signed, total, "and no more");
}
