//! IMA measurement lists (Linux `security/integrity/ima`, Documentation/security/IMA-templates.rst).
//!
//! The kernel measures a file before it is used, appends an entry to the runtime list and extends a PCR,
//! normally 10, by a hash of the entry's template data. What follows:
//!
//! - A list proves nothing by itself. [`explain`] replays it to the quoted PCR values; only [`Explained`]
//!   entries may be judged, and [`appraise()`] takes nothing else.
//! - The template hash in an entry is never believed: it is recomputed from the template data.
//! - **Not covered by any PCR**: the template's name (unknown names are refused, and the fields of the known
//!   ones cannot be read as one another's, except that `ima-sig` and `ima-buf` share a form; see
//!   [`Template`]), the PCR index (a wrong one breaks the replay) and **everything in a violation entry**,
//!   which extends a constant. A violation's name and digest are labels, nothing else.
//! - What was measured is what the machine's IMA policy says. A complete list under a policy that measures
//!   nothing is empty and true.
//!
//! ```text
//! List::read (binary or ASCII)  ->  explain / explain_after (quoted PCRs)  ->  Explained  ->  appraise
//! ```

pub mod allowlist;
pub mod appraise;
pub mod ascii;
pub mod boot_aggregate;
pub mod contents;
pub mod error;
pub mod explain;
mod hash;
pub mod keyring;
pub mod list;
pub mod position;
pub mod replay;
pub mod signature;
pub mod template;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use allowlist::Allowlist;
pub use appraise::{Appraisal, Policy, appraise};
pub use contents::Contents;
pub use error::ImaError;
pub use explain::{Explained, Options, Tail, explain, explain_after};
pub use keyring::Keyring;
pub use list::{Entry, List};
pub use position::Position;
pub use replay::{BankForm, Forms, Replayed, replay};
pub use template::{DigestKind, Event, Extra, FileDigest, Template};

/// The PCR IMA extends unless the kernel's configuration or a rule names another.
pub const IMA_PCR: u32 = 10;
