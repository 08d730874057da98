//! One certificate: parsed with bounds, its signed bytes kept as received.

use super::cache::SignatureCache;
use crate::crypto::der::{self, Der, DerError, Element};
use crate::crypto::key::{KeyError, PublicKey};
use crate::crypto::signature::{Form, Scheme, Sha1, SignatureError};
use crate::tpm::algorithm::HashAlg;
use assay_protocol::hash::sha256;
use assay_protocol::ids::{Digest, UnixMs};

/// Largest certificate accepted, bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
const EXTENSIONS_MAX: usize = 32;
const SERIAL_BYTES_MAX: usize = 32;

/// A certificate is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum X509Error {
    /// Too many bytes.
    #[error("certificate: expected at most {max} bytes, got {actual}")]
    TooLarge {
        /// The cap.
        max: usize,
        /// What was received.
        actual: usize,
    },
    /// Not the DER expected.
    #[error("certificate: {0}")]
    Der(#[from] DerError),
    /// Its key is none this verifier knows.
    #[error("certificate: {0}")]
    Key(#[from] KeyError),
    /// A signature algorithm this verifier does not know.
    #[error(
        "certificate: signature algorithm: expected RSA, RSA-PSS, ECDSA or Ed25519 with SHA-2, got {0}"
    )]
    Algorithm(String),
    /// The inner and the outer algorithm differ.
    #[error("certificate: signatureAlgorithm differs from the one that is signed")]
    AlgorithmMismatch,
    /// One extension twice.
    #[error("certificate: extension {0} is there twice")]
    ExtensionTwice(String),
    /// The issuer's signature does not hold.
    #[error("certificate: {0}")]
    Signature(#[from] SignatureError),
}

/// One extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Content of the object identifier.
    pub oid: &'a [u8],
    /// Whether whoever does not understand it must refuse.
    pub critical: bool,
    /// Content of the OCTET STRING.
    pub value: &'a [u8],
}

/// First and last second of validity, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Valid from this second on.
    pub not_before_s: i64,
    /// Valid to the end of this second.
    pub not_after_s: i64,
}

impl Validity {
    /// Whether `at` is inside.
    pub fn contains(self, at: UnixMs) -> bool {
        let at_s = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
        (self.not_before_s..=self.not_after_s).contains(&at_s)
    }
}

/// A certificate as parsed: **not authenticated** until an issuer's key is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The whole certificate as received.
    pub bytes: &'a [u8],
    /// The signed part as received.
    pub tbs: &'a [u8],
    /// Serial number, content of the INTEGER as received. AMD's are 0.
    pub serial: &'a [u8],
    /// Issuer name, its whole DER element; compared byte for byte.
    pub issuer: &'a [u8],
    /// Subject name, its whole DER element.
    pub subject: &'a [u8],
    /// When it is valid.
    pub validity: Validity,
    /// The `SubjectPublicKeyInfo` as received.
    pub spki: &'a [u8],
    /// The key in it.
    pub key: PublicKey,
    /// All extensions, in order, none twice.
    pub extensions: Vec<Extension<'a>>,
    /// How it is signed.
    pub scheme: Scheme,
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Parses one DER certificate; refuses trailing bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, X509Error> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(X509Error::TooLarge {
                max: CERTIFICATE_BYTES_MAX,
                actual: bytes.len(),
            });
        }
        let mut outer = Der::new(bytes);
        let mut inner = outer.enter("Certificate", der::SEQUENCE)?;
        outer.finish("Certificate")?;
        let tbs = inner.take("tbsCertificate", der::SEQUENCE)?;
        let algorithm = inner.take("signatureAlgorithm", der::SEQUENCE)?;
        let signature = inner.bits("signatureValue")?;
        inner.finish("Certificate")?;
        let fields = Fields::parse(tbs, algorithm)?;
        Ok(Self {
            bytes,
            tbs: tbs.bytes,
            serial: fields.serial,
            issuer: fields.issuer,
            subject: fields.subject,
            validity: fields.validity,
            spki: fields.spki,
            key: PublicKey::from_spki(fields.spki)?,
            extensions: fields.extensions,
            scheme: scheme(algorithm)?,
            signature,
        })
    }

    /// The value of the extension with this object identifier.
    pub fn extension(&self, oid: &[u8]) -> Option<&Extension<'a>> {
        self.extensions.iter().find(|e| e.oid == oid)
    }

    /// SHA-256 of the whole certificate.
    pub fn digest(&self) -> Digest {
        Digest(sha256(&[self.bytes]))
    }

    /// Whether subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Verifies the signature by the issuer's key, once per certificate and key when a cache is given.
    pub fn verify_signature(
        &self,
        issuer: &PublicKey,
        issuer_spki: &[u8],
        sha1: Sha1,
        cache: &SignatureCache,
    ) -> Result<(), X509Error> {
        cache.verify(
            (issuer, issuer_spki),
            (self.scheme, Form::Der, sha1),
            self.tbs,
            self.signature,
        )?;
        Ok(())
    }
}

struct Fields<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    validity: Validity,
    spki: &'a [u8],
    extensions: Vec<Extension<'a>>,
}

impl<'a> Fields<'a> {
    fn parse(tbs: Element<'a>, outer_algorithm: Element<'a>) -> Result<Self, X509Error> {
        let mut r = Der::new(tbs.content);
        version(&mut r)?;
        let serial = r.take("serialNumber", der::INTEGER)?.content;
        if serial.is_empty() || serial.len() > SERIAL_BYTES_MAX {
            let length = DerError::value("serialNumber", "1 to 32 bytes", serial.len());
            return Err(length.into());
        }
        let algorithm = r.take("signature", der::SEQUENCE)?;
        if algorithm.bytes != outer_algorithm.bytes {
            return Err(X509Error::AlgorithmMismatch);
        }
        let issuer = r.take("issuer", der::SEQUENCE)?.bytes;
        let validity = validity(r.enter("validity", der::SEQUENCE)?)?;
        let subject = r.take("subject", der::SEQUENCE)?.bytes;
        let spki = r.take("subjectPublicKeyInfo", der::SEQUENCE)?.bytes;
        // issuerUniqueID and subjectUniqueID: obsolete, and unknown to every profile read here.
        let extensions = match r.optional("extensions", 0xa3)? {
            Some(wrapper) => extensions(Der::new(wrapper.content))?,
            None => Vec::new(),
        };
        r.finish("tbsCertificate")?;
        Ok(Self {
            serial,
            issuer,
            subject,
            validity,
            spki,
            extensions,
        })
    }
}

/// Version 3 only: everything that counts is in extensions.
fn version(r: &mut Der<'_>) -> Result<(), DerError> {
    let mut wrapper = r.enter("version", 0xa0)?;
    let version = wrapper.u64("version")?;
    wrapper.finish("version")?;
    match version {
        2 => Ok(()),
        other => Err(DerError::value("version", "3 (written as 2)", other)),
    }
}

fn validity(mut r: Der<'_>) -> Result<Validity, DerError> {
    let not_before_s = time(r.any("notBefore")?)?;
    let not_after_s = time(r.any("notAfter")?)?;
    r.finish("validity")?;
    Ok(Validity {
        not_before_s,
        not_after_s,
    })
}

/// The list inside the explicit tag, or inside a CRL's.
pub(super) fn extensions(mut wrapper: Der<'_>) -> Result<Vec<Extension<'_>>, X509Error> {
    let mut list = wrapper.enter("extensions", der::SEQUENCE)?;
    wrapper.finish("extensions")?;
    let mut found: Vec<Extension<'_>> = Vec::new();
    while !list.is_empty() {
        let mut r = list.enter("extension", der::SEQUENCE)?;
        let oid = r.oid("extnID")?;
        let critical = match r.peek() {
            Some(der::BOOLEAN) => r.boolean("critical")?,
            _ => false,
        };
        let value = r.take("extnValue", der::OCTET_STRING)?.content;
        r.finish("extension")?;
        if found.iter().any(|other| other.oid == oid) {
            return Err(X509Error::ExtensionTwice(der::dotted(oid)));
        }
        if found.len() == EXTENSIONS_MAX {
            return Err(DerError::value("extensions", "at most 32", "more").into());
        }
        found.push(Extension {
            oid,
            critical,
            value,
        });
    }
    Ok(found)
}

/// `UTCTime` or `GeneralizedTime` in the forms RFC 5280 section 4.1.2.5 allows, as Unix seconds.
pub(super) fn time(element: Element<'_>) -> Result<i64, DerError> {
    let text = element.content;
    let bad = || DerError::value("time", "a UTC time", String::from_utf8_lossy(text));
    let (year, rest) = match (element.tag, text.len()) {
        (der::UTC_TIME, 13) => {
            let (year, rest) = number(text, 2).ok_or_else(bad)?;
            let century = if year >= 50 { 1900 } else { 2000 };
            (year.saturating_add(century), rest)
        }
        (der::GENERALIZED_TIME, 15) => number(text, 4).ok_or_else(bad)?,
        _ => return Err(bad()),
    };
    civil(year, rest).ok_or_else(bad)
}

fn civil(year: i64, rest: &[u8]) -> Option<i64> {
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = number(rest, 2)?;
    let fits = rest == b"Z"
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    fits.then(|| {
        let hours = days(year, month, day)
            .saturating_mul(24)
            .saturating_add(hour);
        let minutes = hours.saturating_mul(60).saturating_add(minute);
        minutes.saturating_mul(60).saturating_add(second)
    })
}

fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_at_checked(digits)?;
    let value = head.iter().try_fold(0i64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte & 0x0f))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    Some((value, rest))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // March-based years put the leap day last.
    let (y, m) = if month <= 2 {
        (year.saturating_sub(1), month.saturating_add(9))
    } else {
        (year, month.saturating_sub(3))
    };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = m.saturating_mul(153).saturating_add(2) / 5;
    let leap_days = (of_era / 4).saturating_sub(of_era / 100);
    let in_era = of_era.saturating_mul(365).saturating_add(leap_days);
    era.saturating_mul(146_097)
        .saturating_add(in_era)
        .saturating_add(of_year)
        .saturating_add(day)
        .saturating_sub(719_469)
}

const RSA_ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const ECDSA_ARC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const SHA2_ARC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];

/// The scheme an `AlgorithmIdentifier` names.
pub(super) fn scheme(algorithm: Element<'_>) -> Result<Scheme, X509Error> {
    let mut r = Der::new(algorithm.content);
    let oid = r.oid("algorithm")?;
    let unknown = || X509Error::Algorithm(der::dotted(oid));
    if let Some([last]) = oid.strip_prefix(RSA_ARC) {
        let hash = match last {
            5 => HashAlg::Sha1,
            10 => return pss(r),
            11 => HashAlg::Sha256,
            12 => HashAlg::Sha384,
            13 => HashAlg::Sha512,
            _ => return Err(unknown()),
        };
        null_or_nothing(r)?;
        return Ok(Scheme::RsaPkcs1(hash));
    }
    let scheme = match oid.strip_prefix(ECDSA_ARC) {
        Some([2]) => Scheme::Ecdsa(HashAlg::Sha256),
        Some([3]) => Scheme::Ecdsa(HashAlg::Sha384),
        Some([4]) => Scheme::Ecdsa(HashAlg::Sha512),
        _ if oid == ECDSA_SHA1 => Scheme::Ecdsa(HashAlg::Sha1),
        _ if oid == ED25519 => Scheme::Ed25519,
        _ => return Err(unknown()),
    };
    null_or_nothing(r)?;
    Ok(scheme)
}

fn null_or_nothing(mut r: Der<'_>) -> Result<(), DerError> {
    r.optional("parameters", der::NULL)?;
    r.finish("parameters")
}

/// RSASSA-PSS-params (RFC 4055 section 3.1): one hash for digest and MGF1, salt as long as it.
fn pss(mut r: Der<'_>) -> Result<Scheme, X509Error> {
    let mut params = r.enter("RSASSA-PSS-params", der::SEQUENCE)?;
    r.finish("algorithm")?;
    let hash = hash_of(params.enter("hashAlgorithm", 0xa0)?)?;
    let mut wrapper = params.enter("maskGenAlgorithm", 0xa1)?;
    let mut mgf = wrapper.enter("maskGenAlgorithm", der::SEQUENCE)?;
    let (generator, of) = (mgf.oid("maskGenAlgorithm")?, hash_of(mgf)?);
    wrapper.finish("maskGenAlgorithm")?;
    let mut salt = params.enter("saltLength", 0xa2)?;
    let salt_bytes = salt.u64("saltLength")?;
    if params.peek() == Some(0xa3) {
        let mut trailer = params.enter("trailerField", 0xa3)?;
        if trailer.u64("trailerField")? != 1 {
            return Err(DerError::value("trailerField", "1", "another").into());
        }
    }
    params.finish("RSASSA-PSS-params")?;
    let fits = generator == MGF1 && of == hash && usize::try_from(salt_bytes) == Ok(hash.size());
    if !fits {
        let expected = "MGF1 and salt of the digest's hash";
        return Err(DerError::value("RSASSA-PSS-params", expected, "others").into());
    }
    Ok(Scheme::RsaPss(hash))
}

fn hash_of(mut wrapper: Der<'_>) -> Result<HashAlg, X509Error> {
    let mut r = wrapper.enter("hashAlgorithm", der::SEQUENCE)?;
    wrapper.finish("hashAlgorithm")?;
    let oid = r.oid("hashAlgorithm")?;
    null_or_nothing(r)?;
    match oid.strip_prefix(SHA2_ARC) {
        Some([1]) => Ok(HashAlg::Sha256),
        Some([2]) => Ok(HashAlg::Sha384),
        Some([3]) => Ok(HashAlg::Sha512),
        _ if oid == SHA1 => Ok(HashAlg::Sha1),
        _ => Err(X509Error::Algorithm(der::dotted(oid))),
    }
}

#[cfg(test)]
mod parsing;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tag: u8, text: &str) -> Result<i64, DerError> {
        let content = text.as_bytes();
        time(Element {
            tag,
            content,
            bytes: content,
        })
    }

    #[test]
    fn times_are_unix_seconds() {
        assert_eq!(at(der::UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(at(der::UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(
            at(der::GENERALIZED_TIME, "20000229120000Z"),
            Ok(951_825_600)
        );
        assert_eq!(
            at(der::GENERALIZED_TIME, "99991231235959Z"),
            Ok(253_402_300_799)
        );
        assert_eq!(at(der::UTC_TIME, "500101000000Z"), Ok(-631_152_000));
        assert_eq!(at(der::UTC_TIME, "040229000000Z"), Ok(1_078_012_800));
        assert_eq!(at(der::UTC_TIME, "000131000000Z"), Ok(949_276_800));
    }

    #[test]
    fn hashes_are_told_by_their_whole_identifier() {
        let of = |oid: &[u8]| {
            let size = u8::try_from(oid.len()).unwrap();
            let algorithm = [&[0x30, size + 2, 6, size], oid].concat();
            hash_of(Der::new(&algorithm))
        };
        let sha2 = |last: &[u8]| of(&[SHA2_ARC, last].concat());
        assert_eq!(sha2(&[1]), Ok(HashAlg::Sha256));
        assert_eq!(sha2(&[2]), Ok(HashAlg::Sha384));
        assert_eq!(sha2(&[3]), Ok(HashAlg::Sha512));
        assert_eq!(of(SHA1), Ok(HashAlg::Sha1));
        for last in [&[0][..], &[4], &[1, 1], &[]] {
            assert!(matches!(sha2(last), Err(X509Error::Algorithm(_))));
        }
    }

    #[test]
    fn the_largest_size_is_still_parsed() {
        let refused = |size: usize| Certificate::parse(&vec![0; size]).unwrap_err();
        let too_large = |error: &X509Error| matches!(error, X509Error::TooLarge { .. });
        assert!(!too_large(&refused(CERTIFICATE_BYTES_MAX)));
        assert!(too_large(&refused(CERTIFICATE_BYTES_MAX + 1)));
    }

    #[test]
    fn times_that_do_not_exist_or_are_not_utc_are_refused() {
        for text in [
            "010229000000Z",
            "000230000000Z",
            "001301000000Z",
            "000100000000Z",
            "000101240000Z",
            "000101006000Z",
            "000101000060Z",
            "0001010000Z",
            "000101000000+",
            "0001010000 0Z",
            "000431000000Z",
            "000631000000Z",
            "000931000000Z",
            "001131000000Z",
        ] {
            assert!(at(der::UTC_TIME, text).is_err(), "{text}");
        }
        for year in ["1900", "2100"] {
            let text = format!("{year}0229000000Z");
            assert!(at(der::GENERALIZED_TIME, &text).is_err(), "{text}");
        }
        assert!(at(der::GENERALIZED_TIME, "700101000000Z").is_err());
        assert!(at(der::INTEGER, "700101000000Z").is_err());
    }
}
