//! A log of a HyperNode that contradicts itself, found in what it showed to different people: checkpoints, and the leaves
//! that audit bundles prove under them. It has forked, or it says two things about one slot or node.

use anyhow::Result;
use assay_ledger::{Action, IncludedLeaf, IncludedRecord, SignedHead};
use assay_log::checkpoint::{CheckpointError, origin, verify_checkpoint};
use assay_log::leaf::Leaf;
use assay_log::{leaf_hash, verify_inclusion};
use assay_protocol::ids::{Digest, HyperNodeId, NetworkId};
use assay_protocol::layout::{self, Proofs};
use std::collections::BTreeMap;

use crate::bundle::Bundle;

/// A checkpoint of a log and the leaves that are proven under it.
#[derive(Debug, Clone)]
pub struct Head {
    /// What the HyperNode signed.
    pub signed: SignedHead,
    leaves: BTreeMap<u64, IncludedLeaf>,
    /// By what they are about.
    records: Vec<(Vec<u8>, IncludedRecord)>,
}

/// Whose log.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// The network.
    pub network: NetworkId,
    /// The HyperNode.
    pub hypernode: HyperNodeId,
}

impl Log {
    /// A checkpoint alone.
    pub fn head(&self, note: &[u8]) -> Result<Head, CheckpointError> {
        let origin = origin(&self.network, &self.hypernode);
        let checkpoint = verify_checkpoint(note, &origin, &self.hypernode)?;
        Ok(Head {
            signed: SignedHead {
                network: self.network,
                hypernode: self.hypernode,
                size: checkpoint.size(),
                root: checkpoint.root(),
                signature: *checkpoint.signature(),
            },
            leaves: BTreeMap::new(),
            records: Vec::new(),
        })
    }

    /// Every checkpoint in a bundle with the leaves it proves; what does not hold is left out.
    pub fn heads_in(&self, bundle: &Bundle) -> Vec<Head> {
        let path = |epoch| layout::checkpoint(epoch, &self.hypernode);
        let head = |epoch| {
            let mut head = self.head(bundle.get(&path(epoch))?).ok()?;
            let proofs = bundle.record(&layout::proofs(epoch, &self.hypernode));
            if let Ok(proofs) = proofs {
                head.prove_all(&proofs);
            }
            Some(head)
        };
        bundle.epochs(path).into_iter().filter_map(head).collect()
    }
}

impl Head {
    fn prove_all(&mut self, proofs: &Proofs) {
        self.record(&proofs.node_leaf.0, proofs.index, &proofs.path);
        for slot in &proofs.slots {
            self.record(&slot.leaf.0, slot.index, &slot.path);
        }
    }

    fn record(&mut self, data: &[u8], index: u64, path: &[Digest]) {
        let hash = leaf_hash(data);
        self.prove(hash, index, path);
        let is_proven = self
            .leaves
            .get(&index)
            .is_some_and(|leaf| leaf.hash == hash);
        if let Ok(leaf) = Leaf::decode(data)
            && is_proven
        {
            let (data, path) = (data.to_vec(), path.to_vec());
            let record = IncludedRecord { data, index, path };
            self.records.push((leaf.subject(), record));
        }
    }

    /// A leaf, and the one beside it: its hash is the first of the path.
    fn prove(&mut self, hash: Digest, index: u64, path: &[Digest]) {
        self.prove_one(hash, index, path.to_vec());
        if let Some((beside, rest)) = path.split_first() {
            let path = [&[hash], rest].concat();
            self.prove_one(*beside, index ^ 1, path);
        }
    }

    fn prove_one(&mut self, hash: Digest, index: u64, path: Vec<Digest>) {
        let SignedHead { size, root, .. } = self.signed;
        if verify_inclusion(&hash, index, size, &path, &root).is_ok() {
            self.leaves.insert(index, IncludedLeaf { hash, path });
        }
    }
}

/// What heads show, for messages.
pub fn describe(heads: &[Head]) -> String {
    let sizes = || heads.iter().map(|head| head.signed.size);
    let proven: usize = heads.iter().map(|head| head.leaves.len()).sum();
    match heads {
        [] => "no checkpoint".to_owned(),
        [one] => format!(
            "one of {} leaves ({proven} proven) with root {}",
            one.signed.size, one.signed.root
        ),
        _ => format!(
            "{} of {} to {} leaves ({proven} proven)",
            heads.len(),
            sizes().min().unwrap_or(0),
            sizes().max().unwrap_or(0)
        ),
    }
}

/// The first proof that two of these heads are not of one log, or that the log says two things about one subject.
pub fn proof(heads: &[Head]) -> Option<Action> {
    forked(heads).or_else(|| contradicted(heads))
}

fn contradicted(heads: &[Head]) -> Option<Action> {
    let mut said = BTreeMap::new();
    heads.iter().find_map(|head| {
        head.records.iter().find_map(|(subject, record)| {
            let (first, other): &(&Head, &IncludedRecord) =
                said.entry(subject).or_insert((head, record));
            let signed = [&first.signed, &head.signed];
            let differ = other.data != record.data;
            differ.then(|| Action::convict_of_records(signed, [other, record]))
        })
    })
}

fn forked(heads: &[Head]) -> Option<Action> {
    let (mut sizes, mut leaves) = (BTreeMap::new(), BTreeMap::new());
    heads.iter().find_map(|head| {
        let twin: &Head = sizes.entry(head.signed.size).or_insert(head);
        if twin.signed.root != head.signed.root {
            return Some(Action::convict_of_fork([&twin.signed, &head.signed]));
        }
        head.leaves.iter().find_map(|(index, leaf)| {
            let (first, other) = *leaves.entry(*index).or_insert((head, leaf));
            let signed = [&first.signed, &head.signed];
            let differ = other.hash != leaf.hash;
            differ.then(|| Action::convict_of_leaves(signed, *index, [other, leaf]))
        })
    })
}
