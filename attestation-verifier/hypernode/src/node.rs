//! What is done about one node: a census task that probes on time, and a work task for everything longer.

use crate::agent_link::AgentLink;
use crate::challenge::{Asking, attest, chase, enrol, fill, probe};
use crate::clock;
use crate::context::Context;
use crate::ledger_view::Registered;
use crate::succession;
use anyhow::Result;
use assay_protocol::ids::{Beacon, Epoch, NodeId, Slot, UnixMs};
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::region::RegionId;
use assay_protocol::schedule;
use assay_protocol::succession::Lineage;
use std::sync::Arc;
use tokio::sync::Notify;

/// Starts both tasks of a node.
pub fn start(context: &Arc<Context>, node: NodeId) {
    let lost = Arc::new(Notify::new());
    let (first, first_lost) = (Arc::clone(context), Arc::clone(&lost));
    tokio::spawn(async move {
        let Err(error) = census(first, node, first_lost).await;
        fatal("census", node, &error);
    });
    let second = Arc::clone(context);
    tokio::spawn(async move {
        let Err(error) = work(second, node, lost).await;
        fatal("work", node, &error);
    });
}

/// Recording failed (a full disk, say): without a journal this HyperNode must not go on judging.
fn fatal(task: &str, node: NodeId, error: &anyhow::Error) -> ! {
    eprintln!("error: {task} of node {node}: {}", crate::explain(error));
    std::process::exit(3);
}

enum Never {}

/// Probes in every slot whose panel has this HyperNode.
async fn census(context: Arc<Context>, node: NodeId, lost: Arc<Notify>) -> Result<Never> {
    let mut link = None;
    let mut next = next_slot(&context);
    loop {
        clock::sleep_until(context.params.slot_start(next.0, next.1)).await;
        if let Some(at) = probe_time(&context, node, next.0, next.1)? {
            clock::sleep_until(at).await;
            let late_ms = clock::now().0.saturating_sub(at.0);
            if late_ms > context.params.clock_skew_ms_max {
                // Too late to be this slot's scheduled probe: it counts as not made.
                eprintln!(
                    "note: probe of {node} in slot {} was {late_ms} ms late",
                    next.1
                );
            } else if probed(&context, node, next, &mut link).await? != OutcomeClass::Pass {
                lost.notify_one();
            }
        }
        let now = context.params.at(clock::now()).unwrap_or_default();
        next = after(&context, next).max(now);
    }
}

async fn probed(
    context: &Arc<Context>,
    node: NodeId,
    place: (Epoch, Slot),
    link: &mut Option<AgentLink>,
) -> Result<OutcomeClass> {
    let Some(registered) = context.ledger.node(&node, place.0) else {
        return Ok(OutcomeClass::Excluded);
    };
    let session = context.binding(&node)?.map(|binding| probe::Session {
        key: binding.session_key,
        holds: binding.holds_in(place.0),
    });
    let asking = Asking::begin(context, &registered, place)?;
    probe::run(context, &asking, link, session).await
}

/// When to probe in this slot; `None` when this HyperNode is not on its panel.
fn probe_time(context: &Context, node: NodeId, epoch: Epoch, slot: Slot) -> Result<Option<UnixMs>> {
    let Some(beacon) = context.beacon(epoch) else {
        return Ok(None);
    };
    if !context.on_panel(beacon, epoch, node, slot) {
        return Ok(None);
    }
    let window = schedule::probe_window_ms(&context.params);
    let seed = context.seed(epoch)?;
    let offset = schedule::probe_offset_ms(&seed, &beacon, &node, slot, window);
    let start = context.params.slot_start(epoch, slot);
    Ok(Some(UnixMs(start.0.saturating_add(offset))))
}

/// The first slot that has not begun yet.
fn next_slot(context: &Context) -> (Epoch, Slot) {
    match context.params.at(clock::now()) {
        Some(now) => after(context, now),
        None => (Epoch(0), Slot(0)),
    }
}

fn after(context: &Context, (epoch, slot): (Epoch, Slot)) -> (Epoch, Slot) {
    let next = slot.0.saturating_add(1);
    if next < context.params.slots() {
        (epoch, Slot(next))
    } else {
        (epoch.next(), Slot(0))
    }
}

/// What was done in an epoch.
#[derive(Default)]
struct Done {
    epoch: Option<Epoch>,
    attested: bool,
    chased: bool,
    /// First epoch of the roster that the agent was told last.
    told: Option<Epoch>,
    /// Place and randomness of the epoch's chase, once asked.
    chase: Option<((Epoch, Slot), [u8; 32])>,
}

/// The slot from which this HyperNode chases, drawn within the first quarter of the epoch, so that the HyperNodes of a
/// network do not all wait for the same disk at once.
fn chase_slot(context: &Context, node: NodeId, epoch: Epoch) -> Result<Slot> {
    let beacon = context.beacon(epoch).unwrap_or(Beacon([0; 32]));
    let quarter = u64::from((context.params.slots() / 4).max(1));
    let drawn = schedule::probe_offset_ms(
        &context.seed(epoch)?,
        &beacon,
        &node,
        Slot(u32::MAX),
        quarter,
    );
    Ok(Slot(u32::try_from(drawn).unwrap_or(0)))
}

/// Enrols, attests, fills and chases; at most one round a slot, so that each kind has one outcome in it. In an epoch in
/// which this HyperNode has no say, nothing.
async fn work(context: Arc<Context>, node: NodeId, lost: Arc<Notify>) -> Result<Never> {
    let mut done = Done::default();
    let mut first = true;
    loop {
        if !std::mem::take(&mut first) {
            let next = next_slot(&context);
            let start = context.params.slot_start(next.0, next.1);
            clock::sleep_until(start).await;
        }
        let Some(place) = context.params.at(clock::now()) else {
            clock::sleep_until(context.params.epoch_start(Epoch(0))).await;
            continue;
        };
        if done.epoch != Some(place.0) {
            done = Done {
                epoch: Some(place.0),
                ..Done::default()
            };
        }
        let silent = tokio::time::timeout(std::time::Duration::ZERO, lost.notified())
            .await
            .is_ok();
        if silent {
            done.attested = false;
        }
        let registered = context.ledger.node(&node, place.0);
        let has_say = context.has_say(place.0) != Some(false);
        if let Some(node) = registered.filter(|_| has_say) {
            round(&context, &node, place, &mut done).await?;
            let newest = Some(context.lineage(Lineage::newest));
            if done.told != newest && succession::tell(&context, &node).await? {
                done.told = newest;
            }
        }
    }
}

/// Fills and chases do not begin in the last tenth of an epoch.
fn last_slots(context: &Context, slot: Slot) -> bool {
    let slots = context.params.slots();
    slot.0 >= slots.saturating_sub((slots / 10).max(1))
}

async fn round(
    context: &Context,
    node: &Registered,
    place: (Epoch, Slot),
    done: &mut Done,
) -> Result<()> {
    let record = match context.enrolment(&node.node)? {
        Some(record) => record,
        None => match enrol::run(&Asking::begin(context, node, place)?).await? {
            Some(record) => record,
            None => return Ok(()),
        },
    };
    if !done.attested {
        let class = attest::run(&Asking::begin(context, node, place)?, &record).await?;
        done.attested = matches!(class, OutcomeClass::Pass | OutcomeClass::Fail);
    }
    let binding = context
        .binding(&node.node)?
        .filter(|binding| binding.holds_in(place.0));
    let ready = done.attested && !last_slots(context, place.1);
    let Some(binding) = binding.filter(|_| ready) else {
        return Ok(());
    };
    let generation = context.params.region_generation(place.0);
    // It left within the period, told its keys, and came back: the node could make the blocks by now.
    if context.is_told_early(generation)? {
        return Ok(());
    }
    let id = RegionId {
        region: 0,
        generation,
    };
    if context.receipt(&node.node, id)?.is_none() {
        let asking = Asking::begin(context, node, place)?;
        fill::run(&asking, binding.session_key, id).await?;
    } else if !done.chased && place.1 >= chase_slot(context, node.node, place.0)? {
        let asking = Asking::begin(context, node, place)?;
        let unfinished = *done.chase.get_or_insert((asking.place, asking.r));
        let class = chase::run(&asking.again(unfinished), binding.session_key, id).await?;
        done.chased = matches!(class, OutcomeClass::Pass | OutcomeClass::Fail);
    }
    Ok(())
}
