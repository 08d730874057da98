//! Our hand-written ABI and EIP-712 encodings against alloy's generated ones.

use alloy_primitives::{B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue, sol};
use assay_aggregate::root::{
    self, AbsenceLeaf, Committee, EpochRoot, Member, NodeLeaf, RewardLeaf,
};
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Ppm};

/// The structs as `ledger-bridge/contracts/src/interfaces/Types.sol` has them.
mod theirs {
    use super::sol;
    sol! {
        struct Member { address account; uint32 weight; }

        struct EpochRoot {
            bytes32 networkId;
            uint64 epoch;
            uint32 round;
            bytes32 inputSet;
            bytes32 committee;
            bytes32 root;
            uint32 leafCount;
            bytes32 evidenceRoot;
            bytes32 policyDigest;
            uint128 cumulativeReward;
            bytes32 nextCommittee;
        }

        struct NodeLeaf {
            uint8 leafType;
            uint64 epoch;
            bytes32 node;
            address owner;
            bool confirmed;
            bytes32 chips;
            uint8 verdict;
            uint8 reasons;
            uint8 tier;
            uint32 availabilityPpm;
            uint32 lowerPpm;
            uint32 upperPpm;
            uint32 coveragePpm;
            uint64 chaseRate;
            uint8 chaseKind;
            uint64 cumulativeUpSlots;
            uint64 cumulativeDownSlots;
            uint128 cumulativeSlash;
        }

        struct RewardLeaf {
            uint8 leafType;
            uint64 epoch;
            address provider;
            uint128 cumulativeReward;
        }

        struct AbsenceLeaf {
            uint8 leafType;
            uint64 epoch;
            bytes32 hyperNode;
            uint32 missed;
        }
    }
}

#[test]
fn committee_bytes() {
    let ours = vec![
        Member {
            address: Address([2; 20]),
            weight: 25,
        },
        Member {
            address: Address([1; 20]),
            weight: 0xff00_0000,
        },
    ];
    let member = |m: &Member| theirs::Member {
        account: m.address.0.into(),
        weight: u32::try_from(m.weight).unwrap(),
    };
    let packed = |m: &Member| member(m).abi_encode_packed();
    let sorted = [packed(&ours[1]), packed(&ours[0])].concat();
    let committee = Committee::new(ours).unwrap();
    assert_eq!(committee.encode(), sorted);
    assert_eq!(committee.hash(), root::keccak(&sorted));
}

#[test]
fn epoch_root_digest() {
    let ours = EpochRoot {
        network: NetworkId([1; 32]),
        epoch: Epoch(0x0102_0304_0506),
        round: 7,
        input_set: Digest([3; 32]),
        committee: Keccak([4; 32]),
        root: Keccak([5; 32]),
        leaf_count: 600_000,
        evidence_root: Digest([7; 32]),
        policy_digest: Digest([8; 32]),
        cumulative_reward: u128::MAX - 1,
        next_committee: Keccak([9; 32]),
    };
    let theirs = theirs::EpochRoot {
        networkId: B256::repeat_byte(1),
        epoch: 0x0102_0304_0506,
        round: 7,
        inputSet: B256::repeat_byte(3),
        committee: B256::repeat_byte(4),
        root: B256::repeat_byte(5),
        leafCount: 600_000,
        evidenceRoot: B256::repeat_byte(7),
        policyDigest: B256::repeat_byte(8),
        cumulativeReward: u128::MAX - 1,
        nextCommittee: B256::repeat_byte(9),
    };
    let domain = Eip712Domain::new(
        Some("Assay".into()),
        Some("2".into()),
        Some(U256::from(31_337)),
        Some([6; 20].into()),
        None,
    );
    let digest = ours.digest(31_337, &Address([6; 20]));
    assert_eq!(digest.0, theirs.eip712_signing_hash(&domain).0);
}

#[test]
fn node_leaf_words() {
    let ours = NodeLeaf {
        epoch: Epoch(1),
        node: NodeId([2; 32]),
        owner: Address([3; 20]),
        confirmed: true,
        chips: Digest([15; 32]),
        verdict: 4,
        reasons: 5,
        tier: 6,
        availability: Ppm(7),
        lower: Ppm(8),
        upper: Ppm(9),
        coverage: Ppm(10),
        chase_rate: 11,
        chase_kind: 12,
        cumulative_up_slots: u64::MAX,
        cumulative_down_slots: 13,
        cumulative_slash: u128::MAX,
    };
    let theirs = theirs::NodeLeaf {
        leafType: 1,
        epoch: 1,
        node: B256::repeat_byte(2),
        owner: [3; 20].into(),
        confirmed: true,
        chips: B256::repeat_byte(15),
        verdict: 4,
        reasons: 5,
        tier: 6,
        availabilityPpm: 7,
        lowerPpm: 8,
        upperPpm: 9,
        coveragePpm: 10,
        chaseRate: 11,
        chaseKind: 12,
        cumulativeUpSlots: u64::MAX,
        cumulativeDownSlots: 13,
        cumulativeSlash: u128::MAX,
    };
    assert_eq!(ours.abi(), theirs.abi_encode());
    assert_eq!(ours.abi().len(), 18 * 32);
    assert_eq!(ours.hash(), hashed_twice(&theirs.abi_encode()));
}

#[test]
fn reward_leaf_words() {
    let ours = RewardLeaf {
        epoch: Epoch(1),
        provider: Address([2; 20]),
        cumulative_reward: u128::MAX,
    };
    let theirs = theirs::RewardLeaf {
        leafType: 3,
        epoch: 1,
        provider: [2; 20].into(),
        cumulativeReward: u128::MAX,
    };
    assert_eq!(ours.abi(), theirs.abi_encode());
    assert_eq!(ours.hash(), hashed_twice(&theirs.abi_encode()));
}

#[test]
fn absence_leaf_words() {
    let ours = AbsenceLeaf {
        epoch: Epoch(1),
        hypernode: HyperNodeId([2; 32]),
        missed: u32::MAX,
    };
    let theirs = theirs::AbsenceLeaf {
        leafType: 4,
        epoch: 1,
        hyperNode: [2; 32].into(),
        missed: u32::MAX,
    };
    assert_eq!(ours.abi(), theirs.abi_encode());
    assert_eq!(ours.hash(), hashed_twice(&theirs.abi_encode()));
}

fn hashed_twice(bytes: &[u8]) -> Keccak {
    root::keccak(&root::keccak(bytes).0)
}
