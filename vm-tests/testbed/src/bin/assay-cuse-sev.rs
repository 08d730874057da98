//! `/dev/sev-guest` and `/dev/sev` of an emulated chip, on a kernel with CUSE: for test machines.

use anyhow::{Context as _, Result};
use assay_testbed::sev_device::Firmware;
use assay_testbed::sev_device::cuse::{Kind, serve};
use assay_testbed::snp::{Certificates, Chip, Product};
use clap::Parser;
use std::path::PathBuf;

/// Plays the devices of SEV-SNP until it is ended. Needs root and the kernel module cuse.
#[derive(Parser)]
#[command(name = "assay-cuse-sev", version)]
struct Cli {
    /// MEASUREMENT of the guest, 96 hexadecimal digits
    #[arg(long)]
    measurement: String,
    /// Where the root's certificate is written, for verifiers that are to trust this chip
    #[arg(long, value_name = "FILE")]
    ark: PathBuf,
    /// Give no certificate table along
    #[arg(long)]
    no_certificates: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut measurement = [0; 48];
    hex::decode_to_slice(&cli.measurement, &mut measurement).context("--measurement")?;
    let mut firmware = Firmware::new(Chip::new(Product::Genoa), measurement);
    if cli.no_certificates {
        firmware.table.clear();
    }
    std::fs::write(&cli.ark, Certificates::of(Product::Genoa).ark)
        .with_context(|| cli.ark.display().to_string())?;
    let one = |kind| serve(kind, &firmware).with_context(|| format!("/dev/{}", Kind::name(kind)));
    std::thread::scope(|scope| {
        let host = scope.spawn(|| one(Kind::Host));
        let guest = one(Kind::Guest);
        host.join().expect("the thread returns").and(guest)
    })
}
