//! The board: what HyperNodes post for each other, in one order for everybody.
//!
//! It takes an object only from its author, inside its window of the epoch, once; signatures of later rounds for as long as a
//! root can change. The rules protect liveness and space;
//! safety does not hang on them: HyperNodes verify what they read and never sign two things.

pub mod heard;
mod places;
pub mod server;

use assay_aggregate::inputs::{self, Hearing, Opened, Revealed};
use assay_ledger::LedgerError;
use assay_protocol::cose;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, NetworkId, UnixMs};
use assay_protocol::limits::{BOARD_FRAME_BYTES_MAX, BOARD_OBJECTS_MAX, ROOT_SIGNATURES_MAX};
use assay_protocol::params::NetworkParams;
use assay_protocol::report::{Commit, reveal_bytes_max};
use assay_protocol::wire::{BoardObject, Refusal, RefusalCode};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::double_votes;
use crate::store::{Store, StoreError, StoredObject};
use heard::Heard;

/// Room for a frame's header and the framing of its objects.
const FRAME_SLACK_BYTES: usize = 64 * 1024;

/// Registrations of nodes for which a reveal has room beside those that were read. No reveal is refused for good by what was
/// read before commits were closed, and no report is made later: these are only what a HyperNode's ledger node had final
/// before that of the bridge had it at all. So many take 53 million gas.
pub const REGISTRATIONS_UNSEEN: u64 = 256;

/// The board of a network.
pub struct Board {
    params: NetworkParams,
    network: NetworkId,
    store: Arc<Store>,
    heard: Heard,
    /// Check and insert are one step.
    posting: Mutex<()>,
}

impl Board {
    /// A board over its store, which hears whom the ledger knows.
    pub fn new(params: NetworkParams, store: Arc<Store>, heard: Heard) -> Self {
        let network = params.network_id();
        Self {
            params,
            network,
            store,
            heard,
            posting: Mutex::new(()),
        }
    }

    /// The parameters it works by.
    pub fn params(&self) -> &NetworkParams {
        &self.params
    }

    /// Takes an object from a connected HyperNode: its number once it is durable. The same bytes get the same number. A vote
    /// that contradicts the stored one is refused, and kept as a proof.
    pub fn post(
        &self,
        peer: HyperNodeId,
        epoch: Epoch,
        object: &BoardObject,
        now: UnixMs,
    ) -> Result<u64, Refusal> {
        let opened = self.open(epoch, object)?;
        own(peer, object.kind(), &opened)?;
        let _one_at_a_time = self.posting.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(object, &opened);
        if let Some(number) = self.stored_before(peer, epoch, (object, &place))? {
            return Ok(number);
        }
        self.in_time(epoch, object, &opened, now)?;
        self.has_room(peer, epoch, &place)?;
        if let Opened::Reveal(revealed) = &opened {
            self.is_of_the_registered(epoch, revealed.from, object)?;
            self.opens_commit(epoch, revealed)?;
        }
        let stored = self.store.insert_at(epoch, &peer, &place, object);
        stored.map_err(storage)
    }

    /// Whether a HyperNode may connect.
    pub fn admits(&self, hypernode: &HyperNodeId) -> bool {
        self.params.member(hypernode).is_some() || self.heard.admits(hypernode)
    }

    /// Reads who is heard from the ledger.
    pub fn refresh(&self, now: UnixMs) -> Result<(), LedgerError> {
        self.heard.refresh(&self.params, now)
    }

    /// Nothing is taken of an epoch whose roster was not read: a replay would have another opinion of it.
    fn open(&self, epoch: Epoch, object: &BoardObject) -> Result<Opened, Refusal> {
        let (known, is_all) = self.heard.known(&self.params, epoch);
        if !is_all {
            let text =
                format!("epoch {epoch}: whose stake counts was not read from the ledger yet");
            return Err(Refusal::new(RefusalCode::Busy, text));
        }
        let hearing = Hearing {
            params: &self.params,
            network: self.network,
            epoch,
            known,
        };
        inputs::open(&hearing, object)
            .map_err(|error| Refusal::new(RefusalCode::BadRequest, error.to_string()))
    }

    /// Objects after a number, as many as fit a frame.
    pub fn read(&self, epoch: Epoch, after: u64) -> Result<Vec<(u64, BoardObject)>, Refusal> {
        let room = BOARD_FRAME_BYTES_MAX - FRAME_SLACK_BYTES;
        let stored = self
            .store
            .objects(epoch, after, BOARD_OBJECTS_MAX, room)
            .map_err(storage)?;
        Ok(stored
            .into_iter()
            .map(|StoredObject { number, object }| (number, object))
            .collect())
    }

    fn stored_before(
        &self,
        peer: HyperNodeId,
        epoch: Epoch,
        (object, place): (&BoardObject, &str),
    ) -> Result<Option<u64>, Refusal> {
        match self.store.object(epoch, place, &peer).map_err(storage)? {
            Some((number, bytes)) if bytes == object.bytes() => Ok(Some(number)),
            Some((number, bytes)) => {
                if double_votes::is_proof(&bytes, object) {
                    let kept = self.store.keep_contradiction(epoch, &peer, place, object);
                    kept.map_err(storage)?;
                }
                Err(not_allowed(format!(
                    "{place} of epoch {epoch} by {peer}: another one is stored under number {number}, only one is taken"
                )))
            }
            None => Ok(None),
        }
    }

    fn in_time(
        &self,
        epoch: Epoch,
        object: &BoardObject,
        opened: &Opened,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        let window = window(&self.params, object);
        let (kind, end) = (object.kind(), self.params.epoch_end(epoch).0);
        let since = i128::from(now.0) - i128::from(end);
        let text = |what: &str| {
            format!(
                "{kind} of epoch {epoch} {what}: taken from {} to {} ms after the epoch's end, now {since} ms",
                window.start, window.end
            )
        };
        if since < i128::from(window.start) {
            return Err(Refusal::new(RefusalCode::Busy, text("is too early")));
        }
        match opened {
            Opened::RootSignature { round, .. } if *round > 0 => self.can_change(epoch),
            _ if since >= i128::from(window.end) => Err(not_allowed(text("is too late"))),
            _ => Ok(()),
        }
    }

    /// A root can be signed in a round of its own as long as the ledger takes another one for its epoch.
    fn can_change(&self, epoch: Epoch) -> Result<(), Refusal> {
        let open = self.heard.open();
        match epoch < open {
            true => Err(not_allowed(format!(
                "root-signature of a later round: epoch {epoch} is final on the ledger, the first that is not is {open}"
            ))),
            false => Ok(()),
        }
    }

    /// Signatures of later rounds are not one a HyperNode, but not without end either.
    fn has_room(&self, peer: HyperNodeId, epoch: Epoch, place: &str) -> Result<(), Refusal> {
        let Some((kind, _)) = place.split_once('/') else {
            return Ok(());
        };
        let count = self.store.places(epoch, kind, &peer).map_err(storage)?;
        match count < ROOT_SIGNATURES_MAX as u64 - 1 {
            true => Ok(()),
            false => Err(not_allowed(format!(
                "{kind} of epoch {epoch} by {peer}: {ROOT_SIGNATURES_MAX} are taken at most"
            ))),
        }
    }

    /// A report has one entry for a node at most, and none for one without a registration (a HyperNode's `LedgerView::nodes`):
    /// a longer reveal is nobody's honest one. While the ledger was last read before commits were closed, a report can be of
    /// more than was read, so a long one is asked for again.
    fn is_of_the_registered(
        &self,
        epoch: Epoch,
        from: HyperNodeId,
        reveal: &BoardObject,
    ) -> Result<(), Refusal> {
        let read = self.heard.registrations();
        let nodes = read.count.saturating_add(REGISTRATIONS_UNSEEN);
        let nodes = usize::try_from(nodes).unwrap_or(usize::MAX);
        let max = reveal_bytes_max(nodes, self.params.slots());
        let (actual, count) = (reveal.bytes().len(), read.count);
        if actual <= max {
            return Ok(());
        }
        let text = format!(
            "reveal of epoch {epoch} by {from}: expected at most {max} bytes with {count} registrations of nodes, got {actual}"
        );
        let end = self.params.epoch_end(epoch).0;
        let closed = UnixMs(end.saturating_add(self.params.commit_ms));
        Err(match read.at >= closed {
            true => not_allowed(text),
            false => Refusal::new(
                RefusalCode::Busy,
                format!("{text}: the ledger was not read since commits are closed"),
            ),
        })
    }

    fn opens_commit(&self, epoch: Epoch, revealed: &Revealed) -> Result<(), Refusal> {
        let from = revealed.from;
        let Some(expected) = committed(&self.store, epoch, &from).map_err(storage)? else {
            return Err(not_allowed(format!(
                "reveal of epoch {epoch} by {from}: no commit of it is stored"
            )));
        };
        let actual = revealed.commitment;
        if expected != actual {
            return Err(not_allowed(format!(
                "reveal of epoch {epoch} by {from}: commitment: expected {expected}, got {actual}"
            )));
        }
        Ok(())
    }
}

/// When an object is taken, in milliseconds after the end of its epoch.
/// A reveal must wait until commits are closed: nobody can copy what he then reads.
pub fn window(params: &NetworkParams, object: &BoardObject) -> Range<u64> {
    match object {
        BoardObject::Commit(_) => 0..params.commit_ms,
        BoardObject::Reveal(_) => params.commit_ms..params.reveal_ms,
        BoardObject::Proposal(_) | BoardObject::Vote(_) => params.commit_ms..params.vote_ms,
        BoardObject::RootSignature(_) => params.commit_ms..params.void_after_ms,
        // From when the roster is fixed until it is in force.
        BoardObject::Succession(_) => 0..params.epoch_ms,
    }
}

/// Where only one object of a HyperNode can be in an epoch: its kind. Of signatures in later rounds one for each root: whose
/// correction it is, and who signs it, changes with every root that is posted meanwhile.
pub(crate) fn place(object: &BoardObject, opened: &Opened) -> String {
    match opened {
        Opened::RootSignature { round, digest, .. } if *round > 0 => {
            format!("{}/{digest}", object.kind())
        }
        _ => object.kind().to_owned(),
    }
}

/// What a HyperNode has committed to in an epoch, as far as it is stored; of what cannot be opened, nothing.
pub(crate) fn committed(
    store: &Store,
    epoch: Epoch,
    from: &HyperNodeId,
) -> Result<Option<Digest>, StoreError> {
    let stored = store.object(epoch, BoardObject::Commit(Vec::new()).kind(), from)?;
    let commit = stored.and_then(|(_, bytes)| cose::open::<Commit>(&bytes, &from.0).ok());
    Ok(commit.map(|commit| commit.payload().commitment))
}

fn own(peer: HyperNodeId, kind: &str, opened: &Opened) -> Result<(), Refusal> {
    let from = opened.from();
    if from != peer {
        return Err(not_allowed(format!(
            "{kind}: signed by {from}, posted by {peer}"
        )));
    }
    Ok(())
}

fn not_allowed(text: String) -> Refusal {
    Refusal::new(RefusalCode::NotAllowed, text)
}

fn storage(error: StoreError) -> Refusal {
    Refusal::new(RefusalCode::Storage, error.to_string())
}
