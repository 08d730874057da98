//! The ASCII runtime list (`ascii_runtime_measurements`), turned into the binary form.
//!
//! One line an entry: PCR (two columns), template hash, template name, then each field after one blank; an
//! empty field leaves its blank. Hexadecimal is lower-case, as the kernel prints it. A name that holds a
//! line feed cannot be told from two lines: such a list is refused, and its binary form is not.

use super::error::ImaError;
use super::list::ALGORITHMS;
use super::template::{Field, Template};
use crate::tpm::algorithm::HashAlg;

/// The binary form of an ASCII list, and the algorithm of its template hashes, the same in every line.
///
/// The final line feed may be missing: copies often lose it.
pub fn to_binary(text: &[u8]) -> Result<(Vec<u8>, HashAlg), ImaError> {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let mut out = Vec::with_capacity(text.len());
    let mut list_alg = None;
    for (entry, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let at = |problem| ImaError::Line { entry, problem };
        let alg = convert(line, &mut out).map_err(at)?;
        match list_alg {
            Some(first) if first != alg => {
                let fitting = vec![first, alg];
                return Err(ImaError::HashAlgorithm { fitting });
            }
            _ => list_alg = Some(alg),
        }
    }
    Ok((out, list_alg.unwrap_or(HashAlg::Sha1)))
}

/// Appends one entry; yields the algorithm whose size its template hash has.
fn convert(line: &[u8], out: &mut Vec<u8>) -> Result<HashAlg, String> {
    let (pcr, rest) = pcr(line)?;
    let mut words = rest.split(|byte| *byte == b' ');
    let mut word = |what: &str| words.next().ok_or(format!("expected {what}, got the end"));
    let hash = unhex(word("a template hash")?)?;
    let alg = ALGORITHMS
        .into_iter()
        .find(|alg| alg.size() == hash.len())
        .ok_or_else(|| {
            format!(
                "template hash: expected 20, 32, 48 or 64 bytes, got {}",
                hash.len()
            )
        })?;
    let name = word("a template name")?;
    let template = Template::from_name(name)
        .ok_or_else(|| format!("expected a known template, got {:?}", show(name)))?;
    out.extend(pcr.to_le_bytes());
    out.extend(hash);
    counted(name, out)?;
    let mut data = Vec::new();
    for field in template.fields() {
        field.convert(word("a field")?, &mut data)?;
    }
    match words.next() {
        None if template == Template::Ima => out.extend(data),
        None => counted(&data, out)?,
        Some(extra) => return Err(format!("expected no further field, got {:?}", show(extra))),
    }
    Ok(alg)
}

/// `%2d `: two columns and a blank.
fn pcr(line: &[u8]) -> Result<(u32, &[u8]), String> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(u32::from(byte.wrapping_sub(b'0'))),
        _ => None,
    };
    let parsed = match line {
        [b' ', units, b' ', rest @ ..] => digit(units).map(|pcr| (pcr, rest)),
        [tens @ b'1'..=b'9', units, b' ', rest @ ..] => digit(tens)
            .zip(digit(units))
            .map(|(tens, units)| (tens.saturating_mul(10).saturating_add(units), rest)),
        _ => None,
    };
    parsed.ok_or_else(|| {
        let head = line.get(..line.len().min(16)).unwrap_or_default();
        format!(
            "expected a PCR in two columns and a blank, got {:?}",
            show(head)
        )
    })
}

impl Field {
    /// Appends the binary form of one field.
    fn convert(self, word: &[u8], data: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Digest => data.extend(unhex(word)?),
            Self::Name => counted(word, data)?,
            Self::DigestNg | Self::DigestNgV2 => counted(&digest(word)?, data)?,
            Self::DigestModsig if word.is_empty() => counted(&[], data)?,
            Self::DigestModsig => counted(&digest(word)?, data)?,
            Self::NameNg => counted(&[word, &[0]].concat(), data)?,
            Self::Names if word.is_empty() => counted(&[], data)?,
            Self::Names => counted(&[word, &[0]].concat(), data)?,
            Self::Bytes => counted(&unhex(word)?, data)?,
            Self::Number(_) if word.is_empty() => counted(&[], data)?,
            Self::Number(size) => counted(&number(word, size)?, data)?,
        }
        Ok(())
    }
}

/// `label:hex` as `label:\0bytes`; the label may hold colons.
fn digest(word: &[u8]) -> Result<Vec<u8>, String> {
    let colon = word
        .iter()
        .rposition(|byte| *byte == b':')
        .and_then(|at| word.split_at_checked(at.saturating_add(1)));
    let (label, digest) =
        colon.ok_or_else(|| format!("expected algorithm:digest, got {:?}", show(word)))?;
    Ok([label, &[0], &unhex(digest)?].concat())
}

fn number(word: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let text = core::str::from_utf8(word).unwrap_or("");
    let parsed = text.parse::<u32>().ok();
    let number = parsed
        .filter(|number| number.to_string() == text)
        .ok_or_else(|| format!("expected a number, got {:?}", show(word)))?
        .to_le_bytes();
    match number.split_at_checked(size) {
        Some((kept, dropped)) if dropped.iter().all(|byte| *byte == 0) => Ok(kept.to_vec()),
        _ => Err(format!("expected a number of {size} bytes, got {text}")),
    }
}

fn counted(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let size = u32::try_from(bytes.len()).map_err(|error| error.to_string())?;
    out.extend(size.to_le_bytes());
    out.extend(bytes);
    Ok(())
}

fn unhex(word: &[u8]) -> Result<Vec<u8>, String> {
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !word.iter().all(lower) {
        return Err(format!(
            "expected lower-case hexadecimal, got {:?}",
            show(word)
        ));
    }
    hex::decode(word)
        .map_err(|error| format!("expected hexadecimal, got {:?}: {error}", show(word)))
}

/// For an error: printable, and not longer than a line.
fn show(word: &[u8]) -> String {
    let head = word.get(..word.len().min(64)).unwrap_or_default();
    head.escape_ascii().to_string()
}
