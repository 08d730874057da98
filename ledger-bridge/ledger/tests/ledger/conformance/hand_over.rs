//! Which registrations owe service in an epoch is the same for whoever asks later.

use alloy_primitives::U256;
use assay_aggregate::root::NodeLeaf;
use assay_ledger::abi::{AssayNodes, TestToken};
use assay_ledger::{Action, is_owing};
use assay_protocol::ids::Epoch;

use crate::network::*;

/// The node of `active` in another provider's hands by a leaf of epoch 4, which is final in epoch 6.
#[test]
fn a_hand_over_does_not_change_who_owed_service_in_epochs_that_have_begun() {
    let net = Network::active().enriched(&other_provider());
    let c = *net.ledger.contracts();
    let offer = AssayNodes::offerTransferCall {
        node: NODE.0.into(),
        to: other_provider().address().0.into(),
    };
    net.calls(&provider(), c.nodes, &offer);
    let approve = TestToken::approveCall {
        spender: c.nodes.0.into(),
        value: U256::from(500),
    };
    net.calls(&other_provider(), c.token, &approve);
    let accept = AssayNodes::acceptTransferCall {
        node: NODE.0.into(),
        endpoint: "127.0.0.1:7001".into(),
        amount: 500,
    };
    net.calls(&other_provider(), c.nodes, &accept);
    let theirs = NodeLeaf {
        owner: other_provider().address(),
        ..leaf(4)
    };
    for epoch in 1..4 {
        net.post_tree(epoch, &[leaf(epoch).hash()]);
    }
    net.post_tree(4, &[theirs.hash()]);
    net.finish(5);
    let owing = || {
        let nodes = net.ledger.nodes().unwrap();
        let in_epoch = |epoch| nodes.iter().map(move |n| is_owing(n, Epoch(epoch)));
        [4, 5, 6].map(|epoch| in_epoch(epoch).collect::<Vec<bool>>())
    };
    let before = owing();
    let confirm = Action::confirm(&theirs, &proof_of(&theirs));
    net.does(&deployer(), &confirm).unwrap();
    let owner = net.ledger.nodes().unwrap()[1].confirmed_owner;
    assert_eq!(owner, Some(other_provider().address()));
    assert_eq!(owing(), before, "epochs 4 and 5 are over, 6 has begun");
}
