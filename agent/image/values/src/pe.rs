//! As much of a PE32+ image as its measurement needs (Microsoft PE format; Windows Authenticode Portable Executable
//! Signature Format 1.0, "Calculating the PE Image Hash").

use anyhow::{Context as _, Result, ensure};
use assay_protocol::hash::sha256;
use std::ops::Range;

/// Offset of the PE header's offset.
const HEADER_POINTER: usize = 0x3c;
/// Signature and file header before the optional header.
const FILE_HEADER_BYTES: usize = 24;
const PE32_PLUS: u16 = 0x020b;
/// Within the optional header of a PE32+ image.
const SIZE_OF_HEADERS: usize = 60;
const CHECKSUM: usize = 64;
const CERTIFICATE_TABLE: usize = 144;
const SECTION_BYTES: usize = 40;

/// A parsed image.
#[derive(Debug)]
pub struct Pe<'a> {
    bytes: &'a [u8],
    /// Where the optional header begins.
    optional: usize,
    headers: usize,
    /// The signature, at the end of the file.
    certificates: Range<usize>,
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    name: String,
    /// Its bytes in the file, as far as they are in memory.
    data: Range<usize>,
    /// All of its bytes in the file.
    raw: Range<usize>,
}

impl<'a> Pe<'a> {
    /// Parses the headers; every range lies within the file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let pe = number(bytes, HEADER_POINTER, 4)?;
        ensure!(
            bytes.get(pe..pe + 4) == Some(b"PE\0\0"),
            "expected a PE image, got another file"
        );
        let optional = pe + FILE_HEADER_BYTES;
        let magic = number(bytes, optional, 2)?;
        ensure!(
            magic == usize::from(PE32_PLUS),
            "expected PE32+ (0x020b), got {magic:#06x}"
        );
        let table = optional + CERTIFICATE_TABLE;
        let (at, size) = (number(bytes, table, 4)?, number(bytes, table + 4, 4)?);
        let first = optional + number(bytes, pe + 20, 2)?;
        let sections = (0..number(bytes, pe + 6, 2)?)
            .map(|index| Section::parse(bytes, first + index * SECTION_BYTES))
            .collect::<Result<_>>()?;
        Ok(Self {
            bytes,
            optional,
            headers: number(bytes, optional + SIZE_OF_HEADERS, 4)?,
            certificates: within(bytes, at, size)?,
            sections,
        })
    }

    /// The first section of this name, as it lies in memory.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        self.bytes.get(section.data.clone())
    }

    /// The Authenticode hash with SHA-256: all but the checksum, the place of the signature, and the signature.
    pub fn authenticode(&self) -> Result<[u8; 32]> {
        let (checksum, table) = (self.optional + CHECKSUM, self.optional + CERTIFICATE_TABLE);
        let mut ranges = vec![0..checksum, checksum + 4..table, table + 8..self.headers];
        let mut sections: Vec<Range<usize>> = self
            .sections
            .iter()
            .map(|section| section.raw.clone())
            .collect();
        sections.retain(|raw| !raw.is_empty());
        sections.sort_by_key(|raw| raw.start);
        let end = sections
            .iter()
            .map(|raw| raw.end)
            .max()
            .unwrap_or(self.headers);
        ranges.extend(sections);
        // What follows the last section and is no signature.
        let last = match self.certificates.is_empty() {
            true => self.bytes.len(),
            false => self.certificates.start,
        };
        ranges.push(end..last.max(end));
        let parts: Option<Vec<&[u8]>> = ranges
            .into_iter()
            .map(|range| self.bytes.get(range))
            .collect();
        Ok(sha256(
            &parts.context("headers that contradict each other")?,
        ))
    }
}

impl Section {
    fn parse(bytes: &[u8], at: usize) -> Result<Self> {
        let name = bytes
            .get(at..at + 8)
            .context("a section header beyond the file")?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let raw = within(
            bytes,
            number(bytes, at + 20, 4)?,
            number(bytes, at + 16, 4)?,
        )?;
        let size = number(bytes, at + 8, 4)?.min(raw.len());
        Ok(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            data: raw.start..raw.start + size,
            raw,
        })
    }
}

/// A little-endian number of two or four bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Result<usize> {
    let found = bytes
        .get(at..at.saturating_add(size))
        .context("a header beyond the file")?;
    Ok(found
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn within(bytes: &[u8], start: usize, size: usize) -> Result<Range<usize>> {
    let end = start + size;
    ensure!(
        end <= bytes.len(),
        "bytes {start} to {end} of a file of {}",
        bytes.len()
    );
    Ok(start..end)
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// A PE32+ image with these sections, the name's data as given.
    pub fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let (pe, optional_bytes, alignment) = (0x80, 240, 512);
        let optional = pe + FILE_HEADER_BYTES;
        let headers = 1024;
        let mut bytes = vec![0; headers];
        let put = |bytes: &mut Vec<u8>, at: usize, value: usize, size: usize| {
            bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        };
        bytes[..2].copy_from_slice(b"MZ");
        put(&mut bytes, HEADER_POINTER, pe, 4);
        bytes[pe..pe + 4].copy_from_slice(b"PE\0\0");
        put(&mut bytes, pe + 6, sections.len(), 2);
        put(&mut bytes, pe + 20, optional_bytes, 2);
        put(&mut bytes, optional, usize::from(PE32_PLUS), 2);
        put(&mut bytes, optional + SIZE_OF_HEADERS, headers, 4);
        for (index, (name, data)) in sections.iter().enumerate() {
            let at = optional + optional_bytes + index * SECTION_BYTES;
            let start = bytes.len();
            bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
            put(&mut bytes, at + 8, data.len(), 4);
            put(
                &mut bytes,
                at + 16,
                data.len().next_multiple_of(alignment),
                4,
            );
            put(&mut bytes, at + 20, start, 4);
            bytes.extend_from_slice(data);
            bytes.resize(start + data.len().next_multiple_of(alignment), 0);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_as_long_as_it_is_in_memory() {
        let bytes = testing::image(&[(".linux", b"kernel"), (".cmdline", b"quiet")]);
        let pe = Pe::parse(&bytes).unwrap();
        assert_eq!(pe.section(".cmdline"), Some(&b"quiet"[..]));
        assert_eq!(pe.section(".initrd"), None);
    }

    #[test]
    fn a_signature_does_not_change_the_hash_and_everything_else_does() {
        let bytes = testing::image(&[(".linux", b"kernel")]);
        let hash = Pe::parse(&bytes).unwrap().authenticode().unwrap();
        let optional = 0x80 + FILE_HEADER_BYTES;
        let mut signed = bytes.clone();
        signed.extend([0xaa; 64]);
        let table = optional + CERTIFICATE_TABLE;
        signed[table..table + 4]
            .copy_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        signed[table + 4..table + 8].copy_from_slice(&64u32.to_le_bytes());
        signed[optional + CHECKSUM] = 9;
        assert_eq!(Pe::parse(&signed).unwrap().authenticode().unwrap(), hash);
        for at in [0x10, 0x300, bytes.len() - 1] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_ne!(
                Pe::parse(&other).unwrap().authenticode().unwrap(),
                hash,
                "byte {at}"
            );
        }
    }

    #[test]
    fn cut_files_and_other_files_are_refused() {
        let bytes = testing::image(&[(".linux", b"kernel")]);
        for length in [0, 0x3e, 0x81, 0x90, 0x120, bytes.len() - 1] {
            assert!(Pe::parse(&bytes[..length]).is_err(), "{length}");
        }
        let mut other = bytes.clone();
        other[0x80] = b'X';
        assert!(
            Pe::parse(&other)
                .unwrap_err()
                .to_string()
                .contains("expected a PE image")
        );
    }
}
