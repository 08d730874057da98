//! Root's shell inside a Debian machine, over a wire of its own that is no part of what is tested.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The port's name inside.
pub const PORT: &str = "assay.shell";
/// Longest wait for a line of output.
const WAIT: Duration = Duration::from_secs(600);
/// Begins the line that says how a script ended.
const END: &str = "=ended= ";

/// The unit inside that answers.
pub fn unit() -> String {
    let port = format!("/dev/virtio-ports/{PORT}");
    let shell = format!("exec 3<>{port}; exec /bin/sh <&3 >&3 2>&3 3<&-");
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
        stream.set_read_timeout(Some(WAIT))?;
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
}
