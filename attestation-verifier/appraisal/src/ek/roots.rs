//! The certificates an endorsement key's path may end at. A root is pinned by its bytes; its own validity dates
//! are not looked at, because whoever configured it decided.
//!
//! A network's trust bundle says of each root what stands behind it ([`Standing`]). Bare certificates say nothing:
//! a path to one of those proves that the certificate is genuine as far as that root goes, and can never become a
//! [`super::CertifiedEk`], which is what a tier needs.

use crate::tpm::ek_template::kind_name;
use crate::x509::{SignatureCache, Store};
use assay_protocol::hash::digest;
use assay_protocol::ids::Digest;
use assay_protocol::trust::{EkType, RootKind, TrustBundle, VendorRoot};
use std::collections::HashMap;
use std::sync::Arc;

/// Most roots, and most intermediates, accepted in one bundle.
pub const CERTIFICATES_MAX: usize = 4096;

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
    /// A certificate is none.
    #[error("{what} {name:?}: expected a DER certificate, got {problem}")]
    Malformed {
        /// Root or intermediate.
        what: &'static str,
        /// The root's name; of a bare certificate, its place in the list.
        name: String,
        /// The parser's words.
        problem: String,
    },
    /// Two roots with the same name and key would leave the kind open.
    #[error("trust root {0:?}: its subject and key are listed twice")]
    Twice(String),
}

/// What a network says of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What stands behind it.
    pub kind: RootKind,
    /// The one kind of endorsement key that has a node id under it.
    pub eligible: EkType,
    /// The least `firmwareVersion` a quote of its TPMs may carry; 0 = none.
    pub firmware_min: u64,
}

impl Standing {
    pub(super) fn eligible_name(&self) -> &'static str {
        kind_name(self.eligible)
    }
}

/// Parsed roots and intermediates, with the signatures that verified so far.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    anchors: Store,
    intermediates: Store,
    standings: HashMap<Digest, Standing>,
    cache: Arc<SignatureCache>,
}

impl Roots {
    /// Parses a network's bundle; refuses an empty one.
    pub fn new(bundle: &TrustBundle) -> Result<Self, RootError> {
        count("roots", 1, bundle.roots.len())?;
        let intermediates = bundle.roots.iter().map(|root| root.intermediates.len());
        count(
            "intermediates",
            0,
            intermediates.fold(0, usize::saturating_add),
        )?;
        let mut parsed = Self::default();
        bundle.roots.iter().try_for_each(|root| parsed.add(root))?;
        Ok(parsed)
    }

    /// Pins bare certificates, each as it is: an intermediate among them is a root too. Nothing is known of them,
    /// so nothing under them becomes a [`super::CertifiedEk`].
    pub fn bare<'c>(
        roots: impl IntoIterator<Item = &'c [u8]>,
        intermediates: impl IntoIterator<Item = &'c [u8]>,
    ) -> Result<Self, RootError> {
        let mut parsed = Self::default();
        for (at, der) in roots.into_iter().enumerate() {
            let name = || format!("number {at}");
            let added = parsed.anchors.add(der);
            added.map_err(|error| malformed("trust root", name(), &error))?;
            count("roots", 1, at.saturating_add(1))?;
        }
        parsed.add_intermediates(intermediates)?;
        count("roots", 1, parsed.anchors.len())?;
        Ok(parsed)
    }

    /// Adds intermediates; they prove nothing of themselves.
    pub fn add_intermediates<'c>(
        &mut self,
        intermediates: impl IntoIterator<Item = &'c [u8]>,
    ) -> Result<(), RootError> {
        for (at, der) in intermediates.into_iter().enumerate() {
            let name = || format!("number {at}");
            let added = self.intermediates.add(der);
            added.map_err(|error| malformed("intermediate", name(), &error))?;
            count("intermediates", 0, self.intermediates.len())?;
        }
        Ok(())
    }

    /// What is said of the root with this digest; nothing of a bare one.
    pub fn standing(&self, root: Digest) -> Option<Standing> {
        self.standings.get(&root).copied()
    }

    /// The pinned certificates.
    pub fn anchors(&self) -> &Store {
        &self.anchors
    }

    /// The certificates that may stand between.
    pub fn intermediates(&self) -> &Store {
        &self.intermediates
    }

    /// Signatures under these roots that verified.
    pub fn cache(&self) -> &SignatureCache {
        &self.cache
    }

    fn add(&mut self, root: &VendorRoot) -> Result<(), RootError> {
        let name = || root.name.clone();
        let actual = digest(&[&root.certificate]);
        if actual != root.sha256 {
            return Err(RootError::Digest {
                name: name(),
                expected: root.sha256,
                actual,
            });
        }
        if self.has_its_key(&root.certificate) {
            return Err(RootError::Twice(name()));
        }
        let added = self.anchors.add(&root.certificate);
        added.map_err(|error| malformed("trust root", name(), &error))?;
        let standing = Standing {
            kind: root.kind,
            eligible: root.ek_type,
            firmware_min: root.firmware_min,
        };
        self.standings.insert(actual, standing);
        for der in &root.intermediates {
            let added = self.intermediates.add(&der.0);
            added.map_err(|error| malformed("intermediate of", name(), &error))?;
        }
        Ok(())
    }

    /// Whether a root with this one's subject and key is there already.
    fn has_its_key(&self, der: &[u8]) -> bool {
        let Ok(root) = crate::x509::Certificate::parse(der) else {
            return false;
        };
        let mut same_name = self.anchors.named(root.subject);
        same_name.any(|other| other.key == root.key)
    }
}

fn malformed(what: &'static str, name: String, problem: &impl ToString) -> RootError {
    RootError::Malformed {
        what,
        name,
        problem: problem.to_string(),
    }
}

fn count(what: &'static str, min: usize, actual: usize) -> Result<(), RootError> {
    if (min..=CERTIFICATES_MAX).contains(&actual) {
        return Ok(());
    }
    Err(RootError::Count { what, min, actual })
}
