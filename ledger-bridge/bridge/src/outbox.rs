//! Sends what moves money: signed bytes are durable before they are broadcast, there is one transaction in flight, and
//! its fate is read from the chain, never assumed. The contract makes every action happen once; the outbox makes sure
//! that after a crash the *same bytes* are sent again.

use assay_ledger::{Action, AssayLedger, ChainError, LedgerError, LedgerKey, Receipt};

use crate::store::{Store, StoreError, TxEnd};

/// Sending failed; what is in flight stays in flight.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger refused or cannot be asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl OutboxError {
    /// Name of the contract's error, when the contract refused.
    pub fn revert_name(&self) -> Option<&str> {
        match self {
            Self::Ledger(error) => error.revert_name(),
            Self::Store(_) => None,
        }
    }
}

/// The way of one key's transactions to the ledger.
pub struct Outbox<'a> {
    /// Where they are kept.
    pub store: &'a Store,
    /// Where they go.
    pub ledger: &'a AssayLedger,
    /// Who signs them.
    pub key: &'a LedgerKey,
}

impl Outbox<'_> {
    /// Settles the fate of what an earlier run left. Call before anything new is sent.
    pub fn resume(&self) -> Result<(), OutboxError> {
        let Some(tx) = self.store.pending()? else {
            return Ok(());
        };
        match self.send(&tx) {
            Err(error) if self.store.pending()?.is_some() => Err(error),
            _ => Ok(()),
        }
    }

    /// Signs an action, makes it durable, sends it and waits for its receipt.
    pub fn perform(&self, action: &Action) -> Result<Receipt, OutboxError> {
        let tx = self.ledger.prepare(self.key, action)?;
        self.store.enqueue(&tx.action, &tx)?;
        self.send(&tx)
    }

    fn send(&self, tx: &assay_ledger::SignedTx) -> Result<Receipt, OutboxError> {
        let error = match self.ledger.send(tx) {
            Ok(receipt) => {
                self.store.finish(&tx.hash, TxEnd::Included)?;
                return Ok(receipt);
            }
            Err(error) => error,
        };
        if error.revert_name().is_some() {
            self.store.finish(&tx.hash, TxEnd::Reverted)?;
        } else if self.is_superseded(tx)? {
            self.store.finish(&tx.hash, TxEnd::Superseded)?;
        }
        Err(error.into())
    }

    /// Whether the nonce is used up by another transaction, so that these bytes can never be included.
    fn is_superseded(&self, tx: &assay_ledger::SignedTx) -> Result<bool, OutboxError> {
        let chain = self.ledger.chain();
        let failed = |source: ChainError| {
            OutboxError::Ledger(LedgerError::Chain {
                action: tx.action.clone(),
                source,
            })
        };
        let used = chain.nonce(self.key.address().0.into()).map_err(failed)? > tx.nonce;
        Ok(used && chain.receipt(tx.hash.0.into()).map_err(failed)?.is_none())
    }
}
