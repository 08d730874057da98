//! A whole network on loopback, of the product's own programs: embedded ledger and bridge, ScalerNodes on software
//! TPMs, HyperNodes. The demo and the fault tests drive it.

mod bundle;
pub mod process;
pub mod scaler;
pub mod setup;

pub use process::{Daemon, Programs, whole_lines};
pub use scaler::ScalerNode;
pub use setup::{HyperNode, LocalNetwork, Plan};

use assay_protocol::ids::UnixMs;
use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Ports below those that the system gives to connections (`ip_local_port_range`): a port that is free now is not taken by a
/// connection of somebody else before it is listened on.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A loopback port that is free now.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let mut bytes = [0; 2];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no randomness"))?;
        let port = PORTS.start + u16::from_be_bytes(bytes) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port in {PORTS:?}")
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
