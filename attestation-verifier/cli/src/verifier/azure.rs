//! Evidence of Azure's confidential VMs.

use super::Finding;
use anyhow::Result;
use clap::{Args, Subcommand};

/// Evidence of Azure's confidential VMs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify an HCL report, its SEV-SNP report and its vTPM quote.
    Verify(Verify),
}

/// Arguments of `azure verify`.
#[derive(Debug, Args)]
pub struct Verify {}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    anyhow::bail!("not implemented: {command:?}")
}
