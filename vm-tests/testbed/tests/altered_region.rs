//! A node whose region was altered on disk after the receipt fails its chases, and pays for it. A node beside it that kept
//! its regions passes.

use assay_testbed::Variant;
use assay_testbed::net::{LocalNetwork, Plan, Programs};
use serde_json::Value;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PLAN: Plan = Plan {
    epoch_ms: 20_000,
    ..Plan::SHORT
};
const BLOCK: u64 = 4_096;

/// Files of the agent's regions with this ending.
fn files(regions: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(regions).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect()
}

/// Waits until `count` fills are acknowledged by both sides.
fn wait_for_receipts(regions: &Path, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while files(regions, "receipt").len() < count {
        assert!(Instant::now() < deadline, "{:?}", files(regions, "receipt"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Flips one bit in every block of every region; returns how many blocks.
fn alter_regions(regions: &Path) -> u64 {
    let mut altered = 0;
    for path in files(regions, "region") {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let blocks = file.metadata().unwrap().len() / BLOCK;
        for block in 0..blocks {
            let mut byte = [0];
            file.read_exact_at(&mut byte, block * BLOCK + 1_000)
                .unwrap();
            file.write_all_at(&[byte[0] ^ 1], block * BLOCK + 1_000)
                .unwrap();
        }
        file.sync_all().unwrap();
        altered += blocks;
    }
    altered
}

fn verdict(network: &LocalNetwork, node: &str, epoch: u64) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let verdicts = network.verdicts().unwrap();
        let is_it = |v: &&Value| v["node"] == node && v["epoch"] == epoch;
        if let Some(found) = verdicts.iter().find(is_it) {
            return found.clone();
        }
        assert!(
            Instant::now() < deadline,
            "no verdict about {node} in epoch {epoch}: {verdicts:?}"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// What honest HyperNodes signed convicts none of them: not two bundles, and not a region, whether it was kept or altered.
fn nobody_is_convicted(network: &mut LocalNetwork) {
    network.kill_hypernodes();
    let tar = |at: usize| {
        let (parts, tar) = (format!("parts{at}"), format!("{at}.tar"));
        let (parts, tar) = (network.dir.join(parts), network.dir.join(tar));
        let node = network.scalers[at].node.unwrap();
        network.bundle(node, (0, 1), &parts, &tar).unwrap();
        tar.to_str().unwrap().to_owned()
    };
    let (altered, kept) = (tar(0), tar(1));
    let key = network.dir.join("keys/deployer");
    let refused = |command: &str, more: &[&str]| {
        let said = network.ledger_command(command, &key, more);
        said.unwrap_err().to_string()
    };
    let both = ["--first", altered.as_str(), "--second", kept.as_str()];
    let said = refused("convict-double-roots", &both);
    assert!(said.contains("got the roots of 2 epochs"), "{said}");
    let hypernode = network.hypernodes[0].id.to_string();
    let of_log = [&["--hypernode", hypernode.as_str()][..], &both].concat();
    let said = refused("convict-log", &of_log);
    assert!(
        said.contains("two leaves at one index or about one slot or node, got 2 of"),
        "{said}"
    );
    assert!(!said.contains("(0 proven)"), "{said}");
    let said = refused("convict-outcomes", &both);
    assert!(said.contains("got neither in "), "{said}");
    assert!(!said.contains(" in 0 outcomes"), "{said}");
    for (at, bundle, why) in [
        (0, altered, "altered since"),
        (1, kept, "it makes all 4096"),
    ] {
        let regions = network.scalers[at].state_dir().join("regions");
        let file = |ending: &str| {
            let path = regions.join(format!("{hypernode}-0-0.{ending}"));
            path.to_str().unwrap().to_owned()
        };
        let (receipt, region) = (file("receipt"), file("region"));
        let files = ["--receipt", receipt.as_str(), "--region", region.as_str()];
        let of_region = [&["--bundle", bundle.as_str()][..], &files].concat();
        let said = refused("convict-region", &of_region);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn altered_blocks_are_a_breach_and_kept_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_one().unwrap();
    let scalers = [("altered", Variant::Good), ("kept", Variant::Good)];
    let mut network = LocalNetwork::create(
        programs,
        dir.path(),
        PLAN,
        &[40, 25, 20, 15],
        &scalers,
        |_| (),
    )
    .unwrap();
    network.start_scalers(10).unwrap();
    network.start_hypernodes().unwrap();
    let regions = network.scalers[0].state_dir().join("regions");
    wait_for_receipts(&regions, 4);
    let blocks = alter_regions(&regions);
    assert_eq!(
        blocks,
        4 * 4_096,
        "four HyperNodes have filled a region of 4,096 blocks"
    );
    let node = |at: usize| network.scalers[at].node.unwrap().to_string();
    let altered = verdict(&network, &node(0), 1);
    assert_eq!(altered["verdict"], "breach", "{altered:#}");
    assert!(
        altered["reasons"]
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r == "chase"),
        "{altered:#}"
    );
    let kept = verdict(&network, &node(1), 1);
    assert!(
        !kept["reasons"]
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r == "chase"),
        "{kept:#}"
    );
    assert!(kept["chase_rate"].as_u64().unwrap() > 0, "{kept:#}");
    nobody_is_convicted(&mut network);
}
