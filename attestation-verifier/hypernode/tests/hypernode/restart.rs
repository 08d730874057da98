//! What a HyperNode knows after its process ended without notice: everything it acknowledged.

use assay_aggregate::agreement::{Agreement, Arrival, Setting};
use assay_aggregate::root::EpochRoot;
use assay_appraisal::tpm::attest::ClockInfo;
use assay_bench::network::{Bench, CALM, NODE, outcome};
use assay_hypernode::challenge::Asking;
use assay_hypernode::context::Context;
use assay_hypernode::record::Draft;
use assay_hypernode::report::{self, close_epoch};
use assay_hypernode::store::{Binding, KeptReport};
use assay_protocol::answers::EnrolRecord;
use assay_protocol::cose;
use assay_protocol::ids::{Address, AkName, Digest, Epoch, HyperNodeId, Keccak, SessionKey, Slot};
use assay_protocol::item::{Blob, Item as _};
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media};
use assay_protocol::region::RegionId;
use assay_protocol::report::{Cell, Report};
use std::collections::BTreeMap;
use std::sync::Arc;

const E: Epoch = Epoch(0);
const ID: RegionId = RegionId {
    region: 0,
    generation: 0,
};

fn draft(bench: &Bench, context: &Context, kind: OutcomeKind) -> Draft {
    let node = bench.registered(NODE, "127.0.0.1:1");
    let asking = Asking::begin(context, &node, bench.place()).unwrap();
    let mut draft = asking.draft(kind, OutcomeClass::Pass);
    draft.raw.push((vec![kind as u8; 10], media::PROBE_ANSWER));
    draft
}

fn nodes(bench: &Bench) -> BTreeMap<assay_protocol::ids::NodeId, Digest> {
    BTreeMap::from([(NODE, bench.class_digest())])
}

fn binding(key: u8, epoch: u64) -> Binding {
    Binding {
        session_key: SessionKey([key; 32]),
        ak_name: AkName([3; 34]),
        epoch: Epoch(epoch),
        reset_count: 4,
        restart_count: 5,
    }
}

/// The same HyperNode, started again.
fn again(bench: &Bench, context: Arc<Context>) -> Arc<Context> {
    drop(context);
    bench.open(0)
}

/// From now on a member's journal takes no row of this table for which the condition (SQL) holds, as if the disk were full.
/// Nobody may have it open.
pub fn refuse_writes(bench: &Bench, member: usize, table: &str, condition: &str) {
    drop(bench.open(member));
    let state_dir = &bench.members[member].config.state_dir;
    let journal = rusqlite::Connection::open(state_dir.join("journal.sqlite")).unwrap();
    let trigger = format!(
        "CREATE TRIGGER refusing BEFORE INSERT ON {table} WHEN {condition}
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    );
    journal.execute_batch(&trigger).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_and_their_evidence_are_there_and_count_once() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let kinds = [OutcomeKind::Probe, OutcomeKind::Attest, OutcomeKind::Chase];
    let mut made = Vec::new();
    for kind in kinds {
        let draft = draft(&bench, &context, kind);
        made.push(context.record(draft).unwrap().unwrap());
    }
    let context = again(&bench, context);
    assert_eq!(report::outcomes(&context, E, NODE).unwrap(), made);
    for outcome in &made {
        let object = context.raw_of(&outcome.evidence[0].salted_digest).unwrap();
        let raw = context.objects.get(&object.unwrap(), 10).unwrap();
        assert_eq!(raw, [outcome.kind as u8; 10]);
    }
    // What the slot has already is not judged again after the restart.
    let repeated = draft(&bench, &context, OutcomeKind::Probe);
    assert_eq!(context.record(repeated).unwrap(), None);
    assert_eq!(outcome(&context, OutcomeKind::Probe), made[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_binding_clock_receipt_owner_and_processors_are_there() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let record = EnrolRecord {
        node: NODE,
        ek_certificate: Blob(vec![1; 900]),
        ek_public: Blob(vec![2; 300]),
        ak_public: Blob(vec![3; 90]),
        ak_name: AkName([4; 34]),
    };
    let clock = ClockInfo {
        clock_ms: 9,
        reset_count: 8,
        restart_count: 7,
        safe: true,
    };
    let (salted, owner) = (Digest([6; 32]), Address([5; 20]));
    context.keep_enrolment(&record).unwrap();
    context.bind(&NODE, &binding(1, 0)).unwrap();
    context.bind(&NODE, &binding(2, 0)).unwrap();
    context.keep_clock(&NODE, &clock).unwrap();
    context.keep_receipt(&NODE, ID, &[7; 500]).unwrap();
    context.keep_owner(&salted, &owner).unwrap();
    context.keep_chips(&salted, &Digest([8; 32])).unwrap();

    let context = again(&bench, context);
    assert_eq!(context.enrolment(&NODE).unwrap(), Some(record));
    assert_eq!(context.binding(&NODE).unwrap(), Some(binding(2, 0)));
    assert!(context.is_dead(&NODE, &SessionKey([1; 32])).unwrap());
    assert!(!context.is_dead(&NODE, &SessionKey([2; 32])).unwrap());
    assert_eq!(context.clock_of(&NODE).unwrap(), Some(clock));
    assert_eq!(
        context.receipt(&NODE, ID).unwrap(),
        Some(Blob(vec![7; 500]))
    );
    let next = RegionId {
        generation: 1,
        ..ID
    };
    assert_eq!(context.receipt(&NODE, next).unwrap(), None);
    assert_eq!(context.owner_of(&salted).unwrap(), Some(owner));
    let chips = context.chips_of(&salted).unwrap();
    assert_eq!(chips, Some(Digest([8; 32])));
    assert_eq!(context.chips_of(&Digest([7; 32])).unwrap(), None);
}

/// Of an epoch, round and committee one root is signed, whatever comes between: two would prove a fault.
#[tokio::test(flavor = "multi_thread")]
async fn no_second_root_is_signed_in_a_round_also_not_after_a_restart() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let root = |round, committee| EpochRoot {
        network: context.network,
        epoch: E,
        round,
        input_set: Digest([1; 32]),
        committee: Keccak([committee; 32]),
        root: Keccak([2; 32]),
        leaf_count: 1,
        evidence_root: Digest([3; 32]),
        policy_digest: Digest([4; 32]),
        cumulative_reward: 0,
        next_committee: Keccak([5; 32]),
    };
    let (first, second, third) = (Keccak([6; 32]), Keccak([7; 32]), Keccak([8; 32]));
    let roots = [root(0, 1), root(1, 1), root(1, 2)];
    context.keep_signed(&roots[0], &first).unwrap();
    context.keep_signed(&roots[1], &second).unwrap();
    let context = again(&bench, context);
    let refused = context.keep_signed(&roots[0], &second).unwrap_err();
    let told = refused.to_string();
    assert!(
        told.contains(&first.to_string()) && told.contains("in round 0"),
        "{told}"
    );
    assert!(context.keep_signed(&roots[1], &third).is_err());
    // The same again, and what other signers are asked for in the same round.
    context.keep_signed(&roots[1], &second).unwrap();
    context.keep_signed(&roots[2], &third).unwrap();
    assert_eq!(context.signed_round(E, &first).unwrap(), Some(0));
    assert_eq!(context.signed_round(E, &second).unwrap(), Some(1));
    assert_eq!(context.signed_round(Epoch(10), &second).unwrap(), None);
    assert_eq!(context.signed_round(E, &Keccak([9; 32])).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_enrols_again_and_starts_a_new_clock() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let record = |ak: u8| EnrolRecord {
        node: NODE,
        ek_certificate: Blob(vec![1]),
        ek_public: Blob(vec![2]),
        ak_public: Blob(vec![3]),
        ak_name: AkName([ak; 34]),
    };
    let clock = ClockInfo {
        clock_ms: 9,
        reset_count: 8,
        restart_count: 7,
        safe: true,
    };
    assert!(context.enrolled_at(&NODE).is_err());
    context.keep_enrolment(&record(4)).unwrap();
    context.keep_clock(&NODE, &clock).unwrap();
    context.enrolled_at(&NODE).unwrap();
    // The same key again keeps its clock: enrolling anew must not hide a rollback.
    context.keep_enrolment(&record(4)).unwrap();
    assert_eq!(context.clock_of(&NODE).unwrap(), Some(clock));
    context.keep_enrolment(&record(5)).unwrap();
    assert_eq!(context.clock_of(&NODE).unwrap(), None);
    context.forget_enrolment(&NODE).unwrap();
    assert_eq!(again(&bench, context).enrolment(&NODE).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_whose_end_was_missed_is_closed_once_and_can_be_exported() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let probe = draft(&bench, &context, OutcomeKind::Probe);
    context.record(probe).unwrap().unwrap();
    let context = again(&bench, context);
    let size = report::close_journal(&context, E, [NODE]).unwrap();
    // Later leaves do not move the size, and a checkpoint of exactly this size is kept.
    context
        .journal(|journal| journal.close_slot(Epoch(1), Slot(0)))
        .unwrap();
    assert_eq!(report::close_journal(&context, E, [NODE]).unwrap(), size);
    assert!(
        context
            .journal(|journal| journal.checkpoint_at(size))
            .unwrap()
            .is_some()
    );
    let out = bench.path("part");
    assert!(context.own_report(E).unwrap().is_none());
    // The outcome, its evidence, the proofs and the checkpoint.
    assert_eq!(
        assay_hypernode::export::write(&context, NODE, E, E, &out).unwrap(),
        4
    );
}

#[test]
fn a_binding_ends_two_epochs_after_its_nonce() {
    let held: Vec<bool> = (4..8).map(|e| binding(1, 5).holds_in(Epoch(e))).collect();
    assert_eq!(held, [true, true, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agreement_needs_is_there() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let setting = Setting {
        network: context.network,
        epoch: E,
        round: 0,
        own: context.own,
        proposers: vec![context.own],
        weights: context.weights(Epoch(0)).unwrap(),
    };
    let memory = Agreement::start(setting).memory().clone();
    let seen = [
        (HyperNodeId([1; 32]), Digest([2; 32]), Arrival::Early),
        (HyperNodeId([1; 32]), Digest([3; 32]), Arrival::Midway),
        (HyperNodeId([1; 32]), Digest([4; 32]), Arrival::Edge),
    ];
    context.keep_agreement_memory(E, &memory).unwrap();
    let keep = |epoch, id: &HyperNodeId, commit: &Digest, arrival| {
        let kept = context.keep_commit_in_time(epoch, id, commit, arrival);
        kept.unwrap();
    };
    for (id, commit, arrival) in &seen {
        keep(E, id, commit, *arrival);
        // The board shows it again after a restart.
        keep(E, id, commit, Arrival::Edge);
    }
    // Epoch 10's keys start with those of epoch 1.
    keep(Epoch(10), &seen[0].0, &seen[0].1, Arrival::Early);
    let context = again(&bench, context);
    assert_eq!(context.agreement_memory(E).unwrap(), Some(memory));
    assert_eq!(context.agreement_memory(Epoch(1)).unwrap(), None);
    assert_eq!(context.commits_in_time(E).unwrap(), seen);
    assert_eq!(context.commits_in_time(Epoch(1)).unwrap(), []);
}

/// Earlier versions kept `true` for what came before the closing: it is neither required nor listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_which_it_is_not_kept_when_it_came_is_only_allowed() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let (id, commit) = (HyperNodeId([1; 32]), Digest([2; 32]));
    let keep = |kept: &[u8]| {
        let key = format!("seen/{E}/{id}/{commit}");
        let put = context.journal(|journal| journal.put_meta(&key, kept));
        put.unwrap();
    };
    keep(&[0xf5]);
    let seen = context.commits_in_time(E).unwrap();
    assert_eq!(seen, [(id, commit, Arrival::Edge)]);
    for unknown in [&[4][..], &[], &[0, 0], &[0xf4]] {
        keep(unknown);
        let error = context.commits_in_time(E).unwrap_err().to_string();
        assert!(error.contains("stored record seen/0/"), "{error}");
    }
}

pub fn opened(context: &Context, kept: &KeptReport) -> Report {
    cose::open::<Report>(&kept.signed.0, &context.own.0)
        .unwrap()
        .into_payload()
}

/// If it comes back within the period, the node can make the region's blocks.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_within_a_period_tells_its_keys_and_remembers_that() {
    for leaves in [false, true] {
        let bench = Bench::new(CALM);
        let context = bench.open(0);
        let logged = draft(&bench, &context, OutcomeKind::RegionKey);
        context.record(logged).unwrap();
        let own = context.own;
        let roster = bench.params.roster.iter().cloned();
        let roster: Vec<_> = roster.filter(|entry| !leaves || entry.id != own).collect();
        let next = E.next();
        context
            .history(|history| history.relearn(next, roster))
            .unwrap();
        let report = opened(&context, &close_epoch(&context, E, &nodes(&bench)).unwrap());
        assert_eq!(report.nodes[0].reveals.len(), usize::from(leaves));
        let context = again(&bench, context);
        assert_eq!(context.is_told_early(0).unwrap(), leaves);
        assert!(!context.is_told_early(1).unwrap(), "the next period's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_is_closed_once_and_its_report_never_changes() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let probe = draft(&bench, &context, OutcomeKind::Probe);
    let (_, slot) = context.record(probe).unwrap().unwrap().place;
    let kept = close_epoch(&context, E, &nodes(&bench)).unwrap();
    assert_eq!(close_epoch(&context, E, &nodes(&bench)).unwrap(), kept);
    let report = opened(&context, &kept);
    assert_eq!((report.epoch, report.nodes.len()), (E, 1));
    assert_eq!(report.seed, context.seed(E).unwrap());
    let cell = report.nodes[0].cells.0[slot.0 as usize];
    let on_panel = context.on_panel(context.beacon(E).unwrap(), E, NODE, slot);
    let expected = if on_panel { Cell::Answered } else { Cell::None };
    assert_eq!(cell, expected as u8);

    let context = again(&bench, context);
    // Not even with other nodes to report on.
    assert_eq!(close_epoch(&context, E, &BTreeMap::new()).unwrap(), kept);
    assert_eq!(context.own_report(E).unwrap(), Some(kept));
    let size = context
        .journal(|journal| Ok(journal.tree().size()))
        .unwrap();
    assert_eq!(size, report.log_size, "nothing was appended twice");
    let note = context
        .journal(|journal| journal.checkpoint_at(size))
        .unwrap();
    assert!(note.is_some());
    // The epoch is closed: what comes now changes nothing.
    let late = draft(&bench, &context, OutcomeKind::Chase);
    assert_eq!(context.record(late).unwrap(), None);
    assert_eq!(report::outcomes(&context, E, NODE).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_half_closed_when_the_process_died_is_closed_like_any_other() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let probe = draft(&bench, &context, OutcomeKind::Probe);
    context.record(probe).unwrap().unwrap();
    context
        .journal(|journal| journal.close_slot(E, Slot(0)))
        .unwrap();
    let context = again(&bench, context);
    context
        .journal(|journal| journal.close_slot(E, Slot(1)))
        .unwrap();
    context
        .journal(|journal| journal.close_node(E, NODE))
        .unwrap();
    let context = again(&bench, context);
    let report = opened(&context, &close_epoch(&context, E, &nodes(&bench)).unwrap());
    assert_eq!(report.nodes[0].outcomes, 1);
    // Four slot leaves and the node's.
    assert_eq!(report.log_size, u64::from(bench.params.slots()) + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_record_of_another_form_is_an_error_by_name() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let key = format!("binding/{NODE}");
    let mut bytes = binding(1, 0).encode();
    bytes.push(0);
    context
        .journal(|journal| journal.put_meta(&key, &bytes))
        .unwrap();
    let error = context.binding(&NODE).unwrap_err();
    assert!(
        error.to_string().contains(&format!("stored record {key}")),
        "{error}"
    );
}
