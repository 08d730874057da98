//! AMD's root keys (ARK), pinned per product by the digest of the key. No root is found by its name: a
//! certificate that says `ARK-Milan` proves nothing.

use super::product::Product;
use assay_protocol::hash::sha256;
use assay_protocol::ids::Digest;
use core::fmt;

/// Whose root it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootKind {
    /// AMD's.
    Amd,
    /// A test network's; worth nothing elsewhere.
    Test,
}

impl fmt::Display for RootKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd => "AMD",
            Self::Test => "test",
        })
    }
}

/// A pinned root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The product its keys endorse.
    pub product: Product,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub spki: Digest,
    /// Whose it is.
    pub kind: RootKind,
}

/// ARK-Milan, ARK-Genoa and ARK-Turin as AMD's key distribution service gives them
/// (`https://kdsintf.amd.com/vcek/v1/{product}/cert_chain`).
const AMD: [(Product, [u8; 32]); 3] = [
    (
        Product::Milan,
        [
            0x9f, 0x05, 0x6b, 0xee, 0x44, 0x37, 0x7e, 0x29, 0x30, 0x8c, 0xb5, 0xff, 0xa8, 0x95,
            0xbd, 0xfb, 0x62, 0xd1, 0x88, 0x81, 0xfa, 0x6b, 0xed, 0x8d, 0x6f, 0x07, 0x5b, 0x02,
            0x04, 0x08, 0x9c, 0xb9,
        ],
    ),
    (
        Product::Genoa,
        [
            0x42, 0x9a, 0x69, 0xc9, 0x42, 0x2a, 0xa2, 0x58, 0xee, 0x4d, 0x8d, 0xb5, 0xfc, 0xda,
            0x9c, 0x64, 0x70, 0xef, 0x15, 0xf8, 0xcd, 0x5a, 0x9c, 0xeb, 0xd6, 0xcb, 0xc7, 0xd9,
            0x0b, 0x86, 0x38, 0x31,
        ],
    ),
    (
        Product::Turin,
        [
            0x4f, 0x12, 0x54, 0x10, 0x56, 0x3a, 0x2a, 0xb9, 0xa5, 0x03, 0x56, 0xf9, 0x24, 0x3f,
            0x6f, 0xe0, 0xb6, 0xf7, 0x3d, 0xe9, 0x86, 0x03, 0xf5, 0x3f, 0x90, 0x33, 0x9c, 0x70,
            0xe9, 0xd7, 0xad, 0x08,
        ],
    ),
];

/// The root keys that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpRoots(Vec<Root>);

impl SnpRoots {
    /// AMD's, and nothing else: what production uses.
    pub fn amd() -> Self {
        let roots = AMD.map(|(product, spki)| Root {
            product,
            spki: Digest(spki),
            kind: RootKind::Amd,
        });
        Self(roots.to_vec())
    }

    /// Only these keys (whole `SubjectPublicKeyInfo`s), each of kind `test`: AMD's are not among them.
    pub fn test<'a>(keys: impl IntoIterator<Item = (Product, &'a [u8])>) -> Self {
        let roots = keys.into_iter().map(|(product, spki)| Root {
            product,
            spki: Digest(sha256(&[spki])),
            kind: RootKind::Test,
        });
        Self(roots.collect())
    }

    /// The root with this `SubjectPublicKeyInfo`.
    pub fn find(&self, spki: &[u8]) -> Option<Root> {
        self.find_digest(&Digest(sha256(&[spki])))
    }

    /// The root whose `SubjectPublicKeyInfo` has this SHA-256.
    pub(super) fn find_digest(&self, spki: &Digest) -> Option<Root> {
        self.0.iter().find(|root| root.spki == *spki).copied()
    }

    /// All of them.
    pub fn list(&self) -> &[Root] {
        &self.0
    }
}
