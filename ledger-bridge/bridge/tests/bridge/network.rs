//! Four simulated HyperNodes (keys only) around a bridge on a fresh embedded chain with a hand-moved clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assay_aggregate::agreement::{Entry, input_set_hash};
use assay_aggregate::epoch::{EpochOutcome, Included};
use assay_aggregate::inputs::History;
use assay_aggregate::root::{Committee, EpochRoot, Member};
use assay_bridge::board::Board;
use assay_bridge::board::heard::Heard;
use assay_bridge::config::Plan;
use assay_bridge::outbox::Settings;
use assay_bridge::poster::{Poster, Step};
use assay_bridge::replay;
use assay_bridge::setup;
use assay_bridge::store::Store;
use assay_ledger::embedded::{ChainConfig, EmbeddedChain};
use assay_ledger::rpc::RpcChain;
use assay_ledger::{
    Action, AssayLedger, Chain, LedgerKey, NewHyperNode, NewNode, possession_message,
};
use assay_protocol::class::ValidClass;
use assay_protocol::cose::{Authenticated, Payload, Signer, seal};
use assay_protocol::ids::{
    Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Seed, Stake, UnixMs,
};
use assay_protocol::item::Blob;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::params::NetworkParams;
use assay_protocol::report::{
    AttestSummary, Cell, ChaseKind, ChaseSummary, Commit, NodeReport, Proposal, Report, Reveal,
    RootSignature, Vote, commitment,
};
use assay_protocol::schedule::{seed_end, seed_of_epoch};
use assay_protocol::succession::{Succession, members, succession};
use assay_protocol::wire::{BoardObject, Refusal};
use assay_testbed::Anvil;
use assay_transport::Identity;

pub const CHAIN_ID: u64 = 31_337;
pub const EPOCH_MS: u64 = 8_000;
pub const NODE: NodeId = NodeId([0x11; 32]);
const LINKS: u64 = 64;
pub const COIN: u128 = 1_000_000_000_000_000_000;
/// A node makes a block a transaction, each a second later than the one before.
const SETUP_MS: u64 = 100_000;

pub const PLAN: &str = r#"
epoch_ms = 8000
slot_ms = 100
clock_skew_ms_max = 50
panel_min = 3
operator_cap_bps = 4000
systemic_min_providers = 0
control_probes = 2
persistence = [1, 1]
reaudit_seats = 0
region_epochs = 2
seed_chain_links = 64
commit_ms = 1000
reveal_ms = 2000
vote_ms = 3000
void_after_ms = 5000
absent_epochs = 0
dispute_window_epochs = 0
classes = ["demo.toml"]
"#;

pub fn key(n: u8) -> LedgerKey {
    LedgerKey::from_bytes(&[n; 32]).unwrap()
}

pub fn deployer() -> LedgerKey {
    key(1)
}

pub fn poster_key() -> LedgerKey {
    key(2)
}

pub fn provider() -> LedgerKey {
    key(50)
}

/// A HyperNode as the bridge knows it: what it signs, nothing it measures.
pub struct HyperNode {
    pub identity: Identity,
    pub ledger: LedgerKey,
    seed: Seed,
    index: u8,
}

impl HyperNode {
    pub fn new(index: u8) -> Self {
        Self {
            identity: Identity::generate().unwrap(),
            ledger: key(10 + index),
            seed: Seed([60 + index; 32]),
            index,
        }
    }

    pub fn id(&self) -> HyperNodeId {
        HyperNodeId(self.identity.public_key())
    }

    fn registration(&self, ledger: &AssayLedger, stake: u128) -> NewHyperNode {
        let contract = ledger.contracts().stake;
        let message = possession_message(CHAIN_ID, contract, self.ledger.address());
        NewHyperNode {
            ed25519: self.id(),
            proof: self.identity.sign(&message),
            operator: Digest([150 + self.index; 32]),
            seed_end: seed_end(&self.seed, LINKS),
            endpoint: format!("127.0.0.1:{}", 9000 + u16::from(self.index)),
            stake: Stake(stake),
        }
    }

    pub fn seal<T: Payload>(&self, payload: T) -> Vec<u8> {
        seal(payload, &self.identity).bytes().to_vec()
    }

    /// A report that the node was up all the time.
    pub fn report(&self, net: &Network, epoch: Epoch) -> Report {
        Report {
            network: net.network,
            epoch,
            hypernode: self.id(),
            seed: seed_of_epoch(&self.seed, LINKS, epoch).unwrap(),
            log_size: 7,
            log_root: Digest([self.index; 32]),
            nodes: vec![NodeReport {
                node: NODE,
                class: net.class.digest(),
                cells: Blob(vec![Cell::Answered as u8; net.params.slots() as usize]),
                attest: AttestSummary {
                    class: OutcomeClass::Pass,
                    tier: 1,
                    owner: Some(provider().address()),
                    chips: None,
                },
                chase: ChaseSummary {
                    class: OutcomeClass::Pass,
                    reads_per_s: 500,
                    kind: ChaseKind::Liveness,
                },
                outcome_root: Digest([9; 32]),
                outcomes: 3,
                reveals: Vec::new(),
            }],
            at: net.params.epoch_end(epoch),
        }
    }

    pub fn signed_report(&self, net: &Network, epoch: Epoch) -> Authenticated<Report> {
        seal(self.report(net, epoch), &self.identity)
    }

    pub fn salt(&self) -> [u8; 32] {
        [self.index; 32]
    }

    pub fn commitment(&self, net: &Network, epoch: Epoch) -> Digest {
        commitment(
            &net.network,
            epoch,
            &self.salt(),
            self.signed_report(net, epoch).bytes(),
        )
    }

    pub fn commit(&self, net: &Network, epoch: Epoch) -> BoardObject {
        self.commit_to(net, epoch, self.commitment(net, epoch))
    }

    pub fn commit_to(&self, net: &Network, epoch: Epoch, commitment: Digest) -> BoardObject {
        let (network, hypernode, at) = (net.network, self.id(), net.params.epoch_end(epoch));
        BoardObject::Commit(self.seal(Commit {
            network,
            epoch,
            hypernode,
            commitment,
            at,
        }))
    }

    pub fn reveal(&self, net: &Network, epoch: Epoch) -> BoardObject {
        self.reveal_of(
            net,
            epoch,
            self.salt(),
            self.signed_report(net, epoch).bytes(),
        )
    }

    pub fn reveal_of(
        &self,
        net: &Network,
        epoch: Epoch,
        salt: [u8; 32],
        report: &[u8],
    ) -> BoardObject {
        BoardObject::Reveal(self.seal(Reveal {
            network: net.network,
            epoch,
            hypernode: self.id(),
            salt,
            report: Blob(report.to_vec()),
            at: net.params.epoch_end(epoch),
        }))
    }

    pub fn proposal(&self, net: &Network, epoch: Epoch, list: &[Entry]) -> BoardObject {
        BoardObject::Proposal(self.seal(Proposal {
            network: net.network,
            epoch,
            round: 0,
            hypernode: self.id(),
            entries: list.iter().map(|e| (e.hypernode, e.commit)).collect(),
            at: net.params.epoch_end(epoch),
        }))
    }

    pub fn vote(&self, net: &Network, epoch: Epoch, input_set: Digest) -> BoardObject {
        let (network, hypernode, at) = (net.network, self.id(), net.params.epoch_end(epoch));
        BoardObject::Vote(self.seal(Vote {
            network,
            epoch,
            round: 0,
            hypernode,
            input_set,
            at,
        }))
    }

    /// A word for a roster of its own making from an epoch on.
    pub fn word(&self, net: &Network, from: Epoch) -> Succession {
        let members = members([(self.id(), 1)]);
        succession(&net.params, net.network, (from, &members), self.id())
    }

    pub fn root_signature(&self, net: &Network, epoch: Epoch, digest: Keccak) -> BoardObject {
        self.root_signature_by(net, epoch, digest, &self.ledger)
    }

    pub fn root_signature_by(
        &self,
        net: &Network,
        epoch: Epoch,
        digest: Keccak,
        key: &LedgerKey,
    ) -> BoardObject {
        self.root_signature_in(net, (epoch, 0), digest, key)
    }

    pub fn root_signature_in(
        &self,
        net: &Network,
        (epoch, round): (Epoch, u32),
        digest: Keccak,
        key: &LedgerKey,
    ) -> BoardObject {
        BoardObject::RootSignature(self.seal(RootSignature {
            network: net.network,
            epoch,
            round,
            hypernode: self.id(),
            digest,
            signature: key.sign_digest(&digest).unwrap(),
            at: net.params.epoch_end(epoch),
        }))
    }
}

pub struct Network {
    pub dir: tempfile::TempDir,
    pub clock: Arc<AtomicU64>,
    pub chain: Arc<dyn Chain>,
    /// The node, when the ledger is a real one.
    pub node: Option<Anvil>,
    pub params: NetworkParams,
    pub network: NetworkId,
    pub class: ValidClass,
    pub hypernodes: Vec<HyperNode>,
    pub store: Arc<Store>,
    pub board: Board,
}

impl Network {
    /// An open network with one registered node; the clock stands at genesis.
    pub fn open() -> Self {
        Self::open_at(1_800_000_000_000, PLAN)
    }

    pub fn open_at(genesis: u64, plan: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // What counts in epoch 0 is registered before it.
        let clock = Arc::new(AtomicU64::new(genesis - SETUP_MS));
        let chain = Arc::new(chain(&dir.path().join("chain.db"), &clock));
        Self::open_on(dir, clock, chain, None, genesis, plan)
    }

    /// Like [`Network::open`], on a real node.
    pub fn on_node() -> Self {
        Self::on_node_at(1_800_000_000_000, PLAN)
    }

    pub fn on_node_at(genesis: u64, plan: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let start = ((genesis - 2 * SETUP_MS) / 1_000).to_string();
        let state = dir.path().join("node.json").display().to_string();
        let node = Anvil::start(&["--timestamp", &start, "--state", &state]).unwrap();
        for n in (1..15).chain([50]) {
            let account = key(n).address().to_string();
            node.set_balance(&account, 1_000_000_000_000_000_000_000)
                .unwrap();
        }
        node.set_time((genesis - SETUP_MS) / 1_000).unwrap();
        let chain = Arc::new(RpcChain::connect(&node.url()).unwrap());
        let clock = Arc::new(AtomicU64::new(genesis - SETUP_MS));
        Self::open_on(dir, clock, chain, Some(node), genesis, plan)
    }

    fn open_on(
        dir: tempfile::TempDir,
        clock: Arc<AtomicU64>,
        chain: Arc<dyn Chain>,
        node: Option<Anvil>,
        genesis: u64,
        plan: &str,
    ) -> Self {
        let plan = plan_file(dir.path(), plan);
        let class = plan.load_classes().unwrap().remove(0);
        let contract = setup::deploy(
            chain.clone(),
            &deployer(),
            &plan,
            UnixMs(genesis),
            u128::MAX,
        );
        let ledger = AssayLedger::at(chain.clone(), contract.unwrap()).unwrap();
        let submit = |key: &LedgerKey, action: Action| ledger.submit(key, &action).unwrap();
        let hypernodes: Vec<_> = (0..4).map(HyperNode::new).collect();
        join(&ledger, &hypernodes);
        let out = dir.path().join("network.json");
        setup::open_genesis(&ledger, &deployer(), &plan, &out).unwrap();
        let params = assay_bridge::config::params_file(&out).unwrap();
        let new = NewNode {
            node: NODE,
            class_digest: class.digest(),
            region: [0; 32],
            endpoint: "127.0.0.1:7000".into(),
            collateral: Stake(20 * COIN),
        };
        submit(&provider(), Action::register_node(&new));
        submit(&deployer(), Action::fund(Epoch(0), 50, Stake(COIN)));
        clock.store(genesis, Ordering::SeqCst);
        if let Some(node) = &node {
            node.set_time(genesis / 1_000).unwrap();
        }
        let network = params.network_id();
        let store = Arc::new(Store::open(&dir.path().join("state"), network).unwrap());
        let ledger = AssayLedger::at(chain.clone(), params.contract).unwrap();
        let board = Board::new(params.clone(), store.clone(), Heard::on(ledger));
        Self {
            dir,
            clock,
            chain,
            node,
            params,
            network,
            class,
            hypernodes,
            store,
            board,
        }
    }

    /// Has one more HyperNode register with a stake in coins, now.
    pub fn join(&mut self, stake: u128) -> &HyperNode {
        let newcomer = HyperNode::new(4);
        let new = newcomer.registration(&self.ledger(), stake * COIN);
        let register = Action::register_hypernode(&new);
        self.ledger().submit(&newcomer.ledger, &register).unwrap();
        self.hypernodes.push(newcomer);
        &self.hypernodes[4]
    }

    /// Another board over a store of this network.
    pub fn board_over(&self, store: Arc<Store>) -> Board {
        Board::new(self.params.clone(), store, Heard::on(self.ledger()))
    }

    /// A registration of the node by anybody, with plenty of collateral.
    pub fn register(&self, by: &LedgerKey) {
        let new = NewNode {
            node: NODE,
            class_digest: self.class.digest(),
            region: [0; 32],
            endpoint: "127.0.0.1:7001".into(),
            collateral: Stake(20 * COIN),
        };
        self.ledger()
            .submit(by, &Action::register_node(&new))
            .unwrap();
    }

    /// Time passes until nothing waits any more that no root has named; this one's registration ends.
    pub fn expire(&self, provider: &LedgerKey) {
        let registered = self.ledger().nodes().unwrap()[0].registered_at.0;
        let wait = self.ledger().node_terms().unwrap().provisional_ms;
        let now = self.now().0;
        self.pass((registered + wait).saturating_sub(now));
        let expire = Action::expire(NODE, provider.address());
        self.ledger().submit(&poster_key(), &expire).unwrap();
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn ledger(&self) -> AssayLedger {
        AssayLedger::at(self.chain.clone(), self.params.contract).unwrap()
    }

    /// `None` while the node does not answer.
    pub fn ledger_if_up(&self) -> Option<AssayLedger> {
        AssayLedger::at(self.chain.clone(), self.params.contract).ok()
    }

    pub fn history(&self) -> History {
        History::new(&self.params, [self.class.clone()]).unwrap()
    }

    pub fn poster(&self) -> Poster {
        self.poster_on(self.chain.clone())
    }

    pub fn poster_on(&self, chain: Arc<dyn Chain>) -> Poster {
        let ledger = AssayLedger::at(chain, self.params.contract).unwrap();
        Poster::new(self.store.clone(), ledger, poster_key(), self.history()).unwrap()
    }

    /// A poster with a key and a state of its own, or those of the network.
    pub fn poster_with(&self, store: Arc<Store>, key: LedgerKey, chain: Arc<dyn Chain>) -> Poster {
        let ledger = AssayLedger::at(chain, self.params.contract).unwrap();
        let settings = Settings {
            unfinal_max: 4,
            ..Settings::default()
        };
        Poster::with(store, ledger, Arc::new(key), self.history(), settings).unwrap()
    }

    /// A copy of the board in another state.
    pub fn copy_of_store(&self, dir: &Path, epoch: Epoch) -> Arc<Store> {
        let store = Store::open(dir, self.network).unwrap();
        for stored in self.store.objects(epoch, 0, 1_000, usize::MAX).unwrap() {
            let from = HyperNodeId([stored.number as u8; 32]);
            store.insert(epoch, &from, &stored.object).unwrap();
        }
        Arc::new(store)
    }

    /// Moves the clock to `ms` after the end of an epoch.
    pub fn at(&self, epoch: Epoch, ms: u64) -> UnixMs {
        let now = UnixMs(self.params.epoch_end(epoch).0 + ms);
        self.clock.store(now.0, Ordering::SeqCst);
        if let Some(node) = &self.node {
            node.set_time(now.0 / 1_000).unwrap();
        }
        now
    }

    pub fn node(&self) -> &Anvil {
        self.node.as_ref().unwrap()
    }

    /// Time passes for the bridge, and no block is made.
    pub fn pass(&self, ms: u64) -> UnixMs {
        UnixMs(self.clock.fetch_add(ms, Ordering::SeqCst) + ms)
    }

    pub fn now(&self) -> UnixMs {
        UnixMs(self.clock.load(Ordering::SeqCst))
    }

    /// Posts an object on behalf of its author.
    pub fn post(&self, by: &HyperNode, epoch: Epoch, object: &BoardObject) -> Result<u64, Refusal> {
        self.board.refresh(self.now()).unwrap();
        self.board.post(by.id(), epoch, object, self.now())
    }

    pub fn list(&self, epoch: Epoch) -> Vec<Entry> {
        let entry = |h: &HyperNode| Entry {
            hypernode: h.id(),
            commit: h.commitment(self, epoch),
        };
        let mut list: Vec<_> = self.hypernodes.iter().map(entry).collect();
        list.sort();
        list
    }

    /// What a HyperNode computes from the agreed reports.
    pub fn outcome(&self, history: &History) -> EpochOutcome {
        let epoch = history.next();
        self.outcome_of(history, &self.reports(epoch))
    }

    /// What comes of other reports.
    pub fn outcome_of(
        &self,
        history: &History,
        reports: &BTreeMap<HyperNodeId, Included>,
    ) -> EpochOutcome {
        let mut history = history.clone();
        replay::learn(&self.ledger(), &mut history).unwrap();
        let read = replay::Read::of(&self.ledger(), &history).unwrap();
        history
            .aggregate(read.claims, reports, read.budget.0)
            .unwrap()
    }

    pub fn reports(&self, epoch: Epoch) -> BTreeMap<HyperNodeId, Included> {
        let included = |h: &HyperNode| Included {
            commit: h.commitment(self, epoch),
            report: h.report(self, epoch),
        };
        self.hypernodes
            .iter()
            .map(|h| (h.id(), included(h)))
            .collect()
    }

    pub fn digest(&self, outcome: &EpochOutcome) -> Keccak {
        outcome.root.digest(CHAIN_ID, &self.params.contract)
    }

    /// All HyperNodes commit, reveal and vote for the full list; the first proposes.
    pub fn agree(&self, epoch: Epoch) {
        self.at(epoch, 100);
        for hypernode in &self.hypernodes {
            self.post(hypernode, epoch, &hypernode.commit(self, epoch))
                .unwrap();
        }
        self.at(epoch, 1_100);
        for hypernode in &self.hypernodes {
            self.post(hypernode, epoch, &hypernode.reveal(self, epoch))
                .unwrap();
        }
        let list = self.list(epoch);
        let input_set = input_set_hash(&self.network, epoch, &list);
        let first = &self.hypernodes[0];
        self.at(epoch, 2_100);
        self.post(first, epoch, &first.proposal(self, epoch, &list))
            .unwrap();
        for hypernode in &self.hypernodes {
            self.post(hypernode, epoch, &hypernode.vote(self, epoch, input_set))
                .unwrap();
        }
        if let Some(node) = &self.node {
            // Blocks go on, so that what was registered before the epoch is final.
            node.mine(3).unwrap();
        }
    }

    /// These HyperNodes sign a digest.
    pub fn sign(&self, epoch: Epoch, digest: Keccak, signers: &[usize]) {
        self.sign_in((epoch, 0), digest, signers);
    }

    /// These HyperNodes sign a digest in a round of its own.
    pub fn sign_in(&self, (epoch, round): (Epoch, u32), digest: Keccak, signers: &[usize]) {
        for index in signers {
            let h = &self.hypernodes[*index];
            let signed = h.root_signature_in(self, (epoch, round), digest, &h.ledger);
            self.post(h, epoch, &signed).unwrap();
        }
    }

    /// Everybody's signatures of a root, parallel to the members of the committee that signs.
    pub fn signed_by_all(&self, committee: &Committee, root: &EpochRoot) -> Vec<Option<[u8; 65]>> {
        let digest = root.digest(CHAIN_ID, &self.params.contract);
        let signature = |m: &Member| {
            let mut hypernodes = self.hypernodes.iter();
            let h = hypernodes.find(|h| h.ledger.address() == m.address)?;
            Some(h.ledger.sign_digest(&digest).unwrap())
        };
        committee.members().iter().map(signature).collect()
    }

    /// Everybody signs this root and a stranger posts it.
    pub fn post_by_hand(&self, committee: &Committee, root: &EpochRoot) {
        let signatures = self.signed_by_all(committee, root);
        let post = Action::post_root(root, committee, &signatures);
        self.ledger().submit(&provider(), &post).unwrap();
    }
}

/// Everybody gets tokens, and the HyperNodes register.
pub fn join(ledger: &AssayLedger, hypernodes: &[HyperNode]) {
    let submit = |key: &LedgerKey, action: Action| ledger.submit(key, &action).unwrap();
    for n in (1..15).chain([49, 50, 51]) {
        let mint = Action::mint(key(n).address(), Stake(1_000 * COIN));
        submit(&deployer(), mint);
    }
    for (hypernode, stake) in hypernodes.iter().zip([40, 25, 20, 15]) {
        let new = hypernode.registration(ledger, stake * COIN);
        submit(&hypernode.ledger, Action::register_hypernode(&new));
    }
}

pub fn chain(path: &Path, clock: &Arc<AtomicU64>) -> EmbeddedChain {
    let balances = (1..60)
        .map(|n| (key(n).address(), Stake(1_000_000_000_000_000_000_000)))
        .collect();
    let config = ChainConfig {
        chain_id: CHAIN_ID,
        balances,
    };
    let clock = clock.clone();
    EmbeddedChain::open(path, &config, move || clock.load(Ordering::SeqCst)).unwrap()
}

/// Writes the plan and the demo class beside each other.
pub fn plan_file(dir: &Path, text: &str) -> Plan {
    std::fs::write(dir.join("demo.toml"), assay_hw_profiles::DEMO_CLASS).unwrap();
    std::fs::write(dir.join("plan.toml"), text).unwrap();
    Plan::load(&dir.join("plan.toml")).unwrap()
}

/// An epoch in which all HyperNodes of the network take part; what signed of what total.
pub fn complete(net: &Network, poster: &mut Poster) -> (u128, u128) {
    let epoch = poster.history().next();
    net.agree(epoch);
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign(
        epoch,
        digest,
        &(0..net.hypernodes.len()).collect::<Vec<_>>(),
    );
    let posted = poster.step(net.now()).unwrap();
    let Step::Posted { signed, total, .. } = posted else {
        panic!("{posted}");
    };
    while poster.history().next() == epoch {
        poster.step(net.now()).unwrap();
    }
    while !matches!(poster.step(net.now()).unwrap(), Step::Waiting { .. }) {}
    (signed, total)
}

/// Another poster that has computed everything from genesis on by itself.
pub fn computed_again(net: &Network, poster: &Poster) -> Poster {
    let mut again = net.poster();
    while again.history().next() < poster.history().next() {
        again.step(net.now()).unwrap();
    }
    again
}
