//! Keeps the status while the agent runs, and writes it now and then.

use super::{Kind, Last, Process, Seen, Status, TpmClock, path};
use crate::confine::Confinement;
use crate::node::{Node, now};
use assay_protocol::ids::HyperNodeId;
use assay_protocol::wire::{AgentReply, AgentRequest};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Least time between two writes: the disk is the one that is being proven.
const NEWS_AFTER: Duration = Duration::from_secs(5);
/// Least time when nothing happened but what always happens.
const ROUTINE_AFTER: Duration = Duration::from_secs(60);

/// What was known before there was a node.
#[derive(Debug, Clone)]
pub struct Origin {
    /// This process.
    pub process: Process,
    /// What it gave up.
    pub confinement: Confinement,
}

/// The status of the running agent; clones share it.
#[derive(Debug, Clone)]
pub struct Record {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    status: Status,
    change: Option<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Routine,
    News,
}

impl Record {
    /// Writes the first status of this session, and the following ones from a thread of its own.
    pub fn start(node: &Arc<Node>, listen: SocketAddr, origin: Origin) -> io::Result<Self> {
        let status = Status {
            version: env!("CARGO_PKG_VERSION").into(),
            process: origin.process,
            started_at: now(),
            written_at: now(),
            node: node.id,
            session: node.session.id(),
            listen: listen.to_string(),
            tpm: node.last_clock().map(clock),
            confinement: origin.confinement,
            strangers_closed: 0,
            roster_since: node.roster.since(),
            hypernodes: std::collections::BTreeMap::new(),
        };
        write(&node.config.state_dir, &status)?;
        let record = Self::new(status);
        let (writer, node) = (record.clone(), Arc::clone(node));
        std::thread::Builder::new()
            .name("status".into())
            .spawn(move || writer.keep(&node))?;
        Ok(record)
    }

    fn new(status: Status) -> Self {
        let state = Mutex::new(State {
            status,
            change: None,
        });
        Self {
            shared: Arc::new(Shared {
                state,
                changed: Condvar::new(),
            }),
        }
    }

    /// A member is connected until the result is dropped.
    pub fn connected(&self, peer: HyperNodeId) -> Connected {
        self.update(|status| {
            let first = !status.hypernodes.contains_key(&peer);
            let seen = status.hypernodes.entry(peer).or_default();
            seen.last_seen = now();
            seen.connections = seen.connections.saturating_add(1);
            if first { Change::News } else { Change::Routine }
        });
        Connected {
            record: self.clone(),
            peer,
        }
    }

    /// Somebody was closed in the handshake.
    pub fn stranger(&self) {
        self.update(|status| {
            status.strangers_closed = status.strangers_closed.saturating_add(1);
            Change::Routine
        });
    }

    /// `peer` asked for something of `kind` and got `reply`.
    pub fn answered(&self, peer: HyperNodeId, kind: Kind, reply: &AgentReply) {
        let (refused, result) = match reply {
            AgentReply::Refused(refusal) => (true, refusal.to_string()),
            // A fill goes on; it is counted when it ends.
            AgentReply::Ready if kind == Kind::Fill => return,
            _ => (false, "ok".to_owned()),
        };
        let last = Last { at: now(), result };
        self.update(|status| {
            let seen = status.hypernodes.entry(peer).or_default();
            seen.last_seen = last.at;
            seen.refusals = seen.refusals.saturating_add(refused.into());
            let before = seen.last.insert(kind, last.clone());
            let as_before = before.is_some_and(|before| before.result == last.result);
            match matches!(kind, Kind::Probe | Kind::Roster) && as_before {
                true => Change::Routine,
                false => Change::News,
            }
        });
    }

    fn update(&self, change: impl FnOnce(&mut Status) -> Change) {
        let mut state = self.lock();
        let change = Some(change(&mut state.status));
        if change > state.change {
            state.change = change;
            self.shared.changed.notify_one();
        }
    }

    fn keep(&self, node: &Node) {
        let mut failed = false;
        loop {
            let mut status = self.next(Instant::now());
            status.written_at = now();
            status.tpm = node.last_clock().map(clock);
            status.roster_since = node.roster.since();
            let written = write(&node.config.state_dir, &status);
            if let (Err(error), false) = (&written, failed) {
                let path = path(&node.config.state_dir);
                eprintln!("assay-agent: {}: {error}", path.display());
            }
            failed = written.is_err();
        }
    }

    /// Waits for something to write, and until it may be written again after `written`.
    fn next(&self, written: Instant) -> Status {
        let mut state = self.lock();
        loop {
            let pause = match state.change {
                None => None,
                Some(Change::News) => Some(NEWS_AFTER),
                Some(Change::Routine) => Some(ROUTINE_AFTER),
            };
            let left = pause.map(|pause| pause.saturating_sub(written.elapsed()));
            state = match left {
                Some(Duration::ZERO) => {
                    state.change = None;
                    return state.status.clone();
                }
                Some(left) => {
                    let waited = self.shared.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.shared.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection of a member; it ends when this is dropped.
#[derive(Debug)]
pub struct Connected {
    record: Record,
    peer: HyperNodeId,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.record.update(|status| {
            let seen: &mut Seen = status.hypernodes.entry(self.peer).or_default();
            seen.connections = seen.connections.saturating_sub(1);
            Change::Routine
        });
    }
}

impl Kind {
    /// What `request` is counted as.
    pub fn of(request: &AgentRequest) -> Self {
        match request {
            AgentRequest::Enrol | AgentRequest::Activate { .. } => Self::Enrol,
            AgentRequest::Attest { .. } | AgentRequest::AttestAfter { .. } => Self::Attest,
            AgentRequest::Probe { .. } => Self::Probe,
            AgentRequest::FillBegin { .. }
            | AgentRequest::FillData { .. }
            | AgentRequest::FillEnd
            | AgentRequest::FillCountersigned { .. } => Self::Fill,
            AgentRequest::Chase { .. } => Self::Chase,
            AgentRequest::Roster { .. } => Self::Roster,
        }
    }
}

fn clock(clock: crate::tpm::Clock) -> TpmClock {
    TpmClock {
        clock_ms: clock.clock_ms,
        reset_count: clock.reset_count,
        restart_count: clock.restart_count,
        safe: clock.safe,
    }
}

/// Whole or not at all for whoever reads it; after a power cut it may be the old one or empty, which hurts nobody.
fn write(state_dir: &Path, status: &Status) -> io::Result<()> {
    let path = path(state_dir);
    let temporary = path.with_extension("json.tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    let mut file = options.open(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(status)?)?;
    fs::rename(&temporary, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::{NodeId, SessionKey, UnixMs};
    use assay_protocol::wire::{Refusal, RefusalCode};

    const PEER: HyperNodeId = HyperNodeId([7; 32]);

    fn record() -> Record {
        Record::new(Status {
            version: "1".into(),
            process: Process {
                pid: 1,
                start_ticks: 2,
            },
            started_at: UnixMs(3),
            written_at: UnixMs(4),
            node: NodeId([5; 32]),
            session: SessionKey([6; 32]),
            listen: "127.0.0.1:1".into(),
            tpm: None,
            confinement: Confinement {
                user: "assay".into(),
                seccomp: true,
                landlock_abi: 6,
                memory_locked: true,
                not_enforced: Vec::new(),
            },
            strangers_closed: 0,
            roster_since: None,
            hypernodes: std::collections::BTreeMap::new(),
        })
    }

    fn ok() -> AgentReply {
        AgentReply::Answer { bytes: Vec::new() }
    }

    fn changed(record: &Record, act: impl FnOnce(&Record)) -> Option<Change> {
        record.lock().change = None;
        act(record);
        record.lock().change
    }

    #[test]
    fn only_what_is_new_is_news() {
        let record = record();
        let mut kept = Vec::new();
        let mut connects = |r: &Record| kept.push(r.connected(PEER));
        assert_eq!(changed(&record, &mut connects), Some(Change::News));
        assert_eq!(changed(&record, &mut connects), Some(Change::Routine));
        let probes = |r: &Record| r.answered(PEER, Kind::Probe, &ok());
        assert_eq!(changed(&record, probes), Some(Change::News));
        assert_eq!(changed(&record, probes), Some(Change::Routine));
        let attests = |r: &Record| r.answered(PEER, Kind::Attest, &ok());
        assert_eq!(changed(&record, attests), Some(Change::News));
        assert_eq!(changed(&record, attests), Some(Change::News));
        let fills = |r: &Record| r.answered(PEER, Kind::Fill, &AgentReply::Ready);
        assert_eq!(changed(&record, fills), None);
        assert_eq!(changed(&record, Record::stranger), Some(Change::Routine));
        // Routine takes nothing back.
        assert_eq!(
            changed(&record, |r| {
                attests(r);
                r.stranger();
            }),
            Some(Change::News)
        );
    }

    #[test]
    fn connections_and_refusals_are_counted() {
        let record = record();
        let (first, second) = (record.connected(PEER), record.connected(PEER));
        let refusal = Refusal::new(RefusalCode::Busy, "other chases use all lanes");
        record.answered(PEER, Kind::Chase, &AgentReply::Refused(refusal));
        record.answered(PEER, Kind::Chase, &ok());
        drop(first);
        let seen = record.lock().status.hypernodes[&PEER].clone();
        assert_eq!((seen.connections, seen.refusals), (1, 1));
        assert_eq!(seen.last[&Kind::Chase].result, "ok");
        drop(second);
        assert_eq!(record.lock().status.hypernodes[&PEER].connections, 0);
    }

    #[test]
    fn what_is_written_can_be_read_and_replaces_what_was() {
        let dir = tempfile::tempdir().unwrap();
        let record = record();
        record.answered(PEER, Kind::Probe, &ok());
        for _ in 0..2 {
            let status = record.lock().status.clone();
            write(dir.path(), &status).unwrap();
            assert_eq!(super::super::read(dir.path()).unwrap(), Some(status));
            record.answered(PEER, Kind::Attest, &ok());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
