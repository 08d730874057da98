//! The real binary on a real swtpm, asked over TLS as a HyperNode would.

#[path = "daemon/budget.rs"]
mod budget;
#[path = "daemon/confinement.rs"]
mod confinement;
#[path = "daemon/floods.rs"]
mod floods;
#[path = "daemon/inject.rs"]
mod inject;
#[path = "daemon/status.rs"]
mod status;

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

/// What the machine is made of is beside the claims, and they name it.
#[test]
fn evidence_carries_the_inventory_of_this_machine() {
    let bench = Bench::new();
    bench.configure("127.0.0.1:0", "state", "");
    let agent = bench.start();
    let signed = bench.connect(&agent, 0).attest([1; 32]);
    let bytes = &signed.vendor().inventory.as_ref().unwrap().0;
    assert_eq!(signed.claims().inventory, Some(digest(&[bytes])));
    let inventory = Inventory::read(bytes).unwrap();
    assert!(inventory.cpu.threads > 0 && inventory.memory_bytes > 0);
    let counted = |id| {
        signed
            .claims()
            .counters
            .iter()
            .any(|counter| counter.id == id)
    };
    assert!(counted(counter::UPTIME_MS) && counted(counter::REGION_READ_IOS));
    // A confined agent still counts what this process can.
    for (path, id) in [
        ("/proc/pressure/io", counter::PRESSURE_IO_SOME_US),
        (
            "/sys/devices/system/edac/mc/mc0/ce_count",
            counter::MEMORY_ERRORS_CORRECTED,
        ),
        ("/sys/class/net/eth0/device", counter::NIC_RX_BYTES),
        ("/sys/block/vda/device", counter::DISK_READ_BYTES),
    ] {
        assert!(
            counted(id) || !std::path::Path::new(path).exists(),
            "{path}"
        );
    }
}

/// A program that starts while the TPM is at work is in the quote: the list that goes along has it too.
#[test]
fn what_is_measured_meanwhile_is_in_the_list() {
    let (bench, mut list, _) = Bench::measuring();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    bench.swtpm.freeze().unwrap();
    client.send(&attest([1; 32])).unwrap();
    // Long enough for the agent to have read the list and to wait for the TPM.
    std::thread::sleep(Duration::from_millis(500));
    list.entries
        .push(ImaEntry::of_content("/usr/bin/two", b"two"));
    list.write(bench.dir.path()).unwrap();
    bench.swtpm.thaw().unwrap();
    let AgentReply::Evidence { bytes } = client.receive().unwrap() else {
        panic!("no evidence")
    };
    let evidence = evidence::open(&bytes, &client.session()).unwrap();
    assert_eq!(evidence.vendor().ima_log, Some(Blob(list.encode())));
    assert_eq!(evidence.claims().ima.map(|ima| ima.count), Some(3));
}

/// Each finding by name, and whether nothing has to be repaired.
fn examined(bench: &Bench, more: &[&str]) -> (BTreeMap<String, (String, String)>, bool) {
    let output = Command::new(AGENT)
        .args(["doctor", "--json", "--config"])
        .arg(bench.config())
        .args(more)
        .output()
        .unwrap();
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = findings.iter().map(|finding| {
        let (verdict, found) = (text(finding, "verdict"), text(finding, "found"));
        assert_eq!(finding["hint"].is_null(), verdict == "PASS", "{finding}");
        (text(finding, "name"), (verdict, found))
    });
    (findings.collect(), output.status.success())
}

#[test]
fn the_doctor_passes_a_good_machine_and_names_what_is_wrong() {
    let bench = Bench::new();
    let class = bench.path("class.toml");
    std::fs::write(&class, assay_hw_profiles::DEMO_CLASS).unwrap();
    let (good, sound) = examined(&bench, &["--profile", class.to_str().unwrap()]);
    assert!(sound, "{good:?}");
    for name in [
        "configuration",
        "event-log",
        "measured",
        "tpm",
        "ek-certificate",
        "quote",
        "state",
        "listen",
        "class-regions",
    ] {
        assert_eq!(good[name].0, "PASS", "{name}: {good:?}");
    }
    assert_eq!(good["ima"].0, "SKIP");
    let failed = |name: &str, of: &str| {
        let (findings, sound) = examined(&bench, &[]);
        let (verdict, found) = &findings[name];
        assert!(
            !sound && verdict == "FAIL" && found.contains(of),
            "{name}: {findings:?}"
        );
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    bench.configure(&address, "state", "");
    failed("listen", "cannot listen on");
    failed("measured", "does not have this configuration");
    bench.configure(
        "127.0.0.1:0",
        "state",
        "[limits]\nregion_blocks_max = 4000000000\n",
    );
    failed("state", "MiB free");
    bench.configure("127.0.0.1:0", "state", "");
    let config = std::fs::read_to_string(bench.config()).unwrap();
    let elsewhere = config.replace(&bench.swtpm.tcti(), "swtpm:host=127.0.0.1,port=1");
    std::fs::write(bench.config(), elsewhere).unwrap();
    failed("tpm", "TPM");
    std::fs::remove_file(bench.path("log")).unwrap();
    failed("logs", "event log: ");
    std::fs::write(bench.config(), "network = 1").unwrap();
    failed("configuration", "agent configuration");
    let (code, stderr) = bench.fail(&["doctor", "--profile", "/no/such/class"]);
    assert!(code == 2 && stderr.contains("/no/such/class"), "{stderr}");
}

/// What a provider does before any stake is at risk.
#[test]
fn evidence_for_ones_own_eyes_is_what_a_hypernode_would_get() {
    let bench = Bench::new();
    let (nonce, out) = ("07".repeat(32), bench.path("evidence"));
    let out_text = out.to_str().unwrap();
    let mut args = vec!["attest", "--nonce", &nonce, "--out", out_text];
    assert_eq!(bench.fail(&args), (0, String::new()));
    let bytes = std::fs::read(&out).unwrap();
    let key = cose::claimed_signer(&bytes, bytes.len()).unwrap();
    let evidence = evidence::open(&bytes, &key).unwrap();
    assert_eq!(
        evidence.claims().nonces,
        [(HyperNodeId([0; 32]), Nonce([7; 32]))]
    );
    let hypernode = "09".repeat(32);
    args.extend(["--hypernode", &hypernode]);
    assert_eq!(bench.fail(&args).0, 0);
    let bytes = std::fs::read(&out).unwrap();
    let again = cose::claimed_signer(&bytes, bytes.len()).unwrap();
    assert_ne!(again, key, "a session key of its own each time");
    let evidence = evidence::open(&bytes, &again).unwrap();
    assert_eq!(
        evidence.claims().nonces,
        [(HyperNodeId([9; 32]), Nonce([7; 32]))]
    );
    let nowhere = bench.path("no/such/folder");
    args[4] = nowhere.to_str().unwrap();
    let (code, stderr) = bench.fail(&args);
    assert!(
        code == 5 && stderr.contains("no/such/folder: ") && stderr.contains("--out"),
        "{stderr}"
    );
    let (code, stderr) = bench.fail(&["attest", "--nonce", "07", "--out", out_text]);
    assert!(
        code == 2 && stderr.contains("32 bytes as hexadecimal"),
        "{stderr}"
    );
}

/// A machine whose kernel keeps a list: it goes along whole, and the claims name it.
#[test]
fn the_measurement_list_goes_with_the_quote() {
    let (bench, mut list, path) = Bench::measuring();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    for round in 0..2 {
        let evidence = client.attest([round; 32]);
        let (claimed, carried) = (evidence.claims().ima, &evidence.vendor().ima_log);
        let bytes = list.encode();
        let expected = ImaClaim {
            digest: digest(&[&bytes]),
            first: 0,
            count: list.entries.len() as u64,
        };
        assert_eq!(claimed, Some(expected));
        assert_eq!(carried, &Some(Blob(bytes)));
        // Another program is started: the next quote goes with the longer list.
        let more = ImaEntry::of_content("/usr/bin/two", b"two");
        list.entries.push(more);
        list.write(bench.dir.path()).unwrap();
    }
    // The list is open for good: its name may go, but not all of it may be too long to go along.
    let overlong = vec![0; IMA_LIST_BYTES_MAX + 1];
    std::fs::write(&path, overlong).unwrap();
    let (code, text) = client.refused(attest([9; 32]));
    assert_eq!(code, RefusalCode::Storage, "{text}");
    assert!(text.contains("IMA list"), "{text}");
    drop(agent);
    std::fs::remove_file(&path).unwrap();
    let (code, stderr) = bench.fail(&run());
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("error: IMA list: ") && stderr.contains("ima.list"),
        "{stderr}"
    );
}

#[test]
fn enrol_attest_probe_fill_and_chase() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    let AgentReply::Offer {
        ek_certificate,
        ek_public,
        ak_public,
    } = client.ask(AgentRequest::Enrol)
    else {
        panic!("no offer")
    };
    assert_eq!(
        (ek_certificate[0], &ek_public[..2], ak_public[1]),
        (0x30, &[0, 1][..], 0x23)
    );
    let (code, text) = client.refused(AgentRequest::Probe {
        nonce: Nonce([0; 32]),
    });
    assert_eq!(code, RefusalCode::NotAllowed, "{text}");

    let evidence = client.attest([7; 32]);
    let claims = evidence.claims();
    assert_eq!(claims.nonces, [(HyperNodeId(client.key), Nonce([7; 32]))]);
    assert_eq!(claims.node, agent.node);
    assert_eq!(claims.freshness, (Epoch(3), Beacon([4; 32])));
    let qualifying = qualifying_data(evidence.claims_bytes());
    assert!(
        evidence
            .vendor()
            .attest
            .0
            .windows(32)
            .any(|window| window == qualifying)
    );
    let log = std::fs::read(bench.path("log")).unwrap();
    assert_eq!(
        (claims.event_log, &evidence.vendor().event_log.0),
        (digest(&[&log]), &log)
    );

    let (probe, probe_bytes) = client.probe([8; 32]);
    assert_eq!((probe.node, probe.nonce), (agent.node, Nonce([8; 32])));
    assert_eq!(
        probe.link,
        ChainLink {
            sequence: 0,
            previous: Digest([0; 32])
        }
    );

    let receipt_bytes = client.fill();
    let receipt: FillReceipt = cose::open(&receipt_bytes, &agent.session)
        .unwrap()
        .into_payload();
    assert_eq!(receipt.root, region_root(&KEY, BLOCKS).unwrap());
    assert_eq!(
        (receipt.key_hash, receipt.blocks),
        (Digest([6; 32]), BLOCKS)
    );
    assert_eq!(receipt.hypernode.0, client.key);
    assert_eq!(
        receipt.link,
        ChainLink {
            sequence: 1,
            previous: digest(&[&probe_bytes])
        }
    );
    let both = Countersigned {
        node: agent.node,
        receipt: Blob(receipt_bytes),
        at: UnixMs(1),
    };
    let both = cose::seal(both, &bench.members[0]).bytes().to_vec();
    let keep = AgentRequest::FillCountersigned {
        receipt: both.clone(),
    };
    assert_eq!(client.ask(keep), AgentReply::Ready);

    let reads_of = |counters: &[Counter]| counters.iter().find(|c| c.id == 7).unwrap().value;
    let reads = |answer: &ChaseAnswer| reads_of(&answer.counters);
    let (lanes, answer) = client.chase([9; 32]);
    assert_eq!(lanes, expected_lanes([9; 32]));
    let blobs: Vec<Blob> = lanes
        .iter()
        .map(|states| ChaseAnswer::lane_blob(states))
        .collect();
    assert_eq!((answer.plan(), &answer.lanes), (PLAN, &blobs));
    assert_eq!((reads(&answer), answer.link.sequence), (400, 2));
    assert_eq!(reads_of(&answer.counters_before), 0);
    assert_eq!(client.attest([10; 32]).claims().link.sequence, 3);

    // Another member neither sees this region nor can countersign its receipt.
    let mut other = bench.connect(&agent, 1);
    other.attest([1; 32]);
    let foreign = other.refused(AgentRequest::Chase {
        nonce: Nonce([0; 32]),
        plan: PLAN,
    });
    assert_eq!(foreign.0, RefusalCode::NotFound);
    let foreign = other.refused(AgentRequest::FillCountersigned { receipt: both });
    assert_eq!(foreign.0, RefusalCode::BadRequest);
}

#[test]
fn a_credential_of_tpm2_tools_is_opened_over_the_wire() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    let bogus = AgentRequest::Activate {
        credential_blob: vec![0, 1, 2],
        encrypted_secret: vec![],
    };
    assert_eq!(client.refused(bogus).0, RefusalCode::BadRequest);
    let AgentReply::Offer {
        ek_public,
        ak_public,
        ..
    } = client.ask(AgentRequest::Enrol)
    else {
        panic!("no offer")
    };
    let name = [&[0, 0x0b][..], &digest(&[&ak_public]).0].concat();
    std::fs::write(bench.path("ek"), [&[1, 0x3a][..], &ek_public].concat()).unwrap();
    std::fs::write(bench.path("secret"), [0x5e; 32]).unwrap();
    let made = Command::new("tpm2_makecredential")
        .current_dir(bench.dir.path())
        .args([
            "-T",
            "none",
            "-n",
            &hex::encode(name),
            "-u",
            "ek",
            "-s",
            "secret",
            "-o",
            "made",
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let file = std::fs::read(bench.path("made")).unwrap();
    let (credential_blob, encrypted_secret) =
        file[8..].split_at(2 + usize::from(u16::from_be_bytes([file[8], file[9]])));
    let opened = client.ask(AgentRequest::Activate {
        credential_blob: credential_blob.to_vec(),
        encrypted_secret: encrypted_secret.to_vec(),
    });
    assert_eq!(
        opened,
        AgentReply::Activated {
            secret: vec![0x5e; 32]
        }
    );
}

#[test]
fn strangers_are_closed_in_the_handshake() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut stranger = Client::connect(&agent, &Identity::generate().unwrap());
    let asked = stranger
        .send(&AgentRequest::Enrol)
        .and_then(|()| stranger.receive());
    assert!(matches!(asked, Err(TransportError::Io(_))));
    let mut plain = TcpStream::connect(&agent.address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    plain
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(rest.len() < 16, "an alert at most");
    bench.connect(&agent, 0).attest([1; 32]);
}

#[test]
fn a_silent_stranger_is_closed_in_time_and_takes_no_members_place() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut silent = TcpStream::connect(&agent.address).unwrap();
    let started = Instant::now();
    bench.connect(&agent, 0).attest([1; 32]);
    silent
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn an_oversized_frame_and_too_many_connections_are_closed() {
    let bench = Bench::new();
    bench.configure("127.0.0.1:0", "state", "[limits]\nconnections_max = 4\n");
    let agent = bench.start();
    let mut kept: Vec<Client> = (0..2).map(|_| bench.bound(&agent)).collect();
    let mut third = bench.connect(&agent, 0);
    assert!(
        third
            .send(&attest([1; 32]))
            .and_then(|()| third.receive())
            .is_err()
    );
    bench.connect(&agent, 1).attest([2; 32]);
    let huge = AgentRequest::FillData {
        first: 0,
        data: vec![0; 300 * 1024],
    };
    assert!(
        kept[0]
            .send(&huge)
            .and_then(|()| kept[0].receive())
            .is_err()
    );
    kept[1].probe([1; 32]);
}

#[test]
fn a_fill_out_of_order_or_too_large_is_refused_and_over() {
    let bench = Bench::new();
    bench.configure("127.0.0.1:0", "state", "[limits]\nregion_blocks_max = 64\n");
    let agent = bench.start();
    let mut client = bench.bound(&agent);
    let begin = |blocks| AgentRequest::FillBegin {
        id: ID,
        key_hash: Digest([0; 32]),
        blocks,
    };
    for blocks in [0, 63, 128] {
        assert_eq!(client.refused(begin(blocks)).0, RefusalCode::BadRequest);
    }
    assert_eq!(
        client.refused(AgentRequest::FillEnd).0,
        RefusalCode::BadRequest
    );
    assert_eq!(client.ask(begin(64)), AgentReply::Ready);
    let data = |first| AgentRequest::FillData {
        first,
        data: vec![0; BLOCK_BYTES],
    };
    assert_eq!(client.ask(data(0)), AgentReply::Ready);
    assert_eq!(client.refused(data(2)).0, RefusalCode::BadRequest);
    assert_eq!(client.refused(data(1)).0, RefusalCode::BadRequest);
    assert_eq!(client.ask(begin(2)), AgentReply::Ready);
    assert_eq!(
        client.refused(AgentRequest::FillEnd).0,
        RefusalCode::BadRequest
    );
}

#[test]
fn kill_9_keeps_acknowledged_fills_and_forgets_half_ones() {
    let bench = Bench::new();
    let mut agent = bench.start();
    let mut client = bench.bound(&agent);
    client.fill();
    let next = RegionId {
        generation: 1,
        ..ID
    };
    let begin = AgentRequest::FillBegin {
        id: next,
        key_hash: Digest([0; 32]),
        blocks: 2,
    };
    assert_eq!(client.ask(begin), AgentReply::Ready);
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();

    let again = bench.start();
    assert_eq!(again.node, agent.node);
    assert_ne!(again.session, agent.session);
    let mut client = bench.connect(&again, 0);
    let early = client.refused(AgentRequest::Chase {
        nonce: Nonce([1; 32]),
        plan: PLAN,
    });
    assert_eq!(early.0, RefusalCode::NotAllowed);
    client.attest([1; 32]);
    assert_eq!(client.chase([2; 32]).0, expected_lanes([2; 32]));
    let half = ChasePlan {
        id: next,
        blocks: 2,
        ..PLAN
    };
    let half = client.refused(AgentRequest::Chase {
        nonce: Nonce([1; 32]),
        plan: half,
    });
    assert_eq!(half.0, RefusalCode::NotFound);
}

#[test]
fn a_stopped_tpm_fails_attestation_by_name_and_no_probe() {
    let bench = Bench::new();
    bench.configure("127.0.0.1:0", "state", "");
    let text = std::fs::read_to_string(bench.config()).unwrap() + "deadline_ms = 400\n";
    std::fs::write(bench.config(), text).unwrap();
    let agent = bench.start();
    let mut client = bench.bound(&agent);
    bench.swtpm.freeze().unwrap();
    let (code, text) = client.refused(attest([2; 32]));
    assert_eq!(code, RefusalCode::Tpm, "{text}");
    assert!(text.contains("did not answer"), "{text}");
    client.probe([3; 32]);
    bench.swtpm.thaw().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    client.attest([4; 32]);
}

#[test]
fn a_tpm_reset_under_a_running_agent_shows_in_the_next_evidence() {
    let mut bench = Bench::new();
    let agent = bench.start();
    let mut client = bench.bound(&agent);
    let before = client.attest([1; 32]).claims().clock.reset_count;
    bench.swtpm.restart().unwrap();
    let after = client.attest([2; 32]);
    assert_eq!(after.claims().clock.reset_count, before + 1);
    assert_eq!(after.vendor().pcrs[4].1, Digest([0; 32]));
}

#[test]
fn one_quote_may_serve_several_hypernodes_each_with_its_own_nonce() {
    let bench = Bench::new();
    let agent = bench.start();
    let clients: Vec<Client> = (0..2).map(|member| bench.connect(&agent, member)).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(n, mut client)| {
            std::thread::spawn(move || {
                let nonce = [n as u8; 32];
                let nonces = client.attest(nonce).claims().nonces.clone();
                assert!(nonces.contains(&(HyperNodeId(client.key), Nonce(nonce))));
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// The report is of the batch in the claims, whoever is in it, of the session key and of the attestation key.
#[test]
fn a_report_binds_the_batch_it_is_sent_with() {
    let bench = Bench::new();
    let echo = |data: [u8; 64]| (data.to_vec(), Vec::new());
    let reports = bench.path("reports");
    let entry = TsmEntry::start(&reports, "assay-agent", "sev_guest", echo).unwrap();
    let section = format!("[snp]\nsource = \"configfs-tsm\"\npath = {reports:?}\n");
    bench.configure("127.0.0.1:0", "state", &section);
    let agent = bench.start();
    let clients: Vec<Client> = (0..2).map(|member| bench.connect(&agent, member)).collect();
    let bound = |evidence: &SignedEvidence| {
        let (claims, snp) = (evidence.claims(), evidence.vendor().snp.as_ref().unwrap());
        let batch = nonce_batch(&claims.nonces);
        let data = snp_report_data(&batch, &claims.session_key, &claims.ak_name);
        assert_eq!(snp.report.0, data);
        assert_eq!(claims.snp_report, Some(digest(&[&data])));
        // The table without an entry, and no host to ask for chips.
        assert_eq!(snp.certificates.0, [0; 24]);
        assert_eq!(claims.chip_ids, None);
    };
    std::thread::scope(|scope| {
        for (n, mut client) in clients.into_iter().enumerate() {
            scope.spawn(move || bound(&client.attest([n as u8; 32])));
        }
    });
    // A source that fails costs the report and nothing else.
    entry.remake(|_| (Vec::new(), Vec::new()));
    let mut client = bench.connect(&agent, 0);
    let evidence = client.attest([9; 32]);
    assert_eq!(evidence.vendor().snp, None);
    assert_eq!(evidence.claims().snp_report, None);
    client.probe([3; 32]);
}

#[test]
fn a_full_disk_refuses_the_fill_by_name_and_nothing_else() {
    let bench = Bench::new();
    bench.configure(
        "127.0.0.1:0",
        "small",
        "[limits]\nregion_blocks_max = 4096\n",
    );
    std::fs::create_dir(bench.path("small")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg(
        "mount -t tmpfs -o size=1m tmpfs \"$0\" && exec \"$1\" run --user root --config \"$2\"",
    );
    command
        .arg(bench.path("small"))
        .arg(AGENT)
        .arg(bench.config());
    let agent = bench.spawn(command);
    let mut client = bench.bound(&agent);
    let begin = AgentRequest::FillBegin {
        id: ID,
        key_hash: Digest([0; 32]),
        blocks: 4096,
    };
    let (code, text) = client.refused(begin);
    assert_eq!(code, RefusalCode::Storage);
    assert!(text.contains("disk full: 16777216 bytes"), "{text}");
    client.fill();
    assert_eq!(client.chase([2; 32]).0, expected_lanes([2; 32]));
}

#[test]
fn enroll_prints_the_node() {
    let bench = Bench::new();
    let output = Command::new(AGENT)
        .args(["enroll", "--print", "--config"])
        .arg(bench.config())
        .output()
        .unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["node"], bench.start().node.to_string());
    assert_eq!(printed["ak_name"].as_str().unwrap().len(), 68);
}

#[test]
fn every_failure_to_start_has_its_code_and_a_hint() {
    let mut bench = Bench::new();
    let expect = |bench: &Bench, code: i32, said: &str| {
        let (actual, stderr) = bench.fail(&run());
        assert_eq!(actual, code, "{stderr}");
        assert!(
            stderr.starts_with("error: ") && !stderr.contains("esys"),
            "{stderr}"
        );
        assert!(
            stderr.contains(said) && stderr.contains("\nhint: "),
            "{stderr}"
        );
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    bench.configure(&address, "state", "");
    expect(&bench, 4, &format!("cannot listen on {address}"));
    std::fs::write(bench.path("file"), "").unwrap();
    bench.configure("127.0.0.1:0", "file/state", "");
    expect(&bench, 5, "state directory");
    bench.configure("127.0.0.1:0", "state", "surprise = 1\n");
    expect(&bench, 2, "surprise");
    bench.configure("127.0.0.1:0", "state", "");
    drop(bench.start());
    let mut blob = std::fs::read(bench.path("state/ak.blob")).unwrap();
    *blob.last_mut().unwrap() ^= 1;
    std::fs::write(bench.path("state/ak.blob"), blob).unwrap();
    expect(&bench, 3, "this TPM refuses attestation key blob");
    std::fs::write(bench.path("state/ak.blob"), "x").unwrap();
    expect(&bench, 3, "ak.blob is damaged");
    std::fs::rename(bench.path("log"), bench.path("gone")).unwrap();
    expect(&bench, 2, "event log");
    std::fs::rename(bench.path("gone"), bench.path("log")).unwrap();
    bench.swtpm.kill9();
    expect(&bench, 3, "no TPM at swtpm:");
    for (section, said) in [
        (
            "source = \"guest-device\"\npath = \"/nowhere\"",
            "[snp] /nowhere: No such",
        ),
        (
            "source = \"guest-device\"\npath = \"/dev/null\"\nhost = \"/dev/null\"",
            "[snp] /dev/null: SEV_GET_ID2: ENOTTY",
        ),
        (
            "source = \"configfs-tsm\"\npath = \"/nowhere\"",
            "[snp] /nowhere/assay-agent: No such",
        ),
        ("source = \"probe-guest\"", "snp.cid"),
    ] {
        bench.configure("127.0.0.1:0", "state", &format!("[snp]\n{section}\n"));
        expect(&bench, 2, said);
    }
    std::fs::remove_file(bench.config()).unwrap();
    expect(&bench, 2, "agent.toml: No such file");
    assert_eq!(bench.fail(&["run", "--unknown"]).0, 2);
}
