//! From the project's types to the contract's.

use alloy_primitives::{Address, Uint};
use assay_aggregate::root::{EpochRoot, Member, NodeLeaf};

use crate::abi::IAssayLedger as Abi;
use crate::types::GenesisParameters;

const NODE_LEAF: u8 = 1;

impl From<&GenesisParameters> for Abi::Parameters {
    fn from(p: &GenesisParameters) -> Self {
        Self {
            genesisUnixMs: p.genesis_unix_ms.0,
            epochMs: p.epoch_ms,
            voidAfterMs: p.void_after_ms,
            disputeWindowEpochs: p.dispute_window_epochs,
            operatorCapBps: p.operator_cap_bps.0,
        }
    }
}

impl From<&Member> for Abi::Member {
    /// Weights of a checked committee fit 96 bits; a larger one saturates and its hash no longer matches.
    fn from(m: &Member) -> Self {
        Self {
            signer: Address::from(m.address.0),
            weight: Uint::saturating_from(m.weight),
        }
    }
}

impl From<&EpochRoot> for Abi::EpochRoot {
    fn from(r: &EpochRoot) -> Self {
        Self {
            networkId: r.network.0.into(),
            epoch: r.epoch.0,
            round: r.round,
            inputSet: r.input_set.0.into(),
            committee: r.committee.0.into(),
            root: r.root.0.into(),
            leafCount: r.leaf_count,
            evidenceRoot: r.evidence_root.0.into(),
            policyDigest: r.policy_digest.0.into(),
            nextCommittee: r.next_committee.0.into(),
        }
    }
}

impl From<&NodeLeaf> for Abi::NodeLeaf {
    fn from(l: &NodeLeaf) -> Self {
        Self {
            leafType: NODE_LEAF,
            epoch: l.epoch.0,
            node: l.node.0.into(),
            owner: Address::from(l.owner.0),
            confirmed: l.confirmed,
            verdict: l.verdict,
            reasons: l.reasons,
            tier: l.tier,
            availabilityPpm: l.availability.0,
            lowerPpm: l.lower.0,
            upperPpm: l.upper.0,
            coveragePpm: l.coverage.0,
            chaseRate: l.chase_rate,
            chaseKind: l.chase_kind,
            cumulativeReward: l.cumulative_reward,
            cumulativeSlash: l.cumulative_slash,
        }
    }
}
