//! What is measured.

mod bare;
mod certificates;
mod chips;
mod growth;
mod logs;
mod nodes;
mod quotes;

use crate::harness::{Doubled, Pair};

/// Pairs of one kind are made when they are asked for: some need RSA keys, which take seconds.
pub type Group = (&'static str, fn() -> Vec<Pair>);

/// Every pair.
pub const GROUPS: [Group; 6] = [
    ("quotes", quotes::pairs),
    ("reports", chips::pairs),
    ("certificates", certificates::pairs),
    ("appraisals of a TPM", nodes::of_a_tpm),
    ("appraisals of everything", nodes::of_everything),
    ("logs", logs::pairs),
];

/// A name, and how to measure work on an input and on one twice its size.
pub type Growth = (&'static str, Box<dyn FnOnce() -> Doubled>);

/// Every input that grows.
pub fn doubled() -> Vec<Growth> {
    growth::all()
}
