//! Attestation: fresh evidence, authenticated and appraised; genuine evidence binds the session key.

use super::endorsement::{self, Chain, Collateral};
use super::ima::{self, Known};
use super::{Asking, CONNECT_WAIT, TPM_WAIT};
use crate::agent_link::{AgentLink, LinkError};
use crate::context::Context;
use crate::record::Draft;
use crate::store::Binding;
use anyhow::Result;
use assay_appraisal::appraise::{
    self, Appraisal, Attest, AuthenticatedEvidence, Endorsements, Expectation, ImaBefore, Policy,
    Refused,
};
use assay_appraisal::checks::{Mode, Outcome as CheckOutcome};
use assay_appraisal::ek::{self, CertifiedEk};
use assay_appraisal::tpm::ak::AttestationKey;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::cose;
use assay_protocol::hash::digest;
use assay_protocol::ids::{Beacon, SessionKey};
use assay_protocol::item::Item as _;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::schedule::Challenge;
use assay_protocol::wire::{AgentReply, AgentRequest};

/// Attests the node; returns how it ended.
pub async fn run(asking: &Asking<'_>, record: &EnrolRecord) -> Result<OutcomeClass> {
    let context = asking.context;
    let mut known = ima::known(asking, record)?;
    let judged = loop {
        let (evidence, peer) = match fetch(asking, known.as_ref()).await {
            Ok(fetched) => fetched,
            Err(error) => {
                context.record(asking.unanswered(OutcomeKind::Attest, &error))?;
                return Ok(OutcomeClass::Inconclusive);
            }
        };
        match judge(asking, record, (evidence, peer), known.take()).await? {
            Some(judged) => break judged,
            None => ima::forget(context, &record.node)?,
        }
    };
    let Some(outcome) = context.record(judged.draft)? else {
        return Ok(OutcomeClass::Inconclusive);
    };
    if let Some(appraisal) = judged.appraisal {
        accept(asking, &appraisal)?;
        ima::keep(asking, record, appraisal.ima_end.as_ref(), judged.known)?;
    }
    Ok(outcome.class)
}

/// Evidence, with the part of the IMA list that is not `known`. A broken connection may be an agent that does not know
/// how to leave something out: it is asked for everything.
async fn fetch(
    asking: &Asking<'_>,
    known: Option<&Known>,
) -> Result<(Vec<u8>, SessionKey), LinkError> {
    let nonce = asking.nonce(Challenge::Attest);
    let epoch = asking.place.0;
    let beacon = asking.context.beacon(epoch).unwrap_or(Beacon([0; 32]));
    if let Some(known) = known {
        let request = AgentRequest::AttestAfter {
            nonce,
            epoch,
            beacon,
            appraised: known.appraised(),
        };
        match ask(asking, &request).await {
            Err(LinkError::Transport { .. }) => (),
            answered => return answered,
        }
    }
    let request = AgentRequest::Attest {
        nonce,
        epoch,
        beacon,
    };
    ask(asking, &request).await
}

async fn ask(
    asking: &Asking<'_>,
    request: &AgentRequest,
) -> Result<(Vec<u8>, SessionKey), LinkError> {
    let endpoint = &asking.node.endpoint;
    let identity = &asking.context.identity;
    let mut link = AgentLink::connect(identity, endpoint, None, CONNECT_WAIT).await?;
    match link.ask(request, TPM_WAIT).await? {
        AgentReply::Evidence { bytes } => Ok((bytes, link.peer())),
        _ => Err(link.unexpected("evidence")),
    }
}

/// What a piece of evidence comes to.
struct Judged {
    /// With everything an auditor needs to say the same.
    draft: Draft,
    /// Of authentic evidence.
    appraisal: Option<Appraisal>,
    /// The earlier entries of the IMA list, where the evidence goes on from them.
    known: Option<Known>,
}

impl Judged {
    /// Evidence that leads to no appraisal.
    fn nothing(draft: Draft) -> Self {
        Self {
            draft,
            appraisal: None,
            known: None,
        }
    }
}

/// Judges evidence. Nothing, when it goes on from what is `known` of the IMA list and does not fit there: a whole list
/// decides, as it would have without.
async fn judge(
    asking: &Asking<'_>,
    record: &EnrolRecord,
    (evidence, peer): (Vec<u8>, SessionKey),
    known: Option<Known>,
) -> Result<Option<Judged>> {
    let context = asking.context;
    let inconclusive = |detail: String| {
        let mut draft = asking.draft(OutcomeKind::Attest, OutcomeClass::Inconclusive);
        draft.detail = detail;
        Some(Judged::nothing(draft))
    };
    let relayed = cose::claimed_signer(&evidence, EVIDENCE_BYTES_MAX).ok() != Some(peer.0);
    if relayed || context.is_dead(&record.node, &peer)? {
        // Nothing an auditor could recompute: TLS peer and dead keys are only seen here.
        let detail = "the evidence is not signed by the living key of the TLS peer";
        return Ok(inconclusive(detail.into()));
    }
    let authentic = match authenticate(asking, record, &evidence, peer)? {
        Ok(authentic) => authentic,
        // Nothing shows that this came from the enrolled TPM: it earns nothing and proves nothing.
        Err(refused) => {
            if another_key(&refused) {
                context.forget_enrolment(&record.node)?;
            }
            return Ok(Some(Judged::nothing(refusal(asking, &refused, evidence))));
        }
    };
    let (vceks, at) = (&context.vceks, asking.started);
    let collateral = match endorsement::collateral(vceks, asking.class, &authentic, at).await {
        Ok(collateral) => collateral,
        // Our own trouble is never the node's failure; without the certificates nobody can appraise this.
        Err(trouble) => return Ok(inconclusive(trouble.to_string())),
    };
    let first = authentic.claims().ima.map_or(0, |ima| ima.first);
    let known = known.filter(|_| first > 0);
    let before = known.as_ref().map_or(ImaBefore::Unknown, Known::before);
    let certified = match certified(context, record)? {
        Ok(certified) => certified,
        Err(why) => return Ok(inconclusive(why)),
    };
    let appraisal = appraise(asking, &certified, &authentic, (&collateral, before))?;
    if known.is_some() && is_astray(&appraisal) {
        return Ok(None);
    }
    if let Err(error) = endorsement::settle(vceks, &authentic, &collateral.chain, &appraisal) {
        context.note(format!("certificates of AMD: {error}"));
    }
    if let Some(why) = outlived(asking, &appraisal)? {
        context.end_session(&record.node, &peer)?;
        // Values that are not allowed fail all the same.
        if appraisal.attest != Attest::Fail {
            return Ok(inconclusive(why));
        }
    }
    keep_shown(asking, &evidence, &appraisal)?;
    let mut draft = draft_of(asking, &appraisal, evidence, collateral);
    let parts = known.iter().flat_map(Known::parts);
    draft
        .raw
        .extend(parts.map(|part| (part.clone(), media::IMA_PART)));
    Ok(Some(Judged {
        draft,
        appraisal: Some(appraisal),
        known,
    }))
}

/// The node's key, as of its enrolment: a certificate that ran out since then still says what TPM this is. Where its root was
/// taken out of the bundle, or it ended at that moment, the enrolment is forgotten, and this says why.
fn certified(context: &Context, record: &EnrolRecord) -> Result<Result<CertifiedEk, String>> {
    let enrolled = context.enrolled_at(&record.node)?;
    let certified = ek::certify(&record.ek_certificate.0, &context.roots, enrolled);
    if certified.is_err() {
        context.forget_enrolment(&record.node)?;
    }
    let why = |error| format!("it enrols anew: its EK certificate is not believed: {error}");
    Ok(certified.map_err(why))
}

/// Known before the outcome is: a crash between the two must not change what the report says.
fn keep_shown(asking: &Asking<'_>, evidence: &[u8], appraisal: &Appraisal) -> Result<()> {
    let salted = Outcome::reference(&asking.r, evidence, media::EVIDENCE).salted_digest;
    if let Some(owner) = appraisal.owner {
        asking.context.keep_owner(&salted, &owner.provider)?;
    }
    if let Some(chips) = appraisal.shown.chips {
        asking.context.keep_chips(&salted, &chips)?;
    }
    Ok(())
}

/// A list that does not explain the quote costs the tier; what fails whatever the list says needs no other list.
fn is_astray(appraisal: &Appraisal) -> bool {
    let mut checks = appraisal.checks.iter();
    let unexplained =
        checks.any(|check| check.name == "tier-2-ima-list" && check.outcome != CheckOutcome::Pass);
    unexplained && appraisal.attest != Attest::Fail
}

/// Evidence that is not authentic is kept, and says nothing.
fn refusal(asking: &Asking<'_>, refused: &Refused, evidence: Vec<u8>) -> Draft {
    let mut draft = asking.draft(OutcomeKind::Attest, OutcomeClass::Inconclusive);
    draft.detail = refused.to_string();
    draft.metrics.push((metric::TIER, 0));
    draft.raw.push((evidence, media::EVIDENCE));
    draft
}

fn draft_of(
    asking: &Asking<'_>,
    appraisal: &Appraisal,
    evidence: Vec<u8>,
    collateral: Collateral,
) -> Draft {
    let class = match appraisal.attest {
        Attest::Pass => OutcomeClass::Pass,
        Attest::Undecided => OutcomeClass::Inconclusive,
        Attest::Fail => OutcomeClass::Fail,
    };
    let mut draft = asking.draft(OutcomeKind::Attest, class);
    draft.metrics.push((metric::TIER, appraisal.tier.into()));
    // What kept a node from a higher tier is told too.
    draft.detail = failures(appraisal);
    let nonce = asking.nonce(Challenge::Attest);
    let result = appraisal.ear(digest(&[&evidence]), nonce, asking.started);
    let result = cose::seal(result, &asking.context.identity);
    draft.raw.push((evidence, media::EVIDENCE));
    draft.raw.push((result.bytes().to_vec(), media::RESULT));
    if let Chain::Found(chain) = collateral.chain {
        draft.raw.push((chain.encode(), media::AMD_CHAIN));
    }
    let crl = collateral.crl.map(|crl| (crl, media::CRL));
    draft.raw.extend(crl);
    draft
}

fn authenticate(
    asking: &Asking<'_>,
    record: &EnrolRecord,
    evidence: &[u8],
    peer: SessionKey,
) -> Result<Result<AuthenticatedEvidence, Refused>> {
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
    Ok(appraise::authenticate(evidence, &expectation, Mode::Verify))
}

fn appraise(
    asking: &Asking<'_>,
    certified: &CertifiedEk,
    evidence: &AuthenticatedEvidence,
    (collateral, ima_before): (&Collateral, ImaBefore<'_>),
) -> Result<Appraisal> {
    let context = asking.context;
    let chain = match &collateral.chain {
        Chain::Found(chain) => Some([&chain.vcek.0[..], &chain.ask.0, &chain.ark.0]),
        Chain::NotNeeded | Chain::Unknown => None,
    };
    let policy = Policy {
        network: context.network,
        class: asking.class,
        root_kind: Some(certified.root_kind()),
        firmware_min: certified.firmware_min(),
        trust: &context.vendors,
        configurations: &context.configurations,
        endorsements: Endorsements {
            at: asking.started,
            roots: &context.snp_roots,
            chain,
            crl: collateral.crl.as_deref(),
            cache: &context.certificates,
        },
        ima_before,
    };
    Ok(appraise::appraise(evidence, &policy))
}

/// A session key lives in the memory of one process, which no reset of the machine leaves running. Where the TPM was
/// reset and the key goes on, the system did not boot again, and registers that look as after a good boot were written
/// by whoever reset it. Only who remembers the key can see it.
fn outlived(asking: &Asking<'_>, appraisal: &Appraisal) -> Result<Option<String>> {
    let bound = asking.context.binding(&asking.node.node)?;
    let (key, now) = (appraisal.session_key, appraisal.clock.reset_count);
    let reset = |bound: &Binding| bound.session_key == key && bound.reset_count != now;
    Ok(bound.filter(reset).map(|bound| {
        format!(
            "session key: expected a new one after a reset of the TPM, got that of resetCount {} under resetCount {now}",
            bound.reset_count
        )
    }))
}

/// The node quotes with another AK than the enrolled one: reinstalled, perhaps. It has to enrol again.
fn another_key(refused: &Refused) -> bool {
    refused.checks.iter().any(|check| {
        check.outcome != CheckOutcome::Pass && matches!(check.name, "ak-name" | "ak-public")
    })
}

fn failures(appraisal: &Appraisal) -> String {
    let failed = appraisal
        .checks
        .iter()
        .filter(|check| check.outcome != CheckOutcome::Pass);
    failed
        .map(|check| check.to_string())
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
