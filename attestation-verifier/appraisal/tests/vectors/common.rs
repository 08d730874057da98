//! What the tests of several kinds share.

use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::eventlog::EventLog;
use assay_appraisal::quote::PcrValues;
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::attest::PcrSelection;
use assay_protocol::ids::UnixMs;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// 2026-11-01, as the data's description asks.
pub const AT: UnixMs = UnixMs(1_793_491_200_000);

pub fn vectors() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("ASSAY_VECTORS").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT TESTED: no reference data at {} (set ASSAY_VECTORS)",
        folder.display()
    );
    None
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

pub fn bank(name: &str) -> HashAlg {
    match name {
        "sha1" => HashAlg::Sha1,
        "sha256" => HashAlg::Sha256,
        "sha384" => HashAlg::Sha384,
        "sha512" => HashAlg::Sha512,
        other => panic!("bank {other}"),
    }
}

pub fn pcr_values(path: &Path) -> PcrValues {
    let mut values = PcrValues::new();
    for (name, list) in json(path).as_object().unwrap() {
        for (index, value) in list.as_object().unwrap() {
            let value = hex::decode(value.as_str().unwrap()).unwrap();
            values.insert((bank(name), index.parse().unwrap()), value);
        }
    }
    values
}

pub fn selection(set: &Value) -> Vec<PcrSelection> {
    let entries = set["pcr_selection"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| PcrSelection {
            bank: bank(entry["bank"].as_str().unwrap()),
            mask: entry["pcrs"]
                .as_array()
                .unwrap()
                .iter()
                .fold(0, |mask, index| mask | 1 << index.as_u64().unwrap()),
        })
        .collect()
}

pub fn key(path: &Path) -> Result<PublicKey, String> {
    let pem = fs::read(path).map_err(|e| e.to_string())?;
    let spki = SubjectPublicKeyInfoDer::from_pem_slice(&pem).map_err(|e| e.to_string())?;
    PublicKey::from_spki(&spki).map_err(|e| e.to_string())
}

/// PCRs the log extends whose replay differs from the quoted value.
pub fn mismatches(
    log: &EventLog<'_>,
    bank: HashAlg,
    quoted: &PcrValues,
) -> Result<Vec<u32>, String> {
    let replayed = log.replay(bank).map_err(|e| e.to_string())?;
    let differs = |(index, value): (u32, Vec<u8>)| {
        quoted
            .get(&(bank, index))
            .is_some_and(|quoted| *quoted != value)
            .then_some(index)
    };
    Ok(replayed.into_iter().filter_map(differs).collect())
}
