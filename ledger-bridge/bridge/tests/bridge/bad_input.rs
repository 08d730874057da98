//! Bad input to every command: a clear error that names the thing, its exit code, nothing on stdout, and nothing sent.

use std::cell::RefCell;
use std::path::Path;
use std::process::{Command, Output};

use assay_bridge::store::Store;
use assay_ledger::LedgerKey;
use assay_protocol::ids::NetworkId;
use assay_transport::Identity;
use serde_json::{Value, json};

use crate::network::{Network, PLAN};
use crate::proxy::{Fault, Proxy};

const SEND: &str = "eth_sendRawTransaction";

pub fn bridge(dir: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay-bridge"))
        .current_dir(dir)
        .args(line.split_whitespace())
        .output()
        .unwrap()
}

/// A network on a real node behind a proxy, with a folder of good and bad files.
struct Bed {
    net: Network,
    proxy: Proxy,
    /// Every line that did not fail as it should.
    wrong: RefCell<Vec<String>>,
    tried: RefCell<Vec<String>>,
}

impl Bed {
    fn new() -> Self {
        let net = Network::on_node();
        let proxy = Proxy::before(net.node().address());
        let dir = net.dir.path();
        for (name, n) in [("deployer", 1), ("poster", 2), ("poor", 200)] {
            LedgerKey::create_file(&dir.join(format!("{name}.key")), &[n; 32]).unwrap();
        }
        Identity::create(&dir.join("board.key")).unwrap();
        let config = format!(
            "network = \"network.json\"\nclasses = [\"demo.toml\"]\nstate_dir = \"state\"\nledger_key = \"poster.key\"\n\
             [board]\nlisten = \"127.0.0.1:0\"\nkey = \"board.key\"\n[ledger]\nkind = \"rpc\"\nurl = \"{}\"\n",
            proxy.url()
        );
        let file = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        file("bridge.toml", &config);
        file("surprise.toml", &format!("surprise = 1\n{config}"));
        file("nokey.toml", &config.replace("poster.key", "open.key"));
        file(
            "db.toml",
            &format!("{config}[state]\nurl = \"postgres://u:secret@localhost/x\"\n"),
        );
        file(
            "watch.toml",
            &format!("{config}[metrics]\nlisten = \"0.0.0.0:0\"\n"),
        );
        file("open.key", &"11".repeat(32));
        file("not.toml", "= nonsense");
        file(
            "slow.toml",
            &PLAN.replace("void_after_ms = 5000", "void_after_ms = 8000"),
        );
        file(
            "file.toml",
            &config.replace("state_dir = \"state\"", "state_dir = \"not.toml\""),
        );
        file(
            "other.toml",
            &config.replace("state_dir = \"state\"", "state_dir = \"other\""),
        );
        Store::open(&dir.join("other"), NetworkId([9; 32])).unwrap();
        file(
            "absent.toml",
            &config.replace("state_dir = \"state\"", "state_dir = \"nowhere\""),
        );
        file("good.json", "{\"allowed_kinds\":[\"test\"],\"roots\":[]}");
        file("vendors.json", "{\"allowed_kinds\":[\"test\"]}");
        file("roots.pem", "no certificate");
        let private = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt;
            file(name, text);
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(dir.join(name), mode).unwrap();
        };
        private("short.key", "11");
        private("password", "one");
        private("digits", "4815162342secret");
        Self {
            net,
            proxy,
            wrong: RefCell::default(),
            tried: RefCell::default(),
        }
    }

    /// `RPC`, `AT` and `ID` stand for the ledger, ledger with contract, and 32 bytes.
    fn fails(&self, line: &str, code: i32, text: &str) {
        let at = format!("--rpc RPC --contract {}", self.net.params.contract);
        let line = line.replace("AT", &at).replace("RPC", &self.proxy.url());
        let line = line.replace("ID", &"44".repeat(32));
        let output = bridge(self.net.dir.path(), &line);
        self.tried.borrow_mut().push(line.clone());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_good = output.status.code() == Some(code)
            && error.contains(text)
            && !error.contains("secret")
            && output.stdout.is_empty();
        if !is_good {
            let actual = output.status.code();
            let wrong = format!("{line}\n  expected {code} {text:?}, got {actual:?}: {error}");
            self.wrong.borrow_mut().push(wrong);
        }
    }

    /// Of all that the help names; two ask no ledger, and have tests of their own (`offline.rs`).
    fn tried_every_command(&self) {
        let dir = self.net.dir.path();
        let named = |under: &str| {
            let help = bridge(dir, &format!("{under} --help")).stdout;
            let help = String::from_utf8(help).unwrap();
            let names = help.lines().skip_while(|line| *line != "Commands:").skip(1);
            let names = names.take_while(|line| !line.is_empty());
            let names = names.filter_map(|line| line.split_whitespace().next());
            let full = names.map(|name| format!("{under} {name}").trim().to_owned());
            full.filter(|full| {
                !["help", "ledger help", "keygen help", "simulate", "quote"]
                    .contains(&full.as_str())
            })
            .collect::<Vec<_>>()
        };
        let tried = self.tried.borrow();
        let is_tried = |command: &String| {
            let with = format!("{command} ");
            tried.iter().any(|line| line.starts_with(&with))
        };
        let commands = [named(""), named("ledger"), named("keygen")].concat();
        assert!(commands.len() > 50, "{commands:?}");
        let missing: Vec<_> = commands.iter().filter(|one| !is_tried(one)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    fn all_failed_well_and_sent_nothing(&self) {
        let wrong = self.wrong.borrow();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(self.proxy.calls_of(SEND), 0, "nothing was sent");
    }
}

const HYPERNODE: &str = "ledger register AT --identity board.key --operator ID --seed-end ID --endpoint h:1 \
                         --stake-gwei 1000000000";
const NODE: &str = "ledger register-node AT --node ID --class-file demo.toml --endpoint h:1 \
                    --collateral-gwei 10000000000";
const CLAIM: &str =
    "ledger claim --config bridge.toml --provider 1111111111111111111111111111111111111111";

#[test]
fn bad_input_to_every_command_is_named_and_nothing_is_sent() {
    let bed = Bed::new();
    let signing = [
        HYPERNODE,
        NODE,
        "ledger fund AT --gwei 1 --epochs 1",
        "ledger open-genesis AT --plan plan.toml --out o",
        "ledger deploy --rpc RPC --plan plan.toml --genesis-in-ms 1",
    ];
    for command in signing {
        for (key, code, text) in [
            ("", 2, "--key"),
            ("--key nowhere.key", 2, "nowhere.key"),
            ("--key .", 2, "ledger key ."),
            ("--key short.key", 2, "64 hexadecimal digits"),
            (
                "--key poster.key --password-file nowhere.password",
                2,
                "nowhere.password",
            ),
            ("--key open.key", 2, "chmod 600"),
            (
                "--key poster.key --password-file password",
                2,
                "not a keystore",
            ),
            (
                "--key digits --password-file password",
                2,
                "not a keystore of version 3: line 1",
            ),
            ("--key poster.key --password-file open.key", 2, "chmod 600"),
            ("--password-file password", 2, "--key"),
            ("--signer http://127.0.0.1:1", 2, "--from"),
            (
                "--signer ftp://secret@x --from 1111111111111111111111111111111111111111",
                2,
                "signer",
            ),
            ("--key poster.key --signer http://x --from 11", 2, "--from"),
            ("--key poster.key --max-fee-gwei many", 2, "many"),
            ("--key poster.key --max-fee-gwei 0", 1, "over the cap"),
            ("--key poster.key --rpc-ca roots.pem", 2, "roots.pem"),
            (
                "--signer https://x --signer-ca nowhere.pem --from 1111111111111111111111111111111111111111",
                2,
                "nowhere.pem",
            ),
            ("--key poster.key --surprise", 2, "--surprise"),
        ] {
            // Genesis is open already: there is nothing to pay for.
            let is_free = command.contains("open-genesis");
            if !(is_free && text == "over the cap") {
                bed.fails(&format!("{command} {key}"), code, text);
            }
        }
        let elsewhere = |url: &str| {
            command
                .replace("AT", &format!("--rpc {url} --contract {}", "11".repeat(20)))
                .replace("RPC", url)
        };
        for (url, code, text) in [
            ("http://127.0.0.1:1", 1, "hint:"),
            ("nonsense", 2, "expected an http"),
            ("http://u:secret@192.0.2.1/", 2, "https only"),
        ] {
            bed.fails(&format!("{} --key poster.key", elsewhere(url)), code, text);
        }
    }
    for (line, code, text) in [
        (
            "ledger fund AT --key poster.key --gwei 0 --epochs 1",
            1,
            "BadRange",
        ),
        (
            "ledger fund AT --key poster.key --gwei 1 --epochs 513",
            1,
            "BadRange",
        ),
        (
            "ledger fund AT --key poster.key --gwei -1 --epochs 1",
            2,
            "-1",
        ),
        (
            "ledger fund AT --key poor.key --gwei 1 --epochs 1 --first 9999",
            1,
            "has 0",
        ),
        (
            "ledger fund AT --key poster.key --gwei 1 --epochs 1 --first 0",
            1,
            "--first: expected epoch ",
        ),
        (
            "ledger fund AT --key poster.key --gwei 1 --epochs 1 --first 1800000000000",
            1,
            "(it begins within ten years), got 1800000000000",
        ),
        (
            "ledger allocate AT --key poster.key --gwei 1 --epochs 2 --first 1800000000000",
            1,
            "(it begins within ten years), got 1800000000001",
        ),
        (&format!("{CLAIM} --key poster.key"), 1, "nothing earned"),
        (
            &format!("{CLAIM} --key short.key"),
            2,
            "64 hexadecimal digits",
        ),
        (&format!("{CLAIM}1 --key poster.key"), 2, "--provider"),
        (
            "ledger stake AT --key poster.key --gwei 1",
            1,
            "NotRegistered",
        ),
        (
            "ledger unstake AT --key poster.key --gwei 1",
            1,
            "NotRegistered",
        ),
        ("ledger withdraw AT --key poster.key", 1, "NotRegistered"),
        (
            "ledger cancel-node AT --key poster.key --node ID",
            1,
            "NotRegistered",
        ),
        ("ledger leave AT --key poster.key --node ID", 1, "OnlyOwner"),
        (
            "ledger hand-over AT --key poster.key --node ID",
            1,
            "OnlyOwner",
        ),
        (
            "ledger hand-over AT --key poster.key --node ID --to 0x12",
            2,
            "--to",
        ),
        (
            "ledger take-over AT --key poster.key --node ID --endpoint h:1 --collateral-gwei 1",
            1,
            "NotOffered",
        ),
        (
            "ledger confirm AT --key poster.key --bundle not.toml",
            1,
            "not.toml: expected the tar file of an audit bundle",
        ),
        (
            "ledger top-up AT --key poster.key --node ID --gwei 1",
            1,
            "NotRegistered",
        ),
        (
            "ledger offer AT --key poster.key --node ID --gwei 1 --max-epochs 1",
            1,
            "OnlyOwner",
        ),
        (
            "ledger reserve AT --key poster.key --node ID --first 9 --epochs 1 --gwei 1",
            1,
            "nobody offers it",
        ),
        (
            "ledger cancel-reservation AT --key poster.key --reservation 1",
            1,
            "UnknownReservation",
        ),
        (
            "ledger withdraw-rent AT --key poster.key --account 1111111111111111111111111111111111111111",
            1,
            "NothingToWithdraw",
        ),
        (
            "ledger set-endpoint AT --key poster.key --endpoint h:1",
            1,
            "no HyperNode",
        ),
        (
            "ledger set-endpoint AT --key poster.key --node ID --endpoint h:1",
            1,
            "NotRegistered",
        ),
        (
            "ledger set-endpoint AT --key poster.key --node ID",
            2,
            "--endpoint",
        ),
        ("ledger come-back AT --key poster.key", 1, "NotRegistered"),
        (
            "ledger admit AT --key poster.key --member 1111111111111111111111111111111111111111",
            1,
            "NotRegistered",
        ),
        ("ledger admit AT --key poster.key", 2, "--member"),
        (
            "ledger refresh AT --key poster.key --hypernode ID",
            1,
            "UnknownKey",
        ),
        ("ledger refresh AT --key poster.key", 2, "--hypernode"),
        (
            "ledger expire AT --key poster.key --node ID --provider 1111111111111111111111111111111111111111",
            1,
            "NotRegistered",
        ),
        (
            "ledger remove AT --key poster.key --node ID",
            1,
            "WrongStatus",
        ),
        (
            "ledger refund AT --key poster.key --reservation 1",
            1,
            "UnknownReservation",
        ),
        (
            "ledger reclaim AT --key poster.key --epochs 0",
            1,
            "BadRange",
        ),
        (
            "ledger allocate AT --key poster.key --gwei 1 --epochs 1",
            1,
            "Unauthorized",
        ),
        ("ledger retire AT --key poster.key", 1, "Unauthorized"),
        ("ledger pause AT --key poster.key --ms 1", 1, "Unauthorized"),
        ("ledger pause AT --key poster.key --ms soon", 2, "soon"),
        ("ledger unpause AT --key poster.key", 1, "Unauthorized"),
        (
            "ledger extend-windows AT --key poster.key --ms 1",
            1,
            "Unauthorized",
        ),
        ("ledger pay-treasury AT --key poster.key", 1, "NothingOwed"),
        (
            "ledger dispute AT --key poster.key --epoch 0",
            1,
            "EpochNotPosted",
        ),
        (
            "ledger close-dispute AT --key poster.key --epoch 0",
            1,
            "NoDispute",
        ),
        (
            "ledger export --chain nowhere.db --chain-id 1 --out o",
            2,
            "no ledger here",
        ),
        (
            "ledger replay --config bridge.toml --from plan.toml --chain new.db",
            1,
            "expected kind = \"embedded\"",
        ),
        ("ledger walk", 2, "walk"),
        (
            &format!("{NODE} --key poster.key --region {}", "x".repeat(33)),
            1,
            "at most 32 bytes",
        ),
        (
            &format!(
                "{} --key poster.key",
                NODE.replace("--class-file demo.toml", "")
            ),
            2,
            "--class",
        ),
        (
            &format!("{} --key poster.key", NODE.replace("demo.toml", "not.toml")),
            2,
            "not.toml",
        ),
        (
            &format!(
                "{} --key poster.key",
                NODE.replace("--node ID", "--node 44")
            ),
            2,
            "--node",
        ),
        (
            &format!(
                "{} --key poster.key",
                NODE.replace("--class-file demo.toml", "--class ID")
            ),
            1,
            "UnknownClass",
        ),
        (
            &format!("{} --key poster.key", HYPERNODE.replace("1000000000", "1")),
            1,
            "StakeTooSmall",
        ),
        (
            &format!(
                "{} --key poster.key",
                HYPERNODE.replace("board.key", "nowhere")
            ),
            2,
            "nowhere",
        ),
        (
            "ledger deploy --rpc RPC --key poster.key --plan not.toml --genesis-in-ms 1",
            2,
            "not.toml",
        ),
        (
            "ledger deploy --rpc RPC --key poster.key --plan plan.toml",
            2,
            "genesis",
        ),
        (
            "ledger deploy --rpc RPC --key poster.key --plan plan.toml --genesis-in-ms 0",
            1,
            "genesis: expected after ",
        ),
        (
            "ledger deploy --rpc RPC --key poster.key --plan plan.toml --genesis-unix-ms 5",
            1,
            "got 5",
        ),
        (
            "ledger deploy --rpc RPC --key poster.key --plan plan.toml --genesis-unix-ms 1900000000",
            1,
            "(a year ahead), got 1900000000",
        ),
        (
            "ledger deploy --rpc RPC --key poster.key --plan plan.toml --genesis-in-ms 100000000000",
            1,
            "(a year ahead)",
        ),
        (
            "ledger deploy --rpc RPC --key poster.key --plan slow.toml --genesis-in-ms 1",
            2,
            "slow.toml: void_after_ms: expected less than epoch_ms (8000), got 8000",
        ),
        (
            "ledger open-genesis AT --key poster.key --plan slow.toml --out o",
            2,
            "void_after_ms: expected less than epoch_ms",
        ),
        (
            "ledger open-genesis AT --key poster.key --plan nowhere.toml --out o",
            2,
            "nowhere.toml",
        ),
        (
            "ledger convict-roots AT --key poster.key --epoch 3",
            1,
            "no root of it was replaced",
        ),
        (
            "ledger convict-votes --config bridge.toml --key poster.key --epoch 3 --other nowhere",
            2,
            "nowhere",
        ),
        (
            "ledger convict-votes --config bridge.toml --key poster.key --epoch 3 --other state",
            1,
            "expected somebody who voted for two input sets, got nobody",
        ),
        (
            "ledger convict-votes --config bridge.toml --key poster.key --epoch 3",
            1,
            "--other compares its board",
        ),
        (
            "ledger convict-double-roots AT --key poster.key --first nowhere --second nowhere",
            2,
            "nowhere",
        ),
        (
            "ledger convict-log AT --key poster.key --hypernode ID --first not.toml --second not.toml",
            1,
            "not.toml",
        ),
        (
            "ledger convict-log AT --key poster.key --hypernode 44 --first a --second b",
            2,
            "--hypernode",
        ),
        (
            "ledger convict-outcomes AT --key poster.key --first not.toml",
            1,
            "not.toml: expected the tar file of an audit bundle",
        ),
        (
            "ledger convict-outcomes AT --key poster.key --second b",
            2,
            "--first",
        ),
        (
            "ledger convict-region AT --key poster.key --bundle b --receipt not.toml --region r",
            1,
            "not.toml",
        ),
        (
            "status --rpc RPC --contract 1111111111111111111111111111111111111111",
            1,
            "no contract at",
        ),
        ("status --rpc RPC --contract 11", 2, "Address"),
        ("run --config nowhere.toml", 2, "nowhere.toml"),
        ("run --config surprise.toml", 2, "surprise"),
        ("run --config nokey.toml", 2, "chmod 600"),
        ("run --config db.toml", 1, "password_file"),
        ("run --config watch.toml", 2, "only loopback"),
        ("verdicts --config bridge.toml --first x", 2, "--first"),
        ("verdicts --config not.toml", 2, "not.toml"),
        (
            "export --config bridge.toml --node ID --first 0 --last 0 --out o",
            1,
            "not resolved yet",
        ),
        (
            "export --config bridge.toml --node 44 --first 0 --last 0 --out o",
            2,
            "--node",
        ),
        ("import --config bridge.toml", 2, "--from"),
        ("import --config bridge.toml --board h:1", 2, "--board-key"),
        (
            "import --config bridge.toml --board nowhere",
            2,
            "HOST:PORT",
        ),
        (
            "import --config bridge.toml --from state --first x",
            2,
            "--first",
        ),
        ("import --config bridge.toml --from nowhere", 2, "nowhere"),
        ("import --config not.toml --from state", 2, "not.toml"),
        ("run --config file.toml", 2, "bridge state"),
        ("verdicts --config absent.toml", 2, "bridge state"),
        ("run --config other.toml", 2, "a state of its own"),
        ("verdicts --config other.toml", 2, "a state of its own"),
        (
            &format!(
                "{} --key poster.key",
                HYPERNODE.replace("board.key", "open.key")
            ),
            2,
            "open.key",
        ),
        (
            "ledger convict-region AT --key poster.key --bundle b --receipt nowhere --region r",
            2,
            "nowhere",
        ),
        (
            "ledger convict-outcomes AT --key poster.key --first .",
            2,
            "expected a file, got a folder",
        ),
        (
            "trust --config bridge.toml --vendors nowhere.json --out t",
            2,
            "nowhere.json",
        ),
        (
            "trust --config bridge.toml --vendors good.json --out nowhere/t",
            2,
            "nowhere/t",
        ),
        (
            "trust --config bridge.toml --vendors vendors.json --out t",
            2,
            "vendors.json",
        ),
        ("keygen ledger --out poster.key", 2, "poster.key"),
        (
            "keygen ledger --out new.key --password-file nowhere",
            2,
            "nowhere",
        ),
        ("keygen board --out board.key", 2, "board.key"),
        ("walk", 2, "walk"),
        (
            "ledger set-classes AT --key poster.key --plan nowhere.toml",
            2,
            "nowhere.toml",
        ),
        (
            "ledger exit AT --key poster.key --node ID --provider 1111111111111111111111111111111111111111",
            1,
            "NotRegistered",
        ),
        (
            "ledger mint AT --key poster.key --to 11 --gwei 5",
            2,
            "--to",
        ),
        ("rewards --config not.toml", 2, "not.toml"),
    ] {
        bed.fails(line, code, text);
    }
    for endpoint in [
        "nonsense",
        "h:0",
        "h:99999",
        ":1",
        "h:+1",
        "[::g]:1",
        "h\u{1b}[2J:1",
        "h\u{9b}:1",
    ] {
        for line in [
            HYPERNODE,
            NODE,
            "ledger set-endpoint AT --endpoint h:1",
            "ledger take-over AT --node ID --endpoint h:1 --collateral-gwei 1",
        ] {
            let line = line.replace("--endpoint h:1", &format!("--endpoint {endpoint}"));
            bed.fails(&format!("{line} --key poster.key"), 2, "expected HOST:PORT");
        }
    }
    bed.all_failed_well_and_sent_nothing();
    bed.tried_every_command();
}

/// Eight transactions are paid before anybody else would notice.
#[test]
fn a_plan_that_could_never_open_is_not_deployed() {
    let bed = Bed::new();
    let money = |text: &str| format!("{PLAN}[ledger]\n{text}\n");
    let with = |from: &str, to: &str| PLAN.replace(from, to);
    let twice = with("\"demo.toml\"", "\"demo.toml\", \"demo.toml\"");
    let nobody = "0".repeat(40);
    for (plan, code, text) in [
        (
            with("slot_ms = 100", "slot_ms = 300").replace("commit_ms = 1000", "commit_ms = 1200"),
            2,
            "epoch_ms/slot_ms: expected",
        ),
        (
            with("slot_ms = 100", "slot_ms = 1000"),
            2,
            "commit_ms: expected at least 1900: HyperNodes commit slot_ms after the epoch's end, got 1000",
        ),
        (
            with("skew_ms_max = 50", "skew_ms_max = 51"),
            2,
            "commit_ms: expected at least 1003",
        ),
        (
            with("commit_ms = 1000", "commit_ms = 2500"),
            2,
            "phases: expected",
        ),
        (
            with("[1, 1]", "[6, 3]"),
            2,
            "persistence: expected 1 <= m <= n, got 6 of 3",
        ),
        (
            with("absent_epochs = 0", "absent_epochs = 1"),
            2,
            "absent_epochs: expected",
        ),
        (
            with("links = 64", "links = 1"),
            2,
            "seed_chain_links: expected",
        ),
        (
            with("panel_min = 3", "panel_min = 0"),
            2,
            "panel_min: expected",
        ),
        (
            with("cap_bps = 4000", "cap_bps = 20000"),
            2,
            "operator_cap_bps: expected",
        ),
        (with("\"demo.toml\"", ""), 2, "classes: expected"),
        (twice, 2, "classes: expected"),
        (with("demo.toml", "nowhere.toml"), 2, "nowhere.toml"),
        (with("demo.toml", "plan.toml"), 2, "plan.toml"),
        (
            money("slash_cap_bps = 20000"),
            2,
            "slash_cap_bps: expected at most 10000, got 20000",
        ),
        (money("credits = [[1, 2], [5, 6]]"), 2, "credits: expected"),
        (
            money("credits = []"),
            2,
            "credits: expected 1 to 8 steps, got 0",
        ),
        (
            money("min_stake_gwei = 0"),
            2,
            "min_stake_gwei: expected at least 1, got 0",
        ),
        (
            money("active_after_epochs = 1"),
            2,
            "active_after_epochs: expected 2 to 16, got 1",
        ),
        (
            money("reporter_bps = 5001"),
            2,
            "reporter_bps: expected at most 5000",
        ),
        (
            money("undecided_ppm = 1000001"),
            2,
            "undecided_ppm: expected",
        ),
        (money("period_epochs = 0"), 2, "period_epochs: expected"),
        (
            money("dispute_extension_epochs = 1022"),
            2,
            "dispute_window_epochs: expected",
        ),
        (
            money("silence_epochs = 99999999"),
            2,
            "silence_epochs: expected",
        ),
        (
            money(&format!("governor = \"{nobody}\"")),
            2,
            "governor: expected an account",
        ),
    ] {
        std::fs::write(bed.net.dir.path().join("bad.toml"), plan).unwrap();
        let deploy =
            "ledger deploy --rpc RPC --key deployer.key --plan bad.toml --genesis-in-ms 60000";
        bed.fails(deploy, code, text);
    }
    bed.all_failed_well_and_sent_nothing();
}

/// Whoever paid for a contract learns where it is.
#[test]
fn a_deployment_that_stops_at_its_classes_names_the_contract() {
    let bed = Bed::new();
    let url = bed.proxy.url();
    let dir = bed.net.dir.path().to_owned();
    let deploy = format!(
        "ledger deploy --rpc {url} --key deployer.key --plan plan.toml --genesis-in-ms 60000"
    );
    let deployed = std::thread::spawn(move || bridge(&dir, &deploy));
    for _ in 0..8 {
        bed.proxy.await_call(SEND);
    }
    bed.proxy.fault(
        SEND,
        Fault::Bytes(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec()),
    );
    let output = deployed.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let contract = said
        .split("--contract ")
        .nth(1)
        .and_then(|rest| rest.get(..40))
        .unwrap();
    assert!(
        said.contains(&format!("contract {contract}: deployed")),
        "{said}"
    );
    bed.proxy.repair();
    let set = format!(
        "ledger set-classes --rpc {url} --contract {contract} --key deployer.key --plan plan.toml"
    );
    let output = bridge(bed.net.dir.path(), &set);
    assert_eq!(output.stdout, b"{\"set\":1}\n");
}

#[test]
fn a_hostile_ledger_is_named_by_every_command_that_asks_it() {
    let bed = Bed::new();
    for fault in [
        Fault::Bytes(assay_testbed::web::http_reply(200, "", b"<html>")),
        Fault::Bytes(assay_testbed::web::http_reply(
            302,
            "location: http://x/\r\n",
            b"",
        )),
        Fault::Say(json!("0xzz")),
        Fault::Say(Value::Null),
    ] {
        bed.proxy.fault("eth_chainId", fault);
        for line in [
            "status AT",
            "ledger withdraw AT --key poster.key",
            "verdicts --config bridge.toml",
        ] {
            bed.fails(line, 1, "");
        }
    }
    bed.all_failed_well_and_sent_nothing();
}

#[test]
fn every_command_answers_programs_in_json() {
    let bed = Bed::new();
    let dir = bed.net.dir.path();
    let at = format!(
        "--rpc {} --contract {}",
        bed.proxy.url(),
        bed.net.params.contract
    );
    let answer = |line: &str| -> Value {
        let output = bridge(dir, &format!("{line} --json"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{line}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let made = answer("keygen ledger --out one.json --password-file password");
    assert_eq!(made["account"].as_str().unwrap().len(), 40);
    assert!(answer("keygen board --out two.key")["key"].is_string());
    assert!(answer(&format!("status {at}"))["hypernodes"].is_array());
    assert_eq!(
        answer("verdicts --config bridge.toml"),
        json!({ "verdicts": [] })
    );
    let plan = format!(
        "--plan plan.toml --key deployer.key --rpc {}",
        bed.proxy.url()
    );
    assert!(
        answer(&format!("ledger deploy {plan} --genesis-in-ms 10000000000"))["contract"]
            .is_string()
    );
    let funded = answer(&format!(
        "ledger fund {at} --key deployer.key --gwei 5 --epochs 1 --first 9999"
    ));
    assert_eq!(funded["action"], "fund");
    let opened = answer(&format!(
        "ledger open-genesis {at} --key deployer.key --plan plan.toml --out again.json"
    ));
    assert!(opened["network"].is_string());
    std::fs::write(
        dir.join("vendors.json"),
        "{\"allowed_kinds\":[\"test\"],\"roots\":[]}",
    )
    .unwrap();
    let trust = answer("trust --config bridge.toml --vendors vendors.json --out trust.json");
    assert!(trust["network"].is_string());

    // An account of the new keystore pays with it, and a failure is an object too.
    let account = made["account"].as_str().unwrap();
    bed.net
        .node()
        .set_balance(account, 1_000_000_000_000_000_000)
        .unwrap();
    let by = "--key one.json --password-file password";
    let minted = answer(&format!("ledger mint {at} {by} --to {account} --gwei 5"));
    assert_eq!(minted["action"], "mint");
    let fund = format!("ledger fund {at} {by} --gwei 5 --epochs 1 --first 9999");
    assert_eq!(answer(&fund)["action"], "fund");
    assert_eq!(
        answer("rewards --config bridge.toml"),
        json!({ "rewards": [] })
    );
    let output = bridge(dir, &format!("{CLAIM} {by} --json"));
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exit"], 1);
    assert!(error["error"].as_str().unwrap().contains("nothing earned"));
}
