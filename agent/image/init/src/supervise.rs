//! Programs of the image: those that do one thing and end, the agent, which must not, and one that is due now and then.

use crate::error::Failure;
use crate::say;
use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const AGENT: &str = "/usr/bin/assay-agent";
/// Between two readings of the disks' health, in seconds.
const HEALTH_EVERY_S: u32 = 300;
/// Between two starts of an agent that ended.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the agent may take to end before the machine goes down.
const GRACE: Duration = Duration::from_secs(3);
/// Most of a program's output that is shown.
const SAID_BYTES_MAX: usize = 2000;

/// Runs a program to its end.
pub fn run(program: &str, arguments: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    let failed = |why: String| Failure::Program {
        program: program.to_owned(),
        why,
    };
    let ended = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .env_clear()
        // There is no udev that device-mapper could wait for.
        .env("DM_DISABLE_UDEV", "1")
        .output()
        .map_err(|error| failed(error.to_string()))?;
    match ended.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&ended.stderr);
            let said: String = said.trim().chars().take(SAID_BYTES_MAX).collect();
            Err(failed(format!("{}: {said}", ended.status)))
        }
    }
}

/// Has the configuration measured, once a boot.
pub fn measure(config: &str) -> Result<(), Failure> {
    run(AGENT, ["measure", "--config", config].map(str::to_owned))
}

/// The agent's small privileged step that reads the health of NVMe controllers. Nothing waits for it: a controller that
/// does not answer must not keep the agent from serving.
#[derive(Default)]
pub struct Health {
    running: Option<Pid>,
}

impl Health {
    /// Starts it unless it runs, and has the kernel say when it is due again.
    fn read(&mut self) {
        alarm::set(HEALTH_EVERY_S);
        if self.running.is_some() {
            return;
        }
        let mut command = agent(&["smart"]);
        match command.stdout(Stdio::null()).spawn() {
            Ok(child) => self.running = Some(pid_of(&child)),
            Err(error) => say(&format!("the disks' health is not read: {error}")),
        }
    }

    fn ended(&mut self, pid: Option<Pid>) {
        if pid == self.running {
            self.running = None;
        }
    }
}

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(AGENT);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// Starts the agent, again whenever it ends, with the disks' `health` beside it. Returns only if nothing can be waited
/// for.
pub fn keep_running(
    arguments: &[&str],
    mut health: Option<Health>,
) -> Result<std::convert::Infallible, Failure> {
    let failed = |why: String| Failure::Program {
        program: AGENT.to_owned(),
        why,
    };
    let heard = signals();
    heard
        .thread_block()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(health) = &mut health {
        health.read();
    }
    loop {
        let agent = agent(arguments).spawn();
        let agent = pid_of(&agent.map_err(|error| failed(error.to_string()))?);
        let ended =
            until_it_ends(agent, &heard, &mut health).map_err(|error| failed(error.to_string()))?;
        say(&format!("the agent ended ({ended}); starting it again"));
        std::thread::sleep(PAUSE);
    }
}

/// Children's ends, the two ways to ask for the machine's, and the time for the disks' health.
fn signals() -> SigSet {
    let mut heard = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGALRM,
    ] {
        heard.add(signal);
    }
    heard
}

fn until_it_ends(agent: Pid, heard: &SigSet, health: &mut Option<Health>) -> nix::Result<String> {
    loop {
        match heard.wait()? {
            // Control-Alt-Delete.
            Signal::SIGINT => go_down(agent, RebootMode::RB_AUTOBOOT),
            Signal::SIGTERM => go_down(agent, RebootMode::RB_POWER_OFF),
            Signal::SIGALRM => {
                if let Some(health) = health {
                    health.read();
                }
            }
            _ => {
                if let Some(ended) = reap(agent, health)? {
                    return Ok(ended);
                }
            }
        }
    }
}

/// Collects every child that ended; how the agent did, if it is among them.
fn reap(agent: Pid, health: &mut Option<Health>) -> nix::Result<Option<String>> {
    let mut found = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(found),
            Ok(WaitStatus::Exited(pid, code)) if pid == agent => {
                found = Some(format!("exit code {code}"));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => {
                found = Some(signal.to_string());
            }
            Ok(other) => {
                if let Some(health) = health {
                    health.ended(other.pid());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// What the agent acknowledged is durable already; this only spares the next boot a journal replay.
fn go_down(agent: Pid, how: RebootMode) {
    let _ = kill(agent, Signal::SIGTERM);
    std::thread::sleep(GRACE);
    nix::unistd::sync();
    let _ = reboot(how);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_over_when_its_own_process_ended() {
        let (own, other) = (Pid::from_raw(7), Pid::from_raw(8));
        let mut health = Health { running: Some(own) };
        for ended in [Some(other), None] {
            health.ended(ended);
            assert_eq!(health.running, Some(own));
        }
        health.ended(Some(own));
        assert_eq!(health.running, None);
    }
}
