//! A whole appraisal, from the bytes received to the tier: of a TPM alone (tier 1), and of TPM, IMA list and SEV-SNP
//! report (tier 3).

use super::bare::{Signed, Work};
use super::chips;
use super::logs::template;
use crate::harness::Pair;
use assay_appraisal::appraise::{
    Configurations, Endorsements, Expectation, ImaBefore, Policy, verify,
};
use assay_appraisal::checks::Mode;
use assay_appraisal::eventlog;
use assay_appraisal::ima::List;
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::SnpRoots;
use assay_appraisal::tpm::ak::AttestationKey;
use assay_protocol::cbor::Value;
use assay_protocol::class::{
    AttestationPolicy, ChassisPolicy, ImaPolicy, ImagePolicy, PcrReference, TcbFloor, ValidClass,
};
use assay_protocol::cose::{self, Payload as _, Signer as _};
use assay_protocol::evidence::{self, Claims, SignedEvidence, SnpEvidence};
use assay_protocol::hash::sha256;
use assay_protocol::ids::{
    Address, ChipId, Digest, Digest384, HyperNodeId, NetworkId, NodeId, Nonce, SessionKey,
};
use assay_protocol::item::Blob;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use assay_protocol::trust::{RootKind, TrustBundle};
use assay_testbed::boot_log::{self, MeasuredBoot, Variant};
use assay_testbed::snp::{Certificates, Chip, Product, cert_table};
use assay_testbed::soft_node::{self, SoftNode, config};
use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use std::hint::black_box;
use std::sync::LazyLock;

const NETWORK: NetworkId = NetworkId([0x11; 32]);
const PROVIDER: Address = Address([0x22; 20]);
const NODE: NodeId = NodeId([3; 32]);
const HYPERNODE: HyperNodeId = HyperNodeId([4; 32]);
const NONCE: Nonce = Nonce([5; 32]);
const PROBE: [u8; 48] = [0x77; 48];
const COMMAND_LINE: &str = "ima_policy=tcb";
const IMA_POLICY: (&str, &[u8]) = ("/etc/ima/ima-policy", b"measure func=BPRM_CHECK");

/// Files of a small IMA list: an appliance that runs one agent.
const FILES: usize = 64;

/// Tier 1.
pub fn of_a_tpm() -> Vec<Pair> {
    vec![Node::tpm_alone().pair("TPM (tier 1)", 1)]
}

/// Tier 3, by an image and by a short and a long list of files.
pub fn of_everything() -> Vec<Pair> {
    vec![
        Node::with_image().pair("TPM + SEV-SNP, image (tier 3)", 3),
        Node::with_ima(0).pair("TPM + SEV-SNP + IMA, class of 64 files (tier 3)", 3),
        Node::with_ima(4096).pair("the same, class of 4160 files", 3),
    ]
}

struct Node {
    node: SoftNode,
    class: ValidClass,
    roots: SnpRoots,
    vcek: Option<Vec<u8>>,
}

impl Node {
    fn tpm_alone() -> Self {
        let node = SoftNode::new(NODE, (NETWORK, PROVIDER));
        let rules = AttestationPolicy::of_pcrs(1, pinned(&node, 8));
        Self {
            class: class(rules),
            node,
            roots: SnpRoots::amd(),
            vcek: None,
        }
    }

    /// A probe guest on the same machine.
    fn with_chip(mut node: SoftNode, mut rules: AttestationPolicy) -> Self {
        let chip = Chip::new(Product::Genoa);
        node.chip_ids = Some(vec![ChipId([9; 64]), ChipId(chip.chip_id)]);
        let vcek = chip.vcek();
        node.snp = Some(probe_guest(chip, &vcek));
        rules.chassis = Some(chassis_rules());
        Self {
            class: class(rules),
            node,
            roots: chips::roots(Product::Genoa),
            vcek: Some(vcek),
        }
    }

    fn with_image() -> Self {
        let node = SoftNode::new(NODE, (NETWORK, PROVIDER));
        let mut pins = pinned(&node, 12);
        pins.retain(|pin| pin.index != 10);
        let mut rules = AttestationPolicy::of_pcrs(3, pins);
        rules.image = Some(ImagePolicy {
            command_lines: vec![boot_log::COMMAND_LINE.into()],
        });
        Self::with_chip(node, rules)
    }

    /// The class lists the files of the node and `others`.
    fn with_ima(others: u32) -> Self {
        let mut node = SoftNode::new(NODE, (NETWORK, PROVIDER));
        let config = config((NETWORK, PROVIDER));
        node.boot = MeasuredBoot::with_command_line(Variant::Good, config.as_bytes(), COMMAND_LINE);
        let names: Vec<String> = (1..FILES)
            .map(|n| format!("/usr/bin/program-{n}"))
            .collect();
        let programs = names.iter().map(|name| (name.as_str(), name.as_bytes()));
        let files: Vec<(&str, &[u8])> = programs.chain([IMA_POLICY]).collect();
        let node = node.with_ima(&files);
        let mut rules = AttestationPolicy::of_pcrs(3, pinned(&node, 5));
        rules.ima = Some(ima_rules(&files, others));
        Self::with_chip(node, rules)
    }

    fn pair(self, name: &str, tier: u8) -> Pair {
        let bytes = self.node.evidence(&[(HYPERNODE, NONCE)]);
        let name = format!("{name}, {} KiB", bytes.len() / 1024);
        let bare = self.bare(&bytes);
        let ak = AttestationKey::from_bytes(&self.node.ak.public()).unwrap();
        Pair {
            name,
            bytes: 0,
            bare: Box::new(move || bare.run()),
            ours: Box::new(move || assert_eq!(self.appraise(&bytes, &ak), tier)),
        }
    }

    fn appraise(&self, bytes: &[u8], ak: &AttestationKey) -> u8 {
        static CACHE: LazyLock<ChainCache> = LazyLock::new(ChainCache::new);
        static CONFIGURATIONS: LazyLock<Configurations> = LazyLock::new(Configurations::new);
        let expected = Expectation {
            node: NODE,
            hypernode: HYPERNODE,
            nonce: NONCE,
            session_key: SessionKey(self.node.session.public_key()),
            ak,
            last_clock: None,
        };
        let trust = TrustBundle {
            allowed_kinds: vec![RootKind::Test],
            roots: Vec::new(),
        };
        let policy = Policy {
            network: NETWORK,
            class: &self.class,
            root_kind: Some(RootKind::Test),
            firmware_min: 7,
            trust: &trust,
            configurations: &CONFIGURATIONS,
            endorsements: Endorsements {
                at: chips::AT,
                roots: &self.roots,
                chain: None,
                crl: None,
                cache: &CACHE,
            },
            ima_before: ImaBefore::Unknown,
        };
        let appraisal = verify(black_box(bytes), &expected, &policy, Mode::Verify);
        black_box(appraisal).unwrap().tier
    }

    /// Every signature once, and every byte once that a digest or a PCR covers.
    fn bare(&self, bytes: &[u8]) -> Work {
        let session = self.node.session.public_key();
        let opened = evidence::open(bytes, &session).unwrap();
        let (protected, collection) = sealed(bytes);
        let payload = opened.claims_bytes();
        let mut work = Work::default();
        let signed = sig_structure(&protected, payload);
        let signature = &bytes[bytes.len() - 64..];
        work.signed
            .push(Signed::ed25519(&session, (&signed, signature)));
        let vendor = opened.vendor();
        let raw = &vendor.signature.0;
        let numbers = [&raw[6..38], &raw[40..72]].concat();
        let point = AttestationKey::from_bytes(&vendor.ak_public.0)
            .unwrap()
            .key()
            .bytes();
        let algorithm = &ECDSA_P256_SHA256_FIXED;
        let quote = Signed::new(algorithm, &point, (&vendor.attest.0, &numbers));
        work.signed.push(quote);
        work.hashed
            .extend([session.to_vec(), collection, payload.to_vec()]);
        let values = vendor.pcrs.iter().flat_map(|(_, value)| value.0);
        work.hashed.push(values.collect());
        logs(&mut work, &opened);
        if let (Some(snp), Some(vcek)) = (&vendor.snp, &self.vcek) {
            work.signed
                .push(chips::report_signature(&snp.report.0, vcek));
            // The digest in the claims, nonces and report data, and the digests the certificates are found by.
            work.hashed.push(snp.report.0.clone());
            work.hashed.extend([vec![0; 64], vec![0; 128]]);
            work.hashed.push(snp.certificates.0.clone());
        }
        work
    }
}

/// Digests of both logs, of each event's data and each template, and one extend for each.
fn logs(work: &mut Work, opened: &SignedEvidence) {
    let bytes = &opened.vendor().event_log.0;
    work.hashed.push(bytes.clone());
    for event in eventlog::parse(bytes).unwrap().events {
        work.hashed.extend([event.data.to_vec(), vec![0; 64]]);
    }
    let Some(bytes) = &opened.vendor().ima_log else {
        return;
    };
    work.hashed.push(bytes.0.clone());
    for entry in List::read(&bytes.0, None).unwrap().entries() {
        let data = template(&entry.unwrap());
        work.hashed.extend([data.clone(), vec![0; 64]]);
        work.hashed_sha1.push(data);
    }
}

/// Protected header and CMW collection, as received.
fn sealed(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let parts = cose::split(Claims::TYP, EVIDENCE_BYTES_MAX, bytes).unwrap();
    let Value::Map(unprotected) = parts.unprotected else {
        panic!("no map");
    };
    match unprotected.as_slice() {
        [(_, Value::Bytes(collection))] => (parts.protected.into_owned(), collection.to_vec()),
        _ => panic!("no collection"),
    }
}

fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    Value::Array(vec![
        Value::text("Signature1"),
        Value::bytes(protected),
        Value::bytes([]),
        Value::bytes(payload),
    ])
    .encode()
}

fn pinned(node: &SoftNode, count: usize) -> Vec<PcrReference> {
    let reference = |(index, value): (u8, Digest)| PcrReference {
        index,
        allowed: vec![Digest([0xee; 32]), value],
    };
    node.pcrs().into_iter().take(count).map(reference).collect()
}

fn ima_rules(files: &[(&str, &[u8])], others: u32) -> ImaPolicy {
    let digest = |content: &[u8]| Digest(sha256(&[content]));
    let programs = files.iter().filter(|file| **file != IMA_POLICY);
    let mut allowed: Vec<Digest> = programs.map(|(_, content)| digest(content)).collect();
    allowed.extend((0..others).map(|n| digest(&n.to_be_bytes())));
    allowed.sort();
    ImaPolicy {
        allowed,
        policies: vec![digest(IMA_POLICY.1)],
        command_lines: vec![COMMAND_LINE.into()],
    }
}

fn chassis_rules() -> ChassisPolicy {
    ChassisPolicy {
        measurements: vec![Digest384(PROBE)],
        tcb_min: vec![TcbFloor {
            product: Product::Genoa.name().into(),
            fmc: None,
            bootloader: 1,
            tee: 0,
            snp: 1,
            microcode: 1,
        }],
    }
}

type Probe = Box<dyn Fn([u8; 64]) -> SnpEvidence + Send + Sync>;

fn probe_guest(chip: Chip, vcek: &[u8]) -> Probe {
    let table = cert_table(&Certificates::of(chip.product), vcek);
    Box::new(move |report_data| {
        let report = chip.report(3).with(0x50, &report_data).with(0x90, &PROBE);
        SnpEvidence {
            report: Blob(chip.sign(report)),
            certificates: Blob(table.clone()),
        }
    })
}

fn class(attestation: AttestationPolicy) -> ValidClass {
    ValidClass::new(soft_node::class(attestation)).unwrap()
}
