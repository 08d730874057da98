//! Events by contract and topic.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use assay_ledger::abi::AssayEpochs;
use assay_ledger::{Action, Chain, Finality, LogQuery};
use assay_protocol::ids::{Epoch, Keccak};

use crate::network::*;

const ROOT: Keccak = Keccak([9; 32]);

fn query(net: &Network, epoch: u64, from: u64) -> LogQuery {
    LogQuery {
        address: Address::from(net.ledger.contract().0),
        topic: B256::from(U256::from(epoch)),
        from,
        since_s: 0,
    }
}

/// Block and first topic of each event of an epoch.
fn events(net: &Network, epoch: u64, from: u64) -> Vec<(u64, B256)> {
    let query = query(net, epoch, from);
    let found = net.chain.logs(&query, Finality::Latest).unwrap();
    for event in &found {
        assert_eq!(event.log.address, query.address);
        assert_eq!(event.log.topics()[1], query.topic);
    }
    let first = |event: &assay_ledger::Event| (event.block, event.log.topics()[0]);
    found.iter().map(first).collect()
}

#[test]
fn events_come_in_order_with_their_blocks_and_only_those_asked_for() {
    let net = Network::ready();
    assert_eq!(events(&net, 0, 0), []);
    let posted = net.post(&net.root(0, ROOT), &[0, 1, 2]).unwrap();
    let dispute = Action::dispute(Epoch(0), BOND);
    let disputed = net.does(&provider(), &dispute).unwrap();
    let better = assay_aggregate::root::EpochRoot {
        round: 1,
        ..net.root(0, ROOT)
    };
    let corrected = net.correct(&better, &[0, 1, 2]).unwrap();
    net.finish(1);
    net.post(&net.root(1, ROOT), &[0, 1, 2]).unwrap();
    let expected = [
        (posted.block_number, AssayEpochs::RootPosted::SIGNATURE_HASH),
        (disputed.block_number, AssayEpochs::Disputed::SIGNATURE_HASH),
        (
            corrected.block_number,
            AssayEpochs::RootCorrected::SIGNATURE_HASH,
        ),
    ];
    assert_eq!(events(&net, 0, 0), expected);
    assert_eq!(events(&net, 0, disputed.block_number), expected[1..]);
    assert_eq!(events(&net, 0, disputed.block_number + 1), expected[2..]);
    assert_eq!(events(&net, 0, corrected.block_number + 1), []);
    assert_eq!(events(&net, 0, 1_000_000), [], "no such block yet");
    assert_eq!(events(&net, 1, 0).len(), 1);
    assert_eq!(events(&net, 2, 0), []);
    let elsewhere = LogQuery {
        address: Address::from(net.ledger.contracts().nodes.0),
        ..query(&net, 0, 0)
    };
    let none = net.chain.logs(&elsewhere, Finality::Latest).unwrap();
    assert_eq!(none, []);
}

/// The pledge's event and the token's are in one block; both can be asked for, and each is told once.
#[test]
fn several_events_of_one_block_are_told_apart() {
    let net = Network::ready();
    let receipt = net
        .does(
            &provider(),
            &Action::top_up(NODE, assay_protocol::ids::Stake(5)),
        )
        .unwrap();
    assert!(receipt.logs.len() > 1, "{receipt:?}");
    for log in &receipt.logs {
        let query = LogQuery {
            address: log.address,
            topic: log.topics()[1],
            from: receipt.block_number,
            since_s: 0,
        };
        let found = net.chain.logs(&query, Finality::Latest).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].log, found[0].block), (log, receipt.block_number));
    }
}
