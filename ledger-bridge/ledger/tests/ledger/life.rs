//! What a good life looks like: registration, genesis, roots, settlement, claim.

use assay_ledger::embedded::ChainConfig;
use assay_ledger::{Action, AssayLedger, LedgerKey, NodeRecord, NodeStatus, Resolution, Rewards};
use assay_protocol::ids::{Epoch, Keccak, Stake, UnixMs};

use super::bed::Bed;
use super::network::*;

fn only_node(net: &Network) -> NodeRecord {
    let mut nodes = net.ledger.nodes().unwrap();
    assert_eq!(nodes.len(), 1);
    nodes.remove(0)
}

#[test]
fn genesis_caps_weights_and_sorts_the_committee() {
    let net = Network::open(&[60, 25, 10, 5]);
    let roster = net.ledger.hypernodes().unwrap();
    let weights: Vec<u128> = roster.iter().map(|h| h.weight.0).collect();
    assert_eq!(weights, [40, 25, 10, 5], "60 of 100 capped at 40 %");
    assert_eq!(roster[0].stake, Stake(60));
    assert_eq!(roster[1].endpoint, "127.0.0.1:9001");
    assert_eq!(roster[2].ed25519.0, [102; 32]);
    assert_eq!(roster[3].operator.0, [153; 32]);
    assert_eq!(roster[3].seed_end.0, [203; 32]);
    let committee = net.committee();
    assert!(committee.members().is_sorted_by_key(|m| m.address));
    assert_eq!(committee.hash(), net.ledger.committee_hash().unwrap());
    assert_eq!(net.ledger.network_id().unwrap(), Some(NETWORK));
    assert_eq!(net.ledger.genesis_parameters().unwrap(), parameters());
}

#[test]
fn hypernodes_of_one_operator_share_its_cap() {
    let net = Network::deployed();
    for (index, stake) in [45u128, 15, 20, 20].into_iter().enumerate() {
        let mut new = new_hypernode(index, stake);
        new.operator.0 = [150 + index.max(1) as u8; 32];
        net.ledger
            .register_hypernode(&hypernode(index), &new)
            .unwrap();
    }
    net.ledger.open_genesis(&deployer(), NETWORK).unwrap();
    let roster = net.ledger.hypernodes().unwrap();
    let weights: Vec<u128> = roster.iter().map(|h| h.weight.0).collect();
    assert_eq!(weights, [30, 10, 20, 20]);
}

#[test]
fn two_epochs_confirm_reward_and_claim() {
    let net = Network::ready();
    let before = net.ledger.balance(provider().address()).unwrap();
    assert_eq!(only_node(&net).status, NodeStatus::Provisional);
    net.conclude(&leaf(0)).unwrap();
    let node = only_node(&net);
    assert_eq!(node.status, NodeStatus::Active);
    assert_eq!(node.confirmed_owner, Some(provider().address()));
    assert_eq!(node.settled_epoch, Some(Epoch(0)));

    let mut paid = leaf(1);
    paid.cumulative_reward = 700;
    net.conclude(&paid).unwrap();
    let rewards = |claimable, waiting| Rewards {
        claimable: Stake(claimable),
        waiting: Stake(waiting),
    };
    assert_eq!(
        net.ledger.rewards(provider().address()).unwrap(),
        rewards(0, 700)
    );
    refused(net.ledger.claim(&provider()), "NothingToClaim");

    net.finish(2);
    assert_eq!(
        net.ledger.rewards(provider().address()).unwrap(),
        rewards(700, 0)
    );
    net.ledger.claim(&provider()).unwrap();
    assert_eq!(
        net.ledger.balance(provider().address()).unwrap(),
        Stake(before.0 + 700)
    );
    refused(net.ledger.claim(&provider()), "NothingToClaim");
    assert_eq!(net.ledger.reward_pool().unwrap(), Stake(9_300));
}

#[test]
fn the_record_keeps_what_was_signed() {
    let net = Network::ready();
    let root = net.root(0, Keccak([9; 32]));
    net.post(&root, &[0, 1, 2, 3]).unwrap();
    let record = net.ledger.epoch_record(Epoch(0)).unwrap();
    assert_eq!(record.resolution, Resolution::Posted);
    assert_eq!((record.root, record.committee), (root.root, root.committee));
    assert_eq!(
        (record.input_set, record.evidence_root),
        (root.input_set, root.evidence_root)
    );
    assert_eq!((record.policy, record.leaf_count), (root.policy_digest, 3));
    assert_eq!(record.resolved_at.0, GENESIS_MS + EPOCH_MS);
    assert_eq!(net.ledger.next_epoch().unwrap(), Epoch(1));
    assert_eq!(
        net.ledger.epoch_record(Epoch(1)).unwrap().resolution,
        Resolution::Open
    );
}

#[test]
fn slash_takes_what_is_there_and_removes_the_node() {
    let net = Network::ready();
    net.conclude(&leaf(0)).unwrap();
    let mut breach = leaf(1);
    (breach.verdict, breach.cumulative_slash) = (3, 200);
    net.conclude(&breach).unwrap();
    let node = only_node(&net);
    assert_eq!((node.collateral, node.escrow), (Stake(300), Stake(200)));
    assert_eq!(node.status, NodeStatus::Warned);

    (breach.epoch, breach.cumulative_slash) = (Epoch(2), 10_000);
    net.conclude(&breach).unwrap();
    let node = only_node(&net);
    assert_eq!((node.collateral, node.escrow), (Stake(0), Stake(500)));
    assert_eq!(node.cumulative_slash, Stake(10_000));
    assert_eq!(node.status, NodeStatus::Removed);
}

#[test]
fn status_steps_down_and_up_one_at_a_time() {
    let net = Network::ready();
    let mut expected = Vec::new();
    for (epoch, (verdict, status)) in [
        (1, NodeStatus::Active),
        (3, NodeStatus::Warned),
        (3, NodeStatus::Suspended),
        (0, NodeStatus::Suspended),
        (1, NodeStatus::Warned),
        (1, NodeStatus::Active),
        (2, NodeStatus::Warned),
    ]
    .into_iter()
    .enumerate()
    {
        let mut one = leaf(epoch as u64);
        one.verdict = verdict;
        net.conclude(&one).unwrap();
        expected.push(status);
        assert_eq!(only_node(&net).status, status, "after {expected:?}");
    }
}

#[test]
fn an_empty_pool_leaves_arrears_that_are_paid_later() {
    let net = Network::ready();
    let mut paid = leaf(0);
    paid.cumulative_reward = 25_000;
    net.conclude(&paid).unwrap();
    assert_eq!(only_node(&net).arrears, Stake(15_000));
    assert_eq!(net.ledger.reward_pool().unwrap(), Stake(0));
    net.ledger.fund_rewards(&deployer(), Stake(20_000)).unwrap();
    net.ledger
        .submit(&deployer(), &assay_ledger::Action::pay_arrears(NODE))
        .unwrap();
    assert_eq!(only_node(&net).arrears, Stake(0));
    assert_eq!(net.ledger.reward_pool().unwrap(), Stake(5_000));
    assert_eq!(
        net.ledger.rewards(provider().address()).unwrap().waiting,
        Stake(25_000)
    );
}

#[test]
fn a_void_epoch_loses_nothing_and_a_later_leaf_covers_it() {
    let net = Network::ready();
    net.clock.set(GENESIS_MS + EPOCH_MS + VOID_AFTER_MS);
    net.ledger.post_void(&deployer(), Epoch(0)).unwrap();
    assert_eq!(
        net.ledger.epoch_record(Epoch(0)).unwrap().resolution,
        Resolution::Void
    );
    let mut both = leaf(1);
    both.cumulative_reward = 2;
    net.conclude(&both).unwrap();
    assert_eq!(only_node(&net).cumulative_reward, Stake(2));
}

#[test]
fn the_first_confirmed_provider_wins_and_the_other_gets_its_collateral_back() {
    let net = Network::ready();
    net.ledger
        .register_node(&other_provider(), &new_node(70))
        .unwrap();
    net.conclude(&leaf(0)).unwrap();
    let nodes = net.ledger.nodes().unwrap();
    assert_eq!(nodes[0].status, NodeStatus::Active);
    assert_eq!(nodes[1].status, NodeStatus::Provisional);
    let cancel = assay_ledger::Action::cancel_registration(NODE);
    refused(net.ledger.submit(&provider(), &cancel), "NotProvisional");
    net.ledger.submit(&other_provider(), &cancel).unwrap();
    assert_eq!(
        net.ledger.balance(other_provider().address()).unwrap(),
        Stake(RICH)
    );
    assert_eq!(net.ledger.nodes().unwrap()[1].status, NodeStatus::None);
}

#[test]
fn a_registration_keeps_its_times_and_its_pledge() {
    let net = Network::open(&[40, 25, 20, 15]);
    net.clock.set(START_MS + 1_900);
    net.ledger
        .register_node(&provider(), &new_node(500))
        .unwrap();
    let made = only_node(&net);
    assert_eq!(
        made.registered_at,
        UnixMs(START_MS + 1_000),
        "whole seconds"
    );
    assert_eq!((made.cancelled_at, made.pledged), (None, Stake(500)));

    net.clock.set(START_MS + 5_000);
    net.ledger
        .submit(&provider(), &Action::cancel_registration(NODE))
        .unwrap();
    let ended = NodeRecord {
        cancelled_at: Some(UnixMs(START_MS + 5_000)),
        collateral: Stake(0),
        status: NodeStatus::None,
        ..made
    };
    assert_eq!(only_node(&net), ended);
    assert_eq!(
        net.ledger.balance(provider().address()).unwrap(),
        Stake(RICH)
    );
}

#[test]
fn a_slash_leaves_the_pledge_as_it_was() {
    let net = Network::ready();
    net.conclude(&leaf(0)).unwrap();
    let mut breach = leaf(1);
    (breach.verdict, breach.cumulative_slash) = (3, 200);
    net.conclude(&breach).unwrap();
    let node = only_node(&net);
    assert_eq!((node.pledged, node.collateral), (Stake(500), Stake(300)));
    assert!(node.registered_at < UnixMs(GENESIS_MS) && node.cancelled_at.is_none());
}

#[test]
fn an_unconfirmed_leaf_settles_without_money() {
    let net = Network::ready();
    let mut unknown = leaf(0);
    (unknown.confirmed, unknown.verdict) = (false, 0);
    net.conclude(&unknown).unwrap();
    let node = only_node(&net);
    assert_eq!(
        (node.status, node.settled_epoch),
        (NodeStatus::Provisional, Some(Epoch(0)))
    );
}

#[test]
fn contract_and_aggregate_hash_alike() {
    let net = Network::ready();
    let root = net.root(7, Keccak([8; 32]));
    let contract = net.ledger.contract();
    assert_eq!(
        net.ledger.hash_root(&root).unwrap(),
        root.digest(CHAIN_ID, &contract)
    );
    let mut one = leaf(3);
    (one.cumulative_reward, one.cumulative_slash, one.chase_rate) =
        (u128::MAX, u128::MAX - 1, u64::MAX);
    assert_eq!(net.ledger.leaf_hash(&one).unwrap(), one.hash());
    one.confirmed = false;
    assert_eq!(net.ledger.leaf_hash(&one).unwrap(), one.hash());
}

/// The largest roster the contract admits, in the order that is worst to sort, still opens and signs
/// within one transaction's gas.
#[test]
fn a_full_roster_fits_one_transaction() {
    const FULL: u16 = 128;
    let mut keys: Vec<LedgerKey> = (0..FULL).map(numbered_key).collect();
    keys.sort_by_key(|k| std::cmp::Reverse(k.address()));
    let (_bed, ledger) = ledger_with_accounts(&keys);
    for (n, key) in keys.iter().enumerate() {
        let mut new = new_hypernode(0, 1_000 + n as u128);
        new.ed25519.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
        new.operator.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
        ledger.register_hypernode(key, &new).unwrap();
    }
    refused(
        ledger.register_hypernode(&deployer(), &new_hypernode(1, 1)),
        "RosterFull",
    );
    let opened = ledger.open_genesis(&deployer(), NETWORK).unwrap();
    let committee = ledger.committee().unwrap();
    let root = epoch_root(0, Keccak([9; 32]), committee.hash());
    let digest = root.digest(CHAIN_ID, &ledger.contract());
    let sign = |address| {
        keys.iter()
            .find(|k| k.address() == address)
            .map(|k| k.sign_digest(&digest).unwrap())
    };
    let signatures: Vec<_> = committee
        .members()
        .iter()
        .map(|m| sign(m.address))
        .collect();
    let posted = ledger
        .post_root(&deployer(), &root, &committee, &signatures)
        .unwrap();
    println!(
        "gas: openGenesis {}, postRoot {} ({FULL} signatures)",
        opened.gas_used, posted.gas_used
    );
}

fn numbered_key(n: u16) -> LedgerKey {
    let mut secret = [7; 32];
    secret[..2].copy_from_slice(&n.to_be_bytes());
    LedgerKey::from_bytes(&secret).unwrap()
}

fn ledger_with_accounts(keys: &[LedgerKey]) -> (Bed, AssayLedger) {
    let accounts = keys
        .iter()
        .chain([&deployer()])
        .map(|k| (k.address(), Stake(RICH)))
        .collect();
    let bed = Bed::start(&ChainConfig {
        chain_id: CHAIN_ID,
        balances: accounts,
    });
    bed.clock.set(GENESIS_MS + EPOCH_MS);
    let ledger = AssayLedger::deploy(bed.chain.clone(), &deployer(), &parameters()).unwrap();
    (bed, ledger)
}
