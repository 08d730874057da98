//! `make demo` as a test: the table is as promised, the bundles reproduce their verdicts, and no changed byte passes.

use assay_testbed::demo::{self, HONEST, ROGUE, STOPPED};
use assay_testbed::net::Programs;
use std::path::Path;

/// Bytes flipped in each bundle, spread over it.
const FLIPS: usize = 40;

fn verify(trust: Option<&Path>, bundle: &Path) -> i32 {
    let programs = Programs::beside_this_one().unwrap();
    let mut args = vec!["verify"];
    if let Some(trust) = trust {
        args.extend(["--trust", trust.to_str().unwrap()]);
    }
    args.push(bundle.to_str().unwrap());
    programs.status("assay-audit", &args).unwrap().0
}

#[test]
fn the_demo_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let summary = demo::run(&out, dir.path()).unwrap();
    let node = |label: &str| {
        summary
            .nodes
            .iter()
            .find(|node| node.label == label)
            .unwrap()
    };

    let honest = node(HONEST);
    assert_eq!(
        (honest.tier, honest.verdict.as_str()),
        (1, "pass"),
        "{honest:?}"
    );
    assert!(honest.reward > 0 && honest.slashed == 0, "{honest:?}");
    assert_eq!(honest.chase_kind, "liveness");
    let rogue = node(ROGUE);
    assert_eq!(
        (rogue.tier, rogue.verdict.as_str()),
        (0, "breach"),
        "{rogue:?}"
    );
    assert_eq!(rogue.reasons, ["attestation"]);
    assert!(rogue.reward == 0 && rogue.slashed > 0, "{rogue:?}");
    let stopped = node(STOPPED);
    assert_eq!(
        (stopped.tier, stopped.verdict.as_str()),
        (1, "breach"),
        "{stopped:?}"
    );
    assert_eq!(stopped.reasons, ["availability"]);
    assert!(
        stopped.availability_ppm < 800_000 && stopped.slashed > 0,
        "{stopped:?}"
    );
    assert_eq!(summary.epochs.len(), 2);

    let trust = out.join("trust.json");
    for bundle in &summary.bundles {
        let tar = dir.path().join(bundle);
        assert_eq!(verify(Some(&trust), &tar), 0, "{bundle}");
        assert_eq!(
            verify(Some(&trust), &tar.with_extension("bag")),
            0,
            "{bundle} as a folder"
        );
        assert_eq!(verify(None, &tar), 2, "{bundle} without --trust");
        let bytes = std::fs::read(&tar).unwrap();
        let changed = dir.path().join("changed.tar");
        for flip in 0..FLIPS {
            let at = flip * (bytes.len() - 1) / (FLIPS - 1);
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            std::fs::write(&changed, &bad).unwrap();
            assert_ne!(
                verify(Some(&trust), &changed),
                0,
                "{bundle}: byte {at} changed"
            );
        }
    }
}
