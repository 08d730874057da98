//! HyperNodes and genesis.

use std::cell::Cell;

use assay_ledger::abi::AssayEpochs;
use assay_ledger::{Action, LedgerError, LedgerKey, NewHyperNode};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak, NetworkId, Seed, Stake};

use crate::network::*;

#[test]
fn registrations() {
    let net = Network::open(&STAKES);
    let good = new_hypernode(4, 40);
    let register = |new| net.register(4, &new);
    let taken = net.register(0, &good);
    refused(taken, "SignerTaken");
    refused(
        register(NewHyperNode {
            ed25519: new_hypernode(0, 1).ed25519,
            ..good.clone()
        }),
        "KeyTaken",
    );
    refused(register(new_hypernode(4, 4)), "StakeTooSmall");
    refused(register(new_hypernode(4, 0)), "StakeTooSmall");
    let long = NewHyperNode {
        endpoint: "x".repeat(257),
        ..good.clone()
    };
    refused(register(long), "EndpointTooLong");
    let no_operator = NewHyperNode {
        operator: Digest([0; 32]),
        ..good.clone()
    };
    let no_seed = NewHyperNode {
        seed_end: Seed([0; 32]),
        ..good.clone()
    };
    for zero in [no_operator, no_seed] {
        refused(register(zero), "ZeroId");
    }
    register(good).unwrap();
}

/// Nobody shares an operator's cap whom its first member has not admitted.
#[test]
fn an_operator_s_id_without_its_owner_s_consent() {
    let net = Network::open(&STAKES);
    let member = NewHyperNode {
        operator: new_hypernode(0, 1).operator,
        ..new_hypernode(4, 40)
    };
    let admit = Action::admit(hypernode(4).address());
    refused(net.register(4, &member), "NotAdmitted");
    refused(net.does(&hypernode(4), &admit), "NotRegistered");
    net.does(&hypernode(1), &admit).unwrap();
    refused(net.register(4, &member), "NotAdmitted");
    net.does(&hypernode(0), &admit).unwrap();
    net.register(4, &member).unwrap();
    let another = Action::admit(hypernode(5).address());
    refused(net.does(&hypernode(4), &another), "Unauthorized");
}

/// Nobody registers a key whose owner did not let this account, this network and this contract have it.
#[test]
fn a_key_without_the_proof_of_its_owner() {
    let net = Network::open(&STAKES);
    let account = hypernode(4).address();
    enrich(&net.ledger, account);
    let refuse = |new: &NewHyperNode, name| {
        let register = Action::register_hypernode(new);
        refused(net.does(&hypernode(4), &register), name);
    };
    let good = proven(&net.ledger, account, &new_hypernode(4, 40));
    let stranger = proven(&net.ledger, provider().address(), &good);
    refuse(&stranger, "Ed25519WrongSignature");
    let mut other_key = good.clone();
    other_key.ed25519 = new_hypernode(5, 40).ed25519;
    refuse(&other_key, "Ed25519WrongSignature");
    // A point of small order, for which one signature fits every message.
    let mut weak = good.clone();
    weak.ed25519 = HyperNodeId([0; 32]);
    weak.ed25519.0[0] = 1;
    refuse(&weak, "Ed25519BadKey");
    net.does(&hypernode(4), &Action::register_hypernode(&good))
        .unwrap();
}

#[test]
fn a_stake_beyond_96_bits_is_never_cut_to_size() {
    let net = Network::open(&STAKES);
    for stake in [1 << 96, (1 << 96) + 40, u128::MAX] {
        let new = new_hypernode(4, stake);
        short_of_tokens(net.register(4, &new));
    }
}

#[test]
fn genesis_is_the_deployers_and_once() {
    let net = Network::deployed();
    let of = Cell::new(Keccak([0; 32]));
    let open = |key: &LedgerKey, id| net.does(key, &Action::open_genesis(id, of.get()));
    refused(open(&deployer(), NETWORK), "EmptyCommittee");
    net.join(&STAKES[..3]);
    of.set(net.committee(0).hash());
    // On its way somebody else registers.
    net.register(3, &new_hypernode(3, STAKES[3])).unwrap();
    refused(open(&deployer(), NETWORK), "WrongCommittee");
    of.set(net.committee(0).hash());
    refused(open(&provider(), NETWORK), "Unauthorized");
    refused(open(&deployer(), NetworkId([0; 32])), "ZeroId");
    open(&deployer(), NETWORK).unwrap();
    refused(open(&deployer(), NETWORK), "GenesisAlreadyOpen");
    let c = net.ledger.contracts();
    let wire = AssayEpochs::wireCall {
        stake_: c.stake.0.into(),
        nodes_: c.nodes.0.into(),
        reservations_: c.reservations.0.into(),
        faults_: c.faults.0.into(),
    };
    assert_eq!(net.meets(&deployer(), c.epochs, &wire), "AlreadyWired");
    assert_eq!(net.meets(&provider(), c.epochs, &wire), "Unauthorized");
}

#[test]
fn stake_that_is_not_there_or_not_the_senders() {
    let net = Network::open(&STAKES);
    let zero = Stake(0);
    refused(net.does(&hypernode(0), &Action::bond(zero)), "ZeroAmount");
    refused(net.does(&hypernode(0), &Action::unbond(zero)), "ZeroAmount");
    let all = Action::unbond(Stake(41));
    refused(net.does(&hypernode(0), &all), "InsufficientStake");
    for action in [
        Action::unbond(Stake(1)),
        Action::withdraw_stake(),
        Action::update_hypernode(Seed([1; 32]), "x"),
        Action::bond(Stake(1)),
    ] {
        refused(net.does(&deployer(), &action), "NotRegistered");
    }
    for _ in 0..16 {
        net.does(&hypernode(0), &Action::unbond(Stake(1))).unwrap();
    }
    refused(
        net.does(&hypernode(0), &Action::unbond(Stake(1))),
        "TooManyUnbondings",
    );
}

#[test]
fn changes_of_a_hypernode() {
    let net = Network::open(&STAKES);
    let update = |seed, endpoint: &str| {
        let update = Action::update_hypernode(Seed([seed; 32]), endpoint);
        net.does(&hypernode(0), &update)
    };
    refused(update(0, "x"), "ZeroId");
    refused(update(1, &"x".repeat(257)), "EndpointTooLong");
    update(1, &"x".repeat(256)).unwrap();
    let stranger = Action::refresh_hypernode(HyperNodeId([9; 32]));
    refused(net.does(&hypernode(0), &stranger), "UnknownKey");
}

#[test]
fn a_committee_that_can_still_change_is_none() {
    let net = Network::open(&STAKES);
    net.clock.set(GENESIS_MS);
    refused(net.ledger.committee_of(Epoch(2)), "CommitteeNotFixed");
    net.finish(0);
    assert!(net.ledger.committee_of(Epoch(2)).is_ok());
    refused(
        net.ledger.committee_of(Epoch(u64::MAX)),
        "CommitteeNotFixed",
    );
    for (index, stake) in STAKES.into_iter().enumerate() {
        let all = Action::unbond(Stake(stake));
        net.does(&hypernode(index), &all).unwrap();
    }
    net.finish(2);
    refused(net.ledger.committee_of(Epoch(3)), "EmptyCommittee");
}

/// While the guardian has paused new risks, nobody takes one; what is there stays usable.
#[test]
fn a_pause_refuses_new_risks() {
    let net = crate::conformance::rent::offered();
    let pause = Action::pause(60_000);
    refused(net.does(&provider(), &pause), "Unauthorized");
    net.does(&guardian(), &pause).unwrap();
    for (key, action, name) in [
        (hypernode(0), Action::bond(Stake(1)), "NetworkPaused"),
        (
            provider(),
            Action::register_hypernode(&proven(
                &net.ledger,
                provider().address(),
                &new_hypernode(5, 50),
            )),
            "NetworkPaused",
        ),
        (
            provider(),
            Action::register_node(&new_node(500)),
            "NodeTaken",
        ),
        (
            provider(),
            Action::register_node(&assay_ledger::NewNode {
                node: assay_protocol::ids::NodeId([0x22; 32]),
                ..new_node(500)
            }),
            "Paused",
        ),
        (
            builder(),
            Action::reserve(NODE, Epoch(3), 1, Stake(10)),
            "Paused",
        ),
    ] {
        refused(net.does(&key, &action), name);
    }
    net.does(&hypernode(0), &Action::unbond(Stake(1))).unwrap();
    net.clock.set(GENESIS_MS + 2 * EPOCH_MS + 60_000);
    net.does(&hypernode(0), &Action::bond(Stake(1))).unwrap();
}

/// An error names what was expected and what came.
#[test]
fn a_refusal_tells_its_arguments() {
    let net = Network::open(&STAKES);
    let error = net.does(&hypernode(0), &Action::unbond(Stake(41)));
    let error = error.unwrap_err();
    assert!(matches!(error, LedgerError::Reverted { .. }));
    let text = error.to_string();
    for part in ["unbond", "InsufficientStake", "bonded: 40", "asked: 41"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
