//! What is final and what is not, by the chain's tags and by counting.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use assay_ledger::abi::AssayEpochs;
use assay_ledger::rpc::{RpcChain, RpcOptions};
use assay_ledger::{
    Action, AssayLedger, Chain, Event, Finality, LedgerError, LedgerKey, LogQuery, Resolution,
    Resolved,
};
use assay_protocol::ids::{Epoch, Keccak, Stake, UnixMs};
use serde_json::json;

use super::network::*;

/// Seven tokens for somebody who has none.
fn seven() -> Action {
    Action::mint(key(41).address(), Stake(7))
}

fn minted(net: &Network, at: Finality) -> Stake {
    net.ledger.reading(at).tokens(key(41).address()).unwrap()
}

#[test]
fn reads_of_each_finality_see_their_own_block() {
    let net = Network::deployed();
    net.bed.node.mine(8).unwrap();
    net.does(&deployer(), &seven()).unwrap();
    let heights = [Finality::Latest, Finality::Safe, Finality::Finalized]
        .map(|at| net.chain.block(at).unwrap().number);
    assert!(heights.is_sorted_by(|a, b| a > b), "{heights:?}");
    let nonce = |at| {
        net.chain
            .nonce_at(deployer().address().0.into(), at)
            .unwrap()
    };
    assert_eq!(minted(&net, Finality::Latest), Stake(7));
    assert_eq!(minted(&net, Finality::Finalized), Stake(0));
    assert_eq!(nonce(Finality::Latest), nonce(Finality::Finalized) + 1);
    net.bed.node.mine(2).unwrap();
    assert_eq!(minted(&net, Finality::Finalized), Stake(7));
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
    net.does(&deployer(), &seven()).unwrap();
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
    let tx = net.ledger.prepare(&deployer(), &seven()).unwrap();
    let receipt = net.ledger.send(&tx).unwrap();
    net.bed.node.reorg(1).unwrap();
    assert_eq!(net.chain.receipt(receipt.tx_hash).unwrap(), None);
    assert_eq!(minted(&net, Finality::Latest), Stake(0));
    let again = net.ledger.send(&tx).unwrap();
    assert_eq!(again.tx_hash, receipt.tx_hash, "the same bytes");
    assert_eq!(minted(&net, Finality::Latest), Stake(7));
}

#[test]
fn bytes_that_a_node_has_already_are_not_refused() {
    let net = Network::deployed();
    let tx = net.ledger.prepare(&deployer(), &seven()).unwrap();
    let first = net.ledger.send(&tx).unwrap();
    assert_eq!(net.ledger.send(&tx).unwrap(), first);
    let poor: LedgerKey = key(200);
    let error = net.does(&poor, &Action::withdraw_stake()).unwrap_err();
    assert!(error.revert_name().is_some(), "{error}");
}

/// Events of epoch 0.
fn events(net: &Network, chain: &dyn Chain, at: Finality) -> Vec<Event> {
    let query = LogQuery {
        address: Address::from(net.ledger.contract().0),
        topic: B256::ZERO,
        from: 0,
        since_s: 0,
    };
    chain.logs(&query, at).unwrap()
}

#[test]
fn an_event_above_the_final_block_is_not_there_yet() {
    let net = Network::ready();
    net.bed.node.mine(8).unwrap();
    let root = net.root(0, Keccak([9; 32]));
    net.post(&root, &[0, 1, 2]).unwrap();
    let options = RpcOptions {
        confirmations: Some(3),
        ..RpcOptions::default()
    };
    let counted = RpcChain::connect_with(&net.bed.node.url(), &options).unwrap();
    let resolved = |at| net.ledger.reading(at).resolved(Epoch(0)).unwrap();
    let posted = Resolved::Posted(Box::new(root));
    let chain = net.chain.as_ref();
    assert_eq!(events(&net, chain, Finality::Latest).len(), 1);
    assert_eq!(events(&net, chain, Finality::Finalized), []);
    assert_eq!(events(&net, &counted, Finality::Latest).len(), 1);
    assert_eq!(events(&net, &counted, Finality::Finalized), []);
    assert_eq!(resolved(Finality::Latest), posted);
    assert_eq!(resolved(Finality::Finalized), Resolved::Open);
    net.bed.node.mine(2).unwrap();
    assert_eq!(events(&net, chain, Finality::Finalized).len(), 1);
    assert_eq!(resolved(Finality::Finalized), posted);
    assert_eq!(events(&net, &counted, Finality::Finalized), []);
    net.bed.node.mine(1).unwrap();
    assert_eq!(events(&net, &counted, Finality::Finalized).len(), 1);
}

/// A client that has seen an event in a block still finds it when the chain holds it in an earlier one.
#[test]
fn an_event_that_moved_to_an_earlier_block_is_found() {
    let net = Network::ready();
    let root = net.root(0, Keccak([9; 32]));
    let signatures = net.signatures(&root, &[0, 1, 2]);
    let post = Action::post_root(&root, &net.committee(0), &signatures);
    let tx = net.ledger.prepare(&deployer(), &post).unwrap();
    net.bed.node.mine(4).unwrap();
    let first = net.ledger.send(&tx).unwrap();
    let client = AssayLedger::at(net.chain.clone(), net.ledger.contract()).unwrap();
    let posted = Resolved::Posted(Box::new(root));
    assert_eq!(client.resolved(Epoch(0)).unwrap(), posted);
    net.bed.node.call("anvil_rollback", json!([3])).unwrap();
    assert_eq!(client.resolved(Epoch(0)).unwrap(), Resolved::Open);
    let again = net.ledger.send(&tx).unwrap();
    assert_eq!(again.tx_hash, first.tx_hash);
    assert!(again.block_number < first.block_number);
    assert_eq!(client.resolved(Epoch(0)).unwrap(), posted);
}

/// What was approved and taken since the final block counts, or the second action would be refused.
#[test]
fn a_client_of_final_state_approves_by_the_newest() {
    let net = Network::open(&STAKES);
    let reading = net.ledger.reading(Finality::Finalized);
    for _ in 0..2 {
        reading
            .submit(&hypernode(0), &Action::bond(Stake(15)))
            .unwrap();
        // The final block is the one with the approval.
        net.bed.node.mine(1).unwrap();
    }
    let stake = net.ledger.hypernodes().unwrap()[0].stake;
    assert_eq!(stake, Stake(40 + 15 + 15));
}

/// Places of the contract's ring.
const RING: u64 = 1024;

#[test]
fn an_epoch_that_the_ring_has_lost_is_told_from_its_event() {
    let net = Network::ready();
    let first = net.root(0, Keccak([9; 32]));
    net.post(&first, &[0, 1, 2]).unwrap();
    net.clock
        .set(GENESIS_MS + (RING + 1) * EPOCH_MS + VOID_AFTER_MS);
    // One after the other, without waiting for each.
    let nonce = net.chain.nonce(deployer().address().0.into()).unwrap();
    for (epoch, nonce) in (1..RING).zip(nonce..) {
        let void = AssayEpochs::postVoidCall { epoch };
        let tx = signed_call(&deployer(), nonce, net.ledger.contract(), &void);
        if epoch == RING - 1 {
            net.ledger.send(&tx).unwrap();
        } else {
            net.chain.send_raw(&tx.raw).unwrap();
        }
    }
    let void = Action::post_void(Epoch(RING));
    refused(net.does(&deployer(), &void), "LastRootKept");
    let kept = net.ledger.epoch_record(Epoch(0)).unwrap();
    assert_eq!(kept.root, first.root);
    let next = net.root(RING, Keccak([8; 32]));
    net.post(&next, &[0, 1, 2]).unwrap();
    let lost = net.ledger.epoch_record(Epoch(0)).unwrap();
    assert_eq!(lost.resolution, Resolution::Open);
    assert!(net.ledger.is_final(Epoch(0)).unwrap());
    let posted = |root| Resolved::Posted(Box::new(root));
    let resolved = |epoch| net.ledger.resolved(Epoch(epoch)).unwrap();
    assert_eq!(resolved(RING), posted(next));
    assert_eq!(resolved(0), posted(first));
    assert_eq!(resolved(RING - 1), Resolved::Void);
}

/// Who is registered is not said before what may still change it is final: all readers would not say the same.
#[test]
fn claims_are_not_read_while_the_epoch_s_beginning_is_not_final() {
    let net = Network::ready();
    net.bed.node.mine(1).unwrap();
    let ledger = net.ledger.reading(Finality::Finalized);
    let claims = || ledger.claims(Epoch(0), UnixMs(GENESIS_MS), &BTreeMap::new());
    let early = claims().unwrap_err();
    assert!(matches!(early, LedgerError::NotFinalYet { .. }), "{early}");
    net.bed.node.mine(2).unwrap();
    assert_eq!(claims().unwrap(), []);
}
