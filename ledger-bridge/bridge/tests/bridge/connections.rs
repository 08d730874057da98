//! The board on the network: who gets in, who keeps a place, and how long anybody may take.

use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_bridge::board::server::{self, Limits};
use assay_bridge::system_now;
use assay_protocol::cose::Signer;
use assay_protocol::ids::{Epoch, HyperNodeId};
use assay_protocol::limits::BOARD_FRAME_BYTES_MAX;
use assay_protocol::wire::{self, BoardObject, BoardReply, BoardRequest, Refusal, RefusalCode};
use assay_transport::frames::TransportError;
use assay_transport::{Identity, frames, tls};
use rustls::{ClientConnection, StreamOwned};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;

use crate::network::{EPOCH_MS, Network, PLAN};

const E: Epoch = Epoch(0);
const READ: BoardRequest = BoardRequest::Read { epoch: E, after: 0 };
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3_600);
/// What should come at once, comes within it on a machine under load.
const WAIT: Duration = Duration::from_secs(30);
/// What is done in one go is never too late for it.
const SHORT: Duration = Duration::from_millis(300);

/// Only what a test sets ends a connection.
const ENDLESS: Limits = Limits {
    handshakes: 64,
    connections: 64,
    connections_each: 4,
    handshake: NEVER,
    frame: NEVER,
    idle: NEVER,
};

/// The board of a network behind a port.
pub struct Served {
    runtime: Runtime,
    pub address: SocketAddr,
    pub key: [u8; 32],
}

/// A client's connection.
struct Line(StreamOwned<ClientConnection, TcpStream>);

impl Served {
    pub fn new(net: &Network, limits: Limits) -> Self {
        let identity = Identity::generate().unwrap();
        let (runtime, key) = (Runtime::new().unwrap(), identity.public_key());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let board = Arc::new(net.board_over(net.store.clone()));
        runtime.spawn(async move {
            server::serve(board, &identity, listener, system_now, limits).await
        });
        Self {
            runtime,
            address,
            key,
        }
    }

    /// A connection from an address of this machine, before the handshake.
    fn socket(&self, from: [u8; 4]) -> TcpStream {
        let connecting = async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((IpAddr::from(from), 0).into()).unwrap();
            socket.connect(self.address).await
        };
        let connected = self.runtime.block_on(connecting).unwrap();
        let stream = connected.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.set_write_timeout(Some(WAIT)).unwrap();
        stream
    }

    fn line(&self, client: &Identity, socket: TcpStream) -> Line {
        let key = self.key;
        let config = tls::client_config(client, Arc::new(move |shown: &[u8; 32]| *shown == key));
        let connection = ClientConnection::new(config.unwrap(), tls::server_name()).unwrap();
        Line(StreamOwned::new(connection, socket))
    }

    fn connect(&self, client: &Identity) -> Line {
        self.line(client, self.socket([127, 0, 0, 1]))
    }
}

impl Line {
    fn ask(&mut self, request: &BoardRequest) -> Result<BoardReply, TransportError> {
        frames::write(&mut self.0, request, BOARD_FRAME_BYTES_MAX)?;
        frames::read(&mut self.0, BOARD_FRAME_BYTES_MAX)
    }
}

/// Whether the other side closes a connection that says nothing.
fn is_closed(stream: &mut impl std::io::Read) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => is_broken(&error),
    }
}

fn is_broken(error: &std::io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn the_roster_talks_over_tls_and_nobody_else() {
    // The end of epoch 0 is over by the wall clock, and commits are taken for an hour.
    let plan = [
        ("= 1000\nr", "= 3500000\nr"),
        ("= 2000", "= 3600000"),
        ("= 3000", "= 3700000"),
        ("= 5000", "= 3800000"),
    ]
    .into_iter()
    .fold(PLAN.to_owned(), |plan, (a, b)| plan.replacen(a, b, 1));
    let net = Network::open_at(system_now().0 - EPOCH_MS - 1_000, &plan);
    let served = Served::new(&net, Limits::default());
    let ask = |client, request| served.connect(client).ask(request);
    let [h, other, ..] = &net.hypernodes[..] else {
        unreachable!()
    };
    let commit = h.commit(&net, E);
    let post = BoardRequest::Post {
        epoch: E,
        object: commit.clone(),
    };
    let stored = ask(&h.identity, &post).unwrap();
    assert_eq!(stored, BoardReply::Stored { number: 1 });
    let objects = vec![(1, commit)];
    let seen = ask(&other.identity, &READ).unwrap();
    assert_eq!(seen, BoardReply::Objects { objects });
    let not_his = ask(&other.identity, &post).unwrap();
    assert!(matches!(
        not_his,
        BoardReply::Refused(Refusal {
            code: RefusalCode::NotAllowed,
            ..
        })
    ));
    let stranger = Identity::generate().unwrap();
    assert!(ask(&stranger, &READ).is_err(), "closed in the handshake");
}

#[test]
fn a_key_keeps_its_newest_connections_and_takes_nobody_else_s() {
    let net = Network::open();
    let served = Served::new(&net, ENDLESS);
    let [greedy, other, ..] = &net.hypernodes[..] else {
        unreachable!()
    };
    let mut others = served.connect(&other.identity);
    others.ask(&READ).unwrap();
    let mut lines = Vec::new();
    for _ in 0..3 * ENDLESS.connections_each {
        let mut line = served.connect(&greedy.identity);
        line.ask(&READ).unwrap();
        lines.push(line);
    }
    let kept = lines.split_off(lines.len() - ENDLESS.connections_each);
    assert!(lines.iter_mut().all(|line| is_closed(&mut line.0)));
    for mut line in kept.into_iter().chain([others]) {
        line.ask(&READ).unwrap();
    }
}

#[test]
fn silent_strangers_take_the_place_of_nobody_but_each_other() {
    let net = Network::open();
    let limits = Limits {
        handshakes: 4,
        ..ENDLESS
    };
    let served = Served::new(&net, limits);
    let member = &net.hypernodes[0].identity;
    let mut connected = served.connect(member);
    connected.ask(&READ).unwrap();
    let slow = served.socket([127, 0, 0, 2]);
    let mut silent: Vec<TcpStream> = (0..40).map(|_| served.socket([127, 0, 0, 1])).collect();
    // Three keep places beside the slow one.
    assert!(silent.iter_mut().take(37).all(is_closed));
    connected.ask(&READ).unwrap();
    served.line(member, slow).ask(&READ).unwrap();
    // Also from where the silent ones are.
    served.connect(member).ask(&READ).unwrap();
}

#[test]
fn a_stranger_that_shows_no_key_is_closed_in_time() {
    let net = Network::open();
    let limits = Limits {
        handshake: SHORT,
        ..ENDLESS
    };
    let served = Served::new(&net, limits);
    assert!(is_closed(&mut served.socket([127, 0, 0, 1])));
}

#[test]
fn a_request_that_is_begun_and_not_ended_is_closed_long_before_a_silent_peer() {
    let net = Network::open();
    let limits = Limits {
        frame: SHORT,
        ..ENDLESS
    };
    let served = Served::new(&net, limits);
    let member = &net.hypernodes[0].identity;
    let mut silent = served.connect(member);
    silent.ask(&READ).unwrap();
    let large = BoardRequest::Post {
        epoch: E,
        object: BoardObject::Reveal(vec![0; 1024 * 1024]),
    };
    let whole = wire::frame(&large, BOARD_FRAME_BYTES_MAX).unwrap();
    for begun in [1, whole.len() - 1] {
        let mut line = served.connect(member);
        line.0.write_all(&whole[..begun]).unwrap();
        assert!(is_closed(&mut line.0), "{begun} bytes were sent");
    }
    silent.ask(&READ).unwrap();
}

#[test]
fn a_peer_that_does_not_take_its_answers_is_closed_in_time() {
    let net = Network::open();
    for n in 0..7 {
        let object = BoardObject::Reveal(vec![n; 1024 * 1024]);
        net.store.insert(E, &HyperNodeId([n; 32]), &object).unwrap();
    }
    let limits = Limits {
        frame: SHORT,
        ..ENDLESS
    };
    let served = Served::new(&net, limits);
    let mut line = served.connect(&net.hypernodes[0].identity);
    let request = wire::frame(&READ, BOARD_FRAME_BYTES_MAX).unwrap();
    let started = Instant::now();
    let error = loop {
        if let Err(error) = line.0.write_all(&request) {
            break error;
        }
        assert!(started.elapsed() < WAIT, "still open");
    };
    assert!(is_broken(&error), "{error}");
}
