//! The client of one network's contracts on any [`Chain`]: who it talks to, and what it sends. What it reads is in
//! `reads` and `records`.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use assay_protocol::ids::{self, Keccak, Stake};

use crate::abi::{AssayEpochs, TestToken, decode_revert};
use crate::action::Action;
use crate::chain::{Chain, ChainError, Finality, Receipt};
use crate::deploy::Deployer;
use crate::key::KeyError;
use crate::records::Records;
use crate::send::{self, FEE_CAP_DEFAULT};
use crate::tx::{SignedTx, TxSigner};
use crate::types::{Contracts, Deployment};

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
        /// Name of the contract's error (`contracts/src/interfaces` says what each means).
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
    /// No transaction may take as much gas as this needs; nothing was sent.
    #[error("{action}: needs {gas} gas, a transaction has at most {max} (EIP-7825)")]
    TooMuchGas {
        /// The contract's function.
        action: String,
        /// What the node estimates.
        gas: u64,
        /// The cap.
        max: u64,
    },
    /// An answer is not what the ABI says.
    #[error(
        "{action}: the contract's answer cannot be read: {why}\nhint: is there an AssayEpochs at this address on this chain?"
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
    /// The contract names no others: its deployment was not finished.
    #[error(
        "{address} names no stake contract: its deployment was not finished\nhint: deploy again"
    )]
    NotWired {
        /// The contract.
        address: ids::Address,
    },
    /// The committee of the stake contract does not hash to what the epochs contract holds.
    #[error(
        "committee of the registered HyperNodes hashes to {computed}, the contract holds {stored}\nhint: the newest root named a committee that nobody is: only that one could sign again"
    )]
    CommitteeMismatch {
        /// From the HyperNodes.
        computed: Keccak,
        /// In the contract.
        stored: Keccak,
    },
    /// Amounts of such a token cannot be told.
    #[error("token {token}: {actual} decimals, expected at most {expected}")]
    TooManyDecimals {
        /// The token.
        token: ids::Address,
        /// Most that can be.
        expected: u8,
        /// What it says.
        actual: u8,
    },
    /// The sender has too few of the network's tokens; nothing was sent.
    #[error(
        "{action}: account {account} has {actual} of the token's smallest unit, {expected} are needed"
    )]
    TooFewTokens {
        /// The contract's function.
        action: String,
        /// The sender.
        account: ids::Address,
        /// What the action takes.
        expected: Stake,
        /// What the sender has.
        actual: Stake,
    },
    /// The state that is read may lack what happened before the epoch; read again later.
    #[error(
        "epoch {epoch}: the final state is of {seen}, what was registered before {start} may be missing"
    )]
    NotFinalYet {
        /// The epoch.
        epoch: ids::Epoch,
        /// Time of the newest block of the finality that is read.
        seen: ids::UnixMs,
        /// Start of the epoch.
        start: ids::UnixMs,
    },
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

/// A network's contracts. Submissions through one value are serialised, so that nonces do not race.
pub struct AssayLedger {
    chain: Arc<dyn Chain>,
    contracts: Contracts,
    submitting: Mutex<()>,
    pub(crate) reads: Finality,
    fee_cap: u128,
    /// Where the latest event of an epoch was found: later epochs' are not before it.
    pub(crate) seen: Mutex<(u64, u64)>,
    pub(crate) records: Mutex<Records>,
}

impl AssayLedger {
    /// A client of the network whose `AssayEpochs` is at `contract`; fails when there is no code, or no network.
    pub fn at(chain: Arc<dyn Chain>, contract: ids::Address) -> Result<Self, LedgerError> {
        let epochs = Address::from(contract.0);
        if chain.code(epochs).map_err(failed("code"))?.is_empty() {
            return Err(LedgerError::NoContract {
                address: contract,
                chain_id: chain.chain_id().map_err(failed("chain id"))?,
            });
        }
        let contracts = contracts(chain.as_ref(), epochs)?;
        if contracts.stake == ids::Address([0; 20]) {
            return Err(LedgerError::NotWired { address: contract });
        }
        Ok(Self::of(
            chain,
            contracts,
            Finality::Latest,
            FEE_CAP_DEFAULT,
        ))
    }

    fn of(chain: Arc<dyn Chain>, contracts: Contracts, reads: Finality, fee_cap: u128) -> Self {
        Self {
            chain,
            contracts,
            submitting: Mutex::new(()),
            reads,
            fee_cap,
            seen: Mutex::default(),
            records: Mutex::default(),
        }
    }

    /// Deploys a new network; `key` becomes its deployer, who opens genesis.
    pub fn deploy(
        chain: Arc<dyn Chain>,
        key: &dyn TxSigner,
        with: &Deployment,
    ) -> Result<Self, LedgerError> {
        Self::deploy_paying(chain, key, with, FEE_CAP_DEFAULT)
    }

    /// Like [`AssayLedger::deploy`], paying at most this for a unit of gas.
    pub fn deploy_paying(
        chain: Arc<dyn Chain>,
        key: &dyn TxSigner,
        with: &Deployment,
        fee_cap: u128,
    ) -> Result<Self, LedgerError> {
        let deployer = Deployer {
            chain,
            key,
            fee_cap,
        };
        Ok(deployer.deploy(with)?.with_fee_cap(fee_cap))
    }

    /// A client of the same network whose reads see the state of this finality.
    pub fn reading(&self, reads: Finality) -> Self {
        Self::of(Arc::clone(&self.chain), self.contracts, reads, self.fee_cap)
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

    /// The address that participants configure: `AssayEpochs`.
    pub fn contract(&self) -> ids::Address {
        self.contracts.epochs
    }

    /// All addresses.
    pub fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    /// The chain this client talks to.
    pub fn chain(&self) -> &Arc<dyn Chain> {
        &self.chain
    }

    /// The chain's id.
    pub fn chain_id(&self) -> Result<u64, LedgerError> {
        self.chain.chain_id().map_err(failed("chain id"))
    }

    /// What an account has for gas, in the chain's own currency.
    pub fn balance(&self, account: ids::Address) -> Result<Stake, LedgerError> {
        let balance = self
            .chain
            .balance(Address::from(account.0))
            .map_err(failed("balance"))?;
        Ok(Stake(balance.saturating_to()))
    }

    /// Signs an action with the sender's next nonce, without sending it. What the contract would refuse is refused here.
    pub fn prepare(&self, key: &dyn TxSigner, action: &Action) -> Result<SignedTx, LedgerError> {
        let call = action.to(&self.contracts);
        send::prepare(self.chain.as_ref(), key, &call, self.fee_cap)
    }

    /// Tries an action of anybody's out on the state that this client reads; nothing is sent.
    pub fn trial(&self, action: &Action) -> Result<(), LedgerError> {
        let to = Address::from(action.target.address(&self.contracts).0);
        let tried = self.chain.call_at(to, &action.data, self.reads);
        tried.map(drop).map_err(failed(action.name))
    }

    /// Sends prepared bytes and waits for the receipt; a revert is an error with the contract's reason.
    /// Sending the same bytes again returns the same receipt.
    pub fn send(&self, tx: &SignedTx) -> Result<Receipt, LedgerError> {
        send::send(self.chain.as_ref(), tx)
    }

    /// Prepares and sends an action. What it takes of the sender's tokens at most is approved before, to that amount; an
    /// allowance that is as large already is left as it is.
    pub fn submit(&self, key: &dyn TxSigner, action: &Action) -> Result<Receipt, LedgerError> {
        let _one_at_a_time = self
            .submitting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.allow(key, action)?;
        self.send(&self.prepare(key, action)?)
    }

    /// Approves what the action takes, unless the contract would refuse it for another reason.
    fn allow(&self, key: &dyn TxSigner, action: &Action) -> Result<(), LedgerError> {
        let (account, spender) = (key.address(), action.target.address(&self.contracts));
        if action.takes == Stake(0) || self.allowance(account, spender)? >= action.takes {
            return Ok(());
        }
        let tried = self.prepare(key, action).map(drop);
        match tried.as_ref().err().and_then(LedgerError::revert_name) {
            Some("ERC20InsufficientAllowance" | "SafeERC20FailedOperation") => {}
            _ => tried?,
        }
        let balance = TestToken::balanceOfCall {
            account: Address::from(account.0),
        };
        let actual = self.newest_of_token(&balance)?;
        if actual < action.takes {
            return Err(LedgerError::TooFewTokens {
                action: action.name.to_owned(),
                account,
                expected: action.takes,
                actual,
            });
        }
        let approve = Action::approve(spender, action.takes);
        self.send(&self.prepare(key, &approve)?).map(drop)
    }

    /// On the newest block, whatever this client reads otherwise: what is not final yet was approved, or taken, all the same.
    fn allowance(&self, owner: ids::Address, spender: ids::Address) -> Result<Stake, LedgerError> {
        let call = TestToken::allowanceCall {
            owner: Address::from(owner.0),
            spender: Address::from(spender.0),
        };
        self.newest_of_token(&call)
    }

    fn newest_of_token(&self, call: &impl SolCall<Return = U256>) -> Result<Stake, LedgerError> {
        let token = Address::from(self.contracts.token.0);
        let amount = read(self.chain.as_ref(), token, Finality::Latest, call)?;
        Ok(Stake(amount.saturating_to()))
    }

    /// Reads from one of the contracts.
    pub(crate) fn read<C: SolCall>(
        &self,
        from: ids::Address,
        call: &C,
    ) -> Result<C::Return, LedgerError> {
        read(self.chain.as_ref(), Address::from(from.0), self.reads, call)
    }

    /// The same of several calls, in order; in few requests where the chain is behind a URL.
    pub(crate) fn read_all<C: SolCall>(
        &self,
        from: ids::Address,
        calls: impl IntoIterator<Item = C>,
    ) -> Result<Vec<C::Return>, LedgerError> {
        let name = name_of::<C>();
        let calls: Vec<Vec<u8>> = calls.into_iter().map(|call| call.abi_encode()).collect();
        let outputs = self
            .chain
            .calls_at(Address::from(from.0), &calls, self.reads);
        let outputs = outputs.map_err(failed(name))?;
        outputs.iter().map(|output| decoded::<C>(output)).collect()
    }
}

fn contracts(chain: &dyn Chain, epochs: Address) -> Result<Contracts, LedgerError> {
    macro_rules! named {
        ($call:ident) => {{
            let call = AssayEpochs::$call {};
            ids::Address(read(chain, epochs, Finality::Latest, &call)?.into_array())
        }};
    }
    Ok(Contracts {
        epochs: ids::Address(epochs.into_array()),
        rewards: named!(rewardsCall),
        stake: named!(stakeCall),
        nodes: named!(nodesCall),
        reservations: named!(reservationsCall),
        faults: named!(faultsCall),
        token: named!(tokenCall),
        verifier: named!(verifierCall),
    })
}

pub(crate) fn read<C: SolCall>(
    chain: &dyn Chain,
    from: Address,
    at: Finality,
    call: &C,
) -> Result<C::Return, LedgerError> {
    let output = chain.call_at(from, &call.abi_encode(), at);
    decoded::<C>(&output.map_err(failed(name_of::<C>()))?)
}

pub(crate) fn name_of<C: SolCall>() -> &'static str {
    C::SIGNATURE.split('(').next().unwrap_or(C::SIGNATURE)
}

fn decoded<C: SolCall>(output: &[u8]) -> Result<C::Return, LedgerError> {
    C::abi_decode_returns_validate(output).map_err(|e| bad_answer(name_of::<C>(), e.to_string()))
}

pub(crate) fn bad_answer(action: &str, why: String) -> LedgerError {
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
