//! `tpm quote` as a program's user sees it: files in, finding and exit code out.

use super::ak::tests::{pem, spki, tpmt};
use super::*;
use crate::verifier::Conclusion;
use assay_protocol::ids::Digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use clap::Parser;
use std::fs;
use std::path::Path;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// A folder with a good quote of PCR 0 to 14 by a new key, nonce 0707.
struct Files {
    dir: tempfile::TempDir,
    key: EcdsaKeyPair,
}

fn attest(selection: &[(u8, u32)], values: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 0, 0, 2, 7, 7];
    out.extend([0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 1, 1]);
    out.extend([0, 0, 0, 0, 0, 0, 0, 5]);
    out.extend((selection.len() as u32).to_be_bytes());
    for (bank, mask) in selection {
        out.extend([0, *bank, 3]);
        out.extend(&mask.to_le_bytes()[..3]);
    }
    out.extend([0, 32]);
    out.extend(HashAlg::Sha256.digest(&[values]));
    out
}

fn pcr_values() -> Vec<(u8, Digest)> {
    (0..15).map(|index| (index, Digest([index; 32]))).collect()
}

fn concatenated() -> Vec<u8> {
    pcr_values().iter().flat_map(|(_, value)| value.0).collect()
}

fn json_values() -> String {
    let values = pcr_values();
    let pairs: Vec<String> = values
        .iter()
        .map(|(i, v)| format!("\"{i}\":\"{v}\""))
        .collect();
    format!("{{\"sha256\":{{{}}}}}", pairs.join(","))
}

impl Files {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
            key,
        };
        files.quote(&attest(&[(0x0b, 0x7fff)], &concatenated()));
        let point = files.key.public_key().as_ref().to_vec();
        files.write("ak.pem", pem(&spki(&point)).as_bytes());
        files.write("ak.der", &spki(&point));
        files.write("ak.bin", &tpmt(&point));
        files.write("pcrs.json", json_values().as_bytes());
        files.write("pcrs.bin", &pcrs::write_serialized(&pcr_values()));
        files.write("pcrs.values", &concatenated());
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn quote(&self, attest: &[u8]) {
        let signature = self.key.sign(&SystemRandom::new(), attest).unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        self.write("attest.bin", attest);
        let signature = [&[0, 0x18, 0, 0x0b, 0, 32], r, &[0, 32], s].concat();
        self.write("sig.bin", &signature);
    }

    fn run(&self, more: &[&str]) -> Result<Finding> {
        let mut line = vec!["tool".to_owned(), "quote".into()];
        for (option, file) in [("--attest", "attest.bin"), ("--signature", "sig.bin")] {
            line.extend([option.to_owned(), self.path(file).display().to_string()]);
        }
        let has = |option: &str| more.contains(&option);
        if !has("--ak") {
            line.extend(["--ak".into(), self.path("ak.pem").display().to_string()]);
        }
        if !has("--nonce") {
            line.extend(["--nonce".into(), "0707".into()]);
        }
        for word in more {
            let is_file = Path::new(word).extension().is_some();
            line.push(if is_file {
                self.path(word).display().to_string()
            } else {
                (*word).to_owned()
            });
        }
        run(&Line::try_parse_from(line)?.command)
    }

    /// The conclusion and the names of the checks that did not pass.
    fn outcome(&self, more: &[&str]) -> (Conclusion, Vec<String>) {
        let finding = self.run(more).unwrap();
        let open = finding.checks.iter().filter(|c| c.outcome != Outcome::Pass);
        (finding.result, open.map(|c| c.name.into()).collect())
    }
}

fn rejected(names: &[&str]) -> (Conclusion, Vec<String>) {
    let names = names.iter().map(|name| (*name).to_owned());
    (Conclusion::Rejected, names.collect())
}

#[test]
fn every_form_of_key_and_values_is_taken() {
    let files = Files::new();
    for ak in ["ak.pem", "ak.der", "ak.bin"] {
        for pcrs in ["pcrs.json", "pcrs.bin", "pcrs.values"] {
            let outcome = files.outcome(&["--ak", ak, "--pcrs", pcrs]);
            assert_eq!(outcome, (Conclusion::Accepted, Vec::new()), "{ak} {pcrs}");
        }
    }
    let finding = files.run(&["--pcrs", "pcrs.bin"]).unwrap();
    let claims = &finding.claims;
    assert_eq!(claims["clock_ms"], 9);
    assert_eq!(claims["reset_count"], 3);
    assert_eq!(claims["firmware_version"], "0000000000000005");
    assert_eq!(claims["signature_scheme"], "ECDSA-SHA256");
    assert_eq!(claims["ak_attributes"], "not checked");
    assert_eq!(claims["pcrs"]["sha256"]["14"], "0e".repeat(32));
    assert_eq!(claims["values_not_quoted"], 0);
}

#[test]
fn without_values_a_good_quote_is_undecided_and_a_bad_one_rejected() {
    let files = Files::new();
    let open = vec!["quote-pcr-values".to_owned()];
    assert_eq!(files.outcome(&[]), (Conclusion::Undecided, open));
    let wrong = files.outcome(&["--nonce", "0708"]);
    assert_eq!(
        wrong,
        rejected(&["quote-qualifying-data", "quote-pcr-values"])
    );
    files.quote(&attest(&[], &[]));
    assert_eq!(
        files.outcome(&[]),
        rejected(&["quote-pcr-selection", "quote-pcr-values"])
    );
}

#[test]
fn each_wrong_part_is_rejected_by_its_own_check() {
    let files = Files::new();
    for nonce in ["", "07", "070707", "0700"] {
        let outcome = files.outcome(&["--pcrs", "pcrs.json", "--nonce", nonce]);
        assert_eq!(outcome, rejected(&["quote-qualifying-data"]), "{nonce}");
    }
    let other = json_values().replace(&"07".repeat(32), &"00".repeat(32));
    files.write("other.json", other.as_bytes());
    assert_eq!(
        files.outcome(&["--pcrs", "other.json"]),
        rejected(&["quote-pcr-digest"])
    );
    files.write("few.json", br#"{"sha256":{}}"#);
    assert_eq!(
        files.outcome(&["--pcrs", "few.json"]),
        rejected(&["quote-pcr-values"])
    );
    files.write("none.json", b"no");
    let outcome = files.outcome(&["--pcrs", "none.json"]);
    assert_eq!(outcome, rejected(&["pcr-file", "quote-pcr-values"]));
    files.write("ak.txt", b"no key");
    assert_eq!(
        files.outcome(&["--ak", "ak.txt", "--pcrs", "pcrs.json"]),
        rejected(&["ak"])
    );
    let stranger = Files::new();
    let foreign = stranger.path("ak.pem").display().to_string();
    assert_eq!(
        files.outcome(&["--ak", &foreign, "--pcrs", "pcrs.json"]),
        rejected(&["quote-signature"])
    );
}

/// `tpm2_checkquote` goes by the file's selection and does not compare it with the quote's.
#[test]
fn a_file_with_another_selection_than_the_quote_is_rejected() {
    let files = Files::new();
    // The same digests, said to be of PCR 1 to 15.
    let moved: Vec<(u8, Digest)> = pcr_values().into_iter().map(|(i, v)| (i + 1, v)).collect();
    files.write("moved.bin", &pcrs::write_serialized(&moved));
    let (result, names) = files.outcome(&["--pcrs", "moved.bin"]);
    assert_eq!(result, Conclusion::Rejected);
    assert!(names.contains(&"quote-pcr-selection".into()), "{names:?}");
    let asked = ["--pcrs", "pcrs.json", "--selection"];
    let with = |spec| files.outcome(&[&asked[..], &[spec]].concat());
    assert_eq!(with("sha256:0-14"), (Conclusion::Accepted, Vec::new()));
    assert_eq!(with("sha256:0-15"), rejected(&["quote-pcr-selection"]));
    assert_eq!(with("sha1:0-14"), rejected(&["quote-pcr-selection"]));
    let both = files.outcome(&["--pcrs", "pcrs.bin", "--selection", "sha256:0-7"]);
    assert_eq!(
        both,
        rejected(&["pcr-file-selection", "quote-pcr-selection"])
    );
}

/// CVE-2022-0317: values of PCRs that the quote does not cover are not taken for quoted.
#[test]
fn values_that_are_not_quoted_are_not_claimed() {
    let files = Files::new();
    files.quote(&attest(&[(0x0b, 1)], &[0; 32]));
    let finding = files.run(&["--pcrs", "pcrs.json"]).unwrap();
    assert_eq!(finding.result, Conclusion::Accepted);
    assert_eq!(finding.claims["values_not_quoted"], 14);
    assert!(finding.claims["pcrs"]["sha256"]["7"].is_null());
    files.quote(&attest(
        &[(0x0b, 1), (0x0b, 2)],
        &[[0; 32], [1; 32]].concat(),
    ));
    assert_eq!(
        files.outcome(&["--pcrs", "pcrs.json"]),
        rejected(&["quote-pcr-selection"])
    );
}

/// CVE-2021-3406.
#[test]
fn the_attributes_of_a_public_area_are_checked() {
    let files = Files::new();
    let mut public = fs::read(files.path("ak.bin")).unwrap();
    public[5] = 4;
    files.write("loose.bin", &public);
    let outcome = files.outcome(&["--ak", "loose.bin", "--pcrs", "pcrs.json"]);
    assert_eq!(outcome, rejected(&["ak-rules"]));
    public[5] = 5;
    public[15] = 0x0c;
    files.write("sha384.bin", &public);
    let outcome = files.outcome(&["--ak", "sha384.bin", "--pcrs", "pcrs.json"]);
    assert_eq!(outcome, rejected(&["ak-scheme"]));
}

#[test]
fn a_sha1_signature_needs_the_named_exception() {
    let files = Files::new();
    let mut signature = fs::read(files.path("sig.bin")).unwrap();
    signature[3] = 4;
    files.write("sig.bin", &signature);
    assert_eq!(
        files.outcome(&["--pcrs", "pcrs.json"]),
        rejected(&["quote-signature-structure"])
    );
    let (_, names) = files.outcome(&["--pcrs", "pcrs.json", "--legacy-sha1"]);
    assert_eq!(names, ["quote-signature", "quote-pcr-digest"]);
}

#[test]
fn what_cannot_be_asked_is_no_verdict() {
    let files = Files::new();
    for more in [
        &["--nonce", "7"][..],
        &["--selection", "sha256:"],
        &["--bank", "sha256"],
        &["--pcrs", "missing.json"],
    ] {
        assert!(files.run(more).is_err(), "{more:?}");
    }
}

#[test]
fn logs_that_do_not_parse_are_rejected() {
    let files = Files::new();
    files.write("log.bin", b"no log");
    let outcome = files.outcome(&["--pcrs", "pcrs.json", "--eventlog", "log.bin"]);
    assert_eq!(outcome, rejected(&["event-log"]));
    let outcome = files.outcome(&["--pcrs", "pcrs.json", "--ima", "log.bin"]);
    assert_eq!(outcome, rejected(&["ima-list"]));
}

/// The reference data's folder: `$ASSAY_VECTORS`, by default `shared/vectors` beside the repository.
fn vectors() -> Option<std::path::PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("ASSAY_VECTORS").map_or_else(beside, Into::into);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("NOT TESTED: no reference data at {}", folder.display());
    None
}

/// The command over a folder of the reference data, with what is there.
fn over(folder: &Path, ak: &str, more: &[&str]) -> Finding {
    let file = |name: &str| folder.join(name).display().to_string();
    let nonce = hex::encode(fs::read(folder.join("nonce.bin")).unwrap());
    let mut line: Vec<String> = ["tool", "quote", "--nonce", &nonce]
        .map(String::from)
        .to_vec();
    for (option, name) in [
        ("--attest", "attest.bin"),
        ("--signature", "sig.bin"),
        ("--ak", ak),
        ("--pcrs", "pcrs.json"),
        ("--eventlog", "eventlog.bin"),
        ("--ima", "ima.bin"),
    ] {
        if folder.join(name).exists() && !more.contains(&option) {
            line.extend([option.to_owned(), file(name)]);
        }
    }
    line.extend(more.iter().map(|word| (*word).to_owned()));
    run(&Line::try_parse_from(line).unwrap().command).unwrap()
}

#[test]
fn keylimes_pcr_file_equals_its_json() {
    let Some(root) = vectors() else { return };
    let folder = root.join("tpm-quote/keylime__keylime/keylime-files");
    let read = |name| pcrs::read(&fs::read(folder.join(name)).unwrap(), &[]).unwrap();
    let (file, json) = (read("quotepcr.out"), read("pcrs.json"));
    assert_eq!(file.values, json.values);
    let quotepcr = folder.join("quotepcr.out").display().to_string();
    let finding = over(&folder, "ak.pub", &["--pcrs", &quotepcr]);
    assert_eq!(finding.result, Conclusion::Accepted, "{finding}");
    assert_eq!(finding.claims["ak_form"], "TPM2B_PUBLIC");
}

#[test]
fn derived_cases_conclude_as_they_must() {
    let Some(root) = vectors() else { return };
    let manifest = fs::read_to_string(root.join("negative/MANIFEST.tsv")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        if !matches!(
            fields[1],
            "tpm-quote" | "tpm-quote-forged" | "eventlog" | "ima"
        ) {
            continue;
        }
        // The same files as its control: what differs is that this bank must be explained.
        let forced: &[&str] = if fields[0].ends_with("real-sha1-digests-missing") {
            &["--bank", "sha1,sha256"]
        } else {
            &[]
        };
        count += 1;
        let finding = over(&root.join(fields[0]), "ak.pem", forced);
        let expected = match fields[5] {
            "accept" => Conclusion::Accepted,
            _ => Conclusion::Rejected,
        };
        if finding.result != expected {
            wrong.push(format!("{}\n{finding}", fields[0]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(count, 75);
}

#[test]
fn published_sets_conclude_as_they_must() {
    let Some(root) = vectors() else { return };
    let folders = |path: &Path| -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let mut counts = [0; 3];
    for set in folders(&root.join("tpm-quote"))
        .iter()
        .flat_map(|f| folders(f))
    {
        let Ok(manifest) = fs::read(set.join("set.json")) else {
            continue;
        };
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let sha1 = manifest["sigalg"].as_str().unwrap().ends_with("SHA1");
        let expected = match manifest["expected"].as_str().unwrap() {
            "accept" if sha1 => Conclusion::Rejected,
            "accept" if set.join("pcrs.json").exists() => Conclusion::Accepted,
            "accept" => Conclusion::Undecided,
            _ => Conclusion::Rejected,
        };
        for ak in ["ak.pem", "ak.tpmt_public.bin"] {
            if set.join(ak).exists() {
                let finding = over(&set, ak, &[]);
                assert_eq!(finding.result, expected, "{}\n{finding}", set.display());
            }
        }
        counts[usize::from(expected.exit_code())] += 1;
    }
    eprintln!("accepted, rejected, undecided: {counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 34);
}
