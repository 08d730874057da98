//! COSE_Sign1 and COSE_Sign objects (RFC 9052) made by others: signed reference values, foreign tokens.
//!
//! Objects of Assay itself are opened by [`assay_protocol::cose`], which knows one algorithm and one header.
//! Here the header is read, so that everything in it is untrusted until the signature holds: the key is the
//! caller's, the algorithm must fit that key, and the signature is checked over the protected bytes received.
//!
//! Not proven: that the key is anybody's. A certificate in `x5chain` says so only of itself.

mod algorithm;
mod header;
mod key;
mod several;
#[cfg(test)]
mod tests;

pub use crate::foreign_cbor::Label;
pub use algorithm::Algorithm;
pub use header::Headers;
pub use key::{COSE_KEY_BYTES_MAX, CoseKey};
pub use several::{SIGNERS_MAX, verify_several};

use crate::crypto::key::{KeyError, PublicKey};
use crate::crypto::signature::SignatureError;
use crate::foreign_cbor::{ForeignCborError, Item};
use assay_protocol::cbor::Value;

const TAG_SIGN1: u64 = 18;
const TAG_SIGN: u64 = 98;
const TAG_CWT: u64 = 61;

/// A foreign COSE object is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// Not the CBOR expected, or a header of another shape.
    #[error("COSE: {0}")]
    Cbor(#[from] ForeignCborError),
    /// A label in both headers (RFC 9052 section 3).
    #[error("COSE header: label {0} is in the protected and in the unprotected header")]
    LabelTwice(String),
    /// A label that must be understood and is not (RFC 9052 section 3.1, `crit`).
    #[error("COSE header: critical label {0} is not understood here")]
    Critical(String),
    /// A label that `crit` names and the protected header does not hold.
    #[error("COSE header: critical label {0} is not in the protected header")]
    CriticalAbsent(String),
    /// An algorithm this verifier does not know.
    #[error("COSE algorithm: expected ES256, ES384, ES512, PS256, PS384, PS512 or EdDSA, got {0}")]
    AlgorithmUnknown(String),
    /// No algorithm where it must be.
    #[error("COSE algorithm: expected one in the protected header, got none")]
    AlgorithmAbsent,
    /// Another algorithm than the caller or the key says.
    #[error("COSE algorithm: expected {expected}, got {actual}")]
    AlgorithmMismatch {
        /// The algorithm named by the caller or by the key.
        expected: Algorithm,
        /// The one in the header.
        actual: Algorithm,
    },
    /// The algorithm does not fit the key.
    #[error("COSE algorithm: {algorithm} does not fit an {key} key")]
    AlgorithmUnfit {
        /// The algorithm.
        algorithm: Algorithm,
        /// The key, in words.
        key: String,
    },
    /// The payload is detached and none was given, or the other way round.
    #[error("COSE payload: expected {expected}, got {actual}")]
    Payload {
        /// Where it had to be.
        expected: &'static str,
        /// Where it is.
        actual: &'static str,
    },
    /// Another number of signatures than keys.
    #[error("COSE_Sign: expected {expected} signatures, got {actual}")]
    SignerCount {
        /// Keys given.
        expected: usize,
        /// Signatures found.
        actual: usize,
    },
    /// The signature does not hold.
    #[error("COSE: {0}")]
    Signature(#[from] SignatureError),
    /// A COSE_Key that is not usable.
    #[error("COSE_Key: {0}")]
    Key(#[from] KeyError),
}

/// How the object must be wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// Tag 18: the rule.
    #[default]
    Tagged,
    /// No tag: only where the surrounding protocol says what the bytes are (RFC 9052 section 2).
    Untagged,
    /// Tag 61 around tag 18: a CWT (RFC 8392 section 6).
    Cwt,
}

/// Where the algorithm comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlgorithmFrom {
    /// The protected header; an ECDSA algorithm must be the one of its curve (RFC 9864). The rule.
    #[default]
    Protected,
    /// The caller, who knows it beforehand. A header may repeat it anywhere and must not contradict it, and the
    /// hash of an ECDSA algorithm need not be that of the curve (RFC 9053 section 2.1 allows any pair).
    Caller(Algorithm),
}

/// What a caller says about an object before reading it. The default is the strictest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accept<'a> {
    /// The wrapping.
    pub envelope: Envelope,
    /// Where the algorithm comes from.
    pub algorithm: AlgorithmFrom,
    /// Data signed along and carried elsewhere (RFC 9052 section 4.4, `external_aad`).
    pub external_aad: &'a [u8],
    /// The payload when the object carries none; given, the object must carry none.
    pub detached: Option<&'a [u8]>,
    /// Further labels the caller processes, so that `crit` may name them.
    pub understood: &'a [Label<'a>],
}

/// A COSE_Sign1 as received: nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    headers: Headers<'a>,
    payload: Option<&'a [u8]>,
    signature: &'a [u8],
}

impl<'a> Message<'a> {
    /// Splits an object and checks its shape and headers; verifies nothing.
    pub fn parse(bytes: &'a [u8], envelope: Envelope) -> Result<Self, CoseError> {
        let item = unwrap(Item::decode(bytes)?, envelope, TAG_SIGN1)?;
        let [protected, unprotected, payload, signature] = item.tuple("COSE_Sign1")?;
        Ok(Self {
            headers: Headers::parse(&protected, unprotected)?,
            payload: payload_of(&payload)?,
            signature: signature.bytes("signature")?,
        })
    }

    /// The headers; **unverified**.
    pub fn headers(&self) -> &Headers<'a> {
        &self.headers
    }

    /// The payload carried; **unverified**. None when it is detached.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.payload
    }

    /// Verifies the signature by `key` over the bytes received.
    pub fn verify(&self, key: &PublicKey, accept: &Accept<'a>) -> Result<Verified<'a>, CoseError> {
        self.headers.check_critical(accept.understood)?;
        let algorithm = self.headers.algorithm(accept.algorithm)?;
        let payload = choose_payload(self.payload, accept.detached)?;
        let signed = sig_structure(&[
            Value::text("Signature1"),
            Value::bytes(self.headers.signed_bytes()),
            Value::bytes(accept.external_aad),
            Value::bytes(payload),
        ]);
        algorithm.verify(key, accept.algorithm, &signed, self.signature)?;
        Ok(Verified {
            headers: self.headers.clone(),
            algorithm,
            payload,
        })
    }
}

/// An object whose signature holds; only [`Message::verify`] makes it.
///
/// Proven: whoever holds the caller's key signed the protected header, the payload and the external data.
/// The unprotected header is still anybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<'a> {
    headers: Headers<'a>,
    algorithm: Algorithm,
    payload: &'a [u8],
}

impl<'a> Verified<'a> {
    /// The signed payload, as received or as the caller gave it.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A field of the protected header.
    pub fn protected(&self, label: Label<'_>) -> Option<&Item<'a>> {
        self.headers.protected(label)
    }
}

/// Parses and verifies in one step.
pub fn verify<'a>(
    bytes: &'a [u8],
    key: &PublicKey,
    accept: &Accept<'a>,
) -> Result<Verified<'a>, CoseError> {
    Message::parse(bytes, accept.envelope)?.verify(key, accept)
}

fn unwrap<'a>(item: Item<'a>, envelope: Envelope, tag: u64) -> Result<Item<'a>, CoseError> {
    Ok(match envelope {
        Envelope::Tagged => item.tagged("COSE object", tag)?,
        Envelope::Cwt => item.tagged("CWT", TAG_CWT)?.tagged("COSE object", tag)?,
        Envelope::Untagged => item,
    })
}

/// A byte string, or null for a detached payload.
fn payload_of<'a>(item: &Item<'a>) -> Result<Option<&'a [u8]>, CoseError> {
    match item {
        Item::Null => Ok(None),
        other => Ok(Some(other.bytes("payload")?)),
    }
}

fn choose_payload<'a>(
    carried: Option<&'a [u8]>,
    detached: Option<&'a [u8]>,
) -> Result<&'a [u8], CoseError> {
    match (carried, detached) {
        (Some(payload), None) | (None, Some(payload)) => Ok(payload),
        (Some(_), Some(_)) => Err(CoseError::Payload {
            expected: "a detached payload",
            actual: "one in the object",
        }),
        (None, None) => Err(CoseError::Payload {
            expected: "a payload in the object",
            actual: "none",
        }),
    }
}

/// RFC 9052 section 4.4; it must be deterministic whatever the object looks like.
fn sig_structure(parts: &[Value]) -> Vec<u8> {
    Value::Array(parts.to_vec()).encode()
}
