//! The result of an appraisal as an EAR (draft-ietf-rats-ear), a CWT claims-set in deterministic CBOR.
//!
//! A HyperNode signs it with [`assay_protocol::cose`]; any EAT library reads it. Status and trustworthiness
//! vector use the scale of draft-ietf-rats-ar4si. What the draft has no claim for (tier, digests, the list of
//! checks) is under private-use labels of our profile.
//!
//! Not proven by a result: that the HyperNode appraised honestly. The digests in it name evidence and policy, so
//! that an auditor runs the same appraisal again.

pub mod label;
#[cfg(test)]
mod tests;
mod trust;

pub use trust::{Area, Status, TrustClaim, TrustVector};

use crate::checks::{Check, CheckView, Outcome};
use assay_protocol::cbor::{CborError, Field, Value, int_map};
use assay_protocol::cose::Payload;
use assay_protocol::ids::{Digest, NodeId, Nonce};
use assay_protocol::item::Item;
use std::borrow::Cow;

/// `eat_profile` of our results.
pub const EAR_PROFILE: &str = "tag:assay.example,2026:ear/1";
/// `developer` in the verifier's identity.
pub const DEVELOPER: &str = "https://assay.example";
/// Longest signed result, bytes.
pub const EAR_BYTES_MAX: usize = 512 * 1024;
/// Most submodules of one result.
pub const MODULES_MAX: usize = 8;
/// Most checks of one result.
pub const CHECKS_MAX: usize = 256;
/// Longest text of a check, bytes; a longer one is cut and ends in `…`.
pub const TEXT_BYTES_MAX: usize = 512;
/// Longest name of a submodule or build, bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Highest tier (ARCHITECTURE section 7).
pub const TIER_MAX: u8 = 3;
/// UEID type byte for a random-like identifier (RFC 9711 section 4.2.1), as in evidence.
const UEID_RAND: u8 = 0x01;

/// What one part of the node was found to be worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, such as `tpm` or `sev-snp`.
    pub name: String,
    /// What was found, by area. Its status is that of the worst area.
    pub vector: TrustVector,
}

/// The result of one appraisal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ear {
    /// The node (claim 256, as UEID).
    pub node: NodeId,
    /// The nonce the evidence answers (claim 10).
    pub nonce: Nonce,
    /// When it was appraised, Unix seconds by the HyperNode's clock (claim 6).
    pub issued_at_s: u64,
    /// Version of the verifying software (claim 1004).
    pub build: String,
    /// The parts appraised, at least one, ascending by name (claim 266).
    pub modules: Vec<Module>,
    /// Tier reached, 0 to 3.
    pub tier: u8,
    /// Digest of the exact policy appraised against; also in each submodule's `ear_appraisal_policy_ids`.
    pub policy: Digest,
    /// SHA-256 of the signed evidence as received.
    pub evidence: Digest,
    /// Every check that was made, in order.
    pub checks: Vec<Check>,
}

impl Ear {
    /// A copy of `checks` that fits a result: texts are cut to [`TEXT_BYTES_MAX`].
    pub fn fit_checks<'a>(checks: impl Iterator<Item = CheckView<'a>>) -> Vec<Check> {
        let fit = |check: CheckView<'_>| Check {
            name: cut(check.name, NAME_BYTES_MAX),
            outcome: check.outcome,
            expected: cut(check.expected, TEXT_BYTES_MAX),
            actual: cut(check.actual, TEXT_BYTES_MAX),
        };
        checks.map(fit).collect()
    }

    /// The worst status of all submodules.
    pub fn status(&self) -> Status {
        let each = self.modules.iter().map(|module| module.vector.status());
        each.max().unwrap_or(Status::None)
    }

    /// Refuses what its own decoder would refuse, so that no result is signed that nobody can read, and what
    /// contradicts itself: a node with anything contraindicated has tier 0, whatever else holds.
    pub fn validate(&self) -> Result<(), CborError> {
        let rule = |ok, what, expected, actual| match ok {
            true => Ok(()),
            false => Err(schema(what, expected, actual)),
        };
        let names: Vec<&str> = self.modules.iter().map(|m| m.name.as_str()).collect();
        let ordered = names.is_sorted_by(|a, b| a < b);
        let named = names
            .iter()
            .all(|name| (1..=NAME_BYTES_MAX).contains(&name.len()));
        let count = (1..=MODULES_MAX).contains(&names.len());
        rule(
            count && ordered && named,
            "submods",
            "1 to 8, ascending, named",
            names.join(","),
        )?;
        let stated = self.modules.iter().all(|m| !m.vector.is_empty());
        rule(
            stated,
            "trustworthiness vector",
            "at least one area",
            "none".into(),
        )?;
        let build = (1..=NAME_BYTES_MAX).contains(&self.build.len());
        rule(
            build,
            "build",
            "1 to 64 bytes",
            self.build.len().to_string(),
        )?;
        let checks = (1..=CHECKS_MAX).contains(&self.checks.len());
        rule(checks, "checks", "1 to 256", self.checks.len().to_string())?;
        let fits = Self::fit_checks(self.checks.iter().map(CheckView::from)) == self.checks;
        rule(
            fits,
            "checks",
            "texts within their caps",
            "longer ones".into(),
        )?;
        rule(
            self.tier <= TIER_MAX,
            "tier",
            "0 to 3",
            self.tier.to_string(),
        )?;
        let earned = self.tier == 0 || self.status() != Status::Contraindicated;
        rule(
            earned,
            "tier",
            "0 when contraindicated",
            self.tier.to_string(),
        )
    }

    fn value(&self) -> Value<'_> {
        let ueid = [&[UEID_RAND], &self.node.0[..]].concat();
        let identity = int_map([
            (label::DEVELOPER, Value::text(DEVELOPER)),
            (label::BUILD, Value::text(&self.build)),
        ]);
        let modules = self.modules.iter();
        let modules =
            modules.map(|module| (Value::text(&module.name), record(module, &self.policy)));
        int_map([
            (label::IAT, Value::Uint(self.issued_at_s)),
            (label::NONCE, self.nonce.to_value()),
            (label::UEID, Value::Bytes(ueid.into())),
            (label::PROFILE, Value::text(EAR_PROFILE)),
            (label::SUBMODS, Value::Map(modules.collect())),
            (label::VERIFIER_ID, identity),
            (label::TIER, Value::Uint(u64::from(self.tier))),
            (label::POLICY, self.policy.to_value()),
            (label::EVIDENCE, self.evidence.to_value()),
            (
                label::CHECKS,
                Value::Array(self.checks.iter().map(check_value).collect()),
            ),
        ])
    }

    fn read(field: Field<'_>) -> Result<Self, CborError> {
        let original = field.into_value();
        let mut map = Field::new("EAR", original.clone()).map()?;
        let ueid: [u8; 33] = map.take(label::UEID)?.fixed()?;
        let node = ueid.last_chunk().copied().unwrap_or_default();
        let mut identity = map.take(label::VERIFIER_ID)?.map()?;
        let ear = Self {
            node: NodeId(node),
            nonce: Item::from_field(map.take(label::NONCE)?)?,
            issued_at_s: map.take(label::IAT)?.uint()?,
            build: owned(identity.take(label::BUILD)?, NAME_BYTES_MAX)?,
            modules: modules(map.take(label::SUBMODS)?.into_value())?,
            tier: map.take(label::TIER)?.uint()?,
            policy: Item::from_field(map.take(label::POLICY)?)?,
            evidence: Item::from_field(map.take(label::EVIDENCE)?)?,
            checks: checks(map.take(label::CHECKS)?)?,
        };
        ear.validate()?;
        // Profile, developer, policy ids and statuses repeat or fix what is read above: rebuild and compare.
        if ear.value().encode() != original.encode() {
            return Err(schema(
                "EAR",
                "profile, verifier, status and policy ids that agree with the rest, no further claim",
                "others".into(),
            ));
        }
        Ok(ear)
    }
}

impl Payload for Ear {
    const TYP: &'static str = "application/eat+cwt; eat_profile=\"tag:assay.example,2026:ear/1\"";
    const MAX_BYTES: usize = EAR_BYTES_MAX;
    fn to_value(&self) -> Value<'_> {
        self.value()
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
        Self::read(field)
    }
    fn subject(&self) -> String {
        self.node.to_string()
    }
    fn issued_at_s(&self) -> u64 {
        self.issued_at_s
    }
}

fn schema(what: &str, expected: &str, actual: String) -> CborError {
    CborError::Schema {
        what: format!("EAR: {what}"),
        expected: expected.into(),
        actual,
    }
}

/// At most `max` bytes, cut between characters.
fn cut(text: &str, max: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub(ELLIPSIS.len_utf8());
    let mut kept = text
        .get(..text.floor_char_boundary(room))
        .unwrap_or_default()
        .to_owned();
    kept.push(ELLIPSIS);
    kept
}

/// The appraisal record of a submodule.
fn record<'a>(module: &'a Module, policy: &Digest) -> Value<'a> {
    int_map([
        (
            label::STATUS,
            Value::int(module.vector.status().number().into()),
        ),
        (label::TRUST_VECTOR, module.vector.value()),
        (
            label::POLICY_IDS,
            Value::Array(vec![Value::text(format!("sha-256:{policy}"))]),
        ),
    ])
}

fn modules(value: Value<'_>) -> Result<Vec<Module>, CborError> {
    let Value::Map(entries) = value else {
        return Err(schema("submods", "a map", "something else".into()));
    };
    if entries.len() > MODULES_MAX {
        return Err(schema("submods", "at most 8", entries.len().to_string()));
    }
    let mut modules = Vec::new();
    for (name, record) in entries {
        let name = owned(Field::new("submods: name", name), NAME_BYTES_MAX)?;
        let mut record = Field::new("submods: record", record).map()?;
        let vector = TrustVector::read(record.take(label::TRUST_VECTOR)?.into_value())?;
        modules.push(Module { name, vector });
    }
    // Map keys are sorted by their encoding, shorter names first; ours by the name.
    modules.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(modules)
}

fn check_value(check: &Check) -> Value<'_> {
    Value::Array(vec![
        Value::text(&check.name),
        Value::Uint(u64::from(outcome_number(check.outcome))),
        Value::text(&check.expected),
        Value::text(&check.actual),
    ])
}

fn owned(field: Field<'_>, max: usize) -> Result<String, CborError> {
    field.text(max).map(Cow::into_owned)
}

fn checks(field: Field<'_>) -> Result<Vec<Check>, CborError> {
    field.array(CHECKS_MAX)?.map(check).collect()
}

fn check(field: Field<'_>) -> Result<Check, CborError> {
    let [name, outcome, expected, actual] = field.tuple()?;
    Ok(Check {
        name: owned(name, NAME_BYTES_MAX)?,
        outcome: match outcome.uint::<u8>()? {
            0 => Outcome::Pass,
            1 => Outcome::Fail,
            2 => Outcome::Undecided,
            other => return Err(schema("check outcome", "0, 1 or 2", other.to_string())),
        },
        expected: owned(expected, TEXT_BYTES_MAX)?,
        actual: owned(actual, TEXT_BYTES_MAX)?,
    })
}

fn outcome_number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Fail => 1,
        Outcome::Undecided => 2,
    }
}
