//! Appraises one piece of signed evidence against a hardware class.

use super::Finding;
use anyhow::Result;
use clap::Args;

/// Arguments of `appraise` and `explain`.
#[derive(Debug, Args)]
pub struct Appraise {}

/// Stops at the first check that fails.
pub fn appraise(arguments: &Appraise) -> Result<Finding> {
    anyhow::bail!("not implemented: {arguments:?}")
}

/// Runs every check that can be run.
pub fn explain(arguments: &Appraise) -> Result<Finding> {
    anyhow::bail!("not implemented: {arguments:?}")
}
