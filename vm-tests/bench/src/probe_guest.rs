//! A probe guest as its build leaves it, in an emulator: started by its own program, and asked over vsock.

use crate::machine::{BOOT_WAIT, Group};
use crate::system::{programs, repository};
use anyhow::{Context as _, Result, bail, ensure};
use assay_protocol::config::PROBE_GUEST_PORT;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::time::{Duration, Instant};

/// Carries vsock between a socket here and the guest: this machine's kernel need not.
const CARRIER: &str = "target/probe-tools/usr/bin/vhost-device-vsock";
const POLL: Duration = Duration::from_millis(100);
/// Longest silence of a guest that was asked.
const SILENCE: Duration = Duration::from_secs(60);

/// The folder with the guest that `make test` built.
pub fn built() -> Result<PathBuf> {
    let folder = repository()?.join("target/probe-test");
    ensure!(
        folder.join("SHA256SUMS").is_file(),
        "{} has no probe guest\nhint: tools/test-probe.sh builds it",
        folder.display()
    );
    Ok(folder)
}

/// A running guest; everything of it ends when this is dropped.
#[derive(Debug)]
pub struct ProbeGuest {
    dir: tempfile::TempDir,
    qemu: Group,
    keyboard: ChildStdin,
    _carrier: Group,
}

impl ProbeGuest {
    /// Starts the guest in a folder.
    pub fn start(folder: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let (inside, outside) = (at("vhost.sock"), at("vsock.sock"));
        let vm = format!(
            "guest-cid=3,socket={},uds-path={}",
            inside.display(),
            outside.display()
        );
        let mut carrier = Command::new(repository()?.join(CARRIER));
        let carrier = Group::start(carrier.args(["--vm", &vm]), &at("carrier.log"))
            .context("cannot run vhost-device-vsock\nhint: tools/test-probe.sh fetches it")?;
        until(|| inside.exists()).context("vhost-device-vsock opens no socket")?;
        let mut program = Command::new(programs()?.join("assay-probe"));
        program.args(["emulate", "--socket"]).arg(&inside);
        program.arg("--guest").arg(folder);
        let (qemu, keyboard) = Group::talkative(&mut program, &at("console.log"))?;
        Ok(Self {
            dir,
            qemu,
            keyboard,
            _carrier: carrier,
        })
    }

    /// What it wrote to its console so far, a line each.
    pub fn console(&self) -> Vec<String> {
        let bytes = fs::read(self.dir.path().join("console.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace('\r', "");
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a line with `mark`.
    pub fn wait_for(&mut self, mark: &str) -> Result<()> {
        let mut ended = false;
        let _ = until(|| {
            ended = self.qemu.has_ended().unwrap_or(true);
            ended || self.console().iter().any(|line| line.contains(mark))
        });
        match self.console().iter().any(|line| line.contains(mark)) {
            true => Ok(()),
            false => bail!(
                "no line with {mark:?} (ended: {ended}): {:#?}",
                self.console()
            ),
        }
    }

    /// Types on its console.
    pub fn type_in(&mut self, text: &str) -> Result<()> {
        self.keyboard.write_all(text.as_bytes())?;
        Ok(self.keyboard.flush()?)
    }

    /// A connection to the port of a probe guest.
    pub fn connect(&self) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(self.dir.path().join("vsock.sock"))?;
        stream.set_read_timeout(Some(SILENCE))?;
        // One write: the carrier takes what its first read gives it for the whole line.
        stream.write_all(format!("CONNECT {PROBE_GUEST_PORT}\n").as_bytes())?;
        let mut line = String::new();
        // Nothing comes behind the line before the guest was asked, so nothing is lost in the buffer.
        BufReader::new(&stream).read_line(&mut line)?;
        ensure!(
            line.starts_with("OK "),
            "vsock port {PROBE_GUEST_PORT}: {line:?}"
        );
        Ok(stream)
    }
}

/// Waits, as long as a boot may take.
pub fn until(mut done: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + BOOT_WAIT;
    while !done() {
        ensure!(Instant::now() < deadline, "not within {BOOT_WAIT:?}");
        std::thread::sleep(POLL);
    }
    Ok(())
}
