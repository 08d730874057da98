//! The flashable image on a machine with firmware, Secure Boot and a TPM, before a real HyperNode.

use assay_bench::machine::SecureBoot;
use assay_bench::trial::Trial;
use assay_protocol::outcome::OutcomeClass;

#[tokio::test(flavor = "multi_thread")]
async fn the_image_reaches_tier_2() {
    let trial = Trial::new(
        SecureBoot::TestKeys,
        "[attestation.boot]\nsecure_boot = true\n",
    )
    .unwrap();
    let (machine, node) = trial.boot().unwrap();
    let seen = trial.judged(node, &machine.endpoint).await.unwrap();
    assert_eq!(
        (seen.class, seen.tier),
        (OutcomeClass::Pass, Some(2)),
        "{}",
        seen.detail
    );
}
