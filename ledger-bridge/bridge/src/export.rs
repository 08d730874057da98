//! The ledger's half of an audit bundle: who agreed on which reports, what they came to, who signed it.
//! Layout and records are those of `assay_protocol::layout`; HyperNodes add their logs and evidence.

use anyhow::{Context, Result};
use assay_aggregate::inputs::{History, signatures_for};
use assay_ledger::AssayLedger;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak, NodeId};
use assay_protocol::item::{Blob, Item};
use assay_protocol::layout::{self, Claim, Inputs, ProvenLeaf, SignedRoot};
use std::path::Path;

use crate::config::expect_place;
use crate::replay::{self, Posted};
use crate::store::Store;

/// What a bundle is about.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The node.
    pub node: NodeId,
    /// First epoch.
    pub first: Epoch,
    /// Last epoch, included.
    pub last: Epoch,
}

/// Writes the bundle's files into `out`, which must be missing or empty; returns the void epochs.
pub fn export(
    store: &Store,
    ledger: &AssayLedger,
    history: History,
    range: &Range,
    out: &Path,
) -> Result<Vec<Epoch>> {
    replay::expect_resolved(ledger.next_epoch()?, range.first, Some(range.last))?;
    ensure_empty(out)?;
    let written = write_all(store, ledger, history, range, out);
    if written.is_err() {
        clear(out);
    }
    written
}

/// What a failed export has written into a folder that was empty would keep the next one out.
fn clear(out: &Path) {
    for entry in std::fs::read_dir(out).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = match path.is_dir() {
            true => std::fs::remove_dir_all(path),
            false => std::fs::remove_file(path),
        };
    }
}

fn write_all(
    store: &Store,
    ledger: &AssayLedger,
    mut history: History,
    range: &Range,
    out: &Path,
) -> Result<Vec<Epoch>> {
    write(out, layout::PARAMS, &history.params().encode())?;
    for (digest, class) in history.classes() {
        write(out, &layout::class(digest), &class.encode())?;
    }
    let mut void = Vec::new();
    while history.next() <= range.last {
        let epoch = history.next();
        let posted = replay::follow(store, ledger, &mut history)?;
        match posted {
            _ if epoch < range.first => {}
            None => void.push(epoch),
            Some(posted) => write_epoch(out, ledger, range.node, &posted)?,
        }
    }
    let claim = Claim {
        schema: 1,
        network: history.network(),
        node: range.node,
        first: range.first,
        last: range.last,
        void: void.clone(),
    };
    write(out, layout::CLAIM, &claim.encode())?;
    Ok(void)
}

fn write_epoch(out: &Path, ledger: &AssayLedger, node: NodeId, posted: &Posted) -> Result<()> {
    let epoch = posted.outcome.root.epoch;
    let root = signed_root(ledger, posted)?;
    write(out, &layout::root(epoch), &root.encode())?;
    write(
        out,
        &layout::leaf(epoch),
        &proven_leaf(node, posted)?.encode(),
    )?;
    let mut entries = Vec::new();
    for (hypernode, included) in &posted.reports {
        let revealed = posted
            .gathered
            .reveal(hypernode)
            .context("an agreed report is missing")?;
        entries.push((*hypernode, included.commit, revealed.salt));
        write(
            out,
            &layout::report(epoch, hypernode),
            revealed.report.bytes(),
        )?;
    }
    let entries: Vec<(HyperNodeId, Digest, [u8; 32])> = entries;
    write(out, &layout::inputs(epoch), &Inputs { entries }.encode())
}

fn signed_root(ledger: &AssayLedger, posted: &Posted) -> Result<SignedRoot> {
    let (root, committee) = (&posted.outcome.root, posted.signing.committee());
    let digest: Keccak = root.digest(ledger.chain_id()?, &ledger.contract());
    let signatures = signatures_for(&posted.signing, &posted.gathered.under(&digest));
    let blob = |s: Option<[u8; 65]>| Blob(s.map_or_else(Vec::new, |s| s.to_vec()));
    let signatures = signatures.into_iter().map(blob).collect();
    let roster = posted.roster.entries().to_vec();
    Ok(root.record(committee, signatures, roster))
}

fn proven_leaf(node: NodeId, posted: &Posted) -> Result<ProvenLeaf> {
    let outcome = &posted.outcome;
    let epoch = outcome.root.epoch;
    let leaf = outcome.leaves.iter().find(|leaf| leaf.node == node).with_context(|| {
        format!("node {node} has no leaf in epoch {epoch}\nhint: start after the epoch in which it was registered")
    })?;
    Ok(ProvenLeaf {
        abi: Blob(leaf.abi()),
        proof: outcome.tree.proof(&leaf.hash())?,
    })
}

fn ensure_empty(out: &Path) -> Result<()> {
    let is_empty = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| out.display().to_string()),
    };
    let why = "expected a new folder, but it is there and not empty";
    Ok(expect_place(is_empty, out, why)?)
}

fn write(out: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = out.join(name);
    let folder = path.parent().unwrap_or(out);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, bytes))
        .with_context(|| path.display().to_string())
}
