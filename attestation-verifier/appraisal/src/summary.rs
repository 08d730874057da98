//! From one HyperNode's outcomes about a node to what its report says of it. The HyperNode builds its report
//! with these functions and the auditor recomputes it with them.

use assay_protocol::ids::{Address, Digest, Epoch};
use assay_protocol::item::Blob;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, metric};
use assay_protocol::report::{AttestSummary, Cell, ChaseKind, ChaseSummary};
use std::collections::BTreeSet;

/// The cells of an epoch: one per slot. `panel` holds the slots in which this HyperNode had to probe.
/// A slot of the panel without exactly one probe outcome is inconclusive, never up and never down.
pub fn cells(outcomes: &[Outcome], epoch: Epoch, slots: u32, panel: &BTreeSet<u32>) -> Blob {
    let cell = |slot: u32| -> Cell {
        if !panel.contains(&slot) {
            return Cell::None;
        }
        let mut probes = outcomes.iter().filter(|outcome| {
            outcome.kind == OutcomeKind::Probe
                && outcome.place.0 == epoch
                && outcome.place.1.0 == slot
        });
        match (probes.next(), probes.next()) {
            (Some(only), None) => cell_of(only.class),
            _ => Cell::Inconclusive,
        }
    };
    Blob((0..slots).map(|slot| cell(slot) as u8).collect())
}

/// Only silence beside good control probes counts against the node; a probe knows no wrong answer that proves anything.
fn cell_of(class: OutcomeClass) -> Cell {
    match class {
        OutcomeClass::Pass => Cell::Answered,
        OutcomeClass::Unreachable => Cell::Unanswered,
        OutcomeClass::Fail | OutcomeClass::VerifierFault | OutcomeClass::Inconclusive => {
            Cell::Inconclusive
        }
        OutcomeClass::Excluded => Cell::Excluded,
    }
}

/// One conclusive appraisal of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attested {
    /// `pass` or `fail`; anything else proves nothing.
    pub class: OutcomeClass,
    /// Tier reached.
    pub tier: u8,
    /// Provider proven by the measured configuration.
    pub owner: Option<Address>,
    /// Digest over the processors' ids, when one of them was proven.
    pub chips: Option<Digest>,
}

/// `fail` as soon as one appraisal of the epoch failed, `pass` when at least one passed and none failed,
/// else inconclusive. The tier is the lowest one of the passed, owner and processors those of the last evidence that proved any.
pub fn attest(appraisals: &[Attested]) -> AttestSummary {
    let classes = appraisals.iter().map(|appraisal| appraisal.class);
    let class = verdict_of(classes);
    let passed = appraisals
        .iter()
        .filter(|appraisal| appraisal.class == OutcomeClass::Pass);
    let lowest = passed.map(|appraisal| appraisal.tier).min().unwrap_or(0);
    AttestSummary {
        class,
        tier: if class == OutcomeClass::Pass {
            lowest
        } else {
            0
        },
        owner: appraisals
            .iter()
            .rev()
            .find_map(|appraisal| appraisal.owner),
        chips: appraisals
            .iter()
            .rev()
            .find_map(|appraisal| appraisal.chips),
    }
}

/// `fail` as soon as one chase failed, `pass` when at least one passed and none failed, else inconclusive.
/// The rate is the lower median of the passed; it counts as `iops` only when every one of them does.
pub fn chase(outcomes: &[Outcome]) -> ChaseSummary {
    let chases = || {
        outcomes
            .iter()
            .filter(|outcome| outcome.kind == OutcomeKind::Chase)
    };
    let passed = || chases().filter(|outcome| outcome.class == OutcomeClass::Pass);
    let mut rates: Vec<u64> = passed()
        .filter_map(|outcome| outcome.metric(metric::CHASE_READS_PER_S))
        .collect();
    rates.sort_unstable();
    let middle = rates.len().saturating_sub(1) / 2;
    let all_iops = passed().all(|outcome| outcome.metric(metric::CHASE_IS_IOPS) == Some(1));
    ChaseSummary {
        class: verdict_of(chases().map(|outcome| outcome.class)),
        reads_per_s: rates.get(middle).copied().unwrap_or(0),
        kind: if all_iops && !rates.is_empty() {
            ChaseKind::Iops
        } else {
            ChaseKind::Liveness
        },
    }
}

fn verdict_of(classes: impl Iterator<Item = OutcomeClass>) -> OutcomeClass {
    classes.fold(OutcomeClass::Inconclusive, |so_far, class| {
        match (so_far, class) {
            (_, OutcomeClass::Fail) | (OutcomeClass::Fail, _) => OutcomeClass::Fail,
            (_, OutcomeClass::Pass) | (OutcomeClass::Pass, _) => OutcomeClass::Pass,
            _ => OutcomeClass::Inconclusive,
        }
    })
}

/// Whether a chase counts as `iops`: cache fraction c = RAM ÷ live regions at most 1/4 (ARCHITECTURE section 8).
pub fn chase_kind(memory_bytes: u64, live_region_bytes: u64) -> ChaseKind {
    let four_c = memory_bytes.checked_mul(4);
    match four_c {
        Some(needed) if needed <= live_region_bytes && needed > 0 => ChaseKind::Iops,
        _ => ChaseKind::Liveness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::{Digest, HyperNodeId, NetworkId, NodeId, Slot, UnixMs};

    fn outcome(kind: OutcomeKind, slot: u32, class: OutcomeClass, rate: u64) -> Outcome {
        Outcome {
            schema: 1,
            kind,
            network: NetworkId([0; 32]),
            node: NodeId([0; 32]),
            hypernode: HyperNodeId([0; 32]),
            place: (Epoch(1), Slot(slot)),
            window: (UnixMs(0), UnixMs(0)),
            class,
            metrics: vec![
                (metric::CHASE_READS_PER_S, rate),
                (metric::CHASE_IS_IOPS, 0),
            ],
            evidence: Vec::new(),
            policy: Digest([0; 32]),
            r: [0; 32],
            detail: String::new(),
        }
    }

    #[test]
    fn cells_follow_the_panel_and_missing_or_doubled_probes_decide_nothing() {
        let probe = |slot, class| outcome(OutcomeKind::Probe, slot, class, 0);
        let outcomes = [
            probe(0, OutcomeClass::Pass),
            probe(1, OutcomeClass::Unreachable),
            probe(2, OutcomeClass::Pass),
            probe(2, OutcomeClass::Pass),
            probe(4, OutcomeClass::Pass),
            probe(5, OutcomeClass::VerifierFault),
        ];
        let panel = BTreeSet::from([0, 1, 2, 3, 5]);
        assert_eq!(cells(&outcomes, Epoch(1), 6, &panel).0, [1, 2, 3, 3, 0, 3]);
        assert_eq!(cells(&outcomes, Epoch(2), 6, &panel).0, [3, 3, 3, 3, 0, 3]);
    }

    #[test]
    fn one_failed_appraisal_fails_the_epoch_but_keeps_the_proven_owner() {
        let owner = Some(Address([1; 20]));
        let good = Attested {
            class: OutcomeClass::Pass,
            tier: 1,
            owner,
            chips: Some(Digest([1; 32])),
        };
        let bad = Attested {
            class: OutcomeClass::Fail,
            tier: 0,
            owner,
            chips: Some(Digest([2; 32])),
        };
        let none = Attested {
            class: OutcomeClass::Unreachable,
            tier: 0,
            owner: None,
            chips: None,
        };
        assert_eq!(attest(&[good, none]).class, OutcomeClass::Pass);
        assert_eq!(attest(&[good, none]).tier, 1);
        assert_eq!(
            attest(&[bad, good]),
            AttestSummary {
                class: OutcomeClass::Fail,
                tier: 0,
                owner,
                chips: Some(Digest([1; 32])),
            }
        );
        assert_eq!(attest(&[none]).class, OutcomeClass::Inconclusive);
        assert_eq!(attest(&[]).owner, None);
        assert_eq!(attest(&[good, bad, none]).chips, bad.chips);
        assert_eq!(attest(&[none]).chips, None);
    }

    #[test]
    fn the_rate_is_a_lower_median_of_passed_chases() {
        let chased = |class, rate| outcome(OutcomeKind::Chase, 0, class, rate);
        let pass = OutcomeClass::Pass;
        let four = [
            chased(pass, 4),
            chased(pass, 1),
            chased(pass, 3),
            chased(pass, 2),
        ];
        let summary = chase(&four);
        assert_eq!((summary.class, summary.reads_per_s), (pass, 2));
        let failed = [chased(pass, 4), chased(OutcomeClass::Fail, 0)];
        assert_eq!(chase(&failed).class, OutcomeClass::Fail);
        assert_eq!(chase(&[]).class, OutcomeClass::Inconclusive);
    }

    #[test]
    fn the_rate_counts_as_iops_only_when_every_passed_chase_does() {
        let chased = |class, rate, iops| Outcome {
            metrics: vec![
                (metric::CHASE_READS_PER_S, rate),
                (metric::CHASE_IS_IOPS, iops),
            ],
            ..outcome(OutcomeKind::Chase, 0, class, 0)
        };
        let pass = OutcomeClass::Pass;
        let mut five: Vec<Outcome> = [5, 1, 4, 2, 3].map(|rate| chased(pass, rate, 1)).into();
        let summary = chase(&five);
        assert_eq!((summary.reads_per_s, summary.kind), (3, ChaseKind::Iops));
        five[2] = chased(pass, 4, 0);
        assert_eq!(chase(&five).kind, ChaseKind::Liveness);
        let none_passed = [chased(OutcomeClass::Unreachable, 9, 1)];
        assert_eq!(chase(&none_passed).kind, ChaseKind::Liveness);
        assert_eq!(chase(&[]).kind, ChaseKind::Liveness);
    }

    #[test]
    fn regions_smaller_than_four_times_the_memory_prove_liveness_only() {
        assert_eq!(chase_kind(1 << 30, 1 << 32), ChaseKind::Iops);
        assert_eq!(chase_kind((1 << 30) + 1, 1 << 32), ChaseKind::Liveness);
        assert_eq!(chase_kind(u64::MAX, u64::MAX), ChaseKind::Liveness);
        assert_eq!(chase_kind(0, 1), ChaseKind::Liveness);
    }
}
