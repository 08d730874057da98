//! Certificate revocation lists (RFC 5280 section 5), and what they say about one certificate.
//!
//! A list counts only after [`Crl::verify`] with the issuer's certificate. Whoever appraises supplies the lists,
//! never the node: a list that is wrong is an error to repair, not a fault of the node.
//!
//! Not understood, so refused by name: delta lists, indirect lists, lists of attribute certificates or of some
//! reasons only. Not proven: that a newer list does not exist; `nextUpdate` bounds how old this one may be.

use super::cache::SignatureCache;
use super::certificate::{Certificate, Extension, Validity, X509Error, extensions, scheme, time};
use super::extension::{self, AUTHORITY_KEY, KeyUsage};
use crate::crypto::der::{self, Der, DerError, Element};
use crate::crypto::signature::{Form, Scheme, Sha1, SignatureError};
use assay_protocol::ids::UnixMs;
use core::fmt;
use std::collections::HashSet;

mod scope;

use scope::Scope;

/// Largest list accepted, bytes.
pub const CRL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most revoked certificates accepted in one list.
pub const REVOKED_MAX: usize = 100_000;

const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const REASON: &[u8] = &[0x55, 0x1d, 0x15];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 0x18];
const DELTA: &[u8] = &[0x55, 0x1d, 0x1b];
const ISSUING_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 0x1d];
/// `removeFromCRL` is a reason of delta lists only.
const REASON_REMOVE: &[u8] = &[der::ENUMERATED, 1, 8];

/// A list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Too many bytes.
    #[error("CRL: expected at most {CRL_BYTES_MAX} bytes, got {0}")]
    TooLarge(usize),
    /// Too many entries.
    #[error("CRL: expected at most {REVOKED_MAX} revoked certificates, got more")]
    TooMany,
    /// Not the DER expected.
    #[error("CRL: {0}")]
    Der(#[from] DerError),
    /// An extension twice, or a signature algorithm nobody knows here.
    #[error("CRL: {0}")]
    Part(#[from] X509Error),
    /// A kind of list that would be misread.
    #[error("CRL: expected a complete list of one issuer, got {0}")]
    Unsupported(&'static str),
    /// A critical extension that is not understood.
    #[error("CRL: critical extension {0} is not understood")]
    CriticalExtension(String),
    /// Another issuer.
    #[error("CRL: expected to be issued by {expected}, got {actual}")]
    Issuer {
        /// Whose list was needed.
        expected: String,
        /// Whose list it is.
        actual: String,
    },
    /// The issuer's key is not certified for lists.
    #[error("CRL: key usage of its issuer: expected cRLSign, got {0}")]
    IssuerUsage(String),
    /// The issuer's signature does not hold.
    #[error("CRL: {0}")]
    Signature(#[from] SignatureError),
}

/// A list as parsed: **not authenticated**.
#[derive(Debug, Clone)]
pub struct Crl<'a> {
    tbs: &'a [u8],
    scheme: Scheme,
    signature: &'a [u8],
    issuer: &'a [u8],
    issuer_key_id: Option<&'a [u8]>,
    this_update_s: i64,
    next_update_s: i64,
    scope: Scope<'a>,
    revoked: HashSet<&'a [u8]>,
}

/// What a list, or several, say about one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A current list of its issuer does not name it.
    Good,
    /// A list of its issuer, current or not, names it.
    Revoked,
    /// No list says.
    Unknown(Unknown),
}

/// Why no list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// None of that issuer is there.
    NoList,
    /// The list speaks about other certificates of that issuer.
    OutOfScope,
    /// The list is from later than the time asked about.
    NotYet {
        /// Its `thisUpdate`, Unix seconds.
        this_update_s: i64,
    },
    /// The list should have been replaced by then.
    Stale {
        /// Its `nextUpdate`, Unix seconds.
        next_update_s: i64,
    },
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList => f.write_str("no list of its issuer"),
            Self::OutOfScope => f.write_str("a list of its issuer for other certificates"),
            Self::NotYet { this_update_s } => {
                write!(
                    f,
                    "a list from {this_update_s} (Unix seconds), later than the appraisal"
                )
            }
            Self::Stale { next_update_s } => {
                write!(
                    f,
                    "a stale list: replaced at {next_update_s} (Unix seconds)"
                )
            }
        }
    }
}

impl<'a> Crl<'a> {
    /// Parses one DER list of version 2; refuses trailing bytes and lists without `nextUpdate`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CrlError> {
        if bytes.len() > CRL_BYTES_MAX {
            return Err(CrlError::TooLarge(bytes.len()));
        }
        let mut outer = Der::new(bytes);
        let mut inner = outer.enter("CertificateList", der::SEQUENCE)?;
        outer.finish("CertificateList")?;
        let tbs = inner.take("tbsCertList", der::SEQUENCE)?;
        let algorithm = inner.take("signatureAlgorithm", der::SEQUENCE)?;
        let signature = inner.bits("signatureValue")?;
        inner.finish("CertificateList")?;
        Self::fields(tbs, algorithm, signature)
    }

    fn fields(
        tbs: Element<'a>,
        algorithm: Element<'a>,
        signature: &'a [u8],
    ) -> Result<Self, CrlError> {
        let mut r = Der::new(tbs.content);
        let version = r.u64("version")?;
        if version != 1 {
            return Err(DerError::value("version", "2 (written as 1)", version).into());
        }
        if r.take("signature", der::SEQUENCE)?.bytes != algorithm.bytes {
            return Err(X509Error::AlgorithmMismatch.into());
        }
        let issuer = r.take("issuer", der::SEQUENCE)?.bytes;
        let this_update_s = time(r.any("thisUpdate")?)?;
        let next_update_s = time(r.any("nextUpdate")?)?;
        let revoked = match r.optional("revokedCertificates", der::SEQUENCE)? {
            Some(list) => entries(Der::new(list.content))?,
            None => HashSet::new(),
        };
        let list = match r.optional("crlExtensions", 0xa0)? {
            Some(wrapper) => extensions(Der::new(wrapper.content))?,
            None => Vec::new(),
        };
        r.finish("tbsCertList")?;
        let (issuer_key_id, scope) = list_extensions(&list)?;
        Ok(Self {
            tbs: tbs.bytes,
            scheme: scheme(algorithm)?,
            signature,
            issuer,
            issuer_key_id,
            this_update_s,
            next_update_s,
            scope,
            revoked,
        })
    }

    /// The issuer's name, its whole DER element.
    pub fn issuer(&self) -> &'a [u8] {
        self.issuer
    }

    /// How many certificates it names.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// From its `thisUpdate` to its `nextUpdate`.
    pub fn validity(&self) -> Validity {
        Validity {
            not_before_s: self.this_update_s,
            not_after_s: self.next_update_s,
        }
    }

    /// Whether this list claims to come from `issuer`: same name, and the same key where both say which.
    pub fn is_of(&self, issuer: &Certificate<'_>) -> Result<bool, DerError> {
        let same_key = match (self.issuer_key_id, issuer.subject_key_id()?) {
            (Some(named), Some(actual)) => named == actual,
            _ => true,
        };
        Ok(self.issuer == issuer.subject && same_key)
    }

    /// Authenticates the list: issuer's name, usage of its key, signature over the received bytes.
    ///
    /// `issuer` must itself be trusted: a pinned root, or on a path that was found valid.
    pub fn verify<'c>(
        &'c self,
        issuer: &Certificate<'_>,
        sha1: Sha1,
        cache: &SignatureCache,
    ) -> Result<VerifiedCrl<'c, 'a>, CrlError> {
        if !self.is_of(issuer)? {
            let text = super::name::text;
            return Err(CrlError::Issuer {
                expected: text(issuer.subject),
                actual: text(self.issuer),
            });
        }
        // Absent means every usage (RFC 5280 section 4.2.1.3).
        if let Some(usage) = issuer.key_usage()?
            && !usage.has(KeyUsage::CRL_SIGN)
        {
            return Err(CrlError::IssuerUsage(usage.names()));
        }
        cache.verify(
            (&issuer.key, issuer.spki),
            (self.scheme, Form::Der, sha1),
            self.tbs,
            self.signature,
        )?;
        Ok(VerifiedCrl(self))
    }
}

/// A list that its issuer signed.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedCrl<'c, 'a>(&'c Crl<'a>);

impl VerifiedCrl<'_, '_> {
    /// What it says at time `at` about a certificate **of the same issuer** (same name and key, which the caller
    /// verified). A certificate that is named is revoked however old or new the list is.
    pub fn status(&self, certificate: &Certificate<'_>, at: UnixMs) -> Result<Status, DerError> {
        let list = self.0;
        if certificate.issuer != list.issuer {
            return Ok(Status::Unknown(Unknown::NoList));
        }
        if list.revoked.contains(magnitude(certificate.serial)) {
            return Ok(Status::Revoked);
        }
        if !list.scope.covers(certificate)? {
            return Ok(Status::Unknown(Unknown::OutOfScope));
        }
        let (this_update_s, next_update_s) = (list.this_update_s, list.next_update_s);
        let at_s = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
        if at_s < this_update_s {
            return Ok(Status::Unknown(Unknown::NotYet { this_update_s }));
        }
        if at_s > next_update_s {
            return Ok(Status::Unknown(Unknown::Stale { next_update_s }));
        }
        Ok(Status::Good)
    }
}

/// A certificate is not acceptable for what lists say, or do not say, about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// Its issuer revoked it.
    #[error("expected not revoked, got serial number {serial} on its issuer's list")]
    Revoked {
        /// Serial number, hexadecimal.
        serial: String,
    },
    /// The policy wants an answer and there is none.
    #[error("expected a current list of its issuer, got {0}")]
    Unknown(Unknown),
    /// A list of its issuer cannot be used.
    #[error(transparent)]
    Crl(#[from] CrlError),
}

/// The lists to ask, and whether each certificate needs an answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Revocation<'p, 'a> {
    lists: &'p [Crl<'a>],
    required: bool,
}

impl<'p, 'a> Revocation<'p, 'a> {
    /// Asks `lists`; a certificate no list speaks about is accepted.
    pub fn listed(lists: &'p [Crl<'a>]) -> Self {
        let required = false;
        Self { lists, required }
    }

    /// Asks `lists`; a certificate without a current answer is refused.
    pub fn required(lists: &'p [Crl<'a>]) -> Self {
        let required = true;
        Self { lists, required }
    }

    /// Refuses a revoked certificate, and one of unknown status where an answer is required.
    ///
    /// `issuer`'s key must have verified the certificate's signature. A list of that issuer that does not verify
    /// is an error even when no answer is required: it was given to be asked.
    pub fn check(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        at: UnixMs,
        sha1: Sha1,
        cache: &SignatureCache,
    ) -> Result<(), RevocationError> {
        let mut unknown = Some(Unknown::NoList);
        for list in self.lists {
            if !list.is_of(issuer).map_err(CrlError::from)? {
                continue;
            }
            let verified = list.verify(issuer, sha1, cache)?;
            match verified.status(certificate, at).map_err(CrlError::from)? {
                Status::Good => unknown = None,
                Status::Unknown(why) => unknown = unknown.map(|_| why),
                Status::Revoked => {
                    let serial = hex::encode(certificate.serial);
                    return Err(RevocationError::Revoked { serial });
                }
            }
        }
        match unknown {
            Some(why) if self.required => Err(RevocationError::Unknown(why)),
            _ => Ok(()),
        }
    }
}

/// Serial numbers compare without leading zeros, so that two encodings of one are one.
fn magnitude(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

fn entries(mut list: Der<'_>) -> Result<HashSet<&[u8]>, CrlError> {
    let mut revoked = HashSet::new();
    let mut count = 0usize;
    while !list.is_empty() {
        if count == REVOKED_MAX {
            return Err(CrlError::TooMany);
        }
        count = count.saturating_add(1);
        let mut r = list.enter("revoked certificate", der::SEQUENCE)?;
        let serial = r.take("userCertificate", der::INTEGER)?.content;
        time(r.any("revocationDate")?)?;
        if let Some(element) = r.optional("crlEntryExtensions", der::SEQUENCE)? {
            entry_extensions(&extensions(Der::new(element.bytes))?)?;
        }
        r.finish("revoked certificate")?;
        revoked.insert(magnitude(serial));
    }
    Ok(revoked)
}

/// Reason and invalidity date change nothing: a certificate on hold is refused too.
fn entry_extensions(list: &[Extension<'_>]) -> Result<(), CrlError> {
    for extension in list {
        match extension.oid {
            CERTIFICATE_ISSUER => return Err(CrlError::Unsupported("an indirect list")),
            REASON if extension.value == REASON_REMOVE => {
                return Err(CrlError::Unsupported("an entry of a delta list"));
            }
            REASON | INVALIDITY_DATE => {}
            _ if extension.critical => return Err(critical(extension)),
            _ => {}
        }
    }
    Ok(())
}

fn critical(extension: &Extension<'_>) -> CrlError {
    CrlError::CriticalExtension(der::dotted(extension.oid))
}

fn list_extensions<'a>(list: &[Extension<'a>]) -> Result<(Option<&'a [u8]>, Scope<'a>), CrlError> {
    let (mut key_id, mut scope) = (None, Scope::default());
    for extension in list {
        match extension.oid {
            AUTHORITY_KEY => key_id = extension::authority_key_id(extension.value)?,
            ISSUING_POINT => scope = Scope::parse(extension.value)?,
            DELTA => return Err(CrlError::Unsupported("a delta list")),
            CRL_NUMBER => {}
            _ if extension.critical => return Err(critical(extension)),
            _ => {}
        }
    }
    Ok((key_id, scope))
}

#[cfg(test)]
mod tests;
