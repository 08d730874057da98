//! The chase: dependent random reads of the filled region, recomputed in full from the key.

use super::{ANSWER_WAIT, Asking, CONNECT_WAIT};
use crate::agent_link::{AgentLink, LinkError};
use anyhow::Result;
use assay_appraisal::chase::{ExpectedChase, verify};
use assay_appraisal::counters;
use assay_appraisal::summary;
use assay_protocol::answers::ChaseAnswer;
use assay_protocol::chase::{ChasePlan, LaneState};
use assay_protocol::cose;
use assay_protocol::ids::{Nonce, RegionKey, SessionKey};
use assay_protocol::limits::CHASE_ANSWER_BYTES_MAX;
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::region::{BLOCK_BYTES, RegionId};
use assay_protocol::schedule::Challenge;
use assay_protocol::wire::{AgentReply, AgentRequest};
use std::collections::BTreeMap;
use std::time::Instant;

/// Chases through a region that has a receipt.
pub async fn run(asking: &Asking<'_>, session: SessionKey, id: RegionId) -> Result<OutcomeClass> {
    let context = asking.context;
    let plan = asking.class.chase_plan(id);
    let nonce = asking.nonce(Challenge::Chase);
    let walked = match walk(asking, session, nonce, plan).await {
        Ok(walked) => walked,
        Err(error) => {
            let draft = asking.unanswered(OutcomeKind::Chase, &error);
            context.record(draft)?;
            return Ok(OutcomeClass::Inconclusive);
        }
    };
    let expected = ExpectedChase {
        node: asking.node.node,
        session_key: session,
        nonce,
        plan,
    };
    let key = context.region_key(&asking.node.node, id);
    let (class, detail) = judge(&walked, &expected, &key);
    let mut draft = asking.draft(OutcomeKind::Chase, class);
    let reads = plan.reads();
    let per_second = reads
        .saturating_mul(1_000_000)
        .checked_div(walked.micros)
        .unwrap_or(0);
    let kind = kind(plan);
    draft.metrics = vec![
        (metric::CHASE_READS, reads),
        (metric::CHASE_US, walked.micros),
        (metric::CHASE_READS_PER_S, per_second),
        (metric::CHASE_IS_IOPS, kind as u64),
    ];
    // What is longer is none, whatever it is, and is not kept.
    if walked.bytes.len() <= CHASE_ANSWER_BYTES_MAX {
        draft.raw.push((walked.bytes, media::CHASE_ANSWER));
    }
    draft.detail = detail;
    let recorded = context.record(draft)?;
    Ok(recorded.map_or(OutcomeClass::Inconclusive, |outcome| outcome.class))
}

/// `fail` only when the answer itself proves it: signed by the bound key, to this nonce.
fn judge(walked: &Walked, expected: &ExpectedChase, key: &RegionKey) -> (OutcomeClass, String) {
    let answer = match cose::open::<ChaseAnswer>(&walked.bytes, &expected.session_key.0) {
        Ok(answer) => answer,
        Err(error) => return (OutcomeClass::Inconclusive, error.to_string()),
    };
    match verify(&answer, expected, key) {
        Ok(_) if walked.checkpoints != signed_checkpoints(answer.payload()) => {
            let detail = "the streamed checkpoints are not the signed ones";
            (OutcomeClass::Inconclusive, detail.to_owned())
        }
        // Claimed counters never pass or fail a chase; what they contradict is said beside it, for people.
        Ok(_) => (OutcomeClass::Pass, counters::note(answer.payload())),
        Err(error) if error.proves_failure() => (OutcomeClass::Fail, error.to_string()),
        Err(error) => (OutcomeClass::Inconclusive, error.to_string()),
    }
}

struct Walked {
    bytes: Vec<u8>,
    micros: u64,
    /// What was streamed: state by (lane, number).
    checkpoints: BTreeMap<(u32, u32), LaneState>,
}

/// Time is the HyperNode's: from the request to the signed answer, so that nothing can be left out of it.
async fn walk(
    asking: &Asking<'_>,
    session: SessionKey,
    nonce: Nonce,
    plan: ChasePlan,
) -> Result<Walked, LinkError> {
    let context = asking.context;
    let endpoint = &asking.node.endpoint;
    let mut link =
        AgentLink::connect(&context.identity, endpoint, Some(session), CONNECT_WAIT).await?;
    let begun = Instant::now();
    link.send(&AgentRequest::Chase { nonce, plan }, ANSWER_WAIT)
        .await?;
    let mut checkpoints = BTreeMap::new();
    for _ in 0..=plan.checkpoints_per_lane().saturating_mul(plan.lanes) {
        match link.reply(ANSWER_WAIT).await? {
            AgentReply::Checkpoint {
                lane,
                number,
                state,
            } => {
                checkpoints.insert((lane, number), state);
            }
            AgentReply::Answer { bytes } => {
                let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                return Ok(Walked {
                    bytes,
                    micros: micros.max(1),
                    checkpoints,
                });
            }
            _ => break,
        }
    }
    Err(link.unexpected("checkpoints and a signed answer"))
}

/// The checkpoints as the answer signs them.
fn signed_checkpoints(answer: &ChaseAnswer) -> BTreeMap<(u32, u32), LaneState> {
    let lanes = (0u32..).zip(&answer.lanes);
    lanes
        .flat_map(|(lane, states)| {
            let (states, _) = states.0.as_chunks::<32>();
            (0u32..)
                .zip(states)
                .map(move |(number, state)| ((lane, number), *state))
        })
        .collect()
}

/// The node's memory is not measured, so the smallest one its class allows would be its best case;
/// with the region of one HyperNode far below that, a chase here counts as liveness.
fn kind(plan: ChasePlan) -> assay_protocol::report::ChaseKind {
    let live = u64::from(plan.blocks).saturating_mul(BLOCK_BYTES as u64);
    summary::chase_kind(u64::MAX, live)
}
