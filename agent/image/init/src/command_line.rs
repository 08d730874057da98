//! The kernel's command line, which is measured: in the flashable image as a section of the unified kernel image, in a
//! probe guest by the hash that its firmware checks.

use crate::error::Failure;

const ROLE: &str = "assay.role=";
const PROBE_GUEST: &str = "probe-guest";
const ROOT_HASH: &str = "roothash=";
const DIGITS: usize = 64;

/// What this machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A server with the flashable image.
    Server,
    /// A probe guest.
    ProbeGuest,
}

/// The role that is named, a server's where none is.
pub fn role(line: &str) -> Result<Role, Failure> {
    match values(line, ROLE).as_slice() {
        [] => Ok(Role::Server),
        [PROBE_GUEST] => Ok(Role::ProbeGuest),
        others => Err(Failure::Role(format!("{others:?}"))),
    }
}

/// The root file system's hash; exactly one is named, since nobody could say which of two counts.
pub fn root_hash(line: &str) -> Result<String, Failure> {
    match values(line, ROOT_HASH).as_slice() {
        [hash] if is_hash(hash) => Ok((*hash).to_owned()),
        others => Err(Failure::RootHash(format!("{others:?}"))),
    }
}

/// What follows `key` in each word that begins with it.
fn values<'a>(line: &'a str, key: &str) -> Vec<&'a str> {
    let words = line.split_whitespace();
    words.filter_map(|word| word.strip_prefix(key)).collect()
}

fn is_hash(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_once_or_a_server_s() {
        assert_eq!(role("quiet ro").unwrap(), Role::Server);
        // Firmware adds words behind those of the command line.
        let line = "assay.role=probe-guest quiet initrd=initrd\n";
        assert_eq!(role(line).unwrap(), Role::ProbeGuest);
        for line in [
            "assay.role=",
            "assay.role=server",
            "assay.role=probe-guest assay.role=probe-guest",
        ] {
            let error = role(line).unwrap_err().to_string();
            assert!(
                error.contains("expected assay.role=probe-guest, once"),
                "{line}: {error}"
            );
        }
    }

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
