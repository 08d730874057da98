//! One-sided 95 % Wilson score bounds in exact integer arithmetic.
//!
//! With z² = 2.705543 = Z/D, Z = 2,705,543, D = 10⁶ (z = 1.644853…), s successes of n:
//!
//! ```text
//!        s + z²/2 ± z·√(s(n−s)/n + z²/4)      2Ds + Z ± √T
//!  p± =  ─────────────────────────────── =  ──────────────── ,  T = 4DZ·s(n−s)/n + Z²
//!                 n + z²                        2(Dn + Z)
//! ```
//!
//! In ppm, the lower bound is the largest p with p·2(Dn+Z) ≤ D(2Ds+Z) − D√T. All other terms are integers, so D√T may be
//! replaced by R = ⌈√⌈D²T⌉⌉ without any error; likewise the upper bound. Both are exact, not approximations.

use assay_protocol::ids::Ppm;

const Z: u128 = 2_705_543;
const D: u128 = 1_000_000;

/// One hundred per cent in parts per million.
pub const PPM_ONE: u32 = 1_000_000;

/// A proportion and its one-sided 95 % bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// s/n, rounded down.
    pub point: Ppm,
    /// Lower bound, rounded down.
    pub lower: Ppm,
    /// Upper bound, rounded up.
    pub upper: Ppm,
}

/// The bounds for `successes` of `trials`; `None` for no trials (or more successes than trials).
pub fn bounds(successes: u32, trials: u32) -> Option<Bounds> {
    let failures = trials.checked_sub(successes)?;
    if trials == 0 {
        return None;
    }
    let (s, f, n) = (
        u128::from(successes),
        u128::from(failures),
        u128::from(trials),
    );
    let root = scaled_root(s, f, n)?;
    let middle = D.checked_mul(D.checked_mul(2)?.checked_mul(s)?.checked_add(Z)?)?;
    let whole = D.checked_mul(n)?.checked_add(Z)?.checked_mul(2)?;
    Some(Bounds {
        point: ppm(s.checked_mul(D)?.checked_div(n)?)?,
        lower: ppm(middle.checked_sub(root)?.checked_div(whole)?)?,
        upper: ppm(middle.checked_add(root)?.div_ceil(whole))?,
    })
}

/// R = ⌈√⌈D²T⌉⌉ with D²T = 4D³Z·s·f/n + D²Z²; the quotient is split so that any 32-bit n fits 128 bits.
fn scaled_root(s: u128, f: u128, n: u128) -> Option<u128> {
    let factor = D.checked_pow(3)?.checked_mul(Z)?.checked_mul(4)?;
    let product = s.checked_mul(f)?;
    let whole = factor.checked_mul(product.checked_div(n)?)?;
    let rest = factor.checked_mul(product.checked_rem(n)?)?.div_ceil(n);
    let constant = D.checked_mul(Z)?.checked_pow(2)?;
    let square = whole.checked_add(rest)?.checked_add(constant)?;
    let root = square.isqrt();
    if root.checked_mul(root)? == square {
        Some(root)
    } else {
        root.checked_add(1)
    }
}

fn ppm(value: u128) -> Option<Ppm> {
    u32::try_from(value)
        .ok()
        .map(|value| Ppm(value.min(PPM_ONE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U512;
    use proptest::prelude::*;

    /// (lower, upper) in ppm by floating point, unrounded.
    fn reference(s: u32, n: u32) -> (f64, f64) {
        let (s, n, z2) = (f64::from(s), f64::from(n), 2.705_543_f64);
        let spread = (z2 * s * (n - s) / n + z2 * z2 / 4.0).sqrt();
        let low = (s + z2 / 2.0 - spread) / (n + z2);
        let high = (s + z2 / 2.0 + spread) / (n + z2);
        (low * 1e6, high * 1e6)
    }

    /// Is D(2Ds+Z) − p·2(Dn+Z) ≥ D√T, by squaring in 512 bits? (`flip` for the upper side.)
    fn at_least_root(s: u32, n: u32, p: i64, flip: bool) -> bool {
        let (s, n) = (i128::from(s), i128::from(n));
        let (d, z) = (1_000_000_i128, 2_705_543_i128);
        let left = d * (2 * d * s + z) - i128::from(p) * 2 * (d * n + z);
        let left = if flip { -left } else { left };
        if left < 0 {
            return false;
        }
        let big = |value: i128| U512::from(value.unsigned_abs());
        let t_times_n = big(4 * d * z) * big(s) * big(n - s) + big(z * z) * big(n);
        big(left) * big(left) * big(n) >= big(d * d) * t_times_n
    }

    #[test]
    fn known_values() {
        assert_eq!(bounds(0, 0), None);
        assert_eq!(bounds(2, 1), None);
        let none = bounds(0, 60).unwrap();
        assert_eq!((none.point, none.lower), (Ppm(0), Ppm(0)));
        let all = bounds(60, 60).unwrap();
        assert_eq!((all.point, all.upper), (Ppm(1_000_000), Ppm(1_000_000)));
        // 60 of 60 asserts no more than 60 / (60 + z²).
        assert_eq!(all.lower, Ppm(956_853));
        // 2,995 probes without failure assert just over 99.9 %.
        assert_eq!(bounds(2_995, 2_995).unwrap().lower, Ppm(999_097));
    }

    #[test]
    fn rounds_outwards_at_the_smallest_n() {
        let one = bounds(1, 2).unwrap();
        let (low, high) = reference(1, 2);
        assert_eq!(one.lower.0, low.floor() as u32);
        assert_eq!(one.upper.0, high.ceil() as u32);
    }

    proptest! {
        #[test]
        fn exact_by_squaring(n in 1u32.., share in 0u32..=1_000_000) {
            let s = (u64::from(n) * u64::from(share) / 1_000_000) as u32;
            let got = bounds(s, n).unwrap();
            let (low, high) = (i64::from(got.lower.0), i64::from(got.upper.0));
            prop_assert!(at_least_root(s, n, low, false));
            prop_assert!(!at_least_root(s, n, low + 1, false));
            prop_assert!(at_least_root(s, n, high, true));
            prop_assert!(!at_least_root(s, n, high - 1, true));
        }

        #[test]
        fn near_the_floating_point_formula(n in 1u32..100_000, pick: u32) {
            let s = pick % (n + 1);
            let got = bounds(s, n).unwrap();
            let (low, high) = reference(s, n);
            prop_assert!((f64::from(got.lower.0) - low).abs() <= 1.001);
            prop_assert!((f64::from(got.upper.0) - high).abs() <= 1.001);
            prop_assert!(got.lower <= got.point && got.point <= got.upper);
        }
    }
}
