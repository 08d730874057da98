//! Providers' nodes: registration, confirmation, status, exit.

use assay_ledger::{Action, NodeRecord, NodeStatus};
use assay_protocol::ids::{Epoch, Stake, UnixMs};

use crate::network::*;

fn only_node(net: &Network) -> NodeRecord {
    let mut nodes = net.ledger.nodes().unwrap();
    assert_eq!(nodes.len(), 1);
    nodes.remove(0)
}

#[test]
fn a_class_is_known_by_its_terms() {
    let net = Network::ready();
    assert_eq!(net.ledger.class_terms(CLASS).unwrap(), terms());
}

#[test]
fn a_registration_keeps_its_times_and_its_pledge() {
    let net = Network::open(&STAKES).enriched(&provider());
    net.set_class(CLASS);
    net.clock.set(START_MS + 1_900);
    net.does(&provider(), &Action::register_node(&new_node(500)))
        .unwrap();
    let made = only_node(&net);
    assert_eq!(
        made.registered_at,
        UnixMs(START_MS + 1_000),
        "whole seconds"
    );
    assert_eq!((made.node, made.provider), (NODE, provider().address()));
    assert_eq!((made.class_digest, made.region), (CLASS, [0; 32]));
    assert_eq!(made.endpoint, "127.0.0.1:7000");
    assert_eq!((made.ended_at, made.confirming_at), (None, None));
    assert_eq!((made.serves_through, made.settled_epoch), (None, None));
    assert_eq!((made.pledged, made.collateral), (Stake(500), Stake(500)));
    assert_eq!(made.status, NodeStatus::Provisional);
    net.does(&provider(), &Action::top_up(NODE, Stake(20)))
        .unwrap();

    let cancel = Action::cancel_registration(NODE);
    refused(net.does(&provider(), &cancel), "MadeNow");
    let end = START_MS + 1_000 + PROVISIONAL_MS;
    net.clock.set(end);
    net.does(&builder(), &Action::expire(NODE, provider().address()))
        .unwrap();
    let ended = NodeRecord {
        ended_at: Some(UnixMs(end)),
        pledged: Stake(520),
        collateral: Stake(0),
        status: NodeStatus::None,
        ..made
    };
    assert_eq!(only_node(&net), ended);
    assert_eq!(net.tokens(&provider()), RICH);
}

#[test]
fn a_registration_that_nobody_confirms_expires_and_its_pledge_goes_back() {
    let net = Network::ready();
    let registered = only_node(&net).registered_at.0;
    let expire = || net.does(&builder(), &Action::expire(NODE, provider().address()));
    net.clock.set(registered + PROVISIONAL_MS - 1_000);
    refused(expire(), "NotExpired");
    net.clock.set(registered + PROVISIONAL_MS);
    expire().unwrap();
    assert_eq!(net.tokens(&provider()), RICH);
    let ended = only_node(&net);
    assert_eq!(ended.ended_at, Some(UnixMs(registered + PROVISIONAL_MS)));
    assert_eq!(ended.status, NodeStatus::None);
}

#[test]
fn a_node_is_confirmed_by_a_final_root_that_names_it() {
    let net = Network::ready();
    net.conclude(&leaf(0)).unwrap();
    let held = only_node(&net);
    assert_eq!(held.status, NodeStatus::Provisional);
    assert_eq!(held.confirming_at, Some(UnixMs(GENESIS_MS + EPOCH_MS)));
    assert_eq!((held.confirmed_owner, held.settled_epoch), (None, None));
    let cancel = Action::cancel_registration(NODE);
    refused(net.does(&provider(), &cancel), "Counts");
    let confirm = Action::confirm(&leaf(0), &proof_of(&leaf(0)));
    refused(net.does(&builder(), &confirm), "EpochNotFinal");
    net.finish(1);
    net.does(&builder(), &confirm).unwrap();
    let node = only_node(&net);
    assert_eq!(node.status, NodeStatus::Active);
    assert_eq!(node.confirmed_owner, Some(provider().address()));
    assert_eq!(node.settled_epoch, Some(Epoch(0)));
    net.conclude(&leaf(1)).unwrap();
    assert_eq!(only_node(&net).settled_epoch, Some(Epoch(1)));
}

#[test]
fn the_first_confirmed_provider_wins_and_the_other_gets_its_pledge_back() {
    let net = Network::open(&STAKES)
        .enriched(&provider())
        .enriched(&other_provider());
    net.set_class(CLASS);
    for (key, pledge) in [(provider(), 500), (other_provider(), 170)] {
        net.does(&key, &Action::register_node(&new_node(pledge)))
            .unwrap();
    }
    net.conclude(&leaf(0)).unwrap();
    net.finish(1);
    net.does(&deployer(), &Action::confirm(&leaf(0), &proof_of(&leaf(0))))
        .unwrap();
    let nodes = net.ledger.nodes().unwrap();
    assert_eq!(nodes[0].status, NodeStatus::Active);
    assert_eq!(nodes[1].status, NodeStatus::Provisional);
    assert_eq!(nodes[1].confirmed_owner, Some(provider().address()));
    let cancel = Action::cancel_registration(NODE);
    refused(net.does(&provider(), &cancel), "WrongStatus");
    net.does(&other_provider(), &cancel).unwrap();
    assert_eq!(net.tokens(&other_provider()), RICH);
    assert_eq!(net.ledger.nodes().unwrap()[1].status, NodeStatus::None);
}

#[test]
fn an_account_may_register_a_node_again_and_both_records_stay() {
    let net = Network::open(&STAKES).enriched(&provider());
    net.set_class(CLASS);
    let register = |pledge| net.does(&provider(), &Action::register_node(&new_node(pledge)));
    register(500).unwrap();
    let again = only_node(&net).registered_at.0 + PROVISIONAL_MS;
    net.clock.set(again);
    net.does(&provider(), &Action::expire(NODE, provider().address()))
        .unwrap();
    register(300).unwrap();
    let nodes = net.ledger.nodes().unwrap();
    let pledged: Vec<u128> = nodes.iter().map(|n| n.pledged.0).collect();
    assert_eq!(pledged, [500, 300]);
    assert!(nodes[0].ended_at.is_some() && nodes[1].ended_at.is_none());
    // A root about the first registration is none about the second.
    let first = (again - GENESIS_MS).div_ceil(EPOCH_MS);
    for before in 0..first {
        refused(net.conclude(&leaf(before)), "LeafTooEarly");
    }
    net.conclude(&leaf(first)).unwrap();
}

#[test]
fn status_steps_down_and_up_one_at_a_time() {
    let net = Network::active();
    let mut seen = Vec::new();
    for (verdict, status) in [
        (1, NodeStatus::Active),
        (3, NodeStatus::Warned),
        (3, NodeStatus::Suspended),
        (0, NodeStatus::Suspended),
        (1, NodeStatus::Warned),
        (1, NodeStatus::Active),
        (2, NodeStatus::Warned),
        (0, NodeStatus::Warned),
    ] {
        let mut one = leaf(seen.len() as u64 + 1);
        one.verdict = verdict;
        net.conclude(&one).unwrap();
        seen.push(verdict);
        assert_eq!(only_node(&net).status, status, "after {seen:?}");
    }
}

#[test]
fn a_provider_that_asked_to_leave_serves_its_last_epoch_and_is_paid_after_the_delay() {
    let net = Network::active();
    // The running one, and a re-audit of it.
    let last = 3;
    net.does(&provider(), &Action::request_exit(NODE)).unwrap();
    let leaving = only_node(&net);
    assert_eq!(leaving.serves_through, Some(Epoch(last)));
    assert_eq!(leaving.status, NodeStatus::Active);
    refused(
        net.does(&provider(), &Action::request_exit(NODE)),
        "Leaving",
    );
    let exit = || net.does(&builder(), &Action::exit(NODE, provider().address()));
    refused(exit(), "ExitTooEarly");
    let end = last + EXIT_DELAY_EPOCHS;
    for epoch in 1..end {
        net.post_tree(epoch, &[leaf(epoch).hash()]);
    }
    net.clock.set(GENESIS_MS + (end + 1) * EPOCH_MS - 1_000);
    refused(exit(), "ExitTooEarly");
    net.finish(end);
    refused(exit(), "LastLeafMissing");
    net.conclude(&leaf(end)).unwrap();
    refused(exit(), "LastLeafMissing");
    net.finish(end + 1);
    exit().unwrap();
    assert_eq!(net.tokens(&provider()), RICH);
    let gone = only_node(&net);
    assert_eq!(
        gone.ended_at,
        Some(UnixMs(GENESIS_MS + (end + 2) * EPOCH_MS))
    );
    assert_eq!(gone.status, NodeStatus::Removed);
    assert_eq!((gone.confirmed_owner, gone.collateral), (None, Stake(0)));
    refused(exit(), "WrongStatus");
}
