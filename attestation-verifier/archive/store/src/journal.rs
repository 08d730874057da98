//! The journal: outcomes as they happen, the log's leaves, and small facts that must survive a crash (SQLite, WAL, FULL).

use crate::StoreError;
use assay_log::{Checkpoint, Leaf, NodeLeaf, SlotLeaf, Tree, entries_root, salted_digest};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, NodeId, Slot};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE outcomes (
        seq    INTEGER PRIMARY KEY,
        epoch  INTEGER NOT NULL,
        slot   INTEGER NOT NULL,
        node   BLOB NOT NULL,
        kind   INTEGER NOT NULL,
        salt   BLOB NOT NULL,
        signed BLOB NOT NULL,
        digest BLOB NOT NULL,
        UNIQUE (epoch, slot, node, kind)
    );
    CREATE INDEX outcomes_of_node ON outcomes (epoch, node, seq);
    CREATE TABLE leaves (
        idx      INTEGER PRIMARY KEY,
        hash     BLOB NOT NULL,
        encoding BLOB NOT NULL,
        epoch    INTEGER NOT NULL,
        slot     INTEGER,
        node     BLOB,
        UNIQUE (epoch, slot),
        UNIQUE (epoch, node)
    );
    CREATE TABLE checkpoints (
        size INTEGER PRIMARY KEY,
        root BLOB NOT NULL,
        note TEXT NOT NULL
    );
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
";
const ORIGIN_KEY: &str = "journal/origin";
/// Jumps from epoch to epoch: records are many.
const EPOCHS: &str = "
    WITH RECURSIVE found (epoch) AS (
        SELECT min(epoch) FROM outcomes
        UNION ALL
        SELECT (SELECT min(epoch) FROM outcomes WHERE epoch > found.epoch) FROM found WHERE found.epoch < ?1
    )
    SELECT epoch FROM found WHERE epoch < ?1
";
/// From a prefix to what comes after all keys that start with it.
const WITH_PREFIX: &str = "SELECT key, value FROM meta WHERE key >= ?1 AND key < ?2 ORDER BY key";
const COLUMNS: &str = "epoch, slot, node, kind, salt, signed";

/// Something to record: an outcome, an excuse, a region key's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Epoch.
    pub epoch: Epoch,
    /// Slot.
    pub slot: Slot,
    /// Node it is about.
    pub node: NodeId,
    /// What it is; there is one record of a kind for a node and slot.
    pub kind: u8,
    /// Fresh randomness that hides it in the log.
    pub salt: [u8; 32],
    /// The signed bytes, exactly as signed.
    pub signed: Vec<u8>,
}

impl Record {
    /// SHA-256(salt ‖ signed bytes): the record as it appears in leaves.
    pub fn digest(&self) -> Digest {
        salted_digest(&self.salt, &self.signed)
    }
}

/// Result of [`Journal::acknowledge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledged {
    /// It is on disk now.
    Recorded,
    /// A record of this epoch, slot, node and kind was on disk before; **this** one counts, and the new one was dropped.
    Already(Record),
}

/// The journal and log of one HyperNode in one network.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    origin: String,
    tree: Tree,
}

impl Journal {
    /// Opens or creates the journal of the log named `origin` (see [`assay_log::checkpoint::origin`]) in the file `path`.
    ///
    /// Checks that every leaf hashes to what the log says and that the last signed checkpoint still holds.
    pub fn open(path: impl Into<PathBuf>, origin: &str) -> Result<Self, StoreError> {
        let path = path.into();
        let connection =
            connect(&path).map_err(|e| StoreError::sql("open the journal", &path, e))?;
        let mut journal = Self {
            connection,
            path,
            origin: origin.to_owned(),
            tree: Tree::new(),
        };
        journal.create_or_check()?;
        journal.load_tree()?;
        journal.check_last_checkpoint()?;
        Ok(journal)
    }

    /// Records an outcome; durable when it returns. Idempotent: what was recorded first stays.
    pub fn acknowledge(&mut self, record: &Record) -> Result<Acknowledged, StoreError> {
        let values = Values::of(record)?;
        self.write("record an outcome", |transaction| {
            if let Some(earlier) = earlier(transaction, &values)? {
                return Ok(Ok(Acknowledged::Already(earlier)));
            }
            let (epoch, slot, node) = (record.epoch, record.slot, record.node);
            if leaf_of(transaction, "slot", values.epoch, &values.slot)?.is_some() {
                return Ok(Err(StoreError::SlotClosed { epoch, slot }));
            }
            if leaf_of(transaction, "node", values.epoch, &record.node.0)?.is_some() {
                return Ok(Err(StoreError::NodeClosed { epoch, node }));
            }
            insert_outcome(transaction, record, &values)?;
            Ok(Ok(Acknowledged::Recorded))
        })?
    }

    /// Appends the leaf of a slot, once, and returns its index; an empty slot has a leaf, too.
    pub fn close_slot(&mut self, epoch: Epoch, slot: Slot) -> Result<u64, StoreError> {
        let number = sql_number("epoch", epoch.0)?;
        let at = i64::from(slot.0);
        let leaf = |digests: &[Digest]| {
            let (count, root) = (count(digests), entries_root(digests));
            Leaf::Slot(SlotLeaf {
                epoch,
                slot,
                count,
                root,
            })
        };
        self.close("slot", number, &at, leaf)
    }

    /// Appends the leaf of a node and epoch, once, and returns its index.
    pub fn close_node(&mut self, epoch: Epoch, node: NodeId) -> Result<u64, StoreError> {
        let number = sql_number("epoch", epoch.0)?;
        let leaf = |digests: &[Digest]| {
            let (count, root) = (count(digests), entries_root(digests));
            Leaf::Node(NodeLeaf {
                epoch,
                node,
                count,
                root,
            })
        };
        self.close("node", number, &node.0, leaf)
    }

    /// The log's tree, for roots and proofs.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// A signed checkpoint over all leaves, durable before it is returned. `sign` gets the bytes to be signed by `key`.
    /// At an unchanged size the earlier note is returned and nothing is signed.
    pub fn checkpoint(
        &mut self,
        key: &HyperNodeId,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<String, StoreError> {
        let (size, root) = (self.tree.size(), self.tree.root());
        let number = sql_number("tree size", size)?;
        if let Some((_, _, note)) = self.last_checkpoint()?.filter(|(last, _, _)| *last == size) {
            return Ok(note);
        }
        let statement = Checkpoint {
            origin: self.origin.clone(),
            size,
            root,
        };
        let note = assay_log::sign_checkpoint(&statement, key, sign)?;
        self.write("store a checkpoint", |transaction| {
            transaction.execute(
                "INSERT INTO checkpoints VALUES (?1, ?2, ?3)",
                params![number, root.0, note],
            )
        })?;
        Ok(note)
    }

    /// The signed checkpoint at exactly this tree size, if one was signed.
    pub fn checkpoint_at(&self, size: u64) -> Result<Option<String>, StoreError> {
        let number = sql_number("tree size", size)?;
        self.read("read a checkpoint", |connection| {
            connection
                .query_row(
                    "SELECT note FROM checkpoints WHERE size = ?1",
                    [number],
                    |row| row.get(0),
                )
                .optional()
        })
    }

    /// Records of a slot, in the order of its leaf.
    pub fn slot_records(&self, epoch: Epoch, slot: Slot) -> Result<Vec<Record>, StoreError> {
        let number = sql_number("epoch", epoch.0)?;
        let sql =
            format!("SELECT {COLUMNS} FROM outcomes WHERE epoch = ?1 AND slot = ?2 ORDER BY seq");
        self.records(&sql, params![number, slot.0])
    }

    /// Records about a node in an epoch, in the order of its leaf.
    pub fn node_records(&self, epoch: Epoch, node: NodeId) -> Result<Vec<Record>, StoreError> {
        let number = sql_number("epoch", epoch.0)?;
        let sql =
            format!("SELECT {COLUMNS} FROM outcomes WHERE epoch = ?1 AND node = ?2 ORDER BY seq");
        self.records(&sql, params![number, node.0])
    }

    /// Epochs before `before` with records, ascending.
    pub fn epochs(&self, before: Epoch) -> Result<Vec<Epoch>, StoreError> {
        let before = i64::try_from(before.0).unwrap_or(i64::MAX);
        self.read("list epochs", |connection| {
            let mut statement = connection.prepare_cached(EPOCHS)?;
            statement
                .query_map([before], |row| {
                    row.get(0).map(|epoch| Epoch(unsigned(epoch)))
                })?
                .collect()
        })
    }

    /// Nodes with records in an epoch, ascending.
    pub fn nodes(&self, epoch: Epoch) -> Result<Vec<NodeId>, StoreError> {
        let number = sql_number("epoch", epoch.0)?;
        self.read("list nodes", |connection| {
            let sql = "SELECT DISTINCT node FROM outcomes WHERE epoch = ?1 ORDER BY node";
            let mut statement = connection.prepare_cached(sql)?;
            statement
                .query_map([number], |row| row.get(0).map(NodeId))?
                .collect()
        })
    }

    /// The leaf at an index.
    pub fn leaf(&self, index: u64) -> Result<Option<Leaf>, StoreError> {
        let number = sql_number("leaf index", index)?;
        let encoding: Option<Vec<u8>> = self.read("read a leaf", |connection| {
            connection
                .query_row(
                    "SELECT encoding FROM leaves WHERE idx = ?1",
                    [number],
                    |row| row.get(0),
                )
                .optional()
        })?;
        Ok(encoding.map(|bytes| Leaf::decode(&bytes)).transpose()?)
    }

    /// Index of a slot's leaf, once it is closed.
    pub fn slot_leaf(&self, epoch: Epoch, slot: Slot) -> Result<Option<u64>, StoreError> {
        let number = sql_number("epoch", epoch.0)?;
        self.read("find a leaf", |connection| {
            leaf_of(connection, "slot", number, &slot.0)
        })
    }

    /// Index of a node's leaf of an epoch, once it is closed.
    pub fn node_leaf(&self, epoch: Epoch, node: NodeId) -> Result<Option<u64>, StoreError> {
        let number = sql_number("epoch", epoch.0)?;
        self.read("find a leaf", |connection| {
            leaf_of(connection, "node", number, &node.0)
        })
    }

    /// A small fact kept under `key`.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("read a fact", |connection| meta(connection, key))
    }

    /// Keeps a small fact; durable when it returns, replacing what was there.
    pub fn put_meta(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write("store a fact", |transaction| {
            put_meta(transaction, key, value)
        })
    }

    /// Facts whose key starts with `prefix`, ascending by key.
    pub fn meta_with_prefix(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read("read facts", |connection| {
            let mut statement = connection.prepare_cached(WITH_PREFIX)?;
            statement
                .query_map(params![prefix, after_all(prefix)], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?
                .collect()
        })
    }

    /// Forgets a fact.
    pub fn remove_meta(&mut self, key: &str) -> Result<(), StoreError> {
        self.write("forget a fact", |transaction| {
            transaction
                .execute("DELETE FROM meta WHERE key = ?1", [key])
                .map(drop)
        })
    }

    fn close(
        &mut self,
        what: &'static str,
        epoch: i64,
        which: &dyn ToSql,
        leaf: impl FnOnce(&[Digest]) -> Leaf,
    ) -> Result<u64, StoreError> {
        let next = sql_number("leaf index", self.tree.size())?;
        let appended = self.write("append a leaf", |transaction| {
            if let Some(index) = leaf_of(transaction, what, epoch, which)? {
                return Ok(Err(index));
            }
            let leaf = leaf(&digests_of(transaction, what, epoch, which)?);
            let sql = format!("INSERT INTO leaves (idx, hash, encoding, epoch, {what}) VALUES (?1, ?2, ?3, ?4, ?5)");
            let values = params![next, leaf.hash().0, leaf.encode(), epoch, which];
            transaction.execute(&sql, values)?;
            Ok(Ok(leaf.hash()))
        })?;
        // Only what is committed enters the tree.
        Ok(appended.map_or_else(|index| index, |hash| self.tree.append(hash)))
    }

    fn records(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Record>, StoreError> {
        self.read("read outcomes", |connection| {
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map(values, record)?.collect()
        })
    }

    fn read<T>(
        &self,
        action: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        query(&self.connection).map_err(|error| StoreError::sql(action, &self.path, error))
    }

    fn write<T>(
        &mut self,
        action: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let run = || {
            let transaction = self.connection.transaction()?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|error| StoreError::sql(action, &self.path, error))
    }

    fn create_or_check(&mut self) -> Result<(), StoreError> {
        let origin = self.origin.clone();
        let (version, found) = self.write("create the journal", |transaction| {
            let version: i64 =
                transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            if version == 0 {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
                put_meta(transaction, ORIGIN_KEY, origin.as_bytes())?;
                return Ok((SCHEMA_VERSION, Some(origin.into_bytes())));
            }
            Ok((
                version,
                if version == SCHEMA_VERSION {
                    meta(transaction, ORIGIN_KEY)?
                } else {
                    None
                },
            ))
        })?;
        if version != SCHEMA_VERSION {
            return Err(self.other_log("schema 1".into(), format!("schema {version}")));
        }
        let actual = String::from_utf8_lossy(&found.unwrap_or_default()).into_owned();
        if actual == self.origin {
            return Ok(());
        }
        Err(self.other_log(self.origin.clone(), actual))
    }

    fn load_tree(&mut self) -> Result<(), StoreError> {
        let rows: Vec<(i64, [u8; 32], Vec<u8>)> = self.read("read the log", |connection| {
            let sql = "SELECT idx, hash, encoding FROM leaves ORDER BY idx";
            let mut statement = connection.prepare(sql)?;
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })?;
        for (index, hash, encoding) in rows {
            let expected = self.tree.size();
            if u64::try_from(index) != Ok(expected) {
                return Err(self.damaged(format!("expected leaf {expected}, got {index}")));
            }
            if Leaf::decode(&encoding)?.hash().0 != hash {
                return Err(self.damaged(format!("leaf {index} does not hash to its entry")));
            }
            self.tree.append(Digest(hash));
        }
        Ok(())
    }

    fn check_last_checkpoint(&self) -> Result<(), StoreError> {
        let Some((size, root, _)) = self.last_checkpoint()? else {
            return Ok(());
        };
        match self.tree.root_at(size) {
            Ok(actual) if actual == root => Ok(()),
            Ok(actual) => Err(self.damaged(format!(
                "a signed checkpoint of size {size} has root {root}, the leaves lead to {actual}"
            ))),
            Err(_) => Err(self.damaged(format!(
                "a checkpoint of size {size} was signed, but only {} leaves are here",
                self.tree.size()
            ))),
        }
    }

    fn last_checkpoint(&self) -> Result<Option<(u64, Digest, String)>, StoreError> {
        self.read("read the last checkpoint", |connection| {
            let sql = "SELECT size, root, note FROM checkpoints ORDER BY size DESC LIMIT 1";
            connection
                .query_row(sql, [], |row| {
                    Ok((unsigned(row.get(0)?), Digest(row.get(1)?), row.get(2)?))
                })
                .optional()
        })
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what,
        }
    }

    fn other_log(&self, expected: String, actual: String) -> StoreError {
        StoreError::OtherLog {
            path: self.path.clone(),
            expected,
            actual,
        }
    }
}

/// A record's numbers as the database keeps them.
struct Values {
    epoch: i64,
    slot: i64,
    node: [u8; 32],
    kind: u8,
}

impl Values {
    fn of(record: &Record) -> Result<Self, StoreError> {
        let epoch = sql_number("epoch", record.epoch.0)?;
        let slot = i64::from(record.slot.0);
        Ok(Self {
            epoch,
            slot,
            node: record.node.0,
            kind: record.kind,
        })
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::ZERO)?;
    // One process owns the journal: an exclusive lock that the kernel drops when the process dies.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")?;
    Ok(connection)
}

fn earlier(connection: &Connection, values: &Values) -> rusqlite::Result<Option<Record>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM outcomes WHERE epoch = ?1 AND slot = ?2 AND node = ?3 AND kind = ?4"
    );
    let Values {
        epoch,
        slot,
        node,
        kind,
    } = values;
    let mut statement = connection.prepare_cached(&sql)?;
    statement
        .query_row(params![epoch, slot, node, kind], record)
        .optional()
}

fn insert_outcome(
    connection: &Connection,
    record: &Record,
    values: &Values,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO outcomes (epoch, slot, node, kind, salt, signed, digest)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let Values {
        epoch,
        slot,
        node,
        kind,
    } = values;
    let digest = record.digest().0;
    let row = params![epoch, slot, node, kind, record.salt, record.signed, digest];
    connection.prepare_cached(sql)?.execute(row).map(drop)
}

/// Index of the leaf of a slot or node (`what` names the column, never user input).
fn leaf_of(
    connection: &Connection,
    what: &'static str,
    epoch: i64,
    which: &dyn ToSql,
) -> rusqlite::Result<Option<u64>> {
    let sql = format!("SELECT idx FROM leaves WHERE epoch = ?1 AND {what} = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    statement
        .query_row(params![epoch, which], |row| row.get(0).map(unsigned))
        .optional()
}

fn digests_of(
    connection: &Connection,
    what: &'static str,
    epoch: i64,
    which: &dyn ToSql,
) -> rusqlite::Result<Vec<Digest>> {
    let sql = format!("SELECT digest FROM outcomes WHERE epoch = ?1 AND {what} = ?2 ORDER BY seq");
    let mut statement = connection.prepare_cached(&sql)?;
    statement
        .query_map(params![epoch, which], |row| row.get(0).map(Digest))?
        .collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        epoch: Epoch(unsigned(row.get(0)?)),
        slot: Slot(row.get(1)?),
        node: NodeId(row.get(2)?),
        kind: row.get(3)?,
        salt: row.get(4)?,
        signed: row.get(5)?,
    })
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

/// What is greater than all texts that start with `prefix`, and not than others that are greater than it.
fn after_all(prefix: &str) -> Value {
    let mut before = prefix.to_owned();
    while let Some(last) = before.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            before.push(next);
            return Value::Text(before);
        }
    }
    // No text is greater than a blob.
    Value::Blob(Vec::new())
}

fn put_meta(connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    connection
        .prepare_cached(sql)?
        .execute(params![key, value])
        .map(drop)
}

fn count(digests: &[Digest]) -> u32 {
    u32::try_from(digests.len()).unwrap_or(u32::MAX)
}

fn sql_number(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::NumberTooLarge { what, value })
}

/// Only [`sql_number`] writes numbers, so none is negative.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
