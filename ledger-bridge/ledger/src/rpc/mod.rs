//! Minimal Ethereum JSON-RPC: the process that owns a chain serves it on loopback ([`serve`]),
//! any other reads and submits through [`RpcChain`].

pub(crate) mod call;
mod client;
mod endpoint;
mod server;
pub(crate) mod wire;

pub use client::{RpcChain, RpcOptions};
pub use server::serve;

/// What of a node's URL may be shown: no credentials, no path.
pub fn shown(url: &str) -> String {
    endpoint::Endpoint::parse(url).map_or_else(|_| "URL".into(), |known| known.shown().to_owned())
}

/// Largest request in bytes, and largest answer of a chain of ours.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Largest answer of a node in bytes: a header lists the hashes of its block's transactions.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
