//! Objects of another board, taken into this state: for a bridge that lost its own, and for one that begins in a network
//! that runs.
//!
//! Every object is checked as when it was posted, but for its time. Of an epoch that the ledger has resolved nothing is
//! stored before both boards together give the root on the ledger; of one that it has not, nothing before its votes are in:
//! until then its board must hear each HyperNode in time. What is stored here already is never replaced.

use anyhow::{Context, Result, bail};
use assay_aggregate::inputs::{self, Hearing, History, Opened};
use assay_aggregate::root::EpochRoot;
use assay_aggregate::roster::Roster;
use assay_ledger::{AssayLedger, Resolved};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, UnixMs};
use assay_protocol::limits::ROOT_SIGNATURES_MAX;
use assay_protocol::wire::BoardObject;
use assay_transport::board::Board as Client;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::runtime::Runtime;

use crate::board::{committed, place};
use crate::double_votes;
use crate::replay::{self, Gathering, Judged};
use crate::store::{Placed, Store};

/// Longest wait for a page of another board.
const PAGE_WAIT: Duration = Duration::from_secs(60);

/// Where objects come from.
pub enum Source {
    /// The state of another bridge, or a copy of it.
    State(Store),
    /// A running bridge, as its HyperNodes see it.
    Board(Box<Client>, Runtime),
}

impl Source {
    /// A running bridge's board.
    pub fn board(client: Client) -> Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().context("async runtime")?;
        // Whoever reads a whole network's past takes pages that are large.
        Ok(Self::Board(Box::new(client.waiting(PAGE_WAIT)), runtime))
    }
}

/// What was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Objects that were stored.
    pub objects: u64,
    /// Objects that were not: signed by nobody who is heard, or not saying what they must.
    pub refused: u64,
    /// Votes that contradict the ones here; both are kept as proofs.
    pub contradictions: u64,
    /// The first epoch that the ledger has not resolved.
    pub next: u64,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            objects,
            refused,
            contradictions,
            next,
        } = self;
        write!(
            f,
            "{objects} objects taken, {refused} refused, {contradictions} contradictions kept; the next open epoch is {next}"
        )
    }
}

/// Takes over what `source` has of the epochs from `first` on; of those before this state must have everything.
pub fn import(
    store: &Store,
    ledger: &AssayLedger,
    history: History,
    source: Source,
    (first, now): (Epoch, UnixMs),
) -> Result<Imported> {
    let mut import = Import {
        store,
        ledger,
        history,
        source,
        first,
        done: Imported::default(),
    };
    while import.resolved()? {}
    import.done.next = import.history.next().0;
    import.unresolved(now)?;
    Ok(import.done)
}

struct Import<'a> {
    store: &'a Store,
    ledger: &'a AssayLedger,
    history: History,
    source: Source,
    first: Epoch,
    done: Imported,
}

impl Import<'_> {
    /// Takes the next epoch over, if the ledger has resolved it.
    fn resolved(&mut self) -> Result<bool> {
        replay::learn(self.ledger, &mut self.history)?;
        let epoch = self.history.next();
        match self.ledger.resolved(epoch)? {
            Resolved::Open => return Ok(false),
            Resolved::Posted(root) => self.posted(*root)?,
            Resolved::Void => {
                let new = self.new_of(epoch, None)?;
                self.store(epoch, new)?;
                self.history.void();
            }
        }
        Ok(true)
    }

    fn posted(&mut self, root: EpochRoot) -> Result<()> {
        let epoch = root.epoch;
        let signing = replay::signers_of(self.ledger, &self.history, &root)?;
        let mut board = Gathering::of(epoch);
        board.update(self.store, &self.history, Some(&signing))?;
        let new = self.new_of(epoch, Some(&signing))?;
        for (_, opened) in new.objects.values() {
            board.add(self.history.network(), opened.clone());
        }
        let judged = replay::judge(self.ledger, &self.history, root, signing, board);
        match judged.with_context(|| not_whole(epoch))? {
            Judged::Right(posted) => {
                self.store(epoch, new)?;
                Ok(replay::take_over(&mut self.history, &posted)?)
            }
            // A bridge that has this epoch's objects can say what is wrong.
            Judged::Wrong(wrong) => {
                self.store(epoch, new)?;
                let (chain, contract) = (self.ledger.chain_id()?, self.ledger.contract());
                Err(wrong.error(chain, &contract).into())
            }
            Judged::Void => bail!("epoch {epoch} was voided meanwhile\nhint: start again"),
        }
    }

    /// Takes what there is of epochs whose votes are in, as far as it is known who is heard.
    fn unresolved(&mut self, now: UnixMs) -> Result<()> {
        let mut epoch = self.history.next();
        while self.is_voted(epoch, now) && self.history.roster(epoch).is_some() {
            let new = self.new_of(epoch, None)?;
            self.store(epoch, new)?;
            epoch = epoch.next();
        }
        Ok(())
    }

    fn is_voted(&self, epoch: Epoch, now: UnixMs) -> bool {
        let params = self.history.params();
        let end = params.epoch_end(epoch).0.saturating_add(params.vote_ms);
        now.0 >= end
    }

    /// What the source has and the store has not.
    fn new_of(&mut self, epoch: Epoch, signers: Option<&Roster>) -> Result<New> {
        let mut new = New::default();
        if epoch >= self.first {
            let hearing = replay::hearing(&self.history, epoch, signers);
            let store = self.store;
            self.source
                .show(epoch, &mut |object| new.take(store, &hearing, object))?;
        }
        Ok(new)
    }

    fn store(&mut self, epoch: Epoch, new: New) -> Result<()> {
        let done = &mut self.done;
        done.objects = done.objects.saturating_add(new.objects.len() as u64);
        done.refused = done.refused.saturating_add(new.refused);
        for ((from, place), object) in new.contradictions {
            self.store
                .keep_contradiction(epoch, &from, &place, &object)?;
            done.contradictions = done.contradictions.saturating_add(1);
        }
        let placed = |((from, place), (object, _))| Placed {
            from,
            place,
            object,
        };
        let objects: Vec<Placed> = new.objects.into_iter().map(placed).collect();
        Ok(self.store.insert_all(epoch, &objects)?)
    }
}

fn not_whole(epoch: Epoch) -> String {
    format!(
        "epoch {epoch} is not whole on both boards together: nothing of it was taken, all before it was\n\
         hint: import from another board, or a later copy"
    )
}

impl Source {
    /// Shows every object of an epoch.
    fn show(
        &mut self,
        epoch: Epoch,
        show: &mut dyn FnMut(BoardObject) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Board(client, runtime) => runtime.block_on(client.read_all(epoch, show)),
            Self::State(store) => {
                let mut after = 0;
                loop {
                    let batch = store.batch(epoch, after)?;
                    let Some(last) = batch.last() else {
                        return Ok(());
                    };
                    after = last.number;
                    batch
                        .into_iter()
                        .try_for_each(|stored| show(stored.object))?;
                }
            }
        }
    }
}

/// What another board has of an epoch and this one has not, by author and place: no more than the epoch has places for.
#[derive(Default)]
struct New {
    objects: BTreeMap<(HyperNodeId, String), (BoardObject, Opened)>,
    contradictions: BTreeMap<(HyperNodeId, String), BoardObject>,
    refused: u64,
}

impl New {
    fn take(&mut self, store: &Store, hearing: &Hearing<'_>, object: BoardObject) -> Result<()> {
        let Ok(opened) = inputs::open(hearing, &object) else {
            self.refused = self.refused.saturating_add(1);
            return Ok(());
        };
        let (from, place) = (opened.from(), place(&object, &opened));
        match store.object(hearing.epoch, &place, &from)? {
            Some((_, bytes)) if double_votes::is_proof(&bytes, &object) => {
                self.contradictions.entry((from, place)).or_insert(object);
            }
            Some(_) => {}
            None if self.belongs(store, hearing.epoch, (&place, &opened))? => {
                let taken = (object, opened);
                self.objects.entry((from, place)).or_insert(taken);
            }
            None => self.refused = self.refused.saturating_add(1),
        }
        Ok(())
    }

    /// As on the board: a reveal opens its author's commit, and signatures of later rounds are bounded.
    fn belongs(
        &self,
        store: &Store,
        epoch: Epoch,
        (place, opened): (&str, &Opened),
    ) -> Result<bool> {
        let from = &opened.from();
        if let Opened::Reveal(revealed) = opened {
            let commit = match self.commit(from) {
                Some(commit) => Some(commit),
                None => committed(store, epoch, from)?,
            };
            return Ok(commit == Some(revealed.commitment));
        }
        let Some((kind, _)) = place.split_once('/') else {
            return Ok(true);
        };
        let of_kind = (*from, format!("{kind}/"))..(*from, format!("{kind}0"));
        let coming = self.objects.range(of_kind).count() as u64;
        let stored = store.places(epoch, kind, from)?;
        Ok(stored.saturating_add(coming) < ROOT_SIGNATURES_MAX as u64 - 1)
    }

    fn commit(&self, from: &HyperNodeId) -> Option<Digest> {
        let kind = BoardObject::Commit(Vec::new()).kind();
        match self.objects.get(&(*from, kind.to_owned())) {
            Some((_, Opened::Commit { commitment, .. })) => Some(*commitment),
            _ => None,
        }
    }
}
