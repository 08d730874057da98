//! `TPMS_ATTEST` of type QUOTE (TPM 2.0 part 2, section 10.12.12).

use super::algorithm::HashAlg;
use super::reader::{FormatError, Reader};

/// Largest `TPMS_ATTEST` accepted, bytes.
pub const ATTEST_BYTES_MAX: usize = 1024;
/// `TPM_GENERATED_VALUE`: a restricted key signs nothing with this prefix that the TPM did not make.
pub const TPM_GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_QUOTE`.
pub const ATTEST_QUOTE: u16 = 0x8018;

const NAME_BYTES_MAX: usize = 66;
const EXTRA_DATA_BYTES_MAX: usize = 64;
const BANKS_MAX: usize = 16;
const SELECT_BYTES_MAX: usize = 4;
const DIGEST_BYTES_MAX: usize = 64;

/// The TPM's clock and boot counters (`TPMS_CLOCK_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClockInfo {
    /// Milliseconds the TPM has been powered, over its whole life.
    pub clock_ms: u64,
    /// TPM resets (power cycles) since the last clear.
    pub reset_count: u32,
    /// Resumes since the last reset.
    pub restart_count: u32,
    /// False when `clock_ms` may repeat values from before an unorderly shutdown.
    pub safe: bool,
}

/// The PCRs selected in one bank (`TPMS_PCR_SELECTION`, part 2, section 10.6.2).
///
/// An entry may select nothing: a TPM clears the bits of a bank it does not have and keeps the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcrSelection {
    /// The bank.
    pub bank: HashAlg,
    /// Bit i stands for PCR i.
    pub mask: u32,
}

impl PcrSelection {
    /// The selected PCR indices, ascending.
    pub fn indices(self) -> impl Iterator<Item = u32> {
        (0..32).filter(move |index| self.selects(*index))
    }

    /// Whether a PCR is selected.
    pub fn selects(self, index: u32) -> bool {
        let bits = self.mask.checked_shr(index);
        bits.is_some_and(|bits| bits & 1 == 1)
    }
}

/// A quote as parsed: **not authenticated**; see [`crate::quote`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// Qualified name of the signing key.
    pub qualified_signer: Vec<u8>,
    /// The qualifying data given by whoever asked for the quote.
    pub extra_data: Vec<u8>,
    /// Clock and counters.
    pub clock: ClockInfo,
    /// Vendor-specific firmware version.
    pub firmware_version: u64,
    /// What was quoted.
    pub selections: Vec<PcrSelection>,
    /// Digest over the selected PCR values.
    pub pcr_digest: Vec<u8>,
}

/// Parses a `TPMS_ATTEST` that must be a quote; refuses trailing bytes.
pub fn parse(bytes: &[u8]) -> Result<Attest, FormatError> {
    let mut r = Reader::new("TPMS_ATTEST", bytes, ATTEST_BYTES_MAX)?;
    let magic = r.u32("magic")?;
    if magic != TPM_GENERATED {
        return Err(r.unexpected("magic", "TPM_GENERATED 0xff544347", magic));
    }
    let kind = r.u16("type")?;
    if kind != ATTEST_QUOTE {
        return Err(r.unexpected("type", "QUOTE 0x8018", kind));
    }
    let attest = Attest {
        qualified_signer: r.sized("qualifiedSigner", NAME_BYTES_MAX)?.to_vec(),
        extra_data: r.sized("extraData", EXTRA_DATA_BYTES_MAX)?.to_vec(),
        clock: clock_info(&mut r)?,
        firmware_version: r.u64("firmwareVersion")?,
        selections: selections(&mut r)?,
        pcr_digest: r.sized("pcrDigest", DIGEST_BYTES_MAX)?.to_vec(),
    };
    r.finish()?;
    Ok(attest)
}

fn clock_info(r: &mut Reader<'_>) -> Result<ClockInfo, FormatError> {
    Ok(ClockInfo {
        clock_ms: r.u64("clock")?,
        reset_count: r.u32("resetCount")?,
        restart_count: r.u32("restartCount")?,
        safe: match r.u8("safe")? {
            0 => false,
            1 => true,
            other => return Err(r.unexpected("safe", "0 or 1", other)),
        },
    })
}

fn selections(r: &mut Reader<'_>) -> Result<Vec<PcrSelection>, FormatError> {
    let count = usize::try_from(r.u32("selection count")?).unwrap_or(usize::MAX);
    r.cap("selection count", count, BANKS_MAX)?;
    (0..count).map(|_| selection(r)).collect()
}

fn selection(r: &mut Reader<'_>) -> Result<PcrSelection, FormatError> {
    let bank = HashAlg::read(r, "bank")?;
    let size = usize::from(r.u8("sizeofSelect")?);
    r.cap("sizeofSelect", size, SELECT_BYTES_MAX)?;
    // PCR_SELECT_MIN is 3 on a PC and never 0: an entry without bits is a forger's, not a TPM's.
    if size == 0 {
        return Err(r.unexpected("sizeofSelect", "1 to 4", 0u8));
    }
    let mut mask = [0u8; SELECT_BYTES_MAX];
    for (to, from) in mask.iter_mut().zip(r.take("pcrSelect", size)?) {
        *to = *from;
    }
    Ok(PcrSelection {
        bank,
        mask: u32::from_le_bytes(mask),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Encodes a quote as a TPM would.
    pub(crate) fn encode(attest: &Attest) -> Vec<u8> {
        let mut out = TPM_GENERATED.to_be_bytes().to_vec();
        out.extend(ATTEST_QUOTE.to_be_bytes());
        let sized = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.extend((bytes.len() as u16).to_be_bytes());
            out.extend(bytes);
        };
        sized(&mut out, &attest.qualified_signer);
        sized(&mut out, &attest.extra_data);
        out.extend(attest.clock.clock_ms.to_be_bytes());
        out.extend(attest.clock.reset_count.to_be_bytes());
        out.extend(attest.clock.restart_count.to_be_bytes());
        out.push(u8::from(attest.clock.safe));
        out.extend(attest.firmware_version.to_be_bytes());
        out.extend((attest.selections.len() as u32).to_be_bytes());
        for selection in &attest.selections {
            out.extend(selection.bank.id().to_be_bytes());
            out.push(3);
            out.extend(&selection.mask.to_le_bytes()[..3]);
        }
        sized(&mut out, &attest.pcr_digest);
        out
    }

    pub(crate) fn sample() -> Attest {
        Attest {
            qualified_signer: vec![0, 11, 1],
            extra_data: vec![7; 32],
            clock: ClockInfo {
                clock_ms: 5,
                reset_count: 2,
                restart_count: 1,
                safe: true,
            },
            firmware_version: 99,
            selections: vec![PcrSelection {
                bank: HashAlg::Sha256,
                mask: 0x7fff,
            }],
            pcr_digest: vec![9; 32],
        }
    }

    #[test]
    fn a_quote_parses_field_for_field() {
        assert_eq!(parse(&encode(&sample())), Ok(sample()));
        let indices: Vec<u32> = sample().selections[0].indices().collect();
        assert_eq!(indices, (0..15).collect::<Vec<u32>>());
    }

    #[test]
    fn magic_type_counts_and_sizes_are_refused_by_name() {
        let good = encode(&sample());
        let changed = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            parse(&bytes).unwrap_err().to_string()
        };
        assert!(changed(0, 0).contains("magic"));
        assert!(changed(5, 0x17).contains("type: expected QUOTE 0x8018, got 0x8017"));
        assert!(changed(6, 0xff).contains("qualifiedSigner may be 66"));
        assert!(changed(11, 0xff).contains("extraData may be 64"));
        let safe = 6 + 5 + 34 + 16;
        assert!(changed(safe, 2).contains("safe"));
        assert!(changed(safe + 9, 0xff).contains("selection count may be 16"));
        assert!(changed(safe + 14, 0x12).contains("bank"));
        assert!(changed(safe + 15, 5).contains("sizeofSelect may be 4"));
        assert!(changed(safe + 15, 0).contains("sizeofSelect: expected 1 to 4"));
    }

    #[test]
    fn selections_of_one_to_four_bytes_are_read() {
        let good = encode(&sample());
        let at = 6 + 5 + 34 + 16 + 1 + 8 + 4 + 2;
        assert_eq!(good[at], 3);
        for size in 1..=4u8 {
            let mut bytes = good.clone();
            let bits = vec![0x81; usize::from(size)];
            bytes.splice(at..at + 4, [&[size][..], &bits].concat());
            let mask = u32::from_str_radix(&"81".repeat(usize::from(size)), 16).unwrap();
            assert_eq!(parse(&bytes).unwrap().selections[0].mask, mask);
        }
        let last = PcrSelection {
            bank: HashAlg::Sha1,
            mask: 1 << 31 | 1,
        };
        assert_eq!(last.indices().collect::<Vec<u32>>(), [0, 31]);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&sample());
        bytes.push(0);
        let error = parse(&bytes).unwrap_err().to_string();
        assert!(error.contains("no trailing bytes, got 1"), "{error}");
        assert!(parse(&[0; ATTEST_BYTES_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_byte_is_ignored(at in 0usize..110, flip in 1u8..=255) {
            let good = encode(&sample());
            let mut bytes = good.clone();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert_ne!(parse(&bytes), Ok(sample()));
            prop_assert!(parse(&good[..at]).is_err());
        }
    }
}
