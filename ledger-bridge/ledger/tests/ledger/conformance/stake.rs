//! HyperNodes: who is in the committee, what it weighs, how stake comes and goes.

use assay_aggregate::epoch::{Seat, committee_of};
use assay_aggregate::root::{AbsenceLeaf, Committee, Member};
use assay_aggregate::weights::{Staked, capped_weights};
use assay_ledger::abi::AssayFaults;
use assay_ledger::embedded::ChainConfig;
use assay_ledger::{Action, AssayLedger, LedgerKey, Receipt};
use assay_protocol::ids::{Epoch, Keccak, Seed, Stake};
use assay_protocol::params::RosterEntry;

use crate::bed::Bed;
use crate::network::*;

fn weights(committee: &Committee, count: usize) -> Vec<u128> {
    (0..count)
        .map(|index| {
            let weight = committee.weight(&hypernode(index).address());
            weight.unwrap_or_default()
        })
        .collect()
}

#[test]
fn genesis_caps_weights_and_sorts_the_committee() {
    let net = Network::open(&[60, 25, 10, 5]);
    let committee = net.committee(0);
    assert_eq!(
        weights(&committee, 4),
        [40, 25, 10, 5],
        "60 of 100 capped at 40 %"
    );
    let roster = net.ledger.hypernodes().unwrap();
    let stakes: Vec<u128> = roster.iter().map(|h| h.stake.0).collect();
    assert_eq!(stakes, [60, 25, 10, 5]);
    assert_eq!(roster[0].address, hypernode(0).address());
    assert_eq!(roster[1].endpoint, "127.0.0.1:9001");
    let new = new_hypernode(3, 5);
    assert_eq!(roster[3].ed25519, new.ed25519);
    assert_eq!(roster[3].operator, new.operator);
    assert_eq!(roster[3].seed_end, new.seed_end);
    assert_eq!(roster[3].registered_epoch, Epoch(0));
    assert!(roster.iter().all(|h| !h.jailed && h.unbonding == Stake(0)));
    assert!(committee.members().is_sorted_by_key(|m| m.address));
    assert_eq!(committee.hash(), net.ledger.committee_hash().unwrap());
    assert_eq!(net.ledger.network_id().unwrap(), Some(NETWORK));
    assert_eq!(net.tokens(&hypernode(0)), RICH - 60, "what it staked");
}

#[test]
fn stake_that_comes_or_goes_counts_two_epochs_later_and_is_paid_after_unbonding() {
    let net = Network::open(&STAKES);
    net.clock.set(GENESIS_MS);
    net.does(&hypernode(3), &Action::bond(Stake(25))).unwrap();
    net.does(&hypernode(0), &Action::unbond(Stake(40))).unwrap();
    let leaving = &net.ledger.hypernodes().unwrap()[0];
    assert_eq!((leaving.stake, leaving.unbonding), (Stake(0), Stake(40)));
    assert_eq!(weights(&net.committee(1), 4), STAKES);
    net.finish(0);
    assert_eq!(weights(&net.committee(2), 4), [0, 25, 20, 34], "40 % of 85");
    // Epoch 0 is signed by those who stood then, for two more epochs.
    for epoch in 0..2 {
        net.finish(epoch);
        let root = net.root(epoch, Keccak([9; 32]));
        net.post(&root, &[0, 1, 2]).unwrap();
    }
    assert_eq!(
        net.ledger.committee_hash().unwrap(),
        net.committee(2).hash()
    );
    net.finish(2);
    let root = net.root(2, Keccak([9; 32]));
    net.post(&root, &[1, 2, 3]).unwrap();

    net.clock.set(GENESIS_MS + UNBONDING_MS - 1_000);
    let withdraw = || net.does(&hypernode(0), &Action::withdraw_stake());
    refused(withdraw(), "NothingToWithdraw");
    net.clock.set(GENESIS_MS + UNBONDING_MS);
    withdraw().unwrap();
    assert_eq!(net.tokens(&hypernode(0)), RICH);
    assert_eq!(net.ledger.hypernodes().unwrap()[0].unbonding, Stake(0));
    refused(withdraw(), "NothingToWithdraw");
}

#[test]
fn who_registers_after_genesis_stands_two_epochs_later() {
    let net = Network::open(&STAKES);
    net.clock.set(GENESIS_MS);
    net.register(4, &new_hypernode(4, 30)).unwrap();
    let new = net.ledger.hypernodes().unwrap().remove(4);
    assert_eq!((new.registered_epoch, new.stake), (Epoch(2), Stake(30)));
    assert_eq!(net.committee(1).members().len(), 4);
    net.finish(0);
    assert_eq!(net.committee(2).weight(&hypernode(4).address()), Some(30));
}

#[test]
fn another_endpoint_and_another_seed_chain() {
    let net = Network::open(&STAKES);
    let update = Action::update_hypernode(Seed([0x77; 32]), "10.0.0.1:9");
    net.does(&hypernode(2), &update).unwrap();
    let changed = &net.ledger.hypernodes().unwrap()[2];
    assert_eq!(changed.seed_end, Seed([0x77; 32]));
    assert_eq!(changed.endpoint, "10.0.0.1:9");
    let refresh = Action::refresh_hypernode(changed.ed25519);
    net.does(&provider(), &refresh).unwrap();
    assert_eq!(weights(&net.committee(1), 4), STAKES);
}

#[test]
fn who_signs_two_roots_loses_its_stake_and_can_only_leave() {
    let net = Network::open(&STAKES);
    net.finish(0);
    let root = net.root(0, Keccak([9; 32]));
    let (a, signature_a) = signed_by(&net, &root, 0);
    let (b, signature_b) = signed_by(&net, &net.root(0, Keccak([8; 32])), 0);
    let proof = AssayFaults::twoRootsCall {
        a,
        signatureA: signature_a,
        b,
        signatureB: signature_b,
    };
    let faults = net.ledger.contracts().faults;
    net.calls(&provider(), faults, &proof);
    assert_eq!(net.meets(&provider(), faults, &proof), "AlreadyProven");
    let guilty = &net.ledger.hypernodes().unwrap()[0];
    assert!(guilty.jailed && guilty.stake == Stake(0));
    assert_eq!((net.tokens(&provider()), net.tokens(&treasury())), (4, 36));
    refused(net.does(&hypernode(0), &Action::bond(Stake(40))), "Jailed");
    net.finish(1);
    assert_eq!(weights(&net.committee(3), 4), [0, 24, 20, 15], "40 % of 60");
}

/// What the roster says of those who registered with these stakes.
fn registered(stakes: &[u128]) -> Vec<RosterEntry> {
    let entry = |(index, stake): (usize, &u128)| {
        let new = new_hypernode(index, *stake);
        RosterEntry {
            id: new.ed25519,
            operator: new.operator,
            ledger: hypernode(index).address(),
            stake: new.stake,
            seed_end: new.seed_end,
        }
    };
    let mut entries: Vec<_> = stakes.iter().enumerate().map(entry).collect();
    entries.sort_by_key(|entry| entry.id);
    entries
}

/// The committee that the aggregate's own rule makes of an epoch's roster.
fn capped(net: &Network, epoch: u64) -> Committee {
    let roster = net.ledger.roster(Epoch(epoch)).unwrap();
    let staked = |entry: &RosterEntry| Staked {
        hypernode: entry.id,
        operator: entry.operator,
        stake: entry.stake,
    };
    let snapshot: Vec<Staked> = roster.iter().map(staked).collect();
    let cap = net.ledger.genesis_parameters().unwrap().operator_cap_bps;
    let weights = capped_weights(&snapshot, cap).unwrap();
    let seat = |entry: &RosterEntry| Seat {
        hypernode: entry.id,
        operator: entry.operator,
        ledger: entry.ledger,
        weight: weights[&entry.id],
    };
    let seats: Vec<Seat> = roster.iter().map(seat).collect();
    committee_of(&seats).unwrap()
}

#[test]
fn the_roster_is_who_counts_and_makes_the_committee() {
    let stakes = [60, 25, 10, 5];
    let net = Network::open(&stakes);
    let roster = |epoch| net.ledger.roster(Epoch(epoch));
    let all = registered(&stakes);
    assert_eq!(
        (roster(0).unwrap(), roster(1).unwrap()),
        (all.clone(), all.clone())
    );
    refused(roster(2), "CommitteeNotFixed");
    net.clock.set(GENESIS_MS);
    net.does(&hypernode(1), &Action::unbond(Stake(21))).unwrap();
    let update = Action::update_hypernode(Seed([0x77; 32]), "10.0.0.1:9");
    net.does(&hypernode(2), &update).unwrap();
    net.does(&hypernode(3), &Action::bond(Stake(3))).unwrap();
    assert_eq!(roster(1).unwrap(), all, "fixed");
    refused(roster(2), "CommitteeNotFixed");
    net.finish(0);
    let id = |index| new_hypernode(index, 0).ed25519;
    let mut later = registered(&[60, 25, 10, 8]);
    later.retain(|entry| entry.id != id(1));
    let changed = later.iter_mut().find(|entry| entry.id == id(2));
    changed.unwrap().seed_end = Seed([0x77; 32]);
    assert_eq!((roster(1).unwrap(), roster(2).unwrap()), (all, later));
    for epoch in 0..3 {
        assert_eq!(capped(&net, epoch).hash(), net.committee(epoch).hash());
    }
    assert_ne!(capped(&net, 1).hash(), capped(&net, 2).hash());
    refused(roster(3), "CommitteeNotFixed");
    refused(roster(u64::MAX), "CommitteeNotFixed");
}

#[test]
fn a_roster_without_anybody_is_empty() {
    let net = Network::deployed();
    assert_eq!(net.ledger.roster(Epoch(0)).unwrap(), []);
    refused(net.ledger.committee_of(Epoch(0)), "EmptyCommittee");
}

const SEATS: u16 = 128;

/// The largest committee, in the order that is worst to sort, still opens and signs within one transaction's gas; who
/// comes later has a seat when it stakes more than the least of them.
#[test]
fn a_full_committee_fits_one_transaction() {
    let mut keys: Vec<LedgerKey> = (0..SEATS + 2).map(numbered_key).collect();
    keys.sort_by_key(|k| std::cmp::Reverse(k.address()));
    let (_bed, ledger) = ledger_with_accounts(&keys);
    for (n, key) in keys.iter().enumerate() {
        let stake = match n as u16 {
            SEATS => 1_000,
            n => 1_000 + u128::from(n),
        };
        enrich(&ledger, key.address());
        let new = proven(&ledger, key.address(), &new_hypernode(n, stake));
        let register = Action::register_hypernode(&new);
        ledger.submit(key, &register).unwrap();
    }
    let first = ledger.committee_of(Epoch(0)).unwrap().hash();
    let opened = ledger
        .submit(&deployer(), &Action::open_genesis(NETWORK, first))
        .unwrap();
    let committee = ledger.committee_of(Epoch(0)).unwrap();
    assert_eq!(committee.members().len(), usize::from(SEATS));
    let weight = |n: usize| committee.weight(&keys[n].address());
    assert_eq!(weight(128), None, "as little as the first, which was there");
    assert_eq!((weight(0), weight(129)), (None, Some(1_129)));
    let roster = ledger.roster(Epoch(0)).unwrap();
    assert_eq!(roster.len(), usize::from(SEATS));
    let posted = post_signed_by(&ledger, &keys, &committee);
    println!(
        "gas: openGenesis {}, postRoot {} ({SEATS} signatures)",
        opened.gas_used, posted.gas_used
    );
}

fn post_signed_by(ledger: &AssayLedger, keys: &[LedgerKey], committee: &Committee) -> Receipt {
    let root = epoch_root(0, Keccak([9; 32]), committee.hash());
    let digest = root.digest(CHAIN_ID, &ledger.contract());
    let sign = |m: &Member| {
        let key = keys.iter().find(|k| k.address() == m.address)?;
        Some(key.sign_digest(&digest).unwrap())
    };
    let signatures: Vec<_> = committee.members().iter().map(sign).collect();
    let post = Action::post_root(&root, committee, &signatures);
    ledger.submit(&deployer(), &post).unwrap()
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
    let ledger = AssayLedger::deploy(bed.chain.clone(), &deployer(), &deployment()).unwrap();
    (bed, ledger)
}

#[test]
fn who_is_absent_leaves_by_a_leaf_of_a_root_and_comes_back_by_itself() {
    let net = Network::open(&STAKES);
    let leaf = |epoch| AbsenceLeaf {
        epoch: Epoch(epoch),
        hypernode: new_hypernode(2, 0).ed25519,
        missed: 1,
    };
    let absent = || net.ledger.hypernodes().unwrap()[2].absent;
    let mark = |epoch: u64, leaf: &AbsenceLeaf| {
        let tree = net.post_tree(epoch, &[leaf.hash()]);
        let proof = tree.proof(&leaf.hash()).unwrap();
        net.does(&provider(), &Action::mark_absent(leaf, &proof))
    };
    let back = || net.does(&hypernode(2), &Action::come_back());
    let stranger = net.does(&provider(), &Action::come_back());
    refused(stranger, "NotRegistered");
    assert!(!absent());
    let first = leaf(0);
    let receipt = mark(0, &first).unwrap();
    println!("gas: markAbsent {}", receipt.gas_used);
    assert!(absent());
    let proof = tree_of(&[first.hash()]).proof(&first.hash()).unwrap();
    let again = net.does(&provider(), &Action::mark_absent(&first, &proof));
    refused(again, "NotSeated");
    // Two epochs ahead are fixed.
    assert_eq!(weights(&net.committee(2), 4), STAKES);
    net.finish(1);
    net.post(&net.root(1, Keccak([9; 32])), &[0, 1, 2]).unwrap();
    assert_eq!(weights(&net.committee(3), 4), [32, 25, 0, 15], "40 % of 80");
    assert_eq!(capped(&net, 3).hash(), net.committee(3).hash());
    assert_eq!(net.ledger.hypernodes().unwrap()[2].stake, Stake(20));
    // It is back from epoch 4 on; what was proven before does not take it out again.
    back().unwrap();
    assert!(!absent());
    let stale = net.does(&provider(), &Action::mark_absent(&first, &proof));
    refused(stale, "StaleAbsence");
    net.finish(2);
    assert_eq!(weights(&net.committee(4), 4), STAKES);
}
