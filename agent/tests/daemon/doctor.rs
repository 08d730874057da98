//! `assay-agent doctor`.

use super::*;

#[test]
fn the_doctor_passes_a_good_machine_and_names_what_is_wrong() {
    let bench = Bench::new();
    let class = bench.path("class.toml");
    std::fs::write(&class, assay_hw_profiles::DEMO_CLASS).unwrap();
    let (good, sound) = examined(&bench, &["--profile", class.to_str().unwrap()]);
    assert!(sound, "{good:?}");
    for name in [
        "configuration",
        "event-log",
        "measured",
        "tpm",
        "ek-certificate",
        "quote",
        "state",
        "listen",
        "class-regions",
    ] {
        assert_eq!(good[name].0, "PASS", "{name}: {good:?}");
    }
    assert_eq!(good["ima"].0, "SKIP");
    let failed = |name: &str, of: &str| {
        let (findings, sound) = examined(&bench, &[]);
        let (verdict, found) = &findings[name];
        assert!(
            !sound && verdict == "FAIL" && found.contains(of),
            "{name}: {findings:?}"
        );
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    bench.configure(&address, "state", "");
    failed("listen", "cannot listen on");
    failed("measured", "does not have this configuration");
    bench.configure(
        "127.0.0.1:0",
        "state",
        "[limits]\nregion_blocks_max = 4000000000\n",
    );
    failed("state", "MiB free");
    bench.configure("127.0.0.1:0", "state", "");
    let config = std::fs::read_to_string(bench.config()).unwrap();
    let elsewhere = config.replace(&bench.swtpm.tcti(), "swtpm:host=127.0.0.1,port=1");
    std::fs::write(bench.config(), elsewhere).unwrap();
    failed("tpm", "TPM");
    std::fs::remove_file(bench.path("log")).unwrap();
    failed("logs", "event log: ");
    std::fs::write(bench.config(), "network = 1").unwrap();
    failed("configuration", "agent configuration");
    let (code, stderr) = bench.fail(&["doctor", "--profile", "/no/such/class"]);
    assert!(code == 2 && stderr.contains("/no/such/class"), "{stderr}");
}

/// Each finding by name, and whether nothing has to be repaired.
fn examined(bench: &Bench, more: &[&str]) -> (BTreeMap<String, (String, String)>, bool) {
    let output = Command::new(AGENT)
        .args(["doctor", "--json", "--config"])
        .arg(bench.config())
        .args(more)
        .output()
        .unwrap();
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = findings.iter().map(|finding| {
        let (verdict, found) = (text(finding, "verdict"), text(finding, "found"));
        assert_eq!(finding["hint"].is_null(), verdict == "PASS", "{finding}");
        (text(finding, "name"), (verdict, found))
    });
    (findings.collect(), output.status.success())
}
