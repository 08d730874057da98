//! What the contract refused, so that it is not tried out again before it can end otherwise.

use assay_protocol::ids::Epoch;
use std::collections::BTreeMap;

use super::{Due, Record};

/// Refused names, each with the record that it was refused with. A restart forgets them: each is tried once more.
#[derive(Debug, Default)]
pub struct Refusals {
    last_final: Option<Epoch>,
    by_name: BTreeMap<String, Record>,
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
    pub fn add(&mut self, due: Due) {
        self.by_name.insert(due.name, due.record);
    }

    /// Whether this was refused, and its record is the same.
    pub fn hold(&self, due: &Due) -> bool {
        self.by_name.get(&due.name) == Some(&due.record)
    }
}
