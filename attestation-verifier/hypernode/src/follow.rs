//! Following the ledger: each epoch that it resolved is recomputed from the board. A root that comes out otherwise is wrong:
//! its correction is signed, in a round of its own, and so is every epoch that the correction opens again.

use crate::context::{Contested, Context};
use anyhow::{Context as _, Result, bail, ensure};
use assay_aggregate::epoch::{EpochOutcome, Included};
use assay_aggregate::inputs::{self, Gathered, History};
use assay_aggregate::root::EpochRoot;
use assay_aggregate::roster::Roster;
use assay_ledger::{LedgerError, Resolution, Resolved};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak};
use assay_protocol::report::RootSignature;
use assay_protocol::wire::BoardObject;
use assay_transport::board::{Board, BoardError, Posted};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is done here, for people.
pub const FOLLOWING: &str = "following the ledger";
/// So long a root stays wrong without being judged again: one wrong answer of the ledger's node must not last.
const CONTEST_TIME: Duration = Duration::from_secs(30);

/// Takes over each epoch that the ledger resolved, once it is recomputed from the board, as far as one comes in a time; the
/// rest is for the next call.
pub async fn follow_for(context: &Context, board: &mut Board, most: Duration) -> Result<()> {
    if is_undone(context).await? {
        let from = context.go_back();
        eprintln!(
            "note: what was followed is no more, by a correction or another answer of the ledger's node: computing again from epoch {from} on"
        );
    }
    let begun = Instant::now();
    while begun.elapsed() < most {
        context.learn().await?;
        let next = context.history(|history| history.next());
        match context.ledger.resolved(next).await? {
            Resolved::Open => return sign_again(context, board, next).await,
            Resolved::Void => {
                context.history(History::void);
                context.note_void(next);
            }
            Resolved::Posted(root) => take_over(context, board, &root).await?,
        }
        context.advance_anchor().await?;
    }
    Ok(())
}

/// Whether a correction replaced or undid a root that was followed, or the ledger has a root of what was void.
pub async fn is_undone(context: &Context) -> Result<bool> {
    let newest = context.voids().last().copied();
    if is_one_posted(context, newest).await? {
        return Ok(true);
    }
    let Some(last) = context.followed() else {
        return Ok(false);
    };
    let record = context.ledger.epoch_record(last).await?;
    if context.is_replaced(last, &record) {
        return Ok(true);
    }
    if context.ledger.next_epoch().await? > last {
        return Ok(false);
    }
    // Undone it is when the newest root took the place of one that was followed; else the ledger's node is behind.
    let newest = context.ledger.newest_root().await?;
    Ok(newest.is_some_and(|(epoch, record)| context.is_replaced(epoch, &record)))
}

/// Whether the ledger has a root of an epoch that was taken over as void: one wrong answer of its node must not last.
async fn is_one_posted(context: &Context, epochs: impl IntoIterator<Item = Epoch>) -> Result<bool> {
    for epoch in epochs {
        let record = context.ledger.epoch_record(epoch).await?;
        if record.resolution == Resolution::Posted {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn take_over(context: &Context, board: &mut Board, posted: &EpochRoot) -> Result<()> {
    let (epoch, wrong) = (posted.epoch, digest(context, posted));
    let newest = context.ledger.newest_root().await?;
    let newest = newest.map(|(epoch, record)| (epoch, record.digest));
    if let Some(contested) = context.contested()
        && (contested.wrong, contested.newest) == (wrong, newest)
        && contested
            .answered
            .is_some_and(|at| at.elapsed() < CONTEST_TIME)
    {
        bail!("{}", contested_root(epoch, &contested));
    }
    let corrections = context.ledger.epoch_record(epoch).await?.corrections;
    let gathered = gather(context, board, epoch).await?;
    // Not by what the root names: who signs a wrong one could choose whose reports count.
    let weights = context.weights(epoch).unwrap_or_default();
    let Some(input_set) = gathered.agreed(&weights) else {
        // Whose votes count may have been read wrongly.
        context.relearn_if_due().await?;
        bail!("epoch {epoch}: the board shows no input set with votes of more than 2/3 yet");
    };
    let (reports, outcome) = judge(context, epoch, &gathered, &input_set).await?;
    let outcome = context.history(|history| history.as_signed(outcome, posted));
    if outcome.root != *posted {
        return contest(context, board, &outcome.root, (wrong, newest)).await;
    }
    context.history(|history| history.posted(&outcome, &reports))?;
    context.note_followed(epoch, wrong, corrections);
    Ok(())
}

fn contested_root(epoch: Epoch, contested: &Contested) -> String {
    let Contested { wrong, right, .. } = contested;
    format!("epoch {epoch}: the root on the ledger is wrong: digest {wrong}, recomputed {right}")
}

/// A root on the ledger came out otherwise. What was read wrongly once is read anew before anything is signed against it,
/// and now and then after.
async fn contest(
    context: &Context,
    board: &mut Board,
    root: &EpochRoot,
    (wrong, newest): (Keccak, Option<(Epoch, Keccak)>),
) -> Result<()> {
    let right = digest(context, root);
    let same = |before: Contested| (before.wrong, before.right) == (wrong, right);
    let is_certain = context.contested().is_some_and(same);
    match is_certain {
        true => context.relearn_if_due().await?,
        false => context.relearn().await?,
    }
    if is_one_posted(context, context.voids()).await? {
        let from = context.go_back();
        bail!(
            "an epoch that was followed as void has a root: computing again from epoch {from} on"
        );
    }
    let mut now = Contested {
        wrong,
        right,
        newest,
        answered: None,
    };
    context.contests(now);
    let said = contested_root(root.epoch, &now);
    if !is_certain {
        bail!("{said}; it is computed again");
    }
    let done = correct(context, board, root, newest).await;
    let beyond = |error: &anyhow::Error| {
        let cause = error.downcast_ref::<LedgerError>();
        matches!(cause, Some(LedgerError::CommitteeMismatch { .. }))
    };
    if done.as_ref().map_or_else(beyond, |_| true) {
        now.answered = Some(Instant::now());
        context.contests(now);
    }
    let done = done.with_context(|| said.clone())?;
    bail!("{said}; {done}");
}

/// Signs the root that must take a wrong one's place; says what was done.
async fn correct(
    context: &Context,
    board: &mut Board,
    right: &EpochRoot,
    newest: Option<(Epoch, Keccak)>,
) -> Result<&'static str> {
    if context.ledger.is_final(right.epoch).await? {
        return Ok("it is final and cannot be corrected");
    }
    let last = context.history(|history| history.round());
    let (ledger, params) = (&context.ledger, &context.params);
    let found = ledger.correction_of(right.epoch, last, params).await?;
    let found = found.filter(|found| Some(found.newest) == newest);
    let found = found.context("who signs now is not known yet")?;
    let correction = EpochRoot {
        round: found.round,
        committee: found.signing.committee().hash(),
        ..*right
    };
    match sign(context, board, &correction, &found.signing).await? {
        true => Ok("its correction is signed"),
        false => Ok("this HyperNode is not among those who sign its correction"),
    }
}

/// Signs the root of an epoch that was signed before, or would have been, had a correction not come between. Without
/// corrections there is nothing to do: then it is signed where it is agreed upon.
async fn sign_again(context: &Context, board: &mut Board, epoch: Epoch) -> Result<()> {
    raise_round(context, epoch).await?;
    let (round, signing) = context.history(|history| (history.round(), history.signing().clone()));
    let Some(weights) = context.weights(epoch) else {
        return Ok(());
    };
    if round == 0 || context.has_signed(epoch, round) {
        return Ok(());
    }
    let gathered = gather(context, board, epoch).await?;
    let Some(input_set) = gathered.agreed(&weights) else {
        return Ok(());
    };
    let (_, outcome) = judge(context, epoch, &gathered, &input_set).await?;
    sign(context, board, &outcome.root, &signing).await?;
    context.note_signed(epoch, round);
    Ok(())
}

/// An epoch that was undone needs a later round than it had.
pub async fn raise_round(context: &Context, epoch: Epoch) -> Result<()> {
    if context.history(|history| history.round()) > 0
        && let Some(least) = context.ledger.undone(epoch).await?
    {
        context.history(|history| history.raise_round(least));
    }
    Ok(())
}

/// Signs a root and posts that. False when this HyperNode is not asked.
async fn sign(
    context: &Context,
    board: &mut Board,
    root: &EpochRoot,
    signing: &Roster,
) -> Result<bool> {
    let mut seats = signing.seats().iter();
    if !seats.any(|seat| seat.hypernode == context.own) {
        return Ok(false);
    }
    let (epoch, round, digest) = (root.epoch, root.round, digest(context, root));
    context.keep_signed(root, &digest)?;
    let object = root_signature(context, (epoch, round), &digest)?;
    match board.post(epoch, object).await? {
        Posted::Stored => eprintln!("epoch {epoch}: signed root {digest} in round {round}"),
        Posted::NotNow => {
            bail!("epoch {epoch}: the board takes no signature of round {round} just now")
        }
        Posted::Refused(why) => bail!("epoch {epoch}: root-signature: {why}"),
    }
    Ok(true)
}

/// A signature under a root as the board takes it: the same bytes each time.
pub fn root_signature(
    context: &Context,
    (epoch, round): (Epoch, u32),
    digest: &Keccak,
) -> Result<BoardObject> {
    let signed = RootSignature {
        network: context.network,
        epoch,
        round,
        hypernode: context.own,
        digest: *digest,
        signature: context.ledger_key.sign_digest(digest)?,
        at: context.params.epoch_end(epoch),
    };
    let sealed = cose::seal(signed, &context.identity);
    Ok(BoardObject::RootSignature(sealed.bytes().to_vec()))
}

/// What is signed of a root.
pub fn digest(context: &Context, root: &EpochRoot) -> Keccak {
    root.digest(context.params.chain_id, &context.params.contract)
}

async fn gather(context: &Context, board: &mut Board, epoch: Epoch) -> Result<Gathered> {
    let mut gathered = Gathered::default();
    let hearing = context.hearing(epoch);
    let add = |object: BoardObject| {
        if let Ok(opened) = inputs::open(&hearing, &object) {
            gathered.add(&context.network, epoch, opened);
        }
        Ok::<(), BoardError>(())
    };
    board.read_all(epoch, add).await?;
    Ok(gathered)
}

async fn judge(
    context: &Context,
    epoch: Epoch,
    gathered: &Gathered,
    input_set: &Digest,
) -> Result<(BTreeMap<HyperNodeId, Included>, EpochOutcome)> {
    let list = gathered.list(input_set);
    let list =
        list.with_context(|| format!("epoch {epoch}: the board does not show the agreed list"))?;
    let reports = gathered.included(list)?;
    let outcome = aggregate(context, epoch, &reports).await?;
    Ok((reports, outcome))
}

/// The root of the next unresolved epoch from these reports and the ledger's registrations and budget.
pub async fn aggregate(
    context: &Context,
    epoch: Epoch,
    reports: &BTreeMap<HyperNodeId, Included>,
) -> Result<EpochOutcome> {
    let is_next = |history: &History| {
        let next = history.next();
        ensure!(
            next == epoch,
            "epoch {epoch} cannot be aggregated: the next unresolved one is {next}"
        );
        Ok(())
    };
    context.history(|history| is_next(history))?;
    let start = context.params.epoch_start(epoch);
    let known = context.ledger.claims(epoch, start).await?;
    let budget = context.ledger.budget(epoch).await?.0;
    context.history(|history| {
        is_next(history)?;
        Ok(history.aggregate(known, reports, budget)?)
    })
}
