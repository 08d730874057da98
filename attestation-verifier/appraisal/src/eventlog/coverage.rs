//! How far the digest of an event covers its data: the forms that real firmware and boot loaders use, each proven by
//! hashing, and the events whose data should be covered and is not.
//!
//! Checked on 60 logs of real machines: the event types of [`uncovered_events`] are without exception covered there
//! in one of these forms. Not so `EV_S_CRTM_VERSION` (Dell hashes something else), `EV_NONHOST_INFO`,
//! `EV_PLATFORM_CONFIG_FLAGS` and `EV_IPL`: their data is never taken for proof, and never held against a log.

use super::variable::Variable;
use super::{
    EV_ACTION, EV_EFI_ACTION, EV_EFI_GPT_EVENT, EV_EFI_VARIABLE_AUTHORITY, EV_EFI_VARIABLE_BOOT,
    EV_EFI_VARIABLE_BOOT2, EV_EFI_VARIABLE_DRIVER_CONFIG, EV_SEPARATOR, Event, EventLog,
};
use crate::tpm::algorithm::HashAlg;

/// What an error separator measures.
pub(super) const SEPARATOR_ERROR: [u8; 4] = [1, 0, 0, 0];

/// The size that shim before 15.4 measured and logged for a variable is that of a C structure with padding: the
/// digest covers five zero bytes behind the value, and the log shows one more byte that nothing covers.
const SHIM_PADDING: [u8; 5] = [0; 5];

/// An event whose type must be a hash of its data, and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncovered {
    /// Index of the event in the file, from 0.
    pub event: usize,
    /// Its PCR.
    pub pcr: u32,
    /// Its type.
    pub kind: u32,
}

/// The events of types that must be hashes of their data, but in `bank` are not (or have no digest in it).
///
/// A log with such an event was edited: whoever reads the data would be fooled though the replay agrees. The bank
/// should be one that every event carries.
pub fn uncovered_events(log: &EventLog<'_>, bank: HashAlg) -> Vec<Uncovered> {
    let bad = |(_, event): &(usize, &Event<'_>)| event.extends() && !consistent(bank, event);
    log.events
        .iter()
        .enumerate()
        .filter(bad)
        .map(|(position, event)| Uncovered {
            event: log.number(position),
            pcr: event.pcr,
            kind: event.kind,
        })
        .collect()
}

/// Whether an event has the digest that its type promises; types that promise nothing always have.
fn consistent(bank: HashAlg, event: &Event<'_>) -> bool {
    let covered = || event.covered_data(bank).is_some();
    match event.kind {
        EV_EFI_VARIABLE_DRIVER_CONFIG | EV_EFI_ACTION | EV_ACTION | EV_EFI_GPT_EVENT => covered(),
        EV_SEPARATOR => covered() || event.measures(bank, &SEPARATOR_ERROR),
        EV_EFI_VARIABLE_AUTHORITY => covered() || padded_variable(bank, event).is_some(),
        EV_EFI_VARIABLE_BOOT | EV_EFI_VARIABLE_BOOT2 => {
            covered() || variable_value(bank, event).is_some()
        }
        _ => true,
    }
}

/// A variable all of which the digest covers: namespace, name and value.
///
/// `covered` is [`Event::covered_data`], which is not computed twice.
pub(super) fn variable<'a>(
    bank: HashAlg,
    event: &Event<'a>,
    covered: Option<&'a [u8]>,
) -> Option<Variable<'a>> {
    match covered {
        Some(data) => Variable::parse(data).ok(),
        None => padded_variable(bank, event),
    }
}

fn padded_variable<'a>(bank: HashAlg, event: &Event<'a>) -> Option<Variable<'a>> {
    let (_, measured) = event.data.split_last()?;
    let (variable, rest) = Variable::parse_prefix(measured).ok()?;
    (rest == SHIM_PADDING && event.measures(bank, measured)).then_some(variable)
}

/// A boot variable, and whether the digest covers its name too.
///
/// Most firmware hashes the value alone (section 10.4.1 left it open before `EV_EFI_VARIABLE_BOOT2`): then the name is
/// a label.
pub(super) fn boot_variable<'a>(
    bank: HashAlg,
    event: &Event<'a>,
    covered: Option<&'a [u8]>,
) -> Option<(Variable<'a>, Name)> {
    match covered {
        Some(data) => Some((Variable::parse(data).ok()?, Name::Covered)),
        None => Some((variable_value(bank, event)?, Name::Label)),
    }
}

fn variable_value<'a>(bank: HashAlg, event: &Event<'a>) -> Option<Variable<'a>> {
    let (variable, _) = Variable::parse_prefix(event.data).ok()?;
    event.measures(bank, variable.value).then_some(variable)
}

/// Whether a digest covers a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// It does.
    Covered,
    /// The name is the log's word only.
    Label,
}

/// GRUB's prefixes: shown in the data, not hashed. With a colon upstream, with a blank in RHEL 8.
const PREFIXES: [&[u8]; 6] = [
    b"grub_cmd: ",
    b"kernel_cmdline: ",
    b"module_cmdline: ",
    b"grub_cmd ",
    b"grub_kernel_cmdline ",
    b"grub_module_cmdline ",
];

/// What a boot loader measured of a string: the prefix, which is a label, and the bytes that the digest covers.
pub(super) fn loader_string<'a>(bank: HashAlg, event: &Event<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let prefix = PREFIXES.iter().find(|p| event.data.starts_with(p));
    let (prefix, body) = event.data.split_at_checked(prefix.map_or(0, |p| p.len()))?;
    let string = body.strip_suffix(&[0]).unwrap_or(body);
    // With or without the NUL, which the log shows; or with one that the log does not show (systemd-boot before 250).
    let covered = event.measures(bank, body)
        || event.measures(bank, string)
        || event.measures(bank, &[body, &[0]].concat());
    covered.then_some((prefix, string))
}

/// The sections of a unified kernel image that systemd-stub measures (`systemd-stub(7)`).
const SECTIONS: [&str; 15] = [
    ".profile", ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".dtbauto",
    ".hwids", ".uname", ".sbat", ".pcrpkey", ".efifw", ".dtbo",
];

/// The events of PCR 11, when they are what systemd-stub leaves and nothing else: pairs of a digest of the name of a
/// known section, with its NUL, and the digest of its content.
///
/// The place in the sequence tells a name from a content, so no content can pass for a name.
pub(super) fn sections<'a>(
    bank: HashAlg,
    events: &[&Event<'a>],
) -> Option<Vec<(&'static str, &'a [u8])>> {
    let (pairs, rest) = events.as_chunks::<2>();
    if !rest.is_empty() || pairs.is_empty() {
        return None;
    }
    let pair = |[name, content]: &[&Event<'a>; 2]| {
        let labels = [name.kind, content.kind];
        let name = section_name(bank, name).filter(|_| labels == [super::EV_IPL; 2])?;
        Some((name, content.digest(bank)?))
    };
    pairs.iter().map(pair).collect()
}

/// The label (ASCII or, in older versions, UTF-16) says which name to try; the digest decides.
fn section_name(bank: HashAlg, event: &Event<'_>) -> Option<&'static str> {
    let label = super::text::label(event.data);
    let name = SECTIONS.into_iter().find(|name| *name == label)?;
    let measured = [name.as_bytes(), &[0]].concat();
    event.measures(bank, &measured).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventlog::tests::LogBuilder;
    use crate::eventlog::variable::GLOBAL_VARIABLE;
    use crate::eventlog::{EV_IPL, EV_NO_ACTION, EV_S_CRTM_VERSION, parse};

    const BANK: HashAlg = HashAlg::Sha256;

    fn uncovered(log: LogBuilder) -> Vec<(usize, u32, u32)> {
        let log = log.0;
        let found = uncovered_events(&parse(&log).unwrap(), BANK);
        found.iter().map(|u| (u.event, u.pcr, u.kind)).collect()
    }

    fn boot_order() -> Vec<u8> {
        let mut data = GLOBAL_VARIABLE.0.to_vec();
        data.extend([
            1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'B', 0, 7, 9,
        ]);
        data
    }

    #[test]
    fn types_that_are_hashes_of_their_data_are_held_to_it() {
        for kind in [
            EV_EFI_VARIABLE_DRIVER_CONFIG,
            EV_EFI_ACTION,
            EV_ACTION,
            EV_EFI_GPT_EVENT,
            EV_SEPARATOR,
            EV_EFI_VARIABLE_AUTHORITY,
            EV_EFI_VARIABLE_BOOT,
            EV_EFI_VARIABLE_BOOT2,
        ] {
            assert_eq!(uncovered(LogBuilder::new().event(4, kind, b"data")), []);
            let forged = LogBuilder::new()
                .event(4, EV_ACTION, b"x")
                .measured(4, kind, b"data", b"forged");
            assert_eq!(uncovered(forged), [(2, 4, kind)], "{kind:#x}");
        }
        for kind in [EV_IPL, EV_S_CRTM_VERSION, EV_NO_ACTION, 0x8000_0003] {
            assert_eq!(
                uncovered(LogBuilder::new().measured(4, kind, b"a", b"b")),
                []
            );
        }
    }

    #[test]
    fn the_other_forms_of_real_firmware_are_covered_too() {
        let error = LogBuilder::new().measured(4, EV_SEPARATOR, &SEPARATOR_ERROR, b"why");
        assert_eq!(uncovered(error), []);
        let other = LogBuilder::new().measured(4, EV_ACTION, &SEPARATOR_ERROR, b"why");
        assert_eq!(uncovered(other).len(), 1);
        let order = boot_order();
        let value =
            |data: &[u8]| LogBuilder::new().measured(1, EV_EFI_VARIABLE_BOOT, &[7, 9], data);
        assert_eq!(uncovered(value(&order)), []);
        // Some firmware logs more than the structure.
        assert_eq!(uncovered(value(&[&order[..], &[0; 3]].concat())), []);
        let mut forged = order.clone();
        *forged.last_mut().unwrap() = 8;
        assert_eq!(uncovered(value(&forged)).len(), 1);
        let padded = [&order[..], &SHIM_PADDING].concat();
        let logged = [&padded[..], &[0xaf]].concat();
        let shim = |kind| LogBuilder::new().measured(7, kind, &padded, &logged);
        assert_eq!(uncovered(shim(EV_EFI_VARIABLE_AUTHORITY)), []);
        assert_eq!(uncovered(shim(EV_EFI_VARIABLE_DRIVER_CONFIG)).len(), 1);
    }

    #[test]
    fn an_event_without_a_digest_of_the_bank_is_not_covered() {
        let log = LogBuilder::with_algorithms(&[(4, 20), (0xb, 32)]);
        let digest = HashAlg::Sha1.digest(&[b"x"]);
        let log = log.digests(4, EV_EFI_ACTION, &[(4, &digest)], b"x");
        assert_eq!(uncovered(log), [(1, 4, EV_EFI_ACTION)]);
    }
}
