//! What a root on the ledger makes possible: anybody may do it, and this bridge does.
//!
//! ```text
//! posted   settle     status and escrow, by each node's newest leaf
//!          absent     HyperNodes that leave the committee because nobody heard of them
//! final    confirm    who owns a node
//!          release    escrow of final epochs, to treasury and Builders
//!          start, settle    the reservations whose period the epoch ends
//! ```
//! What is due follows from the ledger's final state and the leaves alone, so nothing of it must be remembered: after a
//! restart the same is due, and what was done is not.

mod refusals;
mod rent;

use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::root::{AbsenceLeaf, NodeLeaf, RootError};
use assay_aggregate::verdict::Verdict;
use assay_ledger::{Action, HyperNodeRecord, NodeRecord, NodeStatus, ReservationRecord};
use assay_protocol::ids::{Epoch, NodeId, UnixMs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use refusals::{Refusals, Refused};
pub use rent::Calendar;

/// Outcomes that are kept while a bridge catches up; more are tended before it goes on.
pub const QUEUE_MAX: usize = 8;

/// Refusals that say there is nothing to do, or not with this leaf. Any other is told to the operator; none keeps the
/// next root from being posted.
pub const NOTHING_TO_DO: [&str; 15] = [
    "AlreadySettled",
    "StaleLeaf",
    "NotConfirmed",
    "NotRegistered",
    "LeafTooEarly",
    "NothingToConfirm",
    "ChipsTaken",
    "NothingToRelease",
    "AlreadyStarted",
    "ReservationOver",
    "LeafOutside",
    "WrongPeriodEnd",
    "EpochNotFinal",
    "NotSeated",
    "StaleAbsence",
];

/// What kind of thing is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A node's leaf, settled or held until its epoch is final.
    Settle,
    /// A node's owner.
    Confirm,
    /// Escrow.
    Release,
    /// A reservation's beginning or period.
    Rent,
    /// A HyperNode's absence.
    Absent,
}

/// What the ledger has of whom a thing to do is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// All registrations of a node.
    Node(Vec<NodeRecord>),
    /// A HyperNode.
    HyperNode(HyperNodeRecord),
    /// A reservation.
    Reservation(ReservationRecord),
}

impl Record {
    /// The last epoch whose leaf was settled for a node.
    fn settled_epoch(&self) -> Option<Epoch> {
        match self {
            Self::Node(records) => records.iter().find_map(|record| record.settled_epoch),
            Self::HyperNode(_) | Self::Reservation(_) => None,
        }
    }
}

/// One thing to do, under a name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Kind.
    pub kind: Kind,
    /// Name in the outbox.
    pub name: String,
    /// What to send.
    pub action: Action,
    /// Whom it is about.
    pub record: Record,
}

/// How the ledger stands.
#[derive(Debug, Clone, Copy)]
pub struct Now<'a> {
    /// All registrations.
    pub nodes: &'a [NodeRecord],
    /// All HyperNodes.
    pub hypernodes: &'a [HyperNodeRecord],
    /// All reservations.
    pub reservations: &'a [ReservationRecord],
    /// The newest final epoch.
    pub last_final: Option<Epoch>,
    /// How often the newest posted epoch was corrected.
    pub corrections: u8,
    /// Epochs after its last one in which a node that leaves needs a leaf, and none after that.
    pub exit_delay_epochs: u64,
    /// Leaves that let nodes go, whose roots are no more.
    pub fallen: &'a [(Epoch, u8)],
    /// What rent hangs on.
    pub calendar: Calendar<'a>,
}

/// Posted epochs that are not tended to the end, oldest first.
#[derive(Debug, Default)]
pub struct Queue(VecDeque<EpochOutcome>);

impl Queue {
    /// Adds the newest one.
    pub fn push(&mut self, outcome: EpochOutcome) {
        self.0.push_back(outcome);
    }

    /// The oldest one's epoch.
    pub fn first(&self) -> Option<Epoch> {
        self.0.front().map(|outcome| outcome.root.epoch)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The epochs, oldest first.
    pub fn epochs(&self) -> impl Iterator<Item = Epoch> + '_ {
        self.0.iter().map(|outcome| outcome.root.epoch)
    }

    /// Whether the newest root names HyperNodes that are absent.
    pub fn names_absent(&self) -> bool {
        self.0
            .back()
            .is_some_and(|newest| !newest.absences.is_empty())
    }

    /// Forgets the epochs up to this one, whose leaves nothing is left to do with; the newest stays, for settling.
    pub fn forget_through(&mut self, epoch: Epoch) {
        while self.0.len() > 1 && self.first().is_some_and(|first| first <= epoch) {
            self.0.pop_front();
        }
    }

    /// Forgets the oldest of those up to this epoch, but so many of them. What is not final is all to come.
    pub fn keep_of_final(&mut self, last_final: Epoch, count: usize) {
        let is_final = |outcome: &&EpochOutcome| outcome.root.epoch <= last_final;
        let finals = self.0.iter().take_while(is_final).count();
        self.0.drain(..finals.saturating_sub(count));
    }

    /// Forgets the epochs from this one on, whose roots are no more.
    pub fn forget_from(&mut self, epoch: Epoch) {
        self.0.retain(|outcome| outcome.root.epoch < epoch);
    }

    /// What is due, as the ledger stands; `start` is the start of an epoch.
    pub fn due(
        &self,
        now: &Now<'_>,
        start: impl Fn(Epoch) -> UnixMs,
    ) -> Result<Vec<Due>, RootError> {
        let Now {
            nodes, last_final, ..
        } = *now;
        let mut by_node: BTreeMap<NodeId, Vec<&NodeRecord>> = BTreeMap::new();
        for record in nodes {
            by_node.entry(record.node).or_default().push(record);
        }
        let is_final = |outcome: &&EpochOutcome| Some(outcome.root.epoch) <= last_final;
        let mut due = Vec::new();
        // The oldest leaf that names an owner: up to it the one before answers for the node.
        let mut named = BTreeSet::new();
        for outcome in self.0.iter().filter(is_final) {
            let begun = start(outcome.root.epoch);
            collect(
                &mut due,
                outcome,
                &by_node,
                Kind::Confirm,
                |leaf, records| confirms(leaf, records, begun) && named.insert(leaf.node),
            )?;
        }
        // And the newest one that binds processors, of a node whose owner stays.
        if let Some(newest) = self.0.iter().rfind(is_final) {
            collect(
                &mut due,
                newest,
                &by_node,
                Kind::Confirm,
                |leaf, records| rebinds(leaf, records) && !named.contains(&leaf.node),
            )?;
        }
        if let Some(newest) = self.0.back() {
            for leaf in &newest.absences {
                due.extend(absent(newest, leaf, now.hypernodes)?);
            }
        }
        let releases = last_final.map_or(Vec::new(), |epoch| releases(epoch, nodes));
        let settled = self.settlements(now, &by_node, start)?;
        due.extend(in_turn([settled, self.rents(now)?, releases]));
        Ok(due)
    }

    fn settlements(
        &self,
        now: &Now<'_>,
        by_node: &BTreeMap<NodeId, Vec<&NodeRecord>>,
        start: impl Fn(Epoch) -> UnixMs,
    ) -> Result<Vec<Due>, RootError> {
        let mut due = Vec::new();
        if let Some(newest) = self.0.back() {
            let begun = start(newest.root.epoch);
            collect(&mut due, newest, by_node, Kind::Settle, |leaf, records| {
                settles(leaf, records, begun, now)
            })?;
        }
        // Where there are more than an epoch has room for, each has its turn.
        due.sort_by_key(|one| one.record.settled_epoch());
        Ok(due)
    }

    fn rents(&self, now: &Now<'_>) -> Result<Vec<Due>, RootError> {
        let is_final = |outcome: &&EpochOutcome| Some(outcome.root.epoch) <= now.last_final;
        let mut due = Vec::new();
        for outcome in self.0.iter().filter(is_final) {
            for reservation in now.reservations {
                due.extend(rent::rent(outcome, reservation, &now.calendar)?);
            }
        }
        Ok(due)
    }
}

/// One of each list after the other: however many there are of one kind, the others have their turn.
fn in_turn<const N: usize>(lists: [Vec<Due>; N]) -> Vec<Due> {
    let mut lists = lists.map(Vec::into_iter);
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(lists.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

fn collect(
    due: &mut Vec<Due>,
    outcome: &EpochOutcome,
    by_node: &BTreeMap<NodeId, Vec<&NodeRecord>>,
    kind: Kind,
    mut is_due: impl FnMut(&NodeLeaf, &[&NodeRecord]) -> bool,
) -> Result<(), RootError> {
    let epoch = outcome.root.epoch;
    for leaf in &outcome.leaves {
        let records = by_node.get(&leaf.node).map_or(&[][..], Vec::as_slice);
        if !is_due(leaf, records) {
            continue;
        }
        let proof = outcome.tree.proof(&leaf.hash())?;
        let (name, action) = match kind {
            Kind::Confirm => ("confirm", Action::confirm(leaf, &proof)),
            _ => ("settle", Action::settle(leaf, &proof)),
        };
        let name = format!("{name}/{epoch}/{}", leaf.node);
        let record = Record::Node(records.iter().copied().cloned().collect());
        due.push(Due {
            kind,
            name,
            action,
            record,
        });
    }
    Ok(())
}

/// A registration that waits for the owner this leaf names, made before the leaf's epoch began; of a node with an owner,
/// the one that took its offer.
fn waits_for<'a>(
    leaf: &NodeLeaf,
    records: &[&'a NodeRecord],
    begun: UnixMs,
) -> Option<&'a NodeRecord> {
    let named = |record: &&&NodeRecord| {
        record.provider == leaf.owner
            && record.status == NodeStatus::Provisional
            && record.ended_at.is_none()
            && record.serves_through.is_none()
            && record.registered_at <= begun
    };
    let owner = records.iter().find_map(|record| record.confirmed_owner);
    let found = records.iter().find(named).copied();
    found.filter(|found| leaf.confirmed && found.offered_by == owner)
}

fn confirms(leaf: &NodeLeaf, records: &[&NodeRecord], begun: UnixMs) -> bool {
    waits_for(leaf, records, begun).is_some()
}

/// Whether the leaf binds the owner's node to other processors than the ledger knows.
fn rebinds(leaf: &NodeLeaf, records: &[&NodeRecord]) -> bool {
    let differs = |record: &NodeRecord| {
        leaf.owner == record.provider
            && record.chips != Some(leaf.chips)
            && record.chips_epoch <= Some(leaf.epoch)
    };
    let bound = leaf.confirmed && leaf.chips.0 != [0; 32];
    bound && owning(records).is_some_and(differs)
}

/// The owner's registration.
fn owning<'a>(records: &[&'a NodeRecord]) -> Option<&'a NodeRecord> {
    let owns = |record: &&&NodeRecord| {
        record.confirmed_owner == Some(record.provider) && record.ended_at.is_none()
    };
    records.iter().find(owns).copied()
}

/// A leaf is settled when it changes something: sums are cumulative, so what is left out now is in a later one. An epoch that
/// was corrected is settled again, and what corrections gave back is asked for again.
fn settles(leaf: &NodeLeaf, records: &[&NodeRecord], begun: UnixMs, now: &Now<'_>) -> bool {
    if let Some(record) = waits_for(leaf, records, begun) {
        return record.confirming_at.is_none();
    }
    let Some(record) = owning(records) else {
        return false;
    };
    let before = (record.settled_epoch, record.settled_corrections);
    let is_later = before < (Some(leaf.epoch), now.corrections);
    let is_corrected = record.settled_epoch == Some(leaf.epoch);
    let steady = record.status == NodeStatus::Active && leaf.verdict == Verdict::Pass as u8;
    let is_unknown = leaf.verdict == Verdict::Inconclusive as u8;
    let idle = steady || is_unknown || record.status == NodeStatus::Removed;
    let is_leaving = record.serves_through.is_some_and(|last| {
        let needed = Epoch(last.0.saturating_add(now.exit_delay_epochs));
        record.settled_epoch < Some(needed)
    });
    let has_fallen = record
        .exit_leaf
        .is_some_and(|exit| now.fallen.contains(&exit));
    let is_due = leaf.cumulative_slash != record.counted_slash.0
        || is_leaving
        || has_fallen
        || is_corrected
        || record.settled_epoch.is_none();
    is_later && (is_due || !idle)
}

/// A HyperNode that has a seat yet leaves by the newest root's leaf of it; whether it has one is the contract's to say.
fn absent(
    outcome: &EpochOutcome,
    leaf: &AbsenceLeaf,
    hypernodes: &[HyperNodeRecord],
) -> Result<Option<Due>, RootError> {
    let is_here = |record: &&HyperNodeRecord| record.ed25519 == leaf.hypernode && !record.absent;
    let Some(record) = hypernodes.iter().find(is_here) else {
        return Ok(None);
    };
    let proof = outcome.tree.proof(&leaf.hash())?;
    Ok(Some(Due {
        kind: Kind::Absent,
        name: format!("absent/{}/{}", leaf.epoch, leaf.hypernode),
        action: Action::mark_absent(leaf, &proof),
        record: Record::HyperNode(record.clone()),
    }))
}

/// Of every node with escrow; of which epochs it is, is the contract's to say.
fn releases(epoch: Epoch, nodes: &[NodeRecord]) -> Vec<Due> {
    let release = |record: &NodeRecord| Due {
        kind: Kind::Release,
        name: format!("release/{epoch}/{}/{}", record.node, record.provider),
        action: Action::release(record.node, record.provider),
        record: Record::Node(vec![record.clone()]),
    };
    let slashed = nodes.iter().filter(|record| record.escrow.0 > 0);
    slashed.map(release).collect()
}

#[cfg(test)]
mod tests;
