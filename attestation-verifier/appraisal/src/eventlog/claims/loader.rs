//! PCRs 8, 9, 11, 12 and 14: what GRUB, systemd-boot, systemd-stub and shim measured.

use super::region::{Numbered, View};
use super::secure_boot::some;
use super::{Claim, Hex, Measured};
use crate::eventlog::{EV_IPL, coverage, text};
use serde::Serialize;

/// A string that the boot loader measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoaderString<'a> {
    /// What the log calls it, such as `grub_cmd: `: a label.
    pub unproven_prefix: String,
    /// The bytes that the digest covers.
    #[serde(serialize_with = "shown")]
    pub string: &'a [u8],
}

fn shown<S: serde::Serializer>(string: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let utf16 = text::utf16(string, false).filter(|text| text.is_ascii());
    let text = utf16.unwrap_or_else(|| String::from_utf8_lossy(string).into_owned());
    serializer.serialize_str(&text)
}

/// A section of a unified kernel image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section<'a> {
    /// Its name, covered.
    pub name: &'static str,
    /// The digest of its content.
    pub digest: Hex<'a>,
}

pub(super) fn strings<'a>(view: &View<'_, '_, 'a>) -> Claim<Vec<LoaderString<'a>>> {
    let string = |item: &Numbered<'_, 'a>| {
        if item.event.kind != EV_IPL {
            return Err(item.unknown());
        }
        let covered = coverage::loader_string(view.bank(), item.event);
        let (prefix, string) = covered.ok_or(item.uncovered())?;
        Ok(LoaderString {
            unproven_prefix: text::label(prefix),
            string,
        })
    };
    let list = view
        .pcr(8)
        .and_then(|items| items.iter().map(string).collect());
    Claim::of(list.map(some))
}

pub(super) fn files<'a>(view: &View<'_, '_, 'a>) -> Claim<Vec<Measured<'a>>> {
    let measured = |item: &Numbered<'_, 'a>| Measured::of(item.event, view.bank());
    let list = view
        .pcr(9)
        .map(|items| items.iter().map(measured).collect());
    Claim::of(list.map(some))
}

pub(super) fn mok<'a>(view: &View<'_, '_, 'a>) -> Claim<Vec<Measured<'a>>> {
    let measured = |item: &Numbered<'_, 'a>| match item.event.kind {
        EV_IPL => Ok(Measured::of(item.event, view.bank())),
        _ => Err(item.unknown()),
    };
    let list = view
        .pcr(14)
        .and_then(|items| items.iter().map(measured).collect());
    Claim::of(list.map(some))
}

pub(super) fn sections<'a>(view: &View<'_, '_, 'a>) -> Claim<Vec<Section<'a>>> {
    let found = view.pcr(11).and_then(|items| {
        let Some(first) = items.first() else {
            return Ok(None);
        };
        let events: Vec<_> = items.iter().map(|item| item.event).collect();
        let sections = coverage::sections(view.bank(), &events).ok_or(first.unknown())?;
        let section = |(name, digest)| Section {
            name,
            digest: Hex(digest),
        };
        Ok(Some(sections.into_iter().map(section).collect()))
    });
    Claim::of(found)
}

pub(super) fn command_lines(view: &View<'_, '_, '_>) -> Claim<Vec<String>> {
    let line = |item: &Numbered<'_, '_>| {
        let data = item.covered.ok_or(item.uncovered())?;
        match (text::utf16(data, true), item.event.kind) {
            (None, _) => Ok(None),
            (Some(line), EV_IPL) => Ok(Some(line)),
            (Some(_), _) => Err(item.relabelled()),
        }
    };
    let lines = view.pcr(12).and_then(|items| {
        let lines = items.iter().map(line).collect::<Result<Vec<_>, _>>();
        lines.map(|lines| lines.into_iter().flatten().collect())
    });
    Claim::of(lines.map(some))
}
