//! A machine is sold: its owner offers the node, the buyer accepts and boots the machine under its own name, a root hands it
//! over, and the buyer earns. The bundle of all that is reproduced.

use assay_protocol::ids::Address;
use assay_testbed::net::{LocalNetwork, Plan, free_port};
use serde_json::Value;
use std::time::{Duration, Instant};

mod network;
use network::{all_pass, network, reproduced, resolved, verdicts, verdicts_so_far};

/// The account that may join as a HyperNode, and buys a node instead.
const BUYER: &str = "hypernode-5";

fn next_epoch(network: &LocalNetwork) -> u64 {
    network.status().unwrap()["next_epoch"].as_u64().unwrap()
}

/// Waits until the ledger has this owner confirmed.
fn owned_by(network: &LocalNetwork, owner: &Address) {
    let deadline = Instant::now() + Duration::from_secs(240);
    let is_owned = || {
        let status = network.status().unwrap();
        let nodes = status["nodes"].as_array().unwrap();
        nodes
            .iter()
            .any(|node| node["confirmed_owner"] == owner.to_string())
    };
    while !is_owned() {
        assert!(Instant::now() < deadline, "{owner} is not confirmed");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn owner_of(verdict: &Value) -> (u64, &str) {
    let epoch = verdict["epoch"].as_u64().unwrap();
    (epoch, verdict["owner"].as_str().unwrap())
}

#[test]
fn a_node_that_was_offered_goes_to_who_accepts_it_and_runs_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = network(dir.path(), Plan::SHORT);
    let keys = network.dir.join("keys");
    let (seller, key) = (network.scalers[0].provider, keys.join(BUYER));
    let buyer = std::fs::read_to_string(key.with_extension("address")).unwrap();
    let buyer: Address = buyer.trim().parse().unwrap();
    let node = network.scalers[0].node.unwrap().to_string();
    let endpoint = format!("127.0.0.1:{}", free_port().unwrap());
    owned_by(&network, &seller);

    let take = [
        "--node",
        &node,
        "--endpoint",
        &endpoint,
        "--collateral-gwei",
        "10000000000",
    ];
    let early = network.ledger_command("take-over", &key, &take);
    let early = format!("{:#}", early.unwrap_err());
    assert!(early.contains("NotOffered"), "{early}");
    let (from, to) = (keys.join("provider-only"), buyer.to_string());
    let offer = ["--node", &node, "--to", &to];
    network.ledger_command("hand-over", &from, &offer).unwrap();
    network.ledger_command("take-over", &key, &take).unwrap();
    let status = network.status().unwrap();
    let mut nodes = status["nodes"].as_array().unwrap().iter();
    let accepted = |node: &&Value| node["offered_by"] == seller.to_string();
    assert_eq!(nodes.find(accepted).unwrap()["provider"], to);

    // The delay is one epoch; the machine boots under its new owner's name meanwhile.
    let accepted = next_epoch(&network);
    let moves = |network: &LocalNetwork, endpoint: &str| {
        let args = ["--node", &node, "--endpoint", endpoint];
        network
            .ledger_command("set-endpoint", &from, &args)
            .unwrap();
    };
    moves(&network, &endpoint);
    let programs = network.programs.clone();
    let scaler = &mut network.scalers[0];
    (scaler.provider, scaler.endpoint) = (buyer, endpoint.clone());
    scaler.reboot(&programs).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while owner_of(verdicts_so_far(&network).last().unwrap()).1 != to {
        assert!(Instant::now() < deadline, "no root names {to}");
        std::thread::sleep(Duration::from_millis(300));
    }
    // The seller is asked no more: where nobody answers, nobody is accused.
    std::thread::sleep(Duration::from_secs(3));
    moves(&network, "127.0.0.1:9");
    owned_by(&network, &buyer);
    let last = (next_epoch(&network) + 1) | 1;
    resolved(&network, last);

    let verdicts = verdicts(&network, last);
    let owners: Vec<(u64, &str)> = verdicts.iter().map(owner_of).collect();
    let (seller, buyer) = (seller.to_string(), buyer.to_string());
    let sold = owners.iter().position(|(_, owner)| *owner == buyer);
    let sold = sold.unwrap_or_else(|| panic!("{owners:?}"));
    assert!(owners[..sold].iter().all(|(_, owner)| *owner == seller));
    assert!(owners[sold..].iter().all(|(_, owner)| *owner == buyer));
    assert!(owners[sold].0 > accepted, "{owners:?}");
    all_pass(&verdicts[sold + 1..]);
    let earned = network.rewards().unwrap();
    let has = |who: &str| earned.iter().any(|row| row["provider"] == who);
    assert!(has(&seller) && has(&buyer), "{earned:?}");
    reproduced(&mut network, last);
}
