//! PCR 7: Secure Boot's state and keys (PC Client Platform Firmware Profile 1.05, section 3.3.4.8), and what vouched
//! for the images that were started.

use super::region::{Numbered, View};
use super::{Claim, Hex, Unproven};
use crate::eventlog::signature_list::{self, Database};
use crate::eventlog::variable::{
    GLOBAL_VARIABLE, Guid, IMAGE_SECURITY_DATABASE, SHIM_LOCK, Variable,
};
use crate::eventlog::{
    EV_ACTION, EV_EFI_ACTION, EV_EFI_VARIABLE_AUTHORITY, EV_EFI_VARIABLE_DRIVER_CONFIG, coverage,
    text,
};
use crate::tpm::algorithm::HashAlg;
use serde::Serialize;

const PCR: u32 = 7;

/// The state of Secure Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBoot {
    /// The variable was 1.
    Enabled,
    /// The variable was 0.
    Disabled,
    /// The firmware has no such variable: it measured an empty value.
    NoVariable,
}

/// A variable all of which its digest covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeasuredVariable<'a> {
    /// Namespace.
    pub guid: Guid,
    /// Name.
    pub name: String,
    /// Value.
    #[serde(serialize_with = "digest")]
    pub value: &'a [u8],
    /// Whether firmware measured it before it looked for something to boot.
    pub before_separator: bool,
}

impl<'a> MeasuredVariable<'a> {
    /// The certificate in DER, when the value is one: bare (shim), or behind its owner's GUID (`EFI_SIGNATURE_DATA`).
    pub fn certificate(&self) -> Option<&'a [u8]> {
        let der = |bytes: &&'a [u8]| bytes.starts_with(&[0x30, 0x82]);
        let bare = Some(self.value).filter(der);
        bare.or_else(|| self.value.get(16..).filter(der))
    }
}

/// A value may be long and is not for reading: its SHA-256.
fn digest<S: serde::Serializer>(value: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let digest = crate::eventlog::hash::digest(HashAlg::Sha256, value);
    Hex(digest.as_ref()).serialize(serializer)
}

/// What an event of PCR 7 is, by the bytes its digest covers.
enum Item<'a> {
    Variable { kind: u32, variable: Variable<'a> },
    Action(&'a str),
}

/// PCR 7, read.
pub(super) struct Configuration<'a> {
    before: Result<Vec<Item<'a>>, Unproven>,
    after: Vec<Result<Item<'a>, Unproven>>,
}

impl<'a> Configuration<'a> {
    pub(super) fn read(view: &View<'_, '_, 'a>) -> Self {
        let bank = view.bank();
        let region = match view.region(PCR).and_then(|region| region.separated()) {
            Ok(region) => region,
            Err(reason) => {
                return Self {
                    before: Err(reason),
                    after: Vec::new(),
                };
            }
        };
        let before = region.before.iter().map(|item| classify(bank, item));
        let before = before.collect::<Result<Vec<_>, _>>();
        let before = before.and_then(|items| in_order(items, &region.before));
        let after = region.after.iter().map(|item| classify(bank, item));
        Self {
            before,
            after: after.collect(),
        }
    }

    pub(super) fn secure_boot(&self) -> Claim<SecureBoot> {
        let state = self.value(GLOBAL_VARIABLE, "SecureBoot").and_then(|value| {
            Ok(match value {
                None => None,
                Some([]) => Some(SecureBoot::NoVariable),
                Some([0]) => Some(SecureBoot::Disabled),
                Some([1]) => Some(SecureBoot::Enabled),
                Some(_) => return Err(Unproven::Malformed { what: "SecureBoot" }),
            })
        });
        Claim::of(state)
    }

    pub(super) fn database(&self, what: &'static str) -> Claim<Database<'a>> {
        let guid = namespace(what);
        let database = self.value(guid, what).and_then(|value| {
            let entries = value.map(signature_list::parse).transpose();
            entries.map_err(|_| Unproven::Malformed { what })
        });
        Claim::of(database.map(|entries| entries.map(Database)))
    }

    /// Every variable of PCR 7 that is not one of the configuration's own.
    pub(super) fn authorities(&self) -> Claim<Vec<MeasuredVariable<'a>>> {
        let found = self.all().map(|items| {
            let variables = items.filter_map(|(before, item)| match item {
                Item::Variable { kind, variable } if !(before && is_config(*kind, variable)) => {
                    Some(MeasuredVariable {
                        guid: variable.guid,
                        name: variable.name.clone(),
                        value: variable.value,
                        before_separator: before,
                    })
                }
                Item::Variable { .. } | Item::Action(_) => None,
            });
            some(variables.collect())
        });
        Claim::of(found)
    }

    pub(super) fn sbat_level(&self) -> Claim<String> {
        let what = "SbatLevel";
        let level = self.all().and_then(|items| {
            let values = items.filter_map(|(_, item)| match item {
                Item::Variable { variable, .. } if variable.is(SHIM_LOCK, what) => {
                    Some(variable.value)
                }
                Item::Variable { .. } | Item::Action(_) => None,
            });
            let value = single(values, what)?;
            let level = value.map(|value| text::ascii(value).map(|level| level.trim().to_owned()));
            match level {
                Some(None) => Err(Unproven::Malformed { what }),
                Some(level) => Ok(level),
                None => Ok(None),
            }
        });
        Claim::of(level)
    }

    pub(super) fn actions(&self) -> Claim<Vec<String>> {
        let found = self.all().map(|items| {
            let actions = items.filter_map(|(_, item)| match item {
                Item::Action(action) => Some((*action).to_owned()),
                Item::Variable { .. } => None,
            });
            some(actions.collect())
        });
        Claim::of(found)
    }

    /// The one value a configuration variable had before the separator, which nothing behind it contradicts.
    fn value(&self, guid: Guid, name: &'static str) -> Result<Option<&'a [u8]>, Unproven> {
        let before = self.before.as_ref().map_err(Unproven::clone)?;
        let named = |item: &Item<'a>| match item {
            Item::Variable { kind, variable } => {
                (variable.is(guid, name) && is_config(*kind, variable)).then_some(variable.value)
            }
            Item::Action(_) => None,
        };
        let value = single(before.iter().filter_map(named), name)?;
        let later = self.after.iter().flatten().filter_map(named);
        single(value.into_iter().chain(later), name)?;
        Ok(value)
    }

    /// All of PCR 7, when all of it can be told.
    fn all(&self) -> Result<impl Iterator<Item = (bool, &Item<'a>)>, Unproven> {
        let before = self.before.as_ref().map_err(Unproven::clone)?;
        let after = self.after.iter().map(|item| item.as_ref());
        let after = after
            .collect::<Result<Vec<_>, _>>()
            .map_err(Unproven::clone)?;
        let before = before.iter().map(|item| (true, item));
        Ok(before.chain(after.into_iter().map(|item| (false, item))))
    }
}

/// What an event measured, by the bytes its digest covers; the label must agree.
fn classify<'a>(bank: HashAlg, item: &Numbered<'_, 'a>) -> Result<Item<'a>, Unproven> {
    let (event, kind) = (item.event, item.event.kind);
    if let Some(variable) = coverage::variable(bank, event, item.covered) {
        let labelled = match kind {
            EV_EFI_VARIABLE_DRIVER_CONFIG => true,
            EV_EFI_VARIABLE_AUTHORITY => may_vouch(&variable),
            _ => false,
        };
        return match labelled {
            true => Ok(Item::Variable { kind, variable }),
            false => Err(item.relabelled()),
        };
    }
    let Some(data) = item.covered else {
        return Err(item.uncovered());
    };
    match (text::ascii(data), kind) {
        (Some(action), EV_EFI_ACTION | EV_ACTION) => Ok(Item::Action(action)),
        (Some(_), _) => Err(item.relabelled()),
        (None, _) => Err(item.unknown()),
    }
}

/// Firmware measures its configuration first and what vouches for drivers after it: a configuration variable behind
/// an authority is an authority relabelled.
fn in_order<'a>(
    items: Vec<Item<'a>>,
    events: &[Numbered<'_, 'a>],
) -> Result<Vec<Item<'a>>, Unproven> {
    let mut authority = false;
    for (item, event) in items.iter().zip(events) {
        match item {
            Item::Variable { kind, variable } if is_config(*kind, variable) && authority => {
                return Err(event.relabelled());
            }
            Item::Variable { kind, .. } => authority |= *kind == EV_EFI_VARIABLE_AUTHORITY,
            Item::Action(_) => {}
        }
    }
    Ok(items)
}

const CONFIGURATION: [&str; 7] = ["SecureBoot", "PK", "KEK", "db", "dbx", "dbt", "dbr"];

/// An image is vouched for by an entry of db, which is measured under the name of db, or by something of shim's; the
/// rest of the configuration vouches for nothing.
fn may_vouch(variable: &Variable<'_>) -> bool {
    !is_configuration(variable) || variable.name == "db"
}

fn is_configuration(variable: &Variable<'_>) -> bool {
    let is = |name: &str| variable.is(namespace(name), name);
    CONFIGURATION.iter().any(|name| is(name))
}

fn is_config(kind: u32, variable: &Variable<'_>) -> bool {
    kind == EV_EFI_VARIABLE_DRIVER_CONFIG && is_configuration(variable)
}

fn namespace(name: &str) -> Guid {
    match name {
        "db" | "dbx" | "dbt" | "dbr" => IMAGE_SECURITY_DATABASE,
        _ => GLOBAL_VARIABLE,
    }
}

/// The one value among equal ones.
fn single<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    what: &'static str,
) -> Result<Option<&'a [u8]>, Unproven> {
    let first = values.next();
    match values.all(|other| Some(other) == first) {
        true => Ok(first),
        false => Err(Unproven::Conflict { what }),
    }
}

/// A list that has something in it.
pub(super) fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
