//! Firmware event logs.

use crate::common::{bank, folders, json, vectors};
use assay_appraisal::eventlog::{self, EventLog};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the index.
pub fn row(_root: &Path, _row: &crate::Row) -> Result<crate::Shown, String> {
    Ok(crate::Shown::Skipped("not in the table yet"))
}

#[test]
fn real_event_logs_replay_to_published_values() {
    let Some(root) = vectors() else { return };
    let (mut replayed, mut legacy, mut malformed) = (0, 0, 0);
    for source in folders(&root.join("eventlog")) {
        for file in fs::read_dir(source).unwrap().map(|e| e.unwrap().path()) {
            let expected = PathBuf::from(format!("{}.expected.json", file.display()));
            if !expected.exists() {
                continue;
            }
            let expected = json(&expected);
            let bytes = fs::read(&file).unwrap();
            match eventlog::parse(&bytes) {
                Ok(log) => {
                    replays(&log, &expected, &file);
                    replayed += 1;
                }
                Err(error) if expected["crypto_agile"] == false || file.ends_with(CC_LOG) => {
                    assert!(error.to_string().contains("legacy SHA-1"), "{error}");
                    legacy += 1;
                }
                Err(error) => {
                    assert!(
                        expected["parser_error"].is_string(),
                        "{}: {error}",
                        file.display()
                    );
                    malformed += 1;
                }
            }
        }
    }
    eprintln!(
        "event logs: {replayed} replayed, {legacy} of other forms and {malformed} malformed refused"
    );
    assert_eq!((replayed, legacy, malformed), (42, 7, 3));
}

/// A confidential guest's log: measurement registers instead of PCRs.
const CC_LOG: &str = "ccel-cos-113-intel-tdx-dupe-separator-unpadded.bin";

fn replays(log: &EventLog<'_>, expected: &Value, file: &Path) {
    let name = file.display();
    assert!(expected["parser_error"].is_null(), "{name} must be refused");
    assert_eq!(
        expected["startup_locality"],
        u64::from(log.startup_locality),
        "{name}"
    );
    for (bank_name, pcrs) in expected["replayed_pcrs"].as_object().unwrap() {
        if !matches!(bank_name.as_str(), "sha1" | "sha256" | "sha384") {
            continue;
        }
        let Ok(found) = log.replay(bank(bank_name)) else {
            continue;
        };
        for (index, value) in pcrs.as_object().unwrap() {
            let index: u32 = index.parse().unwrap();
            assert_eq!(
                hex::encode(&found[&index]),
                value.as_str().unwrap(),
                "{name} {bank_name} {index}"
            );
        }
    }
}
