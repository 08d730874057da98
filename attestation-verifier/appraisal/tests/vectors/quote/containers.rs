//! What others packed quotes, keys and credentials into. Their formats are not ours to read; that the parts
//! beside them are theirs, byte for byte, is shown where it can be.

use crate::common::{folders, json, key};
use crate::{Row, Shown};
use assay_appraisal::crypto::signature::Sha1;
use assay_appraisal::tpm::ak::{AkRules, check};
use assay_appraisal::tpm::ek_template::EkKey;
use assay_appraisal::tpm::make_credential::make_credential;
use assay_appraisal::tpm::{attest, public, signature};
use assay_protocol::ids::AkName;
use serde_json::Value;
use std::fs;
use std::path::Path;

type Result = std::result::Result<Shown, String>;

/// A row of a kind that belongs here; any other is an error.
pub fn row(path: &Path, row: &Row) -> Result {
    match row.kind.as_str() {
        "go-tpm-tools-attestation-pb" => protobuf(path),
        "enacttrust-token" | "parsec-tpm-evidence" => beside(path),
        "evidence-json" => in_json(path, &path.with_file_name("trustee-tpm")),
        "go-attestation-dump" => {
            in_json(path, &path.with_file_name("windows-gcp-shielded-vm-sha1"))
        }
        "tpm1.2-dump" => tpm12(path),
        "keylime-quote-string" => keylime_string(path),
        "windows-pcp-key-blob" => pcp_blob(path),
        "raw-rsa-signature" => Ok(Shown::PartOf("tpms-attest trustpoint.attest.bin")),
        "makecredential-output" => credential(path),
        "makecredential-input" => credential_input(path),
        "tpm2-tools-file" => tools_file(path),
        "corim" => Ok(Shown::Skipped(
            "reference values: CoRIM is read by another module, the quote beside it is held",
        )),
        "ima-binary-log" => Ok(Shown::Skipped(
            "an IMA list: read by another module, the quote beside it is held",
        )),
        other => Err(format!("no test for the kind {other}")),
    }
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

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

/// Standard base64 with padding, as JSON of Go and Rust carries bytes.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

fn protobuf(path: &Path) -> Result {
    let bytes = read(path);
    let name = path.file_stem().unwrap().to_str().unwrap();
    let mut sets = 0;
    for set in folders(path.parent().unwrap()) {
        if !set
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(&format!("{name}-"))
        {
            continue;
        }
        for part in ["attest.bin", "eventlog.bin", "ak.tpmt_public.bin"] {
            ensure(contains(&bytes, &read(&set.join(part))), part)?;
        }
        ensure(contains(&bytes, &read(&set.join("sig.bin"))), "sig.bin")?;
        sets += 1;
    }
    ensure(sets > 0, "no set beside it")?;
    Ok(Shown::Held(
        "carries quote, signature, key and log of its sets byte for byte",
    ))
}

fn beside(path: &Path) -> Result {
    let bytes = read(path);
    for part in ["attest.bin", "sig.bin"] {
        ensure(contains(&bytes, &read(&path.with_file_name(part))), part)?;
    }
    Ok(Shown::Held(
        "carries the quote and signature of its set byte for byte",
    ))
}

fn strings(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => found.extend(base64(text)),
        Value::Array(list) => list.iter().for_each(|value| strings(value, found)),
        Value::Object(map) => map.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

fn in_json(path: &Path, set: &Path) -> Result {
    let mut found = Vec::new();
    strings(&json(path), &mut found);
    for part in ["attest.bin", "sig.bin"] {
        ensure(found.contains(&read(&set.join(part))), part)?;
    }
    Ok(Shown::Held(
        "carries the quote and signature of its set byte for byte",
    ))
}

fn tpm12(path: &Path) -> Result {
    let dump = json(path);
    let part = |name: &str| base64(dump["Quote"][name].as_str().unwrap()).unwrap();
    ensure(dump["Static"]["TPMVersion"] == 1, "not a TPM 1.2")?;
    ensure(
        attest::parse(&part("Quote")).is_err(),
        "a TPM 1.2 quote parses",
    )?;
    let bytes = part("Signature");
    ensure(
        signature::parse_with(&bytes, Sha1::Legacy).is_err(),
        "its signature parses",
    )?;
    let key = base64(dump["AK"]["Public"].as_str().unwrap()).unwrap();
    ensure(public::parse(&key).is_err(), "its key parses")?;
    Ok(Shown::Held(
        "quote, signature and key of a TPM 1.2 are refused",
    ))
}

/// `"r"` and the base64 of quote, signature and PCRs, with colons between.
fn keylime_string(path: &Path) -> Result {
    let string = text(fs::read_to_string(path))?;
    let parts = string.trim().strip_prefix('r').ok_or("no r")?;
    let parts: Option<Vec<Vec<u8>>> = parts.split(':').map(base64).collect();
    let [quote, signed, pcrs] = <[_; 3]>::try_from(parts.ok_or("base64")?).map_err(|_| "parts")?;
    let parsed = text(attest::parse(&quote))?;
    ensure(parsed.extra_data == b"TEST", "another nonce")?;
    ensure(parsed.selections[0].mask == 1 << 16, "another selection")?;
    ensure(signature::parse(&signed).is_err(), "SHA-1 by rule")?;
    let signature = text(signature::parse_with(&signed, Sha1::Legacy))?;
    let value = pcrs.windows(22).any(|part| {
        part[..2] == [20, 0] && signature.hash.digest(&[&part[2..]]) == parsed.pcr_digest
    });
    ensure(value, "no PCR 16 in it gives the quoted digest")?;
    Ok(Shown::Held(
        "quote of PCR 16 with its value; SHA-1 signature refused by rule, its key is not published",
    ))
}

fn pcp_blob(path: &Path) -> Result {
    let (bytes, aik) = (read(path), key(&path.with_file_name("aik.pem"))?);
    let area = |at: usize| {
        let rest = bytes.get(at..)?;
        let size = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let area = public::parse_sized(rest.get(..size + 2)?).ok()?;
        (area.key == aik).then_some(area)
    };
    let area = (0..bytes.len())
        .find_map(area)
        .ok_or("no public area of aik.pem in it")?;
    let name = "000b004d0d44bb51fe0be24c1f0625f42d64c250a304e75caba26ca46ee2605c96c3";
    ensure(hex::encode(area.object_name()) == name, "another name")?;
    text(check(&area, AkRules::OfflineLegacy))?;
    Ok(Shown::Held(
        "holds the AIK's public area, which satisfies the AK rules with SHA-1 allowed",
    ))
}

fn credential(path: &Path) -> Result {
    let beside = |name| read(&path.with_file_name(name));
    let public = text(public::parse_sized(&beside("ek_tpm.bin")))?;
    let ek = text(EkKey::from_public(&public.key))?;
    let name = AkName::try_from(beside("aik_name.bin").as_slice()).map_err(|_| "name")?;
    let ephemeral = hex::decode("a706d544decd78de340642bcc33317c0cba93b383ad635a1a2aff132936841da");
    let ephemeral = ephemeral.unwrap().try_into().unwrap();
    let made = text(make_credential(
        &ek,
        &name,
        &beside("challenge.bin"),
        &ephemeral,
    ))?;
    let made = [made.id_object, made.encrypted_secret].concat();
    // After a magic and a version of tpm2-tools.
    ensure(read(path)[8..] == made, "another credential")?;
    Ok(Shown::Held(
        "made byte for byte from the ephemeral key of its test",
    ))
}

fn credential_input(path: &Path) -> Result {
    if path.with_file_name("expected_credential.bin").exists() {
        return Ok(Shown::PartOf(
            "makecredential-output expected_credential.bin",
        ));
    }
    let beside = |name| read(&path.with_file_name(name));
    let public = text(public::parse_sized(&beside("ek_tpm.bin")))?;
    let ek = text(EkKey::from_public(&public.key))?;
    text(ek.check_template(public.bytes()))?;
    let name = AkName::try_from(beside("aik_name.bin").as_slice()).map_err(|_| "name")?;
    text(make_credential(
        &ek,
        &name,
        &beside("challenge.bin"),
        &[1; 32],
    ))?;
    Ok(Shown::Held(
        "taken; OAEP is not reproducible and the private key is not published",
    ))
}

fn tools_file(path: &Path) -> Result {
    let beside = |name| read(&path.with_file_name(name));
    match path.file_name().unwrap().to_str().unwrap() {
        "ak.pub" => {
            let public = text(public::parse_sized(&read(path)))?;
            ensure(
                public.object_name() == beside("ak.name"),
                "another name than ak.name",
            )?;
            ensure(
                public.key == key(&path.with_file_name("ak.pem"))?,
                "another key",
            )?;
            Ok(Shown::Held(
                "TPM2B_PUBLIC of ak.pem with the name of ak.name",
            ))
        }
        "ak.name" => Ok(Shown::PartOf("tpm2-tools-file ak.pub")),
        "akpub.pem" => {
            ensure(
                key(path)? == key(&path.with_file_name("ak.pem"))?,
                "another key",
            )?;
            Ok(Shown::Held("the key of ak.pem"))
        }
        "ek.pub" => {
            let public = text(public::parse_sized(&read(path)))?;
            ensure(
                public.key == key(&path.with_file_name("ekpub.pem"))?,
                "another key",
            )?;
            let ek = text(EkKey::from_public(&public.key))?;
            text(ek.check_template(public.bytes()))?;
            Ok(Shown::Held(
                "the default EK template with the key of ekpub.pem",
            ))
        }
        "ekpub.pem" => Ok(Shown::PartOf("tpm2-tools-file ek.pub")),
        "mkcred.out" => {
            let (made, secret) = (read(path), beside("actcred.out"));
            let object = 2 + 2 + 32 + 2 + secret.len();
            ensure(made.len() == 8 + object + 2 + 256, "another size")?;
            ensure(
                usize::from(made[9]) == object - 2,
                "another size of the id object",
            )?;
            Ok(Shown::Held(
                "the sizes of our credential for the secret of actcred.out",
            ))
        }
        "actcred.out" => Ok(Shown::PartOf("tpm2-tools-file mkcred.out")),
        "quotepcr.out" => Ok(Shown::Skipped(
            "read by the offline tool: keylimes_pcr_file_equals_its_json in assay-cli",
        )),
        other => Err(format!("no test for the file {other}")),
    }
}
