//! What the contract refused, so that it is not tried out again before it can end otherwise.

use assay_protocol::ids::Epoch;
use std::collections::BTreeMap;

use super::{Due, Record};

/// What a refusal means for what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The final state refuses it, too: there is nothing to do.
    Finally,
    /// Only a state that can still change: somebody else's transaction may do it, or be dropped.
    ForNow,
}

/// Refused names, each with the record that it was refused with. A restart forgets them: each is tried once more.
#[derive(Debug, Default)]
pub struct Refusals {
    last_final: Option<Epoch>,
    by_name: BTreeMap<String, (Record, Refused)>,
}

impl Refusals {
    /// Another final epoch can make everything possible.
    pub fn at(&mut self, last_final: Option<Epoch>) {
        if self.last_final != last_final {
            self.last_final = last_final;
            self.by_name.clear();
        }
    }

    /// Remembers that this was refused.
    pub fn add(&mut self, due: Due, how: Refused) {
        self.by_name.insert(due.name, (due.record, how));
    }

    /// How this was refused, when its record is the same since.
    pub fn of(&self, due: &Due) -> Option<Refused> {
        let (record, how) = self.by_name.get(&due.name)?;
        (*record == due.record).then_some(*how)
    }
}
