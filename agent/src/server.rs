//! Listens, lets roster members in, and runs one bounded conversation per connection.

use crate::conversation::{Agent, Conversation, Lanes};
use crate::evidence::Attestor;
use crate::node::{Node, StartError, now};
use crate::status::{self, Origin, Record};
use assay_protocol::config::AgentConfig;
use assay_protocol::cose::PublicKey;
use assay_protocol::ids::HyperNodeId;
use assay_protocol::limits::{AGENT_FRAME_BYTES_MAX, AGENT_REQUEST_BYTES_MAX, SEATS_MAX};
use assay_protocol::wire::AgentRequest;
use assay_transport::frames::{self, TransportError};
use assay_transport::tls;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A stranger gets so long to show a key of the roster.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Handshakes at once, apart from the members' connections: strangers cannot take those.
const HANDSHAKES_MAX: usize = 64;
/// Pause after a failed accept (out of file descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// The listening agent.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    agent: Agent,
    tls: Arc<ServerConfig>,
    places: Mutex<Places>,
}

/// Who is connected: strangers in handshake, members by key.
#[derive(Debug, Default)]
struct Places {
    strangers: usize,
    members: BTreeMap<HyperNodeId, usize>,
}

/// Opens the port that `config` names.
pub fn listen(config: &AgentConfig) -> Result<TcpListener, StartError> {
    TcpListener::bind(&config.listen).map_err(|source| StartError::Listen {
        listen: config.listen.clone(),
        source,
    })
}

/// Connections at once, members' and strangers'.
pub fn connections_max(config: &AgentConfig) -> usize {
    // A roster that is proven later may be as long.
    let members = config.roster.len().max(SEATS_MAX);
    members_max(config, members).saturating_add(HANDSHAKES_MAX)
}

/// Connections of so many members together.
fn members_max(config: &AgentConfig, members: usize) -> usize {
    let all = usize::try_from(config.limits.connections_max).unwrap_or(usize::MAX);
    // A HyperNode needs two: one for the census, one for everything longer.
    all.max(members.max(1).saturating_mul(2))
}

impl Server {
    /// A server of `node` on a port that is open already.
    pub fn new(node: Node, listener: TcpListener, origin: Origin) -> Result<Self, StartError> {
        let serve = |error: &dyn std::fmt::Display| StartError::Serve(error.to_string());
        let node = Arc::new(node);
        let asked = Arc::clone(&node);
        let admits = move |key: &PublicKey| asked.roster.answers(&HyperNodeId(*key), now());
        let identity = node.session.identity();
        let tls = tls::server_config(identity, Arc::new(admits)).map_err(|e| serve(&e))?;
        let deadline = node.tpm_deadline();
        let attestor = Attestor::start(Arc::clone(&node), deadline).map_err(|e| serve(&e))?;
        let address = listener.local_addr().map_err(|e| serve(&e))?;
        node.read_clock()?;
        let record = Record::start(&node, address, origin).map_err(|source| StartError::State {
            path: status::path(&node.config.state_dir),
            source,
        })?;
        let agent = Agent {
            node,
            attestor,
            lanes: Lanes::default(),
            record,
        };
        let shared = Shared {
            agent,
            tls,
            places: Mutex::default(),
        };
        Ok(Self {
            listener,
            shared: Arc::new(shared),
        })
    }

    /// The address listened on, with the port the system chose when 0 was configured.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The node served.
    pub fn node(&self) -> &Node {
        &self.shared.agent.node
    }

    /// Serves until the process ends.
    pub fn run(self) -> ! {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.accept(stream),
                Err(error) => {
                    eprintln!("assay-agent: accept: {error}");
                    std::thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    /// Over the limit the connection is closed without an answer.
    fn accept(&self, stream: TcpStream) {
        let Some(place) = Place::stranger(&self.shared) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let serve = move || {
            // A peer that breaks off or breaks the rules is closed; there is nobody to tell.
            let _ = shared.serve(stream, place);
        };
        if let Err(error) = std::thread::Builder::new().name("peer".into()).spawn(serve) {
            eprintln!("assay-agent: no thread for a connection: {error}");
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream, place: Place) -> Result<(), TransportError> {
        let (mut tls, peer) = self
            .handshake(stream)
            .inspect_err(|_| self.agent.record.stranger())?;
        let Some(_place) = place.member(peer, self.limits()) else {
            return Ok(());
        };
        let _connected = self.agent.record.connected(peer);
        let idle = Duration::from_millis(self.agent.node.config.limits.idle_ms_max.max(1));
        tls.sock.set_read_timeout(Some(idle))?;
        tls.sock.set_write_timeout(Some(idle))?;
        let mut conversation = Conversation::new(&self.agent, peer);
        loop {
            let request: AgentRequest = frames::read(&mut tls, AGENT_REQUEST_BYTES_MAX)?;
            let reply = conversation.answer(request, |checkpoint| {
                let sent = frames::write(&mut tls, &checkpoint, AGENT_FRAME_BYTES_MAX);
                sent.map_err(io::Error::other)
            });
            frames::write(&mut tls, &reply, AGENT_FRAME_BYTES_MAX)?;
        }
    }

    /// TLS with the roster check inside, all within [`HANDSHAKE_MAX`].
    fn handshake(&self, stream: TcpStream) -> Result<(Tls, HyperNodeId), TransportError> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(HANDSHAKE_MAX))?;
        let deadline = Instant::now() + HANDSHAKE_MAX;
        let connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, stream);
        while tls.conn.is_handshaking() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            tls.sock.set_read_timeout(Some(left))?;
            handshake_step(&mut tls)?;
        }
        let key = tls::peer_key(tls.conn.peer_certificates());
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        Ok((tls, HyperNodeId(key.ok_or_else(refused)?)))
    }

    /// Connections of all members, and each member's share, so that one cannot shut out others.
    fn limits(&self) -> (usize, usize) {
        let node = &self.agent.node;
        let all = usize::try_from(node.config.limits.connections_max).unwrap_or(usize::MAX);
        let members = node.roster.count().max(1);
        (members_max(&node.config, members), (all / members).max(2))
    }
}

/// One write or one read; a refused peer still gets its alert.
fn handshake_step(tls: &mut Tls) -> io::Result<()> {
    while tls.conn.wants_write() {
        tls.conn.write_tls(&mut tls.sock)?;
    }
    if !tls.conn.is_handshaking() {
        return Ok(());
    }
    if tls.conn.read_tls(&mut tls.sock)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if let Err(refused) = tls.conn.process_new_packets() {
        let _ = tls.conn.write_tls(&mut tls.sock);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused));
    }
    Ok(())
}

/// A counted connection, given back on drop.
struct Place {
    shared: Arc<Shared>,
    member: Option<HyperNodeId>,
}

impl Place {
    fn stranger(shared: &Arc<Shared>) -> Option<Self> {
        let mut places = shared.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.strangers >= HANDSHAKES_MAX {
            return None;
        }
        places.strangers += 1;
        Some(Self {
            shared: Arc::clone(shared),
            member: None,
        })
    }

    /// The place of a stranger becomes a member's, if all members together and this one's share
    /// allow another connection.
    fn member(self, peer: HyperNodeId, (all_max, each_max): (usize, usize)) -> Option<Self> {
        let shared = Arc::clone(&self.shared);
        drop(self);
        let mut places = shared.places.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = places.members.values().sum();
        let count = places.members.entry(peer).or_default();
        if all >= all_max || *count >= each_max {
            return None;
        }
        *count += 1;
        drop(places);
        Some(Self {
            shared,
            member: Some(peer),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self
            .shared
            .places
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match self.member {
            None => places.strangers = places.strangers.saturating_sub(1),
            Some(peer) => {
                let count = places.members.entry(peer).or_default();
                *count = count.saturating_sub(1);
            }
        }
    }
}
