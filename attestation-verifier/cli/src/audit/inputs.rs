//! The agreed input set: reports, the commits they open, seeds and log heads.

use super::case::Case;
use super::files::Files;
use super::roots::{CheckedRoot, Roots};
use crate::findings::Findings;
use assay_aggregate::epoch::Included;
use assay_aggregate::root::{LogHead, evidence_root};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId};
use assay_protocol::layout::{self, Inputs};
use assay_protocol::report::{Report, commitment, input_set};
use assay_protocol::schedule::seed_belongs;
use std::collections::BTreeMap;

/// The agreed reports of one epoch.
pub type Agreed = BTreeMap<HyperNodeId, Included>;
/// Agreed reports by epoch; an epoch whose set did not hold as a whole is missing.
pub type InputSets = BTreeMap<Epoch, Agreed>;

/// Checks the input sets of all epochs with a root.
pub fn check(findings: &mut Findings, files: &Files, case: &Case, roots: &Roots) -> InputSets {
    let mut sets = InputSets::new();
    for (epoch, checked) in roots {
        if let Some(agreed) = check_one(findings, files, case, *epoch, checked) {
            sets.insert(*epoch, agreed);
        }
    }
    sets
}

fn check_one(
    findings: &mut Findings,
    files: &Files,
    case: &Case,
    epoch: Epoch,
    checked: &CheckedRoot,
) -> Option<Agreed> {
    let root = &checked.root;
    let about = format!("epoch {epoch}");
    let inputs: Inputs = files.record(findings, "inputs", &layout::inputs(epoch))?;
    let sorted = inputs.entries.is_sorted_by(|a, b| a.0 < b.0);
    let expected = "entries ascending, each HyperNode once";
    findings
        .plain(("inputs/order", &about), sorted, expected)
        .then_some(())?;
    let entries: Vec<_> = inputs
        .entries
        .iter()
        .map(|(id, commit, _)| (*id, *commit))
        .collect();
    let agreed_on = input_set(&case.network, epoch, &entries);
    findings
        .equal(("inputs/set", &about), root.input_set, agreed_on)
        .then_some(())?;
    let mut agreed = Agreed::new();
    for entry in &inputs.entries {
        let report = report(findings, files, (case, checked), entry);
        agreed.insert(
            entry.0,
            Included {
                commit: entry.1,
                report: report?,
            },
        );
    }
    let head = |report: &Report| LogHead {
        size: report.log_size,
        root: report.log_root,
    };
    let heads = agreed
        .iter()
        .map(|(id, included)| (*id, head(&included.report)))
        .collect();
    findings.equal(
        ("inputs/evidence-root", &about),
        root.evidence_root,
        evidence_root(&heads),
    );
    Some(agreed)
}

fn report(
    findings: &mut Findings,
    files: &Files,
    (case, checked): (&Case, &CheckedRoot),
    (id, commit, salt): &(HyperNodeId, Digest, [u8; 32]),
) -> Option<Report> {
    let epoch = checked.root.epoch;
    let path = layout::report(epoch, id);
    let bytes = files.need(findings, "inputs", &path)?;
    let mut entries = checked.roster.entries().iter();
    let member = entries.find(|entry| entry.id == *id);
    let expected = "a HyperNode of the epoch's roster";
    let member = findings.value(("inputs/reporter", &path), expected, member.ok_or(id))?;
    let opened = cose::open::<Report>(bytes, &id.0);
    let report = findings.value(
        ("inputs/signature", &path),
        "a report signed by its HyperNode",
        opened,
    )?;
    let opens = commitment(&case.network, epoch, salt, bytes);
    findings.equal(("inputs/commit", &path), *commit, opens);
    let report = report.into_payload();
    findings.equal(("inputs/network", &path), case.network, report.network);
    findings.equal(("inputs/epoch", &path), epoch, report.epoch);
    findings.equal(("inputs/hypernode", &path), *id, report.hypernode);
    let linked = seed_belongs(
        &report.seed,
        epoch,
        &member.seed_end,
        case.params.seed_chain_links,
    );
    let expected = "the epoch's link of the registered seed chain";
    findings.holds(("inputs/seed", &path), linked, expected, report.seed);
    Some(report)
}
