//! `EFI_SIGNATURE_LIST` (UEFI 2.10, section 32.4.1): the content of PK, KEK, db, dbx and dbt.

use super::variable::Guid;
use crate::tpm::reader::{FormatError, Reader};
use serde::{Serialize, Serializer, ser::SerializeSeq as _};

const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Most entries read of one database: as many SHA-256 entries as a log of the largest size holds.
pub const ENTRIES_MAX: usize = 32_768;

/// `EFI_CERT_X509_GUID`.
const X509: Guid = Guid([
    0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72,
]);
/// `EFI_CERT_SHA256_GUID`.
const SHA256: Guid = Guid([
    0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28,
]);

/// One entry of a key database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What kind of entry.
    pub kind: EntryKind,
    /// `SignatureOwner`: who put it there, by their own word.
    pub owner: Guid,
    /// The certificate in DER, the hash, or the bytes of a kind that is not known.
    pub data: &'a [u8],
}

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// An X.509 certificate.
    Certificate,
    /// The SHA-256 Authenticode digest of an image.
    Sha256,
    /// Another kind, by its GUID: carried, not understood.
    Other(Guid),
}

/// Parses the concatenated lists of a variable; an empty value is an empty database.
pub fn parse(value: &[u8]) -> Result<Vec<Entry<'_>>, FormatError> {
    let mut r = Reader::new("EFI_SIGNATURE_LIST", value, LIST_BYTES_MAX)?;
    let mut entries = Vec::new();
    while !r.rest().is_empty() {
        list(&mut r, &mut entries)?;
    }
    Ok(entries)
}

fn list<'a>(r: &mut Reader<'a>, entries: &mut Vec<Entry<'a>>) -> Result<(), FormatError> {
    let kind = match Guid(r.array("SignatureType")?) {
        X509 => EntryKind::Certificate,
        SHA256 => EntryKind::Sha256,
        other => EntryKind::Other(other),
    };
    let list_size = size(r, "SignatureListSize")?;
    let header_size = size(r, "SignatureHeaderSize")?;
    let size = size(r, "SignatureSize")?;
    let expected = match kind {
        EntryKind::Sha256 => size == OWNER_BYTES + 32,
        EntryKind::Certificate | EntryKind::Other(_) => size > OWNER_BYTES,
    };
    if !expected {
        let what = "an owner and an entry of its kind";
        return Err(r.unexpected("SignatureSize", what, size as u64));
    }
    r.take("SignatureHeader", header_size)?;
    let overhead = HEADER_BYTES.saturating_add(header_size);
    let body = list_size
        .checked_sub(overhead)
        .filter(|body| body.is_multiple_of(size));
    let body = body.ok_or_else(|| {
        let what = "headers and a whole number of entries";
        r.unexpected("SignatureListSize", what, list_size as u64)
    })?;
    for entry in r.take("Signatures", body)?.chunks_exact(size) {
        r.cap("entry count", entries.len().saturating_add(1), ENTRIES_MAX)?;
        if let Some((owner, data)) = entry.split_first_chunk() {
            let owner = Guid(*owner);
            entries.push(Entry { kind, owner, data });
        }
    }
    Ok(())
}

const OWNER_BYTES: usize = 16;
const HEADER_BYTES: usize = 28;

fn size(r: &mut Reader<'_>, field: &'static str) -> Result<usize, FormatError> {
    r.u32_le(field)
        .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
}

/// A key database; shown as a list of kinds and SHA-256 digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database<'a>(pub Vec<Entry<'a>>);

impl Serialize for Database<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for entry in &self.0 {
            list.serialize_element(&entry.shown())?;
        }
        list.end()
    }
}

impl Entry<'_> {
    /// `certificate:` and the SHA-256 of the DER bytes, `sha256:` and the hash, or the kind and the SHA-256 of it.
    pub fn shown(&self) -> String {
        let digest = || hex::encode(super::hash::digest(HASH, self.data));
        match self.kind {
            EntryKind::Certificate => format!("certificate:{}", digest()),
            EntryKind::Sha256 => format!("sha256:{}", hex::encode(self.data)),
            EntryKind::Other(kind) => format!("{kind}:{}", digest()),
        }
    }
}

const HASH: crate::tpm::algorithm::HashAlg = crate::tpm::algorithm::HashAlg::Sha256;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: Guid, sizes: [u32; 3], rest: &[u8]) -> Vec<u8> {
        let mut data = kind.0.to_vec();
        sizes
            .iter()
            .for_each(|size| data.extend(size.to_le_bytes()));
        data.extend(rest);
        data
    }

    fn two_hashes() -> Vec<u8> {
        let entries = [&[1; 16][..], &[2; 32], &[3; 16], &[4; 32]].concat();
        list(SHA256, [28 + 96, 0, 48], &entries)
    }

    #[test]
    fn lists_are_read_to_their_last_byte() {
        let certificate = list(
            X509,
            [28 + 2 + 19, 2, 19],
            &[&[0; 2][..], &[7; 16], b"der"].concat(),
        );
        let other = list(Guid([9; 16]), [28 + 17, 0, 17], &[8; 17]);
        let data = [two_hashes(), certificate, other].concat();
        let entries = parse(&data).unwrap();
        assert_eq!(entries.len(), 4);
        assert_eq!(
            (entries[1].owner, entries[1].data),
            (Guid([3; 16]), &[4; 32][..])
        );
        assert_eq!(
            (entries[2].kind, entries[2].data),
            (EntryKind::Certificate, &b"der"[..])
        );
        assert_eq!(entries[3].kind, EntryKind::Other(Guid([9; 16])));
        assert_eq!(entries[0].shown(), format!("sha256:{}", "02".repeat(32)));
        let digest = hex::encode(HASH.digest(&[b"der"]));
        assert_eq!(entries[2].shown(), format!("certificate:{digest}"));
        let shown = serde_json::to_value(Database(entries)).unwrap();
        assert_eq!(shown.as_array().unwrap().len(), 4);
        let digest = hex::encode(HASH.digest(&[&[8]]));
        assert_eq!(shown[3], format!("{}:{digest}", Guid([9; 16])));
        assert_eq!(parse(&[]), Ok(Vec::new()));
        let hashes = two_hashes();
        for end in 1..hashes.len() {
            assert!(parse(&hashes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn hostile_sizes_are_refused() {
        let refused =
            |kind, sizes, rest: &[u8]| parse(&list(kind, sizes, rest)).unwrap_err().to_string();
        for size in [0, 15, 16] {
            let error = refused(X509, [28, 0, size], &[]);
            assert!(
                error.contains("SignatureSize: expected an owner"),
                "{error}"
            );
        }
        for size in [47, 49] {
            let error = refused(SHA256, [28 + size, 0, size], &[0; 64]);
            assert!(error.contains("SignatureSize: expected"), "{error}");
        }
        for total in [0, 27, 28 + 47, 28 + 49] {
            let error = refused(SHA256, [total, 0, 48], &[0; 96]);
            assert!(error.contains("SignatureListSize: expected"), "{error}");
        }
        assert!(refused(X509, [u32::MAX, 0, u32::MAX - 28], &[]).contains("Signatures needs"));
        assert!(refused(X509, [28, u32::MAX, 17], &[]).contains("SignatureHeader needs"));
        assert!(parse(&list(X509, [28 + 17, 0, 17], &[0; 17])).is_ok());
    }

    #[test]
    fn the_number_of_entries_is_capped() {
        let count = ENTRIES_MAX + 1;
        let data = list(
            Guid([9; 16]),
            [28 + 17 * count as u32, 0, 17],
            &vec![0; 17 * count],
        );
        assert!(
            parse(&data)
                .unwrap_err()
                .to_string()
                .contains("entry count may be")
        );
        assert!(parse(&vec![0; LIST_BYTES_MAX + 1]).is_err());
    }
}
