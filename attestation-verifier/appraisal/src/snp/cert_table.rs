//! The certificate table a host hands to its guest with an extended report (GHCB specification 56421,
//! section 4.1.8.1; the `auxblob` of configfs-tsm).
//!
//! The host wrote it: nothing in it is authenticated, and it is only a place to find certificates.

use crate::tpm::reader::{FormatError, Reader};

/// Largest table accepted, bytes: what the guest driver allocates at most.
pub const TABLE_BYTES_MAX: usize = 0x8000;
/// Most entries accepted.
pub const ENTRIES_MAX: usize = 16;
const ENTRY_BYTES: usize = 24;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// 63da758d-e664-4564-adc5-f4b93be8accd.
    Vcek,
    /// a8074bc2-a25a-483e-aae6-39c045a0b8a1.
    Vlek,
    /// 4ab7b379-bbac-4fe4-a02f-05aef327c782.
    Ask,
    /// c0b406a4-a803-4952-9743-3fb6014cd0ae.
    Ark,
    /// 92f81bc3-5811-4d3d-97ff-d19f88dc67ea.
    Crl,
    /// The host may add entries of its own: they are skipped, because nothing is read from them.
    Other([u8; 16]),
}

impl EntryKind {
    /// GUIDs are written as their text reads, most significant byte first.
    fn of(guid: [u8; 16]) -> Self {
        match u128::from_be_bytes(guid) {
            0x63da_758d_e664_4564_adc5_f4b9_3be8_accd => Self::Vcek,
            0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1 => Self::Vlek,
            0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782 => Self::Ask,
            0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae => Self::Ark,
            0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea => Self::Crl,
            _ => Self::Other(guid),
        }
    }
}

/// A parsed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertTable<'a>(Vec<(EntryKind, &'a [u8])>);

impl<'a> CertTable<'a> {
    /// Parses a table: entries up to the one of zeros, each within the bytes and behind the list, none twice.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut r = Reader::new("certificate table", bytes, TABLE_BYTES_MAX)?;
        let mut found: Vec<(EntryKind, usize, usize)> = Vec::new();
        loop {
            let guid: [u8; 16] = r.array("GUID")?;
            let (offset, length) = (r.u32_le("offset")?, r.u32_le("length")?);
            if guid == [0; 16] {
                if offset != 0 || length != 0 {
                    return Err(r.unexpected("last entry", "zeros", offset.max(length)));
                }
                break;
            }
            r.cap("entries", found.len().saturating_add(1), ENTRIES_MAX)?;
            let kind = EntryKind::of(guid);
            if found.iter().any(|(other, ..)| *other == kind) {
                return Err(r.unexpected("GUID", "each once", offset));
            }
            let size = |value| usize::try_from(value).unwrap_or(usize::MAX);
            found.push((kind, size(offset), size(length)));
        }
        let head = found.len().saturating_add(1).saturating_mul(ENTRY_BYTES);
        let entry = |(kind, offset, length)| Ok((kind, content(&r, bytes, head, offset, length)?));
        found
            .into_iter()
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The bytes of an entry: a certificate in DER or, from some hosts, PEM.
    pub fn get(&self, kind: EntryKind) -> Option<&'a [u8]> {
        let entry = self.0.iter().find(|(other, _)| *other == kind);
        entry.map(|(_, bytes)| *bytes)
    }

    /// All entries in order.
    pub fn entries(&self) -> &[(EntryKind, &'a [u8])] {
        &self.0
    }
}

fn content<'a>(
    r: &Reader<'_>,
    bytes: &'a [u8],
    head: usize,
    offset: usize,
    length: usize,
) -> Result<&'a [u8], FormatError> {
    let outside = || {
        let at = u64::try_from(offset).unwrap_or(u64::MAX);
        r.unexpected(
            "entry",
            "an offset behind the list and bytes within the table",
            at,
        )
    };
    let end = offset.checked_add(length).ok_or_else(outside)?;
    let content = bytes
        .get(offset..end)
        .filter(|content| offset >= head && !content.is_empty());
    content.ok_or_else(outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VCEK: [u8; 16] = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd_u128.to_be_bytes();
    const ASK: [u8; 16] = 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782_u128.to_be_bytes();

    fn table(entries: &[([u8; 16], u32, u32)], data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (guid, offset, length) in entries.iter().chain([&([0; 16], 0, 0)]) {
            out.extend(guid);
            out.extend(offset.to_le_bytes());
            out.extend(length.to_le_bytes());
        }
        out.extend(data);
        out
    }

    #[test]
    fn entries_are_found_and_unknown_ones_skipped() {
        let bytes = table(&[(VCEK, 96, 2), (ASK, 98, 1), ([7; 16], 96, 3)], b"abc");
        let parsed = CertTable::parse(&bytes).unwrap();
        assert_eq!(parsed.get(EntryKind::Vcek), Some(&b"ab"[..]));
        assert_eq!(parsed.get(EntryKind::Ask), Some(&b"c"[..]));
        assert_eq!(parsed.get(EntryKind::Ark), None);
        assert_eq!(parsed.entries().len(), 3);
        assert_eq!(parsed.get(EntryKind::Other([7; 16])), Some(&b"abc"[..]));
        assert_eq!(CertTable::parse(&table(&[], b"")).unwrap().entries(), []);
    }

    #[test]
    fn every_kind_has_its_guid() {
        for (text, kind) in [
            ("63da758de6644564adc5f4b93be8accd", EntryKind::Vcek),
            ("a8074bc2a25a483eaae639c045a0b8a1", EntryKind::Vlek),
            ("4ab7b379bbac4fe4a02f05aef327c782", EntryKind::Ask),
            ("c0b406a4a803495297433fb6014cd0ae", EntryKind::Ark),
            ("92f81bc358114d3d97ffd19f88dc67ea", EntryKind::Crl),
        ] {
            let guid: [u8; 16] = hex::decode(text).unwrap().try_into().unwrap();
            assert_eq!(EntryKind::of(guid), kind, "{text}");
        }
    }

    #[test]
    fn entries_outside_twice_empty_or_without_an_end_are_refused() {
        for bad in [
            table(&[(VCEK, 48, 4)], b"abc"),
            table(&[(VCEK, 47, 3)], b"abc"),
            table(&[(VCEK, 0, 3)], b"abc"),
            table(&[(VCEK, 48, 0)], b"abc"),
            table(&[(VCEK, u32::MAX, u32::MAX)], b"abc"),
            table(&[(VCEK, 72, 1), (VCEK, 73, 1)], b"abc"),
            table(&[([0; 16], 0, 1)], b"abc"),
            table(&[([0; 16], 1, 0)], b"abc"),
            vec![],
            vec![1; 24],
            vec![0; TABLE_BYTES_MAX + 1],
        ] {
            assert!(CertTable::parse(&bad).is_err(), "{} bytes", bad.len());
        }
        assert!(CertTable::parse(&vec![0; TABLE_BYTES_MAX]).is_ok());
        let good = table(&[(VCEK, 48, 3)], b"abc");
        for cut in 0..good.len() {
            assert!(CertTable::parse(&good[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_number_of_entries_is_capped() {
        let entries = |count: u8| {
            let data = u32::from(count + 1) * 24;
            let list: Vec<_> = (1..=count).map(|n| ([n; 16], data, 1)).collect();
            table(&list, b"a")
        };
        assert!(CertTable::parse(&entries(16)).is_ok());
        assert!(CertTable::parse(&entries(17)).is_err());
    }
}
