//! Builders: offers, prepaid rent, credits, shares of slashes.

use assay_aggregate::root::NodeLeaf;
use assay_ledger::{Action, NewOffer, OpenOffer, ReservationRecord};
use assay_protocol::ids::{Epoch, NodeId, Stake};

use crate::network::*;

pub fn offer(price: u128) -> NewOffer {
    NewOffer {
        node: NODE,
        price: Stake(price),
        min_epochs: 1,
        max_epochs: 6,
        open: true,
    }
}

/// The offers that a Builder can take now.
pub fn open_offers(net: &Network) -> Vec<(NodeId, OpenOffer)> {
    let nodes = net.ledger.nodes().unwrap();
    let offers = net.ledger.open_offers(&nodes).unwrap();
    offers.into_iter().collect()
}

/// A node that is offered for 10 an epoch, in epoch 2.
pub fn offered() -> Network {
    let net = Network::active().enriched(&builder());
    net.does(&provider(), &Action::offer(&offer(10))).unwrap();
    net
}

/// The same, reserved for so many epochs from epoch 3 on.
pub fn reserved(epochs: u64) -> Network {
    let net = offered();
    net.does(
        &builder(),
        &Action::reserve(NODE, Epoch(3), epochs, Stake(10)),
    )
    .unwrap();
    net
}

/// The same, with the slots before it known; epoch 3 is over.
pub fn started(epochs: u64) -> Network {
    let net = reserved(epochs);
    for epoch in 1..3 {
        net.post_tree(epoch, &[leaf(epoch).hash()]);
    }
    net.finish(3);
    let start = Action::start_reservation(1, &leaf(2), &proof_of(&leaf(2)));
    net.does(&deployer(), &start).unwrap();
    net
}

fn only(net: &Network) -> ReservationRecord {
    let mut all = net.ledger.reservations().unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn waiting(net: &Network, key: &assay_ledger::LedgerKey) -> u128 {
    net.ledger.rent_balance(key.address()).unwrap().0
}

#[test]
fn an_offer_is_seen_until_it_is_closed() {
    let net = Network::active();
    assert_eq!(net.ledger.offered_price(NODE).unwrap(), None);
    net.does(&provider(), &Action::offer(&offer(10))).unwrap();
    assert_eq!(net.ledger.offered_price(NODE).unwrap(), Some(Stake(10)));
    let open = OpenOffer {
        price: Stake(10),
        min_epochs: 1,
        max_epochs: 6,
    };
    assert_eq!(open_offers(&net), [(NODE, open)]);
    let closed = NewOffer {
        open: false,
        ..offer(10)
    };
    net.does(&provider(), &Action::offer(&closed)).unwrap();
    assert_eq!(net.ledger.offered_price(NODE).unwrap(), None);
    assert_eq!(open_offers(&net), []);
}

#[test]
fn rent_is_prepaid_and_goes_to_the_provider_for_what_was_up() {
    let net = reserved(2);
    assert_eq!(net.tokens(&builder()), RICH - 20);
    let made = only(&net);
    let expected = ReservationRecord {
        id: 1,
        node: NODE,
        builder: builder().address(),
        provider: provider().address(),
        first: Epoch(3),
        end: Epoch(5),
        settled_through: Epoch(3),
        started: false,
        price: Stake(10),
        held: Stake(20),
        credited: Stake(0),
    };
    assert_eq!(made, expected);
    for epoch in 1..5 {
        net.post_tree(epoch, &[leaf(epoch).hash()]);
    }
    net.finish(5);
    for action in [
        Action::start_reservation(1, &leaf(2), &proof_of(&leaf(2))),
        Action::settle_reservation(1, &leaf(4), &proof_of(&leaf(4))),
    ] {
        net.does(&deployer(), &action).unwrap();
    }
    let settled = ReservationRecord {
        settled_through: Epoch(5),
        started: true,
        held: Stake(0),
        ..expected
    };
    assert_eq!(only(&net), settled);
    assert_eq!(
        (waiting(&net, &provider()), waiting(&net, &builder())),
        (20, 0)
    );
    let before = net.tokens(&provider());
    net.does(&deployer(), &Action::withdraw_rent(provider().address()))
        .unwrap();
    assert_eq!(net.tokens(&provider()), before + 20);
}

#[test]
fn a_breach_gives_the_builder_its_rent_back_and_a_share_of_the_slash() {
    let net = started(2);
    let half = NodeLeaf {
        verdict: 3,
        cumulative_up_slots: 40,
        cumulative_down_slots: 10,
        cumulative_slash: 100,
        ..leaf(4)
    };
    net.post_tree(3, &[leaf(3).hash()]);
    net.conclude(&half).unwrap();
    net.finish(5);
    let settle = Action::settle_reservation(1, &half, &proof_of(&half));
    net.does(&builder(), &settle).unwrap();
    net.does(&builder(), &Action::release(NODE, provider().address()))
        .unwrap();
    assert_eq!(only(&net).credited, Stake(20));
    assert_eq!(
        (waiting(&net, &builder()), waiting(&net, &provider())),
        (45, 0)
    );
    assert_eq!(net.tokens(&treasury()), 75);
    net.does(&deployer(), &Action::withdraw_rent(builder().address()))
        .unwrap();
    assert_eq!(net.tokens(&builder()), RICH - 20 + 45);
}

#[test]
fn periods_that_have_not_begun_can_be_given_up() {
    let net = reserved(6);
    assert_eq!(net.tokens(&builder()), RICH - 60);
    net.finish(2);
    net.does(&builder(), &Action::cancel_reservation(1))
        .unwrap();
    // Epoch 3 runs, one epoch's notice: the period of 3 and 4 is the first that begins too early to be spared.
    let cancelled = only(&net);
    assert_eq!((cancelled.end, cancelled.held), (Epoch(5), Stake(20)));
    assert_eq!(cancelled.credited, Stake(40));
    assert_eq!(waiting(&net, &builder()), 40);
}

/// Epochs of a node are not kept from others for nothing.
#[test]
fn who_gives_up_all_of_a_reservation_pays_a_period() {
    let net = reserved(6);
    let other = Action::reserve(NODE, Epoch(9), 5, Stake(10));
    net.does(&builder(), &other).unwrap();
    net.finish(2);
    net.does(&builder(), &Action::cancel_reservation(2))
        .unwrap();
    let cancelled = net.ledger.reservations().unwrap().remove(1);
    assert_eq!((cancelled.end, cancelled.held), (Epoch(9), Stake(0)));
    assert_eq!(cancelled.credited, Stake(30));
    assert_eq!(waiting(&net, &builder()), 30);
    assert_eq!(waiting(&net, &provider()), 20);
}

#[test]
fn who_leaves_serves_what_is_reserved_and_a_re_audit_of_it() {
    let net = reserved(6);
    net.does(&provider(), &Action::request_exit(NODE)).unwrap();
    let node = net.ledger.nodes().unwrap().remove(0);
    assert_eq!(node.serves_through, Some(Epoch(8 + 1)));
    let again = Action::reserve(NODE, Epoch(9), 1, Stake(10));
    refused(net.does(&builder(), &again), "NotReservable");
}
