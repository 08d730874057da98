//! The published examples of Web3 Secret Storage, a round trip, and every change of a file.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The example of the specification for scrypt: password `testpassword`.
const SCRYPT: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt","kdfparams":{"dklen":32,
"n":262144,"p":8,"r":1,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},
"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
/// The example for PBKDF2, the same key and password.
const PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,
"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
const SECRET: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

fn private(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn read(text: &str, password: &str) -> Result<LedgerKey, KeyError> {
    let dir = tempfile::tempdir().unwrap();
    let file = private(dir.path(), "key.json", text);
    LedgerKey::from_keystore(&file, &private(dir.path(), "password", password))
}

#[test]
fn the_published_examples_open_with_their_password_only() {
    let mut secret = [0; 32];
    hex::decode_to_slice(SECRET, &mut secret).unwrap();
    let address = LedgerKey::from_bytes(&secret).unwrap().address();
    for text in [SCRYPT, PBKDF2] {
        assert_eq!(read(text, "testpassword\n").unwrap().address(), address);
    }
    let error = read(PBKDF2, "testpassworD").unwrap_err().to_string();
    assert!(error.contains("wrong password"), "{error}");
}

#[test]
fn a_new_keystore_is_private_opens_again_and_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (path, password) = (dir.path().join("k"), private(dir.path(), "p", "one two"));
    let made = LedgerKey::create_keystore(&path, &[7; 32], &password).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&hex::encode([7; 32])));
    let read = LedgerKey::load(&path, Some(&password)).unwrap();
    assert_eq!(read.address(), made.address());
    assert!(LedgerKey::create_keystore(&path, &[8; 32], &password).is_err());
    assert!(LedgerKey::load(&path, None).is_err(), "not 64 digits");
}

#[test]
fn every_changed_part_is_refused_by_name() {
    let small = encrypt(&[7; 32], "p", "0".repeat(40), 10).unwrap();
    let small = serde_json::to_string(&small).unwrap();
    for (from, to, text) in [
        ("\"version\":3", "\"version\":2", "version 2"),
        ("aes-128-ctr", "aes-128-cbc", "cipher aes-128-cbc"),
        ("\"dklen\":32", "\"dklen\":16", "dklen 16"),
        ("\"n\":1024", "\"n\":1025", "n 1025"),
        ("\"n\":1024", "\"n\":4194304", "n 4194304"),
        ("\"r\":8", "\"r\":100000000", "r 100000000"),
        ("\"p\":1", "\"p\":17", "p 17"),
        ("\"p\":1", "\"p\":0", ""),
        ("\"kdf\":\"scrypt\"", "\"kdf\":\"md5\"", "version 3: line"),
        ("\"mac\":\"", "\"mac\":\"0", "mac"),
        ("\"iv\":\"", "\"iv\":\"x", "iv"),
        ("\"salt\":\"", "\"salt\":\"x", "salt"),
        ("\"crypto\"", "\"crypt\"", "version 3: line"),
        ("\"version\"", "\"version", ""),
    ] {
        assert!(small.contains(from), "{from}");
        let error = read(&small.replacen(from, to, 1), "p").unwrap_err();
        assert!(error.to_string().contains(text), "{to}: {error}");
    }
    let error = read(&small, "p").unwrap_err().to_string();
    assert!(error.contains("address: says 000"), "{error}");
}

#[test]
fn a_password_in_place_of_a_keystore_is_not_shown() {
    for password in [
        "4815162342",
        "\"correct horse\"",
        "[\"correct horse\"]",
        "horse",
    ] {
        let error = read(password, "p").unwrap_err().to_string();
        assert!(
            error.contains("not a keystore of version 3: line 1, column"),
            "{error}"
        );
        let shown = ["4815", "horse"].iter().any(|part| error.contains(part));
        assert!(!shown, "{error}");
    }
}

#[test]
fn files_that_others_may_read_and_empty_passwords_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = private(dir.path(), "key.json", PBKDF2);
    let open = private(dir.path(), "open", "testpassword");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = LedgerKey::from_keystore(&file, &open).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    let empty = private(dir.path(), "empty", "\n");
    let error = LedgerKey::from_keystore(&file, &empty).unwrap_err();
    assert!(error.to_string().contains("empty"), "{error}");
}

#[test]
fn ids_are_uuids() {
    assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}
