//! Persistence, re-audit and systemic subtraction, through whole epochs.

use super::*;

impl Case {
    /// The same case in another epoch, with other parameters.
    fn at(mut self, epoch: u64, change: impl Fn(&mut NetworkParams)) -> Self {
        change(&mut self.params);
        let network = self.params.network_id();
        for included in self.reports.values_mut() {
            included.report.network = network;
            included.report.epoch = Epoch(epoch);
        }
        self
    }

    fn run_at(&self, epoch: u64) -> EpochOutcome {
        let input = EpochInput {
            epoch: Epoch(epoch),
            ..self.input()
        };
        Aggregator::new(input).unwrap().epoch().unwrap()
    }

    fn everybody(&mut self, change: impl Fn(&mut NodeReport)) {
        for included in self.reports.values_mut() {
            included.report.nodes.iter_mut().for_each(&change);
        }
    }
}

fn failing() -> Case {
    let mut case = Case::new();
    case.everybody(|report| report.attest.class = OutcomeClass::Fail);
    case
}

/// Cumulative slashes of node 1 over epochs 1, 2, …, each failing or not.
fn sums(params: fn(&mut NetworkParams), failing_epochs: &[bool]) -> Vec<u128> {
    let mut prior = Case::new().prior;
    let mut sums = Vec::new();
    for (epoch, fails) in (1..).zip(failing_epochs) {
        let case = if *fails { failing() } else { Case::new() };
        let mut case = case.at(epoch, params);
        case.prior = prior;
        let outcome = case.run_at(epoch);
        let breach = outcome.leaves[0].verdict == Verdict::Breach as u8;
        assert_eq!(breach, *fails, "the verdict itself is that of the epoch");
        sums.push(outcome.leaves[0].cumulative_slash);
        prior = outcome.states;
    }
    sums
}

#[test]
fn a_slash_needs_three_of_six_breaches() {
    let params: fn(&mut NetworkParams) = |params| params.persistence = (3, 6);
    let two = [true, true, false, false, false, false, false];
    assert_eq!(sums(params, &two), [0; 7]);
    let three = [true, false, true, false, true, true, false];
    assert_eq!(sums(params, &three), [0, 0, 0, 0, SLASH, SLASH, SLASH]);
}

#[test]
fn a_reaudit_must_confirm_two_epochs_later() {
    let params: fn(&mut NetworkParams) = |params| {
        params.persistence = (2, 6);
        params.reaudit_seats = 101;
    };
    let guilty = [true, true, true, true, false];
    assert_eq!(sums(params, &guilty), [0, 0, 0, SLASH, SLASH]);
    let recovered = [
        true, true, false, false, false, false, false, false, false, false,
    ];
    assert_eq!(sums(params, &recovered), [0; 10]);
}

#[test]
fn breaches_before_the_owner_was_confirmed_do_not_count() {
    let mut case = failing().at(1, |params| params.persistence = (2, 2));
    case.prior = States::default();
    let outcome = case.run_at(1);
    assert_eq!(outcome.states.nodes[&node(1)].record, Record::default());
}

/// 120 equal HyperNodes and 101 re-audit seats: enough that seats are drawn.
fn crowd() -> Case {
    let id = |n: u8| HyperNodeId([n; 32]);
    let mut case = Case::new();
    let included = case.reports[&hyper(0)].clone();
    case.reports.clear();
    case.committee.clear();
    for n in 0..120u8 {
        case.committee.push(Seat {
            hypernode: id(n),
            operator: Digest([n; 32]),
            ledger: Address([n; 20]),
            weight: 1_000,
        });
        let mut own = included.clone();
        own.report.hypernode = id(n);
        case.reports.insert(id(n), own);
    }
    case.at(1, |params| {
        params.persistence = (1, 1);
        params.panel_min = 4;
        params.reaudit_seats = 101;
    })
}

/// The crowd in epoch 2 with node 1 on trial, and the seats drawn for it.
fn on_trial() -> (Case, BTreeMap<HyperNodeId, u128>) {
    let mut case = crowd().at(2, |_| {});
    let rule = Rule::of(&case.params);
    let (record, slash) = Record::default().observe(&rule, Epoch(0), Verdict::Breach);
    assert!(!slash && record.on_trial(Epoch(2)));
    case.prior.nodes.get_mut(&node(1)).unwrap().record = record;
    let of = DrawOf {
        network: case.params.network_id(),
        beacon: Beacon([7; 32]),
        period: 2,
        node: node(1),
    };
    let urn = Aggregator::new(case.input()).unwrap().urn;
    let votes = urn.committee(Purpose::Reaudit, &of, 101);
    (case, votes)
}

#[test]
fn on_trial_the_drawn_seats_vote_and_not_the_stake() {
    let (mut case, votes) = on_trial();
    let mut by_seats: Vec<_> = votes.iter().map(|(id, seats)| (*seats, *id)).collect();
    by_seats.sort();
    // Those with most seats, until they have more than half of them: far less than half of the stake.
    let (mut seats, mut few) = (0, 0);
    while seats < 51 {
        let (own, id) = by_seats.pop().unwrap();
        let report = &mut case.reports.get_mut(&id).unwrap().report;
        report.nodes[0].attest.class = OutcomeClass::Fail;
        (seats, few) = (seats + own, few + 1);
    }
    assert!(few < 40, "{few} of 120");
    let leaf = case.run_at(2).leaves[0];
    let breach = (Verdict::Breach as u8, SLASH);
    assert_eq!((leaf.verdict, leaf.cumulative_slash), breach);
    case.prior.nodes.get_mut(&node(1)).unwrap().record = Record::default();
    assert_eq!(case.run_at(2).leaves[0].verdict, Verdict::Pass as u8);
}

/// How often each HyperNode of the crowd is on a panel of node 1 in epoch 2, most often first.
fn seats_on_panels(case: &Case) -> Vec<HyperNodeId> {
    let urn = Aggregator::new(case.input()).unwrap().urn;
    let mut seats: BTreeMap<HyperNodeId, u32> = BTreeMap::new();
    for slot in 0..SLOTS as u32 {
        let of = PanelOf {
            network: case.params.network_id(),
            beacon: Beacon([7; 32]),
            epoch: Epoch(2),
            node: node(1),
            slot: Slot(slot),
        };
        for member in urn.panel(&of, 4) {
            *seats.entry(member.hypernode).or_default() += 1;
        }
    }
    let mut order: Vec<_> = seats.into_iter().collect();
    order.sort_by_key(|(id, seats)| (u32::MAX - seats, *id));
    order.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn on_trial_a_third_that_was_drawn_often_does_not_convict_by_silence() {
    let (mut case, _) = on_trial();
    let often = seats_on_panels(&case);
    let silent = |case: &mut Case, who: &[HyperNodeId], slots: usize| {
        for id in who {
            let report = &mut case.reports.get_mut(id).unwrap().report;
            report.nodes[0].cells.0[..slots].fill(Cell::Unanswered as u8);
        }
    };
    // Exactly a third of the stake.
    silent(&mut case, &often[..40], SLOTS);
    let mut untried = case.clone();
    untried.prior.nodes.get_mut(&node(1)).unwrap().record = Record::default();
    assert_eq!(untried.run_at(2).leaves[0].verdict, Verdict::Breach as u8);
    let leaf = case.run_at(2).leaves[0];
    assert_eq!(
        (leaf.verdict, leaf.cumulative_slash),
        (Verdict::Warned as u8, 0)
    );
    assert_ne!(leaf.reasons & reason::AVAILABILITY, 0);
    // What everybody saw convicts: half of the slots.
    let (mut case, _) = on_trial();
    let all: Vec<_> = case.reports.keys().copied().collect();
    silent(&mut case, &all, SLOTS / 2);
    let leaf = case.run_at(2).leaves[0];
    assert_eq!(
        (leaf.verdict, leaf.cumulative_slash),
        (Verdict::Breach as u8, SLASH)
    );
}

#[test]
fn on_trial_what_only_the_accusers_saw_neither_convicts_nor_acquits() {
    let (mut case, _) = on_trial();
    let often = seats_on_panels(&case);
    for (id, included) in &mut case.reports {
        let saw = match often[..40].contains(id) {
            true => Cell::Unanswered,
            false => Cell::Excluded,
        };
        included.report.nodes[0].cells.0.fill(saw as u8);
    }
    let outcome = case.run_at(2);
    let (leaf, record) = (outcome.leaves[0], outcome.states.nodes[&node(1)].record);
    assert_eq!(leaf.verdict, Verdict::Inconclusive as u8);
    let decided = leaf.cumulative_up_slots + leaf.cumulative_down_slots;
    assert!(decided > 0, "the accusers decided slots, all down");
    // An epoch that acquits a little would be another record.
    let before = case.prior.nodes[&node(1)].record;
    let rule = Rule::of(&case.params);
    let (passed, _) = before.observe(&rule, Epoch(2), Verdict::Inconclusive);
    assert_eq!(record, passed);
}

/// Of a plan that says all of them, before anybody joined.
#[test]
fn who_joins_neither_stops_roots_nor_makes_a_small_reaudit_a_drawn_one() {
    let failing = |count: usize| {
        let (case, _) = on_trial();
        let mut case = case.at(2, |params| {
            (params.reaudit_seats, params.panel_min) = (20, 3)
        });
        for included in case.reports.values_mut().take(count) {
            included.report.nodes[0].attest.class = OutcomeClass::Fail;
        }
        let leaf = case.run_at(2).leaves[0];
        (leaf.verdict, leaf.cumulative_slash)
    };
    assert_eq!(failing(61), (Verdict::Breach as u8, SLASH));
    assert_ne!(failing(60).0, Verdict::Breach as u8);
}

#[test]
fn on_trial_two_thirds_of_the_drawn_seats_must_have_data() {
    let (mut case, votes) = on_trial();
    let mut gone = 0;
    for (id, seats) in &votes {
        if gone < 34 {
            gone += seats;
            case.reports.remove(id);
        }
    }
    // More than 2/3 of the stake is still there, but not of the seats.
    assert!(case.reports.len() > 80);
    let leaf = case.run_at(2).leaves[0];
    let unknown = finding(Verdict::Inconclusive, reason::DATA);
    assert_eq!((leaf.verdict, leaf.reasons), unknown);
}

/// Nodes 1 to 7 of seven providers; those in `down` were down in the first ten slots.
fn providers(down: &[u8]) -> Case {
    let owner = |n: u8| Address([n; 20]);
    let mut case = Case::new().at(1, |params| params.systemic_min_providers = 5);
    let registered = case.registrations[0];
    case.registrations.clear();
    for included in case.reports.values_mut() {
        let own = included.report.nodes[0].clone();
        included.report.nodes = (1..=7)
            .map(|n| {
                let mut own = own.clone();
                own.node = node(n);
                own.attest.owner = Some(owner(n));
                if down.contains(&n) {
                    own.cells.0[..10].fill(Cell::Unanswered as u8);
                }
                own
            })
            .collect();
    }
    for n in 1..=7 {
        case.registrations.push(Registration {
            node: node(n),
            provider: owner(n),
            ..registered
        });
    }
    case.prior = confirmed((1..=7).map(|n| (node(n), owner(n))));
    case
}

#[test]
fn what_most_other_providers_suffered_is_no_breach() {
    let case = providers(&[1, 2, 3, 4, 5]);
    let leaf = case.leaf();
    // 20 of 30 slots were decided, all up: too little is known to be paid.
    let expected = finding(Verdict::Warned, reason::COVERAGE | reason::SYSTEMIC);
    assert_eq!((leaf.verdict, leaf.reasons), expected);
    assert_eq!(
        (leaf.availability, leaf.coverage),
        (Ppm(1_000_000), Ppm(666_666))
    );
    // Excused slots are neither up nor down, and only nodes 6 and 7 are paid.
    let slots = (leaf.cumulative_up_slots, leaf.cumulative_down_slots);
    assert_eq!((slots, leaf.cumulative_slash), ((20, 0), 0));
    let paid: Vec<_> = case
        .run()
        .rewards
        .iter()
        .map(|paid| paid.provider)
        .collect();
    assert_eq!(paid, [Address([6; 20]), Address([7; 20])]);
}

#[test]
fn half_of_the_others_excuse_nobody_and_nothing_is_excused_when_off() {
    let breach = finding(Verdict::Breach, reason::AVAILABILITY);
    let half = providers(&[1, 2, 3, 4]).leaf();
    assert_eq!((half.verdict, half.reasons), breach);
    let off = providers(&[1, 2, 3, 4, 5]).at(1, |params| params.systemic_min_providers = 0);
    let leaf = off.leaf();
    assert_eq!((leaf.verdict, leaf.reasons), breach);
    let more = providers(&[1, 2, 3, 4, 5, 6, 7]).at(1, |params| params.systemic_min_providers = 7);
    assert_eq!(more.leaf().verdict, Verdict::Breach as u8);
}

#[test]
fn one_site_excuses_as_one() {
    let mut case = providers(&[1, 2, 3, 4, 5]);
    // Providers 2 to 5 stand together, 6 and 7 elsewhere: one of three sites was down.
    case.sites = (2..=5).map(|n| (node(n), Digest([9; 32]))).collect();
    assert_eq!(case.leaf().verdict, Verdict::Breach as u8);
}
