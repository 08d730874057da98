//! From Rust types to deterministic CBOR and back: [`Item`] for the leaves, `cbor_map!` for records.

use crate::cbor::{CborError, Field, Value};
use crate::ids::{
    Address, AkName, Beacon, Bps, ChipId, Digest, Digest384, Epoch, HyperNodeId, Keccak, NetworkId,
    NodeId, Nonce, Ppm, RegionKey, Seed, SessionKey, Slot, Stake, UnixMs,
};
use std::borrow::Cow;

/// Most items of any array; the length caps of the objects themselves bite earlier.
const ARRAY_ITEMS_MAX: usize = 65_536;
/// Longest text of any field, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1_024;

/// A type with one deterministic CBOR form.
pub trait Item: Sized {
    /// Its CBOR value.
    fn to_value(&self) -> Value<'_>;
    /// Reads it strictly.
    fn from_field(field: Field<'_>) -> Result<Self, CborError>;

    /// Its deterministic encoding.
    fn encode(&self) -> Vec<u8> {
        self.to_value().encode()
    }

    /// Decodes `bytes` that must hold exactly this item and be no longer than `max`.
    fn decode(what: &'static str, max: usize, bytes: &[u8]) -> Result<Self, CborError> {
        Self::from_field(Field::new(what, Value::decode_bounded(what, max, bytes)?))
    }
}

/// A byte string field.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Blob(pub Vec<u8>);

impl core::fmt::Debug for Blob {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Item for Blob {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes((&self.0).into())
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        field
            .bytes(usize::MAX)
            .map(|bytes| Self(bytes.into_owned()))
    }
}

impl Item for String {
    fn to_value(&self) -> Value<'_> {
        Value::text(self)
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        field.text(TEXT_BYTES_MAX).map(Cow::into_owned)
    }
}

impl Item for bool {
    fn to_value(&self) -> Value<'_> {
        Value::Bool(*self)
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        field.bool()
    }
}

impl Item for u128 {
    fn to_value(&self) -> Value<'_> {
        Value::u128(*self)
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        field.u128()
    }
}

impl<T: Item> Item for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Item::to_value)
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        field.nullable().map(T::from_field).transpose()
    }
}

impl<T: Item> Item for Vec<T> {
    fn to_value(&self) -> Value<'_> {
        Value::Array(self.iter().map(Item::to_value).collect())
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        field.array(ARRAY_ITEMS_MAX)?.map(T::from_field).collect()
    }
}

impl<A: Item, B: Item> Item for (A, B) {
    fn to_value(&self) -> Value<'_> {
        Value::Array(vec![self.0.to_value(), self.1.to_value()])
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        let [a, b] = field.tuple()?;
        Ok((A::from_field(a)?, B::from_field(b)?))
    }
}

impl<A: Item, B: Item, C: Item> Item for (A, B, C) {
    fn to_value(&self) -> Value<'_> {
        Value::Array(vec![
            self.0.to_value(),
            self.1.to_value(),
            self.2.to_value(),
        ])
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        let [a, b, c] = field.tuple()?;
        Ok((A::from_field(a)?, B::from_field(b)?, C::from_field(c)?))
    }
}

macro_rules! unsigned {
    ($($t:ty),*) => {$(
        impl Item for $t {
            fn to_value(&self) -> Value<'_> {
                Value::Uint(u64::from(*self))
            }
            fn from_field(field: Field<'_>) -> Result<Self, CborError> {
                field.uint()
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64);

macro_rules! number {
    ($($t:ident),*) => {$(
        impl Item for $t {
            fn to_value(&self) -> Value<'_> {
                self.0.to_value()
            }
            fn from_field(field: Field<'_>) -> Result<Self, CborError> {
                Item::from_field(field).map(Self)
            }
        }
    )*};
}
number!(Epoch, Slot, Stake, Ppm, Bps, UnixMs);

macro_rules! fixed {
    ($($t:ident),*) => {$(
        impl Item for $t {
            fn to_value(&self) -> Value<'_> {
                Value::Bytes(self.0[..].into())
            }
            fn from_field(field: Field<'_>) -> Result<Self, CborError> {
                field.fixed().map(Self)
            }
        }
    )*};
}
fixed!(
    NetworkId,
    NodeId,
    HyperNodeId,
    SessionKey,
    Nonce,
    Beacon,
    Digest,
    Digest384,
    ChipId,
    Keccak,
    Seed,
    RegionKey,
    Address,
    AkName
);

impl<const N: usize> Item for [u8; N] {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self[..].into())
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        field.fixed()
    }
}

/// Declares a record and its CBOR map: each field with its integer key. Unknown keys are refused.
#[macro_export]
macro_rules! cbor_map {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* $key:literal => $field:ident : $ty:ty,)* }) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$fmeta])* pub $field: $ty,)*
        }

        impl $crate::item::Item for $name {
            fn to_value(&self) -> $crate::cbor::Value<'_> {
                $crate::cbor::int_map([
                    $(($key, $crate::item::Item::to_value(&self.$field)),)*
                ])
            }
            fn from_field(
                field: $crate::cbor::Field<'_>,
            ) -> Result<Self, $crate::cbor::CborError> {
                let mut map = field.map()?;
                let record = Self {
                    $($field: $crate::item::Item::from_field(map.take($key)?)?,)*
                };
                map.end()?;
                Ok(record)
            }
        }
    };
}

/// Makes a record a signed [`crate::cose::Payload`]; with a check, only what passes it is read.
#[macro_export]
macro_rules! signed_payload {
    ($name:ident, $typ:literal, $max:expr, |$p:ident| $subject:expr, $time_ms:expr $(, $check:path)?) => {
        impl $crate::cose::Payload for $name {
            const TYP: &'static str = $typ;
            const MAX_BYTES: usize = $max;
            fn to_value(&self) -> $crate::cbor::Value<'_> {
                $crate::item::Item::to_value(self)
            }
            fn from_field(field: $crate::cbor::Field<'_>) -> Result<Self, $crate::cbor::CborError> {
                let read: Self = $crate::item::Item::from_field(field)?;
                $($check(&read)?;)?
                Ok(read)
            }
            fn subject(&self) -> String {
                let $p = self;
                $subject.to_string()
            }
            fn issued_at_s(&self) -> u64 {
                let $p = self;
                let at: $crate::ids::UnixMs = $time_ms;
                at.0 / 1_000
            }
        }
    };
}
