use super::*;
use assay_protocol::ids::Beacon;

mod clocks;
mod cluster;

const WEIGHTS: [u128; 4] = [40, 25, 20, 15];

fn id(n: usize) -> HyperNodeId {
    HyperNodeId([n as u8 + 1; 32])
}

fn entry(n: usize) -> Entry {
    Entry {
        hypernode: id(n),
        commit: Digest([n as u8 + 100; 32]),
    }
}

fn other_entry(n: usize) -> Entry {
    Entry {
        hypernode: id(n),
        commit: Digest([n as u8 + 200; 32]),
    }
}

fn setting(own: usize, proposer: usize) -> Setting {
    Setting {
        network: NetworkId([9; 32]),
        epoch: Epoch(5),
        round: 0,
        own: id(own),
        proposers: (proposer..proposer + 3).map(|turn| id(turn % 4)).collect(),
        weights: (0..4).map(|n| (id(n), WEIGHTS[n])).collect(),
    }
}

fn hash_of(list: &[Entry]) -> Digest {
    input_set_hash(&NetworkId([9; 32]), Epoch(5), list)
}

/// A HyperNode that had everything of `in_time` in time.
fn ready(own: usize, proposer: usize, in_time: &[Entry]) -> Agreement {
    let mut machine = Agreement::start(setting(own, proposer));
    for entry in in_time {
        assert_eq!(machine.handle(Event::Commit(*entry)), []);
    }
    machine.handle(Event::CommitsClosed);
    for entry in in_time {
        assert_eq!(machine.handle(Event::Reveal(*entry)), []);
    }
    assert_eq!(machine.handle(Event::RevealsDue), []);
    machine
}

/// The next turn, and the board read to its end.
fn due(machine: &mut Agreement) -> Vec<Action> {
    let mut actions = machine.handle(Event::ProposalDue);
    actions.extend(machine.handle(Event::ReadToEnd));
    actions
}

fn proposal(from: usize, list: &[Entry]) -> Event {
    Event::Proposal {
        from: id(from),
        list: list.to_vec(),
    }
}

fn vote(from: usize, list: &[Entry]) -> Event {
    Event::Vote {
        from: id(from),
        input_set: hash_of(list),
    }
}

fn votes_for(actions: &[Action]) -> Vec<Digest> {
    let vote = |action: &Action| match action {
        Action::SendVote(input_set) => Some(*input_set),
        _ => None,
    };
    actions.iter().filter_map(vote).collect()
}

fn all() -> Vec<Entry> {
    (0..4).map(entry).collect()
}

#[test]
fn votes_locks_and_signs_with_persistence_before_each_step() {
    let mut machine = ready(1, 0, &all());
    let actions = machine.handle(proposal(0, &all()));
    assert!(
        matches!(actions[..], [Action::Persist(_), Action::SendVote(_)]),
        "{actions:?}"
    );
    assert_eq!(machine.handle(vote(2, &all())), []);
    let actions = machine.handle(vote(0, &all()));
    let [Action::Persist(memory), Action::ComputeRoot(list)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((memory.lock, list), (Some(hash_of(&all())), &all()));
    let digest = Keccak([1; 32]);
    let actions = machine.handle(Event::RootComputed {
        input_set: hash_of(&all()),
        digest,
    });
    let [Action::Persist(memory), Action::SignRoot(signed)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((memory.signed, *signed), (Some(digest), digest));
    assert_eq!(machine.handle(Event::Timeout), []);
}

#[test]
fn exactly_two_thirds_do_not_lock() {
    let mut setting = setting(0, 0);
    setting.weights = (0..3).map(|n| (id(n), 1)).collect();
    let mut machine = Agreement::start(setting);
    let list = vec![entry(0)];
    machine.handle(Event::Commit(entry(0)));
    machine.handle(Event::Reveal(entry(0)));
    machine.handle(Event::RevealsDue);
    due(&mut machine);
    assert_eq!(machine.handle(vote(1, &list)), []);
    assert_eq!(machine.locked(), None);
    assert!(!machine.handle(vote(2, &list)).is_empty());
}

#[test]
fn an_omitted_punctual_entry_gets_no_vote() {
    let mut machine = ready(1, 0, &all());
    assert_eq!(machine.handle(proposal(0, &all()[..3])), []);
    assert_eq!(
        votes_for(&machine.handle(proposal(0, &all()))),
        [hash_of(&all())]
    );
}

#[test]
fn an_entry_that_cannot_be_opened_waits_for_its_reveal() {
    let mut machine = ready(1, 0, &all()[..3]);
    machine.handle(proposal(0, &all()));
    assert_eq!(machine.memory().vote, None);
    // Its commit came after commits closed: never allowed.
    assert_eq!(machine.handle(Event::Reveal(entry(3))), []);

    let mut machine = Agreement::start(setting(1, 0));
    for entry in all() {
        machine.handle(Event::Commit(entry));
    }
    machine.handle(Event::CommitsClosed);
    for entry in &all()[..3] {
        machine.handle(Event::Reveal(*entry));
    }
    machine.handle(Event::RevealsDue);
    assert_eq!(machine.handle(proposal(0, &all())), []);
    assert_eq!(
        votes_for(&machine.handle(Event::Reveal(entry(3)))),
        [hash_of(&all())]
    );
}

/// Told by the clock, or by what was kept before a restart.
#[test]
fn when_a_commit_was_seen_decides_whether_it_is_required_listed_and_allowed() {
    use Arrival::{Early, Edge, Late, Midway};
    let clock = [
        (Early, None),
        (Midway, Some(Event::CommitsDue)),
        (Edge, Some(Event::CommitsListed)),
        (Late, Some(Event::CommitsClosed)),
    ];
    let (rest, all) = (&all()[..3], all());
    let machine = |own, arrival: Arrival, kept: bool| {
        let mut machine = Agreement::start(setting(own, 0));
        if kept {
            machine.handle(Event::CommitSeen(entry(3), arrival));
        }
        for entry in rest {
            machine.handle(Event::Commit(*entry));
        }
        for (reached, event) in clock.clone() {
            event
                .into_iter()
                .for_each(|event| drop(machine.handle(event)));
            if reached == arrival {
                machine.handle(Event::Commit(entry(3)));
            }
        }
        for entry in &all {
            machine.handle(Event::Reveal(*entry));
        }
        machine.handle(Event::RevealsDue);
        machine
    };
    for (arrival, required, listed, allowed) in [
        (Early, true, true, true),
        (Midway, false, true, true),
        (Edge, false, false, true),
        (Late, false, false, false),
    ] {
        for kept in [false, true] {
            let votes = |list: &[Entry]| {
                let actions = machine(1, arrival, kept).handle(proposal(0, list));
                !votes_for(&actions).is_empty()
            };
            assert_eq!(votes(rest), !required, "{arrival:?}");
            assert_eq!(votes(&all), allowed, "{arrival:?}");
            let list = if listed { &all[..] } else { rest };
            let actions = due(&mut machine(0, arrival, kept));
            let proposal = Action::SendProposal(list.to_vec());
            assert!(actions.contains(&proposal), "{arrival:?}: {actions:?}");
        }
    }
}

#[test]
fn late_entries_are_allowed_but_not_required() {
    for with_late in [false, true] {
        let mut machine = Agreement::start(setting(1, 0));
        for entry in &all()[..3] {
            machine.handle(Event::Commit(*entry));
        }
        machine.handle(Event::CommitsDue);
        machine.handle(Event::Commit(entry(3)));
        machine.handle(Event::CommitsClosed);
        for entry in all() {
            machine.handle(Event::Reveal(entry));
        }
        machine.handle(Event::RevealsDue);
        let list = all()[..if with_late { 4 } else { 3 }].to_vec();
        assert_eq!(
            votes_for(&machine.handle(proposal(0, &list))),
            [hash_of(&list)]
        );
    }
}

#[test]
fn a_late_reveal_is_allowed_but_not_required() {
    for with_late in [false, true] {
        let mut machine = Agreement::start(setting(1, 0));
        for entry in all() {
            machine.handle(Event::Commit(entry));
        }
        machine.handle(Event::CommitsClosed);
        for entry in &all()[..3] {
            machine.handle(Event::Reveal(*entry));
        }
        machine.handle(Event::RevealsDue);
        machine.handle(Event::Reveal(entry(3)));
        let list = all()[..if with_late { 4 } else { 3 }].to_vec();
        assert_eq!(
            votes_for(&machine.handle(proposal(0, &list))),
            [hash_of(&list)]
        );
    }
}

#[test]
fn only_the_proposer_is_voted_for_and_only_once() {
    let mut entries = all()[..2].to_vec();
    entries.push(other_entry(1));
    let mut machine = ready(1, 0, &entries);
    let (first, second) = (vec![entry(0), entry(1)], vec![entry(0), other_entry(1)]);
    assert_eq!(votes_for(&machine.handle(proposal(2, &first))), []);
    assert_eq!(
        votes_for(&machine.handle(proposal(0, &first))),
        [hash_of(&first)]
    );
    // Just as good, but too late.
    assert_eq!(votes_for(&machine.handle(proposal(0, &second))), []);
}

#[test]
fn a_later_proposer_is_voted_for_from_its_turn_on_when_the_earlier_ones_have_no_good_list() {
    let list = all()[..2].to_vec();
    let mut machine = ready(3, 0, &list);
    assert_eq!(machine.handle(proposal(1, &list)), [], "not its turn");
    assert_eq!(due(&mut machine), []);
    // It leaves out a report that was there in time.
    assert_eq!(machine.handle(proposal(0, &list[..1])), []);
    let turn = due(&mut machine);
    assert_eq!(votes_for(&turn), [hash_of(&list)]);
}

#[test]
fn of_several_lists_that_of_the_earliest_turn_is_voted_for() {
    let mut entries = all()[..2].to_vec();
    entries.push(other_entry(1));
    let (first, second) = (vec![entry(0), entry(1)], vec![entry(0), other_entry(1)]);
    let mut machine = Agreement::start(setting(3, 0));
    for entry in &entries {
        machine.handle(Event::Commit(*entry));
        machine.handle(Event::Reveal(*entry));
    }
    (0..3).for_each(|_| assert_eq!(due(&mut machine), []));
    for (from, list) in [(2, &second), (1, &second), (0, &first)] {
        assert_eq!(machine.handle(proposal(from, list)), []);
    }
    let votes = votes_for(&machine.handle(Event::RevealsDue));
    assert_eq!(votes, [hash_of(&first)]);
}

#[test]
fn at_its_turn_only_who_has_not_voted_proposes() {
    let list = all();
    let mut voted = ready(1, 0, &list);
    due(&mut voted);
    assert_eq!(votes_for(&voted.handle(proposal(0, &list))).len(), 1);
    assert_eq!(due(&mut voted), []);
    let mut waits = ready(1, 0, &list);
    assert_eq!(due(&mut waits), [], "the first one's turn");
    let turn = due(&mut waits);
    assert!(
        turn.contains(&Action::SendProposal(list.clone())),
        "{turn:?}"
    );
    assert_eq!(votes_for(&turn), [hash_of(&list)], "its own");
}

/// What it knows after a restart are commits; the board tells it the rest, in order.
#[test]
fn a_proposer_that_starts_again_after_its_turn_reads_the_board_first() {
    let list = all();
    for own in 0..3 {
        let mut machine = Agreement::start(setting(own, 0));
        for entry in &list {
            machine.handle(Event::Commit(*entry));
        }
        machine.handle(Event::CommitsClosed);
        machine.handle(Event::RevealsDue);
        (0..3).for_each(|_| assert_eq!(machine.handle(Event::ProposalDue), []));
        for entry in &list {
            assert_eq!(machine.handle(Event::Reveal(*entry)), [], "of {own}");
        }
        // The list of another, or its own from before.
        let from = if own == 0 { 0 } else { own - 1 };
        let actions = machine.handle(proposal(from, &list));
        assert_eq!(votes_for(&actions), [hash_of(&list)]);
        let proposes = |action: &Action| matches!(action, Action::SendProposal(_));
        assert!(!actions.iter().any(proposes));
        assert_eq!(machine.handle(Event::ReadToEnd), []);
    }
}

#[test]
fn turns_are_of_so_many_different_members() {
    let member = |n: usize| Candidate {
        hypernode: id(n),
        operator: Digest([n as u8; 32]),
        weight: 1,
    };
    for (members, turns) in [(5, TURNS), (TURNS, TURNS), (2, 2), (0, 0)] {
        let members: Vec<_> = (0..members).map(member).collect();
        for beacon in 0..20 {
            let of = ProposersOf {
                network: NetworkId([9; 32]),
                beacon: Beacon([beacon; 32]),
                epoch: Epoch(5),
                round: 0,
            };
            let drawn = proposers(&of, &members);
            assert_eq!(drawn.len(), turns);
            assert_eq!(BTreeSet::from_iter(&drawn).len(), turns);
        }
    }
}

#[test]
fn nothing_is_voted_before_reveals_are_due() {
    let mut machine = Agreement::start(setting(1, 0));
    machine.handle(Event::Commit(entry(0)));
    machine.handle(Event::Reveal(entry(0)));
    assert_eq!(machine.handle(proposal(0, &all()[..1])), []);
    assert_eq!(votes_for(&machine.handle(Event::RevealsDue)).len(), 1);
}

#[test]
fn malformed_lists_and_strangers_are_ignored() {
    let mut machine = ready(1, 0, &[]);
    let mut reversed = all();
    reversed.reverse();
    assert_eq!(machine.handle(proposal(0, &reversed)), []);
    assert_eq!(machine.handle(proposal(0, &[])), []);
    let twice = vec![entry(0), entry(0)];
    assert_eq!(machine.handle(proposal(0, &twice)), []);
    let stranger = HyperNodeId([0xee; 32]);
    machine.handle(Event::Vote {
        from: stranger,
        input_set: Digest([0; 32]),
    });
    machine.handle(Event::Commit(Entry {
        hypernode: stranger,
        commit: Digest([0; 32]),
    }));
    assert!(machine.votes.is_empty() && machine.view.is_empty());
}

#[test]
fn a_second_vote_does_not_count_and_is_named() {
    let mut machine = ready(3, 0, &all());
    machine.handle(proposal(0, &all()));
    machine.handle(Event::Vote {
        from: id(0),
        input_set: Digest([1; 32]),
    });
    machine.handle(vote(1, &all()));
    machine.handle(vote(2, &all()));
    assert_eq!(machine.handle(vote(0, &all())), []);
    assert_eq!(machine.locked(), None);
    assert!(machine.equivocators().contains(&id(0)));
}

#[test]
fn who_commits_twice_is_required_by_nobody_but_may_be_included_once() {
    let mut entries = all();
    entries.push(other_entry(3));
    let mut without = ready(1, 0, &entries);
    assert_eq!(
        votes_for(&without.handle(proposal(0, &all()[..3]))).len(),
        1
    );
    let mut with = ready(1, 0, &entries);
    assert_eq!(votes_for(&with.handle(proposal(0, &all()))).len(), 1);
    assert!(with.equivocators().contains(&id(3)));
}

#[test]
fn a_timeout_ends_the_round_for_good() {
    let mut machine = ready(1, 0, &all());
    assert_eq!(
        machine.handle(Event::Timeout),
        [Action::Fail(Failure::Timeout)]
    );
    machine.handle(proposal(0, &all()));
    for n in 0..4 {
        assert_eq!(machine.handle(vote(n, &all())), []);
    }
}

#[test]
fn a_root_for_another_list_or_a_second_root_is_not_signed() {
    let mut machine = ready(0, 0, &all());
    due(&mut machine);
    machine.handle(vote(1, &all()));
    machine.handle(vote(2, &all()));
    let input_set = hash_of(&all());
    let digest = Keccak([1; 32]);
    let foreign = Event::RootComputed {
        input_set: Digest([0; 32]),
        digest,
    };
    assert_eq!(machine.handle(foreign), []);
    machine.handle(Event::RootComputed { input_set, digest });
    let refused = Keccak([2; 32]);
    let actions = machine.handle(Event::RootComputed {
        input_set,
        digest: refused,
    });
    assert_eq!(
        actions,
        [Action::Fail(Failure::OtherRoot {
            signed: digest,
            refused
        })]
    );
}

#[test]
fn a_restart_repeats_the_same_words() {
    let mut machine = ready(0, 0, &all());
    due(&mut machine);
    let memory = Memory::decode(&machine.memory().encode()).unwrap();
    assert_eq!(&memory, machine.memory());
    let (mut restored, again) = Agreement::restore(setting(0, 0), memory.clone()).unwrap();
    assert_eq!(
        again,
        [
            Action::SendProposal(all()),
            Action::SendVote(hash_of(&all()))
        ]
    );
    // It knows nothing but its memory, yet votes for nothing else and proposes nothing else.
    restored.handle(Event::RevealsDue);
    assert_eq!(due(&mut restored), []);
    assert_eq!(restored.handle(proposal(0, &all()[..2])), []);
    // Others' votes let it lock once it can open the list again.
    restored.handle(vote(1, &all()));
    assert_eq!(restored.handle(vote(2, &all())), []);
    let mut actions = Vec::new();
    for entry in all() {
        actions = restored.handle(Event::Reveal(entry));
    }
    assert!(matches!(
        actions[..],
        [Action::Persist(_), Action::ComputeRoot(_)]
    ));

    let elsewhere = Setting {
        epoch: Epoch(6),
        ..setting(0, 0)
    };
    assert!(matches!(
        Agreement::restore(elsewhere, memory),
        Err(MemoryError::Elsewhere { .. })
    ));
}

#[test]
fn malformed_memory_is_refused() {
    let mut machine = ready(0, 0, &all());
    due(&mut machine);
    let bytes = machine.memory().encode();
    for cut in 0..bytes.len() {
        assert_eq!(Memory::decode(&bytes[..cut]), Err(MemoryError::Malformed));
    }
    let long = [&bytes[..], &[0]].concat();
    assert_eq!(Memory::decode(&long), Err(MemoryError::Malformed));
    let mut flag = bytes;
    flag[MEMORY_LABEL.len() + 44] = 2;
    assert_eq!(Memory::decode(&flag), Err(MemoryError::Malformed));
}
