//! A firmware's event log (TCG_PCR_EVENT2 after the Spec ID event) taken apart, and put together otherwise.

use anyhow::{Context as _, Result, ensure};
use assay_appraisal::eventlog::{self, EV_IPL};
use assay_appraisal::tpm::algorithm::HashAlg;

/// Where an event's type lies in it, after its PCR.
const KIND_AT: std::ops::Range<usize> = 4..8;
/// EV_COMPACT_HASH: a type that this boot does not use.
const ANOTHER_KIND: u32 = 0x0000_000c;

/// The log, event by event.
#[derive(Debug, Clone)]
pub struct Pieces {
    header: Vec<u8>,
    events: Vec<Piece>,
}

/// One event.
#[derive(Debug, Clone)]
struct Piece {
    pcr: u32,
    kind: u32,
    /// Of the SHA-256 bank; absent where nothing was extended.
    digest: Option<Vec<u8>>,
    data: Vec<u8>,
    bytes: Vec<u8>,
}

impl Pieces {
    /// Takes a log apart.
    pub fn of(log: &[u8]) -> Result<Self> {
        let parsed = eventlog::parse(log)?;
        let mut events = Vec::new();
        let mut end = log.len();
        // From the end, since the header is as long as what is left.
        for event in parsed.events.iter().rev() {
            let digests = parsed
                .algorithms
                .iter()
                .map(|(_, size)| usize::from(*size) + 2);
            let length = 4 + 4 + 4 + digests.sum::<usize>() + 4 + event.data.len();
            let start = end.checked_sub(length).context("an event is too long")?;
            let bytes = log[start..end].to_vec();
            ensure!(
                bytes[..4] == event.pcr.to_le_bytes(),
                "an event is elsewhere"
            );
            end = start;
            let digest = event.digest(HashAlg::Sha256).filter(|_| event.extends());
            events.push(Piece {
                pcr: event.pcr,
                kind: event.kind,
                digest: digest.map(<[u8]>::to_vec),
                data: event.data.to_vec(),
                bytes,
            });
        }
        events.reverse();
        let header = log[..end].to_vec();
        Ok(Self { header, events })
    }

    /// Puts it together again.
    pub fn log(&self) -> Vec<u8> {
        let events = self.events.iter().map(|event| &event.bytes[..]);
        let parts: Vec<&[u8]> = std::iter::once(&self.header[..]).chain(events).collect();
        parts.concat()
    }

    /// PCR and SHA-256 digest of everything that was extended, in order.
    pub fn extended(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let extended = |event: &'_ Piece| event.digest.is_some();
        let events = self.events.iter().filter(move |event| extended(event));
        events.map(|event| (event.pcr, event.digest.as_deref().unwrap_or_default()))
    }

    /// Without its last event.
    pub fn truncated(mut self) -> Self {
        self.events.pop();
        self
    }

    /// Two neighbours in one register exchanged; returns which register.
    pub fn reordered(mut self) -> Result<(Self, u32)> {
        for second in 1..self.events.len() {
            let pcr = self.events[second].pcr;
            let first = (0..second).rfind(|&at| self.events[at].pcr == pcr);
            let differs = |at: &usize| self.events[*at].digest != self.events[second].digest;
            if let Some(first) = first.filter(differs) {
                self.events.swap(first, second);
                return Ok((self, pcr));
            }
        }
        anyhow::bail!("no register with two different events")
    }

    /// The configuration under another type, with everything that is authenticated as it was.
    pub fn relabelled(mut self) -> Result<Self> {
        let event = self.configuration()?;
        event.bytes[KIND_AT].copy_from_slice(&ANOTHER_KIND.to_le_bytes());
        Ok(self)
    }

    /// Other data of the same length under the configuration's digest.
    pub fn with_data(mut self, change: impl FnOnce(&mut [u8])) -> Result<Self> {
        let event = self.configuration()?;
        let start = event.bytes.len() - event.data.len();
        change(&mut event.bytes[start..]);
        Ok(self)
    }

    /// One event more: the last one's register, type and banks, with the digest and data of another configuration.
    pub fn with_second_configuration(mut self, digest: &[u8], data: &[u8]) -> Result<Self> {
        let mut event = self.configuration()?.clone();
        let known = event
            .digest
            .take()
            .context("a configuration without a digest")?;
        let at = event
            .bytes
            .windows(known.len())
            .position(|part| part == known);
        let at = at.context("no digest in the event")?;
        ensure!(event.bytes[8..12] == [1, 0, 0, 0], "more than one bank");
        event.bytes.truncate(at);
        event.bytes.extend(digest);
        event.bytes.extend(u32::try_from(data.len())?.to_le_bytes());
        event.bytes.extend(data);
        self.events.push(event);
        Ok(self)
    }

    fn configuration(&mut self) -> Result<&mut Piece> {
        let last = self.events.last_mut().context("an empty log")?;
        ensure!(
            (last.pcr, last.kind) == (12, EV_IPL),
            "the last event is not the configuration: PCR {}, type {:#x}",
            last.pcr,
            last.kind
        );
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_testbed::{Banks, MeasuredBoot, Variant};

    fn log() -> Vec<u8> {
        MeasuredBoot::new(Variant::Good, b"provider").log(Banks::Sha256)
    }

    #[test]
    fn a_log_taken_apart_and_put_together_is_the_same() {
        for banks in [Banks::Sha256, Banks::Sha1AndSha256] {
            let log = MeasuredBoot::new(Variant::Good, b"provider").log(banks);
            assert_eq!(Pieces::of(&log).unwrap().log(), log);
        }
        let extended = Pieces::of(&log()).unwrap();
        let boot = MeasuredBoot::new(Variant::Good, b"provider");
        assert_eq!(extended.extended().count(), boot.events().len());
    }

    #[test]
    fn each_edit_changes_what_it_names() {
        let (whole, pieces) = (log(), Pieces::of(&log()).unwrap());
        let types = |log: &[u8]| -> Vec<(u32, u32)> {
            let parsed = eventlog::parse(log).unwrap();
            parsed
                .events
                .iter()
                .map(|event| (event.pcr, event.kind))
                .collect()
        };
        let cut = pieces.clone().truncated().log();
        assert!(whole.starts_with(&cut) && cut.len() < whole.len());
        let (swapped, _) = pieces.clone().reordered().unwrap();
        let swapped = swapped.log();
        assert!(swapped != whole && swapped.len() == whole.len());
        let relabelled = types(&pieces.clone().relabelled().unwrap().log());
        assert_eq!(relabelled.last(), Some(&(12, ANOTHER_KIND)));
        assert_eq!(
            relabelled[1..relabelled.len() - 1],
            types(&whole)[1..relabelled.len() - 1]
        );
        let other = pieces.clone().with_data(|data| data[0] ^= 1).unwrap().log();
        assert!(other.ends_with(b"qrovider") && types(&other) == types(&whole));
        let two = pieces
            .with_second_configuration(&[7; 32], b"another")
            .unwrap();
        let two = two.log();
        assert_eq!(types(&two).len(), types(&whole).len() + 1);
        assert_eq!(
            eventlog::parse(&two).unwrap().events.last().unwrap().data,
            b"another"
        );
    }
}
