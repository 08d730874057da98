//! Everything the contracts must refuse, each by the name of its error.

mod epochs;
mod nodes;
mod rent;
mod signatures;
mod stake;
mod tokens;
