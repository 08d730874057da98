//! Attestation: fresh evidence, authenticated and appraised; genuine evidence binds the session key.

use super::{Asking, CONNECT_WAIT, TPM_WAIT};
use crate::agent_link::{AgentLink, LinkError};
use crate::record::Draft;
use crate::store::Binding;
use anyhow::Result;
use assay_appraisal::appraise::{
    self, Appraisal, Attest, Endorsements, Expectation, Policy, Refused,
};
use assay_appraisal::checks::{Mode, Outcome as CheckOutcome};
use assay_appraisal::ek;
use assay_appraisal::snp::SnpRoots;
use assay_appraisal::tpm::ak::AttestationKey;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::cose;
use assay_protocol::ids::SessionKey;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::schedule::Challenge;
use assay_protocol::wire::{AgentReply, AgentRequest};

/// Attests the node; returns how it ended.
pub async fn run(asking: &Asking<'_>, record: &EnrolRecord) -> Result<OutcomeClass> {
    let context = asking.context;
    let (evidence, peer) = match fetch(asking).await {
        Ok(fetched) => fetched,
        Err(error) => {
            context.record(asking.unanswered(OutcomeKind::Attest, &error))?;
            return Ok(OutcomeClass::Inconclusive);
        }
    };
    let (draft, appraisal) = judge(asking, record, evidence, peer)?;
    let Some(outcome) = context.record(draft)? else {
        return Ok(OutcomeClass::Inconclusive);
    };
    if let Some(appraisal) = appraisal {
        accept(asking, &appraisal)?;
    }
    Ok(outcome.class)
}

async fn fetch(asking: &Asking<'_>) -> Result<(Vec<u8>, SessionKey), LinkError> {
    let context = asking.context;
    let endpoint = &asking.node.endpoint;
    let mut link = AgentLink::connect(&context.identity, endpoint, None, CONNECT_WAIT).await?;
    let request = AgentRequest::Attest {
        nonce: asking.nonce(Challenge::Attest),
        epoch: asking.place.0,
        beacon: context
            .beacon(asking.place.0)
            .unwrap_or(assay_protocol::ids::Beacon([0; 32])),
    };
    match link.ask(&request, TPM_WAIT).await? {
        AgentReply::Evidence { bytes } => Ok((bytes, link.peer())),
        _ => Err(link.unexpected("evidence")),
    }
}

fn judge(
    asking: &Asking<'_>,
    record: &EnrolRecord,
    evidence: Vec<u8>,
    peer: SessionKey,
) -> Result<(Draft, Option<Appraisal>)> {
    let context = asking.context;
    let relayed = cose::claimed_signer(&evidence, EVIDENCE_BYTES_MAX).ok() != Some(peer.0);
    if relayed || context.is_dead(&record.node, &peer)? {
        // Nothing an auditor could recompute: TLS peer and dead keys are only seen here.
        let mut draft = asking.draft(OutcomeKind::Attest, OutcomeClass::Inconclusive);
        draft.detail = "the evidence is not signed by the living key of the TLS peer".into();
        return Ok((draft, None));
    }
    let (class, tier, detail, appraisal) = match appraise(asking, record, &evidence, peer)? {
        Ok(appraisal) => {
            let class = match appraisal.attest {
                Attest::Pass => OutcomeClass::Pass,
                Attest::Undecided => OutcomeClass::Inconclusive,
                Attest::Fail => OutcomeClass::Fail,
            };
            // What kept a node from a higher tier is told too.
            (class, appraisal.tier, failures(&appraisal), Some(appraisal))
        }
        // Nothing shows that this came from the enrolled TPM: it earns nothing and proves nothing.
        Err(refused) => {
            if another_key(&refused) {
                context.forget_enrolment(&record.node)?;
            }
            (OutcomeClass::Inconclusive, 0, refused.to_string(), None)
        }
    };
    // Known before the outcome is: a crash between the two must not change what the report says.
    if let Some(owner) = appraisal.as_ref().and_then(|appraisal| appraisal.owner) {
        let reference = Outcome::reference(&asking.r, &evidence, media::EVIDENCE);
        context.keep_owner(&reference.salted_digest, &owner.provider)?;
    }
    let mut draft = asking.draft(OutcomeKind::Attest, class);
    draft.metrics.push((metric::TIER, tier.into()));
    draft.raw.push((evidence, media::EVIDENCE));
    draft.detail = detail;
    Ok((draft, appraisal))
}

fn appraise(
    asking: &Asking<'_>,
    record: &EnrolRecord,
    evidence: &[u8],
    peer: SessionKey,
) -> Result<Result<Appraisal, Refused>> {
    let context = asking.context;
    let ak = AttestationKey::from_bytes(&record.ak_public.0)?;
    let last = context.clock_of(&record.node)?;
    let expectation = Expectation {
        node: record.node,
        hypernode: context.own,
        nonce: asking.nonce(Challenge::Attest),
        session_key: peer,
        ak: &ak,
        last_clock: last.as_ref(),
    };
    // As of the enrolment: a certificate that ran out since then still says what TPM this is.
    let enrolled = context.enrolled_at(&record.node)?;
    let certified = ek::certify(&record.ek_certificate.0, &context.roots, enrolled)?;
    let policy = Policy {
        network: context.network,
        class: asking.class,
        root_kind: Some(certified.root_kind()),
        firmware_min: certified.firmware_min(),
        trust: &context.vendors,
        endorsements: Endorsements {
            at: asking.started,
            roots: &SnpRoots::amd(),
            chain: None,
            cache: &context.certificates,
        },
        ima_position: None,
    };
    Ok(appraise::verify(
        evidence,
        &expectation,
        &policy,
        Mode::Verify,
    ))
}

/// The node quotes with another AK than the enrolled one: reinstalled, perhaps. It has to enrol again.
fn another_key(refused: &Refused) -> bool {
    refused.checks.iter().any(|check| {
        check.outcome != CheckOutcome::Pass
            && matches!(check.name.as_str(), "ak-name" | "ak-public")
    })
}

fn failures(appraisal: &Appraisal) -> String {
    let failed = appraisal
        .checks
        .iter()
        .filter(|check| check.outcome != CheckOutcome::Pass);
    failed
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Genuine evidence counts for identity even when its values are not allowed.
fn accept(asking: &Asking<'_>, appraisal: &Appraisal) -> Result<()> {
    let context = asking.context;
    let node = &asking.node.node;
    context.keep_clock(node, &appraisal.clock)?;
    let binding = Binding {
        session_key: appraisal.session_key,
        ak_name: appraisal.ak_name,
        epoch: asking.place.0,
        reset_count: appraisal.clock.reset_count,
        restart_count: appraisal.clock.restart_count,
    };
    context.bind(node, &binding)
}
