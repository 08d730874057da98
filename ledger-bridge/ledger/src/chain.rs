//! What any ledger must offer: reads, raw signed transactions, receipts. Nothing here knows the contracts.

use alloy_primitives::{Address, B256, Bytes, Log, U256};

/// A block's header, as far as Assay needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Height; genesis is 0.
    pub number: u64,
    /// Hash of this block.
    pub hash: B256,
    /// Hash of the block before it (zero for genesis).
    pub parent: B256,
    /// Block time in Unix seconds, as the contract's `block.timestamp`.
    pub timestamp_s: u64,
}

/// The outcome of an included transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Hash of the signed transaction.
    pub tx_hash: B256,
    /// Height of the block that holds it.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: B256,
    /// The sender, recovered from the signature.
    pub from: Address,
    /// The callee; `None` for a contract creation.
    pub to: Option<Address>,
    /// The contract created, if any.
    pub contract_address: Option<Address>,
    /// False when the transaction reverted or ran out of gas.
    pub success: bool,
    /// Gas charged.
    pub gas_used: u64,
    /// Events, empty unless `success`.
    pub logs: Vec<Log>,
    /// ABI-encoded error of a reverted transaction, where the node tells it (many do not).
    pub revert_data: Option<Bytes>,
}

/// How settled the state is that an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finality {
    /// The newest block; it may still be replaced.
    Latest,
    /// Unlikely to be replaced.
    Safe,
    /// Never replaced under the chain's own rules. What moves money acts on this.
    Finalized,
}

/// What the chain asks for gas just now, in its smallest unit for each unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Market {
    /// Base fee of the newest block; it changes by at most an eighth from one block to the next.
    pub base: u128,
    /// What the node suggests on top of it.
    pub tip: u128,
}

/// A transaction that is tried out and not sent.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// Who would send it.
    pub from: Address,
    /// The callee; `None` for a contract creation.
    pub to: Option<Address>,
    /// What it pays.
    pub value: U256,
    /// Its input.
    pub data: &'a [u8],
}

/// Which events are asked for: those of one contract whose second topic (its first indexed argument) is this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// The contract.
    pub address: Address,
    /// The second topic.
    pub topic: B256,
    /// First block looked at.
    pub from: u64,
    /// Unix seconds; there is no such event in blocks of an earlier time, so they need not be looked at.
    pub since_s: u64,
}

impl LogQuery {
    /// Whether an event is one of those asked for, wherever its block is.
    pub(crate) fn asks_for(&self, log: &Log) -> bool {
        log.address == self.address && log.topics().get(1) == Some(&self.topic)
    }
}

/// An event of an included transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Height of its block.
    pub block: u64,
    /// Hash of its transaction.
    pub tx: B256,
    /// The event.
    pub log: Log,
}

/// An EVM chain, low level. Implementations block; they are safe to share between threads.
pub trait Chain: Send + Sync {
    /// The chain id that transactions must be signed for.
    fn chain_id(&self) -> Result<u64, ChainError>;

    /// The newest block of a finality.
    fn block(&self, at: Finality) -> Result<Block, ChainError>;

    /// Runs a read-only call on the newest state of a finality and returns its output.
    /// A revert is [`ChainError::Reverted`].
    fn call_at(&self, to: Address, data: &[u8], at: Finality) -> Result<Bytes, ChainError>;

    /// Several calls of one contract on the newest state of a finality, in order; the first that reverts ends all. The chain
    /// may go on between them.
    fn calls_at(
        &self,
        to: Address,
        calls: &[Vec<u8>],
        at: Finality,
    ) -> Result<Vec<Bytes>, ChainError> {
        let call = |data: &Vec<u8>| self.call_at(to, data, at);
        calls.iter().map(call).collect()
    }

    /// Gas that a transaction would need in the next block; a revert is [`ChainError::Reverted`].
    fn estimate_gas(&self, trial: &Trial<'_>) -> Result<u64, ChainError>;

    /// What gas costs.
    fn market(&self) -> Result<Market, ChainError>;

    /// Submits a signed EIP-1559 transaction (EIP-2718 bytes) and returns its hash.
    /// Bytes that were included before give their hash again, so a re-broadcast is harmless.
    fn send_raw(&self, raw: &[u8]) -> Result<B256, ChainError>;

    /// The receipt of a transaction, or `None` while (or if) it is not included.
    fn receipt(&self, tx_hash: B256) -> Result<Option<Receipt>, ChainError>;

    /// What an included transaction was sent with, or `None` where there is no such transaction.
    fn input(&self, tx_hash: B256) -> Result<Option<Bytes>, ChainError>;

    /// Number of transactions an address has had included: its next nonce, as far as a finality sees.
    fn nonce_at(&self, address: Address, at: Finality) -> Result<u64, ChainError>;

    /// Balance in the smallest unit.
    fn balance(&self, address: Address) -> Result<U256, ChainError>;

    /// Deployed code; empty where there is none.
    fn code(&self, address: Address) -> Result<Bytes, ChainError>;

    /// Events up to the newest block of a finality, in order.
    fn logs(&self, query: &LogQuery, at: Finality) -> Result<Vec<Event>, ChainError>;

    /// The newest block.
    fn latest(&self) -> Result<Block, ChainError> {
        self.block(Finality::Latest)
    }

    /// [`Chain::call_at`] the newest block.
    fn call(&self, to: Address, data: &[u8]) -> Result<Bytes, ChainError> {
        self.call_at(to, data, Finality::Latest)
    }

    /// [`Chain::nonce_at`] the newest block.
    fn nonce(&self, address: Address) -> Result<u64, ChainError> {
        self.nonce_at(address, Finality::Latest)
    }

    /// Height of the newest block.
    fn height(&self) -> Result<u64, ChainError> {
        Ok(self.latest()?.number)
    }

    /// Time of the newest block in Unix milliseconds (resolution: one second).
    fn timestamp_ms(&self) -> Result<u64, ChainError> {
        Ok(self.latest()?.timestamp_s.saturating_mul(1000))
    }
}

/// Why a chain refused a transaction before including it. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxRefused {
    /// More bytes than a transaction may have.
    #[error("{actual} bytes, at most {max} are allowed")]
    TooLarge {
        /// Limit in bytes.
        max: usize,
        /// Size in bytes.
        actual: usize,
    },
    /// Not the exact encoding of one transaction.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Another transaction type than EIP-1559.
    #[error("transaction type {0}, only EIP-1559 (type 2) is accepted")]
    WrongType(u8),
    /// Unrecoverable signature, or the malleable twin (high s, EIP-2).
    #[error("bad signature: {0}")]
    BadSignature(&'static str),
    /// Signed for another chain.
    #[error("signed for chain id {actual}, this is chain {expected}")]
    WrongChainId {
        /// This chain's id.
        expected: u64,
        /// The id in the transaction.
        actual: u64,
    },
    /// Not the sender's next nonce.
    #[error("nonce {actual} of {sender}, the next one is {expected}")]
    WrongNonce {
        /// The sender.
        sender: Address,
        /// Its next nonce.
        expected: u64,
        /// The nonce in the transaction.
        actual: u64,
    },
    /// Anything else the EVM checks before execution (balance, gas limit, ...).
    #[error("{0}")]
    Invalid(String),
    /// Refused by a remote node, in its words.
    #[error("the node says: {0}")]
    Remote(String),
}

/// A chain could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The transaction was refused and changed nothing.
    #[error("transaction refused: {0}")]
    Refused(#[from] TxRefused),
    /// A read-only call reverted with this ABI-encoded error.
    #[error("call reverted with {0}")]
    Reverted(Bytes),
    /// A read-only call ran out of gas or hit an invalid instruction.
    #[error("call halted: {0}")]
    Halted(String),
    /// The state database failed.
    #[error("ledger database")]
    Store(#[from] rusqlite::Error),
    /// The state on disk holds what this program cannot have written.
    #[error("ledger database is damaged: {0}")]
    Corrupt(String),
    /// The state on disk belongs to another chain.
    #[error(
        "{path}: {what} is {actual}, expected {expected}\nhint: this file is another ledger; name another path or correct the configuration"
    )]
    OtherChain {
        /// The database file.
        path: String,
        /// Which property differs.
        what: &'static str,
        /// What the configuration says.
        expected: String,
        /// What the file says.
        actual: String,
    },
    /// There is no chain at this path yet.
    #[error(
        "{0}: no ledger here\nhint: create it first (a fresh ledger needs its genesis balances)"
    )]
    NoChain(String),
    /// Another process owns the chain.
    #[error(
        "{0}: another process owns this ledger\nhint: one process opens it and serves the others by RPC"
    )]
    InUse(String),
    /// A file could not be opened or created.
    #[error("{path}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What a node's URL, its CA file or its finality rule says cannot be used.
    #[error("ledger node {url}: {why}")]
    BadNode {
        /// The node, without credentials and path.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// A node could not be reached, or not in time.
    #[error("ledger node {url}: {why}\nhint: is the process that owns the ledger running?")]
    Unreachable {
        /// The node, without credentials and path.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// A node answered with a JSON-RPC error.
    #[error("ledger node {url}: {method}: it answered error {code}: {message}")]
    Rpc {
        /// The node, without credentials and path.
        url: String,
        /// The method called.
        method: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// The node's message.
        message: String,
    },
    /// A request is larger than any node of ours accepts; it was not sent.
    #[error("{method}: request of {actual} bytes, at most {max} are sent")]
    TooLarge {
        /// The method called.
        method: &'static str,
        /// Limit in bytes.
        max: usize,
        /// Size in bytes.
        actual: usize,
    },
    /// A node's answer does not have the form the method prescribes.
    #[error("ledger node {url}: {method}: unusable answer: {why}")]
    BadAnswer {
        /// The node, without credentials and path.
        url: String,
        /// The method called.
        method: &'static str,
        /// What is wrong.
        why: String,
    },
}
