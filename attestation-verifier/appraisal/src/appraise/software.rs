//! Tier 2: everything that can reach the TPM or the agent's memory is measured and allowed.
//!
//! Two ways lead there, and a class names the ones it accepts. By a **published image**: PCR 4 and PCR 11 are pinned,
//! which fixes the boot application with its kernel, initial file system and command line; the command line names the
//! root file system's hash; and nothing was added to it from outside. By **IMA**: the kernel was told by an allowed
//! command line to measure, under an allowed policy, and every file it measured is on the class's list.
//!
//! What it does not prove: that the published image is without a hole, and anything against attackers with a
//! screwdriver (SECURITY.md).

use super::context::{Boot, Ima, Judged};
use super::policy::{Policy, Shown};
use super::references::{command_lines, passed};
use super::{AuthenticatedEvidence, BANK, PCR_CONFIG};
use crate::checks::{Checks, Hex, Outcome, Stopped};
use crate::eventlog::claims::{Claim, Reading, Section};
use crate::tpm::algorithm::HashAlg;
use assay_protocol::class::{HardwareClass, ImaPolicy, ImagePolicy, verity_root};
use assay_protocol::ids::Digest;

/// systemd-stub measures what is added to an image from outside here: system extensions.
const PCR_ADDITIONS: u32 = 13;
/// What a published image's pins must cover.
const PCRS_IMAGE: [u8; 2] = [4, 11];
/// Most refused entries that a check names.
const REFUSED_NAMED_MAX: usize = 4;
/// The section of a unified kernel image that holds its command line.
const COMMAND_LINE: &str = ".cmdline";

/// Whether one of the class's ways to tier 2 was walked to the end.
pub(super) fn tier_2(
    checks: &mut Checks,
    (evidence, policy): (&AuthenticatedEvidence, &Policy<'_>),
    (boot, ima): (&Boot<'_>, Option<&Ima>),
    shown: &mut Shown,
) -> Result<bool, Stopped> {
    let class = policy.class;
    let by_image = match &class.attestation.image {
        Some(rules) => image(checks, (evidence, class), rules, boot, shown)?,
        None => false,
    };
    let by_ima = match &class.attestation.ima {
        Some(rules) => by_ima(checks, rules, boot, ima, shown)?,
        None => false,
    };
    Ok(by_image || by_ima)
}

/// Proven entries of the IMA list that are not on the class's list fail the attestation, whatever the tier.
pub(super) fn ima_entries(checks: &mut Checks, ima: Option<&Ima>) -> Result<(), Stopped> {
    let Some(Ima::Judged(found)) = ima else {
        return Ok(());
    };
    checks.record(
        "ima-entries",
        passed(found.all_allowed()),
        "every entry allowed, the boot aggregate right, no violation",
        refused(found),
    )
}

fn refused(found: &Judged) -> String {
    let named = found.appraisal.refused.iter().take(REFUSED_NAMED_MAX);
    let named: Vec<String> = named.map(ToString::to_string).collect();
    let aggregate = found.appraisal.boot_aggregate.as_ref().err();
    match (found.appraisal.totals.refused, aggregate) {
        (0, Some(error)) => error.to_string(),
        (0, None) => format!("{} entries", found.entries),
        (count, _) => format!("{count} refused, among them {}", named.join("; ")),
    }
}

fn image(
    checks: &mut Checks,
    (evidence, class): (&AuthenticatedEvidence, &HardwareClass),
    rules: &ImagePolicy,
    boot: &Boot<'_>,
    shown: &mut Shown,
) -> Result<bool, Stopped> {
    let pinned = PCRS_IMAGE
        .iter()
        .all(|index| is_pinned(evidence, class, *index));
    checks.record(
        "tier-2-image-pcrs",
        passed(pinned),
        "PCR 4 and PCR 11 with values of a published image",
        if pinned { "both" } else { "not both" },
    )?;
    let root = image_command_line(checks, rules, boot)?;
    let alone = configuration_alone(checks, boot)?;
    let initial = boot.log.map(|log| log.initial(PCR_ADDITIONS, BANK));
    let quoted = evidence
        .quote()
        .pcr(BANK, PCR_ADDITIONS)
        .map(<[u8]>::to_vec);
    let untouched = initial.is_some() && initial == quoted;
    checks.record(
        "tier-2-image-additions",
        passed(untouched),
        "no extension in PCR 13",
        Hex(&quoted.unwrap_or_default()),
    )?;
    let reached = pinned && root.is_some() && alone && untouched;
    shown.verity_root = root.filter(|_| reached);
    Ok(reached)
}

fn is_pinned(evidence: &AuthenticatedEvidence, class: &HardwareClass, index: u8) -> bool {
    let pinned = class.attestation.pcrs.iter().find(|pcr| pcr.index == index);
    let quoted = evidence.quote().pcr(BANK, u32::from(index));
    pinned.is_some_and(|pcr| pcr.allowed.iter().any(|value| quoted == Some(&value.0)))
}

/// The image's own command line is one of the published ones; the root hash that it names.
///
/// The log carries the digest of the section, not its content: the candidates are hashed.
fn image_command_line(
    checks: &mut Checks,
    rules: &ImagePolicy,
    boot: &Boot<'_>,
) -> Result<Option<Digest>, Stopped> {
    let name = "tier-2-image-command-line";
    let expected = "the digest of a published command line";
    let sections = match boot.claims.as_ref().map(Reading::uki_sections) {
        Some(Claim::Proven(sections)) => sections,
        Some(Claim::Unproven(why)) => {
            checks.record(name, Outcome::Undecided, expected, why)?;
            return Ok(None);
        }
        Some(Claim::Absent) | None => {
            checks.record(name, Outcome::Undecided, expected, "no measured sections")?;
            return Ok(None);
        }
    };
    let lines: Vec<&Section<'_>> = sections.iter().filter(|s| s.name == COMMAND_LINE).collect();
    let [line] = lines.as_slice() else {
        let actual = format!("{} command lines", lines.len());
        checks.record(name, Outcome::Undecided, expected, actual)?;
        return Ok(None);
    };
    let published = rules
        .command_lines
        .iter()
        .find(|text| measures(line.digest.0, text));
    let actual = published.map_or_else(|| hex::encode(line.digest.0), Clone::clone);
    checks.record(name, passed(published.is_some()), expected, actual)?;
    Ok(published.and_then(|text| verity_root(text)))
}

/// The section may end in a NUL or in a line feed, as tools write it.
fn measures(digest: &[u8], text: &str) -> bool {
    ["", "\0", "\n"]
        .iter()
        .any(|end| HashAlg::Sha256.digest(&[text.as_bytes(), end.as_bytes()]) == digest)
}

/// PCR 12 holds the agent's configuration and nothing else: no other command line, no credential.
fn configuration_alone(checks: &mut Checks, boot: &Boot<'_>) -> Result<bool, Stopped> {
    let events = boot.log.map_or(0, |log| {
        let here = |event: &&crate::eventlog::Event<'_>| event.pcr == PCR_CONFIG && event.extends();
        log.events.iter().filter(here).count()
    });
    let confirmed = boot.is_confirmed(PCR_CONFIG);
    let alone = confirmed && events == 1;
    checks.record(
        "tier-2-image-configuration",
        passed(alone),
        "the configuration as the one event of PCR 12",
        format!(
            "{events} events, {}",
            if confirmed {
                "replayed"
            } else {
                "not replayed"
            }
        ),
    )?;
    Ok(alone)
}

fn by_ima(
    checks: &mut Checks,
    rules: &ImaPolicy,
    boot: &Boot<'_>,
    ima: Option<&Ima>,
    shown: &mut Shown,
) -> Result<bool, Stopped> {
    let line = match &boot.claims {
        Some(claims) => command_lines(
            checks,
            "tier-2-ima-command-line",
            claims,
            &rules.command_lines,
        )?,
        None => {
            let expected = format!("one of {:?}", rules.command_lines);
            let name = "tier-2-ima-command-line";
            checks.record(name, Outcome::Undecided, expected, "no event log")?;
            false
        }
    };
    let expected = "an IMA list that replays to PCR 10";
    let found = match ima {
        Some(Ima::Judged(found)) => {
            checks.record(
                "tier-2-ima-list",
                Outcome::Pass,
                expected,
                format!("{} entries", found.entries),
            )?;
            found
        }
        Some(Ima::Unexplained(why)) => {
            checks.record("tier-2-ima-list", Outcome::Undecided, expected, why)?;
            return Ok(false);
        }
        Some(Ima::Absent) | None => {
            checks.record("tier-2-ima-list", Outcome::Undecided, expected, "none")?;
            return Ok(false);
        }
    };
    checks.record(
        "tier-2-ima-policy",
        passed(found.policy_loaded),
        "an allowed IMA policy among the entries",
        if found.policy_loaded { "one" } else { "none" },
    )?;
    // What is not allowed fails the attestation itself, see `ima_entries`.
    let reached = line && found.policy_loaded && found.all_allowed();
    shown.ima_entries = reached.then_some(found.entries);
    Ok(reached)
}
