//! One SQLite file, WAL, `synchronous = FULL`.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, TransactionBehavior, params_from_iter};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::db::{Db, DbError, Row, Statement, Value};

/// How long a reader waits for a writer of another process.
const BUSY: Duration = Duration::from_secs(10);

/// The file's name in the state directory.
pub const FILE: &str = "board.db";

/// A connection, and the lock of whoever sends transactions.
pub struct Sqlite {
    connection: Connection,
    lock: PathBuf,
    /// The kernel releases it with the process.
    leading: Option<File>,
}

impl Sqlite {
    /// Opens the file of a state directory, or makes it.
    pub fn open(dir: &Path) -> Result<Self, DbError> {
        let opened = Self::connect(dir, OpenFlags::default())?;
        let durable = |c: &Connection| {
            c.pragma_update(None, "journal_mode", "WAL")?;
            c.pragma_update(None, "synchronous", "FULL")
        };
        durable(&opened.connection).map_err(failed)?;
        Ok(opened)
    }

    /// Opens a file that another process may write to, for reading.
    pub fn open_for_reading(dir: &Path) -> Result<Self, DbError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Self::connect(dir, flags)?;
        let read_only = opened.connection.pragma_update(None, "query_only", true);
        read_only.map_err(failed)?;
        Ok(opened)
    }

    fn connect(dir: &Path, flags: OpenFlags) -> Result<Self, DbError> {
        let connection = Connection::open_with_flags(dir.join(FILE), flags).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        Ok(Self {
            connection,
            lock: dir.join("poster.lock"),
            leading: None,
        })
    }
}

impl Db for Sqlite {
    fn query(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, DbError> {
        run(&self.connection, &statement).map_err(failed)
    }

    fn all_or_none(&mut self, statements: Vec<Statement<'_>>) -> Result<(), DbError> {
        // Immediate: a reader that becomes a writer in its midst is refused without waiting.
        let behavior = TransactionBehavior::Immediate;
        let transaction = self
            .connection
            .transaction_with_behavior(behavior)
            .map_err(failed)?;
        for statement in &statements {
            run(&transaction, statement).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn has_table(&mut self, name: &str) -> Result<bool, DbError> {
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1";
        Ok(!self.query((sql, vec![name.into()]))?.is_empty())
    }

    fn lead(&mut self) -> Result<bool, DbError> {
        if self.leading.is_some() {
            return Ok(true);
        }
        let io = |e: std::io::Error| DbError::Failed(format!("{}: {e}", self.lock.display()));
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = options.open(&self.lock).map_err(io)?;
        match file.try_lock() {
            Ok(()) => self.leading = Some(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        Ok(self.leading.is_some())
    }
}

fn run(connection: &Connection, (sql, values): &Statement<'_>) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(&sql.replace('$', "?"))?;
    let columns = statement.column_count();
    let rows = statement.query_map(params_from_iter(values), |row| {
        (0..columns)
            .map(|index| value(row.get_ref(index)?))
            .collect()
    })?;
    rows.collect()
}

fn value(value: ValueRef<'_>) -> rusqlite::Result<Value> {
    match value {
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Text(text) => Ok(Value::Text(String::from_utf8_lossy(text).into_owned())),
        ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes.to_vec())),
        _ => Err(rusqlite::Error::InvalidQuery),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
            Self::Bytes(bytes) => bytes.to_sql(),
        }
    }
}

fn failed(error: rusqlite::Error) -> DbError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => DbError::Conflict(text),
        _ => DbError::Failed(text),
    }
}
