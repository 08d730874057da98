//! `TPMT_PUBLIC` and `TPM2B_PUBLIC` of RSA and ECC keys (TPM 2.0 part 2, section 12.2).

use super::algorithm::{ALG_AES, ALG_CFB, ALG_ECC, ALG_NULL, ALG_RSA, Curve, HashAlg};
use super::reader::{FormatError, Reader};
use super::signature::padded;
use crate::crypto::key::PublicKey;
use assay_protocol::hash::sha256;
use assay_protocol::ids::AkName;

/// Largest `TPMT_PUBLIC` accepted, bytes.
pub const PUBLIC_BYTES_MAX: usize = 1024;
const POLICY_BYTES_MAX: usize = 64;
const RSA_BYTES_MAX: usize = 512;
/// The exponent a TPM writes as 0.
const RSA_EXPONENT_DEFAULT: u32 = 65_537;

/// `TPMA_OBJECT`: what a key may do and where it came from (part 2, section 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(pub u32);

impl Attributes {
    /// The key cannot leave its TPM.
    pub const FIXED_TPM: u32 = 1 << 1;
    /// The key cannot move to another parent.
    pub const FIXED_PARENT: u32 = 1 << 4;
    /// The TPM made the private part itself.
    pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    /// The key signs (or decrypts) only structures the TPM made.
    pub const RESTRICTED: u32 = 1 << 16;
    /// The key decrypts.
    pub const DECRYPT: u32 = 1 << 17;
    /// The key signs.
    pub const SIGN: u32 = 1 << 18;

    /// Whether every bit of `bits` is set.
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }
}

/// A scheme with its hash, ids as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// `TPM_ALG_ID` of the scheme.
    pub alg: u16,
    /// Its hash.
    pub hash: HashAlg,
}

/// A key's public area as parsed, with the bytes it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// Hash of the key's name.
    pub name_alg: HashAlg,
    /// What the key may do.
    pub attributes: Attributes,
    /// Digest of the authorisation policy; empty when there is none.
    pub auth_policy: Vec<u8>,
    /// Whether a symmetric algorithm is set (storage keys only).
    pub symmetric: bool,
    /// The key's own scheme, `None` when the caller may choose.
    pub scheme: Option<Scheme>,
    /// The key.
    pub key: PublicKey,
    bytes: Vec<u8>,
}

impl Public {
    /// The `TPMT_PUBLIC` bytes as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The object's name under whatever name algorithm it has: `nameAlg` ‖ digest of `TPMT_PUBLIC`.
    pub fn object_name(&self) -> Vec<u8> {
        let digest = self.name_alg.digest(&[&self.bytes]);
        [&self.name_alg.id().to_be_bytes()[..], &digest].concat()
    }

    /// The object's name: `000B` ‖ SHA-256(TPMT_PUBLIC) (TPM 2.0 part 1, section 16).
    /// `None` when the name algorithm is not SHA-256.
    pub fn name(&self) -> Option<AkName> {
        if self.name_alg != HashAlg::Sha256 {
            return None;
        }
        let mut name = [0u8; AkName::LEN];
        let (alg, digest) = name.split_first_chunk_mut::<2>()?;
        *alg = self.name_alg.id().to_be_bytes();
        digest.copy_from_slice(&sha256(&[&self.bytes]));
        Some(AkName(name))
    }
}

/// Parses a `TPM2B_PUBLIC`: a size of two bytes, then a `TPMT_PUBLIC`; refuses trailing bytes.
pub fn parse_sized(bytes: &[u8]) -> Result<Public, FormatError> {
    let max = PUBLIC_BYTES_MAX.saturating_add(2);
    let mut r = Reader::new("TPM2B_PUBLIC", bytes, max)?;
    let public = parse(r.sized("size", PUBLIC_BYTES_MAX)?)?;
    r.finish()?;
    Ok(public)
}

/// Parses a `TPMT_PUBLIC` of an RSA or ECC key; refuses trailing bytes.
pub fn parse(bytes: &[u8]) -> Result<Public, FormatError> {
    let mut r = Reader::new("TPMT_PUBLIC", bytes, PUBLIC_BYTES_MAX)?;
    let kind = r.u16("type")?;
    if kind != ALG_RSA && kind != ALG_ECC {
        return Err(r.unexpected("type", "RSA or ECC", kind));
    }
    let name_alg = HashAlg::read(&mut r, "nameAlg")?;
    let attributes = Attributes(r.u32("objectAttributes")?);
    let auth_policy = r.sized("authPolicy", POLICY_BYTES_MAX)?.to_vec();
    let symmetric = symmetric(&mut r)?;
    let scheme = scheme(&mut r, "scheme")?;
    let key = if kind == ALG_RSA {
        rsa(&mut r)?
    } else {
        ecc(&mut r)?
    };
    r.finish()?;
    let bytes = bytes.to_vec();
    Ok(Public {
        name_alg,
        attributes,
        auth_policy,
        symmetric,
        scheme,
        key,
        bytes,
    })
}

fn symmetric(r: &mut Reader<'_>) -> Result<bool, FormatError> {
    match r.u16("symmetric")? {
        ALG_NULL => Ok(false),
        ALG_AES => {
            let bits = r.u16("symmetric key bits")?;
            if !matches!(bits, 128 | 192 | 256) {
                return Err(r.unexpected("symmetric key bits", "128, 192 or 256", bits));
            }
            match r.u16("symmetric mode")? {
                ALG_CFB => Ok(true),
                other => Err(r.unexpected("symmetric mode", "CFB", other)),
            }
        }
        other => Err(r.unexpected("symmetric", "AES or NULL", other)),
    }
}

fn scheme(r: &mut Reader<'_>, field: &'static str) -> Result<Option<Scheme>, FormatError> {
    match r.u16(field)? {
        ALG_NULL => Ok(None),
        alg @ (0x0014 | 0x0016 | 0x0018) => Ok(Some(Scheme {
            alg,
            hash: HashAlg::read(r, "scheme hash")?,
        })),
        other => Err(r.unexpected(field, "RSASSA, RSAPSS, ECDSA or NULL", other)),
    }
}

fn rsa(r: &mut Reader<'_>) -> Result<PublicKey, FormatError> {
    let bits = r.u16("keyBits")?;
    let exponent = match r.u32("exponent")? {
        0 => RSA_EXPONENT_DEFAULT,
        other => other,
    };
    let modulus = r.sized("unique", RSA_BYTES_MAX)?;
    // Compared exactly: a modulus with leading zeros would give one key two encodings.
    if modulus.len().checked_mul(8) != Some(usize::from(bits))
        || modulus.first().is_none_or(|b| *b < 0x80)
    {
        return Err(r.unexpected("keyBits", "the exact size of the modulus", bits));
    }
    Ok(PublicKey::Rsa {
        modulus: modulus.to_vec(),
        exponent,
    })
}

fn ecc(r: &mut Reader<'_>) -> Result<PublicKey, FormatError> {
    let curve = Curve::read(r)?;
    let kdf = r.u16("kdf")?;
    if kdf != ALG_NULL {
        return Err(r.unexpected("kdf", "NULL", kdf));
    }
    let x = coordinate(r, "x", curve)?;
    let y = coordinate(r, "y", curve)?;
    Ok(PublicKey::Ecc { curve, x, y })
}

fn coordinate(
    r: &mut Reader<'_>,
    field: &'static str,
    curve: Curve,
) -> Result<Vec<u8>, FormatError> {
    let bytes = r.sized(field, curve.size())?;
    padded(bytes, curve.size()).ok_or_else(|| r.unexpected(field, "a coordinate of the curve", 0u8))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const AK_ATTRIBUTES: u32 = 0x0005_0072;

    /// `TPMT_PUBLIC` of a P-256 ECDSA key.
    pub(crate) fn ecc_public(attributes: u32, key: &PublicKey) -> Vec<u8> {
        let PublicKey::Ecc { x, y, .. } = key else {
            panic!("not ECC")
        };
        let mut out = vec![0, 0x23, 0, 0x0b];
        out.extend(attributes.to_be_bytes());
        out.extend([0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, 0, 32]);
        out.extend(x);
        out.extend([0, 32]);
        out.extend(y);
        out
    }

    pub(crate) fn some_point() -> PublicKey {
        PublicKey::Ecc {
            curve: Curve::P256,
            x: vec![5; 32],
            y: vec![6; 32],
        }
    }

    /// `TPMT_PUBLIC` of an RSA-2048 RSASSA key.
    pub(crate) fn rsa_public(attributes: u32) -> Vec<u8> {
        let mut out = vec![0, 1, 0, 0x0b];
        out.extend(attributes.to_be_bytes());
        out.extend([0, 0, 0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0, 1, 0]);
        out.extend([0xc5; 256]);
        out
    }

    #[test]
    fn a_modulus_has_its_highest_bit_set() {
        let mut bytes = rsa_public(AK_ATTRIBUTES);
        let first = bytes.len() - 256;
        bytes[first] = 0x80;
        assert!(parse(&bytes).is_ok());
        bytes[first] = 0x7f;
        assert!(parse(&bytes).is_err());
    }

    #[test]
    fn ecc_and_rsa_keys_parse_and_keep_their_bytes() {
        let bytes = ecc_public(AK_ATTRIBUTES, &some_point());
        let public = parse(&bytes).unwrap();
        assert_eq!(public.key, some_point());
        assert_eq!(
            public.scheme,
            Some(Scheme {
                alg: 0x18,
                hash: HashAlg::Sha256
            })
        );
        assert!(!public.symmetric && public.bytes() == bytes);
        let rsa = parse(&rsa_public(AK_ATTRIBUTES)).unwrap();
        assert_eq!(
            rsa.key,
            PublicKey::Rsa {
                modulus: vec![0xc5; 256],
                exponent: 65_537
            }
        );
    }

    #[test]
    fn the_name_is_the_algorithm_and_the_digest_of_the_area() {
        let bytes = ecc_public(AK_ATTRIBUTES, &some_point());
        let name = parse(&bytes).unwrap().name().unwrap();
        assert_eq!(name.0[..2], [0, 0x0b]);
        assert_eq!(name.0[2..], sha256(&[&bytes]));
        assert_eq!(parse(&bytes).unwrap().object_name(), name.0);
        let mut sha384 = bytes;
        sha384[3] = 0x0c;
        let public = parse(&sha384).unwrap();
        assert_eq!(public.name(), None);
        assert_eq!(public.object_name()[..2], [0, 0x0c]);
        assert_eq!(public.object_name().len(), 50);
    }

    #[test]
    fn the_sized_form_must_match_its_size() {
        let inner = rsa_public(AK_ATTRIBUTES);
        let mut outer = (inner.len() as u16).to_be_bytes().to_vec();
        outer.extend(&inner);
        assert_eq!(parse_sized(&outer).unwrap(), parse(&inner).unwrap());
        outer.push(0);
        assert!(parse_sized(&outer).is_err());
    }

    #[test]
    fn strange_types_schemes_and_sizes_are_refused_by_name() {
        let ecc = ecc_public(AK_ATTRIBUTES, &some_point());
        let changed = |bytes: &[u8], at: usize, value: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = value;
            parse(&bytes).unwrap_err().to_string()
        };
        assert!(changed(&ecc, 1, 0x08).contains("type: expected RSA or ECC"));
        assert!(changed(&ecc, 3, 0x12).contains("nameAlg"));
        assert!(changed(&ecc, 11, 0x25).contains("symmetric"));
        let mut storage = ecc.clone();
        storage.splice(10..12, [0, 6, 0, 128, 0, 0x43]);
        assert!(parse(&storage).unwrap().symmetric);
        assert!(changed(&storage, 13, 129).contains("symmetric key bits"));
        assert!(changed(&storage, 15, 0x42).contains("symmetric mode"));
        assert!(changed(&ecc, 13, 0x1a).contains("scheme"));
        assert!(changed(&ecc, 17, 0x05).contains("curve"));
        assert!(changed(&ecc, 19, 0x20).contains("kdf"));
        let rsa = rsa_public(AK_ATTRIBUTES);
        assert!(changed(&rsa, 16, 0x0c).contains("keyBits"));
        assert!(changed(&rsa, 24, 0x00).contains("keyBits"));
    }

    proptest! {
        #[test]
        fn no_byte_is_ignored(at in 0usize..4096, flip in 1u8..=255, ecc: bool) {
            let good = if ecc { ecc_public(AK_ATTRIBUTES, &some_point()) } else { rsa_public(AK_ATTRIBUTES) };
            let at = at % good.len();
            let mut bad = good.clone();
            bad[at] ^= flip;
            let name = parse(&good).unwrap().name();
            prop_assert_ne!(parse(&bad).ok().and_then(|p| p.name()), name);
            prop_assert!(parse(&good[..at]).is_err());
        }
    }
}
