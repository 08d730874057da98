//! What is read from the evidence once and judged at several tiers: the boot log and the IMA list.

use super::policy::{ImaBefore, ImaEnd};
use super::{AuthenticatedEvidence, BANK};
use crate::eventlog::claims::Reading;
use crate::eventlog::replay::Replayed;
use crate::eventlog::{self, EventLog, EventLogError};
use crate::ima::{self, Contents, Forms, List, Position, Tail};
use assay_protocol::class::ImaPolicy;

/// The boot log beside the quote.
pub(super) struct Boot<'a> {
    /// The log with what of it the quote confirms.
    pub replayed: &'a Result<Replayed<'a, 'a>, EventLogError>,
    /// Its events; nothing when it does not parse.
    pub log: Option<&'a EventLog<'a>>,
    /// What it proves.
    pub claims: Option<Reading<'a, 'a, 'a>>,
}

impl<'a> Boot<'a> {
    pub(super) fn new(
        log: Option<&'a EventLog<'a>>,
        replayed: &'a Result<Replayed<'a, 'a>, EventLogError>,
    ) -> Self {
        Self {
            replayed,
            log,
            claims: replayed.as_ref().ok().map(Reading::of),
        }
    }

    /// Whether the quote has the value that the log gives a PCR.
    pub(super) fn is_confirmed(&self, pcr: u32) -> bool {
        let replayed = self.replayed.as_ref();
        replayed.is_ok_and(|replayed| replayed.is_confirmed(pcr))
    }
}

/// A parsed log, compared with the quote.
pub(super) fn replayed<'a>(
    log: &'a Result<EventLog<'a>, EventLogError>,
    evidence: &AuthenticatedEvidence,
) -> Result<Replayed<'a, 'a>, EventLogError> {
    let log = log.as_ref().map_err(Clone::clone)?;
    eventlog::replay::Replayed::against(log, BANK, evidence.quote())
}

/// What became of the IMA list, under a class that uses it.
pub(super) enum Ima {
    /// There is none.
    Absent,
    /// It does not explain PCR 10, and why.
    Unexplained(String),
    /// It explains PCR 10; its entries were judged.
    Judged(Box<Judged>),
}

/// A list whose entries were judged by the class.
pub(super) struct Judged {
    /// Entries that the quote covers.
    pub entries: u64,
    /// What the class says of each.
    pub appraisal: ima::Appraisal,
    /// Whether an allowed IMA policy is among the entries.
    pub policy_loaded: bool,
    /// Where the next appraisal of this boot may go on.
    pub end: ImaEnd,
}

impl Judged {
    /// Whether every entry judged now is allowed, and the aggregate is that of the quoted boot. Of a list that goes on
    /// nothing may be new; a whole one has the aggregate at least.
    pub fn all_allowed(&self) -> bool {
        let allowed = self.appraisal.totals.refused == 0;
        self.entries > 0 && allowed && self.appraisal.boot_aggregate.is_ok()
    }
}

impl Ima {
    /// Where the list ends.
    pub(super) fn end(self) -> Option<ImaEnd> {
        match self {
            Self::Judged(judged) => Some(judged.end),
            Self::Absent | Self::Unexplained(_) => None,
        }
    }

    /// Replays the list to PCR 10 and judges every entry; `rules` are those of a valid class.
    pub(super) fn read(
        evidence: &AuthenticatedEvidence,
        rules: &ImaPolicy,
        before: ImaBefore<'_>,
    ) -> Self {
        let (claim, bytes) = match (evidence.claims().ima, &evidence.vendor().ima_log) {
            (Some(claim), Some(bytes)) => (claim, bytes),
            _ => return Self::Absent,
        };
        match continued(evidence, rules, (claim.first, &bytes.0), before) {
            Ok(judged) => Self::Judged(Box::new(judged)),
            Err(error) => Self::Unexplained(error.to_string()),
        }
    }
}

/// A list that begins with the boot needs nothing else, whatever is known of it.
fn continued(
    evidence: &AuthenticatedEvidence,
    rules: &ImaPolicy,
    (first, bytes): (u64, &[u8]),
    before: ImaBefore<'_>,
) -> Result<Judged, ima::ImaError> {
    let start = Position::start(evidence.quote().clock().reset_count);
    match before {
        _ if first == 0 => judge(evidence, rules, &start, &List::read(bytes, None)?),
        ImaBefore::Unknown => Err(ima::ImaError::Position(format!(
            "expected the list from its first entry, got it from entry {first}"
        ))),
        ImaBefore::Position(saved) => {
            let carried = List::read(bytes, Some(saved.template_hash()?))?.starting_at(first);
            let judged = judge(evidence, rules, saved, &carried.skip(saved)?)?;
            // The entry itself is not here: what is saved of it convicts nobody.
            match &judged.appraisal.boot_aggregate {
                Ok(_) => Ok(judged),
                Err(error) => Err(ima::ImaError::Position(error.to_string())),
            }
        }
        ImaBefore::Parts(parts) => {
            // Nothing may be carried, so that the form of the hashes is the earlier entries'.
            let earliest = parts.first().copied().unwrap_or_default();
            let alg = List::read(earliest, None)?.template_hash();
            let carried = List::read(bytes, Some(alg))?.starting_at(first);
            judge(evidence, rules, &start, &carried.joined(parts)?)
        }
    }
}

fn judge(
    evidence: &AuthenticatedEvidence,
    rules: &ImaPolicy,
    position: &Position,
    list: &List<'_>,
) -> Result<Judged, ima::ImaError> {
    let quoted = evidence.quote().pcrs();
    let options = ima::Options {
        // Files may be opened between the reading of the list and the quote's answer.
        tail: Tail::Allowed,
        // A bank that repeats SHA-1 is only as strong as SHA-1.
        forms: Forms::Native,
    };
    let reset_count = evidence.quote().clock().reset_count;
    let explained = ima::explain_after(position, reset_count, list, quoted, options)?;
    // Under any name: a digest is what was measured, a name is only where.
    let contents = [
        Contents::new(&rules.policies),
        Contents::ascending(&rules.allowed),
    ];
    let policy = ima::Policy {
        contents: &contents,
        ..ima::Policy::default()
    };
    let appraisal = ima::appraise(&explained, quoted, &policy)?;
    let policies = appraisal.by_contents.first();
    Ok(Judged {
        entries: explained.position().entries,
        policy_loaded: !position.is_start() || policies.is_some_and(|entries| *entries > 0),
        appraisal,
        end: ImaEnd {
            position: explained.position().clone(),
            part: explained.bytes()?.to_vec(),
        },
    })
}
