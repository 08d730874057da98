//! TPM 2.0 quotes.

mod ak;
mod logs;
mod selection;

use self::ak::AkFile;
use self::logs::Quoted;
use super::{Finding, input};
use crate::pcrs::{self, PcrFile};
use anyhow::{Result, bail};
use assay_appraisal::checks::{Checks, Mode, Outcome, Stopped};
use assay_appraisal::crypto::signature::{Scheme, Sha1};
use assay_appraisal::crypto::verifying_key::{LegacyKey, Verifier};
use assay_appraisal::quote::{self, AuthenticQuote, PcrValues, Received, Selection};
use assay_appraisal::tpm::ak::{AkRules, check};
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::attest::{self, Attest, PcrSelection};
use assay_appraisal::tpm::signature;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::path::PathBuf;

/// TPM 2.0 quotes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify a quote.
    Quote(Quote),
}

/// Arguments of `tpm quote`.
#[derive(Debug, Args)]
pub struct Quote {
    /// The TPMS_ATTEST.
    #[arg(long, value_name = "FILE")]
    attest: PathBuf,
    /// The TPMT_SIGNATURE.
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,
    /// The attestation key: PEM or DER SubjectPublicKeyInfo, TPMT_PUBLIC or TPM2B_PUBLIC. Only a TPM's public area
    /// shows what the key may do; its attributes are then checked.
    #[arg(long, value_name = "FILE")]
    ak: PathBuf,
    /// The qualifying data the quote must carry.
    #[arg(long, value_name = "HEX")]
    nonce: String,
    /// PCR values: JSON `{"sha256":{"0":"HEX"}}`, or the file of `tpm2_quote --pcrs`. Without them a good quote is
    /// undecided.
    #[arg(long, value_name = "FILE")]
    pcrs: Option<PathBuf>,
    /// The firmware's event log, to explain the quoted values.
    #[arg(long, value_name = "FILE")]
    eventlog: Option<PathBuf>,
    /// The IMA list, to explain PCR 10.
    #[arg(long, value_name = "FILE")]
    ima: Option<PathBuf>,
    /// The banks the logs must explain, as sha256,sha1; otherwise those that quote and log both have.
    #[arg(long, value_name = "LIST")]
    bank: Option<String>,
    /// Accept SHA-1 under the signature.
    #[arg(long)]
    legacy_sha1: bool,
    /// The PCRs the quote must select, as sha256:0,1,2+sha384:0-7; otherwise those of a tpm2-tools PCR file, or
    /// what the quote selects.
    #[arg(long, value_name = "SPEC")]
    selection: Option<String>,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    match command {
        Command::Quote(arguments) => Ok(found(&Input::read(arguments)?)),
    }
}

/// Everything that was given, read and not looked at.
struct Input {
    attest: Vec<u8>,
    signature: Vec<u8>,
    ak: Vec<u8>,
    nonce: Vec<u8>,
    pcrs: Option<Vec<u8>>,
    eventlog: Option<Vec<u8>>,
    ima: Option<Vec<u8>>,
    banks: Option<Vec<HashAlg>>,
    sha1: Sha1,
    selection: Option<Vec<PcrSelection>>,
}

impl Input {
    fn read(arguments: &Quote) -> Result<Self> {
        let optional = |path: &Option<PathBuf>| path.as_deref().map(input::file).transpose();
        if arguments.bank.is_some() && arguments.eventlog.is_none() && arguments.ima.is_none() {
            bail!("--bank: expected --eventlog or --ima with it");
        }
        Ok(Self {
            attest: input::file(&arguments.attest)?,
            signature: input::file(&arguments.signature)?,
            ak: input::file(&arguments.ak)?,
            nonce: input::hex("--nonce", &arguments.nonce)?,
            pcrs: optional(&arguments.pcrs)?,
            eventlog: optional(&arguments.eventlog)?,
            ima: optional(&arguments.ima)?,
            banks: arguments
                .bank
                .as_deref()
                .map(selection::banks)
                .transpose()?,
            sha1: if arguments.legacy_sha1 {
                Sha1::Legacy
            } else {
                Sha1::Refused
            },
            selection: arguments
                .selection
                .as_deref()
                .map(selection::parse)
                .transpose()?,
        })
    }
}

fn found(input: &Input) -> Finding {
    let mut checks = Checks::new(Mode::Explain);
    let mut claims = Map::new();
    // `Explain` records and goes on: there is no early end to pass on.
    let _ = explain(&mut checks, input, &mut claims);
    Finding::new(checks, Value::Object(claims))
}

fn explain(
    checks: &mut Checks,
    input: &Input,
    claims: &mut Map<String, Value>,
) -> Result<(), Stopped> {
    let attest = attest::parse(&input.attest).ok();
    let quoted = attest.as_ref().map_or(&[][..], |a| &a.selections);
    if let Some(attest) = &attest {
        describe(attest, claims);
    }
    let Some(ak) = attestation_key(checks, input, claims)? else {
        return Ok(());
    };
    let file = pcr_file(checks, input, quoted)?;
    let listed = file.as_ref().and_then(|file| file.selection.as_deref());
    let expected = input.selection.as_deref().or(listed).unwrap_or(quoted);
    if let Some(listed) = listed {
        checks.equal(
            "pcr-file-selection",
            Selection(expected).to_string(),
            Selection(listed).to_string(),
        )?;
    }
    let authentic = quote_checks(checks, input, &ak, (expected, file.as_ref()))?;
    let values = file.map(|file| quoted_values(file, quoted, claims));
    let held_against = values.as_ref().map(|values| Quoted {
        values,
        authentic: authentic.as_ref(),
        banks: input.banks.as_deref(),
    });
    explain_logs(checks, input, held_against.as_ref(), claims)
}

fn quote_checks(
    checks: &mut Checks,
    input: &Input,
    ak: &AkFile,
    (selection, file): (&[PcrSelection], Option<&PcrFile>),
) -> Result<Option<AuthenticQuote>, Stopped> {
    let legacy = LegacyKey(ak.key());
    let key: &dyn Verifier = match input.sha1 {
        Sha1::Refused => ak.key(),
        Sha1::Legacy => &legacy,
    };
    let expected = quote::Expected {
        key,
        qualifying_data: &input.nonce,
        selection,
    };
    match file {
        Some(file) => {
            let received = Received {
                attest: &input.attest,
                signature: &input.signature,
                pcrs: Cow::Borrowed(&file.values),
            };
            quote::authenticate(checks, received, expected)
        }
        None => {
            quote::without_values(checks, &input.attest, &input.signature, expected)?;
            let values = "a value for every quoted PCR";
            checks.record("quote-pcr-values", Outcome::Undecided, values, "none given")?;
            Ok(None)
        }
    }
}

fn attestation_key(
    checks: &mut Checks,
    input: &Input,
    claims: &mut Map<String, Value>,
) -> Result<Option<AkFile>, Stopped> {
    let read = ak::read(&input.ak);
    let what = "one public key as PEM, DER, TPMT_PUBLIC or TPM2B_PUBLIC";
    let Some(ak) = checks.value("ak", what, read)? else {
        return Ok(None);
    };
    claims.extend(ak.claims().map(|(name, value)| (name.to_owned(), value)));
    let signature = signature::parse_with(&input.signature, input.sha1).ok();
    let signed = signature.map(|signature| scheme_name(signature.scheme()));
    claims.insert("signature_scheme".into(), json!(signed));
    if let AkFile::Public(_, public) = &ak {
        let rules = match input.sha1 {
            Sha1::Refused => AkRules::Offline,
            Sha1::Legacy => AkRules::OfflineLegacy,
        };
        let what = "a restricted signing key fixed to its TPM";
        let scheme = checks.value("ak-rules", what, check(public, rules))?;
        if let (Some(scheme), Some(signed)) = (scheme, signed) {
            checks.equal("ak-scheme", scheme_name(scheme), signed)?;
        }
    }
    Ok(Some(ak))
}

fn pcr_file(
    checks: &mut Checks,
    input: &Input,
    quoted: &[PcrSelection],
) -> Result<Option<PcrFile>, Stopped> {
    let Some(bytes) = &input.pcrs else {
        return Ok(None);
    };
    let what = "PCR values as JSON or as tpm2-tools write them";
    checks.value("pcr-file", what, pcrs::read(bytes, quoted))
}

/// The values the quote covers; whatever else the file holds is named and left alone.
fn quoted_values(
    file: PcrFile,
    quoted: &[PcrSelection],
    claims: &mut Map<String, Value>,
) -> PcrValues {
    let selected = |bank, index| {
        quoted
            .iter()
            .any(|s| s.bank == bank && s.indices().any(|quoted| quoted == index))
    };
    let (covered, rest): (PcrValues, PcrValues) = file
        .values
        .into_iter()
        .partition(|((bank, index), _)| selected(*bank, *index));
    let mut by_bank: Map<String, Value> = Map::new();
    for ((bank, index), value) in &covered {
        let bank = by_bank.entry(bank.name()).or_insert_with(|| json!({}));
        if let Value::Object(pcrs) = bank {
            pcrs.insert(index.to_string(), json!(hex::encode(value)));
        }
    }
    claims.insert("pcrs".into(), Value::Object(by_bank));
    claims.insert("pcr_file".into(), json!(file.form.name()));
    claims.insert("values_not_quoted".into(), json!(rest.len()));
    covered
}

fn describe(attest: &Attest, claims: &mut Map<String, Value>) {
    let clock = &attest.clock;
    let said = [
        ("nonce", json!(hex::encode(&attest.extra_data))),
        ("clock_ms", json!(clock.clock_ms)),
        ("reset_count", json!(clock.reset_count)),
        ("restart_count", json!(clock.restart_count)),
        ("safe", json!(clock.safe)),
        (
            "firmware_version",
            json!(format!("{:016x}", attest.firmware_version)),
        ),
        (
            "qualified_signer",
            json!(hex::encode(&attest.qualified_signer)),
        ),
        ("selection", selection::claim(&attest.selections)),
        ("pcr_digest", json!(hex::encode(&attest.pcr_digest))),
    ];
    claims.extend(said.map(|(name, value)| (name.to_owned(), value)));
}

fn scheme_name(scheme: Scheme) -> String {
    let (name, hash) = match scheme {
        Scheme::RsaPkcs1(hash) => ("RSASSA", hash),
        Scheme::RsaPss(hash) => ("RSAPSS", hash),
        Scheme::Ecdsa(hash) => ("ECDSA", hash),
        Scheme::Ed25519 => return "Ed25519".into(),
    };
    format!("{name}-{}", hash.name().to_uppercase())
}

fn explain_logs(
    checks: &mut Checks,
    input: &Input,
    quoted: Option<&Quoted<'_>>,
    claims: &mut Map<String, Value>,
) -> Result<(), Stopped> {
    if let Some(bytes) = &input.eventlog {
        logs::event_log(checks, bytes, quoted, claims)?;
    }
    if let Some(bytes) = &input.ima {
        logs::ima(checks, bytes, quoted, claims)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
