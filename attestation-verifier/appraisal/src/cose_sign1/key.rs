//! COSE_Key (RFC 9052 section 7), public keys only.

use super::{Algorithm, CoseError};
use crate::crypto::key::{KeyError, PublicKey};
use crate::crypto::signature::RSA_BYTES_MAX;
use crate::foreign_cbor::{Fields, Item};
use crate::tpm::algorithm::Curve;

/// Longest COSE_Key accepted, bytes.
pub const COSE_KEY_BYTES_MAX: usize = 2048;
const KTY_OKP: i64 = 1;
const KTY_EC2: i64 = 2;
const KTY_RSA: i64 = 3;
/// `key_ops`: verify.
const OPERATION_VERIFY: i64 = 2;

/// A public key for verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoseKey {
    /// The key.
    pub key: PublicKey,
    /// The only algorithm it may be used with, when it names one.
    pub algorithm: Option<Algorithm>,
    /// Its identifier, when it has one.
    pub kid: Option<Vec<u8>>,
}

impl CoseKey {
    /// Reads an EC2 (P-256, P-384, P-521, uncompressed), OKP (Ed25519) or RSA key. Private parts, other uses than
    /// verification, an algorithm that does not fit and unknown fields are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoseError> {
        if bytes.len() > COSE_KEY_BYTES_MAX {
            return Err(malformed(format!("{} bytes", bytes.len())));
        }
        let mut map = Item::decode(bytes)?.map("COSE_Key")?;
        let kty = map.take(1, "kty")?.int("kty")?;
        let kid = map
            .optional(2)
            .map(|item| item.bytes("kid").map(<[u8]>::to_vec));
        let algorithm = map.optional(3).map(|item| Algorithm::from_item(&item));
        let operations = map.optional(4);
        let key = match kty {
            KTY_OKP => okp(&mut map)?,
            KTY_EC2 => ec2(&mut map)?,
            KTY_RSA => rsa(&mut map)?,
            other => return Err(KeyError::Unsupported(format!("kty {other}")).into()),
        };
        // A private key has further parameters, so that it ends here too.
        map.end()?;
        check_operations(operations)?;
        let algorithm = algorithm.transpose()?;
        check_algorithm(algorithm, &key)?;
        Ok(Self {
            key,
            algorithm,
            kid: kid.transpose()?,
        })
    }
}

fn malformed(actual: impl Into<String>) -> CoseError {
    CoseError::Key(KeyError::Malformed(actual.into()))
}

fn check_operations(operations: Option<Item<'_>>) -> Result<(), CoseError> {
    let Some(list) = operations else {
        return Ok(());
    };
    let list = list.some("key_ops")?;
    match list
        .iter()
        .any(|item| item.int("key_ops") == Ok(OPERATION_VERIFY))
    {
        true => Ok(()),
        false => Err(malformed("key_ops without verify")),
    }
}

fn check_algorithm(algorithm: Option<Algorithm>, key: &PublicKey) -> Result<(), CoseError> {
    match algorithm {
        Some(algorithm) if !algorithm.fits(key, false) => Err(CoseError::AlgorithmUnfit {
            algorithm,
            key: key.kind(),
        }),
        _ => Ok(()),
    }
}

fn okp(map: &mut Fields<'_>) -> Result<PublicKey, CoseError> {
    match map.take(-1, "crv")?.int("crv")? {
        6 => Ok(PublicKey::Ed25519(map.take(-2, "x")?.fixed("x")?)),
        other => Err(KeyError::Unsupported(format!("OKP curve {other}")).into()),
    }
}

fn ec2(map: &mut Fields<'_>) -> Result<PublicKey, CoseError> {
    let curve = match map.take(-1, "crv")?.int("crv")? {
        1 => Curve::P256,
        2 => Curve::P384,
        3 => Curve::P521,
        other => return Err(KeyError::Unsupported(format!("EC2 curve {other}")).into()),
    };
    // Coordinates keep their leading zeros (RFC 9053 section 7.1.1); a boolean y is a compressed point.
    let mut coordinate = |label, name| -> Result<Vec<u8>, CoseError> {
        let item = map.take(label, name)?;
        match item.bytes(name)? {
            bytes if bytes.len() == curve.size() => Ok(bytes.to_vec()),
            _ => Ok(item.wrong(name, format!("{} bytes", curve.size()))?),
        }
    };
    let (x, y) = (coordinate(-2, "x")?, coordinate(-3, "y")?);
    Ok(PublicKey::Ecc { curve, x, y })
}

fn rsa(map: &mut Fields<'_>) -> Result<PublicKey, CoseError> {
    let (n, e) = (map.take(-1, "n")?, map.take(-2, "e")?);
    let (n, e) = (n.bytes("n")?, e.bytes("e")?);
    if n.len() > RSA_BYTES_MAX || n.first().is_none_or(|first| *first == 0) {
        return Err(malformed(format!("a modulus of {} bytes", n.len())));
    }
    if !(1..=4).contains(&e.len()) || e.first() == Some(&0) {
        return Err(malformed(format!("an exponent of {} bytes", e.len())));
    }
    let exponent = e.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
    Ok(PublicKey::Rsa {
        modulus: n.to_vec(),
        exponent,
    })
}
