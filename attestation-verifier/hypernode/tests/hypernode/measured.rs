//! Nodes whose kernels measure files: what is asked of them, kept and archived from one attestation to the next.

use super::soft_machine::{
    AGENT, BOOTED, OTHER, POLICY, PROVIDER, SHORT, Scene, attested, carried, earlier, is, rules,
};
use assay_appraisal::ek::Roots;
use assay_appraisal::ima::Position;
use assay_bench::network::{Bench, vendors};
use assay_hypernode::challenge::ima::KeptPosition;
use assay_hypernode::challenge::{Asking, enrol};
use assay_protocol::answers::EnrolRecord;
use assay_protocol::ids::Digest;
use assay_protocol::item::Blob;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::wire::ImaAppraised;
use assay_testbed::ima_list::ImaEntry;
use assay_testbed::net::{Programs, ScalerNode};
use assay_testbed::soft_node::SoftAk;
use assay_testbed::{TestCa, Variant};

fn after(reset_count: u32, entries: u64) -> Option<ImaAppraised> {
    Some(ImaAppraised {
        reset_count,
        entries,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_new_is_asked_for_and_the_rest_is_archived_beside_it() {
    let mut scene = Scene::attested_once().await;
    let booted = scene.machine().list().encode();
    scene.machine().runs(AGENT);
    let outcome = scene.attest().await;
    is(&outcome, OutcomeClass::Pass, 2);
    assert_eq!(scene.asked(), [after(7, BOOTED)]);
    assert_eq!(carried(&scene.context, &outcome), (BOOTED, 1));
    assert_eq!(earlier(&scene.context, &outcome), booted);

    // The daemon starts anew; nothing is new on the machine.
    let whole = scene.machine().list().encode();
    scene.context = scene.bench.fresh(1);
    scene.context = scene.bench.open(0);
    let outcome = scene.attest().await;
    is(&outcome, OutcomeClass::Pass, 2);
    assert_eq!(scene.asked(), [after(7, BOOTED + 1)]);
    assert_eq!(carried(&scene.context, &outcome), (BOOTED + 1, 0));
    assert_eq!(earlier(&scene.context, &outcome), whole);
    assert_eq!(scene.position().unwrap().entries, BOOTED + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_allowed_fails_from_a_position_too() {
    let scene = Scene::attested_once().await;
    scene.machine().runs(OTHER);
    let outcome = scene.attest().await;
    is(&outcome, OutcomeClass::Fail, 0);
    assert_eq!(scene.asked(), [after(7, BOOTED)]);
    assert!(outcome.detail.contains("/usr/bin/other"), "{outcome:?}");
    assert!(!earlier(&scene.context, &outcome).is_empty());
    // Nothing is built on it.
    assert_eq!(scene.kept(), None);
    is(&scene.attest().await, OutcomeClass::Fail, 0);
    assert_eq!(scene.asked(), [None]);
}

/// Its vendor's root was taken out of the bundle, or its certificate ended while it was enrolled: that is told, ends
/// nothing, and the node enrols anew.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_enrolled_by_a_root_that_is_gone_enrols_anew() {
    let scene = Scene::with(&rules(), |_, context| context.roots = Roots::default());
    let outcome = scene.attest().await;
    assert_eq!(outcome.class, OutcomeClass::Inconclusive);
    assert!(outcome.detail.contains("enrols anew"), "{outcome:?}");
    assert_eq!(scene.context.enrolment(&scene.record.node).unwrap(), None);
}

/// Of another boot, key, class or node, with a part that is gone, or with too many of them: the list begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_something_else_is_not_gone_on_from() {
    let mut scene = Scene::attested_once().await;
    // A reboot between: the agent sees it first.
    scene.reboot();
    scene.machine().runs(AGENT);
    let outcome = scene.attest().await;
    is(&outcome, OutcomeClass::Pass, 2);
    assert_eq!(scene.asked(), [after(7, BOOTED)]);
    assert_eq!(carried(&scene.context, &outcome), (0, BOOTED + 1));
    assert!(earlier(&scene.context, &outcome).is_empty());
    assert_eq!(scene.position().unwrap().reset_count, 8);

    let others: [fn(&mut KeptPosition); 4] = [
        |kept| kept.ak_name = SoftAk::generate().name(),
        |kept| kept.class = Digest([1; 32]),
        |kept| kept.parts[0].0 = Digest([1; 32]),
        // More than an outcome can refer to.
        |kept| kept.parts = vec![kept.parts[0]; 57],
    ];
    for other in others {
        scene.keep(other);
        let outcome = scene.attest().await;
        is(&outcome, OutcomeClass::Pass, 2);
        assert_eq!(scene.asked(), [None]);
    }
    let ak = SoftAk::generate();
    let anew = EnrolRecord {
        ak_public: Blob(ak.public()),
        ak_name: ak.name(),
        ..scene.record.clone()
    };
    scene.context.keep_enrolment(&anew).unwrap();
    assert_eq!(scene.kept(), None);
}

/// A position that was forged, or was another node's, leads nowhere, and costs an honest node nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_position_is_forgotten_and_the_whole_list_decides() {
    let scene = Scene::attested_once().await;
    let forgeries: [fn(&mut Position); 3] = [
        |position| position.banks[0].pcrs[0].1.0[0] ^= 1,
        |position| position.template_hash = 0x0c,
        |position| position.boot_aggregate = None,
    ];
    for (forge, entries) in forgeries.into_iter().zip(BOOTED + 1..) {
        scene.forge(forge);
        scene.machine().runs(AGENT);
        let outcome = scene.attest().await;
        let asked = scene.asked();
        is(&outcome, OutcomeClass::Pass, 2);
        assert_eq!(asked, [after(7, entries - 1), None]);
        assert_eq!(carried(&scene.context, &outcome), (0, entries));
        assert_eq!(scene.position().unwrap().entries, entries);
    }
}

/// Whatever is left out, replaced or cut between two asks, the quote does not fit.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_changed_between_two_asks_earns_no_tier_2() {
    type Change = fn(&mut Vec<ImaEntry>);
    let changes: [(Change, usize); 4] = [
        // A new entry is left out.
        (|entries| drop(entries.remove(3)), 2),
        // Known ones are replaced, and the last one as well.
        (
            |entries| entries.iter_mut().for_each(|entry| entry.digest[0] ^= 1),
            2,
        ),
        // The list is shorter than what was appraised: the agent sends it whole at once.
        (|entries| entries.truncate(2), 1),
        // Nothing is sent that is new.
        (|entries| entries.truncate(3), 2),
    ];
    for (change, asks) in changes {
        let scene = Scene::attested_once().await;
        {
            let mut machine = scene.machine();
            machine.runs(AGENT);
            machine.runs(("/usr/bin/again", AGENT.1));
            let mut sent = machine.list().clone();
            change(&mut sent.entries);
            machine.sends = Some(sent);
        }
        let outcome = scene.attest().await;
        is(&outcome, OutcomeClass::Pass, 1);
        assert_eq!(scene.asked().len(), asks);
        assert_eq!(scene.kept(), None);
    }
    // What was appraised and is not sent again may be whatever it likes: nobody looks at it.
    let scene = Scene::attested_once().await;
    let mut sent = scene.machine().list().clone();
    sent.entries[1].digest[0] ^= 1;
    scene.machine().sends = Some(sent);
    is(&scene.attest().await, OutcomeClass::Pass, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_agent_is_asked_for_the_whole_list() {
    let scene = Scene::attested_once().await;
    scene.machine().knows = false;
    scene.machine().runs(AGENT);
    let outcome = scene.attest().await;
    is(&outcome, OutcomeClass::Pass, 2);
    assert_eq!(scene.asked(), [after(7, BOOTED), None]);
    assert_eq!(carried(&scene.context, &outcome), (0, BOOTED + 1));
}

/// Program, TPM and files are real; the kernel that measures is the test.
#[tokio::test(flavor = "multi_thread")]
async fn the_agent_sends_what_its_kernel_measured_since() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::create(&dir.path().join("ca")).unwrap();
    let bench = Bench::with_rules(SHORT, &vendors(&ca), &rules());
    let home = dir.path().join("scaler");
    let mut scaler = ScalerNode::new(&home, &ca, "node", Variant::Good, PROVIDER).unwrap();
    scaler.files = [AGENT, POLICY]
        .map(|(name, bytes)| (name, bytes.to_vec()))
        .to_vec();
    scaler.share_tpm().unwrap();
    let roster: Vec<_> = bench.params.roster.iter().map(|entry| entry.id).collect();
    let programs = Programs::beside_this_one().unwrap();
    let network = bench.params.network_id();
    let node = scaler.boot(&programs, network, &roster).unwrap();
    let (context, endpoint) = (bench.open(0), scaler.endpoint.clone());
    let registered = bench.registered(node, &endpoint);
    let asking = Asking::begin(&context, &registered, bench.place()).unwrap();
    let record = enrol::run(&asking).await.unwrap().unwrap();
    let attest = || attested((&bench, &context), (node, &endpoint), &record);

    let outcome = attest().await;
    is(&outcome, OutcomeClass::Pass, 2);
    assert_eq!(carried(&context, &outcome), (0, BOOTED));
    scaler.run_file(AGENT.0, AGENT.1).unwrap();
    let outcome = attest().await;
    is(&outcome, OutcomeClass::Pass, 2);
    assert_eq!(carried(&context, &outcome), (BOOTED, 1));

    // A new process remembers nothing.
    scaler.kill_agent();
    scaler.restart_agent().unwrap();
    let outcome = attest().await;
    is(&outcome, OutcomeClass::Pass, 2);
    assert_eq!(carried(&context, &outcome), (0, BOOTED + 1));

    scaler.run_file(OTHER.0, OTHER.1).unwrap();
    let outcome = attest().await;
    is(&outcome, OutcomeClass::Fail, 0);
    assert_eq!(carried(&context, &outcome), (BOOTED + 1, 1));
}
