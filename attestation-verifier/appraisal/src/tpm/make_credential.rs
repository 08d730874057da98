//! `TPM2_MakeCredential` in software (TPM 2.0 part 1, section 24, annexes B and C): only the TPM that holds both
//! the endorsement key and an object of the given name recovers the secret.
//!
//! Randomness is an argument. OAEP draws its own masking seed inside the cryptographic library: that
//! use is internal to the encryption, changes no verdict, and is the one randomness of this crate.

use super::ek_template::EkKey;
use assay_protocol::hash::{hmac_sha256, sha256};
use assay_protocol::ids::AkName;
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
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
const OAEP: &str = "RSA-OAEP";
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
    /// The secret is empty or too long.
    #[error("make credential: the secret may have 1 to 32 bytes, got {0}")]
    SecretSize(usize),
    /// The library refused the key (for instance an even modulus, or a point off the curve).
    #[error("make credential: the endorsement key was refused by {0}")]
    Key(&'static str),
    /// The random bytes are no private key of the curve: 0, or not below its order. One draw in 2^32.
    #[error("make credential: the random bytes are no ephemeral key on P-256")]
    Ephemeral,
    /// The library refused to encrypt.
    #[error("make credential: AES-128-CFB failed")]
    Cipher,
}

/// Wraps `secret` for the TPM that holds `ek` and an object named `name`.
///
/// `random` must be fresh and unpredictable for every call: the seed itself under an RSA key, the ephemeral
/// private key under an ECC key (then one call in 2^32 fails, and another draw does not). That a TPM returns
/// the secret proves that it holds both keys; it proves nothing about the attributes behind `name`.
pub fn make_credential(
    ek: &EkKey,
    name: &AkName,
    secret: &[u8],
    random: &[u8; 32],
) -> Result<Credential, MakeCredentialError> {
    let (seed, encrypted) = match ek {
        EkKey::Rsa2048 { modulus } => (*random, encrypt_seed(modulus, random)?),
        EkKey::EccP256 { x, y } => agree_seed((x, y), random)?,
    };
    Ok(Credential {
        id_object: id_object(name, secret, &seed)?,
        encrypted_secret: sized(&encrypted),
    })
}

/// One-pass ECDH (annex C.6.4): the seed, and the ephemeral `TPMS_ECC_POINT` it follows from.
fn agree_seed(
    (x, y): (&[u8; 32], &[u8; 32]),
    ephemeral: &[u8; 32],
) -> Result<([u8; 32], Vec<u8>), MakeCredentialError> {
    let private = PrivateKey::from_private_key(&ECDH_P256, ephemeral)
        .map_err(|_| MakeCredentialError::Ephemeral)?;
    let public = private
        .compute_public_key()
        .map_err(|_| MakeCredentialError::Ephemeral)?;
    let (own_x, own_y) = public
        .as_ref()
        .get(1..)
        .and_then(|point| point.split_at_checked(32))
        .ok_or(MakeCredentialError::Ephemeral)?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, [&[4u8][..], x, y].concat());
    let seed = agree(
        &private,
        &peer,
        MakeCredentialError::Key("ECDH on P-256"),
        |z| Ok(kdf_e(z, b"IDENTITY\0", own_x, x)),
    )?;
    Ok((seed, [sized(own_x), sized(own_y)].concat()))
}

/// KDFe with SHA-256 (part 1, section 11.4.10.3), one block of 256 bits. `label` includes its terminating zero;
/// the parties are the x coordinates, as long as the curve's.
fn kdf_e(z: &[u8], label: &[u8], party_u: &[u8], party_v: &[u8]) -> [u8; 32] {
    sha256(&[&1u32.to_be_bytes(), z, label, party_u, party_v])
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
    let key = PublicEncryptingKey::from_der(&spki).map_err(|_| MakeCredentialError::Key(OAEP))?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| MakeCredentialError::Key(OAEP))?;
    let mut out = vec![0u8; key.ciphertext_size()];
    key.encrypt(&OAEP_SHA256_MGF1SHA256, seed, &mut out, Some(b"IDENTITY\0"))
        .map_err(|_| MakeCredentialError::Key(OAEP))?;
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
        open(&seed, name, c)
    }

    /// What follows the seed, the same for both kinds of key.
    fn open(seed: &[u8; 32], name: &AkName, c: &Credential) -> Option<Vec<u8>> {
        let (hmac, encrypted) = c.id_object[4..].split_at(32);
        let integrity = kdf_a(seed, b"INTEGRITY\0", &[], 256);
        if hmac != hmac_sha256(&integrity, &[encrypted, name.as_bytes()]) {
            return None;
        }
        let storage = kdf_a(seed, b"STORAGE\0", name.as_bytes(), 128);
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

    /// The shared point of an ECC endorsement key and an ephemeral one, from the TPM's side.
    fn recovered_seed(private: &PrivateKey, ek: &EkKey, secret: &[u8]) -> [u8; 32] {
        let EkKey::EccP256 { x, .. } = ek else {
            panic!("not ECC")
        };
        assert_eq!(
            (secret[..4].to_vec(), secret.len()),
            (vec![0, 68, 0, 32], 70)
        );
        assert_eq!(secret[36..38], [0, 32]);
        let (their_x, their_y) = (&secret[4..36], &secret[38..]);
        let peer = UnparsedPublicKey::new(&ECDH_P256, [&[4u8][..], their_x, their_y].concat());
        agree(private, &peer, (), |z| {
            Ok(sha256(&[&[0, 0, 0, 1], z, b"IDENTITY\0", their_x, x]))
        })
        .unwrap()
    }

    fn ecc_ek(byte: u8) -> (PrivateKey, EkKey) {
        let private = PrivateKey::from_private_key(&ECDH_P256, &[byte; 32]).unwrap();
        let point = private.compute_public_key().unwrap();
        let (x, y) = point.as_ref()[1..].split_at(32);
        let key = EkKey::EccP256 {
            x: x.try_into().unwrap(),
            y: y.try_into().unwrap(),
        };
        (private, key)
    }

    #[test]
    fn an_ecc_endorsement_key_recovers_the_secret_and_another_does_not() {
        let ((private, key), (other, _)) = (ecc_ek(1), ecc_ek(2));
        let name = AkName([3; 34]);
        let credential = make_credential(&key, &name, b"a secret", &[9; 32]).unwrap();
        let opened = |private: &PrivateKey, name: &AkName| {
            open(
                &recovered_seed(private, &key, &credential.encrypted_secret),
                name,
                &credential,
            )
        };
        assert_eq!(opened(&private, &name).unwrap(), b"a secret");
        assert_eq!(opened(&private, &AkName([4; 34])), None);
        assert_eq!(opened(&other, &name), None);
        let again = make_credential(&key, &name, b"a secret", &[8; 32]).unwrap();
        assert_ne!(again, credential);
    }

    fn keylime(kind: &str, name: &str) -> Option<Vec<u8>> {
        let root = crate::testing::vectors()?;
        let folder = format!("tpm-quote/keylime__keylime/keylime-makecredential-{kind}");
        Some(std::fs::read(root.join(folder).join(name)).unwrap())
    }

    fn keylime_ek(kind: &str) -> Option<EkKey> {
        let public = super::super::public::parse_sized(&keylime(kind, "ek_tpm.bin")?).unwrap();
        let ek = EkKey::from_public(&public.key).unwrap();
        assert_eq!(ek.template(), public.bytes());
        Some(ek)
    }

    /// Keylime's own expectation for an ECC endorsement key and the ephemeral key its test fixes.
    #[test]
    fn the_credential_equals_keylimes() {
        let Some(ek) = keylime_ek("ecc") else { return };
        let read = |name| keylime("ecc", name).unwrap();
        let mut ephemeral = [0; 32];
        // 75548318724506252006992803713632448754009807765151974952668642988315053146586
        let hex = "a706d544decd78de340642bcc33317c0cba93b383ad635a1a2aff132936841da";
        hex::decode_to_slice(hex, &mut ephemeral).unwrap();
        let name = AkName::try_from(read("aik_name.bin").as_slice()).unwrap();
        let made = make_credential(&ek, &name, &read("challenge.bin"), &ephemeral).unwrap();
        // After a magic and a version of tpm2-tools.
        let expected = &read("expected_credential.bin")[8..];
        assert_eq!([made.id_object, made.encrypted_secret].concat(), expected);
    }

    /// OAEP is not reproducible and the private key is not published: only the sizes can be compared.
    #[test]
    fn keylimes_rsa_input_is_taken() {
        let Some(ek) = keylime_ek("rsa") else { return };
        let name = keylime("rsa", "aik_name.bin").unwrap();
        let name = AkName::try_from(name.as_slice()).unwrap();
        let challenge = keylime("rsa", "challenge.bin").unwrap();
        let made = make_credential(&ek, &name, &challenge, &[1; 32]).unwrap();
        let sizes = (made.id_object.len(), made.encrypted_secret.len());
        assert_eq!(sizes, (2 + 34 + 2 + challenge.len(), 2 + 256));
    }

    #[test]
    fn bad_secrets_and_keys_are_refused_by_name() {
        let name = AkName([3; 34]);
        let (_, key) = ek();
        let (_, ecc) = ecc_ek(1);
        for (size, key) in [(0, key), (33, key), (0, ecc), (33, ecc)] {
            let error = make_credential(&key, &name, &vec![0; size], &[9; 32]).unwrap_err();
            assert_eq!(error, MakeCredentialError::SecretSize(size));
        }
        assert!(make_credential(&ecc, &name, &[0; 32], &[9; 32]).is_ok());
        let even = EkKey::Rsa2048 {
            modulus: [0x80; 256],
        };
        let off_curve = EkKey::EccP256 {
            x: [1; 32],
            y: [2; 32],
        };
        for key in [even, off_curve] {
            let error = make_credential(&key, &name, b"s", &[9; 32]).unwrap_err();
            assert!(matches!(error, MakeCredentialError::Key(_)), "{error}");
        }
        for random in [[0; 32], [0xff; 32]] {
            let error = make_credential(&ecc, &name, b"s", &random).unwrap_err();
            assert_eq!(error, MakeCredentialError::Ephemeral);
        }
    }
}
