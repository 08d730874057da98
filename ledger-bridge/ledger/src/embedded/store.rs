//! State, blocks and receipts in SQLite; a block is one durable transaction.

use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, keccak256};
use alloy_sol_types::{SolValue, sol};
use revm::Database;
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use revm::primitives::{KECCAK_EMPTY, TxKind};
use revm::state::{Account, AccountInfo};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::ExportedTx;
use super::exec::{NextBlock, Outcome};
use super::tx::RecoveredTx;
use crate::chain::{Block, ChainError, Event, LogQuery, Receipt};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS code(hash BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account(
  address BLOB PRIMARY KEY, nonce INTEGER NOT NULL, balance BLOB NOT NULL, code_hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS slot(
  address BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY(address, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block(
  number INTEGER PRIMARY KEY, hash BLOB NOT NULL, parent BLOB NOT NULL, time_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS tx(
  hash BLOB PRIMARY KEY, number INTEGER NOT NULL UNIQUE REFERENCES block(number), raw BLOB NOT NULL,
  sender BLOB NOT NULL, callee BLOB, created BLOB, success INTEGER NOT NULL, gas_used INTEGER NOT NULL,
  logs BLOB NOT NULL, revert_data BLOB
) STRICT;
CREATE TABLE IF NOT EXISTS event(
  address BLOB NOT NULL, topic BLOB NOT NULL, number INTEGER NOT NULL, PRIMARY KEY(address, topic, number)
) STRICT, WITHOUT ROWID;
";

sol! {
    struct StoredLog {
        address emitter;
        bytes32[] topics;
        bytes data;
    }
}

/// The newest block, with its exact time.
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) hash: B256,
    pub(super) parent: B256,
    pub(super) time_ms: u64,
}

impl Head {
    pub(super) fn block(&self) -> Block {
        let timestamp_s = self.time_ms / 1000;
        Block {
            number: self.number,
            hash: self.hash,
            parent: self.parent,
            timestamp_s,
        }
    }
}

/// The database of one chain.
pub(super) struct Store {
    path: String,
    connection: Connection,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, ChainError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        let mut store = Self {
            path: path.display().to_string(),
            connection,
        };
        store.index_events()?;
        Ok(store)
    }

    /// Fills in what a program that did not know the table `event` left out: the newest blocks, or all of them. Back from
    /// the newest one to the first that is in it, in one transaction, so that the table never has a gap.
    fn index_events(&mut self) -> Result<(), ChainError> {
        let sql = self.connection.transaction()?;
        let mut select = sql.prepare("SELECT number, logs FROM tx ORDER BY number DESC")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let logs = decode_logs(&row.get::<_, Vec<u8>>(1)?)?;
            let has_some = logs.iter().any(|log| indexed(log).is_some());
            if has_some && put_events(&sql, number(row, 0)?, &logs)? == 0 {
                break;
            }
        }
        drop(rows);
        drop(select);
        Ok(sql.commit()?)
    }

    pub(super) fn is_empty(&self) -> Result<bool, ChainError> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM block", [], |row| row.get(0))?;
        Ok(count == 0)
    }

    /// Refuses a chain whose recorded property is another, or was never recorded.
    pub(super) fn expect(&self, key: &'static str, expected: &str) -> Result<(), ChainError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        let actual: Option<String> = query.query_row([key], |row| row.get(0)).optional()?;
        let actual = actual.unwrap_or_else(|| "missing".to_owned());
        if actual == expected {
            return Ok(());
        }
        let (path, expected) = (self.path.clone(), expected.to_owned());
        Err(ChainError::OtherChain {
            path,
            what: key,
            expected,
            actual,
        })
    }

    /// Writes the genesis block.
    pub(super) fn create(
        &mut self,
        meta: &[(&str, String)],
        balances: impl Iterator<Item = (Address, U256)>,
        hash: B256,
        now_ms: u64,
    ) -> Result<(), ChainError> {
        let sql = self.connection.transaction()?;
        for (key, value) in meta {
            sql.execute("INSERT INTO meta VALUES(?1, ?2)", params![key, value])?;
        }
        for (address, balance) in balances {
            put_account(&sql, address, 0, balance, KECCAK_EMPTY)?;
        }
        put_block(&sql, 0, hash, B256::ZERO, now_ms)?;
        Ok(sql.commit()?)
    }

    pub(super) fn head(&self) -> Result<Head, ChainError> {
        let sql = "SELECT number, hash, parent, time_ms FROM block ORDER BY number DESC LIMIT 1";
        let mut query = self.connection.prepare_cached(sql)?;
        let head = query.query_row([], |row| {
            Ok(Head {
                number: number(row, 0)?,
                hash: B256::from(row.get::<_, [u8; 32]>(1)?),
                parent: B256::from(row.get::<_, [u8; 32]>(2)?),
                time_ms: number(row, 3)?,
            })
        })?;
        Ok(head)
    }

    pub(super) fn account(&self, address: Address) -> Result<AccountInfo, ChainError> {
        Ok(self.find_account(address)?.unwrap_or_default())
    }

    pub(super) fn code(&self, hash: B256) -> Result<Bytes, ChainError> {
        if hash == KECCAK_EMPTY || hash.is_zero() {
            return Ok(Bytes::new());
        }
        let mut query = self
            .connection
            .prepare_cached("SELECT bytes FROM code WHERE hash = ?1")?;
        let code: Option<Vec<u8>> = query
            .query_row([hash.as_slice()], |row| row.get(0))
            .optional()?;
        code.map(Bytes::from)
            .ok_or_else(|| ChainError::Corrupt(format!("code {hash} is missing")))
    }

    pub(super) fn receipt(&self, hash: B256) -> Result<Option<Receipt>, ChainError> {
        let sql = "SELECT block.number, block.hash, sender, callee, created, success, gas_used, logs, revert_data
                   FROM tx JOIN block USING(number) WHERE tx.hash = ?1";
        let mut query = self.connection.prepare_cached(sql)?;
        let found = query.query_row([hash.as_slice()], |row| {
            Ok((receipt(row, hash)?, row.get::<_, Vec<u8>>(7)?))
        });
        let Some((mut receipt, logs)) = found.optional()? else {
            return Ok(None);
        };
        receipt.logs = decode_logs(&logs)?;
        Ok(Some(receipt))
    }

    /// The events of a query: which blocks have some is in a table of its own.
    pub(super) fn logs(&self, query: &LogQuery) -> Result<Vec<Event>, ChainError> {
        let sql = "SELECT number, logs, hash FROM event JOIN tx USING(number)
                   WHERE address = ?1 AND topic = ?2 AND number >= ?3 ORDER BY number";
        let mut select = self.connection.prepare_cached(sql)?;
        let (address, topic) = (query.address.as_slice(), query.topic.as_slice());
        let rows = select.query_map(params![address, topic, to_sql(query.from)], |row| {
            let hash: Vec<u8> = row.get(2)?;
            Ok((number(row, 0)?, row.get::<_, Vec<u8>>(1)?, hash))
        })?;
        let mut events = Vec::new();
        for row in rows {
            let (block, logs, hash) = row?;
            let tx = B256::try_from(hash.as_slice())
                .map_err(|_| ChainError::Corrupt(format!("hash of block {block}")))?;
            let logs = decode_logs(&logs)?.into_iter();
            let asked = logs.filter(|log| query.asks_for(log));
            events.extend(asked.map(|log| Event { block, tx, log }));
        }
        Ok(events)
    }

    /// The signed bytes of a transaction.
    pub(super) fn raw(&self, hash: B256) -> Result<Option<Vec<u8>>, ChainError> {
        let sql = "SELECT raw FROM tx WHERE hash = ?1";
        let mut query = self.connection.prepare_cached(sql)?;
        let found = query.query_row([hash.as_slice()], |row| row.get(0));
        Ok(found.optional()?)
    }

    pub(super) fn export(&self) -> Result<Vec<ExportedTx>, ChainError> {
        let sql = "SELECT time_ms, raw FROM tx JOIN block USING(number) ORDER BY number";
        let mut query = self.connection.prepare(sql)?;
        let rows = query.query_map([], |row| {
            Ok(ExportedTx {
                time_ms: number(row, 0)?,
                raw: row.get(1)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Block, transaction, receipt and state difference: all or nothing, durable on return.
    pub(super) fn commit(
        &mut self,
        block: &NextBlock,
        tx: &RecoveredTx,
        outcome: &Outcome,
    ) -> Result<(), ChainError> {
        let logs = encode_logs(&outcome.logs);
        let sql = self.connection.transaction()?;
        put_block(
            &sql,
            block.number,
            block_hash(block, tx, outcome, &logs),
            block.parent,
            block.time_ms,
        )?;
        put_tx(&sql, block.number, tx, outcome, &logs)?;
        put_events(&sql, block.number, &outcome.logs)?;
        for (address, account) in &outcome.state {
            apply(&sql, *address, account)?;
        }
        Ok(sql.commit()?)
    }

    fn find_account(&self, address: Address) -> Result<Option<AccountInfo>, ChainError> {
        let sql = "SELECT nonce, balance, code_hash FROM account WHERE address = ?1";
        let mut query = self.connection.prepare_cached(sql)?;
        let found = query.query_row([address.as_slice()], |row| {
            Ok(AccountInfo {
                nonce: number(row, 0)?,
                balance: U256::from_be_bytes(row.get::<_, [u8; 32]>(1)?),
                code_hash: B256::from(row.get::<_, [u8; 32]>(2)?),
                code: None,
                ..AccountInfo::default()
            })
        });
        Ok(found.optional()?)
    }

    fn slot(&self, address: Address, key: U256) -> Result<U256, ChainError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT value FROM slot WHERE address = ?1 AND key = ?2")?;
        let key = key.to_be_bytes::<32>();
        let found: Option<[u8; 32]> = query
            .query_row(params![address.as_slice(), key], |row| row.get(0))
            .optional()?;
        Ok(found.map_or(U256::ZERO, U256::from_be_bytes))
    }

    fn block_hash(&self, block_number: u64) -> Result<B256, ChainError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT hash FROM block WHERE number = ?1")?;
        let found: Option<[u8; 32]> = query
            .query_row([to_sql(block_number)], |row| row.get(0))
            .optional()?;
        Ok(found.map_or(B256::ZERO, B256::from))
    }
}

/// A state database failed during execution.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct StoreError(#[from] pub(super) ChainError);

impl DBErrorMarker for StoreError {}

/// revm's view of the store.
pub(super) struct StateReader<'a>(pub(super) &'a Store);

impl Database for StateReader<'_> {
    type Error = StoreError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StoreError> {
        Ok(self.0.find_account(address)?)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, StoreError> {
        Ok(Bytecode::new_raw(self.0.code(hash)?))
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, StoreError> {
        Ok(self.0.slot(address, key)?)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StoreError> {
        Ok(self.0.block_hash(number)?)
    }
}

/// Commits to everything a replay must reproduce.
fn block_hash(block: &NextBlock, tx: &RecoveredTx, outcome: &Outcome, logs: &[u8]) -> B256 {
    let mut bytes = b"assay/block/1".to_vec();
    bytes.extend_from_slice(block.parent.as_slice());
    bytes.extend_from_slice(&block.number.to_be_bytes());
    bytes.extend_from_slice(&block.time_ms.to_be_bytes());
    bytes.extend_from_slice(tx.hash.as_slice());
    bytes.push(u8::from(outcome.success));
    bytes.extend_from_slice(&outcome.gas_used.to_be_bytes());
    bytes.extend_from_slice(keccak256(logs).as_slice());
    keccak256(bytes)
}

fn apply(sql: &Transaction<'_>, address: Address, account: &Account) -> rusqlite::Result<()> {
    if !account.is_touched() {
        return Ok(());
    }
    if account.is_selfdestructed() || account.is_created() {
        sql.prepare_cached("DELETE FROM slot WHERE address = ?1")?
            .execute([address.as_slice()])?;
    }
    if account.is_selfdestructed() || account.is_empty() {
        sql.prepare_cached("DELETE FROM account WHERE address = ?1")?
            .execute([address.as_slice()])?;
        return Ok(());
    }
    let info = &account.info;
    if let Some(code) = info.code.as_ref().filter(|code| !code.is_empty()) {
        let mut insert = sql.prepare_cached("INSERT OR IGNORE INTO code VALUES(?1, ?2)")?;
        insert.execute(params![
            info.code_hash.as_slice(),
            code.original_byte_slice()
        ])?;
    }
    put_account(sql, address, info.nonce, info.balance, info.code_hash)?;
    for (key, slot) in account.changed_storage_slots() {
        put_slot(sql, address, *key, slot.present_value)?;
    }
    Ok(())
}

fn put_slot(
    sql: &Transaction<'_>,
    address: Address,
    key: U256,
    value: U256,
) -> rusqlite::Result<()> {
    let key = key.to_be_bytes::<32>();
    if value.is_zero() {
        let mut delete = sql.prepare_cached("DELETE FROM slot WHERE address = ?1 AND key = ?2")?;
        delete.execute(params![address.as_slice(), key])?;
    } else {
        let mut insert = sql.prepare_cached("INSERT OR REPLACE INTO slot VALUES(?1, ?2, ?3)")?;
        insert.execute(params![address.as_slice(), key, value.to_be_bytes::<32>()])?;
    }
    Ok(())
}

fn put_account(
    sql: &Transaction<'_>,
    address: Address,
    nonce: u64,
    balance: U256,
    code_hash: B256,
) -> rusqlite::Result<()> {
    let mut insert = sql.prepare_cached("INSERT OR REPLACE INTO account VALUES(?1, ?2, ?3, ?4)")?;
    let balance = balance.to_be_bytes::<32>();
    insert.execute(params![
        address.as_slice(),
        to_sql(nonce),
        balance,
        code_hash.as_slice()
    ])?;
    Ok(())
}

fn put_block(
    sql: &Transaction<'_>,
    number: u64,
    hash: B256,
    parent: B256,
    time_ms: u64,
) -> rusqlite::Result<()> {
    let mut insert = sql.prepare_cached("INSERT INTO block VALUES(?1, ?2, ?3, ?4)")?;
    insert.execute(params![
        to_sql(number),
        hash.as_slice(),
        parent.as_slice(),
        to_sql(time_ms)
    ])?;
    Ok(())
}

fn put_tx(
    sql: &Transaction<'_>,
    number: u64,
    tx: &RecoveredTx,
    outcome: &Outcome,
    logs: &[u8],
) -> rusqlite::Result<()> {
    let callee = match tx.body.to {
        TxKind::Call(address) => Some(address),
        TxKind::Create => None,
    };
    let mut insert =
        sql.prepare_cached("INSERT INTO tx VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
    insert.execute(params![
        tx.hash.as_slice(),
        to_sql(number),
        tx.raw,
        tx.sender.as_slice(),
        callee.as_ref().map(|a| a.as_slice()),
        outcome.created.as_ref().map(|a| a.as_slice()),
        outcome.success,
        to_sql(outcome.gas_used),
        logs,
        outcome.revert_data.as_ref().map(|data| data.to_vec()),
    ])?;
    Ok(())
}

/// Returns how many rows are new: none when the block's events are there already.
fn put_events(sql: &Transaction<'_>, number: u64, logs: &[Log]) -> rusqlite::Result<usize> {
    let mut insert = sql.prepare_cached("INSERT OR IGNORE INTO event VALUES(?1, ?2, ?3)")?;
    let mut new = 0;
    for log in logs {
        if let Some(topic) = indexed(log) {
            let (address, topic) = (log.address.as_slice(), topic.as_slice());
            new += insert.execute(params![address, topic, to_sql(number)])?;
        }
    }
    Ok(new)
}

/// The topic that events are found by.
fn indexed(log: &Log) -> Option<&B256> {
    log.topics().get(1)
}

fn receipt(row: &Row<'_>, tx_hash: B256) -> rusqlite::Result<Receipt> {
    let address =
        |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<[u8; 20]>>(index)?.map(Address::from));
    Ok(Receipt {
        tx_hash,
        block_number: number(row, 0)?,
        block_hash: B256::from(row.get::<_, [u8; 32]>(1)?),
        from: Address::from(row.get::<_, [u8; 20]>(2)?),
        to: address(3)?,
        contract_address: address(4)?,
        success: row.get(5)?,
        gas_used: number(row, 6)?,
        logs: Vec::new(),
        revert_data: row.get::<_, Option<Vec<u8>>>(8)?.map(Bytes::from),
    })
}

fn encode_logs(logs: &[Log]) -> Vec<u8> {
    let stored: Vec<StoredLog> = logs
        .iter()
        .map(|log| StoredLog {
            emitter: log.address,
            topics: log.data.topics().to_vec(),
            data: log.data.data.clone(),
        })
        .collect();
    stored.abi_encode()
}

fn decode_logs(bytes: &[u8]) -> Result<Vec<Log>, ChainError> {
    let damaged = |why: String| ChainError::Corrupt(format!("logs of a receipt: {why}"));
    let stored =
        Vec::<StoredLog>::abi_decode_validate(bytes).map_err(|e| damaged(e.to_string()))?;
    let log = |s: StoredLog| {
        let data = LogData::new(s.topics, s.data)
            .ok_or_else(|| damaged("more than four topics".to_owned()))?;
        Ok(Log {
            address: s.emitter,
            data,
        })
    };
    stored.into_iter().map(log).collect()
}

/// SQLite integers are signed; every number here is far below 2^63 (nonces, heights, gas, milliseconds).
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, value))
}
