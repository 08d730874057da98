//! Who probes, who judges, who keeps regions and who proposes: stake-weighted draws, recomputable by anybody.
//!
//! | draw | label | period | how |
//! |---|---|---|---|
//! | panel of a slot | `assay/draw/1` | epoch, and the slot | without replacement, distinct operators |
//! | keepers of a node's regions | `assay/draw/keepers/1` | region generation | without replacement, distinct operators |
//! | committee of a node | `assay/draw/committee/1` | epoch | seats with replacement, one vote each |
//! | re-audit committee | `assay/draw/reaudit/1` | epoch | seats with replacement, one vote each |
//! | proposers of a round | `assay/draw/proposers/1` | epoch, and the round | without replacement, distinct operators first, in order |
//!
//! Random words are `SHA-256(label ‖ network ‖ beacon ‖ period u64 ‖ [node] ‖ [slot or round u32] ‖ i u64)`, i = 0, 1, …; the
//! first 16 bytes, big-endian, are x. With W the weight still in the urn, x is rejected when x ≥ ⌊2¹²⁸/W⌋·W (so that no
//! member is favoured) and else falls on the member whose weight covers x mod W, members in ascending order of id.
//! Without replacement, a drawn member leaves the urn with everybody of its operator.
//!
//! Weights are capped before the draw ([`crate::weights`]), and **stake enters once**: a drawn seat has one vote,
//! whatever the stake behind it; where everybody sits, votes are the capped weights and nothing is drawn.

use crate::epoch::Seat;
use crate::weights::Operator;
use assay_protocol::hash;
use assay_protocol::ids::{Beacon, Epoch, HyperNodeId, NetworkId, NodeId, Slot};
use std::collections::BTreeMap;

const PANEL_LABEL: &[u8] = b"assay/draw/1";
const PROPOSERS_LABEL: &[u8] = b"assay/draw/proposers/1";

/// A HyperNode that can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The HyperNode.
    pub hypernode: HyperNodeId,
    /// Its operator.
    pub operator: Operator,
    /// Its capped weight; 0 is never drawn.
    pub weight: u128,
}

impl From<&Seat> for Candidate {
    fn from(seat: &Seat) -> Self {
        Self {
            hypernode: seat.hypernode,
            operator: seat.operator,
            weight: seat.weight,
        }
    }
}

/// What a panel is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanelOf {
    /// Network.
    pub network: NetworkId,
    /// Public randomness of the epoch.
    pub beacon: Beacon,
    /// Epoch.
    pub epoch: Epoch,
    /// Node to be probed.
    pub node: NodeId,
    /// Slot of the epoch.
    pub slot: Slot,
}

/// What members are drawn for, other than the panel of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Judging a node for an epoch.
    Committee,
    /// Judging again a node that is to be slashed.
    Reaudit,
    /// Keeping regions on a node for a generation.
    Keepers,
}

/// What a committee, a re-audit or keepers are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawOf {
    /// Network.
    pub network: NetworkId,
    /// Public randomness: of the epoch, for keepers of the generation's first epoch.
    pub beacon: Beacon,
    /// The epoch; for keepers the generation.
    pub period: u64,
    /// The node.
    pub node: NodeId,
}

/// What proposers are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposersOf {
    /// Network.
    pub network: NetworkId,
    /// Public randomness of the epoch.
    pub beacon: Beacon,
    /// Epoch to be agreed upon.
    pub epoch: Epoch,
    /// Round of the agreement.
    pub round: u32,
}

/// Candidates in their canonical order, sorted once for many draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urn {
    balls: Vec<Candidate>,
    /// Weight before each ball.
    starts: Vec<u128>,
    total: u128,
    /// Balls by operator, and the group of each ball.
    groups: Vec<Vec<usize>>,
    group_of: Vec<usize>,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Committee => b"assay/draw/committee/1",
            Self::Reaudit => b"assay/draw/reaudit/1",
            Self::Keepers => b"assay/draw/keepers/1",
        }
    }
}

impl Urn {
    /// The urn of all candidates with weight; their order does not matter.
    pub fn new(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let mut balls: Vec<_> = candidates.into_iter().filter(|c| c.weight > 0).collect();
        balls.sort_unstable();
        let mut total = 0u128;
        let starts = balls
            .iter()
            .map(|ball| {
                let start = total;
                total = total.saturating_add(ball.weight);
                start
            })
            .collect();
        let mut by_operator: BTreeMap<Operator, Vec<usize>> = BTreeMap::new();
        for (at, ball) in balls.iter().enumerate() {
            by_operator.entry(ball.operator).or_default().push(at);
        }
        let groups: Vec<_> = by_operator.into_values().collect();
        let mut group_of = vec![0; balls.len()];
        for (group, members) in groups.iter().enumerate() {
            for of in members {
                group_of.get_mut(*of).into_iter().for_each(|of| *of = group);
            }
        }
        Self {
            balls,
            starts,
            total,
            groups,
            group_of,
        }
    }

    /// The candidates with weight, ascending by id: what the indices of [`Self::panel_at`] mean.
    pub fn candidates(&self) -> &[Candidate] {
        &self.balls
    }

    /// The panel, ascending by id: `seats` members of distinct operators, fewer when there are fewer operators.
    pub fn panel(&self, of: &PanelOf, seats: usize) -> Vec<Candidate> {
        let at = self.panel_at(of, seats);
        at.into_iter()
            .filter_map(|at| self.balls.get(at).copied())
            .collect()
    }

    /// [`Self::panel`] as indices into [`Self::candidates`], ascending.
    pub fn panel_at(&self, of: &PanelOf, seats: usize) -> Vec<usize> {
        // Nobody is left out, whatever is drawn.
        if seats >= self.balls.len() && self.groups.len() == self.balls.len() {
            return (0..self.balls.len()).collect();
        }
        let slot = of.slot.0.to_be_bytes();
        let epoch = of.epoch.0.to_be_bytes();
        let parts: [&[u8]; 6] = [
            PANEL_LABEL,
            &of.network.0,
            &of.beacon.0,
            &epoch,
            &of.node.0,
            &slot,
        ];
        self.distinct(&mut Words::new(&parts), seats)
    }

    /// The keepers of a node's regions for one generation: at most `count`, of distinct operators, ascending by id.
    pub fn keepers(&self, of: &DrawOf, count: usize) -> Vec<Candidate> {
        let at = self.distinct(&mut of.words(Purpose::Keepers), count);
        at.into_iter()
            .filter_map(|at| self.balls.get(at).copied())
            .collect()
    }

    /// Who proposes: at most `count` members in the order in which they are drawn. Of an operator that was drawn already only
    /// when no other is left, so that turns are no fewer than members.
    pub fn proposers(&self, of: &ProposersOf, count: usize) -> Vec<Candidate> {
        let (epoch, round) = (of.epoch.0.to_be_bytes(), of.round.to_be_bytes());
        let (network, beacon) = (&of.network.0, &of.beacon.0);
        let mut words = Words::new(&[PROPOSERS_LABEL, network, beacon, &epoch, &round]);
        let mut turns: Vec<Candidate> = Vec::new();
        loop {
            let left = self.balls.iter().filter(|ball| !turns.contains(ball));
            let urn = Self::new(left.copied());
            let drawn = urn.in_order(&mut words, count.saturating_sub(turns.len()));
            if drawn.is_empty() {
                return turns;
            }
            let drawn = drawn.into_iter();
            turns.extend(drawn.filter_map(|at| urn.balls.get(at).copied()));
        }
    }

    /// Votes in a committee of `seats` seats: everybody's capped weight when there are no more members than seats,
    /// else one vote for each seat drawn, with replacement. Members without a vote are left out.
    pub fn committee(
        &self,
        purpose: Purpose,
        of: &DrawOf,
        seats: u32,
    ) -> BTreeMap<HyperNodeId, u128> {
        if seats as usize >= self.balls.len() {
            return self.everybody();
        }
        let mut words = of.words(purpose);
        let mut votes = BTreeMap::new();
        for _ in 0..seats {
            let drawn = self.draw(&mut words, &[], 0);
            if let Some(ball) = drawn.and_then(|at| self.balls.get(at)) {
                let seats: &mut u128 = votes.entry(ball.hypernode).or_default();
                *seats = seats.saturating_add(1);
            }
        }
        votes
    }

    /// Everybody's capped weight: the votes where nothing is drawn.
    pub fn everybody(&self) -> BTreeMap<HyperNodeId, u128> {
        let vote = |ball: &Candidate| (ball.hypernode, ball.weight);
        self.balls.iter().map(vote).collect()
    }

    /// Up to `count` members of distinct operators, as ascending indices.
    fn distinct(&self, words: &mut Words, count: usize) -> Vec<usize> {
        let mut drawn = self.in_order(words, count);
        drawn.sort_unstable();
        drawn
    }

    /// The same in the order in which they are drawn.
    fn in_order(&self, words: &mut Words, count: usize) -> Vec<usize> {
        let mut drawn: Vec<usize> = Vec::with_capacity(count.min(self.balls.len()));
        let mut gone: Vec<usize> = Vec::new();
        let mut gone_weight = 0u128;
        while drawn.len() < count {
            let Some(at) = self.draw(words, &gone, gone_weight) else {
                break;
            };
            drawn.push(at);
            let group = self.group_of.get(at).and_then(|of| self.groups.get(*of));
            for peer in group.into_iter().flatten() {
                let weight = self.balls.get(*peer).map_or(0, |ball| ball.weight);
                gone.push(*peer);
                gone_weight = gone_weight.saturating_add(weight);
            }
            gone.sort_unstable();
        }
        drawn
    }

    /// One ball among those that are not `gone` (ascending); `None` when none is left.
    fn draw(&self, words: &mut Words, gone: &[usize], gone_weight: u128) -> Option<usize> {
        let mut place = words.below(self.total.checked_sub(gone_weight)?)?;
        for at in gone {
            // What is gone takes no room: who lies behind it moves up by its weight.
            if *self.starts.get(*at)? > place {
                break;
            }
            place = place.saturating_add(self.balls.get(*at)?.weight);
        }
        self.starts
            .partition_point(|start| *start <= place)
            .checked_sub(1)
    }
}

impl DrawOf {
    fn words(&self, purpose: Purpose) -> Words {
        let period = self.period.to_be_bytes();
        Words::new(&[
            purpose.label(),
            &self.network.0,
            &self.beacon.0,
            &period,
            &self.node.0,
        ])
    }
}

/// Ids of the panel drawn from `candidates`: [`Urn::panel`] for a single draw.
pub fn panel(of: &PanelOf, candidates: &[Candidate], seats: usize) -> Vec<HyperNodeId> {
    let drawn = Urn::new(candidates.iter().copied()).panel(of, seats);
    drawn
        .into_iter()
        .map(|candidate| candidate.hypernode)
        .collect()
}

/// SHA-256 in counter mode behind a label and what is drawn for.
struct Words {
    prefix: Vec<u8>,
    next: u64,
}

impl Words {
    fn new(parts: &[&[u8]]) -> Self {
        Self {
            prefix: parts.concat(),
            next: 0,
        }
    }

    /// A number below `bound`, each equally likely; `None` for a bound of 0.
    fn below(&mut self, bound: u128) -> Option<u128> {
        // ⌊2¹²⁸/W⌋·W − 1 = 2¹²⁸ − 1 − (2¹²⁸ mod W), and 2¹²⁸ mod W = ((2¹²⁸ − 1) mod W + 1) mod W.
        let remainder = u128::MAX
            .checked_rem(bound)?
            .checked_add(1)?
            .checked_rem(bound)?;
        let last_fair = u128::MAX.checked_sub(remainder)?;
        loop {
            let word = self.word();
            if word <= last_fair {
                return word.checked_rem(bound);
            }
        }
    }

    fn word(&mut self) -> u128 {
        let bytes = hash::sha256(&[&self.prefix, &self.next.to_be_bytes()]);
        self.next = self.next.saturating_add(1);
        bytes
            .first_chunk()
            .map_or(0, |head| u128::from_be_bytes(*head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::Digest;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    mod proposers;

    fn candidate(id: u8, operator: u8, weight: u128) -> Candidate {
        Candidate {
            hypernode: HyperNodeId([id; 32]),
            operator: Digest([operator; 32]),
            weight,
        }
    }

    fn of(slot: u32) -> PanelOf {
        PanelOf {
            network: NetworkId([1; 32]),
            beacon: Beacon([2; 32]),
            epoch: Epoch(3),
            node: NodeId([4; 32]),
            slot: Slot(slot),
        }
    }

    #[test]
    fn everyone_when_seats_cover_all() {
        let all = [candidate(2, 1, 5), candidate(1, 3, 5), candidate(3, 2, 0)];
        assert_eq!(
            panel(&of(0), &all, 2),
            [HyperNodeId([1; 32]), HyperNodeId([2; 32])]
        );
        assert_eq!(panel(&of(0), &[], 3), []);
    }

    #[test]
    fn fewer_operators_than_seats_give_a_smaller_panel() {
        for members in [9, 3] {
            let all: Vec<_> = (0..members).map(|id| candidate(id, id % 2, 1)).collect();
            assert_eq!(panel(&of(0), &all, 3).len(), 2, "of {members}");
        }
    }

    #[test]
    fn the_draw_is_pinned() {
        // Changing this changes which probes had to exist in every past epoch.
        let all: Vec<_> = (0..10)
            .map(|id| candidate(id, id, 10 + u128::from(id)))
            .collect();
        let drawn: Vec<Vec<u8>> = (0..3)
            .map(|slot| panel(&of(slot), &all, 3).iter().map(|id| id.0[0]).collect())
            .collect();
        assert_eq!(drawn, [[0, 5, 8], [2, 4, 9], [2, 4, 5]]);
    }

    #[test]
    fn each_input_changes_the_draw() {
        let all: Vec<_> = (0..200).map(|id| candidate(id, id, 1)).collect();
        let base = panel(&of(0), &all, 5);
        let changed = [
            PanelOf {
                network: NetworkId([9; 32]),
                ..of(0)
            },
            PanelOf {
                beacon: Beacon([9; 32]),
                ..of(0)
            },
            PanelOf {
                epoch: Epoch(9),
                ..of(0)
            },
            PanelOf {
                node: NodeId([9; 32]),
                ..of(0)
            },
            of(9),
        ];
        for other in changed {
            assert_ne!(panel(&other, &all, 5), base, "{other:?}");
        }
    }

    #[test]
    fn frequencies_follow_stake() {
        let all = [
            candidate(1, 1, 60),
            candidate(2, 2, 30),
            candidate(3, 3, 10),
        ];
        let mut wins = [0u32; 4];
        for slot in 0..4000 {
            wins[usize::from(panel(&of(slot), &all, 1)[0].0[0])] += 1;
        }
        for (id, expected) in [(1, 2400u32), (2, 1200), (3, 400)] {
            assert!(wins[id].abs_diff(expected) < 150, "{wins:?}");
        }
    }

    const COMMITTEE: &[(u8, u128)] = &[(2, 1), (6, 1), (7, 1), (9, 2)];
    const REAUDIT: &[(u8, u128)] = &[(0, 1), (3, 1), (5, 2), (8, 1)];
    const KEEPERS: &[u8] = &[1, 3, 5];

    fn draw_of(period: u64) -> DrawOf {
        DrawOf {
            network: NetworkId([1; 32]),
            beacon: Beacon([2; 32]),
            period,
            node: NodeId([4; 32]),
        }
    }

    fn crowd(members: u8) -> Urn {
        Urn::new((0..members).map(|id| candidate(id, id, 10 + u128::from(id))))
    }

    #[test]
    fn committees_reaudits_and_keepers_are_pinned() {
        // Changing this changes who had to judge in every past epoch.
        let urn = crowd(10);
        let votes = |purpose| -> Vec<(u8, u128)> {
            let drawn = urn.committee(purpose, &draw_of(3), 5);
            drawn.iter().map(|(id, seats)| (id.0[0], *seats)).collect()
        };
        assert_eq!(votes(Purpose::Committee), COMMITTEE);
        assert_eq!(votes(Purpose::Reaudit), REAUDIT);
        let keepers = urn.keepers(&draw_of(3), 3);
        let keepers: Vec<u8> = keepers.iter().map(|c| c.hypernode.0[0]).collect();
        assert_eq!(keepers, KEEPERS);
    }

    #[test]
    fn purposes_and_periods_are_separate_draws() {
        let urn = crowd(200);
        let base = urn.committee(Purpose::Committee, &draw_of(3), 21);
        assert_ne!(urn.committee(Purpose::Reaudit, &draw_of(3), 21), base);
        assert_ne!(urn.committee(Purpose::Keepers, &draw_of(3), 21), base);
        assert_ne!(urn.committee(Purpose::Committee, &draw_of(4), 21), base);
        let others = [
            DrawOf {
                network: NetworkId([9; 32]),
                ..draw_of(3)
            },
            DrawOf {
                beacon: Beacon([9; 32]),
                ..draw_of(3)
            },
            DrawOf {
                node: NodeId([9; 32]),
                ..draw_of(3)
            },
        ];
        for other in others {
            assert_ne!(urn.committee(Purpose::Committee, &other, 21), base);
        }
    }

    #[test]
    fn stake_enters_once_seats_vote_by_number_and_everybody_by_weight() {
        let urn = crowd(10);
        let drawn = urn.committee(Purpose::Reaudit, &draw_of(0), 9);
        assert_eq!(drawn.values().sum::<u128>(), 9);
        // As many seats as members: nothing is drawn, and the capped weights vote.
        let all = urn.committee(Purpose::Reaudit, &draw_of(0), 10);
        assert_eq!(all, urn.everybody());
        assert_eq!(all.values().sum::<u128>(), (10..20).sum());
        assert!(
            Urn::new([])
                .committee(Purpose::Reaudit, &draw_of(0), 3)
                .is_empty()
        );
    }

    #[test]
    fn seats_follow_stake() {
        let urn = Urn::new([
            candidate(1, 1, 60),
            candidate(2, 1, 30),
            candidate(3, 3, 10),
            candidate(4, 4, 0),
        ]);
        let mut seats = BTreeMap::new();
        for period in 0..2_000 {
            for (id, votes) in urn.committee(Purpose::Committee, &draw_of(period), 2) {
                *seats.entry(id.0[0]).or_insert(0u128) += votes;
            }
        }
        for (id, expected) in [(1u8, 2_400u128), (2, 1_200), (3, 400)] {
            assert!(seats[&id].abs_diff(expected) < 150, "{seats:?}");
        }
        assert_eq!(seats.len(), 3);
    }

    #[test]
    fn keepers_are_of_distinct_operators_even_when_all_could_sit() {
        let urn = Urn::new((0..9).map(|id| candidate(id, id % 2, 1)));
        assert_eq!(urn.keepers(&draw_of(0), 20).len(), 2);
        assert_eq!(urn.keepers(&draw_of(0), 1).len(), 1);
        assert!(urn.keepers(&draw_of(0), 0).is_empty());
    }

    #[test]
    fn the_operator_cap_comes_before_the_draw() {
        use crate::weights::{Staked, capped_weights};
        use assay_protocol::ids::{Bps, Stake};
        // One operator with 90 % of the stake, capped at 10 % of it: against ten others of 1 % it wins half the seats.
        let staked = |id: u8| Staked {
            hypernode: HyperNodeId([id; 32]),
            operator: Digest([id; 32]),
            stake: Stake(if id == 0 { 900 } else { 10 }),
        };
        let snapshot: Vec<_> = (0..11).map(staked).collect();
        let weights = capped_weights(&snapshot, Bps(1_000)).unwrap();
        let urn = Urn::new(snapshot.iter().map(|s| Candidate {
            hypernode: s.hypernode,
            operator: s.operator,
            weight: weights[&s.hypernode],
        }));
        let rich = HyperNodeId([0; 32]);
        let won: u128 = (0..500)
            .filter_map(|period| {
                urn.committee(Purpose::Committee, &draw_of(period), 10)
                    .get(&rich)
                    .copied()
            })
            .sum();
        assert!(won.abs_diff(2_500) < 200, "{won} of 5000");
    }

    /// The rule as it is written: balls in a row, taken out by hand.
    fn in_order_by_hand(words: &mut Words, all: &[Candidate], seats: usize) -> Vec<Candidate> {
        let mut urn: Vec<_> = all.iter().copied().filter(|c| c.weight > 0).collect();
        urn.sort_unstable();
        let mut drawn = Vec::new();
        while drawn.len() < seats && !urn.is_empty() {
            let mut ball = words.below(urn.iter().map(|c| c.weight).sum()).unwrap();
            let mut winner = urn[0];
            for candidate in &urn {
                winner = *candidate;
                if ball < candidate.weight {
                    break;
                }
                ball -= candidate.weight;
            }
            urn.retain(|candidate| candidate.operator != winner.operator);
            drawn.push(winner);
        }
        drawn
    }

    fn by_hand(words: &mut Words, all: &[Candidate], seats: usize) -> Vec<Candidate> {
        let mut drawn = in_order_by_hand(words, all, seats);
        drawn.sort_unstable();
        drawn
    }

    proptest! {
        #[test]
        fn the_draw_is_the_one_by_hand(
            weights in proptest::collection::vec((0u8..9, 0u128..1 << 96), 1..40),
            count in 0usize..12, period: u64,
        ) {
            let all: Vec<_> = weights
                .iter()
                .zip(0u8..)
                .map(|((operator, weight), id)| candidate(id, *operator, *weight))
                .collect();
            let by_hand = by_hand(&mut draw_of(period).words(Purpose::Keepers), &all, count);
            prop_assert_eq!(Urn::new(all).keepers(&draw_of(period), count), by_hand);
        }

        #[test]
        fn distinct_operators_of_the_right_number_in_any_order(
            weights in proptest::collection::vec((0u8..6, 1u128..1 << 96), 1..40),
            seats in 1usize..6, slot: u32,
        ) {
            let all: Vec<_> = weights
                .iter()
                .zip(0u8..)
                .map(|((operator, weight), id)| candidate(id, *operator, *weight))
                .collect();
            let drawn = panel(&of(slot), &all, seats);
            let mut reversed = all.clone();
            reversed.reverse();
            prop_assert_eq!(&panel(&of(slot), &reversed, seats), &drawn);
            if seats < all.len() {
                let operators: BTreeSet<_> = weights.iter().map(|(operator, _)| operator).collect();
                let chosen: BTreeSet<_> =
                    drawn.iter().map(|id| weights[usize::from(id.0[0])].0).collect();
                prop_assert_eq!(chosen.len(), drawn.len());
                prop_assert_eq!(drawn.len(), seats.min(operators.len()));
            }
        }

        #[test]
        fn below_stays_below(bound in 1u128.., start: u64) {
            let mut words = Words::new(&[&of(0).node.0]);
            words.next = start / 2;
            prop_assert!(words.below(bound).unwrap() < bound);
        }
    }
}
