//! Roots, void epochs, finality, disputes, budgets and rewards.

use assay_aggregate::root::EpochRoot;
use assay_ledger::{Action, Finality, Resolution};
use assay_protocol::ids::{Epoch, Keccak, Stake, UnixMs};

use crate::network::*;

const ROOT: Keccak = Keccak([9; 32]);

#[test]
fn the_record_keeps_what_was_signed_and_when_it_is_final() {
    let net = Network::ready();
    let root = EpochRoot {
        round: 3,
        cumulative_reward: 17,
        ..net.root(0, ROOT)
    };
    net.post(&root, &[0, 1, 2, 3]).unwrap();
    let record = net.ledger.epoch_record(Epoch(0)).unwrap();
    assert_eq!(record.resolution, Resolution::Posted);
    assert_eq!((record.root, record.leaf_count), (root.root, 3));
    assert_eq!(record.digest, root.digest(CHAIN_ID, &net.ledger.contract()));
    assert_eq!((record.round, record.corrections), (3, 0));
    assert_eq!(record.cumulative_reward, Stake(17));
    assert_eq!(record.posted_at, UnixMs(GENESIS_MS + EPOCH_MS));
    assert_eq!(record.final_at, UnixMs(GENESIS_MS + EPOCH_MS + WINDOW_MS));
    assert_eq!(net.ledger.next_epoch().unwrap(), Epoch(1));
    let open = net.ledger.epoch_record(Epoch(1)).unwrap();
    assert_eq!(
        (open.resolution, open.digest),
        (Resolution::Open, Keccak([0; 32]))
    );
    net.clock.set(record.final_at.0 - 1_000);
    assert!(!net.ledger.is_final(Epoch(0)).unwrap());
    net.clock.set(record.final_at.0);
    assert!(net.ledger.is_final(Epoch(0)).unwrap());
    assert!(!net.ledger.is_final(Epoch(1)).unwrap());
}

#[test]
fn a_provider_is_paid_once_its_epoch_is_final_and_never_twice() {
    let net = Network::ready();
    let before = net.tokens(&provider());
    let (first, proof) = net.post_reward(0, 700);
    let claim = |leaf, proof: &[Keccak]| net.does(&deployer(), &Action::claim(leaf, proof));
    refused(claim(&first, &proof), "EpochNotFinal");
    net.finish(1);
    claim(&first, &proof).unwrap();
    assert_eq!(net.tokens(&provider()), before + 700, "whoever sends it");
    assert_eq!(net.ledger.paid(provider().address()).unwrap(), Stake(700));
    refused(claim(&first, &proof), "NothingToClaim");

    let (later, proof) = net.post_reward(1, 1_000);
    net.finish(2);
    claim(&later, &proof).unwrap();
    assert_eq!(net.tokens(&provider()), before + 1_000, "the difference");
    assert_eq!(net.ledger.paid(provider().address()).unwrap(), Stake(1_000));
    assert_eq!(net.ledger.paid(builder().address()).unwrap(), Stake(0));
}

#[test]
fn budgets_are_what_was_funded_epoch_by_epoch() {
    let net = Network::open(&STAKES);
    let before = net.tokens(&deployer());
    for (first, epochs, each) in [(0, 3, 10), (2, 2, 5)] {
        let fund = Action::fund(Epoch(first), epochs, Stake(each));
        net.does(&deployer(), &fund).unwrap();
    }
    let budgets: Vec<u128> = (0..5)
        .map(|epoch| net.ledger.budget(Epoch(epoch)).unwrap().0)
        .collect();
    assert_eq!(budgets, [10, 10, 15, 5, 0]);
    assert_eq!(net.tokens(&deployer()), before - 40);
    // A root may grant all of a budget.
    net.finish(0);
    let all = EpochRoot {
        cumulative_reward: 10,
        ..net.root(0, ROOT)
    };
    net.post(&all, &[0, 1, 2]).unwrap();
}

#[test]
fn a_void_epoch_loses_nothing_and_a_later_leaf_covers_it() {
    let net = Network::ready();
    let (first, proof) = net.post_reward(0, 300);
    net.clock.set(GENESIS_MS + 2 * EPOCH_MS + VOID_AFTER_MS);
    net.does(&provider(), &Action::post_void(Epoch(1))).unwrap();
    let void = net.ledger.epoch_record(Epoch(1)).unwrap();
    assert_eq!(void.resolution, Resolution::Void);
    assert_eq!(void.cumulative_reward, Stake(300), "sums roll on");
    let (both, later) = net.post_reward(2, 400);
    net.finish(4);
    net.does(&deployer(), &Action::claim(&both, &later))
        .unwrap();
    assert_eq!(net.ledger.paid(provider().address()).unwrap(), Stake(400));
    refused(
        net.does(&deployer(), &Action::claim(&first, &proof)),
        "NothingToClaim",
    );
}

#[test]
fn a_dispute_keeps_a_root_open_and_its_bond_is_lost_when_nothing_comes_of_it() {
    let net = Network::ready();
    net.post(&net.root(0, ROOT), &[0, 1, 2]).unwrap();
    let posted = net.ledger.epoch_record(Epoch(0)).unwrap();
    net.clock.set(posted.posted_at.0 + 20_000);
    let before = net.tokens(&provider());
    net.does(&provider(), &Action::dispute(Epoch(0), BOND))
        .unwrap();
    assert_eq!(net.tokens(&provider()), before - BOND.0);
    let disputed = net.ledger.epoch_record(Epoch(0)).unwrap();
    assert_eq!(
        disputed.final_at.0,
        posted.posted_at.0 + WINDOW_MS + EXTENSION_MS
    );
    let close = || net.does(&builder(), &Action::close_dispute(Epoch(0)));
    refused(close(), "EpochNotFinal");
    net.clock.set(disputed.final_at.0);
    close().unwrap();
    assert_eq!(net.tokens(&treasury()), BOND.0);
    refused(close(), "NoDispute");
}

/// What a client that reads final state sees here is what every other client sees: nothing is ever taken back.
#[test]
fn trials_and_balances_tell_what_there_is() {
    let net = Network::ready();
    let reading = net.ledger.reading(Finality::Latest);
    let void = Action::post_void(Epoch(0));
    refused(reading.trial(&void), "VoidTooEarly");
    net.clock.set(GENESIS_MS + EPOCH_MS + VOID_AFTER_MS);
    reading.trial(&void).unwrap();
    assert_eq!(
        net.ledger.next_epoch().unwrap(),
        Epoch(0),
        "nothing was sent"
    );
    let gas = net.ledger.balance(provider().address()).unwrap();
    assert_eq!(gas, Stake(RICH), "gas costs nothing here");
    assert_eq!(net.ledger.chain_id().unwrap(), CHAIN_ID);
}
