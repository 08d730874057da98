//! Certificates, revocation lists, paths and device identities.

#[allow(clippy::unwrap_used)]
#[path = "../../attestation-verifier/appraisal/src/x509/testing.rs"]
mod testing;

use assay_appraisal::crypto::signature::Sha1;
use assay_appraisal::ek::{Roots, TpmNames};
use assay_appraisal::idevid::{self, Identity};
use assay_appraisal::x509::{
    Certificate, Crl, Revocation, Rules, SignatureCache, Store, name, path,
};
use assay_protocol::ids::UnixMs;
use std::sync::LazyLock;
use testing::{Ca, extension, tlv};

/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);

struct Maker {
    ca: Ca,
    root: Vec<u8>,
}

static MAKER: LazyLock<Maker> = LazyLock::new(|| {
    let ca = Ca::new("Maker");
    let root = ca.certificate();
    Maker { ca, root }
});

/// One certificate: what parses keeps its bytes, and everything read from it returns.
pub fn x509_certificate(data: &[u8]) {
    let Ok(certificate) = Certificate::parse(data) else {
        return;
    };
    assert_eq!(certificate.bytes, data);
    let _ = certificate.basic_constraints();
    let _ = certificate
        .key_usage()
        .map(|usage| usage.map(|u| u.names()));
    let _ = (certificate.purposes(), certificate.issuer_addresses());
    let _ = (certificate.subject_key_id(), certificate.authority_key_id());
    let _ = TpmNames::of(&certificate);
    let _ = (
        name::text(certificate.subject),
        name::text(certificate.issuer),
    );
}

/// One list, asked about a certificate; only its issuer's signature makes it count.
pub fn x509_crl(data: &[u8]) {
    let Ok(list) = Crl::parse(data) else {
        return;
    };
    let root = Certificate::parse(&MAKER.root).expect("the root parses");
    let _ = list.is_of(&root);
    let lists = [list];
    let revocation = Revocation::required(&lists);
    let _ = revocation.check(&root, &root, AT, Sha1::Refused, &SignatureCache::new());
}

/// Three certificates as leaf, intermediate and root, each with its size before it.
pub fn x509_path(data: &[u8]) {
    let [leaf, middle, root] = split(data);
    let Ok(leaf) = Certificate::parse(leaf) else {
        return;
    };
    let (mut middles, mut roots) = (Store::new(), Store::new());
    let _ = (middles.add(middle), roots.add(root));
    let found = path::find(
        leaf,
        &middles,
        &roots,
        &Rules::at(AT),
        &SignatureCache::new(),
    );
    if let Ok(found) = found {
        assert_eq!(found.root().bytes, root);
    }
}

/// An IAK certificate, an IDevID certificate and a public area, each with its size before it.
pub fn idevid(data: &[u8]) {
    static ROOTS: LazyLock<Roots> =
        LazyLock::new(|| Roots::bare([MAKER.root.as_slice()], []).expect("the root parses"));
    let [iak, idevid, ak_public] = split(data);
    let identity = Identity {
        iak,
        idevid,
        ak_public,
    };
    let _ = idevid::certify(&identity, &ROOTS, &Rules::at(AT));
}

fn split(data: &[u8]) -> [&[u8]; 3] {
    let mut rest = data;
    [(); 3].map(|()| {
        let Some((size, tail)) = rest.split_first_chunk::<2>() else {
            return rest;
        };
        let size = usize::from(u16::from_be_bytes(*size)).min(tail.len());
        let (part, tail) = tail.split_at(size);
        rest = tail;
        part
    })
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let sized = |part: &&[u8]| {
        let size = u16::try_from(part.len()).expect("a small seed");
        [&size.to_be_bytes()[..], part].concat()
    };
    parts.iter().flat_map(sized).collect()
}

/// The first corpus: target, seed.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let maker = &MAKER.ca;
    let middle = Ca::new("Middle");
    let middle_der = maker.certify_ca(&middle);
    let leaf = middle.issue("Leaf", &Ca::new("x").spki(), ["20", "30"], &names());
    let list = maker.crl(
        ["26", "27"],
        &[&[7], &[1, 2, 3]],
        &[extension(&[0x55, 0x1d, 0x14], false, &[2, 1, 1])],
    );
    let path = joined(&[&leaf, &middle_der, &MAKER.root]);
    let key = Ca::new("iak");
    let iak = maker.issue("IAK", &key.spki(), ["20", "30"], &names());
    let idevid = maker.issue("IDevID", &Ca::new("y").spki(), ["20", "30"], &names());
    let identity = joined(&[&iak, &idevid, &ak_public(&key.spki())]);
    vec![
        ("x509_certificate", leaf),
        ("x509_certificate", MAKER.root.clone()),
        ("x509_crl", list),
        ("x509_path", path),
        ("idevid", identity),
    ]
}

/// A subjectAltName with a hardware module's name.
fn names() -> [Vec<u8>; 1] {
    let module = tlv(
        0x30,
        &[&[6, 5, 0x67, 0x81, 0x05, 1, 2], &tlv(4, &[b"TEST:AB:05"])],
    );
    let other = tlv(
        0xa0,
        &[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 8, 4], &tlv(0xa0, &[&module])],
    );
    [extension(testing::ALT_NAME, true, &tlv(0x30, &[&other]))]
}

/// TPMT_PUBLIC of a restricted P-256 signing key.
fn ak_public(spki: &[u8]) -> Vec<u8> {
    let (x, y) = spki[spki.len() - 64..].split_at(32);
    let head = [
        0, 0x23, 0, 0x0b, 0, 5, 0, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10,
    ];
    [&head[..], &[0, 32], x, &[0, 32], y].concat()
}
