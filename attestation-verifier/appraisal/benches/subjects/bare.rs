//! The floor: signatures with keys decoded beforehand, and hashes, straight from the library.

use assay_appraisal::crypto::key::PublicKey;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, VerificationAlgorithm};
use aws_lc_rs::signature::{ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};
use std::hint::black_box;

/// One signature to verify.
pub struct Signed {
    key: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    /// A signature by the key with these bytes, in the algorithm's own form.
    pub fn new(
        algorithm: &'static dyn VerificationAlgorithm,
        key: &[u8],
        (message, signature): (&[u8], &[u8]),
    ) -> Self {
        Self {
            key: ParsedPublicKey::new(algorithm, key).unwrap(),
            message: message.to_vec(),
            signature: signature.to_vec(),
        }
    }

    /// By an Ed25519 key.
    pub fn ed25519(key: &[u8], signed: (&[u8], &[u8])) -> Self {
        Self::new(&ED25519, key, signed)
    }

    /// By an RSA key.
    pub fn rsa(
        parameters: &'static RsaParameters,
        key: &PublicKey,
        (message, signature): (&[u8], &[u8]),
    ) -> Self {
        let PublicKey::Rsa { modulus, exponent } = key else {
            panic!("no RSA key");
        };
        let exponent = exponent.to_be_bytes();
        let components = RsaPublicKeyComponents {
            n: modulus.as_slice(),
            e: exponent[exponent.iter().take_while(|b| **b == 0).count()..].as_ref(),
        };
        Self {
            key: components.to_parsed_public_key(parameters).unwrap(),
            message: message.to_vec(),
            signature: signature.to_vec(),
        }
    }

    /// Verifies it.
    pub fn verify(&self) {
        let message = black_box(self.message.as_slice());
        self.key.verify_sig(message, &self.signature).unwrap();
    }
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) {
    black_box(digest::digest(&digest::SHA256, black_box(bytes)));
}

/// Verifies and hashes a list.
#[derive(Default)]
pub struct Work {
    /// Signatures.
    pub signed: Vec<Signed>,
    /// What SHA-256 goes over, each once.
    pub hashed: Vec<Vec<u8>>,
    /// What SHA-1 goes over, each once.
    pub hashed_sha1: Vec<Vec<u8>>,
}

impl Work {
    /// Does all of it.
    pub fn run(&self) {
        self.signed.iter().for_each(Signed::verify);
        self.hashed.iter().for_each(|bytes| sha256(bytes));
        for bytes in &self.hashed_sha1 {
            let algorithm = &digest::SHA1_FOR_LEGACY_USE_ONLY;
            black_box(digest::digest(algorithm, black_box(bytes)));
        }
    }
}
