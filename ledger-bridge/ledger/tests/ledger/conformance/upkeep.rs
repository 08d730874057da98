//! What keeps a network in order: other addresses, what is over, and the calls of governor and guardian.

use assay_ledger::{Action, LedgerKey, NewNode, NodeRecord, NodeStatus};
use assay_protocol::ids::{Epoch, NodeId, Stake};

use super::rent::{reserved, started};
use crate::network::*;

fn only_node(net: &Network) -> NodeRecord {
    net.ledger.nodes().unwrap().remove(0)
}

#[test]
fn a_node_moves_to_another_address_by_its_own_provider_only() {
    let net = Network::active();
    let moved = Action::set_endpoint(NODE, "127.0.0.1:7777");
    refused(net.does(&builder(), &moved), "NotRegistered");
    let long = Action::set_endpoint(NODE, &"x".repeat(257));
    refused(net.does(&provider(), &long), "EndpointTooLong");
    let before = only_node(&net);
    net.does(&provider(), &moved).unwrap();
    let expected = NodeRecord {
        endpoint: "127.0.0.1:7777".into(),
        ..before
    };
    assert_eq!(only_node(&net), expected);
}

#[test]
fn a_node_that_stays_suspended_is_removed_by_anybody_and_serves_through_a_re_audit() {
    let net = Network::active();
    let remove = || net.does(&builder(), &Action::remove(NODE));
    refused(remove(), "WrongStatus");
    for epoch in 1..3 {
        let mut breach = leaf(epoch);
        breach.verdict = 3;
        net.conclude(&breach).unwrap();
    }
    assert_eq!(only_node(&net).status, NodeStatus::Suspended);
    refused(remove(), "NotSuspendedLongEnough");
    // Suspended after the end of epoch 2; removed 120 s later, which is four epochs.
    net.finish(6);
    remove().unwrap();
    let removed = only_node(&net);
    assert_eq!(removed.status, NodeStatus::Removed);
    assert_eq!(removed.serves_through, Some(Epoch(7 + 1)));
    assert_eq!((removed.ended_at, removed.collateral), (None, Stake(500)));
}

#[test]
fn rent_that_nobody_settles_goes_back_to_the_builder() {
    let net = started(4);
    let refund = |id| net.does(&deployer(), &Action::refund(id));
    refused(refund(2), "UnknownReservation");
    // Reserved are 3 to 6; five epochs later.
    net.finish(10);
    refused(refund(1), "RefundTooEarly");
    net.finish(11);
    refund(1).unwrap();
    let waiting = net.ledger.rent_balance(builder().address()).unwrap();
    assert_eq!(waiting, Stake(40));
    refused(refund(1), "ReservationOver");
}

#[test]
fn what_epochs_leave_of_their_budgets_funds_others() {
    let net = Network::ready();
    net.post_tree(0, &[leaf(0).hash()]);
    let reclaim = |epochs| net.does(&builder(), &Action::reclaim(epochs));
    refused(reclaim(1), "EpochNotFinal");
    net.finish(2);
    let allocate =
        |key: &LedgerKey, each| net.does(key, &Action::allocate(Epoch(30), 2, Stake(each)));
    refused(allocate(&governor(), 1), "InsufficientUnallocated");
    refused(reclaim(0), "BadRange");
    reclaim(1).unwrap();
    refused(allocate(&deployer(), 500), "Unauthorized");
    refused(allocate(&governor(), 501), "InsufficientUnallocated");
    allocate(&governor(), 500).unwrap();
    assert_eq!(net.ledger.budget(Epoch(31)).unwrap(), Stake(500));
    refused(net.does(&builder(), &Action::retire()), "Unauthorized");
    refused(net.does(&governor(), &Action::retire()), "NotAbandoned");
}

#[test]
fn the_guardian_pauses_and_resumes_and_nobody_else() {
    let net = Network::ready().enriched(&other_provider());
    let new = NewNode {
        node: NodeId([0x22; 32]),
        ..new_node(500)
    };
    let register = || net.does(&other_provider(), &Action::register_node(&new));
    refused(
        net.does(&guardian(), &Action::pause(0)),
        "DurationOutOfBounds",
    );
    net.does(&guardian(), &Action::pause(60_000)).unwrap();
    refused(register(), "Paused");
    refused(net.does(&governor(), &Action::unpause()), "Unauthorized");
    net.does(&guardian(), &Action::unpause()).unwrap();
    register().unwrap();
}

#[test]
fn the_guardian_stops_the_clock_of_windows() {
    let net = reserved(2);
    let tree = [leaf(1).hash()];
    net.post_tree(1, &tree);
    let extend = |key: &LedgerKey, ms| net.does(key, &Action::extend_windows(ms));
    refused(extend(&governor(), 60_000), "Unauthorized");
    refused(extend(&guardian(), 0), "DurationOutOfBounds");
    let before = net.ledger.epoch_record(Epoch(1)).unwrap();
    extend(&guardian(), 60_000).unwrap();
    let after = net.ledger.epoch_record(Epoch(1)).unwrap();
    assert_eq!(after.final_at.0, before.final_at.0 + 60_000);
    refused(extend(&guardian(), 60_000), "TooSoon");
}

#[test]
fn a_treasury_that_is_owed_nothing_is_paid_nothing() {
    let net = Network::deployed();
    refused(net.does(&builder(), &Action::pay_treasury()), "NothingOwed");
}
