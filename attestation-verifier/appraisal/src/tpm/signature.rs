//! `TPMT_SIGNATURE` (TPM 2.0 part 2, section 11.3.4) and its verification over received bytes.

use super::algorithm::{Curve, HashAlg, SignatureAlg};
use super::reader::{FormatError, Reader};
use crate::crypto::der;
use crate::crypto::key::PublicKey;
use crate::crypto::signature::{Form, Scheme, Sha1};
use crate::crypto::verifying_key::Verifier;

pub use crate::crypto::signature::SignatureError;

/// Largest `TPMT_SIGNATURE` accepted, bytes (RSA-4096).
pub const SIGNATURE_BYTES_MAX: usize = 520;
const RSA_BYTES_MAX: usize = 512;
const ECC_BYTES_MAX: usize = 48;
/// `SEQUENCE` of two `INTEGER`s of 48 bytes and a sign.
const DER_BYTES_MAX: usize = 2 + 2 * (2 + 1 + ECC_BYTES_MAX);

/// A signature as parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The scheme it declares.
    pub alg: SignatureAlg,
    /// The hash it declares.
    pub hash: HashAlg,
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
    Ok(Signature { alg, hash, value })
}

impl Signature {
    /// Verifies the signature over exactly `message` by `key`.
    ///
    /// Accepted: RSA of 2048 to 4096 bits with RSASSA or RSAPSS (salt as long as the digest), and ECDSA on
    /// P-256 and P-384; SHA-256, SHA-384 or SHA-512, and SHA-1 only where parsing *and* key accept it.
    /// It proves that the holder of the key signed these bytes, not that a TPM made them.
    pub fn verify<K: Verifier + ?Sized>(
        &self,
        key: &K,
        message: &[u8],
    ) -> Result<(), SignatureError> {
        let scheme = self.scheme();
        match (&self.value, key.public()) {
            (Value::Rsa(bytes), _) => key.verify(scheme, Form::Der, message, bytes),
            (Value::Ecc { r, s }, PublicKey::Ecc { curve, .. }) => {
                let der = to_der(r, s, *curve).ok_or_else(|| SignatureError::Invalid {
                    key: key.public().kind(),
                })?;
                key.verify(scheme, Form::Der, message, &der)
            }
            (Value::Ecc { .. }, other) => Err(SignatureError::Unsuitable {
                scheme,
                key: other.kind(),
            }),
        }
    }

    /// The scheme it declares, with its hash.
    pub fn scheme(&self) -> Scheme {
        match self.alg {
            SignatureAlg::Rsassa => Scheme::RsaPkcs1(self.hash),
            SignatureAlg::Rsapss => Scheme::RsaPss(self.hash),
            SignatureAlg::Ecdsa => Scheme::Ecdsa(self.hash),
        }
    }
}

/// DER `SEQUENCE { r, s }`: the form with every hash on every curve, where TPMs pad or strip zeros as they like.
/// `None` when a number is longer than the curve's.
fn to_der(r: &[u8], s: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(DER_BYTES_MAX);
    content.extend([der::SEQUENCE, 0]);
    for number in [r, s] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let sign = usize::from(number.get(zeros).is_none_or(|byte| *byte >= 0x80));
        let number = number
            .get(zeros..)
            .filter(|_| number.len() <= curve.size())?;
        let size = number.len().checked_add(sign)?;
        content.extend([der::INTEGER, u8::try_from(size).ok()?]);
        content.extend([0u8].iter().take(sign));
        content.extend_from_slice(number);
    }
    let size = content.len().checked_sub(2)?;
    // Two numbers of 49 bytes at most: a length of one byte.
    *content.get_mut(1)? = u8::try_from(size).ok().filter(|size| *size < 0x80)?;
    Some(content)
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
    use crate::crypto::verifying_key::LegacyKey;
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
        let sha384 = parse(&with(2..4, [0, 0x0c])).unwrap();
        let relabelled = sha384.verify(&ak.public(), b"m").unwrap_err();
        assert!(
            matches!(relabelled, SignatureError::Invalid { .. }),
            "{relabelled}"
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

    /// Peers took a curve they do not know for a signature that holds.
    #[test]
    fn an_unsupported_curve_is_no_success() {
        let ak = SoftAk::generate();
        let good = parse(&ak.sign(b"m")).unwrap();
        let PublicKey::Ecc { x, y, .. } = ak.public() else {
            unreachable!()
        };
        for curve in [Curve::P384, Curve::P521] {
            let (x, y) = (
                padded(&x, curve.size()).unwrap(),
                padded(&y, curve.size()).unwrap(),
            );
            assert!(good.verify(&PublicKey::Ecc { curve, x, y }, b"m").is_err());
        }
        let ed25519 = PublicKey::Ed25519([1; 32]);
        let error = good.verify(&ed25519, b"m").unwrap_err();
        assert!(
            matches!(error, SignatureError::Unsuitable { .. }),
            "{error}"
        );
    }

    #[test]
    fn numbers_are_read_with_and_without_leading_zeros_and_never_longer_than_the_curve() {
        let der = |r: &[u8], s: &[u8]| to_der(r, s, Curve::P256);
        assert_eq!(
            der(&[1], &[0x80]).unwrap(),
            [0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]
        );
        assert_eq!(der(&[0, 0, 1], &[0x7f]), der(&[1], &[0x7f]));
        assert_eq!(der(&[], &[0]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        assert_eq!(der(&[0xff; 32], &[0xff; 32]).unwrap().len(), 72);
        assert_eq!(der(&[0; 33], &[1]), None);
        assert_eq!(der(&[1], &[0; 33]), None);
        let p384 = to_der(&[0xff; 48], &[0xff; 48], Curve::P384).unwrap();
        assert_eq!((p384.len(), p384[1]), (DER_BYTES_MAX, 102));
        assert!(parse(&[&[0, 0x18, 0, 0x0b, 0, 49][..], &[1; 49], &[0, 1, 1]].concat()).is_err());
    }

    #[test]
    fn sha1_needs_the_policy_when_parsing_and_under_the_key() {
        use aws_lc_rs::encoding::AsDer as _;
        use aws_lc_rs::rsa::KeySize;
        use aws_lc_rs::signature::RsaKeyPair;
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let spki = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(spki.as_ref()).unwrap();
        let bytes = [&[0, 0x14, 0, 4, 1, 0], &[1u8; 256][..]].concat();
        assert!(parse(&bytes).is_err());
        let signature = parse_with(&bytes, Sha1::Legacy).unwrap();
        let strict = signature.verify(&key, b"m").unwrap_err();
        assert!(
            matches!(strict, SignatureError::Unsuitable { .. }),
            "{strict}"
        );
        let legacy = signature.verify(&LegacyKey(&key), b"m").unwrap_err();
        assert!(matches!(legacy, SignatureError::Invalid { .. }), "{legacy}");
    }
}
