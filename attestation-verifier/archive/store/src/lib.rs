//! The archive of one HyperNode on disk: raw evidence by content, and the journal behind its log.
//!
//! What [`Journal::acknowledge`], [`Journal::checkpoint`] and [`ObjectStore::put`] have returned is on disk: it
//! survives `kill -9` and loss of power. Whatever they had not returned may or may not be there, but never half.
#![forbid(unsafe_code)]

mod error;
mod journal;
mod objects;

pub use error::StoreError;
pub use journal::{Acknowledged, Journal, Record};
pub use objects::ObjectStore;
