//! What the program says when it cannot start, and its exit codes.

use crate::restart::refuse_writes;
use assay_bench::network::{Bench, CALM, Member, Times};
use assay_protocol::ids::HyperNodeId;
use assay_testbed::net::Daemon;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_assay-hypernode");

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command) -> Ended {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    Ended {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

fn start(file: &Path) -> Ended {
    run(Command::new(PROGRAM).args(["run", "--config"]).arg(file))
}

/// The error is one block: the causes, then hints on lines of their own, each thing said once.
#[track_caller]
fn expect(ended: &Ended, code: i32, said: &[&str]) {
    let Ended { stderr, .. } = ended;
    assert_eq!(ended.code, code, "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for said in said {
        assert!(stderr.contains(said), "{said:?} is not in: {stderr}");
    }
    let hint = stderr
        .find("\nhint: ")
        .unwrap_or_else(|| panic!("no hint: {stderr}"));
    let hints = stderr[hint + 1..].lines();
    assert!(
        hints.clone().all(|line| line.starts_with("hint: ")),
        "{stderr}"
    );
    assert!(
        hints.clone().all(|line| !line.contains("(os error")),
        "{stderr}"
    );
    for cause in ["No such file", "Address already in use", "File exists"] {
        assert!(stderr.matches(cause).count() <= 1, "{stderr}");
    }
    assert_eq!(ended.stdout, "");
}

/// Refused with code 2 after this change of member 0's configuration or files.
#[track_caller]
fn refused(change: impl FnOnce(&Bench, &mut Member), said: &[&str]) {
    let mut bench = Bench::new(CALM);
    let mut member = bench.members.remove(0);
    change(&bench, &mut member);
    member.write();
    expect(&start(&member.file), 2, said);
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_missing_configuration_is_named() {
    let ended = start(Path::new("/nonexistent/hypernode.toml"));
    expect(
        &ended,
        2,
        &["configuration /nonexistent/hypernode.toml: No such file"],
    );
}

#[test]
fn usage_errors_end_with_2() {
    for args in [
        &["run"][..],
        &["run", "--unknown"],
        &[],
        &["export", "--node", "zz"],
    ] {
        let ended = run(Command::new(PROGRAM).args(args));
        assert_eq!(ended.code, 2, "{}", ended.stderr);
    }
    assert_eq!(run(Command::new(PROGRAM).arg("--version")).code, 0);
}

#[test]
fn malformed_configurations_are_named_with_the_key() {
    let bench = Bench::new(CALM);
    let member = &bench.members[0];
    let good = fs::read_to_string(&member.file).unwrap();
    let cases = [
        (format!("surprise = 1\n{good}"), "surprise"),
        (good.replace("ledger_url", "ledger_uri"), "ledger_uri"),
        (good.replace("[bridge]", "[bridge]\nport = 3"), "port"),
        (good.replacen("key = ", "key ", 1), "line 1"),
        (good.replace("http://127.0.0.1:1\"", "x"), ""),
        (good.replace(&"00".repeat(32), "00ff"), "expected 32 bytes"),
    ];
    for (text, said) in cases {
        assert_ne!(text, good, "{said}");
        fs::write(&member.file, text).unwrap();
        expect(&start(&member.file), 2, &[name(&member.file), said]);
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    type Change = fn(&mut Member);
    let cases: [(Change, &str); 6] = [
        (|m| m.config.key = "/gone/key".into(), "key file /gone/key"),
        (
            |m| m.config.ledger_key = "/gone/ledger".into(),
            "ledger key /gone/ledger",
        ),
        (
            |m| m.config.secrets = "/gone/secrets".into(),
            "secrets file /gone/secrets",
        ),
        (
            |m| m.config.network = "/gone/net".into(),
            "network parameters /gone/net",
        ),
        (
            |m| m.config.vendors = "/gone/roots".into(),
            "vendor roots /gone/roots",
        ),
        (
            |m| m.config.classes[0] = "/gone/class".into(),
            "hardware class /gone/class",
        ),
    ];
    for (change, said) in cases {
        refused(|_, member| change(member), &[said, "No such file"]);
    }
}

#[test]
fn secret_files_that_others_can_read_are_refused() {
    type File = fn(&Member) -> &Path;
    let files: [File; 3] = [
        |m| &m.config.key,
        |m| &m.config.secrets,
        |m| &m.config.ledger_key,
    ];
    for file in files {
        let mut bench = Bench::new(CALM);
        let member = bench.members.remove(0);
        let path = file(&member);
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        let chmod = format!("hint: chmod 600 {}", path.display());
        expect(&start(&member.file), 2, &[name(path), "0640", &chmod]);
    }
}

#[test]
fn malformed_secret_files_are_named_and_not_shown() {
    type File = fn(&Member) -> &Path;
    let files: [(File, &str); 3] = [
        (|m| &m.config.key, "expected an Ed25519 key"),
        (|m| &m.config.secrets, "expected 64 bytes, got 9"),
        (|m| &m.config.ledger_key, "expected 64 hexadecimal digits"),
    ];
    for (file, said) in files {
        let mut bench = Bench::new(CALM);
        let member = bench.members.remove(0);
        fs::write(file(&member), "c0ffee123").unwrap();
        let ended = start(&member.file);
        expect(&ended, 2, &[name(file(&member)), said]);
        assert!(!ended.stderr.contains("c0ffee"), "{}", ended.stderr);
    }
}

/// Of genesis it is not, and here is no ledger that could say whether it came later.
#[test]
fn a_key_that_the_ledger_cannot_be_asked_about_is_refused() {
    let mut bench = Bench::new(CALM);
    let mut member = bench.members.remove(0);
    member.config.key = bench.path("stranger");
    assay_transport::Identity::create(&member.config.key).unwrap();
    member.write();
    let said = [
        "stranger: HyperNode ",
        "is not of genesis",
        "is the bridge running?",
    ];
    expect(&start(&member.file), 1, &said);
}

#[test]
fn the_ledger_key_of_another_account_is_refused() {
    refused(
        |bench, member| {
            member
                .config
                .ledger_key
                .clone_from(&bench.members[1].config.ledger_key)
        },
        &["ledger key ", "expected account ", ", got "],
    );
}

#[test]
fn the_secrets_of_another_chain_are_refused() {
    refused(
        |bench, member| {
            member
                .config
                .secrets
                .clone_from(&bench.members[1].config.secrets)
        },
        &[
            "secrets file ",
            "expected a seed chain that ends in ",
            ", got ",
        ],
    );
}

#[test]
fn classes_must_be_those_of_the_network() {
    refused(
        |bench, member| {
            let other = bench.path("other.toml");
            let text = assay_hw_profiles::DEMO_CLASS.replace("cores = 1", "cores = 2");
            fs::write(&other, text).unwrap();
            member.config.classes.push(other);
        },
        &["other.toml: digest ", "is not among the network's classes"],
    );
    refused(
        |_, member| member.config.classes.clear(),
        &["the network uses it, but no file in `classes` has this digest"],
    );
    refused(
        |bench, _| fs::write(bench.path("class.toml"), "schema = 1\nsurprise = 2\n").unwrap(),
        &["class.toml", "surprise"],
    );
}

#[test]
fn parameters_that_contradict_themselves_are_refused() {
    refused(
        |bench, _| {
            let mut params = bench.params.clone();
            params.slot_ms = 7;
            let text = serde_json::to_string(&params).unwrap();
            fs::write(bench.path("network.json"), text).unwrap();
        },
        &[
            "network.json",
            "network parameter epoch_ms/slot_ms: expected",
        ],
    );
    refused(
        |bench, _| fs::write(bench.path("network.json"), "{}").unwrap(),
        &["network parameters ", "missing field"],
    );
}

#[test]
fn a_port_in_use_is_named() {
    let mut bench = Bench::new(CALM);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let member = &mut bench.members[0];
    member.config.listen = taken.local_addr().unwrap();
    member.write();
    let said = format!("listen on {}: Address already in use", member.config.listen);
    expect(&start(&member.file), 1, &[&said, "hint: another program"]);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named() {
    refused(
        |bench, member| {
            fs::write(bench.path("file"), "").unwrap();
            member.config.state_dir = bench.path("file/state");
        },
        &["state directory ", "file/state: Not a directory"],
    );
    let mut bench = Bench::new(CALM);
    let member = bench.members.remove(0);
    fs::create_dir(&member.config.state_dir).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg("mount -t tmpfs -o ro tmpfs \"$0\" && exec \"$1\" run --config \"$2\"");
    command.arg(&member.config.state_dir).arg(PROGRAM);
    let ended = run(command.arg(&member.file));
    expect(&ended, 2, &["state directory", "state/journal.sqlite"]);
}

#[test]
fn the_state_of_another_network_is_refused_and_left_alone() {
    let bench = Bench::new(CALM);
    drop(bench.open(0));
    let state = bench.members[0].config.state_dir.clone();
    let before = fs::read(state.join("journal.sqlite")).unwrap();
    refused(
        |_, member| member.config.state_dir.clone_from(&state),
        &["state directory", "expected a journal of ", ", got one of "],
    );
    assert_eq!(fs::read(state.join("journal.sqlite")).unwrap(), before);
}

#[test]
fn the_state_of_a_running_hypernode_is_not_shared() {
    let bench = Bench::new(CALM);
    let _open = bench.open(0);
    let ended = start(&bench.members[0].file);
    expect(
        &ended,
        2,
        &[
            "the journal is in use by another process",
            "hint: stop the other",
        ],
    );
}

#[test]
fn a_journal_that_cannot_be_written_any_more_ends_the_program_with_3() {
    let bench = Bench::new(Times {
        slot: 1_000,
        ..CALM
    });
    refuse_writes(&bench, 0, "leaves", "true");
    let ended = start(&bench.members[0].file);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let said = ["error: ", "journal.sqlite: cannot append a leaf", "is full"];
    for said in said {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

#[test]
fn an_unreachable_ledger_is_said_and_waited_for() {
    let bench = Bench::new(CALM);
    let file = name(&bench.members[0].file);
    let log = bench.path("log");
    let args = ["run", "--config", file];
    let mut daemon = Daemon::start("hypernode", PROGRAM.into(), &args, &log).unwrap();
    let wait = Duration::from_secs(30);
    daemon.wait_for("listening on 127.0.0.1:", wait).unwrap();
    let note = daemon
        .wait_for("note: ledger http://127.0.0.1:1", wait)
        .unwrap();
    assert!(
        note.contains("refused"),
        "the cause is on the same line: {note}"
    );
    daemon
        .wait_for("note: following the ledger: ledger http", wait)
        .unwrap();
    let lines = daemon.output().unwrap();
    let hint = lines.lines().find(|line| line.starts_with("hint:"));
    assert_eq!(hint, Some("hint: is the bridge running?"));
    assert!(daemon.is_running());
    daemon.stop();
}

fn init(dir: &Path, key: &str, secrets: &str, links: &str) -> Ended {
    let mut command = Command::new(PROGRAM);
    command.arg("init").arg("--key").arg(dir.join(key));
    command.arg("--secrets").arg(dir.join(secrets));
    run(command.args(["--seed-chain-links", links]))
}

#[test]
fn init_makes_both_files_and_says_what_to_register() {
    let dir = tempfile::tempdir().unwrap();
    let made = init(dir.path(), "key", "secrets", "16");
    assert_eq!((made.code, &made.stderr[..]), (0, ""));
    let said: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let identity = assay_transport::Identity::load(&dir.path().join("key")).unwrap();
    let id = HyperNodeId(assay_protocol::cose::Signer::public_key(&identity));
    assert_eq!(said["ed25519"], id.to_string());
    let secrets = assay_hypernode::config::Secrets::load(&dir.path().join("secrets")).unwrap();
    let end = assay_protocol::schedule::seed_end(&secrets.seed, 16);
    assert_eq!(said["seed_end"], end.to_string());
    for file in ["key", "secrets"] {
        let mode = fs::metadata(dir.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn init_replaces_nothing_and_makes_no_half() {
    for existing in ["key", "secrets"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(existing), "precious").unwrap();
        let ended = init(dir.path(), "key", "secrets", "16");
        expect(&ended, 1, &[name(&dir.path().join(existing)), "exists"]);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let kept = fs::read_to_string(dir.path().join(existing)).unwrap();
        assert_eq!(kept, "precious");
    }
}

#[test]
fn init_leaves_no_key_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let ended = init(dir.path(), "key", "nowhere/secrets", "16");
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("nowhere/secrets"), "{}", ended.stderr);
    assert!(!dir.path().join("key").exists());
    assert_eq!(init(dir.path(), "key", "secrets", "16").code, 0);
}

#[test]
fn init_refuses_a_chain_that_no_network_has() {
    let dir = tempfile::tempdir().unwrap();
    for links in ["0", "1", "16777217", "18446744073709551615", "many"] {
        let ended = init(dir.path(), "key", "secrets", links);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("--seed-chain-links"),
            "{}",
            ended.stderr
        );
        assert!(!dir.path().join("key").exists());
    }
}
