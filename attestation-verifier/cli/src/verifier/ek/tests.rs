//! The command over files written here.

#[path = "../../../../appraisal/src/x509/testing.rs"]
mod testing;

use super::*;
use crate::verifier::Conclusion;
use assay_protocol::hash::digest;
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use std::path::Path;
use std::sync::LazyLock;
use testing::{Ca, EKU_EK, KEY_USAGE, PURPOSES, Subject, extension, name, tlv};

const AT: &str = "2026-11-01T00:00:00Z";

static ROOT: LazyLock<Ca> = LazyLock::new(|| Ca::new("Root"));
static MIDDLE: LazyLock<Ca> = LazyLock::new(|| Ca::new("Middle"));
static SPKI: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    key.public_key().as_der().unwrap().as_ref().to_vec()
});

struct Files {
    dir: tempfile::TempDir,
    root: Vec<u8>,
    middle: Vec<u8>,
}

/// `ek.der` under `middle.der` under `roots/root.der`, and a file in `roots` that is no certificate.
fn files() -> Files {
    let dir = tempfile::tempdir().unwrap();
    let (root, middle) = (ROOT.certificate(), ROOT.certify_ca(&MIDDLE));
    let extensions = [
        extension(PURPOSES, false, &tlv(0x30, &[EKU_EK])),
        extension(KEY_USAGE, true, &[3, 2, 5, 0x20]),
    ];
    let leaf = MIDDLE.certify(&Subject {
        serial: &[9],
        name: name(""),
        spki: &SPKI,
        years: ["25", "27"],
        extensions: &extensions,
    });
    let files = Files { dir, root, middle };
    std::fs::create_dir(files.path("roots")).unwrap();
    files.write("ek.der", &[&leaf[..], &[0xff; 100]].concat());
    files.write("middle.der", &files.middle);
    files.write("roots/root.der", &files.root);
    files.write("roots/README", b"about these roots");
    files
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn arguments(&self) -> Verify {
        Verify {
            cert: self.path("ek.der"),
            roots: self.path("roots"),
            intermediates: Some(self.path("middle.der")),
            crl: Vec::new(),
            require_crl: false,
            legacy_sha1: false,
            at: Some(AT.into()),
        }
    }

    fn bundle(&self, ek_type: EkType) -> TrustBundle {
        let root = VendorRoot {
            name: "Root".into(),
            kind: RootKind::Soldered,
            ek_type,
            firmware_min: 0x0007_0055_1104_0000,
            sha256: digest(&[&self.root]),
            certificate: self.root.clone(),
            intermediates: vec![HexBytes(self.middle.clone())],
        };
        TrustBundle {
            allowed_kinds: vec![RootKind::Soldered],
            roots: vec![root],
        }
    }
}

fn failed(finding: &Finding) -> Vec<&str> {
    let failed = finding.checks.iter().filter(|c| c.outcome != Outcome::Pass);
    failed.map(|check| check.name).collect()
}

fn verified(arguments: Verify) -> Finding {
    run(&Command::Verify(arguments)).unwrap()
}

#[test]
fn a_folder_of_roots_accepts_and_says_that_their_kind_is_unknown() {
    let files = files();
    let finding = verified(files.arguments());
    assert_eq!(finding.result, Conclusion::Accepted, "{finding}");
    let claims = &finding.claims;
    assert_eq!(claims["root_kind"], "unknown");
    assert_eq!(claims["eligible"], "unknown");
    assert_eq!(claims["root_kind_allowed"], false);
    assert_eq!(claims["root"]["subject"], "CN=Root");
    assert_eq!(claims["root"]["sha256"], digest(&[&files.root]).to_string());
    assert!(claims["node_id"].is_string());
    assert_eq!(claims["path"].as_array().unwrap().len(), 3);
    assert_eq!(claims["certificate"]["key"], "RSA-2048");
    assert_eq!(claims["certificate"]["not_after"], "2027-01-01T00:00:00Z");
    let ignored = claims["ignored"].as_array().unwrap();
    assert_eq!(ignored.len(), 1);
    assert!(ignored[0]["file"].as_str().unwrap().ends_with("README"));
    assert!(claims.get("firmware_min").is_none());
}

#[test]
fn a_bundle_says_kind_eligible_key_and_firmware_floor() {
    let files = files();
    let with = |ek_type| {
        let bundle = serde_json::to_vec(&files.bundle(ek_type)).unwrap();
        files.write("bundle.json", &bundle);
        verified(Verify {
            roots: files.path("bundle.json"),
            intermediates: None,
            ..files.arguments()
        })
    };
    let finding = with(EkType::Rsa2048);
    assert_eq!(finding.result, Conclusion::Accepted, "{finding}");
    assert_eq!(finding.claims["root_kind"], "soldered");
    assert_eq!(finding.claims["root_kind_allowed"], true);
    assert_eq!(finding.claims["firmware_min"], 0x0007_0055_1104_0000_u64);
    let finding = with(EkType::EccP256);
    assert_eq!(failed(&finding), ["ek-eligible"]);
    assert_eq!(finding.claims["eligible"], "ecc-p256");
    assert!(
        finding.claims.get("node_id").is_none(),
        "no id for what is not eligible"
    );
}

#[test]
fn a_bundle_without_a_firmware_floor_or_with_more_is_not_usable() {
    let files = files();
    let mut bundle = serde_json::to_value(files.bundle(EkType::Rsa2048)).unwrap();
    let refused = |bundle: &serde_json::Value| {
        files.write("bundle.json", bundle.to_string().as_bytes());
        let roots = files.path("bundle.json");
        run(&Command::Verify(Verify {
            roots,
            ..files.arguments()
        }))
        .unwrap_err()
    };
    bundle["roots"][0]
        .as_object_mut()
        .unwrap()
        .remove("firmware_min");
    assert!(format!("{:#}", refused(&bundle)).contains("firmware_min"));
    let mut more = serde_json::to_value(files.bundle(EkType::Rsa2048)).unwrap();
    more["roots"][0]["note"] = 1.into();
    assert!(format!("{:#}", refused(&more)).contains("note"));
}

#[test]
fn each_input_that_is_wrong_fails_its_check() {
    let files = files();
    let finding = verified(Verify {
        intermediates: None,
        ..files.arguments()
    });
    assert_eq!(failed(&finding), ["ek-path"]);
    assert!(finding.claims.get("root_kind").is_none() && finding.claims.get("node_id").is_none());
    let finding = verified(Verify {
        at: Some("2031-01-01T00:00:00Z".into()),
        ..files.arguments()
    });
    assert_eq!(failed(&finding), ["ek-path"]);
    files.write("garbage", b"garbage");
    let cert = files.path("garbage");
    assert_eq!(
        failed(&verified(Verify {
            cert,
            ..files.arguments()
        })),
        ["ek-certificate"]
    );
    let roots = files.path("garbage");
    assert_eq!(
        failed(&verified(Verify {
            roots,
            ..files.arguments()
        })),
        ["ek-roots"]
    );
    std::fs::remove_file(files.path("roots/root.der")).unwrap();
    assert_eq!(
        failed(&verified(files.arguments())),
        ["ek-roots"],
        "none left"
    );
    let cert = files.path("absent");
    assert!(
        run(&Command::Verify(Verify {
            cert,
            ..files.arguments()
        }))
        .is_err()
    );
}

#[test]
fn a_pinned_intermediate_is_a_root() {
    let files = files();
    let finding = verified(Verify {
        roots: files.path("middle.der"),
        intermediates: None,
        ..files.arguments()
    });
    assert_eq!(finding.claims["root"]["subject"], "CN=Middle", "{finding}");
    assert_eq!(finding.result, Conclusion::Accepted);
}

#[test]
fn revocation_lists_are_asked_and_may_be_required() {
    let files = files();
    let crl = |name: &str, bytes: &[u8]| {
        files.write(name, bytes);
        files.path(name)
    };
    let clean = [
        crl("root.crl", &ROOT.crl(["26", "27"], &[], &[])),
        crl("middle.crl", &MIDDLE.crl(["26", "27"], &[], &[])),
    ];
    let with = |crl: &[&Path], require_crl| {
        let crl = crl.iter().map(|path| path.to_path_buf()).collect();
        verified(Verify {
            crl,
            require_crl,
            ..files.arguments()
        })
    };
    let none: [&str; 0] = [];
    assert_eq!(failed(&with(&[], true)), ["ek-path"], "unknown status");
    assert_eq!(failed(&with(&[&clean[0]], true)), ["ek-path"]);
    assert_eq!(failed(&with(&[&clean[0]], false)), none);
    assert_eq!(failed(&with(&[&clean[0], &clean[1]], true)), none);
    let revoked = crl("revoked.crl", &MIDDLE.crl(["26", "27"], &[&[9]], &[]));
    assert_eq!(failed(&with(&[&revoked], false)), ["ek-path"]);
    let garbage = crl("garbage.crl", b"garbage");
    assert_eq!(failed(&with(&[&garbage], false)), ["ek-crl"]);
}
