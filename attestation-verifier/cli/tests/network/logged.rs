//! Signed outcomes in a HyperNode's log, with their proofs, and the report about them.

use super::{Cast, Draft, Files, Key, Memory, PROVIDER};
use assay_appraisal::summary::{self, Attested};
use assay_log::leaf::{self, Leaf, SlotLeaf, entries_root, entry_hashes, salted_digest};
use assay_log::{Checkpoint, Tree, checkpoint, sign_checkpoint};
use assay_protocol::cose::{self, Signer};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Beacon, Digest, Epoch, Slot};
use assay_protocol::item::{Blob, Item};
use assay_protocol::layout::{self, OutcomePlace, Proofs, SlotProof};
use assay_protocol::merkle;
use assay_protocol::outcome::{Outcome, OutcomeKind, metric};
use assay_protocol::region::RegionId;
use assay_protocol::report::{NodeReport, RegionReveal, Report};
use std::collections::BTreeMap;

/// Signs and logs the outcomes, writes them with their proofs, and makes the report.
pub(super) fn logged(
    cast: &Cast,
    who: usize,
    epoch: u64,
    beacon: Beacon,
    memory: &mut Memory,
    drafts: &[Draft],
    files: &mut Files,
) -> Report {
    let key = &cast.hypernodes[who];
    let (id, at) = (key.id(), Epoch(epoch));
    let signed = sign_outcomes(key, at, drafts, files);
    let digests: Vec<Digest> = signed.iter().map(|signed| signed.salted).collect();
    let outcome_root = entries_root(&digests);
    let (slots, places) = slot_leaves(at, &signed, &mut memory.log);
    let count = digests.len() as u32;
    let node_leaf = Leaf::Node(leaf::NodeLeaf {
        epoch: at,
        node: cast.tpm.node,
        count,
        root: outcome_root,
    });
    let index = memory.log.append(node_leaf.hash());
    let (size, root) = (memory.log.size(), memory.log.root());
    let proof = |index| memory.log.inclusion_proof(index, size).unwrap();
    let slot_proof = |(leaf, index): &(Leaf, u64)| SlotProof {
        leaf: Blob(leaf.encode()),
        index: *index,
        path: proof(*index),
    };
    let proofs = Proofs {
        node_leaf: Blob(node_leaf.encode()),
        index,
        path: proof(index),
        slots: slots.iter().map(slot_proof).collect(),
        places,
    };
    files.insert(layout::proofs(at, &id), proofs.encode());
    let note = Checkpoint {
        origin: checkpoint::origin(&cast.network, &id),
        size,
        root,
    };
    let note = sign_checkpoint(&note, &id, |bytes| key.sign(bytes)).unwrap();
    files.insert(layout::checkpoint(at, &id), note.into_bytes());
    let outcomes: Vec<Outcome> = signed.into_iter().map(|signed| signed.outcome).collect();
    Report {
        network: cast.network,
        epoch: at,
        hypernode: id,
        seed: cast.seed(who, epoch),
        log_size: size,
        log_root: root,
        nodes: vec![node_report(
            cast,
            who,
            epoch,
            beacon,
            &outcomes,
            outcome_root,
        )],
        at: cast.params.epoch_end(at),
    }
}

struct SignedOutcome {
    outcome: Outcome,
    salt: [u8; 32],
    salted: Digest,
}

fn sign_outcomes(key: &Key, at: Epoch, drafts: &[Draft], files: &mut Files) -> Vec<SignedOutcome> {
    let mut all = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let mut outcome = draft.outcome.clone();
        for (raw, media) in &draft.raw {
            outcome
                .evidence
                .push(Outcome::reference(&outcome.r, raw, media));
            files.insert(layout::evidence(&digest(&[raw])), raw.clone());
        }
        let signed = cose::seal(outcome.clone(), key).bytes().to_vec();
        let salt = [number as u8; 32];
        let salted = salted_digest(&salt, &signed);
        files.insert(layout::outcome(at, &key.id(), number as u32), signed);
        all.push(SignedOutcome {
            outcome,
            salt,
            salted,
        });
    }
    all
}

/// The slot leaves, appended to the log, and each outcome's place in its own. Another node's entry comes first in each.
fn slot_leaves(
    at: Epoch,
    signed: &[SignedOutcome],
    log: &mut Tree,
) -> (Vec<(Leaf, u64)>, Vec<OutcomePlace>) {
    let mut by_slot: BTreeMap<Slot, Vec<Digest>> = BTreeMap::new();
    let mut positions = Vec::new();
    for SignedOutcome {
        outcome, salted, ..
    } in signed
    {
        let entries = by_slot
            .entry(outcome.place.1)
            .or_insert_with(|| vec![Digest([9; 32])]);
        positions.push(entries.len() as u64);
        entries.push(*salted);
    }
    let append = |(slot, entries): (&Slot, &Vec<Digest>)| {
        let (count, root) = (entries.len() as u32, entries_root(entries));
        let leaf = Leaf::Slot(SlotLeaf {
            epoch: at,
            slot: *slot,
            count,
            root,
        });
        let index = log.append(leaf.hash());
        (leaf, index)
    };
    let leaves = by_slot.iter().map(append).collect();
    let place = |(SignedOutcome { outcome, salt, .. }, position): (&SignedOutcome, u64)| {
        let slot = outcome.place.1;
        let path = merkle::inclusion_proof(&entry_hashes(&by_slot[&slot]), position).unwrap();
        OutcomePlace {
            slot,
            salt: *salt,
            position,
            path,
        }
    };
    (leaves, signed.iter().zip(positions).map(place).collect())
}

fn node_report(
    cast: &Cast,
    who: usize,
    epoch: u64,
    beacon: Beacon,
    outcomes: &[Outcome],
    outcome_root: Digest,
) -> NodeReport {
    let at = Epoch(epoch);
    let attests = outcomes
        .iter()
        .filter(|outcome| outcome.kind == OutcomeKind::Attest);
    let attested: Vec<_> = attests
        .map(|outcome| Attested {
            class: outcome.class,
            tier: outcome.metric(metric::TIER).unwrap_or(0) as u8,
            owner: Some(PROVIDER),
            chips: None,
        })
        .collect();
    NodeReport {
        node: cast.tpm.node,
        class: cast.class.digest(),
        cells: summary::cells(
            outcomes,
            at,
            cast.params.slots(),
            &cast.panel_slots(who, epoch, beacon),
        ),
        attest: summary::attest(&attested),
        chase: summary::chase(outcomes),
        outcome_root,
        outcomes: outcomes.len() as u32,
        reveals: reveals(cast, who, at),
    }
}

/// The keys of the period before, once more, and of the one that ends with this epoch, or with its HyperNode's stake.
fn reveals(cast: &Cast, who: usize, at: Epoch) -> Vec<RegionReveal> {
    let leaves = cast.is_out(who, at.0 + 1);
    let ends = cast.params.region_generation(at.next());
    let over = ends.max(cast.params.region_generation(at) + u64::from(leaves));
    let first = cast.params.region_generation(at).saturating_sub(1);
    let reveal = |generation| RegionReveal {
        region: 0,
        generation,
        key: cast.region_key(
            who,
            RegionId {
                region: 0,
                generation,
            },
        ),
    };
    (first..over).map(reveal).collect()
}
