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
pub mod weights;
pub mod wilson;

/// Strictly more than two thirds: `part · 3 > whole · 2`. The one threshold of votes, roots and confirmations.
pub fn more_than_two_thirds(part: u128, whole: u128) -> bool {
    match (part.checked_mul(3), whole.checked_mul(2)) {
        (Some(part), Some(whole)) => part > whole,
        // Weights are at most 96 bits wide; beyond that nothing is decided.
        _ => false,
    }
}

/// Strictly more than half: `part · 2 > whole`.
pub fn more_than_half(part: u128, whole: u128) -> bool {
    part.checked_mul(2).is_some_and(|part| part > whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_strict_and_never_wrap() {
        assert!(!more_than_two_thirds(2, 3));
        assert!(more_than_two_thirds(67, 100));
        assert!(!more_than_two_thirds(66, 99));
        assert!(!more_than_two_thirds(0, 0));
        assert!(!more_than_two_thirds(u128::MAX, 1));
        assert!(!more_than_half(50, 100));
        assert!(more_than_half(51, 100));
        assert!(!more_than_half(u128::MAX, 1));
    }
}
