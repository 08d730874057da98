//! Reference values from signed CoRIM (draft-ietf-rats-corim): read, verified, and turned into what a policy of
//! this project can hold.
//!
//! [`read`] only shows what a manifest says. [`import`] is the one way to [`ReferenceValues`]: the manifest must
//! be signed by a key that the caller pins, be valid at the caller's time, and use a profile known here. A
//! certificate chain inside the object is shown and proves nothing.
//!
//! Used are reference-value triples (section 5.1.5.1). Whatever is unknown in one of them is refused, because a
//! condition that is skipped would widen what the signer allows. Other triples add endorsements, keys or
//! dependencies; they are listed as ignored and never change a reference value.
//!
//! Not proven: that the signer is right about the machines it describes.

mod environment;
mod import;
mod manifest;
mod measurement;
mod pcr;
mod snp;
#[cfg(test)]
mod tests;

pub use environment::{Class, Environment, Id};
pub use import::{PINNED_KEYS_MAX, PinnedKey, ReferenceValues, Refused, Trust, import};
pub use manifest::{Manifest, Profile, Reference, Signature, Window, comid, read};
pub use measurement::{DigestAlg, DigestValue, Key, Measurement, RawValue, Register, Svn, Version};
pub use pcr::{PCR_INDEX_MAX, PcrSet};
pub use snp::{SNP_PROFILE, SnpField, SnpReference};

use crate::cose_sign1::CoseError;
use crate::foreign_cbor::ForeignCborError;

/// A manifest is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorimError {
    /// Not the CBOR expected, or outside the subset read here.
    #[error("CoRIM: {0}")]
    Cbor(#[from] ForeignCborError),
    /// The COSE_Sign1 around it is refused.
    #[error("CoRIM: {0}")]
    Cose(#[from] CoseError),
    /// A digest of another length than its algorithm's.
    #[error("CoRIM digest: expected {expected} bytes of {algorithm}, got {actual}")]
    DigestLength {
        /// The algorithm.
        algorithm: String,
        /// Its length in bytes.
        expected: usize,
        /// The length found.
        actual: usize,
    },
    /// One algorithm twice in a list of digests: which one counts is not said.
    #[error("CoRIM digests: {0} is there twice")]
    DigestTwice(String),
    /// A reference value that the policy cannot hold.
    #[error("CoRIM reference value {what}: expected {expected}, got {actual}")]
    Reference {
        /// Which one.
        what: String,
        /// What a policy can hold.
        expected: String,
        /// What was found.
        actual: String,
    },
}

impl CorimError {
    fn reference(what: impl ToString, expected: impl ToString, actual: impl ToString) -> Self {
        Self::Reference {
            what: what.to_string(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        }
    }
}
