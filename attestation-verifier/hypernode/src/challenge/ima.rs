//! How far a node's IMA list was appraised: kept from one attestation to the next, so that the agent sends what is new.
//!
//! A position is kept only of evidence that was accepted, and used only for the same attestation key and class. The
//! entries before it are kept as well, in parts, and archived beside every attestation that goes on from them: whoever
//! recomputes the verdict has them, and believes no position.

use super::Asking;
use crate::context::Context;
use anyhow::Result;
use assay_appraisal::appraise::{ImaBefore, ImaEnd};
use assay_appraisal::ima::Position;
use assay_appraisal::ima::list::LIST_BYTES_MAX;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::cbor_map;
use assay_protocol::ids::{AkName, Digest, NodeId};
use assay_protocol::item::Blob;
use assay_protocol::limits::{IMA_LIST_BYTES_MAX, OUTCOME_EVIDENCE_MAX};
use assay_protocol::wire::ImaAppraised;

cbor_map! {
    /// The kept position of a node's list.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct KeptPosition {
        /// The attestation key of the quote.
        1 => ak_name: AkName,
        /// Digest of the class that allowed the entries.
        2 => class: Digest,
        /// The position ([`Position::to_bytes`]).
        3 => position: Blob,
        /// SHA-256 and length of every part of the list before it, in order.
        4 => parts: Vec<(Digest, u64)>,
    }
}

/// What is known of a node's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    position: Position,
    parts: Vec<Vec<u8>>,
}

impl Known {
    /// What the agent is told of it.
    pub fn appraised(&self) -> ImaAppraised {
        ImaAppraised {
            reset_count: self.position.reset_count,
            entries: self.position.entries,
        }
    }

    /// What the appraisal goes on from.
    pub fn before(&self) -> ImaBefore<'_> {
        ImaBefore::Position(&self.position)
    }

    /// The entries before the position.
    pub fn parts(&self) -> &[Vec<u8>] {
        &self.parts
    }
}

/// Most parts to go on from: an outcome refers to each of them, and to what else it rests on.
const PARTS_MAX: usize = OUTCOME_EVIDENCE_MAX - 8;

/// What is known of the list of the node asked. Nothing under another key or class, of a list that has become too long
/// to go on with, or of too many parts, or when a part is gone: then the agent sends it whole.
pub fn known(asking: &Asking<'_>, record: &EnrolRecord) -> Result<Option<Known>> {
    let context = asking.context;
    let fits = |kept: &KeptPosition| {
        let bytes: u64 = kept.parts.iter().map(|(_, size)| size).sum();
        let of_it = kept.ak_name == record.ak_name && kept.class == asking.class.digest();
        let is_short = bytes <= (LIST_BYTES_MAX - IMA_LIST_BYTES_MAX) as u64;
        of_it && is_short && kept.parts.len() <= PARTS_MAX
    };
    let Some(kept) = context.ima_position(&record.node)?.filter(fits) else {
        return Ok(None);
    };
    match read(context, &kept) {
        Ok(known) => Ok(Some(known)),
        Err(error) => {
            let node = record.node;
            context.note(format!(
                "IMA list of {node}: {error}: it is asked for whole"
            ));
            forget(context, &node)?;
            Ok(None)
        }
    }
}

fn read(context: &Context, kept: &KeptPosition) -> Result<Known> {
    let parts = kept.parts.iter();
    let parts = parts.map(|(sha256, size)| Ok(context.objects.get(sha256, *size)?));
    Ok(Known {
        position: Position::from_bytes(&kept.position.0)?,
        parts: tokio::task::block_in_place(|| parts.collect::<Result<_>>())?,
    })
}

/// Keeps where an accepted list ended; `known` is what it went on from. Without an end nothing is known any more.
pub fn keep(
    asking: &Asking<'_>,
    record: &EnrolRecord,
    end: Option<&ImaEnd>,
    known: Option<Known>,
) -> Result<()> {
    let (context, node) = (asking.context, record.node);
    let Some(end) = end else {
        return forget(context, &node);
    };
    let mut parts = known.map_or(Vec::new(), |known| known.parts);
    append(&mut parts, end.part.clone());
    let put = |part: &Vec<u8>| Ok((context.objects.put(part)?, part.len() as u64));
    let parts = tokio::task::block_in_place(|| parts.iter().map(put).collect::<Result<_>>())?;
    let kept = KeptPosition {
        ak_name: record.ak_name,
        class: asking.class.digest(),
        position: Blob(end.position.to_bytes()),
        parts,
    };
    context.keep_ima_position(&node, &kept)
}

/// The list of this node is asked for whole the next time.
pub fn forget(context: &Context, node: &NodeId) -> Result<()> {
    context.forget_ima_position(node)
}

/// Adds a part. Parts that are less than twice as long as what follows are joined with it, up to the length that
/// evidence may carry: so they stay few, however often a list grows by a little.
fn append(parts: &mut Vec<Vec<u8>>, new: Vec<u8>) {
    if new.is_empty() {
        return;
    }
    let mut new = new;
    while let Some(last) = parts.last() {
        let together = last.len() + new.len();
        if last.len() >= 2 * new.len() || together > IMA_LIST_BYTES_MAX {
            break;
        }
        new.splice(0..0, parts.pop().unwrap_or_default());
    }
    parts.push(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_few_and_in_order_and_within_the_bound() {
        let mut parts = Vec::new();
        let mut whole = Vec::new();
        for n in 0..3_000u32 {
            let new = n.to_be_bytes().repeat(20 + (n as usize * 7) % 11);
            whole.extend_from_slice(&new);
            append(&mut parts, new);
            append(&mut parts, Vec::new());
            assert!(parts.len() <= 16, "{} parts", parts.len());
        }
        assert_eq!(parts.concat(), whole);
        let half = vec![0; IMA_LIST_BYTES_MAX / 2 + 1];
        let mut parts = Vec::new();
        for _ in 0..4 {
            append(&mut parts, half.clone());
        }
        assert_eq!(parts, vec![half; 4]);
    }
}
