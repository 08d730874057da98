//! A TPM in software: an EK certificate from a CA of its own, an AK, quotes. Only a test root trusts it.

use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::tpm::ek_template::EkKey;
use assay_appraisal::tpm::node_id::node_id;
use assay_protocol::evidence::TpmClock;
use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::{AkName, Digest, NodeId};
use assay_protocol::trust::{EkType, RootKind, TrustBundle, VendorRoot};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
const AK_ATTRIBUTES: u32 = 0x0005_0072;

/// A software TPM.
pub struct SoftTpm {
    ak: EcdsaKeyPair,
    /// EK certificate.
    pub ek_certificate: Vec<u8>,
    /// TPMT_PUBLIC of the EK.
    pub ek_public: Vec<u8>,
    /// The node's id.
    pub node: NodeId,
    /// The only root that trusts it.
    pub vendors: TrustBundle,
}

impl SoftTpm {
    pub fn manufacture() -> Self {
        let ca = Ca(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap());
        let ek = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let spki = ek.public_key().as_der().unwrap().as_ref().to_vec();
        let key = EkKey::from_public(&PublicKey::from_spki(&spki).unwrap()).unwrap();
        Self {
            ak: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ek_certificate: ca.issue("", &spki, &ek_extensions()),
            ek_public: key.template(),
            node: node_id(&key),
            vendors: ca.trust(),
        }
    }

    /// TPMT_PUBLIC of the AK.
    pub fn ak_public(&self) -> Vec<u8> {
        let (x, y) = self.ak.public_key().as_ref()[1..].split_at(32);
        let attributes = AK_ATTRIBUTES.to_be_bytes();
        let scheme = [0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10];
        [
            &[0, 0x23, 0, 0x0b],
            &attributes[..],
            &scheme,
            &[0, 32],
            x,
            &[0, 32],
            y,
        ]
        .concat()
    }

    pub fn ak_name(&self) -> AkName {
        let name = [&[0, 0x0b][..], &sha256(&[&self.ak_public()])].concat();
        AkName::try_from(name.as_slice()).unwrap()
    }

    /// TPMS_ATTEST and TPMT_SIGNATURE over PCR 0 to 14.
    pub fn quote(
        &self,
        qualifying: &[u8],
        pcrs: &[(u8, Digest)],
        clock: &TpmClock,
    ) -> (Vec<u8>, Vec<u8>) {
        let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let values: Vec<&[u8]> = pcrs.iter().map(|(_, value)| &value.0[..]).collect();
        let attest = [
            &[0xff, 0x54, 0x43, 0x47, 0x80, 0x18][..],
            &sized(&self.ak_name().0),
            &sized(qualifying),
            &clock.clock_ms.to_be_bytes(),
            &clock.reset_count.to_be_bytes(),
            &clock.restart_count.to_be_bytes(),
            &[u8::from(clock.safe)],
            &7u64.to_be_bytes(),
            &[0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0x7f, 0],
            &sized(&sha256(&values)),
        ]
        .concat();
        let signature = self.ak.sign(&SystemRandom::new(), &attest).unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        (
            attest,
            [&[0, 0x18, 0, 0x0b], &sized(r)[..], &sized(s)].concat(),
        )
    }
}

struct Ca(EcdsaKeyPair);

impl Ca {
    fn issue(&self, subject: &str, spki: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
        let algorithm = tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
        let date = |year: &str| tlv(0x17, &[format!("{year}0101000000Z").as_bytes()]);
        let tbs = tlv(
            0x30,
            &[
                &tlv(0xa0, &[&[2, 1, 2]]),
                &[2, 1, 5],
                &algorithm,
                &name("Test EK root"),
                &tlv(0x30, &[&date("20"), &date("49")]),
                &name(subject),
                spki,
                &tlv(0xa3, &[&tlv(0x30, &[&extensions.concat()])]),
            ],
        );
        let signature = self.0.sign(&SystemRandom::new(), &tbs).unwrap();
        tlv(
            0x30,
            &[&tbs, &algorithm, &tlv(3, &[&[0], signature.as_ref()])],
        )
    }

    fn trust(&self) -> TrustBundle {
        let p256: &[u8] = &[
            6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
        ];
        let spki = tlv(
            0x30,
            &[
                &tlv(0x30, &[p256]),
                &tlv(3, &[&[0], self.0.public_key().as_ref()]),
            ],
        );
        let ca = extension(&[0x55, 0x1d, 0x13], true, &tlv(0x30, &[&[1, 1, 0xff]]));
        let certificate = self.issue("Test EK root", &spki, &[ca]);
        let root = VendorRoot {
            name: "test".into(),
            kind: RootKind::Test,
            ek_type: EkType::Rsa2048,
            firmware_min: 0,
            sha256: digest(&[&certificate]),
            certificate,
            intermediates: Vec::new(),
        };
        TrustBundle {
            allowed_kinds: vec![RootKind::Test],
            roots: vec![root],
        }
    }
}

/// Critical subject alternative name, keyEncipherment, EK purpose.
fn ek_extensions() -> Vec<Vec<u8>> {
    let directory = tlv(0x30, &[&tlv(0xa4, &[&name("id:54455354")])]);
    vec![
        extension(&[0x55, 0x1d, 0x11], true, &directory),
        extension(&[0x55, 0x1d, 0x0f], true, &[3, 2, 5, 0x20]),
        extension(
            &[0x55, 0x1d, 0x25],
            false,
            &tlv(0x30, &[&[6, 5, 0x67, 0x81, 5, 8, 1]]),
        ),
    ]
}

fn name(common: &str) -> Vec<u8> {
    let attribute = tlv(
        0x30,
        &[&[6, 3, 0x55, 4, 3], &tlv(0x0c, &[common.as_bytes()])],
    );
    tlv(0x30, &[&tlv(0x31, &[&attribute])])
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[&tlv(6, &[oid]), critical, &tlv(4, &[value])])
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let head = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, content].concat()
}
