//! A node in software with fixed keys: its evidence is genuine for any event log it is given.

use crate::samples::{self, NETWORK, NODE, NONCE, PROVIDER};
use assay_appraisal::appraise::{self, Appraisal, Expectation, Policy, Refused};
use assay_appraisal::checks::Mode;
use assay_appraisal::eventlog;
use assay_appraisal::tpm::ak::AttestationKey;
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_log::base64;
use assay_log::checkpoint::key_hash;
use assay_protocol::class::{HardwareClass, PcrReference};
use assay_protocol::cose::Signer;
use assay_protocol::evidence::{self, Claims, VendorEvidence};
use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::{Digest, SessionKey};
use assay_protocol::item::Blob;
use assay_protocol::trust::{RootKind, TrustBundle};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use std::sync::LazyLock;

const EV_SEPARATOR: u32 = 4;
/// The attestation key is the scalar 1, so its public point is the generator of P-256.
const SCALAR: [u8; 32] = {
    let mut one = [0; 32];
    one[31] = 1;
    one
};
const GENERATOR: [u8; 64] = [
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
    0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
    0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

/// The node, and what its verifier expects of it.
pub struct SoftNode {
    key: EcdsaKeyPair,
    ak: AttestationKey,
    /// TPMT_PUBLIC of its attestation key.
    pub ak_public: Vec<u8>,
    class: HardwareClass,
    trust: TrustBundle,
}

impl SoftNode {
    /// The one node of this process.
    pub fn shared() -> &'static Self {
        static NODE: LazyLock<SoftNode> = LazyLock::new(SoftNode::new);
        &NODE
    }

    fn new() -> Self {
        let point = [&[4u8][..], &GENERATOR].concat();
        let key = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &SCALAR,
            &point,
        )
        .expect("1 is a private key");
        let ak_public = ak_public();
        let ak = AttestationKey::from_bytes(&ak_public).expect("an attestation key");
        let mut class = samples::class();
        class.attestation.pcrs = pinned(&good_log());
        let trust = TrustBundle {
            allowed_kinds: vec![RootKind::Test],
            roots: Vec::new(),
        };
        Self {
            key,
            ak,
            ak_public,
            class,
            trust,
        }
    }

    /// Evidence of a boot that left this log; a log that does not replay leaves zeros.
    pub fn evidence(&self, log: &[u8]) -> Vec<u8> {
        let claims = Claims {
            ak_name: self.ak.name(),
            event_log: digest(&[log]),
            ..samples::claims()
        };
        let pcrs = replay(log);
        let attest = self.quote(&claims, &pcrs);
        let vendor = VendorEvidence {
            signature: Blob(self.sign(&attest)),
            attest: Blob(attest),
            ak_public: Blob(self.ak_public.clone()),
            pcrs,
            event_log: Blob(log.to_vec()),
            ima_log: None,
            snp: None,
        };
        evidence::seal(claims, &vendor, &samples::key())
    }

    /// TPMS_ATTEST over these PCRs, bound to the claims.
    pub fn quote(&self, claims: &Claims, pcrs: &[(u8, Digest)]) -> Vec<u8> {
        let values: Vec<u8> = pcrs.iter().flat_map(|(_, value)| value.0).collect();
        let covered = evidence::qualifying_data(&evidence::claims_bytes(claims));
        let mut out = b"\xffTCG\x80\x18\0\x02\0\x0b\0\x20".to_vec();
        out.extend(covered);
        out.extend(1_000_000u64.to_be_bytes());
        out.extend(claims.clock.reset_count.to_be_bytes());
        out.extend(claims.clock.restart_count.to_be_bytes());
        out.push(1);
        out.extend(1u64.to_be_bytes());
        out.extend(b"\0\0\0\x01\0\x0b\x03\xff\x7f\0\0\x20");
        out.extend(sha256(&[&values]));
        out
    }

    /// TPMT_SIGNATURE by the attestation key.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self
            .key
            .sign(&SystemRandom::new(), message)
            .expect("a signature");
        let (r, s) = signature.as_ref().split_at(32);
        [&[0, 0x18, 0, 0x0b, 0, 32], r, &[0, 32], s].concat()
    }

    /// Verifies evidence as the HyperNode that asked for it.
    pub fn verify(&self, bytes: &[u8], mode: Mode) -> Result<Appraisal, Refused> {
        let expected = Expectation {
            node: NODE,
            hypernode: samples::hypernode(),
            nonce: NONCE,
            session_key: SessionKey(samples::key().public_key()),
            ak: &self.ak,
            last_clock: None,
        };
        let policy = Policy {
            network: NETWORK,
            class: &self.class,
            root_kind: RootKind::Test,
            firmware_min: 0,
            trust: &self.trust,
            endorsements: Endorsements {
                at: UnixMs(1_800_000_000_000),
                roots: &self.roots,
                chain: None,
                cache: &self.certificates,
            },
            ima_position: None,
        };
        appraise::verify(bytes, &expected, &policy, mode)
    }
}

/// TPMT_PUBLIC of a restricted P-256 signing key.
fn ak_public() -> Vec<u8> {
    let (x, y) = GENERATOR.split_at(32);
    let head = b"\0\x23\0\x0b\0\x05\0\x72\0\0\0\x10\0\x18\0\x0b\0\x03\0\x10\0\x20";
    [&head[..], x, &[0, 32], y].concat()
}

fn replay(log: &[u8]) -> Vec<(u8, Digest)> {
    let values = eventlog::parse(log).ok().and_then(|log| {
        let values = log.replay(HashAlg::Sha256).ok()?;
        let value = |pcr: u32| {
            let value = values.get(&pcr).cloned();
            value.unwrap_or_else(|| log.initial(pcr, HashAlg::Sha256))
        };
        Some((0..15).map(value).collect::<Vec<_>>())
    });
    let values = values.unwrap_or_else(|| vec![vec![0; 32]; 15]);
    let digest = |value: Vec<u8>| Digest(value.try_into().expect("a SHA-256 register"));
    (0..).zip(values.into_iter().map(digest)).collect()
}

fn pinned(log: &[u8]) -> Vec<PcrReference> {
    let firmware = replay(log).into_iter().take(8);
    let allow = |(index, value)| PcrReference {
        index,
        allowed: vec![value],
    };
    firmware.map(allow).collect()
}

/// A log the node's class allows: separators, then the agent's configuration in PCR 12.
pub fn good_log() -> Vec<u8> {
    let mut log = header();
    (0..8).for_each(|pcr| event(&mut log, pcr, EV_SEPARATOR, &[0; 4]));
    event(&mut log, 12, eventlog::EV_IPL, config().as_bytes());
    log
}

/// The agent's configuration file.
pub fn config() -> String {
    format!(
        "network = \"{NETWORK}\"\nprovider = \"{PROVIDER}\"\nroster = [\"{}\"]\nlisten = \"127.0.0.1:0\"\n\
         state_dir = \"/s\"\n[tpm]\ntcti = \"device:/dev/tpmrm0\"\nevent_log = \"/l\"\n[limits]\nidle_ms_max = 5\n",
        samples::hypernode()
    )
}

fn header() -> Vec<u8> {
    let mut out = b"\0\0\0\0\x03\0\0\0".to_vec();
    out.extend([0; 20]);
    let body = b"Spec ID Event03\0\0\0\0\0\0\x02\x69\x02\x01\0\0\0\x0b\0\x20\0\0";
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(body);
    out
}

fn event(log: &mut Vec<u8>, pcr: u32, kind: u32, data: &[u8]) {
    log.extend(pcr.to_le_bytes());
    log.extend(kind.to_le_bytes());
    log.extend(b"\x01\0\0\0\x0b\0");
    log.extend(sha256(&[data]));
    log.extend((data.len() as u32).to_le_bytes());
    log.extend(data);
}

/// A signature line of a C2SP note.
pub fn note_signature(origin: &str, key: &dyn Signer, body: &[u8]) -> String {
    let hash = key_hash(origin, &samples::hypernode()).to_be_bytes();
    let line = [&hash[..], &key.sign(body)].concat();
    format!("— {origin} {}\n", base64::encode(&line))
}
