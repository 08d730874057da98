//! The bridge's configuration and the network plan: strict TOML, paths relative to the file's folder.

mod key;

pub use key::{KeySource, KeystoreSource, SignerSource};

use assay_ledger::Token;
use assay_ledger::embedded::ChainConfig;
use assay_ledger::rpc::RpcOptions;
use assay_protocol::amount::DECIMALS_USUAL;
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Address, Bps, Stake};
use assay_protocol::params::{NetworkParams, ParamsError};
use assay_protocol::settings;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::WEI_PER_GWEI;
use crate::outbox::Settings;
use crate::outbox::machine::Policy;

/// Longest configuration, plan or network file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a configuration is refused; exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error(
        "{path}: {source}\nhint: check the path; relative paths start at the configuration's folder"
    )]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// What is at a path is not what it has to be, or is there already.
    #[error("{path}: {why}")]
    Place {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Longer than the cap.
    #[error("{path}: {actual} bytes, at most {FILE_BYTES_MAX} allowed")]
    Oversize {
        /// Which file.
        path: PathBuf,
        /// Its length.
        actual: u64,
    },
    /// An unknown, missing or mistyped key.
    #[error("{path}: {why}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Parameters that contradict themselves.
    #[error("{path}")]
    Params {
        /// Which file.
        path: PathBuf,
        /// The contradiction.
        source: ParamsError,
    },
    /// A plan that the contracts would refuse.
    #[error("plan: {key}: expected {expected}, got {actual}")]
    Rule {
        /// Which key.
        key: String,
        /// What it should be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// A plan, or a plan with its roster, that contradicts itself.
    #[error("plan and roster")]
    Parameters(#[source] ParamsError),
    /// One void epoch would take all that follow along.
    #[error(
        "{path}: void_after_ms: expected less than epoch_ms ({epoch_ms}), got {void_after_ms}\n\
         hint: reports about an epoch are due when it ends, and are made once the one before is resolved; leave as much \
         time between the two as the chain takes to make a block final"
    )]
    Pace {
        /// Which file.
        path: PathBuf,
        /// Length of an epoch.
        epoch_ms: u64,
        /// Time after its end from which anybody may void it.
        void_after_ms: u64,
    },
    /// A hardware class is refused.
    #[error("{path}")]
    Class {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: assay_hw_profiles::LoadError,
    },
}

/// `bridge.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The network's parameters (JSON); written by `open-genesis`.
    pub network: PathBuf,
    /// Hardware class files; together exactly the network's classes.
    pub classes: Vec<PathBuf>,
    /// Where the board and the outbox are kept.
    pub state_dir: PathBuf,
    /// The secp256k1 key that posts, or who holds it.
    pub ledger_key: KeySource,
    /// The board.
    pub board: BoardSection,
    /// The ledger.
    pub ledger: LedgerSection,
    /// How transactions are sent.
    #[serde(default)]
    pub posting: PostingSection,
    /// Another state than a file in `state_dir`.
    pub state: Option<StateSection>,
    /// Where Prometheus reads.
    pub metrics: Option<MetricsSection>,
}

/// The `[posting]` section.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostingSection {
    /// Most that is paid for a unit of gas.
    pub max_fee_gwei: u64,
    /// Time in no block after which more is offered.
    pub replace_after_ms: u64,
    /// Time in no block after which the same bytes are sent again.
    pub resend_after_ms: u64,
    /// Transactions in blocks that are not final, at most.
    pub unfinal_max: usize,
    /// Pause between two looks at the ledger.
    pub poll_ms: u64,
    /// Whether faults that the bridge sees are proven to the ledger; otherwise they are told.
    pub convict: bool,
}

impl Default for PostingSection {
    fn default() -> Self {
        Self {
            max_fee_gwei: 1_000,
            replace_after_ms: 60_000,
            resend_after_ms: 10_000,
            unfinal_max: 64,
            poll_ms: 200,
            convict: false,
        }
    }
}

impl PostingSection {
    /// For the outbox.
    pub fn settings(&self) -> Settings {
        Settings {
            policy: Policy {
                fee_cap: u128::from(self.max_fee_gwei).saturating_mul(WEI_PER_GWEI),
                replace_after_ms: self.replace_after_ms,
                resend_after_ms: self.resend_after_ms,
            },
            unfinal_max: self.unfinal_max.max(1),
        }
    }
}

/// The `[state]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSection {
    /// `postgres://user@host/database`, without a password.
    pub url: String,
    /// The password's file, mode 0600.
    pub password_file: Option<PathBuf>,
    /// Root certificates (PEM) of the database: TLS. A database on another machine needs them.
    pub ca: Option<PathBuf>,
}

/// The `[metrics]` section.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSection {
    /// Address and port; loopback only.
    pub listen: SocketAddr,
}

/// The `[board]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardSection {
    /// Address and port.
    pub listen: SocketAddr,
    /// The Ed25519 key of the TLS server; HyperNodes pin it.
    pub key: PathBuf,
}

/// The `[ledger]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum LedgerSection {
    /// This process owns a chain on disk and serves it on loopback.
    Embedded {
        /// The chain's file.
        path: PathBuf,
        /// Chain id.
        chain_id: u64,
        /// Where JSON-RPC is served; loopback only.
        listen: SocketAddr,
        /// Balances at the start of the chain.
        accounts: Vec<Account>,
    },
    /// Any EVM node by URL.
    Rpc {
        /// `http://…` or `https://…`.
        url: String,
        /// Roots that its certificate must lead to (PEM); without, Mozilla's.
        ca: Option<PathBuf>,
        /// Blocks on top of a final one, for chains without the tag `finalized`.
        confirmations: Option<u64>,
    },
}

/// An account of a fresh chain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its address.
    pub address: Address,
    /// Its balance in gwei.
    pub balance_gwei: u64,
}

/// What a network operator decides before genesis; the rest of the parameters follows from the ledger.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are those of NetworkParams")]
pub struct Plan {
    pub epoch_ms: u64,
    pub slot_ms: u64,
    pub clock_skew_ms_max: u64,
    pub panel_min: u32,
    pub operator_cap_bps: Bps,
    pub systemic_min_providers: u32,
    pub control_probes: u32,
    pub persistence: (u32, u32),
    pub reaudit_seats: u32,
    pub region_epochs: u64,
    pub seed_chain_links: u64,
    pub commit_ms: u64,
    pub reveal_ms: u64,
    pub vote_ms: u64,
    pub void_after_ms: u64,
    pub absent_epochs: u32,
    /// Epochs between the posting of a root and its finality.
    pub dispute_window_epochs: u64,
    /// Hardware class files.
    pub classes: Vec<PathBuf>,
    /// Roles, windows and money of the ledger.
    #[serde(default)]
    pub ledger: LedgerPlan,
}

/// The `[ledger]` section of a plan: what the contracts are deployed with beside the network's parameters. Windows are in
/// epochs, rounded up to what the contracts ask for at least.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerPlan {
    /// An ERC-20 token; without, a worthless one for tests is deployed.
    pub token: Option<Address>,
    /// Decimals of the token, see [`assay_protocol::amount`].
    pub token_decimals: u8,
    /// Receives what slashes and lost bonds bring; without, the deployer.
    pub treasury: Option<Address>,
    /// Sets classes and budgets; without, the deployer.
    pub governor: Option<Address>,
    /// May pause new risks; without, the deployer.
    pub guardian: Option<Address>,
    /// How much longer a dispute keeps a root open.
    pub dispute_extension_epochs: u64,
    /// What a dispute costs when no correction comes of it.
    pub dispute_bond_gwei: u64,
    /// Least stake of a HyperNode.
    pub min_stake_gwei: u64,
    /// How many epochs ahead a change of stake counts.
    pub active_after_epochs: u64,
    /// How long stake that leaves can still be slashed.
    pub unbonding_epochs: u64,
    /// Share of a slashed stake that goes to who proved the fault.
    pub reporter_bps: Bps,
    /// How long a registration waits for its confirmation.
    pub provisional_epochs: u64,
    /// From an announced change of owner, TPM or processors until it counts.
    pub change_delay_epochs: u64,
    /// A suspension of this length ends in removal.
    pub remove_after_epochs: u64,
    /// Without any leaf for so long, a node that left gets its collateral.
    pub silence_epochs: u64,
    /// A node whose collateral falls below this share of the least is suspended.
    pub remove_below_bps: Bps,
    /// Most that can be taken of a pledge in all.
    pub slash_cap_bps: Bps,
    /// Share of a slash that goes to the Builders who had reserved the node.
    pub builder_share_bps: Bps,
    /// Share of a billing period's slots that are paid for without a decision.
    pub undecided_ppm: u32,
    /// Epochs in a billing period.
    pub period_epochs: u32,
    /// How far ahead a reservation may begin.
    pub max_ahead_epochs: u32,
    /// Epochs after the current one that a cancellation cannot free.
    pub notice_epochs: u32,
    /// Epochs after a reservation's end from which unsettled rent goes back.
    pub refund_epochs: u32,
    /// Credits: below this availability in ppm, this share of the rent in basis points.
    pub credits: Vec<(u32, Bps)>,
}

impl LedgerPlan {
    /// The token that it asks for.
    pub fn token(&self) -> Token {
        let decimals = self.token_decimals;
        self.token.map_or(Token::Test { decimals }, Token::At)
    }
}

impl Default for LedgerPlan {
    fn default() -> Self {
        Self {
            token: None,
            token_decimals: DECIMALS_USUAL,
            treasury: None,
            governor: None,
            guardian: None,
            dispute_extension_epochs: 1,
            dispute_bond_gwei: 10_000_000_000,
            min_stake_gwei: 1_000_000_000,
            active_after_epochs: 2,
            unbonding_epochs: 168,
            reporter_bps: Bps(2_000),
            provisional_epochs: 72,
            change_delay_epochs: 48,
            remove_after_epochs: 168,
            silence_epochs: 240,
            remove_below_bps: Bps(3_000),
            slash_cap_bps: Bps(9_000),
            builder_share_bps: Bps(2_500),
            undecided_ppm: 100_000,
            period_epochs: 24,
            max_ahead_epochs: 720,
            notice_epochs: 2,
            refund_epochs: 72,
            credits: vec![
                (995_000, Bps(1_000)),
                (990_000, Bps(3_000)),
                (950_000, Bps(10_000)),
            ],
        }
    }
}

impl Config {
    /// Reads a configuration; its paths become absolute or relative to the working folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml_file(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let rebase = |p: &mut PathBuf| *p = base.join(&*p);
        rebase(&mut config.network);
        rebase(&mut config.state_dir);
        match &mut config.ledger_key {
            KeySource::File(path) => rebase(path),
            KeySource::Keystore(source) => {
                rebase(&mut source.keystore);
                rebase(&mut source.password_file);
            }
            KeySource::Signer(source) => source.ca.iter_mut().for_each(rebase),
        }
        rebase(&mut config.board.key);
        config.classes.iter_mut().for_each(rebase);
        match &mut config.ledger {
            LedgerSection::Embedded { path, .. } => rebase(path),
            LedgerSection::Rpc { ca, .. } => ca.iter_mut().for_each(rebase),
        }
        if let Some(state) = &mut config.state {
            let files = [&mut state.password_file, &mut state.ca];
            files.into_iter().flatten().for_each(rebase);
        }
        Ok(config)
    }

    /// The network's parameters, validated.
    pub fn params(&self) -> Result<NetworkParams, ConfigError> {
        params_file(&self.network)
    }

    /// The hardware classes.
    pub fn load_classes(&self) -> Result<Vec<ValidClass>, ConfigError> {
        load_classes(&self.classes)
    }
}

impl LedgerSection {
    /// Where the ledger answers JSON-RPC.
    pub fn url(&self) -> String {
        match self {
            Self::Embedded { listen, .. } => format!("http://{listen}"),
            Self::Rpc { url, .. } => url.clone(),
        }
    }

    /// The identity of an embedded chain; `None` for any other.
    pub fn chain_config(&self) -> Option<ChainConfig> {
        match self {
            Self::Embedded {
                chain_id, accounts, ..
            } => Some(chain_config(*chain_id, accounts)),
            Self::Rpc { .. } => None,
        }
    }

    /// How the ledger is reached by URL.
    pub fn rpc_options(&self) -> RpcOptions {
        match self {
            Self::Embedded { .. } => RpcOptions::default(),
            Self::Rpc {
                ca, confirmations, ..
            } => RpcOptions {
                ca: ca.clone(),
                confirmations: *confirmations,
                ..RpcOptions::default()
            },
        }
    }
}

/// The identity of an embedded chain with these accounts.
pub fn chain_config(chain_id: u64, accounts: &[Account]) -> ChainConfig {
    let balance = |a: &Account| (a.address, Stake(u128::from(a.balance_gwei) * WEI_PER_GWEI));
    ChainConfig {
        chain_id,
        balances: accounts.iter().map(balance).collect(),
    }
}

impl Plan {
    /// Reads a plan.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut plan: Self = toml_file(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        plan.classes
            .iter_mut()
            .for_each(|class| *class = base.join(&*class));
        Ok(plan)
    }

    /// The same, of a network that is to be made: refuses one that would not survive its first void epoch.
    pub fn load_new(path: &Path) -> Result<Self, ConfigError> {
        let plan = Self::load(path)?;
        let (epoch_ms, void_after_ms) = (plan.epoch_ms, plan.void_after_ms);
        match void_after_ms < epoch_ms {
            true => Ok(plan),
            false => Err(ConfigError::Pace {
                path: path.to_owned(),
                epoch_ms,
                void_after_ms,
            }),
        }
    }

    /// The hardware classes.
    pub fn load_classes(&self) -> Result<Vec<ValidClass>, ConfigError> {
        load_classes(&self.classes)
    }
}

/// Reads and validates network parameters (JSON).
pub fn params_file(path: &Path) -> Result<NetworkParams, ConfigError> {
    let params: NetworkParams = json_file(path)?;
    let invalid = |source| ConfigError::Params {
        path: path.to_owned(),
        source,
    };
    params.validate().map_err(invalid)?;
    Ok(params)
}

/// Reads JSON that somebody wrote for this program or another one.
pub fn json_file<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let misread = |e: serde_json::Error| syntax(path, settings::without_values(&e.to_string()));
    serde_json::from_str(&text_file(path)?).map_err(misread)
}

/// Refuses a path because of what is there.
pub fn expect_place(holds: bool, path: &Path, why: &str) -> Result<(), ConfigError> {
    let (path, why) = (path.to_owned(), why.to_owned());
    match holds {
        true => Ok(()),
        false => Err(ConfigError::Place { path, why }),
    }
}

fn load_classes(paths: &[PathBuf]) -> Result<Vec<ValidClass>, ConfigError> {
    let load = |path: &PathBuf| {
        let refused = |source| ConfigError::Class {
            path: path.clone(),
            source,
        };
        assay_hw_profiles::load(path).map_err(refused)
    };
    paths.iter().map(load).collect()
}

fn toml_file<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    settings::from_toml(&text_file(path)?).map_err(|e| syntax(path, e.to_string()))
}

fn syntax(path: &Path, why: String) -> ConfigError {
    let path = path.to_owned();
    ConfigError::Syntax { path, why }
}

fn text_file(path: &Path) -> Result<String, ConfigError> {
    let file = |source| ConfigError::File {
        path: path.to_owned(),
        source,
    };
    let actual = std::fs::metadata(path).map_err(file)?.len();
    if actual > FILE_BYTES_MAX {
        return Err(ConfigError::Oversize {
            path: path.to_owned(),
            actual,
        });
    }
    std::fs::read_to_string(path).map_err(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
network = "network.json"
classes = ["demo.toml"]
state_dir = "bridge"
ledger_key = "poster.key"
[board]
listen = "127.0.0.1:7800"
key = "board.key"
[ledger]
kind = "embedded"
path = "chain.db"
chain_id = 31337
listen = "127.0.0.1:8545"
accounts = [{ address = "1111111111111111111111111111111111111111", balance_gwei = 5 }]
"#;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bridge.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn paths_start_at_the_configuration_and_gwei_become_wei() {
        let config = load(TEXT).unwrap();
        assert!(config.network.is_absolute() && config.network.ends_with("network.json"));
        let LedgerSection::Embedded { path, accounts, .. } = &config.ledger else {
            panic!("embedded expected")
        };
        assert!(path.is_absolute());
        assert_eq!(
            chain_config(1, accounts).balances[0].1,
            Stake(5_000_000_000)
        );
    }

    #[test]
    fn each_kind_of_key_and_every_section_is_read_and_their_paths_rebased() {
        let key = |value: &str| TEXT.replace("\"poster.key\"", value);
        let keystore = key("{ keystore = \"k.json\", password_file = \"p\" }");
        let KeySource::Keystore(source) = load(&keystore).unwrap().ledger_key else {
            panic!("a keystore expected")
        };
        assert!(source.keystore.is_absolute() && source.password_file.is_absolute());
        let address = "11".repeat(20);
        let signer = format!("{{ signer = \"https://s\", address = \"{address}\", ca = \"ca\" }}");
        let KeySource::Signer(source) = load(&key(&signer)).unwrap().ledger_key else {
            panic!("a signer expected")
        };
        assert!(source.ca.unwrap().is_absolute());
        let error = load(&key("{ keystore = \"k.json\" }")).unwrap_err();
        assert!(error.to_string().contains("ledger_key"), "{error}");

        let more = "[posting]\nmax_fee_gwei = 7\n[state]\nurl = \"postgres:///x\"\npassword_file = \"p\"\nca = \"ca\"\n\
                    [metrics]\nlisten = \"127.0.0.1:9464\"\n";
        let config = load(&format!("{TEXT}{more}")).unwrap();
        assert_eq!(config.posting.settings().policy.fee_cap, 7_000_000_000);
        let state = config.state.unwrap();
        assert!(state.password_file.unwrap().is_absolute() && state.ca.unwrap().is_absolute());
        assert!(config.metrics.is_some());
        let zero = load(&format!("{TEXT}[posting]\nunfinal_max = 0\n")).unwrap();
        assert_eq!(zero.posting.settings().unfinal_max, 1);
    }

    #[test]
    fn unknown_missing_and_mistyped_keys_are_named() {
        let cases = [
            (
                "chain_id = 31337",
                "chain_id = 31337\nsurprise = 1",
                "surprise",
            ),
            (
                "kind = \"embedded\"",
                "kind = \"paper\"",
                "expected `embedded` or `rpc`",
            ),
            ("state_dir = \"bridge\"\n", "", "state_dir"),
            (
                "1111111111111111111111111111111111111111",
                "11",
                "Address: expected 20 bytes",
            ),
            ("127.0.0.1:7800", "nowhere", "listen"),
        ];
        for (from, to, name) in cases {
            let error = load(&TEXT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
        let secret = "http://u:SECRET@h/SECRET";
        let signer = format!("ledger_key = {{ signer = \"{secret}\", address = \"11\" }}");
        for (from, to, name) in [
            (
                "ledger_key = \"poster.key\"",
                signer.as_str(),
                "ledger_key: Address: expected 20 bytes",
            ),
            (
                "31337",
                &format!("\"{secret}\""),
                "invalid type: string, expected u64",
            ),
            ("\"bridge\"", &format!("\"{secret}"), "line 4"),
            (
                "state_dir = \"bridge\"",
                &format!("state_dir = \"bridge\"\nsurprise = \"{secret}\""),
                "line 5, column 1: surprise: unknown field",
            ),
        ] {
            let error = load(&TEXT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
        let missing = Config::load(Path::new("/nonexistent/bridge.toml")).unwrap_err();
        assert!(missing.to_string().contains("hint:"), "{missing}");
    }
}
