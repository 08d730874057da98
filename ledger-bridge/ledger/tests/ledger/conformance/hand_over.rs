//! A node from one provider to another; which registrations count in an epoch is the same for whoever asks later.

use assay_aggregate::epoch::{Registration, Standing};
use assay_aggregate::root::NodeLeaf;
use assay_ledger::{Action, is_owing};
use assay_protocol::ids::{Address, Epoch, Stake, UnixMs};
use std::collections::BTreeMap;

use super::rent;
use crate::network::*;

/// The node of `active` in another provider's hands by a leaf of epoch 4, which is final in epoch 6.
#[test]
fn a_hand_over_does_not_change_who_owed_service_in_epochs_that_have_begun() {
    let net = rent::offered().enriched(&other_provider());
    assert_eq!(rent::open_offers(&net).len(), 1);
    accepted(&net);
    assert_eq!(rent::open_offers(&net), [], "nothing new while it is sold");
    let theirs = NodeLeaf {
        owner: other_provider().address(),
        ..leaf(4)
    };
    for epoch in 1..4 {
        net.post_tree(epoch, &[leaf(epoch).hash()]);
    }
    net.post_tree(4, &[theirs.hash()]);
    net.finish(5);
    let owing = || {
        let nodes = net.ledger.nodes().unwrap();
        let in_epoch = |epoch| nodes.iter().map(move |n| is_owing(n, Epoch(epoch)));
        [4, 5, 6].map(|epoch| in_epoch(epoch).collect::<Vec<bool>>())
    };
    let before = owing();
    let (one, other) = (provider().address(), other_provider().address());
    let early = [(one, Standing::Owner)];
    let offered = [(one, Standing::Owner), (other, Standing::Offered)];
    assert_eq!(standings(&net, 3), early, "before the delay is over");
    for epoch in [4, 5, 6] {
        assert_eq!(standings(&net, epoch), offered);
    }
    let confirm = Action::confirm(&theirs, &proof_of(&theirs));
    net.does(&deployer(), &confirm).unwrap();
    let owner = net.ledger.nodes().unwrap()[1].confirmed_owner;
    assert_eq!(owner, Some(other_provider().address()));
    assert_eq!(owing(), before, "epochs 4 and 5 are over, 6 has begun");
    assert_eq!(rent::open_offers(&net), [], "the offer was the seller's");
    net.does(&other_provider(), &Action::offer(&rent::offer(7)))
        .unwrap();
    assert_eq!(rent::open_offers(&net)[0].1.price, Stake(7));
    assert_eq!(standings(&net, 3), early);
    assert_eq!(standings(&net, 6), offered);
    net.finish(6);
    assert_eq!(standings(&net, 7), [(other, Standing::Owner)]);
    assert_eq!(standings(&net, 6), offered, "for ever");
}

/// The owner of `active` takes its offer back in epoch 5, when the other could be named since 4.
#[test]
fn an_offer_taken_back_counts_through_the_running_epoch_and_the_other_gets_its_pledge() {
    let net = Network::active().enriched(&other_provider());
    let before = net.tokens(&other_provider());
    accepted(&net);
    net.finish(4);
    let back = Action::offer_node(NODE, None);
    refused(net.does(&other_provider(), &back), "OnlyOwner");
    net.does(&provider(), &back).unwrap();
    net.finish(5);
    let (one, other) = (provider().address(), other_provider().address());
    let offered = [(one, Standing::Owner), (other, Standing::Offered)];
    assert_eq!(standings(&net, 5), offered);
    assert_eq!(standings(&net, 6), [(one, Standing::Owner)]);
    let again = Action::accept_node(NODE, "127.0.0.1:7001", Stake(500));
    refused(net.does(&other_provider(), &again), "NotOffered");
    assert_eq!(net.tokens(&other_provider()), before - 500);
    let cancel = Action::cancel_registration(NODE);
    net.does(&other_provider(), &cancel).unwrap();
    assert_eq!(net.tokens(&other_provider()), before);
}

/// The node of `active`, offered to the other provider, which pledges for it.
fn accepted(net: &Network) {
    let accept = Action::accept_node(NODE, "127.0.0.1:7001", Stake(500));
    refused(net.does(&other_provider(), &accept), "NotOffered");
    let offer = Action::offer_node(NODE, Some(other_provider().address()));
    refused(net.does(&other_provider(), &offer), "OnlyOwner");
    net.does(&provider(), &offer).unwrap();
    let less = Action::accept_node(NODE, "127.0.0.1:7001", Stake(99));
    refused(net.does(&other_provider(), &less), "PledgeTooSmall");
    net.does(&other_provider(), &accept).unwrap();
}

/// The providers whose registrations count in an epoch, and how.
fn standings(net: &Network, epoch: u64) -> Vec<(Address, Standing)> {
    let start = UnixMs(GENESIS_MS + epoch * EPOCH_MS);
    let claims = net.ledger.claims(Epoch(epoch), start, &BTreeMap::new());
    let of = |claim: &Registration| (claim.provider, claim.standing);
    claims.unwrap().iter().map(of).collect()
}
