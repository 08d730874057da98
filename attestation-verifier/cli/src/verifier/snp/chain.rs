//! Which of the certificates at hand are the chain of a leaf.

use super::builtin;
use crate::verifier::input;
use anyhow::Result;
use assay_appraisal::checks::Checks;
use assay_appraisal::crypto::der::Der;
use assay_appraisal::snp::report::KeyKind;
use assay_appraisal::snp::verify::Certificates;
use assay_appraisal::x509::{Certificate, name};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::{Path, PathBuf};

/// Most certificates read for one chain.
const CERTIFICATES_MAX: usize = 64;

/// The three certificates of a report's key, not verified.
#[derive(Debug)]
pub struct Chain {
    kind: KeyKind,
    leaf: Vec<u8>,
    intermediate: Vec<u8>,
    root: Vec<u8>,
}

impl Chain {
    /// Reads a leaf and picks its issuers: from the files given, or from what is built in where they hold none.
    ///
    /// A file that cannot be read is an error, one that is no certificate a failed check. `test_ark` stands in
    /// for a root that is not among the files.
    pub fn read(
        checks: &mut Checks,
        kind: KeyKind,
        leaf: &Path,
        files: &[PathBuf],
        test_ark: Option<&[u8]>,
    ) -> Result<Option<Self>> {
        let one = single(&input::file(leaf)?);
        let leaf = checks.value("snp-leaf-file", "one certificate", one)?;
        let mut given = Vec::new();
        for file in files {
            let list = certificates_in(&input::file(file)?);
            let list = checks.value("snp-chain-file", "certificates", list)?;
            given.extend(list.unwrap_or_default());
        }
        let Some(leaf) = leaf else { return Ok(None) };
        let picked = pick(&leaf, given, test_ark);
        let picked = checks.value("snp-chain-issuers", "an intermediate and a root", picked)?;
        Ok(picked.map(|(intermediate, root)| Self {
            kind,
            leaf,
            intermediate,
            root,
        }))
    }

    /// For verification.
    pub fn certificates(&self) -> Certificates<'_> {
        Certificates {
            kind: self.kind,
            leaf: &self.leaf,
            intermediate: &self.intermediate,
            root: &self.root,
        }
    }
}

/// The only certificate of a file.
fn single(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let list = certificates_in(bytes)?;
    <[Vec<u8>; 1]>::try_from(list)
        .map(|[only]| only)
        .map_err(|list| format!("{} certificates", list.len()))
}

/// Certificates in PEM, or in DER one behind the other.
pub(super) fn certificates_in(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let list = match bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        true => CertificateDer::pem_slice_iter(bytes)
            .map(|der| der.map(|der| der.to_vec()).map_err(|e| e.to_string()))
            .take(CERTIFICATES_MAX + 1)
            .collect::<Result<Vec<_>, _>>()?,
        false => der_list(bytes)?,
    };
    match list.len() {
        0 => Err("none".into()),
        1..=CERTIFICATES_MAX => Ok(list),
        _ => Err(format!("more than {CERTIFICATES_MAX}")),
    }
}

fn der_list(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let (mut r, mut list) = (Der::new(bytes), Vec::new());
    while !r.is_empty() && list.len() <= CERTIFICATES_MAX {
        let element = r.any("certificate").map_err(|e| e.to_string())?;
        list.push(element.bytes.to_vec());
    }
    Ok(list)
}

/// Intermediate and root. Names only pick; whether they are the issuers is verified afterwards.
fn pick(
    leaf: &[u8],
    given: Vec<Vec<u8>>,
    test_ark: Option<&[u8]>,
) -> Result<(Vec<u8>, Vec<u8>), String> {
    let leaf = Certificate::parse(leaf).map_err(|e| e.to_string())?;
    let mut parsed = Vec::new();
    for der in &given {
        parsed.push(Certificate::parse(der).map_err(|e| e.to_string())?);
    }
    let builtin: Vec<Certificate<'_>> = match test_ark {
        Some(ark) => vec![Certificate::parse(ark).map_err(|e| e.to_string())?],
        None => builtin::CERTIFICATES
            .iter()
            .filter_map(|der| Certificate::parse(der).ok())
            .collect(),
    };
    let intermediate = issuer(&leaf, false, &parsed, &builtin)?;
    let root = issuer(intermediate, true, &parsed, &builtin)?;
    Ok((intermediate.bytes.to_vec(), root.bytes.to_vec()))
}

/// The certificate of that role with the issuer's name; of the given ones another if none has it, so that a
/// wrong chain is judged and not replaced. Built-in ones only where none of that role was given.
fn issuer<'l, 'a>(
    of: &Certificate<'_>,
    root: bool,
    given: &'l [Certificate<'a>],
    builtin: &'l [Certificate<'a>],
) -> Result<&'l Certificate<'a>, String> {
    let in_role = |list: &'l [Certificate<'a>]| -> Vec<&'l Certificate<'a>> {
        list.iter().filter(|c| c.is_self_issued() == root).collect()
    };
    let candidates = in_role(given);
    let named = |list: &[&'l Certificate<'a>]| -> Vec<&'l Certificate<'a>> {
        let mut named: Vec<_> = list
            .iter()
            .copied()
            .filter(|c| c.subject == of.issuer)
            .collect();
        named.dedup_by(|one, other| one.bytes == other.bytes);
        named
    };
    let found = match candidates.as_slice() {
        [] => named(&in_role(builtin)),
        list => match named(list).as_slice() {
            [] => list.get(..1).unwrap_or_default().to_vec(),
            found => found.to_vec(),
        },
    };
    match found.as_slice() {
        [only] => Ok(only),
        [] => Err(format!(
            "none named {}\nhint: give it with --chain",
            common_name(of.issuer)
        )),
        more => Err(format!(
            "{} of the name {}",
            more.len(),
            common_name(of.issuer)
        )),
    }
}

fn common_name(of: &[u8]) -> String {
    let text = name::attribute(of, name::COMMON_NAME).ok().flatten();
    text.unwrap_or_else(|| "nothing".into())
}
