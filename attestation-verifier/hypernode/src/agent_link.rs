//! A connection to one agent: TLS with raw keys, one request in flight, every wait bounded.

use assay_protocol::cose::PublicKey;
use assay_protocol::ids::SessionKey;
use assay_protocol::limits::{AGENT_FRAME_BYTES_MAX, AGENT_REQUEST_BYTES_MAX};
use assay_protocol::wire::{AgentReply, AgentRequest, Refusal};
use assay_transport::frames::{TransportError, aio};
use assay_transport::{Identity, tls};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Why an agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection, or it broke.
    #[error("agent {endpoint}: {source}")]
    Transport {
        /// Address asked.
        endpoint: String,
        /// What happened.
        source: TransportError,
    },
    /// No answer in time.
    #[error("agent {endpoint}: no answer within {ms} ms")]
    Timeout {
        /// Address asked.
        endpoint: String,
        /// How long it had.
        ms: u128,
    },
    /// The agent refused.
    #[error("agent {endpoint} refused: {refusal}")]
    Refused {
        /// Address asked.
        endpoint: String,
        /// What it said.
        refusal: Refusal,
    },
    /// An answer of another kind.
    #[error("agent {endpoint}: expected {expected}, got another reply")]
    Unexpected {
        /// Address asked.
        endpoint: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// An open connection.
pub struct AgentLink {
    stream: TlsStream<TcpStream>,
    endpoint: String,
    peer: SessionKey,
}

impl AgentLink {
    /// Connects; with `expected` only to the agent that has this session key.
    pub async fn connect(
        identity: &Identity,
        endpoint: &str,
        expected: Option<SessionKey>,
        within: Duration,
    ) -> Result<Self, LinkError> {
        let connecting = Self::handshake(identity, endpoint, expected);
        let fail = |source| LinkError::Transport {
            endpoint: endpoint.to_owned(),
            source,
        };
        match timeout(within, connecting).await {
            Ok(connected) => connected.map_err(|error| fail(error.into())),
            Err(_) => Err(LinkError::Timeout {
                endpoint: endpoint.to_owned(),
                ms: within.as_millis(),
            }),
        }
    }

    async fn handshake(
        identity: &Identity,
        endpoint: &str,
        expected: Option<SessionKey>,
    ) -> io::Result<Self> {
        let admit = move |key: &PublicKey| expected.is_none_or(|expected| expected.0 == *key);
        let config = tls::client_config(identity, Arc::new(admit)).map_err(io::Error::other)?;
        let socket = TcpStream::connect(endpoint).await?;
        socket.set_nodelay(true)?;
        let stream = TlsConnector::from(config)
            .connect(tls::server_name(), socket)
            .await?;
        let peer = tls::peer_key(stream.get_ref().1.peer_certificates())
            .ok_or_else(|| io::Error::other("the agent showed no raw Ed25519 key"))?;
        Ok(Self {
            stream,
            endpoint: endpoint.to_owned(),
            peer: SessionKey(peer),
        })
    }

    /// The agent's TLS key.
    pub fn peer(&self) -> SessionKey {
        self.peer
    }

    /// The address it was made to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends a request; a peer that does not read holds this no longer than `within`.
    pub async fn send(
        &mut self,
        request: &AgentRequest,
        within: Duration,
    ) -> Result<(), LinkError> {
        let sending = aio::write(&mut self.stream, request, AGENT_REQUEST_BYTES_MAX);
        match timeout(within, sending).await {
            Ok(sent) => sent.map_err(|source| self.transport(source)),
            Err(_) => Err(self.timed_out(within)),
        }
    }

    /// Reads a reply.
    pub async fn reply(&mut self, within: Duration) -> Result<AgentReply, LinkError> {
        let reading = aio::read(&mut self.stream, AGENT_FRAME_BYTES_MAX);
        match timeout(within, reading).await {
            Ok(Ok(AgentReply::Refused(refusal))) => Err(LinkError::Refused {
                endpoint: self.endpoint.clone(),
                refusal,
            }),
            Ok(reply) => reply.map_err(|source| self.transport(source)),
            Err(_) => Err(self.timed_out(within)),
        }
    }

    /// One request and its one reply, both within the time.
    pub async fn ask(
        &mut self,
        request: &AgentRequest,
        within: Duration,
    ) -> Result<AgentReply, LinkError> {
        let begun = Instant::now();
        self.send(request, within).await?;
        let left = within.saturating_sub(begun.elapsed());
        match self.reply(left).await {
            Err(LinkError::Timeout { .. }) => Err(self.timed_out(within)),
            replied => replied,
        }
    }

    /// The error for a reply of the wrong kind.
    pub fn unexpected(&self, expected: &'static str) -> LinkError {
        LinkError::Unexpected {
            endpoint: self.endpoint.clone(),
            expected,
        }
    }

    fn timed_out(&self, within: Duration) -> LinkError {
        LinkError::Timeout {
            endpoint: self.endpoint.clone(),
            ms: within.as_millis(),
        }
    }

    fn transport(&self, source: TransportError) -> LinkError {
        LinkError::Transport {
            endpoint: self.endpoint.clone(),
            source,
        }
    }
}
