//! Which certificates may sign others (RFC 5280 sections 4.2.1.3 and 4.2.1.9), as far as AMD's chains need it.

use crate::crypto::der;
use crate::x509::Certificate;
use crate::x509::extension::{BASIC_CONSTRAINTS, KEY_USAGE, KeyUsage};

/// Refuses a certificate that may not issue others with `below` certificates between it and a leaf.
pub(super) fn may_issue(certificate: &Certificate<'_>, below: u64) -> Result<(), String> {
    critical_known(certificate)?;
    let basic = certificate.basic_constraints().map_err(|e| e.to_string())?;
    if !basic.ca {
        return Err("no CA".into());
    }
    if basic.path_length.is_some_and(|longest| longest < below) {
        return Err(format!("pathLenConstraint {:?}", basic.path_length));
    }
    usage_allows(certificate, KeyUsage::CERT_SIGN)
}

/// Refuses a leaf that is a CA or may not sign.
pub(super) fn may_sign(certificate: &Certificate<'_>) -> Result<(), String> {
    critical_known(certificate)?;
    let basic = certificate.basic_constraints().map_err(|e| e.to_string())?;
    if basic.ca {
        return Err("a CA".into());
    }
    usage_allows(certificate, KeyUsage::DIGITAL_SIGNATURE)
}

/// Without the extension nothing is forbidden (RFC 5280 section 4.2.1.3); AMD's leaves have none.
fn usage_allows(certificate: &Certificate<'_>, needed: KeyUsage) -> Result<(), String> {
    match certificate.key_usage().map_err(|e| e.to_string())? {
        None => Ok(()),
        Some(usage) if usage.has(needed) => Ok(()),
        Some(usage) => Err(format!(
            "keyUsage {} without {}",
            usage.names(),
            needed.names()
        )),
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
