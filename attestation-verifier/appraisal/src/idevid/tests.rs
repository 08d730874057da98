//! Identities made here, and every way one can be wrong.

use super::*;
use crate::ek;
use crate::tpm::public::tests::{AK_ATTRIBUTES, ecc_public};
use crate::x509::testing::{
    ALT_NAME, Ca, EKU_EK, KEY_USAGE, PURPOSES, Subject, ca_constraints, ca_extensions, extension,
    name, named, tlv,
};
use assay_protocol::ids::UnixMs;
use std::sync::LazyLock;

/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);
const EKU_AIK: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x03];
const SIGNS: &[u8] = &[3, 2, 7, 0x80];
const AUTHORITY: [u8; 3] = [0xab, 0x01, 0x02];
const SERIAL: &[u8] = b"TEST:AB0102:0005";

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("Maker"));
static ROOT: LazyLock<Vec<u8>> = LazyLock::new(|| CA.certificate());
static IAK: LazyLock<Ca> = LazyLock::new(|| Ca::new("iak"));
static IDEVID: LazyLock<Ca> = LazyLock::new(|| Ca::new("idevid"));

fn roots() -> Roots {
    Roots::bare([ROOT.as_slice()], []).unwrap()
}

fn module(serial: &[u8]) -> Vec<u8> {
    let module = tlv(0x30, &[&[6, 5, 0x67, 0x81, 0x05, 1, 2], &tlv(4, &[serial])]);
    let oid = [6, 8, 0x2b, 6, 1, 5, 5, 7, 8, 4];
    let other = tlv(0xa0, &[&oid, &tlv(0xa0, &[&module])]);
    extension(ALT_NAME, false, &tlv(0x30, &[&other]))
}

fn purposes(list: &[&[u8]]) -> Vec<u8> {
    extension(PURPOSES, false, &tlv(0x30, list))
}

fn signs() -> Vec<u8> {
    extension(KEY_USAGE, true, SIGNS)
}

fn iak() -> Vec<u8> {
    let extensions = [module(SERIAL), purposes(&[EKU_AIK]), signs()];
    CA.issue("IAK", &IAK.spki(), ["20", "30"], &extensions)
}

fn idevid() -> Vec<u8> {
    CA.issue(
        "IDevID",
        &IDEVID.spki(),
        ["20", "30"],
        &[module(SERIAL), signs()],
    )
}

fn ak_public(attributes: u32) -> Vec<u8> {
    ecc_public(attributes, &PublicKey::from_spki(&IAK.spki()).unwrap())
}

fn outcome(iak: &[u8], idevid: &[u8]) -> Result<CertifiedIak, IdevidError> {
    let ak_public = &ak_public(AK_ATTRIBUTES);
    certify(
        &Identity {
            iak,
            idevid,
            ak_public,
        },
        &roots(),
        &Rules::at(AT),
    )
}

fn iak_with(extensions: &[Vec<u8>]) -> Result<CertifiedIak, IdevidError> {
    outcome(
        &CA.issue("IAK", &IAK.spki(), ["20", "30"], extensions),
        &idevid(),
    )
}

fn idevid_with(extensions: &[Vec<u8>]) -> Result<CertifiedIak, IdevidError> {
    outcome(
        &iak(),
        &CA.issue("IDevID", &IDEVID.spki(), ["20", "30"], extensions),
    )
}

#[test]
fn a_good_identity_names_its_key_device_and_root() {
    let certified = outcome(&iak(), &idevid()).unwrap();
    assert_eq!(certified.ak().public().bytes(), ak_public(AK_ATTRIBUTES));
    assert_eq!(
        certified.device().to_string(),
        "2.23.133.1.2/TEST:AB0102:0005"
    );
    assert_eq!(certified.root(), assay_protocol::hash::digest(&[&ROOT]));
    assert_eq!(certified.standing(), None);
}

#[test]
fn a_root_of_the_network_gives_its_standing() {
    use assay_protocol::trust::{EkType, RootKind, TrustBundle, VendorRoot};
    let root = VendorRoot {
        name: "Maker".into(),
        kind: RootKind::Test,
        ek_type: EkType::Rsa2048,
        firmware_min: 7,
        sha256: assay_protocol::hash::digest(&[&ROOT]),
        certificate: ROOT.clone(),
        intermediates: Vec::new(),
    };
    let bundle = TrustBundle {
        allowed_kinds: vec![RootKind::Test],
        roots: vec![root],
    };
    let (iak, idevid, ak_public) = (&iak(), &idevid(), &ak_public(AK_ATTRIBUTES));
    let identity = Identity {
        iak,
        idevid,
        ak_public,
    };
    let roots = Roots::new(&bundle).unwrap();
    let certified = certify(&identity, &roots, &Rules::at(AT)).unwrap();
    let standing = certified.standing().unwrap();
    assert_eq!((standing.kind, standing.firmware_min), (RootKind::Test, 7));
}

#[test]
fn usages_that_are_not_there_do_not_count() {
    assert!(iak_with(&[module(SERIAL)]).is_ok());
    assert!(idevid_with(&[module(SERIAL)]).is_ok());
    assert!(idevid_with(&[module(SERIAL), purposes(&[EKU_EK])]).is_ok());
}

#[test]
fn the_certified_key_must_be_the_attestation_key() {
    let other = CA.issue("IAK", &Ca::new("x").spki(), ["20", "30"], &[module(SERIAL)]);
    let error = outcome(&other, &idevid()).unwrap_err();
    assert_eq!(error, IdevidError::OtherKey("ECC P-256".into()));
}

#[test]
fn the_public_area_must_satisfy_the_rules_of_attestation_keys() {
    let (iak, idevid) = (iak(), idevid());
    // restricted, fixedTPM, sign.
    for bit in [16, 1, 18] {
        let identity = Identity {
            iak: &iak,
            idevid: &idevid,
            ak_public: &ak_public(AK_ATTRIBUTES & !(1 << bit)),
        };
        let error = certify(&identity, &roots(), &Rules::at(AT)).unwrap_err();
        assert!(
            matches!(error, IdevidError::Ak(AkError::AttributeMissing(_))),
            "{error}"
        );
    }
}

#[test]
fn other_purposes_and_usages_are_refused_by_name() {
    let error = iak_with(&[module(SERIAL), purposes(&[EKU_EK])]).unwrap_err();
    let (role, actual) = (Role::Iak, "2.23.133.8.1".into());
    assert_eq!(error, IdevidError::Purpose { role, actual });
    assert!(iak_with(&[module(SERIAL), purposes(&[EKU_EK, EKU_AIK])]).is_ok());
    let encipher = || extension(KEY_USAGE, true, &[3, 2, 5, 0x20]);
    for (role, error) in [
        (Role::Iak, iak_with(&[module(SERIAL), encipher()])),
        (Role::Idevid, idevid_with(&[module(SERIAL), encipher()])),
    ] {
        let actual = "keyEncipherment".into();
        assert_eq!(error, Err(IdevidError::KeyUsage { role, actual }));
    }
}

#[test]
fn both_must_chain_to_a_configured_root_at_the_time() {
    let stranger = Ca::new("Maker");
    let forged = |spki: &[u8]| stranger.issue("x", spki, ["20", "30"], &[module(SERIAL)]);
    let late = |spki: &[u8]| CA.issue("x", spki, ["20", "21"], &[module(SERIAL)]);
    for (iak_der, idevid_der, role) in [
        (forged(&IAK.spki()), idevid(), Role::Iak),
        (late(&IAK.spki()), idevid(), Role::Iak),
        (iak(), forged(&IDEVID.spki()), Role::Idevid),
        (iak(), late(&IDEVID.spki()), Role::Idevid),
    ] {
        let error = outcome(&iak_der, &idevid_der).unwrap_err();
        assert!(
            matches!(error, IdevidError::Path { role: r, .. } if r == role),
            "{error}"
        );
    }
    assert!(matches!(
        outcome(b"x", &idevid()),
        Err(IdevidError::Certificate { .. })
    ));
}

#[test]
fn the_makers_purposes_count_for_the_attestation_key() {
    let middle = Ca::new("Middle");
    let mut extensions = ca_extensions();
    extensions.push(purposes(&[EKU_EK]));
    let der = CA.issue("Middle", &middle.spki(), ["20", "30"], &extensions);
    let roots = Roots::bare([ROOT.as_slice()], [der.as_slice()]).unwrap();
    let certify = |iak: &[u8], idevid: &[u8]| {
        let ak_public = &ak_public(AK_ATTRIBUTES);
        certify(
            &Identity {
                iak,
                idevid,
                ak_public,
            },
            &roots,
            &Rules::at(AT),
        )
    };
    let under = |spki: &[u8]| middle.issue("x", spki, ["20", "30"], &[module(SERIAL)]);
    assert!(certify(&iak(), &under(&IDEVID.spki())).is_ok());
    let error = certify(&under(&IAK.spki()), &idevid()).unwrap_err();
    assert!(
        matches!(
            error,
            IdevidError::Path {
                error: PathError::Purpose { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn both_must_name_one_device() {
    for other in [&b"TEST:AB0102:0006"[..], b"TEST:AB0102:000", b""] {
        let error = idevid_with(&[module(other)]).unwrap_err();
        assert!(matches!(error, IdevidError::OtherDevice { .. }), "{error}");
    }
    assert_eq!(idevid_with(&[]), Err(IdevidError::Nameless(Role::Idevid)));
    assert_eq!(iak_with(&[]), Err(IdevidError::Nameless(Role::Iak)));
}

#[test]
fn the_subjects_serial_number_serves_where_there_is_no_module() {
    let issue = |spki: &[u8], serial: &str| {
        let name = named(SERIAL_NUMBER, serial);
        let (years, extensions) = (["20", "30"], &[][..]);
        CA.certify(&Subject {
            serial: &[5],
            name,
            spki,
            years,
            extensions,
        })
    };
    let (iak, idevid) = (IAK.spki(), IDEVID.spki());
    let certified = outcome(&issue(&iak, "77"), &issue(&idevid, "77")).unwrap();
    assert_eq!(certified.device(), &DeviceName::Serial("77".into()));
    let error = outcome(&issue(&iak, "77"), &issue(&idevid, "78")).unwrap_err();
    assert!(matches!(error, IdevidError::OtherDevice { .. }));
    let error = outcome(&issue(&iak, ""), &issue(&idevid, "")).unwrap_err();
    assert_eq!(error, IdevidError::Nameless(Role::Iak));
    let module = CA.issue("x", &idevid, ["20", "30"], &[module(b"77")]);
    let error = outcome(&issue(&iak, "77"), &module).unwrap_err();
    assert!(
        matches!(error, IdevidError::OtherDevice { .. }),
        "another kind of name"
    );
}

#[test]
fn one_key_may_not_have_both_roles() {
    let same = CA.issue("IDevID", &IAK.spki(), ["20", "30"], &[module(SERIAL)]);
    assert_eq!(outcome(&iak(), &same), Err(IdevidError::SameKey));
}

#[test]
fn both_must_end_at_one_root() {
    let other = Ca::new("Other maker");
    let idevid = other.issue("IDevID", &IDEVID.spki(), ["20", "30"], &[module(SERIAL)]);
    let other = other.certificate();
    let roots = Roots::bare([ROOT.as_slice(), &other], []).unwrap();
    let ak_public = &ak_public(AK_ATTRIBUTES);
    let (iak, idevid) = (&iak(), &idevid);
    let error = certify(
        &Identity {
            iak,
            idevid,
            ak_public,
        },
        &roots,
        &Rules::at(AT),
    )
    .unwrap_err();
    assert!(matches!(error, IdevidError::OtherRoot { .. }), "{error}");
}

/// An endorsement certificate of the TPM that [`SERIAL`] names, unless changed.
fn ek_certificate(manufacturer: &str, authority: &[u8], serial: &[u8]) -> Vec<u8> {
    let names = tlv(0xa4, &[&named(&[0x67, 0x81, 0x05, 2, 1], manufacturer)]);
    let key_id = tlv(0x30, &[&tlv(0x80, &[authority])]);
    let extensions = [
        extension(ALT_NAME, true, &tlv(0x30, &[&names])),
        extension(crate::x509::extension::AUTHORITY_KEY, false, &key_id),
        purposes(&[EKU_EK]),
        extension(KEY_USAGE, true, &[3, 2, 3, 0x08]),
    ];
    let (name, spki, years) = (name(""), &Ca::new("x").spki(), ["20", "30"]);
    CA.certify(&Subject {
        serial,
        name,
        spki,
        years,
        extensions: &extensions,
    })
}

#[test]
fn the_endorsement_key_must_be_the_one_the_device_name_gives() {
    let certified = outcome(&iak(), &idevid()).unwrap();
    let roots = roots();
    let bound = |der: &[u8], certified: &CertifiedIak| {
        let chained = ek::chain(der, &roots, &Rules::at(AT)).unwrap();
        certified.check_ek(&chained)
    };
    let good = ek_certificate("id:54455354", &AUTHORITY, &[5]);
    assert_eq!(bound(&good, &certified), Ok(()));
    for other in [
        ek_certificate("id:54455355", &AUTHORITY, &[5]),
        ek_certificate("id:54455354", &[0xab, 0x01, 0x03], &[5]),
        ek_certificate("id:54455354", &AUTHORITY, &[6]),
        ek_certificate("54455354", &AUTHORITY, &[5]),
    ] {
        let error = bound(&other, &certified).unwrap_err();
        assert!(matches!(error, IdevidError::OtherTpm { .. }), "{error}");
    }
    for other in [
        &b"TEST:AB0102"[..],
        b"TEST:AB0102:0005:1",
        b":AB0102:0005",
        b"TEST::0005",
        b"\xff",
    ] {
        let iak = CA.issue("IAK", &IAK.spki(), ["20", "30"], &[module(other)]);
        let idevid = CA.issue("IDevID", &IDEVID.spki(), ["20", "30"], &[module(other)]);
        let certified = outcome(&iak, &idevid).unwrap();
        assert!(bound(&good, &certified).is_err(), "{other:?}");
        let nameless = ek_certificate("54455354", &AUTHORITY, &[5]);
        assert!(
            bound(&nameless, &certified).is_err(),
            "nothing equals nothing"
        );
    }
}

#[test]
fn a_ca_is_no_identity() {
    let error = iak_with(&[module(SERIAL), ca_constraints(None)]).unwrap_err();
    assert!(matches!(
        error,
        IdevidError::Path {
            error: PathError::CaAsLeaf { .. },
            ..
        }
    ));
}

#[test]
fn every_flipped_byte_and_every_truncation_is_refused() {
    let (iak, idevid, ak_public) = (iak(), idevid(), ak_public(AK_ATTRIBUTES));
    let roots = roots();
    let accepted = |iak: &[u8], idevid: &[u8], ak_public: &[u8]| {
        certify(
            &Identity {
                iak,
                idevid,
                ak_public,
            },
            &roots,
            &Rules::at(AT),
        )
        .ok()
    };
    let good = accepted(&iak, &idevid, &ak_public);
    assert!(good.is_some());
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    for at in 0..iak.len() {
        assert_eq!(
            accepted(&flipped(&iak, at), &idevid, &ak_public),
            None,
            "IAK {at}"
        );
        assert_eq!(accepted(&iak[..at], &idevid, &ak_public), None);
    }
    for at in 0..idevid.len() {
        assert_eq!(
            accepted(&iak, &flipped(&idevid, at), &ak_public),
            None,
            "IDevID {at}"
        );
        assert_eq!(accepted(&iak, &idevid[..at], &ak_public), None);
    }
    for at in 0..ak_public.len() {
        // Attributes outside the rules (such as noDA) may differ: then it is another key, with another name.
        let other = accepted(&iak, &idevid, &flipped(&ak_public, at));
        assert!(
            other.is_none() || other.map(|c| c.ak().name()) != good.as_ref().map(|c| c.ak().name())
        );
        assert_eq!(accepted(&iak, &idevid, &ak_public[..at]), None);
    }
}

#[test]
fn a_serial_number_needs_all_its_parts() {
    let text = |serial: &[u8]| canonical(serial);
    assert_eq!(text(SERIAL).as_deref(), Some("TEST:ab0102:5"));
    for bad in [
        &b":AB0102:0005"[..],
        b"TEST::0005",
        b"TEST:AB0102:",
        b"TEST:ABXY02:0005",
        b"TEST:AB0102:5x",
        b"TEST:AB0102",
        b"TEST:AB0102:0005:1",
        b"\xff:AB0102:0005",
    ] {
        assert_eq!(text(bad), None, "{}", bad.escape_ascii());
    }
}
