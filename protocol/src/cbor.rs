//! Deterministic CBOR (RFC 8949 section 4.2.1), the subset that Assay signs: integers, byte and text
//! strings, arrays, maps, tags, booleans and null. No floats, no indefinite lengths.
//!
//! The decoder is strict: shortest integer forms, map keys sorted bytewise and unique, no trailing
//! bytes, bounded depth, and no allocation that the input's own length does not pay for.

use crate::limits::CBOR_DEPTH_MAX;
use core::cmp::Ordering;
use core::fmt;
use std::borrow::Cow;

/// Room made for an array or map before its items come: what is announced is not believed.
const RESERVED_ITEMS_MAX: usize = 16;

/// A CBOR value of the deterministic subset. It borrows the strings of what it was decoded from, or is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Major type 0.
    Uint(u64),
    /// Major type 1; the value is −1 − n.
    Nint(u64),
    /// Major type 2.
    Bytes(Cow<'a, [u8]>),
    /// Major type 3.
    Text(Cow<'a, str>),
    /// Major type 4.
    Array(Vec<Value<'a>>),
    /// Major type 5; order of entries does not matter when encoding.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// Major type 6.
    Tag(u64, Box<Value<'a>>),
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

impl<'a> Value<'a> {
    /// Encodes deterministically.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.write(&mut out);
        out
    }

    /// Decodes exactly one item that fills `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut reader = Reader { bytes, at: 0 };
        let value = reader.value(0)?;
        match bytes.len().saturating_sub(reader.at) {
            0 => Ok(value),
            left => Err(CborError::Trailing(left)),
        }
    }

    /// Decodes after checking the length against the cap of `what`.
    pub fn decode_bounded(
        what: &'static str,
        max: usize,
        bytes: &'a [u8],
    ) -> Result<Self, CborError> {
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

    /// A byte string that is a copy; one that borrows is made by the variant itself.
    pub fn bytes(value: impl AsRef<[u8]>) -> Self {
        Self::Bytes(Cow::Owned(value.as_ref().to_vec()))
    }

    /// A text string, borrowed or owned.
    pub fn text(value: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(value.into())
    }

    /// An unsigned number of at most 128 bits: an integer when it fits, else RFC 8949's tag 2.
    pub fn u128(value: u128) -> Self {
        match u64::try_from(value) {
            Ok(small) => Self::Uint(small),
            Err(_) => {
                let bytes = value.to_be_bytes();
                let skip = bytes.iter().take_while(|b| **b == 0).count();
                let digits: Vec<u8> = bytes.iter().skip(skip).copied().collect();
                Self::Tag(2, Box::new(Self::Bytes(digits.into())))
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (major, argument) = self.initial();
        let head = Head::of(argument);
        out.push(major << 5 | head.info);
        out.extend_from_slice(head.following());
        match self {
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Array(items) => items.iter().for_each(|item| item.write(out)),
            Self::Map(entries) => write_map(out, entries),
            Self::Tag(_, inner) => inner.write(out),
            Self::Uint(_) | Self::Nint(_) | Self::Bool(_) | Self::Null => {}
        }
    }

    /// Bytes that [`Value::write`] adds.
    fn encoded_len(&self) -> usize {
        let content: usize = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
            Self::Array(items) => items.iter().map(Self::encoded_len).sum(),
            Self::Map(entries) => {
                let of = |(key, value): &(Self, Self)| [key.encoded_len(), value.encoded_len()];
                entries.iter().flat_map(of).sum()
            }
            Self::Tag(_, inner) => inner.encoded_len(),
            Self::Uint(_) | Self::Nint(_) | Self::Bool(_) | Self::Null => 0,
        };
        let head = Head::of(self.initial().1);
        content.saturating_add(head.following().len().saturating_add(1))
    }

    /// Major type and argument: what the encoding begins with.
    fn initial(&self) -> (u8, u64) {
        match self {
            Self::Uint(n) => (0, *n),
            Self::Nint(n) => (1, *n),
            Self::Bytes(bytes) => (2, bytes.len() as u64),
            Self::Text(text) => (3, text.len() as u64),
            Self::Array(items) => (4, items.len() as u64),
            Self::Map(entries) => (5, entries.len() as u64),
            Self::Tag(tag, _) => (6, *tag),
            Self::Bool(false) => (7, 20),
            Self::Bool(true) => (7, 21),
            Self::Null => (7, 22),
        }
    }

    /// The bytewise order of the encodings, which map keys are sorted by.
    fn cmp_encoded(&self, other: &Self) -> Ordering {
        // Shortest forms: of one major type, the lesser argument has the lesser encoding.
        let by_head = self.initial().cmp(&other.initial());
        by_head.then_with(|| match (self, other) {
            (Self::Bytes(one), Self::Bytes(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Self::Array(_) | Self::Map(_) | Self::Tag(..), _) => {
                self.encode().cmp(&other.encode())
            }
            _ => Ordering::Equal,
        })
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

fn write_map(out: &mut Vec<u8>, entries: &[(Value<'_>, Value<'_>)]) {
    let mut write = |(key, value): &(Value<'_>, Value<'_>)| {
        key.write(out);
        value.write(out);
    };
    let in_order = |a: &(Value<'_>, _), b: &(Value<'_>, _)| a.0.cmp_encoded(&b.0).is_le();
    if entries.is_sorted_by(in_order) {
        return entries.iter().for_each(write);
    }
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp_encoded(&b.0));
    sorted.into_iter().for_each(&mut write);
}

/// The argument of an item in its shortest form (RFC 8949 section 3).
struct Head {
    /// Low five bits of the initial byte.
    info: u8,
    argument: [u8; 8],
    /// Where in `argument` the bytes begin that follow the initial one.
    from: usize,
}

impl Head {
    fn of(n: u64) -> Self {
        let (info, from) = match n {
            0..=23 => (n as u8, 8),
            24..=0xff => (24, 7),
            0x100..=0xffff => (25, 6),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 0),
        };
        let argument = n.to_be_bytes();
        Self {
            info,
            argument,
            from,
        }
    }

    fn following(&self) -> &[u8] {
        self.argument.get(self.from..).unwrap_or_default()
    }
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

    fn value(&mut self, depth: usize) -> Result<Value<'a>, CborError> {
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
                Value::Bytes(Cow::Borrowed(self.take(len)?))
            }
            3 => self.text(at, n)?,
            4 => self.array(n, deeper)?,
            5 => self.map(n, deeper)?,
            _ => Value::Tag(n, Box::new(self.value(deeper)?)),
        })
    }

    fn text(&mut self, at: usize, n: u64) -> Result<Value<'a>, CborError> {
        let len = self.count(n)?;
        let bytes = self.take(len)?;
        core::str::from_utf8(bytes)
            .map(Value::text)
            .map_err(|_| CborError::NotDeterministic {
                at,
                why: "text is not UTF-8",
            })
    }

    fn array(&mut self, n: u64, depth: usize) -> Result<Value<'a>, CborError> {
        let count = self.count(n)?;
        // A Value is larger than the byte that announced it, so grow as items really come.
        let mut items = Vec::with_capacity(count.min(RESERVED_ITEMS_MAX));
        for _ in 0..count {
            items.push(self.value(depth)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, n: u64, depth: usize) -> Result<Value<'a>, CborError> {
        let count = self.count(n)?;
        let mut entries = Vec::with_capacity(count.min(RESERVED_ITEMS_MAX));
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

/// Where a value is in its schema: kept as numbers, and put into words only when an error needs them.
#[derive(Clone, Copy)]
struct Place {
    /// The schema, or the text key that is passed last: those are names of their own.
    root: &'static str,
    /// The last ones; what lies above them is left out.
    steps: [Step; Self::STEPS],
    depth: u16,
}

#[derive(Clone, Copy)]
enum Step {
    /// A schema's keys are small.
    Key(i32),
    Item(u32),
}

impl Place {
    /// No schema of ours is deeper.
    const STEPS: usize = 6;

    fn of(root: &'static str) -> Self {
        Self {
            root,
            steps: [Step::Item(0); Self::STEPS],
            depth: 0,
        }
    }

    fn key(self, key: i64) -> Self {
        self.then(Step::Key(i32::try_from(key).unwrap_or(i32::MAX)))
    }

    fn item(self, index: usize) -> Self {
        self.then(Step::Item(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    fn then(mut self, step: Step) -> Self {
        match self.steps.get_mut(usize::from(self.depth)) {
            Some(free) => *free = step,
            None => {
                self.steps.rotate_left(1);
                let [.., last] = &mut self.steps;
                *last = step;
            }
        }
        self.depth = self.depth.saturating_add(1);
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.root)?;
        let depth = usize::from(self.depth);
        if depth > Self::STEPS {
            f.write_str("…")?;
        }
        let mut steps = self.steps.iter().take(depth);
        steps.try_for_each(|step| match step {
            Step::Key(key) => write!(f, ".{key}"),
            Step::Item(index) => write!(f, "[{index}]"),
        })
    }
}

/// Reads a value of the schema named `what`: typed access with named errors.
pub struct Field<'a> {
    what: Place,
    value: Value<'a>,
}

impl<'a> Field<'a> {
    /// Starts reading `value` as `what`.
    pub fn new(what: &'static str, value: Value<'a>) -> Self {
        Self {
            what: Place::of(what),
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
    pub fn bytes(self, max: usize) -> Result<Cow<'a, [u8]>, CborError> {
        match self.value {
            Value::Bytes(bytes) if bytes.len() <= max => Ok(bytes),
            _ => self.wrong(format!("a byte string of at most {max} bytes")),
        }
    }

    /// A byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(self) -> Result<[u8; N], CborError> {
        let fixed = match &self.value {
            Value::Bytes(bytes) => <[u8; N]>::try_from(bytes.as_ref()).ok(),
            _ => None,
        };
        match fixed {
            Some(fixed) => Ok(fixed),
            None => self.wrong(format!("a byte string of {N} bytes")),
        }
    }

    /// A text string of at most `max` bytes.
    pub fn text(self, max: usize) -> Result<Cow<'a, str>, CborError> {
        match self.value {
            Value::Text(text) if text.len() <= max => Ok(text),
            _ => self.wrong(format!("text of at most {max} bytes")),
        }
    }

    /// An array of at most `max` items.
    pub fn array(
        self,
        max: usize,
    ) -> Result<impl ExactSizeIterator<Item = Field<'a>> + use<'a>, CborError> {
        let what = self.what;
        match self.value {
            Value::Array(items) if items.len() <= max => {
                let named = move |(index, value)| Field {
                    what: what.item(index),
                    value,
                };
                Ok(items.into_iter().enumerate().map(named))
            }
            _ => self.wrong(format!("an array of at most {max} items")),
        }
    }

    /// An array of exactly `N` items.
    pub fn tuple<const N: usize>(self) -> Result<[Field<'a>; N], CborError> {
        let what = self.what;
        let items = match self.value {
            Value::Array(items) => <[Value<'a>; N]>::try_from(items).map_err(Value::Array),
            other => Err(other),
        };
        let mut index = 0usize;
        match items {
            Ok(items) => Ok(items.map(|value| {
                let what = what.item(index);
                index = index.saturating_add(1);
                Field { what, value }
            })),
            Err(value) => Field { what, value }.wrong(format!("an array of {N} items")),
        }
    }

    /// A map, to be read key by key.
    pub fn map(self) -> Result<Fields<'a>, CborError> {
        match self.value {
            Value::Map(mut entries) => {
                entries.reverse();
                Ok(Fields {
                    what: self.what,
                    entries,
                })
            }
            _ => self.wrong("a map"),
        }
    }

    /// Exactly this value.
    pub fn equals(self, expected: &Value<'_>) -> Result<(), CborError> {
        if self.value == *expected {
            Ok(())
        } else {
            self.wrong(expected.kind())
        }
    }

    /// `None` for null, else the field.
    pub fn nullable(self) -> Option<Self> {
        if self.value == Value::Null {
            None
        } else {
            Some(self)
        }
    }

    /// The raw value.
    pub fn into_value(self) -> Value<'a> {
        self.value
    }
}

/// A map being read: each key is taken once, and [`Fields::end`] refuses what was not asked for.
pub struct Fields<'a> {
    what: Place,
    /// What was not taken yet, the first key last.
    entries: Vec<(Value<'a>, Value<'a>)>,
}

impl<'a> Fields<'a> {
    /// Takes the value of a required key.
    pub fn take(&mut self, key: i64) -> Result<Field<'a>, CborError> {
        let wanted = Value::int(key);
        let found = self.remove(|listed| *listed == wanted);
        let value = found.ok_or_else(|| self.missing(key))?;
        let what = self.what.key(key);
        Ok(Field { what, value })
    }

    /// Takes the value of a required text key.
    pub fn take_text(&mut self, key: &'static str) -> Result<Field<'a>, CborError> {
        self.optional_text(key).ok_or_else(|| self.missing(key))
    }

    /// Takes the value of a text key that may be absent.
    pub fn optional_text(&mut self, key: &'static str) -> Option<Field<'a>> {
        let value = self.remove(|listed| matches!(listed, Value::Text(text) if text == key))?;
        Some(Field::new(key, value))
    }

    /// Who takes keys in their order finds each at the end of what is left.
    fn remove(&mut self, is_it: impl Fn(&Value<'a>) -> bool) -> Option<Value<'a>> {
        let at = self.entries.iter().rposition(|(key, _)| is_it(key))?;
        Some(self.entries.remove(at).1)
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
        match self.entries.last() {
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
pub fn int_map<'a>(entries: impl IntoIterator<Item = (i64, Value<'a>)>) -> Value<'a> {
    let keyed = |(key, value)| (Value::int(key), value);
    Value::Map(entries.into_iter().map(keyed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value<'static>> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::Uint),
            any::<u64>().prop_map(Value::Nint),
            proptest::collection::vec(any::<u8>(), 0..40)
                .prop_map(|bytes| Value::Bytes(bytes.into())),
            "[a-z]{0,30}".prop_map(Value::text),
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
            let bytes = value.encode();
            prop_assert_eq!(bytes.len(), value.encoded_len());
            prop_assert_eq!(Value::decode(&bytes).unwrap(), value);
        }

        #[test]
        fn map_keys_are_written_in_the_order_of_their_encodings(
            keys in proptest::collection::vec(values(), 0..8),
        ) {
            let map = Value::Map(keys.iter().map(|key| (key.clone(), Value::Null)).collect());
            let mut expected: Vec<Vec<u8>> = keys.iter().map(Value::encode).collect();
            expected.sort();
            let unique = expected.is_sorted_by(|a, b| a < b);
            let bytes = map.encode();
            match Value::decode(&bytes) {
                Ok(Value::Map(read)) => {
                    let read: Vec<Vec<u8>> = read.iter().map(|(key, _)| key.encode()).collect();
                    prop_assert_eq!(read, expected);
                }
                _ => prop_assert!(!unique),
            }
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
            let bytes = hex::decode(hex).unwrap();
            assert!(Value::decode(&bytes).is_err(), "{why}");
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
    fn an_error_names_the_place_and_of_a_deep_one_its_end() {
        let nested = |depth| (0..depth).fold(Value::Null, |inner, _| int_map([(7, inner)]));
        let place = |depth| {
            let mut field = Field::new("thing", nested(depth));
            for _ in 0..depth {
                field = field.map().unwrap().take(7).unwrap();
            }
            field.bool().unwrap_err().to_string()
        };
        assert!(place(6).starts_with("thing.7.7.7.7.7.7: "), "{}", place(6));
        assert!(place(9).starts_with("thing….7.7.7.7.7.7: "), "{}", place(9));
        let listed = Value::Array(vec![Value::Null, Value::Array(vec![Value::Null])]);
        let [_, second] = Field::new("list", listed).tuple().unwrap();
        let [inner] = second.tuple().unwrap();
        let error = inner.uint::<u8>().unwrap_err().to_string();
        assert!(error.starts_with("list[1][0]: "), "{error}");
    }

    #[test]
    fn a_text_that_does_not_fit_its_integer_is_an_error() {
        assert!(Field::new("n", Value::Uint(256)).uint::<u8>().is_err());
    }
}
