//! Continuity of a TPM's clock and counters from quote to quote (TPM 2.0 part 1, section 36; part 2, section
//! 10.11.1), as a state machine without time of its own.
//!
//! What a genuine TPM does: `clock` counts powered milliseconds and is kept through an orderly shutdown.
//! After an unorderly one it falls back to its last non-volatile value, at most [`CLOCK_FALLBACK_MS_MAX`]
//! earlier, and `safe` is clear until the next non-volatile update. `resetCount` grows with each TPM Reset and
//! survives everything but `TPM2_Clear`; `restartCount` grows with each suspend and starts again with each
//! reset. `TPM2_Clear` sets all of them to zero.
//!
//! So every older quote of one TPM is refused, except one whose clock and counters are all equal to the last
//! record: that one is the nonce's to refuse. What cannot be seen here: that a reboot was a good one (the event
//! log shows that), that the clock was set forward by the owner, and a clear after which the counters were
//! driven past the old record (the node then is still the same TPM). Keys outside the endorsement and
//! platform hierarchies see counters with a constant added; an attestation key is in the endorsement hierarchy.

mod similarity;

pub use similarity::{Similarity, same_tpm};

use crate::tpm::attest::ClockInfo;

/// How far `Clock` may fall back after an unorderly shutdown: the largest non-volatile update
/// interval, 2^22 ms (about 70 minutes).
pub const CLOCK_FALLBACK_MS_MAX: u64 = 1 << 22;

/// How a quote continues the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Continuity {
    /// There is no record yet.
    First,
    /// The same boot, later or at the same millisecond.
    SameBoot,
    /// The TPM resumed from sleep: `restartCount` grew.
    Resumed,
    /// The TPM was reset: `resetCount` grew.
    Rebooted,
    /// The TPM was cleared, and its owner was allowed that: counters start again.
    Cleared,
}

/// Whether a node may start again after `TPM2_Clear`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reenrolment {
    /// The rule: counters that went back are refused.
    #[default]
    None,
    /// A new enrolment, decided elsewhere: counters may have gone back. It opens the door to replays of the
    /// time before the clear; only a nonce made after the decision closes it.
    AfterClear,
}

/// One step from the last record to this quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How it continues.
    pub continuity: Continuity,
    /// TPM resets in between. Each needs an explanation the caller has to ask for: an event log of the new boot.
    pub resets: u32,
    /// Restarts in between; after a reset or a clear, restarts since then.
    pub restarts: u32,
    /// Milliseconds the clock fell back, which only an unorderly shutdown explains; 0 when it did not.
    pub fallback_ms: u64,
}

/// Clock and counters do not continue the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The reset counter went back.
    #[error("TPM resetCount: expected at least {last}, got {now}")]
    ResetRollback {
        /// In the last record.
        last: u32,
        /// In this quote.
        now: u32,
    },
    /// The restart counter went back within one reset.
    #[error("TPM restartCount: expected at least {last} under the same resetCount, got {now}")]
    RestartRollback {
        /// In the last record.
        last: u32,
        /// In this quote.
        now: u32,
    },
    /// The clock went back and nothing explains it.
    #[error(
        "TPM clock: expected at least {last_ms} ms, got {now_ms} ms without an unorderly shutdown that explains it"
    )]
    ClockRollback {
        /// In the last record.
        last_ms: u64,
        /// In this quote.
        now_ms: u64,
    },
}

/// Compares this quote with the last accepted one; a cleared TPM is refused.
pub fn continuity(last: Option<&ClockInfo>, now: &ClockInfo) -> Result<Continuity, ClockError> {
    step(last, now, Reenrolment::None).map(|step| step.continuity)
}

/// Compares this quote with the last accepted one. When it is accepted, `now` is the next record.
pub fn step(
    last: Option<&ClockInfo>,
    now: &ClockInfo,
    reenrolment: Reenrolment,
) -> Result<Step, ClockError> {
    let Some(last) = last else {
        return Ok(fresh(Continuity::First, now));
    };
    match (forward(last, now), reenrolment) {
        (Err(_), Reenrolment::AfterClear) => Ok(fresh(Continuity::Cleared, now)),
        (step, _) => step,
    }
}

fn fresh(continuity: Continuity, now: &ClockInfo) -> Step {
    Step {
        continuity,
        resets: 0,
        restarts: now.restart_count,
        fallback_ms: 0,
    }
}

fn forward(last: &ClockInfo, now: &ClockInfo) -> Result<Step, ClockError> {
    let resets =
        now.reset_count
            .checked_sub(last.reset_count)
            .ok_or(ClockError::ResetRollback {
                last: last.reset_count,
                now: now.reset_count,
            })?;
    let rebooted = resets > 0;
    let restarts = if rebooted {
        now.restart_count
    } else {
        let rollback = ClockError::RestartRollback {
            last: last.restart_count,
            now: now.restart_count,
        };
        let restarts = now.restart_count.checked_sub(last.restart_count);
        restarts.ok_or(rollback)?
    };
    let fallback_ms = last.clock_ms.saturating_sub(now.clock_ms);
    // Only a reset can be unorderly: a resume follows an orderly shutdown.
    let explained = rebooted && !now.safe && fallback_ms <= CLOCK_FALLBACK_MS_MAX;
    if fallback_ms > 0 && !explained {
        return Err(ClockError::ClockRollback {
            last_ms: last.clock_ms,
            now_ms: now.clock_ms,
        });
    }
    let continuity = match (rebooted, restarts > 0) {
        (true, _) => Continuity::Rebooted,
        (false, true) => Continuity::Resumed,
        (false, false) => Continuity::SameBoot,
    };
    Ok(Step {
        continuity,
        resets,
        restarts,
        fallback_ms,
    })
}

#[cfg(test)]
mod tests;
