//! An EVM chain inside this process, on disk: one block per transaction, each committed in one SQLite
//! transaction before its hash is returned. One operator's auditable record, not consensus.
//!
//! revm does not look at signatures: [`tx::recover`] does, before anything is executed.
//! The base fee is zero, so gas is measured and limited but costs nothing.

mod exec;
mod store;
mod tx;

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use assay_protocol::ids::{self, Stake};

use crate::chain::{
    Block, Chain, ChainError, Event, Finality, LogQuery, Market, Receipt, Trial, TxRefused,
};
use store::Store;

/// The rules of this chain. Changing them is a hard fork: a chain made under others is refused.
pub const SPEC_NAME: &str = exec::SPEC_NAME;

/// Where block times come from.
pub trait Clock: Send + Sync {
    /// Wall-clock time in Unix milliseconds.
    fn now_ms(&self) -> u64;
}

impl<F: Fn() -> u64 + Send + Sync> Clock for F {
    fn now_ms(&self) -> u64 {
        self()
    }
}

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Identity of an embedded chain; fixed at its creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainConfig {
    /// Chain id that transactions are signed for.
    pub chain_id: u64,
    /// Accounts that exist from the start, in the currency's smallest unit.
    pub balances: Vec<(ids::Address, Stake)>,
}

/// One included transaction with its block time: enough to replay the chain elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedTx {
    /// Block time in Unix milliseconds.
    pub time_ms: u64,
    /// The signed transaction, EIP-2718 bytes.
    pub raw: Vec<u8>,
}

/// The embedded chain. Share it in an `Arc`; calls are serialised.
pub struct EmbeddedChain {
    chain_id: u64,
    clock: Box<dyn Clock>,
    store: Mutex<Store>,
    /// Held for its lock: two processes never own one chain. The kernel releases it with the process.
    _lock: File,
}

impl EmbeddedChain {
    /// Opens the chain at `path`, creating it when there is none.
    /// Another chain id, other rules or other genesis balances on disk are an error.
    pub fn open(
        path: &Path,
        config: &ChainConfig,
        clock: impl Clock + 'static,
    ) -> Result<Self, ChainError> {
        let now_ms = clock.now_ms();
        Self::with_store(path, config.chain_id, Box::new(clock), |store| {
            if store.is_empty()? {
                create(store, config, now_ms)
            } else {
                store.expect("genesis", &genesis_hash(config))
            }
        })
    }

    /// Opens a chain that must exist already, whatever its genesis balances were.
    pub fn open_existing(
        path: &Path,
        chain_id: u64,
        clock: impl Clock + 'static,
    ) -> Result<Self, ChainError> {
        if !path.exists() {
            return Err(ChainError::NoChain(path.display().to_string()));
        }
        Self::with_store(path, chain_id, Box::new(clock), |store| {
            match store.is_empty()? {
                true => Err(ChainError::NoChain(path.display().to_string())),
                false => Ok(()),
            }
        })
    }

    fn with_store(
        path: &Path,
        chain_id: u64,
        clock: Box<dyn Clock>,
        prepare: impl FnOnce(&mut Store) -> Result<(), ChainError>,
    ) -> Result<Self, ChainError> {
        let lock = lock(path)?;
        let mut store = Store::open(path)?;
        prepare(&mut store)?;
        store.expect("chain id", &chain_id.to_string())?;
        store.expect("EVM rules", SPEC_NAME)?;
        Ok(Self {
            chain_id,
            clock,
            store: Mutex::new(store),
            _lock: lock,
        })
    }

    /// Every included transaction in order; replaying them gives the same blocks.
    pub fn export(&self) -> Result<Vec<ExportedTx>, ChainError> {
        self.store().export()
    }

    /// Replays exported transactions on this (fresh) chain at their recorded times.
    pub fn replay(&self, txs: &[ExportedTx]) -> Result<(), ChainError> {
        let mut store = self.store();
        for tx in txs {
            self.include(&mut store, &tx.raw, tx.time_ms)?;
        }
        Ok(())
    }

    /// All state is on disk and every change is one transaction, so a panicked holder leaves nothing half done.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn include(&self, store: &mut Store, raw: &[u8], now_ms: u64) -> Result<B256, ChainError> {
        let tx = tx::recover(raw, self.chain_id)?;
        if store.receipt(tx.hash)?.is_some() {
            return Ok(tx.hash);
        }
        let expected = store.account(tx.sender)?.nonce;
        if tx.body.nonce != expected {
            let (sender, actual) = (tx.sender, tx.body.nonce);
            return Err(TxRefused::WrongNonce {
                sender,
                expected,
                actual,
            }
            .into());
        }
        let parent = store.head()?;
        let block = exec::NextBlock::after(&parent, now_ms);
        let outcome = exec::transact(store, self.chain_id, &block, &tx)?;
        store.commit(&block, &tx, &outcome)?;
        Ok(tx.hash)
    }
}

impl Chain for EmbeddedChain {
    fn chain_id(&self) -> Result<u64, ChainError> {
        Ok(self.chain_id)
    }

    /// A block here is final at once: it is never replaced.
    fn block(&self, _at: Finality) -> Result<Block, ChainError> {
        Ok(self.store().head()?.block())
    }

    fn call_at(&self, to: Address, data: &[u8], _at: Finality) -> Result<Bytes, ChainError> {
        let store = self.store();
        let block = exec::NextBlock::after(&store.head()?, self.clock.now_ms());
        exec::call(&store, self.chain_id, &block, to, data)
    }

    fn estimate_gas(&self, trial: &Trial<'_>) -> Result<u64, ChainError> {
        let store = self.store();
        let block = exec::NextBlock::after(&store.head()?, self.clock.now_ms());
        exec::estimate(&store, self.chain_id, &block, trial)
    }

    /// Gas is measured and costs nothing.
    fn market(&self) -> Result<Market, ChainError> {
        Ok(Market { base: 0, tip: 0 })
    }

    fn send_raw(&self, raw: &[u8]) -> Result<B256, ChainError> {
        let mut store = self.store();
        let now_ms = self.clock.now_ms();
        self.include(&mut store, raw, now_ms)
    }

    fn receipt(&self, tx_hash: B256) -> Result<Option<Receipt>, ChainError> {
        self.store().receipt(tx_hash)
    }

    fn nonce_at(&self, address: Address, _at: Finality) -> Result<u64, ChainError> {
        Ok(self.store().account(address)?.nonce)
    }

    fn balance(&self, address: Address) -> Result<U256, ChainError> {
        Ok(self.store().account(address)?.balance)
    }

    fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        let store = self.store();
        let hash = store.account(address)?.code_hash;
        store.code(hash)
    }

    fn input(&self, tx_hash: B256) -> Result<Option<Bytes>, ChainError> {
        let Some(raw) = self.store().raw(tx_hash)? else {
            return Ok(None);
        };
        let recovered = tx::recover(&raw, self.chain_id()?);
        let recovered =
            recovered.map_err(|_| ChainError::Corrupt(format!("transaction {tx_hash}")))?;
        Ok(Some(recovered.body.input))
    }

    fn logs(&self, query: &LogQuery, _at: Finality) -> Result<Vec<Event>, ChainError> {
        self.store().logs(query)
    }
}

fn create(store: &mut Store, config: &ChainConfig, now_ms: u64) -> Result<(), ChainError> {
    let genesis = genesis_hash(config);
    let meta = [
        ("genesis", genesis.clone()),
        ("chain id", config.chain_id.to_string()),
        ("EVM rules", SPEC_NAME.to_owned()),
    ];
    let balances = config
        .balances
        .iter()
        .map(|(a, s)| (Address::from(a.0), U256::from(s.0)));
    store.create(&meta, balances, keccak256(genesis), now_ms)
}

/// Hexadecimal Keccak-256 over chain id, rules and the sorted balances.
fn genesis_hash(config: &ChainConfig) -> String {
    let mut balances = config.balances.clone();
    balances.sort();
    let mut text = format!("assay/genesis/1 {} {SPEC_NAME}", config.chain_id);
    for (address, stake) in balances {
        text.push_str(&format!(" {address}:{stake}"));
    }
    hex::encode(keccak256(text))
}

fn lock(path: &Path) -> Result<File, ChainError> {
    let lock_path = path.with_added_extension("lock");
    let io = |source| ChainError::Io {
        path: lock_path.display().to_string(),
        source,
    };
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(ChainError::InUse(path.display().to_string()))
        }
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}
