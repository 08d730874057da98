//! Single files of quote sets: structures, keys, values.

use super::{Asked, Set, check_log, show_set};
use crate::common::{json, key, mismatches, pcr_values, selection};
use crate::{Row, Shown};
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::crypto::signature::{self, Form, Scheme, Sha1};
use assay_appraisal::crypto::verifying_key::LegacyKey;
use assay_appraisal::eventlog;
use assay_appraisal::tpm::ak::{AkRules, check};
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::ek_template::EkKey;
use assay_appraisal::tpm::{attest, public, signature as tpm_signature};
use assay_appraisal::x509::certificate::Certificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs;
use std::path::Path;

type Result = std::result::Result<Shown, String>;

/// A row of a kind that belongs here; nothing for any other.
pub fn row(path: &Path, row: &Row) -> Option<Result> {
    let folder = path.parent().unwrap();
    let file = path.file_name().unwrap().to_str().unwrap();
    Some(match row.kind.as_str() {
        "tpms-attest" if file == "attest.bin" => quote(folder, row),
        "tpms-attest" => lone_attest(path, row),
        "tpmt-signature" => tpmt_signature(path),
        "tpmt-signature-negative" => foreign_signature(path),
        "tpms-attest-certify" | "tpms-attest-creation" => other_attest(path),
        "ak-public-spki" => ak_public(path, row),
        "tpmt-public" => tpmt_public(path, row),
        "tpm2b-public" => tpm2b_ek(path),
        "ek-public" => Ok(Shown::PartOf("tpm2b-public ek_rsa.pub")),
        "nonce" => nonce(folder),
        "pcr-values" => values(folder),
        "set-manifest" => manifest(folder),
        "tcg-eventlog" => event_log(path),
        "tcg-eventlog-stale" => stale_event_log(path),
        "ak-certificate" => ak_certificate(path),
        "ca-certificate" => ca_certificate(path),
        "ca-negative" => foreign_ca(path),
        "ek-certificate" => ek_certificate(path),
        _ => return None,
    })
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

fn ensure(holds: bool, problem: &str) -> std::result::Result<(), String> {
    holds.then_some(()).ok_or_else(|| problem.to_owned())
}

fn text<T>(result: std::result::Result<T, impl ToString>) -> std::result::Result<T, String> {
    result.map_err(|e| e.to_string())
}

fn quote(folder: &Path, row: &Row) -> Result {
    let (asked, _) = show_set(folder, &json(&folder.join("set.json")))?;
    let reject = row.expected.starts_with("REJECT");
    ensure(
        reject == (asked == Asked::Refuse),
        "index and manifest differ",
    )?;
    Ok(Shown::Held(match asked {
        Asked::Accept => "authenticated: signature, nonce, selection, values",
        Asked::WithoutValues => {
            "signature, nonce and selection hold; without values it is no quote"
        }
        Asked::Legacy => "refused by rule for its SHA-1; holds under the named exception",
        Asked::Refuse => "refused: it selects nothing",
    }))
}

/// A quote without a set: what the index says of it, and its signature where there is one.
fn lone_attest(path: &Path, row: &Row) -> Result {
    let bytes = read(path);
    let parsed = text(attest::parse(&bytes))?;
    let extra_data = hex::encode(&parsed.extra_data);
    ensure(row.expected.contains(&extra_data), "other extraData")?;
    ensure(parsed.selections[0].bank == HashAlg::Sha256, "other bank")?;
    let indices: Vec<u32> = parsed.selections[0].indices().collect();
    let listed = format!("{indices:?}").replace(", ", ",");
    let expected = row.expected.replace(", ", ",");
    let bare = listed.trim_matches(|c| "[]".contains(c));
    ensure(expected.contains(bare), "other selection")?;
    let raw = path.with_file_name("trustpoint.rawsig.bin");
    if !raw.exists() {
        return Ok(Shown::Held("parses to the fields the index names"));
    }
    let aik = key(&path.with_file_name("aik.pem"))?;
    let verify = |hash, sha1, message: &[u8]| {
        let how = (Scheme::RsaPkcs1(hash), Form::Der, sha1);
        signature::verify(&aik, how, message, &read(&raw))
    };
    text(verify(HashAlg::Sha1, Sha1::Legacy, &bytes))?;
    ensure(
        verify(HashAlg::Sha1, Sha1::Refused, &bytes).is_err(),
        "SHA-1 by rule",
    )?;
    ensure(
        verify(HashAlg::Sha256, Sha1::Legacy, &bytes).is_err(),
        "SHA-256",
    )?;
    ensure(
        verify(HashAlg::Sha1, Sha1::Legacy, &bytes[1..]).is_err(),
        "other bytes",
    )?;
    Ok(Shown::Held(
        "the AIK's raw SHA-1 signature holds by the named exception only",
    ))
}

/// The attestation a signature file belongs to.
fn signed(path: &Path) -> Vec<u8> {
    let attest = match path.file_name().unwrap().to_str().unwrap() {
        "certify_sig.bin" => "certify_attest.bin",
        "create_sig.bin" => "create_attest.bin",
        _ => "attest.bin",
    };
    read(&path.with_file_name(attest))
}

fn verify_signature(path: &Path, message: &[u8]) -> std::result::Result<(), String> {
    let key = key(&path.with_file_name("ak.pem"))?;
    let signature = text(tpm_signature::parse_with(&read(path), Sha1::Legacy))?;
    let legacy = signature.verify(&LegacyKey(&key), message);
    if signature.hash == HashAlg::Sha1 {
        ensure(
            tpm_signature::parse(&read(path)).is_err(),
            "SHA-1 is refused by rule",
        )?;
        ensure(
            signature.verify(&key, message).is_err(),
            "SHA-1 is refused under a key by rule",
        )?;
        return text(legacy);
    }
    ensure(
        legacy == signature.verify(&key, message),
        "the exception is for SHA-1 alone",
    )?;
    text(legacy)
}

fn tpmt_signature(path: &Path) -> Result {
    let mut message = signed(path);
    verify_signature(path, &message)?;
    message[0] ^= 1;
    ensure(
        verify_signature(path, &message).is_err(),
        "other bytes are accepted",
    )?;
    Ok(Shown::Held(
        "holds over its attestation and over no other bytes",
    ))
}

fn foreign_signature(path: &Path) -> Result {
    let set = path.parent().unwrap().with_file_name("x");
    let folder = path.ancestors().nth(2).unwrap();
    ensure(set.parent() == Some(folder), "no set beside it")?;
    let mut set = Set::read(folder)?;
    let selection = selection(&json(&folder.join("set.json")));
    text(set.verify(&selection))?;
    set.signature = read(path);
    ensure(
        set.verify(&selection).is_err(),
        "a foreign signature is accepted",
    )?;
    Ok(Shown::Held("does not hold over the set's attestation"))
}

/// Validly signed by the attestation key: only the type can refuse it.
fn other_attest(path: &Path) -> Result {
    let signature = path.with_file_name(match path.file_name().unwrap().to_str().unwrap() {
        "certify_attest.bin" => "certify_sig.bin",
        _ => "create_sig.bin",
    });
    verify_signature(&signature, &read(path))?;
    let error = attest::parse(&read(path)).unwrap_err().to_string();
    ensure(error.contains("type: expected QUOTE"), &error)?;
    Ok(Shown::Held("signed by the AK and refused by its type"))
}

fn ak_public(path: &Path, row: &Row) -> Result {
    let key = key(path)?;
    let kind = row
        .expected
        .replace("secp256r1", "P-256")
        .replace("secp384r1", "P-384");
    let named = kind.replace("ECC-", "ECC ").contains(&key.kind());
    ensure(
        named || kind.starts_with("Windows AIK"),
        "another kind of key",
    )?;
    if path.ends_with("aik.pem") {
        return Ok(Shown::PartOf("tpms-attest trustpoint.attest.bin"));
    }
    verify_signature(&path.with_file_name("sig.bin"), &signed(path))?;
    Ok(Shown::Held("decodes, and its signature holds"))
}

fn tpmt_public(path: &Path, row: &Row) -> Result {
    let public = text(public::parse(&read(path)))?;
    let name = hex::encode(public.object_name());
    ensure(row.expected.contains(&name), &format!("name {name}"))?;
    if path.ends_with("certified_key.tpmt_public.bin") {
        let certify = read(&path.with_file_name("certify_attest.bin"));
        let name = public.object_name();
        ensure(
            certify.windows(34).any(|part| part == name),
            "not the certified name",
        )?;
        return Ok(Shown::Held("its name is the one the AK certified"));
    }
    ensure(
        public.key == key(&path.with_file_name("ak.pem"))?,
        "another key than ak.pem",
    )?;
    let attributes = format!("attrs {:#010x}", public.attributes.0);
    ensure(row.expected.contains(&attributes), &attributes)?;
    let strict = check(&public, AkRules::Offline);
    let scheme = strict.or_else(|_| check(&public, AkRules::OfflineLegacy));
    let signature = read(&path.with_file_name("sig.bin"));
    let signature = text(tpm_signature::parse_with(&signature, Sha1::Legacy))?;
    ensure(
        text(scheme)? == signature.scheme(),
        "signed by another scheme than its own",
    )?;
    Ok(Shown::Held(
        "parses, AK rules hold, name and key are the published ones",
    ))
}

fn tpm2b_ek(path: &Path) -> Result {
    let public = text(public::parse_sized(&read(path)))?;
    ensure(
        public.key == key(&path.with_file_name("ek_rsa.pem"))?,
        "another key",
    )?;
    let ek = text(EkKey::from_public(&public.key))?;
    text(ek.check_template(public.bytes()))?;
    ensure(
        check(&public, AkRules::Offline).is_err(),
        "an EK passes for an AK",
    )?;
    Ok(Shown::Held(
        "the default template with the key of ek_rsa.pem; no attestation key",
    ))
}

fn nonce(folder: &Path) -> Result {
    let mut set = Set::read(folder)?;
    let parsed = text(attest::parse(&set.attest))?;
    ensure(parsed.extra_data == set.nonce, "not the qualifying data")?;
    set.nonce.push(0);
    let refused = set.verify_without_values(&selection(&json(&folder.join("set.json"))));
    let other =
        refused.is_err_and(|e| e.contains("quote-qualifying-data") || e.contains("signature"));
    ensure(other, "a longer nonce is accepted")?;
    Ok(Shown::Held(
        "is the qualifying data; a longer one is refused",
    ))
}

fn values(folder: &Path) -> Result {
    let manifest = json(&folder.join("set.json"));
    let (asked, quote) = show_set(folder, &manifest)?;
    let quote = quote.ok_or("no authentic quote")?;
    let mut set = Set::read(folder)?;
    let selection = selection(&manifest);
    for at in quote.pcrs().keys() {
        let values = set.pcrs.as_mut().unwrap();
        values.get_mut(at).unwrap()[0] ^= 1;
        let legacy = LegacyKey(&set.key);
        let outcome = if asked == Asked::Legacy {
            set.verify_under(&legacy, &selection)
        } else {
            set.verify(&selection)
        };
        let refused = outcome.is_err_and(|e| e.starts_with("quote-pcr-digest"));
        ensure(refused, &format!("another value of {at:?} is accepted"))?;
        set.pcrs.as_mut().unwrap().get_mut(at).unwrap()[0] ^= 1;
    }
    Ok(Shown::Held(
        "give the quoted digest; each one changed is refused",
    ))
}

fn manifest(folder: &Path) -> Result {
    let manifest = json(&folder.join("set.json"));
    let parsed = text(attest::parse(&Set::read(folder)?.attest))?;
    let clock = parsed.clock;
    let expected = (
        &manifest["clock"],
        &manifest["reset_count"],
        &manifest["restart_count"],
        &manifest["safe"],
    );
    let found = (
        &clock.clock_ms.into(),
        &clock.reset_count.into(),
        &clock.restart_count.into(),
        &u8::from(clock.safe).into(),
    );
    ensure(expected == found, "clock info")?;
    let firmware = format!("{:016x}", parsed.firmware_version);
    let said = [
        ("nonce", hex::encode(&parsed.extra_data)),
        ("pcr_digest", hex::encode(&parsed.pcr_digest)),
        ("qualified_signer", hex::encode(&parsed.qualified_signer)),
        ("firmware_version", firmware),
    ];
    for (name, value) in said {
        ensure(manifest[name] == value, name)?;
    }
    ensure(parsed.selections == selection(&manifest), "selection")?;
    Ok(Shown::Held("every field parses to the published value"))
}

fn event_log(path: &Path) -> Result {
    let folder = path.parent().unwrap();
    let manifest = json(&folder.join("set.json"));
    if let Err(error) = eventlog::parse(&read(path)) {
        let legacy = error.to_string().contains("legacy SHA-1");
        ensure(
            legacy && manifest["eventlog"]["banks"] == serde_json::json!(["sha1"]),
            "format",
        )?;
        return Ok(Shown::Skipped("a log of the old SHA-1 form"));
    }
    let (_, quote) = show_set(folder, &manifest)?;
    let values = folder.join("pcrs.json");
    match quote {
        Some(quote) => check_log(folder, &manifest, quote.pcrs()),
        None if values.exists() => check_log(folder, &manifest, &pcr_values(&values)),
        None => return Ok(Shown::Skipped("its quote selects nothing to compare with")),
    }
    Ok(Shown::Held(
        "replays to the quoted values, or differs where the index says so",
    ))
}

fn stale_event_log(path: &Path) -> Result {
    let folder = path.parent().unwrap();
    let (_, quote) = show_set(folder, &json(&folder.join("set.json")))?;
    let quote = quote.ok_or("no authentic quote")?;
    let bytes = read(path);
    let log = text(eventlog::parse(&bytes))?;
    let found = mismatches(&log, HashAlg::Sha256, quote.pcrs())?;
    ensure(found.contains(&12), &format!("differs for {found:?}"))?;
    Ok(Shown::Held(
        "an earlier log of the boot is refused for PCR 12",
    ))
}

fn certificate(path: &Path) -> Vec<u8> {
    let bytes = read(path);
    CertificateDer::from_pem_slice(&bytes).map_or(bytes.clone(), |der| der.to_vec())
}

fn issued(certificate: &Certificate<'_>, issuer: &PublicKey) -> bool {
    let how = (certificate.scheme, Form::Der, Sha1::Refused);
    signature::verify(issuer, how, certificate.tbs, certificate.signature).is_ok()
}

fn ak_certificate(path: &Path) -> Result {
    let der = certificate(path);
    let leaf = text(Certificate::parse(&der))?;
    ensure(
        leaf.key == key(&path.with_file_name("ak.pem"))?,
        "another key than ak.pem",
    )?;
    let ca = path.with_file_name("ak_ca_0.pem");
    if !ca.exists() {
        return Ok(Shown::Held(
            "its key is ak.pem; its issuer is not in the set",
        ));
    }
    let ca = certificate(&ca);
    let ca = text(Certificate::parse(&ca))?;
    ensure(issued(&leaf, &ca.key), "not issued by ak_ca_0.pem")?;
    ensure(!issued(&leaf, &leaf.key), "issued by itself too")?;
    Ok(Shown::Held("its key is ak.pem, signed by ak_ca_0.pem"))
}

fn ca_certificate(path: &Path) -> Result {
    let der = certificate(path);
    let ca = text(Certificate::parse(&der))?;
    let leaf = match path.file_name().unwrap().to_str().unwrap() {
        "ak_ca_0.pem" => "ak_cert.pem",
        "issuercert.pem" => "ek-rsa2048.crt",
        _ => "issuercert.pem",
    };
    let leaf = certificate(&path.with_file_name(leaf));
    let leaf = text(Certificate::parse(&leaf))?;
    ensure(
        leaf.issuer == ca.subject && issued(&leaf, &ca.key),
        "did not issue its leaf",
    )?;
    Ok(Shown::Held("signed the certificate below it"))
}

fn foreign_ca(path: &Path) -> Result {
    let der = certificate(path);
    let ca = text(Certificate::parse(&der))?;
    let leaf = certificate(&path.ancestors().nth(2).unwrap().join("ak_cert.pem"));
    let leaf = text(Certificate::parse(&leaf))?;
    ensure(
        !issued(&leaf, &ca.key),
        "a CA that did not issue the certificate passes",
    )?;
    Ok(Shown::Held("did not sign ak_cert.pem"))
}

fn ek_certificate(path: &Path) -> Result {
    let der = certificate(path);
    let leaf = text(Certificate::parse(&der))?;
    let issuer = certificate(&path.with_file_name("issuercert.pem"));
    let issuer = text(Certificate::parse(&issuer))?;
    ensure(issued(&leaf, &issuer.key), "not issued by issuercert.pem")?;
    if path.ends_with("ek-rsa2048.crt") {
        ensure(
            leaf.key == key(&path.with_file_name("ek_rsa.pem"))?,
            "another key",
        )?;
    }
    Ok(Shown::Held("signed by issuercert.pem"))
}
