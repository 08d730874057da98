//! What is reported and closed at an epoch's end, whatever the ledger and the clock do.

use assay_bench::network::{Bench, CALM, NODE, Times};
use assay_hypernode::report::{close_epoch, make};
use assay_hypernode::{clock, context::Context};
use assay_protocol::cose;
use assay_protocol::ids::{Epoch, NodeId, UnixMs};
use assay_protocol::report::Report;
use std::collections::BTreeMap;
use std::time::Duration;

const E: Epoch = Epoch(0);
const COMMIT_MS: u64 = 8_000;
/// Time enough to deploy a ledger before the epoch ends.
const SOON: Times = Times {
    slot: 1_000,
    slots: 10,
    phases: [COMMIT_MS, 10_000, 20_000, 30_000],
    since_genesis: 0,
};

/// The nodes that are reported, and how long after the epoch's end they were known.
async fn reported(context: &Context) -> (Vec<NodeId>, u64) {
    let kept = make(context, E).await.unwrap();
    let took = clock::now().0 - context.params.epoch_end(E).0;
    let report = cose::open::<Report>(&kept.signed.0, &context.own.0).unwrap();
    let nodes = report.payload().nodes.iter().map(|node| node.node);
    (nodes.collect(), took)
}

fn nowhere() -> [String; 4] {
    [const { String::new() }; 4].map(|_| "127.0.0.1:1".to_owned())
}

/// Its commit must be on the board in time, so it does not wait for the ledger as long as commits are taken.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledger_the_nodes_that_were_read_last_are_reported_early() {
    let bench = Bench::with_ledger(SOON, nowhere()).await;
    bench.register(NODE, "127.0.0.1:1");
    let [context, again] = [0, 1].map(|member| bench.open(member));
    let end = context.params.epoch_end(E);
    for context in [&context, &again] {
        context.ledger.refresh().await.unwrap();
    }
    assert!(clock::now() < end, "the machine is too slow for this test");
    // Nobody reads again.
    let (nodes, took) = reported(&context).await;
    assert_eq!(nodes, [NODE]);
    assert!(took >= COMMIT_MS / 4 && took < COMMIT_MS / 2, "{took} ms");
    // Read after the end: nothing to wait for.
    again.ledger.refresh().await.unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(500), reported(&again));
    assert_eq!(asked.await.expect("at once").0, [NODE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_never_read_the_ledger_commits_in_time_all_the_same() {
    let bench = Bench::new(Times {
        since_genesis: 10_000,
        ..SOON
    });
    let (nodes, took) = reported(&bench.open(0)).await;
    assert_eq!(nodes, []);
    assert!(took >= COMMIT_MS / 2 && took < COMMIT_MS * 3 / 4, "{took}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_made_asks_nobody() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let nodes = BTreeMap::from([(NODE, bench.class_digest())]);
    let kept = close_epoch(&context, E, &nodes).unwrap();
    assert!(clock::now() < UnixMs(context.params.epoch_end(E).0));
    let made = tokio::time::timeout(Duration::from_secs(5), make(&context, E));
    assert_eq!(made.await.expect("at once").unwrap(), kept);
}
