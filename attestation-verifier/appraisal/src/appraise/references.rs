//! Reference values: what is quoted or proven must be allowed, at every tier.

use super::context::Boot;
use super::policy::{Policy, Shown};
use super::{AuthenticatedEvidence, BANK};
use crate::checks::{Checks, Hex, Listed, Outcome, Stopped};
use crate::eventlog::claims::{Claim, Reading, SecureBoot, Version};
use assay_protocol::class::{BootPolicy, HardwareClass, PcrReference};
use assay_protocol::trust::RootKind;
use core::fmt::Display;

/// The firmware's own PCRs.
const FIRMWARE: core::ops::RangeInclusive<u8> = 0..=3;

/// Every pinned PCR has an allowed value, and at least one is pinned.
pub(super) fn pcrs(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    class: &HardwareClass,
    shown: &mut Shown,
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
    let mut firmware = 0;
    for reference in pinned {
        let allowed = pcr(checks, evidence, reference)?;
        if allowed && FIRMWARE.contains(&reference.index) {
            firmware |= 1u32.checked_shl(reference.index.into()).unwrap_or(0);
        }
    }
    shown.firmware = firmware == 0b1111;
    Ok(())
}

fn pcr(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    reference: &PcrReference,
) -> Result<bool, Stopped> {
    let index = u32::from(reference.index);
    let name = format_args!("reference-pcr-{index}");
    let expected = format_args!("one of {}", Listed(&reference.allowed));
    let Some(quoted) = evidence.quote().pcr(BANK, index) else {
        let actual = "a PCR that is not quoted";
        checks.record(name, Outcome::Undecided, expected, actual)?;
        return Ok(false);
    };
    let fits = reference.allowed.iter().any(|value| value.0 == quoted);
    checks.record(name, passed(fits), expected, Hex(quoted))?;
    Ok(fits)
}

/// The TPM's root may earn a tier, and its firmware is not older than the root asks for.
pub(super) fn tpm(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    policy: &Policy<'_>,
) -> Result<(), Stopped> {
    let allowed = &policy.trust.allowed_kinds;
    let names: Vec<&str> = allowed.iter().copied().map(kind_name).collect();
    let expected = format_args!("a TPM root of kind {}", Listed(&names));
    let (outcome, found) = match policy.root_kind {
        Some(kind) => (passed(allowed.contains(&kind)), kind_name(kind)),
        None => (Outcome::Undecided, "unknown"),
    };
    checks.record("root-kind", outcome, expected, found)?;
    let version = evidence.quote().firmware_version();
    checks.record(
        "tpm-firmware",
        passed(version >= policy.firmware_min),
        format_args!("firmware version {:#018x} or later", policy.firmware_min),
        format_args!("{version:#018x}"),
    )
}

/// The class's rules over what the log proves about the boot.
///
/// A rule whose claim is not proven is undecided: that a log cannot show something is no proof of the opposite.
pub(super) fn boot(
    checks: &mut Checks,
    boot: &Boot<'_>,
    rules: Option<&BootPolicy>,
    shown: &mut Shown,
) -> Result<(), Stopped> {
    // A log that does not replay failed above; there is nothing to read rules from.
    let Some(claims) = &boot.claims else {
        return Ok(());
    };
    let secure_boot = claims.secure_boot();
    shown.secure_boot = secure_boot
        .proven()
        .map(|state| *state == SecureBoot::Enabled);
    let Some(rules) = rules else {
        return Ok(());
    };
    if rules.secure_boot {
        let enabled = |state: &SecureBoot| *state == SecureBoot::Enabled;
        rule(
            checks,
            "boot-secure-boot",
            "Secure Boot on",
            &secure_boot,
            enabled,
        )?;
    }
    if let Some(allowed) = &rules.command_lines {
        command_lines(checks, "boot-command-line", claims, allowed)?;
    }
    if let Some(allowed) = &rules.boot_applications {
        let expected = format!("only {} listed applications", allowed.len());
        rule(
            checks,
            "boot-applications",
            expected,
            &claims.images(),
            |images| {
                let known = |digest: &[u8]| allowed.iter().any(|value| value.0 == digest);
                !images.is_empty() && images.iter().all(|image| known(image.digest.0))
            },
        )?;
    }
    if let Some(allowed) = &rules.firmware_versions {
        let expected = format!("one of {}", allowed.join(", "));
        rule(
            checks,
            "boot-firmware-version",
            expected,
            &claims.firmware_version(),
            |version| matches!(version, Version::Text(text) if allowed.contains(text)),
        )?;
    }
    Ok(())
}

/// Every kernel command line that was measured in PCR 12 is one of `allowed`.
pub(super) fn command_lines(
    checks: &mut Checks,
    name: &str,
    claims: &Reading<'_, '_, '_>,
    allowed: &[String],
) -> Result<bool, Stopped> {
    let expected = format!("one of {allowed:?}");
    rule(checks, name, expected, &claims.command_lines(), |lines| {
        !lines.is_empty() && lines.iter().all(|line| allowed.contains(line))
    })
}

fn rule<T: core::fmt::Debug>(
    checks: &mut Checks,
    name: &str,
    expected: impl Display,
    claim: &Claim<T>,
    allowed: impl Fn(&T) -> bool,
) -> Result<bool, Stopped> {
    match claim {
        Claim::Proven(value) => {
            let fits = allowed(value);
            checks.record(name, passed(fits), expected, format!("{value:?}"))?;
            Ok(fits)
        }
        Claim::Unproven(why) => {
            checks.record(name, Outcome::Undecided, expected, why)?;
            Ok(false)
        }
        Claim::Absent => {
            checks.record(name, Outcome::Undecided, expected, "nothing was measured")?;
            Ok(false)
        }
    }
}

pub(super) fn passed(holds: bool) -> Outcome {
    if holds { Outcome::Pass } else { Outcome::Fail }
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
