//! The kernel's command line, which is a section of the unified kernel image and so measured.

use crate::error::Failure;

const ROOT_HASH: &str = "roothash=";
const DIGITS: usize = 64;

/// The root file system's hash; exactly one is named, since nobody could say which of two counts.
pub fn root_hash(line: &str) -> Result<String, Failure> {
    let named: Vec<&str> = line
        .split_whitespace()
        .filter_map(|word| word.strip_prefix(ROOT_HASH))
        .collect();
    match named.as_slice() {
        [hash] if is_hash(hash) => Ok((*hash).to_owned()),
        _ => Err(Failure::RootHash(format!("{named:?}"))),
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_hash_of_64_digits_is_taken() {
        let hash = "0a".repeat(32);
        let found = root_hash(&format!("quiet roothash={hash} ro\n")).unwrap();
        assert_eq!(found, hash);
    }

    #[test]
    fn none_two_and_malformed_ones_are_refused() {
        let hash = "0a".repeat(32);
        for line in [
            "quiet ro".to_owned(),
            format!("roothash={hash} roothash={hash}"),
            format!("roothash={}", &hash[1..]),
            format!("roothash={}g", &hash[1..]),
            format!("xroothash={hash}"),
        ] {
            let error = root_hash(&line).unwrap_err().to_string();
            assert!(error.contains("expected one roothash="), "{line}: {error}");
        }
    }
}
