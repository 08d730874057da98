//! TPM 2.0 quotes.

use super::Finding;
use anyhow::Result;
use clap::{Args, Subcommand};

/// TPM 2.0 quotes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify a quote.
    Quote(Quote),
}

/// Arguments of `tpm quote`.
#[derive(Debug, Args)]
pub struct Quote {}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    anyhow::bail!("not implemented: {command:?}")
}
