//! What can be wrong with a list, and which check that is.

use super::template::FIELD_NAMES;
use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::FormatError;

/// A list is not acceptable, or does not explain the quoted values. Entries count from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImaError {
    /// A structure does not parse.
    #[error("IMA list: entry {entry}: {source}")]
    Format {
        /// The entry.
        entry: usize,
        /// What is wrong.
        source: FormatError,
    },
    /// A template this verifier does not know. Its name is covered by no PCR, so it cannot be carried.
    #[error(
        "IMA list: entry {entry}: template: expected ima, ima-ng, ima-ngv2, ima-sig, ima-sigv2, ima-buf, ima-modsig or evm-sig, got {name:?}"
    )]
    Template {
        /// The entry.
        entry: usize,
        /// The name found.
        name: String,
    },
    /// A field of the template data does not have its form.
    #[error("IMA list: entry {entry}: {}: {problem}", FIELD_NAMES.get(*field).copied().unwrap_or("field"))]
    Field {
        /// The entry.
        entry: usize,
        /// Which field: an index into the names of all fields.
        field: usize,
        /// What is wrong.
        problem: String,
    },
    /// A line of an ASCII list does not have its form.
    #[error("IMA list: line {entry} (from 0): {problem}")]
    Line {
        /// The entry.
        entry: usize,
        /// What is wrong.
        problem: String,
    },
    /// No size of the template hash, or more than one, fits the first entry.
    #[error(
        "IMA list: template hash algorithm: expected exactly one that fits the first entry, got {fitting:?}"
    )]
    HashAlgorithm {
        /// Those that fit.
        fitting: Vec<HashAlg>,
    },
    /// The template hash is not the hash of the template data.
    #[error(
        "IMA list: entry {entry}: template hash: expected {expected} ({alg:?} of the template data), got {actual}"
    )]
    TemplateHash {
        /// The entry.
        entry: usize,
        /// The list's algorithm.
        alg: HashAlg,
        /// Recomputed.
        expected: String,
        /// In the list.
        actual: String,
    },
    /// A PCR that the list extends, or PCR 10, has no quoted value to compare with.
    #[error("IMA list: expected a quoted value of {bank} PCR {pcr}, got none")]
    NotQuoted {
        /// The bank, `any` when PCR 10 is quoted in none.
        bank: String,
        /// The PCR.
        pcr: u32,
    },
    /// The replay does not end in the quoted value.
    #[error(
        "IMA list: {bank:?} PCR {pcr}: expected the quoted {expected}, got {actual} after {entries} entries{tail}"
    )]
    Replay {
        /// The bank.
        bank: HashAlg,
        /// The PCR.
        pcr: u32,
        /// The quoted value.
        expected: String,
        /// The replayed value of the whole list.
        actual: String,
        /// Entries in the list.
        entries: usize,
        /// In words: whether shorter prefixes were tried too.
        tail: &'static str,
    },
    /// Two banks are explained by prefixes of different length.
    #[error("IMA list: expected one quoted prefix in every bank, got {first} and {other} entries")]
    Banks {
        /// In one bank.
        first: usize,
        /// In another.
        other: usize,
    },
    /// The TPM was reset since the position was saved: PCR 10 and the list began anew.
    #[error(
        "IMA position: expected TPM resetCount {expected}, got {actual}\nhint: start again from the whole list"
    )]
    Rebooted {
        /// When the position was saved.
        expected: u32,
        /// Now.
        actual: u32,
    },
    /// The list has fewer entries than were already appraised.
    #[error("IMA list: expected at least the {expected} entries appraised before, got {actual}")]
    Shorter {
        /// Entries of the position.
        expected: u64,
        /// Entries in the list.
        actual: u64,
    },
    /// A saved position does not decode, or does not fit this list and quote.
    #[error("IMA position: {0}")]
    Position(String),
}

impl ImaError {
    /// The stable name of the check that failed.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Format { .. }
            | Self::Template { .. }
            | Self::Field { .. }
            | Self::Line { .. }
            | Self::HashAlgorithm { .. } => "ima-list-structure",
            Self::TemplateHash { .. } => "ima-template-hash",
            Self::NotQuoted { .. } | Self::Replay { .. } | Self::Banks { .. } => "ima-replay",
            Self::Rebooted { .. } | Self::Shorter { .. } | Self::Position(_) => "ima-position",
        }
    }
}
