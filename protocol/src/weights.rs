//! Capped stake: an operator counts at most `cap_bps` of the snapshot, over all its HyperNodes together.
//!
//! ```text
//! total  = Σ stake                      limit = ⌊total · cap_bps / 10,000⌋
//! sum(o) = Σ stake of operator o        weight(h) = ⌊stake(h) · min(sum(o), limit) / sum(o)⌋
//! ```
//!
//! Applied once to the snapshot: an operator's share of the *capped* total may exceed the cap. At genesis a cap below
//! 1/operators is refused ([`crate::params::NetworkParams::validate`]); later, when operators have left, it cuts
//! those that are left, as the stake contract does.

use crate::ids::{Bps, Digest, HyperNodeId, Stake};
use crate::limits::ROSTER_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// One hundred per cent in basis points.
pub const BPS_ONE: u32 = 10_000;
/// Largest stake and weight: the ledger packs a weight into 96 bits.
pub const WEIGHT_MAX: u128 = (1 << 96) - 1;

/// Who is behind a HyperNode, as the roster names it.
pub type Operator = Digest;

/// One HyperNode in the stake snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staked {
    /// The HyperNode.
    pub hypernode: HyperNodeId,
    /// Its operator.
    pub operator: Operator,
    /// Its stake in the token's smallest unit, at most [`WEIGHT_MAX`].
    pub stake: Stake,
}

/// Why a snapshot has no weights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeightError {
    /// More than one hundred per cent.
    #[error("operator cap: expected at most {BPS_ONE} basis points, got {0}")]
    CapTooHigh(u32),
    /// A HyperNode occurs twice.
    #[error("stake snapshot: HyperNode {0} occurs twice")]
    Twice(HyperNodeId),
    /// A stake does not fit the ledger's 96 bits.
    #[error("stake of {hypernode}: expected at most 2^96 - 1, got {stake}")]
    TooLarge {
        /// Whose stake.
        hypernode: HyperNodeId,
        /// The stake.
        stake: u128,
    },
    /// Too many HyperNodes.
    #[error("stake snapshot: expected at most {ROSTER_MAX} HyperNodes, got {0}")]
    TooMany(usize),
    /// Nobody has stake.
    #[error("stake snapshot: expected some stake, got none")]
    NoStake,
}

/// The capped weight of every HyperNode of the snapshot (0 where the stake is 0).
pub fn capped_weights(
    snapshot: &[Staked],
    cap: Bps,
) -> Result<BTreeMap<HyperNodeId, u128>, WeightError> {
    check(snapshot)?;
    let sums = operator_sums(snapshot);
    let total: u128 = sums
        .values()
        .fold(0, |sum, stake| sum.saturating_add(*stake));
    check_cap(cap, total)?;
    let limit = mul_div(total, u128::from(cap.0), u128::from(BPS_ONE));
    let weight = |staked: &Staked| {
        let sum = sums.get(&staked.operator).copied().unwrap_or(0);
        (
            staked.hypernode,
            mul_div(staked.stake.0, sum.min(limit), sum),
        )
    };
    Ok(snapshot.iter().map(weight).collect())
}

/// Strictly more than two thirds: `part · 3 > whole · 2`. The one threshold of votes, roots, confirmations and rosters.
pub fn more_than_two_thirds(part: u128, whole: u128) -> bool {
    match (part.checked_mul(3), whole.checked_mul(2)) {
        (Some(part), Some(whole)) => part > whole,
        // Weights are at most 96 bits wide; beyond that nothing is decided.
        _ => false,
    }
}

/// ⌊a · b / c⌋ without overflow in between; 0 when c is 0, saturating when the result does not fit.
pub fn mul_div(a: u128, b: u128, c: u128) -> u128 {
    let (low, high) = a.carrying_mul(b, 0);
    if c == 0 {
        return 0;
    }
    if high >= c {
        return u128::MAX;
    }
    // Long division, bit by bit: what is left stays below c.
    let (mut left, mut quotient) = (high, 0);
    for bit in (0..u128::BITS).rev() {
        let carried = left >> (u128::BITS - 1) == 1;
        left = left << 1 | (low >> bit & 1);
        if carried || left >= c {
            left = left.wrapping_sub(c);
            quotient |= 1 << bit;
        }
    }
    quotient
}

fn check(snapshot: &[Staked]) -> Result<(), WeightError> {
    if snapshot.len() > ROSTER_MAX {
        return Err(WeightError::TooMany(snapshot.len()));
    }
    let mut seen = BTreeSet::new();
    for Staked {
        hypernode, stake, ..
    } in snapshot
    {
        if !seen.insert(*hypernode) {
            return Err(WeightError::Twice(*hypernode));
        }
        if stake.0 > WEIGHT_MAX {
            return Err(WeightError::TooLarge {
                hypernode: *hypernode,
                stake: stake.0,
            });
        }
    }
    Ok(())
}

fn check_cap(cap: Bps, total: u128) -> Result<(), WeightError> {
    if total == 0 {
        return Err(WeightError::NoStake);
    }
    if cap.0 > BPS_ONE {
        return Err(WeightError::CapTooHigh(cap.0));
    }
    Ok(())
}

fn operator_sums(snapshot: &[Staked]) -> BTreeMap<Operator, u128> {
    let mut sums = BTreeMap::new();
    for staked in snapshot.iter().filter(|staked| staked.stake.0 > 0) {
        let sum: &mut u128 = sums.entry(staked.operator).or_default();
        *sum = sum.saturating_add(staked.stake.0);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn staked(id: u8, operator: u8, stake: u128) -> Staked {
        Staked {
            hypernode: HyperNodeId([id; 32]),
            operator: Digest([operator; 32]),
            stake: Stake(stake),
        }
    }

    fn weights(snapshot: &[Staked], cap: u32) -> Vec<u128> {
        capped_weights(snapshot, Bps(cap))
            .unwrap()
            .into_values()
            .collect()
    }

    #[test]
    fn demo_network_is_untouched_by_its_cap() {
        let demo = [
            staked(1, 1, 40),
            staked(2, 2, 25),
            staked(3, 3, 20),
            staked(4, 4, 15),
        ];
        assert_eq!(weights(&demo, 4_000), [40, 25, 20, 15]);
    }

    #[test]
    fn an_operator_is_cut_over_all_its_hypernodes_in_proportion() {
        let snapshot = [
            staked(1, 1, 60),
            staked(2, 1, 20),
            staked(3, 2, 10),
            staked(4, 3, 10),
        ];
        assert_eq!(weights(&snapshot, 4_000), [30, 10, 10, 10]);
    }

    #[test]
    fn operators_that_are_left_are_cut_alike_by_a_cap_below_their_equal_share() {
        let two = [staked(1, 1, 60), staked(2, 2, 40), staked(3, 3, 0)];
        assert_eq!(weights(&two, 4_000), [40, 40, 0]);
        assert_eq!(weights(&two, 5_000), [50, 40, 0]);
        assert_eq!(
            capped_weights(&two, Bps(10_001)),
            Err(WeightError::CapTooHigh(10_001))
        );
    }

    #[test]
    fn bad_snapshots_are_named() {
        let twice = [staked(1, 1, 1), staked(1, 2, 1)];
        let refused = capped_weights(&twice, Bps(5_000));
        assert_eq!(refused, Err(WeightError::Twice(HyperNodeId([1; 32]))));
        let large = [staked(1, 1, WEIGHT_MAX + 1)];
        assert!(matches!(
            capped_weights(&large, Bps(10_000)),
            Err(WeightError::TooLarge { .. })
        ));
        assert_eq!(capped_weights(&[], Bps(10_000)), Err(WeightError::NoStake));
        assert_eq!(
            capped_weights(&[staked(1, 1, 0)], Bps(10_000)),
            Err(WeightError::NoStake)
        );
        let many = vec![staked(1, 1, 1); ROSTER_MAX + 1];
        assert_eq!(
            capped_weights(&many, Bps(10_000)),
            Err(WeightError::TooMany(1025))
        );
    }

    #[test]
    fn the_threshold_is_strictly_more_than_two_thirds() {
        assert!(!more_than_two_thirds(2, 3));
        assert!(more_than_two_thirds(67, 100));
        assert!(!more_than_two_thirds(66, 99));
        assert!(!more_than_two_thirds(0, 0));
        assert!(!more_than_two_thirds(u128::MAX, 1));
    }

    #[test]
    fn products_of_any_width_are_divided_exactly() {
        const MAX: u128 = u128::MAX;
        assert_eq!(mul_div(7, 5, 0), 0);
        assert_eq!(mul_div(MAX, MAX, MAX), MAX);
        assert_eq!(mul_div(MAX, MAX, MAX - 1), MAX, "does not fit");
        assert_eq!(mul_div(MAX - 1, MAX, MAX), MAX - 1);
        assert_eq!(mul_div(MAX, 2, 3), MAX / 3 * 2);
        assert_eq!(mul_div(1 << 127, 6, 1 << 126), 12);
    }

    proptest! {
        #[test]
        fn a_quotient_times_its_divisor_is_the_product_but_for_the_rest(
            a in any::<u128>(), b in any::<u128>(), c in 1..=u128::MAX,
        ) {
            let (low, high) = a.carrying_mul(b, 0);
            prop_assume!(high < c);
            let (back_low, back_high) = mul_div(a, b, c).carrying_mul(c, 0);
            let (rest, borrowed) = low.overflowing_sub(back_low);
            prop_assert_eq!(high.wrapping_sub(back_high), u128::from(borrowed));
            prop_assert!(rest < c);
        }

        #[test]
        fn no_operator_exceeds_the_limit_and_nobody_gains(
            stakes in proptest::collection::vec((0u8..5, 0u128..=WEIGHT_MAX), 1..12),
            cap in 2_000u32..=10_000,
        ) {
            let snapshot: Vec<_> = stakes
                .iter()
                .zip(0u8..)
                .map(|((operator, stake), id)| staked(id, *operator, *stake))
                .collect();
            let Ok(weights) = capped_weights(&snapshot, Bps(cap)) else { return Ok(()) };
            let total: u128 = snapshot.iter().map(|staked| staked.stake.0).sum();
            let limit = total / 10_000 * u128::from(cap) + total % 10_000 * u128::from(cap) / 10_000;
            for operator in 0u8..5 {
                let own = snapshot.iter().filter(|s| s.operator == Digest([operator; 32]));
                let sum: u128 = own.map(|s| weights[&s.hypernode]).sum();
                prop_assert!(sum <= limit);
            }
            for s in &snapshot {
                prop_assert!(weights[&s.hypernode] <= s.stake.0);
            }
        }
    }
}
