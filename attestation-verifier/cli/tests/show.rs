//! Evidence of a real software TPM, shown, extracted, and accepted by `tpm2_checkquote`.

#[allow(dead_code)]
mod network;

use assay_protocol::answers::{ChainLink, Counter, counter};
use assay_protocol::cose::Signer as _;
use assay_protocol::evidence::{
    self, Claims, TpmClock, VendorEvidence, claims_bytes, qualifying_data,
};
use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::*;
use assay_protocol::inventory::{self, Cpu, Disk, Inventory, Nic};
use assay_protocol::item::{Blob, Item as _};
use assay_testbed::{Banks, MeasuredBoot, Swtpm, TestCa, Variant};
use network::Key;
use std::fs;
use std::path::Path;
use std::process::Command;

fn tool(dir: &Path, tcti: &str, name: &str, args: &[&str]) {
    let out = Command::new(name)
        .args(args)
        .current_dir(dir)
        .env("TPM2TOOLS_TCTI", tcti)
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    assert!(out.status.success(), "{name} {args:?}: {stdout}{stderr}");
}

/// TPMT_PUBLIC without the size prefix of the file's TPM2B_PUBLIC.
fn ak(dir: &Path, tcti: &str) -> Vec<u8> {
    tool(dir, tcti, "tpm2_createek", &["-c", "ek.ctx", "-G", "rsa"]);
    tool(dir, tcti, "tpm2_flushcontext", &["-t"]);
    let create = [
        "-C", "ek.ctx", "-c", "ak.ctx", "-G", "ecc", "-g", "sha256", "-s", "ecdsa", "-u", "ak.pub",
    ];
    tool(dir, tcti, "tpm2_createak", &create);
    tool(dir, tcti, "tpm2_flushcontext", &["-t"]);
    fs::read(dir.join("ak.pub")).unwrap()[2..].to_vec()
}

fn inventory() -> Vec<u8> {
    let disk = Disk {
        name: "nvme0n1".into(),
        model: "Example".into(),
        size_bytes: 4_096,
        serial: None,
        rotates: false,
    };
    let nic = Nic {
        name: "eth0".into(),
        driver: String::new(),
        speed_mbps: Some(10_000),
    };
    let cpu = Cpu {
        model: "Example CPU".into(),
        sockets: 1,
        cores: 2,
        threads: 4,
        microcode: "0x1".into(),
    };
    let machine = Inventory {
        schema: inventory::SCHEMA,
        cpu,
        memory_bytes: 1_024,
        disks: vec![disk],
        nics: vec![nic],
    };
    machine.encode()
}

fn quoted(dir: &Path, tcti: &str, boot: &MeasuredBoot) -> Vec<u8> {
    let ak_public = ak(dir, tcti);
    let name = [&[0, 0x0b][..], &sha256(&[&ak_public])].concat();
    let (session, log) = (Key::new(5), boot.log(Banks::Sha256));
    let claims = Claims {
        nonces: vec![(HyperNodeId([1; 32]), Nonce([2; 32]))],
        node: NodeId([3; 32]),
        uptime_s: 1,
        software: ("assay-agent".into(), "0.1.0".into()),
        freshness: (Epoch(0), Beacon([0; 32])),
        link: ChainLink {
            sequence: 0,
            previous: Digest([0; 32]),
        },
        counters: vec![Counter {
            id: counter::STEAL_MS,
            scope: String::new(),
            value: 70,
        }],
        inventory: Some(digest(&[&inventory()])),
        clock: TpmClock {
            clock_ms: 1,
            reset_count: 1,
            restart_count: 0,
            safe: true,
        },
        session_key: SessionKey(session.public_key()),
        ak_name: AkName::try_from(name.as_slice()).unwrap(),
        owner: (NetworkId([4; 32]), Address([5; 20])),
        event_log: digest(&[&log]),
        at: UnixMs(0),
        snp_report: None,
        ima: None,
        chip_ids: None,
    };
    let nonce = hex::encode(qualifying_data(&claims_bytes(&claims)));
    let pcrs = "sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14";
    let quote = [
        "-c",
        "ak.ctx",
        "-l",
        pcrs,
        "-q",
        &nonce,
        "-m",
        "q.msg",
        "-s",
        "q.sig",
        "-o",
        "q.pcrs",
        "-F",
        "serialized",
        "-g",
        "sha256",
    ];
    tool(dir, tcti, "tpm2_quote", &quote);
    let vendor = VendorEvidence {
        attest: Blob(fs::read(dir.join("q.msg")).unwrap()),
        signature: Blob(fs::read(dir.join("q.sig")).unwrap()),
        ak_public: Blob(ak_public),
        pcrs: (0..15).zip(boot.pcrs().map(Digest)).collect(),
        event_log: Blob(log),
        ima_log: None,
        snp: None,
        inventory: Some(Blob(inventory())),
    };
    evidence::seal(claims, &vendor, &session)
}

#[test]
fn tpm2_checkquote_accepts_what_show_extracts() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::create(&dir.path().join("ca")).unwrap();
    let tpm = Swtpm::create(&dir.path().join("tpm"), &ca, "show").unwrap();
    let boot = MeasuredBoot::new(Variant::Good, b"configuration");
    boot.extend(&tpm).unwrap();
    let bytes = quoted(dir.path(), &tpm.tcti(), &boot);
    let path = dir.path().join("evidence.cose");
    fs::write(&path, &bytes).unwrap();
    let out = dir.path().join("out");
    let shown = Command::new(env!("CARGO_BIN_EXE_assay-verifier"))
        .args([
            "show",
            "--extract",
            out.to_str().unwrap(),
            path.to_str().unwrap(),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.status.success(),
        "{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    assert!(
        !text.contains("FAIL")
            && text.contains("quote-signature")
            && text.contains("not checked here"),
        "{text}"
    );
    for claimed in [
        "Example CPU, 1 sockets, 2 cores, 4 threads, microcode 0x1 (claimed)",
        "1024 bytes (claimed)",
        "nvme0n1 Example, 4096 bytes, SHA-256 of the serial none (claimed)",
        "eth0 unnamed, 10000 Mbit/s (claimed)",
        "steal_ms 70",
        "inventory-digest",
    ] {
        assert!(text.contains(claimed), "{claimed}: {text}");
    }
    let written = |name: &str| fs::read(out.join(name)).unwrap();
    let original = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert_eq!(
        written("pcrs.bin"),
        original("q.pcrs"),
        "the serialized form of tpm2-tools itself"
    );
    let nonce = String::from_utf8(written("qualification.hex")).unwrap();
    let check = [
        "-u",
        "ak.pem",
        "-m",
        "attest.bin",
        "-s",
        "sig.bin",
        "-f",
        "pcrs.bin",
        "-g",
        "sha256",
        "-q",
        &nonce,
    ];
    tool(&out, "none", "tpm2_checkquote", &check);
}

#[test]
fn bytes_that_are_no_evidence_are_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad");
    fs::write(&path, b"not evidence").unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_assay-verifier"))
        .arg("show")
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(said.contains("bad") && said.contains("hint: "), "{said}");
}
