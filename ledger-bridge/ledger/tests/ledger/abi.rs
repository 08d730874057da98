//! What is signed and proven, by a second implementation of its encoding: the bindings that the artefacts generate.

use alloy_primitives::Bytes;
use alloy_sol_types::{SolError, SolStruct, SolValue};
use assay_aggregate::root::{EpochRoot, NodeLeaf, RewardLeaf};
use assay_ledger::abi::{
    AssayEpochs, AssayNodes, AssayReservations, AssayRewards, AssayStake, EcdsaQuorum, TestToken,
    decode_revert,
};
use assay_protocol::ids::{Digest, Keccak};

use super::network::*;

#[test]
fn the_signed_type_is_the_contracts() {
    assert_eq!(
        AssayEpochs::EpochRoot::eip712_root_type(),
        "EpochRoot(bytes32 networkId,uint64 epoch,uint32 round,bytes32 inputSet,bytes32 committee,bytes32 root,\
         uint32 leafCount,bytes32 evidenceRoot,bytes32 policyDigest,uint128 cumulativeReward,bytes32 nextCommittee)"
    );
    let root = EpochRoot {
        round: 7,
        cumulative_reward: u128::MAX,
        next_committee: Keccak([6; 32]),
        ..epoch_root(9, Keccak([8; 32]), Keccak([7; 32]))
    };
    let theirs = AssayEpochs::EpochRoot::from(&root);
    assert_eq!(theirs.eip712_hash_struct().0, root.struct_hash().0);
    assert_eq!(EpochRoot::from(&theirs), root, "and back");
}

#[test]
fn leaves_encode_as_their_proofs_begin() {
    let node = NodeLeaf {
        confirmed: false,
        chips: Digest([0xcc; 32]),
        cumulative_down_slots: 3,
        cumulative_slash: u128::MAX,
        ..leaf(5)
    };
    let ours = node.abi();
    assert_eq!(AssayNodes::NodeLeaf::from(&node).abi_encode(), ours);
    assert_eq!(AssayReservations::NodeLeaf::from(&node).abi_encode(), ours);
    let earned: RewardLeaf = reward(5, u128::MAX - 1);
    let theirs = AssayRewards::RewardLeaf::from(&earned);
    assert_eq!(theirs.abi_encode(), earned.abi());
}

#[test]
fn an_error_of_any_contract_has_its_name_and_arguments() {
    let errors: [(Vec<u8>, &str, &str); 6] = [
        (
            TestToken::ERC20InvalidSender {
                sender: [7; 20].into(),
            }
            .abi_encode(),
            "ERC20InvalidSender",
            "0x0707",
        ),
        (
            EcdsaQuorum::WrongSigner {
                index: alloy_primitives::U256::from(5),
            }
            .abi_encode(),
            "WrongSigner",
            "5",
        ),
        (
            AssayEpochs::RoundTooLow {
                least: 3,
                actual: 2,
            }
            .abi_encode(),
            "RoundTooLow",
            "least: 3, actual: 2",
        ),
        (
            AssayStake::NothingOwed {}.abi_encode(),
            "NothingOwed",
            "NothingOwed",
        ),
        (
            AssayNodes::NothingToConfirm {
                node: NODE.0.into(),
                epoch: 12,
            }
            .abi_encode(),
            "NothingToConfirm",
            "12",
        ),
        (
            AssayReservations::WrongLength {
                least: 1,
                most: 6,
                actual: 7,
            }
            .abi_encode(),
            "WrongLength",
            "actual: 7",
        ),
    ];
    for (data, name, part) in errors {
        let revert = decode_revert(&data.into());
        assert_eq!(revert.name, name);
        assert!(revert.detail.starts_with(name), "{}", revert.detail);
        assert!(revert.detail.contains(part), "{part}: {}", revert.detail);
    }
}

#[test]
fn an_unknown_revert_still_says_something() {
    let revert = decode_revert(&Bytes::new());
    assert_eq!(revert.name, "unknown");
    assert!(revert.detail.contains("no reason"));
    let mut cut = AssayStake::NotRegistered {
        signer: [1; 20].into(),
    }
    .abi_encode();
    cut.pop();
    for odd in [vec![1, 2, 3, 4], vec![9], cut] {
        let revert = decode_revert(&odd.clone().into());
        assert_eq!(revert.name, "unknown");
        assert_eq!(revert.detail, format!("0x{}", hex::encode(odd)));
    }
}
