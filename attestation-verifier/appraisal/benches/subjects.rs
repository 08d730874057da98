//! What is measured.

use crate::harness::{Doubled, Pair};

/// Every pair.
pub fn all() -> Vec<Pair> {
    Vec::new()
}

/// Work on an input and on one twice its size.
pub fn doubled() -> Vec<(&'static str, Doubled)> {
    Vec::new()
}
