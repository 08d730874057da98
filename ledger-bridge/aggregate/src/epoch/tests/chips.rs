//! Which processors a node is bound to.

use super::*;

const EVERYBODY: [usize; 4] = [0, 1, 2, 3];
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
fn a_node_is_bound_to_the_processors_that_more_than_half_of_those_who_saw_it_have_seen_proven() {
    let mut first = case(&[(None, Some(MINE))]);
    assert_eq!(judged(&first), [(PASS, Some(MINE))]);
    // 60 of 100, and 50 of 100.
    first.change(&[0], |report| report.attest.chips = None);
    assert_eq!(judged(&first), [(PASS, Some(MINE))]);
    first.change(&[0, 3], |report| report.attest.chips = Some(NEW));
    assert_eq!(judged(&first), [(PASS, Some(NEW))]);
    first.change(&[3], |report| report.attest.chips = None);
    assert_eq!(judged(&first), [(PASS, None)]);
    // Who says nothing of the node is not counted, as long as enough do.
    first.change(&[3], |report| report.attest.chips = Some(NEW));
    first.change(&[1], |report| {
        report.attest.class = OutcomeClass::Inconclusive
    });
    assert_eq!(judged(&first), [(PASS, Some(NEW))]);
    first.change(&[1, 2], |report| {
        report.attest.class = OutcomeClass::Inconclusive
    });
    assert_eq!(judged(&first)[0].1, None, "55 of 100 are not enough");
}

/// Else a machine would show its processors to some for one node and to others for the other.
#[test]
fn tier_3_is_only_there_with_processors() {
    let mut full = case(&[(None, Some(MINE))]);
    let tier = |case: &Case| case.leaf().tier;
    full.change(&EVERYBODY, |report| report.attest.tier = 3);
    assert_eq!(tier(&full), 3);
    full.change(&[0], |report| report.attest.chips = Some(NEW));
    assert_eq!(tier(&full), 3, "60 of 100 name them");
    full.change(&[1], |report| {
        report.attest.chips = Some(Digest([0xc2; 32]))
    });
    assert_eq!(tier(&full), 2);
    full.change(&EVERYBODY, |report| report.attest.chips = None);
    assert_eq!(tier(&full), 2);
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
    let paid = both.run().states.rewards;
    assert_eq!(paid, [(OWNER, REWARD)].into());
}

#[test]
fn nobody_is_confirmed_by_the_processors_of_another_node() {
    let mut squatting = case(&[(None, Some(MINE)), (None, Some(MINE))]);
    squatting.prior.nodes.remove(&node(1));
    // Also not when it comes first.
    let outcome = squatting.run();
    assert_eq!(outcome.states.nodes[&node(1)].confirmed_owner, None);
    assert!(!outcome.leaves[0].confirmed);
    assert_eq!(judged(&squatting), [(WARNED, None), (PASS, Some(MINE))]);
    show(&mut squatting, [Some(NEW), Some(MINE)].into_iter());
    let outcome = squatting.run();
    assert_eq!(outcome.states.nodes[&node(1)].confirmed_owner, Some(OWNER));
    assert_eq!(judged(&squatting)[0], (PASS, Some(NEW)));
}

/// Whoever has a processor can show it, and nobody keeps one from others that it does not show.
#[test]
fn processors_that_a_node_does_not_show_go_to_who_does() {
    let moved = case(&[(Some(MINE), None), (None, Some(MINE))]);
    assert_eq!(judged(&moved), [(PASS, None), (PASS, Some(MINE))]);
    let changed = case(&[(Some(MINE), Some(NEW)), (None, Some(MINE))]);
    assert_eq!(judged(&changed), [(WARNED, Some(NEW)), (PASS, Some(MINE))]);
}

#[test]
fn machines_that_swap_their_processors_lose_one_epoch() {
    for nodes in [2, 3] {
        let chips = |n: usize| Some(Digest([0xd0 + (n % nodes) as u8; 32]));
        let all: Vec<_> = (0..nodes).map(|n| (chips(n), chips(n + 1))).collect();
        let mut swapped = case(&all);
        let after: Vec<_> = (0..nodes).map(|n| (WARNED, chips(n + 1))).collect();
        assert_eq!(judged(&swapped), after);
        swapped.prior = swapped.run().states;
        let paid: Vec<_> = (0..nodes).map(|n| (PASS, chips(n + 1))).collect();
        assert_eq!(judged(&swapped), paid);
    }
}

#[test]
fn who_owes_no_service_keeps_no_processors() {
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
    let buyer = Address([0xbb; 20]);
    for (shown, after) in [(None, MINE), (Some(MINE), MINE), (Some(NEW), NEW)] {
        let mut sold = case(&[(Some(MINE), shown)]);
        sold.registrations[0].standing = Standing::Owner;
        sold.registrations.push(Registration {
            provider: buyer,
            standing: Standing::Offered,
            ..sold.registrations[0]
        });
        sold.change(&EVERYBODY, |report| report.attest.owner = Some(buyer));
        let state = sold.run().states.nodes[&node(1)];
        assert_eq!(
            (state.confirmed_owner, state.chips),
            (Some(buyer), Some(after))
        );
    }
}

#[test]
fn a_node_that_is_nobody_s_is_bound_to_nothing() {
    let mut unnamed = case(&[(None, Some(MINE))]);
    unnamed.prior = States::default();
    unnamed.change(&EVERYBODY, |report| report.attest.owner = None);
    assert_eq!(judged(&unnamed), [(PASS, None)]);
    // Nor is who comes after an owner that has gone warned for the processors of that one.
    let mut anew = case(&[(Some(MINE), Some(NEW))]);
    let next = Address([0xbb; 20]);
    anew.registrations[0].provider = next;
    anew.change(&EVERYBODY, |report| report.attest.owner = Some(next));
    assert_eq!(judged(&anew), [(PASS, Some(NEW))]);
}
