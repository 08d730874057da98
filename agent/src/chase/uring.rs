//! One thread, one ring, one outstanding read a lane.

use super::{ChaseError, Checkpoint, Lane};
use crate::duty::Duty;
use crate::histogram::Histogram;
use crate::region::Region;
use assay_protocol::region::BLOCK_BYTES;
use assay_ring::Ring;
use std::io;
use std::time::Instant;

pub fn walk(
    region: &Region,
    lanes: Vec<Lane<'_>>,
    duty: &Duty,
    mut keep: impl FnMut(Checkpoint) -> Result<(), ChaseError>,
) -> Result<Histogram, ChaseError> {
    let count = u32::try_from(lanes.len()).unwrap_or(u32::MAX);
    let ring = Ring::new(region.file(), count).map_err(|source| ChaseError::Lanes {
        lanes: count,
        source,
    })?;
    let mut walk = Walk {
        asked: vec![Instant::now(); lanes.len()],
        lanes,
        ring,
        latency: Histogram::default(),
        under_way: 0,
    };
    let mut meter = duty.meter(1);
    loop {
        walk.ask_all()?;
        let mut goes_on = true;
        while walk.under_way > 0 {
            walk.ring.wait().map_err(ChaseError::Ring)?;
            // Before a rest every lane comes to a halt, so that the disk rests too.
            goes_on = goes_on && !meter.is_due();
            walk.take(goes_on, &mut keep)?;
        }
        if walk.is_done() {
            return Ok(walk.latency);
        }
        meter.rest();
    }
}

struct Walk<'a> {
    ring: Ring,
    lanes: Vec<Lane<'a>>,
    /// When each lane's read was asked for.
    asked: Vec<Instant>,
    latency: Histogram,
    under_way: usize,
}

impl Walk<'_> {
    fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.wants().is_none())
    }

    /// A read for every lane; none is under way.
    fn ask_all(&mut self) -> Result<(), ChaseError> {
        let now = Instant::now();
        (0..self.lanes.len()).try_for_each(|lane| self.ask(lane, now))
    }

    fn ask(&mut self, at: usize, now: Instant) -> Result<(), ChaseError> {
        let lane = &self.lanes[at];
        let Some(block) = lane.wants() else {
            return Ok(());
        };
        let offset = u64::from(block).saturating_mul(BLOCK_BYTES as u64);
        let asked = self.ring.read(lane.number, offset);
        asked.map_err(ChaseError::Ring)?;
        self.asked[at] = now;
        self.under_way += 1;
        Ok(())
    }

    /// Takes every block that came, and asks for the next ones if `goes_on`.
    fn take(
        &mut self,
        goes_on: bool,
        keep: &mut impl FnMut(Checkpoint) -> Result<(), ChaseError>,
    ) -> Result<(), ChaseError> {
        let came = Instant::now();
        let mut waits = false;
        while let Some((slot, outcome)) = self.ring.ended() {
            // The disk does not wait until everything that came is worked through; what the last block asks for goes with `wait`.
            if waits {
                self.ring.submit().map_err(ChaseError::Ring)?;
            }
            let at = slot as usize;
            self.under_way -= 1;
            self.latency
                .add(came.saturating_duration_since(self.asked[at]));
            let lane = &mut self.lanes[at];
            let block = lane.wants().unwrap_or_default();
            outcome.map_err(|source| ChaseError::Read { block, source })?;
            let bytes = self.ring.block(slot).ok_or_else(|| {
                ChaseError::Ring(io::Error::other("a read ended and shows no block"))
            })?;
            if let Some(checkpoint) = lane.advance(bytes)? {
                keep(checkpoint)?;
            }
            if goes_on {
                self.ask(at, Instant::now())?;
            }
            waits = goes_on;
        }
        Ok(())
    }
}
