//! Generated chips, reports and certificates: each check has the smallest change that only it refuses.

use super::policy::{self, Expect, SnpPolicy};
use super::product::GENERATIONS;
use super::report::{self, KeyKind};
use super::verify::{self, Certificates, Revocation, RevocationList, Trust};
use super::{AuthenticReport, Product, RootKind, SnpRoots};
use crate::checks::{Checks, Mode, Outcome};
use crate::snp::guest_policy::Abi;
use crate::x509::{Certificate, SignatureCache};
use assay_protocol::ids::UnixMs;
use assay_testbed::snp as testbed;
use std::sync::LazyLock;
use testbed::{Authority, CaKey, CertificateSpec, Chip, ChipKey, Extension};

mod azure;
mod chassis;
mod expectations;

/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);

/// A chip, its certificates and what it is judged by; a test changes one thing.
struct Case {
    chip: Chip,
    report: Vec<u8>,
    kind: KeyKind,
    leaf: Vec<u8>,
    intermediate: Vec<u8>,
    root: Vec<u8>,
    roots: SnpRoots,
    at: UnixMs,
    required: bool,
    list: Option<Listed>,
}

enum Listed {
    Revoked(bool),
    Unusable,
}

impl RevocationList for Listed {
    fn is_revoked(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        at: UnixMs,
    ) -> Result<bool, String> {
        assert_eq!((certificate.issuer, at), (issuer.subject, AT));
        match self {
            Self::Revoked(revoked) => Ok(*revoked),
            Self::Unusable => Err("another signer".into()),
        }
    }
}

fn product(product: testbed::Product) -> Product {
    match product {
        testbed::Product::Milan => Product::Milan,
        testbed::Product::Genoa => Product::Genoa,
        testbed::Product::Turin => Product::Turin,
    }
}

impl Case {
    fn new(of: testbed::Product, version: u32) -> Self {
        let (chip, shared) = (Chip::new(of), Authority::shared());
        let certificates = testbed::Certificates::of(of);
        Self {
            report: chip.sign(chip.report(version)),
            kind: KeyKind::Vcek,
            leaf: chip.vcek(),
            intermediate: certificates.ask,
            root: certificates.ark,
            roots: SnpRoots::test([(product(of), shared.ark.spki().as_slice())]),
            at: AT,
            required: false,
            list: None,
            chip,
        }
    }

    fn genoa() -> Self {
        Self::new(testbed::Product::Genoa, 5)
    }

    fn vlek() -> Self {
        let mut case = Self::genoa();
        case.kind = KeyKind::Vlek;
        case.leaf = case.chip.vlek();
        case.intermediate = testbed::Certificates::of(case.chip.product).asvk;
        case.sign(|report| report.with(0x48, &[4]).with(0x1a0, &[0; 64]));
        case
    }

    /// Signs a changed report.
    fn sign(&mut self, change: impl FnOnce(testbed::Report) -> testbed::Report) {
        self.report = self.chip.sign(change(self.chip.report(5)));
    }

    /// Signs a changed leaf.
    fn leaf(&mut self, change: impl FnOnce(&mut CertificateSpec)) {
        let (mut spec, issuer) = match self.kind {
            KeyKind::Vcek => (self.chip.vcek_spec(), &Authority::shared().ask),
            KeyKind::Vlek => (self.chip.vlek_spec(), &Authority::shared().asvk),
        };
        change(&mut spec);
        self.leaf = spec.sign(issuer);
    }

    fn ask(&mut self, change: impl FnOnce(&mut CertificateSpec)) {
        let shared = Authority::shared();
        let mut spec = shared.ask_spec(self.chip.product);
        change(&mut spec);
        self.intermediate = spec.sign(&shared.ark);
    }

    fn ark(&mut self, change: impl FnOnce(&mut CertificateSpec)) {
        let shared = Authority::shared();
        let mut spec = shared.ark_spec(self.chip.product);
        change(&mut spec);
        self.root = spec.sign(&shared.ark);
    }

    fn run(&self, mode: Mode) -> (Checks, Option<AuthenticReport>) {
        static CACHE: LazyLock<SignatureCache> = LazyLock::new(SignatureCache::new);
        let mut checks = Checks::new(mode);
        let certificates = Certificates {
            kind: self.kind,
            leaf: &self.leaf,
            intermediate: &self.intermediate,
            root: &self.root,
        };
        let trust = Trust {
            roots: &self.roots,
            at: self.at,
            revocation: Revocation {
                required: self.required,
                list: self.list.as_ref().map(|list| list as &dyn RevocationList),
            },
            cache: &CACHE,
        };
        let report = verify::authenticate(&mut checks, &self.report, certificates, &trust);
        (checks, report.unwrap_or_default())
    }

    fn authentic(&self) -> AuthenticReport {
        let (checks, report) = self.run(Mode::Verify);
        report.unwrap_or_else(|| panic!("refused:\n{checks}"))
    }

    /// Names of the checks that did not pass when all are run; nothing may come of the report.
    fn failed(&self) -> Vec<String> {
        let (checks, report) = self.run(Mode::Explain);
        assert_eq!(report.is_some(), checks.passed());
        failed(&checks)
    }

    fn refused_by(&self, name: &str) {
        assert_eq!(self.failed(), [name]);
        assert!(self.run(Mode::Verify).1.is_none(), "{name}");
    }
}

fn failed(checks: &Checks) -> Vec<String> {
    let failed = checks.list().iter().filter(|c| c.outcome != Outcome::Pass);
    failed.map(|c| c.name.clone()).collect()
}

#[test]
fn every_version_product_and_kind_of_key_is_authenticated() {
    use testbed::Product::{Genoa, Milan, Turin};
    for (of, version) in [
        (Milan, 2),
        (Milan, 3),
        (Genoa, 2),
        (Genoa, 3),
        (Genoa, 5),
        (Turin, 3),
        (Turin, 5),
    ] {
        let case = Case::new(of, version);
        let report = case.authentic();
        assert_eq!(
            (report.product(), report.root_kind()),
            (product(of), RootKind::Test)
        );
        assert_eq!((report.key_kind(), report.csp_id()), (KeyKind::Vcek, None));
        assert_eq!(report.chip_id(), Some(&case.chip.chip_id));
        let fmc = (of == Turin).then_some(1);
        let tcbs = report.tcbs();
        assert_eq!((tcbs.reported.fmc, tcbs.reported.microcode), (fmc, 219));
        assert_eq!((tcbs.committed, tcbs.launch), (tcbs.current, tcbs.current));
        assert_eq!(report.report().version.number(), version);
    }
    let vlek = Case::vlek().authentic();
    assert_eq!(vlek.csp_id(), Some("CN=cloud.example"));
    assert_eq!((vlek.key_kind(), vlek.chip_id()), (KeyKind::Vlek, None));
}

#[test]
fn a_vlek_report_that_names_a_chip_still_proves_none() {
    let mut case = Case::vlek();
    case.sign(|report| report.with(0x48, &[4]));
    assert_eq!(case.authentic().chip_id(), None);
}

#[test]
fn fields_are_where_the_specification_puts_them() {
    let chip = Chip::new(testbed::Product::Genoa);
    let mut report = chip.report(5);
    for (at, bytes) in [
        (0x04, &[1, 2, 0, 0][..]),
        (0x10, &[0x10; 16]),
        (0x20, &[0x20; 16]),
        (0x30, &[3]),
        (0x38, &[0x38; 8]),
        (0x48, &[3]),
        (0x50, &[0x50; 64]),
        (0x90, &[0x90; 48]),
        (0xc0, &[0xc0; 32]),
        (0xe0, &[0xe0; 48]),
        (0x110, &[0x11; 48]),
        (0x140, &[0x14; 32]),
        (0x160, &[0x16; 32]),
        (0x180, &[0x18; 8]),
        (0x188, &[1, 2, 3]),
        (0x1a0, &[0x1a; 64]),
        (0x1e0, &[0x1e; 8]),
        (0x1e8, &[1, 2, 3, 0, 4, 5, 6, 0]),
        (0x1f0, &[0x1f; 8]),
        (0x1f8, &[0x0a; 8]),
        (0x200, &[0x0b; 8]),
    ] {
        report.set(at, bytes);
    }
    let bytes = chip.sign(report);
    let parsed = report::parse(&bytes).unwrap();
    assert_eq!(parsed.signed, &bytes[..0x2a0]);
    let r = parsed.report;
    assert_eq!((r.guest_svn, r.policy.bits(), r.vmpl), (0x201, 0x3_0000, 3));
    assert_eq!((r.family_id, r.image_id), ([0x10; 16], [0x20; 16]));
    assert_eq!((r.current_tcb, r.platform_info), ([0x38; 8], 0x25));
    assert!(r.author_key_enabled && r.chip_key_masked && r.signing_key == KeyKind::Vcek);
    assert_eq!(
        (r.report_data, r.measurement, r.host_data),
        ([0x50; 64], [0x90; 48], [0xc0; 32])
    );
    assert_eq!(
        (r.id_key_digest, r.author_key_digest),
        ([0xe0; 48], [0x11; 48])
    );
    assert_eq!(
        (r.report_id, r.report_id_ma, r.reported_tcb),
        ([0x14; 32], [0x16; 32], [0x18; 8])
    );
    let cpuid = r.cpuid.unwrap();
    assert_eq!((cpuid.family, cpuid.model, cpuid.stepping), (1, 2, 3));
    assert_eq!(cpuid.to_string(), "family 0x01 model 0x02 stepping 3");
    assert_eq!(
        (r.chip_id, r.committed_tcb, r.launch_tcb),
        ([0x1a; 64], [0x1e; 8], [0x1f; 8])
    );
    assert_eq!(
        (
            r.current_firmware.to_string(),
            r.committed_firmware.to_string()
        ),
        ("3.2.1".into(), "6.5.4".into())
    );
    let vectors = r.mitigations.unwrap();
    assert_eq!(
        (vectors.launch, vectors.current),
        (0x0a0a_0a0a_0a0a_0a0a, 0x0b0b_0b0b_0b0b_0b0b)
    );
}

/// Signed with them, so that only the structure can refuse.
#[test]
fn versions_and_reserved_fields_are_refused_by_name() {
    let chip = Chip::new(testbed::Product::Genoa);
    let refused = |version: u32, at: usize, bytes: &[u8], word: &str| {
        let signed = chip.sign(chip.report(version).with(at, bytes));
        let error = report::parse(&signed).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    };
    for version in [0u32, 1, 4, 6, 7, 0xff, 0x0200_0000, u32::MAX] {
        refused(5, 0, &version.to_le_bytes(), "VERSION: expected 2, 3 or 5");
    }
    refused(5, 0x0a, &[1], "POLICY");
    refused(5, 0x0f, &[1], "POLICY");
    refused(5, 0x30, &[4], "VMPL");
    refused(5, 0x30, &[0xff; 4], "VMPL");
    refused(5, 0x31, &[1], "VMPL");
    for algorithm in [0, 2] {
        refused(5, 0x34, &[algorithm], "SIGNATURE_ALGO");
    }
    refused(5, 0x41, &[1], "PLATFORM_INFO");
    refused(5, 0x47, &[0x80], "PLATFORM_INFO");
    for signer in 2..=7u8 {
        refused(5, 0x48, &[signer << 2], "key information");
    }
    refused(5, 0x48, &[0x20], "key information");
    refused(5, 0x4b, &[0x80], "key information");
    refused(5, 0x110, &[1], "AUTHOR_KEY_DIGEST");
    refused(5, 0x13f, &[1], "AUTHOR_KEY_DIGEST");
    for (version, range) in [
        (5, 0x4c..0x50),
        (5, 0x18b..0x1a0),
        (2, 0x188..0x1a0),
        (5, 0x1eb..0x1ec),
        (5, 0x1ef..0x1f0),
        (3, 0x1f8..0x208),
        (2, 0x1f8..0x208),
        (5, 0x208..0x2a0),
    ] {
        for at in range {
            refused(version, at, &[1], "expected zero");
        }
    }
}

/// None of these bytes is signed: another value would be a second form of the same report.
#[test]
fn padding_of_the_signature_must_be_zero() {
    let good = Case::genoa().report;
    for at in (0x2a0 + 48..0x2a0 + 72).chain(0x2a0 + 120..0x4a0) {
        let mut bytes = good.clone();
        bytes[at] = 1;
        assert!(report::parse(&bytes).is_err(), "{at:#x}");
    }
    assert!(report::parse(&good).is_ok());
}

#[test]
fn every_flipped_byte_and_every_truncation_of_a_report_is_refused() {
    let mut case = Case::genoa();
    let good = case.report.clone();
    for at in 0..good.len() {
        case.report = good.clone();
        case.report[at] ^= 1 << (at % 8);
        assert!(case.run(Mode::Verify).1.is_none(), "flip {at:#x}");
        assert!(report::parse(&good[..at]).is_err(), "cut {at:#x}");
    }
    case.report = [&good[..], &[0]].concat();
    assert_eq!(case.failed(), ["snp-report-structure"]);
}

#[test]
fn every_flipped_byte_and_every_truncation_of_a_certificate_is_refused() {
    for which in 0..3 {
        let mut case = Case::genoa();
        let part = |case: &mut Case, bytes: Vec<u8>| match which {
            0 => case.leaf = bytes,
            1 => case.intermediate = bytes,
            _ => case.root = bytes,
        };
        let good = [&case.leaf, &case.intermediate, &case.root][which].clone();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            part(&mut case, bytes);
            assert!(case.run(Mode::Verify).1.is_none(), "{which}: flip {at}");
            assert!(
                Certificate::parse(&good[..at]).is_err(),
                "{which}: cut {at}"
            );
        }
    }
}

#[test]
fn signatures_by_another_key_or_of_another_size_are_refused() {
    let mut case = Case::genoa();
    ChipKey::generate().sign_report(case.report.as_mut_slice());
    case.refused_by("snp-report-signature");
    for range in [0x2a0..0x2d0, 0x2e8..0x318] {
        let mut case = Case::genoa();
        case.report[range].fill(0);
        case.refused_by("snp-report-signature");
    }
    let mut case = Case::genoa();
    let p256 = ChipKey::p256();
    case.leaf(|spec| spec.spki = p256.spki());
    p256.sign_report(case.report.as_mut_slice());
    assert_eq!(case.failed(), ["snp-leaf-key", "snp-report-signature"]);
}

/// go-sev-guest #190: a root that only carries AMD's name.
#[test]
fn a_root_with_the_right_name_and_another_key_is_refused() {
    let forged = CaKey::generate();
    let mut case = Case::genoa();
    let shared = Authority::shared();
    case.root = CertificateSpec {
        spki: forged.spki(),
        ..shared.ark_spec(case.chip.product)
    }
    .sign(&forged);
    case.intermediate = shared.ask_spec(case.chip.product).sign(&forged);
    case.refused_by("snp-root-pinned");
    let mut case = Case::genoa();
    case.roots = SnpRoots::amd();
    case.refused_by("snp-root-pinned");
    case.roots = SnpRoots::test([]);
    case.refused_by("snp-root-pinned");
    assert!(
        SnpRoots::amd()
            .list()
            .iter()
            .all(|root| root.kind == RootKind::Amd)
    );
    assert_eq!(SnpRoots::amd().list().len(), 3);
}

#[test]
fn each_signature_of_the_chain_is_checked() {
    let other = CaKey::generate();
    let shared = Authority::shared();
    let mut case = Case::genoa();
    case.root = shared.ark_spec(case.chip.product).sign(&other);
    case.refused_by("snp-root-signature");
    let mut case = Case::genoa();
    case.intermediate = shared.ask_spec(case.chip.product).sign(&other);
    case.refused_by("snp-intermediate-signature");
    let mut case = Case::genoa();
    case.leaf = case.chip.vcek_spec().sign(&other);
    case.refused_by("snp-leaf-signature");
}

#[test]
fn other_schemes_and_key_sizes_of_a_certificate_are_refused() {
    let mut case = Case::genoa();
    case.leaf(|spec| spec.pss = false);
    case.refused_by("snp-leaf-signature");
    let mut case = Case::genoa();
    let small = CaKey::of_size(aws_lc_rs::rsa::KeySize::Rsa2048);
    case.ask(|spec| spec.spki = small.spki());
    case.leaf = case.chip.vcek_spec().sign(&small);
    case.refused_by("snp-leaf-signature");
}

#[test]
fn names_must_chain() {
    let mut case = Case::genoa();
    case.ark(|spec| spec.issuer = "ARK-Other".into());
    case.refused_by("snp-root-issuer");
    let mut case = Case::genoa();
    case.ask(|spec| spec.issuer = "ARK-Other".into());
    case.refused_by("snp-intermediate-issuer");
    let mut case = Case::genoa();
    case.leaf(|spec| spec.issuer = "SEV-Other".into());
    case.refused_by("snp-leaf-issuer");
}

/// An ASVK issues VLEKs and an ASK VCEKs; the root signed which is which.
#[test]
fn an_intermediate_of_another_role_or_product_is_refused() {
    for role in ["SEV-VLEK-Genoa", "SEV-Milan", "SEV-GENOA"] {
        let mut case = Case::genoa();
        case.ask(|spec| spec.subject = role.into());
        case.leaf(|spec| spec.issuer = role.into());
        case.refused_by("snp-intermediate-role");
    }
    let mut case = Case::vlek();
    case.ask(|_| {});
    case.leaf = CertificateSpec {
        issuer: "SEV-Genoa".into(),
        ..case.chip.vlek_spec()
    }
    .sign(&Authority::shared().ask);
    case.refused_by("snp-intermediate-role");
}

#[test]
fn a_leaf_or_cpu_of_another_product_is_refused() {
    let mut case = Case::genoa();
    case.leaf(|spec| spec.extensions[1] = Extension::amd_text(&[2], "Milan-B0"));
    case.refused_by("snp-leaf-product");
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x188, &[0x19, 0x01]));
    case.refused_by("snp-report-product");
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x188, &[0x1b, 0x11]));
    case.refused_by("snp-report-product");
    for name in ["Siena", "Bergamo", "Genoa-B1"] {
        let mut case = Case::genoa();
        case.leaf(|spec| spec.extensions[1] = Extension::amd_text(&[2], name));
        assert_eq!(case.authentic().product(), Product::Genoa);
    }
}

#[test]
fn constraints_of_each_certificate_are_read() {
    let no_ca = Extension::basic_constraints(false, None);
    let critical = Extension {
        critical: true,
        oid: vec![0x55, 0x1d, 0x1e],
        value: vec![],
    };
    let no_sign = Extension::key_usage(0x80);
    let too_short = Extension::basic_constraints(true, Some(0));
    let intermediate = [
        vec![],
        vec![no_ca.clone()],
        vec![too_short.clone(), no_sign.clone()],
        vec![too_short.clone(), critical.clone()],
    ];
    for extensions in intermediate {
        let mut case = Case::genoa();
        case.ask(|spec| spec.extensions = extensions);
        case.refused_by("snp-intermediate-constraints");
    }
    for extensions in [
        vec![],
        vec![no_ca.clone()],
        vec![too_short.clone()],
        vec![Extension::basic_constraints(true, None), no_sign],
    ] {
        let mut case = Case::genoa();
        case.ark(|spec| spec.extensions = extensions);
        case.refused_by("snp-root-constraints");
    }
    for extension in [too_short.clone(), critical, Extension::key_usage(0x04)] {
        let mut case = Case::genoa();
        case.leaf(|spec| spec.extensions.push(extension));
        case.refused_by("snp-leaf-constraints");
    }
    let mut case = Case::genoa();
    case.ark(|spec| spec.extensions = vec![Extension::basic_constraints(true, Some(1))]);
    case.ask(|spec| spec.extensions = vec![too_short]);
    case.leaf(|spec| spec.extensions.extend([no_ca, Extension::key_usage(0x80)]));
    case.authentic();
}

#[test]
fn each_certificate_is_judged_at_the_time_given() {
    let early = |spec: &mut CertificateSpec| spec.not_after = "261031235959Z".into();
    let late = |spec: &mut CertificateSpec| spec.not_before = "261101000001Z".into();
    let exact = |spec: &mut CertificateSpec| {
        spec.not_before = "261101000000Z".into();
        spec.not_after = "261101000000Z".into();
    };
    for change in [early, late] {
        let mut case = Case::genoa();
        case.ark(change);
        case.refused_by("snp-root-validity");
        let mut case = Case::genoa();
        case.ask(change);
        case.refused_by("snp-intermediate-validity");
        let mut case = Case::genoa();
        case.leaf(change);
        case.refused_by("snp-leaf-validity");
    }
    let mut case = Case::genoa();
    case.ark(exact);
    case.ask(exact);
    case.leaf(exact);
    case.authentic();
}

#[test]
fn revocation_is_asked_whenever_a_list_is_there_and_undecided_when_one_is_missing() {
    let mut case = Case::genoa();
    case.list = Some(Listed::Revoked(true));
    case.refused_by("snp-revocation");
    case.list = Some(Listed::Unusable);
    case.refused_by("snp-revocation");
    case.list = Some(Listed::Revoked(false));
    case.authentic();
    case.required = true;
    case.authentic();
    case.list = None;
    case.refused_by("snp-revocation");
    let (checks, _) = case.run(Mode::Explain);
    assert_eq!(
        checks
            .list()
            .iter()
            .find(|c| c.name == "snp-revocation")
            .unwrap()
            .outcome,
        Outcome::Undecided
    );
}

#[test]
fn report_and_certificate_must_speak_of_the_same_kind_of_key() {
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x48, &[4]));
    case.refused_by("snp-signing-key");
    let mut case = Case::vlek();
    case.sign(|report| report.with(0x1a0, &[0; 64]));
    case.refused_by("snp-signing-key");
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x48, &[2]));
    case.refused_by("snp-chip-key-mask");
    let mut case = Case::vlek();
    case.sign(|report| report.with(0x48, &[6]));
    case.authentic();
}

/// The VCEK of an older TCB signs a report that claims a newer one, and the other way round.
#[test]
fn the_reported_tcb_must_be_the_certificates() {
    for at in [0x180, 0x181, 0x186, 0x187] {
        let mut case = Case::genoa();
        let value = case.report[at] - 1;
        case.sign(|report| report.with(at, &[value]));
        case.refused_by("snp-leaf-tcb");
    }
    let mut case = Case::new(testbed::Product::Turin, 5);
    case.chip.tcb[0] = 2;
    case.leaf = case.chip.vcek();
    case.refused_by("snp-leaf-tcb");
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x38, &[9]).with(0x1e0, &[3]).with(0x1f0, &[8]));
    let tcbs = *case.authentic().tcbs();
    let loaders =
        [tcbs.current, tcbs.committed, tcbs.launch, tcbs.reported].map(|tcb| tcb.bootloader);
    assert_eq!(loaders, [9, 3, 8, 4]);
}

#[test]
fn reserved_bytes_of_each_tcb_are_refused() {
    for at in [0x38, 0x180, 0x1e0, 0x1f0] {
        let mut case = Case::genoa();
        case.sign(|report| report.with(at + 3, &[1]));
        case.refused_by("snp-tcb-layout");
    }
}

#[test]
fn the_chip_must_be_the_certificates_or_masked() {
    for at in [0x1a0, 0x1df] {
        let mut case = Case::genoa();
        case.sign(|report| report.with(at, &[0]));
        case.refused_by("snp-leaf-chip");
    }
    let mut case = Case::new(testbed::Product::Turin, 5);
    case.report = case.chip.sign(case.chip.report(5).with(0x1a8, &[1]));
    case.refused_by("snp-leaf-chip");
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x1a0, &[0; 64]));
    assert_eq!(case.authentic().chip_id(), None);
}

#[test]
fn an_endorsement_needs_every_extension_of_its_kind_and_none_of_the_other() {
    let drop_one = |kind: &str, at: usize| {
        let mut case = if kind == "vlek" {
            Case::vlek()
        } else {
            Case::genoa()
        };
        case.leaf(|spec| drop(spec.extensions.remove(at)));
        case.failed()
    };
    // In the order of the testbed: structVersion, productName, bl, tee, spl4 to spl7, snp, ucode, hwID or cspID.
    for kind in ["vcek", "vlek"] {
        for at in [0, 1, 2, 3, 8, 9, 10] {
            assert_eq!(drop_one(kind, at), ["snp-leaf-structure"], "{kind} {at}");
        }
        for at in 4..8 {
            assert_eq!(drop_one(kind, at), [""; 0], "{kind} {at}");
        }
    }
    let mut case = Case::new(testbed::Product::Turin, 5);
    case.leaf(|spec| drop(spec.extensions.remove(2)));
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
}

#[test]
fn endorsements_with_wrong_extensions_are_refused() {
    let change = |at: usize, to: Extension| {
        let mut case = Case::genoa();
        case.leaf(|spec| spec.extensions[at] = to);
        assert_eq!(case.failed(), ["snp-leaf-structure"], "{at}");
    };
    change(0, Extension::amd_number(&[1], 1));
    change(1, Extension::amd_text(&[2], "Venice"));
    change(1, Extension::amd(&[2], testbed::der(0x0c, &[b"Genoa"])));
    change(
        1,
        Extension::amd(&[2], [testbed::der(0x16, &[b"Genoa"]), vec![0]].concat()),
    );
    change(2, Extension::amd(&[3, 1], vec![2, 2, 1, 4]));
    change(2, Extension::amd(&[3, 1], vec![2, 1, 4, 0]));
    change(4, Extension::amd_number(&[3, 4], 1));
    change(7, Extension::amd_number(&[3, 7], 1));
    change(4, Extension::amd_number(&[3, 9], 0));
    change(10, Extension::amd(&[4], vec![0xc1; 63]));
    change(10, Extension::amd(&[4], vec![0xc1; 65]));
    change(10, Extension::amd(&[4], vec![0xc1; 8]));
    let mut case = Case::genoa();
    case.leaf(|spec| spec.extensions.push(Extension::amd_text(&[5], "CN=x")));
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
    for bad in ["", &"x".repeat(257), "\u{e9}"] {
        let mut case = Case::vlek();
        case.leaf(|spec| spec.extensions[10] = Extension::amd_text(&[5], bad));
        assert_eq!(case.failed(), ["snp-leaf-structure"], "{bad}");
    }
    let mut case = Case::vlek();
    case.leaf(|spec| spec.extensions[10] = Extension::amd_text(&[5], &"x".repeat(256)));
    case.authentic();
    case.leaf(|spec| spec.extensions.push(Extension::amd(&[4], vec![0xc1; 64])));
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
    let mut case = Case::genoa();
    case.leaf(|spec| spec.subject = "SEV-VLEK".into());
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
    let mut case = Case::genoa();
    case.kind = KeyKind::Vlek;
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
}

#[test]
fn broken_certificates_are_named() {
    let mut case = Case::genoa();
    case.intermediate.pop();
    assert_eq!(case.failed(), ["snp-intermediate-structure"]);
    let mut case = Case::genoa();
    case.root.push(0);
    assert_eq!(case.failed(), ["snp-root-structure"]);
    let mut case = Case::genoa();
    case.report.clear();
    assert_eq!(case.failed(), ["snp-report-structure"]);
}

#[test]
fn a_chain_alone_yields_the_key_it_endorses() {
    let endorsed = |case: &Case| {
        let mut checks = Checks::new(Mode::Verify);
        let certificates = Certificates {
            kind: case.kind,
            leaf: &case.leaf,
            intermediate: &case.intermediate,
            root: &case.root,
        };
        let trust = Trust {
            roots: &case.roots,
            at: case.at,
            revocation: Revocation::default(),
            cache: &SignatureCache::new(),
        };
        verify::endorsement(&mut checks, certificates, &trust)
    };
    let mut case = Case::genoa();
    let key = endorsed(&case).unwrap().unwrap();
    assert_eq!(
        (key.product(), key.root_kind(), key.kind()),
        (Product::Genoa, RootKind::Test, KeyKind::Vcek)
    );
    assert_eq!(
        (key.tcb().microcode, key.hardware_id()),
        (219, Some(&case.chip.chip_id))
    );
    case.leaf(|spec| spec.not_after = "250101000000Z".into());
    assert_eq!(endorsed(&case).unwrap_err().0.name, "snp-leaf-validity");
    case.leaf.clear();
    assert_eq!(endorsed(&case).unwrap_err().0.name, "snp-leaf-structure");
}

/// Certificates repeat: a second report of the same chip costs one signature.
#[test]
fn signatures_of_a_chain_are_remembered_and_its_dates_are_not() {
    let mut case = Case::genoa();
    case.authentic();
    case.at = UnixMs(0);
    let expected = [
        "snp-root-validity",
        "snp-intermediate-validity",
        "snp-leaf-validity",
    ];
    assert_eq!(case.failed(), expected);
}

fn policy() -> SnpPolicy {
    SnpPolicy {
        report_data: Expect::Is([0; 64]),
        measurements: Expect::Is(vec![[0x11; 48]]),
        host_data: Expect::Is([0; 32]),
        family_id: Expect::Is([0; 16]),
        image_id: Expect::Is([0; 16]),
        id_keys: Expect::Unchecked,
        author_keys: Expect::Unchecked,
        guest_svn_min: 0,
        vmpl: 0,
        debug_allowed: false,
        migration_allowed: false,
        smt_allowed: true,
        single_socket_required: false,
        abi_min: Abi { major: 0, minor: 0 },
        platform_required: 0,
        key_kinds: vec![KeyKind::Vcek, KeyKind::Vlek],
        masked_chip_id_allowed: false,
        tcb_floors: Expect::Unchecked,
        launch_mitigations: 0,
        current_mitigations: 0,
        generations: GENERATIONS.to_vec(),
        tier_min: 0,
    }
}

/// Names of the checks that fail, when all are run, for an authentic report under a policy.
fn appraise(case: &Case, policy: &SnpPolicy) -> Vec<String> {
    let mut checks = Checks::new(Mode::Explain);
    let appraised = policy::appraise(&mut checks, &case.authentic(), policy).unwrap();
    assert_eq!(appraised.is_some(), checks.passed());
    failed(&checks)
}
