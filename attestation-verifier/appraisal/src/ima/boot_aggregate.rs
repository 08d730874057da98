//! The boot aggregate: the list's first entry ties it to the firmware's PCRs
//! (Linux `ima_calc_boot_aggregate`).

use super::error::ImaError;
use super::hash::Hash;
use super::position::Position;
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;

/// Which PCRs, of the bank of the aggregate's own algorithm, are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AggregateForm {
    /// PCR 0 to 7: every kernel with SHA-1; with another algorithm, kernels that got the choice of bank but
    /// not the kernel measurements (both came with 5.8 and were backported apart).
    Pcr0To7,
    /// PCR 0 to 9: Linux 5.8 and later, never with SHA-1.
    Pcr0To9,
}

/// The boot aggregate is not what the quoted PCRs make it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// The first entry is no boot aggregate, or there is no entry.
    #[error("boot aggregate: expected it as the first entry, got none")]
    Absent,
    /// The bank it is taken over was not quoted: nothing to compare with.
    #[error("boot aggregate: expected quoted {bank:?} PCRs 0 to 9, got no value of PCR {pcr}")]
    NotQuoted {
        /// The bank.
        bank: HashAlg,
        /// The first PCR without a value.
        pcr: u32,
    },
    /// It differs.
    #[error("boot aggregate: expected {expected} ({bank:?} PCRs 0 to 7 or 0 to 9), got {actual}")]
    Differs {
        /// The bank.
        bank: HashAlg,
        /// Over the quoted values: the form of current kernels.
        expected: String,
        /// In the list.
        actual: String,
    },
    /// A position that does not decode.
    #[error(transparent)]
    Position(#[from] ImaError),
}

/// Compares the boot aggregate of the list that `position` stands in with the quoted PCRs.
///
/// It shows that the list belongs to the boot whose firmware extended these PCRs. PCRs 8 and 9 must not be
/// extended after the kernel started, or the newer form no longer matches.
pub fn check(position: &Position, quoted: &PcrValues) -> Result<AggregateForm, AggregateError> {
    let aggregate = position
        .boot_aggregate
        .as_ref()
        .ok_or(AggregateError::Absent)?;
    let (bank, actual) = aggregate.digest()?;
    let short = over(bank, 8, quoted)?;
    if short.as_ref() == actual {
        return Ok(AggregateForm::Pcr0To7);
    }
    let expected = match bank {
        HashAlg::Sha1 => short,
        _ => over(bank, 10, quoted)?,
    };
    match expected.as_ref() == actual {
        true => Ok(AggregateForm::Pcr0To9),
        false => Err(AggregateError::Differs {
            bank,
            expected: hex::encode(expected),
            actual: hex::encode(actual),
        }),
    }
}

/// The hash over the first `count` PCRs of `bank`.
fn over(bank: HashAlg, count: u32, quoted: &PcrValues) -> Result<Hash, AggregateError> {
    let mut data = Vec::new();
    for pcr in 0..count {
        match quoted.get(&(bank, pcr)) {
            Some(value) if value.len() == bank.size() => data.extend_from_slice(value),
            _ => return Err(AggregateError::NotQuoted { bank, pcr }),
        }
    }
    Ok(Hash::of(bank, &data))
}
