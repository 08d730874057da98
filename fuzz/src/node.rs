//! The testbed's node as fuzzing needs it: whatever boot log, IMA list and SEV-SNP report it is given, its TPM and its
//! chip have signed it. What its class asks for, it has.

use crate::samples::{self, NETWORK, NODE, NONCE, PROVIDER};
use assay_appraisal::appraise::{
    self, Appraisal, Configurations, Endorsements, Expectation, ImaBefore, Policy, Refused,
};
use assay_appraisal::checks::Mode;
use assay_appraisal::ima::{self, BankForm, List, Options, Position};
use assay_appraisal::quote::PcrValues;
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::{self, SnpRoots};
use assay_appraisal::tpm::ak::AttestationKey;
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_protocol::class::{
    AttestationPolicy, ChassisPolicy, HardwareClass, ImaPolicy, ImagePolicy, PcrReference,
    TcbFloor, ValidClass,
};
use assay_protocol::cose::Signer as _;
use assay_protocol::evidence::{self, Claims, ImaClaim, SnpEvidence, VendorEvidence};
use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::{ChipId, Digest, Digest384, SessionKey, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::trust::{RootKind, TrustBundle};
use assay_testbed::boot_log::COMMAND_LINE;
use assay_testbed::snp::{Authority, CaKey, Certificates, Chip, Product, Report, cert_table};
use assay_testbed::soft_node::{QUOTED, config};
use assay_testbed::{Banks, ImaList, MeasuredBoot, SoftNode, Variant};
use std::sync::LazyLock;

/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);
/// The probe guest's launch digest.
pub const PROBE: [u8; 48] = [0x77; 48];
/// Of these products there is a chip each.
pub const PRODUCTS: [Product; 3] = [Product::Genoa, Product::Turin, Product::Milan];
/// Firmware, boot application, Secure Boot and the image's sections.
const PINNED: [u8; 7] = [0, 1, 2, 3, 4, 7, 11];
const FILES: [(&str, &[u8]); 3] = [
    ("/usr/bin/assay-agent", b"agent"),
    ("/etc/ima/ima-policy", b"measure func=BPRM_CHECK"),
    ("/usr/bin/tool", b"tool"),
];
/// The command line that turns IMA on.
const IMA_LINE: &str = "ima_policy=tcb";
/// Entries before the saved position: the boot aggregate, the agent and the policy.
const SAVED: usize = 3;

/// What evidence is made of besides its signatures.
#[derive(Clone, Default)]
pub struct Parts {
    /// The boot's event log. The quote follows it; one that does not replay leaves zeros.
    pub log: Vec<u8>,
    /// Entries of the IMA list, which PCR 10 follows.
    pub ima: Option<Ima>,
    /// The probe guest's report.
    pub snp: Option<SnpEvidence>,
}

/// An IMA list, whole or from the saved position.
#[derive(Clone)]
pub struct Ima {
    /// The entries sent.
    pub list: Vec<u8>,
    /// Whether the verifier has judged the first entries of the genuine list before.
    pub continued: bool,
}

/// The node of this process, with a key of its own.
pub fn node() -> &'static SoftNode {
    static IT: LazyLock<SoftNode> =
        LazyLock::new(|| SoftNode::new(NODE, (NETWORK, PROVIDER)).with_ima(&FILES));
    &IT
}

/// Its attestation key, as enrolled.
pub fn ak() -> &'static AttestationKey {
    static IT: LazyLock<AttestationKey> = LazyLock::new(|| {
        AttestationKey::from_bytes(&node().ak.public()).expect("an attestation key")
    });
    &IT
}

/// Logs that reach tier 2: by the image, and by IMA with a command line from outside.
pub fn logs() -> [Vec<u8>; 2] {
    let config = config((NETWORK, PROVIDER));
    let ima = MeasuredBoot::with_command_line(Variant::Good, config.as_bytes(), IMA_LINE);
    [&node().boot, &ima].map(|boot| boot.log(Banks::Sha256))
}

/// The list of what ran, and the end of it that follows the saved position.
pub fn ima_lists() -> [Vec<u8>; 2] {
    let list = node().ima.as_ref().expect("IMA is on");
    let rest = ImaList {
        entries: list.entries[SAVED..].to_vec(),
    };
    [list.encode(), rest.encode()]
}

fn saved_entries() -> Vec<u8> {
    let mut list = node().ima.clone().expect("IMA is on");
    list.entries.truncate(SAVED);
    list.encode()
}

/// Where an appraisal of the first entries ended.
fn saved() -> &'static Position {
    static IT: LazyLock<Position> = LazyLock::new(|| {
        let bytes = saved_entries();
        let list = List::read(&bytes, None).expect("the node's list");
        let value = ima_pcr(&bytes).expect("it replays");
        let quoted = PcrValues::from([((HashAlg::Sha256, 10), value.0.to_vec())]);
        let resets = node().clock.reset_count;
        let start = Position::start(resets);
        let explained = ima::explain_after(&start, resets, &list, &quoted, Options::default());
        explained.expect("it explains").position().clone()
    });
    &IT
}

/// PCR 10 after a list.
fn ima_pcr(bytes: &[u8]) -> Option<Digest> {
    let list = List::read(bytes, None).ok()?;
    let replayed = ima::replay(&list, &[HashAlg::Sha256]).ok()?;
    let value = replayed
        .values
        .get(&(HashAlg::Sha256, BankForm::Native, 10))?;
    Some(Digest(value.as_slice().try_into().ok()?))
}

/// PCR 0 to 14 after a boot that left this log.
fn replay(log: &[u8]) -> Option<Vec<(u8, Digest)>> {
    let log = assay_appraisal::eventlog::parse(log).ok()?;
    let values = log.replay(HashAlg::Sha256).ok()?;
    let value = |pcr: u8| {
        let known = values.get(&u32::from(pcr)).cloned();
        let value = known.unwrap_or_else(|| log.initial(u32::from(pcr), HashAlg::Sha256));
        (pcr, Digest(value.try_into().expect("a SHA-256 register")))
    };
    Some((0..15).map(value).collect())
}

/// What is quoted of a node that has these parts.
fn registers(parts: &Parts) -> Vec<(u8, Digest)> {
    let mut pcrs = replay(&parts.log)
        .unwrap_or_else(|| (0..15).map(|index| (index, Digest([0; 32]))).collect());
    let whole = |ima: &Ima| match ima.continued {
        true => [saved_entries(), ima.list.clone()].concat(),
        false => ima.list.clone(),
    };
    if let Some(value) = parts.ima.as_ref().and_then(|ima| ima_pcr(&whole(ima))) {
        pcrs[10].1 = value;
    }
    pcrs
}

/// Evidence of these parts: quoted, and signed by the session key.
pub fn evidence(parts: &Parts) -> Vec<u8> {
    let (claims, _) = node().claims(&[(samples::hypernode(), NONCE)]);
    let claims = Claims {
        ima: parts.ima.as_ref().map(claimed),
        chip_ids: Some(PRODUCTS.map(|product| ChipId(product.chip_id())).to_vec()),
        ..claims
    };
    let vendor = VendorEvidence {
        pcrs: registers(parts),
        event_log: Blob(parts.log.clone()),
        ima_log: parts.ima.as_ref().map(|ima| Blob(ima.list.clone())),
        snp: parts.snp.clone(),
        ..node().vendor(&claims, None)
    };
    sign(claims, vendor)
}

fn claimed(ima: &Ima) -> ImaClaim {
    let list = List::read(&ima.list, None);
    let count = list.map_or(0, |list| list.entries().count());
    ImaClaim {
        digest: digest(&[&ima.list]),
        first: if ima.continued { SAVED as u64 } else { 0 },
        count: count as u64,
    }
}

/// Makes everything true that only the node's keys can: digests of what is attached, names of keys, the challenge,
/// quote and signatures. All else is as given.
pub fn sign(claims: Claims, vendor: VendorEvidence) -> Vec<u8> {
    let mut nonces = claims.nonces.clone();
    nonces.retain(|(hypernode, _)| *hypernode != samples::hypernode());
    nonces.truncate(1);
    nonces.push((samples::hypernode(), NONCE));
    let claims = Claims {
        nonces,
        node: NODE,
        session_key: SessionKey(node().session.public_key()),
        ak_name: ak().name(),
        event_log: digest(&[&vendor.event_log.0]),
        snp_report: vendor.snp.as_ref().map(|snp| digest(&[&snp.report.0])),
        inventory: vendor.inventory.as_ref().map(|bytes| digest(&[&bytes.0])),
        ..claims
    };
    let values = vendor.pcrs.iter().map(|(_, value)| *value);
    let pcrs: Vec<(u8, Digest)> = (0..15)
        .zip(values.chain(std::iter::repeat(Digest([0; 32]))))
        .collect();
    let covered = evidence::qualifying_data(&evidence::claims_bytes(&claims));
    let firmware = node().firmware_version;
    let attest = node()
        .ak
        .attest(&covered, (QUOTED, &pcrs), &claims.clock, firmware);
    let vendor = VendorEvidence {
        signature: Blob(node().ak.sign(&attest)),
        attest: Blob(attest),
        ak_public: Blob(node().ak.public()),
        pcrs,
        ..vendor
    };
    evidence::seal(claims, &vendor, &node().session)
}

/// What the node's probe guest reports for the challenge of [`evidence`].
pub fn report_data() -> [u8; 64] {
    let batch = evidence::nonce_batch(&[(samples::hypernode(), NONCE)]);
    let session = SessionKey(node().session.public_key());
    evidence::snp_report_data(&batch, &session, &ak().name())
}

/// A machine with its certificates.
struct Machine {
    chip: Chip,
    table: Vec<u8>,
}

/// A chip of each product with two RSA-4096 keys above it, and the class that trusts them.
struct World {
    machines: [Machine; 3],
    roots: SnpRoots,
    class: ValidClass,
    trust: TrustBundle,
    cache: ChainCache,
    configurations: Configurations,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// Makes the keys, which takes seconds; fuzzing starts after it.
pub fn prepare() {
    LazyLock::force(&WORLD);
}

impl World {
    fn new() -> Self {
        let authorities = PRODUCTS.map(|_| Authority {
            ark: CaKey::generate(),
            ask: CaKey::generate(),
            // No VLEK is issued here.
            asvk: CaKey::of_size(aws_lc_rs::rsa::KeySize::Rsa2048),
        });
        let of = |at: usize| (&authorities[at], PRODUCTS[at]);
        let spki = authorities.each_ref().map(|authority| authority.ark.spki());
        let known = PRODUCTS.map(|product| snp::Product::from_name(product.name()));
        let known = known.map(|product| product.expect("a product"));
        let roots = known.into_iter().zip(spki.iter().map(Vec::as_slice));
        let roots = SnpRoots::test(roots);
        let class = HardwareClass {
            attestation: policy(),
            ..samples::class()
        };
        Self {
            machines: [0, 1, 2].map(|at| machine(of(at))),
            roots,
            class: ValidClass::new(class).expect("a valid class"),
            trust: TrustBundle {
                allowed_kinds: vec![RootKind::Test],
                roots: Vec::new(),
            },
            cache: ChainCache::new(),
            configurations: Configurations::new(),
        }
    }
}

fn machine((authority, product): (&Authority, Product)) -> Machine {
    let chip = Chip::new(product);
    let certificates = Certificates {
        ark: authority.ark_spec(product).sign(&authority.ark),
        ask: authority.ask_spec(product).sign(&authority.ark),
        asvk: Vec::new(),
    };
    let vcek = chip.vcek_spec().sign(&authority.ask);
    let table = cert_table(&certificates, &vcek);
    Machine { chip, table }
}

/// Everything a class may ask for that leads to a tier.
fn policy() -> AttestationPolicy {
    let pcrs = node().pcrs();
    let pinned = |index: &u8| PcrReference {
        index: *index,
        allowed: vec![pcrs[usize::from(*index)].1],
    };
    let content = |content: &[u8]| Digest(sha256(&[content]));
    let mut allowed = vec![content(FILES[0].1), content(FILES[2].1)];
    allowed.sort();
    let floor = |product: Product| TcbFloor {
        product: product.name().into(),
        fmc: (product == Product::Turin).then_some(1),
        bootloader: 1,
        tee: 0,
        snp: 1,
        microcode: 1,
    };
    AttestationPolicy {
        tier_min: 3,
        pcrs: PINNED.iter().map(pinned).collect(),
        boot: None,
        image: Some(ImagePolicy {
            command_lines: vec![COMMAND_LINE.into()],
        }),
        ima: Some(ImaPolicy {
            allowed,
            policies: vec![content(FILES[1].1)],
            command_lines: vec![IMA_LINE.into()],
        }),
        chassis: Some(ChassisPolicy {
            measurements: vec![Digest384(PROBE)],
            tcb_min: PRODUCTS.map(floor).to_vec(),
        }),
    }
}

/// Whose chip a report names by its CPUID; without one, the first.
pub fn product_of(report: &[u8]) -> usize {
    let is = |at: &usize| report.get(0x188..0x18a) == plain_report(*at).get(0x188..0x18a);
    [1, 2].into_iter().find(is).unwrap_or_default()
}

/// A good report, not signed, with zeros for its report data.
pub fn plain_report(product: usize) -> Vec<u8> {
    let chip = &WORLD.machines[product % 3].chip;
    let version = if chip.product == Product::Turin { 5 } else { 3 };
    chip.report(version).with(0x90, &PROBE).0.to_vec()
}

/// A report signed by a product's chip, with its certificates; a report of another size stays as it is.
pub fn endorsed(product: usize, report: &[u8]) -> SnpEvidence {
    let machine = &WORLD.machines[product % 3];
    let signed = match report.try_into() {
        Ok(report) => machine.chip.sign(Report(report)),
        Err(_) => report.to_vec(),
    };
    SnpEvidence {
        report: Blob(signed),
        certificates: Blob(machine.table.clone()),
    }
}

/// The report of the probe guest on a product's chip.
pub fn probe_guest(product: usize) -> SnpEvidence {
    let mut report = plain_report(product);
    report[0x50..0x90].copy_from_slice(&report_data());
    endorsed(product, &report)
}

/// Appraises evidence as the HyperNode that asked for it.
pub fn verify(bytes: &[u8], mode: Mode) -> Result<Appraisal, Refused> {
    let expected = Expectation {
        node: NODE,
        hypernode: samples::hypernode(),
        nonce: NONCE,
        session_key: SessionKey(node().session.public_key()),
        ak: ak(),
        last_clock: None,
    };
    let policy = Policy {
        network: NETWORK,
        class: &WORLD.class,
        root_kind: Some(RootKind::Test),
        firmware_min: 0,
        trust: &WORLD.trust,
        configurations: &WORLD.configurations,
        endorsements: Endorsements {
            at: AT,
            roots: &WORLD.roots,
            chain: None,
            crl: None,
            cache: &WORLD.cache,
        },
        ima_before: ImaBefore::Position(saved()),
    };
    appraise::verify(bytes, &expected, &policy, mode)
}

/// Whether the class allows these registers.
pub fn allows(pcrs: &[(u8, Digest)]) -> bool {
    let mut pinned = WORLD.class.attestation.pcrs.iter();
    pinned.all(|pin| {
        let quoted = pcrs.iter().find(|(index, _)| *index == pin.index);
        quoted.is_some_and(|(_, value)| pin.allowed.contains(value))
    })
}
