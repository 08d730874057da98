//! Authenticates and appraises a ScalerNode's evidence, and verifies its challenge answers.
//!
//! This crate has no IO, no clock and no randomness: time, nonces, roots and reference values are
//! arguments, so that an auditor re-runs years later exactly what a HyperNode ran. Unverified data
//! is another type than authenticated data, and the constructors of the latter are private.
//!
//! What is refused by name for now: SEV-SNP reports, IMA lists and semantic event-log claims
//! (tiers 2 and 3), legacy SHA-1 event logs.
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
