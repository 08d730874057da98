//! The bridge's durable state: one SQLite file, WAL, `synchronous = FULL`. What is answered or broadcast is here first.

use assay_ledger::SignedTx;
use assay_protocol::ids::{Epoch, HyperNodeId, Keccak, NetworkId, NodeId};
use assay_protocol::wire::BoardObject;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS objects (
  epoch INTEGER NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, hypernode BLOB NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (epoch, number), UNIQUE (epoch, kind, hypernode)) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
  id INTEGER PRIMARY KEY, action TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, nonce INTEGER NOT NULL, raw BLOB NOT NULL,
  state TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_in_flight ON outbox (state) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS settled (epoch INTEGER NOT NULL, node BLOB NOT NULL, note TEXT NOT NULL,
  PRIMARY KEY (epoch, node)) STRICT;
";
/// How long a reader waits for a writer of another process.
const BUSY: Duration = Duration::from_secs(10);

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's error: a full disk, a damaged file.
    #[error(
        "bridge state {path}: {source}\nhint: check free space and the file's owner; nothing was acknowledged"
    )]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The folder could not be made.
    #[error("bridge state {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is another network's.
    #[error(
        "bridge state {path}: network: expected {expected}, got {actual}\nhint: give this network its own state_dir"
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The configured network.
        expected: NetworkId,
        /// The network in the file.
        actual: String,
    },
    /// The file holds what this program cannot have written.
    #[error(
        "bridge state {path} is damaged: {what}\nhint: restore it from a copy; do not start with an empty one"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// An object of the board as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its number in its epoch, from 1.
    pub number: u64,
    /// The object.
    pub object: BoardObject,
}

/// How the sending of a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxEnd {
    /// Included and successful.
    Included,
    /// Included and reverted.
    Reverted,
    /// Another transaction took its nonce; it can never be included.
    Superseded,
}

impl TxEnd {
    fn name(self) -> &'static str {
        match self {
            Self::Included => "included",
            Self::Reverted => "reverted",
            Self::Superseded => "superseded",
        }
    }
}

/// The open store; calls are serialised.
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens or creates `board.db` of a network in `dir`.
    pub fn open(dir: &Path, network: NetworkId) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder {
            path: dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(folder)?;
        let store = Self::connect(dir, OpenFlags::default())?;
        store.with(|c| {
            c.pragma_update(None, "journal_mode", "WAL")?;
            c.pragma_update(None, "synchronous", "FULL")?;
            c.execute_batch(SCHEMA)?;
            let sql = "INSERT OR IGNORE INTO meta VALUES ('network', ?1)";
            c.execute(sql, [network.to_string()])
        })?;
        store.expect(network)
    }

    /// Opens the `board.db` of a bridge that may be running, for reading.
    pub fn open_for_reading(dir: &Path, network: NetworkId) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let store = Self::connect(dir, flags)?;
        store.with(|c| c.pragma_update(None, "query_only", true))?;
        store.expect(network)
    }

    fn connect(dir: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let path = dir.join("board.db");
        let failed = |source| StoreError::Sqlite {
            path: path.clone(),
            source,
        };
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        Ok(Self {
            connection: Mutex::new(connection),
            path,
        })
    }

    fn expect(self, expected: NetworkId) -> Result<Self, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = 'network'";
        let actual: String = self.with(|c| c.query_row(sql, [], |row| row.get(0)))?;
        if actual != expected.to_string() {
            return Err(StoreError::OtherNetwork {
                path: self.path,
                expected,
                actual,
            });
        }
        Ok(self)
    }

    /// The object of this kind by this HyperNode.
    pub fn object(
        &self,
        epoch: Epoch,
        kind: &str,
        from: &HyperNodeId,
    ) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let sql =
            "SELECT number, bytes FROM objects WHERE epoch = ?1 AND kind = ?2 AND hypernode = ?3";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?));
        self.with(|c| {
            c.query_row(sql, params![int(epoch.0), kind, from.0], row)
                .optional()
        })
    }

    /// Stores an object durably under the next number of its epoch.
    pub fn insert(
        &self,
        epoch: Epoch,
        from: &HyperNodeId,
        object: &BoardObject,
    ) -> Result<u64, StoreError> {
        let sql = "INSERT INTO objects SELECT ?1, COALESCE(MAX(number), 0) + 1, ?2, ?3, ?4 \
                   FROM objects WHERE epoch = ?1 RETURNING number";
        let values = params![int(epoch.0), object.kind(), from.0, object.bytes()];
        self.with(|c| c.query_row(sql, values, |row| row.get::<_, i64>(0)))
            .map(i64::unsigned_abs)
    }

    /// Objects of an epoch after a number: at most `count_max`, of `bytes_max` bytes together, but at least one.
    pub fn objects(
        &self,
        epoch: Epoch,
        after: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        let rows = self.rows(epoch, after, count_max)?;
        let mut bytes = 0usize;
        let mut taken = Vec::new();
        for (number, kind, content) in rows {
            bytes = bytes.saturating_add(content.len());
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            let object = object_of(&kind, content)
                .ok_or_else(|| self.damaged(format!("object kind {kind:?}")))?;
            taken.push(StoredObject { number, object });
        }
        Ok(taken)
    }

    fn rows(
        &self,
        epoch: Epoch,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<(u64, String, Vec<u8>)>, StoreError> {
        let sql = "SELECT number, kind, bytes FROM objects WHERE epoch = ?1 AND number > ?2 \
                   ORDER BY number LIMIT ?3";
        let values = params![int(epoch.0), int(after), int(count_max as u64)];
        self.with(|c| {
            let mut statement = c.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok((
                    row.get::<_, i64>(0)?.unsigned_abs(),
                    row.get(1)?,
                    row.get(2)?,
                ))
            };
            statement.query_map(values, row)?.collect()
        })
    }

    /// Stores a signed transaction before it is sent. There is one in flight at most.
    pub fn enqueue(&self, action: &str, tx: &SignedTx) -> Result<(), StoreError> {
        let sql = "INSERT INTO outbox (action, hash, nonce, raw, state) VALUES (?1, ?2, ?3, ?4, 'pending')";
        let values = params![action, tx.hash.0, int(tx.nonce), tx.raw];
        self.with(|c| c.execute(sql, values)).map(drop)
    }

    /// The transaction whose fate is not known yet.
    pub fn pending(&self) -> Result<Option<SignedTx>, StoreError> {
        let sql = "SELECT action, hash, nonce, raw FROM outbox WHERE state = 'pending'";
        let row = |row: &rusqlite::Row<'_>| {
            Ok(SignedTx {
                action: row.get(0)?,
                hash: Keccak(row.get(1)?),
                nonce: row.get::<_, i64>(2)?.unsigned_abs(),
                raw: row.get(3)?,
            })
        };
        self.with(|c| c.query_row(sql, [], row).optional())
    }

    /// The fate of a transaction is known.
    pub fn finish(&self, hash: &Keccak, end: TxEnd) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET state = ?1 WHERE hash = ?2";
        self.with(|c| c.execute(sql, params![end.name(), hash.0]))
            .map(drop)
    }

    /// How many transactions of an action ended this way.
    pub fn ended(&self, action: &str, end: TxEnd) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM outbox WHERE action = ?1 AND state = ?2";
        self.with(|c| c.query_row(sql, params![action, end.name()], |row| row.get::<_, i64>(0)))
            .map(i64::unsigned_abs)
    }

    /// Whether nothing is left to do for this leaf.
    pub fn is_settled(&self, epoch: Epoch, node: &NodeId) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(*) FROM settled WHERE epoch = ?1 AND node = ?2";
        self.with(|c| {
            c.query_row(sql, params![int(epoch.0), node.0], |row| {
                row.get::<_, i64>(0)
            })
        })
        .map(|count| count > 0)
    }

    /// Nothing is left to do for this leaf; `note` says why.
    pub fn put_settled(&self, epoch: Epoch, node: &NodeId, note: &str) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO settled VALUES (?1, ?2, ?3)";
        self.with(|c| c.execute(sql, params![int(epoch.0), node.0, note]))
            .map(drop)
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        let failed = |source| StoreError::Sqlite {
            path: self.path.clone(),
            source,
        };
        work(&self.lock()).map_err(failed)
    }

    /// Every change is one statement, so a panicked holder leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what,
        }
    }
}

/// SQLite has signed integers only; nothing here comes near the limit.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn object_of(kind: &str, bytes: Vec<u8>) -> Option<BoardObject> {
    let makers = [
        BoardObject::Commit as fn(Vec<u8>) -> BoardObject,
        BoardObject::Reveal,
        BoardObject::Proposal,
        BoardObject::Vote,
        BoardObject::RootSignature,
    ];
    let maker = makers
        .into_iter()
        .find(|make| make(Vec::new()).kind() == kind)?;
    Some(maker(bytes))
}
