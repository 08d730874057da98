//! Configuration, keys and secrets of a HyperNode.

use crate::vcek::KdsSection;
use anyhow::{Context as _, Result, anyhow, bail};
use assay_hw_profiles::LoadError;
use assay_ledger::rpc::RpcOptions;
use assay_protocol::class::ValidClass;
use assay_protocol::endpoint::Endpoint;
use assay_protocol::ids::{Digest, Seed};
use assay_protocol::params::NetworkParams;
use assay_protocol::settings;
use assay_protocol::trust::TrustBundle;
use assay_transport::Identity;
use assay_transport::board::Board;
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The configuration file. Unknown keys are refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Ed25519 key file: TLS, reports, log.
    pub key: PathBuf,
    /// secp256k1 key file: signs roots.
    pub ledger_key: PathBuf,
    /// Region master secret and start of the seed chain, 64 bytes.
    pub secrets: PathBuf,
    /// Network parameters, JSON.
    pub network: PathBuf,
    /// TPM vendor roots, JSON.
    pub vendors: PathBuf,
    /// Hardware class files.
    pub classes: Vec<PathBuf>,
    /// Journal, log and evidence.
    pub state_dir: PathBuf,
    /// Where other HyperNodes send control probes.
    pub listen: SocketAddr,
    /// JSON-RPC URL of the ledger.
    pub ledger_url: String,
    /// Roots that its certificate must lead to (PEM); without, Mozilla's.
    pub ledger_ca: Option<PathBuf>,
    /// Blocks on top of a final one, for chains without the tag `finalized`.
    pub ledger_confirmations: Option<u64>,
    /// The board.
    pub bridge: BridgeSection,
    /// AMD's certificates.
    #[serde(default)]
    pub kds: KdsSection,
}

impl Config {
    /// The ledger's node, and how it is reached.
    pub fn node(&self) -> (&str, RpcOptions) {
        let options = RpcOptions {
            ca: self.ledger_ca.clone(),
            confirmations: self.ledger_confirmations,
            ..RpcOptions::default()
        };
        (&self.ledger_url, options)
    }

    /// Relative paths are relative to the folder of the file that names them.
    fn resolve(&mut self, folder: &Path) {
        let files = [
            &mut self.key,
            &mut self.ledger_key,
            &mut self.secrets,
            &mut self.network,
            &mut self.vendors,
            &mut self.state_dir,
        ];
        let files = files.into_iter().chain(&mut self.classes);
        for path in files.chain(&mut self.ledger_ca) {
            *path = folder.join(&*path);
        }
    }
}

/// The `[bridge]` section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeSection {
    /// Address of the board.
    pub address: Endpoint,
    /// Its Ed25519 key.
    pub key: assay_protocol::ids::Digest,
}

impl BridgeSection {
    /// A connection to it, to be made.
    pub fn board(&self, identity: Identity) -> Board {
        Board::new(identity, self.address.clone(), self.key.0)
    }
}

/// What only this HyperNode knows. No `Debug`: it is never shown.
pub struct Secrets {
    /// Master of all region keys.
    pub master: [u8; 32],
    /// Start of the seed chain.
    pub seed: Seed,
}

/// Everything loaded and checked.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The network.
    pub params: NetworkParams,
    /// Vendor roots.
    pub vendors: TrustBundle,
    /// Classes by digest.
    pub classes: BTreeMap<Digest, ValidClass>,
    /// Secrets.
    pub secrets: Secrets,
}

impl Secrets {
    /// Makes a new secrets file, mode 0600; refuses to replace one.
    pub fn create(path: &Path) -> Result<Self> {
        let mut bytes = [0u8; 64];
        rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gave no randomness"))?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("secrets file {}", path.display()))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(Self::from_bytes(&bytes))
    }

    /// Loads a secrets file that nobody else may read.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let mode = fs::metadata(path)
            .with_context(|| {
                format!("secrets file {name}\nhint: make one with `assay-hypernode init`")
            })?
            .permissions()
            .mode()
            & 0o777;
        if mode & 0o077 != 0 {
            bail!("secrets file {name}: mode is {mode:04o}, expected 0600\nhint: chmod 600 {name}");
        }
        let bytes = fs::read(path).with_context(|| format!("secrets file {name}"))?;
        let Ok(bytes) = <[u8; 64]>::try_from(bytes.as_slice()) else {
            bail!(
                "secrets file {name}: expected 64 bytes, got {}",
                bytes.len()
            );
        };
        Ok(Self::from_bytes(&bytes))
    }

    fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (master, seed) = bytes.split_at(32);
        let half = |half: &[u8]| <[u8; 32]>::try_from(half).unwrap_or_default();
        Self {
            master: half(master),
            seed: Seed(half(seed)),
        }
    }
}

/// Loads the configuration and all it names.
pub fn load(path: &Path) -> Result<Loaded> {
    let text =
        fs::read_to_string(path).with_context(|| format!("configuration {}", path.display()))?;
    let mut config: Config =
        settings::from_toml(&text).with_context(|| format!("configuration {}", path.display()))?;
    config.resolve(path.parent().unwrap_or(Path::new(".")));
    let params: NetworkParams = json(&config.network, "network parameters")?;
    params
        .validate()
        .with_context(|| config.network.display().to_string())?;
    let vendors: TrustBundle = json(&config.vendors, "vendor roots")?;
    let mut classes = BTreeMap::new();
    for file in &config.classes {
        let class = assay_hw_profiles::load(file).map_err(|error| named(error, file))?;
        let digest = class.digest();
        if !params.classes.contains(&digest) {
            bail!(
                "hardware class {}: digest {digest} is not among the network's classes\n\
                 hint: the network's parameters fix the classes; use the file they were made from",
                file.display()
            );
        }
        classes.insert(digest, class);
    }
    if let Some(missing) = params
        .classes
        .iter()
        .find(|digest| !classes.contains_key(digest))
    {
        bail!(
            "hardware class {missing}: the network uses it, but no file in `classes` has this digest\n\
             hint: add the class file the network was made from"
        );
    }
    let secrets = Secrets::load(&config.secrets)?;
    Ok(Loaded {
        config,
        params,
        vendors,
        classes,
        secrets,
    })
}

/// Only an error of reading names the file by itself.
fn named(error: LoadError, file: &Path) -> anyhow::Error {
    match error {
        LoadError::File { .. } => error.into(),
        other => anyhow::Error::from(other).context(format!("class file {}", file.display())),
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("{what} {}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        let why = settings::without_values(&error.to_string());
        anyhow!("{what} {}: {why}", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "key = \"key\"\nledger_key = \"/abs/ledger\"\nsecrets = \"s\"\nnetwork = \"n\"\nvendors = \"v\"\n\
         classes = [\"c\"]\nstate_dir = \"d\"\nlisten = \"127.0.0.1:1\"\nledger_url = \"http://127.0.0.1:2\"\n\
         [bridge]\naddress = \"127.0.0.1:3\"\nkey = \"0000000000000000000000000000000000000000000000000000000000000000\"\n";

    #[test]
    fn relative_paths_start_at_the_file_and_absolute_ones_stay() {
        let mut config: Config = toml::from_str(TEXT).unwrap();
        config.resolve(Path::new("/etc/assay"));
        assert_eq!(config.key, Path::new("/etc/assay/key"));
        assert_eq!(config.classes, [Path::new("/etc/assay/c")]);
        assert_eq!(config.ledger_key, Path::new("/abs/ledger"));
    }

    #[test]
    fn certificates_are_fetched_only_when_a_service_is_named() {
        let kds = |more: &str| toml::from_str::<Config>(&format!("{TEXT}{more}")).map(|c| c.kds);
        for nothing in ["", "[kds]\n"] {
            let section = kds(nothing).unwrap();
            assert_eq!((section.url, section.interval_ms_min), (None, 10_000));
        }
        let section = kds("[kds]\nurl = \"https://kdsintf.amd.com/\"\ninterval_ms_min = 20000\n");
        let section = section.unwrap();
        assert_eq!(section.url.unwrap().to_string(), "https://kdsintf.amd.com");
        assert_eq!(section.interval_ms_min, 20_000);
        for bad in [
            "url = \"kdsintf.amd.com\"",
            "url = \"\"",
            "interval_ms_min = -1",
            "interval = 1",
        ] {
            assert!(kds(&format!("[kds]\n{bad}\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_values() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hypernode.toml");
        let secret = "ledger_url = \"http://u:SECRET@h";
        let listen = "listen = \"127.0.0.1:1\"\nledger_url = \"http://127.0.0.1:2\"\n";
        for wrong in [
            format!("{secret}\n"),
            format!("{secret}\"\nlisten = \"SECRET\"\n"),
        ] {
            fs::write(&file, TEXT.replace(listen, &wrong)).unwrap();
            let said = format!("{:#}", load(&file).err().unwrap());
            assert!(said.contains("hypernode.toml: line "), "{said}");
            assert!(!said.contains("SECRET"), "{said}");
        }
    }

    #[test]
    fn a_configuration_that_is_written_reads_back() {
        let config: Config = toml::from_str(TEXT).unwrap();
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again.kds.interval_ms_min, config.kds.interval_ms_min);
    }
}
