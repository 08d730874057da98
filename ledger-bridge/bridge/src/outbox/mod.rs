//! Sends what moves money. Signed bytes are durable before they are broadcast; one transaction at a time is in no block yet;
//! what is in a block waits for finality beside the next; every end is read from the chain, never assumed. The contract
//! makes every action happen once; the outbox makes sure that what was signed once is never lost and never doubled.
//!
//! What to do about one transaction is decided in [`machine`]; this is the IO around it.

pub mod machine;

use assay_ledger::{
    Action, AssayLedger, ChainError, Finality, KeyError, LedgerError, Receipt, TxSigner,
};
use assay_protocol::ids::{Address, Keccak, UnixMs};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::{LiveAction, Store, StoreError, TxEnd};
use machine::{End, Inclusion, Next, Policy, Seen, Why};

/// Moves about one transaction in one go: replaced, sent, seen, ended.
const MOVES_MAX: usize = 4;

/// Sending failed; what is under way stays under way.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger refused or cannot be asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The signer failed.
    #[error("ledger key")]
    Key(#[from] KeyError),
}

impl OutboxError {
    /// Name of the contract's error, when the contract refused.
    pub fn revert_name(&self) -> Option<&str> {
        match self {
            Self::Ledger(error) => error.revert_name(),
            Self::Store(_) | Self::Key(_) => None,
        }
    }
}

/// How the outbox behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// When to send again and what to pay.
    pub policy: Policy,
    /// Transactions in blocks that are not final, at most.
    pub unfinal_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy {
                fee_cap: 1_000_000_000_000,
                replace_after_ms: 60_000,
                resend_after_ms: 10_000,
            },
            unfinal_max: 64,
        }
    }
}

/// Where an action stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Final and successful.
    Done {
        /// Gas used.
        gas: u64,
    },
    /// Final, and it did not do what it was for: read the contract again before another attempt.
    Failed(TxEnd),
    /// Under way, or behind what is under way.
    Pending(String),
}

/// The way of one account's transactions to the ledger.
pub struct Outbox {
    store: Arc<Store>,
    ledger: AssayLedger,
    signer: Arc<dyn TxSigner>,
    settings: Settings,
    memory: BTreeMap<(String, u64), Memory>,
    notes: Vec<String>,
}

/// What this process knows of a transaction beside the chain.
#[derive(Debug, Default, Clone)]
struct Memory {
    found_ms: u64,
    /// Height of the newest block then.
    found_at: Option<u64>,
    /// Since when no block can take it.
    stuck_ms: Option<u64>,
    sent_ms: Option<u64>,
    block: Option<u64>,
    refused: Option<String>,
    /// What was last said of it.
    status: String,
}

impl Outbox {
    /// The signer's account sends; `ledger` reads the newest state.
    pub fn new(
        store: Arc<Store>,
        ledger: AssayLedger,
        signer: Arc<dyn TxSigner>,
        settings: Settings,
    ) -> Self {
        let ledger = ledger.with_fee_cap(settings.policy.fee_cap);
        Self {
            store,
            ledger,
            signer,
            settings,
            memory: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// Lines for the operator since the last time.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Moves everything that is under way on. Call before anything new is asked for.
    pub fn advance(&mut self, now: UnixMs) -> Result<(), OutboxError> {
        for live in self.store.live()? {
            self.move_on(live, now)?;
        }
        Ok(())
    }

    /// Starts an action unless it is under way or others are in the way. `name` makes it one of its kind.
    pub fn perform(
        &mut self,
        name: &str,
        action: &Action,
        now: UnixMs,
    ) -> Result<Progress, OutboxError> {
        let live = self.store.live()?;
        if let Some(why) = self.in_the_way(name, &live) {
            return Ok(Progress::Pending(why));
        }
        let tx = self.ledger.prepare(self.signer.as_ref(), action)?;
        let sender = self.signer.address();
        if live
            .iter()
            .any(|own| own.sender == sender && own.nonce >= tx.nonce)
        {
            return Ok(Progress::Pending("the node is behind".into()));
        }
        match self.store.enqueue(name, &self.signer.address(), &tx) {
            Ok(live) => self.move_on(live, now),
            Err(error) if error.is_conflict() => {
                Ok(Progress::Pending("another process started it".into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Actions whose end is not known, and how many of them are in no block.
    pub fn counts(&self) -> Result<(usize, usize), OutboxError> {
        let live = self.store.live()?;
        let is_out = |one: &&LiveAction| {
            let memory = self.memory.get(&(one.action.clone(), one.attempt));
            memory.is_none_or(|memory| memory.block.is_none())
        };
        Ok((live.len(), live.iter().filter(is_out).count()))
    }

    /// Whether so little is under way that what can wait may start, too: half the room is kept for roots.
    pub fn has_room(&self) -> Result<bool, OutboxError> {
        Ok(self.store.live()?.len().saturating_mul(2) < self.settings.unfinal_max)
    }

    /// The account that sends.
    pub fn account(&self) -> Address {
        self.signer.address()
    }

    /// Whether an action was started and its end is not known.
    pub fn is_under_way(&self, name: &str) -> Result<bool, OutboxError> {
        let live = self.store.live()?;
        Ok(live.iter().any(|one| one.action == name))
    }

    /// Why an action cannot start now.
    fn in_the_way(&self, name: &str, live: &[LiveAction]) -> Option<String> {
        if let Some(own) = live.iter().find(|own| own.action == name) {
            let memory = self.memory.get(&(own.action.clone(), own.attempt));
            return Some(memory.map_or_else(|| "under way".into(), |m| m.status.clone()));
        }
        let first = live.iter().find(|one| {
            let memory = self.memory.get(&(one.action.clone(), one.attempt));
            memory.is_none_or(|memory| memory.block.is_none())
        });
        if let Some(first) = first {
            return Some(format!("{} goes first", first.action));
        }
        let is_full = live.len() >= self.settings.unfinal_max;
        is_full.then(|| format!("{} transactions wait for finality", live.len()))
    }

    fn move_on(&mut self, mut live: LiveAction, now: UnixMs) -> Result<Progress, OutboxError> {
        let key = (live.action.clone(), live.attempt);
        let mut memory = self.memory.remove(&key).unwrap_or(Memory {
            found_ms: now.0,
            ..Memory::default()
        });
        let moved = self.moves(&mut live, &mut memory, now);
        if !matches!(moved, Ok(Progress::Done { .. } | Progress::Failed(_))) {
            self.memory.insert(key, memory);
        }
        moved
    }

    fn moves(
        &mut self,
        live: &mut LiveAction,
        memory: &mut Memory,
        now: UnixMs,
    ) -> Result<Progress, OutboxError> {
        let mut why = Why::Pending;
        for _ in 0..MOVES_MAX {
            let (seen, receipts) = self.look(live, memory, now)?;
            let next = machine::next(&seen, &self.settings.policy);
            self.note_block(live, memory, next);
            match next {
                Next::Send => self.send(live, memory, now),
                Next::Replace(fee) => {
                    self.replace(live, memory, fee, now)?;
                    self.send(live, memory, now);
                }
                Next::Wait(reason) => {
                    why = reason;
                    break;
                }
                Next::End(end) => return self.end(live, end, &receipts),
            }
        }
        let refused = memory.refused.as_ref().filter(|_| memory.block.is_none());
        memory.status = match refused {
            Some(refused) => format!("{}: {why}; {refused}", live.action),
            None => format!("{}: {why}", live.action),
        };
        Ok(Progress::Pending(memory.status.clone()))
    }

    fn look(
        &self,
        live: &LiveAction,
        memory: &mut Memory,
        now: UnixMs,
    ) -> Result<(Seen, Vec<Option<Receipt>>), OutboxError> {
        let failed = |source: ChainError| LedgerError::Chain {
            action: live.action.clone(),
            source,
        };
        let (chain, sender) = (self.ledger.chain(), live.sender.0.into());
        let nonce = |at| chain.nonce_at(sender, at).map_err(failed);
        let height_final = chain.block(Finality::Finalized).map_err(failed)?.number;
        let (nonce_final, nonce_latest) = (nonce(Finality::Finalized)?, nonce(Finality::Latest)?);
        let receipt = |tx: &assay_ledger::SignedTx| {
            let receipt = chain.receipt(tx.hash.0.into()).map_err(failed)?;
            // A receipt of something else is none of this.
            Ok::<_, LedgerError>(receipt.filter(|r| r.tx_hash.0 == tx.hash.0))
        };
        let receipts = live
            .sent
            .iter()
            .map(receipt)
            .collect::<Result<Vec<_>, _>>()?;
        let newest = live.sent.last();
        let height = chain.block(Finality::Latest).map_err(failed)?.number;
        let is_stuck = self.is_stuck(live, nonce_latest)?;
        memory.stuck_ms = is_stuck.then(|| memory.stuck_ms.unwrap_or(now.0));
        let found_at = *memory.found_at.get_or_insert(height);
        let seen = Seen {
            nonce: live.nonce,
            nonce_latest,
            nonce_final,
            height_final,
            receipts: receipts.iter().map(|r| r.as_ref().map(inclusion)).collect(),
            fee: newest
                .and_then(|tx| tx.fee())
                .unwrap_or(assay_ledger::Fee { max: 0, tip: 0 }),
            gas_limit: newest.and_then(|tx| tx.gas_limit()).unwrap_or_default(),
            balance: chain.balance(sender).map_err(failed)?.saturating_to(),
            market: chain.market().map_err(failed)?,
            since_sent_ms: memory.sent_ms.map(|at| now.0.saturating_sub(at)),
            since_signed_ms: now.0.saturating_sub(memory.found_ms),
            stuck_for_ms: memory.stuck_ms.map(|at| now.0.saturating_sub(at)),
            blocks_since_signed: height.saturating_sub(found_at),
        };
        Ok((seen, receipts))
    }

    /// Whether this process can do nothing more to bring it into a block: it is of another account, or nonces before its own
    /// are neither used nor those of other actions under way.
    fn is_stuck(&self, live: &LiveAction, nonce_latest: u64) -> Result<bool, StoreError> {
        let Some(before) = live.nonce.checked_sub(nonce_latest) else {
            return Ok(false);
        };
        let is_own = self.signer.address() == live.sender;
        if before == 0 || !is_own {
            return Ok(!is_own);
        }
        let between = nonce_latest..live.nonce;
        let ours = |one: &&LiveAction| one.sender == live.sender && between.contains(&one.nonce);
        let filled = self.store.live()?.iter().filter(ours).count();
        Ok((filled as u64) < before)
    }

    /// One line when bytes of ours enter a block, and one when they are taken out of it.
    fn note_block(&mut self, live: &LiveAction, memory: &mut Memory, next: Next) {
        let block = match next {
            Next::Wait(Why::Finality { block, .. }) => Some(block),
            _ => None,
        };
        let is_over = matches!(next, Next::End(_));
        if let (Some(was), None, false) = (memory.block, block, is_over) {
            self.notes.push(format!(
                "{}: was in block {was} and is in none any more (reorganisation): the same bytes again",
                live.action
            ));
            memory.sent_ms = None;
        }
        memory.block = block;
    }

    /// The newest bytes; those before where a node does not take them: it may never have seen these, and the account may
    /// have less than the newest offer. What a refusal says decides nothing; the first one is shown while the transaction is
    /// in no block.
    fn send(&self, live: &LiveAction, memory: &mut Memory, now: UnixMs) {
        memory.sent_ms = Some(now.0);
        memory.refused = None;
        for tx in live.sent.iter().rev() {
            match self.ledger.chain().send_raw(&tx.raw) {
                Ok(_) => break,
                Err(error) => memory.refused.get_or_insert(error.to_string()),
            };
        }
    }

    fn replace(
        &mut self,
        live: &mut LiveAction,
        memory: &mut Memory,
        fee: assay_ledger::Fee,
        now: UnixMs,
    ) -> Result<(), OutboxError> {
        (memory.found_ms, memory.found_at) = (now.0, None);
        // Another key's transaction is only sent again.
        let is_own = self.signer.address() == live.sender;
        let request = live.sent.last().and_then(|tx| tx.with_fee(fee));
        let Some(request) = request.filter(|_| is_own) else {
            return Ok(());
        };
        let tx = self.signer.sign_tx(&request)?;
        let hash = tx.hash;
        self.store.add_replacement(live, tx)?;
        self.notes.push(format!(
            "{}: in no block yet: replaced by {hash}, at most {} for a unit of gas",
            live.action, fee.max
        ));
        Ok(())
    }

    fn end(
        &mut self,
        live: &LiveAction,
        end: End,
        receipts: &[Option<Receipt>],
    ) -> Result<Progress, OutboxError> {
        let (end, receipt) = match end {
            End::Final { number, success } => {
                let end = if success {
                    TxEnd::Included
                } else {
                    TxEnd::Reverted
                };
                (end, receipts.get(number).and_then(Option::as_ref))
            }
            End::Superseded => (TxEnd::Superseded, None),
            End::Left => (TxEnd::Left, None),
        };
        self.store.finish(live, end)?;
        if end == TxEnd::Included {
            let gas = receipt.map_or(0, |r| r.gas_used);
            return Ok(Progress::Done { gas });
        }
        let what = match end {
            TxEnd::Superseded => "its nonce was used by another transaction",
            TxEnd::Left => "no block can take it, it is begun anew",
            _ => "reverted",
        };
        let hash = live.sent.last().map_or(Keccak([0; 32]), |tx| tx.hash);
        let action = &live.action;
        self.notes.push(format!(
            "{action}: {hash} is over: {what}; the ledger is read again"
        ));
        Ok(Progress::Failed(end))
    }
}

fn inclusion(receipt: &Receipt) -> Inclusion {
    Inclusion {
        block: receipt.block_number,
        success: receipt.success,
    }
}
