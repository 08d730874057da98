//! Latencies in integers: a log-linear histogram with buckets as fio has them.
//!
//! Each power of two of nanoseconds is cut into 64 buckets, so a value is known to one part in 64 and memory does not
//! grow with what is counted.

use std::time::Duration;

/// Buckets of each power of two, as a power of two itself (fio's `FIO_IO_U_PLAT_BITS`).
const BITS: u32 = 6;
/// Longer ones count as this one: over a minute.
const NS_MAX: u64 = (1 << 36) - 1;
const BUCKETS: usize = ((36 - BITS + 1) as usize) << BITS;

/// A histogram of nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u32>,
    total: u64,
    sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            sum_ns: 0,
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn add(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos())
            .unwrap_or(u64::MAX)
            .min(NS_MAX);
        let count = &mut self.counts[bucket(ns)];
        *count = count.saturating_add(1);
        self.total = self.total.saturating_add(1);
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Counts everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.total = self.total.saturating_add(other.total);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// Latencies counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Their mean in nanoseconds, rounded down; nothing when there are none.
    pub fn mean_ns(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.total)
    }

    /// The least value, in nanoseconds, that `ppm` millionths of the latencies do not exceed, at the upper end of its
    /// bucket; nothing when there are none.
    pub fn percentile_ns(&self, ppm: u32) -> Option<u64> {
        let wanted = u128::from(self.total) * u128::from(ppm.min(1_000_000));
        let wanted = u64::try_from(wanted.div_ceil(1_000_000))
            .unwrap_or(u64::MAX)
            .max(1);
        let mut seen = 0u64;
        let reached = self.counts.iter().position(|count| {
            seen = seen.saturating_add(u64::from(*count));
            seen >= wanted
        });
        reached.map(upper_end)
    }
}

/// The highest bit and the [`BITS`] below it choose the bucket; values that have no more bits have one each.
fn bucket(ns: u64) -> usize {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (ns >> shift) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> BITS).saturating_sub(1);
    let within = bucket - (shift << BITS);
    ((within + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        values
            .iter()
            .for_each(|ns| histogram.add(Duration::from_nanos(*ns)));
        histogram
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        assert_eq!((bucket(0), upper_end(0)), (0, 0));
        for at in 1..BUCKETS {
            let first = upper_end(at - 1) + 1;
            assert_eq!((bucket(first), bucket(upper_end(at))), (at, at));
        }
        assert_eq!(upper_end(BUCKETS - 1), NS_MAX);
    }

    #[test]
    fn a_value_is_known_to_one_part_in_64() {
        for ns in [
            0, 1, 63, 64, 65, 127, 128, 1_000, 123_456, 7_890_123, NS_MAX,
        ] {
            let end = upper_end(bucket(ns));
            assert!(end >= ns && end - ns <= ns / 64, "{ns}: {end}");
        }
    }

    #[test]
    fn percentiles_mean_and_total() {
        let values: Vec<u64> = (1..=100).collect();
        let histogram = of(&values);
        assert_eq!(histogram.total(), 100);
        assert_eq!(histogram.mean_ns(), Some(50));
        let at = |ppm| histogram.percentile_ns(ppm).unwrap();
        assert_eq!(
            [0, 10_000, 500_000, 990_000, 1_000_000].map(at),
            [1, 1, 50, 99, 100]
        );
        assert_eq!(of(&[]).percentile_ns(500_000), None);
        assert_eq!(of(&[]).mean_ns(), None);
    }

    #[test]
    fn two_make_the_histogram_of_both_and_the_longest_is_capped() {
        let mut both = of(&[5, 700]);
        both.merge(&of(&[1_000_000]));
        assert_eq!(both, of(&[5, 700, 1_000_000]));
        assert_eq!(of(&[u64::MAX]).percentile_ns(1), Some(NS_MAX));
    }
}
