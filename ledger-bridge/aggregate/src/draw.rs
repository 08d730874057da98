//! Who probes a node in a slot: a stake-weighted draw without replacement, recomputable by anybody.
//!
//! Random words are `SHA-256("assay/draw/1" ‖ network ‖ beacon ‖ epoch u64 ‖ node ‖ slot u32 ‖ i u64)`, i = 0, 1, …; the first
//! 16 bytes, big-endian, are x. With W the weight still in the urn, x is rejected when x ≥ ⌊2¹²⁸/W⌋·W (so that no
//! member is favoured) and else falls on the member whose weight covers x mod W, members in ascending order of id.
//! A drawn member leaves the urn with everybody of its operator: panels have distinct operators.

use crate::weights::Operator;
use assay_protocol::hash;
use assay_protocol::ids::{Beacon, Epoch, HyperNodeId, NetworkId, NodeId, Slot};

const LABEL: &[u8] = b"assay/draw/1";

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

/// Candidates in their canonical order, sorted once for many draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urn(Vec<Candidate>);

impl Urn {
    /// The urn of all candidates with weight; their order does not matter.
    pub fn new(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let mut balls: Vec<_> = candidates.into_iter().filter(|c| c.weight > 0).collect();
        balls.sort_unstable();
        Self(balls)
    }

    /// The panel, ascending by id: everyone when `seats` covers them all,
    /// else `seats` members of distinct operators (fewer when there are fewer operators).
    pub fn panel(&self, of: &PanelOf, seats: usize) -> Vec<Candidate> {
        if seats >= self.0.len() {
            return self.0.clone();
        }
        let mut urn = self.0.clone();
        let mut words = Words { of, next: 0 };
        let mut drawn = Vec::new();
        while drawn.len() < seats {
            let Some(winner) = draw_one(&mut words, &urn) else {
                break;
            };
            urn.retain(|candidate| candidate.operator != winner.operator);
            drawn.push(winner);
        }
        drawn.sort_unstable();
        drawn
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

/// The proposer of a round: members ascending by id, rotated by the beacon, one further each round.
/// `None` only for an empty committee.
pub fn proposer(beacon: &Beacon, committee: &[HyperNodeId], round: u32) -> Option<HyperNodeId> {
    let mut members = committee.to_vec();
    members.sort_unstable();
    members.dedup();
    let start = beacon
        .0
        .first_chunk()
        .map_or(0, |head| u64::from_be_bytes(*head));
    let turn = u128::from(start).saturating_add(u128::from(round));
    let at = turn.checked_rem(members.len() as u128)?;
    members.get(usize::try_from(at).ok()?).copied()
}

struct Words<'a> {
    of: &'a PanelOf,
    next: u64,
}

impl Words<'_> {
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
        let PanelOf {
            network,
            beacon,
            epoch,
            node,
            slot,
        } = self.of;
        let bytes = hash::sha256(&[
            LABEL,
            &network.0,
            &beacon.0,
            &epoch.0.to_be_bytes(),
            &node.0,
            &slot.0.to_be_bytes(),
            &self.next.to_be_bytes(),
        ]);
        self.next = self.next.saturating_add(1);
        bytes
            .first_chunk()
            .map_or(0, |head| u128::from_be_bytes(*head))
    }
}

fn draw_one(words: &mut Words<'_>, urn: &[Candidate]) -> Option<Candidate> {
    let total = urn
        .iter()
        .fold(0u128, |sum, candidate| sum.saturating_add(candidate.weight));
    let mut ball = words.below(total)?;
    for candidate in urn {
        match ball.checked_sub(candidate.weight) {
            Some(rest) => ball = rest,
            None => return Some(*candidate),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::Digest;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
        let all = [candidate(2, 1, 5), candidate(1, 1, 5), candidate(3, 2, 0)];
        assert_eq!(
            panel(&of(0), &all, 2),
            [HyperNodeId([1; 32]), HyperNodeId([2; 32])]
        );
        assert_eq!(panel(&of(0), &[], 3), []);
    }

    #[test]
    fn fewer_operators_than_seats_give_a_smaller_panel() {
        let all: Vec<_> = (0..9).map(|id| candidate(id, id % 2, 1)).collect();
        assert_eq!(panel(&of(0), &all, 3).len(), 2);
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

    #[test]
    fn proposer_rotates_through_everybody() {
        let committee: Vec<_> = (0..4).map(|id| HyperNodeId([id; 32])).collect();
        let turns: BTreeSet<_> = (0..4)
            .filter_map(|round| proposer(&Beacon([7; 32]), &committee, round))
            .collect();
        assert_eq!(turns.len(), 4);
        let mut reversed = committee.clone();
        reversed.reverse();
        let beacon = Beacon([7; 32]);
        assert_eq!(
            proposer(&beacon, &committee, 1),
            proposer(&beacon, &reversed, 1)
        );
        assert!(proposer(&Beacon([0xff; 32]), &committee, u32::MAX).is_some());
        assert_eq!(proposer(&beacon, &[], 0), None);
    }

    proptest! {
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
            let of = of(0);
            let word = Words { of: &of, next: start / 2 }.below(bound).unwrap();
            prop_assert!(word < bound);
        }
    }
}
