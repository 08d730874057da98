//! Strict standard Base64 (RFC 4648 section 4) with padding: one encoding for each byte string.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The padded Base64 text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    bytes
        .chunks(3)
        .flat_map(encode_group)
        .map(char::from)
        .collect()
}

/// The bytes of a padded Base64 text; `None` for anything [`encode`] would not have written.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for group in text.as_bytes().chunks(4) {
        let [a, b, c, d] = *group else { return None };
        let kept = match (c, d) {
            (b'=', b'=') => 1,
            (_, b'=') => 2,
            _ => 3,
        };
        let mut bits = 0u32;
        for (symbol, used) in [(a, true), (b, true), (c, kept > 1), (d, kept > 2)] {
            bits = (bits << 6) | if used { value(symbol)? } else { 0 };
        }
        out.extend(bits.to_be_bytes().into_iter().skip(1).take(kept));
    }
    // Also refuses padding inside the text and bits set behind the last byte.
    (encode(&out) == text).then_some(out)
}

fn encode_group(group: &[u8]) -> [u8; 4] {
    let byte = |at: usize| group.get(at).copied().map_or(0, u32::from);
    let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
    let symbol = |shift: u8, used: bool| {
        let index = bits.wrapping_shr(u32::from(shift)) & 63;
        if used {
            ALPHABET.get(index as usize).copied().unwrap_or(b'=')
        } else {
            b'='
        }
    };
    [
        symbol(18, true),
        symbol(12, true),
        symbol(6, group.len() > 1),
        symbol(0, group.len() > 2),
    ]
}

fn value(symbol: u8) -> Option<u32> {
    ALPHABET
        .iter()
        .position(|known| *known == symbol)
        .and_then(|at| u32::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_4648_section_10() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z g=", "Zm9v\n", "Z===", "====", "Zm-_",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}
