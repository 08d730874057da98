//! Endorsement keys: certificates up to configured roots, and what they are eligible for.

pub mod certificate;
pub mod roots;

pub use certificate::{CertifiedEk, EkError, certify};
pub use roots::{RootError, Roots};

#[cfg(test)]
mod tests;
