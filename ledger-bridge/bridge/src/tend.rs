//! What a root on the ledger makes possible: anybody may do it, and this bridge does.
//!
//! ```text
//! posted   settle     status and escrow, by each node's newest leaf
//!          absent     HyperNodes that leave the committee because nobody heard of them
//! final    confirm    who owns a node
//!          release    escrow of final epochs, to treasury and Builders
//!          start, settle    the reservations whose period the epoch ends
//! ```
//! What is due follows from the ledger's final state and the leaves alone, so nothing of it is remembered: after a restart
//! the same is due, and what was done is not.

use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::root::{AbsenceLeaf, NodeLeaf, RootError};
use assay_aggregate::verdict::Verdict;
use assay_ledger::{Action, HyperNodeRecord, NodeRecord, NodeStatus, ReservationRecord};
use assay_protocol::ids::{Epoch, NodeId, UnixMs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Outcomes that are kept while a bridge catches up; more are tended before it goes on.
pub const QUEUE_MAX: usize = 8;

/// Refusals that say there is nothing to do, or not with this leaf. Any other is told to the operator; none keeps the
/// next root from being posted.
pub const NOTHING_TO_DO: [&str; 16] = [
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
    "TooManyVoidEpochs",
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

/// One thing to do, under a name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Kind.
    pub kind: Kind,
    /// Name in the outbox.
    pub name: String,
    /// What to send.
    pub action: Action,
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
            nodes,
            reservations,
            last_final,
            ..
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
        if let Some(epoch) = last_final {
            let slashed = nodes.iter().filter(|record| record.escrow.0 > 0);
            due.extend(slashed.map(|record| release(epoch, record)));
        }
        for outcome in self.0.iter().filter(is_final) {
            for reservation in reservations {
                due.extend(rent(outcome, reservation)?);
            }
        }
        if let Some(newest) = self.0.back() {
            for leaf in &newest.absences {
                due.extend(absent(newest, leaf, now.hypernodes)?);
            }
        }
        // Last, since these are the most: rent and escrow have their turn in any case.
        if let Some(newest) = self.0.back() {
            let begun = start(newest.root.epoch);
            collect(&mut due, newest, &by_node, Kind::Settle, |leaf, records| {
                settles(leaf, records, begun, now)
            })?;
        }
        Ok(due)
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
        due.push(Due { kind, name, action });
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
    if !hypernodes.iter().any(|record| is_here(&record)) {
        return Ok(None);
    }
    let proof = outcome.tree.proof(&leaf.hash())?;
    Ok(Some(Due {
        kind: Kind::Absent,
        name: format!("absent/{}/{}", leaf.epoch, leaf.hypernode),
        action: Action::mark_absent(leaf, &proof),
    }))
}

fn release(epoch: Epoch, record: &NodeRecord) -> Due {
    Due {
        kind: Kind::Release,
        name: format!("release/{epoch}/{}/{}", record.node, record.provider),
        action: Action::release(record.node, record.provider),
    }
}

/// A reservation begins by the leaf of the last epoch before it, and its periods end with leaves of theirs; which of them
/// the contract takes is the contract's to say.
fn rent(outcome: &EpochOutcome, r: &ReservationRecord) -> Result<Option<Due>, RootError> {
    let epoch = outcome.root.epoch;
    let is_over = r.settled_through >= r.end;
    let begins = !r.started && epoch < r.first;
    let ends = r.started && epoch >= r.settled_through;
    let leaf = outcome.leaves.iter().find(|leaf| leaf.node == r.node);
    let Some(leaf) = leaf.filter(|_| !is_over && (begins || ends)) else {
        return Ok(None);
    };
    let proof = outcome.tree.proof(&leaf.hash())?;
    let (name, action) = match begins {
        true => ("start", Action::start_reservation(r.id, leaf, &proof)),
        false => ("rent", Action::settle_reservation(r.id, leaf, &proof)),
    };
    Ok(Some(Due {
        kind: Kind::Rent,
        name: format!("{name}/{}/{epoch}", r.id),
        action,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_aggregate::epoch::States;
    use assay_aggregate::root::{EpochRoot, OutcomeTree};
    use assay_protocol::ids::{Address, Digest, HyperNodeId, Keccak, NetworkId, Ppm, Seed, Stake};

    const OWNER: Address = Address([1; 20]);
    const BEGUN: UnixMs = UnixMs(10_000);
    const NOW: Now<'_> = Now {
        nodes: &[],
        hypernodes: &[],
        reservations: &[],
        last_final: None,
        corrections: 0,
        exit_delay_epochs: 3,
        fallen: &[],
    };

    fn record() -> NodeRecord {
        NodeRecord {
            node: NodeId([7; 32]),
            provider: OWNER,
            class_digest: Digest([2; 32]),
            region: [0; 32],
            endpoint: String::new(),
            registered_at: UnixMs(9_000),
            confirming_at: None,
            ended_at: None,
            serves_through: None,
            pledged: Stake(100),
            collateral: Stake(100),
            escrow: Stake(0),
            slashed: Stake(0),
            status: NodeStatus::Active,
            confirmed_owner: Some(OWNER),
            settled_epoch: Some(Epoch(4)),
            settled_corrections: 0,
            cumulative_slash: Stake(0),
            counted_slash: Stake(0),
            exit_leaf: None,
            offered_by: None,
            confirmed_at: Some(UnixMs(9_500)),
            chips: None,
            chips_epoch: None,
        }
    }

    fn leaf() -> NodeLeaf {
        NodeLeaf {
            epoch: Epoch(5),
            node: NodeId([7; 32]),
            owner: OWNER,
            confirmed: true,
            chips: Digest([0; 32]),
            verdict: Verdict::Pass as u8,
            reasons: 0,
            tier: 1,
            availability: Ppm(1_000_000),
            lower: Ppm(0),
            upper: Ppm(1_000_000),
            coverage: Ppm(1_000_000),
            chase_rate: 0,
            chase_kind: 0,
            cumulative_up_slots: 0,
            cumulative_down_slots: 0,
            cumulative_slash: 0,
        }
    }

    fn is_settled(leaf: &NodeLeaf, records: &[NodeRecord]) -> bool {
        let records: Vec<_> = records.iter().collect();
        settles(leaf, &records, BEGUN, &NOW)
    }

    fn changed(change: fn(&mut NodeRecord)) -> [NodeRecord; 1] {
        let mut record = record();
        change(&mut record);
        [record]
    }

    #[test]
    fn a_node_in_good_standing_that_passes_needs_nothing() {
        assert!(!is_settled(&leaf(), &[record()]));
        assert!(!is_settled(&leaf(), &[]));
    }

    #[test]
    fn a_leaf_without_a_verdict_changes_nothing() {
        let unknown = NodeLeaf {
            verdict: Verdict::Inconclusive as u8,
            ..leaf()
        };
        for status in [
            NodeStatus::Active,
            NodeStatus::Warned,
            NodeStatus::Suspended,
        ] {
            let mut record = record();
            record.status = status;
            assert!(!is_settled(&unknown, &[record]), "{status:?}");
        }
        let asked = changed(|r| (r.status, r.counted_slash) = (NodeStatus::Warned, Stake(5)));
        assert!(is_settled(&unknown, &asked), "but for its sum");
    }

    #[test]
    fn what_changes_something_is_settled_once() {
        let breach = NodeLeaf {
            verdict: Verdict::Breach as u8,
            cumulative_slash: 5,
            ..leaf()
        };
        assert!(is_settled(&breach, &[record()]));
        assert!(!is_settled(
            &breach,
            &changed(|r| r.settled_epoch = Some(Epoch(5)))
        ));
        // What is left of a removed node's pledge can still be taken; its verdicts change nothing.
        let removed = changed(|r| r.status = NodeStatus::Removed);
        assert!(is_settled(&breach, &removed));
        let asked = changed(|r| (r.status, r.counted_slash) = (NodeStatus::Removed, Stake(5)));
        assert!(!is_settled(&breach, &asked));
        // A pass brings a warned node back.
        assert!(is_settled(
            &leaf(),
            &changed(|r| r.status = NodeStatus::Warned)
        ));
    }

    #[test]
    fn a_leaf_of_a_corrected_epoch_is_settled_again_once_whatever_it_says() {
        let records = |corrections| {
            changed(|r| r.settled_epoch = Some(Epoch(5))).map(|record| NodeRecord {
                settled_corrections: corrections,
                ..record
            })
        };
        let is_due = |records: &[NodeRecord]| {
            let records: Vec<_> = records.iter().collect();
            let now = Now {
                corrections: 1,
                ..NOW
            };
            settles(&leaf(), &records, BEGUN, &now)
        };
        assert!(is_due(&records(0)));
        assert!(!is_due(&records(1)));
        assert!(!is_settled(&leaf(), &records(0)), "it was not corrected");
    }

    /// A correction gave back what an earlier epoch took; the sum of the node says it still.
    #[test]
    fn what_was_given_back_is_asked_for_again() {
        let breached = NodeLeaf {
            cumulative_slash: 5,
            ..leaf()
        };
        let counted = |sum| {
            changed(|r| r.cumulative_slash = Stake(5)).map(|record| NodeRecord {
                counted_slash: Stake(sum),
                ..record
            })
        };
        assert!(is_settled(&breached, &counted(0)));
        assert!(!is_settled(&breached, &counted(5)));
        // And what a wrong root asked for is given back.
        assert!(is_settled(&leaf(), &counted(5)));
    }

    #[test]
    fn a_node_that_leaves_needs_another_leaf_when_the_root_of_its_last_one_is_no_more() {
        let gone = changed(|r| {
            (r.serves_through, r.exit_leaf) = (Some(Epoch(0)), Some((Epoch(4), 0)));
        });
        let is_due = |fallen: &[(Epoch, u8)]| {
            let now = Now { fallen, ..NOW };
            settles(&leaf(), &[&gone[0]], BEGUN, &now)
        };
        assert!(!is_due(&[]));
        assert!(!is_due(&[(Epoch(4), 1)]));
        assert!(is_due(&[(Epoch(4), 0)]));
    }

    #[test]
    fn a_node_that_leaves_is_settled_until_its_exit_delay_is_over() {
        let leaving = |settled| {
            let mut record = record();
            (record.serves_through, record.settled_epoch) = (Some(Epoch(2)), Some(Epoch(settled)));
            [record]
        };
        assert!(is_settled(&leaf(), &leaving(4)));
        let later = NodeLeaf {
            epoch: Epoch(9),
            ..leaf()
        };
        assert!(!is_settled(&later, &leaving(5)), "2 and 3 are 5");
    }

    #[test]
    fn a_registration_that_waits_is_held_once_and_confirmed_when_it_was_in_time() {
        let waiting = changed(|r| (r.status, r.confirmed_owner) = (NodeStatus::Provisional, None));
        let [ref one] = waiting;
        assert!(confirms(&leaf(), &[one], BEGUN));
        assert!(is_settled(&leaf(), &waiting));
        let mut held = one.clone();
        held.confirming_at = Some(UnixMs(11_000));
        assert!(!is_settled(&leaf(), std::slice::from_ref(&held)));
        assert!(confirms(&leaf(), &[&held], BEGUN));
        for change in [
            (|r| r.registered_at = UnixMs(10_001)) as fn(&mut NodeRecord),
            |r| r.ended_at = Some(UnixMs(12_000)),
            |r| r.provider = Address([9; 20]),
            |r| r.confirmed_owner = Some(Address([9; 20])),
        ] {
            let mut other = one.clone();
            change(&mut other);
            assert!(!confirms(&leaf(), &[&other], BEGUN));
        }
        let unsure = NodeLeaf {
            confirmed: false,
            ..leaf()
        };
        assert!(!confirms(&unsure, &[one], BEGUN));
    }

    #[test]
    fn who_took_the_owner_s_offer_is_held_and_confirmed_and_the_owner_settled_no_more() {
        let taker = Address([3; 20]);
        let took = NodeRecord {
            provider: taker,
            status: NodeStatus::Provisional,
            offered_by: Some(OWNER),
            ..record()
        };
        let theirs = NodeLeaf {
            owner: taker,
            verdict: Verdict::Breach as u8,
            ..leaf()
        };
        let (old, held) = (record(), |at| NodeRecord {
            confirming_at: at,
            ..took.clone()
        });
        assert!(confirms(&theirs, &[&old, &took], BEGUN));
        assert!(is_settled(&theirs, &[old.clone(), held(None)]));
        let since = held(Some(UnixMs(11_000)));
        assert!(!is_settled(&theirs, &[old.clone(), since]));
        // Of somebody else's offer, or of one that was taken back, it waits in vain: the leaf is the owner's.
        for change in [
            (|r| r.offered_by = Some(Address([4; 20]))) as fn(&mut NodeRecord),
            |r| r.serves_through = Some(Epoch(4)),
        ] {
            let mut other = took.clone();
            change(&mut other);
            assert!(!confirms(&theirs, &[&old, &other], BEGUN));
            assert!(is_settled(&theirs, &[old.clone(), other]));
        }
    }

    /// Up to the leaf that confirms another one the owner before answers for the node.
    #[test]
    fn the_oldest_final_leaf_confirms() {
        let waiting = NodeRecord {
            status: NodeStatus::Provisional,
            confirmed_owner: None,
            ..record()
        };
        let mut queue = Queue::default();
        for epoch in 4..8 {
            let mut outcome = outcome(epoch, &[]);
            let leaf = NodeLeaf {
                epoch: Epoch(epoch),
                confirmed: epoch > 4,
                ..leaf()
            };
            outcome.tree = OutcomeTree::new(vec![leaf.hash()]);
            outcome.leaves = vec![leaf];
            queue.push(outcome);
        }
        let now = Now {
            nodes: &[waiting],
            last_final: Some(Epoch(6)),
            ..NOW
        };
        let due = queue.due(&now, |_| BEGUN).unwrap();
        let confirms = due.iter().filter(|due| due.kind == Kind::Confirm);
        let names: Vec<&str> = confirms.map(|due| due.name.as_str()).collect();
        assert_eq!(names, [format!("confirm/5/{}", NodeId([7; 32]))]);
    }

    #[test]
    fn a_final_leaf_that_binds_other_processors_is_confirmed_once() {
        let of = |chips| NodeLeaf {
            chips: Digest([chips; 32]),
            ..leaf()
        };
        let bound = |chips, epoch| NodeRecord {
            chips: Some(Digest([chips; 32])),
            chips_epoch: Some(Epoch(epoch)),
            ..record()
        };
        let is_due = |leaf: &NodeLeaf, record: NodeRecord| rebinds(leaf, &[&record]);
        assert!(is_due(&of(1), record()), "the first ones");
        assert!(is_due(&of(2), bound(1, 4)));
        assert!(!is_due(&of(1), bound(1, 4)));
        assert!(!is_due(&leaf(), bound(1, 4)), "a leaf that binds none");
        assert!(!is_due(&of(2), bound(1, 6)), "an older leaf");
        let others = NodeLeaf {
            owner: Address([9; 20]),
            ..of(2)
        };
        assert!(!is_due(&others, bound(1, 4)));
        let unconfirmed = NodeLeaf {
            confirmed: false,
            ..of(2)
        };
        assert!(!is_due(&unconfirmed, bound(1, 4)));
        let gone = NodeRecord {
            ended_at: Some(BEGUN),
            ..bound(1, 4)
        };
        assert!(!is_due(&of(2), gone));
    }

    #[test]
    fn the_newest_final_leaf_binds_processors_and_another_owner_comes_first() {
        let mut queue = Queue::default();
        for epoch in 4..8 {
            let mut outcome = outcome(epoch, &[]);
            let leaf = NodeLeaf {
                epoch: Epoch(epoch),
                chips: Digest([epoch as u8; 32]),
                ..leaf()
            };
            outcome.tree = OutcomeTree::new(vec![leaf.hash()]);
            outcome.leaves = vec![leaf];
            queue.push(outcome);
        }
        let confirmed = |nodes: &[NodeRecord]| -> Vec<String> {
            let now = Now {
                nodes,
                last_final: Some(Epoch(6)),
                ..NOW
            };
            let due = queue.due(&now, |_| BEGUN).unwrap();
            let confirms = due.into_iter().filter(|due| due.kind == Kind::Confirm);
            confirms.map(|due| due.name).collect()
        };
        let of = |epoch| [format!("confirm/{epoch}/{}", NodeId([7; 32]))];
        assert_eq!(confirmed(&[record()]), of(6));
        let sold = NodeRecord {
            provider: Address([8; 20]),
            confirmed_owner: Some(Address([8; 20])),
            ..record()
        };
        let bought = NodeRecord {
            status: NodeStatus::Provisional,
            confirmed_owner: sold.confirmed_owner,
            offered_by: sold.confirmed_owner,
            ..record()
        };
        assert_eq!(confirmed(&[sold, bought]), of(4));
    }

    fn hypernode(n: u8, absent: bool) -> HyperNodeRecord {
        HyperNodeRecord {
            address: Address([n; 20]),
            ed25519: HyperNodeId([n; 32]),
            operator: Digest([n; 32]),
            seed_end: Seed([n; 32]),
            endpoint: String::new(),
            registered_epoch: Epoch(0),
            stake: Stake(5),
            unbonding: Stake(0),
            jailed: false,
            absent,
        }
    }

    /// The outcome of an epoch that lets these go.
    fn outcome(epoch: u64, gone: &[u8]) -> EpochOutcome {
        let leaf = |n: &u8| AbsenceLeaf {
            epoch: Epoch(epoch),
            hypernode: HyperNodeId([*n; 32]),
            missed: 3,
        };
        let absences: Vec<AbsenceLeaf> = gone.iter().map(leaf).collect();
        let tree = OutcomeTree::new(absences.iter().map(AbsenceLeaf::hash).collect());
        EpochOutcome {
            leaves: Vec::new(),
            rewards: Vec::new(),
            states: States::default(),
            root: EpochRoot {
                network: NetworkId([0; 32]),
                epoch: Epoch(epoch),
                round: 0,
                input_set: Digest([0; 32]),
                committee: Keccak([0; 32]),
                root: tree.root(),
                leaf_count: absences.len() as u32,
                evidence_root: Digest([0; 32]),
                policy_digest: Digest([0; 32]),
                cumulative_reward: 0,
                next_committee: Keccak([0; 32]),
            },
            absences,
            tree,
        }
    }

    #[test]
    fn whom_the_newest_root_lets_go_is_taken_out_once() {
        let names = |queue: &Queue, hypernodes: &[HyperNodeRecord]| -> Vec<String> {
            let now = Now { hypernodes, ..NOW };
            let due = queue.due(&now, |_| BEGUN).unwrap();
            assert!(due.iter().all(|due| due.kind == Kind::Absent));
            due.into_iter().map(|due| due.name).collect()
        };
        let name = |epoch: u64, n: u8| format!("absent/{epoch}/{}", HyperNodeId([n; 32]));
        let mut queue = Queue::default();
        assert!(!queue.names_absent());
        queue.push(outcome(4, &[1, 2]));
        assert!(queue.names_absent());
        let all = [
            hypernode(1, false),
            hypernode(2, false),
            hypernode(3, false),
        ];
        assert_eq!(names(&queue, &all), [name(4, 1), name(4, 2)]);
        let marked = [hypernode(1, true), hypernode(2, false)];
        assert_eq!(names(&queue, &marked), [name(4, 2)], "was taken out before");
        assert_eq!(names(&queue, &[]), [""; 0], "nobody the ledger knows");
        // Who was heard since is in no newer leaf, and the older one is passed over.
        queue.push(outcome(5, &[2]));
        assert_eq!(names(&queue, &all), [name(5, 2)]);
        queue.push(outcome(6, &[]));
        assert!(!queue.names_absent());
        assert_eq!(names(&queue, &all), [""; 0]);
    }

    #[test]
    fn an_earlier_registration_of_the_same_owner_that_has_ended_counts_for_nothing() {
        let mut ended = record();
        (ended.ended_at, ended.status) = (Some(UnixMs(1)), NodeStatus::None);
        assert!(!is_settled(&leaf(), &[ended, record()]));
    }
}
