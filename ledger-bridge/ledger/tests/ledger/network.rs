//! A small network on a fresh chain with a hand-moved clock.

use std::sync::Arc;

use assay_aggregate::root::{Committee, EpochRoot, NodeLeaf, OutcomeTree};
use assay_ledger::embedded::ChainConfig;
use assay_ledger::{
    AssayLedger, GenesisParameters, LedgerError, LedgerKey, NewHyperNode, NewNode, Receipt,
};
use assay_protocol::ids::{
    Bps, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Ppm, Seed, Stake, UnixMs,
};

use super::bed::{Bed, HandClock, TestChain};

pub const CHAIN_ID: u64 = 31_337;
pub const EPOCH_MS: u64 = 30_000;
pub const VOID_AFTER_MS: u64 = 60_000;
pub const START_MS: u64 = 1_800_000_000_000;
pub const GENESIS_MS: u64 = START_MS + 10_000;
pub const RICH: u128 = 1_000_000_000_000;
pub const NETWORK: NetworkId = NetworkId([0xa5; 32]);
pub const NODE: NodeId = NodeId([0x11; 32]);

pub fn key(n: u8) -> LedgerKey {
    LedgerKey::from_bytes(&[n; 32]).unwrap()
}

pub fn deployer() -> LedgerKey {
    key(1)
}

pub fn provider() -> LedgerKey {
    key(50)
}

pub fn other_provider() -> LedgerKey {
    key(51)
}

pub fn hypernode(index: usize) -> LedgerKey {
    key(10 + index as u8)
}

pub fn config() -> ChainConfig {
    let balances = (1..60).map(|n| (key(n).address(), Stake(RICH))).collect();
    ChainConfig {
        chain_id: CHAIN_ID,
        balances,
    }
}

pub fn parameters() -> GenesisParameters {
    GenesisParameters {
        genesis_unix_ms: UnixMs(GENESIS_MS),
        epoch_ms: EPOCH_MS,
        void_after_ms: VOID_AFTER_MS,
        dispute_window_epochs: 1,
        operator_cap_bps: Bps(4_000),
    }
}

pub struct Network {
    pub clock: HandClock,
    pub chain: Arc<TestChain>,
    pub ledger: AssayLedger,
    pub bed: Bed,
}

pub fn new_hypernode(index: usize, stake: u128) -> NewHyperNode {
    NewHyperNode {
        ed25519: HyperNodeId([100 + index as u8; 32]),
        operator: Digest([150 + index as u8; 32]),
        seed_end: Seed([200 + index as u8; 32]),
        endpoint: format!("127.0.0.1:{}", 9000 + index),
        stake: Stake(stake),
    }
}

pub fn new_node(collateral: u128) -> NewNode {
    NewNode {
        node: NODE,
        class_digest: Digest([0xc1; 32]),
        region: [0; 32],
        endpoint: "127.0.0.1:7000".into(),
        collateral: Stake(collateral),
    }
}

pub fn leaf(epoch: u64) -> NodeLeaf {
    NodeLeaf {
        epoch: Epoch(epoch),
        node: NODE,
        owner: provider().address(),
        confirmed: true,
        verdict: 1,
        reasons: 0,
        tier: 1,
        availability: Ppm(1_000_000),
        lower: Ppm(990_000),
        upper: Ppm(1_000_000),
        coverage: Ppm(1_000_000),
        chase_rate: 1234,
        chase_kind: 1,
        cumulative_reward: 0,
        cumulative_slash: 0,
    }
}

/// The tree of one interesting leaf among two others, and that leaf's proof.
pub fn tree_of(leaf: &NodeLeaf) -> (Keccak, Vec<Keccak>) {
    let tree = OutcomeTree::new(vec![leaf.hash(), Keccak([1; 32]), Keccak([2; 32])]);
    (tree.root(), tree.proof(&leaf.hash()).unwrap())
}

pub fn epoch_root(epoch: u64, root: Keccak, committee: Keccak) -> EpochRoot {
    EpochRoot {
        network: NETWORK,
        epoch: Epoch(epoch),
        round: 0,
        input_set: Digest([3; 32]),
        committee,
        root,
        leaf_count: 3,
        evidence_root: Digest([4; 32]),
        policy_digest: Digest([5; 32]),
        next_committee: committee,
    }
}

impl Network {
    /// Deployed, nothing registered.
    pub fn deployed() -> Self {
        Self::deployed_on(Bed::start(&config()))
    }

    /// Deployed on this chain.
    pub fn deployed_on(bed: Bed) -> Self {
        let (clock, chain) = (bed.clock.clone(), bed.chain.clone());
        let ledger = AssayLedger::deploy(chain.clone(), &deployer(), &parameters()).unwrap();
        Self {
            clock,
            chain,
            ledger,
            bed,
        }
    }

    /// HyperNodes with these stakes, genesis open.
    pub fn open(stakes: &[u128]) -> Self {
        let net = Self::deployed();
        for (index, stake) in stakes.iter().enumerate() {
            let new = new_hypernode(index, *stake);
            net.ledger
                .register_hypernode(&hypernode(index), &new)
                .unwrap();
        }
        net.ledger.open_genesis(&deployer(), NETWORK).unwrap();
        net
    }

    /// The demo's stakes, one provisional node, a funded pool, epoch 0 over.
    pub fn ready() -> Self {
        let net = Self::open(&[40, 25, 20, 15]);
        net.ledger
            .register_node(&provider(), &new_node(500))
            .unwrap();
        net.ledger.fund_rewards(&deployer(), Stake(10_000)).unwrap();
        net.finish(0);
        net
    }

    /// Moves the clock to the first moment at which `epoch` is over.
    pub fn finish(&self, epoch: u64) {
        self.clock.set(GENESIS_MS + (epoch + 1) * EPOCH_MS);
    }

    pub fn committee(&self) -> Committee {
        self.ledger.committee().unwrap()
    }

    pub fn root(&self, epoch: u64, root: Keccak) -> EpochRoot {
        epoch_root(epoch, root, self.committee().hash())
    }

    /// Signatures of these HyperNodes, in the committee's order.
    pub fn signatures(&self, root: &EpochRoot, signers: &[usize]) -> Vec<Option<[u8; 65]>> {
        let digest = root.digest(CHAIN_ID, &self.ledger.contract());
        self.signatures_over(&digest, signers)
    }

    pub fn signatures_over(&self, digest: &Keccak, signers: &[usize]) -> Vec<Option<[u8; 65]>> {
        let keys: Vec<LedgerKey> = signers.iter().map(|i| hypernode(*i)).collect();
        let sign = |address| {
            keys.iter()
                .find(|k| k.address() == address)
                .map(|k| k.sign_digest(digest).unwrap())
        };
        self.committee()
            .members()
            .iter()
            .map(|m| sign(m.address))
            .collect()
    }

    pub fn post(&self, root: &EpochRoot, signers: &[usize]) -> Result<Receipt, LedgerError> {
        let signatures = self.signatures(root, signers);
        self.ledger
            .post_root(&deployer(), root, &self.committee(), &signatures)
    }

    /// Finishes the leaf's epoch, posts a root over it, settles it.
    pub fn conclude(&self, leaf: &NodeLeaf) -> Result<Receipt, LedgerError> {
        let (root, proof) = tree_of(leaf);
        self.finish(leaf.epoch.0);
        self.post(&self.root(leaf.epoch.0, root), &[0, 1, 2])
            .unwrap();
        self.ledger.settle(&deployer(), leaf.epoch, leaf, &proof)
    }
}

/// Asserts that the contract refused with this error.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, LedgerError>, name: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.revert_name(), Some(name), "{error}");
}
