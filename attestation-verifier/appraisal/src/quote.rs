//! Authenticates a quote: every step its own check, and a type that only they can make
//! (TPM 2.0 part 3, section 18.4, `TPM2_Quote`).

use crate::checks::{Checks, Hex, Stopped};
use crate::crypto::key::PublicKey;
use crate::crypto::signature::Scheme;
use crate::crypto::verifying_key::Verifier;
use crate::tpm::algorithm::HashAlg;
use crate::tpm::attest::{self, Attest, ClockInfo, PcrSelection};
use crate::tpm::signature::{self, Signature};
use std::borrow::Cow;
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
#[derive(Debug, Clone)]
pub struct Received<'a> {
    /// `TPMS_ATTEST`.
    pub attest: &'a [u8],
    /// `TPMT_SIGNATURE`.
    pub signature: &'a [u8],
    /// The PCR values said to be quoted; what is owned goes into the quote without a copy.
    pub pcrs: Cow<'a, PcrValues>,
}

/// What the quote must say.
///
/// The key decides whether SHA-1 is accepted: only [`crate::crypto::verifying_key::LegacyKey`] does.
#[derive(Debug)]
pub struct Expected<'a, K: Verifier + ?Sized = PublicKey> {
    /// The enrolled attestation key.
    pub key: &'a K,
    /// The qualifying data asked for.
    pub qualifying_data: &'a [u8],
    /// The PCRs asked for, in this order; at least one, and no bank twice.
    pub selection: &'a [PcrSelection],
}

impl<K: Verifier + ?Sized> Clone for Expected<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Verifier + ?Sized> Copy for Expected<'_, K> {}

/// A quote that its key signed over exactly the data and PCR values expected.
///
/// It proves the PCR values of the TPM that holds the key at the time of the quote, nothing about
/// who asked that TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticQuote {
    attest: Attest,
    scheme: Scheme,
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

    /// The whole structure.
    pub fn attest(&self) -> &Attest {
        &self.attest
    }

    /// How it was signed.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Every quoted PCR.
    pub fn pcrs(&self) -> &PcrValues {
        &self.pcrs
    }

    /// The value of a quoted PCR; nothing for a PCR that was not quoted.
    pub fn pcr(&self, bank: HashAlg, index: u32) -> Option<&[u8]> {
        self.pcrs.get(&(bank, index)).map(Vec::as_slice)
    }
}

/// Authenticates a quote, stopping at the first check that fails.
pub fn verify<K: Verifier + ?Sized>(
    received: Received<'_>,
    expected: Expected<'_, K>,
) -> Result<AuthenticQuote, Stopped> {
    let mut checks = Checks::brief();
    match authenticate(&mut checks, received, expected)? {
        Some(quote) => Ok(quote),
        None => Err(checks.stopped("quote")),
    }
}

/// Authenticates a quote, recording each step; yields it only when every step passed.
pub fn authenticate<K: Verifier + ?Sized>(
    checks: &mut Checks,
    received: Received<'_>,
    expected: Expected<'_, K>,
) -> Result<Option<AuthenticQuote>, Stopped> {
    let Some(signed) = signed(checks, &received, expected)? else {
        return Ok(None);
    };
    let selected = selection(checks, &signed.attest, expected.selection)?;
    let pcrs = pcr_digest(checks, &signed, received.pcrs)?;
    Ok(match (signed.holds, selected, pcrs) {
        (true, true, Some(pcrs)) => Some(AuthenticQuote {
            attest: signed.attest,
            scheme: signed.signature.scheme(),
            pcrs,
        }),
        _ => None,
    })
}

/// A quote as far as it can be looked at without PCR values.
struct Signed {
    attest: Attest,
    signature: Signature,
    /// Whether the signature and the qualifying data are as expected.
    holds: bool,
}

/// The checks that need no PCR values, for whoever was given none: structure, signature, qualifying data and
/// selection. It yields nothing, because a quote whose values nobody knows says nothing about a boot.
pub fn without_values<K: Verifier + ?Sized>(
    checks: &mut Checks,
    attest: &[u8],
    signature: &[u8],
    expected: Expected<'_, K>,
) -> Result<(), Stopped> {
    let received = Received {
        attest,
        signature,
        pcrs: Cow::Owned(PcrValues::new()),
    };
    if let Some(signed) = signed(checks, &received, expected)? {
        selection(checks, &signed.attest, expected.selection)?;
    }
    Ok(())
}

fn signed<K: Verifier + ?Sized>(
    checks: &mut Checks,
    received: &Received<'_>,
    expected: Expected<'_, K>,
) -> Result<Option<Signed>, Stopped> {
    let parsed = attest::parse(received.attest);
    let parsed = checks.value("quote-structure", "a TPMS_ATTEST of type QUOTE", parsed)?;
    let signature = signature::parse_with(received.signature, expected.key.sha1());
    let signature = checks.value("quote-signature-structure", "a TPMT_SIGNATURE", signature)?;
    let (Some(attest), Some(signature)) = (parsed, signature) else {
        return Ok(None);
    };
    let verified = signature.verify(expected.key, received.attest);
    let verified = checks.value(
        "quote-signature",
        "a signature by the attestation key",
        verified,
    )?;
    let (asked, shown) = (Hex(expected.qualifying_data), Hex(&attest.extra_data));
    let bound = asked == shown;
    checks.equal("quote-qualifying-data", asked, shown)?;
    Ok(Some(Signed {
        holds: verified.is_some() && bound,
        attest,
        signature,
    }))
}

/// A list of selections that says nothing, or one bank in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No PCR is selected.
    #[error("no PCR is selected")]
    Empty,
    /// A bank is listed twice: tools that go by bank and tools that go by entry would read two things.
    #[error("the {0:?} bank is listed twice")]
    BankTwice(HashAlg),
}

/// Whether a list selects a PCR at all, and names each bank once.
pub fn selection_rules(selections: &[PcrSelection]) -> Result<(), SelectionError> {
    if selections.iter().all(|selection| selection.mask == 0) {
        return Err(SelectionError::Empty);
    }
    let mut banks: Vec<HashAlg> = selections.iter().map(|selection| selection.bank).collect();
    banks.sort();
    let twice = banks.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    });
    twice.map_or(Ok(()), |bank| Err(SelectionError::BankTwice(bank)))
}

/// Equal to what was asked for, order included; an expectation that breaks the rules is no expectation.
fn selection(
    checks: &mut Checks,
    attest: &Attest,
    expected: &[PcrSelection],
) -> Result<bool, Stopped> {
    let result = match selection_rules(expected) {
        Err(error) => Err(error.to_string()),
        Ok(()) if attest.selections == expected => Ok(()),
        Ok(()) => Err(Selection(&attest.selections).to_string()),
    };
    Ok(checks
        .value("quote-pcr-selection", Selection(expected), result)?
        .is_some())
}

/// Digest over the values in the order of the selection, with the hash of the signature (part 1, section 31.5.2).
fn pcr_digest(
    checks: &mut Checks,
    signed: &Signed,
    values: Cow<'_, PcrValues>,
) -> Result<Option<PcrValues>, Stopped> {
    let selected = selected_values(&signed.attest, &values);
    let Some(selected) =
        checks.value("quote-pcr-values", "a value for every quoted PCR", selected)?
    else {
        return Ok(None);
    };
    let parts: Vec<&[u8]> = selected.iter().map(|(_, value)| *value).collect();
    let digest = signed.signature.hash.digest(&parts);
    let (quoted, computed) = (Hex(&signed.attest.pcr_digest), Hex(&digest));
    let same = quoted == computed;
    checks.equal("quote-pcr-digest", quoted, computed)?;
    // What was given and not quoted proves nothing.
    let mut pcrs = values.into_owned();
    pcrs.retain(|(bank, index), _| {
        let mut selections = signed.attest.selections.iter();
        selections.any(|selection| selection.bank == *bank && selection.selects(*index))
    });
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
            let bank = selection.bank;
            match values.get(&key) {
                None => return Err(format!("none for {bank:?} PCR {index}")),
                Some(value) if value.len() != bank.size() => {
                    return Err(format!("{} bytes for {bank:?} PCR {index}", value.len()));
                }
                Some(value) => out.push((key, value.as_slice())),
            }
        }
    }
    Ok(out)
}

/// A list of selections, in words.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a>(pub &'a [PcrSelection]);

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
pub(crate) mod tests;
