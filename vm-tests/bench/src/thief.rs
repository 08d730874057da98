//! Somebody with true evidence of a machine and without its session key, who plays its agent before HyperNodes.

use crate::judge::Judge;
use crate::network::{say, serve};
use anyhow::{Context as _, Result};
use assay_hypernode::report;
use assay_protocol::cose::Signer as _;
use assay_protocol::evidence::{self, Claims, VendorEvidence};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Epoch, HyperNodeId, Nonce, SessionKey};
use assay_protocol::item::Blob;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use assay_protocol::outcome::OutcomeKind;
use assay_protocol::wire::{AgentReply, AgentRequest};
use assay_transport::Identity;

/// Evidence that a HyperNode accepted.
#[derive(Debug, Clone)]
pub struct Captured {
    /// As it was received.
    pub bytes: Vec<u8>,
    /// Its claims.
    pub claims: Claims,
    /// What lies beside them.
    pub vendor: VendorEvidence,
}

impl Captured {
    /// What this HyperNode accepted last.
    pub fn from(judge: &Judge) -> Result<Self> {
        let context = &judge.context;
        let outcomes = report::outcomes(context, Epoch(0), judge.record.node)?;
        let mut outcomes = outcomes.iter();
        let attest = outcomes.rfind(|outcome| outcome.kind == OutcomeKind::Attest);
        let reference = attest.and_then(|outcome| outcome.evidence.first());
        let salted = reference.context("no evidence")?.salted_digest;
        let object = context.raw_of(&salted)?.context("no raw evidence")?;
        let bytes = context.objects.get(&object, EVIDENCE_BYTES_MAX as u64)?;
        let opened = evidence::open(&bytes, &judge.session()?.0)?;
        Ok(Self {
            claims: opened.claims().clone(),
            vendor: opened.vendor().clone(),
            bytes,
        })
    }

    /// The same quote under claims that answer this challenge, name the thief's key and fit what lies beside them.
    pub fn forged(&self, thief: &Identity, nonce: (HyperNodeId, Nonce)) -> Vec<u8> {
        let mut claims = self.claims.clone();
        claims.nonces = vec![nonce];
        claims.session_key = SessionKey(thief.public_key());
        claims.event_log = digest(&[&self.vendor.event_log.0]);
        evidence::seal(claims, &self.vendor, thief)
    }

    /// With another event log.
    pub fn with_log(&self, log: Vec<u8>) -> Self {
        let mut changed = self.clone();
        changed.vendor.event_log = Blob(log);
        changed
    }
}

/// Plays an agent that answers every attestation by `evidence`; returns where.
pub fn play(
    thief: &Identity,
    mut evidence: impl FnMut(Nonce) -> Vec<u8> + Send + 'static,
) -> String {
    serve(thief, move |request| match request {
        AgentRequest::Attest { nonce, .. } => say(&AgentReply::Evidence {
            bytes: evidence(nonce),
        }),
        _ => Vec::new(),
    })
}

/// Plays an agent that enrols with this endorsement key certificate; returns where.
pub fn offer(thief: &Identity, ek_certificate: Vec<u8>) -> String {
    serve(thief, move |_: AgentRequest| {
        say(&AgentReply::Offer {
            ek_certificate: ek_certificate.clone(),
            ek_public: Vec::new(),
            ak_public: Vec::new(),
        })
    })
}
