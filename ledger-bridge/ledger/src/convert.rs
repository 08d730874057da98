//! From the project's types to the contracts'.

use alloy_primitives::aliases::U96;
use alloy_primitives::{Address, B256};
use assay_aggregate::root::{
    AbsenceLeaf, EpochRoot, LEAF_TYPE_ABSENCE, LEAF_TYPE_NODE, LEAF_TYPE_REWARD, NodeLeaf,
    RewardLeaf,
};
use assay_protocol::ids::{self, Bps, Digest, Epoch, Keccak, NetworkId, Stake};
use assay_protocol::report::Vote;

use crate::abi::{epochs, faults, nodes, reservations, rewards, stake};
use crate::types::{
    ClassTerms, CreditTier, FaultShares, GenesisParameters, NodeTerms, RentTerms, SignedHead,
};

/// Bytes of a committee's member: its account and its weight.
const MEMBER_BYTES: usize = 24;

/// Stake in the 96 bits the contract takes. What is larger saturates, which no account can pay.
pub(crate) fn amount96(amount: Stake) -> U96 {
    U96::saturating_from(amount.0)
}

/// Basis points in 16 bits; the contracts refuse what saturates.
pub(crate) fn bps16(bps: Bps) -> u16 {
    u16::try_from(bps.0).unwrap_or(u16::MAX)
}

pub(crate) fn proof_words(proof: &[Keccak]) -> Vec<B256> {
    proof.iter().map(|hash| B256::from(hash.0)).collect()
}

/// Signatures as `EcdsaQuorum` takes them: a bitmap of the members who signed, member i at bit i mod 8 of byte i / 8, then
/// of each in order the compact form of EIP-2098: r, and s with the parity of v in its highest bit.
pub(crate) fn signature_bytes(signatures: &[Option<[u8; 65]>]) -> Vec<u8> {
    let mut bytes = vec![0; signatures.len().div_ceil(8)];
    for (at, signature) in signatures.iter().enumerate() {
        let Some(signature) = signature else { continue };
        if let Some(place) = bytes.get_mut(at / 8) {
            *place |= 1 << (at % 8);
        }
        let mut compact = [0; 64];
        compact.copy_from_slice(&signature[..64]);
        compact[32] |= u8::from(signature[64] == 28) << 7;
        bytes.extend_from_slice(&compact);
    }
    bytes
}

/// Who signed, from a committee's bytes and those of [`signature_bytes`]; nobody when they do not fit together.
pub(crate) fn signers_in(committee: &[u8], signatures: &[u8]) -> Vec<(ids::Address, [u8; 65])> {
    let (members, _) = committee.as_chunks::<MEMBER_BYTES>();
    let Some((bits, signed)) = signatures.split_at_checked(members.len().div_ceil(8)) else {
        return Vec::new();
    };
    let has_signed = |at: &usize| {
        bits.get(at / 8)
            .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
    };
    let who = (0..members.len()).filter(has_signed);
    let (signed, rest) = signed.as_chunks::<64>();
    if !rest.is_empty() || signed.len() != who.clone().count() {
        return Vec::new();
    }
    let one = |(at, compact): (usize, &[u8; 64])| {
        let mut address = [0; 20];
        address.copy_from_slice(members.get(at)?.get(..20)?);
        let mut signature = [27; 65];
        signature[..64].copy_from_slice(compact);
        signature[64] += signature[32] >> 7;
        signature[32] &= 0x7f;
        Some((ids::Address(address), signature))
    };
    who.zip(signed).filter_map(one).collect()
}

impl From<&GenesisParameters> for epochs::IAssayEpochs::Parameters {
    fn from(p: &GenesisParameters) -> Self {
        Self {
            genesisUnixMs: p.genesis_unix_ms.0,
            epochMs: p.epoch_ms,
            voidAfterMs: p.void_after_ms,
            disputeWindowMs: p.dispute_window_ms,
            disputeExtensionMs: p.dispute_extension_ms,
            disputeBond: p.dispute_bond.0,
        }
    }
}

impl From<&GenesisParameters> for stake::IAssayStake::Parameters {
    fn from(p: &GenesisParameters) -> Self {
        Self {
            minStake: amount96(p.min_stake),
            operatorCapBps: bps16(p.operator_cap_bps),
            activeAfterEpochs: p.active_after_epochs,
            unbondingMs: p.unbonding_ms,
            reporterBps: bps16(p.reporter_bps),
        }
    }
}

impl From<&NodeTerms> for nodes::INodesTypes::Parameters {
    fn from(p: &NodeTerms) -> Self {
        Self {
            provisionalMs: p.provisional_ms,
            changeDelayMs: p.change_delay_ms,
            removeAfterMs: p.remove_after_ms,
            silenceMs: p.silence_ms,
            persistenceEpochs: p.persistence_epochs,
            reauditEpochs: p.reaudit_epochs,
        }
    }
}

impl From<&RentTerms> for reservations::IAssayReservations::Parameters {
    fn from(p: &RentTerms) -> Self {
        Self {
            slotsPerEpoch: p.slots_per_epoch,
            undecidedPpm: p.undecided_ppm,
            periodEpochs: p.period_epochs,
            maxAheadEpochs: p.max_ahead_epochs,
            noticeEpochs: p.notice_epochs,
            refundEpochs: p.refund_epochs,
        }
    }
}

impl From<&FaultShares> for faults::IAssayFaults::Shares {
    fn from(p: &FaultShares) -> Self {
        Self {
            twoRoots: bps16(p.two_roots),
            wrongRoot: bps16(p.wrong_root),
            twoVotes: bps16(p.two_votes),
            forkedLog: bps16(p.forked_log),
            wrongRegionKey: bps16(p.wrong_region_key),
            unsignedAnswer: bps16(p.unsigned_answer),
            twoOutcomes: bps16(p.two_outcomes),
        }
    }
}

impl From<&ClassTerms> for nodes::INodesTypes::ClassTerms {
    fn from(t: &ClassTerms) -> Self {
        Self {
            collateral: t.collateral.0,
            slashCapPerEpoch: t.slash_cap_per_epoch.0,
            removeBelow: t.remove_below.0,
            slashCapBps: bps16(t.slash_cap_bps),
            builderShareBps: bps16(t.builder_share_bps),
        }
    }
}

impl From<&CreditTier> for reservations::IAssayReservations::CreditTier {
    fn from(t: &CreditTier) -> Self {
        Self {
            belowPpm: t.below_ppm,
            creditBps: bps16(t.credit_bps),
        }
    }
}

/// A root, which two ABIs have.
macro_rules! roots {
    ($($to:path),*) => {$(
        impl From<&EpochRoot> for $to {
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
                    cumulativeReward: r.cumulative_reward,
                    nextCommittee: r.next_committee.0.into(),
                }
            }
        }
    )*};
}

roots!(
    epochs::AssayEpochs::EpochRoot,
    faults::AssayFaults::EpochRoot
);

impl From<&SignedHead> for faults::AssayFaults::Checkpoint {
    fn from(h: &SignedHead) -> Self {
        Self {
            networkId: h.network.0.into(),
            hyperNode: h.hypernode.0.into(),
            size: h.size,
            root: h.root.0.into(),
        }
    }
}

impl From<&Vote> for faults::AssayFaults::Vote {
    fn from(v: &Vote) -> Self {
        Self {
            networkId: v.network.0.into(),
            epoch: v.epoch.0,
            round: v.round,
            hyperNode: v.hypernode.0.into(),
            inputSet: v.input_set.0.into(),
            atUnixMs: v.at.0,
        }
    }
}

/// A node's leaf, which two ABIs have.
macro_rules! node_leaves {
    ($($to:path),*) => {$(
        impl From<&NodeLeaf> for $to {
            fn from(l: &NodeLeaf) -> Self {
                Self {
                    leafType: LEAF_TYPE_NODE,
                    epoch: l.epoch.0,
                    node: l.node.0.into(),
                    owner: Address::from(l.owner.0),
                    confirmed: l.confirmed,
                    chips: l.chips.0.into(),
                    verdict: l.verdict,
                    reasons: l.reasons,
                    tier: l.tier,
                    availabilityPpm: l.availability.0,
                    lowerPpm: l.lower.0,
                    upperPpm: l.upper.0,
                    coveragePpm: l.coverage.0,
                    chaseRate: l.chase_rate,
                    chaseKind: l.chase_kind,
                    cumulativeUpSlots: l.cumulative_up_slots,
                    cumulativeDownSlots: l.cumulative_down_slots,
                    cumulativeSlash: l.cumulative_slash,
                }
            }
        }
    )*};
}

node_leaves!(
    nodes::AssayNodes::NodeLeaf,
    reservations::AssayReservations::NodeLeaf
);

impl From<&RewardLeaf> for rewards::AssayRewards::RewardLeaf {
    fn from(l: &RewardLeaf) -> Self {
        Self {
            leafType: LEAF_TYPE_REWARD,
            epoch: l.epoch.0,
            provider: Address::from(l.provider.0),
            cumulativeReward: l.cumulative_reward,
        }
    }
}

impl From<&AbsenceLeaf> for stake::AssayStake::AbsenceLeaf {
    fn from(l: &AbsenceLeaf) -> Self {
        Self {
            leafType: LEAF_TYPE_ABSENCE,
            epoch: l.epoch.0,
            hyperNode: l.hypernode.0.into(),
            missed: l.missed,
        }
    }
}

/// A root as an event tells it.
impl From<&epochs::AssayEpochs::EpochRoot> for EpochRoot {
    fn from(r: &epochs::AssayEpochs::EpochRoot) -> Self {
        Self {
            network: NetworkId(r.networkId.0),
            epoch: Epoch(r.epoch),
            round: r.round,
            input_set: Digest(r.inputSet.0),
            committee: Keccak(r.committee.0),
            root: Keccak(r.root.0),
            leaf_count: r.leafCount,
            evidence_root: Digest(r.evidenceRoot.0),
            policy_digest: Digest(r.policyDigest.0),
            cumulative_reward: r.cumulativeReward,
            next_committee: Keccak(r.nextCommittee.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A committee's bytes: accounts 1, 2, …, each with a weight.
    fn committee(count: u8) -> Vec<u8> {
        let member = |n: u8| [[n; 20].as_slice(), &[0, 0, 0, 1]].concat();
        (1..=count).flat_map(member).collect()
    }

    fn signed(n: u8, v: u8) -> Option<[u8; 65]> {
        let mut signature = [n; 65];
        signature[64] = v;
        Some(signature)
    }

    #[test]
    fn who_signed_is_read_as_it_was_written() {
        let mut all = vec![None; 9];
        (all[0], all[7], all[8]) = (signed(1, 27), signed(8, 28), signed(9, 28));
        let read = signers_in(&committee(9), &signature_bytes(&all));
        let who = |n: u8| ids::Address([n; 20]);
        let expected = [(1, all[0]), (8, all[7]), (9, all[8])];
        let expected = expected.map(|(n, signature)| (who(n), signature.unwrap()));
        assert_eq!(read, expected);
        assert_eq!(
            signers_in(&committee(9), &signature_bytes(&vec![None; 9])),
            []
        );
    }

    /// They come from a node, which may say anything.
    #[test]
    fn bytes_that_do_not_fit_together_name_nobody() {
        let all = vec![signed(1, 27); 9];
        let good = signature_bytes(&all);
        assert_eq!(signers_in(&committee(9), &good).len(), 9);
        for bad in [
            &good[..0],
            &good[..1],
            &good[..good.len() - 1],
            &good[..good.len() - 64],
            &[&good[..], &[0]].concat(),
            &[&good[..], &[0; 64]].concat(),
        ] {
            assert_eq!(signers_in(&committee(9), bad), [], "{} bytes", bad.len());
        }
        assert_eq!(signers_in(&[], &good), []);
        assert_eq!(signers_in(&committee(9)[..200], &good), []);
    }
}
