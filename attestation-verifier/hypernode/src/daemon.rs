//! The running HyperNode: who is started when, and what happens after each epoch.

use crate::agree::Round;
use crate::config::Config;
use crate::context::Context;
use crate::follow::{FOLLOWING, follow_for, is_undone};
use crate::{clock, control, explain, node, report, succession};
use anyhow::{Context as _, Result};
use assay_protocol::ids::{Epoch, NodeId, Slot, UnixMs};
use assay_transport::board::Board;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long the ledger is followed before an epoch's round begins; the round goes on with it.
const FOLLOW_BEFORE_ROUND: Duration = Duration::from_secs(1);
/// Longest pause between two looks at the ledger while an epoch runs.
const LEDGER_LOOK_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at the ledger.
const LEDGER_POLL: Duration = Duration::from_millis(500);

/// Runs until a task fails or the process is told to end.
pub async fn run(context: Context, config: Config) -> Result<()> {
    context.check_registration(&config).await?;
    if context.params.never_catches_up() {
        eprintln!(
            "note: void_after_ms ({}) is not below epoch_ms ({}): this network ends with its first void epoch\n\
             hint: it needs to be deployed anew",
            context.params.void_after_ms, context.params.epoch_ms
        );
    }
    let context = Arc::new(context);
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "listen on {}\nhint: another program may use the port",
            config.listen
        )
    })?;
    println!(
        "hypernode {} listening on {}",
        context.own,
        listener.local_addr()?
    );
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(control::serve(Arc::clone(&context), listener));
    tasks.spawn(watch_nodes(Arc::clone(&context)));
    tasks.spawn(report::close_slots(Arc::clone(&context)));
    let board = || config.bridge.board(context.identity.clone());
    tasks.spawn(succession::watch(Arc::clone(&context), board()));
    tasks.spawn(epochs(Arc::clone(&context), board()));
    tokio::select! {
        ended = tasks.join_next() => match ended {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(error.into()),
            None => Ok(()),
        },
        signal = tokio::signal::ctrl_c() => Ok(signal?),
    }
}

/// Starts the tasks of each registered node once.
async fn watch_nodes(context: Arc<Context>) -> Result<()> {
    let mut watched = BTreeSet::new();
    loop {
        if let Err(error) = context.learn().await {
            context.note(explain(&error));
        }
        let (epoch, _) = context.params.at(clock::now()).unwrap_or_default();
        if context.has_say(epoch) == Some(true) {
            context.note_say(epoch)?;
        }
        match context.ledger.refresh().await {
            Ok(()) => start_nodes(&context, epoch, &mut watched),
            Err(error) => context.note(explain(&error)),
        }
        tokio::time::sleep(LEDGER_POLL).await;
    }
}

fn start_nodes(context: &Arc<Context>, epoch: Epoch, watched: &mut BTreeSet<NodeId>) {
    for node in report::nodes(context, epoch) {
        if watched.insert(node.node) {
            eprintln!(
                "node {} at {}: watched",
                node.node,
                node.endpoint.escape_debug()
            );
            node::start(context, node.node);
        }
    }
}

/// One epoch after the other: close, report, agree, follow the ledger.
async fn epochs(context: Arc<Context>, mut board: Board) -> Result<()> {
    catch_up(&context, &mut board).await?;
    let mut epoch = first_epoch(&context);
    report::close_missed(&context, epoch)?;
    loop {
        let last = Slot(context.params.slots().saturating_sub(1));
        let closing = report::closing_time(&context, epoch, last);
        watch_ledger(&context, &mut board, closing).await?;
        catch_up_for(&context, &mut board, FOLLOW_BEFORE_ROUND).await?;
        if take_part(&context, &mut board, epoch).await? {
            eprintln!("epoch {epoch}: resolved on the ledger");
        } else {
            eprintln!("note: epoch {epoch} was resolved without this HyperNode");
        }
        let following = epoch.next();
        epoch = following.max(context.history(|history| history.next()));
        report::close_missed(&context, epoch)?;
    }
}

/// Sleeps until a time. When the ledger resolves an epoch meanwhile, or undoes one, that is followed at once: a wrong root can
/// be corrected for a while only.
async fn watch_ledger(context: &Context, board: &mut Board, until: UnixMs) -> Result<()> {
    let pause = Duration::from_millis(context.params.epoch_ms / 8);
    let pause = pause.clamp(LEDGER_POLL, LEDGER_LOOK_MAX);
    loop {
        let left = Duration::from_millis(until.0.saturating_sub(clock::now().0));
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(pause)).await;
        let next = context.history(|history| history.next());
        let left = Duration::from_millis(until.0.saturating_sub(clock::now().0));
        // What is over and not resolved was undone, and is to be signed again.
        let is_over = context.params.epoch_end(next) <= clock::now();
        let is_ahead = context.ledger.next_epoch().await;
        if is_over
            || is_ahead.is_ok_and(|ledger| ledger > next)
            || is_undone(context).await.is_ok_and(|undone| undone)
        {
            catch_up_for(context, board, left).await?;
        }
    }
}

/// Its reports come on no list although it runs: something keeps them from the others.
fn warn_of_absence(context: &Context) {
    let allowed = context.params.absent_epochs;
    let missed = context.history(|history| history.states().missed.get(&context.own).copied());
    if let Some(missed) = missed.filter(|_| allowed > 0) {
        eprintln!(
            "note: the last {missed} agreed lists have no report of this HyperNode; with {allowed} it loses its say\n\
             hint: is the board reached in time? `ledger come-back` tells the ledger that it is here"
        );
    }
}

/// From the end of an epoch to its resolution; false when that came before this HyperNode could say anything.
async fn take_part(context: &Context, board: &mut Board, epoch: Epoch) -> Result<bool> {
    while context.beacon(epoch).is_none() || context.weights(epoch).is_none() {
        if context.history(|history| history.next()) > epoch {
            return Ok(false);
        }
        catch_up(context, board).await?;
        tokio::time::sleep(LEDGER_POLL).await;
    }
    if context.has_say(epoch) == Some(false) {
        eprintln!(
            "note: epoch {epoch}: no stake of this HyperNode counts: it probes nobody, and its report and vote are not asked for\n\
             hint: `assay-bridge status` says why: absent (`ledger come-back`), or too little stake (`ledger stake`); keep it running while roots may name it"
        );
    }
    let kept = report::make(context, epoch).await?;
    Round::start(context, board, epoch, kept)?.run().await?;
    warn_of_absence(context);
    while context.history(|history| history.next()) <= epoch {
        catch_up(context, board).await?;
        tokio::time::sleep(LEDGER_POLL).await;
    }
    Ok(true)
}

/// The epoch whose report is still to be made: the one before now when its commits are still taken.
fn first_epoch(context: &Context) -> Epoch {
    let now = clock::now();
    let (current, _) = context.params.at(now).unwrap_or_default();
    let before = Epoch(current.0.saturating_sub(1));
    let void_at = context
        .params
        .epoch_end(before)
        .0
        .saturating_add(context.params.void_after_ms);
    let unresolved = context.history(|history| history.next()) <= before;
    if before < current && unresolved && now.0 < void_at {
        before
    } else {
        current
    }
}

async fn catch_up(context: &Context, board: &mut Board) -> Result<()> {
    catch_up_for(context, board, Duration::MAX).await
}

async fn catch_up_for(context: &Context, board: &mut Board, most: Duration) -> Result<()> {
    context.survives(FOLLOWING, follow_for(context, board, most).await)
}
