//! `assay-bridge ledger …`: one transaction each, or one look at a chain's file. What the contract would refuse is refused
//! before anything is sent.

mod convict;
mod fund;
mod handover;
mod upkeep;

use crate::args::{ConfigArg, Key, Ledger, Output, Signed, endpoint, say_json, say_one};
use anyhow::{Context, Result, ensure};
use assay_bridge::config::{ConfigError, Plan, expect_place};
use assay_bridge::setup;
use assay_bridge::{ledger_now, rewards, system_now};
use assay_ledger::embedded::{EmbeddedChain, ExportedTx, SystemClock};
use assay_ledger::{Action, Chain as _, NewHyperNode, NewNode, NewOffer, possession_message};
use assay_protocol::cose::Signer as _;
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, NodeId, Seed, UnixMs};
use assay_transport::identity::Identity;
use clap::{Args, Subcommand};
use fund::Fund;
use serde_json::json;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

/// What is done on the ledger.
#[derive(Subcommand)]
pub enum Command {
    /// Deploy a network's contracts for a plan and print the address that participants configure.
    Deploy(Deploy),
    /// Make a plan's classes known: terms and credit schedules, by the governor. `deploy` does it when it may.
    SetClasses(WithPlan),
    /// Join as a HyperNode, by its ledger key.
    Register(RegisterHyperNode),
    /// Let another account register a HyperNode under one's own operator id, by who registered under it first.
    Admit(Admit),
    /// Begin the network with the HyperNodes that have registered and write the network file, by the deployer's key.
    OpenGenesis(OpenGenesis),
    /// Add to a HyperNode's stake.
    Stake(Amount),
    /// Start to take stake back; it can still be slashed until it is withdrawn.
    Unstake(Amount),
    /// Let a HyperNode count again that was absent for too long, by its ledger key.
    ComeBack(Signed),
    /// Pay out stake whose time has come.
    Withdraw(Signed),
    /// Pledge collateral for a node, by its provider's key.
    RegisterNode(RegisterNode),
    /// Take back the collateral of a registration that was not confirmed.
    CancelNode(OfNode),
    /// Add to a node's collateral.
    TopUp(NodeAmount),
    /// Ask to leave with a node: service is owed through the last reserved epoch.
    Leave(OfNode),
    /// Pay the collateral of a node that has left to its provider.
    Exit(OfProvider),
    /// Put aside rewards for epochs to come, at the earliest the one after the next.
    Fund(Fund),
    /// Pay a provider what it has earned up to the newest final epoch; anybody may, the provider gets it.
    Claim(Claim),
    /// Offer a node to Builders, or change or close an offer.
    Offer(Offer),
    /// Reserve a node, prepaid, by a Builder's key.
    Reserve(Reserve),
    /// Give up the billing periods of a reservation that have not begun; one is paid for at least.
    CancelReservation(OfReservation),
    /// Pay an account its rent, credits and shares of slashes.
    WithdrawRent(OfAccount),
    /// Say, with a bond, that an epoch's root does not follow from its input set.
    Dispute(OfEpoch),
    /// Pay a dispute's bond to whom it is due.
    CloseDispute(OfEpoch),
    #[command(flatten)]
    HandOver(handover::Command),
    #[command(flatten)]
    Convict(convict::Command),
    #[command(flatten)]
    Upkeep(upkeep::Command),
    /// Make tokens, where the token is the worthless one for tests.
    Mint(Mint),
    /// Write every transaction of an embedded chain's file, one a line: block time in ms, space, hexadecimal bytes.
    Export(Export),
    /// Replay such a file on a fresh chain and print the block it leads to.
    Replay(Replay),
}

#[derive(Args)]
pub struct Deploy {
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

/// A genesis further away is one in another unit.
const GENESIS_IN_MS_MAX: u64 = 366 * 86_400_000;

impl GenesisTime {
    /// The time it says, which is to come, and soon.
    fn at(&self, now: UnixMs) -> Result<UnixMs> {
        let ahead = now.0.saturating_add(self.genesis_in_ms.unwrap_or(0));
        let genesis = self.genesis_unix_ms.unwrap_or(ahead);
        let last = now.0.saturating_add(GENESIS_IN_MS_MAX);
        let expected = format!(
            "expected after {now} (now, in Unix milliseconds) and up to {last} (a year ahead)"
        );
        ensure!(
            now.0 < genesis && genesis <= last,
            "genesis: {expected}, got {genesis}"
        );
        Ok(UnixMs(genesis))
    }
}

#[derive(Args)]
pub struct WithPlan {
    #[command(flatten)]
    signed: Signed,
    /// The plan the contracts were deployed with.
    #[arg(long)]
    plan: PathBuf,
}

#[derive(Args)]
pub struct RegisterHyperNode {
    #[command(flatten)]
    signed: Signed,
    /// The HyperNode's Ed25519 key file: it signs that this account may register it.
    #[arg(long)]
    identity: PathBuf,
    /// Its operator, 32 bytes: an id that nobody has, or one whose owner has admitted this account.
    #[arg(long)]
    operator: Digest,
    /// End of its seed chain.
    #[arg(long)]
    seed_end: Seed,
    /// host:port
    #[arg(long, value_parser = endpoint)]
    endpoint: String,
    /// Stake in gwei.
    #[arg(long)]
    stake_gwei: u64,
}

#[derive(Args)]
pub struct Admit {
    #[command(flatten)]
    signed: Signed,
    /// The account, 40 hexadecimal digits.
    #[arg(long)]
    member: Address,
}

#[derive(Args)]
pub struct OpenGenesis {
    #[command(flatten)]
    with: WithPlan,
    /// The network file to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
pub struct Amount {
    #[command(flatten)]
    signed: Signed,
    /// Amount in gwei of the token.
    #[arg(long)]
    gwei: u64,
}

#[derive(Args)]
pub struct OfNode {
    #[command(flatten)]
    signed: Signed,
    /// The node.
    #[arg(long)]
    node: NodeId,
}

#[derive(Args)]
pub struct NodeAmount {
    #[command(flatten)]
    of: OfNode,
    /// Amount in gwei of the token.
    #[arg(long)]
    gwei: u64,
}

#[derive(Args)]
pub struct OfProvider {
    #[command(flatten)]
    of: OfNode,
    /// Its provider.
    #[arg(long)]
    provider: Address,
}

#[derive(Args)]
pub struct RegisterNode {
    #[command(flatten)]
    signed: Signed,
    /// The node, as `assay-agent` prints it.
    #[arg(long)]
    node: NodeId,
    #[command(flatten)]
    class: ClassArg,
    /// host:port of the agent.
    #[arg(long, value_parser = endpoint)]
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
pub struct Claim {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    output: Output,
    /// Who is paid.
    #[arg(long)]
    provider: Address,
}

#[derive(Args)]
pub struct Offer {
    #[command(flatten)]
    of: OfNode,
    /// Rent of an epoch in gwei.
    #[arg(long)]
    gwei: u64,
    /// Shortest reservation in epochs.
    #[arg(long, default_value_t = 1)]
    min_epochs: u32,
    /// Longest reservation in epochs.
    #[arg(long)]
    max_epochs: u32,
    /// Takes no new reservation.
    #[arg(long)]
    close: bool,
}

#[derive(Args)]
pub struct Reserve {
    #[command(flatten)]
    of: OfNode,
    /// First epoch, later than the current one.
    #[arg(long)]
    first: u64,
    /// How many epochs.
    #[arg(long)]
    epochs: u64,
    /// Most that is paid for an epoch, in gwei; the offer may be cheaper.
    #[arg(long)]
    gwei: u64,
}

#[derive(Args)]
pub struct OfReservation {
    #[command(flatten)]
    signed: Signed,
    /// Its number.
    #[arg(long)]
    reservation: u64,
}

#[derive(Args)]
pub struct OfAccount {
    #[command(flatten)]
    signed: Signed,
    /// Who is paid.
    #[arg(long)]
    account: Address,
}

#[derive(Args)]
pub struct OfEpoch {
    #[command(flatten)]
    signed: Signed,
    /// The epoch.
    #[arg(long)]
    epoch: u64,
}

#[derive(Args)]
pub struct Mint {
    #[command(flatten)]
    of: Amount,
    /// Who gets them.
    #[arg(long)]
    to: Address,
}

#[derive(Args)]
pub struct Export {
    /// The chain's file; no bridge may run on it.
    #[arg(long)]
    chain: PathBuf,
    /// Its chain id.
    #[arg(long)]
    chain_id: u64,
    /// File to write or replace.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
pub struct Replay {
    #[command(flatten)]
    config: ConfigArg,
    /// The file that `ledger export` wrote.
    #[arg(long)]
    from: PathBuf,
    /// The chain's file to make; the accounts are those of the configuration.
    #[arg(long)]
    chain: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Command {
    /// Whether a program reads the output.
    pub fn is_for_programs(&self) -> bool {
        match self {
            Self::Deploy(arg) => arg.output.json,
            Self::SetClasses(arg) => arg.signed.output.json,
            Self::Register(arg) => arg.signed.output.json,
            Self::Admit(arg) => arg.signed.output.json,
            Self::OpenGenesis(arg) => arg.with.signed.output.json,
            Self::Stake(arg) | Self::Unstake(arg) => arg.signed.output.json,
            Self::ComeBack(arg) | Self::Withdraw(arg) => arg.output.json,
            Self::RegisterNode(arg) => arg.signed.output.json,
            Self::CancelNode(arg) | Self::Leave(arg) => arg.signed.output.json,
            Self::TopUp(arg) => arg.of.signed.output.json,
            Self::Exit(arg) => arg.of.signed.output.json,
            Self::Fund(arg) => arg.signed.output.json,
            Self::Claim(arg) => arg.output.json,
            Self::Offer(arg) => arg.of.signed.output.json,
            Self::Reserve(arg) => arg.of.signed.output.json,
            Self::CancelReservation(arg) => arg.signed.output.json,
            Self::WithdrawRent(arg) => arg.signed.output.json,
            Self::Dispute(arg) | Self::CloseDispute(arg) => arg.signed.output.json,
            Self::HandOver(command) => command.is_for_programs(),
            Self::Convict(command) => command.is_for_programs(),
            Self::Upkeep(command) => command.is_for_programs(),
            Self::Mint(arg) => arg.of.signed.output.json,
            Self::Export(arg) => arg.output.json,
            Self::Replay(arg) => arg.output.json,
        }
    }

    /// Does it.
    pub fn execute(self) -> Result<()> {
        match self {
            Self::Deploy(arg) => deploy(&arg),
            Self::SetClasses(arg) => set_classes(&arg),
            Self::Register(arg) => register_hypernode(arg),
            Self::Admit(arg) => arg.signed.submit(&Action::admit(arg.member)),
            Self::OpenGenesis(arg) => open_genesis(&arg),
            Self::Stake(arg) => arg.signed.submit_of(arg.gwei, Action::bond),
            Self::Unstake(arg) => arg.signed.submit_of(arg.gwei, Action::unbond),
            Self::ComeBack(arg) => arg.submit(&Action::come_back()),
            Self::Withdraw(arg) => arg.submit(&Action::withdraw_stake()),
            Self::RegisterNode(arg) => register_node(arg),
            Self::CancelNode(arg) => arg.signed.submit(&Action::cancel_registration(arg.node)),
            Self::TopUp(NodeAmount { of, gwei }) => of
                .signed
                .submit_of(gwei, |amount| Action::top_up(of.node, amount)),
            Self::Leave(arg) => arg.signed.submit(&Action::request_exit(arg.node)),
            Self::Exit(OfProvider { of, provider }) => {
                of.signed.submit(&Action::exit(of.node, provider))
            }
            Self::Fund(arg) => arg.submit(Action::fund),
            Self::Claim(arg) => claim(&arg),
            Self::Offer(arg) => offer(&arg),
            Self::Reserve(arg) => reserve(&arg),
            Self::CancelReservation(arg) => arg
                .signed
                .submit(&Action::cancel_reservation(arg.reservation)),
            Self::WithdrawRent(arg) => arg.signed.submit(&Action::withdraw_rent(arg.account)),
            Self::Dispute(arg) => dispute(&arg),
            Self::CloseDispute(arg) => arg.signed.submit(&Action::close_dispute(Epoch(arg.epoch))),
            Self::HandOver(command) => command.execute(),
            Self::Convict(command) => command.execute(),
            Self::Upkeep(command) => command.execute(),
            Self::Mint(arg) => arg
                .of
                .signed
                .submit_of(arg.of.gwei, |amount| Action::mint(arg.to, amount)),
            Self::Export(arg) => export_chain(&arg),
            Self::Replay(arg) => replay_chain(&arg),
        }
    }
}

fn deploy(arg: &Deploy) -> Result<()> {
    let plan = Plan::load_new(&arg.plan)?;
    let genesis = arg.genesis.at(system_now())?;
    let signer = arg.key.open()?;
    let chain = arg.ledger.chain()?;
    let fee_cap = arg.ledger.fee_cap();
    let contract = setup::deploy(chain, signer.as_ref(), &plan, genesis, fee_cap)?;
    say_one(arg.output, "contract", contract)
}

fn set_classes(arg: &WithPlan) -> Result<()> {
    let plan = Plan::load(&arg.plan)?;
    let (ledger, signer) = arg.signed.open()?;
    let set = setup::set_classes(&ledger, signer.as_ref(), &plan)?;
    say_json(&json!({ "set": set }))
}

fn register_hypernode(arg: RegisterHyperNode) -> Result<()> {
    let identity = Identity::load(&arg.identity)?;
    let (ledger, signer) = arg.signed.open()?;
    let stake = ledger.contracts().stake;
    let message = possession_message(ledger.chain_id()?, stake, signer.address());
    let new = NewHyperNode {
        ed25519: HyperNodeId(identity.public_key()),
        proof: identity.sign(&message),
        operator: arg.operator,
        seed_end: arg.seed_end,
        endpoint: arg.endpoint,
        stake: arg.signed.amount(&ledger, arg.stake_gwei)?,
    };
    arg.signed
        .submit_to(&ledger, signer.as_ref(), &Action::register_hypernode(&new))
}

fn open_genesis(arg: &OpenGenesis) -> Result<()> {
    let plan = Plan::load_new(&arg.with.plan)?;
    let (ledger, signer) = arg.with.signed.open()?;
    setup::check_in_time(&ledger, ledger_now(&ledger)?)?;
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
    let (ledger, signer) = arg.signed.open()?;
    let collateral = arg.signed.amount(&ledger, arg.collateral_gwei)?;
    let new = NewNode {
        node: arg.node,
        class_digest,
        region: setup::region(&arg.region)?,
        endpoint: arg.endpoint,
        collateral,
    };
    arg.signed
        .submit_to(&ledger, signer.as_ref(), &Action::register_node(&new))
}

/// The leaf and its proof are computed from the board's state, as the configuration names it.
fn claim(arg: &Claim) -> Result<()> {
    let signer = arg.key.open()?;
    let (store, ledger, history) = arg.config.network()?;
    let found = rewards::claimable(&store, &ledger, history, &arg.provider)?;
    let found = found.with_context(|| {
        format!(
            "provider {}: nothing earned in a final epoch\nhint: `assay-bridge rewards` shows what waits",
            arg.provider
        )
    })?;
    let receipt = ledger.submit(signer.as_ref(), &Action::claim(&found.leaf, &found.proof))?;
    say_json(&json!({
        "action": "claim", "tx": receipt.tx_hash.to_string(), "gas": receipt.gas_used,
        "epoch": found.leaf.epoch,
    }))
}

fn offer(arg: &Offer) -> Result<()> {
    arg.of.signed.submit_of(arg.gwei, |price| {
        Action::offer(&NewOffer {
            node: arg.of.node,
            price,
            min_epochs: arg.min_epochs,
            max_epochs: arg.max_epochs,
            open: !arg.close,
        })
    })
}

/// Prepaid is what the offer asks for, not what would be paid at most.
fn reserve(arg: &Reserve) -> Result<()> {
    let (ledger, signer) = arg.of.signed.open()?;
    let node = arg.of.node;
    let price = ledger.offered_price(node)?;
    let price = price.with_context(|| format!("node {node}: nobody offers it"))?;
    let most = arg.of.signed.amount(&ledger, arg.gwei)?;
    ensure!(
        price <= most,
        "node {node}: offered for {} gwei an epoch, at most {} are to be paid",
        ledger.gwei()?.whole(price.0),
        arg.gwei
    );
    let action = Action::reserve(node, Epoch(arg.first), arg.epochs, price);
    arg.of.signed.submit_to(&ledger, signer.as_ref(), &action)
}

fn dispute(arg: &OfEpoch) -> Result<()> {
    let (ledger, signer) = arg.signed.open()?;
    let bond = ledger.genesis_parameters()?.dispute_bond;
    let action = Action::dispute(Epoch(arg.epoch), bond);
    arg.signed.submit_to(&ledger, signer.as_ref(), &action)
}

fn export_chain(arg: &Export) -> Result<()> {
    let chain = EmbeddedChain::open_existing(&arg.chain, arg.chain_id, SystemClock)?;
    let transactions = chain.export()?;
    let mut text = Vec::new();
    for tx in &transactions {
        writeln!(text, "{} {}", tx.time_ms, hex::encode(&tx.raw))?;
    }
    setup::write_atomically(&arg.out, &text)?;
    say_chain(&chain, transactions.len())
}

fn replay_chain(arg: &Replay) -> Result<()> {
    let config = arg.config.load()?;
    let chain_config = config.ledger.chain_config();
    let chain_config = chain_config
        .context("[ledger]: expected kind = \"embedded\", whose accounts a replay begins with")?;
    let is_new = !arg.chain.exists();
    expect_place(is_new, &arg.chain, "expected a new file, but it exists")?;
    let transactions = read_transactions(arg)?;
    // A chain begins when it is made, and time never runs backwards: made now, it would give every block today's time.
    let begun = transactions.first().map_or(0, |tx| tx.time_ms);
    let chain = EmbeddedChain::open(&arg.chain, &chain_config, move || begun)?;
    chain.replay(&transactions)?;
    say_chain(&chain, transactions.len())
}

fn read_transactions(arg: &Replay) -> Result<Vec<ExportedTx>> {
    let name = arg.from.display();
    let file = std::fs::File::open(&arg.from).with_context(|| name.to_string())?;
    let mut transactions = Vec::new();
    for (at, line) in std::io::BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| name.to_string())?;
        let parsed = line.split_once(' ').and_then(|(time, raw)| {
            Some(ExportedTx {
                time_ms: time.parse().ok()?,
                raw: hex::decode(raw).ok()?,
            })
        });
        let number = at.saturating_add(1);
        transactions.push(parsed.with_context(|| {
            format!("{name}, line {number}: expected a time in ms, a space and hexadecimal bytes")
        })?);
    }
    Ok(transactions)
}

fn say_chain(chain: &EmbeddedChain, transactions: usize) -> Result<()> {
    let block = chain.latest()?;
    say_json(&json!({
        "transactions": transactions, "height": block.number, "hash": block.hash.to_string(),
    }))
}
