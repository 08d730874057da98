//! PCRs 1, 2, 4 and 5: what was to be booted, and what was started.

use super::region::{Numbered, View, is_image};
use super::secure_boot::some;
use super::{Claim, Hex, Unproven};
use crate::eventlog::coverage::{self, Name};
use crate::eventlog::variable::{GLOBAL_VARIABLE, Variable};
use crate::eventlog::{
    EV_ACTION, EV_EFI_ACTION, EV_EFI_VARIABLE_BOOT, EV_EFI_VARIABLE_BOOT2,
    EV_OMIT_BOOT_DEVICE_EVENTS, text,
};
use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::{FormatError, Reader};
use serde::Serialize;

const PCR_CONFIG: u32 = 1;
const PCR_BOOT_MANAGER: u32 = 4;
const PCR_BOOT_CONFIG: u32 = 5;

/// An EFI image that was loaded: its Authenticode digest is what was extended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image<'a> {
    /// The Authenticode digest in this bank.
    pub digest: Hex<'a>,
    /// Where it was loaded from: the log's word, which no digest covers.
    pub unproven_path: Option<String>,
    /// Whether it was measured before the separator of its PCR.
    pub before_separator: bool,
}

/// A boot variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootVariable<'a> {
    /// The PCR it was measured in.
    pub pcr: u32,
    /// `BootOrder` or `Boot####`.
    pub name: String,
    /// Whether the digest covers the name.
    pub name_is: Name,
    /// The value.
    pub value: Hex<'a>,
    /// Whether it was measured before the separator of its PCR.
    pub before_separator: bool,
}

/// The end of boot services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExitBootServices {
    /// Asked for.
    pub invoked: bool,
    /// Done.
    pub succeeded: bool,
}

/// An event of PCR 2 or 4 is an image, whose digest is all that is measured, or a text. An image cannot hide behind a
/// text: what its digest is of has NULs inside.
enum Item<'a> {
    Image(Image<'a>),
    Action(&'a str),
}

fn items<'a>(view: &View<'_, '_, 'a>, pcr: u32) -> Result<Vec<Item<'a>>, Unproven> {
    let region = view.region(pcr)?;
    let items = region.all().map(|(before, item)| match item.event.kind {
        kind if is_image(kind) => Ok(Item::Image(Image {
            digest: Hex(item.event.digest(view.bank()).unwrap_or_default()),
            unproven_path: path(item.event.data).ok().flatten(),
            before_separator: before,
        })),
        EV_ACTION | EV_EFI_ACTION | EV_OMIT_BOOT_DEVICE_EVENTS => action(item).map(Item::Action),
        _ => Err(item.unknown()),
    });
    items.collect()
}

fn action<'a>(item: &Numbered<'_, 'a>) -> Result<&'a str, Unproven> {
    let data = item.covered.ok_or(item.uncovered())?;
    text::ascii(data).ok_or(item.relabelled())
}

pub(super) fn images<'a>(view: &View<'_, '_, 'a>, pcr: u32) -> Claim<Vec<Image<'a>>> {
    let images = items(view, pcr).map(|items| {
        let images = items.into_iter().filter_map(|item| match item {
            Item::Image(image) => Some(image),
            Item::Action(_) => None,
        });
        some(images.collect())
    });
    Claim::of(images)
}

pub(super) fn actions(view: &View<'_, '_, '_>) -> Claim<Vec<String>> {
    let actions = items(view, PCR_BOOT_MANAGER).map(|items| {
        let actions = items.into_iter().filter_map(|item| match item {
            Item::Action(action) => Some(action.to_owned()),
            Item::Image(_) => None,
        });
        some(actions.collect())
    });
    Claim::of(actions)
}

pub(super) fn boot_variables<'a>(view: &View<'_, '_, 'a>) -> Claim<Vec<BootVariable<'a>>> {
    let found = [PCR_CONFIG, PCR_BOOT_CONFIG]
        .into_iter()
        .map(|pcr| variables_of(view, pcr))
        .collect::<Result<Vec<_>, _>>();
    Claim::of(found.map(|lists| some(lists.concat())))
}

fn variables_of<'a>(view: &View<'_, '_, 'a>, pcr: u32) -> Result<Vec<BootVariable<'a>>, Unproven> {
    let region = view.region(pcr)?;
    let labelled = region.all().filter(|(_, item)| is_boot_variable(item));
    let variable = |(before_separator, item): (bool, &Numbered<'_, 'a>)| {
        let covered = coverage::boot_variable(view.bank(), item.event, item.covered);
        let (variable, name_is) = covered.ok_or(item.uncovered())?;
        Ok(BootVariable {
            pcr,
            name: variable.name,
            name_is,
            value: Hex(variable.value),
            before_separator,
        })
    };
    labelled.map(variable).collect()
}

fn is_boot_variable(item: &Numbered<'_, '_>) -> bool {
    matches!(
        item.event.kind,
        EV_EFI_VARIABLE_BOOT | EV_EFI_VARIABLE_BOOT2
    )
}

pub(super) fn boot_order(view: &View<'_, '_, '_>) -> Claim<Vec<u16>> {
    let first = order_of(view, PCR_CONFIG);
    let second = order_of(view, PCR_BOOT_CONFIG);
    Claim::of(first.and_then(|first| match (first, second?) {
        (Some(_), Some(_)) => Err(Unproven::Conflict { what: "BootOrder" }),
        (first, second) => Ok(first.or(second)),
    }))
}

/// The order, when every event of the PCR before the separator is covered as a whole: where firmware hashes values
/// alone, an owner can make a value that reads as another variable.
fn order_of(view: &View<'_, '_, '_>, pcr: u32) -> Result<Option<Vec<u16>>, Unproven> {
    let what = "BootOrder";
    let region = view.region(pcr)?.separated()?;
    let mut found: Option<&[u8]> = None;
    let mut untold = None;
    for item in &region.before {
        let whole = item.covered;
        let variable = whole.and_then(|data| Variable::parse(data).ok());
        let order = variable.filter(|v| v.is(GLOBAL_VARIABLE, what));
        match (order, whole) {
            (Some(_), _) if !is_boot_variable(item) => return Err(item.relabelled()),
            (Some(order), _) if found.is_some_and(|other| other != order.value) => {
                return Err(Unproven::Conflict { what });
            }
            (Some(order), _) => found = Some(order.value),
            (None, Some(_)) => {}
            (None, None) => drop(untold.get_or_insert(untold_order(view.bank(), item))),
        }
    }
    let late = region.after.iter().any(is_boot_variable);
    match (found, untold) {
        (_, Some(reason)) => Err(reason),
        // Some firmware measures boot variables behind the separator, where anybody may.
        (None, None) if late => Err(Unproven::NotFound { what, pcr }),
        (None, None) => Ok(None),
        (Some(order), None) => numbers(order).map(Some),
    }
}

fn untold_order(bank: HashAlg, item: &Numbered<'_, '_>) -> Unproven {
    match coverage::boot_variable(bank, item.event, item.covered) {
        Some(_) if is_boot_variable(item) => Unproven::NameNotCovered {
            event: item.number,
            what: "BootOrder",
        },
        _ => item.uncovered(),
    }
}

fn numbers(order: &[u8]) -> Result<Vec<u16>, Unproven> {
    let (pairs, rest) = order.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Unproven::Malformed { what: "BootOrder" });
    }
    Ok(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
}

pub(super) fn exit_boot_services(view: &View<'_, '_, '_>) -> Claim<ExitBootServices> {
    Claim::of(exit_of(view))
}

/// By what the events of PCR 5 measured, whatever their labels, which must agree.
fn exit_of(view: &View<'_, '_, '_>) -> Result<Option<ExitBootServices>, Unproven> {
    let region = view.region(PCR_BOOT_CONFIG)?;
    let mut exit = ExitBootServices {
        invoked: false,
        succeeded: false,
    };
    let mut untold = false;
    for (_, item) in region.all() {
        untold |= item.covered.is_none();
        let found = match item.covered.and_then(text::ascii) {
            Some("Exit Boot Services Invocation") => &mut exit.invoked,
            Some("Exit Boot Services Returned with Success") => &mut exit.succeeded,
            _ => continue,
        };
        if !matches!(item.event.kind, EV_ACTION | EV_EFI_ACTION) {
            return Err(item.relabelled());
        }
        *found = true;
    }
    let (what, pcr) = ("that boot services ended", PCR_BOOT_CONFIG);
    match (exit.invoked && exit.succeeded, untold) {
        (true, _) => Ok(Some(exit)),
        (false, true) => Err(Unproven::NotFound { what, pcr }),
        (false, false) if exit.invoked || exit.succeeded => Ok(Some(exit)),
        (false, false) => Ok(None),
    }
}

/// Most nodes of a device path looked at.
const NODES_MAX: usize = 64;

/// The file path in `UEFI_IMAGE_LOAD_EVENT` (section 10.2.3): a label for people.
fn path(data: &[u8]) -> Result<Option<String>, FormatError> {
    let mut r = Reader::new("UEFI_IMAGE_LOAD_EVENT", data, 1024 * 1024)?;
    r.take("location, length and link-time address", 24)?;
    let size = u64::from_le_bytes(r.array("device path length")?);
    let nodes = r.take("device path", usize::try_from(size).unwrap_or(usize::MAX))?;
    let mut r = Reader::new("device path", nodes, 1024 * 1024)?;
    for _ in 0..NODES_MAX {
        let [kind, sub_kind] = r.array("type")?;
        let size = usize::from(r.u16_le("length")?).saturating_sub(4);
        let body = r.take("node", size)?;
        match (kind, sub_kind) {
            (4, 4) => return Ok(Some(text::label(body))),
            (0x7f, _) => return Ok(None),
            _ => {}
        }
    }
    Ok(None)
}
