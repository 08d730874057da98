//! The fill: a region of the node's disk written with keystream only this HyperNode can make.

use super::{ANSWER_WAIT, Asking, CONNECT_WAIT};
use crate::agent_link::AgentLink;
use crate::clock;
use anyhow::{Context as _, Result, bail};
use assay_protocol::answers::{Countersigned, FillReceipt};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, SessionKey};
use assay_protocol::item::Blob;
use assay_protocol::limits::FILL_CHUNK_BYTES_MAX;
use assay_protocol::merkle;
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::region::{BLOCK_BYTES, Keystream, RegionId, key_hash};
use assay_protocol::wire::{AgentReply, AgentRequest};

/// Fills a region once. The key's hash is in the log before the first block; only a receipt signed by both sides counts.
pub async fn run(asking: &Asking<'_>, session: SessionKey, id: RegionId) -> Result<OutcomeClass> {
    let context = asking.context;
    log_key_hash(asking, id)?;
    let begun = clock::now();
    let receipt = match attempt(asking, session, id).await {
        Ok(receipt) => receipt,
        Err(error) => {
            let mut draft = asking.draft(OutcomeKind::Fill, OutcomeClass::Inconclusive);
            draft.detail = crate::explain(&error);
            context.record(draft)?;
            return Ok(OutcomeClass::Inconclusive);
        }
    };
    let blocks = u64::from(asking.class.budget.region_blocks);
    let micros = clock::now().0.saturating_sub(begun.0).saturating_mul(1_000);
    let mut draft = asking.draft(OutcomeKind::Fill, OutcomeClass::Pass);
    draft.metrics = vec![
        (
            metric::FILL_BYTES,
            blocks.saturating_mul(BLOCK_BYTES as u64),
        ),
        (metric::FILL_US, micros),
    ];
    draft.raw.push((receipt.clone(), media::RECEIPT));
    if context.record(draft)?.is_none() {
        return Ok(OutcomeClass::Inconclusive);
    }
    context.keep_receipt(&asking.node.node, id, &receipt)?;
    Ok(OutcomeClass::Pass)
}

fn log_key_hash(asking: &Asking<'_>, id: RegionId) -> Result<()> {
    let hash = key_hash(&asking.context.region_key(&asking.node.node, id));
    let mut draft = asking.draft(OutcomeKind::RegionKey, OutcomeClass::Pass);
    draft
        .raw
        .push((region_key_record(id, &hash), media::REGION_KEY_HASH));
    asking.context.record(draft)?;
    Ok(())
}

/// Raw evidence of a `region-key` outcome: region u32 ‖ generation u64 ‖ key hash, big-endian.
pub fn region_key_record(id: RegionId, hash: &Digest) -> Vec<u8> {
    [
        &id.region.to_be_bytes()[..],
        &id.generation.to_be_bytes(),
        &hash.0,
    ]
    .concat()
}

async fn attempt(asking: &Asking<'_>, session: SessionKey, id: RegionId) -> Result<Vec<u8>> {
    let context = asking.context;
    let key = context.region_key(&asking.node.node, id);
    let blocks = asking.class.budget.region_blocks;
    let endpoint = &asking.node.endpoint;
    let mut link =
        AgentLink::connect(&context.identity, endpoint, Some(session), CONNECT_WAIT).await?;
    let begin = AgentRequest::FillBegin {
        id,
        key_hash: key_hash(&key),
        blocks,
    };
    ready(&mut link, &begin).await?;
    let root = stream(&mut link, &Keystream::new(&key)?, blocks).await?;
    let AgentReply::Answer { bytes } = link.ask(&AgentRequest::FillEnd, ANSWER_WAIT).await? else {
        return Err(link.unexpected("a receipt").into());
    };
    check(asking, &bytes, session, id, key_hash(&key), root)?;
    let countersigned = Countersigned {
        node: asking.node.node,
        receipt: Blob(bytes),
        at: clock::now(),
    };
    let receipt = cose::seal(countersigned, &context.identity)
        .bytes()
        .to_vec();
    let request = AgentRequest::FillCountersigned {
        receipt: receipt.clone(),
    };
    ready(&mut link, &request).await?;
    Ok(receipt)
}

async fn stream(link: &mut AgentLink, keystream: &Keystream, blocks: u32) -> Result<Digest> {
    let per_chunk = u32::try_from(FILL_CHUNK_BYTES_MAX / BLOCK_BYTES).unwrap_or(1);
    let mut leaves = Vec::new();
    let mut first = 0;
    while first < blocks {
        let end = first.saturating_add(per_chunk).min(blocks);
        let mut data = Vec::with_capacity(FILL_CHUNK_BYTES_MAX);
        for index in first..end {
            let block = keystream.block(index)?;
            leaves.push(merkle::leaf_hash(&block));
            data.extend_from_slice(&block);
        }
        ready(link, &AgentRequest::FillData { first, data }).await?;
        first = end;
    }
    Ok(merkle::root(&leaves))
}

async fn ready(link: &mut AgentLink, request: &AgentRequest) -> Result<()> {
    match link.ask(request, ANSWER_WAIT).await? {
        AgentReply::Ready => Ok(()),
        _ => Err(link.unexpected("ready").into()),
    }
}

fn check(
    asking: &Asking<'_>,
    bytes: &[u8],
    session: SessionKey,
    id: RegionId,
    key_hash: Digest,
    root: Digest,
) -> Result<()> {
    let receipt = cose::open::<FillReceipt>(bytes, &session.0).context("fill receipt")?;
    let got = receipt.payload();
    let expected = FillReceipt {
        network: asking.context.network,
        node: asking.node.node,
        hypernode: asking.context.own,
        region: id.region,
        generation: id.generation,
        key_hash,
        blocks: asking.class.budget.region_blocks,
        root,
        link: got.link,
        at: got.at,
    };
    if *got != expected {
        bail!("fill receipt: expected {expected:?}, got {got:?}");
    }
    Ok(())
}
