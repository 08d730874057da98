//! Votes of one HyperNode for two input sets, found by comparing two boards: one board takes one vote only, so whoever says
//! different things says them to different bridges.

use assay_protocol::cose;
use assay_protocol::ids::{Epoch, HyperNodeId, NetworkId};
use assay_protocol::report::Vote;
use assay_protocol::wire::BoardObject;
use std::collections::BTreeMap;

use crate::store::{Store, StoreError};

/// Objects read from a store at once.
const BATCH: usize = 256;

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
        (one.0.input_set != other.0.input_set).then_some([one, other])
    };
    Ok(first.into_iter().filter_map(pair).collect())
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
        let stored = board.objects(epoch, after, BATCH, usize::MAX)?;
        let Some(last) = stored.last() else {
            return Ok(found);
        };
        after = last.number;
        for object in &stored {
            if let Some(vote) = open(&object.object)
                && (vote.0.network, vote.0.epoch) == (network, epoch)
            {
                found.insert((vote.0.hypernode, vote.0.round), vote);
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
