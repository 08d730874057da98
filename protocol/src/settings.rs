//! Strict TOML whose errors say what is wrong and where, and repeat no value: any may be a credential.

use serde::de::DeserializeOwned;
use std::fmt;

/// A file that is not as expected: the key, when its line names one, what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    place: Option<(usize, usize)>,
    key: Option<String>,
    why: String,
}

impl std::error::Error for Misread {}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.why)
    }
}

/// Reads TOML.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, Misread> {
    toml::from_str(text).map_err(|error| misread(text, &error))
}

fn misread(text: &str, error: &toml::de::Error) -> Misread {
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map(|before| {
        let line = before.lines().count().max(1);
        let at_start = before.is_empty() || before.ends_with('\n');
        let last = before.rsplit('\n').next().unwrap_or_default();
        let above = usize::from(at_start && !before.is_empty());
        (
            line.saturating_add(above),
            last.chars().count().saturating_add(1),
        )
    });
    // What is no TOML at all may be a password.
    let is_toml = text.parse::<toml::Table>().is_ok();
    let line = place.filter(|_| is_toml).and_then(|(line, _)| {
        let above = line.saturating_sub(1);
        text.lines().nth(above)
    });
    Misread {
        place,
        key: line.and_then(key_of),
        why: without_values(error.message()),
    }
}

/// The bare key that a line gives a value.
fn key_of(line: &str) -> Option<String> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!key.is_empty() && key.chars().all(is_bare)).then(|| key.to_owned())
}

/// A message of serde's without the value that it complains about.
pub fn without_values(message: &str) -> String {
    let told = ["invalid type", "invalid value", "unknown variant"];
    if told.iter().any(|start| message.starts_with(start)) {
        return cut(message, message.find(['`', '"']), ", expected");
    }
    cut(message, message.find(", got "), " at line ")
}

/// A message without what is from a place up to the last of some text.
fn cut(message: &str, from: Option<usize>, last: &str) -> String {
    let to = message.rfind(last).unwrap_or(message.len());
    let head = from
        .filter(|from| *from < to)
        .and_then(|from| message.get(..from));
    match (head, message.get(to..)) {
        (Some(head), Some(tail)) => format!("{}{tail}", head.trim_end()),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Address;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "what does not read is looked at")]
    struct File {
        name: String,
        port: u16,
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
    }

    #[test]
    fn errors_name_key_and_place_and_no_value() {
        let good = "name = \"n\"\nport = 1\nkind = \"one\"\n";
        from_toml::<File>(good).unwrap();
        for (from, to, expected) in [
            (
                "\"n\"",
                "4815",
                "line 1, column 8: name: invalid type: integer, expected a string",
            ),
            (
                "1",
                "\"x SECRET, expected y\"",
                "line 2, column 8: port: invalid type: string, expected u16",
            ),
            (
                "1",
                "99999",
                "line 2, column 8: port: invalid value: integer, expected u16",
            ),
            (
                "one",
                "SECRET",
                "line 3, column 8: kind: unknown variant, expected `one`",
            ),
            ("\"n\"", "\"SECRET", "line 1, column "),
            ("name = ", "SECRET ", "line 1, column "),
            ("port", "prot", "unknown field `prot`"),
            ("port = 1\n", "", "missing field `port`"),
        ] {
            let said = from_toml::<File>(&good.replacen(from, to, 1)).unwrap_err();
            let said = said.to_string();
            assert!(said.contains(expected), "{to}: {said}");
            assert!(!said.contains("SECRET") && !said.contains("4815"), "{said}");
        }
    }

    #[test]
    fn json_s_messages_lose_their_values_and_keep_their_place() {
        let (id, byte) = (said::<[Address; 1]>, said::<[u8; 1]>);
        for (said, expected) in [
            (byte("4815"), "invalid value: integer, expected u8"),
            (byte("\"4815\""), "invalid type: string, expected u8"),
            (id("\"4815\""), "Address: expected 20 bytes as hexadecimal"),
        ] {
            assert!(said.starts_with(&format!("{expected} at line 1")), "{said}");
        }
    }

    fn said<T: DeserializeOwned>(text: &str) -> String {
        let error = serde_json::from_str::<T>(&format!("[{text}]"));
        without_values(&error.err().unwrap().to_string())
    }
}
