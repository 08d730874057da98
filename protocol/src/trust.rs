//! What a verifier pins: vendor roots with their kind, the network, and a first committee.

use crate::ids::{Digest, Epoch, Keccak};
use crate::params::NetworkParams;
use serde::{Deserialize, Serialize};

/// What stands behind a TPM vendor's root (ARCHITECTURE section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootKind {
    /// A chip soldered to the board.
    Soldered,
    /// A plug-in module: can be moved.
    Module,
    /// Firmware of the CPU or chipset.
    Firmware,
    /// A hypervisor's TPM.
    Virtual,
    /// A software TPM for tests.
    Test,
}

/// The one EK type a root may vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EkType {
    /// RSA-2048, template L-1, NV index 0x01C00002.
    Rsa2048,
    /// ECC P-256, template L-2, for vendors without RSA.
    EccP256,
}

/// A trusted TPM root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VendorRoot {
    /// For people.
    pub name: String,
    /// What stands behind it.
    pub kind: RootKind,
    /// The EK type that counts.
    pub ek_type: EkType,
    /// The least `firmwareVersion` a quote of its TPMs may carry (TPMS_ATTEST, TPM 2.0 part 2 section 10.12.12),
    /// as the vendor's advisories say; 0 = none.
    pub firmware_min: u64,
    /// SHA-256 of the root certificate's DER.
    pub sha256: Digest,
    /// The root certificate, DER, hexadecimal.
    #[serde(with = "hex::serde")]
    pub certificate: Vec<u8>,
    /// Intermediate certificates, DER, hexadecimal. They prove nothing of themselves.
    pub intermediates: Vec<HexBytes>,
}

/// Bytes shown as hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HexBytes(#[serde(with = "hex::serde")] pub Vec<u8>);

/// The vendor roots of a network and which kinds may earn a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustBundle {
    /// Kinds whose EKs may earn a tier above 0. Only a test network lists `test` or `virtual`.
    pub allowed_kinds: Vec<RootKind>,
    /// The roots.
    pub roots: Vec<VendorRoot>,
}

/// The committee an audit starts from; each signed root names the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitteePin {
    /// First epoch of the committee.
    pub epoch: Epoch,
    /// Keccak-256 of the ABI-encoded members.
    pub hash: Keccak,
}

/// The file given to `assay-audit --trust`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    /// Schema version, 1.
    pub schema: u32,
    /// The network's parameters; their digest is the network id.
    pub params: NetworkParams,
    /// The first committee.
    pub committee: CommitteePin,
    /// TPM vendor roots.
    pub vendors: TrustBundle,
}
