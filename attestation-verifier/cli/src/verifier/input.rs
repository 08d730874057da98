//! Arguments and files of the tools.

use crate::source;
use anyhow::{Context as _, Result};
use assay_protocol::ids::UnixMs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest file read, bytes.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A point in time: RFC 3339, or nothing for now.
pub fn time(text: Option<&str>) -> Result<UnixMs> {
    let Some(text) = text else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        return Ok(UnixMs(u64::try_from(now.as_millis())?));
    };
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        .with_context(|| format!("time {text:?}: expected RFC 3339, as 2026-11-01T00:00:00Z"))?;
    let seconds = u64::try_from(parsed.unix_timestamp()).context("time: before 1970")?;
    Ok(UnixMs(seconds.saturating_mul(1_000)))
}

/// Bytes in hexadecimal.
pub fn hex(what: &str, text: &str) -> Result<Vec<u8>> {
    hex::decode(text).with_context(|| format!("{what}: expected hexadecimal, got {text:?}"))
}

/// A whole file.
pub fn file(path: &Path) -> Result<Vec<u8>> {
    Ok(source::file(path, FILE_BYTES_MAX)?)
}

/// The certificates of a file: one DER certificate, or any number in PEM.
pub fn certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = file(path)?;
    if !bytes.starts_with(b"-----") && !contains(&bytes, b"-----BEGIN CERTIFICATE-----") {
        return Ok(vec![bytes]);
    }
    CertificateDer::pem_slice_iter(&bytes)
        .map(|der| Ok(der?.to_vec()))
        .collect::<Result<_>>()
        .with_context(|| format!("{}: expected certificates in PEM", path.display()))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The certificates of a file, or of every file of a folder, with the file each came from.
pub fn certificates_below(path: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect())
            .with_context(|| path.display().to_string())?;
        files.retain(|path| path.is_file());
        files.sort();
    }
    let mut found = Vec::new();
    for file in files {
        let certificates = certificates(&file)?;
        found.extend(certificates.into_iter().map(|der| (file.clone(), der)));
    }
    Ok(found)
}
