//! `TPMT_SIGNATURE` (TPM 2.0 part 2, section 11.3.4) and its verification over received bytes.

use super::algorithm::{Curve, HashAlg, SignatureAlg};
use super::reader::{FormatError, Reader};
use crate::crypto::key::PublicKey;
use crate::crypto::signature::{self, Form, Scheme, Sha1};

pub use crate::crypto::signature::SignatureError;

/// Largest `TPMT_SIGNATURE` accepted, bytes (RSA-4096).
pub const SIGNATURE_BYTES_MAX: usize = 520;
const RSA_BYTES_MAX: usize = 512;
const ECC_BYTES_MAX: usize = 48;

/// A signature as parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The scheme it declares.
    pub alg: SignatureAlg,
    /// The hash it declares.
    pub hash: HashAlg,
    sha1: Sha1,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Rsa(Vec<u8>),
    Ecc { r: Vec<u8>, s: Vec<u8> },
}

/// Parses a `TPMT_SIGNATURE`; refuses SHA-1, unknown schemes and trailing bytes.
pub fn parse(bytes: &[u8]) -> Result<Signature, FormatError> {
    parse_with(bytes, Sha1::Refused)
}

/// Parses a `TPMT_SIGNATURE`; whether SHA-1 may be declared is the caller's named policy.
pub fn parse_with(bytes: &[u8], sha1: Sha1) -> Result<Signature, FormatError> {
    let mut r = Reader::new("TPMT_SIGNATURE", bytes, SIGNATURE_BYTES_MAX)?;
    let id = r.u16("sigAlg")?;
    let alg = SignatureAlg::from_id(id)
        .ok_or_else(|| r.unexpected("sigAlg", "RSASSA, RSAPSS or ECDSA", id))?;
    let hash = HashAlg::read(&mut r, "hash")?;
    if hash == HashAlg::Sha1 && sha1 == Sha1::Refused {
        return Err(r.unexpected("hash", "SHA-256, SHA-384 or SHA-512", hash.id()));
    }
    let value = match alg {
        SignatureAlg::Rsassa | SignatureAlg::Rsapss => {
            Value::Rsa(r.sized("signature", RSA_BYTES_MAX)?.to_vec())
        }
        SignatureAlg::Ecdsa => Value::Ecc {
            r: r.sized("signatureR", ECC_BYTES_MAX)?.to_vec(),
            s: r.sized("signatureS", ECC_BYTES_MAX)?.to_vec(),
        },
    };
    r.finish()?;
    Ok(Signature {
        alg,
        hash,
        sha1,
        value,
    })
}

impl Signature {
    /// Verifies the signature over exactly `message` by `key`.
    ///
    /// Accepted: RSA of 2048 to 4096 bits with RSASSA or RSAPSS (salt as long as the digest),
    /// P-256 with SHA-256, P-384 with SHA-384.
    pub fn verify(&self, key: &PublicKey, message: &[u8]) -> Result<(), SignatureError> {
        let how = (self.scheme(), Form::Fixed, self.sha1);
        match (&self.value, key) {
            (Value::Rsa(bytes), _) => signature::verify(key, how, message, bytes),
            (Value::Ecc { r, s }, PublicKey::Ecc { curve, .. }) => {
                let fixed = fixed(r, s, *curve)
                    .ok_or_else(|| SignatureError::Invalid { key: key.kind() })?;
                signature::verify(key, how, message, &fixed)
            }
            (Value::Ecc { .. }, _) => signature::verify(key, how, message, &[]),
        }
    }

    fn scheme(&self) -> Scheme {
        match self.alg {
            SignatureAlg::Rsassa => Scheme::RsaPkcs1(self.hash),
            SignatureAlg::Rsapss => Scheme::RsaPss(self.hash),
            SignatureAlg::Ecdsa => Scheme::Ecdsa(self.hash),
        }
    }
}

fn fixed(r: &[u8], s: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let mut out = padded(r, curve.size())?;
    out.extend(padded(s, curve.size())?);
    Some(out)
}

/// Left-pads with zeros: some TPMs strip them. `None` when longer than `size`.
pub(crate) fn padded(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let missing = size.checked_sub(bytes.len())?;
    let mut out = vec![0; missing];
    out.extend_from_slice(bytes);
    Some(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    /// A software P-256 key that signs like a TPM.
    pub(crate) struct SoftAk(EcdsaKeyPair);

    impl SoftAk {
        pub(crate) fn generate() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        pub(crate) fn public(&self) -> PublicKey {
            let point = self.0.public_key().as_ref();
            PublicKey::Ecc {
                curve: Curve::P256,
                x: point[1..33].to_vec(),
                y: point[33..].to_vec(),
            }
        }

        pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
            let signature = self.0.sign(&SystemRandom::new(), message).unwrap();
            let (r, s) = signature.as_ref().split_at(32);
            [&[0, 0x18, 0, 0x0b, 0, 32], r, &[0, 32], s].concat()
        }
    }

    #[test]
    fn ecdsa_verifies_and_every_flip_fails() {
        let ak = SoftAk::generate();
        let good = ak.sign(b"message");
        assert_eq!(
            parse(&good).unwrap().verify(&ak.public(), b"message"),
            Ok(())
        );
        assert!(
            parse(&good)
                .unwrap()
                .verify(&ak.public(), b"messagf")
                .is_err()
        );
        assert!(
            parse(&good)
                .unwrap()
                .verify(&SoftAk::generate().public(), b"message")
                .is_err()
        );
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let outcome = parse(&bad).map(|s| s.verify(&ak.public(), b"message"));
            assert!(!matches!(outcome, Ok(Ok(()))), "flip at {at} accepted");
            assert!(parse(&good[..at]).is_err(), "truncation at {at} accepted");
        }
    }

    #[test]
    fn weak_unknown_and_unfitting_algorithms_are_refused_by_name() {
        let ak = SoftAk::generate();
        let good = ak.sign(b"m");
        let with = |range: core::ops::Range<usize>, value: [u8; 2]| {
            let mut bytes = good.clone();
            bytes[range].copy_from_slice(&value);
            bytes
        };
        let null = parse(&with(0..2, [0, 0x10])).unwrap_err().to_string();
        assert!(
            null.contains("sigAlg: expected RSASSA, RSAPSS or ECDSA, got 0x10"),
            "{null}"
        );
        let sha1 = parse(&with(2..4, [0, 4])).unwrap_err().to_string();
        assert!(sha1.contains("hash: expected SHA-256"), "{sha1}");
        let sha384 = parse(&with(2..4, [0, 0x0c]))
            .unwrap()
            .verify(&ak.public(), b"m")
            .unwrap_err();
        assert!(
            matches!(sha384, SignatureError::Unsuitable { .. }),
            "{sha384}"
        );
        let rsa = PublicKey::Rsa {
            modulus: vec![0xff; 256],
            exponent: 65537,
        };
        let mixed = parse(&good).unwrap().verify(&rsa, b"m").unwrap_err();
        assert!(mixed.to_string().contains("RSA-2048"), "{mixed}");
    }

    #[test]
    fn small_rsa_keys_are_refused() {
        let bytes = [&[0, 0x14, 0, 0x0b, 0, 128], &[1u8; 128][..]].concat();
        let key = PublicKey::Rsa {
            modulus: vec![0xff; 128],
            exponent: 65537,
        };
        let error = parse(&bytes).unwrap().verify(&key, b"m").unwrap_err();
        assert!(
            matches!(error, SignatureError::Unsuitable { .. }),
            "{error}"
        );
    }
}
