//! `assay-bridge`: carries what HyperNodes sign to each other and to the ledger.
//!
//! The *board* stores their objects durably and refuses what breaks the rules of an epoch; the *poster* recomputes the
//! root from the agreed input set and posts it, once, when more than 2/3 of the committee's weight signed exactly it.
//! The bridge decides nothing: it cannot sign a root, and HyperNodes verify every byte it hands them (ARCHITECTURE section 9).
#![forbid(unsafe_code)]

pub mod board;
pub mod bundle;
pub mod config;
pub mod double_roots;
pub mod double_votes;
pub mod export;
pub mod faults;
pub mod forks;
pub mod import;
pub mod log;
pub mod metrics;
pub mod outbox;
pub mod outcomes;
pub mod plan_rules;
pub mod poster;
pub mod quote;
pub mod random;
pub mod replay;
pub mod rewards;
pub mod run;
pub mod setup;
pub mod simulate;
pub mod status;
pub mod store;
pub mod tend;
pub mod terms;
pub mod verdicts;
pub mod wrong_key;

use assay_ledger::{AssayLedger, ChainError};
use assay_protocol::ids::UnixMs;

/// Wei in a gwei of the chain's own currency, which pays for gas. Of the token see [`assay_protocol::amount`].
pub const WEI_PER_GWEI: u128 = 1_000_000_000;

/// The system's wall clock.
pub fn system_now() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMs(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
}

/// Now, for what a transaction is about to meet: the newest block's time where this machine's clock is behind it.
pub fn ledger_now(ledger: &AssayLedger) -> Result<UnixMs, ChainError> {
    let block = ledger.chain().timestamp_ms()?;
    Ok(UnixMs(block.max(system_now().0)))
}

/// An error with its causes on one line; hints keep lines of their own, last.
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    explain(causes.map(ToString::to_string))
}

/// See [`chain_of`], for messages that are already text. A text that its cause repeats is said once.
pub fn explain(messages: impl IntoIterator<Item = String>) -> String {
    let (mut texts, mut hints): (Vec<String>, Vec<String>) = Default::default();
    for message in messages {
        let (hint, text): (Vec<&str>, Vec<&str>) =
            message.lines().partition(|line| line.starts_with("hint:"));
        let text = text.join("\n");
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        hints.extend(hint.into_iter().map(str::to_owned));
    }
    hints.dedup();
    let mut lines = vec![texts.join(": ")];
    lines.extend(hints);
    lines.join("\n")
}
