//! What the store needs of a database: typed values, one statement or a few as one, one leader. SQL is written once, with
//! `$1` for the first value.

/// A value of a row or of a statement. Nothing stored is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// 64 bits, signed, as databases have them.
    Int(i64),
    /// UTF-8.
    Text(String),
    /// Anything.
    Bytes(Vec<u8>),
}

/// A row in the order of its statement.
pub type Row = Vec<Value>;

/// One statement with its values.
pub type Statement<'a> = (&'a str, Vec<Value>);

/// A database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// A row that must be the only one of its kind is there already.
    #[error("{0}")]
    Conflict(String),
    /// Everything else; nothing was changed.
    #[error("{0}")]
    Failed(String),
}

/// One connection. It may be lost and made again between two calls.
pub trait Db: Send {
    /// Runs one statement and returns its rows. What it changed is durable.
    fn query(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, DbError>;

    /// Runs statements, all or none, durably.
    fn all_or_none(&mut self, statements: Vec<Statement<'_>>) -> Result<(), DbError>;

    /// Whether a table of this name is there: an older version's state lacks those that came later.
    fn has_table(&mut self, name: &str) -> Result<bool, DbError>;

    /// Whether this connection is the only one that may send transactions; asked before each of them. What another
    /// process held is free when that process or its connection has ended.
    fn lead(&mut self) -> Result<bool, DbError>;
}

impl Value {
    /// The number, if it is one.
    pub fn int(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is some.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Nothing here comes near the limit of a signed number.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}
