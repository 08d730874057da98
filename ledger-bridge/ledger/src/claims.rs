//! Which registrations count in an epoch: one rule, for everybody who computes its root.

use std::collections::BTreeMap;

use assay_aggregate::epoch::{Registration, Standing};
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Digest, Epoch, NodeId, UnixMs};

use crate::types::NodeRecord;

/// When claims are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// The epoch.
    pub epoch: Epoch,
    /// Its start.
    pub start: UnixMs,
    /// From the acceptance of an offer until a root can name the new owner, see [`crate::NodeTerms::change_delay_ms`].
    pub change_delay_ms: u64,
}

/// The claims that count in an epoch, in the order of `records`, and how each stands: of a node with an owner, the owner's
/// until it has ended, and that of who took its offer; of another, all that were registered before the epoch, had not ended
/// and owe service in it, in one of `classes`.
///
/// The answer is the same for every reader from the end of the epoch on, whatever happens on the ledger since: it rests on
/// fields that never change once written, and on a last epoch of service that is never moved to before an epoch that has
/// begun. (Block times are floored to seconds, so a block up to a second after the start can still carry an earlier time.
/// Who asks to leave, is removed or has its acceptance lapse owes the epoch of that, so nobody leaves an epoch that has
/// begun; and so many more as a re-audit takes, so nobody has left before its trial can end.) The pledge does not matter
/// here: the contract takes no smaller one than the class asks for, and a network is not opened on other terms.
pub fn claims_at(
    records: &[NodeRecord],
    at: &Beginning,
    classes: &BTreeMap<Digest, ValidClass>,
) -> Vec<Registration> {
    let owners = owners(records, at.start);
    let claim = |record: &NodeRecord| {
        let owner = owners.get(&record.node).copied();
        let standing = match owner {
            Some(owner) if std::ptr::eq(owner, record) => owning(owner, at.epoch),
            _ => standing(record, owner, at)?,
        };
        (owner.is_some() || is_known(record, classes)).then_some(Registration {
            node: record.node,
            provider: record.provider,
            class: record.class_digest,
            standing,
        })
    };
    records.iter().filter_map(claim).collect()
}

/// Who owned each node at this time: who was confirmed last, unless its registration had ended.
fn owners(records: &[NodeRecord], start: UnixMs) -> BTreeMap<NodeId, &NodeRecord> {
    let mut last: BTreeMap<NodeId, &NodeRecord> = BTreeMap::new();
    let confirmed = records
        .iter()
        .filter(|record| record.confirmed_at.is_some_and(|at| at < start));
    for record in confirmed {
        let before = last.entry(record.node).or_insert(record);
        if record.confirmed_at >= before.confirmed_at {
            *before = record;
        }
    }
    last.retain(|_, record| is_alive(record, start));
    last
}

fn owning(owner: &NodeRecord, epoch: Epoch) -> Standing {
    match is_owing(owner, epoch) {
        true => Standing::Owner,
        false => Standing::Leaving,
    }
}

/// Of a registration that is not the owner's: whether it waits to be. One that was the owner's never does again.
fn standing(record: &NodeRecord, owner: Option<&NodeRecord>, at: &Beginning) -> Option<Standing> {
    let was_owner = record.confirmed_at.is_some_and(|then| then < at.start);
    if was_owner || !is_alive(record, at.start) || !is_owing(record, at.epoch) {
        return None;
    }
    let Some(owner) = owner else {
        return Some(Standing::Waiting);
    };
    let from = UnixMs(record.registered_at.0.saturating_add(at.change_delay_ms));
    // Also of an owner that leaves: whom a root has named stays named.
    let is_due = record.offered_by == Some(owner.provider) && from <= at.start;
    is_due.then_some(Standing::Offered)
}

fn is_alive(record: &NodeRecord, start: UnixMs) -> bool {
    record.registered_at < start && record.ended_at.is_none_or(|at| at >= start)
}

/// Whether the registration owes service in this epoch.
pub fn is_owing(record: &NodeRecord, epoch: Epoch) -> bool {
    record.serves_through.is_none_or(|last| epoch <= last)
}

/// Whether the registration is in one of `classes`.
pub fn is_known(record: &NodeRecord, classes: &BTreeMap<Digest, ValidClass>) -> bool {
    classes.contains_key(&record.class_digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeStatus;
    use assay_protocol::class::{AttestationPolicy, Budget, Hardware, HardwareClass, Money, Sla};
    use assay_protocol::ids::{Address, Bps, NodeId, Ppm, Stake};
    use proptest::prelude::*;

    const EPOCH: Epoch = Epoch(4);
    const START: UnixMs = UnixMs(10_000);
    const AT: Beginning = Beginning {
        epoch: EPOCH,
        start: START,
        change_delay_ms: 1_000,
    };

    fn class() -> ValidClass {
        let class = HardwareClass {
            schema: 2,
            name: "test".into(),
            summary: "for tests".into(),
            hardware: Hardware {
                cpu: "any".into(),
                cores: 1,
                memory_mib: 1,
                disk_gib: 1,
                nic_mbps: 1,
            },
            sla: Sla {
                availability_ppm: Ppm(900_000),
                coverage_ppm_min: Ppm(800_000),
                chase_reads_per_s_min: 1_000,
                chase_liveness_reads_per_s_min: 10,
            },
            budget: Budget {
                region_blocks: 4_096,
                chase_lanes: 4,
                chase_steps: 64,
                chase_checkpoint_every: 16,
                probe_attempts: 3,
            },
            money: Money {
                collateral_gwei_min: 10_000_000_000,
                reward_gwei_per_epoch: 100_000_000,
                slash_bps: Bps(1_000),
            },
            attestation: AttestationPolicy::of_pcrs(1, Vec::new()),
        };
        ValidClass::new(class).unwrap()
    }

    fn classes() -> BTreeMap<Digest, ValidClass> {
        BTreeMap::from([(class().digest(), class())])
    }

    fn record(registered_at: u64, ended_at: Option<u64>) -> NodeRecord {
        NodeRecord {
            node: NodeId([1; 32]),
            provider: Address([2; 20]),
            class_digest: class().digest(),
            region: [0; 32],
            endpoint: String::new(),
            registered_at: UnixMs(registered_at),
            confirming_at: None,
            ended_at: ended_at.map(UnixMs),
            serves_through: None,
            pledged: Stake(100),
            collateral: Stake(100),
            escrow: Stake(0),
            slashed: Stake(0),
            status: NodeStatus::Provisional,
            confirmed_owner: None,
            settled_epoch: None,
            settled_corrections: 0,
            cumulative_slash: Stake(0),
            counted_slash: Stake(0),
            exit_leaf: None,
            offered_by: None,
            confirmed_at: None,
            chips: None,
            chips_epoch: None,
        }
    }

    fn leaving(last: u64) -> NodeRecord {
        NodeRecord {
            serves_through: Some(Epoch(last)),
            ..record(0, None)
        }
    }

    fn counts(record: NodeRecord) -> bool {
        let claims = claims_at(std::slice::from_ref(&record), &AT, &classes());
        if let [claim] = claims.as_slice() {
            assert_eq!(
                (claim.node, claim.provider, claim.class),
                (record.node, record.provider, record.class_digest)
            );
            assert_eq!(claim.standing, Standing::Waiting);
        }
        !claims.is_empty()
    }

    /// Providers of those that count, and how.
    fn standings(records: &[NodeRecord]) -> Vec<(u8, Standing)> {
        let claims = claims_at(records, &AT, &classes());
        let of = |claim: &Registration| (claim.provider.0[0], claim.standing);
        claims.iter().map(of).collect()
    }

    fn of(provider: u8, registered_at: u64) -> NodeRecord {
        NodeRecord {
            provider: Address([provider; 20]),
            ..record(registered_at, None)
        }
    }

    fn owner(provider: u8, confirmed_at: u64) -> NodeRecord {
        NodeRecord {
            confirmed_at: Some(UnixMs(confirmed_at)),
            status: NodeStatus::Active,
            ..of(provider, 100)
        }
    }

    /// It took the offer of 1 at this time.
    fn taker(provider: u8, at: u64) -> NodeRecord {
        NodeRecord {
            offered_by: Some(Address([1; 20])),
            ..of(provider, at)
        }
    }

    #[test]
    fn what_lives_at_the_start_counts() {
        assert!(counts(record(9_999, None)));
        assert!(!counts(record(10_000, None)), "at the start is too late");
        assert!(counts(record(0, Some(10_000))), "ended at the start");
        assert!(!counts(record(0, Some(9_999))));
        assert!(!counts(record(10_000, Some(11_000))));
    }

    #[test]
    fn who_asked_to_leave_counts_through_its_last_epoch_and_not_after() {
        assert!(counts(leaving(EPOCH.0 + 1)));
        assert!(counts(leaving(EPOCH.0)));
        assert!(!counts(leaving(EPOCH.0 - 1)));
        let gone = NodeRecord {
            ended_at: Some(UnixMs(9_999)),
            ..leaving(EPOCH.0)
        };
        assert!(!counts(gone), "owing service does not revive it");
    }

    #[test]
    fn an_unknown_class_does_not_count() {
        let stranger = NodeRecord {
            class_digest: Digest([7; 32]),
            ..record(0, None)
        };
        assert!(is_known(&record(0, None), &classes()) && !is_known(&stranger, &classes()));
        assert!(!counts(stranger));
        assert!(claims_at(&[record(0, None)], &AT, &BTreeMap::new()).is_empty());
    }

    #[test]
    fn beside_an_owner_nobody_waits() {
        use Standing::{Owner, Waiting};
        assert_eq!(standings(&[owner(1, 9_999), of(2, 0)]), [(1, Owner)]);
        let both = [(1, Waiting), (2, Waiting)];
        assert_eq!(standings(&[owner(1, 10_000), of(2, 0)]), both, "too late");
        let ended = NodeRecord {
            ended_at: Some(UnixMs(9_999)),
            ..owner(1, 500)
        };
        assert_eq!(standings(&[ended, of(2, 0)]), [(2, Waiting)]);
    }

    #[test]
    fn an_owner_that_leaves_keeps_the_node_until_it_has_gone() {
        use Standing::{Leaving, Owner};
        let leaving = |last| NodeRecord {
            serves_through: Some(Epoch(last)),
            ..owner(1, 500)
        };
        assert_eq!(standings(&[leaving(4), of(2, 0)]), [(1, Owner)]);
        let late = [leaving(3), of(2, 0), taker(3, 0)];
        // Whom a root named before stays named; no root names it now.
        assert_eq!(standings(&late), [(1, Leaving), (3, Standing::Offered)]);
    }

    #[test]
    fn who_took_the_owner_s_offer_can_be_named_after_the_delay_and_nobody_else() {
        use Standing::{Offered, Owner};
        let with = |other| standings(&[owner(1, 500), other]);
        assert_eq!(with(taker(2, 9_000)), [(1, Owner), (2, Offered)]);
        assert_eq!(with(taker(2, 9_001)), [(1, Owner)], "too soon");
        let stranger = NodeRecord {
            offered_by: Some(Address([7; 20])),
            ..of(2, 0)
        };
        assert_eq!(with(stranger), [(1, Owner)], "offered by somebody else");
        let lapsed = NodeRecord {
            serves_through: Some(Epoch(3)),
            ..taker(2, 0)
        };
        assert_eq!(with(lapsed), [(1, Owner)], "taken back");
        let unknown = NodeRecord {
            class_digest: Digest([7; 32]),
            ..taker(2, 0)
        };
        // Its class is the owner's: the contract sees to it.
        assert_eq!(with(unknown).len(), 2);
    }

    #[test]
    fn who_handed_over_owns_no_more_even_when_the_one_after_it_has_gone() {
        use Standing::{Owner, Waiting};
        // It owes service for long yet.
        let old = NodeRecord {
            serves_through: Some(Epoch(9)),
            ..owner(1, 500)
        };
        let back = NodeRecord {
            offered_by: Some(Address([2; 20])),
            ..old.clone()
        };
        let new = NodeRecord {
            confirmed_at: Some(UnixMs(600)),
            ..taker(2, 200)
        };
        assert_eq!(standings(&[old.clone(), new.clone()]), [(2, Owner)]);
        assert_eq!(standings(&[new.clone(), old.clone()]), [(2, Owner)]);
        assert_eq!(standings(&[back, new.clone()]), [(2, Owner)]);
        let gone = NodeRecord {
            ended_at: Some(UnixMs(900)),
            ..new
        };
        assert_eq!(standings(&[old, gone, of(3, 950)]), [(3, Waiting)]);
    }

    /// Records as they are when the epoch starts: some ended, some leaving, before or after its end.
    fn past() -> impl Strategy<Value = Vec<NodeRecord>> {
        let last = prop::option::of(EPOCH.0 - 1..EPOCH.0 + 3);
        let confirmed = prop::option::of(0..10_000u64);
        let from = prop::option::of(0..5u8);
        let one = (0..5u8, 0..10_000u64, any::<bool>(), last, confirmed, from).prop_map(
            |(provider, at, is_over, last, confirmed, from)| NodeRecord {
                provider: Address([provider; 20]),
                serves_through: last.map(Epoch),
                confirmed_at: confirmed.map(UnixMs),
                offered_by: from.map(|from| Address([from; 20])),
                ..record(at, is_over.then_some(9_999))
            },
        );
        prop::collection::vec(one, 0..8)
    }

    /// Everything the contract can do to a record once the epoch has begun: who asks to leave owes the running epoch.
    fn age(record: &mut NodeRecord, (at, taken, last, what): (u64, u128, u64, u8)) {
        match what % 7 {
            0 => {
                record.ended_at.get_or_insert(UnixMs(at));
                (record.status, record.collateral) = (NodeStatus::None, Stake(0));
            }
            1 => {
                let before = record.serves_through.unwrap_or(Epoch(u64::MAX));
                // Asked again it ends service earlier, and never before the epoch that runs.
                record.serves_through = Some(before.min(Epoch(last)));
                record.status = NodeStatus::Removed;
            }
            2 => {
                record.confirmed_at.get_or_insert(UnixMs(at));
                record.confirmed_owner = Some(Address([9; 20]));
                record.status = NodeStatus::Active;
            }
            6 => {
                record.confirmed_owner = Some(Address([9; 20]));
            }
            3 => record.confirming_at = Some(UnixMs(at)),
            4 => record.pledged.0 += taken,
            _ => record.settled_epoch = Some(Epoch(1)),
        }
        let taken = taken.min(record.collateral.0);
        record.collateral.0 -= taken;
        record.escrow.0 += taken;
        record.slashed.0 += taken / 2;
    }

    proptest! {
        #[test]
        fn nothing_after_the_start_changes_the_claims(
            past in past(),
            later in prop::collection::vec(
                (10_000..99_000u64, 0..200u128, EPOCH.0..9, any::<u8>()), 8
            ),
            new in prop::collection::vec((10_000..99_000u64, prop::option::of(10_000..99_000u64)), 0..8),
        ) {
            let early = claims_at(&past, &AT, &classes());
            let mut records = past;
            for (record, later) in records.iter_mut().zip(later) {
                age(record, later);
            }
            records.extend(new.into_iter().map(|(at, ended)| record(at, ended)));
            prop_assert_eq!(claims_at(&records, &AT, &classes()), early);
        }
    }
}
