//! A small network on a fresh chain with a hand-moved clock.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use alloy_sol_types::{SolCall, SolValue};
use assay_aggregate::root::{Committee, EpochRoot, NodeLeaf, OutcomeTree, RewardLeaf, keccak};
use assay_ledger::abi::{AssayEpochs, AssayFaults, decode_revert};
use assay_ledger::embedded::ChainConfig;
use assay_ledger::{
    Action, AssayLedger, Chain, ChainError, ClassTerms, CreditTier, Deployment, FaultShares,
    GenesisParameters, LedgerError, LedgerKey, NewHyperNode, NewNode, NodeTerms, Receipt,
    RentTerms, Roles, SignedTx, Token, Trial, possession_message,
};
use assay_protocol::ids::{
    self, Bps, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Ppm, Seed, Stake, UnixMs,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::bed::{Bed, HandClock, TestChain};

pub const CHAIN_ID: u64 = 31_337;
pub const EPOCH_MS: u64 = 30_000;
pub const VOID_AFTER_MS: u64 = 60_000;
pub const WINDOW_MS: u64 = 30_000;
pub const EXTENSION_MS: u64 = 30_000;
/// Void, window, extension, and an epoch.
pub const UNTIL_FINAL_MS: u64 = 150_000;
/// The least that registrations may wait for.
pub const PROVISIONAL_MS: u64 = 2 * UNTIL_FINAL_MS;
pub const UNBONDING_MS: u64 = 210_000;
/// Persistence, re-audit, and the epochs until a root is final.
pub const EXIT_DELAY_EPOCHS: u64 = 7;
pub const START_MS: u64 = 1_800_000_000_000;
/// More than an epoch after the start, so that epoch 0 can still be funded.
pub const GENESIS_MS: u64 = START_MS + 40_000;
pub const RICH: u128 = 1_000_000_000_000;
pub const BOND: Stake = Stake(50);
pub const BUDGET: u128 = 1_000;
pub const NETWORK: NetworkId = NetworkId([0xa5; 32]);
pub const NODE: NodeId = NodeId([0x11; 32]);
pub const CLASS: Digest = Digest([0xc1; 32]);
/// The demo's stakes.
pub const STAKES: [u128; 4] = [40, 25, 20, 15];

pub fn key(n: u8) -> LedgerKey {
    LedgerKey::from_bytes(&[n; 32]).unwrap()
}

pub fn deployer() -> LedgerKey {
    key(1)
}

pub fn treasury() -> LedgerKey {
    key(5)
}

pub fn governor() -> LedgerKey {
    key(6)
}

pub fn guardian() -> LedgerKey {
    key(7)
}

pub fn provider() -> LedgerKey {
    key(50)
}

pub fn other_provider() -> LedgerKey {
    key(51)
}

pub fn builder() -> LedgerKey {
    key(52)
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

pub fn deployment() -> Deployment {
    Deployment {
        genesis: GenesisParameters {
            genesis_unix_ms: UnixMs(GENESIS_MS),
            epoch_ms: EPOCH_MS,
            void_after_ms: VOID_AFTER_MS,
            dispute_window_ms: WINDOW_MS,
            dispute_extension_ms: EXTENSION_MS,
            dispute_bond: BOND,
            min_stake: Stake(5),
            operator_cap_bps: Bps(4_000),
            active_after_epochs: 2,
            unbonding_ms: UNBONDING_MS,
            reporter_bps: Bps(1_000),
        },
        nodes: NodeTerms {
            provisional_ms: PROVISIONAL_MS,
            change_delay_ms: 60_000,
            remove_after_ms: 120_000,
            silence_ms: UNTIL_FINAL_MS,
            persistence_epochs: 1,
            reaudit_epochs: 1,
        },
        rent: RentTerms {
            slots_per_epoch: 10,
            undecided_ppm: 100_000,
            period_epochs: 2,
            max_ahead_epochs: 100,
            notice_epochs: 1,
            refund_epochs: 5,
        },
        faults: FaultShares {
            two_roots: Bps(10_000),
            wrong_root: Bps(5_000),
            two_votes: Bps(1_000),
            forked_log: Bps(1_000),
            wrong_region_key: Bps(1_000),
            unsigned_answer: Bps(1_000),
            two_outcomes: Bps(1_000),
        },
        roles: Roles {
            token: Token::Test { decimals: 18 },
            treasury: treasury().address(),
            governor: governor().address(),
            guardian: guardian().address(),
        },
    }
}

pub fn terms() -> ClassTerms {
    ClassTerms {
        collateral: Stake(100),
        slash_cap_per_epoch: Stake(200),
        remove_below: Stake(50),
        slash_cap_bps: Bps(8_000),
        builder_share_bps: Bps(2_500),
    }
}

/// A tenth of the rent back below 99 %, all of it below 95 %.
pub fn schedule() -> [CreditTier; 2] {
    [(990_000, 1_000), (950_000, 10_000)].map(|(below_ppm, credit)| CreditTier {
        below_ppm,
        credit_bps: Bps(credit),
    })
}

pub struct Network {
    pub clock: HandClock,
    pub chain: Arc<TestChain>,
    pub ledger: AssayLedger,
    pub bed: Bed,
}

/// A number in 32 bytes of a kind.
fn numbered(kind: u8, n: usize) -> [u8; 32] {
    let mut bytes = [kind; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    bytes
}

/// An Ed25519 key by its secret.
pub fn ed25519(secret: [u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&secret).unwrap()
}

fn public(key: &Ed25519KeyPair) -> HyperNodeId {
    HyperNodeId(key.public_key().as_ref().try_into().unwrap())
}

fn hypernode_key(index: usize) -> Ed25519KeyPair {
    ed25519(numbered(100, index))
}

/// With the proof that this key's owner lets this account register it.
pub fn proven_by(
    key: &Ed25519KeyPair,
    ledger: &AssayLedger,
    account: ids::Address,
    new: &NewHyperNode,
) -> NewHyperNode {
    let message = possession_message(CHAIN_ID, ledger.contracts().stake, account);
    NewHyperNode {
        ed25519: public(key),
        proof: key.sign(&message).as_ref().try_into().unwrap(),
        ..new.clone()
    }
}

/// With the proof by its own key, when it is one of [`new_hypernode`].
pub fn proven(ledger: &AssayLedger, account: ids::Address, new: &NewHyperNode) -> NewHyperNode {
    let key = (0..256)
        .map(hypernode_key)
        .find(|key| public(key) == new.ed25519);
    key.map_or_else(|| new.clone(), |key| proven_by(&key, ledger, account, new))
}

/// With a key and an operator of its own; not [`proven`] yet.
pub fn new_hypernode(index: usize, stake: u128) -> NewHyperNode {
    NewHyperNode {
        ed25519: public(&hypernode_key(index)),
        proof: [0; 64],
        operator: Digest(numbered(150, index)),
        seed_end: Seed(numbered(200, index)),
        endpoint: format!("127.0.0.1:{}", 9000 + index),
        stake: Stake(stake),
    }
}

pub fn new_node(collateral: u128) -> NewNode {
    NewNode {
        node: NODE,
        class_digest: CLASS,
        region: [0; 32],
        endpoint: "127.0.0.1:7000".into(),
        collateral: Stake(collateral),
    }
}

/// A pass, with ten slots up in each epoch so far.
pub fn leaf(epoch: u64) -> NodeLeaf {
    NodeLeaf {
        epoch: Epoch(epoch),
        node: NODE,
        owner: provider().address(),
        confirmed: true,
        chips: Digest([0; 32]),
        verdict: 1,
        reasons: 0,
        tier: 1,
        availability: Ppm(1_000_000),
        lower: Ppm(990_000),
        upper: Ppm(1_000_000),
        coverage: Ppm(1_000_000),
        chase_rate: 1234,
        chase_kind: 1,
        cumulative_up_slots: 10 * (epoch + 1),
        cumulative_down_slots: 0,
        cumulative_slash: 0,
    }
}

pub fn reward(epoch: u64, cumulative_reward: u128) -> RewardLeaf {
    RewardLeaf {
        epoch: Epoch(epoch),
        provider: provider().address(),
        cumulative_reward,
    }
}

/// The tree of these leaves among two others.
pub fn tree_of(leaves: &[Keccak]) -> OutcomeTree {
    OutcomeTree::new([leaves, &[Keccak([1; 32]), Keccak([2; 32])]].concat())
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
        cumulative_reward: 0,
        next_committee: committee,
    }
}

pub fn sign(tx: TxEip1559, key: &LedgerKey) -> Vec<u8> {
    let signature = key.sign_digest(&Keccak(tx.signature_hash().0)).unwrap();
    let signature = Signature::from_raw_array(&signature).unwrap();
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
}

/// A call with more gas than any needs.
pub fn signed_call(key: &LedgerKey, nonce: u64, to: ids::Address, call: &impl SolCall) -> SignedTx {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 5_000_000,
        to: TxKind::Call(to.0.into()),
        input: call.abi_encode().into(),
        ..TxEip1559::default()
    };
    let raw = sign(tx, key);
    SignedTx {
        action: "call".into(),
        hash: keccak(&raw),
        nonce,
        raw,
    }
}

/// Mints what this account needs for everything.
pub fn enrich(ledger: &AssayLedger, account: ids::Address) {
    let mint = Action::mint(account, Stake(RICH));
    ledger.submit(&deployer(), &mint).unwrap();
}

impl Network {
    /// Deployed, nothing registered.
    pub fn deployed() -> Self {
        Self::deployed_on(Bed::start(&config()))
    }

    /// Deployed on this chain.
    pub fn deployed_on(bed: Bed) -> Self {
        let (clock, chain) = (bed.clock.clone(), bed.chain.clone());
        let ledger = AssayLedger::deploy(chain.clone(), &deployer(), &deployment()).unwrap();
        let new = Self {
            clock,
            chain,
            ledger,
            bed,
        };
        new.enriched(&deployer())
    }

    /// An account has tokens.
    pub fn enriched(self, key: &LedgerKey) -> Self {
        enrich(&self.ledger, key.address());
        self
    }

    /// HyperNodes with these stakes, genesis open.
    pub fn open(stakes: &[u128]) -> Self {
        let net = Self::deployed();
        net.join(stakes);
        let committee = net.committee(0).hash();
        net.does(&deployer(), &Action::open_genesis(NETWORK, committee))
            .unwrap();
        net
    }

    pub fn join(&self, stakes: &[u128]) {
        for (index, stake) in stakes.iter().enumerate() {
            self.register(index, &new_hypernode(index, *stake)).unwrap();
        }
    }

    /// A HyperNode registers, with tokens.
    pub fn register(&self, index: usize, new: &NewHyperNode) -> Result<Receipt, LedgerError> {
        enrich(&self.ledger, hypernode(index).address());
        let new = proven(&self.ledger, hypernode(index).address(), new);
        self.does(&hypernode(index), &Action::register_hypernode(&new))
    }

    /// The demo's stakes, a class, funded epochs, one provisional node, epoch 0 over.
    pub fn ready() -> Self {
        let net = Self::open(&STAKES).enriched(&provider());
        net.set_class(CLASS);
        net.does(&deployer(), &Action::fund(Epoch(0), 20, Stake(BUDGET)))
            .unwrap();
        net.does(&provider(), &Action::register_node(&new_node(500)))
            .unwrap();
        net.finish(0);
        net
    }

    /// As `ready`, with the node confirmed by epoch 0, and epoch 1 over.
    pub fn active() -> Self {
        let net = Self::ready();
        let proof = net.post_tree(0, &[leaf(0).hash()]);
        net.finish(1);
        net.does(
            &deployer(),
            &Action::confirm(&leaf(0), &proof.proof(&leaf(0).hash()).unwrap()),
        )
        .unwrap();
        net
    }

    pub fn set_class(&self, class: Digest) {
        for action in [
            Action::set_class(class, &terms()),
            Action::set_schedule(class, &schedule()),
        ] {
            self.does(&governor(), &action).unwrap();
        }
    }

    pub fn does(&self, key: &LedgerKey, action: &Action) -> Result<Receipt, LedgerError> {
        self.ledger.submit(key, action)
    }

    /// A call that the client has no action for.
    pub fn calls(&self, key: &LedgerKey, to: ids::Address, call: &impl SolCall) -> Receipt {
        let nonce = self.chain.nonce(key.address().0.into()).unwrap();
        self.ledger
            .send(&signed_call(key, nonce, to, call))
            .unwrap()
    }

    /// The error that a call from this account meets.
    pub fn meets(&self, key: &LedgerKey, to: ids::Address, call: &impl SolCall) -> &'static str {
        let data = call.abi_encode();
        let trial = Trial {
            from: Address::from(key.address().0),
            to: Some(to.0.into()),
            value: U256::ZERO,
            data: &data,
        };
        match self.chain.estimate_gas(&trial) {
            Err(ChainError::Reverted(data)) => decode_revert(&data).name,
            other => panic!("{other:?}"),
        }
    }

    pub fn tokens(&self, key: &LedgerKey) -> u128 {
        self.ledger.tokens(key.address()).unwrap().0
    }

    /// Moves the clock to the first moment at which `epoch` is over.
    pub fn finish(&self, epoch: u64) {
        self.clock.set(GENESIS_MS + (epoch + 1) * EPOCH_MS);
    }

    /// The committee of an epoch that is fixed.
    pub fn committee(&self, epoch: u64) -> Committee {
        self.ledger.committee_of(Epoch(epoch)).unwrap()
    }

    /// A root of this epoch that grants no reward.
    pub fn root(&self, epoch: u64, root: Keccak) -> EpochRoot {
        let before = epoch.checked_sub(1).map(|before| {
            let record = self.ledger.epoch_record(Epoch(before)).unwrap();
            record.cumulative_reward.0
        });
        EpochRoot {
            cumulative_reward: before.unwrap_or_default(),
            next_committee: self.committee(epoch + 1).hash(),
            ..epoch_root(epoch, root, self.committee(epoch).hash())
        }
    }

    /// Signatures of these HyperNodes, in the order of the root's committee.
    pub fn signatures(&self, root: &EpochRoot, signers: &[usize]) -> Vec<Option<[u8; 65]>> {
        let digest = root.digest(CHAIN_ID, &self.ledger.contract());
        let committee = self.committee(root.epoch.0);
        signatures_over(&digest, &committee, signers)
    }

    pub fn post(&self, root: &EpochRoot, signers: &[usize]) -> Result<Receipt, LedgerError> {
        let signatures = self.signatures(root, signers);
        let committee = self.committee(root.epoch.0);
        self.does(
            &deployer(),
            &Action::post_root(root, &committee, &signatures),
        )
    }

    pub fn correct(&self, root: &EpochRoot, signers: &[usize]) -> Result<Receipt, LedgerError> {
        let signatures = self.signatures(root, signers);
        let committee = self.committee(root.epoch.0);
        self.does(&deployer(), &Action::correct(root, &committee, &signatures))
    }

    /// Finishes an epoch and posts a root over these leaves.
    pub fn post_tree(&self, epoch: u64, leaves: &[Keccak]) -> OutcomeTree {
        let tree = tree_of(leaves);
        self.finish(epoch);
        self.post(&self.root(epoch, tree.root()), &[0, 1, 2])
            .unwrap();
        tree
    }

    /// The same, with a leaf of what the provider has earned so far; the proof of that leaf.
    pub fn post_reward(&self, epoch: u64, earned: u128) -> (RewardLeaf, Vec<Keccak>) {
        let leaf = reward(epoch, earned);
        let tree = tree_of(&[leaf.hash()]);
        self.finish(epoch);
        let root = EpochRoot {
            cumulative_reward: earned,
            ..self.root(epoch, tree.root())
        };
        self.post(&root, &[0, 1, 2]).unwrap();
        (leaf, tree.proof(&leaf.hash()).unwrap())
    }

    /// Finishes the leaf's epoch, posts a root over it, settles it.
    pub fn conclude(&self, leaf: &NodeLeaf) -> Result<Receipt, LedgerError> {
        let tree = self.post_tree(leaf.epoch.0, &[leaf.hash()]);
        let proof = tree.proof(&leaf.hash()).unwrap();
        self.does(&deployer(), &Action::settle(leaf, &proof))
    }
}

/// Signatures of these HyperNodes, in the committee's order.
pub fn signatures_over(
    digest: &Keccak,
    committee: &Committee,
    signers: &[usize],
) -> Vec<Option<[u8; 65]>> {
    let keys: Vec<LedgerKey> = signers.iter().map(|i| hypernode(*i)).collect();
    let sign = |address| {
        let key = keys.iter().find(|k| k.address() == address)?;
        Some(key.sign_digest(digest).unwrap())
    };
    committee
        .members()
        .iter()
        .map(|m| sign(m.address))
        .collect()
}

/// A root and one HyperNode's signature of it, as the contract of faults takes them.
pub fn signed_by(net: &Network, root: &EpochRoot, index: usize) -> (AssayFaults::EpochRoot, Bytes) {
    let digest = root.digest(CHAIN_ID, &net.ledger.contract());
    let signature = hypernode(index).sign_digest(&digest).unwrap();
    let same = AssayEpochs::EpochRoot::from(root).abi_encode();
    let root = AssayFaults::EpochRoot::abi_decode(&same).unwrap();
    (root, signature.to_vec().into())
}

/// Siblings of the one leaf of interest in [`tree_of`] it.
pub fn proof_of(leaf: &NodeLeaf) -> Vec<Keccak> {
    tree_of(&[leaf.hash()]).proof(&leaf.hash()).unwrap()
}

/// Asserts that the contract refused with this error.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, LedgerError>, name: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.revert_name(), Some(name), "{error}");
}

/// Asserts that the sender had too few tokens, and that nothing was sent.
#[track_caller]
pub fn short_of_tokens<T: std::fmt::Debug>(result: Result<T, LedgerError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, LedgerError::TooFewTokens { .. }), "{error}");
}
