//! What amounts of classes, plans, commands and reports call a gwei: a billionth of the network's token, whatever its decimals;
//! of a token with less than nine, its smallest unit.

/// Decimals of most tokens, and of one that does not tell its own (EIP-20 leaves `decimals` optional).
pub const DECIMALS_USUAL: u8 = 18;
/// Most decimals that a network's token can have: with them every amount in gwei fits the contracts' 96 bits.
pub const DECIMALS_MAX: u8 = 18;
/// Decimals of an amount in gwei.
const GWEI_DECIMALS: u8 = 9;

/// The token's smallest units in a gwei, 1 to 10^9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gwei(u64);

impl Gwei {
    /// Of a token with 18 decimals.
    pub const USUAL: Self = Self(1_000_000_000);

    /// Of a token with so many decimals; none above [`DECIMALS_MAX`].
    pub fn of_decimals(decimals: u8) -> Option<Self> {
        let exponent = decimals.saturating_sub(GWEI_DECIMALS);
        let units = 10u64.checked_pow(exponent.into())?;
        (decimals <= DECIMALS_MAX).then_some(Self(units))
    }

    /// So many units; none that no number of decimals leads to.
    pub fn of_units(units: u64) -> Option<Self> {
        let mut all = (0..=DECIMALS_MAX).filter_map(Self::of_decimals);
        all.find(|gwei| gwei.0 == units)
    }

    /// The smallest units in one.
    pub fn get(self) -> u64 {
        self.0
    }

    /// So many gwei in the smallest unit.
    pub fn units(self, gwei: u64) -> u128 {
        u128::from(gwei).saturating_mul(self.0.into())
    }

    /// So many smallest units in whole gwei, 2^64 - 1 at most.
    pub fn whole(self, units: u128) -> u64 {
        let whole = units.checked_div(self.0.into()).unwrap_or(0);
        u64::try_from(whole).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gwei_is_a_billionth_or_the_smallest_unit() {
        let units = |decimals| Gwei::of_decimals(decimals).map(Gwei::get);
        assert_eq!(Gwei::of_decimals(DECIMALS_USUAL), Some(Gwei::USUAL));
        assert_eq!([0, 6, 9].map(units), [Some(1); 3]);
        assert_eq!(units(10), Some(10));
        assert_eq!(units(18), Some(1_000_000_000));
        assert_eq!([19, 255].map(units), [None; 2]);
        let most = Gwei::USUAL.units(u64::MAX);
        assert!(most < 1 << 96, "{most}");
    }

    #[test]
    fn units_are_those_of_some_decimals() {
        assert_eq!(Gwei::of_units(1_000_000_000), Some(Gwei::USUAL));
        assert_eq!(Gwei::of_units(1).map(Gwei::get), Some(1));
        for none in [0, 2, 999_999_999, u64::MAX, 10_000_000_000] {
            assert_eq!(Gwei::of_units(none), None);
        }
    }

    #[test]
    fn amounts_of_a_token_with_six_decimals_are_millionths() {
        let gwei = Gwei::of_decimals(6).unwrap();
        assert_eq!(
            (gwei.units(2_500_000), gwei.whole(2_500_000)),
            (2_500_000, 2_500_000)
        );
        let usual = Gwei::USUAL;
        assert_eq!(usual.units(3), 3_000_000_000);
        assert_eq!(usual.whole(3_999_999_999), 3);
        assert_eq!(usual.whole(u128::MAX), u64::MAX);
    }
}
