//! The composed case: report → claims → attestation key → quote.

use super::claims::RuntimeClaims;
use super::hcl::HclReport;
use crate::checks::{Checks, Stopped};
use crate::quote::{self, AuthenticQuote, PcrValues};
use crate::snp::held;
use crate::snp::policy::{self, AppraisedReport, Expect, SnpPolicy};
use crate::snp::verify::{self, AuthenticReport, Certificates, Trust};
use crate::tpm::algorithm::{ALG_RSASSA, HashAlg};
use crate::tpm::attest::PcrSelection;
use std::borrow::Cow;

/// The PCRs Azure's agents quote: SHA-256 bank, 0 to 23.
pub const SELECTION: [PcrSelection; 1] = [PcrSelection {
    bank: HashAlg::Sha256,
    mask: 0x00ff_ffff,
}];
const SIGNATURE_BYTES: usize = 256;

/// The vTPM's quote as received.
#[derive(Debug, Clone, Copy)]
pub struct RawQuote<'a> {
    /// `TPMS_ATTEST`.
    pub attest: &'a [u8],
    /// The bare RSASSA-PKCS1-v1_5 signature with SHA-256, 256 bytes: no `TPMT_SIGNATURE` around it.
    pub signature: &'a [u8],
    /// The PCR values said to be quoted.
    pub pcrs: &'a PcrValues,
}

/// What the quote must say.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedQuote<'a> {
    /// The verifier's nonce.
    pub nonce: &'a [u8],
    /// The PCRs asked for.
    pub selection: &'a [PcrSelection],
}

/// A VM whose report and claims hold; not yet its quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureVm {
    report: AppraisedReport,
    claims: RuntimeClaims,
}

impl AzureVm {
    /// The report of the paravisor.
    pub fn report(&self) -> &AppraisedReport {
        &self.report
    }

    /// The claims the report binds.
    pub fn claims(&self) -> &RuntimeClaims {
        &self.claims
    }
}

/// Records the checks of report and claims. `policy.report_data` is not looked at: the claims' hash
/// takes its place, and the quote's nonce is the challenge.
pub fn vm(
    checks: &mut Checks,
    hcl: &[u8],
    certificates: Certificates<'_>,
    trust: &Trust<'_>,
    policy: &SnpPolicy,
) -> Result<Option<AzureVm>, Stopped> {
    let from = checks.list().len();
    let hcl = checks.value(
        "azure-hcl-structure",
        "an HCL report",
        HclReport::parse(hcl),
    )?;
    let Some(hcl) = hcl else { return Ok(None) };
    let authentic = verify::authenticate(checks, hcl.snp_report, certificates, trust)?;
    let report = match &authentic {
        Some(authentic) => appraise(checks, authentic, &hcl, policy)?,
        None => None,
    };
    let claims = RuntimeClaims::parse(hcl.claims);
    let claims = checks.value("azure-claims", "claims with an attestation key", claims)?;
    let passed = checks.passed_from(from);
    Ok(match (report, claims) {
        (Some(report), Some(claims)) if passed => Some(AzureVm { report, claims }),
        _ => None,
    })
}

fn appraise(
    checks: &mut Checks,
    authentic: &AuthenticReport,
    hcl: &HclReport<'_>,
    policy: &SnpPolicy,
) -> Result<Option<AppraisedReport>, Stopped> {
    let (expected, actual) = (
        hex::encode(hcl.report_data()),
        hex::encode(authentic.report().report_data),
    );
    checks.equal("azure-claims-binding", expected, actual)?;
    let policy = SnpPolicy {
        report_data: Expect::Unchecked,
        ..policy.clone()
    };
    policy::appraise(checks, authentic, &policy)
}

/// Records the checks of the quote by the key the VM's claims name.
pub fn quote(
    checks: &mut Checks,
    vm: &AzureVm,
    raw: RawQuote<'_>,
    expected: ExpectedQuote<'_>,
) -> Result<Option<AuthenticQuote>, Stopped> {
    let size = raw.signature.len();
    let fits = size == SIGNATURE_BYTES;
    held(
        checks,
        "azure-quote-signature-size",
        fits,
        "256 bytes",
        format!("{size} bytes"),
    )?;
    if !fits {
        return Ok(None);
    }
    let signature = tpmt_signature(raw.signature);
    let received = quote::Received {
        attest: raw.attest,
        signature: &signature,
        pcrs: Cow::Borrowed(raw.pcrs),
    };
    let expected = quote::Expected {
        key: &vm.claims.attestation_key,
        qualifying_data: expected.nonce,
        selection: expected.selection,
    };
    quote::authenticate(checks, received, expected)
}

/// The signature as a TPM would have wrapped it: RSASSA, SHA-256, size.
fn tpmt_signature(raw: &[u8]) -> Vec<u8> {
    let size = u16::try_from(raw.len()).unwrap_or(u16::MAX);
    let hash = HashAlg::Sha256.id();
    let head = [ALG_RSASSA, hash, size].map(u16::to_be_bytes);
    [head.as_flattened(), raw].concat()
}
