//! The configured bundle of TPM vendor roots. A root is pinned by its bytes; its own validity dates
//! are not looked at, because whoever configured it decided.

use crate::tpm::ek_template::kind_name;
use assay_protocol::hash::digest;
use assay_protocol::ids::Digest;
use assay_protocol::trust::{EkType, RootKind, TrustBundle, VendorRoot};
use rustls_pki_types::{CertificateDer, TrustAnchor};

/// Most roots, and most intermediates, accepted in one bundle.
pub const CERTIFICATES_MAX: usize = 1024;

/// A bundle cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Nothing to trust, or too much.
    #[error("trust bundle: {what}: expected {min} to {CERTIFICATES_MAX}, got {actual}")]
    Count {
        /// Roots or intermediates.
        what: &'static str,
        /// The least number.
        min: usize,
        /// What the bundle has.
        actual: usize,
    },
    /// The bytes are not the ones their digest names.
    #[error("trust root {name:?}: expected SHA-256 {expected}, got {actual}")]
    Digest {
        /// The root's name.
        name: String,
        /// The digest listed.
        expected: Digest,
        /// The digest of the bytes listed.
        actual: Digest,
    },
    /// A certificate is no trust anchor.
    #[error("trust root {name:?}: expected a DER certificate, got {problem}")]
    Malformed {
        /// The root's name.
        name: String,
        /// The parser's words.
        problem: String,
    },
    /// Two roots with the same name and key would leave the kind open.
    #[error("trust root {0:?}: its subject and key are listed twice")]
    Twice(String),
}

/// A parsed bundle.
#[derive(Debug, Clone)]
pub struct Roots {
    pub(super) entries: Vec<Entry>,
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) kind: RootKind,
    pub(super) eligible: EkType,
}

impl Entry {
    pub(super) fn eligible_name(&self) -> &'static str {
        kind_name(self.eligible)
    }
}

impl Roots {
    /// Parses a bundle; refuses an empty one.
    pub fn new(bundle: &TrustBundle) -> Result<Self, RootError> {
        count("roots", 1, bundle.roots.len())?;
        let mut parsed = Self {
            entries: Vec::new(),
            anchors: Vec::new(),
            intermediates: Vec::new(),
        };
        bundle.roots.iter().try_for_each(|root| parsed.add(root))?;
        count("intermediates", 0, parsed.intermediates.len())?;
        Ok(parsed)
    }

    fn add(&mut self, root: &VendorRoot) -> Result<(), RootError> {
        let name = root.name.clone();
        let actual = digest(&[&root.certificate]);
        if actual != root.sha256 {
            return Err(RootError::Digest {
                name,
                expected: root.sha256,
                actual,
            });
        }
        let der = CertificateDer::from(root.certificate.as_slice());
        let anchor = match webpki::anchor_from_trusted_cert(&der) {
            Ok(anchor) => anchor.to_owned(),
            Err(error) => {
                return Err(RootError::Malformed {
                    name,
                    problem: format!("{error:?}"),
                });
            }
        };
        if self.anchors.contains(&anchor) {
            return Err(RootError::Twice(name));
        }
        self.anchors.push(anchor);
        self.entries.push(Entry {
            digest: actual,
            kind: root.kind,
            eligible: root.ek_type,
        });
        let intermediates = root.intermediates.iter();
        self.intermediates
            .extend(intermediates.map(|der| CertificateDer::from(der.0.clone())));
        Ok(())
    }
}

fn count(what: &'static str, min: usize, actual: usize) -> Result<(), RootError> {
    if (min..=CERTIFICATES_MAX).contains(&actual) {
        return Ok(());
    }
    Err(RootError::Count { what, min, actual })
}
