//! The two headers of a COSE object (RFC 9052 section 3).

use super::{Algorithm, AlgorithmFrom, CoseError};
use crate::foreign_cbor::{ForeignCborError, Item, Label};

const ALG: Label<'static> = Label::Int(1);
const CRIT: Label<'static> = Label::Int(2);
const CONTENT_TYPE: Label<'static> = Label::Int(3);
const KID: Label<'static> = Label::Int(4);
const X5CHAIN: Label<'static> = Label::Int(33);

/// Most certificates of an `x5chain`.
const CHAIN_MAX: usize = 8;
/// What is processed here, so that `crit` may name it.
const UNDERSTOOD: [Label<'static>; 3] = [ALG, CONTENT_TYPE, KID];

type Entries<'a> = Vec<(Label<'a>, Item<'a>)>;

/// Protected and unprotected header; no label twice. **Unverified** until a signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    protected: Entries<'a>,
    unprotected: Entries<'a>,
}

impl<'a> Headers<'a> {
    pub(super) fn parse(protected: &Item<'a>, unprotected: Item<'a>) -> Result<Self, CoseError> {
        let bytes = protected.bytes("protected header")?;
        let protected = match bytes {
            [] => Vec::new(),
            _ => Item::decode(bytes)?.map("protected header")?.rest(),
        };
        let unprotected = unprotected.map("unprotected header")?.rest();
        let headers = Self {
            bytes,
            protected,
            unprotected,
        };
        headers.check_labels()?;
        Ok(headers)
    }

    /// Labels are unique over both headers, and `crit` is protected.
    fn check_labels(&self) -> Result<(), CoseError> {
        let mut unprotected = self.unprotected.iter().map(|(label, _)| *label);
        let twice = unprotected.find(|label| *label == CRIT || self.protected(*label).is_some());
        match twice {
            Some(CRIT) => Err(CoseError::Cbor(ForeignCborError::schema(
                "crit",
                "in the protected header",
                "in the unprotected header",
            ))),
            Some(label) => Err(CoseError::LabelTwice(label.to_string())),
            None => Ok(()),
        }
    }

    /// A field of the protected header.
    pub fn protected(&self, label: Label<'_>) -> Option<&Item<'a>> {
        find(&self.protected, label)
    }

    /// A field of either header.
    pub fn any(&self, label: Label<'_>) -> Option<&Item<'a>> {
        self.protected(label)
            .or_else(|| find(&self.unprotected, label))
    }

    /// The key identifier, from either header. It helps to find a key; it proves nothing.
    pub fn kid(&self) -> Option<&'a [u8]> {
        self.any(KID).and_then(|item| item.bytes("kid").ok())
    }

    /// The certificates of `x5chain` (RFC 9360), leaf first, as **unverified** bytes. Empty when there is none.
    pub fn x5chain(&self) -> Result<Vec<&'a [u8]>, CoseError> {
        match self.any(X5CHAIN) {
            None => Ok(Vec::new()),
            Some(Item::Bytes(one)) => Ok(vec![*one]),
            Some(Item::Array(many)) if (2..=CHAIN_MAX).contains(&many.len()) => {
                many.iter().map(|item| Ok(item.bytes("x5chain")?)).collect()
            }
            Some(other) => Ok(other.wrong("x5chain", "a certificate, or an array of 2 to 8")?),
        }
    }

    /// What the signature covers: the protected bytes received, except that an empty map counts as no bytes
    /// (RFC 9052 section 4.4).
    pub(super) fn signed_bytes(&self) -> &'a [u8] {
        match self.protected.is_empty() {
            true => &[],
            false => self.bytes,
        }
    }

    /// Each label that `crit` names must be there and be understood.
    pub(super) fn check_critical(&self, understood: &[Label<'_>]) -> Result<(), CoseError> {
        let Some(critical) = self.protected(CRIT) else {
            return Ok(());
        };
        for item in critical.clone().some("crit")? {
            let label = match item {
                Item::Text(text) => Label::Text(text),
                number => Label::Int(number.int("crit")?),
            };
            if self.protected(label).is_none() {
                return Err(CoseError::CriticalAbsent(label.to_string()));
            }
            if !UNDERSTOOD.contains(&label) && !understood.contains(&label) {
                return Err(CoseError::Critical(label.to_string()));
            }
        }
        Ok(())
    }

    pub(super) fn algorithm(&self, from: AlgorithmFrom) -> Result<Algorithm, CoseError> {
        let item = match from {
            AlgorithmFrom::Protected => self.protected(ALG),
            AlgorithmFrom::Caller(_) => self.any(ALG),
        };
        let stated = item.map(Algorithm::from_item).transpose()?;
        match (from, stated) {
            (AlgorithmFrom::Protected, stated) => stated.ok_or(CoseError::AlgorithmAbsent),
            (AlgorithmFrom::Caller(expected), Some(actual)) if actual != expected => {
                Err(CoseError::AlgorithmMismatch { expected, actual })
            }
            (AlgorithmFrom::Caller(expected), _) => Ok(expected),
        }
    }
}

fn find<'i, 'a>(entries: &'i Entries<'a>, label: Label<'_>) -> Option<&'i Item<'a>> {
    let found = entries.iter().find(|(other, _)| *other == label);
    found.map(|(_, item)| item)
}
