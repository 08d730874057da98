//! Tools of the system that tests run to their end.

use anyhow::{Context as _, Result, ensure};
use std::process::{Command, Stdio};

/// Runs `command` to its end, quietly; its output is the error's text.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}\nhint: `make setup` installs it"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{name} ended with {}: {stdout}{stderr}",
        output.status
    );
    Ok(())
}
