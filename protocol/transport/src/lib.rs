//! How Assay's programs talk: TLS 1.3 with raw Ed25519 public keys (RFC 7250), no certificates, no names,
//! and bounded frames. Who may connect is decided inside the handshake, before any other work.
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
pub mod board;
pub mod frames;
pub mod identity;
pub mod tls;

pub use identity::{Identity, IdentityError};
