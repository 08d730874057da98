//! Which processors a node is bound to, so that in no epoch one machine is paid for as two.
//!
//! What a node shows is what [`crate::verdict::attestation`] makes of its votes: tier 3 comes with processors. Of several nodes
//! that show the same ones in an epoch one gets them: who is bound to them, else whose owner is confirmed, else the first in
//! order. The others are warned, keep what they had, and who is nobody's is not confirmed. A node that shows others than it is
//! bound to is warned for the epoch, and bound to them from the next one on. What a node does not show it keeps as long as nobody
//! else gets it: whoever really has a processor can always show it.

use crate::verdict::{Finding, Verdict, reason};
use assay_protocol::ids::{Digest, NodeId};
use std::collections::BTreeMap;

/// A node's processors in an epoch, see [`assay_protocol::evidence::chips_digest`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Showing {
    pub(super) node: NodeId,
    /// Those it was bound to.
    pub(super) before: Option<Digest>,
    /// Those it shows.
    pub(super) shown: Option<Digest>,
    /// Whether it has a confirmed owner.
    pub(super) owned: bool,
}

/// Who gets the processors that several nodes show.
#[derive(Debug, Default)]
pub(super) struct Contest(BTreeMap<Digest, (bool, bool, NodeId)>);

impl Contest {
    /// Takes part, if it shows any.
    pub(super) fn enter(&mut self, showing: &Showing) {
        let Some(chips) = showing.shown else {
            return;
        };
        let is_new = showing.before != Some(chips);
        let rank = (is_new, !showing.owned, showing.node);
        let first = self.0.entry(chips).or_insert(rank);
        *first = rank.min(*first);
    }

    /// Which of a node's processors others get.
    pub(super) fn rivals(&self, showing: &Showing) -> Rivals {
        let is_others = |chips: Digest| {
            let first = self.0.get(&chips);
            first.is_some_and(|(_, _, node)| *node != showing.node)
        };
        Rivals {
            shown: showing.shown.is_some_and(is_others),
            bound: showing.before.is_some_and(is_others),
        }
    }
}

/// Which of a node's processors other nodes get in an epoch: what its own reports do not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rivals {
    /// Those it shows, unless it is bound to them.
    pub shown: bool,
    /// Those it was bound to, unless it shows them.
    pub bound: bool,
}

/// What becomes of a node's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    /// What it is bound to after the epoch, if it has an owner then.
    pub(super) after: Option<Digest>,
    /// It shows those of another node.
    pub(super) taken: bool,
    pub(super) finding: Finding,
}

impl Binding {
    pub(super) fn of(showing: &Showing, rivals: Rivals) -> Self {
        let Showing { before, shown, .. } = *showing;
        let kept = before.filter(|_| shown == before || !rivals.bound);
        let warned = Finding::of(Verdict::Warned, reason::IDENTITY);
        let (after, taken, finding) = match shown {
            None => (kept, false, Finding::PASS),
            Some(_) if shown == before => (before, false, Finding::PASS),
            Some(_) if rivals.shown => (kept, true, warned),
            Some(_) if before.is_some() => (shown, false, warned),
            Some(_) => (shown, false, Finding::PASS),
        };
        Self {
            after,
            taken,
            finding,
        }
    }
}
