//! Why there is no certificate. Whatever it is, it says nothing about the node: it is the verifier's own trouble.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a certificate could not be had, kept or forgotten. Everybody who waited for it gets the same.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VcekError {
    /// The file system refused.
    #[error("{path}: cannot {action}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// Bytes that are not what they are given for.
    #[error("{what}: {wrong}")]
    Content {
        /// What was expected there: an address or a file.
        what: String,
        /// What is wrong with it.
        wrong: ContentError,
    },
    /// The service has no such certificate.
    #[error("{url}: the service knows no such certificate (HTTP status {status})")]
    NoSuch {
        /// What was asked.
        url: String,
        /// 404, or 400 for a chip it cannot know.
        status: u16,
    },
    /// The service asked for fewer requests.
    #[error(
        "{url}: the service asks for a pause (HTTP status {status}), next request in {wait_ms} ms"
    )]
    Busy {
        /// What was asked.
        url: String,
        /// 429 or 503.
        status: u16,
        /// The pause.
        wait_ms: u64,
    },
    /// A redirect, which is not followed: it could lead anywhere.
    #[error(
        "{url}: expected an answer, got a redirect (HTTP status {status})\nhint: name the service itself in [kds] url"
    )]
    Redirect {
        /// What was asked.
        url: String,
        /// 300 to 399.
        status: u16,
    },
    /// The service failed, or is something else.
    #[error("{url}: HTTP status {status}, next request in {wait_ms} ms")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// The pause.
        wait_ms: u64,
    },
    /// No answer.
    #[error("{url}: no answer: {why}; next request in {wait_ms} ms")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        why: String,
        /// The pause.
        wait_ms: u64,
    },
    /// Nothing was asked: the pause is too long to wait for.
    #[error("{url}: not asked, the service needs a pause of {wait_ms} ms")]
    Later {
        /// What would have been asked.
        url: String,
        /// The pause.
        wait_ms: u64,
    },
    /// Nothing was asked: too many others wait.
    #[error("{url}: not asked, {limit} other requests wait already")]
    QueueFull {
        /// What would have been asked.
        url: String,
        /// How many may wait.
        limit: usize,
    },
    /// The process ends.
    #[error("{url}: the request was given up")]
    GivenUp {
        /// What was asked.
        url: String,
    },
}

/// Bytes that cannot be what they are given for. That they can does not make them genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Longer than any certificate of AMD's.
    #[error("expected at most {limit} bytes, got more")]
    TooLarge {
        /// The cap.
        limit: usize,
    },
    /// Not one DER sequence of the length it says.
    #[error("expected one DER sequence with a two-byte length, got {actual} other bytes")]
    NotDer {
        /// How many bytes there are.
        actual: usize,
    },
    /// Not a PEM text.
    #[error("expected PEM certificates, got {actual} other bytes")]
    NotPem {
        /// How many bytes there are.
        actual: usize,
    },
}

impl VcekError {
    pub(super) fn disk(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    pub(super) fn content(what: impl Into<String>, wrong: ContentError) -> Self {
        let what = what.into();
        Self::Content { what, wrong }
    }
}
