//! As much of the firmware's log as is needed to go on from where it ends: its banks, and the value of one register.
//!
//! It is read by who measures, at boot, and by nobody who answers HyperNodes: those carry its bytes.

use super::MeasureError;
use assay_protocol::hash::sha256;

/// TCG_PCClientPCREvent up to its data: index, type, SHA-1 digest, size (TCG PC Client Platform Firmware Profile 1.05,
/// section 10.2.1).
const FIRST_EVENT_BYTES: usize = 32;
/// TCG_EfiSpecIdEvent up to the algorithms: signature, platform class, version, size of a UINTN (section 10.4.5.1).
const ALGORITHMS_AT: usize = 24;
const SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
/// Banks of one TPM.
const BANKS_MAX: usize = 16;
const ALG_SHA256: u16 = 0x000b;
/// Events of this type are not measured.
const EV_NO_ACTION: u32 = 0x0000_0003;

/// A log whose header was understood.
#[derive(Debug)]
pub struct Log<'a> {
    /// TCG algorithm identifier and length of a digest.
    pub banks: Vec<(u16, usize)>,
    events: &'a [u8],
}

impl<'a> Log<'a> {
    /// Reads the header of a log in the crypto-agile format.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MeasureError> {
        let malformed =
            || MeasureError::Log("expected the crypto-agile format, got another".into());
        let size_at = FIRST_EVENT_BYTES - 4;
        let mut rest = bytes.get(size_at..).ok_or_else(malformed)?;
        let size = number(&mut rest).ok_or_else(malformed)?;
        let (header, events) = rest.split_at_checked(size).ok_or_else(malformed)?;
        let mut counted = header
            .strip_prefix(SIGNATURE)
            .and_then(|body| body.get(ALGORITHMS_AT - SIGNATURE.len()..))
            .ok_or_else(malformed)?;
        let count = number(&mut counted).ok_or_else(malformed)?;
        let (entries, _) = counted.as_chunks::<4>();
        if count == 0 || count > BANKS_MAX || count > entries.len() {
            return Err(malformed());
        }
        let bank = |entry: &[u8; 4]| {
            let size = u16::from_le_bytes([entry[2], entry[3]]);
            (u16::from_le_bytes([entry[0], entry[1]]), usize::from(size))
        };
        let banks = entries.iter().take(count).map(bank).collect();
        Ok(Self { banks, events })
    }

    /// The value of a register in the SHA-256 bank after all events.
    pub fn replay(&self, pcr: u8) -> Result<[u8; 32], MeasureError> {
        let (mut value, mut rest, mut event) = ([0; 32], self.events, 0);
        while !rest.is_empty() {
            event += 1;
            let (index, digest) = self.event(&mut rest).ok_or_else(|| {
                MeasureError::Log(format!("event {event} is cut short or foreign"))
            })?;
            if index == u32::from(pcr)
                && let Some(digest) = digest
            {
                value = sha256(&[&value, digest]);
            }
        }
        Ok(value)
    }

    /// Register and SHA-256 digest of the next TCG_PCR_EVENT2 (section 10.2.2), unless it was not measured.
    fn event(&self, rest: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
        let index = u32::try_from(number(rest)?).ok()?;
        let measured = number(rest)? != usize::try_from(EV_NO_ACTION).ok()?;
        let count = number(rest)?;
        if count > self.banks.len() {
            return None;
        }
        let mut digest = None;
        for _ in 0..count {
            let bank = u16::from_le_bytes(taken(rest, 2)?.try_into().ok()?);
            let (_, length) = self.banks.iter().find(|(known, _)| *known == bank)?;
            let value = taken(rest, *length)?;
            digest = if bank == ALG_SHA256 {
                Some(value)
            } else {
                digest
            };
        }
        let size = number(rest)?;
        taken(rest, size)?;
        Some((index, digest.filter(|_| measured)))
    }
}

/// The next four bytes, little-endian.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let bytes = taken(rest, 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn taken<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_testbed::{Banks, MeasuredBoot, Variant};

    fn boot() -> MeasuredBoot {
        MeasuredBoot::with_command_line(Variant::Good, b"configuration", "quiet")
    }

    #[test]
    fn registers_are_those_of_the_boot_in_either_kind_of_log() {
        for banks in [Banks::Sha256, Banks::Sha1AndSha256] {
            let bytes = boot().log(banks);
            let log = Log::parse(&bytes).unwrap();
            for pcr in 0..15u8 {
                let expected = boot().pcrs()[usize::from(pcr)];
                assert_eq!(log.replay(pcr).unwrap(), expected, "{pcr}");
            }
        }
    }

    #[test]
    fn a_log_cut_anywhere_is_refused_or_ends_with_an_event() {
        let bytes = boot().log(Banks::Sha1AndSha256);
        let whole = Log::parse(&bytes).unwrap().replay(12).unwrap();
        let mut ends = 0;
        for length in 0..bytes.len() {
            let cut = Log::parse(&bytes[..length]).and_then(|log| log.replay(12));
            ends += usize::from(cut.is_ok());
            assert_ne!(cut.ok(), Some(whole), "{length}");
        }
        assert_eq!(ends, boot().events().len());
    }

    #[test]
    fn what_is_no_crypto_agile_log_is_refused() {
        let good = boot().log(Banks::Sha256);
        let count_at = FIRST_EVENT_BYTES + ALGORITHMS_AT;
        let with = |count: u8| {
            let mut bytes = good.clone();
            bytes[count_at] = count;
            bytes
        };
        let cut = good[..count_at].to_vec();
        for bytes in [with(0), with(17), with(9), cut, vec![0; 100], Vec::new()] {
            let said = Log::parse(&bytes).unwrap_err().to_string();
            let expected = "expected the crypto-agile format, got another";
            assert!(said.ends_with(expected), "{said}");
        }
    }
}
