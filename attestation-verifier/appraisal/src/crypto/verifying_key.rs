//! Keys ready to verify: a key that verifies many signatures is decoded once.

use super::key::PublicKey;
use super::signature::{self, Form, Scheme, Sha1, SignatureError};
use core::fmt;
use std::sync::Arc;

/// Something signatures are verified with. What is accepted under a key is decided in
/// [`super::signature`] and nowhere else.
pub trait Verifier: fmt::Debug {
    /// The key.
    fn public(&self) -> &PublicKey;

    /// Whether the caller accepts SHA-1 under this key.
    fn sha1(&self) -> Sha1 {
        Sha1::Refused
    }

    /// As [`signature::verify`], under this key and its policy.
    fn verify(
        &self,
        scheme: Scheme,
        form: Form,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError>;
}

impl Verifier for PublicKey {
    fn public(&self) -> &PublicKey {
        self
    }

    fn verify(
        &self,
        scheme: Scheme,
        form: Form,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        signature::verify(self, (scheme, form, Sha1::Refused), message, signature)
    }
}

/// A key under which the caller accepts SHA-1 too: a named exception for old TPMs, in no network's rules.
#[derive(Debug, Clone, Copy)]
pub struct LegacyKey<'a>(pub &'a PublicKey);

impl Verifier for LegacyKey<'_> {
    fn public(&self) -> &PublicKey {
        self.0
    }

    fn sha1(&self) -> Sha1 {
        Sha1::Legacy
    }

    fn verify(
        &self,
        scheme: Scheme,
        form: Form,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        signature::verify(self.0, (scheme, form, Sha1::Legacy), message, signature)
    }
}

/// A key decoded once for one scheme; it verifies nothing under any other.
///
/// Two are equal when key, scheme and form are.
#[derive(Clone)]
pub struct VerifyingKey {
    public: PublicKey,
    scheme: Scheme,
    form: Form,
    parsed: Arc<signature::Parsed>,
}

impl VerifyingKey {
    /// Decodes `public` for `scheme`; ECDSA signatures come in `form`. Refuses SHA-1, schemes and sizes that
    /// [`signature::verify`] refuses, and numbers that are no key (a point off its curve, an even modulus).
    pub fn new(public: PublicKey, scheme: Scheme, form: Form) -> Result<Self, SignatureError> {
        let parsed = signature::parse_key(&public, (scheme, form, Sha1::Refused))?;
        Ok(Self {
            public,
            scheme,
            form,
            parsed: Arc::new(parsed),
        })
    }
}

impl Verifier for VerifyingKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn verify(
        &self,
        scheme: Scheme,
        form: Form,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if (scheme, form) != (self.scheme, self.form) {
            let key = format!("{} {:?}", self.public.kind(), self.scheme);
            return Err(SignatureError::Unsuitable { scheme, key });
        }
        let verified = self.parsed.verify_sig(message, signature);
        verified.map_err(|_| SignatureError::Invalid {
            key: self.public.kind(),
        })
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.public, self.scheme, self.form) == (&other.public, other.scheme, other.form)
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("public", &self.public)
            .field("scheme", &self.scheme)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpm::algorithm::{Curve, HashAlg};
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding, RsaKeyPair,
    };

    const P256: Scheme = Scheme::Ecdsa(HashAlg::Sha256);
    const RSA: Scheme = Scheme::RsaPkcs1(HashAlg::Sha256);

    fn ecc() -> (EcdsaKeyPair, PublicKey) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (point[1..33].to_vec(), point[33..].to_vec());
        let curve = Curve::P256;
        (pair, PublicKey::Ecc { curve, x, y })
    }

    fn rsa() -> (RsaKeyPair, PublicKey) {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let spki = pair.public_key().as_der().unwrap();
        let public = PublicKey::from_spki(spki.as_ref()).unwrap();
        (pair, public)
    }

    #[test]
    fn a_decoded_key_verifies_its_own_scheme_and_nothing_else() {
        let (pair, public) = ecc();
        let signature = pair.sign(&SystemRandom::new(), b"m").unwrap();
        let key = VerifyingKey::new(public.clone(), P256, Form::Der).unwrap();
        let verify =
            |scheme, form, message: &[u8]| key.verify(scheme, form, message, signature.as_ref());
        assert_eq!(verify(P256, Form::Der, b"m"), Ok(()));
        assert!(matches!(
            verify(P256, Form::Der, b"n"),
            Err(SignatureError::Invalid { .. })
        ));
        for (scheme, form) in [
            (P256, Form::Fixed),
            (Scheme::Ecdsa(HashAlg::Sha384), Form::Der),
            (RSA, Form::Der),
        ] {
            let error = verify(scheme, form, b"m").unwrap_err();
            assert!(
                matches!(error, SignatureError::Unsuitable { .. }),
                "{error}"
            );
        }
        assert_eq!(
            key,
            VerifyingKey::new(public.clone(), P256, Form::Der).unwrap()
        );
        assert_ne!(key, VerifyingKey::new(public, P256, Form::Fixed).unwrap());
        assert_ne!(key, VerifyingKey::new(ecc().1, P256, Form::Der).unwrap());
    }

    #[test]
    fn rsa_padding_is_part_of_the_scheme() {
        let (pair, public) = rsa();
        let mut signature = vec![0; 256];
        let rng = SystemRandom::new();
        pair.sign(&RSA_PSS_SHA256, &rng, b"m", &mut signature)
            .unwrap();
        let pss = VerifyingKey::new(public.clone(), Scheme::RsaPss(HashAlg::Sha256), Form::Der);
        let pss = pss.unwrap();
        let how = Scheme::RsaPss(HashAlg::Sha256);
        assert_eq!(pss.verify(how, Form::Der, b"m", &signature), Ok(()));
        assert!(public.verify(RSA, Form::Der, b"m", &signature).is_err());
        pair.sign(&RSA_PKCS1_SHA256, &rng, b"m", &mut signature)
            .unwrap();
        assert!(pss.verify(RSA, Form::Der, b"m", &signature).is_err());
        assert!(pss.verify(how, Form::Der, b"m", &signature).is_err());
    }

    /// Each signature verifies under the padding and hash it was made with, and under no other.
    #[test]
    fn every_rsa_scheme_is_itself_alone() {
        let (pair, public) = rsa();
        let rng = SystemRandom::new();
        let (pkcs1, pss) = (Scheme::RsaPkcs1, Scheme::RsaPss);
        let schemes: [(Scheme, &dyn RsaEncoding); 6] = [
            (pkcs1(HashAlg::Sha256), &RSA_PKCS1_SHA256),
            (pkcs1(HashAlg::Sha384), &RSA_PKCS1_SHA384),
            (pkcs1(HashAlg::Sha512), &RSA_PKCS1_SHA512),
            (pss(HashAlg::Sha256), &RSA_PSS_SHA256),
            (pss(HashAlg::Sha384), &RSA_PSS_SHA384),
            (pss(HashAlg::Sha512), &RSA_PSS_SHA512),
        ];
        for (made, encoding) in schemes {
            let mut signature = vec![0; 256];
            pair.sign(encoding, &rng, b"m", &mut signature).unwrap();
            for (read, _) in schemes {
                let verified = public.verify(read, Form::Der, b"m", &signature);
                assert_eq!(verified.is_ok(), made == read, "{made:?} as {read:?}");
            }
        }
    }

    #[test]
    fn sha1_is_accepted_by_a_legacy_key_alone() {
        let (_, public) = ecc();
        assert_eq!(LegacyKey(&public).sha1(), Sha1::Legacy);
        assert_eq!(public.sha1(), Sha1::Refused);
        let key = VerifyingKey::new(public, P256, Form::Der).unwrap();
        assert_eq!(key.sha1(), Sha1::Refused);
    }

    #[test]
    fn numbers_that_are_no_key_and_weak_schemes_are_refused_when_decoded() {
        let (_, public) = ecc();
        let PublicKey::Ecc { curve, x, mut y } = public.clone() else {
            unreachable!()
        };
        y[31] ^= 1;
        let off_curve = PublicKey::Ecc { curve, x, y };
        let refused =
            |key: PublicKey, scheme| VerifyingKey::new(key, scheme, Form::Der).unwrap_err();
        let error = refused(off_curve, P256);
        assert!(matches!(error, SignatureError::Key { .. }), "{error}");
        let numbers = |modulus: Vec<u8>, exponent| PublicKey::Rsa { modulus, exponent };
        let (_, PublicKey::Rsa { modulus, .. }) = rsa() else {
            unreachable!()
        };
        for exponent in [0, 1, 2, 65_536] {
            let error = refused(numbers(modulus.clone(), exponent), RSA);
            assert!(
                matches!(error, SignatureError::Key { .. }),
                "{exponent}: {error}"
            );
        }
        let error = refused(numbers(vec![0x80; 256], 65_537), RSA);
        assert!(matches!(error, SignatureError::Key { .. }), "{error}");
        for (key, scheme) in [
            (numbers(vec![0xff; 255], 65_537), RSA),
            (numbers(vec![0xff; 513], 65_537), RSA),
            (numbers(modulus, 65_537), Scheme::RsaPkcs1(HashAlg::Sha1)),
            (public.clone(), Scheme::Ecdsa(HashAlg::Sha1)),
            (public, RSA),
        ] {
            let error = refused(key, scheme);
            assert!(
                matches!(error, SignatureError::Unsuitable { .. }),
                "{error}"
            );
        }
    }
}
