//! IMA measurement lists.

use crate::common::{bank, json, key, pcr_values, selection};
use crate::{Row, Shown};
use assay_appraisal::crypto::signature::Sha1;
use assay_appraisal::ima::{
    BankForm, Entry, Extra, IMA_PCR, ImaError, Keyring, List, Options, explain, replay,
};
use assay_appraisal::quote::{self, Expected, PcrValues, Received};
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::x509::Certificate;
use serde_json::Value;
use std::borrow::Cow;
use std::fs;
use std::path::Path;

const BANKS: [HashAlg; 4] = [
    HashAlg::Sha1,
    HashAlg::Sha256,
    HashAlg::Sha384,
    HashAlg::Sha512,
];

/// One row of the index.
pub fn row(root: &Path, row: &Row) -> Result<Shown, String> {
    let path = root.join(&row.path);
    match row.kind.as_str() {
        "ima-binary-log" => binary(&path, row),
        "ima-ascii-log" => ascii(&path, row),
        "expectation" if row.path.ends_with(".expected.json") => {
            Ok(Shown::PartOf("the list beside it is compared with it"))
        }
        "expectation" => published(&path),
        "ima-keyring" => keyring(&path, row),
        "ima-public-key" => public_key(&path),
        other => Err(format!("no test for the kind {other}")),
    }
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(what.into()),
    }
}

fn binary(path: &Path, row: &Row) -> Result<Shown, String> {
    let bytes = fs::read(path).unwrap();
    let list = List::read(&bytes, None).map_err(|e| e.to_string())?;
    let expected = json(&path.with_file_name(format!(
        "{}.expected.json",
        path.file_name().unwrap().display()
    )));
    if row.expected.starts_with("edge: trailing partial entry") {
        let complete: usize = if row.path.contains("ima-ng") { 6 } else { 12 };
        let error = replay(&list, &BANKS).unwrap_err();
        let trailing = matches!(&error, ImaError::Format { entry, .. } if *entry == complete);
        expect(trailing, &format!("trailing byte not named: {error}"))?;
        let whole = List::read(&bytes[..bytes.len() - 1], None).unwrap();
        replay(&whole, &BANKS).map_err(|e| e.to_string())?;
        return Ok(Shown::Held(
            "all complete entries replay; the stray byte is named and refused",
        ));
    }
    replays(&list, &expected)?;
    ascii_round_trip(&list)?;
    let Some(quoted) = expected["expected_pcrs"].as_object() else {
        return Ok(Shown::Held(
            "replays to the derived values; no published value",
        ));
    };
    explains(&list, quoted, &expected)?;
    Ok(Shown::Held("replays to the PCR values of the TPM"))
}

/// Entries, templates, violations and every PCR of every bank, in both forms.
fn replays(list: &List<'_>, expected: &Value) -> Result<(), String> {
    let replayed = replay(list, &BANKS).map_err(|e| e.to_string())?;
    let summary = &replayed.summary;
    expect(expected["entries"] == summary.entries, "entries")?;
    expect(
        expected["violation_count"] == summary.violations,
        "violations",
    )?;
    let alg = bank(expected["template_hash_alg"].as_str().unwrap());
    expect(alg == list.template_hash(), "template hash algorithm")?;
    let templates: Vec<&str> = summary.templates.keys().map(|t| t.name()).collect();
    let mut named: Vec<&str> = expected["templates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    named.sort_unstable_by_key(|name| templates.iter().position(|t| t == name));
    expect(named == templates, "templates")?;
    let forms = [
        ("replayed", BankForm::Native),
        ("replayed_sha1_zero_padded", BankForm::PaddedSha1),
    ];
    for (field, form) in forms {
        for (name, pcrs) in expected[field].as_object().into_iter().flatten() {
            for (pcr, value) in pcrs.as_object().unwrap() {
                let found = replayed
                    .values
                    .get(&(bank(name), form, pcr.parse().unwrap()));
                let Some(found) = found else {
                    // A padded SHA-1 form of a list without SHA-1 hashes is no kernel's.
                    expect(
                        form == BankForm::PaddedSha1 && alg != HashAlg::Sha1,
                        "no value",
                    )?;
                    continue;
                };
                expect(
                    hex::encode(found) == value.as_str().unwrap(),
                    &format!("{name} PCR {pcr}"),
                )?;
            }
        }
    }
    Ok(())
}

/// The TPM's own PCR 10 in every bank that was read; PCRs shared with the firmware come from the replay.
fn explains(
    list: &List<'_>,
    tpm: &serde_json::Map<String, Value>,
    expected: &Value,
) -> Result<(), String> {
    let mut quoted = PcrValues::new();
    for (name, pcrs) in tpm {
        let value = pcrs[IMA_PCR.to_string()].as_str().unwrap();
        quoted.insert((bank(name), IMA_PCR), hex::decode(value).unwrap());
        for (pcr, value) in expected["replayed"][name].as_object().unwrap() {
            let value = hex::decode(value.as_str().unwrap()).unwrap();
            quoted
                .entry((bank(name), pcr.parse().unwrap()))
                .or_insert(value);
        }
    }
    let explained = explain(list, &quoted, Options::default()).map_err(|e| e.to_string())?;
    expect(explained.unquoted() == 0, "unquoted entries")?;
    expect(explained.banks().len() == tpm.len(), "banks")?;
    for ((bank, pcr), value) in quoted.clone() {
        let mut other = value.clone();
        other[0] ^= 1;
        quoted.insert((bank, pcr), other);
        expect(
            explain(list, &quoted, Options::default()).is_err(),
            "another value is accepted",
        )?;
        quoted.insert((bank, pcr), value);
    }
    Ok(())
}

/// The list as ASCII, and back: the same template hashes, unless a name holds a line feed.
fn ascii_round_trip(list: &List<'_>) -> Result<(), String> {
    let mut text = Vec::new();
    for entry in list.entries() {
        line(&entry.map_err(|e| e.to_string())?, &mut text);
    }
    let again = List::read(&text, None).map_err(|e| e.to_string())?;
    expect(
        again.entries().eq(list.entries()),
        "the ASCII form holds other entries",
    )
}

fn line(entry: &Entry<'_>, text: &mut Vec<u8>) {
    let alg = format!("{:?}", entry.event.digest.alg).to_lowercase();
    let hash = hex::encode(entry.template_hash);
    let template = entry.template.name();
    let digest = hex::encode(entry.event.digest.bytes);
    text.extend(format!("{:2} {hash} {template} {alg}:{digest} ", entry.pcr).bytes());
    text.extend(entry.event.name);
    if let Extra::Signature(bytes) | Extra::Buffer(bytes) = entry.event.extra {
        text.extend(format!(" {}", hex::encode(bytes)).bytes());
    }
    text.push(b'\n');
}

fn ascii(path: &Path, row: &Row) -> Result<Shown, String> {
    let bytes = fs::read(path).unwrap();
    let list = List::read(&bytes, None);
    let replayed = list.clone().and_then(|list| replay(&list, &BANKS));
    let name = path.file_name().unwrap().to_str().unwrap();
    match (name, replayed) {
        ("invalid_ima_log.txt", Err(ImaError::Line { entry: 0, .. })) => {
            Ok(Shown::Held("malformed text is refused"))
        }
        ("bad_signatures.ascii.txt", Err(ImaError::TemplateHash { entry: 0, .. })) => Ok(
            Shown::Held("refused: the template hash is not of this signature"),
        ),
        (
            "ima-log-sm3_256" | "ima-log-unknown",
            Err(ImaError::Field {
                entry: 0, field: 0, ..
            }),
        ) => Ok(Shown::Held(
            "a digest of an unknown algorithm is refused by name",
        )),
        (_, Err(error)) => Err(error.to_string()),
        ("invalid_ima_log.txt" | "bad_signatures.ascii.txt", Ok(_)) => Err("accepted".into()),
        ("ima-log-sm3_256" | "ima-log-unknown", Ok(_)) => Err("accepted".into()),
        ("empty_ima_log.txt", Ok(replayed)) => {
            expect(replayed.summary.entries == 0, "entries")?;
            let zero = PcrValues::from([((HashAlg::Sha1, IMA_PCR), vec![0; 20])]);
            let some = PcrValues::from([((HashAlg::Sha1, IMA_PCR), vec![1; 20])]);
            let list = list.unwrap();
            expect(explain(&list, &zero, Options::default()).is_ok(), "zero")?;
            expect(explain(&list, &some, Options::default()).is_err(), "some")?;
            Ok(Shown::Held(
                "an empty list explains a PCR of zeros and nothing else",
            ))
        }
        (_, Ok(replayed)) => {
            let lines = bytes
                .split(|b| *b == b'\n')
                .filter(|l| !l.is_empty())
                .count();
            expect(replayed.summary.entries == lines, "entries")?;
            described(path, row, &list.unwrap())
        }
    }
}

/// What the row says beside "parses, and every template hash is right".
fn described(path: &Path, row: &Row, list: &List<'_>) -> Result<Shown, String> {
    let entries: Vec<Entry<'_>> = list.entries().collect::<Result<_, _>>().unwrap();
    if let Some(alg) = row
        .expected
        .strip_prefix("ascii list whose file digests are ")
    {
        let all = entries.iter().all(|e| e.event.digest.alg == bank(alg));
        expect(all, "file digests of another algorithm")?;
        return Ok(Shown::Held("file digests of the algorithm named"));
    }
    match path.file_name().unwrap().to_str().unwrap() {
        "signatures.ascii.txt" => {
            let keys = fs::read(path.with_file_name("ima_keyring_string.json")).unwrap();
            let keyring = Keyring::read(&keys).map_err(|e| e.to_string())?;
            let found: Vec<u32> = entries
                .iter()
                .map(|e| verified(&keyring, e))
                .collect::<Result<_, _>>()?;
            expect(found == [0xf345_2d23, 0x531f_4025], "keys")?;
            Ok(Shown::Held("both file signatures verify by the keyring"))
        }
        "keyrings.ascii.txt" => {
            let Extra::Buffer(der) = entries[0].event.extra else {
                return Err("no buffer".into());
            };
            let digest = entries[0].event.digest;
            expect(digest.alg.digest(&[der]) == digest.bytes, "buffer's hash")?;
            Certificate::parse(der).map_err(|e| e.to_string())?;
            expect(entries[0].event.name == b".ima", "name")?;
            Ok(Shown::Held(
                "the buffer is a certificate, and its hash the digest",
            ))
        }
        "measurements.ascii.txt" => {
            let unsigned = entries
                .iter()
                .all(|e| e.event.extra == Extra::Signature(&[]));
            expect(
                unsigned && entries.len() == 3,
                "three entries without signatures",
            )?;
            Ok(Shown::Held("three ima-sig entries without signatures"))
        }
        "ima_log.txt" => Ok(Shown::Held("one valid entry")),
        "h12ssl.ascii_measurements" => Ok(Shown::Held(
            "every template hash is right; another moment than the binary list",
        )),
        other => Err(format!("no test for {other}")),
    }
}

fn verified(keyring: &Keyring, entry: &Entry<'_>) -> Result<u32, String> {
    let Extra::Signature(signature) = entry.event.extra else {
        return Err("no signature".into());
    };
    let verify = |bytes: &[u8]| keyring.verify(&entry.event.digest, bytes, Sha1::Refused);
    for at in 0..signature.len() {
        let mut bad = signature.to_vec();
        bad[at] ^= 1;
        expect(
            verify(&bad).is_err(),
            &format!("byte {at} flipped is accepted"),
        )?;
    }
    verify(signature).map_err(|e| e.to_string())
}

fn keyring(path: &Path, row: &Row) -> Result<Shown, String> {
    let keyring = Keyring::read(&fs::read(path).unwrap());
    match (row.path.ends_with("bad_keyring_string.json"), keyring) {
        (true, Err(_)) => Ok(Shown::Held("a keyring without its identifiers is refused")),
        (true, Ok(_)) => Err("accepted".into()),
        (false, keyring) => {
            expect(keyring.map_err(|e| e.to_string())?.len() == 2, "keys")?;
            Ok(Shown::Held("loads, with the identifiers it states"))
        }
    }
}

/// The RSA key of the keyring, which verifies the first signature.
fn public_key(path: &Path) -> Result<Shown, String> {
    let pem = fs::read(path).unwrap();
    let keyring = Keyring::read(&pem).map_err(|e| e.to_string())?;
    let text = fs::read(path.with_file_name("signatures.ascii.txt")).unwrap();
    let list = List::read(&text, None).map_err(|e| e.to_string())?;
    let first = list.entries().next().unwrap().map_err(|e| e.to_string())?;
    expect(verified(&keyring, &first)? == 0xf345_2d23, "key identifier")?;
    Ok(Shown::Held("verifies the RSA file signature"))
}

/// `PCR 10: hex` for each bank of a vTPM: all three lists of the same boot end there.
fn published(path: &Path) -> Result<Shown, String> {
    let text = fs::read_to_string(path).unwrap();
    let mut quoted = PcrValues::new();
    for line in text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("PCR 10:"))
    {
        let value = hex::decode(line.replace(' ', "")).unwrap();
        let bank = BANKS
            .into_iter()
            .find(|bank| bank.size() == value.len())
            .unwrap();
        quoted.insert((bank, IMA_PCR), value);
    }
    expect(quoted.len() == 4, "four banks")?;
    for name in ["ima-sha1.log", "ima-sha256.log", "ima-sha512.log"] {
        let bytes = fs::read(path.with_file_name(name)).unwrap();
        let list = List::read(&bytes, None).map_err(|e| e.to_string())?;
        explain(&list, &quoted, Options::default()).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(Shown::Held(
        "three lists replay to the published values in four banks",
    ))
}

/// One derived case: an error is a refusal.
pub fn case(folder: &Path, _manifest: &Value) -> Result<(), String> {
    let pcrs = quoted(folder)?;
    let bytes = fs::read(folder.join("ima.bin")).unwrap();
    let list = List::read(&bytes, None).map_err(|e| e.to_string())?;
    explain(&list, &pcrs, Options::default()).map_err(|e| e.to_string())?;
    Ok(())
}

/// The PCR values of the folder's quote, authenticated; of another quote nothing is to be learnt.
fn quoted(folder: &Path) -> Result<PcrValues, String> {
    let read = |name| fs::read(folder.join(name)).unwrap();
    let pcrs = pcr_values(&folder.join("pcrs.json"));
    let base =
        folder.join("../../../tpm-quote/generated-here/rsa2048-rsassa-sha256.multi/set.json");
    let (attest, signature, nonce) = (read("attest.bin"), read("sig.bin"), read("nonce.bin"));
    let received = Received {
        attest: &attest,
        signature: &signature,
        pcrs: Cow::Borrowed(&pcrs),
    };
    let expected = Expected {
        key: &key(&folder.join("ak.pem"))?,
        qualifying_data: &nonce,
        selection: &selection(&json(&base)),
    };
    quote::verify(received, expected).map_err(|e| format!("the quote itself: {e}"))?;
    Ok(pcrs)
}

/// The lists of real machines against their quotes: PCR 10 in both banks, and the boot aggregate.
#[test]
fn lists_of_quoted_machines_are_explained() {
    use assay_appraisal::ima::boot_aggregate::{self, AggregateForm};
    let Some(root) = crate::common::vectors() else {
        return;
    };
    let set = root.join("tpm-quote/immune-gmbh__guard-oss/dl160-fwupd-report");
    let pcrs = pcr_values(&set.join("pcrs.json"));
    let bytes = fs::read(set.join("ima.bin")).unwrap();
    let list = List::read(&bytes, None).unwrap();
    let explained = explain(&list, &pcrs, Options::default()).unwrap();
    assert_eq!(explained.summary().entries, 16_169);
    assert_eq!(explained.summary().violations, 24);
    let form = boot_aggregate::check(explained.position(), &pcrs);
    assert_eq!(form, Ok(AggregateForm::Pcr0To7));

    let shared = root.join("tpm-quote/generated-here");
    let bytes = fs::read(shared.join("shared/ima.bin")).unwrap();
    let list = List::read(&bytes, None).unwrap();
    let sets = crate::common::folders(&shared);
    let mut explained = 0;
    for set in sets.iter().filter(|set| set.join("pcrs.json").exists()) {
        let pcrs = pcr_values(&set.join("pcrs.json"));
        if pcrs.keys().any(|(_, pcr)| *pcr == IMA_PCR) {
            explain(&list, &pcrs, Options::default()).unwrap();
            explained += 1;
        }
    }
    eprintln!("generated quotes whose PCR 10 the shared list explains: {explained}");
    assert!(explained > 0);
}
