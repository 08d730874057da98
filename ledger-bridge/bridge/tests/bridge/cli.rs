//! The commands of a new network against a running bridge, and how failures look.

use assay_bridge::config::params_file;
use assay_log::checkpoint::{Checkpoint, origin, sign_checkpoint};
use assay_protocol::cose::Signer as _;
use assay_protocol::ids::{Digest, HyperNodeId};
use assay_protocol::trust::TrustFile;
use assay_transport::Identity;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::network::{PLAN, plan_file};

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bridge(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay-bridge"))
        .current_dir(dir)
        .args(args)
        .output()
        .unwrap()
}

#[track_caller]
fn ok(dir: &Path, args: &[&str]) -> String {
    let output = bridge(dir, args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[track_caller]
fn fails(dir: &Path, args: &[&str], code: i32, text: &str) {
    let output = bridge(dir, args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(error.contains(text), "{args:?}: {error}");
    assert!(output.stdout.is_empty());
}

/// Three checkpoints by one HyperNode, on file: `a` and `b` of one size with two roots, and one that is `longer`. Its id.
fn forked_log(dir: &Path, identity: &str) -> String {
    let identity = Identity::load(&dir.join(identity)).unwrap();
    let id = HyperNodeId(identity.public_key());
    let network = params_file(&dir.join("network.json")).unwrap().network_id();
    for (file, size, root) in [("a", 5, 1), ("b", 5, 2), ("longer", 6, 1)] {
        let checkpoint = Checkpoint {
            origin: origin(&network, &id),
            size,
            root: Digest([root; 32]),
        };
        let note = sign_checkpoint(&checkpoint, &id, |body| identity.sign(body)).unwrap();
        std::fs::write(dir.join(file), note).unwrap();
    }
    id.to_string()
}

/// A port nobody listens on just now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// On a running chain: a network whose token has six decimals, as those have that stand for dollars.
fn in_millionths(dir: &Path, url: &str, own: &str) {
    let plan = format!("{PLAN}[ledger]\ntoken_decimals = 6\n");
    std::fs::write(dir.join("millionths.toml"), plan).unwrap();
    let signed = ["--rpc", url, "--key", "h0.key"];
    let deploy = [
        "ledger",
        "deploy",
        "--plan",
        "millionths.toml",
        "--genesis-in-ms",
        "60000",
    ];
    let contract = ok(dir, &[&deploy[..], &signed].concat());
    let mint = [
        "ledger",
        "mint",
        "--contract",
        &contract,
        "--to",
        own,
        "--gwei",
        "5",
    ];
    let mint = [&mint[..], &signed].concat();
    fails(dir, &mint, 1, "expected 18, the token says 6");
    ok(dir, &[&mint[..], &["--token-decimals", "6"]].concat());
    let all = ["--gwei", "2000000000", "--to"];
    let mint = [
        "ledger",
        "mint",
        "--contract",
        &contract,
        "--token-decimals",
        "6",
    ];
    ok(dir, &[&mint[..], &all, &[own], &signed].concat());
    let (operator, seed_end) = ("77".repeat(32), "33".repeat(32));
    let register = [
        "ledger",
        "register",
        "--contract",
        &contract,
        "--token-decimals",
        "6",
    ];
    let rest = [
        "--identity",
        "h0.id",
        "--operator",
        &operator,
        "--seed-end",
        &seed_end,
    ];
    let stake = ["--endpoint", "127.0.0.1:1", "--stake-gwei", "1500000000"];
    ok(dir, &[&register[..], &rest, &stake, &signed].concat());
    let status = ok(
        dir,
        &["status", "--json", "--rpc", url, "--contract", &contract],
    );
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["hypernodes"][0]["stake_gwei"], 1_500_000_000);
}

#[test]
fn a_network_is_set_up_by_commands_while_one_bridge_runs() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    plan_file(dir, PLAN);
    let mut accounts = Vec::new();
    let mut addresses = Vec::new();
    for name in ["poster", "deployer", "provider", "h0", "h1", "h2", "h3"] {
        let address = ok(dir, &["keygen", "ledger", "--out", &format!("{name}.key")]);
        addresses.push(address.clone());
        accounts.push(format!(
            "{{ address = \"{address}\", balance_gwei = 100000000000 }}"
        ));
    }
    ok(dir, &["keygen", "board", "--out", "board.key"]);
    let (rpc, board) = (free_port(), free_port());
    let config = format!(
        "network = \"network.json\"\nclasses = [\"demo.toml\"]\nstate_dir = \"state\"\nledger_key = \"poster.key\"\n\
         [board]\nlisten = \"127.0.0.1:{board}\"\nkey = \"board.key\"\n\
         [ledger]\nkind = \"embedded\"\npath = \"chain.db\"\nchain_id = 31337\nlisten = \"127.0.0.1:{rpc}\"\naccounts = [{}]\n",
        accounts.join(", ")
    );
    std::fs::write(dir.join("bridge.toml"), config).unwrap();
    let url = format!("http://127.0.0.1:{rpc}");
    fails(
        dir,
        &["status", "--rpc", &url, "--contract", &"11".repeat(20)],
        1,
        "hint:",
    );

    let mut run = Command::new(env!("CARGO_BIN_EXE_assay-bridge"));
    run.current_dir(dir)
        .args(["run", "--config", "bridge.toml"])
        .stderr(Stdio::null());
    let _running = Killed(run.spawn().unwrap());
    await_port(rpc);
    let deploy = [
        "ledger",
        "deploy",
        "--rpc",
        &url,
        "--key",
        "deployer.key",
        "--plan",
        "plan.toml",
        "--genesis-in-ms",
        "60000",
    ];
    let contract = ok(dir, &deploy);
    let at = ["--rpc", &url, "--contract", &contract];
    let with = |command: &str, key: &str, rest: &[&str]| -> Vec<String> {
        let parts = [&["ledger", command, "--key", key][..], &at, rest].concat();
        parts.into_iter().map(str::to_owned).collect()
    };
    let run_ok = |args: Vec<String>| ok(dir, &args.iter().map(String::as_str).collect::<Vec<_>>());
    for address in &addresses {
        let to = ["--to", address, "--gwei", "100000000000"];
        run_ok(with("mint", "deployer.key", &to));
    }
    for index in 0..4 {
        let identity = format!("h{index}.id");
        ok(dir, &["keygen", "board", "--out", &identity]);
        let id = format!("{:02x}", 0x20 + index).repeat(32);
        let seed_end = "33".repeat(32);
        let rest = [
            "--identity",
            &identity,
            "--operator",
            &id,
            "--seed-end",
            &seed_end,
            "--endpoint",
            "127.0.0.1:1",
            "--stake-gwei",
            "1000000000",
        ];
        run_ok(with("register", &format!("h{index}.key"), &rest));
    }
    let genesis = with(
        "open-genesis",
        "deployer.key",
        &["--plan", "plan.toml", "--out", "network.json"],
    );
    let opened = run_ok(genesis.clone());
    assert!(opened.contains("\"committee\""), "{opened}");
    assert_eq!(run_ok(genesis), opened, "again changes nothing");
    let node = "44".repeat(32);
    run_ok(with(
        "register-node",
        "provider.key",
        &[
            "--node",
            &node,
            "--class-file",
            "demo.toml",
            "--endpoint",
            "127.0.0.1:2",
            "--collateral-gwei",
            "10000000000",
        ],
    ));
    let moved = ["--node", &node, "--endpoint", "127.0.0.1:3"];
    run_ok(with("set-endpoint", "provider.key", &moved));
    run_ok(with(
        "set-endpoint",
        "h2.key",
        &["--endpoint", "127.0.0.1:4"],
    ));
    let said = run_ok(with("pause", "deployer.key", &["--ms", "60000"]));
    assert!(said.contains("\"action\":\"pause\""), "{said}");
    run_ok(with("unpause", "deployer.key", &[]));
    let fund = ["--gwei", "5000", "--epochs", "3"];
    run_ok(with("fund", "deployer.key", &fund));

    let status: serde_json::Value =
        serde_json::from_str(&ok(dir, &[&["status", "--json"][..], &at].concat())).unwrap();
    assert_eq!(status["budget_gwei"], 5000);
    assert_eq!(status["nodes"][0]["status"], "provisional");
    assert_eq!(status["nodes"][0]["endpoint"], "127.0.0.1:3");
    let hypernodes = status["hypernodes"].as_array().unwrap();
    let at: Vec<_> = hypernodes.iter().map(|h| &h["endpoint"]).collect();
    assert_eq!(hypernodes.len(), 4);
    assert_eq!(at.iter().filter(|at| **at == "127.0.0.1:4").count(), 1);
    let counts: Vec<_> = hypernodes.iter().map(|h| &h["counts_gwei"]).collect();
    assert_eq!(counts, [1_000_000_000; 4]);
    let one = hypernodes[1]["ed25519"].as_str().unwrap();
    run_ok(with("refresh", "provider.key", &["--hypernode", one]));
    assert_eq!(hypernodes[1]["absent"], false);
    let here = run_ok(with("come-back", "h1.key", &[]));
    assert!(here.contains("\"action\":\"comeBack\""), "{here}");
    let forked = forked_log(dir, "h3.id");
    let convicts = |first: &str, second: &str| {
        let rest = ["--hypernode", &forked, "--first", first, "--second", second];
        with("convict-log", "provider.key", &rest)
    };
    for (first, second, code, why) in [
        ("a", "a", 1, "expected two roots"),
        ("a", "longer", 1, "only audit bundles prove leaves"),
        ("a", "network.json", 1, "network.json"),
        ("a", "nowhere", 2, "nowhere"),
    ] {
        let args = convicts(first, second);
        fails(
            dir,
            &args.iter().map(String::as_str).collect::<Vec<_>>(),
            code,
            why,
        );
    }
    let said = run_ok(convicts("a", "b"));
    assert!(said.contains("\"of\":\"twoCheckpoints\""), "{said}");
    assert!(run_ok(convicts("b", "a")).contains("\"before\":true"));
    in_millionths(dir, &url, &addresses[3]);
    await_port(board);
    assert_eq!(
        ok(dir, &["verdicts", "--config", "bridge.toml", "--json"]),
        "{\"verdicts\":[]}"
    );

    let twice = with(
        "register-node",
        "provider.key",
        &[
            "--node",
            &node,
            "--class-file",
            "demo.toml",
            "--endpoint",
            "x:1",
            "--collateral-gwei",
            "10000000000",
        ],
    );
    fails(
        dir,
        &twice.iter().map(String::as_str).collect::<Vec<_>>(),
        1,
        "AlreadyRegistered",
    );
    let export = [
        "export",
        "--config",
        "bridge.toml",
        "--node",
        &node,
        "--first",
        "0",
        "--last",
        "0",
        "--out",
        "out",
    ];
    fails(dir, &export, 1, "not resolved yet");

    let trust = [
        "trust",
        "--config",
        "bridge.toml",
        "--vendors",
        "vendors.json",
        "--out",
        "trust.json",
    ];
    fails(dir, &trust, 2, "vendors.json");
    std::fs::write(
        dir.join("vendors.json"),
        "{\"allowed_kinds\":[\"test\"],\"roots\":[]}",
    )
    .unwrap();
    ok(dir, &trust);
    let trust = std::fs::read_to_string(dir.join("trust.json")).unwrap();
    let trust: TrustFile = serde_json::from_str(&trust).unwrap();
    let opened: serde_json::Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(opened["network"], trust.params.network_id().to_string());
    assert_eq!(opened["committee"], trust.committee.hash.to_string());
}

#[test]
fn usage_and_configuration_errors_exit_with_2() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    fails(dir, &["run", "--config", "nowhere.toml"], 2, "hint:");
    fails(dir, &["walk"], 2, "walk");
    fails(
        dir,
        &["status", "--rpc", "http://127.0.0.1:1", "--contract", "11"],
        2,
        "Address",
    );
    std::fs::write(dir.join("bridge.toml"), "surprise = 1\n").unwrap();
    fails(dir, &["run", "--config", "bridge.toml"], 2, "surprise");
    std::fs::write(dir.join("k.key"), "00").unwrap();
    fails(dir, &["keygen", "ledger", "--out", "k.key"], 2, "k.key");
    let unknown = bridge(dir, &["status", "--json", "--rpx", "x"]);
    assert_eq!(unknown.status.code(), Some(2));
    let said: serde_json::Value = serde_json::from_slice(&unknown.stderr).unwrap();
    assert_eq!(said["exit"], 2);
    let text = said["error"].as_str().unwrap();
    assert!(text.starts_with("unexpected argument '--rpx'"), "{text}");
}

fn await_port(port: u16) {
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "nobody listens on {port}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
