//! Reference values, computed when an image is built and before it ever ran: what firmware and systemd-stub will measure
//! of the flashable image, and what AMD's firmware will measure of a probe guest. Printed as the lines of a hardware
//! class.
#![forbid(unsafe_code)]

mod firmware;
mod launch;
mod pe;
mod registers;
mod save_area;

use anyhow::{Context as _, Result};
use assay_probe::{COMMAND_LINE, CPU, Guest, VCPUS};
use clap::{Parser, Subcommand};
use firmware::Firmware;
use launch::{Launch, Processors};
use pe::Pe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print the lines of a hardware class that an image satisfies.
#[derive(Parser)]
#[command(name = "assay-image-values", version)]
struct Cli {
    #[command(subcommand)]
    of: Of,
}

#[derive(Subcommand)]
enum Of {
    /// Of the flashable image: PCR 4, PCR 11 and the command line
    Image {
        /// The unified kernel image, assay.efi; a signature does not change what is measured
        file: PathBuf,
    },
    /// Of a probe guest: its launch measurement
    Probe {
        /// The folder that its build made: firmware.fd, kernel, initrd
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let (lines, hint) = match Cli::parse().of {
        Of::Image { file } => (
            image(&file),
            "name the assay.efi that the image's build made",
        ),
        Of::Probe { folder } => (
            probe(&Guest::of(&folder)),
            "name the folder that agent/image/probe/build.sh made; its firmware is edk2's AmdSev build",
        ),
    };
    match lines {
        Ok(lines) => {
            print!("{lines}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}\nhint: {hint}");
            ExitCode::FAILURE
        }
    }
}

fn image(path: &Path) -> Result<String> {
    let name = || path.display().to_string();
    let bytes = read(path)?;
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

fn probe(guest: &Guest) -> Result<String> {
    let [firmware, kernel, initial] = guest.files().map(read);
    let (firmware, kernel, initial) = (firmware?, kernel?, initial?);
    let launch = Launch {
        firmware: &Firmware::parse(&firmware)
            .with_context(|| guest.firmware.display().to_string())?,
        kernel: &kernel,
        initial: &initial,
        line: COMMAND_LINE,
        processors: Processors {
            count: VCPUS,
            signature: CPU.signature(),
        },
    };
    Ok(launch::class_lines(&launch.measurement()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_without_a_part_or_with_another_firmware_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let guest = Guest::of(dir.path());
        std::fs::write(&guest.firmware, firmware::testing::image()).unwrap();
        std::fs::write(&guest.kernel, b"kernel").unwrap();
        let error = format!("{:#}", probe(&guest).unwrap_err());
        assert!(error.contains("initrd: No such file"), "{error}");
        std::fs::write(&guest.initial, b"initial").unwrap();
        assert!(
            probe(&guest)
                .unwrap()
                .starts_with("[attestation.chassis]\n")
        );
        std::fs::write(&guest.firmware, [0; 8192]).unwrap();
        let error = format!("{:#}", probe(&guest).unwrap_err());
        assert!(error.contains("firmware.fd: "), "{error}");
    }
}
