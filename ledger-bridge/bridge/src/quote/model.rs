//! Periods made of blocks of the history (moving-block bootstrap, circular): outages that came together stay together.

use super::history::History;
use crate::random::Random;

const PPM_ONE: u64 = 1_000_000;

/// How periods are made.
pub(super) struct Draw<'a> {
    pub history: &'a History,
    pub period_s: u64,
    pub block_s: u64,
}

impl Draw<'_> {
    /// The availability of one period in a million, rounded down: blocks from random places until it is full, the last
    /// one cut.
    pub(super) fn availability(&self, random: &mut Random) -> u32 {
        let observed_s = self.history.observed_s();
        let mut down_s = 0u64;
        let mut left_s = self.period_s;
        while left_s > 0 {
            let length_s = left_s.min(self.block_s);
            let from_s = random.below(observed_s);
            down_s = down_s.saturating_add(self.history.down_within_s(from_s, length_s));
            left_s -= length_s;
        }
        availability_ppm(down_s, self.period_s)
    }
}

/// The share that was not down, rounded down.
pub(super) fn availability_ppm(down_s: u64, whole_s: u64) -> u32 {
    let up_s = u128::from(whole_s.saturating_sub(down_s));
    let ppm = (up_s * u128::from(PPM_ONE)).checked_div(u128::from(whole_s));
    ppm.and_then(|ppm| u32::try_from(ppm).ok()).unwrap_or(0)
}

/// The losses of all simulated periods.
pub(super) struct Losses(Vec<u64>);

impl Losses {
    pub(super) fn of(mut losses: Vec<u64>) -> Self {
        losses.sort_unstable();
        Self(losses)
    }

    /// Rounded down.
    pub(super) fn mean(&self) -> u64 {
        let sum: u128 = self.0.iter().map(|loss| u128::from(*loss)).sum();
        let mean = sum.checked_div(self.0.len() as u128).unwrap_or(0);
        u64::try_from(mean).unwrap_or(u64::MAX)
    }

    /// Nearest rank: the smallest loss that at least so many per cent of periods do not exceed.
    pub(super) fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

/// Share of periods in which something goes back, whatever that is in money; rounded up.
pub(super) fn with_credit_ppm(due_bps: &[u32]) -> u32 {
    let with_credit = due_bps.iter().filter(|bps| **bps > 0).count() as u64;
    let ppm = (with_credit * PPM_ONE).div_ceil((due_bps.len() as u64).max(1));
    u32::try_from(ppm).unwrap_or(u32::MAX)
}
