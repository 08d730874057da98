//! The whole appraisal of one piece of evidence (ARCHITECTURE section 7), in two steps that cannot be
//! exchanged: [`authenticate`] finds out whose evidence it is, [`appraise`] what it is worth.
//!
//! Forged, replayed or mismatched evidence is an error that yields nothing. A genuine quote whose
//! values the class does not allow yields the node's identity and owner, with `attest` failed and tier 0.

mod chassis;
mod configuration;
mod context;
mod measured;
mod policy;
mod references;
mod result;
mod software;

#[cfg(test)]
mod tests;

pub use configuration::Configurations;
pub use policy::{
    Appraisal, Attest, Endorsements, ImaBefore, ImaEnd, Owner, Policy, Shown, appraise,
};

use crate::checks::{CheckList, Checks, Hex, Listed, Mode, Stopped};
use crate::clock::{self, Continuity};
use crate::quote::{self, AuthenticQuote, PcrValues};
use crate::tpm::ak::AttestationKey;
use crate::tpm::algorithm::HashAlg;
use crate::tpm::attest::ClockInfo;
use assay_protocol::evidence::{self, Claims, SignedEvidence, VendorEvidence};
use assay_protocol::hash::digest;
use assay_protocol::ids::{AkName, HyperNodeId, NodeId, Nonce, SessionKey};
use assay_protocol::inventory::Inventory;
use measured::Claimed;
use std::borrow::Cow;

/// The bank that is quoted.
const BANK: HashAlg = HashAlg::Sha256;
/// The agent's configuration is measured here.
const PCR_CONFIG: u32 = 12;
/// IMA's PCR: its own list explains it, not the firmware's log.
const PCR_IMA: u32 = 10;

/// What the verifier knows before it looks at the evidence.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The node asked.
    pub node: NodeId,
    /// The HyperNode that asked.
    pub hypernode: HyperNodeId,
    /// The nonce it gave.
    pub nonce: Nonce,
    /// The key the evidence must be signed by: in a session, the TLS peer's.
    pub session_key: SessionKey,
    /// The attestation key enrolled for the node.
    pub ak: &'a AttestationKey,
    /// Clock and counters of the last accepted quote by that key; nothing before the first.
    pub last_clock: Option<&'a ClockInfo>,
}

/// Evidence that is genuine and fresh; only [`authenticate`] makes it.
///
/// It proves what the enrolled TPM measured. Whether the values are good is not looked at yet.
#[derive(Debug, Clone)]
pub struct AuthenticatedEvidence {
    signed: SignedEvidence,
    quote: AuthenticQuote,
    continuity: Continuity,
    inventory: Option<Inventory>,
    ak_name: AkName,
    checks: CheckList,
}

impl AuthenticatedEvidence {
    /// The claims the quote covers.
    pub fn claims(&self) -> &Claims {
        self.signed.claims()
    }

    /// The raw vendor evidence.
    pub fn vendor(&self) -> &VendorEvidence {
        self.signed.vendor()
    }

    /// The authentic quote.
    pub fn quote(&self) -> &AuthenticQuote {
        &self.quote
    }

    /// How the clock continues the last record.
    pub fn continuity(&self) -> Continuity {
        self.continuity
    }

    /// What the machine says it is made of, under the digest in the claims. Agent-claimed: nothing is judged by it.
    pub fn inventory(&self) -> Option<&Inventory> {
        self.inventory.as_ref()
    }

    /// The name of the key that quoted.
    pub fn ak_name(&self) -> AkName {
        self.ak_name
    }

    /// The key that signed the evidence, now bound to the quote.
    pub fn session_key(&self) -> SessionKey {
        self.signed.session_key()
    }
}

/// Evidence that yields nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("evidence refused: {}", .checks.shown_open())]
pub struct Refused {
    /// Everything that was checked, the failures among it.
    pub checks: CheckList,
}

/// Authenticates and appraises evidence.
pub fn verify(
    bytes: &[u8],
    expected: &Expectation<'_>,
    policy: &Policy<'_>,
    mode: Mode,
) -> Result<Appraisal, Refused> {
    let mut evidence = authenticate(bytes, expected, mode)?;
    let checks = core::mem::take(&mut evidence.checks);
    Ok(policy::appraise_after(checks, &evidence, policy))
}

/// Authenticates evidence: signature by the session key, nonce, quote by the enrolled key, clock.
pub fn authenticate(
    bytes: &[u8],
    expected: &Expectation<'_>,
    mode: Mode,
) -> Result<AuthenticatedEvidence, Refused> {
    let mut checks = Checks::new(mode);
    let found = match run(&mut checks, bytes, expected) {
        Ok(found) if checks.passed() => found,
        Ok(_) | Err(Stopped(_)) => None,
    };
    let checks = checks.into_list();
    match found {
        Some(Found {
            signed,
            quote,
            continuity,
            inventory,
        }) => {
            let ak_name = expected.ak.name();
            Ok(AuthenticatedEvidence {
                signed,
                quote,
                continuity,
                inventory,
                ak_name,
                checks,
            })
        }
        None => Err(Refused { checks }),
    }
}

struct Found {
    signed: SignedEvidence,
    quote: AuthenticQuote,
    continuity: Continuity,
    inventory: Option<Inventory>,
}

fn run(
    checks: &mut Checks,
    bytes: &[u8],
    expected: &Expectation<'_>,
) -> Result<Option<Found>, Stopped> {
    let opened = evidence::open(bytes, &expected.session_key.0);
    let opened = checks.value(
        "session-signature",
        "evidence signed by the session key",
        opened,
    )?;
    let Some(signed) = opened else {
        return Ok(None);
    };
    identity(checks, &signed, expected)?;
    nonce(checks, signed.claims(), expected)?;
    let quote = quoted(checks, &signed, expected)?;
    let Some(quote) = quote else {
        return Ok(None);
    };
    let continuity = clock::continuity(expected.last_clock, quote.clock());
    let continuity = checks.value(
        "tpm-clock",
        "clock and counters that continue the last quote",
        continuity,
    )?;
    let inventory = inventory(checks, &signed)?;
    Ok(continuity.map(|continuity| Found {
        signed,
        quote,
        continuity,
        inventory,
    }))
}

/// Checks that the inventory beside the claims is the one they name, and can be read.
///
/// It is part of [`authenticate`] and not of the appraisal, because no verdict may hang on what is only claimed:
/// evidence with another inventory is evidence that somebody put together, and yields nothing.
pub fn inventory(
    checks: &mut Checks,
    signed: &SignedEvidence,
) -> Result<Option<Inventory>, Stopped> {
    let beside = signed.vendor().inventory.as_ref();
    checks.equal(
        "inventory-digest",
        Claimed(signed.claims().inventory),
        Claimed(beside.map(|bytes| digest(&[&bytes.0]))),
    )?;
    let Some(bytes) = beside else {
        return Ok(None);
    };
    let expected = "an inventory of a schema that this version knows";
    checks.value("inventory", expected, Inventory::read(&bytes.0))
}

fn identity(
    checks: &mut Checks,
    signed: &SignedEvidence,
    expected: &Expectation<'_>,
) -> Result<(), Stopped> {
    checks.equal("node", expected.node, signed.claims().node)?;
    checks.equal("ak-name", expected.ak.name(), signed.claims().ak_name)?;
    let shown = Hex(&signed.vendor().ak_public.0);
    checks.equal("ak-public", Hex(expected.ak.public().bytes()), shown)
}

/// The nonce must be in the list under this HyperNode's id, and that id only once.
fn nonce(checks: &mut Checks, claims: &Claims, expected: &Expectation<'_>) -> Result<(), Stopped> {
    let mine = claims.nonces.iter();
    let mine = mine.filter(|(hypernode, _)| *hypernode == expected.hypernode);
    let mine: Vec<&Nonce> = mine.map(|(_, nonce)| nonce).collect();
    checks.equal("nonce", Listed(&[&expected.nonce]), Listed(&mine))
}

fn quoted(
    checks: &mut Checks,
    signed: &SignedEvidence,
    expected: &Expectation<'_>,
) -> Result<Option<AuthenticQuote>, Stopped> {
    let vendor = signed.vendor();
    let pcrs = pcr_values(vendor);
    let listed = checks.value("pcr-list", "the SHA-256 bank, PCR 0 to 14, in order", pcrs)?;
    let pcrs = listed.unwrap_or_default();
    let received = quote::Received {
        attest: &vendor.attest.0,
        signature: &vendor.signature.0,
        pcrs: Cow::Owned(pcrs),
    };
    let expected = quote::Expected {
        key: expected.ak.verifying_key(),
        qualifying_data: &evidence::qualifying_data(signed.claims_bytes()),
        selection: &quote::SELECTION,
    };
    quote::authenticate(checks, received, expected)
}

fn pcr_values(vendor: &VendorEvidence) -> Result<PcrValues, String> {
    let indices: Vec<u32> = vendor
        .pcrs
        .iter()
        .map(|(index, _)| u32::from(*index))
        .collect();
    let asked: Vec<u32> = quote::SELECTION.iter().flat_map(|s| s.indices()).collect();
    if indices != asked {
        return Err(format!("{indices:?}"));
    }
    let value = |(index, value): &(u8, assay_protocol::ids::Digest)| {
        ((HashAlg::Sha256, u32::from(*index)), value.0.to_vec())
    };
    Ok(vendor.pcrs.iter().map(value).collect())
}
