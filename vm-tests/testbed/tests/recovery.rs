//! What is missing for an epoch costs that epoch: nodes, of which a network may have none yet, and HyperNodes.

use assay_protocol::ids::{Epoch, UnixMs};
use assay_testbed::net::{LocalNetwork, Plan, Programs, sleep_until};

/// How the ledger resolved an epoch.
fn resolution(network: &LocalNetwork, epoch: u64) -> String {
    let status = network.status().unwrap();
    let epochs = status["epochs"].as_array().unwrap();
    let found = epochs.iter().find(|one| one["epoch"] == epoch);
    let found = found.unwrap_or_else(|| panic!("epoch {epoch}: {status:#}"));
    found["resolution"].as_str().unwrap().to_owned()
}

#[test]
fn a_network_without_nodes_has_roots_and_has_them_again_after_an_epoch_that_nobody_reported() {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_one().unwrap();
    let (plan, stakes) = (Plan::SHORT, &[40, 25, 20, 15]);
    let mut network =
        LocalNetwork::create(programs, dir.path(), plan, stakes, &[], |_| ()).unwrap();
    network.start_hypernodes().unwrap();
    network.wait_for_epoch(1).unwrap();
    for epoch in [0, 1] {
        assert_eq!(resolution(&network, epoch), "posted", "epoch {epoch}");
    }

    // Nobody is there from now until nobody takes reports about this epoch any more.
    let missed = network.status().unwrap()["next_epoch"].as_u64().unwrap();
    for hypernode in &mut network.hypernodes {
        hypernode.daemon.take().unwrap().kill9();
    }
    let end = network.params.epoch_end(Epoch(missed)).0;
    sleep_until(UnixMs(end + plan.commit_ms + 500));
    network.start_hypernodes().unwrap();
    network.wait_for_epoch(missed + 3).unwrap();
    assert_eq!(resolution(&network, missed), "void");
    assert_eq!(resolution(&network, missed + 3), "posted");
}
