//! Authenticates and appraises a ScalerNode's evidence, and verifies its challenge answers.
//!
//! This crate has no IO, no clock and no randomness: time, nonces, roots and reference values are
//! arguments, so that an auditor re-runs years later exactly what a HyperNode ran. Unverified data
//! is another type than authenticated data, and the constructors of the latter are private.
//!
//! The way of a node's evidence is [`appraise`]: what it carries is parsed and judged by [`quote`], [`eventlog`],
//! [`ima`] and [`snp`], the endorsements by [`ek`] and [`x509`], and the result leaves as an [`ear`]. Every parser here
//! reads hostile bytes: it has caps, never panics, and takes time linear in its input. SHA-1 under a signature is
//! accepted only where the caller names the exception.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod appraise;
pub mod chase;
pub mod checks;
pub mod clock;
pub mod corim;
pub mod cose_sign1;
pub mod counters;
pub mod crypto;
pub mod ear;
pub mod ek;
pub mod eventlog;
pub mod foreign_cbor;
pub mod idevid;
pub mod ima;
pub mod quote;
pub mod snp;
pub mod summary;
pub mod tpm;
pub mod x509;

#[cfg(test)]
mod testing;
