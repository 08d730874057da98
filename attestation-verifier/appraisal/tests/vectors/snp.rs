//! AMD SEV-SNP reports and Azure's evidence.

use crate::common::{AT, json, key, pcr_values};
use crate::{Row, Shown};
use assay_appraisal::checks::{Checks, Mode};
use assay_appraisal::crypto::signature::Sha1;
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::azure::claims::RuntimeClaims;
use assay_appraisal::snp::azure::hcl::HclReport;
use assay_appraisal::snp::azure::verify::{self as azure, AzureVm, ExpectedQuote, RawQuote};
use assay_appraisal::snp::cert_table::{CertTable, EntryKind};
use assay_appraisal::snp::endorsement::Endorsement;
use assay_appraisal::snp::guest_policy::Abi;
use assay_appraisal::snp::policy::{self, Expect, SnpPolicy};
use assay_appraisal::snp::product::GENERATIONS;
use assay_appraisal::snp::report::{self, KeyKind};
use assay_appraisal::snp::verify::{self, AuthenticReport, Certificates, Revocation, Trust};
use assay_appraisal::snp::{Product, SnpRoots};
use assay_appraisal::x509::{Certificate, SignatureCache};
use assay_protocol::ids::UnixMs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// 2025-06-01: the one VLEK was valid from 2024-12-10 to 2025-12-10, as its row says.
const AT_VLEK: UnixMs = UnixMs(1_748_736_000_000);
static CACHE: LazyLock<ChainCache> = LazyLock::new(ChainCache::new);

/// One row of the index.
pub fn row(root: &Path, row: &Row) -> Result<Shown, String> {
    let path = root.join(&row.path);
    match row.kind.as_str() {
        "snp-report" => report_row(&path, &row.expected),
        "snp-report-negative" => refused_report(&path),
        "ark-cert" => root_certificate(&path, &row.expected),
        "ask-cert" | "asvk-cert" => intermediate_certificate(&path),
        "vcek-cert" | "vlek-cert" => leaf_certificate(root, &path, row),
        "vcek-cert-negative" => refused_leaf(&path),
        "amd-ca-chain" => ca_chain(&path, &row.expected),
        "vcek+chain" => Ok(Shown::PartOf("hcl-report-snp.bin")),
        "azure-hcl-report" => hcl_row(&path, &row.expected),
        "azure-runtime-claims" => runtime_claims(&path),
        "azure-evidence-json" => evidence_json(&path),
        "ak-public" => ak_public(&path),
        "nonce" | "pcr-values" | "raw-rsa-signature" | "tpm-attest" => {
            Ok(Shown::PartOf("hcl-report.bin"))
        }
        "snp-cert-table" => cert_table(&path),
        "tsm-report" => tsm_report(&path),
        "dstack-attestation" => embeds(&path, 4),
        "oak-evidence" => embeds(&path, 8),
        "corim" => Ok(Shown::Skipped(
            "reference values: CoRIM is read where it is imported, not with the reports",
        )),
        other => Err(format!("no test for the kind {other}")),
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap().join(name)
}

/// The certificates of a set.
struct Set {
    kind: KeyKind,
    leaf: Vec<u8>,
    intermediate: Vec<u8>,
    root: Vec<u8>,
}

impl Set {
    fn of(folder: &Path) -> Self {
        let vlek = folder.join("vlek.der");
        let (kind, leaf) = match vlek.exists() {
            true => (KeyKind::Vlek, vlek),
            false => (KeyKind::Vcek, folder.join("vcek.der")),
        };
        Self {
            kind,
            leaf: read(&leaf),
            intermediate: read(&folder.join("ask.der")),
            root: read(&folder.join("ark.der")),
        }
    }

    fn of_pem(kind: KeyKind, [leaf, intermediate, root]: [&[u8]; 3]) -> Self {
        let der = |pem| CertificateDer::from_pem_slice(pem).unwrap().to_vec();
        Self {
            kind,
            leaf: der(leaf),
            intermediate: der(intermediate),
            root: der(root),
        }
    }

    fn certificates(&self) -> Certificates<'_> {
        Certificates {
            kind: self.kind,
            leaf: &self.leaf,
            intermediate: &self.intermediate,
            root: &self.root,
        }
    }

    fn at(&self) -> UnixMs {
        match self.kind {
            KeyKind::Vcek => AT,
            KeyKind::Vlek => AT_VLEK,
        }
    }

    fn authenticate(&self, report: &[u8], roots: &SnpRoots) -> Result<AuthenticReport, String> {
        let mut checks = Checks::new(Mode::Verify);
        let trust = trust(roots, self.at());
        let report = verify::authenticate(&mut checks, report, self.certificates(), &trust);
        let report = report.map_err(|e| e.to_string())?;
        report.ok_or_else(|| "nothing came of it".into())
    }
}

fn trust(roots: &SnpRoots, at: UnixMs) -> Trust<'_> {
    Trust {
        roots,
        at,
        revocation: Revocation::default(),
        cache: &CACHE,
    }
}

fn loose() -> SnpPolicy {
    SnpPolicy {
        report_data: Expect::Unchecked,
        measurements: Expect::Unchecked,
        host_data: Expect::Unchecked,
        family_id: Expect::Unchecked,
        image_id: Expect::Unchecked,
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

fn appraise(authentic: &AuthenticReport, policy: &SnpPolicy) -> Result<(), String> {
    let mut checks = Checks::new(Mode::Verify);
    let appraised = policy::appraise(&mut checks, authentic, policy).map_err(|e| e.to_string())?;
    appraised
        .map(drop)
        .ok_or_else(|| "nothing came of it".into())
}

/// The word after `name` in a row's description.
fn said<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let after = text.split_once(name)?.1.trim_start();
    let end = after.find([',', ';', ' ']).unwrap_or(after.len());
    after.get(..end)
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, said: T, found: T) -> Result<(), String> {
    match said == found {
        true => Ok(()),
        false => Err(format!("{what}: the row says {said:?}, the file {found:?}")),
    }
}

fn report_row(path: &Path, expected: &str) -> Result<Shown, String> {
    let bytes_read = read(path);
    let parsed = report::parse(&bytes_read)
        .map_err(|e| e.to_string())?
        .report;
    let version: u32 = said(expected, "report v").unwrap().parse().unwrap();
    equal("version", version, parsed.version.number())?;
    if expected.starts_with("parse-only") {
        let tcb: [u8; 8] = bytes(said(expected, "tcb ").unwrap());
        equal("reported_tcb", tcb, parsed.reported_tcb)?;
        return Ok(Shown::Held(
            "it parses, as the row asks: no VCEK for it was published",
        ));
    }
    if !expected.starts_with("ACCEPT") {
        return Err(format!("unknown expectation {expected}"));
    }
    let set = Set::of(path.parent().unwrap());
    let authentic = set.authenticate(&bytes_read, &SnpRoots::amd())?;
    let named = expected
        .to_lowercase()
        .contains(&authentic.product().name().to_lowercase());
    equal("product", true, named)?;
    appraise(&authentic, &policy_of_row(expected))
        .map_err(|e| format!("policy of the row: {e}"))?;
    if let Some(chip) = said(expected, "chip_id ") {
        equal("chip_id", bytes(chip), parsed.chip_id)?;
    }
    Ok(Shown::Held("authentic, and it says what the row says"))
}

fn policy_of_row(expected: &str) -> SnpPolicy {
    let mut policy = loose();
    policy.key_kinds = match expected.contains("VLEK") {
        true => vec![KeyKind::Vlek],
        false => vec![KeyKind::Vcek],
    };
    if let Some(data) = said(expected, "report_data ") {
        policy.report_data = Expect::Is(bytes(data));
    }
    if let Some(measurement) = said(expected, "measurement ") {
        policy.measurements = Expect::Is(vec![bytes(measurement)]);
    }
    if let Some(vmpl) = said(expected, "vmpl ") {
        policy.vmpl = Expect::Is(vmpl.parse().unwrap());
    }
    if let Some(bits) = said(expected, "policy 0x") {
        policy.debug_allowed = u64::from_str_radix(bits, 16).unwrap() & 1 << 19 != 0;
    }
    policy
}

fn refused_report(path: &Path) -> Result<Shown, String> {
    let set = path.parent().unwrap().parent().unwrap();
    let report = read(path);
    let outcome = match set.join("vcek.der").exists() {
        true => Set::of(set)
            .authenticate(&report, &SnpRoots::amd())
            .map(drop),
        false => report::parse(&report).map(drop).map_err(|e| e.to_string()),
    };
    match outcome {
        Ok(()) => Err("it must be refused".into()),
        Err(_) => Ok(Shown::Held("refused")),
    }
}

fn refused_leaf(path: &Path) -> Result<Shown, String> {
    let folder = path.parent().unwrap().parent().unwrap();
    let set = Set {
        leaf: read(path),
        ..Set::of(folder)
    };
    match set.authenticate(&read(&folder.join("report.bin")), &SnpRoots::amd()) {
        Ok(_) => Err("it must be refused".into()),
        Err(_) => Ok(Shown::Held("refused with the set's report")),
    }
}

fn root_certificate(path: &Path, expected: &str) -> Result<Shown, String> {
    let der = read(path);
    let certificate = Certificate::parse(&der).map_err(|e| e.to_string())?;
    let root = SnpRoots::amd().find(certificate.spki).ok_or("not pinned")?;
    if let Some(product) = said(expected, "AMD root for ") {
        equal("product", product, root.product.name())?;
    }
    Ok(Shown::Held("its key is pinned for its product"))
}

fn intermediate_certificate(path: &Path) -> Result<Shown, String> {
    signed_by(&read(path), &read(&beside(path, "ark.der")))?;
    Ok(Shown::Held("signed by the pinned ARK"))
}

fn signed_by(der: &[u8], issuer: &[u8]) -> Result<(), String> {
    let certificate = Certificate::parse(der).map_err(|e| e.to_string())?;
    let issuer = Certificate::parse(issuer).map_err(|e| e.to_string())?;
    SnpRoots::amd()
        .find(issuer.spki)
        .ok_or("the ARK is not pinned")?;
    certificate
        .verify_signature(
            &issuer.key,
            issuer.spki,
            Sha1::Refused,
            &SignatureCache::new(),
        )
        .map_err(|e| e.to_string())
}

fn leaf_certificate(root: &Path, path: &Path, row: &Row) -> Result<Shown, String> {
    let mut der = read(path);
    if der.starts_with(b"-----") {
        der = CertificateDer::from_pem_slice(&der)
            .map_err(|e| e.to_string())?
            .to_vec();
    }
    let (kind, bundle) = match row.kind.as_str() {
        "vlek-cert" => (KeyKind::Vlek, "vlek"),
        _ => (KeyKind::Vcek, "vcek"),
    };
    let leaf = Endorsement::parse(&der, kind).map_err(|e| e.to_string())?;
    for (name, actual) in [
        ("'bl': ", Some(leaf.tcb.bootloader)),
        ("'tee': ", Some(leaf.tcb.tee)),
        ("'snp': ", Some(leaf.tcb.snp)),
        ("'fmc': ", leaf.tcb.fmc),
    ] {
        if let Some(value) = said(&row.expected, name) {
            equal(name, value.parse().ok(), actual)?;
        }
    }
    let chain = bundle_of(root, leaf.product, bundle);
    let set = Set {
        kind,
        leaf: der.clone(),
        intermediate: chain[0].clone(),
        root: chain[1].clone(),
    };
    let mut checks = Checks::new(Mode::Verify);
    let roots = SnpRoots::amd();
    let key = verify::endorsement(&mut checks, set.certificates(), &trust(&roots, set.at()));
    key.map_err(|e| e.to_string())?
        .ok_or("nothing came of it")?;
    Ok(Shown::Held(
        "endorsed by AMD's root, with the TCB the row says",
    ))
}

/// Intermediate and root as AMD's service gives them.
fn bundle_of(root: &Path, product: Product, kind: &str) -> [Vec<u8>; 2] {
    let product = product.name().to_lowercase();
    let names = [
        format!("ask_ark_{product}_{kind}.pem"),
        format!("ask_ark_{product}.pem"),
    ];
    let folder = root.join("snp/google__go-sev-guest/trust");
    let path = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.exists());
    let list = pem(&read(&path.unwrap()));
    list.try_into().unwrap()
}

fn pem(bytes: &[u8]) -> Vec<Vec<u8>> {
    let list = CertificateDer::pem_slice_iter(bytes);
    list.map(|der| der.unwrap().to_vec()).collect()
}

fn ca_chain(path: &Path, expected: &str) -> Result<Shown, String> {
    let list = pem(&read(path));
    let pinned = |der: &&Vec<u8>| {
        let certificate = Certificate::parse(der).unwrap();
        SnpRoots::amd().find(certificate.spki).is_some()
    };
    let ark = list.iter().find(pinned).ok_or("no pinned ARK")?;
    for der in &list {
        signed_by(der, ark)?;
        let digest = Certificate::parse(der).unwrap().digest().to_string();
        if expected.contains("sha256(") && !expected.contains(&digest) {
            return Err(format!("{digest} is not in the row"));
        }
    }
    Ok(Shown::Held("every certificate is signed by the pinned ARK"))
}

/// Report, claims and certificates of an Azure folder.
fn azure_vm(hcl: &[u8], set: &Set) -> Result<AzureVm, String> {
    let mut checks = Checks::new(Mode::Verify);
    let roots = SnpRoots::amd();
    let trust = trust(&roots, AT);
    let vm = azure::vm(&mut checks, hcl, set.certificates(), &trust, &loose());
    let vm = vm.map_err(|e| e.to_string())?;
    vm.ok_or_else(|| "nothing came of it".into())
}

fn azure_quote(folder: &Path, vm: &AzureVm) -> Result<(), String> {
    let file = |name| read(&folder.join(name));
    let (attest, signature, nonce) = (
        file("quote.attest.bin"),
        file("quote.rawsig.bin"),
        file("nonce.bin"),
    );
    let raw = RawQuote {
        attest: &attest,
        signature: &signature,
        pcrs: &pcr_values(&folder.join("pcrs.json")),
    };
    let expected = ExpectedQuote {
        nonce: &nonce,
        selection: &azure::SELECTION,
    };
    let mut checks = Checks::new(Mode::Verify);
    let quote = azure::quote(&mut checks, vm, raw, expected).map_err(|e| e.to_string())?;
    quote.map(drop).ok_or_else(|| "nothing came of it".into())
}

fn hcl_row(path: &Path, expected: &str) -> Result<Shown, String> {
    let folder = path.parent().unwrap();
    let bytes = read(path);
    if expected.starts_with("ACCEPT") {
        azure_quote(folder, &azure_vm(&bytes, &Set::of(folder))?)?;
        return Ok(Shown::Held("report, claims and quote of one VM"));
    }
    if !expected.contains("REJECT as a pair") {
        return Err(format!("unknown expectation {expected}"));
    }
    let hcl = HclReport::parse(&bytes).map_err(|e| e.to_string())?;
    let report = report::parse(hcl.snp_report)
        .map_err(|e| e.to_string())?
        .report;
    equal("report_data", hcl.report_data(), report.report_data)?;
    let [leaf, intermediate, root] = pem(&read(&folder.join("certs.pem"))).try_into().unwrap();
    let set = Set {
        kind: KeyKind::Vcek,
        leaf,
        intermediate,
        root,
    };
    let mut checks = Checks::new(Mode::Verify);
    let roots = SnpRoots::amd();
    let key = verify::endorsement(&mut checks, set.certificates(), &trust(&roots, AT));
    key.map_err(|e| e.to_string())?
        .ok_or("the chain itself holds")?;
    let refused = set.authenticate(hcl.snp_report, &roots).unwrap_err();
    equal(
        "refusal",
        true,
        refused.starts_with("snp-leaf-tcb") || refused.starts_with("snp-leaf-chip"),
    )?;
    Ok(Shown::Held(
        "its claims are bound, and the VCEK of another chip is refused",
    ))
}

fn runtime_claims(path: &Path) -> Result<Shown, String> {
    let bytes = read(&beside(path, "hcl-report.bin"));
    let hcl = HclReport::parse(&bytes).map_err(|e| e.to_string())?;
    equal("claims", read(path).as_slice(), hcl.claims)?;
    Ok(Shown::Held("equal to the claims of the HCL report"))
}

fn ak_public(path: &Path) -> Result<Shown, String> {
    let bytes = read(&beside(path, "hcl-report.bin"));
    let hcl = HclReport::parse(&bytes).map_err(|e| e.to_string())?;
    let claims = RuntimeClaims::parse(hcl.claims).map_err(|e| e.to_string())?;
    equal("AK", key(path)?, claims.attestation_key)?;
    Ok(Shown::Held("equal to the key the claims name"))
}

fn evidence_json(path: &Path) -> Result<Shown, String> {
    let evidence = json(path);
    let places = [
        "/tpm_quote/message",
        "/quote/message",
        "/evidence/tpm_quote/message",
    ];
    let message = places
        .iter()
        .find_map(|place| evidence.pointer(place))
        .unwrap();
    let message = match message {
        Value::String(text) => hex::decode(text).unwrap(),
        list => serde_json::from_value(list.clone()).unwrap(),
    };
    equal("quote", message, read(&beside(path, "quote.attest.bin")))?;
    Ok(Shown::Held("its quote is the one that is verified"))
}

fn table_set(table: &[u8]) -> Set {
    let table = CertTable::parse(table).unwrap();
    let parts =
        [EntryKind::Vcek, EntryKind::Ask, EntryKind::Ark].map(|kind| table.get(kind).unwrap());
    Set::of_pem(KeyKind::Vcek, parts)
}

fn cert_table(path: &Path) -> Result<Shown, String> {
    let set = table_set(&read(path));
    let mut checks = Checks::new(Mode::Verify);
    let roots = SnpRoots::amd();
    let key = verify::endorsement(&mut checks, set.certificates(), &trust(&roots, AT));
    key.map_err(|e| e.to_string())?
        .ok_or("nothing came of it")?;
    Ok(Shown::Held(
        "its three certificates are a chain to AMD's root",
    ))
}

fn tsm_report(path: &Path) -> Result<Shown, String> {
    let (outblob, auxblob) = match path.extension().and_then(|e| e.to_str()) {
        Some("json") => {
            let report = json(path);
            let part = |name: &str| base64url(report[name].as_str().unwrap());
            (part("outblob"), part("auxblob"))
        }
        _ => {
            let report: ciborium::Value = ciborium::from_reader(read(path).as_slice()).unwrap();
            let members = report.into_map().unwrap();
            let part = |name: &str| {
                let member = members.iter().find(|(key, _)| key.as_text() == Some(name));
                member.unwrap().1.as_bytes().unwrap().clone()
            };
            (part("outblob"), part("auxblob"))
        }
    };
    table_set(&auxblob).authenticate(&outblob, &SnpRoots::amd())?;
    Ok(Shown::Held(
        "its report is authentic by the certificates of its table",
    ))
}

fn base64url(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut held, mut out) = (0u32, 0, Vec::new());
    for byte in text.trim_end_matches('=').bytes() {
        let value = alphabet.iter().position(|known| *known == byte).unwrap();
        (bits, held) = (bits << 6 | value as u32, held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

fn embeds(path: &Path, at: usize) -> Result<Shown, String> {
    let (container, report) = (read(path), read(&beside(path, "report.bin")));
    let embedded = container.get(at..at + report.len());
    equal("report", Some(report.as_slice()), embedded)?;
    Ok(Shown::Held("it carries the report that is verified"))
}

/// One derived case: an error is a refusal.
pub fn case(folder: &Path, manifest: &Value) -> Result<(), String> {
    match manifest["id"].as_str().unwrap().split('/').next().unwrap() {
        "snp" => snp_case(folder, manifest),
        "snp-testroot" => test_root_case(folder),
        "azure-hcl" => {
            let vm = azure_vm(&read(&folder.join("hcl-report.bin")), &Set::of(folder))?;
            azure_quote(folder, &vm)
        }
        other => panic!("no test for {other}"),
    }
}

fn snp_case(folder: &Path, manifest: &Value) -> Result<(), String> {
    let set = Set::of(folder);
    let mut policy = loose();
    policy.debug_allowed = match manifest["policy"].as_str() {
        None => true,
        Some("debug must be disabled") => false,
        Some(other) => panic!("no test for the policy {other}"),
    };
    if set.kind == KeyKind::Vlek {
        policy.vmpl = Expect::Is(1);
    }
    if let Some(data) = manifest["expected_report_data"].as_str() {
        policy.report_data = Expect::Is(bytes(data));
    }
    let authentic = set.authenticate(&read(&folder.join("report.bin")), &SnpRoots::amd())?;
    appraise(&authentic, &policy)
}

/// AMD's roots must refuse all of them; only then the case's own root is made the anchor.
fn test_root_case(folder: &Path) -> Result<(), String> {
    let (set, report) = (Set::of(folder), read(&folder.join("report.bin")));
    let by_amd = set.authenticate(&report, &SnpRoots::amd());
    assert!(
        by_amd.is_err(),
        "{}: AMD's roots accept it",
        folder.display()
    );
    let root = Certificate::parse(&set.root).unwrap();
    let roots = SnpRoots::test([(Product::Milan, root.spki)]);
    appraise(&set.authenticate(&report, &roots)?, &loose())
}
