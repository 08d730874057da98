//! Which certificates may sign others (RFC 5280 sections 4.2.1.3 and 4.2.1.9), as far as AMD's chains need it.

use crate::crypto::der::{self, Der, DerError};
use crate::x509::Certificate;

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// `digitalSignature` and `keyCertSign` in the first byte of the bit string.
const DIGITAL_SIGNATURE: u8 = 0x80;
const KEY_CERT_SIGN: u8 = 0x04;

/// Refuses a certificate that may not issue others with `below` certificates between it and a leaf.
pub(super) fn may_issue(certificate: &Certificate<'_>, below: u64) -> Result<(), String> {
    critical_known(certificate)?;
    let basic = basic(certificate).map_err(|e| e.to_string())?;
    match basic {
        Some(Basic { ca: true, path }) if path.is_none_or(|path| path >= below) => {}
        Some(Basic { ca: true, path }) => return Err(format!("pathLenConstraint {path:?}")),
        _ => return Err("no CA".into()),
    }
    usage_allows(certificate, KEY_CERT_SIGN, "keyCertSign")
}

/// Refuses a leaf that is a CA or may not sign.
pub(super) fn may_sign(certificate: &Certificate<'_>) -> Result<(), String> {
    critical_known(certificate)?;
    if basic(certificate)
        .map_err(|e| e.to_string())?
        .is_some_and(|b| b.ca)
    {
        return Err("a CA".into());
    }
    usage_allows(certificate, DIGITAL_SIGNATURE, "digitalSignature")
}

struct Basic {
    ca: bool,
    path: Option<u64>,
}

fn basic(certificate: &Certificate<'_>) -> Result<Option<Basic>, DerError> {
    let Some(extension) = certificate.extension(BASIC_CONSTRAINTS) else {
        return Ok(None);
    };
    let mut outer = Der::new(extension.value);
    let mut r = outer.enter("basicConstraints", der::SEQUENCE)?;
    outer.finish("basicConstraints")?;
    let ca = match r.peek() {
        Some(der::BOOLEAN) => r.boolean("cA")?,
        _ => false,
    };
    let path = match r.peek() {
        Some(der::INTEGER) => Some(r.u64("pathLenConstraint")?),
        _ => None,
    };
    r.finish("basicConstraints")?;
    Ok(Some(Basic { ca, path }))
}

/// Without the extension nothing is forbidden (RFC 5280 section 4.2.1.3); AMD's leaves have none.
fn usage_allows(certificate: &Certificate<'_>, bit: u8, name: &str) -> Result<(), String> {
    let Some(extension) = certificate.extension(KEY_USAGE) else {
        return Ok(());
    };
    let mut r = Der::new(extension.value);
    let element = r
        .take("keyUsage", der::BIT_STRING)
        .map_err(|e| e.to_string())?;
    r.finish("keyUsage").map_err(|e| e.to_string())?;
    match element.content {
        [unused, first, ..] if *unused < 8 && first & bit == bit => Ok(()),
        _ => Err(format!("keyUsage without {name}")),
    }
}

fn critical_known(certificate: &Certificate<'_>) -> Result<(), String> {
    let known = [BASIC_CONSTRAINTS, KEY_USAGE];
    let unknown =
        |oid: &[u8]| !known.contains(&oid) && !oid.starts_with(super::endorsement::AMD_ARC);
    match certificate
        .extensions
        .iter()
        .find(|e| e.critical && unknown(e.oid))
    {
        None => Ok(()),
        Some(e) => Err(format!("critical extension {}", der::dotted(e.oid))),
    }
}
