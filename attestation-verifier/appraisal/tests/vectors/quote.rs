//! TPM quotes.

use crate::common::{bank, folders, json, key, mismatches, pcr_values, selection, vectors};
use assay_appraisal::eventlog;
use assay_appraisal::quote::{self, Expected, PcrValues, Received};
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::attest::{self, PcrSelection};
use assay_appraisal::tpm::public;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// One row of the index.
pub fn row(_root: &Path, _row: &crate::Row) -> Result<crate::Shown, String> {
    Ok(crate::Shown::Skipped("not in the table yet"))
}

/// One case of `negative/tpm-quote*` and `negative/eventlog`: an error is a refusal.
pub fn case(root: &Path, folder: &Path, manifest: &Value) -> Result<(), String> {
    let name = manifest["id"].as_str().unwrap();
    let selection = case_selection(root, folder, manifest);
    let mut banks: Vec<HashAlg> = selection.iter().map(|s| s.bank).collect();
    if name.ends_with("control-smicro") {
        banks.retain(|bank| *bank == HashAlg::Sha256);
    }
    if name.ends_with("control-lud") {
        // Its firmware keeps no SHA-384 log.
        banks.retain(|bank| *bank != HashAlg::Sha384);
    }
    appraise(folder, &selection, &banks)
}

/// Authenticates the quote of a folder against an expected selection.
fn quote(folder: &Path, selection: &[PcrSelection]) -> Result<PcrValues, String> {
    let read = |name| fs::read(folder.join(name)).unwrap();
    let pcrs = match folder.join("pcrs.json") {
        path if path.exists() => pcr_values(&path),
        _ => PcrValues::new(),
    };
    let (attest, signature) = (read("attest.bin"), read("sig.bin"));
    let received = Received {
        attest: &attest,
        signature: &signature,
        pcrs: &pcrs,
    };
    let key = key(&folder.join("ak.pem"))?;
    let nonce = read("nonce.bin");
    let expected = Expected {
        key: &key,
        qualifying_data: &nonce,
        selection,
    };
    quote::verify(received, expected).map_err(|e| e.to_string())?;
    Ok(pcrs)
}

#[test]
fn real_quotes_are_authenticated() {
    let Some(root) = vectors() else { return };
    let (mut accepted, mut refused, mut skipped) = (0, 0, 0);
    for set in folders(&root.join("tpm-quote"))
        .iter()
        .flat_map(|source| folders(source))
    {
        if !set.join("set.json").exists() {
            continue;
        }
        let manifest = json(&set.join("set.json"));
        let name = manifest["set"].as_str().unwrap();
        let weak = manifest["sigalg"].as_str().unwrap().ends_with("SHA1");
        let expected = manifest["expected"].as_str().unwrap().starts_with("accept") && !weak;
        let outcome = quote(&set, &selection(&manifest));
        if expected && !set.join("pcrs.json").exists() {
            eprintln!("skipped {name}: PCR values were not published with the quote");
            assert!(outcome.unwrap_err().contains("quote-pcr-values"));
            skipped += 1;
            continue;
        }
        assert_eq!(outcome.is_ok(), expected, "{name}: {outcome:?}");
        *if expected {
            &mut accepted
        } else {
            &mut refused
        } += 1;
        if let Ok(pcrs) = outcome {
            check_log(&set, &manifest, &pcrs);
        }
        check_public(&set, &manifest);
    }
    eprintln!("quotes: {accepted} accepted, {refused} refused as they must, {skipped} skipped");
    assert_eq!((accepted, refused, skipped), (30, 2, 2));
}

fn check_log(set: &Path, manifest: &Value, pcrs: &PcrValues) {
    let Ok(bytes) = fs::read(set.join("eventlog.bin")) else {
        return;
    };
    let log = eventlog::parse(&bytes).unwrap();
    for (name, expected) in manifest["eventlog"]["replay"].as_object().unwrap() {
        let expected: Vec<u32> = serde_json::from_value(expected["mismatch"].clone()).unwrap();
        let Ok(found) = mismatches(&log, bank(name), pcrs) else {
            // Firmware that declares SHA-1 and omits its digests.
            assert!(!expected.is_empty() && name == "sha1", "{}", set.display());
            continue;
        };
        assert_eq!(found, expected, "{} {name}", set.display());
    }
}

fn check_public(set: &Path, manifest: &Value) {
    let Ok(bytes) = fs::read(set.join("ak.tpmt_public.bin")) else {
        return;
    };
    let public = public::parse(&bytes).unwrap();
    assert_eq!(Ok(public.key.clone()), key(&set.join("ak.pem")));
    if let Some(name) = manifest["ak_name"].as_str() {
        assert_eq!(public.name().unwrap().to_string(), name);
    }
}

/// A whole set, as far as this crate goes without policy: quote, then log of the banks named.
fn appraise(folder: &Path, selection: &[PcrSelection], banks: &[HashAlg]) -> Result<(), String> {
    let pcrs = quote(folder, selection)?;
    let Ok(bytes) = fs::read(folder.join("eventlog.bin")) else {
        return Ok(());
    };
    let log = eventlog::parse(&bytes).map_err(|e| e.to_string())?;
    for bank in banks {
        match mismatches(&log, *bank, &pcrs)?.as_slice() {
            [] => {}
            list => return Err(format!("replay of {bank:?} differs for PCRs {list:?}")),
        }
    }
    // EV_EFI_VARIABLE_DRIVER_CONFIG and EV_EFI_ACTION are hashes of their data.
    let unproven = |event: &&eventlog::Event<'_>| {
        matches!(event.kind, 0x8000_0001 | 0x8000_0007) && event.proven_data().is_none()
    };
    match log.events.iter().find(unproven) {
        Some(event) => Err(format!(
            "data of an event on PCR {} is not proven",
            event.pcr
        )),
        None => Ok(()),
    }
}

/// What the genuine set selects; where it is not published, what its quote says.
fn case_selection(root: &Path, case: &Path, manifest: &Value) -> Vec<PcrSelection> {
    let base = manifest["base"]
        .as_str()
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let set = root.join(base).join("set.json");
    if set.exists() {
        return selection(&json(&set));
    }
    attest::parse(&fs::read(case.join("attest.bin")).unwrap())
        .unwrap()
        .selections
}
