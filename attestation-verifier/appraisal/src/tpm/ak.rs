//! The rules an attestation key's public area must satisfy before it may be enrolled (ARCHITECTURE section 5).

use super::algorithm::{ALG_ECDSA, ALG_RSAPSS, ALG_RSASSA, Curve, HashAlg};
use super::public::{self, Attributes, Public};
use super::reader::FormatError;
use crate::crypto::key::PublicKey;
use assay_protocol::ids::AkName;

/// A public area that satisfies the AK rules.
///
/// It proves nothing by itself: that the key lives in the TPM of an EK follows from credential activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey {
    name: AkName,
    public: Public,
}

/// A public area may not serve as attestation key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AkError {
    /// The bytes do not parse.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The name algorithm is not SHA-256.
    #[error("attestation key: nameAlg: expected SHA-256, got {0:?}")]
    NameAlg(HashAlg),
    /// An attribute that must be set is clear.
    #[error("attestation key: attribute {0}: expected set, got clear")]
    AttributeMissing(&'static str),
    /// An attribute that must be clear is set.
    #[error("attestation key: attribute {0}: expected clear, got set")]
    AttributeForbidden(&'static str),
    /// A symmetric algorithm belongs to storage keys only.
    #[error("attestation key: symmetric: expected NULL, got an algorithm")]
    Symmetric,
    /// Another kind of key.
    #[error("attestation key: expected ECC P-256 or RSA-2048 with e = 65537, got {0}")]
    Key(String),
    /// The key's scheme is absent or does not fit its kind.
    #[error("attestation key: scheme: expected {expected} with SHA-256, got {actual}")]
    Scheme {
        /// What fits.
        expected: &'static str,
        /// What was found.
        actual: String,
    },
}

impl AttestationKey {
    /// Parses a `TPMT_PUBLIC` and applies the AK rules.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AkError> {
        Self::from_public(public::parse(bytes)?)
    }

    /// Applies the AK rules: SHA-256 name, restricted signing key that never left this TPM and cannot
    /// decrypt, ECC P-256 with ECDSA or RSA-2048 with RSASSA or RSAPSS, hash SHA-256.
    pub fn from_public(public: Public) -> Result<Self, AkError> {
        let name = public.name().ok_or(AkError::NameAlg(public.name_alg))?;
        attributes(public.attributes)?;
        if public.symmetric {
            return Err(AkError::Symmetric);
        }
        scheme(&public)?;
        Ok(Self { name, public })
    }

    /// The key's name.
    pub fn name(&self) -> AkName {
        self.name
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.public.key
    }

    /// The public area as parsed.
    pub fn public(&self) -> &Public {
        &self.public
    }
}

fn attributes(attributes: Attributes) -> Result<(), AkError> {
    let required = [
        ("fixedTPM", Attributes::FIXED_TPM),
        ("fixedParent", Attributes::FIXED_PARENT),
        ("sensitiveDataOrigin", Attributes::SENSITIVE_DATA_ORIGIN),
        ("restricted", Attributes::RESTRICTED),
        ("sign", Attributes::SIGN),
    ];
    for (name, bit) in required {
        if !attributes.has(bit) {
            return Err(AkError::AttributeMissing(name));
        }
    }
    if attributes.has(Attributes::DECRYPT) {
        return Err(AkError::AttributeForbidden("decrypt"));
    }
    Ok(())
}

fn scheme(public: &Public) -> Result<(), AkError> {
    let (expected, fitting): (_, &[u16]) = match &public.key {
        PublicKey::Ecc {
            curve: Curve::P256, ..
        } => ("ECDSA", &[ALG_ECDSA]),
        PublicKey::Rsa {
            modulus,
            exponent: 65_537,
        } if modulus.len() == 256 => ("RSASSA or RSAPSS", &[ALG_RSASSA, ALG_RSAPSS]),
        other => return Err(AkError::Key(other.kind())),
    };
    match public.scheme {
        Some(scheme) if fitting.contains(&scheme.alg) && scheme.hash == HashAlg::Sha256 => Ok(()),
        Some(scheme) => {
            let actual = format!("{:#06x} with {:?}", scheme.alg, scheme.hash);
            Err(AkError::Scheme { expected, actual })
        }
        None => Err(AkError::Scheme {
            expected,
            actual: "none".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::public::tests::{AK_ATTRIBUTES, ecc_public, rsa_public, some_point};
    use super::*;

    fn ecc(attributes: u32) -> Vec<u8> {
        ecc_public(attributes, &some_point())
    }

    #[test]
    fn restricted_signing_keys_are_accepted() {
        assert!(AttestationKey::from_bytes(&ecc(AK_ATTRIBUTES)).is_ok());
        assert!(AttestationKey::from_bytes(&rsa_public(AK_ATTRIBUTES)).is_ok());
    }

    #[test]
    fn each_required_attribute_is_missed_by_name() {
        for (name, bit) in [
            ("fixedTPM", 1),
            ("fixedParent", 4),
            ("sensitiveDataOrigin", 5),
            ("restricted", 16),
            ("sign", 18),
        ] {
            let error = AttestationKey::from_bytes(&ecc(AK_ATTRIBUTES & !(1 << bit))).unwrap_err();
            assert_eq!(error, AkError::AttributeMissing(name));
        }
        let error = AttestationKey::from_bytes(&ecc(AK_ATTRIBUTES | 1 << 17)).unwrap_err();
        assert_eq!(error, AkError::AttributeForbidden("decrypt"));
    }

    #[test]
    fn other_name_hash_scheme_curve_exponent_and_symmetric_are_refused() {
        let changed = |bytes: &[u8], at: usize, value: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.splice(at..at + value.len(), value.iter().copied());
            AttestationKey::from_bytes(&bytes).unwrap_err()
        };
        let good = ecc(AK_ATTRIBUTES);
        assert_eq!(
            changed(&good, 3, &[0x0c]),
            AkError::NameAlg(HashAlg::Sha384)
        );
        assert!(matches!(
            changed(&good, 13, &[0x14]),
            AkError::Scheme { .. }
        ));
        assert!(matches!(
            changed(&good, 15, &[0x0c]),
            AkError::Scheme { .. }
        ));
        assert!(matches!(changed(&good, 17, &[0x04]), AkError::Key(_)));
        let rsa = rsa_public(AK_ATTRIBUTES);
        assert!(matches!(changed(&rsa, 18, &[0, 0, 0, 3]), AkError::Key(_)));
        let mut storage = good.clone();
        storage.splice(10..12, [0, 6, 0, 128, 0, 0x43]);
        assert_eq!(
            AttestationKey::from_bytes(&storage),
            Err(AkError::Symmetric)
        );
        let mut no_scheme = good;
        no_scheme.splice(12..16, [0, 0x10]);
        let error = AttestationKey::from_bytes(&no_scheme).unwrap_err();
        assert!(error.to_string().contains("got none"), "{error}");
    }
}
