//! Which processors a node is bound to, so that one machine is not paid for as two.
//!
//! More than 2/3 of the weight must have seen them proven. A node is bound to the first ones; with others than those it is
//! warned for the epoch, and bound to them from the next one on. Nobody is bound to what another node is bound to: neither a
//! node whose provider would be confirmed by this root, nor one that would change. What a node had before is free for others
//! in the next epoch, and with the last epoch of service of who owned it.

use crate::verdict::{Finding, Verdict, reason};
use assay_protocol::ids::{Digest, NodeId};
use std::collections::BTreeMap;

/// Processors and the nodes that are bound to them, see [`assay_protocol::evidence::chips_digest`].
#[derive(Debug, Clone, Default)]
pub(super) struct Bound(BTreeMap<Digest, NodeId>);

impl Bound {
    /// Binds what is not another node's.
    pub(super) fn add(&mut self, node: NodeId, chips: Option<Digest>) {
        if let Some(chips) = chips {
            self.0.entry(chips).or_insert(node);
        }
    }

    /// How `chips`, shown by a node, stand to what it was bound to `before`.
    pub(super) fn of(&self, node: NodeId, before: Option<Digest>, chips: Option<Digest>) -> Shown {
        let Some(chips) = chips.filter(|chips| Some(*chips) != before) else {
            return Shown::Nothing;
        };
        match (self.0.get(&chips), before) {
            (Some(other), _) if *other != node => Shown::Taken,
            (_, None) => Shown::First(chips),
            (_, Some(_)) => Shown::Other(chips),
        }
    }
}

/// What of processors a node showed in an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Shown {
    /// None, or those it is bound to.
    #[default]
    Nothing,
    /// Some, bound to none so far.
    First(Digest),
    /// Others than those it is bound to.
    Other(Digest),
    /// Those of another node.
    Taken,
}

impl Shown {
    pub(super) fn finding(self) -> Finding {
        match self {
            Self::Nothing | Self::First(_) => Finding::PASS,
            Self::Other(_) | Self::Taken => Finding::of(Verdict::Warned, reason::IDENTITY),
        }
    }

    /// What a node with an owner is bound to after the epoch.
    pub(super) fn after(self, before: Option<Digest>) -> Option<Digest> {
        match self {
            Self::Nothing | Self::Taken => before,
            Self::First(chips) | Self::Other(chips) => Some(chips),
        }
    }
}
