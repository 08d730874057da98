//! Tests of lists, by part.

mod aggregate;
mod formats;
mod judge;
mod kit;
mod position;
mod replay;
mod signatures;
