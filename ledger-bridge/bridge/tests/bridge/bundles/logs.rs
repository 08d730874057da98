//! A log that forked.

use assay_bridge::forks::{self, Head, Log};
use assay_ledger::Action;
use assay_log::checkpoint::{Checkpoint, origin, sign_checkpoint};
use assay_log::leaf::{Leaf, SlotLeaf};
use assay_log::tar::Files;
use assay_log::{Tree, leaf_hash};
use assay_protocol::cose::Signer as _;
use assay_protocol::ids::{Digest, Slot};
use assay_protocol::item::{Blob, Item as _};
use assay_protocol::layout::{self, Proofs, SlotProof};

use super::{Bed, E, bundle, convicts, record_of, refuses};
use crate::network::{HyperNode, Network};

/// A log with these leaves.
fn tree(leaves: &[u8]) -> Tree {
    Tree::from_leaves(leaves.iter().map(|leaf| leaf_hash(&[*leaf])))
}

fn note(net: &Network, by: &HyperNode, tree: &Tree) -> Vec<u8> {
    let checkpoint = Checkpoint {
        origin: origin(&net.network, &by.id()),
        size: tree.size(),
        root: tree.root(),
    };
    let sign = |body: &[u8]| by.identity.sign(body);
    sign_checkpoint(&checkpoint, &by.id(), sign).unwrap().into()
}

/// What a bundle holds of a log: its checkpoint, one leaf as that of the node and another as that of a slot.
fn log_files(net: &Network, by: &HyperNode, leaves: &[u8], [node, slot]: [u64; 2]) -> Files {
    let tree = tree(leaves);
    let leaf = |index: u64| Blob(vec![leaves[usize::try_from(index).unwrap()]]);
    let path = |index| tree.inclusion_proof(index, tree.size()).unwrap();
    let proofs = Proofs {
        node_leaf: leaf(node),
        index: node,
        path: path(node),
        slots: vec![SlotProof {
            leaf: leaf(slot),
            index: slot,
            path: path(slot),
        }],
        places: Vec::new(),
    };
    Files::from([
        (layout::checkpoint(E, &by.id()), note(net, by, &tree)),
        (layout::proofs(E, &by.id()), proofs.encode()),
    ])
}

fn log(net: &Network, by: &HyperNode) -> Log {
    Log {
        network: net.network,
        hypernode: by.id(),
    }
}

fn heads(net: &Network, by: &HyperNode, files: Files) -> Vec<Head> {
    log(net, by).heads_in(&bundle(net, "log.tar", files))
}

fn proof_of(net: &Network, by: &HyperNode, logs: [(&[u8], [u64; 2]); 2]) -> Option<Action> {
    let heads = logs.map(|(leaves, proven)| heads(net, by, log_files(net, by, leaves, proven)));
    assert_eq!(heads.each_ref().map(Vec::len), [1, 1]);
    forks::proof(&heads.concat())
}

const SHORT: &[u8] = &[0, 1, 2, 3, 4];
/// Leaf 3 is another one.
const FORKED: &[u8] = &[0, 1, 2, 33, 4, 5, 6];

#[test]
fn a_log_that_forked_between_two_sizes_is_proven_by_leaves() {
    let net = Network::open();
    let by = &net.hypernodes[3];
    let proof = proof_of(&net, by, [(SHORT, [1, 3]), (FORKED, [3, 6])]).unwrap();
    assert_eq!(proof.name, "twoLeaves");
    convicts(&net, by, &proof);
    // A log forks once, whatever proves it.
    let same_size = proof_of(&net, by, [(SHORT, [0, 1]), (&FORKED[..5], [0, 1])]).unwrap();
    assert_eq!(same_size.name, "twoCheckpoints");
    refuses(&net, &same_size, "AlreadyProven");
}

/// The first hash of a leaf's path is the leaf beside it.
#[test]
fn a_leaf_proves_the_one_beside_it() {
    let net = Network::open();
    let by = &net.hypernodes[2];
    let proof = proof_of(&net, by, [(SHORT, [2, 2]), (FORKED, [2, 2])]).unwrap();
    assert_eq!(proof.name, "twoLeaves");
    convicts(&net, by, &proof);
}

/// Every head is compared with every other one, of whichever file it is.
#[test]
fn a_fork_is_found_among_several_heads() {
    let net = Network::open();
    let by = &net.hypernodes[1];
    let grown: &[u8] = &[0, 1, 2, 3, 4, 5];
    let logs: [(&[u8], [u64; 2]); 3] = [(SHORT, [1, 3]), (grown, [0, 5]), (FORKED, [2, 6])];
    let of = |(leaves, proven)| heads(&net, by, log_files(&net, by, leaves, proven));
    let heads = logs.map(of).concat();
    assert_eq!(forks::proof(&heads[..2]), None);
    assert_eq!(forks::proof(&heads[1..]), None, "no leaf is in both");
    let proof = forks::proof(&heads).unwrap();
    assert_eq!(proof.name, "twoLeaves");
    convicts(&net, by, &proof);
}

/// A log that has no fork and two leaves about one slot.
#[test]
fn a_log_that_says_two_things_about_a_slot_is_proven_by_what_it_says() {
    let net = Network::open();
    let by = &net.hypernodes[3];
    let slot = |slot, said: u8| {
        let (epoch, root) = (E, Digest([said; 32]));
        let (slot, count) = (Slot(slot), said.into());
        let leaf = Leaf::Slot(SlotLeaf {
            epoch,
            slot,
            count,
            root,
        });
        leaf.encode()
    };
    let leaves = [slot(0, 1), slot(1, 1), slot(0, 2), slot(0, 1), slot(2, 2)];
    let tree = Tree::from_leaves(leaves.iter().map(|leaf| leaf_hash(leaf)));
    let files = |shown: &[usize]| {
        let proof = |index: &usize| SlotProof {
            leaf: Blob(leaves[*index].clone()),
            index: *index as u64,
            path: tree.inclusion_proof(*index as u64, tree.size()).unwrap(),
        };
        let [first, ..] = shown else { unreachable!() };
        let SlotProof { leaf, index, path } = proof(first);
        let proofs = Proofs {
            node_leaf: leaf,
            index,
            path,
            slots: shown.iter().map(proof).collect(),
            places: Vec::new(),
        };
        Files::from([
            (layout::checkpoint(E, &by.id()), note(&net, by, &tree)),
            (layout::proofs(E, &by.id()), proofs.encode()),
        ])
    };
    let of = |one: &[usize], other: &[usize]| {
        let heads = [heads(&net, by, files(one)), heads(&net, by, files(other))];
        forks::proof(&heads.concat())
    };
    assert_eq!(of(&[0, 1], &[1, 4]), None, "one thing about each");
    assert_eq!(of(&[0, 1], &[3, 4]), None, "the same twice");
    let proof = of(&[0, 1], &[2, 4]).unwrap();
    assert_eq!(proof.name, "twoRecords");
    let alone = of(&[1, 2, 3], &[1]).unwrap();
    assert_eq!(alone.name, "twoRecords", "one bundle that shows both");
    convicts(&net, by, &proof);
    refuses(&net, &alone, "AlreadyProven");
}

#[test]
fn a_log_that_grew_and_leaves_that_are_not_in_both_convict_nobody() {
    let net = Network::open();
    let by = &net.hypernodes[0];
    let of = |logs| proof_of(&net, by, logs);
    assert_eq!(of([(SHORT, [0, 3]), (SHORT, [0, 3])]), None, "the same");
    assert_eq!(
        of([(&FORKED[..5], [0, 3]), (FORKED, [0, 3])]),
        None,
        "it grew"
    );
    // What differs is leaf 3; one bundle proves 0, 1 and 4, the other 2 and 3.
    assert_eq!(of([(SHORT, [0, 4]), (FORKED, [2, 3])]), None, "elsewhere");
}

#[test]
fn what_does_not_hold_in_a_bundle_is_left_out() {
    let net = Network::open();
    let by = &net.hypernodes[0];
    let mut lying = log_files(&net, by, FORKED, [3, 3]);
    let path = layout::proofs(E, &by.id());
    let mut proofs = Proofs::decode("proofs", 10_000, &lying[&path]).unwrap();
    proofs.node_leaf = Blob(vec![34]);
    proofs.slots[0].index = 2;
    lying.insert(path.clone(), proofs.encode());
    let short = heads(&net, by, log_files(&net, by, SHORT, [3, 3]));
    let of = |files: &Files| heads(&net, by, files.clone());
    assert_eq!(forks::proof(&[of(&lying), short.clone()].concat()), None);
    lying.insert(path, vec![0xff]);
    assert!(forks::describe(&of(&lying)).contains("(0 proven)"));
    // Somebody else's checkpoint in its place.
    let other = note(&net, &net.hypernodes[1], &tree(FORKED));
    lying.insert(layout::checkpoint(E, &by.id()), other);
    assert_eq!(of(&lying).len(), 0);
    assert!(log(&net, by).head(b"no note").is_err());
}

#[test]
fn two_bundles_bring_it_to_the_ledger() {
    let bed = Bed::new();
    let net = &bed.net;
    let by = &net.hypernodes[2];
    bed.bundle("log1.tar", log_files(net, by, SHORT, [1, 3]));
    bed.bundle("log2.tar", log_files(net, by, FORKED, [3, 6]));
    bed.bundle("other.tar", Files::new());
    bed.file("note", &note(net, by, &tree(SHORT)));
    let line = format!("convict-log --hypernode {} --first", by.id());
    bed.fails(
        &format!("{line} note --second log2.tar"),
        "only audit bundles prove leaves",
    );
    bed.fails(
        &format!("{line} other.tar --second log2.tar"),
        "expected checkpoints signed by",
    );
    bed.does(
        &format!("{line} log1.tar --second log2.tar"),
        "\"of\":\"twoLeaves\"",
    );
    bed.does(
        &format!("{line} log2.tar --second log1.tar"),
        "\"before\":true",
    );
    assert!(record_of(net, by).jailed);
}
