//! A real agent on a software TPM, and a relay before it that changes one thing.

use assay_bench::network::{Bench, CALM, Client, outcome_of, say, serve, session, vendors};
use assay_hypernode::challenge::{Asking, attest, chase, enrol, fill, probe};
use assay_hypernode::context::Context;
use assay_hypernode::store::Binding;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::evidence;
use assay_protocol::hash::digest;
use assay_protocol::ids::{Address, NodeId, SessionKey};
use assay_protocol::item::Item as _;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, metric};
use assay_protocol::region::RegionId;
use assay_protocol::wire::{AgentReply, AgentRequest};
use assay_testbed::net::{Programs, ScalerNode};
use assay_testbed::soft_node::SoftAk;
use assay_testbed::{TestCa, Variant};
use assay_transport::Identity;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const PROVIDER: Address = Address([0x22; 20]);
const ID: RegionId = RegionId {
    region: 0,
    generation: 0,
};

/// A network whose one ScalerNode is real.
struct Scene {
    bench: Bench,
    scaler: ScalerNode,
    node: NodeId,
    /// The second EK certificate of its TPM, P-384.
    second_ek: Vec<u8>,
    _dir: TempDir,
}

impl Scene {
    fn new(variant: Variant) -> Self {
        Self::measuring(variant, "", &[])
    }

    /// A node whose kernel measures `files`, under a class with these rules besides.
    fn measuring(variant: Variant, rules: &str, files: &[(&'static str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::create(&dir.path().join("ca")).unwrap();
        let bench = Bench::with_rules(CALM, &vendors(&ca), rules);
        let scaler_dir = dir.path().join("scaler");
        let mut scaler = ScalerNode::new(&scaler_dir, &ca, "node", variant, PROVIDER).unwrap();
        scaler.files = files
            .iter()
            .map(|(name, content)| (*name, content.to_vec()))
            .collect();
        let second_ek = read_second_ek(&scaler);
        let roster: Vec<_> = bench.params.roster.iter().map(|entry| entry.id).collect();
        let programs = Programs::beside_this_one().unwrap();
        let node = scaler
            .boot(&programs, bench.params.network_id(), &roster)
            .unwrap();
        Self {
            bench,
            scaler,
            node,
            second_ek,
            _dir: dir,
        }
    }

    /// A relay with a key of its own that hands each reply to `change`.
    fn relay(
        &self,
        member: usize,
        key: &Identity,
        mut change: impl FnMut(AgentReply) -> AgentReply + Send + 'static,
    ) -> String {
        let mut real = Client::connect(&self.scaler.endpoint, &self.bench.members[member].identity);
        serve(key, move |request: AgentRequest| {
            let reply = real.ask::<_, AgentReply>(&request);
            say(&change(reply))
        })
    }

    async fn enrol(&self, context: &Context, node: NodeId, endpoint: &str) -> Outcome {
        let registered = self.bench.registered(node, endpoint);
        let asking = Asking::begin(context, &registered, self.bench.place()).unwrap();
        let record = enrol::run(&asking).await.unwrap();
        let outcome = outcome_of(context, node, OutcomeKind::Enrol);
        assert_eq!(record.is_some(), outcome.class == OutcomeClass::Pass);
        assert_eq!(context.enrolment(&node).unwrap(), record);
        outcome
    }

    async fn enrolled(&self, context: &Context) -> EnrolRecord {
        let outcome = self.enrol(context, self.node, &self.scaler.endpoint).await;
        assert_eq!(outcome.class, OutcomeClass::Pass, "{outcome:?}");
        context.enrolment(&self.node).unwrap().unwrap()
    }

    async fn attest(&self, context: &Context, record: &EnrolRecord, endpoint: &str) -> Outcome {
        let registered = self.bench.registered(self.node, endpoint);
        let asking = Asking::begin(context, &registered, self.bench.place()).unwrap();
        let class = attest::run(&asking, record).await.unwrap();
        let outcome = outcome_of(context, self.node, OutcomeKind::Attest);
        assert_eq!(outcome.class, class);
        outcome
    }
}

/// Before the agent boots: swtpm serves one client.
fn read_second_ek(scaler: &ScalerNode) -> Vec<u8> {
    let mut command = Command::new("tpm2_nvread");
    command.args(["-C", "o", "-T", &scaler.tpm.tcti(), "0x01C00016"]);
    let read = command.output().unwrap();
    assert!(read.status.success(), "{read:?}");
    assert_eq!(read.stdout[0], 0x30);
    read.stdout
}

type Change = Box<dyn FnMut(AgentReply) -> AgentReply + Send>;

/// Changes EK certificate, EK and AK of an offer.
fn offer(change: impl Fn(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<u8>) + Send + 'static) -> Change {
    Box::new(move |mut reply| {
        if let AgentReply::Offer {
            ek_certificate,
            ek_public,
            ak_public,
        } = &mut reply
        {
            change(ek_certificate, ek_public, ak_public);
        }
        reply
    })
}

/// Changes the secret that comes back.
fn secret(change: fn(&mut Vec<u8>)) -> Change {
    Box::new(move |mut reply| {
        if let AgentReply::Activated { secret } = &mut reply {
            change(secret);
        }
        reply
    })
}

fn flip(bytes: &mut [u8]) {
    *bytes.last_mut().unwrap() ^= 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tpm_of_this_node_enrols() {
    use OutcomeClass::{Fail, Inconclusive};
    let scene = Scene::new(Variant::Good);
    let other = NodeId([9; 32]);
    let context = scene.bench.fresh(0);
    let outcome = scene.enrol(&context, other, &scene.scaler.endpoint).await;
    assert_eq!(outcome.class, Fail);
    let said = format!("node id: expected {other}, got {}", scene.node);
    assert_eq!(outcome.detail, said);

    let second = scene.second_ek.clone();
    let changes: [(Change, OutcomeClass, &str); 8] = [
        (
            offer(move |certificate, _, _| certificate.clone_from(&second)),
            Fail,
            "P-384",
        ),
        (
            offer(|certificate, _, _| flip(certificate)),
            Fail,
            "EK certificate",
        ),
        (
            offer(|_, public, _| flip(public)),
            Fail,
            "differs from the default RSA-2048 template",
        ),
        // Clears `restricted` (bit 16 of the attributes at byte 4): such a key would sign a made-up quote.
        (offer(|_, _, ak| ak[5] ^= 1), Fail, "restricted"),
        // A point that is not on the curve.
        (offer(|_, _, ak| flip(ak)), Fail, "expected a usable key"),
        // Another AK than the TPM's: the TPM refuses the credential.
        (
            offer(|_, _, ak| *ak = SoftAk::generate().public()),
            Inconclusive,
            "refused",
        ),
        (
            secret(|secret| flip(secret)),
            Fail,
            "did not return the secret",
        ),
        (secret(Vec::clear), Fail, "did not return the secret"),
    ];
    let key = Identity::generate().unwrap();
    for (number, (change, class, why)) in changes.into_iter().enumerate() {
        // Each member has its share of the agent's connections.
        let member = number % 4;
        let context = scene.bench.fresh(member);
        let endpoint = scene.relay(member, &key, change);
        let outcome = scene.enrol(&context, scene.node, &endpoint).await;
        assert_eq!(outcome.class, class, "{why}: {}", outcome.detail);
        assert!(outcome.detail.contains(why), "{why}: {}", outcome.detail);
        assert_eq!(outcome.evidence, []);
    }
}

/// The secret of a credential activation that failed is in nothing that is kept or told.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_activation_tells_nobody_its_secret() {
    let scene = Scene::new(Variant::Good);
    let context = scene.bench.fresh(0);
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let key = Identity::generate().unwrap();
    let endpoint = scene.relay(0, &key, move |mut reply| {
        if let AgentReply::Activated { secret } = &mut reply {
            noted.lock().unwrap().push(secret.clone());
            flip(secret);
            noted.lock().unwrap().push(secret.clone());
        }
        reply
    });
    let outcome = scene.enrol(&context, scene.node, &endpoint).await;
    assert_eq!(outcome.class, OutcomeClass::Fail);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    let kept = outcome.encode();
    for secret in seen.iter() {
        assert!(!kept.windows(secret.len()).any(|part| part == secret));
        assert!(!outcome.detail.contains(&hex::encode(secret)));
        assert!(!outcome.detail.contains(&format!("{secret:?}")));
    }
}

/// Whoever asks twice at once gets one record, of this TPM.
#[tokio::test(flavor = "multi_thread")]
async fn two_enrolments_at_once_keep_one_record_of_one_key() {
    let scene = Scene::new(Variant::Good);
    let context = scene.bench.fresh(0);
    let registered = scene.bench.registered(scene.node, &scene.scaler.endpoint);
    let place = scene.bench.place();
    let one = Asking::begin(&context, &registered, place).unwrap();
    let two = Asking::begin(&context, &registered, place).unwrap();
    let (one, two) = tokio::join!(enrol::run(&one), enrol::run(&two));
    let records: Vec<EnrolRecord> = [one, two].into_iter().filter_map(Result::unwrap).collect();
    let kept = context.enrolment(&scene.node).unwrap();
    // One outcome of a kind counts in a slot: the second one's record is not kept.
    assert_eq!(records.len(), 1);
    assert_eq!(kept.as_ref(), records.first());
    assert_eq!(kept.map(|record| record.node), Some(scene.node));
}

impl Scene {
    /// The session key the agent prints at its start.
    fn agent_key(&self) -> SessionKey {
        let said = self.scaler.agent.as_ref().unwrap().output().unwrap();
        said.split_whitespace().last().unwrap().parse().unwrap()
    }

    /// An agent of this key that signs the real agent's claims, quote and log anew.
    fn resealing(&self, member: usize, key: &Identity) -> String {
        let (real, signer) = (self.agent_key(), key.clone());
        self.relay(member, key, move |reply| {
            let AgentReply::Evidence { bytes } = reply else {
                panic!("no evidence")
            };
            let genuine = evidence::open(&bytes, &real.0).unwrap();
            let bytes = evidence::seal(genuine.claims().clone(), genuine.vendor(), &signer);
            AgentReply::Evidence { bytes }
        })
    }

    fn bound(&self, record: &EnrolRecord, session_key: SessionKey) -> Binding {
        Binding {
            session_key,
            ak_name: record.ak_name,
            epoch: self.bench.place().0,
            reset_count: 0,
            restart_count: 0,
        }
    }
}

/// Nothing is concluded, by the check of who speaks or by appraisal.
#[track_caller]
fn inconclusive(outcome: &Outcome, by_who_speaks: bool) {
    assert_eq!(
        outcome.class,
        OutcomeClass::Inconclusive,
        "{}",
        outcome.detail
    );
    let said = outcome.detail.contains("living key of the TLS peer");
    assert_eq!(said, by_who_speaks, "{}", outcome.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_binds_only_the_key_of_its_own_connection() {
    let scene = Scene::new(Variant::Good);
    let key = Identity::generate().unwrap();

    // Relayed whole.
    let context = scene.bench.open(0);
    let record = scene.enrolled(&context).await;
    let relay = scene.relay(0, &key, |reply| reply);
    inconclusive(&scene.attest(&context, &record, &relay).await, true);
    assert_eq!(context.binding(&scene.node).unwrap(), None);
    assert_eq!(context.clock_of(&scene.node).unwrap(), None);

    // Signed anew by the relay: the claims, which the quote covers, name the agent's key.
    let context = scene.bench.open(1);
    let record = scene.enrolled(&context).await;
    let relay = scene.resealing(1, &key);
    let outcome = scene.attest(&context, &record, &relay).await;
    inconclusive(&outcome, false);
    assert_eq!(outcome.metric(metric::TIER), Some(0));
    assert_eq!(context.binding(&scene.node).unwrap(), None);
    assert_eq!(context.clock_of(&scene.node).unwrap(), None);

    // Asked directly.
    let context = scene.bench.open(2);
    let record = scene.enrolled(&context).await;
    let outcome = scene
        .attest(&context, &record, &scene.scaler.endpoint)
        .await;
    assert_eq!(outcome.class, OutcomeClass::Pass, "{}", outcome.detail);
    assert_eq!(outcome.metric(metric::TIER), Some(1));
    let binding = context.binding(&scene.node).unwrap().unwrap();
    assert_eq!(binding.session_key, scene.agent_key());
    assert!(context.clock_of(&scene.node).unwrap().is_some());
    let salted = outcome.evidence[0].salted_digest;
    assert_eq!(context.owner_of(&salted).unwrap(), Some(PROVIDER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_session_key_is_dead_for_ever() {
    let mut scene = Scene::new(Variant::Good);
    let old = Identity::generate().unwrap();
    let (node, dead) = (scene.node, session(&old));

    // A dead key has no say at all, whatever it shows.
    let context = scene.bench.open(0);
    let record = scene.enrolled(&context).await;
    let living = SessionKey([1; 32]);
    context.bind(&node, &scene.bound(&record, dead)).unwrap();
    context.bind(&node, &scene.bound(&record, living)).unwrap();
    let relay = scene.resealing(0, &old);
    inconclusive(&scene.attest(&context, &record, &relay).await, true);
    let binding = context.binding(&node).unwrap().unwrap();
    assert_eq!(binding.session_key, living);

    // A new agent process is a new session: its evidence replaces the binding, and the old key dies.
    let before = scene.agent_key();
    scene.scaler.kill_agent();
    scene.scaler.restart_agent().unwrap();
    let context = scene.bench.open(1);
    let record = scene.enrolled(&context).await;
    context.bind(&node, &scene.bound(&record, before)).unwrap();
    let outcome = scene
        .attest(&context, &record, &scene.scaler.endpoint)
        .await;
    assert_eq!(outcome.class, OutcomeClass::Pass, "{}", outcome.detail);
    let binding = context.binding(&node).unwrap().unwrap();
    assert_eq!(binding.session_key, scene.agent_key());
    assert_ne!(binding.session_key, before);
    assert!(context.is_dead(&node, &before).unwrap());
}

/// Registers that look good after a reset are nobody's boot while the process from before it still answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_key_that_outlives_a_reset_of_the_tpm_is_dead() {
    let scene = Scene::new(Variant::Good);
    let (node, endpoint) = (scene.node, &scene.scaler.endpoint);
    let first = scene.bench.open(0);
    let record = scene.enrolled(&first).await;
    let outcome = scene.attest(&first, &record, endpoint).await;
    assert_eq!(outcome.class, OutcomeClass::Pass, "{}", outcome.detail);
    let bound = first.binding(&node).unwrap().unwrap();

    // The same key under the same resetCount goes on.
    let same = scene.bench.open(1);
    let record = scene.enrolled(&same).await;
    same.bind(&node, &bound).unwrap();
    let outcome = scene.attest(&same, &record, endpoint).await;
    assert_eq!(outcome.class, OutcomeClass::Pass, "{}", outcome.detail);
    assert!(!same.is_dead(&node, &bound.session_key).unwrap());

    let before = Binding {
        reset_count: bound.reset_count - 1,
        ..bound
    };
    let reset = scene.bench.open(2);
    let record = scene.enrolled(&reset).await;
    reset.bind(&node, &before).unwrap();
    let outcome = scene.attest(&reset, &record, endpoint).await;
    inconclusive(&outcome, false);
    let said = &outcome.detail;
    assert!(
        said.starts_with("session key: expected a new one"),
        "{said}"
    );
    assert!(reset.is_dead(&node, &before.session_key).unwrap());
    assert_eq!(reset.binding(&node).unwrap(), Some(before));
}

/// A reset does not excuse values that are not allowed, and the key that showed them may not show better ones later.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_key_that_outlives_a_reset_excuses_no_boot() {
    let scene = Scene::new(Variant::Rogue);
    let context = scene.bench.open(0);
    let record = scene.enrolled(&context).await;
    let before = scene.bound(&record, scene.agent_key());
    context.bind(&scene.node, &before).unwrap();
    let endpoint = &scene.scaler.endpoint;
    let outcome = scene.attest(&context, &record, endpoint).await;
    assert_eq!(outcome.class, OutcomeClass::Fail, "{}", outcome.detail);
    let dead = context.is_dead(&scene.node, &before.session_key);
    assert!(dead.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_booted_and_may_not_fails_but_still_identifies_it() {
    let scene = Scene::new(Variant::Rogue);
    let context = scene.bench.open(0);
    let record = scene.enrolled(&context).await;
    let outcome = scene
        .attest(&context, &record, &scene.scaler.endpoint)
        .await;
    assert_eq!(outcome.class, OutcomeClass::Fail);
    assert_eq!(outcome.metric(metric::TIER), Some(0));
    assert!(outcome.detail.contains("expected"), "{outcome:?}");
    assert!(context.binding(&scene.node).unwrap().is_some());
    let salted = outcome.evidence[0].salted_digest;
    assert_eq!(context.owner_of(&salted).unwrap(), Some(PROVIDER));
}

/// The real agent carries the kernel's list, and the class's rules over it lead to tier 2, or convict.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_measures_what_it_runs_is_judged_by_it() {
    const AGENT: (&str, &[u8]) = ("/usr/bin/assay-agent", b"agent");
    const POLICY: (&str, &[u8]) = ("/etc/ima/ima-policy", b"measure func=BPRM_CHECK");
    const OTHER: (&str, &[u8]) = ("/usr/bin/other", b"other");
    let rules = format!(
        "[attestation.ima]\nallowed = [\"{}\"]\npolicies = [\"{}\"]\ncommand_lines = [{:?}]\n",
        digest(&[AGENT.1]),
        digest(&[POLICY.1]),
        ScalerNode::IMA_COMMAND_LINE,
    );
    let cases = [
        (vec![POLICY, AGENT], OutcomeClass::Pass, 2),
        // Without the policy nobody knows what was left out.
        (vec![AGENT], OutcomeClass::Pass, 1),
        (vec![POLICY, AGENT, OTHER], OutcomeClass::Fail, 0),
    ];
    for (files, class, tier) in cases {
        let scene = Scene::measuring(Variant::Good, &rules, &files);
        let context = scene.bench.open(0);
        let record = scene.enrolled(&context).await;
        let direct = &scene.scaler.endpoint;
        let outcome = scene.attest(&context, &record, direct).await;
        assert_eq!(
            (outcome.class, outcome.metric(metric::TIER)),
            (class, Some(tier)),
            "{}",
            outcome.detail
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way_with_an_honest_agent() {
    let scene = Scene::new(Variant::Good);
    let context: Arc<Context> = scene.bench.open(0);
    let record = scene.enrolled(&context).await;
    let direct = &scene.scaler.endpoint;
    assert_eq!(
        scene.attest(&context, &record, direct).await.class,
        OutcomeClass::Pass
    );
    let session = context.binding(&scene.node).unwrap().unwrap().session_key;
    let registered = scene.bench.registered(scene.node, direct);
    let bound = probe::Session {
        key: session,
        holds: true,
    };
    let begin = || Asking::begin(&context, &registered, scene.bench.place()).unwrap();
    let probed = probe::run(&context, &begin(), &mut None, Some(bound)).await;
    assert_eq!(probed.unwrap(), OutcomeClass::Pass);
    let filled = fill::run(&begin(), session, ID).await.unwrap();
    assert_eq!(filled, OutcomeClass::Pass);
    let chased = chase::run(&begin(), session, ID).await.unwrap();
    assert_eq!(chased, OutcomeClass::Pass);
    let outcome = outcome_of(&context, scene.node, OutcomeKind::Chase);
    assert!(outcome.metric(metric::CHASE_US).unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_there_is_inconclusive() {
    let bench = Bench::new(CALM);
    let (context, node) = (bench.open(0), NodeId([9; 32]));
    let registered = bench.registered(node, "127.0.0.1:1");
    let asking = Asking::begin(&context, &registered, bench.place()).unwrap();
    assert_eq!(enrol::run(&asking).await.unwrap(), None);
    let outcome = outcome_of(&context, node, OutcomeKind::Enrol);
    assert_eq!(outcome.class, OutcomeClass::Inconclusive);
    assert_eq!(outcome.detail.matches("refused").count(), 1, "{outcome:?}");
    assert_eq!(context.enrolment(&node).unwrap(), None);
}
