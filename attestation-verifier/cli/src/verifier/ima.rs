//! IMA measurement lists.

use super::{Finding, input};
use anyhow::{Context as _, Result};
use assay_appraisal::checks::{Checks, Mode, Outcome};
use assay_appraisal::ima::appraise::AggregateRule;
use assay_appraisal::ima::{
    Allowlist, BankForm, IMA_PCR, ImaError, Keyring, List, Options, Policy, Replayed, appraise,
    explain, replay,
};
use assay_appraisal::quote::PcrValues;
use assay_appraisal::tpm::algorithm::HashAlg;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// IMA measurement lists.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a list to PCR 10.
    Replay(Replay),
}

/// Arguments of `ima replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The list: binary_runtime_measurements or ascii_runtime_measurements.
    #[arg(value_name = "F")]
    list: PathBuf,
    /// Replay only this bank: sha1, sha256, sha384 or sha512; all by default.
    #[arg(long, value_parser = bank)]
    bank: Option<HashAlg>,
    /// The value PCR 10 must have, as quoted; its length tells the bank.
    #[arg(long, value_name = "HEX")]
    pcr_value: Option<String>,
    /// Algorithm of the template hashes; told from the first entry by default.
    #[arg(long, value_name = "ALGORITHM", value_parser = bank)]
    template_hash: Option<HashAlg>,
    /// Digests and paths, as sha256sum prints them: every entry must be here or have a signature.
    #[arg(long, value_name = "F")]
    allowlist: Option<PathBuf>,
    /// Keys of file signatures: PEM, or Keylime's JSON.
    #[arg(long, value_name = "F")]
    keyring: Option<PathBuf>,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    let Command::Replay(args) = command;
    let asked = Asked::read(args)?;
    let bytes = input::file(&args.list)?;
    let mut checks = Checks::new(Mode::Explain);
    let claims = check(&mut checks, &bytes, args, &asked)?;
    Ok(Finding::new(checks, claims))
}

/// What the list is held against.
struct Asked {
    banks: Vec<HashAlg>,
    /// Bank and value of PCR 10.
    value: Option<(HashAlg, Vec<u8>)>,
    allowlist: Option<Allowlist>,
    keyring: Option<Keyring>,
}

impl Asked {
    fn read(args: &Replay) -> Result<Self> {
        let value = args.pcr_value.as_deref().map(|text| {
            let value = input::hex("--pcr-value", text)?;
            let bank = BANKS.into_iter().find(|bank| bank.size() == value.len());
            let bank = bank.context("--pcr-value: expected 20, 32, 48 or 64 bytes")?;
            anyhow::ensure!(
                args.bank.is_none_or(|asked| asked == bank),
                "--pcr-value: expected a value of the bank asked for, got {} bytes",
                value.len()
            );
            Ok((bank, value))
        });
        let allowlist = args.allowlist.as_deref().map(|path| {
            Allowlist::parse(&input::file(path)?).with_context(|| path.display().to_string())
        });
        let keyring = args.keyring.as_deref().map(|path| {
            Keyring::read(&input::file(path)?).with_context(|| path.display().to_string())
        });
        Ok(Self {
            banks: args.bank.map_or(BANKS.to_vec(), |bank| vec![bank]),
            value: value.transpose()?,
            allowlist: allowlist.transpose()?,
            keyring: keyring.transpose()?,
        })
    }
}

fn check(checks: &mut Checks, bytes: &[u8], args: &Replay, asked: &Asked) -> Result<Value> {
    let replayed = List::read(bytes, args.template_hash).and_then(|list| {
        let replayed = replay(&list, &asked.banks)?;
        Ok((list, replayed))
    });
    let (list, replayed) = match replayed {
        Ok(found) => found,
        Err(error) => {
            if error.check() == TEMPLATE_HASH {
                structure(checks, Ok(()))?;
                checks.value(TEMPLATE_HASH, EVERY_HASH, Err::<(), _>(&error))?;
            } else {
                structure(checks, Err(error))?;
            }
            return Ok(json!({}));
        }
    };
    structure(checks, Ok(()))?;
    checks.value(TEMPLATE_HASH, EVERY_HASH, Ok::<_, ImaError>(()))?;
    let mut claims = claims(&list, &replayed)?;
    if let Some((bank, value)) = &asked.value {
        let form = compare(checks, &replayed, *bank, value)?;
        claims.insert("bank_form".into(), json!(form));
    }
    if asked.allowlist.is_some() || asked.keyring.is_some() {
        judge(checks, &list, &replayed, asked, &mut claims)?;
    }
    Ok(Value::Object(claims))
}

const TEMPLATE_HASH: &str = "ima-template-hash";
const EVERY_HASH: &str = "every template hash to be the hash of its template data";
const BANKS: [HashAlg; 4] = assay_appraisal::ima::list::ALGORITHMS;

fn structure(checks: &mut Checks, result: Result<(), ImaError>) -> Result<()> {
    checks.value("ima-list-structure", "a runtime measurement list", result)?;
    Ok(())
}

/// Compares PCR 10; yields the form in which it matches.
fn compare(
    checks: &mut Checks,
    replayed: &Replayed,
    bank: HashAlg,
    expected: &[u8],
) -> Result<Option<BankForm>> {
    let value = |form| replayed.values.get(&(bank, form, IMA_PCR));
    let forms = [BankForm::Native, BankForm::PaddedSha1];
    let found = forms
        .into_iter()
        .find(|form| value(*form).is_some_and(|value| value == expected));
    let shown = found.or(Some(BankForm::Native)).and_then(value);
    checks.equal(
        "ima-replay",
        hex::encode(expected),
        shown.map(hex::encode).unwrap_or_default(),
    )?;
    Ok(found)
}

/// Judges the entries; without a quoted value they are judged unproven, and the claims say so.
fn judge(
    checks: &mut Checks,
    list: &List<'_>,
    replayed: &Replayed,
    asked: &Asked,
    claims: &mut Map<String, Value>,
) -> Result<()> {
    let mut quoted: PcrValues = replayed
        .values
        .iter()
        .filter(|((_, form, _), _)| *form == BankForm::Native)
        .map(|((bank, _, pcr), value)| ((*bank, *pcr), value.clone()))
        .collect();
    if let Some((bank, value)) = &asked.value {
        quoted.retain(|(_, pcr), _| *pcr != IMA_PCR);
        quoted.insert((*bank, IMA_PCR), value.clone());
    }
    let explained = match explain(list, &quoted, Options::default()) {
        Ok(explained) => explained,
        Err(error) => {
            checks.record("ima-allowed", Outcome::Undecided, EVERY_ENTRY, error)?;
            return Ok(());
        }
    };
    let policy = Policy {
        allowlist: asked.allowlist.as_ref(),
        keyring: asked.keyring.as_ref(),
        aggregate: AggregateRule::UnlessNotQuoted,
        ..Policy::default()
    };
    let appraisal = appraise(&explained, &quoted, &policy)?;
    let refused = appraisal.totals.refused;
    let allowed = match appraisal.refused.first() {
        None if appraisal.all_allowed() => Ok(()),
        None => Err("no entry".to_owned()),
        Some(first) => Err(format!("{refused} entries refused, first {first}")),
    };
    checks.value("ima-allowed", EVERY_ENTRY, allowed)?;
    claims.insert("totals".into(), json!(appraisal.totals));
    claims.insert("refused".into(), json!(appraisal.refused));
    claims.insert("proven".into(), json!(asked.value.is_some()));
    Ok(())
}

const EVERY_ENTRY: &str = "every entry allowed by digest and path or by signature";

fn claims(list: &List<'_>, replayed: &Replayed) -> Result<Map<String, Value>> {
    let summary = &replayed.summary;
    let templates: Map<String, Value> = summary
        .templates
        .iter()
        .map(|(template, count)| (template.name().to_owned(), json!(count)))
        .collect();
    let first = list.entries().next().transpose()?;
    let aggregate = first.filter(|e| e.event.name == assay_appraisal::ima::explain::BOOT_AGGREGATE);
    let aggregate = aggregate.map(|entry| {
        let digest = entry.event.digest;
        format!("{}:{}", bank_name(digest.alg), hex::encode(digest.bytes))
    });
    let claims = json!({
        "entries": summary.entries,
        "violations": summary.violations,
        "templates": templates,
        "template_hash": bank_name(list.template_hash()),
        "boot_aggregate": aggregate,
        "pcrs": pcrs(replayed, BankForm::Native),
        "pcrs_padded_sha1": pcrs(replayed, BankForm::PaddedSha1),
    });
    match claims {
        Value::Object(map) => Ok(map),
        _ => anyhow::bail!("claims: expected an object"),
    }
}

fn pcrs(replayed: &Replayed, form: BankForm) -> Value {
    let mut banks: Map<String, Value> = Map::new();
    for ((bank, of_form, pcr), value) in &replayed.values {
        if *of_form == form {
            let name = bank_name(*bank).to_owned();
            let bank = banks.entry(name).or_insert_with(|| json!({}));
            bank[pcr.to_string()] = json!(hex::encode(value));
        }
    }
    Value::Object(banks)
}

fn bank_name(bank: HashAlg) -> &'static str {
    match bank {
        HashAlg::Sha1 => "sha1",
        HashAlg::Sha256 => "sha256",
        HashAlg::Sha384 => "sha384",
        HashAlg::Sha512 => "sha512",
    }
}

fn bank(text: &str) -> Result<HashAlg, String> {
    BANKS
        .into_iter()
        .find(|bank| bank_name(*bank) == text)
        .ok_or_else(|| "expected sha1, sha256, sha384 or sha512".into())
}
