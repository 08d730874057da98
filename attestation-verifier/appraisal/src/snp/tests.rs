//! Generated chips, reports and certificates: each check has the smallest change that only it refuses.

use super::policy::{self, Expect, SnpPolicy};
use super::product::GENERATIONS;
use super::report::{self, KeyKind};
use super::verify::{self, Certificates, Revocation, RevocationList, Trust};
use super::{AuthenticReport, Product, RootKind, SnpRoots};
use crate::checks::{Checks, Mode, Outcome};
use crate::snp::ChainCache;
use crate::snp::guest_policy::Abi;
use crate::x509::Certificate;
use assay_protocol::ids::UnixMs;
use assay_testbed::snp as testbed;
use std::sync::LazyLock;
use testbed::{Authority, CaKey, CertificateSpec, Chip, ChipKey, Extension};

mod azure;
mod chain;
mod chassis;
mod endorsement;
mod expectations;
mod report_bytes;

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
        static CACHE: LazyLock<ChainCache> = LazyLock::new(ChainCache::new);
        self.run_with(&CACHE, mode)
    }

    fn certificates(&self) -> Certificates<'_> {
        Certificates {
            kind: self.kind,
            leaf: &self.leaf,
            intermediate: &self.intermediate,
            root: &self.root,
        }
    }

    fn run_with(&self, cache: &ChainCache, mode: Mode) -> (Checks, Option<AuthenticReport>) {
        let mut checks = Checks::new(mode);
        let certificates = self.certificates();
        let trust = Trust {
            roots: &self.roots,
            at: self.at,
            revocation: Revocation {
                required: self.required,
                list: self.list.as_ref().map(|list| list as &dyn RevocationList),
            },
            cache,
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
    failed.map(|c| c.name.into()).collect()
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
        vmpl: Expect::Is(0),
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
