//! A running Debian machine with root's shell.

use crate::machine::Machine;
use crate::shell::Shell;
use crate::trial::{Trial, serves_again};
use anyhow::Result;
use assay_protocol::ids::NodeId;

/// The machine.
pub struct Guest {
    /// What it is made of, and who judges it.
    pub trial: Trial,
    /// It.
    pub machine: Machine,
    /// Root's hands in it.
    pub shell: Shell,
    /// Its node id; zeros before its agent's first start.
    pub node: NodeId,
    starts: usize,
}

impl Guest {
    /// Switches it on and waits until its agent serves.
    pub fn boot(trial: Trial) -> Result<Self> {
        let machine = Machine::start(&trial.parts)?;
        let mut guest = Self::of(trial, machine)?;
        guest.node = guest.serves_again()?;
        Ok(guest)
    }

    /// One that was switched on, whose agent is not there yet.
    pub fn of(trial: Trial, machine: Machine) -> Result<Self> {
        Ok(Self {
            shell: machine.shell()?,
            trial,
            machine,
            node: NodeId([0; 32]),
            starts: 0,
        })
    }

    /// Waits for one more start of an agent in it.
    pub fn serves_again(&mut self) -> Result<NodeId> {
        self.starts += 1;
        serves_again(&mut self.machine, self.starts)
    }

    /// Bytes of a file of it.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let hexadecimal = self.shell.run(&format!("od -An -v -tx1 {path}"))?;
        let digits: String = hexadecimal.split_whitespace().collect();
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
        pairs.map(byte).collect()
    }

    /// Writes a file of it.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
        // The shell's own printf: no program's command line is that long.
        self.shell
            .run(&format!("printf '{octal}' >{path}"))
            .map(drop)
    }
}
