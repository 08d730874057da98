//! Bytes to events: every size against what is left, every count against its cap, one pass, no copy of a digest.

use super::{
    Digests, EV_EFI_HCRTM_EVENT, EV_NO_ACTION, EVENTS_MAX, Event, EventLog, EventLogError, Form,
    PCR_LAST, slot,
};
use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::{FormatError, Reader};
use assay_protocol::limits::EVENT_LOG_BYTES_MAX;

pub(super) const SPEC_ID_SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
pub(super) const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";
const SPEC_ID_ANY: &[u8] = b"Spec ID Event";
const SPEC_ID_LEGACY: [&[u8]; 2] = [b"Spec ID Event00\0", b"Spec ID Event02\0"];
const SPEC_ID_BYTES_MAX: usize = 512;
const ALGORITHMS_MAX: usize = 16;
const DIGEST_BYTES_MAX: usize = 64;
/// Registers of a confidential guest (UEFI 2.10, section 38.4.1): one of its own, four for run time.
const REGISTER_LAST: u32 = 4;
/// Room made before events are read: so many, if the log is long enough for them.
const EVENTS_USUAL: usize = 128;
const EVENT_BYTES_USUAL: usize = 96;
/// Windows marks its trust points with this index; such events extend nothing.
pub(super) const PCR_NONE: u32 = 0xffff_ffff;

/// Parses a crypto-agile log; refuses other forms by name, and trailing bytes.
pub fn parse(bytes: &[u8]) -> Result<EventLog<'_>, EventLogError> {
    let mut r = reader(bytes)?;
    match header(&mut r)? {
        Header::CryptoAgile(algorithms) => crypto_agile(r, algorithms),
        Header::Legacy => Err(EventLogError::NotCryptoAgile),
    }
}

/// Parses a crypto-agile log, or a legacy one whose only digests are SHA-1 ([`EventLog::form`] says which);
/// refuses the logs of confidential guests by name, and trailing bytes.
///
/// A legacy log proves no more than SHA-1 does: policy that pays refuses it by its form.
pub fn parse_any(bytes: &[u8]) -> Result<EventLog<'_>, EventLogError> {
    let mut r = reader(bytes)?;
    if bytes.is_empty() {
        return Err(EventLogError::Empty);
    }
    match header(&mut r)? {
        Header::CryptoAgile(algorithms) => crypto_agile(r, algorithms),
        Header::Legacy => legacy(reader(bytes)?),
    }
}

fn reader(bytes: &[u8]) -> Result<Reader<'_>, EventLogError> {
    Reader::new("TCG event log", bytes, EVENT_LOG_BYTES_MAX).map_err(at(0))
}

fn at(event: usize) -> impl Fn(FormatError) -> EventLogError {
    move |source| EventLogError::Format { event, source }
}

fn size_of(r: &mut Reader<'_>, field: &'static str) -> Result<usize, FormatError> {
    r.u32_le(field)
        .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
}

enum Header {
    CryptoAgile(Vec<(u16, u16)>),
    Legacy,
}

/// The first event has the old form in every log; in a crypto-agile one its data is `TCG_EfiSpecIDEvent`.
fn header(r: &mut Reader<'_>) -> Result<Header, EventLogError> {
    let first = legacy_event(r, 0)?;
    let spec_id = first.kind == EV_NO_ACTION && first.data.starts_with(SPEC_ID_ANY);
    if !spec_id || SPEC_ID_LEGACY.iter().any(|s| first.data.starts_with(s)) {
        return Ok(Header::Legacy);
    }
    if !first.data.starts_with(SPEC_ID_SIGNATURE) {
        return Err(EventLogError::SpecIdVersion);
    }
    match first.pcr {
        0 => algorithms(first.data).map(Header::CryptoAgile),
        register @ 1..=REGISTER_LAST => Err(EventLogError::ConfidentialComputing { register }),
        actual => Err(EventLogError::PcrIndex { event: 0, actual }),
    }
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

fn crypto_agile(
    mut r: Reader<'_>,
    algorithms: Vec<(u16, u16)>,
) -> Result<EventLog<'_>, EventLogError> {
    let room = r.rest().len() / EVENT_BYTES_USUAL;
    let mut events = Vec::with_capacity(room.min(EVENTS_USUAL));
    while !r.rest().is_empty() {
        let index = events.len().saturating_add(1);
        r.cap("event count", index, EVENTS_MAX).map_err(at(index))?;
        events.push(event(&mut r, index, &algorithms)?);
    }
    finish(Form::CryptoAgile, algorithms, events)
}

fn legacy(mut r: Reader<'_>) -> Result<EventLog<'_>, EventLogError> {
    let mut events = Vec::new();
    while !r.rest().is_empty() {
        let index = events.len();
        r.cap("event count", index.saturating_add(1), EVENTS_MAX)
            .map_err(at(index))?;
        let event = legacy_event(&mut r, index)?;
        check_pcr(index, event.pcr, event.kind)?;
        events.push(event);
    }
    let sha1 = (HashAlg::Sha1.id(), 20);
    finish(Form::LegacySha1, vec![sha1], events)
}

fn finish(
    form: Form,
    algorithms: Vec<(u16, u16)>,
    events: Vec<Event<'_>>,
) -> Result<EventLog<'_>, EventLogError> {
    let mut log = EventLog {
        form,
        algorithms,
        startup_locality: 0,
        events,
    };
    log.startup_locality = startup_locality(&log)?;
    Ok(log)
}

/// `TCG_PCR_EVENT`: index, type, one SHA-1 digest, data.
fn legacy_event<'a>(r: &mut Reader<'a>, index: usize) -> Result<Event<'a>, EventLogError> {
    let at = at(index);
    let pcr = r.u32_le("pcrIndex").map_err(&at)?;
    let kind = r.u32_le("eventType").map_err(&at)?;
    let digest = r.take("digest", HashAlg::Sha1.size()).map_err(&at)?;
    let size = size_of(r, "eventSize").map_err(&at)?;
    let data = r.take("event", size).map_err(&at)?;
    let digests = Digests {
        raw: digest,
        known: [Some(digest), None, None, None],
        others: 0,
    };
    Ok(Event {
        pcr,
        kind,
        digests,
        data,
    })
}

fn check_pcr(event: usize, pcr: u32, kind: u32) -> Result<(), EventLogError> {
    if pcr <= PCR_LAST || (pcr == PCR_NONE && kind == EV_NO_ACTION) {
        return Ok(());
    }
    Err(EventLogError::PcrIndex { event, actual: pcr })
}

/// `TCG_PCR_EVENT2`.
fn event<'a>(
    r: &mut Reader<'a>,
    index: usize,
    algorithms: &[(u16, u16)],
) -> Result<Event<'a>, EventLogError> {
    let at = at(index);
    let pcr = r.u32_le("pcrIndex").map_err(&at)?;
    let kind = r.u32_le("eventType").map_err(&at)?;
    check_pcr(index, pcr, kind)?;
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
) -> Result<Digests<'a>, EventLogError> {
    let at = at(index);
    let count = size_of(r, "digest count").map_err(&at)?;
    r.cap("digest count", count, algorithms.len())
        .map_err(&at)?;
    if count == 0 {
        return Err(EventLogError::Digests {
            event: index,
            problem: "expected at least one digest, got 0".into(),
        });
    }
    let list = r.rest();
    let mut digests = Digests {
        raw: &[],
        known: [None; 4],
        others: 0,
    };
    for _ in 0..count {
        digest(r, index, algorithms, &mut digests)?;
    }
    let size = list.len().saturating_sub(r.rest().len());
    digests.raw = list.get(..size).unwrap_or_default();
    Ok(digests)
}

fn digest<'a>(
    r: &mut Reader<'a>,
    index: usize,
    algorithms: &[(u16, u16)],
    digests: &mut Digests<'a>,
) -> Result<(), EventLogError> {
    let at = at(index);
    let refuse = |problem| EventLogError::Digests {
        event: index,
        problem,
    };
    let id = r.u16_le("digest algorithm").map_err(&at)?;
    let (position, (_, size)) = algorithms
        .iter()
        .enumerate()
        .find(|(_, (declared, _))| *declared == id)
        .ok_or_else(|| refuse(format!("algorithm {id:#06x} is not declared")))?;
    let value = r.take("digest", usize::from(*size)).map_err(&at)?;
    let twice = match HashAlg::from_id(id) {
        Some(bank) => digests
            .known
            .get_mut(slot(bank))
            .is_none_or(|kept| kept.replace(value).is_some()),
        None => {
            let twice = digests.has_other(position);
            digests.others |= bit(position);
            twice
        }
    };
    if twice {
        return Err(refuse(format!("two digests of algorithm {id:#06x}")));
    }
    Ok(())
}

/// The declared list has at most sixteen entries.
fn bit(position: usize) -> u16 {
    u32::try_from(position)
        .ok()
        .and_then(|position| 1u16.checked_shl(position))
        .unwrap_or(0)
}

/// At most one StartupLocality event, before PCR 0 is extended (section 10.4.5.3).
fn startup_locality(log: &EventLog<'_>) -> Result<u8, EventLogError> {
    let mut found = None;
    let mut extended = false;
    for (position, event) in log.events.iter().enumerate() {
        extended |= event.extends() && event.pcr == 0;
        let Some(locality) = event
            .data
            .strip_prefix(STARTUP_LOCALITY)
            .filter(|_| !event.extends() && event.pcr == 0)
        else {
            continue;
        };
        let refuse = |problem: &str| EventLogError::StartupLocality {
            event: log.number(position),
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
    Ok(found.unwrap_or_else(|| implied_locality(&log.events)))
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
