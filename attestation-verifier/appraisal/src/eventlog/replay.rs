//! Events to PCR values, and the type that says which of them a quote confirmed.

use super::hash::Register;
use super::{Event, EventLog, EventLogError, PCR_LAST};
use crate::quote::AuthenticQuote;
#[cfg(test)]
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;
use std::collections::BTreeMap;

/// PCRs that `TPM2_Startup(CLEAR)` sets to ones: those of a dynamic launch (PC Client Platform TPM Profile, table 6).
const DYNAMIC: core::ops::RangeInclusive<u32> = 17..=22;

/// The banks that can be replayed, strongest accepted form first: what a tool takes when it may choose.
pub const PREFERENCE: [HashAlg; 4] = [
    HashAlg::Sha256,
    HashAlg::Sha384,
    HashAlg::Sha512,
    HashAlg::Sha1,
];

/// How many of the events that extend a PCR carry a digest of one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carried {
    /// Each of them.
    All,
    /// None, though the bank may be declared; also a log that extends nothing.
    None,
    /// Some: the log does not explain this bank.
    Some {
        /// How many have none.
        missing: usize,
        /// Index in the file of the first that has none.
        first: usize,
    },
}

/// A declared bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bank {
    /// `TPM_ALG_ID`.
    pub id: u16,
    /// The algorithm, when it is one that can be replayed (SM3 and SHA-3 are carried, not replayed).
    pub alg: Option<HashAlg>,
    /// How many events carry it.
    pub carried: Carried,
}

impl EventLog<'_> {
    /// The value of every PCR that an event of this log extends, in `bank`.
    ///
    /// Fails when an extending event has no digest of the bank: the values would be of another boot.
    pub fn replay(&self, bank: HashAlg) -> Result<BTreeMap<u32, Vec<u8>>, EventLogError> {
        let registers = self.registers(bank)?;
        let values = registers.iter().map(|(pcr, r)| (pcr, r.value().to_vec()));
        Ok(values.collect())
    }

    /// The value of a PCR after `TPM2_Startup(CLEAR)`, before any event.
    pub fn initial(&self, pcr: u32, bank: HashAlg) -> Vec<u8> {
        self.start(pcr, bank).value().to_vec()
    }

    /// Which banks the log declares, and which it really carries.
    pub fn banks(&self) -> Vec<Bank> {
        let bank = |(position, (id, _)): (usize, &(u16, u16))| {
            let alg = HashAlg::from_id(*id);
            let carried = self.count(|event| match alg {
                Some(alg) => event.digest(alg).is_some(),
                None => event.digests.has_other(position),
            });
            Bank {
                id: *id,
                alg,
                carried,
            }
        };
        self.algorithms.iter().enumerate().map(bank).collect()
    }

    /// How many events carry a digest of `bank`.
    pub fn carried(&self, bank: HashAlg) -> Carried {
        self.count(|event| event.digest(bank).is_some())
    }

    /// The bank a tool reads claims from: the first of [`PREFERENCE`] that every event carries.
    pub fn preferred_bank(&self) -> Option<HashAlg> {
        PREFERENCE
            .into_iter()
            .find(|bank| self.carried(*bank) == Carried::All)
    }

    fn count(&self, carries: impl Fn(&Event<'_>) -> bool) -> Carried {
        let (mut with, mut missing, mut first) = (0usize, 0usize, None);
        for (position, event) in self.events.iter().enumerate() {
            match (event.extends(), carries(event)) {
                (false, _) => {}
                (true, true) => with = with.saturating_add(1),
                (true, false) => {
                    missing = missing.saturating_add(1);
                    first = first.or(Some(self.number(position)));
                }
            }
        }
        match (with, first) {
            (0, _) => Carried::None,
            (_, None) => Carried::All,
            (_, Some(first)) => Carried::Some { missing, first },
        }
    }

    pub(super) fn start(&self, pcr: u32, bank: HashAlg) -> Register {
        match pcr {
            0 => Register::new(bank, 0, self.startup_locality),
            _ if DYNAMIC.contains(&pcr) => Register::new(bank, 0xff, 0xff),
            _ => Register::new(bank, 0, 0),
        }
    }

    pub(super) fn registers(&self, bank: HashAlg) -> Result<Registers, EventLogError> {
        let mut registers = Registers::new();
        for (position, event) in self.events.iter().enumerate().filter(|(_, e)| e.extends()) {
            let digest = event.digest(bank).ok_or(EventLogError::BankMissing {
                event: self.number(position),
                pcr: event.pcr,
                bank,
            })?;
            registers.extend(self, bank, event.pcr, digest);
        }
        Ok(registers)
    }
}

/// PCR values by index; nothing for a PCR that was not extended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registers([Option<Register>; PCR_LAST as usize + 1]);

impl Registers {
    pub(super) fn new() -> Self {
        Self([None; PCR_LAST as usize + 1])
    }

    pub(super) fn extend(&mut self, log: &EventLog<'_>, bank: HashAlg, pcr: u32, digest: &[u8]) {
        let register = usize::try_from(pcr).ok().and_then(|i| self.0.get_mut(i));
        if let Some(register) = register {
            register
                .get_or_insert_with(|| log.start(pcr, bank))
                .extend(digest);
        }
    }

    pub(super) fn get(&self, pcr: u32) -> Option<&Register> {
        let index = usize::try_from(pcr).ok()?;
        self.0.get(index).and_then(Option::as_ref)
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &Register)> {
        (0..=PCR_LAST).filter_map(|pcr| self.get(pcr).map(|register| (pcr, register)))
    }
}

/// How far a PCR's events are confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// The replay equals the quoted value.
    Quoted,
    /// There is no quote: consistent with the log only.
    LogOnly,
    /// The quote has another value.
    Differs,
    /// The quote does not cover this PCR in this bank.
    NotQuoted,
}

/// A log next to a quote: per PCR, whether the events are the ones that were really extended.
///
/// Only a comparison with an authentic quote makes it. For PCRs whose replay equals the quoted value it proves that
/// exactly the log's digests, in the log's order, were extended since the TPM's start.
#[derive(Debug, Clone)]
pub struct Replayed<'l, 'a> {
    log: &'l EventLog<'a>,
    bank: HashAlg,
    confirmed: BTreeMap<u32, Confirmed>,
    registers: Registers,
}

impl<'l, 'a> Replayed<'l, 'a> {
    /// Replays `log` in `bank` and compares each PCR with `quote`.
    pub fn against(
        log: &'l EventLog<'a>,
        bank: HashAlg,
        quote: &AuthenticQuote,
    ) -> Result<Self, EventLogError> {
        Self::compare(log, bank, |pcr| quote.pcr(bank, pcr).map(<[u8]>::to_vec))
    }

    /// As [`Replayed::against`], with values that no quote was verified for.
    #[cfg(test)]
    pub(crate) fn against_values(
        log: &'l EventLog<'a>,
        bank: HashAlg,
        quoted: &PcrValues,
    ) -> Result<Self, EventLogError> {
        Self::compare(log, bank, |pcr| quoted.get(&(bank, pcr)).cloned())
    }

    /// Without a quote: what follows is consistent with the log and nothing more.
    pub(super) fn log_only(log: &'l EventLog<'a>, bank: HashAlg) -> Result<Self, EventLogError> {
        let registers = log.registers(bank)?;
        let confirmed = (0..=PCR_LAST).map(|pcr| (pcr, Confirmed::LogOnly));
        Ok(Self {
            log,
            bank,
            confirmed: confirmed.collect(),
            registers,
        })
    }

    fn compare(
        log: &'l EventLog<'a>,
        bank: HashAlg,
        quoted: impl Fn(u32) -> Option<Vec<u8>>,
    ) -> Result<Self, EventLogError> {
        let registers = log.registers(bank)?;
        let state = |pcr: u32| {
            let start = log.start(pcr, bank);
            let replayed = registers.get(pcr).unwrap_or(&start).value();
            match quoted(pcr) {
                None => Confirmed::NotQuoted,
                Some(value) if value == replayed => Confirmed::Quoted,
                Some(_) => Confirmed::Differs,
            }
        };
        Ok(Self {
            log,
            bank,
            confirmed: (0..=PCR_LAST).map(|pcr| (pcr, state(pcr))).collect(),
            registers,
        })
    }

    /// What the log's events leave in a PCR; its initial value when none extends it.
    pub fn value(&self, pcr: u32) -> Vec<u8> {
        self.register(pcr).value().to_vec()
    }

    /// The same, without a heap.
    pub(crate) fn register(&self, pcr: u32) -> Register {
        let extended = self.registers.get(pcr).copied();
        extended.unwrap_or_else(|| self.log.start(pcr, self.bank))
    }

    /// The bank.
    pub fn bank(&self) -> HashAlg {
        self.bank
    }

    /// Whether the quote has the value that the log replays to.
    pub fn is_confirmed(&self, pcr: u32) -> bool {
        self.confirmed(pcr) == Confirmed::Quoted
    }

    pub(super) fn confirmed(&self, pcr: u32) -> Confirmed {
        let state = self.confirmed.get(&pcr).copied();
        state.unwrap_or(Confirmed::NotQuoted)
    }

    pub(super) fn log(&self) -> &'l EventLog<'a> {
        self.log
    }
}
