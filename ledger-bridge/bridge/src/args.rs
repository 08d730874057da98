//! Arguments that several commands share: the ledger, the key, the form of the output.

use anyhow::{Context, Result};
use assay_aggregate::inputs::History;
use assay_bridge::WEI_PER_GWEI;
use assay_bridge::config::{Config, ConfigError, KeySource, KeystoreSource, SignerSource};
use assay_bridge::store::Store;
use assay_bridge::{run, setup};
use assay_ledger::rpc::{RpcChain, RpcOptions};
use assay_ledger::{Action, AssayLedger, Chain, TxSigner};
use assay_protocol::amount::DECIMALS_USUAL;
use assay_protocol::endpoint::{Endpoint, NotAnEndpoint};
use assay_protocol::ids::{Address, Stake};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The form of the output.
#[derive(Args, Clone, Copy)]
pub struct Output {
    /// One JSON object on stdout, and errors as one on stderr.
    #[arg(long)]
    pub json: bool,
}

/// A bridge's configuration.
#[derive(Args)]
pub struct ConfigArg {
    /// bridge.toml
    #[arg(long)]
    pub config: PathBuf,
}

impl ConfigArg {
    /// Reads it.
    pub fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.config)
    }

    /// State, ledger and history of its network, for reading and for what pays at most the configured fee.
    pub fn network(&self) -> Result<(Store, AssayLedger, History)> {
        let config = self.load()?;
        let params = config.params()?;
        let store = run::open_store_for_reading(&config, params.network_id())?;
        let fee_cap = config.posting.settings().policy.fee_cap;
        let ledger = run::ledger_for_reading(&config, &params)?.with_fee_cap(fee_cap);
        let history = History::new(&params, config.load_classes()?)?;
        Ok((store, ledger, history))
    }
}

/// Where the ledger is.
#[derive(Args)]
pub struct Ledger {
    /// JSON-RPC of the ledger, http or https.
    #[arg(long)]
    pub rpc: String,
    /// Roots that its certificate must lead to (PEM); without, Mozilla's.
    #[arg(long)]
    pub rpc_ca: Option<PathBuf>,
    /// Most that is paid for a unit of gas.
    #[arg(long, default_value_t = 1_000)]
    pub max_fee_gwei: u64,
}

impl Ledger {
    /// Connects.
    pub fn chain(&self) -> Result<Arc<dyn Chain>> {
        let options = RpcOptions {
            ca: self.rpc_ca.clone(),
            ..RpcOptions::default()
        };
        Ok(Arc::new(RpcChain::connect_with(&self.rpc, &options)?))
    }

    /// Connects to a contract.
    pub fn contract(&self, contract: Address) -> Result<AssayLedger> {
        let ledger = AssayLedger::at(self.chain()?, contract)?;
        Ok(ledger.with_fee_cap(self.fee_cap()))
    }

    /// Most that is paid for a unit of gas, in wei.
    pub fn fee_cap(&self) -> u128 {
        u128::from(self.max_fee_gwei).saturating_mul(WEI_PER_GWEI)
    }
}

/// Who signs. Keys and passwords are in files or behind a URL, never arguments.
#[derive(Args)]
#[group(skip)]
pub struct Key {
    /// Key file: 64 hexadecimal digits or, with --password-file, a keystore.
    #[arg(long, required_unless_present = "signer", conflicts_with = "signer")]
    pub key: Option<PathBuf>,
    /// File with the keystore's password.
    #[arg(long, requires = "key")]
    pub password_file: Option<PathBuf>,
    /// A signer that serves eth_signTransaction, http or https.
    #[arg(long, requires = "from")]
    pub signer: Option<String>,
    /// The signer's account.
    #[arg(long, requires = "signer")]
    pub from: Option<Address>,
    /// Roots that the signer's certificate must lead to (PEM).
    #[arg(long, requires = "signer")]
    pub signer_ca: Option<PathBuf>,
}

impl Key {
    /// Opens it.
    pub fn open(&self) -> Result<Arc<dyn TxSigner>> {
        run::signer(&self.source()?)
    }

    fn source(&self) -> Result<KeySource> {
        if let (Some(signer), Some(address)) = (&self.signer, self.from) {
            return Ok(KeySource::Signer(SignerSource {
                signer: signer.clone(),
                address,
                ca: self.signer_ca.clone(),
            }));
        }
        let key = self.key.clone().context("--key or --signer")?;
        Ok(match self.password_file.clone() {
            None => KeySource::File(key),
            Some(password_file) => KeySource::Keystore(KeystoreSource {
                keystore: key,
                password_file,
            }),
        })
    }
}

/// Who signs, for which contract.
#[derive(Args)]
pub struct Signed {
    #[command(flatten)]
    pub ledger: Ledger,
    #[command(flatten)]
    pub key: Key,
    /// The network's contract.
    #[arg(long)]
    pub contract: Address,
    /// Decimals of the network's token, which say what a gwei is: a billionth of it, or its smallest unit when it has less
    /// than nine.
    #[arg(long, default_value_t = DECIMALS_USUAL)]
    pub token_decimals: u8,
    #[command(flatten)]
    pub output: Output,
}

impl Signed {
    /// The key first: a command that cannot sign asks nobody.
    pub fn open(&self) -> Result<(AssayLedger, Arc<dyn TxSigner>)> {
        let signer = self.key.open()?;
        Ok((self.ledger.contract(self.contract)?, signer))
    }

    /// Does one thing and says what it cost.
    pub fn submit(&self, action: &Action) -> Result<()> {
        let (ledger, signer) = self.open()?;
        self.submit_to(&ledger, signer.as_ref(), action)
    }

    /// The same with an amount in gwei of the network's token.
    pub fn submit_of(&self, gwei: u64, of: impl FnOnce(Stake) -> Action) -> Result<()> {
        let (ledger, signer) = self.open()?;
        let action = of(self.amount(&ledger, gwei)?);
        self.submit_to(&ledger, signer.as_ref(), &action)
    }

    /// Gwei of the command line in the token's smallest unit.
    pub fn amount(&self, ledger: &AssayLedger, gwei: u64) -> Result<Stake> {
        let agreed = setup::agreed_gwei(self.token_decimals, ledger.token_decimals()?)?;
        Ok(Stake(agreed.units(gwei)))
    }

    /// The same on a ledger that is open already.
    pub fn submit_to(
        &self,
        ledger: &AssayLedger,
        signer: &dyn TxSigner,
        action: &Action,
    ) -> Result<()> {
        let receipt = ledger.submit(signer, action)?;
        say_json(&json!({
            "action": action.name, "tx": receipt.tx_hash.to_string(), "gas": receipt.gas_used,
        }))
    }
}

/// Where somebody is reached, as the contracts take it.
pub fn endpoint(text: &str) -> Result<String, NotAnEndpoint> {
    Ok(text.parse::<Endpoint>()?.into())
}

/// Data for people.
pub fn say(text: impl std::fmt::Display) -> Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}").context("standard output")
}

/// Data for programs, on one line.
pub fn say_json(value: &impl Serialize) -> Result<()> {
    say(serde_json::to_string(value).context("output")?)
}

/// Rows: one line each for people, all of them by one name for programs.
pub fn say_rows(
    output: Output,
    name: &str,
    rows: &[impl Serialize + std::fmt::Display],
) -> Result<()> {
    match output.json {
        true => say_json(&BTreeMap::from([(name, rows)])),
        false => rows.iter().try_for_each(say),
    }
}

/// One value, by its name for programs.
pub fn say_one(output: Output, name: &str, value: impl std::fmt::Display) -> Result<()> {
    match output.json {
        true => say_json(&json!({ name: value.to_string() })),
        false => say(value),
    }
}
