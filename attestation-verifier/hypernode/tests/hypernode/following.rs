//! Following the ledger: what its node says once need not be true.

use assay_aggregate::inputs::History;
use assay_aggregate::root::EpochRoot;
use assay_bench::network::{Bench, CALM, say, serve};
use assay_hypernode::context::Context;
use assay_hypernode::explain;
use assay_hypernode::follow::{follow_for, is_undone};
use assay_hypernode::ledger_view::{LedgerView, Place};
use assay_ledger::Action;
use assay_protocol::cose::Signer as _;
use assay_protocol::ids::{Address, Digest, Epoch, Keccak, NetworkId};
use assay_protocol::wire::{BoardReply, BoardRequest};
use assay_transport::Identity;
use assay_transport::board::Board;
use std::time::Duration;

const E: Epoch = Epoch(0);
const LATER: Epoch = Epoch(2);

async fn bench() -> Bench {
    let nowhere = [const { String::new() }; 4].map(|_| "127.0.0.1:1".to_owned());
    Bench::with_ledger(CALM, nowhere).await
}

/// A board on which nobody has posted anything.
fn empty_board() -> Board {
    let identity = Identity::generate().unwrap();
    let objects = Vec::new();
    let nothing = BoardReply::Objects { objects };
    let address = serve(&identity, move |_: BoardRequest| say(&nothing));
    let address = address.parse().unwrap();
    Board::new(
        Identity::generate().unwrap(),
        address,
        identity.public_key(),
    )
}

async fn follow(context: &Context) -> Result<(), String> {
    let followed = follow_for(context, &mut empty_board(), Duration::from_secs(1)).await;
    followed.map_err(|error| explain(&error))
}

/// Everybody signs this root of epoch 0.
fn post_root(bench: &Bench) {
    bench.go_on(bench.params.epoch_ms + 1_000);
    let ledger = bench.ledger();
    let committee = ledger.committee_of(E).unwrap();
    let root = EpochRoot {
        network: bench.params.network_id(),
        epoch: E,
        round: 0,
        input_set: Digest([1; 32]),
        committee: committee.hash(),
        root: Keccak([2; 32]),
        leaf_count: 1,
        evidence_root: Digest([3; 32]),
        policy_digest: Digest([4; 32]),
        cumulative_reward: 0,
        next_committee: ledger.committee_of(E.next()).unwrap().hash(),
    };
    let digest = root.digest(bench.params.chain_id, &ledger.contract());
    let sign = |account: &Address| {
        let mut keys = bench.members.iter().map(|member| &member.ledger_key);
        let key = keys.find(|key| key.address() == *account)?;
        key.sign_digest(&digest).ok()
    };
    let members = committee.members().iter();
    let signatures: Vec<_> = members.map(|member| sign(&member.address)).collect();
    let post = Action::post_root(&root, &committee, &signatures);
    let key = &bench.members[0].ledger_key;
    ledger.submit(key, &post).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_followed_as_void_is_undone_when_the_ledger_has_a_root_of_it() {
    let bench = bench().await;
    let context = bench.open(0);
    // As its node said once.
    context.history(History::void);
    context.note_void(E);
    assert!(!is_undone(&context).await.unwrap(), "the node is behind");
    post_root(&bench);
    assert!(is_undone(&context).await.unwrap());
    let said = follow(&context).await.unwrap_err();
    assert!(said.starts_with("epoch 0: the board shows no"), "{said}");
    assert_eq!(context.history(|history| history.next()), E);
    assert_eq!(context.voids(), []);
    assert!(!is_undone(&context).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_epoch_is_remembered_until_a_root_is_followed() {
    let bench = bench().await;
    let context = bench.open(0);
    bench.go_on(bench.params.epoch_ms + bench.params.void_after_ms + 1_000);
    let key = &bench.members[0].ledger_key;
    let void = Action::post_void(E);
    bench.ledger().submit(key, &void).unwrap();
    follow(&context).await.unwrap();
    assert_eq!(context.history(|history| history.next()), E.next());
    assert_eq!(context.voids(), [E]);
    assert!(!is_undone(&context).await.unwrap());
    context.note_followed(E.next(), Keccak([1; 32]), 0);
    assert_eq!(context.voids(), []);
}

/// A contract at the same address of another chain, or another network's.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_or_network_is_not_believed() {
    let bench = bench().await;
    let config = &bench.members[0].config;
    let view = |place| LedgerView::new(config.node(), place, Default::default());
    let place = Place::from(&bench.params);
    view(place).refresh().await.unwrap();
    let other = Place {
        chain_id: 1,
        ..place
    };
    let said = explain(&view(other).refresh().await.unwrap_err());
    assert!(said.contains("chain id: expected 1, got 31337"), "{said}");
    let other = Place {
        network: NetworkId([7; 32]),
        ..place
    };
    let said = explain(&view(other).refresh().await.unwrap_err());
    let network = bench.params.network_id();
    let expected = format!("network id: expected {}, got {network}", other.network);
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("\nhint: does `ledger_url`"), "{said}");
}

/// A board that lacks votes for long must not cost a reading of everything each time it is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_board_lacks_votes_what_was_read_is_not_read_anew_at_once() {
    let bench = bench().await;
    let context = bench.open(0);
    post_root(&bench);
    // Read wrongly: one has no say.
    let wrong = || bench.params.roster[1..].to_vec();
    let seats = || context.weights(LATER).map(|weights| weights.len());
    context
        .history(|history| history.learn(LATER, wrong()))
        .unwrap();
    follow(&context).await.unwrap_err();
    assert_eq!(seats(), Some(4), "read anew");
    let relearn = context.history(|history| history.relearn(LATER, wrong()));
    relearn.unwrap();
    follow(&context).await.unwrap_err();
    assert_eq!(seats(), Some(3), "it was a moment ago");
    context.relearn().await.unwrap();
    assert_eq!(seats(), Some(4));
}
