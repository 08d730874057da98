//! The reference values of an image, computed from its unified kernel image before it ever ran: what the firmware and
//! systemd-stub will measure. Printed as the lines of a hardware class.
#![forbid(unsafe_code)]

mod pe;
mod registers;

use anyhow::{Context as _, Result};
use clap::Parser;
use pe::Pe;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the `[attestation]` lines of a hardware class that this image satisfies.
#[derive(Parser)]
#[command(name = "assay-image-values", version)]
struct Cli {
    /// The unified kernel image; a signature does not change what is measured
    image: PathBuf,
}

fn main() -> ExitCode {
    match lines(&Cli::parse().image) {
        Ok(lines) => {
            print!("{lines}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}\nhint: name the assay.efi that the image's build made");
            ExitCode::FAILURE
        }
    }
}

fn lines(path: &std::path::Path) -> Result<String> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(name)?;
    let image = Pe::parse(&bytes).with_context(name)?;
    let line = image
        .section(".cmdline")
        .context("no section .cmdline")
        .with_context(name)?;
    let line = std::str::from_utf8(line)
        .context("section .cmdline")
        .with_context(name)?;
    registers::class_lines(&image, line).with_context(name)
}
