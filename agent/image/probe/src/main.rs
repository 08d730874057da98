//! Starts the probe guest and becomes its QEMU. A program of its own, since the agent gives up starting programs before
//! anything else.
#![forbid(unsafe_code)]

use assay_probe::Guest;
use assay_probe::host::{self, Encryption, HostError};
use assay_probe::qemu::{Protection, Start, Vsock};
use clap::{Parser, Subcommand};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where the package puts the guest.
const GUEST: &str = "/usr/lib/assay-probe";
const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// The probe guest of Assay on this host.
///
/// Exit codes: 1 QEMU cannot be run, 2 usage, or something that the guest needs is not there; else QEMU's.
#[derive(Parser)]
#[command(name = "assay-probe", version)]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start the guest under SEV-SNP; it serves until it is killed
    Start {
        /// Its vsock context id, as in the agent's snp.cid
        #[arg(long, value_parser = clap::value_parser!(u32).range(3..=4_294_967_294))]
        cid: u32,
        #[command(flatten)]
        from: From,
    },
    /// Start the same guest in an emulator: it boots and answers, and has no reports to give
    Emulate {
        /// Socket of a program that carries vsock by vhost-user, such as vhost-device-vsock
        #[arg(long)]
        socket: PathBuf,
        #[command(flatten)]
        from: From,
    },
}

#[derive(clap::Args)]
struct From {
    /// Folder with firmware.fd, kernel and initrd
    #[arg(long, default_value = GUEST)]
    guest: PathBuf,
    /// QEMU; SEV-SNP needs 9.1 or later
    #[arg(long, default_value = QEMU)]
    qemu: PathBuf,
}

fn main() -> ExitCode {
    let (prepared, qemu) = match Cli::parse().action {
        Action::Start { cid, from } => (under_snp(cid, &from.guest), from.qemu),
        Action::Emulate { socket, from } => (emulated(socket, &from.guest), from.qemu),
    };
    match prepared {
        Ok(start) => become_qemu(&qemu, &start),
        Err(error) => {
            eprintln!("error: {error}\nhint: {}", error.hint());
            ExitCode::from(2)
        }
    }
}

fn under_snp(cid: u32, folder: &Path) -> Result<Start, HostError> {
    let guest = Guest::of(folder);
    host::parts(&guest)?;
    let encryption = Encryption::of_this_cpu()?;
    host::devices()?;
    Ok(Start {
        guest,
        protection: Protection::Snp(encryption),
        vsock: Vsock::Kernel(cid),
    })
}

fn emulated(socket: PathBuf, folder: &Path) -> Result<Start, HostError> {
    let guest = Guest::of(folder);
    host::parts(&guest)?;
    Ok(Start {
        guest,
        protection: Protection::Nothing,
        vsock: Vsock::Program(socket),
    })
}

/// Returns only when that failed.
fn become_qemu(qemu: &Path, start: &Start) -> ExitCode {
    let error = Command::new(qemu).args(start.arguments()).exec();
    eprintln!(
        "error: {}: {error}\nhint: install qemu-system-x86, 9.1 or later for SEV-SNP, or name it with --qemu",
        qemu.display()
    );
    ExitCode::FAILURE
}
