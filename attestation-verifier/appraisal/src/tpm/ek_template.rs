//! The rule that gives one TPM one id: the endorsement key's public area must equal, byte for byte,
//! the TCG default template with the certified key inserted (TCG EK Credential Profile 2.x, annex B).

use super::algorithm::Curve;
use crate::crypto::key::PublicKey;
use assay_protocol::trust::EkType;

/// Attributes of the default templates: fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy,
/// restricted, decrypt.
const ATTRIBUTES: [u8; 4] = [0x00, 0x03, 0x00, 0xb2];
/// PolicySecret(TPM_RH_ENDORSEMENT), SHA-256.
const POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// AES-128-CFB, then no scheme.
const SYMMETRIC_AND_SCHEME: [u8; 8] = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10];

/// The kind in words: `RSA-2048`, `ECC P-256`.
pub fn kind_name(kind: EkType) -> &'static str {
    match kind {
        EkType::Rsa2048 => "RSA-2048",
        EkType::EccP256 => "ECC P-256",
    }
}

/// An endorsement key of an eligible kind, in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EkKey {
    /// RSA-2048, e = 65537.
    Rsa2048 {
        /// The modulus, big-endian.
        modulus: [u8; 256],
    },
    /// A point on P-256.
    EccP256 {
        /// x, big-endian.
        x: [u8; 32],
        /// y, big-endian.
        y: [u8; 32],
    },
}

/// An endorsement key is not of a kind or form that gives a node id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EkKeyError {
    /// The key has no default template here.
    #[error("endorsement key: expected RSA-2048 with e = 65537 or ECC P-256, got {0}")]
    Kind(String),
    /// The public area is not the template with the certified key.
    #[error(
        "endorsement key: the public area differs from the default {} template with the \
         certified key: expected {expected_bytes} bytes, got {actual_bytes}, first difference at {at}",
        kind_name(*template)
    )]
    Template {
        /// The template's kind.
        template: EkType,
        /// Size of the expected area.
        expected_bytes: usize,
        /// Size of the area received.
        actual_bytes: usize,
        /// Offset of the first byte that differs.
        at: usize,
    },
}

impl EkKey {
    /// Narrows a certified key to an eligible kind.
    pub fn from_public(key: &PublicKey) -> Result<Self, EkKeyError> {
        let refused = || EkKeyError::Kind(describe(key));
        match key {
            PublicKey::Rsa {
                modulus,
                exponent: 65_537,
            } => {
                let modulus = modulus.as_slice().try_into().map_err(|_| refused())?;
                Ok(Self::Rsa2048 { modulus })
            }
            PublicKey::Ecc {
                curve: Curve::P256,
                x,
                y,
            } => Ok(Self::EccP256 {
                x: x.as_slice().try_into().map_err(|_| refused())?,
                y: y.as_slice().try_into().map_err(|_| refused())?,
            }),
            _ => Err(refused()),
        }
    }

    /// Which template it belongs to.
    pub fn kind(&self) -> EkType {
        match self {
            Self::Rsa2048 { .. } => EkType::Rsa2048,
            Self::EccP256 { .. } => EkType::EccP256,
        }
    }

    /// The only `TPMT_PUBLIC` this key may be shown with.
    pub fn template(&self) -> Vec<u8> {
        let kind: &[u8] = match self {
            Self::Rsa2048 { .. } => &[0x00, 0x01, 0x00, 0x0b],
            Self::EccP256 { .. } => &[0x00, 0x23, 0x00, 0x0b],
        };
        let head = [kind, &ATTRIBUTES, &[0, 32], &POLICY, &SYMMETRIC_AND_SCHEME].concat();
        match self {
            // 2048 bits, exponent 0 (meaning 65537), 256 bytes of modulus.
            Self::Rsa2048 { modulus } => {
                [&head[..], &[0x08, 0x00, 0, 0, 0, 0, 0x01, 0x00], modulus].concat()
            }
            // NIST P-256, no KDF.
            Self::EccP256 { x, y } => {
                [&head[..], &[0x00, 0x03, 0x00, 0x10, 0, 32], x, &[0, 32], y].concat()
            }
        }
    }

    /// Refuses a `TPMT_PUBLIC` that is not [`EkKey::template`], byte for byte.
    pub fn check_template(&self, public_area: &[u8]) -> Result<(), EkKeyError> {
        let expected = self.template();
        if expected == public_area {
            return Ok(());
        }
        let same = expected
            .iter()
            .zip(public_area)
            .take_while(|(a, b)| a == b)
            .count();
        Err(EkKeyError::Template {
            template: self.kind(),
            expected_bytes: expected.len(),
            actual_bytes: public_area.len(),
            at: same,
        })
    }
}

fn describe(key: &PublicKey) -> String {
    match key {
        PublicKey::Rsa { exponent, .. } => format!("{} with e = {exponent}", key.kind()),
        PublicKey::Ecc { .. } | PublicKey::Ed25519(_) => key.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::public;
    use super::*;

    fn keys() -> [EkKey; 2] {
        [
            EkKey::Rsa2048 {
                modulus: [0xd1; 256],
            },
            EkKey::EccP256 {
                x: [1; 32],
                y: [2; 32],
            },
        ]
    }

    #[test]
    fn templates_parse_and_hold_the_key() {
        for key in keys() {
            let area = key.template();
            assert_eq!(key.check_template(&area), Ok(()));
            let parsed = public::parse(&area).unwrap();
            assert_eq!(EkKey::from_public(&parsed.key), Ok(key));
            assert!(parsed.symmetric && parsed.scheme.is_none());
        }
        assert_eq!(keys()[0].template().len(), 314);
    }

    #[test]
    fn every_changed_byte_and_every_other_length_is_refused() {
        for key in keys() {
            let area = key.template();
            for at in 0..area.len() {
                let mut bad = area.clone();
                bad[at] ^= 1;
                let error = key.check_template(&bad).unwrap_err();
                assert!(matches!(error, EkKeyError::Template { at: found, .. } if found == at));
                assert!(key.check_template(&area[..at]).is_err());
            }
            assert!(key.check_template(&[&area[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn other_sizes_curves_and_exponents_are_refused_by_name() {
        let cases = [
            (
                PublicKey::Rsa {
                    modulus: vec![0xff; 384],
                    exponent: 65_537,
                },
                "RSA-3072",
            ),
            (
                PublicKey::Rsa {
                    modulus: vec![0xff; 256],
                    exponent: 3,
                },
                "RSA-2048 with e = 3",
            ),
            (
                PublicKey::Ecc {
                    curve: Curve::P384,
                    x: vec![0; 48],
                    y: vec![0; 48],
                },
                "ECC P-384",
            ),
        ];
        for (key, name) in cases {
            let error = EkKey::from_public(&key).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
