//! Enrolments: whose TPM it is, and which attestation key may speak for it.
//!
//! That the TPM gave the credential's secret back is the HyperNode's signed word: only it saw the secret.

use super::case::Case;
use super::evidence::{Exhibits, Found};
use super::log::{History, Recorded};
use crate::findings::Findings;
use assay_appraisal::ek::certify;
use assay_appraisal::tpm::ak::AttestationKey;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::item::Item;
use assay_protocol::limits::SMALL_OBJECT_BYTES_MAX;
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media};
use assay_protocol::trust::RootKind;
use std::collections::BTreeMap;

/// An enrolled attestation key.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The key.
    pub ak: AttestationKey,
    /// What stands behind the EK's root.
    pub root_kind: RootKind,
    /// Least TPM firmware the root asks for.
    pub firmware_min: u64,
}

/// Enrolments of one HyperNode, by the path of the outcome.
pub type Enrolments = BTreeMap<String, Enrolled>;

/// Checks the enrolments in a history.
pub fn check(
    findings: &mut Findings,
    case: &Case,
    history: &History,
    exhibits: &Exhibits<'_>,
) -> Enrolments {
    let enrols = |recorded: &&Recorded| {
        let outcome = &recorded.outcome;
        outcome.kind == OutcomeKind::Enrol && outcome.class == OutcomeClass::Pass
    };
    let mut enrolments = Enrolments::new();
    for recorded in history.outcomes().filter(enrols) {
        let about = recorded.path.as_str();
        let raw = match exhibits.one(recorded, media::ENROL_RECORD) {
            Found::One(raw) => raw,
            Found::Missing => continue,
            other => {
                let actual = format!("{other:?}");
                findings.holds(
                    ("enrolment/record", about),
                    false,
                    "one enrolment record",
                    actual,
                );
                continue;
            }
        };
        if let Some(enrolled) = enrolled(findings, case, recorded, raw) {
            enrolments.insert(recorded.path.clone(), enrolled);
        }
        let expected = "the credential's secret came back from this TPM";
        let actual = "the signed word of its HyperNode, not recomputed";
        findings.not_checked(("enrolment/credential-activation", about), expected, actual);
    }
    enrolments
}

fn enrolled(
    findings: &mut Findings,
    case: &Case,
    recorded: &Recorded,
    raw: &[u8],
) -> Option<Enrolled> {
    let about = recorded.path.as_str();
    let record = EnrolRecord::decode("enrolment record", SMALL_OBJECT_BYTES_MAX, raw);
    let record = findings.value(("enrolment/record", about), "an enrolment record", record)?;
    findings.equal(("enrolment/record-node", about), case.node(), record.node);
    let expected = "an EK certificate under a pinned vendor root";
    let Some((roots, _)) = &case.vendors else {
        findings.undecided(
            ("enrolment/ek-chain", about),
            expected,
            "no vendor roots without a trust file",
        );
        return None;
    };
    let ek = certify(&record.ek_certificate.0, roots, recorded.outcome.window.1);
    let ek = findings.value(("enrolment/ek-chain", about), expected, ek)?;
    findings
        .equal(("enrolment/node-id", about), case.node(), ek.node_id())
        .then_some(())?;
    let template = ek.check_public(&record.ek_public.0);
    findings.value(
        ("enrolment/ek-template", about),
        "the default template with this key",
        template,
    )?;
    let ak = AttestationKey::from_bytes(&record.ak_public.0);
    let ak = findings.value(
        ("enrolment/ak-rules", about),
        "a restricted signing key fixed to its TPM",
        ak,
    )?;
    findings
        .equal(("enrolment/ak-name", about), ak.name(), record.ak_name)
        .then_some(())?;
    Some(Enrolled {
        ak,
        root_kind: ek.root_kind(),
        firmware_min: ek.firmware_min(),
    })
}
