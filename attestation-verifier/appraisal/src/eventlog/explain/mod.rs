//! A log next to quoted PCR values: what it explains, what it contradicts, what it says nothing about.
//!
//! The rule is for tools and for machines as they are. It proves that the log's digests are the ones extended, for
//! the PCRs listed as matched. It says nothing about event data (see [`coverage`](super::coverage) and
//! [`claims`](super::claims)) and nothing about PCRs listed as unexplained.

use super::hash::Register;
use super::replay::{Carried, Registers};
use super::{Event, EventLog, coverage};
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;
use core::fmt;
use std::collections::BTreeSet;

/// The PCRs that firmware measures into; the others belong to the operating system.
const PCR_FIRMWARE: core::ops::RangeInclusive<u32> = 0..=7;

/// What a log explains of quoted values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// One entry per bank looked at, in the order of the banks.
    pub banks: Vec<BankExplained>,
}

/// What a log explains of one bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankExplained {
    /// The bank.
    pub bank: HashAlg,
    /// How many of the log's events carry it.
    pub carried: Carried,
    /// Quoted PCRs that the log extends and whose replay equals the quoted value.
    pub matched: Vec<u32>,
    /// As `matched`, when the quoted value is the replay extended once more by a digest of zeros.
    ///
    /// Windows caps that way the SHA-1 bank it does not log (Supermicro `IMN-SUPERMICRO-*`). Looked for only in a bank
    /// that the operating system's events do not carry.
    pub capped: Vec<u32>,
    /// Quoted PCRs that nobody extended.
    pub initial: Vec<u32>,
    /// Quoted PCRs of the operating system that the log does not explain.
    pub unexplained: Vec<u32>,
    /// What contradicts the quote.
    pub contradictions: Vec<Contradiction>,
}

/// Why a log is not the log of the quoted machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// The replay of a PCR gives another value.
    Differs {
        /// The PCR.
        pcr: u32,
        /// The value quoted.
        quoted: Vec<u8>,
        /// The value of the replay.
        replayed: Vec<u8>,
    },
    /// The log extends nothing here, and yet the PCR has not its initial value.
    NotInitial {
        /// The PCR.
        pcr: u32,
        /// The value quoted.
        quoted: Vec<u8>,
    },
    /// An event of the firmware has no digest of a bank that others have one of.
    Incomplete {
        /// Index of the first such event, from 0.
        event: usize,
    },
}

impl Explained {
    /// Whether nothing contradicts the quote, and at least one PCR of a bank that every event carries is matched.
    pub fn holds(&self) -> bool {
        let agree = self.banks.iter().all(|bank| bank.contradictions.is_empty());
        agree && self.explained_banks().next().is_some()
    }

    /// The banks in which every quoted PCR that the log extends equals its replay: claims may be read from them.
    pub fn explained_banks(&self) -> impl Iterator<Item = HashAlg> {
        let explained = |bank: &&BankExplained| {
            bank.carried == Carried::All
                && bank.contradictions.is_empty()
                && !bank.matched.is_empty()
        };
        self.banks.iter().filter(explained).map(|bank| bank.bank)
    }
}

/// Compares the replay of `log` with `quoted`, in the quoted banks or in those of them that `banks` names.
///
/// - Every quoted PCR that the log extends must have the value of the replay.
/// - PCRs 0 to 7 that the log does not extend must have their initial value: the firmware logs what it measures.
/// - Other PCRs with another value are listed as unexplained; the operating system extends them without this log.
///   So is PCR 11 when the log shows nothing there but the sections of a unified kernel image: systemd extends it
///   further while it boots (`systemd-pcrphase`; machine `hahuri`).
/// - A bank that no event carries is listed and not held against the log (HP `ludmilla` quotes SHA-384 without
///   logging it).
/// - A bank that only some events carry contradicts, unless those without it are all of the operating system
///   (Windows logs SHA-256 only): then the firmware's PCRs must match, capped or not.
/// - At least one PCR of a bank that every event carries must be matched by events ([`Explained::holds`]).
pub fn explain(log: &EventLog<'_>, quoted: &PcrValues, banks: Option<&[HashAlg]>) -> Explained {
    let named: BTreeSet<HashAlg> = quoted.keys().map(|(bank, _)| *bank).collect();
    let asked = |bank: &HashAlg| banks.is_none_or(|banks| banks.contains(bank));
    let banks = named.into_iter().filter(asked);
    Explained {
        banks: banks.map(|bank| explain_bank(log, quoted, bank)).collect(),
    }
}

fn explain_bank(log: &EventLog<'_>, quoted: &PcrValues, bank: HashAlg) -> BankExplained {
    let mut found = BankExplained {
        bank,
        carried: log.carried(bank),
        matched: Vec::new(),
        capped: Vec::new(),
        initial: Vec::new(),
        unexplained: Vec::new(),
        contradictions: Vec::new(),
    };
    if found.carried == Carried::None {
        return found;
    }
    let replay = Replay::of(log, bank);
    if let Some(event) = replay.incomplete_firmware {
        let incomplete = Contradiction::Incomplete { event };
        found.contradictions.push(incomplete);
        return found;
    }
    for ((_, pcr), value) in quoted.iter().filter(|((b, _), _)| *b == bank) {
        replay.compare(&mut found, *pcr, value);
    }
    found
}

/// The replay of a bank that may be carried in part.
struct Replay<'l, 'a> {
    log: &'l EventLog<'a>,
    bank: HashAlg,
    registers: Registers,
    /// PCRs with an event that has no digest.
    missing: BTreeSet<u32>,
    incomplete_firmware: Option<usize>,
}

impl<'l, 'a> Replay<'l, 'a> {
    fn of(log: &'l EventLog<'a>, bank: HashAlg) -> Self {
        let mut replay = Self {
            log,
            bank,
            registers: Registers::new(),
            missing: BTreeSet::new(),
            incomplete_firmware: None,
        };
        for (position, event) in log.events.iter().enumerate().filter(|(_, e)| e.extends()) {
            match event.digest(bank) {
                Some(digest) => replay.registers.extend(log, bank, event.pcr, digest),
                None => replay.lacks(position, event),
            }
        }
        replay
    }

    /// Only SHA-1 is left out by a boot loader that logs; in any other bank an event without digest is an edit.
    fn lacks(&mut self, position: usize, event: &Event<'_>) {
        self.missing.insert(event.pcr);
        if PCR_FIRMWARE.contains(&event.pcr) || self.bank != HashAlg::Sha1 {
            let number = self.log.number(position);
            self.incomplete_firmware.get_or_insert(number);
        }
    }

    fn compare(&self, found: &mut BankExplained, pcr: u32, quoted: &[u8]) {
        if self.missing.contains(&pcr) {
            return found.unexplained.push(pcr);
        }
        match self.registers.get(pcr) {
            None => self.compare_initial(found, pcr, quoted),
            Some(value) if value.value() == quoted => found.matched.push(pcr),
            Some(value) if self.is_capped(value, quoted) => found.capped.push(pcr),
            Some(_) if pcr == 11 && self.sections_only(pcr) => found.unexplained.push(pcr),
            Some(value) => found.contradictions.push(Contradiction::Differs {
                pcr,
                quoted: quoted.to_vec(),
                replayed: value.value().to_vec(),
            }),
        }
    }

    fn compare_initial(&self, found: &mut BankExplained, pcr: u32, quoted: &[u8]) {
        let initial = self.log.start(pcr, self.bank);
        if initial.value() == quoted {
            found.initial.push(pcr);
        } else if !PCR_FIRMWARE.contains(&pcr) {
            found.unexplained.push(pcr);
        } else if self.is_capped(&initial, quoted) {
            found.capped.push(pcr);
        } else {
            let quoted = quoted.to_vec();
            let contradiction = Contradiction::NotInitial { pcr, quoted };
            found.contradictions.push(contradiction);
        }
    }

    fn is_capped(&self, value: &Register, quoted: &[u8]) -> bool {
        let zeros = vec![0; self.bank.size()];
        let mut capped = *value;
        capped.extend(&zeros);
        !self.missing.is_empty() && capped.value() == quoted
    }

    fn sections_only(&self, pcr: u32) -> bool {
        let events = self
            .log
            .events
            .iter()
            .filter(|e| e.extends() && e.pcr == pcr);
        let events: Vec<&Event<'_>> = events.collect();
        coverage::sections(self.bank, &events).is_some()
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs {
                pcr,
                quoted,
                replayed,
            } => {
                let (quoted, replayed) = (hex::encode(quoted), hex::encode(replayed));
                write!(f, "PCR {pcr}: quoted {quoted}, replayed {replayed}")
            }
            Self::NotInitial { pcr, quoted } => {
                let quoted = hex::encode(quoted);
                write!(f, "PCR {pcr}: quoted {quoted}, but no event extends it")
            }
            Self::Incomplete { event } => {
                write!(f, "event {event} has no digest of a bank that others have")
            }
        }
    }
}

/// One line per bank: what is matched, what contradicts.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.banks.is_empty() {
            return f.write_str("no quoted PCR");
        }
        for (position, bank) in self.banks.iter().enumerate() {
            let comma = if position == 0 { "" } else { "; " };
            write!(f, "{comma}{:?}: ", bank.bank)?;
            match (bank.carried, bank.contradictions.as_slice()) {
                (Carried::None, _) => f.write_str("not carried by the log")?,
                (_, []) => write!(f, "matched {:?}", bank.matched)?,
                (_, list) => list.iter().try_for_each(|c| write!(f, "{c}, "))?,
            }
            if !bank.capped.is_empty() {
                write!(f, ", capped {:?}", bank.capped)?;
            }
            if !bank.unexplained.is_empty() {
                write!(f, ", unexplained {:?}", bank.unexplained)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
