//! EAR: labels, names and values here are those of the draft and of others' tokens.
//!
//! Tokens in JSON are read by test code only: the product writes and reads CBOR.

use super::{base64url, key_of, name};
use crate::common::json;
use crate::{Row, Shown};
use assay_appraisal::crypto::signature::{Form, Scheme, Sha1, verify};
use assay_appraisal::ear::{Area, Status, TrustClaim, label};
use assay_appraisal::tpm::algorithm::HashAlg;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

pub fn row(path: &Path, row: &Row) -> Result<Shown, String> {
    let text = fs::read_to_string(path).unwrap();
    match row.kind.as_str() {
        "ear-claims-json" if row.expected.contains("(bad)") => Ok(Shown::Skipped(
            "bad by Veraison's key-attestation extension, which no result here has",
        )),
        "ear-claims-json" => {
            named(&json(path), NAMES_VERAISON)?;
            Ok(Shown::Held(
                "its names of areas and statuses, and their values, are ours",
            ))
        }
        "ear-jwt" => {
            let claims = jwt(path, text.trim())?;
            named(&claims, NAMES_VERAISON)?;
            Ok(Shown::Held(
                "ES256 signature holds; its names and values are ours",
            ))
        }
        "ear-jwt-negative" => {
            match jwt(path, text.trim()).and_then(|c| named(&c, NAMES_VERAISON)) {
                Err(_) => Ok(Shown::Held(
                    "refused: framing, algorithm, signature or missing claims",
                )),
                Ok(()) => Err("accepted".into()),
            }
        }
        "ear-example-diag" if name(path).contains("cbor") => {
            numbered(&numbers_as_names(&text), name(path))?;
            Ok(Shown::Held("its labels and values are ours"))
        }
        "ear-example-diag" => {
            named(&serde_json::from_str(&text).unwrap(), NAMES_DRAFT)?;
            Ok(Shown::Held(
                "its names of areas and statuses, and their values, are ours",
            ))
        }
        other => Err(format!("no test for the kind {other}")),
    }
}

/// Names of verifier id, status and vector: the draft's and, from before it, Veraison's.
type Names = [&'static str; 3];
const NAMES_DRAFT: Names = [
    "ear_verifier_id",
    "ear_status",
    "ear_trustworthiness_vector",
];
const NAMES_VERAISON: Names = [
    "ear.verifier-id",
    "ear.status",
    "ear.trustworthiness-vector",
];
const STATUSES: [Status; 4] = [
    Status::None,
    Status::Affirming,
    Status::Warning,
    Status::Contraindicated,
];

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{what}: not a map"))
}

fn claim(value: &Value) -> Result<TrustClaim, String> {
    let number = value.as_i64().and_then(|n| i8::try_from(n).ok());
    number
        .map(TrustClaim)
        .ok_or_else(|| format!("claim {value}"))
}

/// The claims in JSON: mandatory ones there, each status and area known.
fn named(claims: &Value, [verifier, status, vector]: Names) -> Result<(), String> {
    let identity = object(&claims[verifier], verifier)?;
    if !["developer", "build"]
        .iter()
        .all(|name| identity.contains_key(*name))
    {
        return Err("no developer or build".into());
    }
    if !claims["eat_profile"].is_string() || !claims["iat"].is_number() {
        return Err("no profile or time".into());
    }
    for (module, record) in object(&claims["submods"], "submods")? {
        let stated = record[status].as_str().unwrap_or_default();
        let stated = STATUSES.iter().find(|s| s.name() == stated);
        let stated = stated.ok_or_else(|| format!("{module}: status {}", record[status]))?;
        let mut worst = None;
        for (area, value) in record[vector].as_object().into_iter().flatten() {
            if !Area::ALL.iter().any(|known| known.name() == area) {
                return Err(format!("{module}: area {area}"));
            }
            worst = worst.max(Some(claim(value)?.status()).filter(|s| *s != Status::None));
        }
        // Areas about which nothing is said do not count in these verifiers' status.
        if worst.is_some_and(|worst| worst != *stated) {
            return Err(format!("{module}: {stated:?}, areas say {worst:?}"));
        }
    }
    Ok(())
}

/// The draft's CBOR examples: the numbers are our labels.
fn numbered(claims: &Value, name: &str) -> Result<(), String> {
    let at = |value: &Value, label: i64| value[label.to_string()].clone();
    assert!(at(claims, label::PROFILE).is_string() && at(claims, label::IAT).is_number());
    assert!(at(claims, label::RAW_EVIDENCE).is_string());
    let identity = at(claims, label::VERIFIER_ID);
    assert_eq!(
        at(&identity, label::DEVELOPER),
        "https://veraison-project.org"
    );
    assert_eq!(at(&identity, label::BUILD), "vts 0.0.1");
    for (module, record) in object(&at(claims, label::SUBMODS), "submods")? {
        assert!(at(record, label::POLICY_IDS)[0].is_string());
        let stated = at(record, label::STATUS).as_u64().unwrap();
        let stated = STATUSES
            .iter()
            .find(|s| u64::from(s.number()) == stated)
            .unwrap();
        let mut worst = Status::Affirming;
        for (area, value) in object(&at(record, label::TRUST_VECTOR), "vector")? {
            assert!(
                Area::ALL
                    .iter()
                    .any(|known| known.number().to_string() == *area)
            );
            worst = worst.max(claim(value)?.status());
        }
        // The extension's example says "none" over areas that all affirm.
        if name != "ext-veraison-cbor-1" && worst != *stated {
            return Err(format!("{module}: {stated:?}, areas say {worst:?}"));
        }
    }
    Ok(())
}

/// Diagnostic notation of these files as JSON: numbers before a colon become names, h'..' becomes text.
fn numbers_as_names(diag: &str) -> Value {
    let mut out = String::new();
    for line in diag.lines() {
        let mut line = line.trim().replace("h'", "\"").replace('\'', "\"");
        if let Some((key, rest)) = line.split_once(": ")
            && key.parse::<i64>().is_ok()
        {
            line = format!("\"{key}\": {rest}");
        }
        out.push_str(&line);
    }
    serde_json::from_str(&out).unwrap()
}

/// The claims of an ES256 token whose signature holds.
fn jwt(path: &Path, token: &str) -> Result<Value, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err(format!("{} parts", parts.len()));
    };
    let decode = |part: &str| base64url(part).ok_or("not base64url");
    let parse = |part: &str| -> Result<Value, String> {
        serde_json::from_slice(&decode(part)?).map_err(|e| e.to_string())
    };
    let algorithm = parse(header)?["alg"].clone();
    if algorithm != "ES256" {
        return Err(format!("algorithm {algorithm}"));
    }
    let keys = ["pkey.json", "ear_valid.key.jwk"].map(|name| path.with_file_name(name));
    let key = key_of(&json(keys.iter().find(|path| path.is_file()).unwrap()));
    let scheme = (Scheme::Ecdsa(HashAlg::Sha256), Form::Fixed, Sha1::Refused);
    let signed = format!("{header}.{claims}");
    verify(&key, scheme, signed.as_bytes(), &decode(signature)?).map_err(|e| e.to_string())?;
    parse(claims)
}
