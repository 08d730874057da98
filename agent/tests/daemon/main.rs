//! The real binary on a real swtpm, asked over TLS as a HyperNode would.

mod budget;
mod challenges;
mod commands;
mod confinement;
mod doctor;
mod floods;
mod inject;
mod quotes;
mod regions;
mod rosters;
mod status;
mod strangers;
mod tpm;

use assay_protocol::answers::{
    ChainLink, ChaseAnswer, Counter, Countersigned, FillReceipt, ProbeAnswer, counter,
};
use assay_protocol::chase::{self, ChasePlan};
use assay_protocol::cose::{self, Signer as _};
use assay_protocol::evidence::{
    self, ImaClaim, SignedEvidence, nonce_batch, qualifying_data, snp_report_data,
};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Beacon, Digest, Epoch, HyperNodeId, NodeId, Nonce, RegionKey, UnixMs};
use assay_protocol::inventory::Inventory;
use assay_protocol::item::Blob;
use assay_protocol::limits::{AGENT_FRAME_BYTES_MAX, FILL_CHUNK_BYTES_MAX, IMA_LIST_BYTES_MAX};
use assay_protocol::region::{BLOCK_BYTES, Keystream, RegionId, region_root};
use assay_protocol::wire::{AgentReply, AgentRequest, RefusalCode};
use assay_testbed::ima_list::{ImaEntry, ImaList};
use assay_testbed::{MeasuredBoot, Swtpm, TestCa, TsmEntry, Variant};
use assay_transport::frames::{self, TransportError};
use assay_transport::{Identity, tls};
use rustls::{ClientConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const AGENT: &str = env!("CARGO_BIN_EXE_assay-agent");
const ID: RegionId = RegionId {
    region: 0,
    generation: 0,
};
const KEY: RegionKey = RegionKey([5; 32]);
const BLOCKS: u32 = 64;
const PLAN: ChasePlan = ChasePlan {
    id: ID,
    blocks: BLOCKS,
    lanes: 4,
    steps: 100,
    checkpoint_every: 25,
};

/// A ScalerNode and two HyperNodes of its roster.
struct Bench {
    dir: TempDir,
    swtpm: Swtpm,
    members: [Identity; 2],
}

struct Agent {
    child: Child,
    address: String,
    node: NodeId,
    session: [u8; 32],
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    key: [u8; 32],
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::create(&dir.path().join("ca")).unwrap();
        let swtpm = Swtpm::create(&dir.path().join("tpm"), &ca, "node").unwrap();
        let bench = Self {
            dir,
            swtpm,
            members: [(); 2].map(|()| Identity::generate().unwrap()),
        };
        bench.configure("127.0.0.1:0", "state", "");
        let boot = MeasuredBoot::new(Variant::Good, &std::fs::read(bench.config()).unwrap());
        boot.write_log(&bench.path("log")).unwrap();
        boot.extend(&bench.swtpm).unwrap();
        bench
    }

    /// On a machine whose kernel keeps a list of one file.
    fn measuring() -> (Self, ImaList, PathBuf) {
        let bench = Self::new();
        let boot = MeasuredBoot::new(Variant::Good, b"");
        let list = ImaList::new(&boot.pcrs(), &[("/usr/bin/one", b"one")]);
        let path = list.write(bench.dir.path()).unwrap();
        bench.configure("127.0.0.1:0", "state", &format!("[ima]\nlist = {path:?}\n"));
        (bench, list, path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("agent.toml")
    }

    fn configure(&self, listen: &str, state: &str, more: &str) {
        let roster: Vec<String> = self
            .members
            .iter()
            .map(|m| format!("{:?}", hex::encode(m.public_key())))
            .collect();
        let text = format!(
            "network = \"{}\"\nprovider = \"{}\"\nroster = [{}]\nlisten = {listen:?}\n\
             state_dir = {:?}\n[tpm]\ntcti = {:?}\nevent_log = {:?}\n{more}",
            "11".repeat(32),
            "22".repeat(20),
            roster.join(", "),
            self.path(state),
            self.swtpm.tcti(),
            self.path("log"),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn start(&self) -> Agent {
        let mut command = Command::new(program());
        command.args(run()).arg("--config").arg(self.config());
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Agent {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, address, _, node, _, session] = words[..] else {
            panic!("{line:?}")
        };
        let mut key = [0; 32];
        hex::decode_to_slice(session, &mut key).unwrap();
        Agent {
            child,
            address: address.into(),
            node: node.parse().unwrap(),
            session: key,
        }
    }

    /// Runs the agent to its end, which is expected to be soon.
    fn fail(&self, args: &[&str]) -> (i32, String) {
        // One that serves when it should not is a failure, not a test without an end.
        let mut command = Command::new("timeout");
        command.args(["60", AGENT]);
        let Output { status, stderr, .. } = command
            .args(args)
            .arg("--config")
            .arg(self.config())
            .output()
            .unwrap();
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    }

    fn connect(&self, agent: &Agent, member: usize) -> Client {
        Client::connect(agent, &self.members[member])
    }

    /// A connection that has attested.
    fn bound(&self, agent: &Agent) -> Client {
        let mut client = self.connect(agent, 0);
        client.attest([1; 32]);
        client
    }
}

impl Client {
    fn connect(agent: &Agent, identity: &Identity) -> Self {
        let expected = agent.session;
        let config =
            tls::client_config(identity, Arc::new(move |key: &[u8; 32]| *key == expected)).unwrap();
        let connection = ClientConnection::new(config, tls::server_name()).unwrap();
        let socket = TcpStream::connect(&agent.address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        Self {
            stream: StreamOwned::new(connection, socket),
            key: identity.public_key(),
        }
    }

    fn send(&mut self, request: &AgentRequest) -> Result<(), TransportError> {
        frames::write(&mut self.stream, request, AGENT_FRAME_BYTES_MAX)
    }

    fn receive(&mut self) -> Result<AgentReply, TransportError> {
        frames::read(&mut self.stream, AGENT_FRAME_BYTES_MAX)
    }

    fn ask(&mut self, request: AgentRequest) -> AgentReply {
        self.send(&request).unwrap();
        self.receive().unwrap()
    }

    fn refused(&mut self, request: AgentRequest) -> (RefusalCode, String) {
        match self.ask(request) {
            AgentReply::Refused(refusal) => (refusal.code, refusal.text),
            other => panic!("not refused: {other:?}"),
        }
    }

    fn answer(&mut self, request: AgentRequest) -> Vec<u8> {
        match self.ask(request) {
            AgentReply::Answer { bytes } => bytes,
            other => panic!("no answer: {other:?}"),
        }
    }

    fn session(&self) -> [u8; 32] {
        tls::peer_key(self.stream.conn.peer_certificates()).unwrap()
    }

    fn attest(&mut self, nonce: [u8; 32]) -> SignedEvidence {
        match self.ask(attest(nonce)) {
            AgentReply::Evidence { bytes } => evidence::open(&bytes, &self.session()).unwrap(),
            other => panic!("no evidence: {other:?}"),
        }
    }

    fn probe(&mut self, nonce: [u8; 32]) -> (ProbeAnswer, Vec<u8>) {
        let bytes = self.answer(AgentRequest::Probe {
            nonce: Nonce(nonce),
        });
        (
            cose::open(&bytes, &self.session()).unwrap().into_payload(),
            bytes,
        )
    }

    fn fill(&mut self) -> Vec<u8> {
        let begin = AgentRequest::FillBegin {
            id: ID,
            key_hash: Digest([6; 32]),
            blocks: BLOCKS,
        };
        assert_eq!(self.ask(begin), AgentReply::Ready);
        let stream = Keystream::new(&KEY).unwrap();
        let step = (FILL_CHUNK_BYTES_MAX / BLOCK_BYTES) as u32;
        for first in (0..BLOCKS).step_by(step as usize) {
            let blocks = (first..BLOCKS.min(first + step)).map(|i| stream.block(i).unwrap());
            let data = blocks.collect::<Vec<_>>().concat();
            assert_eq!(
                self.ask(AgentRequest::FillData { first, data }),
                AgentReply::Ready
            );
        }
        self.answer(AgentRequest::FillEnd)
    }

    /// The streamed checkpoints by lane, and the signed answer.
    fn chase(&mut self, nonce: [u8; 32]) -> (Vec<Vec<[u8; 32]>>, ChaseAnswer) {
        self.send(&AgentRequest::Chase {
            nonce: Nonce(nonce),
            plan: PLAN,
        })
        .unwrap();
        let mut lanes = vec![Vec::new(); PLAN.lanes as usize];
        loop {
            match self.receive().unwrap() {
                AgentReply::Checkpoint {
                    lane,
                    number,
                    state,
                } => {
                    assert_eq!(lanes[lane as usize].len(), number as usize);
                    lanes[lane as usize].push(state);
                }
                AgentReply::Answer { bytes } => {
                    let answer = cose::open(&bytes, &self.session()).unwrap();
                    return (lanes, answer.into_payload());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The program of this profile, or the one that is to be measured.
fn program() -> PathBuf {
    std::env::var_os("ASSAY_AGENT").map_or_else(|| AGENT.into(), PathBuf::from)
}

/// The bench's folder is its maker's alone, so that root's agent stays root there.
fn run() -> Vec<&'static str> {
    match nix::unistd::Uid::effective().is_root() {
        true => vec!["run", "--user", "root"],
        false => vec!["run"],
    }
}

fn attest(nonce: [u8; 32]) -> AgentRequest {
    AgentRequest::Attest {
        nonce: Nonce(nonce),
        epoch: Epoch(3),
        beacon: Beacon([4; 32]),
    }
}

fn expected_lanes(nonce: [u8; 32]) -> Vec<Vec<[u8; 32]>> {
    let stream = Keystream::new(&KEY).unwrap();
    let walk = |lane| chase::walk(&PLAN, &Nonce(nonce), lane, |i| stream.block(i)).unwrap();
    (0..PLAN.lanes).map(walk).collect()
}
