//! What a transaction offers for its gas, as pure arithmetic in the chain's smallest unit.

use crate::chain::Market;

/// Offer of an EIP-1559 transaction, for each unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fee {
    /// Most that is paid (`maxFeePerGas`).
    pub max: u128,
    /// What of it goes to the block's maker at most (`maxPriorityFeePerGas`); never above `max`.
    pub tip: u128,
}

impl Fee {
    /// Room for a base fee twice the present one, at most `cap`.
    pub fn offer(market: &Market, cap: u128) -> Self {
        let wanted = market.base.saturating_mul(2).saturating_add(market.tip);
        let max = wanted.min(cap);
        Self {
            max,
            tip: market.tip.min(max),
        }
    }

    /// An offer that nodes take in this one's place: each part at least an eighth higher, and what the market asks if
    /// that is more. `None` when that is over the cap: a smaller step would be refused.
    pub fn bumped(self, market: &Market, cap: u128) -> Option<Self> {
        let offer = Self::offer(market, cap);
        let max = raised(self.max)?.max(offer.max);
        let tip = raised(self.tip)?.max(offer.tip);
        (max <= cap).then_some(Self { max, tip })
    }

    /// Whether a block could hold this offer now.
    pub fn covers(self, market: &Market) -> bool {
        self.max >= market.base
    }
}

/// ×1.125, rounded up, and never the same again.
fn raised(value: u128) -> Option<u128> {
    value.checked_add(value.div_ceil(8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fee() -> impl Strategy<Value = Fee> {
        (0..1u128 << 80, 0..=u128::MAX >> 48).prop_map(|(max, tip)| Fee {
            max,
            tip: tip.min(max),
        })
    }

    fn market() -> impl Strategy<Value = Market> {
        (any::<u128>(), any::<u128>()).prop_map(|(base, tip)| Market {
            base: base >> 44,
            tip: tip >> 60,
        })
    }

    proptest! {
        #[test]
        fn a_bump_is_an_eighth_at_least_within_the_cap_and_stays_an_offer(
            old in fee(), market in market(), cap in 0..1u128 << 90,
        ) {
            prop_assert!(Fee::offer(&market, cap).max <= cap);
            if let Some(new) = old.bumped(&market, cap) {
                prop_assert!(new.max <= cap && new.tip <= new.max);
                prop_assert!(new.max * 8 >= old.max * 9 && new.tip * 8 >= old.tip * 9);
                prop_assert!(new.max > old.max && new.tip > old.tip);
                prop_assert!(new.max >= Fee::offer(&market, cap).max);
            } else {
                prop_assert!(old.max + old.max.div_ceil(8).max(1) > cap);
            }
        }

        #[test]
        fn bumps_end_at_the_cap_and_there_are_few_of_them(market in market(), cap in 1..1u128 << 80) {
            let mut fee = Fee::offer(&market, cap);
            let mut bumps = 0;
            while let Some(next) = fee.bumped(&market, cap) {
                fee = next;
                bumps += 1;
                prop_assert!(bumps < 600, "{fee:?}");
            }
            prop_assert!(fee.max <= cap);
        }
    }

    #[test]
    fn a_market_above_the_offer_is_followed_in_one_step() {
        let (calm, spike) = (Market { base: 10, tip: 2 }, Market { base: 400, tip: 3 });
        let offer = Fee::offer(&calm, 10_000);
        assert_eq!(offer, Fee { max: 22, tip: 2 });
        assert!(offer.covers(&calm) && !offer.covers(&spike));
        assert_eq!(offer.bumped(&calm, 10_000), Some(Fee { max: 25, tip: 3 }));
        assert_eq!(offer.bumped(&spike, 10_000), Some(Fee { max: 803, tip: 3 }));
        assert_eq!(offer.bumped(&spike, 500), Some(Fee { max: 500, tip: 3 }));
        assert_eq!(offer.bumped(&calm, 24), None, "25 would be needed");
    }
}
