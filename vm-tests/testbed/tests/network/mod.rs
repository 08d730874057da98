//! A small network of the product's programs, and what must hold of it in the end.

use assay_testbed::Variant;
use assay_testbed::net::{LocalNetwork, Plan, Programs};
use serde_json::Value;
use std::path::Path;

/// Four HyperNodes and a node, running.
pub fn network(dir: &Path, plan: Plan) -> LocalNetwork {
    let programs = Programs::beside_this_one().unwrap();
    let (stakes, scalers) = (&[40, 25, 20, 15], [("only", Variant::Good)]);
    let mut network = LocalNetwork::create(programs, dir, plan, stakes, &scalers, |_| ()).unwrap();
    network.start_scalers(10).unwrap();
    network.start_hypernodes().unwrap();
    network
}

/// Waits for the ledger to resolve an epoch.
pub fn resolved(network: &LocalNetwork, epoch: u64) {
    network.wait_for_epoch(epoch).unwrap();
}

/// What became of the node in each epoch so far.
pub fn verdicts_so_far(network: &LocalNetwork) -> Vec<Value> {
    network.verdicts().unwrap()
}

/// The same, of which none to the last one was void.
pub fn verdicts(network: &LocalNetwork, last: u64) -> Vec<Value> {
    let verdicts = verdicts_so_far(network);
    let epoch = |verdict: &Value| verdict["epoch"].as_u64().unwrap();
    assert!(verdicts.iter().map(epoch).eq(0..=last), "{verdicts:?}");
    verdicts
}

/// The node passes in each epoch.
pub fn all_pass(verdicts: &[Value]) {
    for verdict in verdicts {
        assert_eq!(verdict["verdict"], "pass", "{verdict:#}");
    }
}

/// The bundle of everything is reproduced by an auditor who pins genesis.
pub fn reproduced(network: &mut LocalNetwork, last: u64) {
    network.kill_hypernodes();
    let trust = network.dir.join("trust.json");
    network.write_trust(&trust).unwrap();
    let (parts, tar) = (network.dir.join("parts"), network.dir.join("only.tar"));
    let node = network.scalers[0].node.unwrap();
    network.bundle(node, (0, last), &parts, &tar).unwrap();
    let (trust, tar) = (trust.to_str().unwrap(), tar.to_str().unwrap());
    let args = ["verify", "--trust", trust, tar];
    let (code, said) = network.programs.status("assay-audit", &args).unwrap();
    assert_eq!(code, 0, "{said}");
}
