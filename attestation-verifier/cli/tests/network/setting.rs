//! The network's parameters and the node's class.

use super::settled::ledger_key;
use super::{Key, LINKS};
use assay_aggregate::root::{recover, sign};
use assay_protocol::class::{
    AttestationPolicy, Budget, Hardware, HardwareClass, ImaPolicy, Money, PcrReference, Sla,
    ValidClass,
};
use assay_protocol::ids::{Address, Bps, Digest, Keccak, Ppm, Seed, Stake, UnixMs};
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_protocol::schedule::seed_end;

const STAKES: [u128; 4] = [40, 25, 20, 15];

pub(super) fn params(hypernodes: &[Key], class: &HardwareClass) -> NetworkParams {
    let entry = |(who, key): (usize, &Key)| {
        let probe = Keccak([1; 32]);
        let ledger = recover(&probe, &sign(&probe, &ledger_key(who)).unwrap()).unwrap();
        RosterEntry {
            id: key.id(),
            operator: Digest([who as u8; 32]),
            ledger,
            // So much that the ledger's 32 bits do not hold it.
            stake: Stake(STAKES[who] * 1_000_000_000_000_000_000),
            seed_end: seed_end(&Seed([0x50 + who as u8; 32]), LINKS),
        }
    };
    NetworkParams {
        chain_id: 31_337,
        contract: Address([1; 20]),
        genesis_unix_ms: UnixMs(1_793_000_000_000),
        epoch_ms: 8_000,
        slot_ms: 1_000,
        clock_skew_ms_max: 100,
        panel_min: 3,
        operator_cap_bps: Bps(4_000),
        systemic_min_providers: 0,
        control_probes: 2,
        persistence: (1, 1),
        reaudit_seats: 0,
        region_epochs: 2,
        seed_chain_links: LINKS,
        commit_ms: 1,
        reveal_ms: 2,
        vote_ms: 3,
        void_after_ms: 4,
        absent_epochs: 0,
        gwei: 1_000_000_000,
        classes: vec![class.digest()],
        roster: hypernodes.iter().enumerate().map(entry).collect(),
    }
}

pub(super) fn class(pcrs: &[[u8; 32]], ima: Option<ImaPolicy>) -> ValidClass {
    let pinned = pcrs.iter().take(8).enumerate();
    let class = HardwareClass {
        schema: 2,
        name: "test".into(),
        summary: "test".into(),
        hardware: Hardware {
            cpu: "any".into(),
            cores: 1,
            memory_mib: 1,
            disk_gib: 1,
            nic_mbps: 1,
        },
        sla: Sla {
            availability_ppm: Ppm(700_000),
            coverage_ppm_min: Ppm(500_000),
            chase_reads_per_s_min: 1,
            chase_liveness_reads_per_s_min: 1,
        },
        budget: Budget {
            region_blocks: 16,
            chase_lanes: 2,
            chase_steps: 8,
            chase_checkpoint_every: 4,
            probe_attempts: 3,
        },
        money: Money {
            collateral_gwei_min: 1_000,
            reward_gwei_per_epoch: 10,
            slash_bps: Bps(1_000),
        },
        attestation: AttestationPolicy {
            ima,
            ..AttestationPolicy::of_pcrs(
                1,
                pinned
                    .map(|(index, value)| PcrReference {
                        index: index as u8,
                        allowed: vec![Digest(*value)],
                    })
                    .collect(),
            )
        },
    };
    ValidClass::new(class).unwrap()
}
