//! Which registrations count in an epoch: one rule, for everybody who computes its root.

use std::collections::BTreeMap;

use assay_aggregate::epoch::Registration;
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Digest, Epoch, UnixMs};

use crate::types::NodeRecord;

/// The claims that count in `epoch`, which starts at `start`: registered before it, not ended before it, in one of
/// `classes`, and owing service in it. In the order of `records`.
///
/// The answer is the same for every reader from the end of the epoch on, whatever happens on the ledger since: it rests on
/// fields that never change once written. (Block times are floored to seconds, so a block up to a second after `start`
/// can still carry an earlier time. Who asks to leave or is removed owes the epoch of that, so nobody leaves an epoch that
/// has begun; and so many more as a re-audit takes, so nobody leaves a trial.) The pledge does not matter here: the contract takes no smaller one than the class asks for, and a network is
/// not opened on other terms.
pub fn claims_at(
    records: &[NodeRecord],
    epoch: Epoch,
    start: UnixMs,
    classes: &BTreeMap<Digest, ValidClass>,
) -> Vec<Registration> {
    let counts = |record: &&NodeRecord| {
        is_alive(record, start) && is_owing(record, epoch) && is_known(record, classes)
    };
    let claim = |record: &NodeRecord| Registration {
        node: record.node,
        provider: record.provider,
        class: record.class_digest,
    };
    records.iter().filter(counts).map(claim).collect()
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
        }
    }

    fn leaving(last: u64) -> NodeRecord {
        NodeRecord {
            serves_through: Some(Epoch(last)),
            ..record(0, None)
        }
    }

    fn counts(record: NodeRecord) -> bool {
        let claims = claims_at(std::slice::from_ref(&record), EPOCH, START, &classes());
        if let [claim] = claims.as_slice() {
            assert_eq!(
                (claim.node, claim.provider, claim.class),
                (record.node, record.provider, record.class_digest)
            );
        }
        !claims.is_empty()
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
        assert!(claims_at(&[record(0, None)], EPOCH, START, &BTreeMap::new()).is_empty());
    }

    /// Records as they are when the epoch starts: some ended, some leaving, before or after its end.
    fn past() -> impl Strategy<Value = Vec<NodeRecord>> {
        let last = prop::option::of(EPOCH.0 - 1..EPOCH.0 + 3);
        let one = (0..5u8, 0..10_000u64, any::<bool>(), last).prop_map(
            |(provider, at, is_over, last)| NodeRecord {
                provider: Address([provider; 20]),
                serves_through: last.map(Epoch),
                ..record(at, is_over.then_some(9_999))
            },
        );
        prop::collection::vec(one, 0..8)
    }

    /// Everything the contract can do to a record once the epoch has begun: who asks to leave owes the running epoch.
    fn age(record: &mut NodeRecord, (at, taken, last, what): (u64, u128, u64, u8)) {
        match what % 6 {
            0 => {
                record.ended_at.get_or_insert(UnixMs(at));
                (record.status, record.collateral) = (NodeStatus::None, Stake(0));
            }
            1 => {
                record.serves_through.get_or_insert(Epoch(last));
                record.status = NodeStatus::Removed;
            }
            2 => record.confirmed_owner = Some(Address([9; 20])),
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
            let early = claims_at(&past, EPOCH, START, &classes());
            let mut records = past;
            for (record, later) in records.iter_mut().zip(later) {
                age(record, later);
            }
            records.extend(new.into_iter().map(|(at, ended)| record(at, ended)));
            prop_assert_eq!(claims_at(&records, EPOCH, START, &classes()), early);
        }
    }
}
