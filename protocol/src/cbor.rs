//! Deterministic CBOR (RFC 8949 section 4.2.1), the subset that Assay signs: integers, byte and text
//! strings, arrays, maps, tags, booleans and null. No floats, no indefinite lengths.
//!
//! The decoder is strict: shortest integer forms, map keys sorted bytewise and unique, no trailing
//! bytes, bounded depth, and no allocation that the input's own length does not pay for.

use crate::limits::CBOR_DEPTH_MAX;
use core::fmt;
use std::borrow::Cow;
use std::rc::Rc;

/// A CBOR value of the deterministic subset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Major type 0.
    Uint(u64),
    /// Major type 1; the value is −1 − n.
    Nint(u64),
    /// Major type 2.
    Bytes(Vec<u8>),
    /// Major type 3.
    Text(String),
    /// Major type 4.
    Array(Vec<Value>),
    /// Major type 5; order of entries does not matter when encoding.
    Map(Vec<(Value, Value)>),
    /// Major type 6.
    Tag(u64, Box<Value>),
    /// Simple values 20 and 21.
    Bool(bool),
    /// Simple value 22.
    Null,
}

/// Why bytes are not the deterministic CBOR that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("CBOR ends early at byte {0}")]
    Truncated(usize),
    /// Bytes follow the item.
    #[error("CBOR: {0} trailing bytes")]
    Trailing(usize),
    /// A valid item that is not in its deterministic form.
    #[error("CBOR at byte {at} is not deterministic: {why}")]
    NotDeterministic {
        /// Offset in the input.
        at: usize,
        /// Which rule is broken.
        why: &'static str,
    },
    /// A feature outside the subset.
    #[error("CBOR at byte {at} uses an unsupported item (initial byte 0x{initial:02x})")]
    Unsupported {
        /// Offset in the input.
        at: usize,
        /// The initial byte.
        initial: u8,
    },
    /// Nested deeper than allowed.
    #[error("CBOR is nested deeper than {CBOR_DEPTH_MAX}")]
    TooDeep,
    /// Longer than the cap of its kind.
    #[error("{what}: {actual} bytes, at most {max} allowed")]
    Oversize {
        /// What was decoded.
        what: &'static str,
        /// Its cap in bytes.
        max: usize,
        /// Its length in bytes.
        actual: usize,
    },
    /// The item is valid but not what the schema asks for.
    #[error("{what}: expected {expected}, got {actual}")]
    Schema {
        /// Which field.
        what: String,
        /// What the schema says.
        expected: String,
        /// What was found.
        actual: String,
    },
}

impl Value {
    /// Encodes deterministically.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Decodes exactly one item that fills `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader { bytes, at: 0 };
        let value = reader.value(0)?;
        match bytes.len().saturating_sub(reader.at) {
            0 => Ok(value),
            left => Err(CborError::Trailing(left)),
        }
    }

    /// Decodes after checking the length against the cap of `what`.
    pub fn decode_bounded(what: &'static str, max: usize, bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > max {
            let actual = bytes.len();
            return Err(CborError::Oversize { what, max, actual });
        }
        Self::decode(bytes)
    }

    /// A signed integer.
    pub fn int(value: i64) -> Self {
        if value < 0 {
            Self::Nint(!value as u64)
        } else {
            Self::Uint(value as u64)
        }
    }

    /// A byte string.
    pub fn bytes(value: impl AsRef<[u8]>) -> Self {
        Self::Bytes(value.as_ref().to_vec())
    }

    /// A text string.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// An unsigned number of at most 128 bits: an integer when it fits, else RFC 8949's tag 2.
    pub fn u128(value: u128) -> Self {
        match u64::try_from(value) {
            Ok(small) => Self::Uint(small),
            Err(_) => {
                let bytes = value.to_be_bytes();
                let skip = bytes.iter().take_while(|b| **b == 0).count();
                let digits = bytes.iter().skip(skip).copied().collect();
                Self::Tag(2, Box::new(Self::Bytes(digits)))
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uint(n) => head(out, 0, *n),
            Self::Nint(n) => head(out, 1, *n),
            Self::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => write_map(out, entries),
            Self::Tag(tag, inner) => {
                head(out, 6, *tag);
                inner.write(out);
            }
            Self::Bool(false) => out.push(0xf4),
            Self::Bool(true) => out.push(0xf5),
            Self::Null => out.push(0xf6),
        }
    }

    fn kind(&self) -> String {
        match self {
            Self::Uint(n) => format!("unsigned {n}"),
            Self::Nint(n) => format!("negative -1-{n}"),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Text(text) => format!("text {:?}", text.chars().take(40).collect::<String>()),
            Self::Array(items) => format!("array of {}", items.len()),
            Self::Map(entries) => format!("map of {}", entries.len()),
            Self::Tag(tag, _) => format!("tag {tag}"),
            Self::Bool(value) => format!("{value}"),
            Self::Null => "null".into(),
        }
    }
}

fn write_map(out: &mut Vec<u8>, entries: &[(Value, Value)]) {
    head(out, 5, entries.len() as u64);
    let mut encoded: Vec<(Vec<u8>, &Value)> = entries
        .iter()
        .map(|(key, value)| (key.encode(), value))
        .collect();
    encoded.sort_by(|a, b| a.0.cmp(&b.0));
    for (key, value) in encoded {
        out.extend_from_slice(&key);
        value.write(out);
    }
}

fn head(out: &mut Vec<u8>, major: u8, n: u64) {
    let major = major << 5;
    let be = n.to_be_bytes();
    let (info, from) = match n {
        0..=23 => (n as u8, 8),
        24..=0xff => (24, 7),
        0x100..=0xffff => (25, 6),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 0),
    };
    out.push(major | info);
    out.extend(be.iter().skip(from));
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CborError> {
        let end = self
            .at
            .checked_add(count)
            .ok_or(CborError::Truncated(self.at))?;
        let slice = self
            .bytes
            .get(self.at..end)
            .ok_or(CborError::Truncated(self.at))?;
        self.at = end;
        Ok(slice)
    }

    fn byte(&mut self) -> Result<u8, CborError> {
        let at = self.at;
        self.take(1)?
            .first()
            .copied()
            .ok_or(CborError::Truncated(at))
    }

    fn argument(&mut self, at: usize, initial: u8) -> Result<u64, CborError> {
        let info = initial & 0x1f;
        let (width, floor) = match info {
            0..=23 => return Ok(u64::from(info)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(CborError::Unsupported { at, initial }),
        };
        let number = self
            .take(width)?
            .iter()
            .fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
        if number < floor {
            return Err(CborError::NotDeterministic {
                at,
                why: "integer not in shortest form",
            });
        }
        Ok(number)
    }

    /// A length or count; each announced byte or item needs at least one byte of input.
    fn count(&self, n: u64) -> Result<usize, CborError> {
        let left = self.bytes.len().saturating_sub(self.at);
        usize::try_from(n)
            .ok()
            .filter(|n| *n <= left)
            .ok_or(CborError::Truncated(self.at))
    }

    fn value(&mut self, depth: usize) -> Result<Value, CborError> {
        if depth > CBOR_DEPTH_MAX {
            return Err(CborError::TooDeep);
        }
        let at = self.at;
        let initial = self.byte()?;
        match initial {
            0xf4 => return Ok(Value::Bool(false)),
            0xf5 => return Ok(Value::Bool(true)),
            0xf6 => return Ok(Value::Null),
            0xe0..=0xff => return Err(CborError::Unsupported { at, initial }),
            _ => {}
        }
        let n = self.argument(at, initial)?;
        let deeper = depth.saturating_add(1);
        Ok(match initial >> 5 {
            0 => Value::Uint(n),
            1 => Value::Nint(n),
            2 => {
                let len = self.count(n)?;
                Value::Bytes(self.take(len)?.to_vec())
            }
            3 => self.text(at, n)?,
            4 => self.array(n, deeper)?,
            5 => self.map(n, deeper)?,
            _ => Value::Tag(n, Box::new(self.value(deeper)?)),
        })
    }

    fn text(&mut self, at: usize, n: u64) -> Result<Value, CborError> {
        let len = self.count(n)?;
        let bytes = self.take(len)?;
        core::str::from_utf8(bytes)
            .map(|text| Value::Text(text.to_owned()))
            .map_err(|_| CborError::NotDeterministic {
                at,
                why: "text is not UTF-8",
            })
    }

    fn array(&mut self, n: u64, depth: usize) -> Result<Value, CborError> {
        let count = self.count(n)?;
        // A Value is larger than the byte that announced it, so grow as items really come.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(depth)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, n: u64, depth: usize) -> Result<Value, CborError> {
        let count = self.count(n)?;
        let mut entries = Vec::new();
        let mut last: &[u8] = &[];
        for _ in 0..count {
            let from = self.at;
            let key = self.value(depth)?;
            let key_bytes = self.bytes.get(from..self.at).unwrap_or_default();
            if key_bytes <= last {
                let why = "map keys not sorted or not unique";
                return Err(CborError::NotDeterministic { at: from, why });
            }
            last = key_bytes;
            entries.push((key, self.value(depth)?));
        }
        Ok(Value::Map(entries))
    }
}

/// Where a value is in its schema; put into words only when an error needs them.
#[derive(Clone)]
struct Place(Rc<Step>);

enum Step {
    Root(Cow<'static, str>),
    Key(Place, i64),
    TextKey(Place, String),
    Item(Place, usize),
}

impl Place {
    fn of(step: Step) -> Self {
        Self(Rc::new(step))
    }
}

/// No deeper than what the decoder accepts.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_ref() {
            Step::Root(what) => f.write_str(what),
            Step::Key(place, key) => write!(f, "{place}.{key}"),
            Step::TextKey(place, key) => write!(f, "{place}.{key}"),
            Step::Item(place, index) => write!(f, "{place}[{index}]"),
        }
    }
}

/// Reads a value of the schema named `what`: typed access with named errors.
pub struct Field {
    what: Place,
    value: Value,
}

impl Field {
    /// Starts reading `value` as `what`.
    pub fn new(what: impl Into<Cow<'static, str>>, value: Value) -> Self {
        Self {
            what: Place::of(Step::Root(what.into())),
            value,
        }
    }

    fn wrong<T>(self, expected: impl Into<String>) -> Result<T, CborError> {
        let actual = self.value.kind();
        Err(CborError::Schema {
            what: self.what.to_string(),
            expected: expected.into(),
            actual,
        })
    }

    /// An unsigned integer that fits `T`.
    pub fn uint<T: TryFrom<u64>>(self) -> Result<T, CborError> {
        match &self.value {
            Value::Uint(n) => match T::try_from(*n) {
                Ok(value) => Ok(value),
                Err(_) => self.wrong(format!("an integer of {} bytes", size_of::<T>())),
            },
            _ => self.wrong("an unsigned integer"),
        }
    }

    /// An unsigned number of at most 128 bits, as [`Value::u128`] writes it.
    pub fn u128(self) -> Result<u128, CborError> {
        match &self.value {
            Value::Uint(n) => Ok(u128::from(*n)),
            Value::Tag(2, inner) => match inner.as_ref() {
                Value::Bytes(b) if (9..=16).contains(&b.len()) && b.first() != Some(&0) => {
                    Ok(b.iter().fold(0, |n, byte| (n << 8) | u128::from(*byte)))
                }
                _ => self.wrong("a big number of 9 to 16 bytes"),
            },
            _ => self.wrong("an unsigned number"),
        }
    }

    /// A boolean.
    pub fn bool(self) -> Result<bool, CborError> {
        match self.value {
            Value::Bool(value) => Ok(value),
            _ => self.wrong("a boolean"),
        }
    }

    /// A byte string of at most `max` bytes.
    pub fn bytes(self, max: usize) -> Result<Vec<u8>, CborError> {
        match self.value {
            Value::Bytes(bytes) if bytes.len() <= max => Ok(bytes),
            _ => self.wrong(format!("a byte string of at most {max} bytes")),
        }
    }

    /// A byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(self) -> Result<[u8; N], CborError> {
        match &self.value {
            Value::Bytes(bytes) => match <[u8; N]>::try_from(bytes.as_slice()) {
                Ok(fixed) => Ok(fixed),
                Err(_) => self.wrong(format!("a byte string of {N} bytes")),
            },
            _ => self.wrong(format!("a byte string of {N} bytes")),
        }
    }

    /// A text string of at most `max` bytes.
    pub fn text(self, max: usize) -> Result<String, CborError> {
        match self.value {
            Value::Text(text) if text.len() <= max => Ok(text),
            _ => self.wrong(format!("text of at most {max} bytes")),
        }
    }

    /// An array of at most `max` items.
    pub fn array(self, max: usize) -> Result<Vec<Field>, CborError> {
        match self.value {
            Value::Array(items) if items.len() <= max => {
                let what = self.what;
                let named = |(index, value)| Field {
                    what: Place::of(Step::Item(what.clone(), index)),
                    value,
                };
                Ok(items.into_iter().enumerate().map(named).collect())
            }
            _ => self.wrong(format!("an array of at most {max} items")),
        }
    }

    /// An array of exactly `N` items.
    pub fn tuple<const N: usize>(self) -> Result<[Field; N], CborError> {
        let what = self.what.clone();
        let items = self.array(N)?;
        let count = items.len();
        items.try_into().map_err(|_| CborError::Schema {
            what: what.to_string(),
            expected: format!("an array of {N} items"),
            actual: format!("{count} items"),
        })
    }

    /// A map, to be read key by key.
    pub fn map(self) -> Result<Fields, CborError> {
        match self.value {
            Value::Map(entries) => Ok(Fields {
                what: self.what,
                entries,
            }),
            _ => self.wrong("a map"),
        }
    }

    /// Exactly this value.
    pub fn equals(self, expected: &Value) -> Result<(), CborError> {
        if self.value == *expected {
            Ok(())
        } else {
            self.wrong(expected.kind())
        }
    }

    /// `None` for null, else the field.
    pub fn nullable(self) -> Option<Field> {
        if self.value == Value::Null {
            None
        } else {
            Some(self)
        }
    }

    /// The raw value.
    pub fn into_value(self) -> Value {
        self.value
    }
}

/// A map being read: each key is taken once, and [`Fields::end`] refuses what was not asked for.
pub struct Fields {
    what: Place,
    entries: Vec<(Value, Value)>,
}

impl Fields {
    /// Takes the value of a required key.
    pub fn take(&mut self, key: i64) -> Result<Field, CborError> {
        let found = self.remove(|listed| *listed == Value::int(key));
        let value = found.ok_or_else(|| self.missing(key))?;
        let what = Place::of(Step::Key(self.what.clone(), key));
        Ok(Field { what, value })
    }

    /// Takes the value of a required text key.
    pub fn take_text(&mut self, key: &str) -> Result<Field, CborError> {
        self.optional_text(key).ok_or_else(|| self.missing(key))
    }

    /// Takes the value of a text key that may be absent.
    pub fn optional_text(&mut self, key: &str) -> Option<Field> {
        let value = self.remove(|listed| matches!(listed, Value::Text(text) if text == key))?;
        let what = Place::of(Step::TextKey(self.what.clone(), key.into()));
        Some(Field { what, value })
    }

    fn remove(&mut self, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        let at = self.entries.iter().position(|(key, _)| is_it(key))?;
        Some(self.entries.swap_remove(at).1)
    }

    fn missing(&self, key: impl fmt::Display) -> CborError {
        CborError::Schema {
            what: self.what.to_string(),
            expected: format!("key {key}"),
            actual: "no such key".into(),
        }
    }

    /// Succeeds when every key was taken.
    pub fn end(self) -> Result<(), CborError> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, _)) => Err(CborError::Schema {
                what: self.what.to_string(),
                expected: "no further key".into(),
                actual: key.kind(),
            }),
        }
    }
}

/// A map with integer keys.
pub fn int_map(entries: impl IntoIterator<Item = (i64, Value)>) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (Value::int(key), value))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::Uint),
            any::<u64>().prop_map(Value::Nint),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            "[a-z]{0,30}".prop_map(Value::Text),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                (any::<u64>(), inner).prop_map(|(tag, v)| Value::Tag(tag, Box::new(v))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(value in values()) {
            prop_assert_eq!(Value::decode(&value.encode()).unwrap(), value);
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = Value::decode(&bytes) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }

        #[test]
        fn big_numbers_round_trip(n in any::<u128>()) {
            prop_assert_eq!(Field::new("n", Value::u128(n)).u128().unwrap(), n);
        }
    }

    #[test]
    fn rejects_what_is_not_deterministic() {
        for (hex, why) in [
            ("1817", "long integer"),
            ("190017", "longer integer"),
            ("5f4101ff", "indefinite bytes"),
            ("a201000100", "duplicate key"),
            ("a202000100", "unsorted keys"),
            ("f90000", "float"),
            ("0000", "trailing"),
            ("61ff", "bad UTF-8"),
            ("9bffffffffffffffff", "huge array"),
            ("5affffffff", "huge bytes"),
            ("", "empty"),
        ] {
            assert!(Value::decode(&hex::decode(hex).unwrap()).is_err(), "{why}");
        }
        assert_eq!(Value::decode(&[0x81; 64]), Err(CborError::TooDeep));
    }

    #[test]
    fn a_map_with_an_unknown_key_is_refused_by_name() {
        let map = int_map([(1, Value::Uint(5)), (9, Value::Null)]);
        let mut fields = Field::new("thing", map).map().unwrap();
        assert_eq!(fields.take(1).unwrap().uint::<u8>(), Ok(5));
        let error = fields.take(2).err().unwrap().to_string();
        assert!(
            error.contains("thing") && error.contains("key 2"),
            "{error}"
        );
        assert!(fields.end().unwrap_err().to_string().contains("unsigned 9"));
    }

    #[test]
    fn a_text_that_does_not_fit_its_integer_is_an_error() {
        assert!(Field::new("n", Value::Uint(256)).uint::<u8>().is_err());
    }
}
