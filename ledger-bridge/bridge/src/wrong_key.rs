//! A region whose revealed key does not make the blocks that its receipt was signed for. The key is in a report, the receipt
//! and the blocks are where the node keeps its regions: only who was filled can show the block that differs.

use anyhow::{Context, Result, ensure};
use assay_ledger::{IncludedLeaf, SignedReceipt, WrongBlock};
use assay_protocol::answers::{Countersigned, FillReceipt};
use assay_protocol::cose::{claimed_signer, open, signature_of};
use assay_protocol::ids::{HyperNodeId, RegionKey, SessionKey};
use assay_protocol::layout;
use assay_protocol::limits::SMALL_OBJECT_BYTES_MAX;
use assay_protocol::merkle::{inclusion_proof, leaf_hash, root};
use assay_protocol::region::{BLOCK_BYTES, Keystream, key_hash};
use assay_protocol::report::Report;
use std::io::Read;

use crate::bundle::Bundle;

/// Opens a receipt that both sides signed.
pub fn receipt(bytes: &[u8]) -> Result<SignedReceipt> {
    let outer_key = claimed_signer(bytes, SMALL_OBJECT_BYTES_MAX)?;
    let outer = open::<Countersigned>(bytes, &outer_key)?;
    let signature = signature_of(&outer)?;
    let outer = outer.into_payload();
    let session_key = claimed_signer(&outer.receipt.0, SMALL_OBJECT_BYTES_MAX)?;
    let inner = open::<FillReceipt>(&outer.receipt.0, &session_key)?;
    let node_signature = signature_of(&inner)?;
    let receipt = inner.into_payload();
    ensure!(
        receipt.hypernode.0 == outer_key,
        "receipt: expected the signature of its HyperNode {}, got that of {}",
        receipt.hypernode,
        HyperNodeId(outer_key)
    );
    ensure!(
        receipt.node == outer.node,
        "receipt of node {}: expected to be signed for it, got node {}",
        receipt.node,
        outer.node
    );
    Ok(SignedReceipt {
        receipt,
        session_key: SessionKey(session_key),
        node_signature,
        at: outer.at,
        signature,
    })
}

/// The key of a receipt's region, as its HyperNode's reports in a bundle reveal it.
pub fn revealed(bundle: &Bundle, receipt: &FillReceipt) -> Result<RegionKey> {
    let path = |epoch| layout::report(epoch, &receipt.hypernode);
    let mut other = None;
    for epoch in bundle.epochs(path) {
        let bytes = bundle.get(&path(epoch)).unwrap_or_default();
        let Ok(report) = open::<Report>(bytes, &receipt.hypernode.0) else {
            continue;
        };
        let nodes = report.payload().nodes.iter();
        let of_node = nodes.filter(|entry| entry.node == receipt.node);
        for reveal in of_node.flat_map(|entry| &entry.reveals) {
            if (reveal.region, reveal.generation) != (receipt.region, receipt.generation) {
                continue;
            }
            let hash = key_hash(&reveal.key);
            if hash == receipt.key_hash {
                return Ok(reveal.key);
            }
            other = Some(hash);
        }
    }
    let place = format!(
        "{}: region {} generation {} of node {}",
        bundle.name(),
        receipt.region,
        receipt.generation,
        receipt.node
    );
    let expected = receipt.key_hash;
    let other = other.with_context(|| {
        format!("{place}: expected a key revealed by HyperNode {}, got none\nhint: it is in the report of the period's last epoch", receipt.hypernode)
    })?;
    anyhow::bail!(
        "{place}: expected the key whose hash is {expected}, got one with hash {other}\n\
         hint: the contract convicts by the key that the receipt names, and by no other"
    )
}

/// The first block that the key does not make, among those that the receipt was signed for.
pub fn wrong_block(
    receipt: &FillReceipt,
    key: &RegionKey,
    region: &mut impl Read,
) -> Result<WrongBlock> {
    let keystream = Keystream::new(key)?;
    let (mut leaves, mut wrong) = (Vec::new(), None);
    let mut block = [0; BLOCK_BYTES];
    for index in 0..receipt.blocks {
        region
            .read_exact(&mut block)
            .with_context(|| format!("region: expected {} blocks, got {index}", receipt.blocks))?;
        leaves.push(leaf_hash(&block));
        if wrong.is_none() && keystream.block(index)? != block {
            wrong = Some((index, leaf_hash(&block)));
        }
    }
    let actual = root(&leaves);
    ensure!(
        actual == receipt.root,
        "region: expected the root {} of the receipt, got {actual}\n\
         hint: another region, or its blocks were altered since",
        receipt.root
    );
    let (index, hash) = wrong.with_context(|| {
        format!(
            "region: expected a block that the revealed key does not make, but it makes all {}",
            receipt.blocks
        )
    })?;
    let path = inclusion_proof(&leaves, index.into())?;
    Ok(WrongBlock {
        key: *key,
        index,
        leaf: IncludedLeaf { hash, path },
    })
}
