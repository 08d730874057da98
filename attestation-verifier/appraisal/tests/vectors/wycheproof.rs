//! Project Wycheproof's signature vectors, in full, through the one entry point for signatures.

use crate::common::json;
use crate::{Row, Shown};
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::crypto::signature::{Form, Scheme, Sha1, SignatureError, verify};
use assay_appraisal::crypto::verifying_key::{Verifier as _, VerifyingKey};
use assay_appraisal::tpm::algorithm::HashAlg;
use serde_json::Value;
use std::path::Path;

/// What is refused by design, whatever the vectors say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Design {
    /// PSS with a salt that is not as long as the digest: no TPM and no AMD key makes one.
    SaltLength,
    /// MGF1 with another hash than the message's.
    MaskHash,
    /// SHA-1 under RSA-PSS: no exception knows it.
    PssSha1,
    /// A hash that is none of SHA-1, SHA-256, SHA-384 and SHA-512.
    Hash,
}

/// A group's key and scheme, or the reason why no signature of it is accepted.
fn group(group: &Value) -> Result<(PublicKey, Scheme, Form), Design> {
    let text = |name: &str| group[name].as_str().unwrap();
    let hash = match text("sha") {
        "SHA-1" => HashAlg::Sha1,
        "SHA-256" => HashAlg::Sha256,
        "SHA-384" => HashAlg::Sha384,
        "SHA-512" => HashAlg::Sha512,
        _ => return Err(Design::Hash),
    };
    let der = hex::decode(text("publicKeyDer")).unwrap();
    let key = PublicKey::from_spki(&der).unwrap();
    match text("type") {
        "EcdsaVerify" => Ok((key, Scheme::Ecdsa(hash), Form::Der)),
        "EcdsaP1363Verify" => Ok((key, Scheme::Ecdsa(hash), Form::Fixed)),
        "RsassaPkcs1Verify" => Ok((key, Scheme::RsaPkcs1(hash), Form::Der)),
        "RsassaPssVerify" if text("mgfSha") != text("sha") => Err(Design::MaskHash),
        "RsassaPssVerify" if group["sLen"] != hash.size() => Err(Design::SaltLength),
        "RsassaPssVerify" if hash == HashAlg::Sha1 => Err(Design::PssSha1),
        "RsassaPssVerify" => Ok((key, Scheme::RsaPss(hash), Form::Der)),
        other => panic!("group of type {other}"),
    }
}

/// Nearest supported parameters of a group refused by design: they must not let its signatures pass.
fn nearest(group: &Value) -> Vec<(PublicKey, Scheme)> {
    let der = hex::decode(group["publicKeyDer"].as_str().unwrap()).unwrap();
    let key = PublicKey::from_spki(&der).unwrap();
    [
        HashAlg::Sha1,
        HashAlg::Sha256,
        HashAlg::Sha384,
        HashAlg::Sha512,
    ]
    .map(|hash| (key.clone(), Scheme::RsaPss(hash)))
    .to_vec()
}

#[derive(Debug, Default)]
struct Totals {
    valid: usize,
    invalid: usize,
    acceptable_refused: usize,
    acceptable_accepted: usize,
    by_design: Vec<(Design, usize)>,
}

impl Totals {
    fn refused_by_design(&mut self, design: Design) {
        match self
            .by_design
            .iter_mut()
            .find(|(other, _)| *other == design)
        {
            Some((_, count)) => *count += 1,
            None => self.by_design.push((design, 1)),
        }
    }
}

/// Once through the entry point, once through a key decoded before: they must agree.
fn outcome(
    (key, scheme, form): &(PublicKey, Scheme, Form),
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let one_off = verify(key, (*scheme, *form, Sha1::Refused), message, signature);
    let decoded = VerifyingKey::new(key.clone(), *scheme, *form)
        .and_then(|key| key.verify(*scheme, *form, message, signature));
    assert_eq!(one_off.is_ok(), decoded.is_ok());
    one_off
}

fn run(file: &Value) -> Result<Totals, String> {
    let mut totals = Totals::default();
    for tests in file["testGroups"].as_array().unwrap() {
        let how = group(tests);
        for test in tests["tests"].as_array().unwrap() {
            let bytes = |name: &str| hex::decode(test[name].as_str().unwrap()).unwrap();
            let (message, signature) = (bytes("msg"), bytes("sig"));
            let id = &test["tcId"];
            let (how, result) = match (&how, test["result"].as_str().unwrap()) {
                (Err(design), result) => {
                    totals.refused_by_design(*design);
                    let passes = |(key, scheme): &(PublicKey, Scheme)| {
                        verify(
                            key,
                            (*scheme, Form::Der, Sha1::Legacy),
                            &message,
                            &signature,
                        )
                        .is_ok()
                    };
                    // Made with other parameters than ours, it may not pass under ours either. The exception is
                    // invalid in its group because it was made with ours.
                    let near = nearest(tests).into_iter().find(passes);
                    let ours = result == "invalid" && test["comment"] == "s_len changed to 32";
                    match near {
                        Some((_, near)) if !ours => {
                            return Err(format!("test {id}: passes as {near:?}"));
                        }
                        _ => continue,
                    }
                }
                (Ok(how), result) => (how, result),
            };
            match (result, outcome(how, &message, &signature)) {
                ("valid", Ok(())) => totals.valid += 1,
                ("invalid", Err(_)) => totals.invalid += 1,
                ("acceptable", Ok(())) => totals.acceptable_accepted += 1,
                ("acceptable", Err(_)) => totals.acceptable_refused += 1,
                (result, outcome) => {
                    return Err(format!(
                        "test {id} is {result}: {outcome:?} ({})",
                        test["comment"]
                    ));
                }
            }
        }
    }
    Ok(totals)
}

/// One row of the index.
pub fn row(root: &Path, row: &Row) -> Result<Shown, String> {
    if row.kind != "wycheproof-json" {
        return Err(format!("no test for the kind {}", row.kind));
    }
    let file = json(&root.join(&row.path));
    let totals = run(&file)?;
    eprintln!("{}: {totals:?}", row.path);
    let designed: usize = totals.by_design.iter().map(|(_, count)| count).sum();
    let acceptable = totals.acceptable_accepted + totals.acceptable_refused;
    let all = totals.valid + totals.invalid + acceptable + designed;
    if all != usize::try_from(file["numberOfTests"].as_u64().unwrap()).unwrap() {
        return Err(format!("{all} tests run"));
    }
    Ok(Shown::Held(match (designed, totals.acceptable_accepted) {
        (0, 0) => "every valid signature accepted, every other refused",
        (0, _) => "every valid signature accepted, every invalid one refused",
        (_, 0) if totals.valid == 0 => "parameters refused by design: none accepted",
        _ => "valid ones of our parameters accepted, all others refused",
    }))
}
