//! A real software TPM (swtpm) as a child process on loopback.

use crate::ca::TestCa;
use crate::raw_tpm::RawTpm;
use crate::tool::run;
use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Below Linux's ephemeral range, so that no outgoing connection takes a port between two starts.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const START_TIMEOUT: Duration = Duration::from_secs(20);
const START_ATTEMPTS: usize = 20;

/// A running swtpm; killed on drop. Its state directory outlives it, as a chip outlives a reboot.
#[derive(Debug)]
pub struct Swtpm {
    state: PathBuf,
    port: u16,
    child: Child,
}

impl Swtpm {
    /// Makes a new TPM in `state` with EK certificates (RSA-2048 at NV 0x01C00002, P-384 at
    /// 0x01C00016) and a platform certificate by `ca`. Does nothing when `state` holds one.
    pub fn manufacture(state: &Path, ca: &TestCa, label: &str) -> Result<()> {
        if state.join("tpm2-00.permall").exists() {
            return Ok(());
        }
        std::fs::create_dir_all(state)?;
        let mut command = Command::new("swtpm_setup");
        command.args([
            "--tpm2",
            "--create-ek-cert",
            "--create-platform-cert",
            "--lock-nvram",
        ]);
        command.args(["--pcr-banks", "sha256", "--vmid", label]);
        command.arg("--config").arg(ca.setup_config());
        command.arg("--tpmstate").arg(state);
        run(&mut command)
    }

    /// Powers on the TPM whose state is in `state`, on two free neighbouring ports.
    pub fn start(state: &Path) -> Result<Self> {
        for _ in 0..START_ATTEMPTS {
            let port = free_port_pair()?;
            if let Some(swtpm) = Self::start_on(state, port)? {
                return Ok(swtpm);
            }
        }
        bail!("no two free neighbouring ports in {PORTS:?} after {START_ATTEMPTS} attempts")
    }

    /// [`Self::manufacture`] and [`Self::start`].
    pub fn create(state: &Path, ca: &TestCa, label: &str) -> Result<Self> {
        Self::manufacture(state, ca, label)?;
        Self::start(state)
    }

    /// The data channel's TCP port; the control channel is the next one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The agent's `tcti` setting for this TPM.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The process id of swtpm.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// A raw connection. swtpm serves one client: a second one waits until this is dropped.
    pub fn connect(&self) -> Result<RawTpm> {
        RawTpm::connect(address(self.port))
    }

    /// Cuts the power: SIGKILL, without TPM2_Shutdown.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A reboot on the same ports: PCRs are reset, resetCount grows, NV and keys stay.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9();
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(mut started) = Self::start_on(&self.state, self.port)? {
                std::mem::swap(&mut self.child, &mut started.child);
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("swtpm does not start again on port {}", self.port);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGSTOP: the TPM neither answers nor closes its connections.
    pub fn freeze(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(self.pid()), Signal::SIGSTOP)?)
    }

    /// SIGCONT after [`Self::freeze`].
    pub fn thaw(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(self.pid()), Signal::SIGCONT)?)
    }

    /// `None` when the process ended at once, as it does when a port is taken.
    fn start_on(state: &Path, port: u16) -> Result<Option<Self>> {
        let log = std::fs::File::create(state.join("swtpm.log"))?;
        let mut command = Command::new("swtpm");
        command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
        command
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()));
        command
            .arg("--server")
            .arg(format!("type=tcp,bindaddr=127.0.0.1,port={port}"));
        let control = u32::from(port) + 1;
        command
            .arg("--ctrl")
            .arg(format!("type=tcp,bindaddr=127.0.0.1,port={control}"));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // Its own process group: a Ctrl-C on the demo must not take the TPMs before the agents.
        let child = command
            .process_group(0)
            .spawn()
            .context("cannot run swtpm\nhint: install it: apt-get install swtpm swtpm-tools")?;
        let mut swtpm = Self {
            state: state.to_owned(),
            port,
            child,
        };
        Ok(swtpm.wait_ready()?.then_some(swtpm))
    }

    fn wait_ready(&mut self) -> Result<bool> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if self.connect().and_then(|mut tpm| tpm.ping()).is_ok() {
                return Ok(self.child.try_wait()?.is_none());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(self.state.join("swtpm.log")).unwrap_or_default();
        bail!(
            "swtpm on port {} is not ready after {START_TIMEOUT:?}: {log}",
            self.port
        )
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A port of this machine.
pub(crate) fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port such that it and its successor are free now; drawn, so that parallel tests rarely meet.
pub(crate) fn free_port_pair() -> Result<u16> {
    for _ in 0..1000 {
        let mut draw = [0u8; 2];
        aws_lc_rs::rand::fill(&mut draw)?;
        let offset = u16::from_be_bytes(draw) % (PORTS.end - PORTS.start);
        let port = PORTS.start + (offset & !1);
        let free = |port| TcpListener::bind(address(port)).is_ok();
        if free(port) && free(port + 1) {
            return Ok(port);
        }
    }
    bail!("no two free neighbouring ports in {PORTS:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_tpm(dir: &Path) -> Swtpm {
        let ca = TestCa::create(&dir.join("ca")).unwrap();
        Swtpm::create(&dir.join("tpm"), &ca, "node").unwrap()
    }

    #[test]
    fn a_restart_resets_the_registers_and_keeps_the_ports() {
        let dir = tempfile::tempdir().unwrap();
        let mut tpm = new_tpm(dir.path());
        let port = tpm.port();
        tpm.connect().unwrap().extend(12, &[7; 32]).unwrap();
        assert_ne!(tpm.connect().unwrap().read_pcr(12).unwrap(), [0; 32]);
        tpm.restart().unwrap();
        assert_eq!(tpm.port(), port);
        assert_eq!(tpm.connect().unwrap().read_pcr(12).unwrap(), [0; 32]);
    }

    #[test]
    fn it_dies_with_its_owner_and_can_be_frozen() {
        let dir = tempfile::tempdir().unwrap();
        let tpm = new_tpm(dir.path());
        let (pid, port) = (tpm.pid(), tpm.port());
        tpm.freeze().unwrap();
        tpm.thaw().unwrap();
        tpm.connect().unwrap().ping().unwrap();
        drop(tpm);
        assert!(kill(Pid::from_raw(pid), None).is_err());
        assert!(RawTpm::connect(address(port)).is_err());
    }
}
