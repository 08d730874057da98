//! Offers and reservations.

use assay_aggregate::root::NodeLeaf;
use assay_ledger::abi::AssayReservations;
use assay_ledger::{Action, CreditTier, LedgerError, LedgerKey, NewNode, NewOffer, Receipt};
use assay_protocol::ids::{Bps, Digest, Epoch, NodeId, Stake};

use crate::conformance::rent::{offer, offered, reserved, started};
use crate::network::*;

fn reserve(net: &Network, first: u64, epochs: u64, price: u128) -> Result<Receipt, LedgerError> {
    let reserve = Action::reserve(NODE, Epoch(first), epochs, Stake(price));
    net.does(&builder(), &reserve)
}

fn settle(net: &Network, leaf: &NodeLeaf) -> Result<Receipt, LedgerError> {
    let settle = Action::settle_reservation(1, leaf, &proof_of(leaf));
    net.does(&deployer(), &settle)
}

fn start(net: &Network, leaf: &NodeLeaf) -> Result<Receipt, LedgerError> {
    let start = Action::start_reservation(1, leaf, &proof_of(leaf));
    net.does(&deployer(), &start)
}

#[test]
fn offers() {
    let net = Network::active().enriched(&builder());
    refused(reserve(&net, 3, 1, 10), "NotOffered");
    refused(
        net.does(&builder(), &Action::offer(&offer(10))),
        "OnlyOwner",
    );
    let unknown = NewOffer {
        node: NodeId([0x22; 32]),
        ..offer(10)
    };
    refused(net.does(&provider(), &Action::offer(&unknown)), "OnlyOwner");
    let range = |min_epochs, max_epochs| NewOffer {
        min_epochs,
        max_epochs,
        ..offer(10)
    };
    for bad in [offer(0), offer(1 << 96), range(0, 1), range(2, 1)] {
        refused(net.does(&provider(), &Action::offer(&bad)), "BadOffer");
    }
    let closed = NewOffer {
        open: false,
        ..offer(10)
    };
    net.does(&provider(), &Action::offer(&closed)).unwrap();
    refused(reserve(&net, 3, 1, 10), "NotOffered");
}

#[test]
fn reservations() {
    let net = offered();
    refused(reserve(&net, 3, 1, 9), "PriceTooHigh");
    refused(reserve(&net, 3, 0, 10), "WrongLength");
    refused(reserve(&net, 3, 7, 10), "WrongLength");
    refused(reserve(&net, 2, 1, 10), "WrongStart");
    refused(reserve(&net, 103, 1, 10), "WrongStart");
    reserve(&net, 10, 2, 10).unwrap();
    for (first, epochs) in [(10, 2), (9, 2), (11, 3), (9, 5)] {
        refused(reserve(&net, first, epochs, 10), "Overlap");
    }
    reserve(&net, 12, 1, 10).unwrap();
    reserve(&net, 9, 1, 10).unwrap();
}

#[test]
fn so_many_reservations_ahead_and_not_more() {
    let net = offered();
    let mut first = 3;
    let refusal = loop {
        assert!(first < 103, "as far ahead as can be reserved");
        if let Err(error) = reserve(&net, first, 1, 10) {
            break error;
        }
        first += 1;
    };
    assert_eq!(refusal.revert_name(), Some("TooManyUpcoming"), "{refusal}");
}

#[test]
fn a_class_without_a_schedule_and_a_suspended_node() {
    let net = Network::ready().enriched(&builder());
    let class = Digest([0xc2; 32]);
    net.does(&governor(), &Action::set_class(class, &terms()))
        .unwrap();
    let node = NodeId([0x22; 32]);
    let register = Action::register_node(&NewNode {
        node,
        class_digest: class,
        ..new_node(100)
    });
    net.does(&provider(), &register).unwrap();
    let other = NodeLeaf { node, ..leaf(2) };
    for epoch in 0..2 {
        net.post_tree(epoch, &[leaf(epoch).hash()]);
    }
    net.post_tree(2, &[other.hash()]);
    net.finish(3);
    for leaf in [leaf(0), other] {
        let confirm = Action::confirm(&leaf, &proof_of(&leaf));
        net.does(&deployer(), &confirm).unwrap();
    }
    for node in [NODE, node] {
        let offer = NewOffer { node, ..offer(10) };
        net.does(&provider(), &Action::offer(&offer)).unwrap();
    }
    let reserve = Action::reserve(node, Epoch(9), 1, Stake(10));
    refused(net.does(&builder(), &reserve), "NoSchedule");
    for epoch in 3..5 {
        let breach = NodeLeaf {
            verdict: 3,
            ..leaf(epoch)
        };
        net.conclude(&breach).unwrap();
    }
    refused(self::reserve(&net, 9, 1, 10), "NotReservable");
}

#[test]
fn cancellations() {
    let net = reserved(2);
    let cancel = |key: &LedgerKey, id| net.does(key, &Action::cancel_reservation(id));
    for id in [0, 2, u64::MAX] {
        refused(cancel(&builder(), id), "UnknownReservation");
    }
    refused(cancel(&provider(), 1), "OnlyBuilder");
    refused(cancel(&builder(), 1), "MadeNow");
    net.finish(2);
    refused(cancel(&builder(), 1), "NothingToCancel");
}

#[test]
fn starts() {
    let net = reserved(2);
    let wrong_node = NodeLeaf {
        node: NodeId([0x22; 32]),
        ..leaf(2)
    };
    refused(settle(&net, &leaf(4)), "NotStarted");
    refused(start(&net, &leaf(3)), "LeafOutside");
    refused(start(&net, &leaf(2)), "EpochNotPosted");
    refused(start(&net, &wrong_node), "WrongNode");
    net.post_tree(1, &[leaf(1).hash()]);
    net.post_tree(2, &[leaf(2).hash()]);
    refused(start(&net, &leaf(2)), "EpochNotFinal");
    // Epoch 2 lies between, and is not void.
    refused(start(&net, &leaf(1)), "WrongPeriodEnd");
    net.finish(3);
    let short = Action::start_reservation(1, &leaf(2), &[]);
    refused(net.does(&deployer(), &short), "BadProof");
    let mut call = AssayReservations::startCall {
        id: alloy_primitives::U256::from(1),
        leaf: (&leaf(2)).into(),
        proof: vec![],
    };
    call.leaf.leafType = 3;
    let contract = net.ledger.contracts().reservations;
    assert_eq!(net.meets(&deployer(), contract, &call), "WrongLeafType");
    start(&net, &leaf(2)).unwrap();
    refused(start(&net, &leaf(2)), "AlreadyStarted");
}

#[test]
fn settlements() {
    let net = started(2);
    for epoch in 3..6 {
        net.post_tree(epoch, &[leaf(epoch).hash()]);
    }
    refused(settle(&net, &leaf(2)), "LeafOutside");
    refused(settle(&net, &leaf(5)), "LeafOutside");
    refused(settle(&net, &leaf(3)), "WrongPeriodEnd");
    settle(&net, &leaf(4)).unwrap();
    refused(settle(&net, &leaf(4)), "ReservationOver");
    let cancel = Action::cancel_reservation(1);
    refused(net.does(&builder(), &cancel), "ReservationOver");
    let rent = Action::withdraw_rent(builder().address());
    refused(net.does(&builder(), &rent), "NothingToWithdraw");
}

#[test]
fn a_start_and_a_settlement_over_a_long_outage() {
    let net = offered();
    let first = 2 + 65;
    reserve(&net, first, 1, 10).unwrap();
    refused(start(&net, &leaf(0)), "WrongPeriodEnd");
    net.post_tree(1, &[leaf(1).hash()]);
    net.clock.set(GENESIS_MS + first * EPOCH_MS + VOID_AFTER_MS);
    for epoch in 2..first {
        net.does(&deployer(), &Action::post_void(Epoch(epoch)))
            .unwrap();
    }
    start(&net, &leaf(1)).unwrap();
    assert!(net.ledger.reservations().unwrap()[0].started);
}

#[test]
fn schedules_are_the_governors_and_set_once() {
    let net = Network::deployed();
    let new = Digest([0xc2; 32]);
    let tier = |below_ppm, credit| CreditTier {
        below_ppm,
        credit_bps: Bps(credit),
    };
    let set =
        |key: &LedgerKey, tiers: &[CreditTier]| net.does(key, &Action::set_schedule(new, tiers));
    refused(set(&deployer(), &schedule()), "OnlyGovernor");
    refused(set(&governor(), &[]), "BadTierCount");
    refused(set(&governor(), &[tier(1, 1); 9]), "BadTierCount");
    for bad in [
        vec![tier(1_000_001, 1)],
        vec![tier(0, 1)],
        vec![tier(1, 0)],
        vec![tier(1, 10_001)],
        vec![tier(1, 65_536 + 100)],
        vec![tier(9, 1), tier(9, 2)],
        vec![tier(9, 2), tier(8, 2)],
    ] {
        refused(set(&governor(), &bad), "BadTier");
    }
    set(&governor(), &schedule()).unwrap();
    refused(set(&governor(), &schedule()), "ScheduleAlreadySet");
}
