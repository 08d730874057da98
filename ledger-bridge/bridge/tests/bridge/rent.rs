//! Rent that a bridge settles: by the leaf that the contract takes, and without asking again what was refused.

use std::sync::Arc;

use assay_bridge::poster::{Poster, Step};
use assay_ledger::rpc::RpcChain;
use assay_ledger::{Action, NewOffer};
use assay_protocol::ids::{Epoch, Stake};

use crate::network::{NODE, Network, PLAN, complete, key, poster_key, provider};
use crate::proxy::Proxy;

const GENESIS: u64 = 1_800_000_000_000;
const PRICE: Stake = Stake(1_000);

fn plan(period: u32) -> String {
    format!("{PLAN}[ledger]\nperiod_epochs = {period}\n")
}

fn offer(net: &Network) {
    let offer = NewOffer {
        node: NODE,
        price: PRICE,
        min_epochs: 1,
        max_epochs: 10,
        open: true,
    };
    let offer = Action::offer(&offer);
    net.ledger().submit(&provider(), &offer).unwrap();
}

fn reserve(net: &Network, first: u64, epochs: u64) {
    let reserve = Action::reserve(NODE, Epoch(first), epochs, PRICE);
    net.ledger().submit(&key(5), &reserve).unwrap();
}

/// The next epoch is void; reservations that this moved on.
fn void(net: &Network, poster: &mut Poster) -> u32 {
    let epoch = poster.history().next();
    net.at(epoch, 5_000);
    let mut rents = 0;
    loop {
        match poster.step(net.now()).unwrap() {
            Step::Tended(done) => rents += done.rents,
            Step::Voided { .. } | Step::WasVoid { .. } => {}
            step => {
                assert_eq!(poster.history().next(), epoch.next(), "{step}");
                return rents;
            }
        }
    }
}

#[test]
fn rent_around_void_epochs_is_settled_by_the_leaves_that_are_left() {
    let net = Network::open_at(GENESIS, &plan(2));
    let mut poster = net.poster();
    complete(&net, &mut poster);
    offer(&net);
    reserve(&net, 3, 2);
    let reservation = || net.ledger().reservations().unwrap()[0];
    complete(&net, &mut poster);
    assert!(!reservation().started, "epoch 2 is before it");
    assert_eq!(void(&net, &mut poster), 1, "by the leaf of epoch 1");
    assert!(reservation().started);
    complete(&net, &mut poster);
    assert_eq!(reservation().settled_through, Epoch(3), "4 ends the period");
    assert_eq!(void(&net, &mut poster), 1, "by the leaf of epoch 3");
    assert_eq!(reservation().held, Stake(0));
    let due = net.ledger().rent_balance(provider().address()).unwrap();
    assert!(due > Stake(0));
}

/// Steps and blocks until the next epoch was followed and nothing is under way.
fn through(net: &Network, poster: &mut Poster) {
    let epoch = poster.history().next();
    net.agree(epoch);
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign(epoch, digest, &[0, 1, 2, 3]);
    for _ in 0..60 {
        let step = poster.step(net.now()).unwrap().to_string();
        let is_idle = net.store.live().unwrap().is_empty();
        if poster.history().next() > epoch && is_idle && step.ends_with("running") {
            return;
        }
        net.node().mine(1).unwrap();
    }
    panic!("epoch {epoch} is not over");
}

/// The next epoch has a root, and a stranger settles the first reservation by it just before the bridge would.
fn settled_by_a_stranger(net: &Network, poster: &Poster) {
    let epoch = poster.history().next();
    net.agree(epoch);
    let outcome = net.outcome(poster.history());
    net.post_by_hand(poster.history().signers(), &outcome.root);
    let leaf = &outcome.leaves[0];
    let proof = outcome.tree.proof(&leaf.hash()).unwrap();
    net.node().mine(2).unwrap();
    let settle = Action::settle_reservation(1, leaf, &proof);
    net.ledger().submit(&key(3), &settle).unwrap();
}

#[test]
fn what_somebody_else_did_is_tried_once_while_other_things_are_under_way() {
    let net = Network::on_node_at(GENESIS, &plan(1));
    let proxy = Proxy::before(net.node().address());
    let chain = Arc::new(RpcChain::connect(&proxy.url()).unwrap());
    let mut poster = net.poster_with(net.store.clone(), poster_key(), chain);
    through(&net, &mut poster);
    offer(&net);
    reserve(&net, 2, 1);
    reserve(&net, 3, 1);
    through(&net, &mut poster);

    // The leaf of epoch 2 ends the one and begins the other.
    settled_by_a_stranger(&net, &poster);
    assert!(matches!(
        poster.step(net.now()).unwrap(),
        Step::Followed { .. }
    ));
    proxy.calls_of("eth_estimateGas");
    for tries in [2, 0, 0, 0] {
        let step = poster.step(net.now()).unwrap().to_string();
        assert!(step.contains("2 due on the ledger"), "{step}");
        let live = net.store.live().unwrap();
        assert_eq!(live[0].action, "start/2/2");
        let tried = proxy.calls_of("eth_estimateGas");
        assert_eq!(tried, tries, "each is tried out, and never again");
    }
}

/// What the newest state refuses can still be due: what somebody else did may be dropped, and its leaf is the only one.
#[test]
fn what_somebody_else_began_and_a_reorganisation_dropped_is_done() {
    let net = Network::on_node_at(GENESIS, &plan(1));
    let mut poster = net.poster_with(net.store.clone(), poster_key(), net.chain.clone());
    through(&net, &mut poster);
    offer(&net);
    reserve(&net, 2, 1);
    through(&net, &mut poster);
    let reservation = || net.ledger().reservations().unwrap()[0];
    assert!(reservation().started);

    settled_by_a_stranger(&net, &poster);
    assert_eq!(reservation().held, Stake(0), "not finally");
    for _ in 0..3 {
        let step = poster.step(net.now()).unwrap().to_string();
        assert!(!step.contains("rent/1"), "{step}");
    }
    net.node().reorg(1).unwrap();
    assert_eq!(reservation().held, PRICE);
    through(&net, &mut poster);
    assert_eq!(reservation().held, Stake(0), "by the leaf of epoch 2");
}
