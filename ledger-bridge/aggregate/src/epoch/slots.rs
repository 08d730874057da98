//! A node's slots: who was on each panel, what it said, and who accuses most.

use super::data::NodeData;
use crate::availability::{Seat, SlotState, slot_state};
use crate::draw::Candidate;
use assay_protocol::report::Cell;
use std::collections::BTreeSet;

/// The panels of one node's epoch, and the cells of their members.
pub(super) struct Slots<'a> {
    candidates: &'a [Candidate],
    /// Indices of the candidates drawn, by slot.
    panels: Vec<Vec<usize>>,
    /// By candidate.
    cells: Vec<Option<&'a [u8]>>,
}

/// What one HyperNode says of the slots whose panels it was on.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    silent: u128,
    decided: u128,
}

impl<'a> Slots<'a> {
    pub(super) fn new(
        candidates: &'a [Candidate],
        panels: Vec<Vec<usize>>,
        data: &[NodeData<'a>],
    ) -> Self {
        let mut cells: Vec<Option<&[u8]>> = vec![None; candidates.len()];
        for item in data {
            let at = item.ball.and_then(|ball| cells.get_mut(ball));
            at.into_iter()
                .for_each(|at| *at = Some(item.data.cells.0.as_slice()));
        }
        Self {
            candidates,
            panels,
            cells,
        }
    }

    /// What each slot was, by its panel.
    pub(super) fn states(&self) -> Vec<SlotState> {
        let panels = self.panels_without(&BTreeSet::new());
        panels.iter().map(|seats| slot_state(seats)).collect()
    }

    /// What each slot was by its panel without these candidates. Members who are left alone on a panel are believed only
    /// when most of them saw silence: a lone word may be a failed path, but not most of them.
    pub(super) fn states_without(&self, these: &BTreeSet<usize>) -> Vec<SlotState> {
        let panels = self.panels_without(these);
        let says = |cell| {
            let words = panels.iter().filter_map(|seats| lone_word(seats));
            words.filter(|word| *word == cell).count()
        };
        let believed = says(Cell::Unanswered) > says(Cell::Answered);
        let state = |seats: &Vec<Seat>| match lone_word(seats) {
            Some(Cell::Unanswered) if believed => SlotState::Down,
            Some(Cell::Answered) if believed => SlotState::Up,
            _ => slot_state(seats),
        };
        panels.iter().map(state).collect()
    }

    fn panels_without(&self, these: &BTreeSet<usize>) -> Vec<Vec<Seat>> {
        let seats = |(slot, panel): (usize, &Vec<usize>)| {
            let here = panel.iter().filter(|at| !these.contains(at));
            here.filter_map(|at| self.seat(*at, slot)).collect()
        };
        self.panels.iter().enumerate().map(seats).collect()
    }

    /// Those who say most often that the node was silent, in relation to what they say at all, up to a third of the
    /// weight: in falling order of that share, then by id, up to the first that is too much.
    pub(super) fn accusers(&self, total: u128) -> BTreeSet<usize> {
        let words = self.words();
        let mut order: Vec<usize> = (0..words.len()).collect();
        let word = |at: &usize| words.get(*at).copied().unwrap_or_default();
        order.sort_by(|a, b| word(b).accuses(&word(a)));
        let mut weight = 0u128;
        order
            .into_iter()
            .take_while(|at| {
                let own = self.candidates.get(*at).map_or(0, |c| c.weight);
                weight = weight.saturating_add(own);
                weight.saturating_mul(3) <= total
            })
            .collect()
    }

    fn words(&self) -> Vec<Word> {
        let mut words = vec![Word::default(); self.candidates.len()];
        for (slot, panel) in self.panels.iter().enumerate() {
            for at in panel {
                let cell = self.cell(*at, slot);
                if let Some(word) = words.get_mut(*at) {
                    let silent = cell == Cell::Unanswered;
                    let decided = silent || cell == Cell::Answered;
                    word.silent = word.silent.saturating_add(silent.into());
                    word.decided = word.decided.saturating_add(decided.into());
                }
            }
        }
        words
    }

    fn seat(&self, at: usize, slot: usize) -> Option<Seat> {
        let operator = self.candidates.get(at)?.operator;
        let cell = self.cell(at, slot);
        Some(Seat { operator, cell })
    }

    /// What a panel member says of a slot; an absent report or unknown code says nothing.
    fn cell(&self, at: usize, slot: usize) -> Cell {
        let cells = self.cells.get(at).copied().flatten();
        let code = cells.and_then(|cells| cells.get(slot).copied());
        code.and_then(Cell::from_code).unwrap_or(Cell::None)
    }
}

/// What the only member of a panel says.
fn lone_word(seats: &[Seat]) -> Option<Cell> {
    match seats {
        [seat] => Some(seat.cell),
        _ => None,
    }
}

impl Word {
    /// By silent / decided, where nothing decided is 0.
    fn accuses(&self, other: &Self) -> std::cmp::Ordering {
        let own = self.silent.saturating_mul(other.decided.max(1));
        own.cmp(&other.silent.saturating_mul(self.decided.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::{Digest, HyperNodeId};

    /// The states of six slots: in four the first member is left alone and says this, in one it has another with it, in one
    /// nobody is left.
    fn without_accusers(alone: [Cell; 4]) -> Vec<SlotState> {
        let candidate = |n: u8| Candidate {
            hypernode: HyperNodeId([n; 32]),
            operator: Digest([n; 32]),
            weight: 1,
        };
        let candidates: Vec<_> = (0..4).map(candidate).collect();
        let lone = vec![0, 2, 3];
        let mut panels = vec![lone; 4];
        panels.extend([vec![0, 1, 2], vec![2, 3]]);
        let words = alone.into_iter().chain([Cell::Answered, Cell::Unanswered]);
        let first: Vec<u8> = words.map(|cell| cell as u8).collect();
        let (up, silent) = ([Cell::Answered as u8; 6], [Cell::Unanswered as u8; 6]);
        let slots = Slots {
            candidates: &candidates,
            panels,
            cells: vec![Some(&first), Some(&up), Some(&silent), Some(&silent)],
        };
        slots.states_without(&BTreeSet::from([2, 3]))
    }

    #[test]
    fn a_lone_word_is_believed_only_when_most_of_them_saw_silence() {
        use Cell::{Answered as A, None as N, Unanswered as U};
        use SlotState::{Down, Inconclusive as I, Up};
        for few in [[U, A, A, A], [U, U, A, A], [U, A, N, N], [N; 4], [A; 4]] {
            assert_eq!(without_accusers(few), [I, I, I, I, Up, I], "{few:?}");
        }
        let most = without_accusers([U, U, A, N]);
        assert_eq!(most, [Down, Down, Up, I, Up, I]);
        assert_eq!(without_accusers([U; 4]), [Down, Down, Down, Down, Up, I]);
    }
}
