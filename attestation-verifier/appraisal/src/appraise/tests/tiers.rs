//! What leads to tiers 2 and 3, and what costs them.

use super::*;
use crate::ima::Position;
use assay_protocol::class::{BootPolicy, ChassisPolicy, ImaPolicy, ImagePolicy, TcbFloor};
use assay_protocol::evidence::{ImaClaim, SnpEvidence, chips_digest};
use assay_protocol::hash::sha256;
use assay_protocol::ids::{ChipId, Digest384};
use assay_testbed::boot_log::COMMAND_LINE;
use assay_testbed::ima_list::ImaEntry;
use assay_testbed::snp::{Authority, Certificates, Chip, CrlSpec, Product, cert_table};
use assay_testbed::{ImaList, MeasuredBoot, SoftNode, Variant};
use std::sync::LazyLock;

const PROBE: [u8; 48] = [0x77; 48];
const AT: UnixMs = UnixMs(1_793_491_200_000);
const FILES: [(&str, &[u8]); 3] = [
    ("/usr/bin/assay-agent", b"agent"),
    ("/etc/ima/ima-policy", b"measure func=BPRM_CHECK"),
    ("/usr/bin/tool", b"tool"),
];

/// The names of the checks that did not pass.
pub(super) fn not_passed(appraisal: &Appraisal) -> Vec<&str> {
    let checks = appraisal.checks.iter();
    let open = checks.filter(|check| check.outcome != Outcome::Pass);
    open.map(|check| check.name).collect()
}

/// A node that has everything, under a class that asks for everything.
struct Full {
    node: SoftNode,
    class: HardwareClass,
    roots: SnpRoots,
    chain: Option<[Vec<u8>; 3]>,
    crl: Option<Vec<u8>>,
    position: Option<Position>,
    parts: Vec<Vec<u8>>,
    kind: Option<RootKind>,
}

fn pinned(node: &SoftNode, indices: &[u8]) -> Vec<PcrReference> {
    let pcrs = node.pcrs();
    let reference = |index: &u8| PcrReference {
        index: *index,
        allowed: vec![Digest([0xee; 32]), pcrs[usize::from(*index)].1],
    };
    indices.iter().map(reference).collect()
}

fn ima_rules() -> ImaPolicy {
    let digest = |content: &[u8]| Digest(sha256(&[content]));
    let mut allowed = vec![digest(FILES[0].1), digest(FILES[2].1)];
    allowed.sort();
    ImaPolicy {
        allowed,
        policies: vec![digest(FILES[1].1)],
        command_lines: vec!["ima_policy=tcb".into()],
    }
}

fn chassis_rules(product: Product) -> ChassisPolicy {
    ChassisPolicy {
        measurements: vec![Digest384([1; 48]), Digest384(PROBE)],
        tcb_min: vec![TcbFloor {
            product: product.name().into(),
            fmc: (product == Product::Turin).then_some(1),
            bootloader: 1,
            tee: 0,
            snp: 1,
            microcode: 1,
        }],
    }
}

/// Makes a report of the probe guest for the report data asked for.
fn probe_guest(chip: Chip) -> Box<dyn Fn([u8; 64]) -> SnpEvidence + Send + Sync> {
    let table = cert_table(&Certificates::of(chip.product), &chip.vcek());
    Box::new(move |report_data| {
        let report = chip
            .report(if chip.product == Product::Turin { 5 } else { 3 })
            .with(0x50, &report_data)
            .with(0x90, &PROBE);
        SnpEvidence {
            report: Blob(chip.sign(report)),
            certificates: Blob(table.clone()),
        }
    })
}

impl Full {
    fn new() -> Self {
        Self::on(Product::Genoa)
    }

    fn on(product: Product) -> Self {
        let chip = Chip::new(product);
        let mut node = SoftNode::new(NODE, (NETWORK, PROVIDER)).with_ima(&FILES);
        node.chip_ids = Some(vec![ChipId([9; 64]), ChipId(chip.chip_id)]);
        node.snp = Some(probe_guest(chip));
        let mut class = class(&node.pcrs());
        class.attestation = AttestationPolicy {
            tier_min: 3,
            pcrs: pinned(&node, &[0, 1, 2, 3, 4, 7, 11]),
            boot: None,
            image: Some(ImagePolicy {
                command_lines: vec![COMMAND_LINE.into()],
            }),
            ima: None,
            chassis: Some(chassis_rules(product)),
        };
        assert_eq!(class.validate(), Ok(()));
        let ark = Authority::shared().ark.spki();
        let of_product = crate::snp::Product::from_name(product.name()).unwrap();
        Self {
            node,
            class,
            roots: SnpRoots::test([(of_product, ark.as_slice())]),
            chain: None,
            crl: None,
            position: None,
            parts: Vec::new(),
            kind: Some(RootKind::Test),
        }
    }

    /// The same with tier 2 by IMA instead of the image.
    fn by_ima() -> Self {
        let mut full = Self::new();
        full.node.boot = MeasuredBoot::with_command_line(
            Variant::Good,
            assay_testbed::soft_node::config((NETWORK, PROVIDER)).as_bytes(),
            "ima_policy=tcb",
        );
        full.node = full.node.with_ima(&FILES);
        full.class.attestation.pcrs = pinned(&full.node, &[0, 1, 2, 3, 4]);
        full.class.attestation.image = None;
        full.class.attestation.ima = Some(ima_rules());
        assert_eq!(full.class.validate(), Ok(()));
        full
    }

    fn ima(&mut self) -> &mut ImaPolicy {
        self.class.attestation.ima.as_mut().unwrap()
    }

    fn chassis(&mut self) -> &mut ChassisPolicy {
        self.class.attestation.chassis.as_mut().unwrap()
    }

    fn boot_rules(&mut self, rules: BootPolicy) {
        self.class.attestation.boot = Some(rules);
    }

    fn evidence(&self) -> Vec<u8> {
        self.node.evidence(&[(HYPERNODE, NONCE)])
    }

    fn verify(&self, bytes: &[u8]) -> Result<Appraisal, Refused> {
        let ak = AttestationKey::from_bytes(&self.node.ak.public()).unwrap();
        let expected = Expectation {
            node: NODE,
            hypernode: HYPERNODE,
            nonce: NONCE,
            session_key: SessionKey(self.node.session.public_key()),
            ak: &ak,
            last_clock: None,
        };
        let trust = TrustBundle {
            allowed_kinds: vec![RootKind::Test],
            roots: Vec::new(),
        };
        let chain = self.chain.as_ref();
        let parts: Vec<&[u8]> = self.parts.iter().map(Vec::as_slice).collect();
        let policy = Policy {
            network: NETWORK,
            class: &ValidClass::unvalidated(self.class.clone()),
            root_kind: self.kind,
            firmware_min: 7,
            trust: &trust,
            configurations: &Configurations::new(),
            endorsements: Endorsements {
                at: AT,
                roots: &self.roots,
                chain: chain.map(|chain| [&chain[0][..], &chain[1], &chain[2]]),
                crl: self.crl.as_deref(),
                cache: &CACHE,
            },
            ima_before: match (&self.position, &parts[..]) {
                (Some(position), _) => ImaBefore::Position(position),
                (None, []) => ImaBefore::Unknown,
                (None, parts) => ImaBefore::Parts(parts),
            },
        };
        verify(bytes, &expected, &policy, Mode::Verify)
    }

    fn appraise(&self) -> Appraisal {
        self.verify(&self.evidence()).unwrap()
    }

    /// Tier, attestation and what did not pass.
    fn outcome(&self) -> (u8, Attest, Vec<String>) {
        let appraisal = self.appraise();
        let open = not_passed(&appraisal).into_iter().map(str::to_owned);
        (appraisal.tier, appraisal.attest, open.collect())
    }
}

static CACHE: LazyLock<ChainCache> = LazyLock::new(ChainCache::new);

fn reached(tier: u8, open: &[&str]) -> (u8, Attest, Vec<String>) {
    let open = open.iter().map(|name| (*name).to_owned()).collect();
    (tier, Attest::Pass, open)
}

fn failed(open: &[&str]) -> (u8, Attest, Vec<String>) {
    (0, Attest::Fail, reached(0, open).2)
}

#[test]
fn a_published_image_with_a_chassis_proof_reaches_tier_3() {
    for product in [Product::Genoa, Product::Turin] {
        let full = Full::on(product);
        let appraisal = full.appraise();
        assert_eq!(not_passed(&appraisal), [""; 0]);
        assert_eq!((appraisal.tier, appraisal.attest), (3, Attest::Pass));
        assert_eq!(appraisal.policy, full.class.digest());
        let shown = appraisal.shown;
        assert!(shown.firmware);
        assert_eq!(shown.secure_boot, Some(true));
        let chips = full.node.chip_ids.as_deref().unwrap();
        assert_eq!(shown.chip, Some(chips[1]));
        assert_eq!(shown.chips, Some(chips_digest(chips)));
        assert_eq!(
            shown.verity_root,
            assay_protocol::class::verity_root(COMMAND_LINE)
        );
        assert_eq!(shown.ima_entries, None, "the class does not use IMA");
    }
}

#[test]
fn milan_is_capped_at_tier_2() {
    let full = Full::on(Product::Milan);
    assert_eq!(full.outcome(), reached(2, &["chassis-generation"]));
}

#[test]
fn an_allowed_list_under_an_allowed_policy_reaches_tier_3_with_a_chassis() {
    let full = Full::by_ima();
    let appraisal = full.appraise();
    assert_eq!(not_passed(&appraisal), [""; 0]);
    assert_eq!(appraisal.tier, 3);
    assert_eq!(appraisal.shown.ima_entries, Some(4));
    assert_eq!(appraisal.shown.verity_root, None);
    assert_eq!(appraisal.ima_end.unwrap().position.entries, 4);
}

#[test]
fn either_way_is_enough_for_tier_2() {
    let mut both = Full::new();
    both.class.attestation.chassis = None;
    both.class.attestation.ima = Some(ima_rules());
    let (tier, attest, open) = both.outcome();
    assert_eq!((tier, attest), (2, Attest::Pass));
    assert_eq!(open, ["tier-2-ima-command-line"]);
}

#[test]
fn an_image_needs_its_pins_its_command_line_and_nothing_added() {
    let mut unpublished = Full::new();
    unpublished.class.attestation.image = Some(ImagePolicy {
        command_lines: vec![format!("roothash={}", "0b".repeat(32))],
    });
    let open = ["tier-2-image-command-line", "chassis-host-tier"];
    assert_eq!(unpublished.outcome(), reached(1, &open));
    assert_eq!(unpublished.appraise().shown.verity_root, None);

    for index in [4, 11] {
        let mut unpinned = Full::new();
        let pcrs = &mut unpinned.class.attestation.pcrs;
        pcrs.retain(|pcr| pcr.index != index);
        let open = ["tier-2-image-pcrs", "chassis-host-tier"];
        assert_eq!(unpinned.outcome(), reached(1, &open), "PCR {index}");
    }

    let mut extended = Full::new();
    extended.node.boot.measure(13, 0x0d, b"a system extension");
    let open = ["tier-2-image-additions", "chassis-host-tier"];
    assert_eq!(extended.outcome(), reached(1, &open));

    let mut credential = Full::new();
    credential.node.boot.measure(12, 0x0d, b"a credential");
    let open = ["tier-2-image-configuration", "chassis-host-tier"];
    assert_eq!(credential.outcome(), reached(1, &open));

    let mut without = Full::new();
    without.node.boot = MeasuredBoot::with_command_line(
        Variant::Good,
        assay_testbed::soft_node::config((NETWORK, PROVIDER)).as_bytes(),
        "quiet",
    );
    without.class.attestation.pcrs = pinned(&without.node, &[4, 11]);
    let (tier, _, open) = without.outcome();
    assert_eq!(tier, 1);
    assert!(
        open.contains(&"tier-2-image-configuration".to_owned()),
        "{open:?}"
    );
}

#[test]
fn another_image_than_the_pinned_one_fails() {
    let mut rogue = Full::new();
    let config = assay_testbed::soft_node::config((NETWORK, PROVIDER));
    rogue.node.boot = MeasuredBoot::new(Variant::Rogue, config.as_bytes());
    let (tier, attest, open) = rogue.outcome();
    assert_eq!((tier, attest), (0, Attest::Fail));
    assert_eq!(open[..2], ["reference-pcr-4", "reference-pcr-11"]);
    assert!(open.contains(&"tier-2-image-pcrs".into()), "{open:?}");
}

#[test]
fn a_measured_file_that_is_not_allowed_fails_at_every_tier() {
    let mut full = Full::by_ima();
    full.ima().allowed.pop();
    let open = ["ima-entries", "chassis-host-tier"];
    assert_eq!(full.outcome(), failed(&open));
    assert_eq!(full.appraise().ima_end, None);
    full.class.attestation.tier_min = 1;
    assert_eq!(full.outcome(), failed(&open));
}

#[test]
fn a_boot_aggregate_of_another_boot_fails() {
    let mut full = Full::by_ima();
    let mut other = full.node.boot.pcrs();
    other[4][0] ^= 1;
    full.node.ima = Some(ImaList::new(&other, &FILES));
    let open = ["ima-entries", "chassis-host-tier"];
    assert_eq!(full.outcome(), failed(&open));
}

#[test]
fn an_ima_list_without_its_policy_or_command_line_or_at_all_proves_no_tier_2() {
    let mut no_policy = Full::by_ima();
    let rules = no_policy.ima();
    rules.allowed.push(rules.policies[0]);
    rules.allowed.sort();
    rules.policies = vec![Digest([1; 32])];
    let open = ["tier-2-ima-policy", "chassis-host-tier"];
    assert_eq!(no_policy.outcome(), reached(1, &open));
    assert_eq!(no_policy.appraise().ima_end, None);

    let mut line = Full::by_ima();
    line.ima().command_lines = vec!["ima_policy=secure_boot".into()];
    let open = ["tier-2-ima-command-line", "chassis-host-tier"];
    assert_eq!(line.outcome(), reached(1, &open));

    let mut absent = Full::by_ima();
    absent.node.ima = None;
    let open = ["tier-2-ima-list", "chassis-host-tier"];
    assert_eq!(absent.outcome(), reached(1, &open));
}

#[test]
fn a_list_that_does_not_explain_pcr_10_proves_no_tier_2_and_does_not_convict() {
    let full = Full::by_ima();
    let (mut claims, snp) = full.node.claims(&[(HYPERNODE, NONCE)]);
    let mut list = full.node.ima.clone().unwrap();
    list.entries.pop();
    let bytes = list.encode();
    claims.ima.as_mut().unwrap().digest = digest(&[&bytes]);
    let mut vendor = full.node.vendor(&claims, snp);
    vendor.ima_log = Some(Blob(bytes));
    let bytes = evidence::seal(claims, &vendor, &full.node.session);
    let appraisal = full.verify(&bytes).unwrap();
    assert_eq!((appraisal.tier, appraisal.attest), (1, Attest::Pass));
    assert_eq!(
        not_passed(&appraisal),
        ["tier-2-ima-list", "chassis-host-tier"]
    );
}

/// Evidence that carries only these entries, and says that `first` were before them.
fn carrying(full: &Full, first: u64, entries: &[ImaEntry]) -> Vec<u8> {
    let part = ImaList {
        entries: entries.to_vec(),
    }
    .encode();
    let (mut claims, snp) = full.node.claims(&[(HYPERNODE, NONCE)]);
    claims.ima = Some(ImaClaim {
        digest: digest(&[&part]),
        first,
        count: entries.len() as u64,
    });
    let mut vendor = full.node.vendor(&claims, snp);
    vendor.ima_log = Some(Blob(part));
    evidence::seal(claims, &vendor, &full.node.session)
}

impl Full {
    fn judged(&self, first: u64, entries: &[ImaEntry]) -> (u8, Attest, Vec<String>) {
        let appraisal = self.verify(&carrying(self, first, entries)).unwrap();
        let open = not_passed(&appraisal).into_iter().map(str::to_owned);
        (appraisal.tier, appraisal.attest, open.collect())
    }

    /// The machine runs on: this is measured next.
    fn runs(&mut self, (name, content): (&str, &[u8])) -> ImaEntry {
        let entry = ImaEntry::of_content(name, content);
        let list = self.node.ima.as_mut().unwrap();
        list.entries.push(entry.clone());
        entry
    }

    fn entries(&self) -> Vec<ImaEntry> {
        self.node.ima.as_ref().unwrap().entries.clone()
    }
}

/// The list does not explain the quote: that costs the tier, and nothing else.
fn unexplained() -> (u8, Attest, Vec<String>) {
    reached(1, &["tier-2-ima-list", "chassis-host-tier"])
}

#[test]
fn a_later_part_of_a_list_needs_the_saved_position_of_this_boot() {
    let mut full = Full::by_ima();
    let end = full.appraise().ima_end.unwrap();
    let saved = end.position;
    let tail = [full.runs(FILES[2])];
    assert_eq!(full.judged(4, &tail), unexplained());
    full.position = Some(saved.clone());
    let known = full.verify(&carrying(&full, 4, &tail)).unwrap();
    assert_eq!((known.tier, not_passed(&known)), (3, vec![]));
    assert_eq!(known.shown.ima_entries, Some(5));
    let now = known.ima_end.unwrap();
    let part = ImaList {
        entries: tail.to_vec(),
    };
    assert_eq!((now.position.entries, now.part), (5, part.encode()));
    assert_eq!(full.judged(3, &tail), unexplained());
    assert_eq!(full.judged(5, &tail), unexplained());
    let forged: [fn(&mut Position); 4] = [
        |saved| saved.boot_aggregate = None,
        |saved| saved.reset_count -= 1,
        |saved| saved.banks[0].pcrs[0].1.0[0] ^= 1,
        |saved| saved.entries += 1,
    ];
    for forge in forged {
        let mut position = saved.clone();
        forge(&mut position);
        full.position = Some(position);
        assert_eq!(full.judged(4, &tail), unexplained());
    }
}

/// Most asks find nothing new, and some get more than they asked for: others waited with them.
#[test]
fn from_a_position_nothing_may_be_new_and_known_entries_may_come_again() {
    let mut full = Full::by_ima();
    full.position = Some(full.appraise().ima_end.unwrap().position);
    assert_eq!(full.judged(4, &[]), reached(3, &[]));
    assert_eq!(full.judged(2, &full.entries()[2..]), reached(3, &[]));
    assert_eq!(full.judged(0, &full.entries()), reached(3, &[]));
    full.runs(FILES[2]);
    assert_eq!(full.judged(2, &full.entries()[2..]), reached(3, &[]));
    // One that was removed between two asks, known or new.
    assert_eq!(full.judged(4, &[]), unexplained());
    let mut removed = full.entries();
    removed.remove(1);
    assert_eq!(full.judged(0, &removed), unexplained());
    assert_eq!(full.judged(3, &removed[3..]), unexplained());
}

#[test]
fn from_a_position_a_forbidden_entry_fails_and_another_aggregate_is_for_the_whole_list() {
    let saved = |full: &Full| Some(full.appraise().ima_end.unwrap().position);
    let mut full = Full::by_ima();
    full.position = saved(&full);
    let bad = [full.runs(("/tmp/x", b"not listed"))];
    let open = ["ima-entries", "chassis-host-tier"];
    assert_eq!(full.judged(4, &bad), failed(&open));
    let mut parts = full;
    parts.position = None;
    parts.parts = vec![
        ImaList {
            entries: parts.entries()[..4].to_vec(),
        }
        .encode(),
    ];
    assert_eq!(parts.judged(4, &bad), failed(&open));

    // What the aggregate is over was extended, and logged, since the position.
    let mut later = Full::by_ima();
    later.position = saved(&later);
    later
        .node
        .boot
        .measure(8, 0x0d, b"after the kernel started");
    assert_eq!(later.judged(4, &[]), unexplained());
    let list = later.entries();
    assert_eq!(later.judged(0, &list), failed(&open));
}

/// What a HyperNode judged from a position, an auditor judges from the entries before it.
#[test]
fn earlier_parts_give_what_the_whole_list_gives() {
    let mut full = Full::by_ima();
    let first = full.appraise().ima_end.unwrap();
    assert_eq!(first.part, full.node.ima.as_ref().unwrap().encode());
    let second = [full.runs(FILES[2])];
    full.position = Some(first.position);
    let appraisal = full.verify(&carrying(&full, 4, &second)).unwrap();
    let second = appraisal.ima_end.unwrap().part;
    let third = [full.runs(FILES[1])];
    full.position = None;
    full.parts = vec![first.part.clone(), second.clone()];
    assert_eq!(full.judged(5, &third), reached(3, &[]));
    assert_eq!(full.judged(3, &full.entries()[3..]), reached(3, &[]));
    assert_eq!(full.judged(0, &full.entries()), reached(3, &[]));

    let mut replaced = first.part.clone();
    *replaced.last_mut().unwrap() = b'x';
    let unfit: [Vec<Vec<u8>>; 6] = [
        vec![],
        vec![first.part.clone()],
        vec![second.clone(), first.part.clone()],
        vec![first.part.clone(), second.clone(), second.clone()],
        vec![replaced, second.clone()],
        vec![first.part[1..].to_vec(), second],
    ];
    for parts in unfit {
        full.parts = parts;
        assert_eq!(full.judged(5, &third), unexplained());
    }
}

/// Where the attestation failed, or another boot was quoted, nothing is saved.
#[test]
fn only_an_accepted_list_leaves_a_position() {
    let mut full = Full::by_ima();
    assert!(full.appraise().ima_end.is_some());
    full.node.firmware_version = 6;
    let appraisal = full.appraise();
    assert_eq!(appraisal.shown.ima_entries, Some(4));
    assert_eq!((appraisal.attest, appraisal.ima_end), (Attest::Fail, None));
}

#[test]
fn what_lies_beside_the_claims_must_be_what_they_name() {
    let full = Full::by_ima();
    let refused = |change: &dyn Fn(&mut Claims, &mut VendorEvidence)| {
        let (mut claims, snp) = full.node.claims(&[(HYPERNODE, NONCE)]);
        let mut vendor = full.node.vendor(&claims, snp);
        change(&mut claims, &mut vendor);
        let quoted = full.node.vendor(&claims, vendor.snp.clone());
        (vendor.attest, vendor.signature) = (quoted.attest, quoted.signature);
        let bytes = evidence::seal(claims, &vendor, &full.node.session);
        let appraisal = full.verify(&bytes).unwrap();
        assert_eq!((appraisal.tier, appraisal.attest), (0, Attest::Fail));
        not_passed(&appraisal)[0].to_owned()
    };
    assert_eq!(refused(&|_, vendor| vendor.ima_log = None), "ima-digest");
    assert_eq!(refused(&|claims, _| claims.ima = None), "ima-digest");
    assert_eq!(
        refused(&|claims, _| claims.ima.as_mut().unwrap().digest.0[0] ^= 1),
        "ima-digest"
    );
    assert_eq!(refused(&|_, vendor| vendor.snp = None), "snp-report-digest");
    assert_eq!(
        refused(&|claims, _| claims.snp_report = None),
        "snp-report-digest"
    );
    assert_eq!(
        refused(&|_, vendor| vendor.snp.as_mut().unwrap().report.0[0] ^= 1),
        "snp-report-digest"
    );
}

#[test]
fn a_chassis_proof_needs_every_part_of_it() {
    let mut absent = Full::new();
    absent.node.snp = None;
    assert_eq!(absent.outcome(), reached(2, &["chassis-report"]));

    let mut guest = Full::new();
    guest.chassis().measurements = vec![Digest384([1; 48])];
    assert_eq!(guest.outcome(), reached(2, &["chassis-measurement"]));

    let mut floor = Full::new();
    floor.chassis().tcb_min[0].microcode = 255;
    let (tier, _, open) = floor.outcome();
    assert_eq!(tier, 2);
    assert!(
        open.iter().all(|name| name.contains("tcb")) && !open.is_empty(),
        "{open:?}"
    );

    let mut chips = Full::new();
    chips.node.chip_ids = Some(vec![ChipId([9; 64])]);
    assert_eq!(chips.outcome(), reached(2, &["chassis-host-chip-id"]));
    chips.node.chip_ids = None;
    let open = ["chassis-host-chips", "chassis-host-chip-id"];
    assert_eq!(chips.outcome(), reached(2, &open));

    let mut replayed = Full::new();
    let make = replayed.node.snp.take().unwrap();
    replayed.node.snp = Some(Box::new(move |_| make([5; 64])));
    assert_eq!(replayed.outcome(), reached(2, &["chassis-report-data"]));

    let mut strangers = Full::new();
    strangers.roots = SnpRoots::amd();
    let (tier, _, open) = strangers.outcome();
    assert_eq!(tier, 2);
    assert_eq!(open, ["snp-root-pinned"]);
}

#[test]
fn certificates_that_the_evidence_does_not_bring_may_be_known() {
    let mut full = Full::new();
    let chip = Chip::new(Product::Genoa);
    full.node.chip_ids = Some(vec![ChipId(chip.chip_id)]);
    let certificates = Certificates::of(Product::Genoa);
    let known = [chip.vcek(), certificates.ask, certificates.ark];
    let make = probe_guest(chip);
    full.node.snp = Some(Box::new(move |report_data| SnpEvidence {
        certificates: Blob(vec![0; 24]),
        ..make(report_data)
    }));
    assert_eq!(full.outcome(), reached(2, &["chassis-certificates"]));
    full.chain = Some(known);
    assert_eq!(full.outcome(), reached(3, &[]));
}

/// A list costs the tier whenever it does not say that the intermediate is good, and never the attestation.
#[test]
fn an_intermediate_that_is_revoked_proves_no_chassis() {
    let mut full = Full::new();
    let shared = Authority::shared();
    let serial = shared.ask_spec(Product::Genoa).serial;
    let list = |change: fn(&mut CrlSpec)| {
        let mut spec = CrlSpec::of(Product::Genoa, vec![vec![7, 7]]);
        change(&mut spec);
        spec.sign(&shared.ark)
    };
    full.crl = Some(list(|_| {}));
    assert_eq!(full.outcome(), reached(3, &[]));
    let lists = [
        CrlSpec::of(Product::Genoa, vec![serial]).sign(&shared.ark),
        CrlSpec::of(Product::Genoa, Vec::new()).sign(&shared.ask),
        list(|spec| spec.issuer = "ARK-Turin".into()),
        list(|spec| spec.next_update = "250101000000Z".into()),
        list(|spec| spec.this_update = "300101000000Z".into()),
        Vec::new(),
    ];
    for list in lists {
        full.crl = Some(list);
        assert_eq!(full.outcome(), reached(2, &["snp-revocation"]));
    }
}

#[test]
fn rules_about_the_boot_hold_fail_or_stay_undecided() {
    let none = BootPolicy {
        secure_boot: false,
        command_lines: None,
        boot_applications: None,
        firmware_versions: None,
    };
    let mut full = Full::new();
    let image = sha256(&[b"assay test unified kernel image"]);
    full.boot_rules(BootPolicy {
        secure_boot: true,
        boot_applications: Some(vec![Digest(image)]),
        firmware_versions: Some(vec!["Assay Test Firmware 1.0".into()]),
        ..none.clone()
    });
    assert_eq!(full.outcome(), reached(3, &[]));

    let bad = |rules: BootPolicy| {
        let mut full = Full::new();
        full.boot_rules(rules);
        let appraisal = full.appraise();
        assert_eq!(appraisal.tier, 0);
        (appraisal.attest, not_passed(&appraisal)[0].to_owned())
    };
    let applications = BootPolicy {
        boot_applications: Some(vec![Digest([1; 32])]),
        ..none.clone()
    };
    assert_eq!(
        bad(applications),
        (Attest::Fail, "boot-applications".into())
    );
    let versions = BootPolicy {
        firmware_versions: Some(vec!["2".into()]),
        ..none.clone()
    };
    assert_eq!(
        bad(versions),
        (Attest::Fail, "boot-firmware-version".into())
    );
    let lines = BootPolicy {
        command_lines: Some(vec!["ro".into()]),
        ..none
    };
    assert_eq!(bad(lines), (Attest::Undecided, "boot-command-line".into()));
}

#[test]
fn a_tpm_with_older_firmware_than_its_root_asks_for_fails() {
    let mut full = Full::new();
    full.node.firmware_version = 6;
    assert_eq!(
        full.outcome(),
        failed(&["tpm-firmware", "chassis-host-tier"])
    );
}

#[test]
fn a_root_of_unknown_kind_earns_nothing() {
    let mut full = Full::new();
    full.kind = None;
    let open = vec!["root-kind".into(), "chassis-host-tier".into()];
    assert_eq!(full.outcome(), (0, Attest::Undecided, open));
}

#[test]
fn the_result_token_says_what_was_found_and_round_trips() {
    use crate::ear::{Area, Ear, Status, TrustClaim};
    let evidence = Digest([1; 32]);
    let token = |full: &Full| {
        let ear = full.appraise().ear(evidence, NONCE, AT);
        assert_eq!(ear.validate(), Ok(()));
        let signer = &full.node.session;
        let sealed = assay_protocol::cose::seal(ear.clone(), signer);
        let opened = assay_protocol::cose::open::<Ear>(sealed.bytes(), &signer.public_key());
        assert_eq!(opened.unwrap().payload(), &ear);
        ear
    };
    let full = Full::new();
    let ear = token(&full);
    let names: Vec<&str> = ear
        .modules
        .iter()
        .map(|module| module.name.as_str())
        .collect();
    assert_eq!((names, ear.tier), (vec!["sev-snp", "tpm"], 3));
    assert_eq!(
        (ear.status(), ear.policy),
        (Status::Affirming, full.class.digest())
    );
    assert_eq!(
        (ear.node, ear.nonce, ear.issued_at_s),
        (NODE, NONCE, AT.0 / 1_000)
    );

    let executables = |ear: &Ear| ear.modules.last().unwrap().vector.get(Area::Executables);
    let mut boot = Full::new();
    boot.class.attestation.image = None;
    boot.class.attestation.chassis = None;
    let ear = token(&boot);
    assert_eq!(
        (ear.tier, executables(&ear)),
        (1, Some(TrustClaim::BOOT_AFFIRMED))
    );

    let mut failed = Full::new();
    failed.node.firmware_version = 6;
    let ear = token(&failed);
    assert_eq!((ear.tier, ear.status()), (0, Status::Contraindicated));
    let mut open = Full::new();
    open.kind = None;
    let ear = token(&open);
    assert_eq!((ear.tier, ear.status()), (0, Status::None));
}

#[test]
fn every_flipped_byte_of_complete_evidence_yields_nothing() {
    let full = Full::by_ima();
    let bytes = full.evidence();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert!(full.verify(&bad).is_err(), "flip {at}");
    }
    for length in (0..bytes.len()).step_by(64) {
        assert!(full.verify(&bytes[..length]).is_err(), "cut {length}");
    }
}
