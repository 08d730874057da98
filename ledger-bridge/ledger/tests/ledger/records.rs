//! Lists that only grow, read by a chain that counts what it is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use assay_aggregate::root::NodeLeaf;
use assay_ledger::abi::{AssayNodes, AssayReservations, AssayStake};
use assay_ledger::{
    Action, AssayLedger, Chain, ChainError, Finality, LedgerError, Market, NodeStatus,
};
use assay_protocol::ids::{Epoch, NodeId, Stake, UnixMs};

use crate::bed::TestChain;
use crate::conformance::rent::reserved;
use crate::network::*;
use crate::passes_on::passes_on;

/// What it says to a call instead of the truth, if anything.
type Lie = Box<dyn Fn(&[u8]) -> Option<Bytes> + Send + Sync>;

/// Counts records that are asked for, and how many calls are at once.
struct Counting {
    chain: Arc<TestChain>,
    records: AtomicUsize,
    at_once: Mutex<Vec<usize>>,
    lie: Lie,
}

impl Counting {
    /// Of a network, and a client of it that reads what is final.
    fn of(net: &Network) -> (Arc<Self>, AssayLedger) {
        Self::lying(net, Box::new(|_| None))
    }

    fn lying(net: &Network, lie: Lie) -> (Arc<Self>, AssayLedger) {
        let chain = Arc::new(Self {
            chain: net.chain.clone(),
            records: AtomicUsize::new(0),
            at_once: Mutex::default(),
            lie,
        });
        let ledger = AssayLedger::at(chain.clone(), net.ledger.contract()).unwrap();
        (chain, ledger.reading(Finality::Finalized))
    }

    /// Since it was asked last.
    fn records(&self) -> usize {
        self.records.swap(0, Ordering::SeqCst)
    }
}

impl Chain for Counting {
    fn call_at(&self, to: Address, data: &[u8], at: Finality) -> Result<Bytes, ChainError> {
        let record = [
            AssayNodes::registrationAtCall::SELECTOR,
            AssayReservations::reservationCall::SELECTOR,
        ];
        if record.iter().any(|selector| data.starts_with(selector)) {
            self.records.fetch_add(1, Ordering::SeqCst);
        }
        let lie = (self.lie)(data);
        lie.map_or_else(|| self.chain.call_at(to, data, at), Ok)
    }
    fn calls_at(
        &self,
        to: Address,
        calls: &[Vec<u8>],
        at: Finality,
    ) -> Result<Vec<Bytes>, ChainError> {
        self.at_once.lock().unwrap().push(calls.len());
        calls
            .iter()
            .map(|data| self.call_at(to, data, at))
            .collect()
    }
    fn market(&self) -> Result<Market, ChainError> {
        self.chain.market()
    }
    passes_on!(chain);
}

/// And what is said of a node by whoever had it once is what is true now.
#[test]
fn what_is_over_is_read_once() {
    let net = Network::open(&STAKES)
        .enriched(&provider())
        .enriched(&other_provider());
    net.set_class(CLASS);
    let (chain, ledger) = Counting::of(&net);
    for key in [provider(), other_provider()] {
        net.does(&key, &Action::register_node(&new_node(500)))
            .unwrap();
    }
    let made = ledger.nodes().unwrap();
    assert_eq!((made.len(), chain.records()), (2, 2));
    net.clock.set(made[1].registered_at.0 + PROVISIONAL_MS);
    net.does(
        &deployer(),
        &Action::expire(NODE, other_provider().address()),
    )
    .unwrap();
    let ended = ledger.nodes().unwrap()[1].clone();
    assert_eq!(chain.records(), 2, "told that it ended");
    assert_eq!(ended.status, NodeStatus::None);
    assert_eq!(ledger.registration_count().unwrap(), 2, "that one, too");

    let first = (ended.ended_at.unwrap().0 - GENESIS_MS) / EPOCH_MS;
    for before in 0..first {
        net.post_tree(before, &[leaf(before).hash()]);
    }
    let named = NodeLeaf {
        epoch: Epoch(first),
        ..leaf(first)
    };
    net.conclude(&named).unwrap();
    net.finish(first + 2);
    let tree = Action::confirm(&named, &proof_of(&named));
    net.does(&deployer(), &tree).unwrap();
    let now = ledger.nodes().unwrap();
    assert_eq!(chain.records(), 1, "only who can still change");
    let owner = Some(provider().address());
    assert_eq!(
        (now[0].confirmed_owner, now[1].confirmed_owner),
        (owner, owner)
    );
    assert_eq!(now[1].ended_at, ended.ended_at);
    assert_eq!(now, net.ledger.nodes().unwrap(), "as who reads all of it");

    ledger.forget_records();
    net.does(&provider(), &Action::top_up(NODE, Stake(1)))
        .unwrap();
    assert_eq!(ledger.nodes().unwrap().len(), 2);
    assert_eq!(chain.records(), 2, "all of it anew");
}

#[test]
fn a_reservation_that_is_over_is_read_once() {
    let net = reserved(6);
    let (chain, ledger) = Counting::of(&net);
    let other = Action::reserve(NODE, Epoch(9), 2, Stake(10));
    net.does(&builder(), &other).unwrap();
    let made = ledger.reservations().unwrap();
    assert_eq!((made.len(), chain.records()), (2, 2));
    net.finish(2);
    net.does(&builder(), &Action::cancel_reservation(2))
        .unwrap();
    let ended = ledger.reservations().unwrap();
    assert_eq!(chain.records(), 2);
    assert!(
        ended[1].settled_through >= ended[1].end,
        "none of it is left"
    );
    assert_eq!(ledger.reservations().unwrap(), ended);
    assert_eq!(chain.records(), 1);
}

/// A program that follows the epochs of a year reads what is final once for a block, not once for each.
#[test]
fn claims_of_long_ago_are_read_once_for_a_block() {
    let net = Network::ready();
    let (chain, ledger) = Counting::of(&net);
    let classes = BTreeMap::new();
    let claims = |start| ledger.claims(Epoch(0), UnixMs(start), &classes).unwrap();
    for (passed, reads) in [(3_600_000 - 1_000, 3), (3_600_000, 1)] {
        net.clock.set(GENESIS_MS + passed);
        net.does(&provider(), &Action::top_up(NODE, Stake(1)))
            .unwrap();
        for _ in 0..3 {
            claims(GENESIS_MS);
        }
        assert_eq!(chain.records(), reads, "{passed} ms later");
    }
}

/// What a block says that can be replaced is not known of the next one.
#[test]
fn what_is_not_final_is_read_anew() {
    let net = reserved(6);
    let (chain, ledger) = Counting::of(&net);
    let ledger = ledger.reading(Finality::Latest);
    net.finish(2);
    net.does(&builder(), &Action::cancel_reservation(1))
        .unwrap();
    for _ in 0..2 {
        ledger.reservations().unwrap();
        assert_eq!(chain.records(), 1);
    }
    let nodes: Vec<NodeId> = ledger.nodes().unwrap().iter().map(|one| one.node).collect();
    assert_eq!(nodes, [NODE]);
}

/// A node that says that so many HyperNodes have registered, and of those that have not that they are the first one.
fn crowd(count: u64, first: Option<Bytes>) -> Lie {
    Box::new(move |data| {
        if data.starts_with(&AssayStake::hyperNodeCountCall::SELECTOR) {
            let count = U256::from(count);
            return Some(AssayStake::hyperNodeCountCall::abi_encode_returns(&count).into());
        }
        let asked = AssayStake::hyperNodeAtCall::abi_decode(data).ok()?;
        first.clone().filter(|_| asked.index >= U256::from(4))
    })
}

#[test]
fn a_crowd_of_hypernodes_is_read_in_chunks_and_refused_above_what_the_ledger_can_have() {
    let net = Network::ready();
    let index = U256::ZERO;
    let call = AssayStake::hyperNodeAtCall { index }.abi_encode();
    let stake = Address::from(net.ledger.contracts().stake.0);
    let first = net.chain.call(stake, &call).unwrap();
    let (chain, ledger) = Counting::lying(&net, crowd(2_500, Some(first)));
    let all = ledger.hypernodes().unwrap();
    assert_eq!(all.len(), 2_500);
    assert_eq!(all[..4], net.ledger.hypernodes().unwrap());
    assert_eq!(*chain.at_once.lock().unwrap(), [1_000, 1_000, 500]);
    // The most there can be: it is asked about a few of them before the first that is not there.
    let (chain, ledger) = Counting::lying(&net, crowd(65_536, None));
    let error = ledger.hypernodes().unwrap_err();
    assert!(matches!(error, LedgerError::Reverted { .. }), "{error}");
    assert_eq!(*chain.at_once.lock().unwrap(), [1_000]);
    for count in [65_537, 10_000_000, u64::MAX] {
        let (chain, ledger) = Counting::lying(&net, crowd(count, None));
        let error = ledger.hypernodes().unwrap_err();
        assert!(matches!(error, LedgerError::BadAnswer { .. }), "{error}");
        let why = format!(
            "hyperNodeCount: the contract's answer cannot be read: {count} records, at most 65536"
        );
        assert!(error.to_string().contains(&why), "{error}");
        assert!(chain.at_once.lock().unwrap().is_empty());
    }
}

/// Of the first HyperNode, or the first registration of a node.
#[test]
fn an_endpoint_longer_than_the_contract_takes_is_named() {
    let net = Network::ready();
    let endpoint = |length| "h".repeat(length);
    let truth = |to: assay_protocol::ids::Address, call: &[u8]| {
        net.chain.call(Address::from(to.0), call).unwrap()
    };
    let contracts = *net.ledger.contracts();
    let (index, id) = (U256::ZERO, U256::from(1));
    let asked = AssayStake::hyperNodeAtCall { index }.abi_encode();
    let told = truth(contracts.stake, &asked);
    let mut told = AssayStake::hyperNodeAtCall::abi_decode_returns_validate(&told).unwrap();
    let hypernode = |length| {
        told.endpoint = endpoint(length);
        let forged = AssayStake::hyperNodeAtCall::abi_encode_returns(&told);
        let (_, ledger) = Counting::lying(&net, instead(asked.clone(), forged));
        ledger.hypernodes().map(|all| all[0].endpoint.len())
    };
    refused_above_256(hypernode, "hyperNodeAt", "endpoint of HyperNode ");
    let asked = AssayNodes::registrationAtCall { id }.abi_encode();
    let told = truth(contracts.nodes, &asked);
    let mut told = AssayNodes::registrationAtCall::abi_decode_returns_validate(&told).unwrap();
    let node = |length| {
        told.endpoint = endpoint(length);
        let forged = AssayNodes::registrationAtCall::abi_encode_returns(&told);
        let (_, ledger) = Counting::lying(&net, instead(asked.clone(), forged));
        ledger.nodes().map(|all| all[0].endpoint.len())
    };
    refused_above_256(node, "registrationAt", &format!("endpoint of node {NODE}"));
}

fn instead(asked: Vec<u8>, forged: Vec<u8>) -> Lie {
    Box::new(move |data| (data == asked).then(|| forged.clone().into()))
}

fn refused_above_256(
    mut read: impl FnMut(usize) -> Result<usize, LedgerError>,
    call: &str,
    whose: &str,
) {
    assert_eq!(read(256).unwrap(), 256);
    let error = read(257).unwrap_err();
    assert!(matches!(error, LedgerError::BadAnswer { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with(call) && text.contains(whose), "{text}");
    assert!(
        text.contains("expected at most 256 bytes, got 257"),
        "{text}"
    );
}
