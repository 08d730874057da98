//! The firmware's event log (TCG PC Client Platform Firmware Profile 1.05, section 10): parsed with bounds,
//! replayed to PCR values, compared with a quote, and read for what its digests prove.
//!
//! **Who is believed.** The log comes from whoever controls the server. Only a PCR index, a digest and the order of
//! the digests of one PCR are authenticated, and only by a replay that ends in a quoted value. Event types are
//! labels; event data counts exactly as far as a digest is shown to cover it. What is excluded is an owner of the
//! operating system (or of the boot disk) who edits the log, relabels events, moves data from one event to another,
//! leaves events out, or extends PCRs after boot. What is *not* excluded:
//!
//! - firmware that lies: every claim is what the firmware measured, so it stands on PCR 0 having an allowed value;
//! - a stage that lies about the next one: claims from PCR 8, 9, 11, 12 and 14 are what the boot loader measured, so
//!   they stand on the images of PCR 4 being allowed ones;
//! - a second preimage of SHA-1 in a log whose only bank is SHA-1 ([`Form::LegacySha1`] can be refused by name).
//!
//! Steps: [`parse`] (crypto-agile only) or [`parse_any`] → [`EventLog::replay`] → [`explain`](explain::explain)
//! for tools, or [`Replayed`](replay::Replayed), which only a comparison with a quote makes, →
//! [`claims`](claims::claims).

pub mod claims;
pub mod coverage;
pub mod explain;
mod hash;
mod parse;
pub mod replay;
pub mod signature_list;
mod text;
pub mod variable;

#[cfg(test)]
pub(crate) mod tests;

use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::FormatError;

pub use parse::{parse, parse_any};

/// Most events accepted.
pub const EVENTS_MAX: usize = 16_384;

/// `EV_POST_CODE`: firmware code, or a string that stands for it.
pub const EV_POST_CODE: u32 = 0x0000_0001;
/// `EV_NO_ACTION`: carries information, extends nothing.
pub const EV_NO_ACTION: u32 = 0x0000_0003;
/// `EV_SEPARATOR`: the end of what firmware measures before it looks for something to boot.
pub const EV_SEPARATOR: u32 = 0x0000_0004;
/// `EV_ACTION`: a string that says what was done (TCG 1.2 spelling).
pub const EV_ACTION: u32 = 0x0000_0005;
/// `EV_EVENT_TAG`: a tagged event of a boot loader or an operating system.
pub const EV_EVENT_TAG: u32 = 0x0000_0006;
/// `EV_S_CRTM_CONTENTS`: the code that measures first.
pub const EV_S_CRTM_CONTENTS: u32 = 0x0000_0007;
/// `EV_S_CRTM_VERSION`: its version.
pub const EV_S_CRTM_VERSION: u32 = 0x0000_0008;
/// `EV_CPU_MICROCODE`.
pub const EV_CPU_MICROCODE: u32 = 0x0000_0009;
/// `EV_IPL`: the boot loader and what it starts.
pub const EV_IPL: u32 = 0x0000_000d;
/// `EV_NONHOST_CODE`: firmware of another processor.
pub const EV_NONHOST_CODE: u32 = 0x0000_000f;
/// `EV_NONHOST_CONFIG`.
pub const EV_NONHOST_CONFIG: u32 = 0x0000_0010;
/// `EV_NONHOST_INFO`.
pub const EV_NONHOST_INFO: u32 = 0x0000_0011;
/// `EV_OMIT_BOOT_DEVICE_EVENTS`.
pub const EV_OMIT_BOOT_DEVICE_EVENTS: u32 = 0x0000_0012;
/// `EV_POST_CODE2`.
pub const EV_POST_CODE2: u32 = 0x0000_0013;
/// `EV_EFI_VARIABLE_DRIVER_CONFIG`: a UEFI variable that configures firmware.
pub const EV_EFI_VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
/// `EV_EFI_VARIABLE_BOOT`: `BootOrder` or `Boot####`.
pub const EV_EFI_VARIABLE_BOOT: u32 = 0x8000_0002;
/// `EV_EFI_BOOT_SERVICES_APPLICATION`: an image that was started.
pub const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
/// `EV_EFI_BOOT_SERVICES_DRIVER`.
pub const EV_EFI_BOOT_SERVICES_DRIVER: u32 = 0x8000_0004;
/// `EV_EFI_RUNTIME_SERVICES_DRIVER`.
pub const EV_EFI_RUNTIME_SERVICES_DRIVER: u32 = 0x8000_0005;
/// `EV_EFI_GPT_EVENT`: a partition table.
pub const EV_EFI_GPT_EVENT: u32 = 0x8000_0006;
/// `EV_EFI_ACTION`: a string that says what was done.
pub const EV_EFI_ACTION: u32 = 0x8000_0007;
/// `EV_EFI_PLATFORM_FIRMWARE_BLOB`: firmware code.
pub const EV_EFI_PLATFORM_FIRMWARE_BLOB: u32 = 0x8000_0008;
/// `EV_EFI_PLATFORM_FIRMWARE_BLOB2`.
pub const EV_EFI_PLATFORM_FIRMWARE_BLOB2: u32 = 0x8000_000a;
/// `EV_EFI_VARIABLE_BOOT2`: as `EV_EFI_VARIABLE_BOOT`, the digest over the whole structure.
pub const EV_EFI_VARIABLE_BOOT2: u32 = 0x8000_000c;
/// `EV_EFI_HCRTM_EVENT`: a measurement made before `TPM2_Startup`, from locality 4.
pub const EV_EFI_HCRTM_EVENT: u32 = 0x8000_0010;
/// `EV_EFI_VARIABLE_AUTHORITY`: the entry of a key database that vouched for an image.
pub const EV_EFI_VARIABLE_AUTHORITY: u32 = 0x8000_00e0;

/// PCRs of a PC Client TPM: 0 to 23.
pub(crate) const PCR_LAST: u32 = 23;

/// An event log is not acceptable, or cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// A structure does not parse.
    #[error("event log: event {event}: {source}")]
    Format {
        /// Index of the event, from 0.
        event: usize,
        /// What is wrong.
        source: FormatError,
    },
    /// The log has the old, SHA-1-only form, or is no log.
    #[error(
        "event log: expected a crypto-agile log (Spec ID Event03 on PCR 0), got another first event; a legacy SHA-1 log has no place here"
    )]
    NotCryptoAgile,
    /// The log of a confidential guest: its indices name measurement registers, not PCRs.
    #[error(
        "event log: expected a TPM's log, got a confidential-computing log (Spec ID event on register {register})"
    )]
    ConfidentialComputing {
        /// The measurement register of the Spec ID event.
        register: u32,
    },
    /// A Spec ID event of a version that is not known.
    #[error("event log: expected Spec ID Event00, Event02 or Event03, got another version")]
    SpecIdVersion,
    /// No event at all.
    #[error("event log: expected at least one event, got none")]
    Empty,
    /// The Spec ID event declares no usable list of algorithms.
    #[error("event log: Spec ID event: {0}")]
    Algorithms(String),
    /// An event's digests do not fit the declared algorithms.
    #[error("event log: event {event}: {problem}")]
    Digests {
        /// Index of the event, from 0.
        event: usize,
        /// What is wrong.
        problem: String,
    },
    /// A PCR index outside 0..=23 on an event that extends.
    #[error("event log: event {event}: PCR index: expected 0 to 23, got {actual}")]
    PcrIndex {
        /// Index of the event, from 0.
        event: usize,
        /// The index found.
        actual: u32,
    },
    /// StartupLocality twice, late, or with a value that is none.
    #[error("event log: event {event}: StartupLocality: {problem}")]
    StartupLocality {
        /// Index of the event, from 0.
        event: usize,
        /// What is wrong.
        problem: String,
    },
    /// An event has no digest of the bank to replay.
    #[error("event log: event {event} on PCR {pcr}: expected a {bank:?} digest, got none")]
    BankMissing {
        /// Index of the event, from 0.
        event: usize,
        /// Its PCR.
        pcr: u32,
        /// The bank.
        bank: HashAlg,
    },
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `TCG_PCR_EVENT2` with a digest per bank.
    CryptoAgile,
    /// `TCG_PCR_EVENT` with one SHA-1 digest (TCG 1.2, and `SHA1_LOG` of the EFI protocol).
    LegacySha1,
}

/// The digests of one event: slices of the log, nothing is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests<'a> {
    raw: &'a [u8],
    known: [Option<&'a [u8]>; 4],
    others: u16,
}

impl<'a> Digests<'a> {
    /// The list as the log spells it.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The digest for `bank`.
    pub fn get(&self, bank: HashAlg) -> Option<&'a [u8]> {
        self.known.get(slot(bank)).copied().flatten()
    }

    /// Whether there is a digest of the algorithm at `position` of the declared list.
    fn has_other(&self, position: usize) -> bool {
        u32::try_from(position)
            .ok()
            .and_then(|position| self.others.checked_shr(position))
            .is_some_and(|bits| bits & 1 == 1)
    }
}

/// Where a bank's digest is kept.
fn slot(bank: HashAlg) -> usize {
    match bank {
        HashAlg::Sha1 => 0,
        HashAlg::Sha256 => 1,
        HashAlg::Sha384 => 2,
        HashAlg::Sha512 => 3,
    }
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The PCR it extends; 0xFFFFFFFF for none.
    pub pcr: u32,
    /// Event type: a label, not authenticated.
    pub kind: u32,
    /// Its digests.
    pub digests: Digests<'a>,
    /// Event data: not authenticated, see [`Event::covered_data`].
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    /// Whether it extends a PCR.
    pub fn extends(&self) -> bool {
        self.kind != EV_NO_ACTION
    }

    /// The digest for `bank`.
    pub fn digest(&self, bank: HashAlg) -> Option<&'a [u8]> {
        self.digests.get(bank)
    }

    /// Whether the event extends `bank` by exactly the digest of `bytes`.
    pub fn measures(&self, bank: HashAlg, bytes: &[u8]) -> bool {
        let digest = self.digest(bank).filter(|_| self.extends());
        digest.is_some_and(|digest| digest == hash::digest(bank, bytes).as_ref())
    }

    /// The event data, when the event extends `bank` by exactly the digest of it; nothing otherwise.
    ///
    /// It proves that somebody extended the PCR by this data, once the replay is quoted. Not that the label is right.
    pub fn covered_data(&self, bank: HashAlg) -> Option<&'a [u8]> {
        self.measures(bank, self.data).then_some(self.data)
    }

    /// [`Event::covered_data`] of the SHA-256 bank.
    pub fn proven_data(&self) -> Option<&'a [u8]> {
        self.covered_data(HashAlg::Sha256)
    }
}

/// A parsed log: well-formed, **not authenticated** until its replay equals a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog<'a> {
    /// How it is written.
    pub form: Form,
    /// Declared (`TPM_ALG_ID`, digest size) pairs; SHA-1 alone for a legacy log.
    pub algorithms: Vec<(u16, u16)>,
    /// The locality `TPM2_Startup` was sent from: PCR 0 starts with it.
    pub startup_locality: u8,
    /// All events after the Spec ID event; all events of a legacy log.
    pub events: Vec<Event<'a>>,
}

impl<'a> EventLog<'a> {
    /// The index in the file, from 0, of the event at `position` of [`EventLog::events`].
    pub fn number(&self, position: usize) -> usize {
        match self.form {
            Form::CryptoAgile => position.saturating_add(1),
            Form::LegacySha1 => position,
        }
    }

    /// The SHA-256-proven data of the events on `pcr` labelled `kind`, in order.
    pub fn proven(&self, pcr: u32, kind: u32) -> impl Iterator<Item = &'a [u8]> {
        self.events
            .iter()
            .filter(move |event| event.pcr == pcr && event.kind == kind)
            .filter_map(Event::proven_data)
    }
}
