//! Every rule of the board, and its durability.

use std::sync::Arc;

use assay_bridge::board::REGISTRATIONS_UNSEEN;
use assay_bridge::board::heard::Heard;
use assay_bridge::store::{Store, StoreError};
use assay_ledger::Finality;
use assay_protocol::ids::{Digest, Epoch, Keccak, NetworkId, NodeId, RegionKey};
use assay_protocol::item::Blob;
use assay_protocol::limits::REGION_REVEALS_MAX;
use assay_protocol::report::{
    Cell, NodeReport, RegionReveal, Vote, commitment, node_report_bytes_max, reveal_bytes_max,
};
use assay_protocol::succession::Succession;
use assay_protocol::wire::{BoardObject, Refusal, RefusalCode};
use assay_transport::Identity;

use crate::network::{HyperNode, Network, key};

const E: Epoch = Epoch(0);

#[track_caller]
fn refused(result: Result<u64, Refusal>, code: RefusalCode, text: &str) {
    let refusal = result.unwrap_err();
    assert!(
        refusal.code == code && refusal.text.contains(text),
        "expected {code:?} {text:?}: {refusal}"
    );
}

#[test]
fn an_identical_post_gets_its_number_again_and_another_is_refused() {
    let net = Network::open();
    let [a, b, ..] = &net.hypernodes[..] else {
        unreachable!()
    };
    net.at(E, 0);
    let commit = a.commit(&net, E);
    assert_eq!(net.post(a, E, &commit), Ok(1));
    assert_eq!(net.post(b, E, &b.commit(&net, E)), Ok(2));
    net.at(E, 4_000);
    assert_eq!(
        net.post(a, E, &commit),
        Ok(1),
        "also when its window is over"
    );
    let other = a.commit_to(&net, E, Digest([1; 32]));
    refused(
        net.post(a, E, &other),
        RefusalCode::NotAllowed,
        "stored under number 1",
    );
    assert_eq!(net.board.read(E, 1).unwrap().len(), 1);
    assert!(net.board.read(Epoch(7), 0).unwrap().is_empty());
}

#[test]
fn every_window_has_two_ends() {
    let net = Network::open();
    let h = &net.hypernodes[0];
    let digest = Keccak([3; 32]);
    let cases = [
        (h.reveal(&net, E), 1_000, 2_000),
        (h.proposal(&net, E, &net.list(E)), 1_000, 3_000),
        (h.vote(&net, E, Digest([2; 32])), 1_000, 3_000),
        (h.root_signature(&net, E, digest), 1_000, 5_000),
    ];
    let word = BoardObject::Succession(h.seal(h.word(&net, Epoch(2))));
    net.at(Epoch(0), 0);
    let before = net.board.post(
        h.id(),
        E,
        &h.commit(&net, E),
        assay_protocol::ids::UnixMs(net.now().0 - 1),
    );
    refused(before, RefusalCode::Busy, "too early");
    net.at(E, 1_000);
    refused(
        net.post(h, E, &h.commit(&net, E)),
        RefusalCode::NotAllowed,
        "too late",
    );
    net.at(E, 999);
    net.post(h, E, &h.commit(&net, E)).unwrap();
    // A roster is spoken of until it is in force.
    net.at(E, net.params.epoch_ms);
    refused(net.post(h, E, &word), RefusalCode::NotAllowed, "too late");
    net.at(E, net.params.epoch_ms - 1);
    net.post(h, E, &word).unwrap();
    for (object, start, end) in cases {
        let kind = object.kind();
        net.at(E, start - 1);
        refused(net.post(h, E, &object), RefusalCode::Busy, kind);
        net.at(E, end);
        refused(net.post(h, E, &object), RefusalCode::NotAllowed, "too late");
        net.at(E, end - 1);
        net.post(h, E, &object).unwrap();
    }
}

#[test]
fn only_the_author_may_post_and_only_for_this_place() {
    let net = Network::open();
    let [a, b, ..] = &net.hypernodes[..] else {
        unreachable!()
    };
    net.at(E, 0);
    let commit = a.commit(&net, E);
    refused(
        net.post(b, E, &commit),
        RefusalCode::NotAllowed,
        "signed by",
    );
    refused(
        net.post(a, Epoch(1), &commit),
        RefusalCode::BadRequest,
        "epoch: expected 1, got 0",
    );
    let mut forged = commit.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    refused(
        net.post(a, E, &BoardObject::Commit(forged)),
        RefusalCode::BadRequest,
        "signature",
    );
    refused(
        net.post(a, E, &BoardObject::Commit(vec![0xff; 9])),
        RefusalCode::BadRequest,
        "",
    );
    let as_vote = BoardObject::Vote(commit.bytes().to_vec());
    refused(net.post(a, E, &as_vote), RefusalCode::BadRequest, "");
    let stranger = Identity::generate().unwrap();
    let vote = |network, hypernode, round| Vote {
        network,
        epoch: E,
        round,
        hypernode,
        input_set: Digest([1; 32]),
        at: net.now(),
    };
    let by_stranger = assay_protocol::cose::seal(vote(net.network, a.id(), 0), &stranger);
    let by_stranger = BoardObject::Vote(by_stranger.bytes().to_vec());
    refused(
        net.post(a, E, &by_stranger),
        RefusalCode::BadRequest,
        "not on the roster",
    );
    let cases = [
        (vote(NetworkId([9; 32]), a.id(), 0), "network"),
        (vote(net.network, b.id(), 0), "hypernode"),
        (vote(net.network, a.id(), 1), "round: expected 0, got 1"),
    ];
    for (vote, name) in cases {
        let vote = BoardObject::Vote(a.seal(vote));
        refused(net.post(a, E, &vote), RefusalCode::BadRequest, name);
    }
}

#[test]
fn a_word_for_a_roster_is_of_the_epoch_that_follows_the_next() {
    let net = Network::open();
    let [a, b, ..] = &net.hypernodes[..] else {
        unreachable!()
    };
    net.at(E, 0);
    type Change = fn(&mut Succession);
    let cases: [(Change, &str); 4] = [
        (|word| word.network.0[0] ^= 1, "network"),
        (|word| word.hypernode.0[0] ^= 1, "hypernode"),
        (|word| word.from = Epoch(3), "from: expected 2, got 3"),
        (|word| word.at.0 += 1, "at: expected"),
    ];
    for (change, said) in cases {
        let mut word = a.word(&net, Epoch(2));
        change(&mut word);
        let word = BoardObject::Succession(a.seal(word));
        refused(net.post(a, E, &word), RefusalCode::BadRequest, said);
    }
    let word = BoardObject::Succession(a.seal(a.word(&net, Epoch(2))));
    refused(net.post(b, E, &word), RefusalCode::NotAllowed, "signed by");
    net.post(a, E, &word).unwrap();
    assert_eq!(net.board.read(E, 0).unwrap(), [(1, word)]);
}

#[test]
fn a_reveal_must_open_its_author_s_commit() {
    let net = Network::open();
    let [a, b, ..] = &net.hypernodes[..] else {
        unreachable!()
    };
    net.at(E, 0);
    net.post(a, E, &a.commit(&net, E)).unwrap();
    net.at(E, 1_000);
    refused(
        net.post(b, E, &b.reveal(&net, E)),
        RefusalCode::NotAllowed,
        "no commit",
    );
    let report = a.seal(a.report(&net, E));
    let other_salt = a.reveal_of(&net, E, [77; 32], &report);
    refused(
        net.post(a, E, &other_salt),
        RefusalCode::NotAllowed,
        "commitment: expected",
    );
    let b_s = b.seal(b.report(&net, E));
    refused(
        net.post(a, E, &a.reveal_of(&net, E, [0; 32], &b_s)),
        RefusalCode::BadRequest,
        "report",
    );
    let mut wrong_seed = a.report(&net, E);
    wrong_seed.seed.0[0] ^= 1;
    let wrong_seed = a.seal(wrong_seed);
    refused(
        net.post(a, E, &a.reveal_of(&net, E, [0; 32], &wrong_seed)),
        RefusalCode::BadRequest,
        "seed",
    );
    let mut elsewhere = a.report(&net, E);
    elsewhere.epoch = Epoch(1);
    let elsewhere = a.seal(elsewhere);
    refused(
        net.post(a, E, &a.reveal_of(&net, E, [0; 32], &elsewhere)),
        RefusalCode::BadRequest,
        "report's epoch",
    );
    net.post(a, E, &a.reveal(&net, E)).unwrap();
}

/// A commit to a report of these entries, and its reveal.
fn of_entries(net: &Network, h: &HyperNode, nodes: Vec<NodeReport>) -> [BoardObject; 2] {
    let mut report = h.report(net, E);
    report.nodes = nodes;
    let report = h.seal(report);
    let commitment = commitment(&net.network, E, &h.salt(), &report);
    let commit = h.commit_to(net, E, commitment);
    [commit, h.reveal_of(net, E, h.salt(), &report)]
}

/// The same of a reveal with exactly so many bytes: one entry of a node has nearly all of them.
fn of_bytes(net: &Network, h: &HyperNode, bytes: usize) -> [BoardObject; 2] {
    let entries = |cells| {
        let mut nodes = h.report(net, E).nodes;
        nodes[0].cells = Blob(vec![Cell::None as u8; cells]);
        nodes
    };
    let around = |cells| of_entries(net, h, entries(cells))[1].bytes().len() - cells;
    let cells = bytes - around(bytes / 2);
    let both = of_entries(net, h, entries(cells));
    assert_eq!(both[1].bytes().len(), bytes);
    both
}

/// Most bytes of a reveal when so many registrations were read.
fn most(net: &Network, registrations: u64) -> usize {
    let nodes = usize::try_from(registrations + REGISTRATIONS_UNSEEN).unwrap();
    reveal_bytes_max(nodes, net.params.slots())
}

/// Also the small network's board does not store what only a large one can have to say.
#[test]
fn a_reveal_has_room_for_the_nodes_that_are_registered_and_no_more() {
    let net = Network::open();
    let [a, b, ..] = &net.hypernodes[..] else {
        unreachable!()
    };
    let max = most(&net, 1);
    let (fits, long) = (of_bytes(&net, a, max), of_bytes(&net, b, max + 1));
    net.at(E, 0);
    net.post(a, E, &fits[0]).unwrap();
    net.post(b, E, &long[0]).unwrap();
    net.at(E, 1_000);
    let said = format!(
        "expected at most {max} bytes with 1 registrations of nodes, got {}",
        max + 1
    );
    refused(net.post(b, E, &long[1]), RefusalCode::NotAllowed, &said);
    assert_eq!(net.board.read(E, 2).unwrap(), [], "nothing is stored");
    assert_eq!(net.post(a, E, &fits[1]), Ok(3));
    assert!(max < 160 * 1024, "of 4 MiB: {max}");
}

/// Its slack holds as many nodes that this bridge has not seen, whatever there is to say of each.
#[test]
fn an_honest_report_fits_also_with_nodes_that_were_registered_after_the_ledger_was_read() {
    let net = Network::open();
    let h = &net.hypernodes[0];
    let [entry] = &h.report(&net, E).nodes[..] else {
        unreachable!()
    };
    let mut entry = entry.clone();
    entry.attest.chips = Some(Digest([0xff; 32]));
    entry.attest.tier = u8::MAX;
    entry.chase.reads_per_s = u64::MAX;
    entry.outcomes = u32::MAX;
    let reveal = RegionReveal {
        region: u32::MAX,
        generation: u64::MAX,
        key: RegionKey([0xff; 32]),
    };
    entry.reveals = vec![reveal; REGION_REVEALS_MAX];
    let node = |n: u64| NodeReport {
        node: NodeId(std::array::from_fn(|at| n.to_be_bytes()[at % 8])),
        ..entry.clone()
    };
    let nodes = (0..=REGISTRATIONS_UNSEEN).map(node).collect();
    let [commit, reveal] = of_entries(&net, h, nodes);
    net.at(E, 0);
    net.post(h, E, &commit).unwrap();
    let now = net.at(E, 1_000);
    net.board.post(h.id(), E, &reveal, now).unwrap();
}

/// A report is made before commits are closed: what was read later is enough for it, and what was read before need not be.
#[test]
fn a_long_reveal_is_refused_for_good_only_when_the_ledger_was_read_since_commits_are_closed() {
    let net = Network::open();
    let h = &net.hypernodes[0];
    let [commit, reveal] = of_bytes(&net, h, most(&net, 2));
    net.at(E, 0);
    net.post(h, E, &commit).unwrap();
    net.at(E, 999);
    net.board.refresh(net.now()).unwrap();
    let post = || net.board.post(h.id(), E, &reveal, net.now());
    net.at(E, 1_000);
    refused(post(), RefusalCode::Busy, "not read since");
    net.board.refresh(net.now()).unwrap();
    refused(post(), RefusalCode::NotAllowed, "with 1 registrations");
    // One more registration, if only of the same node.
    net.register(&key(49));
    refused(post(), RefusalCode::NotAllowed, "with 1 registrations");
    net.board.refresh(net.now()).unwrap();
    post().unwrap();
    assert_eq!(
        most(&net, 2) - most(&net, 1),
        node_report_bytes_max(net.params.slots())
    );
}

/// What is final for a HyperNode's ledger node may not be for that of the bridge.
#[test]
fn registrations_count_before_they_are_final() {
    let net = Network::on_node();
    net.node().mine(3).unwrap();
    let finalized = net.ledger().reading(Finality::Finalized);
    net.register(&key(11));
    assert_eq!(finalized.registration_count().unwrap(), 1);
    let heard = Heard::on(finalized);
    heard.refresh(&net.params, net.now()).unwrap();
    let read = heard.registrations();
    assert_eq!((read.count, read.at), (2, net.now()));
}

#[test]
fn a_board_that_has_not_read_the_ledger_yet_asks_for_a_long_reveal_again() {
    let net = Network::open();
    let h = &net.hypernodes[0];
    let board = net.board_over(net.store.clone());
    let [commit, reveal] = of_bytes(&net, h, most(&net, 1));
    let now = net.at(E, 0);
    board.post(h.id(), E, &commit, now).unwrap();
    let now = net.at(E, 1_500);
    let unread = board.post(h.id(), E, &reveal, now);
    refused(unread, RefusalCode::Busy, "with 0 registrations");
    board.refresh(now).unwrap();
    assert_eq!(board.post(h.id(), E, &reveal, now), Ok(2));
}

#[test]
fn lists_are_ascending_and_root_signatures_are_by_the_member_s_account() {
    let net = Network::open();
    let h = &net.hypernodes[0];
    net.at(E, 1_000);
    let mut list = net.list(E);
    list.reverse();
    refused(
        net.post(h, E, &h.proposal(&net, E, &list)),
        RefusalCode::BadRequest,
        "ascending",
    );
    let digest = Keccak([3; 32]);
    let by_other = h.root_signature_by(&net, E, digest, &key(40));
    refused(
        net.post(h, E, &by_other),
        RefusalCode::BadRequest,
        "ledger account",
    );
}

#[test]
fn what_is_stored_survives_reopening_in_order() {
    let net = Network::open();
    net.agree(E);
    let before = net.board.read(E, 0).unwrap();
    assert_eq!(before.len(), 13);
    assert!(before.iter().map(|(n, _)| *n).eq(1..=13));
    drop(Store::open_for_reading(&net.state_dir(), net.network).unwrap());
    let again = Arc::new(Store::open(&net.state_dir(), net.network).unwrap());
    let board = net.board_over(again.clone());
    assert_eq!(board.read(E, 0).unwrap(), before);
    assert_eq!(board.read(E, 12).unwrap(), before[12..]);
    assert_eq!(again.objects(E, 0, 5, usize::MAX).unwrap().len(), 5);
    assert_eq!(
        again.objects(E, 0, 5, 1).unwrap().len(),
        1,
        "at least one fits"
    );
    let other = Store::open(&net.state_dir(), NetworkId([1; 32]));
    assert!(matches!(other, Err(StoreError::Other { .. })));
}
