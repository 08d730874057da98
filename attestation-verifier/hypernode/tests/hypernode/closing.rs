//! What is reported and closed at an epoch's end, whatever the ledger and the clock do.

use assay_aggregate::inputs::History;
use assay_bench::network::{Bench, CALM, NODE, Times};
use assay_hypernode::challenge::Asking;
use assay_hypernode::report::{close_epoch, close_missed, make, outcomes};
use assay_hypernode::{clock, context::Context, export};
use assay_protocol::cose;
use assay_protocol::ids::{Epoch, NodeId, UnixMs};
use assay_protocol::outcome::{OutcomeClass, OutcomeKind};
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
    assert!((COMMIT_MS / 4..COMMIT_MS / 2).contains(&took), "{took} ms");
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
    assert!(
        (COMMIT_MS / 2..COMMIT_MS * 3 / 4).contains(&took),
        "{took} ms"
    );
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

fn record(bench: &Bench, context: &Context, kind: OutcomeKind) -> bool {
    let node = bench.registered(NODE, "127.0.0.1:1");
    let asking = Asking::begin(context, &node, bench.place()).unwrap();
    let draft = asking.draft(kind, OutcomeClass::Pass);
    context.record(draft).unwrap().is_some()
}

fn log_size(context: &Context) -> u64 {
    context
        .journal(|journal| Ok(journal.tree().size()))
        .unwrap()
}

/// A start with a clock that is ahead, in the middle of epoch 0.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_has_not_resolved_is_not_closed_whatever_the_clock_says() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    assert!(record(&bench, &context, OutcomeKind::Probe));
    close_missed(&context, Epoch(1_000_000)).unwrap();
    assert_eq!(log_size(&context), 0);
    assert!(record(&bench, &context, OutcomeKind::Attest));
    assert_eq!(outcomes(&context, E, NODE).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_epochs_that_were_missed_only_those_with_outcomes_are_closed_without_the_ledger() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    assert!(record(&bench, &context, OutcomeKind::Probe));
    (0..5).for_each(|_| context.history(History::void));
    close_missed(&context, E).unwrap();
    assert_eq!(log_size(&context), 0, "only what is before");
    for _ in 0..2 {
        close_missed(&context, Epoch(5)).unwrap();
        // Its slots and the node.
        assert_eq!(log_size(&context), u64::from(bench.params.slots()) + 1);
    }
    assert_eq!(context.closed_at(E).unwrap(), Some(log_size(&context)));
    assert_eq!(context.closed_at(Epoch(1)).unwrap(), None);
    assert!(!record(&bench, &context, OutcomeKind::Attest), "it is over");
    // The outcome, its proofs and the checkpoint.
    let out = bench.path("part");
    let written = export::write(&context, NODE, E, Epoch(4), &out).unwrap();
    assert_eq!(written, 3);
}
