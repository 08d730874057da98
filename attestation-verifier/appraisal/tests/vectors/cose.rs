//! COSE, EAR and CoRIM.

mod corim;
mod ear;

use crate::common::{json, key};
use crate::{Row, Shown};
use assay_appraisal::cose_sign1::{
    Accept, Algorithm, AlgorithmFrom, CoseError, CoseKey, Envelope, Label, Message, verify,
    verify_several,
};
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::crypto::signature::Sha1;
use assay_appraisal::x509::{Certificate, SignatureCache};
use assay_protocol::cbor::int_map;
use serde_json::Value;
use std::fs;
use std::path::Path;

type Cbor = assay_protocol::cbor::Value<'static>;

/// One row of the index.
pub fn row(root: &Path, row: &Row) -> Result<Shown, String> {
    let path = root.join(&row.path);
    match row.kind.as_str() {
        "cose-sign1-vector" if row.path.contains("gluecose") => gluecose(&path, row),
        "cose-sign1-sign-vector" => gluecose(&path, row),
        "cose-sign1-vector" => sign1(&path, row),
        "cose-sign-vector" => sign(&path, row),
        "cose-message" | "cose-sign1" => Ok(Shown::PartOf("the JSON file of the same name")),
        "cose-sign1-x5chain" => uvm(&path, row),
        "x5chain-cert" if row.group == "aci-uvm" => Ok(Shown::PartOf("uvm_reference_info.cose")),
        "x5chain-cert" => chain_certificate(&path),
        "corim/corim"
        | "corim/comid"
        | "corim/coserv"
        | "corim/coev"
        | "corim/profiles"
        | "corim"
        | "psa/cca evidence or endorsement" => corim::row(&path, row),
        "corim/corim-diag"
        | "corim/comid-diag"
        | "corim/coserv-diag"
        | "corim/coev-diag"
        | "corim/profiles-diag" => Ok(Shown::PartOf("the CBOR file it describes")),
        "ear-claims-json" | "ear-jwt" | "ear-jwt-negative" | "ear-example-diag" => {
            ear::row(&path, row)
        }
        "jwk-public" => Ok(Shown::PartOf("the signed files of its folder")),
        other => Err(format!("no test for the kind {other}")),
    }
}

/// One derived case: an error is a refusal.
pub fn case(folder: &Path, _manifest: &Value) -> Result<(), String> {
    let message = fs::read(folder.join("message.cbor")).map_err(|e| e.to_string())?;
    let external = fs::read(folder.join("external.bin")).map_err(|e| e.to_string())?;
    let accept = Accept {
        external_aad: &external,
        ..Accept::default()
    };
    let verified = verify(&message, &key(&folder.join("key.pem"))?, &accept);
    verified.map(|_| ()).map_err(|e| e.to_string())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap_or_default()).unwrap()
}

/// Base64url without padding.
pub fn base64url(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|other| *other == byte)?;
        (bits, count) = (bits << 6 | digit as u32, count + 6);
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// A JSON key of the vectors (a JWK, or the same with `_hex`), by way of a COSE_Key.
pub fn key_of(jwk: &Value) -> PublicKey {
    let number = |name: &str| match jwk[name].as_str() {
        Some(text) => base64url(text).unwrap(),
        None => unhex(&jwk[format!("{name}_hex")]),
    };
    let entries = match jwk["kty"].as_str().unwrap() {
        "EC" | "EC2" => {
            let curve = match jwk["crv"].as_str().unwrap() {
                "P-256" => 1,
                "P-384" => 2,
                "P-521" => 3,
                other => panic!("curve {other}"),
            };
            let point = [
                (-2, Cbor::bytes(number("x"))),
                (-3, Cbor::bytes(number("y"))),
            ];
            [
                vec![(1, Cbor::int(2)), (-1, Cbor::int(curve))],
                point.to_vec(),
            ]
            .concat()
        }
        "RSA" => {
            let e = number("e");
            let zeros = e.iter().take_while(|byte| **byte == 0).count();
            let parts = [
                (-1, Cbor::bytes(number("n"))),
                (-2, Cbor::bytes(&e[zeros..])),
            ];
            [vec![(1, Cbor::int(3))], parts.to_vec()].concat()
        }
        other => panic!("key type {other}"),
    };
    CoseKey::parse(&int_map(entries).encode()).unwrap().key
}

/// The message of a cose-wg example, which is also in a file of its own.
fn message(path: &Path, example: &Value) -> Vec<u8> {
    let bytes = unhex(&example["output"]["cbor"]);
    assert_eq!(fs::read(path.with_extension("cbor")).unwrap(), bytes);
    bytes
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::EdDsa,
];

/// Every way of accepting an object that a caller can ask for.
fn every_accept<'a>(external_aad: &'a [u8], understood: &'a [Label<'a>]) -> Vec<Accept<'a>> {
    let named = ALGORITHMS.map(AlgorithmFrom::Caller);
    let algorithms = [&[AlgorithmFrom::Protected], &named[..]].concat();
    let envelopes = [Envelope::Tagged, Envelope::Untagged, Envelope::Cwt];
    let all = envelopes.into_iter().flat_map(|envelope| {
        algorithms.iter().map(move |algorithm| Accept {
            envelope,
            algorithm: *algorithm,
            external_aad,
            detached: None,
            understood,
        })
    });
    all.collect()
}

/// What a cose-wg example needs beyond the rule, and why.
fn needs(name: &str) -> Option<(Envelope, AlgorithmFrom, &'static str)> {
    let tagged = Envelope::Tagged;
    match name {
        "sign1-tests-sign-pass-01" => Some((
            tagged,
            AlgorithmFrom::Caller(Algorithm::Es256),
            "refused by the rule (algorithm unprotected), accepted where the caller names it",
        )),
        "ecdsa-examples-ecdsa-sig-04" | "ecdsa-examples-ecdsa-04" => Some((
            tagged,
            AlgorithmFrom::Caller(Algorithm::Es512),
            "refused by the rule (P-256 with SHA-512), accepted where the caller names it",
        )),
        "sign1-tests-sign-pass-03" | "sign-tests-sign-pass-03" => Some((
            Envelope::Untagged,
            AlgorithmFrom::Protected,
            "refused by the rule (no tag), accepted where the caller expects none",
        )),
        _ => None,
    }
}

fn decide<T>(
    row: &Row,
    name: &str,
    rule: Accept<'_>,
    run: impl Fn(&Accept<'_>) -> Result<T, CoseError>,
) -> Result<Shown, String> {
    if row.expected.starts_with("REJECT") {
        for accept in every_accept(rule.external_aad, rule.understood) {
            if run(&accept).is_ok() {
                return Err(format!("accepted under {accept:?}"));
            }
        }
        return Ok(Shown::Held("refused, whatever the caller asks for"));
    }
    let Some((envelope, algorithm, words)) = needs(name) else {
        run(&rule).map_err(text)?;
        return Ok(Shown::Held("accepted"));
    };
    if run(&rule).is_ok() {
        return Err("accepted by the rule".into());
    }
    let asked = Accept {
        envelope,
        algorithm,
        ..rule
    };
    run(&asked).map_err(text)?;
    Ok(Shown::Held(words))
}

fn sign1(path: &Path, row: &Row) -> Result<Shown, String> {
    let example = json(path);
    let bytes = message(path, &example);
    let signer = &example["input"]["sign0"];
    let (key, external) = (key_of(&signer["key"]), unhex(&signer["external"]));
    let rule = Accept {
        external_aad: &external,
        ..Accept::default()
    };
    decide(row, name(path), rule, |accept| {
        Message::parse(&bytes, accept.envelope)?
            .verify(&key, &accept_with(accept, &external))
            .map(|_| ())
    })
}

/// The same, borrowing its external data for as long as the message lives.
fn accept_with<'a>(accept: &Accept<'_>, external_aad: &'a [u8]) -> Accept<'a> {
    Accept {
        envelope: accept.envelope,
        algorithm: accept.algorithm,
        external_aad,
        detached: None,
        understood: &[],
    }
}

fn sign(path: &Path, row: &Row) -> Result<Shown, String> {
    let example = json(path);
    let bytes = message(path, &example);
    let signers = example["input"]["sign"]["signers"].as_array().unwrap();
    let keys: Vec<PublicKey> = signers
        .iter()
        .map(|signer| key_of(&signer["key"]))
        .collect();
    let external = unhex(&signers[0]["external"]);
    // Appendix C.1.4 marks a field named "reserved" as critical.
    let reserved = [Label::Text("reserved")];
    let critical = name(path) == "RFC8152-Appendix_C_1_4";
    let understood: &[Label<'_>] = if critical { &reserved } else { &[] };
    let accept = |accept: &Accept<'_>| Accept {
        understood,
        ..accept_with(accept, &external)
    };
    let run = |asked: &Accept<'_>| verify_several(&bytes, &keys, &accept(asked)).map(|_| ());
    let not_understood = verify_several(&bytes, &keys, &accept_with(&Accept::default(), &external));
    if critical && not_understood.is_ok() {
        return Err("a critical field that is not understood was accepted".into());
    }
    // An object of several signers never passes for one of one signer.
    for asked in every_accept(&external, &[]) {
        if verify(&bytes, &keys[0], &accept_with(&asked, &external)).is_ok() {
            return Err("accepted as COSE_Sign1".into());
        }
    }
    decide(row, name(path), Accept::default(), run)
}

fn gluecose(path: &Path, row: &Row) -> Result<Shown, String> {
    let vector = json(path);
    let (part, bytes) = match row.kind.as_str() {
        "cose-sign1-sign-vector" => {
            let part = &vector["sign1::sign"];
            (part, unhex(&part["expectedOutput"]["cborHex"]))
        }
        _ => {
            let part = &vector["sign1::verify"];
            (part, unhex(&part["taggedCOSESign1"]["cborHex"]))
        }
    };
    let external = unhex(&part["external"]);
    let accept = Accept {
        external_aad: &external,
        ..Accept::default()
    };
    let verified = verify(&bytes, &key_of(&vector["key"]), &accept);
    let must_hold = part["shouldVerify"].as_bool().unwrap_or(true);
    if verified.is_ok() != must_hold || row.expected.starts_with("REJECT") == must_hold {
        return Err(format!("must hold: {must_hold}, got {verified:?}"));
    }
    if !external.is_empty() && verify(&bytes, &key_of(&vector["key"]), &Accept::default()).is_ok() {
        return Err("accepted without its external data".into());
    }
    Ok(Shown::Held("accepted"))
}

/// Microsoft's signed launch measurement. The report that the row says has it is not part of the data.
fn uvm(path: &Path, row: &Row) -> Result<Shown, String> {
    let bytes = fs::read(path).unwrap();
    let message = Message::parse(&bytes, Envelope::Tagged).map_err(text)?;
    let chain = message.headers().x5chain().map_err(text)?;
    for (at, certificate) in chain.iter().enumerate() {
        let file = path.with_file_name(format!("uvm_x5chain_{at}.der"));
        assert_eq!(fs::read(file).unwrap(), *certificate, "certificate {at}");
    }
    let chain: Vec<Certificate<'_>> = chain
        .into_iter()
        .map(|der| Certificate::parse(der).map_err(text))
        .collect::<Result<_, _>>()?;
    let [leaf, middle, anchor] = chain.as_slice() else {
        return Err(format!("{} certificates", chain.len()));
    };
    let cache = SignatureCache::new();
    for (subject, issuer) in [(leaf, middle), (middle, anchor), (anchor, anchor)] {
        let link = subject.verify_signature(&issuer.key, issuer.spki, Sha1::Refused, &cache);
        link.map_err(text)?;
    }
    let verified = message
        .verify(&leaf.key, &Accept::default())
        .map_err(text)?;
    assert_eq!(verified.algorithm(), Algorithm::Ps384);
    if message.verify(&middle.key, &Accept::default()).is_ok() {
        return Err("accepted under another key of the chain".into());
    }
    let payload: Value = serde_json::from_slice(verified.payload()).map_err(text)?;
    let measurement = payload["x-ms-sevsnpvm-launchmeasurement"]
        .as_str()
        .unwrap_or_default();
    let (_, published) = row.expected.split_once("launch measurement ").unwrap();
    assert!(measurement.len() == 96 && measurement.starts_with(&published[..24]));
    Ok(Shown::Held(
        "accepted by the leaf's key; the chain's signatures hold; measurement as published",
    ))
}

/// The certificates of Veraison's x5chain tests form one chain.
fn chain_certificate(path: &Path) -> Result<Shown, String> {
    let issuer = match name(path) {
        "endEntity" => "intermediateCA.der",
        "intermediateCA" | "rootCA" => "rootCA.der",
        other => return Err(format!("no issuer known for {other}")),
    };
    let (bytes, issuer) = (
        fs::read(path).unwrap(),
        fs::read(path.with_file_name(issuer)).unwrap(),
    );
    let (subject, issuer) = (
        Certificate::parse(&bytes).map_err(text)?,
        Certificate::parse(&issuer).map_err(text)?,
    );
    let cache = SignatureCache::new();
    let link = subject.verify_signature(&issuer.key, issuer.spki, Sha1::Refused, &cache);
    link.map_err(text)?;
    Ok(Shown::Held("parses, and its issuer's signature holds"))
}

/// A software key that signs manifests of the vectors, as their own key is not published.
pub struct Signer(aws_lc_rs::signature::Ed25519KeyPair);

fn corim_signer() -> Signer {
    Signer(aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap())
}

impl Signer {
    fn pinned(&self) -> assay_appraisal::corim::PinnedKey {
        use aws_lc_rs::signature::KeyPair as _;
        let head = hex::decode("302a300506032b6570032100").unwrap();
        let spki = [&head, self.0.public_key().as_ref()].concat();
        assay_appraisal::corim::PinnedKey::from_spki(&spki).unwrap()
    }

    fn sign_manifest(&self, manifest: &[u8]) -> Vec<u8> {
        let meta = int_map([(0, int_map([(0, Cbor::text("tests"))]))]).encode();
        let protected = int_map([
            (1, Cbor::int(-8)),
            (3, Cbor::text("application/rim+cbor")),
            (8, Cbor::bytes(meta)),
        ])
        .encode();
        let signed = Cbor::Array(vec![
            Cbor::text("Signature1"),
            Cbor::bytes(&protected),
            Cbor::bytes([]),
            Cbor::bytes(manifest),
        ]);
        let signature = self.0.sign(&signed.encode());
        let parts = Cbor::Array(vec![
            Cbor::bytes(protected),
            Cbor::Map(Vec::new()),
            Cbor::bytes(manifest),
            Cbor::bytes(signature),
        ]);
        Cbor::Tag(18, Box::new(parts)).encode()
    }
}
