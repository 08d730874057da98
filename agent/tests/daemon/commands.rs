//! What a provider runs besides: evidence for its own eyes, the node's id, and starts that fail.

use super::*;

/// What a provider does before any stake is at risk.
#[test]
fn evidence_for_ones_own_eyes_is_what_a_hypernode_would_get() {
    let bench = Bench::new();
    let (nonce, out) = ("07".repeat(32), bench.path("evidence"));
    let out_text = out.to_str().unwrap();
    let mut args = vec!["attest", "--nonce", &nonce, "--out", out_text];
    assert_eq!(bench.fail(&args), (0, String::new()));
    let bytes = std::fs::read(&out).unwrap();
    let key = cose::claimed_signer(&bytes, bytes.len()).unwrap();
    let evidence = evidence::open(&bytes, &key).unwrap();
    assert_eq!(
        evidence.claims().nonces,
        [(HyperNodeId([0; 32]), Nonce([7; 32]))]
    );
    let hypernode = "09".repeat(32);
    args.extend(["--hypernode", &hypernode]);
    assert_eq!(bench.fail(&args).0, 0);
    let bytes = std::fs::read(&out).unwrap();
    let again = cose::claimed_signer(&bytes, bytes.len()).unwrap();
    assert_ne!(again, key, "a session key of its own each time");
    let evidence = evidence::open(&bytes, &again).unwrap();
    assert_eq!(
        evidence.claims().nonces,
        [(HyperNodeId([9; 32]), Nonce([7; 32]))]
    );
    let nowhere = bench.path("no/such/folder");
    args[4] = nowhere.to_str().unwrap();
    let (code, stderr) = bench.fail(&args);
    assert!(
        code == 5 && stderr.contains("no/such/folder: ") && stderr.contains("--out"),
        "{stderr}"
    );
    let (code, stderr) = bench.fail(&["attest", "--nonce", "07", "--out", out_text]);
    assert!(
        code == 2 && stderr.contains("32 bytes as hexadecimal"),
        "{stderr}"
    );
}

#[test]
fn enroll_prints_the_node() {
    let bench = Bench::new();
    let output = Command::new(AGENT)
        .args(["enroll", "--print", "--config"])
        .arg(bench.config())
        .output()
        .unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["node"], bench.start().node.to_string());
    assert_eq!(printed["ak_name"].as_str().unwrap().len(), 68);
}

#[test]
fn every_failure_to_start_has_its_code_and_a_hint() {
    let mut bench = Bench::new();
    let expect = |bench: &Bench, code: i32, said: &str| {
        let (actual, stderr) = bench.fail(&run());
        assert_eq!(actual, code, "{stderr}");
        assert!(
            stderr.starts_with("error: ") && !stderr.contains("esys"),
            "{stderr}"
        );
        assert!(
            stderr.contains(said) && stderr.contains("\nhint: "),
            "{stderr}"
        );
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    bench.configure(&address, "state", "");
    expect(&bench, 4, &format!("cannot listen on {address}"));
    std::fs::write(bench.path("file"), "").unwrap();
    bench.configure("127.0.0.1:0", "file/state", "");
    expect(&bench, 5, "state directory");
    bench.configure("127.0.0.1:0", "state", "surprise = 1\n");
    expect(&bench, 2, "surprise");
    bench.configure("127.0.0.1:0", "state", "");
    drop(bench.start());
    let mut blob = std::fs::read(bench.path("state/ak.blob")).unwrap();
    *blob.last_mut().unwrap() ^= 1;
    std::fs::write(bench.path("state/ak.blob"), blob).unwrap();
    expect(&bench, 3, "this TPM refuses attestation key blob");
    std::fs::write(bench.path("state/ak.blob"), "x").unwrap();
    expect(&bench, 3, "ak.blob is damaged");
    std::fs::rename(bench.path("log"), bench.path("gone")).unwrap();
    expect(&bench, 2, "event log");
    std::fs::rename(bench.path("gone"), bench.path("log")).unwrap();
    bench.swtpm.kill9();
    expect(&bench, 3, "no TPM at swtpm:");
    for (section, said) in [
        (
            "source = \"guest-device\"\npath = \"/nowhere\"",
            "[snp] /nowhere: No such",
        ),
        (
            "source = \"guest-device\"\npath = \"/dev/null\"\nhost = \"/dev/null\"",
            "[snp] /dev/null: SEV_GET_ID2: ENOTTY",
        ),
        (
            "source = \"configfs-tsm\"\npath = \"/nowhere\"",
            "[snp] /nowhere/assay-agent: No such",
        ),
        ("source = \"probe-guest\"", "snp.cid"),
    ] {
        bench.configure("127.0.0.1:0", "state", &format!("[snp]\n{section}\n"));
        expect(&bench, 2, said);
    }
    std::fs::remove_file(bench.config()).unwrap();
    expect(&bench, 2, "agent.toml: No such file");
    assert_eq!(bench.fail(&["run", "--unknown"]).0, 2);
}
