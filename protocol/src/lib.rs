//! What travels and what is signed in Assay: identifiers, bounded codecs, wire messages,
//! evidence, outcomes, reports, and the pure arithmetic both sides must agree on.
//!
//! This crate has no IO, no clock and no randomness: time and nonces are arguments.
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

pub mod amount;
pub mod answers;
pub mod cbor;
pub mod chase;
pub mod class;
pub mod config;
pub mod cose;
pub mod endpoint;
pub mod evidence;
pub mod hash;
pub mod ids;
pub mod inventory;
pub mod item;
pub mod layout;
pub mod limits;
pub mod merkle;
pub mod outcome;
pub mod params;
pub mod region;
pub mod report;
pub mod schedule;
pub mod settings;
pub mod succession;
pub mod trust;
pub mod weights;
pub mod wire;
