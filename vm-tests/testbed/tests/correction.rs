//! The worst that can happen to a network: a root that is wrong, with valid signatures of everybody. HyperNodes recompute it,
//! sign another one, and go on; nobody's money moves by the wrong one.

use assay_aggregate::root::EpochRoot;
use assay_ledger::rpc::RpcChain;
use assay_ledger::{Action, AssayLedger, LedgerKey};
use assay_protocol::ids::{Digest, Epoch, Keccak};
use assay_testbed::net::{LocalNetwork, Plan, sleep_until};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod network;
use network::{all_pass, network, reproduced, resolved};

const WRONG: Epoch = Epoch(1);

fn ledger(network: &LocalNetwork) -> AssayLedger {
    let chain = RpcChain::connect(&network.rpc).unwrap();
    AssayLedger::at(Arc::new(chain), network.params.contract).unwrap()
}

fn key(network: &LocalNetwork, name: &str) -> LedgerKey {
    LedgerKey::from_file(&network.dir.join("keys").join(name)).unwrap()
}

/// Posts a root that no report gives, about no list that anybody has agreed on.
fn post_wrong(network: &LocalNetwork, ledger: &AssayLedger) -> EpochRoot {
    let committee = ledger.committee_hash().unwrap();
    let before = ledger.epoch_record(Epoch(WRONG.0 - 1)).unwrap();
    let wrong = EpochRoot {
        network: network.id(),
        epoch: WRONG,
        round: 0,
        input_set: Digest([1; 32]),
        committee,
        root: Keccak([2; 32]),
        leaf_count: 3,
        evidence_root: Digest([4; 32]),
        policy_digest: Digest([5; 32]),
        cumulative_reward: before.cumulative_reward.0,
        next_committee: committee,
    };
    let digest = wrong.digest(network.params.chain_id, &network.params.contract);
    let keys = network.hypernodes.iter().map(|h| key(network, &h.label));
    let keys: Vec<LedgerKey> = keys.collect();
    let members = ledger.committee_of(WRONG).unwrap();
    let signature = |address| {
        let signer = keys.iter().find(|key| key.address() == address)?;
        Some(signer.sign_digest(&digest).unwrap())
    };
    let signatures = members.members().iter().map(|m| signature(m.address));
    let signatures: Vec<_> = signatures.collect();
    let post = Action::post_root(&wrong, &members, &signatures);
    ledger.submit(&key(network, "deployer"), &post).unwrap();
    wrong
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
    sleep_until(network.params.epoch_end(WRONG));
    let ledger = ledger(&network);
    // In whole seconds of block time, before any HyperNode may reveal.
    std::thread::sleep(Duration::from_millis(1_000));
    let wrong = post_wrong(&network, &ledger);
    let posted = ledger.epoch_record(WRONG).unwrap();
    assert_eq!((posted.root, posted.corrections), (wrong.root, 0));

    let deadline = Instant::now() + Duration::from_millis(4 * plan.epoch_ms);
    while ledger.epoch_record(WRONG).unwrap().corrections == 0 {
        assert!(Instant::now() < deadline, "nobody has corrected it");
        std::thread::sleep(Duration::from_millis(300));
    }
    let corrected = ledger.epoch_record(WRONG).unwrap();
    assert_eq!(corrected.round, 1);
    let last = WRONG.0 + 2;
    resolved(&network, last);
    all_pass(&network, last);
    let later = ledger.epoch_record(Epoch(last)).unwrap();
    assert_eq!((later.round, later.corrections), (1, 0));
    reproduced(&mut network, last);

    // Whoever signed what was wrong answers for it, also when the keys were stolen.
    let epoch = WRONG.to_string();
    let deployer = network.dir.join("keys/deployer");
    let convict = || network.ledger_command("convict-roots", &deployer, &["--epoch", &epoch]);
    let proofs = |said: &str| -> Vec<Value> {
        let said: Value = serde_json::from_str(said).unwrap();
        said["proofs"].as_array().unwrap().clone()
    };
    let convicted = proofs(&convict().unwrap());
    assert_eq!(convicted.len(), network.hypernodes.len());
    assert!(
        convicted.iter().all(|proof| proof["tx"].is_string()),
        "{convicted:?}"
    );
    assert!(ledger.hypernodes().unwrap().iter().all(|h| h.jailed));
    let again = proofs(&convict().unwrap());
    assert!(
        again.iter().all(|proof| proof["before"] == true),
        "{again:?}"
    );
}
