//! `kill -9` of any agent, HyperNode or bridge at random moments, and a TPM that loses power: no acknowledged outcome is
//! lost, nothing is signed twice with different content, nothing is settled twice.

use assay_protocol::ids::Epoch;
use assay_testbed::Variant;
use assay_testbed::net::{LocalNetwork, Plan, Programs, now, sleep_until};
use aws_lc_rs::rand;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// Epochs under fire; one more without it must then be posted.
const EPOCHS_UNDER_FIRE: u64 = 2;

fn random(below: usize) -> usize {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).unwrap();
    usize::try_from(u64::from_be_bytes(bytes) % below as u64).unwrap()
}

/// Digests of everything a dead HyperNode has acknowledged.
fn acknowledged(journal: &Path) -> BTreeSet<Vec<u8>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let Ok(journal) = Connection::open_with_flags(journal, flags) else {
        return BTreeSet::new();
    };
    let Ok(mut rows) = journal.prepare("SELECT digest FROM outcomes") else {
        return BTreeSet::new();
    };
    let found = rows.query_map([], |row| row.get(0)).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

/// One of the network's processes dies and is started again at once.
fn strike(network: &mut LocalNetwork, seen: &mut BTreeMap<usize, BTreeSet<Vec<u8>>>) -> String {
    let (hypernodes, scalers) = (network.hypernodes.len(), network.scalers.len());
    let target = random(hypernodes + scalers + 1);
    if let Some(hypernode) = network.hypernodes.get_mut(target) {
        let daemon = hypernode.daemon.as_mut().unwrap();
        daemon.kill9();
        let journal = hypernode
            .config
            .with_file_name("state")
            .join("journal.sqlite");
        let acknowledged = acknowledged(&journal);
        let before = seen.insert(target, acknowledged).unwrap_or_default();
        assert!(
            before.is_subset(&seen[&target]),
            "{} lost an outcome",
            hypernode.label
        );
        daemon.restart().unwrap();
        daemon
            .wait_for("listening on", Duration::from_secs(20))
            .unwrap();
        return hypernode.label.clone();
    }
    if let Some(scaler) = network.scalers.get_mut(target - hypernodes) {
        scaler.kill_agent();
        scaler.restart_agent().unwrap();
        return scaler.label.clone();
    }
    network.bridge.kill9();
    network.bridge.restart().unwrap();
    network
        .bridge
        .wait_for("board:", Duration::from_secs(20))
        .unwrap();
    "bridge".into()
}

fn resolved(network: &LocalNetwork, epoch: u64) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = network.status().unwrap();
        if status["next_epoch"].as_u64().unwrap() > epoch {
            return status;
        }
        assert!(
            Instant::now() < deadline,
            "epoch {epoch} is not resolved: {status:#}"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The ledger's sums are those of the recomputed verdicts: nothing was settled twice, nothing forgotten.
fn check_settlement(network: &LocalNetwork) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let verdicts = network.verdicts().unwrap();
        let last: BTreeMap<&str, &Value> = verdicts
            .iter()
            .map(|verdict| (verdict["node"].as_str().unwrap(), verdict))
            .collect();
        let status = network.status().unwrap();
        let nodes = status["nodes"].as_array().unwrap();
        let agrees = |node: &&Value| {
            let Some(verdict) = last.get(node["node"].as_str().unwrap()) else {
                return true;
            };
            node["slash_gwei"] == verdict["cumulative_slash_gwei"]
        };
        if nodes.iter().all(|node| agrees(&node)) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "ledger {nodes:#?}\nverdicts {last:#?}"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// No HyperNode ever sent the board another content for the same thing.
fn check_single_content(network: &LocalNetwork) {
    for hypernode in &network.hypernodes {
        let log = network
            .dir
            .join("logs")
            .join(format!("{}.log", hypernode.label));
        let log = std::fs::read_to_string(log).unwrap();
        let doubled: Vec<_> = log
            .lines()
            .filter(|line| line.contains("another content"))
            .collect();
        assert!(
            doubled.is_empty(),
            "{} signed twice: {doubled:#?}",
            hypernode.label
        );
        let panics: Vec<_> = log
            .lines()
            .filter(|line| line.contains("panicked"))
            .collect();
        assert!(panics.is_empty(), "{}: {panics:#?}", hypernode.label);
    }
}

#[test]
fn a_network_under_kill_9_loses_nothing_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let scalers = [("first", Variant::Good), ("second", Variant::Good)];
    let programs = Programs::beside_this_one().unwrap();
    let mut network = LocalNetwork::create(
        programs,
        dir.path(),
        Plan::SHORT,
        &[40, 25, 20, 15],
        &scalers,
        |_| (),
    )
    .unwrap();
    network.start_scalers(10).unwrap();
    network.start_hypernodes().unwrap();

    let cease_fire = network.params.epoch_start(Epoch(EPOCHS_UNDER_FIRE));
    let (mut seen, mut strikes) = (BTreeMap::new(), Vec::new());
    sleep_until(network.params.genesis_unix_ms);
    while now() < cease_fire {
        std::thread::sleep(Duration::from_millis(200 + random(1_200) as u64));
        strikes.push(strike(&mut network, &mut seen));
    }
    println!("{} kills: {strikes:?}", strikes.len());

    // Power loss of one TPM: a reboot of its node, explained by the counters.
    let programs = network.programs.clone();
    network.scalers[0].kill_agent();
    network.scalers[0].tpm.kill9();
    network.scalers[0].reboot(&programs).unwrap();

    let last = EPOCHS_UNDER_FIRE + 1;
    let status = resolved(&network, last);
    let epochs = status["epochs"].as_array().unwrap();
    println!("{epochs:#?}");
    assert_eq!(epochs.len() as u64, last + 1, "each epoch is resolved once");
    assert_eq!(
        epochs.last().unwrap()["resolution"],
        "posted",
        "peace ends in a posted epoch"
    );
    check_settlement(&network);
    for (at, hypernode) in network.hypernodes.iter_mut().enumerate() {
        hypernode.daemon.as_mut().unwrap().stop();
        let journal = hypernode
            .config
            .with_file_name("state")
            .join("journal.sqlite");
        let kept = acknowledged(&journal);
        assert!(
            seen.get(&at).is_none_or(|before| before.is_subset(&kept)),
            "{}",
            hypernode.label
        );
    }
    check_single_content(&network);
}
