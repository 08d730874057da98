//! Names, as far as anything is read from them: attributes of the subject, for people and for AMD's
//! product names. Names are compared byte for byte, never by their attributes.

use crate::crypto::der::{self, Der, DerError};

/// Common name.
pub const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// X.520 serialNumber of a device.
pub const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
/// Longest text made of a name, characters.
const TEXT_MAX: usize = 256;

/// Object identifier and content of the value.
pub type Attribute<'a> = (&'a [u8], &'a [u8]);

/// The attribute types that [`text`] shows by name.
const SHOWN: [(u8, &str); 8] = [
    (3, "CN"),
    (5, "serialNumber"),
    (6, "C"),
    (7, "L"),
    (8, "ST"),
    (10, "O"),
    (11, "OU"),
    (12, "T"),
];

/// The first value of an attribute of a name (its whole DER element), when it is there and is text.
pub fn attribute(name: &[u8], oid: &[u8]) -> Result<Option<String>, DerError> {
    let mut found = None;
    each(name, |(kind, value)| {
        if kind == oid {
            found.get_or_insert(value);
        }
    })?;
    Ok(found.map(|value| String::from_utf8_lossy(value).into_owned()))
}

/// All attributes of a name (its whole DER element) in their order.
pub fn attributes(name: &[u8]) -> Result<Vec<Attribute<'_>>, DerError> {
    let mut found = Vec::new();
    each(name, |attribute| found.push(attribute))?;
    Ok(found)
}

/// Every attribute of a name, which is read to its end.
fn each<'a>(name: &'a [u8], mut see: impl FnMut(Attribute<'a>)) -> Result<(), DerError> {
    let mut outer = Der::new(name);
    let mut sets = outer.enter("name", der::SEQUENCE)?;
    outer.finish("name")?;
    while !sets.is_empty() {
        let mut set = sets.enter("relative name", der::SET)?;
        while !set.is_empty() {
            let mut pair = set.enter("attribute", der::SEQUENCE)?;
            let kind = pair.oid("attribute type")?;
            let value = pair.any("attribute value")?;
            pair.finish("attribute")?;
            see((kind, value.content));
        }
    }
    Ok(())
}

/// A name for people: `CN=…, O=…`. Control characters are replaced, and it is cut at 256 characters.
pub fn text(name: &[u8]) -> String {
    let Ok(list) = attributes(name) else {
        return "a name that does not parse".into();
    };
    if list.is_empty() {
        return "the empty name".into();
    }
    let parts: Vec<String> = list
        .into_iter()
        .map(|(kind, value)| part(kind, value))
        .collect();
    clean(parts.join(", ").as_bytes())
}

/// Foreign text for people: control characters are replaced, and it is cut at 256 characters.
pub fn clean(bytes: &[u8]) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(shown).take(TEXT_MAX).collect()
}

fn part(kind: &[u8], value: &[u8]) -> String {
    let known = SHOWN.iter().find(|(last, _)| kind == [0x55, 4, *last]);
    let value = String::from_utf8_lossy(value);
    match known {
        Some((_, label)) => format!("{label}={value}"),
        None => format!("{}={value}", der::dotted(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{name, tlv};
    use super::*;

    #[test]
    fn names_are_shown_without_control_characters_and_cut() {
        assert_eq!(text(&name("Root")), "CN=Root");
        assert_eq!(text(&name("a\n\u{1b}[2J")), "CN=a\u{fffd}\u{fffd}[2J");
        assert_eq!(text(&name(&"x".repeat(900))).chars().count(), TEXT_MAX);
        assert_eq!(text(&[0x30, 0]), "the empty name");
        assert_eq!(text(&[0x30, 1]), "a name that does not parse");
        let other = tlv(0x30, &[&tlv(6, &[&[0x67, 1]]), &tlv(12, &[b"v"])]);
        let other = tlv(0x30, &[&tlv(0x31, &[&other])]);
        assert_eq!(text(&other), "2.23.1=v");
    }

    #[test]
    fn an_attribute_is_found_by_its_type() {
        let name = name("Root");
        assert_eq!(attribute(&name, COMMON_NAME), Ok(Some("Root".into())));
        assert_eq!(attribute(&name, SERIAL_NUMBER), Ok(None));
        assert!(attribute(&[name.as_slice(), &[0]].concat(), COMMON_NAME).is_err());
    }
}
