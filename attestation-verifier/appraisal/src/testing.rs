//! What tests of several modules share: a software session key, and where the reference data is.

use assay_protocol::cose::{PublicKey, Signer};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use std::path::{Path, PathBuf};

/// The reference data's folder: `$ASSAY_VECTORS`, by default `shared/vectors` beside the repository.
pub(crate) fn vectors() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("ASSAY_VECTORS").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT TESTED: no reference data at {} (set ASSAY_VECTORS)",
        folder.display()
    );
    None
}

/// An Ed25519 key made from one byte.
pub(crate) struct SessionSigner(Ed25519KeyPair);

impl SessionSigner {
    pub(crate) fn new(byte: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap())
    }
}

impl Signer for SessionSigner {
    fn public_key(&self) -> PublicKey {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}
