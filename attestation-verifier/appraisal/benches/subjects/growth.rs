//! Inputs whose sender chooses their size: time must grow as they do.

use super::Growth;
use super::certificates::testing::{Ca, extension, tlv};
use super::logs::{OPTIONS, boot, ima, node, quote};
use crate::harness::Doubled;
use assay_appraisal::corim;
use assay_appraisal::eventlog::claims::claims;
use assay_appraisal::eventlog::replay::Replayed;
use assay_appraisal::eventlog::{self, explain::explain};
use assay_appraisal::foreign_cbor;
use assay_appraisal::ima::{self as ima_list, List};
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::x509::Certificate;
use assay_appraisal::x509::crl::Crl;
use assay_protocol::cbor::{Value, int_map};
use assay_protocol::cose::Signer as _;
use assay_protocol::evidence;
use assay_protocol::ids::{HyperNodeId, Nonce};
use assay_testbed::boot_log::Banks;
use std::hint::black_box;

/// Every input.
pub fn all() -> Vec<Growth> {
    vec![
        ("event log: replay and claims", grows(2_000, event_log)),
        ("event log: explanation", grows(2_000, event_log_explained)),
        ("IMA list, binary", grows(5_000, ima_binary)),
        ("IMA list, text", grows(5_000, ima_text)),
        ("certificate: extensions", grows(14, certificate)),
        ("revocation list", grows(20_000, revocation_list)),
        ("CBOR of others: array", grows(20_000, foreign_array)),
        ("CBOR of others: map", grows(10_000, foreign_map)),
        ("our CBOR: map", grows(20_000, own_map)),
        ("evidence: opened", grows(2_000, sealed)),
        ("CoRIM: measurements", grows(1_000, manifest)),
    ]
}

/// What is measured of one input.
type Work = Box<dyn FnMut()>;

fn grows(size: usize, work: fn(usize) -> Work) -> Box<dyn FnOnce() -> Doubled> {
    Box::new(move || Doubled::measure(work(size), work(2 * size)))
}

fn event_log(count: usize) -> Work {
    let boot = boot(count, 64);
    let (quote, bytes) = (quote(&boot), boot.log(Banks::Sha256));
    Box::new(move || {
        let log = eventlog::parse(black_box(&bytes)).unwrap();
        let replayed = Replayed::against(&log, HashAlg::Sha256, &quote).unwrap();
        black_box(claims(&replayed));
    })
}

fn event_log_explained(count: usize) -> Work {
    let boot = boot(count, 64);
    let (quote, bytes) = (quote(&boot), boot.log(Banks::Sha256));
    Box::new(move || {
        let log = eventlog::parse(black_box(&bytes)).unwrap();
        black_box(explain(&log, quote.pcrs(), None));
    })
}

fn ima_binary(count: usize) -> Work {
    let (list, quoted) = ima(count);
    let bytes = list.encode();
    Box::new(move || {
        let list = List::read(black_box(&bytes), None).unwrap();
        black_box(ima_list::explain(&list, &quoted, OPTIONS).unwrap());
    })
}

fn ima_text(count: usize) -> Work {
    let (list, quoted) = ima(count);
    let mut text = String::new();
    let bytes = list.encode();
    let binary = List::read(&bytes, None).unwrap();
    for (entry, file) in binary.entries().zip(&list.entries) {
        let hash = hex::encode(entry.unwrap().template_hash);
        let digest = hex::encode(file.digest);
        text += &format!("10 {hash} ima-ng sha256:{digest} {}\n", file.name);
    }
    Box::new(move || {
        let list = List::read(black_box(text.as_bytes()), None).unwrap();
        black_box(ima_list::explain(&list, &quoted, OPTIONS).unwrap());
    })
}

fn certificate(count: usize) -> Work {
    let ca = Ca::new("Root");
    let unknown = |n: usize| extension(&[0x2a, 3, n as u8], false, &vec![n as u8; 400]);
    let extensions: Vec<Vec<u8>> = (0..count).map(unknown).collect();
    let bytes = ca.issue("Leaf", &ca.spki(), ["20", "30"], &extensions);
    Box::new(move || {
        black_box(Certificate::parse(black_box(&bytes)).unwrap());
    })
}

fn revocation_list(count: usize) -> Work {
    let serials: Vec<[u8; 4]> = (0..count)
        .map(|n| (n as u32 + (1 << 24)).to_be_bytes())
        .collect();
    let serials: Vec<&[u8]> = serials.iter().map(|serial| &serial[..]).collect();
    let number = extension(&[0x55, 0x1d, 0x14], false, &tlv(2, &[&[1]]));
    let bytes = Ca::new("Root").crl(["26", "27"], &serials, &[number]);
    Box::new(move || {
        black_box(Crl::parse(black_box(&bytes)).unwrap());
    })
}

fn foreign_array(count: usize) -> Work {
    foreign(Value::Array((0..count as u64).map(Value::Uint).collect()).encode())
}

fn foreign_map(count: usize) -> Work {
    foreign(map(count).encode())
}

fn foreign(bytes: Vec<u8>) -> Work {
    Box::new(move || {
        black_box(foreign_cbor::Item::decode(black_box(&bytes)).unwrap());
    })
}

fn map(count: usize) -> Value<'static> {
    int_map((0..count as i64).map(|n| (n, Value::int(n))))
}

fn own_map(count: usize) -> Work {
    let bytes = map(count).encode();
    Box::new(move || {
        black_box(Value::decode(black_box(&bytes)).unwrap());
    })
}

fn sealed(count: usize) -> Work {
    let mut node = node();
    node.boot = boot(count, 64);
    let bytes = node.evidence(&[(HyperNodeId([4; 32]), Nonce([5; 32]))]);
    let key = node.session.public_key();
    Box::new(move || {
        black_box(evidence::open(black_box(&bytes), &key).unwrap());
    })
}

/// A CoRIM of one CoMID with `count` measurements of one environment.
fn manifest(count: usize) -> Work {
    let list = Value::Array;
    let tag = |number, inner| Value::Tag(number, Box::new(inner));
    let measurement = |n: usize| {
        let digest = list(vec![Value::Uint(1), Value::bytes([n as u8; 32])]);
        let values = int_map([(2, list(vec![digest]))]);
        int_map([(0, Value::text(format!("part {n}"))), (1, values)])
    };
    let class = int_map([(1, Value::text("ACME")), (2, Value::text("one"))]);
    let environment = int_map([(0, class)]);
    let triple = list(vec![
        environment,
        list((0..count).map(measurement).collect()),
    ]);
    let comid = int_map([
        (1, int_map([(0, Value::text("tag"))])),
        (4, int_map([(0, list(vec![triple]))])),
    ]);
    let corim = int_map([
        (0, Value::text("manifest")),
        (1, list(vec![tag(506, Value::bytes(comid.encode()))])),
    ]);
    let bytes = tag(501, corim).encode();
    Box::new(move || {
        black_box(corim::read(black_box(&bytes)).unwrap());
    })
}
