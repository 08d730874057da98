//! Certificates repeat: roots, intermediates and VCEKs are the same for a fleet, so that each signature
//! is verified once and remembered by the digest of everything that went into it.
//!
//! Only signatures that verified are remembered; dates, names and revocation are judged every time.

use crate::crypto::key::PublicKey;
use crate::crypto::signature::{self, Form, Scheme, Sha1, SignatureError};
use assay_protocol::hash::sha256;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries kept; beyond it the cache starts afresh, so that hostile certificates cannot grow it.
pub const ENTRIES_MAX: usize = 16_384;

/// Signatures that verified. Empty at first; it may be shared between threads.
#[derive(Debug, Default)]
pub struct SignatureCache {
    verified: Mutex<HashSet<Entry>>,
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

    /// Signatures remembered.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A panic elsewhere leaves the set whole: entries are inserted in one step.
    fn lock(&self) -> MutexGuard<'_, HashSet<Entry>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    use super::*;
    use crate::tpm::algorithm::HashAlg;

    /// Bytes moved from one part to the next, or another way to verify, are another entry.
    #[test]
    fn an_entry_is_of_one_key_one_way_one_message_and_one_signature() {
        let how = (Scheme::Ecdsa(HashAlg::Sha256), Form::Der, Sha1::Refused);
        let other_ways = [
            (Scheme::Ecdsa(HashAlg::Sha384), Form::Der, Sha1::Refused),
            (Scheme::Ecdsa(HashAlg::Sha256), Form::Fixed, Sha1::Refused),
            (Scheme::Ecdsa(HashAlg::Sha256), Form::Der, Sha1::Legacy),
        ];
        let base = entry(b"key", how, b"message", b"signature");
        assert_eq!(base, entry(b"key", how, b"message", b"signature"));
        let parts: [[&[u8]; 3]; 5] = [
            [b"keym", b"essage", b"signature"],
            [b"key", b"messages", b"ignature"],
            [b"kez", b"message", b"signature"],
            [b"key", b"messagf", b"signature"],
            [b"key", b"message", b"signaturf"],
        ];
        for [spki, message, signature] in parts {
            assert_ne!(base, entry(spki, how, message, signature));
        }
        for how in other_ways {
            assert_ne!(base, entry(b"key", how, b"message", b"signature"));
        }
    }

    #[test]
    fn a_signature_that_does_not_verify_is_not_remembered() {
        let cache = SignatureCache::new();
        let key = super::super::testing::Ca::new("One");
        let spki = key.spki();
        let public = PublicKey::from_spki(&spki).unwrap();
        let how = (Scheme::Ecdsa(HashAlg::Sha256), Form::Der, Sha1::Refused);
        let verified = cache.verify((&public, &spki), how, b"message", b"signature");
        assert!(verified.is_err() && cache.is_empty());
        let entry = entry(&spki, how, b"message", b"signature");
        cache.lock().insert(entry);
        assert!(!cache.is_empty() && cache.len() == 1);
        assert!(
            cache
                .verify((&public, &spki), how, b"message", b"signature")
                .is_ok()
        );
    }
}
