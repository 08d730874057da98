//! Which registrations count in an epoch: one rule, for everybody who computes its root.

use std::collections::BTreeMap;

use assay_aggregate::epoch::Registration;
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Digest, UnixMs};

use crate::types::NodeRecord;

const WEI_PER_GWEI: u128 = 1_000_000_000;

/// The claims that count in an epoch which starts at `cutoff`: registered before it, not cancelled before it, in one of
/// `classes`, with at least the collateral of the class pledged. In the order of `records`.
///
/// The answer is the same for every reader from one second after `cutoff` on, whatever happens on the ledger since: it
/// rests on fields that never change once written. (Block times are floored to seconds, so a block up to a second
/// after `cutoff` can still carry an earlier time. A root is computed after the epoch's end.) What slashes left of the
/// collateral does not matter here, for that depends on when one reads.
pub fn claims_at(
    records: &[NodeRecord],
    cutoff: UnixMs,
    classes: &BTreeMap<Digest, ValidClass>,
) -> Vec<Registration> {
    let counts = |record: &&NodeRecord| is_alive(record, cutoff) && is_covered(record, classes);
    let claim = |record: &NodeRecord| Registration {
        node: record.node,
        provider: record.provider,
        class: record.class_digest,
    };
    records.iter().filter(counts).map(claim).collect()
}

fn is_alive(record: &NodeRecord, cutoff: UnixMs) -> bool {
    record.registered_at < cutoff && record.cancelled_at.is_none_or(|at| at >= cutoff)
}

/// Whether the registration is in one of `classes` and pledged at least what that class asks for.
pub fn is_covered(record: &NodeRecord, classes: &BTreeMap<Digest, ValidClass>) -> bool {
    let enough = |class: &ValidClass| {
        record.pledged.0 >= u128::from(class.money.collateral_gwei_min).saturating_mul(WEI_PER_GWEI)
    };
    classes.get(&record.class_digest).is_some_and(enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeStatus;
    use assay_protocol::class::{AttestationPolicy, Budget, Hardware, HardwareClass, Money, Sla};
    use assay_protocol::ids::{Address, Bps, Epoch, NodeId, Ppm, Stake};
    use proptest::prelude::*;

    const CUTOFF: UnixMs = UnixMs(10_000);

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

    fn least() -> Stake {
        Stake(u128::from(class().money.collateral_gwei_min) * WEI_PER_GWEI)
    }

    fn record(registered_at: u64, cancelled_at: Option<u64>) -> NodeRecord {
        NodeRecord {
            node: NodeId([1; 32]),
            provider: Address([2; 20]),
            class_digest: class().digest(),
            region: [0; 32],
            endpoint: String::new(),
            registered_at: UnixMs(registered_at),
            cancelled_at: cancelled_at.map(UnixMs),
            pledged: least(),
            collateral: least(),
            escrow: Stake(0),
            status: NodeStatus::Provisional,
            confirmed_owner: None,
            settled_epoch: None,
            cumulative_reward: Stake(0),
            cumulative_slash: Stake(0),
            arrears: Stake(0),
        }
    }

    fn counts(record: NodeRecord) -> bool {
        let claims = claims_at(std::slice::from_ref(&record), CUTOFF, &classes());
        if let [claim] = claims.as_slice() {
            assert_eq!(
                (claim.node, claim.provider, claim.class),
                (record.node, record.provider, record.class_digest)
            );
        }
        !claims.is_empty()
    }

    #[test]
    fn what_lives_at_the_cutoff_counts() {
        assert!(counts(record(9_999, None)));
        assert!(!counts(record(10_000, None)), "at the cutoff is too late");
        assert!(counts(record(0, Some(10_000))), "cancelled at the cutoff");
        assert!(!counts(record(0, Some(9_999))));
        assert!(!counts(record(10_000, Some(11_000))));
    }

    #[test]
    fn a_pledge_below_the_least_or_an_unknown_class_does_not_count() {
        let pledged = |wei| NodeRecord {
            pledged: Stake(wei),
            ..record(0, None)
        };
        assert!(counts(pledged(least().0)));
        assert!(!counts(pledged(least().0 - 1)));
        assert!(!counts(pledged(1)));
        let stranger = NodeRecord {
            class_digest: Digest([7; 32]),
            ..record(0, None)
        };
        assert!(!counts(stranger));
        assert!(claims_at(&[record(0, None)], CUTOFF, &BTreeMap::new()).is_empty());
    }

    /// Records as they are at the cutoff: some cancelled, some pledged too little.
    fn past() -> impl Strategy<Value = Vec<NodeRecord>> {
        let one = (0..5u8, 0..10_000u64, any::<bool>(), any::<bool>()).prop_map(
            |(provider, at, cancelled, is_poor)| NodeRecord {
                provider: Address([provider; 20]),
                pledged: Stake(least().0 - u128::from(is_poor)),
                ..record(at, cancelled.then_some(9_999))
            },
        );
        prop::collection::vec(one, 0..8)
    }

    /// Everything the contract can do to a record after the cutoff.
    fn age(record: &mut NodeRecord, (cancelled_at, taken, status): (u64, u128, u8)) {
        match status % 4 {
            0 => {
                record.cancelled_at.get_or_insert(UnixMs(cancelled_at));
                (record.status, record.collateral) = (NodeStatus::None, Stake(0));
            }
            1 => record.status = NodeStatus::Removed,
            2 => record.confirmed_owner = Some(Address([9; 20])),
            _ => record.settled_epoch = Some(Epoch(1)),
        }
        record.collateral.0 = record.collateral.0.saturating_sub(taken);
        record.escrow.0 += taken;
    }

    proptest! {
        #[test]
        fn nothing_after_the_cutoff_changes_the_claims(
            past in past(),
            later in prop::collection::vec((10_000..99_000u64, any::<u64>(), any::<u8>()), 8),
            new in prop::collection::vec((10_000..99_000u64, prop::option::of(10_000..99_000u64)), 0..8),
        ) {
            let early = claims_at(&past, CUTOFF, &classes());
            let mut records = past;
            for (record, (at, taken, status)) in records.iter_mut().zip(later) {
                age(record, (at, taken.into(), status));
            }
            records.extend(new.into_iter().map(|(at, cancelled)| record(at, cancelled)));
            prop_assert_eq!(claims_at(&records, CUTOFF, &classes()), early);
        }
    }
}
