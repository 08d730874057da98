//! Who owns a node, by the leaves of a bundle and without a bridge.

use super::*;
use assay_aggregate::root::NodeLeaf;
use assay_bridge::replay;
use assay_ledger::NodeStatus;
use assay_protocol::ids::{Address, Keccak};
use assay_protocol::item::Blob;
use assay_protocol::layout::ProvenLeaf;

/// A bundle's file of a leaf.
fn proven(leaf: &NodeLeaf, proof: Vec<Keccak>) -> (String, Vec<u8>) {
    let abi = Blob(leaf.abi());
    (layout::leaf(leaf.epoch), ProvenLeaf { abi, proof }.encode())
}

#[test]
fn a_bundle_confirms_the_owner_that_its_oldest_leaf_names() {
    let bed = Bed::new();
    let net = &bed.net;
    let mut history = net.history();
    let mut files = Files::new();
    let mut posted = Vec::new();
    for _ in 0..2 {
        let epoch = history.next();
        net.agree(epoch);
        let outcome = net.outcome(&history);
        net.post_by_hand(history.signers(), &outcome.root);
        let leaf = outcome.leaves[0];
        let proof = outcome.tree.proof(&leaf.hash()).unwrap();
        files.extend([proven(&leaf, proof)]);
        replay::learn(&net.ledger(), &mut history).unwrap();
        history.posted(&outcome, &net.reports(epoch)).unwrap();
        posted.push(leaf);
    }
    assert!(posted.iter().all(|leaf| leaf.confirmed));
    net.node().mine(3).unwrap();
    bed.bundle("whole.tar", files.clone());

    let path = layout::leaf(E);
    let changed = |change: fn(&mut NodeLeaf)| {
        let mut leaf = posted[0];
        change(&mut leaf);
        let file = proven(&leaf, Vec::new()).1;
        Files::from([(path.clone(), file)])
    };
    bed.bundle("unsure.tar", changed(|leaf| leaf.confirmed = false));
    bed.fails("confirm --bundle unsure.tar", "than nobody, got none");
    bed.bundle("foreign.tar", changed(|leaf| leaf.node.0[0] ^= 1));
    bed.fails("confirm --bundle foreign.tar", &path);
    bed.bundle("forged.tar", changed(|leaf| leaf.owner = Address([9; 20])));
    bed.fails("confirm --bundle forged.tar", "BadProof");
    bed.bundle("none.tar", Files::new());
    bed.fails("confirm --bundle none.tar", "got none");

    bed.does("confirm --bundle whole.tar", "gas");
    let nodes = net.ledger().nodes().unwrap();
    assert_eq!(nodes[0].confirmed_owner, Some(provider().address()));
    assert_eq!(
        (nodes[0].status, nodes[0].settled_epoch),
        (NodeStatus::Active, Some(E))
    );
    let owner = provider().address().to_string();
    bed.fails(
        "confirm --bundle whole.tar",
        &format!("than {owner}, got none"),
    );
}
