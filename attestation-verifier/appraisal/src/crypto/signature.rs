//! Verification of every signature this crate accepts, whatever structure carries it.
//!
//! RSA of 2048 to 4096 bits, ECDSA on P-256, P-384 and P-521, Ed25519. SHA-1 is accepted only when the
//! caller names [`Sha1::Legacy`].

use super::key::PublicKey;
use crate::tpm::algorithm::{Curve, HashAlg};
use aws_lc_rs::signature as aws;

/// Smallest RSA modulus accepted, bytes.
pub const RSA_BYTES_MIN: usize = 256;
/// Largest RSA modulus accepted, bytes.
pub const RSA_BYTES_MAX: usize = 512;

/// How a signature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(HashAlg),
    /// RSASSA-PSS, MGF1 with the same hash, salt as long as the digest.
    RsaPss(HashAlg),
    /// ECDSA.
    Ecdsa(HashAlg),
    /// Ed25519.
    Ed25519,
}

/// How an ECDSA signature's two numbers are written; other schemes have one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `r ‖ s`, each padded to the size of the curve.
    Fixed,
    /// DER `SEQUENCE { r, s }`.
    Der,
}

/// Whether SHA-1 is accepted under a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sha1 {
    /// The rule.
    #[default]
    Refused,
    /// A named exception, for certificates and quotes of TPMs that know no better.
    Legacy,
}

/// A signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The scheme, hash and key do not fit, or are too weak.
    #[error("signature: {scheme:?} is not accepted under an {key} key")]
    Unsuitable {
        /// The scheme.
        scheme: Scheme,
        /// The key, in words.
        key: String,
    },
    /// The numbers do not verify.
    #[error(
        "signature: expected a valid signature by this {key} key, got one that does not verify"
    )]
    Invalid {
        /// The key, in words.
        key: String,
    },
}

/// Verifies `signature` over exactly `message` by `key`.
pub fn verify(
    key: &PublicKey,
    (scheme, form, sha1): (Scheme, Form, Sha1),
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let unsuitable = || SignatureError::Unsuitable {
        scheme,
        key: key.kind(),
    };
    let verified = match key {
        PublicKey::Rsa { modulus, exponent } => {
            let parameters = rsa(scheme, sha1).ok_or_else(unsuitable)?;
            if !(RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&modulus.len()) {
                return Err(unsuitable());
            }
            let exponent = exponent.to_be_bytes();
            let zeros = exponent.iter().take_while(|byte| **byte == 0).count();
            let e = exponent.get(zeros..).unwrap_or_default();
            let n = modulus.as_slice();
            aws::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
        }
        PublicKey::Ecc { curve, x, y } => {
            let algorithm = ecdsa(scheme, *curve, form, sha1).ok_or_else(unsuitable)?;
            let point = [&[4u8][..], x, y].concat();
            aws::UnparsedPublicKey::new(algorithm, point).verify(message, signature)
        }
        PublicKey::Ed25519(bytes) => {
            if scheme != Scheme::Ed25519 {
                return Err(unsuitable());
            }
            aws::UnparsedPublicKey::new(&aws::ED25519, bytes).verify(message, signature)
        }
    };
    verified.map_err(|_| SignatureError::Invalid { key: key.kind() })
}

fn rsa(scheme: Scheme, sha1: Sha1) -> Option<&'static aws::RsaParameters> {
    match (scheme, sha1) {
        (Scheme::RsaPkcs1(HashAlg::Sha1), Sha1::Legacy) => {
            Some(&aws::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY)
        }
        (Scheme::RsaPkcs1(HashAlg::Sha256), _) => Some(&aws::RSA_PKCS1_2048_8192_SHA256),
        (Scheme::RsaPkcs1(HashAlg::Sha384), _) => Some(&aws::RSA_PKCS1_2048_8192_SHA384),
        (Scheme::RsaPkcs1(HashAlg::Sha512), _) => Some(&aws::RSA_PKCS1_2048_8192_SHA512),
        (Scheme::RsaPss(HashAlg::Sha256), _) => Some(&aws::RSA_PSS_2048_8192_SHA256),
        (Scheme::RsaPss(HashAlg::Sha384), _) => Some(&aws::RSA_PSS_2048_8192_SHA384),
        (Scheme::RsaPss(HashAlg::Sha512), _) => Some(&aws::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn ecdsa(
    scheme: Scheme,
    curve: Curve,
    form: Form,
    sha1: Sha1,
) -> Option<&'static aws::EcdsaVerificationAlgorithm> {
    let Scheme::Ecdsa(hash) = scheme else {
        return None;
    };
    match (form, curve, hash) {
        (Form::Fixed, Curve::P256, HashAlg::Sha256) => Some(&aws::ECDSA_P256_SHA256_FIXED),
        (Form::Fixed, Curve::P384, HashAlg::Sha384) => Some(&aws::ECDSA_P384_SHA384_FIXED),
        (Form::Fixed, Curve::P521, HashAlg::Sha512) => Some(&aws::ECDSA_P521_SHA512_FIXED),
        (Form::Fixed, ..) => None,
        (Form::Der, Curve::P256, HashAlg::Sha1) if sha1 == Sha1::Legacy => {
            Some(&aws::ECDSA_P256_SHA1_ASN1)
        }
        (Form::Der, Curve::P256, HashAlg::Sha256) => Some(&aws::ECDSA_P256_SHA256_ASN1),
        (Form::Der, Curve::P256, HashAlg::Sha384) => Some(&aws::ECDSA_P256_SHA384_ASN1),
        (Form::Der, Curve::P256, HashAlg::Sha512) => Some(&aws::ECDSA_P256_SHA512_ASN1),
        (Form::Der, Curve::P384, HashAlg::Sha256) => Some(&aws::ECDSA_P384_SHA256_ASN1),
        (Form::Der, Curve::P384, HashAlg::Sha384) => Some(&aws::ECDSA_P384_SHA384_ASN1),
        (Form::Der, Curve::P384, HashAlg::Sha512) => Some(&aws::ECDSA_P384_SHA512_ASN1),
        (Form::Der, Curve::P521, HashAlg::Sha256) => Some(&aws::ECDSA_P521_SHA256_ASN1),
        (Form::Der, Curve::P521, HashAlg::Sha384) => Some(&aws::ECDSA_P521_SHA384_ASN1),
        (Form::Der, Curve::P521, HashAlg::Sha512) => Some(&aws::ECDSA_P521_SHA512_ASN1),
        (Form::Der, ..) => None,
    }
}
