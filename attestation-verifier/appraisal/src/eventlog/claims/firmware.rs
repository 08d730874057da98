//! PCR 0: the firmware itself (PC Client Platform Firmware Profile 1.05, section 3.3.4.1).

use super::region::{Numbered, View, is_code};
use super::{Claim, Hex, Measured, Unproven};
use crate::eventlog::variable::Guid;
use crate::eventlog::{EV_S_CRTM_VERSION, text};
use serde::Serialize;

const PCR: u32 = 0;

/// A firmware version in one of the forms that vendors measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version<'a> {
    /// Text; may be empty (OVMF).
    Text(String),
    /// A GUID that stands for a version.
    Guid(Guid),
    /// A vendor's own structure (HP).
    Bytes(Hex<'a>),
}

pub(super) fn version<'a>(view: &View<'_, '_, 'a>) -> Claim<Version<'a>> {
    Claim::of(read_version(view))
}

fn read_version<'a>(view: &View<'_, '_, 'a>) -> Result<Option<Version<'a>>, Unproven> {
    let region = view.region(PCR)?.separated()?;
    if region.is_empty() {
        return Ok(None);
    }
    let mut found: Option<&'a [u8]> = None;
    for item in &region.before {
        let Some(data) = told(item)? else {
            continue;
        };
        match found.replace(data) {
            Some(other) if other != data => {
                let what = "firmware version";
                return Err(Unproven::Conflict { what });
            }
            _ => {}
        }
    }
    let what = "a firmware version";
    let found = found.ok_or(Unproven::NotFound { what, pcr: PCR })?;
    Ok(Some(parse(found)))
}

/// The data of a version event. Code is measured by digest alone; anything else must be covered to be told from a
/// version.
fn told<'a>(item: &Numbered<'_, 'a>) -> Result<Option<&'a [u8]>, Unproven> {
    if is_code(item.event.kind) {
        return Ok(None);
    }
    let data = item.covered.ok_or(item.uncovered())?;
    Ok((item.event.kind == EV_S_CRTM_VERSION).then_some(data))
}

fn parse(data: &[u8]) -> Version<'_> {
    if data == [0, 0] {
        return Version::Text(String::new());
    }
    if let Some(text) = text::utf16(data, true).or_else(|| text::ascii(data).map(str::to_owned)) {
        return Version::Text(text.trim().to_owned());
    }
    match <[u8; 16]>::try_from(data) {
        Ok(guid) => Version::Guid(Guid(guid)),
        Err(_) => Version::Bytes(Hex(data)),
    }
}

pub(super) fn measured<'a>(view: &View<'_, '_, 'a>) -> Claim<Vec<Measured<'a>>> {
    let measured = |item: &Numbered<'_, 'a>| Measured::of(item.event, view.bank());
    let region = view.region(PCR).and_then(|region| region.separated());
    Claim::of(region.map(|region| {
        let list = region.before.iter().map(measured).collect();
        (!region.is_empty()).then_some(list)
    }))
}
