//! Walks a region with W lanes at once, one thread and one outstanding read each.

use crate::region::{Region, RegionError};
use assay_protocol::chase::{ChasePlan, LaneState, PlanError, index, start, step};
use assay_protocol::ids::Nonce;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Checkpoints waiting to be sent; lanes stall when the peer does not read.
const UNSENT_MAX: usize = 256;

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
    /// No thread for a lane.
    #[error("cannot start {lanes} lanes: {source}")]
    Lanes {
        /// Lanes asked for.
        lanes: u32,
        /// The system's reason.
        source: io::Error,
    },
}

/// Runs `plan` over `region`; every checkpoint goes to `sink` as it appears, in lane order only
/// within its lane. Returns them by lane.
pub fn run(
    region: &Region,
    plan: &ChasePlan,
    nonce: &Nonce,
    mut sink: impl FnMut(Checkpoint) -> io::Result<()>,
) -> Result<Vec<Vec<LaneState>>, ChaseError> {
    plan.validate()?;
    let actual = region.meta().blocks;
    if plan.blocks != actual {
        return Err(ChaseError::Size {
            asked: plan.blocks,
            actual,
        });
    }
    let stop = AtomicBool::new(false);
    let (sender, checkpoints) = sync_channel(UNSENT_MAX);
    let mut lanes = vec![Vec::new(); plan.lanes as usize];
    std::thread::scope(|scope| {
        let mut outcome = Ok(());
        for lane in 0..plan.lanes {
            let (sender, stop) = (sender.clone(), &stop);
            let walk = move || walk(region, plan, nonce, lane, &sender, stop);
            if let Err(source) = std::thread::Builder::new().spawn_scoped(scope, walk) {
                outcome = Err(ChaseError::Lanes {
                    lanes: plan.lanes,
                    source,
                });
                stop.store(true, Ordering::Relaxed);
                break;
            }
        }
        drop(sender);
        for message in checkpoints {
            let sent = message.and_then(|checkpoint| {
                lanes[checkpoint.lane as usize].push(checkpoint.state);
                sink(checkpoint).map_err(ChaseError::Peer)
            });
            if outcome.is_ok() && sent.is_err() {
                stop.store(true, Ordering::Relaxed);
                outcome = sent;
            }
        }
        outcome
    })?;
    Ok(lanes)
}

fn walk(
    region: &Region,
    plan: &ChasePlan,
    nonce: &Nonce,
    lane: u32,
    checkpoints: &SyncSender<Result<Checkpoint, ChaseError>>,
    stop: &AtomicBool,
) {
    let mut reader = region.reader();
    let mut state = start(nonce, plan.id, lane);
    for j in 0..plan.steps {
        let block = index(&state, plan.blocks);
        match reader.read(block) {
            Ok(bytes) => state = step(&state, j, &bytes),
            Err(source) => {
                let _ = checkpoints.send(Err(ChaseError::Read { block, source }));
                return;
            }
        }
        let done = j.saturating_add(1);
        if done % plan.checkpoint_every == 0 {
            let number = done / plan.checkpoint_every - 1;
            let sent = checkpoints.send(Ok(Checkpoint {
                lane,
                number,
                state,
            }));
            if sent.is_err() || stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::RegionStore;
    use assay_protocol::chase::walk as expected_walk;
    use assay_protocol::ids::{Digest, HyperNodeId, RegionKey};
    use assay_protocol::region::{CipherError, Keystream, RegionId};
    use std::os::unix::fs::FileExt as _;

    const OWNER: HyperNodeId = HyperNodeId([1; 32]);
    const ID: RegionId = RegionId {
        region: 0,
        generation: 0,
    };
    const PLAN: ChasePlan = ChasePlan {
        id: ID,
        blocks: 64,
        lanes: 4,
        steps: 200,
        checkpoint_every: 50,
    };

    fn filled(dir: &std::path::Path) -> Region {
        let store = RegionStore::open(dir, 1 << 20).unwrap();
        let mut filling = store
            .begin(OWNER, ID, PLAN.blocks, Digest([0; 32]))
            .unwrap();
        let stream = Keystream::new(&RegionKey([7; 32])).unwrap();
        (0..PLAN.blocks).for_each(|i| filling.append(&stream.block(i).unwrap()).unwrap());
        filling.finish(|_| Vec::new()).unwrap();
        store.get(OWNER, ID).unwrap()
    }

    fn expected(nonce: &Nonce) -> Vec<Vec<LaneState>> {
        let stream = Keystream::new(&RegionKey([7; 32])).unwrap();
        let lane = |lane| expected_walk(&PLAN, nonce, lane, |i| stream.block(i));
        (0..PLAN.lanes)
            .map(|l| lane(l).map_err(|e: CipherError| e).unwrap())
            .collect()
    }

    #[test]
    fn the_walk_is_the_protocols_and_every_checkpoint_is_streamed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let region = filled(dir.path());
        let nonce = Nonce([3; 32]);
        let mut streamed = vec![Vec::new(); 4];
        let lanes = run(&region, &PLAN, &nonce, |c| {
            assert_eq!(streamed[c.lane as usize].len(), c.number as usize);
            streamed[c.lane as usize].push(c.state);
            Ok(())
        });
        assert_eq!(lanes.unwrap(), expected(&nonce));
        assert_eq!(streamed, expected(&nonce));
    }

    #[test]
    fn one_altered_byte_of_every_block_changes_the_walk() {
        let dir = tempfile::tempdir().unwrap();
        let region = filled(dir.path());
        let path = dir.path().join(format!("{OWNER}-0-0.region"));
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        (0..64).for_each(|block| file.write_all_at(&[0xff], block * 4096 + 100).unwrap());
        file.sync_all().unwrap();
        let nonce = Nonce([3; 32]);
        assert_ne!(
            run(&region, &PLAN, &nonce, |_| Ok(())).unwrap(),
            expected(&nonce)
        );
    }

    #[test]
    fn a_cut_file_another_size_and_a_gone_peer_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let region = filled(dir.path());
        let nonce = Nonce([3; 32]);
        let larger = ChasePlan {
            blocks: 128,
            ..PLAN
        };
        assert!(matches!(
            run(&region, &larger, &nonce, |_| Ok(())),
            Err(ChaseError::Size { .. })
        ));
        let gone = run(&region, &PLAN, &nonce, |_| {
            Err(io::ErrorKind::BrokenPipe.into())
        });
        assert!(matches!(gone, Err(ChaseError::Peer(_))));
        let path = dir.path().join(format!("{OWNER}-0-0.region"));
        std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(4096)
            .unwrap();
        let cut = run(&region, &PLAN, &nonce, |_| Ok(()));
        assert!(matches!(cut, Err(ChaseError::Read { .. })));
    }
}
