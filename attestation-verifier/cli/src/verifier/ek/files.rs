//! Certificates, trust bundles and revocation lists as files.

use crate::verifier::input;
use anyhow::{Context as _, Result, bail};
use assay_appraisal::ek::{RootError, Roots};
use assay_appraisal::x509::{Certificate, Crl};
use assay_protocol::trust::{RootKind, TrustBundle, TrustFile};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Folders below the one that is named.
const FOLDER_DEPTH_MAX: usize = 8;
/// Files looked at below a folder.
const FILES_MAX: usize = 10_000;

/// Certificates, and what was passed over.
#[derive(Debug, Clone, Default)]
pub struct Found {
    certificates: Vec<Vec<u8>>,
    /// What does not parse, and why.
    pub ignored: Vec<Ignored>,
}

/// Something below a folder that is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// The file.
    pub file: String,
    /// Why it does not count.
    pub reason: String,
}

/// What is trusted.
#[derive(Debug)]
pub enum Anchors {
    /// A network's bundle.
    Bundle(TrustBundle),
    /// Certificates nothing is known of.
    Bare(Found),
}

impl Anchors {
    /// Reads a bundle, or bare certificates: by content, not by name.
    pub fn read(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Bare(certificates(path)?));
        }
        let bytes = input::file(path)?;
        if bytes.trim_ascii_start().first() == Some(&b'{') {
            let bundle = bundle(&bytes).with_context(|| path.display().to_string())?;
            return Ok(Self::Bundle(bundle));
        }
        Ok(Self::Bare(certificates(path)?))
    }

    /// The roots, with more intermediates.
    pub fn roots(&self, middles: &Found) -> Result<Roots, RootError> {
        let middles = middles.certificates.iter().map(Vec::as_slice);
        match self {
            Self::Bundle(bundle) => {
                let mut roots = Roots::new(bundle)?;
                roots.add_intermediates(middles)?;
                Ok(roots)
            }
            Self::Bare(found) => Roots::bare(found.certificates.iter().map(Vec::as_slice), middles),
        }
    }

    /// What was passed over.
    pub fn ignored(&self) -> &[Ignored] {
        match self {
            Self::Bundle(_) => &[],
            Self::Bare(found) => &found.ignored,
        }
    }

    /// The kinds that may earn a tier.
    pub fn allowed(&self) -> &[RootKind] {
        match self {
            Self::Bundle(bundle) => &bundle.allowed_kinds,
            Self::Bare(_) => &[],
        }
    }
}

/// A trust bundle, alone or inside the file that an auditor pins.
fn bundle(bytes: &[u8]) -> Result<TrustBundle> {
    let alone = serde_json::from_slice::<TrustBundle>(bytes);
    let inside = || serde_json::from_slice::<TrustFile>(bytes).map(|file| file.vendors);
    match alone {
        Ok(bundle) => Ok(bundle),
        Err(error) => inside()
            .map_err(|_| error)
            .context("expected a trust bundle"),
    }
}

/// The certificate of a file; an error in words when it is not one.
pub fn one(path: &Path) -> Result<Result<Vec<u8>, String>> {
    input::file(path)?;
    let list = match input::certificates(path) {
        Ok(list) => list,
        Err(error) => return Ok(Err(format!("{error:#}"))),
    };
    let count = list.len();
    let mut list = list.into_iter();
    Ok(match (list.next(), count) {
        (Some(certificate), 1) => Ok(certificate),
        _ => Err(format!("{count} certificates")),
    })
}

/// The certificates of a file, or of every file below a folder. What does not parse in a folder is ignored and
/// listed; in a file that was named it stays, to be refused.
pub fn certificates(path: &Path) -> Result<Found> {
    if !path.is_dir() {
        let certificates = input::certificates(path)?;
        return Ok(Found {
            certificates,
            ignored: Vec::new(),
        });
    }
    let mut found = Found::default();
    for file in files_below(path)? {
        found.file(&file)?;
    }
    Ok(found)
}

impl Found {
    fn file(&mut self, file: &Path) -> Result<()> {
        input::file(file)?;
        match input::certificates(file) {
            Ok(list) => list.into_iter().for_each(|der| self.add(file, der)),
            Err(error) => self.ignore(file, &format!("{error:#}")),
        }
        Ok(())
    }

    fn add(&mut self, file: &Path, der: Vec<u8>) {
        match Certificate::parse(&der) {
            Ok(_) => self.certificates.push(der),
            Err(error) => self.ignore(file, &error.to_string()),
        }
    }

    fn ignore(&mut self, file: &Path, reason: &str) {
        self.ignored.push(Ignored {
            file: file.display().to_string(),
            reason: reason.into(),
        });
    }
}

fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![(path.to_owned(), 0usize)];
    let mut files = Vec::new();
    while let Some((folder, depth)) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            match path.is_dir() {
                true if depth >= FOLDER_DEPTH_MAX => bail!("{}: too deep", path.display()),
                true => folders.push((path, depth.saturating_add(1))),
                false => files.push(path),
            }
        }
        if files.len() > FILES_MAX {
            bail!(
                "{}: expected at most {FILES_MAX} files, got more",
                path.display()
            );
        }
    }
    files.sort();
    Ok(files)
}

/// The revocation lists of the files, with the file each came from.
pub fn lists(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut lists = Vec::new();
    for path in paths {
        let bytes = input::file(path)?;
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            lists.push((path.clone(), bytes));
            continue;
        }
        for list in CertificateRevocationListDer::pem_slice_iter(&bytes) {
            let list =
                list.with_context(|| format!("{}: expected a CRL in PEM", path.display()))?;
            lists.push((path.clone(), list.to_vec()));
        }
    }
    Ok(lists)
}

/// A list as parsed; the error names its file.
pub fn list<'a>(path: &Path, der: &'a [u8]) -> Result<Crl<'a>, String> {
    Crl::parse(der).map_err(|error| format!("{}: {error}", path.display()))
}
