//! Appraises an authentic report: is its content what was expected? Every expectation is there and typed;
//! whoever does not look at something says so ([`Expect::Unchecked`]).

use super::guest_policy::Abi;
use super::held;
use super::product::{self, Generation, Product};
use super::report::{KeyKind, Report};
use super::tcb::Tcb;
use super::verify::AuthenticReport;
use crate::checks::{Checks, Hex, Stopped};
use core::fmt::Display;
use std::collections::BTreeMap;

/// An expectation, or the explicit decision to have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect<T> {
    /// Exactly this; for a list, one of these: an empty list allows nothing.
    Is(T),
    /// Not looked at: the result says nothing about it.
    Unchecked,
}

/// A SHA-384 digest.
pub type Sha384 = [u8; 48];

/// What a report must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpPolicy {
    /// `REPORT_DATA`: the challenge. Unchecked means that freshness is not proven.
    pub report_data: Expect<[u8; 64]>,
    /// Allowed `MEASUREMENT`s.
    pub measurements: Expect<Vec<Sha384>>,
    /// `HOST_DATA`.
    pub host_data: Expect<[u8; 32]>,
    /// `FAMILY_ID` of the ID block.
    pub family_id: Expect<[u8; 16]>,
    /// `IMAGE_ID` of the ID block.
    pub image_id: Expect<[u8; 16]>,
    /// Allowed ID keys: SHA-384 of the key that signed the ID block.
    pub id_keys: Expect<Vec<Sha384>>,
    /// Allowed author keys; a report without one does not pass.
    pub author_keys: Expect<Vec<Sha384>>,
    /// Least `GUEST_SVN`.
    pub guest_svn_min: u32,
    /// The privilege level that must have asked, exactly.
    pub vmpl: Expect<u8>,
    /// Guests the host may read and change are accepted.
    pub debug_allowed: bool,
    /// Guests that may be migrated by an agent are accepted.
    pub migration_allowed: bool,
    /// Guests that may share a core with others are accepted.
    pub smt_allowed: bool,
    /// Only guests bound to one socket are accepted.
    pub single_socket_required: bool,
    /// Least firmware API the guest's policy must demand.
    pub abi_min: Abi,
    /// Bits of `PLATFORM_INFO` that must be set, such as 5: memory aliases were checked (CVE-2024-21944).
    pub platform_required: u64,
    /// Accepted kinds of key.
    pub key_kinds: Vec<KeyKind>,
    /// Reports of a VCEK that hide the chip's identifier are accepted. A VLEK's never prove a chip.
    pub masked_chip_id_allowed: bool,
    /// Least TCB, by product; a product without one does not pass.
    pub tcb_floors: Expect<BTreeMap<Product, Tcb>>,
    /// Bits of `LAUNCH_MIT_VECTOR` that must be set; any needs version 5.
    pub launch_mitigations: u64,
    /// Bits of `CURRENT_MIT_VECTOR` that must be set; any needs version 5.
    pub current_mitigations: u64,
    /// What each product may earn; a product that is not listed does not pass.
    pub generations: Vec<Generation>,
    /// Least tier the product must be able to earn.
    pub tier_min: u8,
}

/// A report whose content is what a policy expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppraisedReport {
    authentic: AuthenticReport,
    tier_max: u8,
}

impl AppraisedReport {
    /// The report.
    pub fn authentic(&self) -> &AuthenticReport {
        &self.authentic
    }

    /// The highest tier its product may earn.
    pub fn tier_max(&self) -> u8 {
        self.tier_max
    }
}

/// Records each check of a policy; yields the report only when every one of them passed.
pub fn appraise(
    checks: &mut Checks,
    authentic: &AuthenticReport,
    policy: &SnpPolicy,
) -> Result<Option<AppraisedReport>, Stopped> {
    let from = checks.list().len();
    let report = authentic.report();
    contents(checks, report, policy)?;
    identity(checks, report, policy)?;
    guest_policy(checks, report, policy)?;
    platform(checks, report, policy)?;
    key(checks, authentic, policy)?;
    tcb(checks, authentic, &policy.tcb_floors)?;
    let tier_max = generation(checks, authentic, policy)?;
    let passed = checks.passed_from(from);
    Ok(tier_max.filter(|_| passed).map(|tier_max| AppraisedReport {
        authentic: authentic.clone(),
        tier_max,
    }))
}

fn contents(checks: &mut Checks, report: &Report, policy: &SnpPolicy) -> Result<(), Stopped> {
    exactly(
        checks,
        "snp-report-data",
        &policy.report_data,
        &report.report_data,
    )?;
    one_of(
        checks,
        "snp-measurement",
        &policy.measurements,
        &report.measurement,
    )?;
    exactly(
        checks,
        "snp-host-data",
        &policy.host_data,
        &report.host_data,
    )?;
    match policy.vmpl {
        Expect::Is(vmpl) => checks.equal("snp-vmpl", vmpl, report.vmpl),
        Expect::Unchecked => Ok(()),
    }
}

fn identity(checks: &mut Checks, report: &Report, policy: &SnpPolicy) -> Result<(), Stopped> {
    exactly(
        checks,
        "snp-family-id",
        &policy.family_id,
        &report.family_id,
    )?;
    exactly(checks, "snp-image-id", &policy.image_id, &report.image_id)?;
    one_of(checks, "snp-id-key", &policy.id_keys, &report.id_key_digest)?;
    if let Expect::Is(_) = policy.author_keys {
        let enabled = report.author_key_enabled;
        held(
            checks,
            "snp-author-key-enabled",
            enabled,
            "an author key",
            enabled,
        )?;
    }
    one_of(
        checks,
        "snp-author-key",
        &policy.author_keys,
        &report.author_key_digest,
    )?;
    let (least, actual) = (policy.guest_svn_min, report.guest_svn);
    held(
        checks,
        "snp-guest-svn",
        actual >= least,
        at_least(least),
        actual,
    )
}

fn guest_policy(checks: &mut Checks, report: &Report, policy: &SnpPolicy) -> Result<(), Stopped> {
    let guest = report.policy;
    for (name, allowed, actual) in [
        (
            "snp-policy-debug",
            policy.debug_allowed,
            guest.debug_allowed(),
        ),
        (
            "snp-policy-migration",
            policy.migration_allowed,
            guest.migration_allowed(),
        ),
        ("snp-policy-smt", policy.smt_allowed, guest.smt_allowed()),
    ] {
        let expected = if allowed {
            "allowed or not"
        } else {
            "not allowed"
        };
        let actual_word = if actual { "allowed" } else { "not allowed" };
        held(checks, name, allowed || !actual, expected, actual_word)?;
    }
    let (required, actual) = (policy.single_socket_required, guest.single_socket());
    let expected = if required {
        "one socket"
    } else {
        "one socket or more"
    };
    let actual_word = if actual { "one socket" } else { "any" };
    held(
        checks,
        "snp-policy-single-socket",
        actual || !required,
        expected,
        actual_word,
    )?;
    let (least, actual) = (policy.abi_min, guest.abi_min());
    held(
        checks,
        "snp-policy-abi",
        actual >= least,
        at_least(least),
        actual,
    )
}

fn platform(checks: &mut Checks, report: &Report, policy: &SnpPolicy) -> Result<(), Stopped> {
    bits(
        checks,
        "snp-platform-info",
        policy.platform_required,
        report.platform_info,
    )?;
    let launch = report.mitigations.map_or(0, |vectors| vectors.launch);
    bits(
        checks,
        "snp-launch-mitigations",
        policy.launch_mitigations,
        launch,
    )?;
    let current = report.mitigations.map_or(0, |vectors| vectors.current);
    bits(
        checks,
        "snp-current-mitigations",
        policy.current_mitigations,
        current,
    )
}

fn key(
    checks: &mut Checks,
    authentic: &AuthenticReport,
    policy: &SnpPolicy,
) -> Result<(), Stopped> {
    let kind = authentic.key_kind();
    let names: Vec<String> = policy.key_kinds.iter().map(KeyKind::to_string).collect();
    let allowed = policy.key_kinds.contains(&kind);
    held(checks, "snp-key-kind", allowed, names.join(" or "), kind)?;
    let hidden = kind == KeyKind::Vcek && authentic.report().chip_id_masked();
    let actual = if hidden {
        "masked"
    } else {
        "not masked, or of a VLEK"
    };
    let expected = match policy.masked_chip_id_allowed {
        true => "masked or not",
        false => "not masked",
    };
    let holds = policy.masked_chip_id_allowed || !hidden;
    held(checks, "snp-chip-id-mask", holds, expected, actual)
}

/// Each of the four TCBs against the product's floor.
pub(super) fn tcb(
    checks: &mut Checks,
    authentic: &AuthenticReport,
    floors: &Expect<BTreeMap<Product, Tcb>>,
) -> Result<(), Stopped> {
    let Expect::Is(floors) = floors else {
        return Ok(());
    };
    let product = authentic.product();
    let floor = floors.get(&product).ok_or("none is set");
    let expected = format_args!("a TCB floor for {product}");
    let Some(floor) = checks.value("snp-tcb-floor", expected, floor)? else {
        return Ok(());
    };
    let tcbs = authentic.tcbs();
    for (name, actual) in [
        ("snp-tcb-reported", tcbs.reported),
        ("snp-tcb-committed", tcbs.committed),
        ("snp-tcb-launch", tcbs.launch),
        ("snp-tcb-current", tcbs.current),
    ] {
        let expected = format_args!("at least {floor}");
        held(checks, name, actual.reaches(floor), expected, actual)?;
    }
    Ok(())
}

fn generation(
    checks: &mut Checks,
    authentic: &AuthenticReport,
    policy: &SnpPolicy,
) -> Result<Option<u8>, Stopped> {
    let product = authentic.product();
    let tier_max = product::tier_max(&policy.generations, product);
    let enough = tier_max.is_some_and(|tier| tier >= policy.tier_min);
    let expected = format!("a generation that may earn tier {}", policy.tier_min);
    let actual = match tier_max {
        Some(tier) => format!("{product}: tier {tier} at most"),
        None => format!("{product}: not listed"),
    };
    held(checks, "snp-generation", enough, expected, actual)?;
    Ok(tier_max)
}

fn at_least(value: impl Display) -> String {
    format!("at least {value}")
}

fn exactly<const N: usize>(
    checks: &mut Checks,
    name: &str,
    expected: &Expect<[u8; N]>,
    actual: &[u8; N],
) -> Result<(), Stopped> {
    match expected {
        Expect::Is(expected) => checks.equal(name, Hex(expected), Hex(actual)),
        Expect::Unchecked => Ok(()),
    }
}

fn one_of(
    checks: &mut Checks,
    name: &str,
    expected: &Expect<Vec<Sha384>>,
    actual: &Sha384,
) -> Result<(), Stopped> {
    let Expect::Is(allowed) = expected else {
        return Ok(());
    };
    let expected = match allowed.as_slice() {
        [] => "one of an empty list".into(),
        [only] => hex::encode(only),
        list => format!("one of {} allowed values", list.len()),
    };
    held(
        checks,
        name,
        allowed.contains(actual),
        expected,
        hex::encode(actual),
    )
}

fn bits(checks: &mut Checks, name: &str, required: u64, actual: u64) -> Result<(), Stopped> {
    let expected = format!("all bits of {required:#x}");
    held(
        checks,
        name,
        actual & required == required,
        expected,
        format!("{actual:#x}"),
    )
}
