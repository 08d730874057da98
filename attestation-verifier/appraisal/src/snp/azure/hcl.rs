//! The HCL report in the vTPM's NV index 0x01400001: a header, an SEV-SNP report, runtime claims.

use crate::snp::report::REPORT_BYTES;
use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::{FormatError, Reader};

/// Largest HCL report accepted, bytes.
pub const HCL_BYTES_MAX: usize = 64 * 1024;
/// Largest runtime claims accepted, bytes.
pub const CLAIMS_BYTES_MAX: usize = 16 * 1024;
const HEADER_BYTES: usize = 32;
const RUNTIME_HEADER_BYTES: usize = 20;
const SNP: u32 = 2;

/// An HCL report as parsed: **not authenticated**; see [`super::verify`].
///
/// Only the SEV-SNP report and the claims are signed or hashed. The header is not: it is held to one form,
/// its version apart (1 or 2, of the same layout), so that nothing is read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HclReport<'a> {
    /// `ATTESTATION_REPORT`.
    pub snp_report: &'a [u8],
    /// JSON, as hashed into the report's data.
    pub claims: &'a [u8],
    /// The hash.
    pub hash: HashAlg,
}

impl<'a> HclReport<'a> {
    /// Parses an HCL report; its NV index is longer than its content, and the rest must be zero.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut r = Reader::new("HCL report", bytes, HCL_BYTES_MAX)?;
        let report_size = header(&mut r)?;
        let snp_report = r.take("SEV-SNP report", REPORT_BYTES)?;
        let (hash, claims) = runtime(&mut r)?;
        let used = [
            HEADER_BYTES,
            REPORT_BYTES,
            RUNTIME_HEADER_BYTES,
            claims.len(),
        ];
        let used = used
            .iter()
            .fold(0usize, |sum, part| sum.saturating_add(*part));
        if usize::try_from(report_size) != Ok(used) {
            return Err(r.unexpected("report size", "the size of all parts", report_size));
        }
        if let Some(byte) = r.rest().iter().find(|byte| **byte != 0) {
            return Err(r.unexpected("rest of the NV index", "zeros", *byte));
        }
        Ok(Self {
            snp_report,
            claims,
            hash,
        })
    }

    /// What the SEV-SNP report's `REPORT_DATA` must be: the claims' hash, then zeros.
    pub fn report_data(&self) -> [u8; 64] {
        let mut data = [0; 64];
        for (to, from) in data.iter_mut().zip(self.hash.digest(&[self.claims])) {
            *to = from;
        }
        data
    }
}

fn header(r: &mut Reader<'_>) -> Result<u32, FormatError> {
    let signature: [u8; 4] = r.array("signature")?;
    if signature != *b"HCLA" {
        return Err(r.unexpected("signature", "HCLA", u32::from_be_bytes(signature)));
    }
    let version = r.u32_le("version")?;
    if !matches!(version, 1 | 2) {
        return Err(r.unexpected("version", "1 or 2", version));
    }
    let report_size = r.u32_le("report size")?;
    exactly(r, "request type", SNP, "2 (SEV-SNP)")?;
    for field in ["status", "reserved", "reserved", "reserved"] {
        exactly(r, field, 0, "0")?;
    }
    Ok(report_size)
}

fn runtime<'a>(r: &mut Reader<'a>) -> Result<(HashAlg, &'a [u8]), FormatError> {
    let data_size = r.u32_le("runtime data size")?;
    exactly(r, "runtime data version", 1, "1")?;
    exactly(r, "runtime report type", SNP, "2 (SEV-SNP)")?;
    let hash = match r.u32_le("runtime hash type")? {
        1 => HashAlg::Sha256,
        2 => HashAlg::Sha384,
        3 => HashAlg::Sha512,
        other => {
            return Err(r.unexpected("runtime hash type", "SHA-256, SHA-384 or SHA-512", other));
        }
    };
    let size = usize::try_from(r.u32_le("claims size")?).unwrap_or(usize::MAX);
    r.cap("claims size", size, CLAIMS_BYTES_MAX)?;
    if usize::try_from(data_size) != Ok(size.saturating_add(RUNTIME_HEADER_BYTES)) {
        return Err(r.unexpected("runtime data size", "the size of its parts", data_size));
    }
    Ok((hash, r.take("claims", size)?))
}

fn exactly(
    r: &mut Reader<'_>,
    field: &'static str,
    expected: u32,
    text: &'static str,
) -> Result<(), FormatError> {
    match r.u32_le(field)? {
        actual if actual == expected => Ok(()),
        other => Err(r.unexpected(field, text, other)),
    }
}
