//! Endorsement key certificates.

use crate::common::{AT, key, vectors};
use assay_appraisal::ek::{self, EkError, Roots};
use assay_appraisal::tpm::public;
use assay_protocol::hash::digest;
use assay_protocol::ids::UnixMs;
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// One row of the index.
pub fn row(_root: &Path, _row: &crate::Row) -> Result<crate::Shown, String> {
    Ok(crate::Shown::Skipped("not in the table yet"))
}

/// 2026-11-23: the software TPM's certificates were made after the common date.
const AT_SOFTWARE_TPM: UnixMs = UnixMs(1_795_392_000_000);

/// One case of `negative/ek-cert`: an error is a refusal.
pub fn case(folder: &Path, manifest: &Value) -> Result<(), String> {
    let leaf = fs::read(folder.join("ek.der")).unwrap();
    // STMicroelectronics' intermediates have critical policies: listed as root, they still
    // show each case's own defect. Only the missing root needs the whole chain.
    let middle = folder.join("intermediates.pem");
    let whole = manifest["id"] == "ek-cert/root-not-trusted";
    let anchor = if whole {
        folder.join("roots.pem")
    } else {
        middle.clone()
    };
    let certified = certify(&leaf, &middle, &anchor, AT).map_err(|e| e.to_string())?;
    let shown = key(&folder.join("ek_spki.pem"))?;
    let shown = assay_appraisal::tpm::ek_template::EkKey::from_public(&shown).unwrap();
    certified
        .check_public(&shown.template())
        .map_err(|e| e.to_string())
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
