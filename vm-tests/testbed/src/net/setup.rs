//! From nothing to a running network, in the order an operator would do it.

use super::free_port;
use super::process::{Daemon, Programs};
use super::scaler::ScalerNode;
use crate::TestCa;
use crate::boot_log::Variant;
use anyhow::{Context as _, Result, bail};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Address, Digest, HyperNodeId, NetworkId, Seed};
use assay_protocol::params::NetworkParams;
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a daemon may take to its first line.
const START: Duration = Duration::from_secs(20);
/// Longest wait for an epoch's root, or its being void.
const RESOLVED: Duration = Duration::from_secs(120);
/// 10^9 gwei: one unit of the ledger's currency.
const COIN_GWEI: u64 = 1_000_000_000;
/// Tokens of every account, in whole coins.
const TOKENS: u64 = 10_000;
/// What is put aside for the rewards of an epoch, in whole coins.
const REWARDS_PER_EPOCH: u64 = 10;
/// Chain id of embedded test ledgers.
const CHAIN_ID: u64 = 31_337;

/// Numbers of a small network.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Length of an epoch in milliseconds.
    pub epoch_ms: u64,
    /// Length of a slot in milliseconds.
    pub slot_ms: u64,
    /// Commits are taken until so long after an epoch's end.
    pub commit_ms: u64,
    /// Reveals until then.
    pub reveal_ms: u64,
    /// Votes until then.
    pub vote_ms: u64,
    /// From then on the epoch may be voided.
    pub void_after_ms: u64,
    /// See the network parameter.
    pub absent_epochs: u32,
    /// From deployment to the start of epoch 0.
    pub genesis_in_ms: u64,
    /// Epochs in which a root can be corrected.
    pub dispute_window_epochs: u64,
}

impl Plan {
    /// Short epochs, with room for slow machines in each phase.
    pub const SHORT: Self = Self {
        epoch_ms: 15_000,
        slot_ms: 500,
        commit_ms: 3_000,
        reveal_ms: 5_000,
        vote_ms: 7_500,
        void_after_ms: 12_000,
        absent_epochs: 0,
        genesis_in_ms: 12_000,
        dispute_window_epochs: 1,
    };

    fn toml(&self, class: &Path) -> String {
        format!(
            "epoch_ms = {}\nslot_ms = {}\ncommit_ms = {}\nreveal_ms = {}\nvote_ms = {}\nvoid_after_ms = {}\n\
             absent_epochs = {}\n\
             clock_skew_ms_max = {}\npanel_min = 3\noperator_cap_bps = 4000\nsystemic_min_providers = 0\n\
             control_probes = 2\npersistence = [1, 1]\nreaudit_seats = 0\nregion_epochs = 2\n\
             seed_chain_links = 4096\ndispute_window_epochs = {}\nclasses = [{:?}]\n\
             [ledger]\nperiod_epochs = 1\nchange_delay_epochs = 1\n",
            self.epoch_ms,
            self.slot_ms,
            self.commit_ms,
            self.reveal_ms,
            self.vote_ms,
            self.void_after_ms,
            self.absent_epochs,
            self.slot_ms / 2,
            self.dispute_window_epochs,
            class,
        )
    }
}

/// A HyperNode of the network.
pub struct HyperNode {
    /// Name for people.
    pub label: String,
    /// Its id.
    pub id: HyperNodeId,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its process.
    pub daemon: Option<Daemon>,
    dir: PathBuf,
}

/// Everything of one network; ends all processes when dropped.
pub struct LocalNetwork {
    /// The product's programs.
    pub programs: Programs,
    /// The folder of everything.
    pub dir: PathBuf,
    /// Bridge and embedded ledger.
    pub bridge: Daemon,
    /// URL of the ledger.
    pub rpc: String,
    /// The contract.
    pub contract: String,
    /// Network parameters.
    pub params: NetworkParams,
    /// Vendor roots.
    pub vendors: TrustBundle,
    /// HyperNodes.
    pub hypernodes: Vec<HyperNode>,
    /// ScalerNodes.
    pub scalers: Vec<ScalerNode>,
    board: (u16, Digest),
}

#[derive(Deserialize)]
struct Material {
    ed25519: HyperNodeId,
    seed_end: Seed,
}

/// An account of the test network.
struct Account {
    key: PathBuf,
    address: Address,
}

impl LocalNetwork {
    /// Makes ledger, HyperNodes' stake and providers' TPMs; opens genesis. `stakes` are in whole coins.
    pub fn create(
        programs: Programs,
        dir: &Path,
        plan: Plan,
        stakes: &[u64],
        scalers: &[(&str, Variant)],
        mut progress: impl FnMut(&str),
    ) -> Result<Self> {
        fs::create_dir_all(dir.join("keys"))?;
        fs::create_dir_all(dir.join("logs"))?;
        let dir = dir.canonicalize()?;
        let class = dir.join("demo.toml");
        fs::write(&class, assay_hw_profiles::DEMO_CLASS)?;
        progress("software TPMs: EK certificates from a local test CA");
        let ca = TestCa::create(&dir.join("ca"))?;
        let vendors = vendors(&ca)?;
        let scalers = scalers
            .iter()
            .map(|(label, variant)| {
                let provider = account(&programs, &dir, &format!("provider-{label}"))?;
                let scaler_dir = dir.join("scalers").join(label);
                ScalerNode::new(&scaler_dir, &ca, label, *variant, provider.address)
            })
            .collect::<Result<Vec<_>>>()?;
        progress("embedded ledger: contracts deployed, stake bonded");
        let deployer = account(&programs, &dir, "deployer")?;
        // One more than are there at genesis, for who may join.
        let members = (1..=stakes.len().saturating_add(1))
            .map(|n| account(&programs, &dir, &label(n)))
            .collect::<Result<Vec<_>>>()?;
        let (bridge, rpc, board) = start_bridge(&programs, &dir, &class)?;
        let plan_file = dir.join("plan.toml");
        fs::write(&plan_file, plan.toml(&class))?;
        let contract = deploy(&programs, &rpc, &deployer, &plan_file, plan.genesis_in_ms)?;
        mint(&programs, &dir, &rpc, &deployer, &contract)?;
        let mut hypernodes = Vec::new();
        for (n, (account, stake)) in members.iter().zip(stakes).enumerate() {
            let made = register(&programs, &dir, &rpc, &contract, account, *stake, n + 1)?;
            hypernodes.push(made);
        }
        let params = open_genesis(&programs, &dir, &rpc, &deployer, &contract, &plan_file)?;
        let network = Self {
            programs,
            dir,
            bridge,
            rpc,
            contract,
            params,
            vendors,
            hypernodes,
            scalers,
            board,
        };
        network.write_hypernode_configs()?;
        Ok(network)
    }

    /// Points all HyperNodes that are not started yet at another board.
    pub fn use_board(&mut self, port: u16, key: Digest) -> Result<()> {
        self.board = (port, key);
        self.write_hypernode_configs()
    }

    /// The network's id.
    pub fn id(&self) -> NetworkId {
        self.params.network_id()
    }

    /// Writes what an auditor pins.
    pub fn write_trust(&self, out: &Path) -> Result<()> {
        let (config, vendors) = (self.bridge_config(), self.dir.join("vendors.json"));
        let args = [
            "trust",
            "--config",
            text(&config)?,
            "--vendors",
            text(&vendors)?,
            "--out",
            text(out)?,
        ];
        self.programs.run("assay-bridge", &args).map(drop)
    }

    /// Funds rewards, boots the ScalerNodes and registers them with `collateral` whole coins each.
    pub fn start_scalers(&mut self, collateral: u64) -> Result<()> {
        let network = self.id();
        let roster: Vec<HyperNodeId> = self.params.roster.iter().map(|entry| entry.id).collect();
        let deployer = self.key("deployer");
        let each = gwei(REWARDS_PER_EPOCH);
        self.ledger_command("fund", &deployer, &["--gwei", &each, "--epochs", "100"])?;
        for at in 0..self.scalers.len() {
            let Some(scaler) = self.scalers.get_mut(at) else {
                break;
            };
            let node = scaler.boot(&self.programs, network, &roster)?.to_string();
            let key = self
                .dir
                .join("keys")
                .join(format!("provider-{}", scaler.label));
            let (endpoint, collateral) = (scaler.endpoint.clone(), gwei(collateral));
            let class = self.params.classes.first().context("no class")?.to_string();
            let args = [
                "--node",
                &node,
                "--class",
                &class,
                "--endpoint",
                &endpoint,
                "--collateral-gwei",
                &collateral,
            ];
            self.ledger_command("register-node", &key, &args)?;
        }
        if super::now() >= self.params.genesis_unix_ms {
            bail!(
                "the nodes were registered after epoch 0 began, so it confirms none\nhint: a longer genesis_in_ms"
            );
        }
        Ok(())
    }

    /// Registers one more HyperNode with a stake in whole coins and starts it; one only.
    pub fn join(&mut self, stake: u64) -> Result<()> {
        let number = self.hypernodes.len().saturating_add(1);
        let key = self.key(&label(number));
        let address = fs::read_to_string(key.with_extension("address"))?;
        let account = Account {
            key,
            address: address.trim().parse()?,
        };
        let (rpc, contract) = (&self.rpc, &self.contract);
        let made = register(
            &self.programs,
            &self.dir,
            rpc,
            contract,
            &account,
            stake,
            number,
        )?;
        self.hypernodes.push(made);
        self.write_hypernode_configs()?;
        self.start_hypernodes()
    }

    /// Starts all HyperNodes that do not run.
    pub fn start_hypernodes(&mut self) -> Result<()> {
        let program = self.programs.path("assay-hypernode")?;
        let stopped = |hypernode: &&mut HyperNode| hypernode.daemon.is_none();
        for hypernode in self.hypernodes.iter_mut().filter(stopped) {
            let log = self
                .dir
                .join("logs")
                .join(format!("{}.log", hypernode.label));
            let args = ["run", "--config", text(&hypernode.config)?];
            let mut daemon = Daemon::start(&hypernode.label, program.clone(), &args, &log)?;
            daemon.wait_for("listening on", START)?;
            hypernode.daemon = Some(daemon);
        }
        Ok(())
    }

    /// Kills every HyperNode that runs: an export wants its HyperNode's stores for itself.
    pub fn kill_hypernodes(&mut self) {
        let running = self.hypernodes.iter_mut();
        running
            .filter_map(|h| h.daemon.as_mut())
            .for_each(Daemon::kill9);
    }

    /// Runs one of the bridge's `ledger` commands against this network's ledger.
    pub fn ledger_command(&self, command: &str, key: &Path, more: &[&str]) -> Result<String> {
        let mut args = vec![
            "ledger",
            command,
            "--rpc",
            &self.rpc,
            "--contract",
            &self.contract,
            "--key",
            text(key)?,
        ];
        args.extend(more);
        self.programs.run("assay-bridge", &args)
    }

    /// What the ledger says, as JSON.
    pub fn status(&self) -> Result<serde_json::Value> {
        let args = [
            "status",
            "--rpc",
            &self.rpc,
            "--contract",
            &self.contract,
            "--json",
        ];
        Ok(serde_json::from_str(
            &self.programs.run("assay-bridge", &args)?,
        )?)
    }

    /// What became of every node in each posted epoch, by the bridge's board.
    pub fn verdicts(&self) -> Result<Vec<serde_json::Value>> {
        self.rows("verdicts")
    }

    /// What each provider has earned.
    pub fn rewards(&self) -> Result<Vec<serde_json::Value>> {
        self.rows("rewards")
    }

    fn rows(&self, name: &str) -> Result<Vec<serde_json::Value>> {
        let config = self.bridge_config();
        let config = config.to_str().context("path is not text")?;
        let args = [name, "--config", config, "--json"];
        let said = self.programs.run("assay-bridge", &args)?;
        let mut said: serde_json::Value = serde_json::from_str(&said)?;
        Ok(serde_json::from_value(said[name].take())?)
    }

    /// Waits for the ledger to resolve an epoch.
    pub fn wait_for_epoch(&self, epoch: u64) -> Result<()> {
        let deadline = Instant::now() + RESOLVED;
        while self.status()?["next_epoch"].as_u64() <= Some(epoch) {
            if Instant::now() >= deadline {
                bail!("epoch {epoch} is not resolved within {RESOLVED:?}");
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    }

    /// The bridge's configuration file.
    pub fn bridge_config(&self) -> PathBuf {
        self.dir.join("bridge.toml")
    }

    fn key(&self, name: &str) -> PathBuf {
        self.dir.join("keys").join(name)
    }

    fn write_hypernode_configs(&self) -> Result<()> {
        let class = self.dir.join("demo.toml");
        let vendors = self.dir.join("vendors.json");
        fs::write(&vendors, serde_json::to_string_pretty(&self.vendors)?)?;
        for hypernode in &self.hypernodes {
            let dir = &hypernode.dir;
            let port = fs::read_to_string(dir.join("port"))?;
            let text = format!(
                "key = {:?}\nledger_key = {:?}\nsecrets = {:?}\nnetwork = {:?}\nvendors = {vendors:?}\nclasses = [{class:?}]\n\
                 state_dir = {:?}\nlisten = \"127.0.0.1:{port}\"\nledger_url = {:?}\n\
                 [bridge]\naddress = \"127.0.0.1:{}\"\nkey = \"{}\"\n",
                dir.join("key"),
                self.key(&hypernode.label),
                dir.join("secrets"),
                self.dir.join("network.json"),
                dir.join("state"),
                self.rpc,
                self.board.0,
                self.board.1,
            );
            fs::write(&hypernode.config, text)?;
        }
        Ok(())
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not text", path.display()))
}

fn gwei(coins: u64) -> String {
    (coins * COIN_GWEI).to_string()
}

/// Name of a HyperNode, of its folder and of its account's key.
fn label(number: usize) -> String {
    format!("hypernode-{number}")
}

/// Makes a ledger key and returns its account; every one is funded at genesis.
fn account(programs: &Programs, dir: &Path, name: &str) -> Result<Account> {
    let key = dir.join("keys").join(name);
    let said = programs.run("assay-bridge", &["keygen", "ledger", "--out", text(&key)?])?;
    let address: Address = said.trim().parse()?;
    fs::write(
        dir.join("keys").join(format!("{name}.address")),
        address.to_string(),
    )?;
    Ok(Account { key, address })
}

fn vendors(ca: &TestCa) -> Result<TrustBundle> {
    let certificate = ca.root_der()?;
    let root = VendorRoot {
        name: "local test CA for software TPMs".into(),
        kind: RootKind::Test,
        ek_type: EkType::Rsa2048,
        firmware_min: 0,
        sha256: digest(&[&certificate]),
        certificate,
        intermediates: ca.intermediates_der()?.into_iter().map(HexBytes).collect(),
    };
    Ok(TrustBundle {
        allowed_kinds: vec![RootKind::Test],
        roots: vec![root],
    })
}

fn start_bridge(
    programs: &Programs,
    dir: &Path,
    class: &Path,
) -> Result<(Daemon, String, (u16, Digest))> {
    account(programs, dir, "poster")?;
    let board_key = dir.join("keys").join("board");
    let said = programs.run(
        "assay-bridge",
        &["keygen", "board", "--out", text(&board_key)?],
    )?;
    let board_id: Digest = said.trim().parse()?;
    let (board_port, rpc_port) = (free_port()?, free_port()?);
    let mut funded = String::new();
    for address in addresses(dir)? {
        let balance = gwei(1_000);
        funded += &format!("  {{ address = \"{address}\", balance_gwei = {balance} }},\n");
    }
    let config = dir.join("bridge.toml");
    let text_of_config = format!(
        "network = \"network.json\"\nclasses = [{class:?}]\nstate_dir = \"bridge\"\nledger_key = \"keys/poster\"\n\
         [board]\nlisten = \"127.0.0.1:{board_port}\"\nkey = \"keys/board\"\n\
         [ledger]\nkind = \"embedded\"\npath = \"chain.db\"\nchain_id = {CHAIN_ID}\n\
         listen = \"127.0.0.1:{rpc_port}\"\naccounts = [\n{funded}]\n"
    );
    fs::write(&config, text_of_config)?;
    let program = programs.path("assay-bridge")?;
    let log = dir.join("logs").join("bridge.log");
    let mut bridge = Daemon::start(
        "bridge",
        program,
        &["run", "--config", text(&config)?],
        &log,
    )?;
    bridge.wait_for("setup", START)?;
    Ok((
        bridge,
        format!("http://127.0.0.1:{rpc_port}"),
        (board_port, board_id),
    ))
}

fn deploy(
    programs: &Programs,
    rpc: &str,
    deployer: &Account,
    plan: &Path,
    genesis_in_ms: u64,
) -> Result<String> {
    let in_ms = genesis_in_ms.to_string();
    let args = [
        "ledger",
        "deploy",
        "--rpc",
        rpc,
        "--key",
        text(&deployer.key)?,
        "--plan",
        text(plan)?,
        "--genesis-in-ms",
        &in_ms,
    ];
    Ok(programs.run("assay-bridge", &args)?.trim().to_owned())
}

/// Gives every account of the network its tokens; they are worthless ones.
fn mint(
    programs: &Programs,
    dir: &Path,
    rpc: &str,
    deployer: &Account,
    contract: &str,
) -> Result<()> {
    let (key, tokens) = (text(&deployer.key)?, gwei(TOKENS));
    for address in addresses(dir)? {
        let to = ["--to", &address, "--gwei", &tokens];
        let mut args = vec!["ledger", "mint", "--rpc", rpc, "--key", key];
        args.extend(["--contract", contract]);
        args.extend(to);
        programs.run("assay-bridge", &args)?;
    }
    Ok(())
}

/// The accounts that were made so far.
fn addresses(dir: &Path) -> Result<Vec<String>> {
    let mut addresses = Vec::new();
    for entry in fs::read_dir(dir.join("keys"))? {
        let path = entry?.path();
        let is_address = path
            .extension()
            .is_some_and(|extension| extension == "address");
        if is_address {
            addresses.push(fs::read_to_string(&path)?);
        }
    }
    Ok(addresses)
}

/// Closes the roster; returns the network's parameters.
fn open_genesis(
    programs: &Programs,
    dir: &Path,
    rpc: &str,
    deployer: &Account,
    contract: &str,
    plan: &Path,
) -> Result<NetworkParams> {
    let (key, plan) = (text(&deployer.key)?, text(plan)?);
    let file = dir.join("network.json");
    let out = text(&file)?;
    let args = [
        "ledger",
        "open-genesis",
        "--rpc",
        rpc,
        "--key",
        key,
        "--contract",
        contract,
        "--plan",
        plan,
        "--out",
        out,
    ];
    programs.run("assay-bridge", &args)?;
    Ok(serde_json::from_str(&fs::read_to_string(&file)?)?)
}

fn register(
    programs: &Programs,
    dir: &Path,
    rpc: &str,
    contract: &str,
    account: &Account,
    stake: u64,
    number: usize,
) -> Result<HyperNode> {
    let label = label(number);
    let own = dir.join("hypernodes").join(&label);
    fs::create_dir_all(&own)?;
    let (key, secrets) = (own.join("key"), own.join("secrets"));
    let made = programs.run(
        "assay-hypernode",
        &[
            "init",
            "--key",
            text(&key)?,
            "--secrets",
            text(&secrets)?,
            "--seed-chain-links",
            "4096",
        ],
    )?;
    let material: Material = serde_json::from_str(&made)?;
    let port = free_port()?;
    fs::write(own.join("port"), port.to_string())?;
    let operator = digest(&[b"operator of ", label.as_bytes()]).to_string();
    let seed_end = material.seed_end.to_string();
    let (endpoint, stake) = (format!("127.0.0.1:{port}"), gwei(stake));
    let args = [
        "ledger",
        "register",
        "--rpc",
        rpc,
        "--contract",
        contract,
        "--key",
        text(&account.key)?,
        "--identity",
        text(&key)?,
        "--operator",
        &operator,
        "--seed-end",
        &seed_end,
        "--endpoint",
        &endpoint,
        "--stake-gwei",
        &stake,
    ];
    programs.run("assay-bridge", &args)?;
    let config = own.join("hypernode.toml");
    Ok(HyperNode {
        label,
        id: material.ed25519,
        config,
        daemon: None,
        dir: own,
    })
}
