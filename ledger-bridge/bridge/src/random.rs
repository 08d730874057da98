//! Repeatable randomness for what is computed, never for what is kept secret.

/// SplitMix64. The same seed gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for one part of a computation, so that parts do not shift each other's numbers.
    pub fn fork(seed: u64, parts: &[u64]) -> Self {
        let mut random = Self::new(seed);
        for part in parts {
            random = Self::new(random.word() ^ part.wrapping_mul(0xff51_afd7_ed55_8ccd));
        }
        random
    }

    /// 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0. Off by less than bound/2⁶⁴ from equal chances.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.word()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// True with so many chances in a million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pinned_and_forks_are_apart() {
        // Changing these changes every printed table.
        let mut random = Random::new(1);
        assert_eq!(
            [random.word(), random.word()],
            [10_451_216_379_200_822_465, 13_757_245_211_066_428_519]
        );
        let first = |parts: &[u64]| Random::fork(7, parts).word();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
    }

    #[test]
    fn chances_are_in_proportion() {
        let mut random = Random::new(3);
        let hits = (0..100_000).filter(|_| random.chance(250_000)).count();
        assert!(hits.abs_diff(25_000) < 500, "{hits}");
        assert!((0..1_000).all(|_| random.below(7) < 7));
        assert_eq!(random.below(0), 0);
        assert!(!random.chance(0) && random.chance(1_000_000));
    }
}
