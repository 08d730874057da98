//! What a commit counts for, by when it was seen.
//!
//! ```text
//! epoch's end ── a slot ──┬── early ──┬── midway ──┬── edge ──┐ late
//!                      opening       due         listed     closed = commit_ms
//! required by voters      yes          no           no         no
//! listed by proposers     yes         yes           no         no
//! allowed by voters       yes         yes          yes         no
//! ```
//!
//! HyperNodes close the last slot, and so the epoch, a slot after its end: nobody has a report to commit to before that. What
//! is left of the window is in three equal parts. Nothing else makes the smaller of both gaps (due to listed, listed to
//! closed) larger and leaves as much for commits that are required.
//!
//! Two HyperNodes see a commit at most [`LOOK_MS`] and the difference of their clocks apart, while both read the board. In a
//! gap of that length and more, what one has seen in one part no other has seen but in the next.

use assay_protocol::params::NetworkParams;

/// How much later than another a HyperNode sees what is on the board, at most: the pause between two looks and the time of one.
pub const LOOK_MS: u64 = 250;

/// When a commit was seen, as far as that decides something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Arrival {
    /// Before *due*: voters require it.
    #[default]
    Early,
    /// Before *listed*: required by nobody; who proposes lists it.
    Midway,
    /// Before the closing: listed by nobody honest, but voters allow it.
    Edge,
    /// After the closing: not even allowed.
    Late,
}

/// Where the parts of the commits' window end, in milliseconds after the epoch's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitEdges {
    /// What is seen later is not required.
    pub due_ms: u64,
    /// What is seen later is not listed.
    pub listed_ms: u64,
    /// What is seen later is not allowed.
    pub closed_ms: u64,
}

impl Arrival {
    /// Its number in what is kept: 0 to 3.
    pub fn code(self) -> u8 {
        match self {
            Self::Early => 0,
            Self::Midway => 1,
            Self::Edge => 2,
            Self::Late => 3,
        }
    }

    /// The one with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        let all = [Self::Early, Self::Midway, Self::Edge, Self::Late];
        all.into_iter().find(|arrival| arrival.code() == code)
    }
}

impl CommitEdges {
    /// Those of a network.
    pub fn of(params: &NetworkParams) -> Self {
        Self::within(params.slot_ms, params.commit_ms)
    }

    pub(super) fn within(opening_ms: u64, closed_ms: u64) -> Self {
        let third = closed_ms.saturating_sub(opening_ms) / 3;
        let listed_ms = closed_ms.saturating_sub(third);
        Self {
            due_ms: listed_ms.saturating_sub(third),
            listed_ms,
            closed_ms,
        }
    }
}

/// The shortest `commit_ms` with which an entry at an edge divides no HyperNodes that look as often as they should.
pub fn commit_ms_min(slot_ms: u64, clock_skew_ms_max: u64) -> u64 {
    let gap = LOOK_MS.saturating_add(clock_skew_ms_max);
    slot_ms.saturating_add(gap.saturating_mul(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_after_the_first_slot_is_in_three_parts() {
        let edges = CommitEdges::within(60_000, 180_000);
        let (due_ms, listed_ms, closed_ms) = (100_000, 140_000, 180_000);
        let expected = CommitEdges {
            due_ms,
            listed_ms,
            closed_ms,
        };
        assert_eq!(edges, expected);
    }

    #[test]
    fn codes_are_kept_and_no_other_is_read() {
        for (code, arrival) in (0..).zip([
            Arrival::Early,
            Arrival::Midway,
            Arrival::Edge,
            Arrival::Late,
        ]) {
            assert_eq!(arrival.code(), code);
            assert_eq!(Arrival::from_code(code), Some(arrival));
        }
        assert_eq!(Arrival::from_code(4), None);
    }

    proptest! {
        #[test]
        fn from_the_shortest_window_on_both_gaps_and_the_first_part_are_long_enough(
            slot in 1u64..10_000_000, skew in 0u64..10_000, more in 0u64..10_000_000,
        ) {
            let least = commit_ms_min(slot, skew);
            let edges = CommitEdges::within(slot, least + more);
            let gap = LOOK_MS + skew;
            prop_assert!(edges.due_ms >= slot + gap);
            prop_assert!(edges.listed_ms - edges.due_ms >= gap);
            prop_assert!(edges.closed_ms - edges.listed_ms >= gap);
            // One less is too little.
            let edges = CommitEdges::within(slot, least - 1);
            prop_assert!(edges.closed_ms - edges.listed_ms < gap);
        }

        #[test]
        fn edges_are_in_order_whatever_the_times(slot: u64, commit: u64) {
            let edges = CommitEdges::within(slot, commit);
            prop_assert!(edges.due_ms <= edges.listed_ms && edges.listed_ms <= edges.closed_ms);
            prop_assert_eq!(edges.closed_ms, commit);
        }
    }
}
