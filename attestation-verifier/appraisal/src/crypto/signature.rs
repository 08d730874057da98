//! Verification of every signature this crate accepts, whatever structure carries it.
//!
//! RSA of 2048 to 4096 bits, ECDSA on P-256, P-384 and P-521, Ed25519. SHA-1 is accepted only when the
//! caller names [`Sha1::Legacy`].

use super::key::PublicKey;
use crate::tpm::algorithm::{Curve, HashAlg};
use aws_lc_rs::{digest, signature as aws};

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

/// Verifies `signature` by `key` over a message of which only the digest is known, under the rules of
/// [`verify`]. The digest must have the scheme's algorithm, and be as long. Ed25519 has no such form.
///
/// Whoever chose the digest freely chose no message: what it is the digest of must be proven elsewhere.
pub fn verify_digest(
    key: &PublicKey,
    (scheme, form, sha1): (Scheme, Form, Sha1),
    digest: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let unsuitable = || SignatureError::Unsuitable {
        scheme,
        key: key.kind(),
    };
    let digest = match scheme {
        Scheme::RsaPkcs1(alg) | Scheme::RsaPss(alg) | Scheme::Ecdsa(alg) => imported(alg, digest),
        Scheme::Ed25519 => None,
    };
    let digest = digest.ok_or_else(unsuitable)?;
    let verified = match key {
        PublicKey::Rsa { modulus, exponent } => {
            let parameters = rsa(scheme, sha1).ok_or_else(unsuitable)?;
            if !(RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&modulus.len()) {
                return Err(unsuitable());
            }
            let der = rsa_public_key(modulus, *exponent);
            aws::UnparsedPublicKey::new(parameters, der).verify_digest(&digest, signature)
        }
        PublicKey::Ecc { curve, x, y } => {
            let algorithm = ecdsa(scheme, *curve, form, sha1).ok_or_else(unsuitable)?;
            let point = [&[4u8][..], x, y].concat();
            aws::UnparsedPublicKey::new(algorithm, point).verify_digest(&digest, signature)
        }
        PublicKey::Ed25519(_) => return Err(unsuitable()),
    };
    verified.map_err(|_| SignatureError::Invalid { key: key.kind() })
}

/// Verifies a DER ECDSA signature by a secp256k1 key (an uncompressed point) over a SHA-256 digest.
///
/// No TPM and no certificate here may use this curve; only a key that somebody put into a keyring of file
/// signatures may.
pub fn verify_digest_secp256k1(
    point: &[u8],
    (alg, _): (HashAlg, Sha1),
    digest: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let key = || "ECC secp256k1".to_owned();
    let imported = imported(alg, digest).filter(|_| alg == HashAlg::Sha256);
    let digest = imported.ok_or_else(|| SignatureError::Unsuitable {
        scheme: Scheme::Ecdsa(alg),
        key: key(),
    })?;
    aws::UnparsedPublicKey::new(&aws::ECDSA_P256K1_SHA256_ASN1, point)
        .verify_digest(&digest, signature)
        .map_err(|_| SignatureError::Invalid { key: key() })
}

/// A digest as the library wants it; nothing when it does not have the algorithm's size.
fn imported(alg: HashAlg, digest: &[u8]) -> Option<digest::Digest> {
    let algorithm = match alg {
        HashAlg::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashAlg::Sha256 => &digest::SHA256,
        HashAlg::Sha384 => &digest::SHA384,
        HashAlg::Sha512 => &digest::SHA512,
    };
    digest::Digest::import_less_safe(digest, algorithm).ok()
}

/// DER `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn rsa_public_key(modulus: &[u8], exponent: u32) -> Vec<u8> {
    let exponent = exponent.to_be_bytes();
    let numbers = [der_unsigned(modulus), der_unsigned(&exponent)].concat();
    der_element(0x30, &numbers)
}

fn der_unsigned(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let minimal = number.get(zeros..).unwrap_or_default();
    let sign: &[u8] = match minimal.first() {
        Some(first) if *first < 0x80 => &[],
        _ => &[0],
    };
    der_element(0x02, &[sign, minimal].concat())
}

/// Content of up to 65,535 bytes.
fn der_element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let head = match length.to_be_bytes() {
        [0, short] if short < 0x80 => vec![tag, short],
        [0, byte] => vec![tag, 0x81, byte],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
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
