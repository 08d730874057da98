//! Whose attestation key it is.

use super::Kind;
use assay_appraisal::checks::{Checks, Stopped};
use assay_appraisal::ek::{self, Roots};
use assay_appraisal::tpm::ak::AttestationKey;
use assay_appraisal::tpm::node_id::node_id;
use assay_appraisal::x509::Rules;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::evidence::SignedEvidence;
use assay_protocol::ids::{NodeId, UnixMs};
use assay_protocol::item::Item as _;
use assay_protocol::limits::SMALL_OBJECT_BYTES_MAX;

/// An attestation key, and what is known of its TPM.
pub struct Enrolled {
    /// The node.
    pub node: NodeId,
    /// Its attestation key.
    pub ak: AttestationKey,
    /// Kind of the root above the endorsement key.
    pub root_kind: Kind,
    /// Least TPM firmware that the root asks for.
    pub firmware_min: u64,
}

/// The key that the evidence itself carries: some TPM's, perhaps nobody's.
pub fn unknown(checks: &mut Checks, signed: &SignedEvidence) -> Result<Option<Enrolled>, Stopped> {
    let ak = AttestationKey::from_bytes(&signed.vendor().ak_public.0);
    let ak = checks.value("ak-rules", AK_RULES, ak)?;
    Ok(ak.map(|ak| Enrolled {
        node: signed.claims().node,
        ak,
        root_kind: None,
        firmware_min: 0,
    }))
}

const AK_RULES: &str = "a restricted signing key fixed to its TPM";

/// What an enrolment record shows. That the TPM gave the credential's secret back is the word of the HyperNode that
/// signed for the record.
pub fn examine(
    checks: &mut Checks,
    record: &[u8],
    roots: &Roots,
    at: UnixMs,
) -> Result<Option<Enrolled>, Stopped> {
    let record = EnrolRecord::decode("enrolment record", SMALL_OBJECT_BYTES_MAX, record);
    let Some(record) = checks.value("enrolment", "an enrolment record", record)? else {
        return Ok(None);
    };
    let rules = Rules::at(at);
    let chained = ek::chain(&record.ek_certificate.0, roots, &rules);
    let expected = "an EK certificate under a trusted root";
    let chained = checks.value("enrolment-ek-chain", expected, chained)?;
    let ak = AttestationKey::from_bytes(&record.ak_public.0);
    let ak = checks.value("ak-rules", AK_RULES, ak)?;
    let (Some(chained), Some(ak)) = (chained, ak) else {
        return Ok(None);
    };
    checks.equal("enrolment-node", record.node, node_id(chained.key()))?;
    let template = chained.key().check_template(&record.ek_public.0);
    let expected = "the default template with the certified key";
    checks.value("enrolment-ek-template", expected, template)?;
    checks.equal("enrolment-ak-name", record.ak_name, ak.name())?;
    let standing = chained.standing();
    if standing.is_some() {
        let expected = "a kind of endorsement key that counts under its root";
        checks.value("enrolment-ek-eligible", expected, chained.certified())?;
    }
    Ok(Some(Enrolled {
        node: record.node,
        ak,
        root_kind: standing.map(|standing| standing.kind),
        firmware_min: standing.map_or(0, |standing| standing.firmware_min),
    }))
}
