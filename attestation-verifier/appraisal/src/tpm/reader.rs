//! A bounded cursor: every length is checked against what is left before anything is copied.

/// Bytes do not have the form of the structure they are said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end inside a field.
    #[error("{structure}: {field} needs {need} bytes, {have} are left")]
    Truncated {
        /// The structure being read.
        structure: &'static str,
        /// The field being read.
        field: &'static str,
        /// Bytes the field needs.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// Bytes are left after the last field.
    #[error("{structure}: expected no trailing bytes, got {count}")]
    Trailing {
        /// The structure being read.
        structure: &'static str,
        /// Bytes left over.
        count: usize,
    },
    /// A size or a count exceeds its cap.
    #[error("{structure}: {field} may be {max} at most, got {actual}")]
    TooLarge {
        /// The structure being read.
        structure: &'static str,
        /// The field being read.
        field: &'static str,
        /// The cap.
        max: usize,
        /// The size or count found.
        actual: usize,
    },
    /// A field has a value this structure may not have.
    #[error("{structure}: {field}: expected {expected}, got {actual:#x}")]
    Unexpected {
        /// The structure being read.
        structure: &'static str,
        /// The field being read.
        field: &'static str,
        /// What is accepted, in words.
        expected: &'static str,
        /// The value found.
        actual: u64,
    },
}

/// A cursor over `structure`; big-endian unless the method's name says little-endian.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    structure: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`; refuses more than `max` of them.
    pub fn new(structure: &'static str, bytes: &'a [u8], max: usize) -> Result<Self, FormatError> {
        let reader = Self {
            structure,
            rest: bytes,
        };
        reader.cap("size in bytes", bytes.len(), max)?;
        Ok(reader)
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Refuses `actual` when it is above `max`.
    pub fn cap(&self, field: &'static str, actual: usize, max: usize) -> Result<(), FormatError> {
        if actual <= max {
            return Ok(());
        }
        Err(FormatError::TooLarge {
            structure: self.structure,
            field,
            max,
            actual,
        })
    }

    /// An error that says which value `field` has instead of `expected`.
    pub fn unexpected(
        &self,
        field: &'static str,
        expected: &'static str,
        actual: impl Into<u64>,
    ) -> FormatError {
        let actual = actual.into();
        FormatError::Unexpected {
            structure: self.structure,
            field,
            expected,
            actual,
        }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(FormatError::Truncated {
                structure: self.structure,
                field,
                need: count,
                have: self.rest.len(),
            })?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], FormatError> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(FormatError::Truncated {
                structure: self.structure,
                field,
                need: N,
                have: self.rest.len(),
            })?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, FormatError> {
        self.array(field).map(u8::from_be_bytes)
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, FormatError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, FormatError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, FormatError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// Two bytes, little-endian.
    pub fn u16_le(&mut self, field: &'static str) -> Result<u16, FormatError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32_le(&mut self, field: &'static str) -> Result<u32, FormatError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// A `TPM2B`: a big-endian size of two bytes (at most `max`), then as many bytes.
    pub fn sized(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], FormatError> {
        let size = usize::from(self.u16(field)?);
        self.cap(field, size, max)?;
        self.take(field, size)
    }

    /// Refuses anything left over.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(FormatError::Trailing {
                structure: self.structure,
                count,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> Reader<'_> {
        Reader::new("TEST", bytes, 64).unwrap()
    }

    #[test]
    fn reads_both_byte_orders_and_ends_exactly() {
        let mut r = reader(&[1, 1, 2, 0, 0, 0, 3, 2, 0, 0, 2, 8, 9]);
        assert_eq!(r.u8("a"), Ok(1));
        assert_eq!(r.u16("b"), Ok(0x0102));
        assert_eq!(r.u32("c"), Ok(3));
        assert_eq!(r.u16_le("d"), Ok(2));
        assert_eq!(r.sized("e", 2), Ok(&[8u8, 9][..]));
        assert_eq!(r.finish(), Ok(()));
    }

    #[test]
    fn names_truncation_trailing_bytes_and_caps() {
        let truncated = reader(&[0]).u16("count").unwrap_err().to_string();
        assert_eq!(truncated, "TEST: count needs 2 bytes, 1 are left");
        let overrun = reader(&[0xff, 0xff, 1])
            .sized("data", 70_000)
            .unwrap_err()
            .to_string();
        assert_eq!(overrun, "TEST: data needs 65535 bytes, 1 are left");
        let capped = reader(&[0, 3, 1, 1, 1])
            .sized("data", 2)
            .unwrap_err()
            .to_string();
        assert_eq!(capped, "TEST: data may be 2 at most, got 3");
        let trailing = reader(&[0]).finish().unwrap_err().to_string();
        assert_eq!(trailing, "TEST: expected no trailing bytes, got 1");
        assert!(Reader::new("TEST", &[0; 65], 64).is_err());
    }
}
