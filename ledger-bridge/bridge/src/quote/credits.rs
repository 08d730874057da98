//! Credit tiers: which share of a period's price a Builder gets back below which availability.

use assay_protocol::settings::{Misread, from_toml};
use serde::Deserialize;
use std::path::Path;

const EC2_LIKE: &str = include_str!("../../credits/ec2-like.toml");
const TIERS_MAX: usize = 16;
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Tiers with falling availability and rising credit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credits {
    pub name: String,
    tiers: Vec<Tier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    /// The tier applies strictly below this availability.
    below_ppm: u32,
    /// Share of the price, in basis points.
    credit_bps: u32,
}

/// Tiers that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CreditError {
    /// The file cannot be read.
    #[error("credit tiers {path}")]
    Read {
        /// File.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is too large to be one.
    #[error("credit tiers {path}: expected at most {FILE_BYTES_MAX} bytes, got {bytes}")]
    Large {
        /// File.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// Not the form.
    #[error("credit tiers")]
    Form(#[from] Misread),
    /// Contradicts itself.
    #[error("credit tiers {name}: {part}: expected {expected}, got {actual}")]
    Rule {
        /// Name of the tiers.
        name: String,
        /// Which part.
        part: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        actual: String,
    },
}

impl Credits {
    pub(super) fn ec2_like() -> Result<Self, CreditError> {
        Self::parse(EC2_LIKE)
    }

    pub(super) fn load(path: &Path) -> Result<Self, CreditError> {
        let named = path.display().to_string();
        let failed = |source| CreditError::Read {
            path: named.clone(),
            source,
        };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(CreditError::Large { path: named, bytes });
        }
        Self::parse(&std::fs::read_to_string(path).map_err(failed)?)
    }

    pub(super) fn parse(text: &str) -> Result<Self, CreditError> {
        let credits: Self = from_toml(text)?;
        credits.check()?;
        Ok(credits)
    }

    fn check(&self) -> Result<(), CreditError> {
        let rule = |holds, part, expected, actual: String| match holds {
            true => Ok(()),
            false => Err(CreditError::Rule {
                name: self.name.clone(),
                part,
                expected,
                actual,
            }),
        };
        let tiers = &self.tiers;
        let count = (1..=TIERS_MAX).contains(&tiers.len());
        rule(count, "tiers", "1 to 16", tiers.len().to_string())?;
        let listed = |of: fn(&Tier) -> u32| {
            let each = tiers.iter().map(|tier| of(tier).to_string());
            each.collect::<Vec<_>>().join(", ")
        };
        let falling = tiers.is_sorted_by(|a, b| a.below_ppm > b.below_ppm);
        let whole = tiers.iter().all(|tier| tier.below_ppm <= 1_000_000);
        rule(
            falling && whole,
            "below_ppm",
            "falling, at most 1000000",
            listed(|t| t.below_ppm),
        )?;
        let rising = tiers.is_sorted_by(|a, b| a.credit_bps < b.credit_bps);
        let whole = tiers.iter().all(|tier| tier.credit_bps <= 10_000);
        rule(
            rising && whole,
            "credit_bps",
            "rising, at most 10000",
            listed(|t| t.credit_bps),
        )
    }

    /// The share of a period's price that goes back, in basis points: that of the last tier the availability is below.
    pub(super) fn due_bps(&self, availability_ppm: u32) -> u32 {
        let mut below = self.tiers.iter().rev();
        let tier = below.find(|tier| availability_ppm < tier.below_ppm);
        tier.map_or(0, |tier| tier.credit_bps)
    }
}

/// A share of a price, rounded down.
pub(super) fn credit_gwei(price_gwei: u64, bps: u32) -> u64 {
    let credit = u128::from(price_gwei) * u128::from(bps) / 10_000;
    u64::try_from(credit).unwrap_or(u64::MAX)
}
