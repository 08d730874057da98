//! Why the machine does not come up.

use assay_protocol::config::ConfigError;
use std::io;
use std::path::{Path, PathBuf};

/// What failed; its text is all that anybody sees.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file, device or mount.
    #[error("{path}: {source}", path = path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The role on the kernel's command line.
    #[error("kernel command line: expected assay.role=probe-guest, once or not at all, got {0}")]
    Role(String),
    /// The root file system on the kernel's command line.
    #[error("kernel command line: expected one roothash= of 64 hexadecimal digits, got {0}")]
    RootHash(String),
    /// The partitions of the image.
    #[error("partition {name}: expected one, found {found}")]
    Partition {
        /// Its GPT name.
        name: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A program of the image did not do its work.
    #[error("{program}: {why}")]
    Program {
        /// Which.
        program: String,
        /// Its exit status, or why it cannot be started, and what it said.
        why: String,
    },
    /// The configuration file.
    #[error(transparent)]
    Config(ConfigError),
    /// No network card.
    #[error("machine.{field}: {why}")]
    Machine {
        /// The field of the configuration's `[machine]`.
        field: &'static str,
        /// Expected and actual.
        why: String,
    },
}

/// Names the path of an error.
pub fn at(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Failure {
    let path = path.as_ref().to_owned();
    move |source| Failure::Path { path, source }
}
