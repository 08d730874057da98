//! The whole appraisal: of received bytes, and of parts that are wrong under signatures that are right, so that the
//! policy behind the signatures is reached.

use crate::node::{self, Ima, Parts};
use assay_appraisal::appraise::{Appraisal, Attest, Refused};
use assay_appraisal::checks::{Mode, Outcome};
use assay_appraisal::snp::cert_table::CertTable;
use assay_protocol::cbor::{Field, Value, int_map};
use assay_protocol::cose::{self, Payload as _, Signer as _};
use assay_protocol::evidence::{self, Claims, SignedEvidence};
use assay_protocol::hash::digest;
use assay_protocol::ids::SessionKey;
use assay_protocol::item::Item as _;
use assay_protocol::limits::EVIDENCE_BYTES_MAX;
use std::sync::LazyLock;

/// Evidence as received, and the same claims and attachments under genuine signatures.
pub fn appraise(data: &[u8]) {
    let _ = both_modes(data);
    if let Some((claims, vendor)) = parts(data) {
        genuine(&node::sign(claims, vendor));
    }
}

/// A node that boots with any log at all: TPM, quote and signatures follow the log.
pub fn event_log(data: &[u8]) {
    let parts = Parts {
        log: data.to_vec(),
        ima: Some(whole_list()),
        snp: Some(GUEST.clone()),
    };
    genuine(&node::evidence(&parts));
}

/// A node that measured any files at all, since its boot and since the saved position.
pub fn ima_list(data: &[u8]) {
    static LOG: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let [_, ima] = node::logs();
        ima
    });
    for continued in [false, true] {
        let list = data.to_vec();
        let parts = Parts {
            log: LOG.clone(),
            ima: Some(Ima { list, continued }),
            snp: None,
        };
        genuine(&node::evidence(&parts));
    }
}

/// A node whose chip signed any report at all. The first byte says which product's chip, and the report data is the
/// difference from the right one.
pub fn snp_report(data: &[u8]) {
    let Some((product, report)) = data.split_first() else {
        return;
    };
    let mut report = report.to_vec();
    for (byte, right) in report.iter_mut().skip(0x50).zip(node::report_data()) {
        *byte ^= right;
    }
    let product = usize::from(*product);
    let parts = Parts {
        snp: Some(node::endorsed(product, &report)),
        ..image_parts()
    };
    let appraisal = genuine(&node::evidence(&parts));
    if appraisal.tier == 3 {
        assert_eq!(report[0x50..0x90], node::report_data());
        assert_eq!(report[0x90..0xc0], node::PROBE);
        let id = node::PRODUCTS[product % 3].chip_id();
        assert_eq!(report[0x1a0..0x1e0], id);
        assert_eq!(report[0x0a] & 0b1100, 0, "debugging or migration");
        assert_eq!(report[0x30..0x34], [0; 4], "VMPL");
    }
}

static GUEST: LazyLock<evidence::SnpEvidence> = LazyLock::new(|| node::probe_guest(0));

fn whole_list() -> Ima {
    static LIST: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let [whole, _] = node::ima_lists();
        whole
    });
    Ima {
        list: LIST.clone(),
        continued: false,
    }
}

fn image_parts() -> Parts {
    static LOG: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let [image, _] = node::logs();
        image
    });
    Parts {
        log: LOG.clone(),
        ima: None,
        snp: None,
    }
}

/// Claims and attachments of evidence whose signatures nobody looks at. A mutated report is signed again.
fn parts(data: &[u8]) -> Option<(Claims, evidence::VendorEvidence)> {
    let split = cose::split(Claims::TYP, EVIDENCE_BYTES_MAX, data).ok()?;
    let payload = Value::decode(&split.payload).ok()?;
    let claims = Claims::from_field(Field::new(Claims::TYP, payload)).ok()?;
    let claims = Claims {
        session_key: SessionKey(node::node().session.public_key()),
        ..claims
    };
    let mut unprotected = Field::new("unprotected header", split.unprotected)
        .map()
        .ok()?;
    let attached = unprotected.take(-70_002).ok()?.bytes(data.len()).ok()?;
    let mut vendor = vendor(claims.clone(), &attached)?.vendor().clone();
    if let Some(snp) = &mut vendor.snp {
        let report = &mut snp.report.0;
        if let Some(data) = report.get_mut(0x50..0x90) {
            data.copy_from_slice(&node::report_data());
        }
        let signed = node::endorsed(node::product_of(report), report);
        // Certificates are of the process that made them, so that only a broken table is worth keeping.
        snp.report = signed.report;
        if CertTable::parse(&snp.certificates.0).is_ok() {
            snp.certificates = signed.certificates;
        }
    }
    Some((claims, vendor))
}

fn vendor(claims: Claims, attached: &[u8]) -> Option<SignedEvidence> {
    let session = &node::node().session;
    let digest = digest(&[attached]);
    let extra = [(-70_001, digest.to_value())];
    let unprotected = int_map([(-70_002, Value::bytes(attached))]);
    let sealed = cose::seal_with(claims, session, &extra, unprotected);
    evidence::open(sealed.bytes(), &session.public_key()).ok()
}

/// Stopping at the first failure and running every check must come to the same end.
fn both_modes(bytes: &[u8]) -> Result<Appraisal, Refused> {
    let verified = node::verify(bytes, Mode::Verify);
    let explained = node::verify(bytes, Mode::Explain);
    match (&verified, &explained) {
        (Ok(verified), Ok(explained)) => assert_eq!(verified, explained),
        (Err(refused), Err(all)) => {
            assert!(!refused.checks.is_empty());
            assert!(all.checks.len() >= refused.checks.len());
        }
        other => panic!("verification and explanation differ: {other:?}"),
    }
    verified
}

/// A genuine quote yields an identity, and a tier only for what the class allows.
pub fn genuine(bytes: &[u8]) -> Appraisal {
    let appraisal = both_modes(bytes).expect("a genuine quote yields an identity");
    let session = node::node().session.public_key();
    let opened = evidence::open(bytes, &session).expect("it was opened before");
    let Appraisal {
        tier,
        attest,
        shown,
        ..
    } = &appraisal;
    assert!(*tier <= 3);
    assert_eq!(*tier > 0, *attest == Attest::Pass);
    let failed = |outcome| {
        appraisal
            .checks
            .iter()
            .any(|check| check.outcome == outcome)
    };
    assert!(*attest != Attest::Fail || failed(Outcome::Fail));
    if *tier > 0 {
        assert!(appraisal.owner.is_some(), "the owner is measured");
        assert!(node::allows(&opened.vendor().pcrs), "not a pinned boot");
    }
    if *tier > 1 {
        assert!(shown.verity_root.is_some() || shown.ima_entries.is_some());
    }
    if *tier > 2 {
        assert!(shown.chip.is_some() && opened.vendor().snp.is_some());
    }
    assert!(appraisal.ima_end.is_none() || shown.ima_entries.is_some());
    appraisal
}

/// The first corpus of each target here. Every seed reaches the tier that it is there for.
pub fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let [image, by_ima] = node::logs();
    let [whole, rest] = node::ima_lists();
    let list = |list: &Vec<u8>, continued| {
        let list = list.clone();
        Some(Ima { list, continued })
    };
    let parts = |log: &Vec<u8>, ima, product| Parts {
        log: log.clone(),
        ima,
        snp: Some(node::probe_guest(product)),
    };
    let evidence = [
        (3, parts(&image, None, 0)),
        (3, parts(&image, list(&whole, false), 1)),
        (3, parts(&by_ima, list(&whole, false), 1)),
        (3, parts(&by_ima, list(&rest, true), 0)),
        (2, parts(&image, None, 2)),
    ];
    let evidence = evidence.map(|(tier, parts)| {
        let bytes = node::evidence(&parts);
        let appraisal = genuine(&bytes);
        assert_eq!(appraisal.tier, tier, "{:?}", appraisal.checks);
        let (claims, vendor) = self::parts(&bytes).expect("evidence");
        let again = genuine(&node::sign(claims, vendor));
        assert_eq!(again.tier, tier, "signed again: {:?}", again.checks);
        bytes
    });
    let reports =
        [0, 1, 2].map(|product| [&[product][..], &node::plain_report(product.into())].concat());
    vec![
        ("appraise", evidence.to_vec()),
        ("appraise_event_log", vec![image, by_ima]),
        ("appraise_ima_list", vec![whole, rest]),
        ("appraise_snp_report", reports.to_vec()),
    ]
}
