//! The measured boot: the log explains the quoted values, and proves whose node it is.

use super::context::Boot;
use super::policy::{Owner, Policy};
use super::{AuthenticatedEvidence, BANK, PCR_CONFIG, PCR_IMA};
use crate::checks::{Checks, Hex, Stopped};
use crate::eventlog::{EV_IPL, EventLog};
use crate::quote;
use assay_protocol::hash::digest;
use assay_protocol::ids::Digest;
use core::fmt;

/// Agent-claimed values explain and must not contradict: the claims were made in the quoted boot.
pub(super) fn claimed_counters(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
) -> Result<(), Stopped> {
    let (claimed, quoted) = (evidence.claims().clock, evidence.quote().clock());
    checks.equal(
        "claimed-counters",
        Counters(quoted.reset_count, quoted.restart_count),
        Counters(claimed.reset_count, claimed.restart_count),
    )
}

/// What lies beside the claims is what the quoted claims name, and nothing else lies there.
pub(super) fn attachments(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
) -> Result<(), Stopped> {
    let (claims, vendor) = (evidence.claims(), evidence.vendor());
    checks.equal(
        "event-log-digest",
        claims.event_log,
        digest(&[&vendor.event_log.0]),
    )?;
    let list = vendor.ima_log.as_ref().map(|list| digest(&[&list.0]));
    let claimed = claims.ima.map(|ima| ima.digest);
    checks.equal("ima-digest", Claimed(claimed), Claimed(list))?;
    let report = vendor.snp.as_ref().map(|snp| digest(&[&snp.report.0]));
    checks.equal(
        "snp-report-digest",
        Claimed(claims.snp_report),
        Claimed(report),
    )
}

/// resetCount and restartCount.
#[derive(PartialEq)]
struct Counters(u32, u32);

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resetCount {}, restartCount {}", self.0, self.1)
    }
}

/// The digest of something that may be absent.
#[derive(PartialEq)]
pub(super) struct Claimed(pub(super) Option<Digest>);

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(digest) => digest.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// The log explains the quoted values; what it proves about the owner.
pub(super) fn boot(
    checks: &mut Checks,
    (evidence, policy): (&AuthenticatedEvidence, &Policy<'_>),
    boot: &Boot<'_>,
) -> Result<Option<Owner>, Stopped> {
    let expected = "a crypto-agile TCG event log with a SHA-256 digest per event";
    let replayed = boot.replayed.as_ref();
    let Some(replayed) = checks.value("event-log", expected, replayed)? else {
        return Ok(None);
    };
    let quoted = quote::SELECTION.iter().flat_map(|s| s.indices());
    for index in quoted.filter(|index| *index != PCR_IMA) {
        // A PCR no event extends must still have its initial value.
        checks.equal(
            format_args!("event-log-pcr-{index}"),
            Hex(evidence.quote().pcr(BANK, index).unwrap_or_default()),
            Hex(replayed.register(index).value()),
        )?;
    }
    let log = boot.log.filter(|_| replayed.is_confirmed(PCR_CONFIG));
    owner(checks, evidence, policy, log)
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
        .and_then(|log| {
            let proven = log.proven(PCR_CONFIG, EV_IPL);
            policy.configurations.the_owner(proven)
        });
    let expected = "one agent configuration proven by an EV_IPL event on PCR 12";
    let Some(owner) = checks.value("configuration", expected, measured)? else {
        return Ok(None);
    };
    let (network, provider) = evidence.claims().owner;
    checks.equal("owner-network", policy.network, owner.network)?;
    checks.equal("owner-claim-network", owner.network, network)?;
    checks.equal("owner-claim-provider", owner.provider, provider)?;
    let agreed = policy.network == owner.network && owner == Owner { network, provider };
    Ok(agreed.then_some(owner))
}
