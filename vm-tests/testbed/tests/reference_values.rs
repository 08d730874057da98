//! The demo class pins what the testbed's measured boot really yields, and not what its rogue variant yields.

use assay_protocol::class::PcrReference;
use assay_protocol::ids::Digest;
use assay_testbed::boot_log::{MeasuredBoot, Variant};

fn pinned(variant: Variant) -> Vec<PcrReference> {
    let pcrs = MeasuredBoot::new(variant, b"any configuration").pcrs();
    let reference = |index: u8| PcrReference {
        index,
        allowed: vec![Digest(pcrs[usize::from(index)])],
    };
    (0..=7).map(reference).collect()
}

#[test]
fn the_demo_class_allows_the_good_boot_and_no_other() {
    let class = assay_hw_profiles::parse(assay_hw_profiles::DEMO_CLASS).unwrap();
    let good = pinned(Variant::Good);
    let toml: String = good
        .iter()
        .map(|pcr| {
            format!(
                "\n[[attestation.pcrs]]\nindex = {}\nallowed = [\"{}\"]\n",
                pcr.index, pcr.allowed[0]
            )
        })
        .collect();
    assert_eq!(
        class.attestation.pcrs, good,
        "hw-profiles/classes/demo.toml should end with:{toml}"
    );
    assert_ne!(class.attestation.pcrs, pinned(Variant::Rogue));
}
