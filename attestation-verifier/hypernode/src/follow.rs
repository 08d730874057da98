//! Following the ledger: each epoch that it resolved is recomputed from the board. A root that comes out otherwise is wrong:
//! its correction is signed, in a round of its own, and so is every epoch that the correction opens again.

use crate::board::{Board, Posted};
use crate::context::Context;
use anyhow::{Context as _, Result, bail, ensure};
use assay_aggregate::epoch::{EpochOutcome, Included};
use assay_aggregate::inputs::{self, Gathered, History};
use assay_aggregate::root::EpochRoot;
use assay_aggregate::roster::Roster;
use assay_ledger::{EpochRecord, Resolved};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak};
use assay_protocol::report::RootSignature;
use assay_protocol::wire::BoardObject;
use std::collections::BTreeMap;

/// Takes over each epoch that the ledger resolved, once it is recomputed from the board.
pub async fn follow(context: &Context, board: &mut Board) -> Result<()> {
    if !is_in_force(context).await? {
        let from = context.go_back();
        eprintln!(
            "note: a correction replaced or undid a root that was followed: computing again from epoch {from} on"
        );
    }
    loop {
        context.learn().await?;
        let next = context.history(|history| history.next());
        match context.ledger.resolved(next).await? {
            Resolved::Open => return sign_again(context, board, next).await,
            Resolved::Void => context.history(History::void),
            Resolved::Posted(root) => take_over(context, board, &root).await?,
        }
        context.advance_anchor().await?;
    }
}

/// Whether the newest root that was followed is still in force.
pub async fn is_in_force(context: &Context) -> Result<bool> {
    let Some((epoch, digest)) = context.followed() else {
        return Ok(true);
    };
    let record = context.ledger.epoch_record(epoch).await?;
    let next = context.ledger.next_epoch().await?;
    Ok(holds((epoch, digest), &record, next))
}

/// `next` is the epoch to be resolved next: a root that was followed is before it, unless it was undone.
fn holds((epoch, digest): (Epoch, Keccak), record: &EpochRecord, next: Epoch) -> bool {
    next > epoch && !record.contradicts(digest)
}

async fn take_over(context: &Context, board: &mut Board, posted: &EpochRoot) -> Result<()> {
    let epoch = posted.epoch;
    let gathered = gather(context, board, epoch).await?;
    let weights = context.weights(epoch).unwrap_or_default();
    let input_set = gathered.judged_by(posted.input_set, &weights);
    let input_set = input_set
        .with_context(|| format!("epoch {epoch}: the board does not show the agreed list"))?;
    let (reports, outcome) = judge(context, epoch, &gathered, &input_set).await?;
    let outcome = context.history(|history| history.as_signed(outcome, posted));
    if outcome.root != *posted {
        // One wrong answer of the ledger's node must not last.
        context.history(History::forget);
        let (right, wrong) = (digest(context, &outcome.root), digest(context, posted));
        let signed = match context.is_certain(wrong, right) {
            true => correct(context, board, &outcome.root, &gathered).await?,
            false => "it is computed again",
        };
        bail!(
            "epoch {epoch}: the root on the ledger is wrong: digest {wrong}, recomputed {right}; {signed}"
        );
    }
    context.history(|history| history.posted(&outcome, &reports))?;
    context.note_followed(epoch, digest(context, &outcome.root));
    Ok(())
}

/// Signs the root that must take a wrong one's place; says what was done.
async fn correct(
    context: &Context,
    board: &mut Board,
    right: &EpochRoot,
    gathered: &Gathered,
) -> Result<&'static str> {
    if context.ledger.is_final(right.epoch).await? {
        return Ok("it is final and cannot be corrected");
    }
    let Some((newest, signing)) = context.ledger.signing(&context.params).await? else {
        return Ok("who signs now is not final on the ledger yet");
    };
    let correction = EpochRoot {
        round: newest.saturating_add(1),
        committee: signing.committee().hash(),
        ..*right
    };
    match sign(context, board, &correction, (&signing, gathered)).await? {
        true => Ok("its correction is signed"),
        false => Ok("this HyperNode is not among those who sign its correction"),
    }
}

/// Signs the root of an epoch that was signed before, or would have been, had a correction not come between. Without
/// corrections there is nothing to do: then it is signed where it is agreed upon.
async fn sign_again(context: &Context, board: &mut Board, epoch: Epoch) -> Result<()> {
    let (round, signing) = context.history(|history| (history.round(), history.signing().clone()));
    let Some(weights) = context.weights(epoch).filter(|_| round > 0) else {
        return Ok(());
    };
    let gathered = gather(context, board, epoch).await?;
    let Some(input_set) = gathered.agreed(&weights) else {
        return Ok(());
    };
    let (_, outcome) = judge(context, epoch, &gathered, &input_set).await?;
    sign(context, board, &outcome.root, (&signing, &gathered)).await?;
    Ok(())
}

/// Signs a root and posts that, unless the board shows it already. False when this HyperNode is not asked.
async fn sign(
    context: &Context,
    board: &mut Board,
    root: &EpochRoot,
    (signing, gathered): (&Roster, &Gathered),
) -> Result<bool> {
    let mut seats = signing.seats().iter();
    if !seats.any(|seat| seat.hypernode == context.own) {
        return Ok(false);
    }
    let (epoch, digest) = (root.epoch, digest(context, root));
    context.keep_signed(root, &digest)?;
    let shown = gathered.signatures(root.round);
    if shown.get(&context.own).is_some_and(|(of, _)| *of == digest) {
        return Ok(true);
    }
    let object = root_signature(context, (epoch, root.round), &digest)?;
    match board.post(epoch, object).await? {
        Posted::Stored => eprintln!(
            "epoch {epoch}: signed root {digest} in round {}",
            root.round
        ),
        Posted::TooEarly => bail!(
            "epoch {epoch}: the board takes no signature of round {} yet",
            root.round
        ),
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
    for object in board.read_all(epoch).await? {
        if let Ok(opened) = inputs::open(&hearing, &object) {
            gathered.add(&context.network, epoch, opened);
        }
    }
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
    let start = context.params.epoch_start(epoch);
    let known = context.ledger.claims(epoch, start).await?;
    let budget = context.ledger.budget(epoch).await?.0;
    context.history(|history| {
        let next = history.next();
        ensure!(
            next == epoch,
            "epoch {epoch} cannot be aggregated: the next unresolved one is {next}"
        );
        Ok(history.aggregate(known, reports, budget)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_ledger::Resolution;
    use assay_protocol::ids::{Stake, UnixMs};

    const FOLLOWED: Keccak = Keccak([7; 32]);

    fn is_in_force(resolution: Resolution, digest: Keccak, next: u64) -> bool {
        let record = EpochRecord {
            resolution,
            corrections: 0,
            posted_at: UnixMs(1),
            final_at: UnixMs(2),
            leaf_count: 1,
            root: Keccak([1; 32]),
            digest,
            cumulative_reward: Stake(0),
            round: 0,
        };
        holds((Epoch(5), FOLLOWED), &record, Epoch(next))
    }

    #[test]
    fn nobody_goes_on_from_a_root_that_was_replaced_undone_or_voided() {
        assert!(is_in_force(Resolution::Posted, FOLLOWED, 6));
        // Long ago: the ring has another epoch in its place.
        assert!(is_in_force(Resolution::Open, Keccak([0; 32]), 6));
        for (resolution, digest, next) in [
            (Resolution::Posted, Keccak([8; 32]), 6),
            (Resolution::Void, FOLLOWED, 6),
            (Resolution::Open, FOLLOWED, 5),
            (Resolution::Open, FOLLOWED, 4),
        ] {
            assert!(
                !is_in_force(resolution, digest, next),
                "{resolution:?} {next}"
            );
        }
    }
}
