//! Tier 3: the SEV-SNP chip and the TPM are in one chassis (ARCHITECTURE section 6).

use super::AuthenticatedEvidence;
use super::policy::{Endorsements, Policy, Shown};
use crate::checks::{Checks, Outcome, Stopped};
use crate::snp::cert_table::{CertTable, EntryKind};
use crate::snp::chassis::{self, Host};
use crate::snp::product::{GENERATIONS, Product};
use crate::snp::report::KeyKind;
use crate::snp::revocation::ArkList;
use crate::snp::tcb::Tcb;
use crate::snp::verify::{self, Certificates, Revocation, RevocationList, Trust};
use assay_protocol::class::{ChassisPolicy, TcbFloor};
use assay_protocol::evidence::{SnpEvidence, chips_digest, nonce_batch, snp_report_data};
use assay_protocol::ids::ChipId;
use std::collections::BTreeMap;

/// Whether the evidence holds a chassis proof under the class, for a host that reached `tier`.
pub(super) fn tier_3(
    checks: &mut Checks,
    evidence: &AuthenticatedEvidence,
    policy: &Policy<'_>,
    tier: u8,
    shown: &mut Shown,
) -> Result<bool, Stopped> {
    let Some(rules) = &policy.class.attestation.chassis else {
        return Ok(false);
    };
    let Some(snp) = &evidence.vendor().snp else {
        let expected = "a SEV-SNP report of the probe guest";
        checks.record("chassis-report", Outcome::Undecided, expected, "none")?;
        return Ok(false);
    };
    let Some(chain) = chain(checks, snp, &policy.endorsements)? else {
        return Ok(false);
    };
    let Endorsements { crl, cache, .. } = policy.endorsements;
    let list = crl.map(|bytes| ArkList { bytes, cache });
    let trust = Trust {
        roots: policy.endorsements.roots,
        at: policy.endorsements.at,
        revocation: Revocation {
            required: false,
            list: list.as_ref().map(|list| list as &dyn RevocationList),
        },
        cache,
    };
    let report = verify::authenticate(checks, &snp.report.0, chain, &trust)?;
    let Some(report) = report else {
        return Ok(false);
    };
    let claims = evidence.claims();
    let batch = nonce_batch(&claims.nonces);
    let report_data = snp_report_data(&batch, &claims.session_key, &claims.ak_name);
    let host = Host {
        tier,
        chip_ids: claims.chip_ids.as_deref().unwrap_or_default(),
        probe_measurements: &rules.measurements,
        tcb_floors: &floors(rules),
        generations: &GENERATIONS,
    };
    let proof = chassis::prove(checks, &report, &report_data, host)?;
    shown.chip = proof.as_ref().map(|proof| ChipId(*proof.chip_id()));
    // One of them is proven; the others are in the list that the TPM quoted.
    shown.chips = shown.chip.map(|_| chips_digest(host.chip_ids));
    Ok(proof.is_some())
}

/// The certificates that came with the report or, where it brings none, those the verifier has.
fn chain<'a>(
    checks: &mut Checks,
    snp: &'a SnpEvidence,
    endorsements: &Endorsements<'a>,
) -> Result<Option<Certificates<'a>>, Stopped> {
    let table = CertTable::parse(&snp.certificates.0);
    let Some(table) = checks.value("chassis-certificate-table", "a certificate table", table)?
    else {
        return Ok(None);
    };
    let brought = [EntryKind::Vcek, EntryKind::Ask, EntryKind::Ark].map(|kind| table.get(kind));
    let found = match brought {
        [Some(leaf), Some(intermediate), Some(root)] => Some([leaf, intermediate, root]),
        _ => endorsements.chain,
    };
    let expected = "VCEK, ASK and ARK, brought or known";
    let found = found.ok_or("neither");
    let found = checks.value("chassis-certificates", expected, found)?;
    Ok(found.map(|[leaf, intermediate, root]| Certificates {
        kind: KeyKind::Vcek,
        leaf,
        intermediate,
        root,
    }))
}

fn floors(rules: &ChassisPolicy) -> BTreeMap<Product, Tcb> {
    let floor = |floor: &TcbFloor| {
        let tcb = Tcb {
            fmc: floor.fmc,
            bootloader: floor.bootloader,
            tee: floor.tee,
            snp: floor.snp,
            microcode: floor.microcode,
        };
        Some((Product::from_name(&floor.product)?, tcb))
    };
    rules.tcb_min.iter().filter_map(floor).collect()
}
