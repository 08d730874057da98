//! Gas, logs and reverts of every action are the same on both chains; fees are what a node asks.

use alloy_primitives::Address;
use assay_ledger::embedded::EmbeddedChain;
use assay_ledger::rpc::RpcChain;
use assay_ledger::{Action, AssayLedger, Chain, Fee, Finality, Receipt};
use assay_protocol::ids::{Epoch, Keccak, Stake};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::network::*;

/// What both chains must agree on.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    action: &'static str,
    gas: u64,
    logs: Vec<alloy_primitives::Log>,
    from: Address,
    to: Option<Address>,
}

fn seen(action: &'static str, receipt: Receipt) -> Seen {
    Seen {
        action,
        gas: receipt.gas_used,
        logs: receipt.logs,
        from: receipt.from,
        to: receipt.to,
    }
}

/// Every action of the contract once, in an order in which each succeeds.
fn every_action(ledger: &AssayLedger, set_ms: &dyn Fn(u64)) -> Vec<Seen> {
    let mut all = Vec::new();
    let mut done = |action, receipt: Result<Receipt, assay_ledger::LedgerError>| {
        all.push(seen(action, receipt.unwrap()));
    };
    for (index, stake) in [40, 25, 20, 15].into_iter().enumerate() {
        let new = new_hypernode(index, stake);
        done(
            "registerHyperNode",
            ledger.register_hypernode(&hypernode(index), &new),
        );
    }
    done("openGenesis", ledger.open_genesis(&deployer(), NETWORK));
    done(
        "registerNode",
        ledger.register_node(&provider(), &new_node(500)),
    );
    done(
        "registerNode",
        ledger.register_node(&other_provider(), &new_node(70)),
    );
    let cancel = Action::cancel_registration(NODE);
    done(
        "cancelRegistration",
        ledger.submit(&other_provider(), &cancel),
    );
    done("fundRewards", ledger.fund_rewards(&deployer(), Stake(10)));
    let mut paid = leaf(0);
    paid.cumulative_reward = 25;
    let (root, proof) = tree_of(&paid);
    set_ms(GENESIS_MS + EPOCH_MS);
    let committee = ledger.committee().unwrap();
    let root = epoch_root(0, root, committee.hash());
    let digest = root.digest(CHAIN_ID, &ledger.contract());
    let keys: Vec<_> = (0..3).map(hypernode).collect();
    let sign = |m: &assay_aggregate::root::Member| {
        let key = keys.iter().find(|k| k.address() == m.address)?;
        Some(key.sign_digest(&digest).unwrap())
    };
    let signatures: Vec<_> = committee.members().iter().map(sign).collect();
    done(
        "postRoot",
        ledger.post_root(&deployer(), &root, &committee, &signatures),
    );
    done(
        "settle",
        ledger.settle(&deployer(), Epoch(0), &paid, &proof),
    );
    done("fundRewards", ledger.fund_rewards(&deployer(), Stake(100)));
    done(
        "payArrears",
        ledger.submit(&deployer(), &Action::pay_arrears(NODE)),
    );
    set_ms(GENESIS_MS + 2 * EPOCH_MS + VOID_AFTER_MS);
    done("postVoid", ledger.post_void(&deployer(), Epoch(1)));
    done("claim", ledger.claim(&provider()));
    all
}

#[test]
fn gas_logs_and_addresses_are_the_same_on_both_chains() {
    let now = Arc::new(AtomicU64::new(START_MS));
    let dir = tempfile::tempdir().unwrap();
    let clock = now.clone();
    let chain = EmbeddedChain::open(&dir.path().join("ledger.db"), &config(), move || {
        clock.load(Ordering::SeqCst)
    })
    .unwrap();
    let embedded = AssayLedger::deploy(Arc::new(chain), &deployer(), &parameters()).unwrap();
    let net = Network::deployed();
    assert_eq!(embedded.contract(), net.ledger.contract());
    let here = every_action(&embedded, &|ms| now.store(ms, Ordering::SeqCst));
    let there = every_action(&net.ledger, &|ms| net.clock.set(ms));
    assert_eq!(here, there);
    for account in [deployer(), provider(), other_provider(), hypernode(0)] {
        let address = account.address();
        assert_eq!(
            embedded.balance(address).unwrap(),
            net.ledger.balance(address).unwrap()
        );
        let nonce = |ledger: &AssayLedger| ledger.chain().nonce(address.0.into()).unwrap();
        assert_eq!(nonce(&embedded), nonce(&net.ledger));
    }
}

#[test]
fn fees_are_the_chains_and_are_paid_by_the_sender() {
    const GWEI: u128 = 1_000_000_000;
    let net = Network::deployed();
    let (node, payer) = (&net.bed.node, deployer().address());
    node.set_balance(&payer.to_string(), GWEI * GWEI).unwrap();
    let chain = Arc::new(RpcChain::connect(&node.url()).unwrap());
    let ledger = AssayLedger::at(chain.clone(), net.ledger.contract()).unwrap();
    node.set_base_fee(7 * GWEI).unwrap();
    node.mine(1).unwrap();
    let market = chain.market().unwrap();
    assert!(market.base > 0 && market.tip > 0, "{market:?}");
    let action = Action::fund_rewards(Stake(5));
    let tx = ledger.prepare(&deployer(), &action).unwrap();
    assert_eq!(
        tx.fee(),
        Some(Fee {
            max: 2 * market.base + market.tip,
            tip: market.tip
        })
    );
    let before = ledger.balance(payer).unwrap().0;
    let receipt = ledger.send(&tx).unwrap();
    let paid = before - ledger.balance(payer).unwrap().0 - 5;
    let gas = u128::from(receipt.gas_used);
    assert!(paid > gas * market.tip && paid <= gas * (2 * market.base + market.tip));
    assert!(tx.gas_limit().unwrap() >= receipt.gas_used);

    let capped = ledger.reading(Finality::Latest).with_fee_cap(GWEI / 2);
    let nonce = chain.nonce(payer.0.into()).unwrap();
    let error = capped.submit(&deployer(), &action).unwrap_err().to_string();
    assert!(
        error.contains("over the cap") && error.contains("hint:"),
        "{error}"
    );
    let after = chain.nonce(payer.0.into()).unwrap();
    assert_eq!(after, nonce, "nothing was sent");
}

/// A transaction that is included and reverts all the same is an error, and its gas is gone.
#[test]
fn a_revert_that_no_trial_foresaw_is_an_error_with_its_receipt() {
    let net = Network::ready();
    let root = net.root(0, Keccak([9; 32]));
    let signatures = net.signatures(&root, &[0, 1, 2]);
    let post = Action::post_root(&root, &net.committee(), &signatures);
    let (one, two) = (key(2), key(3));
    let first = net.ledger.prepare(&one, &post).unwrap();
    let second = net.ledger.prepare(&two, &post).unwrap();
    net.ledger.send(&first).unwrap();
    let error = net.ledger.send(&second).unwrap_err();
    assert!(error.revert_name().is_some(), "{error}");
    let receipt = net.chain.receipt(second.hash.0.into()).unwrap().unwrap();
    assert!(!receipt.success && receipt.logs.is_empty());
    assert_eq!(receipt.from, Address::from(two.address().0));
    assert_eq!(net.ledger.next_epoch().unwrap(), Epoch(1));
}
