//! `assay-audit`: recomputes the verdicts of an audit bundle, with no network.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use assay_cli::audit::{Audit, audit, unreadable};
use assay_cli::print::Human;
use assay_cli::source;
use assay_protocol::trust::TrustFile;
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest trust file, in bytes.
const TRUST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Exit code when nothing could be decided.
const UNDECIDED: u8 = 2;

/// Recomputes the verdicts of an audit bundle, with no network.
///
/// Exit codes: 0 the claimed verdicts (good or bad) were reproduced; 1 the evidence contradicts them;
/// 2 cannot decide: a missing or corrupt bundle, missing evidence, no or a bad trust file, or wrong usage.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify a bundle: a BagIt directory or its deterministic tar file.
    Verify(Verify),
}

#[derive(Args)]
struct Verify {
    /// The trust file (JSON): network parameters, first committee, TPM vendor roots.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print every check as JSON.
    #[arg(long)]
    json: bool,
    /// The bundle.
    bundle: PathBuf,
}

fn main() -> ExitCode {
    let Cli {
        command: Command::Verify(verify),
    } = Cli::parse();
    match run(&verify) {
        Ok(audit) => ExitCode::from(audit.result.exit_code()),
        Err(error) => {
            eprintln!("error: {error:#}");
            eprintln!(
                "hint: a trust file comes from the network's operator, as JSON; see `assay-audit verify --help`"
            );
            ExitCode::from(UNDECIDED)
        }
    }
}

fn run(verify: &Verify) -> Result<Audit> {
    let trust = verify.trust.as_deref().map(trust_file).transpose()?;
    let audit = match source::bundle(&verify.bundle) {
        Ok(payload) => audit(payload, trust.as_ref()),
        Err(error) => unreadable(&error.to_string()),
    };
    if verify.json {
        println!("{}", serde_json::to_string(&audit)?);
    } else {
        print!("{}", Human(&audit));
    }
    Ok(audit)
}

fn trust_file(path: &Path) -> Result<TrustFile> {
    let about = || format!("trust file {}", path.display());
    let bytes = source::file(path, TRUST_BYTES_MAX).with_context(about)?;
    let trust: TrustFile = serde_json::from_slice(&bytes).with_context(about)?;
    if trust.schema != 1 {
        bail!(
            "trust file {}: schema: expected 1, got {}",
            path.display(),
            trust.schema
        );
    }
    trust.params.validate().with_context(about)?;
    Ok(trust)
}
