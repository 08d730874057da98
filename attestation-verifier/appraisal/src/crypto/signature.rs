//! Verification of every signature this crate accepts, whatever structure carries it.
//!
//! RSA of 2048 to 4096 bits, ECDSA on P-256, P-384 and P-521, Ed25519. SHA-1 is accepted only when the
//! caller names [`Sha1::Legacy`].

use super::key::PublicKey;
use crate::tpm::algorithm::{Curve, HashAlg};
use aws_lc_rs::error::Unspecified;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `r ‖ s`, each padded to the size of the curve.
    Fixed,
    /// DER `SEQUENCE { r, s }`.
    Der,
}

/// Whether SHA-1 is accepted under a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
    /// The numbers are no key: a point off its curve, an even modulus, an exponent of 1.
    #[error("signature: expected a usable key, got an {key} key that is not")]
    Key {
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
    let verified = match (key, algorithm(key, (scheme, form, sha1))?) {
        (PublicKey::Rsa { modulus, exponent }, Algorithm::Rsa(parameters)) => {
            components(modulus, &exponent.to_be_bytes()).verify(parameters, message, signature)
        }
        (_, Algorithm::Rsa(_)) => Err(Unspecified),
        (_, Algorithm::Ecdsa(algorithm)) => {
            aws::UnparsedPublicKey::new(algorithm, key.bytes()).verify(message, signature)
        }
        (_, Algorithm::Ed25519) => {
            aws::UnparsedPublicKey::new(&aws::ED25519, key.bytes()).verify(message, signature)
        }
    };
    verified.map_err(|_| SignatureError::Invalid { key: key.kind() })
}

/// A key decoded for one scheme, as the library keeps it.
pub(super) type Parsed = aws::ParsedPublicKey;

/// Decodes a key once, to verify many signatures of one scheme.
pub(super) fn parse_key(
    key: &PublicKey,
    how: (Scheme, Form, Sha1),
) -> Result<Parsed, SignatureError> {
    let parsed = match (key, algorithm(key, how)?) {
        (PublicKey::Rsa { modulus, exponent }, Algorithm::Rsa(parameters)) => {
            components(modulus, &exponent.to_be_bytes())
                .to_parsed_public_key(parameters)
                .ok()
        }
        (_, Algorithm::Rsa(_)) => None,
        (_, Algorithm::Ecdsa(algorithm)) => Parsed::new(algorithm, key.bytes()).ok(),
        (_, Algorithm::Ed25519) => Parsed::new(&aws::ED25519, key.bytes()).ok(),
    };
    parsed.ok_or_else(|| SignatureError::Key { key: key.kind() })
}

enum Algorithm {
    Rsa(&'static aws::RsaParameters),
    Ecdsa(&'static aws::EcdsaVerificationAlgorithm),
    Ed25519,
}

/// What verifies `how` under `key`: the one decision on what is accepted.
fn algorithm(
    key: &PublicKey,
    (scheme, form, sha1): (Scheme, Form, Sha1),
) -> Result<Algorithm, SignatureError> {
    let algorithm = match key {
        PublicKey::Rsa { modulus, .. } => rsa(scheme, sha1)
            .filter(|_| (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&modulus.len()))
            .map(Algorithm::Rsa),
        PublicKey::Ecc { curve, .. } => ecdsa(scheme, *curve, form, sha1).map(Algorithm::Ecdsa),
        PublicKey::Ed25519(_) => (scheme == Scheme::Ed25519).then_some(Algorithm::Ed25519),
    };
    let algorithm = algorithm.ok_or_else(|| SignatureError::Unsuitable {
        scheme,
        key: key.kind(),
    })?;
    match key {
        PublicKey::Rsa { modulus, exponent } if !rsa_numbers(modulus, *exponent) => {
            Err(SignatureError::Key { key: key.kind() })
        }
        _ => Ok(algorithm),
    }
}

/// The library looks at these only when it verifies: an odd modulus, and an exponent that is odd and not 1.
fn rsa_numbers(modulus: &[u8], exponent: u32) -> bool {
    let odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
    odd && exponent & 1 == 1 && exponent > 1
}

fn components<'a>(n: &'a [u8], e: &'a [u8; 4]) -> aws::RsaPublicKeyComponents<&'a [u8]> {
    let zeros = e.iter().take_while(|byte| **byte == 0).count();
    let e = e.get(zeros..).unwrap_or_default();
    aws::RsaPublicKeyComponents { n, e }
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
    parse_key(key, (scheme, form, sha1))?
        .verify_digest_sig(&digest, signature)
        .map_err(|_| SignatureError::Invalid { key: key.kind() })
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
