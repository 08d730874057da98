//! The first process of the flashable image: it brings the verified root file system up, closes what could be opened
//! later, has the configuration measured and keeps the agent running. And the first process of a probe guest, whose
//! initial file system is all there is.
//!
//! There is no shell and no login. What it cannot do it says on the console, and stops there: a machine that did not
//! come up as published must not serve.
#![forbid(unsafe_code)]

mod closing;
mod command_line;
mod disks;
mod error;
mod modules;
mod mounts;
mod network;
mod supervise;

use assay_protocol::config::AgentConfig;
use command_line::Role;
use error::Failure;
use std::path::Path;
use std::process::ExitCode;

/// Where the measured configuration is kept while the machine runs.
const CONFIG: &str = "/run/assay/agent.toml";
/// Where it lies on the EFI system partition.
const CONFIG_ON_ESP: &str = "assay/agent.toml";

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!(
            "error: assay-init is the first process of the flashable image or of a probe guest and does nothing elsewhere"
        );
        return ExitCode::from(2);
    }
    match bring_up() {
        Ok(never) => match never {},
        Err(failure) => {
            say(&format!("error: {failure}"));
            say("stopped; correct it and start the machine again");
            // The first process must not end: the kernel would panic and the message scroll away.
            loop {
                std::thread::park();
            }
        }
    }
}

fn bring_up() -> Result<std::convert::Infallible, Failure> {
    mounts::early()?;
    let line = read_text("/proc/cmdline")?;
    match command_line::role(&line)? {
        Role::Server => server(&command_line::root_hash(&line)?),
        Role::ProbeGuest => probe_guest(),
    }
}

/// Everything is closed before the host is listened to. There is no disk, no network and nothing to configure.
fn probe_guest() -> Result<std::convert::Infallible, Failure> {
    modules::load_for_probe_guest()?;
    modules::close()?;
    closing::close()?;
    supervise::keep_running(&["probe-guest"], None)
}

/// In this order: whatever can load code is closed before anything from outside is looked at.
fn server(hash: &str) -> Result<std::convert::Infallible, Failure> {
    modules::load()?;
    let parts = disks::wait_for_parts()?;
    mounts::verified_root(&parts, hash)?;
    let text = mounts::read_from_esp(&parts.esp, CONFIG_ON_ESP)?;
    modules::close()?;
    mounts::switch_root()?;
    closing::close()?;
    let config = AgentConfig::parse(&text).map_err(Failure::Config)?;
    mounts::write(Path::new(CONFIG), &text)?;
    mounts::state(&parts.state, &config.state_dir)?;
    if let Some(machine) = &config.machine {
        network::configure(machine)?;
    }
    supervise::measure(CONFIG)?;
    if let Some(device) = config.tpm.tcti.strip_prefix("device:") {
        mounts::give_to_agent(Path::new(device))?;
    }
    let health = supervise::Health::default();
    supervise::keep_running(&["run", "--config", CONFIG], Some(health))
}

/// A line on the console.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "assay-init: {line}");
}

fn read_text(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(error::at(path))
}
