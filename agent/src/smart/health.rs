//! The numbers in the log page "SMART / Health Information" (NVM Express Base Specification 2.0, section 5.16.1.3,
//! figure 207). All are little-endian; counts have 128 bits.

use assay_devices::Page;

/// The page counts thousands of 512 bytes, rounded up.
const DATA_UNIT_BYTES: u64 = 512_000;

/// What a controller says of itself. What it does not report, or no 64 bits hold, is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// A bit each: spare below its threshold, temperature, reliability, read-only, volatile memory backup, persistent
    /// memory region.
    pub critical_warning_bits: u8,
    /// Composite temperature, kelvin.
    pub temperature_k: Option<u16>,
    /// Spare capacity left, percent.
    pub available_spare_percent: u8,
    /// Life used, as the vendor estimates it, percent; goes on beyond 100.
    pub used_percent: u8,
    /// Data read by the host, bytes, in whole data units.
    pub read_bytes: Option<u64>,
    /// Data written by the host, bytes, in whole data units.
    pub write_bytes: Option<u64>,
    /// Read commands completed, count.
    pub read_ios: Option<u64>,
    /// Write commands completed, count.
    pub write_ios: Option<u64>,
    /// Times the power came, count.
    pub power_cycles: Option<u64>,
    /// Time under power, hours.
    pub power_on_hours: Option<u64>,
    /// Times the power went without notice, count.
    pub unsafe_shutdowns: Option<u64>,
    /// Errors that the controller could not correct, count.
    pub media_errors: Option<u64>,
}

impl Health {
    /// Reads them. Every page has a meaning.
    pub fn of(page: &Page) -> Self {
        // Nothing is at absolute zero, and no unit stands for "not reported".
        let bytes = |at| {
            count(page, at)
                .filter(|units| *units != 0)?
                .checked_mul(DATA_UNIT_BYTES)
        };
        Self {
            critical_warning_bits: byte(page, 0),
            temperature_k: Some(u16::from_le_bytes([byte(page, 1), byte(page, 2)]))
                .filter(|kelvin| *kelvin != 0),
            available_spare_percent: byte(page, 3),
            used_percent: byte(page, 5),
            read_bytes: bytes(32),
            write_bytes: bytes(48),
            read_ios: count(page, 64),
            write_ios: count(page, 80),
            power_cycles: count(page, 112),
            power_on_hours: count(page, 128),
            unsafe_shutdowns: count(page, 144),
            media_errors: count(page, 160),
        }
    }
}

fn byte(page: &Page, at: usize) -> u8 {
    page.get(at).copied().unwrap_or_default()
}

fn count(page: &Page, at: usize) -> Option<u64> {
    let bytes = page.get(at..)?.first_chunk()?;
    u64::try_from(u128::from_le_bytes(*bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte is its own place, so that no field can be taken for another.
    fn page() -> Page {
        let mut page = std::array::from_fn(|at| at as u8);
        for at in (32..192).step_by(16) {
            page[at + 4..at + 16].fill(0);
        }
        page
    }

    #[test]
    fn every_number_is_where_the_specification_has_it() {
        let number = |at: u8| u64::from(u32::from_le_bytes([at, at + 1, at + 2, at + 3]));
        let expected = Health {
            critical_warning_bits: 0,
            temperature_k: Some(0x0201),
            available_spare_percent: 3,
            used_percent: 5,
            read_bytes: Some(number(32) * 512_000),
            write_bytes: Some(number(48) * 512_000),
            read_ios: Some(number(64)),
            write_ios: Some(number(80)),
            power_cycles: Some(number(112)),
            power_on_hours: Some(number(128)),
            unsafe_shutdowns: Some(number(144)),
            media_errors: Some(number(160)),
        };
        assert_eq!(Health::of(&page()), expected);
        let mut warned = page();
        warned[0] = 0x15;
        assert_eq!(Health::of(&warned).critical_warning_bits, 0x15);
    }

    #[test]
    fn what_is_not_reported_is_absent_and_a_count_of_nothing_is_zero() {
        let nothing = Health::of(&[0; 512]);
        assert_eq!(nothing.temperature_k, None);
        assert_eq!((nothing.read_bytes, nothing.write_bytes), (None, None));
        assert_eq!((nothing.read_ios, nothing.write_ios), (Some(0), Some(0)));
        let rest = (nothing.media_errors, nothing.power_cycles);
        assert_eq!(rest, (Some(0), Some(0)));
    }

    #[test]
    fn a_count_that_64_bits_do_not_hold_is_absent() {
        type Of = fn(Health) -> Option<u64>;
        let counts: [(Of, usize, u64); 8] = [
            (|health| health.read_bytes, 32, 512_000),
            (|health| health.write_bytes, 48, 512_000),
            (|health| health.read_ios, 64, 1),
            (|health| health.write_ios, 80, 1),
            (|health| health.power_cycles, 112, 1),
            (|health| health.power_on_hours, 128, 1),
            (|health| health.unsafe_shutdowns, 144, 1),
            (|health| health.media_errors, 160, 1),
        ];
        for (of, at, unit) in counts {
            let with = |count: u128| {
                let mut page = page();
                page[at..at + 16].copy_from_slice(&count.to_le_bytes());
                of(Health::of(&page))
            };
            let most = u64::MAX / unit;
            assert_eq!(with(most.into()), Some(most * unit), "{at}");
            assert_eq!(with(u128::from(most) + 1), None, "{at}");
            assert_eq!(with(u128::from(u64::MAX) + 2), None, "{at}");
            assert_eq!(with(1 << 127), None, "{at}");
        }
    }
}
