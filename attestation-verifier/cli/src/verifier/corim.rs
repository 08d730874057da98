//! Signed reference values (CoRIM), shown and turned into lines of a hardware class.

use super::{Finding, input};
use anyhow::{Context as _, Result};
use assay_appraisal::checks::{Checks, Mode, Outcome};
use assay_appraisal::corim::{self, Manifest, Measurement, PinnedKey, ReferenceValues, Trust};
use assay_protocol::ids::Digest;
use clap::{Args, Subcommand};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Signed reference values (CoRIM).
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a manifest says; with --key, verify it and give the lines for a hardware class.
    Show(Show),
}

/// Arguments of `corim show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The manifest: CoRIM, signed (COSE_Sign1) or not.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A public key whose manifests are believed, PEM or DER; may be repeated. Without one nothing is verified.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// The time at which the manifest must be valid, RFC 3339; now when absent.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Print only the lines for a class file, checks to stderr; nothing unless the manifest is accepted and holds
    /// PCR values and nothing else. Goes before --json.
    #[arg(long)]
    toml: bool,
}

impl Command {
    /// Whether only the lines for a class file are wanted on stdout.
    pub fn toml_only(&self) -> bool {
        let Self::Show(show) = self;
        show.toml
    }
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    let Command::Show(show) = command;
    let bytes = input::file(&show.file)?;
    let at = input::time(show.at.as_deref())?;
    let keys: Vec<PinnedKey> = show
        .key
        .iter()
        .map(|path| pinned(path))
        .collect::<Result<_>>()?;
    if keys.is_empty() {
        return Ok(shown(&bytes));
    }
    let trust = Trust { keys: &keys, at };
    Ok(match corim::import(&bytes, &trust, Mode::Explain) {
        Ok(values) => accepted(&values, show.toml),
        Err(refused) => {
            let claims =
                corim::read(&bytes).map_or_else(|_| json!({}), |manifest| claims(&manifest));
            Finding::new(Checks::after(refused.checks, Mode::Explain), claims)
        }
    })
}

fn pinned(path: &Path) -> Result<PinnedKey> {
    let bytes = input::file(path)?;
    let spki = match bytes.starts_with(&[0x30]) {
        true => bytes,
        false => SubjectPublicKeyInfoDer::from_pem_slice(&bytes)
            .map(|der| der.to_vec())
            .with_context(|| format!("{}: expected a public key in PEM", path.display()))?,
    };
    PinnedKey::from_spki(&spki).with_context(|| path.display().to_string())
}

/// Without a key: what it says, and that nobody vouches for it.
fn shown(bytes: &[u8]) -> Finding {
    let mut checks = Checks::new(Mode::Explain);
    let read = corim::read(bytes);
    let claims = read.as_ref().map_or_else(|_| json!({}), claims);
    // Explanation records and never stops.
    let _ = checks.value("corim-structure", "a manifest of the subset", read);
    let expected = "a valid signature by a pinned key";
    let _ = checks.record(
        "corim-signature",
        Outcome::Undecided,
        expected,
        "no key was given",
    );
    Finding::new(checks, claims)
}

/// The reference values, and the class lines when they are PCR values; with `required` they must be.
fn accepted(values: &ReferenceValues, required: bool) -> Finding {
    let mut checks = Checks::after(values.checks().clone(), Mode::Explain);
    let mut claims = claims(values.manifest());
    claims["signer"] = json!(values.signer().to_string());
    let measurements = values
        .snp_references()
        .iter()
        .flat_map(|reference| reference.measurements());
    claims["snp_measurements"] = json!(measurements.map(hex::encode).collect::<Vec<_>>());
    let lines = class_lines(values).map_err(|error| format!("{error:#}"));
    match &lines {
        Ok(lines) => claims["class_toml"] = json!(lines),
        Err(error) => claims["class_toml_refused"] = json!(error),
    }
    if required {
        let _ = checks.value("corim-class-lines", "PCR values of one environment", lines);
    }
    Finding::new(checks, claims)
}

/// `[[attestation.pcrs]]` tables, as `hw-profiles` reads them. A class describes one kind of machine, so that values
/// of several environments are not put together.
fn class_lines(values: &ReferenceValues) -> Result<Vec<String>> {
    let sets = values.pcr_references()?;
    let [set] = sets.as_slice() else {
        anyhow::bail!("{} environments", sets.len());
    };
    let mut lines = vec![
        format!("# CoRIM {:?} for {}", values.id(), set.environment),
        format!("# signed by the key {}", values.signer()),
    ];
    for pcr in &set.pcrs {
        let allowed: Vec<String> = pcr.allowed.iter().map(quoted).collect();
        lines.push("[[attestation.pcrs]]".into());
        lines.push(format!("index = {}", pcr.index));
        lines.push(format!("allowed = [{}]", allowed.join(", ")));
    }
    Ok(lines)
}

fn quoted(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// The class lines of an accepted manifest.
pub fn toml_lines(finding: &Finding) -> Vec<&str> {
    let lines = finding.claims["class_toml"].as_array();
    lines
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn claims(manifest: &Manifest) -> Value {
    let references = manifest.references.iter().map(|reference| {
        let measurements: Vec<Value> = reference.measurements.iter().map(measurement).collect();
        json!({ "environment": reference.environment.to_string(), "measurements": measurements })
    });
    let signature = manifest.signature.as_ref().map(|signature| {
        json!({
            "name": signature.name,
            "window": signature.window.to_string(),
            "x5chain": signature.x5chain.len(),
        })
    });
    json!({
        "id": manifest.id,
        "profile": manifest.profile.as_ref().map(ToString::to_string),
        "window": manifest.window.to_string(),
        "claimed_signature": signature,
        "references": references.collect::<Vec<_>>(),
        "ignored": manifest.ignored,
    })
}

fn measurement(measurement: &Measurement) -> Value {
    let text = |digests: &[corim::DigestValue]| -> Vec<String> {
        digests.iter().map(ToString::to_string).collect()
    };
    let registers = measurement.registers.iter();
    let registers = registers.map(|r| (r.key.to_string(), json!(text(&r.digests))));
    let raw = measurement.raw.as_ref().map(|raw| {
        json!({ "value": hex::encode(&raw.value), "mask": raw.mask.as_ref().map(hex::encode) })
    });
    let entries = [
        (
            "key",
            measurement.key.as_ref().map(|key| json!(key.to_string())),
        ),
        ("name", measurement.name.as_ref().map(|name| json!(name))),
        (
            "version",
            measurement
                .version
                .as_ref()
                .map(|version| json!(version.text)),
        ),
        ("svn", measurement.svn.map(|svn| json!(svn.to_string()))),
        ("raw", raw),
        ("digests", some(json!(text(&measurement.digests)))),
        ("flags", some(json!(measurement.flags))),
        ("registers", some(Value::Object(registers.collect()))),
    ];
    let there = entries
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect())
}

/// Nothing for an empty list or map.
fn some(value: Value) -> Option<Value> {
    let empty = value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty);
    (!empty).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::Conclusion;
    use assay_protocol::cbor::{Value as Cbor, int_map};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    fn tag(number: u64, inner: Cbor) -> Cbor {
        Cbor::Tag(number, Box::new(inner))
    }

    /// A manifest with one PCR value per key, for one environment per list.
    fn manifest(environments: &[&[Cbor<'static>]]) -> Vec<u8> {
        let digest = Cbor::Array(vec![Cbor::Uint(1), Cbor::bytes([0xab; 32])]);
        let values = int_map([(2, Cbor::Array(vec![digest]))]);
        let triple = |(at, keys): (usize, &&[Cbor<'static>])| {
            let environment = int_map([(0, int_map([(2, Cbor::text(format!("m{at}\nx = 1")))]))]);
            let keys = keys.iter().cloned();
            let measured = keys.map(|key| int_map([(0, key), (1, values.clone())]));
            Cbor::Array(vec![environment, Cbor::Array(measured.collect())])
        };
        let triples = environments.iter().enumerate().map(triple).collect();
        let comid = int_map([
            (1, int_map([(0, Cbor::text("t"))])),
            (4, int_map([(0, Cbor::Array(triples))])),
        ]);
        let tags = Cbor::Array(vec![tag(506, Cbor::bytes(comid.encode()))]);
        tag(501, int_map([(0, Cbor::text("id")), (1, tags)])).encode()
    }

    fn signed(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let key = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
        let meta = int_map([(0, int_map([(0, Cbor::text("s"))]))]).encode();
        let header = int_map([
            (1, Cbor::int(-8)),
            (3, Cbor::text("application/rim+cbor")),
            (8, Cbor::bytes(meta)),
        ]);
        let protected = Cbor::bytes(header.encode());
        let context = Cbor::text("Signature1");
        let (none, payload) = (Cbor::bytes([]), Cbor::bytes(payload));
        let message = Cbor::Array(vec![context, protected.clone(), none, payload.clone()]);
        let signature = Cbor::bytes(key.sign(&message.encode()));
        let parts = Cbor::Array(vec![protected, Cbor::Map(Vec::new()), payload, signature]);
        let head = hex::decode("302a300506032b6570032100").unwrap();
        (
            tag(18, parts).encode(),
            [&head, key.public_key().as_ref()].concat(),
        )
    }

    fn show(manifest: &[u8], key: Option<&[u8]>, toml: bool) -> Finding {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("manifest.cbor");
        std::fs::write(&file, manifest).unwrap();
        let path = dir.path().join("key.der");
        let key = key.map(|bytes| std::fs::write(&path, bytes).map(|()| path.clone()).unwrap());
        let at = Some("2026-11-01T00:00:00Z".to_owned());
        let key = key.into_iter().collect();
        run(&Command::Show(Show {
            file,
            key,
            at,
            toml,
        }))
        .unwrap()
    }

    #[test]
    fn an_accepted_manifest_gives_lines_that_a_class_takes() {
        let (object, key) = signed(&manifest(&[&[Cbor::Uint(4), Cbor::text("PCR7")]]));
        let finding = show(&object, Some(&key), true);
        assert_eq!(finding.result, Conclusion::Accepted, "{finding}");
        let lines = toml_lines(&finding);
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
        let class = assay_hw_profiles::DEMO_CLASS;
        let (head, _) = class.split_once("[[attestation.pcrs]]").unwrap();
        let class = assay_hw_profiles::parse(&format!("{head}{}\n", lines.join("\n"))).unwrap();
        let pcrs: Vec<(u8, [u8; 32])> = class
            .attestation
            .pcrs
            .iter()
            .map(|p| (p.index, p.allowed[0].0))
            .collect();
        assert_eq!(pcrs, [(4, [0xab; 32]), (7, [0xab; 32])]);
    }

    #[test]
    fn without_a_key_nothing_is_accepted_and_no_lines_are_given() {
        let payload = manifest(&[&[Cbor::Uint(4)]]);
        let (object, key) = signed(&payload);
        for bytes in [&payload, &object] {
            let finding = show(bytes, None, true);
            assert_eq!(finding.result, Conclusion::Undecided);
            assert_eq!(toml_lines(&finding), Vec::<&str>::new());
            assert_eq!(finding.claims["id"], "id");
        }
        let mut other = key.clone();
        other[20] ^= 1;
        for (bytes, key) in [(&object, &other), (&payload, &key)] {
            let finding = show(bytes, Some(key), true);
            assert_eq!(finding.result, Conclusion::Rejected);
            assert_eq!(toml_lines(&finding), Vec::<&str>::new());
        }
        assert_eq!(show(b"x", None, false).result, Conclusion::Rejected);
    }

    #[test]
    fn values_that_are_not_of_one_machine_give_no_lines() {
        let two: [&[Cbor]; 2] = [&[Cbor::Uint(4)], &[Cbor::Uint(4)]];
        for payload in [manifest(&two), manifest(&[&[Cbor::Uint(24)]])] {
            let (object, key) = signed(&payload);
            let finding = show(&object, Some(&key), false);
            assert_eq!(finding.result, Conclusion::Accepted);
            assert!(finding.claims["class_toml_refused"].is_string());
            assert_eq!(show(&object, Some(&key), true).result, Conclusion::Rejected);
        }
    }
}
