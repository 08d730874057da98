//! COSE_Sign (RFC 9052 section 4.1): one payload, several signers.

use super::{
    Accept, CoseError, Headers, TAG_SIGN, choose_payload, payload_of, sig_structure, unwrap,
};
use crate::crypto::key::PublicKey;
use crate::foreign_cbor::Item;
use assay_protocol::cbor::Value;

/// Most signatures of one object.
pub const SIGNERS_MAX: usize = 16;

/// Verifies an object with exactly one signature by each of `keys`, in that order, and yields its payload.
///
/// One signature more or less than keys is refused: who did not have to sign must not look as if he had.
/// Each signature's own protected header names its algorithm; `accept` is applied to every signature.
pub fn verify_several<'a>(
    bytes: &'a [u8],
    keys: &[PublicKey],
    accept: &Accept<'a>,
) -> Result<&'a [u8], CoseError> {
    let item = unwrap(Item::decode(bytes)?, accept.envelope, TAG_SIGN)?;
    let [protected, unprotected, payload, signatures] = item.tuple("COSE_Sign")?;
    let body = Headers::parse(&protected, unprotected)?;
    body.check_critical(accept.understood)?;
    let payload = choose_payload(payload_of(&payload)?, accept.detached)?;
    let signatures = signatures.some("signatures")?;
    if signatures.len() != keys.len() || keys.len() > SIGNERS_MAX {
        return Err(CoseError::SignerCount {
            expected: keys.len().min(SIGNERS_MAX),
            actual: signatures.len(),
        });
    }
    for (signature, key) in signatures.into_iter().zip(keys) {
        verify_one(signature, key, &body, payload, accept)?;
    }
    Ok(payload)
}

fn verify_one(
    item: Item<'_>,
    key: &PublicKey,
    body: &Headers<'_>,
    payload: &[u8],
    accept: &Accept<'_>,
) -> Result<(), CoseError> {
    let [protected, unprotected, signature] = item.tuple("COSE_Signature")?;
    let headers = Headers::parse(&protected, unprotected)?;
    headers.check_critical(accept.understood)?;
    let algorithm = headers.algorithm(accept.algorithm)?;
    let signed = sig_structure(&[
        Value::text("Signature"),
        Value::bytes(body.signed_bytes()),
        Value::bytes(headers.signed_bytes()),
        Value::bytes(accept.external_aad),
        Value::bytes(payload),
    ]);
    algorithm.verify(
        key,
        accept.algorithm,
        &signed,
        signature.bytes("signature")?,
    )
}
