//! A HyperNode that says two things: to two bridges, whose boards together convict it, or to one, which sees it by itself.

use assay_aggregate::agreement::input_set_hash;
use assay_bridge::double_votes;
use assay_bridge::poster::Poster;
use assay_bridge::store::Store;
use assay_ledger::Action;
use assay_protocol::ids::{Digest, Epoch, UnixMs};
use assay_protocol::report::Vote;
use assay_protocol::wire::{BoardObject, RefusalCode};

use crate::network::{HyperNode, Network, complete, provider};

const E: Epoch = Epoch(0);

/// A board with these votes: HyperNode, epoch, round and the list.
fn board(net: &Network, name: &str, votes: &[(usize, Epoch, u32, u8)]) -> Store {
    let store = Store::open(&net.dir.path().join(name), net.network).unwrap();
    for (by, epoch, round, list) in votes {
        let by: &HyperNode = &net.hypernodes[*by];
        let vote = by.seal(Vote {
            network: net.network,
            epoch: *epoch,
            round: *round,
            hypernode: by.id(),
            input_set: Digest([*list; 32]),
            at: net.params.epoch_end(*epoch),
        });
        let place = format!("vote/{round}");
        store
            .insert_at(E, &by.id(), &place, &BoardObject::Vote(vote))
            .unwrap();
    }
    store
}

#[test]
fn whoever_votes_for_two_lists_on_two_boards_is_slashed_once() {
    let net = Network::open();
    let first = board(
        &net,
        "a",
        &[(0, E, 0, 1), (1, E, 0, 1), (2, E, 0, 1), (3, E, 0, 1)],
    );
    // 1 says the same, 2 in another round, 3 about another epoch.
    let second = board(
        &net,
        "b",
        &[
            (0, E, 0, 2),
            (1, E, 0, 1),
            (2, E, 1, 2),
            (3, Epoch(1), 0, 2),
        ],
    );
    let alone = double_votes::find([&first, &first], net.network, E);
    assert!(alone.unwrap().is_empty());
    let found = double_votes::find([&first, &second], net.network, E).unwrap();
    let [[a, b]] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (a.0.hypernode, b.0.hypernode),
        (net.hypernodes[0].id(), a.0.hypernode)
    );
    let ledger = net.ledger();
    let proof = Action::convict_of_votes([(&a.0, &a.1), (&b.0, &b.1)]);
    let before = ledger.hypernodes().unwrap()[0].stake;
    ledger.submit(&provider(), &proof).unwrap();
    let guilty = &ledger.hypernodes().unwrap()[0];
    assert!(guilty.jailed && guilty.stake < before);
    let again = ledger.submit(&provider(), &proof).unwrap_err();
    assert_eq!(again.revert_name(), Some("AlreadyProven"));
    let same = Action::convict_of_votes([(&a.0, &a.1), (&a.0, &a.1)]);
    let refused = ledger.submit(&provider(), &same).unwrap_err();
    assert_eq!(refused.revert_name(), Some("NoConflict"));
}

/// A vote for this list, which the board refuses.
#[track_caller]
pub fn votes_again(net: &Network, by: usize, epoch: Epoch, list: u8) {
    let by = &net.hypernodes[by];
    let vote = by.vote(net, epoch, Digest([list; 32]));
    let refused = net.post(by, epoch, &vote).unwrap_err();
    assert_eq!(refused.code, RefusalCode::NotAllowed, "{refused}");
}

fn told(poster: &mut Poster) -> Vec<String> {
    let notes = poster.take_notes().into_iter();
    notes.filter(|note| note.starts_with("fault:")).collect()
}

fn wait(net: &Network, poster: &mut Poster) {
    while !poster.step(net.now()).unwrap().waits() {}
}

#[test]
fn a_second_vote_is_refused_and_told_and_convicts_where_the_operator_wants_it() {
    let net = Network::open();
    let mut poster = net.poster();
    complete(&net, &mut poster);
    assert_eq!(told(&mut poster), [""; 0]);
    // Two more of one, after the epoch was followed; the same list in other words, and the same words again are no fault.
    let (by, first) = (
        &net.hypernodes[1],
        input_set_hash(&net.network, E, &net.list(E)),
    );
    let in_other_words = BoardObject::Vote(by.seal(Vote {
        network: net.network,
        epoch: E,
        round: 0,
        hypernode: by.id(),
        input_set: first,
        at: UnixMs(1),
    }));
    net.post(by, E, &in_other_words).unwrap_err();
    votes_again(&net, 1, E, 7);
    votes_again(&net, 1, E, 8);
    let (same, list) = (&net.hypernodes[2], net.list(E));
    let input_set = input_set_hash(&net.network, E, &list);
    net.post(same, E, &same.vote(&net, E, input_set)).unwrap();
    complete(&net, &mut poster);
    let who = net.hypernodes[1].id();
    let lines = told(&mut poster);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        who.to_string().as_str(),
        "convict-votes --config F --key F --epoch 0",
    ] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    assert_eq!(poster.sample(net.now()).unwrap().faults, 1);
    let ledger = net.ledger();
    assert!(ledger.hypernodes().unwrap().iter().all(|one| !one.jailed));

    // Another process on this state, which convicts.
    drop(poster);
    let mut poster = net.poster().convicting();
    wait(&net, &mut poster);
    let lines = told(&mut poster);
    assert!(
        lines.len() == 1 && lines[0].contains(&who.to_string()),
        "{lines:?}"
    );
    let jailed = || {
        let all = net.ledger().hypernodes().unwrap().into_iter();
        let jailed = all.filter(|one| one.jailed);
        jailed
            .map(|one| (one.ed25519, one.stake))
            .collect::<Vec<_>>()
    };
    let before = jailed();
    assert!(before.len() == 1 && before[0].0 == who, "{before:?}");

    // And another one: it is proven already.
    drop(poster);
    let (sent, mut poster) = (net.store.ends().unwrap(), net.poster().convicting());
    wait(&net, &mut poster);
    assert_eq!(poster.take_notes(), [""; 0]);
    assert_eq!((jailed(), net.store.ends().unwrap()), (before, sent));
    assert_eq!(poster.sample(net.now()).unwrap().faults, 0);
}

#[test]
fn a_second_vote_convicts_when_the_epoch_is_void() {
    let net = Network::open();
    let mut poster = net.poster().convicting();
    net.agree(E);
    votes_again(&net, 0, E, 7);
    net.at(E, net.params.void_after_ms + 1_000);
    wait(&net, &mut poster);
    assert_eq!(poster.history().next(), E.next());
    let all = net.ledger().hypernodes().unwrap();
    let jailed: Vec<bool> = all.iter().map(|one| one.jailed).collect();
    assert_eq!(jailed, [true, false, false, false]);
}

/// An old state has no table of them.
#[test]
fn a_board_of_an_older_version_is_compared_as_ever() {
    let net = Network::open();
    let first = board(&net, "a", &[(0, E, 0, 1)]);
    drop(board(&net, "b", &[(0, E, 0, 2)]));
    let dir = net.dir.path().join("b");
    let sql = rusqlite::Connection::open(dir.join("board.db")).unwrap();
    sql.execute_batch("DROP TABLE contradictions").unwrap();
    let second = Store::open_for_reading(&dir, net.network).unwrap();
    let refused = double_votes::refused(&second, net.network, Some(E)).unwrap();
    assert!(refused.is_empty());
    let found = double_votes::find([&first, &second], net.network, E).unwrap();
    assert_eq!(found.len(), 1);
}

/// On a node nothing is final at once, and gas costs something.
#[test]
fn a_proof_goes_to_a_node_once_and_roots_go_on() {
    let net = Network::on_node();
    let mut poster = net.poster().convicting();
    net.agree(E);
    votes_again(&net, 3, E, 7);
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign(E, digest, &[0, 1, 2]);
    let is_jailed = || net.ledger().hypernodes().unwrap()[3].jailed;
    for _ in 0..40 {
        poster.step(net.now()).unwrap();
        net.node().mine(1).unwrap();
        if is_jailed() && net.store.live().unwrap().is_empty() {
            break;
        }
    }
    assert!(is_jailed());
    assert_eq!(net.ledger().next_epoch().unwrap(), E.next());
    let included = net.store.ends().unwrap()[0].1;
    for _ in 0..4 {
        poster.step(net.now()).unwrap();
        net.node().mine(1).unwrap();
    }
    let again = net.store.ends().unwrap()[0].1;
    assert_eq!(again, included, "{:?}", poster.take_notes());
}
