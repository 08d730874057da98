//! Which certificates a list speaks about.

use super::CrlError;
use crate::crypto::der::{self, Der, DerError, Element};
use crate::x509::certificate::Certificate;
use crate::x509::extension::CRL_POINTS;
use std::collections::HashSet;

/// Which certificates of its issuer a list speaks about (RFC 5280 section 5.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Scope<'a> {
    leaves_only: bool,
    cas_only: bool,
    /// GeneralNames; the certificate must name one of them in its cRLDistributionPoints.
    points: Option<&'a [u8]>,
}

impl<'a> Scope<'a> {
    /// issuingDistributionPoint (RFC 5280 section 5.2.5).
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, CrlError> {
        let mut outer = Der::new(value);
        let mut r = outer.enter("issuingDistributionPoint", der::SEQUENCE)?;
        outer.finish("issuingDistributionPoint")?;
        let mut scope = Self::default();
        while !r.is_empty() {
            let part = r.any("issuingDistributionPoint")?;
            match part.tag {
                0xa0 => scope.points = Some(full_name(part.content)?),
                0x81 => scope.leaves_only = flag(part)?,
                0x82 => scope.cas_only = flag(part)?,
                0x83 | 0xa3 => return Err(CrlError::Unsupported("a list of some reasons only")),
                0x84 if flag(part)? => return Err(CrlError::Unsupported("an indirect list")),
                0x85 if flag(part)? => {
                    return Err(CrlError::Unsupported("a list of attribute certificates"));
                }
                0x84 | 0x85 => {}
                other => {
                    let other = format!("tag {other:#04x}");
                    let expected = "a part of RFC 5280";
                    return Err(DerError::value("issuingDistributionPoint", expected, other).into());
                }
            }
        }
        Ok(scope)
    }

    pub(super) fn covers(&self, certificate: &Certificate<'_>) -> Result<bool, DerError> {
        let ca = certificate.basic_constraints()?.ca;
        if (self.leaves_only && ca) || (self.cas_only && !ca) {
            return Ok(false);
        }
        match self.points {
            Some(points) => names_a_point(certificate, points),
            None => Ok(true),
        }
    }
}

fn flag(part: Element<'_>) -> Result<bool, DerError> {
    match part.content {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        other => Err(DerError::value("flag", "00 or FF", hex::encode(other))),
    }
}

/// The GeneralNames of a DistributionPointName; names relative to the issuer are not understood.
fn full_name(content: &[u8]) -> Result<&[u8], DerError> {
    let mut r = Der::new(content);
    let names = r.take("fullName", 0xa0)?.content;
    r.finish("distributionPoint")?;
    Ok(names)
}

/// Whether a cRLDistributionPoints entry of the certificate has a name in common with `points`.
fn names_a_point(certificate: &Certificate<'_>, points: &[u8]) -> Result<bool, DerError> {
    let Some(extension) = certificate.extension(CRL_POINTS) else {
        return Ok(false);
    };
    let mut outer = Der::new(extension.value);
    let mut list = outer.enter("cRLDistributionPoints", der::SEQUENCE)?;
    while !list.is_empty() {
        let mut entry = list.enter("distributionPoint", der::SEQUENCE)?;
        if let Some(point) = entry.optional("distributionPoint", 0xa0)?
            && shares_a_name(full_name(point.content)?, points)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn shares_a_name(one: &[u8], other: &[u8]) -> Result<bool, DerError> {
    let mut names = HashSet::new();
    let mut r = Der::new(one);
    while !r.is_empty() {
        names.insert(r.any("generalName")?.bytes);
    }
    let mut r = Der::new(other);
    let mut shared = false;
    while !r.is_empty() {
        shared |= names.contains(r.any("generalName")?.bytes);
    }
    Ok(shared)
}
