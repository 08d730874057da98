//! Stake arithmetic of the bridge: capped weights, draws, agreement on the input set, medians,
//! bounds, verdicts and the outcome tree.
//!
//! Pure and reproducible: integers only, no clock, no randomness, no IO. Everybody who has the same
//! input set computes the same root, in whatever order the reports arrived.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod agreement;
pub mod availability;
pub mod draw;
pub mod epoch;
pub mod inputs;
pub mod median;
pub mod persistence;
pub mod root;
pub mod roster;
pub mod rules;
pub mod systemic;
pub mod verdict;
pub mod wilson;

pub use assay_protocol::weights::{self, more_than_two_thirds};

/// Strictly more than half: `part · 2 > whole`.
pub fn more_than_half(part: u128, whole: u128) -> bool {
    part.checked_mul(2).is_some_and(|part| part > whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_strict_and_never_wraps() {
        assert!(!more_than_half(50, 100));
        assert!(more_than_half(51, 100));
        assert!(!more_than_half(u128::MAX, 1));
    }
}
