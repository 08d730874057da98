//! What a provider can find out before any stake is at risk, with the commands of the README.

use assay_protocol::ids::{Address, HyperNodeId, NetworkId};
use assay_testbed::net::{Programs, ScalerNode};
use assay_testbed::{TestCa, Variant};
use serde_json::Value;
use std::process::Command;

/// The agent's evidence under the demonstration class: result, and the checks that did not pass.
fn explained(variant: Variant) -> (Value, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let ca = TestCa::create(&dir.path().join("ca")).unwrap();
    let home = dir.path().join("node");
    let mut node = ScalerNode::new(&home, &ca, "node", variant, Address([2; 20])).unwrap();
    let config = node
        .power_on(NetworkId([1; 32]), &[HyperNodeId([3; 32])])
        .unwrap();
    std::fs::write(at("class.toml"), assay_hw_profiles::DEMO_CLASS).unwrap();
    std::fs::write(at("trust.json"), r#"{"allowed_kinds":["test"],"roots":[]}"#).unwrap();
    let (nonce, hypernode) = ("07".repeat(32), "00".repeat(32));
    let (config, evidence) = (config.to_str().unwrap(), at("evidence"));
    let programs = Programs::beside_this_one().unwrap();
    let attest = [
        "attest", "--config", config, "--nonce", &nonce, "--out", &evidence,
    ];
    programs.run("assay-agent", &attest).unwrap();
    let mut explain = Command::new(programs.path("assay-verifier").unwrap());
    explain.args([
        "explain",
        &evidence,
        "--json",
        "--nonce",
        &nonce,
        "--hypernode",
        &hypernode,
    ]);
    explain.args(["--profile", &at("class.toml"), "--roots", &at("trust.json")]);
    let said = explain.output().unwrap().stdout;
    let found: Value = serde_json::from_slice(&said).unwrap();
    let checks = found["checks"].as_array().unwrap().iter();
    let open = checks.filter(|check| check["outcome"] != "pass");
    let open = open.map(|check| check["name"].as_str().unwrap().to_owned());
    (found["result"].clone(), open.collect())
}

/// Nothing is wrong with the machine, and only a HyperNode can show which TPM the attestation key lives in.
#[test]
fn a_good_machine_lacks_its_enrolment_alone() {
    let (result, open) = explained(Variant::Good);
    assert_eq!(result, "undecided", "{open:?}");
    assert_eq!(open, ["enrolment", "root-kind", "tier"]);
}

#[test]
fn a_machine_that_booted_something_else_is_told_what() {
    let (result, open) = explained(Variant::Rogue);
    assert_eq!(result, "rejected", "{open:?}");
    assert!(
        open.iter().any(|name| name == "reference-pcr-4"),
        "{open:?}"
    );
}
