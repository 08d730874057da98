//! OVMF's tables for confidential guests: where what is measured beside the firmware itself lies (edk2,
//! OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm and OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm).

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;

/// What memory is measured in.
pub const PAGE_BYTES: usize = 4096;
/// The firmware ends here.
const END: u64 = 1 << 32;
/// Largest firmware that is read; real ones have 4 MiB.
const FIRMWARE_BYTES_MAX: usize = 16 << 20;
const SECTIONS_MAX: u32 = 64;

type Guid = [u8; 16];

/// As it is written in edk2, in the order of its bytes.
const fn guid(head: u32, middle: [u16; 2], tail: u64) -> Guid {
    let (a, b, c) = (
        head.to_le_bytes(),
        middle[0].to_le_bytes(),
        middle[1].to_le_bytes(),
    );
    let t = tail.to_be_bytes();
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], t[0], t[1], t[2], t[3], t[4], t[5], t[6],
        t[7],
    ]
}

const FOOTER: Guid = guid(0x96b5_82de, [0x1fb2, 0x45f7], 0xbaea_a366_c55a_082d);
const KERNEL_HASHES: Guid = guid(0x7255_371f, [0x3a3b, 0x4b04], 0x927b_1da6_efa8_d454);
const RESET_BLOCK: Guid = guid(0x00f7_71de, [0x1a7e, 0x4fcb], 0x890e_68c7_7e2f_b44e);
const METADATA: Guid = guid(0xdc88_6566, [0x984a, 0x4798], 0xa75e_5585_a7bf_67cc);

/// Before the footer, at the end, is the reset vector.
const RESET_VECTOR_BYTES: usize = 32;
/// A length and a name, behind what they are of.
const ENTRY_BYTES: usize = 18;
const METADATA_HEAD_BYTES: usize = 16;
const SECTION_BYTES: usize = 12;

/// What a section of guest memory is before the guest starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Zeros.
    Zero,
    /// The firmware's secrets page; only its place is measured.
    Secrets,
    /// What CPUID says; only its place is measured.
    Cpuid,
    /// The hashes of kernel, initial file system and command line.
    KernelHashes,
}

/// A section of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Where.
    pub address: u64,
    /// How long, in whole pages.
    pub bytes: usize,
    /// What.
    pub kind: Kind,
}

/// One firmware image.
#[derive(Debug)]
pub struct Firmware<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// In the order they are measured.
    pub sections: Vec<Section>,
    /// Where the kernel hashes begin within their page.
    pub hashes_offset: usize,
    /// Where processors but the first begin.
    pub reset_address: u32,
}

impl<'a> Firmware<'a> {
    /// Reads the tables. Firmware without a place for kernel hashes is refused: it would start any kernel.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        ensure!(
            !bytes.is_empty()
                && bytes.len() <= FIRMWARE_BYTES_MAX
                && bytes.len().is_multiple_of(PAGE_BYTES),
            "firmware: expected whole pages of {PAGE_BYTES} bytes, {FIRMWARE_BYTES_MAX} at most, got {}",
            bytes.len()
        );
        let table = table(bytes)?;
        let named = |name: &Guid, what: &str| {
            let value = table.get(name).and_then(|value| u32_at(value, 0));
            value.with_context(|| format!("firmware: expected {what}, found none"))
        };
        let sections = sections(bytes, named(&METADATA, "metadata for SEV")?)?;
        let hashes = named(&KERNEL_HASHES, "a place for kernel hashes")?;
        let page = sections
            .iter()
            .find(|section| section.kind == Kind::KernelHashes)
            .context("firmware: expected a page for kernel hashes, found none")?;
        let offset = u64::from(hashes).checked_sub(page.address);
        let offset = offset.and_then(|offset| usize::try_from(offset).ok());
        let offset = offset.filter(|offset| *offset < PAGE_BYTES && page.bytes == PAGE_BYTES);
        Ok(Self {
            bytes,
            hashes_offset: offset
                .context("firmware: kernel hashes: expected a place in their one page")?,
            reset_address: named(&RESET_BLOCK, "a reset block for SEV-ES")?,
            sections,
        })
    }

    /// Where its first byte is in guest memory.
    pub fn address(&self) -> u64 {
        END - self.bytes.len() as u64
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Names and values, read from the end towards the start: each value, its length with this head, its name.
fn table(bytes: &[u8]) -> Result<BTreeMap<Guid, &[u8]>> {
    let end = bytes.len().saturating_sub(RESET_VECTOR_BYTES);
    let (name, mut rest) = entry(bytes.get(..end).unwrap_or_default())
        .filter(|(name, _, _)| *name == FOOTER)
        .map(|(name, value, _)| (name, value))
        .context("firmware: expected OVMF's table at the end, found none")?;
    let mut table = BTreeMap::from([(name, rest)]);
    while !rest.is_empty() {
        let (name, value, before) = entry(rest).context("firmware: a length in OVMF's table")?;
        table.insert(name, value);
        rest = before;
    }
    Ok(table)
}

/// The last entry of `bytes`: name, value, and what is before it.
fn entry(bytes: &[u8]) -> Option<(Guid, &[u8], &[u8])> {
    let (rest, head) = bytes.split_last_chunk::<ENTRY_BYTES>()?;
    let [low, high, name @ ..] = head;
    let length = usize::from(u16::from_le_bytes([*low, *high])).checked_sub(ENTRY_BYTES)?;
    let (before, value) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
    Some((*name, value, before))
}

fn sections(bytes: &[u8], from_end: u32) -> Result<Vec<Section>> {
    let metadata = bytes.len().checked_sub(from_end as usize);
    let metadata = metadata.and_then(|start| bytes.get(start..));
    let metadata = metadata.context("firmware: metadata: expected a place inside")?;
    let head = (metadata.get(..4), u32_at(metadata, 8), u32_at(metadata, 12));
    let (Some(b"ASEV"), Some(1), Some(count @ 1..=SECTIONS_MAX)) = head else {
        bail!(
            "firmware: metadata: expected \"ASEV\", version 1, 1 to {SECTIONS_MAX} sections, got {head:?}"
        );
    };
    (0..count as usize)
        .map(|index| section(metadata, METADATA_HEAD_BYTES + index * SECTION_BYTES))
        .collect()
}

fn section(metadata: &[u8], at: usize) -> Result<Section> {
    let field = |index: usize| u32_at(metadata, at + 4 * index);
    let fields = field(0).zip(field(1)).zip(field(2));
    let ((address, bytes), kind) = fields.context("firmware: metadata: cut short")?;
    let kind = match kind {
        // Memory of the firmware's first phase, and the calling area of an SVSM, which there is none of.
        1 | 4 => Kind::Zero,
        2 => Kind::Secrets,
        3 => Kind::Cpuid,
        0x10 => Kind::KernelHashes,
        other => bail!("firmware: metadata: expected a section of kind 1 to 4 or 16, got {other}"),
    };
    let (address, bytes) = (u64::from(address), bytes as usize);
    ensure!(
        address.is_multiple_of(PAGE_BYTES as u64)
            && bytes.is_multiple_of(PAGE_BYTES)
            && bytes <= FIRMWARE_BYTES_MAX,
        "firmware: metadata: expected whole pages, got {bytes} bytes at {address:#x}"
    );
    Ok(Section {
        address,
        bytes,
        kind,
    })
}

/// Firmware made by code, with the tables of a real one.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// Sections as edk2's AmdSev build of 2026 has them.
    pub const SECTIONS: [(u32, u32, u32); 7] = [
        (0x80_0000, 0x9000, 1),
        (0x80_a000, 0x3000, 1),
        (0x80_d000, 0x1000, 2),
        (0x80_e000, 0x1000, 3),
        (0x80_f000, 0x1000, 4),
        (0x81_1000, 0x1_f000, 1),
        (0x81_0000, 0x1000, 0x10),
    ];
    pub const HASHES: u32 = 0x81_0c00;
    const RESET: u32 = 0x80_b004;

    /// Four pages.
    pub fn image() -> Vec<u8> {
        with(&SECTIONS, Some(HASHES))
    }

    pub fn with(sections: &[(u32, u32, u32)], hashes: Option<u32>) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..4 * PAGE_BYTES).map(|at| (at % 251) as u8).collect();
        let end = bytes.len();
        let mut metadata = b"ASEV".to_vec();
        let length = METADATA_HEAD_BYTES + sections.len() * SECTION_BYTES;
        for word in [length as u32, 1, sections.len() as u32] {
            metadata.extend(word.to_le_bytes());
        }
        for (address, bytes, kind) in sections {
            metadata.extend(
                [address, bytes, kind]
                    .iter()
                    .flat_map(|word| word.to_le_bytes()),
            );
        }
        put(&mut bytes, end - 2048, &metadata);
        let mut table = Vec::new();
        table.extend(named(&2048u32.to_le_bytes(), METADATA));
        if let Some(hashes) = hashes {
            let place = [hashes.to_le_bytes(), 0x400u32.to_le_bytes()].concat();
            table.extend(named(&place, KERNEL_HASHES));
        }
        table.extend(named(&RESET.to_le_bytes(), RESET_BLOCK));
        let table = named(&table, FOOTER);
        put(&mut bytes, end - RESET_VECTOR_BYTES - table.len(), &table);
        bytes
    }

    fn named(value: &[u8], name: Guid) -> Vec<u8> {
        let length = ((value.len() + ENTRY_BYTES) as u16).to_le_bytes();
        [value, &length, &name].concat()
    }

    fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
        bytes[at..at + what.len()].copy_from_slice(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_a_firmware_are_read() {
        let bytes = testing::image();
        let firmware = Firmware::parse(&bytes).unwrap();
        assert_eq!(firmware.sections.len(), 7);
        assert_eq!(firmware.sections[0].bytes, 0x9000);
        assert_eq!(firmware.sections[6].kind, Kind::KernelHashes);
        assert_eq!(firmware.hashes_offset, 0xc00);
        assert_eq!(firmware.reset_address, 0x80_b004);
        assert_eq!(firmware.address(), 0xffff_c000);
    }

    fn refused(bytes: &[u8]) -> String {
        Firmware::parse(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_would_not_check_a_kernel_is_refused() {
        let sections = &testing::SECTIONS;
        let without = testing::with(&sections[..6], Some(testing::HASHES));
        assert!(refused(&without).contains("a page for kernel hashes, found none"));
        let without = testing::with(sections, None);
        assert!(refused(&without).contains("a place for kernel hashes, found none"));
        for place in [0x81_0000 - 1, 0x81_1000, 0] {
            let elsewhere = testing::with(sections, Some(place));
            assert!(
                refused(&elsewhere).contains("in their one page"),
                "{place:#x}"
            );
        }
    }

    #[test]
    fn other_files_and_unknown_sections_are_refused_by_what_is_wrong() {
        for bytes in [
            vec![],
            vec![0; 4095],
            vec![0; FIRMWARE_BYTES_MAX + PAGE_BYTES],
        ] {
            assert!(
                refused(&bytes).contains("expected whole pages"),
                "{}",
                bytes.len()
            );
        }
        assert!(refused(&[0; 8192]).contains("OVMF's table"));
        let mut sections = testing::SECTIONS;
        sections[0].2 = 5;
        assert!(refused(&testing::with(&sections, Some(1))).contains("got 5"));
        sections[0] = (0x80_0800, 0x1000, 1);
        assert!(refused(&testing::with(&sections, Some(1))).contains("at 0x800800"));
        sections[0] = (0x80_0000, 0x800, 1);
        assert!(refused(&testing::with(&sections, Some(1))).contains("got 2048 bytes"));
        assert!(refused(&testing::with(&[], Some(1))).contains("1 to 64 sections"));
    }

    /// No byte of the tables makes it panic.
    #[test]
    fn any_byte_of_the_tables_may_be_wrong() {
        let good = testing::image();
        for at in good.len() - 2100..good.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = Firmware::parse(&bytes);
            }
        }
    }
}
