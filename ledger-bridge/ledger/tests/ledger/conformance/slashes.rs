//! What a breach takes of a pledge, and where it goes.

use assay_aggregate::root::NodeLeaf;
use assay_ledger::{Action, NodeRecord, NodeStatus};
use assay_protocol::ids::Stake;

use crate::network::*;

fn node(net: &Network) -> NodeRecord {
    net.ledger.nodes().unwrap().remove(0)
}

fn breach(epoch: u64, cumulative_slash: u128) -> NodeLeaf {
    NodeLeaf {
        verdict: 3,
        cumulative_slash,
        ..leaf(epoch)
    }
}

#[test]
fn a_slash_waits_in_escrow_until_its_epoch_is_final() {
    let net = Network::active();
    net.conclude(&breach(1, 150)).unwrap();
    let slashed = node(&net);
    assert_eq!(
        (slashed.pledged, slashed.collateral),
        (Stake(500), Stake(350))
    );
    assert_eq!((slashed.escrow, slashed.slashed), (Stake(150), Stake(0)));
    assert_eq!(slashed.cumulative_slash, Stake(150));
    assert_eq!(slashed.status, NodeStatus::Warned);
    let owner = provider().address();
    assert_eq!(net.ledger.pending_releases(NODE, owner).unwrap(), 1);
    let release = || net.does(&builder(), &Action::release(NODE, owner));
    refused(release(), "NothingToRelease");
    net.finish(2);
    release().unwrap();
    let released = node(&net);
    assert_eq!((released.escrow, released.slashed), (Stake(0), Stake(150)));
    assert_eq!(released.collateral, Stake(350));
    assert_eq!(net.ledger.pending_releases(NODE, owner).unwrap(), 0);
    // A quarter is the Builder's; nobody had reserved it, so it waits for the treasury.
    assert_eq!(net.tokens(&treasury()), 113);
    let waiting = |key: &assay_ledger::LedgerKey| net.ledger.rent_balance(key.address()).unwrap().0;
    assert_eq!(waiting(&treasury()), 37);
    refused(release(), "NothingToRelease");
}

#[test]
fn caps_bound_what_an_epoch_and_what_all_of_them_take() {
    let net = Network::active();
    net.conclude(&breach(1, 10_000)).unwrap();
    let first = node(&net);
    assert_eq!((first.collateral, first.escrow), (Stake(300), Stake(200)));
    // What a cap spared is not asked for again.
    net.conclude(&breach(2, 10_001)).unwrap();
    assert_eq!(node(&net).collateral, Stake(299));
    assert_eq!(node(&net).status, NodeStatus::Suspended);
    net.conclude(&breach(3, u128::MAX)).unwrap();
    let most = node(&net);
    assert_eq!((most.collateral, most.escrow), (Stake(100), Stake(400)));
    assert_eq!(most.cumulative_slash, Stake(u128::MAX));
}

#[test]
fn a_node_below_its_class_s_least_is_suspended_until_it_is_topped_up() {
    let net = Network::open(&STAKES).enriched(&provider());
    net.set_class(CLASS);
    net.does(&provider(), &Action::register_node(&new_node(100)))
        .unwrap();
    net.conclude(&leaf(0)).unwrap();
    net.finish(1);
    let confirm = Action::confirm(&leaf(0), &proof_of(&leaf(0)));
    net.does(&deployer(), &confirm).unwrap();
    net.conclude(&breach(1, 70)).unwrap();
    assert_eq!(node(&net).status, NodeStatus::Suspended);
    assert_eq!(node(&net).collateral, Stake(30));
    let pass = NodeLeaf {
        verdict: 1,
        ..breach(2, 70)
    };
    net.does(&provider(), &Action::top_up(NODE, Stake(50)))
        .unwrap();
    net.conclude(&pass).unwrap();
    assert_eq!(node(&net).status, NodeStatus::Warned);
}

#[test]
fn who_has_something_in_escrow_does_not_leave() {
    let net = Network::active();
    net.conclude(&breach(1, 10)).unwrap();
    net.does(&provider(), &Action::request_exit(NODE)).unwrap();
    let exit = Action::exit(NODE, provider().address());
    refused(net.does(&provider(), &exit), "EscrowPending");
}
