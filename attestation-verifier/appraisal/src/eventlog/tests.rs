use super::parse::{PCR_NONE, SPEC_ID_SIGNATURE, STARTUP_LOCALITY};
use super::*;
use assay_protocol::limits::EVENT_LOG_BYTES_MAX;
use proptest::prelude::*;

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
fn a_hardware_root_of_measurement_implies_locality_4() {
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
