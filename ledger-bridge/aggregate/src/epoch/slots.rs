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

    /// What each slot was, by its panel without these candidates.
    pub(super) fn states(&self, without: &BTreeSet<usize>) -> Vec<SlotState> {
        let state = |(slot, panel): (usize, &Vec<usize>)| {
            let here = panel.iter().filter(|at| !without.contains(at));
            let seats: Vec<_> = here.filter_map(|at| self.seat(*at, slot)).collect();
            slot_state(&seats)
        };
        self.panels.iter().enumerate().map(state).collect()
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

impl Word {
    /// By silent / decided, where nothing decided is 0.
    fn accuses(&self, other: &Self) -> std::cmp::Ordering {
        let own = self.silent.saturating_mul(other.decided.max(1));
        own.cmp(&other.silent.saturating_mul(self.decided.max(1)))
    }
}
