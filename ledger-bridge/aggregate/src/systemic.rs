//! What failed everywhere at once is nobody's breach: slots in which most of the others were down are excused.
//!
//! ```text
//! unit       a provider, or a site: all its nodes together. It is *decided* in a slot when one of its nodes is up or
//!            down there, and *down* when more of its nodes are down than up
//! others     units counted without any node of the provider that asks: its own nodes never excuse it
//! excused    a slot in which at least `systemic_min_providers` other providers are decided, more than half of
//!            them are down, and more than half of the other sites that are decided are down, too
//! ```
//!
//! Each provider and each site counts once, however many nodes it has, so neither a large provider nor one failed data
//! centre excuses the rest. An excused slot that was down is inconclusive: it lowers coverage, is not paid for, and
//! breaks no promise. A slot that was up stays up.

use crate::availability::SlotState;
use assay_protocol::ids::{Address, Digest};
use std::collections::BTreeMap;

/// Fewest providers a network may ask for.
pub const PROVIDERS_MIN: u32 = 5;

/// Where nodes stand together; what it is named by is up to the network.
pub type Site = Digest;

/// The slots of all nodes of an epoch, by provider and by site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Systemic {
    min_providers: u32,
    slots: usize,
    providers: BTreeMap<Address, Vec<Tally>>,
    sites: BTreeMap<Site, Vec<Tally>>,
    /// What a provider's own nodes add to a site.
    shares: BTreeMap<(Address, Site), Vec<Tally>>,
}

/// Nodes of a unit in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    up: u32,
    down: u32,
}

/// Units of a kind in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Units {
    decided: u32,
    down: u32,
}

/// Units of both kinds, slot by slot.
#[derive(Debug, Clone)]
struct Totals {
    providers: Vec<Units>,
    sites: Vec<Units>,
}

/// Excused slots by provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excuses {
    providers: BTreeMap<Address, Vec<bool>>,
    /// Of a provider without a node of its own.
    others: Vec<bool>,
}

/// The site of a node about whose place nothing is known: one for all of its provider's.
pub fn site_of_provider(provider: &Address) -> Site {
    let mut site = [0; 32];
    for (to, from) in site.iter_mut().rev().zip(provider.0.iter().rev()) {
        *to = *from;
    }
    Digest(site)
}

impl Systemic {
    /// Nothing known yet of an epoch of so many slots.
    pub fn new(min_providers: u32, slots: u32) -> Self {
        Self {
            min_providers,
            slots: slots as usize,
            providers: BTreeMap::new(),
            sites: BTreeMap::new(),
            shares: BTreeMap::new(),
        }
    }

    /// Adds a node; the order does not matter.
    pub fn add(&mut self, provider: Address, site: Site, states: &[SlotState]) {
        let slots = self.slots;
        let empty = || vec![Tally::default(); slots];
        let provided = self.providers.entry(provider).or_insert_with(empty);
        count(provided, states);
        count(self.sites.entry(site).or_insert_with(empty), states);
        let share = self.shares.entry((provider, site)).or_insert_with(empty);
        count(share, states);
    }

    /// What is excused, after the last node was added.
    pub fn excuses(&self) -> Excuses {
        let totals = Totals {
            providers: units(self.slots, self.providers.values()),
            sites: units(self.slots, self.sites.values()),
        };
        let each = self.providers.iter();
        Excuses {
            providers: each
                .map(|(provider, own)| (*provider, self.excused(totals.clone(), provider, own)))
                .collect(),
            others: self.decide(&totals),
        }
    }

    fn excused(&self, mut others: Totals, provider: &Address, own: &[Tally]) -> Vec<bool> {
        for (units, tally) in others.providers.iter_mut().zip(own) {
            units.remove(*tally);
        }
        let from = (*provider, Digest([0; 32]));
        let shares = self.shares.range(from..);
        for ((_, site), share) in shares.take_while(|((owner, _), _)| owner == provider) {
            let whole = self.sites.get(site).into_iter().flatten();
            for ((units, whole), share) in others.sites.iter_mut().zip(whole).zip(share) {
                units.remove(*whole);
                units.add(whole.without(*share));
            }
        }
        self.decide(&others)
    }

    fn decide(&self, others: &Totals) -> Vec<bool> {
        let slots = others.providers.iter().zip(&others.sites);
        slots
            .map(|(providers, sites)| {
                let enough = providers.decided >= self.min_providers;
                enough && providers.mostly_down() && sites.mostly_down()
            })
            .collect()
    }
}

impl Excuses {
    /// For each slot, whether a node of `provider` that was down in it is excused.
    pub fn of(&self, provider: &Address) -> &[bool] {
        self.providers.get(provider).unwrap_or(&self.others)
    }
}

fn count(tallies: &mut [Tally], states: &[SlotState]) {
    for (tally, state) in tallies.iter_mut().zip(states) {
        match state {
            SlotState::Up => tally.up = tally.up.saturating_add(1),
            SlotState::Down => tally.down = tally.down.saturating_add(1),
            SlotState::Inconclusive => {}
        }
    }
}

fn units<'a>(slots: usize, each: impl Iterator<Item = &'a Vec<Tally>>) -> Vec<Units> {
    let mut all = vec![Units::default(); slots];
    for tallies in each {
        for (units, tally) in all.iter_mut().zip(tallies) {
            units.add(*tally);
        }
    }
    all
}

impl Tally {
    fn is_decided(self) -> bool {
        self.up > 0 || self.down > 0
    }

    fn is_down(self) -> bool {
        self.down > self.up
    }

    fn without(self, own: Self) -> Self {
        Self {
            up: self.up.saturating_sub(own.up),
            down: self.down.saturating_sub(own.down),
        }
    }
}

impl Units {
    fn add(&mut self, tally: Tally) {
        self.decided = self.decided.saturating_add(tally.is_decided().into());
        self.down = self.down.saturating_add(tally.is_down().into());
    }

    fn remove(&mut self, tally: Tally) {
        self.decided = self.decided.saturating_sub(tally.is_decided().into());
        self.down = self.down.saturating_sub(tally.is_down().into());
    }

    fn mostly_down(self) -> bool {
        crate::more_than_half(self.down.into(), self.decided.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SlotState::{Down, Inconclusive, Up};
    use proptest::prelude::*;

    fn provider(n: u8) -> Address {
        Address([n; 20])
    }

    fn site(n: u8) -> Site {
        Digest([n; 32])
    }

    /// One slot: (provider, site, state) of each node.
    fn excused(nodes: &[(u8, u8, SlotState)], who: u8) -> bool {
        let mut systemic = Systemic::new(5, 1);
        for (p, s, state) in nodes {
            systemic.add(provider(*p), site(*s), &[*state]);
        }
        systemic.excuses().of(&provider(who))[0]
    }

    fn others(down: u8, up: u8) -> Vec<(u8, u8, SlotState)> {
        let state = |n| if n < down { Down } else { Up };
        (0..down + up).map(|n| (n + 1, n + 1, state(n))).collect()
    }

    #[test]
    fn more_than_half_of_five_others() {
        assert!(excused(&others(5, 0), 0));
        assert!(excused(&others(3, 2), 0));
        assert!(!excused(&others(2, 3), 0));
        assert!(!excused(&others(3, 3), 0));
        assert!(!excused(&others(4, 0), 0));
        assert!(!excused(&[], 0));
    }

    #[test]
    fn a_providers_own_nodes_never_excuse_it() {
        let mut nodes = others(4, 0);
        nodes.extend([(0, 20, Down), (0, 21, Down), (0, 22, Down)]);
        assert!(!excused(&nodes, 0));
        // Another provider may count those: they are one more provider, and three more sites.
        assert!(excused(&nodes, 99));
    }

    #[test]
    fn a_provider_counts_once_however_many_nodes_it_has() {
        let mut nodes = others(2, 3);
        nodes.extend((0..50).map(|n| (1, 100 + n, Down)));
        assert!(!excused(&nodes, 0));
        // And is down when more of its nodes are down than up.
        let mut nodes = others(3, 2);
        nodes.push((1, 100, Up));
        assert!(!excused(&nodes, 0));
        nodes.push((1, 101, Down));
        assert!(excused(&nodes, 0));
    }

    #[test]
    fn a_site_counts_once_however_many_providers_are_there() {
        // Four of six providers share one data centre that failed: one site of three.
        let nodes = [
            (1, 9, Down),
            (2, 9, Down),
            (3, 9, Down),
            (4, 9, Down),
            (5, 5, Up),
            (6, 6, Up),
        ];
        assert!(!excused(&nodes, 0));
        let mut spread = nodes;
        for (at, node) in spread.iter_mut().enumerate() {
            node.1 = 10 + at as u8;
        }
        assert!(excused(&spread, 0));
    }

    #[test]
    fn ones_own_nodes_are_taken_out_of_shared_sites() {
        // The site of provider 0 is up only by others' nodes there, and down only by its own.
        let mut nodes = others(3, 2);
        nodes.extend([(0, 1, Up), (0, 1, Up), (0, 4, Down), (0, 4, Down)]);
        assert!(excused(&nodes, 0));
    }

    #[test]
    fn what_is_not_decided_counts_nowhere() {
        let mut nodes = others(3, 2);
        nodes.extend([(50, 50, Inconclusive), (51, 51, Inconclusive)]);
        assert!(excused(&nodes, 0));
        let few: Vec<_> = others(4, 0)
            .into_iter()
            .chain([(50, 50, Inconclusive)])
            .collect();
        assert!(!excused(&few, 0));
    }

    #[test]
    fn an_unknown_place_is_one_site_per_provider() {
        assert_ne!(
            site_of_provider(&provider(1)),
            site_of_provider(&provider(2))
        );
        assert_eq!(site_of_provider(&provider(7)).0[..12], [0; 12]);
        assert_eq!(site_of_provider(&provider(7)).0[12..], [7; 20]);
    }

    type Node = (u8, u8, Vec<SlotState>);

    /// The rule as it is written.
    fn by_hand(nodes: &[Node], who: u8, slot: usize) -> bool {
        let of = |unit: fn(&Node) -> u8, n: u8| {
            let states = || {
                let nodes = nodes.iter().filter(|node| node.0 != who && unit(node) == n);
                nodes.map(|node| node.2[slot])
            };
            let up = states().filter(|state| *state == Up).count();
            let down = states().filter(|state| *state == Down).count();
            (up + down > 0, down > up)
        };
        let mostly = |unit: fn(&Node) -> u8, least: usize| {
            let units: Vec<_> = (0..=255).map(|n| of(unit, n)).filter(|u| u.0).collect();
            units.len() >= least && units.iter().filter(|u| u.1).count() * 2 > units.len()
        };
        mostly(|node| node.0, 5) && mostly(|node| node.1, 1)
    }

    proptest! {
        #[test]
        fn sums_agree_with_the_rule_by_hand_in_any_order(
            nodes in proptest::collection::vec(
                (0u8..9, 0u8..6, proptest::collection::vec(0u8..4, 3)), 0..40),
            who in 0u8..9,
        ) {
            // Down is likely, or nothing is ever excused.
            let state = |code: &u8| [Down, Down, Up, Inconclusive][usize::from(*code)];
            let nodes: Vec<Node> = nodes
                .into_iter()
                .map(|(p, s, codes)| (p, s, codes.iter().map(state).collect()))
                .collect();
            let build = |nodes: &mut dyn Iterator<Item = &Node>| {
                let mut systemic = Systemic::new(5, 3);
                for (p, s, states) in nodes {
                    systemic.add(provider(*p), site(*s), states);
                }
                systemic
            };
            let systemic = build(&mut nodes.iter());
            prop_assert_eq!(&systemic, &build(&mut nodes.iter().rev()));
            let got = systemic.excuses().of(&provider(who)).to_vec();
            let expected: Vec<_> = (0..3).map(|slot| by_hand(&nodes, who, slot)).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
