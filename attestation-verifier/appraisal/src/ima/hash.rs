//! Hashes without a heap: a list has as many as it has entries.

use crate::tpm::algorithm::HashAlg;
use aws_lc_rs::digest;
use core::fmt;

/// Size of the largest digest, bytes.
pub(super) const HASH_BYTES_MAX: usize = 64;

/// A digest of any of the known algorithms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash {
    bytes: [u8; HASH_BYTES_MAX],
    size: usize,
}

impl Hash {
    /// `size` bytes of `fill`.
    pub(super) fn filled(size: usize, fill: u8) -> Self {
        let mut hash = Self {
            bytes: [0; HASH_BYTES_MAX],
            size: size.min(HASH_BYTES_MAX),
        };
        if let Some(bytes) = hash.bytes.get_mut(..size) {
            bytes.fill(fill);
        }
        hash
    }

    /// `bytes`, followed by zeros up to `size`; nothing when they do not fit.
    pub(super) fn padded(bytes: &[u8], size: usize) -> Option<Self> {
        let mut hash = Self::filled(size, 0);
        hash.bytes
            .get_mut(..size)?
            .get_mut(..bytes.len())?
            .copy_from_slice(bytes);
        Some(hash)
    }

    /// The digest of `data`.
    pub(super) fn of(alg: HashAlg, data: &[u8]) -> Self {
        let digest = digest::digest(algorithm(alg), data);
        Self::padded(digest.as_ref(), alg.size()).unwrap_or(Self::filled(alg.size(), 0))
    }

    /// The value of a PCR after it was extended by `by` (TPM 2.0 part 1, section 17.2).
    pub(super) fn extended(&self, alg: HashAlg, by: &Self) -> Self {
        let mut buffer = [0; 2 * HASH_BYTES_MAX];
        let (head, tail) = buffer.split_at_mut(self.size);
        head.copy_from_slice(self.as_ref());
        let length = self.size.saturating_add(by.size);
        if let Some(tail) = tail.get_mut(..by.size) {
            tail.copy_from_slice(by.as_ref());
        }
        Self::of(alg, buffer.get(..length).unwrap_or_default())
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or_default()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self))
    }
}

fn algorithm(alg: HashAlg) -> &'static digest::Algorithm {
    match alg {
        HashAlg::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashAlg::Sha256 => &digest::SHA256,
        HashAlg::Sha384 => &digest::SHA384,
        HashAlg::Sha512 => &digest::SHA512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_hashes_of_the_rest_of_the_crate() {
        for alg in [
            HashAlg::Sha1,
            HashAlg::Sha256,
            HashAlg::Sha384,
            HashAlg::Sha512,
        ] {
            let (a, b) = (Hash::of(alg, b"a"), Hash::of(alg, b"b"));
            assert_eq!(a.as_ref(), alg.digest(&[b"a"]));
            let expected = alg.digest(&[a.as_ref(), b.as_ref()]);
            assert_eq!(a.extended(alg, &b).as_ref(), expected);
            assert_eq!(
                Hash::filled(alg.size(), 0xff).as_ref(),
                vec![0xff; alg.size()]
            );
        }
        let padded = Hash::padded(&[7; 20], 32).unwrap();
        assert_eq!(padded.as_ref(), [[7; 20].as_slice(), &[0; 12]].concat());
        assert!(Hash::padded(&[7; 21], 20).is_none() && Hash::padded(&[], 65).is_none());
    }
}
