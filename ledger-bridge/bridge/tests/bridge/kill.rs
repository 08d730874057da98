//! `kill -9` of the real process: between the durable outbox row and the ledger, between the ledger and its answer, and
//! at random moments while HyperNodes post.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use assay_bridge::setup;
use assay_bridge::store::{Store, TxEnd};
use assay_bridge::system_now;
use assay_ledger::{
    Block, Chain, ChainError, Event, Finality, LedgerKey, LogQuery, Market, Receipt, Trial, rpc,
};
use assay_protocol::ids::{Digest, Epoch, Keccak};
use assay_protocol::limits::BOARD_FRAME_BYTES_MAX;
use assay_protocol::wire::{BoardObject, BoardReply, BoardRequest};
use assay_transport::{Identity, frames, tls};
use rustls::{ClientConnection, StreamOwned};

use crate::network::{HyperNode, Network, PLAN, poster_key};

/// What happens to the next transaction.
#[derive(Clone, Copy, PartialEq)]
enum Wire {
    /// It arrives and is answered.
    Sound,
    /// It is lost on the way, and nobody answers.
    CutBefore,
    /// It arrives; the answer is lost.
    CutAfter,
}

/// A chain behind a wire that can be cut, remembering every transaction that was put on it.
struct Cut {
    inner: Arc<dyn Chain>,
    wire: Mutex<Wire>,
    sent: Mutex<mpsc::Sender<Vec<u8>>>,
}

impl Chain for Cut {
    fn send_raw(&self, raw: &[u8]) -> Result<B256, ChainError> {
        let wire = *self.wire.lock().unwrap();
        let result = match wire {
            Wire::CutBefore => Ok(B256::ZERO),
            Wire::Sound | Wire::CutAfter => self.inner.send_raw(raw),
        };
        self.sent.lock().unwrap().send(raw.to_vec()).unwrap();
        if wire != Wire::Sound {
            std::thread::sleep(Duration::from_secs(30));
        }
        result
    }
    fn chain_id(&self) -> Result<u64, ChainError> {
        self.inner.chain_id()
    }
    fn block(&self, at: Finality) -> Result<Block, ChainError> {
        self.inner.block(at)
    }
    fn call_at(&self, to: Address, data: &[u8], at: Finality) -> Result<Bytes, ChainError> {
        self.inner.call_at(to, data, at)
    }
    fn estimate_gas(&self, trial: &Trial<'_>) -> Result<u64, ChainError> {
        self.inner.estimate_gas(trial)
    }
    fn market(&self) -> Result<Market, ChainError> {
        self.inner.market()
    }
    fn receipt(&self, hash: B256) -> Result<Option<Receipt>, ChainError> {
        self.inner.receipt(hash)
    }
    fn input(&self, hash: B256) -> Result<Option<Bytes>, ChainError> {
        self.inner.input(hash)
    }
    fn nonce_at(&self, address: Address, at: Finality) -> Result<u64, ChainError> {
        self.inner.nonce_at(address, at)
    }
    fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.inner.balance(address)
    }
    fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        self.inner.code(address)
    }
    fn logs(&self, query: &LogQuery, at: Finality) -> Result<Vec<Event>, ChainError> {
        self.inner.logs(query, at)
    }
}

pub struct Bridge(Child);

impl Bridge {
    pub fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay-bridge"));
        command
            .args(["run", "--config"])
            .arg(config)
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// SIGTERM; what it ends with, if it does within this time.
    pub fn terminate(mut self, within: Duration) -> Option<ExitStatus> {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let end = Instant::now() + within;
        while Instant::now() < end {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config_file(net: &Network, rpc: SocketAddr, board: u16) -> std::path::PathBuf {
    write_config(net, &format!("http://{rpc}"), board, "")
}

/// Keys and configuration of a bridge process; `more` is appended.
pub fn write_config(net: &Network, rpc: &str, board: u16, more: &str) -> std::path::PathBuf {
    let dir = net.dir.path();
    LedgerKey::create_file(&dir.join("poster.key"), &[2; 32]).unwrap();
    Identity::create(&dir.join("board.key")).unwrap();
    let text = format!(
        "network = \"network.json\"\nclasses = [\"demo.toml\"]\nstate_dir = \"state\"\nledger_key = \"poster.key\"\n\
         [board]\nlisten = \"127.0.0.1:{board}\"\nkey = \"board.key\"\n[ledger]\nkind = \"rpc\"\nurl = \"{rpc}\"\n{more}"
    );
    let path = dir.join("bridge.toml");
    setup::write_atomically(&path, text.as_bytes()).unwrap();
    path
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{what}: not within 30 s"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Cuts the wire at the first transaction, kills the bridge there, repairs the wire, starts it again.
fn killed_at(cut: Wire) {
    let genesis = system_now().0 / 1_000 * 1_000 - 10_000;
    let net = Network::open_at(
        genesis,
        &PLAN.replace("void_after_ms = 5000", "void_after_ms = 3600000"),
    );
    net.agree(Epoch(0));
    let digest = net.digest(&net.outcome(&net.history()));
    net.sign(Epoch(0), digest, &[0, 1, 2, 3]);
    net.clock
        .store(system_now().0, std::sync::atomic::Ordering::SeqCst);
    let before = net.chain.nonce(poster_key().address().0.into()).unwrap();

    let (sender, sent) = mpsc::channel();
    let chain = Arc::new(Cut {
        inner: net.chain.clone(),
        wire: Mutex::new(cut),
        sent: Mutex::new(sender),
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let config = config_file(&net, listener.local_addr().unwrap(), 0);
    runtime.spawn(rpc::serve(chain.clone(), listener));

    let bridge = Bridge::start(&config);
    let first = sent
        .recv_timeout(Duration::from_secs(30))
        .expect("a transaction");
    let store = Store::open_for_reading(&net.state_dir(), net.network).unwrap();
    let live = store.live().unwrap();
    assert_eq!(live.len(), 1, "durable before it is sent");
    assert_eq!(live[0].sent[0].raw, first);
    bridge.kill();
    assert_eq!(
        net.ledger().next_epoch().unwrap(),
        Epoch(u64::from(cut == Wire::CutAfter))
    );

    *chain.wire.lock().unwrap() = Wire::Sound;
    let bridge = Bridge::start(&config);
    let second = sent
        .recv_timeout(Duration::from_secs(30))
        .expect("a transaction");
    // What was lost is sent again; what arrived is found there, and the settlement comes next.
    assert_eq!(second == first, cut == Wire::CutBefore);
    until("settled", || {
        net.ledger().nodes().unwrap()[0].settled_epoch == Some(Epoch(0))
    });
    until("outbox empty", || store.live().unwrap().is_empty());
    bridge.kill();
    assert_eq!(store.ended("postRoot", TxEnd::Included).unwrap(), 1);
    let after = net.chain.nonce(poster_key().address().0.into()).unwrap();
    assert_eq!(after - before, 2, "one root, one confirmation");
    runtime.shutdown_background();
}

#[test]
fn killed_before_the_ledger_got_the_root() {
    killed_at(Wire::CutBefore);
}

#[test]
fn killed_before_the_ledger_answered() {
    killed_at(Wire::CutAfter);
}

/// One request over a connection of its own; `None` when the bridge is not there to the end.
fn ask(port: u16, by: &HyperNode, request: &BoardRequest) -> Option<BoardReply> {
    let config = tls::client_config(&by.identity, Arc::new(|_: &[u8; 32]| true)).unwrap();
    let connection = ClientConnection::new(config, tls::server_name()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).ok()?);
    frames::write(&mut stream, request, BOARD_FRAME_BYTES_MAX).ok()?;
    frames::read(&mut stream, BOARD_FRAME_BYTES_MAX).ok()
}

#[test]
fn killed_at_random_moments_nothing_acknowledged_is_lost() {
    const E: Epoch = Epoch(0);
    let plan = PLAN
        .replace("= 5000", "= 3600000")
        .replace("= 3000", "= 3500000");
    // Commits are closed since a second.
    let plan = plan.replace("reveal_ms = 2000", "reveal_ms = 3400000");
    let net = Network::open_at(system_now().0 - 10_000, &plan);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = config_file(&net, listener.local_addr().unwrap(), free);
    runtime.spawn(rpc::serve(net.chain.clone(), listener));

    let mut objects: Vec<(&HyperNode, BoardObject)> = Vec::new();
    for h in &net.hypernodes {
        objects.push((
            h,
            h.proposal(&net, E, &net.list(E)[..usize::from(h.id().0[0] % 4)]),
        ));
        objects.push((h, h.vote(&net, E, Digest([7; 32]))));
        objects.push((h, h.root_signature(&net, E, Keccak([8; 32]))));
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0u64;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let bridge = Bridge::start(&config);
                until("board", || TcpStream::connect(("127.0.0.1", free)).is_ok());
                let pause = system_now().0.wrapping_mul(2_654_435_761) % 300;
                std::thread::sleep(Duration::from_millis(pause));
                bridge.kill();
                kills += 1;
            }
            kills
        });
        let mut acknowledged = Vec::new();
        for (by, object) in &objects {
            let request = BoardRequest::Post {
                epoch: E,
                object: object.clone(),
            };
            // Twice each: the second answer must be the first one, whatever happened between.
            for _ in 0..2 {
                until("acknowledged", || match ask(free, by, &request) {
                    Some(BoardReply::Stored { number }) => {
                        acknowledged.push((number, object.clone()));
                        true
                    }
                    Some(other) => panic!("{other:?}"),
                    None => false,
                });
            }
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(killer.join().unwrap() > 0);
        acknowledged
    });
    let stored = net.board.read(E, 0).unwrap();
    assert_eq!(stored.len(), objects.len());
    assert!(acknowledged.iter().all(|acked| stored.contains(acked)));
    runtime.shutdown_background();
}
