//! What root can do to a running agent's memory, tried one way after the other, on a machine of the tests.
//!
//! The published image runs nothing but its own programs. To stand in it all the same this program goes into a changed
//! initial file system as the first process, leaves a child behind and becomes the published one. Each way ends in a
//! line on the console: `intruder: WAY: refused: REASON` or `intruder: WAY: ALLOWED`.
#![forbid(unsafe_code)]

use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Where the changed initial file system has this program, and the one that it stands before.
const OWN: &str = "/init";
const PUBLISHED: &str = "/init.published";
/// How the agent's command line begins, NUL between words.
const AGENT: &str = "assay-agent\0run\0";
const POLL: Duration = Duration::from_millis(200);
/// Settings that the image closes for as long as the machine runs.
const SETTINGS: [&str; 3] = [
    "yama/ptrace_scope",
    "kexec_load_disabled",
    "modules_disabled",
];
/// Files of the kernel that show memory.
const MEMORY: [(&str, &str); 3] = [
    ("/proc/kcore", "kcore"),
    ("/dev/mem", "../dev/mem"),
    ("/dev/port", "../dev/port"),
];

fn main() -> ExitCode {
    if std::process::id() == 1 {
        if let Err(error) = Command::new(OWN).arg("stay").spawn() {
            say(&format!("{OWN}: {error}"));
        }
        let error = Command::new(PUBLISHED).exec();
        say(&format!("{PUBLISHED}: {error}"));
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    // It stays there when the root changes: everything below is found from it.
    while std::env::set_current_dir("/proc").is_err() || !Path::new("self").exists() {
        std::thread::sleep(POLL);
    }
    let agent = loop {
        match agent()? {
            Some(agent) => break agent,
            None => std::thread::sleep(POLL),
        }
    };
    tell("process memory file", memory_file(agent));
    tell("process_vm_readv", other_memory(agent));
    for (name, file) in MEMORY {
        tell(name, first_bytes(file));
    }
    for setting in SETTINGS {
        tell(setting, open_again(setting));
    }
    // The last, since it holds on to the agent until this ends.
    tell(
        "ptrace",
        ptrace::seize(agent, ptrace::Options::empty()).map_err(io::Error::from),
    );
    say("done");
    Ok(())
}

/// The agent, once it has become another user.
fn agent() -> io::Result<Option<Pid>> {
    for entry in fs::read_dir(".")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let line = fs::read_to_string(format!("{pid}/cmdline")).unwrap_or_default();
        let status = fs::read_to_string(format!("{pid}/status")).unwrap_or_default();
        let user = status.lines().find_map(|line| line.strip_prefix("Uid:\t"));
        if line.starts_with(AGENT) && user.is_some_and(|user| !user.starts_with("0\t")) {
            return Ok(Some(Pid::from_raw(pid)));
        }
    }
    Ok(None)
}

/// Where something of the process lies; its first page when even that is not said.
fn address(agent: Pid) -> u64 {
    let maps = fs::read_to_string(format!("{agent}/maps")).unwrap_or_default();
    let first = maps.split('-').next().unwrap_or_default();
    u64::from_str_radix(first, 16).unwrap_or(4096)
}

fn memory_file(agent: Pid) -> io::Result<()> {
    let file = File::open(format!("{agent}/mem"))?;
    file.read_exact_at(&mut [0; 16], address(agent))
}

fn other_memory(agent: Pid) -> io::Result<()> {
    let base = usize::try_from(address(agent)).map_err(io::Error::other)?;
    let mut bytes = [0; 16];
    let remote = [RemoteIoVec { base, len: 16 }];
    process_vm_readv(agent, &mut [IoSliceMut::new(&mut bytes)], &remote)?;
    Ok(())
}

fn first_bytes(file: &str) -> io::Result<()> {
    File::open(file)?.read_at(&mut [0; 16], 0).map(drop)
}

fn open_again(setting: &str) -> io::Result<()> {
    let path = format!("sys/kernel/{setting}");
    let before = fs::read_to_string(&path)?;
    OpenOptions::new()
        .write(true)
        .open(&path)?
        .write_all(b"0")?;
    // As it was found, where it was open to begin with.
    fs::write(&path, before)
}

fn tell(way: &str, done: io::Result<()>) {
    match done {
        Ok(()) => say(&format!("{way}: ALLOWED")),
        Err(error) => say(&format!("{way}: refused: {error}")),
    }
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "intruder: {text}");
}
