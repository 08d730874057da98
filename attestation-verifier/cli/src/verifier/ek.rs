//! Endorsement key certificates.

mod claims;
pub(super) mod files;

use super::{Finding, input};
use anyhow::Result;
use assay_appraisal::checks::{Checks, Mode, Outcome};
use assay_appraisal::crypto::signature::Sha1;
use assay_appraisal::ek::{Roots, certificate};
use assay_appraisal::tpm::node_id::node_id;
use assay_appraisal::x509::{Crl, Revocation, Rules};
use clap::{Args, Subcommand};
use files::{Anchors, Found};
use serde_json::json;
use std::path::PathBuf;

/// Endorsement key certificates.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify a certificate up to trusted roots.
    Verify(Verify),
}

/// Arguments of `ek verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The certificate: PEM, or DER as a TPM's NV index holds it, padding included.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// What to trust: a trust bundle in JSON (per root: kind, eligible EK type, firmware floor), or bare
    /// certificates, in a file or below a folder. Of a bare certificate the kind is unknown; each one is pinned as it
    /// is, an intermediate too. Those below a folder that do not parse are ignored and listed.
    #[arg(long, value_name = "FILE|DIR")]
    roots: PathBuf,
    /// Certificates that may stand between; they prove nothing of themselves.
    #[arg(long, value_name = "FILE|DIR")]
    intermediates: Option<PathBuf>,
    /// A certificate revocation list, DER or PEM. A certificate that one of them names is refused.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Refuse a certificate below the root whose issuer has no current list among those given.
    #[arg(long)]
    require_crl: bool,
    /// Accept SHA-1 under signatures: old Infineon, Nuvoton and ST intermediates.
    #[arg(long)]
    legacy_sha1: bool,
    /// The time to verify at, RFC 3339; now by default.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    match command {
        Command::Verify(arguments) => verify(arguments),
    }
}

fn verify(arguments: &Verify) -> Result<Finding> {
    let at = input::time(arguments.at.as_deref())?;
    let mut checks = Checks::new(Mode::Explain);
    let certificate = files::one(&arguments.cert)?;
    let anchors = Anchors::read(&arguments.roots)?;
    let middles = match &arguments.intermediates {
        Some(path) => files::certificates(path)?,
        None => Found::default(),
    };
    let lists = files::lists(&arguments.crl)?;
    let ignored = [anchors.ignored(), middles.ignored.as_slice()].concat();

    let lists = lists.iter().map(|(path, der)| files::list(path, der));
    let lists: Result<Vec<Crl<'_>>, String> = lists.collect();
    let expected = "a complete list of one issuer in each file";
    let lists = match arguments.crl.is_empty() {
        true => Some(Vec::new()),
        false => checks.value("ek-crl", expected, lists)?,
    };
    let expected = "at least one certificate, all of them usable";
    let roots = checks.value("ek-roots", expected, anchors.roots(&middles))?;
    let expected = "one certificate";
    let certificate = checks.value("ek-file", expected, certificate)?;

    let mut claims = json!({ "at": claims::time(at.0 / 1_000), "ignored": ignored });
    let (Some(certificate), Some(roots), Some(lists)) = (certificate, roots, lists) else {
        return Ok(Finding::new(checks, claims));
    };
    let rules = Rules {
        sha1: if arguments.legacy_sha1 {
            Sha1::Legacy
        } else {
            Sha1::Refused
        },
        revocation: if arguments.require_crl {
            Revocation::required(&lists)
        } else {
            Revocation::listed(&lists)
        },
        ..Rules::at(at)
    };
    examine(&certificate, &roots, &rules, &mut checks, &mut claims)?;
    claims::say_of_kind(&mut claims, &anchors);
    Ok(Finding::new(checks, claims))
}

/// The checks of the library; what the certificate says is a claim even when they fail.
fn examine(
    bytes: &[u8],
    roots: &Roots,
    rules: &Rules<'_, '_>,
    checks: &mut Checks,
    claims: &mut serde_json::Value,
) -> Result<()> {
    let examined = certificate::examine(bytes, roots, rules, checks)?;
    claims["roots"] = roots.anchors().len().into();
    claims["intermediates"] = roots.intermediates().len().into();
    if let Ok(leaf) = certificate::parse(bytes) {
        match claims::of_certificate(&leaf) {
            Ok(said) => claims["certificate"] = said,
            Err(error) => {
                let expected = "extensions that can be read";
                checks.record("ek-names", Outcome::Fail, expected, error)?;
            }
        }
    }
    if let Some(path) = &examined.path {
        claims::of_path(claims, path, roots);
    }
    if let Some(key) = &examined.key {
        claims["node_id"] = node_id(key.key()).to_string().into();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
