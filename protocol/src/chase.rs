//! The chase step, spoken by agent, HyperNode and auditor alike (ARCHITECTURE section 8).

use crate::hash::sha256;
use crate::ids::Nonce;
use crate::limits::{CHASE_CHECKPOINTS_MAX, CHASE_LANES_MAX, CHASE_STEPS_MAX, REGION_BLOCKS_MAX};
use crate::region::{BLOCK_BYTES, CipherError, RegionId};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce as Iv, UnboundKey};
use serde::{Deserialize, Serialize};

/// The state of a lane.
pub type LaneState = [u8; 32];

/// How a chase runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChasePlan {
    /// The region read.
    pub id: RegionId,
    /// Blocks in the region, a power of two.
    pub blocks: u32,
    /// Lanes walked at once: the queue depth.
    pub lanes: u32,
    /// Reads per lane.
    pub steps: u32,
    /// A checkpoint is sent after each so many steps; divides `steps`.
    pub checkpoint_every: u32,
}

/// A chase plan outside its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chase plan: {name}: expected {expected}, got {actual}")]
pub struct PlanError {
    name: &'static str,
    expected: String,
    actual: u32,
}

impl ChasePlan {
    /// Refuses a plan outside the limits.
    pub fn validate(&self) -> Result<(), PlanError> {
        let rule = |ok: bool, name, expected: String, actual| {
            if ok {
                Ok(())
            } else {
                Err(PlanError {
                    name,
                    expected,
                    actual,
                })
            }
        };
        let blocks_ok = self.blocks.is_power_of_two() && self.blocks <= REGION_BLOCKS_MAX;
        rule(
            blocks_ok,
            "blocks",
            format!("a power of two up to {REGION_BLOCKS_MAX}"),
            self.blocks,
        )?;
        let lanes_ok = (1..=CHASE_LANES_MAX).contains(&self.lanes);
        rule(
            lanes_ok,
            "lanes",
            format!("1..={CHASE_LANES_MAX}"),
            self.lanes,
        )?;
        let steps_ok = (1..=CHASE_STEPS_MAX).contains(&self.steps);
        rule(
            steps_ok,
            "steps",
            format!("1..={CHASE_STEPS_MAX}"),
            self.steps,
        )?;
        let divides = self.steps.checked_rem(self.checkpoint_every) == Some(0);
        rule(
            divides,
            "checkpoint_every",
            format!("a divisor of {}", self.steps),
            self.checkpoint_every,
        )?;
        let all = self.checkpoints_per_lane().saturating_mul(self.lanes);
        let few = all <= CHASE_CHECKPOINTS_MAX;
        rule(
            few,
            "checkpoints",
            format!("at most {CHASE_CHECKPOINTS_MAX}"),
            all,
        )
    }

    /// Checkpoints each lane sends; the last one is its final state.
    pub fn checkpoints_per_lane(&self) -> u32 {
        self.steps.checked_div(self.checkpoint_every).unwrap_or(0)
    }

    /// Reads of the whole chase.
    pub fn reads(&self) -> u64 {
        u64::from(self.lanes).saturating_mul(u64::from(self.steps))
    }
}

/// s₀ of a lane.
pub fn start(nonce: &Nonce, id: RegionId, lane: u32) -> LaneState {
    sha256(&[
        b"assay/chase/2",
        &nonce.0,
        &id.region.to_be_bytes(),
        &id.generation.to_be_bytes(),
        &lane.to_be_bytes(),
    ])
}

/// The block a state asks for: its last 8 bytes, big-endian, AND (blocks − 1).
pub fn index(state: &LaneState, blocks: u32) -> u32 {
    let last = state
        .iter()
        .skip(24)
        .fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
    let mask = u64::from(blocks.saturating_sub(1));
    u32::try_from(last & mask).unwrap_or(0)
}

/// sⱼ₊₁ = SHA-256(sⱼ ‖ j ‖ tag), j as u32 big-endian; tag is the GMAC (NIST SP 800-38D, section 3) of the block under
/// AES-256 with sⱼ as its key and a zero IV. The key is known to everybody and used once: what counts is that nobody
/// knows it before the step, and that it takes every byte of the block (ARCHITECTURE section 8).
pub fn step(
    state: &LaneState,
    j: u32,
    block: &[u8; BLOCK_BYTES],
) -> Result<LaneState, CipherError> {
    let key = UnboundKey::new(&AES_256_GCM, state).map_err(|_| CipherError)?;
    let iv = Iv::assume_unique_for_key([0; NONCE_LEN]);
    let tag = LessSafeKey::new(key)
        .seal_in_place_separate_tag(iv, Aad::from(block), &mut [])
        .map_err(|_| CipherError)?;
    Ok(sha256(&[state, &j.to_be_bytes(), tag.as_ref()]))
}

/// Walks one lane, reading blocks through `read`; returns its checkpoints, the final state last.
pub fn walk<E: From<CipherError>>(
    plan: &ChasePlan,
    nonce: &Nonce,
    lane: u32,
    mut read: impl FnMut(u32) -> Result<[u8; BLOCK_BYTES], E>,
) -> Result<Vec<LaneState>, E> {
    let mut state = start(nonce, plan.id, lane);
    let mut checkpoints = Vec::new();
    for j in 0..plan.steps {
        let block = read(index(&state, plan.blocks))?;
        state = step(&state, j, &block)?;
        if j.saturating_add(1).checked_rem(plan.checkpoint_every) == Some(0) {
            checkpoints.push(state);
        }
    }
    Ok(checkpoints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RegionKey;
    use crate::region::{CipherError, Keystream};
    use std::collections::BTreeSet;

    const PLAN: ChasePlan = ChasePlan {
        id: RegionId {
            region: 0,
            generation: 0,
        },
        blocks: 64,
        lanes: 2,
        steps: 32,
        checkpoint_every: 8,
    };

    fn walked(nonce: u8, lane: u32, lost: Option<u32>) -> (Vec<LaneState>, BTreeSet<u32>) {
        let stream = Keystream::new(&RegionKey([1; 32])).unwrap();
        let mut asked = BTreeSet::new();
        let states = walk(&PLAN, &Nonce([nonce; 32]), lane, |i| {
            asked.insert(i);
            let mut block = stream.block(i)?;
            if lost == Some(i) {
                block[17] ^= 1;
            }
            Ok::<_, CipherError>(block)
        });
        (states.unwrap(), asked)
    }

    #[test]
    fn a_walk_is_a_function_of_nonce_lane_and_blocks() {
        let (states, asked) = walked(1, 0, None);
        assert_eq!(states.len(), 4);
        assert_eq!(walked(1, 0, None).0, states);
        assert_ne!(walked(2, 0, None).0, states);
        assert_ne!(walked(1, 1, None).0, states);
        for block in 0..64 {
            let differs = walked(1, 0, Some(block)).0 != states;
            assert_eq!(differs, asked.contains(&block), "block {block}");
        }
    }

    /// Computed by another implementation: Python's `cryptography`, AESGCM(s).encrypt(bytes(12), b"", block).
    #[test]
    fn a_step_is_what_others_compute() {
        let mut block = [0; BLOCK_BYTES];
        for (at, byte) in block.iter_mut().enumerate() {
            *byte = (at % 251) as u8;
        }
        assert_eq!(
            hex::encode(step(&[9; 32], 7, &block).unwrap()),
            "90ada1bc78b73953bf675ad89d508a8cb53f525dde3ab5b96664e8c4c330f89f"
        );
    }

    #[test]
    fn every_byte_of_a_block_and_of_a_state_and_the_number_of_a_step_count() {
        let (state, block) = ([9; 32], [5; BLOCK_BYTES]);
        let mut seen = BTreeSet::from([step(&state, 0, &block).unwrap()]);
        for at in 0..BLOCK_BYTES {
            let mut changed = block;
            changed[at] ^= 1;
            assert!(seen.insert(step(&state, 0, &changed).unwrap()), "byte {at}");
        }
        for at in 0..state.len() {
            let mut changed = state;
            changed[at] ^= 1;
            assert!(seen.insert(step(&changed, 0, &block).unwrap()), "byte {at}");
        }
        assert!(seen.insert(step(&state, 1, &block).unwrap()));
    }

    /// Blocks are exchanged, not changed: sums that do not look at places would not tell.
    #[test]
    fn the_place_of_what_is_in_a_block_counts() {
        let mut block = [0; BLOCK_BYTES];
        block[..16].fill(1);
        let mut exchanged = [0; BLOCK_BYTES];
        exchanged[16..32].fill(1);
        assert_ne!(step(&[9; 32], 0, &block), step(&[9; 32], 0, &exchanged));
    }

    #[test]
    fn plans_outside_the_limits_are_named() {
        let bad = [
            ("blocks", ChasePlan { blocks: 63, ..PLAN }),
            ("lanes", ChasePlan { lanes: 0, ..PLAN }),
            ("steps", ChasePlan { steps: 0, ..PLAN }),
            (
                "checkpoint_every",
                ChasePlan {
                    checkpoint_every: 5,
                    ..PLAN
                },
            ),
            (
                "checkpoint_every",
                ChasePlan {
                    checkpoint_every: 0,
                    ..PLAN
                },
            ),
            (
                "checkpoints",
                ChasePlan {
                    steps: 1 << 20,
                    checkpoint_every: 1,
                    ..PLAN
                },
            ),
        ];
        PLAN.validate().unwrap();
        for (name, plan) in bad {
            assert!(
                plan.validate().unwrap_err().to_string().contains(name),
                "{name}"
            );
        }
    }
}
