//! A node of software keys whose kernel measures files, and a HyperNode that attests it again and again.

use assay_appraisal::appraise::{
    Attest, Configurations, Endorsements, Expectation, ImaBefore, Policy, verify,
};
use assay_appraisal::checks::Mode;
use assay_appraisal::ima::Position;
use assay_appraisal::snp::ChainCache;
use assay_appraisal::tpm::ak::AttestationKey;
use assay_bench::network::{Act, Bench, CALM, NODE, Times, say, serve};
use assay_hypernode::challenge::ima::KeptPosition;
use assay_hypernode::challenge::{Asking, attest};
use assay_hypernode::context::Context;
use assay_hypernode::report;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::cose::{Signer as _, claimed_signer};
use assay_protocol::evidence::{self, ImaClaim};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Address, Epoch, HyperNodeId, NodeId, Nonce, SessionKey};
use assay_protocol::item::Blob;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::schedule::{Challenge, ChallengePlace};
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use assay_protocol::wire::{AgentReply, AgentRequest, ImaAppraised};
use assay_testbed::ima_list::{ImaEntry, ImaList};
use assay_testbed::net::ScalerNode;
use assay_testbed::soft_node::config;
use assay_testbed::{MeasuredBoot, SoftNode, Variant};
use assay_transport::Identity;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub const PROVIDER: Address = Address([0x22; 20]);
pub const AGENT: (&str, &[u8]) = ("/usr/bin/assay-agent", b"agent");
pub const POLICY: (&str, &[u8]) = ("/etc/ima/ima-policy", b"measure func=BPRM_CHECK");
pub const OTHER: (&str, &[u8]) = ("/usr/bin/other", b"other");
/// Entries of a machine that just booted: the aggregate and these two files.
pub const BOOTED: u64 = 3;
/// One attestation a slot counts: short slots, which are waited for.
pub const SHORT: Times = Times {
    slot: 1_000,
    slots: 1_000,
    ..CALM
};

pub fn rules() -> String {
    format!(
        "[attestation.ima]\nallowed = [\"{}\"]\npolicies = [\"{}\"]\ncommand_lines = [{:?}]\n",
        digest(&[AGENT.1]),
        digest(&[POLICY.1]),
        ScalerNode::IMA_COMMAND_LINE,
    )
}

/// Attests in a slot of its own.
pub async fn attested(
    (bench, context): (&Bench, &Context),
    (node, endpoint): (NodeId, &str),
    record: &EnrolRecord,
) -> Outcome {
    let begun = bench.place();
    while bench.place() == begun {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let registered = bench.registered(node, endpoint);
    let asking = Asking::begin(context, &registered, bench.place()).unwrap();
    let class = attest::run(&asking, record).await.unwrap();
    let outcomes = report::outcomes(context, Epoch(0), node).unwrap();
    let mut outcomes = outcomes.into_iter();
    let last = outcomes.rfind(|outcome| outcome.kind == OutcomeKind::Attest);
    let last = last.unwrap();
    assert_eq!(last.class, class, "{}", last.detail);
    last
}

/// The archived bytes of a media type, in order.
pub fn archived(context: &Context, outcome: &Outcome, media_type: &str) -> Vec<Vec<u8>> {
    let references = outcome.evidence.iter();
    let wanted = references.filter(|reference| reference.media_type == media_type);
    let read = wanted.map(|reference| {
        let sha256 = context.raw_of(&reference.salted_digest).unwrap().unwrap();
        let bytes = context.objects.get(&sha256, EVIDENCE_BYTES_MAX as u64);
        bytes.unwrap()
    });
    read.collect()
}

/// Entries before those carried, and how many are.
pub fn carried(context: &Context, outcome: &Outcome) -> (u64, u64) {
    let bytes = archived(context, outcome, media::EVIDENCE).remove(0);
    let signer = claimed_signer(&bytes, EVIDENCE_BYTES_MAX).unwrap();
    let opened = evidence::open(&bytes, &signer).unwrap();
    let claim = opened.claims().ima.unwrap();
    (claim.first, claim.count)
}

/// The earlier entries beside the evidence.
pub fn earlier(context: &Context, outcome: &Outcome) -> Vec<u8> {
    archived(context, outcome, media::IMA_PART).concat()
}

#[track_caller]
pub fn is(outcome: &Outcome, class: OutcomeClass, tier: u64) {
    let actual = (outcome.class, outcome.metric(metric::TIER));
    assert_eq!(actual, (class, Some(tier)), "{}", outcome.detail);
}

/// A machine of software keys.
pub struct Machine {
    pub node: SoftNode,
    /// Its TLS and session key.
    pub identity: Identity,
    pub hypernode: HyperNodeId,
    /// What it sends instead of its list.
    pub sends: Option<ImaList>,
    /// Whether it is an agent that can leave entries out.
    pub knows: bool,
    /// What it was asked: what the other side has appraised, if it said so.
    pub asked: Vec<Option<ImaAppraised>>,
}

impl Machine {
    pub fn boot(bench: &Bench) -> Self {
        let owner = (bench.params.network_id(), PROVIDER);
        let mut node = SoftNode::new(NODE, owner);
        let line = ScalerNode::IMA_COMMAND_LINE;
        let text = config(owner);
        node.boot = MeasuredBoot::with_command_line(Variant::Good, text.as_bytes(), line);
        Self {
            node: node.with_ima(&[AGENT, POLICY]),
            identity: Identity::generate().unwrap(),
            hypernode: bench.members[0].id(),
            sends: None,
            knows: true,
            asked: Vec::new(),
        }
    }

    pub fn list(&mut self) -> &mut ImaList {
        self.node.ima.as_mut().unwrap()
    }

    pub fn runs(&mut self, (name, content): (&str, &[u8])) {
        let entry = ImaEntry::of_content(name, content);
        self.list().entries.push(entry);
    }

    fn answer(&mut self, request: AgentRequest) -> Vec<Act> {
        let (nonce, appraised) = match request {
            AgentRequest::Attest { nonce, .. } => (nonce, None),
            AgentRequest::AttestAfter {
                nonce, appraised, ..
            } => (nonce, Some(appraised)),
            other => panic!("{other:?}"),
        };
        self.asked.push(appraised);
        if appraised.is_some() && !self.knows {
            return vec![Act::Close];
        }
        let bytes = self.evidence(nonce, appraised);
        say(&AgentReply::Evidence { bytes })
    }

    fn evidence(&mut self, nonce: Nonce, appraised: Option<ImaAppraised>) -> Vec<u8> {
        self.node.clock.clock_ms += 1_000;
        let list = self.sends.as_ref().or(self.node.ima.as_ref()).unwrap();
        let total = list.entries.len() as u64;
        let reset_count = self.node.clock.reset_count;
        let first = appraised
            .filter(|known| known.reset_count == reset_count && known.entries <= total)
            .map_or(0, |known| known.entries);
        let entries = list.entries[first as usize..].to_vec();
        let part = ImaList { entries }.encode();
        let nonces = [(self.hypernode, nonce)];
        let (mut claims, _) = self.node.claims(&nonces);
        claims.session_key = SessionKey(self.identity.public_key());
        let batch = evidence::nonce_batch(&nonces);
        let data = evidence::snp_report_data(&batch, &claims.session_key, &claims.ak_name);
        let snp = self.node.snp.as_ref().map(|make| make(data));
        claims.snp_report = snp.as_ref().map(|snp| digest(&[&snp.report.0]));
        claims.ima = Some(ImaClaim {
            digest: digest(&[&part]),
            first,
            count: total - first,
        });
        let mut vendor = self.node.vendor(&claims, snp);
        vendor.ima_log = Some(Blob(part));
        evidence::seal(claims, &vendor, &self.identity)
    }
}

/// Where a machine answers.
fn serving(identity: &Identity, machine: &Arc<Mutex<Machine>>) -> String {
    let machine = Arc::clone(machine);
    serve(identity, move |request| {
        machine.lock().unwrap().answer(request)
    })
}

/// A HyperNode, and a machine that is enrolled.
pub struct Scene {
    pub bench: Bench,
    pub context: Arc<Context>,
    pub machine: Arc<Mutex<Machine>>,
    pub endpoint: String,
    pub record: EnrolRecord,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(&rules(), |_, _| ())
    }

    /// Of a class with these rules; `change` sees the node and the HyperNode before anything is asked.
    pub fn with(rules: &str, change: impl FnOnce(&mut SoftNode, &mut Context)) -> Self {
        let bench = Bench::with_rules(SHORT, &authority(), rules);
        let mut machine = Machine::boot(&bench);
        let mut context = bench.open(0);
        change(&mut machine.node, Arc::get_mut(&mut context).unwrap());
        let (identity, ak) = (machine.identity.clone(), &machine.node.ak);
        let record = EnrolRecord {
            node: NODE,
            ek_certificate: Blob(include_bytes!("../../../../fuzz/ek/ek.der").to_vec()),
            ek_public: Blob(Vec::new()),
            ak_public: Blob(ak.public()),
            ak_name: ak.name(),
        };
        context.keep_enrolment(&record).unwrap();
        let machine = Arc::new(Mutex::new(machine));
        let endpoint = serving(&identity, &machine);
        Self {
            bench,
            context,
            machine,
            endpoint,
            record,
        }
    }

    /// With a first attestation behind it.
    pub async fn attested_once() -> Self {
        let scene = Self::new();
        let outcome = scene.attest().await;
        is(&outcome, OutcomeClass::Pass, 2);
        assert_eq!(scene.asked(), [None]);
        scene
    }

    /// Another boot, and another process of the agent with a key of its own.
    pub fn reboot(&mut self) {
        let identity = Identity::generate().unwrap();
        self.endpoint = serving(&identity, &self.machine);
        let mut machine = self.machine();
        machine.node.clock.reset_count += 1;
        machine.identity = identity;
    }

    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap()
    }

    pub async fn attest(&self) -> Outcome {
        let at = (NODE, self.endpoint.as_str());
        let outcome = attested((&self.bench, &self.context), at, &self.record).await;
        if outcome.class != OutcomeClass::Inconclusive {
            self.recompute(&outcome);
        }
        outcome
    }

    /// What is archived, and nothing else, leads to the same class and tier: no auditor has a position.
    fn recompute(&self, outcome: &Outcome) {
        let archived = |media_type| archived(&self.context, outcome, media_type);
        let (evidence, parts) = (
            archived(media::EVIDENCE).remove(0),
            archived(media::IMA_PART),
        );
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let crl = archived(media::CRL).pop();
        let ak = AttestationKey::from_bytes(&self.record.ak_public.0).unwrap();
        let place = ChallengePlace {
            network: self.context.network,
            node: NODE,
            hypernode: self.context.own,
            epoch: outcome.place.0,
            slot: outcome.place.1,
            kind: Challenge::Attest,
        };
        let expected = Expectation {
            node: NODE,
            hypernode: self.context.own,
            nonce: place.nonce(&outcome.r),
            session_key: SessionKey(claimed_signer(&evidence, EVIDENCE_BYTES_MAX).unwrap()),
            ak: &ak,
            last_clock: None,
        };
        let policy = Policy {
            network: self.context.network,
            class: &self.bench.class,
            root_kind: Some(RootKind::Test),
            firmware_min: 0,
            trust: &authority(),
            configurations: &Configurations::new(),
            endorsements: Endorsements {
                at: outcome.window.0,
                roots: &self.context.snp_roots,
                chain: None,
                crl: crl.as_deref(),
                cache: &ChainCache::new(),
            },
            ima_before: ImaBefore::Parts(&parts),
        };
        let appraisal = verify(&evidence, &expected, &policy, Mode::Verify).unwrap();
        let class = match appraisal.attest {
            Attest::Pass => OutcomeClass::Pass,
            Attest::Fail => OutcomeClass::Fail,
            Attest::Undecided => OutcomeClass::Inconclusive,
        };
        is(outcome, class, appraisal.tier.into());
    }

    /// What was asked since this was asked last.
    pub fn asked(&self) -> Vec<Option<ImaAppraised>> {
        std::mem::take(&mut self.machine().asked)
    }

    pub fn kept(&self) -> Option<KeptPosition> {
        self.context.ima_position(&NODE).unwrap()
    }

    pub fn position(&self) -> Option<Position> {
        let kept = self.kept()?;
        Some(Position::from_bytes(&kept.position.0).unwrap())
    }

    pub fn keep(&self, change: impl FnOnce(&mut KeptPosition)) {
        let mut kept = self.kept().unwrap();
        change(&mut kept);
        self.context.keep_ima_position(&NODE, &kept).unwrap();
    }

    pub fn forge(&self, change: impl FnOnce(&mut Position)) {
        let mut position = self.position().unwrap();
        change(&mut position);
        self.keep(|kept| kept.position = Blob(position.to_bytes()));
    }
}

pub fn authority() -> TrustBundle {
    let certificate = include_bytes!("../../../../fuzz/ek/root.der").to_vec();
    let intermediate = include_bytes!("../../../../fuzz/ek/intermediate.der").to_vec();
    TrustBundle {
        allowed_kinds: vec![RootKind::Test],
        roots: vec![VendorRoot {
            name: "a test CA".into(),
            kind: RootKind::Test,
            ek_type: EkType::Rsa2048,
            firmware_min: 0,
            sha256: digest(&[&certificate]),
            certificate,
            intermediates: vec![HexBytes(intermediate)],
        }],
    }
}
