//! The typed client of one AssayLedger contract on any [`Chain`].

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use assay_aggregate::root::{Committee, Member};
use assay_protocol::ids::{
    self, Bps, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Seed, Stake, UnixMs,
};

use crate::abi::{IAssayLedger as Abi, decode_revert};
use crate::action::Action;
use crate::chain::{Chain, ChainError, Finality, Receipt};
use crate::key::KeyError;
use crate::send::{self, FEE_CAP_DEFAULT};
use crate::tx::{SignedTx, TxSigner};
use crate::types::{
    EpochRecord, GenesisParameters, HyperNodeRecord, NewHyperNode, NewNode, NodeRecord, NodeStatus,
    Resolution, Rewards,
};

/// Most registrations read; a larger answer is a fault, not a fleet.
const MAX_RECORDS: u64 = 1_000_000;

/// A ledger operation failed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The chain could not answer, or refused the transaction.
    #[error("{action}")]
    Chain {
        /// The contract's function.
        action: String,
        /// What the chain said.
        source: ChainError,
    },
    /// The contract refused; nothing changed but the sender's nonce.
    #[error("{action} was refused by the contract: {detail}")]
    Reverted {
        /// The contract's function.
        action: String,
        /// Name of the contract's error (`IAssayLedger.sol` says what each means).
        name: String,
        /// Name and arguments.
        detail: String,
    },
    /// The transaction was sent but is not included yet; read again later, do not sign another.
    #[error(
        "{action}: no receipt for {hash} after {seconds} s\nhint: its fate is unknown; read the receipt again before retrying"
    )]
    NoReceipt {
        /// The contract's function.
        action: String,
        /// Transaction hash.
        hash: Keccak,
        /// Seconds waited.
        seconds: u64,
    },
    /// Gas costs more than may be paid for it; nothing was sent.
    #[error(
        "{action}: base fee {base} is over the cap of {cap} for a unit of gas\nhint: wait, or raise the cap"
    )]
    FeeCap {
        /// The contract's function.
        action: String,
        /// Base fee of the newest block.
        base: u128,
        /// The cap.
        cap: u128,
    },
    /// An answer is not what the ABI says.
    #[error(
        "{action}: the contract's answer cannot be read: {why}\nhint: is there an AssayLedger at this address on this chain?"
    )]
    BadAnswer {
        /// The contract's function.
        action: String,
        /// What is wrong.
        why: String,
    },
    /// There is no code at the contract's address.
    #[error(
        "no contract at {address} on chain {chain_id}\nhint: check the contract address and the chain"
    )]
    NoContract {
        /// The address looked at.
        address: ids::Address,
        /// The chain.
        chain_id: u64,
    },
    /// The genesis committee does not hash to what the contract holds.
    #[error("committee of the roster hashes to {computed}, the contract holds {stored}")]
    CommitteeMismatch {
        /// From the roster.
        computed: Keccak,
        /// In the contract.
        stored: Keccak,
    },
    /// The checked-in artefact holds no creation code.
    #[error("the contract artefact of this build is unusable")]
    BadArtifact,
    /// Signing failed.
    #[error("ledger key")]
    Key(#[from] KeyError),
}

impl LedgerError {
    /// Name of the contract's error, when the contract refused.
    pub fn revert_name(&self) -> Option<&str> {
        match self {
            Self::Reverted { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// One AssayLedger contract. Submissions through one value are serialised, so that nonces do not race.
pub struct AssayLedger {
    chain: Arc<dyn Chain>,
    contract: Address,
    submitting: Mutex<()>,
    reads: Finality,
    fee_cap: u128,
}

impl AssayLedger {
    /// A client of the contract at `contract`; fails when there is no code.
    pub fn at(chain: Arc<dyn Chain>, contract: ids::Address) -> Result<Self, LedgerError> {
        let ledger = Self {
            chain,
            contract: Address::from(contract.0),
            submitting: Mutex::new(()),
            reads: Finality::Latest,
            fee_cap: FEE_CAP_DEFAULT,
        };
        let code = ledger.chain.code(ledger.contract).map_err(failed("code"))?;
        if code.is_empty() {
            return Err(LedgerError::NoContract {
                address: contract,
                chain_id: ledger.chain_id()?,
            });
        }
        Ok(ledger)
    }

    /// Deploys a new contract; `key` becomes its deployer, who opens genesis.
    pub fn deploy(
        chain: Arc<dyn Chain>,
        key: &dyn TxSigner,
        parameters: &GenesisParameters,
    ) -> Result<Self, LedgerError> {
        Self::deploy_paying(chain, key, parameters, FEE_CAP_DEFAULT)
    }

    /// Like [`AssayLedger::deploy`], paying at most this for a unit of gas.
    pub fn deploy_paying(
        chain: Arc<dyn Chain>,
        key: &dyn TxSigner,
        parameters: &GenesisParameters,
        fee_cap: u128,
    ) -> Result<Self, LedgerError> {
        let action = Action::deploy(parameters).ok_or(LedgerError::BadArtifact)?;
        let tx = send::prepare(chain.as_ref(), key, &action.to(None), fee_cap)?;
        let receipt = send::send(chain.as_ref(), &tx)?;
        let missing = || LedgerError::BadAnswer {
            action: tx.action.clone(),
            why: "no contract address".into(),
        };
        let contract = receipt.contract_address.ok_or_else(missing)?;
        Self::at(chain, ids::Address(contract.into_array()))
    }

    /// A client of the same contract whose reads see the state of this finality.
    pub fn reading(&self, reads: Finality) -> Self {
        Self {
            chain: Arc::clone(&self.chain),
            contract: self.contract,
            submitting: Mutex::new(()),
            reads,
            fee_cap: self.fee_cap,
        }
    }

    /// Pays at most this for a unit of gas, in the chain's smallest unit.
    pub fn with_fee_cap(mut self, cap: u128) -> Self {
        self.fee_cap = cap;
        self
    }

    /// Most that is paid for a unit of gas.
    pub fn fee_cap(&self) -> u128 {
        self.fee_cap
    }

    /// The contract's address.
    pub fn contract(&self) -> ids::Address {
        ids::Address(self.contract.into_array())
    }

    /// The chain this client talks to.
    pub fn chain(&self) -> &Arc<dyn Chain> {
        &self.chain
    }

    /// The chain's id.
    pub fn chain_id(&self) -> Result<u64, LedgerError> {
        self.chain.chain_id().map_err(failed("chain id"))
    }

    /// Balance of any account.
    pub fn balance(&self, account: ids::Address) -> Result<Stake, LedgerError> {
        let balance = self
            .chain
            .balance(Address::from(account.0))
            .map_err(failed("balance"))?;
        Ok(Stake(balance.saturating_to()))
    }

    /// Signs an action with the sender's next nonce, without sending it. What the contract would refuse is refused here.
    pub fn prepare(&self, key: &dyn TxSigner, action: &Action) -> Result<SignedTx, LedgerError> {
        let call = action.to(Some(self.contract));
        send::prepare(self.chain.as_ref(), key, &call, self.fee_cap)
    }

    /// Tries an action of anybody's out on the state that this client reads; nothing is sent.
    pub fn trial(&self, action: &Action) -> Result<(), LedgerError> {
        let call = action.to(Some(self.contract));
        let tried = self.chain.call_at(self.contract, call.data, self.reads);
        tried.map(drop).map_err(failed(action.name))
    }

    /// Sends prepared bytes and waits for the receipt; a revert is an error with the contract's reason.
    /// Sending the same bytes again returns the same receipt.
    pub fn send(&self, tx: &SignedTx) -> Result<Receipt, LedgerError> {
        send::send(self.chain.as_ref(), tx)
    }

    /// Prepares and sends an action.
    pub fn submit(&self, key: &dyn TxSigner, action: &Action) -> Result<Receipt, LedgerError> {
        let _one_at_a_time = self
            .submitting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.send(&self.prepare(key, action)?)
    }

    /// [`Action::register_hypernode`], submitted.
    pub fn register_hypernode(
        &self,
        key: &dyn TxSigner,
        new: &NewHyperNode,
    ) -> Result<Receipt, LedgerError> {
        self.submit(key, &Action::register_hypernode(new))
    }

    /// [`Action::open_genesis`], submitted.
    pub fn open_genesis(
        &self,
        key: &dyn TxSigner,
        network: NetworkId,
    ) -> Result<Receipt, LedgerError> {
        self.submit(key, &Action::open_genesis(network))
    }

    /// [`Action::register_node`], submitted.
    pub fn register_node(&self, key: &dyn TxSigner, new: &NewNode) -> Result<Receipt, LedgerError> {
        self.submit(key, &Action::register_node(new))
    }

    /// [`Action::fund_rewards`], submitted.
    pub fn fund_rewards(&self, key: &dyn TxSigner, amount: Stake) -> Result<Receipt, LedgerError> {
        self.submit(key, &Action::fund_rewards(amount))
    }

    /// [`Action::post_root`], submitted.
    pub fn post_root(
        &self,
        key: &dyn TxSigner,
        root: impl Into<Abi::EpochRoot>,
        committee: &Committee,
        signatures: &[Option<[u8; 65]>],
    ) -> Result<Receipt, LedgerError> {
        self.submit(key, &Action::post_root(root, committee, signatures))
    }

    /// [`Action::post_void`], submitted.
    pub fn post_void(&self, key: &dyn TxSigner, epoch: Epoch) -> Result<Receipt, LedgerError> {
        self.submit(key, &Action::post_void(epoch))
    }

    /// [`Action::settle`], submitted.
    pub fn settle(
        &self,
        key: &dyn TxSigner,
        epoch: Epoch,
        leaf: impl Into<Abi::NodeLeaf>,
        proof: &[Keccak],
    ) -> Result<Receipt, LedgerError> {
        self.submit(key, &Action::settle(epoch, leaf, proof))
    }

    /// [`Action::claim`], submitted.
    pub fn claim(&self, key: &dyn TxSigner) -> Result<Receipt, LedgerError> {
        self.submit(key, &Action::claim())
    }

    /// The parameters fixed at deployment.
    pub fn genesis_parameters(&self) -> Result<GenesisParameters, LedgerError> {
        let p = self.read(&Abi::parametersCall {})?;
        Ok(GenesisParameters {
            genesis_unix_ms: UnixMs(p.genesisUnixMs),
            epoch_ms: p.epochMs,
            void_after_ms: p.voidAfterMs,
            dispute_window_epochs: p.disputeWindowEpochs,
            operator_cap_bps: Bps(p.operatorCapBps),
        })
    }

    /// The network id, once genesis is open.
    pub fn network_id(&self) -> Result<Option<NetworkId>, LedgerError> {
        let id = self.read(&Abi::networkIdCall {})?;
        Ok((!id.is_zero()).then_some(NetworkId(id.0)))
    }

    /// Hash of the committee that signs the next epoch; zero before genesis is open.
    pub fn committee_hash(&self) -> Result<Keccak, LedgerError> {
        Ok(Keccak(self.read(&Abi::committeeHashCall {})?.0))
    }

    /// The genesis committee, ascending by address, checked against the stored hash.
    pub fn committee(&self) -> Result<Committee, LedgerError> {
        let member = |h: HyperNodeRecord| Member {
            address: h.address,
            weight: h.weight.0,
        };
        let members = self.hypernodes()?.into_iter().map(member).collect();
        let committee =
            Committee::new(members).map_err(|e| bad_answer("committee", e.to_string()))?;
        let (computed, stored) = (committee.hash(), self.committee_hash()?);
        if computed != stored {
            return Err(LedgerError::CommitteeMismatch { computed, stored });
        }
        Ok(committee)
    }

    /// The first epoch that is neither posted nor void.
    pub fn next_epoch(&self) -> Result<Epoch, LedgerError> {
        Ok(Epoch(self.read(&Abi::nextEpochCall {})?))
    }

    /// What is kept of an epoch.
    pub fn epoch_record(&self, epoch: Epoch) -> Result<EpochRecord, LedgerError> {
        let r = self.read(&Abi::epochRecordCall { epoch: epoch.0 })?;
        Ok(EpochRecord {
            resolution: match r.resolution {
                Abi::Resolution::Posted => Resolution::Posted,
                Abi::Resolution::Void => Resolution::Void,
                _ => Resolution::Open,
            },
            round: r.round,
            leaf_count: r.leafCount,
            resolved_at: UnixMs(r.resolvedAtMs),
            root: Keccak(r.root.0),
            input_set: Digest(r.inputSet.0),
            evidence_root: Digest(r.evidenceRoot.0),
            policy: Digest(r.policyDigest.0),
            committee: Keccak(r.committee.0),
        })
    }

    /// The roster, in order of registration.
    pub fn hypernodes(&self) -> Result<Vec<HyperNodeRecord>, LedgerError> {
        let count = self.count(&Abi::hyperNodeCountCall {})?;
        let one = |index| Ok(hypernode(self.read(&Abi::hyperNodeAtCall { index })?));
        (0..count).map(U256::from).map(one).collect()
    }

    /// All registrations of nodes ever made, in order; cancelled ones have status [`NodeStatus::None`].
    /// What counts in an epoch is for [`crate::claims_at`] to say.
    pub fn nodes(&self) -> Result<Vec<NodeRecord>, LedgerError> {
        let count = self.count(&Abi::nodeCountCall {})?;
        let one = |index| Ok(node(self.read(&Abi::nodeAtCall { index })?));
        (0..count).map(U256::from).map(one).collect()
    }

    /// What the reward pool holds.
    pub fn reward_pool(&self) -> Result<Stake, LedgerError> {
        Ok(Stake(self.read(&Abi::rewardPoolCall {})?))
    }

    /// A provider's rewards as of now.
    pub fn rewards(&self, provider: ids::Address) -> Result<Rewards, LedgerError> {
        let r = self.read(&Abi::rewardsCall {
            provider: Address::from(provider.0),
        })?;
        let stake = |amount: U256| Stake(amount.saturating_to());
        Ok(Rewards {
            claimable: stake(r.claimable),
            waiting: stake(r.waiting),
        })
    }

    /// The EIP-712 digest as the contract computes it.
    pub fn hash_root(&self, root: impl Into<Abi::EpochRoot>) -> Result<Keccak, LedgerError> {
        Ok(Keccak(self.read(&Abi::hashRootCall { r: root.into() })?.0))
    }

    /// The leaf hash as the contract computes it.
    pub fn leaf_hash(&self, leaf: impl Into<Abi::NodeLeaf>) -> Result<Keccak, LedgerError> {
        Ok(Keccak(
            self.read(&Abi::leafHashCall { leaf: leaf.into() })?.0,
        ))
    }

    fn count(&self, call: &impl SolCall<Return = U256>) -> Result<u64, LedgerError> {
        let count: u64 = self.read(call)?.saturating_to();
        if count > MAX_RECORDS {
            return Err(bad_answer(
                "count",
                format!("{count} records, at most {MAX_RECORDS} are read"),
            ));
        }
        Ok(count)
    }

    fn read<C: SolCall>(&self, call: &C) -> Result<C::Return, LedgerError> {
        let name = C::SIGNATURE.split('(').next().unwrap_or_default();
        let output = self
            .chain
            .call_at(self.contract, &call.abi_encode(), self.reads)
            .map_err(failed(name))?;
        C::abi_decode_returns_validate(&output).map_err(|e| bad_answer(name, e.to_string()))
    }
}

fn bad_answer(action: &str, why: String) -> LedgerError {
    LedgerError::BadAnswer {
        action: action.to_owned(),
        why,
    }
}

/// A revert gets the contract's reason; anything else stays the chain's error.
pub(crate) fn failed(action: &str) -> impl Fn(ChainError) -> LedgerError {
    let action = action.to_owned();
    move |source| match source {
        ChainError::Reverted(data) => {
            let revert = decode_revert(&data);
            LedgerError::Reverted {
                action: action.clone(),
                name: revert.name.into(),
                detail: revert.detail,
            }
        }
        source => LedgerError::Chain {
            action: action.clone(),
            source,
        },
    }
}

fn hypernode(h: Abi::HyperNode) -> HyperNodeRecord {
    HyperNodeRecord {
        address: ids::Address(h.signer.into_array()),
        ed25519: HyperNodeId(h.ed25519Key.0),
        operator: Digest(h.operatorId.0),
        seed_end: Seed(h.seedChainEnd.0),
        endpoint: h.endpoint,
        stake: Stake(h.stake.to()),
        weight: Stake(h.weight.to()),
    }
}

fn node(v: Abi::NodeView) -> NodeRecord {
    let (r, a) = (v.registration, v.account);
    NodeRecord {
        node: NodeId(v.node.0),
        provider: ids::Address(v.provider.into_array()),
        class_digest: Digest(r.classDigest.0),
        region: r.region.0,
        endpoint: r.endpoint,
        registered_at: UnixMs(r.registeredAtMs),
        cancelled_at: (r.cancelledAtMs != 0).then_some(UnixMs(r.cancelledAtMs)),
        pledged: Stake(r.pledged),
        collateral: Stake(r.collateral),
        escrow: Stake(r.escrow),
        status: status(r.status),
        confirmed_owner: (!a.owner.is_zero()).then(|| ids::Address(a.owner.into_array())),
        settled_epoch: a.settledEpochs.checked_sub(1).map(Epoch),
        cumulative_reward: Stake(a.cumulativeReward),
        cumulative_slash: Stake(a.cumulativeSlash),
        arrears: Stake(a.arrears),
    }
}

fn status(s: Abi::Status) -> NodeStatus {
    match s {
        Abi::Status::Provisional => NodeStatus::Provisional,
        Abi::Status::Active => NodeStatus::Active,
        Abi::Status::Warned => NodeStatus::Warned,
        Abi::Status::Suspended => NodeStatus::Suspended,
        Abi::Status::Removed => NodeStatus::Removed,
        _ => NodeStatus::None,
    }
}
