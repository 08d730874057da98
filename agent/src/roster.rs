//! Whom the agent answers: the HyperNodes of its measured configuration, until they prove that others follow them.
//!
//! What was proven is kept in the state directory, with its whole proof from genesis on, and is verified again at start.
//! Whoever changes the file can make the agent forget, and nothing else.

use crate::durable;
use assay_protocol::config::AgentConfig;
use assay_protocol::ids::{Epoch, HyperNodeId, NetworkId, UnixMs};
use assay_protocol::limits::LINEAGE_BYTES_MAX;
use assay_protocol::params::STAKES_FIXED_AHEAD;
use assay_protocol::succession::{Lineage, LineageError};
use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

/// Name of the file in the state directory.
const FILE: &str = "lineage.cbor";
/// Why a lineage was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// It proves nothing.
    #[error(transparent)]
    Lineage(#[from] LineageError),
    /// It begins too late, or this machine's clock is slow.
    #[error(
        "roster from epoch {from}: expected epoch {latest} at the latest, by this machine's clock"
    )]
    Ahead {
        /// First epoch of its newest roster.
        from: Epoch,
        /// The latest one by the clock.
        latest: Epoch,
    },
    /// It leads past the roster that the agent holds.
    #[error(
        "roster from epoch {from}: expected one that more than two thirds of the roster from epoch {held} vouch for"
    )]
    Elsewhere {
        /// First epoch of its newest roster.
        from: Epoch,
        /// First epoch of the newest roster held.
        held: Epoch,
    },
    /// It cannot be kept.
    #[error("{path}: {source}", path = path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// What became of a lineage that a HyperNode told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It was taken over, durably; so many HyperNodes are on its newest roster.
    Newer(usize),
    /// It was known.
    Known,
    /// The agent's own is newer; here it is.
    Older(Vec<u8>),
}

/// The roster of an agent.
#[derive(Debug)]
pub struct Roster {
    network: NetworkId,
    configured: Vec<HyperNodeId>,
    path: PathBuf,
    proven: RwLock<Option<Lineage>>,
    /// One lineage is taken over at a time; whoever asks who is answered does not wait for the disk.
    telling: Mutex<()>,
}

impl Roster {
    /// The roster of `config`, or the one that follows it by the file in the state directory. A file that proves nothing
    /// is left alone, and said: HyperNodes tell the agent anew.
    pub fn open(config: &AgentConfig) -> Self {
        let path = config.state_dir.join(FILE);
        let proven = read(&path, &config.network).unwrap_or_else(|error| {
            let hint =
                "the agent answers the HyperNodes of its configuration until they tell it more";
            eprintln!("assay-agent: {error}\nhint: {hint}");
            None
        });
        Self {
            network: config.network,
            configured: config.roster.clone(),
            path,
            proven: RwLock::new(proven),
            telling: Mutex::default(),
        }
    }

    /// Whether a HyperNode is answered.
    pub fn answers(&self, hypernode: &HyperNodeId, now: UnixMs) -> bool {
        match self.read().as_ref() {
            None => self.configured.contains(hypernode),
            Some(lineage) => lineage.answers(hypernode, surely_begun(lineage, now)),
        }
    }

    /// How many HyperNodes are on the newest roster.
    pub fn count(&self) -> usize {
        let newest = |lineage: &Lineage| lineage.newest_members().len();
        self.read().as_ref().map_or(self.configured.len(), newest)
    }

    /// First epoch of the newest roster; nothing while it is the configured one.
    pub fn since(&self) -> Option<Epoch> {
        self.read().as_ref().map(Lineage::newest)
    }

    /// Takes over a lineage that proves a newer roster; durable when this returns.
    pub fn tell(&self, bytes: &[u8], now: UnixMs) -> Result<Told, RosterError> {
        let told = Lineage::open(&self.network, bytes)?;
        let from = told.newest();
        let latest = Epoch(epoch(&told, now).0.saturating_add(STAKES_FIXED_AHEAD));
        if from > latest {
            return Err(RosterError::Ahead { from, latest });
        }
        let _one_at_a_time = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.read().clone();
        if let Some(held) = held {
            let own = held.newest();
            match from.cmp(&own) {
                Ordering::Less => return Ok(Told::Older(held.bytes())),
                Ordering::Equal => return Ok(Told::Known),
                Ordering::Greater if told.follows(&held) => {}
                Ordering::Greater => return Err(RosterError::Elsewhere { from, held: own }),
            }
        } else if from == Epoch(0) {
            return Ok(Told::Known);
        }
        let kept = durable::replace(&self.path, 0o600, &told.bytes());
        kept.map_err(|source| RosterError::State {
            path: self.path.clone(),
            source,
        })?;
        let count = told.newest_members().len();
        *self.proven.write().unwrap_or_else(PoisonError::into_inner) = Some(told);
        Ok(Told::Newer(count))
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Lineage>> {
        self.proven.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn epoch(lineage: &Lineage, now: UnixMs) -> Epoch {
    lineage.params().at(now).unwrap_or_default().0
}

/// A clock may be fast: nobody is closed before the epoch is over by every honest one.
fn surely_begun(lineage: &Lineage, now: UnixMs) -> Epoch {
    let skew = lineage.params().clock_skew_ms_max;
    epoch(lineage, UnixMs(now.0.saturating_sub(skew)))
}

fn read(path: &Path, network: &NetworkId) -> Result<Option<Lineage>, RosterError> {
    let state = |source| RosterError::State {
        path: path.into(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(state(error)),
    };
    let mut bytes = Vec::new();
    let capped = (LINEAGE_BYTES_MAX as u64).saturating_add(1);
    file.take(capped).read_to_end(&mut bytes).map_err(state)?;
    let damaged = |error: LineageError| state(io::Error::new(io::ErrorKind::InvalidData, error));
    Lineage::open(network, &bytes).map(Some).map_err(damaged)
}
