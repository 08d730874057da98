//! Trustworthiness claims and their scale (draft-ietf-rats-ar4si section 2.3).

use assay_protocol::cbor::{CborError, Value, int_map};
use std::collections::BTreeMap;

/// How far something may be relied on; later ones are worse: saying nothing is worse than affirming, and a known
/// weakness is worse than saying nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// As it should be.
    Affirming,
    /// Nothing is said about it.
    None,
    /// Known weaknesses.
    Warning,
    /// Not to be relied on.
    Contraindicated,
}

impl Status {
    /// `ear_status` in CBOR.
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Affirming => 2,
            Self::Warning => 32,
            Self::Contraindicated => 96,
        }
    }

    /// `ear_status` in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }
}

/// What a trustworthiness claim speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// Which node it is.
    InstanceIdentity,
    /// Its configuration.
    Configuration,
    /// What has been loaded and runs.
    Executables,
    /// Its files.
    FileSystem,
    /// Its hardware and firmware.
    Hardware,
    /// Whether its memory is closed to others.
    RuntimeOpaque,
    /// Whether its storage is closed to others.
    StorageOpaque,
    /// Data from elsewhere that it relies on.
    SourcedData,
}

impl Area {
    /// Every area, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::InstanceIdentity,
        Self::Configuration,
        Self::Executables,
        Self::FileSystem,
        Self::Hardware,
        Self::RuntimeOpaque,
        Self::StorageOpaque,
        Self::SourcedData,
    ];

    /// Its key in the vector, CBOR.
    pub fn number(self) -> i64 {
        match self {
            Self::InstanceIdentity => 0,
            Self::Configuration => 1,
            Self::Executables => 2,
            Self::FileSystem => 3,
            Self::Hardware => 4,
            Self::RuntimeOpaque => 5,
            Self::StorageOpaque => 6,
            Self::SourcedData => 7,
        }
    }

    /// Its key in the vector, JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::InstanceIdentity => "instance-identity",
            Self::Configuration => "configuration",
            Self::Executables => "executables",
            Self::FileSystem => "file-system",
            Self::Hardware => "hardware",
            Self::RuntimeOpaque => "runtime-opaque",
            Self::StorageOpaque => "storage-opaque",
            Self::SourcedData => "sourced-data",
        }
    }
}

/// One claim of a vector: a number from −128 to 127 whose range says how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustClaim(pub i8);

impl TrustClaim {
    /// Nothing is said.
    pub const NONE: Self = Self(0);
    /// The verifier failed, not the node.
    pub const VERIFIER_MALFUNCTION: Self = Self(1);
    /// As it should be: recognised instance, approved configuration or executables, genuine hardware.
    pub const AFFIRMED: Self = Self(2);
    /// Executables: only what was loaded at boot is approved; what ran later is not looked at.
    pub const BOOT_AFFIRMED: Self = Self(3);
    /// Known weaknesses: unsafe configuration, hardware or firmware.
    pub const UNSAFE: Self = Self(32);
    /// Executables: some are not recognised. File system: the same of files.
    pub const UNRECOGNISED: Self = Self(33);
    /// Recognised and not to be relied on.
    pub const CONTRAINDICATED: Self = Self(96);
    /// Instance or hardware not recognised.
    pub const NOT_GENUINE: Self = Self(97);
    /// A signature or digest did not verify.
    pub const CRYPTO_FAILED: Self = Self(99);

    /// The range the number is in.
    pub fn status(self) -> Status {
        match self.0 {
            -1..=1 => Status::None,
            -32..=31 => Status::Affirming,
            -96..=95 => Status::Warning,
            _ => Status::Contraindicated,
        }
    }
}

/// Trustworthiness claims by area.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustVector(BTreeMap<Area, TrustClaim>);

impl TrustVector {
    /// A vector that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// States a claim; of two claims about one area the worse counts.
    #[must_use]
    pub fn with(mut self, area: Area, claim: TrustClaim) -> Self {
        let worse = match self.0.get(&area) {
            Some(before) if before.status() >= claim.status() => *before,
            _ => claim,
        };
        self.0.insert(area, worse);
        self
    }

    /// The claim about `area`, if one is stated.
    pub fn get(&self, area: Area) -> Option<TrustClaim> {
        self.0.get(&area).copied()
    }

    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The worst status stated; none when nothing is.
    pub fn status(&self) -> Status {
        let each = self.0.values().map(|claim| claim.status());
        each.max().unwrap_or(Status::None)
    }

    pub(super) fn value(&self) -> Value<'_> {
        let entry =
            |(area, claim): (&Area, &TrustClaim)| (area.number(), Value::int(claim.0.into()));
        int_map(self.0.iter().map(entry))
    }

    pub(super) fn read(value: Value<'_>) -> Result<Self, CborError> {
        let Value::Map(entries) = value else {
            return Err(wrong("a map"));
        };
        let mut vector = Self::new();
        for (key, value) in entries {
            let of_key = |area: &&Area| key == Value::int(area.number());
            let area = Area::ALL.iter().find(of_key);
            let area = area.ok_or_else(|| wrong("areas 0 to 7"))?;
            vector.0.insert(*area, TrustClaim(number(&value)?));
        }
        Ok(vector)
    }
}

fn wrong(expected: &str) -> CborError {
    CborError::Schema {
        what: "EAR: trustworthiness vector".into(),
        expected: expected.into(),
        actual: "another value".into(),
    }
}

/// A number from −128 to 127.
fn number(value: &Value) -> Result<i8, CborError> {
    let number = match value {
        Value::Uint(n) => i8::try_from(*n).ok(),
        Value::Nint(n) => i8::try_from(*n).ok().map(|n| !n),
        _ => None,
    };
    number.ok_or_else(|| wrong("claims from -128 to 127"))
}
