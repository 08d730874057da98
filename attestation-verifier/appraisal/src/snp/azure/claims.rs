//! Runtime claims: JSON with the vTPM's keys as a JWK set (RFC 7517) and the VM's configuration.

use super::hcl::CLAIMS_BYTES_MAX;
use crate::crypto::key::PublicKey;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const AK_KID: &str = "HCLAkPub";
const KEYS_MAX: usize = 8;
const AK_BYTES: usize = 256;

/// Claims are not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Too many bytes.
    #[error("runtime claims: expected at most {CLAIMS_BYTES_MAX} bytes, got {0}")]
    TooLarge(usize),
    /// Not JSON, or a name twice in one object.
    #[error("runtime claims: expected JSON with each name once, got {0}")]
    Json(String),
    /// A member is missing or of another form.
    #[error("runtime claims: {field}: expected {expected}")]
    Member {
        /// The member.
        field: &'static str,
        /// What is accepted.
        expected: &'static str,
    },
}

/// A JSON value whose objects have no name twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Json {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number that is an integer; others are refused.
    Number(i64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.get(name),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn list(&self) -> Option<&[Json]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

/// Claims as parsed: bound to a report only by [`super::verify`].
///
/// `vm-configuration` and `user-data` are what the paravisor says of the VM. They are shown, not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeClaims {
    /// The vTPM's attestation key.
    pub attestation_key: PublicKey,
    /// All of the claims.
    pub all: Json,
}

impl RuntimeClaims {
    /// Parses claims and finds the one key named `HCLAkPub`, RSA-2048 with exponent 65537, for signing.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimsError> {
        if bytes.len() > CLAIMS_BYTES_MAX {
            return Err(ClaimsError::TooLarge(bytes.len()));
        }
        // serde_json goes 128 levels deep at most; the visitor below adds none.
        let all: Json =
            serde_json::from_slice(bytes).map_err(|e| ClaimsError::Json(e.to_string()))?;
        let keys = all.member("keys").and_then(Json::list).unwrap_or_default();
        if keys.len() > KEYS_MAX {
            return Err(member("keys", "at most 8"));
        }
        let named = |key: &&Json| key.member("kid").and_then(Json::text) == Some(AK_KID);
        let mut candidates = keys.iter().filter(named);
        let (Some(key), None) = (candidates.next(), candidates.next()) else {
            return Err(member("keys", "exactly one named HCLAkPub"));
        };
        let attestation_key = attestation_key(key)?;
        Ok(Self {
            attestation_key,
            all,
        })
    }
}

fn member(field: &'static str, expected: &'static str) -> ClaimsError {
    ClaimsError::Member { field, expected }
}

/// RFC 7518 section 6.3.1. Older paravisors marked the key for encryption: such a key vouches for nothing.
fn attestation_key(key: &Json) -> Result<PublicKey, ClaimsError> {
    let text = |name| key.member(name).and_then(Json::text);
    if text("kty") != Some("RSA") {
        return Err(member("HCLAkPub kty", "RSA"));
    }
    let operations = key
        .member("key_ops")
        .and_then(Json::list)
        .unwrap_or_default();
    if operations != [Json::Text("sign".into())] {
        return Err(member("HCLAkPub key_ops", "sign alone"));
    }
    if text("e") != Some("AQAB") {
        return Err(member("HCLAkPub e", "AQAB (65537)"));
    }
    let modulus = text("n").and_then(base64url).unwrap_or_default();
    let size_fits = modulus.len() == AK_BYTES && modulus.first().is_some_and(|byte| *byte >= 0x80);
    if !size_fits {
        return Err(member("HCLAkPub n", "2048 bits in base64url"));
    }
    Ok(PublicKey::Rsa {
        modulus,
        exponent: 65_537,
    })
}

/// base64url without padding (RFC 4648 section 5); unused bits must be zero.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte.checked_sub(b'A')?,
            b'a'..=b'z' => byte.checked_sub(b'a')?.checked_add(26)?,
            b'0'..=b'9' => byte.checked_sub(b'0')?.checked_add(52)?,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held = held.checked_add(6)?;
        if held >= 8 {
            held = held.checked_sub(8)?;
            out.push(u8::try_from(bits.checked_shr(held)? & 0xff).ok()?);
        }
    }
    let rest = bits & 1u32.checked_shl(held)?.checked_sub(1)?;
    (held < 6 && rest == 0).then_some(out)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        i64::try_from(value).map(Json::Number).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("{name:?} twice")));
            }
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_one_form() {
        assert_eq!(base64url(""), Some(vec![]));
        assert_eq!(base64url("AQ"), Some(vec![1]));
        assert_eq!(base64url("-_8"), Some(vec![0xfb, 0xff]));
        // A lone character, bits left over, padding, the other alphabet.
        for text in ["A", "AAAAA", "AR", "AQ==", "+/8"] {
            assert_eq!(base64url(text), None, "{text}");
        }
    }
}
