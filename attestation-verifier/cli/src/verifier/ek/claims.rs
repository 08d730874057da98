//! What is said of a certificate and its path, as JSON.

use super::files::Anchors;
use assay_appraisal::crypto::der::DerError;
use assay_appraisal::ek::{Roots, TpmNames};
use assay_appraisal::x509::{Certificate, Path, name};
use serde_json::{Value, json};

/// RFC 3339, UTC.
pub fn time(unix_s: u64) -> Value {
    i64::try_from(unix_s).map_or(Value::Null, when)
}

fn when(unix_s: i64) -> Value {
    let format = &::time::format_description::well_known::Rfc3339;
    let at = ::time::OffsetDateTime::from_unix_timestamp(unix_s);
    at.ok().and_then(|at| at.format(format).ok()).into()
}

/// What the certificate says of itself and of its TPM.
pub fn of_certificate(leaf: &Certificate<'_>) -> Result<Value, DerError> {
    let names = TpmNames::of(leaf)?;
    let addresses = leaf.issuer_addresses()?.into_iter();
    let addresses: Vec<String> = addresses.map(name::clean).collect();
    Ok(json!({
        "subject": name::text(leaf.subject),
        "issuer": name::text(leaf.issuer),
        "serial": hex::encode(leaf.serial),
        "key": leaf.key.kind(),
        "sha256": leaf.digest().to_string(),
        "not_before": when(leaf.validity.not_before_s),
        "not_after": when(leaf.validity.not_after_s),
        "tpm": {
            "manufacturer": names.manufacturer,
            "model": names.model,
            "version": names.version,
        },
        "issuer_addresses": addresses,
    }))
}

/// The path and what the bundle says of its root.
pub fn of_path(claims: &mut Value, path: &Path<'_>, roots: &Roots) {
    let root = path.root().digest();
    claims["root"] = link(path.root());
    claims["path"] = path.certificates().map(link).collect::<Vec<_>>().into();
    claims["root_kind"] = "unknown".into();
    claims["eligible"] = "unknown".into();
    if let Some(standing) = roots.standing(root) {
        claims["root_kind"] = json!(standing.kind);
        claims["eligible"] = json!(standing.eligible);
        claims["firmware_min"] = standing.firmware_min.into();
    }
}

fn link(certificate: &Certificate<'_>) -> Value {
    json!({
        "subject": name::text(certificate.subject),
        "sha256": certificate.digest().to_string(),
        "not_before": when(certificate.validity.not_before_s),
        "not_after": when(certificate.validity.not_after_s),
    })
}

/// Whether the bundle lets that kind earn a tier; unknown kinds never do.
pub fn say_of_kind(claims: &mut Value, anchors: &Anchors) {
    let kind = claims.get("root_kind").cloned();
    if let Some(kind) = kind {
        let allowed = anchors
            .allowed()
            .iter()
            .any(|allowed| json!(allowed) == kind);
        claims["root_kind_allowed"] = allowed.into();
    }
}
