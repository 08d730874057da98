//! With which code the program ends: 2 for what the one who typed it can repair without asking anybody, else 1.

use assay_bridge::config::ConfigError;
use assay_bridge::store::StoreError;
use assay_ledger::{ChainError, KeyError};
use assay_transport::identity::IdentityError;
use std::error::Error;
use std::io::{self, ErrorKind};

/// The code of an error, by its causes.
pub fn code(error: &anyhow::Error) -> u8 {
    let is_configuration = |cause: &(dyn Error + 'static)| {
        cause.is::<ConfigError>() || is_place(cause) || is_named(cause)
    };
    match error.chain().any(is_configuration) {
        true => 2,
        false => 1,
    }
}

/// A file or folder that is missing, closed to us, taken or no text. A full or broken disk is none of these.
fn is_place(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(|error: &io::Error| {
        matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::AlreadyExists
                | ErrorKind::IsADirectory
                | ErrorKind::NotADirectory
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::InvalidFilename
                | ErrorKind::InvalidInput
                | ErrorKind::InvalidData
        )
    })
}

/// A key, a state, a chain's file or a server that is another one than was meant, or cannot be one.
fn is_named(cause: &(dyn Error + 'static)) -> bool {
    let is_key = matches!(
        cause.downcast_ref(),
        Some(
            KeyError::TooOpen { .. }
                | KeyError::Malformed { .. }
                | KeyError::Keystore { .. }
                | KeyError::BadSigner(_)
        )
    );
    let is_identity = matches!(
        cause.downcast_ref(),
        Some(IdentityError::Permissions { .. } | IdentityError::Malformed { .. })
    );
    let is_state = matches!(cause.downcast_ref(), Some(StoreError::Other { .. }));
    let is_chain = matches!(
        cause.downcast_ref(),
        Some(ChainError::BadNode { .. } | ChainError::NoChain(_) | ChainError::OtherChain { .. })
    );
    is_key || is_identity || is_state || is_chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_path_that_is_wrong_is_configuration_and_a_disk_that_fails_is_not() {
        for (kind, expected) in [
            (ErrorKind::NotFound, 2),
            (ErrorKind::PermissionDenied, 2),
            (ErrorKind::AlreadyExists, 2),
            (ErrorKind::IsADirectory, 2),
            (ErrorKind::NotADirectory, 2),
            (ErrorKind::ReadOnlyFilesystem, 2),
            (ErrorKind::InvalidFilename, 2),
            (ErrorKind::InvalidInput, 2),
            (ErrorKind::InvalidData, 2),
            (ErrorKind::StorageFull, 1),
            (ErrorKind::AddrInUse, 1),
            (ErrorKind::ConnectionRefused, 1),
            (ErrorKind::TimedOut, 1),
            (ErrorKind::Other, 1),
        ] {
            let bare = || io::Error::from(kind);
            let key = KeyError::Io {
                path: "k".into(),
                source: bare(),
            };
            let folder = StoreError::Folder {
                path: "s".into(),
                source: bare(),
            };
            let said = Err::<(), _>(bare()).context("trust").unwrap_err();
            let codes = [code(&said), code(&key.into()), code(&folder.into())];
            assert_eq!(codes, [expected; 3], "{kind}");
        }
    }

    #[test]
    fn what_was_named_and_is_another_one_is_configuration_and_what_fails_later_is_not() {
        let text = || "x".to_owned();
        let (what, path) = ("network", text());
        let (place, expected, actual) = (text(), text(), text());
        let other = StoreError::Other {
            place,
            what,
            expected,
            actual,
        };
        let (expected, actual) = (text(), text());
        let chain = ChainError::OtherChain {
            path,
            what,
            expected,
            actual,
        };
        let damaged = StoreError::Damaged {
            place: text(),
            what: text(),
        };
        let signer = KeyError::Signer {
            url: text(),
            why: text(),
        };
        for (error, expected) in [
            (anyhow::Error::from(other), 2),
            (chain.into(), 2),
            (ChainError::NoChain(text()).into(), 2),
            (KeyError::BadSigner(text()).into(), 2),
            (IdentityError::Malformed { path: "i".into() }.into(), 2),
            (
                IdentityError::Permissions {
                    path: "i".into(),
                    mode: 0o644,
                }
                .into(),
                2,
            ),
            (damaged.into(), 1),
            (signer.into(), 1),
            (ChainError::InUse(text()).into(), 1),
            (IdentityError::Generate.into(), 1),
        ] {
            assert_eq!(code(&error), expected, "{error}");
        }
    }
}
