//! Public keys, from a TPM's public area or from a certificate, in one canonical form.

use super::der::{self, Der, DerError};
use crate::tpm::algorithm::Curve;

const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// Some EK certificates name the padding of the key: id-RSAES-OAEP, id-RSASSA-PSS.
const OID_RSA_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
const OID_RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0, 0x22];
const OID_P521: &[u8] = &[0x2b, 0x81, 0x04, 0, 0x23];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];

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
    /// An Ed25519 key (RFC 8032).
    Ed25519([u8; 32]),
}

/// A `SubjectPublicKeyInfo` holds no key this verifier knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not DER of the expected form.
    #[error("public key: expected a DER SubjectPublicKeyInfo, got {0}")]
    Malformed(String),
    /// Another algorithm or curve.
    #[error("public key: expected RSA, ECC P-256, P-384 or P-521, or Ed25519, got algorithm {0}")]
    Unsupported(String),
}

impl From<DerError> for KeyError {
    fn from(error: DerError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl PublicKey {
    /// Decodes a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
    pub fn from_spki(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > SPKI_BYTES_MAX {
            return Err(KeyError::Malformed(format!("{} bytes", bytes.len())));
        }
        let mut outer = Der::new(bytes);
        let mut spki = outer.enter("SubjectPublicKeyInfo", der::SEQUENCE)?;
        outer.finish("SubjectPublicKeyInfo")?;
        let mut algorithm = spki.enter("algorithm", der::SEQUENCE)?;
        let oid = algorithm.oid("algorithm")?;
        let bits = spki.bits("subjectPublicKey")?;
        spki.finish("SubjectPublicKeyInfo")?;
        match oid {
            OID_RSA | OID_RSA_OAEP | OID_RSA_PSS => rsa_from_der(bits),
            OID_EC => ecc_from_point(curve_of(algorithm)?, bits),
            OID_ED25519 => bits
                .try_into()
                .map(Self::Ed25519)
                .map_err(|_| KeyError::Malformed(format!("{} bytes of Ed25519", bits.len()))),
            other => Err(KeyError::Unsupported(der::dotted(other))),
        }
    }

    /// The bytes alone, without algorithm or curve: an RSA modulus, an uncompressed point (`04` ‖ x ‖ y), an
    /// Ed25519 key.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Rsa { modulus, .. } => modulus.clone(),
            Self::Ecc { x, y, .. } => [&[4u8][..], x, y].concat(),
            Self::Ed25519(bytes) => bytes.to_vec(),
        }
    }

    /// What it is, in words: `RSA-2048`, `ECC P-256`, `Ed25519`.
    pub fn kind(&self) -> String {
        match self {
            Self::Rsa { modulus, .. } => format!("RSA-{}", modulus.len().saturating_mul(8)),
            Self::Ecc { curve, .. } => format!("ECC {}", curve.name()),
            Self::Ed25519(_) => "Ed25519".into(),
        }
    }
}

fn rsa_from_der(bits: &[u8]) -> Result<PublicKey, KeyError> {
    let mut outer = Der::new(bits);
    let mut inner = outer.enter("RSAPublicKey", der::SEQUENCE)?;
    outer.finish("RSAPublicKey")?;
    let modulus = inner.unsigned("modulus")?.to_vec();
    let exponent = inner.u64("publicExponent")?;
    inner.finish("RSAPublicKey")?;
    let exponent = u32::try_from(exponent)
        .map_err(|_| KeyError::Malformed(format!("an exponent of {exponent}")))?;
    Ok(PublicKey::Rsa { modulus, exponent })
}

fn curve_of(mut parameters: Der<'_>) -> Result<Curve, KeyError> {
    let oid = parameters.oid("curve")?;
    parameters.finish("curve")?;
    match oid {
        OID_P256 => Ok(Curve::P256),
        OID_P384 => Ok(Curve::P384),
        OID_P521 => Ok(Curve::P521),
        other => Err(KeyError::Unsupported(format!(
            "curve {}",
            der::dotted(other)
        ))),
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
        let size = |size: usize| PublicKey::from_spki(&vec![0; size]).unwrap_err();
        let too_large = |size: usize| KeyError::Malformed(format!("{size} bytes"));
        assert_ne!(size(SPKI_BYTES_MAX), too_large(SPKI_BYTES_MAX));
        for large in [SPKI_BYTES_MAX + 1, SPKI_BYTES_MAX + 2] {
            assert_eq!(size(large), too_large(large));
        }
    }
}
