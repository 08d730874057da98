//! Event logs in every form: parsed, replayed, explained, read for claims.

use assay_appraisal::eventlog::claims::claims_of_log;
use assay_appraisal::eventlog::coverage::uncovered_events;
use assay_appraisal::eventlog::explain::explain;
use assay_appraisal::eventlog::replay::{Carried, PREFERENCE};
use assay_appraisal::eventlog::{self, EventLog, signature_list, variable::Variable};
use assay_appraisal::quote::PcrValues;
use assay_appraisal::tpm::algorithm::HashAlg;

/// A log in any form, in every bank. What replays explains the values it replays to, and no others.
pub fn claims(data: &[u8]) {
    let Ok(log) = eventlog::parse_any(data) else {
        assert!(eventlog::parse(data).is_err());
        return;
    };
    for bank in PREFERENCE {
        let replayed = log.replay(bank);
        let found = claims_of_log(&log, bank);
        assert_eq!(replayed.is_ok(), found.is_ok());
        let _ = uncovered_events(&log, bank);
        if let (Ok(values), Carried::All) = (replayed, log.carried(bank)) {
            explained(&log, bank, values.into_iter().collect());
        }
    }
}

fn explained(log: &EventLog<'_>, bank: HashAlg, values: Vec<(u32, Vec<u8>)>) {
    let mut quoted: PcrValues = values
        .into_iter()
        .map(|(pcr, value)| ((bank, pcr), value))
        .collect();
    assert!(explain(log, &quoted, None).holds());
    if let Some(((_, 0..=7), value)) = quoted.iter_mut().next() {
        value[0] ^= 1;
        assert!(!explain(log, &quoted, None).holds());
    }
}

/// A UEFI variable and a list of signatures, which fuzzed logs would seldom cover by a digest.
pub fn structures(data: &[u8]) {
    let _ = Variable::parse(data);
    let _ = Variable::parse_prefix(data).map(|(variable, _)| signature_list::parse(variable.value));
    let _ = signature_list::parse(data);
}

/// A small log of each form.
pub fn logs() -> Vec<Vec<u8>> {
    let mut agile = Vec::new();
    let header = [
        &b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02\x02\0\0\0"[..],
        &[4, 0, 20, 0, 0x0b, 0, 32, 0, 0],
    ]
    .concat();
    legacy(&mut agile, 0, 3, &[0; 20], &header);
    let mut old = Vec::new();
    for (pcr, kind, measured, data) in events() {
        agile.extend(pcr.to_le_bytes());
        agile.extend(kind.to_le_bytes());
        agile.extend(2u32.to_le_bytes());
        for bank in [HashAlg::Sha1, HashAlg::Sha256] {
            agile.extend(bank.id().to_le_bytes());
            agile.extend(bank.digest(&[&measured]));
        }
        agile.extend((data.len() as u32).to_le_bytes());
        agile.extend(&data);
        let digest = HashAlg::Sha1.digest(&[&measured]);
        legacy(&mut old, pcr, kind, &digest, &data);
    }
    vec![agile, old]
}

fn legacy(log: &mut Vec<u8>, pcr: u32, kind: u32, digest: &[u8], data: &[u8]) {
    log.extend(pcr.to_le_bytes());
    log.extend(kind.to_le_bytes());
    log.extend(digest);
    log.extend((data.len() as u32).to_le_bytes());
    log.extend(data);
}

/// PCR, type, what is measured, what is logged.
fn events() -> Vec<(u32, u32, Vec<u8>, Vec<u8>)> {
    let same = |pcr, kind, data: &[u8]| (pcr, kind, data.to_vec(), data.to_vec());
    let [secure_boot, db, order] = variables();
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let locality = same(0, 3, b"StartupLocality\0\x03");
    let mut events = vec![
        locality,
        same(0, 8, &utf16("1.0\0")),
        same(7, 0x8000_0001, &secure_boot),
        same(7, 0x8000_0001, &db),
        (1, 0x8000_0002, vec![1, 0], order),
    ];
    events.extend((0..8).map(|pcr| same(pcr, 4, &[0; 4])));
    events.extend([
        same(7, 0x8000_00e0, &db),
        (4, 0x8000_0003, b"image".to_vec(), vec![0; 40]),
        same(5, 0x8000_0007, b"Exit Boot Services Invocation"),
        (
            8,
            13,
            b"linux /k".to_vec(),
            b"grub_cmd: linux /k\0".to_vec(),
        ),
        same(11, 13, b".linux\0"),
        (11, 13, b"kernel".to_vec(), b".linux\0".to_vec()),
        same(12, 13, &utf16("ro\0")),
    ]);
    events
}

/// SecureBoot, db with one hash, BootOrder.
pub fn variables() -> [Vec<u8>; 3] {
    let global = [
        0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b,
        0x8c,
    ];
    let security = [
        0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65,
        0x6f,
    ];
    [
        variable(&global, "SecureBoot", &[1]),
        variable(&security, "db", &list()),
        variable(&global, "BootOrder", &[1, 0]),
    ]
}

fn variable(guid: &[u8; 16], name: &str, value: &[u8]) -> Vec<u8> {
    let mut data = guid.to_vec();
    data.extend((name.len() as u64).to_le_bytes());
    data.extend((value.len() as u64).to_le_bytes());
    data.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    data.extend(value);
    data
}

/// `EFI_SIGNATURE_LIST` with one SHA-256 entry.
pub fn list() -> Vec<u8> {
    let mut list = vec![
        0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43,
        0x28,
    ];
    for field in [28 + 48u32, 0, 48] {
        list.extend(field.to_le_bytes());
    }
    list.extend([7; 48]);
    list
}
