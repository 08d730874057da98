//! Many epochs that have to be void at once, on a node whose blocks are final later.

use std::time::{Duration, Instant};

use assay_bridge::poster::Poster;
use assay_ledger::Resolution;
use assay_protocol::ids::Epoch;

use crate::network::{Network, poster_key};

/// Steps until this holds: a node needs a moment for what it was sent. No block is made but for what the poster sends.
fn step_until(net: &Network, poster: &mut Poster, is_so: impl Fn(&Poster, &str) -> bool) {
    let started = Instant::now();
    loop {
        let step = poster.step(net.now()).unwrap().to_string();
        if is_so(poster, &step) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{step}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn poster(net: &Network) -> Poster {
    net.poster_with(net.store.clone(), poster_key(), net.chain.clone())
}

/// Steps until the poster waits for the finality of what the ledger has resolved.
fn waits_for_finality(net: &Network, poster: &mut Poster, next: Epoch) {
    let is_included = || {
        let ledger = net.ledger();
        ledger.next_epoch().unwrap() == next
    };
    step_until(net, poster, |_, _| is_included());
    step_until(net, poster, |_, step| step.contains("not finally yet"));
}

#[test]
fn a_run_of_void_epochs_waits_for_no_finality_of_each() {
    let net = Network::on_node();
    let mut poster = poster(&net);
    net.at(Epoch(7), 5_000);
    let ledger = net.ledger();
    let is_over = |_: &Poster, _: &str| ledger.next_epoch().unwrap() == Epoch(8);
    step_until(&net, &mut poster, is_over);
    for epoch in (0..8).map(Epoch) {
        let record = ledger.epoch_record(epoch).unwrap();
        assert_eq!(record.resolution, Resolution::Void, "{epoch}");
    }
    assert!(
        poster.history().next() < Epoch(8),
        "the last are not final yet"
    );
    net.node().mine(3).unwrap();
    step_until(&net, &mut poster, |poster, _| {
        poster.history().next() == Epoch(8)
    });
}

#[test]
fn what_is_not_void_yet_or_was_agreed_on_is_not_voided_ahead() {
    let net = Network::on_node();
    let mut poster = poster(&net);
    net.at(Epoch(1), 4_000);
    waits_for_finality(&net, &mut poster, Epoch(1));
    for _ in 0..3 {
        let step = poster.step(net.now()).unwrap().to_string();
        assert!(step.contains("not finally yet"), "{step}");
    }
    assert_eq!(net.ledger().next_epoch().unwrap(), Epoch(1), "too early");

    let net = Network::on_node();
    let mut poster = self::poster(&net);
    net.agree(Epoch(1));
    net.at(Epoch(1), 5_000);
    waits_for_finality(&net, &mut poster, Epoch(1));
    for _ in 0..3 {
        let step = poster.step(net.now()).unwrap().to_string();
        assert!(step.contains("not finally yet"), "{step}");
    }
    assert_eq!(net.ledger().next_epoch().unwrap(), Epoch(1), "agreed on");
}

#[test]
fn behind_a_root_that_is_not_final_nothing_is_voided_ahead() {
    let net = Network::on_node();
    let mut poster = poster(&net);
    net.agree(Epoch(0));
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign(Epoch(0), digest, &[0, 1, 2, 3]);
    waits_for_finality(&net, &mut poster, Epoch(1));
    let late = net.pass(2 * crate::network::EPOCH_MS);
    for _ in 0..3 {
        let step = poster.step(late).unwrap().to_string();
        assert!(step.contains("not finally yet"), "{step}");
    }
}
