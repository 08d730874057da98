//! What must be true of a network on every chain: `tests/anvil` runs these files on a real node.

mod corrections;
mod deployment;
mod epochs;
mod hand_over;
mod hashes;
mod logs;
mod nodes;
mod refusals;
pub mod rent;
mod slashes;
mod stake;
mod upkeep;
