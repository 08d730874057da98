//! What goes wrong between a bridge and a real node. Each epoch is settled exactly once, nothing is lost, and the operator
//! reads why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use assay_aggregate::agreement::input_set_hash;
use assay_bridge::outbox::{Outbox, Settings};
use assay_bridge::poster::{Poster, Step};
use assay_bridge::store::TxEnd;
use assay_ledger::rpc::{MAX_ANSWER_BYTES, RpcChain, RpcOptions};
use assay_ledger::{Action, AssayLedger, LedgerKey, Resolution, Resolved};
use assay_protocol::ids::{Epoch, Stake};
use assay_testbed::web::http_reply;
use serde_json::{Value, json};

use crate::network::{NODE, Network, key, poster_key, provider};
use crate::proxy::{Fault, Proxy};

const E: Epoch = Epoch(0);
const GWEI: u128 = 1_000_000_000;

/// A network on a real node whose epoch 0 is agreed and signed.
fn signed() -> Network {
    let net = Network::on_node();
    net.agree(E);
    let digest = net.digest(&net.outcome(&net.history()));
    net.sign(E, digest, &[0, 1, 2, 3]);
    net
}

fn poster(net: &Network) -> Poster {
    net.poster_with(net.store.clone(), poster_key(), net.chain.clone())
}

/// Steps until the poster waits for this: a node needs a moment for what it was sent.
fn waits(poster: &mut Poster, net: &Network, text: &str) {
    let started = Instant::now();
    loop {
        let step = poster.step(net.now()).unwrap();
        let line = step.to_string();
        assert!(matches!(step, Step::Waiting { .. }), "{line}");
        if line.contains(text) {
            return;
        }
        let late = started.elapsed() > Duration::from_secs(30);
        assert!(!late, "expected {text:?}: {line}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Steps and blocks until the epoch's leaves are settled; everything that was said.
pub fn finish(poster: &mut Poster, net: &Network) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..40 {
        let step = poster.step(net.now());
        said.extend(poster.take_notes());
        match step {
            Ok(step) => said.push(step.to_string()),
            Err(error) => said.push(assay_bridge::chain_of(&error)),
        }
        if is_settled(net) {
            return said;
        }
        net.node().mine(1).unwrap();
    }
    panic!("not settled: {said:#?}");
}

/// The node's leaf was settled, finally, and nothing is under way. A ledger that does not answer is none.
fn is_settled(net: &Network) -> bool {
    let nodes = net.ledger_if_up().and_then(|ledger| ledger.nodes().ok());
    let settled = nodes.is_some_and(|nodes| nodes[0].settled_epoch == Some(E));
    settled && net.store.live().unwrap().is_empty()
}

fn nonce(net: &Network, key: &LedgerKey) -> u64 {
    net.chain.nonce(Address::from(key.address().0)).unwrap()
}

/// The epoch has one root, its node one settlement, and the outbox is empty.
pub fn settled_once(net: &Network) {
    let ledger = net.ledger();
    assert_eq!(ledger.next_epoch().unwrap(), Epoch(1));
    let record = ledger.epoch_record(E).unwrap();
    assert_eq!(record.resolution, Resolution::Posted);
    assert_eq!(ledger.nodes().unwrap()[0].settled_epoch, Some(E));
    assert!(net.store.live().unwrap().is_empty());
}

#[test]
fn a_root_is_posted_when_final_and_settled_after_it() {
    let net = signed();
    let mut poster = poster(&net);
    waits(&mut poster, &net, "final");
    waits(&mut poster, &net, "not finally yet");
    net.node().mine(2).unwrap();
    finish(&mut poster, &net);
    settled_once(&net);
    assert_eq!(nonce(&net, &poster_key()), 2, "one root, one confirmation");
}

#[test]
fn a_node_that_is_down_is_named_and_used_again_when_it_is_back() {
    let mut net = signed();
    let mut poster = poster(&net);
    waits(&mut poster, &net, "final");
    net.node.as_mut().unwrap().stop().unwrap();
    for _ in 0..2 {
        let error = assay_bridge::chain_of(&poster.step(net.now()).unwrap_err());
        assert!(
            error.contains(&net.node().address().to_string()) && error.contains("hint:"),
            "{error}"
        );
    }
    net.node.as_mut().unwrap().restart().unwrap();
    // It has lost the time that the test had given it.
    net.at(E, 3_000);
    finish(&mut poster, &net);
    settled_once(&net);
}

#[test]
fn a_reorganisation_that_drops_the_root_sends_the_same_bytes_again() {
    let net = signed();
    let mut poster = poster(&net);
    waits(&mut poster, &net, "final");
    let sent = net.store.live().unwrap()[0].sent.clone();
    net.node().reorg(1).unwrap();
    assert_eq!(net.ledger().next_epoch().unwrap(), E, "it is gone");
    waits(&mut poster, &net, "final");
    let notes = poster.take_notes();
    assert!(
        notes.iter().any(|note| note.contains("reorganisation")),
        "{notes:?}"
    );
    assert_eq!(net.store.live().unwrap()[0].sent, sent);
    finish(&mut poster, &net);
    settled_once(&net);
    let receipt = net.chain.receipt(B256::from(sent[0].hash.0)).unwrap();
    assert!(receipt.unwrap().success);
}

#[test]
fn a_fee_spike_is_followed_by_replacements_of_which_one_is_included() {
    let net = signed();
    let mut poster = poster(&net);
    net.node().automine(false).unwrap();
    waits(&mut poster, &net, "in no block yet");
    net.node().set_base_fee(90 * GWEI).unwrap();
    net.node().mine(1).unwrap();
    waits(&mut poster, &net, "in no block yet");
    net.pass(10_000);
    waits(&mut poster, &net, "in no block yet");
    let sent = net.store.live().unwrap()[0].sent.clone();
    assert_eq!(sent.len(), 2, "replaced, and the first bytes are kept");
    let [old, new] = [0, 1].map(|index| sent[index].fee().unwrap());
    assert!(new.max >= 90 * GWEI && new.max * 8 >= old.max * 9 && sent[0].nonce == sent[1].nonce);
    let notes = poster.take_notes();
    assert!(notes[0].contains("replaced by"), "{notes:?}");
    finish(&mut poster, &net);
    settled_once(&net);
    assert_eq!(nonce(&net, &poster_key()), 2);
    assert_eq!(net.store.ended("postRoot", TxEnd::Included).unwrap(), 1);
}

#[test]
fn above_the_fee_cap_nothing_is_sent_until_gas_is_cheap_again() {
    let net = signed();
    let mut poster = poster(&net);
    net.node().set_base_fee(2_000 * GWEI).unwrap();
    net.node().mine(1).unwrap();
    let error = assay_bridge::chain_of(&poster.step(net.now()).unwrap_err());
    assert!(error.contains("over the cap"), "{error}");
    assert!(net.store.live().unwrap().is_empty());
    net.node().set_base_fee(GWEI).unwrap();
    net.node().mine(1).unwrap();
    finish(&mut poster, &net);
    settled_once(&net);
}

/// What no block takes would cost its gas and do nothing.
#[test]
fn what_needs_more_gas_than_a_transaction_has_is_not_sent() {
    let net = signed();
    let (proxy, mut poster) = behind(&net);
    proxy.fault("eth_estimateGas", Fault::Say(json!("0x1000001")));
    let error = assay_bridge::chain_of(&poster.step(net.now()).unwrap_err());
    let expected = "postRoot: needs 16777217 gas, a transaction has at most 16777216";
    assert!(error.contains(expected), "{error}");
    assert!(net.store.live().unwrap().is_empty());
    proxy.repair();
    finish(&mut poster, &net);
    settled_once(&net);
}

#[test]
fn a_nonce_that_the_key_used_elsewhere_is_superseded_and_the_root_posted_anew() {
    let net = signed();
    let mut poster = poster(&net);
    net.node().automine(false).unwrap();
    waits(&mut poster, &net, "in no block yet");
    let other = net
        .ledger()
        .prepare(
            &poster_key(),
            &Action::mint(poster_key().address(), Stake(1)),
        )
        .unwrap();
    let fee = other.fee().unwrap();
    let fee = assay_ledger::Fee {
        max: fee.max * 2,
        tip: fee.tip * 2,
    };
    let other = assay_ledger::TxSigner::sign_tx(&poster_key(), &other.with_fee(fee).unwrap());
    net.chain.send_raw(&other.unwrap().raw).unwrap();
    net.node().mine(1).unwrap();
    waits(&mut poster, &net, "another transaction, not finally");
    let said = finish(&mut poster, &net);
    assert!(
        said.iter()
            .any(|line| line.contains("nonce was used by another")),
        "{said:?}"
    );
    settled_once(&net);
    assert_eq!(net.store.ended("postRoot", TxEnd::Superseded).unwrap(), 1);
    assert_eq!(net.store.ended("postRoot", TxEnd::Included).unwrap(), 1);
}

#[test]
fn two_bridges_that_race_settle_once_and_both_go_on() {
    let net = signed();
    let dir = tempfile::tempdir().unwrap();
    let store = net.copy_of_store(dir.path(), E);
    let mut one = poster(&net);
    let proxy = Proxy::before(net.node().address());
    let chain = Arc::new(RpcChain::connect(&proxy.url()).unwrap());
    let mut two = net.poster_with(store.clone(), key(3), chain);
    net.node().automine(false).unwrap();
    waits(&mut one, &net, "in no block yet");
    waits(
        &mut two,
        &net,
        "root not sent: postRoot was refused by the contract",
    );
    // The same at once: the second one's trial knows nothing of the first one's transaction.
    proxy.fault("eth_estimateGas", Fault::Say(json!("0x80000")));
    waits(&mut two, &net, "in no block yet");
    proxy.repair();
    net.node().mine(3).unwrap();
    let mut said = Vec::new();
    for _ in 0..40 {
        for poster in [&mut one, &mut two] {
            // One's transaction may be what the other's was about: it reads again.
            let _ = poster.step(net.now());
            said.extend(poster.take_notes());
        }
        net.node().mine(1).unwrap();
    }
    let lost = |line: &&String| line.contains("postRoot/0") && line.contains("is over: reverted");
    assert_eq!(said.iter().filter(lost).count(), 1, "{said:#?}");
    assert_eq!([one.history().next(), two.history().next()], [Epoch(1); 2]);
    settled_once(&net);
    assert!(store.live().unwrap().is_empty());
    let ends = |end| {
        let count = |s: &assay_bridge::store::Store| s.ended("postRoot", end).unwrap();
        count(&net.store) + count(&store)
    };
    assert_eq!((ends(TxEnd::Included), ends(TxEnd::Reverted)), (1, 1));
}

#[test]
fn a_clock_that_jumps_neither_voids_nor_doubles() {
    let net = signed();
    let mut poster = poster(&net);
    let real = net.now();
    // A day ahead the epoch looks void; the contract's time decides, and nothing is sent.
    let ahead = poster
        .step(assay_protocol::ids::UnixMs(real.0 + 86_400_000))
        .unwrap();
    assert!(matches!(ahead, Step::Waiting { .. }), "{ahead}");
    assert!(
        ahead.to_string().contains("in no block yet") || ahead.to_string().contains("final"),
        "{ahead}"
    );
    let behind = poster.step(assay_protocol::ids::UnixMs(real.0 - 86_400_000));
    assert!(matches!(behind, Ok(Step::Waiting { .. })), "{behind:?}");
    finish(&mut poster, &net);
    settled_once(&net);
    assert_eq!(nonce(&net, &poster_key()), 2);
}

#[test]
fn a_clock_ahead_does_not_void_what_nobody_signed_yet() {
    let net = Network::on_node();
    net.at(E, 100);
    let mut poster = poster(&net);
    let ahead = assay_protocol::ids::UnixMs(net.now().0 + 86_400_000);
    let waiting = poster.step(ahead).unwrap().to_string();
    assert!(
        waiting.contains("refused by the contract: VoidTooEarly"),
        "{waiting}"
    );
    assert_eq!(nonce(&net, &poster_key()), 0, "nothing was sent");
    assert_eq!(net.ledger().next_epoch().unwrap(), E);
}

/// A poster behind a proxy that gives up quickly.
fn behind(net: &Network) -> (Proxy, Poster) {
    let proxy = Proxy::before(net.node().address());
    let options = RpcOptions {
        timeout: Duration::from_millis(1_500),
        ..RpcOptions::default()
    };
    let chain = Arc::new(RpcChain::connect_with(&proxy.url(), &options).unwrap());
    let poster = net.poster_with(net.store.clone(), poster_key(), chain);
    (proxy, poster)
}

fn receipt_of(net: &Network, status: &str) -> Value {
    let live = &net.store.live().unwrap()[0];
    let hash = format!("0x{}", live.sent[0].hash);
    json!({
        "transactionHash": hash, "blockNumber": "0x1", "blockHash": hash, "from": format!("0x{}", poster_key().address()),
        "to": null, "contractAddress": null, "status": status, "gasUsed": "0x5208", "logs": [],
    })
}

#[test]
fn a_receipt_of_a_root_that_never_arrived_is_not_believed() {
    let net = signed();
    let (proxy, mut poster) = behind(&net);
    let swallowed = json!(format!("0x{}", "11".repeat(32)));
    proxy.fault("eth_sendRawTransaction", Fault::Say(swallowed));
    waits(&mut poster, &net, "in no block yet");
    proxy.fault(
        "eth_getTransactionReceipt",
        Fault::Instead(receipt_of(&net, "0x1")),
    );
    for _ in 0..3 {
        net.node().mine(3).unwrap();
        waits(&mut poster, &net, "in no block yet");
    }
    assert_eq!(net.store.ended("postRoot", TxEnd::Included).unwrap(), 0);
    proxy.repair();
    net.pass(10_000);
    finish(&mut poster, &net);
    settled_once(&net);
}

#[test]
fn receipts_that_are_hidden_or_called_reverted_double_nothing() {
    for lie in [None, Some("0x0")] {
        let net = signed();
        let (proxy, mut poster) = behind(&net);
        waits(&mut poster, &net, "final");
        let answer = lie.map_or(Value::Null, |status| receipt_of(&net, status));
        proxy.fault("eth_getTransactionReceipt", Fault::Instead(answer));
        for _ in 0..3 {
            net.node().mine(1).unwrap();
            let _ = poster.step(net.now());
        }
        proxy.repair();
        finish(&mut poster, &net);
        settled_once(&net);
        let included = |action: &str| net.store.ended(action, TxEnd::Included).unwrap();
        assert_eq!(nonce(&net, &poster_key()), 2, "{lie:?}");
        assert_eq!(included("confirm"), 1);
    }
}

#[test]
fn garbage_too_much_and_silence_are_named_and_change_nothing() {
    let net = signed();
    let (proxy, mut poster) = behind(&net);
    let flood = http_reply(200, "", &vec![b' '; MAX_ANSWER_BYTES + 1]);
    for fault in [
        Fault::Bytes(http_reply(200, "", b"<html>")),
        Fault::Bytes(http_reply(502, "", b"bad gateway")),
        Fault::Bytes(b"nonsense\r\n\r\n".to_vec()),
        Fault::Bytes(flood),
        Fault::Say(json!({"number": "many"})),
        Fault::Late(Duration::from_secs(4)),
    ] {
        for method in [
            "eth_getBlockByNumber",
            "eth_getTransactionCount",
            "eth_call",
        ] {
            proxy.repair();
            proxy.fault(method, fault.clone());
            let error = assay_bridge::chain_of(&poster.step(net.now()).unwrap_err());
            let node = format!("ledger node {}: ", proxy.url());
            assert!(error.contains(&node), "{fault:?} of {method}: {error}");
        }
    }
    assert_eq!(proxy.calls_of("eth_sendRawTransaction"), 0);
    proxy.repair();
    finish(&mut poster, &net);
    settled_once(&net);
}

#[test]
fn an_answer_that_is_lost_or_late_after_the_root_arrived_doubles_nothing() {
    for fault in [
        Fault::CutAfter,
        Fault::CutBefore,
        Fault::Late(Duration::from_secs(4)),
        Fault::Bytes(http_reply(200, "", b"garbage")),
    ] {
        let net = signed();
        let (proxy, mut poster) = behind(&net);
        proxy.fault("eth_sendRawTransaction", fault.clone());
        let step = poster.step(net.now()).unwrap();
        assert!(matches!(step, Step::Waiting { .. }), "{fault:?}: {step}");
        let sent = net.store.live().unwrap()[0].sent.clone();
        assert_eq!(sent.len(), 1);
        proxy.repair();
        net.pass(10_000);
        finish(&mut poster, &net);
        settled_once(&net);
        assert_eq!(nonce(&net, &poster_key()), 2, "{fault:?}");
        let receipt = net.chain.receipt(B256::from(sent[0].hash.0)).unwrap();
        assert!(receipt.unwrap().success, "the first bytes did it");
    }
}

/// A node that stands still asks for nothing, and what was offered to it is signed for ever.
#[test]
fn where_no_block_comes_no_more_is_offered() {
    let net = signed();
    let mut poster = poster(&net);
    net.node().automine(false).unwrap();
    waits(&mut poster, &net, "in no block yet");
    for _ in 0..30 {
        net.pass(60_000);
        waits(&mut poster, &net, "in no block yet");
    }
    assert_eq!(net.store.live().unwrap()[0].sent.len(), 1);
}

/// One wrong answer about a nonce, and the bytes wait for a thousand others.
#[test]
fn what_was_signed_for_a_nonce_far_ahead_is_left_and_begun_anew() {
    let net = signed();
    let proxy = Proxy::before(net.node().address());
    let chain = Arc::new(RpcChain::connect(&proxy.url()).unwrap());
    let mut poster = net.poster_with(net.store.clone(), poster_key(), chain);
    proxy.fault("eth_getTransactionCount", Fault::Say(json!("0x3e8")));
    poster.step(net.now()).unwrap();
    assert_eq!(net.store.live().unwrap()[0].nonce, 1_000);
    proxy.repair();
    waits(&mut poster, &net, "in no block yet");
    net.pass(60_000);
    let said = finish(&mut poster, &net);
    assert!(
        said.iter().any(|line| line.contains("begun anew")),
        "{said:#?}"
    );
    settled_once(&net);
    assert_eq!(net.store.ended("postRoot", TxEnd::Left).unwrap(), 1);
}

/// Nobody has its key any more, and what it offers is too little for ever.
#[test]
fn what_a_former_account_left_behind_holds_up_nothing() {
    let net = signed();
    let mut before = poster(&net);
    net.node().automine(false).unwrap();
    waits(&mut before, &net, "in no block yet");
    net.node().set_base_fee(500 * GWEI).unwrap();
    net.node().mine(1).unwrap();
    assert_eq!(net.store.live().unwrap()[0].sender, poster_key().address());
    let other = key(77);
    let account = format!("0x{}", other.address());
    net.node().set_balance(&account, 1 << 70).unwrap();
    let mut poster = net.poster_with(net.store.clone(), other.clone(), net.chain.clone());
    waits(&mut poster, &net, "in no block yet");
    net.pass(60_000);
    finish(&mut poster, &net);
    settled_once(&net);
    assert_eq!(net.store.ended("postRoot", TxEnd::Left).unwrap(), 1);
}

/// Everybody asks for the registrations all the time; each takes a call or two.
#[test]
fn registrations_are_read_once_for_a_block() {
    let net = Network::on_node();
    let proxy = Proxy::before(net.node().address());
    let chain = Arc::new(RpcChain::connect(&proxy.url()).unwrap());
    let ledger = AssayLedger::at(chain, net.params.contract).unwrap();
    let first = ledger.nodes().unwrap();
    assert!(proxy.calls_of("eth_call") > 0);
    assert_eq!(ledger.nodes().unwrap(), first);
    assert_eq!(proxy.calls_of("eth_call"), 0);
    let moved = Action::set_endpoint(NODE, "elsewhere:1");
    net.ledger().submit(&provider(), &moved).unwrap();
    let second = ledger.nodes().unwrap();
    assert_eq!(
        second[0].endpoint, "elsewhere:1",
        "another block, read anew"
    );
    assert!(proxy.calls_of("eth_call") > 0);
}

/// What can wait never takes the places that a root may need.
#[test]
fn half_of_what_may_be_under_way_is_kept_for_roots() {
    let net = Network::on_node();
    let settings = Settings {
        unfinal_max: 4,
        ..Settings::default()
    };
    let key = Arc::new(poster_key());
    let mut outbox = Outbox::new(net.store.clone(), net.ledger(), key, settings);
    for (count, name) in ["one", "two"].into_iter().enumerate() {
        assert!(outbox.has_room().unwrap(), "{count} under way");
        let mint = Action::mint(poster_key().address(), Stake(1));
        outbox.perform(name, &mint, net.now()).unwrap();
        assert_eq!(net.store.live().unwrap().len(), count + 1);
    }
    assert!(!outbox.has_room().unwrap());
}

/// What the last HyperNode does between commit and reveal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reveals {
    Never,
    Late,
    Another,
    Twice,
}

/// The last HyperNode reveals so; whether its report is on the board.
fn reveals(net: &Network, how: Reveals) -> bool {
    let by = net.hypernodes.last().unwrap();
    let (right, other) = (
        by.reveal(net, E),
        by.reveal_of(net, E, [9; 32], by.signed_report(net, E).bytes()),
    );
    let refused = |object, text: &str| {
        let refusal = net.post(by, E, object).unwrap_err();
        assert!(refusal.text.contains(text), "{how:?}: {refusal}");
    };
    match how {
        Reveals::Never => {}
        Reveals::Late => {
            net.at(E, net.params.reveal_ms);
            refused(&right, "is too late");
        }
        Reveals::Another => refused(&other, "commitment: expected"),
        Reveals::Twice => {
            net.post(by, E, &right).unwrap();
            refused(&other, "another one is stored");
        }
    }
    how == Reveals::Twice
}

/// The epoch goes on without a report that was not revealed as committed, in time; it is posted and settled once.
fn settles_although_one_reveals(how: Reveals) {
    let net = Network::on_node();
    let mut poster = poster(&net);
    net.at(E, 100);
    for hypernode in &net.hypernodes {
        net.post(hypernode, E, &hypernode.commit(&net, E)).unwrap();
    }
    let (last, others) = net.hypernodes.split_last().unwrap();
    net.at(E, 1_100);
    for hypernode in others {
        net.post(hypernode, E, &hypernode.reveal(&net, E)).unwrap();
    }
    let (mut list, mut reports) = (net.list(E), net.reports(E));
    if !reveals(&net, how) {
        list.retain(|entry| entry.hypernode != last.id());
        reports.remove(&last.id());
    }
    net.at(E, 2_100);
    let first = &others[0];
    net.post(first, E, &first.proposal(&net, E, &list)).unwrap();
    let input_set = input_set_hash(&net.network, E, &list);
    for hypernode in others {
        net.post(hypernode, E, &hypernode.vote(&net, E, input_set))
            .unwrap();
    }
    net.node().mine(3).unwrap();
    let outcome = net.outcome_of(poster.history(), &reports);
    net.sign(E, net.digest(&outcome), &[0, 1, 2]);
    finish(&mut poster, &net);
    settled_once(&net);
    let Resolved::Posted(root) = net.ledger().resolved(E).unwrap() else {
        panic!("{how:?}: no root")
    };
    assert_eq!(root.input_set, input_set, "{how:?}");
}

#[test]
fn an_epoch_is_settled_once_although_a_hypernode_never_reveals() {
    settles_although_one_reveals(Reveals::Never);
}

#[test]
fn an_epoch_is_settled_once_although_a_hypernode_reveals_late() {
    settles_although_one_reveals(Reveals::Late);
}

#[test]
fn an_epoch_is_settled_once_although_a_hypernode_reveals_something_else() {
    settles_although_one_reveals(Reveals::Another);
}

#[test]
fn an_epoch_is_settled_once_although_a_hypernode_reveals_twice() {
    settles_although_one_reveals(Reveals::Twice);
}
