//! Control probes: before a node counts as silent, two other HyperNodes must have answered (ARCHITECTURE section 8).

use crate::clock;
use crate::context::Context;
use anyhow::Result;
use assay_protocol::answers::ControlAnswer;
use assay_protocol::cose::{self, PublicKey};
use assay_protocol::ids::{Epoch, HyperNodeId, Nonce};
use assay_protocol::limits::SMALL_OBJECT_BYTES_MAX;
use assay_protocol::wire::{PeerReply, PeerRequest};
use assay_transport::frames::aio;
use assay_transport::tls;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Control connections served at once.
const CONNECTIONS_MAX: usize = 1_024;
/// A control connection lives no longer than this: one short question.
const CONNECTION_LIFE: Duration = Duration::from_secs(1);
/// Pause when the system has no socket to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers control probes of HyperNodes that were there at genesis or have a say until the listener fails.
pub async fn serve(context: Arc<Context>, listener: TcpListener) -> Result<()> {
    let asked = Arc::clone(&context);
    let admit = move |key: &PublicKey| asked.admits(&HyperNodeId(*key));
    let acceptor = TlsAcceptor::from(tls::server_config(&context.identity, Arc::new(admit))?);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Full: closing at once beats letting honest peers wait behind strangers who say nothing.
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let (context, acceptor) = (Arc::clone(&context), acceptor.clone());
        tokio::spawn(async move {
            let _ = timeout(CONNECTION_LIFE, answer(&context, &acceptor, socket)).await;
            drop(permit);
        });
    }
}

async fn answer(context: &Context, acceptor: &TlsAcceptor, socket: TcpStream) -> Result<()> {
    let mut stream = acceptor.accept(socket).await?;
    let PeerRequest::Control { nonce } = aio::read(&mut stream, SMALL_OBJECT_BYTES_MAX).await?;
    let answer = ControlAnswer {
        hypernode: context.own,
        nonce,
        at: clock::now(),
    };
    let bytes = cose::seal(answer, &context.identity).bytes().to_vec();
    Ok(aio::write(
        &mut stream,
        &PeerReply::Control { bytes },
        SMALL_OBJECT_BYTES_MAX,
    )
    .await?)
}

/// Asks the other HyperNodes that have a say in the epoch; returns the good signed answers that came in time.
pub async fn probe(
    context: &Arc<Context>,
    epoch: Epoch,
    nonce: Nonce,
    within: Duration,
) -> Vec<Vec<u8>> {
    let roster = context.weights(epoch).unwrap_or_default();
    let mut asked = JoinSet::new();
    for (peer, endpoint) in context.ledger.peers(&context.own) {
        // Whoever staked since genesis is registered, too, and so is who has left: their answers do not count.
        if !roster.contains_key(&peer) {
            continue;
        }
        let context = Arc::clone(context);
        asked.spawn(async move {
            let asking = ask(&context, peer, &endpoint, nonce);
            timeout(within, asking).await.ok().and_then(Result::ok)
        });
    }
    let mut good = Vec::new();
    while let Some(answered) = asked.join_next().await {
        good.extend(answered.ok().flatten());
        if good.len() >= context.params.control_probes as usize {
            break;
        }
    }
    good
}

async fn ask(
    context: &Context,
    peer: HyperNodeId,
    endpoint: &str,
    nonce: Nonce,
) -> Result<Vec<u8>> {
    let admit = move |key: &PublicKey| *key == peer.0;
    let connector = TlsConnector::from(tls::client_config(&context.identity, Arc::new(admit))?);
    let socket = TcpStream::connect(endpoint).await?;
    let mut stream = connector.connect(tls::server_name(), socket).await?;
    aio::write(
        &mut stream,
        &PeerRequest::Control { nonce },
        SMALL_OBJECT_BYTES_MAX,
    )
    .await?;
    match aio::read(&mut stream, SMALL_OBJECT_BYTES_MAX).await? {
        PeerReply::Control { bytes } => {
            let answer = cose::open::<ControlAnswer>(&bytes, &peer.0)?;
            let same = answer.payload().nonce == nonce && answer.payload().hypernode == peer;
            let wrong = || io::Error::other("control answer to another nonce");
            same.then_some(bytes).ok_or_else(|| wrong().into())
        }
        PeerReply::Refused(refusal) => Err(io::Error::other(refusal.to_string()).into()),
    }
}
