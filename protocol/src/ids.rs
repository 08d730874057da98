//! Newtypes for everything that is 32 bytes or a number and must not be confused.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes bytes in lower-case hexadecimal, some at a time: an appraisal shows hundreds of digests.
pub fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for part in bytes.chunks(64) {
        let mut text = [0u8; 128];
        for (digits, byte) in text.as_chunks_mut().0.iter_mut().zip(part) {
            *digits = [byte >> 4, byte & 0xf].map(hex_digit);
        }
        let size = part.len().saturating_mul(2);
        let text = text.get(..size).unwrap_or_default();
        f.write_str(core::str::from_utf8(text).unwrap_or_default())?;
    }
    Ok(())
}

/// The digit of a number below 16. Without a table or a branch, so that many are made at once.
const fn hex_digit(nibble: u8) -> u8 {
    let letter = (nibble > 9) as u8;
    nibble
        .wrapping_add(b'0')
        .wrapping_add(letter.wrapping_mul(b'a' - b'9' - 1))
}

/// A hexadecimal identifier did not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected_bytes} bytes as hexadecimal, got {actual:?}")]
pub struct ParseIdError {
    what: &'static str,
    expected_bytes: usize,
    actual: String,
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdError;
            fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
                <[u8; $len]>::try_from(bytes).map(Self).map_err(|_| ParseIdError {
                    what: stringify!($name),
                    expected_bytes: $len,
                    actual: format!("{} bytes", bytes.len()),
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut out = [0u8; $len];
                let digits = text.strip_prefix("0x").unwrap_or(text);
                hex::decode_to_slice(digits, &mut out).map_err(|_| ParseIdError {
                    what: stringify!($name),
                    expected_bytes: $len,
                    actual: text.chars().take(80).collect(),
                })?;
                Ok(Self(out))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serde::Serialize::serialize(&self.0[..], serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error as _;
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                } else {
                    let bytes = <&'de [u8]>::deserialize(deserializer)?;
                    Self::try_from(bytes).map_err(D::Error::custom)
                }
            }
        }
    };
}

bytes_id!(
    /// SHA-256 of the network parameters' deterministic CBOR (ARCHITECTURE section 5).
    NetworkId, 32);
bytes_id!(
    /// SHA-256(`"assay/node/1"` ‖ key type ‖ EK public key): one ScalerNode.
    NodeId, 32);
bytes_id!(
    /// A HyperNode: its Ed25519 public key, raw.
    HyperNodeId, 32);
bytes_id!(
    /// An agent's session key: its Ed25519 public key, raw; never stored by the agent.
    SessionKey, 32);
bytes_id!(
    /// A challenge nonce, 32 bytes.
    Nonce, 32);
bytes_id!(
    /// Public randomness of an epoch.
    Beacon, 32);
bytes_id!(
    /// A SHA-256 digest.
    Digest, 32);
bytes_id!(
    /// A SHA-384 digest: the launch MEASUREMENT of a SEV-SNP guest.
    Digest384, 48);
bytes_id!(
    /// CHIP_ID of an AMD processor, as SEV-SNP reports and GET_ID give it; all zero when it is masked.
    ChipId, 64);
bytes_id!(
    /// What a SEV-SNP report is asked to carry.
    ReportData, 64);
bytes_id!(
    /// A Keccak-256 digest (only on the ledger's side).
    Keccak, 32);
bytes_id!(
    /// One link of a HyperNode's seed hash chain.
    Seed, 32);
bytes_id!(
    /// A region's AES-256 key. `Debug` and `Display` print it: it is only formatted after its reveal.
    RegionKey, 32);
bytes_id!(
    /// An account address on the EVM ledger.
    Address, 20);

/// TPM object name: algorithm id (2 bytes) and SHA-256 of the public area (TPM 2.0 part 1, section 16).
pub const TPM_NAME_LEN: usize = 34;
bytes_id!(
    /// The name of an attestation key: `000B` ‖ SHA-256(TPMT_PUBLIC), 34 bytes.
    AkName, 34);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// Epoch number, from 0 at genesis.
    Epoch, u64);
number!(
    /// Slot number within its epoch, from 0.
    Slot, u32);
number!(
    /// Stake, in the token's smallest unit.
    Stake, u128);
number!(
    /// Parts per million, 0..=1,000,000.
    Ppm, u32);
number!(
    /// Basis points, 0..=10,000.
    Bps, u32);
number!(
    /// Unix time in milliseconds.
    UnixMs, u64);

impl Epoch {
    /// The next epoch (saturating at the end of time).
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip_and_wrong_length_is_named() {
        let id = NodeId([7; 32]);
        assert_eq!(id.to_string().parse::<NodeId>(), Ok(id));
        let error = "0707".parse::<NodeId>().unwrap_err().to_string();
        assert!(
            error.contains("NodeId") && error.contains("32 bytes"),
            "{error}"
        );
    }

    #[test]
    fn json_is_hex_and_postcard_is_bytes() {
        let id = Address([9; 20]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{}\"", "09".repeat(20)));
        assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), id);
        let bytes = postcard::to_stdvec(&id).unwrap();
        assert_eq!(bytes.len(), 21);
        assert_eq!(postcard::from_bytes::<Address>(&bytes).unwrap(), id);
    }
}
