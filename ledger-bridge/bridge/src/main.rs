//! `assay-bridge`: see `assay-bridge help`. Exit codes: 0 done, 1 failed, 2 usage or configuration.
#![forbid(unsafe_code)]

mod args;
mod exit;
mod ledger;

use anyhow::{Context, Result};
use args::{ConfigArg, Ledger, Output, say, say_json, say_one, say_rows};
use assay_aggregate::inputs::History;
use assay_bridge::config::json_file;
use assay_bridge::import::{self, Source};
use assay_bridge::{
    export, log, quote, rewards, run, setup, simulate, status, system_now, verdicts,
};
use assay_protocol::endpoint::Endpoint;
use assay_protocol::ids::{Address, Digest, Epoch, NetworkId, NodeId};
use assay_protocol::trust::{CommitteePin, TrustBundle, TrustFile};
use assay_transport::Identity;
use assay_transport::board::Board as Client;
use clap::{Args, Parser, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Carries what HyperNodes sign to each other and to the ledger.
#[derive(Parser)]
#[command(name = "assay-bridge", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key file (mode 0600) and print its public half.
    #[command(subcommand)]
    Keygen(Keygen),
    /// Run ledger, board and poster; waits for the network file while a network is being set up.
    Run(Run),
    /// Deploy, register, stake, reserve, claim, dispute: one transaction each.
    #[command(subcommand)]
    Ledger(Box<ledger::Command>),
    /// What the ledger says.
    Status(Status),
    /// Every node's verdict in posted epochs, recomputed and checked against the ledger.
    Verdicts(Verdicts),
    /// What providers have earned and were paid.
    Rewards(Rewards),
    /// Write the ledger's half of an audit bundle.
    Export(Export),
    /// Take over what another board has: for a state that was lost, or a second bridge.
    Import(Import),
    /// What misbehaving HyperNodes can do to outcomes, by running the aggregation on simulated epochs.
    Simulate(simulate::Arguments),
    /// What breaches cost over a period, from a node's outage history.
    Quote(quote::Arguments),
    /// Write what an auditor pins: the network, its first committee and the TPM vendor roots.
    Trust(Trust),
}

#[derive(Subcommand)]
enum Keygen {
    /// A secp256k1 key; prints its account.
    Ledger(NewLedgerKey),
    /// An Ed25519 key for the board's TLS server; prints the key HyperNodes pin.
    Board(OutArg),
}

#[derive(Args)]
struct OutArg {
    /// The file to create; an existing one is never overwritten.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct NewLedgerKey {
    #[command(flatten)]
    new: OutArg,
    /// File with a password: the key is encrypted (Web3 Secret Storage). Without it the file is for tests and demonstrations.
    #[arg(long)]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    config: ConfigArg,
    /// Log lines as JSON objects.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Status {
    #[command(flatten)]
    ledger: Ledger,
    /// The network's contract.
    #[arg(long)]
    contract: Address,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Trust {
    #[command(flatten)]
    config: ConfigArg,
    /// TPM vendor roots (JSON), the HyperNodes' `vendors`.
    #[arg(long)]
    vendors: PathBuf,
    /// File to write or replace.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Verdicts {
    #[command(flatten)]
    config: ConfigArg,
    /// First epoch.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Last epoch; the newest posted one when left out.
    #[arg(long)]
    last: Option<u64>,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Rewards {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Export {
    #[command(flatten)]
    config: ConfigArg,
    /// The node.
    #[arg(long)]
    node: NodeId,
    /// First epoch.
    #[arg(long)]
    first: u64,
    /// Last epoch, included.
    #[arg(long)]
    last: u64,
    /// A new folder.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Import {
    #[command(flatten)]
    config: ConfigArg,
    /// Another bridge's state_dir, or a copy of it.
    #[arg(long, required_unless_present = "board", conflicts_with = "board")]
    from: Option<PathBuf>,
    /// A running bridge's board, HOST:PORT.
    #[arg(long, requires_all = ["board_key", "identity"])]
    board: Option<Endpoint>,
    /// The key of its server.
    #[arg(long, requires = "board")]
    board_key: Option<Digest>,
    /// Ed25519 key file of a HyperNode of the network: nobody else may read there.
    #[arg(long, requires = "board")]
    identity: Option<PathBuf>,
    /// First epoch that is asked for; all before it must be here already.
    #[arg(long, default_value_t = 0)]
    first: u64,
    #[command(flatten)]
    output: Output,
}

impl Import {
    fn source(&self, network: NetworkId) -> Result<Source> {
        if let (Some(board), Some(key), Some(identity)) =
            (&self.board, self.board_key, &self.identity)
        {
            let identity = Identity::load(identity)?;
            return Source::board(Client::new(identity, board.clone(), key.0));
        }
        let dir = self.from.as_ref().context("--from or --board")?;
        Ok(Source::State(run::state_for_reading(dir, network)?))
    }
}

impl Command {
    /// Whether a program reads the output.
    fn is_for_programs(&self) -> bool {
        match self {
            Self::Keygen(Keygen::Ledger(arg)) => arg.new.output.json,
            Self::Keygen(Keygen::Board(arg)) => arg.output.json,
            Self::Run(arg) => arg.json,
            Self::Ledger(command) => command.is_for_programs(),
            Self::Status(arg) => arg.output.json,
            Self::Verdicts(arg) => arg.output.json,
            Self::Rewards(arg) => arg.output.json,
            Self::Export(arg) => arg.output.json,
            Self::Import(arg) => arg.output.json,
            Self::Simulate(arg) => arg.json,
            Self::Quote(arg) => arg.json,
            Self::Trust(arg) => arg.output.json,
        }
    }
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(misuse) => return said(&misuse),
    };
    let is_json = command.is_for_programs();
    let Err(error) = execute(command) else {
        return ExitCode::SUCCESS;
    };
    let code = exit::code(&error);
    let text = assay_bridge::explain(error.chain().map(ToString::to_string));
    if is_json {
        eprintln!("{}", json!({ "error": text, "exit": code }));
    } else {
        eprintln!("error: {text}");
    }
    ExitCode::from(code)
}

/// Help as it is, a mistake as whoever reads it wants it: the arguments are not known then.
fn said(misuse: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().any(|arg| arg == "--json");
    if !misuse.use_stderr() || !is_json {
        misuse.exit();
    }
    let text = misuse.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    eprintln!("{}", json!({ "error": text, "exit": 2 }));
    ExitCode::from(2)
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Keygen(Keygen::Ledger(arg)) => {
            let password = arg.password_file.as_deref();
            let account = setup::new_ledger_key(&arg.new.out, password)?;
            say_one(arg.new.output, "account", account)
        }
        Command::Keygen(Keygen::Board(arg)) => {
            say_one(arg.output, "key", setup::new_board_key(&arg.out)?)
        }
        Command::Run(arg) => {
            if arg.json {
                log::as_json();
            }
            let config = arg.config.load()?;
            let runtime = tokio::runtime::Runtime::new().context("async runtime")?;
            let result = runtime.block_on(run::run(config));
            // A task may wait for the ledger, and everything is durable: end like after a crash, do not wait.
            runtime.shutdown_background();
            result
        }
        Command::Ledger(command) => command.execute(),
        Command::Status(arg) => {
            let status = status::read(&arg.ledger.contract(arg.contract)?)?;
            match arg.output.json {
                true => say_json(&status),
                false => say(status),
            }
        }
        Command::Verdicts(arg) => show_verdicts(&arg),
        Command::Rewards(arg) => show_rewards(&arg),
        Command::Export(arg) => write_export(&arg),
        Command::Import(arg) => take_over(&arg),
        Command::Simulate(arg) => say(simulate::shown(&arg)?.trim_end()),
        Command::Quote(arg) => say(quote::shown(&arg)?.trim_end()),
        Command::Trust(arg) => write_trust(&arg),
    }
}

fn show_verdicts(arg: &Verdicts) -> Result<()> {
    let (store, ledger, history) = arg.config.network()?;
    let rows = verdicts::read(
        &store,
        &ledger,
        history,
        Epoch(arg.first),
        arg.last.map(Epoch),
    )?;
    say_rows(arg.output, "verdicts", &rows)
}

fn show_rewards(arg: &Rewards) -> Result<()> {
    let (store, ledger, history) = arg.config.network()?;
    let rows = rewards::read(&store, &ledger, history)?;
    say_rows(arg.output, "rewards", &rows)
}

fn write_export(arg: &Export) -> Result<()> {
    let (store, ledger, history) = arg.config.network()?;
    let range = export::Range {
        node: arg.node,
        first: Epoch(arg.first),
        last: Epoch(arg.last),
    };
    let void = export::export(&store, &ledger, history, &range, &arg.out)?;
    say_json(&json!({ "out": arg.out, "void": void }))
}

/// May run beside the bridge whose state it fills.
fn take_over(arg: &Import) -> Result<()> {
    let config = arg.config.load()?;
    let params = config.params()?;
    let source = arg.source(params.network_id())?;
    let ledger = run::ledger_for_reading(&config, &params)?;
    let history = History::new(&params, config.load_classes()?)?;
    let store = run::open_store(&config, params.network_id())?;
    let of = (Epoch(arg.first), system_now());
    let imported = import::import(&store, &ledger, history, source, of)?;
    match arg.output.json {
        true => say_json(&imported),
        false => say(imported),
    }
}

/// Needs no ledger: the committee follows from the network's parameters, and `open-genesis` compared the two.
fn write_trust(arg: &Trust) -> Result<()> {
    let config = arg.config.load()?;
    let params = config.params()?;
    let vendors: TrustBundle = json_file(&arg.vendors).context("vendor roots")?;
    let history = History::new(&params, config.load_classes()?)?;
    let trust = TrustFile {
        schema: 1,
        committee: CommitteePin {
            epoch: Epoch(0),
            hash: history.signers().hash(),
        },
        params,
        vendors,
    };
    setup::write_atomically(&arg.out, serde_json::to_string_pretty(&trust)?.as_bytes())?;
    say_json(&json!({ "out": arg.out, "network": history.network() }))
}
