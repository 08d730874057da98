//! A small network on disk, contexts of its HyperNodes, and peers that follow a script.

use assay_hypernode::clock;
use assay_hypernode::config::{self, BridgeSection, Config, Secrets};
use assay_hypernode::context::Context;
use assay_hypernode::ledger_view::Registered;
use assay_hypernode::report;
use assay_hypernode::vcek::KdsSection;
use assay_ledger::embedded::{ChainConfig, EmbeddedChain, SystemClock};
use assay_ledger::{
    Action, AssayLedger, ClassTerms, Deployment, GenesisParameters, LedgerKey, NewHyperNode,
    NewNode, possession_message, rpc,
};
use assay_protocol::class::ValidClass;
use assay_protocol::cose::{PublicKey, Signer as _};
use assay_protocol::hash::digest;
use assay_protocol::ids::{
    Address, Bps, Digest, Epoch, HyperNodeId, NodeId, Seed, SessionKey, Slot, Stake, UnixMs,
};
use assay_protocol::outcome::{Outcome, OutcomeKind};
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_protocol::schedule::seed_end;
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use assay_protocol::wire;
use assay_testbed::TestCa;
use assay_transport::{Identity, frames, tls};
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use serde::{Serialize, de::DeserializeOwned};
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Longest frame of any peer.
pub const FRAME_MAX: usize = 16 * 1024 * 1024;
/// The node that scripted agents play.
pub const NODE: NodeId = NodeId([0x11; 32]);
const CHAIN_ID: u64 = 31_337;
const LINKS: u64 = 16;
/// Secrets of two accounts of the ledger: every byte is this.
const DEPLOYER: u8 = 1;
const PROVIDER: u8 = 2;
/// Ten coins, which is what the demonstration class asks for.
const COLLATERAL: u128 = 10_000_000_000_000_000_000;
const STAKES: [u128; 4] = [40, 25, 20, 15];

/// Lengths in milliseconds.
#[derive(Clone, Copy)]
pub struct Times {
    /// One slot.
    pub slot: u64,
    /// Slots in an epoch.
    pub slots: u64,
    /// Commits, reveals, votes, void.
    pub phases: [u64; 4],
    /// How long ago epoch 0 began.
    pub since_genesis: u64,
}

/// Slots so long that no timing decides a test.
pub const CALM: Times = Times {
    slot: 120_000,
    slots: 4,
    phases: [1_000, 2_000, 3_000, 4_000],
    since_genesis: 50,
};

/// Slots so short that silence can be waited for.
pub const BRISK: Times = Times {
    slot: 6_000,
    slots: 100,
    ..CALM
};

/// One HyperNode of the roster.
pub struct Member {
    /// Its configuration.
    pub config: Config,
    /// Where that is.
    pub file: PathBuf,
    /// Its key.
    pub identity: Identity,
    /// Its account.
    pub ledger_key: LedgerKey,
}

/// The network.
pub struct Bench {
    /// Everything on disk.
    pub dir: TempDir,
    /// What was fixed at genesis.
    pub params: NetworkParams,
    /// The one class.
    pub class: ValidClass,
    /// The roster, in its order.
    pub members: Vec<Member>,
    ledger: Option<AssayLedger>,
    opened: AtomicU32,
}

impl Bench {
    /// A network whose ledger cannot be reached.
    pub fn new(times: Times) -> Self {
        Self::with_vendors(times, &some_vendor())
    }

    /// The same with these TPM vendors.
    pub fn with_vendors(times: Times, vendors: &TrustBundle) -> Self {
        Self::with_rules(times, vendors, "")
    }

    /// `rules` come after the demonstration class.
    pub fn with_rules(times: Times, vendors: &TrustBundle, rules: &str) -> Self {
        let class = assay_hw_profiles::DEMO_CLASS;
        Self::with_class(times, vendors, &format!("{class}\n{rules}"))
    }

    /// The text of the class that every node promises, but with a small region.
    pub fn with_class(times: Times, vendors: &TrustBundle, class: &str) -> Self {
        let bench = Self::make(times, vendors, class);
        bench.write();
        bench
    }

    /// A network with a ledger that says where the other HyperNodes listen; member 0 is the one tested.
    pub async fn with_ledger(times: Times, endpoints: [String; 4]) -> Self {
        let class = assay_hw_profiles::DEMO_CLASS;
        Self::on_ledger(times, &some_vendor(), class, endpoints).await
    }

    /// The same with these TPM vendors and this class.
    pub async fn on_ledger(
        times: Times,
        vendors: &TrustBundle,
        class: &str,
        endpoints: [String; 4],
    ) -> Self {
        let mut bench = Self::make(times, vendors, class);
        let (ledger, url) = bench.deploy(endpoints).await;
        bench.params.contract = ledger.contract();
        for member in &mut bench.members {
            member.config.ledger_url.clone_from(&url);
        }
        let (deployer, network) = (key(DEPLOYER), bench.params.network_id());
        let committee = ledger.committee_of(Epoch(0)).unwrap().hash();
        let genesis = Action::open_genesis(network, committee);
        ledger.submit(&deployer, &genesis).unwrap();
        bench.ledger = Some(ledger);
        bench.write();
        bench
    }

    /// Has a provider register `node` on the ledger, with what its class asks for.
    pub fn register(&self, node: NodeId, endpoint: &str) {
        let new = NewNode {
            node,
            class_digest: self.class_digest(),
            region: [0; 32],
            endpoint: endpoint.to_owned(),
            collateral: Stake(COLLATERAL),
        };
        let ledger = self.ledger.as_ref().unwrap();
        let register = Action::register_node(&new);
        ledger.submit(&key(PROVIDER), &register).unwrap();
    }

    /// Has the provider register a HyperNode after genesis.
    pub fn register_stranger(&self, identity: &Identity, seed_end: Seed, endpoint: &str) {
        let (ledger, provider) = (self.ledger.as_ref().unwrap(), key(PROVIDER));
        let new = NewHyperNode {
            ed25519: HyperNodeId(identity.public_key()),
            proof: proof(ledger, identity, provider.address()),
            operator: Digest([0x77; 32]),
            seed_end,
            endpoint: endpoint.to_owned(),
            stake: Stake(1),
        };
        let register = Action::register_hypernode(&new);
        ledger.submit(&provider, &register).unwrap();
    }

    fn make(times: Times, vendors: &TrustBundle, class: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = class.replace("region_blocks = 4096", "region_blocks = 64");
        let class = assay_hw_profiles::parse(&text).unwrap();
        fs::write(dir.path().join("class.toml"), text).unwrap();
        let vendors = serde_json::to_string(vendors).unwrap();
        fs::write(dir.path().join("vendors.json"), vendors).unwrap();
        let mut members: Vec<Member> = (0..4).map(|n| Member::new(dir.path(), n)).collect();
        members.sort_by_key(Member::id);
        let params = params(times, &class, &members);
        params.validate().unwrap();
        let opened = AtomicU32::new(0);
        Self {
            dir,
            params,
            class,
            members,
            ledger: None,
            opened,
        }
    }

    fn write(&self) {
        let params = serde_json::to_string(&self.params).unwrap();
        fs::write(self.path("network.json"), params).unwrap();
        self.members.iter().for_each(Member::write);
    }

    /// A file of the network.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Opens a member with its own state, as a start of the daemon does.
    pub fn open(&self, member: usize) -> Arc<Context> {
        open(&self.members[member].file)
    }

    /// Opens a member with a new, empty state.
    pub fn fresh(&self, member: usize) -> Arc<Context> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let state_dir = self.path(&format!("fresh-{number}"));
        let config = Config {
            state_dir,
            ..self.members[member].config.clone()
        };
        let file = self.path(&format!("fresh-{number}.toml"));
        fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
        open(&file)
    }

    /// Epoch and slot of now.
    pub fn place(&self) -> (Epoch, Slot) {
        self.params.at(clock::now()).unwrap()
    }

    /// Digest of the one class.
    pub fn class_digest(&self) -> Digest {
        self.class.digest()
    }

    /// A registration of `node` at `endpoint`.
    pub fn registered(&self, node: NodeId, endpoint: &str) -> Registered {
        Registered {
            node,
            endpoint: endpoint.to_owned(),
            class: self.class_digest(),
        }
    }

    async fn deploy(&self, endpoints: [String; 4]) -> (AssayLedger, String) {
        let rich = |key: &LedgerKey| (key.address(), Stake(2 * COLLATERAL));
        let (deployer, provider) = (key(DEPLOYER), key(PROVIDER));
        let keys = self.members.iter().map(|member| &member.ledger_key);
        let config = ChainConfig {
            chain_id: CHAIN_ID,
            balances: keys.chain([&deployer, &provider]).map(rich).collect(),
        };
        let chain = EmbeddedChain::open(&self.path("chain.db"), &config, SystemClock).unwrap();
        let chain = Arc::new(chain);
        let genesis = GenesisParameters::least(
            UnixMs(clock::now().0 + 600_000),
            self.params.epoch_ms,
            self.params.void_after_ms,
            self.params.operator_cap_bps,
        );
        let deployment = Deployment::least(genesis, self.params.slots(), deployer.address());
        let ledger = AssayLedger::deploy(chain.clone(), &deployer, &deployment).unwrap();
        let submit = |key: &LedgerKey, action: Action| ledger.submit(key, &action).unwrap();
        submit(&deployer, Action::set_class(self.class_digest(), &terms()));
        submit(
            &deployer,
            Action::mint(provider.address(), Stake(COLLATERAL)),
        );
        for ((member, entry), endpoint) in
            self.members.iter().zip(&self.params.roster).zip(endpoints)
        {
            let account = member.ledger_key.address();
            let new = NewHyperNode {
                ed25519: entry.id,
                proof: proof(&ledger, &member.identity, account),
                operator: entry.operator,
                seed_end: entry.seed_end,
                endpoint,
                stake: entry.stake,
            };
            submit(&deployer, Action::mint(account, entry.stake));
            submit(&member.ledger_key, Action::register_hypernode(&new));
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(rpc::serve(chain, listener));
        (ledger, url)
    }
}

/// That the key's owner lets this account register it.
fn proof(ledger: &AssayLedger, identity: &Identity, account: Address) -> [u8; 64] {
    let stake = ledger.contracts().stake;
    identity.sign(&possession_message(CHAIN_ID, stake, account))
}

/// What the ledger asks of the class's providers.
fn terms() -> ClassTerms {
    ClassTerms {
        collateral: Stake(COLLATERAL),
        slash_cap_per_epoch: Stake(COLLATERAL),
        remove_below: Stake(0),
        slash_cap_bps: Bps(10_000),
        builder_share_bps: Bps(0),
    }
}

/// The account that has registered a stranger.
pub fn stranger_key(file: &Path) -> LedgerKey {
    LedgerKey::create_file(file, &[PROVIDER; 32]).unwrap()
}

fn key(of: u8) -> LedgerKey {
    LedgerKey::from_bytes(&[of; 32]).unwrap()
}

impl Member {
    fn new(dir: &Path, number: u8) -> Self {
        let own = dir.join(format!("hypernode-{number}"));
        fs::create_dir(&own).unwrap();
        let identity = Identity::create(&own.join("key")).unwrap();
        Secrets::create(&own.join("secrets")).unwrap();
        let secret = [10 + number; 32];
        let ledger_key = LedgerKey::create_file(&own.join("ledger-key"), &secret).unwrap();
        let config = Config {
            key: own.join("key"),
            ledger_key: own.join("ledger-key"),
            secrets: own.join("secrets"),
            network: dir.join("network.json"),
            vendors: dir.join("vendors.json"),
            classes: vec![dir.join("class.toml")],
            state_dir: own.join("state"),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ledger_url: "http://127.0.0.1:1".into(),
            ledger_ca: None,
            ledger_confirmations: None,
            bridge: BridgeSection {
                address: "127.0.0.1:1".parse().unwrap(),
                key: Digest([0; 32]),
            },
            kds: KdsSection::default(),
        };
        Self {
            config,
            file: own.join("hypernode.toml"),
            identity,
            ledger_key,
        }
    }

    /// Its id.
    pub fn id(&self) -> HyperNodeId {
        HyperNodeId(self.identity.public_key())
    }

    /// Writes its configuration.
    pub fn write(&self) {
        fs::write(&self.file, toml::to_string(&self.config).unwrap()).unwrap();
    }
}

fn open(file: &Path) -> Arc<Context> {
    Arc::new(Context::open(config::load(file).unwrap()).unwrap().0)
}

fn params(times: Times, class: &ValidClass, members: &[Member]) -> NetworkParams {
    let entry = |(member, stake): (&Member, u128)| RosterEntry {
        id: member.id(),
        operator: digest(&[b"operator", &member.id().0]),
        ledger: member.ledger_key.address(),
        stake: Stake(stake),
        seed_end: seed_end(&Secrets::load(&member.config.secrets).unwrap().seed, LINKS),
    };
    let [commit_ms, reveal_ms, vote_ms, void_after_ms] = times.phases;
    NetworkParams {
        chain_id: CHAIN_ID,
        contract: Address([1; 20]),
        genesis_unix_ms: UnixMs(clock::now().0 - times.since_genesis),
        epoch_ms: times.slot * times.slots,
        slot_ms: times.slot,
        clock_skew_ms_max: 500,
        panel_min: 3,
        operator_cap_bps: Bps(4_000),
        systemic_min_providers: 0,
        control_probes: 2,
        persistence: (1, 1),
        reaudit_seats: 0,
        region_epochs: 2,
        seed_chain_links: LINKS,
        commit_ms,
        reveal_ms,
        vote_ms,
        void_after_ms,
        absent_epochs: 0,
        gwei: 1_000_000_000,
        classes: vec![class.digest()],
        roster: members.iter().zip(STAKES).map(entry).collect(),
    }
}

/// A bundle that trusts this authority's TPMs.
pub fn vendors(ca: &TestCa) -> TrustBundle {
    let certificate = ca.root_der().unwrap();
    let intermediates = ca.intermediates_der().unwrap();
    let root = VendorRoot {
        name: "test CA".into(),
        intermediates: intermediates.into_iter().map(HexBytes).collect(),
        ..root(certificate)
    };
    trusting(root)
}

/// A root that has vouched for no TPM of these tests.
fn some_vendor() -> TrustBundle {
    let certificate = include_bytes!("../../../fuzz/ek/root.der").to_vec();
    trusting(root(certificate))
}

fn root(certificate: Vec<u8>) -> VendorRoot {
    VendorRoot {
        name: "a test CA".into(),
        kind: RootKind::Test,
        ek_type: EkType::Rsa2048,
        firmware_min: 0,
        sha256: digest(&[&certificate]),
        certificate,
        intermediates: Vec::new(),
    }
}

fn trusting(root: VendorRoot) -> TrustBundle {
    TrustBundle {
        allowed_kinds: vec![RootKind::Test],
        roots: vec![root],
    }
}

/// The one outcome of this kind that was recorded.
pub fn outcome(context: &Context, kind: OutcomeKind) -> Outcome {
    outcome_of(context, NODE, kind)
}

/// The same, of this node.
pub fn outcome_of(context: &Context, node: NodeId, kind: OutcomeKind) -> Outcome {
    let mut found = report::outcomes(context, Epoch(0), node).unwrap();
    found.retain(|outcome| outcome.kind == kind);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// What a scripted peer does, in order.
pub enum Act {
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Does nothing for so long.
    Wait(Duration),
    /// Neither answers nor reads nor closes.
    Hang,
    /// Closes the connection.
    Close,
}

/// One message as it travels.
pub fn frame<T: Serialize>(message: &T) -> Vec<u8> {
    wire::frame(message, FRAME_MAX).unwrap()
}

/// Says one message.
pub fn say<T: Serialize>(message: &T) -> Vec<Act> {
    vec![Act::Say(frame(message))]
}

/// A TLS server that reads requests of type `Q` and follows `script`, one script for all its connections.
/// Returns its address.
pub fn serve<Q: DeserializeOwned>(
    identity: &Identity,
    script: impl FnMut(Q) -> Vec<Act> + Send + 'static,
) -> String {
    serve_on(TcpListener::bind("127.0.0.1:0").unwrap(), identity, script)
}

/// The same, for one connection only; more are refused.
pub fn serve_once<Q: DeserializeOwned>(
    identity: &Identity,
    script: impl FnMut(Q) -> Vec<Act> + Send + 'static,
) -> String {
    serve_some(
        TcpListener::bind("127.0.0.1:0").unwrap(),
        1,
        identity,
        script,
    )
}

/// The same, on a listener that is there already.
pub fn serve_on<Q: DeserializeOwned>(
    listener: TcpListener,
    identity: &Identity,
    script: impl FnMut(Q) -> Vec<Act> + Send + 'static,
) -> String {
    serve_some(listener, usize::MAX, identity, script)
}

fn serve_some<Q: DeserializeOwned>(
    listener: TcpListener,
    connections: usize,
    identity: &Identity,
    script: impl FnMut(Q) -> Vec<Act> + Send + 'static,
) -> String {
    let endpoint = listener.local_addr().unwrap().to_string();
    let config = tls::server_config(identity, Arc::new(|_: &PublicKey| true)).unwrap();
    let script = Arc::new(Mutex::new(script));
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten().take(connections) {
            let (config, script) = (Arc::clone(&config), Arc::clone(&script));
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(connection, socket);
                while let Ok(request) = frames::read(&mut stream, FRAME_MAX) {
                    let acts = (*script.lock().unwrap())(request);
                    if !acts.into_iter().all(|act| act.carry_out(&mut stream)) {
                        return;
                    }
                }
            });
        }
    });
    endpoint
}

impl Act {
    /// Whether the conversation goes on.
    fn carry_out(self, stream: &mut StreamOwned<ServerConnection, TcpStream>) -> bool {
        match self {
            Self::Say(bytes) => stream
                .write_all(&bytes)
                .and_then(|()| stream.flush())
                .is_ok(),
            Self::Wait(time) => {
                std::thread::sleep(time);
                true
            }
            Self::Hang => loop {
                std::thread::park();
            },
            Self::Close => false,
        }
    }
}

/// A blocking client that lets in any server.
pub struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Connects with this key.
    pub fn connect(endpoint: &str, identity: &Identity) -> Self {
        let config = tls::client_config(identity, Arc::new(|_: &PublicKey| true)).unwrap();
        let connection = ClientConnection::new(config, tls::server_name()).unwrap();
        Self(StreamOwned::new(
            connection,
            TcpStream::connect(endpoint).unwrap(),
        ))
    }

    /// Sends a request and waits for the answer.
    pub fn ask<Q: Serialize, A: DeserializeOwned>(&mut self, request: &Q) -> A {
        frames::write(&mut self.0, request, FRAME_MAX).unwrap();
        frames::read(&mut self.0, FRAME_MAX).unwrap()
    }
}

/// A session key of a scripted agent.
pub fn session(identity: &Identity) -> SessionKey {
    SessionKey(identity.public_key())
}
