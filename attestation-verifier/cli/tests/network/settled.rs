//! The epoch's root, signed by all, and the node's leaf in it.

use super::{Cast, Files, Lie, PROVIDER, Part};
use assay_aggregate::epoch::{Included, Registration, Standing};
use assay_aggregate::inputs::History;
use assay_aggregate::root::{EpochRoot, Member, OutcomeTree, RewardLeaf, sign};
use assay_protocol::ids::{Address, Epoch, HyperNodeId};
use assay_protocol::item::{Blob, Item};
use assay_protocol::layout::{self, ProvenLeaf};
use std::collections::BTreeMap;

/// For an epoch's rewards, in wei; a pass asks for more.
const BUDGET: u128 = 7_000_000_000;

/// Aggregates, signs the root and writes the epoch's ledger half.
pub(super) fn settle(
    cast: &Cast,
    history: &mut History,
    epoch: u64,
    included: &BTreeMap<HyperNodeId, Included>,
    lie: Lie<'_>,
    files: &mut Files,
) {
    let at = Epoch(epoch);
    let mut registrations = vec![Registration {
        node: cast.tpm.node,
        provider: PROVIDER,
        class: cast.class.digest(),
        standing: Standing::Waiting,
    }];
    lie(Part::Registrations(epoch, &mut registrations));
    let outcome = history.aggregate(registrations, included, BUDGET).unwrap();
    let mut leaf = outcome.leaves[0];
    lie(Part::Leaf(epoch, &mut leaf));
    let rewards = outcome.rewards.iter().map(RewardLeaf::hash);
    let tree = OutcomeTree::new(rewards.chain([leaf.hash()]).collect());
    let mut root = EpochRoot {
        root: tree.root(),
        ..outcome.root
    };
    lie(Part::Root(epoch, &mut root));
    let digest = root.digest(cast.params.chain_id, &cast.params.contract);
    let member = |address: &Address| cast.registered.iter().position(|e| e.ledger == *address);
    let committee = history.signers();
    let signature = |m: &Member| {
        let who = member(&m.address).unwrap();
        Blob(sign(&digest, &ledger_key(who)).unwrap().to_vec())
    };
    let roster = history.roster(at).unwrap().entries().to_vec();
    let mut signatures: Vec<Blob> = committee.members().iter().map(signature).collect();
    lie(Part::Signatures(epoch, &mut signatures));
    let signed = root.record(committee, signatures, roster);
    files.insert(layout::root(at), signed.encode());
    let proven = ProvenLeaf {
        abi: Blob(leaf.abi()),
        proof: tree.proof(&leaf.hash()).unwrap(),
    };
    files.insert(layout::leaf(at), proven.encode());
    history.posted(&outcome, included).unwrap();
}

pub(super) fn ledger_key(who: usize) -> [u8; 32] {
    [who as u8 + 0x31; 32]
}
