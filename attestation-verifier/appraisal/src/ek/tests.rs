//! A test CA in a few lines of DER, and every way an EK certificate can be wrong.

use super::roots::CERTIFICATES_MAX;
use super::*;
use crate::checks::{Checks, Mode};
use crate::tpm::ek_template::{EkKey, EkKeyError};
use crate::x509::path::{PathError, Rules};
use crate::x509::testing::{Ca, EKU_EK, ca_constraints, ca_extensions, extension, tlv};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Digest, UnixMs};
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use std::sync::LazyLock;

const EKU_SERVER: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// 2026-11-01, between 2020 and 2030.
const AT: UnixMs = UnixMs(1_793_491_200_000);

impl Ca {
    fn root(&self, ek_type: EkType) -> VendorRoot {
        let certificate = self.certificate();
        VendorRoot {
            name: self.name.clone(),
            kind: RootKind::Test,
            ek_type,
            firmware_min: 7,
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

/// The directory name of a TPM: manufacturer, model, version, as three attributes of one name.
fn tpm_name() -> Vec<u8> {
    let part = |last: u8, value: &str| {
        let oid = tlv(6, &[&[0x67, 0x81, 0x05, 2, last]]);
        tlv(
            0x31,
            &[&tlv(0x30, &[&oid, &tlv(0x0c, &[value.as_bytes()])])],
        )
    };
    let parts = [
        part(1, "id:54455354"),
        part(2, "Model 1"),
        part(3, "id:00010002"),
    ];
    tlv(0xa4, &[&tlv(0x30, &[&parts.concat()])])
}

/// Usage, and the critical subject alternative name every EK certificate carries.
fn leaf_extensions(usage: Option<&[u8]>) -> Vec<Vec<u8>> {
    let directory = tlv(0x30, &[&tpm_name()]);
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
    assert_eq!(ek.firmware_min(), 7);
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
    let too_large = |size| matches!(refused(&vec![0; size]), EkError::TooLarge(_));
    let largest = assay_protocol::limits::EK_CERTIFICATE_BYTES_MAX;
    assert!(!too_large(largest) && too_large(largest + 1) && too_large(largest + 2));
    assert!(matches!(refused(&[]), EkError::Malformed(_)));
    let wrapped = [&[0x10, 0x01, 0x00][..], &GOOD].concat();
    assert_eq!(refused(&wrapped), EkError::Wrapped);
}

#[test]
fn only_configured_roots_count() {
    let other = Ca::new("Another root");
    let certificate = other.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    assert!(matches!(
        refused(&certificate),
        EkError::Path(PathError::NotInBundle { .. })
    ));
    let impostor = Ca::new("Test EK root");
    let forged = impostor.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    assert!(matches!(
        refused(&forged),
        EkError::Path(PathError::Signature { .. })
    ));
}

#[test]
fn intermediates_lead_to_the_root_only_when_it_signed_them() {
    let middle = Ca::new("Intermediate");
    let certificate = middle.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    let under = |ca: &Ca| {
        let spki = middle.spki();
        let der = ca.issue("Intermediate", &spki, ["20", "30"], &ca_extensions());
        parse(&VendorRoot {
            intermediates: vec![HexBytes(der)],
            ..ROOT.clone()
        })
    };
    assert!(certify(&certificate, &under(&CA), AT).is_ok());
    assert!(certify(&certificate, &under(&Ca::new("Test EK root")), AT).is_err());
    assert!(certify(&certificate, &ROOTS, AT).is_err());
}

#[test]
fn validity_is_judged_at_the_time_given() {
    let before = UnixMs(1_700_000_000_000);
    assert!(matches!(
        certify(&GOOD, &ROOTS, before),
        Err(EkError::Path(PathError::NotYetValid { .. }))
    ));
    let after = UnixMs(1_900_000_000_000);
    assert!(matches!(
        certify(&GOOD, &ROOTS, after),
        Err(EkError::Path(PathError::Expired { .. }))
    ));
}

#[test]
fn other_purposes_are_refused_by_name_and_none_leaves_it_to_the_key_usage() {
    let issue = |usage| CA.issue("", &SPKI, ["25", "27"], &leaf_extensions(usage));
    assert!(certify(&issue(None), &ROOTS, AT).is_ok());
    assert!(matches!(
        refused(&issue(Some(EKU_SERVER))),
        EkError::Purpose(_)
    ));
}

#[test]
fn a_signing_key_with_the_ek_purpose_is_refused() {
    let mut extensions = leaf_extensions(Some(EKU_EK));
    let good = extensions[1].clone();
    for (bits, name) in [
        (&[3, 2, 7, 0x80][..], "digitalSignature"),
        (&[3, 2, 3, 0x08], "keyAgreement"),
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
    let spki = Ca::new("x").spki();
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
    let broken = VendorRoot {
        intermediates: vec![HexBytes(b"x".to_vec())],
        ..ROOT.clone()
    };
    assert!(matches!(refused(&[broken]), RootError::Malformed { .. }));
    let again = CA.root(EkType::EccP256);
    assert!(matches!(
        refused(&[ROOT.clone(), again]),
        RootError::Twice(_)
    ));
    let many = VendorRoot {
        intermediates: vec![HexBytes(vec![]); CERTIFICATES_MAX + 1],
        ..ROOT.clone()
    };
    assert!(matches!(refused(&[many]), RootError::Count { .. }));
}

#[test]
fn a_ca_certificate_is_no_endorsement_key() {
    let mut extensions = leaf_extensions(Some(EKU_EK));
    extensions.push(ca_constraints(None));
    let certificate = CA.issue("", &SPKI, ["25", "27"], &extensions);
    let error = refused(&certificate);
    assert!(
        matches!(error, EkError::Path(PathError::CaAsLeaf { .. })),
        "{error}"
    );
}

#[test]
fn every_flipped_byte_and_every_truncation_is_refused() {
    for at in 0..GOOD.len() {
        for flip in [1, 0x80] {
            let mut bad = GOOD.clone();
            bad[at] ^= flip;
            assert!(certify(&bad, &ROOTS, AT).is_err(), "byte {at}");
        }
        assert!(certify(&GOOD[..at], &ROOTS, AT).is_err(), "cut at {at}");
    }
}

/// The certified key is not the EK's when the node shows another template or exponent.
#[test]
fn another_exponent_or_attribute_is_another_key() {
    let ek = certify(&GOOD, &ROOTS, AT).unwrap();
    let template = ek.key().template();
    let changed = |at: usize, value: u8| {
        let mut area = template.clone();
        assert_ne!(area[at], value);
        area[at] = value;
        ek.check_public(&area)
    };
    // objectAttributes are bytes 4 to 7; the exponent, 0 for 65537, is written before the size of the modulus.
    for bit in 0..32 {
        let at = 4 + bit / 8;
        assert!(
            changed(at, template[at] ^ (1 << (bit % 8))).is_err(),
            "attribute bit {bit}"
        );
    }
    let exponent = template.len() - 256 - 2 - 4;
    assert_eq!(template[exponent..exponent + 4], [0; 4]);
    let mut area = template.clone();
    area[exponent..exponent + 4].copy_from_slice(&65_537u32.to_be_bytes());
    assert!(matches!(
        ek.check_public(&area),
        Err(EkKeyError::Template { .. })
    ));
}

#[test]
fn a_bare_root_proves_the_path_and_never_a_certified_key() {
    let root = CA.certificate();
    let bare = Roots::bare([root.as_slice()], []).unwrap();
    let chained = chain(&GOOD, &bare, &Rules::at(AT)).unwrap();
    assert_eq!(
        (chained.standing(), chained.root()),
        (None, digest(&[&root]))
    );
    assert_eq!(
        chained.certified(),
        Err(EkError::UnknownKind(digest(&[&root])))
    );
    assert_eq!(
        certify(&GOOD, &bare, AT),
        Err(EkError::UnknownKind(digest(&[&root])))
    );
    assert_eq!(chained.path().leaf().bytes, GOOD.as_slice());
    let known = chain(&GOOD, &ROOTS, &Rules::at(AT)).unwrap();
    assert_eq!(known.standing().map(|s| s.kind), Some(RootKind::Test));
    assert_eq!(known.key(), chained.key());
}

#[test]
fn bare_roots_must_be_certificates_and_there_must_be_one() {
    let root = CA.certificate();
    let refused = |roots: &[&[u8]], middles: &[&[u8]]| {
        let (roots, middles) = (roots.iter().copied(), middles.iter().copied());
        Roots::bare(roots, middles).unwrap_err()
    };
    assert!(matches!(
        refused(&[], &[&root]),
        RootError::Count { actual: 0, .. }
    ));
    assert!(matches!(refused(&[b"x"], &[]), RootError::Malformed { .. }));
    assert!(matches!(
        refused(&[&root], &[b"x"]),
        RootError::Malformed { .. }
    ));
    let many = |count| Roots::bare(vec![root.as_slice(); count], []);
    assert!(many(CERTIFICATES_MAX).is_ok());
    assert!(matches!(
        many(CERTIFICATES_MAX + 1),
        Err(RootError::Count { .. })
    ));
    let both = Roots::bare([root.as_slice(), &root], [root.as_slice()]).unwrap();
    assert_eq!((both.anchors().len(), both.intermediates().len()), (1, 1));
}

#[test]
fn a_bare_pinned_intermediate_is_a_root() {
    let middle = Ca::new("Intermediate");
    let leaf = middle.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    let middle = CA.certify_ca(&middle);
    let bare = Roots::bare([middle.as_slice()], []).unwrap();
    let chained = chain(&leaf, &bare, &Rules::at(AT)).unwrap();
    assert_eq!(chained.root(), digest(&[&middle]));
}

#[test]
fn an_intermediate_for_other_purposes_certifies_no_endorsement_key() {
    let middle = Ca::new("Intermediate");
    let leaf = middle.issue("", &SPKI, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    let mut extensions = ca_extensions();
    let purposes = tlv(0x30, &[EKU_SERVER]);
    extensions.push(extension(&[0x55, 0x1d, 0x25], false, &purposes));
    let der = CA.issue("Intermediate", &middle.spki(), ["20", "30"], &extensions);
    let roots = parse(&VendorRoot {
        intermediates: vec![HexBytes(der)],
        ..ROOT.clone()
    });
    let error = certify(&leaf, &roots, AT).unwrap_err();
    assert!(
        matches!(error, EkError::Path(PathError::Purpose { .. })),
        "{error}"
    );
}

#[test]
fn the_names_of_the_tpm_are_read_as_claims() {
    let leaf = certificate::parse(&GOOD).unwrap();
    let names = TpmNames::of(&leaf).unwrap();
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    assert_eq!(text(&names.manufacturer), "id:54455354");
    assert_eq!(text(&names.model), "Model 1");
    assert_eq!(text(&names.version), "id:00010002");
    let with = |names: &[u8]| {
        let names = extension(&[0x55, 0x1d, 0x11], true, &tlv(0x30, &[names]));
        let der = CA.issue("", &SPKI, ["25", "27"], &[names]);
        TpmNames::of(&certificate::parse(&der).unwrap())
    };
    assert!(
        with(&[tpm_name(), tpm_name()].concat()).is_err(),
        "a name given twice"
    );
    assert_eq!(with(&tlv(0x86, &[b"uri"])), Ok(TpmNames::default()));
    assert!(with(&tlv(0x86, &[b"uri"]).repeat(32)).is_ok());
    assert!(
        with(&tlv(0x86, &[b"uri"]).repeat(33)).is_err(),
        "too many names"
    );
    let module = |tail: &[u8]| {
        let module = tlv(0x30, &[&[6, 1, 0x2a], &[4, 2, 7, 8], tail]);
        let oid = [6, 8, 0x2b, 6, 1, 5, 5, 7, 8, 4];
        with(&tlv(0xa0, &[&oid, &tlv(0xa0, &[&module])]))
    };
    let read = module(&[]).unwrap().module.unwrap();
    assert_eq!((read.kind, read.serial), (vec![0x2a], vec![7, 8]));
    assert!(module(&[5, 0]).is_err());
    let none = CA.issue("", &SPKI, ["25", "27"], &[]);
    let none = TpmNames::of(&certificate::parse(&none).unwrap());
    assert_eq!(none, Ok(TpmNames::default()));
}

#[test]
fn the_checks_say_each_defect_by_name() {
    let failed = |certificate: &[u8], roots: &Roots| {
        let mut checks = Checks::new(Mode::Explain);
        let rules = Rules::at(AT);
        let ek = certificate::examine(certificate, roots, &rules, &mut checks)
            .unwrap()
            .key;
        assert_eq!(ek.is_some(), checks.passed());
        assert_eq!(
            ek.is_some(),
            chain(certificate, roots, &rules)
                .and_then(|ek| match ek.standing() {
                    Some(_) => ek.certified().map(drop),
                    None => Ok(()),
                })
                .is_ok()
        );
        let list = checks.list().iter();
        let failed = list.filter(|check| check.outcome != crate::checks::Outcome::Pass);
        failed
            .map(|check| check.name.to_owned())
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(failed(&GOOD, &ROOTS), none);
    let bare = Roots::bare([CA.certificate().as_slice()], []).unwrap();
    assert_eq!(failed(&GOOD, &bare), none);
    assert_eq!(failed(b"x", &ROOTS), ["ek-certificate"]);
    let ecc = CA.issue("", &CA.spki(), ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    assert_eq!(failed(&ecc, &bare), ["ek-path"], "the key of its issuer");
    let ecc = CA.issue(
        "",
        &Ca::new("x").spki(),
        ["25", "27"],
        &leaf_extensions(Some(EKU_EK)),
    );
    assert_eq!(failed(&ecc, &ROOTS), ["ek-eligible"]);
    assert_eq!(failed(&ecc, &bare), none);
    let nothing = Ca::new("Stranger").issue("", &SPKI, ["25", "27"], &[]);
    assert_eq!(failed(&nothing, &ROOTS), ["ek-path", "ek-key-usage"]);
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let mut spki = hex::decode("3076301006072a8648ce3d020106052b81040022036200").unwrap();
    spki.extend(key.public_key().as_ref());
    let p384 = CA.issue("", &spki, ["25", "27"], &leaf_extensions(Some(EKU_EK)));
    assert_eq!(failed(&p384, &bare), ["ek-key"]);
    // serverAuth.
    let tls = leaf_extensions(Some(&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]));
    let tls = CA.issue("", &SPKI, ["25", "27"], &tls);
    assert_eq!(failed(&tls, &ROOTS), ["ek-purpose"]);
    let mut signs = leaf_extensions(Some(EKU_EK));
    signs[1] = extension(&[0x55, 0x1d, 0x0f], true, &[3, 2, 7, 0x80]);
    let signs = CA.issue("", &SPKI, ["25", "27"], &signs);
    assert_eq!(failed(&signs, &ROOTS), ["ek-key-usage"]);
}
