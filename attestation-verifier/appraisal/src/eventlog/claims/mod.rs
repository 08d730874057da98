//! What a log proves about a boot, claim by claim, in the values a quote confirmed.
//!
//! A claim is [`Claim::Proven`] only when its PCR's replay equals the quoted value, the digest covers what is read,
//! and nothing in that PCR could mean something else. What keeps one kind of event from passing for another:
//!
//! - the PCR, which the replay authenticates: a claim is read from one PCR;
//! - the place: claims about what firmware found must lie before that PCR's separator, which is recognised by its
//!   digest. After it, anybody who runs may extend;
//! - the content: the covered bytes decide what an event is (a UEFI variable with its namespace and name, text
//!   without a NUL inside, a digest that stands for an image), and the label must agree. If it does not, the event
//!   was relabelled and the claim is unproven.
//!
//! One event of the PCR that cannot be told makes a claim [`Claim::Unproven`], never true and never absent.
//! Read the module documentation of [`eventlog`](super) for who is believed.

mod boot;
mod firmware;
mod loader;
mod region;
mod secure_boot;
#[cfg(test)]
mod tests;

pub use boot::{BootVariable, ExitBootServices, Image};
pub use firmware::Version;
pub use loader::{LoaderString, Section};
pub use region::Separator;
pub use secure_boot::{MeasuredVariable, SecureBoot};

use super::replay::Replayed;
use super::signature_list::Database;
use super::{Event, EventLog, EventLogError, text};
use crate::tpm::algorithm::HashAlg;
use region::View;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim<T> {
    /// Shown by digests that a quote confirmed.
    Proven(T),
    /// Not shown, and why.
    Unproven(Unproven),
    /// Shown not to be there.
    Absent,
}

impl<T> Claim<T> {
    /// The value, when it is proven.
    pub fn proven(&self) -> Option<&T> {
        match self {
            Self::Proven(value) => Some(value),
            Self::Unproven(_) | Self::Absent => None,
        }
    }

    fn of(result: Result<Option<T>, Unproven>) -> Self {
        match result {
            Ok(Some(value)) => Self::Proven(value),
            Ok(None) => Self::Absent,
            Err(reason) => Self::Unproven(reason),
        }
    }
}

/// Why a claim is not proven. Events are counted in the file, from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The quote does not have this PCR.
    #[error("PCR {pcr} was not quoted in this bank")]
    NotQuoted {
        /// The PCR.
        pcr: u32,
    },
    /// The replay does not end in the quoted value.
    #[error("PCR {pcr}: the quote has another value than the log replays to")]
    Differs {
        /// The PCR.
        pcr: u32,
    },
    /// Nothing ends what firmware measured.
    #[error("PCR {pcr} has no separator")]
    NoSeparator {
        /// The PCR.
        pcr: u32,
    },
    /// Firmware reported an error in this PCR.
    #[error("PCR {pcr} has an error separator, event {event}")]
    ErrorSeparator {
        /// The PCR.
        pcr: u32,
        /// The event.
        event: usize,
    },
    /// An event's digest does not cover its data.
    #[error("event {event} of type {kind:#010x}: its digest does not cover its data")]
    Uncovered {
        /// The event.
        event: usize,
        /// Its type.
        kind: u32,
    },
    /// An event's content is of another kind than its type says.
    #[error("event {event} is labelled {kind:#010x}, but what it measures is something else")]
    Relabelled {
        /// The event.
        event: usize,
        /// Its type.
        kind: u32,
    },
    /// An event of a type that has no place in this PCR.
    #[error("event {event}: type {kind:#010x} is not known in PCR {pcr}")]
    Unknown {
        /// The event.
        event: usize,
        /// Its PCR.
        pcr: u32,
        /// Its type.
        kind: u32,
    },
    /// Two values of what has one.
    #[error("{what}: measured with different values")]
    Conflict {
        /// What.
        what: &'static str,
    },
    /// The value has not the form it must have.
    #[error("{what}: the measured value is malformed")]
    Malformed {
        /// What.
        what: &'static str,
    },
    /// The digest covers the value alone, so that it may be the value of something else.
    #[error("event {event}: its digest covers a value, but not that it is {what}")]
    NameNotCovered {
        /// The event.
        event: usize,
        /// What.
        what: &'static str,
    },
    /// No event says so, but some could be it.
    #[error("no event says {what}, and PCR {pcr} has events that cannot be told")]
    NotFound {
        /// What.
        what: &'static str,
        /// The PCR.
        pcr: u32,
    },
}

impl Serialize for Unproven {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Bytes, shown in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex<'a>(pub &'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

/// Something measured whose data the log does not carry: the digest is proven, what it is of is a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measured<'a> {
    /// What was extended.
    pub digest: Hex<'a>,
    /// Event type: a label.
    pub unproven_type: u32,
    /// The event data, shortened: a label.
    pub unproven_label: String,
}

impl<'a> Measured<'a> {
    fn of(event: &Event<'a>, bank: HashAlg) -> Self {
        // The description of a tagged event follows its tag and size.
        let tagged = event.kind == super::EV_EVENT_TAG;
        let data = event.data.get(if tagged { 8 } else { 0 }..);
        Self {
            digest: Hex(event.digest(bank).unwrap_or_default()),
            unproven_type: event.kind,
            unproven_label: text::label(data.unwrap_or_default()),
        }
    }
}

/// All claims. Each says in its type what it proves; see the module documentation for what all of them rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootClaims<'a> {
    /// The bank they were read in, by its `TPM_ALG_ID`.
    pub bank: u16,
    /// Whether firmware enforced Secure Boot when it began to look for something to boot (PCR 7).
    ///
    /// Not that the keys are good ones ([`BootClaims::db`]), nor that what booted then kept to it.
    pub secure_boot: Claim<SecureBoot>,
    /// The platform key (PCR 7).
    pub pk: Claim<Database<'a>>,
    /// The key exchange keys (PCR 7).
    pub kek: Claim<Database<'a>>,
    /// What may boot (PCR 7).
    pub db: Claim<Database<'a>>,
    /// What must not boot (PCR 7).
    pub dbx: Claim<Database<'a>>,
    /// Timestamping certificates (PCR 7).
    pub dbt: Claim<Database<'a>>,
    /// Every other variable measured in PCR 7: the entries that vouched for images, and shim's (`Shim`, `MokList`,
    /// `SbatLevel`). The list is complete; who measured those behind the separator is not shown.
    pub authorities: Claim<Vec<MeasuredVariable<'a>>>,
    /// shim's revocation level (PCR 7).
    pub sbat_level: Claim<String>,
    /// What firmware said of its own security (PCR 7): debug mode, DMA protection off.
    pub security_actions: Claim<Vec<String>>,
    /// shim's machine owner keys (PCR 14): digests proven, names not.
    pub mok: Claim<Vec<Measured<'a>>>,
    /// The version that the firmware measured of itself (PCR 0, before the separator).
    ///
    /// The text was measured by the firmware; that it is the version, and not another text of the same firmware, is
    /// the label's word. The digest of PCR 0 says more.
    pub firmware_version: Claim<Version<'a>>,
    /// Everything measured in PCR 0 before the separator, complete and in order.
    pub firmware: Claim<Vec<Measured<'a>>>,
    /// The boot order (PCR 1 or 5). Unproven on firmware that hashes values without names.
    pub boot_order: Claim<Vec<u16>>,
    /// Boot variables (PCRs 1 and 5): each value was measured there; a name only where it is covered; not that the
    /// list is complete.
    pub boot_variables: Claim<Vec<BootVariable<'a>>>,
    /// The boot manager's actions (PCR 4), in order; not that there were no others.
    pub boot_actions: Claim<Vec<String>>,
    /// Authenticode digests of the applications that were started (PCR 4), in order. None can be hidden; an editor of
    /// the log can add one that is the digest of an action.
    pub images: Claim<Vec<Image<'a>>>,
    /// Authenticode digests of drivers that did not come with the firmware (PCR 2), as [`BootClaims::images`].
    pub drivers: Claim<Vec<Image<'a>>>,
    /// Whether boot services ended (PCR 5). Somebody may extend the same text later.
    pub exit_boot_services: Claim<ExitBootServices>,
    /// Strings that the boot loader measured (PCR 8), complete and in order: commands and command lines.
    ///
    /// GRUB hashes neither "command" nor "kernel command line" with them: which is which is a label, so only the whole
    /// list can be compared.
    pub loader_strings: Claim<Vec<LoaderString<'a>>>,
    /// Files that the boot loader read, and what the kernel's stub measured (PCR 9): digests proven, names not.
    pub loader_files: Claim<Vec<Measured<'a>>>,
    /// Sections of the unified kernel image (PCR 11): names and digests of contents.
    pub uki_sections: Claim<Vec<Section<'a>>>,
    /// Command lines that the unified kernel's stub, or systemd-boot, measured (PCR 12), complete and in order.
    ///
    /// Whoever writes what else is measured there (the agent's configuration) can add a line, not hide one.
    pub command_lines: Claim<Vec<String>>,
    /// The first separator of each PCR that firmware extends.
    pub separators: BTreeMap<u32, Claim<Separator>>,
}

/// A log whose PCRs a quote confirmed, opened to read claims one by one: a policy asks for few of them.
pub struct Reading<'r, 'l, 'a>(View<'r, 'l, 'a>);

impl<'r, 'l, 'a> Reading<'r, 'l, 'a> {
    /// Opens it.
    pub fn of(replayed: &'r Replayed<'l, 'a>) -> Self {
        Self(View::of(replayed))
    }

    /// [`BootClaims::secure_boot`].
    pub fn secure_boot(&self) -> Claim<SecureBoot> {
        secure_boot::Configuration::read(&self.0).secure_boot()
    }

    /// [`BootClaims::firmware_version`].
    pub fn firmware_version(&self) -> Claim<Version<'a>> {
        firmware::version(&self.0)
    }

    /// [`BootClaims::images`].
    pub fn images(&self) -> Claim<Vec<Image<'a>>> {
        boot::images(&self.0, 4)
    }

    /// [`BootClaims::uki_sections`].
    pub fn uki_sections(&self) -> Claim<Vec<Section<'a>>> {
        loader::sections(&self.0)
    }

    /// [`BootClaims::command_lines`].
    pub fn command_lines(&self) -> Claim<Vec<String>> {
        loader::command_lines(&self.0)
    }

    /// Every claim.
    pub fn all(&self) -> BootClaims<'a> {
        let view = &self.0;
        let secure = secure_boot::Configuration::read(view);
        BootClaims {
            bank: view.bank().id(),
            secure_boot: secure.secure_boot(),
            pk: secure.database("PK"),
            kek: secure.database("KEK"),
            db: secure.database("db"),
            dbx: secure.database("dbx"),
            dbt: secure.database("dbt"),
            authorities: secure.authorities(),
            sbat_level: secure.sbat_level(),
            security_actions: secure.actions(),
            mok: loader::mok(view),
            firmware_version: self.firmware_version(),
            firmware: firmware::measured(view),
            boot_order: boot::boot_order(view),
            boot_variables: boot::boot_variables(view),
            boot_actions: boot::actions(view),
            images: self.images(),
            drivers: boot::images(view, 2),
            exit_boot_services: boot::exit_boot_services(view),
            loader_strings: loader::strings(view),
            loader_files: loader::files(view),
            uki_sections: self.uki_sections(),
            command_lines: self.command_lines(),
            separators: (0..=7).map(|pcr| (pcr, view.separator(pcr))).collect(),
        }
    }
}

/// Reads all claims from a log whose PCRs a quote confirmed.
pub fn claims<'a>(replayed: &Replayed<'_, 'a>) -> BootClaims<'a> {
    Reading::of(replayed).all()
}

/// Claims that nothing confirms but the log itself: for people who look at a log, not for policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LogOnly<T>(T);

impl<T> LogOnly<T> {
    /// The claims: "proven" means consistent with the log only.
    pub fn unauthenticated(&self) -> &T {
        &self.0
    }
}

/// Reads all claims from a log without a quote.
///
/// Fails when not every event has a digest of `bank`.
pub fn claims_of_log<'a>(
    log: &EventLog<'a>,
    bank: HashAlg,
) -> Result<LogOnly<BootClaims<'a>>, EventLogError> {
    let replayed = Replayed::log_only(log, bank)?;
    Ok(LogOnly(claims(&replayed)))
}
