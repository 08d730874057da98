//! Text in event data. What passes here has no NUL before its end, so it cannot be a PE image, a device path or a
//! UEFI variable read as text: the kinds of content stay apart whatever the label says.

use core::fmt::Write as _;

/// Printable ASCII, with or without one NUL at the end.
pub(super) fn ascii(data: &[u8]) -> Option<&str> {
    let body = data.strip_suffix(&[0]).unwrap_or(data);
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    if body.is_empty() || !body.iter().all(printable) {
        return None;
    }
    core::str::from_utf8(body).ok()
}

/// UTF-16LE of printable characters; `terminated` says whether a NUL must be there, or must not.
pub(super) fn utf16(data: &[u8], terminated: bool) -> Option<String> {
    let body = match terminated {
        true => data.strip_suffix(&[0, 0])?,
        false => data,
    };
    if body.is_empty() || !body.len().is_multiple_of(2) {
        return None;
    }
    let units = body.chunks_exact(2).map(|pair| match pair {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.ok().filter(|text| {
        !text
            .chars()
            .any(|c| c.is_control() && !"\t\n\r".contains(c))
    })
}

/// A label for people: ASCII or UTF-16 up to the first NUL, everything else escaped; at most 128 characters.
pub(super) fn label(data: &[u8]) -> String {
    if let Some(text) = utf16(data, true).filter(|text| text.is_ascii()) {
        return text.chars().take(128).collect();
    }
    let mut out = String::new();
    for byte in data.iter().take_while(|byte| **byte != 0).take(128) {
        match byte {
            b' '..=b'~' => out.push(char::from(*byte)),
            other => drop(write!(out, "\\x{other:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_no_nul_before_its_end() {
        assert_eq!(ascii(b"action"), Some("action"));
        assert_eq!(ascii(b"action\0"), Some("action"));
        assert_eq!(ascii(b"a b\t~\r\n"), Some("a b\t~\r\n"));
        for other in [
            &b""[..],
            b"\0",
            b"a\0b",
            b"a\0\0",
            b"\x1f",
            b"\x7f",
            b"\xc3\xa9",
        ] {
            assert_eq!(ascii(other), None, "{other:?}");
        }
    }

    #[test]
    fn utf16_ends_as_it_must() {
        assert_eq!(utf16(b"a\0b\0\0\0", true).as_deref(), Some("ab"));
        assert_eq!(utf16(b"a\0b\0", false).as_deref(), Some("ab"));
        assert_eq!(utf16(b"a\0\n\0", false).as_deref(), Some("a\n"));
        for (data, terminated) in [
            (&b"a\0b\0"[..], true),
            (b"a\0b\0\0\0", false),
            (b"a\0b", false),
            (b"a\0\0\0b\0\0\0", true),
            (b"\0\0", true),
            (b"", false),
            (b"\x01\0", false),
            (b"\x00\xd8", false),
        ] {
            assert_eq!(utf16(data, terminated), None, "{data:?}");
        }
    }

    #[test]
    fn labels_are_short_and_escaped() {
        assert_eq!(label(b"MokList\0\xaf"), "MokList");
        assert_eq!(label(b".\0l\0\0\0"), ".l");
        assert_eq!(label(b"a\x1bb"), "a\\x1bb");
        assert_eq!(label(&[b'a'; 200]).len(), 128);
        assert_eq!(label(&b"a\0".repeat(200)), "a");
        let long = [b"a\0".repeat(200), vec![0, 0]].concat();
        assert_eq!(label(&long).len(), 128);
    }
}
