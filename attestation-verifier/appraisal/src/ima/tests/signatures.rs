//! File signatures and keyrings.

use super::kit::*;
use crate::crypto::key::PublicKey;
use crate::crypto::signature::{
    Form, Scheme, Sha1, SignatureError, verify, verify_digest, verify_digest_secp256k1,
};
use crate::ima::appraise::Refusal;
use crate::ima::keyring::{FileVerifyError, KEYRING_BYTES_MAX, KEYS_MAX, KeyringError};
use crate::ima::signature::{FileSignature, to_kernel};
use crate::ima::testing::{SoftEntry, bytes, digest, text};
use crate::ima::*;
use crate::tpm::algorithm::HashAlg;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

#[test]
fn file_signatures_of_rsa_and_ec_keys_allow_an_entry() {
    for key in [SoftKey::Rsa, SoftKey::ec(), SoftKey::k1()] {
        let (keyring, ids) = ring(&[&SoftKey::ec(), &key]);
        let good = key.xattr(ids[1], b"content");
        let hash = HashAlg::Sha256.digest(&[b"content"]);
        let verify = |bytes: &[u8]| keyring.verify(&sha256(&hash), bytes, Sha1::Refused);
        assert_eq!(verify(&good), Ok(ids[1]));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(verify(&bad).is_err(), "byte {at}");
            assert!(verify(&good[..at]).is_err(), "cut {at}");
        }
        assert!(verify(&[&good[..], &[0]].concat()).is_err());
        let other = HashAlg::Sha256.digest(&[b"other"]);
        assert!(
            keyring
                .verify(&sha256(&other), &good, Sha1::Refused)
                .is_err()
        );
    }
}

#[test]
fn a_signature_needs_a_key_of_the_keyring() {
    let (stranger, known) = (SoftKey::ec(), SoftKey::ec());
    let (keyring, ids) = ring(&[&known]);
    let hash = HashAlg::Sha256.digest(&[b"x"]);
    let verify = |bytes: &[u8]| keyring.verify(&sha256(&hash), bytes, Sha1::Refused);
    let unknown = verify(&stranger.xattr(ids[0] ^ 1, b"x")).unwrap_err();
    assert_eq!(unknown, FileVerifyError::UnknownKey(ids[0] ^ 1));
    // The identifier is a hint: under a known one the signature must still verify.
    let forged = verify(&stranger.xattr(ids[0], b"x")).unwrap_err();
    assert!(matches!(forged, FileVerifyError::Invalid { .. }));
    let entries = [SoftEntry::sig(b"x", "/x", &stranger.xattr(ids[0], b"x"))];
    let policy = Policy {
        keyring: Some(&keyring),
        ..Policy::default()
    };
    let found = refusals(&entries, &policy);
    assert!(
        matches!(found[..], [(1, Refusal::Signature(_))]),
        "{found:?}"
    );
    let unsigned = [SoftEntry::sig(b"x", "/x", b"")];
    assert_eq!(refusals(&unsigned, &policy), [(1, Refusal::NotListed)]);
    let modsig = SoftEntry::new(
        "ima-modsig",
        vec![
            digest(HashAlg::Sha256, b"x"),
            text("/x"),
            bytes(&known.xattr(ids[0], b"x")),
            bytes(b""),
            bytes(b""),
        ],
    );
    assert_eq!(refusals(&[modsig], &policy), []);
}

#[test]
fn keys_with_one_identifier_are_all_tried() {
    let (a, b) = (SoftKey::ec(), SoftKey::ec());
    let der = |key: &SoftKey| certificate(&key.spki(), Some(&[9, 9, 9, 9]));
    let mut keyring = Keyring::default();
    assert_eq!(keyring.add_certificate(&der(&a)), Ok(0x0909_0909));
    assert_eq!(keyring.add_certificate(&der(&b)), Ok(0x0909_0909));
    assert_eq!(keyring.add_certificate(&der(&b)), Ok(0x0909_0909));
    assert_eq!(keyring.len(), 4);
    let hash = HashAlg::Sha256.digest(&[b"x"]);
    for key in [&a, &b] {
        let signature = key.xattr(0x0909_0909, b"x");
        assert!(
            keyring
                .verify(&sha256(&hash), &signature, Sha1::Refused)
                .is_ok()
        );
    }
}

#[test]
fn version_3_signs_kind_algorithm_and_digest() {
    let key = SoftKey::ec();
    let (keyring, ids) = ring(&[&key]);
    let hash = HashAlg::Sha256.digest(&[b"content"]);
    let file = |kind| FileDigest {
        kind,
        ..sha256(&hash)
    };
    let sign = |named: u8, head: (u8, u8, u8)| {
        let message = [&[named, 4], &hash[..]].concat();
        xattr(head, ids[0], &key.sign(&message))
    };
    let verify = |kind, bytes: &[u8]| keyring.verify(&file(kind), bytes, Sha1::Refused).is_ok();
    use DigestKind::{Content, Verity};
    assert!(verify(Verity, &sign(6, (6, 3, 4))));
    assert!(verify(Content, &sign(3, (3, 3, 4))));
    // Each names its own kind: one is not the other, nor a plain signature over the digest.
    assert!(!verify(Content, &sign(6, (6, 3, 4))) && !verify(Verity, &sign(3, (3, 3, 4))));
    assert!(!verify(Verity, &sign(3, (6, 3, 4))) && !verify(Content, &sign(6, (3, 3, 4))));
    assert!(!verify(
        Content,
        &xattr((3, 3, 4), ids[0], &key.sign(b"content"))
    ));
    assert!(!verify(Content, &sign(3, (3, 2, 4))));
    for head in [(6, 2, 4), (3, 1, 4), (3, 4, 4), (5, 2, 4), (4, 3, 4)] {
        assert!(FileSignature::parse(&sign(6, head)).is_err(), "{head:?}");
    }
}

#[test]
fn the_algorithm_of_a_signature_is_the_digests() {
    let key = SoftKey::ec();
    let (keyring, ids) = ring(&[&key]);
    let hash = HashAlg::Sha256.digest(&[b"x"]);
    let of = |alg: u8| xattr((3, 2, alg), ids[0], &key.sign(b"x"));
    for (alg, accepted) in [
        (4, true),
        (2, false),
        (5, false),
        (6, false),
        (1, false),
        (7, false),
    ] {
        let result = keyring.verify(&sha256(&hash), &of(alg), Sha1::Legacy);
        assert_eq!(result.is_ok(), accepted, "algorithm {alg}");
    }
    for (id, alg) in [
        (2, HashAlg::Sha1),
        (4, HashAlg::Sha256),
        (5, HashAlg::Sha384),
        (6, HashAlg::Sha512),
    ] {
        assert_eq!(FileSignature::parse(&of(id)).unwrap().alg, alg);
        assert_eq!(to_kernel(alg), id);
    }
}

#[test]
fn sha1_signatures_verify_as_legacy_only() {
    let (keyring, ids) = ring(&[&SoftKey::Rsa]);
    let hash = HashAlg::Sha1.digest(&[b"x"]);
    let file = FileDigest {
        kind: DigestKind::Content,
        alg: HashAlg::Sha1,
        bytes: &hash,
    };
    // RSASSA-PKCS1-v1_5 of a SHA-1 digest cannot be made with this library: refused before the numbers.
    let signature = xattr((3, 2, 2), ids[0], &[1; 256]);
    let refused = keyring
        .verify(&file, &signature, Sha1::Refused)
        .unwrap_err();
    let legacy = keyring.verify(&file, &signature, Sha1::Legacy).unwrap_err();
    let source = |error| match error {
        FileVerifyError::Invalid { source, .. } => source,
        other => panic!("{other}"),
    };
    assert!(matches!(source(refused), SignatureError::Unsuitable { .. }));
    assert!(matches!(source(legacy), SignatureError::Invalid { .. }));
}

#[test]
fn a_digest_verifies_as_its_message_does() {
    for key in [SoftKey::Rsa, SoftKey::ec()] {
        let public = PublicKey::from_spki(&key.spki()).unwrap();
        let scheme = match key {
            SoftKey::Rsa => Scheme::RsaPkcs1,
            SoftKey::Ec(_) => Scheme::Ecdsa,
        };
        let signature = key.sign(b"message");
        let hash = HashAlg::Sha256.digest(&[b"message"]);
        let how = |alg| (scheme(alg), Form::Der, Sha1::Refused);
        let digest = |alg, digest: &[u8]| verify_digest(&public, how(alg), digest, &signature);
        assert_eq!(
            verify(&public, how(HashAlg::Sha256), b"message", &signature),
            Ok(())
        );
        assert_eq!(digest(HashAlg::Sha256, &hash), Ok(()));
        let unsuitable = |result| matches!(result, Err(SignatureError::Unsuitable { .. }));
        assert!(unsuitable(digest(HashAlg::Sha256, &hash[..31])));
        assert!(unsuitable(digest(HashAlg::Sha384, &hash)));
        assert!(unsuitable(digest(HashAlg::Sha1, &[0; 20])));
        assert!(digest(HashAlg::Sha256, &[7; 32]).is_err());
        let ed = Scheme::Ed25519;
        assert!(unsuitable(verify_digest(
            &public,
            (ed, Form::Der, Sha1::Refused),
            &hash,
            &signature
        )));
        let other = match key {
            SoftKey::Rsa => Scheme::Ecdsa(HashAlg::Sha256),
            SoftKey::Ec(_) => Scheme::RsaPkcs1(HashAlg::Sha256),
        };
        assert!(unsuitable(verify_digest(
            &public,
            (other, Form::Der, Sha1::Refused),
            &hash,
            &signature
        )));
    }
    let PublicKey::Rsa { mut modulus, .. } = PublicKey::from_spki(&SoftKey::Rsa.spki()).unwrap()
    else {
        panic!("RSA");
    };
    modulus.pop();
    let weak = PublicKey::Rsa {
        modulus,
        exponent: 65_537,
    };
    let how = (Scheme::RsaPkcs1(HashAlg::Sha256), Form::Der, Sha1::Refused);
    let error = verify_digest(&weak, how, &[0; 32], &[0; 255]).unwrap_err();
    assert!(matches!(error, SignatureError::Unsuitable { .. }));
    let ed = PublicKey::Ed25519([1; 32]);
    let ecdsa = (Scheme::Ecdsa(HashAlg::Sha256), Form::Der, Sha1::Refused);
    assert!(verify_digest(&ed, ecdsa, &[0; 32], &[0; 64]).is_err());
}

#[test]
fn secp256k1_verifies_sha256_only() {
    let SoftKey::Ec(key) = SoftKey::k1() else {
        panic!("EC");
    };
    let signature = key.sign(&SystemRandom::new(), b"m").unwrap();
    let point = key.public_key().as_ref();
    let hash = HashAlg::Sha256.digest(&[b"m"]);
    let verify = |alg, digest: &[u8]| {
        verify_digest_secp256k1(point, (alg, Sha1::Legacy), digest, signature.as_ref())
    };
    assert_eq!(verify(HashAlg::Sha256, &hash), Ok(()));
    assert!(verify(HashAlg::Sha256, &[0; 32]).is_err());
    for (alg, size) in [
        (HashAlg::Sha1, 20),
        (HashAlg::Sha384, 48),
        (HashAlg::Sha256, 31),
    ] {
        let error = verify(alg, &vec![0; size]).unwrap_err();
        assert!(matches!(error, SignatureError::Unsuitable { .. }));
    }
    assert!(
        PublicKey::from_spki(&SoftKey::k1().spki()).is_err(),
        "nowhere but in a keyring"
    );
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        base64(der)
    )
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for position in 0..4 {
            let digit = (number >> (18 - 6 * position)) & 63;
            text.push(if position <= chunk.len() {
                ALPHABET[digit as usize] as char
            } else {
                '='
            });
        }
    }
    text
}

/// A certificate whose signature is garbage: nobody looks at it.
fn certificate(spki: &[u8], subject_key_id: Option<&[u8]>) -> Vec<u8> {
    let der = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        let head = match length {
            [0, short] if short < 0x80 => vec![tag, short],
            [0, byte] => vec![tag, 0x81, byte],
            [high, low] => vec![tag, 0x82, high, low],
        };
        [&head, content].concat()
    };
    let algorithm = der(0x30, &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
    let time = der(0x17, b"260101000000Z");
    let mut parts = vec![
        vec![0xa0, 3, 2, 1, 2, 2, 1, 1],
        algorithm.clone(),
        der(0x30, &[]),
        der(0x30, &[&time[..], &time].concat()),
        der(0x30, &[]),
        spki.to_vec(),
    ];
    if let Some(id) = subject_key_id {
        let value = der(0x04, &der(0x04, id));
        let extension = der(0x30, &[&[0x06, 3, 0x55, 0x1d, 0x0e][..], &value].concat());
        parts.push(der(0xa3, &der(0x30, &extension)));
    }
    let tbs = der(0x30, &parts.concat());
    der(0x30, &[&tbs[..], &algorithm, &der(0x03, &[0, 1])].concat())
}

#[test]
fn keyrings_are_read_from_pem_with_keys_and_certificates() {
    let (a, b, c) = (SoftKey::Rsa, SoftKey::ec(), SoftKey::k1());
    let text = pem("PUBLIC KEY", &a.spki())
        + &pem(
            "CERTIFICATE",
            &certificate(&b.spki(), Some(&[0, 0, 0, 1, 2, 3, 4])),
        )
        + &pem("PUBLIC KEY", &c.spki());
    let keyring = Keyring::read(text.as_bytes()).unwrap();
    assert_eq!(keyring.len(), 4);
    assert!(!keyring.is_empty() && Keyring::default().is_empty());
    let hash = HashAlg::Sha256.digest(&[b"x"]);
    // By the certificate's subject key identifier, and by the key's own.
    let (_, own) = ring(&[&b]);
    for id in [0x0102_0304, own[0]] {
        let signature = b.xattr(id, b"x");
        assert_eq!(
            keyring.verify(&sha256(&hash), &signature, Sha1::Refused),
            Ok(id)
        );
    }
    let plain = certificate(&b.spki(), None);
    assert_eq!(Keyring::default().add_certificate(&plain), Ok(own[0]));
    let own_id = certificate(&b.spki(), Some(&own[0].to_be_bytes()));
    let mut keyring = Keyring::default();
    assert_eq!(keyring.add_certificate(&own_id), Ok(own[0]));
    assert_eq!(keyring.len(), 1);
    let short = certificate(&b.spki(), Some(&[1, 2, 3]));
    assert!(matches!(
        Keyring::default().add_certificate(&short),
        Err(KeyringError::File(_))
    ));
}

#[test]
fn unusable_keyrings_are_refused() {
    let ed = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let mut spki = hex::decode("302a300506032b6570032100").unwrap();
    spki.extend(ed.public_key().as_ref());
    let unsuitable = Keyring::default().add_key(&spki).unwrap_err();
    assert_eq!(unsuitable, KeyringError::Unsuitable("Ed25519".into()));
    assert_eq!(Keyring::read(b""), Err(KeyringError::Empty));
    assert_eq!(Keyring::read(b"no keys\n"), Err(KeyringError::Empty));
    let large = vec![b' '; KEYRING_BYTES_MAX + 1];
    assert!(matches!(
        Keyring::read(&large),
        Err(KeyringError::TooLarge { .. })
    ));
    let mut trailing = SoftKey::k1().spki();
    trailing.push(0);
    assert!(Keyring::default().add_key(&trailing).is_err());
    let broken = pem("PUBLIC KEY", &SoftKey::ec().spki()[1..]);
    assert!(matches!(
        Keyring::read(broken.as_bytes()),
        Err(KeyringError::Key(_))
    ));
    assert!(Keyring::default().add_certificate(&[0x30, 0]).is_err());
}

#[test]
fn json_keyrings_must_state_the_right_identifiers() {
    let keys = [SoftKey::Rsa, SoftKey::ec()];
    let (_, ids) = ring(&[&keys[0], &keys[1]]);
    let json = |ids: &[u32], extra: &str| {
        let keys: Vec<String> = keys.iter().map(|key| base64(&key.spki())).collect();
        format!("{{\"pubkeys\": {keys:?}, \"keyids\": {ids:?}{extra}}}")
    };
    let good = json(&ids, "");
    assert_eq!(Keyring::read(good.as_bytes()).unwrap().len(), 2);
    let wrong = Keyring::read(json(&[ids[0], ids[1] ^ 1], "").as_bytes());
    let expected = KeyringError::KeyId {
        position: 1,
        expected: ids[1],
        actual: ids[1] ^ 1,
    };
    assert_eq!(wrong, Err(expected));
    for bad in [
        json(&ids[..1], ""),
        json(&ids, ", \"other\": 1"),
        good.replace("keyids", "ids"),
        good.replace("\"pubkeys\": [\"", "\"pubkeys\": [\"\\n"),
        good.replace("\"pubkeys\": [\"M", "\"pubkeys\": [\"-M"),
        "{}".into(),
    ] {
        assert!(
            matches!(Keyring::read(bad.as_bytes()), Err(KeyringError::File(_))),
            "{bad}"
        );
    }
    let none = Keyring::read(b"{\"pubkeys\": [], \"keyids\": []}");
    assert_eq!(none, Err(KeyringError::Empty));
}

#[test]
fn the_number_of_keys_is_capped() {
    let mut keyring = Keyring::default();
    let mut spki = SoftKey::k1().spki();
    for n in 0..KEYS_MAX {
        let at = spki.len() - 4;
        spki[at..].copy_from_slice(&(n as u32).to_be_bytes());
        keyring.add_key(&spki).unwrap();
    }
    keyring.add_key(&spki).unwrap();
    assert_eq!(keyring.len(), KEYS_MAX);
    spki[40] ^= 1;
    assert!(matches!(
        keyring.add_key(&spki),
        Err(KeyringError::TooLarge { .. })
    ));
}

#[test]
fn versions_that_do_not_exist_are_named() {
    for (kind, version, expected) in [(3, 1, "2 or 3"), (3, 4, "2 or 3"), (6, 2, "expected 3")] {
        let bytes = [kind, version, 4, 0, 0, 0, 0, 0, 0];
        let error = FileSignature::parse(&bytes);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("version") && error.contains(expected),
            "{error}"
        );
    }
}
