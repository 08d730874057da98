//! Shows what signed evidence says, what of it holds, and hands the quote to tpm2-tools.

use crate::{inventory, pcrs};
use assay_appraisal::appraise;
use assay_appraisal::checks::{CheckList, Checks, Mode};
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::eventlog;
use assay_appraisal::quote::{self, PcrValues};
use assay_appraisal::tpm::ak::AttestationKey;
use assay_appraisal::tpm::algorithm::{Curve, HashAlg};
use assay_log::base64;
use assay_protocol::answers::counter;
use assay_protocol::cose::{CoseError, claimed_signer};
use assay_protocol::evidence::{self, Claims, SignedEvidence, VendorEvidence, qualifying_data};
use assay_protocol::ids::Digest;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use core::fmt::{self, Display};
use std::borrow::Cow;

/// Why a key cannot be written as PEM, or a quote not handed on.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// The evidence does not open.
    #[error(transparent)]
    Cose(#[from] CoseError),
    /// The key is none that tpm2-tools would take here.
    #[error("attestation key: {0}")]
    Key(String),
}

/// Evidence opened under the key it names itself, with its quote checked under the key it carries.
pub struct Shown {
    signed: SignedEvidence,
    checks: CheckList,
}

impl Shown {
    /// Opens evidence. That its keys belong to a node is not known here.
    pub fn open(bytes: &[u8]) -> Result<Self, ShowError> {
        let key = claimed_signer(bytes, EVIDENCE_BYTES_MAX)?;
        let signed = evidence::open(bytes, &key)?;
        let mut checks = Checks::new(Mode::Explain);
        // `Explain` records and goes on: there is no early end to pass on.
        let _ = checks.value(
            "session-signature",
            "signed by the session key it claims",
            Ok::<_, &str>(()),
        );
        let _ = check_quote(&mut checks, &signed);
        let _ = check_event_log(&mut checks, &signed);
        let _ = appraise::inventory(&mut checks, &signed);
        Ok(Self {
            signed,
            checks: checks.into_list(),
        })
    }

    /// Name and content of the files that `tpm2_checkquote -u ak.pem -m attest.bin -s sig.bin -f pcrs.bin -q $(cat
    /// qualification.hex)` of tpm2-tools 5.4 takes.
    pub fn checkquote_files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, ShowError> {
        let vendor = self.signed.vendor();
        let ak = AttestationKey::from_bytes(&vendor.ak_public.0);
        let ak = ak.map_err(|error| ShowError::Key(error.to_string()))?;
        let qualification = hex::encode(qualifying_data(self.signed.claims_bytes()));
        Ok(vec![
            ("attest.bin", vendor.attest.0.clone()),
            ("sig.bin", vendor.signature.0.clone()),
            ("ak.pem", pem(&spki(ak.key())?).into_bytes()),
            ("pcrs.bin", pcrs::write_serialized(&vendor.pcrs)),
            ("qualification.hex", qualification.into_bytes()),
        ])
    }
}

fn check_quote(
    checks: &mut Checks,
    signed: &SignedEvidence,
) -> Result<(), assay_appraisal::checks::Stopped> {
    let vendor = signed.vendor();
    let ak = AttestationKey::from_bytes(&vendor.ak_public.0);
    let Some(ak) = checks.value("ak-rules", "a restricted signing key fixed to its TPM", ak)?
    else {
        return Ok(());
    };
    checks.equal("ak-name", ak.name(), signed.claims().ak_name)?;
    let pcrs = pcr_values(vendor);
    let received = quote::Received {
        attest: &vendor.attest.0,
        signature: &vendor.signature.0,
        pcrs: Cow::Borrowed(&pcrs),
    };
    let expected = quote::Expected {
        key: ak.key(),
        qualifying_data: &qualifying_data(signed.claims_bytes()),
        selection: &quote::SELECTION,
    };
    quote::authenticate(checks, received, expected).map(drop)
}

fn pcr_values(vendor: &VendorEvidence) -> PcrValues {
    let value =
        |(index, value): &(u8, Digest)| ((HashAlg::Sha256, u32::from(*index)), value.0.to_vec());
    vendor.pcrs.iter().map(value).collect()
}

fn check_event_log(
    checks: &mut Checks,
    signed: &SignedEvidence,
) -> Result<(), assay_appraisal::checks::Stopped> {
    let bytes = &signed.vendor().event_log.0;
    let digest = assay_protocol::hash::digest(&[bytes]);
    checks.equal("event-log-digest", signed.claims().event_log, digest)?;
    let parsed = eventlog::parse(bytes);
    let Some(log) = checks.value("event-log", "a crypto-agile TCG event log", parsed)? else {
        return Ok(());
    };
    let replayed = log.replay(HashAlg::Sha256);
    let Some(replayed) = checks.value("event-log-bank", "a SHA-256 digest per event", replayed)?
    else {
        return Ok(());
    };
    for (index, quoted) in &signed.vendor().pcrs {
        let pcr = u32::from(*index);
        let initial = || log.initial(pcr, HashAlg::Sha256);
        let value = replayed.get(&pcr).cloned().unwrap_or_else(initial);
        checks.equal(
            format_args!("event-log-pcr-{pcr}"),
            quoted.to_string(),
            hex::encode(value),
        )?;
    }
    Ok(())
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        claims(f, self.signed.claims())?;
        if let Some(inventory) = inventory::beside(&self.signed) {
            inventory::write(f, &inventory)?;
        }
        for (index, value) in &self.signed.vendor().pcrs {
            writeln!(f, "pcr {index:<2}        {value}")?;
        }
        writeln!(f, "\nchecked against itself:")?;
        for check in self.checks.iter() {
            writeln!(f, "  {check}")?;
        }
        writeln!(
            f,
            "\nnot checked here: that the nonces are anybody's (a HyperNode knows its own), that the attestation key is\n\
             enrolled for this node, that the endorsement key is under a trusted root, and whether the values are allowed;\n\
             `assay-audit verify` does that with a bundle and a trust file"
        )
    }
}

fn claims(f: &mut fmt::Formatter<'_>, claims: &Claims) -> fmt::Result {
    writeln!(f, "node          {}", claims.node)?;
    writeln!(f, "session key   {}", claims.session_key)?;
    writeln!(f, "ak name       {}", claims.ak_name)?;
    writeln!(f, "network       {} (claimed)", claims.owner.0)?;
    writeln!(f, "provider      {} (claimed)", claims.owner.1)?;
    writeln!(
        f,
        "software      {} {} (claimed)",
        claims.software.0, claims.software.1
    )?;
    writeln!(f, "uptime        {} s (claimed)", claims.uptime_s)?;
    writeln!(f, "agent clock   {} ms since 1970 (claimed)", claims.at)?;
    writeln!(
        f,
        "epoch         {} with beacon {}",
        claims.freshness.0, claims.freshness.1
    )?;
    let clock = &claims.clock;
    writeln!(
        f,
        "tpm clock     {} ms, resetCount {}, restartCount {}, safe {}",
        clock.clock_ms, clock.reset_count, clock.restart_count, clock.safe
    )?;
    writeln!(
        f,
        "answer chain  number {} after {}",
        claims.link.sequence, claims.link.previous
    )?;
    for (hypernode, nonce) in &claims.nonces {
        writeln!(f, "nonce         {nonce} of HyperNode {hypernode}")?;
    }
    if let Some(ima) = &claims.ima {
        let (first, count) = (ima.first, ima.count);
        writeln!(
            f,
            "ima list      {count} entries after {first}, {}",
            ima.digest
        )?;
    }
    if let Some(report) = &claims.snp_report {
        writeln!(f, "snp report    {report}")?;
    }
    for chip in claims.chip_ids.iter().flatten() {
        writeln!(f, "chip id       {chip} (read on the host)")?;
    }
    for counter in &claims.counters {
        let (id, scope, value) = (counter.id, &counter.scope, counter.value);
        match counter::name(id) {
            Some(name) => writeln!(f, "counter       {name} {value} {scope} (claimed)")?,
            None => writeln!(f, "counter       number {id} {value} {scope} (claimed)")?,
        }
    }
    Ok(())
}

/// DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
fn spki(key: &PublicKey) -> Result<Vec<u8>, ShowError> {
    const RSA: &[u8] = &[
        0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0,
    ];
    const P256: &[u8] = &[
        0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
    ];
    let (algorithm, bits) = match key {
        PublicKey::Rsa { modulus, exponent } => {
            let exponent = exponent.to_be_bytes();
            (RSA, tlv(0x30, &[&integer(modulus), &integer(&exponent)]))
        }
        PublicKey::Ecc {
            curve: Curve::P256,
            x,
            y,
        } => (P256, [&[4][..], x, y].concat()),
        other => {
            return Err(ShowError::Key(format!(
                "expected RSA or ECC P-256, got {}",
                other.kind()
            )));
        }
    };
    Ok(tlv(
        0x30,
        &[&tlv(0x30, &[algorithm]), &tlv(0x03, &[&[0], &bits])],
    ))
}

/// A DER INTEGER of a positive big-endian number.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(number.len());
    let number = number.get(start..).unwrap_or_default();
    let sign: &[u8] = if number.first().is_none_or(|byte| *byte >= 0x80) {
        &[0]
    } else {
        &[]
    };
    tlv(0x02, &[sign, number])
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let head = match content.len() {
        0..=0x7f => vec![tag, length[7]],
        0x80..=0xff => vec![tag, 0x81, length[7]],
        _ => vec![tag, 0x82, length[6], length[7]],
    };
    [head, content].concat()
}

fn pem(der: &[u8]) -> String {
    let encoded = base64::encode(der);
    let lines = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n")
}
