//! A HyperNode's daemon before a booted machine, killed again and again.

use assay_bench::table::Row;
use assay_bench::trial::Trial;
use assay_hypernode::report;
use assay_protocol::ids::{Epoch, NodeId, Slot};
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind};
use assay_testbed::net::{Daemon, Programs};
use std::collections::BTreeSet;
use std::time::Duration;

/// Between two kills: more than a slot, so that each life sees something.
const LIFE: Duration = Duration::from_secs(8);
const LIVES_MAX: usize = 60;
const START: Duration = Duration::from_secs(60);
/// What has to be seen after the first kill.
const PROBES_AFTER: usize = 3;

/// Everything the dead daemon acknowledged.
fn acknowledged(trial: &Trial, node: NodeId) -> Vec<Outcome> {
    report::outcomes(&trial.bench.open(0), Epoch(0), node).unwrap()
}

fn count(outcomes: &[Outcome], kind: OutcomeKind, class: OutcomeClass) -> usize {
    let counts = |outcome: &&Outcome| outcome.kind == kind && outcome.class == class;
    outcomes.iter().filter(counts).count()
}

/// Kind and place: a HyperNode speaks once of each.
fn places(outcomes: &[Outcome]) -> BTreeSet<(u8, Slot, [u8; 32])> {
    let place = |outcome: &Outcome| (outcome.kind as u8, outcome.place.1, outcome.r);
    outcomes.iter().map(place).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hypernode_that_is_killed_forgets_nothing_and_accuses_nobody() {
    let trial = Trial::on_ledger().await.unwrap();
    let (machine, node) = trial.boot().unwrap();
    trial.bench.register(node, &machine.endpoint);
    let programs = Programs::beside_this_one().unwrap();
    let program = programs.path("assay-hypernode").unwrap();
    let (file, log) = (&trial.bench.members[0].file, trial.path("hypernode.log"));
    let args = ["run", "--config", file.to_str().unwrap()];
    let mut daemon = Daemon::start("hypernode", program, &args, &log).unwrap();
    let (mut kept, mut before, mut lives) = (Vec::new(), 0, 0);
    let pass = OutcomeClass::Pass;
    while lives < LIVES_MAX {
        daemon.wait_for("listening on", START).unwrap();
        tokio::time::sleep(LIFE).await;
        daemon.kill9();
        lives += 1;
        let now = acknowledged(&trial, node);
        assert!(
            places(&kept).is_subset(&places(&now)),
            "an outcome was lost"
        );
        if lives == 1 {
            before = count(&now, OutcomeKind::Probe, pass);
        }
        kept = now;
        let probed = count(&kept, OutcomeKind::Probe, pass);
        let filled = count(&kept, OutcomeKind::Fill, pass);
        if lives > 2 && filled > 0 && probed >= before + PROBES_AFTER {
            break;
        }
        daemon.restart().unwrap();
    }
    let accuses = |outcome: &&Outcome| {
        matches!(
            outcome.class,
            OutcomeClass::Fail | OutcomeClass::Unreachable
        )
    };
    let accused: Vec<_> = kept.iter().filter(accuses).collect();
    let [probes, attests, fills, enrols] = [
        OutcomeKind::Probe,
        OutcomeKind::Attest,
        OutcomeKind::Fill,
        OutcomeKind::Enrol,
    ]
    .map(|kind| count(&kept, kind, pass));
    let went_on = probes >= before + PROBES_AFTER && attests > 0;
    Row::honest(
        "honest-hypernode-killed",
        "kill -9 of the HyperNode again and again while the machine runs",
        "every outcome kept, probes and attestations go on, nobody accused",
    )
    .seen(
        &format!(
            "{lives} kills; passed: {probes} probes, {attests} attestations, {fills} fills, {enrols} enrolments; \
             accused {}",
            accused.len()
        ),
        accused.is_empty() && went_on && fills > 0 && enrols > 0,
    );
}
