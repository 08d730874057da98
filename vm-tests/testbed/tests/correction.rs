//! The worst that can happen to a network: a root that is wrong, with valid signatures of everybody. HyperNodes recompute it,
//! sign another one, and go on; nobody's money moves by the wrong one.

use assay_aggregate::root::{Committee, EpochRoot};
use assay_ledger::rpc::RpcChain;
use assay_ledger::{Action, AssayLedger, LedgerKey};
use assay_protocol::ids::{Digest, Epoch, Keccak};
use assay_testbed::net::{LocalNetwork, Plan, sleep_until};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod network;
use network::{all_pass, network, reproduced, resolved, verdicts};

const WRONG: Epoch = Epoch(1);

fn ledger(network: &LocalNetwork) -> AssayLedger {
    let chain = RpcChain::connect(&network.rpc).unwrap();
    AssayLedger::at(Arc::new(chain), network.params.contract).unwrap()
}

fn key(network: &LocalNetwork, name: &str) -> LedgerKey {
    LedgerKey::from_file(&network.dir.join("keys").join(name)).unwrap()
}

/// A root that no report gives, about no list that anybody has agreed on.
fn wrong_root(network: &LocalNetwork, ledger: &AssayLedger, epoch: Epoch, round: u32) -> EpochRoot {
    let committee = ledger.committee_hash().unwrap();
    let before = ledger.epoch_record(Epoch(epoch.0 - 1)).unwrap();
    EpochRoot {
        network: network.id(),
        epoch,
        round,
        input_set: Digest([1; 32]),
        committee,
        root: Keccak([2; 32]),
        leaf_count: 3,
        evidence_root: Digest([4; 32]),
        policy_digest: Digest([5; 32]),
        cumulative_reward: before.cumulative_reward.0,
        next_committee: committee,
    }
}

/// A thief with everybody's keys signs a root and sends it.
fn send(
    network: &LocalNetwork,
    ledger: &AssayLedger,
    root: &EpochRoot,
    action: impl Fn(&EpochRoot, &Committee, &[Option<[u8; 65]>]) -> Action,
) {
    let digest = root.digest(network.params.chain_id, &network.params.contract);
    let keys = network.hypernodes.iter().map(|h| key(network, &h.label));
    let keys: Vec<LedgerKey> = keys.collect();
    let committee = ledger.committee_of(root.epoch).unwrap();
    let signature = |address| {
        let signer = keys.iter().find(|key| key.address() == address)?;
        Some(signer.sign_digest(&digest).unwrap())
    };
    let signatures = committee.members().iter().map(|m| signature(m.address));
    let signatures: Vec<_> = signatures.collect();
    let action = action(root, &committee, &signatures);
    ledger.submit(&key(network, "deployer"), &action).unwrap();
    let held = ledger.epoch_record(root.epoch).unwrap();
    assert_eq!((held.root, held.round), (root.root, root.round));
}

/// Waits until HyperNodes have replaced the wrong root of an epoch; the round that they did it in.
fn corrected(network: &LocalNetwork, ledger: &AssayLedger, wrong: &EpochRoot) -> u32 {
    let deadline = Instant::now() + Duration::from_millis(4 * network.params.epoch_ms);
    loop {
        let record = ledger.epoch_record(wrong.epoch).unwrap();
        if record.root != wrong.root {
            return record.round;
        }
        assert!(Instant::now() < deadline, "nobody has corrected it");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Whoever signed what was wrong answers for it, also when the keys were stolen.
fn all_are_convicted(network: &LocalNetwork, ledger: &AssayLedger, epoch: Epoch) {
    let (number, deployer) = (epoch.to_string(), network.dir.join("keys/deployer"));
    let proofs = || -> Vec<Value> {
        let said = network.ledger_command("convict-roots", &deployer, &["--epoch", &number]);
        let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
        said["proofs"].as_array().unwrap().clone()
    };
    let convicted = proofs();
    assert_eq!(convicted.len(), network.hypernodes.len());
    let by_now = |proof: &Value| proof["tx"].is_string();
    assert!(convicted.iter().all(by_now), "{convicted:?}");
    assert!(ledger.hypernodes().unwrap().iter().all(|h| h.jailed));
    let before = |proof: &Value| proof["before"] == true;
    assert!(proofs().iter().all(before));
}

#[test]
fn a_network_replaces_a_root_that_was_signed_with_everybody_s_stolen_keys() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan {
        dispute_window_epochs: 4,
        ..Plan::SHORT
    };
    let mut network = network(dir.path(), plan);
    resolved(&network, WRONG.0 - 1);
    let ledger = ledger(&network);
    sleep_until(network.params.epoch_end(WRONG));
    // In whole seconds of block time, before any HyperNode may reveal.
    std::thread::sleep(Duration::from_millis(1_000));
    let wrong = wrong_root(&network, &ledger, WRONG, 0);
    send(&network, &ledger, &wrong, Action::post_root);
    assert_eq!(corrected(&network, &ledger, &wrong), 1);

    // A right root that everybody has followed is replaced by a wrong one, and what was built on it is undone.
    let built_on = WRONG.0 + 2;
    resolved(&network, built_on);
    assert_eq!(ledger.epoch_record(Epoch(built_on)).unwrap().round, 1);
    let again = wrong_root(&network, &ledger, WRONG.next(), 2);
    send(&network, &ledger, &again, Action::correct);
    assert_eq!(ledger.next_epoch().unwrap(), Epoch(built_on));
    assert_eq!(corrected(&network, &ledger, &again), 3);
    let last = built_on + 1;
    resolved(&network, last);
    for epoch in built_on..=last {
        let record = ledger.epoch_record(Epoch(epoch)).unwrap();
        assert_eq!(record.round, 3, "epoch {epoch}");
    }
    all_pass(&verdicts(&network, last));
    // Regions are revealed every other epoch.
    reproduced(&mut network, built_on);
    all_are_convicted(&network, &ledger, WRONG);
}
