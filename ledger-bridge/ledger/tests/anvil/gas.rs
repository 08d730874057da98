//! Gas, logs and reverts of every action are the same on both chains; fees are what a node asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, B256, U256};
use assay_aggregate::root::{EpochRoot, NodeLeaf, RewardLeaf};
use assay_ledger::embedded::EmbeddedChain;
use assay_ledger::rpc::RpcChain;
use assay_ledger::{
    Action, AssayLedger, Chain, Contracts, Event, Fee, Finality, LedgerKey, LogQuery, NewOffer,
    Receipt,
};
use assay_protocol::ids::{Epoch, Keccak, Stake};

use super::network::*;

/// What both chains must agree on.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    action: &'static str,
    gas: u64,
    block: u64,
    logs: Vec<alloy_primitives::Log>,
    from: Address,
    to: Option<Address>,
}

/// The same actions on one of the chains, in an order in which each succeeds.
struct Played<'a> {
    ledger: &'a AssayLedger,
    set_ms: &'a dyn Fn(u64),
    seen: Vec<Seen>,
}

impl Played<'_> {
    fn does(&mut self, key: &LedgerKey, action: &Action) {
        let receipt: Receipt = self.ledger.submit(key, action).unwrap();
        self.seen.push(Seen {
            action: action.name,
            gas: receipt.gas_used,
            block: receipt.block_number,
            logs: receipt.logs,
            from: receipt.from,
            to: receipt.to,
        });
    }

    fn finish(&self, epoch: u64) {
        (self.set_ms)(GENESIS_MS + (epoch + 1) * EPOCH_MS);
    }

    /// Tokens, HyperNodes, genesis, a class, budgets and two registrations.
    fn begins(&mut self) {
        for key in [deployer(), provider(), other_provider(), builder()] {
            self.does(&deployer(), &Action::mint(key.address(), Stake(RICH)));
        }
        for (index, stake) in STAKES.into_iter().enumerate() {
            let key = hypernode(index);
            self.does(&deployer(), &Action::mint(key.address(), Stake(RICH)));
            let new = proven(self.ledger, key.address(), &new_hypernode(index, stake));
            self.does(&key, &Action::register_hypernode(&new));
        }
        let committee = self.ledger.committee_of(Epoch(0)).unwrap().hash();
        self.does(&deployer(), &Action::open_genesis(NETWORK, committee));
        self.does(&governor(), &Action::set_class(CLASS, &terms()));
        self.does(&governor(), &Action::set_schedule(CLASS, &schedule()));
        self.does(&deployer(), &Action::fund(Epoch(0), 9, Stake(BUDGET)));
        self.does(&provider(), &Action::register_node(&new_node(500)));
        self.does(&other_provider(), &Action::register_node(&new_node(100)));
    }

    fn root(&self, epoch: u64, leaves: &[Keccak], cumulative_reward: u128) -> EpochRoot {
        let committee = |epoch| self.ledger.committee_of(Epoch(epoch)).unwrap().hash();
        EpochRoot {
            cumulative_reward,
            next_committee: committee(epoch + 1),
            ..epoch_root(epoch, tree_of(leaves).root(), committee(epoch))
        }
    }

    fn posts(&mut self, root: &EpochRoot, is_correction: bool) {
        let committee = self.ledger.committee_of(root.epoch).unwrap();
        let digest = root.digest(CHAIN_ID, &self.ledger.contract());
        let signatures = signatures_over(&digest, &committee, &[0, 1, 2]);
        let action = match is_correction {
            true => Action::correct(root, &committee, &signatures),
            false => Action::post_root(root, &committee, &signatures),
        };
        self.does(&deployer(), &action);
    }

    /// A node is confirmed, its provider paid.
    fn confirms(&mut self) {
        let (node, earned): (NodeLeaf, RewardLeaf) = (leaf(0), reward(0, 25));
        let leaves = [node.hash(), earned.hash()];
        let tree = tree_of(&leaves);
        self.finish(0);
        self.posts(&self.root(0, &leaves, 25), false);
        let proof = |leaf| tree.proof(&leaf).unwrap();
        self.does(&deployer(), &Action::settle(&node, &proof(node.hash())));
        self.finish(1);
        self.does(&deployer(), &Action::confirm(&node, &proof(node.hash())));
        self.does(&deployer(), &Action::claim(&earned, &proof(earned.hash())));
        self.does(&other_provider(), &Action::cancel_registration(NODE));
    }

    /// A reservation, a dispute, a correction, a slash.
    fn disputes(&mut self) {
        let offer = NewOffer {
            node: NODE,
            price: Stake(10),
            min_epochs: 1,
            max_epochs: 6,
            open: true,
        };
        self.does(&provider(), &Action::offer(&offer));
        self.does(&builder(), &Action::reserve(NODE, Epoch(3), 1, Stake(10)));
        let breach = NodeLeaf {
            verdict: 3,
            cumulative_slash: 60,
            ..leaf(1)
        };
        let leaves = [breach.hash()];
        self.posts(&self.root(1, &leaves, 30), false);
        self.does(&builder(), &Action::dispute(Epoch(1), BOND));
        let better = EpochRoot {
            round: 1,
            ..self.root(1, &leaves, 25)
        };
        self.posts(&better, true);
        self.does(&builder(), &Action::close_dispute(Epoch(1)));
        let proof = proof_of(&breach);
        self.does(&deployer(), &Action::settle(&breach, &proof));
        self.finish(3);
        let release = Action::release(NODE, provider().address());
        self.does(&deployer(), &release);
    }

    /// Rent is settled, stake and a provider leave, an epoch is void.
    fn ends(&mut self) {
        let leaves = |epoch| [leaf(epoch).hash()];
        for epoch in 2..4 {
            self.finish(epoch);
            self.posts(&self.root(epoch, &leaves(epoch), 25), false);
        }
        self.finish(4);
        let start = Action::start_reservation(1, &leaf(2), &proof_of(&leaf(2)));
        self.does(&deployer(), &start);
        let settle = Action::settle_reservation(1, &leaf(3), &proof_of(&leaf(3)));
        self.does(&deployer(), &settle);
        let rent = Action::withdraw_rent(provider().address());
        self.does(&deployer(), &rent);
        self.does(&hypernode(0), &Action::bond(Stake(3)));
        self.does(&hypernode(0), &Action::unbond(Stake(2)));
        self.does(&provider(), &Action::top_up(NODE, Stake(2)));
        self.does(&provider(), &Action::request_exit(NODE));
        (self.set_ms)(GENESIS_MS + 5 * EPOCH_MS + UNBONDING_MS);
        self.does(&deployer(), &Action::post_void(Epoch(4)));
        self.does(&hypernode(0), &Action::withdraw_stake());
    }
}

fn played<'a>(ledger: &'a AssayLedger, set_ms: &'a dyn Fn(u64)) -> Vec<Seen> {
    let mut all = Played {
        ledger,
        set_ms,
        seen: Vec::new(),
    };
    all.begins();
    all.confirms();
    all.disputes();
    all.ends();
    all.seen
}

fn print_table(all: &[Seen], contracts: &Contracts) {
    let names = [
        (contracts.epochs, "AssayEpochs"),
        (contracts.rewards, "AssayRewards"),
        (contracts.stake, "AssayStake"),
        (contracts.nodes, "AssayNodes"),
        (contracts.reservations, "AssayReservations"),
        (contracts.token, "TestToken"),
    ];
    for seen in all {
        let name = names
            .iter()
            .find(|(address, _)| seen.to == Some(address.0.into()))
            .map_or("?", |(_, name)| name);
        println!("gas: {:>9} {name}.{}", seen.gas, seen.action);
    }
}

/// Events of each of the first epochs.
fn events(ledger: &AssayLedger) -> Vec<Vec<Event>> {
    let of = |epoch| {
        let query = LogQuery {
            address: Address::from(ledger.contract().0),
            topic: B256::from(U256::from(epoch)),
            from: 0,
            since_s: 0,
        };
        ledger.chain().logs(&query, Finality::Latest).unwrap()
    };
    (0..6u64).map(of).collect()
}

#[test]
fn gas_logs_and_addresses_are_the_same_on_both_chains() {
    let now = Arc::new(AtomicU64::new(START_MS));
    let dir = tempfile::tempdir().unwrap();
    let clock = now.clone();
    let chain = EmbeddedChain::open(&dir.path().join("ledger.db"), &config(), move || {
        clock.load(Ordering::SeqCst)
    })
    .unwrap();
    let embedded = AssayLedger::deploy(Arc::new(chain), &deployer(), &deployment()).unwrap();
    let bed = super::bed::Bed::start(&config());
    let node = AssayLedger::deploy(bed.chain.clone(), &deployer(), &deployment()).unwrap();
    assert_eq!(embedded.contracts(), node.contracts());
    let here = played(&embedded, &|ms| now.store(ms, Ordering::SeqCst));
    let there = played(&node, &|ms| bed.clock.set(ms));
    print_table(&here, embedded.contracts());
    // A node makes a block of its own whenever its clock is moved.
    let apart_from_heights = |all: Vec<Seen>| -> Vec<Seen> {
        let flat = |seen| Seen { block: 0, ..seen };
        all.into_iter().map(flat).collect()
    };
    assert_eq!(apart_from_heights(here), apart_from_heights(there));
    let logs = |ledger| -> Vec<_> {
        let events: Vec<Vec<Event>> = events(ledger);
        let log = |event: Event| event.log;
        let logs = |events: Vec<Event>| events.into_iter().map(log).collect::<Vec<_>>();
        events.into_iter().map(logs).collect()
    };
    assert_eq!(logs(&embedded), logs(&node));
    assert!(logs(&node)[..5].iter().all(|events| !events.is_empty()));
    for account in [
        deployer(),
        provider(),
        other_provider(),
        hypernode(0),
        treasury(),
    ] {
        let address = account.address();
        assert_eq!(
            embedded.tokens(address).unwrap(),
            node.tokens(address).unwrap()
        );
        assert_eq!(
            embedded.balance(address).unwrap(),
            node.balance(address).unwrap()
        );
        let nonce = |ledger: &AssayLedger| ledger.chain().nonce(address.0.into()).unwrap();
        assert_eq!(nonce(&embedded), nonce(&node));
    }
    for epoch in (0..5).map(Epoch) {
        assert_eq!(
            embedded.resolved(epoch).unwrap(),
            node.resolved(epoch).unwrap()
        );
    }
    assert_eq!(embedded.nodes().unwrap(), node.nodes().unwrap());
    assert_eq!(
        embedded.reservations().unwrap(),
        node.reservations().unwrap()
    );
}

const GWEI: u128 = 1_000_000_000;

/// The node of a network as it is, with its own advice about gas.
fn dear(net: &Network) -> Arc<RpcChain> {
    Arc::new(RpcChain::connect(&net.bed.node.url()).unwrap())
}

#[test]
fn fees_are_the_chains_and_are_paid_by_the_sender() {
    let net = Network::deployed();
    let (node, payer) = (&net.bed.node, deployer().address());
    node.set_balance(&payer.to_string(), GWEI * GWEI).unwrap();
    let chain = dear(&net);
    let ledger = AssayLedger::at(chain.clone(), net.ledger.contract()).unwrap();
    node.set_base_fee(7 * GWEI).unwrap();
    node.mine(1).unwrap();
    let market = chain.market().unwrap();
    assert!(market.base > 0 && market.tip > 0, "{market:?}");
    let action = Action::mint(payer, Stake(5));
    let tx = ledger.prepare(&deployer(), &action).unwrap();
    assert_eq!(
        tx.fee(),
        Some(Fee {
            max: 2 * market.base + market.tip,
            tip: market.tip
        })
    );
    let before = ledger.balance(payer).unwrap().0;
    let receipt = ledger.send(&tx).unwrap();
    let paid = before - ledger.balance(payer).unwrap().0;
    let gas = u128::from(receipt.gas_used);
    assert!(paid > gas * market.tip && paid <= gas * (2 * market.base + market.tip));
    assert!(tx.gas_limit().unwrap() >= receipt.gas_used);

    let capped = ledger.reading(Finality::Latest).with_fee_cap(GWEI / 2);
    let nonce = chain.nonce(payer.0.into()).unwrap();
    let error = capped.submit(&deployer(), &action).unwrap_err().to_string();
    assert!(
        error.contains("over the cap") && error.contains("hint:"),
        "{error}"
    );
    let after = chain.nonce(payer.0.into()).unwrap();
    assert_eq!(after, nonce, "nothing was sent");
}

/// Gas for token and verifier, and not for what comes third.
#[test]
fn a_deployment_that_runs_out_of_funds_names_the_contract() {
    let net = Network::deployed();
    let (node, poor) = (&net.bed.node, key(2));
    node.set_base_fee(GWEI).unwrap();
    node.mine(1).unwrap();
    let chain = dear(&net);
    let market = chain.market().unwrap();
    let third = 4_000_000 * (2 * market.base + market.tip);
    node.set_balance(&poor.address().to_string(), third)
        .unwrap();
    let error = AssayLedger::deploy(chain.clone(), &poor, &deployment());
    let error = error.err().unwrap();
    assert_eq!(error.to_string(), "AssayEpochs", "{error:?}");
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.to_lowercase().contains("insufficient funds"), "{why}");
    let nonce = chain.nonce(poor.address().0.into()).unwrap();
    assert_eq!(nonce, 2, "token and verifier");
    let epochs = Address::from(poor.address().0).create(2);
    let error = AssayLedger::at(chain, assay_protocol::ids::Address(epochs.into_array()));
    assert!(error.err().unwrap().to_string().contains("no contract at"));
}

/// A transaction that is included and reverts all the same is an error, and its gas is gone.
#[test]
fn a_revert_that_no_trial_foresaw_is_an_error_with_its_receipt() {
    let net = Network::ready();
    let root = net.root(0, Keccak([9; 32]));
    let signatures = net.signatures(&root, &[0, 1, 2]);
    let post = Action::post_root(&root, &net.committee(0), &signatures);
    let (one, two) = (key(2), key(3));
    let first = net.ledger.prepare(&one, &post).unwrap();
    let second = net.ledger.prepare(&two, &post).unwrap();
    net.ledger.send(&first).unwrap();
    let error = net.ledger.send(&second).unwrap_err();
    assert!(error.revert_name().is_some(), "{error}");
    let receipt = net.chain.receipt(second.hash.0.into()).unwrap().unwrap();
    assert!(!receipt.success && receipt.logs.is_empty());
    assert_eq!(receipt.from, Address::from(two.address().0));
    assert_eq!(net.ledger.next_epoch().unwrap(), Epoch(1));
}
