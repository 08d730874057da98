//! A bounded DER reader (ITU-T X.690) for certificates, CRLs and keys.
//!
//! Lengths must be definite and minimal. The order of a SET is not looked at: Nuvoton's names have it
//! wrong, and a name is only ever compared byte for byte. Nothing is allocated, nothing recurses.

use core::fmt;

/// Longest element accepted, bytes.
pub const DER_BYTES_MAX: usize = 1 << 23;

/// BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// NULL.
pub const NULL: u8 = 0x05;
/// OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// IA5String.
pub const IA5_STRING: u8 = 0x16;
/// UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// SEQUENCE, SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;
/// SET, SET OF.
pub const SET: u8 = 0x31;

/// The bytes are not the DER expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    /// The bytes end inside an element.
    #[error("{field}: needs {need} bytes, {have} are left")]
    Truncated {
        /// The element being read.
        field: &'static str,
        /// Bytes it needs.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// Another tag.
    #[error("{field}: expected tag {expected:#04x}, got {actual:#04x}")]
    Tag {
        /// The element being read.
        field: &'static str,
        /// The tag expected.
        expected: u8,
        /// The tag found.
        actual: u8,
    },
    /// A length that is indefinite, not minimal or above the cap.
    #[error("{0}: length is indefinite, not minimal or above the cap")]
    Length(&'static str),
    /// Bytes after the last element.
    #[error("{field}: expected no trailing bytes, got {count}")]
    Trailing {
        /// The element being read.
        field: &'static str,
        /// Bytes left over.
        count: usize,
    },
    /// A value this element may not have.
    #[error("{field}: expected {expected}, got {actual}")]
    Value {
        /// The element being read.
        field: &'static str,
        /// What is accepted.
        expected: &'static str,
        /// What was found.
        actual: String,
    },
}

impl DerError {
    /// An error that says which value `field` has instead of `expected`.
    pub fn value(field: &'static str, expected: &'static str, actual: impl fmt::Display) -> Self {
        Self::Value {
            field,
            expected,
            actual: actual.to_string(),
        }
    }
}

/// One element: its content and its whole encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The content octets.
    pub content: &'a [u8],
    /// Identifier, length and content as received.
    pub bytes: &'a [u8],
}

/// A cursor over consecutive elements.
#[derive(Debug, Clone, Copy)]
pub struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    /// Starts at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The tag of the next element, if there is one.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever its tag; multi-byte tags are refused.
    pub fn any(&mut self, field: &'static str) -> Result<Element<'a>, DerError> {
        let whole = self.rest;
        let tag = self.byte(field)?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::value(
                field,
                "a one-byte tag",
                format!("{tag:#04x}"),
            ));
        }
        let length = self.length(field)?;
        let (content, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DerError::Truncated {
                field,
                need: length,
                have: self.rest.len(),
            })?;
        self.rest = rest;
        let used = whole.len().saturating_sub(rest.len());
        let bytes = whole.get(..used).unwrap_or_default();
        Ok(Element {
            tag,
            content,
            bytes,
        })
    }

    /// The next element, which must have `tag`.
    pub fn take(&mut self, field: &'static str, tag: u8) -> Result<Element<'a>, DerError> {
        let mut ahead = *self;
        let element = ahead.any(field)?;
        if element.tag != tag {
            return Err(DerError::Tag {
                field,
                expected: tag,
                actual: element.tag,
            });
        }
        *self = ahead;
        Ok(element)
    }

    /// The next element when it has `tag`; nothing otherwise.
    pub fn optional(
        &mut self,
        field: &'static str,
        tag: u8,
    ) -> Result<Option<Element<'a>>, DerError> {
        if self.peek() == Some(tag) {
            return self.take(field, tag).map(Some);
        }
        Ok(None)
    }

    /// The content of the next element, which must have `tag`, as a cursor.
    pub fn enter(&mut self, field: &'static str, tag: u8) -> Result<Der<'a>, DerError> {
        self.take(field, tag)
            .map(|element| Der::new(element.content))
    }

    /// The content of an OBJECT IDENTIFIER.
    pub fn oid(&mut self, field: &'static str) -> Result<&'a [u8], DerError> {
        self.take(field, OID).map(|element| element.content)
    }

    /// A non-negative INTEGER, big-endian, without leading zeros; zero is one zero byte.
    pub fn unsigned(&mut self, field: &'static str) -> Result<&'a [u8], DerError> {
        unsigned(field, self.take(field, INTEGER)?.content)
    }

    /// A non-negative INTEGER below 2^64.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DerError> {
        let bytes = self.unsigned(field)?;
        if bytes.len() > 8 {
            return Err(DerError::value(field, "at most 64 bits", bytes.len()));
        }
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    /// A BOOLEAN, 0x00 or 0xFF.
    pub fn boolean(&mut self, field: &'static str) -> Result<bool, DerError> {
        match self.take(field, BOOLEAN)?.content {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            other => Err(DerError::value(field, "00 or FF", hex::encode(other))),
        }
    }

    /// A BIT STRING of whole bytes.
    pub fn bits(&mut self, field: &'static str) -> Result<&'a [u8], DerError> {
        match self.take(field, BIT_STRING)?.content {
            [0, bits @ ..] => Ok(bits),
            _ => Err(DerError::value(field, "whole bytes", "unused bits")),
        }
    }

    /// Refuses anything left over.
    pub fn finish(self, field: &'static str) -> Result<(), DerError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DerError::Trailing { field, count }),
        }
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, DerError> {
        let (first, rest) = self.rest.split_first().ok_or(DerError::Truncated {
            field,
            need: 1,
            have: 0,
        })?;
        self.rest = rest;
        Ok(*first)
    }

    fn length(&mut self, field: &'static str) -> Result<usize, DerError> {
        let first = self.byte(field)?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let count = first & 0x7f;
        if !(1..=3).contains(&count) {
            return Err(DerError::Length(field));
        }
        let mut length = 0usize;
        for _ in 0..count {
            length = (length << 8) | usize::from(self.byte(field)?);
        }
        let minimal = match count {
            1 => 0x80,
            2 => 0x100,
            _ => 0x1_0000,
        };
        if length < minimal || length > DER_BYTES_MAX {
            return Err(DerError::Length(field));
        }
        Ok(length)
    }
}

/// The magnitude of a non-negative INTEGER's content.
fn unsigned<'a>(field: &'static str, content: &'a [u8]) -> Result<&'a [u8], DerError> {
    match content {
        [] => Err(DerError::value(field, "a number", "no bytes")),
        [first, ..] if *first >= 0x80 => Err(DerError::value(field, "not negative", "negative")),
        [0] => Ok(content),
        [0, next, ..] if *next < 0x80 => {
            Err(DerError::value(field, "a minimal number", "a leading zero"))
        }
        [0, rest @ ..] => Ok(rest),
        _ => Ok(content),
    }
}

/// An object identifier's content in dotted form, for people.
pub fn dotted(oid: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0u64;
    for byte in oid {
        arc = (arc << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.extend([first, arc.saturating_sub(first.saturating_mul(40))]);
            } else {
                arcs.push(arc);
            }
            arc = 0;
        }
    }
    let text: Vec<String> = arcs.iter().map(u64::to_string).collect();
    text.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_in_order_with_their_bytes() {
        let bytes = [0x30, 0x05, 0x02, 0x01, 0x07, 0x05, 0x00];
        let mut outer = Der::new(&bytes);
        let element = outer.take("seq", SEQUENCE).unwrap();
        assert_eq!(element.bytes, bytes);
        let mut inner = Der::new(element.content);
        assert_eq!(inner.u64("n"), Ok(7));
        assert_eq!(inner.optional("x", OID), Ok(None));
        assert!(inner.optional("null", NULL).unwrap().is_some());
        assert_eq!(inner.finish("seq"), Ok(()));
        assert_eq!(outer.finish("all"), Ok(()));
    }

    #[test]
    fn each_form_of_length_is_read_from_its_least_to_its_greatest() {
        for (length, head) in [
            (0x7f, &[0x04, 0x7f][..]),
            (0x80, &[0x04, 0x81, 0x80]),
            (0xff, &[0x04, 0x81, 0xff]),
            (0x100, &[0x04, 0x82, 1, 0]),
            (0xffff, &[0x04, 0x82, 0xff, 0xff]),
            (0x1_0000, &[0x04, 0x83, 1, 0, 0]),
        ] {
            let bytes = [head, &vec![7; length]].concat();
            let mut r = Der::new(&bytes);
            assert!(!r.is_empty());
            assert_eq!(r.rest(), bytes);
            assert_eq!(r.any("x").unwrap().content, vec![7; length]);
            assert!(r.is_empty());
        }
        // The greatest is still a length, only the bytes are missing.
        let [_, a, b, c] = (DER_BYTES_MAX as u32).to_be_bytes();
        assert!(matches!(
            Der::new(&[0x04, 0x83, a, b, c]).any("x"),
            Err(DerError::Truncated { .. })
        ));
    }

    #[test]
    fn lengths_that_are_not_minimal_indefinite_or_too_long_are_refused() {
        for bytes in [
            &[0x04, 0x81, 0x7f][..],
            &[0x04, 0x82, 0x00, 0xff],
            &[0x04, 0x80],
            &[0x04, 0x84, 0, 0, 0, 1],
            &[0x04, 0x83, 0xff, 0xff, 0xff],
            &[0x04, 0x83, 0x00, 0xff, 0xff],
        ] {
            assert_eq!(
                Der::new(bytes).any("x"),
                Err(DerError::Length("x")),
                "{bytes:?}"
            );
        }
        assert!(matches!(
            Der::new(&[0x04, 0x05, 1]).any("x"),
            Err(DerError::Truncated {
                need: 5,
                have: 1,
                ..
            })
        ));
        assert!(Der::new(&[0x1f, 0x01, 0]).any("x").is_err());
        assert!(matches!(
            Der::new(&[0x05, 0]).finish("x"),
            Err(DerError::Trailing { count: 2, .. })
        ));
    }

    #[test]
    fn numbers_are_minimal_and_not_negative() {
        let number = |content: &[u8]| {
            let bytes = [&[INTEGER, content.len() as u8], content].concat();
            Der::new(&bytes).unsigned("n").map(<[u8]>::to_vec)
        };
        assert_eq!(number(&[0]), Ok(vec![0]));
        assert_eq!(number(&[0, 0x80]), Ok(vec![0x80]));
        assert_eq!(number(&[1, 0]), Ok(vec![1, 0]));
        for bad in [&[][..], &[0x80], &[0, 0x7f], &[0, 0]] {
            assert!(number(bad).is_err(), "{bad:?}");
        }
        assert!(
            Der::new(&[INTEGER, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0])
                .u64("n")
                .is_err()
        );
        assert_eq!(
            Der::new(&[INTEGER, 8, 1, 2, 3, 4, 5, 6, 7, 8]).u64("n"),
            Ok(0x0102_0304_0506_0708)
        );
        assert!(Der::new(&[BOOLEAN, 1, 1]).boolean("b").is_err());
        assert!(Der::new(&[BIT_STRING, 2, 1, 0]).bits("b").is_err());
    }

    #[test]
    fn oids_are_shown_dotted() {
        assert_eq!(dotted(&[0x67, 0x81, 0x05, 0x08, 0x01]), "2.23.133.8.1");
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]),
            "1.2.840.10045.2.1"
        );
    }
}
