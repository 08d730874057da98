//! A whole network on loopback, of the product's own programs: embedded ledger and bridge, ScalerNodes on software
//! TPMs, HyperNodes. The demo and the fault tests drive it.

pub mod process;
pub mod scaler;
pub mod setup;

pub use process::{Daemon, Programs};
pub use scaler::ScalerNode;
pub use setup::{HyperNode, LocalNetwork, Plan};

use std::net::TcpListener;

/// A loopback port that is free now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
