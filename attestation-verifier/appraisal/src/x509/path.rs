//! Paths from a certificate up to a pinned root (RFC 5280 section 6, as far as the profiles read here need it,
//! and stricter where it leaves a choice).
//!
//! - An issuer is found by its name, byte for byte, and counts when its key verifies the signature over the bytes
//!   received. Identifiers of keys only order the candidates.
//! - A root is pinned by its bytes: its signature and its dates are not looked at, because whoever pinned it
//!   decided. Every other certificate must be valid at the time given.
//! - Every issuer, the root included, must be a CA, within its path length (self-issued certificates count), with
//!   keyCertSign where keyUsage is there, and with the purpose asked for where extKeyUsage is there.
//! - Understood critical extensions: keyUsage, basicConstraints, extKeyUsage, subjectAltName (its reader decides),
//!   certificatePolicies (any policy will do). Name constraints are refused, critical or not; every other critical
//!   extension is refused by name.
//! - One key, or one certificate, twice in a path is refused. Depth and work are bounded.
//!
//! Not proven: that a root deserves trust, and that a certificate was not revoked, unless lists are given.

use super::cache::SignatureCache;
use super::certificate::Certificate;
use super::crl::Revocation;
use super::extension::{
    BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, KEY_USAGE, KeyUsage, NAME_CONSTRAINTS, POLICIES,
    SUBJECT_ALT_NAME,
};
use super::name::text;
use super::store::Store;
use crate::crypto::der::{self, DerError};
use crate::crypto::key::PublicKey;
use crate::crypto::signature::{Scheme, Sha1};
use crate::tpm::algorithm::HashAlg;
use assay_protocol::ids::UnixMs;

mod error;

pub use error::PathError;

/// Most certificates in a path, leaf and root included.
pub const DEPTH_MAX: usize = 6;
/// Most signatures verified in the search for one path.
pub const SIGNATURES_MAX: usize = 64;

const UNDERSTOOD: [&[u8]; 5] = [
    KEY_USAGE,
    BASIC_CONSTRAINTS,
    EXTENDED_KEY_USAGE,
    SUBJECT_ALT_NAME,
    POLICIES,
];
const EMPTY_NAME: &[u8] = &[0x30, 0];
/// anyExtendedKeyUsage: in a CA it restricts nothing.
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0];

/// What a path must satisfy.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'p, 'c> {
    /// The time certificates must be valid at.
    pub at: UnixMs,
    /// The purpose every CA that names purposes must name (content of the object identifier). The leaf's own
    /// purposes are for the caller to judge.
    pub purpose: Option<&'p [u8]>,
    /// Whether SHA-1 is accepted under signatures: a named exception for old intermediates.
    pub sha1: Sha1,
    /// The revocation lists, and whether each certificate below the root needs an answer.
    pub revocation: Revocation<'p, 'c>,
}

impl Rules<'_, '_> {
    /// Valid at `at`, no SHA-1, no purpose asked for, no lists.
    pub fn at(at: UnixMs) -> Self {
        Self {
            at,
            purpose: None,
            sha1: Sha1::Refused,
            revocation: Revocation::default(),
        }
    }
}

/// A valid path; made by [`find`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'a> {
    leaf: Certificate<'a>,
    middles: Vec<Certificate<'a>>,
    root: Certificate<'a>,
}

impl<'a> Path<'a> {
    /// The certificate that was asked about.
    pub fn leaf(&self) -> &Certificate<'a> {
        &self.leaf
    }

    /// The pinned root.
    pub fn root(&self) -> &Certificate<'a> {
        &self.root
    }

    /// Every certificate, leaf first, root last.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate<'a>> {
        let below = core::iter::once(&self.leaf).chain(&self.middles);
        below.chain(core::iter::once(&self.root))
    }
}

/// Finds a valid path from `leaf` to one of `roots` through any of `intermediates`.
///
/// Candidates are tried depth first, roots before intermediates, so that the same input gives the same path.
pub fn find<'a>(
    leaf: Certificate<'a>,
    intermediates: &'a Store,
    roots: &'a Store,
    rules: &Rules<'_, '_>,
    cache: &SignatureCache,
) -> Result<Path<'a>, PathError> {
    let constraints = leaf.basic_constraints().map_err(extension_of(&leaf))?;
    if constraints.ca {
        let subject = text(leaf.subject);
        return Err(PathError::CaAsLeaf { subject });
    }
    critical_extensions(&leaf)?;
    dates(&leaf, rules.at)?;
    let search = Search {
        intermediates,
        roots,
        rules,
        cache,
        signatures: 0,
        furthest: None,
    };
    search.run(leaf)
}

struct Search<'s, 'a, 'p, 'c> {
    intermediates: &'a Store,
    roots: &'a Store,
    rules: &'s Rules<'p, 'c>,
    cache: &'s SignatureCache,
    signatures: usize,
    /// How far the best attempt came, and why it ended.
    furthest: Option<((usize, u8), PathError)>,
}

/// A path that has no root yet.
#[derive(Clone)]
struct Chain<'a> {
    leaf: Certificate<'a>,
    middles: Vec<Certificate<'a>>,
}

impl<'a> Chain<'a> {
    fn last(&self) -> &Certificate<'a> {
        self.middles.last().unwrap_or(&self.leaf)
    }

    fn len(&self) -> usize {
        self.middles.len().saturating_add(1)
    }

    fn has_key(&self, key: &PublicKey) -> bool {
        self.leaf.key == *key || self.middles.iter().any(|middle| middle.key == *key)
    }

    fn with(&self, middle: Certificate<'a>) -> Self {
        let mut longer = self.clone();
        longer.middles.push(middle);
        longer
    }

    fn under(self, root: Certificate<'a>) -> Path<'a> {
        let Self { leaf, middles } = self;
        Path {
            leaf,
            middles,
            root,
        }
    }
}

impl<'a> Search<'_, 'a, '_, '_> {
    fn run(mut self, leaf: Certificate<'a>) -> Result<Path<'a>, PathError> {
        let issuer = text(leaf.issuer);
        let middles = Vec::new();
        let mut open = vec![Chain { leaf, middles }];
        while let Some(chain) = open.pop() {
            let roots = candidates(self.roots, chain.last());
            let middles = candidates(self.intermediates, chain.last());
            if roots.is_empty() && middles.is_empty() {
                let issuer = text(chain.last().issuer);
                self.note(chain.len(), PathError::NotInBundle { issuer });
            }
            for root in roots {
                if self.extends(&chain, &root, true)? {
                    return Ok(chain.under(root));
                }
            }
            // The best candidate is pushed last, to be tried first.
            for middle in middles.into_iter().rev() {
                if self.extends(&chain, &middle, false)? {
                    open.push(chain.with(middle));
                }
            }
        }
        let missing = PathError::NotInBundle { issuer };
        Err(self.furthest.map_or(missing, |(_, error)| error))
    }

    /// Whether `issuer` may follow the chain; what speaks against it is noted.
    fn extends(
        &mut self,
        chain: &Chain<'a>,
        issuer: &Certificate<'a>,
        is_root: bool,
    ) -> Result<bool, PathError> {
        if self.signatures >= SIGNATURES_MAX {
            return Err(PathError::TooManyCandidates);
        }
        let outcome = self.link(chain, issuer, is_root);
        let extends = outcome.is_ok();
        if let Err(error) = outcome {
            self.note(chain.len(), error);
        }
        Ok(extends)
    }

    fn link(
        &mut self,
        chain: &Chain<'a>,
        issuer: &Certificate<'a>,
        is_root: bool,
    ) -> Result<(), PathError> {
        let last = chain.last();
        if chain.len() >= DEPTH_MAX {
            let subject = text(last.subject);
            return Err(PathError::TooDeep { subject });
        }
        if chain.has_key(&issuer.key) {
            let subject = text(issuer.subject);
            return Err(PathError::Loop { subject });
        }
        self.signature(last, issuer)?;
        authority(issuer, self.rules.purpose, chain.middles.len())?;
        critical_extensions(issuer)?;
        if !is_root {
            dates(issuer, self.rules.at)?;
        }
        let (at, sha1) = (self.rules.at, self.rules.sha1);
        let revocation = self.rules.revocation;
        revocation
            .check(last, issuer, at, sha1, self.cache)
            .map_err(|error| PathError::Revocation {
                subject: text(last.subject),
                error,
            })
    }

    fn signature(
        &mut self,
        last: &Certificate<'a>,
        issuer: &Certificate<'a>,
    ) -> Result<(), PathError> {
        if uses_sha1(last.scheme) && self.rules.sha1 == Sha1::Refused {
            let subject = text(last.subject);
            return Err(PathError::Sha1 { subject });
        }
        self.signatures = self.signatures.saturating_add(1);
        last.verify_signature(&issuer.key, issuer.spki, self.rules.sha1, self.cache)
            .map_err(|error| PathError::Signature {
                subject: text(last.subject),
                error,
            })
    }

    /// Keeps the error of the attempt that came furthest; among equals the one that says most, then the first.
    fn note(&mut self, depth: usize, error: PathError) {
        let says = match error {
            PathError::NotInBundle { .. } => 0,
            PathError::Signature { .. } => 1,
            _ => 2,
        };
        let rank = (depth, says);
        if self.furthest.as_ref().is_none_or(|(best, _)| rank > *best) {
            self.furthest = Some((rank, error));
        }
    }
}

/// Certificates named as the issuer of `last`; those whose key it names come first. The empty name is nobody's.
fn candidates<'a>(store: &'a Store, last: &Certificate<'_>) -> Vec<Certificate<'a>> {
    if last.issuer == EMPTY_NAME {
        return Vec::new();
    }
    let named = last.authority_key_id().ok().flatten();
    let mut found: Vec<Certificate<'a>> = store.named(last.issuer).collect();
    found.sort_by_key(|candidate| {
        named.is_none() || candidate.subject_key_id().ok().flatten() != named
    });
    found
}

/// Whether a certificate may issue one that has `below` intermediates under it.
fn authority(
    issuer: &Certificate<'_>,
    purpose: Option<&[u8]>,
    below: usize,
) -> Result<(), PathError> {
    let subject = || text(issuer.subject);
    let constraints = issuer.basic_constraints().map_err(extension_of(issuer))?;
    if !constraints.ca {
        return Err(PathError::NotCa { subject: subject() });
    }
    if let Some(max) = constraints.path_length
        && u64::try_from(below).unwrap_or(u64::MAX) > max
    {
        let (subject, actual) = (subject(), below);
        return Err(PathError::PathLength {
            subject,
            max,
            actual,
        });
    }
    let usage = issuer.key_usage().map_err(extension_of(issuer))?;
    if let Some(usage) = usage
        && !usage.has(KeyUsage::CERT_SIGN)
    {
        let (subject, actual) = (subject(), usage.names());
        return Err(PathError::KeyUsage { subject, actual });
    }
    purposes(issuer, purpose)
}

fn purposes(issuer: &Certificate<'_>, purpose: Option<&[u8]>) -> Result<(), PathError> {
    let listed = issuer.purposes().map_err(extension_of(issuer))?;
    let (Some(purpose), Some(listed)) = (purpose, listed) else {
        return Ok(());
    };
    if listed.contains(&purpose) || listed.contains(&ANY_PURPOSE) {
        return Ok(());
    }
    let listed: Vec<String> = listed.into_iter().map(der::dotted).collect();
    Err(PathError::Purpose {
        subject: text(issuer.subject),
        expected: der::dotted(purpose),
        actual: listed.join(", "),
    })
}

fn critical_extensions(certificate: &Certificate<'_>) -> Result<(), PathError> {
    let subject = || text(certificate.subject);
    if certificate.extension(NAME_CONSTRAINTS).is_some() {
        return Err(PathError::NameConstraints { subject: subject() });
    }
    let unknown = certificate
        .extensions
        .iter()
        .find(|extension| extension.critical && !UNDERSTOOD.contains(&extension.oid));
    match unknown {
        None => Ok(()),
        Some(extension) => Err(PathError::CriticalExtension {
            subject: subject(),
            oid: der::dotted(extension.oid),
        }),
    }
}

fn dates(certificate: &Certificate<'_>, at: UnixMs) -> Result<(), PathError> {
    let validity = certificate.validity;
    if validity.contains(at) {
        return Ok(());
    }
    let (subject, at_s) = (text(certificate.subject), at.0 / 1_000);
    let (not_before_s, not_after_s) = (validity.not_before_s, validity.not_after_s);
    if i64::try_from(at_s).unwrap_or(i64::MAX) < not_before_s {
        return Err(PathError::NotYetValid {
            subject,
            not_before_s,
            at_s,
        });
    }
    Err(PathError::Expired {
        subject,
        not_after_s,
        at_s,
    })
}

fn uses_sha1(scheme: Scheme) -> bool {
    matches!(
        scheme,
        Scheme::RsaPkcs1(HashAlg::Sha1)
            | Scheme::RsaPss(HashAlg::Sha1)
            | Scheme::Ecdsa(HashAlg::Sha1)
    )
}

fn extension_of(certificate: &Certificate<'_>) -> impl FnOnce(DerError) -> PathError {
    let subject = text(certificate.subject);
    move |error| PathError::Extension { subject, error }
}

#[cfg(test)]
mod tests;
