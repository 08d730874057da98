//! Four HyperNodes in one process: whatever the board, a crash or a liar does, never two roots.

use super::*;
use proptest::prelude::*;

/// A cluster in one process. The root stands for H(L): any function of the agreed list would do.
struct Cluster {
    machines: Vec<Agreement>,
    /// What an honest HyperNode ever sent: at most one value each.
    voted: Vec<BTreeSet<Digest>>,
    signed: Vec<BTreeSet<Keccak>>,
    proposed: Vec<BTreeSet<Vec<Entry>>>,
    /// The last memory each HyperNode wrote: all that a crash leaves.
    disks: Vec<Option<Vec<u8>>>,
    mail: Vec<(usize, Event)>,
    random: u64,
}

impl Cluster {
    fn new(proposer: usize, random: u64) -> Self {
        Self {
            machines: (0..4)
                .map(|n| Agreement::start(setting(n, proposer)))
                .collect(),
            voted: vec![BTreeSet::new(); 4],
            signed: vec![BTreeSet::new(); 4],
            proposed: vec![BTreeSet::new(); 4],
            disks: vec![None; 4],
            mail: Vec::new(),
            random: random | 1,
        }
    }

    fn pick(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % below as u64) as usize
    }

    fn tell(&mut self, to: usize, event: Event) {
        let actions = self.machines[to].handle(event);
        self.act(to, actions);
    }

    fn tell_all(&mut self, event: &Event) {
        for to in 0..4 {
            self.tell(to, event.clone());
        }
    }

    fn act(&mut self, own: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist(memory) => self.disks[own] = Some(memory.encode()),
                Action::SendProposal(list) => {
                    assert_eq!(self.disk(own).proposal.as_ref(), Some(&list));
                    self.proposed[own].insert(list.clone());
                    self.post(&Event::Proposal {
                        from: id(own),
                        list,
                    });
                }
                Action::SendVote(input_set) => {
                    assert_eq!(self.disk(own).vote, Some(input_set));
                    self.voted[own].insert(input_set);
                    self.post(&Event::Vote {
                        from: id(own),
                        input_set,
                    });
                }
                Action::ComputeRoot(list) => {
                    let input_set = hash_of(&list);
                    assert_eq!(self.disk(own).lock, Some(input_set));
                    let digest = Keccak(input_set.0);
                    self.tell(own, Event::RootComputed { input_set, digest });
                }
                Action::SignRoot(digest) => {
                    assert_eq!(self.disk(own).signed, Some(digest));
                    self.signed[own].insert(digest);
                }
                Action::Fail(_) => {}
            }
        }
    }

    /// What a crash right now would leave.
    fn disk(&self, who: usize) -> Memory {
        Memory::decode(self.disks[who].as_ref().unwrap()).unwrap()
    }

    fn post(&mut self, event: &Event) {
        for to in 0..4 {
            self.mail.push((to, event.clone()));
        }
    }

    /// Delivers everything, in random order; a misbehaving board drops and repeats, and HyperNodes crash.
    fn deliver(&mut self, misbehaving: bool) {
        for _ in 0..2_000 {
            if self.mail.is_empty() {
                return;
            }
            let at = self.pick(self.mail.len());
            let (to, event) = self.mail.swap_remove(at);
            if misbehaving {
                match self.pick(12) {
                    0 => continue,
                    1 => self.mail.push((to, event.clone())),
                    2 => self.crash(to),
                    _ => {}
                }
            }
            self.tell(to, event);
        }
    }

    fn crash(&mut self, who: usize) {
        let before = self.machines[who].clone();
        let (mut after, again) = match &self.disks[who] {
            None => (Agreement::start(before.setting), Vec::new()),
            Some(bytes) => {
                let memory = Memory::decode(bytes).unwrap();
                Agreement::restore(before.setting, memory).unwrap()
            }
        };
        // The clock and the board are still there.
        after.view = before.view;
        after.turns = before.turns;
        self.machines[who] = after;
        self.act(who, again);
    }
}

fn distinct<T: Ord + Clone>(sets: &[BTreeSet<T>], honest: &[usize]) -> BTreeSet<T> {
    honest
        .iter()
        .flat_map(|n| sets[*n].iter().cloned())
        .collect()
}

#[test]
fn honest_board_everybody_signs_the_same() {
    for proposer in 0..4 {
        let mut cluster = Cluster::new(proposer, 7);
        for entry in all() {
            cluster.tell_all(&Event::Commit(entry));
        }
        cluster.tell_all(&Event::CommitsClosed);
        for entry in all() {
            cluster.tell_all(&Event::Reveal(entry));
        }
        cluster.tell_all(&Event::RevealsDue);
        cluster.tell_all(&Event::ProposalDue);
        cluster.tell_all(&Event::ReadToEnd);
        cluster.deliver(false);
        assert!(cluster.signed.iter().all(|signed| signed.len() == 1));
        assert_eq!(distinct(&cluster.signed, &[0, 1, 2, 3]).len(), 1);
    }
}

#[test]
fn a_proposer_that_is_down_costs_nobody_the_epoch() {
    // Without the largest, nobody has two thirds.
    for down in 1..4 {
        let mut cluster = Cluster::new(down, 7);
        let there: Vec<usize> = (0..4).filter(|n| *n != down).collect();
        let tell = |cluster: &mut Cluster, event: &Event| {
            there.iter().for_each(|to| cluster.tell(*to, event.clone()));
        };
        let entries: Vec<Entry> = there.iter().map(|n| entry(*n)).collect();
        for entry in &entries {
            tell(&mut cluster, &Event::Commit(*entry));
        }
        tell(&mut cluster, &Event::CommitsClosed);
        for entry in &entries {
            tell(&mut cluster, &Event::Reveal(*entry));
        }
        tell(&mut cluster, &Event::RevealsDue);
        tell(&mut cluster, &Event::ProposalDue);
        tell(&mut cluster, &Event::ReadToEnd);
        cluster.mail.retain(|(to, _)| *to != down);
        cluster.deliver(false);
        assert!(distinct(&cluster.signed, &there).is_empty());
        tell(&mut cluster, &Event::ProposalDue);
        tell(&mut cluster, &Event::ReadToEnd);
        cluster.mail.retain(|(to, _)| *to != down);
        cluster.deliver(false);
        cluster.mail.retain(|(to, _)| *to != down);
        cluster.deliver(false);
        let signed = distinct(&cluster.signed, &there);
        assert_eq!(signed, [Keccak(hash_of(&entries).0)].into());
    }
}

#[test]
fn a_board_that_shows_two_hypernodes_another_set_gets_no_root_or_one() {
    for proposer in 0..4 {
        let mut cluster = Cluster::new(proposer, 11);
        let shown = |to: usize| if to < 2 { all() } else { all()[..3].to_vec() };
        for to in 0..4 {
            for entry in shown(to) {
                cluster.tell(to, Event::Commit(entry));
            }
            cluster.tell(to, Event::CommitsClosed);
            for entry in shown(to) {
                cluster.tell(to, Event::Reveal(entry));
            }
            cluster.tell(to, Event::RevealsDue);
        }
        cluster.tell_all(&Event::ProposalDue);
        cluster.tell_all(&Event::ReadToEnd);
        cluster.deliver(false);
        cluster.tell_all(&Event::Timeout);
        assert!(
            distinct(&cluster.signed, &[0, 1, 2, 3]).is_empty(),
            "proposer {proposer}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn never_two_roots_whatever_the_board_and_a_third_of_the_weight_do(
        random: u64, proposer in 0usize..4, liar in 1usize..4,
    ) {
        // The liar has at most 25 of 100.
        let honest: Vec<usize> = (0..4).filter(|n| *n != liar).collect();
        let mut cluster = Cluster::new(proposer, random);
        for to in 0..4 {
            for n in 0..4 {
                let shown = if n == liar && cluster.pick(2) == 0 { other_entry(n) } else { entry(n) };
                if cluster.pick(8) > 0 {
                    cluster.tell(to, Event::Commit(shown));
                }
                if cluster.pick(8) > 0 {
                    cluster.mail.push((to, Event::Reveal(shown)));
                }
            }
        }
        cluster.deliver(true);
        for event in [Event::CommitsClosed, Event::RevealsDue, Event::ProposalDue, Event::ReadToEnd] {
            cluster.tell_all(&event);
        }
        let lists: Vec<Vec<Entry>> = vec![all(), all()[..3].to_vec(), vec![entry(0), entry(1), other_entry(2)]];
        for to in 0..4 {
            for list in &lists {
                cluster.mail.push((to, Event::Proposal { from: id(liar), list: list.clone() }));
                if cluster.pick(2) == 0 {
                    cluster.mail.push((to, Event::Vote { from: id(liar), input_set: hash_of(list) }));
                }
            }
        }
        cluster.deliver(true);
        // Clocks differ: later turns come here and there, in any order with what is said.
        for _ in 0..6 {
            let (to, times) = (cluster.pick(4), cluster.pick(3));
            for _ in 0..times {
                cluster.tell(to, Event::ProposalDue);
                cluster.tell(to, Event::ReadToEnd);
            }
            cluster.deliver(true);
        }
        for n in &honest {
            prop_assert!(cluster.voted[*n].len() <= 1);
            prop_assert!(cluster.signed[*n].len() <= 1);
            prop_assert!(cluster.proposed[*n].len() <= 1);
        }
        prop_assert!(distinct(&cluster.signed, &honest).len() <= 1);
    }
}
