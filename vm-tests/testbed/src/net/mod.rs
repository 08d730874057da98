//! A whole network on loopback, of the product's own programs: embedded ledger and bridge, ScalerNodes on software
//! TPMs, HyperNodes. The demo and the fault tests drive it.

mod bundle;
pub mod process;
pub mod scaler;
pub mod setup;

pub use process::{Daemon, Programs};
pub use scaler::ScalerNode;
pub use setup::{HyperNode, LocalNetwork, Plan};

use assay_protocol::ids::UnixMs;
use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A loopback port that is free now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Now, by the clock the network's programs use.
pub fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Sleeps until `at`; returns at once when it is past.
pub fn sleep_until(at: UnixMs) {
    std::thread::sleep(Duration::from_millis(at.0.saturating_sub(now().0)));
}
