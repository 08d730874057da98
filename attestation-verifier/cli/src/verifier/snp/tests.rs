//! The command on generated files.

use super::*;
use crate::verifier::Conclusion;
use assay_testbed::snp::{Authority, Chip, CrlSpec, Product as Line};
use sha2_of::sha256_hex;
use std::fs;

pub(in crate::verifier) fn rules() -> Rules {
    Rules {
        crl: None,
        at: Some("2026-11-01T00:00:00Z".into()),
        tcb_floor: None,
        allow_debug: false,
        allow_migration: false,
        allow_masked_chip_id: false,
        vmpl: None,
        test_ark: None,
    }
}

mod sha2_of {
    pub fn sha256_hex(bytes: &[u8]) -> String {
        hex::encode(assay_protocol::hash::sha256(&[bytes]))
    }
}

/// Files of one generated report and the arguments that accept it.
struct Files {
    folder: tempfile::TempDir,
    chip: Chip,
    arguments: Verify,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chip, shared) = (Chip::new(Line::Genoa), Authority::shared());
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: Vec<u8>| fs::write(path(name), bytes).unwrap();
        write("report.bin", chip.sign(chip.report(5)));
        write("vcek.der", chip.vcek());
        write("ask.der", shared.ask_spec(Line::Genoa).sign(&shared.ark));
        write("asvk.der", shared.asvk_spec(Line::Genoa).sign(&shared.ark));
        write("ark.der", shared.ark_spec(Line::Genoa).sign(&shared.ark));
        let arguments = Verify {
            report: path("report.bin"),
            vcek: Some(path("vcek.der")),
            vlek: None,
            chain: vec![path("ask.der"), path("ark.der")],
            report_data: None,
            measurement: Vec::new(),
            host_data: None,
            rules: Rules {
                test_ark: Some(path("ark.der")),
                ..rules()
            },
        };
        Self {
            folder,
            chip,
            arguments,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn sign(&self, at: usize, bytes: &[u8]) {
        let report = self.chip.report(5).with(at, bytes);
        self.write("report.bin", &self.chip.sign(report));
    }

    fn run(self) -> (Files, Finding) {
        let command = Command::Verify(Box::new(self.arguments));
        let finding = run(&command).unwrap();
        let Command::Verify(arguments) = command;
        let arguments = *arguments;
        (Files { arguments, ..self }, finding)
    }

    /// Runs the command; the checks that failed.
    fn failed(self) -> (Files, Vec<String>) {
        let (files, finding) = self.run();
        let failed = finding
            .checks
            .iter()
            .filter(|c| c.outcome != assay_appraisal::checks::Outcome::Pass);
        let failed: Vec<String> = failed.map(|c| c.name.into()).collect();
        assert_eq!(failed.is_empty(), finding.result == Conclusion::Accepted);
        (files, failed)
    }
}

#[test]
fn a_good_report_is_accepted_and_the_result_says_what_was_not_checked() {
    let (_, finding) = Files::new().run();
    assert_eq!(finding.result, Conclusion::Accepted, "{finding}");
    assert_eq!(finding.claims["root_kind"], "test");
    assert_eq!(finding.claims["freshness"], "not checked");
    assert_eq!(finding.claims["report_data"], "00".repeat(64));
    assert_eq!(finding.claims["product"], "Genoa");
    assert_eq!(
        finding.claims["reported_tcb"],
        "bl=4,tee=1,snp=24,ucode=219"
    );
    assert_eq!(finding.claims["tier_max"], 3);
    assert_eq!(finding.claims["policy"]["debug_allowed"], false);
}

#[test]
fn given_expectations_are_checked() {
    let mut files = Files::new();
    files.arguments.report_data = Some("00".repeat(64));
    files.arguments.measurement = vec!["22".repeat(48), "11".repeat(48)];
    files.arguments.host_data = Some("00".repeat(32));
    files.arguments.rules.tcb_floor = Some("bl=4,tee=1,snp=24,ucode=219".into());
    let (mut files, finding) = files.run();
    assert_eq!(finding.result, Conclusion::Accepted, "{finding}");
    assert_eq!(finding.claims["freshness"], "checked");
    files.arguments.report_data = Some("01".repeat(64));
    files.arguments.measurement = vec!["22".repeat(48)];
    files.arguments.host_data = Some("01".repeat(32));
    files.arguments.rules.tcb_floor = Some("bl=4,tee=1,snp=24,ucode=220".into());
    let (_, failed) = files.failed();
    let tcbs = [
        "snp-tcb-reported",
        "snp-tcb-committed",
        "snp-tcb-launch",
        "snp-tcb-current",
    ];
    assert_eq!(
        failed[..3],
        ["snp-report-data", "snp-measurement", "snp-host-data"]
    );
    assert_eq!(failed[3..], tcbs);
}

#[test]
fn guests_that_can_be_read_moved_or_speak_from_below_need_a_flag() {
    let files = Files::new();
    files.sign(0x0a, &[0x0f]);
    let (mut files, failed) = files.failed();
    assert_eq!(failed, ["snp-policy-debug", "snp-policy-migration"]);
    files.arguments.rules.allow_debug = true;
    files.arguments.rules.allow_migration = true;
    assert_eq!(files.failed().1, [""; 0]);
    let files = Files::new();
    files.sign(0x30, &[1]);
    let (mut files, failed) = files.failed();
    assert_eq!(failed, [""; 0]);
    files.arguments.rules.vmpl = Some(0);
    let (mut files, failed) = files.failed();
    assert_eq!(failed, ["snp-vmpl"]);
    files.arguments.rules.vmpl = Some(1);
    assert_eq!(files.failed().1, [""; 0]);
    let files = Files::new();
    files.sign(0x1a0, &[0; 64]);
    let (mut files, failed) = files.failed();
    assert_eq!(failed, ["snp-chip-id-mask"]);
    files.arguments.rules.allow_masked_chip_id = true;
    assert_eq!(files.failed().1, [""; 0]);
}

#[test]
fn without_the_test_root_nothing_of_it_is_accepted() {
    let mut files = Files::new();
    files.arguments.rules.test_ark = None;
    let (_, finding) = files.run();
    assert_eq!(finding.result, Conclusion::Rejected);
    assert_eq!(finding.claims["authentic"], false);
    assert_eq!(finding.claims.get("root_kind"), None);
}

#[test]
fn a_vlek_is_verified_with_its_own_intermediate() {
    let mut files = Files::new();
    let report = files.chip.report(5).with(0x48, &[4]).with(0x1a0, &[0; 64]);
    files.write("report.bin", &files.chip.sign(report));
    files.arguments.vcek = None;
    files.arguments.vlek = Some(files.write("vlek.der", &files.chip.vlek()));
    files.arguments.chain = vec![files.path("asvk.der")];
    let (mut files, finding) = files.run();
    assert_eq!(finding.result, Conclusion::Accepted, "{finding}");
    assert_eq!(finding.claims["key_kind"], "vlek");
    assert_eq!(finding.claims["csp_id"], "CN=cloud.example");
    files.arguments.chain.clear();
    assert_eq!(files.failed().1, ["snp-chain-issuers"]);
}

#[test]
fn a_chain_may_be_one_file_in_any_order_and_hold_more_than_is_needed() {
    let files = Files::new();
    let read = |name: &str| fs::read(files.path(name)).unwrap();
    let pem = |der: Vec<u8>| {
        let base64 = base64(&der);
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    let all = ["ark.der", "asvk.der", "ask.der", "ask.der"];
    let as_pem: String = all.iter().map(|name| pem(read(name))).collect();
    let as_der = all.map(read).concat();
    let mut files = files;
    for bytes in [as_pem.as_bytes(), &as_der] {
        files.arguments.chain = vec![files.write("chain", bytes)];
        let failed;
        (files, failed) = files.failed();
        assert_eq!(failed, [""; 0]);
    }
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).map(|group| {
        let bits = group
            .iter()
            .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        let digit = |at: usize| alphabet[(bits >> (18 - 6 * at)) as usize & 63] as char;
        let text: String = (0..=group.len()).map(digit).collect();
        format!("{text:=<4}")
    });
    groups.collect()
}

/// A wrong chain that was given is judged; what is built in does not stand in for it.
#[test]
fn a_given_chain_of_another_product_or_role_is_refused() {
    let shared = Authority::shared();
    let mut files = Files::new();
    let milan = shared.ask_spec(Line::Milan).sign(&shared.ark);
    files.arguments.chain = vec![files.write("milan.der", &milan), files.path("ark.der")];
    let (mut files, failed) = files.failed();
    assert!(
        failed.contains(&"snp-intermediate-role".to_owned()),
        "{failed:?}"
    );
    files.arguments.chain = vec![files.path("asvk.der"), files.path("ark.der")];
    let (mut files, failed) = files.failed();
    assert!(
        failed.contains(&"snp-intermediate-role".to_owned()),
        "{failed:?}"
    );
    let forged = shared.ask_spec(Line::Genoa).sign(&shared.ask);
    files.arguments.chain = vec![files.write("forged.der", &forged), files.path("ask.der")];
    assert_eq!(files.failed().1, ["snp-chain-issuers"]);
}

#[test]
fn files_that_do_not_parse_are_failed_checks() {
    let files = Files::new();
    files.write("report.bin", b"");
    let (files, failed) = files.failed();
    assert_eq!(failed, ["snp-report-structure"]);
    for (bytes, name) in [
        (&b""[..], "snp-leaf-file"),
        (b"garbage", "snp-leaf-file"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA", "snp-leaf-file"),
        (&[0x30, 0], "snp-chain-issuers"),
    ] {
        let files = Files::new();
        files.write("vcek.der", bytes);
        assert_eq!(files.failed().1, [name]);
    }
    files.write("ask.der", b"garbage");
    let (_, failed) = files.failed();
    assert!(failed.contains(&"snp-chain-file".to_owned()), "{failed:?}");
}

#[test]
fn files_and_arguments_that_cannot_be_used_are_no_verdict() {
    let unusable = |change: &dyn Fn(&mut Verify)| {
        let mut files = Files::new();
        change(&mut files.arguments);
        let error = run(&Command::Verify(Box::new(files.arguments))).unwrap_err();
        format!("{error:#}")
    };
    assert!(unusable(&|a| a.report = "/nonexistent/report".into()).contains("/nonexistent/report"));
    assert!(
        unusable(&|a| a.chain.push("/nonexistent/chain".into())).contains("/nonexistent/chain")
    );
    assert!(
        unusable(&|a| a.rules.crl = Some("/nonexistent/crl".into())).contains("/nonexistent/crl")
    );
    assert!(unusable(&|a| a.vcek = None).contains("exactly one of --vcek and --vlek"));
    assert!(unusable(&|a| a.vlek = a.vcek.clone()).contains("exactly one of --vcek and --vlek"));
    assert!(unusable(&|a| a.report_data = Some("00".into())).contains("expected 64 bytes, got 1"));
    assert!(unusable(&|a| a.report_data = Some("zz".into())).contains("hexadecimal"));
    assert!(unusable(&|a| a.measurement = vec!["00".into()]).contains("expected 48 bytes"));
    assert!(unusable(&|a| a.rules.tcb_floor = Some("bl=1".into())).contains("--tcb-floor"));
    assert!(unusable(&|a| a.rules.at = Some("today".into())).contains("RFC 3339"));
    assert!(
        unusable(&|a| a.rules.test_ark = a.vcek.clone()).contains("expected a name as ARK-Genoa")
    );
}

#[test]
fn a_floor_is_for_the_products_of_its_layout() {
    let floors = |text: &str| {
        let rules = Rules {
            tcb_floor: Some(text.into()),
            ..rules()
        };
        match rules.tcb_floors().unwrap() {
            Expect::Is(floors) => Vec::from_iter(floors.into_keys()),
            Expect::Unchecked => panic!("no floor"),
        }
    };
    assert_eq!(
        floors("bl=1,tee=0,snp=0,ucode=0"),
        [Product::Milan, Product::Genoa]
    );
    assert_eq!(floors("bl=1,tee=0,snp=0,ucode=0,fmc=1"), [Product::Turin]);
}

#[test]
fn certificates_are_judged_at_the_time_given() {
    let mut files = Files::new();
    files.arguments.rules.at = Some("2023-12-31T23:59:59Z".into());
    let expected = [
        "snp-root-validity",
        "snp-intermediate-validity",
        "snp-leaf-validity",
    ];
    assert_eq!(files.failed().1, expected);
}

/// The built-in certificates are those the README lists, and each root is pinned.
#[test]
fn built_in_certificates_are_amds() {
    let readme = include_str!("../../../data/amd/README.md");
    let (mut roots, mut intermediates) = (0, 0);
    for der in builtin::CERTIFICATES {
        assert!(readme.contains(&sha256_hex(der)));
        let certificate = Certificate::parse(der).unwrap();
        match SnpRoots::amd().find(certificate.spki) {
            Some(_) => roots += 1,
            None => intermediates += usize::from(!certificate.is_self_issued()),
        }
    }
    assert_eq!((roots, intermediates), (3, 3));
}

/// The ASK of the testbed has serial number 0x010001.
#[test]
fn a_revocation_list_is_asked_and_must_be_the_roots_and_current() {
    let shared = Authority::shared();
    let good = CrlSpec::of(Line::Genoa, vec![vec![5]]);
    let lists = [
        (good.sign(&shared.ark), true),
        (CrlSpec::of(Line::Genoa, vec![]).sign(&shared.ark), true),
        (
            CrlSpec::of(Line::Genoa, vec![vec![1, 0, 1]]).sign(&shared.ark),
            false,
        ),
        (good.sign(&shared.ask), false),
        (CrlSpec::of(Line::Milan, vec![]).sign(&shared.ark), false),
        (
            CrlSpec {
                next_update: "261031235959Z".into(),
                ..good.clone()
            }
            .sign(&shared.ark),
            false,
        ),
        (
            CrlSpec {
                this_update: "261101000001Z".into(),
                ..good
            }
            .sign(&shared.ark),
            false,
        ),
        (b"garbage".to_vec(), false),
    ];
    for (list, accepted) in lists {
        let mut files = Files::new();
        files.arguments.rules.crl = Some(files.write("crl.der", &list));
        let expected: &[&str] = if accepted { &[] } else { &["snp-revocation"] };
        assert_eq!(files.failed().1, expected);
    }
}
