//! `UEFI_VARIABLE_DATA` (PC Client Platform Firmware Profile 1.05, section 10.2.6).

use super::text;
use crate::tpm::reader::{FormatError, Reader};
use core::fmt;

/// Longest variable name read, in UTF-16 units.
const NAME_UNITS_MAX: usize = 256;
const VARIABLE_BYTES_MAX: usize = 1024 * 1024;

/// A GUID as it lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Guid(pub [u8; 16]);

/// `EFI_GLOBAL_VARIABLE`: SecureBoot, PK, KEK, BootOrder, Boot####.
pub const GLOBAL_VARIABLE: Guid = Guid([
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
]);
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`: db, dbx, dbt, dbr.
pub const IMAGE_SECURITY_DATABASE: Guid = Guid([
    0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f,
]);
/// shim's lock GUID: SbatLevel, MokList, Shim.
pub const SHIM_LOCK: Guid = Guid([
    0x50, 0xab, 0x5d, 0x60, 0x46, 0xe0, 0x00, 0x43, 0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23,
]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        let first = u32::from_le_bytes([a, b, c, d]);
        let (second, third) = (u16::from_le_bytes([e, g]), u16::from_le_bytes([h, i]));
        let [j, k, node @ ..] = rest;
        write!(f, "{first:08x}-{second:04x}-{third:04x}-{j:02x}{k:02x}-")?;
        node.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for Guid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A UEFI variable as measured; says nothing about whether a digest covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable<'a> {
    /// The namespace of the name.
    pub guid: Guid,
    /// The name.
    pub name: String,
    /// The value.
    pub value: &'a [u8],
}

impl<'a> Variable<'a> {
    /// Parses the structure and nothing behind it.
    pub fn parse(data: &'a [u8]) -> Result<Self, FormatError> {
        let (variable, rest) = Self::parse_prefix(data)?;
        match rest.len() {
            0 => Ok(variable),
            count => Err(FormatError::Trailing {
                structure: STRUCTURE,
                count,
            }),
        }
    }

    /// Parses the structure; yields what is behind it.
    pub fn parse_prefix(data: &'a [u8]) -> Result<(Self, &'a [u8]), FormatError> {
        let mut r = Reader::new(STRUCTURE, data, VARIABLE_BYTES_MAX)?;
        let guid = Guid(r.array("VariableName")?);
        let units = size(&mut r, "UnicodeNameLength")?;
        let bytes = size(&mut r, "VariableDataLength")?;
        r.cap("UnicodeNameLength", units, NAME_UNITS_MAX)?;
        let name = r.take("UnicodeName", units.saturating_mul(2))?;
        let name = text::utf16(name, false)
            .ok_or_else(|| r.unexpected("UnicodeName", "printable UTF-16", units as u64))?;
        let value = r.take("VariableData", bytes)?;
        Ok((Self { guid, name, value }, r.rest()))
    }

    /// Whether it is this variable of this namespace.
    pub fn is(&self, guid: Guid, name: &str) -> bool {
        self.guid == guid && self.name == name
    }
}

const STRUCTURE: &str = "UEFI_VARIABLE_DATA";

fn size(r: &mut Reader<'_>, field: &'static str) -> Result<usize, FormatError> {
    let value = r.array(field).map(u64::from_le_bytes)?;
    Ok(usize::try_from(value).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name_units: u64, value_bytes: u64, tail: &[u8]) -> Vec<u8> {
        let mut data = GLOBAL_VARIABLE.0.to_vec();
        data.extend(name_units.to_le_bytes());
        data.extend(value_bytes.to_le_bytes());
        data.extend(tail);
        data
    }

    #[test]
    fn a_variable_is_read_to_its_last_byte() {
        let data = variable(2, 3, b"P\0K\0\x01\x02\x03");
        let found = Variable::parse(&data).unwrap();
        assert!(found.is(GLOBAL_VARIABLE, "PK") && found.value == [1, 2, 3]);
        assert!(!found.is(IMAGE_SECURITY_DATABASE, "PK") && !found.is(GLOBAL_VARIABLE, "KEK"));
        for end in 0..data.len() {
            assert!(Variable::parse(&data[..end]).is_err(), "{end}");
        }
        let longer = [&data[..], &[0]].concat();
        let error = Variable::parse(&longer).unwrap_err().to_string();
        assert!(error.contains("no trailing bytes, got 1"), "{error}");
        assert_eq!(Variable::parse_prefix(&longer).unwrap().1, [0]);
    }

    #[test]
    fn hostile_lengths_and_names_are_refused() {
        let refused = |data: &[u8]| Variable::parse(data).unwrap_err().to_string();
        for huge in [u64::MAX, u64::MAX / 2 + 1, 257] {
            let error = refused(&variable(huge, 0, &[]));
            assert!(error.contains("UnicodeNameLength may be 256"), "{error}");
        }
        assert!(refused(&variable(2, u64::MAX, b"P\0K\0")).contains("VariableData needs"));
        assert!(refused(&variable(0, 0, b"")).contains("UnicodeName: expected printable"));
        // A lone surrogate, a NUL inside.
        for name in [[0x00, 0xd8], [0, 0]] {
            assert!(refused(&variable(1, 0, &name)).contains("expected printable"));
        }
        let longest = variable(256, 0, &b"a\0".repeat(256));
        assert_eq!(Variable::parse(&longest).unwrap().name.len(), 256);
    }

    #[test]
    fn guids_are_written_as_usual() {
        let shown = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
        assert_eq!(GLOBAL_VARIABLE.to_string(), shown);
        assert_eq!(serde_json::to_value(GLOBAL_VARIABLE).unwrap(), shown);
        let shim = "605dab50-e046-4300-abb6-3dd810dd8b23";
        assert_eq!(SHIM_LOCK.to_string(), shim);
        let database = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
        assert_eq!(IMAGE_SECURITY_DATABASE.to_string(), database);
    }
}
