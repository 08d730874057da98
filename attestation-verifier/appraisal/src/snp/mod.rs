//! AMD SEV-SNP: attestation reports, the certificates that endorse their keys, policy, chassis proof, and
//! Azure's evidence built on them.
//!
//! The way of a report: [`report::parse`] (bytes) → [`verify::authenticate`] (signature and chain hold:
//! [`AuthenticReport`]) → [`policy::appraise`] (its content is what was expected: [`AppraisedReport`]) and,
//! on a bare-metal host, [`chassis::prove`]. What this cannot prove: that the machine's owner has no hardware
//! tools. Keys of Milan can be extracted (arXiv 2605.12990) and memory interposers exist for later products.

pub mod azure;
pub mod cert_table;
mod chain;
pub mod chassis;
mod constraints;
pub mod endorsement;
pub mod guest_policy;
mod known;
pub mod policy;
pub mod product;
pub mod report;
pub mod revocation;
pub mod roots;
pub mod tcb;
pub mod verify;

pub use known::ChainCache;
pub use policy::{AppraisedReport, Expect, SnpPolicy};
pub use product::{Generation, Product};
pub use roots::{RootKind, SnpRoots};
pub use tcb::Tcb;
pub use verify::AuthenticReport;

use crate::checks::{Checks, Outcome, Stopped};
use core::fmt::Display;

#[cfg(test)]
mod tests;

/// Records whether something holds.
fn held(
    checks: &mut Checks,
    name: &str,
    holds: bool,
    expected: impl Display,
    actual: impl Display,
) -> Result<(), Stopped> {
    let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
    checks.record(name, outcome, expected, actual)
}
