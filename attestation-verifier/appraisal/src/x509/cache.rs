//! Certificates repeat: roots, intermediates and VCEKs are the same for a fleet, so that each signature
//! is verified once and remembered by the digest of everything that went into it.
//!
//! Only signatures that verified are remembered, and keys that were decoded; dates, names and revocation are judged every time.

use crate::crypto::key::PublicKey;
use crate::crypto::signature::{self, Form, Scheme, Sha1, SignatureError};
use crate::crypto::verifying_key::VerifyingKey;
use assay_protocol::hash::sha256;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Entries kept; beyond it the cache starts afresh, so that hostile certificates cannot grow it.
pub const ENTRIES_MAX: usize = 16_384;

/// Signatures that verified. Empty at first; it may be shared between threads.
#[derive(Debug, Default)]
pub struct SignatureCache {
    verified: Mutex<HashSet<Entry>>,
    keys: Mutex<HashMap<Entry, Arc<VerifyingKey>>>,
}

impl SignatureCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`signature::verify`], but once per (key, scheme, message, signature).
    pub fn verify(
        &self,
        (key, spki): (&PublicKey, &[u8]),
        (scheme, form, sha1): (Scheme, Form, Sha1),
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let entry = entry(spki, (scheme, form, sha1), message, signature);
        if self.lock().contains(&entry) {
            return Ok(());
        }
        signature::verify(key, (scheme, form, sha1), message, signature)?;
        let mut verified = self.lock();
        if verified.len() >= ENTRIES_MAX {
            verified.clear();
        }
        verified.insert(entry);
        Ok(())
    }

    /// The key of a certificate that verifies many signatures, decoded once per (key, scheme). That it was decoded
    /// proves nothing of it: it may only come from a certificate whose path held.
    pub fn decoded(
        &self,
        (key, spki): (&PublicKey, &[u8]),
        (scheme, form): (Scheme, Form),
    ) -> Result<Arc<VerifyingKey>, SignatureError> {
        let entry = entry(spki, (scheme, form, Sha1::Refused), &[], &[]);
        if let Some(known) = locked(&self.keys).get(&entry) {
            return Ok(Arc::clone(known));
        }
        let decoded = Arc::new(VerifyingKey::new(key.clone(), scheme, form)?);
        let mut keys = locked(&self.keys);
        if keys.len() >= ENTRIES_MAX {
            keys.clear();
        }
        keys.insert(entry, Arc::clone(&decoded));
        Ok(decoded)
    }

    /// Signatures remembered.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Entry>> {
        locked(&self.verified)
    }
}

/// A panic elsewhere leaves a set whole: entries are inserted in one step.
fn locked<T>(set: &Mutex<T>) -> MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a signature is remembered by: how it is verified, and the digest of everything that goes into it.
type Entry = (Scheme, Form, Sha1, [u8; 32]);

/// Each part is hashed with its length, so that no two tuples give one entry.
fn entry(
    spki: &[u8],
    (scheme, form, sha1): (Scheme, Form, Sha1),
    message: &[u8],
    signature: &[u8],
) -> Entry {
    let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes();
    let digest = sha256(&[
        b"assay/verified/2",
        &size(spki),
        spki,
        &size(message),
        message,
        signature,
    ]);
    (scheme, form, sha1, digest)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Ca;
    use super::*;
    use crate::tpm::algorithm::HashAlg;

    #[test]
    fn a_key_is_decoded_once_for_each_scheme_and_never_taken_for_another() {
        let how = (Scheme::Ecdsa(HashAlg::Sha256), Form::Der);
        let cache = SignatureCache::new();
        let decoded = |ca: &Ca, how| {
            let spki = ca.spki();
            let key = PublicKey::from_spki(&spki).unwrap();
            cache.decoded((&key, &spki), how)
        };
        let (one, two) = (Ca::new("One"), Ca::new("Two"));
        let key = decoded(&one, how).unwrap();
        assert!(Arc::ptr_eq(&key, &decoded(&one, how).unwrap()));
        assert_ne!(key, decoded(&two, how).unwrap());
        let other = (Scheme::Ecdsa(HashAlg::Sha384), Form::Der);
        assert_ne!(key, decoded(&one, other).unwrap());
        let sha1 = (Scheme::Ecdsa(HashAlg::Sha1), Form::Der);
        assert!(decoded(&one, sha1).is_err());
        assert!(cache.is_empty(), "a decoded key is no verified signature");
    }
}
