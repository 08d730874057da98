//! Measurements (draft-ietf-rats-corim section 5.1.4.2): the subset of which a policy can be made.

use super::CorimError;
use super::environment::{Id, bounded, text};
use crate::foreign_cbor::{ForeignCborError, Item, Label};
use core::fmt;

/// Most digests of one list.
const DIGESTS_MAX: usize = 16;

const TAG_SVN: u64 = 552;
const TAG_SVN_MIN: u64 = 553;
const TAG_BYTES: u64 = 560;
const TAG_MASKED_RAW: u64 = 563;

/// Which measurement of an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A number; its meaning is the profile's.
    Uint(u64),
    /// A name.
    Text(String),
    /// A UUID or OID.
    Id(Id),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uint(n) => write!(f, "{n}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

impl Key {
    fn read(item: Item<'_>) -> Result<Self, ForeignCborError> {
        match item {
            Item::Uint(n) => Ok(Self::Uint(n)),
            Item::Text(_) => bounded(&item, "measurement key").map(Self::Text),
            other => Id::read(other, "measurement key").map(Self::Id),
        }
    }
}

/// A security version number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Svn {
    /// Exactly this one (a number, or tag 552).
    Exact(u64),
    /// This one or a higher one (tag 553).
    Min(u64),
}

impl fmt::Display for Svn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(n) => write!(f, "{n}"),
            Self::Min(n) => write!(f, "at least {n}"),
        }
    }
}

impl Svn {
    fn read(item: Item<'_>) -> Result<Self, ForeignCborError> {
        match item {
            Item::Uint(n) => Ok(Self::Exact(n)),
            Item::Tag(TAG_SVN, inner) => inner.uint("svn").map(Self::Exact),
            Item::Tag(TAG_SVN_MIN, inner) => inner.uint("svn").map(Self::Min),
            other => other.wrong("svn", "a number, tag 552 or tag 553"),
        }
    }
}

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The version.
    pub text: String,
    /// How versions are ordered: a number of the CoSWID registry (RFC 9393 section 4.1). Absent: not said.
    pub scheme: Option<i64>,
}

impl Version {
    fn read(item: Item<'_>) -> Result<Self, ForeignCborError> {
        let mut map = item.map("version-map")?;
        let version = Self {
            text: bounded(&map.take(0, "version")?, "version")?,
            scheme: map
                .optional(1)
                .map(|n| n.int("version-scheme"))
                .transpose()?,
        };
        map.end()?;
        Ok(version)
    }
}

/// The algorithm of a digest: IANA's "Named Information Hash Algorithm Registry".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DigestAlg {
    /// 1.
    Sha256,
    /// 2 to 6: SHA-256 cut to this many bytes.
    Sha256Cut(usize),
    /// 7.
    Sha384,
    /// 8.
    Sha512,
    /// 9 to 12: SHA-3 of this many bytes.
    Sha3(usize),
    /// A name of the signer's own. Such a digest is shown and never becomes a reference value.
    Private(String),
}

impl fmt::Display for DigestAlg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256 => f.write_str("sha-256"),
            Self::Sha256Cut(bytes) => write!(f, "sha-256 cut to {bytes} bytes"),
            Self::Sha384 => f.write_str("sha-384"),
            Self::Sha512 => f.write_str("sha-512"),
            Self::Sha3(bytes) => write!(f, "sha-3 of {bytes} bytes"),
            Self::Private(name) => write!(f, "{name:?}"),
        }
    }
}

impl DigestAlg {
    fn read(item: &Item<'_>) -> Result<Self, ForeignCborError> {
        Ok(match item {
            Item::Uint(1) => Self::Sha256,
            Item::Uint(2) => Self::Sha256Cut(16),
            Item::Uint(3) => Self::Sha256Cut(15),
            Item::Uint(4) => Self::Sha256Cut(12),
            Item::Uint(5) => Self::Sha256Cut(8),
            Item::Uint(6) => Self::Sha256Cut(4),
            Item::Uint(7) => Self::Sha384,
            Item::Uint(8) => Self::Sha512,
            Item::Uint(9) => Self::Sha3(28),
            Item::Uint(10) => Self::Sha3(32),
            Item::Uint(11) => Self::Sha3(48),
            Item::Uint(12) => Self::Sha3(64),
            Item::Text(_) => Self::Private(bounded(item, "digest algorithm")?),
            other => return other.wrong("digest algorithm", "1 to 12 or a name"),
        })
    }

    fn size(&self) -> Option<usize> {
        match self {
            Self::Sha256 => Some(32),
            Self::Sha384 => Some(48),
            Self::Sha512 => Some(64),
            Self::Sha256Cut(bytes) | Self::Sha3(bytes) => Some(*bytes),
            Self::Private(_) => None,
        }
    }
}

/// A digest, as long as its algorithm says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestValue {
    /// The algorithm.
    pub algorithm: DigestAlg,
    /// The digest.
    pub value: Vec<u8>,
}

impl fmt::Display for DigestValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, hex::encode(&self.value))
    }
}

fn digests(item: Item<'_>) -> Result<Vec<DigestValue>, CorimError> {
    let items = item.some("digests")?;
    if items.len() > DIGESTS_MAX {
        let expected = format!("at most {DIGESTS_MAX}");
        return Err(ForeignCborError::schema("digests", expected, items.len()).into());
    }
    let mut found: Vec<DigestValue> = Vec::new();
    for item in items {
        let digest = digest(item)?;
        if found
            .iter()
            .any(|other| other.algorithm == digest.algorithm)
        {
            return Err(CorimError::DigestTwice(digest.algorithm.to_string()));
        }
        found.push(digest);
    }
    Ok(found)
}

fn digest(item: Item<'_>) -> Result<DigestValue, CorimError> {
    let [algorithm, value] = item.tuple("digest")?;
    let algorithm = DigestAlg::read(&algorithm)?;
    let value = value.bytes("digest")?.to_vec();
    match algorithm.size() {
        Some(expected) if expected != value.len() => Err(CorimError::DigestLength {
            algorithm: algorithm.to_string(),
            expected,
            actual: value.len(),
        }),
        _ => Ok(DigestValue { algorithm, value }),
    }
}

/// Raw bytes, with the mask of the bits that count when it is not all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawValue {
    /// The bytes.
    pub value: Vec<u8>,
    /// Which bits count; as long as the value. None: all.
    pub mask: Option<Vec<u8>>,
}

impl RawValue {
    /// The value beside the deprecated mask of key 5.
    fn read(item: Item<'_>, old_mask: Option<Item<'_>>) -> Result<Self, ForeignCborError> {
        let (value, mask) = match (item, old_mask) {
            (Item::Tag(TAG_BYTES, inner), None) => (inner.bytes("raw-value")?, None),
            (Item::Tag(TAG_BYTES, inner), Some(mask)) => (
                inner.bytes("raw-value")?,
                Some(mask.bytes("raw-value-mask")?),
            ),
            (Item::Tag(TAG_MASKED_RAW, inner), None) => {
                let [value, mask] = inner.tuple("masked raw-value")?;
                (
                    value.bytes("raw-value")?,
                    Some(mask.bytes("raw-value-mask")?),
                )
            }
            (other, _) => {
                return other.wrong("raw-value", "tag 560, or tag 563 without another mask");
            }
        };
        if let Some(mask) = mask.filter(|mask| mask.len() != value.len()) {
            let expected = format!("{} bytes, as the value", value.len());
            return Err(ForeignCborError::schema(
                "raw-value-mask",
                expected,
                mask.len(),
            ));
        }
        Ok(Self {
            value: value.to_vec(),
            mask: mask.map(<[u8]>::to_vec),
        })
    }
}

/// An integrity register: a PCR or the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Its number or name.
    pub key: Key,
    /// Its value, one per algorithm.
    pub digests: Vec<DigestValue>,
}

fn registers(item: Item<'_>) -> Result<Vec<Register>, CorimError> {
    let entries = item.map("integrity-registers")?.rest();
    let register = |(label, value): (Label<'_>, Item<'_>)| -> Result<Register, CorimError> {
        let key = match label {
            Label::Int(n) => Key::Uint(u64::try_from(n).map_err(|_| {
                ForeignCborError::schema("integrity register", "a number from 0", n)
            })?),
            Label::Text(text) => Key::read(Item::Text(text))?,
        };
        let digests = digests(value)?;
        Ok(Register { key, digests })
    };
    entries.into_iter().map(register).collect()
}

/// The conditions one measurement must meet, all of them. At least one is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measurement {
    /// Which measurement; absent when the environment has one.
    pub key: Option<Key>,
    /// Version.
    pub version: Option<Version>,
    /// Security version.
    pub svn: Option<Svn>,
    /// Digests, no algorithm twice; empty when none is asked for.
    pub digests: Vec<DigestValue>,
    /// Flags by number (draft section 5.1.4.1.4.4), ascending.
    pub flags: Vec<(u8, bool)>,
    /// Raw value.
    pub raw: Option<RawValue>,
    /// A name, for people.
    pub name: Option<String>,
    /// Integrity registers.
    pub registers: Vec<Register>,
}

impl Measurement {
    /// Reads a measurement-map. Any other key is a condition this reader could not pass on, and is refused:
    /// `authorized-by` and every value of mval not listed in [`Measurement`].
    pub(super) fn read(item: Item<'_>) -> Result<Self, CorimError> {
        let mut map = item.map("measurement-map")?;
        let key = map.optional(0).map(Key::read).transpose()?;
        let values = map.take(1, "mval")?;
        map.end()?;
        let mut map = values.map("measurement-values-map")?;
        let old_mask = map.optional(5);
        let raw = match (map.optional(4), old_mask) {
            (Some(value), mask) => Some(RawValue::read(value, mask)?),
            (None, Some(mask)) => mask.wrong("raw-value-mask", "a raw-value beside it")?,
            (None, None) => None,
        };
        let mut measurement = Self {
            key: None,
            version: map.optional(0).map(Version::read).transpose()?,
            svn: map.optional(1).map(Svn::read).transpose()?,
            digests: map
                .optional(2)
                .map(digests)
                .transpose()?
                .unwrap_or_default(),
            flags: map.optional(3).map(flags).transpose()?.unwrap_or_default(),
            raw,
            name: text(&mut map, 11, "name")?,
            registers: map
                .optional(14)
                .map(registers)
                .transpose()?
                .unwrap_or_default(),
        };
        map.end()?;
        if measurement == Self::default() {
            return Err(
                ForeignCborError::schema("measurement-values-map", "a value", "none").into(),
            );
        }
        measurement.key = key;
        Ok(measurement)
    }

    /// What it is called in errors.
    pub(super) fn label(&self) -> String {
        self.key
            .as_ref()
            .map_or_else(|| "without a key".into(), Key::to_string)
    }
}

fn flags(item: Item<'_>) -> Result<Vec<(u8, bool)>, ForeignCborError> {
    let mut found = Vec::new();
    for (label, value) in item.map("flags")?.rest() {
        match label {
            Label::Int(n @ 0..=9) => {
                found.push((u8::try_from(n).unwrap_or_default(), value.bool("flag")?))
            }
            other => return Err(ForeignCborError::schema("flags", "flags 0 to 9", other)),
        }
    }
    found.sort_unstable();
    Ok(found)
}
