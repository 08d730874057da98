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

#[cfg(test)]
mod tests {
    use super::super::Conclusion;
    use super::*;
    use std::path::Path;

    /// An ASCII list of `ima-ng` entries: name and content.
    fn list(entries: &[(&str, &str)]) -> Vec<u8> {
        let line = |(name, content): &(&str, &str)| {
            let digest = HashAlg::Sha256.digest(&[content.as_bytes()]);
            let fields = [
                &[40, 0, 0, 0][..],
                b"sha256:\0",
                &digest,
                &u32::try_from(name.len() + 1).unwrap().to_le_bytes(),
                name.as_bytes(),
                &[0],
            ];
            let hash = hex::encode(HashAlg::Sha1.digest(&[&fields.concat()]));
            format!("10 {hash} ima-ng sha256:{} {name}\n", hex::encode(digest))
        };
        entries.iter().map(line).collect::<String>().into_bytes()
    }

    const ENTRIES: [(&str, &str); 2] = [("boot_aggregate", "boot"), ("/bin/sh", "sh")];

    fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn args(list: PathBuf) -> Replay {
        Replay {
            list,
            bank: None,
            pcr_value: None,
            template_hash: None,
            allowlist: None,
            keyring: None,
        }
    }

    fn finding(args: Replay) -> Finding {
        run(&Command::Replay(args)).unwrap()
    }

    fn failed(finding: &Finding) -> Vec<&str> {
        let failed = finding.checks.iter().filter(|c| c.outcome != Outcome::Pass);
        failed.map(|check| check.name).collect()
    }

    #[test]
    fn a_good_list_is_accepted_and_described() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "list", &list(&ENTRIES));
        let finding = finding(args(path));
        assert_eq!(finding.result, Conclusion::Accepted);
        let claims = &finding.claims;
        assert_eq!(
            (&claims["entries"], &claims["violations"]),
            (&json!(2), &json!(0))
        );
        assert_eq!(claims["templates"], json!({"ima-ng": 2}));
        assert_eq!(claims["template_hash"], "sha1");
        let boot = hex::encode(HashAlg::Sha256.digest(&[b"boot"]));
        assert_eq!(claims["boot_aggregate"], format!("sha256:{boot}"));
        assert_eq!(claims["pcrs"].as_object().unwrap().len(), 4);
        assert_eq!(claims["pcrs_padded_sha1"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn a_quoted_value_is_compared_in_its_bank_and_in_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "list", &list(&ENTRIES));
        let all = finding(args(path.clone()));
        for (form, name) in [("pcrs", "native"), ("pcrs_padded_sha1", "padded-sha1")] {
            let value = all.claims[form]["sha256"]["10"].as_str().unwrap();
            let with = |value: &str, bank| Replay {
                pcr_value: Some(value.into()),
                bank,
                ..args(path.clone())
            };
            let good = finding(with(value, Some(HashAlg::Sha256)));
            assert_eq!(good.result, Conclusion::Accepted);
            assert_eq!(good.claims["bank_form"], name);
            let bad = finding(with(&"00".repeat(32), None));
            assert_eq!(
                (bad.result, failed(&bad)),
                (Conclusion::Rejected, vec!["ima-replay"])
            );
            let other_bank = with(value, Some(HashAlg::Sha1));
            assert!(run(&Command::Replay(other_bank)).is_err());
        }
        for unusable in ["", "00", "zz"] {
            let replay = Replay {
                pcr_value: Some(unusable.into()),
                ..args(path.clone())
            };
            assert!(run(&Command::Replay(replay)).is_err(), "{unusable:?}");
        }
    }

    #[test]
    fn malformed_lists_and_wrong_template_hashes_are_rejected_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let garbage = finding(args(write(folder.path(), "garbage", b"no list\n")));
        assert_eq!(garbage.result, Conclusion::Rejected);
        assert_eq!(failed(&garbage), ["ima-list-structure"]);
        let mut bytes = list(&ENTRIES);
        bytes[3] = if bytes[3] == b'0' { b'1' } else { b'0' };
        let forged = finding(args(write(folder.path(), "forged", &bytes)));
        assert_eq!(forged.result, Conclusion::Rejected);
        assert_eq!(failed(&forged), [TEMPLATE_HASH]);
        let absent = Command::Replay(args(folder.path().join("absent")));
        assert!(run(&absent).is_err());
    }

    #[test]
    fn an_allowlist_must_allow_every_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "list", &list(&ENTRIES));
        let sh = hex::encode(HashAlg::Sha256.digest(&[b"sh"]));
        let with = |text: &str| {
            let allowlist = write(folder.path(), "allow", text.as_bytes());
            finding(Replay {
                allowlist: Some(allowlist),
                ..args(path.clone())
            })
        };
        let good = with(&format!("{sh}  /bin/sh\n"));
        assert_eq!(good.result, Conclusion::Accepted);
        assert_eq!(good.claims["proven"], false);
        let bad = with(&format!("{sh}  /bin/bash\n"));
        assert_eq!(
            (bad.result, failed(&bad)),
            (Conclusion::Rejected, vec!["ima-allowed"])
        );
        assert_eq!(bad.claims["totals"]["refused"], 1);
    }
}
