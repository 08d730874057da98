//! The chassis proof: the TPM's host and the SEV-SNP chip are one machine.
//!
//! A host cannot obtain a signed report, only a guest can. So the host's agent starts a tiny measured guest,
//! whose report carries the batch of challenges, the session key and the name of the attestation key; and the
//! agent itself, measured at tier 2, reads the chips' identifiers into the quoted claims. What it does not
//! prove: that nobody opened the case. Memory interposers and moved TPM modules are out of its sight.

use super::policy::{self, Expect};
use super::product::{self, Generation, Product};
use super::report::KeyKind;
use super::tcb::Tcb;
use super::verify::AuthenticReport;
use super::{RootKind, held};
use crate::checks::{Checks, Hex, Listed, Stopped};
use assay_protocol::ids::{ChipId, Digest384};
use assay_protocol::limits::CHIP_IDS_MAX;
use std::collections::BTreeMap;

/// The tier the host must have reached by its TPM.
pub const HOST_TIER: u8 = 2;
/// The tier a chassis proof leads to.
pub const CHASSIS_TIER: u8 = 3;

/// What was established about the host before, and what the probe guest must be.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// Tier the host earned by its TPM, event log and references.
    pub tier: u8,
    /// Chip identifiers of all sockets as the measured agent read them (`/dev/sev`, GET_ID), padded with
    /// zeros to 64 bytes, from the quoted claims.
    pub chip_ids: &'a [ChipId],
    /// `MEASUREMENT`s that the probe guest may have, computed when it was built.
    pub probe_measurements: &'a [Digest384],
    /// Least TCB by product.
    pub tcb_floors: &'a BTreeMap<Product, Tcb>,
    /// What each product may earn.
    pub generations: &'a [Generation],
}

/// Proof that the host's TPM and this chip were one machine when the challenges were answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChassisProof {
    chip_id: [u8; 64],
    product: Product,
    root_kind: RootKind,
}

impl ChassisProof {
    /// The chip: one machine has each of its chips once, whatever the number of its TPMs.
    pub fn chip_id(&self) -> &[u8; 64] {
        &self.chip_id
    }

    /// The product.
    pub fn product(&self) -> Product {
        self.product
    }

    /// Whose root vouches; a test root's proof is worth nothing outside test networks.
    pub fn root_kind(&self) -> RootKind {
        self.root_kind
    }
}

/// Records each check of the chassis proof; yields it only when every one of them passed.
///
/// `report_data` is what the probe guest had to put into its report, recomputed from the claims
/// ([`assay_protocol::evidence::snp_report_data`]).
pub fn prove(
    checks: &mut Checks,
    authentic: &AuthenticReport,
    report_data: &[u8; 64],
    host: Host<'_>,
) -> Result<Option<ChassisProof>, Stopped> {
    let from = checks.list().len();
    let tier_2 = format_args!("tier {HOST_TIER} or higher");
    held(
        checks,
        "chassis-host-tier",
        host.tier >= HOST_TIER,
        tier_2,
        host.tier,
    )?;
    probe_guest(checks, authentic, report_data, host.probe_measurements)?;
    chip(checks, authentic, host.chip_ids)?;
    policy::tcb(checks, authentic, &Expect::Is(host.tcb_floors.clone()))?;
    generation(checks, authentic.product(), host.generations)?;
    let passed = checks.passed_from(from);
    Ok(passed.then(|| ChassisProof {
        chip_id: authentic.report().chip_id,
        product: authentic.product(),
        root_kind: authentic.root_kind(),
    }))
}

/// That guest and no other, unreadable and unmovable, speaking for itself to this challenge.
fn probe_guest(
    checks: &mut Checks,
    authentic: &AuthenticReport,
    report_data: &[u8; 64],
    measurements: &[Digest384],
) -> Result<(), Stopped> {
    let report = authentic.report();
    held(
        checks,
        "chassis-measurement",
        measurements.contains(&Digest384(report.measurement)),
        format_args!("one of {}", Listed(measurements)),
        Hex(&report.measurement),
    )?;
    checks.equal("chassis-debug", false, report.policy.debug_allowed())?;
    checks.equal(
        "chassis-migration",
        false,
        report.policy.migration_allowed(),
    )?;
    checks.equal("chassis-vmpl", 0, report.vmpl)?;
    let (expected, actual) = (Hex(report_data), Hex(&report.report_data));
    checks.equal("chassis-report-data", expected, actual)
}

/// A key of the chip itself, a chip that is named, and named by the measured host too.
fn chip(
    checks: &mut Checks,
    authentic: &AuthenticReport,
    chip_ids: &[ChipId],
) -> Result<(), Stopped> {
    checks.equal("chassis-key-kind", KeyKind::Vcek, authentic.key_kind())?;
    let chip_id = &authentic.report().chip_id;
    let masked = authentic.report().chip_id_masked();
    held(
        checks,
        "chassis-chip-id-mask",
        !masked,
        "a chip id that is not zero",
        Hex(chip_id),
    )?;
    let count = chip_ids.len();
    let counted = (1..=CHIP_IDS_MAX).contains(&count);
    held(
        checks,
        "chassis-host-chips",
        counted,
        format_args!("1 to {CHIP_IDS_MAX} chip ids"),
        count,
    )?;
    let listed = counted && chip_ids.contains(&ChipId(*chip_id));
    let expected = "a chip id the measured host read from its own sockets";
    held(
        checks,
        "chassis-host-chip-id",
        listed,
        expected,
        Hex(chip_id),
    )
}

fn generation(
    checks: &mut Checks,
    product: Product,
    generations: &[Generation],
) -> Result<(), Stopped> {
    let tier = product::tier_max(generations, product).unwrap_or(0);
    let expected = format_args!("a generation that may earn tier {CHASSIS_TIER}");
    let enough = tier >= CHASSIS_TIER;
    held(
        checks,
        "chassis-generation",
        enough,
        expected,
        format_args!("{product}: tier {tier} at most"),
    )
}
