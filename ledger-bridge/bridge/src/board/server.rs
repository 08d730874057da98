//! The board on the network: TLS 1.3 with raw public keys; only HyperNodes of the network get past the handshake.

use assay_protocol::ids::{HyperNodeId, UnixMs};
use assay_protocol::limits::BOARD_FRAME_BYTES_MAX;
use assay_protocol::wire::{BoardReply, BoardRequest, Refusal, RefusalCode};
use assay_transport::frames::{TransportError, aio};
use assay_transport::identity::Identity;
use assay_transport::tls;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Board;

const CONNECTIONS_MAX: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection silent for so long is closed; so is one whose peer does not take its answer.
const IDLE: Duration = Duration::from_secs(300);

/// Where the server's time comes from.
pub type Now = fn() -> UnixMs;

/// Serves the board on `listener` until the task is dropped.
pub async fn serve(
    board: Arc<Board>,
    identity: &Identity,
    listener: TcpListener,
    now: Now,
) -> anyhow::Result<()> {
    let asked = Arc::clone(&board);
    let admits = move |key: &[u8; 32]| asked.admits(&HyperNodeId(*key));
    let acceptor = TlsAcceptor::from(tls::server_config(identity, Arc::new(admits))?);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let (stream, board, acceptor) = match listener.accept().await {
            Ok((stream, _)) => (stream, Arc::clone(&board), acceptor.clone()),
            // Out of descriptors, or the peer is already gone: neither may stop the board.
            Err(error) => {
                crate::log::say(format!("board: connection not accepted: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tokio::spawn(async move {
            // A peer that leaves, or never was one, is no event for the operator.
            let _ = connection(board, acceptor, stream, now).await;
            drop(permit);
        });
    }
}

async fn connection(
    board: Arc<Board>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    now: Now,
) -> Result<(), TransportError> {
    stream.set_nodelay(true)?;
    let mut stream = timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(late)??;
    let Some(peer) = tls::peer_key(stream.get_ref().1.peer_certificates()).map(HyperNodeId) else {
        return Ok(());
    };
    loop {
        let request = timeout(IDLE, read(&mut stream)).await.map_err(late)??;
        let board = Arc::clone(&board);
        let reply = tokio::task::spawn_blocking(move || answer(&board, peer, request, now()))
            .await
            .map_err(std::io::Error::other)?;
        timeout(IDLE, aio::write(&mut stream, &reply, BOARD_FRAME_BYTES_MAX))
            .await
            .map_err(late)??;
    }
}

async fn read(stream: &mut TlsStream<TcpStream>) -> Result<BoardRequest, TransportError> {
    aio::read(stream, BOARD_FRAME_BYTES_MAX).await
}

fn late(_: tokio::time::error::Elapsed) -> std::io::Error {
    std::io::ErrorKind::TimedOut.into()
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
