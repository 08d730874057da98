//! Continuity of a TPM's clock and counters between two quotes (TPM 2.0 part 1, section 36).
//!
//! Counters that go back mean a replayed quote, a cleared TPM or another TPM: all are refused.

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

/// Compares this quote with the last accepted one.
pub fn continuity(last: Option<&ClockInfo>, now: &ClockInfo) -> Result<Continuity, ClockError> {
    let Some(last) = last else {
        return Ok(Continuity::First);
    };
    if now.reset_count < last.reset_count {
        return Err(ClockError::ResetRollback {
            last: last.reset_count,
            now: now.reset_count,
        });
    }
    let rebooted = now.reset_count > last.reset_count;
    if !rebooted && now.restart_count < last.restart_count {
        return Err(ClockError::RestartRollback {
            last: last.restart_count,
            now: now.restart_count,
        });
    }
    let fallback_ms = last.clock_ms.saturating_sub(now.clock_ms);
    // Only a reset can be unorderly: a resume follows an orderly shutdown.
    let explained = rebooted && !now.safe && fallback_ms <= CLOCK_FALLBACK_MS_MAX;
    if fallback_ms > 0 && !explained {
        return Err(ClockError::ClockRollback {
            last_ms: last.clock_ms,
            now_ms: now.clock_ms,
        });
    }
    Ok(match (rebooted, now.restart_count > last.restart_count) {
        (true, _) => Continuity::Rebooted,
        (false, true) => Continuity::Resumed,
        (false, false) => Continuity::SameBoot,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(reset_count: u32, restart_count: u32, clock_ms: u64, safe: bool) -> ClockInfo {
        ClockInfo {
            clock_ms,
            reset_count,
            restart_count,
            safe,
        }
    }

    const LAST: ClockInfo = ClockInfo {
        clock_ms: 10_000_000,
        reset_count: 3,
        restart_count: 2,
        safe: true,
    };

    #[test]
    fn forward_is_accepted() {
        let cases = [
            (at(3, 2, 10_000_000, true), Continuity::SameBoot),
            (at(3, 2, 10_000_001, false), Continuity::SameBoot),
            (at(3, 3, 10_000_001, true), Continuity::Resumed),
            (at(4, 0, 10_000_001, true), Continuity::Rebooted),
            (at(4, 0, 9_999_999, false), Continuity::Rebooted),
            (
                at(9, 0, 10_000_000 - CLOCK_FALLBACK_MS_MAX, false),
                Continuity::Rebooted,
            ),
        ];
        for (now, expected) in cases {
            assert_eq!(continuity(Some(&LAST), &now), Ok(expected), "{now:?}");
        }
        assert_eq!(continuity(None, &LAST), Ok(Continuity::First));
    }

    #[test]
    fn every_rollback_is_refused_by_name() {
        let refused = |now| continuity(Some(&LAST), &now).unwrap_err().to_string();
        assert!(refused(at(2, 9, 99_000_000, true)).contains("resetCount"));
        assert!(refused(at(3, 1, 99_000_000, true)).contains("restartCount"));
        assert!(refused(at(3, 2, 9_999_999, true)).contains("clock"));
        assert!(refused(at(3, 2, 9_999_999, false)).contains("clock"));
        assert!(refused(at(3, 3, 9_999_999, false)).contains("clock"));
        assert!(refused(at(4, 0, 9_999_999, true)).contains("clock"));
        assert!(refused(at(4, 0, 10_000_000 - CLOCK_FALLBACK_MS_MAX - 1, false)).contains("clock"));
    }
}
