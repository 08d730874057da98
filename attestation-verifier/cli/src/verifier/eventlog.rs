//! Firmware event logs.

use super::{Finding, input};
use anyhow::Result;
use assay_appraisal::checks::{Checks, Mode, Outcome};
use assay_appraisal::eventlog::claims::claims_of_log;
use assay_appraisal::eventlog::coverage::uncovered_events;
use assay_appraisal::eventlog::replay::{Bank, Carried};
use assay_appraisal::eventlog::{self, EventLog, Form};
use assay_appraisal::tpm::algorithm::HashAlg;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Firmware event logs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a log to PCR values.
    Replay(Replay),
    /// Say what a log proves, if a quote confirms it.
    Claims(Claims),
}

/// Arguments of `eventlog replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The log, as in /sys/kernel/security/tpm0/binary_bios_measurements.
    pub log: PathBuf,
    /// Replay this bank only; by default every bank that the log carries.
    #[arg(long, value_enum)]
    pub bank: Option<BankName>,
}

/// Arguments of `eventlog claims`.
#[derive(Debug, Args)]
pub struct Claims {
    /// The log, as in /sys/kernel/security/tpm0/binary_bios_measurements.
    pub log: PathBuf,
    /// Read the claims in this bank; by default the first of SHA-256, SHA-384, SHA-512 and SHA-1 that is complete.
    #[arg(long, value_enum)]
    pub bank: Option<BankName>,
}

/// A bank that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BankName {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl BankName {
    fn alg(self) -> HashAlg {
        match self {
            Self::Sha1 => HashAlg::Sha1,
            Self::Sha256 => HashAlg::Sha256,
            Self::Sha384 => HashAlg::Sha384,
            Self::Sha512 => HashAlg::Sha512,
        }
    }
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    match command {
        Command::Replay(args) => Ok(replay(&input::file(&args.log)?, args.bank)?),
        Command::Claims(args) => Ok(claims(&input::file(&args.log)?, args.bank)?),
    }
}

fn parse<'a>(checks: &mut Checks, bytes: &'a [u8]) -> Result<Option<EventLog<'a>>> {
    let parsed = eventlog::parse_any(bytes);
    Ok(checks.value("event-log", "a TCG event log of a TPM", parsed)?)
}

fn replay(bytes: &[u8], bank: Option<BankName>) -> Result<Finding> {
    let mut checks = Checks::new(Mode::Explain);
    let Some(log) = parse(&mut checks, bytes)? else {
        return Ok(Finding::new(checks, json!({})));
    };
    let mut shown = shape(&log);
    let mut values = Map::new();
    for alg in banks(&log, bank) {
        if let Some(pcrs) = replay_bank(&mut checks, &log, alg)? {
            values.insert(name(alg).into(), pcrs);
        }
    }
    if values.is_empty() {
        let expected = "at least one bank that every event carries";
        checks.record("event-log-banks", Outcome::Fail, expected, "none")?;
    }
    shown.insert("pcrs".into(), values.into());
    Ok(Finding::new(checks, shown.into()))
}

/// The bank asked for; or those that an event carries. SHA-1 that the operating system left out is not replayed.
fn banks(log: &EventLog<'_>, asked: Option<BankName>) -> Vec<HashAlg> {
    if let Some(bank) = asked {
        return vec![bank.alg()];
    }
    let whole = |bank: Bank| match (bank.alg, bank.carried) {
        (None, _) | (_, Carried::None) => None,
        (Some(HashAlg::Sha1), Carried::Some { .. }) => None,
        (Some(alg), Carried::All | Carried::Some { .. }) => Some(alg),
    };
    log.banks().into_iter().filter_map(whole).collect()
}

fn replay_bank(checks: &mut Checks, log: &EventLog<'_>, alg: HashAlg) -> Result<Option<Value>> {
    let check = format!("event-log-bank-{}", name(alg));
    let replayed = log.replay(alg);
    let values = checks.value(&check, "a digest per event", replayed)?;
    let shown = |values: std::collections::BTreeMap<u32, Vec<u8>>| {
        let pcr = |(pcr, value): (u32, Vec<u8>)| (pcr.to_string(), hex::encode(value).into());
        Value::Object(values.into_iter().map(pcr).collect())
    };
    Ok(values.map(shown))
}

fn claims(bytes: &[u8], bank: Option<BankName>) -> Result<Finding> {
    let mut checks = Checks::new(Mode::Explain);
    let Some(log) = parse(&mut checks, bytes)? else {
        return Ok(Finding::new(checks, json!({})));
    };
    let mut shown = shape(&log);
    let bank = bank.map(BankName::alg).or_else(|| log.preferred_bank());
    let bank = bank.ok_or("none");
    let bank = checks.value("event-log-banks", "a bank that every event carries", bank)?;
    if let Some(bank) = bank {
        let found = claims_of_log(&log, bank);
        let check = format!("event-log-bank-{}", name(bank));
        if let Some(found) = checks.value(&check, "a digest per event", found)? {
            covered(&mut checks, &log, bank)?;
            shown.insert("bank".into(), name(bank).into());
            shown.insert("boot".into(), serde_json::to_value(found)?);
        }
    }
    Ok(Finding::new(checks, shown.into()))
}

/// No genuine log has such events: somebody changed the data under the digests.
fn covered(checks: &mut Checks, log: &EventLog<'_>, bank: HashAlg) -> Result<()> {
    let uncovered = uncovered_events(log, bank);
    let result = match uncovered.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} events whose data is something else, the first is event {} of type {:#010x} on PCR {}",
            uncovered.len(),
            first.event,
            first.kind,
            first.pcr
        )),
    };
    let expected = "data that its digest covers, in events of types that are hashes of their data";
    checks.value("event-log-data", expected, result)?;
    Ok(())
}

fn shape(log: &EventLog<'_>) -> Map<String, Value> {
    let form = match log.form {
        Form::CryptoAgile => "crypto-agile",
        Form::LegacySha1 => "legacy-sha1",
    };
    let banks: Map<String, Value> = log.banks().iter().map(shown_bank).collect();
    let shown = json!({
        "basis": "consistent with the log only: no quote was given",
        "form": form,
        "events": log.number(log.events.len()),
        "startup_locality": log.startup_locality,
        "banks": banks,
    });
    match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn shown_bank(bank: &Bank) -> (String, Value) {
    let known = bank.alg.map(|alg| name(alg).to_owned());
    let carried = match bank.carried {
        Carried::All => json!("all"),
        Carried::None => json!("none"),
        Carried::Some { missing, first } => json!({ "missing": missing, "first_missing": first }),
    };
    let replayable = bank.alg.is_some();
    (
        known.unwrap_or_else(|| format!("{:#06x}", bank.id)),
        json!({ "carried": carried, "replayable": replayable }),
    )
}

fn name(alg: HashAlg) -> &'static str {
    match alg {
        HashAlg::Sha1 => "sha1",
        HashAlg::Sha256 => "sha256",
        HashAlg::Sha384 => "sha384",
        HashAlg::Sha512 => "sha512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::Conclusion;

    /// A legacy log of one separator per PCR 0 to 7.
    fn legacy() -> Vec<u8> {
        let event = |pcr: u32| {
            let digest = HashAlg::Sha1.digest(&[&[0; 4]]);
            [
                &pcr.to_le_bytes()[..],
                &4u32.to_le_bytes(),
                &digest,
                &4u32.to_le_bytes(),
                &[0; 4],
            ]
            .concat()
        };
        (0..8).flat_map(event).collect()
    }

    #[test]
    fn a_log_is_replayed_in_every_bank_it_carries() {
        let found = replay(&legacy(), None).unwrap();
        assert_eq!(found.result, Conclusion::Accepted, "{found}");
        assert_eq!(found.claims["form"], "legacy-sha1");
        assert_eq!(found.claims["events"], 8);
        let separator = HashAlg::Sha1.digest(&[&[0; 4]]);
        let value = hex::encode(HashAlg::Sha1.digest(&[&[0; 20], &separator]));
        assert_eq!(found.claims["pcrs"]["sha1"]["7"], value);
        assert_eq!(found.claims["banks"]["sha1"]["carried"], "all");
    }

    #[test]
    fn a_bank_that_is_not_carried_and_a_file_that_is_no_log_are_rejected() {
        let other = replay(&legacy(), Some(BankName::Sha256)).unwrap();
        assert_eq!(other.result, Conclusion::Rejected);
        assert_eq!(
            other.checks.iter().nth(1).unwrap().name,
            "event-log-bank-sha256"
        );
        let none = claims(&legacy(), Some(BankName::Sha384)).unwrap();
        assert_eq!(none.result, Conclusion::Rejected);
        for bytes in [&b""[..], b"not a log", &legacy()[..40]] {
            assert_eq!(replay(bytes, None).unwrap().result, Conclusion::Rejected);
            assert_eq!(claims(bytes, None).unwrap().result, Conclusion::Rejected);
        }
    }

    #[test]
    fn claims_say_that_only_the_log_backs_them_and_refuse_changed_data() {
        let found = claims(&legacy(), None).unwrap();
        assert_eq!(found.result, Conclusion::Accepted, "{found}");
        assert_eq!(found.claims["boot"]["separators"]["7"]["proven"], "zeros");
        assert_eq!(found.claims["boot"]["secure_boot"], "absent");
        let basis = found.claims["basis"].as_str().unwrap();
        assert!(basis.contains("no quote"));
        let mut forged = legacy();
        *forged.last_mut().unwrap() = 9;
        let found = claims(&forged, None).unwrap();
        assert_eq!(found.result, Conclusion::Rejected);
        assert_eq!(found.checks.last().unwrap().name, "event-log-data");
    }
}
