//! A HyperNode that tells two bridges different things: their boards together convict it.

use assay_bridge::double_votes;
use assay_bridge::store::Store;
use assay_ledger::Action;
use assay_protocol::ids::{Digest, Epoch};
use assay_protocol::report::Vote;
use assay_protocol::wire::BoardObject;

use crate::network::{HyperNode, Network, provider};

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
