//! The embedded chain itself: what it refuses, what survives, who may own it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use assay_aggregate::root::{EpochRoot, NodeLeaf};
use assay_ledger::embedded::{ChainConfig, EmbeddedChain, SystemClock};
use assay_ledger::{Action, AssayLedger, Chain, ChainError, LedgerKey, NewOffer, TxRefused};
use assay_protocol::ids::{Epoch, Keccak, Stake};

use super::bed::HandClock;
use super::network::*;

pub fn transfer(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        to: TxKind::Call(Address::repeat_byte(0xee)),
        value: U256::from(5),
        ..TxEip1559::default()
    }
}

#[track_caller]
fn refusal(chain: &dyn Chain, raw: &[u8]) -> TxRefused {
    let height = chain.height().unwrap();
    let error = chain.send_raw(raw).unwrap_err();
    assert_eq!(
        chain.height().unwrap(),
        height,
        "a refused transaction makes no block"
    );
    let ChainError::Refused(refused) = error else {
        panic!("{error}")
    };
    refused
}

fn fresh(dir: &tempfile::TempDir) -> EmbeddedChain {
    HandClock::new().chain(&dir.path().join("ledger.db"))
}

#[test]
fn a_transfer_moves_money_costs_no_fee_and_may_be_sent_twice() {
    let dir = tempfile::tempdir().unwrap();
    let chain = fresh(&dir);
    let raw = sign(transfer(0), &key(2));
    let hash = chain.send_raw(&raw).unwrap();
    assert_eq!(
        chain.send_raw(&raw).unwrap(),
        hash,
        "same bytes, same transaction"
    );
    assert_eq!(chain.height().unwrap(), 1);
    assert_eq!(
        chain.balance(Address::repeat_byte(0xee)).unwrap(),
        U256::from(5)
    );
    let sender = Address::from(key(2).address().0);
    assert_eq!(chain.balance(sender).unwrap(), U256::from(RICH - 5));
    assert_eq!(chain.nonce(sender).unwrap(), 1);
    let receipt = chain.receipt(hash).unwrap().unwrap();
    assert!(receipt.success && receipt.gas_used == 21_000 && receipt.from == sender);
    assert_eq!(chain.receipt(B256::ZERO).unwrap(), None);
}

#[test]
fn foreign_nonce_chain_id_type_and_balance_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let chain = fresh(&dir);
    let rich = key(2);
    let wrong_nonce = refusal(&chain, &sign(transfer(1), &rich));
    assert!(matches!(
        wrong_nonce,
        TxRefused::WrongNonce {
            expected: 0,
            actual: 1,
            ..
        }
    ));
    let other_chain = TxEip1559 {
        chain_id: 1,
        ..transfer(0)
    };
    let refused = refusal(&chain, &sign(other_chain, &rich));
    assert_eq!(
        refused,
        TxRefused::WrongChainId {
            expected: CHAIN_ID,
            actual: 1
        }
    );
    let poor = refusal(&chain, &sign(transfer(0), &key(99)));
    assert!(poor.to_string().contains("fund"), "{poor}");
    let hungry = TxEip1559 {
        gas_limit: 20_000_000,
        ..transfer(0)
    };
    assert!(matches!(
        refusal(&chain, &sign(hungry, &rich)),
        TxRefused::Invalid(_)
    ));
    assert_eq!(refusal(&chain, &legacy(&rich)), TxRefused::WrongType(0));
}

fn legacy(key: &LedgerKey) -> Vec<u8> {
    let tx = TxLegacy {
        chain_id: Some(CHAIN_ID),
        gas_limit: 21_000,
        ..TxLegacy::default()
    };
    let signature = key.sign_digest(&Keccak(tx.signature_hash().0)).unwrap();
    let signature = Signature::from_raw_array(&signature).unwrap();
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
}

#[test]
fn a_changed_transaction_has_another_sender_and_high_s_none() {
    let dir = tempfile::tempdir().unwrap();
    let chain = fresh(&dir);
    let signature = key(2)
        .sign_digest(&Keccak(transfer(0).signature_hash().0))
        .unwrap();
    let signature = Signature::from_raw_array(&signature).unwrap();
    let dearer = TxEip1559 {
        value: U256::from(6),
        ..transfer(0)
    };
    let forged = TxEnvelope::from(dearer.into_signed(signature)).encoded_2718();
    let refused = refusal(&chain, &forged);
    assert!(
        matches!(refused, TxRefused::Invalid(_)),
        "a stranger without money: {refused}"
    );

    let n = alloy_primitives::uint!(
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256
    );
    let twin = Signature::new(signature.r(), n - signature.s(), !signature.v());
    let malleable = TxEnvelope::from(transfer(0).into_signed(twin)).encoded_2718();
    assert!(matches!(
        refusal(&chain, &malleable),
        TxRefused::BadSignature(_)
    ));
}

#[test]
fn malformed_bytes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let chain = fresh(&dir);
    let good = sign(transfer(0), &key(2));
    let mut trailing = good.clone();
    trailing.push(0);
    for bad in [
        &[][..],
        &[2],
        &good[..good.len() - 1],
        &trailing,
        &[0xff; 40],
    ] {
        assert!(
            matches!(refusal(&chain, bad), TxRefused::Malformed(_)),
            "{bad:?}"
        );
    }
    let refused = refusal(&chain, &vec![2; 200_000]);
    assert!(matches!(
        refused,
        TxRefused::TooLarge {
            actual: 200_000,
            ..
        }
    ));
}

#[test]
fn ecrecover_works_without_c_code() {
    let dir = tempfile::tempdir().unwrap();
    let chain = fresh(&dir);
    let digest = Keccak([0x42; 32]);
    let signature = key(3).sign_digest(&digest).unwrap();
    let mut input = digest.0.to_vec();
    input.extend_from_slice(&[0; 31]);
    input.push(signature[64]);
    input.extend_from_slice(&signature[..64]);
    let output = chain.call(Address::with_last_byte(1), &input).unwrap();
    assert_eq!(output[12..], key(3).address().0);
}

#[test]
fn time_never_runs_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let chain = clock.chain(&dir.path().join("ledger.db"));
    clock.set(START_MS + 90_500);
    chain.send_raw(&sign(transfer(0), &key(2))).unwrap();
    clock.set(START_MS);
    chain.send_raw(&sign(transfer(1), &key(2))).unwrap();
    assert_eq!(chain.timestamp_ms().unwrap(), START_MS + 90_000);
}

#[test]
fn everything_survives_a_reopen() {
    let net = Network::ready();
    net.conclude(&leaf(0)).unwrap();
    let (path, contract) = (net.bed.dir.path().join("ledger.db"), net.ledger.contract());
    let (head, nodes) = (net.chain.latest().unwrap(), net.ledger.nodes().unwrap());
    let Network {
        bed,
        clock,
        chain,
        ledger,
    } = net;
    let (_dir, kept) = (bed.dir, bed.chain);
    drop((chain, kept, ledger));
    let chain = Arc::new(clock.chain(&path));
    assert_eq!(chain.latest().unwrap(), head);
    let ledger = AssayLedger::at(chain, contract).unwrap();
    assert_eq!(ledger.nodes().unwrap(), nodes);
    assert_eq!(ledger.next_epoch().unwrap(), Epoch(1));
    ledger
        .submit(&deployer(), &Action::fund(Epoch(9), 1, Stake(1)))
        .unwrap();
}

/// A whole network: nodes, rent, slash, dispute, correction, claim, and a transaction that reverted.
fn lived() -> Network {
    let net = Network::active().enriched(&builder());
    let offer = NewOffer {
        node: NODE,
        price: Stake(10),
        min_epochs: 1,
        max_epochs: 6,
        open: true,
    };
    net.does(&provider(), &Action::offer(&offer)).unwrap();
    net.does(&builder(), &Action::reserve(NODE, Epoch(3), 2, Stake(10)))
        .unwrap();
    let breach = NodeLeaf {
        verdict: 3,
        cumulative_slash: 60,
        ..leaf(1)
    };
    net.conclude(&breach).unwrap();
    net.does(&provider(), &Action::dispute(Epoch(1), BOND))
        .unwrap();
    let better = EpochRoot {
        round: 1,
        cumulative_reward: 5,
        ..net.root(1, tree_of(&[reward(1, 5).hash()]).root())
    };
    net.correct(&better, &[0, 1, 2]).unwrap();
    net.finish(4);
    let root = net.root(2, Keccak([9; 32]));
    let signatures = net.signatures(&root, &[0, 1, 2]);
    let post = Action::post_root(&root, &net.committee(2), &signatures);
    let both = [deployer(), builder()].map(|key| net.ledger.prepare(&key, &post).unwrap());
    net.ledger.send(&both[0]).unwrap();
    refused(net.ledger.send(&both[1]), "WrongEpoch");
    net.does(&hypernode(0), &Action::unbond(Stake(5))).unwrap();
    let proof = tree_of(&[reward(1, 5).hash()]);
    let proof = proof.proof(&reward(1, 5).hash()).unwrap();
    net.does(&deployer(), &Action::claim(&reward(1, 5), &proof))
        .unwrap();
    net
}

#[test]
fn a_replay_gives_the_same_blocks() {
    let net = lived();
    let txs = net.chain.export().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let twin = Arc::new(fresh(&dir));
    twin.replay(&txs).unwrap();
    assert_eq!(twin.latest().unwrap(), net.chain.latest().unwrap());
    assert_eq!(twin.export().unwrap(), txs);
    let there = AssayLedger::at(twin, net.ledger.contract()).unwrap();
    let here = &net.ledger;
    assert_eq!(there.contracts(), here.contracts());
    assert_eq!(there.nodes().unwrap(), here.nodes().unwrap());
    assert_eq!(there.hypernodes().unwrap(), here.hypernodes().unwrap());
    assert_eq!(there.reservations().unwrap(), here.reservations().unwrap());
    for epoch in (0..3).map(Epoch) {
        let record = |ledger: &AssayLedger| ledger.epoch_record(epoch).unwrap();
        assert_eq!(record(&there), record(here));
        let resolved = |ledger: &AssayLedger| ledger.resolved(epoch).unwrap();
        assert_eq!(resolved(&there), resolved(here));
    }
    for account in [deployer(), provider(), builder(), treasury()] {
        let tokens = |ledger: &AssayLedger| ledger.tokens(account.address()).unwrap();
        assert_eq!(tokens(&there), tokens(here));
    }
    // A transaction less is another chain.
    let twin = HandClock::new().chain(&dir.path().join("shorter.db"));
    twin.replay(&txs[..txs.len() - 1]).unwrap();
    assert_ne!(twin.latest().unwrap(), net.chain.latest().unwrap());
}

#[test]
fn another_chain_id_or_genesis_is_refused_with_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    drop(fresh(&dir));
    let message = |result: Result<EmbeddedChain, ChainError>| result.err().unwrap().to_string();
    let other = message(EmbeddedChain::open_existing(&path, 5, SystemClock));
    assert!(
        other.contains("chain id is 31337, expected 5") && other.contains("hint:"),
        "{other}"
    );
    let poorer = ChainConfig {
        balances: vec![],
        ..config()
    };
    let other = message(EmbeddedChain::open(&path, &poorer, SystemClock));
    assert!(other.contains("genesis"), "{other}");
    assert!(EmbeddedChain::open_existing(&path, CHAIN_ID, SystemClock).is_ok());
    let none = message(EmbeddedChain::open_existing(
        &dir.path().join("none"),
        CHAIN_ID,
        SystemClock,
    ));
    assert!(none.contains("no ledger here"), "{none}");
}

#[test]
fn rules_of_another_fork_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    drop(fresh(&dir));
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.execute(
        "UPDATE meta SET value = 'Prague' WHERE key = 'EVM rules'",
        [],
    )
    .unwrap();
    drop(sql);
    let error = EmbeddedChain::open(&path, &config(), SystemClock)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("EVM rules is Prague, expected Osaka"),
        "{error}"
    );
}

#[test]
fn two_owners_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = fresh(&dir);
    let path = dir.path().join("ledger.db");
    let error = EmbeddedChain::open(&path, &config(), SystemClock)
        .err()
        .unwrap();
    assert!(matches!(error, ChainError::InUse(_)), "{error}");
}

#[test]
fn a_missing_contract_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Arc::new(fresh(&dir));
    let error = AssayLedger::at(chain, assay_protocol::ids::Address([5; 20]))
        .err()
        .unwrap();
    assert!(error.to_string().contains("no contract at"), "{error}");
}

const CHILD_PATH: &str = "ASSAY_TEST_LEDGER_PATH";

/// Not a test of its own: what `kill_9_loses_no_acknowledged_transaction` kills.
#[test]
#[ignore = "run by another test"]
fn child_that_sends_for_ever() {
    let Some(path) = std::env::var_os(CHILD_PATH) else {
        return;
    };
    let chain = EmbeddedChain::open(path.as_ref(), &config(), SystemClock).unwrap();
    let sender = Address::from(key(2).address().0);
    for nonce in chain.nonce(sender).unwrap().. {
        println!(
            "sent {}",
            chain.send_raw(&sign(transfer(nonce), &key(2))).unwrap()
        );
    }
}

#[test]
fn kill_9_loses_no_acknowledged_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let mut sent = Vec::new();
    for round in 1..=3 {
        sent.extend(killed_after(&path, 15 * round));
    }
    let chain = EmbeddedChain::open(&path, &config(), SystemClock).unwrap();
    for hash in &sent {
        assert!(chain.receipt(*hash).unwrap().is_some_and(|r| r.success));
    }
    let height = chain.height().unwrap();
    assert_eq!(
        chain.nonce(Address::from(key(2).address().0)).unwrap(),
        height
    );
    assert_eq!(
        chain.balance(Address::repeat_byte(0xee)).unwrap(),
        U256::from(5 * height)
    );
}

fn killed_after(path: &std::path::Path, count: usize) -> Vec<B256> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "embedded::child_that_sends_for_ever",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD_PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let hash = |line: String| {
        line.split_once("sent ")
            .map(|(_, hash)| hash.parse().unwrap())
    };
    let sent = lines.filter_map(hash).take(count).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    sent
}
