//! Roots that are replaced, and what the ledger says became of an epoch.

use assay_aggregate::root::EpochRoot;
use assay_ledger::abi::AssayFaults;
use assay_ledger::{Action, AssayLedger, Resolution, Resolved};
use assay_protocol::ids::{Epoch, Keccak, Stake};

use crate::network::*;

const ROOT: Keccak = Keccak([9; 32]);
const BETTER: Keccak = Keccak([8; 32]);

fn posted(root: &EpochRoot) -> Resolved {
    Resolved::Posted(Box::new(*root))
}

fn better(root: &EpochRoot, round: u32) -> EpochRoot {
    EpochRoot {
        root: BETTER,
        round,
        ..*root
    }
}

/// Every epoch up to 4, asked in this order by one client and by one that was never asked before.
fn all(net: &Network, client: &AssayLedger, order: [u64; 5]) -> Vec<(u64, Resolved)> {
    let mut told: Vec<(u64, Resolved)> = order
        .into_iter()
        .map(|epoch| {
            let resolved = client.resolved(Epoch(epoch)).unwrap();
            let fresh = AssayLedger::at(net.chain.clone(), net.ledger.contract()).unwrap();
            assert_eq!(fresh.resolved(Epoch(epoch)).unwrap(), resolved, "{epoch}");
            (epoch, resolved)
        })
        .collect();
    told.sort_by_key(|(epoch, _)| *epoch);
    told
}

#[test]
fn what_became_of_an_epoch_is_told_from_its_last_event() {
    let net = Network::ready();
    let client = AssayLedger::at(net.chain.clone(), net.ledger.contract()).unwrap();
    let told = |order| all(&net, &client, order).into_iter().map(|(_, r)| r);
    let expect = |order, expected: [&Resolved; 5]| {
        let actual: Vec<Resolved> = told(order).collect();
        assert_eq!(actual.iter().collect::<Vec<_>>(), expected);
    };
    let (open, void) = (Resolved::Open, Resolved::Void);
    expect([4, 3, 2, 1, 0], [&open; 5]);

    let first = net.root(0, ROOT);
    net.post(&first, &[0, 1, 2]).unwrap();
    expect(
        [0, 1, 2, 3, 4],
        [&posted(&first), &open, &open, &open, &open],
    );
    net.clock.set(GENESIS_MS + 2 * EPOCH_MS + VOID_AFTER_MS);
    net.does(&deployer(), &Action::post_void(Epoch(1))).unwrap();
    let second = net.root(2, ROOT);
    net.post(&second, &[0, 1, 2]).unwrap();
    net.finish(3);
    let third = net.root(3, ROOT);
    net.post(&third, &[0, 1, 2]).unwrap();
    let (p0, p2, p3) = (posted(&first), posted(&second), posted(&third));
    expect([3, 0, 2, 1, 4], [&p0, &void, &p2, &p3, &open]);

    // Epoch 2 is replaced: 3 is open again, whatever was seen of it.
    net.does(&provider(), &Action::dispute(Epoch(2), BOND))
        .unwrap();
    let corrected = better(&second, 1);
    net.correct(&corrected, &[0, 1, 2, 3]).unwrap();
    let c2 = posted(&corrected);
    expect([3, 2, 0, 1, 4], [&p0, &void, &c2, &open, &open]);
    let record = net.ledger.epoch_record(Epoch(2)).unwrap();
    assert_eq!((record.corrections, record.round), (1, 1));

    // And it is posted again, in a higher round, as another one.
    refused(net.post(&third, &[0, 1, 2]), "RoundTooLow");
    let again = better(&third, 1);
    net.post(&again, &[0, 1, 2]).unwrap();
    let p3 = posted(&again);
    expect([0, 3, 1, 2, 4], [&p0, &void, &c2, &p3, &open]);
    expect([4, 3, 2, 1, 0], [&p0, &void, &c2, &p3, &open]);
}

#[test]
fn an_undone_epoch_can_be_void_the_second_time() {
    let net = Network::ready();
    let first = net.root(0, ROOT);
    net.post(&first, &[0, 1, 2]).unwrap();
    net.clock.set(GENESIS_MS + 2 * EPOCH_MS - 1_000);
    net.does(&provider(), &Action::dispute(Epoch(0), BOND))
        .unwrap();
    net.finish(1);
    let second = net.root(1, ROOT);
    net.post(&second, &[0, 1, 2]).unwrap();
    assert_eq!(net.ledger.resolved(Epoch(1)).unwrap(), posted(&second));
    net.correct(&better(&first, 1), &[0, 1, 2, 3]).unwrap();
    assert_eq!(net.ledger.resolved(Epoch(1)).unwrap(), Resolved::Open);
    assert_eq!(net.ledger.next_epoch().unwrap(), Epoch(1));
    let open = net.ledger.epoch_record(Epoch(1)).unwrap();
    assert_eq!(open.resolution, Resolution::Open);
    let void = Action::post_void(Epoch(1));
    refused(net.does(&deployer(), &void), "VoidTooEarly");
    net.clock.set(GENESIS_MS + 2 * EPOCH_MS + VOID_AFTER_MS);
    net.does(&deployer(), &void).unwrap();
    assert_eq!(net.ledger.resolved(Epoch(1)).unwrap(), Resolved::Void);
}

#[test]
fn a_correction_upholds_the_dispute_and_its_bond_goes_back() {
    let net = Network::ready();
    let wrong = EpochRoot {
        cumulative_reward: 900,
        ..net.root(0, ROOT)
    };
    net.post(&wrong, &[0, 1, 2]).unwrap();
    let before = net.tokens(&provider());
    net.does(&provider(), &Action::dispute(Epoch(0), BOND))
        .unwrap();
    let corrected = EpochRoot {
        cumulative_reward: 400,
        ..better(&wrong, 1)
    };
    net.correct(&corrected, &[0, 1, 2]).unwrap();
    let record = net.ledger.epoch_record(Epoch(0)).unwrap();
    assert_eq!(record.cumulative_reward, Stake(400));
    net.does(&deployer(), &Action::close_dispute(Epoch(0)))
        .unwrap();
    assert_eq!(net.tokens(&provider()), before);
    assert_eq!(net.tokens(&treasury()), 0);
}

/// What was replaced is the digest that HyperNodes signed, so their own signatures convict them of it.
#[test]
fn who_signed_a_replaced_root_can_be_convicted() {
    let net = Network::ready();
    let first = net.root(0, ROOT);
    net.post(&first, &[0, 1, 2]).unwrap();
    let convict = |root: &EpochRoot| {
        let (r, signature) = signed_by(&net, root, 0);
        AssayFaults::wrongRootCall { r, signature }
    };
    let faults = net.ledger.contracts().faults;
    let met = net.meets(&builder(), faults, &convict(&first));
    assert_eq!(met, "NotReplaced");
    let corrected = better(&first, 1);
    net.correct(&corrected, &[0, 1, 2]).unwrap();
    net.calls(&builder(), faults, &convict(&first));
    let guilty = &net.ledger.hypernodes().unwrap()[0];
    assert_eq!((guilty.stake, guilty.jailed), (Stake(20), true), "half");
    let met = net.meets(&builder(), faults, &convict(&corrected));
    assert_eq!(met, "NotReplaced");
}

/// Nobody has to keep signatures: who signed what is in the transactions.
#[test]
fn who_signed_a_replaced_root_is_read_from_the_ledger() {
    let net = Network::ready();
    let first = net.root(0, ROOT);
    net.post(&first, &[0, 1, 2]).unwrap();
    assert_eq!(net.ledger.replaced_roots(Epoch(0)).unwrap(), []);
    net.clock.set(GENESIS_MS + 2 * EPOCH_MS - 1_000);
    net.does(&provider(), &Action::dispute(Epoch(0), BOND))
        .unwrap();
    net.finish(1);
    let second = net.root(1, ROOT);
    net.post(&second, &[0, 1, 2]).unwrap();
    let corrected = better(&first, 1);
    net.correct(&corrected, &[0, 1, 2, 3]).unwrap();
    net.correct(&better(&first, 2), &[1, 2, 3, 0]).unwrap();

    // What was undone and not replaced is nobody's fault.
    assert_eq!(net.ledger.replaced_roots(Epoch(1)).unwrap(), []);
    let replaced = net.ledger.replaced_roots(Epoch(0)).unwrap();
    let roots: Vec<EpochRoot> = replaced.iter().map(|wrong| wrong.root).collect();
    assert_eq!(roots, [first, corrected]);
    for (wrong, signers) in replaced.iter().zip([3, 4]) {
        let mut expected: Vec<_> = (0..signers).map(|n| hypernode(n).address()).collect();
        expected.sort();
        let found: Vec<_> = wrong.signatures.iter().map(|(who, _)| *who).collect();
        assert_eq!(found, expected);
    }
    for (account, signature) in &replaced[0].signatures {
        let proof = Action::convict_of_root(&replaced[0].root, signature);
        net.does(&builder(), &proof).unwrap();
        let all = net.ledger.hypernodes().unwrap();
        let guilty = all.iter().find(|h| h.address == *account).unwrap();
        assert!(guilty.jailed, "{guilty:?}");
        refused(net.does(&builder(), &proof), "AlreadyProven");
    }
}

/// A slash that a replaced root asked for goes back to the pledge; the next leaf starts from the right sums.
#[test]
fn what_a_replaced_root_slashed_goes_back() {
    let net = Network::active();
    let mut breach = leaf(1);
    (breach.verdict, breach.cumulative_slash) = (3, 150);
    let tree = tree_of(&[breach.hash()]);
    let root = net.root(1, tree.root());
    net.post(&root, &[0, 1, 2]).unwrap();
    let settle = Action::settle(&breach, &proof_of(&breach));
    net.does(&deployer(), &settle).unwrap();
    let node = &net.ledger.nodes().unwrap()[0];
    assert_eq!((node.collateral, node.escrow), (Stake(350), Stake(150)));
    let corrected = EpochRoot {
        root: tree_of(&[leaf(1).hash()]).root(),
        ..better(&root, 1)
    };
    net.correct(&corrected, &[0, 1, 2]).unwrap();
    refused(net.does(&deployer(), &settle), "BadProof");
    let settle = Action::settle(&leaf(1), &proof_of(&leaf(1)));
    net.does(&deployer(), &settle).unwrap();
    let node = &net.ledger.nodes().unwrap()[0];
    assert_eq!((node.collateral, node.escrow), (Stake(500), Stake(0)));
    assert_eq!(node.cumulative_slash, Stake(0));
}
