//! The ScalerNode as the agent holds it: configuration, TPM, session and regions.

use crate::chase::Engine;
use crate::confine::ConfineError;
use crate::counters;
use crate::duty::Duty;
use crate::energy::Energy;
use crate::host_files::HostFiles;
use crate::region::{RegionError, RegionStore};
use crate::roster::Roster;
use crate::session::Session;
use crate::sources::Sources;
use crate::sources::report::SourceError;
use crate::sources::snp::{self, Snp};
use crate::tpm::{Clock, Tpm, TpmConfig, TpmError};
use assay_protocol::answers::Counter;
use assay_protocol::config::{AgentConfig, ConfigError};
use assay_protocol::hash::sha256;
use assay_protocol::ids::{HyperNodeId, NodeId, UnixMs};
use assay_protocol::limits::AGENT_CONFIG_BYTES_MAX;
use assay_protocol::region::BLOCK_BYTES;
use assay_transport::IdentityError;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A HyperNode's region of this period, of the last one, and the one it is filling.
const REGIONS_PER_HYPERNODE: u64 = 3;
/// TPM_ALG_RSA, the key type of the default EK.
const ALG_RSA: [u8; 2] = [0x00, 0x01];
const RSA_2048_BYTES: usize = 256;

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration file cannot be read.
    #[error("configuration {path}: {source}", path = path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The configuration file is not valid.
    #[error("{path}: {source}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// A log that goes with every quote cannot be read.
    #[error(transparent)]
    Source(crate::evidence::EvidenceError),
    /// What `[snp]` names cannot be opened.
    #[error("[snp] {0}")]
    Snp(SourceError),
    /// No evidence could be made.
    #[error(transparent)]
    Evidence(crate::evidence::EvidenceError),
    /// A result cannot be written.
    #[error("{path}: {source}", path = path.display())]
    Output {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The TPM cannot be used.
    #[error(transparent)]
    Tpm(#[from] TpmError),
    /// Regions cannot be kept.
    #[error(transparent)]
    Regions(#[from] RegionError),
    /// The state directory cannot be made.
    #[error("state directory {path}: {source}", path = path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// What serving does not need cannot be given up.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// No session key.
    #[error(transparent)]
    Session(#[from] IdentityError),
    /// The endorsement key is not the one every node id is made of.
    #[error("the TPM's endorsement key is not RSA-2048")]
    EkType,
    /// Nothing can listen there.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// Configured address.
        listen: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// TLS refused its configuration, or there are no threads.
    #[error("cannot serve: {0}")]
    Serve(String),
}

impl StartError {
    /// Exit code of the process: 2 configuration, 3 TPM, 4 network, 5 storage, 1 the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ConfigFile { .. } | Self::Config { .. } | Self::Source(_) | Self::Snp(_) => 2,
            Self::Tpm(_) | Self::EkType | Self::Evidence(_) => 3,
            Self::Listen { .. } => 4,
            Self::Regions(_) | Self::State { .. } | Self::Output { .. } => 5,
            Self::Confine(error) => error.exit_code(),
            Self::Session(_) | Self::Serve(_) => 1,
        }
    }

    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::ConfigFile { .. } => "name the measured configuration with --config FILE".into(),
            Self::Config { .. } => {
                "the file is measured into PCR 12: correct it, then reboot so that it is measured \
                 again"
                    .into()
            }
            Self::Source(_) => "set tpm.event_log, usually \
                 \"/sys/kernel/security/tpm0/binary_bios_measurements\", and, if there is one, ima.list, \
                 usually \"/sys/kernel/security/ima/binary_runtime_measurements\" (both need root)"
                .into(),
            Self::Snp(_) => "see what snp.source and snp.host need (root, the kernel's driver, for configfs-tsm Linux \
                 6.7), or leave the section out: then evidence reaches tier 2 at most"
                .into(),
            Self::Evidence(_) => "run `assay-agent enroll --print` to see whether the TPM answers".into(),
            Self::Output { .. } => "name a file in a folder that can be written with --out FILE".into(),
            Self::Tpm(error) => error.hint().into(),
            Self::Regions(error) => error.hint().into(),
            Self::State { .. } => "check state_dir, its permissions and free space".into(),
            Self::Confine(error) => error.hint().into(),
            Self::EkType => "only TPMs with an RSA-2048 endorsement key have a node id".into(),
            Self::Listen { source, .. } => match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "another program listens there (`ss -ltnp` names it): stop it or change listen"
                        .into()
                }
                _ => "set listen to an address of this machine and a port, \"0.0.0.0:7143\"".into(),
            },
            Self::Session(_) | Self::Serve(_) => "see the message; this is not expected".into(),
        }
    }
}

/// Everything the answers are made of.
#[derive(Debug)]
pub struct Node {
    /// Its id, from the endorsement key.
    pub id: NodeId,
    /// The measured configuration.
    pub config: AgentConfig,
    /// The TPM.
    pub tpm: Tpm,
    /// This run's session key and its chain of answers.
    pub session: Session,
    /// The regions.
    pub regions: RegionStore,
    /// Whom it answers.
    pub roster: Roster,
    /// What goes with a quote.
    pub sources: Sources,
    /// Who makes SEV-SNP reports, where there is somebody.
    pub snp: Option<Snp>,
    /// What challenges may use.
    pub duty: Duty,
    /// The kernel's files about the machine.
    pub files: HostFiles,
    /// What its processors use.
    pub energy: Energy,
    engine: OnceLock<Engine>,
    region_reads: AtomicU64,
    attested: Mutex<BTreeSet<HyperNodeId>>,
    clock: Mutex<Option<Clock>>,
}

impl Node {
    /// Opens everything `config` names, except the `inputs`, which only root can open.
    pub fn open(config: AgentConfig, inputs: Inputs) -> Result<Self, StartError> {
        let sources = inputs.logs;
        sources.read(None).map_err(StartError::Source)?;
        let snp = inputs.snp.map(snp::Opened::start).transpose();
        let snp = snp.map_err(StartError::Snp)?;
        let tpm = open_tpm(&config)?;
        let id = node_id(&tpm.identity().ek_public).ok_or(StartError::EkType)?;
        let blocks = u64::from(config.limits.region_blocks_max);
        let share = blocks
            .saturating_mul(BLOCK_BYTES as u64)
            .saturating_mul(REGIONS_PER_HYPERNODE);
        let regions = RegionStore::open(&config.state_dir.join("regions"), share)?;
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        Ok(Self {
            id,
            duty: Duty::of(&config.limits, threads),
            files: HostFiles::of_this_machine(),
            energy: inputs.energy,
            engine: OnceLock::new(),
            roster: Roster::open(&config),
            config,
            tpm,
            session: Session::generate()?,
            regions,
            sources,
            snp,
            region_reads: AtomicU64::new(0),
            attested: Mutex::default(),
            clock: Mutex::default(),
        })
    }

    /// Longest wait for a SEV-SNP report; none where nobody makes any.
    pub fn snp_deadline(&self) -> Duration {
        self.snp.as_ref().map_or(Duration::ZERO, Snp::deadline)
    }

    /// Longest wait for one TPM call.
    pub fn tpm_deadline(&self) -> Duration {
        Duration::from_millis(self.config.tpm.deadline_ms)
    }

    /// Agent-claimed counters of this moment that go with a challenge's answer.
    pub fn counters(&self) -> Vec<Counter> {
        let reads = self.region_reads.load(Ordering::Relaxed);
        counters::of_challenge(&self.files, self.regions.dir(), reads)
    }

    /// All of them, for claims.
    pub fn all_counters(&self) -> Vec<Counter> {
        let reads = self.region_reads.load(Ordering::Relaxed);
        let mut counters = counters::of_evidence(&self.files, self.regions.dir(), reads);
        counters.extend(self.energy.counter());
        counters
    }

    /// How chases are read, decided by the first one; the operator is told when it is the slower way.
    pub fn engine(&self) -> Engine {
        *self.engine.get_or_init(|| {
            let (engine, refused) = Engine::of_this_kernel();
            if let Some(error) = refused {
                eprintln!("assay-agent: io_uring is refused ({error}): chases read with {engine}");
            }
            engine
        })
    }

    /// Asks the TPM for its clock, which its owner sees in the status.
    pub fn read_clock(&self) -> Result<Clock, TpmError> {
        let clock = self.tpm.clock()?;
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock);
        Ok(clock)
    }

    /// The TPM's clock when it was last asked.
    pub fn last_clock(&self) -> Option<Clock> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts reads of regions done.
    pub fn count_reads(&self, reads: u64) {
        self.region_reads.fetch_add(reads, Ordering::Relaxed);
    }

    /// Remembers that `hypernode` got evidence for this session key.
    pub fn bind(&self, hypernode: HyperNodeId) {
        self.attested
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hypernode);
    }

    /// Whether `hypernode` got evidence for this session key.
    pub fn is_bound(&self, hypernode: &HyperNodeId) -> bool {
        self.attested
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(hypernode)
    }
}

/// Reads and parses the configuration at `path`.
pub fn read_config(path: &Path) -> Result<AgentConfig, StartError> {
    AgentConfig::parse(&read_config_bytes(path)?).map_err(|source| StartError::Config {
        path: path.into(),
        source,
    })
}

/// The file's bytes, as they are measured; no more of them than tell that there are too many.
pub fn read_config_bytes(path: &Path) -> Result<Vec<u8>, StartError> {
    let io = |source| StartError::ConfigFile {
        path: path.into(),
        source,
    };
    let file = std::fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    let capped = (AGENT_CONFIG_BYTES_MAX as u64).saturating_add(1);
    file.take(capped).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// What only root can open.
#[derive(Debug)]
pub struct Inputs {
    /// The logs that go with every quote.
    pub logs: Sources,
    /// Who makes SEV-SNP reports.
    pub snp: Option<snp::Opened>,
    /// What the processors use.
    pub energy: Energy,
}

/// Opens the logs that go with every quote, what `[snp]` names, and registers that only root may read.
pub fn open_sources(config: &AgentConfig) -> Result<Inputs, StartError> {
    let snp = config.snp.as_ref().map(snp::Opened::open).transpose();
    Ok(Inputs {
        logs: Sources::open(config).map_err(StartError::Source)?,
        snp: snp.map_err(StartError::Snp)?,
        energy: Energy::open(&HostFiles::of_this_machine()),
    })
}

/// Opens the TPM `config` names; its AK blob is in the state directory.
pub fn open_tpm(config: &AgentConfig) -> Result<Tpm, StartError> {
    let state = &config.state_dir;
    std::fs::create_dir_all(state).map_err(|source| StartError::State {
        path: state.clone(),
        source,
    })?;
    let mut tpm = TpmConfig::new(&config.tpm.tcti, state.join("ak.blob"));
    tpm.deadline = Duration::from_millis(config.tpm.deadline_ms);
    Ok(Tpm::open(tpm)?)
}

/// SHA-256(`"assay/node/1"` ‖ key type ‖ modulus) of the default RSA-2048 EK, whose TPMT_PUBLIC
/// ends in the sized modulus. The HyperNode takes the key from the EK certificate instead.
pub fn node_id(ek_public: &[u8]) -> Option<NodeId> {
    let (rest, modulus) = ek_public.split_last_chunk::<RSA_2048_BYTES>()?;
    let is_rsa = ek_public.starts_with(&ALG_RSA) && rest.ends_with(&[0x01, 0x00]);
    is_rsa.then(|| NodeId(sha256(&[b"assay/node/1", &ALG_RSA, modulus])))
}

/// The agent's clock.
pub fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_rsa_2048_key_makes_a_node_id() {
        let mut public = vec![0x00, 0x01, 0x00, 0x0b, 0x01, 0x00];
        public.extend([7; 256]);
        let mut preimage = b"assay/node/1\x00\x01".to_vec();
        preimage.extend([7; 256]);
        assert_eq!(node_id(&public), Some(NodeId(sha256(&[&preimage]))));
        public[1] = 0x23;
        assert_eq!(node_id(&public), None);
        assert_eq!(node_id(&[0; 100]), None);
    }
}
