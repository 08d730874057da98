//! The census probe: a nonce, a signed answer; before "silent", control probes.

use super::Asking;
use crate::agent_link::{AgentLink, LinkError};
use crate::clock;
use crate::context::Context;
use crate::control;
use crate::record::Draft;
use anyhow::Result;
use assay_protocol::answers::ProbeAnswer;
use assay_protocol::cose;
use assay_protocol::ids::{Nonce, SessionKey, UnixMs};
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::schedule::Challenge;
use assay_protocol::wire::{AgentReply, AgentRequest};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause before a broken connection is made anew.
const RETRY_PAUSE: Duration = Duration::from_millis(40);

/// Probes the node until the answer came or the slot has no time left; keeps the connection in `link`.
pub async fn run(
    shared: &Arc<Context>,
    asking: &Asking<'_>,
    link: &mut Option<AgentLink>,
    session: Option<Session>,
) -> Result<OutcomeClass> {
    let slot_ms = shared.params.slot_ms;
    let slot_start = shared.params.slot_start(asking.place.0, asking.place.1);
    // The last quarter of the slot belongs to the control probes.
    let answer_by = UnixMs(slot_start.0.saturating_add(slot_ms.saturating_mul(3) / 4));
    let nonce = asking.nonce(Challenge::Probe);
    let Some(session) = session else {
        let mut draft = asking.draft(OutcomeKind::Probe, OutcomeClass::Inconclusive);
        draft.detail = "no session key of this node was ever bound".into();
        shared.record(draft)?;
        return Ok(OutcomeClass::Inconclusive);
    };
    let attempts_max = asking.class.budget.probe_attempts;
    let answered = attempts(
        shared,
        asking,
        link,
        session.key,
        nonce,
        answer_by,
        attempts_max,
    )
    .await;
    let draft = match answered {
        Ok(_) if !session.holds => {
            let mut draft = asking.draft(OutcomeKind::Probe, OutcomeClass::Inconclusive);
            draft.detail = "the node answers, but its session key is not bound any more".into();
            draft
        }
        Ok(answer) => {
            let mut draft = asking.draft(OutcomeKind::Probe, OutcomeClass::Pass);
            draft.metrics = vec![
                (metric::RTT_US, answer.rtt_us),
                (metric::ATTEMPTS, answer.attempts),
            ];
            draft.raw.push((answer.bytes, media::PROBE_ANSWER));
            draft
        }
        Err(silence) => silent(shared, asking, nonce, silence).await?,
    };
    let class = draft.class;
    shared.record(draft)?;
    Ok(class)
}

/// The outcome of a probe that nobody answered: the node's fault only beside enough good control probes, and only when this
/// HyperNode was there in the epoch before.
async fn silent(
    shared: &Arc<Context>,
    asking: &Asking<'_>,
    nonce: Nonce,
    silence: Silence,
) -> Result<Draft> {
    let (epoch, slot) = asking.place;
    let slot_end = shared.params.slot_start(epoch, slot).0;
    let slot_end = UnixMs(slot_end.saturating_add(shared.params.slot_ms));
    let good = control::probe(shared, epoch, nonce, clock::until(slot_end)).await;
    let enough = good.len() >= shared.params.control_probes as usize;
    let back = shared.is_back(epoch)?;
    let class = match enough && !back {
        true => OutcomeClass::Unreachable,
        false => OutcomeClass::VerifierFault,
    };
    let mut draft = asking.draft(OutcomeKind::Probe, class);
    draft.metrics = vec![
        (metric::ATTEMPTS, silence.attempts),
        (metric::CONTROLS_GOOD, good.len() as u64),
    ];
    let raw = good.into_iter();
    draft.raw = raw.map(|bytes| (bytes, media::CONTROL_ANSWER)).collect();
    draft.detail = match back {
        true => format!(
            "this HyperNode had no say before this epoch; {}",
            silence.last
        ),
        false => silence.last,
    };
    Ok(draft)
}

/// The session key that must answer.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// The key.
    pub key: SessionKey,
    /// Whether its binding still holds. An answer by a key whose binding ended is no answer that counts, but silence is
    /// silence: a node that vanished for good must not end as undecided.
    pub holds: bool,
}

struct Answered {
    bytes: Vec<u8>,
    rtt_us: u64,
    attempts: u64,
}

struct Silence {
    attempts: u64,
    last: String,
}

/// Retries the same nonce, so that stalling does not help. A wait for an answer lasts until the time is over;
/// only a broken connection starts a new attempt.
async fn attempts(
    context: &Context,
    asking: &Asking<'_>,
    link: &mut Option<AgentLink>,
    session: SessionKey,
    nonce: Nonce,
    answer_by: UnixMs,
    attempts_max: u32,
) -> Result<Answered, Silence> {
    let mut silence = Silence {
        attempts: 0,
        last: "no time left in the slot".into(),
    };
    while silence.attempts < u64::from(attempts_max) && clock::now() < answer_by {
        silence.attempts = silence.attempts.saturating_add(1);
        let begun = Instant::now();
        match attempt(context, asking, link, session, nonce, answer_by).await {
            Ok(bytes) => {
                let rtt_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                return Ok(Answered {
                    bytes,
                    rtt_us,
                    attempts: silence.attempts,
                });
            }
            Err(error) => {
                *link = None;
                silence.last = error;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
    Err(silence)
}

async fn attempt(
    context: &Context,
    asking: &Asking<'_>,
    link: &mut Option<AgentLink>,
    session: SessionKey,
    nonce: Nonce,
    answer_by: UnixMs,
) -> Result<Vec<u8>, String> {
    let elsewhere =
        |link: &AgentLink| link.peer() != session || link.endpoint() != asking.node.endpoint;
    if link.as_ref().is_some_and(elsewhere) {
        *link = None;
    }
    let text = |error: LinkError| error.to_string();
    if link.is_none() {
        let within = clock::until(answer_by);
        let endpoint = &asking.node.endpoint;
        let made = AgentLink::connect(&context.identity, endpoint, Some(session), within).await;
        *link = Some(made.map_err(text)?);
    }
    let Some(open) = link.as_mut() else {
        return Err("no connection".into());
    };
    let reply = open
        .ask(&AgentRequest::Probe { nonce }, clock::until(answer_by))
        .await;
    let AgentReply::Answer { bytes } = reply.map_err(text)? else {
        return Err(open.unexpected("a signed answer").to_string());
    };
    let answer =
        cose::open::<ProbeAnswer>(&bytes, &session.0).map_err(|error| error.to_string())?;
    let payload = answer.payload();
    let (nonce_got, node, node_got) = (payload.nonce, asking.node.node, payload.node);
    if nonce_got != nonce {
        return Err(format!(
            "probe answer: expected nonce {nonce}, got {nonce_got}"
        ));
    }
    if node_got != node {
        return Err(format!(
            "probe answer: expected node {node}, got {node_got}"
        ));
    }
    Ok(bytes)
}
