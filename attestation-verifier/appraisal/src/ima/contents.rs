//! Files that may be measured under any name, as a hardware class lists them.

use super::template::{DigestKind, FileDigest};
use crate::tpm::algorithm::HashAlg;
use assay_protocol::ids::Digest;
use std::borrow::Cow;

/// SHA-256 digests of contents. Built from a list in ascending order, as a valid class has it, it copies nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents<'a>(Cow<'a, [Digest]>);

impl<'a> Contents<'a> {
    /// These digests, in whatever order.
    pub fn new(digests: &'a [Digest]) -> Self {
        if digests.is_sorted() {
            return Self(Cow::Borrowed(digests));
        }
        let mut sorted = digests.to_vec();
        sorted.sort_unstable();
        Self(Cow::Owned(sorted))
    }

    /// These digests, which are ascending already, as those of a valid class are: in any other order some are not
    /// found.
    pub fn ascending(digests: &'a [Digest]) -> Self {
        Self(Cow::Borrowed(digests))
    }

    /// Whether `digest` is one of them: of a content, by SHA-256.
    pub fn has(&self, digest: &FileDigest<'_>) -> bool {
        let of_content = digest.kind == DigestKind::Content && digest.alg == HashAlg::Sha256;
        let Ok(wanted) = <[u8; Digest::LEN]>::try_from(digest.bytes) else {
            return false;
        };
        let order = |listed: &Digest| head(&listed.0).cmp(&head(&wanted));
        let found = |listed: &Digest| order(listed).then_with(|| listed.0.cmp(&wanted));
        of_content && self.0.binary_search_by(found).is_ok()
    }
}

/// The first bytes as a number: compared first, they decide nearly always.
fn head(digest: &[u8; Digest::LEN]) -> u64 {
    let head = digest.first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sha256_digests_of_contents_are_found_in_whatever_order_they_come() {
        let digest = |bytes: &'static [u8], kind, alg| FileDigest { kind, alg, bytes };
        let values = [3, 1, 2].map(|byte| Digest([byte; 32]));
        let mut ascending = values;
        ascending.sort();
        for list in [
            Contents::new(&values),
            Contents::new(&ascending),
            Contents::ascending(&ascending),
        ] {
            for bytes in [&[1; 32], &[2; 32], &[3; 32]] {
                assert!(list.has(&digest(bytes, DigestKind::Content, HashAlg::Sha256)));
            }
            for (bytes, kind, alg) in [
                (&[4; 32][..], DigestKind::Content, HashAlg::Sha256),
                (&[0; 32], DigestKind::Content, HashAlg::Sha256),
                (&[1; 31], DigestKind::Content, HashAlg::Sha256),
                (&[1; 32], DigestKind::Verity, HashAlg::Sha256),
                (&[1; 32], DigestKind::Content, HashAlg::Sha384),
            ] {
                assert!(!list.has(&digest(bytes, kind, alg)));
            }
        }
        assert!(matches!(Contents::new(&ascending).0, Cow::Borrowed(_)));
        assert!(!Contents::default().has(&digest(&[1; 32], DigestKind::Content, HashAlg::Sha256)));
    }
}
