//! Keyed regions: AES-256-CTR keystream that only the HyperNode can make (ARCHITECTURE section 8).

use crate::hash::{hkdf_sha256, sha256};
use crate::ids::{Digest, NetworkId, NodeId, RegionKey};
use crate::merkle;
use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 4096;
/// AES blocks in a region block.
const AES_BLOCKS: u64 = (BLOCK_BYTES / 16) as u64;

/// Which region: its number on the node and how often it was filled anew.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct RegionId {
    /// Region number, from 0.
    pub region: u32,
    /// Grows with each region period.
    pub generation: u64,
}

/// Derives a region's key from the HyperNode's master secret.
pub fn region_key(
    master: &[u8; 32],
    network: &NetworkId,
    node: &NodeId,
    id: RegionId,
) -> RegionKey {
    let info: [&[u8]; 4] = [
        b"assay/region/1",
        &node.0,
        &id.region.to_be_bytes(),
        &id.generation.to_be_bytes(),
    ];
    RegionKey(hkdf_sha256(master, &network.0, &info))
}

/// The hash of a region's key, logged before the fill.
pub fn key_hash(key: &RegionKey) -> Digest {
    Digest(sha256(&[b"assay/region-key/1", &key.0]))
}

/// Makes blocks of one region's keystream.
pub struct Keystream {
    key: DecryptingKey,
}

/// The cipher refused; with a 32-byte key it has no reason to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("AES-256 refused a 32-byte key")]
pub struct CipherError;

impl Keystream {
    /// The keystream of `key`.
    pub fn new(key: &RegionKey) -> Result<Self, CipherError> {
        let key = UnboundCipherKey::new(&AES_256, &key.0).map_err(|_| CipherError)?;
        let key = DecryptingKey::ctr(key).map_err(|_| CipherError)?;
        Ok(Self { key })
    }

    /// Block `index`: keystream bytes 4096·index to 4096·(index + 1), zero IV.
    pub fn block(&self, index: u32) -> Result<[u8; BLOCK_BYTES], CipherError> {
        let mut block = [0; BLOCK_BYTES];
        let counter = u128::from(u64::from(index).saturating_mul(AES_BLOCKS));
        let iv = DecryptionContext::Iv128(FixedLength::from(counter.to_be_bytes()));
        // CTR is its own inverse, so decrypting zeros gives the keystream under an IV of our choice.
        self.key.decrypt(&mut block, iv).map_err(|_| CipherError)?;
        Ok(block)
    }
}

/// Merkle root (RFC 9162) over the first `blocks` blocks of a key's region.
pub fn region_root(key: &RegionKey, blocks: u32) -> Result<Digest, CipherError> {
    let keystream = Keystream::new(key)?;
    let mut leaves = Vec::new();
    for index in 0..blocks {
        leaves.push(merkle::leaf_hash(&keystream.block(index)?));
    }
    Ok(merkle::root(&leaves))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A has no zero-IV CTR vector; AES-256 of the zero block under the zero key is FIPS 197's own check value.
    #[test]
    fn keystream_starts_with_the_cipher_of_the_zero_counter() {
        let block = Keystream::new(&RegionKey([0; 32]))
            .unwrap()
            .block(0)
            .unwrap();
        assert_eq!(
            hex::encode(&block[..16]),
            "dc95c078a2408989ad48a21492842087"
        );
    }

    #[test]
    fn blocks_follow_each_other() {
        let stream = Keystream::new(&RegionKey([7; 32])).unwrap();
        let (a, b) = (stream.block(0).unwrap(), stream.block(1).unwrap());
        assert_ne!(a, b);
        // Counter 256 starts block 1: AES-256-CTR is AES-ECB of the counter.
        let again = Keystream::new(&RegionKey([7; 32]))
            .unwrap()
            .block(1)
            .unwrap();
        assert_eq!(b, again);
    }

    #[test]
    fn another_node_region_generation_or_network_has_another_key() {
        let id = RegionId {
            region: 0,
            generation: 0,
        };
        let key = |net: u8, node: u8, id| {
            region_key(&[1; 32], &NetworkId([net; 32]), &NodeId([node; 32]), id)
        };
        let first = key(1, 1, id);
        assert_ne!(first, key(2, 1, id));
        assert_ne!(first, key(1, 2, id));
        assert_ne!(first, key(1, 1, RegionId { region: 1, ..id }));
        assert_ne!(
            first,
            key(
                1,
                1,
                RegionId {
                    generation: 1,
                    ..id
                }
            )
        );
    }
}
