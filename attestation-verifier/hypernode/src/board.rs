//! The board, seen from a HyperNode: post what is signed, read what others posted. The bridge is transport only,
//! so nothing read here counts before it is opened.

use crate::challenge::{ANSWER_WAIT, CONNECT_WAIT};
use crate::config::BridgeSection;
use anyhow::{Context as _, Result, bail};
use assay_aggregate::inputs::SIGNATURES_MAX;
use assay_protocol::cose::PublicKey;
use assay_protocol::ids::Epoch;
use assay_protocol::limits::{BOARD_FRAME_BYTES_MAX, ROSTER_MAX};
use assay_protocol::wire::{BoardObject, BoardReply, BoardRequest, RefusalCode};
use assay_transport::frames::aio;
use assay_transport::{Identity, tls};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Most objects of an epoch: each HyperNode has five, and signatures under roots.
const OBJECTS_MAX: usize = (5 + SIGNATURES_MAX) * ROSTER_MAX;

/// A connection to the board, made when needed and made anew when broken.
pub struct Board {
    identity: Identity,
    bridge: BridgeSection,
    stream: Option<TlsStream<TcpStream>>,
}

/// What became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// Durable on the board.
    Stored,
    /// Not now: ask again.
    TooEarly,
    /// Never: too late, or something else is there already.
    Refused(String),
}

impl Board {
    /// A board at the bridge of the configuration.
    pub fn new(identity: Identity, bridge: BridgeSection) -> Self {
        Self {
            identity,
            bridge,
            stream: None,
        }
    }

    /// Posts an object.
    pub async fn post(&mut self, epoch: Epoch, object: BoardObject) -> Result<Posted> {
        match self.ask(&BoardRequest::Post { epoch, object }).await? {
            BoardReply::Stored { .. } => Ok(Posted::Stored),
            BoardReply::Refused(refusal) if refusal.code == RefusalCode::Busy => {
                Ok(Posted::TooEarly)
            }
            BoardReply::Refused(refusal) => Ok(Posted::Refused(refusal.to_string())),
            BoardReply::Objects { .. } => bail!("board: expected a receipt, got objects"),
        }
    }

    /// Objects after number `after`.
    pub async fn read(&mut self, epoch: Epoch, after: u64) -> Result<Vec<(u64, BoardObject)>> {
        match self.ask(&BoardRequest::Read { epoch, after }).await? {
            BoardReply::Objects { objects } => growing(objects, after),
            BoardReply::Refused(refusal) => bail!("board: {refusal}"),
            BoardReply::Stored { .. } => bail!("board: expected objects, got a receipt"),
        }
    }

    /// Shows all objects of an epoch, one page after the other.
    pub async fn read_all(
        &mut self,
        epoch: Epoch,
        mut show: impl FnMut(BoardObject),
    ) -> Result<()> {
        let (mut count, mut after) = (0usize, 0);
        loop {
            let objects = self.read(epoch, after).await?;
            let Some((last, _)) = objects.last() else {
                return Ok(());
            };
            after = *last;
            count = count.saturating_add(objects.len());
            if count > OBJECTS_MAX {
                bail!("board: more than {OBJECTS_MAX} objects in epoch {epoch}");
            }
            objects.into_iter().for_each(|(_, object)| show(object));
        }
    }

    async fn ask(&mut self, request: &BoardRequest) -> Result<BoardReply> {
        let asked = timeout(ANSWER_WAIT, self.exchange(request)).await;
        let address = self.bridge.address;
        let answered = match asked {
            Ok(answered) => answered,
            Err(_) => Err(anyhow::anyhow!("no answer within {ANSWER_WAIT:?}")),
        };
        if answered.is_err() {
            self.stream = None;
        }
        answered.with_context(|| format!("board {address}\nhint: is the bridge running there?"))
    }

    async fn exchange(&mut self, request: &BoardRequest) -> Result<BoardReply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => timeout(CONNECT_WAIT, self.connect())
                .await
                .with_context(|| format!("no connection within {CONNECT_WAIT:?}"))??,
        };
        aio::write(&mut stream, request, BOARD_FRAME_BYTES_MAX).await?;
        let reply = aio::read(&mut stream, BOARD_FRAME_BYTES_MAX).await?;
        self.stream = Some(stream);
        Ok(reply)
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let expected = self.bridge.key.0;
        let admit = move |key: &PublicKey| *key == expected;
        let connector = TlsConnector::from(tls::client_config(&self.identity, Arc::new(admit))?);
        let socket = TcpStream::connect(self.bridge.address).await?;
        socket.set_nodelay(true)?;
        Ok(connector.connect(tls::server_name(), socket).await?)
    }
}

/// Numbers after `after`, each larger than the one before: else the same objects could come for ever.
fn growing(objects: Vec<(u64, BoardObject)>, after: u64) -> Result<Vec<(u64, BoardObject)>> {
    let mut last = after;
    for (number, _) in &objects {
        if *number <= last {
            bail!("board: numbers do not grow: {last}, then {number}");
        }
        last = *number;
    }
    Ok(objects)
}
