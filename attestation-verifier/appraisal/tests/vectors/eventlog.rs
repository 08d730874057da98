//! Firmware event logs.

use crate::common::{bank, folders, json, vectors};
use crate::{Row, Shown};
use assay_appraisal::eventlog::claims::{
    self, BootClaims, Claim, LoaderString, SecureBoot, Version,
};
use assay_appraisal::eventlog::explain::explain;
use assay_appraisal::eventlog::replay::Carried;
use assay_appraisal::eventlog::{self, EventLog, EventLogError, Form, coverage};
use assay_appraisal::quote::PcrValues;
use assay_appraisal::tpm::algorithm::HashAlg;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A confidential guest's log: measurement registers instead of PCRs.
const CC_LOG: &str = "ccel-cos-113-intel-tdx-dupe-separator-unpadded.bin";

/// One row of the index.
pub fn row(root: &Path, row: &Row) -> Result<Shown, String> {
    let path = root.join(&row.path);
    match row.kind.as_str() {
        "expectation" => Ok(Shown::PartOf("compared with the log beside it")),
        "tcg-eventlog-negative" => refused(&path),
        "tcg-eventlog" if row.expected.starts_with("REJECT") => refused(&path),
        // The Spec ID event's size does not cover its own last four bytes.
        "tcg-eventlog" if row.expected.starts_with("edge: Spec ID event") => refused(&path),
        "tcg-eventlog" if path.ends_with(CC_LOG) => confidential(&path),
        "tcg-eventlog" => genuine(&path),
        other => Err(format!("no test for the kind {other}")),
    }
}

fn expectation(path: &Path) -> Value {
    json(&path.with_file_name(format!(
        "{}.expected.json",
        path.file_name().unwrap().to_str().unwrap()
    )))
}

fn refused(path: &Path) -> Result<Shown, String> {
    let bytes = fs::read(path).unwrap();
    if !expectation(path)["parser_error"].is_string() {
        return Err("the expectation beside it parses".into());
    }
    match (eventlog::parse(&bytes), eventlog::parse_any(&bytes)) {
        (Err(_), Err(_)) => Ok(Shown::Held("refused by the parser")),
        _ => Err("accepted".into()),
    }
}

fn confidential(path: &Path) -> Result<Shown, String> {
    let bytes = fs::read(path).unwrap();
    match eventlog::parse_any(&bytes) {
        Err(EventLogError::ConfidentialComputing { register: 1 }) => Ok(Shown::Held(
            "refused by name: a confidential guest's registers are not PCRs",
        )),
        other => Err(format!("{:?}", other.map(|log| log.events.len()))),
    }
}

/// Parses, replays to the published values in every bank that is whole, and no event's data contradicts its digest.
fn genuine(path: &Path) -> Result<Shown, String> {
    let bytes = fs::read(path).unwrap();
    let expected = expectation(path);
    let log = eventlog::parse_any(&bytes).map_err(|e| e.to_string())?;
    shape(&log, &bytes, &expected)?;
    let banks = replays(&log, &expected)?;
    let real = real_values(&log, &expected)?;
    let bank = log.preferred_bank().ok_or("no bank is whole")?;
    let uncovered = coverage::uncovered_events(&log, bank);
    if !uncovered.is_empty() {
        return Err(format!("data not covered: {uncovered:?}"));
    }
    claims::claims_of_log(&log, bank).map_err(|e| e.to_string())?;
    match (log.form, banks, real) {
        (_, 0, _) => Err("no bank compared".into()),
        (Form::LegacySha1, ..) => Ok(Shown::Held("legacy SHA-1 log replayed to published PCRs")),
        (_, _, true) => Ok(Shown::Held("replayed, and explains the real TPM's PCRs")),
        (_, _, false) => Ok(Shown::Held("replayed to published PCRs")),
    }
}

fn shape(log: &EventLog<'_>, bytes: &[u8], expected: &Value) -> Result<(), String> {
    let same = |what: &str, ours: u64| match &expected[what] {
        value if *value == ours => Ok(()),
        value => Err(format!("{what}: {value}, found {ours}")),
    };
    if !expected["parser_error"].is_null() {
        return Err("the expectation beside it does not parse".into());
    }
    if expected["crypto_agile"] != (log.form == Form::CryptoAgile) {
        return Err(format!("form {:?}", log.form));
    }
    if eventlog::parse(bytes).is_ok() != (log.form == Form::CryptoAgile) {
        return Err("the strict parser differs".into());
    }
    same("startup_locality", log.startup_locality.into())?;
    same("events", log.number(log.events.len()) as u64)
}

/// How many banks were compared; a bank that is carried in part must not replay.
fn replays(log: &EventLog<'_>, expected: &Value) -> Result<usize, String> {
    let mut compared = 0;
    for (name, pcrs) in expected["replayed_pcrs"].as_object().unwrap() {
        let Some(bank) = replayable(name) else {
            continue;
        };
        match (log.carried(bank), log.replay(bank)) {
            (Carried::All, Ok(found)) => {
                let found: serde_json::Map<String, Value> = found
                    .iter()
                    .map(|(pcr, value)| (pcr.to_string(), hex::encode(value).into()))
                    .collect();
                if *pcrs != Value::Object(found) {
                    return Err(format!("{name} replays to other values"));
                }
                compared += 1;
            }
            (Carried::None | Carried::Some { .. }, Err(_)) => {}
            (carried, outcome) => return Err(format!("{name}: {carried:?}, {outcome:?}")),
        }
    }
    Ok(compared)
}

fn replayable(name: &str) -> Option<HashAlg> {
    matches!(name, "sha1" | "sha256" | "sha384").then(|| bank(name))
}

/// Values read from the TPM of the machine at the same time, where they were published: the log must explain them.
fn real_values(log: &EventLog<'_>, expected: &Value) -> Result<bool, String> {
    let Some(published) = expected["upstream_expected_pcrs"].as_object() else {
        return Ok(false);
    };
    let mut quoted = PcrValues::new();
    for (name, list) in published {
        let bank = replayable(name).ok_or_else(|| format!("bank {name}"))?;
        for (index, value) in list.as_object().into_iter().flatten() {
            let value = hex::decode(value.as_str().unwrap()).unwrap();
            quoted.insert((bank, index.parse().unwrap()), value);
        }
    }
    if quoted.is_empty() {
        return Ok(false);
    }
    let explained = explain(log, &quoted, None);
    match explained.holds() {
        true => Ok(true),
        false => Err(format!("not explained: {explained}")),
    }
}

fn of_file<T>(root: &Path, file: &str, look: impl FnOnce(&BootClaims<'_>) -> T) -> T {
    let bytes = fs::read(root.join("eventlog").join(file)).unwrap();
    let log = eventlog::parse_any(&bytes).unwrap();
    let claims = claims::claims_of_log(&log, log.preferred_bank().unwrap()).unwrap();
    look(claims.unauthenticated())
}

/// What the logs of real machines say, by other tools and by reading them.
#[test]
fn real_logs_prove_what_is_known_of_their_machines() {
    let Some(root) = vectors() else { return };
    let secure_boot = |file: &str| of_file(&root, file, |claims| claims.secure_boot.clone());
    for (file, expected) in [
        (
            "google__go-tpm-tools/cos-101-amd-sev.bin",
            SecureBoot::Enabled,
        ),
        (
            "google__go-tpm-tools/ubuntu-2104-no-secure-boot.bin",
            SecureBoot::Disabled,
        ),
        (
            "immune-gmbh__guard-oss/tpm12_windows_lenovo_x1carbonv3",
            SecureBoot::Enabled,
        ),
        (
            "keylime__keylime/binary_bios_measurements-secureboot",
            SecureBoot::Enabled,
        ),
        (
            "tpm2-software__tpm2-tools/event-arch-linux.bin",
            SecureBoot::NoVariable,
        ),
    ] {
        assert_eq!(secure_boot(file), Claim::Proven(expected), "{file}");
    }
    of_file(
        &root,
        "google__go-tpm-tools/ubuntu-2404-amd-sevsnp.bin",
        |claims| {
            let version = Version::Text("GCE Virtual Firmware v2".into());
            assert_eq!(claims.firmware_version, Claim::Proven(version));
            let images = claims.images.proven().unwrap();
            let shim = images[0].unproven_path.as_deref();
            assert_eq!(
                (images.len(), shim),
                (2, Some("\\EFI\\ubuntu\\shimx64.efi"))
            );
            assert_eq!(claims.sbat_level.proven().unwrap(), "sbat,1,2021030218");
            let exit = claims.exit_boot_services.proven().unwrap();
            assert!(exit.invoked && exit.succeeded);
        },
    );
    // shim before 15.4, whose measured structure has padding.
    of_file(&root, "google__go-tpm-tools/cos-85-amd-sev.bin", |claims| {
        let authorities = claims.authorities.proven().unwrap();
        let names: Vec<&str> = authorities.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["db"; 3]);
        assert!(authorities.iter().all(|a| a.certificate().is_some()));
    });
    of_file(&root, "google__go-tpm-tools/rhel8-uefi.bin", |claims| {
        let strings = claims.loader_strings.proven().unwrap();
        assert_eq!(strings[0].string, b"set pager=1");
        let kernel = |s: &&LoaderString<'_>| s.unproven_prefix == "grub_kernel_cmdline ";
        let line = strings.iter().find(kernel).unwrap().string;
        assert!(line.starts_with(b"(hd0,gpt2)/boot/vmlinuz-4.18.0"));
    });
    of_file(&root, "immune-gmbh__guard-oss/hahuri.bin", |claims| {
        let sections = claims.uki_sections.proven().unwrap();
        let names: Vec<&str> = sections.iter().map(|s| s.name).collect();
        assert_eq!(names, [".linux", ".osrel", ".cmdline", ".initrd"]);
    });
    of_file(
        &root,
        "tpm2-software__tpm2-tools/event-sd-boot-fedora37.bin",
        |claims| {
            let lines = claims.command_lines.proven().unwrap();
            assert_eq!(lines[..], [" console=ttyS0 console=tty0 efi=debug "; 2]);
        },
    );
}

#[test]
fn every_key_database_of_the_real_logs_is_read() {
    let Some(root) = vectors() else { return };
    let (mut logs, mut entries) = (0, 0);
    for file in folders(&root.join("eventlog"))
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
    {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let Ok(log) = eventlog::parse_any(&bytes) else {
            continue;
        };
        let bank = log.preferred_bank().unwrap();
        let claims = claims::claims_of_log(&log, bank).unwrap();
        let claims = claims.unauthenticated();
        for database in [
            &claims.pk,
            &claims.kek,
            &claims.db,
            &claims.dbx,
            &claims.dbt,
        ] {
            entries += database.proven().map_or(0, |database| database.0.len());
        }
        logs += usize::from(claims.db.proven().is_some());
    }
    assert_eq!(logs, 44);
    assert!(entries > 4_000, "{entries}");
}

/// Quotes of real machines next to their logs, and logs of another time of the same machine.
#[test]
fn real_quotes_are_explained_by_their_logs_and_by_no_other() {
    let Some(root) = vectors() else { return };
    let (mut explained, mut not) = (0, Vec::new());
    for set in folders(&root.join("tpm-quote"))
        .iter()
        .flat_map(|source| folders(source))
        .filter(|set| set.join("eventlog.bin").exists() && set.join("pcrs.json").exists())
    {
        let quoted = crate::common::pcr_values(&set.join("pcrs.json"));
        let holds = |name: &str| {
            let bytes = fs::read(set.join(name)).unwrap();
            let log = eventlog::parse_any(&bytes).unwrap();
            explain(&log, &quoted, None).holds()
        };
        for stale in (0..4).map(|n| format!("eventlog_old_{n}.bin")) {
            assert!(!set.join(&stale).exists() || !holds(&stale), "{stale}");
        }
        match holds("eventlog.bin") {
            true => explained += 1,
            false => not.push(set.file_name().unwrap().to_str().unwrap().to_owned()),
        }
    }
    // Their logs do not explain PCR 0: a known defect of these machines.
    not.sort();
    assert_eq!(not, ["dl160-fwupd-report", "failed-1"]);
    assert_eq!(explained, 15);
}

/// The derived cases whose replay agrees and whose data was changed.
#[test]
fn forged_data_under_a_true_digest_is_found() {
    let Some(root) = vectors() else { return };
    for (case, kind, pcr) in [
        (
            "secureboot-variable-data-forged",
            eventlog::EV_EFI_VARIABLE_DRIVER_CONFIG,
            7,
        ),
        ("efi-action-data-forged", eventlog::EV_EFI_ACTION, 4),
    ] {
        let folder = root.join("negative/eventlog").join(case);
        let bytes = fs::read(folder.join("eventlog.bin")).unwrap();
        let log = eventlog::parse(&bytes).unwrap();
        let quoted = crate::common::pcr_values(&folder.join("pcrs.json"));
        assert!(
            explain(&log, &quoted, None).holds(),
            "{case}: the replay agrees"
        );
        let found = coverage::uncovered_events(&log, HashAlg::Sha256);
        let found: Vec<_> = found.iter().map(|u| (u.kind, u.pcr)).collect();
        assert_eq!(found, [(kind, pcr)], "{case}");
        let claims = claims::claims_of_log(&log, HashAlg::Sha256).unwrap();
        let claims = claims.unauthenticated();
        let unproven = match pcr {
            7 => claims.secure_boot.proven().is_none(),
            _ => claims.images.proven().is_none(),
        };
        assert!(unproven, "{case}");
    }
}

/// The derived cases by this module alone: strict parser, comparison with the quoted values, data under its digests.
#[test]
fn derived_logs_are_refused_and_their_controls_explained() {
    let Some(root) = vectors() else { return };
    let (mut refused, mut accepted) = (0, 0);
    for case in folders(&root.join("negative/eventlog")) {
        let manifest = json(&case.join("case.json"));
        let quoted = crate::common::pcr_values(&case.join("pcrs.json"));
        let bytes = fs::read(case.join("eventlog.bin")).unwrap();
        let sound = eventlog::parse(&bytes).is_ok_and(|log| {
            let explained = explain(&log, &quoted, None);
            let covered = |bank| coverage::uncovered_events(&log, bank).is_empty();
            explained.holds() && explained.explained_banks().all(covered)
        });
        assert_eq!(
            sound,
            manifest["required_outcome"] == "accept",
            "{}",
            manifest["id"]
        );
        *if sound { &mut accepted } else { &mut refused } += 1;
    }
    assert_eq!((refused, accepted), (23, 1));
    for control in folders(&root.join("negative/tpm-quote")) {
        let name = control.file_name().unwrap().to_str().unwrap();
        if name.starts_with("control") && control.join("eventlog.bin").exists() {
            let bytes = fs::read(control.join("eventlog.bin")).unwrap();
            let quoted = crate::common::pcr_values(&control.join("pcrs.json"));
            let log = eventlog::parse(&bytes).unwrap();
            let explained = explain(&log, &quoted, None);
            assert!(explained.holds(), "{name}: {explained}");
            for bank in explained.explained_banks() {
                assert_eq!(coverage::uncovered_events(&log, bank), [], "{name}");
            }
        }
    }
}
