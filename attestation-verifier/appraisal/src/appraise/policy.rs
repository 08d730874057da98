//! What authentic evidence is worth under a hardware class and a trust bundle.
//!
//! Not appraised yet, and never pretended: IMA (so PCR 10 is quoted, but nothing explains it here),
//! semantic event-log claims and SEV-SNP. Hence no tier above 1.

use super::AuthenticatedEvidence;
use crate::checks::{Check, Checks, Mode, Outcome, Stopped};
use crate::clock::Continuity;
use crate::eventlog::{self, EV_IPL, EventLog};
use crate::quote;
use crate::tpm::algorithm::HashAlg;
use crate::tpm::attest::ClockInfo;
use assay_protocol::class::{HardwareClass, PcrReference};
use assay_protocol::config::AgentConfig;
use assay_protocol::hash::digest;
use assay_protocol::ids::{Address, AkName, Digest, NetworkId, NodeId, SessionKey};
use assay_protocol::trust::{RootKind, TrustBundle};
use serde::Serialize;
use std::collections::BTreeMap;

const BANK: HashAlg = HashAlg::Sha256;
/// The agent's configuration is measured here.
const PCR_CONFIG: u32 = 12;
/// IMA's PCR: its list is not appraised by this version.
const PCR_IMA: u32 = 10;

/// What the node is measured against.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The network the node must serve.
    pub network: NetworkId,
    /// Its hardware class.
    pub class: &'a HardwareClass,
    /// Kind of the root that certified the node's EK.
    pub root_kind: RootKind,
    /// The bundle that says which kinds may earn a tier.
    pub trust: &'a TrustBundle,
}

/// Whether everything held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attest {
    /// Every check passed.
    Pass,
    /// At least one did not: the tier is 0.
    Fail,
}

/// Network and provider, proven by the measured configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The network served.
    pub network: NetworkId,
    /// The provider's account.
    pub provider: Address,
}

/// The result for one piece of authentic evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Appraisal {
    /// Attestation tier: 0 or 1; this version proves no higher one.
    pub tier: u8,
    /// Whether every check passed.
    pub attest: Attest,
    /// The node.
    pub node: NodeId,
    /// The session key the quote vouches for.
    pub session_key: SessionKey,
    /// The key that quoted.
    pub ak_name: AkName,
    /// Clock and counters of the quote.
    pub clock: ClockInfo,
    /// How they continue the last quote.
    pub continuity: Continuity,
    /// The owner, when the measured configuration proves one for this network.
    pub owner: Option<Owner>,
    /// Every check of authentication and appraisal.
    pub checks: Vec<Check>,
}

/// Appraises authentic evidence. All checks are run, whatever fails: this is what the provider reads.
pub fn appraise(evidence: &AuthenticatedEvidence, policy: &Policy<'_>) -> Appraisal {
    let mut checks = Checks::new(Mode::Explain);
    let owner = run(&mut checks, evidence, policy).unwrap_or_default();
    let passed = checks.passed();
    let mut all = evidence.checks.clone();
    all.extend(checks.into_list());
    Appraisal {
        tier: u8::from(passed),
        attest: if passed { Attest::Pass } else { Attest::Fail },
        node: evidence.claims().node,
        session_key: evidence.session_key(),
        ak_name: evidence.ak_name(),
        clock: *evidence.quote().clock(),
        continuity: evidence.continuity(),
        owner,
        checks: all,
    }
}

fn run(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    policy: &Policy<'_>,
) -> Result<Option<Owner>, Stopped> {
    claimed_counters(checks, evidence)?;
    let owner = event_log(checks, evidence, policy)?;
    reference_values(checks, evidence, policy.class)?;
    tier(checks, policy)?;
    Ok(owner)
}

/// Agent-claimed values explain and must not contradict: the claims were made in the quoted boot.
fn claimed_counters(checks: &mut Checks, evidence: &AuthenticatedEvidence) -> Result<(), Stopped> {
    let (claimed, quoted) = (evidence.claims().clock, evidence.quote().clock());
    let show = |reset, restart| format!("resetCount {reset}, restartCount {restart}");
    checks.equal(
        "claimed-counters",
        show(quoted.reset_count, quoted.restart_count),
        show(claimed.reset_count, claimed.restart_count),
    )
}

/// The log is the claimed one and explains the quoted values; what it proves about the owner.
fn event_log(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    policy: &Policy<'_>,
) -> Result<Option<Owner>, Stopped> {
    let bytes = &evidence.vendor().event_log.0;
    checks.equal(
        "event-log-digest",
        evidence.claims().event_log,
        digest(&[bytes]),
    )?;
    let parsed = eventlog::parse(bytes);
    let Some(log) = checks.value("event-log", "a crypto-agile TCG event log", parsed)? else {
        return Ok(None);
    };
    let replayed = log.replay(BANK);
    let Some(replayed) = checks.value("event-log-bank", "a SHA-256 digest per event", replayed)?
    else {
        return Ok(None);
    };
    let mut config_explained = false;
    for index in quote::SELECTION
        .iter()
        .flat_map(|s| s.indices())
        .filter(|i| *i != PCR_IMA)
    {
        let explained = replays(checks, evidence, &log, &replayed, index)?;
        config_explained |= explained && index == PCR_CONFIG;
    }
    owner(checks, evidence, policy, config_explained.then_some(&log))
}

/// A PCR no event extends must still have its initial value.
fn replays(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    log: &EventLog<'_>,
    replayed: &BTreeMap<u32, Vec<u8>>,
    index: u32,
) -> Result<bool, Stopped> {
    let replayed = replayed
        .get(&index)
        .cloned()
        .unwrap_or_else(|| log.initial(index, BANK));
    let quoted = evidence.quote().pcr(BANK, index).unwrap_or_default();
    checks.equal(
        &format!("event-log-pcr-{index}"),
        hex::encode(quoted),
        hex::encode(&replayed),
    )?;
    Ok(quoted == replayed)
}

/// `log` is given only when it explains the PCR the configuration is measured in.
fn owner(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    policy: &Policy<'_>,
    log: Option<&EventLog<'_>>,
) -> Result<Option<Owner>, Stopped> {
    let measured = log
        .ok_or_else(|| "a log that does not explain PCR 12".to_owned())
        .and_then(|log| configuration(log.proven(PCR_CONFIG, EV_IPL)));
    let expected = "one agent configuration proven by an EV_IPL event on PCR 12";
    let Some(config) = checks.value("configuration", expected, measured)? else {
        return Ok(None);
    };
    let (network, provider) = evidence.claims().owner;
    checks.equal("owner-network", policy.network, config.network)?;
    checks.equal("owner-claim-network", config.network, network)?;
    checks.equal("owner-claim-provider", config.provider, provider)?;
    let agreed = policy.network == config.network
        && (network, provider) == (config.network, config.provider);
    Ok(agreed.then_some(Owner { network, provider }))
}

/// Exactly one of the proven events must be a configuration: other boot parts measure there too.
fn configuration<'a>(proven: impl Iterator<Item = &'a [u8]>) -> Result<AgentConfig, String> {
    let mut found: Vec<AgentConfig> = proven
        .filter_map(|data| AgentConfig::parse(data).ok())
        .take(2)
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(config), true) => Ok(config),
        (Some(_), false) => Err("more than one".into()),
        (None, _) => Err("none".into()),
    }
}

fn reference_values(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    class: &HardwareClass,
) -> Result<(), Stopped> {
    let pinned = &class.attestation.pcrs;
    if pinned.is_empty() {
        let class = format!("none in class {:?}", class.name);
        return checks.record(
            "reference-values",
            Outcome::Fail,
            "at least one pinned PCR",
            class,
        );
    }
    pinned
        .iter()
        .try_for_each(|reference| reference_value(checks, evidence, reference))
}

fn reference_value(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    reference: &PcrReference,
) -> Result<(), Stopped> {
    let index = u32::from(reference.index);
    let name = format!("reference-pcr-{index}");
    let allowed: Vec<String> = reference.allowed.iter().map(Digest::to_string).collect();
    let expected = format!("one of {}", allowed.join(", "));
    let Some(quoted) = evidence.quote().pcr(BANK, index) else {
        return checks.record(
            &name,
            Outcome::Undecided,
            expected,
            "a PCR that is not quoted",
        );
    };
    let fits = reference.allowed.iter().any(|value| value.0 == quoted);
    let outcome = if fits { Outcome::Pass } else { Outcome::Fail };
    checks.record(&name, outcome, expected, hex::encode(quoted))
}

fn tier(checks: &mut Checks, policy: &Policy<'_>) -> Result<(), Stopped> {
    let allowed = &policy.trust.allowed_kinds;
    let outcome = if allowed.contains(&policy.root_kind) {
        Outcome::Pass
    } else {
        Outcome::Fail
    };
    let names: Vec<&str> = allowed.iter().copied().map(kind_name).collect();
    let expected = format!("a TPM root of kind {}", names.join(" or "));
    checks.record("root-kind", outcome, expected, kind_name(policy.root_kind))?;
    let needed = policy.class.attestation.tier_min;
    let outcome = if needed <= 1 {
        Outcome::Pass
    } else {
        Outcome::Fail
    };
    checks.record(
        "tier-reachable",
        outcome,
        "a class that asks for tier 0 or 1",
        format!("tier {needed}"),
    )
}

fn kind_name(kind: RootKind) -> &'static str {
    match kind {
        RootKind::Soldered => "soldered",
        RootKind::Module => "module",
        RootKind::Firmware => "firmware",
        RootKind::Virtual => "virtual",
        RootKind::Test => "test",
    }
}
