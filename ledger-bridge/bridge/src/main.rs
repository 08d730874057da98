//! `assay-bridge`: see `assay-bridge help`. Exit codes: 0 done, 1 failed, 2 usage or configuration.
#![forbid(unsafe_code)]

mod args;

use anyhow::{Context, Result};
use args::{Key, Ledger, Output, Signed, say, say_json, say_one};
use assay_aggregate::inputs::History;
use assay_bridge::config::{Config, ConfigError, Plan};
use assay_bridge::setup::{self, gwei};
use assay_bridge::store::Store;
use assay_bridge::{export, log, quote, run, simulate, status, system_now, verdicts};
use assay_ledger::{Action, AssayLedger, ChainError, KeyError, NewHyperNode, NewNode};
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, NodeId, Seed, UnixMs};
use assay_protocol::params::NetworkParams;
use assay_protocol::trust::{CommitteePin, TrustBundle, TrustFile};
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
    /// Deploy a contract for a network plan and print its address.
    Deploy(Deploy),
    /// Put a HyperNode on the genesis roster, by its ledger key.
    RegisterHypernode(RegisterHyperNode),
    /// Close the roster, open genesis and write the network file, by the deployer's key.
    OpenGenesis(OpenGenesis),
    /// Pledge collateral for a node, by its provider's key.
    RegisterNode(RegisterNode),
    /// Add to the reward pool.
    Fund(Fund),
    /// Pay out a provider's released rewards, by its key.
    Claim(Signed),
    /// What the ledger says.
    Status(Status),
    /// Every node's verdict in posted epochs, recomputed and checked against the ledger.
    Verdicts(Verdicts),
    /// Write the ledger's half of an audit bundle.
    Export(Export),
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
struct ConfigArg {
    /// bridge.toml
    #[arg(long)]
    config: PathBuf,
}

#[derive(Args)]
struct Deploy {
    #[command(flatten)]
    ledger: Ledger,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    output: Output,
    /// plan.toml
    #[arg(long)]
    plan: PathBuf,
    #[command(flatten)]
    genesis: GenesisTime,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct GenesisTime {
    /// Start of epoch 0, Unix milliseconds.
    #[arg(long)]
    genesis_unix_ms: Option<u64>,
    /// Start of epoch 0, milliseconds from now.
    #[arg(long)]
    genesis_in_ms: Option<u64>,
}

#[derive(Args)]
struct RegisterHyperNode {
    #[command(flatten)]
    signed: Signed,
    /// Its Ed25519 key.
    #[arg(long)]
    ed25519: HyperNodeId,
    /// Its operator, 32 bytes.
    #[arg(long)]
    operator: Digest,
    /// End of its seed chain.
    #[arg(long)]
    seed_end: Seed,
    /// host:port
    #[arg(long)]
    endpoint: String,
    /// Stake in gwei.
    #[arg(long)]
    stake_gwei: u64,
}

#[derive(Args)]
struct OpenGenesis {
    #[command(flatten)]
    signed: Signed,
    /// The plan the contract was deployed with.
    #[arg(long)]
    plan: PathBuf,
    /// The network file to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
struct RegisterNode {
    #[command(flatten)]
    signed: Signed,
    /// The node, as `assay-agent` prints it.
    #[arg(long)]
    node: NodeId,
    #[command(flatten)]
    class: ClassArg,
    /// host:port of the agent.
    #[arg(long)]
    endpoint: String,
    /// Collateral in gwei.
    #[arg(long)]
    collateral_gwei: u64,
    /// Where the node stands, at most 32 bytes.
    #[arg(long, default_value = "")]
    region: String,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct ClassArg {
    /// Digest of its hardware class.
    #[arg(long)]
    class: Option<Digest>,
    /// File of its hardware class.
    #[arg(long)]
    class_file: Option<PathBuf>,
}

#[derive(Args)]
struct Fund {
    #[command(flatten)]
    signed: Signed,
    /// Amount in gwei.
    #[arg(long)]
    gwei: u64,
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

impl Command {
    /// Whether a program reads the output.
    fn is_for_programs(&self) -> bool {
        match self {
            Self::Keygen(Keygen::Ledger(arg)) => arg.new.output.json,
            Self::Keygen(Keygen::Board(arg)) => arg.output.json,
            Self::Run(arg) => arg.json,
            Self::Deploy(arg) => arg.output.json,
            Self::RegisterHypernode(arg) => arg.signed.output.json,
            Self::OpenGenesis(arg) => arg.signed.output.json,
            Self::RegisterNode(arg) => arg.signed.output.json,
            Self::Fund(arg) => arg.signed.output.json,
            Self::Claim(arg) => arg.output.json,
            Self::Status(arg) => arg.output.json,
            Self::Verdicts(arg) => arg.output.json,
            Self::Export(arg) => arg.output.json,
            Self::Simulate(arg) => arg.json,
            Self::Quote(arg) => arg.json,
            Self::Trust(arg) => arg.output.json,
        }
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let is_json = command.is_for_programs();
    let Err(error) = execute(command) else {
        return ExitCode::SUCCESS;
    };
    let code = if is_configuration(&error) { 2 } else { 1 };
    let text = assay_bridge::explain(error.chain().map(ToString::to_string));
    if is_json {
        eprintln!("{}", json!({ "error": text, "exit": code }));
    } else {
        eprintln!("error: {text}");
    }
    ExitCode::from(code)
}

/// What the one who typed it can repair without asking anybody.
fn is_configuration(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let is_key = cause.downcast_ref::<KeyError>().is_some_and(|key| {
            matches!(
                key,
                KeyError::TooOpen { .. } | KeyError::Malformed { .. } | KeyError::Keystore { .. }
            )
        });
        let is_node = matches!(cause.downcast_ref(), Some(ChainError::BadNode { .. }));
        is_key || is_node || cause.is::<ConfigError>()
    })
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
            let config = Config::load(&arg.config.config)?;
            tokio::runtime::Runtime::new()
                .context("async runtime")?
                .block_on(run::run(config))
        }
        Command::Deploy(arg) => deploy(&arg),
        Command::RegisterHypernode(arg) => register_hypernode(arg),
        Command::OpenGenesis(arg) => open_genesis(&arg),
        Command::RegisterNode(arg) => register_node(arg),
        Command::Fund(arg) => arg.signed.submit(&Action::fund_rewards(gwei(arg.gwei))),
        Command::Claim(arg) => arg.submit(&Action::claim()),
        Command::Status(arg) => {
            let status = status::read(&arg.ledger.contract(arg.contract)?)?;
            match arg.output.json {
                true => say_json(&status),
                false => say(status),
            }
        }
        Command::Verdicts(arg) => show_verdicts(&arg),
        Command::Export(arg) => write_export(&arg),
        Command::Simulate(arg) => say(simulate::shown(&arg)?.trim_end()),
        Command::Quote(arg) => say(quote::shown(&arg)?.trim_end()),
        Command::Trust(arg) => write_trust(&arg),
    }
}

fn deploy(arg: &Deploy) -> Result<()> {
    let plan = Plan::load(&arg.plan)?;
    let after = |ms: u64| UnixMs(system_now().0.saturating_add(ms));
    let genesis = arg.genesis.genesis_unix_ms.map(UnixMs);
    let genesis = genesis.unwrap_or_else(|| after(arg.genesis.genesis_in_ms.unwrap_or(0)));
    let signer = arg.key.open()?;
    let chain = arg.ledger.chain()?;
    let fee_cap = arg.ledger.fee_cap();
    let contract = setup::deploy(chain, signer.as_ref(), &plan, genesis, fee_cap)?;
    say_one(arg.output, "contract", contract)
}

fn register_hypernode(arg: RegisterHyperNode) -> Result<()> {
    let new = NewHyperNode {
        ed25519: arg.ed25519,
        operator: arg.operator,
        seed_end: arg.seed_end,
        endpoint: arg.endpoint,
        stake: gwei(arg.stake_gwei),
    };
    arg.signed.submit(&Action::register_hypernode(&new))
}

fn open_genesis(arg: &OpenGenesis) -> Result<()> {
    let plan = Plan::load(&arg.plan)?;
    let (ledger, signer) = arg.signed.open()?;
    say_json(&setup::open_genesis(
        &ledger,
        signer.as_ref(),
        &plan,
        &arg.out,
    )?)
}

fn register_node(arg: RegisterNode) -> Result<()> {
    let class_digest = match (arg.class.class, arg.class.class_file) {
        (Some(digest), _) => digest,
        (None, path) => {
            let path = path.context("--class or --class-file")?;
            let refused = |source| ConfigError::Class {
                path: path.clone(),
                source,
            };
            assay_hw_profiles::load(&path).map_err(refused)?.digest()
        }
    };
    let new = NewNode {
        node: arg.node,
        class_digest,
        region: setup::region(&arg.region)?,
        endpoint: arg.endpoint,
        collateral: gwei(arg.collateral_gwei),
    };
    arg.signed.submit(&Action::register_node(&new))
}

fn show_verdicts(arg: &Verdicts) -> Result<()> {
    let (store, ledger, history) = read_network(&arg.config)?;
    let rows = verdicts::read(
        &store,
        &ledger,
        history,
        Epoch(arg.first),
        arg.last.map(Epoch),
    )?;
    if arg.output.json {
        return say_json(&rows);
    }
    rows.iter().try_for_each(say)
}

fn write_export(arg: &Export) -> Result<()> {
    let (store, ledger, history) = read_network(&arg.config)?;
    let range = export::Range {
        node: arg.node,
        first: Epoch(arg.first),
        last: Epoch(arg.last),
    };
    let void = export::export(&store, &ledger, history, &range, &arg.out)?;
    say_json(&json!({ "out": arg.out, "void": void }))
}

/// Needs no ledger: the committee follows from the network's parameters, and `open-genesis` compared the two.
fn write_trust(arg: &Trust) -> Result<()> {
    let config = Config::load(&arg.config.config)?;
    let params = config.params()?;
    let text = std::fs::read_to_string(&arg.vendors)
        .with_context(|| format!("vendor roots {}", arg.vendors.display()))?;
    let vendors: TrustBundle = serde_json::from_str(&text)
        .with_context(|| format!("vendor roots {}", arg.vendors.display()))?;
    let history = History::new(&params, config.load_classes()?)?;
    let trust = TrustFile {
        schema: 1,
        committee: CommitteePin {
            epoch: Epoch(0),
            hash: history.committee().hash(),
        },
        params,
        vendors,
    };
    setup::write_atomically(&arg.out, serde_json::to_string_pretty(&trust)?.as_bytes())?;
    say_json(&json!({ "out": arg.out, "network": history.network() }))
}

fn read_network(arg: &ConfigArg) -> Result<(Store, AssayLedger, History)> {
    let config = Config::load(&arg.config)?;
    let params: NetworkParams = config.params()?;
    let store = run::open_store_for_reading(&config, params.network_id())?;
    let ledger = run::ledger_for_reading(&config, &params)?;
    let history = History::new(&params, config.load_classes()?)?;
    Ok((store, ledger, history))
}
