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
