//! Who signs transactions: a path, or a table whose keys say of which kind it is.

use assay_protocol::ids::Address;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::path::PathBuf;

/// Who signs transactions. A key file of hexadecimal digits is for tests and demonstrations.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file of 64 hexadecimal digits, mode 0600.
    File(PathBuf),
    /// An encrypted file (Web3 Secret Storage), and the file of its password.
    Keystore(KeystoreSource),
    /// A signer behind a URL.
    Signer(SignerSource),
}

/// See [`KeySource::Keystore`].
#[derive(Debug, Clone)]
pub struct KeystoreSource {
    /// The encrypted file, mode 0600.
    pub keystore: PathBuf,
    /// Its password's file, mode 0600; a systemd credential is one.
    pub password_file: PathBuf,
}

/// See [`KeySource::Signer`].
#[derive(Debug, Clone)]
pub struct SignerSource {
    /// `https://…`, or `http://…` on this machine; it serves `eth_signTransaction`.
    pub signer: String,
    /// The account.
    pub address: Address,
    /// Roots that its certificate must lead to (PEM).
    pub ca: Option<PathBuf>,
}

/// The keys of both tables, so that what is wrong with one of them can be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    keystore: Option<PathBuf>,
    password_file: Option<PathBuf>,
    signer: Option<String>,
    address: Option<Address>,
    ca: Option<PathBuf>,
}

impl Table {
    fn source<E: Error>(self) -> Result<KeySource, E> {
        let keystore = (self.keystore, self.password_file);
        let signer = (self.signer, self.address, self.ca);
        match (keystore, signer) {
            ((Some(keystore), Some(password_file)), (None, None, None)) => {
                Ok(KeySource::Keystore(KeystoreSource {
                    keystore,
                    password_file,
                }))
            }
            ((None, None), (Some(signer), Some(address), ca)) => {
                Ok(KeySource::Signer(SignerSource {
                    signer,
                    address,
                    ca,
                }))
            }
            _ => Err(E::custom(
                "expected `keystore` and `password_file`, or `signer`, `address` and perhaps `ca`",
            )),
        }
    }
}

struct PathOrTable;

impl<'de> Visitor<'de> for PathOrTable {
    type Value = KeySource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path of a key file, or a table of a keystore or a signer")
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<KeySource, E> {
        Ok(KeySource::File(path.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeySource, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map))?.source()
    }
}

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathOrTable)
    }
}
