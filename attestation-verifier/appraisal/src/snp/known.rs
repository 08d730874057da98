//! Chains that were read and verified before.
//!
//! A fleet shows the same certificates again and again. What is found in them that depends on nothing else is found
//! once; who is trusted, what time it is and what was revoked is asked every time ([`super::chain`]).

use super::report::KeyKind;
use super::tcb::Tcb;
use super::verify::Certificates;
use super::{Product, endorsement::Endorsement};
use crate::checks::CheckList;
use crate::crypto::signature::{Form, Scheme, SignatureError};
use crate::crypto::verifying_key::{Verifier as _, VerifyingKey};
use crate::tpm::algorithm::HashAlg;
use crate::x509::{SignatureCache, Validity};
use assay_protocol::hash::sha256;
use assay_protocol::ids::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Chains kept; beyond it the cache starts afresh, so that hostile certificates cannot grow it.
pub const CHAINS_MAX: usize = 16_384;
/// How reports are signed.
const REPORT: (Scheme, Form) = (Scheme::Ecdsa(HashAlg::Sha384), Form::Fixed);

/// Chains that were verified under a pinned root, and signatures of certificates. Empty at first; it may be shared
/// between threads, and between verifiers that trust different roots.
#[derive(Debug, Default)]
pub struct ChainCache {
    /// Signatures: one intermediate stands over many leaves.
    pub(super) signatures: SignatureCache,
    chains: Mutex<HashMap<Id, Arc<KnownChain>>>,
}

/// SHA-256 of three certificates and what the leaf is said to be.
pub(super) type Id = [u8; 32];

impl ChainCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chains remembered.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no chain is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, id: &Id) -> Option<Arc<KnownChain>> {
        self.lock().get(id).cloned()
    }

    /// Only for a chain all of whose checks passed, its root being pinned among them.
    pub(super) fn keep(&self, id: Id, chain: &Arc<KnownChain>) {
        let mut chains = self.lock();
        if chains.len() >= CHAINS_MAX {
            chains.clear();
        }
        chains.insert(id, Arc::clone(chain));
    }

    /// A panic elsewhere leaves the map whole: entries are inserted in one step.
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<KnownChain>>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every byte that decides what is found in the certificates, each part with its length.
pub(super) fn id(certificates: Certificates<'_>) -> Id {
    let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes();
    let kind: &[u8] = match certificates.kind {
        KeyKind::Vcek => b"VCEK",
        KeyKind::Vlek => b"VLEK",
    };
    sha256(&[
        b"assay/chain/1",
        kind,
        &size(certificates.leaf),
        certificates.leaf,
        &size(certificates.intermediate),
        certificates.intermediate,
        certificates.root,
    ])
}

/// What three certificates say, whatever the time and whoever is trusted.
#[derive(Debug)]
pub(super) struct Facts {
    /// VCEK or VLEK.
    pub(super) kind: KeyKind,
    /// The product the leaf names.
    pub(super) product: Product,
    /// The TCB the leaf's key is derived from.
    pub(super) tcb: Tcb,
    /// The chip, padded to 64 bytes as in a report; a VLEK has none.
    pub(super) hardware_id: Option<[u8; 64]>,
    /// Whom a VLEK was issued to.
    pub(super) csp_id: Option<String>,
    /// Common name of the intermediate.
    pub(super) role: String,
    /// SHA-256 of the root's `SubjectPublicKeyInfo`.
    pub(super) root_key: Digest,
    /// Of root, intermediate and leaf.
    pub(super) validities: [Validity; 3],
}

/// Facts, the checks they rest on, and the key that reports are verified with.
#[derive(Debug)]
pub(super) struct KnownChain {
    /// What the certificates say.
    pub(super) facts: Facts,
    /// The checks of their structure.
    pub(super) structure: CheckList,
    /// The checks that they fit each other.
    pub(super) linkage: CheckList,
    /// Decoded once: that takes as long as a signature.
    key: Result<VerifyingKey, SignatureError>,
}

impl KnownChain {
    pub(super) fn new(
        facts: Facts,
        leaf: &Endorsement<'_>,
        [structure, linkage]: [CheckList; 2],
    ) -> Self {
        let (scheme, form) = REPORT;
        Self {
            facts,
            structure: structure.shrunk(),
            linkage: linkage.shrunk(),
            key: VerifyingKey::new(leaf.certificate.key.clone(), scheme, form),
        }
    }

    /// Verifies the signature of a report by the leaf's key: ECDSA P-384 with SHA-384.
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let (scheme, form) = REPORT;
        let key = self.key.as_ref().map_err(Clone::clone)?;
        key.verify(scheme, form, signed, signature)
    }
}
