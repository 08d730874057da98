//! Roots, void epochs, disputes, corrections, budgets and claims.

use assay_aggregate::root::{EpochRoot, OutcomeTree, RewardLeaf};
use assay_ledger::abi::AssayRewards;
use assay_ledger::{Action, LedgerError, Receipt};
use assay_protocol::ids::{Epoch, Keccak, NetworkId, Stake};

use crate::network::*;

const ROOT: Keccak = Keccak([9; 32]);

#[test]
fn nothing_is_posted_before_genesis() {
    let net = Network::deployed();
    net.join(&STAKES);
    net.finish(10);
    let void = Action::post_void(Epoch(0));
    refused(net.does(&deployer(), &void), "GenesisNotOpen");
    let committee = net.committee(0);
    let root = epoch_root(0, ROOT, committee.hash());
    let post = Action::post_root(&root, &committee, &[None; 4]);
    refused(net.does(&deployer(), &post), "GenesisNotOpen");
}

#[test]
fn wrong_network_committee_and_successor() {
    let net = Network::ready();
    let good = net.root(0, ROOT);
    let post = |root: EpochRoot| net.post(&root, &[0, 1, 2]);
    refused(
        post(EpochRoot {
            network: NetworkId([1; 32]),
            ..good
        }),
        "WrongNetwork",
    );
    refused(
        post(EpochRoot {
            committee: Keccak([1; 32]),
            ..good
        }),
        "WrongCommittee",
    );
    refused(
        post(EpochRoot {
            next_committee: Keccak([0; 32]),
            ..good
        }),
        "ZeroNextCommittee",
    );
    post(good).unwrap();
}

#[test]
fn unfinished_and_out_of_order_epochs() {
    let net = Network::ready();
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
    let void = |epoch| net.does(&deployer(), &Action::post_void(Epoch(epoch)));
    net.clock.set(deadline - 1);
    refused(void(0), "VoidTooEarly");
    net.clock.set(deadline);
    refused(void(1), "WrongEpoch");
    void(0).unwrap();
    refused(void(0), "WrongEpoch");
    refused(net.post(&net.root(0, ROOT), &[0, 1, 2]), "WrongEpoch");
    let settle = Action::settle(&leaf(0), &[]);
    refused(net.does(&deployer(), &settle), "EpochNotPosted");
    refused(
        net.does(&deployer(), &Action::dispute(Epoch(0), BOND)),
        "EpochNotPosted",
    );
}

#[test]
fn rewards_stay_within_the_budget_and_never_shrink() {
    let net = Network::ready();
    let granting = |epoch, cumulative_reward| {
        let root = EpochRoot {
            cumulative_reward,
            ..net.root(epoch, ROOT)
        };
        net.post(&root, &[0, 1, 2])
    };
    refused(granting(0, BUDGET + 1), "BudgetExceeded");
    refused(granting(0, u128::MAX), "BudgetExceeded");
    granting(0, 600).unwrap();
    net.finish(1);
    refused(granting(1, 599), "RewardDecreased");
    // What epoch 0 left of its budget is not epoch 1's.
    refused(granting(1, 600 + BUDGET + 1), "BudgetExceeded");
    granting(1, 600 + BUDGET).unwrap();
}

#[test]
fn the_highest_round_of_all_is_none() {
    let net = Network::ready();
    let last = EpochRoot {
        round: u32::MAX,
        ..net.root(0, ROOT)
    };
    refused(net.post(&last, &[0, 1, 2]), "RoundTooLow");
    let before = EpochRoot {
        round: u32::MAX - 1,
        ..last
    };
    net.post(&before, &[0, 1, 2]).unwrap();
    refused(net.correct(&before, &[0, 1, 2]), "RoundTooLow");
}

#[test]
fn corrections() {
    let net = Network::ready();
    let first = net.root(0, ROOT);
    let better = EpochRoot {
        root: Keccak([8; 32]),
        round: 6,
        ..first
    };
    refused(net.correct(&better, &[0, 1, 2]), "EpochNotPosted");
    let first = EpochRoot { round: 5, ..first };
    net.post(&first, &[0, 1, 2]).unwrap();
    refused(net.correct(&better, &[0, 1]), "QuorumNotReached");
    for round in [0, 5] {
        let low = EpochRoot { round, ..better };
        refused(net.correct(&low, &[0, 1, 2]), "RoundTooLow");
    }
    let dear = EpochRoot {
        cumulative_reward: BUDGET + 1,
        ..better
    };
    refused(net.correct(&dear, &[0, 1, 2]), "BudgetExceeded");
    let stranger = EpochRoot {
        network: NetworkId([1; 32]),
        ..better
    };
    refused(net.correct(&stranger, &[0, 1, 2]), "WrongNetwork");
    net.correct(&better, &[0, 1, 2]).unwrap();
    refused(net.correct(&better, &[0, 1, 2]), "RoundTooLow");
    net.finish(3);
    let late = EpochRoot { round: 7, ..better };
    refused(net.correct(&late, &[0, 1, 2]), "EpochIsFinal");
}

#[test]
fn disputes() {
    let net = Network::ready();
    let dispute = |epoch| net.does(&provider(), &Action::dispute(Epoch(epoch), BOND));
    let close = |epoch| net.does(&provider(), &Action::close_dispute(Epoch(epoch)));
    refused(dispute(0), "EpochNotPosted");
    net.post(&net.root(0, ROOT), &[0, 1, 2]).unwrap();
    refused(close(0), "NoDispute");
    dispute(0).unwrap();
    refused(dispute(0), "AlreadyDisputed");
    net.finish(4);
    refused(dispute(0), "EpochIsFinal");
    close(0).unwrap();
    refused(close(0), "NoDispute");
    refused(dispute(1_024), "EpochNotPosted");
}

#[test]
fn budgets() {
    let net = Network::ready();
    let fund = |first, epochs, each| {
        let fund = Action::fund(Epoch(first), epochs, Stake(each));
        net.does(&deployer(), &fund)
    };
    for (first, epochs, each) in [
        (9, 0, 1),
        (9, 1, 0),
        (9, 513, 1),
        (u64::MAX, 1, 1),
        (9, 2, u128::MAX),
    ] {
        refused(fund(first, epochs, each), "BadRange");
    }
    // Epoch 1 runs: epoch 2 is too near, epoch 3 is not.
    refused(fund(2, 1, 1), "FundedTooLate");
    fund(3, 1, 1).unwrap();
}

fn claim(net: &Network, leaf: &RewardLeaf, proof: &[Keccak]) -> Result<Receipt, LedgerError> {
    net.does(&deployer(), &Action::claim(leaf, proof))
}

#[test]
fn claims() {
    let net = Network::ready();
    let (good, proof) = net.post_reward(0, 700);
    refused(claim(&net, &good, &proof), "EpochNotFinal");
    net.finish(1);
    refused(claim(&net, &reward(1, 700), &proof), "EpochNotPosted");
    refused(claim(&net, &reward(0, 701), &proof), "BadProof");
    refused(claim(&net, &good, &proof[1..]), "BadProof");
    refused(claim(&net, &good, &[]), "BadProof");
    let long = vec![Keccak([0; 32]); 65];
    refused(claim(&net, &good, &long), "BadProof");
    let thief = RewardLeaf {
        provider: builder().address(),
        ..good
    };
    refused(claim(&net, &thief, &proof), "BadProof");
    let mut call = AssayRewards::claimCall {
        leaf: (&good).into(),
        proof: vec![],
    };
    call.leaf.leafType = 1;
    let rewards = net.ledger.contracts().rewards;
    assert_eq!(net.meets(&deployer(), rewards, &call), "WrongLeafType");
    claim(&net, &good, &proof).unwrap();
    refused(claim(&net, &good, &proof), "NothingToClaim");
}

/// A committee that promises providers more than the sum it signs pays out that sum and no other money.
#[test]
fn claims_beyond_the_signed_sum() {
    let net = Network::ready();
    let other = RewardLeaf {
        provider: other_provider().address(),
        ..reward(0, 700)
    };
    let tree = OutcomeTree::new(vec![reward(0, 700).hash(), other.hash()]);
    let root = EpochRoot {
        cumulative_reward: 1_000,
        ..net.root(0, tree.root())
    };
    net.post(&root, &[0, 1, 2]).unwrap();
    net.finish(1);
    let proof = |leaf: &RewardLeaf| tree.proof(&leaf.hash()).unwrap();
    claim(&net, &reward(0, 700), &proof(&reward(0, 700))).unwrap();
    refused(
        claim(&net, &other, &proof(&other)),
        "ERC20InsufficientBalance",
    );
}

/// A leaf about a node is no leaf about a reward, whatever it is called by.
#[test]
fn a_proof_of_one_type_of_leaf_proves_none_of_another() {
    let net = Network::ready();
    net.post_tree(0, &[leaf(0).hash()]);
    net.finish(1);
    refused(claim(&net, &reward(0, 1), &proof_of(&leaf(0))), "BadProof");
}
