//! Why there is no path.

use super::{DEPTH_MAX, SIGNATURES_MAX};
use crate::crypto::der::DerError;
use crate::x509::certificate::X509Error;
use crate::x509::crl::RevocationError;

/// There is no valid path. Of several attempts, the one that came furthest is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nobody of that name is among the certificates given.
    #[error("its issuer is not in the bundle of trust roots: {issuer}")]
    NotInBundle {
        /// The name looked for.
        issuer: String,
    },
    /// The issuer's key does not verify the signature.
    #[error("{subject}: expected a signature by its issuer, got one that does not verify: {error}")]
    Signature {
        /// Whose signature.
        subject: String,
        /// What is wrong with it.
        error: X509Error,
    },
    /// Signed with SHA-1 and the policy does not say that it may be.
    #[error(
        "{subject}: expected a signature with SHA-2, got SHA-1 (only the legacy policy takes it)"
    )]
    Sha1 {
        /// Whose signature.
        subject: String,
    },
    /// It has expired.
    #[error("{subject}: expired at {not_after_s}, appraised at {at_s} (Unix seconds)")]
    Expired {
        /// Whose validity.
        subject: String,
        /// End of validity, Unix seconds.
        not_after_s: i64,
        /// Time of the appraisal, Unix seconds.
        at_s: u64,
    },
    /// It is not valid yet.
    #[error("{subject}: not valid before {not_before_s}, appraised at {at_s} (Unix seconds)")]
    NotYetValid {
        /// Whose validity.
        subject: String,
        /// Start of validity, Unix seconds.
        not_before_s: i64,
        /// Time of the appraisal, Unix seconds.
        at_s: u64,
    },
    /// An issuer that may not issue.
    #[error("{subject}: basic constraints: expected a CA, got none")]
    NotCa {
        /// The issuer.
        subject: String,
    },
    /// The certificate asked about is itself a CA.
    #[error("{subject}: basic constraints: expected no CA at the end of the path, got a CA")]
    CaAsLeaf {
        /// The certificate.
        subject: String,
    },
    /// More intermediates than an issuer allows.
    #[error("{subject}: path length: expected at most {max} intermediates below it, got {actual}")]
    PathLength {
        /// The issuer.
        subject: String,
        /// What it allows.
        max: u64,
        /// What there is.
        actual: usize,
    },
    /// An issuer whose key is not certified for certificates.
    #[error("{subject}: key usage: expected keyCertSign, got {actual}")]
    KeyUsage {
        /// The issuer.
        subject: String,
        /// What it says.
        actual: String,
    },
    /// An issuer for other purposes.
    #[error("{subject}: extended key usage: expected {expected}, got {actual}")]
    Purpose {
        /// The issuer.
        subject: String,
        /// The purpose asked for.
        expected: String,
        /// What it says.
        actual: String,
    },
    /// Name constraints are not evaluated here.
    #[error("{subject}: expected no name constraints, got some: they are not understood")]
    NameConstraints {
        /// The issuer.
        subject: String,
    },
    /// A critical extension that is not understood.
    #[error("{subject}: critical extension {oid} is not understood")]
    CriticalExtension {
        /// The certificate.
        subject: String,
        /// The extension.
        oid: String,
    },
    /// One key twice.
    #[error("{subject}: its key is already in the path: a loop, or one key under two names")]
    Loop {
        /// The certificate that would be added.
        subject: String,
    },
    /// Too many certificates.
    #[error("{subject}: expected at most {DEPTH_MAX} certificates in a path, got more")]
    TooDeep {
        /// The certificate whose issuer would be one too many.
        subject: String,
    },
    /// Too much work.
    #[error("expected a path within {SIGNATURES_MAX} signatures, got more candidates")]
    TooManyCandidates,
    /// Revoked, or of a status nobody knows although the policy wants to.
    #[error("{subject}: revocation: {error}")]
    Revocation {
        /// The certificate.
        subject: String,
        /// What its issuer's lists say.
        error: RevocationError,
    },
    /// An extension that counts does not parse.
    #[error("{subject}: {error}")]
    Extension {
        /// The certificate.
        subject: String,
        /// What is wrong with it.
        error: DerError,
    },
}
