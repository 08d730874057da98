//! One real object of every kind the product signs or stores, made by the product's own encoders.
//! The CDDL test, the foreign decoder and the fuzz targets' seeds all start from these.

use assay_protocol::answers::{
    ChainLink, ChaseAnswer, ControlAnswer, Counter, Countersigned, EnrolRecord, FillReceipt,
    ProbeAnswer, counter,
};
use assay_protocol::class::{
    AttestationPolicy, BootPolicy, Budget, ChassisPolicy, Hardware, HardwareClass, ImaPolicy,
    ImagePolicy, Money, PcrReference, Sla, TcbFloor,
};
use assay_protocol::cose::{self, Payload, PublicKey, Signer};
use assay_protocol::evidence::{
    self, AmdChain, Claims, ImaClaim, SnpEvidence, TpmClock, VendorEvidence,
};
use assay_protocol::ids::{
    Address, AkName, Beacon, Bps, ChipId, Digest, Digest384, Epoch, HyperNodeId, Keccak, NetworkId,
    NodeId, Nonce, Ppm, RegionKey, Seed, SessionKey, Slot, Stake, UnixMs,
};
use assay_protocol::inventory::{self, Cpu, Disk, Inventory, Nic};
use assay_protocol::item::{Blob, Item};
use assay_protocol::layout::{
    Claim, Inputs, OutcomePlace, Proofs, ProvenLeaf, SignedRoot, SlotProof,
};
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_protocol::report::{
    AttestSummary, ChaseKind, ChaseSummary, Commit, NodeReport, Proposal, RegionReveal, Report,
    Reveal, RootSignature, Vote,
};
use assay_protocol::succession::{
    LineageRecord, Link, Member, MemberSignature, Succession, succession,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

pub const NETWORK: NetworkId = NetworkId([0x11; 32]);
pub const PROVIDER: Address = Address([0x22; 20]);
pub const NODE: NodeId = NodeId([0x33; 32]);
pub const NONCE: Nonce = Nonce([0x44; 32]);
const AT: UnixMs = UnixMs(1_760_000_000_123);
const DIGEST: Digest = Digest([0x55; 32]);
const EPOCH: Epoch = Epoch(7);

/// One encoded object and the CDDL rule that describes it.
pub struct Sample {
    pub rule: &'static str,
    pub bytes: Vec<u8>,
}

/// A fixed Ed25519 key: the same samples on every run.
pub struct SampleKey(Ed25519KeyPair);

impl SampleKey {
    pub fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }
}

impl Signer for SampleKey {
    fn public_key(&self) -> PublicKey {
        self.0.public_key().as_ref().try_into().unwrap()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}

/// The key all samples are signed with: session key of the node and key of the HyperNode alike.
pub fn key() -> SampleKey {
    SampleKey::new(1)
}

pub fn hypernode() -> HyperNodeId {
    HyperNodeId(key().public_key())
}

/// Objects that travel or lie signed, evidence first.
pub fn signed() -> Vec<Sample> {
    let evidence = evidence::seal(claims(), &vendor(), &key());
    let complete = evidence::seal(complete_claims(), &complete_vendor(), &key());
    let mut all: Vec<Sample> = [evidence, complete]
        .map(|bytes| Sample {
            rule: "SignedEvidence",
            bytes,
        })
        .into();
    all.extend(answers());
    all.push(sign("SignedOutcome", outcome()));
    all.extend(board());
    all
}

/// Records that are stored or hashed as they are.
pub fn records() -> Vec<Sample> {
    let mut all = vec![
        record("NetworkParams", &params()),
        record("LineageRecord", &lineage()),
        record("HardwareClass", &class()),
        record("EnrolRecord", &enrol_record()),
        record("Inventory", &inventory()),
        record("AmdChain", &amd_chain()),
    ];
    all.extend(layout());
    all
}

fn record(rule: &'static str, value: &impl Item) -> Sample {
    Sample {
        rule,
        bytes: value.encode(),
    }
}

fn sign<T: Payload>(rule: &'static str, payload: T) -> Sample {
    let bytes = cose::seal(payload, &key()).bytes().to_vec();
    Sample { rule, bytes }
}

fn amd_chain() -> AmdChain {
    AmdChain {
        vcek: Blob(vec![0x30, 1]),
        ask: Blob(vec![0x30, 2]),
        ark: Blob(vec![0x30, 3]),
    }
}

fn link() -> ChainLink {
    ChainLink {
        sequence: 300,
        previous: DIGEST,
    }
}

fn counters() -> Vec<Counter> {
    let counter = |id, scope: &str, value| Counter {
        id,
        scope: scope.into(),
        value,
    };
    vec![
        counter(counter::DISK_READ_IOS, "vda", 1 << 40),
        counter(counter::UPTIME_MS, "", 7),
    ]
}

pub fn claims() -> Claims {
    Claims {
        nonces: vec![(hypernode(), NONCE), (HyperNodeId([1; 32]), Nonce([2; 32]))],
        node: NODE,
        uptime_s: 86_400,
        software: ("assay-agent".into(), "0.1.0".into()),
        freshness: (EPOCH, Beacon([0x66; 32])),
        link: link(),
        counters: counters(),
        inventory: None,
        clock: TpmClock {
            clock_ms: 999_000,
            reset_count: 7,
            restart_count: 1,
            safe: true,
        },
        session_key: SessionKey(key().public_key()),
        ak_name: AkName([0x0b; 34]),
        owner: (NETWORK, PROVIDER),
        event_log: DIGEST,
        at: AT,
        snp_report: None,
        ima: None,
        chip_ids: None,
    }
}

/// Claims of a node that has everything that may be absent.
fn complete_claims() -> Claims {
    let ima = ImaClaim {
        digest: DIGEST,
        first: 100,
        count: 23,
    };
    Claims {
        inventory: Some(DIGEST),
        snp_report: Some(DIGEST),
        ima: Some(ima),
        chip_ids: Some(vec![ChipId([0xc1; 64]), ChipId([0xc2; 64])]),
        ..claims()
    }
}

pub fn inventory() -> Inventory {
    let disk = |name: &str, serial| Disk {
        name: name.into(),
        model: "Example Disk".into(),
        size_bytes: 1 << 40,
        serial,
        rotates: false,
    };
    let nic = |name: &str, speed_mbps| Nic {
        name: name.into(),
        driver: "example".into(),
        speed_mbps,
    };
    Inventory {
        schema: inventory::SCHEMA,
        cpu: Cpu {
            model: "Example CPU".into(),
            sockets: 2,
            cores: 64,
            threads: 128,
            microcode: "0xa101148".into(),
        },
        memory_bytes: 1 << 38,
        disks: vec![disk("nvme0n1", Some(DIGEST)), disk("nvme1n1", None)],
        nics: vec![nic("eth0", Some(25_000)), nic("eth1", None)],
    }
}

fn complete_vendor() -> VendorEvidence {
    VendorEvidence {
        ima_log: Some(Blob(vec![0; 50])),
        snp: Some(SnpEvidence {
            report: Blob(vec![2; 1_184]),
            certificates: Blob(vec![0; 24]),
        }),
        inventory: Some(Blob(inventory().encode())),
        ..vendor()
    }
}

fn vendor() -> VendorEvidence {
    VendorEvidence {
        attest: Blob(b"\xffTCG".to_vec()),
        signature: Blob(vec![0, 0x18]),
        ak_public: Blob(vec![0, 0x23]),
        pcrs: (0..15).map(|pcr| (pcr, DIGEST)).collect(),
        event_log: Blob(vec![0; 40]),
        ima_log: None,
        snp: None,
        inventory: None,
    }
}

fn receipt() -> FillReceipt {
    FillReceipt {
        network: NETWORK,
        node: NODE,
        hypernode: hypernode(),
        region: 0,
        generation: 3,
        key_hash: DIGEST,
        blocks: 4_096,
        root: DIGEST,
        link: link(),
        at: AT,
    }
}

fn answers() -> Vec<Sample> {
    let signed_receipt = cose::seal(receipt(), &key()).bytes().to_vec();
    vec![
        sign(
            "SignedProbeAnswer",
            ProbeAnswer {
                node: NODE,
                nonce: NONCE,
                link: link(),
                counters: counters(),
                at: AT,
            },
        ),
        sign("SignedFillReceipt", receipt()),
        sign(
            "SignedCountersigned",
            Countersigned {
                node: NODE,
                receipt: Blob(signed_receipt),
                at: AT,
            },
        ),
        sign("SignedChaseAnswer", chase_answer()),
        sign(
            "SignedControlAnswer",
            ControlAnswer {
                hypernode: hypernode(),
                nonce: NONCE,
                at: AT,
            },
        ),
    ]
}

fn chase_answer() -> ChaseAnswer {
    ChaseAnswer {
        node: NODE,
        nonce: NONCE,
        region: 0,
        generation: 3,
        blocks: 4_096,
        steps: 8,
        checkpoint_every: 4,
        lanes: vec![Blob(vec![7; 64]), Blob(vec![8; 64])],
        link: link(),
        counters: counters(),
        at: AT,
        counters_before: counters(),
    }
}

fn enrol_record() -> EnrolRecord {
    EnrolRecord {
        node: NODE,
        ek_certificate: Blob(vec![0x30, 0x82]),
        ek_public: Blob(vec![0, 1]),
        ak_public: Blob(vec![0, 0x23]),
        ak_name: AkName([0x0b; 34]),
    }
}

fn outcome() -> Outcome {
    let r = [9; 32];
    Outcome {
        schema: 1,
        kind: OutcomeKind::Probe,
        network: NETWORK,
        node: NODE,
        hypernode: hypernode(),
        place: (EPOCH, Slot(12)),
        window: (UnixMs(AT.0 - 20), AT),
        class: OutcomeClass::Pass,
        metrics: vec![(metric::RTT_US, 812), (metric::ATTEMPTS, 1)],
        evidence: vec![Outcome::reference(&r, b"raw", media::PROBE_ANSWER)],
        policy: DIGEST,
        r,
        detail: String::new(),
    }
}

pub fn report() -> Report {
    let node = |owner| NodeReport {
        node: NODE,
        class: DIGEST,
        cells: Blob(vec![1, 1, 2, 3, 0]),
        attest: AttestSummary {
            class: OutcomeClass::Pass,
            tier: 1,
            owner,
            chips: owner.map(|_| DIGEST),
        },
        chase: ChaseSummary {
            class: OutcomeClass::Pass,
            reads_per_s: 41_000,
            kind: ChaseKind::Liveness,
        },
        outcome_root: DIGEST,
        outcomes: 31,
        reveals: vec![RegionReveal {
            region: 0,
            generation: 3,
            key: RegionKey([0x77; 32]),
        }],
    };
    let nobody = NodeReport {
        node: NodeId([0x34; 32]),
        ..node(None)
    };
    Report {
        network: NETWORK,
        epoch: EPOCH,
        hypernode: hypernode(),
        seed: Seed([0x88; 32]),
        log_size: 900,
        log_root: DIGEST,
        nodes: vec![node(Some(PROVIDER)), nobody],
        at: AT,
    }
}

fn board() -> Vec<Sample> {
    let signed_report = cose::seal(report(), &key()).bytes().to_vec();
    let (network, epoch, hypernode, at) = (NETWORK, EPOCH, hypernode(), AT);
    let commit = Commit {
        network,
        epoch,
        hypernode,
        commitment: DIGEST,
        at,
    };
    let reveal = Reveal {
        network,
        epoch,
        hypernode,
        salt: [3; 32],
        report: Blob(signed_report),
        at,
    };
    let proposal = Proposal {
        network,
        epoch,
        round: 0,
        hypernode,
        entries: vec![(hypernode, DIGEST)],
        at,
    };
    let vote = Vote {
        network,
        epoch,
        round: 0,
        hypernode,
        input_set: DIGEST,
        at,
    };
    let root = RootSignature {
        network,
        epoch,
        round: 0,
        hypernode,
        digest: Keccak([4; 32]),
        signature: [5; 65],
        at,
    };
    vec![
        sign("SignedReport", report()),
        sign("SignedCommit", commit),
        sign("SignedReveal", reveal),
        sign("SignedProposal", proposal),
        sign("SignedVote", vote),
        sign("SignedRootSignature", root),
        sign("SignedSuccession", said(&params(), hypernode)),
    ]
}

const SUCCESSORS: [Member; 1] = [Member {
    hypernode: HyperNodeId([2; 32]),
    weight: 7,
}];

/// On the board of [`EPOCH`].
fn said(params: &NetworkParams, hypernode: HyperNodeId) -> Succession {
    let from = Epoch(EPOCH.0 + 2);
    succession(params, NETWORK, (from, &SUCCESSORS), hypernode)
}

/// A network of one HyperNode that another one follows.
fn lineage() -> LineageRecord {
    let own = hypernode();
    let mut params = params();
    params.roster.truncate(2);
    params.roster[1].stake = Stake(0);
    params.roster[0].id = own;
    params.roster.sort_by_key(|entry| entry.id);
    let from = EPOCH;
    let said = succession(&params, params.network_id(), (from, &SUCCESSORS), own);
    let signature = cose::signature_of(&cose::seal(said, &key())).unwrap();
    let link = Link {
        from,
        members: SUCCESSORS.to_vec(),
        signatures: vec![MemberSignature {
            hypernode: own,
            signature,
        }],
    };
    let links = vec![link];
    LineageRecord { params, links }
}

pub fn params() -> NetworkParams {
    let entry = |n: u8, stake| RosterEntry {
        id: HyperNodeId([n; 32]),
        operator: Digest([n; 32]),
        ledger: Address([n; 20]),
        stake: Stake(stake),
        seed_end: Seed([n; 32]),
    };
    NetworkParams {
        chain_id: 31_337,
        contract: Address([1; 20]),
        genesis_unix_ms: AT,
        epoch_ms: 30_000,
        slot_ms: 1_000,
        clock_skew_ms_max: 500,
        panel_min: 2,
        operator_cap_bps: Bps(5_000),
        systemic_min_providers: 0,
        control_probes: 2,
        persistence: (1, 1),
        reaudit_seats: 0,
        region_epochs: 2,
        seed_chain_links: 64,
        commit_ms: 4_000,
        reveal_ms: 8_000,
        vote_ms: 12_000,
        void_after_ms: 20_000,
        absent_epochs: 0,
        gwei: 1_000_000_000,
        classes: vec![DIGEST],
        // One stake fits 64 bits, the other is a big number.
        roster: vec![entry(1, 1_000), entry(2, 40_000_000_000_000_000_000)],
    }
}

pub fn class() -> HardwareClass {
    HardwareClass {
        schema: 2,
        name: "sample".into(),
        summary: "A class for tests.".into(),
        hardware: Hardware {
            cpu: "any".into(),
            cores: 1,
            memory_mib: 512,
            disk_gib: 1,
            nic_mbps: 100,
        },
        sla: Sla {
            availability_ppm: Ppm(950_000),
            coverage_ppm_min: Ppm(800_000),
            chase_reads_per_s_min: 1_000,
            chase_liveness_reads_per_s_min: 20,
        },
        budget: Budget {
            region_blocks: 4_096,
            chase_lanes: 4,
            chase_steps: 64,
            chase_checkpoint_every: 16,
            probe_attempts: 3,
        },
        money: Money {
            collateral_gwei_min: 10_000_000_000,
            reward_gwei_per_epoch: 100_000_000,
            slash_bps: Bps(1_000),
        },
        attestation: attestation(),
    }
}

/// Every rule that a class may make.
fn attestation() -> AttestationPolicy {
    let pinned = |index| PcrReference {
        index,
        allowed: vec![DIGEST],
    };
    AttestationPolicy {
        tier_min: 3,
        pcrs: vec![pinned(4), pinned(11)],
        boot: Some(BootPolicy {
            secure_boot: true,
            command_lines: Some(vec!["ro quiet".into()]),
            boot_applications: Some(vec![DIGEST]),
            firmware_versions: None,
        }),
        image: Some(ImagePolicy {
            command_lines: vec![format!("roothash={DIGEST}")],
        }),
        ima: Some(ImaPolicy {
            allowed: vec![DIGEST],
            policies: vec![DIGEST],
            command_lines: vec!["ima_policy=tcb".into()],
        }),
        chassis: Some(ChassisPolicy {
            measurements: vec![Digest384([0x77; 48])],
            tcb_min: vec![TcbFloor {
                product: "Turin".into(),
                fmc: Some(1),
                bootloader: 1,
                tee: 1,
                snp: 4,
                microcode: 81,
            }],
        }),
    }
}

fn layout() -> Vec<Sample> {
    let claim = Claim {
        schema: 1,
        network: NETWORK,
        node: NODE,
        first: EPOCH,
        last: Epoch(8),
        void: vec![Epoch(8)],
    };
    let root = SignedRoot {
        epoch: EPOCH,
        round: 0,
        input_set: DIGEST,
        committee: vec![(PROVIDER, 1_000), (Address([0x23; 20]), 1 << 80)],
        root: Keccak([4; 32]),
        leaf_count: 3,
        evidence_root: DIGEST,
        policy_digest: DIGEST,
        cumulative_reward: 1 << 80,
        next_committee: Keccak([6; 32]),
        signatures: vec![Blob(vec![5; 65]), Blob(Vec::new())],
        roster: params().roster,
    };
    let leaf = ProvenLeaf {
        abi: Blob(vec![0; 18 * 32]),
        proof: vec![Keccak([4; 32])],
    };
    let inputs = Inputs {
        entries: vec![(hypernode(), DIGEST, [3; 32])],
    };
    let proofs = Proofs {
        node_leaf: Blob(vec![1; 80]),
        index: 12,
        path: vec![DIGEST],
        slots: vec![SlotProof {
            leaf: Blob(vec![0; 64]),
            index: 11,
            path: vec![DIGEST, DIGEST],
        }],
        places: vec![OutcomePlace {
            slot: Slot(12),
            salt: [9; 32],
            position: 0,
            path: Vec::new(),
        }],
    };
    vec![
        record("Claim", &claim),
        record("SignedRoot", &root),
        record("ProvenLeaf", &leaf),
        record("Inputs", &inputs),
        record("Proofs", &proofs),
    ]
}
