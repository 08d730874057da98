//! What is sent to the ledger: one row an attempt, and every byte that was ever signed for it.

use assay_ledger::SignedTx;
use assay_protocol::ids::{Address, Keccak};

use super::db::{Row, Value};
use super::{Store, StoreError};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxEnd {
    /// Final and successful.
    Included,
    /// Final and reverted.
    Reverted,
    /// Its nonce is finally used by something else.
    Superseded,
    /// Nothing can bring it into a block any more: it was of another account, or a nonce before its own is missing.
    Left,
}

impl TxEnd {
    /// For the database and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Included => "included",
            Self::Reverted => "reverted",
            Self::Superseded => "superseded",
            Self::Left => "left",
        }
    }
}

/// An attempt whose end is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveAction {
    /// What it does, with all that makes it one of its kind: `postRoot/12`.
    pub action: String,
    /// Which attempt, from 0.
    pub attempt: u64,
    /// Whose nonce it uses.
    pub sender: Address,
    /// The nonce.
    pub nonce: u64,
    /// Everything signed for it, oldest first; never empty.
    pub sent: Vec<SignedTx>,
}

impl Store {
    /// Stores the first bytes of a new attempt before they are sent. A conflict when the action is under way already, or
    /// the nonce taken.
    pub fn enqueue(
        &self,
        action: &str,
        sender: &Address,
        tx: &SignedTx,
    ) -> Result<LiveAction, StoreError> {
        let attempt = self.attempts(action)?;
        let row = "INSERT INTO actions VALUES ($1, $2, $3, $4, 'live')";
        let values = vec![
            action.into(),
            attempt.into(),
            sender.0.into(),
            tx.nonce.into(),
        ];
        let sent = sent_row(action, attempt, 0, tx);
        self.all_or_none(vec![(row, values), taken_over(tx), sent])?;
        Ok(LiveAction {
            action: action.to_owned(),
            attempt,
            sender: *sender,
            nonce: tx.nonce,
            sent: vec![tx.clone()],
        })
    }

    /// Stores bytes that replace the newest ones of a live attempt before they are sent. The old ones stay.
    pub fn add_replacement(&self, live: &mut LiveAction, tx: SignedTx) -> Result<(), StoreError> {
        let number = live.sent.len() as u64;
        let sent = sent_row(&live.action, live.attempt, number, &tx);
        self.all_or_none(vec![taken_over(&tx), sent])?;
        live.sent.push(tx);
        Ok(())
    }

    /// Everything whose end is not known, by nonce.
    pub fn live(&self) -> Result<Vec<LiveAction>, StoreError> {
        let sql = "SELECT action, attempt, sender, nonce FROM actions WHERE state = 'live' ORDER BY nonce";
        let rows = self.rows(sql, Vec::new())?;
        rows.iter().map(|row| self.live_action(row)).collect()
    }

    fn live_action(&self, row: &Row) -> Result<LiveAction, StoreError> {
        let (action, attempt, sender, nonce) = self.read(row, |row| {
            let sender = row.get(2)?.bytes()?.try_into().ok()?;
            Some((
                row.first()?.text()?.to_owned(),
                row.get(1)?.int()?,
                Address(sender),
                row.get(3)?.int()?,
            ))
        })?;
        let sql = "SELECT hash, raw FROM sent WHERE action = $1 AND attempt = $2 ORDER BY number";
        let rows = self.rows(sql, vec![action.as_str().into(), attempt.into()])?;
        let signed = |row: &Row| {
            self.read(row, |row| {
                Some(SignedTx {
                    action: action.clone(),
                    hash: Keccak(row.first()?.bytes()?.try_into().ok()?),
                    nonce,
                    raw: row.get(1)?.bytes()?.to_vec(),
                })
            })
        };
        let sent = rows.iter().map(signed).collect::<Result<Vec<_>, _>>()?;
        if sent.is_empty() {
            return Err(self.damaged(format!("{action}: nothing was signed for it")));
        }
        Ok(LiveAction {
            action,
            attempt,
            sender,
            nonce,
            sent,
        })
    }

    /// The end of an attempt is known.
    pub fn finish(&self, live: &LiveAction, end: TxEnd) -> Result<(), StoreError> {
        let sql = "UPDATE actions SET state = $1 WHERE action = $2 AND attempt = $3";
        let key = (live.action.as_str().into(), live.attempt.into());
        self.rows(sql, vec![end.name().into(), key.0, key.1])
            .map(drop)
    }

    /// How many attempts ended each way.
    pub fn ends(&self) -> Result<[(TxEnd, u64); 4], StoreError> {
        let count = |end: TxEnd| {
            let sql = "SELECT COUNT(*) FROM actions WHERE state = $1";
            Ok::<_, StoreError>((end, self.count(sql, vec![end.name().into()])?))
        };
        Ok([
            count(TxEnd::Included)?,
            count(TxEnd::Reverted)?,
            count(TxEnd::Superseded)?,
            count(TxEnd::Left)?,
        ])
    }

    /// How many attempts of a kind of action (`postRoot`) ended this way.
    pub fn ended(&self, kind: &str, end: TxEnd) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM actions WHERE action LIKE $1 AND state = $2";
        self.count(sql, vec![format!("{kind}/%").into(), end.name().into()])
    }

    fn attempts(&self, action: &str) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM actions WHERE action = $1";
        self.count(sql, vec![action.into()])
    }

    pub(super) fn count(&self, sql: &str, values: Vec<Value>) -> Result<u64, StoreError> {
        let row = self.one(sql, values)?.unwrap_or_default();
        self.read(&row, |row| row.first()?.int())
    }
}

/// Signed anew for the same nonce and fee, bytes of an attempt that was left are the same: they are another one's now.
fn taken_over(tx: &SignedTx) -> (&'static str, Vec<Value>) {
    let sql = "DELETE FROM sent WHERE hash = $1 AND EXISTS (SELECT 1 FROM actions \
               WHERE actions.action = sent.action AND actions.attempt = sent.attempt AND actions.state = 'left')";
    (sql, vec![tx.hash.0.into()])
}

fn sent_row(action: &str, attempt: u64, number: u64, tx: &SignedTx) -> (&'static str, Vec<Value>) {
    let values = vec![
        action.into(),
        attempt.into(),
        number.into(),
        tx.hash.0.into(),
        tx.raw.as_slice().into(),
    ];
    ("INSERT INTO sent VALUES ($1, $2, $3, $4, $5)", values)
}
