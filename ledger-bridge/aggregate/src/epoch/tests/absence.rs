//! Who is absent, through whole epochs.

use super::*;
use crate::root::AbsenceLeaf;

/// A network that lets HyperNodes go after so many agreed epochs.
fn network(absent_epochs: u32) -> Case {
    let mut case = Case::new();
    case.params.absent_epochs = absent_epochs;
    case.params.panel_min = 2;
    case
}

/// The outcomes of epochs in a row, of each who is not heard in it.
fn after(case: &Case, unheard: &[&[usize]]) -> EpochOutcome {
    let mut case = case.clone();
    let all = case.reports.clone();
    let mut outcome = None;
    for unheard in unheard {
        let silent: Vec<_> = unheard.iter().map(|n| hyper(*n)).collect();
        case.reports = all.clone();
        case.reports.retain(|id, _| !silent.contains(id));
        let next = case.run();
        case.prior = next.states.clone();
        outcome = Some(next);
    }
    outcome.unwrap()
}

fn gone(outcome: &EpochOutcome) -> Vec<(HyperNodeId, u32)> {
    let leaf = |leaf: &AbsenceLeaf| (leaf.hypernode, leaf.missed);
    outcome.absences.iter().map(leaf).collect()
}

#[test]
fn who_misses_as_many_epochs_in_a_row_as_the_network_allows_gets_a_leaf() {
    let case = network(3);
    assert_eq!(gone(&after(&case, &[&[3], &[3]])), []);
    let absent = after(&case, &[&[3], &[3], &[3]]);
    assert_eq!(gone(&absent), [(hyper(3), 3)]);
    assert_eq!(
        gone(&after(&case, &[&[3], &[3], &[3], &[3]])),
        [(hyper(3), 3)]
    );
    // One report is enough to begin anew.
    assert_eq!(gone(&after(&case, &[&[3], &[3], &[], &[3]])), []);
    let leaf = absent.absences[0].hash();
    let proof = absent.tree.proof(&leaf).unwrap();
    assert!(crate::root::verify_proof(&leaf, &proof, &absent.root.root));
    let present = after(&case, &[&[]]);
    assert_eq!(absent.root.leaf_count, present.root.leaf_count + 1);
}

#[test]
fn where_the_network_lets_nobody_go_nobody_has_a_leaf() {
    let absent = after(&network(0), &[&[3][..]; 9]);
    assert_eq!(gone(&absent), []);
    assert_eq!(absent.states.missed, [(hyper(3), 9)].into());
}

#[test]
fn nobody_goes_without_whom_the_rest_would_be_less_than_a_panel() {
    // Each HyperNode has an operator of its own.
    let mut case = network(1);
    case.params.panel_min = 3;
    assert_eq!(gone(&after(&case, &[&[3]])), [(hyper(3), 1)]);
    case.params.panel_min = 4;
    assert_eq!(gone(&after(&case, &[&[3]])), []);
    // Of two only one: who missed more, then the first by id.
    case.params.panel_min = 3;
    assert_eq!(gone(&after(&case, &[&[2, 3]])), [(hyper(2), 1)]);
    assert_eq!(gone(&after(&case, &[&[3], &[2, 3]])), [(hyper(3), 1)]);
    // Two of one operator are one in a panel.
    case.params.panel_min = 3;
    case.committee[1].operator = case.committee[0].operator;
    assert_eq!(gone(&after(&case, &[&[3]])), []);
    assert_eq!(gone(&after(&case, &[&[1]])), [(hyper(1), 1)]);
}

#[test]
fn who_has_no_say_misses_nothing_and_begins_anew_when_it_has_some_again() {
    let mut case = network(2);
    let all = case.committee.clone();
    case.prior.missed = [(hyper(3), 1), (hyper(9), 7)].into();
    case.committee.truncate(3);
    case.reports.remove(&hyper(3));
    let without = case.run();
    assert_eq!(without.states.missed, [].into());
    case.committee = all;
    case.prior = without.states;
    assert_eq!(gone(&case.run()), []);
}

#[test]
fn a_void_epoch_is_not_counted() {
    let mut case = network(2);
    case.prior = void_epoch(&after(&case, &[&[3]]).states);
    case.reports.remove(&hyper(3));
    assert_eq!(gone(&case.run()), [(hyper(3), 2)]);
}

#[test]
fn the_count_does_not_overflow() {
    let mut case = network(u32::MAX);
    case.prior.missed = [(hyper(3), u32::MAX - 1)].into();
    assert_eq!(gone(&after(&case, &[&[3], &[3]])), [(hyper(3), u32::MAX)]);
}
