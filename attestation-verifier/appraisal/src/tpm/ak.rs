//! The rules an attestation key's public area must satisfy (ARCHITECTURE section 5; TPM 2.0 part 1,
//! section 31, and part 2, section 8.3).

use super::algorithm::{ALG_ECDSA, ALG_RSAPSS, ALG_RSASSA, Curve, HashAlg};
use super::public::{self, Attributes, Public};
use super::reader::FormatError;
use crate::crypto::key::PublicKey;
use crate::crypto::signature::{Form, Scheme, SignatureError};
use crate::crypto::verifying_key::VerifyingKey;
use assay_protocol::ids::AkName;

/// Which kinds of key may attest. The attributes asked for are the same under both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AkRules {
    /// What a network enrols: name of SHA-256, ECC P-256 with ECDSA or RSA-2048 with RSASSA or RSAPSS, SHA-256.
    Network,
    /// What the offline tools look at: also ECC P-384, RSA-3072 and RSA-4096, SHA-384 and SHA-512.
    Offline,
    /// As [`AkRules::Offline`], and SHA-1, for TPMs that know no better.
    OfflineLegacy,
}

/// A public area that satisfies the AK rules of a network, decoded for its own scheme.
///
/// It proves nothing by itself: that the key lives in the TPM of an EK follows from credential activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey {
    name: AkName,
    public: Public,
    verifying: VerifyingKey,
}

/// A public area may not serve as attestation key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AkError {
    /// The bytes do not parse.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The name algorithm is not one of the rules'.
    #[error("attestation key: nameAlg: expected {expected}, got {actual:?}")]
    NameAlg {
        /// What the rules allow.
        expected: &'static str,
        /// What was found.
        actual: HashAlg,
    },
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
    #[error("attestation key: expected {expected}, got {actual}")]
    Key {
        /// What the rules allow.
        expected: &'static str,
        /// What was found.
        actual: String,
    },
    /// The key's scheme is absent or does not fit its kind.
    #[error("attestation key: scheme: expected {expected}, got {actual}")]
    Scheme {
        /// What fits.
        expected: String,
        /// What was found.
        actual: String,
    },
    /// The numbers are no key.
    #[error("attestation key: {0}")]
    Numbers(#[from] SignatureError),
}

impl AttestationKey {
    /// Parses a `TPMT_PUBLIC` and applies the AK rules of a network.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AkError> {
        Self::from_public(public::parse(bytes)?)
    }

    /// Applies the AK rules of a network: SHA-256 name, restricted signing key that never left this TPM and
    /// cannot decrypt, ECC P-256 with ECDSA or RSA-2048 with RSASSA or RSAPSS, hash SHA-256.
    pub fn from_public(public: Public) -> Result<Self, AkError> {
        let scheme = check(&public, AkRules::Network)?;
        let verifying = VerifyingKey::new(public.key.clone(), scheme, Form::Der)?;
        let name = public
            .name()
            .ok_or(AkRules::Network.name_alg(public.name_alg))?;
        Ok(Self {
            name,
            public,
            verifying,
        })
    }

    /// The key's name.
    pub fn name(&self) -> AkName {
        self.name
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.public.key
    }

    /// The key, decoded for the one scheme its public area names: what its quotes are verified with.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// The public area as parsed.
    pub fn public(&self) -> &Public {
        &self.public
    }
}

/// Applies `rules` to a public area; yields the one scheme this key signs with.
///
/// It proves nothing by itself: anybody can write a public area. See [`AttestationKey`].
pub fn check(public: &Public, rules: AkRules) -> Result<Scheme, AkError> {
    if !rules.hashes().contains(&public.name_alg) {
        return Err(rules.name_alg(public.name_alg));
    }
    attributes(public.attributes)?;
    if public.symmetric {
        return Err(AkError::Symmetric);
    }
    scheme(public, rules)
}

impl AkRules {
    fn hashes(self) -> &'static [HashAlg] {
        match self {
            Self::Network => &[HashAlg::Sha256],
            Self::Offline => &[HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512],
            Self::OfflineLegacy => &[
                HashAlg::Sha256,
                HashAlg::Sha384,
                HashAlg::Sha512,
                HashAlg::Sha1,
            ],
        }
    }

    fn name_alg(self, actual: HashAlg) -> AkError {
        AkError::NameAlg {
            expected: self.hash_names(),
            actual,
        }
    }

    fn hash_names(self) -> &'static str {
        match self {
            Self::Network => "SHA-256",
            Self::Offline => "SHA-256, SHA-384 or SHA-512",
            Self::OfflineLegacy => "SHA-1, SHA-256, SHA-384 or SHA-512",
        }
    }

    /// The schemes that fit the key; none when the rules know no such key.
    fn schemes(self, key: &PublicKey) -> &'static [u16] {
        let offline = self != Self::Network;
        match key {
            PublicKey::Ecc { curve, .. } => match curve {
                Curve::P256 => &[ALG_ECDSA],
                Curve::P384 if offline => &[ALG_ECDSA],
                Curve::P384 | Curve::P521 => &[],
            },
            PublicKey::Rsa {
                modulus,
                exponent: 65_537,
            } => match modulus.len() {
                256 => &[ALG_RSASSA, ALG_RSAPSS],
                384 | 512 if offline => &[ALG_RSASSA, ALG_RSAPSS],
                _ => &[],
            },
            PublicKey::Rsa { .. } | PublicKey::Ed25519(_) => &[],
        }
    }

    fn keys(self) -> &'static str {
        match self {
            Self::Network => "ECC P-256 or RSA-2048 with e = 65537",
            Self::Offline | Self::OfflineLegacy => {
                "ECC P-256 or P-384, or RSA-2048, RSA-3072 or RSA-4096 with e = 65537"
            }
        }
    }

    fn scheme_of(self, key: &PublicKey) -> String {
        let kind = match key {
            PublicKey::Ecc { .. } => "ECDSA",
            _ => "RSASSA or RSAPSS",
        };
        format!("{kind} with {}", self.hash_names())
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

fn scheme(public: &Public, rules: AkRules) -> Result<Scheme, AkError> {
    let fitting = rules.schemes(&public.key);
    if fitting.is_empty() {
        return Err(AkError::Key {
            expected: rules.keys(),
            actual: describe(&public.key),
        });
    }
    let unfit = |actual: String| AkError::Scheme {
        expected: rules.scheme_of(&public.key),
        actual,
    };
    let scheme = public.scheme.ok_or_else(|| unfit("none".into()))?;
    let fits = fitting.contains(&scheme.alg) && rules.hashes().contains(&scheme.hash);
    match scheme.alg {
        ALG_ECDSA if fits => Ok(Scheme::Ecdsa(scheme.hash)),
        ALG_RSASSA if fits => Ok(Scheme::RsaPkcs1(scheme.hash)),
        ALG_RSAPSS if fits => Ok(Scheme::RsaPss(scheme.hash)),
        other => Err(unfit(format!("{other:#06x} with {:?}", scheme.hash))),
    }
}

fn describe(key: &PublicKey) -> String {
    match key {
        PublicKey::Rsa { exponent, .. } => format!("{} with e = {exponent}", key.kind()),
        _ => key.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::public::tests::{AK_ATTRIBUTES, ecc_public, rsa_public};
    use super::super::signature::tests::SoftAk;
    use super::*;
    use crate::crypto::verifying_key::Verifier as _;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    fn ecc(attributes: u32) -> Vec<u8> {
        ecc_public(attributes, &SoftAk::generate().public())
    }

    /// P-384 with ECDSA and SHA-384, name of SHA-384.
    fn p384() -> Vec<u8> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
        let head = [
            0, 0x23, 0, 0x0c, 0, 5, 0, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0c,
        ];
        [&head[..], &[0, 4, 0, 0x10, 0, 48], x, &[0, 48], y].concat()
    }

    fn rsa(bits: u16, scheme: u8, hash: u8) -> Vec<u8> {
        let mut out = rsa_public(AK_ATTRIBUTES);
        out[13] = scheme;
        out[15] = hash;
        out[16..18].copy_from_slice(&bits.to_be_bytes());
        out[22..24].copy_from_slice(&(bits / 8).to_be_bytes());
        out.resize(24 + usize::from(bits / 8), 0xc5);
        out
    }

    fn offline(bytes: &[u8]) -> Result<Scheme, AkError> {
        check(&public::parse(bytes).unwrap(), AkRules::Offline)
    }

    #[test]
    fn restricted_signing_keys_are_accepted() {
        assert!(AttestationKey::from_bytes(&ecc(AK_ATTRIBUTES)).is_ok());
        assert!(AttestationKey::from_bytes(&rsa_public(AK_ATTRIBUTES)).is_ok());
    }

    #[test]
    fn quotes_are_verified_under_the_scheme_the_key_names() {
        let soft = SoftAk::generate();
        let key = AttestationKey::from_bytes(&ecc_public(AK_ATTRIBUTES, &soft.public())).unwrap();
        let signature = super::super::signature::parse(&soft.sign(b"m")).unwrap();
        assert_eq!(signature.verify(key.verifying_key(), b"m"), Ok(()));
        assert_eq!(key.verifying_key().public(), key.key());
        let pss = AttestationKey::from_bytes(&rsa(2048, 0x16, 0x0b)).unwrap();
        let pkcs1 = [&[0, 0x14, 0, 0x0b, 1, 0], &[1u8; 256][..]].concat();
        let pkcs1 = super::super::signature::parse(&pkcs1).unwrap();
        let error = pkcs1.verify(pss.verifying_key(), b"m").unwrap_err();
        assert!(
            matches!(error, SignatureError::Unsuitable { .. }),
            "{error}"
        );
    }

    /// CVE-2021-3406: a key that is not restricted signs whatever looks like a quote.
    #[test]
    fn each_required_attribute_is_missed_by_name() {
        for (name, bit) in [
            ("fixedTPM", 1),
            ("fixedParent", 4),
            ("sensitiveDataOrigin", 5),
            ("restricted", 16),
            ("sign", 18),
        ] {
            let bytes = ecc(AK_ATTRIBUTES & !(1 << bit));
            let error = AttestationKey::from_bytes(&bytes).unwrap_err();
            assert_eq!(error, AkError::AttributeMissing(name));
            assert_eq!(offline(&bytes), Err(AkError::AttributeMissing(name)));
        }
        let error = AttestationKey::from_bytes(&ecc(AK_ATTRIBUTES | 1 << 17)).unwrap_err();
        assert_eq!(error, AkError::AttributeForbidden("decrypt"));
    }

    #[test]
    fn the_offline_rules_know_more_keys_and_the_network_does_not() {
        for (bytes, scheme) in [
            (p384(), Scheme::Ecdsa(HashAlg::Sha384)),
            (rsa(3072, 0x14, 0x0c), Scheme::RsaPkcs1(HashAlg::Sha384)),
            (rsa(4096, 0x16, 0x0d), Scheme::RsaPss(HashAlg::Sha512)),
            (rsa(2048, 0x14, 0x0c), Scheme::RsaPkcs1(HashAlg::Sha384)),
        ] {
            assert_eq!(offline(&bytes), Ok(scheme));
            assert!(AttestationKey::from_bytes(&bytes).is_err(), "{scheme:?}");
        }
        // Each is the network's but for its curve or size.
        let mut curve = p384();
        (curve[3], curve[15]) = (0x0b, 0x0b);
        for bytes in [curve, rsa(3072, 0x14, 0x0b), rsa(4096, 0x14, 0x0b)] {
            assert!(offline(&bytes).is_ok());
            let error = AttestationKey::from_bytes(&bytes).unwrap_err();
            assert!(matches!(error, AkError::Key { .. }), "{error}");
        }
        let sha1 = public::parse(&rsa(2048, 0x14, 0x04)).unwrap();
        assert!(check(&sha1, AkRules::Offline).is_err());
        assert_eq!(
            check(&sha1, AkRules::OfflineLegacy),
            Ok(Scheme::RsaPkcs1(HashAlg::Sha1))
        );
        for (bytes, part) in [
            (rsa(1024, 0x14, 0x0b), "got RSA-1024"),
            (rsa(2056, 0x14, 0x0b), "got RSA-2056"),
            (rsa(3072, 0x18, 0x0b), "scheme"),
            (rsa(2048, 0x14, 0x04), "scheme"),
            (rsa(2048, 0x16, 0x04), "scheme"),
        ] {
            let error = offline(&bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn other_name_hash_scheme_curve_exponent_and_symmetric_are_refused() {
        let changed = |bytes: &[u8], at: usize, value: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.splice(at..at + value.len(), value.iter().copied());
            AttestationKey::from_bytes(&bytes).unwrap_err()
        };
        let good = ecc(AK_ATTRIBUTES);
        let name_alg = changed(&good, 3, &[0x0c]).to_string();
        assert!(
            name_alg.contains("expected SHA-256, got Sha384"),
            "{name_alg}"
        );
        assert!(matches!(changed(&good, 3, &[4]), AkError::NameAlg { .. }));
        for rsa in [0x14, 0x16] {
            let error = changed(&good, 13, &[rsa]);
            assert!(matches!(error, AkError::Scheme { .. }), "{error}");
        }
        assert!(matches!(
            changed(&good, 15, &[0x0c]),
            AkError::Scheme { .. }
        ));
        assert!(matches!(changed(&good, 17, &[0x04]), AkError::Key { .. }));
        let rsa = rsa_public(AK_ATTRIBUTES);
        let exponent = changed(&rsa, 18, &[0, 0, 0, 3]).to_string();
        assert!(exponent.contains("got RSA-2048 with e = 3"), "{exponent}");
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

    #[test]
    fn numbers_that_are_no_key_are_refused() {
        let mut off_curve = ecc(AK_ATTRIBUTES);
        *off_curve.last_mut().unwrap() ^= 1;
        let mut even = rsa_public(AK_ATTRIBUTES);
        *even.last_mut().unwrap() = 0;
        for bytes in [off_curve, even] {
            let error = AttestationKey::from_bytes(&bytes).unwrap_err();
            assert!(matches!(error, AkError::Numbers(_)), "{error}");
        }
    }
}
