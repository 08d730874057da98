//! The board on the network: TLS 1.3 with raw public keys; only HyperNodes of the network get past the handshake.
//!
//! Whoever is in has places of its own, apart from who is not in yet: none of them can shut out others, see [`Limits`].

use assay_protocol::ids::{HyperNodeId, UnixMs};
use assay_protocol::limits::BOARD_FRAME_BYTES_MAX;
use assay_protocol::wire::{self, BoardReply, BoardRequest, FrameError, Refusal, RefusalCode};
use assay_transport::frames::{TransportError, aio};
use assay_transport::identity::Identity;
use assay_transport::tls;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Board;
use super::places::{Place, Places};

/// Requests worked on at once; each may take a page of the store.
const ANSWERS_MAX: usize = 8;
/// Pause after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the server's time comes from.
pub type Now = fn() -> UnixMs;

type Tls = TlsStream<TcpStream>;

/// How many connections are served at once, and how long one may take for what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Handshakes; one more closes the oldest of the address with most.
    pub handshakes: usize,
    /// Connections after the handshake; one more closes the oldest of the key with most.
    pub connections: usize,
    /// Connections of one key; one more closes its oldest, which its owner may have lost. A HyperNode needs two.
    pub connections_each: usize,
    /// For a handshake.
    pub handshake: Duration,
    /// For a request once it is begun, and for its answer to be taken.
    pub frame: Duration,
    /// From an answer to the next request.
    pub idle: Duration,
}

/// 128 seats have all their connections, and all of this fits the 1,024 descriptors that a process has by default.
impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 64,
            connections: 768,
            connections_each: 4,
            handshake: Duration::from_secs(10),
            frame: Duration::from_secs(30),
            idle: Duration::from_secs(300),
        }
    }
}

struct Server {
    board: Arc<Board>,
    acceptor: TlsAcceptor,
    limits: Limits,
    now: Now,
    peers: Places<HyperNodeId>,
    answers: Arc<Semaphore>,
}

/// Serves the board on `listener` until the task is dropped.
pub async fn serve(
    board: Arc<Board>,
    identity: &Identity,
    listener: TcpListener,
    now: Now,
    limits: Limits,
) -> anyhow::Result<()> {
    let asked = Arc::clone(&board);
    let admits = move |key: &[u8; 32]| asked.admits(&HyperNodeId(*key));
    let server = Arc::new(Server {
        board,
        acceptor: TlsAcceptor::from(tls::server_config(identity, Arc::new(admits))?),
        limits,
        now,
        peers: Places::new(limits.connections, limits.connections_each),
        answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
    });
    let strangers = Places::new(limits.handshakes, limits.handshakes);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let (server, place) = (Arc::clone(&server), strangers.take(source(address)));
                tokio::spawn(async move { server.connection(stream, place).await });
            }
            // Out of descriptors, or the peer is already gone: neither may stop the board.
            Err(error) => {
                crate::log::say(format!("board: connection not accepted: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whom an address belongs to: whoever has one of IPv6 has all with the same 64 bits before.
fn source(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

impl Server {
    /// A peer that leaves, or never was one, is no event for the operator.
    async fn connection(&self, stream: TcpStream, place: Place<IpAddr>) {
        if let Some(Ok(Some((stream, peer)))) = place.hold(self.handshake(stream)).await {
            let place = self.peers.take(peer);
            let _ = place.hold(self.conversation(stream, peer)).await;
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Result<Option<(Tls, HyperNodeId)>, TransportError> {
        stream.set_nodelay(true)?;
        let stream = within(self.limits.handshake, self.acceptor.accept(stream)).await?;
        let peer = tls::peer_key(stream.get_ref().1.peer_certificates()).map(HyperNodeId);
        Ok(peer.map(|peer| (stream, peer)))
    }

    async fn conversation(&self, mut stream: Tls, peer: HyperNodeId) -> Result<(), TransportError> {
        let Limits { frame, idle, .. } = self.limits;
        loop {
            let is_over = within(idle, stream.fill_buf()).await?.is_empty();
            if is_over {
                return Ok(());
            }
            let request = within(frame, aio::read(&mut stream, BOARD_FRAME_BYTES_MAX)).await?;
            let reply = self.answer(peer, request).await?;
            within(frame, send(&mut stream, &reply)).await?;
        }
    }

    /// The frame of an answer; the answer itself is gone by then.
    async fn answer(
        &self,
        peer: HyperNodeId,
        request: BoardRequest,
    ) -> Result<Vec<u8>, TransportError> {
        let permit = Arc::clone(&self.answers).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let (board, now) = (Arc::clone(&self.board), self.now);
        let work = move || -> Result<Vec<u8>, FrameError> {
            // With the work, which goes on when its connection is closed.
            let _permit = permit;
            wire::frame(&answer(&board, peer, request, now()), BOARD_FRAME_BYTES_MAX)
        };
        let framed = tokio::task::spawn_blocking(work).await;
        Ok(framed.map_err(io::Error::other)??)
    }
}

async fn send(stream: &mut Tls, frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame).await?;
    stream.flush().await
}

async fn within<T, E>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, TransportError>
where
    TransportError: From<E>,
{
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    Ok(timeout(limit, work).await.map_err(late)??)
}

/// One request, one answer.
pub fn answer(board: &Board, peer: HyperNodeId, request: BoardRequest, now: UnixMs) -> BoardReply {
    let reply = match request {
        BoardRequest::Post { epoch, object } => {
            let posted = board.post(peer, epoch, &object, now);
            if let Err(Refusal { code, text }) = &posted
                && *code != RefusalCode::Busy
            {
                crate::log::say(format!("board: refused: {text}"));
            }
            posted.map(|number| BoardReply::Stored { number })
        }
        BoardRequest::Read { epoch, after } => board
            .read(epoch, after)
            .map(|objects| BoardReply::Objects { objects }),
    };
    reply.unwrap_or_else(BoardReply::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_one_peer_has_are_one_source() {
        let of = |text: &str| source(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1:5"), "192.0.2.1");
        assert_eq!(of("[::ffff:192.0.2.1]:5"), "192.0.2.1");
        assert_eq!(of("[2001:db8:1:2:3:4:5:6]:7"), "2001:db8:1:2::");
    }
}
