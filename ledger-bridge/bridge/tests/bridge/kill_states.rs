//! `kill -9` of the real process in every state that a transaction can be in, against a real node. Started again, it settles
//! the epoch once, and every byte that was ever signed is still there.

use assay_bridge::store::{Store, TxEnd};
use assay_bridge::system_now;
use assay_ledger::Resolution;
use assay_protocol::ids::Epoch;
use serde_json::{Value, json};
use std::path::PathBuf;

use crate::kill::{Bridge, until, write_config};
use crate::network::{Network, PLAN, poster_key};
use crate::proxy::{Fault, Proxy};

const E: Epoch = Epoch(0);
const SEND: &str = "eth_sendRawTransaction";

/// A network on a real node whose epoch 0 is over by the system's clock, agreed and signed; the node's blocks have a fixed
/// time after it.
pub fn signed(signers: &[usize]) -> Network {
    let genesis = system_now().0 / 1_000 * 1_000 - 12_000;
    let plan = PLAN.replace("void_after_ms = 5000", "void_after_ms = 3600000");
    let net = Network::on_node_at(genesis, &plan);
    net.agree(E);
    let digest = net.digest(&net.outcome(&net.history()));
    net.sign(E, digest, signers);
    net
}

struct Killed {
    net: Network,
    proxy: Proxy,
    config: PathBuf,
    nonce: u64,
}

impl Killed {
    fn new() -> Self {
        let net = signed(&[0, 1, 2, 3]);
        let nonce = net.chain.nonce(poster_key().address().0.into()).unwrap();
        let proxy = Proxy::before(net.node().address());
        let posting =
            "[posting]\npoll_ms = 50\nresend_after_ms = 300\nreplace_after_ms = 3600000\n";
        let config = write_config(&net, &proxy.url(), 0, posting);
        Self {
            net,
            proxy,
            config,
            nonce,
        }
    }

    fn store(&self) -> Store {
        Store::open_for_reading(&self.net.state_dir(), self.net.network).unwrap()
    }

    fn sent(&self) -> usize {
        let live = self.store().live().unwrap();
        live.first().map_or(0, |live| live.sent.len())
    }

    /// Kills, repairs everything, starts again and lets blocks come until the epoch is settled.
    fn killed_and_settled_once(self, bridge: Bridge) {
        bridge.kill();
        let before = self.store().live().unwrap();
        self.proxy.repair();
        let node = self.net.node();
        node.automine(true).unwrap();
        let bridge = Bridge::start(&self.config);
        until("settled", || {
            node.mine(1).unwrap();
            let ledger = self.net.ledger();
            ledger.nodes().unwrap()[0].settled_epoch == Some(E)
                && self.store().live().unwrap().is_empty()
        });
        bridge.kill();
        let ledger = self.net.ledger();
        assert_eq!(ledger.next_epoch().unwrap(), Epoch(1));
        assert_eq!(
            ledger.epoch_record(E).unwrap().resolution,
            Resolution::Posted
        );
        let ended = |action: &str, end| self.store().ended(action, end).unwrap();
        for action in ["postRoot", "confirm"] {
            assert_eq!(ended(action, TxEnd::Included), 1, "{action}");
            assert_eq!(ended(action, TxEnd::Reverted), 0, "{action}");
        }
        let nonce = self.net.chain.nonce(poster_key().address().0.into());
        assert_eq!(nonce.unwrap() - self.nonce, 2, "one root, one confirmation");
        if let Some(root) = before.first() {
            let receipts = root.sent.iter().map(|tx| {
                let receipt = self.net.chain.receipt(tx.hash.0.into()).unwrap();
                usize::from(receipt.is_some_and(|r| r.success))
            });
            assert!(receipts.sum::<usize>() <= 1, "of all bytes one at most");
        }
    }
}

#[test]
fn killed_when_the_bytes_are_durable_and_not_sent() {
    let case = Killed::new();
    case.proxy.fault(SEND, Fault::CutBefore);
    let bridge = Bridge::start(&case.config);
    until("durable", || case.sent() == 1);
    assert_eq!(case.net.ledger().next_epoch().unwrap(), E);
    case.killed_and_settled_once(bridge);
}

#[test]
fn killed_when_the_bytes_arrived_and_nobody_said_so() {
    let case = Killed::new();
    case.proxy.fault(SEND, Fault::CutAfter);
    let bridge = Bridge::start(&case.config);
    until("arrived", || {
        case.net.ledger().next_epoch().unwrap() == Epoch(1)
    });
    case.killed_and_settled_once(bridge);
}

#[test]
fn killed_when_the_transaction_waits_in_the_pool() {
    let case = Killed::new();
    case.net.node().automine(false).unwrap();
    let bridge = Bridge::start(&case.config);
    case.proxy.await_call(SEND);
    assert_eq!(pooled(&case), 1);
    case.killed_and_settled_once(bridge);
}

#[test]
fn killed_when_the_transaction_is_in_a_block_that_is_not_final() {
    let case = Killed::new();
    let bridge = Bridge::start(&case.config);
    case.proxy.await_call(SEND);
    until("in a block", || {
        case.net.ledger().next_epoch().unwrap() == Epoch(1)
    });
    assert_eq!(case.sent(), 1);
    case.killed_and_settled_once(bridge);
}

#[test]
fn killed_when_a_reorganisation_has_dropped_the_transaction() {
    let case = Killed::new();
    let bridge = Bridge::start(&case.config);
    case.proxy.await_call(SEND);
    until("in a block", || {
        case.net.ledger().next_epoch().unwrap() == Epoch(1)
    });
    case.proxy.fault(SEND, Fault::CutBefore);
    case.net.node().reorg(1).unwrap();
    case.proxy.await_call("eth_getTransactionReceipt");
    case.killed_and_settled_once(bridge);
}

/// A transaction in the pool that a spike has outbid.
fn outbid() -> (Killed, Bridge) {
    let case = Killed::new();
    case.net.node().automine(false).unwrap();
    let bridge = Bridge::start(&case.config);
    case.proxy.await_call(SEND);
    (case, bridge)
}

fn spike(case: &Killed) {
    case.net.node().set_base_fee(90_000_000_000).unwrap();
    case.net.node().mine(1).unwrap();
}

#[test]
fn killed_when_a_replacement_is_durable_and_not_sent() {
    let (case, bridge) = outbid();
    case.proxy.fault(SEND, Fault::CutBefore);
    spike(&case);
    until("replaced", || case.sent() == 2);
    case.killed_and_settled_once(bridge);
}

#[test]
fn killed_when_a_replacement_is_sent() {
    let (case, bridge) = outbid();
    spike(&case);
    until("replaced", || case.sent() == 2);
    case.proxy.await_call(SEND);
    case.killed_and_settled_once(bridge);
}

#[test]
fn killed_when_the_transaction_is_final_and_not_recorded() {
    let case = Killed::new();
    let bridge = Bridge::start(&case.config);
    until("in a block", || {
        case.net.ledger().next_epoch().unwrap() == Epoch(1)
    });
    case.proxy
        .fault("eth_getTransactionReceipt", Fault::CutBefore);
    case.net.node().mine(4).unwrap();
    assert_eq!(case.sent(), 1, "live");
    case.killed_and_settled_once(bridge);
}

fn pooled(case: &Killed) -> u64 {
    let status = case.net.node().call("txpool_status", json!([])).unwrap();
    let count = |kind: &str| match &status[kind] {
        Value::String(hex) => u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap(),
        other => other.as_u64().unwrap(),
    };
    count("pending") + count("queued")
}
