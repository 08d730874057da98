//! The signature in a file's `security.ima` (Linux `integrity.h`: `signature_v2_hdr`, `ima_file_id`).
//!
//! ```text
//! type 1 | version 1 | hash algorithm 1 | key id 4, big-endian | size 2, big-endian | signature
//! ```

use super::template::{DigestKind, FileDigest};
use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::{FormatError, Reader};

/// `EVM_IMA_XATTR_DIGSIG`: over a file's content.
const TYPE_CONTENT: u8 = 0x03;
/// `IMA_VERITY_DIGSIG`: over the digest of a file's fs-verity descriptor.
const TYPE_VERITY: u8 = 0x06;
/// Largest signature of an accepted key (RSA-4096), bytes.
pub const SIGNATURE_BYTES_MAX: usize = 512;
const HEADER_BYTES: usize = 9;

/// A file signature: **not verified**.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSignature<'a> {
    /// What the digest must be taken over.
    pub kind: DigestKind,
    /// Whether the digest itself is signed (2), or a structure that also names its kind (3).
    pub version: u8,
    /// The algorithm of the digest.
    pub alg: HashAlg,
    /// The key's identifier: a hint, not a name.
    pub key_id: u32,
    /// PKCS#1 v1.5 or DER ECDSA.
    pub signature: &'a [u8],
}

/// A signature does not have its form, or is not of this digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileSignatureError {
    /// It does not parse.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It is over another kind of digest or another algorithm than the entry's.
    #[error("file signature: expected one over {expected}, got one over {actual}")]
    Digest {
        /// The entry's digest, in words.
        expected: String,
        /// The signature's, in words.
        actual: String,
    },
}

impl<'a> FileSignature<'a> {
    /// Parses one; refuses trailing bytes, as the kernel does.
    ///
    /// Version 2 is for contents only. Version 3 signs a hash over type, algorithm and digest; fs-verity
    /// digests have no other.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let max = SIGNATURE_BYTES_MAX.saturating_add(HEADER_BYTES);
        let mut r = Reader::new("file signature", bytes, max)?;
        let (first, version) = (r.u8("type")?, r.u8("version")?);
        let kind = match (first, version) {
            (TYPE_CONTENT, 2 | 3) => DigestKind::Content,
            (TYPE_VERITY, 3) => DigestKind::Verity,
            (TYPE_CONTENT, _) => return Err(r.unexpected("version", "2 or 3", version)),
            (TYPE_VERITY, _) => return Err(r.unexpected("version", "3", version)),
            _ => return Err(r.unexpected("type", "3 (content) or 6 (fs-verity)", first)),
        };
        let id = r.u8("hash algorithm")?;
        let alg =
            from_kernel(id).ok_or_else(|| r.unexpected("hash algorithm", "SHA-1 or SHA-2", id))?;
        let key_id = r.u32("key id")?;
        let signature = r.sized("signature", SIGNATURE_BYTES_MAX)?;
        r.finish()?;
        Ok(Self {
            kind,
            version,
            alg,
            key_id,
            signature,
        })
    }

    /// The digest that is signed when `file` is the entry's.
    ///
    /// An entry whose template does not tell contents from fs-verity descriptors (`d-ng`) holds contents:
    /// the kernel refuses to measure descriptors with such a template.
    pub(super) fn signed_digest(
        &self,
        file: &FileDigest<'_>,
    ) -> Result<Vec<u8>, FileSignatureError> {
        if (self.kind, self.alg) != (file.kind, file.alg) {
            return Err(FileSignatureError::Digest {
                expected: format!("{:?} {:?}", file.kind, file.alg),
                actual: format!("{:?} {:?}", self.kind, self.alg),
            });
        }
        if self.version == 2 {
            return Ok(file.bytes.to_vec());
        }
        let kind = match self.kind {
            DigestKind::Content => TYPE_CONTENT,
            DigestKind::Verity => TYPE_VERITY,
        };
        let id = [kind, to_kernel(self.alg)];
        Ok(self.alg.digest(&[&id, file.bytes]))
    }
}

/// `enum hash_algo` (include/uapi/linux/hash_info.h).
fn from_kernel(id: u8) -> Option<HashAlg> {
    match id {
        2 => Some(HashAlg::Sha1),
        4 => Some(HashAlg::Sha256),
        5 => Some(HashAlg::Sha384),
        6 => Some(HashAlg::Sha512),
        _ => None,
    }
}

pub(super) fn to_kernel(alg: HashAlg) -> u8 {
    match alg {
        HashAlg::Sha1 => 2,
        HashAlg::Sha256 => 4,
        HashAlg::Sha384 => 5,
        HashAlg::Sha512 => 6,
    }
}
