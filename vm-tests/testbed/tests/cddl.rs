//! `protocol/cddl/assay.cddl` against the sources it describes and against real output of the encoders.

#[allow(dead_code)]
mod samples;

use assay_appraisal::checks::{Check, Outcome};
use assay_appraisal::ear::{Area, Ear, Module, TrustClaim, TrustVector};
use assay_protocol::cbor::Value;
use assay_protocol::cose;
use assay_protocol::hash::digest;
use cddl_cat::context::BasicContext;
use cddl_cat::validate_cbor;
use samples::Sample;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn protocol() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol")
}

fn cddl() -> String {
    std::fs::read_to_string(protocol().join("cddl/assay.cddl")).unwrap()
}

fn schema() -> BasicContext {
    BasicContext::new(cddl_cat::flatten::flatten_from_str(&tags_as_arrays(&cddl())).unwrap())
}

/// The validator knows no tags, so `#6.18(x)` is checked as `["tag", 18, x]`, in schema and data alike.
fn tags_as_arrays(cddl: &str) -> String {
    let mut pieces = cddl.split("#6.");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once('(').unwrap();
        let mut depth = 1;
        let end = rest.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let (inside, after) = rest.split_at(end.unwrap());
        out += &format!("[\"tag\", {number}, {inside}]{}", &after[1..]);
    }
    out
}

fn tagless(value: Value) -> ciborium::Value {
    let number = |n: u64| ciborium::Value::Integer(n.into());
    match value {
        Value::Uint(n) => number(n),
        Value::Nint(n) => ciborium::Value::Integer((-1 - i64::try_from(n).unwrap()).into()),
        Value::Bytes(bytes) => ciborium::Value::Bytes(bytes.into_owned()),
        Value::Text(text) => ciborium::Value::Text(text.into_owned()),
        Value::Array(items) => ciborium::Value::Array(items.into_iter().map(tagless).collect()),
        Value::Map(entries) => ciborium::Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (tagless(key), tagless(value)))
                .collect(),
        ),
        Value::Tag(tag, inner) => {
            ciborium::Value::Array(vec!["tag".into(), number(tag), tagless(*inner)])
        }
        Value::Bool(value) => ciborium::Value::Bool(value),
        Value::Null => ciborium::Value::Null,
    }
}

fn check(schema: &BasicContext, rule: &str, value: Value) -> Result<(), String> {
    let definition = schema.rules.get(rule).ok_or(format!("no rule {rule}"))?;
    validate_cbor(definition, &tagless(value), schema).map_err(|error| format!("{rule}: {error}"))
}

fn all_samples() -> Vec<Sample> {
    samples::signed()
        .into_iter()
        .chain(samples::records())
        .collect()
}

#[test]
fn every_object_the_encoders_make_is_valid() {
    let schema = schema();
    for sample in all_samples() {
        let value = Value::decode(&sample.bytes).unwrap();
        check(&schema, sample.rule, value).unwrap();
    }
}

#[test]
fn result_tokens_are_valid() {
    let check = |outcome| Check {
        name: "quote-signature".into(),
        outcome,
        expected: "a signature".into(),
        actual: "one".into(),
    };
    let ear = Ear {
        node: samples::NODE,
        nonce: samples::NONCE,
        issued_at_s: 5,
        build: "0.1.0".into(),
        modules: vec![Module {
            name: "tpm".into(),
            vector: TrustVector::new().with(Area::Hardware, TrustClaim::AFFIRMED),
        }],
        tier: 2,
        policy: digest(&[b"policy"]),
        evidence: digest(&[b"evidence"]),
        checks: vec![check(Outcome::Pass), check(Outcome::Undecided)],
    };
    let signed = cose::seal(ear, &samples::key());
    let value = Value::decode(signed.bytes()).unwrap();
    let schema = schema();
    self::check(&schema, "SignedResult", value.clone()).unwrap();
    let changed = with_typ(value, "application/eat+cwt");
    assert!(self::check(&schema, "SignedResult", changed).is_err());
}

#[test]
fn an_object_is_refused_under_every_other_rule() {
    let schema = schema();
    let all = all_samples();
    for sample in &all {
        for other in all.iter().filter(|other| other.rule != sample.rule) {
            let value = Value::decode(&sample.bytes).unwrap();
            let found = check(&schema, other.rule, value);
            assert!(found.is_err(), "{} passes as {}", sample.rule, other.rule);
        }
    }
}

#[test]
fn a_missing_a_foreign_and_a_changed_entry_are_refused_in_every_record() {
    let schema = schema();
    for (rule, bytes) in records() {
        let Value::Map(record) = Value::decode(&bytes).unwrap() else {
            panic!("{rule} is not a map");
        };
        check(&schema, rule, Value::Map(record.clone())).unwrap();
        for at in 0..record.len() {
            let mut missing = record.clone();
            missing.remove(at);
            let found = check(&schema, rule, Value::Map(missing));
            assert!(found.is_err(), "{rule} without entry {at}");
            let mut changed = record.clone();
            changed[at].1 = Value::Array(vec![Value::Bool(true)]);
            let found = check(&schema, rule, Value::Map(changed));
            assert!(found.is_err(), "{rule} with another entry {at}");
        }
        let mut foreign = record;
        foreign.push((Value::int(99), Value::Null));
        let found = check(&schema, rule, Value::Map(foreign));
        assert!(found.is_err(), "{rule} with a foreign entry");
    }
}

/// Unsigned records, and the payloads of signed ones.
fn records() -> Vec<(&'static str, Vec<u8>)> {
    let plain = samples::records().into_iter().map(|s| (s.rule, s.bytes));
    let signed = samples::signed().into_iter().map(|s| {
        let parts = cose::split("sample", s.bytes.len(), &s.bytes).unwrap();
        let rule = if s.rule == "SignedEvidence" {
            "Claims"
        } else {
            &s.rule["Signed".len()..]
        };
        (rule, parts.payload.into_owned())
    });
    plain.chain(signed).collect()
}

#[test]
fn another_type_in_the_protected_header_is_refused() {
    let schema = schema();
    for sample in samples::signed() {
        let value = Value::decode(&sample.bytes).unwrap();
        let changed = with_typ(value, "application/vnd.assay.other+cbor");
        assert!(
            check(&schema, sample.rule, changed).is_err(),
            "{}",
            sample.rule
        );
    }
}

fn with_typ<'a>(signed: Value<'a>, typ: &'a str) -> Value<'a> {
    let Value::Tag(tag, inner) = signed else {
        panic!("no tag")
    };
    let Value::Array(mut parts) = *inner else {
        panic!("no array")
    };
    let Value::Bytes(header) = parts[0].clone() else {
        panic!("no header")
    };
    let Value::Map(mut entries) = Value::decode(&header).unwrap() else {
        panic!("no map")
    };
    let entry = entries.iter_mut().find(|(key, _)| *key == Value::int(16));
    entry.unwrap().1 = Value::text(typ);
    parts[0] = Value::bytes(Value::Map(entries).encode());
    Value::Tag(tag, Box::new(Value::Array(parts)))
}

/// Name of a record, and its keys with the names of their fields.
type Records = BTreeMap<String, Vec<(i64, String)>>;

/// Every source below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let text = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![std::fs::read_to_string(path).unwrap()],
    };
    entries
        .flat_map(|entry| text(entry.unwrap().path()))
        .collect()
}

/// Every `cbor_map!` of the protocol crate.
fn declared() -> Records {
    let mut records = Records::new();
    for text in sources(&protocol().join("src")) {
        for block in text.split("\ncbor_map! {").skip(1) {
            let block = &block[..block.find("\n}\n").unwrap()];
            let name = block
                .split_once("pub struct ")
                .unwrap()
                .1
                .split_once(' ')
                .unwrap()
                .0;
            records.insert(
                name.to_owned(),
                block.lines().filter_map(rust_field).collect(),
            );
        }
    }
    records
}

fn rust_field(line: &str) -> Option<(i64, String)> {
    let (key, field) = line.split_once(" => ")?;
    let name = field.split_once(':')?.0;
    Some((key.trim().parse().ok()?, name.to_owned()))
}

/// Every record of the CDDL that has the name of one in the sources.
fn described(names: &Records) -> Records {
    let cddl = cddl();
    let fields = |name: &String| {
        let (_, rest) = cddl.split_once(&format!("\n{name} = {{\n"))?;
        let body = rest.split_once("\n}\n")?.0;
        Some((name.clone(), body.lines().filter_map(cddl_field).collect()))
    };
    names.keys().filter_map(fields).collect()
}

fn cddl_field(line: &str) -> Option<(i64, String)> {
    let (key, rest) = line.split_once(" => ")?;
    let name = rest.split_once(';')?.1.trim();
    Some((key.trim().parse().ok()?, name.to_owned()))
}

#[test]
fn the_cddl_has_every_record_of_the_sources_with_its_keys_and_names() {
    let declared = declared();
    assert!(
        declared.len() >= 33,
        "found only {} records",
        declared.len()
    );
    assert_eq!(described(&declared), declared);
}
