//! COSE_Sign1 (RFC 9052) with Ed25519 only: how every signed object of Assay is sealed and opened.
//!
//! The protected header is a function of the payload and the signer, so it is recomputed and compared,
//! never interpreted. The signature is checked over the bytes received.

use crate::cbor::{CborError, Field, Value, int_map};
use crate::hash::sha256;
use crate::ids::HyperNodeId;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use std::borrow::Cow;

/// COSE algorithm number of EdDSA (RFC 9053).
const ALG_EDDSA: i64 = -8;
/// CBOR tag of COSE_Sign1.
const TAG_SIGN1: u64 = 18;
const HEADER_ALG: i64 = 1;
const HEADER_KID: i64 = 4;
const HEADER_CWT_CLAIMS: i64 = 15;
const HEADER_TYP: i64 = 16;
/// What `iss` begins with; 64 hexadecimal digits follow.
const ISSUER: &str = "ed25519:";

/// A raw Ed25519 public key.
pub type PublicKey = [u8; 32];

/// Something that holds an Ed25519 key and signs with it.
pub trait Signer {
    /// The raw public key.
    fn public_key(&self) -> PublicKey;
    /// Signs `message` (RFC 8032).
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// An object that travels signed.
pub trait Payload: Sized {
    /// Media type in the `typ` header (RFC 9596).
    const TYP: &'static str;
    /// Cap of the sealed object in bytes.
    const MAX_BYTES: usize;
    /// Deterministic CBOR of the object.
    fn to_value(&self) -> Value<'_>;
    /// Reads the object strictly.
    fn from_field(field: Field<'_>) -> Result<Self, CborError>;
    /// CWT `sub`: what the object speaks of, as text.
    fn subject(&self) -> String;
    /// CWT `iat`: Unix seconds, by the signer's clock.
    fn issued_at_s(&self) -> u64;
}

/// Why a signed object was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// Not the deterministic encoding of the object.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// Structure is not a tagged COSE_Sign1 of the right shape.
    #[error("{typ}: not a COSE_Sign1 object: {why}")]
    Shape {
        /// Expected type.
        typ: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The protected header is not the one this payload and signer must have.
    #[error("{typ}: protected header: expected {expected}, got {actual}")]
    Header {
        /// Expected type.
        typ: &'static str,
        /// Expected header bytes, hexadecimal.
        expected: String,
        /// Received header bytes, hexadecimal.
        actual: String,
    },
    /// The signature does not verify under the expected key.
    #[error("{typ}: signature by {key} does not verify")]
    Signature {
        /// Expected type.
        typ: &'static str,
        /// The expected signer's key, hexadecimal.
        key: String,
    },
}

/// A payload whose signature was verified; only [`open`] and the sealing side make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated<T> {
    payload: T,
    signer: PublicKey,
    bytes: Vec<u8>,
}

impl<T> Authenticated<T> {
    /// The verified payload.
    pub fn payload(&self) -> &T {
        &self.payload
    }

    /// The key that signed.
    pub fn signer(&self) -> &PublicKey {
        &self.signer
    }

    /// The exact bytes received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The verified payload, owned.
    pub fn into_payload(self) -> T {
        self.payload
    }
}

/// The four parts of a COSE_Sign1, structurally checked, nothing verified.
pub struct Parts<'a> {
    /// Protected header bytes as received.
    pub protected: Cow<'a, [u8]>,
    /// Unprotected header.
    pub unprotected: Value<'a>,
    /// Payload bytes as received.
    pub payload: Cow<'a, [u8]>,
    /// Signature bytes.
    pub signature: Cow<'a, [u8]>,
}

/// Splits a tagged COSE_Sign1 strictly.
pub fn split<'a>(
    typ: &'static str,
    max_bytes: usize,
    bytes: &'a [u8],
) -> Result<Parts<'a>, CoseError> {
    let value = Value::decode_bounded(typ, max_bytes, bytes)?;
    let Value::Tag(TAG_SIGN1, inner) = value else {
        return Err(CoseError::Shape {
            typ,
            why: "tag 18 expected".into(),
        });
    };
    let [protected, unprotected, payload, signature] = Field::new(typ, *inner).tuple()?;
    Ok(Parts {
        protected: protected.bytes(max_bytes)?,
        unprotected: unprotected.into_value(),
        payload: payload.bytes(max_bytes)?,
        signature: signature.bytes(64)?,
    })
}

/// CWT `iss`: the key itself.
fn issuer(signer: &PublicKey) -> String {
    // Identifiers are shown in hexadecimal digits.
    format!("{ISSUER}{}", HyperNodeId(*signer))
}

/// The protected header that `payload` by `signer` must carry.
fn protected_header<T: Payload>(
    payload: &T,
    signer: &PublicKey,
    extra: &[(i64, Value<'_>)],
) -> Vec<u8> {
    let kid = sha256(&[signer]);
    let claims = int_map([
        (1, Value::text(issuer(signer))),
        (2, Value::text(payload.subject())),
        (6, Value::Uint(payload.issued_at_s())),
    ]);
    let mut entries = vec![
        (HEADER_ALG, Value::int(ALG_EDDSA)),
        (HEADER_KID, Value::Bytes(kid[..].into())),
        (HEADER_CWT_CLAIMS, claims),
        (HEADER_TYP, Value::text(T::TYP)),
    ];
    entries.extend_from_slice(extra);
    int_map(entries).encode()
}

/// Signs `payload`.
pub fn seal<T: Payload>(payload: T, signer: &dyn Signer) -> Authenticated<T> {
    seal_with(payload, signer, &[], Value::Map(Vec::new()))
}

/// Signs `payload` with `extra` protected header entries and an unprotected map beside it.
pub fn seal_with<T: Payload>(
    payload: T,
    signer: &dyn Signer,
    extra: &[(i64, Value<'_>)],
    unprotected: Value<'_>,
) -> Authenticated<T> {
    let key = signer.public_key();
    let protected = protected_header(&payload, &key, extra);
    let content = payload.to_value().encode();
    let signature = signer.sign(&to_be_signed(&protected, &content));
    let parts = Value::Array(vec![
        Value::Bytes(protected.into()),
        unprotected,
        Value::Bytes(content.into()),
        Value::Bytes(signature[..].into()),
    ]);
    let bytes = Value::Tag(TAG_SIGN1, Box::new(parts)).encode();
    Authenticated {
        payload,
        signer: key,
        bytes,
    }
}

/// Opens a signed object: strict structure, recomputed header, signature by `signer` over the bytes received.
pub fn open<T: Payload>(bytes: &[u8], signer: &PublicKey) -> Result<Authenticated<T>, CoseError> {
    let parts = split(T::TYP, T::MAX_BYTES, bytes)?;
    if parts.unprotected != Value::Map(Vec::new()) {
        let why = "the unprotected header must be empty".to_owned();
        return Err(CoseError::Shape { typ: T::TYP, why });
    }
    open_parts(parts, bytes, signer, &[])
}

/// Like [`open`], for parts already split and with the `extra` protected entries that must be there.
pub fn open_parts<T: Payload>(
    parts: Parts<'_>,
    bytes: &[u8],
    signer: &PublicKey,
    extra: &[(i64, Value<'_>)],
) -> Result<Authenticated<T>, CoseError> {
    let payload = T::from_field(Field::new(T::TYP, Value::decode(&parts.payload)?))?;
    let expected = protected_header(&payload, signer, extra);
    if parts.protected != expected {
        return Err(CoseError::Header {
            typ: T::TYP,
            expected: hex::encode(expected),
            actual: hex::encode(&parts.protected),
        });
    }
    verify::<T>(&parts.protected, &parts.payload, signer, &parts.signature)?;
    Ok(Authenticated {
        payload,
        signer: *signer,
        bytes: bytes.to_vec(),
    })
}

/// The signature of a sealed object.
pub fn signature_of<T: Payload>(sealed: &Authenticated<T>) -> Result<[u8; 64], CoseError> {
    let parts = split(T::TYP, T::MAX_BYTES, &sealed.bytes)?;
    <[u8; 64]>::try_from(parts.signature.as_ref()).map_err(|_| CoseError::Shape {
        typ: T::TYP,
        why: "a signature of 64 bytes expected".into(),
    })
}

/// Checks the signature of the object that `signer` seals of `payload`, where all but the signature is known beforehand.
pub fn check_signature<T: Payload>(
    payload: &T,
    signer: &PublicKey,
    signature: &[u8; 64],
) -> Result<(), CoseError> {
    let protected = protected_header(payload, signer, &[]);
    verify::<T>(&protected, &payload.to_value().encode(), signer, signature)
}

fn verify<T: Payload>(
    protected: &[u8],
    payload: &[u8],
    signer: &PublicKey,
    signature: &[u8],
) -> Result<(), CoseError> {
    UnparsedPublicKey::new(&ED25519, signer)
        .verify(&to_be_signed(protected, payload), signature)
        .map_err(|_| CoseError::Signature {
            typ: T::TYP,
            key: hex::encode(signer),
        })
}

/// The key an object says it is signed by (`iss`); proves nothing until [`open`] succeeds with it.
pub fn claimed_signer(bytes: &[u8], max_bytes: usize) -> Result<PublicKey, CoseError> {
    const TYP: &str = "signed object";
    let parts = split(TYP, max_bytes, bytes)?;
    let mut header = Field::new("protected header", Value::decode(&parts.protected)?).map()?;
    let mut claims = header.take(HEADER_CWT_CLAIMS)?.map()?;
    let issuer = claims.take(1)?.text(80)?;
    let mut key = [0; 32];
    let digits = issuer.strip_prefix(ISSUER).unwrap_or_default();
    hex::decode_to_slice(digits, &mut key).map_err(|_| CoseError::Shape {
        typ: TYP,
        why: format!("issuer {issuer:?} is not ed25519: and 64 hexadecimal digits"),
    })?;
    Ok(key)
}

/// The Sig_structure of RFC 9052 section 4.4, external data empty.
fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let received = coset::ProtectedHeader {
        original_data: Some(protected.to_vec()),
        header: coset::Header::default(),
    };
    coset::sig_structure_data(
        coset::SignatureContext::CoseSign1,
        received,
        None,
        &[],
        payload,
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use coset::TaggedCborSerializable;

    /// A signer with a key made from one byte.
    pub(crate) struct TestKey(Ed25519KeyPair);

    impl TestKey {
        pub(crate) fn new(byte: u8) -> Self {
            Self(Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap())
        }
    }

    impl Signer for TestKey {
        fn public_key(&self) -> PublicKey {
            self.0.public_key().as_ref().try_into().unwrap()
        }
        fn sign(&self, message: &[u8]) -> [u8; 64] {
            self.0.sign(message).as_ref().try_into().unwrap()
        }
    }

    #[derive(Debug, Clone, PartialEq)]
    struct Note(u64);

    impl Payload for Note {
        const TYP: &'static str = "application/vnd.assay.note+cbor";
        const MAX_BYTES: usize = 1024;
        fn to_value(&self) -> Value<'_> {
            int_map([(1, Value::Uint(self.0))])
        }
        fn from_field(field: Field<'_>) -> Result<Self, CborError> {
            let mut map = field.map()?;
            let note = Note(map.take(1)?.uint()?);
            map.end()?;
            Ok(note)
        }
        fn subject(&self) -> String {
            "note".into()
        }
        fn issued_at_s(&self) -> u64 {
            7
        }
    }

    #[test]
    fn sealed_opens_and_coset_agrees() {
        let key = TestKey::new(1);
        let sealed = seal(Note(5), &key);
        let opened = open::<Note>(sealed.bytes(), &key.public_key()).unwrap();
        assert_eq!(opened.payload(), &Note(5));
        assert_eq!(
            claimed_signer(sealed.bytes(), 1024).unwrap(),
            key.public_key()
        );
        let foreign = coset::CoseSign1::from_tagged_slice(sealed.bytes()).unwrap();
        foreign
            .verify_signature(&[], |signature, message| {
                UnparsedPublicKey::new(&ED25519, key.public_key()).verify(message, signature)
            })
            .unwrap();
    }

    #[test]
    fn another_key_is_refused() {
        let sealed = seal(Note(5), &TestKey::new(1));
        let other = TestKey::new(2).public_key();
        assert!(matches!(
            open::<Note>(sealed.bytes(), &other),
            Err(CoseError::Header { .. })
        ));
    }

    #[test]
    fn every_flipped_byte_and_every_truncation_is_refused() {
        let key = TestKey::new(1);
        let sealed = seal(Note(5), &key);
        for at in 0..sealed.bytes().len() {
            let mut bad = sealed.bytes().to_vec();
            bad[at] ^= 1;
            assert!(open::<Note>(&bad, &key.public_key()).is_err(), "byte {at}");
            assert!(
                open::<Note>(&sealed.bytes()[..at], &key.public_key()).is_err(),
                "cut {at}"
            );
        }
    }

    #[test]
    fn an_unprotected_entry_is_refused() {
        let key = TestKey::new(1);
        let sealed = seal_with(Note(5), &key, &[], int_map([(33, Value::Null)]));
        assert!(open::<Note>(sealed.bytes(), &key.public_key()).is_err());
    }
}
