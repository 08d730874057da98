//! Public keys, from a TPM's public area or from a certificate, in one canonical form.

use super::algorithm::Curve;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const OID_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Largest `SubjectPublicKeyInfo` accepted, bytes.
pub const SPKI_BYTES_MAX: usize = 1024;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// An RSA key.
    Rsa {
        /// Modulus, big-endian, without leading zeros.
        modulus: Vec<u8>,
        /// Public exponent.
        exponent: u32,
    },
    /// A point on a curve; coordinates are padded to the curve's size.
    Ecc {
        /// The curve.
        curve: Curve,
        /// x, big-endian.
        x: Vec<u8>,
        /// y, big-endian.
        y: Vec<u8>,
    },
}

/// A `SubjectPublicKeyInfo` holds no key this verifier knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not DER of the expected form.
    #[error("public key: expected a DER SubjectPublicKeyInfo, got {0}")]
    Malformed(String),
    /// Another algorithm or curve.
    #[error("public key: expected RSA, ECC P-256 or ECC P-384, got algorithm {0}")]
    Unsupported(String),
}

impl From<x509_cert::der::Error> for KeyError {
    fn from(error: x509_cert::der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl PublicKey {
    /// Decodes a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > SPKI_BYTES_MAX {
            return Err(KeyError::Malformed(format!("{} bytes", der.len())));
        }
        let spki = SubjectPublicKeyInfoRef::from_der(der)?;
        let bits = spki
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| KeyError::Malformed("an unaligned bit string".into()))?;
        match spki.algorithm.oid {
            OID_RSA => rsa_from_der(bits),
            OID_EC => ecc_from_point(curve_of(spki.algorithm.parameters)?, bits),
            other => Err(KeyError::Unsupported(other.to_string())),
        }
    }

    /// What it is, in words: `RSA-2048`, `ECC P-256`.
    pub fn kind(&self) -> String {
        match self {
            Self::Rsa { modulus, .. } => format!("RSA-{}", modulus.len().saturating_mul(8)),
            Self::Ecc {
                curve: Curve::P256, ..
            } => "ECC P-256".into(),
            Self::Ecc {
                curve: Curve::P384, ..
            } => "ECC P-384".into(),
        }
    }
}

fn rsa_from_der(bits: &[u8]) -> Result<PublicKey, KeyError> {
    let mut reader = SliceReader::new(bits)?;
    let (modulus, exponent) = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?;
        Ok((modulus.as_bytes().to_vec(), u32::decode(inner)?))
    })?;
    reader.finish(())?;
    Ok(PublicKey::Rsa { modulus, exponent })
}

fn curve_of(parameters: Option<AnyRef<'_>>) -> Result<Curve, KeyError> {
    let oid = parameters
        .ok_or_else(|| KeyError::Malformed("no curve".into()))?
        .decode_as::<ObjectIdentifier>()?;
    match oid {
        OID_P256 => Ok(Curve::P256),
        OID_P384 => Ok(Curve::P384),
        other => Err(KeyError::Unsupported(format!("curve {other}"))),
    }
}

fn ecc_from_point(curve: Curve, point: &[u8]) -> Result<PublicKey, KeyError> {
    let malformed = || KeyError::Malformed("a point that is not uncompressed".into());
    let coordinates = point.strip_prefix(&[4]).ok_or_else(malformed)?;
    let (x, y) = coordinates
        .split_at_checked(curve.size())
        .ok_or_else(malformed)?;
    if y.len() != curve.size() {
        return Err(malformed());
    }
    Ok(PublicKey::Ecc {
        curve,
        x: x.to_vec(),
        y: y.to_vec(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// SPKI of a P-256 key with coordinates `x` and `y` (not checked to be on the curve).
    pub(crate) fn p256_spki(point: &[u8]) -> Vec<u8> {
        let mut der = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        der.extend_from_slice(point);
        der
    }

    #[test]
    fn p256_point_is_split() {
        let mut point = vec![4];
        point.extend([1; 32]);
        point.extend([2; 32]);
        let key = PublicKey::from_spki(&p256_spki(&point)).unwrap();
        let expected = PublicKey::Ecc {
            curve: Curve::P256,
            x: vec![1; 32],
            y: vec![2; 32],
        };
        assert_eq!(key, expected);
        assert_eq!(key.kind(), "ECC P-256");
    }

    #[test]
    fn compressed_points_other_curves_and_trailing_bytes_are_refused() {
        let mut point = vec![3];
        point.extend([1; 64]);
        assert!(PublicKey::from_spki(&p256_spki(&point)).is_err());
        point[0] = 4;
        let good = p256_spki(&point);
        let mut trailing = good.clone();
        trailing.push(0);
        assert!(PublicKey::from_spki(&trailing).is_err());
        let mut curve = good.clone();
        curve[22] = 8;
        let error = PublicKey::from_spki(&curve).unwrap_err().to_string();
        assert!(error.contains("1.2.840.10045.3.1.8"), "{error}");
        assert!(PublicKey::from_spki(&[0; SPKI_BYTES_MAX + 1]).is_err());
    }
}
