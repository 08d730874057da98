//! A real EVM node (anvil, pinned by `ledger-bridge/contracts/package.json`) as a child process on loopback.

use crate::rpc_call::{rpc_answer, rpc_call};
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Names the program where it is not in the repository's `node_modules`.
pub const PROGRAM_VARIABLE: &str = "ASSAY_ANVIL";
const INSTALLED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../ledger-bridge/contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
);
/// Chain id of every node started here.
pub const CHAIN_ID: u64 = 31_337;
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A running node; killed on drop.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    address: SocketAddr,
    arguments: Vec<String>,
}

impl Anvil {
    /// Where the program is. Its absence is an error and never a test that passes.
    pub fn program() -> Result<PathBuf> {
        let path = std::env::var_os(PROGRAM_VARIABLE)
            .map_or_else(|| PathBuf::from(INSTALLED), PathBuf::from);
        ensure!(
            path.is_file(),
            "{}: the EVM node of the tests is not installed\n\
             hint: run `npm ci` in ledger-bridge/contracts, or name the program in {PROGRAM_VARIABLE}",
            path.display()
        );
        Ok(path)
    }

    /// Starts a node under the rules of the embedded chain, two blocks behind which a block is final, on a free port.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let (child, address) = spawn(&arguments, 0)?;
        Ok(Self {
            child,
            address,
            arguments,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers, for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks the node; an error of it is an error.
    pub fn call(&self, method: &str, params: Value) -> Result<Value> {
        rpc_call(self.address, method, &params)
    }

    /// Asks the node and returns what it answers, errors too.
    pub fn answer(&self, method: &str, params: Value) -> Result<Value> {
        rpc_answer(self.address, method, &params)
    }

    /// Gives an account (20 bytes in hexadecimal) this balance.
    pub fn set_balance(&self, account: &str, amount: u128) -> Result<()> {
        let params = json!([prefixed(account), format!("{amount:#x}")]);
        self.call("anvil_setBalance", params).map(drop)
    }

    /// Makes empty blocks, or such with what waits in the pool.
    pub fn mine(&self, blocks: u64) -> Result<()> {
        let params = json!([format!("{blocks:#x}")]);
        self.call("anvil_mine", params).map(drop)
    }

    /// Whether a transaction makes a block at once.
    pub fn automine(&self, on: bool) -> Result<()> {
        self.call("evm_setAutomine", json!([on])).map(drop)
    }

    /// Time of the blocks from now on, and a block that has it.
    pub fn set_time(&self, unix_s: u64) -> Result<()> {
        self.call("anvil_setBlockTimestampInterval", json!([0]))?;
        self.call("evm_setNextBlockTimestamp", json!([unix_s]))?;
        self.mine(1)
    }

    /// Base fee of the next block, in wei.
    pub fn set_base_fee(&self, wei: u128) -> Result<()> {
        let params = json!([format!("{wei:#x}")]);
        self.call("anvil_setNextBlockBaseFeePerGas", params)
            .map(drop)
    }

    /// Replaces the newest blocks by as many empty ones; their transactions are gone, from the pool too.
    pub fn reorg(&self, depth: u64) -> Result<()> {
        self.call("anvil_reorg", json!([depth, []])).map(drop)
    }

    /// Forgets a transaction of the pool.
    pub fn drop_transaction(&self, hash: &str) -> Result<()> {
        self.call("anvil_dropTransaction", json!([prefixed(hash)]))
            .map(drop)
    }

    /// SIGTERM, and waits for the end; with `--state FILE` the chain is kept.
    pub fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(started.elapsed() < STOP_TIMEOUT, "anvil does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts again on the same port with the same arguments.
    pub fn restart(&mut self) -> Result<()> {
        let (child, address) = spawn(&self.arguments, self.address.port())?;
        (self.child, self.address) = (child, address);
        Ok(())
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn prefixed(hex: &str) -> String {
    format!("0x{}", hex.trim_start_matches("0x"))
}

/// Starts the program and reads the port it took.
fn spawn(arguments: &[String], port: u16) -> Result<(Child, SocketAddr)> {
    let program = Anvil::program()?;
    let mut command = Command::new(&program);
    command
        .args(["--hardfork", "osaka", "--accounts", "1"])
        .args(["--slots-in-an-epoch", "1"])
        .args(["--chain-id", &CHAIN_ID.to_string()])
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let output = child.stdout.take().context("anvil's output")?;
    match listening(output) {
        Ok(port) => Ok((child, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// Waits for the line that names the port; what follows is read and forgotten, so that the node never blocks.
fn listening(output: std::process::ChildStdout) -> Result<u16> {
    let mut reader = BufReader::new(output);
    let mut said = String::new();
    let port = loop {
        let start = said.len();
        ensure!(reader.read_line(&mut said)? > 0, "anvil ended: {said}");
        let line = said.get(start..).unwrap_or_default().trim();
        if let Some(address) = line.strip_prefix("Listening on ") {
            let address: SocketAddr = address.parse().with_context(|| line.to_owned())?;
            break address.port();
        }
    };
    std::thread::spawn(move || {
        let mut scratch = [0; 8192];
        while reader.read(&mut scratch).is_ok_and(|count| count > 0) {}
    });
    Ok(port)
}
