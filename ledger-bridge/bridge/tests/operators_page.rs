//! The operator's page (ledger-bridge/OPERATORS.md) followed to the letter on a real EVM node: its shell blocks are one
//! session, its configuration blocks are the files they read. What it says of the embedded chain's export is tried too.

use assay_bridge::config::{LedgerPlan, Plan};
use assay_testbed::Anvil;
use assay_testbed::net::free_port;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PAGE: &str = include_str!("../../OPERATORS.md");

/// The page's code blocks in this language, in its order.
fn blocks(language: &str) -> Vec<String> {
    let (mut found, mut block) = (Vec::new(), None);
    for line in PAGE.lines() {
        match (line.strip_prefix("```"), &mut block) {
            (Some(opened), None) => block = Some((opened, String::new())),
            (Some(_), Some(_)) => found.extend(block.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found.retain(|(opened, _)| *opened == language);
    found.into_iter().map(|(_, text)| text).collect()
}

/// The page's network, with addresses that are free on this machine.
struct Session {
    folder: tempfile::TempDir,
    addresses: Vec<(&'static str, String)>,
}

impl Session {
    fn new(node: &Anvil) -> Self {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let addresses = vec![
            ("127.0.0.1:8545", node.address().to_string()),
            ("127.0.0.1:7800", local(free_port().unwrap())),
            ("127.0.0.1:9464", local(free_port().unwrap())),
        ];
        let folder = tempfile::tempdir().unwrap();
        let session = Self { folder, addresses };
        session.write("class.toml", assay_hw_profiles::DEMO_CLASS);
        for file in blocks("toml") {
            let name = file.lines().next().and_then(|line| line.strip_prefix("# "));
            session.write(name.expect("a file's block begins with its name"), &file);
        }
        session
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), self.moved(text)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn moved(&self, text: &str) -> String {
        let moved = |text: String, (from, to): &(&str, String)| text.replace(from, to);
        self.addresses.iter().fold(text.to_owned(), moved)
    }

    /// Runs the page's commands in one shell that ends at the first failure and takes what it started along.
    fn follow(&self) -> Output {
        let script = self.moved(&blocks("sh").concat());
        let guard = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n";
        self.write("session", &format!("{guard}{script}"));
        let programs = [
            PathBuf::from(env!("CARGO_BIN_EXE_assay-bridge")),
            hypernode(),
        ];
        let folders = programs.iter().filter_map(|program| program.parent());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = folders
            .map(Path::to_owned)
            .chain(std::env::split_paths(&path));
        let mut shell = Command::new("bash");
        shell
            .arg("session")
            .env("PATH", std::env::join_paths(path).unwrap());
        shell.current_dir(self.folder.path()).output().unwrap()
    }
}

/// Built with the whole workspace, beside the bridge.
fn hypernode() -> PathBuf {
    let programs = assay_testbed::net::Programs::beside_this_one().unwrap();
    programs.path("assay-hypernode").unwrap()
}

#[test]
fn the_page_leads_from_nothing_to_a_bridge_that_settles_epochs() {
    let node = Anvil::start(&["--block-time", "1", "--mixed-mining"]).unwrap();
    let session = Session::new(&node);
    let done = session.follow();
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    let log = session.read("bridge.log");
    assert!(done.status.success(), "{said}\n{errors}\n{log}");
    let network = session.read("network.json");
    let network: serde_json::Value = serde_json::from_str(&network).unwrap();
    assert_eq!(network["roster"].as_array().map(Vec::len), Some(3));
    let promised = [
        "{\"set\":1}",
        "\"action\":\"register\"",
        "\"committee\":",
        "\"action\":\"fund\"",
        "budget      1000000000 gwei for it",
        "assay_bridge_leads 1",
        "assay_bridge_ledger_up 1",
        "epoch      0  void",
    ];
    for text in promised {
        assert!(said.contains(text), "{text} is not in\n{said}");
    }
    let lines = blocks("");
    for line in ["running", "over, no input set", "void on the ledger"] {
        let line = format!("epoch 0: {line}");
        assert!(log.contains(&line), "{line} is not in\n{log}");
        assert!(lines.iter().any(|block| block.contains(&line)), "{line}");
    }
}

/// Key and default of each row of the page's table of the plan's section `[ledger]`.
fn table() -> Vec<(&'static str, &'static str)> {
    let (_, section) = PAGE.split_once("### `[ledger]`").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let row = |line: &'static str| {
        let (key, rest) = line.strip_prefix("| `")?.split_once('`')?;
        Some((key, rest.split(" | ").nth(1)?))
    };
    section.lines().filter_map(row).collect()
}

#[test]
fn the_table_of_the_plan_has_every_key_with_its_default() {
    let defaults = LedgerPlan::default();
    let debug = format!("{defaults:#?}");
    let field = |line: &str| {
        let name = line.strip_prefix("    ")?.split_once(": ")?.0;
        (!name.starts_with(' ')).then(|| name.to_owned())
    };
    let fields: Vec<String> = debug.lines().filter_map(field).collect();
    let named: Vec<&str> = table().iter().map(|(key, _)| *key).collect();
    assert_eq!(named, fields, "keys of the page and of the plan");
    let is_value = |(_, value): &&(&str, &str)| !["none", "deployer"].contains(value);
    let given = table();
    let lines = given.iter().filter(is_value);
    let lines: String = lines
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.toml");
    fs::write(&path, blocks("toml").remove(0) + &lines).unwrap();
    assert_eq!(Plan::load(&path).unwrap().ledger, defaults);
}

/// A bridge that serves a chain of its own in a folder; killed when the test ends.
struct Embedded {
    folder: tempfile::TempDir,
    process: Child,
    url: String,
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Embedded {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let account = run(
            folder.path(),
            &["keygen", "ledger", "--out", "deployer.key"],
        );
        run(folder.path(), &["keygen", "board", "--out", "board.key"]);
        let plan = blocks("toml").remove(0);
        fs::write(at("plan.toml"), plan).unwrap();
        fs::write(at("class.toml"), assay_hw_profiles::DEMO_CLASS).unwrap();
        let (board, rpc) = (free_port().unwrap(), free_port().unwrap());
        let config = format!(
            "network = \"network.json\"\nclasses = [\"class.toml\"]\nstate_dir = \"bridge\"\n\
             ledger_key = \"deployer.key\"\n[board]\nlisten = \"127.0.0.1:{board}\"\nkey = \"board.key\"\n\
             [ledger]\nkind = \"embedded\"\npath = \"chain.db\"\nchain_id = 31337\nlisten = \"127.0.0.1:{rpc}\"\n\
             accounts = [{{ address = \"{}\", balance_gwei = 1000000000 }}]\n",
            account.trim()
        );
        fs::write(at("bridge.toml"), config).unwrap();
        let mut bridge = Command::new(env!("CARGO_BIN_EXE_assay-bridge"));
        bridge.args(["run", "--config", "bridge.toml"]);
        bridge.current_dir(folder.path()).stderr(Stdio::null());
        let process = bridge.stdout(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", rpc)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "no ledger");
            std::thread::sleep(Duration::from_millis(20));
        }
        let url = format!("http://127.0.0.1:{rpc}");
        Self {
            folder,
            process,
            url,
        }
    }
}

/// Runs the bridge's program in a folder and returns what it says.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay-bridge"));
    let done = command.args(arguments).current_dir(folder).output();
    let done = done.unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn an_exported_chain_replays_to_the_same_block_later() {
    let mut chain = Embedded::start();
    let plan = ["--plan", "plan.toml", "--genesis-in-ms", "60000"];
    let deploy = ["ledger", "deploy", "--key", "deployer.key", "--rpc"];
    let folder = chain.folder.path().to_owned();
    run(&folder, &[&deploy[..], &[&chain.url], &plan].concat());
    chain.process.kill().unwrap();
    chain.process.wait().unwrap();
    let export = "ledger export --chain chain.db --chain-id 31337 --out txs";
    let replay = "ledger replay --config bridge.toml --from txs --chain copy.db";
    let said = [export, replay].map(|command| {
        assert!(PAGE.contains(&format!("$ assay-bridge {command}\n")));
        run(&folder, &command.split(' ').collect::<Vec<_>>())
    });
    assert_eq!(said[0], said[1], "another time, another chain");
    // The eight of the deployment, and two for the plan's one class.
    assert!(said[0].contains("\"transactions\":10}"), "{}", said[0]);
}
