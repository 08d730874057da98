//! AMD SEV-SNP attestation reports.

use super::Finding;
use anyhow::Result;
use clap::{Args, Subcommand};

/// AMD SEV-SNP attestation reports.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify a report and its certificates.
    Verify(Verify),
}

/// Arguments of `snp verify`.
#[derive(Debug, Args)]
pub struct Verify {}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    anyhow::bail!("not implemented: {command:?}")
}
