//! The programs as people and scripts meet them: exit codes, output, messages.

#[allow(dead_code)]
mod network;

use assay_protocol::answers::EnrolRecord;
use assay_protocol::cose::claimed_signer;
use assay_protocol::evidence;
use assay_protocol::item::Item as _;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use network::{Behaviour, Cast, Files, Part, honest, story};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn audit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay-audit"))
        .arg("verify")
        .args(args)
        .output()
        .unwrap()
}

fn verifier(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay-verifier"))
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn write_tree(root: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A bundle made by `assay-verifier bundle` of a ledger part and a HyperNodes' part, and its trust file.
struct Made {
    dir: tempfile::TempDir,
    trust: String,
    tar: String,
    bag: String,
}

fn made(behaviour: Behaviour, lie: &dyn Fn(Part<'_>)) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let story = story(&Cast::new(behaviour, 2), lie);
    let ledger = |path: &String| !path.starts_with("hypernodes/") && !path.starts_with("evidence/");
    let (one, two): (Files, Files) = story
        .payload
        .into_iter()
        .partition(|(path, _)| ledger(path));
    let (first, second) = (dir.path().join("ledger"), dir.path().join("hypernodes"));
    write_tree(&first, &one);
    write_tree(&second, &two);
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let out = verifier(&[
        "bundle",
        "--out",
        &at("n.bag"),
        &at("ledger"),
        &at("hypernodes"),
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    fs::write(at("trust.json"), serde_json::to_vec(&story.trust).unwrap()).unwrap();
    Made {
        trust: at("trust.json"),
        tar: at("n.tar"),
        bag: at("n.bag"),
        dir,
    }
}

#[test]
fn both_forms_of_a_bundle_are_reproduced_with_exit_code_0() {
    for (behaviour, verdict) in [(Behaviour::Honest, "pass"), (Behaviour::Rogue, "breach")] {
        let made = made(behaviour, &honest);
        for bundle in [&made.bag, &made.tar] {
            let out = audit(&["--trust", &made.trust, bundle]);
            let shown = text(&out.stdout);
            assert_eq!(out.status.code(), Some(0), "{shown}");
            assert!(
                shown.contains(verdict) && shown.contains("result: reproduced"),
                "{shown}"
            );
            assert!(
                shown.contains("recomputed from evidence")
                    && shown.contains("from signed outcomes")
            );
        }
    }
}

#[test]
fn json_has_every_check_and_verdict() {
    let made = made(Behaviour::Honest, &honest);
    let out = audit(&["--json", "--trust", &made.trust, &made.tar]);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["result"], "reproduced");
    let check = &json["checks"][0];
    for key in ["name", "about", "outcome", "expected", "actual"] {
        assert!(check[key].is_string(), "{key}");
    }
    assert_eq!(json["verdicts"].as_array().unwrap().len(), 2);
    assert_eq!(json["verdicts"][1]["verdict"], "pass");
    assert_eq!(json["verdicts"][1]["reproduced"], true);
    assert_eq!(json["verdicts"][1]["cumulative_up_slots"], 16);
    assert_eq!(json["verdicts"][1]["cumulative_down_slots"], 0);
}

#[test]
fn a_lie_is_exit_code_1_and_names_its_check() {
    let lie = |part: Part<'_>| {
        if let Part::Leaf(1, leaf) = part {
            leaf.cumulative_up_slots += 1;
        }
    };
    let made = made(Behaviour::Honest, &lie);
    let out = audit(&["--trust", &made.trust, &made.tar]);
    let shown = text(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("FAIL") && shown.contains("verdict/cumulative_up_slots"),
        "{shown}"
    );
    assert!(shown.contains("\nhint: "), "{shown}");
}

#[test]
fn what_cannot_be_decided_is_exit_code_2_with_a_hint() {
    let made = made(Behaviour::Honest, &honest);
    let refused = |args: &[&str], expected: &str| {
        let out = audit(args);
        let shown = text(&out.stdout) + &text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{shown}");
        assert!(shown.contains(expected), "expected {expected:?} in {shown}");
        assert!(shown.contains("hint: "), "{shown}");
    };
    refused(&[&made.tar], "self-consistent");
    refused(&["--trust", &made.trust, "/nowhere"], "/nowhere");
    refused(&["--trust", "/nowhere.json", &made.tar], "/nowhere.json");
    let bad = made.dir.path().join("bad.json");
    let bad = bad.to_str().unwrap();
    let good = fs::read_to_string(&made.trust).unwrap();
    fs::write(bad, good.replacen("\"schema\"", "\"scheme\"", 1)).unwrap();
    refused(&["--trust", bad, &made.tar], "unknown field `scheme`");
    fs::write(bad, good.replacen("\"schema\":1", "\"schema\":2", 1)).unwrap();
    refused(&["--trust", bad, &made.tar], "schema: expected 1, got 2");
    fs::write(bad, good.replacen("\"panel_min\":3", "\"panel_min\":9", 1)).unwrap();
    refused(&["--trust", bad, &made.tar], "panel_min");
    fs::remove_file(Path::new(&made.bag).join("data/claim.cbor")).unwrap();
    refused(
        &["--trust", &made.trust, &made.bag],
        "data/claim.cbor is missing",
    );
}

/// Byte `at` of a file on disk changed, then back.
fn with_flipped(path: &Path, at: usize, then: impl FnOnce()) {
    let good = fs::read(path).unwrap();
    let mut bad = good.clone();
    bad[at] ^= 0x20;
    fs::write(path, bad).unwrap();
    then();
    fs::write(path, good).unwrap();
}

#[test]
fn a_changed_byte_on_disk_is_never_exit_code_0() {
    let made = made(Behaviour::Honest, &honest);
    let verify = |bundle: &str| audit(&["--trust", &made.trust, bundle]).status.code();
    let mut files: Vec<PathBuf> = assay_cli::source::tree(Path::new(&made.bag))
        .unwrap()
        .keys()
        .map(|path| Path::new(&made.bag).join(path))
        .collect();
    files.sort();
    for path in files.iter().step_by(13) {
        let size = fs::metadata(path).unwrap().len() as usize;
        with_flipped(path, size / 2, || {
            assert_eq!(verify(&made.bag), Some(2), "{}", path.display())
        });
    }
    let tar = Path::new(&made.tar);
    let size = fs::metadata(tar).unwrap().len() as usize;
    for at in (0..size).step_by(size / 23) {
        with_flipped(tar, at, || {
            assert_eq!(verify(&made.tar), Some(2), "byte {at}")
        });
    }
    assert_eq!(verify(&made.bag), Some(0));
    assert_eq!(verify(&made.tar), Some(0));
}

#[test]
fn parts_that_contradict_each_other_are_refused_by_path() {
    let made = made(Behaviour::Honest, &honest);
    let other = made.dir.path().join("other");
    write_tree(&other, &Files::from([("claim.cbor".into(), vec![0])]));
    let at = |name: &str| made.dir.path().join(name).to_str().unwrap().to_owned();
    let out = verifier(&["bundle", "--out", &at("x.tar"), &at("ledger"), &at("other")]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    assert!(
        said.contains("claim.cbor") && said.contains("hint: "),
        "{said}"
    );
    let out = verifier(&["bundle", "--out", &made.tar, &at("ledger")]);
    assert_eq!(
        out.status.code(),
        Some(1),
        "an existing bundle is not replaced"
    );
}

/// What the bundle of a network holds of one attestation, in files: evidence, enrolment record, class, trust.
struct Attestation {
    dir: tempfile::TempDir,
    hypernode: String,
    nonce: String,
    network: String,
}

impl Attestation {
    fn of(behaviour: Behaviour) -> Self {
        let cast = Cast::new(behaviour, 2);
        let story = story(&cast, &honest);
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        let mut found = None;
        let evidence = story
            .payload
            .iter()
            .filter(|(path, _)| path.starts_with("evidence/"));
        for (_, bytes) in evidence {
            let opened = claimed_signer(bytes, EVIDENCE_BYTES_MAX)
                .and_then(|key| evidence::open(bytes, &key));
            if let Ok(opened) = opened {
                write("evidence", bytes);
                found = opened.claims().nonces.first().copied();
            } else if EnrolRecord::decode("record", bytes.len(), bytes).is_ok() {
                write("enrolment", bytes);
            }
        }
        let (hypernode, nonce) = found.unwrap();
        write("trust.json", &serde_json::to_vec(&story.trust).unwrap());
        write(
            "class.toml",
            toml::to_string(&*cast.class).unwrap().as_bytes(),
        );
        Self {
            dir,
            hypernode: hypernode.to_string(),
            nonce: nonce.to_string(),
            network: cast.network.to_string(),
        }
    }

    /// Exit code and JSON of a command.
    fn run(&self, command: &str, enrolled: bool) -> (Option<i32>, serde_json::Value) {
        let [evidence, class, roots, record] =
            ["evidence", "class.toml", "trust.json", "enrolment"]
                .map(|name| self.dir.path().join(name).display().to_string());
        let mut args = vec![
            command,
            &evidence,
            "--profile",
            &class,
            "--roots",
            &roots,
            "--hypernode",
            &self.hypernode,
            "--nonce",
            &self.nonce,
            "--network",
            &self.network,
            "--json",
            "--at",
            "2026-11-01T00:00:00Z",
        ];
        if enrolled {
            args.extend(["--enrolment", &record]);
        }
        let out = verifier(&args);
        let json = serde_json::from_slice(&out.stdout).unwrap();
        (out.status.code(), json)
    }
}

#[test]
fn evidence_of_a_bundle_is_appraised_with_its_enrolment_and_undecided_without() {
    let honest = Attestation::of(Behaviour::Honest);
    for command in ["appraise", "explain"] {
        let (code, json) = honest.run(command, true);
        assert_eq!(
            (code, &json["result"]),
            (Some(0), &"accepted".into()),
            "{json:#}"
        );
        assert_eq!(json["claims"]["tier"], 1);
        let (code, json) = honest.run(command, false);
        assert_eq!((code, &json["result"]), (Some(2), &"undecided".into()));
    }
    let rogue = Attestation::of(Behaviour::Rogue);
    let (code, json) = rogue.run("explain", true);
    assert_eq!((code, &json["result"]), (Some(1), &"rejected".into()));
    let failed: Vec<&str> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["outcome"] == "fail")
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["reference-pcr-4", "tier"]);
}

#[test]
fn a_file_that_is_not_there_is_undecided_and_json_says_so() {
    let out = verifier(&["eventlog", "replay", "missing.bin", "--json"]);
    assert_eq!(out.status.code(), Some(2));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["result"], "undecided");
    assert_eq!(json["checks"][0]["name"], "input");
    assert!(json["claims"].is_object());
    assert!(text(&out.stderr).contains("error: missing.bin"));
}
