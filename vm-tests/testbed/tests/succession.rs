//! HyperNodes come and go while a network runs: their weight comes and goes with their stake, agents answer who counts, and
//! the bundle of before and after is reproduced.

use assay_protocol::cose;
use assay_protocol::ids::{Epoch, HyperNodeId};
use assay_protocol::layout;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::report::{Cell, Report};
use assay_protocol::succession::Lineage;
use assay_testbed::net::{LocalNetwork, Plan};
use std::time::{Duration, Instant};

mod network;
use network::{all_pass, network, reproduced, resolved, verdicts};

/// What changes in epoch 0 counts from this one on.
const FROM: u64 = 2;

/// Whom the agent answers, by what HyperNodes have proven to it; waits until they have.
fn told(network: &LocalNetwork) -> Lineage {
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
    let mut network = network(dir.path(), Plan::SHORT);
    let key = network.dir.join("keys").join(&network.hypernodes[0].label);
    let whole = ["--gwei", "40000000000"];
    network.ledger_command("unstake", &key, &whole).unwrap();

    resolved(&network, FROM - 1);
    let agent = told(&network);
    network.hypernodes[0].daemon.as_mut().unwrap().kill9();
    resolved(&network, FROM + 1);

    all_pass(&verdicts(&network, FROM + 1));
    assert_eq!(agent.newest(), Epoch(FROM));
    for (number, hypernode) in network.hypernodes.iter().enumerate() {
        assert!(agent.answers(&hypernode.id, Epoch(FROM - 1)));
        assert_eq!(agent.answers(&hypernode.id, Epoch(FROM)), number != 0);
    }
    reproduced(&mut network, FROM + 1);
}

#[test]
fn who_registers_while_a_network_runs_has_a_say_and_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = network(dir.path(), Plan::SHORT);
    network.join(30).unwrap();
    let newcomer: HyperNodeId = network.hypernodes[4].id;
    assert!(network.params.member(&newcomer).is_none());
    let last = FROM + 1;
    resolved(&network, last);
    all_pass(&verdicts(&network, last));
    let agent = told(&network);
    assert_eq!(agent.newest(), Epoch(FROM));
    for hypernode in &network.hypernodes {
        assert!(agent.answers(&hypernode.id, Epoch(FROM)));
    }
    reproduced(&mut network, last);
    // It reported what it found, and others agreed to count that: the agent answered it.
    let agreed = |epoch| {
        let path = layout::report(Epoch(epoch), &newcomer);
        let bytes = std::fs::read(network.dir.join("parts/ledger").join(path)).ok()?;
        Some(
            cose::open::<Report>(&bytes, &newcomer.0)
                .unwrap()
                .into_payload(),
        )
    };
    assert!((0..FROM).all(|epoch| agreed(epoch).is_none()));
    let reports: Vec<Report> = (FROM..=last).filter_map(agreed).collect();
    let nodes = || reports.iter().flat_map(|report| &report.nodes);
    let answered = nodes().flat_map(|node| &node.cells.0);
    let answered = answered
        .filter(|cell| **cell == Cell::Answered as u8)
        .count();
    assert!(answered > 0, "{reports:?}");
    assert!(nodes().any(|node| node.attest.class == OutcomeClass::Pass));
}
