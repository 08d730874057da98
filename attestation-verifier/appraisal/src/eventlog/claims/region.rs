//! The events of one PCR, confirmed, and what lies before and behind its separator.

use super::{Claim, Unproven};
use crate::eventlog::coverage::SEPARATOR_ERROR;
use crate::eventlog::hash;
use crate::eventlog::replay::{Confirmed, Replayed};
use crate::eventlog::{
    EV_CPU_MICROCODE, EV_EFI_BOOT_SERVICES_APPLICATION, EV_EFI_BOOT_SERVICES_DRIVER,
    EV_EFI_HCRTM_EVENT, EV_EFI_PLATFORM_FIRMWARE_BLOB, EV_EFI_PLATFORM_FIRMWARE_BLOB2,
    EV_EFI_RUNTIME_SERVICES_DRIVER, EV_EFI_VARIABLE_BOOT, EV_EFI_VARIABLE_BOOT2, EV_NONHOST_CODE,
    EV_NONHOST_CONFIG, EV_NONHOST_INFO, EV_POST_CODE, EV_POST_CODE2, EV_S_CRTM_CONTENTS,
    EV_SEPARATOR, Event,
};
use crate::tpm::algorithm::HashAlg;

/// What a separator measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Separator {
    /// `00000000`.
    Zeros,
    /// `ffffffff`.
    Ones,
    /// `00000001`: firmware could not measure what it should have.
    Error,
}

const SEPARATORS: [(Separator, [u8; 4]); 3] = [
    (Separator::Zeros, [0; 4]),
    (Separator::Ones, [0xff; 4]),
    (Separator::Error, SEPARATOR_ERROR),
];

/// An event and its index in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered<'l, 'a> {
    pub(super) number: usize,
    pub(super) event: &'l Event<'a>,
    /// [`Event::covered_data`], where a claim asks for it.
    pub(super) covered: Option<&'a [u8]>,
}

impl Numbered<'_, '_> {
    pub(super) fn uncovered(&self) -> Unproven {
        Unproven::Uncovered {
            event: self.number,
            kind: self.event.kind,
        }
    }

    pub(super) fn relabelled(&self) -> Unproven {
        Unproven::Relabelled {
            event: self.number,
            kind: self.event.kind,
        }
    }

    pub(super) fn unknown(&self) -> Unproven {
        Unproven::Unknown {
            event: self.number,
            pcr: self.event.pcr,
            kind: self.event.kind,
        }
    }
}

/// The extending events of a log, by PCR.
pub(super) struct View<'r, 'l, 'a> {
    replayed: &'r Replayed<'l, 'a>,
    /// Ascending by PCR, and of one PCR in the order of the log.
    events: Vec<Numbered<'l, 'a>>,
    separators: Vec<(Separator, Vec<u8>)>,
}

/// What one PCR holds, without its separators.
pub(super) struct Region<'l, 'a> {
    pub(super) before: Vec<Numbered<'l, 'a>>,
    pub(super) after: Vec<Numbered<'l, 'a>>,
    separator: Option<Separator>,
    pcr: u32,
}

impl<'r, 'l, 'a> View<'r, 'l, 'a> {
    pub(super) fn of(replayed: &'r Replayed<'l, 'a>) -> Self {
        let log = replayed.log();
        let extending = log.events.iter().enumerate().filter(|(_, e)| e.extends());
        let mut events: Vec<Numbered<'l, 'a>> = extending
            .map(|(position, event)| Numbered {
                number: log.number(position),
                event,
                covered: reads_data(event)
                    .then(|| event.covered_data(replayed.bank()))
                    .flatten(),
            })
            .collect();
        events.sort_by_key(|item| item.event.pcr);
        let digest = |bytes: [u8; 4]| hash::digest(replayed.bank(), &bytes).as_ref().to_vec();
        Self {
            replayed,
            events,
            separators: SEPARATORS.map(|(s, bytes)| (s, digest(bytes))).to_vec(),
        }
    }

    pub(super) fn bank(&self) -> HashAlg {
        self.replayed.bank()
    }

    /// The events of a PCR, when the quote confirms them.
    pub(super) fn pcr(&self, pcr: u32) -> Result<&[Numbered<'l, 'a>], Unproven> {
        match self.replayed.confirmed(pcr) {
            Confirmed::Quoted | Confirmed::LogOnly => {}
            Confirmed::Differs => return Err(Unproven::Differs { pcr }),
            Confirmed::NotQuoted => return Err(Unproven::NotQuoted { pcr }),
        }
        let of_it = |below: u32| self.events.partition_point(|item| item.event.pcr < below);
        let range = of_it(pcr)..of_it(pcr.saturating_add(1));
        Ok(self.events.get(range).unwrap_or_default())
    }

    /// The events of a firmware PCR around its first separator, which its digest tells, not its label.
    pub(super) fn region(&self, pcr: u32) -> Result<Region<'l, 'a>, Unproven> {
        let mut region = Region {
            before: Vec::new(),
            after: Vec::new(),
            separator: None,
            pcr,
        };
        for item in self.pcr(pcr)? {
            match (self.separator_of(item), item.event.kind) {
                (Some(Separator::Error), _) => {
                    let event = item.number;
                    return Err(Unproven::ErrorSeparator { pcr, event });
                }
                (Some(separator), EV_SEPARATOR) => {
                    region.separator.get_or_insert(separator);
                }
                (Some(_), _) => return Err(item.relabelled()),
                (None, EV_SEPARATOR) => return Err(item.uncovered()),
                (None, _) if region.separator.is_none() => region.before.push(*item),
                (None, _) => region.after.push(*item),
            }
        }
        Ok(region)
    }

    /// A boot variable whose value alone is hashed may be four such bytes: BootOrder 0001, 0000 reads as an error
    /// separator. There the label decides; a separator labelled as such a variable still ends nothing.
    fn separator_of(&self, item: &Numbered<'_, '_>) -> Option<Separator> {
        let Numbered { event, .. } = item;
        let boot = matches!(event.kind, EV_EFI_VARIABLE_BOOT | EV_EFI_VARIABLE_BOOT2);
        if boot && matches!(event.pcr, 1 | 5) {
            return None;
        }
        let digest = event.digest(self.bank())?;
        let found = self.separators.iter().find(|(_, known)| known == digest);
        found.map(|(separator, _)| *separator)
    }

    /// The first separator of a PCR, by its digest.
    pub(super) fn separator(&self, pcr: u32) -> Claim<Separator> {
        let first = |items: &[Numbered<'l, 'a>]| {
            items.iter().find_map(|item| {
                let separator = self.separator_of(item)?;
                let labelled = item.event.kind == EV_SEPARATOR;
                Some(match labelled {
                    true => Ok(separator),
                    false => Err(item.relabelled()),
                })
            })
        };
        Claim::of(self.pcr(pcr).and_then(|items| first(items).transpose()))
    }
}

/// Whether a claim reads the data of such an event as a whole. Where the digest is of something else (code, images,
/// files) or is tried in other forms (strings of boot loaders, names of sections), hashing the data is for nothing.
fn reads_data(event: &Event<'_>) -> bool {
    matches!(event.pcr, 0 | 1 | 2 | 4 | 5 | 7 | 12) && !is_code(event.kind) && !is_image(event.kind)
}

/// Event types whose digest is of code or data that the log does not show.
pub(super) fn is_code(kind: u32) -> bool {
    matches!(
        kind,
        EV_POST_CODE
            | EV_POST_CODE2
            | EV_S_CRTM_CONTENTS
            | EV_CPU_MICROCODE
            | EV_NONHOST_CODE
            | EV_NONHOST_CONFIG
            | EV_NONHOST_INFO
            | EV_EFI_PLATFORM_FIRMWARE_BLOB
            | EV_EFI_PLATFORM_FIRMWARE_BLOB2
            | EV_EFI_HCRTM_EVENT
    )
}

/// Event types whose digest is the Authenticode digest of an image.
pub(super) fn is_image(kind: u32) -> bool {
    matches!(
        kind,
        EV_EFI_BOOT_SERVICES_APPLICATION
            | EV_EFI_BOOT_SERVICES_DRIVER
            | EV_EFI_RUNTIME_SERVICES_DRIVER
    )
}

impl<'l, 'a> Region<'l, 'a> {
    /// The same, when it has a separator (or no event at all).
    pub(super) fn separated(self) -> Result<Self, Unproven> {
        if self.separator.is_none() && !self.before.is_empty() {
            return Err(Unproven::NoSeparator { pcr: self.pcr });
        }
        Ok(self)
    }

    /// All events, each with whether it lies before the separator; without one, none does.
    pub(super) fn all(&self) -> impl Iterator<Item = (bool, &Numbered<'l, 'a>)> {
        let separated = self.separator.is_some();
        let before = self.before.iter().map(move |item| (separated, item));
        before.chain(self.after.iter().map(|item| (false, item)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}
