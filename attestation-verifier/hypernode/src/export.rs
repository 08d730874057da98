//! This HyperNode's part of an audit bundle: outcomes, proofs and raw evidence about one node.

use crate::context::Context;
use anyhow::{Context as _, Result, bail};
use assay_log::Leaf;
use assay_log::leaf::entry_hashes;
use assay_protocol::ids::{Digest, Epoch, NodeId, Slot};
use assay_protocol::item::{Blob, Item as _};
use assay_protocol::layout::{self, OutcomePlace, Proofs, SlotProof};
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use assay_protocol::merkle;
use assay_store::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Writes the part for the epochs `first..=last` below `out`, which must not exist yet. Returns the files written.
pub fn write(
    context: &Context,
    node: NodeId,
    first: Epoch,
    last: Epoch,
    out: &Path,
) -> Result<usize> {
    let mut files = BTreeMap::new();
    for epoch in (first.0..=last.0).map(Epoch) {
        if let Some(size) = context.closed_at(epoch)? {
            collect(context, node, epoch, size, &mut files)?;
        }
    }
    fs::create_dir(out)
        .with_context(|| format!("export folder {}: it must be new", out.display()))?;
    for (path, bytes) in &files {
        let path = out.join(path);
        path.parent().map(fs::create_dir_all).transpose()?;
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(files.len())
}

fn collect(
    context: &Context,
    node: NodeId,
    epoch: Epoch,
    log_size: u64,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    let own = context.own;
    let records = context.journal(|journal| journal.node_records(epoch, node))?;
    let unknown = context
        .journal(|journal| journal.node_leaf(epoch, node))?
        .is_none();
    if unknown && records.is_empty() {
        return Ok(());
    }
    for (number, record) in (0u32..).zip(&records) {
        files.insert(layout::outcome(epoch, &own, number), record.signed.clone());
        // What an older program wrote and nobody can read has its place in the log all the same.
        let opened = context.own_outcome(&record.signed).ok();
        for reference in opened.map_or(Vec::new(), |opened| opened.into_payload().evidence) {
            let sha256 = context
                .raw_of(&reference.salted_digest)?
                .with_context(|| format!("raw evidence {} is lost", reference.salted_digest))?;
            let raw = context.objects.get(&sha256, EVIDENCE_BYTES_MAX as u64)?;
            files.insert(layout::evidence(&sha256), raw);
        }
    }
    let proofs = proofs(context, node, epoch, log_size, &records)?;
    files.insert(layout::proofs(epoch, &own), proofs.encode());
    let note = context
        .journal(|journal| journal.checkpoint_at(log_size))?
        .with_context(|| format!("no checkpoint at size {}", log_size))?;
    files.insert(layout::checkpoint(epoch, &own), note.into_bytes());
    Ok(())
}

fn proofs(
    context: &Context,
    node: NodeId,
    epoch: Epoch,
    size: u64,
    records: &[Record],
) -> Result<Proofs> {
    let index = context
        .journal(|journal| journal.node_leaf(epoch, node))?
        .with_context(|| format!("epoch {epoch} of node {node} is not closed"))?;
    let slots: BTreeSet<Slot> = records.iter().map(|record| record.slot).collect();
    let slots = slots
        .into_iter()
        .map(|slot| {
            let index = context
                .journal(|journal| journal.slot_leaf(epoch, slot))?
                .with_context(|| format!("slot {slot} of epoch {epoch} is not closed"))?;
            let (leaf, path) = leaf_and_path(context, index, size)?;
            Ok(SlotProof {
                leaf: Blob(leaf.encode()),
                index,
                path,
            })
        })
        .collect::<Result<_>>()?;
    let places = records
        .iter()
        .map(|record| place(context, epoch, record))
        .collect::<Result<_>>()?;
    let (leaf, path) = leaf_and_path(context, index, size)?;
    Ok(Proofs {
        node_leaf: Blob(leaf.encode()),
        index,
        path,
        slots,
        places,
    })
}

fn leaf_and_path(context: &Context, index: u64, size: u64) -> Result<(Leaf, Vec<Digest>)> {
    context
        .journal(|journal| {
            let path = journal.tree().inclusion_proof(index, size)?;
            Ok((journal.leaf(index)?, path))
        })
        .map_err(Into::into)
        .and_then(|(leaf, path)| Ok((leaf.with_context(|| format!("log: no leaf {index}"))?, path)))
}

fn place(context: &Context, epoch: Epoch, record: &Record) -> Result<OutcomePlace> {
    let all = context.journal(|journal| journal.slot_records(epoch, record.slot))?;
    let digests: Vec<Digest> = all.iter().map(Record::digest).collect();
    let Some(position) = all.iter().position(|other| other == record) else {
        bail!("slot {} does not hold a record of its own", record.slot);
    };
    let position = position as u64;
    let path = merkle::inclusion_proof(&entry_hashes(&digests), position)?;
    Ok(OutcomePlace {
        slot: record.slot,
        salt: record.salt,
        position,
        path,
    })
}
