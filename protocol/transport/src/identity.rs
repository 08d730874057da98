//! An Ed25519 key that signs and is its own TLS identity.

use assay_protocol::cose::{PublicKey, Signer};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// DER of an Ed25519 SubjectPublicKeyInfo up to the key (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why an identity could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The library refused to make a key.
    #[error("Ed25519 key generation failed")]
    Generate,
    /// A file error.
    #[error("key file {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Others may read the key.
    #[error(
        "key file {path}: mode is {mode:04o}, expected 0600: others could read the key\nhint: chmod 600 {path}"
    )]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
    },
    /// Not a key.
    #[error("key file {path}: expected an Ed25519 key in PKCS#8 DER")]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
}

/// An Ed25519 key pair in memory; `Debug` shows the public half only.
#[derive(Clone)]
pub struct Identity {
    pair: Arc<Ed25519KeyPair>,
    certified: Arc<CertifiedKey>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex: String = self
            .public_key()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        write!(f, "Identity({hex})")
    }
}

impl Signer for Identity {
    fn public_key(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        key
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

impl Identity {
    /// A new key that only lives in memory.
    pub fn generate() -> Result<Self, IdentityError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| IdentityError::Generate)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| IdentityError::Generate)?;
        Self::from_pkcs8(pkcs8.as_ref()).ok_or(IdentityError::Generate)
    }

    /// Loads a key file that nobody else may read.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let file = |source| IdentityError::File {
            path: path.to_owned(),
            source,
        };
        let mode = fs::metadata(path).map_err(file)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Permissions {
                path: path.to_owned(),
                mode,
            });
        }
        let pkcs8 = fs::read(path).map_err(file)?;
        Self::from_pkcs8(&pkcs8).ok_or_else(|| IdentityError::Malformed {
            path: path.to_owned(),
        })
    }

    /// Makes a new key and writes it to a file that must not exist yet, mode 0600.
    pub fn create(path: &Path) -> Result<Self, IdentityError> {
        let file = |source| IdentityError::File {
            path: path.to_owned(),
            source,
        };
        let pair = Ed25519KeyPair::generate().map_err(|_| IdentityError::Generate)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| IdentityError::Generate)?;
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(file)?;
        out.write_all(pkcs8.as_ref())
            .and_then(|()| out.sync_all())
            .map_err(file)?;
        Self::from_pkcs8(pkcs8.as_ref()).ok_or(IdentityError::Generate)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
        let signing = rustls::crypto::aws_lc_rs::sign::any_eddsa_type(match &private {
            PrivateKeyDer::Pkcs8(key) => key,
            _ => return None,
        })
        .ok()?;
        let spki = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).ok()?;
        let certificate = CertificateDer::from(spki.as_ref().to_vec());
        let certified = Arc::new(CertifiedKey::new(vec![certificate], signing));
        Some(Self {
            pair: Arc::new(pair),
            certified,
        })
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// The key inside a raw public key as TLS carries it: an Ed25519 SubjectPublicKeyInfo, nothing else.
pub fn key_of_spki(spki: &[u8]) -> Option<PublicKey> {
    spki.strip_prefix(&SPKI_PREFIX[..])?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_created_once_and_loads_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = Identity::create(&path).unwrap();
        assert_eq!(
            Identity::load(&path).unwrap().public_key(),
            made.public_key()
        );
        assert!(matches!(
            Identity::create(&path),
            Err(IdentityError::File { .. })
        ));
    }

    #[test]
    fn a_readable_or_malformed_key_file_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        Identity::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Identity::load(&path).unwrap_err().to_string();
        assert!(
            error.contains("0640") && error.contains("hint: chmod 600"),
            "{error}"
        );
        fs::write(&path, b"not a key").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            Identity::load(&path),
            Err(IdentityError::Malformed { .. })
        ));
    }

    #[test]
    fn debug_shows_no_secret() {
        let identity = Identity::generate().unwrap();
        let text = format!("{identity:?}");
        assert_eq!(text.len(), "Identity()".len() + 64);
    }
}
