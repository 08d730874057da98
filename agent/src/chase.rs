//! Walks a region with W lanes at once, each with one outstanding read.
//!
//! Through io_uring by one thread where the kernel lets us, else by a thread a lane; the states are the same.

mod threads;
mod uring;

use crate::duty::Duty;
use crate::histogram::Histogram;
use crate::region::{Region, RegionError};
use assay_protocol::chase::{ChasePlan, LaneState, PlanError, index, start, step};
use assay_protocol::ids::Nonce;
use assay_protocol::region::{BLOCK_BYTES, CipherError};
use std::fmt;
use std::io;

/// One lane's state after a multiple of `checkpoint_every` steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Lane, from 0.
    pub lane: u32,
    /// Number of this checkpoint within its lane, from 0.
    pub number: u32,
    /// The state.
    pub state: LaneState,
}

/// Why a chase ended early.
#[derive(Debug, thiserror::Error)]
pub enum ChaseError {
    /// The plan is outside its limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The region is not there.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The plan is for a region of another size.
    #[error("chase over {asked} blocks, the region has {actual}")]
    Size {
        /// Blocks in the plan.
        asked: u32,
        /// Blocks in the region.
        actual: u32,
    },
    /// The disk failed a read.
    #[error("block {block} cannot be read: {source}")]
    Read {
        /// Block index.
        block: u32,
        /// The system's reason.
        source: io::Error,
    },
    /// The peer went away.
    #[error("checkpoint not sent: {0}")]
    Peer(#[source] io::Error),
    /// No thread or no ring for the lanes.
    #[error("cannot start {lanes} lanes: {source}")]
    Lanes {
        /// Lanes asked for.
        lanes: u32,
        /// The system's reason.
        source: io::Error,
    },
    /// The cipher refused a step.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// The ring stopped taking reads.
    #[error("io_uring: {0}")]
    Ring(#[source] io::Error),
}

/// How lanes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One thread, all reads outstanding in one ring.
    IoUring,
    /// One thread a lane.
    Threads,
}

impl Engine {
    /// What this kernel lets us use, and why not the ring when it does not.
    pub fn of_this_kernel() -> (Self, Option<io::Error>) {
        match assay_ring::probe() {
            Ok(()) => (Self::IoUring, None),
            Err(error) => (Self::Threads, Some(error)),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Threads => "threads",
        })
    }
}

/// A chase that went to its end.
#[derive(Debug)]
pub struct Walked {
    /// Checkpoints by lane, the final state last.
    pub lanes: Vec<Vec<LaneState>>,
    /// Latencies of all reads, in nanoseconds, from asking the kernel to having the block.
    pub latency: Histogram,
}

/// Runs `plan` over `region`; every checkpoint goes to `sink` as it appears, in order within its lane. Rests when
/// `duty` says so.
pub fn run(
    region: &Region,
    (plan, nonce): (&ChasePlan, &Nonce),
    (engine, duty): (Engine, &Duty),
    mut sink: impl FnMut(Checkpoint) -> io::Result<()>,
) -> Result<Walked, ChaseError> {
    plan.validate()?;
    let actual = region.meta().blocks;
    if plan.blocks != actual {
        return Err(ChaseError::Size {
            asked: plan.blocks,
            actual,
        });
    }
    let mut kept = vec![Vec::new(); plan.lanes as usize];
    let keep = |checkpoint: Checkpoint| {
        kept[checkpoint.lane as usize].push(checkpoint.state);
        sink(checkpoint).map_err(ChaseError::Peer)
    };
    let lanes = (0..plan.lanes)
        .map(|number| Lane::new(plan, nonce, number))
        .collect();
    let latency = match engine {
        Engine::IoUring => uring::walk(region, lanes, duty, keep)?,
        Engine::Threads => threads::walk(region, lanes, duty, keep)?,
    };
    Ok(Walked {
        lanes: kept,
        latency,
    })
}

/// One lane on its way.
#[derive(Debug)]
struct Lane<'a> {
    plan: &'a ChasePlan,
    number: u32,
    done: u32,
    state: LaneState,
}

impl<'a> Lane<'a> {
    fn new(plan: &'a ChasePlan, nonce: &Nonce, number: u32) -> Self {
        Self {
            plan,
            number,
            done: 0,
            state: start(nonce, plan.id, number),
        }
    }

    /// The block it needs next; nothing at its end.
    fn wants(&self) -> Option<u32> {
        (self.done < self.plan.steps).then(|| index(&self.state, self.plan.blocks))
    }

    /// One step on, over the block it wanted; a checkpoint after every so many.
    fn advance(&mut self, block: &[u8; BLOCK_BYTES]) -> Result<Option<Checkpoint>, CipherError> {
        self.state = step(&self.state, self.done, block)?;
        self.done = self.done.saturating_add(1);
        let every = self.plan.checkpoint_every;
        let due = self.done.checked_rem(every) == Some(0);
        Ok(due.then(|| Checkpoint {
            lane: self.number,
            number: self.done / every - 1,
            state: self.state,
        }))
    }
}

#[cfg(test)]
mod tests;
