//! The logs beside a quote: whether they explain its values, and what the boot log then proves.

use assay_appraisal::checks::{Checks, Outcome, Stopped};
use assay_appraisal::eventlog::claims::claims;
use assay_appraisal::eventlog::coverage::uncovered_events;
use assay_appraisal::eventlog::explain::{BankExplained, explain};
use assay_appraisal::eventlog::replay::{Carried, Replayed};
use assay_appraisal::eventlog::{self, EventLog};
use assay_appraisal::ima;
use assay_appraisal::quote::{AuthenticQuote, PcrValues};
use assay_appraisal::tpm::algorithm::HashAlg;
use serde_json::{Map, Value, json};

/// What the logs are held against.
pub struct Quoted<'a> {
    /// The values said to be quoted.
    pub values: &'a PcrValues,
    /// The quote, when every check of it passed.
    pub authentic: Option<&'a AuthenticQuote>,
    /// Banks that must be explained; otherwise those that quote and log both have.
    pub banks: Option<&'a [HashAlg]>,
}

/// Whether the firmware's log explains the quoted values.
pub fn event_log(
    checks: &mut Checks,
    bytes: &[u8],
    quoted: Option<&Quoted<'_>>,
    said: &mut Map<String, Value>,
) -> Result<(), Stopped> {
    let parsed = eventlog::parse_any(bytes);
    let Some(log) = checks.value("event-log", "a TCG event log of a TPM", parsed)? else {
        return Ok(());
    };
    let Some(quoted) = quoted else {
        let what = "quoted values to compare with";
        return checks.record("event-log-pcrs", Outcome::Undecided, what, "none given");
    };
    let explained = explain(&log, quoted.values, quoted.banks);
    for bank in quoted.banks.unwrap_or_default() {
        let name = format!("event-log-bank-{}", bank.name());
        let outcome = match log.carried(*bank) {
            Carried::All => Outcome::Pass,
            _ => Outcome::Fail,
        };
        checks.record(
            &name,
            outcome,
            "a digest of this bank per event",
            carried(&log, *bank),
        )?;
    }
    for bank in &explained.banks {
        explained_bank(checks, bank)?;
    }
    let banks: Vec<HashAlg> = explained.explained_banks().collect();
    let names: Vec<&str> = banks.iter().map(|bank| bank.name()).collect();
    let outcome = if banks.is_empty() {
        Outcome::Fail
    } else {
        Outcome::Pass
    };
    let what = "a bank that quote and log both have, explained";
    checks.record("event-log-banks", outcome, what, format!("{names:?}"))?;
    event_data(checks, &log, &banks)?;
    said.insert("event_log_banks".into(), json!(names));
    if let (Some(quote), Some(bank)) = (quoted.authentic, strongest(&banks))
        && let Ok(replayed) = Replayed::against(&log, bank, quote)
    {
        said.insert("boot".into(), json!(claims(&replayed)));
    }
    Ok(())
}

fn strongest(banks: &[HashAlg]) -> Option<HashAlg> {
    banks.iter().copied().max_by_key(|bank| bank.size())
}

fn carried(log: &EventLog<'_>, bank: HashAlg) -> String {
    match log.carried(bank) {
        Carried::All => "one".into(),
        Carried::None => "none at all".into(),
        Carried::Some { missing, .. } => format!("{missing} events without"),
    }
}

fn explained_bank(checks: &mut Checks, bank: &BankExplained) -> Result<(), Stopped> {
    let result = match bank.contradictions.as_slice() {
        [] => Ok(()),
        list => {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            Err(list.join("; "))
        }
    };
    let name = format!("event-log-{}-pcrs", bank.bank.name());
    let what = format!(
        "nothing that contradicts (PCRs matched {:?}, initial {:?}, unexplained {:?})",
        bank.matched, bank.initial, bank.unexplained
    );
    checks.value(&name, what, result).map(drop)
}

/// Events whose type says that the digest covers the data must be so.
fn event_data(checks: &mut Checks, log: &EventLog<'_>, banks: &[HashAlg]) -> Result<(), Stopped> {
    let uncovered = banks
        .iter()
        .find_map(|bank| uncovered_events(log, *bank).pop());
    let result = match uncovered {
        None => Ok(()),
        Some(found) => Err(format!(
            "other data in event {} of type {:#010x} on PCR {}",
            found.event, found.kind, found.pcr
        )),
    };
    let what = "data that its digest covers";
    checks.value("event-log-data", what, result).map(drop)
}

/// Whether the IMA list explains PCR 10 in every quoted bank.
pub fn ima(
    checks: &mut Checks,
    bytes: &[u8],
    quoted: Option<&Quoted<'_>>,
    said: &mut Map<String, Value>,
) -> Result<(), Stopped> {
    let list = ima::List::read(bytes, None);
    let what = "an IMA list whose template hashes are right";
    let Some(list) = checks.value("ima-list", what, list)? else {
        return Ok(());
    };
    let Some(quoted) = quoted else {
        let what = "quoted values to compare with";
        return checks.record("ima-pcrs", Outcome::Undecided, what, "none given");
    };
    let asked = |bank: &HashAlg| quoted.banks.is_none_or(|banks| banks.contains(bank));
    let values: PcrValues = quoted
        .values
        .iter()
        .filter(|((bank, _), _)| asked(bank))
        .map(|(key, value)| (*key, value.clone()))
        .collect();
    let explained = ima::explain(&list, &values, ima::Options::default());
    let what = "the quoted value of PCR 10 in every bank";
    if let Some(explained) = checks.value("ima-pcrs", what, explained)? {
        said.insert("ima_entries".into(), json!(explained.entries().count()));
        said.insert(
            "ima_violations".into(),
            json!(explained.position().violations),
        );
    }
    Ok(())
}
