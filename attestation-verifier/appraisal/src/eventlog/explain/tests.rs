//! What explains a quote, what contradicts it, and what is only listed.

use super::*;
use crate::eventlog::tests::LogBuilder;
use crate::eventlog::{EV_IPL, EV_NO_ACTION, EV_SEPARATOR, parse, parse_any};

/// A log with SHA-1 and SHA-256 whose operating system (PCR 12) leaves SHA-1 out, as Windows does.
fn windows() -> LogBuilder {
    let [sha1, sha256] = both(&[0; 4]);
    let firmware = (0..8).fold(LogBuilder::with_algorithms(&BANKS), |log, pcr| {
        log.digests(pcr, EV_SEPARATOR, &[(4, &sha1), (0xb, &sha256)], &[0; 4])
    });
    firmware.digests(12, 6, &[(0xb, &sha256)], b"boot manager")
}

const BANKS: [(u16, u16); 2] = [(4, 20), (0xb, 32)];

fn both(data: &[u8]) -> [Vec<u8>; 2] {
    [
        HashAlg::Sha1.digest(&[data]),
        HashAlg::Sha256.digest(&[data]),
    ]
}

fn linux() -> LogBuilder {
    let firmware = (0..8).fold(LogBuilder::new(), |log, pcr| {
        log.event(pcr, EV_SEPARATOR, &[0; 4])
    });
    firmware
        .event(8, EV_IPL, b"linux")
        .event(12, EV_IPL, b"config")
}

/// The values that a machine with this log has.
fn honest(log: &[u8], bank: HashAlg) -> PcrValues {
    let log = parse_any(log).unwrap();
    let replay = Replay::of(&log, bank);
    let value = |pcr| match replay.registers.get(pcr) {
        Some(register) => register.value().to_vec(),
        None => log.initial(pcr, bank),
    };
    (0..24).map(|pcr| ((bank, pcr), value(pcr))).collect()
}

fn explained(log: &[u8], quoted: &PcrValues) -> Explained {
    explain(&parse_any(log).unwrap(), quoted, None)
}

const SHA256: HashAlg = HashAlg::Sha256;

#[test]
fn the_log_of_the_quoted_machine_explains_it() {
    let log = linux().0;
    let quoted = honest(&log, SHA256);
    let found = explained(&log, &quoted);
    assert!(found.holds(), "{found}");
    assert_eq!(found.explained_banks().collect::<Vec<_>>(), [SHA256]);
    assert_eq!(found.banks[0].matched, [0, 1, 2, 3, 4, 5, 6, 7, 8, 12]);
    let initial = [9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];
    assert_eq!(found.banks[0].initial, initial);
    assert!(found.banks[0].unexplained.is_empty() && found.banks[0].capped.is_empty());
}

#[test]
fn a_value_that_the_log_does_not_replay_to_contradicts() {
    let log = linux().0;
    for pcr in [0, 7, 8, 12] {
        let mut quoted = honest(&log, SHA256);
        quoted.get_mut(&(SHA256, pcr)).unwrap()[5] ^= 1;
        let found = explained(&log, &quoted);
        assert!(!found.holds(), "PCR {pcr}: {found}");
        assert_eq!(found.explained_banks().count(), 0);
        let contradiction = &found.banks[0].contradictions[..];
        assert!(matches!(contradiction, [Contradiction::Differs { pcr: p, .. }] if *p == pcr));
        assert!(found.to_string().contains(&format!("PCR {pcr}: quoted")));
    }
}

#[test]
fn firmware_registers_without_events_must_be_untouched_and_others_are_listed() {
    let log = LogBuilder::new().event(4, EV_SEPARATOR, &[0; 4]).0;
    for pcr in 0..24 {
        let mut quoted = honest(&log, SHA256);
        quoted.get_mut(&(SHA256, pcr)).unwrap()[0] ^= 1;
        let found = explained(&log, &quoted);
        assert_eq!(found.holds(), pcr > 7, "PCR {pcr}: {found}");
        let listed: &[u32] = if pcr > 7 { &[pcr] } else { &[] };
        assert_eq!(found.banks[0].unexplained, listed);
    }
    let found = explained(&log, &honest(&log, SHA256));
    assert!(found.banks[0].initial.contains(&7));
}

#[test]
fn the_startup_locality_belongs_to_the_initial_value() {
    let data = [&b"StartupLocality\0"[..], &[3]].concat();
    let start = |log: LogBuilder| log.raw(0, EV_NO_ACTION, &[0; 32], &data);
    let log = start(LogBuilder::new()).event(4, EV_SEPARATOR, &[0; 4]).0;
    let mut quoted = honest(&log, SHA256);
    assert_eq!(quoted[&(SHA256, 0)][31], 3);
    assert!(explained(&log, &quoted).holds());
    quoted.insert((SHA256, 0), vec![0; 32]);
    assert!(!explained(&log, &quoted).holds());
}

#[test]
fn at_least_one_register_must_be_explained_by_events() {
    let log = linux().0;
    assert!(!explained(&log, &PcrValues::new()).holds());
    let mut quoted = honest(&log, SHA256);
    quoted.retain(|(_, pcr), _| *pcr > 12);
    assert!(!explained(&log, &quoted).holds());
    assert_eq!(
        explained(&log, &PcrValues::new()).to_string(),
        "no quoted PCR"
    );
}

#[test]
fn a_bank_that_is_not_logged_is_listed_and_explains_nothing() {
    let log = linux().0;
    let mut quoted = honest(&log, SHA256);
    let sha384: PcrValues = (0..8)
        .map(|pcr| ((HashAlg::Sha384, pcr), vec![1; 48]))
        .collect();
    assert!(!explained(&log, &sha384).holds());
    quoted.extend(sha384);
    let found = explained(&log, &quoted);
    assert!(found.holds(), "{found}");
    assert_eq!(found.banks[1].carried, Carried::None);
    assert!(found.banks[1].initial.is_empty() && found.banks[1].matched.is_empty());
    assert_eq!(found.explained_banks().collect::<Vec<_>>(), [SHA256]);
}

#[test]
fn only_the_banks_asked_for_are_looked_at() {
    let log = linux().0;
    let mut quoted = honest(&log, SHA256);
    quoted.insert((HashAlg::Sha1, 0), vec![1; 20]);
    let log = parse(&log).unwrap();
    let only = explain(&log, &quoted, Some(&[SHA256]));
    assert_eq!(only.banks.len(), 1);
    assert!(only.holds());
    assert!(!explain(&log, &quoted, Some(&[HashAlg::Sha1])).holds());
    assert!(!explain(&log, &quoted, Some(&[])).holds());
}

#[test]
fn a_second_bank_that_disagrees_contradicts() {
    let [sha1, sha256] = both(&[0; 4]);
    let log = LogBuilder::with_algorithms(&BANKS);
    let log = log
        .digests(4, EV_SEPARATOR, &[(4, &sha1), (0xb, &sha256)], &[0; 4])
        .0;
    let mut quoted = honest(&log, SHA256);
    quoted.extend(honest(&log, HashAlg::Sha1));
    assert!(explained(&log, &quoted).holds());
    quoted.get_mut(&(HashAlg::Sha1, 4)).unwrap()[0] ^= 1;
    let found = explained(&log, &quoted);
    assert!(!found.holds());
    assert_eq!(found.explained_banks().collect::<Vec<_>>(), [SHA256]);
}

/// The SHA-1 values of a machine whose Windows caps the bank it does not log.
fn capped(log: &[u8]) -> PcrValues {
    let mut quoted = honest(log, HashAlg::Sha1);
    for pcr in 0..8 {
        let value = quoted.get_mut(&(HashAlg::Sha1, pcr)).unwrap();
        *value = HashAlg::Sha1.digest(&[value, &[0; 20]]);
    }
    quoted
}

#[test]
fn windows_leaves_sha1_out_and_caps_it() {
    let log = windows().0;
    let mut quoted = honest(&log, SHA256);
    quoted.extend(capped(&log));
    let found = explained(&log, &quoted);
    assert!(found.holds(), "{found}");
    assert_eq!(found.banks[0].capped, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(found.banks[0].unexplained, [12]);
    assert_eq!(found.explained_banks().collect::<Vec<_>>(), [SHA256]);
    // Uncapped (older Windows) is explained too; neither is another value.
    quoted.extend(honest(&log, HashAlg::Sha1));
    assert!(explained(&log, &quoted).holds());
    quoted.get_mut(&(HashAlg::Sha1, 7)).unwrap()[0] ^= 1;
    assert!(!explained(&log, &quoted).holds());
    // Alone, a bank that is incomplete explains nothing.
    assert!(!explained(&log, &capped(&log)).holds());
    assert!(!explained(&log, &honest(&log, HashAlg::Sha1)).holds());
}

#[test]
fn a_complete_bank_is_never_taken_for_capped() {
    let log = linux().0;
    let mut quoted = honest(&log, SHA256);
    let value = quoted.get_mut(&(SHA256, 4)).unwrap();
    *value = SHA256.digest(&[value, &[0; 32]]);
    assert!(!explained(&log, &quoted).holds());
}

#[test]
fn a_digest_left_out_by_firmware_or_in_a_strong_bank_contradicts() {
    let [sha1, sha256] = both(b"x");
    let firmware = windows().digests(7, 1, &[(0xb, &sha256)], b"x").0;
    let mut quoted = honest(&firmware, SHA256);
    quoted.extend(capped(&firmware));
    let found = explained(&firmware, &quoted);
    assert!(!found.holds(), "{found}");
    assert!(matches!(
        found.banks[0].contradictions[..],
        [Contradiction::Incomplete { event: 10 }]
    ));
    let strong = LogBuilder::with_algorithms(&BANKS)
        .digests(4, EV_SEPARATOR, &[(4, &sha1), (0xb, &sha256)], b"x")
        .digests(12, 6, &[(4, &sha1)], b"x")
        .0;
    let mut quoted = honest(&strong, HashAlg::Sha1);
    quoted.extend(honest(&strong, SHA256));
    assert!(!explained(&strong, &quoted).holds());
}

/// What systemd-stub measures of one section.
fn section(log: LogBuilder, name: &str, content: &[u8]) -> LogBuilder {
    let name = format!("{name}\0");
    log.event(11, EV_IPL, name.as_bytes())
        .measured(11, EV_IPL, content, name.as_bytes())
}

#[test]
fn systemd_goes_on_in_pcr_11_and_nobody_else_may() {
    let later = |log: &[u8]| {
        let mut quoted = honest(log, SHA256);
        quoted.get_mut(&(SHA256, 11)).unwrap()[0] ^= 1;
        explained(log, &quoted)
    };
    let sections = section(section(linux(), ".linux", b"kernel"), ".initrd", b"initrd").0;
    let found = later(&sections);
    assert!(found.holds(), "{found}");
    assert_eq!(found.banks[0].unexplained, [11]);
    for other in [
        section(linux(), ".linux", b"kernel")
            .event(11, EV_IPL, b"x")
            .0,
        section(linux(), ".unknown", b"kernel").0,
        section(linux(), ".linux", b"kernel")
            .event(11, 12, b"a")
            .event(11, 12, b"b")
            .0,
    ] {
        assert!(!later(&other).holds());
    }
    // In no other PCR.
    let elsewhere = linux()
        .event(13, EV_IPL, b".linux\0")
        .event(13, EV_IPL, b"x")
        .0;
    let mut quoted = honest(&elsewhere, SHA256);
    quoted.get_mut(&(SHA256, 13)).unwrap()[0] ^= 1;
    assert!(!explained(&elsewhere, &quoted).holds());
}

#[test]
fn every_byte_of_a_digest_and_every_cut_breaks_the_explanation() {
    let log = linux().0;
    let quoted = honest(&log, SHA256);
    let shown = explained(&log, &quoted);
    for at in 0..log.len() {
        let mut bad = log.clone();
        bad[at] ^= 1;
        // Labels and data are not authenticated, nor the first event's digest, class and versions.
        let holds = parse(&bad).is_ok_and(|log| explain(&log, &quoted, None) == shown);
        let same = parse(&bad).is_ok_and(|bad| {
            let digests = |log: &EventLog<'_>| -> Vec<_> {
                log.events
                    .iter()
                    .map(|e| (e.pcr, e.digest(SHA256).unwrap().to_vec()))
                    .collect()
            };
            digests(&bad) == digests(&parse(&log).unwrap())
        });
        assert_eq!(holds, same, "byte {at}");
    }
    // A cut that takes all events of a PCR of the operating system leaves it unexplained, and is seen as such.
    for end in 0..log.len() {
        let cut = parse(&log[..end]).map(|log| explain(&log, &quoted, None));
        assert_ne!(cut, Ok(shown.clone()), "{end}");
    }
}
