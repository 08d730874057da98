//! What a triple speaks of (draft-ietf-rats-corim section 5.1.4.1): class, instance, group, and typed identifiers.

use crate::crypto::der::dotted;
use crate::foreign_cbor::{Fields, ForeignCborError, Item};
use core::fmt;

/// Longest text kept, bytes.
const TEXT_BYTES_MAX: usize = 512;

const TAG_UUID: u64 = 37;
const TAG_OID: u64 = 111;
const TAG_UEID: u64 = 550;
const TAG_BYTES: u64 = 560;

/// A typed identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// Tag 37.
    Uuid([u8; 16]),
    /// Tag 111: the content of an object identifier.
    Oid(Vec<u8>),
    /// Tag 550.
    Ueid(Vec<u8>),
    /// Tag 560.
    Bytes(Vec<u8>),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(bytes) => write!(f, "uuid {}", hex::encode(bytes)),
            Self::Oid(content) => write!(f, "oid {}", dotted(content)),
            Self::Ueid(bytes) => write!(f, "ueid {}", hex::encode(bytes)),
            Self::Bytes(bytes) => write!(f, "bytes {}", hex::encode(bytes)),
        }
    }
}

impl Id {
    pub(super) fn read(item: Item<'_>, what: &str) -> Result<Self, ForeignCborError> {
        match item {
            Item::Tag(TAG_UUID, inner) => inner.fixed(what).map(Self::Uuid),
            Item::Tag(TAG_OID, inner) => inner.bytes(what).map(|b| Self::Oid(b.to_vec())),
            Item::Tag(TAG_UEID, inner) => inner.bytes(what).map(|b| Self::Ueid(b.to_vec())),
            Item::Tag(TAG_BYTES, inner) => inner.bytes(what).map(|b| Self::Bytes(b.to_vec())),
            other => other.wrong(what, "a UUID, OID, UEID or tagged bytes"),
        }
    }
}

/// What kind of component is described.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Class {
    /// Identifier of the class.
    pub id: Option<Id>,
    /// Vendor.
    pub vendor: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Layer.
    pub layer: Option<u64>,
    /// Index among components of the class.
    pub index: Option<u64>,
}

/// What a triple speaks of. At least one part is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Environment {
    /// The class.
    pub class: Option<Class>,
    /// One instance.
    pub instance: Option<Id>,
    /// A group of instances.
    pub group: Option<Id>,
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.clone().unwrap_or_default();
        let parts = [
            ("class", class.id.map(|id| id.to_string())),
            ("vendor", class.vendor.map(|text| format!("{text:?}"))),
            ("model", class.model.map(|text| format!("{text:?}"))),
            ("layer", class.layer.map(|n| n.to_string())),
            ("index", class.index.map(|n| n.to_string())),
            ("instance", self.instance.as_ref().map(Id::to_string)),
            ("group", self.group.as_ref().map(Id::to_string)),
        ];
        let there = parts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        for (at, (name, value)) in there.enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {value}")?;
        }
        Ok(())
    }
}

impl Environment {
    pub(super) fn read(item: Item<'_>) -> Result<Self, ForeignCborError> {
        let mut map = item.map("environment")?;
        let environment = Self {
            class: map.optional(0).map(class).transpose()?,
            instance: id(&mut map, 1, "instance")?,
            group: id(&mut map, 2, "group")?,
        };
        map.end()?;
        if environment == Self::default() {
            return Err(ForeignCborError::schema(
                "environment",
                "a class, instance or group",
                "none",
            ));
        }
        Ok(environment)
    }
}

fn class(item: Item<'_>) -> Result<Class, ForeignCborError> {
    let mut map = item.map("class")?;
    let number = |item: Option<Item<'_>>, what| item.map(|n| n.uint(what)).transpose();
    let class = Class {
        id: id(&mut map, 0, "class-id")?,
        vendor: text(&mut map, 1, "vendor")?,
        model: text(&mut map, 2, "model")?,
        layer: number(map.optional(3), "layer")?,
        index: number(map.optional(4), "index")?,
    };
    map.end()?;
    match class == Class::default() {
        true => Err(ForeignCborError::schema(
            "class",
            "at least one field",
            "none",
        )),
        false => Ok(class),
    }
}

fn id(map: &mut Fields<'_>, key: i64, what: &str) -> Result<Option<Id>, ForeignCborError> {
    map.optional(key)
        .map(|item| Id::read(item, what))
        .transpose()
}

pub(super) fn text(
    map: &mut Fields<'_>,
    key: i64,
    what: &str,
) -> Result<Option<String>, ForeignCborError> {
    map.optional(key)
        .map(|item| bounded(&item, what))
        .transpose()
}

/// Text of a bounded length.
pub(super) fn bounded(item: &Item<'_>, what: &str) -> Result<String, ForeignCborError> {
    let text = item.text(what)?;
    match text.len() <= TEXT_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => item.wrong(what, format!("at most {TEXT_BYTES_MAX} bytes of text")),
    }
}
