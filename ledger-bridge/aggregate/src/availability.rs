//! Availability is a census by slot: every slot is up, down or inconclusive, decided by its panel.
//!
//! ```text
//! up            at least two distinct operators of the panel hold an answer
//! down          at least two thirds of the panel saw none, each with a good control probe, of two distinct operators
//! inconclusive  everything else: no data is never up, and never down either; nor is one operator's word
//! point = up / (up + down)      coverage = (up + down) / slots
//! ```

use crate::weights::Operator;
use crate::wilson::{self, Bounds};
use assay_protocol::ids::Ppm;
use assay_protocol::report::Cell;

/// A panel member's operator and cell. A member without a report has [`Cell::None`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The member's operator.
    pub operator: Operator,
    /// What it reports.
    pub cell: Cell,
}

/// What a slot was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// Up.
    Up,
    /// Down.
    Down,
    /// Not decided.
    Inconclusive,
}

/// Slots of one node and epoch, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Slots decided up.
    pub up: u32,
    /// Slots decided down.
    pub down: u32,
    /// All slots of the epoch.
    pub slots: u32,
}

/// Decides one slot from its whole panel; reports of anybody else must not be passed.
pub fn slot_state(panel: &[Seat]) -> SlotState {
    if two_operators_say(panel, Cell::Answered) {
        return SlotState::Up;
    }
    let silent = panel
        .iter()
        .filter(|seat| seat.cell == Cell::Unanswered)
        .count();
    let two_thirds = silent.saturating_mul(3) >= panel.len().saturating_mul(2);
    if two_thirds && two_operators_say(panel, Cell::Unanswered) {
        SlotState::Down
    } else {
        SlotState::Inconclusive
    }
}

impl Census {
    /// Counts one slot.
    pub fn add(&mut self, state: SlotState) {
        self.slots = self.slots.saturating_add(1);
        match state {
            SlotState::Up => self.up = self.up.saturating_add(1),
            SlotState::Down => self.down = self.down.saturating_add(1),
            SlotState::Inconclusive => {}
        }
    }

    /// Point and Wilson bounds over decided slots; `None` when none was decided.
    pub fn bounds(&self) -> Option<Bounds> {
        wilson::bounds(self.up, self.decided())
    }

    /// Share of slots that were decided, rounded down; 0 for an epoch without slots.
    pub fn coverage(&self) -> Ppm {
        let scaled = u64::from(self.decided()).saturating_mul(u64::from(wilson::PPM_ONE));
        let share = scaled.checked_div(u64::from(self.slots)).unwrap_or(0);
        Ppm(u32::try_from(share).unwrap_or(wilson::PPM_ONE))
    }

    fn decided(&self) -> u32 {
        self.up.saturating_add(self.down)
    }
}

fn two_operators_say(panel: &[Seat], cell: Cell) -> bool {
    let mut saying = panel.iter().filter(|seat| seat.cell == cell);
    let first = saying.next();
    first.is_some_and(|first| saying.any(|other| other.operator != first.operator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::Digest;
    use proptest::prelude::*;

    fn panel(seats: &[(u8, u8)]) -> Vec<Seat> {
        let seat = |&(operator, code): &(u8, u8)| Seat {
            operator: Digest([operator; 32]),
            cell: Cell::from_code(code).unwrap(),
        };
        seats.iter().map(seat).collect()
    }

    fn decide(seats: &[(u8, u8)]) -> SlotState {
        slot_state(&panel(seats))
    }

    #[test]
    fn up_needs_two_operators() {
        assert_eq!(decide(&[(1, 1), (2, 1), (3, 2)]), SlotState::Up);
        assert_eq!(decide(&[(1, 1), (1, 1), (3, 0)]), SlotState::Inconclusive);
        assert_eq!(decide(&[(1, 1), (2, 0), (3, 0)]), SlotState::Inconclusive);
    }

    #[test]
    fn down_needs_two_thirds_of_the_whole_panel() {
        assert_eq!(decide(&[(1, 2), (2, 2), (3, 1)]), SlotState::Down);
        assert_eq!(
            decide(&[(1, 2), (2, 2), (3, 0), (4, 0)]),
            SlotState::Inconclusive
        );
        assert_eq!(decide(&[(1, 2), (2, 2), (3, 2), (4, 1)]), SlotState::Down);
        assert_eq!(decide(&[(1, 2), (2, 2), (3, 0)]), SlotState::Down);
    }

    /// Of a panel that has lost its other members on trial, one silent one would take a provider's pledge.
    #[test]
    fn one_operator_s_silence_is_never_down() {
        for seats in [&[(1, 2)][..], &[(1, 2), (1, 2)], &[(1, 2), (1, 2), (2, 0)]] {
            assert_eq!(decide(seats), SlotState::Inconclusive, "{seats:?}");
        }
        assert_eq!(decide(&[(1, 2), (2, 2)]), SlotState::Down);
    }

    #[test]
    fn nothing_and_faults_decide_nothing() {
        assert_eq!(decide(&[]), SlotState::Inconclusive);
        for code in [0, 3, 4] {
            assert_eq!(
                decide(&[(1, code), (2, code), (3, code)]),
                SlotState::Inconclusive
            );
        }
        assert_eq!(decide(&[(1, 2), (2, 3), (3, 3)]), SlotState::Inconclusive);
    }

    #[test]
    fn inconclusive_slots_only_lower_coverage() {
        let mut census = Census::default();
        assert_eq!((census.bounds(), census.coverage()), (None, Ppm(0)));
        for state in [SlotState::Up, SlotState::Up, SlotState::Up, SlotState::Down] {
            census.add(state);
        }
        let before = census.bounds();
        assert_eq!(before.unwrap().point, Ppm(750_000));
        assert_eq!(census.coverage(), Ppm(1_000_000));
        census.add(SlotState::Inconclusive);
        assert_eq!(census.bounds(), before);
        assert_eq!(census.coverage(), Ppm(800_000));
    }

    proptest! {
        #[test]
        fn order_of_seats_does_not_matter(seats in proptest::collection::vec((0u8..4, 0u8..5), 0..9)) {
            let mut reversed = seats.clone();
            reversed.reverse();
            prop_assert_eq!(decide(&seats), decide(&reversed));
        }
    }
}
