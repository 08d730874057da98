//! The firmware's event log (TCG PC Client Platform Firmware Profile 1.05, section 10), parsed with
//! bounds and replayed to PCR values.
//!
//! Only a PCR index and a digest are authenticated, and only by a replay that ends in a quoted value.
//! Event types are labels; event data counts exactly as far as [`Event::proven_data`] shows it.

use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::{FormatError, Reader};
use assay_protocol::limits::EVENT_LOG_BYTES_MAX;
use std::collections::BTreeMap;

/// Most events accepted.
pub const EVENTS_MAX: usize = 16_384;
/// `EV_NO_ACTION`: carries information, extends nothing.
pub const EV_NO_ACTION: u32 = 0x0000_0003;
/// `EV_SEPARATOR`.
pub const EV_SEPARATOR: u32 = 0x0000_0004;
/// `EV_IPL`: the boot loader and what it starts.
pub const EV_IPL: u32 = 0x0000_000d;

/// `EV_EFI_HCRTM_EVENT`: a measurement made before `TPM2_Startup`, from locality 4.
const EV_EFI_HCRTM_EVENT: u32 = 0x8000_0010;
const SPEC_ID_BYTES_MAX: usize = 512;
const SPEC_ID_SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";
const ALGORITHMS_MAX: usize = 16;
const DIGEST_BYTES_MAX: usize = 64;
const PCR_LAST: u32 = 23;
/// Windows marks its trust points with this index; such events extend nothing.
const PCR_NONE: u32 = 0xffff_ffff;

/// An event log is not acceptable, or cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// A structure does not parse.
    #[error("event log: event {event}: {source}")]
    Format {
        /// Index of the event, from 0.
        event: usize,
        /// What is wrong.
        source: FormatError,
    },
    /// The log has the old, SHA-1-only form, counts MRs instead of PCRs, or is no log.
    #[error(
        "event log: expected a TPM's crypto-agile log (Spec ID Event03 on PCR 0), got another first event; legacy SHA-1 and confidential-computing logs are not supported"
    )]
    NotCryptoAgile,
    /// The Spec ID event declares no usable list of algorithms.
    #[error("event log: Spec ID event: {0}")]
    Algorithms(String),
    /// An event's digests do not fit the declared algorithms.
    #[error("event log: event {event}: {problem}")]
    Digests {
        /// Index of the event, from 0.
        event: usize,
        /// What is wrong.
        problem: String,
    },
    /// A PCR index outside 0..=23 on an event that extends.
    #[error("event log: event {event}: PCR index: expected 0 to 23, got {actual}")]
    PcrIndex {
        /// Index of the event, from 0.
        event: usize,
        /// The index found.
        actual: u32,
    },
    /// StartupLocality twice, late, or with a value that is none.
    #[error("event log: event {event}: StartupLocality: {problem}")]
    StartupLocality {
        /// Index of the event, from 0.
        event: usize,
        /// What is wrong.
        problem: String,
    },
    /// An event has no digest of the bank to replay.
    #[error("event log: event {event} on PCR {pcr}: expected a {bank:?} digest, got none")]
    BankMissing {
        /// Index of the event, from 0.
        event: usize,
        /// Its PCR.
        pcr: u32,
        /// The bank.
        bank: HashAlg,
    },
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The PCR it extends; 0xFFFFFFFF for none.
    pub pcr: u32,
    /// Event type: a label, not authenticated.
    pub kind: u32,
    /// (`TPM_ALG_ID`, digest) pairs.
    pub digests: Vec<(u16, &'a [u8])>,
    /// Event data: not authenticated, see [`Event::proven_data`].
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    /// Whether it extends a PCR.
    pub fn extends(&self) -> bool {
        self.kind != EV_NO_ACTION
    }

    /// The digest for `bank`.
    pub fn digest(&self, bank: HashAlg) -> Option<&'a [u8]> {
        self.digests
            .iter()
            .find(|(alg, _)| *alg == bank.id())
            .map(|(_, digest)| *digest)
    }

    /// The event data, when the event extends a PCR by exactly the SHA-256 of it; nothing otherwise.
    pub fn proven_data(&self) -> Option<&'a [u8]> {
        let digest = self.digest(HashAlg::Sha256).filter(|_| self.extends())?;
        (digest == HashAlg::Sha256.digest(&[self.data])).then_some(self.data)
    }
}

/// A parsed log: well-formed, **not authenticated** until its replay equals a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog<'a> {
    /// Declared (`TPM_ALG_ID`, digest size) pairs.
    pub algorithms: Vec<(u16, u16)>,
    /// The locality `TPM2_Startup` was sent from: PCR 0 starts with it.
    pub startup_locality: u8,
    /// All events after the Spec ID event.
    pub events: Vec<Event<'a>>,
}

/// Parses a crypto-agile log; refuses legacy logs by name, and trailing bytes.
pub fn parse(bytes: &[u8]) -> Result<EventLog<'_>, EventLogError> {
    let mut r = Reader::new("TCG event log", bytes, EVENT_LOG_BYTES_MAX).map_err(at(0))?;
    let algorithms = spec_id(&mut r)?;
    let mut events = Vec::new();
    while !r.rest().is_empty() {
        let index = events.len().saturating_add(1);
        r.cap("event count", index, EVENTS_MAX).map_err(at(index))?;
        events.push(event(&mut r, index, &algorithms)?);
    }
    let startup_locality = startup_locality(&events)?;
    Ok(EventLog {
        algorithms,
        startup_locality,
        events,
    })
}

impl<'a> EventLog<'a> {
    /// The value of every PCR that an event of this log extends, in `bank`.
    pub fn replay(&self, bank: HashAlg) -> Result<BTreeMap<u32, Vec<u8>>, EventLogError> {
        let mut pcrs = BTreeMap::new();
        for (index, event) in self.events.iter().enumerate().filter(|(_, e)| e.extends()) {
            let digest = event.digest(bank).ok_or(EventLogError::BankMissing {
                event: index.saturating_add(1),
                pcr: event.pcr,
                bank,
            })?;
            let value = pcrs
                .entry(event.pcr)
                .or_insert_with(|| self.initial(event.pcr, bank));
            *value = bank.digest(&[value, digest]);
        }
        Ok(pcrs)
    }

    /// The value of a PCR after `TPM2_Startup(CLEAR)`, before any event.
    pub fn initial(&self, pcr: u32, bank: HashAlg) -> Vec<u8> {
        let fill = if (17..=22).contains(&pcr) { 0xff } else { 0 };
        let mut value = vec![fill; bank.size()];
        if let (0, Some(last)) = (pcr, value.last_mut()) {
            *last = self.startup_locality;
        }
        value
    }

    /// The proven data of the events on `pcr` labelled `kind`, in order.
    pub fn proven(&self, pcr: u32, kind: u32) -> impl Iterator<Item = &'a [u8]> {
        self.events
            .iter()
            .filter(move |event| event.pcr == pcr && event.kind == kind)
            .filter_map(Event::proven_data)
    }
}

fn at(event: usize) -> impl Fn(FormatError) -> EventLogError {
    move |source| EventLogError::Format { event, source }
}

/// The first event has the old form; its data is the `TCG_EfiSpecIDEvent`.
fn spec_id(r: &mut Reader<'_>) -> Result<Vec<(u16, u16)>, EventLogError> {
    let at = at(0);
    let pcr = r.u32_le("pcrIndex").map_err(&at)?;
    let kind = r.u32_le("eventType").map_err(&at)?;
    r.take("digest", HashAlg::Sha1.size()).map_err(&at)?;
    let size = size_of(r, "eventSize").map_err(&at)?;
    let data = r.take("event", size).map_err(&at)?;
    if pcr != 0 || kind != EV_NO_ACTION || !data.starts_with(SPEC_ID_SIGNATURE) {
        return Err(EventLogError::NotCryptoAgile);
    }
    algorithms(data)
}

fn algorithms(data: &[u8]) -> Result<Vec<(u16, u16)>, EventLogError> {
    let at = at(0);
    let mut r = Reader::new("Spec ID event", data, SPEC_ID_BYTES_MAX).map_err(&at)?;
    // Signature, platform class, versions and uintn size: 16 + 4 + 3 + 1 bytes.
    r.take("header", 24).map_err(&at)?;
    let count = size_of(&mut r, "numberOfAlgorithms").map_err(&at)?;
    r.cap("numberOfAlgorithms", count, ALGORITHMS_MAX)
        .map_err(&at)?;
    let mut list = Vec::new();
    for _ in 0..count {
        let id = r.u16_le("algorithmId").map_err(&at)?;
        let size = r.u16_le("digestSize").map_err(&at)?;
        list.push((id, size));
    }
    let vendor = usize::from(r.u8("vendorInfoSize").map_err(&at)?);
    r.take("vendorInfo", vendor).map_err(&at)?;
    r.finish().map_err(&at)?;
    check_algorithms(&list)?;
    Ok(list)
}

fn check_algorithms(list: &[(u16, u16)]) -> Result<(), EventLogError> {
    if list.is_empty() {
        return Err(EventLogError::Algorithms(
            "expected at least one algorithm, got 0".into(),
        ));
    }
    for (index, (id, size)) in list.iter().enumerate() {
        let size = usize::from(*size);
        let fits = match HashAlg::from_id(*id) {
            Some(alg) => size == alg.size(),
            None => (1..=DIGEST_BYTES_MAX).contains(&size),
        };
        if !fits {
            let problem = format!("digest size {size} does not fit algorithm {id:#06x}");
            return Err(EventLogError::Algorithms(problem));
        }
        if list.iter().take(index).any(|(other, _)| other == id) {
            return Err(EventLogError::Algorithms(format!(
                "algorithm {id:#06x} declared twice"
            )));
        }
    }
    Ok(())
}

fn event<'a>(
    r: &mut Reader<'a>,
    index: usize,
    algorithms: &[(u16, u16)],
) -> Result<Event<'a>, EventLogError> {
    let at = at(index);
    let pcr = r.u32_le("pcrIndex").map_err(&at)?;
    let kind = r.u32_le("eventType").map_err(&at)?;
    if pcr > PCR_LAST && !(pcr == PCR_NONE && kind == EV_NO_ACTION) {
        return Err(EventLogError::PcrIndex {
            event: index,
            actual: pcr,
        });
    }
    let digests = digests(r, index, algorithms)?;
    let size = size_of(r, "eventSize").map_err(&at)?;
    let data = r.take("event", size).map_err(&at)?;
    Ok(Event {
        pcr,
        kind,
        digests,
        data,
    })
}

/// Some firmware declares a bank and then omits its digests: absence is an error only when that
/// bank is replayed.
fn digests<'a>(
    r: &mut Reader<'a>,
    index: usize,
    algorithms: &[(u16, u16)],
) -> Result<Vec<(u16, &'a [u8])>, EventLogError> {
    let refuse = |problem| EventLogError::Digests {
        event: index,
        problem,
    };
    let at = at(index);
    let count = size_of(r, "digest count").map_err(&at)?;
    r.cap("digest count", count, algorithms.len())
        .map_err(&at)?;
    if count == 0 {
        return Err(refuse("expected at least one digest, got 0".into()));
    }
    let mut digests: Vec<(u16, &[u8])> = Vec::new();
    for _ in 0..count {
        let id = r.u16_le("digest algorithm").map_err(&at)?;
        let (_, size) = algorithms
            .iter()
            .find(|(declared, _)| *declared == id)
            .ok_or_else(|| refuse(format!("algorithm {id:#06x} is not declared")))?;
        if digests.iter().any(|(other, _)| *other == id) {
            return Err(refuse(format!("two digests of algorithm {id:#06x}")));
        }
        digests.push((id, r.take("digest", usize::from(*size)).map_err(&at)?));
    }
    Ok(digests)
}

/// At most one StartupLocality event, before PCR 0 is extended (section 10.4.5.3).
fn startup_locality(events: &[Event<'_>]) -> Result<u8, EventLogError> {
    let mut found = None;
    let mut extended = false;
    for (index, event) in events.iter().enumerate() {
        extended |= event.extends() && event.pcr == 0;
        let Some(locality) = event
            .data
            .strip_prefix(STARTUP_LOCALITY)
            .filter(|_| !event.extends() && event.pcr == 0)
        else {
            continue;
        };
        let refuse = |problem: &str| EventLogError::StartupLocality {
            event: index.saturating_add(1),
            problem: problem.into(),
        };
        if extended || found.is_some() {
            return Err(refuse("expected once and before PCR 0 is extended"));
        }
        found = match locality {
            [value @ (0 | 3 | 4)] => Some(*value),
            _ => return Err(refuse("expected locality 0, 3 or 4")),
        };
    }
    Ok(found.unwrap_or_else(|| implied_locality(events)))
}

/// A hardware root of measurement that came first implies locality 4.
fn implied_locality(events: &[Event<'_>]) -> u8 {
    let first = events
        .iter()
        .find(|event| event.extends() && event.pcr == 0);
    if first.is_some_and(|event| event.kind == EV_EFI_HCRTM_EVENT) {
        4
    } else {
        0
    }
}

fn size_of(r: &mut Reader<'_>, field: &'static str) -> Result<usize, FormatError> {
    r.u32_le(field)
        .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
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
        assert!(
            refused(LogBuilder::new().event(24, 8, b"x").0).contains("expected 0 to 23, got 24")
        );
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
}
