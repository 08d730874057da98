//! A node's id is its endorsement key (ARCHITECTURE section 5).

use super::algorithm::{ALG_ECC, ALG_RSA};
use super::ek_template::EkKey;
use assay_protocol::hash::sha256;
use assay_protocol::ids::NodeId;

const LABEL: &[u8] = b"assay/node/1";

/// SHA-256(`"assay/node/1"` ‖ key type as `TPM_ALG_ID`, big-endian ‖ key), where key is the RSA
/// modulus (256 bytes) or the uncompressed point (`04` ‖ x ‖ y).
pub fn node_id(key: &EkKey) -> NodeId {
    NodeId(match key {
        EkKey::Rsa2048 { modulus } => sha256(&[LABEL, &ALG_RSA.to_be_bytes(), modulus]),
        EkKey::EccP256 { x, y } => sha256(&[LABEL, &ALG_ECC.to_be_bytes(), &[4], x, y]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_type_and_key_are_concatenated() {
        let rsa = node_id(&EkKey::Rsa2048 {
            modulus: [0xd1; 256],
        });
        let mut preimage = b"assay/node/1\x00\x01".to_vec();
        preimage.extend([0xd1; 256]);
        assert_eq!(rsa.0, sha256(&[&preimage]));
        let ecc = node_id(&EkKey::EccP256 {
            x: [1; 32],
            y: [2; 32],
        });
        let mut preimage = b"assay/node/1\x00\x23\x04".to_vec();
        preimage.extend([1; 32]);
        preimage.extend([2; 32]);
        assert_eq!(ecc.0, sha256(&[&preimage]));
    }

    #[test]
    fn another_key_is_another_node() {
        let mut modulus = [0xd1; 256];
        let one = node_id(&EkKey::Rsa2048 { modulus });
        modulus[255] ^= 1;
        assert_ne!(one, node_id(&EkKey::Rsa2048 { modulus }));
    }
}
