//! A thread and one read a lane, for kernels that refuse io_uring.

use super::{ChaseError, Checkpoint, Lane};
use crate::duty::Duty;
use crate::histogram::Histogram;
use crate::region::Region;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Checkpoints waiting to be sent; lanes stall when the peer does not read.
const UNSENT_MAX: usize = 256;

/// What the lanes of one chase share.
struct Shared<'a> {
    region: &'a Region,
    duty: &'a Duty,
    lanes: u32,
    stop: AtomicBool,
    latency: Mutex<Histogram>,
}

pub fn walk(
    region: &Region,
    lanes: Vec<Lane<'_>>,
    duty: &Duty,
    mut keep: impl FnMut(Checkpoint) -> Result<(), ChaseError>,
) -> Result<Histogram, ChaseError> {
    let count = u32::try_from(lanes.len()).unwrap_or(u32::MAX);
    let shared = Shared {
        region,
        duty,
        lanes: count,
        stop: AtomicBool::new(false),
        latency: Mutex::default(),
    };
    let (sender, checkpoints) = sync_channel(UNSENT_MAX);
    std::thread::scope(|scope| {
        let mut outcome = Ok(());
        for lane in lanes {
            let (sender, shared) = (sender.clone(), &shared);
            let walk = move || walk_one(shared, lane, &sender);
            if let Err(source) = std::thread::Builder::new().spawn_scoped(scope, walk) {
                outcome = Err(ChaseError::Lanes {
                    lanes: count,
                    source,
                });
                shared.stop.store(true, Ordering::Relaxed);
                break;
            }
        }
        drop(sender);
        for message in checkpoints {
            let kept = message.and_then(&mut keep);
            if outcome.is_ok() && kept.is_err() {
                shared.stop.store(true, Ordering::Relaxed);
                outcome = kept;
            }
        }
        outcome
    })?;
    let latency = shared.latency.into_inner();
    Ok(latency.unwrap_or_else(PoisonError::into_inner))
}

fn walk_one(
    shared: &Shared<'_>,
    mut lane: Lane<'_>,
    checkpoints: &SyncSender<Result<Checkpoint, ChaseError>>,
) {
    let mut reader = shared.region.reader();
    // All lanes together are at the disk for as long as the chase lasts.
    let mut meter = shared.duty.meter(shared.lanes);
    while let Some(block) = lane.wants() {
        if meter.is_due() {
            meter.rest();
        }
        let asked = Instant::now();
        let bytes = match reader.read(block) {
            Ok(bytes) => bytes,
            Err(source) => {
                let _ = checkpoints.send(Err(ChaseError::Read { block, source }));
                return;
            }
        };
        let latency = shared.latency.lock();
        latency
            .unwrap_or_else(PoisonError::into_inner)
            .add(asked.elapsed());
        let advanced = lane.advance(&bytes).map_err(ChaseError::from);
        if let Some(message) = advanced.transpose() {
            let ends = message.is_err();
            let sent = checkpoints.send(message);
            if ends || sent.is_err() || shared.stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}
