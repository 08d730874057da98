//! The bridge's durable state: what is answered or broadcast is here first. SQLite by default, PostgreSQL by URL; the
//! statements are the same.

mod actions;
pub mod db;
mod pages;
mod postgres;
mod sqlite;
mod tls;

use assay_protocol::ids::{Epoch, HyperNodeId, NetworkId};
use assay_protocol::wire::BoardObject;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use db::{Db, DbError, Row, Statement, Value};

pub use actions::{LiveAction, TxEnd};

/// Form of the tables; another one is another version's.
const SCHEMA_VERSION: &str = "2";
/// `INT` and `BLOB` are replaced by each database's own names.
const SCHEMA: [&str; 7] = [
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS objects (
       epoch INT NOT NULL, number INT NOT NULL, kind TEXT NOT NULL, hypernode BLOB NOT NULL, bytes BLOB NOT NULL,
       PRIMARY KEY (epoch, number), UNIQUE (epoch, kind, hypernode))",
    "CREATE TABLE IF NOT EXISTS contradictions (
       epoch INT NOT NULL, kind TEXT NOT NULL, hypernode BLOB NOT NULL, bytes BLOB NOT NULL,
       PRIMARY KEY (epoch, kind, hypernode))",
    "CREATE TABLE IF NOT EXISTS actions (
       action TEXT NOT NULL, attempt INT NOT NULL, sender BLOB NOT NULL, nonce INT NOT NULL, state TEXT NOT NULL,
       PRIMARY KEY (action, attempt))",
    "CREATE UNIQUE INDEX IF NOT EXISTS live_action ON actions (action) WHERE state = 'live'",
    "CREATE UNIQUE INDEX IF NOT EXISTS live_nonce ON actions (sender, nonce) WHERE state = 'live'",
    "CREATE TABLE IF NOT EXISTS sent (
       action TEXT NOT NULL, attempt INT NOT NULL, number INT NOT NULL, hash BLOB NOT NULL UNIQUE, raw BLOB NOT NULL,
       PRIMARY KEY (action, attempt, number))",
];
/// Objects that are stored in one transaction.
const GROUP_COUNT: usize = 16;
/// How often the next number of an epoch is tried for, when other processes number objects too.
const NUMBERING_ATTEMPTS: usize = 32;

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database's error: a full disk, a damaged file, a server that is away.
    #[error(
        "bridge state {place}: {source}\nhint: check free space, the file's owner or the database server; nothing was acknowledged"
    )]
    Db {
        /// The file or database.
        place: String,
        /// What the database said.
        source: DbError,
    },
    /// The folder could not be made.
    #[error("bridge state {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state is another network's, or another version's.
    #[error(
        "bridge state {place}: {what}: expected {expected}, got {actual}\nhint: give this network a state of its own"
    )]
    Other {
        /// The file or database.
        place: String,
        /// What differs.
        what: &'static str,
        /// What this program needs.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// It holds what this program cannot have written.
    #[error(
        "bridge state {place} is damaged: {what}\nhint: restore it from a copy; do not start with an empty one"
    )]
    Damaged {
        /// The file or database.
        place: String,
        /// What is wrong.
        what: String,
    },
}

impl StoreError {
    /// Whether another process did the same first.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Db {
                source: DbError::Conflict(_),
                ..
            }
        )
    }
}

/// An object of the board as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its number in its epoch, from 1.
    pub number: u64,
    /// The object.
    pub object: BoardObject,
}

/// An object for a place of its own, see [`Store::object`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its author.
    pub from: HyperNodeId,
    /// The place.
    pub place: String,
    /// The object.
    pub object: BoardObject,
}

/// An object that was refused because it contradicts the one in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The epoch.
    pub epoch: Epoch,
    /// The place, see [`Store::object`].
    pub place: String,
    /// Who sent it.
    pub from: HyperNodeId,
    /// What was refused.
    pub object: BoardObject,
}

/// What opens a database besides its URL.
#[derive(Clone, Copy, Default)]
pub struct Access<'a> {
    /// The user's password.
    pub password: Option<&'a str>,
    /// A PEM file of roots that its certificate must lead to: with it every connection is TLS.
    pub ca: Option<&'a Path>,
}

/// The open store; calls are serialised.
pub struct Store {
    place: String,
    db: Mutex<Box<dyn Db>>,
}

impl Store {
    /// Opens or creates `board.db` of a network in `dir`.
    pub fn open(dir: &Path, network: NetworkId) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder {
            path: dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(folder)?;
        let place = dir.join(sqlite::FILE).display().to_string();
        let db = sqlite::Sqlite::open(dir);
        let names = [("INT ", "INTEGER "), ("BLOB", "BLOB")];
        Self::made(place, db, network, names)
    }

    /// Opens the `board.db` of a bridge that may be running, for reading.
    pub fn open_for_reading(dir: &Path, network: NetworkId) -> Result<Self, StoreError> {
        let place = dir.join(sqlite::FILE).display().to_string();
        Self::existing(place, sqlite::Sqlite::open_for_reading(dir), network)
    }

    /// Opens or fills a database of PostgreSQL (`postgres://…`).
    pub fn connect(url: &str, by: Access<'_>, network: NetworkId) -> Result<Self, StoreError> {
        let db = postgres::Postgres::new(url, by, lock_of(network), false);
        let names = [("INT ", "BIGINT "), ("BLOB", "BYTEA")];
        Self::made("postgres".into(), db, network, names)
    }

    /// Opens a database of PostgreSQL that a bridge uses, for reading.
    pub fn connect_for_reading(
        url: &str,
        by: Access<'_>,
        network: NetworkId,
    ) -> Result<Self, StoreError> {
        let db = postgres::Postgres::new(url, by, lock_of(network), true);
        Self::existing("postgres".into(), db, network)
    }

    fn made(
        place: String,
        db: Result<impl Db + 'static, DbError>,
        network: NetworkId,
        names: [(&str, &str); 2],
    ) -> Result<Self, StoreError> {
        let store = Self::new(place, db)?;
        let known = |sql: &str| {
            names
                .iter()
                .fold(sql.to_owned(), |sql, (a, b)| sql.replace(a, b))
        };
        let schema: Vec<String> = SCHEMA.iter().map(|sql| known(sql)).collect();
        let tables = schema.iter().map(|sql| (sql.as_str(), Vec::new()));
        let meta = "INSERT INTO meta VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let facts = [
            ("schema", SCHEMA_VERSION.to_owned()),
            ("network", network.to_string()),
        ];
        let facts = facts.map(|(key, value)| (meta, vec![key.into(), value.into()]));
        let statements: Vec<Statement<'_>> = tables.chain(facts).collect();
        // Two that start at once on an empty database can meet; the second one then finds everything.
        match store.all_or_none(statements.clone()) {
            Err(error) if error.is_conflict() => store.all_or_none(statements)?,
            other => other?,
        }
        store.expect(network)
    }

    fn existing(
        place: String,
        db: Result<impl Db + 'static, DbError>,
        network: NetworkId,
    ) -> Result<Self, StoreError> {
        Self::new(place, db)?.expect(network)
    }

    fn new(place: String, db: Result<impl Db + 'static, DbError>) -> Result<Self, StoreError> {
        match db {
            Ok(db) => Ok(Self {
                place,
                db: Mutex::new(Box::new(db)),
            }),
            Err(source) => Err(StoreError::Db { place, source }),
        }
    }

    fn expect(self, network: NetworkId) -> Result<Self, StoreError> {
        let expected = [
            ("schema", SCHEMA_VERSION.to_owned()),
            ("network", network.to_string()),
        ];
        for (what, expected) in expected {
            let sql = "SELECT value FROM meta WHERE key = $1";
            let row = self.one(sql, vec![what.into()])?;
            let actual = row.as_deref().and_then(|row| row.first()?.text());
            if actual != Some(&expected) {
                return Err(StoreError::Other {
                    actual: actual.unwrap_or("none").to_owned(),
                    place: self.place,
                    what,
                    expected,
                });
            }
        }
        Ok(self)
    }

    /// Whether this process is the one that sends transactions; see [`Db::lead`].
    pub fn lead(&self) -> Result<bool, StoreError> {
        self.with(|db| db.lead())
    }

    /// The object in this place of this HyperNode: its kind, of signatures in later rounds with what is signed.
    pub fn object(
        &self,
        epoch: Epoch,
        place: &str,
        from: &HyperNodeId,
    ) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let sql =
            "SELECT number, bytes FROM objects WHERE epoch = $1 AND kind = $2 AND hypernode = $3";
        let row = self.one(sql, vec![epoch.0.into(), place.into(), from.0.into()])?;
        row.map(|row| {
            self.read(&row, |row| {
                Some((row.first()?.int()?, row.get(1)?.bytes()?.to_vec()))
            })
        })
        .transpose()
    }

    /// How many objects of a kind by this HyperNode are in places of their own.
    pub fn places(&self, epoch: Epoch, kind: &str, from: &HyperNodeId) -> Result<u64, StoreError> {
        let sql =
            "SELECT COUNT(*) FROM objects WHERE epoch = $1 AND hypernode = $2 AND kind LIKE $3";
        let places = format!("{kind}/%");
        self.count(sql, vec![epoch.0.into(), from.0.into(), places.into()])
    }

    /// Stores an object durably under the next number of its epoch. A number is visible only after all before it.
    pub fn insert(
        &self,
        epoch: Epoch,
        from: &HyperNodeId,
        object: &BoardObject,
    ) -> Result<u64, StoreError> {
        self.insert_at(epoch, from, object.kind(), object)
    }

    /// Like [`Store::insert`], in a place of its own, see [`Store::object`].
    pub fn insert_at(
        &self,
        epoch: Epoch,
        from: &HyperNodeId,
        place: &str,
        object: &BoardObject,
    ) -> Result<u64, StoreError> {
        let mut attempts = 0usize;
        loop {
            let (sql, values) = insertion(epoch, from, place, object);
            match self.one(sql, values) {
                Ok(Some(row)) => return self.read(&row, |row| row.first()?.int()),
                Ok(None) => return Err(self.damaged("no number for an object".into())),
                Err(error) if error.is_conflict() && attempts < NUMBERING_ATTEMPTS => {
                    attempts = attempts.saturating_add(1);
                    // Another process took the number, or stored an object in this place.
                    if let Some((number, bytes)) = self.object(epoch, place, from)? {
                        return match bytes == object.bytes() {
                            true => Ok(number),
                            false => Err(error),
                        };
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Stores many objects of an epoch, in few transactions.
    pub fn insert_all(&self, epoch: Epoch, objects: &[Placed]) -> Result<(), StoreError> {
        for group in objects.chunks(GROUP_COUNT) {
            let one = |o: &'_ Placed| insertion(epoch, &o.from, &o.place, &o.object);
            match self.all_or_none(group.iter().map(one).collect()) {
                Err(error) if error.is_conflict() => {
                    for Placed {
                        from,
                        place,
                        object,
                    } in group
                    {
                        self.insert_at(epoch, from, place, object)?;
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Keeps an object that contradicts the one in its place: the first of them, which proves as much as all.
    pub fn keep_contradiction(
        &self,
        epoch: Epoch,
        from: &HyperNodeId,
        place: &str,
        object: &BoardObject,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO contradictions VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let (place, bytes) = (place.into(), object.bytes().into());
        self.rows(sql, vec![epoch.0.into(), place, from.0.into(), bytes])?;
        Ok(())
    }

    /// How many of them are kept.
    pub fn contradiction_count(&self) -> Result<u64, StoreError> {
        self.count("SELECT COUNT(*) FROM contradictions", Vec::new())
    }

    /// What HyperNodes sent beside what is stored of them, of one epoch or of all.
    pub fn contradictions(&self, of: Option<Epoch>) -> Result<Vec<Contradiction>, StoreError> {
        if !self.with(|db| db.has_table("contradictions"))? {
            return Ok(Vec::new());
        }
        let sql = "SELECT epoch, kind, bytes, hypernode FROM contradictions \
                   WHERE epoch BETWEEN $1 AND $2 ORDER BY epoch, kind, hypernode";
        let (first, last) = of.map_or((0, u64::MAX), |epoch| (epoch.0, epoch.0));
        let rows = self.rows(sql, vec![first.into(), last.into()])?;
        let read = |row| self.read(row, contradiction);
        rows.iter().map(read).collect()
    }

    fn one(&self, sql: &str, values: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values)?.into_iter().next())
    }

    fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.with(|db| db.query((sql, values)))
    }

    fn all_or_none(&self, statements: Vec<Statement<'_>>) -> Result<(), StoreError> {
        self.with(|db| db.all_or_none(statements))
    }

    /// Every change is one transaction, so a panicked holder leaves nothing half done.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, DbError>,
    ) -> Result<T, StoreError> {
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        work(db.as_mut()).map_err(|source| StoreError::Db {
            place: self.place.clone(),
            source,
        })
    }

    fn read<T>(&self, row: &Row, parse: impl FnOnce(&Row) -> Option<T>) -> Result<T, StoreError> {
        parse(row).ok_or_else(|| self.damaged(format!("a row {:.120}", format!("{row:?}"))))
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged {
            place: self.place.clone(),
            what,
        }
    }
}

/// What stores an object under the next number of its epoch.
fn insertion(
    epoch: Epoch,
    from: &HyperNodeId,
    place: &str,
    object: &BoardObject,
) -> Statement<'static> {
    let sql = "INSERT INTO objects SELECT CAST($1 AS BIGINT), COALESCE(MAX(number), 0) + 1, $2, $3, $4 \
               FROM objects WHERE epoch = $1 RETURNING number";
    let (place, bytes) = (place.into(), object.bytes().into());
    (sql, vec![epoch.0.into(), place, from.0.into(), bytes])
}

/// Bridges of one network on one database share a lock.
fn lock_of(network: NetworkId) -> i32 {
    let [a, b, c, d, ..] = network.0;
    i32::from_be_bytes([a, b, c, d])
}

/// The columns of an object with its author; its number is the epoch.
fn contradiction(row: &Row) -> Option<Contradiction> {
    let StoredObject { number, object } = stored_object(row)?;
    let from = row.get(3)?.bytes()?.try_into().ok()?;
    Some(Contradiction {
        epoch: Epoch(number),
        place: row.get(1)?.text()?.to_owned(),
        from: HyperNodeId(from),
        object,
    })
}

fn stored_object(row: &Row) -> Option<StoredObject> {
    let (number, place, bytes) = (
        row.first()?.int()?,
        row.get(1)?.text()?,
        row.get(2)?.bytes()?,
    );
    let makers = [
        BoardObject::Commit as fn(Vec<u8>) -> BoardObject,
        BoardObject::Reveal,
        BoardObject::Proposal,
        BoardObject::Vote,
        BoardObject::RootSignature,
        BoardObject::Succession,
    ];
    let kind = place.split('/').next()?;
    let maker = makers
        .into_iter()
        .find(|make| make(Vec::new()).kind() == kind)?;
    Some(StoredObject {
        number,
        object: maker(bytes.to_vec()),
    })
}
