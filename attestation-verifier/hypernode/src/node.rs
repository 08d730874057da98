//! What is done about one node: a census task that probes on time, and a work task for everything longer.

use crate::challenge::{Asking, attest, chase, enrol, fill, probe};
use crate::clock;
use crate::context::Context;
use crate::ledger_view::Registered;
use anyhow::Result;
use assay_protocol::ids::{Epoch, Slot, UnixMs};
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::region::RegionId;
use assay_protocol::schedule;
use std::sync::Arc;
use tokio::sync::Notify;

/// Starts both tasks of a node.
pub fn start(context: Arc<Context>, node: Registered) {
    let lost = Arc::new(Notify::new());
    let name = node.node.to_string();
    let (first, second) = (Arc::clone(&context), context);
    let (census_node, census_lost) = (node.clone(), Arc::clone(&lost));
    tokio::spawn(async move {
        let Err(error) = census(first, census_node, census_lost).await;
        fatal("census", &name, &error);
    });
    let name = node.node.to_string();
    tokio::spawn(async move {
        let Err(error) = work(second, node, lost).await;
        fatal("work", &name, &error);
    });
}

/// Recording failed (a full disk, say): without a journal this HyperNode must not go on judging.
fn fatal(task: &str, node: &str, error: &anyhow::Error) -> ! {
    eprintln!("error: {task} of node {node}: {error:#}");
    std::process::exit(3);
}

enum Never {}

/// Probes in every slot whose panel has this HyperNode.
async fn census(context: Arc<Context>, node: Registered, lost: Arc<Notify>) -> Result<Never> {
    let mut link = None;
    let mut next = next_slot(&context);
    loop {
        let (epoch, slot) = next;
        let start = context.params.slot_start(epoch, slot);
        clock::sleep_until(start).await;
        if let Some(at) = probe_time(&context, &node, epoch, slot)? {
            clock::sleep_until(at).await;
            let session = context.binding(&node.node)?.map(|binding| probe::Session {
                key: binding.session_key,
                holds: binding.holds_in(epoch),
            });
            let asking = Asking::begin(&context, &node, (epoch, slot))?;
            let late = clock::now().0 > at.0.saturating_add(context.params.clock_skew_ms_max);
            if late {
                // Too late to be this slot's scheduled probe: it counts as not made.
                eprintln!(
                    "note: probe of {} in slot {slot} was {} ms late",
                    node.node,
                    clock::now().0.saturating_sub(at.0)
                );
            } else if probe::run(&context, &asking, &mut link, session).await? != OutcomeClass::Pass
            {
                lost.notify_one();
            }
        }
        next = after(&context, next).max(next_slot(&context));
    }
}

/// When to probe in this slot; `None` when this HyperNode is not on its panel.
fn probe_time(
    context: &Context,
    node: &Registered,
    epoch: Epoch,
    slot: Slot,
) -> Result<Option<UnixMs>> {
    let Some(beacon) = context.beacon(epoch) else {
        return Ok(None);
    };
    if !context.on_panel(beacon, epoch, node.node, slot) {
        return Ok(None);
    }
    let window = schedule::probe_window_ms(&context.params);
    let seed = context.seed(epoch)?;
    let offset = schedule::probe_offset_ms(&seed, &beacon, &node.node, slot, window);
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
}

/// Enrols, attests, fills and chases; at most one round a slot, so that each kind has one outcome in it.
async fn work(context: Arc<Context>, node: Registered, lost: Arc<Notify>) -> Result<Never> {
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
        if !last_slots(&context, place.1) {
            round(&context, &node, place, &mut done).await?;
        }
    }
}

/// Long challenges do not begin in the last tenth of an epoch.
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
    let Some(binding) = binding.filter(|_| done.attested) else {
        return Ok(());
    };
    let generation = context.params.region_generation(place.0);
    let id = RegionId {
        region: 0,
        generation,
    };
    if context.receipt(&node.node, id)?.is_none() {
        let asking = Asking::begin(context, node, place)?;
        fill::run(&asking, binding.session_key, id).await?;
    } else if !done.chased {
        let asking = Asking::begin(context, node, place)?;
        let class = chase::run(&asking, binding.session_key, id).await?;
        done.chased = matches!(class, OutcomeClass::Pass | OutcomeClass::Fail);
    }
    Ok(())
}
