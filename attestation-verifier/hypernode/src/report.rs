//! Closing slots and epochs: leaves into the log, then the epoch's report.

use crate::clock;
use crate::context::Context;
use crate::store::KeptReport;
use anyhow::{Context as _, Result};
use assay_appraisal::summary::{self, Attested};
use assay_log::Leaf;
use assay_protocol::cose::{self, Signer as _};
use assay_protocol::ids::{Digest, Epoch, NodeId, Slot, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::outcome::{Outcome, OutcomeKind, metric};
use assay_protocol::region::RegionId;
use assay_protocol::report::{NodeReport, RegionReveal, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A slot is closed one slot after its end, so that late recordings of it are in.
pub fn closing_time(context: &Context, epoch: Epoch, slot: Slot) -> UnixMs {
    let start = context.params.slot_start(epoch, slot);
    UnixMs(
        start
            .0
            .saturating_add(context.params.slot_ms.saturating_mul(2)),
    )
}

/// Appends the slot leaves of the current epoch as time goes by. Leaves of slots missed while this HyperNode was down
/// are appended first; [`close_epoch`] appends what is left.
pub async fn close_slots(context: Arc<Context>) -> Result<()> {
    let mut next = (Epoch(0), Slot(0));
    loop {
        let now = context.params.at(clock::now()).unwrap_or_default();
        if next.0 < now.0 {
            next = (now.0, Slot(0));
        }
        clock::sleep_until(closing_time(&context, next.0, next.1)).await;
        context.journal(|journal| journal.close_slot(next.0, next.1))?;
        let following = next.1.0.saturating_add(1);
        next = if following < context.params.slots() {
            (next.0, Slot(following))
        } else {
            (next.0.next(), Slot(0))
        };
    }
}

/// Closes an epoch and returns its report, made once and kept.
pub fn close_epoch(
    context: &Context,
    epoch: Epoch,
    nodes: &BTreeMap<NodeId, Digest>,
) -> Result<KeptReport> {
    if let Some(kept) = context.own_report(epoch)? {
        return Ok(kept);
    }
    for slot in 0..context.params.slots() {
        context.journal(|journal| journal.close_slot(epoch, Slot(slot)))?;
    }
    let mut reports = Vec::new();
    for (node, class) in nodes {
        reports.push(close_node(context, epoch, *node, *class)?);
    }
    let own = context.own;
    context.journal(|journal| journal.checkpoint(&own, |bytes| context.identity.sign(bytes)))?;
    let (log_size, log_root) =
        context.journal(|journal| Ok((journal.tree().size(), journal.tree().root())))?;
    let report = Report {
        network: context.network,
        epoch,
        hypernode: own,
        seed: context.seed(epoch)?,
        log_size,
        log_root,
        nodes: reports,
        at: clock::now(),
    };
    let signed = Blob(cose::seal(report, &context.identity).bytes().to_vec());
    let kept = KeptReport {
        salt: context.random()?,
        signed,
    };
    context.keep_report(epoch, &kept)?;
    Ok(kept)
}

fn close_node(context: &Context, epoch: Epoch, node: NodeId, class: Digest) -> Result<NodeReport> {
    let index = context.journal(|journal| journal.close_node(epoch, node))?;
    let leaf = context.journal(|journal| journal.leaf(index))?;
    let Some(Leaf::Node(leaf)) = leaf else {
        anyhow::bail!("log: leaf {index} is not the node leaf just closed");
    };
    let outcomes = outcomes(context, epoch, node)?;
    let appraisals = appraisals(context, &outcomes)?;
    let panel = panel_slots(context, epoch, node)?;
    Ok(NodeReport {
        node,
        class,
        cells: summary::cells(&outcomes, epoch, context.params.slots(), &panel),
        attest: summary::attest(&appraisals),
        chase: summary::chase(&outcomes),
        outcome_root: leaf.root,
        outcomes: leaf.count,
        reveals: reveals(context, epoch, node)?,
    })
}

/// Own outcomes about a node, in the order of its leaf.
pub fn outcomes(context: &Context, epoch: Epoch, node: NodeId) -> Result<Vec<Outcome>> {
    let records = context.journal(|journal| journal.node_records(epoch, node))?;
    records
        .iter()
        .map(|record| Ok(context.own_outcome(&record.signed)?.into_payload()))
        .collect()
}

fn appraisals(context: &Context, outcomes: &[Outcome]) -> Result<Vec<Attested>> {
    let attests = outcomes
        .iter()
        .filter(|outcome| outcome.kind == OutcomeKind::Attest);
    attests
        .map(|outcome| {
            let evidence = outcome.evidence.first();
            let owner = evidence
                .map(|e| context.owner_of(&e.salted_digest))
                .transpose()?
                .flatten();
            let tier = outcome.metric(metric::TIER).unwrap_or(0);
            Ok(Attested {
                class: outcome.class,
                tier: u8::try_from(tier).unwrap_or(0),
                owner,
            })
        })
        .collect()
}

fn panel_slots(context: &Context, epoch: Epoch, node: NodeId) -> Result<BTreeSet<u32>> {
    let beacon = context
        .beacon(epoch)
        .with_context(|| format!("no beacon for epoch {epoch}"))?;
    let on_panel = |slot: &u32| context.on_panel(beacon, epoch, node, Slot(*slot));
    Ok((0..context.params.slots()).filter(on_panel).collect())
}

/// The keys of regions whose period ends with this epoch, as far as their hash is in the log.
fn reveals(context: &Context, epoch: Epoch, node: NodeId) -> Result<Vec<RegionReveal>> {
    let generation = context.params.region_generation(epoch);
    if !context.params.reveals_regions(epoch) || !key_hash_logged(context, epoch, node)? {
        return Ok(Vec::new());
    }
    let region = 0;
    let key = context.region_key(&node, RegionId { region, generation });
    Ok(vec![RegionReveal {
        region,
        generation,
        key,
    }])
}

fn key_hash_logged(context: &Context, last: Epoch, node: NodeId) -> Result<bool> {
    let first = last
        .0
        .saturating_sub(context.params.region_epochs.saturating_sub(1));
    for epoch in (first..=last.0).map(Epoch) {
        let outcomes = outcomes(context, epoch, node)?;
        if outcomes
            .iter()
            .any(|outcome| outcome.kind == OutcomeKind::RegionKey)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
