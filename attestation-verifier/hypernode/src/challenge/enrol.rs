//! Enrolment: EK chain, template, AK rules, then a credential that only the TPM with both keys can open.

use super::{Asking, CONNECT_WAIT, TPM_WAIT};
use crate::agent_link::{AgentLink, LinkError};
use crate::clock;
use anyhow::{Result, bail};
use assay_appraisal::ek;
use assay_appraisal::tpm::ak::AttestationKey;
use assay_appraisal::tpm::make_credential::make_credential;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::item::{Blob, Item};
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media};
use assay_protocol::wire::{AgentReply, AgentRequest};
use aws_lc_rs::constant_time::verify_slices_are_equal;

/// Enrols the node; the record is kept only after the secret came back. A failed attempt leaves nothing.
pub async fn run(asking: &Asking<'_>) -> Result<Option<EnrolRecord>> {
    let context = asking.context;
    let (class, record, detail) = match attempt(asking).await {
        Ok(record) => (OutcomeClass::Pass, Some(record), String::new()),
        Err(error) if error.downcast_ref::<LinkError>().is_some() => {
            (OutcomeClass::Inconclusive, None, crate::explain(&error))
        }
        Err(error) => (OutcomeClass::Fail, None, crate::explain(&error)),
    };
    let mut draft = asking.draft(OutcomeKind::Enrol, class);
    draft.detail = detail;
    draft.raw.extend(
        record
            .as_ref()
            .map(|record| (record.encode(), media::ENROL_RECORD)),
    );
    if context.record(draft)?.is_none() {
        return Ok(None);
    }
    if let Some(record) = &record {
        context.keep_enrolment(record)?;
    }
    Ok(record)
}

async fn attempt(asking: &Asking<'_>) -> Result<EnrolRecord> {
    let context = asking.context;
    let endpoint = &asking.node.endpoint;
    let mut link = AgentLink::connect(&context.identity, endpoint, None, CONNECT_WAIT).await?;
    let reply = link.ask(&AgentRequest::Enrol, TPM_WAIT).await?;
    let AgentReply::Offer {
        ek_certificate,
        ek_public,
        ak_public,
    } = reply
    else {
        return Err(link.unexpected("an offer").into());
    };
    let certified = ek::certify(&ek_certificate, &context.roots, clock::now())?;
    if certified.node_id() != asking.node.node {
        bail!(
            "node id: expected {}, got {}",
            asking.node.node,
            certified.node_id()
        );
    }
    certified.check_public(&ek_public)?;
    let ak = AttestationKey::from_bytes(&ak_public)?;
    let secret = context.random()?;
    let credential = make_credential(certified.key(), &ak.name(), &secret, &context.random()?)?;
    let request = AgentRequest::Activate {
        credential_blob: credential.id_object,
        encrypted_secret: credential.encrypted_secret,
    };
    let AgentReply::Activated { secret: returned } = link.ask(&request, TPM_WAIT).await? else {
        return Err(link.unexpected("the activated secret").into());
    };
    if verify_slices_are_equal(&returned, &secret).is_err() {
        bail!("credential activation: the TPM did not return the secret");
    }
    // Again: the node chose how long it took, and the enrolment is of now.
    ek::certify(&ek_certificate, &context.roots, clock::now())?;
    Ok(EnrolRecord {
        node: asking.node.node,
        ek_certificate: Blob(ek_certificate),
        ek_public: Blob(ek_public),
        ak_public: Blob(ak_public),
        ak_name: ak.name(),
    })
}
