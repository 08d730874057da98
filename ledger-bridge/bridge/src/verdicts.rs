//! Every leaf of posted epochs, recomputed from the board and checked against the ledger's roots.

use anyhow::Result;
use assay_aggregate::inputs::History;
use assay_aggregate::root::NodeLeaf;
use assay_aggregate::verdict::{Verdict, reason};
use assay_ledger::AssayLedger;
use assay_protocol::amount::Gwei;
use assay_protocol::ids::{Address, Digest, Epoch, NodeId, Ppm};
use serde::Serialize;
use std::fmt;

use crate::replay;
use crate::store::Store;

/// One node in one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "as in assay_aggregate::root::NodeLeaf")]
pub struct VerdictRow {
    pub epoch: Epoch,
    pub node: NodeId,
    pub owner: Address,
    pub confirmed: bool,
    pub chips: Digest,
    pub verdict: &'static str,
    pub reasons: Vec<&'static str>,
    pub tier: u8,
    pub availability_ppm: Ppm,
    pub lower_ppm: Ppm,
    pub upper_ppm: Ppm,
    pub coverage_ppm: Ppm,
    pub chase_rate: u64,
    pub chase_kind: &'static str,
    pub cumulative_up_slots: u64,
    pub cumulative_down_slots: u64,
    pub cumulative_slash_gwei: u64,
}

impl VerdictRow {
    fn of(leaf: &NodeLeaf, gwei: Gwei) -> Self {
        Self {
            epoch: leaf.epoch,
            node: leaf.node,
            owner: leaf.owner,
            confirmed: leaf.confirmed,
            chips: leaf.chips,
            verdict: Verdict::from_code(leaf.verdict).map_or("unknown", Verdict::name),
            reasons: reason::names(leaf.reasons),
            tier: leaf.tier,
            availability_ppm: leaf.availability,
            lower_ppm: leaf.lower,
            upper_ppm: leaf.upper,
            coverage_ppm: leaf.coverage,
            chase_rate: leaf.chase_rate,
            chase_kind: if leaf.chase_kind == 1 {
                "iops"
            } else {
                "liveness"
            },
            cumulative_up_slots: leaf.cumulative_up_slots,
            cumulative_down_slots: leaf.cumulative_down_slots,
            cumulative_slash_gwei: gwei.whole(leaf.cumulative_slash),
        }
    }
}

impl fmt::Display for VerdictRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "epoch {} node {} tier {} {} {:?} availability {} (>= {}) coverage {} chase {} {} slots {} up {} down slash {} gwei",
            self.epoch,
            self.node,
            self.tier,
            self.verdict,
            self.reasons,
            self.availability_ppm,
            self.lower_ppm,
            self.coverage_ppm,
            self.chase_rate,
            self.chase_kind,
            self.cumulative_up_slots,
            self.cumulative_down_slots,
            self.cumulative_slash_gwei
        )
    }
}

/// The rows of resolved epochs from `first` to `last`, or to the newest.
pub fn read(
    store: &Store,
    ledger: &AssayLedger,
    mut history: History,
    first: Epoch,
    last: Option<Epoch>,
) -> Result<Vec<VerdictRow>> {
    let next = ledger.next_epoch()?;
    replay::expect_resolved(next, first, last)?;
    let end = next.min(last.map_or(Epoch(u64::MAX), Epoch::next));
    let gwei = history.params().gwei();
    let mut rows = Vec::new();
    while history.next() < end {
        let epoch = history.next();
        let posted = replay::follow(store, ledger, &mut history)?;
        if let Some(posted) = posted.filter(|_| epoch >= first) {
            let leaves = posted.outcome.leaves.iter();
            rows.extend(leaves.map(|leaf| VerdictRow::of(leaf, gwei)));
        }
    }
    Ok(rows)
}
