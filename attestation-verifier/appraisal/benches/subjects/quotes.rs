//! One quote: fifteen PCRs, a key decoded when it was enrolled.

use super::bare::{Signed, Work};
use crate::harness::Pair;
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::quote::{self, Expected, PcrValues, Received, SELECTION};
use assay_appraisal::tpm::ak::AttestationKey;
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_protocol::evidence::TpmClock;
use assay_protocol::ids::Digest;
use assay_testbed::soft_node::{AK_ATTRIBUTES, QUOTED, SoftAk};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use std::borrow::Cow;
use std::hint::black_box;

const QUALIFYING: [u8; 32] = [7; 32];
const CLOCK: TpmClock = TpmClock {
    clock_ms: 1_000_000,
    reset_count: 7,
    restart_count: 1,
    safe: true,
};

/// RSA and ECC.
pub fn pairs() -> Vec<Pair> {
    vec![rsa(), p256()]
}

fn pcrs() -> Vec<(u8, Digest)> {
    (0..15).map(|index| (index, Digest([index; 32]))).collect()
}

/// TPMS_ATTEST; whose name it carries is not looked at.
fn attest() -> Vec<u8> {
    SoftAk::generate().attest(&QUALIFYING, (QUOTED, &pcrs()), &CLOCK, 7)
}

fn hashed() -> Vec<Vec<u8>> {
    vec![pcrs().iter().flat_map(|(_, value)| value.0).collect()]
}

fn pair(
    name: &str,
    key: AttestationKey,
    (attest, signature): (Vec<u8>, Vec<u8>),
    bare: Work,
) -> Pair {
    let value =
        |(index, value): (u8, Digest)| ((HashAlg::Sha256, u32::from(index)), value.0.to_vec());
    let pcrs: PcrValues = pcrs().into_iter().map(value).collect();
    let ours = move || {
        let received = Received {
            attest: black_box(&attest),
            signature: &signature,
            pcrs: Cow::Borrowed(&pcrs),
        };
        let expected = Expected {
            key: key.verifying_key(),
            qualifying_data: &QUALIFYING,
            selection: &SELECTION,
        };
        black_box(quote::verify(received, expected).unwrap());
    };
    Pair {
        name: name.into(),
        bytes: 0,
        bare: Box::new(move || bare.run()),
        ours: Box::new(ours),
    }
}

fn p256() -> Pair {
    let ak = SoftAk::generate();
    let attest = attest();
    let signature = ak.sign(&attest);
    let key = AttestationKey::from_bytes(&ak.public()).unwrap();
    let numbers = [&signature[6..38], &signature[40..72]].concat();
    let point = key.key().bytes();
    let signed = Signed::new(&ECDSA_P256_SHA256_FIXED, &point, (&attest, &numbers));
    let bare = Work {
        signed: vec![signed],
        hashed: hashed(),
        ..Work::default()
    };
    pair("quote, ECDSA P-256", key, (attest, signature), bare)
}

fn rsa() -> Pair {
    let pair_of_keys = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki = pair_of_keys.public_key().as_der().unwrap();
    let public = PublicKey::from_spki(spki.as_ref()).unwrap();
    let attest = attest();
    let mut raw = vec![0; 256];
    pair_of_keys
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &attest, &mut raw)
        .unwrap();
    let signature = [&[0, 0x14, 0, 0x0b, 1, 0][..], &raw].concat();
    let area = [
        &[0, 1, 0, 0x0b][..],
        &AK_ATTRIBUTES.to_be_bytes(),
        &[0, 0, 0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0, 1, 0],
        &public.bytes(),
    ]
    .concat();
    let key = AttestationKey::from_bytes(&area).unwrap();
    let signed = Signed::rsa(&RSA_PKCS1_2048_8192_SHA256, &public, (&attest, &raw));
    let bare = Work {
        signed: vec![signed],
        hashed: hashed(),
        ..Work::default()
    };
    pair("quote, RSASSA 2048", key, (attest, signature), bare)
}
