//! `assay-agent bench` as a program: its exit codes and its JSON.

use assay_hw_profiles::DEMO_CLASS;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn configure(dir: &Path, limits: &str) -> String {
    let text = format!(
        "network = \"{}\"\nprovider = \"{}\"\nroster = [\"{}\"]\nlisten = \"127.0.0.1:0\"\nstate_dir = {:?}\n\
         [tpm]\ntcti = \"device:/dev/null\"\nevent_log = \"/dev/null\"\n[limits]\n{limits}\n",
        "11".repeat(32),
        "22".repeat(20),
        "33".repeat(32),
        dir.join("state"),
    );
    let path = dir.join("agent.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn bench(config: &str, class: &Path) -> Output {
    let class = class.to_str().unwrap();
    Command::new(env!("CARGO_BIN_EXE_assay-agent"))
        .args(["bench", "--json", "--config", config, "--profile", class])
        .output()
        .unwrap()
}

#[test]
fn a_missing_class_is_usage_and_a_region_that_is_not_granted_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "region_blocks_max = 2048");
    let class = dir.path().join("class.toml");
    let missing = bench(&config, &class);
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(
        said.contains("class.toml") && said.contains("hint: "),
        "{said}"
    );
    fs::write(&class, DEMO_CLASS).unwrap();
    let refused = bench(&config, &class);
    assert_eq!(refused.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(findings[0]["name"], "regions");
    assert_eq!(findings[0]["verdict"], "FAIL");
}

#[test]
fn every_finding_of_a_whole_run_is_there_and_the_folder_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "");
    let class = dir.path().join("class.toml");
    fs::write(&class, DEMO_CLASS).unwrap();
    let output = bench(&config, &class);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["name"].as_str().unwrap())
        .collect();
    let expected = [
        "engine", "granted", "fill", "latency", "device", "cache", "liveness", "iops",
    ];
    assert_eq!(names, expected, "{findings}");
    // The progress bar is for terminals, and its region is gone.
    assert!(output.stderr.is_empty());
    assert!(!dir.path().join("state/bench").exists());
}
