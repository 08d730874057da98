//! Whose a node is: confirmed, handed over, nobody's again.

use super::*;

const OTHER: Address = Address([0xbb; 20]);
const EVERYBODY: [usize; 4] = [0, 1, 2, 3];

/// The node names this provider, or somebody who has no registration.
fn names(case: &mut Case, owner: Address) {
    case.change(&EVERYBODY, |report| report.attest.owner = Some(owner));
}

fn fails(case: &mut Case) {
    case.change(&EVERYBODY, |report| {
        report.attest.class = OutcomeClass::Fail
    });
}

/// The node's registrations.
fn registered(case: &mut Case, all: &[(Address, Standing)]) {
    let of = |(provider, standing): &(Address, Standing)| Registration {
        node: node(1),
        provider: *provider,
        class: class().digest(),
        standing: *standing,
    };
    case.registrations = all.iter().map(of).collect();
}

fn owner_after(case: &Case) -> Option<Address> {
    case.run().states.nodes[&node(1)].confirmed_owner
}

/// One that the network remembers breaches of, three of six epochs.
fn with_breaches(case: &mut Case, count: u64) {
    case.params.persistence = (3, 6);
    let network = case.params.network_id();
    for n in EVERYBODY {
        case.report(n).network = network;
    }
    let rule = Rule::of(&case.params);
    let mut record = Record::default();
    for epoch in 0..count {
        record = record.observe(&rule, Epoch(epoch), Verdict::Breach).0;
    }
    case.prior.nodes.get_mut(&node(1)).unwrap().record = record;
}

#[test]
fn confirmation_needs_two_thirds_and_a_registration() {
    let confirmed = |case: &Case| case.run().states.nodes[&node(1)].confirmed_owner;
    let mut case = Case::new();
    case.prior = States::default();
    // 60 of 100 name the owner.
    case.change(&[0], |report| report.attest.owner = None);
    assert_eq!(confirmed(&case), None);
    case.change(&[0], |report| report.attest.owner = Some(OWNER));
    case.change(&[1], |report| report.attest.owner = None);
    assert_eq!(confirmed(&case), Some(OWNER));
    case.registrations[0].provider = Address([0xbb; 20]);
    assert_eq!(confirmed(&case), None);
    assert!(!case.leaf().confirmed);
}

#[test]
fn two_claims_are_decided_by_the_evidence() {
    let mut case = Case::new();
    case.prior = States::default();
    let squatter = Address([0x01; 20]);
    case.registrations.insert(
        0,
        Registration {
            provider: squatter,
            ..case.registrations[0]
        },
    );
    let leaf = case.leaf();
    assert_eq!((leaf.owner, leaf.confirmed), (OWNER, true));
}

#[test]
fn who_took_the_owner_s_offer_and_is_named_by_the_machine_is_the_owner_from_the_next_epoch_on() {
    let mut case = Case::new();
    registered(
        &mut case,
        &[(OWNER, Standing::Owner), (OTHER, Standing::Offered)],
    );
    assert_eq!(owner_after(&case), Some(OWNER), "an offer alone is none");
    names(&mut case, OTHER);
    let outcome = case.run();
    let leaf = outcome.leaves[0];
    assert_eq!((leaf.owner, leaf.confirmed), (OTHER, true));
    assert_eq!(verdict_of(&case), finding(Verdict::Pass, 0));
    // The epoch is still the old owner's, and the next one's is not.
    assert_eq!(outcome.states.rewards, [(OWNER, REWARD)].into());
    case.prior = outcome.states;
    let outcome = case.run();
    assert_eq!(outcome.leaves[0].owner, OTHER);
    assert_eq!(
        outcome.states.rewards,
        [(OWNER, REWARD), (OTHER, REWARD)].into()
    );
    // The ledger follows: the other is the owner there, and its predecessor is in no list.
    registered(&mut case, &[(OTHER, Standing::Owner)]);
    assert_eq!(owner_after(&case), Some(OTHER));
}

#[test]
fn whom_a_third_of_the_weight_does_not_name_gets_no_node() {
    let mut case = Case::new();
    registered(
        &mut case,
        &[(OWNER, Standing::Owner), (OTHER, Standing::Offered)],
    );
    // 60 of 100 name the other.
    case.change(&[1, 2, 3], |report| report.attest.owner = Some(OTHER));
    assert_eq!(owner_after(&case), Some(OWNER));
}

#[test]
fn a_node_whose_breaches_wait_is_handed_over_when_they_are_gone() {
    for (breaches, expected) in [(0, OTHER), (1, OWNER)] {
        let mut case = Case::new();
        registered(
            &mut case,
            &[(OWNER, Standing::Owner), (OTHER, Standing::Offered)],
        );
        names(&mut case, OTHER);
        with_breaches(&mut case, breaches);
        assert_eq!(owner_after(&case), Some(expected), "{breaches} breaches");
        // A breach in the very epoch waits, too.
        fails(&mut case);
        assert_eq!(owner_after(&case), Some(OWNER));
    }
    // Where each is slashed at once, the owner of the epoch pays, and nothing waits.
    let mut case = Case::new();
    registered(
        &mut case,
        &[(OWNER, Standing::Owner), (OTHER, Standing::Offered)],
    );
    names(&mut case, OTHER);
    fails(&mut case);
    assert_eq!(case.leaf().cumulative_slash, SLASH);
    assert_eq!(owner_after(&case), Some(OTHER));
}

#[test]
fn an_offer_that_came_to_nothing_leaves_the_node_to_its_owner_with_its_breaches() {
    let mut case = Case::new();
    case.prior = confirmed([(node(1), OTHER)]);
    with_breaches(&mut case, 2);
    let before = case.prior.nodes[&node(1)].record;
    registered(&mut case, &[(OWNER, Standing::Owner)]);
    names(&mut case, OTHER);
    let outcome = case.run();
    assert_eq!(outcome.leaves[0].owner, OWNER);
    assert_eq!(
        verdict_of(&case),
        finding(Verdict::Warned, reason::IDENTITY)
    );
    let state = outcome.states.nodes[&node(1)];
    assert_eq!(state.confirmed_owner, Some(OWNER));
    assert_eq!(state.record.breaches(), before.breaches());
    // It is paid when the machine names it again.
    names(&mut case, OWNER);
    assert_eq!(case.run().states.rewards, [(OWNER, REWARD)].into());
}

#[test]
fn the_first_confirmed_owner_stays_and_another_name_warns() {
    let mut case = Case::new();
    for standing in [Standing::Waiting, Standing::Owner] {
        registered(&mut case, &[(OWNER, standing), (OTHER, Standing::Waiting)]);
        names(&mut case, OTHER);
        let leaf = case.leaf();
        assert_eq!((leaf.owner, case.earned()), (OWNER, 0));
        assert_eq!(
            (leaf.verdict, leaf.reasons),
            finding(Verdict::Warned, reason::IDENTITY)
        );
    }
}

#[test]
fn a_node_whose_registration_ended_is_for_anybody_who_registers_it_and_is_named() {
    let mut case = Case::new();
    with_breaches(&mut case, 2);
    registered(&mut case, &[(OTHER, Standing::Waiting)]);
    assert_eq!(owner_after(&case), None, "the machine names the old one");
    names(&mut case, OTHER);
    let outcome = case.run();
    let leaf = outcome.leaves[0];
    assert_eq!((leaf.owner, leaf.confirmed), (OTHER, true));
    assert_eq!(outcome.states.rewards, BTreeMap::new());
    let state = outcome.states.nodes[&node(1)];
    assert_eq!(state.record, Record::default(), "another's breaches");
    // What the roots said of the node's slots stays.
    assert_eq!(state.cumulative_up_slots, SLOTS as u64);

    case.registrations.clear();
    let leaf = case.leaf();
    assert_eq!((leaf.owner, leaf.confirmed), (Address([0; 20]), false));
    assert_eq!(
        (leaf.verdict, leaf.reasons),
        finding(Verdict::Inconclusive, reason::DATA)
    );
}

#[test]
fn who_leaves_is_judged_no_more_and_nobody_else_gets_the_node_before_it_has_gone() {
    let mut case = Case::new();
    with_breaches(&mut case, 2);
    registered(&mut case, &[(OWNER, Standing::Leaving)]);
    let outcome = case.run();
    let leaf = outcome.leaves[0];
    assert_eq!((leaf.owner, leaf.confirmed), (OWNER, false));
    assert_eq!(
        verdict_of(&case),
        finding(Verdict::Inconclusive, reason::DATA)
    );
    assert_eq!(outcome.states.rewards, BTreeMap::new());
    let state = outcome.states.nodes[&node(1)];
    assert_eq!((state.confirmed_owner, state.record.breaches()), (None, 2));

    // It registers anew: as anybody, so that who bought the machine is not kept out by it.
    case.prior = outcome.states;
    registered(
        &mut case,
        &[(OWNER, Standing::Waiting), (OTHER, Standing::Waiting)],
    );
    names(&mut case, OTHER);
    assert_eq!(owner_after(&case), Some(OTHER));
}
