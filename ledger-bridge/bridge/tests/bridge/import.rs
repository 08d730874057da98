//! A state that was lost is filled from another board, and nothing else comes in with it.

use std::sync::Arc;

use assay_bridge::board::server::Limits;
use assay_bridge::import::{self, Imported, Source};
use assay_bridge::poster::{Poster, Step};
use assay_bridge::store::{Placed, Store};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak};
use assay_protocol::wire::BoardObject;
use assay_transport::board::Board as Client;
use assay_transport::{Identity, board::BoardError};
use serde_json::{Value, json};

use crate::bad_input::bridge;
use crate::connections::Served;
use crate::kill::write_config;
use crate::network::{HyperNode, Network, complete, poster_key};

/// What a board has of an epoch in which all four take part: commits, reveals, votes, signatures, and a list.
const OBJECTS_EACH: u64 = 17;

/// A network with so many posted epochs, and its bridge.
fn network(epochs: u64) -> (Network, Poster) {
    let net = Network::open();
    let mut poster = net.poster();
    (0..epochs).for_each(|_| {
        complete(&net, &mut poster);
    });
    (net, poster)
}

fn open(net: &Network, name: &str) -> Arc<Store> {
    Arc::new(Store::open(&net.dir.path().join(name), net.network).unwrap())
}

/// The network's own state, as somebody else has it.
fn other(net: &Network) -> Source {
    Source::State(Store::open_for_reading(&net.state_dir(), net.network).unwrap())
}

fn import(net: &Network, into: &Store, from: Source) -> anyhow::Result<Imported> {
    import::import(
        into,
        &net.ledger(),
        net.history(),
        from,
        (Epoch(0), net.now()),
    )
}

fn refusal(result: anyhow::Result<Imported>) -> String {
    assay_bridge::explain(result.unwrap_err().chain().map(ToString::to_string))
}

/// Everything on a board, whatever its numbers.
fn all(store: &Store, epoch: Epoch) -> Vec<BoardObject> {
    let stored = store.objects(epoch, 0, 1_000, usize::MAX).unwrap();
    let mut all: Vec<_> = stored.into_iter().map(|stored| stored.object).collect();
    all.sort_by_key(|object| (object.kind(), object.bytes().to_vec()));
    all
}

fn fill(store: &Store, epoch: Epoch, objects: Vec<BoardObject>) {
    for (n, object) in (0..).zip(objects) {
        let from = HyperNodeId([n; 32]);
        store.insert(epoch, &from, &object).unwrap();
    }
}

/// A board of objects, whoever posted them.
fn made_of(net: &Network, name: &str, epoch: Epoch, objects: Vec<BoardObject>) -> Source {
    fill(&open(net, name), epoch, objects);
    Source::State(Store::open_for_reading(&net.dir.path().join(name), net.network).unwrap())
}

fn taken(objects: u64, next: u64) -> Imported {
    Imported {
        objects,
        next,
        ..Imported::default()
    }
}

fn poster(net: &Network, store: &Arc<Store>) -> Poster {
    net.poster_with(store.clone(), poster_key(), net.chain.clone())
}

/// A bridge over a state that was filled goes on where the other one stopped.
fn goes_on(net: Network, lost: &Poster, store: Arc<Store>) {
    let filled = poster(&net, &store);
    go_on(net, lost, filled, store);
}

fn go_on(net: Network, lost: &Poster, mut poster: Poster, store: Arc<Store>) {
    let net = Network {
        board: net.board_over(store.clone()),
        store,
        ..net
    };
    while poster.history().next() < lost.history().next() {
        poster.step(net.now()).unwrap();
    }
    assert_eq!(poster.history().states(), lost.history().states());
    complete(&net, &mut poster);
}

#[test]
fn a_lost_state_is_filled_from_a_copy_and_the_bridge_goes_on() {
    let (net, lost) = network(3);
    let store = open(&net, "new");
    let mut stuck = poster(&net, &store);
    let error = stuck.step(net.now()).unwrap_err().to_string();
    assert!(error.contains("hint: votes may still come"), "{error}");
    assert!(error.contains("`assay-bridge import`"), "{error}");
    assert_eq!(
        import(&net, &store, other(&net)).unwrap(),
        taken(3 * OBJECTS_EACH, 3)
    );
    for epoch in (0..3).map(Epoch) {
        assert_eq!(all(&store, epoch), all(&net.store, epoch));
    }
    assert_eq!(import(&net, &store, other(&net)).unwrap(), taken(0, 3));
    go_on(net, &lost, stuck, store);
}

#[test]
fn a_lost_state_is_filled_from_a_running_board_by_a_hypernode_s_key() {
    let (net, lost) = network(2);
    let served = Served::new(&net, Limits::default());
    let source = |identity: Identity, key: [u8; 32]| {
        let address = served.address.to_string().parse().unwrap();
        Source::board(Client::new(identity, address, key)).unwrap()
    };
    let store = open(&net, "new");
    let stranger = source(Identity::generate().unwrap(), served.key);
    let another = source(net.hypernodes[0].identity.clone(), [7; 32]);
    for refused in [stranger, another] {
        let error = import(&net, &store, refused).unwrap_err();
        assert!(matches!(
            error.downcast_ref(),
            Some(BoardError::Away { .. })
        ));
    }
    assert_eq!(all(&store, Epoch(0)), []);
    let known = source(net.hypernodes[0].identity.clone(), served.key);
    let imported = import(&net, &store, known).unwrap();
    assert_eq!(imported, taken(2 * OBJECTS_EACH, 2));
    goes_on(net, &lost, store);
}

#[test]
fn an_older_copy_is_completed_and_asked_for_nothing_before_the_first_epoch_named() {
    let (net, lost) = network(3);
    let (store, held) = (open(&net, "old"), Epoch(0));
    import(
        &net,
        &store,
        made_of(&net, "kept", held, all(&net.store, held)),
    )
    .unwrap_err();
    assert_eq!(
        all(&store, held),
        all(&net.store, held),
        "of the first all was there"
    );
    let from = |first| (Epoch(first), net.now());
    let import = |first| {
        import::import(
            &store,
            &net.ledger(),
            net.history(),
            other(&net),
            from(first),
        )
    };
    assert!(
        refusal(import(2)).contains("epoch 1 is not whole"),
        "2 leaves a gap"
    );
    assert_eq!(all(&store, Epoch(2)), []);
    assert_eq!(import(1).unwrap(), taken(2 * OBJECTS_EACH, 3));
    goes_on(net, &lost, store);
}

#[test]
fn of_an_epoch_that_is_not_whole_nothing_is_taken() {
    let (net, _) = network(1);
    let whole = all(&net.store, Epoch(0));
    // Without a reveal, without the list, and without votes of a third and more.
    let without = |(kind, count): (&str, usize)| {
        let mut left = whole.clone();
        for _ in 0..count {
            let at = left.iter().position(|object| object.kind() == kind);
            left.remove(at.unwrap());
        }
        left
    };
    let parts = [("reveal", 1), ("proposal", 1), ("vote", 3)];
    for part in parts {
        let store = open(&net, &format!("without {}", part.0));
        let source = made_of(&net, &format!("other {}", part.0), Epoch(0), without(part));
        let error = refusal(import(&net, &store, source));
        assert!(error.starts_with("epoch 0 is not whole"), "{error}");
        assert!(error.contains("hint: import from another board"), "{error}");
        assert_eq!(all(&store, Epoch(0)), []);
    }
    // Two that lack different things make one that lacks nothing.
    let store = open(&net, "half");
    fill(&store, Epoch(0), without(("vote", 4)));
    let source = made_of(&net, "other half", Epoch(0), without(("reveal", 4)));
    import(&net, &store, source).unwrap();
}

/// The four agree on the first epoch, and nobody has posted it.
fn agreed() -> (Network, Keccak) {
    let net = Network::open();
    net.agree(Epoch(0));
    let digest = net.digest(&net.outcome(&net.history()));
    net.sign(Epoch(0), digest, &[0, 1, 2, 3]);
    (net, digest)
}

#[test]
fn what_was_agreed_and_not_posted_comes_after_its_votes_and_is_posted() {
    let (net, _) = agreed();
    let store = open(&net, "new");
    net.at(Epoch(0), 2_999);
    assert_eq!(import(&net, &store, other(&net)).unwrap(), taken(0, 0));
    net.at(Epoch(0), 3_000);
    assert_eq!(
        import(&net, &store, other(&net)).unwrap(),
        taken(OBJECTS_EACH, 0)
    );
    let mut poster = net.poster_with(store, poster_key(), net.chain.clone());
    let posted = poster.step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "{posted}");
    assert_eq!(net.ledger().next_epoch().unwrap(), Epoch(1));
}

#[test]
fn objects_of_void_epochs_come_too() {
    let net = Network::open();
    let mut poster = net.poster();
    net.agree(Epoch(0));
    net.at(Epoch(0), 5_000);
    while poster.history().next() == Epoch(0) {
        poster.step(net.now()).unwrap();
    }
    let store = open(&net, "new");
    let imported = import(&net, &store, other(&net)).unwrap();
    assert_eq!(imported, taken(OBJECTS_EACH - 4, 1));
}

#[test]
fn what_nobody_here_signed_or_opens_no_commit_is_refused() {
    let (net, digest) = agreed();
    net.at(Epoch(0), 3_000);
    let [first, second, ..] = &net.hypernodes[..] else {
        unreachable!()
    };
    let report = first.signed_report(&net, Epoch(0));
    let mut forged = first.vote(&net, Epoch(0), Digest([1; 32])).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let hostile = vec![
        HyperNode::new(9).commit(&net, Epoch(0)),
        first.commit(&net, Epoch(1)),
        BoardObject::Vote(forged),
        BoardObject::Vote(vec![0xff; 64]),
        second.root_signature_by(&net, Epoch(0), digest, &first.ledger),
        first.reveal(&net, Epoch(0)),
        first.commit(&net, Epoch(0)),
        first.reveal_of(&net, Epoch(0), [9; 32], report.bytes()),
    ];
    let count = hostile.len() as u64;
    let store = open(&net, "new");
    let source = made_of_places(&net, hostile);
    let imported = import(&net, &store, source).unwrap();
    let expected = Imported {
        refused: count - 1,
        ..taken(1, 0)
    };
    assert_eq!(imported, expected);
    assert_eq!(all(&store, Epoch(0)), [first.commit(&net, Epoch(0))]);
}

/// Like [`made_of`], with several objects of a kind.
fn made_of_places(net: &Network, objects: Vec<BoardObject>) -> Source {
    let store = open(net, "hostile");
    for (n, object) in (0..).zip(objects) {
        let from = HyperNodeId([n; 32]);
        let place = format!("{}/{n}", object.kind());
        let placed = Placed {
            from,
            place,
            object,
        };
        store.insert_all(Epoch(0), &[placed]).unwrap();
    }
    Source::State(Store::open_for_reading(&net.dir.path().join("hostile"), net.network).unwrap())
}

#[test]
fn nothing_stored_is_replaced_and_a_second_vote_is_kept_as_a_proof() {
    let (net, _) = network(1);
    let liar = &net.hypernodes[3];
    let before = all(&net.store, Epoch(0));
    let second = liar.vote(&net, Epoch(0), Digest([5; 32]));
    let source = made_of(&net, "liar", Epoch(0), vec![second.clone()]);
    let imported = import(&net, &net.store, source).unwrap();
    let expected = Imported {
        contradictions: 1,
        ..taken(0, 1)
    };
    assert_eq!(imported, expected);
    assert_eq!(all(&net.store, Epoch(0)), before);
    let kept = net.store.contradictions(Some(Epoch(0))).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0].object, kept[0].from), (&second, liar.id()));
}

#[test]
fn a_wrong_root_ends_it_and_its_epoch_is_taken_for_who_contests_it() {
    let (net, poster) = network(1);
    net.agree(Epoch(1));
    let wrong = assay_aggregate::root::EpochRoot {
        root: Keccak([0xbb; 32]),
        ..net.outcome(poster.history()).root
    };
    net.post_by_hand(poster.history().signers(), &wrong);
    let store = open(&net, "new");
    let error = refusal(import(&net, &store, other(&net)));
    assert!(
        error.starts_with("epoch 1: digest of the root: recomputed"),
        "{error}"
    );
    assert_eq!(all(&store, Epoch(1)), all(&net.store, Epoch(1)));
}

#[test]
fn the_command_says_what_it_took() {
    let (net, _) = network(2);
    let dir = net.dir.path();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(assay_ledger::rpc::serve(net.chain.clone(), listener));
    write_config(&net, &url, 1, "");
    let config = std::fs::read_to_string(dir.join("bridge.toml")).unwrap();
    let config = config.replace("\"state\"", "\"new\"");
    std::fs::write(dir.join("new.toml"), config).unwrap();
    let line = "import --config new.toml --from state";
    let output = bridge(dir, &format!("{line} --json"));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "objects": 2 * OBJECTS_EACH, "refused": 0, "contradictions": 0, "next": 2,
    });
    assert_eq!(said, expected);
    let again = String::from_utf8(bridge(dir, line).stdout).unwrap();
    let expected = "0 objects taken, 0 refused, 0 contradictions kept; the next open epoch is 2\n";
    assert_eq!(again, expected);
}
