//! Closing slots and epochs: leaves into the log, then the epoch's report.

use crate::clock;
use crate::context::Context;
use crate::ledger_view::Registered;
use crate::store::KeptReport;
use anyhow::{Context as _, Result};
use assay_appraisal::summary::{self, Attested};
use assay_log::Leaf;
use assay_protocol::cose::{self, Authenticated, Signer as _};
use assay_protocol::ids::{Digest, Epoch, NodeId, Slot, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::limits::{REGION_REVEALS_MAX, REPORT_BYTES_MAX, REPORT_NODES_MAX};
use assay_protocol::outcome::{Outcome, OutcomeKind, metric};
use assay_protocol::params::NetworkParams;
use assay_protocol::region::RegionId;
use assay_protocol::report::{NodeReport, RegionReveal, Report, node_report_bytes_max};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Pause between two looks at what was read of the ledger.
const POLL: Duration = Duration::from_millis(200);
/// Nodes that surely fit a report, so that nobody's registrations can make one unreadable.
pub fn nodes_max(params: &NetworkParams) -> usize {
    (REPORT_BYTES_MAX / node_report_bytes_max(params.slots())).min(REPORT_NODES_MAX)
}

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

/// Closes the epochs before `before` whose end this HyperNode missed, as far as something was recorded in them and the ledger
/// has resolved them. No clock that is ahead closes an epoch that is not over, and nothing is written for one without outcomes.
pub fn close_missed(context: &Context, before: Epoch) -> Result<()> {
    let resolved = context.history(|history| history.next());
    let before = before.min(resolved);
    for missed in context.journal(|journal| journal.epochs(before))? {
        if context.closed_at(missed)?.is_none() {
            let nodes = context.journal(|journal| journal.nodes(missed))?;
            close_journal(context, missed, nodes)?;
        }
    }
    Ok(())
}

/// Appends what is left of an epoch to the log and signs a checkpoint; done once, and for epochs that this HyperNode missed
/// the end of, too: what it acknowledged in them stays provable. Returns the size of the log.
pub fn close_journal(
    context: &Context,
    epoch: Epoch,
    nodes: impl IntoIterator<Item = NodeId>,
) -> Result<u64> {
    if let Some(size) = context.closed_at(epoch)? {
        return Ok(size);
    }
    for slot in 0..context.params.slots() {
        context.journal(|journal| journal.close_slot(epoch, Slot(slot)))?;
    }
    for node in nodes {
        context.journal(|journal| journal.close_node(epoch, node))?;
    }
    let own = context.own;
    // Under one lock: a slot leaf between the two would leave the size without a checkpoint.
    let size = context.journal(|journal| {
        journal.checkpoint(&own, |bytes| context.identity.sign(bytes))?;
        Ok(journal.tree().size())
    })?;
    context.keep_closed(epoch, size)?;
    Ok(size)
}

/// The report of an epoch that has ended: the one that was made, or a new one about the nodes that the ledger has.
pub async fn make(context: &Context, epoch: Epoch) -> Result<KeptReport> {
    match context.own_report(epoch)? {
        Some(kept) => Ok(kept),
        None => close_epoch(context, epoch, &nodes_to_report(context, epoch).await),
    }
}

/// The nodes of an epoch as last read, of classes this network has, as many as a report holds.
pub fn nodes(context: &Context, epoch: Epoch) -> Vec<Registered> {
    context.history(|history| context.ledger.settled(history.states()));
    let mut nodes = context.ledger.nodes(epoch);
    nodes.retain(|node| context.classes.contains_key(&node.class));
    let max = nodes_max(&context.params);
    if nodes.len() > max {
        context.note(format!(
            "{} nodes are registered, this network's reports hold {max}",
            nodes.len()
        ));
        nodes.truncate(max);
    }
    nodes
}

/// The nodes that an epoch's report speaks of: as read after its end, or, while the ledger does not answer, as read last. Its
/// commit must be on the board early, so it waits for a quarter of the time of commits only; who has read nothing yet, for
/// half of it. An old list does no harm: which claims are judged is read from the ledger when the root is computed, so what
/// is said about a node that left is not counted, and about one that came later nothing was found out yet.
async fn nodes_to_report(context: &Context, epoch: Epoch) -> BTreeMap<NodeId, Digest> {
    let end = context.params.epoch_end(epoch);
    let commits = |part: u64| UnixMs(end.0.saturating_add(context.params.commit_ms / part));
    loop {
        let read_at = context.ledger.read_at();
        let deadline = commits(if read_at.is_some() { 4 } else { 2 });
        if read_at.is_some_and(|at| at >= end) {
            break;
        }
        if clock::now() >= deadline {
            context.note(match read_at {
                Some(_) => format!("epoch {epoch}: its report is about the nodes that the ledger had before its end"),
                None => format!("epoch {epoch}: the ledger was never read: its report is about no node"),
            });
            break;
        }
        tokio::time::sleep(POLL.min(clock::until(deadline))).await;
    }
    let nodes = nodes(context, epoch).into_iter();
    nodes.map(|node| (node.node, node.class)).collect()
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
    let log_size = close_journal(context, epoch, nodes.keys().copied())?;
    let mut reports = Vec::new();
    for (node, class) in nodes {
        reports.push(report_node(context, epoch, *node, *class)?);
    }
    let report = Report {
        network: context.network,
        epoch,
        hypernode: context.own,
        seed: context.seed(epoch)?,
        log_size,
        log_root: context.journal(|journal| Ok(journal.tree().root_at(log_size)?))?,
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

fn report_node(context: &Context, epoch: Epoch, node: NodeId, class: Digest) -> Result<NodeReport> {
    let index = context.journal(|journal| journal.close_node(epoch, node))?;
    let leaf = context.journal(|journal| journal.leaf(index))?;
    let Some(Leaf::Node(leaf)) = leaf else {
        anyhow::bail!("log: leaf {index} is not the node's leaf");
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

/// Own outcomes about a node, in the order of its leaf. One that cannot be read, which an older program may have written,
/// is left out: no report would ever be made with it.
pub fn outcomes(context: &Context, epoch: Epoch, node: NodeId) -> Result<Vec<Outcome>> {
    let records = context.journal(|journal| journal.node_records(epoch, node))?;
    let read = records.iter().filter_map(|record| {
        let opened = context.own_outcome(&record.signed);
        let told = |error: &anyhow::Error| {
            context.note(format!(
                "epoch {epoch}, node {node}: an outcome of slot {} cannot be read and does not count: {error:#}",
                record.slot
            ));
        };
        opened.inspect_err(told).ok()
    });
    Ok(read.map(Authenticated::into_payload).collect())
}

fn appraisals(context: &Context, outcomes: &[Outcome]) -> Result<Vec<Attested>> {
    let attests = outcomes
        .iter()
        .filter(|outcome| outcome.kind == OutcomeKind::Attest);
    attests
        .map(|outcome| {
            let (owner, chips) = match outcome.evidence.first() {
                Some(evidence) => (
                    context.owner_of(&evidence.salted_digest)?,
                    context.chips_of(&evidence.salted_digest)?,
                ),
                None => (None, None),
            };
            let tier = outcome.metric(metric::TIER).unwrap_or(0);
            Ok(Attested {
                class: outcome.class,
                tier: u8::try_from(tier).unwrap_or(0),
                owner,
                chips,
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

/// The keys of regions whose period is over, as far as their hash is in the log: the one that ends with this epoch, and
/// the one before it once more, in case the report that revealed it first was never agreed. For who has no say in the next
/// epoch every period is over.
fn reveals(context: &Context, epoch: Epoch, node: NodeId) -> Result<Vec<RegionReveal>> {
    let current = context.params.region_generation(epoch);
    let leaves = context.has_say(epoch.next()) == Some(false);
    let is_over = context.params.reveals_regions(epoch);
    let this = (is_over || leaves).then_some(current);
    let ended: [_; REGION_REVEALS_MAX] = [current.checked_sub(1), this];
    let mut reveals = Vec::new();
    for generation in ended.into_iter().flatten() {
        if key_hash_logged(context, generation, node)? {
            if generation == current && !is_over {
                context.keep_told_early(current)?;
            }
            let region = 0;
            let key = context.region_key(&node, RegionId { region, generation });
            reveals.push(RegionReveal {
                region,
                generation,
                key,
            });
        }
    }
    Ok(reveals)
}

fn key_hash_logged(context: &Context, generation: u64, node: NodeId) -> Result<bool> {
    let period = context.params.region_epochs;
    let first = generation.saturating_mul(period);
    for epoch in (first..first.saturating_add(period)).map(Epoch) {
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
