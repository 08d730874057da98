//! The manifest: signed or unsigned wrapping, CoRIM map, CoMID tags and their triples.

use super::environment::{Environment, bounded};
use super::measurement::Measurement;
use super::snp;
use super::{CorimError, SNP_PROFILE};
use crate::cose_sign1::{Envelope, Label, Message};
use crate::foreign_cbor::{ForeignCborError, Item};
use core::fmt;

const TAG_TIME: u64 = 1;
const TAG_URI: u64 = 32;
const TAG_OID: u64 = 111;
const TAG_CORIM: u64 = 501;
const TAG_COMID: u64 = 506;
/// Tags 500 and 502 of older drafts around the COSE object, as they are always written.
const OLD_WRAPPERS: [[u8; 3]; 2] = [[0xd9, 0x01, 0xf4], [0xd9, 0x01, 0xf6]];
const COSE_SIGN1: u8 = 0xd2;
const CONTENT_TYPE: &str = "application/rim+cbor";
/// Protected header: corim-meta.
pub(super) const HEADER_META: Label<'static> = Label::Int(8);
/// Protected header: CWT claims (RFC 9597).
pub(super) const HEADER_CWT: Label<'static> = Label::Int(15);
const HEADER_CONTENT_TYPE: Label<'static> = Label::Int(3);

/// A period, Unix seconds, both ends inside; an absent end is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// First second.
    pub not_before_s: Option<i64>,
    /// Last second.
    pub not_after_s: Option<i64>,
}

impl Window {
    /// Whether `at_s` is inside.
    pub fn contains(self, at_s: i64) -> bool {
        self.not_before_s.is_none_or(|first| first <= at_s)
            && self.not_after_s.is_none_or(|last| at_s <= last)
    }

    /// What is inside both.
    fn and(self, other: Self) -> Self {
        let later = self.not_before_s.max(other.not_before_s);
        let ends = [self.not_after_s, other.not_after_s];
        Self {
            not_before_s: later,
            not_after_s: ends.into_iter().flatten().min(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: Option<i64>| end.map_or_else(|| "open".into(), |s| s.to_string());
        write!(
            f,
            "from {} to {} s",
            end(self.not_before_s),
            end(self.not_after_s)
        )
    }
}

/// Which rules a manifest follows beyond the draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    /// A URI.
    Uri(String),
    /// The content of an object identifier.
    Oid(Vec<u8>),
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A line break in it would forge a line of the printed checks.
            Self::Uri(uri) => write!(f, "{}", uri.escape_debug()),
            Self::Oid(content) => write!(f, "oid {}", crate::crypto::der::dotted(content)),
        }
    }
}

/// Reference values of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What is described.
    pub environment: Environment,
    /// Its measurements; two with one key are alternatives.
    pub measurements: Vec<Measurement>,
}

/// What the signed wrapping says; **not verified** by reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The signer's name for itself.
    pub name: String,
    /// How long the signature is meant to hold.
    pub window: Window,
    /// Certificates carried, DER, leaf first.
    pub x5chain: Vec<Vec<u8>>,
}

/// A manifest as it reads; **not verified**.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its identifier: text, or a UUID in hexadecimal.
    pub id: String,
    /// Its profile.
    pub profile: Option<Profile>,
    /// How long it is meant to hold.
    pub window: Window,
    /// The signed wrapping; none for an unsigned manifest.
    pub signature: Option<Signature>,
    /// Reference values, of all tags, in order.
    pub references: Vec<Reference>,
    /// What is in it and was not used, in words.
    pub ignored: Vec<String>,
}

/// Reads a manifest, signed or not, without verifying anything: to show it.
pub fn read(bytes: &[u8]) -> Result<Manifest, CorimError> {
    match signed_part(bytes) {
        Some(cose) => read_signed(&Message::parse(cose, Envelope::Tagged)?),
        None => corim(Item::decode(bytes)?),
    }
}

/// The COSE object inside the wrappers of older drafts; none when the bytes are no signed manifest.
pub(super) fn signed_part(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    for wrapper in OLD_WRAPPERS {
        rest = rest.strip_prefix(&wrapper).unwrap_or(rest);
    }
    (rest.first() == Some(&COSE_SIGN1)).then_some(rest)
}

/// Reads what a signed manifest carries.
pub(super) fn read_signed(message: &Message<'_>) -> Result<Manifest, CorimError> {
    let headers = message.headers();
    let content_type = headers
        .protected(HEADER_CONTENT_TYPE)
        .unwrap_or(&Item::Null);
    if content_type.text("content type") != Ok(CONTENT_TYPE) {
        return Ok(content_type.wrong("content type", CONTENT_TYPE)?);
    }
    let meta = headers.protected(HEADER_META).map(meta_map).transpose()?;
    let claims = headers.protected(HEADER_CWT).map(cwt_claims).transpose()?;
    let (name, window) = match (meta, claims) {
        (Some((name, first)), Some((_, second))) => (name, first.and(second)),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => {
            let expected = "corim-meta or CWT claims";
            return Err(ForeignCborError::schema("protected header", expected, "neither").into());
        }
    };
    let x5chain = headers.x5chain()?.into_iter().map(<[u8]>::to_vec).collect();
    let payload = message.payload().unwrap_or_default();
    let mut manifest = corim(Item::decode(payload)?)?;
    manifest.signature = Some(Signature {
        name,
        window,
        x5chain,
    });
    Ok(manifest)
}

fn meta_map(meta: &Item<'_>) -> Result<(String, Window), CorimError> {
    let mut map = Item::decode(meta.bytes("corim-meta")?)?.map("corim-meta")?;
    let mut signer = map.take(0, "signer")?.map("signer")?;
    let name = bounded(&signer.take(0, "signer-name")?, "signer-name")?;
    let _uri = signer.optional(1).map(uri).transpose()?;
    signer.end()?;
    let window = map.optional(1).map(window).transpose()?;
    map.end()?;
    Ok((name, window.unwrap_or_default()))
}

/// Claims other than issuer and times do not narrow what is signed, so that they may be there.
fn cwt_claims(claims: &Item<'_>) -> Result<(String, Window), CorimError> {
    let mut map = claims.clone().map("CWT claims")?;
    let name = bounded(&map.take(1, "iss")?, "iss")?;
    let mut time = |key, what| map.optional(key).map(|n| n.int(what)).transpose();
    // `exp` is the first second at which it no longer holds (RFC 8392 section 3.1.4).
    let window = Window {
        not_after_s: time(4, "exp")?.map(|exp| exp.saturating_sub(1)),
        not_before_s: time(5, "nbf")?,
    };
    Ok((name, window))
}

fn window(item: Item<'_>) -> Result<Window, ForeignCborError> {
    let mut map = item.map("validity")?;
    let time = |item: Item<'_>, what: &str| item.tagged(what, TAG_TIME)?.int(what);
    let window = Window {
        not_before_s: map.optional(0).map(|t| time(t, "not-before")).transpose()?,
        not_after_s: Some(time(map.take(1, "not-after")?, "not-after")?),
    };
    map.end()?;
    Ok(window)
}

fn uri(item: Item<'_>) -> Result<String, ForeignCborError> {
    bounded(&item.tagged("URI", TAG_URI)?, "URI")
}

fn corim(item: Item<'_>) -> Result<Manifest, CorimError> {
    let mut map = item.tagged("CoRIM", TAG_CORIM)?.map("corim-map")?;
    let mut manifest = Manifest {
        id: identifier(&map.take(0, "id")?)?,
        profile: map.optional(3).map(profile).transpose()?,
        window: map.optional(4).map(window).transpose()?.unwrap_or_default(),
        signature: None,
        references: Vec::new(),
        ignored: Vec::new(),
    };
    let tags = map.take(1, "tags")?.some("tags")?;
    if map.optional(2).is_some() {
        manifest.ignored.push("dependent-rims".into());
    }
    // Entities say who made it; the signature says it better.
    let _entities = map.optional(5);
    map.end()?;
    for tag in tags {
        match tag {
            Item::Tag(TAG_COMID, inner) => manifest.add_comid(inner.bytes("CoMID")?)?,
            Item::Tag(number, _) => manifest.ignored.push(format!("tag {number}")),
            other => other.wrong("CoRIM tag", "a tagged CoMID or other tag")?,
        }
    }
    Ok(manifest)
}

/// Text, or a UUID.
fn identifier(item: &Item<'_>) -> Result<String, ForeignCborError> {
    match item {
        Item::Bytes(_) => item.fixed::<16>("id").map(hex::encode),
        _ => bounded(item, "id"),
    }
}

fn profile(item: Item<'_>) -> Result<Profile, ForeignCborError> {
    match item {
        Item::Tag(TAG_OID, inner) => inner.bytes("profile").map(|oid| Profile::Oid(oid.to_vec())),
        other => uri(other).map(Profile::Uri),
    }
}

/// Reads one CoMID on its own, as the draft's test files are; to show it.
pub fn comid(bytes: &[u8]) -> Result<Manifest, CorimError> {
    let mut manifest = Manifest {
        id: String::new(),
        profile: None,
        window: Window::default(),
        signature: None,
        references: Vec::new(),
        ignored: Vec::new(),
    };
    manifest.id = manifest.add(bytes)?;
    Ok(manifest)
}

impl Manifest {
    fn add_comid(&mut self, bytes: &[u8]) -> Result<(), CorimError> {
        self.add(bytes).map(|_| ())
    }

    /// Adds a CoMID's reference values and yields its identifier.
    fn add(&mut self, bytes: &[u8]) -> Result<String, CorimError> {
        let mut map = Item::decode(bytes)?.map("concise-mid-tag")?;
        let _language = map
            .optional(0)
            .map(|text| bounded(&text, "language"))
            .transpose()?;
        let mut identity = map.take(1, "tag-identity")?.map("tag-identity")?;
        let id = identifier(&identity.take(0, "tag-id")?)?;
        let _version = identity
            .optional(1)
            .map(|n| n.uint("tag-version"))
            .transpose()?;
        identity.end()?;
        let _entities = map.optional(2);
        if map.optional(3).is_some() {
            self.ignored.push("linked-tags".into());
        }
        let triples = map.take(4, "triples")?.map("triples")?.rest();
        map.end()?;
        if triples.is_empty() {
            return Err(ForeignCborError::schema("triples", "at least one kind", "none").into());
        }
        for (label, list) in triples {
            self.add_triples(label, list)?;
        }
        Ok(id)
    }

    fn add_triples(&mut self, label: Label<'_>, list: Item<'_>) -> Result<(), CorimError> {
        match label {
            Label::Int(0) => {
                for triple in list.some("reference-triples")? {
                    self.references.push(reference(triple)?);
                }
            }
            Label::Int(3) if self.is_snp() => {
                snp::check_trust_anchors(list)?;
                self.ignored.push("attest-key triples".into());
            }
            other => self.ignored.push(triples_name(other)),
        }
        Ok(())
    }

    /// Whether it follows AMD's profile.
    pub fn is_snp(&self) -> bool {
        matches!(&self.profile, Some(Profile::Uri(uri)) if uri == SNP_PROFILE)
    }
}

fn reference(item: Item<'_>) -> Result<Reference, CorimError> {
    let [environment, measurements] = item.tuple("reference triple")?;
    let measurements = measurements.some("measurements")?;
    Ok(Reference {
        environment: Environment::read(environment)?,
        measurements: measurements
            .into_iter()
            .map(Measurement::read)
            .collect::<Result<_, _>>()?,
    })
}

fn triples_name(label: Label<'_>) -> String {
    let known = match label {
        Label::Int(1) => "endorsed",
        Label::Int(2) => "identity",
        Label::Int(3) => "attest-key",
        Label::Int(4) => "dependency",
        Label::Int(5) => "membership",
        Label::Int(6) => "coswid",
        Label::Int(8) => "conditional-endorsement-series",
        Label::Int(10) => "conditional-endorsement",
        other => return format!("triples of kind {other}"),
    };
    format!("{known} triples")
}
