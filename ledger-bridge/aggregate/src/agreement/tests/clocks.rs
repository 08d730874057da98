//! HyperNodes with clocks of their own that look at one honest board, and seats that post when it divides most.

use super::*;
use crate::agreement::{CommitEdges, LOOK_MS, commit_ms_min};
use proptest::prelude::*;

const SLOT_MS: u64 = 500;
/// Of the simulation's clock.
const STEP_MS: u64 = 10;

/// When what happens, in milliseconds after the epoch's end.
#[derive(Debug, Clone, Copy)]
struct Times {
    edges: CommitEdges,
    reveal_ms: u64,
    vote_ms: u64,
    /// How much two clocks differ at most.
    skew_ms: u64,
}

impl Times {
    /// `more` than the shortest window that a plan may have.
    fn new(skew_ms: u64, more: u64) -> Self {
        let commit_ms = commit_ms_min(SLOT_MS, skew_ms) + more;
        Self {
            edges: CommitEdges::within(SLOT_MS, commit_ms),
            reveal_ms: commit_ms + 2_000,
            vote_ms: commit_ms + 6_000,
            skew_ms,
        }
    }

    /// Two edges only, as before: proposers list whatever they saw before the closing.
    fn without_listed(mut self) -> Self {
        let closed_ms = self.edges.closed_ms;
        self.edges.due_ms = closed_ms * 3 / 4;
        self.edges.listed_ms = closed_ms;
        self
    }

    /// What the clock says to a machine.
    fn phases(&self) -> [(u64, Event); 7] {
        let CommitEdges {
            due_ms,
            listed_ms,
            closed_ms,
        } = self.edges;
        let voting = self.vote_ms - self.reveal_ms;
        [
            (due_ms, Event::CommitsDue),
            (listed_ms, Event::CommitsListed),
            (closed_ms, Event::CommitsClosed),
            (
                closed_ms + (self.reveal_ms - closed_ms) * 3 / 4,
                Event::RevealsDue,
            ),
            (self.reveal_ms, Event::ProposalDue),
            (self.reveal_ms + voting * 4 / 10, Event::ProposalDue),
            (self.reveal_ms + voting * 7 / 10, Event::ProposalDue),
        ]
    }

    /// When the board takes it.
    fn window(&self, event: &Event) -> std::ops::Range<u64> {
        match event {
            Event::Commit(_) => 0..self.edges.closed_ms,
            Event::Reveal(_) => self.edges.closed_ms..self.reveal_ms,
            _ => self.edges.closed_ms..self.vote_ms,
        }
    }
}

/// An honest HyperNode and the clock that drives it.
struct Honest {
    who: usize,
    machine: Agreement,
    /// How far its clock is ahead.
    ahead_ms: u64,
    looks_at: u64,
    phase: usize,
    read: usize,
    outbox: Vec<Event>,
    signed: Option<Keccak>,
    /// What a crash leaves: commits with when they were seen, and what was persisted.
    seen: BTreeMap<Entry, Arrival>,
    disk: Option<Memory>,
}

struct World {
    times: Times,
    honest: Vec<Honest>,
    hostile: Vec<usize>,
    /// What hostile seats post, and when.
    planned: Vec<(u64, Event)>,
    board: Vec<Event>,
    random: u64,
}

impl World {
    /// Hostile seats have less than a third of the weight and are not all three proposers.
    fn new(times: Times, weights: &[u128], random: u64) -> Self {
        let mut world = Self {
            times,
            honest: Vec::new(),
            hostile: Vec::new(),
            planned: Vec::new(),
            board: Vec::new(),
            random: random | 1,
        };
        let order = world.shuffled(weights.len());
        let (mut lying, total) = (0, weights.iter().sum::<u128>());
        for n in &order {
            if (lying + weights[*n]) * 3 < total {
                lying += weights[*n];
                world.hostile.push(*n);
            }
        }
        let mut turns = world.shuffled(weights.len());
        let honest = |n: &usize| !world.hostile.contains(n);
        let first = turns.iter().position(honest).unwrap();
        turns.swap(first.min(2), first);
        turns.truncate(3);
        world.seat(weights, &turns);
        for n in world.hostile.clone() {
            world.plan(n);
        }
        world
    }

    fn seat(&mut self, weights: &[u128], turns: &[usize]) {
        for who in 0..weights.len() {
            if self.hostile.contains(&who) {
                continue;
            }
            let setting = Setting {
                proposers: turns.iter().copied().map(id).collect(),
                weights: (0..weights.len()).map(|n| (id(n), weights[n])).collect(),
                ..setting(who, 0)
            };
            let mut honest = Honest {
                who,
                machine: Agreement::start(setting),
                ahead_ms: self.below(self.times.skew_ms + 1),
                looks_at: self.below(LOOK_MS),
                phase: 0,
                read: 0,
                outbox: vec![Event::Commit(entry(who)), Event::Reveal(entry(who))],
                signed: None,
                seen: BTreeMap::new(),
                disk: None,
            };
            // It has its report a slot after the epoch's end by its clock, not by the world's.
            honest.looks_at += SLOT_MS - honest.ahead_ms.min(SLOT_MS);
            self.honest.push(honest);
        }
    }

    /// A commit and a reveal at any time, or where they divide most.
    fn plan(&mut self, n: usize) {
        let CommitEdges {
            due_ms,
            listed_ms,
            closed_ms,
        } = self.times.edges;
        let (reveal_ms, blur) = (self.times.reveal_ms, LOOK_MS + self.times.skew_ms);
        let commit = match self.below(6) {
            0 => self.below(closed_ms),
            1 => self.near(due_ms, blur),
            2 => self.near(listed_ms, blur),
            _ => closed_ms - 1 - self.below(blur),
        };
        let reveal = match self.below(4) {
            0 => closed_ms + self.below(reveal_ms - closed_ms),
            1 => self.near(closed_ms + (reveal_ms - closed_ms) * 3 / 4, blur),
            2 => closed_ms,
            _ => reveal_ms - 1 - self.below(blur),
        };
        self.planned.push((commit, Event::Commit(entry(n))));
        self.planned.push((reveal, Event::Reveal(entry(n))));
    }

    fn near(&mut self, at: u64, blur: u64) -> u64 {
        (at + self.below(2 * blur)).saturating_sub(blur)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev() {
            let other = self.below(at as u64 + 1) as usize;
            order.swap(at, other);
        }
        order
    }

    /// Of so many looks one comes after a crash; never for 0.
    fn run(&mut self, crashes: u64) {
        for now in (0..self.times.vote_ms + 1_000).step_by(STEP_MS as usize) {
            for (at, event) in std::mem::take(&mut self.planned) {
                if at > now {
                    self.planned.push((at, event));
                } else if self.times.window(&event).contains(&now) {
                    self.board.push(event);
                }
            }
            for at in 0..self.honest.len() {
                if self.honest[at].looks_at <= now {
                    let pause = LOOK_MS - self.below(50);
                    let crash = crashes > 0 && self.below(crashes) == 0;
                    let looker = &mut self.honest[at];
                    if crash {
                        looker.crash();
                    }
                    looker.look(now, &self.times, &mut self.board);
                    looker.looks_at = now + pause - STEP_MS;
                }
            }
        }
    }

    /// The list that every honest HyperNode has signed a root of.
    fn agreed(&self) -> Option<Vec<Entry>> {
        let signed: BTreeSet<_> = self.honest.iter().map(|one| one.signed).collect();
        let [Some(signed)] = signed.into_iter().collect::<Vec<_>>()[..] else {
            return None;
        };
        self.board.iter().find_map(|event| match event {
            Event::Proposal { list, .. } if hash_of(list).0 == signed.0 => Some(list.clone()),
            _ => None,
        })
    }
}

impl Honest {
    /// As the daemon does: the clock first, then what is to be posted, then what the board shows.
    fn look(&mut self, now: u64, times: &Times, board: &mut Vec<Event>) {
        while let Some((at, event)) = times.phases().get(self.phase).cloned() {
            if at > now + self.ahead_ms {
                break;
            }
            self.phase += 1;
            self.tell(event);
        }
        self.outbox.retain(|event| {
            let window = times.window(event);
            if window.contains(&now) && !board.contains(event) {
                board.push(event.clone());
            }
            now < window.start
        });
        while let Some(event) = board.get(self.read).cloned() {
            self.read += 1;
            if let Event::Commit(entry) = event {
                let arrival = self.arrival();
                self.seen.entry(entry).or_insert(arrival);
            }
            self.tell(event);
        }
        self.tell(Event::ReadToEnd);
    }

    fn arrival(&self) -> Arrival {
        let code = self.phase.min(usize::from(Arrival::Late.code()));
        Arrival::from_code(code as u8).unwrap()
    }

    /// It starts again with what it kept, and reads the board from its beginning.
    fn crash(&mut self) {
        let setting = self.machine.setting.clone();
        let (machine, again) = match self.disk.clone() {
            Some(memory) => Agreement::restore(setting, memory).unwrap(),
            None => (Agreement::start(setting), Vec::new()),
        };
        self.machine = machine;
        self.seen.retain(|_, arrival| *arrival < Arrival::Late);
        for (entry, arrival) in self.seen.clone() {
            self.tell(Event::CommitSeen(entry, arrival));
        }
        (self.phase, self.read) = (0, 0);
        self.outbox = vec![
            Event::Commit(entry(self.who)),
            Event::Reveal(entry(self.who)),
        ];
        self.carry_out(again);
    }

    fn tell(&mut self, event: Event) {
        let actions = self.machine.handle(event);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let from = id(self.who);
        for action in actions {
            match action {
                Action::SendProposal(list) => self.outbox.push(Event::Proposal { from, list }),
                Action::SendVote(input_set) => self.outbox.push(Event::Vote { from, input_set }),
                Action::ComputeRoot(list) => {
                    let input_set = hash_of(&list);
                    let digest = Keccak(input_set.0);
                    self.tell(Event::RootComputed { input_set, digest });
                }
                Action::SignRoot(digest) => self.signed = Some(digest),
                Action::Persist(memory) => self.disk = Some(memory),
                Action::Fail(failure) => panic!("{failure}"),
            }
        }
    }
}

/// Of so many epochs, how many are void.
fn void_of(epochs: u64, times: Times) -> u64 {
    let is_void = |seed: &u64| {
        let weights = [10u128; 10];
        let mut world = World::new(times, &weights, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // One seat alone is enough: its commit comes less than a look before the closing.
        let seat = world.hostile[0];
        let commit = times.edges.closed_ms - 1 - world.below(LOOK_MS);
        world.planned = vec![
            (commit, Event::Commit(entry(seat))),
            (times.edges.closed_ms, Event::Reveal(entry(seat))),
        ];
        world.run(0);
        world.agreed().is_none()
    };
    (0..epochs).filter(is_void).count() as u64
}

#[test]
fn a_commit_just_before_the_closing_costs_nobody_the_epoch() {
    let times = Times::new(20, 0);
    assert_eq!(void_of(400, times), 0);
    // That is what the edge between due and closed is for.
    let before = void_of(400, times.without_listed());
    assert!(before > 100, "{before} of 400 epochs were void without it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Every honest report is on the list, too, and no restart changes it.
    #[test]
    fn whatever_seats_post_at_the_edges_the_epoch_is_agreed_upon(
        weights in proptest::collection::vec(1u128..20, 4..10),
        skew in 0u64..400, more in prop_oneof![Just(0u64), 0u64..3_000],
        crashes in prop_oneof![Just(0u64), Just(20)], random: u64,
    ) {
        let mut world = World::new(Times::new(skew, more), &weights, random);
        world.run(crashes);
        let list = world.agreed();
        prop_assert!(list.is_some(), "void; proposals: {:?}", world.board);
        let list = list.unwrap();
        for one in &world.honest {
            prop_assert!(list.contains(&entry(one.who)));
        }
    }
}
