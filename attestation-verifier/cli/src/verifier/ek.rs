//! Endorsement key certificates.

use super::Finding;
use anyhow::Result;
use clap::{Args, Subcommand};

/// Endorsement key certificates.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify a certificate up to trusted roots.
    Verify(Verify),
}

/// Arguments of `ek verify`.
#[derive(Debug, Args)]
pub struct Verify {}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    anyhow::bail!("not implemented: {command:?}")
}
