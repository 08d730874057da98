//! Every outcome about the node lies in its HyperNode's log, and none was left out of the node leaf.

use super::case::Case;
use super::files::Files;
use super::inputs::InputSets;
use super::roots::{self, Roots};
use crate::findings::Findings;
use assay_log::checkpoint::{VerifiedCheckpoint, origin, verify_checkpoint};
use assay_log::leaf::{Leaf, NodeLeaf, SlotLeaf, entries_root, salted_digest};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Slot};
use assay_protocol::layout::{self, OutcomePlace, Proofs, SlotProof};
use assay_protocol::merkle::{leaf_hash, verify_inclusion};
use assay_protocol::outcome::Outcome;
use assay_protocol::report::{NodeReport, Report};
use std::collections::{BTreeMap, BTreeSet};

/// One outcome: signed, about this node, and in the log.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its path in the bundle.
    pub path: String,
    /// What it says.
    pub outcome: Outcome,
}

/// What one HyperNode recorded about the node in one epoch.
#[derive(Debug, Clone)]
pub struct EpochRecord {
    /// The node's part of the agreed report; `None` when its report was not agreed on (or the epoch ended void):
    /// such outcomes may enrol, bind and fill, but count for no verdict.
    pub report: Option<NodeReport>,
    /// Outcomes in the order logged.
    pub outcomes: Vec<Recorded>,
    /// Whether all outcomes the log names could be read.
    pub complete: bool,
}

/// What one HyperNode recorded about the node, by epoch.
#[derive(Debug, Clone)]
pub struct History {
    /// The HyperNode.
    pub hypernode: HyperNodeId,
    /// Its epochs.
    pub epochs: BTreeMap<Epoch, EpochRecord>,
    /// Epochs of which the bundle does not hold everything it may have recorded: no agreed report and no record beside it,
    /// or not all of its outcomes. Nothing that rests on such an epoch can be denied.
    pub gaps: BTreeSet<Epoch>,
}

impl History {
    /// All outcomes in the order logged.
    pub fn outcomes(&self) -> impl Iterator<Item = &Recorded> {
        self.epochs.values().flat_map(|record| &record.outcomes)
    }
}

/// Histories of all HyperNodes that recorded something about the node.
pub type Histories = BTreeMap<HyperNodeId, History>;

/// Where in the log an epoch of a HyperNode is looked for.
struct Place<'a> {
    case: &'a Case,
    epoch: Epoch,
    hypernode: HyperNodeId,
    /// Head of the log: of the agreed report, else of the HyperNode's own checkpoint.
    size: u64,
    root: Digest,
    report: Option<&'a NodeReport>,
    about: String,
}

/// Checks logs and outcomes of all HyperNodes that had a say.
pub fn check(
    findings: &mut Findings,
    files: &Files,
    case: &Case,
    (roots, inputs): (&Roots, &InputSets),
) -> Histories {
    let mut histories = Histories::new();
    for hypernode in roots::everybody(case, roots) {
        let (mut epochs, mut gaps) = (BTreeMap::new(), BTreeSet::new());
        for epoch in (case.claim.first.0..=case.claim.last.0).map(Epoch) {
            let agreed = inputs.get(&epoch).and_then(|agreed| agreed.get(&hypernode));
            let record = match agreed {
                Some(included) => agreed_record(findings, files, case, &included.report),
                None => beside(findings, files, case, epoch, hypernode),
            };
            // An agreed report that does not name the node says that there is nothing.
            if record.as_ref().map_or(agreed.is_none(), |r| !r.complete) {
                gaps.insert(epoch);
            }
            epochs.extend(record.map(|record| (epoch, record)));
        }
        if !epochs.is_empty() {
            let history = History {
                hypernode,
                epochs,
                gaps,
            };
            name_gaps(findings, &history);
            histories.insert(hypernode, history);
        }
    }
    histories
}

fn name_gaps(findings: &mut Findings, history: &History) {
    for epoch in &history.gaps {
        let about = about(*epoch, &history.hypernode);
        let expected = "everything it recorded, under an agreed report or beside it";
        let actual = "not in the bundle: what later rests on it is undecided";
        findings.not_checked(("log/recorded", &about), expected, actual);
    }
}

fn about(epoch: Epoch, hypernode: &HyperNodeId) -> String {
    format!("epoch {epoch}, HyperNode {hypernode}")
}

/// What lies behind an agreed report; `None` when it does not speak of the node.
fn agreed_record(
    findings: &mut Findings,
    files: &Files,
    case: &Case,
    report: &Report,
) -> Option<EpochRecord> {
    let (epoch, hypernode) = (report.epoch, report.hypernode);
    let about = about(epoch, &hypernode);
    let node = node_report(findings, case, report, &about)?;
    let (size, root) = (report.log_size, report.log_root);
    let path = layout::checkpoint(epoch, &hypernode);
    if let Some(head) = checkpoint(findings, files, case, &hypernode, &path) {
        findings.equal(("log/checkpoint-size", &path), size, head.size());
        findings.equal(("log/checkpoint-root", &path), root, head.root());
    }
    let place = Place {
        case,
        epoch,
        hypernode,
        size,
        root,
        report: Some(&node),
        about,
    };
    let read = proven_outcomes(findings, files, &place);
    let complete = read.is_some();
    Some(EpochRecord {
        report: Some(node.clone()),
        outcomes: read.unwrap_or_default(),
        complete,
    })
}

/// What a HyperNode recorded whose report was not agreed on: proven by its own checkpoint only.
fn beside(
    findings: &mut Findings,
    files: &Files,
    case: &Case,
    epoch: Epoch,
    hypernode: HyperNodeId,
) -> Option<EpochRecord> {
    let path = layout::checkpoint(epoch, &hypernode);
    files.get(&path)?;
    let about = about(epoch, &hypernode);
    let actual = "outside it: these outcomes may enrol, bind and fill, but count for no verdict";
    findings.not_checked(
        ("log/agreed", &about),
        "a report of the agreed input set",
        actual,
    );
    let head = checkpoint(findings, files, case, &hypernode, &path)?;
    let (size, root) = (head.size(), head.root());
    let place = Place {
        case,
        epoch,
        hypernode,
        size,
        root,
        report: None,
        about,
    };
    let read = proven_outcomes(findings, files, &place);
    let complete = read.is_some();
    Some(EpochRecord {
        report: None,
        outcomes: read.unwrap_or_default(),
        complete,
    })
}

fn node_report(
    findings: &mut Findings,
    case: &Case,
    report: &Report,
    about: &str,
) -> Option<NodeReport> {
    let sorted = report.nodes.is_sorted_by(|a, b| a.node < b.node);
    findings.plain(
        ("log/report-order", about),
        sorted,
        "nodes ascending, each once",
    );
    let node = report
        .nodes
        .iter()
        .find(|entry| entry.node == case.node())?;
    let known = case.classes.contains_key(&node.class);
    findings
        .holds(("log/class", about), known, "a class in force", node.class)
        .then(|| node.clone())
}

fn checkpoint(
    findings: &mut Findings,
    files: &Files,
    case: &Case,
    hypernode: &HyperNodeId,
    path: &str,
) -> Option<VerifiedCheckpoint> {
    let bytes = files.need(findings, "log", path)?;
    let verified = verify_checkpoint(bytes, &origin(&case.network, hypernode), hypernode);
    findings.value(
        ("log/checkpoint", path),
        "a checkpoint signed by its HyperNode",
        verified,
    )
}

fn proven_outcomes(
    findings: &mut Findings,
    files: &Files,
    place: &Place<'_>,
) -> Option<Vec<Recorded>> {
    let path = layout::proofs(place.epoch, &place.hypernode);
    let proofs: Proofs = files.record(findings, "log", &path)?;
    outcomes(findings, files, place, &proofs)
}

/// All outcomes of the epoch, in the order logged; `None` when one of them is not there or not proven.
fn outcomes(
    findings: &mut Findings,
    files: &Files,
    place: &Place<'_>,
    proofs: &Proofs,
) -> Option<Vec<Recorded>> {
    let slots = slot_leaves(findings, place, &proofs.slots)?;
    let mut digests = Vec::new();
    let mut recorded = Vec::new();
    let mut taken = BTreeSet::new();
    for (number, at) in (0u32..).zip(&proofs.places) {
        let path = layout::outcome(place.epoch, &place.hypernode, number);
        let bytes = files.need(findings, "log", &path)?;
        let digest = salted_digest(&at.salt, bytes);
        in_slot(findings, &path, &slots, at, &digest, &mut taken)?;
        digests.push(digest);
        recorded.push(outcome(findings, place, path, bytes)?);
    }
    let cited: BTreeSet<Slot> = taken.iter().map(|(slot, _)| *slot).collect();
    let about = place.about.as_str();
    findings.equal(("log/slots-cited", about), slots.len(), cited.len());
    node_leaf(findings, place, proofs, &digests)?;
    Some(recorded)
}

/// The slot leaves, each proven to lie in the log.
fn slot_leaves(
    findings: &mut Findings,
    place: &Place<'_>,
    proofs: &[SlotProof],
) -> Option<BTreeMap<Slot, SlotLeaf>> {
    let mut leaves = BTreeMap::new();
    for proof in proofs {
        let decoded = match Leaf::decode(&proof.leaf.0) {
            Ok(Leaf::Slot(leaf)) => Ok(leaf),
            Ok(Leaf::Node(_)) => Err("a node leaf".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let leaf = findings.value(("log/slot-leaf", &place.about), "a slot leaf", decoded)?;
        let about = format!("{}, slot {}", place.about, leaf.slot);
        findings
            .equal(("log/slot-leaf-epoch", &about), place.epoch, leaf.epoch)
            .then_some(())?;
        included(
            findings,
            ("log/slot-leaf-in-log", &about),
            place,
            &proof.leaf.0,
            proof.index,
            &proof.path,
        )?;
        let new = leaves.insert(leaf.slot, leaf).is_none();
        findings
            .plain(("log/slot-leaf-once", &about), new, "one leaf of this slot")
            .then_some(())?;
    }
    Some(leaves)
}

fn included(
    findings: &mut Findings,
    at: (&str, &str),
    place: &Place<'_>,
    leaf: &[u8],
    index: u64,
    path: &[Digest],
) -> Option<()> {
    let proven = verify_inclusion(&leaf_hash(leaf), index, place.size, path, &place.root);
    findings.value(at, "a leaf of the log under its checkpoint", proven)
}

/// The outcome's salted digest lies in its slot leaf, at a position no other outcome has.
fn in_slot(
    findings: &mut Findings,
    path: &str,
    slots: &BTreeMap<Slot, SlotLeaf>,
    at: &OutcomePlace,
    digest: &Digest,
    taken: &mut BTreeSet<(Slot, u64)>,
) -> Option<()> {
    let slot = slots
        .get(&at.slot)
        .ok_or(format!("no leaf of slot {}", at.slot));
    let leaf = findings.value(("log/outcome-slot", path), "a slot leaf it lies in", slot)?;
    let entry = leaf_hash(&digest.0);
    let proven = verify_inclusion(&entry, at.position, leaf.count.into(), &at.path, &leaf.root);
    findings.value(
        ("log/outcome-in-slot", path),
        "an entry of its slot leaf",
        proven,
    )?;
    let new = taken.insert((at.slot, at.position));
    findings
        .plain(("log/outcome-once", path), new, "an entry of its own")
        .then_some(())
}

/// The node leaf counts and covers exactly these outcomes, and the report says the same.
fn node_leaf(
    findings: &mut Findings,
    place: &Place<'_>,
    proofs: &Proofs,
    digests: &[Digest],
) -> Option<()> {
    let about = place.about.as_str();
    let count = u32::try_from(digests.len()).unwrap_or(u32::MAX);
    let root = entries_root(digests);
    let leaf = Leaf::Node(NodeLeaf {
        epoch: place.epoch,
        node: place.case.node(),
        count,
        root,
    });
    let decoded = Leaf::decode(&proofs.node_leaf.0);
    let given = findings.value(("log/node-leaf", about), "a node leaf", decoded)?;
    let show = |leaf: &Leaf| format!("{leaf:?}");
    findings
        .equal(
            ("log/node-leaf-covers-outcomes", about),
            show(&leaf),
            show(&given),
        )
        .then_some(())?;
    included(
        findings,
        ("log/node-leaf-in-log", about),
        place,
        &proofs.node_leaf.0,
        proofs.index,
        &proofs.path,
    )?;
    if let Some(report) = place.report {
        findings.equal(("log/report-outcome-count", about), count, report.outcomes);
        findings.equal(
            ("log/report-outcome-root", about),
            root,
            report.outcome_root,
        );
    }
    Some(())
}

/// An outcome signed by this HyperNode, about this node, network, epoch and class.
fn outcome(
    findings: &mut Findings,
    place: &Place<'_>,
    path: String,
    bytes: &[u8],
) -> Option<Recorded> {
    let opened = cose::open::<Outcome>(bytes, &place.hypernode.0);
    let expected = "an outcome signed by its HyperNode";
    let outcome = findings
        .value(("log/outcome-signature", &path), expected, opened)?
        .into_payload();
    findings.equal(
        ("log/outcome-network", &path),
        place.case.network,
        outcome.network,
    );
    findings.equal(("log/outcome-node", &path), place.case.node(), outcome.node);
    findings.equal(
        ("log/outcome-hypernode", &path),
        place.hypernode,
        outcome.hypernode,
    );
    let known = place
        .report
        .map_or(place.case.classes.contains_key(&outcome.policy), |report| {
            report.class == outcome.policy
        });
    findings.holds(
        ("log/outcome-class", &path),
        known,
        "the class of the report",
        outcome.policy,
    );
    let (epoch, slot) = outcome.place;
    findings.equal(("log/outcome-epoch", &path), place.epoch, epoch);
    let slots = place.case.params.slots();
    findings.holds(
        ("log/outcome-slot-number", &path),
        slot.0 < slots,
        format!("below {slots}"),
        slot,
    );
    let (start, end) = outcome.window;
    findings.holds(
        ("log/outcome-window", &path),
        start <= end,
        "start before end",
        format!("{start} to {end}"),
    );
    Some(Recorded { path, outcome })
}
