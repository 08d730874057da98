//! Real attestation data against what must come out of it: quotes, event logs and EK certificates of
//! many vendors, and the negative cases derived from them. The data is not part of the repository: it is
//! read from `$ASSAY_VECTORS`, by default `shared/vectors` beside the repository.

use assay_appraisal::ek::{self, EkError, Roots};
use assay_appraisal::eventlog::{self, EventLog};
use assay_appraisal::quote::{self, Expected, PcrValues, Received};
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::attest::{self, PcrSelection};
use assay_appraisal::tpm::key::PublicKey;
use assay_appraisal::tpm::public;
use assay_protocol::hash::digest;
use assay_protocol::ids::UnixMs;
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// 2026-11-01, as the data's description asks.
const AT: UnixMs = UnixMs(1_793_491_200_000);
/// 2026-11-23: the software TPM's certificates were made after the common date.
const AT_SOFTWARE_TPM: UnixMs = UnixMs(1_795_392_000_000);

fn vectors() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("ASSAY_VECTORS").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT TESTED: no reference data at {} (set ASSAY_VECTORS)",
        folder.display()
    );
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

fn bank(name: &str) -> HashAlg {
    match name {
        "sha1" => HashAlg::Sha1,
        "sha256" => HashAlg::Sha256,
        "sha384" => HashAlg::Sha384,
        other => panic!("bank {other}"),
    }
}

fn pcr_values(path: &Path) -> PcrValues {
    let mut values = PcrValues::new();
    for (name, list) in json(path).as_object().unwrap() {
        for (index, value) in list.as_object().unwrap() {
            let value = hex::decode(value.as_str().unwrap()).unwrap();
            values.insert((bank(name), index.parse().unwrap()), value);
        }
    }
    values
}

fn selection(set: &Value) -> Vec<PcrSelection> {
    let entries = set["pcr_selection"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| PcrSelection {
            bank: bank(entry["bank"].as_str().unwrap()),
            mask: entry["pcrs"]
                .as_array()
                .unwrap()
                .iter()
                .fold(0, |mask, index| mask | 1 << index.as_u64().unwrap()),
        })
        .collect()
}

fn key(path: &Path) -> Result<PublicKey, String> {
    let pem = fs::read(path).map_err(|e| e.to_string())?;
    let spki = SubjectPublicKeyInfoDer::from_pem_slice(&pem).map_err(|e| e.to_string())?;
    PublicKey::from_spki(&spki).map_err(|e| e.to_string())
}

/// Authenticates the quote of a folder against an expected selection.
fn quote(folder: &Path, selection: &[PcrSelection]) -> Result<PcrValues, String> {
    let read = |name| fs::read(folder.join(name)).unwrap();
    let pcrs = match folder.join("pcrs.json") {
        path if path.exists() => pcr_values(&path),
        _ => PcrValues::new(),
    };
    let (attest, signature) = (read("attest.bin"), read("sig.bin"));
    let received = Received {
        attest: &attest,
        signature: &signature,
        pcrs: &pcrs,
    };
    let key = key(&folder.join("ak.pem"))?;
    let nonce = read("nonce.bin");
    let expected = Expected {
        key: &key,
        qualifying_data: &nonce,
        selection,
    };
    quote::verify(received, expected).map_err(|e| e.to_string())?;
    Ok(pcrs)
}

/// PCRs the log extends whose replay differs from the quoted value.
fn mismatches(log: &EventLog<'_>, bank: HashAlg, quoted: &PcrValues) -> Result<Vec<u32>, String> {
    let replayed = log.replay(bank).map_err(|e| e.to_string())?;
    let differs = |(index, value): (u32, Vec<u8>)| {
        quoted
            .get(&(bank, index))
            .is_some_and(|quoted| *quoted != value)
            .then_some(index)
    };
    Ok(replayed.into_iter().filter_map(differs).collect())
}

#[test]
fn real_quotes_are_authenticated() {
    let Some(root) = vectors() else { return };
    let (mut accepted, mut refused, mut skipped) = (0, 0, 0);
    for set in folders(&root.join("tpm-quote"))
        .iter()
        .flat_map(|source| folders(source))
    {
        if !set.join("set.json").exists() {
            continue;
        }
        let manifest = json(&set.join("set.json"));
        let name = manifest["set"].as_str().unwrap();
        let weak = manifest["sigalg"].as_str().unwrap().ends_with("SHA1");
        let expected = manifest["expected"].as_str().unwrap().starts_with("accept") && !weak;
        let outcome = quote(&set, &selection(&manifest));
        if expected && !set.join("pcrs.json").exists() {
            eprintln!("skipped {name}: PCR values were not published with the quote");
            assert!(outcome.unwrap_err().contains("quote-pcr-values"));
            skipped += 1;
            continue;
        }
        assert_eq!(outcome.is_ok(), expected, "{name}: {outcome:?}");
        *if expected {
            &mut accepted
        } else {
            &mut refused
        } += 1;
        if let Ok(pcrs) = outcome {
            check_log(&set, &manifest, &pcrs);
        }
        check_public(&set, &manifest);
    }
    eprintln!("quotes: {accepted} accepted, {refused} refused as they must, {skipped} skipped");
    assert_eq!((accepted, refused, skipped), (30, 2, 2));
}

fn check_log(set: &Path, manifest: &Value, pcrs: &PcrValues) {
    let Ok(bytes) = fs::read(set.join("eventlog.bin")) else {
        return;
    };
    let log = eventlog::parse(&bytes).unwrap();
    for (name, expected) in manifest["eventlog"]["replay"].as_object().unwrap() {
        let expected: Vec<u32> = serde_json::from_value(expected["mismatch"].clone()).unwrap();
        let Ok(found) = mismatches(&log, bank(name), pcrs) else {
            // Firmware that declares SHA-1 and omits its digests.
            assert!(!expected.is_empty() && name == "sha1", "{}", set.display());
            continue;
        };
        assert_eq!(found, expected, "{} {name}", set.display());
    }
}

fn check_public(set: &Path, manifest: &Value) {
    let Ok(bytes) = fs::read(set.join("ak.tpmt_public.bin")) else {
        return;
    };
    let public = public::parse(&bytes).unwrap();
    assert_eq!(Ok(public.key.clone()), key(&set.join("ak.pem")));
    if let Some(name) = manifest["ak_name"].as_str() {
        assert_eq!(public.name().unwrap().to_string(), name);
    }
}

/// A whole set, as far as this crate goes without policy: quote, then log of the banks named.
fn appraise(folder: &Path, selection: &[PcrSelection], banks: &[HashAlg]) -> Result<(), String> {
    let pcrs = quote(folder, selection)?;
    let Ok(bytes) = fs::read(folder.join("eventlog.bin")) else {
        return Ok(());
    };
    let log = eventlog::parse(&bytes).map_err(|e| e.to_string())?;
    for bank in banks {
        match mismatches(&log, *bank, &pcrs)?.as_slice() {
            [] => {}
            list => return Err(format!("replay of {bank:?} differs for PCRs {list:?}")),
        }
    }
    // EV_EFI_VARIABLE_DRIVER_CONFIG and EV_EFI_ACTION are hashes of their data.
    let unproven = |event: &&eventlog::Event<'_>| {
        matches!(event.kind, 0x8000_0001 | 0x8000_0007) && event.proven_data().is_none()
    };
    match log.events.iter().find(unproven) {
        Some(event) => Err(format!(
            "data of an event on PCR {} is not proven",
            event.pcr
        )),
        None => Ok(()),
    }
}

#[test]
fn negative_quotes_and_logs_are_refused_and_controls_accepted() {
    let Some(root) = vectors() else { return };
    let (mut accepted, mut refused) = (0, 0);
    for group in ["tpm-quote", "tpm-quote-forged", "eventlog"] {
        for case in folders(&root.join("negative").join(group)) {
            let manifest = json(&case.join("case.json"));
            let name = manifest["id"].as_str().unwrap();
            let selection = case_selection(&root, &case, &manifest);
            let mut banks: Vec<HashAlg> = selection.iter().map(|s| s.bank).collect();
            if name.ends_with("control-smicro") {
                banks.retain(|bank| *bank == HashAlg::Sha256);
            }
            if name.ends_with("control-lud") {
                // Its firmware keeps no SHA-384 log.
                banks.retain(|bank| *bank != HashAlg::Sha384);
            }
            let outcome = appraise(&case, &selection, &banks);
            let expected = manifest["required_outcome"] == "accept";
            assert_eq!(
                outcome.is_ok(),
                expected,
                "{name}: {outcome:?}: {}",
                manifest["reason"]
            );
            *if expected {
                &mut accepted
            } else {
                &mut refused
            } += 1;
        }
    }
    eprintln!("negative quotes and logs: {refused} refused, {accepted} controls accepted");
    assert_eq!((accepted, refused), (11, 53));
    eprintln!("skipped: negative/ima (11 cases): IMA lists are out of scope for now");
    eprintln!(
        "skipped: negative/{{snp,snp-testroot,azure-hcl}} (47 cases): SEV-SNP is out of scope for now"
    );
    eprintln!("skipped: negative/cose-sign1 (7 cases): tested where COSE is implemented");
}

/// What the genuine set selects; where it is not published, what its quote says.
fn case_selection(root: &Path, case: &Path, manifest: &Value) -> Vec<PcrSelection> {
    let base = manifest["base"]
        .as_str()
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let set = root.join(base).join("set.json");
    if set.exists() {
        return selection(&json(&set));
    }
    attest::parse(&fs::read(case.join("attest.bin")).unwrap())
        .unwrap()
        .selections
}

#[test]
fn real_event_logs_replay_to_published_values() {
    let Some(root) = vectors() else { return };
    let (mut replayed, mut legacy, mut malformed) = (0, 0, 0);
    for source in folders(&root.join("eventlog")) {
        for file in fs::read_dir(source).unwrap().map(|e| e.unwrap().path()) {
            let expected = PathBuf::from(format!("{}.expected.json", file.display()));
            if !expected.exists() {
                continue;
            }
            let expected = json(&expected);
            let bytes = fs::read(&file).unwrap();
            match eventlog::parse(&bytes) {
                Ok(log) => {
                    replays(&log, &expected, &file);
                    replayed += 1;
                }
                Err(error) if expected["crypto_agile"] == false || file.ends_with(CC_LOG) => {
                    assert!(error.to_string().contains("legacy SHA-1"), "{error}");
                    legacy += 1;
                }
                Err(error) => {
                    assert!(
                        expected["parser_error"].is_string(),
                        "{}: {error}",
                        file.display()
                    );
                    malformed += 1;
                }
            }
        }
    }
    eprintln!(
        "event logs: {replayed} replayed, {legacy} of other forms and {malformed} malformed refused"
    );
    assert_eq!((replayed, legacy, malformed), (42, 7, 3));
}

/// A confidential guest's log: measurement registers instead of PCRs.
const CC_LOG: &str = "ccel-cos-113-intel-tdx-dupe-separator-unpadded.bin";

fn replays(log: &EventLog<'_>, expected: &Value, file: &Path) {
    let name = file.display();
    assert!(expected["parser_error"].is_null(), "{name} must be refused");
    assert_eq!(
        expected["startup_locality"],
        u64::from(log.startup_locality),
        "{name}"
    );
    for (bank_name, pcrs) in expected["replayed_pcrs"].as_object().unwrap() {
        if !matches!(bank_name.as_str(), "sha1" | "sha256" | "sha384") {
            continue;
        }
        let Ok(found) = log.replay(bank(bank_name)) else {
            continue;
        };
        for (index, value) in pcrs.as_object().unwrap() {
            let index: u32 = index.parse().unwrap();
            assert_eq!(
                hex::encode(&found[&index]),
                value.as_str().unwrap(),
                "{name} {bank_name} {index}"
            );
        }
    }
}

fn certificates(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    if bytes.first() == Some(&0x30) {
        return vec![bytes];
    }
    CertificateDer::pem_slice_iter(&bytes)
        .map(|c| c.unwrap().to_vec())
        .collect()
}

fn roots(path: &Path, middle: &Path) -> Roots {
    let intermediates: Vec<HexBytes> = certificates(middle).into_iter().map(HexBytes).collect();
    let root = |certificate: Vec<u8>| VendorRoot {
        name: path.display().to_string(),
        kind: RootKind::Module,
        ek_type: EkType::Rsa2048,
        sha256: digest(&[&certificate]),
        certificate,
        intermediates: intermediates.clone(),
    };
    let roots = certificates(path).into_iter().map(root).collect();
    Roots::new(&TrustBundle {
        allowed_kinds: vec![RootKind::Module],
        roots,
    })
    .unwrap()
}

fn certify(
    leaf: &[u8],
    middle: &Path,
    root: &Path,
    at: UnixMs,
) -> Result<ek::CertifiedEk, EkError> {
    ek::certify(leaf, &roots(root, middle), at)
}

#[test]
fn real_ek_certificates_chain_to_their_roots() {
    let Some(root) = vectors() else { return };
    let google = [
        "tpm-roots/google__go-tpm-tools/tpm_ek_intermediate_3.crt",
        "tpm-roots/google__go-tpm-tools/tpm_ek_root_1.cer",
    ];
    let google2 = [
        "tpm-roots/google__go-tpm-tools/gcp_ek_ak_ca_intermediate_v3.crt",
        "tpm-roots/google__go-tpm-tools/gcp_ek_ak_ca_root.crt",
    ];
    let soft = [
        "tpm-quote/generated-here/shared/issuercert.pem",
        "tpm-quote/generated-here/shared/swtpm-localca-rootca-cert.pem",
    ];
    let stm = ["negative/ek-cert/control/intermediates.pem"; 2];
    let stm_root = [
        "negative/ek-cert/control/intermediates.pem",
        "negative/ek-cert/control/roots.pem",
    ];
    let cases = [
        (
            "ek-certs/immune-gmbh__guard-oss/philippEK.pem",
            stm_root,
            AT,
            "can be listed as root instead",
        ),
        (
            "ek-certs/immune-gmbh__guard-oss/philippEK.pem",
            stm,
            AT,
            "ok",
        ),
        (
            "ek-certs/google__go-tpm-tools/uca_tpm_rsa_enc_cert.pem",
            google,
            AT,
            "ok",
        ),
        (
            "tpm-quote/generated-here/shared/ek-rsa2048.crt",
            soft,
            AT_SOFTWARE_TPM,
            "ok",
        ),
        (
            "tpm-quote/generated-here/shared/ek-rsa2048.crt",
            soft,
            AT,
            "not valid before",
        ),
        (
            "tpm-quote/generated-here/shared/ek-secp384r1.crt",
            soft,
            AT_SOFTWARE_TPM,
            "eligible is RSA-2048, got ECC P-384",
        ),
        (
            "ek-certs/google__go-tpm-tools/uca_tpm_ecc_enc_cert.pem",
            google,
            AT,
            "eligible is RSA-2048, got ECC P-256",
        ),
        (
            "ek-certs/google__go-tpm-tools/uca_tpm_rsa_sign_cert.pem",
            google,
            AT,
            "key usage: expected keyEncipherment",
        ),
        (
            "ek-certs/google__go-tpm-tools/uca_tpm_ecc_sign_cert.pem",
            google,
            AT,
            "key usage: expected keyAgreement",
        ),
        (
            "ek-certs/google__go-tpm-tools/pca_tpm_rsa_enc_cert.pem",
            google2,
            AT,
            "extended key usage: expected 2.23.133.8.1 (EK certificate), got none",
        ),
        (
            "ek-certs/google__go-tpm-tools/pca_tpm_rsa_sign_cert.pem",
            google2,
            AT,
            "extended key usage",
        ),
        (
            "ek-certs/google__go-tpm-tools/uca_tpm_rsa_enc_cert.pem",
            soft,
            AT,
            "not in the bundle",
        ),
        (
            "ek-certs/bloomberg__spire-tpm-plugin/plugin_test_0.pem",
            soft,
            AT,
            "EK certificate",
        ),
    ];
    for (leaf, [middle, anchor], at, expected) in cases {
        let certificate = certificates(&root.join(leaf)).remove(0);
        let outcome = certify(&certificate, &root.join(middle), &root.join(anchor), at);
        let text = outcome.map_or_else(|e| e.to_string(), |_| "ok".into());
        assert!(
            text.contains(expected),
            "{leaf}: expected {expected}, got {text}"
        );
    }
    eprintln!("EK certificates: {} cases", cases.len());
}

#[test]
fn the_software_tpms_ek_has_the_default_template() {
    let Some(root) = vectors() else { return };
    let shared = root.join("tpm-quote/generated-here/shared");
    let ek = certify(
        &fs::read(shared.join("ek-rsa2048.crt")).unwrap(),
        &shared.join("issuercert.pem"),
        &shared.join("swtpm-localca-rootca-cert.pem"),
        AT_SOFTWARE_TPM,
    )
    .unwrap();
    let sized = fs::read(shared.join("ek_rsa.pub")).unwrap();
    let public = public::parse_sized(&sized).unwrap();
    assert_eq!(ek.check_public(public.bytes()), Ok(()));
}

#[test]
fn negative_ek_certificates_are_refused() {
    let Some(root) = vectors() else { return };
    let mut count = 0;
    for case in folders(&root.join("negative/ek-cert")) {
        let manifest = json(&case.join("case.json"));
        let leaf = fs::read(case.join("ek.der")).unwrap();
        // STMicroelectronics' intermediates have critical policies: listed as root, they still
        // show each case's own defect. Only the missing root needs the whole chain.
        let middle = case.join("intermediates.pem");
        let whole = manifest["id"] == "ek-cert/root-not-trusted";
        let anchor = if whole {
            case.join("roots.pem")
        } else {
            middle.clone()
        };
        let certified = certify(&leaf, &middle, &anchor, AT);
        let outcome = certified.map_err(|e| e.to_string()).and_then(|ek| {
            let shown = key(&case.join("ek_spki.pem"))?;
            let shown = assay_appraisal::tpm::ek_template::EkKey::from_public(&shown).unwrap();
            ek.check_public(&shown.template())
                .map_err(|e| e.to_string())
        });
        let expected = manifest["required_outcome"] == "accept";
        assert_eq!(outcome.is_ok(), expected, "{}: {outcome:?}", manifest["id"]);
        count += 1;
    }
    eprintln!("negative EK certificates: {count} cases");
    assert_eq!(count, 10);
}
