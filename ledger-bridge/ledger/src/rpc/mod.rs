//! Minimal Ethereum JSON-RPC: the process that owns a chain serves it on loopback ([`serve`]),
//! any other reads and submits through [`RpcChain`].

mod client;
mod server;
mod wire;

pub use client::RpcChain;
pub use server::serve;

/// Largest request or answer body in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
