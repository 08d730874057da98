//! Endorsement key certificates, certificates of identity and attestation keys, and vendors' CA certificates.

use crate::common::{AT, key, vectors};
use crate::{Row, Shown};
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::crypto::signature::Sha1;
use assay_appraisal::ek::{self, EkError, Roots, TpmNames, certificate};
use assay_appraisal::idevid;
use assay_appraisal::tpm::ek_template::EkKey;
use assay_appraisal::tpm::public;
use assay_appraisal::x509::path::{self, PathError, Rules};
use assay_appraisal::x509::{Certificate, SignatureCache, Store};
use assay_protocol::hash::digest;
use assay_protocol::ids::UnixMs;
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// 2026-11-23: the software TPM's certificates were made after the common date.
const AT_SOFTWARE_TPM: UnixMs = UnixMs(1_795_392_000_000);
/// 2024-06-01, inside the validity of Keylime's test identities (2023-08-23 to 2026-05-18).
const AT_KEYLIME: UnixMs = UnixMs(1_717_200_000_000);

/// One row of the index.
pub fn row(root: &Path, row: &Row) -> Result<Shown, String> {
    let path = root.join(&row.path);
    match row.kind.as_str() {
        "ek-certificate" | "ak-certificate" => leaf(root, row),
        "tpm-vendor-ca" | "tpm-vendor-ca-bundle" | "gce-vtpm-ca" => authorities(root, row),
        "ca-chain" => chain_of_authorities(&path),
        "platform-cert-signer" => parsed(&certificates(&path)[0])
            .map(|()| Shown::Held("signer of attribute certificates: parses")),
        "platform-attribute-certificate" => not_a_public_key_certificate(&path),
        "expectation" => Ok(Shown::PartOf("the parsed form of an attribute certificate")),
        other => Err(format!("no test for the kind {other}")),
    }
}

fn parsed(der: &[u8]) -> Result<(), String> {
    Certificate::parse(der).map(drop).map_err(|e| e.to_string())
}

/// RFC 5755 attribute certificates name a platform and hold no key: no path starts at one.
fn not_a_public_key_certificate(path: &Path) -> Result<Shown, String> {
    match Certificate::parse(&fs::read(path).unwrap()) {
        Err(_) => Ok(Shown::Skipped(
            "an attribute certificate (RFC 5755): no key in it, refused as a certificate",
        )),
        Ok(_) => Err("an attribute certificate was taken for a public key certificate".into()),
    }
}

/// Every CA certificate of the data.
fn authorities_of(root: &Path) -> &'static [Vec<u8>] {
    static ALL: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut files = vec![root.join("ek-certs/keylime__keylime/iak_idevid_chain.pem")];
        let mut folders = vec![root.join("tpm-roots")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files.sort();
        files.iter().flat_map(|file| certificates(file)).collect()
    })
}

/// The data's CA certificates: self-issued ones as roots, the others as intermediates.
fn stores(root: &Path) -> &'static (Store, Store) {
    static STORES: OnceLock<(Store, Store)> = OnceLock::new();
    STORES.get_or_init(|| {
        let (mut roots, mut middles) = (Store::new(), Store::new());
        for der in authorities_of(root) {
            let own = Certificate::parse(der).unwrap().is_self_issued();
            let store = if own { &mut roots } else { &mut middles };
            store.add(der).unwrap();
        }
        (roots, middles)
    })
}

/// CA certificates: every one parses; a self-issued one is signed by its own key, another one has an issuer among
/// the data whose key signed it, except those whose issuer the data does not have at all.
fn authorities(root: &Path, row: &Row) -> Result<Shown, String> {
    let (mut own, mut issued, mut orphans) = (0, 0, 0);
    for der in certificates(&root.join(&row.path)) {
        let certificate = Certificate::parse(&der).map_err(|e| e.to_string())?;
        let constraints = certificate.basic_constraints().map_err(|e| e.to_string())?;
        if !constraints.ca {
            return Err(format!(
                "no CA: {}",
                assay_appraisal::x509::name::text(certificate.subject)
            ));
        }
        match issuer_holds(root, &certificate)? {
            Issuer::Itself => own += 1,
            Issuer::Another => issued += 1,
            Issuer::Absent => orphans += 1,
        }
    }
    match (own, issued, orphans) {
        (0, 0, 0) => Err("no certificate".into()),
        (_, _, 0) => Ok(Shown::Held(
            "CA certificates parse; signed by themselves or by one in the data",
        )),
        (0, 0, _) => Ok(Shown::Held(
            "CA certificate parses; the data does not have its issuer",
        )),
        _ => Ok(Shown::Held(
            "CA certificates parse; signed by themselves or by one in the data, except those whose issuer it lacks",
        )),
    }
}

enum Issuer {
    Itself,
    Another,
    Absent,
}

fn issuer_holds(root: &Path, certificate: &Certificate<'_>) -> Result<Issuer, String> {
    let (roots, middles) = stores(root);
    let signed_by = |issuer: &Certificate<'_>| {
        let cache = SignatureCache::new();
        certificate.verify_signature(&issuer.key, issuer.spki, Sha1::Legacy, &cache)
    };
    if certificate.is_self_issued() {
        return match signed_by(certificate) {
            Ok(()) => Ok(Issuer::Itself),
            Err(error) => Err(format!("self-issued: {error}")),
        };
    }
    let mut named = roots
        .named(certificate.issuer)
        .chain(middles.named(certificate.issuer))
        .peekable();
    if named.peek().is_none() {
        return Ok(Issuer::Absent);
    }
    let mut failures = Vec::new();
    for issuer in named {
        match signed_by(&issuer) {
            Ok(()) => return Ok(Issuer::Another),
            Err(error) => failures.push(error.to_string()),
        }
    }
    let subject = assay_appraisal::x509::name::text(certificate.subject);
    Err(format!(
        "{subject}: no issuer of that name signed it: {failures:?}"
    ))
}

fn chain_of_authorities(path: &Path) -> Result<Shown, String> {
    let list = certificates(path);
    for der in &list {
        let certificate = Certificate::parse(der).map_err(|e| e.to_string())?;
        let issuer = list.iter().map(|der| Certificate::parse(der).unwrap());
        let mut issuer = issuer.filter(|other| other.subject == certificate.issuer);
        let issuer = issuer.next().ok_or("no issuer")?;
        certificate
            .verify_signature(
                &issuer.key,
                issuer.spki,
                Sha1::Refused,
                &SignatureCache::new(),
            )
            .map_err(|e| e.to_string())?;
    }
    Ok(Shown::Held("the chain is complete and self-consistent"))
}

/// A certificate of a TPM's key: whether its path holds is the index's expectation; whether it is an endorsement
/// key's is ours.
fn leaf(root: &Path, row: &Row) -> Result<Shown, String> {
    let der = certificates(&root.join(&row.path)).remove(0);
    let accept = row.expected.starts_with("ACCEPT with the roots");
    let at = if row.group == "keylime-idevid" {
        AT_KEYLIME
    } else {
        AT
    };
    match (accept, path_of(root, &der, at)) {
        (true, Ok(())) => {}
        // It is a CA's own certificate, issued by itself.
        (false, Err(PathError::CaAsLeaf { .. })) if row.expected.contains("no complete chain") => {
            return Ok(Shown::Held(
                "parses; refused: a CA, and its issuer is in no store",
            ));
        }
        (_, outcome) => return Err(format!("path: {outcome:?}")),
    }
    let expected = rule(&row.path).ok_or("no expectation of the EK rule for this file")?;
    let bare = bare_roots(root);
    let outcome = ek::chain(&der, &bare, &Rules::at(at)).map(drop);
    let text = outcome.map_or_else(|error| error.to_string(), |()| "ok".into());
    if !text.contains(expected) {
        return Err(format!("EK rule: expected {expected}, got {text}"));
    }
    Ok(match expected {
        "ok" => Shown::Held("the path holds, and it is an endorsement key's"),
        _ => Shown::Held("the path holds; refused by name as an endorsement key"),
    })
}

/// What the rules for endorsement keys say of each leaf whose path holds.
fn rule(path: &str) -> Option<&'static str> {
    let server =
        "extended key usage: expected 2.23.133.8.1 (EK certificate), got 1.3.6.1.5.5.7.3.1";
    Some(match path.rsplit('/').next()? {
        "h12ssl-ek.pem" | "philippEK.pem" | "uca_tpm_rsa_enc_cert.pem" => "ok",
        "uca_tpm_ecc_enc_cert.pem" => "ok",
        "uca_tpm_rsa_sign_cert.pem" => "key usage: expected keyEncipherment, got digitalSignature",
        "uca_tpm_ecc_sign_cert.pem" => "key usage: expected keyAgreement, got digitalSignature",
        "pca_tpm_rsa_enc_cert.pem" | "pca_tpm_ecc_enc_cert.pem" => "ok",
        "pca_tpm_rsa_sign_cert.pem" => "key usage: expected keyEncipherment, got digitalSignature",
        "pca_tpm_ecc_sign_cert.pem" => "key usage: expected keyAgreement, got digitalSignature",
        "test_cert_utils_iak_der.der" | "test_cert_utils_idevid_der.der" => server,
        _ => return None,
    })
}

fn path_of(root: &Path, der: &[u8], at: UnixMs) -> Result<(), PathError> {
    let (roots, middles) = stores(root);
    let leaf = Certificate::parse(der).unwrap();
    path::find(leaf, middles, roots, &Rules::at(at), &SignatureCache::new()).map(drop)
}

fn bare_roots(root: &Path) -> Roots {
    let (own, others): (Vec<&[u8]>, Vec<&[u8]>) = authorities_of(root)
        .iter()
        .map(Vec::as_slice)
        .partition(|der| Certificate::parse(der).unwrap().is_self_issued());
    Roots::bare(own, others).unwrap()
}

/// One case of `negative/ek-cert`: an error is a refusal. The bundle is the case's own, root and intermediate.
pub fn case(folder: &Path, _manifest: &Value) -> Result<(), String> {
    let leaf = fs::read(folder.join("ek.der")).unwrap();
    let (middle, anchor) = (folder.join("intermediates.pem"), folder.join("roots.pem"));
    let certified = certify(&leaf, &middle, &anchor, AT).map_err(|e| e.to_string())?;
    let shown = key(&folder.join("ek_spki.pem"))?;
    let shown = EkKey::from_public(&shown).unwrap();
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
        firmware_min: 0,
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
    let soft = [
        "tpm-quote/generated-here/shared/issuercert.pem",
        "tpm-quote/generated-here/shared/swtpm-localca-rootca-cert.pem",
    ];
    let stm_root = [
        "negative/ek-cert/control/intermediates.pem",
        "negative/ek-cert/control/roots.pem",
    ];
    let st = "ek-certs/immune-gmbh__guard-oss/philippEK.pem";
    let rsa = "ek-certs/google__go-tpm-tools/uca_tpm_rsa_enc_cert.pem";
    let ecc = "ek-certs/google__go-tpm-tools/uca_tpm_ecc_enc_cert.pem";
    let (one, other) = (
        "tpm-quote/generated-here/shared/ek-rsa2048.crt",
        "tpm-quote/generated-here/shared/ek-secp384r1.crt",
    );
    let cases = [
        (st, stm_root, AT, "ok"),
        (rsa, google, AT, "ok"),
        (one, soft, AT_SOFTWARE_TPM, "ok"),
        (one, soft, AT, "not valid before"),
        (
            other,
            soft,
            AT_SOFTWARE_TPM,
            "eligible is RSA-2048, got ECC P-384",
        ),
        (ecc, google, AT, "eligible is RSA-2048, got ECC P-256"),
        (rsa, soft, AT, "not in the bundle"),
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

/// Data nobody describes: no certificate of the data needs more than the six a path may have, and the TPM's names
/// are read from every endorsement certificate that has some.
#[test]
fn names_of_real_tpms_are_read() {
    let Some(root) = vectors() else { return };
    for (file, manufacturer, model, version) in [
        (
            "ek-certs/immune-gmbh__guard-oss/philippEK.pem",
            "id:53544D20",
            "ST33HTPHAHD8",
            "id:00010102",
        ),
        (
            "ek-certs/immune-gmbh__guard-oss/h12ssl-ek.pem",
            "id:49465800",
            "SLB 9665",
            "id:053E",
        ),
        (
            "ek-certs/google__go-tpm-tools/uca_tpm_rsa_enc_cert.pem",
            "id:474F4F47",
            "vTPM",
            "id:20160511",
        ),
    ] {
        let der = certificates(&root.join(file)).remove(0);
        let names = TpmNames::of(&certificate::parse(&der).unwrap()).unwrap();
        let read = [names.manufacturer, names.model, names.version].map(Option::unwrap);
        assert_eq!(read, [manufacturer, model, version], "{file}");
    }
}

#[test]
fn vendors_whose_certificates_other_parsers_refuse_are_parsed() {
    let Some(root) = vectors() else { return };
    let subjects = authorities_of(&root)
        .iter()
        .map(|der| Certificate::parse(der).unwrap().subject);
    let nuvoton = subjects.filter(|name| {
        assay_appraisal::x509::name::text(name).contains("NPCT")
            || assay_appraisal::x509::name::text(name).contains("Nuvoton")
    });
    assert!(nuvoton.count() > 4, "Nuvoton's mis-ordered names");
}

#[test]
fn keylimes_identities_name_one_tpm_but_are_for_web_servers() {
    let Some(root) = vectors() else { return };
    let folder = root.join("ek-certs/keylime__keylime");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let iak = read("test_cert_utils_iak_der.der");
    let idevid = read("test_cert_utils_idevid_der.der");
    let chain = certificates(&folder.join("iak_idevid_chain.pem"));
    let roots = Roots::bare([chain[1].as_slice()], [chain[0].as_slice()]).unwrap();
    let module = |der: &[u8]| {
        let names = TpmNames::of(&Certificate::parse(der).unwrap()).unwrap();
        names.module.unwrap().serial
    };
    assert_eq!(module(&iak), module(&idevid));
    assert!(module(&iak).starts_with(b"STM :1ADB994AB58BE57A0CC9B900E7851E1A43C08660:"));
    // Keylime publishes no public area: one with the certified key and the attributes of an attestation key.
    let key = Certificate::parse(&iak).unwrap().key;
    let PublicKey::Rsa { modulus, .. } = key else {
        panic!("{key:?}")
    };
    let mut ak_public = hex::decode("0001000b00050072000000100014000b0800000000000100").unwrap();
    ak_public.extend(modulus);
    let identity = idevid::Identity {
        iak: &iak,
        idevid: &idevid,
        ak_public: &ak_public,
    };
    let refused = |at| {
        idevid::certify(&identity, &roots, &Rules::at(at))
            .unwrap_err()
            .to_string()
    };
    let error = refused(AT_KEYLIME);
    assert!(error.contains("IAK certificate: extended key usage: expected 2.23.133.8.3 (attestation key), got 1.3.6.1.5.5.7.3.1"), "{error}");
    assert!(refused(AT).contains("expired"), "{}", refused(AT));
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
