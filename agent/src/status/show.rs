//! `assay-agent status`: the file, and whether the process it speaks of is still there.

use super::{Kind, Seen, Status};
use assay_protocol::ids::{HyperNodeId, UnixMs};
use serde::Serialize;
use std::fmt;
use std::io;
use std::path::Path;

const KINDS: [Kind; 6] = [
    Kind::Probe,
    Kind::Enrol,
    Kind::Attest,
    Kind::Fill,
    Kind::Chase,
    Kind::Roster,
];

/// What is known of the agent of a state directory.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether it runs.
    pub running: bool,
    /// What it wrote last; absent when none ever ran here.
    pub status: Option<Status>,
    /// When this was asked.
    #[serde(skip)]
    pub now: UnixMs,
}

/// Looks at `state_dir` and at the process named there.
pub fn look(state_dir: &Path) -> io::Result<Report> {
    let status = super::read(state_dir)?;
    Ok(Report {
        running: status
            .as_ref()
            .is_some_and(|status| status.process.is_running()),
        status,
        now: crate::node::now(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = &self.status else {
            return writeln!(f, "not running, and never was in this state directory");
        };
        let (pid, started) = (status.process.pid, self.ago(status.started_at));
        match self.running {
            true => writeln!(f, "running      process {pid}, since {started}")?,
            false => writeln!(
                f,
                "not running  process {pid} is gone; started {started} ago"
            )?,
        }
        writeln!(f, "written      {} ago", self.ago(status.written_at))?;
        writeln!(f, "version      {}", status.version)?;
        writeln!(f, "node         {}", status.node)?;
        writeln!(f, "session      {}", status.session)?;
        writeln!(f, "listens on   {}", status.listen)?;
        if let Some(tpm) = status.tpm {
            let safe = if tpm.safe { "" } else { ", not safe" };
            let (clock, resets, restarts) = (tpm.clock_ms, tpm.reset_count, tpm.restart_count);
            writeln!(
                f,
                "TPM clock    {clock} ms, {resets} resets, {restarts} restarts{safe}"
            )?;
        }
        self.confinement(f, status)?;
        if let Some(since) = status.roster_since {
            writeln!(
                f,
                "roster       from epoch {since} on, as HyperNodes have proven"
            )?;
        }
        writeln!(f, "strangers    {} closed", status.strangers_closed)?;
        let mut seen = status.hypernodes.iter();
        seen.try_for_each(|(id, seen)| self.hypernode(f, id, seen))
    }
}

impl Report {
    fn confinement(&self, f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
        let confinement = &status.confinement;
        let seccomp = if confinement.seccomp { "on" } else { "off" };
        let memory = match confinement.memory_locked {
            true => "locked",
            false => "not locked",
        };
        writeln!(
            f,
            "confinement  user {}, no capabilities, seccomp {seccomp}, Landlock ABI {}, memory {memory}",
            confinement.user, confinement.landlock_abi
        )?;
        let mut missing = confinement.not_enforced.iter();
        missing.try_for_each(|missing| writeln!(f, "{:13}{missing}", ""))
    }

    fn hypernode(&self, f: &mut fmt::Formatter<'_>, id: &HyperNodeId, seen: &Seen) -> fmt::Result {
        writeln!(
            f,
            "\nHyperNode {id}\n  seen {} ago, {} connections, {} refusals",
            self.ago(seen.last_seen),
            seen.connections,
            seen.refusals
        )?;
        for kind in KINDS {
            if let Some(last) = seen.last.get(&kind) {
                let (name, ago) = (format!("{kind:?}").to_lowercase(), self.ago(last.at));
                writeln!(f, "  {name:<8} {ago:>8} ago  {}", last.result)?;
            }
        }
        Ok(())
    }

    fn ago(&self, at: UnixMs) -> String {
        let seconds = self.now.0.saturating_sub(at.0) / 1000;
        match seconds {
            0..120 => format!("{seconds} s"),
            120..7_200 => format!("{} min", seconds / 60),
            7_200..172_800 => format!("{} h", seconds / 3600),
            _ => format!("{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_units_that_fit() {
        let report = Report {
            running: false,
            status: None,
            now: UnixMs(1_000_000_000),
        };
        let ago = |seconds: u64| report.ago(UnixMs(1_000_000_000 - seconds * 1000));
        assert_eq!(
            [0, 119, 120, 7_199, 7_200, 172_800].map(ago),
            ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]
        );
        assert_eq!(report.ago(UnixMs(u64::MAX)), "0 s");
        assert!(report.to_string().starts_with("not running"));
    }
}
