//! `POLICY`: what the guest's owner allows the host to do (SEV-SNP ABI 56860, section 4.3).

use crate::tpm::reader::{FormatError, Reader};

/// The bit that firmware requires to be one.
const RESERVED_ONE: u64 = 1 << 17;
/// Bits no revision of the specification defines.
const RESERVED_ZERO: u64 = !0 << 26;

/// A guest policy, its reserved bits checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestPolicy(u64);

/// An API version of the firmware; ordered.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Abi {
    /// Major number.
    pub major: u8,
    /// Minor number.
    pub minor: u8,
}

impl core::fmt::Display for Abi {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl GuestPolicy {
    /// Reads the eight bytes, little-endian; reserved bits must be as specified.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, FormatError> {
        let bits = u64::from_le_bytes(r.array("POLICY")?);
        if bits & RESERVED_ZERO != 0 || bits & RESERVED_ONE == 0 {
            return Err(r.unexpected("POLICY", "bit 17 set, bits 26 to 63 clear", bits));
        }
        Ok(Self(bits))
    }

    /// All bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The lowest firmware API the guest may run under.
    pub fn abi_min(self) -> Abi {
        let [minor, major, ..] = self.0.to_le_bytes();
        Abi { major, minor }
    }

    /// The guest may run where simultaneous multithreading is on.
    pub fn smt_allowed(self) -> bool {
        self.bit(16)
    }

    /// A migration agent may be bound to the guest.
    pub fn migration_allowed(self) -> bool {
        self.bit(18)
    }

    /// The host may decrypt and change the guest's memory.
    pub fn debug_allowed(self) -> bool {
        self.bit(19)
    }

    /// The guest runs on one socket only.
    pub fn single_socket(self) -> bool {
        self.bit(20)
    }

    fn bit(self, at: u32) -> bool {
        self.0.checked_shr(at).is_some_and(|bits| bits & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bits: u64) -> Result<GuestPolicy, FormatError> {
        GuestPolicy::read(&mut Reader::new("TEST", &bits.to_le_bytes(), 8).unwrap())
    }

    #[test]
    fn each_bit_is_where_the_specification_puts_it() {
        let plain = read(0x2_1f03).unwrap();
        assert_eq!(
            plain.abi_min(),
            Abi {
                major: 0x1f,
                minor: 3
            }
        );
        assert_eq!(plain.bits(), 0x2_1f03);
        assert!(!plain.smt_allowed() && !plain.migration_allowed());
        assert!(!plain.debug_allowed() && !plain.single_socket());
        assert!(read(0x3_0000).unwrap().smt_allowed());
        assert!(read(0x6_0000).unwrap().migration_allowed());
        assert!(read(0xa_0000).unwrap().debug_allowed());
        assert!(read(0x12_0000).unwrap().single_socket());
    }

    #[test]
    fn reserved_bits_are_refused_and_known_ones_are_not() {
        assert!(read(0).is_err() && read(0x1_0000).is_err());
        for bit in 26..64 {
            assert!(read(0x2_0000 | 1 << bit).is_err(), "{bit}");
        }
        assert!(read(0x3ff_0000).is_ok());
    }

    #[test]
    fn api_versions_are_ordered_by_major_then_minor() {
        let abi = |major, minor| Abi { major, minor };
        assert!(abi(1, 0) > abi(0, 255) && abi(1, 2) > abi(1, 1));
        assert_eq!(abi(1, 55).to_string(), "1.55");
    }
}
