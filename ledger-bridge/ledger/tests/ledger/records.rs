//! Lists that only grow, read by a chain that counts what it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use assay_aggregate::root::NodeLeaf;
use assay_ledger::abi::{AssayNodes, AssayReservations};
use assay_ledger::{
    Action, AssayLedger, Block, Chain, ChainError, Event, Finality, LogQuery, Market, NodeStatus,
    Receipt, Trial,
};
use assay_protocol::ids::{Epoch, NodeId, Stake, UnixMs};

use crate::bed::TestChain;
use crate::conformance::rent::reserved;
use crate::network::*;

/// Counts records that are asked for.
struct Counting(Arc<TestChain>, AtomicUsize);

impl Counting {
    /// Of a network, and a client of it that reads what is final.
    fn of(net: &Network) -> (Arc<Self>, AssayLedger) {
        let chain = Arc::new(Self(net.chain.clone(), AtomicUsize::new(0)));
        let ledger = AssayLedger::at(chain.clone(), net.ledger.contract()).unwrap();
        (chain, ledger.reading(Finality::Finalized))
    }

    /// Since it was asked last.
    fn records(&self) -> usize {
        self.1.swap(0, Ordering::SeqCst)
    }
}

impl Chain for Counting {
    fn call_at(&self, to: Address, data: &[u8], at: Finality) -> Result<Bytes, ChainError> {
        let record = [
            AssayNodes::registrationAtCall::SELECTOR,
            AssayReservations::reservationCall::SELECTOR,
        ];
        if record.iter().any(|selector| data.starts_with(selector)) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
        self.0.call_at(to, data, at)
    }
    fn market(&self) -> Result<Market, ChainError> {
        self.0.market()
    }
    fn chain_id(&self) -> Result<u64, ChainError> {
        self.0.chain_id()
    }
    fn block(&self, at: Finality) -> Result<Block, ChainError> {
        self.0.block(at)
    }
    fn estimate_gas(&self, trial: &Trial<'_>) -> Result<u64, ChainError> {
        self.0.estimate_gas(trial)
    }
    fn send_raw(&self, raw: &[u8]) -> Result<B256, ChainError> {
        self.0.send_raw(raw)
    }
    fn receipt(&self, hash: B256) -> Result<Option<Receipt>, ChainError> {
        self.0.receipt(hash)
    }
    fn input(&self, hash: B256) -> Result<Option<Bytes>, ChainError> {
        self.0.input(hash)
    }
    fn nonce_at(&self, address: Address, at: Finality) -> Result<u64, ChainError> {
        self.0.nonce_at(address, at)
    }
    fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.0.balance(address)
    }
    fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        self.0.code(address)
    }
    fn logs(&self, query: &LogQuery, at: Finality) -> Result<Vec<Event>, ChainError> {
        self.0.logs(query, at)
    }
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
