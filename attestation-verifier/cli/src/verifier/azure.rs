//! Evidence of Azure's confidential VMs.

use super::snp::chain::Chain;
use super::snp::{Rules, claims};
use super::{Finding, input};
use anyhow::{Context as _, Result, ensure};
use assay_appraisal::checks::{Checks, Mode, Outcome};
use assay_appraisal::quote::{AuthenticQuote, PcrValues};
use assay_appraisal::snp::azure::hcl::HclReport;
use assay_appraisal::snp::azure::verify::{self, AzureVm, ExpectedQuote, RawQuote, SELECTION};
use assay_appraisal::snp::report::KeyKind;
use assay_appraisal::tpm::algorithm::HashAlg;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

const QUOTE_FILES: [&str; 3] = ["quote.attest.bin", "quote.rawsig.bin", "pcrs.json"];

/// Evidence of Azure's confidential VMs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify an HCL report, its SEV-SNP report and its vTPM quote.
    Verify(Box<Verify>),
}

/// Arguments of `azure verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// A folder with hcl-report.bin, vcek.der, quote.attest.bin, quote.rawsig.bin, pcrs.json, nonce.bin, and
    /// ask.der and ark.der unless AMD's own are meant.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The nonce the quote must carry, instead of nonce.bin's.
    #[arg(long, value_name = "HEX")]
    pub nonce: Option<String>,
    /// What the chain and the guest are judged by.
    #[command(flatten)]
    pub rules: Rules,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    let Command::Verify(arguments) = command;
    arguments.run()
}

impl Verify {
    fn run(&self) -> Result<Finding> {
        let hcl = input::file(&self.folder.join("hcl-report.bin"))?;
        let parts = self.quote_parts()?;
        let (policy, anchors) = (self.rules.policy()?, self.rules.anchors()?);
        let mut checks = Checks::new(Mode::Explain);
        let chain = self.chain(&mut checks, anchors.test_ark.as_deref())?;
        let vm = match &chain {
            Some(chain) => anchors.trust(|trust| {
                verify::vm(&mut checks, &hcl, chain.certificates(), trust, &policy)
            })?,
            None => None,
        };
        let quote = quote(&mut checks, vm.as_ref(), parts.as_ref())?;
        let claims = claims_of(&hcl, vm.as_ref(), quote.as_ref());
        Ok(Finding::new(checks, claims))
    }

    fn chain(&self, checks: &mut Checks, test_ark: Option<&[u8]>) -> Result<Option<Chain>> {
        let issuers = ["ask.der", "ark.der"].map(|name| self.folder.join(name));
        let given: Vec<PathBuf> = issuers.into_iter().filter(|path| path.exists()).collect();
        let leaf = self.folder.join("vcek.der");
        Chain::read(checks, KeyKind::Vcek, &leaf, &given, test_ark)
    }

    /// All files of the quote, or none: report and claims can be judged without it, but decide nothing.
    fn quote_parts(&self) -> Result<Option<QuoteParts>> {
        let paths = QUOTE_FILES.map(|name| self.folder.join(name));
        if !paths.iter().any(|path| path.exists()) {
            return Ok(None);
        }
        let [attest, signature, pcrs] = paths;
        let nonce = match &self.nonce {
            Some(text) => input::hex("--nonce", text)?,
            None => input::file(&self.folder.join("nonce.bin"))
                .context("the nonce\nhint: give it with --nonce")?,
        };
        ensure!(
            !nonce.is_empty(),
            "the nonce: expected at least one byte, got none"
        );
        Ok(Some(QuoteParts {
            attest: input::file(&attest)?,
            signature: input::file(&signature)?,
            pcrs: input::file(&pcrs)?,
            nonce,
        }))
    }
}

struct QuoteParts {
    attest: Vec<u8>,
    signature: Vec<u8>,
    pcrs: Vec<u8>,
    nonce: Vec<u8>,
}

fn quote(
    checks: &mut Checks,
    vm: Option<&AzureVm>,
    parts: Option<&QuoteParts>,
) -> Result<Option<AuthenticQuote>> {
    let undecided = |checks: &mut Checks, actual: &str| {
        let expected = "a quote by the key that report and claims prove";
        checks.record("azure-quote", Outcome::Undecided, expected, actual)
    };
    let Some(parts) = parts else {
        undecided(checks, "no files of a quote")?;
        return Ok(None);
    };
    let pcrs = checks.value(
        "azure-pcr-file",
        "PCR values in JSON",
        pcr_values(&parts.pcrs),
    )?;
    let (Some(vm), Some(pcrs)) = (vm, pcrs) else {
        undecided(checks, "not looked at: no proven key or no PCR values")?;
        return Ok(None);
    };
    let raw = RawQuote {
        attest: &parts.attest,
        signature: &parts.signature,
        pcrs: &pcrs,
    };
    let expected = ExpectedQuote {
        nonce: &parts.nonce,
        selection: &SELECTION,
    };
    Ok(verify::quote(checks, vm, raw, expected)?)
}

/// `{"sha256": {"0": "…", …}}`; other banks are refused, as are names twice.
fn pcr_values(bytes: &[u8]) -> Result<PcrValues, String> {
    let banks: BTreeMap<String, Pairs> =
        serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let [(bank, values)] = <[(String, Pairs); 1]>::try_from(Vec::from_iter(banks))
        .map_err(|banks| format!("{} banks", banks.len()))?;
    if bank != "sha256" {
        return Err(format!("bank {bank:?}"));
    }
    let mut found = PcrValues::new();
    for (index, text) in values.0 {
        let number: u32 = index.parse().map_err(|_| format!("PCR {index:?}"))?;
        let value = hex::decode(&text).map_err(|e| format!("PCR {index}: {e}"))?;
        if number > 23 || found.insert((HashAlg::Sha256, number), value).is_some() {
            return Err(format!("PCR {index}: above 23, or twice"));
        }
    }
    Ok(found)
}

/// The members of an object as written: a map would keep the last of two of one name.
struct Pairs(Vec<(String, String)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("PCR values by index")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn claims_of(hcl: &[u8], vm: Option<&AzureVm>, quote: Option<&AuthenticQuote>) -> Value {
    let report = HclReport::parse(hcl)
        .map(|hcl| hcl.snp_report)
        .unwrap_or_default();
    let appraised = vm.map(AzureVm::report);
    let authentic = appraised.map(|report| report.authentic());
    let mut all = Map::new();
    let fresh = quote.is_some();
    all.insert(
        "snp".into(),
        claims::report(report, authentic, appraised, fresh),
    );
    all.insert(
        "runtime_claims".into(),
        json!(vm.map(|vm| &vm.claims().all)),
    );
    all.insert("pcrs".into(), quote.map_or(Value::Null, pcrs));
    Value::Object(all)
}

fn pcrs(quote: &AuthenticQuote) -> Value {
    let value = |index| quote.pcr(HashAlg::Sha256, index).map(hex::encode);
    let shown = |index: u32| value(index).map(|value| (index.to_string(), Value::from(value)));
    Value::Object((0..24).filter_map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcr_files_are_read_strictly() {
        let good = r#"{"sha256":{"0":"aa","23":"bb"}}"#;
        let values = pcr_values(good.as_bytes()).unwrap();
        assert_eq!(values.get(&(HashAlg::Sha256, 23)), Some(&vec![0xbb]));
        for bad in [
            "",
            "{}",
            r#"{"sha1":{"0":"aa"}}"#,
            r#"{"sha256":{"0":"aa"},"sha1":{}}"#,
            r#"{"sha256":{"24":"aa"}}"#,
            r#"{"sha256":{"0":"aa","0":"bb"}}"#,
            r#"{"sha256":{"0":"aa","00":"bb"}}"#,
            r#"{"sha256":{"x":"aa"}}"#,
            r#"{"sha256":{"0":"a"}}"#,
            r#"{"sha256":{"0":1}}"#,
            r#"{"sha256":{"0":"aa"}} x"#,
        ] {
            assert!(pcr_values(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_without_a_report_cannot_be_judged() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = Verify {
            folder: folder.path().to_owned(),
            nonce: None,
            rules: crate::verifier::snp::tests::rules(),
        };
        let error = arguments.run().unwrap_err();
        assert!(format!("{error:#}").contains("hcl-report.bin"));
    }
}
