//! Which processors a node is bound to.

use super::*;

const MINE: Digest = Digest([0xc0; 32]);
const NEW: Digest = Digest([0xc1; 32]);
const WARNED: (u8, u8) = (Verdict::Warned as u8, reason::IDENTITY);
const PASS: (u8, u8) = (Verdict::Pass as u8, 0);

/// Nodes that are confirmed and bound to these, and now show those.
fn case(nodes: &[(Option<Digest>, Option<Digest>)]) -> Case {
    let mut case = Case::new();
    let of = |n: usize| node(n as u8 + 1);
    let waiting = case.registrations[0];
    let ids = 0..nodes.len();
    case.prior = confirmed(ids.clone().map(|n| (of(n), OWNER)));
    case.registrations = ids
        .clone()
        .map(|n| Registration {
            node: of(n),
            ..waiting
        })
        .collect();
    for ((bound, _), n) in nodes.iter().zip(ids.clone()) {
        case.prior.nodes.get_mut(&of(n)).unwrap().chips = *bound;
    }
    for n in 0..4 {
        case.report(n).nodes = ids.clone().map(|n| node_report(n as u8 + 1)).collect();
    }
    show(&mut case, nodes.iter().map(|(_, shown)| *shown));
    case
}

fn show(case: &mut Case, shown: impl Iterator<Item = Option<Digest>> + Clone) {
    for n in 0..4 {
        let nodes = &mut case.report(n).nodes;
        for (report, shown) in nodes.iter_mut().zip(shown.clone()) {
            report.attest.chips = shown;
        }
    }
}

/// Verdicts and processors after the epoch, in leaves and in states alike.
fn judged(case: &Case) -> Vec<((u8, u8), Option<Digest>)> {
    let outcome = case.run();
    let each = outcome.leaves.iter().zip(outcome.states.nodes.values());
    each.map(|(leaf, state)| {
        assert_eq!(leaf.chips, state.chips.unwrap_or(Digest([0; 32])));
        ((leaf.verdict, leaf.reasons), state.chips)
    })
    .collect()
}

#[test]
fn a_node_is_bound_to_the_first_processors_that_two_thirds_have_seen_proven() {
    let mut first = case(&[(None, Some(MINE))]);
    assert_eq!(judged(&first), [(PASS, Some(MINE))]);
    // 60 of 100.
    first.change(&[0], |report| report.attest.chips = None);
    assert_eq!(judged(&first), [(PASS, None)]);
    first.change(&[0], |report| report.attest.chips = Some(NEW));
    assert_eq!(judged(&first), [(PASS, None)]);
}

#[test]
fn a_node_stays_bound_while_it_shows_them_or_none_and_without_a_verdict() {
    for shown in [Some(MINE), None] {
        assert_eq!(judged(&case(&[(Some(MINE), shown)])), [(PASS, Some(MINE))]);
    }
    let mut unknown = case(&[(Some(MINE), Some(NEW))]);
    unknown.reports.clear();
    assert_eq!(judged(&unknown)[0].1, Some(MINE));
}

#[test]
fn other_processors_cost_an_epoch_and_are_the_node_s_from_the_next_one_on() {
    let mut changed = case(&[(Some(MINE), Some(NEW))]);
    assert_eq!(judged(&changed), [(WARNED, Some(NEW))]);
    let outcome = changed.run();
    assert_eq!(outcome.states.rewards, [].into());
    changed.prior = outcome.states;
    assert_eq!(judged(&changed), [(PASS, Some(NEW))]);
    assert_eq!(changed.run().states.rewards, [(OWNER, REWARD)].into());
}

#[test]
fn one_machine_is_not_paid_for_as_two() {
    // Whichever has them, by number.
    for at in [0, 1] {
        let mut nodes = [(None, Some(MINE)); 2];
        nodes[at].0 = Some(MINE);
        let both = judged(&case(&nodes));
        assert_eq!(both[at], (PASS, Some(MINE)));
        assert_eq!(both[1 - at], (WARNED, None));
        nodes[1 - at].0 = Some(NEW);
        assert_eq!(judged(&case(&nodes))[1 - at], (WARNED, Some(NEW)));
    }
    // Of two that show them for the first time.
    let both = case(&[(None, Some(MINE)); 2]);
    assert_eq!(judged(&both), [(PASS, Some(MINE)), (WARNED, None)]);
}

#[test]
fn nobody_is_confirmed_by_the_processors_of_another_node() {
    let mut squatting = case(&[(Some(MINE), None), (None, Some(MINE))]);
    squatting.prior.nodes.remove(&node(2));
    let outcome = squatting.run();
    assert_eq!(outcome.states.nodes[&node(2)].confirmed_owner, None);
    assert!(!outcome.leaves[1].confirmed);
    assert_eq!(judged(&squatting)[1], (WARNED, None));
    show(&mut squatting, [None, Some(NEW)].into_iter());
    let outcome = squatting.run();
    assert_eq!(outcome.states.nodes[&node(2)].confirmed_owner, Some(OWNER));
    assert_eq!(judged(&squatting)[1], (PASS, Some(NEW)));
}

#[test]
fn what_a_node_had_before_is_free_from_the_next_epoch_on() {
    for at in [0, 1] {
        let mut nodes = [(None, Some(MINE)); 2];
        nodes[at] = (Some(MINE), Some(NEW));
        let mut case = case(&nodes);
        assert_eq!(judged(&case)[1 - at], (WARNED, None));
        case.prior = case.run().states;
        assert_eq!(judged(&case)[1 - at], (PASS, Some(MINE)));
    }
}

#[test]
fn who_owes_no_service_keeps_no_processors_from_others() {
    let mut leaving = case(&[(Some(MINE), Some(MINE)), (None, Some(MINE))]);
    leaving.registrations[0].standing = Standing::Owner;
    assert_eq!(judged(&leaving)[1], (WARNED, None));
    leaving.registrations[0].standing = Standing::Leaving;
    let both = judged(&leaving);
    assert_eq!((both[0].1, both[1]), (None, (PASS, Some(MINE))));
    // Nor does who has gone.
    leaving.registrations.remove(0);
    assert_eq!(judged(&leaving)[1], (PASS, Some(MINE)));
    assert_eq!(judged(&leaving)[0].1, None);
}

#[test]
fn processors_go_with_a_node_that_is_handed_over() {
    let mut sold = case(&[(Some(MINE), Some(MINE))]);
    let buyer = Address([0xbb; 20]);
    sold.registrations[0].standing = Standing::Owner;
    sold.registrations.push(Registration {
        provider: buyer,
        standing: Standing::Offered,
        ..sold.registrations[0]
    });
    sold.change(&[0, 1, 2, 3], |report| report.attest.owner = Some(buyer));
    let state = sold.run().states.nodes[&node(1)];
    assert_eq!(
        (state.confirmed_owner, state.chips),
        (Some(buyer), Some(MINE))
    );
}
