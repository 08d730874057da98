//! A ScalerNode made of software keys: its evidence is genuine as far as keys go, for any boot, IMA list and
//! SEV-SNP report it is given. Real software TPMs are in [`crate::swtpm`]; this one is for tests that need
//! thousands of quotes or a wrong one.

use crate::boot_log::{Banks, MeasuredBoot, Variant};
use crate::ima_list::ImaList;
use assay_protocol::answers::ChainLink;
use assay_protocol::class::{AttestationPolicy, Budget, Hardware, HardwareClass, Money, Sla};
use assay_protocol::cose::Signer;
use assay_protocol::evidence::{
    self, Claims, ImaClaim, SnpEvidence, TpmClock, VendorEvidence, claims_bytes, qualifying_data,
};
use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::{
    Address, AkName, Beacon, Bps, ChipId, Digest, Epoch, HyperNodeId, NetworkId, NodeId, Nonce,
    Ppm, SessionKey, UnixMs,
};
use assay_protocol::item::Blob;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
pub const AK_ATTRIBUTES: u32 = 0x0005_0072;

/// An Ed25519 key made from one byte.
pub struct SoftSession(Ed25519KeyPair);

impl SoftSession {
    /// The key of this byte.
    pub fn new(seed: u8) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]);
        Self(key.expect("any 32 bytes are a seed"))
    }
}

impl Signer for SoftSession {
    fn public_key(&self) -> [u8; 32] {
        let bytes = self.0.public_key().as_ref();
        bytes.try_into().expect("an Ed25519 key has 32 bytes")
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.0.sign(message);
        let bytes = signature.as_ref();
        bytes.try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

/// An attestation key that signs like a TPM: ECDSA on P-256.
pub struct SoftAk(EcdsaKeyPair);

impl SoftAk {
    /// A fresh key.
    pub fn generate() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self(key.expect("P-256 keys can be generated"))
    }

    /// TPMT_PUBLIC with these attributes.
    pub fn public_with(&self, attributes: u32) -> Vec<u8> {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        [
            &[0, 0x23, 0, 0x0b][..],
            &attributes.to_be_bytes(),
            &[0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10],
            &sized(x),
            &sized(y),
        ]
        .concat()
    }

    /// TPMT_PUBLIC.
    pub fn public(&self) -> Vec<u8> {
        self.public_with(AK_ATTRIBUTES)
    }

    /// The key's name.
    pub fn name(&self) -> AkName {
        let mut name = [0; AkName::LEN];
        name[1] = 0x0b;
        name[2..].copy_from_slice(&sha256(&[&self.public()]));
        AkName(name)
    }

    /// TPMT_SIGNATURE.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        let signature = signature.expect("P-256 signs");
        let (r, s) = signature.as_ref().split_at(32);
        [&[0, 0x18, 0, 0x0b][..], &sized(r), &sized(s)].concat()
    }

    /// TPMS_ATTEST over these PCRs of the SHA-256 bank, selected by `mask`.
    pub fn attest(
        &self,
        qualifying: &[u8],
        (mask, pcrs): (u32, &[(u8, Digest)]),
        clock: &TpmClock,
        firmware_version: u64,
    ) -> Vec<u8> {
        let values: Vec<&[u8]> = pcrs.iter().map(|(_, value)| &value.0[..]).collect();
        [
            &[0xff, 0x54, 0x43, 0x47, 0x80, 0x18][..],
            &sized(&self.name().0),
            &sized(qualifying),
            &clock.clock_ms.to_be_bytes(),
            &clock.reset_count.to_be_bytes(),
            &clock.restart_count.to_be_bytes(),
            &[u8::from(clock.safe)],
            &firmware_version.to_be_bytes(),
            &[0, 0, 0, 1, 0, 0x0b, 3],
            &mask.to_le_bytes()[..3],
            &sized(&sha256(&values)),
        ]
        .concat()
    }
}

/// PCR 0 to 14.
pub const QUOTED: u32 = 0x7fff;

/// The node.
pub struct SoftNode {
    /// Its attestation key.
    pub ak: SoftAk,
    /// Its session key.
    pub session: SoftSession,
    /// Its id.
    pub node: NodeId,
    /// Network and provider, as its configuration names them.
    pub owner: (NetworkId, Address),
    /// How it booted.
    pub boot: MeasuredBoot,
    /// What ran since then, when IMA is on.
    pub ima: Option<ImaList>,
    /// Makes the SEV-SNP evidence for a `report_data`, when there is a probe guest.
    pub snp: Option<Box<dyn Fn([u8; 64]) -> SnpEvidence + Send + Sync>>,
    /// Chip ids the agent reads on the host.
    pub chip_ids: Option<Vec<ChipId>>,
    /// What it says it is made of, encoded.
    pub inventory: Option<Vec<u8>>,
    /// The TPM's clock and counters.
    pub clock: TpmClock,
    /// The TPM's firmware version.
    pub firmware_version: u64,
}

impl SoftNode {
    /// An honest node without IMA and SEV-SNP.
    pub fn new(node: NodeId, owner: (NetworkId, Address)) -> Self {
        let config = config(owner);
        Self {
            ak: SoftAk::generate(),
            session: SoftSession::new(1),
            node,
            owner,
            boot: MeasuredBoot::new(Variant::Good, config.as_bytes()),
            ima: None,
            snp: None,
            chip_ids: None,
            inventory: None,
            clock: TpmClock {
                clock_ms: 1_000_000,
                reset_count: 7,
                restart_count: 1,
                safe: true,
            },
            firmware_version: 7,
        }
    }

    /// Turns IMA on: these files ran after the boot.
    pub fn with_ima(mut self, files: &[(&str, &[u8])]) -> Self {
        self.ima = Some(ImaList::new(&self.boot.pcrs(), files));
        self
    }

    /// PCR 0 to 14 of the SHA-256 bank.
    pub fn pcrs(&self) -> Vec<(u8, Digest)> {
        let mut pcrs: Vec<(u8, Digest)> = (0..).zip(self.boot.pcrs().map(Digest)).collect();
        if let Some(ima) = &self.ima {
            pcrs[10].1 = ima.pcr();
        }
        pcrs
    }

    /// Claims for these nonces; the SEV-SNP report comes first, as its digest is one of them.
    pub fn claims(&self, nonces: &[(HyperNodeId, Nonce)]) -> (Claims, Option<SnpEvidence>) {
        let session_key = SessionKey(self.session.public_key());
        let batch = evidence::nonce_batch(nonces);
        let report_data = evidence::snp_report_data(&batch, &session_key, &self.ak.name());
        let snp = self.snp.as_ref().map(|make| make(report_data));
        let ima = self.ima.as_ref().map(|list| ImaClaim {
            digest: digest(&[&list.encode()]),
            first: 0,
            count: list.entries.len() as u64,
        });
        let claims = Claims {
            nonces: nonces.to_vec(),
            node: self.node,
            uptime_s: 100,
            software: ("assay-agent".into(), "0.1.0".into()),
            freshness: (Epoch(0), Beacon([0; 32])),
            link: ChainLink {
                sequence: 0,
                previous: Digest([0; 32]),
            },
            counters: Vec::new(),
            inventory: self.inventory.as_ref().map(|bytes| digest(&[bytes])),
            clock: self.clock,
            session_key,
            ak_name: self.ak.name(),
            owner: self.owner,
            event_log: digest(&[&self.boot.log(Banks::Sha256)]),
            at: UnixMs(15_000),
            snp_report: snp.as_ref().map(|snp| digest(&[&snp.report.0])),
            ima,
            chip_ids: self.chip_ids.clone(),
        };
        (claims, snp)
    }

    /// The quote over the claims, and everything beside them.
    pub fn vendor(&self, claims: &Claims, snp: Option<SnpEvidence>) -> VendorEvidence {
        let pcrs = self.pcrs();
        let qualifying = qualifying_data(&claims_bytes(claims));
        let attest = self.ak.attest(
            &qualifying,
            (QUOTED, &pcrs),
            &self.clock,
            self.firmware_version,
        );
        VendorEvidence {
            signature: Blob(self.ak.sign(&attest)),
            attest: Blob(attest),
            ak_public: Blob(self.ak.public()),
            pcrs,
            event_log: Blob(self.boot.log(Banks::Sha256)),
            ima_log: self.ima.as_ref().map(|list| Blob(list.encode())),
            snp,
            inventory: self.inventory.clone().map(Blob),
        }
    }

    /// Signed evidence for these nonces.
    pub fn evidence(&self, nonces: &[(HyperNodeId, Nonce)]) -> Vec<u8> {
        let (claims, snp) = self.claims(nonces);
        let vendor = self.vendor(&claims, snp);
        evidence::seal(claims, &vendor, &self.session)
    }
}

/// An agent's configuration that names the owner.
pub fn config((network, provider): (NetworkId, Address)) -> String {
    format!(
        "network = \"{network}\"\nprovider = \"{provider}\"\nroster = [\"{}\"]\n\
         listen = \"127.0.0.1:0\"\nstate_dir = \"/s\"\n[tpm]\ntcti = \"device:/dev/tpmrm0\"\n\
         event_log = \"/l\"\n",
        "33".repeat(32)
    )
}

/// A class that asks little of the hardware, and `attestation` of the evidence.
pub fn class(attestation: AttestationPolicy) -> HardwareClass {
    HardwareClass {
        schema: 2,
        name: "soft".into(),
        summary: String::new(),
        hardware: Hardware {
            cpu: String::new(),
            cores: 1,
            memory_mib: 1,
            disk_gib: 1,
            nic_mbps: 1,
        },
        sla: Sla {
            availability_ppm: Ppm(1),
            coverage_ppm_min: Ppm(1),
            chase_reads_per_s_min: 1,
            chase_liveness_reads_per_s_min: 1,
        },
        budget: Budget {
            region_blocks: 64,
            chase_lanes: 1,
            chase_steps: 8,
            chase_checkpoint_every: 8,
            probe_attempts: 1,
        },
        money: Money {
            collateral_gwei_min: 1,
            reward_gwei_per_epoch: 1,
            slash_bps: Bps(1),
        },
        attestation,
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}
