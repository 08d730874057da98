//! What the agent may still do once it serves: as good as nothing.
//!
//! Root opens the logs and the port. Then, before the first thread and before the first connection, the process becomes
//! another user without capabilities ([`account`], [`privileges`]), sees only its state, its TPM and a few files of
//! `/proc` ([`files`]), and has the system calls left that its own code makes ([`calls`]). Threads started afterwards
//! inherit all of it. None of it can be taken back.

mod account;
mod calls;
mod error;
mod files;
mod privileges;
mod state;

pub use error::ConfineError;

use account::Account;
use assay_protocol::config::AgentConfig;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Handles of the process apart from those of connections: logs, listener, TPM, state.
const SPARE_FILES: u64 = 64;
/// Threads apart from those of connections and lanes, and room for another agent of the same user.
const SPARE_THREADS: u64 = 64;

/// What is in force; part of the status that the agent's owner sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// The user it runs as.
    pub user: String,
    /// Whether system calls are filtered. Without that the agent does not serve.
    pub seccomp: bool,
    /// The newest Landlock ABI whose restrictions are in force, at most 6; 0 without Landlock.
    pub landlock_abi: u32,
    /// Whether no page of the process can reach swap.
    pub memory_locked: bool,
    /// What this system did not allow, in words.
    pub not_enforced: Vec<String>,
}

/// How the TPM is reached, and so what must stay allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TpmAccess {
    /// A character device.
    Device(PathBuf),
    /// A software TPM at this port and, for its control channel, the next.
    Network(u16),
}

impl TpmAccess {
    /// Another `tcti` is refused when the TPM is opened, by a better message.
    fn of(tcti: &str) -> Option<Self> {
        if let Some(path) = tcti.strip_prefix("device:") {
            return Some(Self::Device(path.into()));
        }
        let (_, port) = tcti.strip_prefix("swtpm:")?.split_once(",port=")?;
        Some(Self::Network(port.parse().ok()?))
    }

    fn device(&self) -> Option<&Path> {
        match self {
            Self::Device(path) => Some(path),
            Self::Network(_) => None,
        }
    }
}

/// What a configuration needs at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    connections: u64,
}

impl Needs {
    fn of(config: &AgentConfig) -> Self {
        let connections = crate::server::connections_max(config);
        Self {
            connections: u64::try_from(connections).unwrap_or(u64::MAX),
        }
    }

    /// A connection has its socket, and a region while it fills or is read.
    fn files(self) -> u64 {
        self.connections
            .saturating_mul(2)
            .saturating_add(SPARE_FILES)
    }

    fn threads(self) -> u64 {
        self.connections
            .saturating_add(u64::from(assay_protocol::limits::CHASE_LANES_MAX))
            .saturating_add(SPARE_THREADS)
    }
}

/// Gives up everything that serving does not need, for good; `user` is whom root becomes, `assay` when none is named.
/// The state directory is made ready for that user first. To be called by the only thread of the process.
pub fn enter(config: &AgentConfig, user: Option<&str>) -> Result<Confinement, ConfineError> {
    alone()?;
    let tpm = TpmAccess::of(&config.tpm.tcti);
    let account = Account::choose(user, tpm.as_ref().and_then(TpmAccess::device))?;
    account.own(&config.state_dir)?;
    let needs = Needs::of(config);
    let mut not_enforced = Vec::new();
    privileges::limit_files(needs.files())?;
    let memory = privileges::lock_memory(needs.threads());
    let memory_locked = memory.is_ok();
    not_enforced.extend(memory.err());
    not_enforced.extend(privileges::bound()?);
    if account.is_another() {
        privileges::limit_threads(needs.threads())?;
    }
    not_enforced.extend(account.become_it()?);
    privileges::drop_all()?;
    state::reach(&config.state_dir)?;
    let resolver = tpm.as_ref().is_some_and(|tpm| needs_names(tpm, config));
    let (landlock_abi, missing) = files::restrict(&config.state_dir, tpm.as_ref(), resolver)?;
    not_enforced.extend(missing);
    calls::filter(matches!(tpm, Some(TpmAccess::Network(_))))?;
    Ok(Confinement {
        user: account.name().to_owned(),
        seccomp: true,
        landlock_abi,
        memory_locked,
        not_enforced,
    })
}

/// A software TPM named by a name, as tests may: then the system's table of names is read whenever it is opened.
fn needs_names(tpm: &TpmAccess, config: &AgentConfig) -> bool {
    let host = config.tpm.tcti.strip_prefix("swtpm:host=");
    let host = host.and_then(|rest| rest.split_once(','));
    let number = host.is_some_and(|(host, _)| host.parse::<std::net::IpAddr>().is_ok());
    matches!(tpm, TpmAccess::Network(_)) && !number
}

/// Users, capabilities and Landlock belong to a thread: one that was there before would keep what it had.
fn alone() -> Result<(), ConfineError> {
    let threads = std::fs::read_dir("/proc/self/task").map_err(|source| ConfineError::System {
        what: "cannot count threads in /proc/self/task",
        source,
    })?;
    match threads.count() {
        1 => Ok(()),
        actual => Err(ConfineError::Threads { actual }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_tpm_decides_what_stays_open() {
        let device = TpmAccess::Device("/dev/tpmrm0".into());
        assert_eq!(TpmAccess::of("device:/dev/tpmrm0"), Some(device));
        let network = TpmAccess::Network(2321);
        assert_eq!(
            TpmAccess::of("swtpm:host=127.0.0.1,port=2321"),
            Some(network)
        );
        assert_eq!(TpmAccess::of("swtpm:host=127.0.0.1,port=99999"), None);
        assert_eq!(TpmAccess::of("mssim:port=1"), None);
    }

    /// Tests run beside other threads: exactly what must not be confined.
    #[test]
    fn a_process_with_threads_is_refused() {
        let other = std::thread::spawn(std::thread::park);
        assert!(matches!(alone(), Err(ConfineError::Threads { actual }) if actual > 1));
        other.thread().unpark();
        other.join().unwrap();
    }
}
