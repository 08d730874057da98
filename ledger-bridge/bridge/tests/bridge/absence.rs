//! HyperNodes that nobody hears of: they leave the committee, so that what is left of the stake is enough again, and come
//! back when they ask to.

use assay_bridge::poster::Poster;
use assay_ledger::Action;
use assay_protocol::ids::Stake;

use crate::network::{HyperNode, Network, PLAN, complete, computed_again};

/// A network of stakes 40, 25, 20 and 15 that lets HyperNodes go after two epochs.
fn network() -> Network {
    let plan = PLAN.replace("absent_epochs = 0", "absent_epochs = 2");
    Network::open_at(1_800_000_000_000, &plan)
}

/// Completes epochs until this HyperNode has a say, or has none.
fn until(net: &Network, poster: &mut Poster, of: &HyperNode, has_say: bool) {
    let mut epochs = 0;
    loop {
        let history = poster.history();
        let roster = history.roster(history.next()).cloned();
        if roster.is_some_and(|roster| roster.weights().contains_key(&of.id()) == has_say) {
            return;
        }
        assert!(epochs < 9, "nothing changes");
        complete(net, poster);
        epochs += 1;
    }
}

#[test]
fn who_is_silent_loses_its_say_and_not_its_stake_and_the_rest_is_enough_without_it() {
    let mut net = network();
    let mut poster = net.poster();
    let silent = net.hypernodes.remove(1);
    let record = |net: &Network| net.ledger().hypernodes().unwrap()[1].clone();
    let stake = record(&net).stake;
    complete(&net, &mut poster);
    assert!(!record(&net).absent, "one epoch is none");
    complete(&net, &mut poster);
    assert!(record(&net).absent, "a bridge tells the contract at once");
    assert_eq!(
        (record(&net).stake, record(&net).unbonding),
        (stake, Stake(0))
    );
    until(&net, &mut poster, &silent, false);

    // Two of four are left, with 55 of 100: not enough before, enough now.
    let also = net.hypernodes.remove(2);
    let (signed, total) = complete(&net, &mut poster);
    assert!(
        signed < total && signed * 3 > total * 2,
        "{signed} of {total}"
    );
    net.hypernodes.push(also);

    // It comes back, and counts again.
    net.ledger()
        .submit(&silent.ledger, &Action::come_back())
        .unwrap();
    assert!(!record(&net).absent);
    until(&net, &mut poster, &silent, true);
    net.hypernodes.insert(1, silent);
    let (signed, total) = complete(&net, &mut poster);
    assert_eq!(signed, total);
    for _ in 0..3 {
        complete(&net, &mut poster);
    }
    assert!(!record(&net).absent);

    // Whoever computes all of it again comes to the same roots.
    let again = computed_again(&net, &poster);
    assert_eq!(again.history().states(), poster.history().states());
}

#[test]
fn nobody_goes_when_too_few_would_be_left_for_a_panel() {
    let mut net = network();
    let mut poster = net.poster();
    let silent = net.hypernodes.remove(3);
    until(&net, &mut poster, &silent, false);
    // A panel has three.
    net.hypernodes.remove(2);
    for _ in 0..4 {
        complete(&net, &mut poster);
    }
    let absent: Vec<bool> = net
        .ledger()
        .hypernodes()
        .unwrap()
        .iter()
        .map(|h| h.absent)
        .collect();
    assert_eq!(absent, [false, false, false, true]);
}
