//! Judging proven entries: every one must be allowed.

use super::allowlist::{Allowlist, Listed};
use super::boot_aggregate::{self, AggregateError, AggregateForm};
use super::contents::Contents;
use super::error::ImaError;
use super::explain::Explained;
use super::keyring::Keyring;
use super::list::Entry;
use super::template::{Event, Extra};
use crate::crypto::signature::Sha1;
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;
use core::fmt;

/// Most refused entries that are named; all are counted.
pub const REFUSED_NAMED_MAX: usize = 32;
/// Longest name shown of a refused entry, bytes.
const NAME_SHOWN_BYTES_MAX: usize = 256;

/// What to do with violations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Violations {
    /// Not allowed: what was run may not be what was measured.
    #[default]
    Refused,
    /// Counted only. Their names are not proven, so that none can be allowed by name.
    Tolerated,
}

/// What to do when the bank of the boot aggregate was not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AggregateRule {
    /// Not allowed.
    #[default]
    Required,
    /// Allowed: older kernels take it over the SHA-1 bank, while the quote is of another whose PCRs 0 to 7
    /// are appraised for themselves. A value that differs is refused all the same.
    UnlessNotQuoted,
}

/// What is allowed. Without an allowlist, contents or keyring nothing is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy<'p> {
    /// Names with digests, digests, excluded folders.
    pub allowlist: Option<&'p Allowlist>,
    /// Contents under any name, looked for where the allowlist has nothing to say.
    pub contents: &'p [Contents<'p>],
    /// Keys whose file signatures allow an entry.
    pub keyring: Option<&'p Keyring>,
    /// Violations.
    pub violations: Violations,
    /// The boot aggregate.
    pub aggregate: AggregateRule,
    /// Whether SHA-1 file digests count.
    pub sha1: Sha1,
}

/// Why an entry is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// A violation.
    Violation,
    /// The first entry is not the boot aggregate of the quoted PCRs; why.
    BootAggregate(String),
    /// The name is known, with other digests.
    OtherDigest,
    /// Neither name nor digest is known, and no signature was there.
    NotListed,
    /// Its signature allows nothing; why.
    Signature(String),
    /// The buffer's hash is not the digest.
    Buffer,
    /// The digest is SHA-1.
    WeakDigest,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation => f.write_str("a violation"),
            Self::BootAggregate(why) => f.write_str(why),
            Self::OtherDigest => f.write_str("listed with another digest"),
            Self::NotListed => f.write_str("not listed"),
            Self::Signature(why) => write!(f, "not listed; {why}"),
            Self::Buffer => f.write_str("the buffer's hash is not its digest"),
            Self::WeakDigest => f.write_str("a SHA-1 digest"),
        }
    }
}

/// A refused entry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Its position, from 0.
    pub entry: usize,
    /// Its name, escaped and cut.
    pub name: String,
    /// Why.
    pub refusal: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} ({}): {}", self.entry, self.name, self.refusal)
    }
}

/// How many entries came out how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// All.
    pub entries: u64,
    /// The boot aggregate.
    pub boot_aggregate: u64,
    /// Allowed by name and digest.
    pub by_path: u64,
    /// Allowed by digest.
    pub by_digest: u64,
    /// Allowed by signature.
    pub by_signature: u64,
    /// Below an excluded folder.
    pub excluded: u64,
    /// Violations that the policy tolerates.
    pub violations_tolerated: u64,
    /// Not allowed, violations among them.
    pub refused: u64,
}

impl Totals {
    /// The totals of an earlier part of a list and of the part after it.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(later.entries),
            boot_aggregate: self.boot_aggregate.saturating_add(later.boot_aggregate),
            by_path: self.by_path.saturating_add(later.by_path),
            by_digest: self.by_digest.saturating_add(later.by_digest),
            by_signature: self.by_signature.saturating_add(later.by_signature),
            excluded: self.excluded.saturating_add(later.excluded),
            violations_tolerated: self
                .violations_tolerated
                .saturating_add(later.violations_tolerated),
            refused: self.refused.saturating_add(later.refused),
        }
    }
}

/// What the policy says of the proven entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appraisal {
    /// The boot aggregate against the quoted PCRs.
    pub boot_aggregate: Result<AggregateForm, AggregateError>,
    /// Counts.
    pub totals: Totals,
    /// The first refused entries.
    pub refused: Vec<Refused>,
    /// Entries allowed by each list of [`Policy::contents`]: of several that have a digest by the first.
    pub by_contents: Vec<u64>,
}

impl Appraisal {
    /// Whether there is an entry and every one is allowed. Of a continued list this says nothing about the
    /// entries before: add their [`Totals`].
    pub fn all_allowed(&self) -> bool {
        self.totals.entries > 0 && self.totals.refused == 0
    }
}

enum Allowed {
    BootAggregate,
    Path,
    Digest,
    /// By the list of contents at this place.
    Contents(usize),
    Signature,
    Excluded,
    Violation,
}

/// Judges every proven entry. `quoted` are the values the list was explained by.
///
/// An entry that is allowed was measured before it was used, with this digest. That the kernel's policy
/// measures everything that matters is not proven here: it is a file (`/etc/ima/ima-policy`) or a kernel
/// command line, and measured itself at best.
pub fn appraise(
    explained: &Explained<'_>,
    quoted: &PcrValues,
    policy: &Policy<'_>,
) -> Result<Appraisal, ImaError> {
    let mut appraisal = Appraisal {
        boot_aggregate: boot_aggregate::check(explained.position(), quoted),
        totals: Totals::default(),
        refused: Vec::new(),
        by_contents: vec![0; policy.contents.len()],
    };
    for entry in explained.entries() {
        let entry = entry?;
        let judged = match entry.index {
            0 => first(&appraisal.boot_aggregate, policy),
            _ => judge(&entry, policy),
        };
        appraisal.count(&entry, judged);
    }
    Ok(appraisal)
}

impl Appraisal {
    fn count(&mut self, entry: &Entry<'_>, judged: Result<Allowed, Refusal>) {
        let totals = &mut self.totals;
        totals.entries = totals.entries.saturating_add(1);
        let counter = match judged {
            Ok(Allowed::BootAggregate) => &mut totals.boot_aggregate,
            Ok(Allowed::Path) => &mut totals.by_path,
            Ok(Allowed::Digest) => &mut totals.by_digest,
            Ok(Allowed::Contents(at)) => {
                if let Some(entries) = self.by_contents.get_mut(at) {
                    *entries = entries.saturating_add(1);
                }
                &mut totals.by_digest
            }
            Ok(Allowed::Signature) => &mut totals.by_signature,
            Ok(Allowed::Excluded) => &mut totals.excluded,
            Ok(Allowed::Violation) => &mut totals.violations_tolerated,
            Err(refusal) => {
                if self.refused.len() < REFUSED_NAMED_MAX {
                    self.refused.push(Refused {
                        entry: entry.index,
                        name: shown(entry.event.name),
                        refusal,
                    });
                }
                &mut totals.refused
            }
        };
        *counter = counter.saturating_add(1);
    }
}

/// The first entry of a boot is its aggregate: where it is another, [`boot_aggregate::check`] found none.
fn first(
    aggregate: &Result<AggregateForm, AggregateError>,
    policy: &Policy<'_>,
) -> Result<Allowed, Refusal> {
    match aggregate {
        Ok(_) => Ok(Allowed::BootAggregate),
        Err(AggregateError::NotQuoted { .. })
            if policy.aggregate == AggregateRule::UnlessNotQuoted =>
        {
            Ok(Allowed::BootAggregate)
        }
        Err(error) => Err(Refusal::BootAggregate(error.to_string())),
    }
}

fn judge(entry: &Entry<'_>, policy: &Policy<'_>) -> Result<Allowed, Refusal> {
    if entry.is_violation() {
        return match policy.violations {
            Violations::Refused => Err(Refusal::Violation),
            Violations::Tolerated => Ok(Allowed::Violation),
        };
    }
    let event = &entry.event;
    if let Extra::Buffer(buffer) = event.extra
        && event.digest.alg.digest(&[buffer]) != event.digest.bytes
    {
        return Err(Refusal::Buffer);
    }
    let listed = policy
        .allowlist
        .map_or(Listed::No, |list| list.look_up(event));
    if listed == Listed::Excluded {
        return Ok(Allowed::Excluded);
    }
    if event.digest.alg == HashAlg::Sha1 && policy.sha1 == Sha1::Refused {
        return Err(Refusal::WeakDigest);
    }
    let mut contents = policy.contents.iter();
    let by_contents = contents.position(|list| list.has(&event.digest));
    match (listed, by_contents) {
        (Listed::Path, _) => Ok(Allowed::Path),
        (Listed::Digest, _) => Ok(Allowed::Digest),
        (_, Some(at)) => Ok(Allowed::Contents(at)),
        (other, None) => signed(event, policy).map_err(|refusal| match (other, refusal) {
            (Listed::OtherDigest, Refusal::NotListed) => Refusal::OtherDigest,
            (_, refusal) => refusal,
        }),
    }
}

/// A file signature allows a file under any name.
fn signed(event: &Event<'_>, policy: &Policy<'_>) -> Result<Allowed, Refusal> {
    let signature = match event.extra {
        Extra::Signature(bytes)
        | Extra::Modsig {
            signature: bytes, ..
        } => bytes,
        _ => &[],
    };
    match policy.keyring {
        Some(keyring) if !signature.is_empty() => keyring
            .verify(&event.digest, signature, policy.sha1)
            .map(|_| Allowed::Signature)
            .map_err(|error| Refusal::Signature(error.to_string())),
        _ => Err(Refusal::NotListed),
    }
}

fn shown(name: &[u8]) -> String {
    let head = name.get(..name.len().min(NAME_SHOWN_BYTES_MAX));
    head.unwrap_or_default().escape_ascii().to_string()
}
