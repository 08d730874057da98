//! `quote` and `simulate` as programs: what is printed where, and with which exit code. Neither opens a socket or a ledger.

use std::path::Path;
use std::process::{Command, Output};

fn bridge(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay-bridge"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Nothing on stdout, the named thing on stderr, this exit code.
fn refused(folder: &Path, line: &str, code: i32, named: &str) {
    let output = bridge(folder, line);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        (output.status.code(), out.as_str()),
        (Some(code), ""),
        "{line}: {err}"
    );
    assert!(err.contains(named), "{line}: expected {named:?} in: {err}");
}

#[test]
fn a_quote_is_printed_for_people_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let history = "what,from_unix_s,to_unix_s\nobserved,0,31536000\noutage,100000,186400\n";
    std::fs::write(folder.path().join("outages.csv"), history).unwrap();
    let line = "quote --history outages.csv --price-gwei 1000000 --runs 1000 --seed 5";
    let people = bridge(folder.path(), line);
    assert!(people.status.success());
    assert!(text(&people.stdout).contains("1000 simulated periods, seed 5"));
    let json = bridge(folder.path(), &format!("{line} --json"));
    let quote: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (quote["seed"].as_u64(), quote["down_s"].as_u64()),
        (Some(5), Some(86_400))
    );
    let again = bridge(folder.path(), &format!("{line} --json"));
    assert_eq!(json.stdout, again.stdout);
}

/// BUILDERS.md shows this quote, its history and its command, so the program and the page cannot part.
#[test]
fn the_page_s_quote_is_reproduced() {
    let page = include_str!("../../BUILDERS.md");
    let block = |begun: &str| {
        let from = page.find(begun).unwrap();
        page[from..].split("```").next().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let history = block("what,from_unix_s");
    std::fs::write(folder.path().join("outages.csv"), history).unwrap();
    let shown = block("$ assay-bridge quote --history");
    let (command, shown) = shown.split_once('\n').unwrap();
    let line = command.strip_prefix("$ assay-bridge ").unwrap();
    assert_eq!(text(&bridge(folder.path(), line).stdout), shown);
    // "Over 30 days … one period in eight has a credit, and p99 is the whole rent."
    let month = "quote --history outages.csv --block-hours 96 --json --period-hours 720 --price-gwei 7200000000000";
    assert!(page.contains(month.rsplit_once("--json ").unwrap().1));
    let quote: serde_json::Value =
        serde_json::from_slice(&bridge(folder.path(), month).stdout).unwrap();
    let with_credit = quote["breach_ppm"].as_u64().unwrap();
    assert_eq!(
        (1_000_000 + with_credit / 2) / with_credit,
        8,
        "{with_credit} ppm"
    );
    assert_eq!(quote["loss_p99_gwei"].as_u64(), Some(7_200_000_000_000));
}

#[test]
fn a_simulation_prints_one_line_for_each_scenario() {
    let folder = tempfile::tempdir().unwrap();
    let line = "simulate --behaviours lazy --shares 10,20 --nodes 3 --epochs 1 --hypernodes 5 --cap-bps 2000";
    let output = bridge(folder.path(), line);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(out.matches("| lazy |").count(), 2, "{out}");
    assert!(out.contains("--seed 1"), "{out}");
}

#[test]
fn bad_input_is_named_and_nothing_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(
        here.join("bad.csv"),
        "what,from_unix_s,to_unix_s\nobserved,9,1\n",
    )
    .unwrap();
    std::fs::write(here.join("tiers.toml"), "name = \"t\"\ntiers = []\n").unwrap();
    std::fs::write(
        here.join("ok.csv"),
        "what,from_unix_s,to_unix_s\nobserved,0,31536000\n",
    )
    .unwrap();
    refused(
        here,
        "quote --history none.csv --price-gwei 1",
        2,
        "none.csv",
    );
    refused(
        here,
        "quote --history ok.csv --price-gwei 1 --credits none.toml",
        2,
        "none.toml",
    );
    refused(
        here,
        "quote --history bad.csv --price-gwei 1",
        1,
        "from before to",
    );
    refused(
        here,
        "quote --history ok.csv --price-gwei 1 --credits tiers.toml",
        1,
        "tiers",
    );
    refused(here, "quote --history ok.csv", 2, "--price-gwei");
    refused(
        here,
        "quote --history ok.csv --price-gwei 0",
        2,
        "invalid value '0' for '--price-gwei",
    );
    refused(
        here,
        "quote --history ok.csv --price-gwei 1 --runs 5",
        2,
        "5",
    );
    refused(
        here,
        "quote --history ok.csv --price-gwei 1 --block-hours 8761",
        2,
        "8761",
    );
    refused(
        here,
        "quote --history ok.csv --price-gwei 1 --node xyz",
        2,
        "xyz",
    );
    refused(here, "simulate --behaviours kind", 2, "kind");
    refused(here, "simulate --persistence 9,6", 2, "1 <= m <= n");
    refused(
        here,
        "simulate --cap-bps 10 --nodes 1 --epochs 1",
        1,
        "operator_cap_bps",
    );
}
