//! Authenticates a quote: every step its own check, and a type that only they can make.

use crate::checks::{Checks, Mode, Stopped};
use crate::crypto::key::PublicKey;
use crate::tpm::algorithm::HashAlg;
use crate::tpm::attest::{self, Attest, ClockInfo, PcrSelection};
use crate::tpm::signature::{self, Signature};
use std::collections::BTreeMap;
use std::fmt;

/// PCR values by bank and index.
pub type PcrValues = BTreeMap<(HashAlg, u32), Vec<u8>>;

/// The PCRs an agent must quote: SHA-256 bank, 0 to 14.
pub const SELECTION: [PcrSelection; 1] = [PcrSelection {
    bank: HashAlg::Sha256,
    mask: 0x0000_7fff,
}];

/// The bytes as received.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// `TPMS_ATTEST`.
    pub attest: &'a [u8],
    /// `TPMT_SIGNATURE`.
    pub signature: &'a [u8],
    /// The PCR values said to be quoted.
    pub pcrs: &'a PcrValues,
}

/// What the quote must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The enrolled attestation key.
    pub key: &'a PublicKey,
    /// The qualifying data asked for.
    pub qualifying_data: &'a [u8],
    /// The PCRs asked for, in this order.
    pub selection: &'a [PcrSelection],
}

/// A quote that its key signed over exactly the data and PCR values expected.
///
/// It proves the PCR values of the TPM that holds the key at the time of the quote, nothing about
/// who asked that TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticQuote {
    attest: Attest,
    pcrs: PcrValues,
}

impl AuthenticQuote {
    /// Clock and boot counters.
    pub fn clock(&self) -> &ClockInfo {
        &self.attest.clock
    }

    /// Vendor-specific firmware version.
    pub fn firmware_version(&self) -> u64 {
        self.attest.firmware_version
    }

    /// The value of a quoted PCR; nothing for a PCR that was not quoted.
    pub fn pcr(&self, bank: HashAlg, index: u32) -> Option<&[u8]> {
        self.pcrs.get(&(bank, index)).map(Vec::as_slice)
    }
}

/// Authenticates a quote, stopping at the first check that fails.
pub fn verify(received: Received<'_>, expected: Expected<'_>) -> Result<AuthenticQuote, Stopped> {
    let mut checks = Checks::new(Mode::Verify);
    match authenticate(&mut checks, received, expected)? {
        Some(quote) => Ok(quote),
        None => Err(checks.stopped("quote")),
    }
}

/// Authenticates a quote, recording each step; yields it only when every step passed.
pub fn authenticate(
    checks: &mut Checks,
    received: Received<'_>,
    expected: Expected<'_>,
) -> Result<Option<AuthenticQuote>, Stopped> {
    let parsed = attest::parse(received.attest);
    let parsed = checks.value("quote-structure", "a TPMS_ATTEST of type QUOTE", parsed)?;
    let signature = signature::parse(received.signature);
    let signature = checks.value("quote-signature-structure", "a TPMT_SIGNATURE", signature)?;
    let (Some(attest), Some(signature)) = (parsed, signature) else {
        return Ok(None);
    };
    let verified = signature.verify(expected.key, received.attest);
    let signed = checks.value(
        "quote-signature",
        "a signature by the attestation key",
        verified,
    )?;
    let bound = qualifying_data(checks, &attest, expected.qualifying_data)?;
    let selected = selection(checks, &attest, expected.selection)?;
    let pcrs = pcr_digest(checks, &attest, &signature, received.pcrs)?;
    Ok(match (signed, bound, selected, pcrs) {
        (Some(()), true, true, Some(pcrs)) => Some(AuthenticQuote { attest, pcrs }),
        _ => None,
    })
}

fn qualifying_data(checks: &mut Checks, attest: &Attest, expected: &[u8]) -> Result<bool, Stopped> {
    let (expected, actual) = (hex::encode(expected), hex::encode(&attest.extra_data));
    let same = expected == actual;
    checks.equal("quote-qualifying-data", expected, actual)?;
    Ok(same)
}

/// Equal to what was asked for, order included; an empty expectation is no expectation.
fn selection(
    checks: &mut Checks,
    attest: &Attest,
    expected: &[PcrSelection],
) -> Result<bool, Stopped> {
    let result = if expected.is_empty() {
        Err("an empty list was asked for".to_owned())
    } else if attest.selections == expected {
        Ok(())
    } else {
        Err(Selection(&attest.selections).to_string())
    };
    Ok(checks
        .value("quote-pcr-selection", Selection(expected), result)?
        .is_some())
}

/// Digest over the values in the order of the selection, with the hash of the signature.
fn pcr_digest(
    checks: &mut Checks,
    attest: &Attest,
    signature: &Signature,
    values: &PcrValues,
) -> Result<Option<PcrValues>, Stopped> {
    let selected = selected_values(attest, values);
    let Some(selected) =
        checks.value("quote-pcr-values", "a value for every quoted PCR", selected)?
    else {
        return Ok(None);
    };
    let parts: Vec<&[u8]> = selected.iter().map(|(_, value)| *value).collect();
    let (expected, actual) = (
        hex::encode(&attest.pcr_digest),
        hex::encode(signature.hash.digest(&parts)),
    );
    let same = expected == actual;
    checks.equal("quote-pcr-digest", expected, actual)?;
    let pcrs = selected
        .into_iter()
        .map(|(key, value)| (key, value.to_vec()))
        .collect();
    Ok(same.then_some(pcrs))
}

type PcrValue<'a> = ((HashAlg, u32), &'a [u8]);

fn selected_values<'a>(
    attest: &Attest,
    values: &'a PcrValues,
) -> Result<Vec<PcrValue<'a>>, String> {
    let mut out = Vec::new();
    for selection in &attest.selections {
        for index in selection.indices() {
            let key = (selection.bank, index);
            let name = format!("{:?} PCR {index}", selection.bank);
            match values.get(&key) {
                None => return Err(format!("none for {name}")),
                Some(value) if value.len() != selection.bank.size() => {
                    return Err(format!("{} bytes for {name}", value.len()));
                }
                Some(value) => out.push((key, value.as_slice())),
            }
        }
    }
    Ok(out)
}

struct Selection<'a>(&'a [PcrSelection]);

impl fmt::Display for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (position, selection) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(
                f,
                "{comma}{:?} mask {:#08x}",
                selection.bank, selection.mask
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tpm::attest::tests::{encode, sample};
    use crate::tpm::signature::tests::SoftAk;

    pub(crate) fn values() -> PcrValues {
        (0..15)
            .map(|index| ((HashAlg::Sha256, index), vec![index as u8; 32]))
            .collect()
    }

    fn digest(values: &PcrValues) -> Vec<u8> {
        let parts: Vec<&[u8]> = values.values().map(Vec::as_slice).collect();
        HashAlg::Sha256.digest(&parts)
    }

    struct Case {
        ak: SoftAk,
        attest: Attest,
        pcrs: PcrValues,
        selection: Vec<PcrSelection>,
    }

    impl Case {
        fn new() -> Self {
            let attest = Attest {
                pcr_digest: digest(&values()),
                ..sample()
            };
            Self {
                ak: SoftAk::generate(),
                attest,
                pcrs: values(),
                selection: SELECTION.to_vec(),
            }
        }

        /// The name of the check that stopped, or `ok`.
        fn outcome(&self) -> String {
            let attest = encode(&self.attest);
            self.outcome_of(&attest, &self.ak.sign(&attest))
        }

        fn outcome_of(&self, attest: &[u8], signature: &[u8]) -> String {
            let received = Received {
                attest,
                signature,
                pcrs: &self.pcrs,
            };
            let key = &self.ak.public();
            let expected = Expected {
                key,
                qualifying_data: &[7; 32],
                selection: &self.selection,
            };
            verify(received, expected).map_or_else(|e| e.0.name, |_| "ok".into())
        }
    }

    #[test]
    fn a_good_quote_is_authenticated() {
        assert_eq!(Case::new().outcome(), "ok");
    }

    #[test]
    fn each_wrong_part_is_refused_by_its_own_check() {
        let mut case = Case::new();
        case.attest.extra_data = vec![7; 31];
        assert_eq!(case.outcome(), "quote-qualifying-data");
        let mut case = Case::new();
        case.attest.selections[0].mask = 0x3fff;
        assert_eq!(case.outcome(), "quote-pcr-selection");
        let mut case = Case::new();
        case.attest.selections.push(case.attest.selections[0]);
        assert_eq!(case.outcome(), "quote-pcr-selection");
        let mut case = Case::new();
        case.attest.selections[0].bank = HashAlg::Sha384;
        assert_eq!(case.outcome(), "quote-pcr-selection");
        let mut case = Case::new();
        case.pcrs.insert((HashAlg::Sha256, 7), vec![0; 32]);
        assert_eq!(case.outcome(), "quote-pcr-digest");
        let mut case = Case::new();
        case.pcrs.remove(&(HashAlg::Sha256, 7));
        assert_eq!(case.outcome(), "quote-pcr-values");
        let mut case = Case::new();
        case.pcrs.insert((HashAlg::Sha256, 7), vec![7; 31]);
        assert_eq!(case.outcome(), "quote-pcr-values");
    }

    #[test]
    fn an_empty_selection_is_refused_even_when_asked_for() {
        let mut case = Case::new();
        case.selection = Vec::new();
        case.attest.selections = Vec::new();
        case.attest.pcr_digest = HashAlg::Sha256.digest(&[]);
        assert_eq!(case.outcome(), "quote-pcr-selection");
    }

    #[test]
    fn another_key_is_refused() {
        let case = Case::new();
        let attest = encode(&case.attest);
        let other = SoftAk::generate().sign(&attest);
        assert_eq!(case.outcome_of(&attest, &other), "quote-signature");
    }

    #[test]
    fn every_flip_and_truncation_of_quote_and_signature_is_refused() {
        let case = Case::new();
        let attest = encode(&case.attest);
        let signature = case.ak.sign(&attest);
        for at in 0..attest.len() {
            let mut bad = attest.clone();
            bad[at] ^= 1;
            assert_ne!(case.outcome_of(&bad, &signature), "ok", "flip {at}");
            assert_ne!(case.outcome_of(&attest[..at], &signature), "ok", "cut {at}");
        }
        for at in 0..signature.len() {
            let mut bad = signature.clone();
            bad[at] ^= 1;
            assert_ne!(case.outcome_of(&attest, &bad), "ok", "signature flip {at}");
        }
    }

    #[test]
    fn explain_runs_every_step_and_yields_nothing_when_one_fails() {
        let case = Case::new();
        let attest = encode(&case.attest);
        let signature = SoftAk::generate().sign(&attest);
        let mut checks = Checks::new(Mode::Explain);
        let key = case.ak.public();
        let received = Received {
            attest: &attest,
            signature: &signature,
            pcrs: &case.pcrs,
        };
        let expected = Expected {
            key: &key,
            qualifying_data: &[8; 32],
            selection: &SELECTION,
        };
        let quote = authenticate(&mut checks, received, expected).unwrap();
        assert!(quote.is_none() && !checks.passed());
        let failed: Vec<&str> = checks
            .list()
            .iter()
            .filter(|c| c.outcome == crate::checks::Outcome::Fail)
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(failed, ["quote-signature", "quote-qualifying-data"]);
    }
}
