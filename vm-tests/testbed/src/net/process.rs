//! A program of the product as a child process: its output in a log file, ended with its owner.

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Pause between two looks at a log or a child.
const POLL: Duration = Duration::from_millis(20);

/// Where the product's programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// The folder of the running program: cargo puts all of a build set there (tests one below).
    pub fn beside_this_one() -> Result<Self> {
        let exe = std::env::current_exe()?;
        let dir = exe.parent().context("this program has no folder")?;
        let dir = if dir.ends_with("deps") {
            dir.parent().unwrap_or(dir)
        } else {
            dir
        };
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The path of one of them; an error that says how to build it when it is not there.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if !path.is_file() {
            bail!(
                "{} is not built\nhint: cargo build --workspace --bins",
                path.display()
            );
        }
        Ok(path)
    }

    /// Runs one to its end and returns its standard output; an error carries what it said.
    pub fn run(&self, name: &str, args: &[&str]) -> Result<String> {
        let output = Command::new(self.path(name)?)
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{name} {}: {}\n{said}", args.join(" "), output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs one to its end and returns exit code and standard output.
    pub fn status(&self, name: &str, args: &[&str]) -> Result<(i32, String)> {
        let output = Command::new(self.path(name)?)
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        let code = output
            .status
            .code()
            .with_context(|| format!("{name} was killed"))?;
        Ok((code, String::from_utf8(output.stdout)?))
    }
}

/// The lines that were written to their end: programs write one in pieces.
pub fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.split_inclusive('\n');
    lines.filter_map(|line| line.strip_suffix('\n'))
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    /// Length of the log when the current child was started.
    started_at: u64,
}

impl Daemon {
    /// Starts it with its output appended to `log`.
    pub fn start(name: &str, program: PathBuf, args: &[&str], log: &Path) -> Result<Self> {
        Self::start_in(Vec::new(), name, program, args, log)
    }

    /// The same with these variables in its environment.
    pub fn start_in(
        environment: Vec<(String, String)>,
        name: &str,
        program: PathBuf,
        args: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (name, log) = (name.to_owned(), log.to_owned());
        let mut daemon = Self {
            name,
            program,
            args,
            environment,
            log,
            child: None,
            started_at: 0,
        };
        daemon.restart()?;
        Ok(daemon)
    }

    /// Starts it again after it ended.
    pub fn restart(&mut self) -> Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        self.started_at = log.metadata()?.len();
        let child = Command::new(&self.program)
            .args(&self.args)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the current child has written a line with `mark`, and returns the line.
    pub fn wait_for(&mut self, mark: &str, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            let text = self.output()?;
            if let Some(line) = whole_lines(&text).find(|line| line.contains(mark)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten()
            {
                bail!("{} ended with {status}:\n{text}", self.name);
            }
            if Instant::now() > deadline {
                bail!(
                    "{}: no line with {mark:?} within {within:?}:\n{text}",
                    self.name
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// What the current child wrote.
    pub fn output(&self) -> Result<String> {
        let bytes = fs::read(&self.log)?;
        let from = usize::try_from(self.started_at)?.min(bytes.len());
        Ok(String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned())
    }

    /// Whether the child still runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Ends it at once, as a crash would.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end and waits; kills it when it does not.
    pub fn stop(&mut self) {
        let Some(child) = self.child.as_mut() else {
            return;
        };
        if let Ok(pid) = i32::try_from(child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        let deadline = Instant::now() + Duration::from_secs(3);
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.kill9();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
    }
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn a_line_that_is_being_written_is_none_yet() {
        let all = |text| whole_lines(text).collect::<Vec<_>>();
        assert_eq!(all("listening on 0.0.0.0:714"), [""; 0]);
        assert_eq!(all("one\n\nlistening on 0.0.0.0:714"), ["one", ""]);
        assert_eq!(
            all("listening on 0.0.0.0:7143\n"),
            ["listening on 0.0.0.0:7143"]
        );
    }
}
