//! The bridge's board, seen from who may read and post there. The bridge is transport only: nothing read here counts before
//! it is opened.

use assay_protocol::cose::PublicKey;
use assay_protocol::endpoint::Endpoint;
use assay_protocol::ids::Epoch;
use assay_protocol::limits::{BOARD_EPOCH_OBJECTS_MAX, BOARD_FRAME_BYTES_MAX};
use assay_protocol::wire::{BoardObject, BoardReply, BoardRequest, Refusal, RefusalCode};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::frames::{TransportError, aio};
use crate::identity::Identity;
use crate::tls;

/// Longest wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for an answer, if nothing else is said.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Why the board did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// It cannot be asked.
    #[error("board {address}\nhint: is the bridge running there?")]
    Away {
        /// Where it should be.
        address: Endpoint,
        /// Why.
        source: TransportError,
    },
    /// It refused.
    #[error("board: {0}")]
    Refused(Refusal),
    /// It answered something else than was asked.
    #[error("board: expected {expected}, got {actual}")]
    Answered {
        /// What was asked for.
        expected: &'static str,
        /// What came.
        actual: &'static str,
    },
    /// The same objects could come for ever.
    #[error("board: numbers do not grow: {before}, then {after}")]
    Numbers {
        /// A number.
        before: u64,
        /// The next one.
        after: u64,
    },
    /// More than HyperNodes can have posted.
    #[error("board: more than {BOARD_EPOCH_OBJECTS_MAX} objects in epoch {0}")]
    TooMany(Epoch),
}

/// A connection to the board, made when needed and made anew when broken.
pub struct Board {
    identity: Identity,
    address: Endpoint,
    key: PublicKey,
    answer_wait: Duration,
    stream: Option<TlsStream<TcpStream>>,
}

/// What became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// Durable on the board.
    Stored,
    /// Not now, too early or the board's disk failed: ask again.
    NotNow,
    /// Never: too late, or something else is there already.
    Refused(String),
}

impl Board {
    /// The board at `address` whose server has this Ed25519 key.
    pub fn new(identity: Identity, address: Endpoint, key: PublicKey) -> Self {
        Self {
            identity,
            address,
            key,
            answer_wait: ANSWER_WAIT,
            stream: None,
        }
    }

    /// The same with another longest wait for an answer.
    pub fn waiting(self, answer_wait: Duration) -> Self {
        Self {
            answer_wait,
            ..self
        }
    }

    /// Posts an object.
    pub async fn post(&mut self, epoch: Epoch, object: BoardObject) -> Result<Posted, BoardError> {
        match self.ask(&BoardRequest::Post { epoch, object }).await? {
            BoardReply::Stored { .. } => Ok(Posted::Stored),
            BoardReply::Refused(refusal) => Ok(refused(&refusal)),
            BoardReply::Objects { .. } => Err(BoardError::Answered {
                expected: "a receipt",
                actual: "objects",
            }),
        }
    }

    /// Objects after number `after`, ascending.
    pub async fn read(
        &mut self,
        epoch: Epoch,
        after: u64,
    ) -> Result<Vec<(u64, BoardObject)>, BoardError> {
        match self.ask(&BoardRequest::Read { epoch, after }).await? {
            BoardReply::Objects { objects } => growing(objects, after),
            BoardReply::Refused(refusal) => Err(BoardError::Refused(refusal)),
            BoardReply::Stored { .. } => Err(BoardError::Answered {
                expected: "objects",
                actual: "a receipt",
            }),
        }
    }

    /// Shows all objects of an epoch, one page after the other, until `show` fails.
    pub async fn read_all<E: From<BoardError>>(
        &mut self,
        epoch: Epoch,
        mut show: impl FnMut(BoardObject) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reading = Reading::of(epoch);
        loop {
            let objects = reading.page(self).await?;
            if objects.is_empty() {
                return Ok(());
            }
            for object in objects {
                show(object)?;
            }
        }
    }

    async fn ask(&mut self, request: &BoardRequest) -> Result<BoardReply, BoardError> {
        // A broken connection, and one whose answer may still come, is not used again.
        let answered = match self.stream.take() {
            Some(stream) => Ok(stream),
            None => within("connection", CONNECT_WAIT, self.connect()).await,
        };
        let answered = match answered {
            Ok(stream) => within("answer", self.answer_wait, exchange(stream, request)).await,
            Err(error) => Err(error),
        };
        let (stream, reply) = answered.map_err(|source| BoardError::Away {
            address: self.address.clone(),
            source,
        })?;
        self.stream = Some(stream);
        Ok(reply)
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, TransportError> {
        let expected = self.key;
        let admit = move |key: &PublicKey| *key == expected;
        let config = tls::client_config(&self.identity, Arc::new(admit));
        let connector = TlsConnector::from(config.map_err(io::Error::other)?);
        let socket = TcpStream::connect(self.address.as_ref()).await?;
        socket.set_nodelay(true)?;
        Ok(connector.connect(tls::server_name(), socket).await?)
    }
}

/// How far the board of an epoch was read: no board shows objects without end.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    epoch: Epoch,
    after: u64,
    count: usize,
}

impl Reading {
    /// Nothing of an epoch yet.
    pub fn of(epoch: Epoch) -> Self {
        let (after, count) = (0, 0);
        Self {
            epoch,
            after,
            count,
        }
    }

    /// The objects that come next, each once; empty when there are none just now.
    pub async fn page(&mut self, board: &mut Board) -> Result<Vec<BoardObject>, BoardError> {
        let objects = board.read(self.epoch, self.after).await?;
        let count = self.count.saturating_add(objects.len());
        if count > BOARD_EPOCH_OBJECTS_MAX {
            return Err(BoardError::TooMany(self.epoch));
        }
        self.count = count;
        self.after = objects.last().map_or(self.after, |(number, _)| *number);
        Ok(objects.into_iter().map(|(_, object)| object).collect())
    }
}

fn refused(refusal: &Refusal) -> Posted {
    match refusal.code {
        RefusalCode::Busy | RefusalCode::Storage => Posted::NotNow,
        _ => Posted::Refused(refusal.to_string()),
    }
}

async fn exchange(
    mut stream: TlsStream<TcpStream>,
    request: &BoardRequest,
) -> Result<(TlsStream<TcpStream>, BoardReply), TransportError> {
    aio::write(&mut stream, request, BOARD_FRAME_BYTES_MAX).await?;
    let reply = aio::read(&mut stream, BOARD_FRAME_BYTES_MAX).await?;
    Ok((stream, reply))
}

async fn within<T>(
    what: &str,
    wait: Duration,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    let late = || {
        let text = format!("no {what} within {wait:?}");
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    timeout(wait, work).await.map_err(|_| late())?
}

/// Numbers after `after`, each larger than the one before: else the same objects could come for ever.
fn growing(
    objects: Vec<(u64, BoardObject)>,
    after: u64,
) -> Result<Vec<(u64, BoardObject)>, BoardError> {
    let mut before = after;
    for (number, _) in &objects {
        if *number <= before {
            let after = *number;
            return Err(BoardError::Numbers { before, after });
        }
        before = *number;
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(numbers: &[u64]) -> Vec<(u64, BoardObject)> {
        let object = |number: &u64| (*number, BoardObject::Vote(vec![1]));
        numbers.iter().map(object).collect()
    }

    #[test]
    fn a_page_that_does_not_move_on_is_refused() {
        assert!(growing(page(&[4, 5, 9]), 3).is_ok());
        assert!(growing(Vec::new(), 3).is_ok());
        for numbers in [&[3, 4][..], &[4, 4], &[5, 4]] {
            let refused = growing(page(numbers), 3);
            assert!(matches!(refused, Err(BoardError::Numbers { .. })));
        }
    }
}
