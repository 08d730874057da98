//! A virtual machine with UEFI firmware and a software TPM, as much like a server as QEMU is.
//!
//! Firmware does not run under KVM everywhere; `tcg` always does. Which one is used is found by trying.

use crate::reset_line::ResetLine;
use crate::shell::{self, Shell};
use anyhow::{Context as _, Result, bail, ensure};
use assay_testbed::net::{free_port, whole_lines};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const FIRMWARE: &str = "/usr/share/OVMF";
const POLL: Duration = Duration::from_millis(100);
/// From power to the agent's first line, on a machine that has much else to do.
pub const BOOT_WAIT: Duration = Duration::from_secs(600);
/// From a program's start to its socket.
const SOCKET_WAIT: Duration = Duration::from_secs(60);
/// The file that a boot server hands out.
pub const NETWORK_IMAGE: &str = "assay.efi";
/// What the image says when it does not go on.
const STOPPED: &str = "assay-init: stopped";
/// The agent's port inside.
const AGENT_PORT: u16 = 7143;
/// Where a second agent would be.
const SECOND_PORT: u16 = 7144;

/// Which keys the firmware holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureBoot {
    /// None: Secure Boot is off.
    Off,
    /// Those of Debian's test firmware, whose private key everybody has.
    TestKeys,
}

impl SecureBoot {
    fn files(self) -> (PathBuf, PathBuf) {
        let variables = match self {
            Self::Off => "OVMF_VARS_4M.fd",
            Self::TestKeys => "OVMF_VARS_4M.snakeoil.fd",
        };
        let at = |name: &str| Path::new(FIRMWARE).join(name);
        (at("OVMF_CODE_4M.secboot.fd"), at(variables))
    }
}

/// What is bought: parts that outlive a power cut.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The disk, raw.
    pub disk: PathBuf,
    /// State of the TPM.
    pub tpm: PathBuf,
    /// Its memory.
    pub memory_mib: u32,
    /// Keys in the firmware.
    pub secure_boot: SecureBoot,
    /// What is before the disk: QEMU's block options, as `throttling.iops-total=50`.
    pub disk_options: String,
    /// Kernel and initial file system that the firmware is handed, with a command line, instead of a loader on the disk.
    pub kernel: Option<Kernel>,
    /// What comes and goes waits so long, in milliseconds at most; 0 for a near network.
    pub network_delay_ms: u32,
    /// Folder of a network's boot server; the firmware takes [`NETWORK_IMAGE`] from there before it looks at the disk.
    pub network_boot: Option<PathBuf>,
    /// A second disk, raw; what is there is `/dev/vdb` inside.
    pub second_disk: Option<PathBuf>,
    /// An NVMe disk with a controller of its own, raw; `/dev/nvme0n1` inside.
    pub nvme: Option<PathBuf>,
    /// Whether a wire for root's shell leads inside.
    pub shell: bool,
}

/// A kernel from outside of the disk.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The kernel.
    pub image: PathBuf,
    /// Its initial file system.
    pub initial: PathBuf,
    /// Its command line.
    pub line: String,
}

/// A running machine; everything of it ends when this is dropped.
#[derive(Debug)]
pub struct Machine {
    dir: tempfile::TempDir,
    /// Where its agent can be reached from here.
    pub endpoint: String,
    /// Where a second agent could be reached, at port 7144 inside.
    pub second_endpoint: String,
    tpm: Group,
    reset_line: ResetLine,
    qemu: Group,
}

impl Machine {
    /// Switches it on.
    pub fn start(parts: &Parts) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let chip = dir.path().join("chip.sock");
        let tpm = start_tpm(&parts.tpm, &chip, &dir.path().join("tpm.log"))?;
        let chip = connected(&chip)?;
        let reset_line = ResetLine::between(&dir.path().join("tpm.sock"), chip)?;
        let ports = (free_port()?, free_port()?);
        let variables = dir.path().join("variables.fd");
        fs::copy(parts.secure_boot.files().1, &variables)
            .with_context(|| format!("no firmware in {FIRMWARE}\nhint: apt-get install ovmf"))?;
        let qemu = Group::start(
            &mut qemu(parts, dir.path(), ports),
            &dir.path().join("qemu.log"),
        )
        .context("cannot run QEMU\nhint: apt-get install qemu-system-x86")?;
        Ok(Self {
            endpoint: format!("127.0.0.1:{}", ports.0),
            second_endpoint: format!("127.0.0.1:{}", ports.1),
            dir,
            tpm,
            reset_line,
            qemu,
        })
    }

    /// What it wrote to its console so far.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.dir.path().join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// Waits for `count` lines with `mark`; returns the last of them. An error shows the console's end.
    pub fn wait_for(&mut self, mark: &str, count: usize) -> Result<String> {
        let deadline = Instant::now() + BOOT_WAIT;
        loop {
            let console = self.console();
            let mut found = whole_lines(&console).filter(|line| line.contains(mark));
            if let Some(line) = found.nth(count.saturating_sub(1)) {
                return Ok(line.to_owned());
            }
            let ended = self.qemu.has_ended()? || console.contains(STOPPED);
            if ended || Instant::now() > deadline {
                let from = console.len().saturating_sub(3000);
                let end = console.get(from..).unwrap_or(&console);
                let log = fs::read_to_string(self.dir.path().join("qemu.log")).unwrap_or_default();
                bail!("no line with {mark:?} (ended: {ended}) on the console:\n{end}\n{log}");
            }
            std::thread::sleep(POLL);
        }
    }

    /// The reset button.
    pub fn reset(&self) -> Result<()> {
        let mut monitor = UnixStream::connect(self.dir.path().join("monitor"))?;
        let mut lines = BufReader::new(monitor.try_clone()?).lines();
        lines.next().context("no greeting of the monitor")??;
        for command in ["qmp_capabilities", "system_reset"] {
            writeln!(monitor, "{{\"execute\":\"{command}\"}}")?;
            let mut answers = lines.by_ref().map_while(Result::ok);
            // Events come between.
            let answer = answers.find(|line| !line.contains("\"event\""));
            let answer = answer.context("no answer of the monitor")?;
            ensure!(answer.contains("\"return\""), "{command}: {answer}");
        }
        Ok(())
    }

    /// Resets the TPM alone, while the system runs on.
    pub fn reset_tpm(&self) -> Result<()> {
        self.reset_line.pull()
    }

    /// Root's shell inside, where [`Parts::shell`] says that there is one.
    pub fn shell(&self) -> Result<Shell> {
        Shell::over(connected(&self.dir.path().join("shell"))?)
    }

    /// Pulls the plug: neither the system nor the TPM is told.
    pub fn cut_power(mut self) {
        self.qemu.kill();
        self.tpm.kill();
    }
}

fn qemu(parts: &Parts, dir: &Path, ports: (u16, u16)) -> Command {
    let at = |name: &str| dir.join(name).display().to_string();
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-machine", &format!("q35,smm=on,accel={}", accelerator())]);
    let memory = parts.memory_mib.to_string();
    command.args(["-cpu", "max", "-m", &memory, "-smp", "1"]);
    command.args(["-nodefaults", "-display", "none"]);
    firmware(&mut command, parts, &at("variables.fd"));
    command.args([
        "-chardev",
        &format!("socket,id=tpm,path={}", at("tpm.sock")),
    ]);
    command.args(["-tpmdev", "emulator,id=tpm0,chardev=tpm"]);
    command.args(["-device", "tpm-tis,tpmdev=tpm0"]);
    disk(&mut command, parts);
    network(&mut command, parts, ports);
    command.args(["-serial", &format!("file:{}", at("console.log"))]);
    let monitor = format!("unix:{},server=on,wait=off", at("monitor"));
    command.args(["-qmp", &monitor]);
    if parts.shell {
        let wire = format!("socket,id=shell,server=on,wait=off,path={}", at("shell"));
        command.args(["-chardev", &wire, "-device", "virtio-serial-pci"]);
        let port = format!("virtserialport,chardev=shell,name={}", shell::PORT);
        command.args(["-device", &port]);
    }
    command
}

fn firmware(command: &mut Command, parts: &Parts, variables: &str) {
    let (code, _) = parts.secure_boot.files();
    let code = format!("readonly=on,file={}", code.display());
    command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
    for (unit, file) in [code, format!("file={variables}")].iter().enumerate() {
        command.args([
            "-drive",
            &format!("if=pflash,unit={unit},format=raw,{file}"),
        ]);
    }
    if let Some(kernel) = &parts.kernel {
        command.arg("-kernel").arg(&kernel.image);
        command.arg("-initrd").arg(&kernel.initial);
        command.args(["-append", &kernel.line]);
    }
}

fn disk(command: &mut Command, parts: &Parts) {
    let options = match parts.disk_options.as_str() {
        "" => String::new(),
        options => format!(",{options}"),
    };
    // cache=none: what the guest reads past its cache is read past ours.
    let file = parts.disk.display();
    let disk = format!("if=none,id=disk,format=raw,cache=none,file={file}{options}");
    command.args(["-drive", &disk]);
    let order = if parts.network_boot.is_some() { 2 } else { 1 };
    let device = format!("virtio-blk-pci,drive=disk,bootindex={order}");
    command.args(["-device", &device]);
    if let Some(second) = &parts.second_disk {
        let file = second.display();
        let disk = format!("if=none,id=second,format=raw,cache=none,file={file}");
        command.args(["-drive", &disk, "-device", "virtio-blk-pci,drive=second"]);
    }
    if let Some(nvme) = &parts.nvme {
        let file = nvme.display();
        let disk = format!("if=none,id=nvme,format=raw,cache=none,file={file}");
        command.args(["-drive", &disk, "-device", "nvme,drive=nvme,serial=nvme-1"]);
    }
}

/// The machine reaches nobody, and from here only its agents are reached.
fn network(command: &mut Command, parts: &Parts, ports: (u16, u16)) {
    let inside = [(ports.0, AGENT_PORT), (ports.1, SECOND_PORT)];
    let forward = |(port, inside)| format!(",hostfwd=tcp:127.0.0.1:{port}-:{inside}");
    let forwards: String = inside.map(forward).concat();
    let server = parts.network_boot.as_ref();
    let server = server.map(|dir| format!(",tftp={},bootfile={NETWORK_IMAGE}", dir.display()));
    let server = server.unwrap_or_default();
    command.args([
        "-netdev",
        &format!("user,id=net,restrict=on{forwards}{server}"),
    ]);
    let order = if parts.network_boot.is_some() { 1 } else { 2 };
    let card = format!("virtio-net-pci,netdev=net,romfile=,bootindex={order}");
    command.args(["-device", &card]);
    if parts.network_delay_ms > 0 {
        let filter = "filter-buffer,id=slow,netdev=net,queue=all,interval";
        let interval = parts.network_delay_ms.saturating_mul(1000);
        command.args(["-object", &format!("{filter}={interval}")]);
    }
}

/// swtpm ends with the machine, as its only client.
fn start_tpm(state: &Path, socket: &Path, log: &Path) -> Result<Group> {
    let mut command = Command::new("swtpm");
    command.args(["socket", "--tpm2"]);
    command.args(["--tpmstate", &format!("dir={}", state.display())]);
    command.args(["--ctrl", &format!("type=unixio,path={}", socket.display())]);
    Group::start(&mut command, log)
        .context("cannot run swtpm\nhint: apt-get install swtpm swtpm-tools")
}

/// Connects to the socket of a program that was started, as soon as it is there and listened at: it is made first.
pub(crate) fn connected(socket: &Path) -> Result<UnixStream> {
    let deadline = Instant::now() + SOCKET_WAIT;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => {
                let socket = socket.display();
                return Err(error).with_context(|| format!("{socket} within {SOCKET_WAIT:?}"));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// A process with all it starts; they end when this is dropped.
#[derive(Debug)]
pub struct Group(Child);

impl Group {
    /// Starts it with what it says in a file.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        command.stdin(Stdio::null());
        Self::listened(command, log)
    }

    /// The same with something that can be said to it.
    pub fn talkative(command: &mut Command, log: &Path) -> Result<(Self, ChildStdin)> {
        command.stdin(Stdio::piped());
        let mut group = Self::listened(command, log)?;
        let input = group.0.stdin.take().context("no input")?;
        Ok((group, input))
    }

    fn listened(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        command.stdout(log.try_clone()?).stderr(log);
        Ok(Self(command.process_group(0).spawn()?))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    fn kill(&mut self) {
        if let Ok(group) = i32::try_from(self.0.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `kvm` where firmware says something under it, else `tcg`.
fn accelerator() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    FOUND.get_or_init(|| match firmware_speaks("kvm") {
        Ok(true) => "kvm",
        Ok(false) | Err(_) => "tcg",
    })
}

/// Whether the firmware, with nothing to boot, writes to the console under `accelerator`.
fn firmware_speaks(accelerator: &str) -> Result<bool> {
    let wait = Duration::from_secs(5);
    let (code, variables) = SecureBoot::Off.files();
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-machine",
        &format!("q35,smm=on,accel={accelerator}"),
        "-m",
        "256",
    ]);
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio"]);
    for (unit, file) in [code, variables].iter().enumerate() {
        let drive = format!(
            "if=pflash,unit={unit},format=raw,readonly=on,file={}",
            file.display()
        );
        command.args(["-drive", &drive]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.process_group(0).spawn()?;
    let mut output = child.stdout.take().context("no output")?;
    let mut group = Group(child);
    let reader = std::thread::spawn(move || output.read(&mut [0; 64]).is_ok_and(|read| read > 0));
    let deadline = Instant::now() + wait;
    while !reader.is_finished() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    group.kill();
    Ok(reader.join().is_ok_and(|spoke| spoke))
}
