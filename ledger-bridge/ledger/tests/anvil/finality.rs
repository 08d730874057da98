//! What is final and what is not, by the chain's tags and by counting.

use assay_ledger::rpc::{RpcChain, RpcOptions};
use assay_ledger::{Action, Chain, Finality, LedgerKey};
use assay_protocol::ids::{Stake, UnixMs};

use super::network::*;

fn pool(net: &Network, at: Finality) -> Stake {
    net.ledger.reading(at).reward_pool().unwrap()
}

#[test]
fn reads_of_each_finality_see_their_own_block() {
    let net = Network::deployed();
    net.bed.node.mine(8).unwrap();
    net.ledger.fund_rewards(&deployer(), Stake(7)).unwrap();
    let heights = [Finality::Latest, Finality::Safe, Finality::Finalized]
        .map(|at| net.chain.block(at).unwrap().number);
    assert!(heights.is_sorted_by(|a, b| a > b), "{heights:?}");
    let nonce = |at| {
        net.chain
            .nonce_at(deployer().address().0.into(), at)
            .unwrap()
    };
    assert_eq!(pool(&net, Finality::Latest), Stake(7));
    assert_eq!(pool(&net, Finality::Finalized), Stake(0));
    assert_eq!(nonce(Finality::Latest), nonce(Finality::Finalized) + 1);
    net.bed.node.mine(2).unwrap();
    assert_eq!(pool(&net, Finality::Finalized), Stake(7));
    assert_eq!(nonce(Finality::Latest), nonce(Finality::Finalized));
    assert!(net.chain.latest().unwrap().timestamp_s * 1_000 >= UnixMs(START_MS).0);
}

#[test]
fn confirmations_count_where_a_chain_has_no_tags() {
    let net = Network::deployed();
    let options = RpcOptions {
        confirmations: Some(5),
        ..RpcOptions::default()
    };
    let counted = RpcChain::connect_with(&net.bed.node.url(), &options).unwrap();
    net.bed.node.mine(8).unwrap();
    let newest = counted.latest().unwrap().number;
    for at in [Finality::Safe, Finality::Finalized] {
        assert_eq!(counted.block(at).unwrap().number, newest - 5);
    }
    assert_eq!(
        net.chain.block(Finality::Finalized).unwrap().number,
        newest - 2
    );
    let account = deployer().address().0.into();
    net.ledger.fund_rewards(&deployer(), Stake(7)).unwrap();
    net.bed.node.mine(4).unwrap();
    let nonces = |at| counted.nonce_at(account, at).unwrap();
    assert_eq!(nonces(Finality::Latest), nonces(Finality::Finalized) + 1);
    net.bed.node.mine(1).unwrap();
    assert_eq!(nonces(Finality::Latest), nonces(Finality::Finalized));
}

/// A young chain has no block that deep: its first one is final, and nothing is read beyond it.
#[test]
fn a_chain_shorter_than_the_confirmations_is_final_at_genesis_only() {
    let net = Network::deployed();
    let options = RpcOptions {
        confirmations: Some(1_000),
        ..RpcOptions::default()
    };
    let counted = RpcChain::connect_with(&net.bed.node.url(), &options).unwrap();
    assert_eq!(counted.block(Finality::Finalized).unwrap().number, 0);
    assert_eq!(
        counted
            .nonce_at(deployer().address().0.into(), Finality::Finalized)
            .unwrap(),
        0
    );
}

#[test]
fn a_reorganisation_takes_back_what_was_not_final() {
    let net = Network::deployed();
    net.bed.node.mine(4).unwrap();
    let tx = net
        .ledger
        .prepare(&deployer(), &Action::fund_rewards(Stake(7)))
        .unwrap();
    let receipt = net.ledger.send(&tx).unwrap();
    net.bed.node.reorg(1).unwrap();
    assert_eq!(net.chain.receipt(receipt.tx_hash).unwrap(), None);
    assert_eq!(pool(&net, Finality::Latest), Stake(0));
    let again = net.ledger.send(&tx).unwrap();
    assert_eq!(again.tx_hash, receipt.tx_hash, "the same bytes");
    assert_eq!(pool(&net, Finality::Latest), Stake(7));
}

#[test]
fn bytes_that_a_node_has_already_are_not_refused() {
    let net = Network::deployed();
    let tx = net
        .ledger
        .prepare(&deployer(), &Action::fund_rewards(Stake(7)))
        .unwrap();
    let first = net.ledger.send(&tx).unwrap();
    assert_eq!(net.ledger.send(&tx).unwrap(), first);
    let poor: LedgerKey = key(200);
    let error = net.ledger.submit(&poor, &Action::claim()).unwrap_err();
    assert!(error.revert_name().is_some(), "{error}");
}
