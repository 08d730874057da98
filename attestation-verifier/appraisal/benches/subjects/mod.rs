//! What is measured.

mod bare;
mod certificates;
mod chips;
mod growth;
mod logs;
mod nodes;
mod quotes;

use crate::harness::{Doubled, Pair};

/// Every pair.
pub fn all() -> Vec<Pair> {
    let mut pairs = quotes::pairs();
    pairs.extend(chips::pairs());
    pairs.extend(certificates::pairs());
    pairs.extend(nodes::pairs());
    pairs.extend(logs::pairs());
    pairs
}

/// A name, and how to measure work on an input and on one twice its size.
pub type Growth = (&'static str, Box<dyn FnOnce() -> Doubled>);

/// Every input that grows.
pub fn doubled() -> Vec<Growth> {
    growth::all()
}
