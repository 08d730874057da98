//! A HyperNode that nobody hears of loses its say, so that what is left is enough without it; it comes back, with its
//! agents, when its operator asks to. The bundle of all that is reproduced.

use assay_protocol::ids::Epoch;
use assay_protocol::ids::HyperNodeId;
use assay_protocol::layout;
use assay_testbed::net::{LocalNetwork, Plan};
use serde_json::Value;
use std::time::{Duration, Instant};

mod network;
use network::{all_pass, network, reproduced, resolved, verdicts};

/// Agreed lists without a report that the network allows.
const ALLOWED: u32 = 2;
const WHO: usize = 1;
const ALSO: usize = 3;

/// Whether the ledger calls it absent.
fn is_absent(network: &LocalNetwork, id: &HyperNodeId) -> bool {
    let status = network.status().unwrap();
    let hypernodes = status["hypernodes"].as_array().unwrap();
    let of = |one: &&Value| one["ed25519"] == id.to_string();
    hypernodes.iter().find(of).unwrap()["absent"]
        .as_bool()
        .unwrap()
}

fn kill(network: &mut LocalNetwork, index: usize) {
    let mut daemon = network.hypernodes[index].daemon.take().unwrap();
    daemon.kill9();
}

#[test]
fn who_is_absent_loses_its_say_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan {
        absent_epochs: ALLOWED,
        ..Plan::SHORT
    };
    // Stakes of 40, 25, 20 and 15.
    let mut network = network(dir.path(), plan);
    let id = network.hypernodes[WHO].id;
    kill(&mut network, WHO);
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_absent(&network, &id) {
        assert!(Instant::now() < deadline, "nobody told the contract");
        std::thread::sleep(Duration::from_millis(300));
    }
    // Told in the epoch that is running or the next, of which stakes are fixed two ahead.
    let next = network.status().unwrap()["next_epoch"].as_u64().unwrap();
    assert_eq!(
        next,
        u64::from(ALLOWED),
        "by the root of the last one missed"
    );
    let without = next + 3;
    resolved(&network, without - 1);

    // 55 of 100 were too little; now they are 55 of 75.
    kill(&mut network, ALSO);
    let key = network
        .dir
        .join("keys")
        .join(&network.hypernodes[WHO].label);
    network.ledger_command("come-back", &key, &[]).unwrap();
    assert!(!is_absent(&network, &id));
    resolved(&network, without);

    // Both run again; the one has to learn four epochs that it missed.
    network.start_hypernodes().unwrap();
    // Audits want whole region periods, of two epochs.
    let last = (without + 4) | 1;
    resolved(&network, last);
    all_pass(&verdicts(&network, last));
    assert!(!is_absent(&network, &id));
    reproduced(&mut network, last);
    let reported = |epoch| {
        let path = layout::report(Epoch(epoch), &id);
        network.dir.join("parts/ledger").join(path).exists()
    };
    assert!((0..=without).all(|epoch| !reported(epoch)));
    assert!(reported(last), "it has a say again");
}
