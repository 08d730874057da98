//! IMA measurement lists.

use super::Finding;
use anyhow::Result;
use clap::{Args, Subcommand};

/// IMA measurement lists.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a list to PCR 10.
    Replay(Replay),
}

/// Arguments of `ima replay`.
#[derive(Debug, Args)]
pub struct Replay {}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    anyhow::bail!("not implemented: {command:?}")
}
