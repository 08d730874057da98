//! Appraises one piece of signed evidence against a hardware class.

mod enrolled;

use super::ek::files::{Anchors, Found};
use super::{Conclusion, Finding, input, snp};
use crate::inventory;
use anyhow::{Context as _, Result};
use assay_appraisal::appraise::{
    self, Appraisal, Attest, Configurations, Endorsements, Expectation, ImaBefore, Policy,
};
use assay_appraisal::checks::{CheckList, Checks, Mode, Outcome, Stopped};
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::SnpRoots;
use assay_protocol::class::ValidClass;
use assay_protocol::cose::{Payload as _, claimed_signer};
use assay_protocol::evidence::{self, SignedEvidence};
use assay_protocol::hash::digest;
use assay_protocol::ids::{HyperNodeId, NetworkId, Nonce, SessionKey, UnixMs};
use assay_protocol::limits::{EVIDENCE_BYTES_MAX, SMALL_OBJECT_BYTES_MAX};
use assay_protocol::trust::{RootKind, TrustBundle};
use clap::Args;
use enrolled::Enrolled;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Arguments of `appraise` and `explain`.
#[derive(Debug, Args)]
pub struct Appraise {
    /// The evidence (COSE_Sign1, application/eat+cwt).
    #[arg(value_name = "EVIDENCE")]
    evidence: PathBuf,
    /// The hardware class, TOML.
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Vendor roots: a trust bundle or trust file in JSON (per root: kind, eligible EK type, firmware floor), or bare
    /// certificates, in a file or below a folder (kind unknown: no tier).
    #[arg(long, value_name = "FILE|DIR")]
    roots: PathBuf,
    /// The HyperNode that asked.
    #[arg(long, value_name = "HEX")]
    hypernode: String,
    /// The nonce it gave.
    #[arg(long, value_name = "HEX")]
    nonce: String,
    /// The enrolment record of the node, as bundles hold it: EK certificate and attestation key. Without it nothing
    /// shows which TPM the attestation key lives in, and good evidence is undecided.
    #[arg(long, value_name = "FILE")]
    enrolment: Option<PathBuf>,
    /// The node's IMA list before the entries that the evidence carries; once for each part, in order, as bundles hold
    /// them.
    #[arg(long, value_name = "FILE")]
    ima_part: Vec<PathBuf>,
    /// The network the node must serve; otherwise the one that the evidence names.
    #[arg(long, value_name = "HEX")]
    network: Option<String>,
    /// Trust this ARK instead of AMD's: for test networks.
    #[arg(long, value_name = "FILE")]
    test_ark: Option<PathBuf>,
    /// The time to appraise at, RFC 3339; now by default.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Write the result as an EAR claims-set (CBOR, unsigned) to FILE.
    #[arg(long, value_name = "FILE")]
    ear: Option<PathBuf>,
}

/// Stops at the first check that does not pass.
pub fn appraise(arguments: &Appraise) -> Result<Finding> {
    run(arguments, Mode::Verify)
}

/// Runs every check that can be run.
pub fn explain(arguments: &Appraise) -> Result<Finding> {
    run(arguments, Mode::Explain)
}

fn run(arguments: &Appraise, mode: Mode) -> Result<Finding> {
    let given = Given::read(arguments)?;
    let mut checks = Checks::new(mode);
    let (appraisal, claims) = match given.judge(&mut checks, mode) {
        Ok(judged) => judged,
        Err(Stopped(_)) => (None, json!({})),
    };
    let Some(appraisal) = appraisal else {
        return Ok(Finding::new(checks, claims));
    };
    if let Some(path) = &arguments.ear {
        let ear = appraisal.ear(digest(&[&given.evidence]), given.nonce, given.at);
        ear.validate().context("EAR")?;
        std::fs::write(path, ear.to_value().encode())
            .with_context(|| path.display().to_string())?;
    }
    Ok(given.conclude(mode, checks.into_list(), &appraisal, claims))
}

/// Everything that was given, read and not judged.
struct Given {
    evidence: Vec<u8>,
    class: ValidClass,
    anchors: Anchors,
    snp_roots: SnpRoots,
    hypernode: HyperNodeId,
    nonce: Nonce,
    enrolment: Option<Vec<u8>>,
    ima_parts: Vec<Vec<u8>>,
    network: Option<NetworkId>,
    at: UnixMs,
}

impl Given {
    fn read(arguments: &Appraise) -> Result<Self> {
        let enrolment = arguments.enrolment.as_deref();
        let enrolment = enrolment.map(input::file).transpose()?;
        if let Some(bytes) = &enrolment {
            let length = bytes.len();
            anyhow::ensure!(
                length <= SMALL_OBJECT_BYTES_MAX,
                "--enrolment: expected at most {SMALL_OBJECT_BYTES_MAX} bytes, got {length}"
            );
        }
        let test_ark = arguments
            .test_ark
            .as_deref()
            .map(snp::test_ark)
            .transpose()?;
        Ok(Self {
            evidence: input::file(&arguments.evidence)?,
            class: assay_hw_profiles::load(&arguments.profile)?,
            anchors: Anchors::read(&arguments.roots)?,
            snp_roots: test_ark.map_or_else(SnpRoots::amd, |(roots, _)| roots),
            hypernode: arguments.hypernode.parse().context("--hypernode")?,
            nonce: arguments.nonce.parse().context("--nonce")?,
            enrolment,
            ima_parts: arguments
                .ima_part
                .iter()
                .map(|path| input::file(path))
                .collect::<Result<_>>()?,
            network: arguments
                .network
                .as_deref()
                .map(|text| text.parse().context("--network"))
                .transpose()?,
            at: input::time(arguments.at.as_deref())?,
        })
    }

    fn judge(
        &self,
        checks: &mut Checks,
        mode: Mode,
    ) -> Result<(Option<Appraisal>, Value), Stopped> {
        let Some(signed) = self.open(checks)? else {
            return Ok((None, json!({})));
        };
        let claims = self.claims(&signed);
        let Some(enrolled) = self.enrolled(checks, &signed)? else {
            return Ok((None, claims));
        };
        match self.appraisal(&signed, &enrolled, mode) {
            Ok(appraisal) => Ok((Some(appraisal), claims)),
            Err(refused) => {
                for check in refused.checks.iter() {
                    checks.record(check.name, check.outcome, check.expected, check.actual)?;
                }
                Ok((None, claims))
            }
        }
    }

    /// What was checked before, the appraisal, and whether the tier is the one that the class asks for.
    ///
    /// What leads to tiers 2 and 3 does not reject by itself: a class may name two ways, and one is enough.
    fn conclude(
        &self,
        mode: Mode,
        mut checks: CheckList,
        appraisal: &Appraisal,
        claims: Value,
    ) -> Finding {
        let needed = self.class.attestation.tier_min;
        let reached = appraisal.tier >= needed;
        let result = match appraisal.attest {
            Attest::Fail => Conclusion::Rejected,
            _ if checks.any(Outcome::Fail) => Conclusion::Rejected,
            Attest::Pass if reached && !checks.any(Outcome::Undecided) => Conclusion::Accepted,
            Attest::Pass if !reached && appraisal.checks.any(Outcome::Fail) => Conclusion::Rejected,
            Attest::Pass | Attest::Undecided => Conclusion::Undecided,
        };
        checks.append(&appraisal.checks);
        let outcome = match (reached, result) {
            (true, _) => Outcome::Pass,
            (false, Conclusion::Rejected) => Outcome::Fail,
            (false, _) => Outcome::Undecided,
        };
        let (expected, actual) = (format!("tier {needed} or higher"), appraisal.tier);
        let mut checks = Checks::after(checks, Mode::Explain);
        // Explanation goes on after whatever is recorded.
        let _ = checks.record("tier", outcome, expected, format!("tier {actual}"));
        let mut checks = checks.into_list();
        let first = checks
            .iter()
            .position(|check| check.outcome != Outcome::Pass);
        if let (Mode::Verify, Some(first)) = (mode, first)
            && result != Conclusion::Accepted
        {
            checks.truncate(first.saturating_add(1));
        }
        Finding::concluded(result, checks, with_result(claims, appraisal))
    }

    /// Signed by the key it names itself: whose key that is follows from the quote.
    fn open(&self, checks: &mut Checks) -> Result<Option<SignedEvidence>, Stopped> {
        let opened = claimed_signer(&self.evidence, EVIDENCE_BYTES_MAX)
            .and_then(|key| evidence::open(&self.evidence, &key));
        let expected = "evidence signed by the session key it claims";
        checks.value("evidence", expected, opened)
    }

    /// The attestation key: of the enrolment record, or the one the evidence carries.
    fn enrolled(
        &self,
        checks: &mut Checks,
        signed: &SignedEvidence,
    ) -> Result<Option<Enrolled>, Stopped> {
        let Some(record) = &self.enrolment else {
            let expected = "an enrolment record that says whose attestation key this is";
            checks.record("enrolment", Outcome::Undecided, expected, "none given")?;
            return enrolled::unknown(checks, signed);
        };
        let roots = self.anchors.roots(&Found::default());
        let expected = "at least one certificate, all of them usable";
        let Some(roots) = checks.value("ek-roots", expected, roots)? else {
            return Ok(None);
        };
        enrolled::examine(checks, record, &roots, self.at)
    }

    fn appraisal(
        &self,
        signed: &SignedEvidence,
        enrolled: &Enrolled,
        mode: Mode,
    ) -> Result<Appraisal, appraise::Refused> {
        let expected = Expectation {
            node: enrolled.node,
            hypernode: self.hypernode,
            nonce: self.nonce,
            session_key: SessionKey(signed.session_key().0),
            ak: &enrolled.ak,
            last_clock: None,
        };
        let ima_parts: Vec<&[u8]> = self.ima_parts.iter().map(Vec::as_slice).collect();
        let trust = TrustBundle {
            allowed_kinds: self.anchors.allowed().to_vec(),
            roots: Vec::new(),
        };
        let policy = Policy {
            network: self.network.unwrap_or(signed.claims().owner.0),
            class: &self.class,
            root_kind: enrolled.root_kind,
            firmware_min: enrolled.firmware_min,
            trust: &trust,
            configurations: &Configurations::new(),
            endorsements: Endorsements {
                at: self.at,
                roots: &self.snp_roots,
                chain: None,
                crl: None,
                cache: &ChainCache::new(),
            },
            ima_before: ImaBefore::Parts(&ima_parts),
        };
        appraise::verify(&self.evidence, &expected, &policy, mode)
    }

    fn claims(&self, signed: &SignedEvidence) -> Value {
        let said = signed.claims();
        json!({
            "node": said.node,
            "session_key": said.session_key,
            "ak_name": said.ak_name,
            "network": said.owner.0,
            "network_expected": self.network.is_some(),
            "provider": said.owner.1,
            "software": format!("{} {}", said.software.0, said.software.1),
            "inventory": inventory::beside(signed).map(|inventory| inventory::json(&inventory)),
            "policy": self.class.digest(),
            "class": self.class.name,
        })
    }
}

/// What the appraisal adds to the claims.
fn with_result(mut claims: Value, appraisal: &Appraisal) -> Value {
    claims["tier"] = json!(appraisal.tier);
    claims["attest"] = json!(appraisal.attest);
    claims["owner"] = json!(appraisal.owner);
    claims["shown"] = json!(appraisal.shown);
    claims["clock"] = json!(appraisal.clock);
    claims
}

/// A kind in the words of trust bundles.
type Kind = Option<RootKind>;

#[cfg(test)]
mod tests;
