//! `TPM2_MakeCredential` in software (TPM 2.0 part 1, section 24): only the TPM that holds both the
//! endorsement key and an object of the given name recovers the secret.
//!
//! The seed is an argument. OAEP draws its own masking seed inside the cryptographic library: that
//! use is internal to the encryption, changes no verdict, and is the one randomness of this crate.

use super::ek_template::{EkKey, kind_name};
use assay_protocol::hash::hmac_sha256;
use assay_protocol::ids::AkName;
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};

/// Largest secret, bytes: the digest size of the EK's name algorithm.
pub const SECRET_BYTES_MAX: usize = 32;
/// DER of an RSA-2048 `SubjectPublicKeyInfo` up to the modulus (whose top bit is set).
const SPKI_HEAD: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
    0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01,
    0x00,
];
/// INTEGER 65537.
const SPKI_TAIL: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

/// What `TPM2_ActivateCredential` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// `TPM2B_ID_OBJECT`, with its size prefix.
    pub id_object: Vec<u8>,
    /// `TPM2B_ENCRYPTED_SECRET`, with its size prefix.
    pub encrypted_secret: Vec<u8>,
}

/// A credential could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MakeCredentialError {
    /// Only RSA-2048 endorsement keys are supported so far.
    #[error("make credential: expected an RSA-2048 endorsement key, got {0}")]
    KeyType(&'static str),
    /// The secret is empty or too long.
    #[error("make credential: the secret may have 1 to 32 bytes, got {0}")]
    SecretSize(usize),
    /// The library refused the key (for instance an even modulus).
    #[error("make credential: the endorsement key was refused by RSA-OAEP")]
    Key,
    /// The library refused to encrypt.
    #[error("make credential: AES-128-CFB failed")]
    Cipher,
}

/// Wraps `secret` for the TPM that holds `ek` and an object named `name`.
/// `seed` must be fresh and unpredictable for every call.
pub fn make_credential(
    ek: &EkKey,
    name: &AkName,
    secret: &[u8],
    seed: &[u8; 32],
) -> Result<Credential, MakeCredentialError> {
    let EkKey::Rsa2048 { modulus } = ek else {
        return Err(MakeCredentialError::KeyType(kind_name(ek.kind())));
    };
    Ok(Credential {
        id_object: id_object(name, secret, seed)?,
        encrypted_secret: sized(&encrypt_seed(modulus, seed)?),
    })
}

/// `TPM2B_ID_OBJECT`: size ‖ `TPM2B_DIGEST` HMAC ‖ encrypted `TPM2B_DIGEST` secret.
fn id_object(
    name: &AkName,
    secret: &[u8],
    seed: &[u8; 32],
) -> Result<Vec<u8>, MakeCredentialError> {
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
        return Err(MakeCredentialError::SecretSize(secret.len()));
    }
    let storage = kdf_a(seed, b"STORAGE\0", name.as_bytes(), 128);
    let storage = storage
        .first_chunk::<16>()
        .ok_or(MakeCredentialError::Cipher)?;
    let encrypted = aes_128_cfb(storage, sized(secret))?;
    let integrity = kdf_a(seed, b"INTEGRITY\0", &[], 256);
    let hmac = hmac_sha256(&integrity, &[&encrypted, name.as_bytes()]);
    Ok(sized(&[sized(&hmac), encrypted].concat()))
}

/// KDFa with SHA-256 (part 1, section 11.4.10.2), one block: at most 256 bits.
/// `label` includes its terminating zero.
fn kdf_a(key: &[u8; 32], label: &[u8], context: &[u8], bits: u32) -> [u8; 32] {
    hmac_sha256(
        key,
        &[&1u32.to_be_bytes(), label, context, &bits.to_be_bytes()],
    )
}

/// Zero IV, as the specification demands: the key is used once.
fn aes_128_cfb(key: &[u8; 16], mut data: Vec<u8>) -> Result<Vec<u8>, MakeCredentialError> {
    let refused = |_| MakeCredentialError::Cipher;
    let key = UnboundCipherKey::new(&AES_128, key).map_err(refused)?;
    let key = EncryptingKey::cfb128(key).map_err(refused)?;
    let iv = EncryptionContext::Iv128(FixedLength::from([0u8; 16]));
    key.less_safe_encrypt(&mut data, iv).map_err(refused)?;
    Ok(data)
}

fn encrypt_seed(modulus: &[u8; 256], seed: &[u8; 32]) -> Result<Vec<u8>, MakeCredentialError> {
    let spki = [&SPKI_HEAD[..], modulus, &SPKI_TAIL].concat();
    let key = PublicEncryptingKey::from_der(&spki).map_err(|_| MakeCredentialError::Key)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| MakeCredentialError::Key)?;
    let mut out = vec![0u8; key.ciphertext_size()];
    key.encrypt(&OAEP_SHA256_MGF1SHA256, seed, &mut out, Some(b"IDENTITY\0"))
        .map_err(|_| MakeCredentialError::Key)?;
    Ok(out)
}

/// Prefixes the size; everything here is far below 64 KiB.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&size.to_be_bytes()[..], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::cipher::{DecryptingKey, DecryptionContext};
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    /// The TPM's side, written from the specification, to be able to test the other.
    fn activate(key: &OaepPrivateDecryptingKey, name: &AkName, c: &Credential) -> Option<Vec<u8>> {
        let mut seed = vec![0; 256];
        let seed: [u8; 32] = key
            .decrypt(
                &OAEP_SHA256_MGF1SHA256,
                &c.encrypted_secret[2..],
                &mut seed,
                Some(b"IDENTITY\0"),
            )
            .ok()?
            .try_into()
            .ok()?;
        let (hmac, encrypted) = c.id_object[4..].split_at(32);
        let integrity = kdf_a(&seed, b"INTEGRITY\0", &[], 256);
        if hmac != hmac_sha256(&integrity, &[encrypted, name.as_bytes()]) {
            return None;
        }
        let storage = kdf_a(&seed, b"STORAGE\0", name.as_bytes(), 128);
        let key = UnboundCipherKey::new(&AES_128, &storage[..16]).unwrap();
        let mut data = encrypted.to_vec();
        DecryptingKey::cfb128(key)
            .unwrap()
            .decrypt(
                &mut data,
                DecryptionContext::Iv128(FixedLength::from([0u8; 16])),
            )
            .unwrap();
        Some(data[2..].to_vec())
    }

    fn ek() -> (OaepPrivateDecryptingKey, EkKey) {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let spki = private.public_key().as_der().unwrap();
        let key = crate::crypto::key::PublicKey::from_spki(spki.as_ref()).unwrap();
        (
            OaepPrivateDecryptingKey::new(private).unwrap(),
            EkKey::from_public(&key).unwrap(),
        )
    }

    #[test]
    fn only_the_named_object_under_the_right_key_recovers_the_secret() {
        let (private, key) = ek();
        let (other, _) = ek();
        let name = AkName([3; 34]);
        let credential = make_credential(&key, &name, b"a secret", &[9; 32]).unwrap();
        assert_eq!(activate(&private, &name, &credential).unwrap(), b"a secret");
        assert_eq!(activate(&private, &AkName([4; 34]), &credential), None);
        assert_eq!(activate(&other, &name, &credential), None);
    }

    /// Made by Keylime for an ECC endorsement key: the same id object follows from the same seed,
    /// which KDFe gives for the fixed ephemeral key of that test.
    #[test]
    fn the_id_object_equals_keylimes() {
        let Some(root) = crate::testing::vectors() else {
            return;
        };
        let read = |name: &str| {
            let folder = root.join("tpm-quote/keylime__keylime/keylime-makecredential-ecc");
            std::fs::read(folder.join(name)).unwrap()
        };
        let mut seed = [0; 32];
        let hex = "cd6902dcafff80cdef8e00f8d759ff7dca7d2fb14b3d583c772b558f973df472";
        hex::decode_to_slice(hex, &mut seed).unwrap();
        let name = AkName::try_from(read("aik_name.bin").as_slice()).unwrap();
        let object = id_object(&name, &read("challenge.bin"), &seed).unwrap();
        // After a magic and a version of tpm2-tools.
        assert_eq!(read("expected_credential.bin")[8..][..object.len()], object);
    }

    #[test]
    fn ecc_keys_and_bad_secret_sizes_are_refused_by_name() {
        let name = AkName([3; 34]);
        let ecc = EkKey::EccP256 {
            x: [1; 32],
            y: [2; 32],
        };
        let error = make_credential(&ecc, &name, b"s", &[9; 32]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "make credential: expected an RSA-2048 endorsement key, got ECC P-256"
        );
        let (_, key) = ek();
        for size in [0, 33] {
            let error = make_credential(&key, &name, &vec![0; size], &[9; 32]).unwrap_err();
            assert_eq!(error, MakeCredentialError::SecretSize(size));
        }
        let even = EkKey::Rsa2048 {
            modulus: [0x80; 256],
        };
        assert!(make_credential(&even, &name, b"s", &[9; 32]).is_err());
    }
}
