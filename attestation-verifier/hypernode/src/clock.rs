//! The HyperNode's clock: the only place that asks the system for the time.

use assay_protocol::ids::UnixMs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now.
pub fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Sleeps until `at`, also when the clock is set back meanwhile; returns at once when it is past.
pub async fn sleep_until(at: UnixMs) {
    while now() < at {
        tokio::time::sleep(until(at)).await;
    }
}

/// What is left until `at`.
pub fn until(at: UnixMs) -> Duration {
    Duration::from_millis(at.0.saturating_sub(now().0))
}
