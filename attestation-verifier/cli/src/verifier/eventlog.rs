//! Firmware event logs.

use super::Finding;
use anyhow::Result;
use clap::{Args, Subcommand};

/// Firmware event logs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a log to PCR values.
    Replay(Replay),
    /// Say what a log proves.
    Claims(Claims),
}

/// Arguments of `eventlog replay`.
#[derive(Debug, Args)]
pub struct Replay {}

/// Arguments of `eventlog claims`.
#[derive(Debug, Args)]
pub struct Claims {}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    anyhow::bail!("not implemented: {command:?}")
}
