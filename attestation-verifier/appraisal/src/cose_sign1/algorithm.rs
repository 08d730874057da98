//! The signature algorithms accepted in foreign COSE objects (RFC 9053).

use super::{AlgorithmFrom, CoseError};
use crate::crypto::key::PublicKey;
use crate::crypto::signature::{self, Form, Scheme, Sha1};
use crate::foreign_cbor::Item;
use crate::tpm::algorithm::{Curve, HashAlg};
use core::fmt;

/// A COSE signature algorithm (IANA, "COSE Algorithms").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA with SHA-256, −7.
    Es256,
    /// ECDSA with SHA-384, −35.
    Es384,
    /// ECDSA with SHA-512, −36.
    Es512,
    /// RSASSA-PSS with SHA-256, −37.
    Ps256,
    /// RSASSA-PSS with SHA-384, −38.
    Ps384,
    /// RSASSA-PSS with SHA-512, −39.
    Ps512,
    /// EdDSA, −8; the key says that it is Ed25519.
    EdDsa,
}

const ALGORITHMS: [(i64, Algorithm, &str); 7] = [
    (-7, Algorithm::Es256, "ES256"),
    (-35, Algorithm::Es384, "ES384"),
    (-36, Algorithm::Es512, "ES512"),
    (-37, Algorithm::Ps256, "PS256"),
    (-38, Algorithm::Ps384, "PS384"),
    (-39, Algorithm::Ps512, "PS512"),
    (-8, Algorithm::EdDsa, "EdDSA"),
];

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = ALGORITHMS
            .iter()
            .find(|(_, algorithm, _)| algorithm == self);
        f.write_str(found.map_or("?", |(_, _, name)| name))
    }
}

impl Algorithm {
    /// Reads an `alg` value; names other than the seven are refused.
    pub(super) fn from_item(item: &Item<'_>) -> Result<Self, CoseError> {
        let number = item.int("alg");
        let found = ALGORITHMS.iter().find(|(n, ..)| number == Ok(*n));
        found
            .map(|(_, algorithm, _)| *algorithm)
            .ok_or_else(|| CoseError::AlgorithmUnknown(item.kind()))
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::Es256 => Scheme::Ecdsa(HashAlg::Sha256),
            Self::Es384 => Scheme::Ecdsa(HashAlg::Sha384),
            Self::Es512 => Scheme::Ecdsa(HashAlg::Sha512),
            Self::Ps256 => Scheme::RsaPss(HashAlg::Sha256),
            Self::Ps384 => Scheme::RsaPss(HashAlg::Sha384),
            Self::Ps512 => Scheme::RsaPss(HashAlg::Sha512),
            Self::EdDsa => Scheme::Ed25519,
        }
    }

    /// Whether the algorithm is for keys of this kind; with `any_curve` an ECDSA hash need not be the curve's.
    pub(super) fn fits(self, key: &PublicKey, any_curve: bool) -> bool {
        match (self.scheme(), key) {
            (Scheme::Ecdsa(hash), PublicKey::Ecc { curve, .. }) => {
                any_curve || hash == curve_hash(*curve)
            }
            (Scheme::RsaPss(_), PublicKey::Rsa { .. }) => true,
            (Scheme::Ed25519, PublicKey::Ed25519(_)) => true,
            _ => false,
        }
    }

    pub(super) fn verify(
        self,
        key: &PublicKey,
        from: AlgorithmFrom,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CoseError> {
        let any_curve = matches!(from, AlgorithmFrom::Caller(_));
        if !self.fits(key, any_curve) {
            return Err(CoseError::AlgorithmUnfit {
                algorithm: self,
                key: key.kind(),
            });
        }
        let how = |form| (self.scheme(), form, Sha1::Refused);
        match key {
            // The signature entry point knows r ‖ s only for the hash of the curve.
            PublicKey::Ecc { curve, .. } if !self.fits(key, false) => {
                let der = der_from_fixed(*curve, signature).unwrap_or_default();
                signature::verify(key, how(Form::Der), message, &der)?;
            }
            _ => signature::verify(key, how(Form::Fixed), message, signature)?,
        }
        Ok(())
    }
}

fn curve_hash(curve: Curve) -> HashAlg {
    match curve {
        Curve::P256 => HashAlg::Sha256,
        Curve::P384 => HashAlg::Sha384,
        Curve::P521 => HashAlg::Sha512,
    }
}

/// `r ‖ s` as DER `SEQUENCE { r, s }`; none when the length is not that of the curve.
fn der_from_fixed(curve: Curve, signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(curve.size())?;
    if s.len() != curve.size() {
        return None;
    }
    let body = [integer(r)?, integer(s)?].concat();
    let length = u8::try_from(body.len()).ok()?;
    let head = match length {
        0..0x80 => vec![0x30, length],
        _ => vec![0x30, 0x81, length],
    };
    Some([head, body].concat())
}

fn integer(bytes: &[u8]) -> Option<Vec<u8>> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..)?;
    // Zero is one zero byte, and a set top bit would mean a negative number.
    let pad = digits.first().is_none_or(|first| *first >= 0x80);
    let length = u8::try_from(digits.len().checked_add(usize::from(pad))?).ok()?;
    let mut out = vec![0x02, length];
    if pad {
        out.push(0);
    }
    out.extend_from_slice(digits);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_numbers_become_minimal_der() {
        let mut fixed = vec![0; 64];
        fixed[31] = 0x7f;
        fixed[63] = 0x80;
        let der = der_from_fixed(Curve::P256, &fixed).unwrap();
        assert_eq!(hex::encode(der), "300702017f02020080");
        let zeros = der_from_fixed(Curve::P256, &[0; 64]).unwrap();
        assert_eq!(hex::encode(zeros), "3006020100020100");
        let longest = der_from_fixed(Curve::P521, &[0xff; 132]).unwrap();
        assert_eq!(longest[..6], [0x30, 0x81, 0x8a, 0x02, 67, 0]);
        assert_eq!(longest.len(), 3 + 2 * 69);
        // The longest body with a one-byte length: 127 bytes.
        let mut uneven = vec![0xff; 96];
        uneven[..48].copy_from_slice(&[0x7f; 48]);
        assert_eq!(
            der_from_fixed(Curve::P384, &uneven).unwrap()[..2],
            [0x30, 101]
        );
        for length in [0, 63, 65, 96] {
            assert_eq!(
                der_from_fixed(Curve::P256, &vec![1; length]),
                None,
                "{length}"
            );
        }
    }

    #[test]
    fn each_algorithm_has_its_own_number_and_name() {
        for (number, algorithm, name) in ALGORITHMS {
            let item = Item::Nint(u64::try_from(-1 - number).unwrap());
            assert_eq!(Algorithm::from_item(&item), Ok(algorithm));
            assert_eq!(algorithm.to_string(), name);
        }
        for unknown in [
            Item::Uint(0),
            Item::Nint(256),
            Item::Text("ES256"),
            Item::Null,
        ] {
            assert!(matches!(
                Algorithm::from_item(&unknown),
                Err(CoseError::AlgorithmUnknown(_))
            ));
        }
    }
}
