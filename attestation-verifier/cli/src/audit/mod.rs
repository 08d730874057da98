//! Recomputes the verdicts of a bundle, stage by stage. Every stage only sees what the stages before it accepted.
//!
//! ```text
//! container ─▶ case ─▶ roots ─▶ inputs ─▶ schedule ─▶ log ─▶ evidence ─▶ enrolment ─▶ attestation ─▶ probes ─▶ chase ─▶ verdict
//! ```

mod attestation;
mod case;
mod chase;
mod enrolment;
mod evidence;
mod files;
mod grounds;
mod inputs;
mod leaf;
mod log;
mod probes;
mod roots;
mod schedule;
mod verdict;

pub use verdict::{Basis, EpochVerdict};

use crate::findings::{Check, Conclusion, Findings};
use crate::source::Payload;
use assay_protocol::trust::TrustFile;
use case::Case;
use files::Files;
use serde::Serialize;

/// The result of an audit.
#[derive(Debug, Serialize)]
pub struct Audit {
    /// What the bundle is worth.
    pub result: Conclusion,
    /// Every check.
    pub checks: Vec<Check>,
    /// The verdicts, one per epoch that was not void.
    pub verdicts: Vec<EpochVerdict>,
}

/// Audits the payload of an intact bundle. Without a trust file the result is never better than undecided.
pub fn audit(payload: Payload, trust: Option<&TrustFile>) -> Audit {
    let mut findings = Findings::default();
    let files = Files::new(payload);
    let verdicts = run(&mut findings, &files, trust);
    files.unexplained(&mut findings);
    let posted = ("ledger/posted", "all epochs");
    let word =
        "not checked: this program has no network; ask any node of the ledger for the epoch's root";
    findings.not_checked(posted, "the signed roots posted on the ledger", word);
    let result = match trust {
        Some(_) => findings.conclusion(),
        None => Conclusion::Undecided,
    };
    let checks = findings.list().to_vec();
    Audit {
        result,
        checks,
        verdicts,
    }
}

/// An audit that ended before the bundle could be opened.
pub fn unreadable(reason: &str) -> Audit {
    let mut findings = Findings::default();
    let about = ("container/integrity", "bundle");
    findings.undecided(
        about,
        "an intact BagIt bundle, as a directory or a tar file",
        reason,
    );
    let checks = findings.list().to_vec();
    Audit {
        result: Conclusion::Undecided,
        checks,
        verdicts: Vec::new(),
    }
}

fn run(findings: &mut Findings, files: &Files, trust: Option<&TrustFile>) -> Vec<EpochVerdict> {
    let Some(case) = Case::open(findings, files, trust) else {
        return Vec::new();
    };
    let roots = roots::check(findings, files, &case);
    let inputs = inputs::check(findings, files, &case, &roots);
    let schedule = schedule::recompute(findings, &case, &roots, &inputs);
    let recorded = log::check(findings, files, &case, (&roots, &inputs));
    let exhibits = evidence::resolve(findings, files, &recorded);
    let mut found = Vec::new();
    for (hypernode, history) in &recorded {
        let enrolments = enrolment::check(findings, &case, history, &exhibits);
        let attested = attestation::check(findings, &case, history, &exhibits, &enrolments);
        let duties = schedule.of(hypernode);
        let probes = probes::check(
            findings,
            (&case, &roots),
            history,
            &exhibits,
            &attested,
            &duties,
        );
        let chases = chase::check(findings, (&case, &roots), history, &exhibits, &attested);
        let hypernode = *hypernode;
        found.push(verdict::Found {
            hypernode,
            attested,
            duties,
            probes,
            chases,
        });
    }
    let basics = verdict::Basics {
        roots,
        inputs,
        schedule,
        recorded: &recorded,
    };
    verdict::check(findings, files, &case, &basics, &found)
}
