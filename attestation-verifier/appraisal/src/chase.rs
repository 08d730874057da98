//! Verifies a chase: every lane is walked again over the keystream the HyperNode can make and the
//! node cannot (ARCHITECTURE section 8). A lost or altered block, or a read left out, changes the states.

use assay_protocol::answers::ChaseAnswer;
use assay_protocol::chase::{self, ChasePlan, LaneState, PlanError};
use assay_protocol::cose::Authenticated;
use assay_protocol::ids::{NodeId, Nonce, RegionKey, SessionKey};
use assay_protocol::region::{CipherError, Keystream};

/// What was asked, and of whom.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedChase {
    /// The node asked.
    pub node: NodeId,
    /// Its bound session key.
    pub session_key: SessionKey,
    /// The nonce given.
    pub nonce: Nonce,
    /// The plan given.
    pub plan: ChasePlan,
}

/// A chase whose every checkpoint was recomputed; made only by [`verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedChase {
    reads: u64,
}

impl VerifiedChase {
    /// Blocks the node must have read.
    pub fn reads(self) -> u64 {
        self.reads
    }
}

/// An answer is not the one the region and the nonce give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChaseError {
    /// The plan asked for is outside the limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A field differs from what was asked.
    #[error("chase: {name}: expected {expected}, got {actual}")]
    Differs {
        /// The field.
        name: &'static str,
        /// What was asked.
        expected: String,
        /// What the answer has.
        actual: String,
    },
    /// A checkpoint is not the recomputed state.
    #[error(
        "chase: lane {lane}: checkpoint {checkpoint}: expected {expected}, got {actual}: a block was lost or altered, or a read left out"
    )]
    State {
        /// The lane, from 0.
        lane: u32,
        /// The checkpoint, from 0.
        checkpoint: usize,
        /// The recomputed state, hexadecimal.
        expected: String,
        /// The state sent, hexadecimal.
        actual: String,
    },
    /// The cipher refused.
    #[error(transparent)]
    Cipher(#[from] CipherError),
}

impl ChaseError {
    /// Whether the signed answer itself proves that the node failed. An answer by another key, of another node or to
    /// another nonce proves nothing: whoever asked may have put it beside the wrong question.
    pub fn proves_failure(&self) -> bool {
        match self {
            Self::State { .. } => true,
            Self::Differs { name, .. } => !matches!(*name, "signer" | "node" | "nonce"),
            Self::Plan(_) | Self::Cipher(_) => false,
        }
    }
}

/// Verifies an answer in full, whether its key is still secret or revealed already.
pub fn verify(
    answer: &Authenticated<ChaseAnswer>,
    expected: &ExpectedChase,
    key: &RegionKey,
) -> Result<VerifiedChase, ChaseError> {
    let plan = &expected.plan;
    plan.validate()?;
    same("signer", expected.session_key, SessionKey(*answer.signer()))?;
    let answer = answer.payload();
    same("node", expected.node, answer.node)?;
    same("nonce", expected.nonce, answer.nonce)?;
    check_plan(plan, &answer.plan())?;
    let keystream = Keystream::new(key)?;
    for (lane, sent) in (0..plan.lanes).zip(&answer.lanes) {
        let states = chase::walk(plan, &expected.nonce, lane, |index| keystream.block(index))?;
        check_lane(lane, &states, &sent.0)?;
    }
    Ok(VerifiedChase {
        reads: plan.reads(),
    })
}

fn check_plan(asked: &ChasePlan, answered: &ChasePlan) -> Result<(), ChaseError> {
    same("region", asked.id.region, answered.id.region)?;
    same("generation", asked.id.generation, answered.id.generation)?;
    same("blocks", asked.blocks, answered.blocks)?;
    same("lanes", asked.lanes, answered.lanes)?;
    same("steps", asked.steps, answered.steps)?;
    same(
        "checkpoint_every",
        asked.checkpoint_every,
        answered.checkpoint_every,
    )
}

fn check_lane(lane: u32, states: &[LaneState], sent: &[u8]) -> Result<(), ChaseError> {
    let (sent, rest) = sent.as_chunks::<32>();
    same("lane bytes after the last checkpoint", 0, rest.len())?;
    same("checkpoints of a lane", states.len(), sent.len())?;
    match states
        .iter()
        .zip(sent)
        .position(|(expected, actual)| expected != actual)
    {
        None => Ok(()),
        Some(checkpoint) => Err(ChaseError::State {
            lane,
            checkpoint,
            expected: states.get(checkpoint).map(hex::encode).unwrap_or_default(),
            actual: sent.get(checkpoint).map(hex::encode).unwrap_or_default(),
        }),
    }
}

fn same<T: PartialEq + ToString>(
    name: &'static str,
    expected: T,
    actual: T,
) -> Result<(), ChaseError> {
    if expected == actual {
        return Ok(());
    }
    let (expected, actual) = (expected.to_string(), actual.to_string());
    Err(ChaseError::Differs {
        name,
        expected,
        actual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SessionSigner;
    use assay_protocol::answers::ChainLink;
    use assay_protocol::cose::{self, Signer};
    use assay_protocol::ids::{Digest, UnixMs};
    use assay_protocol::region::RegionId;

    const PLAN: ChasePlan = ChasePlan {
        id: RegionId {
            region: 1,
            generation: 2,
        },
        blocks: 64,
        lanes: 3,
        steps: 32,
        checkpoint_every: 8,
    };
    const KEY: RegionKey = RegionKey([5; 32]);
    const NONCE: Nonce = Nonce([6; 32]);

    fn expected() -> ExpectedChase {
        let session_key = SessionKey(SessionSigner::new(1).public_key());
        ExpectedChase {
            node: NodeId([7; 32]),
            session_key,
            nonce: NONCE,
            plan: PLAN,
        }
    }

    /// An honest answer to `plan`, except that block `lost` has one byte altered.
    fn answer(plan: &ChasePlan, lost: Option<u32>) -> ChaseAnswer {
        let keystream = Keystream::new(&KEY).unwrap();
        let walk = |lane| {
            let states = chase::walk(plan, &NONCE, lane, |index| {
                let mut block = keystream.block(index)?;
                if lost == Some(index) {
                    block[99] ^= 1;
                }
                Ok::<_, CipherError>(block)
            });
            ChaseAnswer::lane_blob(&states.unwrap())
        };
        ChaseAnswer {
            node: NodeId([7; 32]),
            nonce: NONCE,
            region: plan.id.region,
            generation: plan.id.generation,
            blocks: plan.blocks,
            steps: plan.steps,
            checkpoint_every: plan.checkpoint_every,
            lanes: (0..plan.lanes).map(walk).collect(),
            link: ChainLink {
                sequence: 0,
                previous: Digest([0; 32]),
            },
            counters: Vec::new(),
            at: UnixMs(1),
            counters_before: Vec::new(),
        }
    }

    fn outcome(answer: ChaseAnswer) -> Result<VerifiedChase, ChaseError> {
        verify(
            &cose::seal(answer, &SessionSigner::new(1)),
            &expected(),
            &KEY,
        )
    }

    #[test]
    fn an_honest_answer_counts_every_read() {
        assert_eq!(outcome(answer(&PLAN, None)).unwrap().reads(), 96);
    }

    #[test]
    fn one_altered_block_that_is_asked_for_fails() {
        let first = chase::index(&chase::start(&NONCE, PLAN.id, 1), PLAN.blocks);
        let error = outcome(answer(&PLAN, Some(first))).unwrap_err();
        assert!(
            matches!(error, ChaseError::State { checkpoint: 0, .. }),
            "{error}"
        );
    }

    #[test]
    fn fewer_reads_lanes_or_checkpoints_fail() {
        let fewer = |plan| outcome(answer(&plan, None)).unwrap_err().to_string();
        assert!(fewer(ChasePlan { steps: 24, ..PLAN }).contains("steps: expected 32, got 24"));
        assert!(fewer(ChasePlan { lanes: 2, ..PLAN }).contains("lanes: expected 3, got 2"));
        assert!(
            fewer(ChasePlan {
                checkpoint_every: 16,
                ..PLAN
            })
            .contains("checkpoint_every")
        );
        assert!(fewer(ChasePlan { blocks: 32, ..PLAN }).contains("blocks"));
        let mut claimed = answer(&ChasePlan { steps: 24, ..PLAN }, None);
        claimed.steps = 32;
        let error = outcome(claimed).unwrap_err().to_string();
        assert!(
            error.contains("checkpoints of a lane: expected 4, got 3"),
            "{error}"
        );
        let mut cut = answer(&PLAN, None);
        cut.lanes[2].0.pop();
        assert!(
            outcome(cut)
                .unwrap_err()
                .to_string()
                .contains("bytes after")
        );
    }

    #[test]
    fn every_checkpoint_counts() {
        for lane in 0..3 {
            for byte in 0..4 * 32 {
                let mut bad = answer(&PLAN, None);
                bad.lanes[lane].0[byte] ^= 1;
                let error = outcome(bad).unwrap_err();
                assert!(
                    matches!(error, ChaseError::State { checkpoint, .. } if checkpoint == byte / 32)
                );
            }
        }
    }

    /// Money is slashed on a proven failure: an answer beside the wrong question must not be one.
    #[test]
    fn only_an_answer_to_this_question_proves_a_failure() {
        let proves = |answer: ChaseAnswer| outcome(answer).unwrap_err().proves_failure();
        let with = |change: fn(&mut ChaseAnswer)| {
            let mut bad = answer(&PLAN, None);
            change(&mut bad);
            bad
        };
        assert!(proves(with(|a| a.lanes[0].0[0] ^= 1)));
        assert!(proves(with(|a| a.steps = 24)));
        assert!(!proves(with(|a| a.nonce = Nonce([0; 32]))));
        assert!(!proves(with(|a| a.node = NodeId([0; 32]))));
        let other = cose::seal(answer(&PLAN, None), &SessionSigner::new(2));
        let error = verify(&other, &expected(), &KEY).unwrap_err();
        assert!(!error.proves_failure(), "{error}");
        let plan = ChasePlan { lanes: 0, ..PLAN };
        let none = ExpectedChase { plan, ..expected() };
        let good = cose::seal(answer(&PLAN, None), &SessionSigner::new(1));
        let error = verify(&good, &none, &KEY).unwrap_err();
        assert!(!error.proves_failure(), "{error}");
    }

    #[test]
    fn another_nonce_node_region_signer_or_key_fails() {
        let changed = |change: fn(&mut ChaseAnswer)| {
            let mut bad = answer(&PLAN, None);
            change(&mut bad);
            outcome(bad).unwrap_err().to_string()
        };
        assert!(changed(|a| a.nonce = Nonce([0; 32])).contains("nonce"));
        assert!(changed(|a| a.node = NodeId([0; 32])).contains("node"));
        assert!(changed(|a| a.region = 9).contains("region"));
        assert!(changed(|a| a.generation = 9).contains("generation"));
        let other = cose::seal(answer(&PLAN, None), &SessionSigner::new(2));
        let error = verify(&other, &expected(), &KEY).unwrap_err().to_string();
        assert!(error.contains("signer"), "{error}");
        let good = cose::seal(answer(&PLAN, None), &SessionSigner::new(1));
        assert!(verify(&good, &expected(), &RegionKey([6; 32])).is_err());
        let plan = ChasePlan { lanes: 0, ..PLAN };
        let none = ExpectedChase { plan, ..expected() };
        assert!(matches!(
            verify(&good, &none, &KEY),
            Err(ChaseError::Plan(_))
        ));
    }
}
