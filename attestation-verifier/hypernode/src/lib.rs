//! assay-hypernode: schedules and makes challenges, appraises the answers, archives them, and agrees with the
//! other HyperNodes on what they mean. The only part of the verifier with network, clock and disk.
#![forbid(unsafe_code)]

pub mod agent_link;
pub mod agree;
pub mod board;
pub mod challenge;
pub mod clock;
pub mod config;
pub mod context;
pub mod control;
pub mod daemon;
pub mod export;
pub mod ledger_view;
pub mod node;
pub mod record;
pub mod report;
pub mod store;
