//! Root's shell inside a Debian machine, over a wire of its own that is no part of what is tested.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The port's name inside.
pub const PORT: &str = "assay.shell";
/// Longest wait for a line of output.
const WAIT: Duration = Duration::from_secs(600);
/// Longest wait for a word from a shell that may not be there yet, or has gone with what was said to it.
const CALL: Duration = Duration::from_secs(5);
/// Begins the line that says how a script ended.
const END: &str = "=ended= ";
/// Begins the line of a shell that was called.
const HERE: &str = "=here= ";

/// The unit inside that answers. It opens a device only: opening for both ways makes a file where nothing is, and udev
/// never puts its link over a file.
pub fn unit() -> String {
    let port = format!("/dev/virtio-ports/{PORT}");
    let shell = format!("[ -c {port} ] && exec 3<>{port} && exec /bin/sh <&3 >&3 2>&3 3<&-");
    format!(
        "[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\nStartLimitIntervalSec=0\n\
         [Service]\nExecStart=/bin/sh -c '{shell}'\nRestart=always\nRestartSec=1\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

/// The wire's end here.
#[derive(Debug)]
pub struct Shell {
    answers: BufReader<UnixStream>,
    scripts: usize,
}

impl Shell {
    /// Over a connection to QEMU's socket; what is said waits there until the system is up.
    pub fn over(stream: UnixStream) -> Result<Self> {
        Ok(Self {
            answers: BufReader::new(stream),
            scripts: 0,
        })
    }

    /// Runs a script to its end and returns what it printed; an error carries that.
    pub fn run(&mut self, script: &str) -> Result<String> {
        match self.status(script)? {
            (0, said) => Ok(said),
            (code, said) => bail!("{script:?} ended with {code}: {said}"),
        }
    }

    /// Runs a script to its end; returns its exit code and what it printed, errors among it.
    pub fn status(&mut self, script: &str) -> Result<(i32, String)> {
        self.scripts += 1;
        self.call()
            .with_context(|| format!("no shell for {script:?}"))?;
        // Numbered, so that what a machine said before it went down is not taken for an answer.
        let end = format!("{END}{} ", self.scripts);
        let framed = format!("(\n{script}\n) </dev/null 2>&1; printf '\\n{end}%s\\n' $?\n");
        self.answers.get_mut().write_all(framed.as_bytes())?;
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let length = self.answers.read_line(&mut line);
            let length = length.with_context(|| format!("{script:?} is silent after {said:?}"))?;
            if length == 0 {
                bail!("the machine ended during {script:?}: {said}");
            }
            if let Some(code) = line.strip_prefix(&end) {
                let said = said.strip_suffix('\n').unwrap_or(&said);
                return Ok((code.trim().parse()?, said.to_owned()));
            }
            said += &line;
        }
    }

    /// Waits for a shell that listens. One that ends takes with it what it has not read, so that only a call is lost.
    fn call(&mut self) -> Result<()> {
        self.answers.get_ref().set_read_timeout(Some(CALL))?;
        let here = format!("{HERE}{}\n", self.scripts);
        let call = format!("printf '\\n%s\\n' '{}'\n", here.trim_end());
        let deadline = Instant::now() + WAIT;
        while Instant::now() < deadline {
            self.answers.get_mut().write_all(call.as_bytes())?;
            if self.has_said(&here)? {
                return Ok(self.answers.get_ref().set_read_timeout(Some(WAIT))?);
            }
        }
        bail!("no answer within {WAIT:?}")
    }

    /// Whether this line comes before a long silence; what comes before it belongs to no script.
    fn has_said(&mut self, expected: &str) -> Result<bool> {
        loop {
            let mut line = String::new();
            match self.answers.read_line(&mut line) {
                Ok(0) => bail!("the machine has ended"),
                Ok(_) if line == expected => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::process::Command;

    #[test]
    fn a_shell_that_takes_the_first_words_with_it_is_called_again() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let inside = std::thread::spawn(move || {
            let taken = there.read(&mut [0; 4096]).unwrap();
            assert!(taken > 0, "nothing was said to the first shell");
            let [input, output] = [there.try_clone().unwrap(), there].map(OwnedFd::from);
            let mut shell = Command::new("/bin/sh");
            shell.stdin(input).stdout(output).status().unwrap()
        });
        let mut shell = Shell::over(here).unwrap();
        assert_eq!(shell.run("echo one; echo two >&2").unwrap(), "one\ntwo\n");
        assert_eq!(shell.status("exit 3").unwrap(), (3, String::new()));
        drop(shell);
        assert!(inside.join().unwrap().success());
    }

    #[test]
    fn a_machine_that_ends_is_told() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut shell = Shell::over(here).unwrap();
        drop(there);
        let error = shell.run("true").unwrap_err();
        assert!(format!("{error:#}").contains("no shell for"), "{error:#}");
    }
}
