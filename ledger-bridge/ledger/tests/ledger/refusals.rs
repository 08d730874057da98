//! Everything the contract must refuse, each by the name of its error.

use assay_aggregate::root::{Committee, Member};
use assay_ledger::abi::IAssayLedger as Abi;
use assay_ledger::{Action, AssayLedger, LedgerError};
use assay_protocol::ids::{Address, Bps, Digest, Epoch, Keccak, NetworkId, NodeId, Stake};

use super::network::*;

const ROOT: Keccak = Keccak([9; 32]);

#[test]
fn parameters_that_make_no_sense() {
    let net = Network::deployed();
    let mut wrong = [parameters(); 4];
    wrong[0].epoch_ms = 0;
    wrong[1].operator_cap_bps = Bps(0);
    wrong[2].operator_cap_bps = Bps(10_001);
    wrong[3].dispute_window_epochs = u64::MAX;
    for parameters in wrong {
        refused(
            AssayLedger::deploy(net.chain.clone(), &deployer(), &parameters).map(|_| ()),
            "BadParameters",
        );
    }
}

#[test]
fn roster_rules() {
    let net = Network::deployed();
    refused(
        net.ledger.open_genesis(&deployer(), NETWORK),
        "NoHyperNodes",
    );
    let register = |index, new| net.ledger.register_hypernode(&hypernode(index), &new);
    let good = new_hypernode(0, 40);
    register(0, good.clone()).unwrap();
    refused(
        register(0, new_hypernode(1, 1)),
        "HyperNodeAlreadyRegistered",
    );
    refused(register(1, good.clone()), "Ed25519KeyAlreadyRegistered");
    refused(register(1, new_hypernode(1, 0)), "ZeroValue");
    let mut long = new_hypernode(1, 1);
    long.endpoint = "x".repeat(257);
    refused(register(1, long), "EndpointTooLong");
    for clear in 0..3 {
        let mut zero = new_hypernode(1, 1);
        match clear {
            0 => zero.ed25519.0 = [0; 32],
            1 => zero.operator.0 = [0; 32],
            _ => zero.seed_end.0 = [0; 32],
        }
        refused(register(1, zero), "ZeroId");
    }
    register(1, new_hypernode(1, 25)).unwrap();
    refused(net.ledger.open_genesis(&deployer(), NETWORK), "CapTooSmall");
    register(2, new_hypernode(2, 20)).unwrap();
    refused(
        net.ledger.open_genesis(&provider(), NETWORK),
        "OnlyDeployer",
    );
    refused(
        net.ledger.open_genesis(&deployer(), NetworkId([0; 32])),
        "ZeroId",
    );
    net.ledger.open_genesis(&deployer(), NETWORK).unwrap();
    refused(
        net.ledger.open_genesis(&deployer(), NETWORK),
        "GenesisAlreadyOpen",
    );
    refused(register(3, new_hypernode(3, 15)), "RosterClosed");
}

#[test]
fn a_stake_that_caps_to_nothing() {
    let net = Network::deployed();
    for (index, stake) in [10_000u128, 1, 1, 1].into_iter().enumerate() {
        let mut new = new_hypernode(index, stake);
        new.operator.0 = [150 + index.max(1) as u8; 32];
        net.ledger
            .register_hypernode(&hypernode(index), &new)
            .unwrap();
    }
    refused(net.ledger.open_genesis(&deployer(), NETWORK), "ZeroWeight");
}

#[test]
fn nothing_is_posted_before_genesis() {
    let net = Network::deployed();
    net.finish(10);
    refused(
        net.ledger.post_void(&deployer(), Epoch(0)),
        "GenesisNotOpen",
    );
    let member = Member {
        address: hypernode(0).address(),
        weight: 1,
    };
    let committee = Committee::new(vec![member]).unwrap();
    let root = Abi::EpochRoot::default();
    refused(
        net.ledger.post_root(&deployer(), root, &committee, &[None]),
        "GenesisNotOpen",
    );
}

#[test]
fn a_cancelled_registration_is_over_for_good() {
    let net = Network::ready();
    let cancel = || {
        let action = Action::cancel_registration(NODE);
        net.ledger.submit(&provider(), &action)
    };
    cancel().unwrap();
    refused(cancel(), "NotProvisional");
    refused(
        net.ledger.register_node(&provider(), &new_node(500)),
        "RegistrationEnded",
    );
    // What was confirmed after its end moves no money.
    refused(net.conclude(&leaf(0)), "NodeNotRegistered");
    // The node's id is not burnt: another account may register it.
    net.ledger
        .register_node(&other_provider(), &new_node(500))
        .unwrap();
    assert_eq!(net.ledger.nodes().unwrap().len(), 2);
}

#[test]
fn node_registration_rules() {
    let net = Network::ready();
    let register = |new| net.ledger.register_node(&other_provider(), &new);
    refused(
        net.ledger.register_node(&provider(), &new_node(1)),
        "NodeAlreadyRegistered",
    );
    refused(register(new_node(0)), "ZeroValue");
    let mut bad = new_node(1);
    bad.node = NodeId([0; 32]);
    refused(register(bad), "ZeroId");
    let mut bad = new_node(1);
    bad.class_digest = Digest([0; 32]);
    refused(register(bad), "ZeroId");
    net.conclude(&leaf(0)).unwrap();
    refused(register(new_node(1)), "NodeAlreadyConfirmed");
}

#[test]
fn quorum_is_strictly_more_than_two_thirds() {
    let net = Network::open(&[100, 100, 100]);
    net.finish(0);
    let root = net.root(0, ROOT);
    refused(net.post(&root, &[0, 1]), "QuorumNotReached");
    refused(net.post(&root, &[]), "QuorumNotReached");
    let net = Network::open(&[100, 101, 99]);
    net.finish(0);
    net.post(&net.root(0, ROOT), &[0, 1]).unwrap();
}

#[test]
fn duplicated_foreign_and_misplaced_signatures() {
    let net = Network::ready();
    let root = net.root(0, ROOT);
    let good = net.signatures(&root, &[0, 1, 2, 3]);
    let post = |signatures: &[Option<[u8; 65]>]| {
        net.ledger
            .post_root(&deployer(), &root, &net.committee(), signatures)
    };
    let mut duplicated = good.clone();
    duplicated[1] = duplicated[0];
    refused(post(&duplicated), "WrongSigner");
    let mut foreign = good.clone();
    foreign[0] = Some(
        key(40)
            .sign_digest(&root.digest(CHAIN_ID, &net.ledger.contract()))
            .unwrap(),
    );
    refused(post(&foreign), "WrongSigner");
    refused(post(&good[..3]), "WrongSignatureCount");
    let mut more = good.clone();
    more.push(None);
    refused(post(&more), "WrongSignatureCount");
    post(&good).unwrap();
}

#[test]
fn malleable_and_malformed_signatures() {
    let net = Network::ready();
    let root = net.root(0, ROOT);
    let good = net.signatures(&root, &[0, 1, 2, 3]);
    let with_first = |edit: fn(&mut [u8; 65])| {
        let mut changed = good.clone();
        changed[0].as_mut().map(edit);
        net.ledger
            .post_root(&deployer(), &root, &net.committee(), &changed)
    };
    refused(with_first(high_s), "BadSignature");
    refused(with_first(|s| s[64] -= 27), "BadSignature");
    refused(with_first(|s| s[..64].fill(0)), "BadSignature");
    refused(with_first(|s| s[64] = 55 - s[64]), "WrongSigner");
    let mut call = Abi::postRootCall {
        r: (&root).into(),
        committee: net.committee().members().iter().map(Into::into).collect(),
        signatures: good.iter().map(|s| s.unwrap().to_vec().into()).collect(),
    };
    call.signatures[0] = call.signatures[0].slice(..64);
    let data = alloy_sol_types::SolCall::abi_encode(&call);
    use assay_ledger::Chain;
    let error = net
        .chain
        .call(net.ledger.contract().0.into(), &data)
        .unwrap_err();
    let assay_ledger::ChainError::Reverted(data) = error else {
        panic!("{error}")
    };
    assert_eq!(
        assay_ledger::abi::decode_revert(&data).name,
        "BadSignatureLength"
    );
}

/// The other valid signature of the same digest: n − s and the other parity.
fn high_s(signature: &mut [u8; 65]) {
    use alloy_primitives::{U256, uint};
    const N: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
    let s = U256::from_be_slice(&signature[32..64]);
    signature[32..64].copy_from_slice(&(N - s).to_be_bytes::<32>());
    signature[64] = 55 - signature[64];
}

#[test]
fn signatures_for_another_chain_contract_or_root() {
    let net = Network::ready();
    let root = net.root(0, ROOT);
    let here = net.ledger.contract();
    let mut changed = root;
    changed.round = 1;
    for digest in [
        root.digest(CHAIN_ID + 1, &here),
        root.digest(CHAIN_ID, &Address([7; 20])),
        changed.digest(CHAIN_ID, &here),
    ] {
        let signatures = net.signatures_over(&digest, &[0, 1, 2]);
        let result = net
            .ledger
            .post_root(&deployer(), &root, &net.committee(), &signatures);
        refused(result, "WrongSigner");
    }
}

#[test]
fn a_root_accepted_by_one_contract_is_no_good_for_its_twin() {
    let net = Network::ready();
    let twin = AssayLedger::deploy(net.chain.clone(), &deployer(), &parameters()).unwrap();
    for index in 0..4 {
        let new = new_hypernode(index, [40, 25, 20, 15][index]);
        twin.register_hypernode(&hypernode(index), &new).unwrap();
    }
    twin.open_genesis(&deployer(), NETWORK).unwrap();
    let root = net.root(0, ROOT);
    net.post(&root, &[0, 1, 2]).unwrap();
    let signatures = net.signatures(&root, &[0, 1, 2]);
    refused(
        twin.post_root(&deployer(), &root, &net.committee(), &signatures),
        "WrongSigner",
    );
}

#[test]
fn wrong_network_committee_and_successor() {
    let net = Network::ready();
    let mut root = net.root(0, ROOT);
    root.network = NetworkId([1; 32]);
    refused(net.post(&root, &[0, 1, 2]), "WrongNetwork");
    let mut root = net.root(0, ROOT);
    root.committee = Keccak([1; 32]);
    refused(net.post(&root, &[0, 1, 2]), "WrongCommittee");
    let mut root = net.root(0, ROOT);
    root.next_committee = Keccak([0; 32]);
    refused(net.post(&root, &[0, 1, 2]), "ZeroNextCommittee");
    let root = net.root(0, ROOT);
    let inflated = net
        .committee()
        .members()
        .iter()
        .map(|m| Member {
            weight: m.weight * 2,
            ..*m
        })
        .collect();
    let inflated = Committee::new(inflated).unwrap();
    let signatures = net.signatures(&root, &[0, 1, 2]);
    refused(
        net.ledger
            .post_root(&deployer(), &root, &inflated, &signatures),
        "WrongCommittee",
    );
}

#[test]
fn the_next_committee_replaces_the_old_one() {
    let net = Network::ready();
    let old = net.root(0, ROOT);
    let successor = Committee::new(vec![Member {
        address: hypernode(3).address(),
        weight: 1,
    }])
    .unwrap();
    let mut root = old;
    root.next_committee = successor.hash();
    net.post(&root, &[0, 1, 2]).unwrap();
    assert!(matches!(
        net.ledger.committee(),
        Err(LedgerError::CommitteeMismatch { .. })
    ));
    net.finish(1);
    let mut next = old;
    (next.epoch, next.committee, next.next_committee) =
        (Epoch(1), successor.hash(), successor.hash());
    let digest = next.digest(CHAIN_ID, &net.ledger.contract());
    let signature = Some(hypernode(3).sign_digest(&digest).unwrap());
    net.ledger
        .post_root(&deployer(), &next, &successor, &[signature])
        .unwrap();
}

#[test]
fn unfinished_and_out_of_order_epochs() {
    let net = Network::ready();
    net.clock.set(GENESIS_MS + EPOCH_MS);
    refused(net.post(&net.root(1, ROOT), &[0, 1, 2]), "WrongEpoch");
    net.post(&net.root(0, ROOT), &[0, 1, 2]).unwrap();
    refused(net.post(&net.root(0, ROOT), &[0, 1, 2]), "WrongEpoch");
    net.clock.set(GENESIS_MS + 2 * EPOCH_MS - 1);
    refused(net.post(&net.root(1, ROOT), &[0, 1, 2]), "EpochNotFinished");
    net.clock.set(GENESIS_MS + 2 * EPOCH_MS);
    net.post(&net.root(1, ROOT), &[0, 1, 2]).unwrap();
}

#[test]
fn void_rules() {
    let net = Network::ready();
    let deadline = GENESIS_MS + EPOCH_MS + VOID_AFTER_MS;
    net.clock.set(deadline - 1);
    refused(net.ledger.post_void(&deployer(), Epoch(0)), "VoidTooEarly");
    net.clock.set(deadline);
    refused(net.ledger.post_void(&deployer(), Epoch(1)), "WrongEpoch");
    net.ledger.post_void(&deployer(), Epoch(0)).unwrap();
    refused(net.post(&net.root(0, ROOT), &[0, 1, 2]), "WrongEpoch");
    refused(net.ledger.post_void(&deployer(), Epoch(0)), "WrongEpoch");
    refused(
        net.ledger.settle(&deployer(), Epoch(0), &leaf(0), &[]),
        "EpochNotPosted",
    );
}

#[test]
fn leaves_that_are_not_in_the_tree() {
    let net = Network::ready();
    let (root, proof) = tree_of(&leaf(0));
    refused(
        net.ledger.settle(&deployer(), Epoch(0), &leaf(0), &proof),
        "EpochNotPosted",
    );
    net.post(&net.root(0, root), &[0, 1, 2]).unwrap();
    let settle = |leaf: Abi::NodeLeaf, proof: &[Keccak]| {
        net.ledger.settle(&deployer(), Epoch(0), leaf, proof)
    };
    let good = Abi::NodeLeaf::from(&leaf(0));
    let mut forged = good.clone();
    forged.cumulativeReward = 1;
    refused(settle(forged, &proof), "BadProof");
    refused(settle(good.clone(), &proof[1..]), "BadProof");
    refused(settle(good.clone(), &[]), "BadProof");
    refused(
        settle(good.clone(), &vec![Keccak([0; 32]); 65]),
        "ProofTooLong",
    );
    let mut other_type = good.clone();
    other_type.leafType = 2;
    refused(settle(other_type, &proof), "WrongLeafType");
    refused(settle((&leaf(1)).into(), &proof), "WrongLeafEpoch");
    let mut verdict = good.clone();
    verdict.verdict = 4;
    refused(settle(verdict, &proof), "UnknownVerdict");
    settle(good, &proof).unwrap();
}

#[test]
fn nothing_settles_twice_or_backwards() {
    let net = Network::ready();
    let (root, proof) = tree_of(&leaf(0));
    net.post(&net.root(0, root), &[0, 1, 2]).unwrap();
    net.conclude(&leaf(1)).unwrap();
    refused(
        net.ledger.settle(&deployer(), Epoch(0), &leaf(0), &proof),
        "StaleEpoch",
    );
    let (_, proof) = tree_of(&leaf(1));
    refused(
        net.ledger.settle(&provider(), Epoch(1), &leaf(1), &proof),
        "AlreadySettled",
    );
}

#[test]
fn money_needs_a_confirmed_registered_owner() {
    let net = Network::ready();
    let mut unconfirmed = leaf(0);
    (unconfirmed.confirmed, unconfirmed.cumulative_reward) = (false, 1);
    refused(net.conclude(&unconfirmed), "NotConfirmed");
    let mut unregistered = leaf(1);
    unregistered.owner = other_provider().address();
    refused(net.conclude(&unregistered), "NodeNotRegistered");
    net.conclude(&leaf(2)).unwrap();
    let mut taken = leaf(3);
    taken.owner = other_provider().address();
    refused(net.conclude(&taken), "WrongOwner");
    let arrears = assay_ledger::Action::pay_arrears(NodeId([0x77; 32]));
    refused(net.ledger.submit(&deployer(), &arrears), "NotConfirmed");
}

#[test]
fn sums_never_shrink() {
    let net = Network::ready();
    let mut first = leaf(0);
    (first.cumulative_reward, first.cumulative_slash) = (10, 10);
    net.conclude(&first).unwrap();
    let mut less = leaf(1);
    (less.cumulative_reward, less.cumulative_slash) = (9, 10);
    refused(net.conclude(&less), "CumulativeDecreased");
    let mut less = leaf(2);
    (less.cumulative_reward, less.cumulative_slash) = (10, 9);
    refused(net.conclude(&less), "CumulativeDecreased");
}

#[test]
fn an_empty_fund() {
    let net = Network::ready();
    refused(net.ledger.fund_rewards(&deployer(), Stake(0)), "ZeroValue");
}
