//! Other people's COSE and CBOR libraries (PyPI `pycose`, `cbor2`) read and verify what ours sign.
//!
//! `make test` names the interpreter in `ASSAY_FOREIGN_PYTHON`; a plain `cargo test` has none and says so.

#[allow(dead_code)]
mod samples;

use assay_protocol::cose::{self, Signer as _};
use samples::Sample;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter with the two libraries.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ASSAY_FOREIGN_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("NOT TESTED: ASSAY_FOREIGN_PYTHON is not set (`make test` sets it)");
    }
    python
}

/// What the foreign decoder says of each file.
fn verify(python: &Path, files: &[(String, Vec<u8>)]) -> Map<String, Value> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key.bin"), samples::key().public_key()).unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(format!("{name}.cose")), bytes).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../foreign/verify_cose.py");
    let output = Command::new(python)
        .arg(script)
        .arg(dir.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_signed_object_verifies_and_says_what_we_meant() {
    let Some(python) = python() else { return };
    let files = named();
    let found = verify(&python, &files);
    assert_eq!(found.len(), files.len());
    for (name, object) in &found {
        assert!(object.get("refused").is_none(), "{name}: {object}");
    }
    let claims = samples::claims();
    let evidence = &found["SignedEvidence.cose"];
    assert_eq!(evidence["subject"], claims.node.to_string());
    assert_eq!(evidence["payload"]["256"], format!("01{}", claims.node));
    assert_eq!(evidence["payload"]["10"][0], samples::NONCE.to_string());
    assert_eq!(evidence["payload"]["-75008"], claims.ak_name.to_string());
    assert_eq!(evidence["payload"]["-75011"], claims.at.0);
    let attest = &evidence["vendor"]["tpm2-attest"];
    assert_eq!(*attest, json!(["application/vnd.assay.tpms-attest", 4]));
    let report = &found["SignedReport.cose"];
    assert_eq!(report["typ"], "application/vnd.assay.report+cbor");
    assert_eq!(
        report["payload"]["7"][0]["4"]["3"],
        samples::PROVIDER.to_string()
    );
    assert_eq!(
        found["SignedOutcome.cose"]["payload"]["9"],
        json!([[1, 812], [2, 1]])
    );
}

#[test]
fn one_flipped_byte_anywhere_that_is_signed_is_refused() {
    let Some(python) = python() else { return };
    let bad: Vec<_> = named().iter().flat_map(flipped).collect();
    let found = verify(&python, &bad);
    assert_eq!(found.len(), bad.len());
    for (name, object) in &found {
        assert!(object.get("refused").is_some(), "{name}: {object}");
    }
}

/// Every signed sample by its rule; the second of a rule is `rule-2`.
fn named() -> Vec<(String, Vec<u8>)> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let name = |sample: Sample| {
        let count = seen.entry(sample.rule).or_default();
        *count += 1;
        let name = match count {
            1 => sample.rule.to_owned(),
            _ => format!("{}-{count}", sample.rule),
        };
        (name, sample.bytes)
    };
    samples::signed().into_iter().map(name).collect()
}

/// The object with one bit changed in its payload, in its signature and in its protected header.
fn flipped((rule, sealed): &(String, Vec<u8>)) -> Vec<(String, Vec<u8>)> {
    let parts = cose::split("sample", sealed.len(), sealed).unwrap();
    let flip = |(name, part): (&str, &[u8])| {
        let start = sealed
            .windows(part.len())
            .position(|window| window == part)
            .unwrap();
        let mut bytes = sealed.clone();
        bytes[start + part.len() - 1] ^= 1;
        (format!("{rule}-{name}"), bytes)
    };
    [
        ("protected", parts.protected.as_ref()),
        ("payload", parts.payload.as_ref()),
        ("signature", parts.signature.as_ref()),
    ]
    .map(flip)
    .into()
}
