//! The HyperNode with the largest stake takes it back while the network runs: its weight goes with it, epochs are posted
//! without it, and the bundle of before and after is reproduced.

use assay_protocol::ids::{Epoch, HyperNodeId};
use assay_protocol::succession::Lineage;
use assay_testbed::Variant;
use assay_testbed::net::{LocalNetwork, Plan, Programs};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What leaves in epoch 0 counts in this one no more.
const FROM: u64 = 2;
const LAST: u64 = 3;

/// Waits for the ledger to resolve an epoch.
fn resolved(network: &LocalNetwork, epoch: u64) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while network.status().unwrap()["next_epoch"].as_u64().unwrap() <= epoch {
        assert!(Instant::now() < deadline, "epoch {epoch} is not resolved");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Whom the agent answers, by what HyperNodes have proven to it; waits until they have.
fn rosters(network: &LocalNetwork) -> Lineage {
    let file = network.scalers[0].state_dir().join("lineage.cbor");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(Instant::now() < deadline, "no agent was told");
        std::thread::sleep(Duration::from_millis(300));
    }
    Lineage::open(&network.id(), &std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn a_network_goes_on_without_who_took_the_largest_stake_back() {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_one().unwrap();
    let (stakes, scalers) = (&[40, 25, 20, 15], [("only", Variant::Good)]);
    let mut network =
        LocalNetwork::create(programs, dir.path(), Plan::SHORT, stakes, &scalers, |_| ()).unwrap();
    network.start_scalers(10).unwrap();
    network.start_hypernodes().unwrap();
    let label = network.hypernodes[0].label.clone();
    let (key, whole) = (network.dir.join("keys").join(&label), "40000000000");
    let unstake = ["--gwei", whole];
    network.ledger_command("unstake", &key, &unstake).unwrap();

    resolved(&network, FROM - 1);
    let agents = rosters(&network);
    network.hypernodes[0].daemon.as_mut().unwrap().kill9();
    resolved(&network, LAST);

    let config = network.bridge_config();
    let args = ["verdicts", "--config", config.to_str().unwrap(), "--json"];
    let said = network.programs.run("assay-bridge", &args).unwrap();
    let verdicts: Vec<Value> = serde_json::from_str(&said).unwrap();
    let epochs: Vec<_> = verdicts
        .iter()
        .map(|v| v["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs, [0, 1, 2, 3], "none was void: {said}");
    for verdict in &verdicts {
        assert_eq!(verdict["verdict"], "pass", "{verdict:#}");
    }

    let ids: Vec<HyperNodeId> = network.hypernodes.iter().map(|h| h.id).collect();
    assert_eq!(agents.newest(), Epoch(FROM));
    for (number, id) in ids.iter().enumerate() {
        assert!(agents.answers(id, Epoch(FROM - 1)));
        assert_eq!(agents.answers(id, Epoch(FROM)), number != 0);
    }

    // An export wants its HyperNode's stores for itself.
    for hypernode in &mut network.hypernodes[1..] {
        hypernode.daemon.as_mut().unwrap().kill9();
    }
    let trust = network.dir.join("trust.json");
    network.write_trust(&trust).unwrap();
    let (parts, tar) = (network.dir.join("parts"), network.dir.join("only.tar"));
    let node = network.scalers[0].node.unwrap();
    network.bundle(node, (0, LAST), &parts, &tar).unwrap();
    let args = [
        "verify",
        "--trust",
        trust.to_str().unwrap(),
        tar.to_str().unwrap(),
    ];
    let (code, said) = network.programs.status("assay-audit", &args).unwrap();
    assert_eq!(code, 0, "{said}");
}
