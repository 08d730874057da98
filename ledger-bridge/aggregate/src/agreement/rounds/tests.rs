use super::*;
use proptest::prelude::*;

fn id(n: usize) -> HyperNodeId {
    HyperNodeId([n as u8 + 1; 32])
}

fn entry(n: usize) -> Entry {
    Entry {
        hypernode: id(n),
        commit: Digest([n as u8 + 100; 32]),
    }
}

fn list(members: impl IntoIterator<Item = usize>) -> Vec<Entry> {
    members.into_iter().map(entry).collect()
}

fn hash_of(list: &[Entry]) -> Digest {
    input_set_hash(&NetworkId([9; 32]), Epoch(5), list)
}

fn setting(own: usize, weights: &[u128]) -> Setting {
    Setting {
        network: NetworkId([9; 32]),
        epoch: Epoch(5),
        own: id(own),
        turns: (0..weights.len()).map(id).collect(),
        weights: weights
            .iter()
            .enumerate()
            .map(|(n, w)| (id(n), *w))
            .collect(),
    }
}

fn proposal(round: u32, from: usize, list: &[Entry], quorum_in: Option<u32>) -> Event {
    let list = list.to_vec();
    Event::Proposal {
        from: id(from),
        round,
        proposed: Proposed { list, quorum_in },
    }
}

fn vote(round: u32, from: usize, list: &[Entry]) -> Event {
    Event::Vote {
        from: id(from),
        round,
        input_set: hash_of(list),
    }
}

fn root(round: u32, list: &[Entry]) -> Event {
    Event::RootComputed {
        round,
        input_set: hash_of(list),
        digest: digest(round, &hash_of(list)),
    }
}

/// Stands for the root: a function of round and list.
fn digest(round: u32, input_set: &Digest) -> Keccak {
    let mut bytes = input_set.0;
    bytes[..4].copy_from_slice(&round.to_be_bytes());
    Keccak(bytes)
}

/// A machine among four equals that has everything of everybody.
fn ready(own: usize) -> Rounds {
    let (mut machine, again) = Rounds::with(setting(own, &[1; 4]), Memory::default());
    assert_eq!(again, []);
    (0..4).for_each(|n| drop(machine.handle(Event::Commit(entry(n)))));
    machine.handle(Event::CommitsClosed);
    (0..4).for_each(|n| drop(machine.handle(Event::Reveal(entry(n)))));
    machine.handle(Event::RevealsDue);
    machine
}

fn votes(actions: &[Action]) -> Vec<(u32, Digest)> {
    let vote = |action: &Action| match action {
        Action::SendVote(round, input_set) => Some((*round, *input_set)),
        _ => None,
    };
    actions.iter().filter_map(vote).collect()
}

/// Locked on everything in round 0, signed.
fn locked() -> (Rounds, Vec<Entry>) {
    let (mut machine, all) = (ready(3), list(0..4));
    machine.handle(Event::Round(0));
    machine.handle(proposal(0, 0, &all, None));
    machine.handle(vote(0, 0, &all));
    let actions = machine.handle(vote(0, 1, &all));
    assert!(matches!(
        actions[..],
        [Action::Persist(_), Action::ComputeRoot(0, _)]
    ));
    let actions = machine.handle(root(0, &all));
    assert!(matches!(
        actions[..],
        [Action::Persist(_), Action::SignRoot(0, _)]
    ));
    (machine, all)
}

#[test]
fn a_round_votes_locks_and_signs_with_persistence_before_each_step() {
    let (machine, all) = locked();
    let input_set = hash_of(&all);
    assert_eq!(
        machine.locked(),
        Some(Lock {
            round: 0,
            input_set
        })
    );
}

#[test]
fn a_lock_holds_against_another_list_and_opens_only_for_a_later_quorum() {
    let (mut machine, all) = locked();
    // Somebody else revealed nothing in time for these two: acceptable to others, perhaps.
    let other = list(0..3);
    machine.handle(Event::Round(1));
    assert_eq!(votes(&machine.handle(proposal(1, 1, &other, None))), []);
    machine.handle(Event::Round(2));
    // A quorum that is claimed and not there.
    assert_eq!(votes(&machine.handle(proposal(2, 2, &other, Some(1)))), []);
    machine.handle(vote(1, 0, &other));
    machine.handle(vote(1, 1, &other));
    let actions = machine.handle(vote(1, 2, &other));
    assert_eq!(votes(&actions), [(2, hash_of(&other))]);
    // The lock itself moves only by a quorum in the running round.
    assert_eq!(machine.locked().unwrap().input_set, hash_of(&all));
    machine.handle(vote(2, 0, &other));
    machine.handle(vote(2, 1, &other));
    let input_set = hash_of(&other);
    assert_eq!(
        machine.locked(),
        Some(Lock {
            round: 2,
            input_set
        })
    );
}

#[test]
fn a_quorum_before_the_lock_does_not_open_it() {
    let (mut machine, other) = (ready(3), list(0..3));
    let all = list(0..4);
    machine.handle(Event::Round(0));
    machine.handle(proposal(0, 0, &other, None));
    machine.handle(Event::Round(1));
    machine.handle(proposal(1, 1, &all, None));
    machine.handle(vote(1, 0, &all));
    machine.handle(vote(1, 1, &all));
    assert_eq!(machine.locked().unwrap().round, 1);
    (0..3).for_each(|n| drop(machine.handle(vote(0, n, &other))));
    machine.handle(Event::Round(2));
    assert_eq!(votes(&machine.handle(proposal(2, 2, &other, Some(0)))), []);
}

#[test]
fn late_quorums_move_no_lock_and_late_roots_get_no_signature() {
    let (mut machine, all) = (ready(3), list(0..4));
    machine.handle(Event::Round(0));
    machine.handle(proposal(0, 0, &all, None));
    machine.handle(Event::Round(1));
    (0..3).for_each(|n| drop(machine.handle(vote(0, n, &all))));
    assert_eq!(machine.locked(), None);

    let mut machine = ready(3);
    machine.handle(Event::Round(0));
    machine.handle(proposal(0, 0, &all, None));
    machine.handle(vote(0, 0, &all));
    machine.handle(vote(0, 1, &all));
    machine.handle(Event::Round(1));
    assert_eq!(machine.handle(root(0, &all)), []);
}

#[test]
fn one_vote_per_round_and_only_for_whose_turn_it_is() {
    let mut machine = ready(3);
    let all = list(0..4);
    machine.handle(Event::Round(0));
    assert_eq!(votes(&machine.handle(proposal(0, 1, &all, None))), []);
    assert_eq!(votes(&machine.handle(proposal(0, 0, &all, Some(0)))), []);
    assert_eq!(
        votes(&machine.handle(proposal(0, 0, &list(0..3), None))),
        []
    );
    assert_eq!(votes(&machine.handle(proposal(0, 0, &all, None))).len(), 1);
    assert_eq!(votes(&machine.handle(proposal(0, 0, &all, None))), []);
    assert!(machine.equivocators().contains(&id(0)));
    // Time does not go back, and there is an end to it.
    machine.handle(Event::Round(3));
    machine.handle(Event::Round(1));
    assert_eq!(votes(&machine.handle(proposal(1, 1, &all, None))), []);
    machine.handle(Event::Round(ROUNDS_MAX));
    assert_eq!(machine.round, Some(3));
}

#[test]
fn an_earlier_quorum_counts_for_more_than_an_omission() {
    let (mut machine, other) = (ready(3), list(0..3));
    machine.handle(Event::Round(0));
    assert_eq!(votes(&machine.handle(proposal(0, 0, &other, None))), []);
    (0..3).for_each(|n| drop(machine.handle(vote(0, n, &other))));
    machine.handle(Event::Round(1));
    let actions = machine.handle(proposal(1, 1, &other, Some(0)));
    assert_eq!(votes(&actions), [(1, hash_of(&other))]);
    // But what cannot be opened is never voted for.
    let mut blind = ready(3);
    let mut foreign = list(0..3);
    foreign[0].commit = Digest([1; 32]);
    (0..3).for_each(|n| drop(blind.handle(vote(0, n, &foreign))));
    blind.handle(Event::Round(1));
    assert_eq!(votes(&blind.handle(proposal(1, 1, &foreign, Some(0)))), []);
}

#[test]
fn a_proposer_repeats_the_latest_quorum_with_its_round() {
    let (mut machine, other) = (ready(3), list(0..3));
    machine.handle(Event::Round(1));
    machine.handle(proposal(1, 1, &other, None));
    (0..3).for_each(|n| drop(machine.handle(vote(1, n, &other))));
    let actions = machine.handle(Event::Round(3));
    let sent = actions.iter().find_map(|action| match action {
        Action::SendProposal(3, proposed) => Some(proposed.clone()),
        _ => None,
    });
    let expected = Proposed {
        list: other,
        quorum_in: Some(1),
    };
    assert_eq!(sent, Some(expected));
}

#[test]
fn a_restart_between_lock_and_signature_asks_for_the_root_again() {
    let (mut machine, all) = (ready(3), list(0..4));
    machine.handle(Event::Round(0));
    machine.handle(proposal(0, 0, &all, None));
    machine.handle(vote(0, 0, &all));
    machine.handle(vote(0, 1, &all));
    let (mut restored, again) = Rounds::with(setting(3, &[1; 4]), machine.memory.clone());
    assert_eq!(again, [Action::SendVote(0, hash_of(&all))]);
    restored.view = machine.view.clone();
    restored.handle(Event::Round(0));
    let actions = restored.handle(proposal(0, 0, &all, None));
    assert_eq!(actions, [Action::ComputeRoot(0, all)]);
}

/// A cluster in one process. Liars have less than a third of the weight; everything anybody says is on a board that
/// shows, until it heals, to each what it likes, when it likes, as often as it likes.
struct Cluster {
    weights: Vec<u128>,
    liars: Vec<usize>,
    machines: Vec<Rounds>,
    disks: Vec<Memory>,
    board: Vec<Event>,
    mail: Vec<(usize, Event)>,
    /// Who signed (round, list), liars left out.
    signed: BTreeMap<(u32, Digest), BTreeSet<usize>>,
    said: BTreeMap<(usize, u32), Digest>,
    healed: bool,
    random: u64,
}

impl Cluster {
    fn new(weights: Vec<u128>, mut random: u64) -> Self {
        random |= 1;
        let total: u128 = weights.iter().sum();
        let mut liars = Vec::new();
        let mut lying = 0;
        for (n, weight) in weights.iter().enumerate() {
            if (lying + weight) * 3 < total {
                lying += weight;
                liars.push(n);
            }
        }
        let start = |n| Rounds::with(setting(n, &weights), Memory::default()).0;
        Self {
            machines: (0..weights.len()).map(start).collect(),
            disks: vec![Memory::default(); weights.len()],
            weights,
            liars,
            board: Vec::new(),
            mail: Vec::new(),
            signed: BTreeMap::new(),
            said: BTreeMap::new(),
            healed: false,
            random,
        }
    }

    fn pick(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % below as u64) as usize
    }

    fn honest(&self) -> Vec<usize> {
        let all = 0..self.weights.len();
        all.filter(|n| !self.liars.contains(n)).collect()
    }

    fn tell(&mut self, to: usize, event: Event) {
        let actions = self.machines[to].handle(event);
        self.act(to, actions);
    }

    fn act(&mut self, own: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist(memory) => self.disks[own] = memory,
                Action::SendProposal(round, proposed) => {
                    assert_eq!(self.disks[own].proposed.get(&round), Some(&proposed));
                    let from = id(own);
                    self.post(Event::Proposal {
                        from,
                        round,
                        proposed,
                    });
                }
                Action::SendVote(round, input_set) => {
                    assert_eq!(self.disks[own].voted.get(&round), Some(&input_set));
                    let said = *self.said.entry((own, round)).or_insert(input_set);
                    assert_eq!(said, input_set, "two votes in one round");
                    let from = id(own);
                    self.post(Event::Vote {
                        from,
                        round,
                        input_set,
                    });
                }
                Action::ComputeRoot(round, list) => {
                    // Until it heals, a crash sometimes comes before the answer.
                    if self.healed || self.pick(5) > 0 {
                        self.tell(own, root(round, &list));
                    }
                }
                Action::SignRoot(round, signed) => {
                    assert_eq!(self.disks[own].signed.get(&round), Some(&signed));
                    let lists = self.machines[own].lists.keys();
                    let list = lists.copied().find(|l| digest(round, l) == signed);
                    if let Some(list) = list {
                        self.signed.entry((round, list)).or_default().insert(own);
                    }
                }
            }
        }
    }

    fn post(&mut self, event: Event) {
        self.board.push(event.clone());
        for to in self.honest() {
            self.mail.push((to, event.clone()));
        }
    }

    fn crash(&mut self, who: usize) {
        let before = self.machines[who].clone();
        let (mut after, again) = Rounds::with(before.setting, self.disks[who].clone());
        // The clock and what was kept of commits and reveals are still there; votes and lists are not.
        (after.view, after.round) = (before.view, before.round);
        self.machines[who] = after;
        self.act(who, again);
    }

    /// Part of the mail, in any order; some is lost or comes twice, and HyperNodes crash.
    fn misdeliver(&mut self) {
        for _ in 0..self.mail.len().min(400) {
            let at = self.pick(self.mail.len());
            let (to, event) = self.mail.swap_remove(at);
            match self.pick(10) {
                0 | 1 => continue,
                2 => self.mail.push((to, event.clone())),
                3 => self.crash(to),
                _ => {}
            }
            self.tell(to, event);
            self.is_safe();
        }
    }

    /// Everything the board ever held, to everybody.
    fn deliver(&mut self) {
        self.mail.clear();
        let mut at = 0;
        while let Some(event) = self.board.get(at).cloned() {
            for to in self.honest() {
                self.tell(to, event.clone());
            }
            at += 1;
        }
        self.mail.clear();
    }

    /// Liars propose two lists, claim quorums that never were and vote for anything, to whomever they like.
    fn lie(&mut self, round: u32) {
        let members = self.weights.len();
        let lists = [list(0..members), list(1..members), list(0..members - 1)];
        for liar in self.liars.clone() {
            for to in self.honest() {
                let told = lists[self.pick(3)].clone();
                let claim =
                    (self.pick(3) == 0 && round > 0).then(|| self.pick(round as usize) as u32);
                let events = [
                    proposal(round, liar, &told, claim),
                    vote(round, liar, &told),
                    vote(round.saturating_sub(1), liar, &lists[self.pick(3)]),
                ];
                for event in events {
                    if self.pick(3) > 0 {
                        self.board.push(event.clone());
                        self.mail.push((to, event));
                    }
                }
            }
        }
    }

    fn weight(&self, of: &BTreeSet<usize>) -> u128 {
        of.iter().map(|n| self.weights[*n]).sum()
    }

    /// Lists that could be signed by more than 2/3 in one round, if every liar signs everything.
    fn signable(&self) -> BTreeSet<Digest> {
        let total = self.weights.iter().sum();
        let lying: u128 = self.liars.iter().map(|n| self.weights[*n]).sum();
        let won =
            |signers: &BTreeSet<usize>| more_than_two_thirds(self.weight(signers) + lying, total);
        let lists = self.signed.iter().filter(|(_, signers)| won(signers));
        lists.map(|((_, list), _)| *list).collect()
    }

    fn is_safe(&self) {
        assert!(self.signable().len() <= 1, "two lists are signed");
    }

    /// Signed by more than 2/3 in one round, without any liar.
    fn is_done(&self) -> bool {
        let total = self.weights.iter().sum();
        let mut signers = self.signed.values();
        signers.any(|signers| more_than_two_thirds(self.weight(signers), total))
    }

    /// The first and the last member are allowed and not required, so that several lists are acceptable.
    fn everybody_commits(&mut self, kept: impl Fn(&mut Self) -> bool) {
        let last = self.weights.len() - 1;
        for to in self.honest() {
            for n in 1..last {
                if kept(self) {
                    self.tell(to, Event::Commit(entry(n)));
                }
            }
            self.tell(to, Event::CommitsDue);
            self.tell(to, Event::Commit(entry(0)));
            self.tell(to, Event::Commit(entry(last)));
            self.tell(to, Event::CommitsClosed);
            for n in 0..=last {
                if kept(self) {
                    self.tell(to, Event::Reveal(entry(n)));
                }
            }
            self.tell(to, Event::RevealsDue);
        }
    }

    fn round(&mut self, round: u32) {
        for to in self.honest() {
            self.tell(to, Event::Round(round));
        }
        self.lie(round);
    }
}

fn weights() -> impl Strategy<Value = Vec<u128>> {
    proptest::collection::vec(1u128..6, 4..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    /// Safety, whatever the board does, with views of commits and reveals that differ for good.
    #[test]
    fn two_lists_are_never_both_signed_in_whatever_rounds(weights in weights(), random: u64) {
        let mut cluster = Cluster::new(weights, random);
        cluster.everybody_commits(|cluster| cluster.pick(40) > 0);
        for round in 0..8 {
            cluster.round(round);
            cluster.misdeliver();
        }
        cluster.deliver();
        cluster.is_safe();
    }

    /// Liveness: once the board shows everybody everything, a round of an honest proposer ends it.
    #[test]
    fn agreement_ends_when_the_board_heals(weights in weights(), random: u64) {
        let members = weights.len() as u32;
        let mut cluster = Cluster::new(weights, random);
        cluster.everybody_commits(|_| true);
        for round in 0..5 {
            cluster.round(round);
            cluster.misdeliver();
        }
        cluster.deliver();
        cluster.healed = true;
        for round in 5..5 + 3 * members {
            cluster.round(round);
            cluster.deliver();
            cluster.is_safe();
        }
        prop_assert!(cluster.is_done());
    }
}

/// The properties are not empty: without liars and loss the first round ends it, and locks across rounds do occur.
#[test]
fn the_cluster_reaches_locks_in_several_rounds() {
    let mut rounds = BTreeSet::new();
    for random in 0..40 {
        let mut cluster = Cluster::new(vec![3, 3, 2, 2, 1], random * 7_919 + 1);
        cluster.everybody_commits(|_| true);
        for round in 0..5 {
            cluster.round(round);
            cluster.misdeliver();
        }
        let locks = cluster
            .honest()
            .into_iter()
            .filter_map(|n| cluster.machines[n].locked());
        rounds.extend(locks.map(|lock| lock.round));
    }
    assert!(rounds.len() >= 3, "{rounds:?}");
}
