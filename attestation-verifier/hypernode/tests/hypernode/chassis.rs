//! A machine with a chassis proof: AMD's revocation list is handed to the appraisal, and the one that it judged by archived;
//! the proven processors are in the report.

use super::restart::opened;
use super::soft_machine::{PROVIDER, Scene, archived, is, rules};
use assay_appraisal::snp::{Product, SnpRoots};
use assay_bench::network::NODE;
use assay_hypernode::report::close_epoch;
use assay_protocol::evidence::{SnpEvidence, chips_digest};
use assay_protocol::ids::{ChipId, Digest, Digest384, Epoch};
use assay_protocol::item::Blob;
use assay_protocol::outcome::{OutcomeClass, media};
use assay_testbed::snp::{self, Authority, Certificates, Chip, CrlSpec, cert_table};
use std::collections::BTreeMap;

const PROBE: [u8; 48] = [0x77; 48];

/// A machine with a probe guest on a Genoa chip of the test authority, under a class that asks for it.
fn chassis() -> Scene {
    let rules = format!(
        "{}[attestation.chassis]\nmeasurements = [\"{}\"]\n[[attestation.chassis.tcb_min]]\n\
         product = \"Genoa\"\nbootloader = 0\ntee = 0\nsnp = 0\nmicrocode = 0\n",
        rules(),
        Digest384(PROBE)
    );
    Scene::with(&rules, |node, context| {
        let chip = Chip::new(snp::Product::Genoa);
        let table = cert_table(&Certificates::of(snp::Product::Genoa), &chip.vcek());
        node.chip_ids = Some(vec![ChipId(chip.chip_id)]);
        node.snp = Some(Box::new(move |report_data| {
            let report = chip.report(3).with(0x50, &report_data).with(0x90, &PROBE);
            SnpEvidence {
                report: Blob(chip.sign(report)),
                certificates: Blob(table.clone()),
            }
        }));
        let ark = Authority::shared().ark.spki();
        context.snp_roots = SnpRoots::test([(Product::Genoa, ark.as_slice())]);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_at_hand_decides_about_the_chassis_and_is_archived() {
    let scene = chassis();
    let kept = scene.bench.members[0].config.state_dir.join("vcek");
    let keep = |list: &[u8]| std::fs::write(kept.join("Genoa-crl.der"), list).unwrap();
    let shared = Authority::shared();
    let spec = |revoked| CrlSpec::of(snp::Product::Genoa, revoked);

    // Without one revocation is not asked, and nothing says that it was.
    let outcome = scene.attest().await;
    is(&outcome, OutcomeClass::Pass, 3);
    assert!(archived(&scene.context, &outcome, media::CRL).is_empty());

    let good = spec(vec![vec![7, 7]]).sign(&shared.ark);
    keep(&good);
    let outcome = scene.attest().await;
    is(&outcome, OutcomeClass::Pass, 3);
    assert_eq!(archived(&scene.context, &outcome, media::CRL), [good]);

    let serial = shared.ask_spec(snp::Product::Genoa).serial;
    let revoked = spec(vec![serial]).sign(&shared.ark);
    keep(&revoked);
    let outcome = scene.attest().await;
    is(&outcome, OutcomeClass::Pass, 2);
    assert!(outcome.detail.contains("snp-revocation"), "{outcome:?}");
    assert_eq!(archived(&scene.context, &outcome, media::CRL), [revoked]);

    // One that ran out is this HyperNode's trouble.
    let mut old = spec(Vec::new());
    old.next_update = "250101000000Z".into();
    keep(&old.sign(&shared.ark));
    let outcome = scene.attest().await;
    assert_eq!(outcome.class, OutcomeClass::Inconclusive);
    assert!(
        outcome.detail.starts_with("certificates of AMD: "),
        "{outcome:?}"
    );
    assert!(outcome.evidence.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_which_processors_were_proven() {
    for proves in [false, true] {
        let scene = chassis();
        let chips = scene.machine().node.chip_ids.take();
        is(&scene.attest().await, OutcomeClass::Pass, 2);
        if proves {
            scene.machine().node.chip_ids = chips.clone();
            is(&scene.attest().await, OutcomeClass::Pass, 3);
        }
        let nodes = BTreeMap::from([(NODE, Digest([1; 32]))]);
        let kept = close_epoch(&scene.context, Epoch(0), &nodes).unwrap();
        let report = opened(&scene.context, &kept);
        let said = &report.nodes[0].attest;
        let digest = chips.as_deref().map(chips_digest).filter(|_| proves);
        assert_eq!(
            (said.tier, said.owner, said.chips),
            (2, Some(PROVIDER), digest)
        );
    }
}
