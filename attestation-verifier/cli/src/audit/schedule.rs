//! Which probes had to exist, and when: beacons, panels and offsets, all recomputed.

use super::case::Case;
use super::inputs::InputSets;
use super::roots::Roots;
use crate::findings::Findings;
use assay_aggregate::draw::{Candidate, PanelOf, Urn};
use assay_aggregate::epoch::Seat;
use assay_protocol::ids::{Beacon, Epoch, HyperNodeId, Seed, Slot};
use assay_protocol::schedule::{genesis_beacon, later_beacon};
use std::collections::{BTreeMap, BTreeSet};

/// What one HyperNode had to do in one epoch.
#[derive(Debug, Clone)]
pub struct Duty {
    /// Slots whose panel it sat on.
    pub slots: BTreeSet<u32>,
    /// Its revealed seed.
    pub seed: Seed,
    /// Public randomness of the epoch.
    pub beacon: Beacon,
}

/// The schedule of all epochs.
#[derive(Debug, Default)]
pub struct Schedule {
    beacons: BTreeMap<Epoch, Beacon>,
    duties: BTreeMap<(HyperNodeId, Epoch), Duty>,
}

impl Schedule {
    /// The beacon of an epoch, when it can be recomputed.
    pub fn beacon(&self, epoch: Epoch) -> Option<Beacon> {
        self.beacons.get(&epoch).copied()
    }

    /// The duties of a HyperNode by epoch.
    pub fn of(&self, hypernode: &HyperNodeId) -> BTreeMap<Epoch, Duty> {
        let mine = self.duties.iter().filter(|((id, _), _)| id == hypernode);
        mine.map(|((_, epoch), duty)| (*epoch, duty.clone()))
            .collect()
    }
}

/// Recomputes beacons and panels.
pub fn recompute(
    findings: &mut Findings,
    case: &Case,
    roots: &Roots,
    inputs: &InputSets,
) -> Schedule {
    let mut schedule = Schedule {
        beacons: beacons(case, inputs),
        ..Schedule::default()
    };
    for (epoch, checked) in roots {
        let about = format!("epoch {epoch}");
        let expected = "a beacon over the seeds revealed two epochs before, or the genesis beacon";
        let Some(beacon) = schedule.beacon(*epoch) else {
            let actual = "the bundle does not hold the epochs it comes from";
            findings.undecided(("schedule/beacon", &about), expected, actual);
            continue;
        };
        findings.holds(("schedule/beacon", &about), true, expected, beacon);
        let panels = panels(case, *epoch, beacon, checked.roster.seats());
        for (id, included) in inputs.get(epoch).into_iter().flatten() {
            let slots = panels.get(id).cloned().unwrap_or_default();
            let duty = Duty {
                slots,
                seed: included.report.seed,
                beacon,
            };
            schedule.duties.insert((*id, *epoch), duty);
        }
    }
    schedule
}

/// Beacons up to the last epoch; one that depends on what the bundle does not hold is missing.
fn beacons(case: &Case, inputs: &InputSets) -> BTreeMap<Epoch, Beacon> {
    let mut beacons = BTreeMap::new();
    for epoch in (0..=case.claim.last.0.min(1)).map(Epoch) {
        beacons.insert(epoch, genesis_beacon(&case.params, &case.network, epoch));
    }
    for number in case.claim.first.0.max(2)..=case.claim.last.0 {
        let source = Epoch(number - 2);
        let Some(before) = beacons.get(&source) else {
            continue;
        };
        if let Some(seeds) = seeds(case, inputs, source) {
            let beacon = later_beacon(&case.network, Epoch(number), before, &seeds);
            beacons.insert(Epoch(number), beacon);
        }
    }
    beacons
}

/// The seeds revealed in an epoch; none in a void one, `None` when the bundle does not say.
fn seeds(case: &Case, inputs: &InputSets, epoch: Epoch) -> Option<Vec<(HyperNodeId, Seed)>> {
    if case.is_void(epoch) {
        return Some(Vec::new());
    }
    let agreed = inputs.get(&epoch)?;
    Some(
        agreed
            .iter()
            .map(|(id, included)| (*id, included.report.seed))
            .collect(),
    )
}

/// For each HyperNode the slots whose panel it is drawn for.
fn panels(
    case: &Case,
    epoch: Epoch,
    beacon: Beacon,
    seats: &[Seat],
) -> BTreeMap<HyperNodeId, BTreeSet<u32>> {
    let urn = Urn::new(seats.iter().map(Candidate::from));
    let mut panels: BTreeMap<HyperNodeId, BTreeSet<u32>> = BTreeMap::new();
    for slot in 0..case.params.slots() {
        let of = PanelOf {
            network: case.network,
            beacon,
            epoch,
            node: case.node(),
            slot: Slot(slot),
        };
        for member in urn.panel(&of, case.params.panel_min as usize) {
            panels.entry(member.hypernode).or_default().insert(slot);
        }
    }
    panels
}
