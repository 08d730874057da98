//! The challenges, each in a file of its own: ask, judge, record.

pub mod attest;
pub mod chase;
pub mod endorsement;
pub mod enrol;
pub mod fill;
pub mod ima;
pub mod probe;

use crate::agent_link::LinkError;
use crate::clock;
use crate::context::Context;
use crate::ledger_view::Registered;
use crate::record::Draft;
use anyhow::{Context as _, Result};
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Epoch, Nonce, Slot, UnixMs};
use assay_protocol::outcome::{OutcomeClass, OutcomeKind};
use assay_protocol::schedule::{Challenge, ChallengePlace};
use std::time::Duration;

/// Longest wait for an answer that needs no TPM.
pub const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for an answer that needs the TPM (200 ms median, 600 ms p95 on real parts, and a queue).
pub const TPM_WAIT: Duration = Duration::from_secs(20);
/// Longest wait for a connection.
pub const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// One challenge about to be made.
pub struct Asking<'a> {
    /// Keys, stores, parameters.
    pub context: &'a Context,
    /// The node asked.
    pub node: &'a Registered,
    /// Its class.
    pub class: &'a ValidClass,
    /// Epoch and slot it belongs to.
    pub place: (Epoch, Slot),
    /// When it began.
    pub started: UnixMs,
    /// Randomness of its nonce.
    pub r: [u8; 32],
}

impl<'a> Asking<'a> {
    /// Begins a challenge now.
    pub fn begin(context: &'a Context, node: &'a Registered, place: (Epoch, Slot)) -> Result<Self> {
        let class = context.classes.get(&node.class).with_context(|| {
            format!("node {}: unknown hardware class {}", node.node, node.class)
        })?;
        let r = context.random()?;
        Ok(Self {
            context,
            node,
            class,
            place,
            started: clock::now(),
            r,
        })
    }

    /// The same challenge once more: same place, same nonce, so that breaking it off gains nothing.
    pub fn again(self, (place, r): ((Epoch, Slot), [u8; 32])) -> Self {
        Self { place, r, ..self }
    }

    /// The nonce of a challenge of this kind.
    pub fn nonce(&self, kind: Challenge) -> Nonce {
        let place = ChallengePlace {
            network: self.context.network,
            node: self.node.node,
            hypernode: self.context.own,
            epoch: self.place.0,
            slot: self.place.1,
            kind,
        };
        place.nonce(&self.r)
    }

    /// A draft of the outcome.
    pub fn draft(&self, kind: OutcomeKind, class: OutcomeClass) -> Draft {
        Draft {
            kind,
            node: self.node.node,
            policy: self.node.class,
            place: self.place,
            started: self.started,
            r: self.r,
            class,
            metrics: Vec::new(),
            raw: Vec::new(),
            detail: String::new(),
        }
    }

    /// A draft for a challenge that got no answer: not the node's failure, as nothing was proven.
    pub fn unanswered(&self, kind: OutcomeKind, error: &LinkError) -> Draft {
        Draft {
            detail: error.to_string(),
            ..self.draft(kind, OutcomeClass::Inconclusive)
        }
    }
}
