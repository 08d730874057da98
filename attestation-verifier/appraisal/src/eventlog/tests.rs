use super::parse::{PCR_NONE, SPEC_ID_SIGNATURE, STARTUP_LOCALITY};
use super::replay::Carried;
use super::*;
use assay_protocol::limits::EVENT_LOG_BYTES_MAX;
use proptest::prelude::*;

/// A legacy event.
pub(crate) fn legacy(pcr: u32, kind: u32, digest: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = pcr.to_le_bytes().to_vec();
    out.extend(kind.to_le_bytes());
    out.extend(digest);
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out
}

/// A log with a SHA-256 bank only.
pub(crate) struct LogBuilder(pub(crate) Vec<u8>);

impl LogBuilder {
    pub(crate) fn new() -> Self {
        Self::with_algorithms(&[(0x000b, 32)])
    }

    pub(crate) fn with_algorithms(list: &[(u16, u16)]) -> Self {
        let mut data = SPEC_ID_SIGNATURE.to_vec();
        data.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        data.extend((list.len() as u32).to_le_bytes());
        for (id, size) in list {
            data.extend(id.to_le_bytes());
            data.extend(size.to_le_bytes());
        }
        data.push(0);
        let mut out = vec![0, 0, 0, 0, 3, 0, 0, 0];
        out.extend([0; 20]);
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        Self(out)
    }

    pub(crate) fn raw(mut self, pcr: u32, kind: u32, digest: &[u8], data: &[u8]) -> Self {
        self.0.extend(pcr.to_le_bytes());
        self.0.extend(kind.to_le_bytes());
        self.0.extend(1u32.to_le_bytes());
        self.0.extend(0x000bu16.to_le_bytes());
        self.0.extend(digest);
        self.0.extend((data.len() as u32).to_le_bytes());
        self.0.extend(data);
        self
    }

    /// An event with these (`TPM_ALG_ID`, digest) pairs.
    pub(crate) fn digests(
        mut self,
        pcr: u32,
        kind: u32,
        digests: &[(u16, &[u8])],
        data: &[u8],
    ) -> Self {
        self.0.extend(pcr.to_le_bytes());
        self.0.extend(kind.to_le_bytes());
        self.0.extend((digests.len() as u32).to_le_bytes());
        for (id, digest) in digests {
            self.0.extend(id.to_le_bytes());
            self.0.extend(*digest);
        }
        self.0.extend((data.len() as u32).to_le_bytes());
        self.0.extend(data);
        self
    }

    /// The event measures something else than its data.
    pub(crate) fn measured(self, pcr: u32, kind: u32, measured: &[u8], data: &[u8]) -> Self {
        self.raw(pcr, kind, &HashAlg::Sha256.digest(&[measured]), data)
    }

    pub(crate) fn event(self, pcr: u32, kind: u32, data: &[u8]) -> Self {
        let digest = HashAlg::Sha256.digest(&[data]);
        self.raw(pcr, kind, &digest, data)
    }

    fn locality(self, value: u8) -> Self {
        let data = [&STARTUP_LOCALITY[..], &[value]].concat();
        self.raw(0, EV_NO_ACTION, &[0; 32], &data)
    }
}

fn sample() -> Vec<u8> {
    LogBuilder::new()
        .locality(3)
        .event(0, 8, b"firmware")
        .event(12, EV_IPL, b"config")
        .raw(PCR_NONE, EV_NO_ACTION, &[0; 32], b"trust point")
        .0
}

#[test]
fn replay_extends_from_the_startup_locality() {
    let log = sample();
    let log = parse(&log).unwrap();
    let pcrs = log.replay(HashAlg::Sha256).unwrap();
    let mut start = [0u8; 32];
    start[31] = 3;
    let sha = |parts: &[&[u8]]| HashAlg::Sha256.digest(parts);
    assert_eq!(pcrs[&0], sha(&[&start, &sha(&[b"firmware"])]));
    assert_eq!(pcrs[&12], sha(&[&[0; 32], &sha(&[b"config"])]));
    assert_eq!(pcrs.len(), 2);
}

#[test]
fn data_counts_only_when_the_digest_covers_it() {
    let bytes = LogBuilder::new()
        .event(12, EV_IPL, b"config")
        .raw(12, EV_IPL, &[1; 32], b"forged")
        .raw(
            12,
            EV_NO_ACTION,
            &HashAlg::Sha256.digest(&[b"idle"]),
            b"idle",
        )
        .0;
    let log = parse(&bytes).unwrap();
    assert_eq!(log.proven(12, EV_IPL).collect::<Vec<_>>(), [b"config"]);
    assert_eq!(log.proven(12, EV_NO_ACTION).count(), 0);
}

#[test]
fn localities_are_taken_once_early_and_only_when_valid() {
    let refused = |log: LogBuilder| parse(&log.0).unwrap_err().to_string();
    assert!(refused(LogBuilder::new().locality(5)).contains("0, 3 or 4"));
    assert!(refused(LogBuilder::new().locality(3).locality(3)).contains("once"));
    assert!(refused(LogBuilder::new().event(0, 8, b"x").locality(3)).contains("before PCR 0"));
}

#[test]
fn only_an_unmeasured_event_of_pcr_0_tells_the_locality() {
    let data = [&STARTUP_LOCALITY[..], &[3]].concat();
    let elsewhere = LogBuilder::new().raw(1, EV_NO_ACTION, &[0; 32], &data).0;
    assert_eq!(parse(&elsewhere).unwrap().startup_locality, 0);
    let measured = LogBuilder::new().event(0, 8, &data).0;
    assert_eq!(parse(&measured).unwrap().startup_locality, 0);
}

#[test]
fn a_hardware_root_of_measurement_implies_locality_4() {
    let behind_others = LogBuilder::new()
        .raw(0, EV_NO_ACTION, &[0; 32], b"told")
        .event(1, 8, b"elsewhere")
        .event(0, EV_EFI_HCRTM_EVENT, b"h")
        .0;
    assert_eq!(parse(&behind_others).unwrap().startup_locality, 4);
    let hcrtm = LogBuilder::new()
        .event(0, EV_EFI_HCRTM_EVENT, b"h")
        .event(0, 8, b"f")
        .0;
    assert_eq!(parse(&hcrtm).unwrap().startup_locality, 4);
    let late = LogBuilder::new()
        .event(0, 8, b"f")
        .event(0, EV_EFI_HCRTM_EVENT, b"h")
        .0;
    assert_eq!(parse(&late).unwrap().startup_locality, 0);
}

#[test]
fn hostile_headers_and_events_are_refused_by_name() {
    let refused = |log: Vec<u8>| parse(&log).unwrap_err().to_string();
    assert!(refused(LogBuilder::with_algorithms(&[]).0).contains("at least one algorithm"));
    let wrong = LogBuilder::with_algorithms(&[(0x000b, 20)]).0;
    assert!(refused(wrong).contains("digest size 20 does not fit"));
    let twice = LogBuilder::with_algorithms(&[(0x000b, 32), (0x000b, 32)]).0;
    assert!(refused(twice).contains("declared twice"));
    assert!(refused(LogBuilder::new().event(24, 8, b"x").0).contains("expected 0 to 23, got 24"));
    assert!(refused(LogBuilder::new().event(PCR_NONE, 8, b"x").0).contains("PCR index"));
    let mut legacy = sample();
    legacy[32 + 14] = b'0';
    assert!(refused(legacy).contains("legacy SHA-1"));
    let mut undeclared = sample();
    let first_event = 32 + 33;
    undeclared[first_event + 12] = 0x0c;
    assert!(refused(undeclared).contains("not declared"));
    let mut none = sample();
    none[first_event + 8] = 0;
    assert!(refused(none).contains("at least one digest"));
    assert!(refused(vec![0; EVENT_LOG_BYTES_MAX + 1]).contains("size in bytes may be"));
}

#[test]
fn a_bank_without_digests_cannot_be_replayed() {
    let log = sample();
    let error = parse(&log)
        .unwrap()
        .replay(HashAlg::Sha1)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("PCR 0: expected a Sha1 digest, got none"),
        "{error}"
    );
}

#[test]
fn the_number_of_events_is_capped() {
    let mut log = LogBuilder::new();
    let one = LogBuilder::new().raw(1, 8, &[0; 32], b"").0;
    let event = one[32 + 33..].to_vec();
    for _ in 0..=EVENTS_MAX {
        log.0.extend(&event);
    }
    let error = parse(&log.0).unwrap_err().to_string();
    assert!(error.contains("event count may be 16384"), "{error}");
}

proptest! {
    #[test]
    fn a_flip_is_refused_or_changes_what_is_parsed(at in 0usize..4096, flip in 1u8..=255) {
        let good = sample();
        let at = at % good.len();
        let mut bad = good.clone();
        bad[at] ^= flip;
        // Ignored by the specification: the header's zero digest, class and version numbers.
        let ignored = (8..28).contains(&at) || (48..56).contains(&at);
        let same = parse(&bad) == parse(&good);
        prop_assert!(ignored || !same);
    }

    #[test]
    fn a_truncation_never_replays_to_the_same_values(at in 0usize..4096) {
        // Without the trust point at the end, which extends nothing.
        let good = LogBuilder::new().locality(3).event(0, 8, b"f").event(12, EV_IPL, b"c").0;
        let at = at % good.len();
        let whole = parse(&good).unwrap().replay(HashAlg::Sha256);
        prop_assert!(parse(&good[..at]).map_or(true, |log| log.replay(HashAlg::Sha256) != whole));
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let mut log = LogBuilder::new().0;
        log.extend(&bytes);
        let _ = parse(&log).map(|log| log.replay(HashAlg::Sha256));
        let _ = parse(&bytes);
    }
}

/// A legacy log as firmware before TPM 2.0 wrote it, with or without the header of that time.
fn legacy_sample(header: &[u8]) -> Vec<u8> {
    let sha1 = |data: &[u8]| HashAlg::Sha1.digest(&[data]);
    let mut log = Vec::new();
    if !header.is_empty() {
        log.extend(legacy(0, EV_NO_ACTION, &[0; 20], header));
    }
    log.extend(legacy(0, 8, &sha1(b"firmware"), b"firmware"));
    log.extend(legacy(4, EV_SEPARATOR, &sha1(&[0; 4]), &[0; 4]));
    log.extend(legacy(PCR_NONE, EV_NO_ACTION, &[0; 20], b"trust point"));
    log
}

#[test]
fn legacy_logs_parse_only_where_they_are_asked_for() {
    for header in [&b""[..], b"Spec ID Event00\0rest", b"Spec ID Event02\0rest"] {
        let bytes = legacy_sample(header);
        assert_eq!(parse(&bytes), Err(EventLogError::NotCryptoAgile));
        let log = parse_any(&bytes).unwrap();
        assert_eq!((log.form, log.number(0)), (Form::LegacySha1, 0));
        assert_eq!(log.algorithms, [(4, 20)]);
        let values = log.replay(HashAlg::Sha1).unwrap();
        let firmware = HashAlg::Sha1.digest(&[b"firmware"]);
        assert_eq!(values[&0], HashAlg::Sha1.digest(&[&[0; 20], &firmware]));
        assert!(log.replay(HashAlg::Sha256).is_err());
    }
    let agile = sample();
    assert_eq!(parse_any(&agile), parse(&agile));
    assert_eq!(parse_any(&agile).unwrap().number(0), 1);
}

#[test]
fn what_is_no_log_of_a_tpm_is_refused_by_name() {
    assert_eq!(parse_any(b""), Err(EventLogError::Empty));
    let unknown = legacy_sample(b"Spec ID Event04\0");
    assert_eq!(parse_any(&unknown), Err(EventLogError::SpecIdVersion));
    assert_eq!(parse(&unknown), Err(EventLogError::SpecIdVersion));
    for register in [1, 4] {
        let mut confidential = sample();
        confidential[0] = register;
        let error = EventLogError::ConfidentialComputing {
            register: register.into(),
        };
        assert_eq!(parse(&confidential), Err(error.clone()));
        assert_eq!(parse_any(&confidential), Err(error));
    }
    let mut beyond = sample();
    beyond[0] = 5;
    let error = parse_any(&beyond).unwrap_err().to_string();
    assert!(error.contains("expected 0 to 23, got 5"), "{error}");
    let index = legacy(24, 8, &[0; 20], b"x");
    let error = parse_any(&index).unwrap_err().to_string();
    assert!(error.contains("event 0: PCR index"), "{error}");
    let last = legacy(23, 8, &[0; 20], b"x");
    assert!(parse_any(&last).is_ok());
}

#[test]
fn truncated_legacy_logs_are_refused_or_shorter() {
    let log = legacy_sample(b"");
    let whole = parse_any(&log).unwrap().events.len();
    for end in 0..log.len() {
        if let Ok(cut) = parse_any(&log[..end]) {
            assert!(cut.events.len() < whole);
        }
    }
    let event = legacy(1, 8, &[0; 20], b"");
    let many = event.repeat(EVENTS_MAX);
    assert_eq!(parse_any(&many).unwrap().events.len(), EVENTS_MAX);
    let many = event.repeat(EVENTS_MAX + 1);
    let error = parse_any(&many).unwrap_err();
    assert!(error.to_string().contains("event count may be 16384"));
}

#[test]
fn other_banks_are_carried_and_counted_but_not_replayed() {
    let sm3 = [7; 32];
    let digest = HashAlg::Sha256.digest(&[b"x"]);
    let log = LogBuilder::with_algorithms(&[(4, 20), (0x12, 32), (0xb, 32)])
        .digests(0, 8, &[(0xb, &digest), (0x12, &sm3)], b"x")
        .digests(1, 8, &[(0xb, &digest)], b"x")
        .digests(0, EV_NO_ACTION, &[(0xb, &[0; 32])], b"no matter")
        .0;
    let log = parse(&log).unwrap();
    assert_eq!(log.events[0].digests.raw().len(), 2 * 34);
    let banks = log.banks();
    let missing = Carried::Some {
        missing: 1,
        first: 2,
    };
    let carried: Vec<Carried> = banks.iter().map(|b| b.carried).collect();
    assert_eq!(carried, [Carried::None, missing, Carried::All]);
    assert_eq!((banks[1].id, banks[1].alg), (0x12, None));
    assert_eq!(log.preferred_bank(), Some(HashAlg::Sha256));
    assert_eq!(log.carried(HashAlg::Sha1), Carried::None);
    assert!(log.replay(HashAlg::Sha1).is_err());
}

#[test]
fn an_algorithm_twice_in_one_event_is_refused() {
    let algorithms = [(0x12, 32), (0xb, 32), (0x27, 32)];
    for id in [0x12, 0xb, 0x27] {
        let twice: [(u16, &[u8]); 2] = [(id, &[1; 32]), (id, &[1; 32])];
        let log = LogBuilder::with_algorithms(&algorithms).digests(0, 8, &twice, b"x");
        let error = parse(&log.0).unwrap_err().to_string();
        assert!(error.contains("two digests"), "{error}");
    }
    let distinct: [(u16, &[u8]); 2] = [(0x12, &[1; 32]), (0x27, &[1; 32])];
    let log = LogBuilder::with_algorithms(&algorithms).digests(0, 8, &distinct, b"x");
    assert!(parse(&log.0).is_ok());
}

#[test]
fn the_strongest_complete_bank_is_preferred() {
    let preferred = |ids: &[(u16, u16)]| {
        let owned: Vec<(u16, Vec<u8>)> = ids
            .iter()
            .map(|(id, size)| (*id, vec![1; usize::from(*size)]))
            .collect();
        let digests: Vec<(u16, &[u8])> = owned.iter().map(|(id, d)| (*id, d.as_slice())).collect();
        let log = LogBuilder::with_algorithms(ids).digests(0, 8, &digests, b"x");
        parse(&log.0).unwrap().preferred_bank()
    };
    let [sha1, sha256, sha384, sha512] = [(4, 20), (0xb, 32), (0xc, 48), (0xd, 64)];
    assert_eq!(preferred(&[sha1, sha384, sha256]), Some(HashAlg::Sha256));
    assert_eq!(preferred(&[sha1, sha512, sha384]), Some(HashAlg::Sha384));
    assert_eq!(preferred(&[sha1, sha512]), Some(HashAlg::Sha512));
    assert_eq!(preferred(&[sha1]), Some(HashAlg::Sha1));
    assert_eq!(preferred(&[(0x12, 32)]), None);
}

#[test]
fn every_bank_is_extended_with_its_own_size() {
    for bank in replay::PREFERENCE {
        let size = bank.size();
        let digest = bank.digest(&[b"x"]);
        let extend = |log: LogBuilder, pcr| log.digests(pcr, 8, &[(bank.id(), &digest)], b"x");
        let log = LogBuilder::with_algorithms(&[(bank.id(), size as u16)]);
        let log = [0, 17, 23, 23].into_iter().fold(log, extend).0;
        let log = parse(&log).unwrap();
        let values = log.replay(bank).unwrap();
        let once = bank.digest(&[&vec![0; size], &digest]);
        assert_eq!(values[&0], once);
        assert_eq!(values[&17], bank.digest(&[&vec![0xff; size], &digest]));
        assert_eq!(values[&23], bank.digest(&[&once, &digest]));
        assert_eq!(log.initial(16, bank), vec![0; size]);
        assert_eq!(log.initial(22, bank), vec![0xff; size]);
        assert_eq!(log.initial(23, bank), vec![0; size]);
    }
}
