//! assay-hypernode: the verifier's daemon.
#![forbid(unsafe_code)]

use anyhow::{Result, bail};
use assay_hypernode::config::{self, Secrets};
use assay_hypernode::context::Context;
use assay_hypernode::{daemon, explain, export, is_storage};
use assay_protocol::cose::Signer as _;
use assay_protocol::ids::{Epoch, HyperNodeId, NodeId};
use assay_protocol::limits::SEED_CHAIN_MAX;
use assay_protocol::schedule;
use assay_transport::Identity;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Verifies ScalerNodes: challenges, appraisal, archive, agreement.
///
/// Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 the journal could not be written.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the Ed25519 key and the secrets of a new HyperNode; prints what is registered on the ledger, as JSON.
    Init {
        /// Ed25519 key file to create.
        #[arg(long)]
        key: PathBuf,
        /// Secrets file to create.
        #[arg(long)]
        secrets: PathBuf,
        /// Links of the seed chain, a network parameter.
        #[arg(long, value_parser = clap::value_parser!(u64).range(2..=SEED_CHAIN_MAX))]
        seed_chain_links: u64,
    },
    /// Runs the daemon.
    Run {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Writes this HyperNode's part of an audit bundle.
    Export {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The node.
        #[arg(long)]
        node: NodeId,
        /// First epoch.
        #[arg(long)]
        first: u64,
        /// Last epoch, included.
        #[arg(long)]
        last: u64,
        /// Folder to create.
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (result, code) = match cli.command {
        Command::Init {
            key,
            secrets,
            seed_chain_links,
        } => (init(&key, &secrets, seed_chain_links), 1),
        Command::Run { config } => match open(&config) {
            Ok((context, config)) => {
                let ended = block_on(daemon::run(context, config));
                let code = if ended.as_ref().is_err_and(is_storage) {
                    3
                } else {
                    1
                };
                (ended, code)
            }
            Err(error) => (Err(error), 2),
        },
        Command::Export {
            config,
            node,
            first,
            last,
            out,
        } => match open(&config) {
            Ok((context, _)) => {
                let written = block_on(async {
                    export::write(&context, node, Epoch(first), Epoch(last), &out)
                });
                (written.map(|count| println!("{count} files")), 1)
            }
            Err(error) => (Err(error), 2),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            ExitCode::from(code)
        }
    }
}

fn open(path: &std::path::Path) -> Result<(Context, config::Config)> {
    config::load(path).and_then(Context::open).map_err(hinted)
}

/// Whatever is wrong before the start has a next step; the more exact one when there is one.
fn hinted(error: anyhow::Error) -> anyhow::Error {
    let said = error
        .chain()
        .any(|cause| cause.to_string().contains("\nhint: "));
    if said {
        return error;
    }
    error.context(
        "cannot start\nhint: correct the file that is named; README.md shows a whole configuration",
    )
}

fn init(key: &std::path::Path, secrets: &std::path::Path, links: u64) -> Result<()> {
    for file in [key, secrets] {
        if file.exists() {
            bail!(
                "{}: expected a new file, but it exists\n\
                 hint: keys and secrets are never replaced; name other files",
                file.display()
            );
        }
    }
    let identity = Identity::create(key)?;
    let secrets = Secrets::create(secrets).inspect_err(|_| {
        // Nobody has seen it, and it would keep the next attempt from its place.
        let _ = std::fs::remove_file(key);
    })?;
    let material = serde_json::json!({
        "ed25519": HyperNodeId(identity.public_key()),
        "seed_end": schedule::seed_end(&secrets.seed, links),
    });
    println!("{material}");
    Ok(())
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // Tasks may be in the middle of blocking work, and everything is durable: end like after a crash, do not wait.
    std::mem::forget(runtime);
    result
}
