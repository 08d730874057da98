//! `make demo`: see `assay_testbed::demo`.
#![forbid(unsafe_code)]

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// One promise proven end to end, on real parts, in two minutes.
#[derive(Parser)]
struct Cli {
    /// Folder for everything; a demo's earlier output there is replaced.
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let Cli { out } = Cli::parse();
    let root = std::env::current_dir().unwrap_or_default();
    match assay_testbed::demo::run(&out, &root) {
        Ok(_) => {
            println!(
                "see {0}/summary.json, {0}/trust.json and {0}/bundles",
                out.display()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
