//! CBOR (RFC 8949) written by others: read with bounds, not required to be deterministic.
//!
//! What Assay itself signs is read by [`assay_protocol::cbor`], which accepts one spelling of a value. Here
//! longer integer forms and unsorted maps are accepted, because a foreign signer may write them; indefinite
//! lengths, map keys that are neither integers nor text, a key twice in a map, trailing bytes, and more bytes,
//! items or depth than the caps are refused. Nothing is allocated that items really read did not pay for.

use core::fmt;
use std::collections::BTreeSet;

/// Longest input, bytes.
pub const BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of arrays, maps and tags.
pub const DEPTH_MAX: usize = 24;
/// Most items of one input, keys included.
pub const ITEMS_MAX: usize = 1 << 16;

/// Why bytes are not the CBOR expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignCborError {
    /// Longer than the cap.
    #[error("CBOR: expected at most {BYTES_MAX} bytes, got {0}")]
    TooLong(usize),
    /// The input ends inside an item.
    #[error("CBOR ends early at byte {0}")]
    Truncated(usize),
    /// Bytes follow the item.
    #[error("CBOR: expected no trailing bytes, got {0}")]
    Trailing(usize),
    /// Nested deeper than the cap.
    #[error("CBOR: expected at most {DEPTH_MAX} levels, got more")]
    TooDeep,
    /// More items than the cap.
    #[error("CBOR: expected at most {ITEMS_MAX} items, got more")]
    TooMany,
    /// Indefinite lengths and reserved forms.
    #[error(
        "CBOR at byte {at}: expected a definite, assigned form, got initial byte {initial:#04x}"
    )]
    Unsupported {
        /// Offset in the input.
        at: usize,
        /// The initial byte.
        initial: u8,
    },
    /// Text that is not UTF-8.
    #[error("CBOR at byte {0}: expected UTF-8 text, got other bytes")]
    NotText(usize),
    /// A map key that is neither an integer of 64 bits nor text.
    #[error("CBOR at byte {0}: expected an integer or text as map key, got something else")]
    KeyKind(usize),
    /// One key twice in a map.
    #[error("CBOR: map key {0} is there twice")]
    KeyTwice(String),
    /// Well-formed, but not what the schema asks for.
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

impl ForeignCborError {
    /// An error that says what `what` is instead of `expected`.
    pub fn schema(
        what: impl fmt::Display,
        expected: impl fmt::Display,
        actual: impl fmt::Display,
    ) -> Self {
        Self::Schema {
            what: what.to_string(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        }
    }
}

/// A map key, COSE's `label`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label<'a> {
    /// A number.
    Int(i64),
    /// A text.
    Text(&'a str),
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// One item; strings borrow from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// Major type 0.
    Uint(u64),
    /// Major type 1; the value is −1 − n.
    Nint(u64),
    /// Major type 2.
    Bytes(&'a [u8]),
    /// Major type 3.
    Text(&'a str),
    /// Major type 4.
    Array(Vec<Item<'a>>),
    /// Major type 5, no key twice, in the order received.
    Map(Vec<(Label<'a>, Item<'a>)>),
    /// Major type 6.
    Tag(u64, Box<Item<'a>>),
    /// Simple values 20 and 21.
    Bool(bool),
    /// Simple value 22.
    Null,
    /// Any other simple value or a float: well-formed, and never what is asked for.
    Other,
}

impl<'a> Item<'a> {
    /// Reads exactly one item that fills `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ForeignCborError> {
        if bytes.len() > BYTES_MAX {
            return Err(ForeignCborError::TooLong(bytes.len()));
        }
        let mut reader = Reader {
            bytes,
            at: 0,
            items: 0,
        };
        let item = reader.item(0)?;
        match bytes.len().saturating_sub(reader.at) {
            0 => Ok(item),
            left => Err(ForeignCborError::Trailing(left)),
        }
    }

    /// What it is, in words, for errors.
    pub fn kind(&self) -> String {
        match self {
            Self::Uint(n) => format!("{n}"),
            Self::Nint(n) => format!("{}", i128::from(*n).saturating_neg().saturating_sub(1)),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Text(text) => format!("text {:?}", text.chars().take(60).collect::<String>()),
            Self::Array(items) => format!("an array of {}", items.len()),
            Self::Map(entries) => format!("a map of {}", entries.len()),
            Self::Tag(tag, _) => format!("tag {tag}"),
            Self::Bool(value) => format!("{value}"),
            Self::Null => "null".into(),
            Self::Other => "a float or simple value".into(),
        }
    }

    /// An error that says what this is instead of `expected`.
    pub fn wrong<T>(&self, what: &str, expected: impl fmt::Display) -> Result<T, ForeignCborError> {
        Err(ForeignCborError::schema(what, expected, self.kind()))
    }

    /// An integer of 64 bits, signed.
    pub fn int(&self, what: &str) -> Result<i64, ForeignCborError> {
        match self {
            Self::Uint(n) if i64::try_from(*n).is_ok() => Ok(i64::try_from(*n).unwrap_or(i64::MAX)),
            Self::Nint(n) if i64::try_from(*n).is_ok() => {
                Ok(!i64::try_from(*n).unwrap_or(i64::MAX))
            }
            _ => self.wrong(what, "an integer"),
        }
    }

    /// An unsigned integer.
    pub fn uint(&self, what: &str) -> Result<u64, ForeignCborError> {
        match self {
            Self::Uint(n) => Ok(*n),
            _ => self.wrong(what, "an unsigned integer"),
        }
    }

    /// A byte string.
    pub fn bytes(&self, what: &str) -> Result<&'a [u8], ForeignCborError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => self.wrong(what, "a byte string"),
        }
    }

    /// A byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(&self, what: &str) -> Result<[u8; N], ForeignCborError> {
        match self {
            Self::Bytes(bytes) => match <[u8; N]>::try_from(*bytes) {
                Ok(fixed) => Ok(fixed),
                Err(_) => self.wrong(what, format!("{N} bytes")),
            },
            _ => self.wrong(what, format!("{N} bytes")),
        }
    }

    /// Text.
    pub fn text(&self, what: &str) -> Result<&'a str, ForeignCborError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => self.wrong(what, "text"),
        }
    }

    /// A boolean.
    pub fn bool(&self, what: &str) -> Result<bool, ForeignCborError> {
        match self {
            Self::Bool(value) => Ok(*value),
            _ => self.wrong(what, "a boolean"),
        }
    }

    /// The items of an array.
    pub fn array(self, what: &str) -> Result<Vec<Item<'a>>, ForeignCborError> {
        match self {
            Self::Array(items) => Ok(items),
            _ => self.wrong(what, "an array"),
        }
    }

    /// The items of an array that has at least one.
    pub fn some(self, what: &str) -> Result<Vec<Item<'a>>, ForeignCborError> {
        match self {
            Self::Array(items) if !items.is_empty() => Ok(items),
            _ => self.wrong(what, "an array that is not empty"),
        }
    }

    /// The items of an array of exactly `N`.
    pub fn tuple<const N: usize>(self, what: &str) -> Result<[Item<'a>; N], ForeignCborError> {
        let items = self.array(what)?;
        let count = items.len();
        items.try_into().map_err(|_| {
            ForeignCborError::schema(
                what,
                format!("an array of {N}"),
                format!("an array of {count}"),
            )
        })
    }

    /// A map, to be read key by key.
    pub fn map(self, what: &'static str) -> Result<Fields<'a>, ForeignCborError> {
        match self {
            Self::Map(entries) => Ok(Fields { what, entries }),
            _ => self.wrong(what, "a map"),
        }
    }

    /// What the tag `tag` holds.
    pub fn tagged(self, what: &str, tag: u64) -> Result<Item<'a>, ForeignCborError> {
        match self {
            Self::Tag(number, inner) if number == tag => Ok(*inner),
            _ => self.wrong(what, format!("tag {tag}")),
        }
    }
}

/// A map being read: each key is taken once, and [`Fields::end`] refuses what was not asked for.
pub struct Fields<'a> {
    what: &'static str,
    entries: Vec<(Label<'a>, Item<'a>)>,
}

impl<'a> Fields<'a> {
    /// Takes the value of a required integer key.
    pub fn take(&mut self, key: i64, name: &str) -> Result<Item<'a>, ForeignCborError> {
        self.optional(key).ok_or_else(|| {
            ForeignCborError::schema(self.what, format!("key {key} ({name})"), "no such key")
        })
    }

    /// Takes the value of an integer key that may be absent.
    pub fn optional(&mut self, key: i64) -> Option<Item<'a>> {
        let label = Label::Int(key);
        let at = self.entries.iter().position(|(k, _)| *k == label)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// What was not taken.
    pub fn rest(self) -> Vec<(Label<'a>, Item<'a>)> {
        self.entries
    }

    /// Succeeds when every key was taken.
    pub fn end(self) -> Result<(), ForeignCborError> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, _)) => Err(ForeignCborError::schema(
                self.what,
                "no further key",
                format!("key {key}"),
            )),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], ForeignCborError> {
        let short = ForeignCborError::Truncated(self.at);
        let count = usize::try_from(count).map_err(|_| short.clone())?;
        let end = self.at.checked_add(count).ok_or(short.clone())?;
        let slice = self.bytes.get(self.at..end).ok_or(short)?;
        self.at = end;
        Ok(slice)
    }

    fn number(&mut self, width: u64) -> Result<u64, ForeignCborError> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    /// Major type and argument.
    fn head(&mut self) -> Result<(u8, u8, u64), ForeignCborError> {
        let at = self.at;
        let initial = self.number(1)?.to_le_bytes()[0];
        let (major, info) = (initial >> 5, initial & 0x1f);
        let argument = match info {
            0..=23 => u64::from(info),
            24 => self.number(1)?,
            25 => self.number(2)?,
            26 => self.number(4)?,
            27 => self.number(8)?,
            _ => return Err(ForeignCborError::Unsupported { at, initial }),
        };
        Ok((major, info, argument))
    }

    /// Recursion is bounded by [`DEPTH_MAX`].
    fn item(&mut self, depth: usize) -> Result<Item<'a>, ForeignCborError> {
        if depth > DEPTH_MAX {
            return Err(ForeignCborError::TooDeep);
        }
        self.items = self.items.saturating_add(1);
        if self.items > ITEMS_MAX {
            return Err(ForeignCborError::TooMany);
        }
        let at = self.at;
        let deeper = depth.saturating_add(1);
        let (major, info, n) = self.head()?;
        match major {
            0 => Ok(Item::Uint(n)),
            1 => Ok(Item::Nint(n)),
            2 => self.take(n).map(Item::Bytes),
            3 => core::str::from_utf8(self.take(n)?)
                .map(Item::Text)
                .map_err(|_| ForeignCborError::NotText(at)),
            4 => self.array(n, deeper),
            5 => self.map(n, deeper),
            6 => Ok(Item::Tag(n, Box::new(self.item(deeper)?))),
            _ => simple(at, info, n),
        }
    }

    fn array(&mut self, count: u64, depth: usize) -> Result<Item<'a>, ForeignCborError> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.item(depth)?);
        }
        Ok(Item::Array(items))
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Item<'a>, ForeignCborError> {
        let mut entries = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let at = self.at;
            let key = match self.item(depth)? {
                Item::Text(text) => Label::Text(text),
                number => number
                    .int("map key")
                    .map(Label::Int)
                    .map_err(|_| ForeignCborError::KeyKind(at))?,
            };
            if !seen.insert(key) {
                return Err(ForeignCborError::KeyTwice(key.to_string()));
            }
            entries.push((key, self.item(depth)?));
        }
        Ok(Item::Map(entries))
    }
}

/// Major type 7 (RFC 8949 section 3.3): simple values below 32 have one form.
fn simple<'a>(at: usize, info: u8, n: u64) -> Result<Item<'a>, ForeignCborError> {
    match (info, n) {
        (20, _) => Ok(Item::Bool(false)),
        (21, _) => Ok(Item::Bool(true)),
        (22, _) => Ok(Item::Null),
        (24, 0..=31) => Err(ForeignCborError::Unsupported { at, initial: 0xf8 }),
        _ => Ok(Item::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(hex: &str) -> Result<String, ForeignCborError> {
        let bytes = hex::decode(hex).unwrap();
        Item::decode(&bytes).map(|item| format!("{item:?}"))
    }

    #[test]
    fn longer_integers_and_unsorted_maps_are_read() {
        assert_eq!(decode("1805").unwrap(), "Uint(5)");
        assert_eq!(decode("3b00000000000000ff").unwrap(), "Nint(255)");
        assert_eq!(
            decode("a2020a0163616263").unwrap(),
            r#"Map([(Int(2), Uint(10)), (Int(1), Text("abc"))])"#
        );
        assert_eq!(decode("f4").unwrap(), "Bool(false)");
        assert_eq!(decode("f5").unwrap(), "Bool(true)");
        assert_eq!(decode("f6").unwrap(), "Null");
        assert_eq!(decode("f7").unwrap(), "Other");
        assert_eq!(decode("f97e00").unwrap(), "Other");
        assert_eq!(decode("d81820").unwrap(), "Tag(24, Nint(0))");
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        use ForeignCborError as E;
        let unsupported = |at, initial| E::Unsupported { at, initial };
        for (hex, error) in [
            ("", E::Truncated(0)),
            ("19ff", E::Truncated(1)),
            ("42aa", E::Truncated(1)),
            ("0000", E::Trailing(1)),
            ("5f41aaff", unsupported(0, 0x5f)),
            ("9f00ff", unsupported(0, 0x9f)),
            ("81bf", unsupported(1, 0xbf)),
            ("1c", unsupported(0, 0x1c)),
            ("f814", unsupported(0, 0xf8)),
            ("61ff", E::NotText(0)),
            ("a1410000", E::KeyKind(1)),
            ("a11bffffffffffffffff00", E::KeyKind(1)),
            ("a201000100", E::KeyTwice("1".into())),
            // The same number in another spelling is the same key.
            ("a20100180100", E::KeyTwice("1".into())),
            ("a2616100616100", E::KeyTwice("\"a\"".into())),
            ("9bffffffffffffffff", E::Truncated(9)),
            ("5bffffffffffffffff", E::Truncated(9)),
            ("bbffffffffffffffff", E::Truncated(9)),
        ] {
            assert_eq!(decode(hex), Err(error), "{hex}");
        }
    }

    #[test]
    fn caps_are_exact() {
        let nested = |levels: usize| [vec![0x81; levels], vec![0]].concat();
        assert!(Item::decode(&nested(DEPTH_MAX)).is_ok());
        let deep = nested(DEPTH_MAX + 1);
        assert_eq!(Item::decode(&deep), Err(ForeignCborError::TooDeep));
        let flat = |items: usize| {
            let mut bytes = vec![0x9a];
            bytes.extend(u32::try_from(items).unwrap().to_be_bytes());
            bytes.resize(items + 5, 0);
            bytes
        };
        assert!(Item::decode(&flat(ITEMS_MAX - 1)).is_ok());
        let many = flat(ITEMS_MAX);
        assert_eq!(Item::decode(&many), Err(ForeignCborError::TooMany));
        let string = |bytes: usize| {
            let mut out = vec![0x5a];
            out.extend(u32::try_from(bytes - 5).unwrap().to_be_bytes());
            out.resize(bytes, 0);
            out
        };
        assert!(Item::decode(&string(BYTES_MAX)).is_ok());
        let long = string(BYTES_MAX + 1);
        let error = ForeignCborError::TooLong(BYTES_MAX + 1);
        assert_eq!(Item::decode(&long), Err(error));
    }

    #[test]
    fn typed_access_names_what_was_found() {
        let bytes = hex::decode("a3010203f504820102").unwrap();
        let mut map = Item::decode(&bytes).unwrap().map("thing").unwrap();
        assert_eq!(map.take(1, "one").unwrap().uint("one"), Ok(2));
        assert_eq!(map.take(3, "three").unwrap().bool("three"), Ok(true));
        let error = map.take(9, "nine").unwrap_err().to_string();
        assert_eq!(error, "thing: expected key 9 (nine), got no such key");
        let error = map.end().unwrap_err().to_string();
        assert_eq!(error, "thing: expected no further key, got key 4");
        let (number, text) = (Item::Uint(7), Item::Text("x"));
        assert_eq!(number.int("n"), Ok(7));
        assert_eq!(Item::Nint(6).int("n"), Ok(-7));
        assert_eq!(Item::Nint(i64::MAX.unsigned_abs()).int("n"), Ok(i64::MIN));
        assert!(Item::Uint(u64::MAX).int("n").is_err());
        assert!(Item::Nint(u64::MAX).int("n").is_err());
        assert!(Item::Nint(0).uint("n").is_err());
        assert!(number.bytes("n").is_err() && number.text("n").is_err());
        assert!(number.bool("n").is_err() && text.uint("n").is_err());
        assert!(number.clone().array("n").is_err() && number.clone().map("n").is_err());
        assert!(number.clone().tagged("n", 7).is_err());
        assert_eq!(
            Item::Tag(7, Box::new(text.clone())).tagged("t", 7),
            Ok(text)
        );
        assert!(
            Item::Tag(8, Box::new(number.clone()))
                .tagged("t", 7)
                .is_err()
        );
        assert!(Item::Array(vec![]).some("a").is_err());
        assert!(Item::Array(vec![number.clone()]).some("a").is_ok());
        assert!(Item::Array(vec![number]).tuple::<2>("a").is_err());
        assert_eq!(Item::Bytes(&[1, 2]).fixed::<2>("b"), Ok([1, 2]));
        assert!(Item::Bytes(&[1, 2]).fixed::<3>("b").is_err());
        assert!(Item::Null.fixed::<3>("b").is_err());
        assert_eq!(Item::Nint(u64::MAX).kind(), "-18446744073709551616");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Item::decode(&bytes);
        }

        #[test]
        fn what_assay_writes_is_read(a in any::<i64>(), b in proptest::collection::vec(any::<u8>(), 0..40)) {
            use assay_protocol::cbor::{Value, int_map};
            let bytes = int_map([(a, Value::bytes(&b))]).encode();
            let mut map = Item::decode(&bytes).unwrap().map("m").unwrap();
            prop_assert_eq!(map.take(a, "a").unwrap().bytes("b").unwrap(), b.as_slice());
        }
    }
}
