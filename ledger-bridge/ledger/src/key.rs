//! A secp256k1 ledger key: from a private file, never printed.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use alloy_consensus::SignableTransaction;
use alloy_primitives::B256;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use assay_protocol::ids;

use crate::tx::{SignedTx, TxRequest, TxSigner};

/// Longest key file that is read: 64 digits, `0x` and a line end leave room.
const MAX_FILE_BYTES: u64 = 128;

/// A key file is unusable. Messages never hold key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be opened or read.
    #[error(
        "ledger key {path}\nhint: the file holds 64 hexadecimal digits, a keystore or a password, and belongs to the service's user"
    )]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else may read the file.
    #[error(
        "ledger key {path}: mode {mode:04o}, expected no access for group and others\nhint: chmod 600 {path}"
    )]
    TooOpen {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The content is not a key.
    #[error("ledger key{}: expected 64 hexadecimal digits below the order of secp256k1 and not zero", .path.as_deref().map(|p| format!(" {p}")).unwrap_or_default())]
    Malformed {
        /// The file, where there is one.
        path: Option<String>,
    },
    /// A keystore file cannot be used.
    #[error("keystore {path}: {why}")]
    Keystore {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// What a remote signer's URL or its CA file says cannot be used.
    #[error("signer URL: {0}")]
    BadSigner(String),
    /// A remote signer did not sign what it was asked to.
    #[error("signer {url}: {why}")]
    Signer {
        /// Where it is, without credentials and path.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The signer failed.
    #[error("signing failed")]
    Signing,
}

/// The text of a file that only its owner may read; at most `bytes_max` of it.
pub(crate) fn private_text(path: &Path, bytes_max: u64) -> Result<String, KeyError> {
    let name = path.display().to_string();
    let io = |source| KeyError::Io {
        path: name.clone(),
        source,
    };
    let file = std::fs::File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::TooOpen { path: name, mode });
    }
    let mut text = String::new();
    file.take(bytes_max).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// A new file of mode 0600 with one line; an existing one is refused.
pub(crate) fn create_private(path: &Path, line: &str) -> Result<(), KeyError> {
    use std::io::Write;
    let io = |source| KeyError::Io {
        path: path.display().to_string(),
        source,
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(io)?;
    writeln!(file, "{line}")
        .and_then(|()| file.sync_all())
        .map_err(io)
}

/// A secp256k1 key that signs transactions and EIP-712 digests.
#[derive(Clone)]
pub struct LedgerKey(PrivateKeySigner);

impl LedgerKey {
    /// Reads a key of 64 hexadecimal digits from a file that only its owner may read.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let name = path.display().to_string();
        let text = private_text(path, MAX_FILE_BYTES)?;
        Self::from_hex(text.trim()).map_err(|_| KeyError::Malformed { path: Some(name) })
    }

    /// A key from 32 secret bytes.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, KeyError> {
        let signer = PrivateKeySigner::from_bytes(&B256::from(*secret));
        signer
            .map(Self)
            .map_err(|_| KeyError::Malformed { path: None })
    }

    /// Writes 32 secret bytes as a new key file of mode 0600; an existing file is refused.
    pub fn create_file(path: &Path, secret: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Self::from_bytes(secret)?;
        create_private(path, &hex::encode(secret))?;
        Ok(key)
    }

    /// The account of this key.
    pub fn address(&self) -> ids::Address {
        ids::Address(self.0.address().into_array())
    }

    /// Signs a 32-byte digest: 65 bytes r ‖ s ‖ v with low s and v = 27 or 28, as the contract wants it.
    pub fn sign_digest(&self, digest: &ids::Keccak) -> Result<[u8; 65], KeyError> {
        Ok(self.sign(&B256::from(digest.0))?.as_bytes())
    }

    fn sign(&self, hash: &B256) -> Result<alloy_primitives::Signature, KeyError> {
        self.0.sign_hash_sync(hash).map_err(|_| KeyError::Signing)
    }

    fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut secret = [0u8; 32];
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode_to_slice(digits, &mut secret)
            .map_err(|_| KeyError::Malformed { path: None })?;
        Self::from_bytes(&secret)
    }
}

impl TxSigner for LedgerKey {
    fn address(&self) -> ids::Address {
        LedgerKey::address(self)
    }

    fn sign_tx(&self, tx: &TxRequest) -> Result<SignedTx, KeyError> {
        Ok(tx.signed(self.sign(&tx.body.signature_hash())?))
    }
}

impl fmt::Debug for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerKey({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn written(dir: &Path, text: &str, mode: u32) -> std::path::PathBuf {
        let path = dir.join("key");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn private_file_is_read_and_debug_shows_only_the_address() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = LedgerKey::create_file(&path, &[0x11; 32]).unwrap();
        let read = LedgerKey::from_file(&path).unwrap();
        assert_eq!(made.address(), read.address());
        let shown = format!("{read:?}");
        assert!(
            shown.contains(&read.address().to_string()) && !shown.contains("1111"),
            "{shown}"
        );
        assert!(
            LedgerKey::create_file(&path, &[1; 32]).is_err(),
            "never overwrites"
        );
    }

    #[test]
    fn readable_by_others_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o620] {
            let path = written(dir.path(), &"11".repeat(32), mode);
            let message = LedgerKey::from_file(&path).unwrap_err().to_string();
            assert!(
                message.contains("hint: chmod 600") && message.contains(&format!("{mode:04o}"))
            );
        }
    }

    #[test]
    fn malformed_keys_are_refused_without_showing_them() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "",
            &"22".repeat(31),
            &"00".repeat(32),
            &"ff".repeat(32),
            &"zz".repeat(32),
        ] {
            let path = written(dir.path(), text, 0o600);
            let error = LedgerKey::from_file(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }));
            assert!(text.is_empty() || !format!("{error} {error:?}").contains(text));
        }
    }

    #[test]
    fn missing_file_is_named() {
        let error = LedgerKey::from_file(Path::new("/nonexistent/key")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/key"));
    }
}
