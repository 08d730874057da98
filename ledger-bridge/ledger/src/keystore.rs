//! Encrypted key files: Web3 Secret Storage, version 3, as other Ethereum tools write and read them. The password comes
//! from a file (a systemd credential is one), never from an argument or the environment.

use std::path::Path;

use alloy_primitives::keccak256;
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::iv::FixedLength;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

use crate::key::{KeyError, LedgerKey, create_private, private_text};

/// Longest keystore and longest password, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;
const PASSWORD_BYTES_MAX: u64 = 1_024;
/// Work that a file may ask for: 2^20 blocks of scrypt and 1 GiB, or ten million rounds.
const SCRYPT_LOG_N_MAX: u8 = 20;
const SCRYPT_MEMORY_MAX: u64 = 1 << 30;
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
/// What new files ask for: 128 MiB and about half a second.
const SCRYPT_LOG_N: u8 = 17;

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    #[serde(default)]
    id: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    #[serde(flatten)]
    kdf: Kdf,
    mac: String,
}

#[derive(Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Kdf {
    Scrypt {
        dklen: u64,
        n: u64,
        r: u32,
        p: u32,
        salt: String,
    },
    Pbkdf2 {
        dklen: u64,
        c: u32,
        prf: String,
        salt: String,
    },
}

impl LedgerKey {
    /// Reads a key file of either kind: 64 hexadecimal digits, or a keystore with the file of its password.
    pub fn load(path: &Path, password: Option<&Path>) -> Result<Self, KeyError> {
        match password {
            None => Self::from_file(path),
            Some(password) => Self::from_keystore(path, password),
        }
    }

    /// Decrypts a keystore.
    pub fn from_keystore(path: &Path, password: &Path) -> Result<Self, KeyError> {
        let wrong = |why: String| KeyError::Keystore {
            path: path.display().to_string(),
            why,
        };
        let password = read_password(password)?;
        let text = private_text(path, FILE_BYTES_MAX)?;
        // The text may be a password: only the place is told.
        let file: File = serde_json::from_str(&text).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            wrong(format!(
                "not a keystore of version 3: line {line}, column {column}"
            ))
        })?;
        let secret = decrypt(&file, &password).map_err(&wrong)?;
        let key = Self::from_bytes(&secret).map_err(|e| wrong(e.to_string()))?;
        let named = file.address.as_deref().unwrap_or_default();
        let (named, actual) = (
            named.trim_start_matches("0x").to_lowercase(),
            key.address().to_string(),
        );
        if !named.is_empty() && named != actual.trim_start_matches("0x") {
            return Err(wrong(format!(
                "address: says {named}, holds the key of {actual}"
            )));
        }
        Ok(key)
    }

    /// Writes 32 secret bytes as a new keystore of mode 0600; an existing file is refused.
    pub fn create_keystore(
        path: &Path,
        secret: &[u8; 32],
        password: &Path,
    ) -> Result<Self, KeyError> {
        let key = Self::from_bytes(secret)?;
        let password = read_password(password)?;
        let failed = |why: String| KeyError::Keystore {
            path: path.display().to_string(),
            why,
        };
        let address = key.address().to_string();
        let file = encrypt(secret, &password, address, SCRYPT_LOG_N).map_err(&failed)?;
        let text = serde_json::to_string(&file).map_err(|e| failed(e.to_string()))?;
        create_private(path, &text)?;
        Ok(key)
    }
}

/// The password in a private file: its first line.
pub fn read_password(path: &Path) -> Result<String, KeyError> {
    let text = private_text(path, PASSWORD_BYTES_MAX)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(KeyError::Keystore {
            path: path.display().to_string(),
            why: "the password file is empty".into(),
        });
    }
    Ok(line.to_owned())
}

fn decrypt(file: &File, password: &str) -> Result<[u8; 32], String> {
    if file.version != 3 {
        return Err(format!("version {}, expected 3", file.version));
    }
    let crypto = &file.crypto;
    if crypto.cipher != "aes-128-ctr" {
        return Err(format!(
            "cipher {:.40}, expected aes-128-ctr",
            crypto.cipher
        ));
    }
    let iv: [u8; 16] = bytes("iv", &crypto.cipherparams.iv)?;
    let mut secret: [u8; 32] = bytes("ciphertext", &crypto.ciphertext)?;
    let stored: [u8; 32] = bytes("mac", &crypto.mac)?;
    let derived = derive(&crypto.kdf, password)?;
    let computed = mac(&derived, &secret);
    verify_slices_are_equal(&computed, &stored)
        .map_err(|_| "wrong password, or a damaged file".to_owned())?;
    let [key, _] = halves(&derived);
    let aes = UnboundCipherKey::new(&AES_128, &key).and_then(DecryptingKey::ctr);
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    aes.and_then(|aes| aes.decrypt(&mut secret, context).map(drop))
        .map_err(|_| "decryption failed".to_owned())?;
    Ok(secret)
}

fn encrypt(secret: &[u8; 32], password: &str, address: String, log_n: u8) -> Result<File, String> {
    let (salt, iv, id): ([u8; 32], [u8; 16], [u8; 16]) = (random()?, random()?, random()?);
    let kdf = Kdf::Scrypt {
        dklen: 32,
        n: 1 << log_n,
        r: 8,
        p: 1,
        salt: hex::encode(salt),
    };
    let derived = derive(&kdf, password)?;
    let [key, _] = halves(&derived);
    let mut ciphertext = *secret;
    let aes = UnboundCipherKey::new(&AES_128, &key).and_then(EncryptingKey::ctr);
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    aes.and_then(|aes| aes.less_safe_encrypt(&mut ciphertext, context).map(drop))
        .map_err(|_| "encryption failed".to_owned())?;
    Ok(File {
        address: Some(address),
        crypto: Crypto {
            cipher: "aes-128-ctr".into(),
            cipherparams: CipherParams {
                iv: hex::encode(iv),
            },
            ciphertext: hex::encode(ciphertext),
            kdf,
            mac: hex::encode(mac(&derived, &ciphertext)),
        },
        id: uuid(id),
        version: 3,
    })
}

/// Work and memory are bounded before any is done.
fn derive(kdf: &Kdf, password: &str) -> Result<[u8; 32], String> {
    let mut derived = [0; 32];
    let (dklen, salt) = match kdf {
        Kdf::Scrypt { dklen, salt, .. } | Kdf::Pbkdf2 { dklen, salt, .. } => (*dklen, salt),
    };
    if dklen != 32 {
        return Err(format!("dklen {dklen}, expected 32"));
    }
    let salt = hex::decode(salt).map_err(|_| "salt is not hexadecimal".to_owned())?;
    match kdf {
        Kdf::Scrypt { n, r, p, .. } => {
            let log_n = u8::try_from(n.trailing_zeros()).unwrap_or(u8::MAX);
            let memory = n.saturating_mul(u64::from(*r)).saturating_mul(128);
            let fits = n.is_power_of_two() && log_n <= SCRYPT_LOG_N_MAX;
            if !fits || memory > SCRYPT_MEMORY_MAX || *p > 16 {
                return Err(format!("scrypt with n {n}, r {r}, p {p} is refused"));
            }
            let params = scrypt::Params::new(log_n, *r, *p).map_err(|e| e.to_string())?;
            scrypt::scrypt(password.as_bytes(), &salt, &params, &mut derived)
                .map_err(|e| e.to_string())?;
        }
        Kdf::Pbkdf2 { c, prf, .. } => {
            let rounds = NonZeroU32::new(*c).filter(|c| c.get() <= PBKDF2_ROUNDS_MAX);
            let (Some(rounds), "hmac-sha256") = (rounds, prf.as_str()) else {
                return Err(format!("pbkdf2 with {c} rounds of {prf:.40} is refused"));
            };
            let algorithm = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
            let password = password.as_bytes();
            aws_lc_rs::pbkdf2::derive(algorithm, rounds, &salt, password, &mut derived);
        }
    }
    Ok(derived)
}

fn halves(derived: &[u8; 32]) -> [[u8; 16]; 2] {
    let mut both = [[0; 16]; 2];
    for (half, bytes) in both.iter_mut().zip(derived.chunks_exact(16)) {
        half.copy_from_slice(bytes);
    }
    both
}

fn mac(derived: &[u8; 32], ciphertext: &[u8]) -> [u8; 32] {
    let [_, key] = halves(derived);
    keccak256([&key[..], ciphertext].concat()).0
}

fn bytes<const N: usize>(what: &str, text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| format!("{what}: expected {N} bytes in hexadecimal"))?;
    Ok(bytes)
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "no randomness".to_owned())?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| text.get(range));
    parts.map(Option::unwrap_or_default).join("-")
}

#[cfg(test)]
#[path = "keystore_tests.rs"]
mod tests;
