//! Keys whose file signatures count.

use super::signature::{FileSignature, FileSignatureError};
use super::template::FileDigest;
use crate::crypto::der::{self, Der, DerError};
use crate::crypto::key::{KeyError, PublicKey};
use crate::crypto::signature::{self as crypto, Form, Scheme, Sha1, SignatureError};
use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::FormatError;
use crate::x509::{Certificate, X509Error};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

/// Most keys of a keyring.
pub const KEYS_MAX: usize = 1024;
/// Largest keyring file, bytes.
pub const KEYRING_BYTES_MAX: usize = 1 << 20;
const OID_SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
/// An uncompressed point of secp256k1.
const SECP256K1_POINT_BYTES: usize = 65;
/// `SubjectPublicKeyInfo` of a secp256k1 key, up to its point.
const SECP256K1_PREFIX: [u8; 23] = [
    0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x0a, 0x03, 0x42, 0x00,
];

/// A keyring cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Too many keys or bytes.
    #[error("IMA keyring: {what}: expected at most {max}, got {actual}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The cap.
        max: usize,
        /// What was given.
        actual: usize,
    },
    /// No key.
    #[error("IMA keyring: expected a key, got none")]
    Empty,
    /// One key does not parse.
    #[error("IMA keyring: {0}")]
    Key(#[from] KeyError),
    /// One certificate does not parse.
    #[error("IMA keyring: {0}")]
    Certificate(#[from] X509Error),
    /// Keys of Ed25519 or with weak RSA moduli sign no files.
    #[error("IMA keyring: expected RSA of 2048 to 4096 bits or ECDSA, got {0}")]
    Unsuitable(String),
    /// The file is neither PEM nor the JSON form.
    #[error("IMA keyring: {0}")]
    File(String),
    /// A key identifier is not the key's.
    #[error("IMA keyring: key {position}: expected identifier {expected:08x}, got {actual:08x}")]
    KeyId {
        /// Which key, from 0.
        position: usize,
        /// Computed.
        expected: u32,
        /// Given.
        actual: u32,
    },
}

/// A file signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileVerifyError {
    /// It does not parse, or is of another digest.
    #[error(transparent)]
    Signature(#[from] FileSignatureError),
    /// No key of the keyring has this identifier.
    #[error("file signature: expected a key of the keyring, got key id {0:08x}")]
    UnknownKey(u32),
    /// The key does not verify it.
    #[error("file signature by key {key_id:08x}: {source}")]
    Invalid {
        /// The identifier.
        key_id: u32,
        /// Why.
        source: SignatureError,
    },
}

impl From<FormatError> for FileVerifyError {
    fn from(error: FormatError) -> Self {
        Self::Signature(error.into())
    }
}

/// Trusted keys. Dates, extensions and issuers of certificates are not looked at: who put the key here
/// trusts it, as in the kernel's `.ima` keyring once a key is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keyring {
    /// (identifier, key); identifiers of four bytes may collide.
    keys: Vec<(u32, Key)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Known(PublicKey),
    /// The kernel cannot verify by such a key, but `evmctl` signs with it and others' keyrings hold it.
    Secp256k1(Vec<u8>),
}

impl Keyring {
    /// Adds a public key (DER `SubjectPublicKeyInfo`) under the last four bytes of the SHA-1 of its bits, as
    /// `evmctl` computes it; yields that identifier.
    pub fn add_key(&mut self, spki: &[u8]) -> Result<u32, KeyringError> {
        let key = key(spki)?;
        let id = key_id(spki)?;
        self.insert(id, key)?;
        Ok(id)
    }

    /// Adds a certificate's key, also under the last four bytes of its subject key identifier, by which
    /// the kernel finds it. A self-computed identifier that is the same counts once.
    pub fn add_certificate(&mut self, der: &[u8]) -> Result<u32, KeyringError> {
        let certificate = Certificate::parse(der)?;
        let id = self.add_key(certificate.spki)?;
        let Some(extension) = certificate.extension(OID_SUBJECT_KEY_ID) else {
            return Ok(id);
        };
        let subject = subject_key_id(extension.value)?;
        if subject != id {
            self.insert(subject, key(certificate.spki)?)?;
        }
        Ok(subject)
    }

    /// Reads a file: PEM with any number of public keys and certificates, or JSON `{"pubkeys": [base64 of
    /// SubjectPublicKeyInfo], "keyids": [number]}` as Keylime keeps it, whose identifiers must be right.
    pub fn read(bytes: &[u8]) -> Result<Self, KeyringError> {
        cap("bytes", KEYRING_BYTES_MAX, bytes.len())?;
        let keyring = match bytes.trim_ascii_start().first() {
            Some(b'{') => Self::from_json(bytes)?,
            _ => Self::from_pem(bytes)?,
        };
        match keyring.keys.is_empty() {
            true => Err(KeyringError::Empty),
            false => Ok(keyring),
        }
    }

    fn from_pem(bytes: &[u8]) -> Result<Self, KeyringError> {
        let mut keyring = Self::default();
        let file = |error: rustls_pki_types::pem::Error| KeyringError::File(format!("{error:?}"));
        for spki in SubjectPublicKeyInfoDer::pem_slice_iter(bytes) {
            keyring.add_key(&spki.map_err(file)?)?;
        }
        for certificate in CertificateDer::pem_slice_iter(bytes) {
            keyring.add_certificate(&certificate.map_err(file)?)?;
        }
        Ok(keyring)
    }

    fn from_json(bytes: &[u8]) -> Result<Self, KeyringError> {
        let file: JsonKeyring =
            serde_json::from_slice(bytes).map_err(|error| KeyringError::File(error.to_string()))?;
        if file.pubkeys.len() != file.keyids.len() {
            return Err(KeyringError::File(format!(
                "expected one identifier for each of {} keys, got {}",
                file.pubkeys.len(),
                file.keyids.len()
            )));
        }
        let mut keyring = Self::default();
        for (position, (text, actual)) in file.pubkeys.iter().zip(&file.keyids).enumerate() {
            let expected = keyring.add_key(&base64(text)?)?;
            if expected != *actual {
                return Err(KeyringError::KeyId {
                    position,
                    expected,
                    actual: *actual,
                });
            }
        }
        Ok(keyring)
    }

    fn insert(&mut self, id: u32, key: Key) -> Result<(), KeyringError> {
        if self
            .keys
            .iter()
            .any(|(other, known)| (*other, known) == (id, &key))
        {
            return Ok(());
        }
        cap("keys", KEYS_MAX, self.keys.len().saturating_add(1))?;
        self.keys.push((id, key));
        Ok(())
    }

    /// How many (identifier, key) pairs there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Verifies the content of a `sig` field over an entry's digest; yields the identifier of the key.
    ///
    /// SHA-1 digests verify only under [`Sha1::Legacy`]. It proves that the key's owner signed a file with
    /// this digest, at any time and under any name.
    pub fn verify(
        &self,
        digest: &FileDigest<'_>,
        signature: &[u8],
        sha1: Sha1,
    ) -> Result<u32, FileVerifyError> {
        let signature = FileSignature::parse(signature)?;
        let signed = signature.signed_digest(digest)?;
        let key_id = signature.key_id;
        let mut result = Err(FileVerifyError::UnknownKey(key_id));
        for (_, key) in self.keys.iter().filter(|(id, _)| *id == key_id) {
            match key.verify((signature.alg, sha1), &signed, signature.signature) {
                Ok(()) => return Ok(key_id),
                Err(source) => result = Err(FileVerifyError::Invalid { key_id, source }),
            }
        }
        result
    }
}

impl Key {
    fn verify(
        &self,
        (alg, sha1): (HashAlg, Sha1),
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        match self {
            Self::Known(key) => {
                let scheme = match key {
                    PublicKey::Rsa { .. } => Scheme::RsaPkcs1(alg),
                    _ => Scheme::Ecdsa(alg),
                };
                crypto::verify_digest(key, (scheme, Form::Der, sha1), digest, signature)
            }
            Self::Secp256k1(point) => {
                crypto::verify_digest_secp256k1(point, (alg, sha1), digest, signature)
            }
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonKeyring {
    pubkeys: Vec<String>,
    keyids: Vec<u32>,
}

/// The PEM reader knows base64; a key in one line is a PEM file without its fences.
fn base64(text: &str) -> Result<Vec<u8>, KeyringError> {
    let bad = |problem: String| KeyringError::File(format!("public key in base64: {problem}"));
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    if text.is_empty() || !text.as_bytes().iter().all(plain) {
        return Err(bad("expected base64 without line breaks".into()));
    }
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
        .map(|spki| spki.to_vec())
        .map_err(|error| bad(format!("{error:?}")))
}

fn key(spki: &[u8]) -> Result<Key, KeyringError> {
    if let Some(point) = spki.strip_prefix(&SECP256K1_PREFIX)
        && point.len() == SECP256K1_POINT_BYTES
    {
        return Ok(Key::Secp256k1(point.to_vec()));
    }
    let key = PublicKey::from_spki(spki)?;
    match &key {
        PublicKey::Rsa { modulus, .. }
            if (crypto::RSA_BYTES_MIN..=crypto::RSA_BYTES_MAX).contains(&modulus.len()) =>
        {
            Ok(Key::Known(key))
        }
        PublicKey::Ecc { .. } => Ok(Key::Known(key)),
        other => Err(KeyringError::Unsuitable(other.kind())),
    }
}

/// The last four bytes of the SHA-1 over the bits of the key (RFC 5280 section 4.2.1.2, method 1).
fn key_id(spki: &[u8]) -> Result<u32, KeyringError> {
    let read = || -> Result<&[u8], DerError> {
        let mut outer = Der::new(spki);
        let mut inner = outer.enter("SubjectPublicKeyInfo", der::SEQUENCE)?;
        inner.take("algorithm", der::SEQUENCE)?;
        inner.bits("subjectPublicKey")
    };
    let bits = read().map_err(KeyError::from)?;
    Ok(last_four(&HashAlg::Sha1.digest(&[bits])))
}

fn subject_key_id(extension: &[u8]) -> Result<u32, KeyringError> {
    let read = || -> Result<&[u8], DerError> {
        let mut outer = Der::new(extension);
        let id = outer.take("subjectKeyIdentifier", der::OCTET_STRING)?;
        outer.finish("subjectKeyIdentifier")?;
        Ok(id.content)
    };
    let id = read().map_err(X509Error::from)?;
    if id.len() < 4 {
        let problem = format!(
            "subject key identifier: expected 4 bytes or more, got {}",
            id.len()
        );
        return Err(KeyringError::File(problem));
    }
    Ok(last_four(id))
}

fn last_four(bytes: &[u8]) -> u32 {
    bytes.last_chunk().copied().map_or(0, u32::from_be_bytes)
}

fn cap(what: &'static str, max: usize, actual: usize) -> Result<(), KeyringError> {
    match actual <= max {
        true => Ok(()),
        false => Err(KeyringError::TooLarge { what, max, actual }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::testing::{Ca, tlv};

    #[test]
    fn an_identifier_is_the_end_of_the_sha1_of_the_keys_bits() {
        let spki = Ca::new("x").spki();
        let point = &spki[spki.len() - 65..];
        let expected = &HashAlg::Sha1.digest(&[point])[16..];
        assert_eq!(key_id(&spki).unwrap().to_be_bytes(), expected);
    }

    #[test]
    fn small_and_large_rsa_keys_are_refused() {
        let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
        let usable = |bytes: usize| {
            let modulus = tlv(2, &[&[0], &vec![0xc5; bytes]]);
            let public = tlv(0x30, &[&modulus, &[2, 3, 1, 0, 1]]);
            let bits = tlv(3, &[&[0], &public]);
            key(&tlv(0x30, &[&tlv(0x30, &[&oid, &[5, 0]]), &bits])).map(drop)
        };
        for bytes in [crypto::RSA_BYTES_MIN, crypto::RSA_BYTES_MAX] {
            assert_eq!(usable(bytes), Ok(()));
        }
        let bytes = crypto::RSA_BYTES_MIN - 1;
        let kind = format!("RSA-{}", bytes * 8);
        assert_eq!(usable(bytes), Err(KeyringError::Unsuitable(kind)));
    }
}
