//! What the running agent tells its owner: `status.json` in the state directory. No port is opened for it.
//!
//! It is replaced whole, when something changed, and at most every few seconds; a probe that went as the one before is
//! routine and waits for a minute. Everything in it is the agent's own word and proves nothing to anybody.

mod record;
mod show;

pub use record::{Connected, Origin, Record};
pub use show::{Report, look};

use crate::confine::Confinement;
use assay_protocol::ids::{Epoch, HyperNodeId, NodeId, SessionKey, UnixMs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Name of the file in the state directory.
pub const FILE: &str = "status.json";
/// Four results of each member of the largest roster, and what is there once.
const BYTES_MAX: u64 = 8 << 20;
/// Fields of `/proc/PID/stat` after the name, which may hold anything: the start time is field 22 (proc(5)).
const START_TIME: usize = 22 - 3;

/// A process, not to be taken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start_ticks: u64,
}

impl Process {
    /// This process. `/proc` must be there, so this is for before the confinement.
    pub fn own() -> io::Result<Self> {
        let pid = std::process::id();
        let start_ticks = start_ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?);
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat");
        Ok(Self {
            pid,
            start_ticks: start_ticks.ok_or_else(unreadable)?,
        })
    }

    /// Whether it still runs.
    pub fn is_running(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid));
        stat.is_ok_and(|stat| start_ticks(&stat) == Some(self.start_ticks))
    }
}

fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(START_TIME)?.parse().ok()
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// Its process.
    pub process: Process,
    /// When it started, by its own clock.
    pub started_at: UnixMs,
    /// When this was written.
    pub written_at: UnixMs,
    /// The node's id.
    pub node: NodeId,
    /// The session's public key.
    pub session: SessionKey,
    /// Where it listens, with the port the system chose when 0 was configured.
    pub listen: String,
    /// The TPM's clock when it was last asked.
    pub tpm: Option<TpmClock>,
    /// What the agent gave up.
    pub confinement: Confinement,
    /// Connections that were closed because no key of the roster was shown.
    pub strangers_closed: u64,
    /// First epoch of the roster that is answered; absent while it is the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster_since: Option<Epoch>,
    /// The HyperNodes that were here in this session.
    pub hypernodes: BTreeMap<HyperNodeId, Seen>,
}

/// TPMS_CLOCK_INFO (TPM 2.0 part 2, section 10.11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmClock {
    /// Milliseconds it has been powered over its life.
    pub clock_ms: u64,
    /// Resets.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether that time was certainly not reported before.
    pub safe: bool,
}

/// One HyperNode, as far as this session of the agent knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// When it last connected or asked.
    pub last_seen: UnixMs,
    /// Its open connections.
    pub connections: u32,
    /// Requests that were refused.
    pub refusals: u64,
    /// Its last request of each kind.
    pub last: BTreeMap<Kind, Last>,
}

/// Kinds of requests, as people count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A nonce to be signed.
    Probe,
    /// The key's credential.
    Enrol,
    /// Evidence.
    Attest,
    /// Blocks to be kept.
    Fill,
    /// Blocks to be read.
    Chase,
    /// Whom to answer.
    Roster,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// When.
    pub at: UnixMs,
    /// `ok`, or why it was refused.
    pub result: String,
}

/// Reads the file of a state directory; `None` when there is none.
fn read(state_dir: &Path) -> io::Result<Option<Status>> {
    let file = match fs::File::open(path(state_dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Where it is.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let own = Process::own().unwrap();
        assert!(own.is_running());
        let later = Process {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        assert!(!later.is_running());
        let gone = Process { pid: 0, ..own };
        assert!(!gone.is_running());
    }

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let stat = "7 (a) b) 1) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 8675309 1 1";
        assert_eq!(start_ticks(stat), Some(8_675_309));
        assert_eq!(start_ticks("7 (a) S 1"), None);
        assert_eq!(start_ticks(""), None);
    }

    #[test]
    fn no_file_is_no_status_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        fs::write(path(dir.path()), "{}").unwrap();
        assert!(read(dir.path()).is_err());
    }
}
