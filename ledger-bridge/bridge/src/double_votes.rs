//! Votes of one HyperNode for two input sets. One board takes one vote only: whoever says two things says them to different
//! bridges, and their boards are compared; or to one, which keeps the refused vote as a proof.

use assay_protocol::cose;
use assay_protocol::ids::{Epoch, HyperNodeId, NetworkId};
use assay_protocol::report::Vote;
use assay_protocol::wire::BoardObject;
use std::collections::BTreeMap;

use crate::store::{Store, StoreError};

/// A vote with its Ed25519 signature.
pub type SignedVote = (Vote, [u8; 64]);

/// Of every HyperNode that contradicts itself in an epoch one pair of votes.
pub fn find(
    boards: [&Store; 2],
    network: NetworkId,
    epoch: Epoch,
) -> Result<Vec<[SignedVote; 2]>, StoreError> {
    let [first, second] = boards;
    let (first, mut second) = (
        votes(first, network, epoch)?,
        votes(second, network, epoch)?,
    );
    let pair = |(key, one): (Place, SignedVote)| {
        let other = second.remove(&key)?;
        contradict(&one, &other).then_some([one, other])
    };
    Ok(first.into_iter().filter_map(pair).collect())
}

/// Of every HyperNode whose second vote a board has refused the pair, in one epoch or in all.
pub fn refused(
    board: &Store,
    network: NetworkId,
    of: Option<Epoch>,
) -> Result<Vec<[SignedVote; 2]>, StoreError> {
    let mut pairs = Vec::new();
    for kept in board.contradictions(of)? {
        let stored = board.object(kept.epoch, &kept.place, &kept.from)?;
        let first = stored.and_then(|(_, bytes)| open(&BoardObject::Vote(bytes)));
        let pair = first.zip(open(&kept.object));
        pairs.extend(pair.filter(|(a, b)| contradict(a, b) && a.0.network == network));
    }
    Ok(pairs.into_iter().map(<[SignedVote; 2]>::from).collect())
}

/// Whether a refused object proves, with the stored one, that its author voted for two input sets.
pub fn is_proof(stored: &[u8], refused: &BoardObject) -> bool {
    let stored = open(&BoardObject::Vote(stored.to_vec()));
    let both = stored.zip(open(refused));
    both.is_some_and(|(first, second)| contradict(&first, &second))
}

/// What the contract takes for two votes (`AssayFaults.twoVotes`).
fn contradict((a, _): &SignedVote, (b, _): &SignedVote) -> bool {
    let who = |vote: &Vote| (vote.network, vote.epoch, vote.round, vote.hypernode);
    who(a) == who(b) && a.input_set != b.input_set
}

fn place((vote, _): &SignedVote) -> Place {
    (vote.hypernode, vote.round)
}

/// Who votes in which round.
type Place = (HyperNodeId, u32);

/// The votes on a board that are what they say.
fn votes(
    board: &Store,
    network: NetworkId,
    epoch: Epoch,
) -> Result<BTreeMap<Place, SignedVote>, StoreError> {
    let (mut found, mut after) = (BTreeMap::new(), 0);
    loop {
        let stored = board.batch(epoch, after)?;
        let Some(last) = stored.last() else {
            return Ok(found);
        };
        after = last.number;
        for object in &stored {
            if let Some(vote) = open(&object.object)
                && (vote.0.network, vote.0.epoch) == (network, epoch)
            {
                found.insert(place(&vote), vote);
            }
        }
    }
}

fn open(object: &BoardObject) -> Option<SignedVote> {
    let BoardObject::Vote(bytes) = object else {
        return None;
    };
    let key = cose::claimed_signer(bytes, bytes.len()).ok()?;
    let signed = cose::open::<Vote>(bytes, &key).ok()?;
    let signature = cose::signature_of(&signed).ok()?;
    let vote = signed.into_payload();
    (vote.hypernode.0 == key).then_some((vote, signature))
}
