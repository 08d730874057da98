//! Files of PCR values: our JSON (`{"sha256":{"0":"hex"}}`) and the two forms of tpm2-tools 5.
//!
//! Nothing in such a file is authenticated: the quote's digest covers the values of the PCRs it selects, and those
//! only.

use assay_appraisal::quote::PcrValues;
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::attest::PcrSelection;
use assay_appraisal::tpm::reader::{FormatError, Reader};
use assay_protocol::ids::Digest;
use core::fmt;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::marker::PhantomData;

/// Entries of a TPML_PCR_SELECTION as a C struct.
const SELECTION_ENTRIES: usize = 16;
/// TPMS_PCR_SELECTION as a C struct: hash u16, sizeofSelect u8, pcrSelect[4], one byte of padding.
const SELECTION_BYTES: usize = 8;
/// Bytes of pcrSelect.
const SELECT_BYTES: usize = 4;
/// Digests in one TPML_DIGEST.
const DIGESTS_A_LIST: usize = 8;
/// Longest digest in a TPM2B_DIGEST struct.
const DIGEST_BUFFER: usize = 64;
/// Most PCRs of all banks together that a file may hold.
const PCRS_MAX: usize = SELECTION_ENTRIES * 32;
/// Largest serialized file, bytes.
const SERIALIZED_BYTES_MAX: usize = 1 << 17;

/// A file of PCR values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrFile {
    /// The form it has.
    pub form: Form,
    /// The values.
    pub values: PcrValues,
    /// What the file says was selected, when its form says that.
    pub selection: Option<Vec<PcrSelection>>,
}

/// The forms of such a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"sha256":{"0":"hex"}}`.
    Json,
    /// `tpm2_quote --pcrs_format=serialized`: C structs, little-endian.
    Serialized,
    /// `tpm2_quote --pcrs_format=values`: the values alone, in the order of the quote's selection.
    Values,
}

impl Form {
    /// The form in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Serialized => "tpm2-tools serialized",
            Self::Values => "tpm2-tools values",
        }
    }
}

/// A file of PCR values is not usable.
#[derive(Debug, thiserror::Error)]
pub enum PcrFileError {
    /// It has none of the forms.
    #[error(
        "neither JSON ({json}), nor tpm2-tools serialized ({serialized}), nor values ({values})"
    )]
    NoForm {
        /// Why it is not JSON.
        json: Box<PcrFileError>,
        /// Why it is not serialized.
        serialized: Box<PcrFileError>,
        /// Why it is not values.
        values: Box<PcrFileError>,
    },
    /// It has more than one of the forms.
    #[error("it can be read as {0} and as {1}")]
    Ambiguous(&'static str, &'static str),
    /// Not JSON of this shape.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A name, an index or a value that is none.
    #[error("{0}")]
    Entry(String),
    /// Not the structs of tpm2-tools.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// Values alone, of another size than the quote selects.
    #[error("{expected} bytes of values are quoted, got {actual}")]
    Size {
        /// Bytes of the PCRs selected.
        expected: usize,
        /// Bytes of the file.
        actual: usize,
    },
}

/// Reads a file of any form; `quoted` gives the order of the one that has none of its own.
pub fn read(bytes: &[u8], quoted: &[PcrSelection]) -> Result<PcrFile, PcrFileError> {
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for result in [json(bytes), serialized(bytes), values(bytes, quoted)] {
        match result {
            Ok(file) => found.push(file),
            Err(error) => failed.push(Box::new(error)),
        }
    }
    match (found.as_slice(), <[_; 3]>::try_from(failed)) {
        ([one, other, ..], _) => Err(PcrFileError::Ambiguous(one.form.name(), other.form.name())),
        (_, Ok([json, serialized, values])) => Err(PcrFileError::NoForm {
            json,
            serialized,
            values,
        }),
        _ => Ok(found.remove(0)),
    }
}

/// An object with its keys in order, twice the same key included: a later value must not hide an earlier one.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

fn json(bytes: &[u8]) -> Result<PcrFile, PcrFileError> {
    let banks: Pairs<Pairs<String>> = serde_json::from_slice(bytes)?;
    let mut values = PcrValues::new();
    for (name, pcrs) in banks.0 {
        let bank = HashAlg::from_name(&name)
            .ok_or_else(|| PcrFileError::Entry(format!("unknown bank {name:?}")))?;
        for (index, value) in pcrs.0 {
            let at = || format!("{name} PCR {index}");
            let number = pcr_index(&index)
                .ok_or_else(|| PcrFileError::Entry(format!("{}: no PCR index", at())))?;
            let value = hex::decode(&value)
                .ok()
                .filter(|value| value.len() == bank.size())
                .ok_or_else(|| PcrFileError::Entry(format!("{}: no digest", at())))?;
            if values.insert((bank, number), value).is_some() {
                return Err(PcrFileError::Entry(format!("{}: twice", at())));
            }
        }
    }
    Ok(PcrFile {
        form: Form::Json,
        values,
        selection: None,
    })
}

/// A PCR index, 0 to 31, in its one spelling.
pub fn pcr_index(text: &str) -> Option<u32> {
    let index: u32 = text.parse().ok()?;
    (index < 32 && index.to_string() == text).then_some(index)
}

fn selected(selection: &[PcrSelection]) -> impl Iterator<Item = (HashAlg, u32)> {
    selection
        .iter()
        .flat_map(|entry| entry.indices().map(|index| (entry.bank, index)))
}

fn values(bytes: &[u8], quoted: &[PcrSelection]) -> Result<PcrFile, PcrFileError> {
    let expected = selected(quoted).map(|(bank, _)| bank.size()).sum();
    if bytes.len() != expected || bytes.is_empty() {
        let actual = bytes.len();
        return Err(PcrFileError::Size { expected, actual });
    }
    let mut r = Reader::new("PCR values", bytes, bytes.len())?;
    let mut values = PcrValues::new();
    for (bank, index) in selected(quoted) {
        let value = r.take("value", bank.size())?.to_vec();
        values.insert((bank, index), value);
    }
    r.finish()?;
    Ok(PcrFile {
        form: Form::Values,
        values,
        selection: None,
    })
}

/// TPML_PCR_SELECTION, u32 count, then TPML_DIGESTs of at most eight, filled in the order of the selection. What the
/// C structs do not use is not looked at: tpm2-tools writes whatever its memory held.
fn serialized(bytes: &[u8]) -> Result<PcrFile, PcrFileError> {
    let mut r = Reader::new("tpm2-tools PCR file", bytes, SERIALIZED_BYTES_MAX)?;
    let selection = selection_list(&mut r)?;
    let mut digests = Vec::new();
    let lists = r.u32_le("list count")?;
    for _ in 0..lists {
        digest_list(&mut r, &mut digests)?;
        r.cap("digest count", digests.len(), PCRS_MAX)?;
    }
    r.finish()?;
    let pcrs: Vec<(HashAlg, u32)> = selected(&selection).collect();
    if pcrs.len() != digests.len() {
        let problem = format!("{} PCRs selected, {} values", pcrs.len(), digests.len());
        return Err(PcrFileError::Entry(problem));
    }
    let mut values = PcrValues::new();
    for ((bank, index), value) in pcrs.into_iter().zip(digests) {
        if value.len() != bank.size() || values.insert((bank, index), value).is_some() {
            let problem = format!("{} PCR {index}: no digest, or twice", bank.name());
            return Err(PcrFileError::Entry(problem));
        }
    }
    Ok(PcrFile {
        form: Form::Serialized,
        values,
        selection: Some(selection),
    })
}

fn selection_list(r: &mut Reader<'_>) -> Result<Vec<PcrSelection>, FormatError> {
    let count = usize::try_from(r.u32_le("selection count")?).unwrap_or(usize::MAX);
    r.cap("selection count", count, SELECTION_ENTRIES)?;
    let mut selection = Vec::new();
    for entry in 0..SELECTION_ENTRIES {
        if entry >= count {
            r.take("unused selection", SELECTION_BYTES)?;
            continue;
        }
        let id = r.u16_le("bank")?;
        let bank =
            HashAlg::from_id(id).ok_or_else(|| r.unexpected("bank", "SHA-1 or SHA-2", id))?;
        let size = usize::from(r.u8("sizeofSelect")?);
        r.cap("sizeofSelect", size, SELECT_BYTES)?;
        let mut mask: [u8; SELECT_BYTES] = r.array("pcrSelect")?;
        mask.iter_mut().skip(size).for_each(|byte| *byte = 0);
        r.u8("padding")?;
        selection.push(PcrSelection {
            bank,
            mask: u32::from_le_bytes(mask),
        });
    }
    Ok(selection)
}

fn digest_list(r: &mut Reader<'_>, digests: &mut Vec<Vec<u8>>) -> Result<(), FormatError> {
    let count = usize::try_from(r.u32_le("digest count")?).unwrap_or(usize::MAX);
    r.cap("digest count", count, DIGESTS_A_LIST)?;
    for entry in 0..DIGESTS_A_LIST {
        let size = usize::from(r.u16_le("digest size")?);
        let buffer = r.take("digest", DIGEST_BUFFER)?;
        if entry < count {
            r.cap("digest size", size, DIGEST_BUFFER)?;
            digests.push(buffer.iter().take(size).copied().collect());
        }
    }
    Ok(())
}

/// The SHA-256 values of one quote, as `tpm2_quote --pcrs_format=serialized` writes them and [`read`] reads them.
pub fn write_serialized(pcrs: &[(u8, Digest)]) -> Vec<u8> {
    let mask = pcrs.iter().fold(0u32, |mask, (index, _)| {
        mask | 1u32.checked_shl(u32::from(*index)).unwrap_or(0)
    });
    let mut out = 1u32.to_le_bytes().to_vec();
    out.extend(HashAlg::Sha256.id().to_le_bytes());
    out.push(3);
    out.extend(mask.to_le_bytes());
    out.resize(4 + SELECTION_ENTRIES * SELECTION_BYTES, 0);
    let lists = pcrs.chunks(DIGESTS_A_LIST);
    out.extend((lists.len() as u32).to_le_bytes());
    lists.for_each(|list| write_list(&mut out, list));
    out
}

fn write_list(out: &mut Vec<u8>, list: &[(u8, Digest)]) {
    out.extend((list.len() as u32).to_le_bytes());
    for (_, digest) in list {
        out.extend((digest.0.len() as u16).to_le_bytes());
        out.extend(digest.0);
        out.resize(out.len() + DIGEST_BUFFER - digest.0.len(), 0);
    }
    out.resize(
        out.len() + (DIGESTS_A_LIST - list.len()) * (2 + DIGEST_BUFFER),
        0,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTED: [PcrSelection; 1] = [PcrSelection {
        bank: HashAlg::Sha256,
        mask: 0x7fff,
    }];

    fn pcrs() -> Vec<(u8, Digest)> {
        (0..15).map(|index| (index, Digest([index; 32]))).collect()
    }

    fn map() -> PcrValues {
        let entry = |(index, digest): (u8, Digest)| {
            ((HashAlg::Sha256, u32::from(index)), digest.0.to_vec())
        };
        pcrs().into_iter().map(entry).collect()
    }

    fn refused(bytes: &[u8]) -> String {
        read(bytes, &QUOTED).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let written = write_serialized(&pcrs());
        let file = read(&written, &[]).unwrap();
        assert_eq!(file.form, Form::Serialized);
        assert_eq!(
            (file.values, file.selection),
            (map(), Some(QUOTED.to_vec()))
        );
        for cut in 0..written.len() {
            assert!(serialized(&written[..cut]).is_err(), "{cut}");
        }
        let mut long = written;
        long.push(0);
        assert!(serialized(&long).is_err());
    }

    #[test]
    fn values_follow_the_order_of_the_quote() {
        let bytes: Vec<u8> = map().into_values().flatten().collect();
        let file = read(&bytes, &QUOTED).unwrap();
        assert_eq!((file.form, file.values), (Form::Values, map()));
        assert!(refused(&bytes[1..]).contains("480 bytes of values are quoted, got 479"));
        assert!(read(&[], &[]).is_err());
        let two = [
            PcrSelection {
                bank: HashAlg::Sha384,
                mask: 2,
            },
            PcrSelection {
                bank: HashAlg::Sha1,
                mask: 1,
            },
        ];
        let bytes = [&[3; 48][..], &[1; 20]].concat();
        let file = read(&bytes, &two).unwrap();
        assert_eq!(file.values[&(HashAlg::Sha384, 1)], [3; 48]);
        assert_eq!(file.values[&(HashAlg::Sha1, 0)], [1; 20]);
    }

    #[test]
    fn json_is_read_and_nothing_in_it_is_forgiven() {
        let digest = "ab".repeat(32);
        let file = read(
            format!(r#"{{"sha256":{{"7":"{digest}"}}}}"#).as_bytes(),
            &[],
        )
        .unwrap();
        assert_eq!(file.values[&(HashAlg::Sha256, 7)], [0xab; 32]);
        let other = "cd".repeat(32);
        for (text, problem) in [
            (
                format!(r#"{{"sha256":{{"7":"{digest}","7":"{other}"}}}}"#),
                "twice",
            ),
            (
                format!(r#"{{"sha256":{{"7":"{digest}"}},"sha256":{{"7":"{other}"}}}}"#),
                "twice",
            ),
            (format!(r#"{{"sha3":{{"7":"{digest}"}}}}"#), "unknown bank"),
            (
                format!(r#"{{"sha256":{{"07":"{digest}"}}}}"#),
                "no PCR index",
            ),
            (
                format!(r#"{{"sha256":{{"+7":"{digest}"}}}}"#),
                "no PCR index",
            ),
            (
                format!(r#"{{"sha256":{{"32":"{digest}"}}}}"#),
                "no PCR index",
            ),
            (format!(r#"{{"sha256":{{"7":"{digest}00"}}}}"#), "no digest"),
            (format!(r#"{{"sha384":{{"7":"{digest}"}}}}"#), "no digest"),
            (format!(r#"{{"sha256":{{"7":"{digest}"}}}} x"#), "trailing"),
        ] {
            assert!(
                refused(text.as_bytes()).contains(problem),
                "{text}: {}",
                refused(text.as_bytes())
            );
        }
    }

    #[test]
    fn counts_sizes_and_banks_of_the_serialized_form_are_checked() {
        let good = write_serialized(&pcrs());
        let changed = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            refused(&bytes)
        };
        assert!(changed(0, 17).contains("selection count may be 16"));
        assert!(changed(4, 0x12).contains("bank"));
        assert!(changed(6, 5).contains("sizeofSelect may be 4"));
        assert!(changed(6, 1).contains("8 PCRs selected, 15 values"));
        assert!(changed(7, 0xfe).contains("14 PCRs selected, 15 values"));
        assert!(changed(132, 3).contains("digest count needs 4"));
        assert!(changed(135, 0xff).contains("needs"));
        assert!(changed(136, 9).contains("digest count may be 8"));
        assert!(changed(140, 31).contains("PCR 0: no digest"));
        assert!(changed(140, 65).contains("digest size may be 64"));
        // One bank listed twice.
        let mut twice = good;
        twice[0] = 2;
        twice[4..12].copy_from_slice(&[0x0b, 0, 3, 0xff, 0, 0, 0, 0]);
        twice[12..20].copy_from_slice(&[0x0b, 0, 3, 0x7f, 0, 0, 0, 0]);
        assert!(refused(&twice).contains("twice"));
    }

    #[test]
    fn a_file_of_two_forms_is_refused() {
        // As many bytes as eight PCRs of SHA-256 take: a JSON text that happens to be as long.
        let digest = "ab".repeat(32);
        let text = format!(r#"{{"sha256":{{"7":"{digest}"}}}}"#);
        let padded = format!("{text:<256}");
        let quoted = [PcrSelection {
            bank: HashAlg::Sha256,
            mask: 0xff,
        }];
        let error = read(padded.as_bytes(), &quoted).unwrap_err().to_string();
        assert!(error.contains("JSON and as tpm2-tools values"), "{error}");
    }
}
