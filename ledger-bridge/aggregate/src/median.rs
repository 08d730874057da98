//! Stake-weighted quantiles: the median nobody below half of the stake can move out of the honest range.
//!
//! quantile(a/b) = the smallest value v with weight(values ≤ v) · b ≥ total · a, so always a value somebody reported.

use crate::weights::mul_div;

/// A value and the capped stake behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weighted {
    /// The value, in whatever unit the caller compares.
    pub value: u64,
    /// Weight, at most 96 bits.
    pub weight: u128,
}

/// Median with its 25/75 interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quartiles {
    /// Value at one quarter of the weight.
    pub low: u64,
    /// Lower median.
    pub median: u64,
    /// Value at three quarters of the weight.
    pub high: u64,
}

/// Quartiles of the values that have weight; `None` when none has. The order of `values` does not matter.
pub fn quartiles(values: &[Weighted]) -> Option<Quartiles> {
    let mut sorted: Vec<Weighted> = values.iter().copied().filter(|v| v.weight > 0).collect();
    sorted.sort_unstable();
    let total = total(&sorted);
    Some(Quartiles {
        low: quantile(&sorted, total, 1)?,
        median: quantile(&sorted, total, 2)?,
        high: quantile(&sorted, total, 3)?,
    })
}

/// The stake-weighted lower median; `None` without weight.
pub fn lower_median(values: &[Weighted]) -> Option<u64> {
    quartiles(values).map(|quartiles| quartiles.median)
}

fn total(values: &[Weighted]) -> u128 {
    values
        .iter()
        .fold(0, |sum, value| sum.saturating_add(value.weight))
}

fn quantile(sorted: &[Weighted], total: u128, quarters: u128) -> Option<u64> {
    // ⌈total · quarters / 4⌉: cumulative ≥ it exactly when 4 · cumulative ≥ total · quarters.
    let below = mul_div(total, quarters, 4);
    let exact = below.checked_mul(4) == total.checked_mul(quarters);
    let needed = if exact { below } else { below.checked_add(1)? };
    let mut cumulative = 0u128;
    sorted.iter().find_map(|item| {
        cumulative = cumulative.saturating_add(item.weight);
        (cumulative >= needed).then_some(item.value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(pairs: &[(u64, u128)]) -> Option<Quartiles> {
        let values: Vec<_> = pairs
            .iter()
            .map(|&(value, weight)| Weighted { value, weight })
            .collect();
        quartiles(&values)
    }

    #[test]
    fn small_cases() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(5, 0)]), None);
        assert_eq!(
            of(&[(5, 1)]),
            Some(Quartiles {
                low: 5,
                median: 5,
                high: 5
            })
        );
        assert_eq!(of(&[(1, 1), (9, 1)]).unwrap().median, 1);
        let four = of(&[(4, 1), (2, 1), (3, 1), (1, 1)]);
        assert_eq!(
            four,
            Some(Quartiles {
                low: 1,
                median: 2,
                high: 3
            })
        );
    }

    #[test]
    fn weight_decides_not_heads() {
        assert_eq!(of(&[(1, 10), (2, 10), (100, 40)]).unwrap().median, 100);
        assert_eq!(of(&[(1, 20), (100, 20), (101, 0)]).unwrap().median, 1);
    }

    proptest! {
        #[test]
        fn median_stays_in_the_honest_range(
            honest in proptest::collection::vec((1000u64..2000, 1u128..1 << 90), 1..12),
            liars in proptest::collection::vec((any::<u64>(), 1u128..1 << 90), 0..12),
        ) {
            let weigh = |list: &[(u64, u128)]| list.iter().map(|(_, weight)| weight).sum::<u128>();
            prop_assume!(weigh(&honest) > weigh(&liars));
            let all = [honest.clone(), liars].concat();
            let median = of(&all).unwrap().median;
            let low = honest.iter().map(|(value, _)| *value).min().unwrap();
            let high = honest.iter().map(|(value, _)| *value).max().unwrap();
            prop_assert!((low..=high).contains(&median));
        }

        #[test]
        fn order_does_not_matter(
            mut values in proptest::collection::vec((0u64..9, 0u128..50), 0..12), seed: usize,
        ) {
            let before = of(&values);
            if !values.is_empty() {
                let middle = seed % values.len();
                values.rotate_left(middle);
                values.reverse();
            }
            prop_assert_eq!(of(&values), before);
            if let Some(q) = before {
                prop_assert!(q.low <= q.median && q.median <= q.high);
            }
        }
    }
}
