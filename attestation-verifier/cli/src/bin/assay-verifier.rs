//! `assay-verifier`: verifies raw attestation data, appraises and shows evidence, and makes audit bundles of
//! their parts. All of it offline.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result};
use assay_cli::seal::{Target, merge, write};
use assay_cli::show::Shown;
use assay_cli::source;
use assay_cli::verifier::{Finding, appraise, azure, corim, ek, eventlog, ima, snp, tpm};
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Verifies raw attestation data, appraises and shows evidence, and makes audit bundles of their parts. Offline.
///
/// Exit codes of snp, tpm, eventlog, ima, ek, azure, corim, appraise and explain: 0 accepted; 1 rejected;
/// 2 undecided, or a file or argument that cannot be used.
/// Exit codes of bundle and show: 0 done; 1 failed, the message says what and where; 2 wrong usage.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    /// Print the finding as JSON: result, checks, claims.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// AMD SEV-SNP attestation reports.
    #[command(subcommand)]
    Snp(snp::Command),
    /// TPM 2.0 quotes.
    #[command(subcommand)]
    Tpm(tpm::Command),
    /// Firmware event logs.
    #[command(subcommand)]
    Eventlog(eventlog::Command),
    /// IMA measurement lists.
    #[command(subcommand)]
    Ima(ima::Command),
    /// Endorsement key certificates.
    #[command(subcommand)]
    Ek(ek::Command),
    /// Evidence of Azure's confidential VMs.
    #[command(subcommand)]
    Azure(azure::Command),
    /// Signed reference values (CoRIM).
    #[command(subcommand)]
    Corim(corim::Command),
    /// Appraise signed evidence against a hardware class; stop at the first check that fails.
    Appraise(appraise::Appraise),
    /// The same, running every check that can be run.
    Explain(appraise::Appraise),
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
    let Cli { json, command } = Cli::parse();
    let finding = match &command {
        Command::Snp(command) => snp::run(command),
        Command::Tpm(command) => tpm::run(command),
        Command::Eventlog(command) => eventlog::run(command),
        Command::Ima(command) => ima::run(command),
        Command::Ek(command) => ek::run(command),
        Command::Azure(command) => azure::run(command),
        Command::Corim(command) if command.toml_only() => {
            return class_lines(corim::run(command));
        }
        Command::Corim(command) => corim::run(command),
        Command::Appraise(arguments) => appraise::appraise(arguments),
        Command::Explain(arguments) => appraise::explain(arguments),
        Command::Bundle { out, parts } => return done(bundle(out, parts)),
        Command::Show { extract, evidence } => return done(show(evidence, extract.as_deref())),
    };
    concluded(finding, json)
}

fn done(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints a finding; what could not be asked at all is a finding of its own, so that JSON is always printed.
fn concluded(finding: Result<Finding>, json: bool) -> ExitCode {
    let finding = finding.unwrap_or_else(|error| {
        complain(&error);
        Finding::unusable(&error)
    });
    let text = match serde_json::to_string(&finding) {
        Ok(text) if json => format!("{text}\n"),
        _ => finding.to_string(),
    };
    // Whoever reads may stop reading; the exit code says the rest.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(finding.result.exit_code())
}

/// Prints the lines for a class file to stdout; the checks go to stderr, so that the lines can be appended to a file.
fn class_lines(finding: Result<Finding>) -> ExitCode {
    let finding = finding.unwrap_or_else(|error| {
        complain(&error);
        Finding::unusable(&error)
    });
    finding.checks.iter().for_each(|check| eprintln!("{check}"));
    let exit_code = finding.result.exit_code();
    if exit_code == 0 {
        corim::toml_lines(&finding)
            .iter()
            .for_each(|line| println!("{line}"));
    }
    ExitCode::from(exit_code)
}

fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
    eprintln!("hint: `assay-verifier help` lists what each command reads and writes");
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
