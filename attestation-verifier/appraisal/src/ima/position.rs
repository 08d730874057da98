//! How far a list was appraised: what to keep between two quotes of one boot.

use super::error::ImaError;
use super::hash::Hash;
use super::replay::{BankForm, Run};
use super::template::FileDigest;
use crate::tpm::algorithm::HashAlg;
use assay_protocol::item::{Blob, Item as _};

/// Largest encoded position, bytes: four banks of 24 PCRs need less than 8 KiB.
pub const POSITION_BYTES_MAX: usize = 8 * 1024;

assay_protocol::cbor_map! {
    /// A point in a list, with the PCR values there. Deterministic CBOR by [`Position::to_bytes`].
    ///
    /// It is as trustworthy as the place it is kept in: keep it with the verdicts. It says nothing about
    /// how the entries before it were judged: keep that beside it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Position {
        /// The TPM's `resetCount` when the values were quoted: another boot starts anew.
        1 => reset_count: u32,
        /// Entries before this point.
        2 => entries: u64,
        /// Violations among them.
        3 => violations: u64,
        /// The algorithm of the list's template hashes, `TPM_ALG_ID`.
        4 => template_hash: u16,
        /// Every quoted bank, in the order of their identifiers.
        5 => banks: Vec<BankState>,
        /// The digest of the first entry when it is the boot aggregate.
        6 => boot_aggregate: Option<Aggregate>,
    }
}

assay_protocol::cbor_map! {
    /// One bank at a [`Position`].
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct BankState {
        /// `TPM_ALG_ID`.
        1 => bank: u16,
        /// Whether SHA-1 template hashes are padded into it, see [`BankForm`].
        2 => padded_sha1: bool,
        /// (PCR, value) of every PCR the list extended, ascending.
        3 => pcrs: Vec<(u32, Blob)>,
    }
}

assay_protocol::cbor_map! {
    /// The digest of a boot aggregate.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Aggregate {
        /// `TPM_ALG_ID`.
        1 => alg: u16,
        /// The digest.
        2 => digest: Blob,
    }
}

impl Position {
    /// Before the first entry of a boot.
    pub fn start(reset_count: u32) -> Self {
        Self {
            reset_count,
            entries: 0,
            violations: 0,
            template_hash: HashAlg::Sha1.id(),
            banks: Vec::new(),
            boot_aggregate: None,
        }
    }

    /// Its deterministic encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode()
    }

    /// Decodes what [`Position::to_bytes`] made; refuses any other spelling, unknown algorithms and values
    /// that do not fit their bank.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImaError> {
        let position = Self::decode("IMA position", POSITION_BYTES_MAX, bytes)
            .map_err(|error| ImaError::Position(error.to_string()))?;
        for bank in &position.banks {
            bank.run()?;
        }
        alg(position.template_hash)?;
        if let Some(aggregate) = &position.boot_aggregate {
            aggregate.digest()?;
        }
        Ok(position)
    }

    /// The algorithm of the list's template hashes.
    pub fn template_hash(&self) -> Result<HashAlg, ImaError> {
        alg(self.template_hash)
    }

    /// Whether no entry was seen yet.
    pub fn is_start(&self) -> bool {
        self.entries == 0
    }
}

impl BankState {
    /// The bank as it stands here.
    pub(super) fn run(&self) -> Result<Run, ImaError> {
        let bank = alg(self.bank)?;
        let value = |(pcr, value): &(u32, Blob)| match Hash::padded(&value.0, bank.size()) {
            Some(hash) if value.0.len() == bank.size() && *pcr <= 23 => Ok((*pcr, hash)),
            _ => Err(ImaError::Position(format!(
                "expected {} bytes for {bank:?} PCR {pcr} of 0 to 23, got {}",
                bank.size(),
                value.0.len()
            ))),
        };
        let form = match self.padded_sha1 {
            true => BankForm::PaddedSha1,
            false => BankForm::Native,
        };
        let values = self.pcrs.iter().map(value).collect::<Result<_, _>>()?;
        Ok(Run { bank, form, values })
    }
}

impl Aggregate {
    pub(super) fn of(digest: &FileDigest<'_>) -> Self {
        Self {
            alg: digest.alg.id(),
            digest: Blob(digest.bytes.to_vec()),
        }
    }

    pub(super) fn digest(&self) -> Result<(HashAlg, &[u8]), ImaError> {
        let alg = alg(self.alg)?;
        match self.digest.0.len() == alg.size() {
            true => Ok((alg, &self.digest.0)),
            false => Err(ImaError::Position(format!(
                "expected {} bytes of boot aggregate, got {}",
                alg.size(),
                self.digest.0.len()
            ))),
        }
    }
}

pub(super) fn alg(id: u16) -> Result<HashAlg, ImaError> {
    HashAlg::from_id(id).ok_or_else(|| {
        ImaError::Position(format!("expected a known hash algorithm, got {id:#06x}"))
    })
}
