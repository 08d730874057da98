//! From nothing to a wired network, and what stops half way.

use alloy_primitives::Address;
use assay_ledger::{
    AssayLedger, Deployment, KeyError, LedgerError, LedgerKey, SignedTx, Token, TxRequest,
    TxSigner, decimals_of,
};
use assay_protocol::amount::Gwei;
use assay_protocol::ids::{self, Stake};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::network::*;

#[test]
fn one_address_names_the_whole_network() {
    let net = Network::deployed();
    let again = AssayLedger::at(net.chain.clone(), net.ledger.contract()).unwrap();
    assert_eq!(again.contracts(), net.ledger.contracts());
    let all = net.ledger.contracts();
    let mut distinct = vec![
        all.epochs,
        all.rewards,
        all.stake,
        all.nodes,
        all.reservations,
        all.faults,
        all.token,
        all.verifier,
    ];
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 8);
    assert_eq!(again.genesis_parameters().unwrap(), deployment().genesis);
    assert_eq!(again.network_id().unwrap(), None);
    let terms = again.class_terms(CLASS).unwrap();
    assert_eq!(terms.collateral, Stake(0), "unknown to the ledger");
}

#[test]
fn a_token_that_exists_is_taken_as_it_is() {
    let net = Network::deployed();
    let token = net.ledger.contracts().token;
    let mut with = deployment();
    with.roles.token = Token::At(token);
    let twin = AssayLedger::deploy(net.chain.clone(), &deployer(), &with).unwrap();
    assert_eq!(twin.contracts().token, token);
    assert_ne!(twin.contract(), net.ledger.contract());
    assert_eq!(twin.tokens(deployer().address()).unwrap(), Stake(RICH));
}

#[test]
fn what_amounts_call_a_gwei_follows_from_the_token() {
    let net = Network::deployed();
    assert_eq!(net.ledger.gwei().unwrap(), Gwei::USUAL);
    for (decimals, units) in [
        (6, Some(1)),
        (9, Some(1)),
        (17, Some(100_000_000)),
        (19, None),
    ] {
        let mut with = deployment();
        with.roles.token = Token::Test { decimals };
        let other = AssayLedger::deploy(net.chain.clone(), &deployer(), &with).unwrap();
        assert_eq!(other.token_decimals().unwrap(), decimals);
        match (other.gwei(), units) {
            (Ok(gwei), Some(units)) => assert_eq!(gwei.get(), units),
            (Err(LedgerError::TooManyDecimals { actual, .. }), None) => {
                assert_eq!(actual, decimals)
            }
            (gwei, _) => panic!("{decimals}: {gwei:?}"),
        }
    }
    // EIP-20 leaves it optional: a contract without it, and none at all.
    for silent in [net.ledger.contracts().stake, key(3).address()] {
        assert_eq!(decimals_of(net.chain.as_ref(), silent).unwrap(), 18);
    }
}

/// A key that signs so many transactions and no more.
struct Tired {
    key: LedgerKey,
    left: AtomicU32,
}

impl TxSigner for Tired {
    fn address(&self) -> ids::Address {
        self.key.address()
    }

    fn sign_tx(&self, tx: &TxRequest) -> Result<SignedTx, KeyError> {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match left {
            Ok(_) => self.key.sign_tx(tx),
            Err(_) => Err(KeyError::Signer {
                url: "here".into(),
                why: "tired".into(),
            }),
        }
    }
}

/// Token, verifier and epochs are there, and nothing else.
#[test]
fn a_deployment_that_was_not_finished_is_no_network() {
    let net = Network::deployed();
    let tired = Tired {
        key: key(2),
        left: AtomicU32::new(3),
    };
    let stopped = AssayLedger::deploy(net.chain.clone(), &tired, &deployment());
    assert!(matches!(stopped, Err(LedgerError::Key(_))));
    let deployer = Address::from(key(2).address().0);
    let epochs = ids::Address(deployer.create(2).into_array());
    let error = AssayLedger::at(net.chain.clone(), epochs).err().unwrap();
    assert!(
        matches!(error, LedgerError::NotWired { address } if address == epochs),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains(&epochs.to_string()) && text.contains("hint:"),
        "{text}"
    );
    let nothing = ids::Address(deployer.create(3).into_array());
    let error = AssayLedger::at(net.chain.clone(), nothing).err().unwrap();
    assert!(matches!(error, LedgerError::NoContract { .. }), "{error}");
    let token = net.ledger.contracts().token;
    let error = AssayLedger::at(net.chain.clone(), token).err().unwrap();
    assert!(
        error.revert_name() == Some("unknown"),
        "another contract: {error}"
    );
}

/// Each set of parameters is refused by the contract that takes it, which the error names.
#[test]
fn parameters_that_make_no_sense() {
    type Edit = fn(&mut Deployment);
    let epochs: &[Edit] = &[
        |d| d.genesis.epoch_ms = 0,
        |d| d.genesis.void_after_ms = u64::MAX,
        |d| d.genesis.dispute_window_ms = u64::MAX,
        |d| d.genesis.dispute_extension_ms = u64::MAX,
        |d| d.genesis.genesis_unix_ms.0 = u64::MAX,
    ];
    let stake: &[Edit] = &[
        |d| d.genesis.min_stake.0 = 0,
        |d| d.genesis.operator_cap_bps.0 = 0,
        |d| d.genesis.operator_cap_bps.0 = 10_001,
        |d| d.genesis.operator_cap_bps.0 = 65_536 + 4_000,
        |d| d.genesis.active_after_epochs = 1,
        |d| d.genesis.unbonding_ms -= 1,
        |d| d.genesis.reporter_bps.0 = 5_001,
    ];
    let nodes: &[Edit] = &[
        |d| d.nodes.provisional_ms -= 1,
        |d| d.nodes.silence_ms -= 1,
        |d| d.nodes.persistence_epochs = 0,
    ];
    let rent: &[Edit] = &[
        |d| d.rent.slots_per_epoch = 0,
        |d| d.rent.undecided_ppm = 1_000_001,
        |d| d.rent.period_epochs = 0,
        |d| d.rent.max_ahead_epochs = 0,
        |d| d.rent.refund_epochs -= 1,
    ];
    let faults: &[Edit] = &[
        |d| d.faults.two_votes.0 = 0,
        |d| d.faults.two_roots.0 = 10_001,
        |d| d.faults.forked_log.0 = 65_536 + 1_000,
    ];
    let net = Network::deployed();
    for (contract, name, edits) in [
        ("AssayEpochs", "BadParameters", epochs),
        ("AssayStake", "BadParameters", stake),
        ("AssayNodes", "BadParameter", nodes),
        ("AssayReservations", "BadParameter", rent),
        ("AssayFaults", "BadShare", faults),
    ] {
        for (at, edit) in edits.iter().enumerate() {
            let mut with = deployment();
            edit(&mut with);
            let error = AssayLedger::deploy(net.chain.clone(), &deployer(), &with);
            let error = error.err().unwrap();
            assert_eq!(error.revert_name(), Some(name), "{contract} {at}: {error}");
            assert!(error.to_string().contains(contract), "{at}: {error}");
        }
    }
}

#[test]
fn roles_and_token_must_be_somebody() {
    let net = Network::deployed();
    let nobody = ids::Address([0; 20]);
    let mut wrong = [deployment(); 4];
    wrong[0].roles.treasury = nobody;
    wrong[1].roles.governor = nobody;
    wrong[2].roles.guardian = nobody;
    wrong[3].roles.token = Token::At(key(3).address());
    let names = ["ZeroId", "ZeroId", "ZeroId", "NotAContractOfThisNetwork"];
    for (with, name) in wrong.into_iter().zip(names) {
        let deployed = AssayLedger::deploy(net.chain.clone(), &deployer(), &with);
        refused(deployed.map(|_| ()), name);
    }
}
