//! A test CA in a few lines of DER, and every way an EK certificate can be wrong.

use super::*;
use crate::tpm::ek_template::{EkKey, EkKeyError};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Digest, UnixMs};
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
};
use proptest::prelude::*;
use std::sync::LazyLock;

const EKU_EK: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x01];
const EKU_SERVER: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// 2026-11-01, between 2020 and 2030.
const AT: UnixMs = UnixMs(1_793_491_200_000);

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

fn spki_p256(key: &EcdsaKeyPair) -> Vec<u8> {
    crate::crypto::key::tests::p256_spki(key.public_key().as_ref())
}

struct Ca {
    name: &'static str,
    key: EcdsaKeyPair,
}

impl Ca {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
        }
    }

    fn issue(
        &self,
        subject: &str,
        spki: &[u8],
        years: [&str; 2],
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let algorithm = tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
        let date = |year: &str| tlv(0x17, &[format!("{year}0101000000Z").as_bytes()]);
        let tbs = tlv(
            0x30,
            &[
                &tlv(0xa0, &[&[2, 1, 2]]),
                &[2, 1, 5],
                &algorithm,
                &name(self.name),
                &tlv(0x30, &[&date(years[0]), &date(years[1])]),
                &name(subject),
                spki,
                &tlv(0xa3, &[&tlv(0x30, &[&extensions.concat()])]),
            ],
        );
        let signature = self.key.sign(&SystemRandom::new(), &tbs).unwrap();
        tlv(
            0x30,
            &[&tbs, &algorithm, &tlv(3, &[&[0], signature.as_ref()])],
        )
    }

    fn ca_extensions() -> Vec<Vec<u8>> {
        vec![extension(
            &[0x55, 0x1d, 0x13],
            true,
            &tlv(0x30, &[&[1, 1, 0xff]]),
        )]
    }

    fn certificate(&self) -> Vec<u8> {
        self.issue(
            self.name,
            &spki_p256(&self.key),
            ["20", "30"],
            &Self::ca_extensions(),
        )
    }

    fn root(&self, ek_type: EkType) -> VendorRoot {
        let certificate = self.certificate();
        VendorRoot {
            name: self.name.into(),
            kind: RootKind::Test,
            ek_type,
            sha256: digest(&[&certificate]),
            certificate,
            intermediates: Vec::new(),
        }
    }
}

fn bundle(roots: &[VendorRoot]) -> TrustBundle {
    TrustBundle {
        allowed_kinds: vec![RootKind::Test],
        roots: roots.to_vec(),
    }
}

fn parse(root: &VendorRoot) -> Roots {
    Roots::new(&bundle(std::slice::from_ref(root))).unwrap()
}

/// Usage, and the critical subject alternative name every EK certificate carries.
fn leaf_extensions(usage: Option<&[u8]>) -> Vec<Vec<u8>> {
    let directory = tlv(0x30, &[&tlv(0xa4, &[&name("id:54455354")])]);
    let mut list = vec![extension(&[0x55, 0x1d, 0x11], true, &directory)];
    // keyEncipherment and keyAgreement.
    list.push(extension(&[0x55, 0x1d, 0x0f], true, &[3, 2, 3, 0x28]));
    list.extend(usage.map(|oid| extension(&[0x55, 0x1d, 0x25], false, &tlv(0x30, &[oid]))));
    list
}

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("Test EK root"));
static SPKI: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    key.public_key().as_der().unwrap().as_ref().to_vec()
});
static GOOD: LazyLock<Vec<u8>> =
    LazyLock::new(|| CA.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK))));
static ROOT: LazyLock<VendorRoot> = LazyLock::new(|| CA.root(EkType::Rsa2048));
static ROOTS: LazyLock<Roots> = LazyLock::new(|| parse(&ROOT));

fn refused(certificate: &[u8]) -> EkError {
    certify(certificate, &ROOTS, AT).unwrap_err()
}

#[test]
fn a_good_certificate_names_its_root_kind_and_node() {
    let ek = certify(&GOOD, &ROOTS, AT).unwrap();
    assert_eq!(ek.root_kind(), RootKind::Test);
    assert_eq!(ek.root(), digest(&[&ROOT.certificate]));
    let EkKey::Rsa2048 { modulus } = ek.key() else {
        panic!("not RSA")
    };
    assert!(SPKI.windows(256).any(|window| window == modulus));
    assert_eq!(ek.node_id(), crate::tpm::node_id::node_id(ek.key()));
}

#[test]
fn the_public_area_must_be_the_template_with_the_certified_key() {
    let ek = certify(&GOOD, &ROOTS, AT).unwrap();
    assert_eq!(ek.check_public(&ek.key().template()), Ok(()));
    let other = EkKey::Rsa2048 {
        modulus: [0xd1; 256],
    };
    assert!(matches!(
        ek.check_public(&other.template()),
        Err(EkKeyError::Template { .. })
    ));
}

#[test]
fn nv_padding_is_stripped_and_anything_else_refused() {
    let mut padded = GOOD.clone();
    padded.extend([0xff; 200]);
    padded.extend([0; 200]);
    assert_eq!(
        certify(&padded, &ROOTS, AT).unwrap(),
        certify(&GOOD, &ROOTS, AT).unwrap()
    );
    padded.push(0x30);
    let offset = padded.len() - 1;
    assert_eq!(refused(&padded), EkError::Padding { offset, byte: 0x30 });
    assert!(matches!(refused(&[0; 9000]), EkError::TooLarge(_)));
    assert!(matches!(refused(&[]), EkError::Malformed(_)));
}

#[test]
fn only_configured_roots_count() {
    let other = Ca::new("Another root");
    let certificate = other.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    assert_eq!(refused(&certificate), EkError::NotInBundle);
    let impostor = Ca::new("Test EK root");
    let forged = impostor.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    assert_eq!(refused(&forged), EkError::Signature);
}

#[test]
fn intermediates_lead_to_the_root_only_when_it_signed_them() {
    let middle = Ca::new("Intermediate");
    let certificate = middle.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    let under = |ca: &Ca| {
        let spki = spki_p256(&middle.key);
        let der = ca.issue("Intermediate", &spki, ["20", "30"], &Ca::ca_extensions());
        parse(&VendorRoot {
            intermediates: vec![HexBytes(der)],
            ..ROOT.clone()
        })
    };
    assert!(certify(&certificate, &under(&CA), AT).is_ok());
    assert!(certify(&certificate, &under(&Ca::new("Test EK root")), AT).is_err());
    assert_eq!(certify(&certificate, &ROOTS, AT), Err(EkError::NotInBundle));
}

#[test]
fn validity_is_judged_at_the_time_given() {
    let before = UnixMs(1_700_000_000_000);
    assert!(matches!(
        certify(&GOOD, &ROOTS, before),
        Err(EkError::NotYetValid { .. })
    ));
    let after = UnixMs(1_900_000_000_000);
    assert!(matches!(
        certify(&GOOD, &ROOTS, after),
        Err(EkError::Expired { .. })
    ));
}

#[test]
fn other_usages_and_none_are_refused_by_name() {
    let issue = |usage| CA.issue("", &SPKI, ["25", "27"], &leaf_extensions(usage));
    assert_eq!(refused(&issue(None)), EkError::Usage("none".into()));
    assert!(matches!(
        refused(&issue(Some(EKU_SERVER))),
        EkError::Usage(_)
    ));
}

#[test]
fn a_signing_key_with_the_ek_purpose_is_refused() {
    let mut extensions = leaf_extensions(Some(EKU_EK));
    let good = extensions[1].clone();
    for (bits, name) in [
        (&[3, 2, 7, 0x80][..], "DigitalSignature"),
        (&[3, 2, 3, 0x08], "KeyAgreement"),
    ] {
        extensions[1] = extension(&[0x55, 0x1d, 0x0f], true, bits);
        let certificate = CA.issue("", &SPKI, ["25", "27"], &extensions);
        let error = refused(&certificate).to_string();
        assert!(
            error.contains("expected keyEncipherment") && error.contains(name),
            "{error}"
        );
    }
    extensions.retain(|e| *e != good && e[7] != 0x0f && e[6] != 0x0f);
    let certificate = CA.issue("", &SPKI, ["25", "27"], &extensions);
    let error = refused(&certificate).to_string();
    assert!(
        error.contains("key usage: expected keyEncipherment, got none"),
        "{error}"
    );
}

#[test]
fn the_second_ek_of_a_software_tpm_is_not_eligible() {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let mut spki = hex::decode("3076301006072a8648ce3d020106052b81040022036200").unwrap();
    spki.extend(key.public_key().as_ref());
    let certificate = CA.issue("", &spki, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    let error = refused(&certificate).to_string();
    assert!(
        error.contains("eligible is RSA-2048, got ECC P-384"),
        "{error}"
    );
}

#[test]
fn the_other_eligible_kind_is_refused_too() {
    let spki = spki_p256(&CA.key);
    let certificate = CA.issue("", &spki, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    assert!(matches!(refused(&certificate), EkError::NotEligible { .. }));
    let ecc_only = parse(&CA.root(EkType::EccP256));
    assert!(certify(&certificate, &ecc_only, AT).is_ok());
    assert!(matches!(
        certify(&GOOD, &ecc_only, AT),
        Err(EkError::NotEligible { .. })
    ));
}

#[test]
fn unusable_bundles_are_refused_by_name() {
    let refused = |roots: &[VendorRoot]| Roots::new(&bundle(roots)).unwrap_err();
    assert!(matches!(refused(&[]), RootError::Count { actual: 0, .. }));
    assert!(matches!(
        refused(&[ROOT.clone(), ROOT.clone()]),
        RootError::Twice(_)
    ));
    let other = VendorRoot {
        sha256: Digest([0; 32]),
        ..ROOT.clone()
    };
    assert!(matches!(refused(&[other]), RootError::Digest { .. }));
    let garbage = VendorRoot {
        sha256: digest(&[b"x"]),
        certificate: b"x".to_vec(),
        ..ROOT.clone()
    };
    assert!(matches!(refused(&[garbage]), RootError::Malformed { .. }));
    let many = VendorRoot {
        intermediates: vec![HexBytes(vec![]); 1025],
        ..ROOT.clone()
    };
    assert!(matches!(
        refused(&[many]),
        RootError::Count { actual: 1025, .. }
    ));
}

#[test]
fn a_ca_certificate_is_no_endorsement_key() {
    let mut extensions = leaf_extensions(Some(EKU_EK));
    extensions.extend(Ca::ca_extensions());
    let certificate = CA.issue("", &SPKI, ["25", "27"], &extensions);
    assert!(matches!(refused(&certificate), EkError::Chain(_)));
}

proptest! {
    #[test]
    fn every_flip_and_truncation_is_refused(at in 0usize..8192, flip in 1u8..=255) {
        let at = at % GOOD.len();
        let mut bad = GOOD.clone();
        bad[at] ^= flip;
        prop_assert!(certify(&bad, &ROOTS, AT).is_err());
        prop_assert!(certify(&GOOD[..at], &ROOTS, AT).is_err());
    }
}
