//! Hashing without allocation: one call of the library per digest, registers on the stack.

use crate::tpm::algorithm::HashAlg;
use aws_lc_rs::digest::{self, Digest};

/// Size of the largest digest.
const SIZE_MAX: usize = 64;

#[cfg(test)]
thread_local! {
    /// Bytes hashed by this thread: a test counts them, to show that work grows as the log does.
    pub(super) static HASHED: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// The digest of `bytes`.
pub(super) fn digest(bank: HashAlg, bytes: &[u8]) -> Digest {
    #[cfg(test)]
    HASHED.with(|count| count.set(count.get() + bytes.len()));
    let algorithm = match bank {
        HashAlg::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashAlg::Sha256 => &digest::SHA256,
        HashAlg::Sha384 => &digest::SHA384,
        HashAlg::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, bytes)
}

/// The value of a PCR in one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register {
    bank: HashAlg,
    bytes: [u8; SIZE_MAX],
}

impl Register {
    /// A register filled with `fill`, its last byte `last`.
    pub(super) fn new(bank: HashAlg, fill: u8, last: u8) -> Self {
        let mut bytes = [fill; SIZE_MAX];
        if let Some(byte) = bytes.get_mut(bank.size().saturating_sub(1)) {
            *byte = last;
        }
        Self { bank, bytes }
    }

    /// The value, as many bytes as the bank has.
    pub(crate) fn value(&self) -> &[u8] {
        self.bytes.get(..self.bank.size()).unwrap_or_default()
    }

    /// `TPM2_PCR_Extend`: the digest of old value and `by` (TPM 2.0 Library, part 3, section 22.2).
    pub(super) fn extend(&mut self, by: &[u8]) {
        let size = self.bank.size();
        let mut both = [0; 2 * SIZE_MAX];
        let (old, rest) = both.split_at_mut(size);
        copy(old, &self.bytes);
        copy(rest, by);
        let input = both.get(..size.saturating_add(by.len())).unwrap_or(&both);
        copy(&mut self.bytes, digest(self.bank, input).as_ref());
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    let size = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..size), from.get(..size)) {
        to.copy_from_slice(from);
    }
}
