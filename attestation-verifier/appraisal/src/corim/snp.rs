//! AMD's profile for SEV-SNP (draft-deeglaze-amd-sev-snp-corim-profile): the number of a measurement says which
//! field of the attestation report it describes.

use super::environment::Environment;
use super::measurement::{DigestAlg, Key, Measurement, Svn};
use super::{CorimError, Reference};
use crate::foreign_cbor::Item;
use core::fmt;

/// URI of the profile.
pub const SNP_PROFILE: &str = "tag:amd.com,2024:snp-corim-profile";

/// A field of the attestation report (SEV-SNP ABI specification, table "ATTESTATION_REPORT structure").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnpField {
    /// VERSION.
    Version,
    /// GUEST_SVN.
    GuestSvn,
    /// POLICY, big-endian.
    Policy,
    /// FAMILY_ID.
    FamilyId,
    /// IMAGE_ID.
    ImageId,
    /// VMPL, big-endian.
    Vmpl,
    /// CURRENT_TCB.
    CurrentTcb,
    /// PLATFORM_INFO, big-endian.
    PlatformInfo,
    /// REPORT_DATA.
    ReportData,
    /// MEASUREMENT.
    Measurement,
    /// HOST_DATA.
    HostData,
    /// ID_KEY_DIGEST.
    IdKeyDigest,
    /// AUTHOR_KEY_DIGEST.
    AuthorKeyDigest,
    /// REPORT_ID.
    ReportId,
    /// REPORT_ID_MA.
    ReportIdMa,
    /// REPORTED_TCB.
    ReportedTcb,
    /// CHIP_ID.
    ChipId,
    /// COMMITTED_TCB.
    CommittedTcb,
    /// CURRENT_VERSION.
    CurrentVersion,
    /// COMMITTED_VERSION.
    CommittedVersion,
    /// LAUNCH_TCB.
    LaunchTcb,
}

/// How a field's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Version,
    Svn,
    Raw(usize),
    Sha384,
}

const FIELDS: [(u64, SnpField, Form, &str); 21] = [
    (0, SnpField::Version, Form::Version, "version"),
    (1, SnpField::GuestSvn, Form::Svn, "guest_svn"),
    (2, SnpField::Policy, Form::Raw(8), "policy"),
    (3, SnpField::FamilyId, Form::Raw(16), "family_id"),
    (4, SnpField::ImageId, Form::Raw(16), "image_id"),
    (5, SnpField::Vmpl, Form::Raw(4), "vmpl"),
    (6, SnpField::CurrentTcb, Form::Svn, "current_tcb"),
    (7, SnpField::PlatformInfo, Form::Raw(8), "platform_info"),
    (640, SnpField::ReportData, Form::Raw(64), "report_data"),
    (641, SnpField::Measurement, Form::Sha384, "measurement"),
    (642, SnpField::HostData, Form::Raw(32), "host_data"),
    (643, SnpField::IdKeyDigest, Form::Sha384, "id_key_digest"),
    (
        644,
        SnpField::AuthorKeyDigest,
        Form::Sha384,
        "author_key_digest",
    ),
    (645, SnpField::ReportId, Form::Raw(32), "report_id"),
    (646, SnpField::ReportIdMa, Form::Raw(32), "report_id_ma"),
    (647, SnpField::ReportedTcb, Form::Svn, "reported_tcb"),
    (3328, SnpField::ChipId, Form::Raw(64), "chip_id"),
    (3329, SnpField::CommittedTcb, Form::Svn, "committed_tcb"),
    (
        3330,
        SnpField::CurrentVersion,
        Form::Version,
        "current_version",
    ),
    (
        3936,
        SnpField::CommittedVersion,
        Form::Version,
        "committed_version",
    ),
    (3968, SnpField::LaunchTcb, Form::Svn, "launch_tcb"),
];

impl fmt::Display for SnpField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = FIELDS.iter().find(|(_, field, ..)| field == self);
        f.write_str(found.map_or("?", |(.., name)| name))
    }
}

/// What one environment's report must say, each measurement of the form its field has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpReference {
    /// What is described.
    pub environment: Environment,
    fields: Vec<(SnpField, Measurement)>,
}

impl SnpReference {
    /// Reads one reference triple of the profile: every measurement has a key that is a field's number and exactly
    /// the value the field has.
    pub(super) fn read(reference: &Reference) -> Result<Self, CorimError> {
        let class = reference.environment.class.as_ref();
        if class.is_none_or(|class| class.id.is_none()) {
            let expected = "an environment with a class-id";
            return Err(CorimError::reference(
                "of SEV-SNP",
                expected,
                &reference.environment,
            ));
        }
        let fields = reference.measurements.iter().map(field);
        Ok(Self {
            environment: reference.environment.clone(),
            fields: fields.collect::<Result<_, _>>()?,
        })
    }

    /// Every field with its condition, in order; two of one field are alternatives.
    pub fn fields(&self) -> &[(SnpField, Measurement)] {
        &self.fields
    }

    /// Launch measurements allowed.
    pub fn measurements(&self) -> impl Iterator<Item = [u8; 48]> {
        let digests = |(field, measurement): &(SnpField, Measurement)| match field {
            SnpField::Measurement => measurement
                .digests
                .first()
                .and_then(|d| d.value.as_slice().try_into().ok()),
            _ => None,
        };
        self.fields.iter().filter_map(digests)
    }

    /// Security versions of `field`: guest SVN or a TCB as the report's 64-bit number.
    pub fn svns(&self, field: SnpField) -> impl Iterator<Item = Svn> {
        let of_field = move |(other, measurement): &(SnpField, Measurement)| {
            (*other == field).then_some(measurement.svn)?
        };
        self.fields.iter().filter_map(of_field)
    }

    /// Raw values of `field`.
    pub fn raw(&self, field: SnpField) -> impl Iterator<Item = &[u8]> {
        let entries = self.fields.iter().filter(move |(other, _)| *other == field);
        entries.filter_map(|(_, found)| found.raw.as_ref().map(|raw| raw.value.as_slice()))
    }
}

fn field(measurement: &Measurement) -> Result<(SnpField, Measurement), CorimError> {
    let known = match &measurement.key {
        Some(Key::Uint(number)) => FIELDS.iter().find(|(n, ..)| n == number),
        _ => None,
    };
    let Some((_, field, form, _)) = known else {
        let expected = "the number of a report field as key";
        return Err(CorimError::reference(
            "of SEV-SNP",
            expected,
            measurement.label(),
        ));
    };
    match only_value(measurement, *form) {
        true => Ok((*field, measurement.clone())),
        false => {
            let expected = format!("{form:?} and nothing else");
            Err(CorimError::reference(
                field,
                expected,
                format!("{measurement:?}"),
            ))
        }
    }
}

/// Whether the measurement holds the value of this form and no other.
fn only_value(measurement: &Measurement, form: Form) -> bool {
    let mut rest = Measurement {
        key: None,
        name: None,
        ..measurement.clone()
    };
    let held = match form {
        Form::Version => rest.version.take().is_some(),
        Form::Svn => rest.svn.take().is_some(),
        Form::Raw(size) => rest
            .raw
            .take()
            .is_some_and(|raw| raw.value.len() == size && raw.mask.is_none()),
        Form::Sha384 => {
            let digests = core::mem::take(&mut rest.digests);
            matches!(digests.as_slice(), [one] if one.algorithm == DigestAlg::Sha384)
        }
    };
    held && rest == Measurement::default()
}

/// Trust anchors of the profile name vendor and model. They are not used: AMD's root keys are pinned elsewhere.
pub(super) fn check_trust_anchors(list: Item<'_>) -> Result<(), CorimError> {
    for triple in list.some("attest-key triples")? {
        let environment = triple.some("attest-key triple")?.into_iter().next();
        let environment = Environment::read(environment.unwrap_or(Item::Null))?;
        let named = environment
            .class
            .as_ref()
            .is_some_and(|class| class.vendor.is_some() && class.model.is_some());
        if !named {
            let expected = "a class with vendor and model";
            return Err(CorimError::reference(
                "of a trust anchor",
                expected,
                &environment,
            ));
        }
    }
    Ok(())
}
