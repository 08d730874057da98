//! What the contracts hash, encode and weigh is what the aggregate does.

use alloy_sol_types::SolCall;
use assay_aggregate::root::{Committee, EpochRoot, Member, NodeLeaf};
use assay_aggregate::weights::{Staked, capped_weights};
use assay_ledger::abi::{AssayEpochs, AssayStake};
use assay_ledger::{Action, Chain, NewHyperNode};
use assay_protocol::ids::{Digest, Epoch, Keccak, NetworkId, Ppm};
use std::collections::BTreeMap;

use crate::network::*;

/// Every field another value, as large as its type.
fn large(epoch: u64) -> NodeLeaf {
    NodeLeaf {
        chips: Digest([0xcc; 32]),
        verdict: 2,
        reasons: u8::MAX,
        tier: u8::MAX - 1,
        availability: Ppm(u32::MAX),
        lower: Ppm(u32::MAX - 1),
        upper: Ppm(u32::MAX - 2),
        coverage: Ppm(u32::MAX - 3),
        chase_rate: u64::MAX,
        chase_kind: u8::MAX - 2,
        cumulative_up_slots: u64::MAX - 1,
        cumulative_down_slots: u64::MAX - 2,
        cumulative_slash: u128::MAX,
        ..leaf(epoch)
    }
}

#[test]
fn contract_and_aggregate_hash_alike() {
    let net = Network::active();
    let contract = net.ledger.contract();
    let plain = epoch_root(7, Keccak([8; 32]), Keccak([9; 32]));
    let large_root = EpochRoot {
        network: NetworkId([0xff; 32]),
        epoch: Epoch(u64::MAX),
        round: u32::MAX,
        leaf_count: u32::MAX - 1,
        cumulative_reward: u128::MAX,
        next_committee: Keccak([10; 32]),
        ..plain
    };
    for root in [plain, large_root] {
        let digest = root.digest(CHAIN_ID, &contract);
        assert_eq!(net.ledger.hash_root(&root).unwrap(), digest);
    }
    // A leaf that is taken hashes to what the proof begins with.
    net.conclude(&large(1)).unwrap();
    let settled = net.ledger.nodes().unwrap()[0].settled_epoch;
    assert_eq!(settled, Some(Epoch(1)));
}

#[test]
fn the_domain_is_the_one_that_roots_are_signed_in() {
    let net = Network::deployed();
    let epochs = net.ledger.contract();
    let call = AssayEpochs::domainSeparatorCall {}.abi_encode();
    let domain = net.chain.call(epochs.0.into(), &call).unwrap();
    let ours = assay_aggregate::root::domain_separator(CHAIN_ID, &epochs);
    assert_eq!(domain.as_ref(), ours.0);
}

/// The bytes of an epoch's committee, as the stake contract encodes them for the verifier.
fn encoded(net: &Network, epoch: u64) -> Vec<u8> {
    let call = AssayStake::committeeCall { epoch };
    let stake = net.ledger.contracts().stake;
    let output = net.chain.call(stake.0.into(), &call.abi_encode()).unwrap();
    let bytes = AssayStake::committeeCall::abi_decode_returns_validate(&output);
    bytes.unwrap().to_vec()
}

/// A HyperNode of the operator with this number.
fn of_operator(index: usize, operator: u8, stake: u128) -> NewHyperNode {
    NewHyperNode {
        operator: Digest([operator; 32]),
        ..new_hypernode(index, stake)
    }
}

/// By the aggregate's own rule; who has no weight is no member.
fn capped(hypernodes: &[NewHyperNode]) -> Committee {
    let snapshot: Vec<Staked> = hypernodes
        .iter()
        .map(|new| Staked {
            hypernode: new.ed25519,
            operator: new.operator,
            stake: new.stake,
        })
        .collect();
    let cap = deployment().genesis.operator_cap_bps;
    let weights: BTreeMap<_, _> = capped_weights(&snapshot, cap).unwrap();
    let member = |(index, new): (usize, &NewHyperNode)| Member {
        address: hypernode(index).address(),
        weight: weights[&new.ed25519],
    };
    let members = hypernodes.iter().enumerate().map(member);
    Committee::new(members.filter(|m| m.weight > 0).collect()).unwrap()
}

#[test]
fn committee_bytes_and_operator_caps_are_the_aggregates() {
    let rosters: [&[(u8, u128)]; 6] = [
        &[(1, 40), (2, 25), (3, 20), (4, 15)],
        &[(1, 60), (2, 25), (3, 10), (4, 5)],
        &[(1, 45), (1, 15), (2, 20), (3, 20)],
        &[(1, 100_000_007), (1, 5), (2, 33), (2, 77), (3, 5)],
        &[(1, 7), (1, 7), (1, 7), (2, 11), (3, 13)],
        &[(9, RICH / 2), (8, RICH / 3), (7, RICH / 5)],
    ];
    for roster in rosters {
        let net = Network::deployed();
        let new = |(index, (operator, stake)): (usize, &(u8, u128))| {
            of_operator(index, *operator, *stake)
        };
        let new: Vec<NewHyperNode> = roster.iter().enumerate().map(new).collect();
        for (index, one) in new.iter().enumerate() {
            let owner = new.iter().position(|other| other.operator == one.operator);
            let owner = hypernode(owner.unwrap());
            if owner.address() != hypernode(index).address() {
                net.does(&owner, &Action::admit(hypernode(index).address()))
                    .unwrap();
            }
            net.register(index, one).unwrap();
        }
        let committee = net.committee(0);
        assert_eq!(committee, capped(&new), "{roster:?}");
        assert_eq!(encoded(&net, 0), committee.encode(), "{roster:?}");
        net.does(
            &deployer(),
            &Action::open_genesis(NETWORK, committee.hash()),
        )
        .unwrap();
        assert_eq!(net.ledger.committee_hash().unwrap(), committee.hash());
    }
}
