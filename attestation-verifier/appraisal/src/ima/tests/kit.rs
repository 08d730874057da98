//! What the tests of lists share: keys, policies and short ways to a result.

use crate::ima::appraise::Refusal;
use crate::ima::testing::{SoftEntry, binary, quoted};
use crate::ima::*;
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as aws, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use std::sync::LazyLock;
pub(super) const SHA1: HashAlg = HashAlg::Sha1;
pub(super) const SHA256: HashAlg = HashAlg::Sha256;

pub(super) fn explained(
    list: &[u8],
    quoted: &PcrValues,
    options: Options,
) -> Result<usize, ImaError> {
    let list = List::read(list, None)?;
    explain(&list, quoted, options).map(|explained| explained.summary().entries)
}

pub(super) fn whole(list: &[u8], quoted: &PcrValues) -> Result<usize, ImaError> {
    explained(list, quoted, Options::default())
}

pub(super) const TAIL: Options = Options {
    tail: Tail::Allowed,
    forms: Forms::Either,
};

/// The error of a list that consists of `entry` behind a good one.
pub(super) fn problem(entry: &SoftEntry) -> String {
    let entries = [SoftEntry::ng(b"a", "boot_aggregate"), entry.clone()];
    let list = binary(&entries, SHA1);
    let read = List::read(&list, None).unwrap();
    let found = read.entries().find_map(Result::err);
    found.map(|error| error.to_string()).unwrap_or_default()
}
static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

pub(super) enum SoftKey {
    Rsa,
    Ec(EcdsaKeyPair),
}

impl SoftKey {
    pub(super) fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&aws::ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(super) fn k1() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&aws::ECDSA_P256K1_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa => RSA.public_key().as_der().unwrap(),
            Self::Ec(key) => key.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa => {
                let mut signature = vec![0; RSA.public_modulus_len()];
                RSA.sign(&aws::RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }

    /// `security.ima` over content, version 2: the signature is over the content's SHA-256.
    pub(super) fn xattr(&self, id: u32, content: &[u8]) -> Vec<u8> {
        xattr((3, 2, 4), id, &self.sign(content))
    }
}

pub(super) fn xattr((kind, version, alg): (u8, u8, u8), id: u32, signature: &[u8]) -> Vec<u8> {
    let size = u16::try_from(signature.len()).unwrap();
    let head = [kind, version, alg];
    [&head, &id.to_be_bytes()[..], &size.to_be_bytes(), signature].concat()
}

pub(super) fn ring(keys: &[&SoftKey]) -> (Keyring, Vec<u32>) {
    let mut keyring = Keyring::default();
    let ids = keys
        .iter()
        .map(|key| keyring.add_key(&key.spki()).unwrap())
        .collect();
    (keyring, ids)
}

pub(super) fn sha256(bytes: &[u8]) -> FileDigest<'_> {
    FileDigest {
        kind: DigestKind::Content,
        alg: HashAlg::Sha256,
        bytes,
    }
}

/// PCRs 0 to 9, and the list's.
pub(super) fn with_firmware(entries: &[SoftEntry]) -> PcrValues {
    let mut values = quoted(entries);
    for pcr in 0..10u32 {
        for bank in [HashAlg::Sha1, HashAlg::Sha256] {
            values.insert((bank, pcr), vec![pcr as u8; bank.size()]);
        }
    }
    values
}

pub(super) fn firmware(alg: HashAlg, count: u8) -> Vec<u8> {
    (0..count).flat_map(|pcr| vec![pcr; alg.size()]).collect()
}

/// A list whose boot aggregate is right, and these entries.
pub(super) fn booted(entries: &[SoftEntry]) -> Vec<SoftEntry> {
    let mut all = vec![SoftEntry::ng(
        &firmware(HashAlg::Sha256, 10),
        "boot_aggregate",
    )];
    all.extend_from_slice(entries);
    all
}

pub(super) fn judged(entries: &[SoftEntry], values: &PcrValues, policy: &Policy<'_>) -> Appraisal {
    let bytes = binary(entries, HashAlg::Sha1);
    let list = List::read(&bytes, None).unwrap();
    let explained = explain(&list, values, Options::default()).unwrap();
    appraise(&explained, values, policy).unwrap()
}

pub(super) fn refusals(entries: &[SoftEntry], policy: &Policy<'_>) -> Vec<(usize, Refusal)> {
    let all = booted(entries);
    let appraisal = judged(&all, &with_firmware(&all), policy);
    assert_eq!(appraisal.all_allowed(), appraisal.refused.is_empty());
    assert_eq!(appraisal.totals.refused as usize, appraisal.refused.len());
    let pair = |refused: crate::ima::appraise::Refused| (refused.entry, refused.refusal);
    appraisal.refused.into_iter().map(pair).collect()
}

pub(super) fn line(content: &[u8], path: &str) -> String {
    format!(
        "{}  {path}\n",
        hex::encode(HashAlg::Sha256.digest(&[content]))
    )
}
