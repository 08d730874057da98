//! Whom agents answer: when the ledger's stakes change, HyperNodes sign the roster of the epoch to come on the board, and
//! tell agents what enough of them have signed (ARCHITECTURE section 5).

use crate::agent_link::{AgentLink, LinkError};
use crate::challenge::{ANSWER_WAIT, CONNECT_WAIT};
use crate::clock;
use crate::context::Context;
use crate::ledger_view::Registered;
use anyhow::Result;
use assay_aggregate::inputs::{self, Gathered, successor_of};
use assay_protocol::cose;
use assay_protocol::ids::Epoch;
use assay_protocol::succession::{
    Lineage, LineageError, Link, Member, members, roster_digest, succession,
};
use assay_protocol::wire::{AgentReply, AgentRequest, BoardObject};
use assay_transport::board::{Board, Posted, Reading};
use std::sync::Arc;
use std::time::Duration;

/// Pause between two looks at the board; what is agreed here counts from the next epoch on.
const POLL: Duration = Duration::from_millis(500);

/// Signs and gathers for as long as the process runs.
pub async fn watch(context: Arc<Context>, mut board: Board) -> Result<()> {
    let mut coming = None;
    loop {
        let looked = look(&context, &mut board, &mut coming).await;
        context.survives("agreeing on whom agents answer", looked)?;
        tokio::time::sleep(POLL).await;
    }
}

/// A roster that no agent can be told of yet.
struct Coming {
    from: Epoch,
    members: Vec<Member>,
    gathered: Gathered,
    reading: Reading,
    said: bool,
}

async fn look(context: &Context, board: &mut Board, coming: &mut Option<Coming>) -> Result<()> {
    let from = current(context).next();
    let Some(members) = roster_that_changes(context, from) else {
        *coming = None;
        return Ok(());
    };
    let known = |coming: &Coming| coming.from == from && coming.members == members;
    if !coming.as_ref().is_some_and(known) {
        *coming = Some(Coming {
            from,
            members,
            gathered: Gathered::default(),
            reading: Reading::of(board_of(from)),
            said: false,
        });
    }
    match coming.as_mut() {
        Some(coming) => coming.exchange(context, board).await,
        None => Ok(()),
    }
}

/// The roster of an epoch, when the newest one that agents can be told of is another.
fn roster_that_changes(context: &Context, from: Epoch) -> Option<Vec<Member>> {
    // Stakes of the first two epochs are those of genesis.
    if from < successor_of(Epoch(0)) {
        return None;
    }
    let members = members(context.weights(from)?);
    let changes =
        |lineage: &Lineage| lineage.newest() < from && lineage.newest_members() != members;
    context.lineage(changes).then_some(members)
}

/// The board on which a roster is spoken of, see [`successor_of`].
fn board_of(from: Epoch) -> Epoch {
    Epoch(from.0.saturating_sub(2))
}

impl Coming {
    async fn exchange(&mut self, context: &Context, board: &mut Board) -> Result<()> {
        let epoch = board_of(self.from);
        if !self.said {
            match board.post(epoch, self.word(context)).await? {
                Posted::Stored => self.said = true,
                Posted::NotNow => return Ok(()),
                Posted::Refused(why) => {
                    self.said = true;
                    eprintln!("note: roster from epoch {}: {why}", self.from);
                }
            }
        }
        let hearing = context.hearing(epoch);
        for object in self.reading.page(board).await? {
            if !matches!(object, BoardObject::Succession(_)) {
                continue;
            }
            match inputs::open(&hearing, &object) {
                Ok(opened) => self.gathered.add(&context.network, epoch, opened),
                Err(error) => {
                    eprintln!("note: epoch {epoch}: the board shows a bad object: {error}")
                }
            }
        }
        self.follow(context)
    }

    fn word(&self, context: &Context) -> BoardObject {
        let place = (self.from, self.members.as_slice());
        let said = succession(&context.params, context.network, place, context.own);
        BoardObject::Succession(cose::seal(said, &context.identity).bytes().to_vec())
    }

    /// The roster follows once enough have signed it.
    fn follow(&self, context: &Context) -> Result<()> {
        let roster = roster_digest(&context.network, self.from, &self.members);
        let mut signatures = self.gathered.vouching(&roster);
        let mut lineage = context.lineage(Lineage::clone);
        signatures.retain(|signed| lineage.knows(&signed.hypernode));
        let link = Link {
            from: self.from,
            members: self.members.clone(),
            signatures,
        };
        match lineage.extend(link) {
            Ok(()) => context.keep_lineage(lineage),
            Err(LineageError::Vouched { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Tells a node's agent whom to answer, or is told. False when the agent cannot be asked just now.
pub async fn tell(context: &Context, node: &Registered) -> Result<bool> {
    let told = match ask(context, node).await {
        Ok(AgentReply::Roster { lineage }) => lineage,
        Ok(_) => return Ok(true),
        Err(LinkError::Refused { refusal, .. }) => {
            eprintln!("note: node {}: roster not taken over: {refusal}", node.node);
            return Ok(true);
        }
        Err(_) => return Ok(false),
    };
    match Lineage::open(&context.network, &told) {
        Ok(lineage) if is_the_ledgers(context, &lineage) => context.keep_lineage(lineage)?,
        // Not known yet which is the ledger's.
        Ok(_) if context.has_say(current(context)).is_none() => return Ok(false),
        Ok(lineage) => eprintln!(
            "note: node {}: its roster from epoch {} is not the ledger's",
            node.node,
            lineage.newest()
        ),
        Err(error) => eprintln!("note: node {}: told a wrong lineage: {error}", node.node),
    }
    Ok(true)
}

fn current(context: &Context) -> Epoch {
    context.params.at(clock::now()).unwrap_or_default().0
}

/// Keys that left long ago may sign anything: what a HyperNode tells others is the roster that counts now or next.
fn is_the_ledgers(context: &Context, lineage: &Lineage) -> bool {
    let now = current(context);
    if lineage.newest() > now.next() {
        return false;
    }
    let counts = |epoch| {
        let weights = context.weights(epoch);
        weights.is_some_and(|weights| members(weights) == lineage.newest_members())
    };
    counts(now) || counts(now.next())
}

async fn ask(context: &Context, node: &Registered) -> Result<AgentReply, LinkError> {
    let mut link =
        AgentLink::connect(&context.identity, &node.endpoint, None, CONNECT_WAIT).await?;
    let lineage = context.lineage(Lineage::bytes);
    link.ask(&AgentRequest::Roster { lineage }, ANSWER_WAIT)
        .await
}
