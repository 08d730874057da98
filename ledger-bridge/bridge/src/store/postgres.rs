//! PostgreSQL by URL, for several bridges on one state. Every statement is a transaction of its own, synchronously
//! committed.

use ::postgres::config::{Host, SslMode};
use ::postgres::error::SqlState;
use ::postgres::types::{ToSql, Type};
use ::postgres::{Client, Config, NoTls};
use std::net::IpAddr;
use std::time::Duration;

use super::Access;
use super::db::{Db, DbError, Row, Statement, Value};
use super::tls::Verified;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After so long without a sign of the other side a connection is over: with it the lock of a machine that lost its power,
/// and the wait for a database that did. Systems wait for two hours of their own.
const SILENCE: Duration = Duration::from_secs(20);
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Longest time of one statement, and of one wait for a lock; and what the database's side does about silence.
const SESSION: &str = "SET statement_timeout = '20s'; SET lock_timeout = '10s'; SET synchronous_commit = on; \
                       SET tcp_user_timeout = '20s'; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
                       SET tcp_keepalives_count = 2; SET client_min_messages = warning";
/// Where the lock of whoever sends transactions lives among advisory locks; the other half is of the network.
const LOCK_CLASS: i32 = 0x4153_5359;

/// A database that is connected when it is needed.
pub struct Postgres {
    config: Config,
    tls: Option<Verified>,
    client: Option<Client>,
    read_only: bool,
    lock: i32,
    leading: bool,
}

impl Postgres {
    /// Takes `postgres://user@host/database`; the password apart from it, so that a URL can be shown. Without TLS only
    /// this machine is spoken to.
    pub fn new(url: &str, by: Access<'_>, lock: i32, read_only: bool) -> Result<Self, DbError> {
        // What does not parse is not repeated: it may hold a password.
        let mut config: Config = url
            .parse()
            .map_err(|_| DbError::Failed("expected postgres://user@host/database".into()))?;
        if config.get_password().is_some() {
            let why = "a password in the URL\nhint: put it into a file of mode 0600 and name it in password_file";
            return Err(DbError::Failed(why.into()));
        }
        let tls = match by.ca {
            Some(_) if config.get_hosts().iter().any(is_socket) => {
                let why = "ca: expected hosts with names, got a socket, which no certificate can name\n\
                           hint: a socket needs none";
                return Err(DbError::Failed(why.into()));
            }
            Some(ca) => {
                config.ssl_mode(SslMode::Require);
                Some(Verified::new(ca)?)
            }
            None if is_local(&config) => None,
            None => {
                let why = "without TLS only sockets and loopback addresses, and no sslmode=require\n\
                           hint: name the database's root certificates in ca";
                return Err(DbError::Failed(why.into()));
            }
        };
        if let Some(password) = by.password {
            config.password(password);
        }
        config.connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(SILENCE);
        config.keepalives(true).keepalives_idle(PROBE_AFTER);
        config
            .keepalives_interval(PROBE_EVERY)
            .keepalives_retries(2);
        config.application_name("assay-bridge");
        Ok(Self {
            config,
            tls,
            client: None,
            read_only,
            lock,
            leading: false,
        })
    }

    /// Runs `work` on a connection; one that is broken is forgotten, with what it held.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, ::postgres::Error>,
    ) -> Result<T, DbError> {
        let client = match &mut self.client {
            Some(client) => client,
            none => {
                let connected = match &self.tls {
                    Some(tls) => self.config.connect(tls.clone()),
                    None => self.config.connect(NoTls),
                };
                let mut client = connected.map_err(failed)?;
                client.batch_execute(SESSION).map_err(failed)?;
                if self.read_only {
                    let sql = "SET default_transaction_read_only = on";
                    client.batch_execute(sql).map_err(failed)?;
                }
                none.insert(client)
            }
        };
        let result = work(client);
        if client.is_closed() {
            self.client = None;
            self.leading = false;
        }
        result.map_err(failed)
    }
}

impl Db for Postgres {
    fn query(&mut self, (sql, values): Statement<'_>) -> Result<Vec<Row>, DbError> {
        let rows = self.with(|client| client.query(sql, &parameters(&values)))?;
        rows.iter().map(row).collect()
    }

    fn has_table(&mut self, name: &str) -> Result<bool, DbError> {
        let sql = "SELECT CAST(1 AS BIGINT) WHERE to_regclass($1::text) IS NOT NULL";
        Ok(!self.query((sql, vec![name.into()]))?.is_empty())
    }

    fn all_or_none(&mut self, statements: Vec<Statement<'_>>) -> Result<(), DbError> {
        self.with(|client| {
            let mut transaction = client.transaction()?;
            for (sql, values) in &statements {
                transaction.execute(*sql, &parameters(values))?;
            }
            transaction.commit()
        })
    }

    /// The lock is of the session: it ends with the connection, wherever that breaks.
    fn lead(&mut self) -> Result<bool, DbError> {
        if self.leading {
            self.with(|client| client.simple_query("SELECT 1"))?;
            return Ok(true);
        }
        let lock = self.lock;
        let sql = "SELECT pg_try_advisory_lock($1, $2)";
        let row = self.with(|client| client.query_one(sql, &[&LOCK_CLASS, &lock]))?;
        self.leading = row.try_get(0).map_err(failed)?;
        Ok(self.leading)
    }
}

fn is_socket(host: &Host) -> bool {
    matches!(host, Host::Unix(_))
}

/// Whether only this machine is meant; `hostaddr` of a URL says where a host is.
fn is_local(config: &Config) -> bool {
    let is_here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    };
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let named = !hosts.is_empty() && hosts.iter().all(is_here);
    named && addresses.iter().all(IpAddr::is_loopback) && config.get_ssl_mode() != SslMode::Require
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(parameter).collect()
}

fn parameter(value: &Value) -> &(dyn ToSql + Sync) {
    match value {
        Value::Int(number) => number,
        Value::Text(text) => text,
        Value::Bytes(bytes) => bytes,
    }
}

fn row(row: &::postgres::Row) -> Result<Row, DbError> {
    let one = |(index, column): (usize, &::postgres::Column)| match *column.type_() {
        Type::INT8 => row.try_get(index).map(Value::Int),
        Type::BYTEA => row.try_get(index).map(Value::Bytes),
        _ => row.try_get(index).map(Value::Text),
    };
    let values = row.columns().iter().enumerate().map(one);
    values.collect::<Result<_, _>>().map_err(failed)
}

fn failed(error: ::postgres::Error) -> DbError {
    let text = match error.as_db_error() {
        Some(told) => format!("{}: {}", told.code().code(), told.message()),
        None => crate::chain_of(&error),
    };
    match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => DbError::Conflict(text),
        _ => DbError::Failed(text),
    }
}
