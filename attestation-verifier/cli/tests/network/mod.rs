//! A whole network in software: four HyperNodes, one node, four epochs, and everything a bundle of it holds. A test may
//! change any part before it is signed ([`Lie`]), so that a lie is told consistently: re-hashed, re-signed, re-sealed.

pub mod tpm;

use assay_aggregate::epoch::{Included, Registration};
use assay_aggregate::inputs::History;
use assay_aggregate::root::{EpochRoot, NodeLeaf, OutcomeTree, RewardLeaf, recover, sign};
use assay_appraisal::counters;
use assay_appraisal::summary::{self, Attested};
use assay_log::leaf::{self, Leaf, SlotLeaf, entries_root, entry_hashes, salted_digest};
use assay_log::{Checkpoint, Tree, checkpoint, sign_checkpoint};
use assay_protocol::answers::{
    ChainLink, ChaseAnswer, ControlAnswer, Counter, Countersigned, EnrolRecord, FillReceipt,
    ProbeAnswer,
};
use assay_protocol::chase::{ChasePlan, walk};
use assay_protocol::class::{
    AttestationPolicy, Budget, Hardware, HardwareClass, ImaPolicy, Money, PcrReference, Sla,
    ValidClass,
};
use assay_protocol::cose::{self, Signer};
use assay_protocol::evidence::{
    self, Claims, ImaClaim, TpmClock, VendorEvidence, claims_bytes, qualifying_data,
};
use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::*;
use assay_protocol::item::{Blob, Item};
use assay_protocol::layout::{
    self, Claim, Inputs, OutcomePlace, Proofs, ProvenLeaf, SignedRoot, SlotProof,
};
use assay_protocol::merkle;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_protocol::region::{CipherError, Keystream, RegionId, key_hash, region_key, region_root};
use assay_protocol::report::{NodeReport, RegionReveal, Report, commitment};
use assay_protocol::schedule::{
    Challenge, ChallengePlace, probe_offset_ms, probe_window_ms, seed_end, seed_of_epoch,
};
use assay_protocol::trust::{CommitteePin, TrustFile};
use assay_testbed::boot_log::{Banks, MeasuredBoot, Variant};
use assay_testbed::ima_list::{ImaEntry, ImaList};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use std::collections::{BTreeMap, BTreeSet};
use tpm::SoftTpm;

pub type Files = BTreeMap<String, Vec<u8>>;

pub const PROVIDER: Address = Address([0x22; 20]);
const STAKES: [u128; 4] = [40, 25, 20, 15];
const LINKS: u64 = 16;
/// For an epoch's rewards, in wei; a pass asks for more.
const BUDGET: u128 = 7_000_000_000;
const AGENT: (&str, &[u8]) = ("/usr/bin/assay-agent", b"agent");
const POLICY: (&str, &[u8]) = ("/etc/ima/ima-policy", b"measure func=BPRM_CHECK");
const IMA_LINE: &str = "ima_policy=tcb";

/// An Ed25519 key made from one byte.
pub struct Key(Ed25519KeyPair);

impl Key {
    pub fn new(byte: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap())
    }
    pub fn id(&self) -> HyperNodeId {
        HyperNodeId(self.public_key())
    }
}

impl Signer for Key {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}

/// An outcome that is not signed yet.
#[derive(Clone)]
pub struct Draft {
    pub outcome: Outcome,
    pub raw: Vec<(Vec<u8>, &'static str)>,
}

/// Where a lie can be told.
pub enum Part<'a> {
    /// The outcomes of (HyperNode number, epoch), before they are signed and logged.
    Drafts(usize, u64, &'a Cast, &'a mut Vec<Draft>),
    /// The report of (HyperNode number, epoch), before it is signed and committed to.
    Report(usize, u64, &'a mut Report),
    /// The leaf of an epoch, before its root is signed.
    Leaf(u64, &'a mut NodeLeaf),
    /// The root of an epoch, before it is signed.
    Root(u64, &'a mut EpochRoot),
    /// The signatures of an epoch.
    Signatures(u64, &'a mut Vec<Blob>),
    /// The payload, before it is sealed.
    Payload(&'a mut Files),
}

/// Tells a lie, or none.
pub type Lie<'a> = &'a dyn Fn(Part<'_>);

/// The truth.
pub fn honest(_: Part<'_>) {}

/// How the node behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Honest,
    /// It booted what its reference values do not allow.
    Rogue,
    /// It is silent in epoch 1.
    Silent,
}

/// Who is in the story, and what does not change in it.
pub struct Cast {
    pub hypernodes: Vec<Key>,
    pub session: Key,
    pub tpm: SoftTpm,
    pub class: ValidClass,
    pub params: NetworkParams,
    pub network: NetworkId,
    pub behaviour: Behaviour,
    /// Epochs of the story.
    pub epochs: u64,
    /// A HyperNode whose report of an epoch is not agreed on.
    pub absent: Option<(usize, u64)>,
    /// A HyperNode of whose epoch the bundle holds nothing: its report was missed, and its part is not there.
    pub lost: Option<(usize, u64)>,
    /// An epoch that ended void.
    pub void: Option<u64>,
    /// Its kernel measures files, one more in every epoch, and the class judges it by them.
    measuring: bool,
    boot: MeasuredBoot,
}

/// A finished story.
pub struct Story {
    pub payload: Files,
    pub trust: TrustFile,
}

/// One HyperNode's log and memory.
#[derive(Default)]
struct Memory {
    log: Tree,
    clock_ms: u64,
}

impl Cast {
    pub fn new(behaviour: Behaviour, epochs: u64) -> Self {
        Self::of(behaviour, epochs, None, |_| {})
    }

    /// In a network with other parameters.
    pub fn under(behaviour: Behaviour, epochs: u64, change: fn(&mut NetworkParams)) -> Self {
        Self::of(behaviour, epochs, None, change)
    }

    /// An honest node whose kernel measures files.
    pub fn measuring(epochs: u64) -> Self {
        let allowed = |(_, content): (&str, &[u8])| digest(&[content]);
        let rules = ImaPolicy {
            allowed: vec![allowed(AGENT)],
            policies: vec![allowed(POLICY)],
            command_lines: vec![IMA_LINE.into()],
        };
        Self::of(Behaviour::Honest, epochs, Some(rules), |_| {})
    }

    fn of(
        behaviour: Behaviour,
        epochs: u64,
        ima: Option<ImaPolicy>,
        change: fn(&mut NetworkParams),
    ) -> Self {
        let mut hypernodes: Vec<Key> = (1..=4).map(Key::new).collect();
        hypernodes.sort_by_key(Key::id);
        let measuring = ima.is_some();
        let booted = |variant, config: &[u8]| match measuring {
            true => MeasuredBoot::with_command_line(variant, config, IMA_LINE),
            false => MeasuredBoot::new(variant, config),
        };
        let class = class(&booted(Variant::Good, &[]).pcrs(), ima);
        let mut params = params(&hypernodes, &class);
        change(&mut params);
        let network = params.network_id();
        let config = format!(
            "network = \"{network}\"\nprovider = \"{PROVIDER}\"\nroster = [\"{}\"]\nlisten = \"127.0.0.1:0\"\n\
             state_dir = \"/s\"\n[tpm]\ntcti = \"device:/dev/tpmrm0\"\nevent_log = \"/l\"\n",
            hypernodes[0].id()
        );
        let rogue = behaviour == Behaviour::Rogue;
        let variant = if rogue { Variant::Rogue } else { Variant::Good };
        let boot = booted(variant, config.as_bytes());
        let (session, tpm) = (Key::new(99), SoftTpm::manufacture());
        Self {
            hypernodes,
            session,
            tpm,
            class,
            params,
            network,
            behaviour,
            epochs,
            absent: None,
            lost: None,
            void: None,
            measuring,
            boot,
        }
    }

    /// What the kernel measured in an epoch.
    pub fn measured_in(&self, epoch: u64) -> ImaList {
        let mut list = ImaList::new(&self.boot.pcrs(), &[AGENT, POLICY]);
        if epoch > 0 {
            list.entries = vec![ImaEntry::of_content(&format!("/run/{epoch}"), AGENT.1)];
        }
        list
    }

    /// The entries of all epochs before this one.
    fn measured_before(&self, epoch: u64) -> ImaList {
        let epochs = (0..epoch).flat_map(|epoch| self.measured_in(epoch).entries);
        ImaList {
            entries: epochs.collect(),
        }
    }

    fn seed(&self, who: usize, epoch: u64) -> Seed {
        seed_of_epoch(&Seed([0x50 + who as u8; 32]), LINKS, Epoch(epoch)).unwrap()
    }

    pub fn region_key(&self, hypernode: usize, id: RegionId) -> RegionKey {
        region_key(&[hypernode as u8; 32], &self.network, &self.tpm.node, id)
    }

    pub fn nonce(&self, outcome: &Outcome, kind: Challenge) -> Nonce {
        let place = ChallengePlace {
            network: self.network,
            node: self.tpm.node,
            hypernode: outcome.hypernode,
            epoch: outcome.place.0,
            slot: outcome.place.1,
            kind,
        };
        place.nonce(&outcome.r)
    }

    /// A draft whose window begins `into` milliseconds into its slot.
    fn draft(&self, who: usize, place: (u64, u32), kind: OutcomeKind, into: u64) -> Draft {
        let (epoch, slot) = (Epoch(place.0), Slot(place.1));
        let start = self.params.slot_start(epoch, slot).0 + into;
        let label = [who as u8, place.0 as u8, place.1 as u8, kind as u8];
        Draft {
            outcome: Outcome {
                schema: 1,
                kind,
                network: self.network,
                node: self.tpm.node,
                hypernode: self.hypernodes[who].id(),
                place: (epoch, slot),
                window: (UnixMs(start), UnixMs(start + 3)),
                class: OutcomeClass::Pass,
                metrics: Vec::new(),
                evidence: Vec::new(),
                policy: self.class.digest(),
                r: sha256(&[b"r", &label]),
                detail: String::new(),
            },
            raw: Vec::new(),
        }
    }

    pub fn evidence(&self, draft: &Outcome, clock_ms: u64, session: &Key) -> Vec<u8> {
        let log = self.boot.log(Banks::Sha256);
        let epoch = draft.place.0.0;
        let ima = self.measuring.then(|| self.measured_in(epoch).encode());
        let clock = TpmClock {
            clock_ms,
            reset_count: 3,
            restart_count: 1,
            safe: true,
        };
        let claims = Claims {
            nonces: vec![(draft.hypernode, self.nonce(draft, Challenge::Attest))],
            node: self.tpm.node,
            uptime_s: 1,
            software: ("assay-agent".into(), "0.1.0".into()),
            freshness: (draft.place.0, Beacon([0; 32])),
            link: link(),
            counters: Vec::new(),
            inventory: None,
            clock,
            session_key: SessionKey(session.public_key()),
            ak_name: self.tpm.ak_name(),
            owner: (self.network, PROVIDER),
            event_log: digest(&[&log]),
            at: draft.window.0,
            snp_report: None,
            ima: ima.as_ref().map(|list| ImaClaim {
                digest: digest(&[list]),
                first: self.measured_before(epoch).entries.len() as u64,
                count: 1,
            }),
            chip_ids: None,
        };
        let mut pcrs: Vec<_> = (0..15).zip(self.boot.pcrs().map(Digest)).collect();
        if ima.is_some() {
            pcrs[10].1 = self.measured_before(epoch + 1).pcr();
        }
        let qualifying = qualifying_data(&claims_bytes(&claims));
        let (attest, signature) = self.tpm.quote(&qualifying, &pcrs, &clock);
        let vendor = VendorEvidence {
            attest: Blob(attest),
            signature: Blob(signature),
            ak_public: Blob(self.tpm.ak_public()),
            pcrs,
            event_log: Blob(log),
            ima_log: ima.map(Blob),
            snp: None,
            inventory: None,
        };
        evidence::seal(claims, &vendor, session)
    }

    pub fn probe_answer(&self, outcome: &Outcome, session: &Key) -> Vec<u8> {
        let answer = ProbeAnswer {
            node: self.tpm.node,
            nonce: self.nonce(outcome, Challenge::Probe),
            link: link(),
            counters: Vec::new(),
            at: outcome.window.0,
        };
        cose::seal(answer, session).bytes().to_vec()
    }

    pub fn control_answer(&self, outcome: &Outcome, by: usize) -> Vec<u8> {
        let nonce = self.nonce(outcome, Challenge::Probe);
        let answer = ControlAnswer {
            hypernode: self.hypernodes[by].id(),
            nonce,
            at: outcome.window.1,
        };
        cose::seal(answer, &self.hypernodes[by]).bytes().to_vec()
    }

    pub fn receipt(&self, who: usize, id: RegionId, root: Digest, session: &Key) -> Vec<u8> {
        let receipt = FillReceipt {
            network: self.network,
            node: self.tpm.node,
            hypernode: self.hypernodes[who].id(),
            region: id.region,
            generation: id.generation,
            key_hash: key_hash(&self.region_key(who, id)),
            blocks: self.class.budget.region_blocks,
            root,
            link: link(),
            at: UnixMs(5),
        };
        let receipt = Blob(cose::seal(receipt, session).bytes().to_vec());
        let countersigned = Countersigned {
            node: self.tpm.node,
            receipt,
            at: UnixMs(6),
        };
        cose::seal(countersigned, &self.hypernodes[who])
            .bytes()
            .to_vec()
    }

    /// An answer that walks the region honestly, or with one altered block.
    pub fn chase_answer(
        &self,
        who: usize,
        outcome: &Outcome,
        id: RegionId,
        altered: bool,
    ) -> Vec<u8> {
        self.chase_answer_counting(who, outcome, (id, altered), [Vec::new(), Vec::new()])
    }

    /// The same with counters of before and after.
    pub fn chase_answer_counting(
        &self,
        who: usize,
        outcome: &Outcome,
        (id, altered): (RegionId, bool),
        [counters_before, counters]: [Vec<Counter>; 2],
    ) -> Vec<u8> {
        let plan: ChasePlan = self.class.chase_plan(id);
        let nonce = self.nonce(outcome, Challenge::Chase);
        let stream = Keystream::new(&self.region_key(who, id)).unwrap();
        let lane = |lane| {
            let states = walk(&plan, &nonce, lane, |index| {
                let mut block = stream.block(index)?;
                block[0] ^= u8::from(altered);
                Ok::<_, CipherError>(block)
            });
            ChaseAnswer::lane_blob(&states.unwrap())
        };
        let answer = ChaseAnswer {
            node: self.tpm.node,
            nonce,
            region: id.region,
            generation: id.generation,
            blocks: plan.blocks,
            steps: plan.steps,
            checkpoint_every: plan.checkpoint_every,
            lanes: (0..plan.lanes).map(lane).collect(),
            link: link(),
            counters,
            at: outcome.window.0,
            counters_before,
        };
        cose::seal(answer, &self.session).bytes().to_vec()
    }

    /// What HyperNode `who` does about the node in an epoch, in the order it is logged.
    fn drafts(&self, who: usize, epoch: u64, beacon: Beacon, memory: &mut Memory) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let id = RegionId {
            region: 0,
            generation: self.params.region_generation(Epoch(epoch)),
        };
        if epoch == 0 {
            drafts.push(self.enrol(who));
        }
        drafts.push(self.attest(who, epoch, memory));
        if epoch.is_multiple_of(self.params.region_epochs) {
            drafts.extend(self.fill(who, epoch, id));
        }
        for slot in self.panel_slots(who, epoch, beacon) {
            drafts.push(self.probe(who, (epoch, slot), beacon));
        }
        drafts.push(self.chase(who, epoch, id));
        drafts
    }

    fn enrol(&self, who: usize) -> Draft {
        let mut draft = self.draft(who, (0, 0), OutcomeKind::Enrol, 1);
        let record = EnrolRecord {
            node: self.tpm.node,
            ek_certificate: Blob(self.tpm.ek_certificate.clone()),
            ek_public: Blob(self.tpm.ek_public.clone()),
            ak_public: Blob(self.tpm.ak_public()),
            ak_name: self.tpm.ak_name(),
        };
        draft.raw.push((record.encode(), media::ENROL_RECORD));
        draft
    }

    fn attest(&self, who: usize, epoch: u64, memory: &mut Memory) -> Draft {
        memory.clock_ms += 1_000;
        let mut draft = self.draft(who, (epoch, 0), OutcomeKind::Attest, 2);
        let raw = self.evidence(&draft.outcome, memory.clock_ms, &self.session);
        draft.raw.push((raw, media::EVIDENCE));
        if self.measuring {
            let parts = (0..epoch).map(|epoch| self.measured_in(epoch).encode());
            draft.raw.extend(parts.map(|part| (part, media::IMA_PART)));
        }
        let rogue = self.behaviour == Behaviour::Rogue;
        draft.outcome.class = if rogue {
            OutcomeClass::Fail
        } else {
            OutcomeClass::Pass
        };
        let tier = u64::from(!rogue) + u64::from(self.measuring);
        draft.outcome.metrics = vec![(metric::TIER, tier)];
        draft
    }

    /// The key's hash and the fill of a region.
    pub fn fill(&self, who: usize, epoch: u64, id: RegionId) -> [Draft; 2] {
        let mut logged = self.draft(who, (epoch, 0), OutcomeKind::RegionKey, 3);
        let key = self.region_key(who, id);
        let raw = [
            &id.region.to_be_bytes()[..],
            &id.generation.to_be_bytes(),
            &key_hash(&key).0,
        ]
        .concat();
        logged.raw.push((raw, media::REGION_KEY_HASH));
        let blocks = self.class.budget.region_blocks;
        let mut fill = self.draft(who, (epoch, 0), OutcomeKind::Fill, 4);
        let root = region_root(&key, blocks).unwrap();
        fill.raw
            .push((self.receipt(who, id, root, &self.session), media::RECEIPT));
        fill.outcome.metrics = vec![
            (metric::FILL_BYTES, u64::from(blocks) * 4096),
            (metric::FILL_US, 9),
        ];
        [logged, fill]
    }

    fn probe(&self, who: usize, (epoch, slot): (u64, u32), beacon: Beacon) -> Draft {
        let seed = self.seed(who, epoch);
        let window = probe_window_ms(&self.params);
        let offset = probe_offset_ms(&seed, &beacon, &self.tpm.node, Slot(slot), window);
        let mut draft = self.draft(who, (epoch, slot), OutcomeKind::Probe, offset + 1);
        if self.behaviour == Behaviour::Silent && epoch == 1 {
            draft.outcome.class = OutcomeClass::Unreachable;
            let others = (0..4).filter(|other| *other != who).take(2);
            let answers = others.map(|by| {
                (
                    self.control_answer(&draft.outcome, by),
                    media::CONTROL_ANSWER,
                )
            });
            draft.raw = answers.collect();
            return draft;
        }
        draft.outcome.metrics = vec![(metric::RTT_US, 300), (metric::ATTEMPTS, 1)];
        draft.raw.push((
            self.probe_answer(&draft.outcome, &self.session),
            media::PROBE_ANSWER,
        ));
        draft
    }

    fn chase(&self, who: usize, epoch: u64, id: RegionId) -> Draft {
        let mut draft = self.draft(who, (epoch, 7), OutcomeKind::Chase, 500);
        let answer = self.chase_answer(who, &draft.outcome, id, false);
        let opened = cose::open::<ChaseAnswer>(&answer, &self.session.public_key());
        draft.outcome.detail = counters::note(opened.unwrap().payload());
        draft.raw.push((answer, media::CHASE_ANSWER));
        let reads = self.class.chase_plan(id).reads();
        draft.outcome.metrics = vec![
            (metric::CHASE_READS, reads),
            (metric::CHASE_US, 1_000),
            (metric::CHASE_READS_PER_S, reads * 1_000),
            (metric::CHASE_IS_IOPS, 0),
        ];
        draft
    }

    fn panel_slots(&self, who: usize, epoch: u64, beacon: Beacon) -> BTreeSet<u32> {
        let seats = assay_aggregate::inputs::seats(&self.params).unwrap();
        let candidates: Vec<_> = seats
            .iter()
            .map(|s| assay_aggregate::draw::Candidate {
                hypernode: s.hypernode,
                operator: s.operator,
                weight: s.weight,
            })
            .collect();
        let on_panel = |slot: &u32| {
            let of = assay_aggregate::draw::PanelOf {
                network: self.network,
                beacon,
                epoch: Epoch(epoch),
                node: self.tpm.node,
                slot: Slot(*slot),
            };
            let panel =
                assay_aggregate::draw::panel(&of, &candidates, self.params.panel_min as usize);
            panel.contains(&self.hypernodes[who].id())
        };
        (0..self.params.slots()).filter(on_panel).collect()
    }
}

/// Tells the story with one lie in it.
pub fn story(cast: &Cast, lie: Lie<'_>) -> Story {
    let mut files = Files::new();
    let mut history = History::new(&cast.params, [cast.class.clone()]).unwrap();
    let mut memories: Vec<Memory> = (0..4).map(|_| Memory::default()).collect();
    files.insert(layout::PARAMS.into(), cast.params.encode());
    files.insert(layout::class(&cast.class.digest()), cast.class.encode());
    let claim = Claim {
        schema: 1,
        network: cast.network,
        node: cast.tpm.node,
        first: Epoch(0),
        last: Epoch(cast.epochs - 1),
        void: cast.void.map(Epoch).into_iter().collect(),
    };
    files.insert(layout::CLAIM.into(), claim.encode());
    for epoch in 0..cast.epochs {
        let beacon = history.beacon(Epoch(epoch)).unwrap();
        let mut entries = Vec::new();
        let mut included = BTreeMap::new();
        for (who, memory) in memories.iter_mut().enumerate() {
            let mut drafts = cast.drafts(who, epoch, beacon, memory);
            lie(Part::Drafts(who, epoch, cast, &mut drafts));
            let mut part = Files::new();
            let mut report = logged(cast, who, epoch, beacon, memory, &drafts, &mut part);
            lie(Part::Report(who, epoch, &mut report));
            if cast.lost == Some((who, epoch)) {
                continue;
            }
            files.extend(part);
            if cast.absent == Some((who, epoch)) || cast.void == Some(epoch) {
                continue;
            }
            let id = cast.hypernodes[who].id();
            let signed = cose::seal(report.clone(), &cast.hypernodes[who])
                .bytes()
                .to_vec();
            let salt = [who as u8 + 7; 32];
            let commit = commitment(&cast.network, Epoch(epoch), &salt, &signed);
            files.insert(layout::report(Epoch(epoch), &id), signed);
            entries.push((id, commit, salt));
            included.insert(id, Included { commit, report });
        }
        if cast.void == Some(epoch) {
            history.void();
            continue;
        }
        files.insert(layout::inputs(Epoch(epoch)), Inputs { entries }.encode());
        settle(cast, &mut history, epoch, &included, lie, &mut files);
    }
    lie(Part::Payload(&mut files));
    let hash = history.committee().hash();
    let committee = CommitteePin {
        epoch: Epoch(0),
        hash,
    };
    let (params, vendors) = (cast.params.clone(), cast.tpm.vendors.clone());
    let trust = TrustFile {
        schema: 1,
        params,
        committee,
        vendors,
    };
    Story {
        payload: files,
        trust,
    }
}

/// Signs and logs the outcomes, writes them with their proofs, and makes the report.
fn logged(
    cast: &Cast,
    who: usize,
    epoch: u64,
    beacon: Beacon,
    memory: &mut Memory,
    drafts: &[Draft],
    files: &mut Files,
) -> Report {
    let key = &cast.hypernodes[who];
    let (id, at) = (key.id(), Epoch(epoch));
    let signed = sign_outcomes(key, at, drafts, files);
    let digests: Vec<Digest> = signed.iter().map(|signed| signed.salted).collect();
    let outcome_root = entries_root(&digests);
    let (slots, places) = slot_leaves(at, &signed, &mut memory.log);
    let count = digests.len() as u32;
    let node_leaf = Leaf::Node(leaf::NodeLeaf {
        epoch: at,
        node: cast.tpm.node,
        count,
        root: outcome_root,
    });
    let index = memory.log.append(node_leaf.hash());
    let (size, root) = (memory.log.size(), memory.log.root());
    let proof = |index| memory.log.inclusion_proof(index, size).unwrap();
    let slot_proof = |(leaf, index): &(Leaf, u64)| SlotProof {
        leaf: Blob(leaf.encode()),
        index: *index,
        path: proof(*index),
    };
    let proofs = Proofs {
        node_leaf: Blob(node_leaf.encode()),
        index,
        path: proof(index),
        slots: slots.iter().map(slot_proof).collect(),
        places,
    };
    files.insert(layout::proofs(at, &id), proofs.encode());
    let note = Checkpoint {
        origin: checkpoint::origin(&cast.network, &id),
        size,
        root,
    };
    let note = sign_checkpoint(&note, &id, |bytes| key.sign(bytes)).unwrap();
    files.insert(layout::checkpoint(at, &id), note.into_bytes());
    let outcomes: Vec<Outcome> = signed.into_iter().map(|signed| signed.outcome).collect();
    Report {
        network: cast.network,
        epoch: at,
        hypernode: id,
        seed: cast.seed(who, epoch),
        log_size: size,
        log_root: root,
        nodes: vec![node_report(
            cast,
            who,
            epoch,
            beacon,
            &outcomes,
            outcome_root,
        )],
        at: cast.params.epoch_end(at),
    }
}

struct SignedOutcome {
    outcome: Outcome,
    salt: [u8; 32],
    salted: Digest,
}

fn sign_outcomes(key: &Key, at: Epoch, drafts: &[Draft], files: &mut Files) -> Vec<SignedOutcome> {
    let mut all = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let mut outcome = draft.outcome.clone();
        for (raw, media) in &draft.raw {
            outcome
                .evidence
                .push(Outcome::reference(&outcome.r, raw, media));
            files.insert(layout::evidence(&digest(&[raw])), raw.clone());
        }
        let signed = cose::seal(outcome.clone(), key).bytes().to_vec();
        let salt = [number as u8; 32];
        let salted = salted_digest(&salt, &signed);
        files.insert(layout::outcome(at, &key.id(), number as u32), signed);
        all.push(SignedOutcome {
            outcome,
            salt,
            salted,
        });
    }
    all
}

/// The slot leaves, appended to the log, and each outcome's place in its own. Another node's entry comes first in each.
fn slot_leaves(
    at: Epoch,
    signed: &[SignedOutcome],
    log: &mut Tree,
) -> (Vec<(Leaf, u64)>, Vec<OutcomePlace>) {
    let mut by_slot: BTreeMap<Slot, Vec<Digest>> = BTreeMap::new();
    let mut positions = Vec::new();
    for SignedOutcome {
        outcome, salted, ..
    } in signed
    {
        let entries = by_slot
            .entry(outcome.place.1)
            .or_insert_with(|| vec![Digest([9; 32])]);
        positions.push(entries.len() as u64);
        entries.push(*salted);
    }
    let append = |(slot, entries): (&Slot, &Vec<Digest>)| {
        let (count, root) = (entries.len() as u32, entries_root(entries));
        let leaf = Leaf::Slot(SlotLeaf {
            epoch: at,
            slot: *slot,
            count,
            root,
        });
        let index = log.append(leaf.hash());
        (leaf, index)
    };
    let leaves = by_slot.iter().map(append).collect();
    let place = |(SignedOutcome { outcome, salt, .. }, position): (&SignedOutcome, u64)| {
        let slot = outcome.place.1;
        let path = merkle::inclusion_proof(&entry_hashes(&by_slot[&slot]), position).unwrap();
        OutcomePlace {
            slot,
            salt: *salt,
            position,
            path,
        }
    };
    (leaves, signed.iter().zip(positions).map(place).collect())
}

fn node_report(
    cast: &Cast,
    who: usize,
    epoch: u64,
    beacon: Beacon,
    outcomes: &[Outcome],
    outcome_root: Digest,
) -> NodeReport {
    let at = Epoch(epoch);
    let attests = outcomes
        .iter()
        .filter(|outcome| outcome.kind == OutcomeKind::Attest);
    let attested: Vec<_> = attests
        .map(|outcome| Attested {
            class: outcome.class,
            tier: outcome.metric(metric::TIER).unwrap_or(0) as u8,
            owner: Some(PROVIDER),
        })
        .collect();
    NodeReport {
        node: cast.tpm.node,
        class: cast.class.digest(),
        cells: summary::cells(
            outcomes,
            at,
            cast.params.slots(),
            &cast.panel_slots(who, epoch, beacon),
        ),
        attest: summary::attest(&attested),
        chase: summary::chase(outcomes),
        outcome_root,
        outcomes: outcomes.len() as u32,
        reveals: reveals(cast, who, at),
    }
}

/// The keys of the period before, once more, and of the one that ends with this epoch.
fn reveals(cast: &Cast, who: usize, at: Epoch) -> Vec<RegionReveal> {
    let over = cast.params.region_generation(at.next());
    let first = cast.params.region_generation(at).saturating_sub(1);
    let reveal = |generation| RegionReveal {
        region: 0,
        generation,
        key: cast.region_key(
            who,
            RegionId {
                region: 0,
                generation,
            },
        ),
    };
    (first..over).map(reveal).collect()
}

/// Aggregates, signs the root and writes the epoch's ledger half.
fn settle(
    cast: &Cast,
    history: &mut History,
    epoch: u64,
    included: &BTreeMap<HyperNodeId, Included>,
    lie: Lie<'_>,
    files: &mut Files,
) {
    let at = Epoch(epoch);
    let registration = Registration {
        node: cast.tpm.node,
        provider: PROVIDER,
        class: cast.class.digest(),
    };
    let outcome = history.aggregate([registration], included, BUDGET).unwrap();
    let mut leaf = outcome.leaves[0];
    lie(Part::Leaf(epoch, &mut leaf));
    let rewards = outcome.rewards.iter().map(RewardLeaf::hash);
    let tree = OutcomeTree::new(rewards.chain([leaf.hash()]).collect());
    let mut root = EpochRoot {
        root: tree.root(),
        ..outcome.root
    };
    lie(Part::Root(epoch, &mut root));
    let digest = root.digest(cast.params.chain_id, &cast.params.contract);
    let member = |address: &Address| cast.params.roster.iter().position(|e| e.ledger == *address);
    let committee: Vec<_> = history
        .committee()
        .members()
        .iter()
        .map(|m| (m.address, m.weight))
        .collect();
    let signature = |(address, _): &(Address, u128)| {
        let who = member(address).unwrap();
        Blob(sign(&digest, &ledger_key(who)).unwrap().to_vec())
    };
    let mut signatures: Vec<Blob> = committee.iter().map(signature).collect();
    lie(Part::Signatures(epoch, &mut signatures));
    let signed = SignedRoot {
        epoch: root.epoch,
        round: root.round,
        input_set: root.input_set,
        committee,
        root: root.root,
        leaf_count: root.leaf_count,
        evidence_root: root.evidence_root,
        policy_digest: root.policy_digest,
        cumulative_reward: root.cumulative_reward,
        next_committee: root.next_committee,
        signatures,
    };
    files.insert(layout::root(at), signed.encode());
    let proven = ProvenLeaf {
        abi: Blob(leaf.abi()),
        proof: tree.proof(&leaf.hash()).unwrap(),
    };
    files.insert(layout::leaf(at), proven.encode());
    history.posted(&outcome, included);
}

fn link() -> ChainLink {
    ChainLink {
        sequence: 0,
        previous: Digest([0; 32]),
    }
}

fn ledger_key(who: usize) -> [u8; 32] {
    [who as u8 + 0x31; 32]
}

fn params(hypernodes: &[Key], class: &HardwareClass) -> NetworkParams {
    let entry = |(who, key): (usize, &Key)| {
        let probe = Keccak([1; 32]);
        let ledger = recover(&probe, &sign(&probe, &ledger_key(who)).unwrap()).unwrap();
        RosterEntry {
            id: key.id(),
            operator: Digest([who as u8; 32]),
            ledger,
            stake: Stake(STAKES[who] * 1_000),
            seed_end: seed_end(&Seed([0x50 + who as u8; 32]), LINKS),
        }
    };
    NetworkParams {
        chain_id: 31_337,
        contract: Address([1; 20]),
        genesis_unix_ms: UnixMs(1_793_000_000_000),
        epoch_ms: 8_000,
        slot_ms: 1_000,
        clock_skew_ms_max: 100,
        panel_min: 3,
        operator_cap_bps: Bps(4_000),
        systemic_min_providers: 0,
        control_probes: 2,
        persistence: (1, 1),
        reaudit_seats: 0,
        region_epochs: 2,
        seed_chain_links: LINKS,
        commit_ms: 1,
        reveal_ms: 2,
        vote_ms: 3,
        void_after_ms: 4,
        classes: vec![class.digest()],
        roster: hypernodes.iter().enumerate().map(entry).collect(),
    }
}

fn class(pcrs: &[[u8; 32]], ima: Option<ImaPolicy>) -> ValidClass {
    let pinned = pcrs.iter().take(8).enumerate();
    let class = HardwareClass {
        schema: 2,
        name: "test".into(),
        summary: "test".into(),
        hardware: Hardware {
            cpu: "any".into(),
            cores: 1,
            memory_mib: 1,
            disk_gib: 1,
            nic_mbps: 1,
        },
        sla: Sla {
            availability_ppm: Ppm(700_000),
            coverage_ppm_min: Ppm(500_000),
            chase_reads_per_s_min: 1,
            chase_liveness_reads_per_s_min: 1,
        },
        budget: Budget {
            region_blocks: 16,
            chase_lanes: 2,
            chase_steps: 8,
            chase_checkpoint_every: 4,
            probe_attempts: 3,
        },
        money: Money {
            collateral_gwei_min: 1_000,
            reward_gwei_per_epoch: 10,
            slash_bps: Bps(1_000),
        },
        attestation: AttestationPolicy {
            ima,
            ..AttestationPolicy::of_pcrs(
                1,
                pinned
                    .map(|(index, value)| PcrReference {
                        index: index as u8,
                        allowed: vec![Digest(*value)],
                    })
                    .collect(),
            )
        },
    };
    ValidClass::new(class).unwrap()
}
