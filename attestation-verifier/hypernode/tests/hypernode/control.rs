//! Other HyperNodes that answer control probes, well or badly.

use assay_bench::network::{Act, Bench, Times, say, serve};
use assay_hypernode::clock;
use assay_hypernode::context::Context;
use assay_hypernode::control;
use assay_protocol::answers::ControlAnswer;
use assay_protocol::cose::{self, Signer as _};
use assay_protocol::ids::{Epoch, HyperNodeId, Nonce, Seed};
use assay_protocol::wire::{PeerReply, PeerRequest, Refusal, RefusalCode};
use assay_transport::Identity;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How the three others behave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The product's own server.
    Good,
    /// Right key, another nonce.
    WrongNonce,
    /// Right TLS key, answer signed by another.
    ForeignKey,
    /// Takes the connection and says nothing.
    Silent,
    /// A refusal.
    Refusing,
    /// Nobody listens.
    Gone,
}

/// Members 1 to 3 of a network are these peers; member 0 is the one tested, and knows where they are.
pub async fn network(times: Times, peers: [Peer; 3]) -> (Bench, Arc<Context>) {
    let mut listeners = Vec::new();
    for _ in 0..4 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let endpoint = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    let endpoints: Vec<String> = listeners.iter().map(endpoint).collect();
    let bench = Bench::with_ledger(times, endpoints.try_into().unwrap()).await;
    for ((number, listener), peer) in (1..).zip(listeners.drain(1..)).zip(peers) {
        start(&bench, number, listener, peer);
    }
    let context = bench.open(0);
    context.ledger.refresh().await.unwrap();
    (bench, context)
}

fn start(bench: &Bench, number: usize, listener: TcpListener, peer: Peer) {
    match peer {
        Peer::Good => {
            tokio::spawn(control::serve(bench.open(number), listener));
        }
        Peer::Gone => drop(listener),
        scripted => {
            let identity = bench.members[number].identity.clone();
            let listener = listener.into_std().unwrap();
            listener.set_nonblocking(false).unwrap();
            let id = bench.members[number].id();
            let signer = identity.clone();
            let script = move |PeerRequest::Control { nonce }| act(scripted, id, &signer, nonce);
            assay_bench::network::serve_on(listener, &identity, script);
        }
    }
}

fn answer(hypernode: HyperNodeId, nonce: Nonce, signer: &Identity) -> Vec<Act> {
    let answer = ControlAnswer {
        hypernode,
        nonce,
        at: clock::now(),
    };
    let bytes = cose::seal(answer, signer).bytes().to_vec();
    say(&PeerReply::Control { bytes })
}

fn act(peer: Peer, hypernode: HyperNodeId, signer: &Identity, nonce: Nonce) -> Vec<Act> {
    match peer {
        Peer::WrongNonce => answer(hypernode, Nonce([9; 32]), signer),
        Peer::ForeignKey => answer(hypernode, nonce, &Identity::generate().unwrap()),
        Peer::Refusing => {
            let text = Refusal::new(RefusalCode::Busy, "busy");
            say(&PeerReply::Refused(text))
        }
        _ => vec![Act::Hang],
    }
}

async fn good_answers(peers: [Peer; 3]) -> usize {
    let (_bench, context) = network(assay_bench::network::CALM, peers).await;
    let nonce = Nonce([7; 32]);
    let good = control::probe(&context, Epoch(0), nonce, Duration::from_secs(4)).await;
    for bytes in &good {
        let signed = |id: &HyperNodeId| cose::open::<ControlAnswer>(bytes, &id.0).ok();
        let answer = context
            .params
            .roster
            .iter()
            .find_map(|entry| signed(&entry.id));
        assert_eq!(answer.unwrap().payload().nonce, nonce);
    }
    good.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn enough_good_answers_do_not_wait_for_the_silent() {
    assert_eq!(
        good_answers([Peer::Silent, Peer::Good, Peer::Good]).await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_are_none() {
    assert_eq!(
        good_answers([Peer::WrongNonce, Peer::ForeignKey, Peer::Good]).await,
        1
    );
    assert_eq!(
        good_answers([Peer::Gone, Peer::Refusing, Peer::Silent]).await,
        0
    );
}

/// Anybody may stake after genesis; the audit believes the roster alone, so nobody else is asked.
#[tokio::test(flavor = "multi_thread")]
async fn who_registered_since_genesis_is_not_asked() {
    let peers = [Peer::Gone, Peer::Gone, Peer::Gone];
    let (bench, context) = network(assay_bench::network::CALM, peers).await;
    let stranger = Identity::generate().unwrap();
    let id = HyperNodeId(stranger.public_key());
    let signer = stranger.clone();
    let endpoint = serve(&stranger, move |PeerRequest::Control { nonce }| {
        answer(id, nonce, &signer)
    });
    bench.register_stranger(&stranger, Seed([0x77; 32]), &endpoint);
    context.ledger.refresh().await.unwrap();
    let known = context.ledger.peers(&context.own);
    assert!(known.iter().any(|(peer, _)| *peer == id));
    let good = control::probe(&context, Epoch(0), Nonce([7; 32]), Duration::from_secs(4)).await;
    assert_eq!(good.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_no_control_answer() {
    let bench = Bench::new(assay_bench::network::CALM);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    tokio::spawn(control::serve(bench.open(1), listener));
    let asked = tokio::task::spawn_blocking(move || {
        let stranger = Identity::generate().unwrap();
        let ask = || {
            let mut client = assay_bench::network::Client::connect(&endpoint, &stranger);
            client.ask::<_, PeerReply>(&PeerRequest::Control {
                nonce: Nonce([1; 32]),
            })
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(ask))
    });
    assert!(asked.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_key_is_no_peer() {
    let own = Identity::generate().unwrap();
    let endpoint = serve(&own, |PeerRequest::Control { nonce }| {
        let signer = Identity::generate().unwrap();
        act(
            Peer::WrongNonce,
            HyperNodeId(signer.public_key()),
            &signer,
            nonce,
        )
    });
    let nobody = || "127.0.0.1:1".to_owned();
    let endpoints = [nobody(), endpoint, nobody(), nobody()];
    let bench = Bench::with_ledger(assay_bench::network::CALM, endpoints).await;
    let context = bench.open(0);
    context.ledger.refresh().await.unwrap();
    let good = control::probe(&context, Epoch(0), Nonce([1; 32]), Duration::from_secs(4)).await;
    assert_eq!(good.len(), 0);
}
