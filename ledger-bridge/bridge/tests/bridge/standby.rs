//! A second bridge on the same state: it follows, sends nothing, and goes on where the first one stopped.

use std::sync::Arc;

use assay_bridge::poster::{Poster, Step};
use assay_bridge::store::Store;
use assay_protocol::ids::Epoch;

use crate::network::{Network, complete, poster_key};

const STANDING_BY: &str = "standing by";

fn leader(net: &Network) -> Poster {
    let store = Store::open(&net.state_dir(), net.network).unwrap();
    let mut leader = net.poster_with(Arc::new(store), poster_key(), net.chain.clone());
    leader.step(net.now()).unwrap();
    leader
}

/// Steps until the other one's work is followed, and how many steps that took.
fn follow(net: &Network, standby: &mut Poster) -> usize {
    let mut steps = 0;
    loop {
        match standby.step(net.now()).unwrap() {
            Step::Followed { .. } | Step::WasVoid { .. } => steps += 1,
            step => {
                assert!(step.to_string().contains(STANDING_BY), "{step}");
                return steps;
            }
        }
    }
}

#[test]
fn a_standby_follows_and_sends_nothing_and_goes_on_without_a_replay() {
    let net = Network::open();
    let mut leader = leader(&net);
    let mut standby = net.poster();
    assert_eq!(follow(&net, &mut standby), 0);
    for epoch in 1..=3 {
        complete(&net, &mut leader);
        let height = net.ledger().chain().height().unwrap();
        assert_eq!(follow(&net, &mut standby), 1);
        assert_eq!(standby.history().next(), Epoch(epoch));
        assert_eq!(net.ledger().chain().height().unwrap(), height);
    }
    assert_eq!(standby.history().states(), leader.history().states());
    drop(leader);
    let (signed, total) = complete(&net, &mut standby);
    assert_eq!(signed, total);
    assert_eq!(standby.history().next(), Epoch(4));
}

#[test]
fn what_the_other_one_left_due_is_done_when_it_is_gone() {
    let net = Network::open();
    let mut leader = leader(&net);
    let mut standby = net.poster();
    // It posts, and ends before it has anything confirmed.
    net.agree(Epoch(0));
    let digest = net.digest(&net.outcome(leader.history()));
    net.sign(Epoch(0), digest, &[0, 1, 2, 3]);
    let posted = leader.step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "{posted}");
    follow(&net, &mut standby);
    assert_eq!(net.ledger().nodes().unwrap()[0].confirmed_owner, None);
    drop(leader);
    while !matches!(standby.step(net.now()).unwrap(), Step::Waiting { .. }) {}
    let owner = net.ledger().nodes().unwrap()[0].confirmed_owner;
    assert!(owner.is_some());
}
