//! Whether two ids are quoted by one TPM: its clock and counters are one, whatever the id says.

use super::{Continuity, continuity};
use crate::tpm::attest::ClockInfo;
use assay_protocol::ids::UnixMs;

/// Pairs that must agree before two ids are suspected.
pub const PAIRS_MIN: u32 = 3;
/// Quotes further apart than this are not compared, milliseconds.
pub const APART_MS_MAX: u64 = 3_600_000;
/// What the verifier's time of a quote may be off by, milliseconds: signing and the network.
pub const TIME_TOLERANCE_MS: u64 = 2_000;
/// What the TPM's clock may drift by: a thousandth of the time between two quotes.
pub const DRIFT_DIVISOR: u64 = 1_000;

/// What the quotes of two ids have in common.
///
/// A flag for people, not proof: virtual TPMs that were made and started together agree as well, and one TPM
/// whose owner reboots it between any two quotes does not. It says nothing about ids never quoted within an
/// hour of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Similarity {
    /// Neighbouring quotes, one of each id, that one TPM would have given exactly so.
    pub agreeing: u32,
    /// Neighbouring quotes that one TPM cannot have given.
    pub contradicting: u32,
    /// Neighbouring quotes with a reboot or a resume in between, which compare to nothing.
    pub incomparable: u32,
}

impl Similarity {
    /// Whether the two ids may be one TPM: several pairs agree and none contradicts.
    pub fn suspected(&self) -> bool {
        self.agreeing >= PAIRS_MIN && self.contradicting == 0
    }
}

/// Compares the quotes of two ids, each with the verifier's time of it, in any order.
///
/// Both lists are merged by time. Neighbours of different ids, at most an hour apart, agree when counters are
/// equal and the TPM's clock moved as the verifier's did.
pub fn same_tpm(a: &[(UnixMs, ClockInfo)], b: &[(UnixMs, ClockInfo)]) -> Similarity {
    let of = |first: bool| move |(at, clock): &(UnixMs, ClockInfo)| (at.0, first, *clock);
    let mut quotes: Vec<(u64, bool, ClockInfo)> = a.iter().map(of(true)).collect();
    quotes.extend(b.iter().map(of(false)));
    quotes.sort_by_key(|(at, first, clock)| (*at, clock.clock_ms, *first));
    let mut found = Similarity::default();
    for pair in quotes.windows(2) {
        let [(at, first, clock), (then, second, later)] = pair else {
            continue;
        };
        let apart_ms = then.saturating_sub(*at);
        if first == second || apart_ms > APART_MS_MAX {
            continue;
        }
        count(&mut found, apart_ms, clock, later);
    }
    found
}

fn count(found: &mut Similarity, apart_ms: u64, clock: &ClockInfo, later: &ClockInfo) {
    // Times within the tolerance have no order.
    let reversed = || (apart_ms <= TIME_TOLERANCE_MS).then(|| continuity(Some(later), clock));
    let forward = continuity(Some(clock), later);
    let how = forward.ok().or_else(|| reversed()?.ok());
    let counter = match how {
        Some(Continuity::SameBoot) if moved_alike(apart_ms, clock, later) => &mut found.agreeing,
        Some(Continuity::Rebooted | Continuity::Resumed) => &mut found.incomparable,
        _ => &mut found.contradicting,
    };
    *counter = counter.saturating_add(1);
}

fn moved_alike(apart_ms: u64, clock: &ClockInfo, later: &ClockInfo) -> bool {
    let moved_ms = i128::from(later.clock_ms).saturating_sub(i128::from(clock.clock_ms));
    let off_ms = moved_ms.saturating_sub(i128::from(apart_ms)).unsigned_abs();
    let drift_ms = apart_ms.checked_div(DRIFT_DIVISOR).unwrap_or(0);
    off_ms <= u128::from(TIME_TOLERANCE_MS.saturating_add(drift_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(at_ms: u64, clock_ms: u64, reset_count: u32) -> (UnixMs, ClockInfo) {
        let clock = ClockInfo {
            clock_ms,
            reset_count,
            restart_count: 0,
            safe: true,
        };
        (UnixMs(at_ms), clock)
    }

    /// Quotes of a TPM whose clock is `offset_ms` behind, one a minute from `from_ms`.
    fn series(from_ms: u64, offset_ms: u64, reset_count: u32) -> Vec<(UnixMs, ClockInfo)> {
        (0..4)
            .map(|n| from_ms + n * 60_000)
            .map(|at| quote(at, at - offset_ms, reset_count))
            .collect()
    }

    #[test]
    fn one_tpm_behind_two_ids_is_suspected() {
        let (a, b) = (
            series(10_000_000, 9_000_000, 7),
            series(10_030_000, 9_000_000, 7),
        );
        let found = same_tpm(&a, &b);
        assert_eq!((found.agreeing, found.contradicting), (7, 0));
        assert!(found.suspected());
        assert_eq!(same_tpm(&b, &a), found);
    }

    #[test]
    fn other_counters_and_other_offsets_are_not() {
        let a = series(10_000_000, 9_000_000, 7);
        for b in [
            series(10_030_000, 9_000_000, 6),
            series(10_030_000, 9_005_000, 7),
            series(10_030_000, 8_995_000, 7),
        ] {
            let found = same_tpm(&a, &b);
            assert!(!found.suspected() && found.contradicting >= 3, "{found:?}");
        }
        // A counter that is ahead throughout goes back again with the next quote of the other.
        let ahead = same_tpm(&a, &series(10_030_000, 9_000_000, 8));
        assert!(!ahead.suspected() && ahead.contradicting == 3, "{ahead:?}");
    }

    #[test]
    fn the_tolerance_is_two_seconds_and_a_thousandth() {
        let pair = |at: u64, clock_ms: u64| {
            same_tpm(&[quote(1_000_000, 500_000, 1)], &[quote(at, clock_ms, 1)])
        };
        // One second later may be two seconds either way; a hundred seconds add a tenth.
        assert_eq!(pair(1_001_000, 503_000).agreeing, 1);
        assert_eq!(pair(1_001_000, 503_002).contradicting, 1);
        assert_eq!(pair(1_001_000, 499_000).agreeing, 1);
        assert_eq!(pair(1_001_000, 498_998).contradicting, 1);
        assert_eq!(pair(1_100_000, 602_100).agreeing, 1);
        assert_eq!(pair(1_100_000, 602_101).contradicting, 1);
        assert_eq!(pair(1_100_000, 597_900).agreeing, 1);
        assert_eq!(pair(1_100_000, 597_899).contradicting, 1);
        // Out of order by more than the tolerance: not one TPM.
        assert_eq!(pair(1_003_000, 499_999).contradicting, 1);
    }

    #[test]
    fn far_apart_reboots_and_few_pairs_say_nothing() {
        let hour = 3_600_000;
        let a = [quote(hour, hour, 1)];
        assert_eq!(same_tpm(&a, &[quote(2 * hour, 2 * hour, 1)]).agreeing, 1);
        assert_eq!(
            same_tpm(&a, &[quote(2 * hour + 1, 2 * hour + 1, 1)]),
            Similarity::default()
        );
        let rebooted = same_tpm(&a, &[quote(hour + 60_000, hour + 30_000, 2)]);
        assert_eq!(rebooted.incomparable, 1);
        assert!(!rebooted.suspected());
        assert_eq!(same_tpm(&a, &[]), Similarity::default());
        let two = Similarity {
            agreeing: 2,
            ..Similarity::default()
        };
        assert!(!two.suspected());
        let clock = |agreeing, contradicting| Similarity {
            agreeing,
            contradicting,
            incomparable: 0,
        };
        assert!(clock(3, 0).suspected() && !clock(9, 1).suspected());
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        let a = [quote(0, u64::MAX, u32::MAX), quote(u64::MAX, 0, 0)];
        let _ = same_tpm(&a, &[quote(0, 0, 0), quote(u64::MAX, u64::MAX, u32::MAX)]);
    }
}
