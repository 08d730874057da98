//! `assay-bridge`: see `assay-bridge help`. Exit codes: 0 done, 1 failed, 2 usage or configuration.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use assay_aggregate::inputs::History;
use assay_bridge::config::{Config, ConfigError, Plan};
use assay_bridge::setup::{self, gwei};
use assay_bridge::store::Store;
use assay_bridge::{export, run, status, system_now, verdicts};
use assay_ledger::{Action, AssayLedger, LedgerKey, NewHyperNode, NewNode};
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, NodeId, Seed, UnixMs};
use assay_protocol::params::NetworkParams;
use assay_protocol::trust::{CommitteePin, TrustBundle, TrustFile};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
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
    Run(ConfigArg),
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
    /// Write what an auditor pins: the network, its first committee and the TPM vendor roots.
    Trust(Trust),
}

#[derive(Subcommand)]
enum Keygen {
    /// A secp256k1 key; prints its account.
    Ledger(OutArg),
    /// An Ed25519 key for the board's TLS server; prints the key HyperNodes pin.
    Board(OutArg),
}

#[derive(Args)]
struct OutArg {
    /// The file to create; an existing one is never overwritten.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
struct ConfigArg {
    /// bridge.toml
    #[arg(long)]
    config: PathBuf,
}

#[derive(Args)]
struct Deploy {
    /// JSON-RPC of the ledger.
    #[arg(long)]
    rpc: String,
    /// Ledger key file.
    #[arg(long)]
    key: PathBuf,
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

/// Who signs, for which contract.
#[derive(Args)]
struct Signed {
    /// JSON-RPC of the ledger.
    #[arg(long)]
    rpc: String,
    /// Ledger key file.
    #[arg(long)]
    key: PathBuf,
    /// The network's contract.
    #[arg(long)]
    contract: Address,
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
    /// JSON-RPC of the ledger.
    #[arg(long)]
    rpc: String,
    /// The network's contract.
    #[arg(long)]
    contract: Address,
    /// For programs.
    #[arg(long)]
    json: bool,
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
    /// For programs.
    #[arg(long)]
    json: bool,
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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let messages = error.chain().map(ToString::to_string);
            eprintln!("error: {}", assay_bridge::explain(messages));
            ExitCode::from(if error.chain().any(|e| e.is::<ConfigError>()) {
                2
            } else {
                1
            })
        }
    }
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Keygen(Keygen::Ledger(arg)) => say(setup::new_ledger_key(&arg.out)?),
        Command::Keygen(Keygen::Board(arg)) => say(setup::new_board_key(&arg.out)?),
        Command::Run(arg) => {
            let config = Config::load(&arg.config)?;
            tokio::runtime::Runtime::new()
                .context("async runtime")?
                .block_on(run::run(config))
        }
        Command::Deploy(arg) => deploy(&arg),
        Command::RegisterHypernode(arg) => register_hypernode(arg),
        Command::OpenGenesis(arg) => open_genesis(&arg),
        Command::RegisterNode(arg) => register_node(arg),
        Command::Fund(arg) => submit(&arg.signed, &Action::fund_rewards(gwei(arg.gwei))),
        Command::Claim(arg) => submit(&arg, &Action::claim()),
        Command::Status(arg) => {
            let status = status::read(&setup::connect(&arg.rpc, arg.contract)?)?;
            if arg.json {
                say_json(&status)
            } else {
                say(status)
            }
        }
        Command::Verdicts(arg) => show_verdicts(&arg),
        Command::Export(arg) => write_export(&arg),
        Command::Trust(arg) => write_trust(&arg),
    }
}

fn deploy(arg: &Deploy) -> Result<()> {
    let plan = Plan::load(&arg.plan)?;
    let after = |ms: u64| UnixMs(system_now().0.saturating_add(ms));
    let genesis = arg.genesis.genesis_unix_ms.map(UnixMs);
    let genesis = genesis.unwrap_or_else(|| after(arg.genesis.genesis_in_ms.unwrap_or(0)));
    say(setup::deploy(
        &arg.rpc,
        &LedgerKey::from_file(&arg.key)?,
        &plan,
        genesis,
    )?)
}

fn register_hypernode(arg: RegisterHyperNode) -> Result<()> {
    let new = NewHyperNode {
        ed25519: arg.ed25519,
        operator: arg.operator,
        seed_end: arg.seed_end,
        endpoint: arg.endpoint,
        stake: gwei(arg.stake_gwei),
    };
    submit(&arg.signed, &Action::register_hypernode(&new))
}

fn open_genesis(arg: &OpenGenesis) -> Result<()> {
    let plan = Plan::load(&arg.plan)?;
    let (ledger, key) = signed(&arg.signed)?;
    say_json(&setup::open_genesis(&ledger, &key, &plan, &arg.out)?)
}

fn register_node(arg: RegisterNode) -> Result<()> {
    let class_digest = match (arg.class.class, arg.class.class_file) {
        (Some(digest), _) => digest,
        (None, path) => {
            assay_hw_profiles::load(&path.context("--class or --class-file")?)?.digest()
        }
    };
    let new = NewNode {
        node: arg.node,
        class_digest,
        region: setup::region(&arg.region)?,
        endpoint: arg.endpoint,
        collateral: gwei(arg.collateral_gwei),
    };
    submit(&arg.signed, &Action::register_node(&new))
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
    if arg.json {
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

fn signed(arg: &Signed) -> Result<(AssayLedger, LedgerKey)> {
    Ok((
        setup::connect(&arg.rpc, arg.contract)?,
        LedgerKey::from_file(&arg.key)?,
    ))
}

fn submit(arg: &Signed, action: &Action) -> Result<()> {
    let (ledger, key) = signed(arg)?;
    let receipt = ledger.submit(&key, action)?;
    say_json(
        &json!({ "action": action.name, "tx": receipt.tx_hash.to_string(), "gas": receipt.gas_used }),
    )
}

fn say(text: impl std::fmt::Display) -> Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}").context("standard output")
}

fn say_json(value: &impl Serialize) -> Result<()> {
    say(serde_json::to_string(value).context("output")?)
}
