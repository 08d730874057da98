//! Registrations, leaves, exits, classes.

use assay_aggregate::root::NodeLeaf;
use assay_ledger::abi::AssayNodes;
use assay_ledger::{Action, ClassTerms, LedgerError, LedgerKey, NewNode, Receipt};
use assay_protocol::ids::{Bps, Digest, Epoch, Keccak, NodeId, Stake};

use crate::network::*;

const OTHER: NodeId = NodeId([0x22; 32]);
const CHIPS: Digest = Digest([0xcc; 32]);

fn settle(net: &Network, leaf: &NodeLeaf, proof: &[Keccak]) -> Result<Receipt, LedgerError> {
    net.does(&deployer(), &Action::settle(leaf, proof))
}

fn confirm(net: &Network, leaf: &NodeLeaf) -> Result<Receipt, LedgerError> {
    net.does(&deployer(), &Action::confirm(leaf, &proof_of(leaf)))
}

#[test]
fn registrations() {
    let net = Network::ready().enriched(&other_provider());
    let register = |new: NewNode| net.does(&other_provider(), &Action::register_node(&new));
    let good = new_node(100);
    refused(
        net.does(&provider(), &Action::register_node(&good)),
        "AlreadyRegistered",
    );
    refused(register(new_node(99)), "PledgeTooSmall");
    refused(register(new_node(0)), "PledgeTooSmall");
    refused(
        register(NewNode {
            node: NodeId([0; 32]),
            ..good.clone()
        }),
        "ZeroId",
    );
    refused(
        register(NewNode {
            class_digest: Digest([7; 32]),
            ..good.clone()
        }),
        "UnknownClass",
    );
    refused(
        register(NewNode {
            endpoint: "x".repeat(257),
            ..good.clone()
        }),
        "EndpointTooLong",
    );
    let none = Action::top_up(NODE, Stake(0));
    refused(net.does(&provider(), &none), "PledgeTooSmall");
    for action in [
        Action::top_up(NODE, Stake(1)),
        Action::cancel_registration(NODE),
        Action::exit(NODE, other_provider().address()),
        Action::release(NODE, other_provider().address()),
    ] {
        refused(net.does(&other_provider(), &action), "NotRegistered");
    }
    register(good).unwrap();
}

#[test]
fn a_taken_node_and_who_is_not_its_owner() {
    let net = Network::active().enriched(&other_provider());
    let register = Action::register_node(&new_node(100));
    refused(net.does(&other_provider(), &register), "NodeTaken");
    refused(
        net.does(&provider(), &Action::cancel_registration(NODE)),
        "WrongStatus",
    );
    refused(
        net.does(&other_provider(), &Action::request_exit(NODE)),
        "OnlyOwner",
    );
    refused(
        net.does(&deployer(), &Action::exit(NODE, provider().address())),
        "NotLeaving",
    );
}

#[test]
fn a_registration_that_ended_is_over_for_good() {
    let net = Network::ready().enriched(&other_provider());
    let who = other_provider();
    net.does(&who, &Action::register_node(&new_node(200)))
        .unwrap();
    let made = net.ledger.nodes().unwrap()[1].registered_at.0;
    net.clock.set(made + PROVISIONAL_MS);
    let expire = || net.does(&deployer(), &Action::expire(NODE, who.address()));
    expire().unwrap();
    refused(expire(), "WrongStatus");
    let cancel = Action::cancel_registration(NODE);
    refused(net.does(&who, &cancel), "WrongStatus");
    refused(
        net.does(&who, &Action::top_up(NODE, Stake(1))),
        "WrongStatus",
    );
    // What was confirmed after its end moves no money.
    let named = NodeLeaf {
        owner: who.address(),
        ..leaf(0)
    };
    refused(net.conclude(&named), "NotRegistered");
    net.clock.set(made + PROVISIONAL_MS + 2 * WINDOW_MS);
    refused(confirm(&net, &named), "NotRegistered");
}

/// Roots go by it from then on: who is named, and paid, has a pledge that can be taken.
#[test]
fn a_registration_that_an_epoch_has_begun_with_is_not_cancelled() {
    let net = Network::ready();
    let cancel = Action::cancel_registration(NODE);
    refused(net.does(&provider(), &cancel), "Counts");
}

#[test]
fn leaves_that_are_not_in_the_tree() {
    let net = Network::active();
    let proof = proof_of(&leaf(1));
    refused(settle(&net, &leaf(1), &proof), "EpochNotPosted");
    net.post_tree(1, &[leaf(1).hash()]);
    let forged = NodeLeaf {
        cumulative_slash: 1,
        ..leaf(1)
    };
    refused(settle(&net, &forged, &proof), "BadProof");
    refused(settle(&net, &leaf(1), &proof[1..]), "BadProof");
    refused(settle(&net, &leaf(1), &[]), "BadProof");
    let mut call = AssayNodes::settleCall {
        leaf: (&leaf(1)).into(),
        proof: proof.iter().map(|hash| hash.0.into()).collect(),
    };
    for other_type in [0, 2, 3] {
        call.leaf.leafType = other_type;
        let nodes = net.ledger.contracts().nodes;
        assert_eq!(net.meets(&deployer(), nodes, &call), "WrongLeafType");
    }
    settle(&net, &leaf(1), &proof).unwrap();
}

#[test]
fn nothing_settles_twice_or_backwards() {
    let net = Network::active();
    net.post_tree(1, &[leaf(1).hash()]);
    net.conclude(&leaf(2)).unwrap();
    refused(settle(&net, &leaf(1), &proof_of(&leaf(1))), "StaleLeaf");
    refused(
        settle(&net, &leaf(2), &proof_of(&leaf(2))),
        "AlreadySettled",
    );
}

#[test]
fn a_verdict_that_is_none_of_the_four() {
    let net = Network::active();
    let odd = NodeLeaf {
        verdict: 4,
        ..leaf(1)
    };
    refused(net.conclude(&odd), "UnknownVerdict");
}

#[test]
fn money_needs_a_confirmed_registered_owner() {
    let net = Network::ready();
    let unconfirmed = NodeLeaf {
        confirmed: false,
        ..leaf(0)
    };
    refused(net.conclude(&unconfirmed), "NotConfirmed");
    refused(confirm(&net, &unconfirmed), "EpochNotFinal");
    net.finish(1);
    refused(confirm(&net, &unconfirmed), "NotConfirmed");
    let unregistered = NodeLeaf {
        owner: other_provider().address(),
        ..leaf(1)
    };
    refused(net.conclude(&unregistered), "NotRegistered");
    net.finish(2);
    refused(confirm(&net, &unregistered), "NotRegistered");
}

#[test]
fn a_leaf_of_an_epoch_before_the_registration() {
    let net = Network::ready().enriched(&other_provider());
    let register = Action::register_node(&NewNode {
        node: OTHER,
        ..new_node(100)
    });
    net.does(&other_provider(), &register).unwrap();
    let early = NodeLeaf {
        node: OTHER,
        owner: other_provider().address(),
        ..leaf(0)
    };
    refused(net.conclude(&early), "LeafTooEarly");
    net.finish(1);
    refused(confirm(&net, &early), "LeafTooEarly");
}

#[test]
fn an_owner_is_not_replaced_by_a_leaf_alone() {
    let net = Network::ready().enriched(&other_provider());
    net.does(&other_provider(), &Action::register_node(&new_node(100)))
        .unwrap();
    net.post_tree(0, &[leaf(0).hash()]);
    net.finish(1);
    confirm(&net, &leaf(0)).unwrap();
    let other = NodeLeaf {
        owner: other_provider().address(),
        ..leaf(1)
    };
    net.conclude(&other).unwrap();
    net.finish(2);
    refused(confirm(&net, &other), "NotOffered");
    net.post_tree(2, &[leaf(2).hash()]);
    net.finish(3);
    refused(confirm(&net, &leaf(2)), "NothingToConfirm");
}

#[test]
fn processors_of_another_node_by_an_older_leaf() {
    let net = Network::ready().enriched(&other_provider());
    let register = Action::register_node(&NewNode {
        node: OTHER,
        ..new_node(100)
    });
    net.does(&other_provider(), &register).unwrap();
    let with = |chips, leaf| NodeLeaf { chips, ..leaf };
    let (own, other) = (
        with(CHIPS, leaf(1)),
        NodeLeaf {
            node: OTHER,
            owner: other_provider().address(),
            ..with(CHIPS, leaf(2))
        },
    );
    let changed = with(Digest([0xdd; 32]), leaf(3));
    net.post_tree(0, &[]);
    net.post_tree(1, &[own.hash()]);
    net.finish(2);
    confirm(&net, &own).unwrap();
    net.conclude(&other).unwrap();
    net.post_tree(3, &[changed.hash()]);
    net.finish(4);
    let bound = || {
        let records = net.ledger.nodes().unwrap();
        let of = |node| records.iter().find(|r| r.node == node).unwrap().clone();
        [NODE, OTHER].map(|node| (of(node).chips, of(node).chips_epoch))
    };
    assert_eq!(bound(), [(Some(CHIPS), Some(Epoch(1))), (None, None)]);
    // A newer leaf takes them, and no older one takes them back.
    confirm(&net, &other).unwrap();
    let taken = (Some(CHIPS), Some(Epoch(2)));
    assert_eq!(bound(), [(None, Some(Epoch(2))), taken]);
    refused(confirm(&net, &own), "StaleLeaf");
    confirm(&net, &changed).unwrap();
    assert_eq!(bound(), [(Some(changed.chips), Some(Epoch(3))), taken]);
    refused(confirm(&net, &changed), "NothingToConfirm");
}

#[test]
fn classes_are_the_governors_and_set_once() {
    let net = Network::ready();
    let set = |key: &LedgerKey, class, terms: &ClassTerms| {
        net.does(key, &Action::set_class(class, terms))
    };
    let new = Digest([0xc2; 32]);
    refused(set(&deployer(), new, &terms()), "OnlyGovernor");
    refused(set(&governor(), CLASS, &terms()), "ClassAlreadySet");
    refused(set(&governor(), Digest([0; 32]), &terms()), "ZeroId");
    for bad in [
        ClassTerms {
            collateral: Stake(0),
            ..terms()
        },
        ClassTerms {
            remove_below: Stake(101),
            ..terms()
        },
        ClassTerms {
            slash_cap_bps: Bps(10_001),
            ..terms()
        },
        ClassTerms {
            builder_share_bps: Bps(10_001),
            ..terms()
        },
        ClassTerms {
            builder_share_bps: Bps(65_536 + 100),
            ..terms()
        },
    ] {
        refused(set(&governor(), new, &bad), "BadTerms");
    }
    set(&governor(), new, &terms()).unwrap();
    assert_eq!(net.ledger.next_epoch().unwrap(), Epoch(0));
}
