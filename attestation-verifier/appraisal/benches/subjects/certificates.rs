//! Endorsement key certificates: the path's signatures are verified once.

#[path = "../../src/x509/testing.rs"]
pub mod testing;

use super::bare::Work;
use crate::harness::Pair;
use assay_appraisal::ek::{self, Roots};
use assay_protocol::hash::digest;
use assay_protocol::ids::UnixMs;
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use std::hint::black_box;
use testing::{ALT_NAME, Ca, EKU_EK, KEY_USAGE, PURPOSES, extension, tlv};

/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);

/// A certificate under a root and an intermediate, all known: the floor is one hash over each.
pub fn pairs() -> Vec<Pair> {
    let (root, middle) = (Ca::new("Root"), Ca::new("Middle"));
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let spki = key.public_key().as_der().unwrap();
    let leaf = middle.issue("", spki.as_ref(), ["25", "27"], &extensions());
    let anchor = root.certificate();
    let between = root.certify_ca(&middle);
    let bare = Work {
        hashed: vec![leaf.clone(), between.clone(), anchor.clone()],
        ..Work::default()
    };
    let bundle = TrustBundle {
        allowed_kinds: vec![RootKind::Test],
        roots: vec![VendorRoot {
            name: "Root".into(),
            kind: RootKind::Test,
            ek_type: EkType::Rsa2048,
            firmware_min: 0,
            sha256: digest(&[&anchor]),
            certificate: anchor,
            intermediates: vec![HexBytes(between)],
        }],
    };
    let roots = Roots::new(&bundle).unwrap();
    vec![Pair {
        name: "EK certificate, chain known (bare: hashes)".into(),
        bytes: 0,
        bare: Box::new(move || bare.run()),
        ours: Box::new(move || {
            black_box(ek::certify(black_box(&leaf), &roots, AT).unwrap());
        }),
    }]
}

fn extensions() -> Vec<Vec<u8>> {
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
    let names = tlv(0x30, &[&tlv(0xa4, &[&tlv(0x30, &[&parts.concat()])])]);
    vec![
        extension(ALT_NAME, true, &names),
        extension(KEY_USAGE, true, &[3, 2, 5, 0x20]),
        extension(PURPOSES, false, &tlv(0x30, &[EKU_EK])),
    ]
}
