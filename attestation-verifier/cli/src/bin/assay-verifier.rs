//! `assay-verifier`: makes audit bundles of their parts and shows evidence, offline.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result};
use assay_cli::seal::{Target, merge, write};
use assay_cli::show::Shown;
use assay_cli::source;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes audit bundles of their parts and shows evidence, offline.
///
/// Exit codes: 0 done; 1 failed, the message says what and where; 2 wrong usage.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Merge the parts that `assay-bridge export` and `assay-hypernode export` wrote into one bundle.
    Bundle {
        /// The bundle to write: `NAME.bag` or `NAME.tar`; both are made.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
        /// Part directories.
        #[arg(required = true, value_name = "PART_DIR")]
        parts: Vec<PathBuf>,
    },
    /// Print what signed evidence claims, and what of it is verified.
    Show {
        /// Write attest.bin, sig.bin, ak.pem, pcrs.bin and qualification.hex for `tpm2_checkquote` to DIR.
        #[arg(long, value_name = "DIR")]
        extract: Option<PathBuf>,
        /// The evidence (COSE_Sign1).
        evidence: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Bundle { out, parts } => bundle(&out, &parts),
        Command::Show { extract, evidence } => show(&evidence, extract.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            eprintln!("hint: `assay-verifier help` lists what each command reads and writes");
            ExitCode::FAILURE
        }
    }
}

fn bundle(out: &Path, parts: &[PathBuf]) -> Result<()> {
    let payload = merge(parts)?;
    let target = Target::of(out);
    write(&payload, &target)?;
    println!("{}\n{}", target.bag.display(), target.tar.display());
    Ok(())
}

fn show(path: &Path, extract: Option<&Path>) -> Result<()> {
    let bytes = source::file(path, EVIDENCE_BYTES_MAX as u64)?;
    let shown = Shown::open(&bytes).with_context(|| path.display().to_string())?;
    print!("{shown}");
    if let Some(dir) = extract {
        for (name, bytes) in shown.checkquote_files()? {
            std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
            let path = dir.join(name);
            std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
            println!("wrote {}", path.display());
        }
    }
    Ok(())
}
