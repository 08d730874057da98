//! What to do next about one transaction, as a pure function of what the chain shows. Nothing is concluded from what a
//! node says when it refuses bytes: "already known", "nonce too low" and "underpriced" all mean *unknown*, and the next
//! reading resolves it.
//!
//! ```text
//! signed and stored ─▶ sent ─▶ in a block ─▶ final: included or reverted
//!        ▲              │  ▲        │
//!        └─ replaced ◀──┘  └────────┘ reorganisation: the same bytes again
//!                       nonce finally used by other bytes: superseded
//!                       no block can take it: left to itself, and the action begun anew under another nonce
//! ```

use assay_ledger::{Fee, Market};
use std::fmt;

/// Where bytes of ours were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inclusion {
    /// Height of their block.
    pub block: u64,
    /// False when they reverted.
    pub success: bool,
}

/// What the chain and this process's memory show of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The nonce it uses.
    pub nonce: u64,
    /// The sender's next nonce in the newest block.
    pub nonce_latest: u64,
    /// The sender's next nonce in the newest final block.
    pub nonce_final: u64,
    /// Height of the newest final block.
    pub height_final: u64,
    /// For everything that was signed, oldest first, the receipt that a node shows.
    pub receipts: Vec<Option<Inclusion>>,
    /// What the newest bytes offer.
    pub fee: Fee,
    /// Gas that the bytes may use.
    pub gas_limit: u64,
    /// What the sender has.
    pub balance: u128,
    /// What gas costs.
    pub market: Market,
    /// Milliseconds since this process sent any of the bytes; `None` when it did not yet.
    pub since_sent_ms: Option<u64>,
    /// Milliseconds since this process signed or found the newest bytes.
    pub since_signed_ms: u64,
    /// For how long it has been so that this process cannot bring the bytes into a block: nonces before theirs are neither
    /// used nor under way, or they are of another account and in no block.
    pub stuck_for_ms: Option<u64>,
    /// Blocks since they were signed or found: where none comes, more pay brings nothing in.
    pub blocks_since_signed: u64,
}

impl Seen {
    /// A node refuses bytes whose sender could not pay all of what they offer.
    fn can_pay(&self, fee: Fee) -> bool {
        fee.max.saturating_mul(self.gas_limit.into()) <= self.balance
    }
}

/// When to send again and when to offer more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Most that is paid for a unit of gas, in the chain's smallest unit.
    pub fee_cap: u128,
    /// Milliseconds without inclusion after which more is offered.
    pub replace_after_ms: u64,
    /// Milliseconds without inclusion after which the same bytes are sent again.
    pub resend_after_ms: u64,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send the newest bytes, whether or not they were sent before.
    Send,
    /// Sign the same for this fee, store, then send.
    Replace(Fee),
    /// Nothing now.
    Wait(Why),
    /// It is over.
    End(End),
}

/// Why there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Sent, in no block yet.
    Pending,
    /// In no block, and offering more would be over the cap, or more than the account has.
    FeeCap,
    /// In a block that is not final.
    Finality {
        /// Its height.
        block: u64,
        /// Height of the newest final block.
        height_final: u64,
    },
    /// The nonce is used in a block that is not final, by no bytes of ours that the node shows.
    Contested,
}

/// How it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// These bytes, by their number, are final.
    Final {
        /// Which of what was signed.
        number: usize,
        /// False when they reverted.
        success: bool,
    },
    /// The nonce is finally used, by no bytes of ours that the node shows. What the action was for is read from the
    /// contract.
    Superseded,
    /// No block takes the bytes, and more pay does not change that. Should one take them later, the contract refuses what is
    /// done.
    Left,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => write!(f, "sent, in no block yet"),
            Self::FeeCap => write!(
                f,
                "in no block yet, and the fee is at its cap or at what the account has"
            ),
            Self::Finality {
                block,
                height_final,
            } => write!(f, "in block {block}, final is {height_final}"),
            Self::Contested => write!(f, "its nonce is used by another transaction, not finally"),
        }
    }
}

/// So many blocks without the transaction are no accident.
const BLOCKS_PASSED_BY: u64 = 2;

/// Decides. A receipt counts only where the account's nonce agrees: a node that shows one and not the other is wrong about
/// one of them, and sending the same bytes again is always harmless.
pub fn next(seen: &Seen, policy: &Policy) -> Next {
    let mut shown = seen.receipts.iter().enumerate().rev();
    let included = shown.find_map(|(number, r)| Some((number, (*r)?)));
    if seen.nonce_final > seen.nonce {
        return match included {
            Some((number, r)) if r.block <= seen.height_final => Next::End(End::Final {
                number,
                success: r.success,
            }),
            Some((_, r)) => Next::Wait(Why::Finality {
                block: r.block,
                height_final: seen.height_final,
            }),
            None => Next::End(End::Superseded),
        };
    }
    if seen.nonce_latest > seen.nonce {
        return Next::Wait(included.map_or(Why::Contested, |(_, r)| Why::Finality {
            block: r.block,
            height_final: seen.height_final,
        }));
    }
    unincluded(seen, policy)
}

fn unincluded(seen: &Seen, policy: &Policy) -> Next {
    let Some(since_sent_ms) = seen.since_sent_ms else {
        return Next::Send;
    };
    if seen
        .stuck_for_ms
        .is_some_and(|ms| ms >= policy.replace_after_ms)
    {
        return Next::End(End::Left);
    }
    let is_late = seen.since_signed_ms >= policy.replace_after_ms
        && seen.blocks_since_signed >= BLOCKS_PASSED_BY;
    // A spike is not waited for; but what was just signed has a chance first.
    let is_outbid =
        !seen.fee.covers(&seen.market) && seen.since_signed_ms >= policy.resend_after_ms;
    let bumped = seen.fee.bumped(&seen.market, policy.fee_cap);
    match bumped {
        Some(fee) if (is_late || is_outbid) && seen.can_pay(fee) => Next::Replace(fee),
        _ if since_sent_ms >= policy.resend_after_ms => Next::Send,
        _ if is_late || is_outbid => Next::Wait(Why::FeeCap),
        _ => Next::Wait(Why::Pending),
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
