//! Whose a node is: by what stands on the ledger when the epoch begins, and by whom the machine itself names.
//!
//! ```text
//! nobody's ──▶ confirmed     more than 2/3 of the weight name a provider with a registration, and it shows no other node's
//!                            processors; the first wins
//! confirmed ──▶ handed over  they name who took the owner's offer, and no breach of the node waits to be slashed
//! confirmed ──▶ nobody's     its registration has ended; or the owner's on the ledger again, whose offer came to nothing
//! ```
//! Breaches that were not slashed yet stay with a node that is somebody's, and are gone with a registration that ended:
//! who sells a node on trial waits for the end of it, and who leaves has served as long as a trial takes.

use super::chips::Binding;
use super::{Judgement, NodeState};
use crate::persistence::Record;
use crate::verdict::{Finding, Verdict, reason};
use assay_protocol::ids::{Address, Digest, NodeId};
use std::collections::BTreeSet;

/// How a registration stands on the ledger when an epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Until a root confirms its provider.
    Waiting,
    /// Its provider took the offer of the owner, so long ago that the node can be its.
    Offered,
    /// Its provider is the owner, and owes service.
    Owner,
    /// Its provider is the owner and owes no service any more; until it ends the node is nobody else's.
    Leaving,
}

/// A provider's claim that a node is its own; several may claim the same node until one is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registration {
    /// Node.
    pub node: NodeId,
    /// Who registered it.
    pub provider: Address,
    /// Digest of the class it promises to fulfil.
    pub class: Digest,
    /// How it stands; of one node at most one is the owner's, and beside it none waits.
    pub standing: Standing,
}

/// Whose a node is when an epoch begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ownership<'a> {
    claims: Option<&'a BTreeSet<Registration>>,
    holder: Option<&'a Registration>,
}

impl<'a> Ownership<'a> {
    /// Whom the last root left it to, while that one's registration stands; else the owner on the ledger.
    pub(super) fn at(prior: &NodeState, claims: Option<&'a BTreeSet<Registration>>) -> Self {
        let all = || claims.into_iter().flatten();
        let left_to = |claim: &&Registration| Some(claim.provider) == prior.confirmed_owner;
        let owns =
            |claim: &&Registration| matches!(claim.standing, Standing::Owner | Standing::Leaving);
        let holder = all().find(left_to).or_else(|| all().find(owns));
        Self { claims, holder }
    }

    fn of(&self, provider: &Address) -> Option<&'a Registration> {
        let mut claims = self.claims.into_iter().flatten();
        claims.find(|claim| claim.provider == *provider)
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> Option<Address> {
        self.holder.map(|holder| holder.provider)
    }

    /// The state that an epoch begins with: a record of breaches ends with the registration of who made them, and who owes no
    /// service keeps no processors from others.
    pub(super) fn begins(&self, prior: &NodeState) -> NodeState {
        let record = self.holder.map_or(Record::default(), |_| prior.record);
        NodeState {
            confirmed_owner: self.owner(),
            record,
            chips: self.serves().and(prior.chips),
            ..*prior
        }
    }

    /// The owner's registration, unless it leaves.
    fn serves(&self) -> Option<&'a Registration> {
        self.holder
            .filter(|holder| holder.standing != Standing::Leaving)
    }

    /// The registration that a node is judged by: the owner's, unless it leaves; of a node that is nobody's, that of whom
    /// most name, else the one of the lowest provider address.
    pub(super) fn judged_by(&self, named: Option<Address>) -> Option<&'a Registration> {
        match self.holder {
            Some(_) => self.serves(),
            None => named
                .and_then(|named| self.of(&named))
                .or_else(|| self.claims?.first()),
        }
    }

    /// Who is named instead of the owner, with the owner's leave.
    fn successor(&self, named: Option<Address>) -> Option<Address> {
        let offered = |claim: &&Registration| claim.standing == Standing::Offered;
        self.of(&named?).filter(offered).map(|claim| claim.provider)
    }

    /// That the machine names somebody else than its owner, who did not offer it to that one.
    pub(super) fn finding(&self, named: Option<Address>) -> Finding {
        let stranger = named.filter(|_| self.successor(named).is_none());
        match (self.owner(), stranger) {
            (Some(owner), Some(stranger)) if owner != stranger => {
                Finding::of(Verdict::Warned, reason::IDENTITY)
            }
            _ => Finding::PASS,
        }
    }

    /// Whose it is after the epoch, by whom more than 2/3 name, with what becomes of its processors and the record that the
    /// epoch leaves.
    pub(super) fn after(
        &self,
        judgement: &Judgement,
        binding: &Binding,
        record: &Record,
    ) -> Option<Address> {
        let named = judgement.owner;
        match self.holder {
            None => named
                .filter(|_| !binding.taken)
                .filter(|named| self.of(named).is_some()),
            // Who leaves and comes back needs to be confirmed anew.
            Some(holder) if holder.standing == Standing::Leaving => None,
            Some(holder) => self
                .successor(named)
                .filter(|_| record.is_clean())
                .or(Some(holder.provider)),
        }
    }

    /// Whose name stands in a leaf of a node that is nobody's.
    pub(super) fn first(&self) -> Option<Address> {
        let first = self.holder.or_else(|| self.claims?.first())?;
        Some(first.provider)
    }
}
