//! TPM quotes: whole sets here, single files in `parts`, what others packed them into in `containers`.

mod containers;
mod parts;

use crate::common::{bank, folders, json, key, mismatches, pcr_values, selection, vectors};
use assay_appraisal::checks::{Checks, Mode, Outcome};
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::crypto::verifying_key::{LegacyKey, Verifier};
use assay_appraisal::eventlog;
use assay_appraisal::eventlog::coverage::uncovered_events;
use assay_appraisal::eventlog::explain::explain;
use assay_appraisal::eventlog::replay::Carried;
use assay_appraisal::quote::{self, AuthenticQuote, Expected, PcrValues, Received};
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::attest::{self, PcrSelection};
use assay_appraisal::tpm::public;
use serde_json::Value;
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// One row of the index.
pub fn row(root: &Path, row: &crate::Row) -> Result<crate::Shown, String> {
    let path = root.join(&row.path);
    parts::row(&path, row).unwrap_or_else(|| containers::row(&path, row))
}

/// One case of `negative/tpm-quote*` and `negative/eventlog`: an error is a refusal.
pub fn case(root: &Path, folder: &Path, manifest: &Value) -> Result<(), String> {
    let selection = case_selection(root, folder, manifest);
    let forced = manifest["replay_banks"].as_array();
    let forced: Option<Vec<HashAlg>> = forced.map(|list| {
        list.iter()
            .map(|name| bank(name.as_str().unwrap()))
            .collect()
    });
    appraise(folder, &selection, forced.as_deref())
}

/// The files of a set.
struct Set {
    attest: Vec<u8>,
    signature: Vec<u8>,
    nonce: Vec<u8>,
    key: PublicKey,
    pcrs: Option<PcrValues>,
}

impl Set {
    fn read(folder: &Path) -> Result<Self, String> {
        let read = |name| fs::read(folder.join(name)).map_err(|e| format!("{name}: {e}"));
        let pcrs = folder.join("pcrs.json");
        Ok(Self {
            attest: read("attest.bin")?,
            signature: read("sig.bin")?,
            nonce: read("nonce.bin")?,
            key: key(&folder.join("ak.pem"))?,
            pcrs: pcrs.exists().then(|| pcr_values(&pcrs)),
        })
    }

    fn verify(&self, selection: &[PcrSelection]) -> Result<AuthenticQuote, String> {
        self.verify_under(&self.key, selection)
    }

    fn verify_under(
        &self,
        key: &dyn Verifier,
        selection: &[PcrSelection],
    ) -> Result<AuthenticQuote, String> {
        let none = PcrValues::new();
        let received = Received {
            attest: &self.attest,
            signature: &self.signature,
            pcrs: Cow::Borrowed(self.pcrs.as_ref().unwrap_or(&none)),
        };
        let expected = Expected {
            key,
            qualifying_data: &self.nonce,
            selection,
        };
        quote::verify(received, expected).map_err(|e| e.to_string())
    }

    /// Everything but the values of the PCRs.
    fn verify_without_values(&self, selection: &[PcrSelection]) -> Result<(), String> {
        let mut checks = Checks::new(Mode::Explain);
        let expected = Expected {
            key: &self.key,
            qualifying_data: &self.nonce,
            selection,
        };
        quote::without_values(&mut checks, &self.attest, &self.signature, expected)
            .map_err(|e| e.to_string())?;
        let failed = checks.list().iter().find(|c| c.outcome != Outcome::Pass);
        failed.map_or(Ok(()), |check| Err(check.to_string()))
    }
}

/// What a set's manifest asks of its quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Accept,
    /// The quote is good, its PCR values were not published.
    WithoutValues,
    /// Genuine, signed with SHA-1: refused by rule, accepted by the named exception.
    Legacy,
    Refuse,
}

fn asked(folder: &Path, manifest: &Value) -> Asked {
    let accept = manifest["expected"].as_str().unwrap().starts_with("accept");
    let sha1 = manifest["sigalg"].as_str().unwrap().ends_with("SHA1");
    match (accept, sha1, folder.join("pcrs.json").exists()) {
        (false, ..) => Asked::Refuse,
        (true, true, _) => Asked::Legacy,
        (true, false, true) => Asked::Accept,
        (true, false, false) => Asked::WithoutValues,
    }
}

/// Shows that the quote of a set is taken as its manifest asks; yields it where it is authentic.
fn show_set(folder: &Path, manifest: &Value) -> Result<(Asked, Option<AuthenticQuote>), String> {
    let (set, selection) = (Set::read(folder)?, selection(manifest));
    let asked = asked(folder, manifest);
    let outcome = set.verify(&selection);
    let refused = || {
        outcome
            .as_ref()
            .err()
            .map(String::as_str)
            .unwrap_or("it is accepted")
    };
    match asked {
        Asked::Accept => outcome.map(|quote| (asked, Some(quote))),
        Asked::WithoutValues if refused().starts_with("quote-pcr-values") => set
            .verify_without_values(&selection)
            .map(|()| (asked, None)),
        Asked::Legacy if refused().starts_with("quote-signature-structure") => {
            let legacy = set.verify_under(&LegacyKey(&set.key), &selection)?;
            Ok((asked, Some(legacy)))
        }
        Asked::Refuse if outcome.is_err() => Ok((asked, None)),
        _ => Err(format!("{asked:?}: {}", refused())),
    }
}

#[test]
fn real_quotes_are_authenticated() {
    let Some(root) = vectors() else { return };
    let mut counts = [0; 4];
    for set in folders(&root.join("tpm-quote"))
        .iter()
        .flat_map(|source| folders(source))
    {
        if !set.join("set.json").exists() {
            continue;
        }
        let manifest = json(&set.join("set.json"));
        let (asked, quote) = show_set(&set, &manifest).unwrap();
        counts[asked as usize] += 1;
        if let Some(quote) = quote {
            check_log(&set, &manifest, quote.pcrs());
        }
        check_public(&set, &manifest);
    }
    let [accepted, without_values, legacy, refused] = counts;
    eprintln!(
        "quotes: {accepted} accepted, {without_values} without values, {legacy} by the SHA-1 exception, {refused} refused"
    );
    assert_eq!(counts, [30, 2, 1, 1]);
}

/// Every byte of one good quote and of its signature flipped, one at a time, and every truncation.
#[test]
fn every_flip_and_truncation_of_a_real_quote_is_refused() {
    let Some(root) = vectors() else { return };
    for name in [
        "generated-here/ecc-p384-ecdsa-sha384.sha256",
        "google__go-tpm-tools/gce-cos-85-nonce9009-sha256",
        "generated-here/rsa3072-rsapss-sha384.sha384",
    ] {
        let folder = root.join("tpm-quote").join(name);
        let selection = selection(&json(&folder.join("set.json")));
        let good = || Set::read(&folder).unwrap();
        good().verify(&selection).unwrap();
        for at in 0..good().attest.len() {
            let mut set = good();
            set.attest[at] ^= 1;
            assert!(set.verify(&selection).is_err(), "{name}: attest flip {at}");
            set.attest.truncate(at);
            assert!(set.verify(&selection).is_err(), "{name}: attest cut {at}");
        }
        for at in 0..good().signature.len() {
            let mut set = good();
            set.signature[at] ^= 1;
            assert!(
                set.verify(&selection).is_err(),
                "{name}: signature flip {at}"
            );
            set.signature.truncate(at);
            assert!(
                set.verify(&selection).is_err(),
                "{name}: signature cut {at}"
            );
        }
    }
}

fn check_log(set: &Path, manifest: &Value, pcrs: &PcrValues) {
    let Ok(bytes) = fs::read(set.join("eventlog.bin")) else {
        return;
    };
    let log = match eventlog::parse(&bytes) {
        Ok(log) => log,
        Err(error) => {
            let banks = &manifest["eventlog"]["banks"];
            assert!(error.to_string().contains("legacy SHA-1"), "{error}");
            return assert_eq!(*banks, serde_json::json!(["sha1"]), "{}", set.display());
        }
    };
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

/// A whole set, as far as this crate goes without policy: quote, then log. `banks` must be carried by every event;
/// otherwise those count that quote and log both have.
fn appraise(
    folder: &Path,
    selection: &[PcrSelection],
    banks: Option<&[HashAlg]>,
) -> Result<(), String> {
    let quote = Set::read(folder)?.verify(selection)?;
    let Ok(bytes) = fs::read(folder.join("eventlog.bin")) else {
        return Ok(());
    };
    let log = eventlog::parse(&bytes).map_err(|e| e.to_string())?;
    for bank in banks.unwrap_or_default() {
        if log.carried(*bank) != Carried::All {
            return Err(format!("not every event has a {bank:?} digest"));
        }
    }
    let explained = explain(&log, quote.pcrs(), banks);
    if !explained.holds() {
        return Err(explained.to_string());
    }
    let uncovered = explained
        .explained_banks()
        .flat_map(|bank| uncovered_events(&log, bank))
        .next();
    match uncovered {
        Some(event) => Err(format!("data of an event is not covered: {event:?}")),
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
