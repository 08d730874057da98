//! Signatures and keys: the one place that decides which algorithms are accepted.

pub mod der;
pub mod key;
pub mod signature;
pub mod verifying_key;
