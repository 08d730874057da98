//! TPM algorithm identifiers (TCG Algorithm Registry) the verifier knows; everything else is refused.

use super::reader::{FormatError, Reader};
use aws_lc_rs::digest;

/// `TPM_ALG_RSA`.
pub const ALG_RSA: u16 = 0x0001;
/// `TPM_ALG_AES`.
pub const ALG_AES: u16 = 0x0006;
/// `TPM_ALG_NULL`: never means "no check".
pub const ALG_NULL: u16 = 0x0010;
/// `TPM_ALG_RSASSA`.
pub const ALG_RSASSA: u16 = 0x0014;
/// `TPM_ALG_RSAPSS`.
pub const ALG_RSAPSS: u16 = 0x0016;
/// `TPM_ALG_ECDSA`.
pub const ALG_ECDSA: u16 = 0x0018;
/// `TPM_ALG_ECC`.
pub const ALG_ECC: u16 = 0x0023;
/// `TPM_ALG_CFB`.
pub const ALG_CFB: u16 = 0x0043;

/// A hash algorithm: of a PCR bank, of a signature, of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlg {
    /// SHA-1: may be named and replayed; accepted under a signature only by a caller's named policy.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlg {
    /// The algorithm with this `TPM_ALG_ID`, when it is known.
    pub fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0004 => Some(Self::Sha1),
            0x000b => Some(Self::Sha256),
            0x000c => Some(Self::Sha384),
            0x000d => Some(Self::Sha512),
            _ => None,
        }
    }

    /// `TPM_ALG_ID`.
    pub fn id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// The name tools use: `sha1`, `sha256`, `sha384`, `sha512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of this name, in its one spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|alg| alg.name() == name)
    }

    /// Digest size in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest over the concatenation of `parts`.
    pub fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        let mut context = digest::Context::new(algorithm);
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }

    pub(crate) fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, FormatError> {
        let id = reader.u16(field)?;
        Self::from_id(id)
            .ok_or_else(|| reader.unexpected(field, "SHA-1, SHA-256, SHA-384 or SHA-512", id))
    }
}

/// An elliptic curve (`TPM_ECC_CURVE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256, `0003`.
    P256,
    /// NIST P-384, `0004`.
    P384,
    /// NIST P-521, `0005`: some vendors' roots; not accepted for a TPM's own keys.
    P521,
}

impl Curve {
    /// Size of a coordinate in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The curve in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        match reader.u16("curve")? {
            0x0003 => Ok(Self::P256),
            0x0004 => Ok(Self::P384),
            other => Err(reader.unexpected("curve", "NIST P-256 or P-384", other)),
        }
    }
}

/// A signature scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlg {
    /// RSASSA-PKCS1-v1_5.
    Rsassa,
    /// RSASSA-PSS.
    Rsapss,
    /// ECDSA.
    Ecdsa,
}

impl SignatureAlg {
    /// The scheme with this `TPM_ALG_ID`, when it is known.
    pub fn from_id(id: u16) -> Option<Self> {
        match id {
            ALG_RSASSA => Some(Self::Rsassa),
            ALG_RSAPSS => Some(Self::Rsapss),
            ALG_ECDSA => Some(Self::Ecdsa),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_schemes_have_their_ids() {
        assert_eq!(SignatureAlg::from_id(0x14), Some(SignatureAlg::Rsassa));
        assert_eq!(SignatureAlg::from_id(0x16), Some(SignatureAlg::Rsapss));
        assert_eq!(SignatureAlg::from_id(0x18), Some(SignatureAlg::Ecdsa));
        // HMAC and ECDAA.
        assert_eq!(SignatureAlg::from_id(0x05), None);
        assert_eq!(SignatureAlg::from_id(0x1a), None);
    }

    #[test]
    fn hash_ids_round_trip_and_sizes_are_right() {
        for alg in [
            HashAlg::Sha1,
            HashAlg::Sha256,
            HashAlg::Sha384,
            HashAlg::Sha512,
        ] {
            assert_eq!(HashAlg::from_id(alg.id()), Some(alg));
            assert_eq!(HashAlg::from_name(alg.name()), Some(alg));
            assert_eq!(alg.digest(&[b"x"]).len(), alg.size());
        }
    }

    #[test]
    fn null_and_unknown_ids_are_nothing() {
        assert_eq!(HashAlg::from_id(ALG_NULL), None);
        assert_eq!(HashAlg::from_name("SHA256"), None);
        assert_eq!(SignatureAlg::from_id(ALG_NULL), None);
        assert_eq!(SignatureAlg::from_id(0x0005), None);
    }
}
